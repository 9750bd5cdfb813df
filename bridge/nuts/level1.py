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

from bridge.nuts.compiling import compiled, compiled_sums
from bridge.nuts.exponential import exp_minus

CHUNK = 256  # rows at a time, so that what is between the loops stays in the nearest cache
_LOG_2_PI = math.log(2 * math.pi)


@compiled
def _add(out, column, first, n, factor):
    """Add a column of the design times its coefficient."""
    for i in range(n):
        out[i] += column[first + i] * factor


@compiled_sums
def _dot(values, column, first, n):
    total = 0.0
    for i in range(n):
        total += values[i] * column[first + i]
    return total


@compiled_sums
def by_rows(rows, b, c, shift, theta, g_b, g_c, g_shift, g_theta, work):
    """Return the log density from the rows themselves, group by group."""
    p = rows
    left, h, w = work[0], work[1], work[2]
    total = -0.5 * _LOG_2_PI * p.residual.size
    for j in range(p.start.size - 1):
        mean_level, log_level = 0.0, shift[j]
        for a in range(p.z_column.size):
            if p.z_column[a] < 0:
                mean_level += b[a, j]
        for a in range(p.a_column.size):
            if p.a_column[a] < 0:
                log_level += c[a, j]
        for first in range(p.start[j], p.start[j + 1], CHUNK):
            n = min(CHUNK, p.start[j + 1] - first)
            for i in range(n):
                left[i] = p.residual[first + i] - mean_level
                h[i] = log_level
            for a in range(p.z_column.size):
                if p.z_column[a] >= 0:
                    _add(left, p.column[p.z_column[a]], first, n, -b[a, j])
            for t in range(p.x_term.size):
                _add(left, p.column[p.x_column[t]], first, n, -theta[p.x_term[t]])
            for a in range(p.a_column.size):
                if p.a_column[a] >= 0:
                    _add(h, p.column[p.a_column[a]], first, n, c[a, j])
            for t in range(p.w_term.size):
                _add(h, p.column[p.w_column[t]], first, n, theta[p.w_term[t]])
            exp_minus(h, w, n)
            sum_h, sum_left, sum_squares = 0.0, 0.0, 0.0
            for i in range(n):
                weighted = w[i] * left[i]
                square = weighted * left[i]
                sum_h += h[i]
                sum_left += weighted
                sum_squares += square
                left[i] = weighted
                h[i] = 0.5 * square - 0.5
            total -= 0.5 * (sum_h + sum_squares)
            sum_h = 0.5 * (sum_squares - n)
            for a in range(p.z_column.size):
                if p.z_column[a] < 0:
                    g_b[a, j] += sum_left
                else:
                    g_b[a, j] += _dot(left, p.column[p.z_column[a]], first, n)
            for t in range(p.x_term.size):
                g_theta[p.x_term[t]] += _dot(left, p.column[p.x_column[t]], first, n)
            for a in range(p.a_column.size):
                if p.a_column[a] < 0:
                    g_c[a, j] += sum_h
                else:
                    g_c[a, j] += _dot(h, p.column[p.a_column[a]], first, n)
            for t in range(p.w_term.size):
                g_theta[p.w_term[t]] += _dot(h, p.column[p.w_column[t]], first, n)
            g_shift[j] += sum_h
    return total


@compiled_sums
def by_cells(cells, b, c, shift, theta, g_b, g_c, g_shift, g_theta, work):
    """Return the log density from sums of products by cell.

    A cell is the rows of one group and one log variance. With D = (Z, the rest of X) and its
    coefficients x, the cell's squares are r'r - 2 x'D'r + x'D'D x = r'r - x'(t + g), where t = D'r
    and g = t - D'D x is their derivative but for a factor of -2.
    """
    p = cells
    d, qu, qv = p.t.shape[0], b.shape[0], c.shape[0]
    h, w, squares = work[0], work[1], work[2]
    x, g = work[3 : 3 + d], work[3 + d : 3 + 2 * d]
    total = 0.0
    for first in range(0, p.size.size, CHUNK):
        n = min(CHUNK, p.size.size - first)
        for i in range(n):
            h[i] = shift[p.group[first + i]]
            squares[i] = p.rr[first + i]
        for a in range(qv):
            for i in range(n):
                h[i] += p.A[a, first + i] * c[a, p.group[first + i]]
        for t in range(p.w_term.size):
            _add(h, p.W[t], first, n, theta[p.w_term[t]])
        exp_minus(h, w, n)
        for a in range(qu):
            for i in range(n):
                x[a, i] = b[a, p.group[first + i]]
        for t in range(p.x_term.size):
            for i in range(n):
                x[qu + t, i] = theta[p.x_term[t]]
        for a in range(d):
            for i in range(n):
                g[a, i] = p.t[a, first + i]
            for e in range(d):
                for i in range(n):
                    g[a, i] -= p.G[a, e, first + i] * x[e, i]
            for i in range(n):
                squares[i] -= x[a, i] * (p.t[a, first + i] + g[a, i])
        for i in range(n):
            size = p.size[first + i]
            square = w[i] * squares[i]
            total -= 0.5 * (size * (_LOG_2_PI + h[i]) + square)
            h[i] = 0.5 * (square - size)
        for a in range(qu):
            for i in range(n):
                g_b[a, p.group[first + i]] += w[i] * g[a, i]
        for t in range(p.x_term.size):
            for i in range(n):
                g_theta[p.x_term[t]] += w[i] * g[qu + t, i]
        for a in range(qv):
            for i in range(n):
                g_c[a, p.group[first + i]] += h[i] * p.A[a, first + i]
        for t in range(p.w_term.size):
            g_theta[p.w_term[t]] += _dot(h, p.W[t], first, n)
        for i in range(n):
            g_shift[p.group[first + i]] += h[i]
    return total
