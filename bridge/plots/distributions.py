"""Are residuals and group effects normal? Quantiles and densities of them beside the normal's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from bridge.errors import NotAvailable, OptionError, suggest
from bridge.plots import style
from bridge.quantities.residuals import residuals
from bridge.result import Result
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESIDUALS = "residuals"
POINTWISE, SIMULTANEOUS = "pointwise", "simultaneous"
_QQ_SIZE, _HISTOGRAM_SIZE = (4.9, 5.1), (6.4, 4.0)
_COVERED = 0.95
_GRID, _MOST_BINS = 400, 80
#: Of the simultaneous band: simulated samples, and how many of their points.
_SIMULATED, _SOME = 4000, 200


@dataclass(frozen=True)
class _Sample:
    """What a picture is of: numbers in SDs, what they are, and how many could not be had."""

    values: np.ndarray
    name: str
    unit: str
    omitted: int
    whose: str = ""

    @property
    def scale(self) -> str:
        return f"{self.name}, standardised (SDs)"

    def caption(self, result: Result, *more: str) -> str:
        left_out = [f"{self.omitted} left out, not known well enough"] * bool(self.omitted)
        number = f"{counted(len(self.values), self.unit)}{self.whose}"
        return style.caption(result, number, *more, *left_out)


def qq(result: Result, of: str = RESIDUALS, band: str = POINTWISE, ax: Axes | None = None) -> Axes:
    """Draw quantiles of residuals or group effects against those of the standard normal.

    Parameters
    ----------
    result : Result
        Any fit.
    of : str
        "residuals" (of rows) or a group effect, such as "u:Intercept" or "v:Intercept"; each
        standardised as in `bridge.quantities.residuals`.
    band : {"pointwise", "simultaneous"}
        What the grey band holds with probability 95% where the numbers are independent and
        standard normal: each point (its order statistic, by the beta distribution), or all of them
        at once (each at one and the same smaller level; Aldor-Noiman et al. 2013).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Point i of n stands at the normal quantile of (i - 1/2) / n. The line is that of equality,
        not fitted. Estimated residuals are only nearly independent and standard normal: points a
        little outside a pointwise band are no finding. The line below the title says how many
        groups are left out: those whose effect is known no better than the population says, which
        `bridge.quantities.residuals` does not standardise.

    Raises
    ------
    OptionError
        Where ``of`` or ``band`` is none of these.
    NotAvailable
        Where the engine does not say how well the effects are known.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> bridge.plots.qq(fitted, of="u:Intercept").get_ylabel()
    'u:Intercept, standardised (SDs)'
    """
    if band not in (POINTWISE, SIMULTANEOUS):
        raise OptionError(f'band is "{POINTWISE}" or "{SIMULTANEOUS}", not {band!r}.')
    sample = _sample(result, of)
    n = len(sample.values)
    x = stats.norm.ppf((np.arange(n) + 0.5) / n)
    lower, upper = _band(n, band)
    with style.drawing(ax, _QQ_SIZE) as axes:
        axes.fill_between(x, lower, upper, color="#D9D9D9", lw=0, label=f"95% {band} band")
        axes.axline((0, 0), slope=1, color=style.BLACK, lw=0.9, ls="--", zorder=4, label="normal")
        size = float(np.clip(400 / np.sqrt(n) / 5, 1.6, 4.0))
        axes.plot(
            x, np.sort(sample.values), ls="", marker="o", ms=size, mew=0, color=style.BLUE,
            rasterized=n > 5000,
        )  # fmt: skip
        edge = 1.08 * max(float(np.abs(x).max()), float(np.abs(sample.values).max()))
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge))
        style.words(
            axes,
            f"Normal Q-Q plot of {sample.name}",
            sample.caption(result),
            "quantile of the standard normal (SDs)",
            sample.scale,
        )
        axes.legend(loc="upper left")
    return axes


def histogram(result: Result, of: str = RESIDUALS, ax: Axes | None = None) -> Axes:
    """Draw the distribution of residuals or group effects beside the standard normal.

    Parameters
    ----------
    result, of, ax
        As for `qq`.

    Returns
    -------
    matplotlib.axes.Axes
        A histogram as a density (bins by Freedman & Diaconis), the standard normal density
        (dashed) and a Gaussian kernel estimate (solid, bandwidth by Scott's rule).

    Raises
    ------
    OptionError
        Where ``of`` is none of these.
    NotAvailable
        Where the engine does not say how well the effects are known.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> bridge.plots.histogram(fitted).get_ylabel()
    'density (per SD)'
    """
    sample = _sample(result, of)
    edge = max(3.5, 1.05 * float(np.abs(sample.values).max()))
    grid = np.linspace(-edge, edge, _GRID)
    bins = min(_MOST_BINS, len(np.histogram_bin_edges(sample.values, "fd")) - 1)
    with style.drawing(ax, _HISTOGRAM_SIZE) as axes:
        axes.hist(sample.values, bins=bins, density=True, color=style.SKY, alpha=0.55,
                  ec="white", lw=0.4)  # fmt: skip
        axes.plot(grid, stats.norm.pdf(grid), color=style.BLACK, lw=1.2, ls="--", label="normal")
        if np.ptp(sample.values) > 0:
            kernel = stats.gaussian_kde(sample.values)(grid)
            axes.plot(grid, kernel, color=style.VERMILLION, lw=1.4, label="kernel estimate")
        axes.set_xlim(-edge, edge)
        style.words(
            axes,
            f"Distribution of {sample.name}",
            sample.caption(result),
            sample.scale,
            "density (per SD)",
        )
        axes.legend(loc="upper right")
    return axes


def _band(n: int, band: str) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper ends for the order statistics of n standard normal numbers."""
    i = np.arange(1, n + 1)
    level = _local_level(n) if band == SIMULTANEOUS else 1 - _COVERED
    chances = stats.beta.ppf(level / 2, i, n + 1 - i), stats.beta.ppf(1 - level / 2, i, n + 1 - i)
    lower, upper = (stats.norm.ppf(chance) for chance in chances)
    return lower, upper


def _local_level(n: int) -> float:
    """Return the level at which to judge each of n order statistics, so that all hold at once.

    The 5% quantile over 4,000 simulated uniform samples of the smallest two-sided p of their order
    statistics, of which up to 200 are simulated, densest in the tails (neighbours are nearly one).
    """
    near = np.unique(np.geomspace(1, max(n / 2, 1), _SOME // 2).round().astype(int))
    i = np.unique(np.concatenate([near, n + 1 - near]))
    gaps = np.diff(np.concatenate([[0], i, [n + 1]]))
    steps = np.random.default_rng(1).gamma(gaps, size=(_SIMULATED, len(gaps)))
    u = steps.cumsum(axis=1)
    below = special.betainc(i, n + 1 - i, u[:, :-1] / u[:, -1:])
    smallest = 2 * np.minimum(below, 1 - below).min(axis=1)
    return float(np.quantile(smallest, 1 - _COVERED))


def _sample(result: Result, of: str) -> _Sample:
    known = (RESIDUALS, *result.effects)
    if of not in known:
        raise OptionError(
            f"There is no '{of}' to draw.{suggest(str(of), known)} There are: {', '.join(known)}."
        )
    if of == RESIDUALS:
        return _Sample(residuals(result)["standardised"].to_numpy(float), of, "row", 0)
    frame = residuals(result, level=2)
    values = frame.loc[frame["effect"] == of, "standardised"]
    if values.isna().all():
        raise NotAvailable(
            f"{of} cannot be standardised: {result.engine} does not say how well it is known in "
            "any group, or says no more than its variance; agq and the samplers do."
        )
    kept = values.dropna().to_numpy(float)
    whose = f" ({style.group_name(result)})"
    return _Sample(kept, of, "group", len(values) - len(kept), whose)
