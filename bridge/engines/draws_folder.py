"""Draws of a chain on disk as they come, in files that any program reads.

A folder of draws holds ``chain_1.csv``, ``chain_2.csv``, … in Stan's own CSV: lines that begin with
``#`` say what it is, then the names of the columns, then one line a draw; and ``model.stan``, the
program with what its parameters stand for, below a line that tells it from a user's own. While a
chain runs, its file is in the folder ``incomplete`` below; it moves up when the chain has ended. So
a file that is not in ``incomplete`` is whole, whatever became of the fit. The last line of one that
is may have been cut: it counts only if it ends in a line break.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from bridge.errors import OptionError, OutputError
from bridge.whole_file import whole_file

#: The folder of chains that have not ended.
INCOMPLETE = "incomplete"
MODEL = "model.stan"
#: Its first line.
_OURS = "// The model that the draws in this folder are of."


def prepare_folder(folder: str | Path, model: str) -> Path:
    """Make a folder for the draws of a fit, with what its parameters stand for.

    Parameters
    ----------
    folder : str or Path
        Where; made where it is not there.
    model : str
        The program, with comments on its data block.

    Raises
    ------
    OptionError
        Where it holds the draws of a fit already, or another ``model.stan``.
    OutputError
        Where it cannot be written.
    """
    place = Path(folder).expanduser().absolute()
    refuse_draws(place)
    _refuse_model(place / MODEL)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{place} cannot be made: {error.strerror or error}.") from None
    with whole_file(place / MODEL) as file:
        file.write_text(f"{_OURS}\n{model}\n", encoding="utf-8")
    return place


def _refuse_model(file: Path) -> None:
    """Refuse to write over a file that is not of a fit which ended before its first draw."""
    if file.exists() and not (file.is_file() and file.read_bytes().startswith(_OURS.encode())):
        raise OptionError(
            f"draws_to: {file} is there already and would be written over; name another folder, or "
            "move it away."
        )


def refuse_draws(place: Path) -> None:
    """Refuse a folder that holds draws, be they of a fit that was interrupted.

    Raises
    ------
    OptionError
        Naming the folder.
    """
    below = place / INCOMPLETE
    whole = any(place.glob("chain_*.csv"))
    if whole or (below.is_dir() and any(below.iterdir())):
        kind = "the draws of a fit" if whole else "the draws of a fit that did not end"
        raise OptionError(
            f"draws_to: {place} holds {kind} already; name another folder, or move them away."
        )


def chain_file(folder: str | Path, number: int, *, complete: bool) -> Path:
    """Return where the draws of a chain are, once it has ended or before."""
    place = Path(folder)
    return (place if complete else place / INCOMPLETE) / f"chain_{number}.csv"


def move_up(folder: str | Path, number: int, written: Path) -> None:
    """Move the file of a chain that has ended out of ``incomplete``.

    Raises
    ------
    OutputError
        Where it cannot be moved.
    """
    try:
        written.replace(chain_file(folder, number, complete=True))
    except OSError as error:
        raise OutputError(f"{written} cannot be moved: {error.strerror or error}.") from None


class ChainFile:
    """The file of one chain, made at its first draw and written draw by draw.

    Parameters
    ----------
    folder : str or Path
        A folder of draws.
    number : int
        The chain, from 1.
    header : sequence of str
        What the file says of itself, without the ``#``.
    """

    def __init__(self, folder: str | Path, number: int, header: Sequence[str]) -> None:
        self._folder, self._number, self._header = folder, number, header
        self.path = chain_file(folder, number, complete=False)
        self._stream: FileIO | None = None

    def write(self, names: Sequence[str], row: bytes) -> None:
        """Write one draw: numbers as text, commas between them.

        Raises
        ------
        OutputError
            Where it cannot be written, as on a full disk.
        """
        try:
            if self._stream is None:
                self._stream = self._opened(names)
            # unbuffered: a process that is killed has written every draw but, maybe, the last
            _write(self._stream, row + b"\n")
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror or error}."
            ) from None

    def _opened(self, names: Sequence[str]) -> FileIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # never over another fit's file, which may have begun since the folder was looked at
        stream = self.path.open("xb", buffering=0)
        lines = [f"# chain = {self._number}", *(f"# {line}" for line in self._header)]
        _write(stream, "\n".join([*lines, ",".join(names), ""]).encode())
        return stream

    def end(self) -> None:
        """Close the file of a chain that has ended and move it up.

        Raises
        ------
        OutputError
            Where it cannot be.
        """
        if self._stream is None:
            return
        try:
            os.fsync(self._stream.fileno())  # its name must not outlive its draws
            self._stream.close()
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error.strerror or error}."
            ) from None
        move_up(self._folder, self._number, self.path)
        with contextlib.suppress(OSError):  # other chains are still there
            self.path.parent.rmdir()

    def close(self) -> None:
        """Close the file of a chain that has not ended, and leave it where it is."""
        if self._stream is not None:
            self._stream.close()


def _write(stream: FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:  # a full disk or a signal can end a write early
        left = left[stream.write(left) :]
