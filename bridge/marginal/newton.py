"""The climb to the maximum: quasi-Newton steps between Newton steps.

The information is made by differencing the exact score (P evaluations), kept up by BFGS updates
from step to step, and made anew where they no longer help and before the climb ends: it ends on a
Newton decrement (the height that is left, in log-likelihood units) by a fresh information.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bridge.marginal.nodes import Placement
from bridge.marginal.problem import Evaluation, Problem

#: The height left, in units of log-likelihood: estimates are then within 1e-5 standard errors.
DECREMENT = 1e-10
#: Quasi-Newton steps end here, and a fresh information takes over.
_COARSE = 1e-4
#: The share by which the information must curve the wrong way for a saddle.
_SADDLE = 1e-5
#: From here on the nodes are held still along a step.
_CLOSE = 1e-2
#: The largest change of a log variance in one step, in the maximiser's coordinates.
_LONGEST = 2.0
#: The largest change of any parameter along one direction, in the same.
_REACH = 4.0
_STEPS = 200
#: Logs by which a fitted variance may lie below that of the outcome: beyond, there is no maximum.
SEPARATED = 25.0
#: Quasi-Newton steps, and a quarter of a step for each parameter, before a fresh information.
_PATIENCE = 6
_HALVINGS = 30
#: A log-likelihood is known to this share of itself.
_ROUNDING = 1e-12


_TO_ZERO = "a residual variance goes to zero"
#: Told how a fit goes, in a few words.
Report = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""
    del text


@dataclass
class Climb:
    """Where a climb ended, and how.

    Attributes
    ----------
    free : (P,) array
        The parameters.
    evaluation : Evaluation
        There.
    information : (P, P) array
        Minus the second derivatives there.
    converged : bool
    trace : list of (float, float)
        Log-likelihood and Newton decrement by step.
    why : str
        Why it ended where it has not converged.
    """

    free: np.ndarray
    evaluation: Evaluation
    information: np.ndarray
    converged: bool
    trace: list[tuple[float, float]] = field(default_factory=list)
    why: str = ""


def information(
    problem: Problem,
    free: np.ndarray,
    at: Evaluation,
    step: np.ndarray,
    central: bool,
    report: Report = silent,
) -> np.ndarray:
    """Return minus the second derivatives by differences of the score, nodes held where they are.

    Parameters
    ----------
    problem : Problem
    free : (P,) array
        The parameters.
    at : Evaluation
        There.
    step : (P,) array
        The step of each parameter.
    central : bool
        On both sides (2 P evaluations), or on one (P).
    report : callable
        Told at each parameter.
    """
    base = at.score
    columns = []
    for i in range(problem.size):
        report(f"information, parameter {i + 1} of {problem.size}")
        moved = free.copy()
        moved[i] += step[i]
        ahead = problem.evaluate(moved, at.placement, fixed=True)
        if central:
            moved[i] -= 2 * step[i]
            behind = problem.evaluate(moved, at.placement, fixed=True)
        else:
            behind = at
        if ahead.scores is None or behind.scores is None:
            columns.append(np.full(problem.size, np.nan))
            continue
        width = 2 * step[i] if central else step[i]
        columns.append((behind.score - ahead.score) / width)
    found = np.stack(columns, axis=1) if columns else np.zeros((len(base), 0))
    half: np.ndarray = (found + found.T) / 2
    return half


def steps_of(information: np.ndarray, share: float) -> np.ndarray:
    """Return a step of each parameter, a share of its standard error given the others."""
    size = np.diag(information)
    safe: np.ndarray = share / np.sqrt(np.where(size > 1e-6, size, 1.0))
    return safe


def climb(
    problem: Problem,
    free: np.ndarray,
    report: Report = silent,
    placement: Placement | None = None,
) -> Climb:
    """Maximise the log-likelihood from a starting point.

    Parameters
    ----------
    problem : Problem
    free : (P,) array
        Where to start.
    report : callable
        Told how it goes, in a few words, at each step.
    placement : Placement, optional
        Where the nodes start from.

    Returns
    -------
    Climb
    """
    here = problem.evaluate(free, placement)
    if here.scores is None:
        return Climb(free, here, np.eye(len(free)), False, why="the start has no likelihood")
    if _without_bound(problem, free, here):
        return Climb(free, here, np.eye(len(free)), False, why=_TO_ZERO)
    return _Ascent(problem, free, here, report).run()


def _without_bound(problem: Problem, free: np.ndarray, here: Evaluation) -> bool:
    """Tell whether a residual variance goes to zero, in all groups alike or in some."""
    lowest = problem.lowest_log_variance(free)
    return bool(min(lowest, -2 * problem.excess(here.by_group).max()) < -SEPARATED)


class _Ascent:
    """A climb under way: where it is, and the information it goes by."""

    def __init__(
        self, problem: Problem, free: np.ndarray, here: Evaluation, report: Report
    ) -> None:
        self.problem, self.free, self.here, self.report = problem, free, here, report
        self.trace: list[tuple[float, float]] = []
        self.refresh(None)

    def refresh(self, known: np.ndarray | None) -> None:
        """Make the information anew."""
        self.curvature = _fresh(self.problem, self.free, self.here, known, self.report)
        self.fresh, self.since = True, 0

    def run(self) -> Climb:
        """Climb until nothing is left, no step helps, or the steps are used up."""
        for _ in range(_STEPS):
            step, decrement = _direction(self.curvature, self.here.score)
            self.trace.append((self.here.loglik, decrement))
            self.report(f"log-likelihood {self.here.loglik:.4f}, {decrement:.1e} to go")
            if _without_bound(self.problem, self.free, self.here):
                return self.ended(False, _TO_ZERO)
            if decrement < (DECREMENT if self.fresh else _COARSE):
                if self.fresh and not self.left_saddle():
                    return self.ended(True)
                self.refresh(self.curvature)
            elif not self.moved(step, decrement):
                if self.fresh:
                    # what is left is below what rounding lets a line search see
                    small = decrement < 1e-6
                    return self.ended(small, "" if small else "no step improves it")
                self.refresh(self.curvature)
        return self.ended(False, f"{_STEPS} steps were not enough")

    def ended(self, converged: bool, why: str = "") -> Climb:
        return Climb(self.free, self.here, self.curvature, converged, self.trace, why)

    def left_saddle(self) -> bool:
        away = _off_saddle(self.problem, self.free, self.here, self.curvature)
        if away is None:
            return False
        self.free, self.here = away
        return True

    def moved(self, step: np.ndarray, decrement: float) -> bool:
        """Go along a step and bring the information along; False where nothing improves."""
        found = _along(self.problem, self.free, self.here, step, decrement)
        if found is None:
            return False
        ahead, there = found
        near = self.fresh and decrement < _COARSE
        change = ahead - self.free, self.here.score - there.score
        self.free, self.here = ahead, there
        if near:
            # near the maximum a Newton step squares the error: BFGS would only blur it
            if decrement >= np.sqrt(DECREMENT) * 1e-2:
                self.refresh(self.curvature)
            return True
        self.curvature = _updated(_convex(self.curvature), *change)
        self.fresh, self.since = False, self.since + 1
        if self.since > _PATIENCE + self.problem.size // 4:
            self.refresh(self.curvature)
        return True


def _fresh(
    problem: Problem,
    free: np.ndarray,
    here: Evaluation,
    known: np.ndarray | None,
    report: Report,
) -> np.ndarray:
    if known is None:
        assert here.scores is not None
        known = here.scores.T @ here.scores  # its size by the outer product of the scores
    step = steps_of(known, 1e-4)
    found = information(problem, free, here, step, central=False, report=report)
    return found if np.isfinite(found).all() else known + np.eye(len(known))


def _direction(curvature: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the step uphill and its Newton decrement; curvature of the wrong sign is turned.

    Along a direction that the likelihood hardly bends the step is cut off, and with it what is to
    be won there: a log variance on its way to minus infinity would never arrive.
    """
    scale, values, vectors = _spectrum(curvature)
    inner = vectors.T @ (score / scale)
    along = inner / values
    reach = np.abs(along) * np.abs(vectors / scale[:, None]).max(axis=0, initial=0.0)
    along = along / np.maximum(reach / _REACH, 1.0)
    step = (vectors @ along) / scale
    return step, float((inner * along - 0.5 * values * along**2).sum())


