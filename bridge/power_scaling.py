"""Power-scaling of a part of a posterior, by importance sampling and without a refit.

A posterior is a product of its likelihood and its priors. Raising one of them to a power alpha
makes it a little weaker (below one) or stronger. What that does to a parameter says how much the
part decides about it.

Kallioinen, Paananen, Buerkner & Vehtari (2024), Statistics and Computing 34:57.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr

from bridge import arviz_compat

#: The powers, as in the R package priorsense.
ALPHAS = (0.8, 1.25)
#: A sensitivity from which on a part is said to matter (the paper's): about that of a normal
#: parameter whose mean moves by a quarter of its SD where alpha is doubled.
THRESHOLD = 0.05


@dataclass(frozen=True)
class Scaled:
    """The draws' weights where one part of the posterior is power-scaled.

    Attributes
    ----------
    weights : tuple of (S,) arrays
        For each of `ALPHAS`; each sums to one.
    k_hat : float
        The larger Pareto k of the two; NaN where the part is the same at all draws.
    """

    weights: tuple[np.ndarray, np.ndarray]
    k_hat: float


def scaled(log_density: np.ndarray, efficiency: float) -> Scaled:
    """Return the weights of draws by Pareto-smoothed importance sampling.

    Parameters
    ----------
    log_density : (S,) array
        The part's log density at every draw, up to a constant.
    efficiency : float
        Effective draws over draws.
    """
    # what is left out by `psis` is a likelihood, whose ratio is its inverse
    both = np.stack([(1 - alpha) * log_density for alpha in ALPHAS])
    log_weights, k_hat = arviz_compat.psis(both, efficiency)
    weights = np.exp(log_weights)
    weights /= weights.sum(axis=1, keepdims=True)
    worst = float("nan") if np.isnan(k_hat).all() else float(np.nanmax(k_hat))
    return Scaled((weights[0], weights[1]), worst)


def sensitivity(draws: np.ndarray, by: Scaled) -> float:
    """Return how fast the distribution of a parameter moves as a part is power-scaled.

    Parameters
    ----------
    draws : (S,) array
        Of the parameter.
    by : Scaled
        The weights.

    Returns
    -------
    float
        The distance `cjs_distance` to the posterior by log2(alpha), averaged over the two powers;
        NaN where the parameter does not vary.
    """
    steps = np.log2(ALPHAS)
    distances = [cjs_distance(draws, weights) for weights in by.weights]
    return float(np.mean([d / abs(step) for d, step in zip(distances, steps, strict=True)]))


def mean_shift(draws: np.ndarray, by: Scaled) -> float:
    """Return the mean at the higher power less that at the lower one, in SDs of the draws."""
    spread = draws.std()
    if not spread > 0:
        return float("nan")
    return float((by.weights[1] - by.weights[0]) @ draws / spread)


def cjs_distance(draws: np.ndarray, weights: np.ndarray) -> float:
    """Return the cumulative Jensen-Shannon distance of weighted draws from the draws.

    Parameters
    ----------
    draws, weights : (S,) arrays
        The weights sum to one.

    Returns
    -------
    float
        Between 0 and 1; the larger one of that of the draws and of their negatives, which differ.

    Notes
    -----
    With distribution functions P and Q, CJS(P, Q) is the integral of P log2(2 P / (P + Q)) plus
    that of (Q - P) / (2 ln 2); the distance is the square root of CJS(P, Q) + CJS(Q, P) over the
    integral of P + Q (Nguyen & Vreeken 2015).
    """
    order = np.argsort(draws)
    return max(
        _one_sided(draws[order], weights[order]),
        _one_sided(-draws[order[::-1]], weights[order[::-1]]),
    )


def _one_sided(draws: np.ndarray, weights: np.ndarray) -> float:
    width = np.diff(draws)
    p = np.arange(1, len(draws)) / len(draws)
    q = np.cumsum(weights)[:-1]
    both = width @ (p + q)
    if not both > 0:
        return float("nan")
    middle = 0.5 * (p + q)
    # the corrections by the integral of Q - P cancel in the sum of both directions, unless one of
    # the two is negative by rounding
    tilt = 0.5 * (width @ (q - p))
    there = max(0.0, width @ rel_entr(p, middle) + tilt)
    back = max(0.0, width @ rel_entr(q, middle) - tilt)
    return float(np.sqrt((there + back) / np.log(2) / both))
