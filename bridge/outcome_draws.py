"""Outcomes drawn from a fit at rows: parameters, group effects, residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from bridge.errors import DataError, NotAvailable
from bridge.newdata import NewRows
from bridge.parameter_sets import (
    Effects,
    Parameters,
    drawn_effects,
    draws_of,
    estimated_effects,
    parameters,
    roots,
)
from bridge.prediction import given_effects, level2_covariance, numbers_by_row
from bridge.result import Result

#: Numbers held at once.
CELLS = 10**7


def outcome_draws(
    result: Result, rows: NewRows, groups: str, draws: int, seed: int
) -> pd.DataFrame:
    """Return outcomes drawn at rows; see `bridge.predict`."""
    rng = stream(seed, 0)
    sets, known = sets_of(result, draws, seed, rng)
    if not result.effects or groups == "average":
        effects = None
    elif groups == "known":
        effects = known or effects_given_data(result, draws, seed)
    else:
        _check_profiles(rows)
        effects = _new_groups(sets, draws, seed)
    found = np.empty((draws, len(rows.index)))
    size = max(1, CELLS // numbers_by_row(result, draws))
    numbered = _numbered(rows)
    for start in range(0, len(rows.index), size):
        some = slice(start, start + size)
        part = numbered.part(some)
        mean, log_variance = given_effects(sets, part, effects(part) if effects else None)
        noise = rng.standard_normal(mean.shape)
        with np.errstate(over="ignore"):
            found[:, some] = mean + np.exp(0.5 * log_variance) * noise
    index = pd.RangeIndex(draws, name="draw")
    return pd.DataFrame(found, index=index, columns=rows.index)


def sets_of(
    result: Result, draws: int, seed: int, rng: np.random.Generator
) -> tuple[Parameters, Effects | None]:
    """Return sets of parameters, and of a posterior the effects that go with them."""
    if result.method != "posterior":
        drawn = result.asymptotic_draws(draws, seed)
        values = {
            str(row.parameter): drawn[row.parameter].to_numpy()
            if row.parameter in drawn
            else np.full(draws, 0.0 if pd.isna(row.estimate) else float(row.estimate))
            for row in result.estimates.itertuples(index=False)
        }
        return parameters(result, values), None
    every = draws_of(result)
    size = len(every.gamma)
    some = np.arange(size)
    if draws != size:
        some = np.sort(rng.choice(size, draws, replace=draws > size))
    values = {name: value[some] for name, value in every.values.items()}
    known = drawn_effects(result, some) if result.effects else None
    return parameters(result, values), known


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return random numbers of their own: parameters are drawn with the seed itself."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


# --- effects --------------------------------------------------------------------------------------
def _numbered(rows: NewRows) -> NewRows:
    """Return rows with a number for each group; a row without a grouping is a group of its own."""
    alone = np.arange(len(rows.index))
    return rows if rows.together is not None else replace(rows, together=alone)


def _by_group(
    part: NewRows, of: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first row of each group of some rows, each row's group, and normal noise.

    The noise of a group depends on its number alone, so that its rows may be taken in turns.
    """
    assert part.together is not None
    numbers, first, back = np.unique(part.together, return_index=True, return_inverse=True)
    return first, back, np.stack([of(int(number)) for number in numbers], axis=1)


def _noise(seed: int, shape: tuple[int, int]) -> Callable[[int], np.ndarray]:
    return lambda number: stream(seed, 1, number).standard_normal(shape)


def _new_groups(sets: Parameters, draws: int, seed: int) -> Effects:
    """Return what draws the effects of new groups from their population."""
    classes = sets.result.spec.random_effects == "classes"
    noise = _of_classes(sets, seed) if classes else _of_scale_one(sets, draws, seed)

    def of(part: NewRows) -> np.ndarray:
        first, back, drawn = _by_group(part, noise)
        if classes:
            return drawn[:, back]
        T = level2_covariance(sets, part)
        L = roots(T[:, first] if T.shape[1] > 1 else T)
        made: np.ndarray = np.einsum("sgab,sgb->sga", L, drawn)[:, back]
        return made

    return of


def _of_scale_one(sets: Parameters, draws: int, seed: int) -> Callable[[int], np.ndarray]:
    """Return what gives a group normal or, of Student-t effects, multivariate t deviates."""
    normal = _noise(seed, (draws, len(sets.result.effects)))
    if sets.result.spec.random_effects != "student_t":
        return normal
    nu = sets.values["nu"]
    # one mixing number for all effects of a group makes them a multivariate t
    return lambda number: (
        normal(number) / np.sqrt(stream(seed, 2, number).chisquare(nu) / nu)[:, None]
    )


def _of_classes(sets: Parameters, seed: int) -> Callable[[int], np.ndarray]:
    """Return what gives a group the effects of a class, drawn by the weights of each set."""
    pi, points = sets.of_classes()
    edges = pi.cumsum(axis=1)[:, :-1]

    def of(number: int) -> np.ndarray:
        place = stream(seed, 2, number).random(len(pi))
        chosen = (place[:, None] > edges).sum(axis=1)
        found: np.ndarray = points[np.arange(len(pi)), chosen]
        return found

    return of


def effects_given_data(result: Result, draws: int, seed: int) -> Effects:
    """Return what draws the effects of known groups around their estimates."""
    estimate, spread = estimated_effects(result)
    if not np.isfinite(spread).all():
        raise NotAvailable(
            f"{result.engine} does not give the covariances of the group effects, which outcomes "
            'of known groups need; fit with agq or a sampler, or use groups="new".'
        )
    L, normal_of = roots(spread), _noise(seed, (draws, len(result.effects)))

    def of(part: NewRows) -> np.ndarray:
        assert part.group is not None
        first, back, normal = _by_group(part, normal_of)
        own = part.group[first]
        made: np.ndarray = (estimate[own] + np.einsum("gab,sgb->sga", L[own], normal))[:, back]
        return made

    return of


def _check_profiles(rows: NewRows) -> None:
    """Refuse a new group whose level-2 predictors differ between its rows."""
    if rows.together is None:
        return
    first = np.unique(rows.together, return_index=True)[1]
    for matrix in rows.level2.values():
        differs = (matrix != matrix[first][rows.together]).any(axis=1)
        if differs.any():
            row = int(np.argmax(differs))
            raise DataError(
                f"The predictors of a level-2 function vary within group {rows.labels[row]} (row "
                f"{rows.index[row]}); a group drawn anew needs them constant: give its rows the "
                "same values, or another group."
            )
