"""The priors, on the canonical scales, with the Jacobians of the free coordinates.

Constants are kept; half priors are those of the whole line, not doubled, as in the Stan programs.
"""

from __future__ import annotations

import math

import numpy as np

from bridge.nuts.compiling import compiled

_LOG_2_PI = math.log(2 * math.pi)
_LOG_2 = math.log(2)
FLAT, NORMAL, STUDENT_T = 0, 1, 2
HALF_T, HALF_NORMAL, EXPONENTIAL = 1, 2, 3


@compiled
def _normal(distance, scale):
    """Return log density and derivative by the distance."""
    z = distance / scale
    return -0.5 * z * z - 0.5 * _LOG_2_PI - math.log(scale), -z / scale


@compiled
def _student_t(distance, df, scale):
    z = distance / scale
    constant = math.lgamma(0.5 * (df + 1)) - math.lgamma(0.5 * df) - 0.5 * math.log(df * math.pi)
    value = constant - math.log(scale) - 0.5 * (df + 1) * math.log1p(z * z / df)
    return value, -(df + 1) * z / (df + z * z) / scale


@compiled
def coefficients(terms, theta, g_theta):
    """Return the log density of all coefficients, and add its gradient."""
    p = terms
    total = 0.0
    for i in range(theta.size):
        if p.prior_kind[i] == NORMAL:
            value, slope = _normal(theta[i] - p.prior[i, 1], p.prior[i, 2])
        elif p.prior_kind[i] == STUDENT_T:
            value, slope = _student_t(theta[i] - p.prior[i, 1], p.prior[i, 0], p.prior[i, 2])
        else:
            value, slope = 0.0, 0.0
        total += value
        g_theta[i] += slope
    return total


@compiled
def sds(spread, log_sd, g_log_sd):
    """Return the log density of the logs of the SDs, and add its gradient."""
    p = spread
    total = 0.0
    for i in range(log_sd.size):
        sd = math.exp(log_sd[i])
        if p.sd_kind[i] == HALF_T:
            value, slope = _student_t(sd, p.sd_prior[i, 0], p.sd_prior[i, 1])
        elif p.sd_kind[i] == HALF_NORMAL:
            value, slope = _normal(sd, p.sd_prior[i, 1])
        elif p.sd_kind[i] == EXPONENTIAL:
            value, slope = math.log(p.sd_prior[i, 1]) - p.sd_prior[i, 1] * sd, -p.sd_prior[i, 1]
        else:
            value, slope = 0.0, 0.0
        total += value + log_sd[i]
        g_log_sd[i] += slope * sd + 1.0
    return total


@compiled
def correlations(x, shape, g_x):
    """Return the log density of x where (1 + tanh x) / 2 ~ beta(shape, shape); add its gradient.

    LKJ makes the partial correlations independent of each other, each of such a density; with the
    Jacobian 1 - tanh^2 it is ((1 - tanh^2) / 4)^shape but for constants: 2 / B(shape, shape).
    """
    total = 0.0
    for n in range(x.size):
        s = shape[n]
        # log(1 - tanh(x)^2), to all its digits
        log_rest = 2 * (_LOG_2 - abs(x[n]) - math.log1p(math.exp(-2 * abs(x[n]))))
        log_beta = 2 * math.lgamma(s) - math.lgamma(2 * s)
        total += s * log_rest - (2 * s - 1) * _LOG_2 - log_beta
        g_x[n] -= 2 * s * math.tanh(x[n])
    return total


@compiled
def covariances(spread, log_sd, L, g_log_sd, g_L):
    """Return the log density of whole covariance matrices, and add its gradients.

    T = M M', M_ab = sd_a L_ab, as a density of SDs and correlations: each block of K has the factor
    2^K prod of sd^K, and an inverse Wishart(df, R R') also, but for constants,

        -(df + K + 1) sum of log M_aa - |V|^2 / 2,   V = M^-1 R,   so that   M- = M'^-1 V V'.
    """
    p = spread
    q = L.shape[0]
    total = p.tau_constant[0]
    V, U = np.zeros((q, q)), np.zeros((q, q))
    for a in range(q):
        if p.tau_kind[a] == 0:
            continue
        i = p.sd_of[a]
        power = p.tau_order[a]
        if p.tau_kind[a] == 2:
            fall = p.tau_df[a] + p.tau_order[a] + 1.0
            power -= fall
            total -= fall * math.log(L[a, a])
            g_L[a, a] -= fall / L[a, a]
            for c in range(a + 1):
                V[a, c] = p.tau_root[a, c]
                for b in range(a):
                    V[a, c] -= math.exp(log_sd[i]) * L[a, b] * V[b, c]
                V[a, c] /= math.exp(log_sd[i]) * L[a, a]
                total -= 0.5 * V[a, c] ** 2
        total += power * log_sd[i]
        g_log_sd[i] += power
    for a in range(q - 1, -1, -1):
        if p.tau_kind[a] != 2:
            continue
        for c in range(q):
            U[a, c] = V[a, c]
            for b in range(a + 1, q):
                if p.tau_kind[b] == 2:
                    U[a, c] -= math.exp(log_sd[p.sd_of[b]]) * L[b, a] * U[b, c]
            U[a, c] /= math.exp(log_sd[p.sd_of[a]]) * L[a, a]
    for a in range(q):
        for b in range(a + 1):
            if p.tau_kind[a] == 2 and p.block[a] == p.block[b]:
                slope = 0.0
                for c in range(q):
                    slope += U[a, c] * V[b, c]
                slope *= math.exp(log_sd[p.sd_of[a]])
                g_L[a, b] += slope
                g_log_sd[p.sd_of[a]] += slope * L[a, b]
    return total


@compiled
def degrees_of_freedom(prior, nu):
    """Return the log density of log(nu - 1), but for the constant of the cut, and its derivative.

    nu ~ gamma(shape, rate) above 1.
    """
    shape, rate = prior[0], prior[1]
    value = shape * math.log(rate) - math.lgamma(shape) + (shape - 1) * math.log(nu) - rate * nu
    slope = (shape - 1) / nu - rate
    return value + math.log(nu - 1), slope * (nu - 1) + 1.0
