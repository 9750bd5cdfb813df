"""Level 2: from what is sampled to the effects of the groups, and back.

M (q, q, J) is the lower triangular factor of each group's covariance, M M' = T_j: effects e = M z
with innovations z ~ N(0, I). What is sampled is standardised by what the group says: where its
outcomes have, about, the information K about e and pull it by h, less K f with the fixed part f
that goes with e, innovations are given those about normal with precision and mean

    P = I + M'K M = C C',   m = P^-1 r,   r = M'k,   k = h - K f,

so that with  z = m + C^-T x = C^-T w,   w = C^-1 r + x,   x is about N(0, I) whatever the SDs, the
correlations and the coefficients are: no funnel, and no ties between groups and coefficients
(dynamic rescaling: Kleppe 2019, J. Comput. Graph. Stat. 28). K and h are numbers settled at the
start; any give the same posterior, K = 0 standardised innovations. The Jacobian is
log |dz / dx| = -sum of log C_aa. Student-t effects are multivariate t, their mixing integrated
out: z ~ t_q(0, I, nu).

Derivatives, a bar for d log p / d; e- is what the outcomes say of the effects, F = 1 for normal
effects and (nu + q) / (nu + z'z) for Student-t ones:

    z- = M'e- - F z,   x- = w- = C^-1 z-,   r- = C^-T w-,
    C-_ab = -z_a w-_b - r-_a (C^-1 r)_b, less 1 / C_aa on the diagonal,
    P- from C- through the steps of the Cholesky decomposition (Smith 1995, J. Comput. Graph. Stat.
    4), Q = P- + P-' of its lower triangle,
    M- = e- z' + k r-' + K M Q,   f- = e- - K M r-.
"""

from __future__ import annotations

import math

from bridge.nuts.compiling import compiled, compiled_sums
from bridge.nuts.vectors import add_product, divide

_LOG_2_PI = math.log(2 * math.pi)


@compiled
def fixed_part(sampled, step, out):
    """Write to ``out`` (q, J) what of the fixed functions goes with each effect."""
    out[:] = 0.0
    for n in range(sampled.fold_effect.size):
        row, factor = out[sampled.fold_effect[n]], step[sampled.fold_term[n]]
        for j in range(row.size):
            row[j] += sampled.fold_column[n, j] * factor


@compiled_sums
def fixed_part_gradient(sampled, g_fixed, g_theta):
    """Add the gradient of the coefficients that the fixed part holds."""
    for n in range(sampled.fold_effect.size):
        row, total = g_fixed[sampled.fold_effect[n]], 0.0
        for j in range(row.size):
            total += sampled.fold_column[n, j] * row[j]
        g_theta[sampled.fold_term[n]] += total


@compiled
def effects(sampled, x, fixed, M, KM, C, k, half, z, e):
    """Write innovations z and effects e (q, J) at x.

    Written for the way back are also KM and C (q, q, J), k and half = C^-1 r (q, J).
    """
    K, q = sampled.information, x.shape[0]
    for a in range(q):
        k[a] = sampled.pull[a]
        half[a] = 0.0
        e[a] = 0.0
        for b in range(q):
            add_product(k[a], K[a, b], fixed[b], -1.0)
            KM[a, b] = 0.0
            for d in range(b, q):
                add_product(KM[a, b], K[a, d], M[d, b], 1.0)
    for a in range(q):
        for d in range(a, q):
            add_product(half[a], M[d, a], k[d], 1.0)
        for b in range(a + 1):
            C[a, b] = 1.0 if a == b else 0.0
            for d in range(a, q):
                add_product(C[a, b], M[d, a], KM[d, b], 1.0)
    _decompose(C)
    for a in range(q):
        for b in range(a):
            add_product(half[a], C[a, b], half[b], -1.0)
        divide(half[a], C[a, a])
    for a in range(q - 1, -1, -1):
        for j in range(x.shape[1]):
            z[a, j] = half[a, j] + x[a, j]
        for d in range(a + 1, q):
            add_product(z[a], C[d, a], z[d], -1.0)
        divide(z[a], C[a, a])
    for a in range(q):
        for b in range(a + 1):
            add_product(e[a], M[a, b], z[b], 1.0)


@compiled
def _decompose(C):
    """Replace the lower triangles of matrices by their Cholesky factors, column by column."""
    q, J = C.shape[0], C.shape[2]
    for b in range(q):
        for d in range(b):
            add_product(C[b, b], C[b, d], C[b, d], -1.0)
        for j in range(J):
            C[b, b, j] = math.sqrt(C[b, b, j])
        for a in range(b + 1, q):
            for d in range(b):
                add_product(C[a, b], C[a, d], C[b, d], -1.0)
            divide(C[a, b], C[b, b])


