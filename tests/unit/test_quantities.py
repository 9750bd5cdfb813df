"""Quantities against loops over draws, derivatives by hand and simulation from the fitted model."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge import arviz_compat, errors, quantities
from bridge.design_of import design_of
from bridge.newdata import rows_of
from bridge.prediction import level2_covariance
from bridge.quantities.values import estimated, values_of
from bridge.result import Result

SPEC = bridge.ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + w + (1 | s | g)")
EDGES = ["estimate", "se", "lower", "upper"]
D = stats.norm.ppf(0.9)


@cache
def data(groups: int = 40, size: int = 25) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(groups), size)
    x, w = rng.normal(0.5, 1, len(g)), rng.normal(size=groups)[g]
    b = rng.normal(size=(3, groups)) * np.array([[1.0], [0.5], [0.6]])
    sigma = np.exp(0.5 * (0.3 + 0.4 * w + b[2, g]))
    y = 2 + x + b[0, g] + b[1, g] * x + sigma * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


@cache
def fitted(engine: str) -> Result:
    options = {"fake": {"chains": 2, "draws": 150, "seed": 1}, "agq": {}}
    return bridge.fit(SPEC, data(), engine, **options[engine])


def by_hand(result: Result) -> tuple[np.ndarray, ...]:
    """gamma, delta, T, u, v of every draw, one after the other, from the posterior's labels."""
    posterior = arviz_compat.groups_of(result.idata)["posterior"]
    stacked = posterior.stack(s=("chain", "draw")).transpose("s", ...)
    effects = list(result.effects)
    T = np.zeros((stacked.sizes["s"], 3, 3))
    for i, label in enumerate(posterior["tau_pair"].values):
        first, second = str(label).split(",")
        a, b = effects.index(first), effects.index(second)
        T[:, a, b] = T[:, b, a] = stacked["tau"].values[:, i]
    return (
        stacked["gamma"].values,
        stacked["delta"].values,
        T,
        stacked["u"].values,
        stacked["v"].values,
    )


def row(frame: pd.DataFrame, quantity: str) -> pd.Series:
    return frame[frame["quantity"] == quantity].iloc[0]


def assert_draws(found: pd.Series, draws: np.ndarray) -> None:
    expected = [draws.mean(), draws.std(ddof=1), *np.quantile(draws, [0.025, 0.975])]
    np.testing.assert_allclose(found[EDGES].to_numpy(float), expected, rtol=1e-10)
    assert found["method"] == "posterior"


def test_of_a_posterior_every_number_is_that_of_each_draw() -> None:
    result = fitted("fake")
    gamma, delta, T, _, _ = by_hand(result)
    d = data()
    x, w = d["x"].mean(), d["w"].mean()
    eta, s = delta[:, 0] + w * delta[:, 1], T[:, 2, 2]
    level1 = quantities.level1_variance(result)
    assert_draws(row(level1, "population average"), np.exp(eta + s / 2))
    assert_draws(row(level1, "median"), np.exp(eta))
    assert_draws(row(level1, "between-group variance"), np.exp(2 * eta + s) * (np.exp(s) - 1))
    assert_draws(row(level1, "10th percentile"), np.exp(eta - D * np.sqrt(s)))
    assert_draws(row(level1, "90th percentile"), np.exp(eta + D * np.sqrt(s)))
    between = T[:, 0, 0] + 2 * x * T[:, 0, 1] + x**2 * T[:, 1, 1]
    means = quantities.group_mean_range(result)
    center = gamma[:, 0] + x * gamma[:, 1]
    assert_draws(row(means, "10th percentile"), center - D * np.sqrt(between))
    assert_draws(row(means, "range"), 2 * D * np.sqrt(between))
    gap = quantities.outcome_gap(result)
    assert_draws(row(gap, "most variable groups"), 2 * D * np.exp(0.5 * (eta + D * np.sqrt(s))))
    shares = quantities.variance_partition(result)
    assert_draws(row(shares, "between groups"), between)
    assert_draws(row(shares, "ICC"), between / (between + np.exp(eta + s / 2)))
    assert row(shares, "ICC")["scale"] == "share"
    ratios = quantities.variance_ratios(result)
    assert list(ratios["parameter"]) == ["delta[w]"]
    assert_draws(ratios.iloc[0], np.exp(delta[:, 1]))


