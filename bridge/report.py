"""One page on fits of one model: `bridge.report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.engines.base import Progress
    from bridge.result import Result


def report(
    *results: Result | str | Path,
    out: str | Path | None = None,
    criteria: str | Sequence[str] = ("dic", "waic", "loo"),
    progress: Progress | bool | None = None,
) -> str:
    """Return a self-contained HTML page on fits of one model.

    Parameters
    ----------
    *results : Result, str or Path
        Results, or files and folders of saved ones; all of one model and the same rows.
    out : str or Path, optional
        A file to write the page to as well.
    criteria : str or sequence of str
        Of `bridge.criteria`, for posteriors; none to leave them out. ``"logo"`` integrates group
        effects out at every draw, which can take minutes, and is made where it is named.
    progress : bool or callable, optional
        As in `bridge.fit`.

    Returns
    -------
    str
        The page: the model in equations, the data, estimates of all engines side by side, how the
        fits went, criteria, quantities, pictures, native calls, versions and seeds. It needs no
        network, and says of every part that it cannot make why.

    Raises
    ------
    OptionError
        Where a criterion is unknown.
    RequestError
        Where there is no result, or they are not of one model and the same rows.
    OutputError
        Where it cannot be written.
    """
    from bridge.files import output_folder, write_text
    from bridge.progress import shown
    from bridge.report_page import asked_criteria, loaded, page

    wanted = asked_criteria(criteria)
    found = loaded(results)
    with shown(progress, "report") as tell:
        html = page(found, wanted, tell)
    if out is not None:
        target = Path(out)
        output_folder(target.parent)
        write_text(target, html)
    return html
