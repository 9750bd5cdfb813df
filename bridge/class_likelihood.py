"""Latent classes: what the rows of a group say about its class; pure NumPy.

The effects (u, v) of a group are one of K mass points, with probabilities pi. Given class c the
rows of group j are independent and normal, and the class is summed over:

    log p(y_j) = log sum_c pi_c prod_i N(y_ij; x'gamma + z'u_c, exp(w'delta + a'v_c))
    p(class c | y_j) = pi_c prod_i N(...) / p(y_j)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from bridge.design import Design
from bridge.priors import Prior

if TYPE_CHECKING:
    import xarray as xr

#: Rows times draws of a chunk: 16 MB in double precision.
CELLS = 2_000_000
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class ClassDraws:
    """S draws of a model with K latent classes, canonical scales.

    Attributes
    ----------
    gamma, delta : (S, p) and (S, k) arrays
        Coefficients of the mean and of the log variance.
    pi : (S, K) array
        Weights of the classes.
    points : (S, K, q) array
        Their effects, u before v.
    """

    gamma: np.ndarray
    delta: np.ndarray
    pi: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.pi)

    def __getitem__(self, some: slice) -> ClassDraws:
        """Return some of the draws."""
        return ClassDraws(self.gamma[some], self.delta[some], self.pi[some], self.points[some])

    def moved(self, other: ClassDraws, share: float) -> ClassDraws:
        """Return points a share of the way from here to the draws of another."""

        def between(here: np.ndarray, there: np.ndarray) -> np.ndarray:
            return here * (1 - share) + there * share

        return ClassDraws(
            between(self.gamma, other.gamma),
            between(self.delta, other.delta),
            # a step beyond a weight of all but zero would leave the simplex
            np.maximum(between(self.pi, other.pi), np.finfo(float).tiny),
            between(self.points, other.points),
        )

    def mean(self) -> ClassDraws:
        """Return the means over draws, as one draw."""
        parts = (self.gamma, self.delta, self.pi, self.points)
        return ClassDraws(*(part.mean(axis=0, keepdims=True) for part in parts))


def draws_of(posterior: xr.Dataset) -> ClassDraws:
    """Return the draws of a posterior with latent classes, chain by chain."""
    posterior = posterior.transpose("chain", "draw", "latent_class", ...)
    shape = (posterior.sizes["chain"] * posterior.sizes["draw"],)

    def flat(name: str) -> np.ndarray:
        values: np.ndarray = posterior[name].values
        return values.reshape(*shape, *values.shape[2:])

    points = [flat(name) for name in ("u_class", "v_class") if name in posterior]
    return ClassDraws(flat("gamma"), flat("delta"), flat("pi"), np.concatenate(points, axis=-1))


# --- likelihood -------------------------------------------------------------------------------
def row_loglik_by_class(design: Design, draws: ClassDraws) -> Iterator[np.ndarray]:
    """Give, class by class, the log density of every row in it, (S, N), constants counted."""
    qu = len(design.mean_effects)
    left = design.y - draws.gamma @ design.mean.matrix.T
    base = draws.delta @ design.variance.matrix.T
    for c in range(draws.pi.shape[1]):
        residual = left - draws.points[:, c, :qu] @ design.Z.T
        log_variance = base + draws.points[:, c, qu:] @ design.A.T
        yield -0.5 * (_LOG_2PI + log_variance + residual**2 * np.exp(-log_variance))


def log_joint(
    design: Design, draws: ClassDraws, report: Callable[[float], None] | None = None
) -> np.ndarray:
    """Return log pi_c + log p(y_j | class c) of every class and group.

    Parameters
    ----------
    design : Design
        The model on its data, J groups.
    draws : ClassDraws
        S draws.
    report : callable, optional
        Told the share of the draws done.

    Returns
    -------
    (S, J, K) array
        Its log-sum-exp over classes is the marginal log-likelihood of a group.
    """
    order = np.argsort(design.group, kind="stable")
    starts = np.searchsorted(design.group[order], np.arange(len(design.group_labels)))
    found = np.empty((len(draws), len(starts), draws.pi.shape[1]))
    size = max(1, CELLS // len(design.y))
    for start in range(0, len(draws), size):
        some = slice(start, start + size)
        for c, rows in enumerate(row_loglik_by_class(design, draws[some])):
            found[some, :, c] = np.add.reduceat(rows[:, order], starts, axis=1)
        if report is not None:
            report(min(1.0, (start + size) / len(draws)))
    return found + log_weights(draws.pi)[:, None, :]


def log_weights(pi: np.ndarray) -> np.ndarray:
    """Return the logs of weights, -inf of none."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(pi))


