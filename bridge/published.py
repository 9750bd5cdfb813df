"""Published tables, as printed: the cases that results are compared with.

A case is a folder ``validation/cases/<source>/<model>/`` with

``case.toml``
    ``title``, ``source`` (where it is printed), ``data`` (a name of :mod:`bridge.datasets`),
    ``notes`` (a list of sentences) and the tables ``[spec]``, ``[settings]`` and ``[argued]``
    (parameter = why print cannot be reached there, and what holds instead).
``published.csv``
    One number a row: ``parameter,statistic,value,page,scale,software``, digits as printed.
"""

from __future__ import annotations

import csv
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import datasets, resources
from bridge.errors import DataFileError, suggest

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("parameter", "statistic", "value", "page", "scale", "software")
_KEYS = {
    "title": str, "source": str, "data": str, "spec": dict,
    "notes": list, "settings": dict, "argued": dict,
}  # fmt: skip
_REQUIRED = ("title", "source", "data", "spec")
# Digits as printed: no thousands separator, no exponent, an ASCII minus.
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class PublishedTable:
    """One published fit.

    Attributes
    ----------
    name : str
        ``<source>/<model>``.
    title, source : str
        What was fitted, and where it is printed.
    data : str
        Name of the data set, for :func:`bridge.datasets.load`.
    spec : dict
        Arguments of a ``ModelSpec``: ``mean``, ``variance`` and so on.
    settings : dict
        How print was estimated: method, software, chains, draws, priors.
    argued : dict
        Parameter to the reason why print cannot be reached there.
    notes : tuple of str
        Misprints, oddities and what else a reader must know.
    frame : pandas.DataFrame
        One row a number: parameter, statistic, value (float), printed (its text),
        half_digit (half a unit of its last digit), page, scale, software.
    """

    name: str
    title: str
    source: str
    data: str
    spec: dict[str, Any]
    settings: dict[str, Any]
    argued: dict[str, str]
    notes: tuple[str, ...]
    frame: pd.DataFrame

    def value(self, parameter: str, statistic: str = "mean") -> float:
        """Return one printed number.

        Parameters
        ----------
        parameter : str
            Canonical name, such as ``"delta[sector]"``.
        statistic : str
            ``"mean"``, ``"sd"``, ``"estimate"``, ``"se"`` or ``"value"``.

        Returns
        -------
        float
            On the scale that ``frame["scale"]`` says.

        Raises
        ------
        bridge.errors.DataFileError
            If it is not printed.
        """
        rows = self.frame[self.frame["parameter"] == parameter]
        found = rows.loc[rows["statistic"] == statistic, "value"]
        if found.empty:
            near = suggest(parameter, self.frame["parameter"]) if rows.empty else ""
            raise DataFileError(f"'{self.name}' prints no {statistic} of {parameter}.{near}")
        return float(found.iloc[0])


def names(root: Path | None = None) -> tuple[str, ...]:
    """Return the names of all cases, in alphabetical order.

    Parameters
    ----------
    root : pathlib.Path, optional
        Folder of the cases; by default the package's own.

    Returns
    -------
    tuple of str
        ``<source>/<model>`` each.
    """
    root = root or resources.path("validation/cases")
    # A folder with either file is a case, so that a lost file is found out.
    folders = {file.parent for pattern in ("case.toml", "published.csv")
               for file in root.glob(f"*/*/{pattern}")}  # fmt: skip
    return tuple(sorted(folder.relative_to(root).as_posix() for folder in folders))


