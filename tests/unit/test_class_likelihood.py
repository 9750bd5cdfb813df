"""Latent classes in NumPy: sums over classes, Bayes' rule and priors, by brute force."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
from class_cases import simulated, spec

from bridge import class_likelihood as cl
from bridge.design import Design, make_design
from bridge.priors import Prior

C, S = 3, 7


def design(**parts: str) -> Design:
    return make_design(spec(C, **parts), simulated(9, 4))


def draws(made: Design, seed: int = 1) -> cl.ClassDraws:
    rng = np.random.default_rng(seed)
    return cl.ClassDraws(
        gamma=rng.normal(size=(S, len(made.mean.labels))) + np.eye(1, len(made.mean.labels)) * 10,
        delta=0.5 * rng.normal(size=(S, len(made.variance.labels))),
        pi=rng.dirichlet(np.ones(C), S),
        points=rng.normal(size=(S, C, len(made.effects))),
    )


def by_hand(made: Design, of: cl.ClassDraws, s: int, j: int) -> np.ndarray:
    """p(y_j, class c) of one draw and group, the densities multiplied as they are."""
    qu, found = len(made.mean_effects), []
    for c in range(C):
        value = of.pi[s, c]
        for i in np.flatnonzero(made.group == j):
            mean = made.mean.matrix[i] @ of.gamma[s] + made.Z[i] @ of.points[s, c, :qu]
            log_variance = made.variance.matrix[i] @ of.delta[s] + made.A[i] @ of.points[s, c, qu:]
            value *= stats.norm.pdf(made.y[i], mean, np.exp(log_variance / 2))
        found.append(value)
    return np.array(found)


@pytest.mark.parametrize(
    "parts", [{}, {"variance": "~ 1"}, {"mean": "y ~ x", "variance": "~ 1 + (1 + x | g)"}]
)
def test_the_likelihood_is_the_sum_over_classes(
    parts: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = design(**parts)
    monkeypatch.setattr(cl, "CELLS", 2 * len(made.y))  # in several chunks
    of, told = draws(made), []
    found = cl.marginal_loglik(made, of, told.append)
    joint = cl.log_joint(made, of)
    for s, j in np.ndindex(*found.shape):
        each = by_hand(made, of, s, j)
        assert found[s, j] == pytest.approx(np.log(each.sum()), rel=1e-11)
        np.testing.assert_allclose(
            cl.probabilities(joint)[s, j], each / each.sum(), rtol=1e-9, atol=1e-12
        )
    assert told[-1] == 1.0 and len(told) == 4


def test_drawn_classes_follow_bayes_rule() -> None:
    made = design()
    of = draws(made)
    probability = cl.probabilities(cl.log_joint(made, of))
    many = np.repeat(probability, 4000, axis=0)
    latent = cl.drawn_classes(many, np.random.default_rng(2)).reshape(S, 4000, -1)
    for c in range(C):
        count, law = (latent == c).sum(axis=1), stats.binom(4000, probability[..., c])
        assert np.minimum(law.cdf(count), law.sf(count - 1)).min() > 1e-5
    again = cl.drawn_classes(many, np.random.default_rng(2))
    np.testing.assert_array_equal(again.reshape(latent.shape), latent)


def test_a_class_without_weight_or_beyond_the_last_sum_is_never_drawn() -> None:
    probability = np.array([[[0.0, 1.0 - 1e-16, 0.0], [1.0, 0.0, 0.0]]])

    class High:
        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, np.nextafter(1.0, 0.0))

    found = cl.drawn_classes(probability, High())  # type: ignore[arg-type]
    assert found[0, 0] == 1 and found[0, 1] == 0
    of = cl.ClassDraws(
        np.zeros((1, 1)), np.zeros((1, 1)), np.array([[1.0, 0.0]]), np.zeros((1, 2, 1))
    )
    assert np.isneginf(cl.log_weights(of.pi)[0, 1])


def test_classes_of_one_effect_are_no_classes() -> None:
    # K classes of the same effects are one: the likelihood of a model without group effects
    made = design(mean="y ~ 1 + x + (1 | g)", variance="~ 1")
    of = draws(made)
    same = cl.ClassDraws(of.gamma, of.delta, of.pi, np.zeros_like(of.points))
    plain = stats.norm.logpdf(
        made.y,
        of.gamma @ made.mean.matrix.T,
        np.exp(0.5 * of.delta @ made.variance.matrix.T),
    )
    total = cl.marginal_loglik(made, same).sum(axis=1)
    np.testing.assert_allclose(total, plain.sum(axis=1), rtol=1e-12)


def test_weighted_covariances() -> None:
    rng = np.random.default_rng(3)
    pi, points = rng.dirichlet(np.ones(4), 5), rng.normal(size=(5, 4, 2))
    found = cl.covariances(pi, points)
    for s in range(5):
        expected = np.cov(points[s].T, aweights=pi[s], ddof=0)
        np.testing.assert_allclose(found[s], expected, rtol=1e-12)


# --- priors -------------------------------------------------------------------------------------
PRIORS = [
    Prior("half_t", (3.0, 0.0, 2.0)),
    Prior("half_normal", (0.0, 1.5)),
    Prior("exponential", (0.7,)),
]


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_two_points_have_the_prior_of_the_sd_reflected(prior: Prior) -> None:
    step = np.array([-3.0, -0.2, 0.4, 5.0])
    points = np.stack([np.full(4, 9.0), 9.0 + step], axis=-1)
    r = np.abs(step) / np.sqrt(2)
    expected = prior.log_density(r) - np.log(2) - 0.5 * np.log(2)
    np.testing.assert_allclose(cl.points_log_density(points, prior, False), expected, rtol=1e-12)


@pytest.mark.parametrize("prior", PRIORS, ids=str)
@pytest.mark.parametrize("ordered", [False, True])
def test_the_prior_of_three_points_has_mass_one(prior: Prior, ordered: bool) -> None:
    def density(a: float, b: float) -> float:
        points = np.array([0.0, a, a + b])
        return float(np.exp(cl.points_log_density(points, prior, ordered)))

    start = 0.0 if ordered else -np.inf
    mass, _ = integrate.dblquad(
        lambda b, a: density(a, b), start, np.inf, start, np.inf, epsabs=1e-6, epsrel=1e-6
    )
    assert mass == pytest.approx(1.0, abs=2e-3)


def test_half_normal_points_are_independent_draws_about_their_mean() -> None:
    # any linear map of three independent draws to their steps gives this density
    steps = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    law = stats.multivariate_normal(np.zeros(2), 1.5**2 * steps @ steps.T)
    points = np.random.default_rng(4).normal(size=(6, 3))
    found = cl.points_log_density(points, PRIORS[1], False)
    np.testing.assert_allclose(found, law.logpdf(np.diff(points, axis=-1)), rtol=1e-12)


def test_the_prior_of_weights() -> None:
    pi = np.random.default_rng(5).dirichlet(np.ones(4), 3)
    for a in (1.0, 0.4, 3.0):
        found = cl.weights_log_density(pi, Prior("dirichlet", (a,)))
        expected = [stats.dirichlet.logpdf(row, np.full(4, a)) for row in pi]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    none = cl.weights_log_density(np.array([1.0, 0.0]), Prior("dirichlet", (1.0,)))
    assert none == pytest.approx(0.0)
