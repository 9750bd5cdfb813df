"""The log density of the free coordinates, its gradient, and what the coordinates stand for.

The two C functions at the end are what nutpie calls, from its own threads and without Python.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from bridge.nuts import factors, level1, level2, prior_density
from bridge.nuts.compiling import compiled, compiled_callback
from bridge.nuts.unpacking import cells as unpack_cells
from bridge.nuts.unpacking import coefficients
from bridge.nuts.unpacking import rows as unpack_rows
from bridge.nuts.unpacking import sampled as unpack_sampled
from bridge.nuts.unpacking import spread as unpack_spread

_FAILED = 1  # nutpie ends the trajectory, as at a divergence


@compiled
def _coefficients(p, x, step):
    """Write the distance of the coefficients from their centre."""
    n_gamma, n_delta = p.gamma_map.shape[0], p.delta_map.shape[0]
    for i in range(n_gamma):
        step[i] = 0.0
        for k in range(n_gamma):
            step[i] += p.gamma_map[i, k] * x[k]
    for i in range(n_delta):
        step[n_gamma + i] = 0.0
        for k in range(n_delta):
            step[n_gamma + i] += p.delta_map[i, k] * x[n_gamma + k]
    for i in range(p.unit.size):
        step[n_gamma + n_delta + i] = p.unit[i] * x[n_gamma + n_delta + i]


@compiled
def _coefficients_gradient(p, g_theta, g_x):
    """Go back through that map."""
    n_gamma, n_delta = p.gamma_map.shape[0], p.delta_map.shape[0]
    for k in range(n_gamma):
        g_x[k] = 0.0
        for i in range(n_gamma):
            g_x[k] += p.gamma_map[i, k] * g_theta[i]
    for k in range(n_delta):
        g_x[n_gamma + k] = 0.0
        for i in range(n_delta):
            g_x[n_gamma + k] += p.delta_map[i, k] * g_theta[n_gamma + i]
    for i in range(p.unit.size):
        g_x[n_gamma + n_delta + i] = p.unit[i] * g_theta[n_gamma + n_delta + i]


@compiled
def _log_map(p):
    """Return log |d coefficients / d free|; the maps are triangular."""
    total = 0.0
    for i in range(p.gamma_map.shape[0]):
        total += math.log(abs(p.gamma_map[i, i]))
    for i in range(p.delta_map.shape[0]):
        total += math.log(abs(p.delta_map[i, i]))
    for i in range(p.unit.size):
        total += math.log(p.unit[i])
    return total


@compiled
def _association(p, lambda_, S, e, shift):
    """Write what the effects of the mean add to the log variance (J): lambda'u* (+ squares)."""
    shift[:] = 0.0
    if p.latent[0] == 0:
        return
    for a in range(p.latent[2]):
        square = lambda_[p.latent[2] + a] if p.latent[0] == 2 else 0.0
        for j in range(shift.size):
            u = e[a, j] / S[a, j] if p.latent[1] else e[a, j]
            shift[j] += (lambda_[a] + square * u) * u


@compiled
def _association_gradient(p, lambda_, S, e, g_shift, g_lambda, g_e, g_S):
    """Go back: u* = u / S, d shift / d u* = lambda + 2 lambda_square u*."""
    if p.latent[0] == 0:
        return
    qu = p.latent[2]
    for a in range(qu):
        square = lambda_[qu + a] if p.latent[0] == 2 else 0.0
        for j in range(g_shift.size):
            scale = S[a, j] if p.latent[1] else 1.0
            u = e[a, j] / scale
            slope = g_shift[j] * (lambda_[a] + 2 * square * u)
            g_lambda[a] += g_shift[j] * u
            if p.latent[0] == 2:
                g_lambda[qu + a] += g_shift[j] * u * u
            g_e[a, j] += slope / scale
            if p.latent[1]:
                g_S[a, j] -= slope * u / scale


@compiled
def _outcomes(flat, b, c, shift, theta, g_b, g_c, g_shift, g_theta):
    """Return the log density of the outcomes, by cells where the problem has them."""
    cells = unpack_cells(flat)
    work = np.empty((4 + 2 * cells.t.shape[0], level1.CHUNK))
    if cells.size.size:
        return level1.by_cells(cells, b, c, shift, theta, g_b, g_c, g_shift, g_theta, work)
    rows = unpack_rows(flat)
    return level1.by_rows(rows, b, c, shift, theta, g_b, g_c, g_shift, g_theta, work)


