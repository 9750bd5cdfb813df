"""Numbers of simulation studies: what becomes of estimates, standard errors and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bridge.cases.checks import one_of
from bridge.cases.numbers import DATA, PRINT, Context, Number, quantity, simulate
from bridge.errors import NotAvailable

#: How many data sets a column draws where its case does not say.
_REPLICATIONS = 100
_WHAT = ("mean", "sd", "se", "coverage")
_CELLS = ["estimate", "se", "lower", "upper"]


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
