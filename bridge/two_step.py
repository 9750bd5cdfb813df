"""The two-step method: log variances of groups first, then everything else; pure NumPy and SciPy.

After Raudenbush & Bryk (1987), Examining correlates of diversity, Journal of Educational
Statistics 12, 241-269. With groups j, Z_j the design of u and W_j the variance predictors of a
group:

1. s2_j is the residual variance of group j on f_j = n_j - rank(Z_j) degrees of freedom. The
   residuals are of least squares within groups: y and X are projected off Z_j, and what is left
   of y is regressed on what is left of X, one set of coefficients for all groups. For those
   coefficients no degrees of freedom are taken off.
2. f_j s2_j / sigma2_j is chi-squared, so d_j = log s2_j - psi(f_j/2) + log(f_j/2) has mean
   log sigma2_j and known variance V_j = psi'(f_j/2), about 2/f_j: d_j ~ N(W_j delta, tau_vv + V_j).
3. gamma and T_u maximise the (restricted) likelihood with log sigma2_j held at W_j delta and the
   predicted v_j.
4. Given v_j, normal least-squares effects of a group and its s2_j have independent errors, so
   the mean of their products, not shrunken, estimates T_uv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge import by_group
from bridge.design import Design
from bridge.errors import DataError

_DEPENDENT = 1e-7  # the share of a column, or of the outcome's SD, below which it is rounding
_GRID = 41
_SMALL = 0.05  # of a typical level-1 SD


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


@dataclass(frozen=True, eq=False)
class TwoStep:
    """Estimates of the two-step method.

    Attributes
    ----------
    groups : LogVariances
        Step 1.
    variance : VarianceStep
        Step 2.
    mean : MeanStep
        Step 3.
    covariance : ndarray, shape (q, q)
        T, effects in the order of ``design.effects``; positive semi-definite.
    cross_se : ndarray, shape (a,)
        Standard errors of T_uv; NaN where it is not estimated, or clipped.
    clipped : bool
        Whether T_uv was made smaller to keep T positive semi-definite.
    effects, effects_se : ndarray, shape (J, q)
        Empirical Bayes effects, u in outcome units and v on the log variance, and their
        standard errors with the estimates taken as known.
    """

    groups: LogVariances
    variance: VarianceStep
    mean: MeanStep
    covariance: np.ndarray
    cross_se: np.ndarray
    clipped: bool
    effects: np.ndarray
    effects_se: np.ndarray


# --- what it can express -------------------------------------------------------------------
def reasons(design: Design) -> list[str]:
    """Return why the method cannot express a model, in words that follow "cannot"; else nothing.

    Parameters
    ----------
    design : Design
        The model on its data.

    Returns
    -------
    list of str
        Empty where `estimate` can run.
    """
    spec = design.spec
    if spec.group is None:
        return ["estimate a variance by group in a model without groups"]
    found = []
    if spec.association is not None or spec.level2 is not None:
        found.append("fit a latent association or level-2 functions")
    slopes = [e for e in design.variance_effects if e != "v:Intercept"]
    if slopes:
        found.append(
            f"let effects of variance predictors differ between groups ({', '.join(slopes)})"
        )
    within = within_terms(design)
    if within:
        found.append(
            f"have predictors of the variance that vary within groups ({', '.join(within)})"
        )
    if found:
        return found
    used = log_variances(design).used
    count, terms = int(used.sum()), len(design.variance.labels)
    if count <= terms or np.linalg.matrix_rank(group_predictors(design)[used]) < terms:
        return [
            f"tell {terms} coefficients of the variance apart from the {count} group(s) with "
            "enough rows for a residual variance"
        ]
    return []


def within_terms(design: Design) -> list[str]:
    """Return the labels of the variance predictors that vary within a group."""
    matrix = design.variance.matrix
    spread = np.abs(matrix - group_predictors(design)[design.group]).max(axis=0)
    size = np.abs(matrix).max(axis=0)
    labels = design.variance.labels
    return [t for t, s, m in zip(labels, spread, size, strict=True) if s > 1e-9 * m]


def group_predictors(design: Design) -> np.ndarray:
    """Return W by group, (J, k), from the first row of each."""
    _, first = np.unique(design.group, return_index=True)
    matrix: np.ndarray = design.variance.matrix[first]
    return matrix


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
    s2 = by_group.sums(e**2, group, J) / np.maximum(df, 1)
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
        before = np.sqrt(by_group.sums(Z[:, k] ** 2, group, J))
        column = Z[:, k : k + 1]
        for _ in range(2):
            column = _project(column, basis[:, :k], group, J)
        norm = np.sqrt(by_group.sums(column[:, 0] ** 2, group, J))
        new = norm > _DEPENDENT * before
        basis[:, k] = column[:, 0] * np.where(new, 1 / np.where(new, norm, 1.0), 0.0)[group]
        rank += new
    return basis, rank


def _project(values: np.ndarray, basis: np.ndarray, group: np.ndarray, J: int) -> np.ndarray:
    """Return columns less their projection on a basis within groups."""
    left = np.array(values, dtype=float)
    for q in basis.T:
        left -= q[:, None] * by_group.sums(q[:, None] * left, group, J)[group]
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


# --- step 3 -----------------------------------------------------------------------------------
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
        self.zz, self.zx, self.zy = (by_group.products(zq, other, group, J) for other in (zq, Q, y))
        self.xx = by_group.products(Q, Q, group, J)
        self.xy = by_group.products(Q, y, group, J)[:, :, 0]
        self.yy = by_group.sums(y[:, 0] ** 2, group, J)
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


# --- all of it ----------------------------------------------------------------------------------
def estimate(
    design: Design, method: str = "ML", weights: str = "known", correction: str = "exact"
) -> TwoStep:
    """Estimate a location-scale model by the two-step method.

    Parameters
    ----------
    design : Design
        A model without `reasons`.
    method : {"ML", "REML"}
        Maximum or restricted maximum likelihood, in steps 2 and 3.
    weights : {"known", "equal"}
        See `variance_step`.
    correction : {"exact", "approximate"}
        See `log_variances`.

    Returns
    -------
    TwoStep

    Raises
    ------
    DataError
        Where the method cannot express the model on these data.
    """
    found = reasons(design)
    if found:
        raise DataError(f"The two-step method cannot {', and cannot '.join(found)}.")
    groups = log_variances(design, correction)
    W, used = group_predictors(design), groups.used
    variance = variance_step(
        groups.d[used],
        groups.known[used],
        W[used],
        effects=bool(design.variance_effects),
        method=method,
        weights=weights,
    )
    raw_v = np.where(used, groups.d - W @ variance.delta, 0.0)
    v = raw_v * variance.tau / (variance.tau + groups.known)
    log_variance = W @ variance.delta + v
    mean = mean_step(design, log_variance, method)
    T, cross_se, clipped = _whole_covariance(design, groups, variance, mean, raw_v, log_variance)
    effects, se = _effects(design, groups, mean, T, raw_v, log_variance)
    return TwoStep(groups, variance, mean, T, cross_se, clipped, effects, se)


def _whole_covariance(
    design: Design,
    groups: LogVariances,
    variance: VarianceStep,
    mean: MeanStep,
    raw_v: np.ndarray,
    log_variance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return T, the standard errors of T_uv, and whether T_uv was clipped."""
    a, q = len(design.mean_effects), len(design.effects)
    T = np.zeros((q, q))
    T[:a, :a] = mean.covariance
    none = np.full(a, np.nan)
    if q == a:
        return T, none, False
    T[a, a] = variance.tau
    own = np.flatnonzero(np.array(design.block[:a]) == design.block[a])
    if not len(own):
        return T, none, False
    cross, se = _cross_moment(design, groups, variance, mean, raw_v, log_variance)
    inside, clipped = _clipped(T[np.ix_(own, own)], cross[own], variance.tau)
    T[own, a] = T[a, own] = inside
    errors = none.copy()
    errors[own] = np.nan if clipped else se[own]
    return T, errors, clipped


