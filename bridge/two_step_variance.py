"""Steps 1 and 2 of the two-step method: log variances of groups, and their regression.

Step 1: the log residual variance of each group, corrected for bias, and its sampling variance.
Step 2: their regression on predictors of the groups. `bridge.two_step` has the method as a whole
and its source, and names the symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge import group_sums
from bridge.design import Design

_DEPENDENT = 1e-7  # the share of a column, or of the outcome's SD, below which it is rounding
_GRID = 41


@dataclass(frozen=True, eq=False)
class LogVariances:
    """The log residual variances of the groups, J of them.

    Attributes
    ----------
    df : ndarray of int, shape (J,)
        f_j.
    s2 : ndarray, shape (J,)
        Residual variances, outcome units squared; 0 where f_j is.
    d, known : ndarray, shape (J,)
        d_j on the log variance, corrected for bias, and its sampling variance V_j; NaN and
        infinity in groups that cannot give one.
    used : ndarray of bool, shape (J,)
        The groups that can: f_j at least 1 and residuals that are not all zero.
    """

    df: np.ndarray
    s2: np.ndarray
    d: np.ndarray
    known: np.ndarray
    used: np.ndarray


@dataclass(frozen=True, eq=False)
class VarianceStep:
    """The regression of d_j on W_j.

    Attributes
    ----------
    delta : ndarray, shape (k,)
        Coefficients of the log variance.
    delta_cov : ndarray, shape (k, k)
        Their covariance.
    tau : float
        tau_vv, (log variance) squared; 0 in a model without v.
    tau_se : float
        Its standard error; NaN at zero.
    """

    delta: np.ndarray
    delta_cov: np.ndarray
    tau: float
    tau_se: float


# --- step 1 -----------------------------------------------------------------------------------
def log_variances(design: Design, correction: str = "exact") -> LogVariances:
    """Return the log residual variances of the groups and their sampling variances.

    Parameters
    ----------
    design : Design
        The model on its data; only its mean function is used.
    correction : {"exact", "approximate"}
        Mean and variance of the log of chi-squared over f: psi(f/2) - log(f/2) and psi'(f/2),
        or -1/f and 2/f.

    Returns
    -------
    LogVariances
    """
    from scipy.special import digamma, polygamma

    J, group = len(design.group_labels), design.group
    basis, rank = _basis(design.Z, group, J)
    X = np.linalg.qr(design.mean.matrix)[0]
    about = design.y - X @ (X.T @ design.y)  # keeps the digits; within groups nothing changes
    y = _project(about[:, None], basis, group, J)[:, 0]
    left = _project(X, basis, group, J)
    left = left[:, np.linalg.norm(left, axis=0) > _DEPENDENT]
    e = y - left @ np.linalg.lstsq(left, y, rcond=_DEPENDENT)[0] if left.size else y
    df = np.bincount(group, minlength=J) - rank
    s2 = group_sums.sums(e**2, group, J) / np.maximum(df, 1)
    used = (df >= 1) & (s2 > (_DEPENDENT * design.y.std()) ** 2)
    d, known = np.full(J, np.nan), np.full(J, np.inf)
    f = df[used] / 1.0
    if correction == "exact":
        bias, known[used] = digamma(f / 2) - np.log(f / 2), polygamma(1, f / 2)
    else:
        bias, known[used] = -1 / f, 2 / f
    d[used] = np.log(s2[used]) - bias
    return LogVariances(df, s2, d, known, used)


def _basis(Z: np.ndarray, group: np.ndarray, J: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an orthonormal basis (N, a) of Z within each group, and its rank there (J,).

    Gram and Schmidt, each column twice, for all groups at once; a column that a group's earlier
    ones explain is zero there.
    """
    basis = np.zeros_like(Z)
    rank = np.zeros(J, dtype=np.int64)
    for k in range(Z.shape[1]):
        before = np.sqrt(group_sums.sums(Z[:, k] ** 2, group, J))
        column = Z[:, k : k + 1]
        for _ in range(2):
            column = _project(column, basis[:, :k], group, J)
        norm = np.sqrt(group_sums.sums(column[:, 0] ** 2, group, J))
        new = norm > _DEPENDENT * before
        basis[:, k] = column[:, 0] * np.where(new, 1 / np.where(new, norm, 1.0), 0.0)[group]
        rank += new
    return basis, rank


