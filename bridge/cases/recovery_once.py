"""Numbers of one simulated data set of full size, for print whose data are not public."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.cases.checks import one_of
from bridge.cases.from_fits import dic
from bridge.cases.from_groups import groups_that_differ
from bridge.cases.numbers import Context, Number, quantity
from bridge.errors import NotAvailable

if TYPE_CHECKING:
    from bridge.result import Result


@quantity("recovered_once", gives=("mean", "sd", "estimate", "se", "value"))
def recovered_once(context: Context, of: str, cell: str = "estimate", fit: str = "main") -> Number:
    """Return the estimate of a parameter from one simulated data set, with its sampling error.

    Parameters
    ----------
    of : str
        The parameter, whose printed value is the truth that the data are drawn with.
    cell : {"estimate", "se"}
        The estimate with its standard error, or this alone, which has no rule of its own.

    Notes
    -----
    One data set is a mean over one replication, so its Monte Carlo error is the standard error
    (the posterior SD) of the estimate, and a printed truth is reproduced where the estimate lies
    within four of them. The standard error itself has no error: it is compared as it is.
    """
    row = _row(context, of, fit)
    se = float(row["se"])
    one_of(cell, ("estimate", "se"), "cell")
    if cell == "se":
        return Number(se, note="one simulated data set")
    note = "one simulated data set; error is the SE"
    return Number(float(row["estimate"]), se, se, note, se_error=0.0)


@quantity("recovered_dic", gives=("value",))
def recovered_dic(context: Context, fit: str = "main") -> Number:
    """Return the DIC of a model fitted to one simulated data set, with its sampling error.

    Notes
    -----
    At the estimates the standardised residuals of N normal rows have squares that add up to about
    N, so that the deviance varies over data sets as N times the mean log variance does. Of that the
    sampling variance is 2 / N: the SD is sqrt(2 N), and the Monte Carlo error comes on top.
    """
    found = dic(context, fit)
    error = float(np.hypot(np.sqrt(2 * context.result(fit).n_obs), found.mc_error))
    return Number(found.value, error, note="one simulated data set; error is sqrt(2 N)")


@quantity("recovered_groups_that_differ", gives=("value",))
def recovered_groups_that_differ(
    context: Context, of: str, reference: str = "average", rule: str = "interval", fit: str = "main"
) -> Number:
    """Count the groups of a simulated data set that differ from the average.

    Parameters
    ----------
    of, reference, rule
        As for ``groups_that_differ``.

    Notes
    -----
    The error is that of a count over J groups, sqrt(J p (1 - p)).
    """
    count = groups_that_differ(context, of, reference, rule, fit).value
    J = context.result(fit).n_groups
    share = count / J
    return Number(count, float(np.sqrt(J * share * (1 - share))), note="one simulated data set")


@quantity("recovered_correlation", gives=("value",))
def recovered_correlation(
    context: Context, first: str, second: str, fit: str = "main", other: str = ""
) -> Number:
    """Return Pearson's correlation over groups of two predicted effects of simulated data.

    Parameters
    ----------
    first, second : str
        Effects, such as ``u:Intercept``; a ``v:`` as exp(v_j), on the scale of variances.
    fit, other : str
        The fits of the first and the second effect; the same where ``other`` is "".

    Notes
    -----
    Its error over J groups is (1 - r^2) / sqrt(J - 1).
    """
    a, b = _effect(context, first, fit), _effect(context, second, other or fit)
    both = pd.concat([a, b], axis=1, join="inner").to_numpy()
    r = float(np.corrcoef(both.T)[0, 1])
    return Number(r, (1 - r**2) / float(np.sqrt(len(both) - 1)), note="one simulated data set")


@quantity("recovered_decile", gives=("value",))
def recovered_decile(
    context: Context,
    effect: str,
    share: float,
    times: float = 1.0,
    centre: str = "",
    fit: str = "main",
) -> Number:
    """Return a quantile over groups of a variance that predicted effects of simulated data make.

    Parameters
    ----------
    effect : str
        A ``u:`` gives c u_j^2, a ``v:`` exp(d + v_j).
    share : float
        Between 0 and 1.
    times : float
        c, the variance of the slope's predictor.
    centre : str
        The coefficient d of the log variance.

    Notes
    -----
    Leckie, Parker, Goldstein & Tilling, section 6.4. Its error is half the distance between the
    quantiles at p -+ sqrt(p (1 - p) / J).
    """
    values = _effect(context, effect, fit).to_numpy()
    if effect.startswith("u:"):
        values = times * values**2
    else:
        values = float(np.exp(context.estimate(centre, fit))) * values
    step = float(np.sqrt(share * (1 - share) / len(values)))
    low, value, high = np.quantile(values, [share - step, share, share + step])
    return Number(float(value), float(high - low) / 2, note="one simulated data set")


def _row(context: Context, of: str, fit: str) -> Mapping[str, Any]:
    result: Result = context.result(fit)
    row = result.estimates[result.estimates["parameter"] == of]
    if row.empty or row["se"].isna().all():
        raise NotAvailable(f"{result.engine} gives no standard error of '{of}'.")
    return row.iloc[0].to_dict()


def _effect(context: Context, effect: str, fit: str) -> pd.Series:
    result = context.result(fit)
    table = result.group_effects[result.group_effects["effect"] == effect]
    if table.empty:
        raise NotAvailable(f"{result.engine} has no effects {effect}.")
    values = table.set_index("group")["estimate"].astype(float)
    return np.exp(values) if effect.startswith("v:") else values
