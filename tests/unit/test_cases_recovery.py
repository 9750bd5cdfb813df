"""Numbers of simulated data: means over data sets, print as one draw, one data set of full size."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import published_tables
from bridge.cases import numbers
from bridge.cases.numbers import Context, Number
from bridge.errors import DataFileError, NotAvailable

ESTIMATES = {1: 0.5, 2: 0.7, 3: 0.9}


def fake(estimate: float) -> Any:
    """Return a fit with one coefficient and one variance."""
    frame = pd.DataFrame(
        {
            "parameter": ["gamma[x]", "tau[u:Intercept,u:Intercept]"],
            "estimate": [estimate, estimate**2],
            "se": [0.1, 0.2],
            "lower": [estimate - 0.15, 0.01],
            "upper": [estimate + 0.15, np.nan],
        }
    )
    return SimpleNamespace(estimates=frame)


@pytest.fixture
def design() -> Context:
    case = published_tables.load("value_added/s3_recovery")
    settings = {**case.settings, "replications": {"agq": 3, "one": 1}}
    case = replace(case, settings=settings)

    def refit(spec: Any, data: pd.DataFrame, seed: int) -> Any:
        assert len(data) == 2500
        return fake(ESTIMATES[seed])

    return Context(case, pd.DataFrame(), {}, "agq", refit)


def computed(context: Context, function: str, **arguments: Any) -> Number:
    return numbers.compute(function, context, arguments)


def test_a_mean_over_data_sets(design: Context) -> None:
    found = computed(design, "recovered", of="gamma[x]")
    # SD 0.2 over sqrt(3); the truth 0.7 is in the second interval alone
    assert (found.value, found.se) == pytest.approx((0.7, 0.2))
    assert found.mc_error == pytest.approx(0.2 / np.sqrt(3))
    assert "3 data sets" in found.note and "33.3% of the 95% intervals" in found.note
    with pytest.raises(NotAvailable, match="no estimates of 'gamma"):
        computed(design, "recovered", of="gamma[z]")


def test_data_sets_are_drawn_and_fitted_once(design: Context) -> None:
    computed(design, "recovered", of="gamma[x]")
    without = replace(design, refit=None)
    assert computed(without, "recovered", of="gamma[x]").value == pytest.approx(0.7)
    with pytest.raises(NotAvailable, match="fitted by an engine"):
        computed(replace(without, memo={}), "recovered", of="gamma[x]")


def test_print_is_one_draw_more(design: Context) -> None:
    found = computed(design, "of_one_data_set", of="gamma[x]", native="log SD")
    assert found.value == pytest.approx(0.35)
    assert found.mc_error == pytest.approx(0.1 * np.sqrt(4 / 3))
    tau = "tau[u:Intercept,u:Intercept]"
    # roots 0.5, 0.7, 0.9; standard errors 0.2 / (2 sqrt(tau))
    assert computed(design, "of_one_data_set", of=tau, native="SD").value == pytest.approx(0.7)
    se = computed(design, "of_one_data_set", of=tau, native="SD", cell="se").value
    assert se == pytest.approx(np.mean([0.2, 1 / 7, 1 / 9]))
    with pytest.raises(NotAvailable, match="in 0 of 3 data sets"):
        computed(design, "of_one_data_set", of=tau, cell="upper")


def test_a_single_data_set_has_its_standard_error(design: Context) -> None:
    one = replace(design, column="one", memo={})
    found = computed(one, "of_one_data_set", of="gamma[x]")
    assert (found.value, found.mc_error) == pytest.approx((0.5, 0.1 * np.sqrt(2)))
    se = computed(one, "of_one_data_set", of="gamma[x]", cell="se")
    assert se.mc_error == pytest.approx(0.1 * np.sqrt(2) / np.sqrt(2 * 99))
    with pytest.raises(NotAvailable, match="has no draws"):
        computed(one, "of_one_fit", of="gamma[x]", cell="r_hat")


def test_the_design_has_the_moments_it_is_asked_for(design: Context) -> None:
    simulate = design.case.simulate
    case = replace(
        design.case, simulate={**simulate, "design": {**simulate["design"], "groups": 4000}}
    )
    data = numbers.simulate(case, 7)
    assert data.shape == (100_000, 3)
    x = data["x"]
    assert (x.mean(), x.std()) == pytest.approx((0, 1), abs=0.02)
    means = data.groupby("school").mean()
    # var of a mean of x: 0.2 + 0.8 / 25; of y: 0.49 of it, 0.05, and the residuals' over 25
    assert means["x"].var() == pytest.approx(0.232, rel=0.06)
    residual = float(np.exp(-0.8 + (0.05**2 + 0.05) / 2))
    assert means["y"].var() == pytest.approx(0.49 * 0.232 + 0.05 + residual / 25, rel=0.06)
    deviation = data["y"] - 0.7 * x
    within = deviation.groupby(data["school"]).var()
    assert within.mean() == pytest.approx(residual, rel=0.03)
    # cov(u, exp(a0 + v)) = 0.025 E exp(a0 + v), to first order in x
    u = means["y"] - 0.7 * means["x"]
    assert np.cov(u, within)[0, 1] == pytest.approx(0.025 * residual, rel=0.25)
    pd.testing.assert_frame_equal(data, numbers.simulate(case, 7))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"by": "schools"}, "has no 'by'"),
        ({"design": None}, r"needs a table \[simulate.design\]"),
        ({"design": {"group": 5}}, "column's name, not 5"),
        ({"truth": {"gamma[x]": 1.0}}, "gamma\\[Intercept\\]"),
    ],
)
def test_a_design_that_does_not_fit_is_refused(
    design: Context, change: dict[str, Any], said: str
) -> None:
    case = replace(design.case, simulate={**design.case.simulate, **change})
    with pytest.raises(DataFileError, match=said) as refused:
        numbers.simulate(case, 7)
    assert "s3_recovery" in str(refused.value) and "[simulate]" in str(refused.value)


@pytest.fixture(scope="module")
def small() -> Context:
    """Thirty schools of forty in which means and variances of schools go together."""
    case = published_tables.load("value_added/model2")
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(30), 40)
    v = np.linspace(-1, 1, 30)
    y = v[school] + np.exp(v[school] / 2) * rng.standard_normal(1200)
    data = pd.DataFrame({"school": school, "y": y})
    fit = bridge.fit(
        bridge.ModelSpec("y ~ 1 + (1 | s | school)", "~ 1 + (1 | s | school)"), data, engine="agq"
    )
    return Context(case, data, {"main": fit, "again": fit}, "agq")


def test_one_data_set_of_full_size(small: Context) -> None:
    row = small.result().estimates.set_index("parameter").loc["delta[Intercept]"]
    found = computed(small, "recovered_once", of="delta[Intercept]")
    assert (found.value, found.mc_error, found.se) == (row["estimate"], row["se"], row["se"])
    assert found.se_error == 0  # a standard error is compared as it is
    assert computed(small, "recovered_once", of="delta[Intercept]", cell="se").value == row["se"]


def test_group_effects_of_one_data_set(small: Context) -> None:
    pair = {"first": "u:Intercept", "second": "v:Intercept"}
    r = computed(small, "recovered_correlation", **pair)
    assert r.value > 0.9 and r.mc_error == pytest.approx((1 - r.value**2) / np.sqrt(29))
    same = {"first": "v:Intercept", "second": "v:Intercept", "other": "again"}
    assert computed(small, "recovered_correlation", **same).value == pytest.approx(1)
    count = computed(small, "recovered_groups_that_differ", of="mean", rule="normal")
    share = count.value / 30
    assert count.mc_error == pytest.approx(np.sqrt(30 * share * (1 - share)))
    effects = small.result().group_effects
    u = effects.loc[effects["effect"] == "u:Intercept", "estimate"].to_numpy(dtype=float)
    slope = {"effect": "u:Intercept", "share": 0.9, "times": 0.83}
    decile = computed(small, "recovered_decile", **slope)
    assert decile.value == pytest.approx(np.quantile(0.83 * u**2, 0.9))
    variance = {"effect": "v:Intercept", "share": 0.5, "centre": "delta[Intercept]"}
    assert computed(small, "recovered_decile", **variance).value == pytest.approx(
        np.exp(small.estimate("delta[Intercept]")), rel=0.3
    )
