"""Numbers that describe the data of a case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.cases.checks import column_of, one_of
from bridge.cases.numbers import Context, Number, quantity
from bridge.design import make_design
from bridge.priors import Priors

if TYPE_CHECKING:
    import pandas as pd

_SUMMARIES = ("mean", "sd", "min", "max", "unique", "count_of_max")
_CORRELATED = ("mean", "variance", "sd")


@quantity("data_count", gives=("value",), of="data")
def data_count(context: Context, of: str = "", where: Mapping[str, Any] | None = None) -> Number:
    """Count rows, or the different values of a column, such as groups.

    Parameters
    ----------
    of : str
        A column; by default rows are counted.
    where : mapping, optional
        Columns and the values that rows must have.
    """
    data = _rows(context, where)
    return Number(float(column_of(data, of).nunique() if of else len(data)))


@quantity("data_summary", gives=("value",), of="data")
def data_summary(
    context: Context,
    column: str,
    summary: str,
    where: Mapping[str, Any] | None = None,
    group: str = "",
) -> Number:
    """Return a summary of one column.

    Parameters
    ----------
    column : str
        Which.
    summary : {"mean", "sd", "min", "max", "unique", "count_of_max"}
        The SD divides by N - 1; "unique" counts different values, "count_of_max" the rows at the
        highest one.
    where : mapping, optional
        Columns and the values that rows must have.
    group : str, optional
        Count each group once, by its first row: for a column that is constant in groups.
    """
    one_of(summary, _SUMMARIES, "summary")
    data = _rows(context, where)
    if group:
        data = data.drop_duplicates(group)
    values = column_of(data, column)
    found = {
        "mean": values.mean,
        "sd": values.std,
        "min": values.min,
        "max": values.max,
        "unique": values.nunique,
        "count_of_max": (values == values.max()).sum,
    }
    return Number(float(found[summary]()))


@quantity("group_size", gives=("value",), of="data")
def group_size(context: Context, group: str, summary: str) -> Number:
    """Return the mean, lowest or highest number of rows of a group.

    Parameters
    ----------
    group : str
        The grouping column.
    summary : {"mean", "min", "max"}
        Over groups.
    """
    one_of(summary, ("mean", "min", "max"), "summary")
    return Number(float(column_of(context.data, group).value_counts().agg(summary)))


@quantity("data_correlation", gives=("value",), of="data")
def data_correlation(context: Context, first: str, second: str) -> Number:
    """Return Pearson's correlation of two columns over rows."""
    return Number(float(column_of(context.data, first).corr(column_of(context.data, second))))


@quantity("correlation_of_group_summaries", gives=("value",), of="data")
def correlation_of_group_summaries(
    context: Context, column: str, group: str, first: str = "mean", second: str = "variance"
) -> Number:
    """Return Pearson's correlation over groups of two summaries of a column, groups equal.

    Parameters
    ----------
    column, group : str
        Of what, and by which column.
    first, second : {"mean", "variance", "sd"}
        The summaries; variance and SD divide by n_j - 1, and groups of one row are left out.
    """
    for word in (first, second):
        one_of(word, _CORRELATED, "a summary")
    grouped = column_of(context.data, column).groupby(column_of(context.data, group))
    found = {"mean": grouped.mean(), "variance": grouped.var(), "sd": grouped.std()}
    return Number(float(found[first].corr(found[second])))


@quantity("standardised_difference", gives=("value",), of="data")
def standardised_difference(
    context: Context, column: str, by: str, high: Any, low: Any, decimals: int | None = None
) -> Number:
    """Return the difference of a column's means between two groups of rows, in SDs of all rows.

    Parameters
    ----------
    column, by : str
        Of what, and which column says the group.
    high, low : object
        Its values; the mean at ``low`` is subtracted from that at ``high``.
    decimals : int, optional
        To how many the two means and the SD are rounded first, as where print divides its rounded
        numbers.
    """
    values = column_of(context.data, column)
    key = column_of(context.data, by)
    parts = [float(values[key == high].mean()), float(values[key == low].mean()), values.std()]
    if decimals is not None:
        parts = [float(np.round(part, decimals)) for part in parts]
    return Number((parts[0] - parts[1]) / float(parts[2]))


def _rows(context: Context, where: Mapping[str, Any] | None) -> pd.DataFrame:
    data = context.data
    for column, value in (where or {}).items():
        data = data[column_of(data, column) == value]
    return data


@quantity("level2_count", gives=("value",), of="data")
def level2_count(context: Context, level2: str, parameters: bool = False) -> Number:
    """Count the variances and correlations of the group effects, or the coefficients of functions.

    Parameters
    ----------
    level2 : str
        Their level-2 functions, which the case's main model need not have: ``"~ sector"``.
    parameters : bool
        Whether the coefficients kappa are counted, not the functions.
    """
    spec = context.case.model().replace(level2=level2, priors=Priors())
    design = make_design(spec, context.data)
    return Number(float(len(design.kappa_terms if parameters else design.tau_pairs)))