def test_without_draws_errors_are_those_of_the_delta_method() -> None:
    result = fitted("agq")
    found = row(quantities.level1_variance(result), "population average")
    w, tau = data()["w"].mean(), "tau[v:Intercept,v:Intercept]"
    names = ["delta[Intercept]", "delta[w]", tau]
    at = np.array([result.estimate(name) for name in names])
    value = np.exp(at[0] + w * at[1] + at[2] / 2)
    slope = value * np.array([1.0, w, 0.5])
    V = result.parameter_covariance.loc[names, names].to_numpy(float)
    se = np.sqrt(slope @ V @ slope)
    z = stats.norm.ppf(0.975)
    expected = [value, se, value * np.exp(-z * se / value), value * np.exp(z * se / value)]
    np.testing.assert_allclose(found[EDGES].to_numpy(float), expected, rtol=1e-5)
    assert found["method"] == "delta method" and found["scale"] == "outcome²"


def test_a_simulated_population_has_these_numbers() -> None:
    result, rng, n = fitted("agq"), np.random.default_rng(3), 2_000_000
    T = result.covariance().to_numpy()
    x, w = data()["x"].mean(), data()["w"].mean()
    b = rng.multivariate_normal(np.zeros(3), T, n)
    eta = result.estimate("delta[Intercept]") + w * result.estimate("delta[w]")
    variance = np.exp(eta + b[:, 2])
    mean = result.estimate("gamma[Intercept]") + x * result.estimate("gamma[x]")
    means = mean + b[:, 0] + x * b[:, 1]
    level1, shares = quantities.level1_variance(result), quantities.variance_partition(result)
    for frame, quantity, number in (
        (level1, "population average", variance.mean()),
        (level1, "median", np.median(variance)),
        (level1, "between-group variance", variance.var()),
        (level1, "10th percentile", np.quantile(variance, 0.1)),
        (level1, "90th percentile", np.quantile(variance, 0.9)),
        (quantities.group_mean_range(result), "10th percentile", np.quantile(means, 0.1)),
        (quantities.group_mean_range(result), "90th percentile", np.quantile(means, 0.9)),
        (shares, "between groups", means.var()),
        (shares, "within groups", variance.mean()),
    ):
        assert row(frame, quantity)["estimate"] == pytest.approx(number, rel=0.01), quantity
    # two outcomes of one group are correlated by the ICC
    y = means + np.sqrt(variance) * rng.normal(size=(2, n))
    icc = np.corrcoef(y)[0, 1]
    assert row(shares, "ICC")["estimate"] == pytest.approx(icc, abs=0.003)
    least = variance[np.abs(variance - np.quantile(variance, 0.1)) < 0.002]
    outcomes = np.sqrt(np.resize(least, n)) * rng.normal(size=n)
    gap = np.quantile(outcomes, 0.9) - np.quantile(outcomes, 0.1)
    found = row(quantities.outcome_gap(result), "least variable groups")["estimate"]
    assert found == pytest.approx(gap, rel=0.01)


