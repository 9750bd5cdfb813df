"""The pictures of a report on fits, as PNG text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula, names, plots
from bridge.design_columns import atoms_of
from bridge.design_of import design_of
from bridge.errors import RequestError
from bridge.result import Result

_DPI = 110
#: As many as cannot be told from all of them, at a third of the size.
_COLOURS = 64
#: How many parameters have their chains drawn.
_WORST = 3


def pictures(results: Sequence[Result], shown: Result) -> list[dict[str, str]]:
    """Return title and image of every picture, or why it cannot be drawn.

    Parameters
    ----------
    results : sequence of Result
        Fits of one model.
    shown : Result
        The one whose groups are drawn.
    """
    wanted: list[tuple[str, Callable[[], Any]]] = [
        ("Every parameter, with its 95% interval", lambda: plots.forest(results)),
        ("Group means, in order", lambda: plots.caterpillar(shown, of="mean")),
        ("Group variances, in order", lambda: plots.caterpillar(shown, of="variance")),
        ("Intraclass correlations", lambda: plots.caterpillar(shown, of="ICC")),
        ("Group means against group variances", lambda: plots.mean_variance(shown)),
        ("Standardised residuals of rows", lambda: plots.qq(shown)),
        *(
            (f"Group effects, {effect}", lambda e=effect: plots.qq(shown, of=e))
            for effect in shown.effects
        ),
        *_of_slopes(shown),
        *_chains(shown),
    ]
    return [_picture(title, draw) for title, draw in wanted]


def _of_slopes(shown: Result) -> list[tuple[str, Callable[[], Any]]]:
    """Return what is drawn of predictors that have a slope."""
    found: list[tuple[str, Callable[[], Any]]] = []
    mean, variance = (_first_slope(shown, letter) for letter in "uv")
    if mean is not None:
        by = _by(shown, "u")
        title = f"Means over {mean}"
        found.append((title, lambda: plots.mean_lines(shown, mean, by=by)))
    if variance is not None:
        own = _by(shown, "v")
        title = f"Level-1 variance over {variance}"
        draw = plots.variance_functions
        found.append((title, lambda: draw(shown, variance, by=own)))
    if sum(effect.startswith(names.effect("u", "")) for effect in shown.effects) > 1:
        title = "Coefficients of groups, own and shrunk"
        found.append((title, lambda: plots.shrinkage(shown, "coefficients")))
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


def _chains(shown: Result) -> list[tuple[str, Callable[[], Any]]]:
    """Return the pictures of the chains, of a posterior, of the parameters that mix worst."""
    if shown.method != "posterior":
        return []
    worst = worst_mixing(shown)
    return [
        ("Draws of the parameters that mix worst", lambda: plots.trace(shown, worst)),
        ("Ranks of these draws, by chain", lambda: plots.rank(shown, worst)),
    ]


def worst_mixing(result: Result) -> list[str]:
    """Return the parameters of a posterior with the fewest effective draws (bulk), up to three.

    Those whose draws do not move, which have no number of effective draws, come first.
    """
    table = result.estimates.sort_values("ess_bulk", kind="stable", na_position="first")
    return [str(name) for name in table["parameter"].head(_WORST)]


def _picture(title: str, draw: Callable[[], Any]) -> dict[str, str]:
    """Return one picture, which makes its own figure."""
    from matplotlib import pyplot as plt

    try:
        figure = np.ravel(draw())[0].get_figure(root=True)
    except RequestError as error:
        return {"title": title, "image": "", "why": str(error)}
    try:
        return {"title": title, "image": _as_text(figure), "why": ""}
    finally:
        plt.close(figure)


def _as_text(figure: Any) -> str:
    """Return a figure as PNG text, of few colours: a page holds them all, and is sent about."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, metadata={"Software": None})
    whole = Image.open(drawn).convert("RGB")
    whole.quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
