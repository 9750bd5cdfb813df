"""What a model reads of the data, checked: outcome, grouping, the columns of its terms."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula
from bridge.columns import Factor, as_factor, as_number, is_text, positions
from bridge.encode import Column
from bridge.errors import (
    ColumnTypeError,
    DataError,
    GroupsError,
    NoRowsError,
    OutcomeError,
    VocabularyError,
    suggest,
)
from bridge.spec import ModelSpec
from bridge.transforms import States, evaluate, learn

#: What they make of their columns is a factor, or several numbers, and is not given as one number.
_MORE_THAN_A_NUMBER = frozenset({"C", "poly"})


def check_columns(frame: pd.DataFrame, used: pd.DataFrame, spec: ModelSpec) -> None:
    """Refuse column names a result cannot hold, and data without a usable row."""
    for name in spec.columns:
        if "/" in name:
            raise VocabularyError(f"Column '{name}' holds '/', which a result cannot; rename it.")
    if frame.empty:
        raise NoRowsError("The data have no rows; read or select some first.")
    if frame[spec.outcome].isna().all():
        raise OutcomeError(
            f"The outcome '{spec.outcome}' is missing in every row; choose another column."
        )
    if used.empty:
        empty = [c for c in spec.columns if frame[c].isna().all()]
        hint = f" Column '{empty[0]}' has no values at all; leave it out." if empty else ""
        raise NoRowsError(
            f"No row is left: each of the {len(frame)} rows has a missing value in one of "
            f"{', '.join(spec.columns)}.{hint}"
        )


def outcome_of(used: pd.DataFrame, name: str) -> np.ndarray:
    """Return the outcome as numbers that vary."""
    if is_text(used[name]):
        raise OutcomeError(
            f"The outcome '{name}' is not numeric, and these models are for continuous outcomes; "
            "make it numbers or choose another column."
        )
    values = as_number(used[name], OutcomeError)
    if values.min() == values.max():
        raise OutcomeError(
            f"The outcome '{name}' is constant ({values[0]:g}); nothing can be modelled."
        )
    return values


def grouping_of(frame: pd.DataFrame, used: pd.DataFrame, spec: ModelSpec) -> Factor:
    """Return the group of every row used."""
    if spec.group is None:
        return Factor(np.zeros(len(used), dtype=np.int64), ("all",))
    column = used[spec.group]
    if column.dtype == float and frame[spec.group].isna().any() and (column % 1 == 0).all():
        # pandas keeps whole numbers as floats where some are missing: they were not written so
        column = column.astype(np.int64)
    return as_factor(column)


def check_groups(grouping: Factor, spec: ModelSpec, in_mean: bool, in_variance: bool) -> None:
    """Refuse groups that cannot identify the random effects."""
    if not (in_mean or in_variance):
        return
    sizes = np.bincount(grouping.codes)
    if len(sizes) < 2:
        raise GroupsError(
            f"'{spec.group}' has one group only ({grouping.levels[0]}); random effects need "
            "several."
        )
    if sizes.max() == 1:
        where = "variance" if in_variance else "mean"
        raise GroupsError(
            f"Every group of '{spec.group}' has one row only; a random effect in the {where} "
            "cannot be told from the residual. Group by something coarser."
        )


def check_enough_groups(grouping: Factor, spec: ModelSpec) -> None:
    """Refuse more latent classes than groups."""
    if spec.classes is not None and len(grouping.levels) < spec.classes:
        raise GroupsError(
            f"There are {spec.classes} latent classes for the {len(grouping.levels)} groups of "
            f"'{spec.group}'; ask for fewer classes."
        )


def atoms_of(spec: ModelSpec) -> list[formula.Name | formula.Call]:
    """Return the columns and transforms that the formulas of a spec are made of, each once."""
    nodes = [spec.mean_formula.fixed, spec.variance_formula.fixed]
    nodes += [t.inner for t in spec.mean_formula.random + spec.variance_formula.random]
    nodes += [formula.parse(text).fixed for text in spec.level2_texts()]
    return list(dict.fromkeys(a for node in nodes for a in formula.atoms(node)))


def learn_states(spec: ModelSpec, used: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return what the columns of a spec take from all rows of the data at once.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    used : pandas.DataFrame
        The rows used, without missing values.

    Returns
    -------
    dict of str to dict
        Plain values by what is written: a factor's levels, reference first, as ``sector`` (a number
        has no entry) and ``C(sector)``, also of columns that group a transform; and what
        `bridge.transforms.learn` finds of a transform.
    """
    found: dict[str, dict[str, Any]] = {}
    for atom in atoms_of(spec):
        if isinstance(atom, formula.Name) and not is_text(used[atom.name]):
            continue
        if isinstance(atom, formula.Name) or atom.function == "C":
            found[formula.text(atom)] = {"levels": _levels(formula.columns(atom)[0], used)}
            continue
        for name in _groups_of(atom):
            found[levels_key(name)] = {"levels": list(as_factor(used[name]).levels)}
        numbers, groups = _arguments(atom, used, found)
        found |= learn(atom, numbers, groups)
    return found


