"""The pictures of a report on fits, as PNG text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bridge import plots
from bridge.errors import RequestError
from bridge.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 110
_SIZE = (7.5, 4.6)
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
    ]
    return [
        _panels("Every parameter, with its 95% interval", lambda: plots.forest(results)),
        *(_picture(title, draw) for title, draw in wanted),
        *_chains(shown),
    ]


def _chains(shown: Result) -> list[dict[str, str]]:
    """Return the pictures of the chains, of a posterior, of the parameters that mix worst."""
    if shown.method != "posterior":
        return []
    worst = worst_mixing(shown)
    return [
        _panels("Draws of the parameters that mix worst", lambda: plots.trace(shown, worst)),
        _panels("Ranks of these draws, by chain", lambda: plots.rank(shown, worst)),
    ]


def worst_mixing(result: Result) -> list[str]:
    """Return the parameters of a posterior with the fewest effective draws (bulk), up to three.

    Those whose draws do not move, which have no number of effective draws, come first.
    """
    table = result.estimates.sort_values("ess_bulk", kind="stable", na_position="first")
    return [str(name) for name in table["parameter"].head(_WORST)]


def _panels(title: str, draw: Callable[[], list[Axes]]) -> dict[str, str]:
    """Return a picture that makes its own figure."""
    from matplotlib import pyplot as plt

    try:
        figure = draw()[0].get_figure(root=True)
    except RequestError as error:
        return {"title": title, "image": "", "why": str(error)}
    try:
        return {"title": title, "image": _as_text(figure), "why": ""}
    finally:
        plt.close(figure)


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
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()
