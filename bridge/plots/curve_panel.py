"""Curves over a predictor: thin ones of groups below thick ones of the average group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.errors import OptionError, suggest
from bridge.newdata import group_labels
from bridge.plots import style
from bridge.quantities.curve_rows import OWN_COLUMNS
from bridge.result import Result
from bridge.summary import digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Levels one after the other; the line differs with the colour, for print without it.
_LEVELS = tuple(
    zip((style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY),
        ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3))), strict=True)
)  # fmt: skip
#: Groups to be seen, one after the other.
HIGHLIGHTS = ((style.GREEN, "-"), (style.PURPLE, "--"), (style.ORANGE, "-."),
              (style.SKY, (0, (8, 3))), (style.BLACK, ":"),
              (style.VERMILLION, (0, (5, 1, 1, 1))))  # fmt: skip
#: Marks on their curves, which tell them from levels with the same kind of line.
_MARKS, _MARKS_OF_A_CURVE = ("o", "s", "^", "D", "v", "P"), 5


@dataclass(frozen=True)
class Curved:
    """What the curves of a picture share.

    Attributes
    ----------
    result : Result
        The fit.
    x : str
        The predictor.
    by : str or None
        The column of the levels.
    levels : tuple
        Its values in the average group; one None without it.
    highlight : tuple of str
        Groups to be seen.
    """

    result: Result
    x: str
    by: str | None
    levels: tuple[Any, ...]
    highlight: tuple[str, ...]

    def look(self, level: Any) -> tuple[str, Any]:
        """Return the colour and the kind of line of a level."""
        if self.by is None:
            return style.BLUE if not self.highlight else style.BLACK, "-"
        return _LEVELS[self.levels.index(level)]

    def looks_of_groups(self) -> list[tuple[str, Any]]:
        """Return colours and lines of groups to be seen, none of them those of a level."""
        levels = [] if self.by is None else [colour for colour, _ in _LEVELS[: len(self.levels)]]
        free = [look for look in HIGHLIGHTS if look[0] not in levels]
        return [*free, *((style.BLACK, line) for _, line in HIGHLIGHTS if line != ":")]

    def rows_at(self, frame: pd.DataFrame, level: Any) -> pd.DataFrame:
        """Return the rows of a level."""
        return frame if self.by is None else frame[frame[self.by] == level]

    def level_name(self, level: Any) -> str:
        """Return a level as a legend has it."""
        return f"{self.by} {written(level)}"


def curved(result: Result, x: str, by: str | None, average: pd.DataFrame, highlight: Any) -> Curved:
    """Return what is shared, checked.

    Raises
    ------
    OptionError
        Where a group is not one of the fit, or there are too many groups or levels.
    """
    groups = checked_groups(result, highlight)
    levels = (None,) if by is None else tuple(dict.fromkeys(average[by]))
    if len(levels) > len(_LEVELS):
        raise OptionError(
            f"There are {len(levels)} levels of {by}, too many to be told apart; give at most "
            f"{len(_LEVELS)} of them, as at={{{by!r}: […]}}."
        )
    return Curved(result, x, by, levels, groups)


def checked_groups(result: Result, highlight: Any) -> tuple[str, ...]:
    """Return the labels of groups to be seen.

    Raises
    ------
    OptionError
        Where a group is not one of the fit, or there are too many.
    """
    given = [highlight] if np.ndim(highlight) == 0 else list(highlight)
    groups = tuple(dict.fromkeys(map(str, given)))
    known = group_labels(result)
    for label in groups:
        if label not in known:
            raise OptionError(
                f"The fit has no {style.group_name(result)} '{label}' to highlight."
                f"{suggest(label, known)}"
            )
    if len(groups) > len(HIGHLIGHTS):
        raise OptionError(f"At most {len(HIGHLIGHTS)} groups are highlighted, not {len(groups)}.")
    return groups


def average_curves(ax: Axes, shared: Curved, average: pd.DataFrame) -> None:
    """Draw the average group with its interval, once at each level."""
    for level in shared.levels:
        colour, line = shared.look(level)
        own = shared.rows_at(average, level)
        x, estimate, lower, upper = _numbers(own, shared.x, "estimate", "lower", "upper")
        name = "average group" if level is None else shared.level_name(level)
        ax.fill_between(x, lower, upper, color=colour, alpha=0.22, lw=0, zorder=5)
        rimmed(ax, x, estimate, color=colour, ls=line, lw=2.0, zorder=7, label=name)


def thin_curves(ax: Axes, shared: Curved, frame: pd.DataFrame, key: str, label: str) -> None:
    """Draw a thin line for each value of a key, in the colour of its level."""
    from matplotlib.collections import LineCollection

    frame = frame[~frame[key].isin(shared.highlight)] if key == "group" else frame
    size = max(frame[key].nunique() * (len(shared.levels) if key != "group" else 1), 1)
    thin = float(np.clip(8 / np.sqrt(size), 0.35, 0.9))
    seen = float(np.clip(5 / np.sqrt(size), 0.22, 0.7))
    done = np.zeros(len(frame), dtype=bool)
    for level in shared.levels:
        here = np.ones(len(frame), dtype=bool) if level is None else (frame[shared.by] == level)
        here = np.asarray(here)
        done |= here
        colour = style.GREY if level is None else shared.look(level)[0]
        ax.add_collection(
            LineCollection(
                _lines(frame[here], shared.x, key), colors=colour, lw=thin, alpha=seen, zorder=3
            )
        )
    if not done.all():  # of a number with many values most groups are at none of the levels
        rest = _lines(frame[~done], shared.x, key)
        ax.add_collection(LineCollection(rest, colors=style.GREY, lw=thin, alpha=seen, zorder=2.9))
    ax.plot([], [], color=style.GREY, lw=0.9, alpha=0.7, label=label)
    ax.autoscale_view()


def highlighted_curves(ax: Axes, shared: Curved, groups: pd.DataFrame) -> None:
    """Draw the groups to be seen, each named in the legend."""
    looks = zip(shared.highlight, shared.looks_of_groups(), _MARKS, strict=False)
    for i, (label, (colour, line), mark) in enumerate(looks):
        x, y = _numbers(groups[groups["group"] == label], shared.x, "estimate")
        name = f"{style.group_name(shared.result)} {label}"
        every = max(len(x) // _MARKS_OF_A_CURVE, 1)
        rimmed(ax, x, y, color=colour, ls=line, lw=1.7, zorder=8, label=name, marker=mark, ms=4.5,
               mec=style.BLACK, mew=0.5, markevery=(i % every, every))  # fmt: skip


def rimmed(ax: Axes, x: Any, y: Any, **look: Any) -> None:
    """Draw a line with a white rim, which keeps it apart from thin ones below it."""
    ax.plot(x, y, color="white", lw=look["lw"] + 1.6, zorder=look["zorder"] - 0.5)
    ax.plot(x, y, **look)


def x_label(shared: Curved, average: pd.DataFrame, groups: bool) -> str:
    """Return the name of x, and below it where the other predictors are."""
    others = [c for c in average.columns if c not in {*OWN_COLUMNS, shared.x, shared.by}]
    if not others:
        return shared.x
    said = ", ".join(f"{name} {written(average[name].iloc[0])}" for name in others)
    return f"{shared.x}\n{'average group' if groups else 'others'} at {said}"


def legend(ax: Axes) -> None:
    """Put the legend beside the axes, where no line is."""
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def written(value: Any) -> str:
    """Return a value of a predictor: a number with few digits, a level as it is."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    number = float(value)
    text = f"{number:.0f}" if number.is_integer() and abs(number) < 1e6 else digits(number, 3)
    return style.minus(text)


def _lines(frame: pd.DataFrame, x: str, key: str) -> Sequence[np.ndarray]:
    """Return the points of every curve of a frame, whose curves have their rows together."""
    if frame.empty:
        return []
    points = np.column_stack(_numbers(frame, x, "estimate"))
    keys = frame[key].to_numpy()
    starts = np.flatnonzero((keys[1:] != keys[:-1]) | (np.diff(points[:, 0]) < 0)) + 1
    return np.split(points, starts)


def _numbers(frame: pd.DataFrame, *columns: str) -> list[np.ndarray]:
    return [frame[name].to_numpy(dtype=float, na_value=np.nan) for name in columns]


def scale_of(average: pd.DataFrame) -> str:
    """Return quantity and scale for the axis."""
    what = {"mean": "predicted mean", "variance": "level-1 variance", "SD": "level-1 SD"}
    return f"{what[average['quantity'].iloc[0]]} ({average['scale'].iloc[0]})"


def asked(highlight: Any) -> bool:
    """Tell whether any group is to be highlighted."""
    return np.ndim(highlight) == 0 or len(highlight) > 0
