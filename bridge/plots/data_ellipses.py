"""The regressions of groups as points of intercept and slope, with ellipses: "beta space"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.columns import as_frame
from bridge.design import make_design
from bridge.design_of import design_of
from bridge.errors import OptionError, RequestError
from bridge.group_averages import levels_of
from bridge.group_fits import GroupFits, by_group
from bridge.names import INTERCEPT
from bridge.plots import style
from bridge.plots.ellipses import Ellipse, data_ellipse, fixed_ellipse, mean_ellipse
from bridge.result import Result
from bridge.spec import ModelSpec
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (7.4, 5.6)
_DATA, _CONFIDENCE = (0.5, 0.95), 0.95


@dataclass(frozen=True, eq=False)
class _Level:
    """The groups of one level: points (n, 2), and ellipses of them and of their mean."""

    name: str
    points: np.ndarray
    data: list[Ellipse]
    between: Ellipse | None
    within: Ellipse | None


def data_ellipses(
    data: Any,
    model: ModelSpec | Result,
    by: str | None = None,
    x: str | None = None,
    least_rows: int = 2,
    ax: Axes | None = None,
) -> Axes:
    """Draw the least-squares intercept and slope of each group, with ellipses by level.

    Parameters
    ----------
    data : pandas.DataFrame
        The data.
    model : ModelSpec or Result
        Names the outcome and the groups.
    by : str, optional
        A column that is constant within groups: ellipses for each of its values.
    x : str, optional
        What the outcome is regressed on in each group, as in a formula. By default the model's
        random slope, or its only predictor.
    least_rows : int
        How many rows a group must have; a line by two or three can lie so far from the others that
        it alone makes the ellipses.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a figure is made otherwise.

    Returns
    -------
    matplotlib.axes.Axes
        Intercepts across, slopes up, of `bridge.by_group`. Thin lines: data ellipses, which hold
        50% and 95% of a normal population of groups like these: around the mean, by the covariance
        matrix S of the n points, radius^2 = 2 F(2, n - 1). Filled: the 95% confidence ellipse of
        that mean for other groups, by S / n, radius^2 = 2 (n - 1) / (n - 2) F(2, n - 2). Dashed:
        that for other rows of the same groups, by the pooled residual variance on df degrees of
        freedom, radius^2 = 2 F(2, df), the groups' own scatter left out. Groups count alike,
        whatever their rows; those with fewer than ``least_rows``, or whose rows have no line, are
        counted in the caption. A level of fewer than three groups has no ellipse by their spread.

    Raises
    ------
    OptionError
        Where ``x`` must be said or is not one term, or ``by`` has more than six values.
    RequestError
        Or a class below it, where the model has no groups, or the data cannot be used.

    Notes
    -----
    SCS 2017, Figures 4 to 8 (methods 2 and 3); Friendly, Monette & Fox 2013, Statistical Science
    28(1).

    Examples
    --------
    >>> data = bridge.datasets.load("hsb")
    >>> spec = bridge.ModelSpec("mathach ~ 1 + ses + (1 + ses | school)")
    >>> ax = bridge.plots.data_ellipses(data, spec, by="sector")
    >>> ax.get_xlabel()
    'intercept: mathach at ses = 0 (outcome)'
    """
    spec, slope = _asked(data, model, x)
    fits = by_group(ModelSpec(f"{spec.outcome} ~ 1 + {slope}"), data, spec.group)
    if len(fits.terms) != 2:
        raise OptionError(
            f"x is one number a row, and '{slope}' makes the terms {', '.join(fits.terms)}."
        )
    levels = _levels(fits, by, style.whole("least_rows", least_rows, 2, 10**9))
    with style.drawing(ax, _SIZE) as axes:
        for level, look in zip(levels, style.SERIES * len(levels), strict=False):
            _draw(axes, level, *look)
        left = len(fits.labels) - sum(len(level.points) for level in levels)
        style.words(
            axes,
            f"Intercept and slope in each {fits.group}, by least squares",
            "; ".join(
                [
                    "thin: 50% and 95% of groups; 95% of the mean, filled: for other groups, "
                    "dashed: for other rows",
                    *[f"{left} of {len(fits.labels)} groups left out"] * bool(left),
                ]
            ),
            f"intercept: {spec.outcome} at {slope} = 0 (outcome)",
            f"slope of {slope} (outcome per unit)",
        )
        axes.legend(title=by, title_fontsize=style.SMALL, loc="best")
    return axes


def _asked(data: Any, model: ModelSpec | Result, x: str | None) -> tuple[ModelSpec, str]:
    """Return the spec and the term that the outcome is regressed on."""
    spec = model.spec if isinstance(model, Result) else model
    if not isinstance(spec, ModelSpec):
        raise RequestError(
            f"Ellipses take a ModelSpec or a result, not {type(model).__name__}: "
            "plots.data_ellipses(data, spec)."
        )
    if spec.group is None:
        raise RequestError(
            "The model has no random term that names the groups; add one, such as (1 | school)."
        )
    if x is not None:
        return spec, x
    design = design_of(model) if isinstance(model, Result) else make_design(spec, as_frame(data))
    slopes = [term for part in design.mean_random for term in part.encoded.labels]
    for terms in (slopes, design.mean.labels):
        found = [term for term in dict.fromkeys(terms) if term != INTERCEPT]
        if len(found) == 1:
            return spec, found[0]
    raise OptionError(
        "The model does not have one slope that differs between groups; say which predictor the "
        'outcome is regressed on in each of them, as in x="ses".'
    )


def _levels(fits: GroupFits, by: str | None, least_rows: int) -> list[_Level]:
    level_of, labels, _ = levels_of(fits, by)
    if len(labels) > len(style.SERIES):
        raise OptionError(
            f"'{by}' has {len(labels)} values, and up to {len(style.SERIES)} can be told apart; "
            "choose a column with fewer, or put some together."
        )
    kept = np.array([fit.found and fit.n >= least_rows for fit in fits.fits])
    if not kept.any():
        raise OptionError(
            f"No {fits.group} with a line has {least_rows} rows; make least_rows smaller."
        )
    return [
        _level(label, fits, np.flatnonzero((level_of == number) & kept))
        for number, label in enumerate(labels)
    ]


def _level(name: str, fits: GroupFits, groups: np.ndarray) -> _Level:
    """Return the points and ellipses of some groups."""
    own = [fits.fits[j] for j in groups]
    points = np.array([fit.coefficients for fit in own]).reshape(-1, 2)
    data = [data_ellipse(points, share) for share in _DATA]
    within = None
    if own:
        shape = fits.sigma**2 * np.sum([fit.unscaled for fit in own], axis=0) / len(own) ** 2
        within = fixed_ellipse(points.mean(axis=0), shape, fits.df, _CONFIDENCE)
    return _Level(name, points, [e for e in data if e], mean_ellipse(points, _CONFIDENCE), within)


def _draw(ax: Axes, level: _Level, colour: str, marker: str) -> None:
    label = f"{level.name} ({counted(len(level.points), 'group')})"
    ax.plot(*level.points.T, ls="", marker=marker, ms=3.6, mew=0, color=colour, alpha=0.6,
            label=label)  # fmt: skip
    for ellipse in level.data:
        ax.plot(*ellipse.outline.T, color=colour, lw=0.8)
    if level.between is not None:
        ax.fill(*level.between.outline.T, fc=colour, ec=style.BLACK, lw=1.0, alpha=0.45, zorder=4)
    if level.within is not None:
        ax.plot(*level.within.outline.T, color=style.BLACK, lw=1.1, ls="--", zorder=5)
    if len(level.points):
        ax.plot(*level.points.mean(axis=0), marker=marker, ms=6, mec="white", color=style.BLACK,
                zorder=6)  # fmt: skip
