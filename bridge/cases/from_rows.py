"""Numbers of single rows and groups that print lists."""

from __future__ import annotations

from bridge import datasets
from bridge.cases.checks import column_of, one_of
from bridge.cases.numbers import Context, Number, quantity
from bridge.errors import DataFileError


@quantity("cell", gives=("value",), of="data")
def cell(context: Context, row: int, column: str) -> Number:
    """Return one cell of the data of a case.

    Parameters
    ----------
    row : int
        The number of the row among the rows of the case, from 1.
    column : str
        Its column.
    """
    return Number(float(column_of(context.data, column).iloc[_row(context, row)]))


@quantity("row_of_all_data", gives=("value",), of="data")
def row_of_all_data(context: Context, row: int) -> Number:
    """Return the number of a row in the whole data set, of which the case has a subset of groups.

    Parameters
    ----------
    row : int
        The number of the row among the rows of the case, from 1.

    Notes
    -----
    The rows of a subset keep their order, so the row is found by its group and by how many rows of
    its group come before it.
    """
    here, everything = _row(context, row), datasets.load(context.case.data)
    school = context.data["school"]
    before = int((school.iloc[:here] == school.iloc[here]).sum())
    found = everything.index[everything["school"] == school.iloc[here]]
    return Number(float(found[before] + 1))


@quantity("data_group_summary", gives=("value",), of="data")
def data_group_summary(context: Context, column: str, group: str, summary: str) -> Number:
    """Return the mean over groups, all equal, of a column's mean or variance in each.

    Parameters
    ----------
    column, group : str
        Of what, and by which column.
    summary : {"mean", "variance"}
        The variance divides by n_j - 1.
    """
    one_of(summary, ("mean", "variance"), "summary")
    grouped = column_of(context.data, column).groupby(column_of(context.data, group))
    return Number(float((grouped.mean() if summary == "mean" else grouped.var()).mean()))


def _row(context: Context, row: int) -> int:
    if not 1 <= row <= len(context.data):
        raise DataFileError(
            f"The case's data have rows 1 to {len(context.data)}, and no row {row}."
        )
    return row - 1
