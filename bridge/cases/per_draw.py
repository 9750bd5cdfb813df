"""Functions of parameters: draw by draw where there are draws, plugged in where there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import arviz_compat
from bridge.cases.numbers import PRINT, Context, Number
from bridge.posterior_parts import draws_of

if TYPE_CHECKING:
    from bridge.result import Result

#: Of parameter values by flat name: numbers, or draws (chain, draw).
Function = Callable[[Mapping[str, Any]], Any]

#: How the names of level-2 parameters begin.
LEVEL2 = ("tau[", "rho[", "kappa[")
#: The step of a derivative, in standard errors.
_STEP = 1e-3


def evaluate(
    context: Context, parameters: Sequence[str], function: Function, fit: str = "main"
) -> Number:
    """Return a function of parameters.

    Parameters
    ----------
    context : Context
        Whose fit, or printed estimates.
    parameters : sequence of str
        Flat names of what the function reads.
    function : callable
        Of a mapping from these names to numbers or arrays of numbers, element by element.
    fit : str
        The fit's name in the case.

    Returns
    -------
    Number
        Of a posterior the mean and SD over draws of the function at each draw, and the Monte
        Carlo error of that mean; of other fits its value at the estimates, and the standard error
        by the delta method where the estimates have covariances; in the column of printed numbers
        its value at these.

    Raises
    ------
    NotAvailable
        Where the fit has no such parameter.
    """
    context.level2.update(name for name in parameters if name.startswith(LEVEL2))
    if context.column == PRINT:
        printed = {name: context.estimate(name, fit) for name in parameters}
        return Number(float(function(printed)), note="from the printed numbers")
    result = context.result(fit)
    if result.method == "posterior":
        known = draws_of(result, parameters)
        return of_draws(np.asarray(function(known), dtype=float))
    found = {name: result.estimate(name) for name in parameters}
    return Number(float(function(found)), se=_delta_se(result, found, function))


def of_draws(draws: np.ndarray, note: str = "") -> Number:
    """Return the mean of draws (chain, draw), its Monte Carlo error and their SD."""
    if np.ptp(draws) == 0:
        return Number(float(draws.flat[0]), se=0.0, note=note)
    error = arviz_compat.diagnostics(draws)["mcse"]
    return Number(float(draws.mean()), float(error), float(draws.std(ddof=1)), note)


def _delta_se(result: Result, known: Mapping[str, float], function: Function) -> float | None:
    """Return the standard error of a function of estimates: sqrt(g' V g), g by differences."""
    covariance = result.parameter_covariance
    if covariance is None or not set(known) <= set(covariance.index):
        return None
    V = covariance.loc[list(known), list(known)].to_numpy(dtype=float)
    if not np.isfinite(V).all():
        return None
    slopes = []
    for name, step in zip(known, _STEP * np.sqrt(np.diag(V)), strict=True):
        if step == 0:  # a parameter that is not estimated
            slopes.append(0.0)
            continue
        ahead, behind = ({**known, name: known[name] + sign * step} for sign in (1, -1))
        slopes.append((float(function(ahead)) - float(function(behind))) / (2 * step))
    return float(np.sqrt(np.array(slopes) @ V @ np.array(slopes)))
