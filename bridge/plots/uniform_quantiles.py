"""Every variable of data at a glance: its values in order, or how many rows have each level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.columns import as_factor, as_frame, as_number, is_text
from bridge.errors import DataError, OptionError, UnknownColumnError, suggest
from bridge.plots import style
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL, _ACROSS = (2.15, 1.9), 4
#: So many variables stand on a page, and so many levels have their names.
_MOST, _NAMED = 60, 12
#: Letters of a level that are written.
_LETTERS = 14


def uniform_quantiles(
    data: Any, columns: Sequence[str] | str | None = None, ax: Axes | Sequence[Axes] | None = None
) -> list[Axes]:
    """Draw the values of each variable from the smallest to the largest, against fractions of rows.

    Parameters
    ----------
    data : pandas.DataFrame
        Any data.
    columns : sequence of str, optional
        The variables to draw; by default all.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One for each variable; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        Of numbers the uniform quantile plot: value i of n in order stands at (i - 1/2) / n, and
        the dashed line is their mean. Of text, categories and truth values a bar for each level,
        as long as the rows it has are many; up to 12 levels are named. Missing values count in
        neither; the axis says how many there are. Nothing is told of rows that belong together.

    Raises
    ------
    UnknownColumnError
        Where the data have no such column.
    DataError
        Or a class below it, where a column holds dates, mixed things or infinite numbers, or there
        are no rows.
    OptionError
        Where there are no variables or too many, or ``ax`` are not as many as the panels.

    Notes
    -----
    Monette's ``xqplot``, SCS 2017, Figure 1.

    Examples
    --------
    >>> data = bridge.datasets.load("hsb")
    >>> [ax.get_title(loc="left") for ax in bridge.plots.uniform_quantiles(data, ["ses", "sector"])]
    ['ses', 'sector']
    """
    frame = as_frame(data)
    names = _chosen(frame, columns)
    wide = min(_ACROSS, len(names))
    places = [divmod(i, wide) for i in range(len(names))]
    with style.drawing_grid(style.as_list(ax), places, _PANEL) as axes:
        for own, name in zip(axes, names, strict=True):
            _variable(own, name, frame[name])
        missing = int(frame[names].isna().any(axis=1).sum())
        told = (
            f"{counted(len(frame), 'row')}, {missing or 'none'} with a missing value; dashed: mean"
        )
        style.head(axes, "Uniform quantile plots", told)
    return axes


def _chosen(frame: pd.DataFrame, columns: Sequence[str] | str | None) -> list[Any]:
    known = list(frame.columns)
    wanted = [columns] if isinstance(columns, str) else known if columns is None else list(columns)
    for name in wanted:
        if name not in known:
            raise UnknownColumnError(
                f"The data have no column '{name}'.{suggest(str(name), map(str, known))}"
            )
        if known.count(name) > 1:
            raise DataError(f"The data have two columns called '{name}'; rename one.")
    if not 1 <= len(wanted) <= _MOST:
        raise OptionError(
            f"A page holds 1 to {_MOST} variables, not {len(wanted)}; choose them by columns=[…]."
        )
    if not len(frame):
        raise DataError("The data have no rows to draw.")
    return list(dict.fromkeys(wanted))


def _variable(ax: Axes, name: Any, column: pd.Series) -> None:
    known = column.dropna()
    missing = len(column) - len(known)
    rows = counted(len(known), "row") + f"; {missing:,} missing" * bool(missing)
    if not len(known):
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "all missing", transform=ax.transAxes, ha="center", va="center")
        style.panel_words(ax, str(name), rows, "")
    elif is_text(known):
        levels = _bars(ax, known)
        title = str(name) + f" ({levels} levels)" * (levels > _NAMED)
        style.panel_words(ax, title, f"rows, of {rows}", "")
    else:
        _quantiles(ax, as_number(known))
        style.panel_words(ax, str(name), f"fraction of {rows}", "")


def _quantiles(ax: Axes, values: np.ndarray) -> None:
    n = len(values)
    ax.axhline(values.mean(), color=style.BLACK, lw=0.8, ls="--")
    ax.plot((np.arange(n) + 0.5) / n, np.sort(values), ls="", marker="o", mew=0,
            ms=float(np.clip(60 / np.sqrt(n), 1.8, 4.0)), color=style.BLUE,
            rasterized=n > 5000)  # fmt: skip
    ax.set_xlim(-0.02, 1.02)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.locator_params(axis="y", nbins=5)


def _bars(ax: Axes, column: pd.Series) -> int:
    """Draw a bar a level, the first one on top, and return how many levels there are."""
    factor = as_factor(column)
    counts = np.bincount(factor.codes, minlength=len(factor.levels))
    y, few = np.arange(len(counts)), len(counts) <= _NAMED
    ax.barh(y, counts, color=style.SKY, ec="white" if few else "none", lw=0.5,
            height=0.8 if few else 1.0)  # fmt: skip
    ax.set_ylim(len(counts) - 0.4, -0.6)
    ax.set_yticks(y if few else [], [_short(level) for level in factor.levels] if few else [])
    ax.tick_params(axis="y", length=0)
    ax.locator_params(axis="x", nbins=3)
    return len(counts)


def _short(level: str) -> str:
    return level if len(level) <= _LETTERS else f"{level[: _LETTERS - 1]}…"
