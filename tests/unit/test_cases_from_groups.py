"""Numbers of groups and of pairs of fits, against loops over draws."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.cases.numbers import PRINT, Context, Number, compute
from bridge.errors import NotAvailable, OptionError
from bridge.posterior_parts import draws_of, posterior_of
from bridge.result import Result
from bridge.spec import ModelSpec

TAU_U, TAU_V = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
MEAN, VARIANCE = "y ~ 1 + (1 | s | g)", "~ 1 + w + (1 | s | g)"


@cache
def frame() -> pd.DataFrame:
    """Return 12 groups of 15 rows, some far apart."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(12), 15)
    w = (np.arange(12) % 2)[g]
    u, v = rng.normal(size=12)[g], rng.normal(size=12)[g]
    y = u + np.exp(v / 2) * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "w": w, "x": rng.normal(size=len(g)), "g": g})


@cache
def fitted(engine: str = "fake", mean: str = MEAN, variance: str = VARIANCE) -> Result:
    options = {"draws": 60, "chains": 2, "seed": 1} if engine == "fake" else {}
    return bridge.fit(ModelSpec(mean, variance), frame(), engine, **options)


def number(name: str, *results: Result, column: str = "an engine", **arguments: Any) -> Number:
    case: Any = SimpleNamespace(name="a/b")
    named = dict(zip(("main", "other"), results, strict=False))
    return compute(name, Context(case, frame(), named, column), arguments)


def by_group(result: Result) -> tuple[np.ndarray, ...]:
    """Return u, v and w'delta (draw, group) with tau_u, tau_v and gamma_00 (draw, 1), by loops."""
    posterior = posterior_of(result)
    names = ["delta[Intercept]", "delta[w]", TAU_U, TAU_V, "gamma[Intercept]"]
    known = draws_of(result, names)
    places = [(c, d) for c in range(2) for d in range(60)]
    u, v = (np.array([posterior[letter].values[c, d, :, 0] for c, d in places]) for letter in "uv")
    fixed = np.array(
        [[known[names[0]][p] + (j % 2) * known[names[1]][p] for j in range(12)] for p in places]
    )
    rest = (np.array([[known[name][p]] for p in places]) for name in names[2:])
    return u, v, fixed, *rest


@pytest.mark.parametrize(("summary", "of"), [("min", min), ("max", max), ("mean", np.mean)])
def test_icc_of_groups(summary: str, of: Any) -> None:
    _, v, fixed, tau, _, _ = by_group(fitted())
    icc = (tau / (tau + np.exp(fixed + v))).mean(axis=0)
    found = number("group_icc", fitted(), summary=summary)
    assert found.value == pytest.approx(of(icc), rel=1e-12)
    assert found.mc_error > 0


def test_icc_of_groups_by_maximum_likelihood() -> None:
    result = fitted("agq")
    table = result.group_effects
    v = table.loc[table["effect"] == "v:Intercept", "estimate"].to_numpy(float)
    d = [result.estimate(name) for name in ("delta[Intercept]", "delta[w]")]
    tau = result.estimate(TAU_U)
    icc = [tau / (tau + np.exp(d[0] + (j % 2) * d[1] + v[j])) for j in range(12)]
    assert number("group_icc", result, summary="max").value == pytest.approx(max(icc))


def test_average_icc_against_the_average_variance_of_many_groups() -> None:
    result = fitted("agq", variance="~ 1 + (1 | s | g)")
    tau_u, tau_v = result.estimate(TAU_U), result.estimate(TAU_V)
    draws = np.random.default_rng(1).normal(size=400_000) * np.sqrt(tau_v)
    average = np.exp(result.estimate("delta[Intercept]") + draws).mean()
    found = number("average_icc", result)
    assert found.value == pytest.approx(tau_u / (tau_u + average), rel=0.01)
    median = number("average_icc", result, at="median").value
    assert median == pytest.approx(tau_u / (tau_u + np.exp(result.estimate("delta[Intercept]"))))


def test_no_average_icc_with_predictors() -> None:
    with pytest.raises(NotAvailable, match="no one average variance"):
        number("average_icc", fitted("agq"))


@pytest.mark.parametrize("of", ["mean", "variance"])
@pytest.mark.parametrize("reference", ["average", "median"])
@pytest.mark.parametrize("rule", ["interval", "normal", "line"])
def test_groups_that_differ(of: str, reference: str, rule: str) -> None:
    u, v, fixed, _, tau_v, gamma = by_group(fitted())
    away = u if of == "mean" else v
    level = gamma if of == "mean" else fixed
    if of == "variance" and reference == "average":
        away, level = away - tau_v / 2, level + tau_v / 2
    count = 0
    for j in range(12):
        mine, line = away[:, j], level[:, j % level.shape[1]]
        if rule == "line":
            mine = mine + line - line.mean()
        if rule == "normal":
            count += abs(mine.mean()) > 1.959964 * mine.std(ddof=1)
        else:
            lower, upper = np.quantile(mine, [0.025, 0.975])
            count += lower > 0 or upper < 0
    found = number("groups_that_differ", fitted(), of=of, reference=reference, rule=rule)
    assert found.value == count
    assert 0 <= found.mc_error < 3


