"""The state of a printed number: what is reproduced, argued, not reached, not comparable."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from validate_cases import CASE, HEAD, make_case

from bridge.cases.columns import Cell
from bridge.cases.states import Judged, judge, overall

ROWS = HEAD + (
    "gamma[week],mean,-2.40,1,outcome,S\n"
    "gamma[week],sd,0.20,1,outcome,S\n"
    "gamma[week],lower,-2.80,1,outcome,S\n"
    '"tau[u:Intercept,u:Intercept]",mean,16,1,outcome²,S\n'
    "DIC,value,2000,2,deviance,S\n"
    "constant of flat,p,<0.001,2,probability,S\n"
)
ARGUED = CASE + '[argued]\n"gamma[week].mean" = { why = "a misprint", within = 0.1 }\n'


def judged(tmp_path: Path, row: int, case: str = CASE, **cell) -> Judged:
    """Judge a cell of an engine against one row of the table."""
    table = make_case(tmp_path, case, ROWS)
    printed = table.frame.to_dict("records")[row]
    given = {"mc_error": 0.0, "method": "posterior", "component": "mean"} | cell
    return judge(table, printed, Cell(printed["parameter"], printed["statistic"], **given))


# half a digit 0.005; print's Monte Carlo error 0.2 / sqrt(1000) = 0.00632; ours 0.008
MEAN = {"mc_error": 0.008, "sd": 0.19}
TOLERANCE = 0.005 + 4 * math.hypot(0.008, 0.2 / math.sqrt(1000))


def test_within_half_a_digit_and_four_errors_of_both_sides(tmp_path):
    found = judged(tmp_path, 0, value=-2.40 + 0.9 * TOLERANCE, **MEAN)
    assert found.state == "reproduced"
    assert found.tolerance == pytest.approx(TOLERANCE)
    assert found.in_sds == pytest.approx(0.9 * TOLERANCE / 0.2)
    assert found.in_mc_errors == pytest.approx(0.9 * TOLERANCE / math.hypot(0.008, 0.2 / 1000**0.5))


@pytest.mark.parametrize(
    ("row", "case", "cell", "state"),
    [
        (0, CASE, {"value": -2.40 + 1.1 * TOLERANCE, **MEAN}, "not reached"),
        (0, ARGUED, {"value": -2.40 + 1.1 * TOLERANCE, **MEAN}, "argued"),
        (0, ARGUED, {"value": -2.40, **MEAN}, "reproduced"),
        (0, ARGUED, {"value": -2.501, **MEAN}, "not reached"),  # further off than it is argued
        (0, CASE, {"value": None}, "none"),
        # too few draws say nothing, however near
        (0, CASE, {"value": -2.40, "mc_error": 0.03, "sd": 0.2}, "not reached"),
        (0, CASE, {"value": -2.40, "mc_error": float("nan"), "sd": 0.2}, "not reached"),
        # print that says how many of its draws are effective
        (
            0,
            CASE.replace('"posterior"', '"posterior"\neffective_draws = 100000'),
            {"value": -2.40 + 0.9 * TOLERANCE, **MEAN},
            "not reached",
        ),
        # maximum likelihood against a posterior
        (0, CASE, {"value": -2.41, "method": "ML", "sd": 0.2}, "reproduced"),
        (0, CASE, {"value": -2.45, "method": "ML", "sd": 0.2}, "not comparable"),
        (0, CASE, {"value": -2.50, "method": "ML", "sd": 0.2}, "not reached"),
        (3, CASE, {"value": 16.0, "method": "ML", "component": "level2"}, "not comparable"),
        # functions: those of level 2 differ as it does, others by more than 0.3 SDs
        (
            0,
            CASE,
            {"value": -2.50, "method": "ML", "component": "level2 function"},
            "not comparable",
        ),
        (0, CASE, {"value": -2.40, "method": "ML", "component": "level2 function"}, "reproduced"),
        (0, CASE, {"value": -2.50, "component": "level2 function"}, "not reached"),
        (
            0,
            CASE,
            {"value": -2.45, "method": "ML", "sd": 0.2, "component": "function"},
            "not comparable",
        ),
        (0, CASE, {"value": -2.50, "method": "ML", "component": "function"}, "not reached"),
        # the other way round
        (
            3,
            CASE.replace('"posterior"', '"ML"'),
            {"value": 16.0, "component": "level2"},
            "not comparable",
        ),
        (3, CASE, {"value": 16.4, "component": "level2", "sd": 3.0, "mc_error": 0.1}, "reproduced"),
        # without an SD, print is taken to be as exact as the engine: 0.5 + 4 sqrt(2) 0.4
        (4, CASE, {"value": 2002.7, "component": "fit", "mc_error": 0.4}, "reproduced"),
        (4, CASE, {"value": 2002.8, "component": "fit", "mc_error": 0.4}, "not reached"),
        (5, CASE, {"value": 0.0009, "method": ""}, "reproduced"),
        (5, CASE, {"value": 0.0011, "method": ""}, "not reached"),
        # what the rounding of other printed numbers can do
        (0, CASE, {"value": -2.42, "method": "", "rounding": 0.016}, "reproduced"),
        (0, CASE, {"value": -2.42, "method": "", "rounding": 0.014}, "not reached"),
    ],
)
def test_states(tmp_path, row, case, cell, state):
    assert judged(tmp_path, row, case, **cell).state == state


def test_sds_and_quantiles_have_errors_of_their_own(tmp_path):
    # 0.005 + 4 * 0.2 / sqrt(2000), and for a quantile 2.67 times the error of the mean
    assert judged(tmp_path / "a", 1, value=0.2, sd=0.2).tolerance == pytest.approx(
        0.02289, abs=1e-5
    )
    quantile = judged(tmp_path / "b", 2, value=-2.8, sd=0.2)
    factor = math.sqrt(0.025 * 0.975) / 0.0584450
    assert quantile.tolerance == pytest.approx(0.005 + 4 * factor * 0.2 / math.sqrt(1000), rel=1e-4)


def test_half_a_digit_is_met_in_decimal(tmp_path):
    case = CASE.replace('"posterior"', '"ML"')
    assert judged(tmp_path, 0, case, value=-2.395, method="ML").state == "reproduced"


@pytest.mark.parametrize(
    ("states", "complete", "expected"),
    [
        (["not reached", "reproduced"], True, "reproduced"),
        (["not comparable", "reproduced"], False, "reproduced"),
        (["argued", "none"], True, "argued"),
        (["argued", "not reached"], False, "argued"),
        (["not reached"], True, "not reached"),
        (["not comparable"], True, "not reached"),
        # what ran and is far off counts, whatever has not run yet
        (["not reached", "not comparable"], False, "not reached"),
        (["not comparable", "none"], False, "not run"),
        ([], False, "not run"),
    ],
)
def test_a_number_over_its_columns(states, complete, expected):
    assert overall([Judged(state) for state in states], complete) == expected
