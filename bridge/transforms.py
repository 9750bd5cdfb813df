"""The transforms of formulas, computed once in Python, so that every engine gets columns.

Some depend on all rows at once: what they take from these (a mean, the values of groups) is learned
from the rows of the fit and kept as numbers, so that new rows are transformed as those were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula
from bridge.errors import DataError

Array = np.ndarray
#: What calls took from the rows of a fit, by the call as written: name -> number or numbers.
States = Mapping[str, Mapping[str, Any]]


def learn(
    node: formula.Node, numbers: Mapping[str, Array], groups: Mapping[str, Array]
) -> dict[str, dict[str, Any]]:
    """Return what the calls of a tree take from all rows at once.

    Parameters are those of `evaluate`.

    Returns
    -------
    dict of str to dict
        By the call as written, plain numbers and lists: of ``center`` its mean, of ``scale`` mean
        and sd, of ``poly`` the constants of its recurrence, of ``cvar``, ``dvar`` and ``gsd`` the
        values of the groups in the order of their codes.
    """
    found: dict[str, dict[str, Any]] = {}
    with np.errstate(all="ignore"):
        for call in reversed(list(formula.walk(node))):  # inner ones first
            if isinstance(call, formula.Call) and call.function in OF_ALL_ROWS:
                x = _first(call, numbers, groups, found)
                found[formula.text(call)] = _learned(call, x, groups)
    return found


def evaluate(
    node: formula.Node,
    numbers: Mapping[str, Array],
    groups: Mapping[str, Array],
    states: States | None = None,
) -> Array:
    """Compute a transform or arithmetic.

    Parameters
    ----------
    node : Node
        The tree; only numbers, columns, arithmetic and the listed transforms occur in one.
    numbers : mapping of str to (N,) array
        The numeric columns.
    groups : mapping of str to (N,) array of int
        Group codes of every column that stands second in cvar, dvar or gsd. A code beyond the
        groups of the states is a new group, whose value is that of its rows here.
    states : mapping, optional
        From `learn`; learned from these rows where it is left out.

    Returns
    -------
    (N,) array, or (N, degree) for ``poly``

    Raises
    ------
    DataError
        Where the value is not finite (a log of zero, a division by zero).
    """
    known = learn(node, numbers, groups) if states is None else states
    with np.errstate(all="ignore"):
        value = np.asarray(_value(node, numbers, groups, known), dtype=float)
    bad = ~np.isfinite(value)
    if bad.any():
        raise DataError(
            f"{formula.text(node)} is not a finite number in {int(bad.sum())} row(s), first in "
            f"row {int(np.argwhere(bad)[0][0]) + 1} of those used; mend or drop those rows."
        )
    return value


def _value(
    node: formula.Node, numbers: Mapping[str, Array], groups: Mapping[str, Array], states: States
) -> Any:
    if isinstance(node, formula.Name):
        return numbers[node.name]
    if isinstance(node, formula.Number):
        return float(node.text)
    if isinstance(node, formula.Negative):
        return -_value(node.body, numbers, groups, states)
    if isinstance(node, formula.Binary):
        left = _value(node.left, numbers, groups, states)
        right = _value(node.right, numbers, groups, states)
        return _ARITHMETIC[node.op](left, right)
    if isinstance(node, formula.Call):
        written = formula.text(node)
        if written in numbers:  # given as a column in the place of what it reads
            return numbers[written]
        x = _first(node, numbers, groups, states)
        if node.function in formula.WITH_GROUP:
            return _of_groups(node, x, groups, states[written])
        if node.function in _OF_STATE:
            return _OF_STATE[node.function](x, states[written])
        return _OF_ROWS[node.function](x)
    raise TypeError(f"not a value: {node!r}")


def _first(
    call: formula.Call, numbers: Mapping[str, Array], groups: Mapping[str, Array], states: States
) -> Array:
    """Return the first argument of a call, a number for every row."""
    rows = len(next(iter(numbers.values())))
    return np.broadcast_to(_value(call.arguments[0], numbers, groups, states), rows)


# --- what is taken from all rows ----------------------------------------------------------------
def _group_values(function: str, x: Array, codes: Array, size: int) -> Array:
    """Return the mean of each group, or its SD with n - 1, which a group of one has not."""
    if function == "gsd":
        spread = pd.Series(x).groupby(codes).std()
        return spread.reindex(range(size)).to_numpy(dtype=float, copy=True)
    counts = np.bincount(codes, minlength=size)
    means: Array = np.bincount(codes, weights=x, minlength=size) / counts
    return means


def _of_groups(
    call: formula.Call, x: Array, groups: Mapping[str, Array], state: Mapping[str, Any]
) -> Array:
    codes, known = groups[formula.text(call.arguments[1])], state["values"]
    values = _group_values(call.function, x, codes, max(len(known), int(codes.max()) + 1))
    values[: len(known)] = known
    own: Array = values[codes]
    return x - own if call.function == "dvar" else own


def _learned(call: formula.Call, x: Array, groups: Mapping[str, Array]) -> dict[str, Any]:
    if call.function == "center":
        return {"mean": float(x.mean())}
    if call.function == "scale":
        return {"mean": float(x.mean()), "sd": float(x.std(ddof=1))}
    if call.function == "poly":
        return _learned_poly(x, int(formula.text(call.arguments[1])), formula.text(call))
    codes = groups[formula.text(call.arguments[1])]
    return {"values": _group_values(call.function, x, codes, int(codes.max()) + 1).tolist()}


def _learned_poly(x: Array, degree: int, written: str) -> dict[str, Any]:
    from formulaic.transforms import poly

    if degree >= len(np.unique(x)):
        raise DataError(
            f"{written} has a degree of {degree}, but its column only {len(np.unique(x))} values; "
            "lower the degree."
        )
    state: dict[str, dict[int, float]] = {}
    poly(x, degree, _state=state)
    return {name: [float(values[k]) for k in range(len(values))] for name, values in state.items()}


def _poly(x: Array, state: Mapping[str, Any]) -> Array:
    from formulaic.transforms import poly

    known = {name: dict(enumerate(values)) for name, values in state.items()}
    return np.asarray(poly(x, len(known["alpha"]), _state=known), dtype=float)


_OF_STATE: dict[str, Callable[[Array, Mapping[str, Any]], Array]] = {
    "center": lambda x, state: x - state["mean"],
    "scale": lambda x, state: (x - state["mean"]) / state["sd"],
    "poly": _poly,
}
#: Transforms that depend on all rows at once.
OF_ALL_ROWS = formula.WITH_GROUP | set(_OF_STATE)
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
}