def _cross_moment(
    design: Design,
    groups: LogVariances,
    variance: VarianceStep,
    mean: MeanStep,
    raw_v: np.ndarray,
    log_variance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted means (a,) of least-squares u times d - W delta, and standard errors."""
    J, a = len(design.group_labels), len(design.mean_effects)
    whole = groups.used & (np.bincount(design.group, minlength=J) - groups.df == a)
    if not whole.any():
        return np.zeros(a), np.full(a, np.nan)
    zz = by_group.products(design.Z, design.Z, design.group, J)[whole]
    r = design.y - design.mean.matrix @ mean.gamma
    zr = by_group.sums(design.Z * r[:, None], design.group, J)[whole]
    inverse = np.linalg.pinv(zz, hermitian=True)
    u = np.einsum("jab,jb->ja", inverse, zr)
    errors = np.diagonal(inverse, axis1=1, axis2=2) * np.exp(log_variance[whole])[:, None]
    spread_u = np.diag(mean.covariance) + errors
    spread_v = (variance.tau + groups.known[whole])[:, None]
    p = 1 / (spread_u * spread_v)
    p = p / p.sum(axis=0)
    cross = np.sum(p * u * raw_v[whole][:, None], axis=0)
    return cross, np.sqrt(np.sum(p**2 * (spread_u * spread_v + cross**2), axis=0))


def _clipped(T_u: np.ndarray, cross: np.ndarray, tau: float) -> tuple[np.ndarray, bool]:
    """Return T_uv, made smaller where T would have a negative eigenvalue, and whether it was."""
    sd = np.sqrt(np.diag(T_u))
    safe = np.where(sd > 0, sd, 1.0)
    values, vectors = np.linalg.eigh(T_u / np.outer(safe, safe))
    kept = values > 1e-10  # nothing can covary with what does not vary
    along = (vectors.T @ (cross / safe))[kept]
    most = float(np.sum(along**2 / values[kept]))
    projected = safe * (vectors[:, kept] @ along)
    if most <= tau and kept.all():
        return cross, False
    share = min(1.0, np.sqrt(tau / most)) if most > 0 else 0.0
    return share * projected, True


def _effects(
    design: Design,
    groups: LogVariances,
    mean: MeanStep,
    T: np.ndarray,
    raw_v: np.ndarray,
    log_variance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return empirical Bayes effects and their standard errors, (J, q) each."""
    J, a, q = len(design.group_labels), len(design.mean_effects), len(T)
    w = np.exp(-log_variance)
    precision, towards = np.zeros((J, q, q)), np.zeros((J, q))
    r = design.y - design.mean.matrix @ mean.gamma
    zz = by_group.products(design.Z, design.Z, design.group, J)
    precision[:, :a, :a] = w[:, None, None] * zz
    towards[:, :a] = w[:, None] * by_group.sums(design.Z * r[:, None], design.group, J)
    if q > a:
        precision[:, a, a] = 1 / groups.known
        towards[:, a] = raw_v / groups.known
    values, vectors = np.linalg.eigh(T)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    conditional = root @ np.linalg.inv(np.eye(q) + root.T @ precision @ root) @ root.T
    found = np.einsum("jab,jb->ja", conditional, towards)
    return found, np.sqrt(np.diagonal(conditional, axis1=1, axis2=2))
