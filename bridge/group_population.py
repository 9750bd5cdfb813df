"""What the law of the group effects makes of means and variances of groups, at rows; pure NumPy.

A group has the mean x'gamma + z'u and the log variance eta + q, eta = w'delta and q = a'v + l(u),
l(u) what a latent association adds. Over groups, with T the covariance matrix of (u, v), of
Student-t effects its scale matrix:

- normal effects: z'u ~ N(0, z'T_u z); q ~ N(0, s), s = a'T_v a or, under a linear association,
  c'Tc with c = (lambda / SD(u), a), on the raw scale (lambda, a). E exp(p q) = exp(p^2 s / 2)
  (Leckie et al. 2014, Appendix).
- quadratic association: q = a'v + l'u + u'Lu with v independent of u, and
  E exp(p q) = |I - 2 p T_u L|^(-1/2) exp(p^2 (l'(I - 2 p T_u L)^-1 T_u l + a'T_v a) / 2) where
  every eigenvalue of p T_u L is below 1/2, infinite elsewhere (Mathai & Provost 1992, chapter
  3); with one u on the standardised scale, where p lambda_2 < 1/2.
- Student-t effects with nu degrees of freedom, one mixing number for all effects of a group: z'u
  and q are t deviates times the roots of z'T_u z and s; Var(z'u) = nu / (nu - 2) z'T_u z where
  nu > 2, infinite elsewhere; E exp(p q) is infinite.
- latent classes: K points with weights pi.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from bridge.newdata import NewRows
from bridge.parameter_sets import Parameters, roots
from bridge.prediction import level2_covariance, sd_of_u


# --- means of groups --------------------------------------------------------------------------
def scale_of_means(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return z'T_u z, (S, n)."""
    shape = (len(sets.gamma), len(rows.X))
    if not sets.result.effects:
        return np.zeros(shape)
    T, qu = level2_covariance(sets, rows), sets.qu
    found = np.einsum("na,snab,nb->sn", rows.Z, T[..., :qu, :qu], rows.Z)
    return np.broadcast_to(found, shape)


def covariance_factor(sets: Parameters) -> np.ndarray:
    """Return by what the covariance matrix of effects exceeds T, (S, 1); infinite of nu <= 2."""
    if sets.result.spec.random_effects != "student_t":
        return np.ones((len(sets.gamma), 1))
    nu = sets.values["nu"].real[:, None]
    return np.where(nu > 2, nu / np.where(nu > 2, nu - 2, 1.0), np.inf)


