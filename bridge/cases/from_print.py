"""Numbers that follow from printed ones: derived quantities and other wordings of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bridge import names
from bridge.cases.checks import one_of
from bridge.cases.numbers import PRINT, Context, Number, quantity
from bridge.cases.per_draw import evaluate
from bridge.errors import NotAvailable

#: Functions that read other cases, and which of their arguments name those.
OF_TABLES = {"difference_between_tables": ("first", "second")}
#: The 90th percentile of a standard normal variable.
_DECILE = float(stats.norm.ppf(0.9))
_ENDS = {"lower": -1.0, "upper": 1.0, "centre": 0.0}


@quantity("interdecile", gives=("value", "se"))
def interdecile(
    context: Context,
    centre: str,
    effect: str,
    end: str,
    exponential: bool = False,
    fit: str = "main",
) -> Number:
    """Return an end of the interdecile range of a normal or lognormal group effect.

    Parameters
    ----------
    centre : str
        The coefficient around which groups vary, such as ``gamma[score11]``.
    effect : str
        The group effect, such as ``u:score11``.
    end : {"lower", "upper"}
        The 10th or the 90th percentile.
    exponential : bool
        Whether it is that of a variance whose log varies.

    Notes
    -----
    b + s z sqrt(tau), or its exponential, with z = 1.2816, the 90th percentile of a standard normal
    variable, and s = -1 or 1 (Leckie, Parker, Goldstein & Tilling, sections 6.1 to 6.4).
    """
    one_of(end, ("lower", "upper"), "end")
    tau = names.flat("tau", names.pair(effect, effect))

    def function(known: Mapping[str, np.ndarray]) -> np.ndarray:
        value = known[centre] + _ENDS[end] * _DECILE * np.sqrt(known[tau])
        return np.exp(value) if exponential else value

    return evaluate(context, [centre, tau], function, fit)


@quantity("width_of_deciles", gives=("value", "se"))
def width_of_deciles(
    context: Context,
    log_variance: str = "",
    effect: str = "",
    end: str = "centre",
    fit: str = "main",
) -> Number:
    """Return the distance between the 10th and the 90th percentile of a normal variable.

    Parameters
    ----------
    log_variance : str
        The coefficient that is the log of its variance; "" where the variance is that of an effect.
    effect : str
        A group effect: of the groups, or, beside ``log_variance``, the one that this varies by.
    end : {"centre", "lower", "upper"}
        Which group's: one at the 50th, 10th or 90th percentile of the log variance.

    Notes
    -----
    2 z sqrt(tau), or 2 z exp((delta + s z sqrt(tau_v)) / 2) with z = 1.2816 and s = 0, -1 or 1
    (Leckie, Parker, Goldstein & Tilling, sections 6.1 and 6.2).
    """
    one_of(end, _ENDS, "end")
    tau = names.flat("tau", names.pair(effect, effect))

    def function(known: Mapping[str, np.ndarray]) -> np.ndarray:
        if not log_variance:
            return 2 * _DECILE * np.sqrt(known[tau])
        spread = np.sqrt(known[tau]) if effect else 0.0
        return 2 * _DECILE * np.exp((known[log_variance] + _ENDS[end] * _DECILE * spread) / 2)

    return evaluate(
        context, [each for each in (log_variance, effect and tau) if each], function, fit
    )


@quantity("total_variance", gives=("value", "se"))
def total_variance(
    context: Context, effect: str, log_variance: str, which: str = "total", fit: str = "main"
) -> Number:
    """Return the variance of an outcome given covariates, or percentages of it.

    Parameters
    ----------
    effect : str
        The random intercept.
    log_variance : str
        The coefficient that is the log of the level-1 variance.
    which : {"total", "groups", "explained"}
        The variance; the percentage of it that lies between groups; or the percentage that the
        covariates explain of an outcome of variance one.

    Notes
    -----
    tau + exp(delta); 100 tau / (tau + exp(delta)); 100 (1 - tau - exp(delta)) (Leckie, Parker,
    Goldstein & Tilling, section 6.1).
    """
    one_of(which, ("total", "groups", "explained"), "which")
    tau = names.flat("tau", names.pair(effect, effect))

    def function(known: Mapping[str, np.ndarray]) -> np.ndarray:
        total = known[tau] + np.exp(known[log_variance])
        if which == "groups":
            return 100 * known[tau] / total
        return 100 * (1 - total) if which == "explained" else total

    return evaluate(context, [tau, log_variance], function, fit)


@quantity("percentage", gives=("value",))
def percentage(context: Context, part: str, of: str) -> Number:
    """Return a printed count in percent of another; counts are exact, not rounded."""
    return Number(100 * quotient(context, part, of).value, note="from the printed counts")


@quantity("quotient", gives=("value",))
def quotient(context: Context, dividend: str, divisor: str) -> Number:
    """Return one printed count divided by another; counts are exact, not rounded."""
    of_print(context)
    # not by context.printed, which would allow for rounding
    one, other = (context.case.value(name, "value") for name in (dividend, divisor))
    return Number(one / other, note="from the printed counts")


@quantity("restated", gives=("value",))
def restated(context: Context, of: str, times: float = 1.0) -> Number:
    """Return a printed number that print gives elsewhere in other digits, or on another scale.

    Parameters
    ----------
    of : str
        Its name.
    times : float
        What it is multiplied by: 2 from a log SD to a log variance.
    """
    of_print(context)
    return Number(times * context.estimate(of), note="from the printed numbers")


@quantity("square_of_draws", gives=("value", "se"))
def square_of_draws(
    context: Context, mean: str, sd: str, times: float = 1.0, spread: bool = False
) -> Number:
    """Return the mean or the SD of the squares of draws whose mean and SD are printed.

    Parameters
    ----------
    mean, sd : str
        Names of the printed numbers.
    times : float
        What a square is multiplied by: 4 from the SD of a log SD to the variance of a log variance.
    spread : bool
        Whether the SD of the squares is meant, not their mean.

    Notes
    -----
    c (m^2 + s^2), whatever the law of the draws; and for normal draws the SD
    c s sqrt(4 m^2 + 2 s^2).
    """
    of_print(context)
    m, s = context.estimate(mean), context.estimate(sd)
    deviation = times * s * float(np.sqrt(4 * m**2 + 2 * s**2))
    if spread:
        return Number(deviation, note="as if draws were normal")
    return Number(times * (m**2 + s**2), se=deviation)


@quantity("product_of_draws", gives=("value", "se"))
def product_of_draws(
    context: Context,
    means: Sequence[str],
    sds: Sequence[str],
    times: float = 1.0,
    spread: bool = False,
) -> Number:
    """Return the mean or the SD of products of draws whose means and SDs are printed.

    Parameters
    ----------
    means, sds : sequence of str
        Names of the printed numbers, such as of a correlation and two SDs.
    times : float
        What the product is multiplied by: 2 from a covariance with a log SD to one with a log
        variance.
    spread : bool
        Whether the SD of the products is meant, not their mean.

    Notes
    -----
    c prod(m_k), and, as c times the root of sum_k (s_k prod_{l != k} m_l)^2, its SD: both as if the
    factors were independent.
    """
    of_print(context)
    m = np.array([context.estimate(name) for name in means])
    s = np.array([context.estimate(name) for name in sds])
    value = times * float(m.prod())
    deviation = abs(value) * float(np.sqrt(((s / m) ** 2).sum()))
    note = "as if the factors were independent"
    return Number(deviation, note=note) if spread else Number(value, se=deviation, note=note)


@quantity("sampler_efficiency", gives=("value",))
def sampler_efficiency(
    context: Context, sds: Sequence[str], errors: Sequence[str], draws: str, summary: str
) -> Number:
    """Return the lowest, mean or highest efficiency of a Markov chain from its printed errors.

    Parameters
    ----------
    sds, errors : sequence of str
        Names of the posterior SDs and of their Monte Carlo standard errors.
    draws : str
        Name of the number of draws.
    summary : {"min", "mean", "max"}
        Over the parameters.

    Notes
    -----
    Effective draws over draws, (s / e)^2 / n (Stata's ``bayesstats ess``).
    """
    of_print(context)
    one_of(summary, ("min", "mean", "max"), "summary")
    s, e = (np.array([context.estimate(name) for name in several]) for several in (sds, errors))
    return Number(float(getattr((s / e) ** 2, summary)()) / context.estimate(draws))


@quantity("sampler_error", gives=("value",))
def sampler_error(context: Context, sd: str, efficiency: str, draws: str) -> Number:
    """Return the Monte Carlo standard error of a posterior mean from the chain's efficiency.

    Notes
    -----
    s / sqrt(n e), with n draws and efficiency e.
    """
    of_print(context)
    effective = context.estimate(draws) * context.estimate(efficiency)
    return Number(context.estimate(sd) / float(np.sqrt(effective)))


@quantity("sum_of_printed", gives=("value",))
def sum_of_printed(context: Context, values: Sequence[float]) -> Number:
    """Return the sum of numbers that print adds up, such as times in seconds."""
    of_print(context)
    return Number(float(sum(values)))


@quantity("product_of_printed", gives=("value",))
def product_of_printed(context: Context, values: Sequence[float]) -> Number:
    """Return the product of numbers that print multiplies, such as groups and their sizes."""
    of_print(context)
    return Number(float(np.prod(values)))


@quantity("difference_between_tables", gives=("value",))
def difference_between_tables(context: Context, of: str, first: str, second: str) -> Number:
    """Return a printed number of one case less that of another.

    Parameters
    ----------
    of : str
        Its name, the same in both, such as ``DIC``.
    first, second : str
        The cases.
    """
    from bridge import published_tables

    of_print(context)
    one, other = (published_tables.load(name, context.case.root).value(of, "value")
                  for name in (first, second))  # fmt: skip
    return Number(one - other, note=f"{first} less {second}")


def of_print(context: Context) -> None:
    """Refuse every column but that of printed numbers.

    Raises
    ------
    NotAvailable
        In another column.
    """
    if context.column != PRINT:
        raise NotAvailable("This number follows from printed ones; it is of the column print.")
