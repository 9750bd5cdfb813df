"""Sums over the rows of each group, for arrays of any number of rows; pure NumPy."""

from __future__ import annotations

import numpy as np


def sums(values: np.ndarray, group: np.ndarray, J: int) -> np.ndarray:
    """Sum rows by group.

    Parameters
    ----------
    values : ndarray, shape (N,) or (N, k)
        What is summed.
    group : ndarray of int, shape (N,)
        Group numbers from 0; in any order.
    J : int
        How many groups there are.

    Returns
    -------
    ndarray, shape (J,) or (J, k)
        Zero where a group has no rows.
    """
    if values.ndim == 1:
        return np.bincount(group, weights=values, minlength=J)
    found = np.zeros((J, values.shape[1]))
    for k, column in enumerate(values.T):
        found[:, k] = np.bincount(group, weights=column, minlength=J)
    return found


def products(left: np.ndarray, right: np.ndarray, group: np.ndarray, J: int) -> np.ndarray:
    """Sum the products of two sets of columns by group.

    Parameters
    ----------
    left, right : ndarray, shape (N, a) and (N, b)
        The columns; the very same array twice gives exactly symmetric matrices, at half the work.
    group, J
        As for `sums`.

    Returns
    -------
    ndarray, shape (J, a, b)
        left' right of each group.
    """
    found = np.zeros((J, left.shape[1], right.shape[1]))
    for a in range(left.shape[1]):
        for b in range(right.shape[1]):
            if left is right and b < a:
                found[:, a, b] = found[:, b, a]
                continue
            weights = left[:, a] * right[:, b]
            found[:, a, b] = np.bincount(group, weights=weights, minlength=J)
    return found
