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
) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    """Read the draws after warm-up, as many as the shortest chain has.

    Parameters
    ----------
    store : Path
        What `prepare_store` returned, after sampling.
    names : mapping
        nutpie's names of statistics, and ours.

    Returns
    -------
    draws : (chain, draw, number) array
    stats : dict of (chain, draw) arrays
    count : int
        How many draws that is.
    """
    import zarr

    group: Any = zarr.open_group(store, mode="r")
    drawn = np.isfinite(np.asarray(group["sample_stats/step_size"]))
    count = int(drawn.sum(axis=1).min(initial=drawn.shape[1]))
    stats = {ours: np.asarray(group[f"sample_stats/{n}"])[:, :count] for n, ours in names.items()}
    return np.asarray(group["posterior/draws"][:, :count]), stats, count
