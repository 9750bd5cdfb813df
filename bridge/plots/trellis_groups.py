"""What the panels of a trellis hold: which groups, their rows, and the lines of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge import names
from bridge.columns import as_frame, as_number, complete_rows, is_text, label_texts
from bridge.design_columns import grouping_of
from bridge.design_of import design_of
from bridge.errors import ColumnTypeError, DataError, OptionError, RequestError, suggest
from bridge.least_squares import least_squares
from bridge.newdata import NewRows, rows_of
from bridge.plots import style
from bridge.result import Result
from bridge.spec import ModelSpec

EXTREMES, SIZE, MEAN = "extremes", "size", "mean"
#: So many panels stand on a page.
MOST = 160
_GRID = 25


@dataclass(frozen=True, eq=False)
class Panel:
    """One group.

    Attributes
    ----------
    label : str
        The group.
    x, y : (n,) arrays
        Its rows.
    own : (2,) array or None
        Intercept and slope of its own least-squares line; None where its rows have none.
    fitted, average : (G,) arrays or None
        The mean of a fit along the grid in this group, and in a group with its predictors whose
        effects are zero.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    own: np.ndarray | None
    fitted: np.ndarray | None
    average: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Panels:
    """The panels in order, the grid of fitted lines, and how the groups were chosen."""

    panels: list[Panel]
    grid: np.ndarray
    choice: str


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that a model uses, with the fit where there is one."""

    frame: pd.DataFrame
    spec: ModelSpec
    result: Result | None
    x: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    labels: tuple[str, ...]

    @property
    def size(self) -> np.ndarray:
        """The rows of each group, (J,)."""
        return np.bincount(self.codes, minlength=len(self.labels))

    @property
    def mean(self) -> np.ndarray:
        """The mean of each group's fitted values, of its outcomes without a fit, (J,)."""
        values = self.y if self.result is None else _of_known(self.result, self.frame)
        return np.bincount(self.codes, values, minlength=len(self.labels)) / self.size


def panels_of(
    data: Any, model: ModelSpec | Result, x: str, groups: Any, n: int, order: str | None, seed: int
) -> tuple[Panels, Rows]:
    """Return what a trellis draws; parameters as there."""
    rows = _rows(data, model, x)
    J, column = len(rows.labels), rows.spec.group
    style.whole("n", n, 1, MOST)
    by_name = groups is not None and not isinstance(groups, str)
    if order not in (None, SIZE, MEAN):
        raise OptionError(f'order is "{SIZE}" or "{MEAN}", not {order!r}.')
    chosen, how = _named(rows, groups) if by_name else _chosen(rows, groups, n, seed)
    order = order or (None if by_name else SIZE)
    if order == SIZE:
        chosen = chosen[np.argsort(-rows.size[chosen], kind="stable")]
    elif order == MEAN:
        chosen = chosen[np.argsort(rows.mean[chosen], kind="stable")]
    words = {SIZE: ", largest first", MEAN: f", lowest {_what(rows)} first", None: ""}[order]
    count = f"all {J}" if len(chosen) == J else f"{len(chosen)} of {J}"
    grid = np.linspace(rows.x.min(), rows.x.max(), _GRID)
    found = [_panel(rows, int(j), x, grid) for j in chosen]
    return Panels(found, grid, f"{count} groups ({column}){how}{words}"), rows


def _rows(data: Any, model: ModelSpec | Result, x: str) -> Rows:
    spec = model.spec if isinstance(model, Result) else model
    if not isinstance(spec, ModelSpec):
        raise RequestError(
            f"A trellis takes a ModelSpec or a result, not {type(model).__name__}: "
            "plots.trellis(data, spec, x)."
        )
    if spec.group is None:
        raise RequestError(
            "The model has no random term that names the groups of the panels; add one, such as "
            "(1 | school)."
        )
    if not isinstance(x, str):
        raise OptionError(f"x is the name of a column, not {type(x).__name__}.")
    if x in (spec.outcome, spec.group):
        raise OptionError(f"x is a predictor, and '{x}' is the model's outcome or its grouping.")
    frame = as_frame(data)
    used = complete_rows(frame, dict.fromkeys([*spec.columns, x]))
    if used.empty:
        raise DataError("No row is left without missing values; there is nothing to draw.")
    if is_text(used[x]):
        raise ColumnTypeError(f"x is a column of numbers, and '{x}' holds text or categories.")
    y, factor = as_number(used[spec.outcome]), grouping_of(frame, used, spec)
    result = model if isinstance(model, Result) else None
    rows = Rows(used, spec, result, as_number(used[x]), y, factor.codes, factor.levels)
    if result is not None:
        _check_same(result, frame, rows)
        _check_reads(result, rows, x)
    return rows


