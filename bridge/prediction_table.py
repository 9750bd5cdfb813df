"""Mean and variance at rows as a table: summaries of draws, or estimates with the delta method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bridge.engines.harmonise import Z95, nullable
from bridge.newdata import NewRows
from bridge.outcome_draws import CELLS, drawn_effects, draws_of, estimated_effects
from bridge.prediction import (
    Parameters,
    given_effects,
    numbers_by_row,
    over_population,
    parameters,
)
from bridge.result import Result

#: Quantity -> estimate, se, lower, upper, (4, n).
Summary = dict[str, np.ndarray]
#: The size of a complex step: derivatives are exact but for rounding.
_STEP = 1e-30
_POSTERIOR = "mean, SD and 95% quantiles of draws"
_NO_ERROR = "; <NA> where something that counts has no standard error"


def posterior_table(result: Result, rows: NewRows, groups: str, seed: int) -> pd.DataFrame:
    """Return the table of a posterior; see `bridge.predict`."""
    sets = draws_of(result)
    known = groups == "known" and bool(result.effects)
    effects = drawn_effects(result) if known else None
    # one new group a draw: its place in the population, the same for all rows
    place = np.random.default_rng(seed).standard_normal((len(sets.gamma), 1))
    found = []
    for part in _parts(result, rows, len(sets.gamma)):
        quantities = _quantities(sets, part, groups, effects(part) if effects else None)
        of_part = {name: _summary(values) for name, values in quantities.items()}
        if "between" in quantities:
            of_part["mean"] = _new_mean(quantities["mean"], quantities["between"], place)
        found.append(of_part)
    return _frame(rows, found, _POSTERIOR)


def delta_table(result: Result, rows: NewRows, groups: str) -> pd.DataFrame:
    """Return the table of estimates; see `bridge.predict`."""
    labels = [str(label) for label in result.estimates["parameter"]]
    estimate = result.estimates["estimate"].to_numpy(dtype=float, na_value=0.0)
    q, size = len(result.effects), len(labels)
    known = groups == "known" and q > 0
    moves = size + (q if known else 0)
    moved = np.tile(estimate.astype(complex), (moves + 1, 1))
    moved[range(size), range(size)] += 1j * _STEP
    sets = parameters(result, dict(zip(labels, moved.T, strict=True)))
    covariance = _covariance(result, labels)
    centre, spread = estimated_effects(result) if known else (np.zeros((0, q)),) * 2
    found = []
    for part in _parts(result, rows, 2 * (moves + 1)):
        effects = None
        if known:
            own = np.broadcast_to(centre[part.group], (moves + 1, len(part.index), q))
            effects = own.astype(complex)
            effects[range(size, moves), :, range(q)] += 1j * _STEP
        pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, values in _quantities(sets, part, groups, effects).items():
            slopes = values[:-1].imag / _STEP
            variance = _quadratic(slopes[:size], covariance)
            if known:
                variance = variance + _of_effects(slopes[size:], spread[part.group])
            if name == "between":  # of a new group's mean T is a part of the spread
                pairs["mean"] = (pairs["mean"][0], pairs["mean"][1] + values[-1].real)
            pairs[name] = (values[-1].real, variance)
        found.append({name: _normal(name, *pair) for name, pair in pairs.items()})
    note = f"{result.method} estimates, delta method"
    return _frame(rows, found, note)


def _parts(result: Result, rows: NewRows, sets: int) -> Iterator[NewRows]:
    """Give the rows in parts of which about `CELLS` numbers are held."""
    size = max(1, CELLS // numbers_by_row(result, sets))
    for start in range(0, len(rows.index), size):
        yield rows.part(slice(start, start + size))


def _quantities(
    sets: Parameters, rows: NewRows, groups: str, effects: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return every quantity of the table, (S, n) each."""
    with np.errstate(over="ignore"):
        if groups == "new":
            mean, variance, between = over_population(sets, rows)
            total = variance + between
            return {"mean": mean, "variance": variance, "between": between, "total": total}
        mean, log_variance = given_effects(sets, rows, effects)
        return {"mean": mean, "variance": np.exp(log_variance)}


# --- draws ----------------------------------------------------------------------------------------
def _summary(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return np.stack([values.mean(axis=0), spread, *np.quantile(values, [0.025, 0.975], axis=0)])


def _new_mean(mean: np.ndarray, between: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return the summary of a new group's mean: u integrated in estimate and SE, drawn in ends."""
    own = _summary(mean + np.sqrt(between) * place)
    own[0] = mean.mean(axis=0)
    own[1] = np.sqrt(_summary(mean)[1] ** 2 + between.mean(axis=0))
    return own


# --- estimates ------------------------------------------------------------------------------------
def _covariance(result: Result, labels: list[str]) -> np.ndarray:
    """Return the covariance of all estimates, NaN on the diagonal of those that have none."""
    found = np.diag(np.full(len(labels), np.nan))
    known = result.parameter_covariance
    if known is not None and len(known):
        places = [labels.index(str(label)) for label in known.index]
        found[np.ix_(places, places)] = known.to_numpy(dtype=float)
    return found


def _quadratic(slopes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the variance (n,) of what has these slopes (P, n) in the estimates.

    NaN where a slope is not zero in an estimate without a covariance.
    """
    unknown = np.isnan(np.diag(covariance))
    inside = np.where(unknown[:, None] | unknown[None], 0.0, covariance)
    variance = np.einsum("pn,pq,qn->n", slopes, inside, slopes, optimize=True)
    counts = (slopes[unknown] != 0).any(axis=0)
    return np.where(counts, np.nan, np.maximum(variance, 0.0))


def _of_effects(slopes: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the variance (n,) of what has these slopes (q, n) in effects with covariances.

    A covariance that is not known counts for nothing where a slope is zero.
    """
    products = slopes[:, None] * slopes[None]
    terms = np.where(products == 0, 0.0, products * np.moveaxis(spread, 0, -1))
    variance: np.ndarray = terms.sum(axis=(0, 1))
    return variance


def _normal(name: str, estimate: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return a quantity with its normal interval, of variances on the log scale."""
    se = np.sqrt(variance)
    if name == "mean":
        return np.stack([estimate, se, estimate - Z95 * se, estimate + Z95 * se])
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        factor = np.exp(Z95 * np.where(estimate > 0, se / estimate, np.where(se == 0, 0, np.nan)))
        return np.stack([estimate, se, estimate / factor, estimate * factor])


# --- the table ------------------------------------------------------------------------------------
def _frame(rows: NewRows, parts: list[Summary], note: str) -> pd.DataFrame:
    columns = {}
    missing = np.zeros(len(rows.index), dtype=bool)
    for name in parts[0]:
        whole = np.concatenate([part[name] for part in parts], axis=1)
        for ending, values in zip(("", "_se", "_lower", "_upper"), whole, strict=True):
            columns[f"{name}{ending}"] = nullable(values)
            missing |= np.isnan(values)
    columns["note"] = np.where(missing, note + _NO_ERROR, note).astype(object)
    return pd.DataFrame(columns, index=rows.index)
