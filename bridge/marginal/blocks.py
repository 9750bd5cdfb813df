"""Rows put into blocks of groups of similar size, so that sums over groups are matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Block:
    """Some groups, padded with rows of zeros to the largest of them (n rows).

    Attributes
    ----------
    groups : (J,) array of int
        Their positions among all groups.
    size : (J,) array
        Rows of each.
    y : (J, n) array
        Outcome.
    X, W, Z, A : (J, n, ·) arrays
        Designs of gamma, delta, u and v.
    products : (J, n, qu (qu + 1) / 2) array
        z_a z_b of each row, a >= b by rows of the lower triangle.
    constant : bool
        Whether A does not vary within any group.
    """

    groups: np.ndarray
    size: np.ndarray
    y: np.ndarray
    X: np.ndarray
    W: np.ndarray
    Z: np.ndarray
    A: np.ndarray
    products: np.ndarray
    constant: bool


#: Numbers that a block may hold at its widest (rows times nodes): 16 MB in double precision.
CELLS = 2_000_000


def make_blocks(
    y: np.ndarray,
    X: np.ndarray,
    W: np.ndarray,
    Z: np.ndarray,
    A: np.ndarray,
    group: np.ndarray,
    nodes: int,
) -> list[Block]:
    """Return the rows in blocks of groups.

    Parameters
    ----------
    y, X, W, Z, A : arrays of N rows
        Outcome and designs.
    group : (N,) array of int
        Groups 0 to J - 1, none of them empty.
    nodes : int
        Quadrature nodes of a group, which set how many rows a block may have.

    Returns
    -------
    list of Block
        Groups ordered by size; a block has at most `CELLS` rows times nodes unless it is one group.
    """
    order = np.argsort(group, kind="stable")
    size = np.bincount(group)
    first = np.concatenate([[0], np.cumsum(size)])[:-1]
    constant = _constant_within(A, group)
    per_row = max(nodes if A.shape[1] and not constant else 1, X.shape[1] + W.shape[1])
    blocks = []
    # rows of zeros stand for those a group does not have: they add nothing to any sum
    padded = [np.concatenate([a[order], np.zeros((1, *a.shape[1:]))]) for a in (y, X, W, Z, A)]
    for groups in _batches(size, nodes, per_row):
        width = int(size[groups].max())
        place = np.arange(width)
        rows = np.where(place < size[groups][:, None], first[groups][:, None] + place, len(y))
        y_, X_, W_, Z_, A_ = (a[rows] for a in padded)
        lower = np.tril_indices(Z.shape[1])
        products = Z_[:, :, lower[0]] * Z_[:, :, lower[1]]
        n = size[groups].astype(float)
        blocks.append(Block(groups, n, y_, X_, W_, Z_, A_, products, constant))
    return blocks


def _batches(size: np.ndarray, nodes: int, per_row: int) -> Iterator[np.ndarray]:
    """Yield groups of similar size, so many that neither rows nor nodes grow too large."""
    by_size = np.argsort(size, kind="stable")
    start = 0
    while start < len(by_size):
        stop = start + 1
        while stop < len(by_size):
            widest = int(size[by_size[stop]])
            count = stop + 1 - start
            # little is padded: the largest group has at most half as many rows again
            alike = widest <= 1.5 * size[by_size[start]] + 8
            if not alike or count * max(widest * per_row, nodes * 10) > CELLS:
                break
            stop += 1
        yield by_size[start:stop]
        start = stop


def _constant_within(A: np.ndarray, group: np.ndarray) -> bool:
    if not A.shape[1]:
        return True
    one = np.zeros((int(group.max()) + 1, A.shape[1]))
    one[group] = A
    return bool(np.abs(A - one[group]).max() <= 1e-12 * max(np.abs(A).max(), 1e-300))
