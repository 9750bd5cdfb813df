"""The likelihood of a block of groups at given nodes, u integrated out, and its score.

The formulas are in the package's docstring; shapes here are (J, K, ·) for J groups and K nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.marginal.blocks import Block

_LOG_2PI = float(np.log(2 * np.pi))
#: Log weights of rows beyond this are cut off: their squares would overflow.
_FAR = 300.0
#: Where the weighted squares are larger, differences between them have too few digits left.
_LOST = 1e12


@dataclass(frozen=True)
class Factor:
    """The factor of the group effects, one for all groups (g = 1) or one each (g = J).

    Attributes
    ----------
    B, G, C : (g, qu, m), (g, qu, r), (g, qv, m) arrays
        u = B z + G e and v = C z.
    omega : (g, m, m) array or None
        Of the quadratic association: z'Omega z is added to the log variance.
    """

    B: np.ndarray
    G: np.ndarray
    C: np.ndarray
    omega: np.ndarray | None = None

    def of(self, groups: np.ndarray) -> Factor:
        """Return the factors of some groups."""
        if len(self.B) == 1:
            return self
        omega = None if self.omega is None else self.omega[groups]
        return Factor(self.B[groups], self.G[groups], self.C[groups], omega)


@dataclass(frozen=True)
class FactorScore:
    """Derivatives of each group's log-likelihood by the elements of `Factor`.

    ``Ce`` is that by C's columns for e, which are zero in a `Factor`: (J, qv, r).
    """

    B: np.ndarray
    G: np.ndarray
    C: np.ndarray
    Ce: np.ndarray
    omega: np.ndarray


@dataclass(frozen=True)
class Forward:
    """What the nodes of a block have in common with the score: see `forward`."""

    block: Block
    factor: Factor
    z: np.ndarray
    r: np.ndarray
    weight: np.ndarray
    tilt: np.ndarray | None
    columns: np.ndarray
    sums: np.ndarray
    inverse: np.ndarray
    e: np.ndarray
    loglik: np.ndarray


def forward(
    block: Block, gamma: np.ndarray, delta: np.ndarray, factor: Factor, z: np.ndarray
) -> Forward:
    """Return log p(y_j | z) at nodes z, and what the score needs again.

    Parameters
    ----------
    block : Block
        J groups.
    gamma, delta : (p,), (k,) arrays
        Coefficients of the mean and of the log variance.
    factor : Factor
        Of these groups.
    z : (J, K, m) array
        Nodes.

    Returns
    -------
    Forward
        ``loglik`` (J, K); ``weight`` are the precisions of the rows, (J, n, K), or (J, n, 1) where
        ``tilt`` (J, K) multiplies them.
    """
    r = block.y - block.X @ gamma
    log_variance = block.W @ delta
    v = z @ factor.C.swapaxes(1, 2)
    shift = 0.0 if factor.omega is None else ((z @ factor.omega) * z).sum(axis=2)
    columns = np.concatenate([(r * r)[..., None], block.Z * r[..., None], block.products], axis=2)
    size = block.size[:, None]
    total = log_variance.sum(axis=1)[:, None] + size * shift
    if block.constant:
        moved = (block.A[:, :1] * v).sum(axis=2)
        total = total + size * moved
        tilt = _exp(-(moved + shift))
        weight = _exp(-log_variance)[..., None]
        sums = tilt[..., None] * (weight.swapaxes(1, 2) @ columns)
    else:
        total = total + (block.A.sum(axis=1)[:, None] * v).sum(axis=2)
        tilt = None
        exponent = block.A @ v.swapaxes(1, 2)
        exponent += log_variance[..., None]
        if factor.omega is not None:
            exponent += np.asarray(shift)[:, None]
        np.negative(exponent, out=exponent)
        np.clip(exponent, -_FAR, _FAR, out=exponent)
        weight = np.exp(exponent, out=exponent)
        sums = weight.swapaxes(1, 2) @ columns
    inverse, e, collapsed, lost = _collapse(factor, z, sums)
    # such a node lies where the residual variance is all but zero: it is given no weight
    loglik = np.where(lost, -np.inf, -0.5 * (size * _LOG_2PI + total + collapsed))
    return Forward(block, factor, z, r, weight, tilt, columns, sums, inverse, e, loglik)


def _exp(exponent: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.exp(np.clip(exponent, -_FAR, _FAR))
    return found


def _parts(sums: np.ndarray, qu: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return r'Dr, Z'Dr and Z'DZ from their columns, whatever stands before the last axis."""
    cross = np.empty((*sums.shape[:-1], qu, qu))
    rows, cols = np.tril_indices(qu)
    cross[..., rows, cols] = sums[..., 1 + qu :]
    cross[..., cols, rows] = sums[..., 1 + qu :]
    return sums[..., 0], sums[..., 1 : 1 + qu], cross


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    found: np.ndarray = (matrix @ vector[..., None])[..., 0]
    return found


