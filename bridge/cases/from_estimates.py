"""Numbers that are functions of a fit's estimates: sums, ratios, variances over a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy import stats

from bridge import names
from bridge.cases.numbers import DATA, PRINT, Context, Number, compute, quantity
from bridge.cases.per_draw import LEVEL2, Function, evaluate, of_draws
from bridge.errors import NotAvailable

#: A parameter, or an effect, and its weight.
Weights = Mapping[str, float]


@quantity("linear_combination")
def linear_combination(context: Context, terms: Weights, fit: str = "main") -> Number:
    """Return a sum of parameters times weights, sum_k c_k theta_k."""
    return evaluate(context, list(terms), lambda known: _weighted(known, terms), fit)


@quantity("ratio")
def ratio(context: Context, numerator: str, denominator: str, fit: str = "main") -> Number:
    """Return one parameter over another."""
    parameters = [numerator, denominator]
    return evaluate(context, parameters, lambda k: k[numerator] / k[denominator], fit)


@quantity("variance_ratio")
def variance_ratio(context: Context, terms: Weights, fit: str = "main") -> Number:
    """Return exp(sum_k c_k delta_k), by which a variance is multiplied.

    Notes
    -----
    Leckie et al. (2014), note 1. It is the exponential of the estimate, as there; the mean over
    draws of the exponential is the larger by half the posterior variance.
    """
    inner = linear_combination(context, terms, fit)
    value = float(np.exp(inner.value))
    spread = None if inner.se is None else value * inner.se
    return Number(value, value * inner.mc_error, spread, inner.note)


@quantity("standardised_coefficient")
def standardised_coefficient(context: Context, parameter: str, fit: str = "main") -> Number:
    """Return a coefficient of the mean over the SD (N - 1) of the outcome in the data."""
    outcome = str(context.case.spec["mean"]).partition("~")[0].strip()
    spread = float(context.data[outcome].std())
    return evaluate(context, [parameter], lambda known: known[parameter] / spread, fit)


@quantity("population_variance")
def population_variance(
    context: Context,
    delta: Weights,
    effects: Weights | None = None,
    kappa: Weights | None = None,
    fit: str = "main",
) -> Number:
    """Return the population-averaged level-1 variance, exp(w'delta + a'T_v a / 2).

    Parameters
    ----------
    delta : mapping of str to float
        w: coefficients of the log variance to their weights, ``{"delta[Intercept]": 1}``.
    effects : mapping of str to float, optional
        a: effects v to their weights, ``{"v:Intercept": 1}``; by default none.
    kappa : mapping of str to float, optional
        In the place of effects, of one random intercept whose log variance is a level-2
        function: its coefficients to their weights, T_v = exp(sum_k c_k kappa_k).

    Notes
    -----
    The mean of the log-normal variances (Leckie et al. 2014, appendix).
    """
    spread, parameters = _effect_variance(effects, kappa)
    return evaluate(
        context,
        [*delta, *parameters],
        lambda known: np.exp(_weighted(known, delta) + spread(known) / 2),
        fit,
    )


@quantity("variance_of_variances")
def variance_of_variances(
    context: Context, delta: Weights, effects: Weights, fit: str = "main"
) -> Number:
    """Return the population variance of level-1 variances.

    Parameters
    ----------
    delta, effects
        As for `population_variance`.

    Notes
    -----
    {exp(t) - 1} exp(2 w'delta + t) with t = a'T_v a (Leckie et al. 2014, appendix).
    """
    spread, parameters = _effect_variance(effects, None)

    def function(known: Mapping[str, Any]) -> Any:
        t = spread(known)
        return np.expm1(t) * np.exp(2 * _weighted(known, delta) + t)

    return evaluate(context, [*delta, *parameters], function, fit)


@quantity("standard_deviation", gives=("value", "se", "lower", "upper", "p"))
def standard_deviation(
    context: Context, effect: str, z_ratio: bool = False, fit: str = "main"
) -> Number:
    """Return the SD of a group effect, the root of its variance, with a Wald interval on its scale.

    Parameters
    ----------
    effect : str
        Such as ``v:Intercept``.
    z_ratio : bool
        Whether the SD over its standard error is meant, with the two-sided p of that.

    Notes
    -----
    s -+ 1.96 SE(s) with SE(s) by the delta method, of maximum likelihood alone, as MIXREGLS prints
    it; an SD of zero is at the edge of its range, so that the z is no test of it.
    """
    tau = _tau(effect, effect)
    found = evaluate(context, [tau], lambda known: np.sqrt(known[tau]), fit)
    if found.se is None or found.mc_error:
        if z_ratio:
            raise NotAvailable("Only maximum likelihood has a z of an SD.")
        return found
    z = found.value / found.se
    if z_ratio:
        return Number(z, p=float(2 * stats.norm.sf(abs(z))))
    half = float(stats.norm.ppf(0.975)) * found.se
    return replace(found, lower=found.value - half, upper=found.value + half)


@quantity("covariance")
def covariance(context: Context, first: str, second: str, fit: str = "main") -> Number:
    """Return the covariance of two group effects, rho sqrt(tau_aa tau_bb)."""
    rho = names.flat("rho", names.pair(first, second))
    variances = [_tau(first, first), _tau(second, second)]

    def function(known: Mapping[str, Any]) -> Any:
        return known[rho] * np.sqrt(known[variances[0]] * known[variances[1]])

    return evaluate(context, [rho, *variances], function, fit)


@quantity("level2_at", level2=True)
def level2_at(
    context: Context,
    first: str,
    second: str,
    at: Mapping[str, Any],
    correlation: bool = False,
    fit: str = "main",
) -> Number:
    """Return an element of the level-2 covariance matrix at a profile of level-2 predictors.

    Parameters
    ----------
    first, second : str
        The effects; twice the same for a variance.
    at : mapping
        Values of the predictors, as for `Result.level2`.
    correlation : bool
        Whether the correlation is meant, not the covariance.

    Notes
    -----
    Leckie et al. (2014), equations 3.1 to 3.3.
    """
    from bridge.level2_profile import elements_at

    if context.column == PRINT:
        raise NotAvailable("Print has no level-2 functions.")
    result = context.result(fit)
    elements = elements_at(result, at)
    found = elements[first, second]
    if correlation:
        found = found / np.sqrt(elements[first, first] * elements[second, second])
    if result.method == "posterior":
        return of_draws(np.asarray(found))
    return Number(float(found))


@quantity("difference_of_quantities", gives=("value",))
def difference_of_quantities(
    context: Context, function: str, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Number:
    """Return one number less another of the same function with other arguments.

    Parameters
    ----------
    function : str
        Its name.
    first, second : mapping
        Arguments of the two; the Monte Carlo errors are taken as independent.
    """
    one, other = (compute(function, context, arguments) for arguments in (first, second))
    return Number(one.value - other.value, float(np.hypot(one.mc_error, other.mc_error)))


@quantity("reduction_percent", gives=("value",))
def reduction_percent(
    context: Context, function: str, arguments: Mapping[str, Any], before: str, after: str
) -> Number:
    """Return by how much a number is smaller in one fit than in another, in percent of the latter.

    Parameters
    ----------
    function : str
        The function that gives the number.
    arguments : mapping
        Its arguments but ``fit``.
    before, after : str
        The two fits; their Monte Carlo errors are taken as independent.

    Notes
    -----
    100 (1 - after / before).
    """
    old, new = (compute(function, context, {**arguments, "fit": fit}) for fit in (before, after))
    share = new.value / old.value
    error = np.hypot(new.mc_error, share * old.mc_error) / abs(old.value)
    return Number(100 * (1 - share), 100 * float(error))


@quantity("shortfall_percent", gives=("value",))
def shortfall_percent(context: Context, small: str, large: str, fit: str = "main") -> Number:
    """Return by how much one parameter (or printed number) is below another, in percent.

    Notes
    -----
    100 (1 - small / large).
    """
    return evaluate(context, [small, large], lambda k: 100 * (1 - k[small] / k[large]), fit)


@quantity("significant_parameters", gives=("value",))
def significant_parameters(context: Context, parameters: list[str], fit: str = "main") -> Number:
    """Count the parameters whose 95% interval excludes zero."""
    if context.column in (PRINT, DATA):
        raise NotAvailable("Intervals are those of a fit.")
    table = context.result(fit).estimates.set_index("parameter")
    context.level2.update(name for name in parameters if name.startswith(LEVEL2))
    count = 0
    for name in parameters:
        if name not in table.index:
            raise NotAvailable(f"There is no parameter '{name}'.")
        ends = table.loc[name, ["lower", "upper"]]
        if ends.isna().any():
            raise NotAvailable(f"{context.column} gives no interval of '{name}'.")
        lower, upper = map(float, ends)
        count += int(lower > 0 or upper < 0)
    return Number(float(count))


def _weighted(known: Mapping[str, Any], terms: Weights) -> Any:
    return sum(weight * known[name] for name, weight in terms.items())


def _tau(first: str, second: str) -> str:
    return names.flat("tau", names.pair(first, second))


def _effect_variance(effects: Weights | None, kappa: Weights | None) -> tuple[Function, list[str]]:
    """Return a'T_v a as a function of parameters, and these."""
    if kappa:
        return lambda known: np.exp(_weighted(known, kappa)), list(kappa)
    products = {
        _tau(a, b): (1 if a == b else 2) * wa * wb
        for (a, wa), (b, wb) in combinations_with_replacement((effects or {}).items(), 2)
    }
    return lambda known: _weighted(known, products) if products else 0.0, list(products)
