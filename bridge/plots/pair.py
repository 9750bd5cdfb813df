"""Draws of parameters against each other: ridges, funnels, and where trajectories diverged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import OptionError
from bridge.plots import style
from bridge.plots.parameters import Parameter, chains_caption, diverging, sampled
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL, _BINS = (1.45, 1.3), 30
#: So many parameters can be told apart on a page.
_MOST = 20
_TINY = 6.5
#: A line of a label holds about so many letters.
_LINE = 20


def pair(
    result: Result,
    parameters: Sequence[str] | None = None,
    ax: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw the draws of each parameter against those of each other one.

    Parameters
    ----------
    result : Result
        Of an engine with draws.
    parameters : sequence of str, optional
        Two to 20 flat names; group effects are called "u[1224, u:Intercept]". By default every
        parameter of the model and no group effect.
    ax : sequence of matplotlib.axes.Axes, optional
        One for each panel; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        The lower triangle, row by row: the pairs, and at the end of a row the histogram of its
        parameter. Dots are draws of all chains, crosses draws at which a trajectory diverged, r
        the correlation of the draws.

    Raises
    ------
    NotAvailable
        Where the result has no draws; engines that have are named.
    OptionError
        Where a parameter is unknown, there are fewer than two or too many, or ``ax`` are not as
        many as the panels.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> drawn = bridge.fit(spec, bridge.datasets.load("hsb"), "fake", draws=100, seed=1)
    >>> len(bridge.plots.pair(drawn, ["gamma[Intercept]", "delta[Intercept]"]))
    3
    """
    several, divergent = sampled(result, parameters), diverging(result)
    k = len(several)
    if not 2 <= k <= _MOST:
        raise OptionError(
            f"A picture of pairs takes 2 to {_MOST} parameters, not {k}; choose them by "
            f"parameters=[…] of: {', '.join(result.estimates['parameter'])}."
        )
    places = [(row, column) for row in range(k) for column in range(row + 1)]
    with style.drawing_grid(style.as_list(ax), places, _PANEL) as axes:
        for own, (row, column) in zip(axes, places, strict=True):
            if row == column:
                _marginal(own, several[row])
            else:
                _scatter(own, several[column], several[row], divergent)
            _labels(own, several, row, column)
        told = chains_caption(result, divergent, *["crosses: divergences"] * bool(divergent.any()))
        style.head(axes, "Pairs of parameters", told)
    return axes


def _scatter(ax: Axes, across: Parameter, up: Parameter, divergent: np.ndarray) -> None:
    x, y = across.draws, up.draws
    alpha = float(np.clip(300 / x.size, 0.08, 0.5))
    ax.plot(x[~divergent], y[~divergent], ls="", marker="o", ms=2, mew=0, color=style.BLUE,
            alpha=alpha, rasterized=True)  # fmt: skip
    if divergent.any():
        ax.plot(x[divergent], y[divergent], ls="", marker="x", ms=4, mew=1.0,
                color=style.VERMILLION, zorder=4)  # fmt: skip
    if across.moves and up.moves:
        r = np.corrcoef(x.ravel(), y.ravel())[0, 1]
        ax.text(0.97, 0.96, f"r = {r:.2f}".replace("-", "−"), transform=ax.transAxes, ha="right",
                va="top", fontsize=_TINY,
                bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.6})  # fmt: skip


def _marginal(ax: Axes, parameter: Parameter) -> None:
    ax.hist(parameter.draws.ravel(), bins=_BINS, color=style.SKY, ec="white", lw=0.3)


def _labels(ax: Axes, several: Sequence[Parameter], row: int, column: int) -> None:
    """Label the outer panels, and the counts of histograms not at all."""
    last = row == len(several) - 1
    style.panel_words(ax, "", "", "")
    ax.tick_params(labelsize=_TINY, labelbottom=last, labelleft=column == 0 and row > 0, pad=1.5)
    ax.locator_params(nbins=4)
    if last:
        ax.set_xlabel(_wrapped(several[column]), fontsize=_TINY, labelpad=1.5)
    if column == 0 and row:
        ax.set_ylabel(_wrapped(several[row]), fontsize=_TINY, labelpad=1.5)
    if row == column:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)


def _wrapped(parameter: Parameter) -> str:
    """Return name and scale in lines that fit a panel."""
    name = parameter.name if len(parameter.name) <= _LINE else parameter.name.replace(",", ",\n")
    return f"{name}\n({parameter.scale})" if parameter.scale else name
