"""Pictures of groups: what is drawn is what the frames say, and looks as it did."""

from __future__ import annotations

import dataclasses
import doctest
import sys
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection

import bridge
from bridge import errors, plots, quantities

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import data, fitted, picture, plain_settings  # noqa: F401 - fixtures


def words(ax) -> str:
    """Every text of a figure, one a line."""
    return "\n".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))


# --- caterpillar ------------------------------------------------------------------------------
def drawn_intervals(ax) -> np.ndarray:
    """Rows of x, lower and upper of all vertical lines, by x."""
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    ends = np.concatenate([np.array(c.get_segments()) for c in lines]).reshape(-1, 4)
    return ends[np.argsort(ends[:, 0])][:, [0, 1, 3]]


def drawn_points(ax) -> dict[str, np.ndarray]:
    """Points by their marker, those of the legend left out."""
    return {line.get_marker(): line.get_xydata() for line in ax.lines if line.get_ls() == "None"}


@pytest.mark.parametrize("engine", ["agq", "fake"])
@pytest.mark.parametrize("of", ["mean", "variance", "ICC"])
def test_a_caterpillar_draws_the_frame(engine, of) -> None:
    result = fitted(engine)
    frame = quantities.groups(result, of=of).sort_values("estimate", ignore_index=True)
    ax = plots.caterpillar(result, of=of)
    expected = frame[["lower", "upper"]].to_numpy(float)
    np.testing.assert_allclose(drawn_intervals(ax)[:, 1:], expected)
    np.testing.assert_array_equal(drawn_intervals(ax)[:, 0], np.arange(20))
    points = drawn_points(ax)
    everything = np.concatenate(list(points.values()))
    everything = everything[np.argsort(everything[:, 0])]
    np.testing.assert_allclose(everything[:, 1], frame["estimate"].to_numpy(float))
    # a triangle for each group that differs, to its side of the line
    differs = frame["differs"].to_numpy(bool)
    above = frame["estimate"].to_numpy(float) > frame["average"].iloc[0]
    for marker, side in (("^", differs & above), ("v", differs & ~above), ("o", ~differs)):
        drawn = points.get(marker, np.zeros((0, 2)))[:, 0]
        np.testing.assert_array_equal(drawn, np.flatnonzero(side))
    line = next(line for line in ax.lines if line.get_ls() == "--")
    assert set(line.get_ydata()) == {frame["average"].iloc[0]}
    scale = {"mean": "outcome", "variance": "outcome²", "ICC": "share"}[of]
    assert ax.get_ylabel() == f"{of} of g ({scale})"
    assert [t.get_text() for t in ax.get_xticklabels()] == list(frame["group"])
    assert f"y by {engine}, {result.method}; 95% intervals" in words(ax)


def test_the_legend_counts() -> None:
    frame = quantities.groups(fitted(), of="mean")
    ax = plots.caterpillar(fitted())
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    counts = [int(text.rpartition("(")[2].rstrip(")")) for text in legend[1:]]
    assert sum(counts) == 20 and counts[0] == (~frame["differs"].astype(bool)).sum()


def test_many_groups_have_no_names() -> None:
    result = fitted("fake", 60)
    ax = plots.caterpillar(result, of="variance")
    assert not ax.get_xticklabels()
    assert ax.get_xlabel() == "60 groups (g), from the smallest to the largest"


def test_with_its_own_predictors_each_group_has_its_average() -> None:
    frame = quantities.groups(fitted(), of="variance", at="own")
    frame = frame.sort_values("estimate", ignore_index=True)
    points = drawn_points(plots.caterpillar(fitted(), of="variance", at="own"))
    np.testing.assert_allclose(points["_"][:, 1], frame["average"])


def test_without_standard_errors_points_alone() -> None:
    result = fitted()
    table = result.group_effects.copy()
    table["se"] = pd.array([None] * len(table), dtype="Float64")
    bare = dataclasses.replace(result, group_effects=table, effects_covariance=None)
    ax = plots.caterpillar(bare)
    assert not any(len(lines.get_segments()) for lines in ax.collections)
    assert len(drawn_points(ax)["o"]) == 20 and "no interval from this engine (20)" in words(ax)


def test_a_caterpillar_looks_as_it_did(picture) -> None:  # noqa: F811
    picture("caterpillar", plots.caterpillar(fitted(), of="variance"))


# --- means against variances ------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["agq", "fake"])
@pytest.mark.parametrize("at", [None, "own", {"x": 1.0, "w": 0.5}])
def test_means_stand_against_variances(engine, at) -> None:
    result = fitted(engine)
    frame = quantities.groups(result, at=at)
    mean, variance = (frame[frame["quantity"] == of] for of in ("mean", "variance"))
    ax = plots.mean_variance(result, at=at)
    x, y = variance["estimate"].to_numpy(float), mean["estimate"].to_numpy(float)
    n = mean["n"].to_numpy()
    drawn, area = ax.collections[0].get_offsets(), ax.collections[0].get_sizes()
    order = np.argsort(-n, kind="stable")
    np.testing.assert_allclose(drawn, np.column_stack([x, y])[order])
    np.testing.assert_allclose(area / area.max(), (n / n.max())[order])
    down, across = ax.lines
    np.testing.assert_allclose(down.get_xdata(), variance["average"].mean())
    np.testing.assert_allclose(across.get_ydata(), mean["average"].mean())
    r = np.corrcoef(x, y)[0, 1]
    assert f"r = {r:.2f}".replace("-", "−") in words(ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("variance of g (outcome²)", "mean of g (outcome)")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        str(int(rows)) for rows in np.quantile(n, [0, 0.5, 1], method="nearest")
    ]


def test_quadrants_are_named_where_they_are() -> None:
    ax = plots.mean_variance(fitted())
    places = {
        text.get_text(): text.get_position() for text in ax.texts if "mean, " in text.get_text()
    }
    for name, (x, y) in places.items():
        assert (y > 0.5) == ("high mean" in name) and (x > 0.5) == ("high variance" in name)
    assert len(places) == 4


def test_a_model_without_effects_in_the_variance_has_no_such_picture() -> None:
    plain = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), data(), "fake", seed=1)
    with pytest.raises(errors.NotAvailable, match="variance of groups is not let differ"):
        plots.mean_variance(plain)
    assert not plt.get_fignums()


def test_means_and_variances_look_as_they_did(picture) -> None:  # noqa: F811
    picture("mean_variance", plots.mean_variance(fitted()))


# --- all of them ------------------------------------------------------------------------------
def test_it_draws_where_it_is_told_and_leaves_settings_alone() -> None:
    figure, (first, second) = plt.subplots(1, 2)
    before = mpl.rcParams.copy()
    assert plots.caterpillar(fitted(), ax=second) is second
    assert not first.lines and second.lines
    assert plt.get_fignums() == [figure.number] and mpl.rcParams == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: plots.caterpillar(r, of="median"), "no quantity 'median' of groups"),
        (lambda r: plots.caterpillar(r, of=["mean", "ICC"]), 'of is one of "mean"'),
        (lambda r: plots.caterpillar(r, ax=plt.figure()), "ax is one Axes .* not Figure"),
    ],
)
def test_bad_requests(call, words) -> None:
    with pytest.raises(errors.OptionError, match=words):
        call(fitted())


@pytest.mark.parametrize("name", plots.__all__)
def test_the_example_of_the_docstring(name) -> None:
    module = import_module(getattr(plots, name).__module__)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    (example,) = finder.find(
        getattr(plots, name), name, module=module, extraglobs={"bridge": bridge}
    )
    assert example.examples
    assert runner.run(example).failed == 0
