"""The studies beside Table 1: what print says, its Monte Carlo errors, bounds and verdicts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "validation" / "studies" / "compare.py"


@pytest.fixture(scope="module")
def compare():
    spec = importlib.util.spec_from_file_location("studies_compare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(compare):
    """A study that found just what is printed, in 1,000 replications."""
    cells = compare.printed()
    rows = []
    for (model, parameter), own in cells.groupby(["model", "parameter"], sort=False):
        value = own.set_index("cell")["value"]
        numbers = {"mean": value["mean"], "sd": value["sd"], "mean_se": value["se"]}
        numbers["coverage"] = value["coverage"] / 100
        mc = {f"{name}_mc": 0.001 for name in numbers}
        about = {"parameter": parameter, "model": model, "n": 1000, "failed": 0}
        rows += [
            {**about, "engine": engine, "replications": 1000, **numbers, **mc}
            for engine in ("agq", "nuts")
        ]
    return pd.DataFrame(rows)


def test_all_of_table_1_is_compared(compare, table) -> None:
    cells = compare.printed()
    assert len(cells) == 4 * (9 + 10)
    rows = compare.compared(table)
    assert len(rows) == 2 * len(cells) and rows["within"].all()
    judged = rows[(rows["engine"] == "agq") & rows["judged"]]
    assert set(judged["cell"]) == {"mean", "sd", "coverage"}
    assert not judged["parameter"].str.startswith("tau").any()
    assert rows[rows["engine"] == "nuts"]["judged"].all()
    assert compare.verdict(rows) == "124 of 124 numbers are within their bounds: met."


def test_bounds_are_print_s_errors_and_half_a_digit(compare, table) -> None:
    rows = compare.compared(table).set_index(["engine", "model", "parameter", "cell"])["bound"]
    root = 3.5 * np.sqrt(2)
    assert rows["nuts", "A", "delta[w]", "mean"] == pytest.approx(
        root * 0.082 / np.sqrt(1000) + 0.0005
    )
    assert rows["nuts", "A", "delta[w]", "sd"] == pytest.approx(
        root * 0.082 / np.sqrt(2000) + 0.0005
    )
    assert rows["nuts", "A", "delta[w]", "coverage"] == pytest.approx(
        root * 100 * np.sqrt(0.71 * 0.29 / 1000) + 0.5
    )


def test_a_number_that_is_off_is_named(compare, table) -> None:
    moved = table.copy()
    at = (moved["engine"] == "nuts") & (moved["model"] == "A") & (moved["parameter"] == "delta[w]")
    moved.loc[at, "coverage"] = 0.95
    large = moved[(moved["engine"] == "agq")].assign(coverage=0.7)
    text, good = compare.page(moved, large)
    assert not good and "NOT MET: delta[w], Model A, coverage" in text
    assert "| delta[w] | A | coverage | 71 | 95.0 | 0.1 |" in text
    rows = compare.compared_large(large)
    assert rows.set_index("parameter")["within"].to_dict() == {
        "delta[w]": False, "delta[x]": True, "delta[w:x]": True
    }  # fmt: skip
