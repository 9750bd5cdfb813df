"""All numbers of a case as one engine computes them; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bridge import arviz_compat
from bridge.cases.numbers import PRINT, Context, Number, compute
from bridge.cases.rules import FIT_STATISTIC, FUNCTION, Rule, rule_of
from bridge.errors import NotAvailable, RequestError
from bridge.posterior_parts import draws_of
from bridge.published_files import ESTIMATES, SPREADS
from bridge.result import Result

#: Ends of the 95% interval and the median, as shares.
SHARES = {"lower": 0.025, "median": 0.5, "upper": 0.975}
_POSTERIOR = "posterior"
#: How the note of a number begins whose computation stopped with an error.
FAULT = "failed: "


@dataclass(frozen=True)
class Cell:
    """One computed number of one column.

    Attributes
    ----------
    parameter, statistic : str
        As in published.csv.
    value : float or None
        None where this column cannot have it; ``note`` says why.
    mc_error : float
        Its Monte Carlo standard error.
    sd : float or None
        The posterior SD or standard error that distances are counted in.
    rounding : float
        How far the rounding of printed numbers that it is computed from can move it.
    method : str
        What the fit behind it is ("ML", "posterior", …); empty where there is none.
    component : str
        "mean", "variance" or "level2" of a parameter, "fit", "function" or "level2 function": one
        that depends on level-2 parameters.
    note : str
        What a reader must know.
    """

    parameter: str
    statistic: str
    value: float | None
    mc_error: float = 0.0
    sd: float | None = None
    rounding: float = 0.0
    method: str = ""
    component: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, None for what is no finite number."""
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Cell:
        """Make one of plain values; a Monte Carlo error that is not known is NaN."""
        known = dict(parts)
        if known["mc_error"] is None:
            known["mc_error"] = float("nan")
        return cls(**known)


def compute_column(context: Context, quick: bool = False) -> list[Cell]:
    """Compute every printed number of a case that a column has.

    Parameters
    ----------
    context : Context
        The case, its data, the fits of one engine.
    quick : bool
        Whether slow quantities are left out.

    Returns
    -------
    list of Cell
        In the order of published.csv; numbers of other columns are left out.
    """
    found = []
    rows = context.case.frame
    for parameter, part in rows.groupby("parameter", sort=False):
        rule = rule_of(context.case, str(parameter))
        if context.column not in rule.columns or (quick and rule.slow):
            continue
        make = _maker(rule, context)
        found += [_cell(make, str(parameter), str(s)) for s in part["statistic"]]
    order = {key: i for i, key in enumerate(zip(rows["parameter"], rows["statistic"], strict=True))}
    return sorted(found, key=lambda cell: order[cell.parameter, cell.statistic])


def _cell(make: Callable[[str, str], Cell], parameter: str, statistic: str) -> Cell:
    try:
        cell = make(parameter, statistic)
    except RequestError as error:  # a column that cannot have this number has an empty cell
        return Cell(parameter, statistic, None, note=str(error))
    except Exception as error:  # noqa: BLE001 - a fault in one number shall not cost the others
        return Cell(parameter, statistic, None, note=f"{FAULT}{type(error).__name__}: {error}")
    if cell.value is not None and not np.isfinite(cell.value):
        return replace(cell, value=None, note=cell.note or "it is not finite")
    return cell


def _maker(rule: Rule, context: Context) -> Callable[[str, str], Cell]:
    """Return what makes the cells of one printed name."""
    if rule.kind == FUNCTION:
        return _of_function(rule, context)
    if rule.kind == FIT_STATISTIC:
        return lambda parameter, statistic: _of_fit(rule, context, parameter, statistic)
    return lambda parameter, statistic: _of_parameter(rule, context, parameter, statistic)


# --- parameters ---------------------------------------------------------------------------------
def _of_parameter(rule: Rule, context: Context, parameter: str, statistic: str) -> Cell:
    result = context.result(rule.fits[0])
    rows = result.estimates[result.estimates["parameter"] == rule.name]
    if rows.empty:
        raise NotAvailable(f"{result.engine} gives no '{rule.name}'.")
    row = rows.iloc[0].to_dict()
    # a ratio or a probability is not counted in standard errors
    sd = _number(row["se"]) if statistic not in ("z", "t", "p") else float("nan")
    value, error = _statistic(result, rule.name, row, statistic)
    return Cell(
        parameter,
        statistic,
        value,
        error,
        None if np.isnan(sd) else sd,
        method=result.method,
        component=str(row["component"]),
    )


