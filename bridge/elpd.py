"""Expected log predictive densities by draws: WAIC and Pareto-smoothed importance sampling.

Both are sums over units of functions of the draws. Their Monte Carlo error is that of a mean over
draws: the first-order change of the whole sum by one draw more of it (the influence, as in the
delta method). Draws are shared by all units, so influences are summed before an error is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from bridge import arviz_compat


@dataclass(frozen=True, eq=False)
class Elpd:
    """An expected log predictive density, unit by unit.

    Attributes
    ----------
    elpd : (n,) array
        On the scale of log densities.
    effective : (n,) array
        Effective parameters: the log density with the unit in the data, less `elpd`.
    k_hat : (n,) array
        NaN where there is none.
    influence : (S,) array
        Of each draw on the sum of `elpd`; its mean is zero.
    """

    elpd: np.ndarray
    effective: np.ndarray
    k_hat: np.ndarray
    influence: np.ndarray

    def __add__(self, other: Elpd) -> Elpd:
        """Return both sets of units as one."""
        return Elpd(
            np.concatenate([self.elpd, other.elpd]),
            np.concatenate([self.effective, other.effective]),
            np.concatenate([self.k_hat, other.k_hat]),
            self.influence + other.influence,
        )


def waic(loglik: np.ndarray) -> Elpd:
    """Return the widely applicable information criterion as an elpd.

    Parameters
    ----------
    loglik : (n, S) array
        The log-likelihood of each unit by draw.

    Returns
    -------
    Elpd
        The effective parameters of a unit are the posterior variance of its log-likelihood
        (over S, as in ArviZ).

    Notes
    -----
    Watanabe (2010), Journal of Machine Learning Research 11; Vehtari, Gelman & Gabry (2017),
    Statistics and Computing 27, equation 13.
    """
    lppd = logsumexp(loglik, axis=1) - np.log(loglik.shape[1])
    squares = (loglik - loglik.mean(axis=1, keepdims=True)) ** 2
    variance = squares.mean(axis=1)
    influence = np.exp(loglik - lppd[:, None]) - 1.0 - (squares - variance[:, None])
    none = np.full(len(loglik), np.nan)
    return Elpd(lppd - variance, variance, none, influence.sum(axis=0))


def leave_out(loglik: np.ndarray, efficiency: float) -> Elpd:
    """Return the elpd of each unit with the unit left out, by importance sampling.

    Parameters
    ----------
    loglik : (n, S) array
        The log-likelihood of each unit by draw; units independent given the parameters.
    efficiency : float
        Effective draws over draws.

    Notes
    -----
    Vehtari, Gelman & Gabry (2017), Statistics and Computing 27, equation 10.
    """
    weights, k_hat = arviz_compat.psis(loglik, efficiency)
    elpd = logsumexp(weights + loglik, axis=1)
    lppd = logsumexp(loglik, axis=1) - np.log(loglik.shape[1])
    share = np.exp(weights)
    # the ratio of two sums over draws, numerator and denominator
    influence = loglik.shape[1] * share * (np.exp(loglik - elpd[:, None]) - 1.0)
    return Elpd(elpd, lppd - elpd, k_hat, influence.sum(axis=0))