def _collapse(
    factor: Factor, z: np.ndarray, sums: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return M^-1, the mean of e, log|M| + r'Dr - t'M^-1 t at r = y - X gamma - Z B z, and lost.

    ``lost`` (J, K) are the nodes at which that difference has no digits left; their sums become 0.
    """
    B, G = factor.B, factor.G[:, None]
    b = z @ B.swapaxes(1, 2)
    square, zr, zz = _parts(sums, B.shape[1])
    zzb = _times(zz, b)
    size = np.einsum("...ij,...ij->...j", G, zz @ G).sum(axis=-1)  # the trace of M - I
    lost = ~(square + (b * zzb).sum(axis=2) + size < _LOST)
    if lost.any():
        sums[lost] = 0.0
        square, zr, zz = _parts(sums, B.shape[1])
        zzb = _times(zz, b)
    square = square + (b * (zzb - 2 * zr)).sum(axis=2)
    t = _times(G.swapaxes(2, 3), zr - zzb)
    M = G.swapaxes(2, 3) @ zz @ G
    M[..., np.arange(M.shape[-1]), np.arange(M.shape[-1])] += 1.0
    root_inverse, logdet = _root_inverse(M)
    half = _times(root_inverse, t)
    e = _times(root_inverse.swapaxes(2, 3), half)
    inverse = root_inverse.swapaxes(2, 3) @ root_inverse
    return inverse, e, logdet + square - (half * half).sum(axis=2), lost


def _root_inverse(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the inverse of the Cholesky factor of M, and M's log determinant.

    By way of the factor t'M^-1 t keeps its digits however unlike M's eigenvalues are; by M's own
    inverse it does not.
    """
    size = M.shape[-1]
    if size == 0:
        return M, np.zeros(M.shape[:-2])
    if size == 1:
        return 1.0 / np.sqrt(M), np.log(M[..., 0, 0])
    if size == 2:  # by formula: many small matrices are slow one by one
        first = np.sqrt(M[..., 0, 0])
        below = M[..., 1, 0] / first
        # M is the identity and something positive
        second = np.sqrt(np.maximum(M[..., 1, 1] - below**2, 1.0))
        found = np.zeros_like(M)
        found[..., 0, 0], found[..., 1, 1] = 1.0 / first, 1.0 / second
        found[..., 1, 0] = -below / (first * second)
        return found, 2 * (np.log(first) + np.log(second))
    lower = np.linalg.cholesky(M)
    diagonal = np.diagonal(lower, axis1=-2, axis2=-1)
    return np.linalg.inv(lower), 2 * np.log(diagonal).sum(axis=-1)


# --- the score ---------------------------------------------------------------------------
def backward(
    state: Forward, p: np.ndarray, along_e: bool
) -> tuple[np.ndarray, np.ndarray, FactorScore]:
    """Return the score of each group by Fisher's identity.

    Parameters
    ----------
    state : Forward
        At the nodes.
    p : (J, K) array
        Weight of each node given y.
    along_e : bool
        Whether ``Ce`` is wanted (it is zero otherwise).

    Returns
    -------
    gamma, delta : (J, p), (J, k) arrays
    factor : FactorScore
    """
    block, factor, z, e = state.block, state.factor, state.z, state.e
    qu = factor.B.shape[1]
    G = factor.G[:, None]
    u = z @ factor.B.swapaxes(1, 2) + _times(G, e)
    spread = G @ state.inverse @ G.swapaxes(2, 3)
    gamma, delta = _row_scores(state, p, u, spread)
    square, zr, zz = _parts(state.sums, qu)
    left = zr - _times(zz, u)  # Z'D r~
    pz = p[..., None] * z
    by_b = left.swapaxes(1, 2) @ pz
    by_g = left.swapaxes(1, 2) @ (p[..., None] * e)
    by_g = by_g - (p[..., None, None] * (zz @ G @ state.inverse)).sum(axis=1)
    excess = 0.5 * (_expected(square, zr, zz, u, spread) - block.size[:, None])
    if block.constant:
        per_effect = excess[:, :, None] * block.A[:, :1]
    else:
        per_effect, weighted = _varying(state, u, spread)
    by_c = per_effect.swapaxes(1, 2) @ pz
    by_ce = np.zeros((len(p), factor.C.shape[1], e.shape[2]))
    if along_e and e.shape[2]:
        by_ce = per_effect.swapaxes(1, 2) @ (p[..., None] * e)
        moved = block.A[:, :1, :, None] * left[:, :, None, :] if block.constant else weighted
        # the covariance of e and its own square, by Stein's identity
        turned = moved @ (G @ state.inverse)
        by_ce = by_ce - (p[..., None, None] * turned).sum(axis=1)
    by_omega = (pz * excess[..., None]).swapaxes(1, 2) @ z
    return gamma, delta, FactorScore(by_b, by_g, by_c, by_ce, by_omega)


def _expected(
    square: np.ndarray, zr: np.ndarray, zz: np.ndarray, u: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Return E[r~'Dr~] over e from the sums over rows."""
    found: np.ndarray = (
        square + (u * (_times(zz, u) - 2 * zr)).sum(axis=-1) + (zz * spread).sum(axis=(-2, -1))
    )
    return found


def _row_scores(
    state: Forward, p: np.ndarray, u: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return X'D r~ and W'g of each group, averaged over the nodes."""
    block, r = state.block, state.r
    qu = u.shape[2]
    rows, cols = np.tril_indices(qu)
    second = (u[..., :, None] * u[..., None, :] + spread)[..., rows, cols]
    # off the diagonal both halves count
    second = second * np.where(rows == cols, 1.0, 2.0)
    moments = p[..., None] * np.concatenate([np.ones((*p.shape, 1)), u, second], axis=2)
    if state.tilt is None:
        by_row = state.weight @ moments
    else:
        summed = (state.tilt[..., None] * moments).sum(axis=1)
        by_row = state.weight * summed[:, None]
    fitted = (block.Z * by_row[..., 1 : 1 + qu]).sum(axis=2)
    weighted = r * by_row[..., 0] - fitted
    squares = r * (weighted - fitted) + (block.products * by_row[..., 1 + qu :]).sum(axis=2)
    gamma = (weighted[:, None] @ block.X)[:, 0]
    # rows of padding have W = 0
    delta = (0.5 * (squares - 1.0)[:, None] @ block.W)[:, 0]
    return gamma, delta


def _varying(state: Forward, u: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A'g at each node (J, K, qv), and A-weighted Z'D r~ (J, K, qv, qu)."""
    block, qu = state.block, u.shape[2]
    turned = state.weight.swapaxes(1, 2)
    per_effect, left = [], []
    for position in range(block.A.shape[2]):
        column = block.A[..., position]
        sums = turned @ (state.columns * column[..., None])
        square, zr, zz = _parts(sums, qu)
        expected = _expected(square, zr, zz, u, spread)
        per_effect.append(0.5 * (expected - column.sum(axis=1)[:, None]))
        left.append(zr - _times(zz, u))
    return np.stack(per_effect, axis=2), np.stack(left, axis=2)
