"""Everything the compiled density reads, in five parts, and all of it as one array of numbers.

nutpie hands a C function one address, so the fields stand one after the other in one array of
float64 (integers by their bits) and are taken apart again as views. Compiled functions are given
the parts that they read: a tuple of all fields would take Numba minutes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Coefficients(NamedTuple):
    """gamma p, delta k, lambda, kappa (n in all) = centre + map * free; their priors."""

    centre: np.ndarray  # (n)
    gamma_map: np.ndarray  # (p, p), lower triangle
    delta_map: np.ndarray  # (k, k), lower triangle
    rest_map: np.ndarray  # of lambda and kappa, the same
    prior_kind: np.ndarray  # (n) int: 0 flat, 1 normal, 2 Student-t
    prior: np.ndarray  # (n, 3): df, location, scale


class Spread(NamedTuple):
    """SDs and correlations of the q effects in J groups."""

    sd_centre: np.ndarray  # (number of constant SDs); SD = centre * exp(free)
    sd_kind: np.ndarray  # int: 0 flat, 1 half-t, 2 half-normal, 3 exponential
    sd_prior: np.ndarray  # (.., 2): df, scale; or unused, rate
    sd_of: np.ndarray  # (q) int: number of an effect's constant SD, -1 for a function
    block: np.ndarray  # (q) int
    cpc_pair: np.ndarray  # (.., 2) int: (later, earlier), row by row
    cpc_shape: np.ndarray  # (1 + cpc) / 2 ~ beta(shape, shape)
    free_pair: np.ndarray  # constant correlations beside functions, sampled as they are
    free_shape: np.ndarray
    rho_pair: np.ndarray  # all constant correlations, in the order of the result
    kappa_pair: np.ndarray  # (kappa, 2) int: the function it is of
    H: np.ndarray  # (kappa, J)
    partial: np.ndarray  # (q) int: 1 where functions of its correlations are of partial ones
    tau_kind: np.ndarray  # (q) int, prior of its block's T: 0 none, 1 flat, 2 inverse Wishart
    tau_order: np.ndarray  # (q) effects of that block
    tau_df: np.ndarray  # (q)
    tau_root: np.ndarray  # (q, q) lower triangular root of its scale
    tau_constant: np.ndarray  # (1) of the log density of all blocks


class Sampled(NamedTuple):
    """From what is sampled to the effects; arrays with a length of groups have it last."""

    block: np.ndarray  # (q) int
    information: np.ndarray  # (q, q, J) about the effects, as the start has it
    pull: np.ndarray  # (q, J) that information times the effects it is for
    fold_effect: np.ndarray  # int: effect whose group value holds a coefficient
    fold_term: np.ndarray  # int: which coefficient
    fold_column: np.ndarray  # (.., J) its group constant
    away: np.ndarray  # (q, J) taken off u; added to v with its fixed part
    nu_prior: np.ndarray  # shape and rate of a gamma, cut off below at 1; empty: normal effects
    latent: np.ndarray  # (3) int: 0 none, 1 linear, 2 with squares; u standardised; effects u


class Rows(NamedTuple):
    """Level 1 by its N rows, sorted by group."""

    column: np.ndarray  # (.., N) different columns of the four designs, ones left out
    residual: np.ndarray  # (N) y - X gamma0 - Z u0
    start: np.ndarray  # (J + 1) int
    z_column: np.ndarray  # (qu) int, -1 for ones
    a_column: np.ndarray  # (qv)
    x_column: np.ndarray  # columns of X that no group value holds
    x_term: np.ndarray  # and their coefficients
    w_column: np.ndarray
    w_term: np.ndarray


class Cells(NamedTuple):
    """Level 1 by its K cells, the rows of one group and one variance; empty where not used."""

    start: np.ndarray  # (J + 1) int, where each group's cells start
    size: np.ndarray  # (K)
    rr: np.ndarray  # (K) r'r
    t: np.ndarray  # (d, K) D'r, D = (Z, rest of X)
    G: np.ndarray  # (d, d, K) D'D
    A: np.ndarray  # (qv, K)
    W: np.ndarray  # (rest of W, K)
    x_term: np.ndarray  # int, coefficients of the rest of X
    w_term: np.ndarray


class Problem(NamedTuple):
    """A model on its data, for the density.

    Free coordinates, in this order: coefficients, log SDs, atanh of partial correlations, atanh of
    free correlations, log(nu - 1), and the group values (q, J).
    """

    coefficients: Coefficients
    spread: Spread
    sampled: Sampled
    rows: Rows
    cells: Cells

    @property
    def size(self) -> int:
        """How many free coordinates there are."""
        s = self.spread
        return (
            len(self.coefficients.centre)
            + len(s.sd_centre)
            + len(s.cpc_shape)
            + len(s.free_shape)
            + (len(self.sampled.nu_prior) > 0)
            + self.sampled.away.size
        )

    @property
    def size_canonical(self) -> int:
        """How many numbers a draw has on the canonical scales."""
        s = self.spread
        return self.size + len(s.rho_pair) - len(s.cpc_shape) - len(s.free_shape)


def pack(problem: Problem) -> np.ndarray:
    """Return all fields in one array of float64; `bridge.nuts.unpacking` reads it.

    First the length of what follows and where each part starts, then field by field its shape and
    its numbers.
    """
    parts, starts, at = [], [], 1 + len(problem)
    for part in problem:
        starts.append(at)
        for values in part:
            array = np.ascontiguousarray(values)
            wide = array.astype(np.int64 if array.dtype.kind in "iub" else np.float64)
            shape = np.array(wide.shape, dtype=np.int64)
            parts += [shape.view(np.float64), wide.reshape(-1).view(np.float64)]
            at += shape.size + wide.size
    return np.concatenate([np.array([at, *starts], dtype=np.float64), *parts])
