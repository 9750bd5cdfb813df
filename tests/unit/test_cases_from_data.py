"""Numbers that describe the data of a case, against numbers worked by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from bridge.cases.numbers import DATA, Context, compute
from bridge.errors import DataFileError, OptionError
from bridge.spec import ModelSpec

FRAME = pd.DataFrame(
    {
        "g": [1, 1, 1, 2, 2, 3, 3, 3, 3],
        "w": [0, 0, 0, 0, 0, 1, 1, 1, 1],
        "x": [1.0, 2.0, 3.0, 4.0, 6.0, 0.0, 2.0, 4.0, 6.0],
        "y": [2.0, 4.0, 6.0, 8.0, 12.0, 0.0, 4.0, 8.0, 12.0],
    }
)


def number(name: str, **arguments: Any) -> float:
    """Compute a number of the frame."""
    model = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)")
    case: Any = SimpleNamespace(name="a/b", model=lambda: model)
    return compute(name, Context(case, FRAME, {}, DATA), arguments).value


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("data_count", {}, 9),
        ("data_count", {"of": "g"}, 3),
        ("data_count", {"of": "g", "where": {"w": 0}}, 2),
        ("data_summary", {"column": "x", "summary": "mean"}, 28 / 9),
        ("data_summary", {"column": "x", "summary": "sd", "where": {"g": 1}}, 1),
        ("data_summary", {"column": "w", "summary": "mean", "group": "g"}, 1 / 3),
        ("data_summary", {"column": "x", "summary": "min"}, 0),
        ("data_summary", {"column": "x", "summary": "max"}, 6),
        ("data_summary", {"column": "x", "summary": "unique"}, 6),
        ("data_summary", {"column": "x", "summary": "count_of_max"}, 2),
        ("group_size", {"group": "g", "summary": "mean"}, 3),
        ("group_size", {"group": "g", "summary": "min"}, 2),
        ("group_size", {"group": "g", "summary": "max"}, 4),
        ("data_correlation", {"first": "x", "second": "y"}, 1),
        # means 2, 5, 3 and variances 1, 2, 20/3: -2/9 over the root of 14/3 times 18.2963
        ("correlation_of_group_summaries", {"column": "x", "group": "g"}, -0.02405),
        # means 3.2 and 3 of w = 0, 1; SD of all rows 2.0883
        (
            "standardised_difference",
            {"column": "x", "by": "w", "high": 1, "low": 0},
            -0.2 / 2.08833,
        ),
        (
            "standardised_difference",
            {"column": "x", "by": "w", "high": 1, "low": 0, "decimals": 0},
            0,
        ),
        # three effects have 3 variances and 3 correlations, each with a constant and a slope
        ("level2_count", {"level2": "~ w"}, 6),
        ("level2_count", {"level2": "~ w", "parameters": True}, 12),
    ],
)
def test_numbers_by_hand(name: str, arguments: dict[str, Any], expected: float) -> None:
    assert number(name, **arguments) == pytest.approx(expected, abs=2e-4)


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(DataFileError, match=r"no column 'xx'.*'x'"):
        number("data_summary", column="xx", summary="mean")


def test_a_summary_that_is_none() -> None:
    with pytest.raises(OptionError, match=r"summary is one of mean, sd"):
        number("data_summary", column="x", summary="mena")
