"""Numbers that compare fits of one engine: criteria, standard errors, likelihoods."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from bridge.cases.numbers import Context, Number, quantity
from bridge.cases.per_draw import of_draws
from bridge.errors import NotAvailable
from bridge.posterior_parts import draws_of

if TYPE_CHECKING:
    from bridge.ratio_test import LikelihoodRatio
    from bridge.result import Result

#: The criterion passes over every row and draw, and several numbers of a case read it.
_DIC: WeakKeyDictionary[Result, Number] = WeakKeyDictionary()


@quantity("dic", gives=("value",))
def dic(context: Context, fit: str = "main") -> Number:
    """Return the DIC of a posterior, given the group effects; see `bridge.criteria`."""
    result = context.result(fit)
    if result not in _DIC:
        from bridge.criteria import criteria

        row = criteria(result, "dic", progress=False).table.iloc[0]
        _DIC[result] = Number(float(row["estimate"]), float(row["mc_error"]))
    return _DIC[result]


@quantity("dic_difference", gives=("value",))
def dic_difference(context: Context, first: str, second: str) -> Number:
    """Return the DIC of one fit less that of another, drawn independently."""
    one, other = dic(context, first), dic(context, second)
    return Number(one.value - other.value, float(np.hypot(one.mc_error, other.mc_error)))


@quantity("standard_error", gives=("value",), level2=True)
def standard_error(context: Context, parameter: str, fit: str = "main") -> Number:
    """Return the posterior SD or standard error of a parameter.

    Notes
    -----
    The Monte Carlo error of a posterior SD s is m / (2 s), with m that of the mean of the squared
    deviations.
    """
    result = context.result(fit)
    row = result.estimates[result.estimates["parameter"] == parameter]
    if row.empty or row["se"].isna().all():
        raise NotAvailable(f"{result.engine} gives no standard error of '{parameter}'.")
    spread = float(row["se"].iloc[0])
    if result.method != "posterior":
        return Number(spread)
    draws = draws_of(result, [parameter])[parameter]
    squares = of_draws((draws - draws.mean()) ** 2)
    return Number(spread, squares.mc_error / (2 * spread))


@quantity("standard_error_reduction", gives=("value",), level2=True)
def standard_error_reduction(context: Context, parameter: str, small: str, large: str) -> Number:
    """Return by how much the standard error is smaller in one fit than in another, in percent.

    Parameters
    ----------
    parameter : str
        Flat name, in both fits.
    small : str
        The fit that ignores something, such as group effects in the log variance.
    large : str
        The fit that has it.

    Notes
    -----
    100 (1 - SE_small / SE_large): spurious precision (Leckie et al. 2014, section 4).
    """
    less, more = (standard_error(context, parameter, fit) for fit in (small, large))
    share = less.value / more.value
    error = share * np.hypot(less.mc_error / less.value, more.mc_error / more.value)
    return Number(100 * (1 - share), 100 * float(error))


@quantity("likelihood_ratio_statistic", gives=("value",))
def likelihood_ratio_statistic(context: Context, small: str, large: str = "main") -> Number:
    """Return twice the difference of the log-likelihoods; see `bridge.likelihood_ratio`."""
    return Number(_test(context, small, large).statistic)


@quantity("likelihood_ratio_p", gives=("value",))
def likelihood_ratio_p(context: Context, small: str, large: str = "main") -> Number:
    """Return the p of the likelihood ratio test, of a mixture where a variance is tested."""
    test = _test(context, small, large)
    return Number(test.p_value, note=test.distribution)


@quantity("deviance_of_fewer_rows", gives=("value",))
def deviance_of_fewer_rows(context: Context, fewer: int, fit: str = "main") -> Number:
    """Return minus twice the log-likelihood as software gives it that counts fewer constants.

    Parameters
    ----------
    fewer : int
        By how many rows the constant (N / 2) log(2 pi) is too short.

    Notes
    -----
    -2 log L - k log(2 pi); HLM's has k = 1 with N rows. Ratios of likelihoods do not change.
    """
    return Number(context.result(fit).deviance - fewer * float(np.log(2 * np.pi)))


def _test(context: Context, small: str, large: str) -> LikelihoodRatio:
    from bridge.likelihood_ratio import likelihood_ratio

    return likelihood_ratio(context.result(small), context.result(large), progress=False)
