"""A table on its way to R: numbers, whole numbers and factors, nothing else.

What R would otherwise guess is decided here: text and truth values are factors with explicit
levels, and a missing whole number is marked, not encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bridge.errors import ColumnTypeError

if TYPE_CHECKING:
    import pandas as pd

_INT32 = 2**31 - 1  # R's integers; -2**31 is how R writes NA
_EXACT = 2**53  # beyond it doubles skip whole numbers, and two ids could become one


@dataclass(frozen=True)
class Column:
    """One column of a `Frame`.

    Attributes
    ----------
    name : str
        Its name.
    kind : {"double", "integer", "factor"}
        What it is in R.
    values : numpy.ndarray, shape (n,)
        float64 (missing is NaN); or int32; or int32 codes from 0, -1 where missing.
    levels : tuple of str
        Labels of a factor, the reference first, unused ones too.
    missing : numpy.ndarray of bool, shape (n,), optional
        Where an integer is missing; None when it never is.
    """

    name: str
    kind: Literal["double", "integer", "factor"]
    values: np.ndarray
    levels: tuple[str, ...] = ()
    missing: np.ndarray | None = None


Frame = list[Column]


def frame_from_pandas(df: pd.DataFrame) -> Frame:
    """Turn a pandas frame into columns that R can hold without loss.

    Parameters
    ----------
    df : pandas.DataFrame, shape (n, m)
        Truth values, text and categoricals become factors (a categorical keeps its order and
        unused levels, text is sorted); whole numbers become integers where 32 bits hold them.

    Returns
    -------
    list of Column
        In the order of the frame; the index is left behind.

    Raises
    ------
    ColumnTypeError
        A column holds dates, complex numbers, mixed objects, or integers beyond 2**53; or two
        columns have one name.
    """
    names = [str(name) for name in df.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ColumnTypeError(f"Two columns are named '{twice[0]}'; rename one of them.")
    return [_column(name, df.iloc[:, i]) for i, name in enumerate(names)]


def _column(name: str, series: pd.Series[Any]) -> Column:
    import pandas as pd

    kind = pd.api.types
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        labels = [str(label) for label in dtype.categories]
        return _factor(name, series.cat.codes.to_numpy(), labels)
    if kind.is_bool_dtype(dtype):
        codes = series.astype("Int8").to_numpy(dtype=np.int32, na_value=-1)
        return _factor(name, codes, ["False", "True"])
    if kind.is_integer_dtype(dtype):
        return _integer(name, series)
    if kind.is_float_dtype(dtype):
        return Column(name, "double", series.to_numpy(dtype=np.float64, na_value=np.nan))
    content = kind.infer_dtype(series, skipna=True)
    if content == "string":
        labels = sorted(set(series.dropna()))
        return _factor(name, pd.Categorical(series, categories=labels).codes, labels)
    if content == "boolean":  # Python's truth values with None among them
        return _column(name, series.astype("boolean"))
    raise ColumnTypeError(_refusal(name, content, dtype))


def _integer(name: str, series: pd.Series[Any]) -> Column:
    missing = series.isna().to_numpy(dtype=bool)
    values = series.fillna(0).to_numpy()
    largest = max(abs(int(values.min())), abs(int(values.max()))) if len(values) else 0
    if largest > _EXACT:
        raise ColumnTypeError(
            f"Column '{name}' holds whole numbers beyond 2**53, which R cannot tell apart; "
            f'if they are labels, make them text: data["{name}"].astype(str).'
        )
    if largest > _INT32:
        return Column(name, "double", np.where(missing, np.nan, values.astype(np.float64)))
    mask = missing if missing.any() else None
    return Column(name, "integer", values.astype(np.int32), missing=mask)


def _factor(name: str, codes: np.ndarray, labels: list[str]) -> Column:
    if len(set(labels)) < len(labels):
        raise ColumnTypeError(
            f"Two categories of column '{name}' are the same as text; rename one of them."
        )
    if any("\0" in label for label in labels):
        raise ColumnTypeError(
            f"A label of column '{name}' holds a null character, which R cannot keep; remove it."
        )
    return Column(name, "factor", np.asarray(codes, dtype=np.int32), tuple(labels))


def _refusal(name: str, content: str, dtype: Any) -> str:
    if content.startswith(("datetime", "date", "time", "period")):
        return (
            f"Column '{name}' holds dates or durations ({dtype}); turn it into a number first, for "
            f'example days since the first: (data["{name}"] - data["{name}"].min()).dt.days.'
        )
    if content == "empty":
        return f"Column '{name}' is empty; drop it, or give it a type with .astype(float)."
    return (
        f"Column '{name}' holds {content} values ({dtype}); make it one type, for example "
        f'data["{name}"].astype(float), or .astype(str) for labels.'
    )
