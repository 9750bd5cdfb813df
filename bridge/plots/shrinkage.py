"""From each group's own least squares to what the model says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bridge import names
from bridge.errors import NotAvailable, OptionError
from bridge.plots import shrinkage_panels as panels
from bridge.plots import style
from bridge.plots.curve_panel import checked_groups
from bridge.plots.shrinkage_panels import Shrunk, shrunk
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DATA, COEFFICIENTS = "data", "coefficients"
_INTERCEPT = names.effect("u", names.INTERCEPT)
_LINES, _ARROWS, _PLANE = (10.4, 4.8), (7.8, 4.8), (7.4, 5.4)


def shrinkage(
    result: Result,
    plane: str = DATA,
    effects: Sequence[str] | None = None,
    highlight: Any = (),
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw how the model shrinks each group's own estimates (BLUE) to its own (BLUP).

    Parameters
    ----------
    result : Result
        A fit with normal group effects in the mean, as `bridge.quantities.shrinkage`, whose numbers
        are drawn.
    plane : {"data", "coefficients"}
        "data": with a random slope the line of every group by its own rows in the first panel and
        by the model in the second, over the rows of the group; with a random intercept alone arrows
        over the number of rows (SCS 2017). "coefficients": arrows in the plane of intercept and
        slope, and ellipses of T.
    effects : (str, str), optional
        The two effects: across and up in the plane of coefficients, intercept and slope of the
        lines; by default the intercept and the first slope.
    highlight : str, int or sequence of them, optional
        Up to six groups that are drawn thick and named.
    ax : matplotlib.axes.Axes or sequence of them, optional
        As many as there are panels; a figure is made otherwise.

    Returns
    -------
    list of matplotlib.axes.Axes
        Two for lines, else one. What other fixed terms say is taken off. The ellipses hold 50% and
        95% of the population N(gamma, T) of coefficients. Where predictors of groups make the
        middle differ between more than four kinds of groups, all are moved to its mean in the plane
        of coefficients, and the axes say so. A group whose rows do not determine its own estimates
        has the model's alone. The picture leaves out what is farther than four SDs of own
        estimates; the line below the title counts it.

    Raises
    ------
    OptionError
        Where an argument is none of these, or a group is not in the fit.
    NotAvailable
        Where the mean has no group effects, or with the plane of coefficients fewer than two; the
        effects are not normal, or T differs between groups.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ 1 + ses + (1 + ses | school)")
    >>> fitted = bridge.fit(spec, bridge.datasets.load("hsb"))
    >>> bridge.plots.shrinkage(fitted, "coefficients")[0].get_ylabel()
    'slope of ses (outcome)'
    """
    if plane not in (DATA, COEFFICIENTS):
        raise OptionError(f'plane is "{DATA}" or "{COEFFICIENTS}", not {plane!r}.')
    seen = checked_groups(result, highlight)
    found = shrunk(result, seen)
    pair = _pair(found, plane, effects)
    given = style.as_list(ax)
    if plane == COEFFICIENTS:
        draw, size, count = panels.coefficients, _PLANE, 1
    elif len(pair) == 2:
        draw, size, count = panels.lines, _LINES, 2
    else:
        draw, size, count = panels.over_rows, _ARROWS, 1
    with style.drawing_panels(given, size, [1] * count, across=True) as axes:
        draw(axes, found, pair)
    return axes


def _pair(found: Shrunk, plane: str, effects: Sequence[str] | None) -> list[str]:
    """Return the effects to draw: two, or of a random intercept one."""
    known = list(found.effects)
    if effects is None:
        first = [_INTERCEPT] if _INTERCEPT in known else []
        pair = [*first, *(effect for effect in known if effect not in first)][:2]
    else:
        pair = [effects] if isinstance(effects, str) else list(effects)
        unknown = [effect for effect in pair if effect not in known]
        if unknown or len(set(pair)) != 2:
            raise OptionError(
                f"effects are two effects of the mean, of {', '.join(known)}; not {effects!r}."
            )
    if plane == COEFFICIENTS and len(pair) < 2:
        raise NotAvailable(
            f"A plane of coefficients takes two effects of the mean, and there is {known[0]} "
            f'alone; write plane="{DATA}", or add a random slope, such as (1 + x | school).'
        )
    return pair
