"""The transforms of formulas, computed once in Python, so that every engine gets columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula
from bridge.errors import DataError

Array = np.ndarray


def evaluate(
    node: formula.Node, numbers: Mapping[str, Array], groups: Mapping[str, Array]
) -> Array:
    """Compute a transform or arithmetic.

    Parameters
    ----------
    node : Node
        The tree; only numbers, columns, arithmetic and the listed transforms occur in one.
    numbers : mapping of str to (N,) array
        The numeric columns.
    groups : mapping of str to (N,) array of int
        Group codes of every column that stands second in cvar, dvar or gsd.

    Returns
    -------
    (N,) array, or (N, degree) for ``poly``

    Raises
    ------
    DataError
        Where the value is not finite (a log of zero, a division by zero).
    """
    with np.errstate(all="ignore"):
        value = np.asarray(_value(node, numbers, groups), dtype=float)
    bad = ~np.isfinite(value)
    if bad.any():
        raise DataError(
            f"{formula.text(node)} is not a finite number in {int(bad.sum())} row(s), first in "
            f"row {int(np.argwhere(bad)[0][0]) + 1} of those used; mend or drop those rows."
        )
    return value


def _value(node: formula.Node, numbers: Mapping[str, Array], groups: Mapping[str, Array]) -> Any:
    if isinstance(node, formula.Name):
        return numbers[node.name]
    if isinstance(node, formula.Number):
        return float(node.text)
    if isinstance(node, formula.Negative):
        return -_value(node.body, numbers, groups)
    if isinstance(node, formula.Binary):
        left = _value(node.left, numbers, groups)
        right = _value(node.right, numbers, groups)
        return _ARITHMETIC[node.op](left, right)
    if isinstance(node, formula.Call):
        rows = len(next(iter(numbers.values())))
        first = np.broadcast_to(_value(node.arguments[0], numbers, groups), rows)
        if node.function in _OF_GROUPS:
            group = node.arguments[1]
            assert isinstance(group, formula.Name)
            return _OF_GROUPS[node.function](first, groups[group.name])
        if node.function == "poly":
            degree = node.arguments[1]
            assert isinstance(degree, formula.Number)
            return _poly(first, int(degree.text), formula.text(node))
        return _OF_ROWS[node.function](first)
    raise TypeError(f"not a value: {node!r}")


def _group_mean(x: Array, codes: Array) -> Array:
    counts = np.bincount(codes)
    return (np.bincount(codes, weights=x) / counts)[codes]


def _group_sd(x: Array, codes: Array) -> Array:
    """Return the SD within each group, with n - 1; a group of one has none."""
    return np.asarray(pd.Series(x).groupby(codes).transform("std"), dtype=float)


def _scale(x: Array) -> Array:
    return (x - x.mean()) / x.std(ddof=1)


def _poly(x: Array, degree: int, written: str) -> Array:
    from formulaic.transforms import poly

    if degree >= len(np.unique(x)):
        raise DataError(
            f"{written} has a degree of {degree}, but its column only {len(np.unique(x))} values; "
            "lower the degree."
        )
    return np.column_stack([np.asarray(c, dtype=float) for c in np.asarray(poly(x, degree)).T])


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": np.divide,
    "^": lambda a, b: np.power(np.asarray(a, dtype=float), b),
}
_OF_ROWS: dict[str, Callable[[Array], Array]] = {
    "I": lambda x: x,
    "log": np.log,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "center": lambda x: x - x.mean(),
    "scale": _scale,
}
_OF_GROUPS = {
    "cvar": _group_mean,
    "dvar": lambda x, codes: x - _group_mean(x, codes),
    "gsd": _group_sd,
}
