"""The predicted level-1 variance over a predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bridge.errors import OptionError
from bridge.plots import curve_panel, style
from bridge.plots.curve_panel import Curved
from bridge.quantities.curves import MEAN, VARIANCE, curves, redrawn_variances, split_by
from bridge.result import Result
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _TWO = (7.4, 4.8), (10.4, 4.8)


def variance_functions(
    result: Result,
    x: str,
    by: str | Sequence[str] | None = None,
    redrawn: int | None = None,
    of: str = VARIANCE,
    at: Mapping[str, Any] | None = None,
    highlight: Any = (),
    seed: int = 1,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw the level-1 variance over a predictor, of the average group and of each group.

    Parameters
    ----------
    result, x, by, at, highlight
        As for `mean_lines`.
    redrawn : int, optional
        So many functions of groups drawn from the population (at each level of ``by``) in a second
        panel, beside those of the groups of the fit, which are shrunk and vary less (Leckie et al.
        2014, note 4); numbers of `bridge.quantities.redrawn_variances`.
    of : {"variance", "SD"}
        What is drawn.
    seed : int
        Of the functions that are redrawn.
    ax : matplotlib.axes.Axes or sequence of them, optional
        One, with ``redrawn`` two; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        One, with ``redrawn`` two of one scale. Thick is the average group (its effects are zero;
        the median and not the mean of the groups' variances) with its 95% interval.

    Raises
    ------
    OptionError
        Where an argument is none of these, a group is not in the fit, or x is a factor.
    UnknownColumnError
        Where the fit does not keep a column that is needed.
    NotAvailable
        Where nothing lets the variances of groups differ.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ ses + (1 | school)", "~ ses + (1 | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> [ax.get_ylabel() for ax in bridge.plots.variance_functions(fitted, "ses", redrawn=160)]
    ['level-1 variance (outcome²)', 'level-1 variance (outcome²)']
    """
    if of == MEAN:
        raise OptionError('of is "variance" or "SD", not \'mean\'; mean_lines draws means.')
    column, wanted = split_by(result, by)
    wanted = wanted or redrawn is not None
    groups = wanted or curve_panel.asked(highlight)
    asked = [*([column] if column else []), *(["group"] if groups else [])]
    new = None
    if redrawn is not None:
        new = redrawn_variances(result, x, redrawn, of, column, at, seed)
    frame = curves(result, x, of=of, by=asked, at=at)
    average, own = frame[frame["group"].isna()], frame[frame["group"].notna()]
    shared = curve_panel.curved(result, x, column, average, highlight)
    given = style.as_list(ax)
    panels = 1 if new is None else 2
    with style.drawing_panels(given, _SIZE if new is None else _TWO, [1] * panels, True) as axes:
        _fitted(axes[0], shared, average, own, wanted)
        if new is not None:
            _redrawn(axes[1], shared, average, new)
            _one_scale(axes)
        label = curve_panel.x_label(shared, average, groups)
        titles = ["Groups of the fit (shrunk)", "Groups redrawn from the population"]
        captions = [
            style.caption(result, "band: 95% interval of the average group"),
            f"effects drawn from N(0, T) at the estimates, seed {seed}",
        ]
        if new is None:
            titles = [f"Level-1 {of} over {x}"]
        for panel, title, caption in zip(axes, titles, captions, strict=False):
            style.words(panel, title, caption, label, curve_panel.scale_of(average))
            panel.margins(x=0.01)
            curve_panel.legend(panel)
    return axes


def _fitted(ax: Axes, shared: Curved, average: pd.DataFrame, own: pd.DataFrame, thin: bool) -> None:
    """Draw the groups of the fit and the average group."""
    if thin:
        J = shared.result.n_groups - len(shared.highlight)
        many = f"{counted(J, 'group')} ({style.group_name(shared.result)})"
        curve_panel.thin_curves(ax, shared, own, "group", many)
    curve_panel.average_curves(ax, shared, average)
    curve_panel.highlighted_curves(ax, shared, own)


def _redrawn(ax: Axes, shared: Curved, average: pd.DataFrame, new: pd.DataFrame) -> None:
    """Draw groups that are not of the fit and the average group."""
    each = "" if shared.by is None else " at each"
    many = f"{counted(new['draw'].nunique(), 'new group')}{each}"
    curve_panel.thin_curves(ax, shared, new, "draw", many)
    curve_panel.average_curves(ax, shared, average)


def _one_scale(axes: Sequence[Axes]) -> None:
    ends = [end for panel in axes for end in panel.get_ylim()]
    for panel in axes:
        panel.set_ylim(max(min(ends), 0.0), max(ends))
