"""Linear hypotheses in forms that `bridge.wald` takes: equations, matrices, mappings, a word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge import hypothesis_text
from bridge.errors import HypothesisError, suggest

#: How the names of parameters begin that are coefficients.
VARIABLES = ("gamma[", "delta[", "kappa[", "lambda_[")
#: Labels named where none is near, and weights that a row without a name is worded by.
_NAMED = 8
_WORDED = 6


@dataclass(frozen=True)
class Coefficients:
    """The coefficients that hypotheses may be about.

    Attributes
    ----------
    known : mapping of str to str
        Labels and flat names, each with the flat name it stands for.
    labels : tuple of str
        Labels of the function that bare labels belong to, in its order.
    function : str
        That function in words.
    elsewhere : mapping of str to str
        Labels of the other function and names of what is no coefficient, each with a sentence that
        says what to write instead.
    """

    known: Mapping[str, str]
    labels: tuple[str, ...]
    function: str
    elsewhere: Mapping[str, str]

    def flat(self, label: Any) -> str:
        """Return the flat name that a label stands for; a `HypothesisError` where it is unknown."""
        if label not in self.known:
            raise self.unknown(str(label))
        return self.known[label]

    def unknown(self, label: str) -> HypothesisError:
        """Return the error of a label that is unknown, the nearest suggested."""
        flat = label.startswith(VARIABLES)
        said = f"There is no coefficient '{label}'" + ("" if flat else f" in the {self.function}")
        if label in self.elsewhere:
            return HypothesisError(self.elsewhere[label])
        turned = [k for k in self.labels if sorted(k.split(":")) == sorted(label.split(":"))]
        near = f" Did you mean '{turned[0]}'?" if turned else suggest(label, self.known)
        if near:
            return HypothesisError(f"{said}.{near}")
        return HypothesisError(f"{said}; there are: {_listed(self.labels)}.")

    def shown(self, flat: str) -> str:
        """Return a coefficient's bare label where it has one, else its flat name."""
        return next((label for label in self.labels if self.known[label] == flat), flat)


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Linear hypotheses L b = r.

    Attributes
    ----------
    L : pandas.DataFrame
        One row a hypothesis, by its name; one column a coefficient with a weight other than zero
        anywhere, by its flat name.
    values : (m,) array
        r.
    """

    L: pd.DataFrame
    values: np.ndarray


def read(hypothesis: Any, rhs: Any, coefficients: Coefficients) -> Hypotheses:
    """Read hypotheses given as equations, a matrix or a mapping; see `bridge.wald`."""
    if isinstance(hypothesis, str):
        return _of_equations([hypothesis], rhs, coefficients)
    if isinstance(hypothesis, Mapping):
        return _of_mapping(hypothesis, rhs, coefficients)
    if isinstance(hypothesis, pd.Series):  # one row, by its labels
        hypothesis = pd.DataFrame(
            [hypothesis], index=None if hypothesis.name is None else [hypothesis.name]
        )
    if isinstance(hypothesis, pd.DataFrame):
        return _of_frame(hypothesis, rhs, coefficients)
    if isinstance(hypothesis, list | tuple) and any(isinstance(h, str) for h in hypothesis):
        for h in hypothesis:
            if not isinstance(h, str):
                raise HypothesisError(f"A list of hypotheses holds equations as text, not {h!r}.")
        return _of_equations(hypothesis, rhs, coefficients)
    return _of_array(hypothesis, rhs, coefficients)


def containing(term: Any, rhs: Any, coefficients: Coefficients) -> Hypotheses:
    """Return the hypotheses that each coefficient whose label contains a term is zero, or ``rhs``.

    Parameters
    ----------
    term : str
        Words of a label: ``ses`` is in ``ses:sector`` and in ``log(ses)``, not in ``meanses``.
    rhs, coefficients
        As in `bridge.wald`.
    """
    if not isinstance(term, str) or not term.strip():
        raise HypothesisError(
            f"containing is text, such as a column's name, that labels contain, not {term!r}."
        )
    word = re.compile(rf"(?<![\w.]){re.escape(term.strip())}(?![\w.])")
    found = [label for label in coefficients.labels if word.search(label)]
    if not found:
        raise HypothesisError(
            f"No coefficient of the {coefficients.function} contains '{term}'; there are: "
            f"{_listed(coefficients.labels)}."
        )
    rows = [{coefficients.known[label]: 1.0} for label in found]
    return _made([None] * len(rows), rows, _values(rhs, found), coefficients)


# --- forms --------------------------------------------------------------------------------------
def _of_equations(texts: Sequence[str], rhs: Any, coefficients: Coefficients) -> Hypotheses:
    _no_rhs(rhs)
    found = [
        each
        for text in texts
        for each in hypothesis_text.parse(text, coefficients.known, coefficients.unknown)
    ]
    values = np.array([each.value for each in found])
    return _made([e.text for e in found], [e.weights for e in found], values, coefficients)


def _of_mapping(hypothesis: Mapping[Any, Any], rhs: Any, coefficients: Coefficients) -> Hypotheses:
    """Read a mapping from names to equations, or from names to weights by label."""
    named = list(hypothesis.items())
    if named and all(isinstance(each, str) for _, each in named):
        _no_rhs(rhs)
        rows, values = [], list[float]()
        for name, text in named:
            equations = hypothesis_text.parse(text, coefficients.known, coefficients.unknown)
            if len(equations) != 1:
                raise HypothesisError(
                    f"The hypothesis '{name}' holds {len(equations)} equations ('{text}'); give "
                    "each a name of its own."
                )
            rows.append(equations[0].weights)
            values.append(equations[0].value)
        return _made([str(name) for name, _ in named], rows, np.array(values), coefficients)
    for name, weights in named:
        if not isinstance(weights, Mapping):
            raise HypothesisError(
                "A mapping of hypotheses goes from names to equations or to weights, as in "
                f"{{'name': {{'sector': 1, 'ses': -1}}}}; '{name}' goes to {weights!r}."
            )
    rows = [_weights(str(name), weights, coefficients) for name, weights in named]
    keys = [name for name, _ in named]
    return _made([str(name) for name in keys], rows, _values(rhs, keys), coefficients)


def _of_frame(frame: pd.DataFrame, rhs: Any, coefficients: Coefficients) -> Hypotheses:
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise HypothesisError(f"The matrix of hypotheses has two columns '{twice[0]}'; keep one.")
    plain = isinstance(frame.index, pd.RangeIndex)
    rows = [
        _weights(str(name), dict(zip(frame.columns, row, strict=True)), coefficients)
        for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    labels = [None if plain else str(name) for name in frame.index]
    return _made(labels, rows, _values(rhs, list(frame.index)), coefficients)


def _of_array(matrix: Any, rhs: Any, coefficients: Coefficients) -> Hypotheses:
    """Read a matrix with a column for each coefficient of the function; one row may be flat."""
    labels = coefficients.labels
    try:
        L = np.atleast_2d(np.asarray(matrix, dtype=float))
    except (TypeError, ValueError):
        raise HypothesisError(
            "A hypothesis is an equation as text, a list of these, a matrix of numbers or a "
            f"mapping, not {matrix!r:.60}."
        ) from None
    if L.ndim != 2 or L.shape[1] != len(labels):
        raise HypothesisError(
            f"The matrix of hypotheses has the shape {np.shape(matrix)}; the "
            f"{coefficients.function} has {len(labels)} coefficients, a column each "
            f"({_listed(labels)}). A DataFrame with labels as columns may leave some out."
        )
    rows = [
        _weights(f"row {i + 1}", dict(zip(labels, row, strict=True)), coefficients)
        for i, row in enumerate(L)
    ]
    return _made([None] * len(rows), rows, _values(rhs, range(len(rows))), coefficients)


# --- parts --------------------------------------------------------------------------------------
def _weights(name: str, weights: Mapping[Any, Any], coefficients: Coefficients) -> dict[str, float]:
    """Return the weights of a row by flat name; zeros too, so that their labels are checked."""
    found: dict[str, float] = {}
    for label, weight in weights.items():
        flat = coefficients.flat(label)
        if flat in found:
            raise HypothesisError(f"The hypothesis '{name}' names {flat} twice; name it once.")
        found[flat] = _number(weight, f"the weight of {label} in '{name}'")
    return found


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, str) or not np.isfinite(number):
        shown = repr(value) if isinstance(value, str) else value
        raise HypothesisError(f"In the hypotheses {what} is {shown}; give a finite number.")
    return number


def _no_rhs(rhs: Any) -> None:
    if rhs is not None:
        raise HypothesisError(
            "rhs is for a matrix of weights; write the value into the equation, as in 'ses = 2'."
        )


def _values(rhs: Any, rows: Sequence[Any]) -> np.ndarray:
    """Return the value of each row: of a mapping or Series by its name, else in order."""
    if rhs is None:
        return np.zeros(len(rows))
    if isinstance(rhs, Mapping | pd.Series):
        given = dict(rhs.items())
        if set(given) != set(rows) or len(given) != len(rhs):
            raise HypothesisError(
                f"rhs has values for {_listed([str(k) for k in given])}, where the hypotheses are "
                f"{_listed([str(r) for r in rows])}; give each one value, or all of them in order."
            )
        rhs = [given[name] for name in rows]
    found = list(np.ravel(np.asarray(rhs, dtype=object)))
    found = found * len(rows) if np.ndim(rhs) == 0 else found
    if len(found) != len(rows):
        raise HypothesisError(
            f"rhs has {len(found)} values for {len(rows)} row(s); give one each, or a number "
            "for all."
        )
    return np.array([_number(value, "a value of rhs") for value in found])


def _made(
    labels: Sequence[str | None],
    rows: Sequence[Mapping[str, float]],
    values: np.ndarray,
    coefficients: Coefficients,
) -> Hypotheses:
    if not rows:
        raise HypothesisError("There is no hypothesis to test; give at least one.")
    shown = [
        label if label is not None else _worded(i, row, value, coefficients)
        for i, (label, row, value) in enumerate(zip(labels, rows, values, strict=True))
    ]
    for name, row in zip(shown, rows, strict=True):
        if not any(row.values()):
            raise HypothesisError(
                f"The hypothesis '{name}' has no coefficient with a weight other than zero, so "
                "that there is nothing to test; leave it out."
            )
    L = pd.DataFrame([dict(row) for row in rows], index=pd.Index(shown, dtype=object)).fillna(0.0)
    used = [flat for flat in dict.fromkeys(coefficients.known.values()) if flat in L.columns]
    return Hypotheses(L[[flat for flat in used if L[flat].to_numpy().any()]], values)


def _worded(
    position: int, row: Mapping[str, float], value: float, coefficients: Coefficients
) -> str:
    """Return a row as an equation, or where it would be long by its number."""
    parts = [(flat, weight) for flat, weight in row.items() if weight]
    if not 0 < len(parts) <= _WORDED:
        return f"row {position + 1}"
    said = ""
    for flat, weight in parts:
        size = "" if abs(weight) == 1 else f"{abs(weight):.6g}*"
        sign = (" - " if weight < 0 else " + ") if said else ("-" if weight < 0 else "")
        said += f"{sign}{size}{coefficients.shown(flat)}"
    return f"{said} = {value:.6g}"


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(labels[:_NAMED]) + more
