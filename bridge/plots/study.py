"""A simulation study: coverage, standard errors against the spread of estimates, and bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bridge.engines.harmonise import Z95
from bridge.errors import OptionError, RequestError, suggest
from bridge.plots import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from bridge.study_result import Study

_NOMINAL = 0.95
_WIDTH, _ROW, _HEAD = 7.0, 0.13, 1.2
_BAND = "#E3E3E3"


def study_coverage(
    study: Study, parameters: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the coverage of 95% intervals by parameter, model and engine.

    Parameters
    ----------
    study : Study
        What `bridge.simulation_study` returns.
    parameters : sequence of str, optional
        The parameters to draw, by flat name; by default all with a true value.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Percent of the fits whose interval holds the true value; a missing interval holds nothing.
        The grey band holds 95% of what intervals of exact coverage give in as many fits
        (binomial), those of the series with the fewest.

    Raises
    ------
    RequestError
        Where what is given is no study, or no parameter of it has a true value.
    OptionError
        Where a parameter is unknown.

    Examples
    --------
    >>> B = bridge.ModelSpec("y ~ 1 + (1 | school)")
    >>> truth = {"gamma[Intercept]": 0, "delta[Intercept]": 0, "tau[u:Intercept,u:Intercept]": 1}
    >>> design = bridge.SimulationDesign(groups=20, size=10)
    >>> study = bridge.simulation_study(truth, design, {"B": B}, ["agq"], 4, seed=1, workers=1)
    >>> bridge.plots.study_coverage(study).get_xlabel()
    'coverage of 95% intervals, %'
    """
    from scipy import stats

    table = _table(study, parameters)
    n = int(table["n"].min())
    low, high = stats.binom.ppf([(1 - _NOMINAL) / 2, (1 + _NOMINAL) / 2], n, _NOMINAL) / max(n, 1)
    said = f"{_fits(table)}; grey: 95% of what exact intervals give in {n:,} fits"
    with style.drawing(ax, _size(table)) as axes:
        axes.axvspan(100 * low, 100 * high, color=_BAND, lw=0, zorder=0)
        axes.axvline(100 * _NOMINAL, color=style.GREY, lw=0.8, ls=":", zorder=1)
        _rows(axes, table, lambda own: (100 * own["coverage"], None))
        style.words(axes, "Coverage", said, "coverage of 95% intervals, %", "")
    return axes


