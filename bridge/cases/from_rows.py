"""Numbers that are listed in print: cells of the data, and numbers of rows."""

from __future__ import annotations

from bridge import datasets
from bridge.cases.checks import column_of
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


def _row(context: Context, row: int) -> int:
    if not 1 <= row <= len(context.data):
        raise DataFileError(
            f"The case's data have rows 1 to {len(context.data)}, and no row {row}."
        )
    return row - 1