def load(name: str, root: Path | None = None) -> PublishedTable:
    """Read one published table.

    Parameters
    ----------
    name : str
        ``<source>/<model>``, such as ``"leckie2014/model1"``.
    root : pathlib.Path, optional
        Folder of the cases; by default the package's own.

    Returns
    -------
    PublishedTable
        The case with its numbers, digits as printed.

    Raises
    ------
    bridge.errors.DataFileError
        If there is no such case, or one of its files is malformed (file and line are named).
    """
    root = root or resources.path("validation/cases")
    known = names(root)
    if name not in known:
        raise DataFileError(
            f"There is no published table '{name}'; there are {', '.join(known)}."
            f"{suggest(name, known)}"
        )
    case = _read_case(root / name / "case.toml")
    frame = _read_numbers(root / name / "published.csv")
    strangers = sorted(set(case.get("argued", {})) - set(frame["parameter"]))
    if strangers:
        raise DataFileError(
            f"{root / name / 'case.toml'}: [argued] names {strangers[0]}, "
            f"which published.csv does not have.{suggest(strangers[0], frame['parameter'])}"
        )
    return PublishedTable(
        name=name,
        title=case["title"],
        source=case["source"],
        data=case["data"],
        spec=case["spec"],
        settings=case.get("settings", {}),
        argued=case.get("argued", {}),
        notes=tuple(case.get("notes", ())),
        frame=frame,
    )


def _read_case(file: Path) -> dict[str, Any]:
    """Read and check a case.toml."""
    try:
        case = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise DataFileError(f"{file} is missing or cannot be read.") from None
    except ValueError as error:  # TOML's own error, and text that is not UTF-8
        raise DataFileError(f"{file}: {error}.") from None
    for key in _REQUIRED:
        if not case.get(key):
            raise DataFileError(f"{file}: the case has no '{key}'; every case says its {key}.")
    for key, value in case.items():
        if key not in _KEYS:
            raise DataFileError(f"{file}: unknown key '{key}'.{suggest(key, _KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise DataFileError(f"{file}: '{key}' must be a {_KEYS[key].__name__}.")
    if case["data"] not in datasets.names():
        raise DataFileError(
            f"{file}: there is no data set '{case['data']}'; "
            f"there are {', '.join(datasets.names())}."
        )
    return case


def _read_numbers(file: Path) -> pd.DataFrame:
    """Read and check a published.csv, line by line."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], int] = {}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise DataFileError(f"{file} is missing or cannot be read.") from None
    reader = csv.reader(text.splitlines())
    if tuple(next(reader, ())) != COLUMNS:
        raise DataFileError(f"{file}, line 1: the columns must be {','.join(COLUMNS)}.")
    for cells in reader:
        row = _read_row(cells, f"{file}, line {reader.line_num}")
        key = (row["parameter"], row["statistic"])
        if key in seen:
            raise DataFileError(
                f"{file}, line {reader.line_num}: the {key[1]} of {key[0]} is on line "
                f"{seen[key]} already."
            )
        seen[key] = reader.line_num
        rows.append(row)
    if not rows:
        raise DataFileError(f"{file}: the table holds no numbers.")
    order = ["parameter", "statistic", "value", "printed", "half_digit", *COLUMNS[3:]]
    return pd.DataFrame(rows)[order]


def _read_row(cells: list[str], where: str) -> dict[str, Any]:
    """Check one line of a published.csv and give its number both forms."""
    if len(cells) != len(COLUMNS):
        raise DataFileError(f"{where}: {len(cells)} cells, not {len(COLUMNS)}; quote a comma.")
    row: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    for column, cell in row.items():
        if not cell or cell != cell.strip():
            raise DataFileError(f"{where}: '{column}' is empty or has blanks around it.")
    printed = row["value"]
    if not _NUMBER.fullmatch(printed):
        raise DataFileError(f"{where}: '{printed}' is not a number as 12.345 or -3.")
    decimals = len(printed.partition(".")[2])
    row |= {"printed": printed, "value": float(printed), "half_digit": 0.5 * 10.0**-decimals}
    if row["statistic"] in {"sd", "se"} and not 0 < row["value"] < math.inf:
        raise DataFileError(f"{where}: a {row['statistic']} of {printed} is not positive.")
    return row
