"""The pictures of a report on fits, as PNG text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bridge import plots
from bridge.errors import RequestError
from bridge.result import Result

_DPI = 110
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
        *_chains(shown),
    ]
    return [_picture(title, draw) for title, draw in wanted]


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
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()
