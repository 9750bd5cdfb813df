"""The look of every picture: colours, sizes, and the words around the axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.errors import OptionError
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Told apart by readers of every kind of colour vision (Okabe & Ito 2008).
BLACK, GREY, LIGHT = "#000000", "#5F5F5F", "#A6A6A6"
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
#: One after the other for engines; the marker differs with the colour, for print without it.
SERIES = (
    (BLUE, "o"),
    (VERMILLION, "s"),
    (GREEN, "D"),
    (PURPLE, "^"),
    (ORANGE, "v"),
    (SKY, "P"),
)
#: Sizes of text in points.
SMALL, NORMAL, LARGE = 7.5, 9.0, 10.5
_RC: dict[str, Any] = {
    "font.size": NORMAL,
    "axes.labelsize": NORMAL,
    "axes.titlesize": LARGE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
}
TITLE_PAD, _CAPTION_PAD = 18.0, 5.0
#: Of a figure of several panels, in inches: what it has beside and above them.
_SIDE, _HEAD = 0.4, 0.7
#: One after the other for chains, beside the colours of SERIES.
DASHES = ("-", "--", "-.", ":")


@contextmanager
def drawing(ax: Axes | None, size: tuple[float, float]) -> Iterator[Axes]:
    """Give the axes to draw on, in the style of this room; settings outside stay as they are.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        The caller's axes; None makes a figure.
    size : (float, float)
        Width and height of that figure in inches.

    Raises
    ------
    OptionError
        Where ``ax`` is something else.
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(_RC):
        if ax is None:
            _, ax = plt.subplots(figsize=size, layout="constrained")
        yield checked(ax)


@contextmanager
def drawing_panels(
    given: Sequence[Axes] | None,
    size: tuple[float, float],
    heights: Sequence[float],
    across: bool = False,
) -> Iterator[list[Axes]]:
    """Give axes one below the other, or side by side, as `drawing` gives one.

    Parameters
    ----------
    given : sequence of matplotlib.axes.Axes or None
        The caller's axes; None makes a figure.
    size : (float, float)
        Width and height of that figure in inches.
    heights : sequence of float
        The heights of the panels (``across``: their widths), relative to each other.
    across : bool
        Whether the panels are side by side.

    Raises
    ------
    OptionError
        Where there are not as many axes as heights.
    """
    import matplotlib.pyplot as plt

    _check_enough(given, len(heights))
    with plt.rc_context(_RC):
        axes = list(given or ())
        if not axes:
            shape = (1, len(heights)) if across else (len(heights), 1)
            ratios = {"width_ratios" if across else "height_ratios": list(heights)}
            _, grid = plt.subplots(
                *shape, figsize=size, layout="constrained", squeeze=False, **ratios
            )
            axes = list(grid.ravel())
        yield [checked(ax) for ax in axes]


@contextmanager
def drawing_grid(
    given: Sequence[Axes] | None, places: Sequence[tuple[int, int]], panel: tuple[float, float]
) -> Iterator[list[Axes]]:
    """Give axes in rows and columns, as `drawing` gives one.

    Parameters
    ----------
    given : sequence of matplotlib.axes.Axes or None
        The caller's axes, one a place; None makes a figure.
    places : sequence of (int, int)
        Row and column of every panel, each from 0.
    panel : (float, float)
        Width and height of one panel of that figure in inches.

    Raises
    ------
    OptionError
        Where there are not as many axes as places.
    """
    import matplotlib.pyplot as plt

    _check_enough(given, len(places))
    with plt.rc_context(_RC):
        axes = list(given or ())
        if not axes:
            rows, columns = (max(edge) + 1 for edge in zip(*places, strict=True))
            size = (columns * panel[0] + _SIDE, rows * panel[1] + _HEAD)
            figure, grid = plt.subplots(
                rows, columns, figsize=size, layout="constrained", squeeze=False
            )  # fmt: skip
            axes = [grid[place] for place in places]
            for unused in set(grid.flat) - set(axes):
                unused.remove()
            figure.get_layout_engine().set(wspace=0.03, hspace=0.03)
        yield [checked(ax) for ax in axes]


