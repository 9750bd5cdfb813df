"""Points that chains start from, one for each seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bridge.nuts.arrays import Arrays
from bridge.nuts.coordinates import free_coordinates
from bridge.nuts.problem import Problem
from bridge.nuts.starts import Start, drawn

#: How far chains start apart: coefficients in about posterior SDs, SDs in logs.
_APART = {"near": (0.3, 0.1), "dispersed": (3.0, 1.0)}


def starting_points(
    problem: Problem, arrays: Arrays, start: Start, kind: str
) -> Callable[[int], np.ndarray]:
    """Return a function from a seed to the free coordinates of a starting point.

    Parameters
    ----------
    problem, arrays, start
        The model.
    kind : {"near", "dispersed"}
        Near the start, or about three posterior SDs from it, SDs by a factor of e.
    """
    steps, logs = _APART[kind]
    varies = problem.spread.kappa_pair[:, 0] != problem.spread.kappa_pair[:, 1]
    size = np.full(len(problem.coefficients.centre), steps)
    # functions of correlations start near zero, far from matrices that are not positive definite
    size[len(size) - len(varies) :][varies] = 0.1 / max(len(start.covariance), 1)

    def point(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        moved = drawn(start, rng, logs)
        return free_coordinates(problem, arrays, moved, size * rng.normal(size=len(size)))

    return point
