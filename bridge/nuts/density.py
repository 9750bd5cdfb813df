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
def _times(factor, x, at, out):
    """Write a lower triangular matrix times the part of x from ``at`` on."""
    for i in range(factor.shape[0]):
        out[at + i] = 0.0
        for k in range(i + 1):
            out[at + i] += factor[i, k] * x[at + k]
    return at + factor.shape[0]


@compiled
def _times_gradient(factor, g, at, g_x):
    """Go back through that product."""
    for k in range(factor.shape[0]):
        g_x[at + k] = 0.0
        for i in range(k, factor.shape[0]):
            g_x[at + k] += factor[i, k] * g[at + i]
    return at + factor.shape[0]


@compiled
def _coefficients(p, x, step):
    """Write the distance of the coefficients from their centre."""
    at = _times(p.gamma_map, x, 0, step)
    at = _times(p.delta_map, x, at, step)
    _times(p.rest_map, x, at, step)


@compiled
def _coefficients_gradient(p, g_theta, g_x):
    """Go back through that map."""
    at = _times_gradient(p.gamma_map, g_theta, 0, g_x)
    at = _times_gradient(p.delta_map, g_theta, at, g_x)
    _times_gradient(p.rest_map, g_theta, at, g_x)


@compiled
def _log_diagonal(factor):
    total = 0.0
    for i in range(factor.shape[0]):
        total += math.log(factor[i, i])
    return total


@compiled
def _log_map(p):
    """Return log |d coefficients / d free|; the maps are triangular, their diagonals positive."""
    return _log_diagonal(p.gamma_map) + _log_diagonal(p.delta_map) + _log_diagonal(p.rest_map)


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
def _parts(x, terms, spread, sampled):
    """Return views: coefficients, log SDs, partial and free correlations, log(nu - 1), groups."""
    at_cpc = terms.centre.size + spread.sd_centre.size
    at_free = at_cpc + spread.cpc_shape.size
    at_nu = at_free + spread.free_shape.size
    q, J = sampled.away.shape
    at_raw = x.size - q * J
    return (
        x[: terms.centre.size], x[terms.centre.size : at_cpc], x[at_cpc:at_free],
        x[at_free:at_nu], x[at_nu:at_raw], x[at_raw:].reshape(q, J),
    )  # fmt: skip


