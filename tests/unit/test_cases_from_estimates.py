"""Functions of estimates: draw by draw, by the delta method, and of printed numbers."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.cases.numbers import PRINT, Context, compute
from bridge.cases.per_draw import draws_of
from bridge.errors import NotAvailable
from bridge.result import Result
from bridge.spec import ModelSpec

MEAN = "y ~ 1 + x + (1 | s | g)"
D0, D1 = "delta[Intercept]", "delta[w]"
TAU_U, TAU_V = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
RHO = "rho[u:Intercept,v:Intercept]"
ONE = {"delta": {D0: 1, D1: 2}, "effects": {"v:Intercept": 1}}


@cache
def frame() -> pd.DataFrame:
    """Return 30 groups of 12 rows."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 12)
    x, w = rng.normal(size=len(g)), (np.arange(30) % 2)[g]
    u, v = rng.normal(size=30)[g], 0.6 * rng.normal(size=30)[g]
    y = 1 + 0.5 * x + u + np.exp((0.3 * w + v) / 2) * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


@cache
def fitted(
    engine: str, level2: str | None = None, variance: str = "~ 1 + w + (1 | s | g)"
) -> Result:
    options = {"draws": 50, "chains": 2, "seed": 1} if engine == "fake" else {}
    spec = ModelSpec(MEAN, variance, level2=level2)
    return bridge.fit(spec, frame(), engine, **options)


def context(*results: Result, column: str = "an engine", printed: Any = None) -> Context:
    """Return a context of fits "main" and "other"."""
    named = dict(zip(("main", "other"), results, strict=False))
    case: Any = SimpleNamespace(name="a/b", spec={"mean": MEAN})
    if printed is not None:
        rows = [{"parameter": name, "statistic": "mean"} for name in printed]
        case.frame, case.value = pd.DataFrame(rows), lambda name, _: printed[name]
    return Context(case, frame(), named, column)


def per_draw(function: Any) -> np.ndarray:
    """Return a function of parameters for every draw of the fake fit, one by one."""
    known = draws_of(fitted("fake"), [D0, D1, TAU_U, TAU_V, RHO])
    draws = [{name: values[c, d] for name, values in known.items()}
             for c in range(2) for d in range(50)]  # fmt: skip
    return np.array([function(each) for each in draws])


@pytest.mark.parametrize(
    ("name", "arguments", "by_hand"),
    [
        ("linear_combination", {"terms": {D0: 1, D1: -2}}, lambda k: k[D0] - 2 * k[D1]),
        ("ratio", {"numerator": TAU_U, "denominator": TAU_V}, lambda k: k[TAU_U] / k[TAU_V]),
        ("shortfall_percent", {"small": TAU_V, "large": TAU_U},
         lambda k: 100 - 100 * k[TAU_V] / k[TAU_U]),
        ("population_variance", ONE, lambda k: np.exp(k[D0] + 2 * k[D1] + k[TAU_V] / 2)),
        ("variance_of_variances", ONE,
         lambda k: (np.exp(k[TAU_V]) - 1) * np.exp(2 * k[D0] + 4 * k[D1] + k[TAU_V])),
        ("standard_deviation", {"effect": "v:Intercept"}, lambda k: k[TAU_V] ** 0.5),
        ("covariance", {"first": "u:Intercept", "second": "v:Intercept"},
         lambda k: k[RHO] * (k[TAU_U] * k[TAU_V]) ** 0.5),
    ],
)  # fmt: skip
def test_draw_by_draw(name: str, arguments: dict[str, Any], by_hand: Any) -> None:
    found = compute(name, context(fitted("fake")), arguments)
    expected = per_draw(by_hand)
    assert found.value == pytest.approx(expected.mean(), rel=1e-12)
    assert found.se == pytest.approx(expected.std(ddof=1), rel=1e-12)
    # independent draws: about SD / sqrt(100)
    assert found.mc_error == pytest.approx(expected.std() / 10, rel=0.6)


def test_population_variance_and_variance_of_variances_by_simulation() -> None:
    printed = {D0: -0.6, D1: 0.1, TAU_V: 0.2}
    v = np.sqrt(0.2) * np.random.default_rng(1).normal(size=400_000)
    variances = np.exp(-0.6 + 0.2 + v)
    told = context(column=PRINT, printed=printed)
    mean = compute("population_variance", told, ONE)
    spread = compute("variance_of_variances", told, ONE)
    assert mean.value == pytest.approx(variances.mean(), rel=0.005)
    assert spread.value == pytest.approx(variances.var(), rel=0.02)
    assert mean.se is None and mean.mc_error == 0
    assert told.read == {(D0, "mean"), (D1, "mean"), (TAU_V, "mean")}


def test_two_effects_count_their_covariance_twice() -> None:
    pair = "tau[v:Intercept,v:x]"
    printed = {D0: 0.0, TAU_V: 0.4, pair: 0.1, "tau[v:x,v:x]": 0.2}
    arguments = {"delta": {D0: 1}, "effects": {"v:Intercept": 1, "v:x": -1}}
    found = compute("population_variance", context(column=PRINT, printed=printed), arguments)
    assert found.value == pytest.approx(np.exp((0.4 - 2 * 0.1 + 0.2) / 2))


