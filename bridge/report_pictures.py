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
    ]
    return [_picture(title, draw) for title, draw in wanted]


def _picture(title: str, draw: Callable[[Axes], Any]) -> dict[str, str]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    try:
        draw(figure.subplots())
    except RequestError as error:
        return {"title": title, "image": "", "why": str(error)}
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return {"title": title, "image": base64.b64encode(file.getvalue()).decode(), "why": ""}
