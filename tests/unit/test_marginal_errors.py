"""Standard errors and profile intervals of agq, against closed forms and other optimisers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

import bridge
from bridge.design import Design, make_design
from bridge.likelihood import marginal_loglik
from bridge.marginal.maximum import maximise
from bridge.spec import ModelSpec

FIXED = ModelSpec("y ~ 1 + x", "~ 1 + w")
ONE_U = ModelSpec("y ~ 1 + x + (1 | g)", "~ 1 + w")
Function = Callable[[np.ndarray], Any]


def hessian(of: Function, at: np.ndarray, h: float) -> np.ndarray:
    units = h * np.eye(len(at))
    return np.array(
        [[of(at + a + b) - of(at + a - b) - of(at - a + b) + of(at - a - b) for b in units]
         for a in units]
    ) / (4 * h**2)  # fmt: skip


def slopes(of: Function, at: np.ndarray, h: float) -> np.ndarray:
    units = h * np.eye(len(at))
    return np.stack([(of(at + a) - of(at - a)) / (2 * h) for a in units], axis=-1)


def by_group(design: Design) -> Function:
    """Return the log-likelihoods of groups by (gamma 2, delta 2, tau 1)."""
    return lambda p: marginal_loglik(design, p[:2], p[2:4], p[4:].reshape(1, 1))


# --- the information ------------------------------------------------------------------------
def test_errors_are_of_the_second_derivatives() -> None:
    design = make_design(ONE_U, cases.simulated(20, 6))
    found = maximise(design)
    groups = by_group(design)
    information = -hessian(lambda p: groups(p).sum(), found.estimates, 1e-3)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(information), rtol=2e-4, atol=1e-7)


def test_errors_with_an_integral_are_of_the_second_derivatives() -> None:
    """All canonical parameters of a model with v, the likelihood by a grid over u and v."""
    spec = ModelSpec(**cases.SHARED)
    design = make_design(spec, cases.simulated(20, 8, seed=3, sd_v=1.0, rho=0.3))
    found = maximise(design, 25)
    n = 7  # without rho, which is no more than tau said again

    def loglik(p: np.ndarray) -> float:
        T = np.array([[p[4], p[5]], [p[5], p[6]]])
        return float(cases.loglik_given_v(design, p[:2], p[2:4], T, 161).sum())

    information = -hessian(loglik, found.estimates[:n], 2e-3)
    expected = np.linalg.inv(information)
    np.testing.assert_allclose(found.covariance[:n, :n], expected, rtol=2e-3, atol=1e-4)
    # rho by the delta method
    a, c, rho = found.estimates[[4, 6, 7]]
    slope = np.array([-rho / (2 * a), 1 / np.sqrt(a * c), -rho / (2 * c)])
    expected_rho = slope @ found.covariance[4:7, 4:7] @ slope
    assert found.covariance[7, 7] == pytest.approx(expected_rho, rel=1e-6)


def test_hlm_s_standard_error_of_a_log_variance() -> None:
    """HLM's page for heterogeneous sigma2 prints 0.034089 for female."""
    spec = ModelSpec("mathach ~ 1 + female + (1 + female | school)", "~ 1 + female")
    result = bridge.fit(spec, bridge.datasets.load("hsb"), engine="agq")
    row = result.estimates.set_index("parameter").loc["delta[female]"]
    assert row["se"] == pytest.approx(0.034089, rel=0.01)


# --- robust -----------------------------------------------------------------------------------
def test_robust_errors_without_groups_are_the_sandwich() -> None:
    data = cases.simulated(30, 4, seed=5)
    design = make_design(FIXED, data)
    found = maximise(design, robust=True)
    X, W = design.mean.matrix, design.variance.matrix
    weight = np.exp(-W @ found.estimates[2:])
    r = design.y - X @ found.estimates[:2]
    scores = np.hstack([X * (weight * r)[:, None], W * 0.5 * (weight * r**2 - 1)[:, None]])
    cross = -(X * (weight * r)[:, None]).T @ W
    bread = np.block(
        [
            [(X * weight[:, None]).T @ X, -cross],
            [-cross.T, 0.5 * (W * (weight * r**2)[:, None]).T @ W],
        ]
    )
    inverse = np.linalg.inv(bread)
    n = len(r)
    expected = inverse @ scores.T @ scores @ inverse * n / (n - 1)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-4, atol=1e-8)


def test_robust_errors_with_groups_are_the_sandwich_by_group() -> None:
    design = make_design(ONE_U, cases.simulated(20, 6))
    found = maximise(design, robust=True)
    groups = by_group(design)
    inverse = np.linalg.inv(-hessian(lambda p: groups(p).sum(), found.estimates, 1e-3))
    scores = slopes(groups, found.estimates, 1e-5)
    expected = inverse @ scores.T @ scores @ inverse * 20 / 19
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-3, atol=1e-6)
    plain = maximise(design)
    np.testing.assert_allclose(found.estimates, plain.estimates, rtol=1e-12)
    assert not np.allclose(found.covariance, plain.covariance, rtol=0.05)