@compiled
def value_and_gradient(flat, x, g):
    """Return the log density of the free coordinates x, and write its gradient to ``g``.

    Where a group's correlations are no correlation matrix the value is minus infinity.
    """
    terms, spread, sampled = coefficients(flat), unpack_spread(flat), unpack_sampled(flat)
    n, n_kappa = terms.centre.size, spread.kappa_pair.shape[0]
    n_lambda_kappa = terms.rest_map.shape[0]
    (q, J), qu = sampled.away.shape, sampled.latent[2]
    x_theta, x_sd, x_cpc, x_free, x_nu, raw = _parts(x, terms, spread, sampled)
    g_x_theta, g_sd, g_cpc, g_free, g_nu, g_raw = _parts(g, terms, spread, sampled)
    g[: g.size - q * J] = 0.0
    small, room = np.empty((3, n)), np.empty((10, q, J))
    step, theta, g_theta = small[0], small[1], small[2]
    S, z, e, k, half = room[0], room[1], room[2], room[3], room[4]
    b, g_data, g_e, g_S, g_r = room[5], room[6], room[7], room[8], room[9]
    square, matrix, by_group = np.empty((5, q, q, J)), np.empty((3, q, q)), np.empty((3, J))
    M, KM, C, g_C, g_M = square[0], square[1], square[2], square[3], square[4]
    L, rest, g_L = matrix[0], matrix[1], matrix[2]
    shift, g_shift, F = by_group[0], by_group[1], by_group[2]

    # coefficients, SDs, correlations
    _coefficients(terms, x_theta, step)
    for i in range(n):
        theta[i] = terms.centre[i] + step[i]
    lambda_, kappa = theta[n - n_lambda_kappa : n - n_kappa], theta[n - n_kappa :]
    g_theta[:] = 0.0
    g_lambda, g_kappa = g_theta[n - n_lambda_kappa : n - n_kappa], g_theta[n - n_kappa :]
    log_sd = np.log(spread.sd_centre) + x_sd
    total = _log_map(terms) + prior_density.coefficients(terms, theta, g_theta)
    total += prior_density.sds(spread, log_sd, g_sd)
    total += prior_density.correlations(x_cpc, spread.cpc_shape, g_cpc)
    total += prior_density.correlations(x_free, spread.free_shape, g_free)

    # effects of the groups
    factors.constant_factor(spread, x_cpc, L, rest)
    if not factors.factors(spread, log_sd, L, x_free, kappa, S, M):
        return -np.inf
    level2.fixed_part(sampled, step, b)
    level2.effects(sampled, raw, b, M, KM, C, k, half, z, e)
    nu = 1.0 + math.exp(x_nu[0]) if x_nu.size else 0.0
    total += level2.innovations_density(z, C, nu, F)
    if x_nu.size:
        value, slope = prior_density.degrees_of_freedom(sampled.nu_prior, nu)
        total += value
        g_nu[0] = slope + (nu - 1.0) * level2.nu_gradient(z, nu)

    # outcomes, given the coefficients b of the groups
    _association(sampled, lambda_, S, e, shift)
    for a in range(q):
        sign = -1.0 if a < qu else 1.0
        for j in range(J):
            b[a, j] += e[a, j] + sign * sampled.away[a, j]
    for i in range(terms.gamma_map.shape[0]):
        theta[i] = step[i]
    g_data[:] = 0.0
    g_shift[:] = 0.0
    total += _outcomes(
        flat, b[:qu], b[qu:], shift, theta, g_data[:qu], g_data[qu:], g_shift, g_theta
    )

    # and back; b becomes the gradient of the fixed part
    g_e[:] = g_data
    g_S[:] = 0.0
    _association_gradient(sampled, lambda_, S, e, g_shift, g_lambda, g_e, g_S)
    level2.effects_gradient(M, KM, C, k, half, z, F, g_data, g_e, g_r, g_C, g_raw, b, g_M)
    level2.fixed_part_gradient(sampled, b, g_theta)
    factors.factors_gradient(spread, S, M, g_S, g_M, g_sd, g_L, g_free, g_kappa)
    total += prior_density.covariances(spread, log_sd, L, g_sd, g_L)
    factors.constant_factor_gradient(spread, x_cpc, L, rest, g_L, g_cpc)
    _coefficients_gradient(terms, g_theta, g_x_theta)
    return total


@compiled
def canonical(flat, x, out):
    """Write the canonical parameters at x to ``out``; False where a group has no correlations.

    In this order: gamma, delta, lambda, kappa; constant SDs; constant correlations; nu where
    effects are Student-t; the effects (q, J).
    """
    terms, spread, sampled = coefficients(flat), unpack_spread(flat), unpack_sampled(flat)
    n, (q, J) = terms.centre.size, sampled.away.shape
    x_theta, x_sd, x_cpc, x_free, x_nu, raw = _parts(x, terms, spread, sampled)
    step, log_sd = np.empty(n), np.log(spread.sd_centre) + x_sd
    room, square, matrix = np.empty((5, q, J)), np.empty((3, q, q, J)), np.empty((2, q, q))
    S, fixed, z, k, half = room[0], room[1], room[2], room[3], room[4]
    M, KM, C = square[0], square[1], square[2]
    _coefficients(terms, x_theta, step)
    out[:n] = terms.centre + step
    factors.constant_factor(spread, x_cpc, matrix[0], matrix[1])
    kappa = out[n - spread.kappa_pair.shape[0] : n]
    if not factors.factors(spread, log_sd, matrix[0], x_free, kappa, S, M):
        return False
    at = n + x_sd.size
    out[n:at] = np.exp(log_sd)
    for r in range(spread.rho_pair.shape[0]):
        a, b = spread.rho_pair[r, 0], spread.rho_pair[r, 1]
        out[at] = 0.0
        for d in range(b + 1):
            out[at] += M[a, d, 0] * M[b, d, 0] / (S[a, 0] * S[b, 0])
        at += 1
    if x_nu.size:
        out[at] = 1.0 + math.exp(x_nu[0])
        at += 1
    level2.fixed_part(sampled, step, fixed)
    level2.effects(sampled, raw, fixed, M, KM, C, k, half, z, out[at:].reshape(q, J))
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
