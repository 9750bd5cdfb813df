"""What a fit says of the mean and of the variance of the outcome, at its rows or at new ones.

With x, w, z, a the design of a row and T the covariance of a group's (u, v), in the notation of
Leckie et al. (2014), whose outcomes are meant decides what mean and variance are:

- known, the row's own group j, one of the fit's: mean x'gamma + z'u_j, variance
  exp(w'delta + a'v_j), in the exponent also the terms of u_j of a latent association.
- average, the group with u = 0 and v = 0: mean x'gamma, which is also the mean over all groups;
  variance exp(w'delta), that of the median group and not the mean over groups.
- new, a group not seen, drawn from the population. The mean is its own, x'gamma + z'u with
  u ~ N(0, T): its estimate is that over the population, x'gamma; its SE and interval hold T. The
  variance is the expected one within a group, E exp(w'delta + a'v) = exp(w'delta + a'T_v a / 2);
  between groups it is z'T_u z, and in total, over the population, their sum. The intervals of these
  three are of parameters alone. The group's own variance is exp(w'delta + a'v) with v ~ N(0, T_v):
  its estimate is the median of its distribution, and its interval holds T as that of the mean does.
  What other laws than the normal and associations make of these is in `bridge.group_population`.

Of a posterior these are functions of each draw; of other fits of the estimates (with known groups
also of the empirical-Bayes effects, at which exp(a'v_j) is taken as it is).
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    import pandas as pd

    from bridge.newdata import NewRows
    from bridge.result import Result

_GROUPS = ("known", "new", "average")


def predict(
    result: Result,
    newdata: Any = None,
    groups: str = "known",
    *,
    draws: bool | int = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the mean and the variance of the outcome at rows, or outcomes drawn there.

    Parameters
    ----------
    result : Result
        Of any engine, also a saved one.
    newdata : pandas.DataFrame or mapping, optional
        Rows with what the model reads; transforms and factors mean what they did at the fit (see
        `bridge.newdata`). A mapping is a profile, each combination of its values a row, as
        ``{"sector": ["Public", "Catholic"], "ses": 0}``. The rows of the fit where left out.
    groups : {"known", "new", "average"}
        Whose outcomes. "known" is the row's own group, named by the grouping column (brms:
        ``re_formula = NULL``): mean x'gamma + z'u_j, variance exp(w'delta + a'v_j). "average" has
        u = 0 and v = 0 (``re_formula = NA``): x'gamma and exp(w'delta), the median group's and not
        the mean variance. "new" is drawn from the population (``sample_new_levels = "gaussian"``),
        also where its label is one of the fit's: ``mean`` is its own mean x'gamma + z'u, with T in
        SE and interval, ``variance`` the expected variance within a group
        exp(w'delta + a'T_v a / 2), ``between`` that of group means z'T_u z, ``total`` their sum,
        ``own_variance`` the group's own exp(w'delta + a'v): its median, with T in SE and interval.
        Student-t effects and latent classes have the populations of their laws.
    draws : bool or int
        Outcomes instead: how many to draw, or True for one for each draw of a posterior (4,000 of
        other fits). They have new residuals, and of "new" groups new effects: rows with one label
        are of one group, and without a grouping column each row is a group of its own.
    seed : int
        Of these draws, and of the new group that is drawn for each draw of a posterior.

    Returns
    -------
    pandas.DataFrame
        One row a row, with the index of the data: for ``mean`` (outcome units) and ``variance``
        (outcome units squared; for "new" also ``between``, ``total`` and ``own_variance``) the
        estimate and ``_se``, ``_lower``, ``_upper`` (95%), and ``note``, which says what they rest
        on. Of a posterior they are the mean, SD and quantiles over draws of the quantity. Of other
        fits the estimate is the quantity at the estimates (and at the empirical-Bayes effects of
        known groups), the SE is by the delta method from the covariance of the estimates and, for
        known groups, that of their effects given the data, with the covariances between the two
        ignored; intervals are normal, of variances on the log scale. ``own_variance`` has the
        median, SD and 95% quantiles of a new group's variance, what is not known of the parameters
        counted. ``<NA>`` where the engine gives no covariance of something that counts, and where a
        number is infinite: the expected variance of Student-t effects v, or of a quadratic
        association with a coefficient of 1/2 or more.

        With ``draws``, one row a draw and one column a row of the data. Of other fits than
        posteriors the parameters are from `Result.asymptotic_draws` (what has no standard error
        stays at its estimate), and the effects of known groups normal around their estimates.

    Raises
    ------
    OptionError
        Where ``groups``, ``draws`` or ``seed`` is not one of its values.
    RequestError
        Where it is given something else than a result.
    DataError
        Or a class below it, where the new data do not fit the model, or a group is not one of the
        fit's.
    NotAvailable
        Where there is no such number: average groups of latent classes, or a result saved without
        what new rows need.

    Notes
    -----
    About 1e7 numbers are held at once, beside what is returned.
    """
    from bridge.newdata import rows_at, rows_of
    from bridge.outcome_draws import outcome_draws
    from bridge.prediction_table import delta_table, posterior_table

    size = _checked(result, groups, draws, seed)
    if isinstance(newdata, Mapping):
        newdata = rows_at(result, newdata)
    rows = rows_of(result, newdata)
    _check_available(result, groups)
    if groups == "known" and result.effects:
        _check_groups(result, rows)
    if size is not None:
        return outcome_draws(result, rows, groups, size, seed)
    if result.method == "posterior":
        return posterior_table(result, rows, groups, seed)
    return delta_table(result, rows, groups, seed)


