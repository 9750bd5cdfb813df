"""Outcomes drawn from a fit at rows: parameters, group effects, residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from bridge import arviz_compat
from bridge.errors import DataError, NotAvailable
from bridge.newdata import NewRows
from bridge.posterior_parts import parameters_of
from bridge.prediction import (
    Parameters,
    given_effects,
    level2_covariance,
    numbers_by_row,
    parameters,
)
from bridge.result import Result

#: Numbers held at once.
CELLS = 10**7
#: From rows to the effects of their groups, (S, n, q).
Effects = Callable[[NewRows], np.ndarray]


def draws_of(result: Result) -> Parameters:
    """Return the draws of a posterior, chain by chain."""
    posterior = arviz_compat.groups_of(result.idata)["posterior"].transpose("chain", "draw", ...)
    return parameters(result, parameters_of(result, posterior)[0])


def drawn_effects(result: Result, some: np.ndarray | slice = slice(None)) -> Effects:
    """Return what gives the draws of the effects of known groups, all of them or some."""
    posterior = arviz_compat.groups_of(result.idata)["posterior"]
    found = []
    for name in ("u", "v"):
        if name in posterior:
            values = posterior[name].transpose("chain", "draw", result.spec.group, ...).values
            found.append(values.reshape(-1, *values.shape[2:])[some])

    def of(rows: NewRows) -> np.ndarray:
        return np.concatenate([values[:, rows.group] for values in found], axis=-1)

    return of


def estimated_effects(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimated effects of each group (J, q), and their covariances (J, q, q).

    NaN where an engine does not give a number. The covariances are those of the engine or, where it
    has none, the squares of the standard errors with the rest unknown.
    """
    q = len(result.effects)
    table = result.group_effects
    estimate = table["estimate"].to_numpy(dtype=float, na_value=np.nan).reshape(-1, q)
    if result.effects_covariance is not None:
        return estimate, result.effects_covariance
    se = table["se"].to_numpy(dtype=float, na_value=np.nan).reshape(-1, q)
    spread = np.full((*se.shape, q), np.nan)
    spread[:, range(q), range(q)] = se**2
    return estimate, spread


def outcome_draws(
    result: Result, rows: NewRows, groups: str, draws: int, seed: int
) -> pd.DataFrame:
    """Return outcomes drawn at rows; see `bridge.predict`."""
    rng = _stream(seed, 0)
    sets, known = _sets(result, draws, seed, rng)
    if not result.effects or groups == "average":
        effects = None
    elif groups == "known":
        effects = known or _empirical_bayes(result, draws, seed)
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


def _sets(
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


def _stream(seed: int, *key: int) -> np.random.Generator:
    """Return random numbers of their own: parameters are drawn with the seed itself."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


# --- effects --------------------------------------------------------------------------------------
def _numbered(rows: NewRows) -> NewRows:
    """Return rows with a number for each group; a row without a grouping is a group of its own."""
    alone = np.arange(len(rows.index))
    return rows if rows.together is not None else replace(rows, together=alone)


def _by_group(
    part: NewRows, noise: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first row of each group of some rows, each row's group, and normal noise.

    The noise of a group depends on its number alone, so that its rows may be taken in turns.
    """
    assert part.together is not None
    numbers, first, back = np.unique(part.together, return_index=True, return_inverse=True)
    return first, back, np.stack([noise(int(number)) for number in numbers], axis=1)


def _noise(seed: int, shape: tuple[int, int]) -> Callable[[int], np.ndarray]:
    return lambda number: _stream(seed, 1, number).standard_normal(shape)


def roots(covariance: np.ndarray) -> np.ndarray:
    """Return L with L L' equal to covariance matrices (..., q, q) that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = vectors * np.sqrt(np.clip(values, 0.0, None))[..., None, :]
    return found


def _new_groups(sets: Parameters, draws: int, seed: int) -> Effects:
    """Return what draws the effects of new groups from their population."""
    noise = _noise(seed, (draws, len(sets.result.effects)))

    def of(part: NewRows) -> np.ndarray:
        first, back, normal = _by_group(part, noise)
        T = level2_covariance(sets, part)
        L = roots(T[:, first] if T.shape[1] > 1 else T)
        made: np.ndarray = np.einsum("sgab,sgb->sga", L, normal)[:, back]
        return made

    return of


def _empirical_bayes(result: Result, draws: int, seed: int) -> Effects:
    """Return what draws the effects of known groups around their estimates."""
    estimate, spread = estimated_effects(result)
    if not np.isfinite(spread).all():
        raise NotAvailable(
            f"{result.engine} does not give the covariances of the group effects, which outcomes "
            'of known groups need; fit with agq or a sampler, or use groups="new".'
        )
    L, noise = roots(spread), _noise(seed, (draws, len(result.effects)))

    def of(part: NewRows) -> np.ndarray:
        assert part.group is not None
        first, back, normal = _by_group(part, noise)
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