def _spectrum(curvature: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scales of the parameters, and absolute eigenvalues and vectors on those scales."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-8))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    return scale, np.maximum(np.abs(values), 1e-7), vectors


def _off_saddle(
    problem: Problem, free: np.ndarray, here: Evaluation, curvature: np.ndarray
) -> tuple[np.ndarray, Evaluation] | None:
    """Return a higher point along the direction that curves up most; None at a maximum.

    An element of a factor that is zero has no slope, also where the likelihood rises on both sides.
    """
    if not len(free):
        return None
    scale = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-8))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    if values[0] >= -_SADDLE:
        return None
    direction = vectors[:, 0] / scale
    for length in (3.0, 1.0, 0.3, 0.1):
        for sign in (1.0, -1.0):
            ahead = free + sign * length * direction
            there = problem.evaluate(ahead, here.placement)
            if there.scores is not None and there.loglik > here.loglik + 1e-7:
                return ahead, there
    return None


def _convex(curvature: np.ndarray) -> np.ndarray:
    """Return the information with its negative eigenvalues turned: what BFGS can start from."""
    if len(curvature) == 0 or np.linalg.eigvalsh(curvature)[0] > 0:
        return curvature
    scale, values, vectors = _spectrum(curvature)
    found: np.ndarray = (vectors * values) @ vectors.T * np.outer(scale, scale)
    return found


