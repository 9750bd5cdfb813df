"""Spec and data to numbers: matrices, group index, labels, the rows used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula, names
from bridge.columns import as_frame, complete_rows
from bridge.design_columns import (
    check_columns,
    check_enough_groups,
    check_groups,
    columns_of,
    grouping_of,
    learn_states,
    outcome_of,
)
from bridge.design_level2 import level2_functions
from bridge.encode import Column, Encoded, check_rank, encode
from bridge.errors import DataError, SpecError
from bridge.priors import ResolvedPriors, resolve
from bridge.spec import ModelSpec


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
        The block of each effect, u before v; effects in different blocks are independent. One
        block of all where effects are latent classes.
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
    level2 : dict of str to Encoded
        The level-2 functions by element, ``tau[a,a]`` (its log), ``rho[a,b]`` or ``pcor[a,b]``
        (its atanh), in the order of ``tau_pairs``; matrices (J, k), rows in the order of
        ``group_labels``. In a block with partial correlations every pair has its function.
    states : dict or None
        What makes the same columns of new rows; see `bridge.design_columns.learn_states`. None in
        the design of a result that was saved without it.
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
    level2: Mapping[str, Encoded] = field(default_factory=dict)
    states: Mapping[str, Mapping[str, Any]] | None = None

    @cached_property
    def mean_effects(self) -> tuple[str, ...]:
        """Labels of u, such as ``u:Intercept``."""
        return _labels("u", self.mean_random)

    @cached_property
    def variance_effects(self) -> tuple[str, ...]:
        """Labels of v, such as ``v:Intercept``."""
        return _labels("v", self.variance_random)

    @cached_property
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
        """Positions of the elements of rho.

        None with two latent classes, where every correlation is 1 or -1.
        """
        if self.spec.classes == 2:
            return []
        return names.pair_indices(self.block, diagonal=False)

    def pair_label(self, pair: tuple[int, int]) -> str:
        """Return the label of a pair of effects."""
        return names.pair(self.effects[pair[0]], self.effects[pair[1]])

    def element(self, pair: tuple[int, int]) -> str:
        """Return the key in ``level2`` of a pair: ``tau[a,a]``, off the diagonal ``rho[a,b]``.

        It is also the flat name of that element where it is a parameter. A pair whose partial
        correlation has a function is ``pcor[a,b]``.
        """
        return names.flat(self.kind(pair), self.pair_label(pair))

    def kind(self, pair: tuple[int, int]) -> str:
        """Return ``tau``, ``rho`` or ``pcor``: how the model has the element of a pair."""
        if pair[0] == pair[1]:
            return "tau"
        partial = names.flat("pcor", self.pair_label(pair)) in self.level2
        return "pcor" if partial else "rho"

    @property
    def in_partial_blocks(self) -> list[bool]:
        """For each effect, whether its block's correlations are functions as partial ones."""
        blocks = {self.block[a] for a, b in self.rho_pairs if self.kind((a, b)) == "pcor"}
        return [block in blocks for block in self.block]

    @property
    def constant_tau_pairs(self) -> list[tuple[int, int]]:
        """Positions of the elements of tau that are parameters.

        Those of ``tau_pairs`` that no level-2 function makes differ between groups: a variance
        without one, a covariance where neither variance nor their correlation has one.
        """
        return [
            (a, b)
            for a, b in self.tau_pairs
            if not {self.element(p) for p in ((a, a), (a, b), (b, b))} & set(self.level2)
        ]

    @property
    def constant_rho_pairs(self) -> list[tuple[int, int]]:
        """Positions of the elements of rho that are parameters: without a level-2 function."""
        return [pair for pair in self.rho_pairs if self.element(pair) not in self.level2]

    @property
    def kappa_terms(self) -> list[tuple[str, str, str]]:
        """Variable, pair label and term of every coefficient of the level-2 functions.

        The functions stand in the order of ``tau_pairs``, each with its terms;
        ``names.kappa_label`` makes the label along ``kappa_term``.
        """
        return [
            (self.kind(pair), self.pair_label(pair), term)
            for pair in self.tau_pairs
            if self.element(pair) in self.level2
            for term in self.level2[self.element(pair)].labels
        ]

    @property
    def constant_effects(self) -> tuple[str, ...]:
        """Labels of the effects whose variance is a parameter: without a level-2 function."""
        return tuple(self.effects[a] for a, b in self.constant_tau_pairs if a == b)

    @property
    def latent_terms(self) -> tuple[str, ...]:
        """Labels of the effects of u in the variance function: all u, then all their squares."""
        if self.spec.association is None:
            return ()
        squares = tuple(names.square(effect) for effect in self.mean_effects)
        return self.mean_effects + (squares if self.spec.association == "quadratic" else ())

    @cached_property
    def priors(self) -> ResolvedPriors:
        """The priors in use, every number known."""
        found = resolve(
            self.spec.priors,
            self.mean.labels,
            self.variance.labels,
            self._constant_terms("u", self.mean_random),
            self._constant_terms("v", self.variance_random),
            self.outcome_mad,
            latent_terms=self.latent_terms,
            kappa_terms=[names.kappa_label(*term) for term in self.kappa_terms],
            blocks=self.blocks if self.spec.random_effects != "classes" else (),
            correlated=bool(self.constant_rho_pairs),
            student_t=self.spec.random_effects == "student_t",
            classes=self.spec.classes is not None,
        )
        if not found.unsettled:
            return found
        from bridge.prior_estimate import settled

        return settled(found, self)

    @property
    def blocks(self) -> tuple[tuple[str, ...], ...]:
        """Labels of the effects of each block, in the order of the blocks' numbers."""
        return tuple(
            tuple(e for e, block in zip(self.effects, self.block, strict=True) if block == number)
            for number in sorted(set(self.block))
        )

    def _constant_terms(self, letter: str, parts: tuple[RandomPart, ...]) -> list[str]:
        """Return the terms of u or v whose SDs are parameters."""
        kept = set(self.constant_effects)
        terms = [term for part in parts for term in part.encoded.labels]
        return [term for term in terms if names.effect(letter, term) in kept]


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
    check_columns(frame, used, spec)
    y = outcome_of(used, spec.outcome)
    grouping = grouping_of(frame, used, spec)
    states = learn_states(spec, used)
    columns, parts = columns_of(spec, used, states)

    def encoded(node: formula.Node) -> Encoded:
        return encode(node, parts, columns, len(y))

    mean, variance = encoded(spec.mean_formula.fixed), encoded(spec.variance_formula.fixed)
    if len(mean.labels) >= len(y):
        raise DataError(
            f"The mean function has {len(mean.labels)} coefficients for {len(y)} rows; leave "
            "terms out."
        )
    check_rank(mean, "mean")
    check_rank(variance, "variance")
    mean_random, start = _random(spec.mean_formula.random, encoded, 0, "mean")
    variance_random, _ = _random(spec.variance_formula.random, encoded, start, "variance")
    check_groups(grouping, spec, bool(mean_random), bool(variance_random))
    check_enough_groups(grouping, spec)
    _check_association(spec, bool(mean_random))
    _check_student_t(spec, bool(mean_random or variance_random))
    design = Design(
        spec=spec,
        y=y,
        mean=mean,
        variance=variance,
        mean_random=mean_random,
        variance_random=variance_random,
        columns=columns,
        block=blocks_of(spec, mean_random + variance_random),
        group=grouping.codes,
        group_labels=grouping.levels,
        index=used.index,
        dropped_rows=len(frame) - len(used),
        outcome_mad=outcome_mad(y),
        states=states,
    )
    elements = {design.element(pair): design.block[pair[0]] for pair in design.tau_pairs}
    functions = level2_functions(spec, elements, encoded, columns, grouping)
    design = replace(design, level2=functions)
    _ = design.priors  # a prior on what the model does not have is found out here
    return design


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


