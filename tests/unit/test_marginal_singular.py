"""A level-2 covariance matrix that is singular at the maximum, and what is not determined."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

import bridge
from bridge.result import Result
from bridge.spec import ModelSpec

VV = "tau[v:Intercept,v:Intercept]"


def fitted(data: pd.DataFrame, nodes: int | None = None, **parts: object) -> Result:
    return bridge.fit(ModelSpec(**parts), data, engine="agq", nodes=nodes)  # type: ignore[arg-type]


@cache
def without_v() -> pd.DataFrame:
    return cases.simulated(40, 8, seed=1, sd_v=0.0)


def about(result: Result, word: str) -> list[str]:
    return [said for said in result.warnings if word in said]


@pytest.mark.parametrize("name", ["u, v", "linear standardised", "quadratic raw"])
def test_a_variance_of_zero(name: str) -> None:
    result = fitted(without_v(), 15, **cases.DESIGNS[name])
    row = result.estimates.set_index("parameter").loc[VV]
    assert row["estimate"] == 0
    assert row["se"] is pd.NA and row["lower"] is pd.NA and row["upper"] is pd.NA
    assert row["note"] == "at its bound of zero: no standard error"
    (said,) = about(result, "singular")
    assert "rank 1 of 2. v:Intercept does not vary." in said
    less = dict(cases.DESIGNS[name]) | {"variance": "~ 1 + w"}
    smaller = fitted(without_v(), 15, **less)
    assert result.loglik == pytest.approx(smaller.loglik, abs=1e-6)
    ours = result.estimates.set_index("parameter").loc[smaller.estimates["parameter"]]
    for column in ("estimate", "se"):
        np.testing.assert_allclose(
            ours[column].astype(float), smaller.estimates[column].astype(float), rtol=1e-3,
            atol=1e-5,
        )  # fmt: skip
    v = result.group_effects.query("effect == 'v:Intercept'")
    assert (v["estimate"] == 0).all() and (v["se"] == 0).all()


@pytest.mark.parametrize("rho", [-1.0, 1.0])
def test_a_correlation_at_its_bound(rho: float) -> None:
    data = cases.simulated(40, 12, rho=rho, seed=2)
    result = fitted(data, 21, **cases.SHARED)
    row = result.estimates.set_index("parameter").loc["rho[u:Intercept,v:Intercept]"]
    assert row["estimate"] == pytest.approx(rho, abs=1e-7)
    assert row["se"] is pd.NA and row["note"] == "at its bound: no standard error"
    T = result.covariance().to_numpy()
    assert np.linalg.det(T) == pytest.approx(0, abs=1e-9 * T[0, 0])
    (said,) = about(result, "singular")
    weight = T[0, 1] / T[0, 0]
    assert f"v:Intercept = {weight:.4g} u:Intercept in every group." in said
    # the same as an association without an effect of v's own, by another parametrisation
    other = fitted(
        data, 21, mean="y ~ 1 + x + (1 | g)", variance="~ 1 + w",
        association="linear", latent_scale="raw",
    )  # fmt: skip
    assert result.loglik == pytest.approx(other.loglik, abs=1e-6)
    assert other.estimate("lambda_[u:Intercept]") == pytest.approx(weight, rel=1e-3)


def test_nothing_varies() -> None:
    data = cases.simulated(2, 8, seed=3, sd_u=0.0, sd_v=0.0)
    result = fitted(data, **cases.SHARED)
    if about(result, "rank 0"):
        row = result.estimates.set_index("parameter").loc["rho[u:Intercept,v:Intercept]"]
        assert row["estimate"] is pd.NA
        assert row["note"] == "not defined: an effect does not vary"
        assert (result.covariance() == 0).all(axis=None)
    smaller = fitted(data, mean="y ~ 1 + x", variance="~ 1 + w")
    assert result.loglik >= smaller.loglik - 1e-6


def test_a_chance_of_lambda_being_zero_is_an_ordinary_point() -> None:
    """Groups and their mirror images: the maximum has lambda = 0 exactly."""
    half = cases.simulated(20, 8)
    mirrored = 2 * (1 + 0.5 * half["x"]) - half["y"]
    data = pd.concat([half, half.assign(y=mirrored, g=half["g"] + 100)])
    result = fitted(data, **cases.DESIGNS["linear standardised without v"])
    assert result.warnings == ()
    row = result.estimates.set_index("parameter").loc["lambda_[u:Intercept]"]
    assert row["estimate"] == pytest.approx(0, abs=1e-4)
    assert 0.02 < row["se"] < 0.3
    assert result.estimate("gamma[x]") == pytest.approx(0.5, abs=1e-5)


# --- High School and Beyond ---------------------------------------------------------------
@cache
def hsb() -> pd.DataFrame:
    data = bridge.datasets.load("hsb")
    return data.assign(x=data["ses"] - data["meanses"])


def test_model_4_has_rank_two() -> None:
    fixed = "1 + sector + x + sector:x"
    result = fitted(
        hsb(),
        mean=f"mathach ~ {fixed} + meanses + meanses:x + (1 + x | s | school)",
        variance=f"~ {fixed} + (1 + x | s | school)",
    )
    assert result.loglik == pytest.approx(-23214.5603, abs=1e-3)
    (said,) = about(result, "singular")
    assert "rank 2 of 4" in said
    assert np.linalg.matrix_rank(result.covariance().to_numpy(dtype=float), tol=1e-6) == 2


# --- what the data do not determine ---------------------------------------------------------
def test_what_is_not_determined_is_named_and_the_rest_keeps_its_errors() -> None:
    """A slope of a predictor of two values, constant within groups: two variances, not three."""
    result = fitted(
        cases.simulated(40, 8, sd_v=0.0), mean="y ~ 1 + k + (1 + k | g)", variance="~ 1"
    )
    (said,) = about(result, "do not determine")
    loose = ["tau[u:Intercept,u:k]", "tau[u:k,u:k]", "rho[u:Intercept,u:k]"]
    assert ", ".join(loose) in said
    table = result.estimates.set_index("parameter")
    for name in loose:
        assert table.loc[name, "se"] is pd.NA
        assert table.loc[name, "note"] == "not determined by the data"
    # the two variances that there are, by a model that says so
    same = fitted(
        cases.simulated(40, 8, sd_v=0.0), mean="y ~ 1 + k + (1 | g)", variance="~ 1", level2="~ k"
    )
    assert result.loglik == pytest.approx(same.loglik, abs=1e-5)
    ours, theirs = (float(t.set_index("parameter").loc["gamma[k]", "se"])
                    for t in (result.estimates, same.estimates))  # fmt: skip
    assert ours == pytest.approx(theirs, rel=1e-2)


def test_level2_correlations_at_their_bound_are_said() -> None:
    """Three correlations that each may move end where, in some group, they are singular."""
    data = cases.simulated(20, 8, sd_v=0.8, slope=0.5).assign(h=lambda d: d["k"])
    result = fitted(data, **cases.DESIGNS["level2"])
    assert np.isfinite(result.loglik)
    assert about(result, "agq stopped where the level-2 correlation matrix of")
    assert result.estimates["se"].isna().all() and (result.estimates["note"] != "").all()


def test_a_level2_correlation_of_one_in_some_groups_is_said() -> None:
    data = cases.simulated(20, 8, seed=3, sd_v=0.5, rho=0.95)
    result = fitted(data, **cases.SHARED, level2={"rho": "~ k"})
    (said,) = result.warnings
    name = "kappa[rho(u:Intercept,v:Intercept),k]"
    assert said.startswith(
        "The level-2 correlation matrix of 10 group(s), the first of them '1', is singular at the "
        f"maximum: {name} go to infinity"
    )
    assert result.estimates.set_index("parameter").loc[name, "se"] is pd.NA
    T = result.level2(at={"k": 1}).to_numpy(dtype=float)
    assert T[0, 1] / np.sqrt(T[0, 0] * T[1, 1]) > 0.999


def test_a_level2_function_of_a_variance_of_zero_is_not_told_as_known() -> None:
    result = fitted(
        without_v(), mean="y ~ 1 + x + (1 | g)", variance="~ 1 + w + (1 | g)", level2={VV: "~ k"}
    )
    table = result.estimates.set_index("parameter")
    row = table.loc[f"kappa[{VV[:3]}(v:Intercept,v:Intercept),Intercept]"]
    assert np.exp(row["estimate"]) < 1e-2
    assert row["se"] is pd.NA and row["note"]
    assert about(result, "v:Intercept")
    assert 0 < float(table.loc["delta[w]", "se"]) < 0.2