def _project(values: np.ndarray, basis: np.ndarray, group: np.ndarray, J: int) -> np.ndarray:
    """Return columns less their projection on a basis within groups."""
    left = np.array(values, dtype=float)
    for q in basis.T:
        left -= q[:, None] * group_sums.sums(q[:, None] * left, group, J)[group]
    return left


# --- step 2 -----------------------------------------------------------------------------------
def variance_step(
    d: np.ndarray,
    known: np.ndarray,
    W: np.ndarray,
    *,
    effects: bool,
    method: str = "ML",
    weights: str = "known",
) -> VarianceStep:
    """Regress log variances with known sampling variances on predictors of the groups.

    Parameters
    ----------
    d, known : ndarray, shape (J,)
        Log variances, and their sampling variances V.
    W : ndarray, shape (J, k)
        Predictors, of rank k < J.
    effects : bool
        Whether the groups differ beyond W (by v, with variance tau_vv).
    method : {"ML", "REML"}
        Maximum or restricted maximum likelihood of tau_vv, for known weights.
    weights : {"known", "equal"}
        Generalised least squares with variances tau_vv + V, or ordinary least squares, where
        tau_vv is the residual variance less the mean of V, at least zero.

    Returns
    -------
    VarianceStep
    """
    J, k = W.shape
    if weights == "equal":
        delta = np.linalg.lstsq(W, d, rcond=None)[0]
        residual = float(np.sum((d - W @ delta) ** 2)) / (J - k)
        tau = max(residual - float(known.mean()), 0.0) if effects else 0.0
        se = float(np.sqrt(2 * np.sum((tau + known) ** 2)) / (J - k)) if tau else np.nan
        return VarianceStep(delta, residual * _inverse_cross(W), tau, se)
    reml = method == "REML"
    tau = _tau(d, known, W, reml) if effects else 0.0
    p = 1 / (tau + known)
    information = 0.5 * float(np.sum(p**2))
    if reml:
        A, B = (W.T * p) @ W, (W.T * p**2) @ W
        ab = np.linalg.solve(A, B)
        third = np.linalg.solve(A, (W.T * p**3) @ W)
        information += 0.5 * float(np.trace(ab @ ab) - 2 * np.trace(third))
    se = 1 / np.sqrt(information) if tau and information > 0 else np.nan
    delta = _weighted_fit(d, W, p)
    return VarianceStep(delta, _inverse_cross(W * np.sqrt(p)[:, None]), tau, float(se))


def _tau(d: np.ndarray, known: np.ndarray, W: np.ndarray, reml: bool) -> float:
    """Maximise the likelihood over tau_vv: the best of a grid, then the root of the score."""
    from scipy.optimize import brentq

    def parts(tau: float) -> tuple[float, float]:
        """Return minus the log-likelihood and its slope in tau."""
        p = 1 / (tau + known)
        r2 = (d - W @ _weighted_fit(d, W, p)) ** 2
        value = 0.5 * float(np.sum(p * r2 - np.log(p)))
        slope = 0.5 * float(np.sum(p - p**2 * r2))
        if reml:
            cross = (W.T * p) @ W
            value += 0.5 * float(np.linalg.slogdet(cross)[1])
            slope -= 0.5 * float(np.trace(np.linalg.solve(cross, (W.T * p**2) @ W)))
        return value, slope

    most = 2 * float(np.abs(d - W @ _weighted_fit(d, W, np.ones(len(d)))).max())
    grid = np.linspace(0.0, most, _GRID) ** 2
    found = [parts(tau) for tau in grid]
    best = int(np.argmin([value for value, _ in found]))
    lower, upper = max(best - 1, 0), min(best + 1, _GRID - 1)
    if found[best][1] >= 0:
        upper = best
    else:
        lower = best
    if lower == upper or found[lower][1] >= 0 or found[upper][1] <= 0:
        return float(grid[best])
    return float(brentq(lambda tau: parts(tau)[1], grid[lower], grid[upper], xtol=1e-14))


def _weighted_fit(d: np.ndarray, W: np.ndarray, p: np.ndarray) -> np.ndarray:
    root = np.sqrt(p)
    fitted: np.ndarray = np.linalg.lstsq(W * root[:, None], d * root, rcond=None)[0]
    return fitted


def _inverse_cross(D: np.ndarray) -> np.ndarray:
    """Return (D'D)^-1 by way of QR, so that no digits are lost to squaring."""
    inverse = np.linalg.inv(np.linalg.qr(D)[1])
    return inverse @ inverse.T
