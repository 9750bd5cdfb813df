"""Profile-likelihood intervals.

An end of the interval of a parameter h is the smallest or largest h among all parameters whose
log-likelihood is at most 1.92 (half the 95% point of chi-squared with one degree of freedom) below
the maximum (Venzon & Moolgavkar 1988; as a constrained problem, Neale & Miller 1997). It is found
by sequential quadratic programming with the exact score, in coordinates in which the information
is the identity, so that the set is close to a ball.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from bridge.marginal.canonical import canonical, free_of, jacobian
from bridge.marginal.maximum import Maximum
from bridge.marginal.newton import Report, information, silent, steps_of
from bridge.marginal.nodes import Placement
from bridge.marginal.problem import Evaluation, Problem, make_problem

_DROP = float(stats.chi2.ppf(0.95, 1)) / 2
#: How near the log-likelihood at an end must be to the one wanted.
_NEAR = 1e-3
#: A direction that the data say less of than this (in eigenvalues) is not stretched further.
_FLAT = 1e-4


@dataclass
class _Walk:
    """The likelihood around a maximum, in coordinates in which the information is the identity."""

    problem: Problem
    centre: np.ndarray
    turn: np.ndarray
    placement: Placement
    floor: float
    _last: tuple[bytes, Evaluation] | None = None

    def at(self, s: np.ndarray) -> Evaluation:
        key = s.tobytes()
        if self._last is None or self._last[0] != key:
            found = self.problem.evaluate(self.free(s), self.placement)
            self._last = (key, found)
        return self._last[1]

    def free(self, s: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.centre + self.turn @ s
        return found

    def room(self, s: np.ndarray) -> float:
        """Return how much log-likelihood is left above the floor."""
        loglik = self.at(s).loglik
        return loglik - self.floor if np.isfinite(loglik) else -1e6

    def room_slope(self, s: np.ndarray) -> np.ndarray:
        found = self.at(s)
        if found.scores is None:
            return -s
        slope: np.ndarray = self.turn.T @ found.score
        return slope

    def value(self, s: np.ndarray, position: int) -> float:
        return float(canonical(self.problem, self.free(s))[position])

    def slope(self, s: np.ndarray, position: int) -> np.ndarray:
        free = self.free(s)
        steps = 1e-6 * np.maximum(1.0, np.abs(free))
        rows = jacobian(lambda f: canonical(self.problem, f)[[position]], free, steps)
        found: np.ndarray = self.turn.T @ rows[0]
        return found


def profile_intervals(
    found: Maximum, report: Report = silent
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 95% profile-likelihood intervals of all canonical estimates.

    Parameters
    ----------
    found : Maximum
        The fit; where T is singular the profile is that of the model with T of full rank.
    report : callable
        Told which parameter is being profiled.

    Returns
    -------
    lower, upper : (n,) arrays
        NaN where an end was not found or the estimate is not defined.
    failed : (n,) array of bool
        Where an end was not found.
    """
    walk = _walk(found)
    n = len(found.estimates)
    lower, upper = np.full(n, np.nan), np.full(n, np.nan)
    failed = np.zeros(n, dtype=bool)
    for position in range(n):
        report(f"profile of estimate {position + 1} of {n}")
        if np.isnan(found.estimates[position]) or position in found.unidentified:
            continue
        lower[position] = _end(walk, position, -1.0)
        upper[position] = _end(walk, position, 1.0)
        failed[position] = bool(np.isnan(lower[position]) or np.isnan(upper[position]))
    return lower, upper, failed


def _walk(found: Maximum) -> _Walk:
    problem, free = found.problem, found.climb.free
    if found.ranks != found.full_ranks and found.ranks:
        full = make_problem(problem.design, problem.nodes)
        gamma, delta, _, lam = problem.parts(free)
        to = problem.coordinates
        free = free_of(full, to.gamma @ gamma, to.delta @ delta, found.level2, to.latent * lam)
        problem = full
    here = problem.evaluate(free)
    curvature = found.climb.information
    if problem is not found.problem:
        steps = steps_of(np.eye(problem.size), 1e-3)
        curvature = information(problem, free, here, steps, central=True)
    scale = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1.0))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    turn = vectors / np.sqrt(np.maximum(np.abs(values), _FLAT)) / scale[:, None]
    return _Walk(problem, free, turn, here.placement, here.loglik - _DROP)


def _end(walk: _Walk, position: int, sign: float) -> float:
    """Return the smallest (sign -1) or largest (1) value with enough log-likelihood; else NaN."""
    size = len(walk.centre)
    slope = walk.slope(np.zeros(size), position)
    steep = float(np.linalg.norm(slope))
    centre = walk.value(np.zeros(size), position)
    begin = sign * np.sqrt(2 * _DROP) * slope / steep if steep > 1e-8 else np.full(size, 0.1)
    unit = steep if steep > 1e-8 else 1.0
    for start in (begin, 0.5 * begin, np.zeros(size) + 0.05):
        with np.errstate(all="ignore"):
            end = optimize.minimize(
                lambda s: -sign * (walk.value(s, position) - centre) / unit,
                start,
                jac=lambda s: -sign * walk.slope(s, position) / unit,
                method="SLSQP",
                constraints=[{"type": "ineq", "fun": walk.room, "jac": walk.room_slope}],
                options={"maxiter": 40, "ftol": 1e-7},
            )
        room, value = walk.room(end.x), walk.value(end.x, position)
        at_floor = abs(room) < _NEAR
        flat = np.linalg.norm(walk.slope(end.x, position)) < 1e-4 * max(unit, 1e-8)
        if np.isfinite(value) and (at_floor or (end.success and room > 0 and flat)):
            return value
    return float("nan")