def test_groups_that_differ_by_standard_errors() -> None:
    result = fitted("agq")
    table = result.group_effects[result.group_effects["effect"] == "u:Intercept"]
    far = table["estimate"].abs() > 1.959964 * table["se"]
    assert number("groups_that_differ", result, of="mean").value == far.sum()


def test_groups_with_a_positive_slope() -> None:
    result = fitted("agq", "y ~ 1 + x + (1 + x | g)", "~ 1")
    table = result.group_effects[result.group_effects["effect"] == "u:x"]
    slopes = table["estimate"].to_numpy(float) + result.estimate("gamma[x]")
    found = number("groups_with_positive_slope", result, coefficient="gamma[x]", effect="u:x")
    assert found.value == sum(s > 0 for s in slopes)
    likely = number(
        "groups_with_positive_slope", result, coefficient="gamma[x]", effect="u:x", probability=0.9
    )
    z = slopes / table["se"].to_numpy(float)
    assert likely.value == sum(each > 1.281552 for each in z)
    with pytest.raises(NotAvailable, match="no effect 'u:z'"):
        number("groups_with_positive_slope", result, coefficient="gamma[x]", effect="u:z")


def test_groups_with_a_likely_positive_slope_by_draws() -> None:
    result = fitted("fake", "y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)")
    posterior = posterior_of(result)
    draws = draws_of(result, ["gamma[x]"])["gamma[x]"]
    shares = [
        np.mean([posterior["u"].values[c, d, j, 1] + draws[c, d] > 0
                 for c in range(2) for d in range(60)])
        for j in range(12)
    ]  # fmt: skip
    found = number(
        "groups_with_positive_slope", result, coefficient="gamma[x]", effect="u:x", probability=0.8
    )
    assert found.value == sum(share > 0.8 for share in shares)
    assert found.mc_error >= 0


def test_what_has_no_groups() -> None:
    with pytest.raises(NotAvailable, match="those of a fit"):
        number("group_icc", column=PRINT, summary="min")
    with pytest.raises(NotAvailable, match="random intercepts"):
        number("group_icc", fitted("agq", "y ~ 1 + x + (1 + x | g)", "~ 1"), summary="min")
    with pytest.raises(NotAvailable, match="differs within groups"):
        number("group_icc", fitted("agq", "y ~ 1 + (1 | g)", "~ x"), summary="min")
    with pytest.raises(OptionError, match="summary is one of"):
        number("group_icc", fitted(), summary="least")


# --- between fits -------------------------------------------------------------------------------
def test_dic_and_its_difference() -> None:
    small, large = fitted(variance="~ 1 + w"), fitted()
    dic = [
        float(bridge.criteria(r, "dic", progress=False).table["estimate"].iloc[0])
        for r in (small, large)
    ]
    found = number("dic_difference", large, small, first="other", second="main")
    assert found.value == pytest.approx(dic[0] - dic[1])
    assert found.mc_error > 0
    assert number("dic", large).value == pytest.approx(dic[1])


def test_standard_errors_and_their_reduction() -> None:
    small, large = fitted(variance="~ 1 + w"), fitted()
    ses = [float(r.estimates.set_index("parameter").loc["delta[w]", "se"]) for r in (small, large)]
    found = number(
        "standard_error_reduction", large, small, parameter="delta[w]", small="other", large="main"
    )
    assert found.value == pytest.approx(100 * (1 - ses[0] / ses[1]))
    # of 120 independent normal draws an SD has the error s / sqrt(240)
    one = number("standard_error", large, parameter="delta[w]")
    assert one.value == pytest.approx(ses[1])
    assert one.mc_error == pytest.approx(ses[1] / np.sqrt(240), rel=0.5)


def test_likelihood_ratio_and_a_shorter_constant() -> None:
    small, large = fitted("agq", "y ~ 1 + (1 | g)", "~ 1 + w"), fitted("agq")
    found = number("likelihood_ratio_statistic", large, small, small="other")
    assert found.value == pytest.approx(2 * (large.loglik - small.loglik))
    p = number("likelihood_ratio_p", large, small, small="other")
    assert 0 < p.value < 1 and "chi-squared" in p.note
    shorter = number("deviance_of_fewer_rows", large, fewer=1)
    assert shorter.value == pytest.approx(large.deviance - 1.8378770664)
