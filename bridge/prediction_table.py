"""Mean and variance at rows as a table: summaries of draws, or estimates with the delta method."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import special

from bridge import group_population as population
from bridge.delta_method import moved_effects, moved_parameters, summary, with_interval
from bridge.delta_method import with_variance as variance_of
from bridge.engines.harmonise import Z95, nullable
from bridge.newdata import NewRows
from bridge.outcome_draws import CELLS, sets_of, stream
from bridge.parameter_sets import Parameters, drawn_effects, draws_of, estimated_effects
from bridge.prediction import given_effects, numbers_by_row
from bridge.result import Result

#: Quantity -> estimate, se, lower, upper, (4, n).
Summary = dict[str, np.ndarray]
#: The level-1 variance of the new group itself.
OWN = "own_variance"
_POSTERIOR = "mean, SD and 95% quantiles of draws"
_NO_ERROR = "; <NA> where something that counts has no standard error"
#: Normal draws of estimates where a new group's variance has no distribution in closed form.
_DRAWS = 4000
#: Of a mixture of normals over their variance: nodes, Newton steps, and the upper end.
_NODES, _STEPS, _UPPER = 100, 12, 0.975


def posterior_table(result: Result, rows: NewRows, groups: str, seed: int) -> pd.DataFrame:
    """Return the table of a posterior; see `bridge.predict`."""
    sets = draws_of(result)
    known = groups == "known" and bool(result.effects)
    effects = drawn_effects(result) if known else None
    one = population.one_group(sets, np.random.default_rng(seed)) if groups == "new" else None
    found = []
    for part in _parts(result, rows, len(sets.gamma)):
        quantities = _quantities(sets, part, groups, effects(part) if effects else None)
        of_part = {name: _finite(values) for name, values in quantities.items()}
        if one is not None:
            mean, log_variance = one(part)
            of_part["mean"] = _new_mean(quantities["mean"], quantities["between"], mean)
            of_part[OWN] = _new_variance(log_variance, _spread_of_variances(sets, part))
        found.append(of_part)
    return _frame(rows, found, _POSTERIOR, population.why_infinite(sets) if one else "")


def delta_table(result: Result, rows: NewRows, groups: str, seed: int) -> pd.DataFrame:
    """Return the table of estimates; see `bridge.predict`."""
    q = len(result.effects)
    known = groups == "known" and q > 0
    sets, covariance = moved_parameters(result, q if known else 0)
    size = len(covariance)
    centre, spread = estimated_effects(result) if known else (np.zeros((0, q)),) * 2
    found = []
    for part in _parts(result, rows, 2 * len(sets.gamma)):
        effects = moved_effects(centre[part.group], size) if known else None
        pairs = {
            name: variance_of(values, covariance, spread[part.group] if known else None)
            for name, values in _quantities(sets, part, groups, effects).items()
        }
        of_part = {}
        if groups == "new":  # of a new group's mean T is a part of the spread
            pairs["mean"] = (pairs["mean"][0], pairs["mean"][1] + pairs["between"][0])
            of_part[OWN] = _own_variance(result, sets, part, covariance, seed)
        bounds = {name: "real" if name == "mean" else "positive" for name in pairs}
        summaries = {name: _known(with_interval(*pairs[name], bounds[name])) for name in pairs}
        found.append(summaries | of_part)
    note = f"{result.method} estimates, delta method"
    return _frame(rows, found, note, population.why_infinite(sets) if groups == "new" else "")


def _parts(result: Result, rows: NewRows, sets: int) -> Iterator[NewRows]:
    """Give the rows in parts of which about `CELLS` numbers are held."""
    size = max(1, CELLS // numbers_by_row(result, sets))
    for start in range(0, len(rows.index), size):
        yield rows.part(slice(start, start + size))


def _quantities(
    sets: Parameters, rows: NewRows, groups: str, effects: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return every quantity of the table but a new group's own variance, (S, n) each."""
    with np.errstate(over="ignore"):
        if groups == "new":
            variance = population.expected_variance(sets, rows)
            between = population.between_groups(sets, rows)
            mean, total = sets.gamma @ rows.X.T, variance + between
            return {"mean": mean, "variance": variance, "between": between, "total": total}
        mean, log_variance = given_effects(sets, rows, effects)
        return {"mean": mean, "variance": np.exp(log_variance)}


# --- draws ----------------------------------------------------------------------------------------
def _finite(values: np.ndarray) -> np.ndarray:
    """Return the summary of draws, NaN of numbers that are infinite in some draw."""
    known = np.isfinite(values).all(axis=0)
    return np.where(known, summary(np.where(known, values, 0.0)), np.nan)


