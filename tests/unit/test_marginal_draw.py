"""New outcomes come from the model that the likelihood is of."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

from bridge.errors import EngineFailed
from bridge.marginal.canonical import canonical, level2_covariance
from bridge.marginal.draw import draw_outcome, with_outcome
from bridge.marginal.problem import make_problem

SIZES = (2, 3, 4) * 4000


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
    with pytest.raises(EngineFailed, match="no covariance matrix"):
        draw_outcome(problem, free, np.random.default_rng(1))
