"""Pictures of data before and beside a fit: what is drawn is what the rows say."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge import errors, plots
from bridge.plots.ellipses import mean_ellipse

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import SPEC, data, fitted, picture, plain_settings  # noqa: F401 - fixtures


def words(ax) -> str:
    return "\n".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))


# --- uniform quantile plots -------------------------------------------------------------------
def variables() -> pd.DataFrame:
    """Numbers, truth values, categories and text, some of them missing."""
    frame = data().assign(kind=np.where(data()["g"] < 5, "a", "b"), none=np.nan)
    frame["sure"] = frame["x"] > 0
    frame["order"] = pd.Categorical(frame["kind"].map({"a": "low", "b": "high"}), ["low", "high"])
    frame["many"] = frame["g"].map("group {:02d}".format)
    frame.loc[3:9, "x"] = np.nan
    frame.loc[4:5, "kind"] = None
    return frame


def test_numbers_stand_in_order() -> None:
    frame = variables()
    axes = plots.uniform_quantiles(frame, ["y", "x"])
    for ax, name in zip(axes, ["y", "x"], strict=True):
        known = np.sort(frame[name].dropna())
        mean, points = ax.lines
        np.testing.assert_array_equal(points.get_ydata(), known)
        n = len(known)
        np.testing.assert_allclose(points.get_xdata(), (np.arange(1, n + 1) - 0.5) / n)
        np.testing.assert_allclose(mean.get_ydata(), known.mean())
        assert ax.get_title(loc="left") == name
    n = len(frame)
    assert axes[0].get_xlabel() == f"fraction of {n} rows"
    assert axes[1].get_xlabel() == f"fraction of {n - 7} rows; 7 missing"
    assert f"{n} rows, 7 with a missing value" in words(axes[0])


@pytest.mark.parametrize(
    ("name", "levels"),
    [("kind", ["a", "b"]), ("order", ["low", "high"]), ("sure", ["False", "True"])],
)
def test_levels_have_bars(name, levels) -> None:
    frame = variables()
    (ax,) = plots.uniform_quantiles(frame, name)
    assert [text.get_text() for text in ax.get_yticklabels()] == levels
    counts = frame[name].astype(str).value_counts()
    assert [bar.get_width() for bar in ax.patches] == [counts[level] for level in levels]


def test_all_columns_are_drawn_and_none_is_left_out() -> None:
    frame = variables()
    axes = plots.uniform_quantiles(frame)
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == [*frame.columns[:-1], "many (20 levels)"]
    empty = axes[titles.index("none")]
    assert empty.texts[-1].get_text() == "all missing"
    assert empty.get_xlabel() == f"0 rows; {len(frame)} missing"
    assert len(axes[-1].patches) == 20 and not axes[-1].get_yticklabels()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda d: plots.uniform_quantiles(d, ["z"]), errors.UnknownColumnError, "no column 'z'"),
        (lambda d: plots.uniform_quantiles(d, []), errors.OptionError, "1 to 60 variables, not 0"),
        (lambda d: plots.uniform_quantiles(d[:0]), errors.DataError, "have no rows"),
        (lambda d: plots.uniform_quantiles([1]), errors.DataError, "as a pandas frame, not as lis"),
        (
            lambda d: plots.uniform_quantiles(d.assign(t=pd.Timestamp("2020-01-01")), "t"),
            errors.ColumnTypeError,
            "holds dates or times",
        ),
        (
            lambda d: plots.uniform_quantiles(d.assign(x=np.inf), "x"),
            errors.DataError,
            "'x' is infinite in row 0",
        ),
        (
            lambda d: plots.uniform_quantiles(pd.concat([d, d[["x"]]], axis=1), "x"),
            errors.DataError,
            "two columns called 'x'",
        ),
    ],
)
def test_variables_that_cannot_be_drawn(call, error, said) -> None:
    with pytest.raises(error, match=said):
        call(data())


def test_variables_look_as_they_did(picture) -> None:  # noqa: F811
    picture("uniform_quantiles", plots.uniform_quantiles(variables(), ["y", "x", "kind", "many"]))


# --- trellis ----------------------------------------------------------------------------------
def drawn(ax) -> dict[str, np.ndarray]:
    """Points and lines of a panel by how they are drawn."""
    return {
        line.get_linestyle() if line.get_marker() == "None" else "points": line.get_xydata()
        for line in ax.lines
        if len(line.get_xdata())
    }


def label(ax) -> str:
    return ax.get_title(loc="left").partition(" ")[0]


@pytest.mark.parametrize("engine", ["agq", "fake"])
def test_panels_hold_rows_and_lines(engine) -> None:
    result, frame = fitted(engine), data()
    axes = plots.trellis(frame, result, "x", groups=[4, "11"])
    assert [label(ax) for ax in axes] == ["4", "11"]
    for ax, group in zip(axes, [4, 11], strict=True):
        own, lines = frame[frame["g"] == group], drawn(ax)
        np.testing.assert_array_equal(lines["points"], own[["x", "y"]])
        slope, intercept = np.polyfit(own["x"], own["y"], 1)
        ends = np.array([own["x"].min(), own["x"].max()])
        np.testing.assert_allclose(
            lines["--"], np.column_stack([ends, intercept + slope * ends]), rtol=1e-8
        )
        for look, groups in (("-", "known"), (":", "average")):
            at = pd.DataFrame({"x": lines[look][:, 0], "w": own["w"].iloc[0], "g": group})
            expected = bridge.predict(result, at, groups=groups)["mean"].to_numpy(float)
            np.testing.assert_allclose(lines[look][:, 1], expected)
        assert ax.get_title(loc="left") == f"{group} ({len(own)} rows)"
    assert f"y by {engine}, {result.method}; 2 of 20 groups (g), by name" in words(axes[0])


def test_other_predictors_are_those_of_the_groups_rows() -> None:
    frame = data().assign(z=lambda d: d["x"] ** 2)
    result = bridge.fit(bridge.ModelSpec("y ~ x * z + cvar(x, g) + (1 | g)"), frame)
    (ax,) = plots.trellis(frame, result, "x", groups=[7])
    own, line = frame[frame["g"] == 7], drawn(ax)["-"]
    moved = own.assign(x=line[3, 0])
    moved["cvar(x, g)"] = own["x"].mean()
    expected = bridge.predict(result, moved)["mean"].to_numpy(float).mean()
    assert line[3, 1] == pytest.approx(expected)


def test_a_specification_has_no_fitted_lines() -> None:
    axes = plots.trellis(data(), SPEC, "w", n=30)
    assert len(axes) == 20 and all(set(drawn(ax)) == {"points"} for ax in axes)  # w is constant
    assert "y; all 20 groups (g), largest first" in words(axes[0])
    sizes = [len(drawn(ax)["points"]) for ax in axes]
    assert sizes == sorted(data()["g"].value_counts(), reverse=True)


def test_the_caption_says_which_groups() -> None:
    frame, spec = data(), SPEC
    axes = plots.trellis(frame, spec, "x", n=6, seed=3)
    assert "6 of 20 groups (g), a sample with seed 3, largest first" in words(axes[0])
    again = plots.trellis(frame, spec, "x", n=6, seed=3)
    assert [label(ax) for ax in axes] == [label(ax) for ax in again]
    means = frame.groupby("g")["y"].mean().sort_values()
    axes = plots.trellis(frame, spec, "x", "extremes", n=5, order="mean")
    expected = [*means.index[:3], *means.index[-2:]]
    assert [label(ax) for ax in axes] == [str(group) for group in expected]
    assert "the 3 lowest and 2 highest by mean outcome, lowest mean outcome first" in words(axes[0])
    result = fitted()
    by_fit = bridge.predict(result)["mean"].astype(float).groupby(frame["g"]).mean().sort_values()
    axes = plots.trellis(frame, result, "x", n=20, order="mean")
    assert [label(ax) for ax in axes] == [str(group) for group in by_fit.index]


def test_all_panels_have_one_scale() -> None:
    axes = plots.trellis(data(), SPEC, "x", n=4)
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in axes}) == 1
    low, high = axes[0].get_ylim()
    assert all((drawn(ax)["points"][:, 1] > low).all() for ax in axes)
    assert all((drawn(ax)["points"][:, 1] < high).all() for ax in axes)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"x": "z"}, errors.UnknownColumnError, "no column 'z'"),
        ({"x": ["x"]}, errors.OptionError, "name of a column, not list"),
        ({"x": "y"}, errors.OptionError, "is the model's outcome"),
        ({"x": "kind"}, errors.ColumnTypeError, "'kind' holds text"),
        ({"x": "other"}, errors.OptionError, "does not change with 'other'"),
        ({"groups": ["99"]}, errors.OptionError, "no group '99' in g"),
        ({"groups": []}, errors.OptionError, "groups names 0"),
        ({"groups": "all"}, errors.OptionError, 'a list of groups, "extremes" or None'),
        ({"n": 161}, errors.OptionError, "n is a whole number from 1 to 160"),
        ({"seed": -1, "n": 3}, errors.OptionError, "seed is a whole number"),
        ({"order": "name"}, errors.OptionError, 'order is "size" or "mean"'),
        ({"model": "y ~ x"}, errors.RequestError, "a ModelSpec or a result, not str"),
        ({"model": bridge.ModelSpec("y ~ x")}, errors.RequestError, "no random term"),
        ({"data": data().iloc[1:]}, errors.DataError, "not those of the fit"),
        ({"data": data().assign(x=np.nan), "model": SPEC}, errors.DataError, "nothing to draw"),
        ({"ax": []}, errors.OptionError, "ax holds 0"),
    ],
)
def test_a_trellis_that_cannot_be_drawn(changes, error, said) -> None:
    frame = data().assign(kind="a", other=1.0)
    with pytest.raises(error, match=said):
        plots.trellis(**({"data": frame, "model": fitted(), "x": "x"} | changes))


def test_a_trellis_looks_as_it_did(picture) -> None:  # noqa: F811
    picture("trellis", plots.trellis(data(), fitted(), "x", "extremes", n=4))


# --- ellipses ---------------------------------------------------------------------------------
def lines_of(frame: pd.DataFrame) -> np.ndarray:
    return np.array([np.polyfit(g["x"], g["y"], 1)[::-1] for _, g in frame.groupby("g")])


def distances(outline: np.ndarray, centre: np.ndarray, shape: np.ndarray) -> np.ndarray:
    away = outline - centre
    return np.einsum("ia,ab,ib->i", away, np.linalg.inv(shape), away)


def by_level() -> pd.DataFrame:
    return data().assign(side=np.where(data()["g"] < 8, "left", "right"))


def test_ellipses_are_those_of_their_definitions() -> None:
    frame = by_level()
    ax = plots.data_ellipses(frame, SPEC, by="side")
    averages = bridge.by_group(bridge.ModelSpec("y ~ x"), frame, "g").average("side")
    curves = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) > 100]
    fills = [patch.get_xy() for patch in ax.patches]
    points = lines_of(frame)
    for i, (own, n) in enumerate([(points[:8], 8), (points[8:], 12)]):
        drawn_points = ax.lines[5 * i].get_xydata()
        np.testing.assert_allclose(drawn_points, own, rtol=1e-8)
        centre, S = own.mean(axis=0), np.cov(own, rowvar=False)
        for curve, level in zip(curves[3 * i : 3 * i + 2], (0.5, 0.95), strict=True):
            size = 2 * stats.f.ppf(level, 2, n - 1)
            np.testing.assert_allclose(distances(curve, centre, S), size)
        size = 2 * (n - 1) / (n - 2) * stats.f.ppf(0.95, 2, n - 2)
        np.testing.assert_allclose(distances(fills[i], centre, S / n), size)
        within = averages.covariance.to_numpy()[2 * i : 2 * i + 2, 2 * i : 2 * i + 2]
        size = 2 * stats.f.ppf(0.95, 2, averages.df)
        np.testing.assert_allclose(distances(curves[3 * i + 2], centre, within), size)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["left (8 groups)", "right (12 groups)"]
    assert ax.get_ylabel() == "slope of x (outcome per unit)"


def test_a_confidence_ellipse_holds_the_mean_as_often_as_it_says() -> None:
    rng, n, held = np.random.default_rng(5), 6, 0
    for _ in range(2000):
        ellipse = mean_ellipse(rng.normal(size=(n, 2)), 0.8)
        held += distances(np.zeros((1, 2)), ellipse.centre, ellipse.shape)[0] < ellipse.radius**2
    assert held / 2000 == pytest.approx(0.8, abs=3.5 * np.sqrt(0.16 / 2000))


def test_groups_left_out_are_counted_and_few_have_no_ellipse() -> None:
    frame = by_level()
    frame.loc[frame["g"] == 3, "x"] = 1.0
    frame["side"] = np.where(frame["g"] < 2, "left", "right")
    ax = plots.data_ellipses(frame, SPEC, by="side", x="x")
    assert "1 of 20 groups left out" in words(ax) and len(ax.patches) == 1
    sizes = frame["g"].value_counts()
    least = int(sizes.median())
    ax = plots.data_ellipses(frame, fitted(), x="x", least_rows=least)
    left = int((sizes < least).sum() + (sizes[3] >= least))
    assert f"{left} of 20 groups left out" in words(ax)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"by": "x"}, errors.DataError, "x varies within g 0"),
        ({"by": "g"}, errors.OptionError, "'g' has 20 values, and up to 6"),
        ({"x": "x + w"}, errors.RequestError, "w"),
        ({"x": "poly(x, 2)"}, errors.OptionError, "makes the terms Intercept, poly"),
        ({"least_rows": 1}, errors.OptionError, "least_rows is a whole number from 2"),
        ({"least_rows": 500}, errors.OptionError, "No g with a line has 500 rows"),
        ({"model": bridge.ModelSpec("y ~ x + w + (1 | g)")}, errors.OptionError, "not have one sl"),
        ({"model": bridge.ModelSpec("y ~ x")}, errors.RequestError, "no random term"),
        ({"model": None}, errors.RequestError, "not NoneType"),
    ],
)
def test_ellipses_that_cannot_be_drawn(changes, error, said) -> None:
    with pytest.raises(error, match=said):
        plots.data_ellipses(**({"data": data(), "model": SPEC} | changes))


def test_ellipses_look_as_they_did(picture) -> None:  # noqa: F811
    picture("data_ellipses", plots.data_ellipses(by_level(), SPEC, by="side"))
