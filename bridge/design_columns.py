"""What a model reads of the data, checked: outcome, grouping, the columns of its terms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bridge import formula
from bridge.columns import Factor, as_factor, as_number, is_text
from bridge.encode import Column
from bridge.errors import (
    DataError,
    GroupsError,
    NoRowsError,
    OutcomeError,
    VocabularyError,
)
from bridge.spec import ModelSpec
from bridge.transforms import evaluate


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


def columns_of(
    spec: ModelSpec, used: pd.DataFrame
) -> tuple[dict[str, Column], dict[formula.Name | formula.Call, list[str]]]:
    """Compute every atom of the formulas once; return the columns and the atoms' names."""
    nodes = [spec.mean_formula.fixed, spec.variance_formula.fixed]
    nodes += [t.inner for t in spec.mean_formula.random + spec.variance_formula.random]
    nodes += [formula.parse(text).fixed for text in _level2_texts(spec)]
    atoms = dict.fromkeys(a for node in nodes for a in formula.atoms(node))
    columns: dict[str, Column] = {}
    parts: dict[formula.Name | formula.Call, list[str]] = {}
    for atom in atoms:
        made = _atom(atom, used)
        columns.update(made)
        parts[atom] = list(made)
    return columns, parts


def _level2_texts(spec: ModelSpec) -> list[str]:
    if isinstance(spec.level2, str):
        return [spec.level2]
    return list((spec.level2 or {}).values())


def _atom(atom: formula.Name | formula.Call, used: pd.DataFrame) -> dict[str, Column]:
    written = formula.text(atom)
    if isinstance(atom, formula.Name) or atom.function == "C":
        name = atom.name if isinstance(atom, formula.Name) else formula.text(atom.arguments[0])
        if isinstance(atom, formula.Name) and not is_text(used[name]):
            return {written: as_number(used[name])}
        factor = as_factor(used[name])
        if len(factor.levels) < 2:
            raise DataError(
                f"Column '{name}' has one value only ({factor.levels[0]}); leave it out."
            )
        return {written: factor}
    numbers, groups = {}, {}
    for name in formula.predictors(atom):
        if is_text(used[name]) and not pd.api.types.is_bool_dtype(used[name].dtype):
            raise DataError(
                f"{written} needs numbers, but column '{name}' holds text or categories; "
                "turn it into numbers first."
            )
        numbers[name] = as_number(used[name])
    for name in set(formula.columns(atom)) - set(numbers):
        groups[name] = as_factor(used[name]).codes
    for call in formula.walk(atom):
        if isinstance(call, formula.Call) and call.function in ("cvar", "dvar", "gsd"):
            group = formula.text(call.arguments[1])
            groups.setdefault(group, as_factor(used[group]).codes)
    value = evaluate(atom, numbers, groups)
    if value.ndim == 1:
        return {written: value}
    return {f"{written}[{i + 1}]": value[:, i] for i in range(value.shape[1])}