def between_groups(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return the variance of the means of groups, (S, n)."""
    scale = scale_of_means(sets, rows)
    return np.where(scale == 0, 0.0, scale * covariance_factor(sets))


def mean_quantile(sets: Parameters, rows: NewRows, share: float) -> np.ndarray:
    """Return a quantile of the means of groups, (S, n)."""
    center = sets.gamma @ rows.X.T
    if sets.result.spec.random_effects == "classes":
        pi, points = sets.of_classes()
        return center + _weighted_quantile(pi, points[..., : sets.qu] @ rows.Z.T, share)
    return center + _deviate(sets, share) * root(scale_of_means(sets, rows))


# --- variances of groups ------------------------------------------------------------------------
def exponent(sets: Parameters, rows: NewRows, power: int = 1) -> np.ndarray:
    """Return log E exp(power q), (S, n); infinite where there is no expectation."""
    spec, shape = sets.result.spec, (len(sets.gamma), len(rows.X))
    if not sets.result.effects:
        return np.zeros(shape)
    if spec.random_effects == "classes":
        pi, points = sets.of_classes()
        added = np.exp(power * points[..., sets.qu :] @ rows.A.T)
        found: np.ndarray = np.log(np.einsum("sk,skn->sn", pi, added))
        return found
    if spec.association == "quadratic":
        return np.broadcast_to(_of_squares(sets, rows, power), shape)
    s = scale_of_logs(sets, rows)
    if spec.random_effects == "student_t":
        return np.where(s > 0, np.inf, 0.0)
    return 0.5 * power**2 * s


def expected_variance(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return the mean over groups of the level-1 variance, (S, n)."""
    with np.errstate(over="ignore"):
        found: np.ndarray = np.exp(sets.delta @ rows.W.T + exponent(sets, rows))
    return found


def variance_of_variances(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return the variance over groups of the level-1 variance, (S, n)."""
    one, two = exponent(sets, rows, 1), exponent(sets, rows, 2)
    known = np.isfinite(two)
    one, two = (np.where(known, value, 0.0) for value in (one, two))
    with np.errstate(over="ignore", invalid="ignore"):  # infinite, times nothing or not
        found = np.exp(2 * (sets.delta @ rows.W.T + one)) * np.expm1(two - 2 * one)
    return np.where(known, found, np.inf)


def scale_of_logs(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return s, the variance (of Student-t effects the squared scale) of q, (S, n).

    No quadratic association.
    """
    shape = (len(sets.gamma), len(rows.X))
    if not sets.result.effects:
        return np.zeros(shape)
    T, qu = level2_covariance(sets, rows), sets.qu
    if sets.result.spec.association is None:
        found = np.einsum("na,snab,nb->sn", rows.A, T[..., qu:, qu:], rows.A)
        return np.broadcast_to(found, shape)
    u = np.broadcast_to(_coefficients(sets, rows)[0], (*shape, qu))
    c = np.concatenate([u, np.broadcast_to(rows.A, (len(u), *rows.A.shape))], axis=-1)
    return np.einsum("sna,snab,snb->sn", c, np.broadcast_to(T, (*shape, *T.shape[2:])), c)


def log_variance_quantile(sets: Parameters, rows: NewRows, share: float) -> np.ndarray:
    """Return a quantile of the log variances of groups, (S, n); NaN of a quadratic association."""
    eta, spec = sets.delta @ rows.W.T, sets.result.spec
    if spec.random_effects == "classes":
        pi, points = sets.of_classes()
        return eta + _weighted_quantile(pi, points[..., sets.qu :] @ rows.A.T, share)
    if spec.association == "quadratic":
        return np.full(eta.shape, np.nan)
    return eta + _deviate(sets, share) * root(scale_of_logs(sets, rows))


def root(variance: np.ndarray) -> np.ndarray:
    """Return the root of variances; of one that rounding left below zero it is zero."""
    found: np.ndarray = np.sqrt(np.where(variance.real >= 0, variance, 0.0))
    return found


def _coefficients(sets: Parameters, rows: NewRows) -> tuple[np.ndarray, np.ndarray]:
    """Return l and the diagonal of L, coefficients of u and of its squares, (S, 1 or n, qu)."""
    qu = sets.qu
    linear, squares = sets.lambda_[:, None, :qu], sets.lambda_[:, None, qu:]
    if sets.result.spec.latent_scale == "standardised":
        sd = sd_of_u(sets, rows)
        linear, squares = linear / sd, squares / sd**2 if squares.shape[-1] else squares
    return linear, squares


def _of_squares(sets: Parameters, rows: NewRows, power: int) -> np.ndarray:
    """Return log E exp(power q) of a quadratic association, (S, 1 or n)."""
    T, qu = level2_covariance(sets, rows), sets.qu
    T_u, T_v = T[..., :qu, :qu], T[..., qu:, qu:]
    linear, squares = _coefficients(sets, rows)
    M = np.eye(qu) - 2 * power * T_u * squares[..., None, :]
    exists = np.asarray((np.linalg.eigvals(M.real).real > 0).all(axis=-1))
    M = np.where(exists[..., None, None], M, np.eye(qu))
    inner = np.linalg.solve(M, np.einsum("snab,snb->sna", T_u, linear)[..., None])[..., 0]
    of_u = power**2 * (linear * inner).sum(axis=-1) - np.log(np.linalg.det(M))
    of_v = power**2 * np.einsum("na,snab,nb->sn", rows.A, T_v, rows.A)
    return np.where(exists, 0.5 * (of_u + of_v), np.inf)


def _deviate(sets: Parameters, share: float) -> np.ndarray:
    """Return the quantile of a standard normal or t deviate, (S, 1) or one number."""
    if sets.result.spec.random_effects != "student_t":
        return np.asarray(stats.norm.ppf(share))
    found: np.ndarray = stats.t.ppf(share, sets.values["nu"].real)[:, None]
    return found


def _weighted_quantile(pi: np.ndarray, values: np.ndarray, share: float) -> np.ndarray:
    """Return the least of K values (S, K, n) that a share of the weights does not exceed."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    below = np.take_along_axis(np.broadcast_to(pi[..., None], values.shape), order, axis=1)
    # weights sum to one but for rounding
    first = (below.cumsum(axis=1) < share * (1 - 1e-12)).sum(axis=1, keepdims=True)
    return np.take_along_axis(ordered, np.minimum(first, values.shape[1] - 1), axis=1)[:, 0]


def why_infinite(sets: Parameters) -> str:
    """Return in words why a number of the population may be infinite; nothing where none is."""
    spec, qu = sets.result.spec, sets.qu
    if not sets.result.effects:
        return ""
    if spec.association == "quadratic" and spec.random_effects == "normal":
        return (
            "infinite: in some draw, or at the estimates, the coefficient of a squared effect "
            "leaves the expected exponential no bound (in SDs of one u: 1/2, of its square 1/4)"
        )
    if spec.random_effects != "student_t":
        return ""
    found = []
    if len(sets.result.effects) > qu or spec.association is not None:
        found.append("the exponential of a Student-t effect has no expectation")
    if (sets.values["nu"].real <= 2).any():
        found.append("effects with nu of 2 or less, as some draws have, have no variance")
    return f"infinite: {', and '.join(found)}" if found else ""


# --- one group of each population ---------------------------------------------------------------
#: From rows to the mean and the log variance of one new group for each set, (S, n) each.
OneGroup = Callable[[NewRows], tuple[np.ndarray, np.ndarray]]


def one_group(sets: Parameters, rng: np.random.Generator) -> OneGroup:
    """Return what gives the mean and the log variance of one group drawn for each set.

    The group is the same at all rows but for what the two have in common: mean and log variance
    are each distributed as in the population.

    Parameters
    ----------
    sets : Parameters
        S sets.
    rng : numpy.random.Generator
        For its place in the population.
    """
    S, spec = len(sets.gamma), sets.result.spec
    if spec.random_effects == "classes":
        return _one_class(sets, rng.random((S, 1)))
    place = [rng.standard_normal((S, 1)) for _ in range(2)]
    if spec.random_effects == "student_t":
        nu = sets.values["nu"][:, None]
        place = [z / np.sqrt(rng.chisquare(nu) / nu) for z in place]
    if spec.association == "quadratic":
        return _one_of_squares(sets, rng.standard_normal((S, 1, sets.qu)), place[1])

    def of(rows: NewRows) -> tuple[np.ndarray, np.ndarray]:
        mean = sets.gamma @ rows.X.T + root(scale_of_means(sets, rows)) * place[0]
        return mean, sets.delta @ rows.W.T + root(scale_of_logs(sets, rows)) * place[1]

    return of


def _one_class(sets: Parameters, place: np.ndarray) -> OneGroup:
    pi, points = sets.of_classes()
    chosen = (place > pi.cumsum(axis=1)[:, :-1]).sum(axis=1)
    effects = points[np.arange(len(pi)), chosen]
    u, v = effects[:, : sets.qu], effects[:, sets.qu :]

    def of(rows: NewRows) -> tuple[np.ndarray, np.ndarray]:
        return sets.gamma @ rows.X.T + u @ rows.Z.T, sets.delta @ rows.W.T + v @ rows.A.T

    return of


def _one_of_squares(sets: Parameters, of_u: np.ndarray, of_v: np.ndarray) -> OneGroup:
    def of(rows: NewRows) -> tuple[np.ndarray, np.ndarray]:
        T, qu = level2_covariance(sets, rows), sets.qu
        u = np.einsum("snab,snb->sna", roots(T[..., :qu, :qu]), of_u)
        linear, squares = _coefficients(sets, rows)
        added = (linear * u + squares * u**2).sum(axis=-1)
        spread = np.einsum("na,snab,nb->sn", rows.A, T[..., qu:, qu:], rows.A)
        log_variance = sets.delta @ rows.W.T + added + root(spread) * of_v
        return sets.gamma @ rows.X.T + np.einsum("sna,na->sn", u, rows.Z), log_variance

    return of
