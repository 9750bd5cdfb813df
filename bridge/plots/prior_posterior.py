"""What the data add to a prior: its density beside that of the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bridge import arviz_compat, names
from bridge.design_of import design_of
from bridge.errors import NotAvailable
from bridge.plots import style
from bridge.plots.prior_curves import CORRELATION, ENDS, POSITIVE, PriorCurve, prior_curve
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (6.4, 4.0)
_POINTS, _BINS = 500, 40
#: How far the picture goes: central probability of the posterior, and its width to each side.
_TAIL, _MARGIN = 0.0005, 0.25


def prior_posterior(result: Result, parameter: str, ax: Axes | None = None) -> Axes:
    """Draw the prior density of a parameter beside its posterior.

    Parameters
    ----------
    result : Result
        Any fit.
    parameter : str
        A flat name, such as "gamma[sector]" or "tau[v:Intercept,v:Intercept]".
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Of a posterior the histogram and a Gaussian kernel estimate of the draws. Of other fits,
        which have none, the normal density of the estimate with its standard error, named so: of a
        variance on the log and of a correlation on the atanh scale, as their intervals are; the
        prior is then that of the Bayesian engines, and not used. Priors are carried to the scale of
        the parameter; a flat one has no density, and stands in the legend alone. The picture is as
        wide as the posterior needs.

    Raises
    ------
    NotAvailable
        Where the parameter is unknown, its prior is no density of one number (a covariance has
        its through the correlation), or the estimate has no standard error.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> ax = bridge.plots.prior_posterior(fitted, "tau[u:Intercept,u:Intercept]")
    >>> ax.get_xlabel()
    'tau[u:Intercept,u:Intercept] (outcome²)'
    """
    curve = prior_curve(design_of(result), parameter)
    scale = result.estimates.set_index("parameter")["scale"][parameter]
    draws = _draws(result, curve) if result.method == "posterior" else None
    law = stats.gaussian_kde(draws) if draws is not None else None
    grid = _grid(result, parameter, curve, draws)
    after = law(grid) if law is not None else _normal(result, parameter, curve, grid)
    with style.drawing(ax, _SIZE) as axes:
        if draws is not None:
            axes.hist(draws, bins=_BINS, density=True, color=style.SKY, alpha=0.5, lw=0)
        axes.plot(grid, after, color=style.BLUE, lw=1.6, label=_words_after(draws, curve))
        _prior(axes, grid, after, curve, used=draws is not None)
        axes.set_xlim(grid[0], grid[-1])
        style.words(
            axes,
            "Prior and posterior" if draws is not None else "Prior and normal approximation",
            style.caption(result),
            f"{parameter} ({scale})",
            "density",
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1)
    return axes


def _prior(ax: Axes, grid: np.ndarray, after: np.ndarray, curve: PriorCurve, used: bool) -> None:
    """Draw the prior; how high the picture is, the posterior says, and the prior below it."""
    words = f"prior: {curve.words}{'' if used else ' (not used)'}"
    look = {"color": style.VERMILLION, "lw": 1.4, "ls": "--", "label": words}
    top = max(after.max(), *(bar.get_height() for bar in ax.patches), 0.0)
    if curve.density is None:
        ax.plot([], [], **look)  # has no density
    else:
        before = curve.density(grid)
        ax.plot(grid, before, **look)
        bulk = before[after > 0.15 * after.max()]
        top = max(top, float(bulk[np.isfinite(bulk)].max(initial=0.0)))
    ax.set_ylim(0, 1.15 * top)


def _words_after(draws: np.ndarray | None, curve: PriorCurve) -> str:
    if draws is not None:
        return f"posterior: {len(draws)} draws"
    link = {POSITIVE: " on the log scale", CORRELATION: " on the atanh scale"}
    return f"normal approximation{link.get(curve.range, '')}"


def _draws(result: Result, curve: PriorCurve) -> np.ndarray:
    own = arviz_compat.groups_of(result.idata)["posterior"][curve.variable]
    if curve.label is not None:
        own = own.sel({names.VARIABLES[curve.variable][0]: curve.label})
    values: np.ndarray = own.values.reshape(-1)
    if np.ptp(values) == 0:
        raise NotAvailable(
            f"All draws of {names.flat(curve.variable, curve.label)} are equal; there is no "
            "density to draw."
        )
    return values


def _linked(result: Result, parameter: str, curve: PriorCurve) -> tuple[float, float]:
    """Return estimate and standard error on the scale on which they count as normal."""
    row = result.estimates.set_index("parameter").loc[parameter]
    if row.isna()["se"]:
        raise NotAvailable(
            f"{parameter} has no standard error in this fit by {result.engine}, and so no normal "
            "approximation to draw."
        )
    value, se = float(row["estimate"]), float(row["se"])
    if curve.range == POSITIVE:
        return float(np.log(value)), se / value
    if curve.range == CORRELATION:
        return float(np.arctanh(value)), se / (1 - value**2)
    return value, se


def _normal(result: Result, parameter: str, curve: PriorCurve, x: np.ndarray) -> np.ndarray:
    mean, sd = _linked(result, parameter, curve)
    if curve.range == POSITIVE:
        found = stats.norm.pdf(np.log(x), mean, sd) / x
    elif curve.range == CORRELATION:
        found = stats.norm.pdf(np.arctanh(x), mean, sd) / (1 - x**2)
    else:
        found = stats.norm.pdf(x, mean, sd)
    return np.asarray(found)


def _grid(
    result: Result, parameter: str, curve: PriorCurve, draws: np.ndarray | None
) -> np.ndarray:
    """Return values over all of the posterior and some of what the prior has beside it."""
    if draws is not None:
        low, high = np.quantile(draws, [_TAIL, 1 - _TAIL])
    else:
        back = {POSITIVE: np.exp, CORRELATION: np.tanh}.get(curve.range, np.asarray)
        mean, sd = _linked(result, parameter, curve)
        low, high = back(mean + sd * stats.norm.ppf([_TAIL, 1 - _TAIL]))
    beside, (first, last) = _MARGIN * (high - low), ENDS[curve.range]
    # the ends of a range are left out: a density can be infinite there
    inside = 1e-3 * (high - low)
    return np.linspace(max(low - beside, first + inside), min(high + beside, last - inside),
                       _POINTS)  # fmt: skip
