"""Step 3 of the two-step method: gamma and T_u, with known level-1 variances.

`bridge.two_step` has the method as a whole and its source, and names the symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge import group_sums
from bridge.design import Design

_SMALL = 0.05  # of a typical level-1 SD


@dataclass(frozen=True, eq=False)
class MeanStep:
    """gamma and T_u with known level-1 variances.

    Attributes
    ----------
    gamma : ndarray, shape (p,)
        Outcome units.
    gamma_cov : ndarray, shape (p, p)
        Of generalised least squares.
    covariance : ndarray, shape (a, a)
        T_u, outcome units squared.
    information : ndarray, shape (pairs, pairs)
        Expected information of the free elements of T_u, in the order of ``pairs``.
    pairs : list of (int, int)
        Those elements.
    """

    gamma: np.ndarray
    gamma_cov: np.ndarray
    covariance: np.ndarray
    information: np.ndarray
    pairs: list[tuple[int, int]]


class _Profile:
    """The (restricted) likelihood of T_u with gamma at its generalised least squares.

    The level-1 precision w_j is one number a group, so the data enter through cross-products.
    X and each block of Z are replaced by orthogonal columns, which keeps the digits; the outcome
    is in units of ``scale``.
    """

    def __init__(self, design: Design, w: np.ndarray, scale: float, reml: bool) -> None:
        J, group = len(design.group_labels), design.group
        self.w, self.reml = w, reml
        self.log_w = float(np.sum(np.log(w[group])))
        Q, self.rx = np.linalg.qr(design.mean.matrix)
        block = np.array(design.block[: len(design.mean_effects)], dtype=int)
        zq, self.rz = _orthogonal(design.Z, block)
        self.offset = Q.T @ design.y
        y = ((design.y - Q @ self.offset) / scale)[:, None]
        self.zz, self.zx, self.zy = (
            group_sums.products(zq, other, group, J) for other in (zq, Q, y)
        )
        self.xx = group_sums.products(Q, Q, group, J)
        self.xy = group_sums.products(Q, y, group, J)[:, :, 0]
        self.yy = group_sums.sums(y[:, 0] ** 2, group, J)
        size = len(block)
        self.pairs = [(a, b) for b in range(size) for a in range(b + 1) if block[a] == block[b]]

    def root(self, theta: np.ndarray) -> np.ndarray:
        """Return L, lower triangular, of T_u in the orthogonal columns."""
        size = self.zz.shape[1]
        L = np.zeros((size, size))
        for value, (a, b) in zip(theta, self.pairs, strict=True):
            L[b, a] = value
        return L

    def at(self, theta: np.ndarray) -> dict[str, Any]:
        """Return the profile at T_u = L L': minus log-likelihood, slope, and pieces."""
        L, w = self.root(theta), self.w
        M = np.eye(len(L)) + w[:, None, None] * (L.T @ self.zz @ L)
        half = w[:, None, None] * (self.zz @ L)  # Z'D Z L
        middle = np.linalg.inv(M)
        # of V_j = Z T_u Z' + I/w: Z'V^-1 Z, Z'V^-1 X and so on, by Woodbury
        zx, zy = L.T @ self.zx * w[:, None, None], L.T @ self.zy * w[:, None, None]
        mzx, mzy = middle @ zx, middle @ zy
        xvx = np.einsum("j,jab->ab", w, self.xx) - np.einsum("jqa,jqb->ab", zx, mzx)
        xvy = np.einsum("j,ja->a", w, self.xy) - np.einsum("jqa,jq->a", zx, mzy[:, :, 0])
        gamma = np.linalg.solve(xvx, xvy)
        yvy = float(np.sum(w * self.yy)) - float(np.sum(zy * mzy))
        value = 0.5 * (float(np.sum(np.linalg.slogdet(M)[1])) - self.log_w + yvy - gamma @ xvy)
        zvz = w[:, None, None] * self.zz - half @ middle @ half.transpose(0, 2, 1)
        zvx = w[:, None, None] * self.zx - half @ mzx
        zvr = (w[:, None, None] * self.zy - half @ mzy)[:, :, 0] - zvx @ gamma
        slope = zvz.sum(axis=0) - zvr.T @ zvr
        if self.reml:
            value += 0.5 * float(np.linalg.slogdet(xvx)[1])
            slope -= np.einsum("jqa,jra->qr", zvx @ np.linalg.inv(xvx), zvx)
        by_root = slope @ L
        gradient = np.array([by_root[b, a] for a, b in self.pairs])
        return {"value": value, "slope": gradient, "gamma": gamma, "xvx": xvx, "zvz": zvz}