def study_se_ratio(
    study: Study, parameters: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the mean standard error over the SD of the estimates; below 1 precision is spurious.

    Parameters
    ----------
    study : Study
        What `bridge.simulation_study` returns.
    parameters : sequence of str, optional
        The parameters to draw, by flat name; by default all with a true value.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Ratios with 1.96 Monte Carlo errors to each side.

    Raises
    ------
    RequestError
        Where what is given is no study, or no parameter of it has a true value.
    OptionError
        Where a parameter is unknown.

    Examples
    --------
    >>> B = bridge.ModelSpec("y ~ 1 + (1 | school)")
    >>> truth = {"gamma[Intercept]": 0, "delta[Intercept]": 0, "tau[u:Intercept,u:Intercept]": 1}
    >>> design = bridge.SimulationDesign(groups=20, size=10)
    >>> study = bridge.simulation_study(truth, design, {"B": B}, ["agq"], 4, seed=1, workers=1)
    >>> bridge.plots.study_se_ratio(study).get_xlabel()
    'mean standard error / SD of the estimates'
    """
    table = _table(study, parameters)
    with style.drawing(ax, _size(table)) as axes:
        axes.axvline(1.0, color=style.GREY, lw=0.8, ls=":", zorder=1)
        _rows(axes, table, lambda own: (own["se_ratio"], own["se_ratio_mc"]))
        said = f"{_fits(table)}; lines: 1.96 Monte Carlo errors; below 1: spurious precision"
        style.words(axes, "Standard errors", said, "mean standard error / SD of the estimates", "")
    return axes


def study_bias(
    study: Study, parameters: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the bias of estimates, in units of their SD.

    Parameters
    ----------
    study : Study
        What `bridge.simulation_study` returns.
    parameters : sequence of str, optional
        The parameters to draw, by flat name; by default all with a true value.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Mean estimate less true value over the SD of the estimates, so that parameters of all
        scales stand on one axis, with 1.96 Monte Carlo errors of the mean to each side.

    Raises
    ------
    RequestError
        Where what is given is no study, or no parameter of it has a true value.
    OptionError
        Where a parameter is unknown.

    Examples
    --------
    >>> B = bridge.ModelSpec("y ~ 1 + (1 | school)")
    >>> truth = {"gamma[Intercept]": 0, "delta[Intercept]": 0, "tau[u:Intercept,u:Intercept]": 1}
    >>> design = bridge.SimulationDesign(groups=20, size=10)
    >>> study = bridge.simulation_study(truth, design, {"B": B}, ["agq"], 4, seed=1, workers=1)
    >>> bridge.plots.study_bias(study).get_xlabel()
    'bias / SD of the estimates'
    """
    table = _table(study, parameters)
    with style.drawing(ax, _size(table)) as axes:
        axes.axvline(0.0, color=style.GREY, lw=0.8, ls=":", zorder=1)
        _rows(axes, table, lambda own: (own["bias"] / own["sd"], own["bias_mc"] / own["sd"]))
        said = f"{_fits(table)}; lines: 1.96 Monte Carlo errors"
        style.words(axes, "Bias", said, "bias / SD of the estimates", "")
    return axes


# --- the numbers -----------------------------------------------------------------------------
def _table(study: Study, parameters: Sequence[str] | None) -> pd.DataFrame:
    """Return the rows to draw, each with its series: model and engine."""
    if not callable(getattr(study, "table", None)):
        raise RequestError(
            f"This picture is of a study, which bridge.simulation_study returns, not of "
            f"{type(study).__name__}."
        )
    table = study.table()
    table = table[table["true"].notna()] if len(table) else table
    if table.empty:
        raise RequestError("No parameter of the study has a true value and an estimate.")
    known = list(dict.fromkeys(table["parameter"]))
    for name in known if parameters is None else parameters:
        if name not in known:
            raise OptionError(f"The study has no parameter '{name}'.{suggest(name, known)}")
    chosen = table[table["parameter"].isin(known if parameters is None else list(parameters))]
    if chosen.empty:
        raise OptionError("parameters is empty; name one, or leave it out for all of them.")
    several = len(set(chosen["engine"])) > 1
    by = ", " + chosen["engine"] if several else ""
    return chosen.assign(series=chosen["model"] + by)


def _size(table: pd.DataFrame) -> tuple[float, float]:
    rows = table["parameter"].nunique() * (1 + table["series"].nunique())
    return _WIDTH, _HEAD + _ROW * rows


def _fits(table: pd.DataFrame) -> str:
    """Say how many fits a number is of, and by which engine where there is one."""
    n = sorted(set(table["n"]))
    count = f"{n[0]:,}" if len(n) == 1 else f"{n[0]:,} to {n[-1]:,}"
    engines = list(dict.fromkeys(table["engine"]))
    by = f" by {engines[0]}" if len(engines) == 1 else ""
    return f"{count} of {table['replications'].iloc[0]:,} fits each{by}"


# --- the picture -----------------------------------------------------------------------------
def _rows(
    ax: Axes,
    table: pd.DataFrame,
    numbers: Callable[[pd.DataFrame], tuple[pd.Series, pd.Series | None]],
) -> None:
    """Draw a row a parameter from the top, its series one below the other."""
    parameters = list(dict.fromkeys(table["parameter"]))
    series = list(dict.fromkeys(table["series"]))
    step = 0.8 / len(series)
    for place, name in enumerate(series):
        own = table[table["series"] == name]
        colour, marker = style.SERIES[place % len(style.SERIES)]
        y = own["parameter"].map(parameters.index).to_numpy(float)
        y = y + (place - (len(series) - 1) / 2) * step
        values, error = numbers(own)
        x = values.to_numpy(float)
        if error is not None:
            half = Z95 * error.to_numpy(float)
            ax.hlines(y, x - half, x + half, colors=colour, lw=1.5, zorder=2)
        ax.plot(
            x, y, ls="", marker=marker, ms=5, color=colour, mew=0, label=name, clip_on=False,
            zorder=3,
        )  # fmt: skip
    ax.set_yticks(range(len(parameters)), parameters)
    ax.set_ylim(len(parameters) - 0.5, -0.5)
    for between in np.arange(len(parameters) - 1) + 0.5:
        ax.axhline(between, color="#D9D9D9", lw=0.6, zorder=0)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if len(series) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