@compiled
def value_and_gradient(flat, x, g_x):
    """Return the log density of the free coordinates x, and write its gradient to ``g_x``.

    Where a group's correlations are no correlation matrix the value is minus infinity.
    """
    terms, spread, sampled = coefficients(flat), unpack_spread(flat), unpack_sampled(flat)
    n, n_sd, q, J = (
        terms.centre.size,
        spread.sd_centre.size,
        spread.block.size,
        sampled.away.shape[1],
    )
    n_cpc, n_free, n_kappa = (
        spread.cpc_shape.size,
        spread.free_shape.size,
        spread.kappa_pair.shape[0],
    )
    qu = sampled.latent[2]
    at_sd, at_cpc = n, n + n_sd
    at_free = at_cpc + n_cpc
    at_raw = x.size - q * J
    x_cpc, x_free, raw = x[at_cpc:at_free], x[at_free : at_free + n_free], x[at_raw:].reshape(q, J)
    g_raw = g_x[at_raw:].reshape(q, J)
    g_x[:at_raw] = 0.0
    g_cpc, g_free = g_x[at_cpc:at_free], g_x[at_free : at_free + n_free]
    g_log_sd = g_x[at_sd:at_cpc]
    student = sampled.nu_prior.size > 0
    nu = 1.0 + math.exp(x[at_raw - 1]) if student else 0.0

    small = np.empty(3 * n + n_sd + 3 * q * q)
    step, theta, g_theta, log_sd = small[:n], small[n : 2 * n], small[2 * n : 3 * n], small[3 * n :]
    L = small[3 * n + n_sd : 3 * n + n_sd + q * q].reshape(q, q)
    rest = small[3 * n + n_sd + q * q : 3 * n + n_sd + 2 * q * q].reshape(q, q)
    g_L = small[3 * n + n_sd + 2 * q * q :].reshape(q, q)
    room = np.empty((10 * q + 3, J))
    S, z, e, k, half = (
        room[:q],
        room[q : 2 * q],
        room[2 * q : 3 * q],
        room[3 * q : 4 * q],
        room[4 * q : 5 * q],
    )
    fixed, g_data, g_e, g_S, g_r = (
        room[5 * q : 6 * q],
        room[6 * q : 7 * q],
        room[7 * q : 8 * q],
        room[8 * q : 9 * q],
        room[9 * q : 10 * q],
    )
    shift, g_shift, F = room[-3], room[-2], room[-1]
    square = np.empty((5, q, q, J))
    M, KM, C, g_C, g_M = square[0], square[1], square[2], square[3], square[4]

    # coefficients, SDs, correlations
    _coefficients(terms, x, step)
    g_theta[:] = 0.0
    for i in range(n):
        theta[i] = terms.centre[i] + step[i]
    for i in range(n_sd):
        log_sd[i] = math.log(spread.sd_centre[i]) + x[at_sd + i]
    kappa, lambda_ = theta[n - n_kappa :], theta[n - terms.unit.size : n - n_kappa]
    total = _log_map(terms) + prior_density.coefficients(terms, theta, g_theta)
    total += prior_density.sds(spread, log_sd[:n_sd], g_log_sd)
    total += prior_density.correlations(x_cpc, spread.cpc_shape, g_cpc)
    total += prior_density.correlations(x_free, spread.free_shape, g_free)

    # effects of the groups
    factors.constant_factor(spread, x_cpc, L, rest)
    if not factors.factors(spread, log_sd, L, x_free, kappa, S, M):
        return -np.inf
    level2.fixed_part(sampled, step, fixed)
    level2.effects(sampled, raw, fixed, M, KM, C, k, half, z, e)
    total += level2.innovations_density(z, C, nu, F)
    if student:
        value, slope = prior_density.degrees_of_freedom(sampled.nu_prior, nu)
        total += value
        g_x[at_raw - 1] = slope + (nu - 1.0) * level2.nu_gradient(z, nu)

    # outcomes; fixed becomes the coefficients of the groups
    _association(sampled, lambda_, S, e, shift)
    for a in range(q):
        sign = -1.0 if a < qu else 1.0
        for j in range(J):
            fixed[a, j] += e[a, j] + sign * sampled.away[a, j]
    for i in range(terms.gamma_map.shape[0]):
        theta[i] = step[i]
    g_data[:] = 0.0
    g_shift[:] = 0.0
    total += _outcomes(
        flat, fixed[:qu], fixed[qu:], shift, theta, g_data[:qu], g_data[qu:], g_shift, g_theta
    )

    # and back
    for a in range(q):
        for j in range(J):
            g_e[a, j] = g_data[a, j]
            g_S[a, j] = 0.0
    g_kappa = g_theta[n - n_kappa :]
    g_lambda = g_theta[n - terms.unit.size : n - n_kappa]
    _association_gradient(sampled, lambda_, S, e, g_shift, g_lambda, g_e, g_S)
    level2.effects_gradient(M, KM, C, k, half, z, F, g_data, g_e, g_r, g_C, g_raw, fixed, g_M)
    level2.fixed_part_gradient(sampled, fixed, g_theta)
    factors.factors_gradient(spread, S, M, g_S, g_M, g_log_sd, g_L, g_free, g_kappa)
    factors.constant_factor_gradient(spread, x_cpc, L, rest, g_L, g_cpc)
    _coefficients_gradient(terms, g_theta, g_x)
    return total