def mean_step(design: Design, log_variance: np.ndarray, method: str = "ML") -> MeanStep:
    """Estimate gamma and T_u with the level-1 variance of every group known.

    Parameters
    ----------
    design : Design
        The model on its data.
    log_variance : ndarray, shape (J,)
        Log level-1 variances.
    method : {"ML", "REML"}
        Maximum or restricted maximum likelihood of T_u.

    Returns
    -------
    MeanStep
    """
    level = float(log_variance.mean())  # all in units of a typical level-1 SD
    scale = np.exp(level / 2)
    profile = _Profile(design, np.exp(level - log_variance), scale, method == "REML")
    theta = _maximum(profile)
    found = profile.at(theta)
    back, back_z = np.linalg.inv(profile.rx), np.linalg.inv(profile.rz)
    L = scale * back_z @ profile.root(theta)
    gamma = back @ (profile.offset + scale * found["gamma"])
    gamma_cov = scale**2 * back @ np.linalg.inv(found["xvx"]) @ back.T
    zvz = profile.rz.T @ found["zvz"] @ profile.rz / scale**2
    information = _information(zvz, profile.pairs)
    return MeanStep(gamma, gamma_cov, L @ L.T, information, profile.pairs)


def _maximum(profile: _Profile) -> np.ndarray:
    """Return the elements of L at the maximum; the signs of its columns do not matter.

    Where an element of the diagonal is zero the slope there is zero too, at a maximum or not: from
    such a point the search starts again beside it, and the better of the two is kept.
    """
    from scipy.optimize import minimize

    diagonal = np.array([a == b for a, b in profile.pairs], dtype=bool)
    theta = 0.5 * diagonal
    if not len(theta):
        return theta

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        found = profile.at(theta)
        return found["value"], found["slope"]

    tight = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 500}
    best = minimize(objective, theta, jac=True, method="L-BFGS-B", options=tight)
    small = diagonal & (np.abs(best.x) < _SMALL)
    if small.any():
        beside = np.where(small, 2 * _SMALL, best.x)
        again = minimize(objective, beside, jac=True, method="L-BFGS-B", options=tight)
        best = min(best, again, key=lambda found: float(found.fun))
    found: np.ndarray = best.x
    return found


def _orthogonal(Z: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Z R^-1 and R, R upper triangular within blocks; columns of mean square one."""
    columns, R = np.zeros_like(Z), np.zeros((Z.shape[1], Z.shape[1]))
    root = np.sqrt(len(Z))
    for number in np.unique(block):
        own = np.flatnonzero(block == number)
        q, r = np.linalg.qr(Z[:, own])
        columns[:, own], R[np.ix_(own, own)] = q * root, r / root
    return columns, R


def _information(zvz: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Return the expected information of elements of T_u: half the trace of two products."""
    size = zvz.shape[1]
    units = np.zeros((len(pairs), size, size))
    for unit, (a, b) in zip(units, pairs, strict=True):
        unit[a, b] = unit[b, a] = 1.0
    moved = np.einsum("jab,kbc->kjac", zvz, units)
    information: np.ndarray = 0.5 * np.einsum("kjac,ljca->kl", moved, moved)
    return information
