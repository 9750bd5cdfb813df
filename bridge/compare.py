"""Whether results agree: `bridge.compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from bridge.comparison import Comparison
    from bridge.result import Result


def compare(*results: Result, published: str | None = None) -> Comparison:
    """Lay results side by side and say whether they agree.

    Parameters
    ----------
    *results : Result
        One or more fits of the same model to the same rows.
    published : str, optional
        A published table to lay beside them, such as ``"leckie2014/model1"``.

    Returns
    -------
    Comparison
        ``table``, ``verdicts`` and ``text()``; printing it prints both.

    Raises
    ------
    RequestError
        Where there is nothing to compare, or the results are of different data.
    """
    from bridge.comparison import make_comparison

    # a list of results is meant as its results
    several = results[0] if len(results) == 1 and isinstance(results[0], list | tuple) else results
    return make_comparison(list(several), published)
