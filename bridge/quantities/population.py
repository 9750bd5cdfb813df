"""Variances, deciles and shares of variance in the population of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

from bridge import names, scales
from bridge.errors import NotAvailable
from bridge.quantities.profiles import Profiles, profiles_of
from bridge.quantities.values import Function, Values, estimated, refuse_other_effects
from bridge.result import Result

At: TypeAlias = Mapping[str, Any] | pd.DataFrame | None

OUTCOME, VARIANCE = scales.GAMMA, scales.TAU["u", "u"]
SHARE, RATIO = "share", "ratio of variances"
_DECILE = float(stats.norm.ppf(0.9))


def level1_variance(result: Result, at: At = None) -> pd.DataFrame:
    """Return the level-1 variance in the population of groups, by profile.

    Parameters
    ----------
    result : Result
        Any fit with normal group effects.
    at : mapping, pandas.DataFrame or None
        Profiles of the predictors: ``{"sector": ["Public", "Catholic"], "ses": 0}``; by default the
        average of every column of the design.

    Returns
    -------
    pandas.DataFrame
        For each profile the rows "population average", "median", "between-group variance", "10th
        percentile" and "90th percentile" of the variances of groups: the profile's columns,
        quantity, scale, estimate, se, lower, upper, method.

    Raises
    ------
    NotAvailable
        Where the effects are not normal, or a level-2 function makes their variance differ.

    Notes
    -----
    With eta = w'delta and s = a'T_v a the variance of a group is lognormal (Leckie et al. 2014,
    Appendix): average exp(eta + s / 2), median exp(eta), variance exp(2 eta + s)(exp(s) - 1),
    percentiles exp(eta -+ 1.28 sqrt(s)).
    """
    refuse_other_effects(result, "The variance in the population of groups")
    profiles = profiles_of(result, at)
    functions: dict[str, tuple[str, Function]] = {
        "population average": (VARIANCE, lambda v: np.exp(_eta(v, profiles) + _s(v, profiles) / 2)),
        "median": (VARIANCE, lambda v: np.exp(_eta(v, profiles))),
        "between-group variance": (f"({VARIANCE})²", lambda v: _of_variances(v, profiles)),
        "10th percentile": (VARIANCE, lambda v: _decile_of_variance(v, profiles, -1)),
        "90th percentile": (VARIANCE, lambda v: _decile_of_variance(v, profiles, 1)),
    }
    return by_profile(result, profiles, functions, "positive")


def group_mean_range(result: Result, at: At = None) -> pd.DataFrame:
    """Return the interdecile range of group means in the population, by profile.

    Parameters
    ----------
    result, at
        As for `level1_variance`.

    Returns
    -------
    pandas.DataFrame
        For each profile the rows "10th percentile", "90th percentile" and "range" of the means of
        groups, on the outcome's scale; columns as there.

    Notes
    -----
    x'gamma -+ 1.28 sqrt(z'T_u z) (Leckie, Parker, Goldstein & Tilling, section 6.1).
    """
    refuse_other_effects(result, "The range of group means")
    profiles = profiles_of(result, at)

    def spread(v: Values) -> np.ndarray:
        return _DECILE * _root(_between(v, profiles))

    functions: dict[str, tuple[str, Function]] = {
        "10th percentile": (OUTCOME, lambda v: v.gamma @ profiles.X.T - spread(v)),
        "90th percentile": (OUTCOME, lambda v: v.gamma @ profiles.X.T + spread(v)),
        "range": (OUTCOME, lambda v: 2 * spread(v)),
    }
    return by_profile(result, profiles, functions, "real")


def outcome_gap(result: Result, at: At = None) -> pd.DataFrame:
    """Return the gap of outcomes in the least and the most variable groups, by profile.

    Parameters
    ----------
    result, at
        As for `level1_variance`.

    Returns
    -------
    pandas.DataFrame
        For each profile the rows "least variable groups" and "most variable groups": the distance
        from the 10th to the 90th percentile of outcomes at the same predictors, in outcome units,
        in groups at the 10th and at the 90th percentile of variances; columns as there.

    Notes
    -----
    2 x 1.28 sigma, sigma^2 = exp(w'delta -+ 1.28 sqrt(a'T_v a)) (Leckie, Parker, Goldstein &
    Tilling, section 6.2).
    """
    refuse_other_effects(result, "The gap of outcomes by variability of groups")
    profiles = profiles_of(result, at)

    def gap(v: Values, sign: int) -> np.ndarray:
        return 2 * _DECILE * np.sqrt(_decile_of_variance(v, profiles, sign))

    functions: dict[str, tuple[str, Function]] = {
        "least variable groups": (OUTCOME, lambda v: gap(v, -1)),
        "most variable groups": (OUTCOME, lambda v: gap(v, 1)),
    }
    return by_profile(result, profiles, functions, "positive")


def variance_partition(result: Result, at: At = None) -> pd.DataFrame:
    """Return how the variance of outcomes at a profile is shared between levels.

    Parameters
    ----------
    result, at
        As for `level1_variance`; a list of values of a covariate gives its function.

    Returns
    -------
    pandas.DataFrame
        For each profile the rows "between groups", "within groups" and "ICC", the share of the
        former in their sum; columns as there.

    Notes
    -----
    z'T_u z, exp(w'delta + a'T_v a / 2), and z'T_u z / (z'T_u z + exp(w'delta + a'T_v a / 2)):
    with random slopes between any two units of a group with these predictors.
    """
    refuse_other_effects(result, "The variance partition in the population of groups")
    if not any(effect.startswith("u:") for effect in result.effects):
        raise NotAvailable(
            "The mean has no group effects, so that no variance lies between groups."
        )
    profiles = profiles_of(result, at)

    def within(v: Values) -> np.ndarray:
        return np.exp(_eta(v, profiles) + _s(v, profiles) / 2)

    def icc(v: Values) -> np.ndarray:
        between = _between(v, profiles)
        return between / (between + within(v))

    parts: dict[str, tuple[str, Function]] = {
        "between groups": (VARIANCE, lambda v: _between(v, profiles)),
        "within groups": (VARIANCE, within),
    }
    shares: dict[str, tuple[str, Function]] = {"ICC": (SHARE, icc)}
    found = [
        by_profile(result, profiles, parts, "positive"),
        by_profile(result, profiles, shares, "unit"),
    ]
    return in_order(found, len(profiles))


def variance_ratios(result: Result) -> pd.DataFrame:
    """Return exp(delta): by what the level-1 variance is multiplied where a predictor rises by one.

    Parameters
    ----------
    result : Result
        Any fit.

    Returns
    -------
    pandas.DataFrame
        A row for each coefficient but the intercept: parameter, scale, estimate, se, lower, upper,
        method. Of a posterior the mean over draws of the ratio.
    """
    labels = [p for p in result.estimates["parameter"] if str(p).startswith("delta[")]
    found = estimated(result, lambda v: np.exp(v.delta), "positive")
    found.insert(0, "parameter", labels)
    found.insert(1, "scale", RATIO)
    kept = found["parameter"] != names.flat("delta", names.INTERCEPT)
    return found[kept].reset_index(drop=True)


# --- parts ----------------------------------------------------------------------------------
def by_profile(
    result: Result, profiles: Profiles, functions: Mapping[str, tuple[str, Function]], bound: str
) -> pd.DataFrame:
    """Return quantities at profiles: those of a profile together, in the order given."""
    parts = []
    for quantity, (scale, function) in functions.items():
        part = estimated(result, function, bound)
        part.insert(0, "quantity", quantity)
        part.insert(1, "scale", scale)
        parts.append(pd.concat([profiles.keys, part], axis=1))
    return in_order(parts, len(profiles))


def in_order(parts: list[pd.DataFrame], m: int) -> pd.DataFrame:
    """Return rows of several quantities, m profiles each, profile by profile."""
    whole = pd.concat(parts, ignore_index=True)
    place = np.argsort(np.arange(len(whole)) % m, kind="stable")
    return whole.iloc[place].reset_index(drop=True)


def _eta(v: Values, profiles: Profiles) -> np.ndarray:
    """w'delta, (S, m)."""
    found: np.ndarray = v.delta @ profiles.W.T
    return found


def _s(v: Values, profiles: Profiles) -> np.ndarray:
    """a'T_v a, (S, m)."""
    found: np.ndarray = np.einsum("ma,sab,mb->sm", profiles.A, v.tau_v, profiles.A)
    return found


def _between(v: Values, profiles: Profiles) -> np.ndarray:
    """z'T_u z, (S, m)."""
    found: np.ndarray = np.einsum("ma,sab,mb->sm", profiles.Z, v.tau_u, profiles.Z)
    return found


def _root(variance: np.ndarray) -> np.ndarray:
    # a step of a derivative may leave a variance of zero below it
    found: np.ndarray = np.sqrt(np.maximum(variance, 0.0))
    return found


def _of_variances(v: Values, profiles: Profiles) -> np.ndarray:
    s = _s(v, profiles)
    found: np.ndarray = np.exp(2 * _eta(v, profiles) + s) * np.expm1(s)
    return found


def _decile_of_variance(v: Values, profiles: Profiles, sign: int) -> np.ndarray:
    found: np.ndarray = np.exp(_eta(v, profiles) + sign * _DECILE * _root(_s(v, profiles)))
    return found
