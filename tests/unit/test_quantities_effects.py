"""Shrinkage against regressions of each group, and what changes between models."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors, quantities
from bridge.result import Result


@cache
def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), rng.integers(3, 20, 30))
    x, w = rng.normal(0.5, 1, len(g)), rng.normal(size=30)[g]
    u = rng.normal(size=(2, 30)) * np.array([[1.0], [0.5]])
    y = 2 + x + 0.8 * w + u[0, g] + u[1, g] * x + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


@cache
def fitted(mean: str, variance: str = "~ 1") -> Result:
    return bridge.fit(bridge.ModelSpec(mean, variance), data(), "agq")


def test_random_intercepts_shrink_towards_what_predictors_of_groups_say() -> None:
    result, d = fitted("y ~ 1 + w + (1 | g)"), data()
    found = quantities.shrinkage(result)
    means, n = d.groupby("g")["y"].mean(), d.groupby("g").size()
    np.testing.assert_allclose(found["blue"].to_numpy(float), means)
    sigma2 = np.exp(result.estimate("delta[Intercept]"))
    np.testing.assert_allclose(found["blue_se"].to_numpy(float), np.sqrt(sigma2 / n))
    tau = result.estimate("tau[u:Intercept,u:Intercept]")
    reliability = tau / (tau + sigma2 / n)
    np.testing.assert_allclose(found["reliability"].to_numpy(float), reliability)
    w = d.groupby("g")["w"].first()
    population = result.estimate("gamma[Intercept]") + result.estimate("gamma[w]") * w
    np.testing.assert_allclose(found["population"].to_numpy(float), population)
    expected = reliability * means + (1 - reliability) * population
    np.testing.assert_allclose(found["blup"].to_numpy(float), expected, rtol=1e-6)


def test_random_slopes_beside_each_groups_regression() -> None:
    result = fitted("y ~ 1 + x * w + (1 + x | g)")
    found = quantities.shrinkage(result)
    d = data()
    for j, own in d.groupby("g"):
        line = np.polyfit(own["x"], own["y"], 1)[::-1]
        rows = found[found["group"] == str(j)]
        np.testing.assert_allclose(rows["blue"].to_numpy(float), line, rtol=1e-6)
    # the posterior means of u by the matrix form: T (T + V)^-1 (blue - population)
    T = result.covariance().to_numpy(float)
    own = d[d["g"] == 7]
    Z = np.column_stack([np.ones(len(own)), own["x"]])
    V = np.linalg.inv(Z.T @ Z) * np.exp(result.estimate("delta[Intercept]"))
    rows = found[found["group"] == "7"]
    blue, population = rows["blue"].to_numpy(float), rows["population"].to_numpy(float)
    expected = population + T @ np.linalg.solve(T + V, blue - population)
    np.testing.assert_allclose(rows["blup"].to_numpy(float), expected, rtol=1e-5)


def test_a_fixed_predictor_of_units_is_taken_off() -> None:
    result, d = fitted("y ~ 1 + x + (1 | g)", "~ 1 + x"), data()
    found = quantities.shrinkage(result)
    weight = np.exp(-result.estimate("delta[Intercept]") - result.estimate("delta[x]") * d["x"])
    left = d["y"] - result.estimate("gamma[x]") * d["x"]
    blue = (weight * left).groupby(d["g"]).sum() / weight.groupby(d["g"]).sum()
    np.testing.assert_allclose(found["blue"].to_numpy(float), blue)
    assert (found["population"] == result.estimate("gamma[Intercept]")).all()


def test_a_group_whose_rows_say_nothing_of_a_slope_has_no_blue() -> None:
    d = data().copy()
    d.loc[d["g"] == 3, "x"] = 0.7
    spec = bridge.ModelSpec("y ~ 1 + x + (1 + x | g)")
    found = quantities.shrinkage(bridge.fit(spec, d, "agq"))
    own = found[found["group"] == "3"]
    assert own["blue"].isna().all() and own["reliability"].isna().all()
    assert own["blup"].notna().all() and found["blue"].notna().sum() == 58


def test_what_predictors_explain() -> None:
    before, after = (
        fitted("y ~ 1 + (1 | g)", "~ 1 + (1 | g)"),
        fitted("y ~ 1 + x + w + (1 | g)", "~ 1 + (1 | g)"),
    )
    found = quantities.changes(before, after).set_index("quantity")
    tau = [r.estimate("tau[u:Intercept,u:Intercept]") for r in (before, after)]
    row = found.loc["variance of u:Intercept"]
    assert [row["before"], row["after"]] == tau and row["share"] == 1 - tau[1] / tau[0]
    assert row["share"] > 0.1 and row["scale"] == "outcome²"
    delta, tau_v = (
        [r.estimate(name) for r in (before, after)]
        for name in ("delta[Intercept]", "tau[v:Intercept,v:Intercept]")
    )
    level1 = np.exp(np.array(delta) + np.array(tau_v) / 2)
    row = found.loc["level-1 variance, population average"]
    np.testing.assert_allclose([row["before"], row["after"]], level1)


def test_groups_in_two_models() -> None:
    before, after = fitted("y ~ 1 + (1 | g)"), fitted("y ~ 1 + x + w + (1 | g)", "~ 1 + (1 | g)")
    found = quantities.group_changes(before, after)
    assert list(found["quantity"].unique()) == ["mean"]  # variances differ in one alone
    old, new = (
        quantities.groups(r, of="mean")["estimate"].to_numpy(float) for r in (before, after)
    )
    np.testing.assert_allclose(found["correlation"], np.corrcoef(old, new)[0, 1])
    ranks = [1 + (v[:, None] < v).sum(axis=1) for v in (old, new)]
    np.testing.assert_array_equal(found["rank_change"], ranks[0] - ranks[1])
    np.testing.assert_allclose(found["rank_correlation"], np.corrcoef(*ranks)[0, 1])


def test_models_that_cannot_be_laid_beside_each_other() -> None:
    result = fitted("y ~ 1 + (1 | g)")
    fewer = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), data().iloc[:-1], "agq")
    with pytest.raises(errors.DataError, match="not of the same rows"):
        quantities.changes(result, fewer)
    turned = data().iloc[::-1]
    exchanged = data().assign(g=lambda d: d["g"].map({0: 1, 1: 0}).fillna(d["g"]).astype(int))
    for rows in (turned, exchanged):
        elsewhere = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), rows, "agq")
        with pytest.raises(errors.DataError, match="not the same y and g in each row"):
            quantities.group_changes(result, elsewhere)
    other = bridge.fit(bridge.ModelSpec("x ~ 1 + (1 | g)"), data(), "agq")
    with pytest.raises(errors.DataError, match="of y in g and of x in g"):
        quantities.group_changes(result, other)
    with pytest.raises(errors.NotAvailable, match="no group effects"):
        quantities.shrinkage(fitted("y ~ 1", "~ 1 + (1 | g)"))
    student = dataclasses.replace(result, spec=result.spec.replace(random_effects="student_t"))
    with pytest.raises(errors.NotAvailable, match="Student-t effects"):
        quantities.shrinkage(student)


@pytest.mark.parametrize(
    "mean", ["y ~ x + cvar(x, g) + (1 | g)", "y ~ dvar(x, g) + cvar(x, g) + (1 | g)"]
)
def test_between_within_and_contextual_effects(mean: str) -> None:
    found = quantities.contextual(fitted(mean), "x").set_index("effect")
    d = data().assign(m=lambda f: f["x"].groupby(f["g"]).transform("mean"))
    d["dev"] = d["x"] - d["m"]
    named = bridge.fit(bridge.ModelSpec("y ~ dev + m + (1 | g)"), d, "agq")
    rows = named.estimates.set_index("parameter")
    edges = ["estimate", "se", "lower", "upper"]
    for effect, parameter in (("within", "gamma[dev]"), ("between", "gamma[m]")):
        np.testing.assert_allclose(
            found.loc[effect, edges].to_numpy(float), rows.loc[parameter, edges].to_numpy(float),
            rtol=1e-4,
        )  # fmt: skip
    raw = bridge.fit(bridge.ModelSpec("y ~ x + m + (1 | g)"), d, "agq")
    expected = raw.estimates.set_index("parameter").loc["gamma[m]", edges]
    np.testing.assert_allclose(
        found.loc["contextual", edges].to_numpy(float), expected.to_numpy(float), rtol=1e-4
    )
    again = quantities.contextual(named, within="dev", between="m", centred=True)
    np.testing.assert_allclose(
        again[edges].to_numpy(float), found[edges].to_numpy(float), rtol=1e-4
    )


def test_contextual_effects_that_the_model_does_not_have() -> None:
    result = fitted("y ~ 1 + x + w + (1 | g)")
    with pytest.raises(errors.NotAvailable, match=r"no x \+ cvar\(x, g\)"):
        quantities.contextual(result, "x")
    with pytest.raises(errors.NotAvailable, match="no term 'm'"):
        quantities.contextual(result, within="x", between="m", centred=False)
    for wrong in ({"within": "x", "between": "w"}, {}, {"x": "x", "within": "x"}):
        with pytest.raises(errors.OptionError):
            quantities.contextual(result, **wrong)
    with pytest.raises(errors.OptionError, match="function is"):
        quantities.contextual(result, "x", function="sigma")


def test_what_is_no_result() -> None:
    result = fitted("y ~ 1 + (1 | g)")
    for name in quantities.__all__:
        function, more = getattr(quantities, name), ()
        if "changes" in name:
            more = (result, "u:Intercept")[: 2 if name == "effect_changes" else 1]
        elif name in ("curves", "redrawn_variances"):
            more = ("x",)
        with pytest.raises(errors.RequestError, match="takes a result, not str"):
            function("m1.nc", *more)
    with pytest.raises(errors.RequestError, match="takes a result, not str"):
        bridge.predict("m1.nc")
    with pytest.raises(errors.OptionError, match="share is a number between 0 and 1, not 'a'"):
        quantities.groups(result, share="a")
    with pytest.raises(errors.NotAvailable, match="has no effect '3'"):
        quantities.effect_changes(result, result, 3)


def test_numbers_that_are_too_large_are_not_there_and_warn_of_nothing() -> None:
    result = fitted("y ~ 1 + x + (1 + x | s | g)", "~ 1 + x + (1 | s | g)")
    sign = np.sign(result.estimate("delta[x]"))
    found = quantities.groups(result, at={"x": sign * 1e6}, of=["mean", "variance", "ICC"])
    assert found.loc[found["quantity"] == "variance", "estimate"].isna().all()
    assert found.loc[found["quantity"] == "mean", "estimate"].notna().all()
    table = bridge.predict(result, {"x": sign * 1e6}, groups="new")
    assert table["variance"].isna().all() and table["mean"].notna().all()