def _along(
    problem: Problem, free: np.ndarray, here: Evaluation, step: np.ndarray, decrement: float
) -> tuple[np.ndarray, Evaluation] | None:
    """Return the first point along a step that improves enough; None where there is none."""
    slope = float(here.score @ step)
    longest = float(np.abs(problem.parts(step)[1]).max(initial=0.0))
    length = min(1.0, _LONGEST / longest) if longest > 0 else 1.0
    # nodes that move change the sum by their error: close to the maximum that is held still
    close = decrement < _CLOSE
    known = _ROUNDING * abs(here.loglik)
    for _ in range(_HALVINGS):
        ahead = free + length * step
        there = problem.evaluate(ahead, here.placement, fixed=close)
        if there.scores is not None:
            gain = there.loglik - here.loglik
            flat = decrement < 1e-5 and abs(gain) <= 1e-9 + known
            if gain >= 1e-4 * length * slope or (flat and _nearer(there, here)):
                if not close:
                    return ahead, there
                settled = problem.evaluate(ahead, here.placement)
                return (ahead, settled) if settled.scores is not None else None
        length *= 0.5
    return None


def _nearer(there: Evaluation, here: Evaluation) -> bool:
    """Tell whether the score has become smaller, where the log-likelihood can no longer tell."""
    return bool(np.linalg.norm(there.score) < np.linalg.norm(here.score))


def _updated(curvature: np.ndarray, moved: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return the BFGS update of the information; unchanged where curvature was not positive."""
    along = curvature @ moved
    bend = float(moved @ along)
    product = float(moved @ changed)
    if bend <= 0 or product <= 1e-10 * np.linalg.norm(moved) * np.linalg.norm(changed):
        return curvature
    found: np.ndarray = (
        curvature - np.outer(along, along) / bend + np.outer(changed, changed) / product
    )
    return found
