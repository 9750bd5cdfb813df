"""The engine agq: published and other programs' numbers, options, warnings, what is kept."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

import bridge
from bridge.engines import agq
from bridge.engines.maximum import Row
from bridge.errors import EngineFailed, EngineRefusal, EngineTimeout, NotAvailable, OptionError
from bridge.marginal import newton
from bridge.result import Result
from bridge.spec import ModelSpec

UU, VV = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
KAPPA = "kappa[tau(u:Intercept,u:Intercept),{}]"
REISBY: cases.Parts = {
    "mean": "hamdep ~ 1 + week + endog + week:endog + (1 | id)",
    "variance": "~ 1 + week + endog + (1 | id)",
    "level2": {UU: "~ endog"},
}
MODEL1: cases.Parts = {
    "mean": "mathach ~ 1 + sector + (1 | s | school)",
    "variance": "~ 1 + sector + (1 | s | school)",
}


@cache
def table(name: str) -> pd.DataFrame:
    return bridge.datasets.load(name)


def fitted(data: pd.DataFrame, parts: cases.Parts, **options: Any) -> Result:
    return bridge.fit(ModelSpec(**parts), data, engine="agq", **options)


@cache
def model1() -> Result:
    return fitted(table("hsb"), MODEL1)


# --- numbers of others ---------------------------------------------------------------------
# exact maximum likelihood on a dense grid in two dimensions, without bridge
GRID: dict[str, tuple[cases.Parts, float, dict[str, float]]] = {
    "none": (
        {},
        -1123.3509,
        {
            "gamma[Intercept]": 22.20615, "gamma[week]": -2.24383, "gamma[endog]": 1.85748,
            "gamma[week:endog]": -0.01484, "delta[Intercept]": 2.09361, "delta[week]": 0.18497,
            "delta[endog]": 0.30246, KAPPA.format("Intercept"): 2.21419,
            KAPPA.format("endog"): 0.50732, VV: 0.69865**2,
        },
    ),
    "linear": (
        {"association": "linear"},
        -1122.2946,
        {
            "gamma[Intercept]": 22.37868, "gamma[week]": -2.29543, "gamma[endog]": 1.88365,
            "gamma[week:endog]": -0.02881, "delta[Intercept]": 2.08761, "delta[week]": 0.19240,
            "delta[endog]": 0.28819, KAPPA.format("Intercept"): 2.19808,
            KAPPA.format("endog"): 0.50515, VV: 0.65885**2, "lambda_[u:Intercept]": 0.21357,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", GRID)
def test_reisby_by_a_dense_grid(case: str) -> None:
    more, loglik, estimates = GRID[case]
    result = fitted(table("reisby"), REISBY | more)
    assert result.loglik == pytest.approx(loglik, abs=1e-3)
    assert set(result.estimates["parameter"]) == set(estimates)
    for name, value in estimates.items():
        assert result.estimate(name) == pytest.approx(value, abs=5e-4), name
    assert (result.n_obs, result.n_groups, result.dropped_rows) == (375, 66, 21)
    assert len(result.warnings) == 1  # of the dropped rows


def test_reisby_with_raw_effects() -> None:
    parts = REISBY | {"association": "linear", "latent_scale": "raw"}
    assert fitted(table("reisby"), parts).loglik == pytest.approx(-1122.2262, abs=1e-3)


def test_model_1_of_leckie_et_al() -> None:
    """By maximum likelihood; each within two units of the last digit that is known."""
    result = model1()
    known = {
        "gamma[Intercept]": (11.3877, 4), "gamma[sector]": (2.8162, 4),
        "delta[Intercept]": (3.78285, 5), "delta[sector]": (-0.26514, 5), UU: (6.5778, 4),
        "tau[u:Intercept,v:Intercept]": (-0.09449, 5), VV: (0.01472, 5),
    }  # fmt: skip
    assert result.loglik == pytest.approx(-23507.1303, abs=2e-4)
    for name, (value, digits) in known.items():
        assert result.estimate(name) == pytest.approx(value, abs=2 * 10.0**-digits), name
    assert result.warnings == (), "neither singular nor short of nodes"
    # 7 parameters: the correlation is no other than the covariance
    assert result.aic == pytest.approx(-2 * result.loglik + 14)


# --- one model in two ways --------------------------------------------------------------------
TWICE = {
    "reisby": ("hamdep ~ 1 + week * endog + (1{} | id)", "~ 1 + week + endog + (1{} | id)"),
    "hsb": ("mathach ~ 1 + sector + (1{} | school)", "~ 1 + sector + (1{} | school)"),
}  # fmt: skip


@pytest.mark.parametrize("scale", ["standardised", "raw"])
@pytest.mark.parametrize("name", TWICE)
def test_a_linear_association_of_one_effect_each_is_a_covariance(name: str, scale: str) -> None:
    mean, variance = TWICE[name]
    shared = fitted(
        table(name), {"mean": mean.format(" | s"), "variance": variance.format(" | s")}, nodes=21
    )
    parts = {"mean": mean.format(""), "variance": variance.format("")}
    own = fitted(table(name), parts | {"association": "linear", "latent_scale": scale}, nodes=21)
    assert own.loglik == pytest.approx(shared.loglik, abs=1e-6)
    lam, uu = own.estimate("lambda_[u:Intercept]"), own.estimate(UU)
    sd = np.sqrt(uu) if scale == "standardised" else uu
    implied = [uu, lam * sd, own.estimate(VV) + lam**2 * (1 if scale == "standardised" else uu)]
    T = shared.covariance().to_numpy()
    np.testing.assert_allclose(implied, T[[0, 0, 1], [0, 1, 1]], rtol=2e-4)
    for row, same in zip(shared.estimates.itertuples(), own.estimates.itertuples(), strict=False):
        if not str(row.parameter).startswith(("gamma", "delta")):
            break
        assert row.estimate == pytest.approx(same.estimate, abs=1e-3 * row.se)
        assert row.se == pytest.approx(same.se, rel=1e-3)


# --- options -----------------------------------------------------------------------------------
@pytest.mark.parametrize("nodes", [8, 1, 0, -3, 103, 999, 2.5, True, "7"])
def test_nodes_are_odd(nodes: object) -> None:
    with pytest.raises(OptionError) as caught:
        fitted(cases.simulated(10, 4), cases.SHARED, nodes=nodes)
    assert str(caught.value) == (
        "nodes (quadrature nodes in each dimension) is an odd whole number from 3 to 101, not "
        f"{nodes!r}."
    )


@pytest.mark.parametrize("robust", [1, "yes", 0.0])
def test_robust_is_a_flag(robust: object) -> None:
    with pytest.raises(OptionError, match="is True or False"):
        fitted(cases.simulated(10, 4), cases.SHARED, robust=robust)


def test_robust_profiles_are_refused() -> None:
    with pytest.raises(OptionError) as caught:
        fitted(cases.simulated(10, 4), cases.SHARED, robust=True, intervals="profile")
    assert str(caught.value) == (
        'robust=True and intervals="profile" do not go together: the profile is of the likelihood '
        "and knows no robust version; choose one."
    )


def test_options_are_kept_and_worded() -> None:
    data = cases.simulated(20, 6, sd_v=0.8)
    result = fitted(data, cases.SHARED, nodes=9, robust=True)
    assert result.settings["nodes"] == 9 and result.settings["robust"] is True
    assert "9^1 adaptive Gauss-Hermite nodes a group" in result.native
    assert result.native.endswith("Wald intervals, cluster-robust standard errors")
    plain = fitted(data, cases.SHARED, nodes=np.int64(9))
    assert result.loglik == pytest.approx(plain.loglik, abs=1e-9)
    assert "robust" not in plain.native


def test_nodes_that_are_too_few_are_said() -> None:
    result = fitted(table("reisby"), REISBY | {"association": "quadratic"}, nodes=3)
    (said,) = [w for w in result.warnings if "quadrature" in w]
    assert said.startswith("Doubling the quadrature nodes (3 to 7 in each dimension) moves the")
    assert said.endswith("use nodes=7.")
    better = fitted(table("reisby"), REISBY | {"association": "quadratic"})
    assert abs(better.loglik - result.loglik) > 1e-2


# --- refusals and failures -----------------------------------------------------------------------
def test_more_than_three_effects_of_the_variance_are_refused() -> None:
    parts = {"mean": "y ~ 1 + (1 | g)", "variance": "~ 1 + (1 + x + w + k:x | g)"}
    with pytest.raises(EngineRefusal) as caught:
        fitted(cases.simulated(10, 8), parts)
    assert str(caught.value) == (
        "agq cannot fit more than 3 random effects in the variance, of which there are 4 "
        "(v:Intercept, v:x, v:w, v:k:x). Engines that can: brms, nuts, stan."
    )


def test_a_quadratic_association_of_too_many_effects_is_refused() -> None:
    parts = {
        "mean": "y ~ 1 + (1 + x + w | g)",
        "variance": "~ 1 + (1 + x | g)",
        "association": "quadratic",
    }
    with pytest.raises(EngineRefusal, match=r"integrate over more than 4 dimensions.* 5 effects"):
        fitted(cases.simulated(10, 8), parts)


@pytest.mark.parametrize(
    "parts",
    [
        {"random_effects": "student_t"},
        {"random_effects": "classes", "classes": 2},
        {"priors": {"gamma": "flat"}},
    ],
)
def test_what_agq_does_not_know_is_refused(parts: cases.Parts) -> None:
    with pytest.raises(EngineRefusal, match="agq cannot"):
        fitted(cases.simulated(10, 4), cases.SHARED | parts)


def test_the_time_limit() -> None:
    with pytest.raises(EngineTimeout) as caught:
        fitted(cases.simulated(20, 6), cases.SHARED, timeout=1e-6)
    assert str(caught.value).startswith("agq took longer than timeout = 1e-06 seconds")


def test_a_perfect_fit_has_no_maximum() -> None:
    data = cases.simulated(10, 5)
    with pytest.raises(EngineFailed, match="has no maximum: in 50 row") as caught:
        fitted(data.assign(y=2 * data["x"] + data["g"]), {"mean": "y ~ 1 + x + (1 | g)"})
    assert "(delta[Intercept])" in str(caught.value)


def test_a_climb_that_ends_early_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "_STEPS", 2)
    result = fitted(cases.simulated(20, 6), cases.SHARED)
    (said,) = [w for w in result.warnings if "converge" in w]
    assert said.startswith("agq did not converge (2 steps were not enough; 2 steps): do not rely")
    assert [m.split(":")[0] for m in result.messages] == ["step 0", "step 1"]
    assert "agq did not converge" in result.summary()
    monkeypatch.undo()
    whole = fitted(cases.simulated(20, 6), cases.SHARED)
    assert whole.loglik > result.loglik
    assert len(whole.messages) > 2 and whole.warnings == ()


def test_progress_is_told() -> None:
    heard: list[str] = []
    bridge.fit(
        ModelSpec(**cases.SHARED),
        cases.simulated(20, 6),
        engine="agq",
        progress=lambda share, text: heard.append(text),
    )
    assert heard and all(text.startswith("agq: ") for text in heard)


# --- the result -----------------------------------------------------------------------------------
def test_agq_is_the_engine_where_none_is_named() -> None:
    assert bridge.fit(ModelSpec("y ~ 1 + x"), cases.simulated(10, 4)).engine == "agq"


def test_covariances_of_effects_by_group() -> None:
    data = cases.simulated(20, 8, sd_v=0.8).assign(g=lambda d: d["g"] + 100)
    parts = {"mean": "y ~ 1 + x + (1 | s | g)", "variance": "~ 1 + (1 | s | g)"}
    result = fitted(data, parts)
    matrix = result.effect_covariance(103)
    assert list(matrix.index) == list(matrix.columns) == ["u:Intercept", "v:Intercept"]
    pd.testing.assert_frame_equal(matrix, result.effect_covariance("103"))
    own = result.group_effects[result.group_effects["group"] == "103"]
    np.testing.assert_allclose(np.sqrt(np.diag(matrix)), own["se"].astype(float))
    assert not matrix.equals(result.effect_covariance(104))
    pd.testing.assert_frame_equal(matrix, result.effect_covariance(103.0))
    pd.testing.assert_frame_equal(matrix, result.effect_covariance(np.float64(103)))
    for wrong in (3, 103.5, float("inf"), float("nan"), True):
        with pytest.raises(NotAvailable, match=f"no group '{wrong}'"):
            result.effect_covariance(wrong)


def test_a_model_without_effects_has_no_covariances_of_them() -> None:
    result = fitted(cases.simulated(10, 4), cases.DESIGNS["no groups"])
    with pytest.raises(NotAvailable) as caught:
        result.effect_covariance("1")
    assert str(caught.value) == (
        "The model has no group effects; add a random term, such as (1 | school), for them."
    )


@pytest.mark.parametrize("name", ["2u 2v", "no groups", "level2 of u", "linear raw"])
def test_saved_and_read_again(name: str, tmp_path: Path) -> None:
    data = cases.simulated(20, 8, sd_v=0.8, slope=0.5).assign(h=lambda d: d["k"])
    result = fitted(data, cases.DESIGNS[name])
    again = bridge.load(result.save(tmp_path / "r.nc"))
    pd.testing.assert_frame_equal(again.estimates, result.estimates, check_exact=True)
    pd.testing.assert_frame_equal(again.group_effects, result.group_effects, check_exact=True)
    pd.testing.assert_frame_equal(again.parameter_covariance, result.parameter_covariance)
    assert again.loglik == result.loglik and again.messages == result.messages
    assert again.summary() == result.summary()
    if name == "no groups":
        assert result.effects_covariance is None and again.effects_covariance is None
    else:
        assert result.effects_covariance is not None and again.effects_covariance is not None
        np.testing.assert_array_equal(again.effects_covariance, result.effects_covariance)
        pd.testing.assert_frame_equal(again.effect_covariance("7"), result.effect_covariance("7"))


def test_wald_intervals_stay_in_range() -> None:
    result = model1()
    rows = result.estimates.set_index("parameter")
    row = rows.loc[VV]
    z = 1.959963984540054 * row["se"] / row["estimate"]
    assert row["lower"] == pytest.approx(row["estimate"] * np.exp(-z))
    assert row["upper"] == pytest.approx(row["estimate"] * np.exp(z))
    assert row["note"] == "interval on the log scale"
    rho = rows.loc["rho[u:Intercept,v:Intercept]"]
    assert -1 < rho["lower"] < rho["estimate"] < rho["upper"] < 1
    gamma = rows.loc["gamma[sector]"]
    assert gamma["upper"] - gamma["estimate"] == pytest.approx(1.959963984540054 * gamma["se"])


BOUND = "at its bound: no standard error"


@pytest.mark.parametrize(
    ("how", "estimate", "ends", "expected"),
    [
        ("atanh", 1.0, (np.nan, np.nan), (None, None, "no profile-likelihood interval")),
        ("atanh", 1.0, (-0.4, np.nan), (-0.4, 1.0, "profile-likelihood interval")),
        ("atanh", -1.0, (np.nan, 0.2), (-1.0, 0.2, "profile-likelihood interval")),
        ("atanh", 1.0, (np.nan, 1.0), (None, 1.0, "one end of a profile-likelihood interval")),
        ("log", 0.0, (np.nan, 0.3), (0.0, 0.3, "profile-likelihood interval")),
        ("log", 0.0, (0.0, 0.3), (0.0, 0.3, "profile-likelihood interval")),
        ("", 0.0, (np.nan, 0.3), (None, 0.3, "one end of a profile-likelihood interval")),
    ],
)
def test_the_profile_of_an_estimate_at_its_bound_ends_there(
    how: str, estimate: float, ends: tuple[float, float], expected: tuple[Any, ...]
) -> None:
    values = {"lower": [ends[0]], "upper": [ends[1]], "at_bound": [True]}
    values["profile_failed"] = [bool(np.isnan(ends).any())]
    row = agq._profiled(Row(estimate, note=BOUND), values, 0, how)
    assert (row.lower, row.upper, row.note) == (*expected[:2], f"{BOUND}; {expected[2]}")
    inside = agq._profiled(Row(0.5, 0.1), values | {"at_bound": [False]}, 0, how)
    failed = values["profile_failed"][0]
    said = "an end of the profile was not found" if failed else "profile-likelihood interval"
    assert inside.note == said


def test_draws_follow_the_estimates() -> None:
    result = model1()
    draws = result.asymptotic_draws(2000, seed=1)
    mean, sd = draws["gamma[sector]"].mean(), draws["gamma[sector]"].std()
    row = result.estimates.set_index("parameter").loc["gamma[sector]"]
    assert mean == pytest.approx(row["estimate"], abs=0.1 * row["se"])
    assert sd == pytest.approx(row["se"], rel=0.1)
