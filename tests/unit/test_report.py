"""The page on fits of one model: all of it there, nothing outside it, and why where it is not."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from shutil import which

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from typer.testing import CliRunner

import bridge
from bridge import errors
from bridge.cli import app
from bridge.report_pictures import worst_mixing
from bridge.result import Result
from bridge.summary import digits

SPEC = bridge.ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)")
SECTIONS = (
    "model",
    "data",
    "estimates",
    "convergence",
    "criteria",
    "quantities",
    "pictures",
    "native",
)


@cache
def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(30), 15)
    x = rng.normal(size=len(g))
    sigma = np.exp(0.5 * rng.normal(0, 0.6, 30))[g]
    y = 2 + x + rng.normal(size=30)[g] + sigma * rng.normal(size=len(g))
    y[7] = np.nan
    return pd.DataFrame({"y": y, "x": x, "g": g})


@cache
def fitted(engine: str) -> Result:
    options = {"fake": {"chains": 2, "draws": 150, "seed": 1}, "agq": {}}
    return bridge.fit(SPEC, data(), engine, **options[engine])


@cache
def page() -> str:
    return bridge.report(fitted("agq"), fitted("fake"), criteria=("waic",))


class _Links(HTMLParser):
    """Everything that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(v) for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_one_page_with_nothing_outside() -> None:
    reader = _Links()
    reader.feed(page())
    assert not reader.open
    assert all(link.startswith("data:image/png;base64,") for link in reader.found)
    assert "@import" not in page() and "url(" not in page() and "<script" not in page()
    for section in SECTIONS:
        assert f'id="{section}"' in page()


def test_it_says_what_was_fitted_and_how_it_went() -> None:
    text = page()
    assert "Two-level model of y" in text and "rows dropped for missing values" in text
    assert re.search(r"<td[^>]*>rows dropped for missing values</td>\s*<td[^>]*>1</td>", text)
    for result in (fitted("agq"), fitted("fake")):
        for parameter in ("gamma[x]", "tau[v:Intercept,v:Intercept]"):
            assert digits(result.estimate(parameter)) in text
    assert digits(fitted("agq").loglik) in text and "maximised" in text
    assert "waic" in text and "given the effects" in text
    # both scales of one criterion are told apart
    assert re.search(r"<td[^>]*>waic</td>\s*<td[^>]*>elpd</td>", text)
    assert re.search(r"<td[^>]*>waic</td>\s*<td[^>]*>deviance</td>", text)
    assert "population average" in text and "(log variance)²" in text
    assert fitted("fake").native.splitlines()[0][:30] in text.replace("&#34;", '"')
    assert text.count("<img ") >= 6


def test_chains_of_the_parameters_that_mix_worst_are_drawn() -> None:
    table = fitted("fake").estimates.sort_values("ess_bulk")
    assert worst_mixing(fitted("fake")) == list(table["parameter"][:3])
    assert "Draws of the parameters that mix worst" in page()
    assert "Ranks of these draws, by chain" in page()
    assert len(page()) < 1_500_000
    open_before = plt.get_fignums()
    assert "mix worst" not in bridge.report(fitted("agq"))
    assert plt.get_fignums() == open_before


def test_a_part_that_cannot_be_had_says_why() -> None:
    plain = bridge.fit(bridge.ModelSpec("y ~ 1 + x + (1 | g)"), data(), "agq")
    text = bridge.report(plain)
    assert "variance of groups is not let differ" in text
    none = bridge.fit(bridge.ModelSpec("y ~ 1 + x"), data(), "agq")
    text = bridge.report(none)
    assert "no variance lies between groups" in text and "no group effects" in text
    assert text.count("<img ") == 3  # parameters, residuals of rows, the mean over x


def test_the_equations_are_those_of_the_data() -> None:
    frame = data().assign(w=lambda d: (d["g"] % 3).astype(float))
    spec = bridge.ModelSpec("y ~ x * w + (1 + x | g)")
    text = bridge.report(bridge.fit(spec, frame, "fake", chains=2, draws=20, seed=1), criteria=())
    assert "w_j" in text and "449 units in 30 groups" in text
    assert "Taken to be" not in text and "no data are given" not in text


def test_leave_one_group_out_is_made_where_it_is_asked_for() -> None:
    text = bridge.report(fitted("fake"), criteria=["dic"])
    assert not re.search(r"<td[^>]*>logo</td>", text)
    assert "Leave-one-group-out (logo) is not on this page" in text
    text = bridge.report(fitted("fake"), criteria="logo")
    assert re.search(r"<td[^>]*>logo</td>", text) and "is not on this page" not in text
    assert "is not on this page" not in bridge.report(fitted("agq"))
    with pytest.raises(errors.OptionError, match=r"not 'wiac'\. Did you mean 'waic'"):
        bridge.report(fitted("fake"), criteria=["wiac"])


def test_saved_results_and_the_command_line(tmp_path: Path) -> None:
    for engine in ("agq", "fake"):
        fitted(engine).save(tmp_path / f"{engine}.nc")
    found = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert found.exit_code == 0, found.output
    written = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "agq and fake" in written and 'id="pictures"' in written
    found = CliRunner().invoke(app, ["report", str(tmp_path), "--criteria", "lgoo"])
    assert isinstance(found.exception, errors.OptionError)
    assert "not 'lgoo'" in str(found.exception)


def test_what_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(errors.RequestError, match="nothing to report"):
        bridge.report()
    with pytest.raises(errors.RequestError, match="not dict"):
        bridge.report({})
    other = bridge.fit(bridge.ModelSpec("y ~ 1 + x + (1 | g)"), data(), "agq")
    with pytest.raises(errors.RequestError, match="different models"):
        bridge.report(fitted("agq"), other)
    with pytest.raises(errors.BridgeError):
        bridge.report(tmp_path / "nowhere")


@pytest.mark.parametrize("width", [390, 1280])
def test_it_opens_in_a_browser_and_does_not_scroll_sideways(width: int, tmp_path: Path) -> None:
    browser = which("chromium")
    if browser is None:
        pytest.skip("chromium is not here")
    file = tmp_path / "page.html"
    # what the browser finds is written into the page's title
    probe = (
        "<script>onload = () => { const broken = [...document.images].filter(i => "
        "!i.naturalWidth).length; document.title = [document.documentElement.scrollWidth, "
        "innerWidth, broken].join(' ') }</script>"
    )
    file.write_text(page().replace("</body>", f"{probe}</body>"), encoding="utf-8")
    # a window is at least 500 wide: a phone's width is that of a frame in it
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="page.html" width="{width}" height="800" onload="setTimeout(() => '
        'document.title = this.contentDocument.title, 500)"></iframe>'
    )
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         "--window-size=1400,900", "--virtual-time-budget=4000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(\d+) (\d+) (\d+)</title>", done.stdout)
    assert title, done.stdout[-400:]
    across, inner, broken = map(int, title.groups())
    assert across <= inner == width and broken == 0
