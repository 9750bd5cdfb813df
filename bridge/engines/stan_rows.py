"""Rows for Stan, group by group, what goes with a group's own coefficients folded into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge.nuts import folding

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
        with each effect; row_gamma and row_delta, the numbers from 1 of the coefficients of which
        something is left, and X and W, what is left of their columns and then the effects'; sparse,
        1 where the groups are small.
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
        between, rest, left = fold(data[fixed], data[effects], group, J)
        found |= {
            f"between_{word}": between,
            f"{number}_row": len(rest),
            f"row_{coefficient}": rest + 1,
            fixed: np.hstack([left, data[effects]])[order],
        }
    return found | {"sparse": int(N < _SMALL_GROUPS * J)}


def fold(
    fixed: np.ndarray, effects: np.ndarray, group: np.ndarray, J: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a fixed design into what goes with the groups' own coefficients and what is left.

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
        Multiples of the effects' columns, by group.
    rest : array of int
        The columns of which something is left.
    left : (N, len(rest)) array
        What is left of them.
    """
    folded = folding.fold(fixed, effects, group, J)
    between = np.zeros((effects.shape[1], J, fixed.shape[1]))
    for effect, term, column in zip(folded.effect, folded.term, folded.column, strict=True):
        between[effect, :, term] = column
    return between, folded.rest, folded.left


def fixed_parts(data: Mapping[str, Any], gamma: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Return what of the fixed functions goes with each effect, by group, in the block's order.

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
    for rows, between, coefficients in (
        (data["u_rows"], data["between_mean"], gamma),
        (data["v_rows"], data["between_variance"], delta),
    ):
        for row, constants in zip(rows, between, strict=True):
            parts[..., row - 1, :] = coefficients @ constants.T
    return parts
