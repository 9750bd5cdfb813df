"""Data, specifications and folders as the command line names them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import datasets
from bridge.errors import DataFileError, OutputError, suggest

if TYPE_CHECKING:
    import pandas as pd


def read_data(source: str) -> pd.DataFrame:
    """Read a table from a file, or a data set of the package by name.

    Parameters
    ----------
    source : str
        A path ending in .csv, .tsv or .parquet, or a name such as "hsb".

    Raises
    ------
    DataFileError
        Where it cannot be read.
    """
    import pandas as pd

    if source in datasets.names():
        return datasets.load(source)
    file = Path(source)
    if not file.is_file():
        raise DataFileError(
            f"There is no data file {source}, and no data set of that name."
            f"{suggest(source, datasets.names())} Data sets: {', '.join(datasets.names())}."
        )
    readers = {
        ".csv": pd.read_csv,
        ".tsv": lambda path: pd.read_csv(path, sep="\t"),
        ".parquet": pd.read_parquet,
    }
    if file.suffix.lower() not in readers:
        raise DataFileError(f"{source} is not a .csv, .tsv or .parquet file.")
    try:
        frame: pd.DataFrame = readers[file.suffix.lower()](file)
    except (OSError, ValueError, ImportError) as error:
        raise DataFileError(f"The data {source} cannot be read: {error}.") from None
    return frame


def output_folder(path: Path) -> Path:
    """Make a folder and make sure, before anything long runs, that it can be written to.

    Raises
    ------
    OutputError
        Where it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(
            f"The folder {path} cannot be written to: {error.strerror or error}."
        ) from None
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises
    ------
    OutputError
        Where it cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from None


def saved_results(folders: list[Path]) -> list[Path]:
    """Return the result files of folders, and files named themselves.

    Raises
    ------
    DataFileError
        Where a folder is not there or holds no result.
    """
    found: list[Path] = []
    for folder in folders:
        if folder.is_file():
            found.append(folder)
            continue
        if not folder.is_dir():
            raise DataFileError(f"There is no folder or result file {folder}.")
        inside = sorted(folder.glob("*.nc"))
        if not inside:
            raise DataFileError(f"The folder {folder} holds no saved result (*.nc).")
        found += inside
    return found
