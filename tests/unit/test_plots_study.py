"""Pictures of a study: numbers drawn, refusals, and looks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from scipy import stats

from bridge import errors, plots
from bridge.study_result import Study

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import picture, plain_settings  # noqa: F401 - fixtures
from study_cases import V, known

PICTURES = [plots.study_coverage, plots.study_se_ratio, plots.study_bias]


def drawn(ax) -> dict[tuple[str, str], float]:
    """Parameter and series -> value, as they stand in the axes."""
    names = [label.get_text() for label in ax.get_yticklabels()]
    return {
        (names[round(y)], line.get_label()): x
        for line in ax.lines
        if line.get_ls() == "None"
        for x, y in line.get_xydata()
    }


def numbers(column) -> dict[tuple[str, str], float]:
    table = known().table()
    return {(p, m): v for p, m, v in table[["parameter", "model", column]].to_numpy()}


def same(found, expected) -> None:
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[k] for k in expected], list(map(float, expected.values())))


def test_coverage_and_its_binomial_band() -> None:
    ax = plots.study_coverage(known())
    same(drawn(ax), {k: 100 * v for k, v in numbers("coverage").items()})
    band = next(p for p in ax.patches if p.get_width() < 50)
    low, high = 100 * stats.binom.ppf([0.025, 0.975], 195, 0.95) / 195
    assert band.get_x() == pytest.approx(low)
    assert band.get_x() + band.get_width() == pytest.approx(high)
    assert (V, "A") not in drawn(ax)


@pytest.mark.parametrize("name", ["se_ratio", "bias"])
def test_ratios_and_bias_have_monte_carlo_errors(name) -> None:
    ax = getattr(plots, f"study_{name}")(known())
    unit = numbers("sd") if name == "bias" else dict.fromkeys(numbers("sd"), 1.0)
    values, error = numbers(name), numbers(f"{name}_mc")
    same(drawn(ax), {k: v / unit[k] for k, v in values.items()})
    found = [s for c in ax.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    widths = sorted(high - low for (low, _), (high, _) in found)
    np.testing.assert_allclose(widths, sorted(2 * 1.959964 * error[k] / unit[k] for k in error),
                               rtol=1e-5)  # fmt: skip


@pytest.mark.parametrize("draw", PICTURES)
def test_parameters_axes_and_refusals(draw) -> None:
    _, (first, second) = plt.subplots(1, 2)
    assert draw(known(), ["gamma[x]"], ax=second) is second and not first.lines
    assert [label.get_text() for label in second.get_yticklabels()] == ["gamma[x]"]
    with pytest.raises(errors.OptionError, match=r"no parameter 'gamma\[z\]'"):
        draw(known(), ["gamma[z]"])
    with pytest.raises(errors.OptionError, match="parameters is empty"):
        draw(known(), [])
    with pytest.raises(errors.RequestError, match="is of a study"):
        draw(3)
    with pytest.raises(errors.RequestError, match="No parameter of the study"):
        draw(Study(known().estimates, {}, 200, 1))


def test_engines_are_told_apart_where_there_are_several() -> None:
    frame = known().estimates
    both = Study(frame.assign(engine=frame["replication"].map(lambda k: "ab"[k % 2])),
                 known().truth, 200, 1)  # fmt: skip
    ax = plots.study_coverage(both)
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert legend == {"A, a", "A, b", "B, a", "B, b"}


@pytest.mark.parametrize("draw", PICTURES)
def test_they_look_as_they_did(draw, picture) -> None:  # noqa: F811
    picture(draw.__name__, draw(known()))
