"""Groups in order, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bridge.errors import OptionError
from bridge.plots import style
from bridge.quantities.groups import check_one_profile, groups
from bridge.quantities.population import At
from bridge.result import Result
from bridge.summary import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Above so many groups their names cannot be read, and are left out.
LABELLED = 40
_SIZE = (8.0, 4.2)
_WIDTH_IN_POINTS = 500.0
_UP, _DOWN, _SAME, _UNKNOWN = "above", "below", "same", "unknown"
#: Kind -> legend, colour of the line, marker, its edge and inside, how thick beside the others.
_KINDS = {
    _UNKNOWN: ("no interval from this engine", style.GREY, "o", style.GREY, style.GREY, 0.7),
    _SAME: ("not told apart from it", style.LIGHT, "o", style.GREY, "white", 0.7),
    _DOWN: ("below it", style.BLUE, "v", style.BLACK, style.BLACK, 1.0),
    _UP: ("above it", style.VERMILLION, "^", style.BLACK, style.BLACK, 1.0),
}


def caterpillar(
    result: Result, of: str = "mean", at: At | str = None, ax: Axes | None = None
) -> Axes:
    """Draw all groups from the smallest to the largest, with 95% intervals.

    Parameters
    ----------
    result : Result
        Any fit with group effects.
    of : {"mean", "variance", "ICC"}
        Of which quantity of the groups; numbers and scales as in `bridge.quantities.groups`.
    at : mapping, pandas.DataFrame, "own" or None
        Values of the predictors, as there.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        The dashed line is the average group, whose effects are zero (with ``at="own"`` a dash for
        each group). Groups whose 95% interval of the distance to it leaves zero out are triangles
        that point to their side, darker and thicker than the others; the legend counts them. Up to
        40 groups have their names below.

    Raises
    ------
    OptionError
        Where there is no such quantity.
    NotAvailable
        Where the model does not let it differ between groups.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)", "~ 1 + (1 | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> bridge.plots.caterpillar(fitted, of="variance").get_ylabel()
    'variance of school (outcome²)'
    """
    if not isinstance(of, str) or not of:
        raise OptionError(f'of is one of "mean", "variance" and "ICC", not {of!r}.')
    check_one_profile(result, at)
    found = groups(result, at=at, of=of)
    frame = found.sort_values("estimate", kind="stable", ignore_index=True)
    name, J = style.group_name(result), len(frame)
    with style.drawing(ax, _SIZE) as axes:
        _average(axes, frame)
        _groups(axes, frame)
        axes.set_xlim(-1.5, J + 0.5)
        axes.set_xticks([])
        if J <= LABELLED:
            axes.set_xticks(range(J), list(frame["group"]), rotation=90, fontsize=style.SMALL)
        style.words(
            axes,
            f"{of[0].upper()}{of[1:]} of each {name}, in order",
            style.caption(
                result, "95% intervals; triangle: that of the distance to the average excludes 0"
            ),
            f"{J} groups ({name}), from the smallest to the largest",
            f"{of} of {name} ({frame['scale'].iloc[0]})",
        )
        axes.legend(loc="upper left", handletextpad=0.4)
    return axes


def _average(ax: Axes, frame: pd.DataFrame) -> None:
    """Draw the average group: a line, or a dash for each group where it is not one number."""
    average = frame["average"].to_numpy(float)
    if np.ptp(average) < 1e-12 * max(1.0, float(np.abs(average).max())):
        label = f"average group ({digits(average[0])})"
        ax.axhline(average[0], color=style.BLACK, lw=0.9, ls="--", zorder=9, label=label)
        return
    x, label = np.arange(len(frame)), "a group without effects, at the same predictors"
    ax.plot(x, average, ls="", marker="_", ms=6, color=style.BLACK, zorder=9, label=label)


def _groups(ax: Axes, frame: pd.DataFrame) -> None:
    """Draw intervals and points, the groups that differ above the others."""
    J, kinds = len(frame), _kinds(frame)
    thick = float(np.clip(0.55 * _WIDTH_IN_POINTS / J, 0.6, 1.8))
    marker = float(np.clip(1.3 * _WIDTH_IN_POINTS / J, 1.8, 5.0))
    estimate, lower, upper = (
        frame[edge].to_numpy(dtype=float, na_value=np.nan)
        for edge in ("estimate", "lower", "upper")
    )
    for level, (kind, (words, colour, shape, edge, inside, part)) in enumerate(_KINDS.items()):
        x = np.flatnonzero(kinds == kind)
        if not len(x):
            continue
        points = {"marker": shape, "mec": edge, "mfc": inside, "mew": 0.5}
        known = x[np.isfinite(lower[x])]
        ax.vlines(
            known, lower[known], upper[known], colors=colour, lw=part * thick, zorder=4 + level
        )
        ax.plot(x, estimate[x], ls="", ms=marker, zorder=4.5 + level, **points)
        ax.plot([], [], color=colour, ms=5, label=f"{words} ({len(x)})", **points)


def _kinds(frame: pd.DataFrame) -> np.ndarray:
    """Return for each group whether it is above, below or not told apart from its average."""
    known = frame["differs"].notna().to_numpy()
    differs = frame["differs"].fillna(False).to_numpy(bool)
    above = frame["estimate"].to_numpy(float) > frame["average"].to_numpy(float)
    found = np.where(differs, np.where(above, _UP, _DOWN), _SAME)
    return np.where(known, found, _UNKNOWN)