# --- groups -----------------------------------------------------------------------------------
def test_groups_of_a_posterior() -> None:
    result = fitted("fake")
    gamma, delta, T, u, v = by_hand(result)
    found = quantities.groups(result, share=0.1)
    assert list(found["quantity"].unique()) == ["mean", "variance", "total variance", "ICC"]
    assert len(found) == 4 * 40
    x, w = data()["x"].mean(), data()["w"].mean()
    eta = delta[:, 0] + w * delta[:, 1]
    variances = np.exp(eta[:, None] + v[:, :, 0])
    means = (gamma[:, 0] + x * gamma[:, 1])[:, None] + u[:, :, 0] + x * u[:, :, 1]
    between = T[:, 0, 0] + 2 * x * T[:, 0, 1] + x**2 * T[:, 1, 1]
    within = data()["x"].groupby(data()["g"]).var(ddof=0).mean()
    totals = u[:, :, 1] ** 2 * within + variances
    for quantity, draws, middle in (
        ("total variance", totals, np.exp(eta) + within * T[:, 1, 1]),
        ("mean", means, gamma[:, 0] + x * gamma[:, 1]),
        ("variance", variances, np.exp(eta)),
        (
            "ICC",
            between[:, None] / (between[:, None] + variances),
            between / (between + np.exp(eta)),
        ),
    ):
        part = found[found["quantity"] == quantity].reset_index(drop=True)
        assert list(part["group"]) == [str(j) for j in range(40)]
        np.testing.assert_allclose(part["average"], middle.mean())
        for j in (0, 17, 39):
            assert_draws(part.loc[j], draws[:, j])
            ranks = np.array([(d >= d[j]).sum() for d in draws])
            assert part.loc[j, "p_top"] == pytest.approx((ranks <= 4).mean())
            assert part.loc[j, "p_bottom"] == pytest.approx((ranks > 36).mean())
            assert part.loc[j, "rank_lower"] <= np.quantile(ranks, 0.03)
            assert part.loc[j, "rank_upper"] >= np.quantile(ranks, 0.97)
            assert part.loc[j, "p_above"] == pytest.approx((draws[:, j] > middle).mean())
            assert part.loc[j, "rank"] == (part["estimate"] >= part.loc[j, "estimate"]).sum()


def test_groups_that_are_equal_share_their_rank() -> None:
    result = fitted("agq")
    table = result.group_effects.copy()
    own = table["effect"] == "v:Intercept"
    table.loc[own, ["estimate", "se"]] = 0.0
    covariance = np.array(result.effects_covariance)
    covariance[:, 2], covariance[:, :, 2] = 0.0, 0.0
    flat = dataclasses.replace(result, group_effects=table, effects_covariance=covariance)
    found = quantities.groups(flat, of="variance")
    for name in ("rank", "rank_lower", "rank_upper"):
        assert (found[name] == 20.5).all()
    assert not found["differs"].any()


def test_the_average_total_variance_is_that_of_simulated_groups() -> None:
    result, rng = fitted("agq"), np.random.default_rng(1)
    found = quantities.groups(result, of="total variance")
    T = result.covariance().to_numpy()
    slope = rng.normal(0, np.sqrt(T[1, 1]), 1_000_000)
    within = data()["x"].groupby(data()["g"]).var(ddof=0).mean()
    eta = result.estimate("delta[Intercept]") + data()["w"].mean() * result.estimate("delta[w]")
    expected = (slope**2 * within).mean() + np.exp(eta)
    assert found["average"].iloc[0] == pytest.approx(expected, rel=2e-3)


def test_groups_without_draws() -> None:
    result = fitted("agq")
    found = quantities.groups(result, of="variance").reset_index(drop=True)
    effects = result.group_effects[result.group_effects["effect"] == "v:Intercept"]
    v = effects["estimate"].to_numpy(float)
    w = data()["w"].mean()
    eta = result.estimate("delta[Intercept]") + w * result.estimate("delta[w]")
    np.testing.assert_allclose(found["estimate"].to_numpy(float), np.exp(eta + v))
    names = ["delta[Intercept]", "delta[w]"]
    V = result.parameter_covariance.loc[names, names].to_numpy(float)
    own = np.array([result.effect_covariance(str(j)).to_numpy()[2, 2] for j in range(40)])
    se = np.exp(eta + v) * np.sqrt(np.array([1, w]) @ V @ np.array([1, w]) + own)
    np.testing.assert_allclose(found["se"].to_numpy(float), se, rtol=1e-4)
    np.testing.assert_array_equal(found["differs"].to_numpy(bool), np.abs(v) > 1.959964 * own**0.5)
    above = stats.norm.cdf(v / own**0.5)
    np.testing.assert_allclose(found["p_above"].to_numpy(float), above, atol=0.035)
    assert (found["rank_lower"] <= found["rank"]).mean() > 0.95
    assert found["p_top"].sum() == pytest.approx(4) and found["p_bottom"].sum() == pytest.approx(4)


