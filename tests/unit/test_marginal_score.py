"""The score of the marginal likelihood is its derivative, for every kind of parameter."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

from bridge.marginal.newton import information, steps_of
from bridge.marginal.problem import Problem

#: A linear association turns x as the parameters move, so that the nodes must be many.
TURNING = ("linear",)


def nodes_for(name: str) -> int | None:
    if not name.startswith(TURNING):
        return None
    return 41 if "level2" in name else 31


def differences(problem: Problem, free: np.ndarray, placement: object) -> np.ndarray:
    """Central differences of the log-likelihood with the nodes held, of fourth order."""

    def loglik(moved: np.ndarray) -> float:
        return problem.evaluate(moved, placement, scores=False, fixed=True).loglik

    found = []
    for unit in 1e-4 * np.eye(problem.size):
        near = loglik(free + unit) - loglik(free - unit)
        far = loglik(free + 2 * unit) - loglik(free - 2 * unit)
        found.append((8 * near - far) / 12e-4)
    return np.array(found)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", cases.DESIGNS)
def test_the_score_is_the_derivative(name: str, seed: int) -> None:
    problem = cases.problem_of(cases.DESIGNS[name], nodes=nodes_for(name))
    free = cases.at_random(problem, seed)
    placement, at = cases.settled(problem, free)
    by_differences = differences(problem, free, placement)
    largest = np.abs(at.score).max()
    np.testing.assert_allclose(at.score, by_differences, rtol=1e-6, atol=1e-6 * largest)
    assert np.abs(by_differences).min() > 1e-7 * largest, "every parameter matters"


@pytest.mark.parametrize("name", ["uv", "2u 2v", "level2", "linear standardised", "quadratic raw"])
def test_scores_are_kept_by_group(name: str) -> None:
    problem = cases.problem_of(cases.DESIGNS[name])
    free = cases.at_random(problem, 3)
    _, at = cases.settled(problem, free)
    assert at.scores is not None and at.scores.shape == (8, problem.size)
    step = 1e-5 * np.eye(problem.size)[1]
    ahead, behind = (
        problem.evaluate(free + s * step, at.placement, fixed=True).by_group for s in (1, -1)
    )
    np.testing.assert_allclose(at.scores[:, 1], (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)


def test_the_score_at_a_variance_of_zero_is_zero_along_it() -> None:
    problem = cases.problem_of(cases.DESIGNS["u, v"])
    free = cases.at_random(problem, 4)
    free[-1] = 0.0  # v does not vary
    _, at = cases.settled(problem, free)
    assert np.isfinite(at.loglik)
    assert at.score[-1] == pytest.approx(0.0, abs=1e-9)


def test_the_association_s_sign_does_not_move_the_nodes() -> None:
    """The likelihood with the nodes held is smooth where lambda goes through zero."""
    problem = cases.problem_of(cases.DESIGNS["linear standardised without v"])
    free = cases.at_random(problem, 5)
    free[-1] = 0.0
    placement, at = cases.settled(problem, free)
    step = 1e-4 * np.eye(problem.size)[-1]
    ahead, behind = (
        problem.evaluate(free + s * step, placement, fixed=True).loglik for s in (1, -1)
    )
    assert (ahead - behind) / 2e-4 == pytest.approx(at.score[-1], rel=1e-5)


@pytest.mark.parametrize("name", ["no groups", "u", "uv", "2u 2v", "level2 by element",
                                  "quadratic standardised"])  # fmt: skip
def test_the_information_is_minus_the_second_derivative(name: str) -> None:
    problem = cases.problem_of(cases.DESIGNS[name], nodes=15)
    free = cases.at_random(problem, 6)
    placement, at = cases.settled(problem, free)
    found = information(problem, free, at, steps_of(at.scores.T @ at.scores, 1e-3), central=True)
    h = 1e-3
    unit = h * np.eye(problem.size)

    def loglik(moved: np.ndarray) -> float:
        return problem.evaluate(moved, placement, scores=False, fixed=True).loglik

    hessian = np.array(
        [
            [
                loglik(free + a + b) - loglik(free + a - b) - loglik(free - a + b)
                + loglik(free - a - b)
                for b in unit
            ]
            for a in unit
        ]
    ) / (4 * h**2)  # fmt: skip
    np.testing.assert_allclose(found, -hessian, rtol=1e-3, atol=1e-4 * np.abs(hessian).max())
