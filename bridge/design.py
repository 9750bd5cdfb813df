"""Spec and data to numbers: matrices, group index, labels, the rows used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula, names
from bridge.columns import Factor, as_factor, as_frame, as_number, complete_rows, is_text
from bridge.encode import Column, Encoded, check_rank, encode
from bridge.errors import (
    DataError,
    GroupsError,
    NoRowsError,
    OutcomeError,
    SpecError,
    VocabularyError,
)
from bridge.priors import ResolvedPriors, resolve
from bridge.spec import ModelSpec
from bridge.transforms import evaluate


@dataclass(frozen=True)
class RandomPart:
    """One random term as numbers.

    Attributes
    ----------
    encoded : Encoded
        Its design columns.
    id : str or None
        The id it shares with other terms.
    correlated : bool
        False for ``||``.
    effects : tuple of int
        The positions of its effects among all effects, u before v.
    """

    encoded: Encoded
    id: str | None
    correlated: bool
    effects: tuple[int, ...]


@dataclass(frozen=True)
class Design:
    """A model on one data set, in numbers. N rows, J groups, q effects.

    Attributes
    ----------
    spec : ModelSpec
        What was asked.
    y : (N,) array
        The outcome.
    mean, variance : Encoded
        Fixed parts: X (N, p) with the terms of gamma; W (N, k) with those of delta.
    mean_random, variance_random : tuple of RandomPart
        Random terms.
    columns : dict
        Every column the terms are made of, transforms computed.
    block : tuple of int
        The block of each effect, u before v; effects in different blocks are independent.
    group : (N,) array of int
        The group of each row.
    group_labels : tuple of str
        The groups as the user wrote them, as text.
    index : pandas.Index
        The user's index of the rows used.
    dropped_rows : int
        Rows left out for missing values.
    outcome_mad : float
        1.4826 times the median absolute deviation of the outcome (its SD where that is zero).
    """

    spec: ModelSpec
    y: np.ndarray
    mean: Encoded
    variance: Encoded
    mean_random: tuple[RandomPart, ...]
    variance_random: tuple[RandomPart, ...]
    columns: Mapping[str, Column]
    block: tuple[int, ...]
    group: np.ndarray
    group_labels: tuple[str, ...]
    index: pd.Index
    dropped_rows: int
    outcome_mad: float

    @property
    def mean_effects(self) -> tuple[str, ...]:
        """Labels of u, such as ``u:Intercept``."""
        return _labels("u", self.mean_random)

    @property
    def variance_effects(self) -> tuple[str, ...]:
        """Labels of v, such as ``v:Intercept``."""
        return _labels("v", self.variance_random)

    @property
    def effects(self) -> tuple[str, ...]:
        """Labels of all effects, u before v."""
        return self.mean_effects + self.variance_effects

    @property
    def Z(self) -> np.ndarray:  # noqa: N802 - the matrix's name in the field
        """Design of u, (N, number of u)."""
        return _stack(self.mean_random, len(self.y))

    @property
    def A(self) -> np.ndarray:  # noqa: N802
        """Design of v, (N, number of v)."""
        return _stack(self.variance_random, len(self.y))

    @property
    def tau_pairs(self) -> list[tuple[int, int]]:
        """Positions of the elements of tau."""
        return names.pair_indices(self.block, diagonal=True)

    @property
    def rho_pairs(self) -> list[tuple[int, int]]:
        """Positions of the elements of rho."""
        return names.pair_indices(self.block, diagonal=False)

    def pair_label(self, pair: tuple[int, int]) -> str:
        """Return the label of a pair of effects."""
        return names.pair(self.effects[pair[0]], self.effects[pair[1]])

    @property
    def priors(self) -> ResolvedPriors:
        """The priors in use, every number known."""
        return resolve(
            self.spec.priors,
            self.mean.labels,
            self.variance.labels,
            [t for part in self.mean_random for t in part.encoded.labels],
            [t for part in self.variance_random for t in part.encoded.labels],
            self.outcome_mad,
            correlated=bool(self.rho_pairs),
            student_t=self.spec.random_effects == "student_t",
        )


def _labels(letter: str, parts: tuple[RandomPart, ...]) -> tuple[str, ...]:
    return tuple(names.effect(letter, t) for part in parts for t in part.encoded.labels)


def _stack(parts: tuple[RandomPart, ...], rows: int) -> np.ndarray:
    return np.hstack([np.zeros((rows, 0)), *(part.encoded.matrix for part in parts)])


def make_design(spec: ModelSpec, data: Any) -> Design:
    """Put a spec and data together.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    data : pandas.DataFrame
        The data; rows with a missing value in a column the model reads are dropped.

    Returns
    -------
    Design

    Raises
    ------
    DataError
        Or a class below it, where the data cannot be used for the model.
    """
    frame = as_frame(data)
    used = complete_rows(frame, spec.columns)
    _check_columns(frame, used, spec)
    y = _outcome(frame, used, spec.outcome)
    grouping = _grouping(used, spec)
    columns, parts = _columns(spec, used)

    def encoded(node: formula.Node) -> Encoded:
        return encode(node, parts, columns, len(y))

    mean, variance = encoded(spec.mean_formula.fixed), encoded(spec.variance_formula.fixed)
    check_rank(mean, "mean")
    check_rank(variance, "variance")
    mean_random, start = _random(spec.mean_formula.random, encoded, 0, "mean")
    variance_random, _ = _random(spec.variance_formula.random, encoded, start, "variance")
    _check_groups(grouping, spec, bool(mean_random), bool(variance_random))
    design = Design(
        spec=spec,
        y=y,
        mean=mean,
        variance=variance,
        mean_random=mean_random,
        variance_random=variance_random,
        columns=columns,
        block=numbered_blocks(mean_random + variance_random),
        group=grouping.codes,
        group_labels=grouping.levels,
        index=used.index,
        dropped_rows=len(frame) - len(used),
        outcome_mad=_mad(y),
    )
    _ = design.priors  # a prior on what the model does not have is found out here
    return design


def _check_columns(frame: pd.DataFrame, used: pd.DataFrame, spec: ModelSpec) -> None:
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


def _outcome(frame: pd.DataFrame, used: pd.DataFrame, name: str) -> np.ndarray:
    if is_text(used[name]):
        raise OutcomeError(
            f"The outcome '{name}' is not numeric, and these models are for continuous outcomes; "
            "make it numbers or choose another column."
        )
    numbers = pd.to_numeric(frame[name], errors="coerce")
    is_complex = pd.api.types.is_complex_dtype(numbers.dtype)
    if not is_complex and np.isinf(numbers.to_numpy(dtype=float, na_value=np.nan)).any():
        raise OutcomeError(f"The outcome '{name}' is infinite in some row; mend or drop that row.")
    values = as_number(used[name])
    if values.min() == values.max():
        raise OutcomeError(
            f"The outcome '{name}' is constant ({values[0]:g}); nothing can be modelled."
        )
    return values


def _grouping(used: pd.DataFrame, spec: ModelSpec) -> Factor:
    if spec.group is None:
        return Factor(np.zeros(len(used), dtype=np.int64), ("all",))
    return as_factor(used[spec.group])


def _columns(
    spec: ModelSpec, used: pd.DataFrame
) -> tuple[dict[str, Column], dict[formula.Name | formula.Call, list[str]]]:
    """Compute every atom of the formulas once; return the columns and the atoms' names."""
    nodes = [spec.mean_formula.fixed, spec.variance_formula.fixed]
    nodes += [t.inner for t in spec.mean_formula.random + spec.variance_formula.random]
    atoms = dict.fromkeys(a for node in nodes for a in formula.atoms(node))
    columns: dict[str, Column] = {}
    parts: dict[formula.Name | formula.Call, list[str]] = {}
    for atom in atoms:
        made = _atom(atom, used)
        columns.update(made)
        parts[atom] = list(made)
    return columns, parts


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
        if is_text(used[name]):
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


