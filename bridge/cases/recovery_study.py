"""Numbers of simulation studies: what becomes of estimates, standard errors and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bridge import study_table
from bridge.cases.checks import one_of
from bridge.cases.numbers import DATA, PRINT, Context, Number, quantity, simulate
from bridge.errors import NotAvailable

#: How many data sets a column draws where its case does not say.
_REPLICATIONS = 100
#: What print calls a cell of the table -> its column in that of `bridge.study_table`.
_WHAT = {"mean": "mean", "sd": "sd", "se": "mean_se", "coverage": "coverage"}
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
    Of R replications, ``[settings.replications]`` of the case by column. Monte Carlo errors are
    those of `bridge.study_table.study_table`; times sqrt(R) they are ``se``, from which print's own
    follow.
    """
    one_of(what, _WHAT, "what")
    table = _replications(context, fit)
    own = table[table["parameter"] == of]
    if own.empty or own["se"].isna().any():
        raise NotAvailable(f"Column {context.column} has no standard errors of '{of}'.")
    R, cell = own["data_set"].nunique(), _WHAT[what]
    found = study_table.numbers(own, float(context.case.simulate["truth"].get(of, np.nan)))
    times = 100 if what == "coverage" else 1
    value, error = times * found[cell], times * found[f"{cell}_mc"]
    return Number(value, error, se=error * float(np.sqrt(R)), note=f"{R} replications")


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
