"""The design at new rows: the columns of a fit made from other data, as they were made there.

What a formula means was settled by the rows of the fit: the levels of a factor and its reference,
the mean and SD of ``scale(x)``, the polynomials of ``poly(x, 2)``. New rows go through the same
code with what was kept of it. Group means, deviations from them and group SDs (``cvar``, ``dvar``,
``gsd``) of a group of the fit are those of the fit's rows; of any other group they are those of its
rows in the new data, so that a group of one row has itself as its mean, and no SD.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, formula, names
from bridge.columns import as_frame, complete_rows, is_text, positions
from bridge.design_columns import atoms_of, columns_of, read_by
from bridge.design_of import design_of
from bridge.encode import encode
from bridge.errors import (
    DataError,
    NoRowsError,
    NotAvailable,
    OptionError,
    UnknownColumnError,
    suggest,
)
from bridge.level2_profile import columns_of as columns_of_functions
from bridge.result import Result
from bridge.spec import ModelSpec
from bridge.transforms import OF_ALL_ROWS, States


@dataclass(frozen=True, eq=False)
class NewRows:
    """The design of a fit at N rows; columns have the labels and the order of the fit.

    Attributes
    ----------
    index : pandas.Index
        Of the data.
    X, W : (N, p) and (N, k) arrays
        Designs of gamma and delta.
    Z, A : (N, number of u) and (N, number of v) arrays
        Designs of u and v.
    level2 : dict of str to (N, k) array
        The predictors of each level-2 function by element, as in `Result.level2_terms`.
    group : (N,) array of int or None
        The position of each row's group among those of the fit, -1 where it is none of them; None
        where there is no grouping column.
    together : (N,) array of int or None
        A number for each group that occurs: rows with the same one are of one group.
    labels : tuple of str
        The group of each row as text; none where there is no grouping column.
    """

    index: pd.Index
    X: np.ndarray
    W: np.ndarray
    Z: np.ndarray
    A: np.ndarray
    level2: Mapping[str, np.ndarray]
    group: np.ndarray | None
    together: np.ndarray | None
    labels: tuple[str, ...] = ()

    def part(self, some: slice) -> NewRows:
        """Return some of the rows."""
        return NewRows(
            self.index[some],
            self.X[some],
            self.W[some],
            self.Z[some],
            self.A[some],
            {key: matrix[some] for key, matrix in self.level2.items()},
            None if self.group is None else self.group[some],
            None if self.together is None else self.together[some],
            self.labels[some],
        )


def rows_of(result: Result, newdata: Any = None) -> NewRows:
    """Return the design of a fit at new rows, or at its own.

    Parameters
    ----------
    result : Result
        Of any engine, also a saved one.
    newdata : pandas.DataFrame, optional
        With the columns that the model reads but the outcome; the grouping column may be missing
        where no transform needs it. A transform, such as ``cvar(ses, school)``, may be given as a
        column of that name where ``ses`` or ``school`` is missing. The rows of the fit where it is
        left out.

    Returns
    -------
    NewRows

    Raises
    ------
    DataError
        Or a class below it, where a column is missing or of another kind, a value is missing, or a
        level is none of the fit's; the message names the column and the row.
    NotAvailable
        Where the result was saved before results kept what this needs.
    """
    if newdata is None:
        return _rows_of_fit(result)
    frame = as_frame(newdata)
    spec = result.spec
    used = _checked(result, frame)
    states = _states(result, used)
    columns, parts = columns_of(spec, used, states)

    def matrix(node: formula.Node) -> tuple[np.ndarray, tuple[str, ...]]:
        encoded = encode(node, parts, columns, len(used))
        return encoded.matrix, encoded.labels

    X, mean_terms = matrix(spec.mean_formula.fixed)
    W, variance_terms = matrix(spec.variance_formula.fixed)
    Z, of_u = _stacked([matrix(term.inner) for term in spec.mean_formula.random], len(used))
    A, of_v = _stacked([matrix(term.inner) for term in spec.variance_formula.random], len(used))
    effects = [names.effect("u", t) for t in of_u] + [names.effect("v", t) for t in of_v]
    _check_labels(result, mean_terms, variance_terms, effects)
    level2 = {
        key: matrix(formula.parse(_level2_text(spec, key)).fixed)[0] for key in result.level2_terms
    }
    group, together, labels = None, None, tuple[str, ...]()
    if spec.group is not None and spec.group in used:
        column = used[spec.group]
        group, together = positions(column, group_labels(result)), pd.factorize(column)[0]
        labels = tuple(map(str, column))
    return NewRows(used.index, X, W, Z, A, level2, group, together, labels)


def rows_at(result: Result, at: Mapping[str, Any]) -> pd.DataFrame:
    """Return a profile as rows: every combination of the values of the columns.

    Parameters
    ----------
    result : Result
        Any fit.
    at : mapping of str to value or sequence of values
        Of every column that the model reads but the outcome and the grouping, which may be
        given. Where a transform reads a column that is not, it is given as
        ``{"cvar(ses, school)": 0.2}``.

    Returns
    -------
    pandas.DataFrame
        The last column changes fastest.

    Raises
    ------
    OptionError
        Where it is no mapping, a column has no values, or is not read by the model.
    UnknownColumnError
        Where a column is missing; the message says what the model reads.

    Examples
    --------
    ``rows_at(fitted, {"sector": ["Public", "Catholic"], "ses": 0})`` has two rows.
    """
    if not isinstance(at, Mapping):
        raise OptionError(
            f"A profile is a mapping from columns to values, not {type(at).__name__}; write "
            'at={"ses": 0}.'
        )
    read = columns_read(result.spec, at)
    known = [*read, *([result.spec.group] if result.spec.group else [])]
    for name in at:
        if name not in known:
            raise OptionError(
                f"The profile has '{name}', which the model does not read."
                f"{suggest(str(name), known)} It reads: {', '.join(known) or 'no column'}."
            )
    _check_there(read, at, "The profile")
    values = {name: _listed(name, given) for name, given in at.items()}
    return pd.DataFrame(list(product(*values.values())), columns=list(values))


def columns_read(spec: ModelSpec, there: Container[str]) -> list[str]:
    """Return the columns that the terms of a model read of data that have some columns."""
    found = [name for atom in atoms_of(spec) for name in read_by(atom, there)]
    return list(dict.fromkeys(found))


def group_labels(result: Result) -> list[str]:
    """Return the groups of a fit in their order; none where it has no grouping."""
    if result.spec.group is None:
        return []
    constant = arviz_compat.groups_of(result.idata)["constant_data"]
    return [str(label) for label in constant[result.spec.group].values]


# --- what is asked of the data ------------------------------------------------------------------
def _listed(name: str, given: Any) -> list[Any]:
    values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not values:
        raise OptionError(f"The profile has no value of {name}; give one or more.")
    return values


def _check_there(read: Sequence[str], there: Container[str], what: str) -> None:
    missing = [name for name in read if name not in there]
    if missing:
        raise UnknownColumnError(
            f"{what} has no column {', '.join(missing)}; the model reads {', '.join(read)}."
        )


def _checked(result: Result, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that are read of new data; refuse what is missing."""
    spec = result.spec
    if not len(frame):
        raise NoRowsError("newdata has no rows; give one or more.")
    read = columns_read(spec, frame.columns)
    _check_there(read, frame.columns, "newdata")
    grouping = [spec.group] if spec.group in frame.columns and spec.group not in read else []
    named = [*read, *(str(name) for name in grouping)]
    if len(complete_rows(frame, named)) < len(frame):
        where = frame[named].isna()
        name = next(n for n in named if where[n].any())
        row = frame.index[int(np.argmax(where[name].to_numpy()))]
        raise DataError(
            f"newdata has no value of {name} in row {row}; fill it in, or drop the row."
        )
    return frame[named]


