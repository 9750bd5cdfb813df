"""New outcomes come from the model that the likelihood is of."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

from bridge.drawing import draw, level2_matrices, log_likelihood, with_outcome
from bridge.errors import OptionError
from bridge.marginal.canonical import canonical, level2_covariance
from bridge.marginal.problem import Problem, make_problem
from bridge.truth import parameters_of

SIZES = (2, 3, 4) * 4000


def values_at(problem: Problem, free: np.ndarray) -> dict[str, float]:
    """Return the parameters by flat name."""
    return dict(zip(parameters_of(problem.design), canonical(problem, free), strict=True))


def draw_outcome(problem: Problem, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return outcomes drawn at free parameters."""
    return draw(problem.design, values_at(problem, free), rng, rng).y


@pytest.mark.parametrize("name", ["u", "2u 2v", "level2", "linear standardised", "quadratic raw"])
def test_moments_of_drawn_outcomes(name: str) -> None:
    """The mean of each row, and E y_i y_k of two rows of a group, by the parameters alone."""
    data = cases.frame(SIZES, seed=1)
    data = data.assign(y=5 * data["y"])
    problem = cases.problem_of(cases.DESIGNS[name], data)
    free = cases.at_random(problem, 2, size=0.3)
    design = problem.design
    y = draw_outcome(problem, free, np.random.default_rng(4))
    estimates = canonical(problem, free)
    gamma = estimates[:2]
    delta = estimates[2:4]
    T = level2_covariance(problem, free)
    qu = len(design.mean_effects)
    own = np.broadcast_to(T, (problem.groups, *T.shape[1:]))[design.group]
    r = y - design.mean.matrix @ gamma
    assert r.mean() == pytest.approx(0, abs=5 * r.std() / np.sqrt(len(SIZES)))
    first = np.concatenate([[0], np.cumsum(SIZES)])[:-1]
    left = np.einsum("ia,iab,ib->i", design.Z[first], own[first][:, :qu, :qu], design.Z[first + 1])
    product = r[first] * r[first + 1]
    error = product.std() / np.sqrt(len(product))
    assert product.mean() == pytest.approx(left.mean(), abs=4 * error)
    if problem.association is None:
        # E sigma2 = exp(w'delta + a'T_v a / 2), its effects integrated out
        spread = np.einsum("ia,iab,ib->i", design.A, own[:, qu:, qu:], design.A)
        level1 = np.exp(design.variance.matrix @ delta + spread / 2)
        level2 = np.einsum("ia,iab,ib->i", design.Z, own[:, :qu, :qu], design.Z)
        squares = r**2 - level1 - level2
        by_group = np.bincount(design.group, squares)
        assert by_group.mean() == pytest.approx(0, abs=4 * by_group.std() / np.sqrt(len(SIZES)))


def test_the_association_is_drawn() -> None:
    """Groups with a high mean vary as lambda says."""
    data = cases.frame((20,) * 3000, seed=1).assign(y=lambda d: 10 * d["y"])
    problem = cases.problem_of(cases.DESIGNS["linear raw"], data)
    gamma, delta = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    free = cases.given(problem, gamma, delta, np.diag([9.0, 0.01]), np.array([0.3]))
    y = draw_outcome(problem, free, np.random.default_rng(1)).reshape(3000, 20)
    slope = np.polyfit(y.mean(axis=1), np.log(y.var(axis=1, ddof=1)), 1)[0]
    assert slope == pytest.approx(0.3, abs=0.03)


def test_the_same_seed_gives_the_same_and_the_design_is_kept() -> None:
    problem = cases.problem_of(cases.SHARED)
    free = cases.at_random(problem, 3)
    one, same, other = (draw_outcome(problem, free, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    again = make_problem(with_outcome(problem.design, one))
    np.testing.assert_array_equal(again.design.y, one)
    np.testing.assert_array_equal(again.design.mean.matrix, problem.design.mean.matrix)


def test_no_covariance_matrix_no_draw() -> None:
    problem = cases.problem_of(cases.DESIGNS["level2"])
    free = np.zeros(problem.size)
    start = sum(problem.sizes[:2])
    for pair, value in {(0, 1): 2.0, (0, 2): -2.0, (1, 2): 2.0}.items():
        free[start + problem.law.slices[pair].start] = value  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="matrix of group 0 is not positive semi-definite"):
        draw_outcome(problem, free, np.random.default_rng(1))


@pytest.mark.parametrize("name", list(cases.DESIGNS))
def test_the_level2_matrices_are_those_of_the_likelihood(name: str) -> None:
    problem = cases.problem_of(cases.DESIGNS[name])
    if problem.design.effects:
        free = cases.at_random(problem, 5, size=0.3)
        found = level2_matrices(problem.design, values_at(problem, free))
        np.testing.assert_allclose(found, level2_covariance(problem, free), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["no groups", "2u 2v", "quadratic raw", "linear standardised"])
def test_the_density_given_the_effects_is_that_of_the_residuals(name: str) -> None:
    """log p(y | parameters, u, v) of what was drawn, from the noise that made it."""
    problem = cases.problem_of(cases.DESIGNS[name])
    design, values = problem.design, values_at(problem, cases.at_random(problem, 6, size=0.3))
    drawn = draw(design, values, np.random.default_rng(1), np.random.default_rng(2))
    noise = np.random.default_rng(2).standard_normal(len(design.y))
    found = log_likelihood(with_outcome(design, drawn.y), values, drawn.effects)
    # the same residuals with an outcome moved by its mean: the density is theirs over sigma
    at_mean = draw(design, values, np.random.default_rng(1), _Zeros())  # type: ignore[arg-type]
    sigma = (drawn.y - at_mean.y) / noise
    expected = -0.5 * np.log(2 * np.pi) - np.log(sigma) - 0.5 * noise**2
    assert found == pytest.approx(expected.sum(), rel=1e-9)


class _Zeros:
    """Normal numbers that are all zero."""

    def standard_normal(self, size: int) -> np.ndarray:
        return np.zeros(size)
