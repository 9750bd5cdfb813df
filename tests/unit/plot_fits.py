"""Small fits to draw, the settings to draw them by, and the comparison with golden images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text

import bridge
from bridge.result import Result

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "plots"
SPEC = bridge.ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + w + (1 | s | g)")
#: RMS over pixels, of 255: 4.5 and more where a line or its colour is another.
TOLERANCE = 4.0


@cache
def data(groups: int = 20) -> pd.DataFrame:
    """Rows of groups of 10 to 40 that differ in mean and in variance."""
    rng = np.random.default_rng(3)
    size = rng.integers(10, 40, groups)
    g = np.repeat(np.arange(groups), size)
    x, w = rng.normal(size=len(g)), rng.normal(size=groups)[g]
    u, v = rng.normal(size=groups), 0.6 * rng.normal(size=groups)
    sigma = np.exp(0.5 * (0.3 + 0.4 * w + v[g]))
    return pd.DataFrame({"y": 20 + x + u[g] + sigma * rng.normal(size=len(g)), "x": x, "w": w,
                         "g": g})  # fmt: skip


@cache
def fitted(engine: str = "agq", groups: int = 20) -> Result:
    """Return a fit of `data`, by maximum likelihood or with canned draws."""
    options = {"fake": {"chains": 2, "draws": 200, "seed": 1}, "agq": {}}
    return bridge.fit(SPEC, data(groups), engine, **options[engine])


@pytest.fixture(autouse=True)
def plain_settings() -> Iterator[None]:
    """Draw by matplotlib's own settings, into memory, and leave no figure open."""
    before = mpl.rcParams.copy()
    with plt.style.context("default", after_reset=True):
        plt.switch_backend("agg")
        yield
    plt.close("all")
    mpl.rcParams.update(before)


def without_text(figure: Any) -> None:
    """Hide all text, which versions of matplotlib draw differently; tests read it as text."""
    figure.canvas.draw()
    for text in figure.findobj(Text):
        text.set(text="", visible=False)
    for ax in figure.axes:
        ax.tick_params(labelbottom=False, labelleft=False)
    figure.canvas.draw()  # the layout settles


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, Any], None]:
    """Give a function that compares a figure with tests/golden/plots, or writes it there."""

    def check(name: str, ax: Any) -> None:
        figure, expected = np.ravel(ax)[0].figure, GOLDEN / f"{name}.png"
        without_text(figure)
        if request.config.getoption("--update-golden"):
            expected.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(expected, dpi=80, metadata={"Software": None})
        assert expected.is_file(), f"there is no {expected}; run: pytest --update-golden"
        actual = tmp_path / expected.name
        figure.savefig(actual, dpi=80, metadata={"Software": None})
        said = compare_images(str(expected), str(actual), TOLERANCE)
        assert said is None, said

    return check
