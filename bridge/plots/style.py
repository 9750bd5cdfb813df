"""The look of every picture: colours, sizes, and the words around the axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
    given: Sequence[Axes] | None, size: tuple[float, float], heights: Sequence[float]
) -> Iterator[list[Axes]]:
    """Give axes one below the other, as `drawing` gives one.

    Parameters
    ----------
    given : sequence of matplotlib.axes.Axes or None
        The caller's axes; None makes a figure.
    size : (float, float)
        Width and height of that figure in inches.
    heights : sequence of float
        The heights of the panels, relative to each other.

    Raises
    ------
    OptionError
        Where there are not as many axes as heights.
    """
    import matplotlib.pyplot as plt

    if given is not None and len(given) != len(heights):
        raise OptionError(
            f"This picture has {len(heights)} panel(s), and ax holds {len(given)}; give as many "
            "axes, or leave ax out."
        )
    with plt.rc_context(_RC):
        axes = list(given or ())
        if not axes:
            _, grid = plt.subplots(
                len(heights), 1, figsize=size, layout="constrained", squeeze=False,
                height_ratios=list(heights),
            )  # fmt: skip
            axes = list(grid[:, 0])
        yield [checked(ax) for ax in axes]


@contextmanager
def drawing_grid(
    given: Axes | Sequence[Axes] | None, panels: int, size: tuple[float, float], columns: int
) -> Iterator[list[Axes]]:
    """Give axes side by side in rows, as `drawing` gives one.

    Parameters
    ----------
    given : matplotlib.axes.Axes, sequence of them, or None
        The caller's axes; None makes a figure.
    panels : int
        How many.
    size : (float, float)
        Width and height of a panel of that figure in inches.
    columns : int
        The most in a row.

    Raises
    ------
    OptionError
        Where there are not as many axes as panels.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    axes = [] if given is None else list(np.ravel(np.asarray(given, dtype=object)))
    if given is not None and len(axes) != panels:
        raise OptionError(
            f"This picture has {panels} panel(s), and ax holds {len(axes)}; give as many axes, or "
            "leave ax out."
        )
    with plt.rc_context(_RC):
        if given is None:
            across = min(panels, columns)
            rows = -(-panels // across)
            figure, grid = plt.subplots(
                rows, across, figsize=(size[0] * across, size[1] * rows), layout="constrained",
                squeeze=False,
            )  # fmt: skip
            axes = list(grid.ravel()[:panels])
            for spare in grid.ravel()[panels:]:
                figure.delaxes(spare)
        yield [checked(ax) for ax in axes]


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


def caption(result: Result, *more: str) -> str:
    """Return outcome, engine and method of a result, and what else is to be said."""
    return "; ".join([f"{result.spec.outcome} by {result.engine}, {result.method}", *more])


def group_name(result: Result) -> str:
    """Return the name of the grouping column."""
    return result.spec.group or "group"