def _statistic(
    result: Result, name: str, row: Mapping[str, Any], statistic: str
) -> tuple[float, float]:
    """Return a statistic of one parameter and its Monte Carlo error."""
    bayes = result.method == _POSTERIOR
    if statistic in ESTIMATES:
        return _known(row, "estimate"), _number(row["mcse"]) if bayes else 0.0
    if statistic in SPREADS:
        return _known(row, "se"), arviz_compat.sd_error(_draws(result, name)) if bayes else 0.0
    if statistic in SHARES and bayes:
        draws, share = _draws(result, name), SHARES[statistic]
        return float(np.quantile(draws, share)), arviz_compat.quantile_error(draws, share)
    if statistic == "median" or bayes:
        raise NotAvailable(f"A {result.method} fit has no {statistic}.")
    if statistic in SHARES:
        return _known(row, statistic), 0.0
    z = _known(row, "estimate") / _known(row, "se")
    return (float(2 * stats.norm.sf(abs(z))) if statistic == "p" else z), 0.0


def _draws(result: Result, name: str) -> np.ndarray:
    return draws_of(result, [name])[name]


def _known(row: Mapping[str, Any], cell: str) -> float:
    value = _number(row[cell])
    if np.isnan(value):
        raise NotAvailable(str(row.get("note") or f"The fit gives no {cell} of it."))
    return value


def _number(value: Any) -> float:
    return float("nan") if value is None or pd.isna(value) else float(value)


# --- statistics of a fit ------------------------------------------------------------------------
def _of_fit(rule: Rule, context: Context, parameter: str, statistic: str) -> Cell:
    result = context.result(rule.fits[0])
    number = _fit_statistic(rule.name, context, rule.fits[0], result)
    return Cell(
        parameter, statistic, number.value, number.mc_error, number.se,
        method=result.method, component="fit", note=number.note,
    )  # fmt: skip


def _fit_statistic(name: str, context: Context, fit: str, result: Result) -> Number:
    if name == "DIC":
        return compute("dic", context, {"fit": fit})
    if name == "n_parameters":
        if name not in result.ml:
            raise NotAvailable(f"A {result.method} fit does not count its parameters.")
        return Number(float(result.ml[name]))
    return Number(float(getattr(result, name)))


# --- functions ----------------------------------------------------------------------------------
def _of_function(rule: Rule, context: Context) -> Callable[[str, str], Cell]:
    """Return what makes the cells of a function; it is called once for all of them."""
    kept: list[Number] = []
    component: list[str] = []

    def make(parameter: str, statistic: str) -> Cell:
        if not kept:
            context.read.clear()
            context.level2.clear()
            kept.append(compute(rule.name, context, rule.arguments))
            component.append("level2 function" if context.level2 else "function")
        number = kept[0]
        value, error = _of_number(number, statistic)
        rounding = 0.0
        if context.column == PRINT:
            rounding = _rounding(rule, context, statistic, value)
        method = ""
        if rule.fits and rule.fits[0] in context.results:
            method = context.results[rule.fits[0]].method
        return Cell(
            parameter, statistic, value, error, number.se,
            rounding=rounding, method=method, component=component[0], note=number.note,
        )  # fmt: skip

    return make


def _of_number(number: Number, statistic: str) -> tuple[float, float]:
    """Return a statistic of a computed number and its Monte Carlo error."""
    if statistic in (*ESTIMATES, "value"):
        return number.value, number.mc_error
    key = "se" if statistic in SPREADS else statistic
    value = getattr(number, key, None)
    if value is None:
        raise NotAvailable(f"Here it has no {statistic}.")
    if key == "se" and number.se_error is not None:
        return float(value), number.se_error
    return float(value), number.mc_error * error_factor(statistic)


def error_factor(statistic: str) -> float:
    """Return the Monte Carlo error of a statistic over that of the mean, for normal draws.

    1 / sqrt(2) for an SD; sqrt(p (1 - p)) / phi(z_p) for the quantile at p.
    """
    if statistic in SPREADS:
        return float(np.sqrt(0.5))
    if statistic in SHARES:
        p = SHARES[statistic]
        return float(np.sqrt(p * (1 - p)) / stats.norm.pdf(stats.norm.ppf(p)))
    return 1.0


def _rounding(rule: Rule, context: Context, statistic: str, value: float) -> float:
    """Return how far the rounding of the printed numbers that were read can move a number.

    To first order: the sum over them of what half a unit of the last digit changes.
    """
    total = 0.0
    for parameter, of in sorted(context.read):
        frame = context.case.frame
        place = (frame["parameter"] == parameter) & (frame["statistic"] == of)
        half = float(frame.loc[place, "half_digit"].iloc[0])
        changed = []
        for sign in (1.0, -1.0):
            moved = frame.copy()
            moved.loc[place, "value"] += sign * half
            case = replace(context.case, frame=moved)
            other = replace(context, case=case, read=set(), memo={})
            try:
                number = compute(rule.name, other, rule.arguments)
                changed.append(abs(_of_number(number, statistic)[0] - value))
            except RequestError:
                continue
        total += max(changed, default=0.0)
    return total
