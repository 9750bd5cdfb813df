"""Data, specifications and folders as the command line names them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bridge import datasets
from bridge.errors import DataFileError, OutputError, suggest
from bridge.whole_file import whole_file

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
    readers = {".csv": _read_text, ".tsv": _read_text, ".parquet": pd.read_parquet}
    if file.suffix.lower() not in readers:
        raise DataFileError(f"{source} is not a .csv, .tsv or .parquet file; save it as one.")
    try:
        frame: pd.DataFrame = readers[file.suffix.lower()](file)
    except (OSError, ValueError, ImportError) as error:
        raise DataFileError(f"The data {source} cannot be read: {error}.") from None
    return frame


#: What stands for a missing value in a text file; any other word is a value.
MISSING = ("", "NA", "NaN")


def _read_text(file: Path) -> pd.DataFrame:
    """Read a .csv or .tsv; a column is numeric only where nothing of its text would be lost."""
    import pandas as pd

    frame = pd.read_csv(
        file,
        sep="\t" if file.suffix.lower() == ".tsv" else ",",
        dtype=str,
        keep_default_na=False,
        na_values=list(MISSING),
        encoding="utf-8-sig",
    )
    return frame.apply(_number_or_text)


def _number_or_text(column: pd.Series) -> pd.Series:
    """Return numbers where all values are; labels such as 001 stay text."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    known = column.notna()
    if not known.any() or numbers[known].isna().any():
        return column
    if column[known].str.fullmatch(r"[+-]?0\d.*").any():
        return column
    whole = column[known].str.fullmatch(r"[+-]?\d+").all()
    return numbers.astype("Int64") if whole and not known.all() else numbers


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
    with whole_file(path) as file:
        file.write_text(text, encoding="utf-8")


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
