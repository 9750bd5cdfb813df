"""From a pandas frame to checked columns: numbers, or factors with text levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from bridge.errors import ColumnTypeError, DataError, UnknownColumnError, suggest


@dataclass(frozen=True)
class Factor:
    """A categorical column.

    Attributes
    ----------
    codes : (N,) array of int
        Positions in ``levels``; no missing values.
    levels : tuple of str
        The levels in use, the reference first.
    """

    codes: np.ndarray
    levels: tuple[str, ...]


def as_frame(data: Any) -> pd.DataFrame:
    """Return ``data`` as a pandas frame.

    Raises
    ------
    DataError
        Where it is not a table.
    """
    if not isinstance(data, pd.DataFrame):
        if hasattr(data, "to_pandas"):
            data = data.to_pandas()
        else:
            raise DataError(f"Give the data as a pandas frame, not as {type(data).__name__}.")
    return data


def complete_rows(data: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the named columns, rows with a missing value dropped.

    Raises
    ------
    UnknownColumnError
        Where a column is not there; the nearest is suggested.
    DataError
        Where there are two of one name.
    """
    names = list(names)
    for name in names:
        if name not in data.columns:
            known = [str(c) for c in data.columns]
            raise UnknownColumnError(
                f"The data have no column '{name}'.{suggest(name, known)} "
                f"They have: {', '.join(known[:30])}{', …' if len(known) > 30 else ''}."
            )
    used = data[names]
    twice = used.columns[used.columns.duplicated()]
    if len(twice):
        raise DataError(f"The data have two columns called '{twice[0]}'; rename one.")
    return used[used.notna().all(axis=1)]


def is_text(column: pd.Series) -> bool:
    """Tell whether a column becomes a factor: text, categories or truth values."""
    return bool(
        isinstance(column.dtype, pd.CategoricalDtype)
        or pd.api.types.is_bool_dtype(column.dtype)
        or isinstance(column.dtype, pd.StringDtype)
        or (column.dtype == object and all(isinstance(v, str | bool | np.bool_) for v in column))
    )


def as_number(column: pd.Series, infinite: type[DataError] = DataError) -> np.ndarray:
    """Return a numeric column as doubles.

    Parameters
    ----------
    column : pandas.Series
        The column.
    infinite : type of DataError
        What to raise where a value is infinite.

    Raises
    ------
    ColumnTypeError
        Where it holds dates, complex numbers or mixed things.
    DataError
        Where a value is infinite.
    """
    dtype = column.dtype
    is_date = pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(
        dtype
    )
    if is_date or isinstance(dtype, pd.PeriodDtype):
        raise ColumnTypeError(
            f"Column '{column.name}' holds dates or times; turn it into a number first, "
            "such as the days since a start."
        )
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        kinds = sorted({type(v).__name__ for v in column})
        try:
            if any(kind not in ("int", "float", "Decimal") for kind in kinds):
                raise ValueError
            column = column.astype(float)
        except (TypeError, ValueError):
            raise ColumnTypeError(
                f"Column '{column.name}' holds values of type {' and '.join(kinds[:4])}; make "
                "it all numbers or all text."
            ) from None
    values = column.to_numpy(dtype=float)
    if not np.isfinite(values).all():
        where = column.index[int(np.argmin(np.isfinite(values)))]
        raise infinite(f"Column '{column.name}' is infinite in row {where}; mend or drop that row.")
    return values


def as_factor(column: pd.Series) -> Factor:
    """Return a column as a factor with the levels that occur.

    Categories keep their order; text and numbers are sorted; False comes before True.

    Raises
    ------
    ColumnTypeError
        Where it holds dates or mixed things.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        values: list[Any] = list(column.cat.categories)
        codes = column.cat.codes.to_numpy()
    else:
        if not is_text(column):
            as_number(column)
        elif len({isinstance(v, bool | np.bool_) for v in column}) > 1:
            raise ColumnTypeError(
                f"Column '{column.name}' mixes text and truth values; make it all text."
            )
        codes, uniques = pd.factorize(column, sort=True)
        values = list(uniques)
    levels = tuple(_label(v) for v in values)
    if len(set(levels)) < len(levels):
        raise ColumnTypeError(
            f"Column '{column.name}' has two values that read the same as text; rename one."
        )
    return Factor(np.asarray(codes, dtype=np.int64), levels)


def _label(value: Any) -> str:
    """Return a label as the user wrote it; a whole float reads as written by pandas ("1.0")."""
    return (
        value if isinstance(value, str) else str(value.item() if hasattr(value, "item") else value)
    )


def label_texts(value: Any, levels: Sequence[str]) -> list[str]:
    """Return the texts a level may have for a value, the likeliest first.

    1 is also "1.0", 1.0 is also "1"; of truth values 1 is "True" and 0 is "False".
    """
    value = value.item() if hasattr(value, "item") else value
    found = [str(value)]
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return found
    if value == int(value):
        found += [str(int(value)), str(float(value))]
    if value in (0, 1) and set(levels) <= {"False", "True"}:
        found.append(str(bool(value)))
    return found


def positions(column: pd.Series, levels: Sequence[str]) -> np.ndarray:
    """Return the position of every value among known levels, -1 where it is none of them.

    Parameters
    ----------
    column : (N,) pandas.Series
        Without missing values.
    levels : sequence of str
        As `as_factor` made them, of this column or of another one.

    Returns
    -------
    (N,) array of int
    """
    known = {level: place for place, level in enumerate(levels)}
    codes, uniques = pd.factorize(column)
    places = [
        next((known[text] for text in label_texts(value, levels) if text in known), -1)
        for value in uniques
    ]
    return np.asarray(places, dtype=np.int64)[codes]
