"""The rows of each group in a panel of its own, with its line and what a fit made of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.plots import style
from bridge.plots.trellis_groups import Panel, Panels, Rows, panels_of
from bridge.result import Result
from bridge.spec import ModelSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Width of all panels in inches, the narrowest and the widest panel, height by width.
_PAGE, _NARROW, _WIDE, _HEIGHT = 8.4, 1.0, 2.1, 0.86
_TINY, _FEW = 6.5, 25
_OWN, _FITTED, _AVERAGE = "own least squares", "fitted", "average group, same predictors"


def trellis(
    data: Any,
    model: ModelSpec | Result,
    x: str,
    groups: Sequence[Any] | str | None = None,
    n: int = 16,
    order: str | None = None,
    seed: int = 1,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw the outcome against a predictor, each group in a panel of its own.

    Parameters
    ----------
    data : pandas.DataFrame
        The data; of a result, those it was fitted to.
    model : ModelSpec or Result
        Names the outcome and the groups; a result has its lines drawn.
    x : str
        A column of numbers. Of a result, one that its mean changes with.
    groups : sequence, "extremes" or None
        Which groups where there are more than ``n``: those named here (all of them, whatever
        ``n``), the ones of the lowest and the highest mean, or a sample.
    n : int
        How many panels at most, up to 160. The caption says how many of how many groups they are.
    order : {"size", "mean"}, optional
        Largest group first, or lowest mean first: that of its fitted values, without a result of
        its outcomes. By size where nothing is said, and named groups as they are named.
    seed : int
        Of the sample.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One for each panel; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        All panels have one scale. Dashed: the least-squares line of the group's own rows, as wide
        as they are; none where they have no line. Of a result also, solid, x'gamma + z'u_j at the
        estimates, pulled towards the dotted x'gamma, the line of a group with the same predictors
        whose effects are zero. Other predictors take the values of the group's rows, over which
        the lines are averaged.

    Raises
    ------
    OptionError
        Where an argument is out of its range, a group is unknown, or the fit has no line along x.
    DataError
        Or a class below it, where a column is missing or holds no numbers, or the data are not
        those of the fit.
    RequestError
        Where the model has no groups.

    Notes
    -----
    SCS 2017, Figure 2.

    Examples
    --------
    >>> data = bridge.datasets.load("hsb")
    >>> spec = bridge.ModelSpec("mathach ~ 1 + ses + (1 | school)")
    >>> [ax.get_title(loc="left") for ax in bridge.plots.trellis(data, spec, "ses", [1224, 1288])]
    ['1224 (47 rows)', '1288 (25 rows)']
    """
    found, rows = panels_of(data, model, x, groups, n, order, seed)
    wide = ceil(sqrt(len(found.panels)))
    width = float(np.clip(_PAGE / wide, _NARROW, _WIDE))
    places = [divmod(i, wide) for i in range(len(found.panels))]
    with style.drawing_grid(style.as_list(ax), places, (width, _HEIGHT * width)) as axes:
        for own, panel in zip(axes, found.panels, strict=True):
            _draw(own, panel, found.grid, few=len(axes) <= _FEW)
        _same_scale(axes, found)
        _around(axes, found, rows, x, wide if ax is None else None)
    return axes


def _draw(ax: Axes, panel: Panel, grid: np.ndarray, few: bool) -> None:
    n = len(panel.x)
    ax.plot(panel.x, panel.y, ls="", marker="o", ms=2.4 if few else 1.6, mew=0, color=style.LIGHT,
            rasterized=n > 5000)  # fmt: skip
    if panel.average is not None and panel.fitted is not None:
        ax.plot(grid, panel.average, **_look(_AVERAGE))
        ax.plot(grid, panel.fitted, **_look(_FITTED))
    if panel.own is not None:
        ends = np.array([panel.x.min(), panel.x.max()])
        ax.plot(ends, panel.own[0] + panel.own[1] * ends, **_look(_OWN))
    title = f"{panel.label} ({n} row{'s' * (n > 1)})"
    style.panel_words(ax, title if few else panel.label, "", "")
    ax.locator_params(nbins=4)
    if not few:
        ax.tick_params(labelsize=_TINY)
        ax.title.set_fontsize(_TINY)


def _look(line: str) -> dict[str, Any]:
    return {
        _OWN: {"color": style.BLACK, "lw": 1.0, "ls": "--"},
        _FITTED: {"color": style.BLUE, "lw": 1.5},
        _AVERAGE: {"color": style.VERMILLION, "lw": 1.2, "ls": ":"},
    }[line]


def _same_scale(axes: Sequence[Axes], found: Panels) -> None:
    """Give all panels the limits of the rows that are drawn."""
    x, y = (np.concatenate([getattr(p, name) for p in found.panels]) for name in "xy")
    for limit, values in (("xlim", x), ("ylim", y)):
        low, high = float(values.min()), float(values.max())
        room = 0.04 * (high - low) or 0.5
        for ax in axes:
            ax.set(**{limit: (low - room, high + room)})


def _around(axes: Sequence[Axes], found: Panels, rows: Rows, x: str, wide: int | None) -> None:
    """Write what stands around the panels; ``wide`` is how many stand side by side on a page."""
    fitted = rows.result is not None
    lines = [_OWN, *([_FITTED, _AVERAGE] if fitted else [])]
    handles = [axes[0].plot([], [], label=line, **_look(line))[0] for line in lines]
    what = rows.spec.outcome if rows.result is None else style.caption(rows.result)
    told = f"{what}; {found.choice}"
    if wide is None:
        for ax in axes:
            ax.set_xlabel(x, fontsize=style.SMALL)
            ax.set_ylabel(f"{rows.spec.outcome} (outcome)", fontsize=style.SMALL)
        axes[0].legend(handles=handles, loc="best")
    else:
        figure = axes[0].get_figure(root=True)
        for i, ax in enumerate(axes):
            lowest = i + wide >= len(axes)
            ax.tick_params(labelbottom=lowest, labelleft=i % wide == 0)
            if lowest:
                ax.set_xlabel(x, fontsize=style.SMALL, labelpad=1.5)
        figure.supylabel(f"{rows.spec.outcome} (outcome)", fontsize=style.NORMAL)
        style.legend_below(axes, handles)
    style.head(axes, f"Rows of each {rows.spec.group}", told)