@compiled
def canonical(flat, x, out):
    """Write the canonical parameters at x to ``out``.

    In this order: gamma, delta, lambda, kappa; constant SDs; constant correlations; nu where
    effects are Student-t; the effects (q, J).
    """
    terms, spread, sampled = coefficients(flat), unpack_spread(flat), unpack_sampled(flat)
    n, n_sd, q, J = (
        terms.centre.size,
        spread.sd_centre.size,
        spread.block.size,
        sampled.away.shape[1],
    )
    at_cpc = n + n_sd
    at_free = at_cpc + spread.cpc_shape.size
    at_raw = x.size - q * J
    x_cpc, x_free = x[at_cpc:at_free], x[at_free : at_free + spread.free_shape.size]
    step, log_sd = np.empty(n), np.empty(n_sd)
    _coefficients(terms, x, step)
    for i in range(n):
        out[i] = terms.centre[i] + step[i]
    for i in range(n_sd):
        log_sd[i] = math.log(spread.sd_centre[i]) + x[n + i]
        out[n + i] = math.exp(log_sd[i])
    L, rest = np.empty((q, q)), np.empty((q, q))
    S, fixed, z, k, half = (
        np.empty((q, J)),
        np.empty((q, J)),
        np.empty((q, J)),
        np.empty((q, J)),
        np.empty((q, J)),
    )
    M, KM, C = np.empty((q, q, J)), np.empty((q, q, J)), np.empty((q, q, J))
    factors.constant_factor(spread, x_cpc, L, rest)
    kappa = out[n - spread.kappa_pair.shape[0] : n]
    if not factors.factors(spread, log_sd, L, x_free, kappa, S, M):
        return False
    at = at_cpc
    for r in range(spread.rho_pair.shape[0]):
        a, b = spread.rho_pair[r, 0], spread.rho_pair[r, 1]
        out[at] = 0.0
        for d in range(b + 1):
            out[at] += M[a, d, 0] * M[b, d, 0] / (S[a, 0] * S[b, 0])
        at += 1
    if sampled.nu_prior.size:
        out[at] = 1.0 + math.exp(x[at_raw - 1])
        at += 1
    level2.fixed_part(sampled, step, fixed)
    e = out[at:].reshape(q, J)
    level2.effects(sampled, x[at_raw:].reshape(q, J), fixed, M, KM, C, k, half, z, e)
    return True


_NUMBERS = numba.types.CPointer(numba.types.double)
_COUNT = numba.types.uint64


@compiled
def _numbers(address):
    """Return the numbers that stand at an address, of which the first says how many."""
    length = numba.carray(address, (1,), numba.types.float64)[0]
    return numba.carray(address, (int(length),), numba.types.float64)


@compiled_callback(_COUNT, _NUMBERS, _NUMBERS, _NUMBERS, numba.types.voidptr)
def log_density(size, x, gradient, value, address):
    """Log density and gradient for nutpie; not zero where one is not finite."""
    g = numba.carray(gradient, (size,))
    found = value_and_gradient(_numbers(address), numba.carray(x, (size,)), g)
    numba.carray(value, (1,))[0] = found
    if not math.isfinite(found):
        return _FAILED
    for i in range(size):
        if not math.isfinite(g[i]):
            return _FAILED
    return 0


@compiled_callback(_COUNT, _COUNT, _NUMBERS, _NUMBERS, numba.types.voidptr)
def expand(size, expanded, x, out, address):
    """Canonical parameters of a draw for nutpie."""
    if canonical(_numbers(address), numba.carray(x, (size,)), numba.carray(out, (expanded,))):
        return 0
    return _FAILED
