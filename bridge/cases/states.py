"""The state of a printed number: reproduced, argued or not reached; pure.

A number is *reproduced* in a column where it is within half a unit of its last printed digit, plus
4 Monte Carlo standard errors of both sides, plus, in the column "print", what the rounding of the
printed numbers that it follows from can do. A printed posterior has a Monte Carlo error too: its SD
over the root of its effective draws (1,000 where nobody knows; for an SD and quantiles times
`bridge.cases.columns.error_factor`). A printed number without an SD takes the engine's SD, and
where that has none either the engine's own Monte Carlo error. An *argued* number is within the
distance that ``[argued]`` of its case gives.

Maximum likelihood and a posterior are other estimators. Between them level-2 parameters and
information criteria are *not comparable*, and so are coefficients that are not reproduced but
within 0.3 SDs, as in `bridge.verdicts`, and functions: those that depend on level-2 parameters
wherever they are not reproduced. A cell that is not comparable counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge import verdicts
from bridge.cases.columns import Cell, error_factor
from bridge.published_files import ESTIMATES, SPREADS
from bridge.published_tables import Argued, PublishedTable
from bridge.verdicts import NOT_COMPARABLE, REPRODUCED

ARGUED, NOT_REACHED = "argued", "not reached"
#: Of a cell without a number, and of a number that not every column has been asked for.
EMPTY, NOT_RUN = "none", "not run"
#: The three states that are counted.
STATES = (REPRODUCED, ARGUED, NOT_REACHED)
_ESTIMATORS = ("ML", "REML", "posterior", "two-step", "OLS")


@dataclass(frozen=True)
class Judged:
    """A printed number and a computed one.

    Attributes
    ----------
    state : str
        "reproduced", "argued", "not reached", "not comparable" or "none".
    difference : float
        Computed less printed.
    tolerance : float
        Within which it is reproduced.
    in_sds, in_mc_errors : float
        The difference in posterior SDs (standard errors) and in combined Monte Carlo standard
        errors; NaN where there is none.
    note : str
        Why, in a few words.
    """

    state: str
    difference: float = float("nan")
    tolerance: float = float("nan")
    in_sds: float = float("nan")
    in_mc_errors: float = float("nan")
    note: str = ""


def judge(case: PublishedTable, row: Mapping[str, Any], cell: Cell) -> Judged:
    """Judge a computed number against the printed one.

    Parameters
    ----------
    case : PublishedTable
        The case.
    row : mapping
        A row of its ``frame``.
    cell : Cell
        The number computed for it.
    """
    if cell.value is None:
        return Judged(EMPTY, note=cell.note)
    sd = _spread(case, row, cell)
    error = float(np.hypot(cell.mc_error, _print_error(case, row, cell, sd)))
    difference = cell.value - row["value"]
    tolerance = row["half_digit"] + verdicts.MCSE_LIMIT * error + cell.rounding
    near = difference < tolerance if row["bound"] else abs(difference) <= _slack(tolerance, row)
    measures = {
        "difference": difference,
        "tolerance": tolerance,
        "in_sds": difference / sd if sd else float("nan"),
        "in_mc_errors": difference / error if 0 < error < np.inf else float("nan"),
    }
    state, note = _state(case, row, cell, near, measures)
    return Judged(state, **measures, note=note or cell.note)


def _slack(tolerance: float, row: Mapping[str, Any]) -> float:
    """Return a tolerance with room for the binary form of decimal digits."""
    return tolerance + 1e-12 * max(abs(row["value"]), row["half_digit"])


def _state(
    case: PublishedTable,
    row: Mapping[str, Any],
    cell: Cell,
    near: bool,
    measures: Mapping[str, float],
) -> tuple[str, str]:
    """Return the state of one cell and why."""
    difference, in_sds = measures["difference"], measures["in_sds"]
    print_method = str(case.settings.get("method", "posterior"))
    other = cell.method and print_method in _ESTIMATORS and cell.method != print_method
    if other and cell.component in ("level2", "fit"):
        return NOT_COMPARABLE, f"{cell.method} against a printed {print_method} estimate"
    noisy = _too_noisy(cell)
    if near and not noisy:
        return REPRODUCED, ""
    argued = argument(case, row["parameter"], row["statistic"])
    if other and cell.component != "fit" and abs(in_sds) <= verdicts.SD_LIMIT:
        return NOT_COMPARABLE, f"{cell.method} is within {verdicts.SD_LIMIT} SDs of {print_method}"
    if other and cell.component == "level2 function":
        return NOT_COMPARABLE, f"{cell.method} against a printed {print_method} estimate"
    if argued is not None and abs(difference) <= argued.within:
        return ARGUED, argued.why
    unknown = "its Monte Carlo error is not known" if np.isnan(cell.mc_error) else ""
    return NOT_REACHED, "too few draws to tell" if noisy else unknown


def _too_noisy(cell: Cell) -> bool:
    """Tell whether the draws of a parameter are too few to say anything."""
    if cell.component not in ("mean", "variance", "level2") or cell.method != "posterior":
        return False
    limit = verdicts.MCSE_SHARE * (cell.sd or 0.0) * error_factor(cell.statistic)
    return not cell.mc_error <= limit


def argument(case: PublishedTable, parameter: str, statistic: str) -> Argued | None:
    """Return what [argued] says of a number; None where it says nothing."""
    return case.argued.get(f"{parameter}.{statistic}", case.argued.get(parameter))


def _spread(case: PublishedTable, row: Mapping[str, Any], cell: Cell) -> float | None:
    """Return the SD that distances are counted in: print's own, else the engine's."""
    if row["statistic"] in ("z", "t", "p"):
        return None
    same = case.frame[case.frame["parameter"] == row["parameter"]]
    printed = same.loc[same["statistic"].isin(list(SPREADS)), "value"]
    if len(printed):
        return float(printed.iloc[0])
    return cell.sd if cell.sd and np.isfinite(cell.sd) else None


def _print_error(
    case: PublishedTable, row: Mapping[str, Any], cell: Cell, sd: float | None
) -> float:
    """Return the Monte Carlo error of a printed number; zero where no draws are behind it."""
    drawn = str(case.settings.get("method", "posterior")) == "posterior"
    if not drawn or not cell.method:
        return 0.0
    if cell.component == "fit" and cell.mc_error == 0:
        return 0.0
    if sd is None:
        return cell.mc_error
    draws = float(case.settings.get("effective_draws", verdicts.PRINT_DRAWS))
    statistic = "mean" if row["statistic"] in (*ESTIMATES, "value") else row["statistic"]
    return sd * error_factor(statistic) / float(np.sqrt(draws))


def overall(cells: Sequence[Judged], complete: bool) -> str:
    """Return the state of a number over its columns.

    It is reproduced, or argued, where it is in one of them; a column that ran and does not reach it
    counts where no other reaches it, also while others have not run.

    Parameters
    ----------
    cells : sequence of Judged
        Of the columns that ran.
    complete : bool
        Whether every column that computes it has run.
    """
    found = {cell.state for cell in cells}
    for state in (REPRODUCED, ARGUED, NOT_REACHED):
        if state in found:
            return state
    return NOT_REACHED if complete else NOT_RUN
