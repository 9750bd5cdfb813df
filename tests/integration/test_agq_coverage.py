"""Coverage of agq's 95% intervals in the simulation of Leckie et al. (2014), section 4."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "validation" / "coverage" / "agq.py"
TERMS = ("Intercept", "w", "x", "w:x")
COEFFICIENTS = [f"{variable}[{term}]" for variable in ("gamma", "delta") for term in TERMS]


@cache
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_agq", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@cache
def model_b() -> pd.DataFrame:
    fits = study().study(1000, ["B"])["B"]
    found = study().summarise("B", fits)
    print(f"\n{study().counts('B', fits)}\n{study().table(found)}", flush=True)
    return found


@pytest.mark.parametrize("parameter", COEFFICIENTS)
def test_the_interval_of_a_coefficient_covers_as_often_as_it_says(parameter: str) -> None:
    assert 0.925 <= model_b().loc[parameter, "coverage"] <= 0.97


def test_the_record_is_of_this_run() -> None:
    assert study().table(model_b()) in study().RECORD.read_text(encoding="utf-8")