def as_list(ax: Any) -> list[Any] | None:
    """Return what was given as ``ax`` as a list of axes; None stays None."""
    if ax is None:
        return None
    return [*np.ravel(ax)] if isinstance(ax, list | tuple | np.ndarray) else [ax]


def _check_enough(given: Sequence[Axes] | None, panels: int) -> None:
    if given is not None and len(given) != panels:
        raise OptionError(
            f"This picture has {panels} panel(s), and ax holds {len(given)}; give as many "
            "axes, or leave ax out."
        )


def checked(ax: Any) -> Axes:
    """Return axes, or say that they are none.

    Raises
    ------
    OptionError
        Where they are not axes of matplotlib.
    """
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise OptionError(
            f"ax is one Axes of matplotlib, not {type(ax).__name__}; plt.subplots() makes one."
        )
    return ax


def words(ax: Axes, title: str, caption: str, x: str, y: str) -> None:
    """Write what stands around axes: a short title, the caption below it, and the scales."""
    ax.set_title(title, loc="left", fontsize=LARGE, pad=TITLE_PAD)
    at_corner(ax, caption, "left")
    ax.set_xlabel(x, fontsize=NORMAL)
    ax.set_ylabel(y, fontsize=NORMAL)
    ax.spines[["top", "right"]].set_visible(False)


def head(axes: Sequence[Axes], title: str, caption: str) -> None:
    """Write the title and the caption of several panels.

    They stand above all of a figure that is of these panels alone, else above the first panel.

    Parameters
    ----------
    axes : sequence of matplotlib.axes.Axes
        The panels, the upper left one first.
    title, caption : str
        As for `words`.
    """
    look = {"fontsize": SMALL, "color": GREY, "ha": "left", "va": "bottom"}
    figure = axes[0].get_figure(root=True)
    if set(figure.axes) == set(axes):
        above = figure.suptitle(f"{title}\n", x=0.012, ha="left", fontsize=LARGE)
        line = axes[0].annotate(caption, (0.0, 0.15), xycoords=above, **look)
    else:
        line = axes[0].annotate(
            f"{title}. {caption}", (0.0, 1.0), xycoords="axes fraction",
            xytext=(0.0, TITLE_PAD), textcoords="offset points", **look,
        )  # fmt: skip
    line.set_in_layout(False)  # wider than the first panel, which it must not widen


def legend_below(axes: Sequence[Axes], handles: Sequence[Any]) -> None:
    """Put a legend in one line below all panels of a figure."""
    figure = axes[0].get_figure(root=True)
    figure.legend(handles=list(handles), loc="outside lower right", ncols=len(handles))


def panel_words(ax: Axes, title: str, x: str, y: str) -> None:
    """Write what stands around one of several panels, in small type."""
    ax.set_title(title, loc="left", fontsize=SMALL, pad=3.0)
    ax.tick_params(labelsize=SMALL)
    ax.set_xlabel(x, fontsize=SMALL, labelpad=1.5)
    ax.set_ylabel(y, fontsize=SMALL, labelpad=1.5)
    ax.spines[["top", "right"]].set_visible(False)


def at_corner(ax: Axes, text: str, side: str) -> None:
    """Write a line above the "left" or "right" upper corner, outside the axes."""
    ax.annotate(
        text,
        xy=(0.0 if side == "left" else 1.0, 1.0),
        xycoords="axes fraction",
        xytext=(0.0, _CAPTION_PAD),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=SMALL,
        color=GREY if side == "left" else BLACK,
    )


def minus(text: str) -> str:
    """Return numbers with the minus sign of the axes."""
    return text.replace("-", "\N{MINUS SIGN}")


def caption(result: Result, *more: str) -> str:
    """Return outcome, engine and method of a result, and what else is to be said."""
    return "; ".join([f"{result.spec.outcome} by {result.engine}, {result.method}", *more])


def group_name(result: Result) -> str:
    """Return the name of the grouping column."""
    return result.spec.group or "group"


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number, or say that it is none in its range.

    Raises
    ------
    OptionError
        Where it is not from ``low`` to ``high``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise OptionError(f"{name} is a whole number from {low} to {high}, not {value!r}.")
    return int(value)