def test_a_groups_own_predictors_count_where_asked() -> None:
    result, d = fitted("agq"), data()
    own = quantities.groups(result, at="own", of="variance")
    common = quantities.groups(result, of="variance")
    w = d.groupby("g")["w"].first().to_numpy()
    shift = np.exp(result.estimate("delta[w]") * (w - d["w"].mean()))
    ratio = own["estimate"].to_numpy(float) / common["estimate"].to_numpy(float)
    np.testing.assert_allclose(ratio, shift, rtol=1e-8)
    np.testing.assert_array_equal(own["differs"], common["differs"])


def test_an_engine_without_errors_of_effects_gives_no_ranks() -> None:
    result = fitted("agq")
    table = result.group_effects.copy()
    table["se"] = pd.array([None] * len(table), dtype="Float64")
    bare = dataclasses.replace(result, group_effects=table, effects_covariance=None)
    found = quantities.groups(bare, of="mean")
    assert found["estimate"].notna().all()
    for name in ("se", "lower", "p_above", "differs", "rank", "p_top"):
        assert found[name].isna().all(), name


def test_a_variance_at_its_bound_has_no_interval() -> None:
    rng = np.random.default_rng(1)
    d = data().assign(y=lambda f: f["x"] + rng.normal(size=len(f)))
    result = bridge.fit(bridge.ModelSpec("y ~ 1 + x + (1 | g)", "~ 1 + (1 | g)"), d, "agq")
    found = quantities.variance_partition(result)
    assert found["estimate"].notna().all()
    assert found["se"].isna().any()  # something is at its bound here


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: quantities.groups(r, of="median"), errors.OptionError, "no quantity 'median'"),
        (lambda r: quantities.groups(r, share=10), errors.OptionError, "share is a number between"),
        (lambda r: quantities.groups(r, at="mine"), errors.OptionError, "at is 'own' or values"),
    ],
)
def test_bad_requests(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call(fitted("agq"))


def test_what_does_not_hold_is_refused() -> None:
    plain = bridge.fit(bridge.ModelSpec("y ~ 1 + x + (1 | g)", "~ 1"), data(), "agq")
    with pytest.raises(errors.NotAvailable, match="variance of groups is not let differ"):
        quantities.groups(plain, of="variance")
    assert list(quantities.groups(plain)["quantity"].unique()) == ["mean"]
    none = bridge.fit(bridge.ModelSpec("y ~ 1 + x"), data(), "agq")
    with pytest.raises(errors.NotAvailable, match="no group effects"):
        quantities.groups(none)
    with pytest.raises(errors.NotAvailable, match="no variance lies between"):
        quantities.variance_partition(none)


def test_level_2_functions_have_the_matrix_of_the_profile() -> None:
    spec = SPEC.replace(
        mean="y ~ 1 + x + (1 | s | g)",
        level2={"tau[v:Intercept,v:Intercept]": "~ w", "rho[u:Intercept,v:Intercept]": "~ w"},
    )
    result = bridge.fit(spec, data(), "agq")
    at = {"x": 0.3, "w": [-1.0, 0.5]}
    found = quantities.variance_partition(result, at=at)
    new = bridge.predict(result, at, groups="new")
    for name, quantity in (("variance", "within groups"), ("between", "between groups")):
        own = found[found["quantity"] == quantity]
        for ending, edge in zip(("", "_se", "_lower", "_upper"), EDGES, strict=True):
            np.testing.assert_allclose(
                own[edge].to_numpy(float), new[f"{name}{ending}"].to_numpy(float), rtol=1e-10
            )
    assert list(quantities.groups(result, {"x": 0.3, "w": 0.5})["quantity"].unique()) == [
        "mean",
        "variance",
        "ICC",
    ]
    shrunk = quantities.shrinkage(result)
    assert shrunk["reliability"].between(0, 1).all()


def test_errors_of_estimates_are_those_of_central_differences() -> None:
    spec = SPEC.replace(
        mean="y ~ 1 + x + (1 | g)", variance="~ 1 + w + (1 | g)", association="quadratic"
    )
    result = bridge.fit(spec, data(), "agq")
    V = result.parameter_covariance

    def at(table: pd.DataFrame) -> np.ndarray:
        moved = dataclasses.replace(result, estimates=table)
        frames = [quantities.variance_partition(moved), quantities.level1_variance(moved)]
        return pd.concat(frames)["estimate"].dropna().to_numpy(float)

    slopes = []
    for parameter in V.index:
        ends = []
        for sign in (1, -1):
            table = result.estimates.copy()
            table.loc[table["parameter"] == parameter, "estimate"] += sign * 1e-5
            ends.append(at(table))
        slopes.append((ends[0] - ends[1]) / 2e-5)
    se = np.sqrt(np.einsum("pn,pq,qn->n", slopes, V.to_numpy(), slopes))
    whole = pd.concat([quantities.variance_partition(result), quantities.level1_variance(result)])
    found = whole.loc[whole["estimate"].notna(), "se"].to_numpy(float)
    assert len(found) == 5
    np.testing.assert_allclose(found, se, rtol=1e-5)


def test_a_model_without_effects_has_ranges_of_nothing() -> None:
    none = bridge.fit(bridge.ModelSpec("y ~ 1 + x"), data(), "agq")
    found = quantities.group_mean_range(none).set_index("quantity")
    assert found.loc["range", "estimate"] == 0
    level1 = quantities.level1_variance(none).set_index("quantity")
    variance = np.exp(none.estimate("delta[Intercept]"))
    for quantity in ("population average", "median", "10th percentile", "90th percentile"):
        assert level1.loc[quantity, "estimate"] == pytest.approx(variance)
    assert level1.loc["between-group variance", ["se", "lower", "upper"]].isna().all()


def test_values_of_draws_are_those_of_the_labels() -> None:
    result = fitted("fake")
    gamma, delta, T, u, v = by_hand(result)
    found = values_of(result, effects=True)
    for ours, theirs in ((found.gamma, gamma), (found.delta, delta)):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.effects, np.concatenate([u, v], axis=-1))
    matrices = level2_covariance(found.sets, rows_of(result))
    np.testing.assert_array_equal(matrices, T[:, None])