def _random(
    terms: tuple[formula.Random, ...], encoded: Any, start: int, what: str
) -> tuple[tuple[RandomPart, ...], int]:
    parts: list[RandomPart] = []
    seen: set[str] = set()
    for term in terms:
        inner = term.inner
        columns = encoded(inner)
        check_rank(columns, f"random {what}")
        for label in columns.labels:
            if label in seen:
                raise SpecError(
                    f"The {what} function has the random effect of {label} twice; write it once."
                )
            seen.add(label)
        effects = tuple(range(start, start + len(columns.labels)))
        start += len(effects)
        parts.append(RandomPart(columns, term.id, term.correlated, effects))
    return tuple(parts), start


def numbered_blocks(parts: tuple[RandomPart, ...]) -> tuple[int, ...]:
    """Return the numbers of the sets of correlated effects; ids alone join terms."""
    block: list[int] = []
    by_id: dict[str, int] = {}
    following = 0
    for part in parts:
        for position, _ in enumerate(part.effects):
            if part.id is not None and part.id in by_id:
                block.append(by_id[part.id])
                continue
            if position and part.correlated:
                block.append(block[-1])
                continue
            block.append(following)
            if part.id is not None:
                by_id[part.id] = following
            following += 1
    return tuple(block)


def _check_groups(grouping: Factor, spec: ModelSpec, in_mean: bool, in_variance: bool) -> None:
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


def _mad(y: np.ndarray) -> float:
    """Return the robust SD of the outcome; the SD where over half the values are equal."""
    mad = 1.4826 * float(np.median(np.abs(y - np.median(y))))
    return mad if mad > 0 else float(y.std(ddof=1))
