"""Variances, deciles and shares of variance in the population of groups.

What the laws of effects make of these numbers is in `bridge.group_population`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

from bridge import group_population as law
from bridge import names, scales
from bridge.errors import NotAvailable
from bridge.newdata import NewRows
from bridge.parameter_sets import Parameters
from bridge.quantities.profiles import Profiles, profiles_of
from bridge.quantities.values import estimated, sets_at_hand
from bridge.result import Result, check_result

At: TypeAlias = Mapping[str, Any] | pd.DataFrame | None

OUTCOME, VARIANCE = scales.GAMMA, scales.TAU["u", "u"]
SHARE, RATIO = "share", "ratio of variances"
_DECILE = float(stats.norm.ppf(0.9))
_OF_SQUARES = (
    "quantiles of variances have no closed form under a quadratic association; "
    "bridge.predict(result, at, groups='new') has those of a new group"
)


class Quantity(NamedTuple):
    """A number of the population: its scale, its range, and a function of parameters and rows."""

    scale: str
    bound: str
    function: Callable[[Parameters, NewRows], np.ndarray]


def level1_variance(result: Result, at: At = None) -> pd.DataFrame:
    """Return the level-1 variance in the population of groups, by profile.

    Parameters
    ----------
    result : Result
        Any fit.
    at : mapping, pandas.DataFrame or None
        Profiles of the predictors: ``{"sector": ["Public", "Catholic"], "ses": 0}``; by default the
        average of every column of the design. Predictors of level-2 functions are among them.

    Returns
    -------
    pandas.DataFrame
        For each profile the rows "population average", "median", "between-group variance", "10th
        percentile" and "90th percentile" of the variances of groups: the profile's columns,
        quantity, scale, estimate, se, lower, upper, method, note. ``<NA>`` where a number is
        infinite or has no formula; ``note`` says why.

    Raises
    ------
    NotAvailable
        Where none of these numbers can be had.

    Notes
    -----
    With eta = w'delta and s = a'T_v a, T at the profile, the variance of a group is lognormal
    (Leckie et al. 2014, Appendix): average exp(eta + s / 2), median exp(eta), variance
    exp(2 eta + s)(exp(s) - 1), percentiles exp(eta -+ 1.28 sqrt(s)). Under a linear association s
    is c'Tc (`bridge.group_population`); under a quadratic one average and variance are closed
    forms, where they are finite. With Student-t effects v average and variance are infinite; the
    median is exp(eta), and percentiles have t for 1.28. With latent classes all are of K variances
    with weights.
    """

    def quantile(share: float) -> Callable[[Parameters, NewRows], np.ndarray]:
        return lambda p, rows: np.exp(law.log_variance_quantile(p, rows, share))

    quantities = {
        "population average": Quantity(VARIANCE, "positive", law.expected_variance),
        "median": Quantity(VARIANCE, "positive", quantile(0.5)),
        "between-group variance": Quantity(f"({VARIANCE})²", "positive", law.variance_of_variances),
        "10th percentile": Quantity(VARIANCE, "positive", quantile(0.1)),
        "90th percentile": Quantity(VARIANCE, "positive", quantile(0.9)),
    }
    return by_profile(result, profiles_of(result, at), quantities)


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
    x'gamma -+ 1.28 sqrt(z'T_u z) (Leckie, Parker, Goldstein & Tilling, section 6.1), T at the
    profile; of Student-t effects with t for 1.28, of latent classes the percentiles of K means.
    """

    def width(p: Parameters, rows: NewRows) -> np.ndarray:
        return law.mean_quantile(p, rows, 0.9) - law.mean_quantile(p, rows, 0.1)

    quantities = {
        "10th percentile": Quantity(OUTCOME, "real", lambda p, r: law.mean_quantile(p, r, 0.1)),
        "90th percentile": Quantity(OUTCOME, "real", lambda p, r: law.mean_quantile(p, r, 0.9)),
        "range": Quantity(OUTCOME, "real", width),
    }
    return by_profile(result, profiles_of(result, at), quantities)


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

    Raises
    ------
    NotAvailable
        Under a quadratic association, where these percentiles have no closed form.

    Notes
    -----
    2 x 1.28 sigma, sigma^2 = exp(w'delta -+ 1.28 sqrt(a'T_v a)) (Leckie, Parker, Goldstein &
    Tilling, section 6.2), the percentiles as those of `level1_variance`.
    """

    def gap(share: float) -> Callable[[Parameters, NewRows], np.ndarray]:
        return lambda p, rows: 2 * _DECILE * np.exp(0.5 * law.log_variance_quantile(p, rows, share))

    quantities = {
        "least variable groups": Quantity(OUTCOME, "positive", gap(0.1)),
        "most variable groups": Quantity(OUTCOME, "positive", gap(0.9)),
    }
    return by_profile(result, profiles_of(result, at), quantities)


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
        former in their sum; columns as there. With Student-t effects in the log variance, whose
        expected variance is infinite, "within groups" and "ICC" are those of the median group, and
        the rows say so: "within the median group" and "ICC of the median group".

    Raises
    ------
    NotAvailable
        Where the mean has no group effects, or no number is finite.

    Notes
    -----
    z'T_u z, exp(w'delta + a'T_v a / 2), and z'T_u z / (z'T_u z + exp(w'delta + a'T_v a / 2)):
    with random slopes between any two units of a group with these predictors. T is that at the
    profile; Student-t effects have nu / (nu - 2) T. `bridge.quantities.groups` has the ICC of every
    group.
    """
    check_result(result)
    if not any(effect.startswith("u:") for effect in result.effects):
        raise NotAvailable(
            "The mean has no group effects, so that no variance lies between groups."
        )
    infinite = result.spec.random_effects == "student_t" and (
        result.spec.association is not None or any(e.startswith("v:") for e in result.effects)
    )

    def within(p: Parameters, rows: NewRows) -> np.ndarray:
        if infinite:
            return np.exp(law.log_variance_quantile(p, rows, 0.5))
        return law.expected_variance(p, rows)

    def icc(p: Parameters, rows: NewRows) -> np.ndarray:
        between, own = law.between_groups(p, rows), within(p, rows)
        known = np.isfinite(between) & np.isfinite(own)
        return np.where(known, between / np.where(known, between + own, 1.0), np.inf)

    quantities = {
        "between groups": Quantity(VARIANCE, "positive", law.between_groups),
        "within the median group" if infinite else "within groups": Quantity(
            VARIANCE, "positive", within
        ),
        "ICC of the median group" if infinite else "ICC": Quantity(SHARE, "unit", icc),
    }
    return by_profile(result, profiles_of(result, at), quantities)


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
    check_result(result)
    labels = [p for p in result.estimates["parameter"] if str(p).startswith("delta[")]
    found = estimated(result, lambda v: np.exp(v.delta), "positive")
    found.insert(0, "parameter", labels)
    found.insert(1, "scale", RATIO)
    kept = found["parameter"] != names.flat("delta", names.INTERCEPT)
    return found[kept].reset_index(drop=True)


