"""Draws of nuts on disk as they come, in a Zarr store that any program reads.

A folder of draws holds ``draws.zarr`` as nutpie writes it, warm-up apart and sixteen draws at a
time: ``posterior/draws`` (chain, draw, number) and ``sample_stats``; ``columns.txt``, what each
number is, one a line; and ``model.txt``. What was not drawn, because a fit was interrupted, is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import OptionError, OutputError
from bridge.whole_file import whole_file

STORE = "draws.zarr"


def prepare_store(folder: str | Path, model: str, columns: Sequence[str]) -> Path:
    """Make a folder for the draws of a fit and return where its store goes.

    Parameters
    ----------
    folder : str or Path
        Where; made where it is not there.
    model : str
        The translation.
    columns : sequence of str
        What each number of a draw is.

    Raises
    ------
    OptionError
        Where it holds the draws of a fit already.
    OutputError
        Where it cannot be written.
    """
    place = Path(folder).expanduser().absolute()
    store = place / STORE
    if store.exists():
        raise OptionError(
            f"draws_to: {place} holds the draws of a fit already; name another folder, or move "
            "them away."
        )
    try:
        store.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{place} cannot be made: {error.strerror or error}.") from None
    for name, text in (("model.txt", model), ("columns.txt", "\n".join(columns))):
        with whole_file(place / name) as file:
            file.write_text(text + "\n", encoding="utf-8")
    return store


def read_store(
    store: Path, names: Mapping[str, str]
) -> tuple[Any, dict[str, np.ndarray], list[int]]:
    """Open the draws after warm-up.

    Parameters
    ----------
    store : Path
        What `prepare_store` returned, after sampling.
    names : mapping
        nutpie's names of statistics, and ours.

    Returns
    -------
    draws : zarr.Array
        (chain, draw, number), read where it is sliced.
    stats : dict of (chain, draw) arrays
    lengths : list of int
        How many draws each chain has.
    """
    import zarr

    group: Any = zarr.open_group(store, mode="r")
    drawn = np.isfinite(np.asarray(group["sample_stats/step_size"]))
    stats = {ours: np.asarray(group[f"sample_stats/{n}"]) for n, ours in names.items()}
    return group["posterior/draws"], stats, drawn.sum(axis=1).tolist()
