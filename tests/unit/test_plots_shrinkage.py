"""Pictures of shrinkage and of two models: what is drawn is what the frames say."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.quiver import Quiver

import bridge
from bridge import errors, plots, quantities
from bridge.plots import shrinkage_panels

sys.path.insert(0, str(Path(__file__).parent))
from curve_fits import SPEC, data, fitted
from plot_fits import picture, plain_settings  # noqa: F401 - fixtures

PLAIN = bridge.ModelSpec("y ~ 1 + x + (1 + x | g)")
NULL = bridge.ModelSpec("y ~ 1 + (1 | s | g)", "~ 1 + (1 | s | g)")


def words(ax) -> str:
    """Every text of a figure, one a line."""
    return "\n".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))


def columns(result, name) -> np.ndarray:
    """A column of the frame of shrinkage by group and effect."""
    frame = quantities.shrinkage(result)
    effects = list(dict.fromkeys(frame["effect"]))
    return np.column_stack([frame.loc[frame["effect"] == e, name].astype(float) for e in effects])


def points(ax, start) -> np.ndarray:
    """The points of the line whose label starts so."""
    return next(line.get_xydata() for line in ax.lines if line.get_label().startswith(start))


def arrows(ax) -> tuple[np.ndarray, np.ndarray]:
    """Where the arrows start and end."""
    own = next(c for c in ax.collections if isinstance(c, Quiver))
    start = np.asarray(own.get_offsets())
    return start, start + np.column_stack([own.U, own.V])


# --- the plane of coefficients ------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["agq", "fake"])
def test_arrows_lead_from_own_to_shrunk_coefficients(engine) -> None:
    result = fitted(engine, PLAIN)
    (ax,) = plots.shrinkage(result, "coefficients")
    blue, blup = columns(result, "blue"), columns(result, "blup")
    np.testing.assert_allclose(points(ax, "own least squares"), blue)
    model = {"agq": "by the model", "fake": "posterior mean"}[engine]
    np.testing.assert_allclose(points(ax, model), blup)
    start, end = arrows(ax)
    np.testing.assert_allclose(start, blue)
    np.testing.assert_allclose(end, blup)
    # on the ellipse (c - gamma)' T^-1 (c - gamma) is the quantile of chi-square(2)
    gamma = [result.estimate("gamma[Intercept]"), result.estimate("gamma[x]")]
    np.testing.assert_allclose(points(ax, "population"), [gamma])
    T = result.covariance().loc[["u:Intercept", "u:x"], ["u:Intercept", "u:x"]].to_numpy(float)
    for label, quantile in (("95%", -2 * np.log(0.05)), ("50%", -2 * np.log(0.5))):
        away = points(ax, label) - gamma
        distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(T), away)
        np.testing.assert_allclose(distance, quantile)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("intercept (outcome)", "slope of x (outcome)")
    assert f"y by {engine}, {result.method}" in words(ax)


def test_few_kinds_of_groups_have_an_ellipse_each() -> None:
    (ax,) = plots.shrinkage(fitted(), "coefficients")
    kinds = np.unique(columns(fitted(), "population").round(9), axis=0)
    np.testing.assert_allclose(points(ax, "population (3 kinds"), kinds)
    solid = [line for line in ax.lines if line.get_ls() == "-"]
    assert len(solid) == 3


def test_many_kinds_of_groups_are_moved_to_one_middle() -> None:
    rows = data().assign(size=lambda d: np.random.default_rng(1).normal(size=24)[d["g"] - 101])
    result = bridge.fit(bridge.ModelSpec("y ~ x + size + (1 + x | g)"), rows, "agq")
    (ax,) = plots.shrinkage(result, "coefficients")
    population = columns(result, "population")
    middle = population.mean(axis=0)
    np.testing.assert_allclose(points(ax, "population, mean"), [middle])
    expected = columns(result, "blue") - population + middle
    np.testing.assert_allclose(points(ax, "own least"), expected)
    assert ax.get_xlabel() == "intercept, predictors of groups taken off (outcome)"


def test_effects_can_be_chosen() -> None:
    (ax,) = plots.shrinkage(fitted("agq", PLAIN), "coefficients", ["u:x", "u:Intercept"])
    np.testing.assert_allclose(
        points(ax, "by the model"), columns(fitted("agq", PLAIN), "blup")[:, ::-1]
    )
    assert ax.get_ylabel() == "intercept (outcome)"


def test_a_highlighted_group_has_its_arrow_and_name() -> None:
    (ax,) = plots.shrinkage(fitted("agq", PLAIN), "coefficients", highlight=103)
    blue, blup = (columns(fitted("agq", PLAIN), name)[2] for name in ("blue", "blup"))
    np.testing.assert_allclose(points(ax, "g 103"), [blue, blup])


# --- the plane of the data ------------------------------------------------------------------------
def test_lines_of_groups_by_their_rows_and_by_the_model() -> None:
    result = fitted("agq", PLAIN)
    axes = plots.shrinkage(result, highlight="104")
    x = data().groupby("g")["x"].agg(["min", "max"]).to_numpy()
    for ax, name in zip(axes, ("blue", "blup"), strict=True):
        b = columns(result, name)
        expected = np.stack([x, b[:, [0]] + b[:, [1]] * x], axis=-1)
        drawn = next(c for c in ax.collections if isinstance(c, LineCollection)).get_segments()
        np.testing.assert_allclose(drawn, np.delete(expected, 3, axis=0))
        np.testing.assert_allclose(points(ax, "g 104"), expected[3])
        ends = np.array([x.min(), x.max()])
        middle = result.estimate("gamma[Intercept]") + result.estimate("gamma[x]") * ends
        np.testing.assert_allclose(points(ax, "population"), np.column_stack([ends, middle]))
    assert axes[0].get_ylim() == axes[1].get_ylim()
    # own least squares of a group, whose variance is one number here
    own = data()[data()["g"] == 104]
    slope, intercept = np.polyfit(own["x"], own["y"], 1)
    np.testing.assert_allclose(columns(result, "blue")[3], [intercept, slope])


def test_of_an_intercept_alone_arrows_stand_over_the_rows() -> None:
    result = fitted("agq", NULL)
    (ax,) = plots.shrinkage(result)
    n = data().groupby("g").size().to_numpy()
    start, end = arrows(ax)
    np.testing.assert_allclose(start, np.column_stack([n, columns(result, "blue")]))
    np.testing.assert_allclose(end, np.column_stack([n, columns(result, "blup")]))
    line = next(line for line in ax.lines if line.get_label() == "population")
    np.testing.assert_allclose(line.get_ydata(), result.estimate("gamma[Intercept]"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rows of g", "intercept (outcome)")


def test_groups_without_own_estimates_are_counted() -> None:
    rows = data().drop(data().index[data()["g"] == 101][1:])
    result = bridge.fit(PLAIN, rows, "agq")
    (ax,) = plots.shrinkage(result, "coefficients")
    assert "1 group without own estimates" in words(ax) and "BLUE (23)" in words(ax)
    assert len(points(ax, "by the model")) == 24
    first, second = plots.shrinkage(result)
    sizes = [len(next(c for c in a.collections).get_segments()) for a in (first, second)]
    assert sizes == [23, 24]


def test_what_is_far_outside_is_left_out_and_counted() -> None:
    rows = data().copy()
    near = rows["g"] == 101  # a slope over so little of x says nothing
    rows.loc[near, "x"] = 0.01 * rows.loc[near, "x"]
    result = bridge.fit(PLAIN, rows, "agq")
    far = columns(result, "blue")[0]
    (ax,) = plots.shrinkage(result, "coefficients")
    assert "own estimates outside the picture: 1" in words(ax)
    assert not ax.get_ylim()[0] < far[1] < ax.get_ylim()[1]


def test_lines_far_outside_are_counted() -> None:
    own, model = np.tile([0.0, 1.0], (20, 1)), np.tile([0.0, 1.0], (20, 1))
    own[3] = [-50.0, 50.0]
    own[4] = np.nan
    low, high, outside = shrinkage_panels._heights_seen(own, model)
    assert outside == 1 and -1 < low < 0 and 1 < high < 2


# --- two models -----------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["estimates", "ranks"])
@pytest.mark.parametrize("of", ["mean", "variance", "u:Intercept"])
def test_groups_of_two_models_stand_against_each_other(of, what) -> None:
    one, two = fitted("agq", NULL), fitted("fake")
    if of == "u:Intercept":
        frame = quantities.effect_changes(one, two, of)
    else:
        frame = quantities.group_changes(one, two)
        frame = frame[frame["quantity"] == of]
    ax = plots.model_against_model(one, two, of, what, labels=["null", "full"], highlight=101)
    names = {"estimates": ["before", "after"], "ranks": ["rank_before", "rank_after"]}[what]
    expected = frame[names].to_numpy(float)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), expected)
    kind = {"estimates": "pearson", "ranks": "spearman"}[what]
    r = frame[["before", "after"]].astype(float).corr(kind).iloc[0, 1]
    assert f"r = {r:.2f}".replace("-", "−") in words(ax)
    scale = "rank, 1 is the largest of 24" if what == "ranks" else frame["scale"].iloc[0]
    assert ax.get_xlabel() == f"{of} of g in null ({scale})"
    assert ax.get_ylabel() == f"{of} of g in full ({scale})"
    assert ax.get_xlim() == ax.get_ylim()
    assert (ax.get_xlim()[0] > ax.get_xlim()[1]) == (what == "ranks")  # the largest at the top
    assert "y by agq, ML and fake, posterior" in words(ax)
    assert any(text.get_text() == "101" for text in ax.texts)


def test_profiles_reach_the_numbers() -> None:
    one, two = fitted("agq", NULL), fitted()
    frame = quantities.group_changes(one, two, at="own")
    ax = plots.model_against_model(one, two, at="own")
    expected = frame.loc[frame["quantity"] == "mean", ["before", "after"]].to_numpy(float)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), expected)


# --- all of them ------------------------------------------------------------------------------
def test_pictures_look_as_they_did(picture) -> None:  # noqa: F811
    picture("shrinkage_coefficients", plots.shrinkage(fitted(), "coefficients", highlight=103))
    picture("shrinkage_data", plots.shrinkage(fitted(), highlight=103))
    two = plots.model_against_model(fitted("agq", NULL), fitted(), what="ranks")
    picture("model_against_model", two)


def other_rows():
    return bridge.fit(SPEC, data().iloc[3:], "fake", seed=1)


def no_effects():
    return bridge.fit(bridge.ModelSpec("y ~ x"), data(), "ols")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: plots.shrinkage(r, "tau"), "OptionError", "plane is"),
        (lambda r: plots.shrinkage(r, highlight=[7]), "OptionError", "no g '7' to highlight"),
        (lambda r: plots.shrinkage(r, effects=["u:x", "u:z"]), "OptionError", "two effects of"),
        (lambda r: plots.shrinkage(r, effects="u:x"), "OptionError", "two effects of the mean"),
        (lambda r: plots.shrinkage(r, ax=plt.figure().subplots()), "OptionError", "2 panel"),
        (lambda r: plots.shrinkage(fitted("agq", NULL), "coefficients"), "NotAvailable",
         "takes two effects of the mean, and there is u:Intercept alone"),
        (lambda r: plots.shrinkage(no_effects()), "NotAvailable", "no group effects"),
        (lambda r: plots.model_against_model(r, r, what="rank"), "OptionError", "what is"),
        (lambda r: plots.model_against_model(r, r, of="ICC"), "OptionError", "of is"),
        (lambda r: plots.model_against_model(r, r, of=["mean"]), "OptionError", "of is"),
        (lambda r: plots.model_against_model(r, r, of="u:z"), "NotAvailable", "no effect 'u:z'"),
        (lambda r: plots.model_against_model(r, r, of="u:x", at="own"), "OptionError", "at is for"),
        (lambda r: plots.model_against_model(r, r, labels=["a"]), "OptionError", "labels are two"),
        (lambda r: plots.model_against_model(r, r, highlight=9), "OptionError", "no g '9'"),
        (lambda r: plots.model_against_model(r, other_rows()), "RequestError", "not of the same"),
        (lambda r: plots.model_against_model(r, other_rows(), of="u:x"), "RequestError",
         "different rows"),
        (lambda r: plots.model_against_model(r, fitted("agq", PLAIN), of="variance"),
         "NotAvailable", "do not both let the variance"),
    ],
)  # fmt: skip
def test_bad_requests(call, error, words) -> None:
    with pytest.raises(getattr(errors, error), match=words):
        call(fitted())


def test_where_no_group_has_own_estimates() -> None:
    rows = data().groupby("g").head(2).assign(x=lambda d: d["g"] / 10.0)
    result = bridge.fit(PLAIN, rows, "fake", seed=1)
    with pytest.raises(errors.NotAvailable, match="No g has rows that determine its own"):
        plots.shrinkage(result)
