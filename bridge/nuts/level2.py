"""Level 2: from what is sampled to the effects of the groups, and back.

M (q, q, J) is the lower triangular factor of each group's covariance, M M' = T_j, and effect a is

    e_a = m_a + s_a z_a,   m_a = sum over b < a of M_ab z_b,   s_a = M_aa,   z ~ N(0, I).

What is sampled lies between the innovation (weight l = 0) and the effect together with its part f
of the fixed function (l = 1), in units of a constant s0 near s:

    x = l (f + m) / s0 + (s / s0)^l z,   so   z = (x - l (f + m) / s0) P   with   P = (s / s0)^-l,

and log |dz / dx| = log P (partially non-centred parameters: Papaspiliopoulos, Roberts & Skold
2003, Bayesian Statistics 7). Student-t effects are multivariate t, their mixing integrated out:
z ~ t_q(0, I, nu).

Derivatives, from the last effect to the first, a bar for d log p / d: with G what the outcomes
say of e,

    z- = G s - F z + (what later m say),   x- = z- P,   m- = G - l P z- / s0,   f- = G - l P z- / s0,
    s- = G z - l (z z- + 1) / s,   M-_ab = m-_a z_b,   M-_aa = s-_a,   z-_b += m-_a M_ab,

F = 1 for normal effects and (nu + q) / (nu + z'z) for Student-t ones.
"""

from __future__ import annotations

import math

from bridge.nuts.compiling import compiled, compiled_sums
from bridge.nuts.exponential import exp_minus

NONE, WHOLE, BETWEEN = 0, 1, 2  # kinds of weights
_LOG_2_PI = math.log(2 * math.pi)


@compiled
def fixed_part(sampled, step, out):
    """Write to ``out`` (q, J) what of the fixed functions goes with each effect, from its centre."""
    p = sampled
    out[:] = 0.0
    for f in range(p.fold_effect.size):
        a, factor = p.fold_effect[f], step[p.fold_term[f]]
        for j in range(out.shape[1]):
            out[a, j] += p.fold_column[f, j] * factor


@compiled_sums
def fixed_part_gradient(sampled, g_fixed, g_theta):
    """Add the gradient of the coefficients that the fixed part holds."""
    p = sampled
    for f in range(p.fold_effect.size):
        a, total = p.fold_effect[f], 0.0
        for j in range(g_fixed.shape[1]):
            total += p.fold_column[f, j] * g_fixed[a, j]
        g_theta[p.fold_term[f]] += total


@compiled
def effects(sampled, x, fixed, M, log_ratio, z, e, P):
    """Write innovations, effects and P (q, J each) at x; ``log_ratio`` is log(s / s0)."""
    p = sampled
    q, J = x.shape
    for a in range(q):
        for j in range(J):
            e[a, j] = 0.0
        for b in range(a):
            if p.block[a] == p.block[b]:
                for j in range(J):
                    e[a, j] += M[a, b, j] * z[b, j]
        if p.weight_kind[a] == NONE:
            for j in range(J):
                P[a, j] = 1.0
                z[a, j] = x[a, j]
                e[a, j] += M[a, a, j] * x[a, j]
        else:
            if p.weight_kind[a] == WHOLE:
                for j in range(J):
                    P[a, j] = p.base[a] / M[a, a, j]
            else:
                for j in range(J):
                    z[a, j] = p.weight[a, j] * log_ratio[a, j]
                exp_minus(z[a], P[a], J)
            for j in range(J):
                held = p.weight[a, j] * (fixed[a, j] + e[a, j]) / p.base[a]
                z[a, j] = (x[a, j] - held) * P[a, j]
                e[a, j] += M[a, a, j] * z[a, j]


@compiled_sums
def innovations_density(sampled, z, log_ratio, nu, F):
    """Return the log density of x over all groups, and write F (J)."""
    p = sampled
    q, J = z.shape
    total = 0.0
    for a in range(q):
        if p.weight_kind[a] != NONE:
            for j in range(J):
                total -= p.weight[a, j] * log_ratio[a, j]
    if p.nu_prior.size == 0:
        for a in range(q):
            for j in range(J):
                total -= 0.5 * z[a, j] ** 2
        for j in range(J):
            F[j] = 1.0
        return total - 0.5 * q * J * _LOG_2_PI
    for j in range(J):
        square = 0.0
        for a in range(q):
            square += z[a, j] ** 2
        total -= 0.5 * (nu + q) * math.log1p(square / nu)
        F[j] = (nu + q) / (nu + square)
    constant = math.lgamma(0.5 * (nu + q)) - math.lgamma(0.5 * nu) - 0.5 * q * math.log(nu * math.pi)
    return total + J * constant


@compiled
def _digamma(x):
    """Return the derivative of log gamma: recurrence, then its asymptotic series."""
    total = 0.0
    while x < 10.0:
        total -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
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
def effects_gradient(sampled, M, z, P, F, g_data, g_effect, g_z, g_x, g_fixed, g_M):
    """Go back from the effects to what is sampled.

    ``g_data`` (q, J) is what the outcomes say of the groups' coefficients, ``g_effect`` that and
    what they say of the effects by an association. Written are ``g_z`` (room), ``g_x``,
    ``g_fixed`` (q, J each) and ``g_M`` (q, q, J).
    """
    p = sampled
    q, J = z.shape
    g_z[:] = 0.0
    for a in range(q - 1, -1, -1):
        if p.weight_kind[a] == NONE:
            for j in range(J):
                total = g_z[a, j] + g_effect[a, j] * M[a, a, j] - F[j] * z[a, j]
                g_x[a, j] = total
                g_M[a, a, j] = g_effect[a, j] * z[a, j]
                g_fixed[a, j] = g_data[a, j]
                g_z[a, j] = g_effect[a, j]  # from here on that of m
        else:
            for j in range(J):
                total = g_z[a, j] + g_effect[a, j] * M[a, a, j] - F[j] * z[a, j]
                weight, slope = p.weight[a, j], total * P[a, j]
                held = weight * slope / p.base[a]
                g_x[a, j] = slope
                g_M[a, a, j] = g_effect[a, j] * z[a, j] - weight * (z[a, j] * total + 1) / M[a, a, j]
                g_fixed[a, j] = g_data[a, j] - held
                g_z[a, j] = g_effect[a, j] - held
        for b in range(a):
            if p.block[a] == p.block[b]:
                for j in range(J):
                    g_M[a, b, j] = g_z[a, j] * z[b, j]
                    g_z[b, j] += g_z[a, j] * M[a, b, j]
