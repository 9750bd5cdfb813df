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
    return [_forest(results), *(_picture(title, draw) for title, draw in wanted)]


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
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()
