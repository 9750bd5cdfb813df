"""Parameters by engine, a point and an interval each, with the published numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.comparison import Comparison, labels_of, make_comparison
from bridge.engines.harmonise import Z95
from bridge.errors import OptionError
from bridge.plots import style
from bridge.plots.parameters import chosen
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PUBLISHED = "published"
#: A parameter joins a panel while this many of the panel's narrowest interval span it.
_SPAN = 25.0
_WIDTH, _ROW, _PANEL, _HEAD = 7.0, 0.17, 0.52, 0.9


def forest(
    results: Result | Sequence[Result] | Comparison,
    published: str | None = None,
    parameters: Sequence[str] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw every parameter with its 95% interval by engine, published numbers beside them.

    Parameters
    ----------
    results : Result, sequence of Result or Comparison
        Fits of the same rows, or what `bridge.compare` made of them.
    published : str, optional
        A published table, such as ``"leckie2014/model1"``; a comparison has its own.
    parameters : sequence of str, optional
        The parameters to draw, by flat name; by default all.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One for each panel; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        The panels from top to bottom. A panel holds parameters of one part of the model on one
        scale, which its axis says, and of about one size: where an interval would be less than
        1/25 of the panel, there is another panel. Intervals are those of `Result.estimates`; of a
        comparison, and of print, the estimate with 1.96 standard errors to each side. What has no
        interval is a point.

    Raises
    ------
    RequestError
        Where the results are of different data, or what is given is none.
    OptionError
        Where a parameter is unknown, or ``ax`` are not as many as the panels.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> [ax.get_xlabel() for ax in bridge.plots.forest(fitted)]
    ['outcome', 'log variance', 'outcome²']
    """
    frame, caption = _frame(results, published)
    frame = _chosen(frame, parameters)
    panels = _panels(frame)
    labels = list(dict.fromkeys(frame["label"]))
    look = _looks(labels)
    heights = [_PANEL + _ROW * len(labels) * part["parameter"].nunique() for part in panels]
    with style.drawing_panels(style.as_list(ax), (_WIDTH, _HEAD + sum(heights)), heights) as axes:
        for own, part in zip(axes, panels, strict=True):
            _panel(own, part, labels, look)
        top = axes[0]
        top.set_title("Estimates by engine", loc="left", fontsize=style.LARGE, pad=style.TITLE_PAD)
        style.at_corner(top, caption, "left")
        top.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes


# --- the numbers -----------------------------------------------------------------------------
def _frame(
    results: Result | Sequence[Result] | Comparison, published: str | None
) -> tuple[pd.DataFrame, str]:
    """Return rows of parameter, scale, label, estimate, lower, upper; and the caption."""
    if isinstance(results, Comparison):
        if published is not None:
            raise OptionError(
                "A comparison has its published table already: bridge.compare(..., "
                f"published={published!r}) makes one with it."
            )
        return _of_table(results.table, None), "95% intervals: estimate ± 1.96 standard errors"
    several = [results] if isinstance(results, Result) else list(results)
    if len(several) == 1 and published is None and isinstance(several[0], Result):
        table = several[0].estimates[["parameter", "scale"]]
    else:
        table = make_comparison(several, published).table
    said = {f"{r.engine}, {r.method}": None for r in several}
    caption = f"{several[0].spec.outcome} by {'; '.join(said)}; 95% intervals"
    return _of_table(table, dict(zip(labels_of(several), several, strict=True))), caption