def blocks_of(spec: ModelSpec, parts: tuple[RandomPart, ...]) -> tuple[int, ...]:
    """Return the block of every effect of a model; classes tie all effects, ids or none."""
    block = numbered_blocks(parts)
    return block if spec.classes is None else (0,) * len(block)


def _check_association(spec: ModelSpec, in_mean: bool) -> None:
    if spec.association is not None and not in_mean:
        raise SpecError(
            f"association='{spec.association}' takes the mean effects into the variance function, "
            "and the mean has none; add a random term such as (1 | school) to the mean, or leave "
            "association out."
        )


def _check_student_t(spec: ModelSpec, any_effects: bool) -> None:
    if spec.random_effects == "student_t" and not any_effects:
        raise SpecError(
            "random_effects='student_t' is the law of the group effects, and this model has none; "
            "add a random term such as (1 | school), or leave random_effects out."
        )


def outcome_mad(y: np.ndarray) -> float:
    """Return the robust SD of an outcome; the SD where over half the values are equal.

    Parameters
    ----------
    y : (N,) array
        The outcome.

    Returns
    -------
    float
        1.4826 times the median absolute deviation, in outcome units.
    """
    mad = 1.4826 * float(np.median(np.abs(y - np.median(y))))
    return mad if mad > 0 else float(y.std(ddof=1))
