"""Rows for Stan, group by group, what goes with a group's own coefficients folded into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge import by_group

#: What stands for rows in the data block of `bridge.engines.stan_data.stan_data`.
ROWS = ("N", "y", "X", "Z", "W", "A", "group")

# A group's own density costs about as much as twenty rows of the sparse products.
_SMALL_GROUPS = 20


def row_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data block with its rows as the programs by rows read them.

    Parameters
    ----------
    data : mapping
        The data block, with N rows in any order.

    Returns
    -------
    dict
        The same, but N, y (N,) and start (J + 1,) for rows that stand group by group;
        between_mean (qu, J, p) and between_variance (qv, J, k), what of the fixed functions goes
        with each effect; row_gamma and row_delta, the numbers from 1 of the coefficients that go
        with none, and X and W, the columns of those and then of the effects; sparse, 1 where the
        groups are small.
    """
    group, J, N = np.asarray(data["group"]) - 1, data["J"], data["N"]
    order = np.argsort(group, kind="stable")
    found: dict[str, Any] = {k: v for k, v in data.items() if k not in ROWS}
    found |= {"N": N, "y": np.asarray(data["y"])[order]}
    found["start"] = np.searchsorted(group[order], np.arange(J + 1)) + 1
    for fixed, effects, word, number, coefficient in (
        ("X", "Z", "mean", "p", "gamma"),
        ("W", "A", "variance", "k", "delta"),
    ):
        between, rest = fold(data[fixed], data[effects], group, J)
        found |= {
            f"between_{word}": between,
            f"{number}_row": len(rest),
            f"row_{coefficient}": rest + 1,
            fixed: np.hstack([data[fixed][:, rest], data[effects]])[order],
        }
    return found | {"sparse": int(N < _SMALL_GROUPS * J)}


def fold(
    fixed: np.ndarray, effects: np.ndarray, group: np.ndarray, J: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find what of a fixed design is a column of the effects' design times constants of the groups.

    Parameters
    ----------
    fixed : (N, p) array
        Columns of a fixed function.
    effects : (N, q) array
        Columns of the group effects of the same function.
    group : (N,) array of int
        Group numbers from 0.
    J : int
        How many groups there are.

    Returns
    -------
    between : (q, J, p) array
        The constants; a column of ``fixed`` goes with the first effect that it fits, zeros
        elsewhere.
    rest : array of int
        The columns that go with none.
    """
    between = np.zeros((effects.shape[1], J, fixed.shape[1]))
    taken = np.zeros(fixed.shape[1], dtype=bool)
    for a in range(effects.shape[1]):
        z = effects[:, a]
        size = np.bincount(group, weights=z**2, minlength=J)
        along = by_group.sums(fixed * z[:, None], group, J) / np.where(size > 0, size, 1.0)[:, None]
        away = np.abs(fixed - along[group] * z[:, None]).max(axis=0)
        fits = (away <= 1e-10 * np.abs(fixed).max(axis=0)) & ~taken
        between[a][:, fits] = along[:, fits]
        taken |= fits
    return between, np.flatnonzero(~taken)


def fixed_parts(data: Mapping[str, Any], gamma: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Return what of the fixed functions goes with each effect, by group.

    Parameters
    ----------
    data : mapping
        The data block of a program, by rows or by groups.
    gamma, delta : (..., p) and (..., k) arrays
        Coefficients.

    Returns
    -------
    (..., q, J) array
    """
    parts = np.zeros((*np.shape(gamma)[:-1], data["qu"] + data["qv"], data["J"]))
    for first, between, coefficients in (
        (0, data["between_mean"], gamma),
        (data["qu"], data["between_variance"], delta),
    ):
        for a, constants in enumerate(between):
            parts[..., first + a, :] = coefficients @ constants.T
    return parts
