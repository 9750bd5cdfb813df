"""Where an iterative fit of any model starts.

Nothing here is an estimate to report. The general way is least squares, moments and a few EM
rounds: the group effects of either function are taken as normal with a diagonal covariance, and
the log variance is regressed through log squared residuals. The two-step method is nearer to
maximum likelihood, where it can express the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge import group_sums, two_step
from bridge.design import Design
from bridge.errors import DataError

_LOG_CHI2 = 1.2704  # -E log chi-squared(1)
_LOG_CHI2_VARIANCE = np.pi**2 / 2
_ROUNDS = 20
_LEAST_SD_U = 0.05  # of the residual SD: a start at zero would be a boundary
_LEAST_SD_V = 0.10
_LEAST_EIGENVALUE = 0.1  # of a matrix of correlations


@dataclass(frozen=True, eq=False)
class Start:
    """Starting values of a model.

    Attributes
    ----------
    gamma : ndarray, shape (p,)
        Coefficients of the mean, outcome units.
    delta : ndarray, shape (k,)
        Coefficients of the log variance.
    covariance : ndarray, shape (q, q)
        Of the effects in the order of ``design.effects``: u in outcome units, v on the log
        variance. Positive definite, and zero between the blocks of ``design.block``.
    """

    gamma: np.ndarray
    delta: np.ndarray
    covariance: np.ndarray


def start(design: Design) -> Start:
    """Guess the parameters of a model: by the two-step method where it can, else the general way.

    Parameters
    ----------
    design : Design
        The model on its data. Priors, latent associations, level-2 functions and the law of the
        effects do not enter.

    Returns
    -------
    Start
        All finite, whatever the data.
    """
    found = starting_values(
        design.y,
        design.mean.matrix,
        design.variance.matrix,
        design.Z,
        design.A,
        design.group,
        len(design.group_labels),
    )
    general = Start(found["gamma"], found["delta"], np.diag(found["sd"] ** 2))
    better = _two_step(design)
    if better is None:
        return general
    residual = np.exp(0.5 * float(np.mean(design.variance.matrix @ better.delta)))
    least_u = _LEAST_SD_U * residual / column_size(design.Z)
    least = np.concatenate([least_u, _LEAST_SD_V / column_size(design.A)])
    return Start(better.gamma, better.delta, _firm(better.covariance, least))


def _two_step(design: Design) -> Start | None:
    """Return two-step estimates, or None where that method cannot say enough."""
    if two_step.reasons(design) or 2 * two_step.log_variances(design).used.sum() < len(
        design.group_labels
    ):
        return None
    try:
        found = two_step.estimate(design)
    except (np.linalg.LinAlgError, DataError, ValueError):
        return None
    parts = (found.mean.gamma, found.variance.delta, found.covariance)
    return Start(*parts) if all(np.isfinite(part).all() for part in parts) else None


def _firm(covariance: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return a covariance with SDs no less than ``least`` and correlations inside their bounds."""
    sd = np.sqrt(np.diag(covariance))
    safe = np.where(sd > 0, sd, 1.0)
    rho = covariance / np.outer(safe, safe)
    np.fill_diagonal(rho, 1.0)
    smallest = float(np.linalg.eigvalsh(rho).min(initial=1.0))
    rho *= min(1.0, (1 - _LEAST_EIGENVALUE) / max(1 - smallest, 1e-300))
    np.fill_diagonal(rho, 1.0)
    sd = np.maximum(sd, least)
    firm: np.ndarray = rho * np.outer(sd, sd)
    return firm


