"""The SDs and correlations of the groups' effects, as factors M of their covariances, and back.

M_ab = S_a L_ab with SDs S and L the Cholesky factor of the correlations, both by group. Constant
correlations of a block come from partial ones c (Lewandowski, Kurowicka & Joe 2009): with rest_b =
product over d < b of (1 - c_ad^2),

    L_ab = c_ab sqrt(rest_b),  L_aa = sqrt(rest_a),  and with c = tanh x
    x-_ab = (1 - c_ab^2) sqrt(rest_b) L-_ab - c_ab sum over d > b, up to a, of L-_ad L_ad.

In a block one of whose correlations is a level-2 function (atanh R_ab = H kappa) the constant ones
are taken as they are, and the factor of each group is that of its R:

    L_ab = (R_ab - sum over d < b of L_ad L_bd) / L_bb,   L_aa = sqrt(1 - sum of L_ad^2);

its derivative goes back through these steps one by one. A group whose R is not positive definite
makes the density minus infinity. Where functions are of partial correlations, c = tanh(H kappa),
each group's factor comes from them as above. SDs that are functions are exp(H kappa / 2).
"""

from __future__ import annotations

import math

import numpy as np

from bridge.nuts.compiling import compiled, compiled_sums
from bridge.nuts.exponential import exp_minus


@compiled
def constant_factor(spread, x, L, rest):
    """Write L (q, q) of the constant partial correlations tanh(x), and rest (q, q)."""
    p = spread
    q = L.shape[0]
    L[:] = 0.0
    for a in range(q):
        L[a, a] = 1.0
    for n in range(x.size):
        a, b = p.cpc_pair[n, 0], p.cpc_pair[n, 1]
        rest[a, b] = L[a, a]
        c = math.tanh(x[n])
        L[a, b] = c * L[a, a]
        # sqrt(1 - c^2), to all its digits where c is near one
        L[a, a] /= math.cosh(x[n])


@compiled
def constant_factor_gradient(spread, x, L, rest, g_L, g_x):
    """Add to ``g_x`` the gradient of the partial correlations; the pairs stand row by row."""
    p = spread
    after, row = 0.0, -1
    for n in range(x.size - 1, -1, -1):
        a, b = p.cpc_pair[n, 0], p.cpc_pair[n, 1]
        if a != row:
            after, row = g_L[a, a] * L[a, a], a
        c = math.tanh(x[n])
        g_x[n] += rest[a, b] * g_L[a, b] / math.cosh(x[n]) ** 2 - c * after
        after += g_L[a, b] * L[a, b]


@compiled
def _sds(spread, log_sd, kappa, S):
    """Write the SDs (q, J)."""
    p = spread
    q, J = S.shape
    for a in range(q):
        S[a] = math.exp(log_sd[p.sd_of[a]]) if p.sd_of[a] >= 0 else 0.0
    for n in range(kappa.size):
        a = p.kappa_pair[n, 0]
        if a == p.kappa_pair[n, 1]:
            for j in range(J):
                S[a, j] -= 0.5 * p.H[n, j] * kappa[n]
    for a in range(q):
        if p.sd_of[a] < 0:
            exp_minus(S[a], S[a], J)


@compiled
def factors(spread, log_sd, L, x_free, kappa, S, M):
    """Write SDs S (q, J) and factors M (q, q, J); False where there are none.

    ``log_sd`` are those of the constant SDs, L the constant factor.
    """
    q = S.shape[0]
    _sds(spread, log_sd, kappa, S)
    for a in range(q):
        for b in range(a + 1):
            M[a, b] = L[a, b]
    if _any_function(spread) and not _varying_factors(spread, x_free, kappa, M):
        return False
    for a in range(q):
        for b in range(a + 1):
            for j in range(S.shape[1]):
                M[a, b, j] *= S[a, j]
    return True


@compiled
def _any_function(spread):
    """Tell whether a correlation is a level-2 function."""
    for n in range(spread.kappa_pair.shape[0]):
        if spread.kappa_pair[n, 0] != spread.kappa_pair[n, 1]:
            return True
    return False


@compiled
def _own_rows(spread):
    """Return which effects' rows of the factor differ between groups (q)."""
    p = spread
    q = p.block.size
    own = np.zeros(q, dtype=np.bool_)
    for n in range(p.kappa_pair.shape[0]):
        if p.kappa_pair[n, 0] != p.kappa_pair[n, 1]:
            for a in range(q):
                if p.block[a] == p.block[p.kappa_pair[n, 0]]:
                    own[a] = True
    return own


