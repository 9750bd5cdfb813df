"""The parts of a problem as compiled code sees them: views of one array of numbers."""

from __future__ import annotations

import numpy as np

from bridge.nuts.compiling import compiled
from bridge.nuts.problem import Cells, Coefficients, Rows, Sampled, Spread


@compiled
def _ints(flat, at):
    n = flat[at : at + 1].view(np.int64)[0]
    return flat[at + 1 : at + 1 + n].view(np.int64), at + 1 + n


@compiled
def _pairs(flat, at):
    shape = flat[at : at + 2].view(np.int64)
    n = shape[0] * shape[1]
    whole = flat[at + 2 : at + 2 + n].view(np.int64)
    return whole.reshape(shape[0], shape[1]), at + 2 + n


@compiled
def _vector(flat, at):
    n = flat[at : at + 1].view(np.int64)[0]
    return flat[at + 1 : at + 1 + n], at + 1 + n


@compiled
def _matrix(flat, at):
    shape = flat[at : at + 2].view(np.int64)
    n = shape[0] * shape[1]
    return flat[at + 2 : at + 2 + n].reshape(shape[0], shape[1]), at + 2 + n


@compiled
def _cube(flat, at):
    shape = flat[at : at + 3].view(np.int64)
    n = shape[0] * shape[1] * shape[2]
    return flat[at + 3 : at + 3 + n].reshape(shape[0], shape[1], shape[2]), at + 3 + n


@compiled
def coefficients(flat):
    """Return the first part."""
    centre, at = _vector(flat, int(flat[1]))
    gamma_map, at = _matrix(flat, at)
    delta_map, at = _matrix(flat, at)
    rest_map, at = _matrix(flat, at)
    prior_kind, at = _ints(flat, at)
    prior, at = _matrix(flat, at)
    return Coefficients(centre, gamma_map, delta_map, rest_map, prior_kind, prior)


@compiled
def spread(flat):
    """Return the second part."""
    sd_centre, at = _vector(flat, int(flat[2]))
    sd_kind, at = _ints(flat, at)
    sd_prior, at = _matrix(flat, at)
    sd_of, at = _ints(flat, at)
    block, at = _ints(flat, at)
    cpc_pair, at = _pairs(flat, at)
    cpc_shape, at = _vector(flat, at)
    free_pair, at = _pairs(flat, at)
    free_shape, at = _vector(flat, at)
    rho_pair, at = _pairs(flat, at)
    kappa_pair, at = _pairs(flat, at)
    H, at = _matrix(flat, at)
    partial, at = _ints(flat, at)
    tau_kind, at = _ints(flat, at)
    tau_order, at = _vector(flat, at)
    tau_df, at = _vector(flat, at)
    tau_root, at = _matrix(flat, at)
    tau_constant, at = _vector(flat, at)
    return Spread(
        sd_centre, sd_kind, sd_prior, sd_of, block, cpc_pair, cpc_shape, free_pair, free_shape,
        rho_pair, kappa_pair, H, partial, tau_kind, tau_order, tau_df, tau_root, tau_constant,
    )  # fmt: skip


@compiled
def sampled(flat):
    """Return the third part."""
    block, at = _ints(flat, int(flat[3]))
    information, at = _cube(flat, at)
    pull, at = _matrix(flat, at)
    fold_effect, at = _ints(flat, at)
    fold_term, at = _ints(flat, at)
    fold_column, at = _matrix(flat, at)
    away, at = _matrix(flat, at)
    nu_prior, at = _vector(flat, at)
    latent, at = _ints(flat, at)
    return Sampled(
        block, information, pull, fold_effect, fold_term, fold_column, away, nu_prior, latent
    )  # fmt: skip


@compiled
def rows(flat):
    """Return the fourth part."""
    column, at = _matrix(flat, int(flat[4]))
    residual, at = _vector(flat, at)
    start, at = _ints(flat, at)
    z_column, at = _ints(flat, at)
    a_column, at = _ints(flat, at)
    x_column, at = _ints(flat, at)
    x_term, at = _ints(flat, at)
    w_column, at = _ints(flat, at)
    w_term, at = _ints(flat, at)
    return Rows(column, residual, start, z_column, a_column, x_column, x_term, w_column, w_term)


@compiled
def cells(flat):
    """Return the fifth part."""
    start, at = _ints(flat, int(flat[5]))
    size, at = _vector(flat, at)
    rr, at = _vector(flat, at)
    t, at = _matrix(flat, at)
    G, at = _cube(flat, at)
    A, at = _matrix(flat, at)
    W, at = _matrix(flat, at)
    x_term, at = _ints(flat, at)
    w_term, at = _ints(flat, at)
    return Cells(start, size, rr, t, G, A, W, x_term, w_term)