def test_variance_ratio_is_the_exponential_of_the_mean() -> None:
    found = compute("variance_ratio", context(fitted("fake")), {"terms": {D1: 1}})
    assert found.value == pytest.approx(np.exp(per_draw(lambda k: k[D1]).mean()), rel=1e-12)


def test_a_coefficient_in_sds_of_the_outcome() -> None:
    result = fitted("agq")
    found = compute("standardised_coefficient", context(result), {"parameter": "gamma[x]"})
    assert found.value == pytest.approx(result.estimate("gamma[x]") / np.std(frame().y, ddof=1))


def test_delta_method_against_draws_from_the_covariance() -> None:
    result = fitted("agq")
    known = result.parameter_covariance
    assert known is not None
    labels = [D0, D1, TAU_V]
    at = [result.estimate(label) for label in labels]
    V = known.loc[labels, labels].to_numpy(float)
    slope = compute("population_variance", context(result), ONE).value * np.array([1, 2, 0.5])
    found = compute("population_variance", context(result), ONE)
    assert found.value == pytest.approx(np.exp(at[0] + 2 * at[1] + at[2] / 2), rel=1e-12)
    assert found.se == pytest.approx(np.sqrt(slope @ V @ slope), rel=1e-5)


def test_the_wald_interval_of_an_sd() -> None:
    result = fitted("agq")
    row = result.estimates.set_index("parameter").loc[TAU_V]
    s = float(row["estimate"]) ** 0.5
    se = float(row["se"]) / (2 * s)
    found = compute("standard_deviation", context(result), {"effect": "v:Intercept"})
    assert (found.value, found.se) == pytest.approx((s, se), rel=1e-5)
    assert (found.lower, found.upper) == pytest.approx((s - 1.959964 * se, s + 1.959964 * se))
    z = compute("standard_deviation", context(result), {"effect": "v:Intercept", "z_ratio": True})
    assert z.value == pytest.approx(s / se, rel=1e-5)
    assert z.p is not None and 0 < z.p < 0.05


def test_level_2_functions_at_a_profile() -> None:
    result = fitted("agq", "~ w")
    known = {name: result.estimate(name) for name in result.estimates["parameter"]}
    label = "kappa[tau(v:Intercept,v:Intercept),{}]"
    at = {"w": 1}
    arguments = {"first": "v:Intercept", "second": "v:Intercept", "at": at}
    found = compute("level2_at", context(result), arguments)
    log = known[label.format("Intercept")] + known[label.format("w")]
    assert found.value == pytest.approx(np.exp(log), rel=1e-9)
    pair = {"first": "u:Intercept", "second": "v:Intercept", "at": at}
    rho = compute("level2_at", context(result), {**pair, "correlation": True})
    label = "kappa[rho(u:Intercept,v:Intercept),{}]"
    atanh = known[label.format("Intercept")] + known[label.format("w")]
    assert rho.value == pytest.approx(np.tanh(atanh), rel=1e-9)
    matrix = result.level2(at)
    assert compute("level2_at", context(result), pair).value == pytest.approx(matrix.iloc[0, 1])
    kappa = {"kappa[tau(v:Intercept,v:Intercept),Intercept]": 1,
             "kappa[tau(v:Intercept,v:Intercept),w]": 1}  # fmt: skip
    average = compute("population_variance", context(result), {"delta": {D0: 1}, "kappa": kappa})
    assert average.value == pytest.approx(np.exp(known[D0] + found.value / 2))


def test_differences_and_reductions_between_fits() -> None:
    small, large = fitted("fake"), fitted("fake", variance="~ 1 + (1 | s | g)")
    both = context(small, large)
    one, other = (r.estimate(TAU_U) for r in (small, large))
    arguments = {"function": "linear_combination", "arguments": {"terms": {TAU_U: 1}}}
    found = compute("reduction_percent", both, {**arguments, "before": "main", "after": "other"})
    assert found.value == pytest.approx(100 * (1 - other / one))
    assert found.mc_error > 0
    terms = [{"terms": {TAU_U: 1}}, {"terms": {TAU_V: 1}}]
    gap = compute(
        "difference_of_quantities",
        both,
        {"function": "linear_combination", "first": terms[0], "second": terms[1]},
    )
    assert gap.value == pytest.approx(one - small.estimate(TAU_V))


def test_significant_parameters_are_those_whose_interval_excludes_zero() -> None:
    result = fitted("agq")
    table = result.estimates.set_index("parameter")
    names = ["gamma[Intercept]", "gamma[x]", D0]
    expected = sum(float(table.loc[n, "lower"]) * float(table.loc[n, "upper"]) > 0 for n in names)
    found = compute("significant_parameters", context(result), {"parameters": names})
    assert found.value == expected
    with pytest.raises(NotAvailable, match="Intervals are those of a fit"):
        compute("significant_parameters", context(column=PRINT), {"parameters": names})
