"""Numbers of models fitted to simulated data: the printed truth recovered, print as one draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bridge.cases.checks import one_of
from bridge.cases.numbers import DATA, PRINT, Context, Number, quantity, simulate
from bridge.errors import NotAvailable

#: How many data sets a column draws where its case does not say.
_REPLICATIONS = 200
_CELLS = ("estimate", "se", "lower", "upper")
#: From the canonical scale to that of other software: value, and its derivative.
_NATIVE: Mapping[str, tuple[Any, Any]] = {
    "as it is": (lambda x: x, np.ones_like),
    "log SD": (lambda x: x / 2, lambda x: np.full_like(x, 0.5)),
    "SD": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "SD of log SD": (lambda x: np.sqrt(x) / 2, lambda x: 0.25 / np.sqrt(x)),
}


@quantity("recovered", gives=("value", "se"))
def recovered(context: Context, of: str) -> Number:
    """Return the mean of a parameter's estimates over simulated data sets.

    Parameters
    ----------
    of : str
        The parameter, whose printed value is the truth that data are drawn with.

    Notes
    -----
    Over R data sets, of which ``[settings.replications]`` of the case says the number by column,
    the Monte Carlo error of the mean is the SD of the estimates over sqrt(R), so that a printed
    truth is reproduced where bias is below four of these. The note says in how many of the data
    sets the 95% interval holds the truth of ``[simulate.truth]``.
    """
    table = _replications(context)
    own = table[table["parameter"] == of]
    estimates = own["estimate"].to_numpy(dtype=float)
    if not len(estimates):
        raise NotAvailable(f"Column {context.column} has no estimates of '{of}'.")
    spread, R = _spread(estimates), len(estimates)
    error = float(own["se"].iloc[0]) if R == 1 else spread / np.sqrt(R)
    note = f"mean of {R} data sets"
    truth = context.case.simulate.get("truth", {}).get(of)
    if truth is not None and own[["lower", "upper"]].notna().all(axis=None):
        inside = (own["lower"].astype(float) <= truth) & (own["upper"].astype(float) >= truth)
        note += f"; {inside.mean():.1%} of the 95% intervals hold the truth"
    return Number(float(estimates.mean()), float(error), se=spread, note=note)


@quantity("of_one_data_set", gives=("value",))
def of_one_data_set(
    context: Context, of: str, cell: str = "estimate", native: str = "as it is"
) -> Number:
    """Return what one data set of a design may give, for print that shows one such fit.

    Parameters
    ----------
    of : str
        The parameter.
    cell : {"estimate", "se", "lower", "upper"}
        Which number of it.
    native : {"as it is", "log SD", "SD", "SD of log SD"}
        The scale of print: coefficients of a log variance halved, a variance's root, or half that.

    Notes
    -----
    The mean m over R simulated data sets, and as Monte Carlo error s sqrt(1 + 1/R) with their SD s:
    print is one draw more of the same design, so it is reproduced where it lies within four
    of these of m. From a single data set s is the standard error of the estimate, and of a standard
    error it is that divided by sqrt(2 (J - 1)) with J groups. Standard errors change scale by the
    delta method. Data sets without such a number, as where a correlation is one, are left out;
    more than half must have it.
    """
    one_of(cell, _CELLS, "cell")
    one_of(native, _NATIVE, "native")
    table = _replications(context)
    own = table.loc[table["parameter"] == of, list(_CELLS)].astype(float)
    value, slope = _NATIVE[native]
    found = own["se"] * slope(own["estimate"]) if cell == "se" else value(own[cell])
    everywhere = len(found)
    values = found[np.isfinite(found)].to_numpy()
    if 2 * len(values) <= everywhere:
        raise NotAvailable(
            f"Column {context.column} has a {cell} of '{of}' in {len(values)} of {everywhere} "
            "data sets alone."
        )
    R, spread = len(values), _spread(values)
    if R == 1:
        spread = float(own["se"].iloc[0] * slope(own["estimate"].iloc[0]))
        if cell == "se":
            spread /= np.sqrt(2 * (context.case.simulate["design"]["groups"] - 1))
    error = float(spread * np.sqrt(1 + 1 / R))
    return Number(float(values.mean()), error, note=f"one data set, after {R} simulated ones")


@quantity("of_one_fit", gives=("value",))
def of_one_fit(context: Context, of: str, cell: str) -> Number:
    """Return a diagnostic of the draws of one parameter of the first simulated data set.

    Parameters
    ----------
    of : str
        The parameter.
    cell : {"r_hat", "ess_bulk", "ess_tail", "mcse"}
        Which.
    """
    one_of(cell, ("r_hat", "ess_bulk", "ess_tail", "mcse"), "cell")
    _replications(context)
    table = context.memo["first fit"]
    if cell not in table:
        raise NotAvailable(f"Column {context.column} has no draws.")
    return Number(float(table.set_index("parameter").loc[of, cell]))


def _replications(context: Context) -> pd.DataFrame:
    """Return the estimates of every simulated data set of a column, drawn and fitted once."""
    if "replications" not in context.memo:
        if context.refit is None or context.column in (PRINT, DATA):
            raise NotAvailable("Simulated data are fitted by an engine.")
        case = context.case
        R = int(case.settings.get("replications", {}).get(context.column, _REPLICATIONS))
        tables = []
        for seed in range(1, R + 1):
            fitted = context.refit(case.model(), simulate(case, seed), seed).estimates
            if seed == 1:
                context.memo["first fit"] = fitted
            tables.append(fitted[["parameter", *_CELLS]].assign(data_set=seed))
        context.memo["replications"] = pd.concat(tables, ignore_index=True)
    return context.memo["replications"]


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
