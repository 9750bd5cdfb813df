"""What a chain of PyStan writes, taken in line by line: no text of draws is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from bridge.engines.draws_folder import ChainFile
from bridge.errors import EngineFailed

_DRAW = b'{"version":1,"topic":"sample","values":{'
_LOGGED = b'{"version":1,"topic":"logger"'
_NAME = re.compile(rb'"[^"]*":')


class ChainReader:
    """The draws of one chain and what Stan said in it.

    Parameters
    ----------
    draws : int
        How many draws will come.
    file : ChainFile, optional
        Where each is written as well, as it comes.

    Attributes
    ----------
    names : tuple of str
        The columns: Stan's statistics, whose names end in ``__``, before the parameters.
    table : (draws, columns) array
        As many rows as have come are filled.
    count : int
        How many have come.
    logged : list of str
        What Stan logged.
    """

    def __init__(self, draws: int, file: ChainFile | None = None) -> None:
        self.names: tuple[str, ...] = ()
        self.table = np.empty((0, 0))
        self.count = 0
        self.logged: list[str] = []
        self._draws, self._file = draws, file
        self._parse = _parser()

    def take(self, line: bytes) -> None:
        """Take in a line; what is neither a draw nor logged is let go."""
        if line.startswith(_DRAW):
            self._draw(line)
        elif line.startswith(_LOGGED):
            self.logged.append(str(json.loads(line)["values"][0]))

    def _draw(self, line: bytes) -> None:
        if not self.count:
            self.names = tuple(json.loads(line)["values"])
            self.table = np.empty((self._draws, len(self.names)))
        self.table[self.count] = self._parse(line)
        self.count += 1
        if self._file is not None:
            self._file.write(self.names, _NAME.sub(b"", line[len(_DRAW) : line.rindex(b"}}")]))


def _parser() -> Any:
    """Return what reads the numbers of a draw: pysimdjson, which is PyStan's, where it is."""
    try:
        parser = import_module("simdjson").Parser()
    except ImportError:
        return lambda line: tuple(json.loads(line)["values"].values())

    def parse(line: bytes) -> tuple[float, ...]:
        try:
            found = parser.parse(line)
        except ValueError:  # it knows neither NaN nor Infinity
            return tuple(json.loads(line)["values"].values())
        values = tuple(found["values"].values())
        del found  # the parser reads the next line where this one is
        return values

    return parse


def stacked(
    readers: Sequence[ChainReader], names: Sequence[str], dims: Sequence[Sequence[int]], draws: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the draws of all chains by variable, and the sampler's statistics.

    Parameters
    ----------
    readers : sequence of ChainReader
        One a chain, C of them.
    names, dims : sequences
        The program's variables in order, and the shape of each.
    draws : int
        How many each chain was asked for, D.

    Returns
    -------
    draws : dict of str to (C, D, ...) arrays
        Of every variable that has an element.
    sampler : dict of str to (C, D) arrays
        Under Stan's names.

    Raises
    ------
    EngineFailed
        Where draws are missing, or are not those of the program.
    """
    for number, reader in enumerate(readers, 1):
        if reader.count != draws:
            raise EngineFailed(
                f"Stan (PyStan) gave {reader.count} of {draws} draws of chain {number}."
            )
    columns = readers[0].names
    count = sum(name.endswith("__") for name in columns)
    sizes = [int(np.prod(shape, dtype=int)) for shape in dims]
    if count + sum(sizes) != len(columns):
        raise EngineFailed(
            f"Stan (PyStan) gave draws of {len(columns) - count} numbers where the program has "
            f"{sum(sizes)}; this is an error of bridge, please report it."
        )
    found, start = {}, count
    for name, shape, size in zip(names, dims, sizes, strict=True):
        if size:
            # a matrix is written column by column
            parts = [r.table[:, start : start + size].reshape(draws, *shape[::-1]) for r in readers]
            order = (0, 1, *range(len(shape) + 1, 1, -1))
            found[name] = np.stack(parts).transpose(order).copy()
        start += size
    sampler = {columns[i]: np.stack([r.table[:, i] for r in readers]) for i in range(count)}
    return found, sampler
