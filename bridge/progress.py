"""Progress of long work on a terminal, by Rich; silent elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.errors import OptionError

_Report = Callable[[float | None, str], None]


def _silent(share: float | None, text: str) -> None:
    """Report nothing."""


@contextmanager
def shown(progress: _Report | bool | None, label: str) -> Iterator[_Report]:
    """Give a function to report progress to.

    Parameters
    ----------
    progress : callable, bool or None
        A function of the share done (None where unknown) and a text; True or False to show or
        hide a bar; None shows it on a terminal alone.
    label : str
        What stands before the bar.

    Raises
    ------
    OptionError
        Where ``progress`` is something else.
    """
    if not callable(progress) and not isinstance(progress, bool | None):
        raise OptionError(
            "progress is True, False, None or a function of the share done and a text, not "
            f"{progress!r}."
        )
    if callable(progress):
        yield progress
        return
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[label]:>6}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("starting", total=None, label=label)

        def report(share: float | None, text: str) -> None:
            bars.update(
                task, total=1.0 if share is not None else None, completed=share, description=text
            )

        yield report
        bars.update(task, total=1.0, completed=1.0, description="done")