def starting_values(
    y: np.ndarray,
    X: np.ndarray,
    W: np.ndarray,
    Z: np.ndarray,
    A: np.ndarray,
    group: np.ndarray,
    J: int,
) -> dict[str, np.ndarray]:
    """Guess the parameters of a location scale model in a few milliseconds.

    Parameters
    ----------
    y : ndarray, shape (N,)
        The outcome.
    X, W : ndarray, shape (N, p) and (N, k)
        Fixed designs of the mean and of the log variance.
    Z, A : ndarray, shape (N, qu) and (N, qv)
        Designs of the group effects of each.
    group : ndarray of int, shape (N,)
        Group numbers from 0.
    J : int
        How many groups there are.

    Returns
    -------
    dict of str to ndarray
        gamma (p,), delta (k,) on the log variance, sd (q,), effects (q, J) u then v, and
        gamma_step (p,), delta_step (k,): changes that move the linear predictors a tenth of a
        residual SD, respectively of a log variance of one. All finite, sd above zero.
    """
    spread = float(np.std(y)) or 1.0
    gamma, u, sd_u = _mean_part(y / spread, X, Z, group, J)
    left = y / spread - X @ gamma - _rows(Z, u, group)
    # an exact fit has no log: nothing below a millionth of the outcome's SD counts
    logs = np.log(np.maximum(left**2, 1e-12)) + _LOG_CHI2
    delta = _least_squares(W, logs)
    rest = logs - W @ delta
    v, sd_v = _effects(rest, A, group, J, _LOG_CHI2_VARIANCE, _LEAST_SD_V)
    # the outcome was divided by its SD: give that back to whatever carries the level of delta
    delta = delta + _least_squares(W, np.full(len(y), 2 * np.log(spread)))
    residual = spread * float(np.sqrt(np.mean(left**2)))
    return {
        "gamma": spread * gamma,
        "delta": delta,
        "sd": np.concatenate([spread * sd_u, sd_v]),
        "effects": np.vstack([spread * u, v]),
        "gamma_step": 0.1 * residual / column_size(X),
        "delta_step": 0.1 / column_size(W),
    }


def _mean_part(
    y: np.ndarray, X: np.ndarray, Z: np.ndarray, group: np.ndarray, J: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit X gamma + Z u by turns; return gamma, u (qu, J) and the SDs of u."""
    gamma = _least_squares(X, y)
    u, sd = np.zeros((Z.shape[1], J)), np.zeros(Z.shape[1])
    for _ in range(3 if Z.shape[1] else 0):
        left = y - X @ gamma
        noise = max(float(np.mean((left - _rows(Z, u, group)) ** 2)), 1e-12)
        u, sd = _effects(left, Z, group, J, noise, _LEAST_SD_U * np.sqrt(noise))
        gamma = _least_squares(X, y - _rows(Z, u, group))
    return gamma, u, sd


def _effects(
    left: np.ndarray, D: np.ndarray, group: np.ndarray, J: int, noise: float, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the effects (q, J) of D by group and their SDs, by a few EM rounds."""
    q = D.shape[1]
    if q == 0:
        return np.zeros((0, J)), np.zeros(0)
    size = column_size(D)
    unit = D / size  # so that one scale fits all columns
    squares = group_sums.products(unit, unit, group, J) / noise
    towards = group_sums.products(unit, left[:, None], group, J)[:, :, 0] / noise
    variance = np.full(q, max(0.2 * float(np.var(left)), least**2))
    effects = np.zeros((J, q))
    for _ in range(_ROUNDS):
        conditional = np.linalg.inv(squares + np.diag(1 / variance))
        effects = np.einsum("jab,jb->ja", conditional, towards)
        second = effects**2 + np.diagonal(conditional, axis1=1, axis2=2)
        variance = np.maximum(second.mean(axis=0), least**2)
    return (effects / size).T, np.sqrt(variance) / size


def _rows(D: np.ndarray, effects: np.ndarray, group: np.ndarray) -> np.ndarray:
    total: np.ndarray = np.einsum("ia,ai->i", D, effects[:, group])
    return total


def _least_squares(D: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the coefficients of least squares, those of least norm where many fit."""
    size = column_size(D)
    coefficients: np.ndarray = np.linalg.lstsq(D / size, response, rcond=1e-10)[0] / size
    return coefficients


def column_size(D: np.ndarray) -> np.ndarray:
    """Return each column's root mean square, 1 for a column of zeros."""
    size: np.ndarray = np.sqrt(np.mean(D**2, axis=0))
    return np.where(size > 0, size, 1.0)
