"""Numbers about the groups of a fit: intraclass correlations, and which groups differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bridge import names
from bridge.cases.checks import one_of
from bridge.cases.numbers import DATA, PRINT, Context, Number, quantity
from bridge.cases.per_draw import of_draws
from bridge.errors import NotAvailable, suggest
from bridge.posterior_parts import draws_of, posterior_of

if TYPE_CHECKING:
    from bridge.result import Result

#: How groups are summarised in one number.
_SUMMARIES: dict[str, Callable[[np.ndarray], Any]] = {
    "min": np.min,
    "max": np.max,
    "mean": np.mean,
    "median": np.median,
}
_NORMAL = float(stats.norm.ppf(0.975))
#: What a group's mean or variance is compared with.
_INTERCEPT = names.flat("gamma", names.INTERCEPT)
_REFERENCES = ("average", "median")


@dataclass(frozen=True, eq=False)
class _Groups:
    """Log variances of the groups, each with its group effects.

    Attributes
    ----------
    u, v : (chain, draw, J) or (J,) arrays
        The intercepts of the mean and of the log variance; zero where the model has none.
    fixed : the same
        w_j'delta.
    intercept : (chain, draw) array or float
        gamma_00.
    tau_u, tau_v : (chain, draw) arrays or floats
        Their variances.
    """

    u: np.ndarray
    v: np.ndarray
    fixed: np.ndarray
    intercept: Any
    tau_u: Any
    tau_v: Any

    @property
    def variance(self) -> np.ndarray:
        """Return sigma2_j = exp(w_j'delta + v_j)."""
        return np.exp(self.fixed + self.v)


@quantity("group_icc", gives=("value",), level2=True)
def group_icc(context: Context, summary: str, fit: str = "main") -> Number:
    """Return the lowest, highest, mean or median intraclass correlation of the groups.

    Parameters
    ----------
    summary : {"min", "max", "mean", "median"}
        Over groups.
    fit : str
        A model with random intercepts alone, whose log variance has predictors of groups alone.

    Notes
    -----
    rho_j = tau_u00 / (tau_u00 + sigma2_j) (Leckie et al. 2014, section 5); of a posterior the mean
    over draws by group, and its Monte Carlo error that of the group summarised (of the mean and
    the median that of the typical group, which is too large).
    """
    one_of(summary, _SUMMARIES, "summary")
    groups = _groups(context, fit)
    tau = np.asarray(groups.tau_u)[..., None]
    icc = tau / (tau + groups.variance)
    if icc.ndim == 1:
        return Number(float(_SUMMARIES[summary](icc)))
    means = icc.mean(axis=(0, 1))
    value = float(_SUMMARIES[summary](means))
    nearest = int(np.argmin(np.abs(means - value)))
    return Number(value, of_draws(icc[..., nearest]).mc_error)


@quantity("average_icc", level2=True)
def average_icc(context: Context, at: str = "average", fit: str = "main") -> Number:
    """Return the intraclass correlation at the average (or median) level-1 variance.

    Notes
    -----
    tau_u00 / (tau_u00 + s) with s = exp(delta_00 + tau_v00 / 2), or exp(delta_00) for the median,
    in a model whose log variance has an intercept alone.
    """
    one_of(at, _REFERENCES, "at")
    if context.column == PRINT:
        tau_u, tau_v = (context.estimate(_tau(letter)) for letter in "uv")
        delta = context.estimate(names.flat("delta", names.INTERCEPT))
        return Number(_icc_at(tau_u, delta, tau_v if at == "average" else 0.0))
    groups = _groups(context, fit)
    if np.ptp(groups.fixed, axis=-1).any():
        raise NotAvailable("With predictors in the log variance there is no one average variance.")
    half = groups.tau_v if at == "average" else 0.0
    found = _icc_at(groups.tau_u, groups.fixed[..., 0], half)
    return of_draws(found) if np.ndim(found) else Number(float(found))


@quantity("groups_that_differ", gives=("value",), level2=True)
def groups_that_differ(
    context: Context, of: str, reference: str = "average", rule: str = "interval", fit: str = "main"
) -> Number:
    """Count the groups whose mean or variance differs from that of the population.

    Parameters
    ----------
    of : {"mean", "variance"}
        The group's mean beta_j = gamma_00 + u_j, or the log of its variance, w_j'delta + v_j.
    reference : {"average", "median"}
        For a variance what it is compared with: w_j'delta + tau_v00 / 2, the log of the average, or
        w_j'delta, that of the median; for a mean it is gamma_00.
    rule : {"interval", "normal", "line"}
        The equal-tailed 95% interval of the difference excludes zero; or the difference is above
        1.96 of its posterior SDs; or, as in a caterpillar plot with a line, the equal-tailed
        interval of the group's own value excludes the estimated reference. Maximum likelihood has
        one rule: 1.96 standard errors of the effect, the parameters as known.

    Notes
    -----
    With z_j the distance in SDs, of n effective draws, a decision turns over with the probability
    p_j of a normal deviate beyond | |z_j| - 1.96 | / sqrt((1 + z_j^2 / 2) / n); the Monte Carlo
    error is sqrt(sum_j p_j (1 - p_j)).
    """
    one_of(of, ("mean", "variance"), "of")
    one_of(reference, _REFERENCES, "reference")
    one_of(rule, ("interval", "normal", "line"), "rule")
    result = _result(context, fit)
    to_average = of == "variance" and reference == "average"
    if result.method != "posterior":
        return _differ_by_errors(result, of, to_average)
    groups = _groups(context, fit)
    shift = np.asarray(groups.tau_v)[..., None] / 2 if to_average else np.zeros((1, 1, 1))
    away = (groups.u if of == "mean" else groups.v) - shift
    if rule == "line":
        # the group's own value less the posterior mean of the reference
        level = shift + (groups.intercept[..., None] if of == "mean" else groups.fixed)
        away = away + level - level.mean(axis=(0, 1))
    return _count_beyond(away, "normal" if rule == "normal" else "quantiles")


def _count_beyond(away: np.ndarray, interval: str) -> Number:
    """Count the groups whose distances (chain, draw, J) are not about zero."""
    mean, spread = away.mean(axis=(0, 1)), away.std(axis=(0, 1), ddof=1)
    z = np.abs(mean) / spread
    if interval == "normal":
        differ = z > _NORMAL
    else:
        lower, upper = np.quantile(away, [0.025, 0.975], axis=(0, 1))
        differ = (lower > 0) | (upper < 0)
    size = [(s / of_draws(away[..., j]).mc_error) ** 2 for j, s in enumerate(spread)]
    turned = stats.norm.sf(np.abs(z - _NORMAL) / np.sqrt((1 + z**2 / 2) / np.array(size)))
    return Number(float(differ.sum()), float(np.sqrt((turned * (1 - turned)).sum())))


@quantity("groups_with_positive_slope", gives=("value",), level2=True)
def groups_with_positive_slope(
    context: Context, coefficient: str, effect: str, probability: float = 0.5, fit: str = "main"
) -> Number:
    """Count the groups whose own slope is likely above zero: the coefficient plus its effect.

    Parameters
    ----------
    coefficient : str
        Such as ``delta[standlrt]``.
    effect : str
        Such as ``v:standlrt``.
    probability : float
        Above which a positive slope is counted, of a posterior; of maximum likelihood it is that
        of a normal deviate with the standard error of the effect, the parameters as known.

    Notes
    -----
    The Monte Carlo error is sqrt(sum_j t_j (1 - t_j)) with t_j the probability that the share P_j
    of n effective draws, of error sqrt(P_j (1 - P_j) / n), lies on the other side.
    """
    result = _result(context, fit)
    table = result.group_effects[result.group_effects["effect"] == effect]
    if table.empty:
        raise NotAvailable(f"There is no effect '{effect}'.{suggest(effect, result.effects)}")
    if result.method != "posterior":
        slope = result.estimate(coefficient) + table["estimate"].to_numpy(dtype=float)
        if table["se"].isna().any():
            raise NotAvailable(f"{result.engine} gives no standard errors of these group effects.")
        share = stats.norm.cdf(slope / table["se"].to_numpy(dtype=float))
        return Number(float((share > probability).sum()))
    letter, place = effect[0], [e for e in result.effects if e[0] == effect[0]].index(effect)
    slopes = posterior_of(result)[letter].values[..., place]
    slopes = slopes + draws_of(result, [coefficient])[coefficient][..., None]
    share = (slopes > 0).mean(axis=(0, 1))
    spread = slopes.std(axis=(0, 1), ddof=1)
    size = [(s / of_draws(slopes[..., j]).mc_error) ** 2 for j, s in enumerate(spread)]
    error = np.sqrt(np.maximum(share * (1 - share), 1e-12) / np.array(size))
    turned = stats.norm.sf(np.abs(share - probability) / error)
    count = float((share > probability).sum())
    return Number(count, float(np.sqrt((turned * (1 - turned)).sum())))


# --- the groups of a fit ------------------------------------------------------------------------
def _result(context: Context, fit: str) -> Result:
    if context.column in (PRINT, DATA):
        raise NotAvailable("The groups are those of a fit.")
    return context.result(fit)


def _groups(context: Context, fit: str) -> _Groups:
    """Return the groups of a fit with random intercepts."""
    from bridge.design_of import design_of

    result = _result(context, fit)
    known = {names.effect(letter, names.INTERCEPT) for letter in "uv"}
    if not set(result.effects) <= known or result.level2_terms:
        raise NotAvailable("This number is of models with random intercepts and a constant T.")
    design = design_of(result)
    rows = np.unique(design.group, return_index=True)[1]
    w = design.variance.matrix[rows]
    if not np.array_equal(w[design.group], design.variance.matrix):
        raise NotAvailable("The log variance differs within groups, so that no group has one.")
    delta = [names.flat("delta", label) for label in design.variance.labels]
    parts = _of_posterior(result, delta) if result.method == "posterior" else _at(result, delta)
    parts["fixed"] = parts.pop("delta") @ w.T
    zero = np.zeros_like(parts["fixed"])
    return _Groups(**{"u": zero, "v": zero, "tau_u": zero[..., 0], "tau_v": zero[..., 0], **parts})


def _of_posterior(result: Result, delta: list[str]) -> dict[str, Any]:
    posterior = posterior_of(result)
    known = draws_of(result, [*delta, *(_tau(effect[0]) for effect in result.effects)])
    found: dict[str, Any] = {"delta": np.stack([known[name] for name in delta], axis=-1)}
    found["intercept"] = draws_of(result, [_INTERCEPT])[_INTERCEPT]
    for effect in result.effects:
        letter = effect[0]
        found[letter] = posterior[letter].values[..., 0]
        found[f"tau_{letter}"] = known[_tau(letter)]
    return found


def _at(result: Result, delta: list[str]) -> dict[str, Any]:
    table = result.group_effects
    found: dict[str, Any] = {"delta": np.array([result.estimate(name) for name in delta])}
    found["intercept"] = result.estimate(_INTERCEPT)
    for effect in result.effects:
        own = table.loc[table["effect"] == effect, "estimate"]
        found[effect[0]] = own.to_numpy(dtype=float)
        found[f"tau_{effect[0]}"] = result.estimate(_tau(effect[0]))
    return found


def _differ_by_errors(result: Result, of: str, to_average: bool) -> Number:
    """Count by standard errors of the group effects, the parameters as known."""
    letter = "u" if of == "mean" else "v"
    table = result.group_effects[
        result.group_effects["effect"] == names.effect(letter, names.INTERCEPT)
    ]
    if table.empty or table["se"].isna().any():
        raise NotAvailable(f"{result.engine} gives no standard errors of these group effects.")
    shift = result.estimate(_tau("v")) / 2 if to_average else 0.0
    away = table["estimate"].to_numpy(dtype=float) - shift
    return Number(float((np.abs(away) > _NORMAL * table["se"].to_numpy(dtype=float)).sum()))


def _tau(letter: str) -> str:
    effect = names.effect(letter, names.INTERCEPT)
    return names.flat("tau", names.pair(effect, effect))


def _icc_at(tau_u: Any, delta: Any, tau_v: Any) -> Any:
    return tau_u / (tau_u + np.exp(delta + tau_v / 2))
