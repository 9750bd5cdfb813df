"""The two-step method against theory, brute force, simulated truth and its limiting cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import digamma, polygamma
from scipy.stats import multivariate_normal

from bridge import datasets, two_step, two_step_mean, two_step_variance
from bridge.design import Design, make_design
from bridge.errors import DataError
from bridge.likelihood import marginal_loglik
from bridge.spec import ModelSpec

MEAN, VARIANCE = "y ~ 1 + x + w + (1 | s | g)", "~ 1 + w + (1 | s | g)"
DELTA = np.array([0.5, -0.4])
T = np.array([[1.0, 0.15], [0.15, 0.09]])


def simulated(groups: int = 300, size: int = 50, seed: int = 3, T: np.ndarray = T) -> pd.DataFrame:
    """u and v correlated, x within groups, w between; rows in random order."""
    rng = np.random.default_rng(seed)
    g = rng.permutation(np.repeat(np.arange(groups), size))
    x, w = rng.normal(size=len(g)), rng.normal(size=groups)[g]
    u, v = rng.multivariate_normal([0, 0], T, groups)[g].T
    sigma = np.exp(0.5 * (DELTA[0] + DELTA[1] * w + v))
    y = 2 + 0.7 * x - 0.3 * w + u + sigma * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


def design(data: pd.DataFrame, mean: str = MEAN, variance: str = VARIANCE) -> Design:
    return make_design(ModelSpec(mean, variance), data)


# --- step 1 -----------------------------------------------------------------------------------
def test_log_variances_are_unbiased_and_vary_as_trigamma_says() -> None:
    """30,000 groups of 4 rows, one variance: f is 3, where log s2 is most biased."""
    rng = np.random.default_rng(8)
    J = 30_000
    g = np.repeat(np.arange(J), 4)
    data = pd.DataFrame({"y": 2.0 * rng.normal(size=4 * J) + rng.normal(size=J)[g], "g": g})
    made = design(data, "y ~ 1 + (1 | g)", "~ 1")
    found = two_step_variance.log_variances(made)
    assert set(found.df) == {3} and found.used.all()
    error = np.sqrt(polygamma(1, 1.5) / J)
    assert found.d.mean() == pytest.approx(np.log(4), abs=4 * error)
    assert found.d.var() == pytest.approx(polygamma(1, 1.5), rel=0.05)
    np.testing.assert_allclose(found.known, polygamma(1, 1.5))
    np.testing.assert_allclose(found.d, np.log(found.s2) - digamma(1.5) + np.log(1.5))
    rough = two_step_variance.log_variances(made, "approximate")
    np.testing.assert_allclose(rough.d, np.log(found.s2) + 1 / 3)
    np.testing.assert_allclose(rough.known, 2 / 3)


def test_corrections_meet_in_large_groups() -> None:
    f = np.array([10.0, 100.0, 1000.0])
    np.testing.assert_array_less(np.abs(digamma(f / 2) - np.log(f / 2) + 1 / f), 0.4 / f**2)
    np.testing.assert_array_less(np.abs(polygamma(1, f / 2) - 2 / f), 2.2 / f**2)


@pytest.mark.parametrize("mean", ["y ~ 1 + x + w + (1 + x | g)", "y ~ 1 + z + x + (1 + x || g)"])
def test_residual_variances_are_those_of_one_fit_with_dummies(mean: str) -> None:
    data = simulated(groups=6, size=7)
    data["z"] = np.random.default_rng(2).normal(size=len(data)) + 1e4
    data["x"] += 2000  # a year, say
    made = design(data.iloc[:-5], mean, "~ 1")
    found = two_step_variance.log_variances(made)
    own = np.eye(6)[made.group]
    X = made.mean.matrix[:, 1:]
    columns = np.column_stack([own, own * (made.Z[:, [1]] - 2000), X - X.mean(axis=0)])
    e = made.y - columns @ np.linalg.lstsq(columns, made.y, rcond=1e-10)[0]
    n = np.bincount(made.group)
    np.testing.assert_array_equal(found.df, n - 2)
    np.testing.assert_allclose(found.s2, np.bincount(made.group, e**2) / (n - 2), rtol=1e-7)


def test_groups_without_a_variance_are_left_out() -> None:
    data = simulated(groups=8, size=6)
    data = data[(data["g"] != 1) | ~data["g"].duplicated()]  # one row
    data.loc[data["g"] == 2, ["y", "x"]] = [1000.1, 0.5]  # nothing varies
    data.loc[data["g"] == 3, "x"] = 0.25  # x does not: its slope takes no degree of freedom
    made = design(data, "y ~ 1 + x + (1 + x | g)", "~ 1 + (1 | g)")
    found = two_step_variance.log_variances(made)
    assert found.used.tolist() == [True, False, False, True, True, True, True, True]
    assert found.df.tolist() == [4, 0, 5, 5, 4, 4, 4, 4]
    whole = two_step.estimate(made)
    assert np.isfinite(whole.effects).all() and np.isfinite(whole.covariance).all()
    assert whole.effects_se[1, 2] == pytest.approx(np.sqrt(whole.variance.tau), rel=0.2)


def test_a_model_without_mean_effects_has_as_many_degrees_of_freedom_as_rows() -> None:
    made = design(simulated(groups=9, size=5), "y ~ 1 + x", "~ 1 + (1 | g)")
    found = two_step_variance.log_variances(made)
    X = made.mean.matrix
    e = made.y - X @ np.linalg.lstsq(X, made.y, rcond=None)[0]
    np.testing.assert_allclose(found.s2, np.bincount(made.group, e**2) / 5, rtol=1e-9)


# --- step 2 -----------------------------------------------------------------------------------
def marginal(tau: float, d: np.ndarray, known: np.ndarray, W: np.ndarray, reml: bool) -> float:
    """Return the (restricted) log-likelihood by way of whole matrices."""
    V = np.diag(tau + known)
    P = np.linalg.inv(V)
    delta = np.linalg.solve(W.T @ P @ W, W.T @ P @ d)
    value = multivariate_normal.logpdf(d, W @ delta, V)
    return float(value - 0.5 * reml * np.linalg.slogdet(W.T @ P @ W)[1])


@pytest.mark.parametrize("method", ["ML", "REML"])
def test_tau_maximises_the_likelihood(method: str) -> None:
    rng = np.random.default_rng(6)
    W = np.column_stack([np.ones(40), rng.normal(size=40)])
    known = rng.uniform(0.02, 0.4, 40)
    d = W @ DELTA + rng.normal(size=40) * np.sqrt(0.1 + known)
    found = two_step_variance.variance_step(d, known, W, effects=True, method=method)
    reml = method == "REML"
    best = minimize(
        lambda t: -marginal(np.exp(t[0]), d, known, W, reml), [-3.0], tol=1e-12,
        method="Nelder-Mead", options={"xatol": 1e-9},
    )  # fmt: skip
    assert found.tau == pytest.approx(float(np.exp(best.x[0])), rel=1e-5)
    P = np.diag(1 / (found.tau + known))
    np.testing.assert_allclose(found.delta_cov, np.linalg.inv(W.T @ P @ W), rtol=1e-10)
    np.testing.assert_allclose(found.delta, found.delta_cov @ W.T @ P @ d, rtol=1e-10)
    # expected information: half the trace of (K V'^)^2, K = P or P - PW(W'PW)^-1 W'P
    K = P - reml * (P @ W @ found.delta_cov @ W.T @ P)
    assert found.tau_se == pytest.approx(1 / np.sqrt(0.5 * np.trace(K @ K)), rel=1e-8)


def test_tau_is_zero_where_the_groups_differ_no_more_than_chance() -> None:
    W, known = np.ones((20, 1)), np.full(20, 1.0)
    d = np.linspace(-0.5, 0.5, 20)
    for weights in ("known", "equal"):
        found = two_step_variance.variance_step(d, known, W, effects=True, weights=weights)
        assert found.tau == 0 and np.isnan(found.tau_se)


def test_reml_of_equal_groups_is_the_residual_variance_less_the_sampling_variance() -> None:
    rng = np.random.default_rng(6)
    W = np.column_stack([np.ones(25), rng.normal(size=25)])
    d, known = rng.normal(size=25), np.full(25, 0.1)
    delta, rss = np.linalg.lstsq(W, d, rcond=None)[:2]
    found = two_step_variance.variance_step(d, known, W, effects=True, method="REML")
    assert found.tau == pytest.approx(float(rss[0]) / 23 - 0.1, rel=1e-9)
    np.testing.assert_allclose(found.delta, delta)
    ml = two_step_variance.variance_step(d, known, W, effects=True)
    assert ml.tau == pytest.approx(float(rss[0]) / 25 - 0.1, rel=1e-9)
    equal = two_step_variance.variance_step(d, known, W, effects=True, weights="equal")
    assert equal.tau == pytest.approx(found.tau, rel=1e-9)
    np.testing.assert_allclose(equal.delta_cov, float(rss[0]) / 23 * np.linalg.inv(W.T @ W))


def test_equal_weights_are_plain_least_squares_of_the_log_variances() -> None:
    data = simulated(groups=30, size=8).sample(frac=0.7, random_state=1)
    made = design(data)
    groups = two_step_variance.log_variances(made)
    W = two_step.group_predictors(made)
    by_hand = np.linalg.lstsq(W, groups.d, rcond=None)[0]
    found = two_step.estimate(made, weights="equal")
    np.testing.assert_allclose(found.variance.delta, by_hand, rtol=1e-12)
    assert not np.allclose(two_step.estimate(made).variance.delta, by_hand, rtol=1e-3)


def test_large_equal_groups_need_no_weights() -> None:
    made = design(simulated(groups=20, size=400))
    found = two_step.estimate(made)
    logs = np.log(found.groups.s2)
    W = two_step.group_predictors(made)
    np.testing.assert_allclose(
        found.variance.delta, np.linalg.lstsq(W, logs, rcond=None)[0], atol=0.003
    )


# --- step 3 -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "mean", ["y ~ 1 + x + w + (1 + x | g)", "y ~ 1 + x + (1 + x || g)", "y ~ 0 + x + (0 + x | g)"]
)
def test_the_mean_step_maximises_the_likelihood_of_all_the_data(mean: str) -> None:
    data = simulated(groups=25, size=12)
    rng = np.random.default_rng(4)
    data["y"] += rng.normal(size=25)[data["g"]] * 0.8 * data["x"]
    data["x"] += 10
    made = design(data, mean, "~ 1 + w")
    delta = np.array([0.4, -0.3])
    found = two_step_mean.mean_step(made, two_step.group_predictors(made) @ delta)
    size = len(made.mean_effects)

    def loglik(gamma: np.ndarray, T: np.ndarray) -> float:
        return float(marginal_loglik(made, gamma, delta, T).sum())

    best = loglik(found.gamma, found.covariance)
    for _ in range(40):  # nothing near is better
        turn = np.eye(size) + 0.02 * rng.normal(size=(size, size))
        if made.tau_pairs == [(a, a) for a in range(size)]:
            turn = np.diag(np.diag(turn))
        moved = found.gamma + 0.1 * rng.normal(size=len(found.gamma)) * np.sqrt(
            np.diag(found.gamma_cov)
        )
        assert loglik(found.gamma, turn @ found.covariance @ turn.T) < best + 1e-7
        assert loglik(moved, found.covariance) < best + 1e-7
    # X' V^-1 X by whole matrices
    information = 0.0
    for j in range(25):
        rows = made.group == j
        Z, X = made.Z[rows], made.mean.matrix[rows]
        level1 = np.diag(np.exp(made.variance.matrix[rows] @ delta))
        information = information + X.T @ np.linalg.inv(Z @ found.covariance @ Z.T + level1) @ X
    np.testing.assert_allclose(found.gamma_cov, np.linalg.inv(information), rtol=1e-6)


def test_the_mean_step_meets_lme4_on_high_school_and_beyond() -> None:
    """lmer(mathach ~ sector + ses + (1 + ses | school), REML = FALSE) of lme4 1.1-31.

    A search that stops where the slope's SD is zero is 1.8 below in log-likelihood.
    """
    mean = "mathach ~ 1 + sector + ses + (1 + ses | school)"
    made = make_design(ModelSpec(mean), datasets.load("hsb"))
    found = two_step_mean.mean_step(made, np.full(160, 2 * np.log(6.06653)))
    sd = np.sqrt(np.diag(found.covariance))
    np.testing.assert_allclose(sd, [1.97375, 0.64658], atol=2e-4)
    assert found.covariance[0, 1] / sd[0] / sd[1] == pytest.approx(0.557, abs=6e-4)


def test_information_of_the_level_2_covariance_by_whole_matrices() -> None:
    made = design(simulated(groups=6, size=5), "y ~ 1 + x + (1 + x | g)", "~ 1")
    found = two_step_mean.mean_step(made, np.zeros(6))
    expected = np.zeros((3, 3))
    for j in range(6):
        Z = made.Z[made.group == j]
        inverse = np.linalg.inv(Z @ found.covariance @ Z.T + np.eye(len(Z)))
        units = [np.array([[1, 0], [0, 0]]), np.array([[0, 1], [1, 0]]), np.array([[0, 0], [0, 1]])]
        moves = [inverse @ Z @ unit @ Z.T for unit in units]
        expected += 0.5 * np.array([[np.trace(a @ b) for b in moves] for a in moves])
    np.testing.assert_allclose(found.information, expected, rtol=1e-8)
    assert found.pairs == [(0, 0), (0, 1), (1, 1)]


def test_reml_of_a_balanced_anova_is_the_moment_estimate() -> None:
    data = simulated(groups=30, size=8, T=np.diag([1.0, 1e-12]))
    made = design(data, "y ~ 1 + (1 | g)", "~ 1")
    found = two_step_mean.mean_step(made, np.full(30, np.log(1.5)), "REML")
    means = data.groupby("g")["y"].mean()
    assert found.covariance[0, 0] == pytest.approx(means.var() - 1.5 / 8, rel=1e-6)
    ml = two_step_mean.mean_step(made, np.full(30, np.log(1.5)))
    assert ml.covariance[0, 0] == pytest.approx(means.var(ddof=0) - 1.5 / 8, rel=1e-6)
    assert ml.gamma_cov[0, 0] == pytest.approx(means.var(ddof=0) / 30, rel=1e-6)


# --- all of it ----------------------------------------------------------------------------------
def test_recovery() -> None:
    found = two_step.estimate(design(simulated()))
    assert (np.abs(found.variance.delta - DELTA) < 3 * np.sqrt(np.diag(found.variance.delta_cov))
            ).all()  # fmt: skip
    assert found.variance.tau == pytest.approx(0.09, abs=3 * found.variance.tau_se)
    error = np.sqrt(np.diag(found.mean.gamma_cov))
    assert (np.abs(found.mean.gamma - [2, 0.7, -0.3]) < 3 * error).all()
    assert found.covariance[0, 0] == pytest.approx(1.0, abs=0.25)
    assert found.covariance[0, 1] == pytest.approx(0.15, abs=3 * found.cross_se[0])
    assert found.cross_se[0] < 0.04 and not found.clipped


def test_estimates_and_standard_errors_over_many_samples() -> None:
    """Small groups: means are the truth, and standard errors the spread, within Monte Carlo."""
    kept: dict[str, list[Any]] = {"delta": [], "delta_se": [], "tau": [], "cross": [], "se": []}
    for seed in range(80):
        found = two_step.estimate(design(simulated(60, 8, seed)), method="REML")
        kept["delta"].append(found.variance.delta)
        kept["delta_se"].append(np.sqrt(np.diag(found.variance.delta_cov)))
        kept["tau"].append(found.variance.tau)
        if not found.clipped:
            kept["cross"].append(found.covariance[0, 1])
            kept["se"].append(found.cross_se[0])
    delta = np.array(kept["delta"])
    np.testing.assert_allclose(delta.mean(axis=0), DELTA, atol=4 * delta.std() / np.sqrt(80))
    np.testing.assert_allclose(np.mean(kept["delta_se"], axis=0), delta.std(axis=0), rtol=0.2)
    assert np.mean(kept["tau"]) == pytest.approx(0.09, abs=0.02)
    assert np.mean(kept["cross"]) == pytest.approx(0.15, abs=0.05)


def test_neither_the_order_of_rows_nor_labels_matter() -> None:
    data = simulated(groups=40, size=9)
    one = two_step.estimate(design(data))
    other = data.assign(g=data["g"].map(lambda g: f"school {(g * 7) % 40}"))
    again = two_step.estimate(design(other.sample(frac=1, random_state=2)))
    for name in ("gamma", "gamma_cov"):
        np.testing.assert_allclose(getattr(again.mean, name), getattr(one.mean, name), rtol=1e-5)
    np.testing.assert_allclose(again.variance.delta, one.variance.delta, rtol=1e-9)
    np.testing.assert_allclose(again.covariance, one.covariance, rtol=1e-5)
    labels = design(other).group_labels
    order = [labels.index(f"school {(g * 7) % 40}") for g in range(40)]
    np.testing.assert_allclose(again.effects[order], one.effects, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_outcomes_unit_moves_the_estimates_as_it_should(scale: float) -> None:
    data = simulated(groups=40, size=9)
    one, other = (
        two_step.estimate(design(data.assign(y=data["y"] * factor))) for factor in (1.0, scale)
    )
    np.testing.assert_allclose(other.mean.gamma, scale * one.mean.gamma, rtol=1e-5)
    np.testing.assert_allclose(
        other.variance.delta, one.variance.delta + np.array([2 * np.log(scale), 0]), rtol=1e-8
    )
    units = np.array([scale, 1.0])
    np.testing.assert_allclose(other.covariance, one.covariance * np.outer(units, units), rtol=1e-5)


def test_a_covariance_beyond_its_bound_is_made_smaller() -> None:
    """v is u over again and its groups are small: chance takes the covariance too far."""
    perfect = np.array([[1.0, 0.3], [0.3, 0.09]])
    for seed in range(10):
        found = two_step.estimate(design(simulated(30, 6, seed, perfect)))
        if found.clipped and found.variance.tau > 0:
            break
    assert found.clipped and np.isnan(found.cross_se).all()
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-12
    rho = found.covariance[0, 1] / np.sqrt(found.covariance[0, 0] * found.covariance[1, 1])
    assert rho == pytest.approx(1.0)


def test_independent_effects_have_no_covariance() -> None:
    found = two_step.estimate(design(simulated(40, 9), "y ~ 1 + x + (1 | g)", "~ 1 + w + (1 | g)"))
    assert found.covariance[0, 1] == 0 and np.isnan(found.cross_se).all() and not found.clipped


def test_effects_are_shrunken_log_variances_and_means() -> None:
    """One effect each, independent, balanced: both have a closed form."""
    made = design(simulated(40, 9), "y ~ 1 + (1 | g)", "~ 1 + (1 | g)")
    found = two_step.estimate(made)
    tau, delta, V = found.variance.tau, found.variance.delta[0], float(polygamma(1, 4.0))
    v = (found.groups.d - delta) * tau / (tau + V)
    np.testing.assert_allclose(found.effects[:, 1], v, rtol=1e-10)
    np.testing.assert_allclose(found.effects_se[:, 1], np.sqrt(tau * V / (tau + V)), rtol=1e-10)
    error = np.exp(delta + v) / 9
    share = found.covariance[0, 0] / (found.covariance[0, 0] + error)
    means = np.bincount(made.group, made.y) / 9 - found.mean.gamma[0]
    np.testing.assert_allclose(found.effects[:, 0], share * means, rtol=1e-8)
    np.testing.assert_allclose(found.effects_se[:, 0] ** 2, share * error, rtol=1e-8)


def test_high_school_and_beyond_is_near_maximum_likelihood() -> None:
    """Model 1 of Leckie et al. (2014) by ML: 11.388, 2.816; 3.783, -0.265; 6.58; 0.0147."""
    spec = ("mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)")
    found = two_step.estimate(make_design(ModelSpec(*spec), datasets.load("hsb")))
    np.testing.assert_allclose(found.mean.gamma, [11.388, 2.816], atol=0.01)
    np.testing.assert_allclose(found.variance.delta, [3.783, -0.265], atol=0.01)
    assert found.covariance[0, 0] == pytest.approx(6.58, abs=0.1)
    assert found.variance.tau == pytest.approx(0.0147, abs=found.variance.tau_se)


# --- what it cannot -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("variance", "words"),
    [
        ("~ 1 + x", "vary within groups (x)"),
        ("~ 1 + w + x + (1 + x | g)", "differ between groups (v:x)"),
        ("~ 1 + I(x^2) + x", "vary within groups (I(x^2), x)"),
    ],
)
def test_reasons(variance: str, words: str) -> None:
    made = design(simulated(10, 5), "y ~ 1 + (1 | g)", variance)
    assert any(words in reason for reason in two_step.reasons(made)), two_step.reasons(made)
    with pytest.raises(DataError, match="two-step method cannot"):
        two_step.estimate(made)


def test_reasons_without_groups_and_with_too_few() -> None:
    data = simulated(10, 5)
    assert "without groups" in two_step.reasons(design(data, "y ~ 1 + x", "~ 1"))[0]
    few = data[(data["g"] < 2) | ~data["g"].duplicated()]
    made = design(few, "y ~ 1 + (1 | g)", "~ 1 + w")
    assert two_step.reasons(made) == [
        "tell 2 coefficients of the variance apart from the 2 group(s) with enough rows for a "
        "residual variance"
    ]
    assert two_step.reasons(design(data)) == []