def levels_key(name: str) -> str:
    """Return where the states have the levels of a column that groups a transform."""
    return formula.text(formula.Call("C", (formula.Name(name),)))


def _levels(name: str, used: pd.DataFrame) -> list[str]:
    levels = as_factor(used[name]).levels
    if len(levels) < 2:
        raise DataError(f"Column '{name}' has one value only ({levels[0]}); leave it out.")
    return list(levels)


def columns_of(
    spec: ModelSpec, used: pd.DataFrame, states: States
) -> tuple[dict[str, Column], dict[formula.Name | formula.Call, list[str]]]:
    """Compute every atom of the formulas once; return the columns and the atoms' names.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    used : pandas.DataFrame
        Rows without missing values, of the fit or others. A transform whose columns are not all
        there is read from a column named as it is written.
    states : mapping
        From `learn_states` on the rows of the fit.

    Raises
    ------
    DataError
        Also where a factor has a level that is not among those of the states.
    """
    columns: dict[str, Column] = {}
    parts: dict[formula.Name | formula.Call, list[str]] = {}
    for atom in atoms_of(spec):
        made = _atom(atom, used, states)
        columns.update(made)
        parts[atom] = list(made)
    return columns, parts


def _atom(
    atom: formula.Name | formula.Call, used: pd.DataFrame, states: States
) -> dict[str, Column]:
    written = formula.text(atom)
    if isinstance(atom, formula.Name) or atom.function == "C":
        column = used[formula.columns(atom)[0]]
        if written not in states:
            _check_number(column)
            return {written: as_number(column)}
        return {written: _factor(column, states[written]["levels"])}
    value = evaluate(atom, *_arguments(atom, used, states), states)
    if value.ndim == 1:
        return {written: value}
    return {f"{written}[{i + 1}]": value[:, i] for i in range(value.shape[1])}


def _check_number(column: pd.Series) -> None:
    """Refuse text where the fit had numbers; truth values count as 0 and 1."""
    if is_text(column) and not pd.api.types.is_bool_dtype(column.dtype):
        raise ColumnTypeError(
            f"Column '{column.name}' held numbers at the fit and holds text or categories here; "
            "give numbers."
        )


def _factor(column: pd.Series, levels: Sequence[str]) -> Factor:
    codes = positions(column, levels)
    if (codes < 0).any():
        first = int(np.argmin(codes))
        value = str(column.iloc[first])
        raise DataError(
            f"Column '{column.name}' is '{value}' in row {column.index[first]}, which is not one "
            f"of the levels of the fit.{suggest(value, levels)} There are: {', '.join(levels)}."
        )
    return Factor(codes, tuple(levels))


def read_by(node: formula.Node, there: Container[str]) -> list[str]:
    """Return the columns a node reads of a frame that has some columns.

    They are those in its text; of a transform one of whose columns is not there, the column named
    as the transform is written, if there is one.
    """
    if isinstance(node, formula.Name):
        return [node.name]
    if isinstance(node, formula.Call) and node.function not in _MORE_THAN_A_NUMBER:
        written, own = formula.text(node), formula.columns(node)
        if written in there and any(name not in there for name in own):
            return [written]
    below = [name for child in formula.children(node) for name in read_by(child, there)]
    return list(dict.fromkeys(below))


def _arguments(
    atom: formula.Call, used: pd.DataFrame, states: States
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the numbers and the group codes a transform is of; see `bridge.transforms`."""
    written, numbers, groups = formula.text(atom), {}, {}
    reads = read_by(atom, used.columns)
    no_numbers = set(formula.columns(atom)) - set(formula.predictors(atom))
    for name in reads:
        if name in no_numbers:
            continue
        if is_text(used[name]) and not pd.api.types.is_bool_dtype(used[name].dtype):
            raise DataError(
                f"{written} needs numbers, but column '{name}' holds text or categories; "
                "turn it into numbers first."
            )
        numbers[name] = as_number(used[name])
    for name in set(_groups_of(atom)) & set(reads):
        levels = states[levels_key(name)]["levels"]
        codes = positions(used[name], levels)
        new = codes < 0
        codes[new] = len(levels) + pd.factorize(used[name][new])[0]
        groups[name] = codes
    return numbers, groups


def _groups_of(atom: formula.Call) -> list[str]:
    """Return the columns that stand second in cvar, dvar or gsd."""
    calls = [n for n in formula.walk(atom) if isinstance(n, formula.Call)]
    return [formula.text(c.arguments[1]) for c in calls if c.function in formula.WITH_GROUP]