@compiled
def _varying_factors(p, x_free, kappa, L):
    """Overwrite the rows of the blocks with functions by the factors of each group's R."""
    q, J = L.shape[0], L.shape[2]
    own = _own_rows(p)
    for a in range(q):
        if own[a]:
            for b in range(a):
                L[a, b] = 0.0
    for n in range(kappa.size):
        a, b = p.kappa_pair[n, 0], p.kappa_pair[n, 1]
        if a != b:
            for j in range(J):
                L[a, b, j] += p.H[n, j] * kappa[n]
    for n in range(x_free.size):
        L[p.free_pair[n, 0], p.free_pair[n, 1]] = x_free[n]
    for a in range(q):
        if not own[a]:
            continue
        if p.partial[a]:
            _from_partial(p, a, L)
            continue
        for j in range(J):
            left = 1.0
            for b in range(a):
                if p.block[b] != p.block[a]:
                    continue
                value = math.tanh(L[a, b, j])
                for d in range(b):
                    value -= L[a, d, j] * L[b, d, j]
                L[a, b, j] = value / L[b, b, j]
                left -= L[a, b, j] ** 2
            if not left > 0.0:
                return False
            L[a, a, j] = math.sqrt(left)
    return True


@compiled
def _from_partial(p, a, L):
    """Overwrite atanh of partial correlations in row a by the row of each group's factor."""
    for j in range(L.shape[2]):
        left = 1.0
        for b in range(a):
            if p.block[b] == p.block[a]:
                x = L[a, b, j]
                L[a, b, j] = math.tanh(x) * left
                left /= math.cosh(x)  # sqrt(1 - c^2), to all its digits
        L[a, a, j] = left


@compiled
def _from_partial_gradient(p, a, S, M, g_L):
    """Overwrite the gradient by row a of the factors by that by atanh of partial correlations."""
    for j in range(S.shape[1]):
        left = M[a, a, j] / S[a, j]
        after = g_L[a, a, j] * left
        g_L[a, a, j] = 0.0
        for b in range(a - 1, -1, -1):
            if p.block[b] == p.block[a]:
                element, slope = M[a, b, j] / S[a, j], g_L[a, b, j]
                before = math.hypot(left, element)
                g_L[a, b, j] = (slope * left * left - element * after) / before
                after += slope * element
                left = before


@compiled_sums
def factors_gradient(spread, S, M, g_S, g_M, g_log_sd, g_L, g_free, g_kappa):
    """Go back from M and S; ``g_M`` is overwritten, ``g_L`` (q, q) that of the constant factor."""
    p = spread
    q, J = S.shape
    for a in range(q):
        # M_ab = S_a L_ab: d / d log S_a = sum of M-_ab M_ab
        for j in range(J):
            g_S[a, j] *= S[a, j]
        for b in range(a + 1):
            if p.block[a] == p.block[b]:
                for j in range(J):
                    g_S[a, j] += g_M[a, b, j] * M[a, b, j]
                    g_M[a, b, j] *= S[a, j]  # from here on that of L
            else:
                g_M[a, b] = 0.0
        if p.sd_of[a] >= 0:
            g_log_sd[p.sd_of[a]] += _total(g_S[a])
    if _any_function(p):
        _varying_gradient(p, S, M, g_M, g_free, g_kappa)
    for n in range(g_kappa.size):
        a = p.kappa_pair[n, 0]
        if a == p.kappa_pair[n, 1]:
            g_kappa[n] += 0.5 * _dot(p.H[n], g_S[a])
    for a in range(q):
        for b in range(a + 1):
            g_L[a, b] = _total(g_M[a, b])


@compiled_sums
def _total(values):
    total = 0.0
    for j in range(values.size):
        total += values[j]
    return total


@compiled_sums
def _dot(left, right):
    total = 0.0
    for j in range(left.size):
        total += left[j] * right[j]
    return total


@compiled
def _varying_gradient(p, S, M, g_L, g_free, g_kappa):
    """Take the rows of blocks with functions out of ``g_L`` (q, q, J), back to free and kappa.

    L = M / S. Elements in the reverse of the order they were made in; R = tanh(argument), so that
    what is left of an element is its argument's gradient, (1 - R^2) R-.
    """
    q, J = S.shape
    own = _own_rows(p)
    for a in range(q - 1, -1, -1):
        if not own[a]:
            continue
        if p.partial[a]:
            _from_partial_gradient(p, a, S, M, g_L)
            continue
        for j in range(J):
            for b in range(a):
                g_L[a, b, j] -= g_L[a, a, j] * M[a, b, j] / M[a, a, j]
            g_L[a, a, j] = 0.0
            for b in range(a - 1, -1, -1):
                if p.block[b] != p.block[a]:
                    continue
                g_R, R = g_L[a, b, j] * S[b, j] / M[b, b, j], 0.0
                g_L[b, b, j] -= g_R * M[a, b, j] / S[a, j]
                for d in range(b + 1):
                    R += M[a, d, j] * M[b, d, j]
                for d in range(b):
                    g_L[a, d, j] -= g_R * M[b, d, j] / S[b, j]
                    g_L[b, d, j] -= g_R * M[a, d, j] / S[a, j]
                g_L[a, b, j] = g_R * (1.0 - (R / (S[a, j] * S[b, j])) ** 2)
    for n in range(g_free.size):
        g_free[n] += _total(g_L[p.free_pair[n, 0], p.free_pair[n, 1]])
    for n in range(g_kappa.size):
        a, b = p.kappa_pair[n, 0], p.kappa_pair[n, 1]
        if a != b:
            g_kappa[n] += _dot(p.H[n], g_L[a, b])
    for a in range(q):
        if own[a]:
            for b in range(a):
                g_L[a, b] = 0.0
