"""What the groups say about their effects and about the coefficients, at a start.

With D = exp(-log variance) the effects of the mean have information Z'DZ in a group; a row says 1/2
of its log variance, so those of the log variance have A'A / 2.
"""

from __future__ import annotations

import numpy as np

from bridge import group_sums


def conditional(
    D: np.ndarray, w: np.ndarray, T: np.ndarray, group: np.ndarray, J: int
) -> np.ndarray:
    """Return the covariance of the effects of design D in each group, given its rows.

    Parameters
    ----------
    D : (N, a) array
        Design of the effects.
    w : (N,) array
        Information of each row about its linear predictor.
    T : (a, a) array
        Covariance of the effects, positive definite.
    group : (N,) array of int
        Group numbers from 0.
    J : int
        How many groups there are.

    Returns
    -------
    (J, a, a) array
        (T^-1 + D'wD)^-1 by group.
    """
    # whitened: T^-1 need not be well conditioned
    factor = np.linalg.cholesky(T)
    white = (D @ factor) * np.sqrt(w)[:, None]
    inside = np.linalg.inv(np.eye(len(T)) + group_sums.products(white, white, group, J))
    found: np.ndarray = factor @ inside @ factor.T
    return found


def coefficient_factor(
    X: np.ndarray,
    D: np.ndarray,
    w: np.ndarray,
    T: np.ndarray,
    group: np.ndarray,
    J: int,
    prior: np.ndarray,
) -> np.ndarray:
    """Return a triangular factor of the covariance of the coefficients of X, effects integrated.

    Parameters
    ----------
    X : (N, p) array
        Design of the coefficients.
    D, w, T, group, J
        As for `conditional`.
    prior : (p,) array
        Precision of each coefficient's prior; zero where it is flat.

    Returns
    -------
    (p, p) array
        Lower triangular, with a positive diagonal: the factor C of
        (X'wX - sum over groups of X'wD (T^-1 + D'wD)^-1 D'wX + diag(prior))^-1 = C C'.
    """
    p = X.shape[1]
    if p == 0:
        return np.zeros((0, 0))
    size = np.sqrt(np.mean(X**2, axis=0))
    size = np.where(size > 0, size, 1.0)
    unit = X / size
    spread = conditional(D, w, T, group, J)
    across = group_sums.products(D * w[:, None], unit, group, J)
    precision = (unit * w[:, None]).T @ unit
    precision -= np.einsum("jap,jab,jbr->pr", across, spread, across)
    precision += np.diag(prior / size**2)
    return _factor_of_inverse(precision) / size[:, None]


def prior_precision(kind: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Return precisions of priors of coefficients: 1 / scale^2, zero where flat.

    Parameters
    ----------
    kind : (n,) array of int
        0 flat, 1 normal, 2 Student-t.
    prior : (n, 3) array
        df, location, scale.
    """
    scale = np.where(kind > 0, prior[:, 2], 1.0)
    found: np.ndarray = np.where(kind > 0, 1 / scale**2, 0.0)
    return found


def level2_factor(H: np.ndarray) -> np.ndarray:
    """Return the like for the coefficients of a level-2 function, of groups that say all the same.

    Parameters
    ----------
    H : (J, m) array
        Its columns.

    Returns
    -------
    (m, m) array
        Lower triangular C, C C' = (H'H / J)^-1: the function of C times a standard normal vector
        has variance m, on average over groups.
    """
    size = np.sqrt(np.mean(H**2, axis=0))
    size = np.where(size > 0, size, 1.0)
    unit = H / size
    return _factor_of_inverse(unit.T @ unit / len(H)) / size[:, None]


def _factor_of_inverse(precision: np.ndarray) -> np.ndarray:
    """Return the lower triangular factor of the inverse of a matrix that may be near singular."""
    values, vectors = np.linalg.eigh(0.5 * (precision + precision.T))
    # where the groups take all that the rows say, rounding must not make a variance infinite
    values = np.maximum(values, 1e-8 * max(float(values.max()), 1e-300))
    found: np.ndarray = np.linalg.cholesky((vectors / values) @ vectors.T)
    return found
