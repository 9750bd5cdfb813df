"""The pictures of a report on fits, as PNG text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge import formula, names, plots
from bridge.design_columns import atoms_of
from bridge.design_of import design_of
from bridge.errors import RequestError
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 110
#: As many as cannot be told from all of them, at a third of the size.
_COLOURS = 64
_SIZE = (7.5, 4.6)


def pictures(results: Sequence[Result], shown: Result) -> list[dict[str, str]]:
    """Return title and image of every picture, or why it cannot be drawn.

    Parameters
    ----------
    results : sequence of Result
        Fits of one model.
    shown : Result
        The one whose groups are drawn.
    """
    wanted: list[tuple[str, Callable[[Any], Any]]] = [
        ("Group means, in order", lambda ax: plots.caterpillar(shown, of="mean", ax=ax)),
        ("Group variances, in order", lambda ax: plots.caterpillar(shown, of="variance", ax=ax)),
        ("Intraclass correlations", lambda ax: plots.caterpillar(shown, of="ICC", ax=ax)),
        ("Group means against group variances", lambda ax: plots.mean_variance(shown, ax=ax)),
        ("Standardised residuals of rows", lambda ax: plots.qq(shown, ax=ax)),
        *(
            (f"Group effects, {effect}", lambda ax, e=effect: plots.qq(shown, of=e, ax=ax))
            for effect in shown.effects
        ),
        *_of_slopes(shown),
    ]
    return [_forest(results), *(_picture(title, draw) for title, draw in wanted)]


def _of_slopes(shown: Result) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return what is drawn of predictors that have a slope."""
    found: list[tuple[str, Callable[[Any], Any]]] = []
    mean, variance = (_first_slope(shown, letter) for letter in "uv")
    if mean is not None:
        by = _by(shown, "u")
        title = f"Means over {mean}"
        found.append((title, lambda ax: plots.mean_lines(shown, mean, by=by, ax=ax)))
    if variance is not None:
        own = _by(shown, "v")
        title = f"Level-1 variance over {variance}"
        draw = plots.variance_functions
        found.append((title, lambda ax: draw(shown, variance, by=own, ax=ax)))
    if sum(effect.startswith(names.effect("u", "")) for effect in shown.effects) > 1:
        title = "Coefficients of groups, own and shrunk"
        found.append((title, lambda ax: plots.shrinkage(shown, "coefficients", ax=ax)))
    return found


def _by(shown: Result, letter: str) -> str | None:
    """Return by what curves are drawn: groups, where they have effects in the function."""
    start = names.effect(letter, "")
    return "group" if any(effect.startswith(start) for effect in shown.effects) else None


def _first_slope(shown: Result, letter: str) -> str | None:
    """Return the first number with a slope that differs within groups, random slopes first."""
    design, start = design_of(shown), names.effect(letter, "")
    fixed = design.mean if letter == "u" else design.variance
    random = [e.removeprefix(start) for e in shown.effects if e.startswith(start)]
    numbers = {formula.text(atom) for atom in atoms_of(shown.spec)}
    for label in [*random, *fixed.labels]:
        column = design.columns.get(label)
        if label in numbers and column is not None:
            by_group = pd.Series(np.asarray(column)).groupby(design.group)
            if (by_group.max() > by_group.min()).any():
                return label
    return None


def _forest(results: Sequence[Result]) -> dict[str, str]:
    title = "Every parameter, with its 95% interval"
    try:
        panels = plots.forest(results)
    except RequestError as error:
        return {"title": title, "image": "", "why": str(error)}
    return {"title": title, "image": _as_text(panels[0].figure), "why": ""}


def _picture(title: str, draw: Callable[[Axes], Any]) -> dict[str, str]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    try:
        draw(figure.subplots())
    except RequestError as error:
        return {"title": title, "image": "", "why": str(error)}
    return {"title": title, "image": _as_text(figure), "why": ""}


def _as_text(figure: Any) -> str:
    """Return a figure as PNG text, of few colours: a page holds them all, and is sent about."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
    whole = Image.open(drawn).convert("RGB")
    whole.quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
