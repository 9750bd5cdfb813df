"""From the canonical scales to free coordinates, for starting points; pure NumPy."""

from __future__ import annotations

import numpy as np

from bridge.nuts.arrays import Arrays
from bridge.nuts.problem import Problem
from bridge.nuts.starts import Start

_MOST = 0.95  # of a partial correlation to start at


def free_coordinates(
    problem: Problem, arrays: Arrays, start: Start, steps: np.ndarray, nu: float = 10.0
) -> np.ndarray:
    """Return the free coordinates of a start.

    Parameters
    ----------
    problem : Problem
        Whose coordinates.
    arrays : Arrays
        The model.
    start : Start
        Its covariance and effects are taken.
    steps : (n,) array
        Free coordinates of the coefficients: how far from the problem's centre.
    nu : float
        Where effects are Student-t.

    Notes
    -----
    Correlations that have functions start at what the centre and ``steps`` say; effects are the
    start's with every factor the problem's own.
    """
    c, s, p = problem.coefficients, problem.spread, problem.sampled
    sd = start.sd
    correlation = start.covariance / np.outer(sd, sd)
    cpc = partial_correlations(np.linalg.cholesky(correlation))
    at_cpc = np.array([cpc[a, b] for a, b in s.cpc_pair])
    constant = [a for a in range(len(sd)) if s.sd_of[a] >= 0]
    nu_free = [np.log(nu - 1)] * (len(p.nu_prior) > 0)
    theta = _coefficients(problem, steps)
    factor = _factors(problem, arrays, sd, at_cpc, theta[len(theta) - len(s.kappa_pair) :])
    step = theta - c.centre
    fixed = np.zeros_like(p.away)
    for a, term, column in zip(p.fold_effect, p.fold_term, p.fold_column, strict=True):
        fixed[a] += step[term] * column
    return np.concatenate(
        [
            steps,
            np.log(sd[constant] / s.sd_centre),
            np.arctanh(np.clip(at_cpc, -_MOST, _MOST)),
            np.zeros(len(s.free_shape)),
            nu_free,
            _raw(problem, factor, start.effects, fixed).reshape(-1),
        ]
    )


def _coefficients(problem: Problem, steps: np.ndarray) -> np.ndarray:
    c = problem.coefficients
    p, k = len(c.gamma_map), len(c.delta_map)
    moved = [c.gamma_map @ steps[:p], c.delta_map @ steps[p : p + k], c.unit * steps[p + k :]]
    found: np.ndarray = c.centre + np.concatenate(moved)
    return found


def _factors(
    problem: Problem, arrays: Arrays, sd: np.ndarray, cpc: np.ndarray, kappa: np.ndarray
) -> np.ndarray:
    """Return the factors (q, q, J); correlations beside or with functions are taken as zero."""
    s, J = problem.spread, arrays.J
    q = len(sd)
    L = np.eye(q)
    for (a, b), value in zip(s.cpc_pair, np.clip(cpc, -_MOST, _MOST), strict=True):
        L[a, b] = value * L[a, a]
        L[a, a] *= np.sqrt(1 - value**2)
    sds = np.tile(sd[:, None], J)
    for a in range(q):
        if s.sd_of[a] < 0:
            own = (s.kappa_pair == (a, a)).all(axis=1)
            sds[a] = np.exp(0.5 * kappa[own] @ s.H[own])
    found: np.ndarray = L[:, :, None] * sds[:, None, :]
    return found


def _raw(
    problem: Problem, factor: np.ndarray, effects: np.ndarray, fixed: np.ndarray
) -> np.ndarray:
    """Return x = l (f + m) / s0 + (s / s0)^l z, in the notation of `bridge.nuts.level2`."""
    p = problem.sampled
    z, x = np.zeros_like(effects), np.zeros_like(effects)
    for a in range(len(effects)):
        m = np.einsum("bj,bj->j", factor[a, :a], z[:a])
        s = factor[a, a]
        z[a] = (effects[a] - m) / s
        held = p.weight[a] * (fixed[a] + m) / p.base[a]
        x[a] = held + (s / p.base[a]) ** p.weight[a] * z[a]
    return x


def partial_correlations(L: np.ndarray) -> np.ndarray:
    """Return the canonical partial correlations of a Cholesky factor, below the diagonal."""
    cpc = np.zeros_like(L)
    for a in range(len(L)):
        left = 1.0
        for b in range(a):
            cpc[a, b] = L[a, b] / np.sqrt(left)
            left *= 1 - cpc[a, b] ** 2
    return cpc
