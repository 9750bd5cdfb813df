"""The two files of a published case, read and checked line by line."""

from __future__ import annotations

import csv
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import datasets
from bridge.errors import DataFileError, suggest

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("parameter", "statistic", "value", "page", "scale", "software")
#: What may be printed of a parameter of a fit, and of anything else.
ESTIMATES, SPREADS = ("mean", "estimate"), ("sd", "se")
OF_PARAMETER = (*ESTIMATES, *SPREADS, "lower", "upper", "median", "z", "t", "p")
OF_OTHERS = ("value", "se", "lower", "upper", "p")
#: The name of the model of ``[spec]`` among the fits of a case.
MAIN = "main"
#: Data that are drawn, not stored.
LONDON, SIMULATED = "london", "simulated"
#: Row subsets by name: the data set and the file with the groups kept.
ROWS = {"hs_schools": ("hsb", "validation/data/hs_schools.txt")}

_KEYS = {
    "title": str, "source": str, "data": str, "rows": str, "spec": dict, "notes": list,
    "settings": dict, "argued": dict, "fits": dict, "engines": dict, "quantities": dict,
    "simulate": dict,
}  # fmt: skip
_REQUIRED = ("title", "source", "data", "engines")
# Digits as printed: no thousands separator, an ASCII minus; "<0.001" is a bound.
_NUMBER = re.compile(r"(?P<bound><)?(?P<digits>-?\d+(\.(?P<decimals>\d+))?)(e(?P<power>[+-]?\d+))?")


def read_case(file: Path) -> dict[str, Any]:
    """Read and check a case.toml.

    Raises
    ------
    DataFileError
        Naming the file and the key.
    """
    try:
        case = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise DataFileError(f"{file} is missing or cannot be read.") from None
    except ValueError as error:  # TOML's own error, and text that is not UTF-8
        raise DataFileError(f"{file}: {error}.") from None
    _check_keys(case, str(file))
    _check_data(case, str(file))
    return case


def _check_keys(case: Mapping[str, Any], file: str) -> None:
    for key in _REQUIRED:
        if not case.get(key):
            raise DataFileError(f"{file}: the case has no '{key}'; every case says its {key}.")
    for key, value in case.items():
        if key not in _KEYS:
            raise DataFileError(f"{file}: unknown key '{key}'.{suggest(key, _KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise DataFileError(f"{file}: '{key}' must be a {_KEYS[key].__name__}.")
    for key in ("fits", "engines", "quantities"):
        for name, table in case.get(key, {}).items():
            if not isinstance(table, dict):
                raise DataFileError(f"{file}: [{key}] '{name}' must be a table of its own.")


def _check_data(case: Mapping[str, Any], where: str) -> None:
    known = (*datasets.names(), LONDON, SIMULATED)
    if case["data"] not in known:
        raise DataFileError(
            f"{where}: there is no data set '{case['data']}'; there are {', '.join(known)}."
        )
    rows = case.get("rows")
    if rows is not None and (rows not in ROWS or ROWS[rows][0] != case["data"]):
        raise DataFileError(
            f"{where}: {case['data']} has no rows '{rows}'; there are "
            f"{', '.join(f'{name} of {data}' for name, (data, _) in ROWS.items())}."
        )
    if (case["data"] == SIMULATED) != ("simulate" in case):
        raise DataFileError(
            f'{where}: data = "{SIMULATED}" and a table [simulate] that says how belong together.'
        )


def read_numbers(file: Path) -> pd.DataFrame:
    """Read and check a published.csv, line by line.

    Returns
    -------
    pandas.DataFrame
        One row a number; see `bridge.published_tables.PublishedTable`.

    Raises
    ------
    DataFileError
        Naming the file and the line.
    """
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
        row = _read_row(cells, f"{file}, line {reader.line_num}") | {"line": reader.line_num}
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
    order = ["parameter", "statistic", "value", "printed", "half_digit", "bound"]
    return pd.DataFrame(rows)[[*order, *COLUMNS[3:], "line"]]


def _read_row(cells: list[str], where: str) -> dict[str, Any]:
    """Check one line of a published.csv and give its number both forms."""
    if len(cells) != len(COLUMNS):
        raise DataFileError(f"{where}: {len(cells)} cells, not {len(COLUMNS)}; quote a comma.")
    row: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    for column, cell in row.items():
        if not cell or cell != cell.strip():
            raise DataFileError(f"{where}: '{column}' is empty or has blanks around it.")
    printed = row["value"]
    found = _NUMBER.fullmatch(printed)
    if found is None:
        raise DataFileError(
            f"{where}: '{printed}' is not a number as 12.345, -3, 1.2e-05 or <0.001."
        )
    places = int(found["power"] or 0) - len(found["decimals"] or "")
    bound = found["bound"] is not None
    row |= {
        "printed": printed,
        "value": float(printed.removeprefix("<")),
        "half_digit": 0.0 if bound else 0.5 * 10.0**places,
        "bound": bound,
    }
    if row["statistic"] in SPREADS and not 0 < row["value"] < math.inf:
        raise DataFileError(f"{where}: a {row['statistic']} of {printed} is not positive.")
    return row