# --- parts ----------------------------------------------------------------------------------
def by_profile(
    result: Result, profiles: Profiles, quantities: Mapping[str, Quantity]
) -> pd.DataFrame:
    """Return quantities at profiles: those of a profile together, in the order given.

    Raises
    ------
    NotAvailable
        Where no number is finite.
    """
    parts = []
    for name, quantity in quantities.items():
        part = estimated(result, _at(quantity, profiles), quantity.bound)
        part.insert(0, "quantity", name)
        part.insert(1, "scale", quantity.scale)
        parts.append(pd.concat([profiles.keys, part], axis=1))
    whole = pd.concat(parts, ignore_index=True)
    place = np.argsort(np.arange(len(whole)) % len(profiles), kind="stable")
    found = whole.iloc[place].reset_index(drop=True)
    found["note"] = _notes(result, found)
    if found["estimate"].isna().all():
        raise NotAvailable(f"There is no such number of the population: {found['note'].iloc[0]}.")
    return found


def _at(quantity: Quantity, profiles: Profiles) -> Callable[[Any], np.ndarray]:
    return lambda v: quantity.function(v.sets, profiles.rows)


def _notes(result: Result, found: pd.DataFrame) -> list[str]:
    """Return why a number is lacking; nothing where it is there."""
    lacking = found["estimate"].isna()
    if not lacking.any():
        return [""] * len(found)
    infinite = law.why_infinite(sets_at_hand(result)) or "too large for a number"
    of_squares = result.spec.association
    quantiles = ("median", "10th percentile", "90th percentile", "least variable groups",
                 "most variable groups")  # fmt: skip
    return [
        (_OF_SQUARES if of_squares == "quadratic" and quantity in quantiles else infinite)
        if lacks
        else ""
        for quantity, lacks in zip(found["quantity"], lacking, strict=True)
    ]
