"""Group effects of one model against those of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.errors import NotAvailable, OptionError
from bridge.plots import style
from bridge.plots.curve_panel import checked_groups
from bridge.quantities.effect_changes import effect_changes
from bridge.quantities.effects import group_changes
from bridge.quantities.groups import MEAN, SPREAD
from bridge.quantities.population import At
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ESTIMATES, RANKS = "estimates", "ranks"
_SIZE = (5.4, 5.4)


def model_against_model(
    first: Result,
    second: Result,
    of: str = MEAN,
    what: str = ESTIMATES,
    at: At | str = None,
    labels: Sequence[str] = ("first model", "second model"),
    highlight: Any = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw what one model says of the groups against what another one says.

    As Figure 4 of Leckie, Parker, Goldstein & Tilling.

    Parameters
    ----------
    first, second : Result
        Fits of two models of the same outcome, rows and groups.
    of : str
        "mean" or "variance" of groups, as in `bridge.quantities.group_changes`, or an effect, such
        as "v:Intercept", as in `bridge.quantities.effect_changes`; their numbers are drawn.
    what : {"estimates", "ranks"}
        The numbers, or their ranks; rank 1 is the largest.
    at : mapping, pandas.DataFrame, "own" or None
        Values of the predictors, as in `bridge.quantities.groups` ("own" in the source); of mean
        and variance alone.
    labels : (str, str)
        What the models are called.
    highlight : str, int or sequence of them, optional
        Up to six groups that are named.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        The first model across, the second up, both on one scale; on the dashed line they are equal.
        ``r`` is the correlation of the points drawn (of ranks Spearman's).

    Raises
    ------
    OptionError
        Where an argument is none of these, or a group is not in the fits.
    NotAvailable
        Where one of the models does not let the quantity differ, or has no such effect.
    RequestError
        Where the two are not of the same rows and groups.

    Examples
    --------
    >>> data = bridge.datasets.load("hsb")
    >>> one = bridge.fit(bridge.ModelSpec("mathach ~ 1 + (1 | school)"), data)
    >>> two = bridge.fit(bridge.ModelSpec("mathach ~ ses + (1 | school)"), data)
    >>> bridge.plots.model_against_model(one, two, labels=["null", "ses"]).get_xlabel()
    'mean of school in null (outcome)'
    """
    if what not in (ESTIMATES, RANKS):
        raise OptionError(f'what is "{ESTIMATES}" or "{RANKS}", not {what!r}.')
    names = [labels] if isinstance(labels, str) else list(labels)
    if len(names) != 2:
        raise OptionError(f"labels are two, one for each model, not {len(names)}.")
    frame, seen = _frame(first, second, of, at), checked_groups(first, highlight)
    ranks = what == RANKS
    columns = ("rank_before", "rank_after") if ranks else ("before", "after")
    x, y = (frame[column].to_numpy(float) for column in columns)
    name = style.group_name(first)
    scale = f"rank, 1 is the largest of {len(frame)}" if ranks else frame["scale"].iloc[0]
    with style.drawing(ax, _SIZE) as axes:
        axes.axline((0, 0), slope=1, color=style.BLACK, lw=0.9, ls="--", zorder=2)
        _points(axes, x, y)
        _named(axes, x, y, frame["group"], seen, ranks)
        _one_scale(axes, x, y, ranks)
        style.words(
            axes,
            f"{_title(of)} of each {name} in two models{', ranked' if ranks else ''}",
            _caption(first, second),
            *(f"{of} of {name} in {label} ({scale})" for label in names),
        )
        r = frame["rank_correlation" if ranks else "correlation"].iloc[0]
        style.at_corner(axes, style.minus(f"r = {r:.2f}"), "right")
    return axes


def _frame(first: Result, second: Result, of: str, at: At | str) -> pd.DataFrame:
    """Return both models' numbers of every group."""
    if of not in (MEAN, SPREAD):
        if not isinstance(of, str) or ":" not in of:
            raise OptionError(
                f'of is "{MEAN}", "{SPREAD}" or an effect, such as "u:Intercept", not {of!r}.'
            )
        if at is not None:
            raise OptionError(f"at is for means and variances of groups; {of} has no profile.")
        return effect_changes(first, second, of)
    frame = group_changes(first, second, at)
    frame = frame[frame["quantity"] == of]
    if frame.empty:
        raise NotAvailable(f"The two models do not both let the {of} of groups differ.")
    return frame


def _points(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    area = float(np.clip(4500 / len(x), 9.0, 34.0))
    ax.scatter(x, y, s=area, color=style.BLUE, alpha=0.55, lw=0.3, ec="white", zorder=3)


def _named(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    groups: pd.Series,
    seen: Sequence[str],
    reversed_: bool,
) -> None:
    """Mark groups, each with its name beside it, away from the line."""
    from matplotlib.patheffects import withStroke

    known = [str(label) for label in groups]
    for label in seen:
        j = known.index(label)
        above = (y[j] >= x[j]) != reversed_
        ax.plot(x[j], y[j], "s", ms=5, color=style.VERMILLION, mec=style.BLACK, mew=0.5, zorder=5)
        ax.annotate(
            label, (x[j], y[j]), xytext=(-5, 4) if above else (5, -4),
            textcoords="offset points", fontsize=style.SMALL, zorder=6,
            path_effects=[withStroke(linewidth=2, foreground="white")],
            ha="right" if above else "left", va="bottom" if above else "top",
        )  # fmt: skip


def _one_scale(ax: Axes, x: np.ndarray, y: np.ndarray, ranks: bool) -> None:
    """Give both axes the same ends; of ranks the largest group is at the top and to the right."""
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    edge = 0.04 * (high - low) or 1.0
    ends = (high + edge, low - edge) if ranks else (low - edge, high + edge)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    if ranks:
        ticks = [t for t in ax.get_xticks() if 0 < t <= high]
        first = [] if ticks and min(ticks) <= 2 else [1.0]
        ax.set(xticks=[*first, *ticks], yticks=[*first, *ticks])


def _title(of: str) -> str:
    return of.capitalize() if of in (MEAN, SPREAD) else of


def _caption(first: Result, second: Result) -> str:
    ours, theirs = (f"{result.engine}, {result.method}" for result in (first, second))
    outcome = first.spec.outcome
    return f"{outcome} by {ours}" if ours == theirs else f"{outcome} by {ours} and {theirs}"
