"""Have the chains mixed? Traces, ranks and autocorrelations of the draws of a posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bridge import arviz_compat
from bridge.plots import style
from bridge.plots.parameters import Parameter, chains_caption, diverging, sampled
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRACE, _PANEL = (4.1, 1.35), (2.75, 1.75)
_COLUMNS, _BINS, _LAGS = 3, 20, 100
#: How much of the distance between two chains the highest bar of a rank plot takes.
_TALLEST = 0.85
_EQUAL = "all draws are equal"


def trace(
    result: Result,
    parameters: Sequence[str] | str | None = None,
    ax: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw the density of each parameter by chain, and beside it its draws one after the other.

    Parameters
    ----------
    result : Result
        Of an engine with draws.
    parameters : sequence of str, optional
        Flat names, such as "gamma[sector]"; group effects are called "u[1224, u:Intercept]". By
        default every parameter of the model and no group effect.
    ax : sequence of matplotlib.axes.Axes, optional
        Two for each parameter; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        For each parameter the densities (ArviZ's kernel estimate), then the draws. A chain has
        its colour, and in the densities its line; black ticks at the lower edge are draws at
        which a trajectory diverged.

    Raises
    ------
    NotAvailable
        Where the result has no draws; engines that have are named.
    OptionError
        Where a parameter is unknown, or ``ax`` are not as many as the panels.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> drawn = bridge.fit(spec, bridge.datasets.load("hsb"), "fake", draws=100, seed=1)
    >>> [ax.get_xlabel() for ax in bridge.plots.trace(drawn, "gamma[Intercept]")]
    ['gamma[Intercept] (outcome)', 'draw']
    """
    several, divergent = sampled(result, parameters), diverging(result)
    places = [(row, column) for row in range(len(several)) for column in (0, 1)]
    with style.drawing_grid(style.as_list(ax), places, _TRACE) as axes:
        for parameter, left, right in zip(several, axes[::2], axes[1::2], strict=True):
            _densities(left, parameter, divergent)
            _lines(right, parameter, divergent)
        handles = _handles(axes[1], several[0], divergent)
        axes[1].legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0),
                       ncols=len(handles), borderaxespad=0.1, **_LEGEND)  # fmt: skip
        style.head(axes, "Traces", chains_caption(result, divergent))
    return axes