def _new_mean(mean: np.ndarray, between: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the summary of a new group's mean: u integrated in estimate and SE, drawn in ends."""
    own = summary(drawn)
    own[0] = mean.mean(axis=0)
    own[1] = np.sqrt(summary(mean)[1] ** 2 + _finite(between)[0])
    return own


def _new_variance(log_variance: np.ndarray, spread: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the summary of a new group's own variance: its median, SD and 95% quantiles."""
    middle, lower, upper = np.exp(np.quantile(log_variance, [0.5, 0.025, 0.975], axis=0))
    expected, variance = spread
    sd = np.sqrt(_finite(expected)[1] ** 2 + _finite(variance)[0])
    return np.stack([middle, sd, lower, upper])


def _spread_of_variances(sets: Parameters, rows: NewRows) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance over groups of the level-1 variance, (S, n) each."""
    expected = population.expected_variance(sets, rows)
    return expected, population.variance_of_variances(sets, rows)


# --- estimates ------------------------------------------------------------------------------------
def _known(found: np.ndarray) -> np.ndarray:
    """Return estimates with intervals, NaN where the estimate is infinite."""
    return np.where(np.isfinite(found[0]), found, np.nan)


def _own_variance(
    result: Result, sets: Parameters, rows: NewRows, covariance: np.ndarray, seed: int
) -> np.ndarray:
    """Return a new group's own variance: of the median group, its SD, and its 95% interval.

    Its log is w'delta plus q, with q normal given its variance s. What is not known of w'delta is
    normal; s, which is positive, is gamma with its estimate as its mean.
    """
    if result.spec.association == "quadratic":
        drawn, _ = sets_of(result, _DRAWS, seed, stream(seed, 0))
        log_variance = population.one_group(drawn, stream(seed, 3))(rows)[1]
        return _new_variance(log_variance, _spread_of_variances(drawn, rows))
    eta, unknown = variance_of(sets.delta @ rows.W.T, covariance)
    s, of_s = variance_of(population.scale_of_logs(sets, rows), covariance)
    expected = variance_of(population.expected_variance(sets, rows), covariance)[1]
    between = population.variance_of_variances(sets, rows)[-1].real
    half = _half_width(s, of_s, unknown)
    with np.errstate(over="ignore"):
        ends = [np.exp(eta + sign * half) for sign in (-1, 1)]
        return np.stack([np.exp(eta), np.sqrt(expected + between), *ends])


def _half_width(s: np.ndarray, of_s: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Return the 97.5% quantile of N(0, S + more), S gamma with mean s and variance of_s, (n,)."""
    known = (of_s > 0) & (s > 0)
    mixture = np.where(of_s == 0, s, np.nan)[:, None]
    if known.any():
        pairs, place = np.unique(np.stack([s, of_s])[:, known], axis=1, return_inverse=True)
        shape = pairs[0] ** 2 / pairs[1]
        nodes = special.gammaincinv(shape[:, None], (np.arange(_NODES) + 0.5) / _NODES)
        mixture = np.repeat(mixture, _NODES, axis=1)
        mixture[known] = (nodes * (pairs[1] / pairs[0])[:, None])[place.ravel()]
    sd = np.sqrt(mixture + more[:, None])
    found = Z95 * np.sqrt(np.maximum(s, 0.0) + more)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_STEPS):  # Newton's; the distribution function is concave above zero
            z = found[:, None] / sd
            density = (np.exp(-0.5 * z**2) / sd).mean(axis=1) / np.sqrt(2 * np.pi)
            found = np.maximum(found + (_UPPER - special.ndtr(z).mean(axis=1)) / density, 0.0)
    exact = (mixture == mixture[:, :1]).all(axis=1)
    return np.where(exact, Z95 * sd[:, 0], found)


# --- the table ------------------------------------------------------------------------------------
def _frame(rows: NewRows, parts: list[Summary], note: str, infinite: str) -> pd.DataFrame:
    columns = {}
    missing, unbounded = (np.zeros(len(rows.index), dtype=bool) for _ in range(2))
    for name in parts[0]:
        whole = np.concatenate([part[name] for part in parts], axis=1)
        for ending, values in zip(("", "_se", "_lower", "_upper"), whole, strict=True):
            columns[f"{name}{ending}"] = nullable(values)
        lacking = np.isnan(whole)
        missing |= lacking.any(axis=0)
        # estimates are there but where infinite, and SDs of a new group's variance, if at all
        unbounded |= lacking[1 if name == OWN else 0] & bool(infinite)
    reasons = np.where(unbounded, f"; <NA> is {infinite}", np.where(missing, _NO_ERROR, ""))
    columns["note"] = np.array([note + reason for reason in reasons], dtype=object)
    return pd.DataFrame(columns, index=rows.index)