def marginal_loglik(
    design: Design, draws: ClassDraws, report: Callable[[float], None] | None = None
) -> np.ndarray:
    """Return the log-likelihood of each group with its class summed over, (S, J)."""
    return np.asarray(logsumexp(log_joint(design, draws, report), axis=-1))


def probabilities(joint: np.ndarray) -> np.ndarray:
    """Return the probability of each class of each group given y, (S, J, K), from `log_joint`."""
    found: np.ndarray = np.exp(joint - logsumexp(joint, axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)


def drawn_classes(probability: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a class, from 0, of every group at every draw: (S, J) from probabilities (S, J, K)."""
    passed = rng.random(probability.shape[:-1])[..., None] > np.cumsum(probability, axis=-1)
    # the last sum may fall short of 1 by rounding
    return np.minimum(passed.sum(axis=-1), probability.shape[-1] - 1)


def covariances(pi: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the covariance matrices (..., q, q) of mass points (..., K, q) with weights pi."""
    away = points - (pi[..., None] * points).sum(axis=-2, keepdims=True)
    return np.einsum("...k,...ka,...kb->...ab", pi, away, away)


# --- priors -------------------------------------------------------------------------------------
def points_log_density(points: np.ndarray, prior: Prior, ordered: bool) -> np.ndarray:
    """Return the log prior density of the mass points of one effect.

    It is a density of the K - 1 steps between successive classes, spherically symmetric in the K
    points about their mean, at distance r from it; with K = 2 that of (second - first) / sqrt(2)
    is the SD's prior reflected at zero. See `bridge.Priors`.

    Parameters
    ----------
    points : (..., K) array
        The points; their weighted mean does not matter.
    prior : Prior
        Of the SD: half_t, half_normal or exponential.
    ordered : bool
        Whether the effect is the one that orders the classes.
    """
    K = points.shape[-1]
    d = K - 1
    squares = ((points - points.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    p = prior.parameters
    found: Any
    if prior.family == "half_t":
        df, s = p[0], p[2]
        found = gammaln((df + d) / 2) - gammaln(df / 2) - d / 2 * np.log(df * np.pi)
        found = found - d * np.log(s) - (df + d) / 2 * np.log1p(squares / (df * s**2))
    elif prior.family == "half_normal":
        found = -d / 2 * (_LOG_2PI + 2 * np.log(p[1])) - squares / (2 * p[1] ** 2)
    elif prior.family == "exponential":
        found = d * np.log(p[0]) + gammaln(d / 2) - np.log(2) - d / 2 * np.log(np.pi)
        found = found - gammaln(d) - p[0] * np.sqrt(squares)
    else:
        raise ValueError(f"{prior.family} is no prior of mass points")
    # d (orthonormal contrasts) / d steps; the one order of K!
    return np.asarray(found - 0.5 * np.log(K) + ordered * gammaln(K + 1))


def weights_log_density(pi: np.ndarray, prior: Prior) -> np.ndarray:
    """Return the log density of dirichlet(a, ..., a) at weights (..., K)."""
    a, K = prior.parameters[0], pi.shape[-1]
    # xlogy: a weight of zero counts for nothing where a is one
    return np.asarray(gammaln(K * a) - K * gammaln(a) + xlogy(a - 1, pi).sum(axis=-1))
