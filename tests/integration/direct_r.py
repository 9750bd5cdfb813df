"""R as a user of R runs it: plain Rscript on a CSV file, and the answer as JSON.

Nothing of bridge is used here, so that what bridge says can be held against it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# jsonlite keeps 15 digits of a number; text of 17 tells every double from every other.
_PROGRAM = """
exact <- function(x) {{
  if (is.list(x)) return(lapply(x, exact))
  if (!is.double(x)) return(x)
  text <- sprintf("%.17g", x)
  list(double = if (is.matrix(x)) matrix(text, nrow(x)) else text)
}}
# check.names would rewrite the user's columns
data <- read.csv("data.csv", check.names = FALSE, encoding = "UTF-8", stringsAsFactors = TRUE)
answer <- local({{
{code}
}})
writeLines(jsonlite::toJSON(exact(answer), null = "null"), "answer.json", useBytes = TRUE)
"""


def run(code: str, data: pd.DataFrame, timeout: float = 600) -> dict[str, Any]:
    """Run R code on a frame; the value of its last line, a named list, comes back.

    Parameters
    ----------
    code : str
        R, which finds the frame as ``data``; columns of text are factors, levels sorted.
    data : pandas.DataFrame
        Written with 17 digits; the index is left out.
    timeout : float
        Seconds.

    Returns
    -------
    dict
        Doubles are arrays, also those of length one; text, whole numbers and truth values are
        lists.
    """
    with tempfile.TemporaryDirectory() as folder:
        data.to_csv(Path(folder, "data.csv"), index=False, float_format="%.17g", encoding="utf-8")
        Path(folder, "program.R").write_text(_PROGRAM.format(code=code), encoding="utf-8")
        done = subprocess.run(
            ["Rscript", "--vanilla", "program.R"],
            cwd=folder, capture_output=True, text=True, timeout=timeout,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"Rscript stopped with {done.returncode}:\n{done.stderr[-3000:]}")
        answer = json.loads(Path(folder, "answer.json").read_text("utf-8"))
    found: dict[str, Any] = _numbers(answer)
    return found


def _numbers(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"double"}:
        return np.array(value["double"], dtype=float)
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    return [_numbers(inner) for inner in value] if isinstance(value, list) else value


def schools(data: pd.DataFrame, count: int, column: str = "school") -> pd.DataFrame:
    """Return the rows of some groups, spread evenly over all of them, in the order of the data."""
    groups = np.sort(data[column].unique())
    kept = groups[np.linspace(0, len(groups) - 1, count).astype(int)]
    return data[data[column].isin(kept)].reset_index(drop=True)
