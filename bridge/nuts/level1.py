"""Level 1: the log density of the outcomes given the values of the groups, with its gradient.

For row i of group j, with r what its mean leaves of the outcome and h its log variance,

    log p = -1/2 (log 2 pi + h + e^-h r^2),   d/d mean = e^-h r,   d/d h = 1/2 (e^-h r^2 - 1).

``b`` (qu, J) and ``c`` (qv, J) are the groups' coefficients of the columns Z and A, with what of
the fixed part goes with them; ``shift`` (J) is what an association adds to the log variance;
``theta`` are all coefficients, of those of the mean the distance from where the residuals were
taken. Gradients are added to ``g_b``, ``g_c``, ``g_shift`` and ``g_theta``. ``work`` has room for
some rows (`WORK` by `CHUNK` numbers).
"""

from __future__ import annotations

import math

import numpy as np

from bridge.nuts.compiling import compiled, compiled_sums
from bridge.nuts.exponential import exp_minus
from bridge.nuts.vectors import add_product

CHUNK = 512  # rows at a time, so that what is between the loops stays in the nearest cache
_LOG_2_PI = math.log(2 * math.pi)


# The loops over groups stand in small functions that are given few arrays: to make a view, or to
# pass a tuple of arrays on, costs as much as the rows of a small group. Places go through
# max(.., 0) so that the compiler knows of no negative index and uses vector instructions.


@compiled
def _add(out, column, number, first, n, factor):
    """Add n rows of a column times its coefficient."""
    number, first = max(number, 0), max(first, 0)
    for i in range(n):
        out[i] += column[number, first + i] * factor


@compiled_sums
def _dot(values, column, number, first, n):
    number, first = max(number, 0), max(first, 0)
    total = 0.0
    for i in range(n):
        total += values[i] * column[number, first + i]
    return total


@compiled
def _set_by_group(out, level, start, j, first, n):
    """Write to n rows from ``first`` on what their groups have, the first of them of group j."""
    at = 0
    while at < n:
        at = max(at, 0)
        end, value = min(start[j + 1] - first, n), level[j]
        for i in range(end - at):
            out[at + i] = value
        at = end
        j += 1


@compiled
def _add_by_group(out, column, number, sign, of_group, start, j, first, n):
    """Add a column times its groups' coefficients."""
    number, first = max(number, 0), max(first, 0)
    at = 0
    while at < n:
        at = max(at, 0)
        end, value = min(start[j + 1] - first, n), sign * of_group[j]
        for i in range(end - at):
            out[at + i] += column[number, first + at + i] * value
        at = end
        j += 1


@compiled_sums
def _sum_by_group(values, out, start, j, first, n):
    """Add sums over rows to their groups."""
    at = 0
    while at < n:
        at = max(at, 0)
        end, total = min(start[j + 1] - first, n), 0.0
        for i in range(end - at):
            total += values[at + i]
        out[j] += total
        at = end
        j += 1


@compiled_sums
def _dot_by_group(values, column, number, out, start, j, first, n):
    """Add sums of products with a column to their groups."""
    number, first = max(number, 0), max(first, 0)
    at = 0
    while at < n:
        at = max(at, 0)
        end, total = min(start[j + 1] - first, n), 0.0
        for i in range(end - at):
            total += values[at + i] * column[number, first + at + i]
        out[j] += total
        at = end
        j += 1


@compiled_sums
def _slopes(left, h, w, n):
    """Replace r and h by e^-h r and (e^-h r^2 - 1) / 2; return the sum of h + e^-h r^2."""
    total = 0.0
    for i in range(n):
        weighted = w[i] * left[i]
        square = weighted * left[i]
        total += h[i] + square
        left[i] = weighted
        h[i] = 0.5 * square - 0.5
    return total


@compiled
def _levels(column, of_group, out, sign):
    """Add to ``out`` (J) the coefficients of columns of ones."""
    for a in range(column.size):
        if column[a] < 0:
            for j in range(out.size):
                out[j] += sign * of_group[a, j]


@compiled
def _give_levels(column, of_group, total):
    """Add sums by group to the gradient of those coefficients."""
    for a in range(column.size):
        if column[a] < 0:
            for j in range(total.size):
                of_group[a, j] += total[j]


