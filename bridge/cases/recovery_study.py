"""Numbers of simulation studies: what becomes of estimates, standard errors and intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bridge import names
from bridge.cases.checks import one_of
from bridge.cases.numbers import DATA, PRINT, Context, Number, quantity, simulate, simulator
from bridge.errors import NotAvailable

if TYPE_CHECKING:
    from bridge.published_tables import PublishedTable

#: How many data sets a column draws where its case does not say.
_REPLICATIONS = 100
_WHAT = ("mean", "sd", "se", "coverage")
_CELLS = ["estimate", "se", "lower", "upper"]


@simulator("schools_with_predictors")
def schools_with_predictors(
    case: PublishedTable,  # noqa: ARG001 - the design is in the other arguments
    seed: int,
    groups: int,
    size: int,
    intraclass: float,
    truth: Mapping[str, float],
) -> pd.DataFrame:
    """Draw students in schools, with a predictor of each and their product in both functions.

    Parameters
    ----------
    case : PublishedTable
        Not read.
    seed : int
        At least 0; the same seed gives the same data.
    groups, size : int
        Schools, and students in each.
    intraclass : float
        Intraclass correlation of x.
    truth : mapping of str to float
        By flat names: ``gamma`` and ``delta`` of Intercept, w, x and w:x, and the variances
        ``tau[u:Intercept,u:Intercept]`` and ``tau[v:Intercept,v:Intercept]``.

    Returns
    -------
    pandas.DataFrame
        (groups * size, 4), by school: school (from 1), w, x, y.

    Notes
    -----
    x_ij and w_j are standard normal, u_j and v_j independent and normal, and

    y_ij = gamma_00 + gamma_01 w_j + gamma_10 x_ij + gamma_11 w_j x_ij + u_j + r_ij,

    log var(r_ij) = delta_00 + delta_01 w_j + delta_10 x_ij + delta_11 w_j x_ij + v_j

    (Leckie et al. 2014, section 4).
    """
    rng = np.random.default_rng(seed)
    school = np.repeat(np.arange(groups), size)
    between, w = rng.standard_normal((2, groups))
    x = np.sqrt(intraclass) * between[school]
    x = x + np.sqrt(1 - intraclass) * rng.standard_normal(len(school))
    columns = {names.INTERCEPT: np.ones(len(x)), "w": w[school], "x": x, "w:x": w[school] * x}
    fixed = {
        letter: sum(truth[names.flat(letter, term)] * column for term, column in columns.items())
        for letter in ("gamma", "delta")
    }
    effects = {}
    for letter in "uv":
        label = names.effect(letter, names.INTERCEPT)
        variance = truth[names.flat("tau", names.pair(label, label))]
        effects[letter] = np.sqrt(variance) * rng.standard_normal(groups)[school]
    spread = np.exp((fixed["delta"] + effects["v"]) / 2)
    y = fixed["gamma"] + effects["u"] + spread * rng.standard_normal(len(x))
    return pd.DataFrame({"school": school + 1, "w": w[school], "x": x, "y": y})


@quantity("study", gives=("value",))
def study(context: Context, of: str, what: str, fit: str = "main") -> Number:
    """Return a cell of a simulation study's table.

    Parameters
    ----------
    of : str
        The parameter, whose true value is in ``[simulate.truth]``.
    what : {"mean", "sd", "se", "coverage"}
        Over replications: the mean of the estimates, their SD, the mean of the standard errors
        (posterior SDs), or the percentage of 95% intervals that hold the truth.
    fit : str
        The model fitted to every data set.

    Notes
    -----
    Of R replications, ``[settings.replications]`` of the case by column. The Monte Carlo errors are
    s / sqrt(R) of a mean, s / sqrt(2 R) of the SD s, and sqrt(p (1 - p) / R) of a share k / R, with
    p = (k + 1) / (R + 2), never zero or one. The ``se`` is that error for R = 1, from which print's
    own follows.
    """
    one_of(what, _WHAT, "what")
    table = _replications(context, fit)
    own = table[table["parameter"] == of]
    if own.empty or own["se"].isna().any():
        raise NotAvailable(f"Column {context.column} has no standard errors of '{of}'.")
    R = own["data_set"].nunique()
    if what == "coverage":
        truth = context.case.simulate["truth"][of]
        inside = ((own["lower"] <= truth) & (truth <= own["upper"])).to_numpy(dtype=float)
        p = (inside.sum() + 1) / (R + 2)
        value, spread = 100 * inside.mean(), 100 * np.sqrt(p * (1 - p))
    elif what == "sd":
        value = own["estimate"].std(ddof=1)
        spread = value / np.sqrt(2)
    else:
        cell = own["estimate" if what == "mean" else "se"]
        value, spread = cell.mean(), cell.std(ddof=1)
    note = f"{R} replications"
    return Number(float(value), float(spread / np.sqrt(R)), se=float(spread), note=note)


def _replications(context: Context, fit: str) -> pd.DataFrame:
    """Return the estimates of one model in every data set of a column, drawn and fitted once."""
    if context.refit is None or context.column in (PRINT, DATA):
        raise NotAvailable("Simulated data are fitted by an engine.")
    key = f"study of {fit}"
    if key not in context.memo:
        case = context.case
        R = int(case.settings.get("replications", {}).get(context.column, _REPLICATIONS))
        tables = []
        for seed in range(1, R + 1):
            fitted = context.refit(case.model(fit), simulate(case, seed), seed).estimates
            part = fitted[["parameter"]].assign(data_set=seed)
            part[_CELLS] = fitted[_CELLS].astype(float)
            tables.append(part)
        context.memo[key] = pd.concat(tables, ignore_index=True)
    return context.memo[key]