@compiled
def _decompose_gradient(C, g):
    """Replace the gradient by C in ``g`` by that by the lower triangle of what was decomposed."""
    q, J = C.shape[0], C.shape[2]
    for b in range(q - 1, -1, -1):
        for a in range(q - 1, b, -1):
            divide(g[a, b], C[b, b])
            add_product(g[b, b], g[a, b], C[a, b], -1.0)
            for d in range(b):
                add_product(g[a, d], g[a, b], C[b, d], -1.0)
                add_product(g[b, d], g[a, b], C[a, d], -1.0)
        for j in range(J):
            g[b, b, j] *= 0.5 / C[b, b, j]
        for d in range(b):
            add_product(g[b, d], g[b, b], C[b, d], -2.0)


@compiled_sums
def innovations_density(z, C, nu, F):
    """Return the log density of x over all groups, and write F (J); nu = 0: normal effects."""
    q, J = z.shape
    total = 0.0
    for j in range(J):
        determinant = 1.0
        for a in range(q):
            determinant *= C[a, a, j]
        total -= math.log(determinant)
    if nu == 0.0:
        for a in range(q):
            for j in range(J):
                total -= 0.5 * z[a, j] ** 2
        F[:] = 1.0
        return total - 0.5 * q * J * _LOG_2_PI
    for j in range(J):
        square = 0.0
        for a in range(q):
            square += z[a, j] ** 2
        total -= 0.5 * (nu + q) * math.log1p(square / nu)
        F[j] = (nu + q) / (nu + square)
    level = math.lgamma(0.5 * (nu + q)) - math.lgamma(0.5 * nu) - 0.5 * q * math.log(nu * math.pi)
    return total + J * level


@compiled
def _digamma(x):
    """Return the derivative of log gamma: recurrence, then its asymptotic series."""
    total = 0.0
    while x < 10.0:
        total -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = 1 / 240 - y * (1 / 132 - y * 691 / 32760)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * series)))
    return total + math.log(x) - 0.5 / x - series


@compiled_sums
def nu_gradient(z, nu):
    """Return d/d nu of the density of Student-t innovations."""
    q, J = z.shape
    total = 0.0
    for j in range(J):
        square = 0.0
        for a in range(q):
            square += z[a, j] ** 2
        total += 0.5 * (nu + q) * square / (nu * (nu + square)) - 0.5 * math.log1p(square / nu)
    level = 0.5 * (_digamma(0.5 * (nu + q)) - _digamma(0.5 * nu)) - 0.5 * q / nu
    return total + J * level


@compiled
def effects_gradient(M, KM, C, k, half, z, F, g_data, g_e, g_r, g_C, g_x, g_fixed, g_M):
    """Go back from the effects to what is sampled.

    ``g_data`` (q, J) is what the outcomes say of the groups' coefficients, ``g_e`` that and what
    they say of the effects by an association. Written are ``g_x`` and ``g_fixed`` (q, J) and
    ``g_M`` (q, q, J); ``g_r`` (q, J) and ``g_C`` (q, q, J) are room.
    """
    q, J = z.shape
    for a in range(q):
        for j in range(J):
            g_x[a, j] = -F[j] * z[a, j]
        for d in range(a, q):
            add_product(g_x[a], M[d, a], g_e[d], 1.0)
        for b in range(a):
            add_product(g_x[a], C[a, b], g_x[b], -1.0)
        divide(g_x[a], C[a, a])
    for a in range(q - 1, -1, -1):
        g_r[a] = g_x[a]
        for d in range(a + 1, q):
            add_product(g_r[a], C[d, a], g_r[d], -1.0)
        divide(g_r[a], C[a, a])
    for a in range(q):
        for b in range(a + 1):
            for j in range(J):
                g_C[a, b, j] = -z[a, j] * g_x[b, j] - g_r[a, j] * half[b, j]
        for j in range(J):
            g_C[a, a, j] -= 1.0 / C[a, a, j]
    _decompose_gradient(C, g_C)
    for d in range(q):
        g_fixed[d] = g_data[d]
        for a in range(d + 1):
            for j in range(J):
                g_M[d, a, j] = g_e[d, j] * z[a, j] + k[d, j] * g_r[a, j]
            for b in range(q):
                times = 2.0 if a == b else 1.0
                add_product(g_M[d, a], KM[d, b], g_C[max(a, b), min(a, b)], times)
    for b in range(q):
        for a in range(q):
            add_product(g_fixed[b], KM[b, a], g_r[a], -1.0)
