"""The groups' own coefficients and what Stan samples of them, both ways.

In a group the rows say of coefficient a, given the coefficients before it, that it is about
t_a = toward_a - sum_(b < a) tie_ab c_b, with precision w_a. With its expected value m and SD s
given those before, what is sampled is about N(0, 1) whatever m and s are (after Kleppe 2019,
Journal of Computational and Graphical Statistics 28):

    z = s w (t - m) / (1 + s^2 w) + raw / sqrt(1 + s^2 w),   c = m + s z.

With w = 0 it is the standardised innovation z; a centred one is c itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def innovations(
    raw: np.ndarray, part: np.ndarray, S: np.ndarray, factor: np.ndarray, data: Mapping[str, Any]
) -> np.ndarray:
    """Return standardised innovations from what was sampled.

    Parameters
    ----------
    raw : (..., q, J) array
        As sampled.
    part : (..., q, J) array
        What of the fixed functions goes with each effect.
    S : (..., q, J) array
        SDs of the effects.
    factor : (..., q, q) array
        Cholesky factor of their correlations.
    data : mapping
        The data block: centred, weight, toward and tie.

    Returns
    -------
    (..., q, J) array
    """
    z = np.zeros(np.shape(raw))
    own: list[np.ndarray] = []
    for a in range(len(data["centred"])):
        m, s = _expected(a, z, part, S, factor)
        if data["centred"][a]:
            z[..., a, :] = (raw[..., a, :] - m) / s
        else:
            precision = 1 + s**2 * data["weight"][a]
            pulled = s * data["weight"][a] * (_target(a, own, data) - m) / precision
            z[..., a, :] = pulled + raw[..., a, :] / np.sqrt(precision)
        own.append(m + s * z[..., a, :])
    return z


def sampled(
    effects: np.ndarray,
    part: np.ndarray,
    S: np.ndarray,
    factor: np.ndarray,
    data: Mapping[str, Any],
) -> np.ndarray:
    """Return what is sampled, from the effects: the inverse of `innovations`.

    Parameters
    ----------
    effects : (..., q, J) array
        Group effects.
    part, S, factor, data
        As for `innovations`.

    Returns
    -------
    (..., q, J) array
    """
    z, own = np.linalg.solve(factor, effects / S), effects + part
    raw = np.zeros(np.shape(effects))
    for a in range(len(data["centred"])):
        m, s = _expected(a, z, part, S, factor)
        precision = 1 + s**2 * data["weight"][a]
        target = _target(a, [own[..., b, :] for b in range(a)], data)
        pulled = s * data["weight"][a] * (target - m) / precision
        left = (z[..., a, :] - pulled) * np.sqrt(precision)
        raw[..., a, :] = own[..., a, :] if data["centred"][a] else left
    return raw


def _expected(
    a: int, z: np.ndarray, part: np.ndarray, S: np.ndarray, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and SD of coefficient a given those before it."""
    before = (factor[..., a, :a, None] * z[..., :a, :]).sum(axis=-2)
    return part[..., a, :] + S[..., a, :] * before, S[..., a, :] * factor[..., a, a, None]


def _target(a: int, own: list[np.ndarray], data: Mapping[str, Any]) -> np.ndarray:
    """Return what the rows say of coefficient a, given the coefficients before it."""
    found = np.asarray(data["toward"][a])
    for b in range(a):
        found = found - data["tie"][a][b] * own[b]
    return found
