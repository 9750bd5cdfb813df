"""The predicted mean over a predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bridge.plots import curve_panel, style
from bridge.quantities.curves import MEAN, curves, split_by
from bridge.result import Result
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.4, 4.8)


def mean_lines(
    result: Result,
    x: str,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    highlight: Any = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw the predicted mean over a predictor, of the average group and of each group.

    Parameters
    ----------
    result : Result
        Any fit.
    x : str
        A column of numbers, or a transform as it is written in the model.
    by : str or sequence of str, optional
        "group" for a thin line for each group; a column, such as ``"sector"``, for a line of the
        average group at each of its levels; or both.
    at : mapping, optional
        Values of the other predictors, and of x, as in `bridge.quantities.curves`, whose numbers
        are drawn.
    highlight : str, int or sequence of them, optional
        Up to six groups that are drawn thick and named.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Thick the average group (its effects are zero, and its mean is that over all groups) with
        its 95% interval; below x is said where the other predictors are. Lines of groups are at the
        group's own values of what is the same for all its rows.

    Raises
    ------
    OptionError
        Where an argument is none of these, a group is not in the fit, or x is a factor.
    UnknownColumnError
        Where the fit does not keep a column that is needed.
    NotAvailable
        Where nothing lets the means of groups differ.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + ses + (1 + ses | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> bridge.plots.mean_lines(fitted, "ses", by="group", highlight=1224).get_ylabel()
    'predicted mean (outcome)'
    """
    column, wanted = split_by(result, by)
    groups = wanted or curve_panel.asked(highlight)
    asked = [*([column] if column else []), *(["group"] if groups else [])]
    frame = curves(result, x, of=MEAN, by=asked, at=at)
    average, own = frame[frame["group"].isna()], frame[frame["group"].notna()]
    shared = curve_panel.curved(result, x, column, average, highlight)
    name = style.group_name(result)
    with style.drawing(ax, _SIZE) as axes:
        if wanted:
            many = f"{counted(result.n_groups - len(shared.highlight), 'group')} ({name})"
            curve_panel.thin_curves(axes, shared, own, "group", many)
        curve_panel.average_curves(axes, shared, average)
        curve_panel.highlighted_curves(axes, shared, own)
        style.words(
            axes,
            f"Mean over {x}",
            style.caption(result, "band: 95% interval of the average group"),
            curve_panel.x_label(shared, average, groups),
            curve_panel.scale_of(average),
        )
        axes.margins(x=0.01)
        curve_panel.legend(axes)
    return axes
