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

import numpy as np

from bridge import group_sums
from bridge.design import Design
from bridge.errors import DataError
from bridge.two_step_mean import MeanStep, mean_step
from bridge.two_step_variance import LogVariances, VarianceStep, log_variances, variance_step


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
    zz = group_sums.products(design.Z, design.Z, design.group, J)[whole]
    r = design.y - design.mean.matrix @ mean.gamma
    zr = group_sums.sums(design.Z * r[:, None], design.group, J)[whole]
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
    zz = group_sums.products(design.Z, design.Z, design.group, J)
    precision[:, :a, :a] = w[:, None, None] * zz
    towards[:, :a] = w[:, None] * group_sums.sums(design.Z * r[:, None], design.group, J)
    if q > a:
        precision[:, a, a] = 1 / groups.known
        towards[:, a] = raw_v / groups.known
    values, vectors = np.linalg.eigh(T)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    conditional = root @ np.linalg.inv(np.eye(q) + root.T @ precision @ root) @ root.T
    found = np.einsum("jab,jb->ja", conditional, towards)
    return found, np.sqrt(np.diagonal(conditional, axis1=1, axis2=2))