def rank(
    result: Result,
    parameters: Sequence[str] | str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw for each parameter how the ranks of a chain's draws among all draws are spread.

    Parameters
    ----------
    result, parameters
        As for `trace`.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One for each parameter; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        Histograms in 20 bins, a chain above the other; the dashed lines are the height of equal
        counts, to which bars of chains that have mixed come close (Vehtari, Gelman, Simpson,
        Carpenter & Buerkner 2021, Bayesian Analysis 16(2), section 4.4).

    Raises
    ------
    NotAvailable, OptionError
        As for `trace`.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> drawn = bridge.fit(spec, bridge.datasets.load("hsb"), "fake", draws=100, seed=1)
    >>> bridge.plots.rank(drawn, "gamma[Intercept]")[0].get_xlabel()
    'rank among all draws'
    """
    several, divergent = sampled(result, parameters), diverging(result)
    places = [divmod(i, min(_COLUMNS, len(several))) for i in range(len(several))]
    with style.drawing_grid(style.as_list(ax), places, _PANEL) as axes:
        for parameter, own in zip(several, axes, strict=True):
            _ranks(own, parameter)
        told = chains_caption(result, divergent, "dashed: equal counts")
        style.head(axes, "Ranks of draws", told)
    return axes


def autocorrelation(
    result: Result,
    parameters: Sequence[str] | str | None = None,
    lags: int | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw for each parameter how draws depend on those before them, chain by chain.

    Parameters
    ----------
    result, parameters
        As for `trace`.
    lags : int, optional
        The largest lag; by default 100, or half the draws where there are fewer.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One for each parameter; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        The autocorrelation (ArviZ's) of each chain by lag from 0. The grey band, 1.96 / sqrt(draws
        of a chain) to both sides, holds 95% of those of independent draws; the effective draws of
        all chains stand in the panel.

    Raises
    ------
    NotAvailable, OptionError
        As for `trace`; also where ``lags`` is out of its range.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> drawn = bridge.fit(spec, bridge.datasets.load("hsb"), "fake", draws=100, seed=1)
    >>> bridge.plots.autocorrelation(drawn, "gamma[Intercept]")[0].get_xlabel()
    'lag (draws)'
    """
    several, divergent = sampled(result, parameters), diverging(result)
    most = divergent.shape[1] - 1
    wanted = (
        min(_LAGS, max(1, (most + 1) // 2)) if lags is None else style.whole("lags", lags, 1, most)
    )
    places = [divmod(i, min(_COLUMNS, len(several))) for i in range(len(several))]
    with style.drawing_grid(style.as_list(ax), places, _PANEL) as axes:
        for parameter, own in zip(several, axes, strict=True):
            _correlations(own, parameter, wanted)
        handles = _handles(axes[0], several[0], np.zeros_like(divergent))
        if ax is None:
            style.legend_below(axes, handles)
        else:
            axes[0].legend(handles=handles, loc="center right", **_LEGEND)
        told = chains_caption(result, divergent, "band: 95% of independent draws")
        style.head(axes, "Autocorrelation", told)
    return axes


# --- panels -----------------------------------------------------------------------------------
def _densities(ax: Axes, parameter: Parameter, divergent: np.ndarray) -> None:
    for i, own in enumerate(parameter.draws):
        if np.isfinite(own).all() and np.ptp(own) > 0:
            ax.plot(*arviz_compat.density(own), lw=1.1, **_look(i))
    if not parameter.moves:
        _say(ax, _EQUAL)
    ax.set_ylim(bottom=0)
    ax.set_yticks([])
    _ticks(ax, parameter.draws[divergent])
    style.panel_words(ax, "", parameter.label, "density")


def _lines(ax: Axes, parameter: Parameter, divergent: np.ndarray) -> None:
    x = np.arange(parameter.draws.shape[1])
    for i, own in enumerate(parameter.draws):
        ax.plot(x, own, lw=0.5, alpha=0.75, color=_look(i)["color"], rasterized=True)
    _ticks(ax, np.nonzero(divergent)[1])
    ax.set_xlim(0, max(len(x) - 1, 1))
    style.panel_words(ax, "", "draw", parameter.scale.replace(" × ", " ×\n"))


def _ranks(ax: Axes, parameter: Parameter) -> None:
    chains, draws = parameter.draws.shape
    ranks = stats.rankdata(parameter.draws, axis=None).reshape(chains, draws)
    edges = np.linspace(0.5, chains * draws + 0.5, min(_BINS, draws) + 1)
    counts = np.array([np.histogram(own, edges)[0] for own in ranks])
    equal, height = draws / (len(edges) - 1), _TALLEST / counts.max()
    for i, own in enumerate(counts):
        ax.bar(edges[:-1], height * own, np.diff(edges), i, align="edge",
               color=_look(i)["color"], ec="white", lw=0.4)  # fmt: skip
        ax.axhline(i + height * equal, color=style.BLACK, lw=0.8, ls="--")
    ax.set_yticks(range(chains), [str(i) for i in range(chains)])
    ax.set_xlim(edges[0], edges[-1])
    ax.locator_params(axis="x", nbins=4)
    ax.set_ylim(0, chains)
    if not parameter.moves:
        _say(ax, _EQUAL)
    style.panel_words(ax, parameter.title, "rank among all draws", "chain")


def _correlations(ax: Axes, parameter: Parameter, lags: int) -> None:
    found = arviz_compat.autocorrelation(parameter.draws)[:, : lags + 1]
    band = stats.norm.ppf(0.975) / np.sqrt(parameter.draws.shape[1])
    ax.axhspan(-band, band, color="#D9D9D9", lw=0)
    ax.axhline(0, color=style.GREY, lw=0.6)
    for i, own in enumerate(found):
        ax.plot(own, lw=1.0, **_look(i))
    ax.set_xlim(0, lags)
    ax.set_ylim(min(-0.3, 1.1 * float(np.nanmin(found, initial=0.0))), 1.03)
    if parameter.moves:
        ess = arviz_compat.diagnostics(parameter.draws)["ess_bulk"]
        if np.isfinite(ess):
            _say(ax, f"effective draws {ess:.0f}")
    else:
        _say(ax, _EQUAL)
    style.panel_words(ax, parameter.title, "lag (draws)", "autocorrelation")


# --- looks ------------------------------------------------------------------------------------
_LEGEND: dict[str, Any] = {"handlelength": 1.8, "columnspacing": 1.0}
_TICK: dict[str, Any] = {"ls": "", "marker": "|", "ms": 9, "mew": 1.0, "color": style.BLACK}


def _ticks(ax: Axes, x: np.ndarray) -> None:
    """Draw ticks at the lower edge; what is drawn empty and unclipped has no size to lay out."""
    if len(x):
        ax.plot(x, np.zeros(len(x)), **_TICK, clip_on=False, transform=ax.get_xaxis_transform())


def _look(chain: int) -> dict[str, str]:
    colour = style.SERIES[chain % len(style.SERIES)][0]
    return {"color": colour, "ls": style.DASHES[chain % len(style.DASHES)]}


def _say(ax: Axes, text: str) -> None:
    ax.text(0.98, 0.94, text, transform=ax.transAxes, ha="right", va="top", fontsize=style.SMALL)


def _handles(ax: Axes, parameter: Parameter, divergent: np.ndarray) -> list[Any]:
    """Return what names the chains in a legend, and the ticks of divergences if there are any."""
    handles = [
        ax.plot([], [], lw=1.2, label=f"chain {i}", **_look(i))[0]
        for i in range(len(parameter.draws))
    ]
    if divergent.any():
        handles += ax.plot([], [], label="divergence", **_TICK)
    return handles
