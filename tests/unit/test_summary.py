"""The summary: what was fitted, how it went, and a scale beside every number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.result import Result
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

DATA = pd.DataFrame(
    {
        "y": np.random.default_rng(7).normal(size=30),
        "x": np.linspace(0, 1, 30),
        "g": np.repeat(range(6), 5),
    }
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.34567, "12.346"),
        (-12.34567, "-12.346"),
        (0.123456, "0.1235"),
        (0.000123456, "0.00012346"),
        (0, "0.000"),
        (1e7, "1e+07"),
        (1234567.8, "1.2346e+06"),
        (None, "<NA>"),
        (pd.NA, "<NA>"),
        (float("nan"), "<NA>"),
    ],
)
def test_digits(value: Any, text: str) -> None:
    assert digits(value) == text


def test_columns_are_aligned() -> None:
    rows = aligned([["a", "1.5"], ["long", "10"]])
    assert rows == ["a     1.5", "long   10"]
    assert aligned([["a", "b", "1"], ["cc", "d", "22"]], left=2) == ["a   b   1", "cc  d  22"]


def fitted(variance: str = "~ 1 + x + (1 | s | g)", **options: Any) -> Result:
    spec = ModelSpec("y ~ x + (1 | s | g)", variance)
    return bridge.fit(spec, DATA, "fake", **({"chains": 2, "draws": 50, "seed": 9} | options))


def test_every_parameter_has_its_scale_beside_it() -> None:
    made = fitted()
    text = made.summary()
    for _, row in made.estimates.iterrows():
        (line,) = (ln for ln in text.split("\n") if ln.strip().startswith(row["parameter"] + " "))
        cells = line.strip().removeprefix(row["parameter"]).strip()
        assert cells.startswith(row["scale"])
        numbers = cells.removeprefix(row["scale"]).split()
        assert numbers[:4] == [digits(row[n]) for n in ("estimate", "se", "lower", "upper")]


def test_the_head_says_what_was_fitted() -> None:
    text = fitted().summary()
    for part in (
        "y ~ x + (1 | s | g)",
        "log variance ~ 1 + x + (1 | s | g)",
        "Engine: fake (fake 1)",
        "2 chains of 1000 warm-up and 50 kept draws, seed 9",
        "Rows: 30; groups (g): 6; dropped for missing values: 0",
        "Mean function",
        "Log-variance function (level 1)",
        "Level 2",
        "R-hat",
        "Warning: These draws are canned",
    ):
        assert part in text


def test_missing_cells_and_their_reason() -> None:
    text = fitted(draws=4).summary()
    assert "<NA>" in text
    assert "too few or equal draws." in text


def test_restricted_likelihood_is_named() -> None:
    made = replace(fitted(), method="REML", ml={"loglik": -10.0, "n_parameters": 5})
    assert "restricted maximum likelihood (REML)" in made.summary()
    assert "restricted log-likelihood -10.0000; REML criterion 20.0000; AIC 30.00" in made.summary()


def test_without_groups_none_are_named() -> None:
    made = bridge.fit(ModelSpec("y ~ x"), DATA, "fake", draws=10, seed=1)
    assert "Rows: 30; no groups; dropped" in made.summary()


def test_a_line_break_in_a_label_does_not_break_the_table() -> None:
    assert aligned([["a\nb", "1"], ["c", "22"]]) == ["a?b   1", "c    22"]