@compiled
def by_rows(rows, b, c, shift, theta, g_b, g_c, g_shift, g_theta, work):
    """Return the log density from the rows themselves, some at a time, whatever their groups."""
    left, h, w = work[0], work[1], work[2]
    start, column = rows.start, rows.column
    level = np.zeros((4, shift.size))  # of mean and log variance, and their gradients
    _levels(rows.z_column, b, level[0], -1.0)
    _levels(rows.a_column, c, level[1], 1.0)
    for j in range(shift.size):
        level[1, j] += shift[j]
    total = -0.5 * _LOG_2_PI * rows.residual.size
    j = 0  # the group that the first of the rows is in
    for first in range(0, rows.residual.size, CHUNK):
        n = min(CHUNK, rows.residual.size - first)
        while start[j + 1] <= first:
            j += 1
        _set_by_group(left, level[0], start, j, first, n)
        _set_by_group(h, level[1], start, j, first, n)
        for i in range(n):
            left[i] += rows.residual[max(first, 0) + i]
        for a in range(rows.z_column.size):
            if rows.z_column[a] >= 0:
                _add_by_group(left, column, rows.z_column[a], -1.0, b[a], start, j, first, n)
        for t in range(rows.x_term.size):
            _add(left, column, rows.x_column[t], first, n, -theta[rows.x_term[t]])
        for a in range(rows.a_column.size):
            if rows.a_column[a] >= 0:
                _add_by_group(h, column, rows.a_column[a], 1.0, c[a], start, j, first, n)
        for t in range(rows.w_term.size):
            _add(h, column, rows.w_column[t], first, n, theta[rows.w_term[t]])
        exp_minus(h, w, n)
        total -= 0.5 * _slopes(left, h, w, n)
        _sum_by_group(left, level[2], start, j, first, n)
        _sum_by_group(h, level[3], start, j, first, n)
        for a in range(rows.z_column.size):
            if rows.z_column[a] >= 0:
                _dot_by_group(left, column, rows.z_column[a], g_b[a], start, j, first, n)
        for t in range(rows.x_term.size):
            g_theta[rows.x_term[t]] += _dot(left, column, rows.x_column[t], first, n)
        for a in range(rows.a_column.size):
            if rows.a_column[a] >= 0:
                _dot_by_group(h, column, rows.a_column[a], g_c[a], start, j, first, n)
        for t in range(rows.w_term.size):
            g_theta[rows.w_term[t]] += _dot(h, column, rows.w_column[t], first, n)
    _give_levels(rows.z_column, g_b, level[2])
    _give_levels(rows.a_column, g_c, level[3])
    for j in range(shift.size):
        g_shift[j] += level[3, j]
    return total


@compiled
def _take(out, of_group, cells, j, first, n):
    """Write to some cells what their groups have."""
    if cells.start.size - 1 == cells.size.size:  # a cell is a group
        first = max(first, 0)
        for i in range(n):
            out[i] = of_group[first + i]
    else:
        _set_by_group(out, of_group, cells.start, j, first, n)


@compiled
def _give(out, values, by, cells, j, first, n):
    """Add values of some cells, times a factor of each, to their groups."""
    if cells.start.size - 1 == cells.size.size:
        first = max(first, 0)
        for i in range(n):
            out[first + i] += values[i] * by[i]
    else:
        for i in range(n):
            by[i] *= values[i]
        _sum_by_group(by, out, cells.start, j, first, n)


@compiled_sums
def _cell_sums(size, h, w, squares):
    """Return the log density of some cells; h becomes d/dh."""
    total = 0.0
    for i in range(size.size):
        square = w[i] * squares[i]
        total -= 0.5 * (size[i] * (_LOG_2_PI + h[i]) + square)
        h[i] = 0.5 * (square - size[i])
    return total


@compiled
def by_cells(cells, b, c, shift, theta, g_b, g_c, g_shift, g_theta, work):
    """Return the log density from sums of products by cell, the cells sorted by group.

    A cell is the rows of one group and one log variance. With D = (Z, the rest of X) and its
    coefficients x, the cell's squares are r'r - 2 x'D'r + x'D'D x = r'r - x'(t + g), where t = D'r
    and g = t - D'D x is their derivative but for a factor of -2.
    """
    d, qu, qv = cells.t.shape[0], b.shape[0], c.shape[0]
    h, w, squares, room = work[0], work[1], work[2], work[3]
    x, g = work[4 : 4 + d], work[4 + d :]
    total, j = 0.0, 0
    for first in range(0, cells.size.size, CHUNK):
        n = min(CHUNK, cells.size.size - first)
        last = first + n
        while cells.start[j + 1] <= first:
            j += 1
        _take(h, shift, cells, j, first, n)
        for a in range(qv):
            _take(room, c[a], cells, j, first, n)
            add_product(h[:n], cells.A[a, first:last], room, 1.0)
        for t in range(cells.w_term.size):
            _add(h, cells.W, t, first, n, theta[cells.w_term[t]])
        exp_minus(h, w, n)
        for a in range(qu):
            _take(x[a], b[a], cells, j, first, n)
        for t in range(cells.x_term.size):
            x[qu + t] = theta[cells.x_term[t]]
        squares[:n] = cells.rr[first:last]
        for a in range(d):
            g[a, :n] = cells.t[a, first:last]
            for e in range(d):
                add_product(g[a, :n], cells.G[a, e, first:last], x[e], -1.0)
            add_product(squares[:n], x[a], cells.t[a, first:last], -1.0)
            add_product(squares[:n], x[a], g[a], -1.0)
        total += _cell_sums(cells.size[first:last], h, w, squares)
        for t in range(cells.x_term.size):
            g_theta[cells.x_term[t]] += _dot(w, g, qu + t, 0, n)
        for a in range(qu):
            _give(g_b[a], w, g[a], cells, j, first, n)
        for t in range(cells.w_term.size):
            g_theta[cells.w_term[t]] += _dot(h, cells.W, t, first, n)
        for a in range(qv):
            room[:n] = cells.A[a, first:last]
            _give(g_c[a], h, room, cells, j, first, n)
        room[:n] = 1.0
        _give(g_shift, h, room, cells, j, first, n)
    return total