def test_robust_errors_with_an_integral_are_the_sandwich_by_group() -> None:
    """The likelihood of each group by a grid over v; data whose outcomes have heavier tails."""
    data = cases.simulated(16, 8, seed=4, sd_v=1.0, rho=0.3)
    data["y"] += np.random.default_rng(1).standard_t(3, len(data))
    design = make_design(ModelSpec(**cases.SHARED), data)
    found = maximise(design, 25, robust=True)
    n = 7  # without rho

    def groups(p: np.ndarray) -> np.ndarray:
        T = np.array([[p[4], p[5]], [p[5], p[6]]])
        return cases.loglik_given_v(design, p[:2], p[2:4], T, 161)

    at = found.estimates[:n]
    inverse = np.linalg.inv(-hessian(lambda p: groups(p).sum(), at, 2e-3))
    scores = slopes(groups, at, 1e-4)
    expected = inverse @ scores.T @ scores @ inverse * 16 / 15
    np.testing.assert_allclose(found.covariance[:n, :n], expected, rtol=5e-3, atol=2e-4)
    assert not np.allclose(found.covariance[:n, :n], inverse, rtol=0.05)


# --- profiles -----------------------------------------------------------------------------------
DROP = stats.chi2.ppf(0.95, 1) / 2


def profile(loglik: Function, at: np.ndarray, position: int, ends: tuple[float, float]) -> list:
    """Return where the profile is DROP below the top, by Nelder and Mead and by bisection."""
    top = loglik(at)
    others = np.delete(at, position)

    def left(value: float) -> float:
        best = optimize.minimize(
            lambda o: -loglik(np.insert(o, position, value)),
            others,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000},
        )
        return float(-best.fun - top + DROP)

    return [optimize.brentq(left, end, at[position], xtol=1e-6) for end in ends]


def rows_of(spec: ModelSpec, data: Any) -> Any:
    return bridge.fit(spec, data, engine="agq", intervals="profile").estimates.set_index(
        "parameter"
    )


@pytest.mark.parametrize(("name", "position", "wide"), [("gamma[x]", 1, 1.0), ("delta[w]", 3, 2.0)])
def test_a_profile_without_random_effects(name: str, position: int, wide: float) -> None:
    data = cases.simulated(8, 3, seed=2)
    design = make_design(FIXED, data)
    X, W = design.mean.matrix, design.variance.matrix

    def loglik(p: np.ndarray) -> float:
        log_variance = W @ p[2:]
        r = design.y - X @ p[:2]
        return float(-0.5 * (np.log(2 * np.pi) + log_variance + r**2 / np.exp(log_variance)).sum())

    rows = rows_of(FIXED, data)
    at = rows["estimate"].to_numpy(dtype=float)
    expected = profile(loglik, at, position, (at[position] - wide, at[position] + wide))
    row = rows.loc[name]
    assert [row["lower"], row["upper"]] == pytest.approx(
        expected, abs=2e-3 * (np.diff(expected)[0])
    )
    assert row["note"] == "profile-likelihood interval"
    assert row["se"] > 0


def test_a_profile_of_a_variance_ends_at_zero() -> None:
    data = cases.simulated(12, 4, seed=8, sd_u=0.4, sd_v=0)
    design = make_design(ONE_U, data)
    groups = by_group(design)
    rows = rows_of(ONE_U, data)
    at = rows["estimate"].to_numpy(dtype=float)
    name = "tau[u:Intercept,u:Intercept]"
    row = rows.loc[name]
    # without u the likelihood is within the drop: zero belongs to the interval
    without = maximise(make_design(FIXED, data)).loglik
    assert groups(at).sum() - without < DROP
    assert at[4] > 0 and row["lower"] == pytest.approx(0, abs=1e-6)
    expected = profile(lambda p: groups(p).sum(), at, 4, (at[4] + 3,))  # type: ignore[arg-type]
    assert row["upper"] == pytest.approx(expected[0], rel=2e-3)


def test_a_profile_is_wald_s_where_the_likelihood_is_a_parabola() -> None:
    data = cases.simulated(200, 5, seed=4)
    spec = ModelSpec("y ~ 1 + x", "~ 1")
    profiled = rows_of(spec, data)
    wald = bridge.fit(spec, data, engine="agq").estimates.set_index("parameter")
    for end in ("lower", "upper"):
        ours, theirs = (float(r.loc["gamma[x]", end]) for r in (profiled, wald))
        assert ours == pytest.approx(theirs, abs=0.01 * float(wald.loc["gamma[x]", "se"]))


def test_profiles_where_a_variance_is_zero_at_the_maximum() -> None:
    data = cases.simulated(40, 8, seed=1, sd_v=0.0)
    spec = ModelSpec(**cases.DESIGNS["u, v"])
    rows = rows_of(spec, data)
    row = rows.loc["tau[v:Intercept,v:Intercept]"]
    assert row["estimate"] == 0 and row["lower"] == pytest.approx(0, abs=1e-8)
    assert 0 < row["upper"] < 0.5
    # the upper end by fits with v held: what the maximum over the others is there
    design = make_design(spec, data)
    top = maximise(design).loglik

    def left(value: float) -> float:
        def lost(p: np.ndarray) -> float:
            T = np.diag([np.exp(p[4]), value])
            return float(-cases.loglik_given_v(design, p[:2], p[2:4], T, 41).sum())

        at = rows["estimate"].to_numpy(dtype=float)
        start = np.append(at[:4], np.log(at[4]))
        best = optimize.minimize(lost, start, method="BFGS", options={"gtol": 1e-3})
        return float(-best.fun - top + DROP)

    assert left(float(row["upper"])) == pytest.approx(0, abs=5e-3)