def _of_table(table: pd.DataFrame, results: dict[str, Result] | None) -> pd.DataFrame:
    """Lay a table of a comparison out by rows; intervals are the results' where there are any."""
    labels = [str(c) for c in table.columns[2:] if not str(c).endswith(" se")]
    if results is not None:
        labels = [*results, *(label for label in labels if label not in results)]
    rows: list[dict[str, Any]] = []
    for label in labels:
        own = None if results is None or label not in results else results[label].estimates
        for parameter, scale in zip(table["parameter"], table["scale"], strict=True):
            if own is not None:
                found = own.loc[own["parameter"] == parameter, ["estimate", "lower", "upper"]]
            else:
                found = _by_errors(table.loc[table["parameter"] == parameter], label)
            if len(found) and not pd.isna(found.iloc[0]["estimate"]):
                numbers = found.iloc[0].astype("Float64").to_numpy(float, na_value=np.nan)
                edges = dict(zip(("estimate", "lower", "upper"), numbers, strict=True))
                rows.append({"parameter": parameter, "scale": scale, "label": label, **edges})
    order = {parameter: i for i, parameter in enumerate(table["parameter"])}
    frame = pd.DataFrame(rows)
    return frame.sort_values("parameter", key=lambda p: p.map(order), kind="stable")


def _by_errors(row: pd.DataFrame, label: str) -> pd.DataFrame:
    estimate, half = row[label], Z95 * row[f"{label} se"]
    return pd.DataFrame({"estimate": estimate, "lower": estimate - half, "upper": estimate + half})


def _chosen(frame: pd.DataFrame, parameters: Sequence[str] | None) -> pd.DataFrame:
    wanted = chosen(parameters, list(dict.fromkeys(frame["parameter"])))
    return frame[frame["parameter"].isin(wanted)]


def _panels(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Part the rows into panels of one variable and scale whose intervals can all be seen."""
    found: list[tuple[str, list[pd.DataFrame]]] = []
    for parameter, rows in frame.groupby("parameter", sort=False):
        kind = f"{str(parameter).partition('[')[0]} {rows['scale'].iloc[0]}"
        for known, parts in found:
            if known == kind and _fits([*parts, rows]):
                parts.append(rows)
                break
        else:
            found.append((kind, [rows]))
    return [pd.concat(parts) for _, parts in found]


def _fits(parts: list[pd.DataFrame]) -> bool:
    both = pd.concat(parts)
    ends = both[["estimate", "lower", "upper"]].to_numpy(float)
    widths = (both["upper"] - both["lower"]).to_numpy(float)
    known = widths[np.isfinite(widths) & (widths > 0)]
    return not len(known) or bool(np.nanmax(ends) - np.nanmin(ends) <= _SPAN * known.min())


# --- the picture -----------------------------------------------------------------------------
def _looks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each label; print is black."""
    engines = [label for label in labels if label != PUBLISHED]
    found = {label: style.SERIES[i % len(style.SERIES)] for i, label in enumerate(engines)}
    return found | {PUBLISHED: (style.BLACK, "X")}


def _panel(
    ax: Axes, part: pd.DataFrame, labels: Sequence[str], look: dict[str, tuple[str, str]]
) -> None:
    """Draw the parameters of a panel from the top, the engines of each one below the other."""
    parameters = list(dict.fromkeys(part["parameter"]))
    step = 0.8 / len(labels)
    for place, label in enumerate(labels):
        rows, (colour, marker) = part[part["label"] == label], look[label]
        y = rows["parameter"].map(parameters.index).to_numpy(float)
        y = y + (place - (len(labels) - 1) / 2) * step
        ax.hlines(y, rows["lower"], rows["upper"], colors=colour, lw=1.5)
        ax.plot(
            rows["estimate"], y, ls="", marker=marker, ms=5, color=colour, mew=0,
            label=label.replace("\n", " "),
        )  # fmt: skip
    ax.set_yticks(range(len(parameters)), parameters)
    ax.set_ylim(len(parameters) - 0.5, -0.5)
    for between in np.arange(len(parameters) - 1) + 0.5:
        ax.axhline(between, color="#D9D9D9", lw=0.6, zorder=0)
    low, high = ax.get_xlim()
    if low < 0 < high:
        ax.axvline(0, color=style.GREY, lw=0.8, ls=":", zorder=0)
    ax.set_xlabel(part["scale"].iloc[0], fontsize=style.SMALL, labelpad=1)
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=7)
    ax.spines[["top", "right", "left"]].set_visible(False)