def _check_same(result: Result, data: pd.DataFrame, rows: Rows) -> None:
    """Refuse data that are not those of the fit."""
    design = design_of(result)
    y = as_number(complete_rows(data, result.spec.columns)[result.spec.outcome])
    if set(rows.labels) - set(design.group_labels) or not np.array_equal(y, design.y):
        raise DataError(
            f"These data are not those of the fit: their {result.spec.outcome} or their groups "
            "differ; give the data that it was fitted to."
        )


def _check_reads(result: Result, rows: Rows, x: str) -> None:
    """Refuse a predictor along which every fitted line is flat."""
    first = rows.frame.iloc[:1]
    ends = pd.concat([first.assign(**{x: float(at)}) for at in (rows.x.min(), rows.x.max())])
    made = rows_of(result, ends)
    if np.ptp(made.X, axis=0).max() == 0 and np.ptp(made.Z, axis=0).max(initial=0.0) == 0:
        raise OptionError(
            f"The mean of this fit does not change with '{x}' within a group, so that it has no "
            f"line to draw along it; give the specification in its place, or fit with '{x}'."
        )


# --- which groups -----------------------------------------------------------------------------
def _chosen(rows: Rows, groups: str | None, n: int, seed: int) -> tuple[np.ndarray, str]:
    if groups not in (None, EXTREMES):
        raise OptionError(
            f'groups is a list of groups, "{EXTREMES}" or None for a sample, not {groups!r}.'
        )
    J = len(rows.labels)
    if n >= J:
        return np.arange(J), ""
    if groups is None:
        style.whole("seed", seed, 0, 2**32 - 1)
        return np.sort(np.random.default_rng(seed).choice(J, n, replace=False)), (
            f", a sample with seed {seed}"
        )
    ordered, high = np.argsort(rows.mean, kind="stable"), n // 2
    chosen = np.concatenate([ordered[: n - high], ordered[J - high :]])
    return chosen, f", the {n - high} lowest and {high} highest by {_what(rows)}"


def _named(rows: Rows, groups: Sequence[Any]) -> tuple[np.ndarray, str]:
    place = {label: j for j, label in enumerate(rows.labels)}
    found: dict[int, None] = {}
    for value in groups:
        text = next((t for t in label_texts(value, rows.labels) if t in place), None)
        if text is None:
            raise OptionError(
                f"There is no group '{value}' in {rows.spec.group}."
                f"{suggest(str(value), rows.labels)}"
            )
        found[place[text]] = None
    if not 1 <= len(found) <= MOST:
        raise OptionError(f"A page holds 1 to {MOST} groups, and groups names {len(found)}.")
    return np.array(list(found)), ", by name"


def _what(rows: Rows) -> str:
    return "mean outcome" if rows.result is None else "fitted mean"


# --- their lines ------------------------------------------------------------------------------
def _panel(rows: Rows, j: int, x: str, grid: np.ndarray) -> Panel:
    here = rows.codes == j
    own_x, own_y = rows.x[here], rows.y[here]
    own = least_squares(np.column_stack([np.ones_like(own_x), own_x]), own_y, ("Intercept", x))
    fitted, average = _fitted(rows, here, x, grid)
    line = own.coefficients if own.found else None
    return Panel(rows.labels[j], own_x, own_y, line, fitted, average)


def _fitted(
    rows: Rows, here: np.ndarray, x: str, grid: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the mean along x, averaged over the group's rows, with its effects and without."""
    if rows.result is None:
        return None, None
    frame, m = rows.frame[here], int(here.sum())
    along = pd.concat([frame.assign(**{x: float(value)}) for value in grid])
    made = rows_of(rows.result, along)
    fixed = made.X @ _gamma(rows.result)
    both = fixed + _shifts(rows.result, made)
    return both.reshape(len(grid), m).mean(axis=1), fixed.reshape(len(grid), m).mean(axis=1)


def _of_known(result: Result, frame: pd.DataFrame) -> np.ndarray:
    """Return x'gamma + z'u of rows at the estimates, which for a posterior are means of draws."""
    made = rows_of(result, frame)
    found: np.ndarray = made.X @ _gamma(result) + _shifts(result, made)
    return found


def _gamma(result: Result) -> np.ndarray:
    labels = design_of(result).mean.labels
    return np.array([result.estimate(names.flat("gamma", label)) for label in labels])


def _shifts(result: Result, made: NewRows) -> np.ndarray:
    """Return z'u of rows whose groups are the fit's; groups are in its order in group_effects."""
    table, design = result.group_effects, design_of(result)
    found = np.zeros(len(made.X))
    for place, effect in enumerate(design.mean_effects):
        u = table.loc[table["effect"] == effect, "estimate"].to_numpy(float)
        found += made.Z[:, place] * u[made.group]
    return found
