"""Curves over a predictor: what is drawn is what the frames say, and looks as it did."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection, PolyCollection

import bridge
from bridge import errors, plots, quantities

sys.path.insert(0, str(Path(__file__).parent))
from curve_fits import data, fitted
from plot_fits import picture, plain_settings  # noqa: F401 - fixtures


def words(ax) -> str:
    """Every text of a figure, one a line."""
    return "\n".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))


def thin(ax) -> list[np.ndarray]:
    """The points of every thin curve."""
    found = [c.get_segments() for c in ax.collections if isinstance(c, LineCollection)]
    return [np.asarray(line) for lines in found for line in lines]


def named(ax) -> dict[str, np.ndarray]:
    """The points of every line of the legend."""
    return {
        line.get_label(): line.get_xydata()
        for line in ax.lines
        if not line.get_label().startswith("_") and len(line.get_xydata())
    }


def curves_of(frame, key, x="x") -> list[np.ndarray]:
    """The points of every curve of a frame."""
    return [own[[x, "estimate"]].to_numpy(float) for _, own in frame.groupby(key, sort=False)]


def assert_same(drawn, expected) -> None:
    """Two lists of curves are one, in any order."""

    def in_order(curves):
        return np.array(sorted(c.ravel().tolist() for c in curves))

    np.testing.assert_allclose(in_order(drawn), in_order(expected), rtol=1e-12)


@pytest.mark.parametrize("engine", ["agq", "fake"])
def test_mean_lines_draw_the_frame(engine) -> None:
    result = fitted(engine)
    frame = quantities.curves(result, "x", by="group")
    average, own = frame[frame["group"].isna()], frame[frame["group"].notna()]
    ax = plots.mean_lines(result, "x", by="group", highlight=[101, "105"])
    rest = own[~own["group"].isin(["101", "105"])]
    assert_same(thin(ax), curves_of(rest, "group"))
    lines = named(ax)
    assert_same([lines["average group"]], curves_of(average, "quantity"))
    assert_same([lines["g 101"]], curves_of(own[own["group"] == "101"], "group"))
    band = next(c for c in ax.collections if isinstance(c, PolyCollection))
    ends = band.get_paths()[0].vertices[:, 1]
    assert ends.max() == pytest.approx(average["upper"].max())
    assert ends.min() == pytest.approx(average["lower"].min())
    assert ax.get_ylabel() == "predicted mean (outcome)"
    assert ax.get_xlabel() == "x\naverage group at kind brick, sex f"
    assert f"y by {engine}, {result.method}; band" in words(ax) and "22 groups (g)" in words(ax)


def test_levels_of_a_column() -> None:
    frame = quantities.curves(fitted(), "x", by=["group", "kind"])
    average, own = frame[frame["group"].isna()], frame[frame["group"].notna()]
    ax = plots.mean_lines(fitted(), "x", by=["group", "kind"])
    assert_same(thin(ax), curves_of(own, "group"))
    lines = named(ax)
    for kind in ("brick", "plain", "stone"):
        assert_same([lines[f"kind {kind}"]], curves_of(average[average["kind"] == kind], "kind"))
    # a level has its colour, also in the thin lines, and its kind of line
    looks = [(line.get_color(), line.get_ls()) for line in ax.lines if "kind" in line.get_label()]
    assert len({c for c, _ in looks}) == len({ls for _, ls in looks}) == 3
    collections = [c for c in ax.collections if isinstance(c, LineCollection)]
    found = [mpl.colors.to_hex(c.get_colors()[0]) for c in collections]
    assert found == [mpl.colors.to_hex(colour) for colour, _ in looks]
    assert not thin(plots.mean_lines(fitted(), "x", by="kind"))


def test_a_highlight_alone_draws_the_group_alone() -> None:
    ax = plots.mean_lines(fitted(), "x", highlight=101)
    assert not thin(ax) and set(named(ax)) == {"average group", "g 101"}


def test_a_highlight_is_told_from_a_level_without_colour() -> None:
    ax = plots.mean_lines(fitted(), "x", by="kind", highlight=[101, 103])
    marks = {line.get_label(): line.get_marker() for line in ax.lines}
    assert marks["g 101"] != marks["g 103"] and "None" not in (marks["g 101"], marks["g 103"])
    assert {marks[f"kind {kind}"] for kind in ("brick", "plain", "stone")} == {"None"}


@pytest.mark.parametrize("of", ["variance", "SD"])
def test_variance_functions_draw_the_frame(of) -> None:
    frame = quantities.curves(fitted(), "x", of, by="group")
    (ax,) = plots.variance_functions(fitted(), "x", by="group", of=of)
    assert_same(thin(ax), curves_of(frame[frame["group"].notna()], "group"))
    scale = {"variance": "outcome²", "SD": "outcome"}[of]
    assert ax.get_ylabel() == f"level-1 {of} ({scale})"


def test_redrawn_functions_stand_beside_those_of_the_fit() -> None:
    result = fitted("fake")
    first, second = plots.variance_functions(result, "x", by="kind", redrawn=30, seed=4)
    new = quantities.redrawn_variances(result, "x", 30, by="kind", seed=4)
    assert_same(thin(second), curves_of(new, ["draw", "kind"]))
    frame = quantities.curves(result, "x", "variance", by=["group", "kind"])
    assert_same(thin(first), curves_of(frame[frame["group"].notna()], "group"))
    assert first.get_ylim() == second.get_ylim()
    assert_same(list(named(first).values()), list(named(second).values()))
    assert "30 new groups at each" in words(first) and "seed 4" in words(first)


def test_they_draw_where_they_are_told() -> None:
    _, axes = plt.subplots(1, 2)
    found = plots.variance_functions(fitted(), "x", redrawn=5, ax=axes)
    assert found == list(axes)
    assert plots.mean_lines(fitted(), "x", ax=axes[0]) is axes[0]
    assert len(plt.get_fignums()) == 1


def test_curves_look_as_they_did(picture) -> None:  # noqa: F811
    picture("mean_lines", plots.mean_lines(fitted(), "x", by=["group", "kind"], highlight=103))
    picture("variance_functions", plots.variance_functions(fitted(), "x", redrawn=24))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: plots.mean_lines(r, "z"), "OptionError", "x has 'z'"),
        (lambda r: plots.mean_lines(r, "kind"), "OptionError", "kind is a factor"),
        (lambda r: plots.mean_lines(r, "x", highlight=999), "OptionError", "no g '999' to highli"),
        (lambda r: plots.mean_lines(r, "x", highlight=range(101, 108)), "OptionError", "At most 6"),
        (lambda r: plots.mean_lines(r, "x", by="x"), "OptionError", "another column than x"),
        (lambda r: plots.mean_lines(r, "x", ax=3), "OptionError", "ax is one Axes"),
        (lambda r: plots.variance_functions(r, "x", of="mean"), "OptionError", "mean_lines draws"),
        (lambda r: plots.variance_functions(r, "x", redrawn=0), "OptionError", "draws is a whole"),
        (lambda r: plots.variance_functions(r, "x", redrawn=2, ax=plt.figure().subplots()),
         "OptionError", r"2 panel\(s\)"),
    ],
)  # fmt: skip
def test_bad_requests(call, error, words) -> None:
    with pytest.raises(getattr(errors, error), match=words):
        call(fitted())


def test_too_many_levels_are_refused() -> None:
    spec = bridge.ModelSpec("y ~ x + many + (1 | g)")
    rows = data().assign(many=[f"m{i % 8}" for i in range(len(data()))])
    result = bridge.fit(spec, rows, "fake", seed=1)
    with pytest.raises(errors.OptionError, match="8 levels of many, too many"):
        plots.mean_lines(result, "x", by="many")
    some = plots.mean_lines(result, "x", by="many", at={"many": ["m1", "m7"]})
    assert set(named(some)) == {"many m1", "many m7"}


def test_a_model_without_the_effect() -> None:
    plain = bridge.fit(bridge.ModelSpec("y ~ x + (1 | g)"), data(), "fake", seed=1)
    with pytest.raises(errors.NotAvailable, match="variance of groups is not let differ"):
        plots.variance_functions(plain, "x", by="group")
    assert not plt.get_fignums()
    assert len(plots.variance_functions(plain, "x")) == 1
