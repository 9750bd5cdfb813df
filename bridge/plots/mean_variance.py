"""Means of groups against their variances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bridge.plots import style
from bridge.quantities.groups import MEAN, SPREAD, check_one_profile, groups
from bridge.quantities.population import At
from bridge.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SIZE = (7.4, 5.2)
#: The area of the largest marker in square points, by the number of groups.
_AREA_FOR_ALL, _LEAST_AREA, _MOST_AREA = 16_000.0, 60.0, 160.0
_QUADRANTS = (
    ("high mean, low variance", 0.01, 0.985),
    ("high mean, high variance", 0.99, 0.985),
    ("low mean, low variance", 0.01, 0.015),
    ("low mean, high variance", 0.99, 0.015),
)


def mean_variance(result: Result, at: At | str = None, ax: Axes | None = None) -> Axes:
    """Draw the means of groups against their variances (Leckie, Parker et al., Figure 1).

    Parameters
    ----------
    result : Result
        Any fit with group effects in the mean and in the log variance.
    at : mapping, pandas.DataFrame, "own" or None
        Values of the predictors, as in `bridge.quantities.groups`, whose estimates are drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Variances across, means up; estimates are shrunk towards the average group, at which the
        two lines cross (with ``at="own"``, where there is one for each group, at their mean). The
        area of a marker is proportional to the rows of the group. ``r`` is the correlation of the
        points drawn, which is not that of the model (`rho`), for estimates are shrunk.

    Raises
    ------
    NotAvailable
        Where the model does not let mean and variance both differ between groups.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | s | school)", "~ 1 + (1 | s | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> bridge.plots.mean_variance(fitted).get_xlabel()
    'variance of school (outcome²)'
    """
    check_one_profile(result, at)
    frame = groups(result, at=at, of=[MEAN, SPREAD])
    mean, variance = (frame[frame["quantity"] == quantity] for quantity in (MEAN, SPREAD))
    x, y = variance["estimate"].to_numpy(float), mean["estimate"].to_numpy(float)
    name = style.group_name(result)
    with style.drawing(ax, _SIZE) as axes:
        axes.axvline(variance["average"].mean(), color=style.BLACK, lw=0.9, ls="--", zorder=2)
        axes.axhline(mean["average"].mean(), color=style.BLACK, lw=0.9, ls="--", zorder=2)
        _points(axes, x, y, mean["n"].to_numpy(), name)
        _quadrants(axes)
        style.words(
            axes,
            f"Mean and variance of each {name}",
            style.caption(result, "lines: the average group"),
            _scale(variance, name),
            _scale(mean, name),
        )
        style.at_corner(axes, f"r = {np.corrcoef(x, y)[0, 1]:.2f}".replace("-", "−"), "right")
    return axes


def _points(ax: Axes, x: np.ndarray, y: np.ndarray, n: np.ndarray, name: str) -> None:
    """Draw a marker for each group, large ones first, and the legend of their sizes."""
    largest = float(np.clip(_AREA_FOR_ALL / len(x), _LEAST_AREA, _MOST_AREA))
    area, order = largest * n / n.max(), np.argsort(-n, kind="stable")
    ax.scatter(
        x[order], y[order], s=area[order], color=style.BLUE, alpha=0.55, lw=0.4, ec="white",
        zorder=3,
    )  # fmt: skip
    for rows in dict.fromkeys(int(v) for v in np.quantile(n, [0, 0.5, 1], method="nearest")):
        ax.scatter([], [], s=largest * rows / n.max(), color=style.BLUE, alpha=0.55, label=rows)
    ax.legend(title=f"rows of {name}", title_fontsize=style.SMALL, loc="center left",
              bbox_to_anchor=(1.0, 0.5), labelspacing=0.8)  # fmt: skip


def _quadrants(ax: Axes) -> None:
    """Name the quadrants in the corners, with room for the words above and below the points."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.07 * (high - low), high + 0.07 * (high - low))
    for words, x, y in _QUADRANTS:
        ax.text(
            x, y, words, transform=ax.transAxes, fontsize=style.SMALL, style="italic",
            color=style.GREY, ha="left" if x < 0.5 else "right", va="top" if y > 0.5 else "bottom",
            zorder=4,
        )  # fmt: skip


def _scale(rows: pd.DataFrame, name: str) -> str:
    return f"{rows['quantity'].iloc[0]} of {name} ({rows['scale'].iloc[0]})"