def test_a_linear_function_of_estimates_is_exact() -> None:
    result = fitted("agq")
    found = estimated(result, lambda v: v.gamma)
    own = result.estimates.set_index("parameter").loc[["gamma[Intercept]", "gamma[x]"]]
    np.testing.assert_allclose(found[EDGES].to_numpy(float), own[EDGES].to_numpy(float), rtol=1e-6)
    assert design_of(result).mean.labels == ("Intercept", "x")


def test_profiles_of_predictors() -> None:
    result = fitted("agq")
    found = quantities.level1_variance(result, at={"x": 0, "w": [-1, 1]})
    assert list(found["w"]) == [-1] * 5 + [1] * 5 and (found["x"] == 0).all()
    delta = [result.estimate(f"delta[{t}]") for t in ("Intercept", "w")]
    medians = found.loc[found["quantity"] == "median", "estimate"].to_numpy(float)
    np.testing.assert_allclose(medians, np.exp(delta[0] + np.array([-1, 1]) * delta[1]))
    rows = pd.DataFrame({"w": [1.0], "x": [0.0]})
    again = quantities.level1_variance(result, at=rows)
    np.testing.assert_array_equal(again["estimate"], found["estimate"][5:])
    with pytest.raises(errors.OptionError, match="one profile"):
        quantities.group_changes(result, result, at={"x": 0, "w": [-1, 1]})
    with pytest.raises(errors.BridgeError, match="w"):
        quantities.level1_variance(result, at={"x": 0})
