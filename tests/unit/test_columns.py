"""From pandas to numbers and factors, whatever the type."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge.columns import as_factor, as_frame, as_number, complete_rows, is_text
from bridge.errors import ColumnTypeError, DataError, UnknownColumnError

TEXT = [
    (pd.Series(["a", "b"]), True),
    (pd.Series(["a", "b"], dtype="object"), True),
    (pd.Series(["a", "b"], dtype="string"), True),
    (pd.Series(["a", "b"], dtype="category"), True),
    (pd.Series([1, 2], dtype="category"), True),
    (pd.Series([True, False]), True),
    (pd.Series([True, False], dtype="boolean"), True),
    (pd.Series([True, False], dtype="object"), True),
    (pd.Series([1, 2]), False),
    (pd.Series([1, 2], dtype="object"), False),
    (pd.Series([1.5, 2.5], dtype="Float64"), False),
    (pd.Series([Decimal(1), Decimal(2)]), False),
    (pd.Series([datetime.date(2020, 1, 1)] * 2), False),
    (pd.Series([1, "a"], dtype="object"), False),
]


@pytest.mark.parametrize(("column", "expected"), TEXT)
def test_what_becomes_a_factor(column: pd.Series, expected: bool) -> None:
    assert is_text(column) is expected


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2], dtype="uint8"),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1.0, 2.0], dtype="float32"),
        pd.Series([1, 2], dtype="object"),
        pd.Series([1, 2.0], dtype="object"),
        pd.Series([Decimal(1), Decimal(2)]),
    ],
)
def test_numbers_of_every_type(column: pd.Series) -> None:
    found = as_number(column)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, 2])


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (pd.date_range("2020", periods=2), "dates or times"),
        (pd.date_range("2020", periods=2, tz="UTC"), "dates or times"),
        (pd.to_timedelta([1, 2], "s"), "dates or times"),
        (pd.period_range("2020", periods=2), "dates or times"),
        ([datetime.date(2020, 1, 1)] * 2, "type date"),
        ([1 + 1j, 2], "type complex"),
        ([1, "a"], "type int and str"),
        ([[1], [2]], "type list"),
        (["1", "2"], "type str"),
    ],
)
def test_what_is_no_number(values: Any, part: str) -> None:
    column = pd.Series(values, name="when")
    with pytest.raises(ColumnTypeError, match="Column 'when'") as caught:
        as_number(column)
    assert part in str(caught.value)


def test_infinity_is_named_by_its_row() -> None:
    with pytest.raises(DataError, match="infinite in row seven"):
        as_number(pd.Series([1.0, -np.inf], index=["six", "seven"], name="x"))


@pytest.mark.parametrize(
    ("column", "levels", "codes"),
    [
        (pd.Series(["b", "a", "b"]), ("a", "b"), [1, 0, 1]),
        (pd.Series(["B", "a", "_"]), ("B", "_", "a"), [0, 2, 1]),
        (pd.Series([True, False, True]), ("False", "True"), [1, 0, 1]),
        (pd.Series([True, False, True], dtype="object"), ("False", "True"), [1, 0, 1]),
        (pd.Series([3, 1, 20]), ("1", "3", "20"), [1, 0, 2]),
        (pd.Series([1.0, 2.5, 1.0]), ("1.0", "2.5"), [0, 1, 0]),
        (pd.Series([3, 1, 20], dtype="category"), ("1", "3", "20"), [1, 0, 2]),
        (pd.Series(pd.Categorical(["q", "p", "q"], ["r", "q", "p"])), ("q", "p"), [0, 1, 0]),
        (pd.Series(["x", "x", "x"]), ("x",), [0, 0, 0]),
    ],
)
def test_factors(column: pd.Series, levels: tuple, codes: list) -> None:
    found = as_factor(column)
    assert found.levels == levels
    np.testing.assert_array_equal(found.codes, codes)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        (pd.Categorical([1, "1"]), "read the same as text"),
        ([True, "a"], "mixes text and truth"),
        ([1, "a"], "int and str"),
        (pd.date_range("2020", periods=2), "dates"),
    ],
)
def test_what_is_no_factor(values: Any, part: str) -> None:
    with pytest.raises(ColumnTypeError, match=part):
        as_factor(pd.Series(values, name="f"))


def test_frames() -> None:
    frame = pd.DataFrame({"a": [1, None], "b": [1, 2]})
    assert as_frame(frame) is frame
    assert list(complete_rows(frame, ["b", "a"]).columns) == ["b", "a"]
    assert len(complete_rows(frame, ["a"])) == 1
    assert len(complete_rows(frame, ["b"])) == 2
    with pytest.raises(UnknownColumnError, match="Did you mean 'b'"):
        complete_rows(frame, ["bb"])
    with pytest.raises(DataError, match="not as dict"):
        as_frame({"a": [1]})


def test_a_table_that_can_become_pandas() -> None:
    class Table:
        def to_pandas(self) -> pd.DataFrame:
            return pd.DataFrame({"a": [1]})

    assert as_frame(Table())["a"].tolist() == [1]
