"""What a study has done so far: Parquet parts in a folder, or tables in memory."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bridge.errors import DataFileError, OutputError, RequestError
from bridge.whole_file import whole_file

#: The column that says which replication a row belongs to.
REPLICATION = "replication"
STUDY = "study.json"
_PATTERN = "part-*.parquet"


class Parts:
    """The rows of the replications that are done.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where the parts are; None keeps them in memory.
    key : str or mapping
        What makes the study this study, as JSON has it.
    seed : int
        Its seed.

    Raises
    ------
    RequestError
        Where the folder holds a study with another key or seed.
    OutputError, DataFileError
        Where the folder cannot be written to, or a file in it cannot be read.
    """

    def __init__(self, folder: Path | None, key: str | Mapping[str, Any], seed: int) -> None:
        self._folder = folder
        self._tables: list[Any] = []
        self._columns: list[str] | None = None
        if folder is not None:
            _open(folder, {"key": key, "seed": seed})

    def done(self) -> set[int]:
        """Return the numbers of the replications that are there."""
        numbers: set[int] = set()
        for table in self._stored([REPLICATION]):
            numbers.update(table[REPLICATION].to_pylist())
        return numbers

    def add(self, tables: Mapping[int, Any]) -> None:
        """Keep the rows of some replications; in a folder they are one part, whole or absent.

        Parameters
        ----------
        tables : mapping of int to pyarrow.Table
            By replication, from `as_table`; all with the same columns.

        Raises
        ------
        RequestError
            Where a task has returned no rows, or other columns than before.
        OutputError
            Where the part cannot be written.
        """
        if not tables:
            return
        for number, table in sorted(tables.items()):
            self._check(number, table)
        self._keep(_joined([table for _, table in sorted(tables.items())]), min(tables))

    def table(self, replications: int) -> pd.DataFrame:
        """Return the rows of the first replications, by replication, as their tasks gave them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        tables, wanted = [], set(range(replications))
        for table in self._stored():
            own = wanted.intersection(table[REPLICATION].to_pylist())
            wanted -= own  # one that is in two parts is taken once
            tables.append(table.filter(pc.is_in(table[REPLICATION], pa.array(own, pa.int64()))))
        if not tables:
            return pd.DataFrame({REPLICATION: pd.Series(dtype="int64")})
        frame: pd.DataFrame = _joined(tables).to_pandas()
        return frame.sort_values(REPLICATION, kind="stable", ignore_index=True)

    def _check(self, number: int, table: Any) -> None:
        columns = table.column_names[1:]
        if not table.num_rows:
            raise RequestError(
                f"The task of replication {number} returned no rows; a failure is a row too."
            )
        if self._columns is None:
            first = next(iter(self._stored()), None)
            self._columns = columns if first is None else first.column_names[1:]
        if columns != self._columns:
            raise RequestError(
                f"The task of replication {number} returned the columns {', '.join(columns)}, and "
                f"before {', '.join(self._columns)}; they are the same in all replications."
            )

    def _keep(self, table: Any, first: int) -> None:
        if self._folder is None:
            self._tables.append(table)
            return
        import pyarrow.parquet as pq

        name = f"part-{first:07d}-{secrets.token_hex(4)}.parquet"
        with whole_file(self._folder / name) as file:
            pq.write_table(table, file)

    def _stored(self, columns: list[str] | None = None) -> list[Any]:
        if self._folder is None:
            return self._tables
        import pyarrow as pa
        import pyarrow.parquet as pq

        found = []
        for file in sorted(self._folder.glob(_PATTERN)):
            try:
                found.append(pq.read_table(file, columns=columns))
            except (OSError, pa.ArrowException) as error:
                raise DataFileError(
                    f"The part {file} of a study cannot be read: {error}; remove it, and its "
                    "replications are done again."
                ) from None
        return found


def as_table(number: int, frame: pd.DataFrame) -> Any:
    """Return the rows of a replication as they are kept, a `pyarrow.Table` with its number."""
    import pyarrow as pa

    numbered = frame.assign(**{REPLICATION: number})[[REPLICATION, *frame.columns]]
    # what pandas notes beside a column depends on which rows are in the part
    return pa.Table.from_pandas(numbered, preserve_index=False).replace_schema_metadata(None)


def study_of(folder: Path) -> dict[str, Any]:
    """Return what ``study.json`` of a folder says: key and seed.

    Raises
    ------
    DataFileError
        Where the folder holds no study.
    """
    try:
        found = json.loads((folder / STUDY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataFileError(f"{folder / STUDY} of a study cannot be read: {why}.") from None
    if not isinstance(found, dict) or not {"key", "seed"} <= set(found):
        raise DataFileError(f"{folder / STUDY} is not a study's: it has no key and seed.")
    if isinstance(found["seed"], bool) or not isinstance(found["seed"], int):
        raise DataFileError(f"{folder / STUDY} is not a study's: its seed is {found['seed']!r}.")
    return found


def _open(folder: Path, own: dict[str, Any]) -> None:
    """Make the folder a study's, or make sure that it is this one's."""
    own = json.loads(json.dumps(own))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror or error}."
        ) from None
    if not (folder / STUDY).exists():
        if any(folder.glob(_PATTERN)):
            raise RequestError(
                f"The folder {folder} holds parts of a study but no {STUDY}; choose another folder."
            )
        with whole_file(folder / STUDY) as file:
            file.write_text(json.dumps(own, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    there = study_of(folder)
    if there["seed"] != own["seed"]:
        raise RequestError(
            f"The folder {folder} holds a study with seed {there['seed']}, and this one has "
            f"{own['seed']}; give that seed, or another folder."
        )
    if there["key"] != own["key"]:
        raise RequestError(
            f"The folder {folder} holds another study{_difference(there['key'], own['key'])}; "
            "choose another folder."
        )


def _difference(there: Any, own: Any) -> str:
    """Say which parts of two keys differ, where they have parts."""
    if not (isinstance(there, dict) and isinstance(own, dict)):
        return f" ({there!r}, not {own!r})" if isinstance(own, str) else ""
    names = [n for n in dict.fromkeys([*there, *own]) if there.get(n) != own.get(n)]
    return f" (another {' and another '.join(names)})"


def _joined(tables: list[Any]) -> Any:
    """Join tables; a column without any value in one of them takes its type from the others."""
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="permissive")