def _level2_text(spec: ModelSpec, element: str) -> str:
    """Return the formula of a level-2 function; a partial correlation without one is constant."""
    if not isinstance(spec.level2, Mapping):
        return str(spec.level2)
    kind = element.partition("[")[0]
    return spec.level2.get(element, spec.level2.get(kind, "~ 1"))


def _stacked(
    parts: Sequence[tuple[np.ndarray, tuple[str, ...]]], rows: int
) -> tuple[np.ndarray, list[str]]:
    matrix = np.hstack([np.zeros((rows, 0)), *(part for part, _ in parts)])
    return matrix, [label for _, labels in parts for label in labels]


def _rows_of_fit(result: Result) -> NewRows:
    design = design_of(result)
    grouped = result.spec.group is not None
    return NewRows(
        index=design.index,
        X=design.mean.matrix,
        W=design.variance.matrix,
        Z=design.Z,
        A=design.A,
        level2={key: encoded.matrix[design.group] for key, encoded in design.level2.items()},
        group=design.group if grouped else None,
        together=design.group if grouped else None,
        labels=tuple(design.group_labels[j] for j in design.group) if grouped else (),
    )


# --- results saved without states ---------------------------------------------------------------
def _states(result: Result, used: pd.DataFrame) -> States:
    """Return the states of a result, or of an older one those that can be recovered."""
    if result.states is not None:
        return result.states
    levels = columns_of_functions(result.level2_terms)
    found = {name: {"levels": of} for name, of in levels.items() if of is not None}
    for atom in atoms_of(result.spec):
        written = formula.text(atom)
        if written in found:
            continue
        calls = [n.function for n in formula.walk(atom) if isinstance(n, formula.Call)]
        if "C" in calls or (isinstance(atom, formula.Name) and is_text(used[written])):
            raise _not_kept(f"the levels of {written}")
        if OF_ALL_ROWS & set(calls):
            raise _not_kept(f"the constants of {written}")
    return found


def _not_kept(what: str) -> NotAvailable:
    return NotAvailable(
        f"This result was saved before results kept {what}, which new rows need; fit the model "
        "again and save it."
    )


def _check_labels(
    result: Result, mean: Sequence[str], variance: Sequence[str], effects: Sequence[str]
) -> None:
    """Make sure that the columns are those of the fit: without states a factor may be a number."""
    constant = arviz_compat.groups_of(result.idata)["constant_data"]
    for made, of_fit in (
        (mean, constant["mean_term"].values),
        (variance, constant["variance_term"].values),
        (effects, result.effects),
    ):
        if list(made) != [str(label) for label in of_fit]:
            raise _not_kept("the levels of its factors")
