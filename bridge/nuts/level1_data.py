"""The rows, or cells of rows, that the level-1 part of the density goes through."""

from __future__ import annotations

import numpy as np

from bridge import group_sums
from bridge.nuts.arrays import Arrays
from bridge.nuts.folding import Folded
from bridge.nuts.problem import Cells, Rows

_ROW, _CELL = 2.4, 4.0  # nanoseconds of a row and of a cell beside their columns, about


def no_rows(a: Arrays) -> Rows:
    """Return the rows of a problem that goes by cells."""
    none, ints = np.zeros(0), np.zeros(0, dtype=int)
    qu, qv = np.zeros(a.Z.shape[1], dtype=int), np.zeros(a.A.shape[1], dtype=int)
    return Rows(np.zeros((0, 0)), none, ints, qu, qv, ints, ints, ints, ints)


def rows_of(a: Arrays, mean: Folded, variance: Folded, residual: np.ndarray) -> Rows:
    """Return the rows, sorted by group; columns that are equal are kept once, ones not at all."""
    order = np.argsort(a.group, kind="stable")
    kept: list[np.ndarray] = []
    place: dict[bytes, int] = {np.ones(len(order)).tobytes(): -1}

    def placed(column: np.ndarray) -> int:
        values = np.ascontiguousarray(column[order], dtype=float)
        number = place.setdefault(values.tobytes(), len(kept))
        if number == len(kept):
            kept.append(values)
        return number

    def places(columns: np.ndarray) -> np.ndarray:
        return np.array([placed(column) for column in columns.T], dtype=int)

    z, w = places(a.Z), places(a.A)
    # a column of ones that no effect takes is read like any other
    del place[next(iter(place))]
    x_rest, w_rest = places(mean.left), places(variance.left)
    return Rows(
        column=np.array(kept).reshape(len(kept), len(order)),
        residual=residual[order],
        start=_starts(a.group, a.J),
        z_column=z,
        a_column=w,
        x_column=x_rest,
        x_term=mean.rest,
        w_column=w_rest,
        w_term=a.X.shape[1] + variance.rest,
    )


def _starts(group: np.ndarray, J: int) -> np.ndarray:
    """Return where each group starts in what is sorted by group, and the end."""
    return np.concatenate([[0], np.cumsum(np.bincount(group, minlength=J))])


def no_cells() -> Cells:
    """Return the cells of a problem that goes by rows."""
    none, ints = np.zeros(0), np.zeros(0, dtype=int)
    flat = np.zeros((0, 0))
    return Cells(ints, none, none, flat, np.zeros((0, 0, 0)), flat, flat, ints, ints)


def choose_cells(a: Arrays, mean: Folded, variance: Folded) -> np.ndarray | None:
    """Return the cell of each row, or None where going by rows costs less.

    A cell is the rows of a group that share their predictors of the log variance: the whole group
    where that function is constant within groups, and few where its predictors are few categories.
    """
    N = len(a.y)
    columns = np.column_stack([a.A, a.W[:, variance.rest], a.group])
    cell = np.zeros(N, dtype=int)
    for column in columns.T:
        _, codes = np.unique(column, return_inverse=True)
        cell = cell * (codes.max() + 1) + codes
        _, cell = np.unique(cell, return_inverse=True)
    d = a.Z.shape[1] + len(mean.rest)
    fixed = len(mean.rest) + len(variance.rest)
    several = fixed + sum(int(np.ptp(column) > 0) for D in (a.Z, a.A) for column in D.T)
    by_cells = (int(cell.max()) + 1) * (_CELL + d * d + 1.5 * (d + a.A.shape[1] + fixed))
    return cell if by_cells < N * (_ROW + 0.9 * several) else None


def cells_of(
    a: Arrays, mean: Folded, variance: Folded, residual: np.ndarray, cell: np.ndarray
) -> Cells:
    """Return sums of squares and products by cell."""
    K = int(cell.max()) + 1
    first = np.zeros(K, dtype=int)
    first[cell[::-1]] = np.arange(len(cell))[::-1]
    order = np.argsort(a.group[first], kind="stable")
    number = np.empty(K, dtype=int)
    number[order] = np.arange(K)
    cell, first = number[cell], first[order]
    D = np.column_stack([a.Z, mean.left])
    r = residual[:, None]
    return Cells(
        start=_starts(a.group[first], a.J),
        size=np.bincount(cell, minlength=K).astype(float),
        rr=group_sums.products(r, r, cell, K)[:, 0, 0],
        t=group_sums.products(D, r, cell, K)[:, :, 0].T,
        G=np.moveaxis(group_sums.products(D, D, cell, K), 0, -1),
        A=a.A[first].T,
        W=variance.left[first].T,
        x_term=mean.rest,
        w_term=a.X.shape[1] + variance.rest,
    )
