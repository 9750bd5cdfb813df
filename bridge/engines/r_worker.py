"""R in a child process: ``python -m bridge.engines.r_worker``. The only importer of rpy2.

What crosses, and how:

- to R: a plan as JSON text, and a `Frame` column by column;
- from R: a named list is a dict, an unnamed list a list, NULL is None; numeric and logical vectors
  are arrays with their dimensions (masked where an integer or a truth value is missing); text is
  a list with None for NA; a factor is the list of its labels. A vector of length one stays a
  vector, unless R marked it with ``one()`` of common.R: then it is a Python scalar.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np

from bridge import errors
from bridge.engines.frame import Column, Frame
from bridge.engines.worker import serve

PACKAGES = ("lme4", "nlme", "brms", "rstan", "StanHeaders", "jsonlite")

_INTEGER_NA = -(2**31)  # how R writes a missing integer or truth value
_unfinished: list[str] = []  # the pieces of a line of R's output that has not ended
_scripts: dict[str, Any] = {}  # the environments of the scripts that were read


def _rinterface() -> Any:
    """Start R at the first use; a sentence and a command when that cannot be."""
    # labels are UTF-8 whatever the user's locale is, and R's own words are English
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    os.environ.update(LC_ALL=locale, LANGUAGE="en")
    try:
        import rpy2.rinterface as ri
        from rpy2.rinterface_lib import callbacks, openrlib
    except ModuleNotFoundError:
        raise errors.EngineNotInstalled(
            'rpy2, which connects Python to R, is not installed; run: pip install "mlm-bridge[r]".'
        ) from None
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        raise errors.EngineNotInstalled(
            f"R could not be started by rpy2 ({error}); if R is missing, run: "
            "apt-get install r-base-core; if it is there, set R_HOME to what `R RHOME` prints."
        ) from error
    home = openrlib.R_HOME
    if home is None or not os.path.isdir(os.path.join(home, "library")):
        where = f"in {home} (R_HOME)" if home else "on this machine"
        raise errors.EngineNotInstalled(
            f"There is no R {where}; run: apt-get install r-base-core, "
            "or set R_HOME to what `R RHOME` prints."
        )
    callbacks.consolewrite_print = _write
    callbacks.consolewrite_warnerror = _write
    ri.initr(interactive=False)
    return ri


def _write(text: str) -> None:
    """Pass on R's output by whole lines, each in one write.

    R hands it over in pieces, and chains that run side by side share the pipe: pieces of two
    lines would mix.
    """
    _unfinished.append(text)
    if "\n" not in text and "\r" not in text:
        return
    whole = "".join(_unfinished)
    end = max(whole.rfind("\n"), whole.rfind("\r")) + 1
    _unfinished[:] = [whole[end:]]
    os.write(1, whole[:end].encode("utf-8", "replace"))


def _write_rest() -> None:
    """Pass on a last line that R did not end."""
    if any(_unfinished):
        _write("\n")


def _script(name: str) -> Any:
    """Return the environment of r_scripts/<name>.R, read once, after common.R."""
    if name not in _scripts:
        from bridge.resources import path

        ri = _rinterface()
        place = ri.baseenv["new.env"](parent=ri.globalenv)
        for part in ("common", name) if name != "common" else ("common",):
            ri.baseenv["sys.source"](
                ri.StrSexpVector([str(path(f"r_scripts/{part}.R"))]), envir=place
            )
        _scripts[name] = place
    return _scripts[name]


def fit(payload: dict[str, Any]) -> dict[str, Any]:
    """Call one function of an R script with a plan and the data.

    Parameters
    ----------
    payload : dict
        ``script`` (file name without ``.R``), ``function``, ``plan`` (what JSON can hold),
        ``frame`` (a `Frame`).

    Returns
    -------
    dict
        The function's list, and ``warnings``, ``messages`` (lists of str), ``versions`` (dict of
        str) and ``seconds``.

    Raises
    ------
    EngineFailed
        With R's own message.
    EngineNotInstalled
        R, rpy2 or an R package is missing.
    """
    ri = _rinterface()
    place = _script(payload["script"])
    plan = ri.StrSexpVector([json.dumps(payload["plan"], allow_nan=False)])
    started = time.monotonic()
    reply = _collected(place, payload["function"], _parsed(ri, plan), to_r(payload["frame"]))
    answer: dict[str, Any] = reply["answer"]
    extra = {
        "warnings": reply["warnings"],
        "messages": reply["messages"],
        "versions": versions({}),
        "seconds": time.monotonic() - started,
    }
    return answer | extra


def call(payload: dict[str, Any]) -> dict[str, Any]:
    """Apply an R function, given as text (``code``), to a frame (``value``).

    Returns
    -------
    dict
        ``answer``, ``warnings``, ``messages``.
    """
    ri = _rinterface()
    place = _script("common")
    text = ri.StrSexpVector([payload["code"]])
    place[".called"] = ri.baseenv["eval"](ri.baseenv["parse"](text=text), place)
    return _collected(place, ".called", to_r(payload["value"]))


def versions(_: dict[str, Any]) -> dict[str, Any]:
    """Return the versions of R, rpy2 and the R packages; None for a package that is missing."""
    from importlib.metadata import version

    ri = _rinterface()
    found: dict[str, Any] = from_r(_script("common")["versions"](ri.StrSexpVector(PACKAGES)))
    return found | {"rpy2": version("rpy2")}


def _parsed(ri: Any, text: Any) -> Any:
    try:
        parse = ri.baseenv["getExportedValue"]("jsonlite", "parse_json")
    except Exception as error:
        raise errors.EngineNotInstalled(
            "The R package jsonlite is not installed; run: apt-get install r-cran-jsonlite."
        ) from error
    no = ri.BoolSexpVector([False])
    return parse(text, simplifyVector=ri.BoolSexpVector([True]), simplifyDataFrame=no)


def _collected(place: Any, function: str, *arguments: Any) -> dict[str, Any]:
    try:
        reply: dict[str, Any] = from_r(place["collected"](place[function], *arguments))
    finally:
        _write_rest()
    if "error" in reply:
        where = f" (in {reply['call'][0]})" if reply["call"][0] not in ("NULL", "f(...)") else ""
        kind = getattr(errors, reply["kind"][0])
        said = reply["error"][0]
        raise kind(said if kind is errors.EngineNotInstalled else f"R stopped: {said}{where}")
    return reply


def to_r(frame: Frame) -> Any:
    """Build an R data frame; every column keeps its kind, levels and missing values."""
    ri = _rinterface()
    columns = ri.ListSexpVector([_column_to_r(ri, column) for column in frame])
    columns.names = ri.StrSexpVector([column.name for column in frame])
    size = len(frame[0].values) if frame else 0
    columns.do_slot_assign("row.names", ri.IntSexpVector(range(1, size + 1)))
    columns.rclass = ri.StrSexpVector(["data.frame"])
    return columns


def _column_to_r(ri: Any, column: Column) -> Any:
    if column.kind == "double":
        return _vector(ri.FloatSexpVector, column.values, np.float64)
    if column.kind == "integer":
        values = column.values
        if column.missing is not None:
            values = np.where(column.missing, _INTEGER_NA, values)
        return _vector(ri.IntSexpVector, values, np.int32)
    codes = _vector(ri.IntSexpVector, column.values + 1, np.int32)
    return _script("common")["as_factor_column"](codes, ri.StrSexpVector(column.levels))


def _vector(kind: Any, values: np.ndarray, dtype: Any) -> Any:
    values = np.ascontiguousarray(values, dtype=dtype)
    return kind.from_memoryview(values.data) if values.size else kind([])


def from_r(value: Any) -> Any:
    """Turn what R returned into dicts, lists, arrays and scalars; the module says how.

    Raises
    ------
    EngineFailed
        A list is half named, or holds something that has no such form (a function, an S4 object).
    """
    ri = _rinterface()
    if value is ri.NULL:
        return None
    classes = list(value.rclass)
    if isinstance(value, ri.ListSexpVector):
        return _list_from_r(ri, value)
    if isinstance(value, ri.StrSexpVector):
        plain: Any = [None if x is ri.NA_Character else str(x) for x in value]
    elif "factor" in classes:
        labels = list(value.do_slot("levels"))
        plain = [None if code == _INTEGER_NA else labels[code - 1] for code in _array(value)]
    elif isinstance(value, ri.FloatSexpVector):
        plain = _array(value)
    elif isinstance(value, ri.BoolSexpVector | ri.IntSexpVector):
        plain = _masked(_array(value), bool if isinstance(value, ri.BoolSexpVector) else np.int32)
    else:
        raise errors.EngineFailed(f"R returned a {classes[0]}, which has no form in Python.")
    if "scalar" not in classes:
        return plain
    only = plain[0]
    return None if only is np.ma.masked else only.item() if isinstance(only, np.generic) else only


def _list_from_r(ri: Any, value: Any) -> Any:
    items = [from_r(item) for item in value]
    if value.names is ri.NULL:
        return items
    names = [str(name) for name in value.names]
    if "" in names or len(set(names)) < len(names):
        raise errors.EngineFailed(f"R returned a list whose names are not whole: {names}.")
    return dict(zip(names, items, strict=True))


def _array(value: Any) -> np.ndarray:
    """Copy a numeric vector out of R's memory, with its dimensions."""
    dim = tuple(value.do_slot("dim")) if "dim" in value.list_attrs() else (len(value),)
    if 0 in dim:  # rpy2 cannot view what is empty
        return np.empty(dim)
    return np.array(value.memoryview(), order="C").reshape(dim)


def _masked(values: np.ndarray, dtype: Any) -> np.ndarray:
    missing = values == _INTEGER_NA
    plain = np.where(missing, 0, values).astype(dtype)
    return np.ma.masked_array(plain, missing) if missing.any() else plain


if __name__ == "__main__":
    serve({"fit": fit, "call": call, "versions": versions})
