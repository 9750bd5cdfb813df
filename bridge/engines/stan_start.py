"""Where Stan's chains start, and which effects it samples centred: least squares and moments.

Nothing here is an estimate to report. The group effects of either function are taken as normal
with a diagonal covariance, and the log variance is regressed through log squared residuals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_LOG_CHI2 = 1.2704  # -E log chi-squared(1)
_LOG_CHI2_VARIANCE = np.pi**2 / 2
_ROUNDS = 20
_LEAST_SD_U = 0.05  # of the residual SD: a start at zero would be a boundary
_LEAST_SD_V = 0.10
_CENTRED_ABOVE = 0.5


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
        "gamma_step": 0.1 * residual / _size(X),
        "delta_step": 0.1 / _size(W),
    }


def choose_centred(
    start: dict[str, np.ndarray],
    W: np.ndarray,
    Z: np.ndarray,
    group: np.ndarray,
    J: int,
) -> np.ndarray:
    """Choose the effects that Stan samples as they are (1), the others standardised (0).

    An effect of the mean is centred where the groups say much about it: where its reliability,
    one minus its conditional variance over its variance, exceeds a half on average over groups.
    Effects of the log variance are never centred: a group says little about its own variance.
    On High School and Beyond (Leckie et al. 2014; two chains of 1,000 draws) the
    smallest bulk effective sample sizes were, for Model 4, one seed: u:Intercept centred 562,
    nothing centred 426, the slope of the mean centred too 27. For Model 1 centring u is no clear
    gain in the smallest (280, 380, 406 over three seeds; without it 292 to 538 in four), though the
    SD of u gains (about 3,000 against 550 to 720); centring v too gave 12.

    Parameters
    ----------
    start : dict
        What `starting_values` returned.
    W : ndarray, shape (N, k)
        Fixed design of the log variance.
    Z : ndarray, shape (N, qu)
        Design of the group effects in the mean.
    group : ndarray of int, shape (N,)
        Group numbers from 0.
    J : int
        How many groups there are.

    Returns
    -------
    ndarray of int, shape (q,)
        The flags, in the order u, v.
    """
    flags = np.zeros(len(start["sd"]), int)
    flags[: Z.shape[1]] = reliability(start, W, Z, group, J) > _CENTRED_ABOVE
    return flags


def reliability(
    start: dict[str, np.ndarray], W: np.ndarray, Z: np.ndarray, group: np.ndarray, J: int
) -> np.ndarray:
    """Return the mean reliability over groups of each effect in the mean.

    Parameters
    ----------
    start, W, Z, group, J
        As for `choose_centred`.

    Returns
    -------
    ndarray, shape (qu,)
        Between 0 and 1.
    """
    qu = Z.shape[1]
    sd = start["sd"][:qu]
    scaled = Z * sd * np.exp(-0.5 * (W @ start["delta"]))[:, None]
    conditional = np.linalg.inv(np.eye(qu) + _cross(scaled, scaled, group, J))
    reliable: np.ndarray = 1 - np.diagonal(conditional, axis1=1, axis2=2).mean(axis=0)
    return reliable


def initial_points(
    start: dict[str, np.ndarray],
    chains: int,
    seed: int,
    centred: np.ndarray,
    block: np.ndarray,
) -> list[dict[str, Any]]:
    """Make starting points of the Stan program, a little apart from each other.

    Parameters
    ----------
    start : dict
        What `starting_values` returned.
    chains : int
        How many points.
    seed : int
        The same seed gives the same points.
    centred : ndarray of int, shape (q,)
        Which effects are sampled as they are.
    block : ndarray of int, shape (q,)
        Which effects are correlated: those of one number.

    Returns
    -------
    list of dict
        gamma (p,), delta (k,), sd (q,), cpc (n_rho,) and raw (q, J), a dict a chain.
    """
    rng = np.random.default_rng(seed)
    block = np.asarray(block)
    n_rho = sum(int(np.sum(block[:a] == block[a])) for a in range(len(block)))
    points = []
    for _ in range(chains):
        sd = start["sd"] * np.exp(rng.normal(0, 0.1, len(start["sd"])))
        effects = start["effects"] + 0.1 * sd[:, None] * rng.normal(size=start["effects"].shape)
        point = {
            name: start[name] + start[f"{name}_step"] * rng.normal(size=start[name].shape)
            for name in ("gamma", "delta")
        }
        point |= {"sd": sd, "cpc": rng.uniform(-0.1, 0.1, n_rho)}
        point["raw"] = np.where(np.asarray(centred)[:, None] == 1, effects, effects / sd[:, None])
        points.append(point)
    return points


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
    size = _size(D)
    unit = D / size  # so that one scale fits all columns
    squares = _cross(unit, unit, group, J) / noise
    towards = _cross(unit, left[:, None], group, J)[:, :, 0] / noise
    variance = np.full(q, max(0.2 * float(np.var(left)), least**2))
    effects = np.zeros((J, q))
    for _ in range(_ROUNDS):
        conditional = np.linalg.inv(squares + np.diag(1 / variance))
        effects = np.einsum("jab,jb->ja", conditional, towards)
        second = effects**2 + np.diagonal(conditional, axis1=1, axis2=2)
        variance = np.maximum(second.mean(axis=0), least**2)
    return (effects / size).T, np.sqrt(variance) / size


def _cross(left: np.ndarray, right: np.ndarray, group: np.ndarray, J: int) -> np.ndarray:
    """Sum the products of two sets of columns by group: shape (J, columns, columns)."""
    sums = np.zeros((J, left.shape[1], right.shape[1]))
    np.add.at(sums, group, left[:, :, None] * right[:, None, :])
    return sums


def _rows(D: np.ndarray, effects: np.ndarray, group: np.ndarray) -> np.ndarray:
    total: np.ndarray = np.einsum("ia,ai->i", D, effects[:, group])
    return total


def _least_squares(D: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the coefficients of least squares, those of least norm where many fit."""
    size = _size(D)
    coefficients: np.ndarray = np.linalg.lstsq(D / size, response, rcond=1e-10)[0] / size
    return coefficients


def _size(D: np.ndarray) -> np.ndarray:
    """Return each column's root mean square, 1 for a column of zeros."""
    size: np.ndarray = np.sqrt(np.mean(D**2, axis=0))
    return np.where(size > 0, size, 1.0)
