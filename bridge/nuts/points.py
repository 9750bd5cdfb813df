"""Points that chains start from, one for each seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bridge.nuts.problem import Problem
from bridge.nuts.starts import Start

#: SDs of the free coordinates of coefficients (one is about a posterior SD), log SDs, and others.
_APART = {"near": (0.3, 0.1, 0.05), "dispersed": (3.0, 1.0, 0.5)}
_NU = 10.0
_MOST = 0.95  # of a partial correlation


def starting_points(problem: Problem, start: Start, kind: str) -> Callable[[int], np.ndarray]:
    """Return a function from a seed to the free coordinates of a starting point.

    Parameters
    ----------
    problem : Problem
        Whose coordinates; at zero they are the start, but for correlations.
    start : Start
        Where correlations start.
    kind : {"near", "dispersed"}
        Near the start, or about three posterior SDs from it, SDs by a factor of e.
    """
    steps, logs, others = _APART[kind]
    spread, n = problem.spread, len(problem.coefficients.centre)
    sd = start.sd
    cpc = _partial_correlations(start.covariance / np.outer(sd, sd))
    at_cpc = np.arctanh(np.clip([cpc[a, b] for a, b in spread.cpc_pair], -_MOST, _MOST))
    size = np.full(n, steps)
    # functions of correlations start near zero, far from matrices that are not positive definite
    varies = spread.kappa_pair[:, 0] != spread.kappa_pair[:, 1]
    size[n - len(varies) :][varies] = 0.2 / max(len(sd), 1)
    free = np.full(len(spread.free_shape), 0.05 / max(len(sd), 1))
    nu = [np.log(_NU - 1)] * (len(problem.sampled.nu_prior) > 0)
    groups = problem.sampled.away.size
    centre = np.concatenate(
        [np.zeros(n + len(spread.sd_centre)), at_cpc, 0 * free, nu, np.zeros(groups)]
    )
    apart = np.concatenate(
        [
            size,
            np.full(len(spread.sd_centre), logs),
            np.full(len(at_cpc), others),
            free,
            np.full(len(nu), others),
            np.full(groups, 1.0),
        ]
    )

    def point(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return centre + apart * np.clip(rng.normal(size=len(centre)), -2, 2)

    return point


def _partial_correlations(R: np.ndarray) -> np.ndarray:
    """Return the canonical partial correlations of a matrix, below the diagonal."""
    L = np.linalg.cholesky(R)
    cpc = np.zeros_like(L)
    for a in range(len(L)):
        left = 1.0
        for b in range(a):
            cpc[a, b] = L[a, b] / np.sqrt(left)
            left *= 1 - cpc[a, b] ** 2
    return cpc
