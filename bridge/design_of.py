"""From a result back to the design it is of: what a second fit of the same rows needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, names
from bridge.columns import Factor
from bridge.design import Design, RandomPart, outcome_mad
from bridge.encode import Encoded, Piece
from bridge.result import Result, check_result


def design_of(result: Result) -> Design:
    """Rebuild the design of a result from what its idata keeps, also of a saved one.

    Parameters
    ----------
    result : Result
        Of any engine.

    Returns
    -------
    Design
        The same rows, matrices, labels and blocks of effects as at the fit. The columns of a
        design stand as they were multiplied out: ``columns`` holds them by label, each term is
        one of them, and the random terms of a function are one term.
    """
    check_result(result)
    groups = arviz_compat.groups_of(result.idata)
    observed, constant = groups["observed_data"][result.spec.outcome], groups["constant_data"]
    y = np.asarray(observed.values, dtype=float)
    mean = _encoded(constant["mean_design"].values, constant["mean_term"].values)
    variance = _encoded(constant["variance_design"].values, constant["variance_term"].values)
    u, v = (_random(constant, what, letter) for what, letter in (("mean", "u"), ("variance", "v")))
    group: np.ndarray = np.zeros(len(y), dtype=np.int64)
    labels: tuple[str, ...] = ("all",)
    if result.spec.group is not None:
        group = np.asarray(constant["group_index"].values, dtype=np.int64)
        labels = tuple(map(str, constant[result.spec.group].values))
    width = 0 if u is None else len(u.labels)
    parts = (u, v)
    level2 = _level2(result, constant)
    return Design(
        spec=result.spec,
        y=y,
        mean=mean,
        variance=variance,
        mean_random=_part(u, 0),
        variance_random=_part(v, width),
        columns=_columns([mean, variance, *(p for p in parts if p)], level2.values(), group),
        block=_blocks(result),
        group=group,
        group_labels=labels,
        index=pd.Index(observed["obs"].values),
        dropped_rows=result.dropped_rows,
        outcome_mad=outcome_mad(y),
        level2=level2,
        states=result.states,
    )


def _encoded(matrix: np.ndarray, labels: Iterable[str]) -> Encoded:
    """Return columns as terms: the intercept, and each other column by its label."""
    known = tuple(map(str, labels))
    pieces: list[Piece] = [() if label == names.INTERCEPT else ((label, None),) for label in known]
    terms = tuple(tuple(name for name, _ in piece) for piece in pieces)
    return Encoded(np.asarray(matrix, dtype=float), known, terms, tuple(pieces))


def _random(constant: Any, what: str, letter: str) -> Encoded | None:
    name = f"{what}_effect_design"
    if name not in constant:
        return None
    # an effect's label is its letter before its term: `names.effect`
    letters = names.effect(letter, "")
    labels = [str(label).removeprefix(letters) for label in constant[f"{what}_effect"].values]
    return _encoded(constant[name].values, labels)


def _part(encoded: Encoded | None, start: int) -> tuple[RandomPart, ...]:
    if encoded is None:
        return ()
    effects = tuple(range(start, start + len(encoded.labels)))
    return (RandomPart(encoded, None, True, effects),)


def _blocks(result: Result) -> tuple[int, ...]:
    """Return the block of each effect: two are in one where the model has their correlation."""
    if result.spec.classes is not None:
        return (0,) * len(result.effects)
    known = {*result.estimates["parameter"], *result.level2_terms}
    found: list[int] = []
    for later, second in enumerate(result.effects):
        joined = [
            found[earlier]
            for earlier, first in enumerate(result.effects[:later])
            if known & {names.flat(k, names.pair(first, second)) for k in ("rho", "pcor")}
        ]
        found.append(joined[0] if joined else max(found, default=-1) + 1)
    return tuple(found)


def _level2(result: Result, constant: Any) -> dict[str, Encoded]:
    """Return the level-2 functions by element, (J, k) each."""
    found, start = {}, 0
    for element, terms in result.level2_terms.items():
        labels = [_term(term["columns"]) for term in terms]
        matrix = constant["level2_design"].values[:, start : start + len(terms)]
        found[element] = _encoded(matrix, labels)
        start += len(terms)
    return found


def _term(columns: Sequence[dict[str, Any]]) -> str:
    """Return the label of a term as the design wrote it."""
    words = [c["column"] if c["level"] is None else f"{c['column']}[{c['level']}]" for c in columns]
    return ":".join(words) or names.INTERCEPT


def _columns(
    of_rows: Iterable[Encoded], of_groups: Iterable[Encoded], group: np.ndarray
) -> dict[str, np.ndarray | Factor]:
    """Return every column of the designs by its label, (N,) each."""
    found: dict[str, np.ndarray | Factor] = {}
    for encoded in of_rows:
        found |= dict(zip(encoded.labels, encoded.matrix.T, strict=True))
    for encoded in of_groups:
        found |= dict(zip(encoded.labels, encoded.matrix[group].T, strict=True))
    found.pop(names.INTERCEPT, None)
    return found