def _checked(result: Result, groups: Any, draws: Any, seed: Any) -> int | None:
    """Return how many outcomes to draw, None where the table is asked for."""
    from bridge.errors import OptionError, suggest
    from bridge.result import check_result

    check_result(result)
    if groups not in _GROUPS:
        raise OptionError(
            f"predict: groups is one of {', '.join(_GROUPS)}, not {groups!r}."
            f"{suggest(str(groups), _GROUPS)}"
        )
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise OptionError(f"predict: seed is a whole number of at least 0, not {seed!r}.")
    if isinstance(draws, bool):
        return _every(result) if draws else None
    if not isinstance(draws, Integral) or draws < 1:
        raise OptionError(
            f"predict: draws is True, False or a whole number of at least 1, not {draws!r}."
        )
    return int(draws)


def _every(result: Result) -> int:
    from bridge.arviz_compat import groups_of

    if result.method != "posterior":
        return 4000
    sizes = groups_of(result.idata)["posterior"].sizes
    return int(sizes["chain"] * sizes["draw"])


def _check_available(result: Result, groups: str) -> None:
    """Refuse the average group of latent classes, which is none of them."""
    from bridge.errors import NotAvailable

    if result.effects and groups == "average" and result.spec.random_effects == "classes":
        raise NotAvailable(
            'groups="average" is a group with u = 0 and v = 0, and with latent classes no group '
            'has these effects: use groups="new", a group of the mixture, or groups="known".'
        )


def _check_groups(result: Result, rows: NewRows) -> None:
    """Refuse rows of groups that the fit does not know."""
    import numpy as np

    from bridge.errors import DataError, UnknownColumnError, suggest
    from bridge.newdata import group_labels

    group = result.spec.group
    if rows.group is None:
        raise UnknownColumnError(
            f'groups="known" needs the grouping column {group} in newdata, which is not there; add '
            'it, or use groups="new" or "average".'
        )
    if (rows.group < 0).any():
        row = int(np.argmin(rows.group))
        label = rows.labels[row]
        raise DataError(
            f"The fit has no {group} '{label}' (row {rows.index[row]})."
            f"{suggest(label, group_labels(result))} For a group that is not in the fit use "
            'groups="new" or "average".'
        )
