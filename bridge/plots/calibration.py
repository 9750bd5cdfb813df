"""Are ranks uniform? Histograms of them, and their distribution functions less the uniform one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bridge.calibration_ranks import band, below, bins_of, described, histogram
from bridge.plots import style
from bridge.plots.parameters import chosen
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bridge.calibration_ranks import Calibration

_WIDTH, _HEIGHT, _COLUMNS = 3.1, 2.5, 3
_BAND = "#D9D9D9"
#: A name of so many letters fills the width of a panel; the smallest type, in points.
_LONG, _LEAST = 30, 5.0


def calibration_ranks(
    calibration: Calibration,
    parameters: Sequence[str] | str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw a histogram of the ranks of each parameter, beside what uniform ranks would give.

    Parameters
    ----------
    calibration : Calibration
        From `bridge.calibrate`.
    parameters : str or sequence of str, optional
        Which; all of them by default.
    ax : matplotlib.axes.Axes or sequence of them, optional
        Where to draw, one for each parameter; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        One a parameter. The line is the number of ranks that a bin expects, the grey band holds
        each bin's number with probability 99% (binomial, each bin alone: of many bins some may be
        outside). Heaps at both ends are draws that spread too little, a heap in the middle ones
        that spread too much, a slope a bias.

    Raises
    ------
    OptionError
        Where a parameter is unknown, or there are not as many axes as parameters.
    NotAvailable
        Where every fit failed, so that there are no ranks.

    Examples
    --------
    >>> axes = bridge.plots.calibration_ranks(found, ["gamma[x]"])  # doctest: +SKIP
    """
    names = chosen(parameters, calibration.parameters)
    with style.drawing_grid(style.as_list(ax), _places(names), (_WIDTH, _HEIGHT)) as axes:
        for panel, name in zip(axes, names, strict=True):
            _histogram(panel, calibration, name)
        if ax is None:
            _heading(axes, calibration, "99% of each bin")
    return axes


def calibration_ecdf(
    calibration: Calibration,
    parameters: Sequence[str] | str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw the distribution function of the ranks of each parameter less the uniform one.

    Parameters
    ----------
    calibration, parameters, ax
        As for `calibration_ranks`.

    Returns
    -------
    list of matplotlib.axes.Axes
        One a parameter, across the share of ranks below. The band holds the whole line at once;
        over all parameters of the calibration all lines are inside with probability 99% (Säilynoja,
        Bürkner & Vehtari 2022, Bonferroni over parameters). A line that leaves it is drawn in
        another colour and its panel says "outside". A line above zero at first and below it later
        is of draws that spread too little, the reverse of draws that spread too much.

    Raises
    ------
    OptionError
        Where a parameter is unknown, or there are not as many axes as parameters.
    NotAvailable
        Where every fit failed, so that there are no ranks.

    Examples
    --------
    >>> axes = bridge.plots.calibration_ecdf(found)  # doctest: +SKIP
    """
    names = chosen(parameters, calibration.parameters)
    with style.drawing_grid(style.as_list(ax), _places(names), (_WIDTH, _HEIGHT)) as axes:
        for panel, name in zip(axes, names, strict=True):
            _difference(panel, calibration, name)
        if ax is None:
            _heading(axes, calibration, f"{calibration.level:.0%} of all lines at once")
    return axes


def _places(names: Sequence[str]) -> list[tuple[int, int]]:
    return [divmod(k, _COLUMNS) for k in range(len(names))]


def _histogram(ax: Axes, calibration: Calibration, name: str) -> None:
    ranks, L = calibration.of(name), calibration.draws
    counts, bins = histogram(ranks, L), bins_of(len(ranks), L)
    lower, upper = stats.binom.ppf([0.005, 0.995], len(ranks), 1 / bins)
    ax.axhspan(lower, upper, color=_BAND, lw=0)
    width = (L + 1) / bins
    ax.bar(
        np.arange(bins) * width - 0.5, counts, width, align="edge",
        color=style.SKY, alpha=0.55, ec=style.BLUE, lw=0.6,
    )  # fmt: skip
    ax.axhline(len(ranks) / bins, color=style.BLACK, lw=0.9, ls="--")
    ax.set_xlim(-0.5, L + 0.5)
    ax.set_ylim(0, 1.15 * max(float(upper), float(counts.max())))
    caption = _caption(calibration, len(ranks))
    style.words(ax, name, caption, f"rank among {L} draws", "simulations")
    _fit_title(ax, name)


def _difference(ax: Axes, calibration: Calibration, name: str) -> None:
    ranks, L = calibration.of(name), calibration.draws
    z = np.arange(1, L + 1) / (L + 1)
    lower, upper = band(len(ranks), L, calibration.probability)
    count = below(ranks, L)
    outside = bool(((count < lower) | (count > upper)).any())
    line = count / len(ranks) - z
    x = np.concatenate([[0.0], z, [1.0]])

    def ends(values: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], values, [0.0]])

    ax.fill_between(
        x, ends(lower / len(ranks) - z), ends(upper / len(ranks) - z), color=_BAND, lw=0
    )
    ax.axhline(0, color=style.BLACK, lw=0.9, ls="--")
    colour, weight = (style.VERMILLION, 1.8) if outside else (style.BLUE, 1.2)
    ax.plot(x, ends(line), color=colour, lw=weight)
    edge = 1.15 * float(np.abs([lower / len(ranks) - z, upper / len(ranks) - z, line]).max())
    ax.set(xlim=(0, 1), ylim=(-edge, edge))
    style.words(ax, name, _caption(calibration, len(ranks)), f"rank / {L + 1}", "ECDF less uniform")
    _fit_title(ax, name)
    if outside:
        ax.text(0.98, 0.97, "outside", transform=ax.transAxes, ha="right", va="top",
                fontsize=style.SMALL)  # fmt: skip


def _fit_title(ax: Axes, name: str) -> None:
    """Write a long name so small that it does not run into the next panel."""
    size = style.LARGE * min(1.0, _LONG / len(name))
    ax.set_title(name, loc="left", fontsize=max(size, _LEAST), pad=style.TITLE_PAD)


def _caption(calibration: Calibration, size: int) -> str:
    """Say whose draws a panel is of, and of how many simulations."""
    failed = f", {calibration.failed} failed" if calibration.failed else ""
    return f"{calibration.engine}, {calibration.method}; {counted(size, 'simulation')}{failed}"


def _heading(axes: Sequence[Axes], calibration: Calibration, of_band: str) -> None:
    """Say above all panels what they are of."""
    text = (
        f"{calibration.outcome} by {calibration.engine}, {described(calibration)}; band: {of_band}"
    )
    figure: Any = axes[0].figure
    figure.suptitle(text, fontsize=style.SMALL, color=style.GREY, x=0.01, ha="left")
