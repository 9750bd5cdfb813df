"""Group means, group variances and intraclass correlations, ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bridge import names
from bridge.design_of import design_of
from bridge.engines.harmonise import nullable
from bridge.errors import NotAvailable, OptionError, suggest
from bridge.group_population import between_groups, covariance_factor
from bridge.prediction import given_effects, level2_covariance
from bridge.quantities.population import OUTCOME, SHARE, VARIANCE, At
from bridge.quantities.profiles import Profiles, own_averages, profiles_of, spread_of
from bridge.quantities.values import (
    Values,
    effect_draws,
    estimated,
    is_posterior,
    sets_at_hand,
    values_of,
)
from bridge.result import Result, check_result

OWN = "own"
MEAN, SPREAD, TOTAL, ICC = "mean", "variance", "total variance", "ICC"
_SCALES = {MEAN: OUTCOME, SPREAD: VARIANCE, TOTAL: VARIANCE, ICC: SHARE}
_BOUNDS = {MEAN: "real", SPREAD: "positive", TOTAL: "positive", ICC: "unit"}
_INTERCEPT = names.effect("u", names.INTERCEPT)
#: Of ranks without draws: normal draws of the effects given the data.
_DRAWS, _SEED = 4000, 1
_RANKS = ("rank", "rank_lower", "rank_upper", "p_top", "p_bottom")


def groups(
    result: Result,
    at: At | str = None,
    of: str | Sequence[str] = (),
    share: float = 0.1,
) -> pd.DataFrame:
    """Return the mean, the variance and the intraclass correlation of every group, ranked.

    Parameters
    ----------
    result : Result
        Any fit with group effects.
    at : mapping, pandas.DataFrame, "own" or None
        Profiles of the predictors, the same for all groups; by default the average of every
        column of the design over all rows. Several, as ``{"ses": [-1, 0, 1]}``, give each group's
        number as a function of a covariate. "own": the average over the group's own rows, so that
        what predictors of groups say counts.
    of : str or sequence of str
        Which of "mean", "variance", "total variance" (with random slopes) and "ICC"; by default all
        that the model lets differ.
    share : float
        The share of groups that is the top, and the bottom, for ``p_top`` and ``p_bottom``.

    Returns
    -------
    pandas.DataFrame
        A row for each profile, quantity and group, groups in the order of the fit: of several
        profiles their columns, then quantity, group, n (rows of the group), scale, estimate, se,
        lower, upper, average, p_above, differs, rank, rank_lower, rank_upper, p_top, p_bottom,
        method. Groups are compared at one profile. ``average`` is the number of a group whose
        effects are zero (of the total variance with what slopes add on average, tr(S T_u)), p_above
        the probability that the group's is larger, and ``differs`` whether the 95% interval of the
        distance to it leaves zero out. Rank 1 is the largest, groups that are equal share their
        mean rank, and its interval holds 95%. Without draws ranks and probabilities are those of
        normal draws (4,000) of the effects given the data, parameters at their estimates; ``<NA>``
        where the engine does not say how well effects are known.

    Raises
    ------
    NotAvailable
        Where the model has no such group effects, or an ICC is asked for of Student-t effects whose
        variance is infinite in some draw.
    OptionError
        Where an argument is out of its range.

    Notes
    -----
    x'gamma + z'u_j; exp(w'delta + a'v_j), under an association also its terms of u_j;
    z'T_u z / (z'T_u z + exp(w'delta + a'v_j)) (Leckie et al. 2014, section 5), T at the profile,
    of Student-t effects nu / (nu - 2) times it. The total variance u_j'S u_j + exp(w'delta + a'v_j)
    has what the group's slopes add, with S the covariance matrix of z within groups: the mean of
    those of all groups, with ``at="own"`` that of the group (Leckie, Parker, Goldstein & Tilling,
    sections 4.2 and 6.4).
    """
    check_result(result)
    chosen = _chosen(result, of)
    if not isinstance(share, Real) or not 0 < share < 1:
        raise OptionError(f"share is a number between 0 and 1, not {share!r}.")
    profiles = _profiles(result, at)
    own = isinstance(at, str)
    each = [profiles] if own else [profiles.one(i) for i in range(len(profiles))]
    draws = cache(partial(_draws, result))  # of all quantities and profiles
    parts = []
    for one in each:
        keys = one.keys if len(each) > 1 else pd.DataFrame(index=range(1))
        for quantity in chosen:
            found = _of_groups(result, quantity, one, share, draws)
            repeated = keys.iloc[[0] * len(found)].reset_index(drop=True)
            parts.append(pd.concat([repeated, found], axis=1))
    return pd.concat(parts, ignore_index=True)


def check_one_profile(result: Result, at: At | str) -> None:
    """Refuse several profiles where groups are compared at one.

    Raises
    ------
    OptionError
        Where ``at`` makes more than one.
    """
    if not isinstance(at, str) and (many := len(profiles_of(result, at))) != 1:
        raise OptionError(f"Groups are compared at one profile here; at=… makes {many}.")


def _of_groups(
    result: Result, quantity: str, at: Profiles, share: float, make: Callable[[], Values]
) -> pd.DataFrame:
    """Return the rows of one quantity at one profile, or at each group's own."""
    function, monotone = _FUNCTIONS[quantity]

    def of_draws(v: Values) -> np.ndarray:
        return function(v, at)

    found = estimated(result, of_draws, _BOUNDS[quantity], by_group=True)
    estimate, method = found["estimate"].to_numpy(float), found.pop("method")
    first = {
        "quantity": quantity,
        "group": list(dict.fromkeys(result.group_effects["group"])),
        "n": np.bincount(design_of(result).group, minlength=result.n_groups),
        "scale": _SCALES[quantity],
    }

    def distance(v: Values) -> np.ndarray:
        return monotone(v, at) - _average(quantity, monotone, v, at)

    gap = estimated(result, distance, "real", by_group=True)
    # where it is not known how well effects are known there are no draws
    draws = make() if is_posterior(result) or gap["se"].notna().all() else None
    against = _against_average(result, quantity, at, gap)
    if draws is not None:
        above = (distance(draws) > 0).mean(axis=0)
        against["p_above"] = nullable(np.where(gap["estimate"].notna(), above, np.nan))
    ranked = _ranked(draws, function, at, share, estimate)
    return pd.concat([pd.DataFrame(first), found, against, ranked, method], axis=1)


def _chosen(result: Result, of: str | Sequence[str]) -> list[str]:
    if not result.effects:
        raise NotAvailable(
            "The model has no group effects; add a random term, such as (1 | school), for them."
        )
    u, v = (any(e.startswith(f"{letter}:") for e in result.effects) for letter in "uv")
    v = v or result.spec.association is not None
    slopes = any(e.startswith("u:") and e != _INTERCEPT for e in result.effects)
    finite = bool(np.isfinite(covariance_factor(sets_at_hand(result))).all())
    able = [MEAN] * u + [SPREAD] * v + [TOTAL] * slopes + [ICC] * (u and v and finite)
    wanted = [of] if isinstance(of, str) else list(of)
    for word in wanted:
        if word not in _SCALES:
            raise OptionError(
                f"There is no quantity '{word}' of groups.{suggest(str(word), list(_SCALES))} "
                f"There are: {', '.join(_SCALES)}."
            )
        if word not in able:
            raise NotAvailable(
                f"In this model the {word} of groups is not let differ: {_why(word)}"
                if finite or word != ICC
                else "An ICC needs a variance between groups, and Student-t effects with nu of 2 "
                "or less, as some draws have, have none."
            )
    return wanted or able


def _why(word: str) -> str:
    term = {MEAN: "the mean", SPREAD: "the variance function"}.get(word)
    if word == TOTAL:
        return "it differs from the variance with random slopes, such as (1 + x | school)."
    if term is None:
        return "it takes a random effect in both functions."
    return f"add a random term, such as (1 | school), to {term}."


def _profiles(result: Result, at: At | str) -> Profiles:
    design = design_of(result)
    if isinstance(at, str):
        if at != OWN:
            raise OptionError(f"at is '{OWN}' or values of the predictors, not '{at}'.")
        return replace(own_averages(result, design), spread=spread_of(design, own=True))
    return replace(profiles_of(result, at), spread=spread_of(design, own=False))


# --- what is compared --------------------------------------------------------------------------
def _given(v: Values, at: Profiles) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and log variances of groups; of effects of zero (S, 1) or (S, J)."""
    if v.effects is None:
        return given_effects(v.sets, at.rows, None)
    return given_effects(v.sets, at.for_groups(v.effects.shape[1]), v.effects)


def _mean(v: Values, at: Profiles) -> np.ndarray:
    return _given(v, at)[0]


def _log_variance(v: Values, at: Profiles) -> np.ndarray:
    return _given(v, at)[1]


def _minus_log_variance(v: Values, at: Profiles) -> np.ndarray:
    return -_log_variance(v, at)


def _variance(v: Values, at: Profiles) -> np.ndarray:
    with np.errstate(over="ignore"):
        found: np.ndarray = np.exp(_log_variance(v, at))
    return found


def _total(v: Values, at: Profiles) -> np.ndarray:
    """Return u'S u and the variance; where effects are zero with the average of u'S u."""
    assert at.spread is not None
    if v.effects is None:
        T, qu = level2_covariance(v.sets, at.rows), v.sets.qu
        slopes = np.einsum("mab,smab->sm", at.spread, T[..., :qu, :qu])
        average: np.ndarray = slopes * covariance_factor(v.sets) + _variance(v, at)
        return average
    u = v.effects[..., : v.sets.qu]
    spread = np.broadcast_to(at.spread, (u.shape[1], *at.spread.shape[1:]))
    found: np.ndarray = np.einsum("sja,jab,sjb->sj", u, spread, u) + _variance(v, at)
    return found


def _icc(v: Values, at: Profiles) -> np.ndarray:
    between = between_groups(v.sets, at.rows)
    with np.errstate(invalid="ignore"):  # of two that are infinite
        found: np.ndarray = between / (between + _variance(v, at))
    return found


_GroupFunction = Callable[[Values, Profiles], np.ndarray]
#: The quantity, and a monotone function of it whose distance to the average is judged.
_FUNCTIONS: dict[str, tuple[_GroupFunction, _GroupFunction]] = {
    MEAN: (_mean, _mean),
    SPREAD: (_variance, _log_variance),
    TOTAL: (_total, _total),
    ICC: (_icc, _minus_log_variance),  # the logit but for what is the same in all groups
}


def _average(quantity: str, function: _GroupFunction, v: Values, at: Profiles) -> np.ndarray:
    """Return what groups are compared to, (S, 1) or (S, J)."""
    found = function(Values(v.sets), at)
    # squares of slopes are above zero in every group, and may have no average
    return found if quantity != TOTAL else np.where(np.isfinite(found), found, np.nan)


def _against_average(
    result: Result, quantity: str, at: Profiles, gap: pd.DataFrame
) -> pd.DataFrame:
    """Return average, p_above (to be filled in) and differs of every group."""
    function, J = _FUNCTIONS[quantity][0], result.n_groups

    def of_no_effects(v: Values) -> np.ndarray:
        return _average(quantity, function, v, at)

    mean = estimated(result, of_no_effects, _BOUNDS[quantity])["estimate"]
    ends = gap[["lower", "upper"]].to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(ends).all(axis=1)
    average = np.broadcast_to(mean.to_numpy(dtype=float, na_value=np.nan), J)
    found = pd.DataFrame({"average": nullable(average), "p_above": nullable(np.full(J, np.nan))})
    differs = (ends[:, 0] > 0) | (ends[:, 1] < 0)
    found["differs"] = pd.array(np.where(known, differs, None), dtype="boolean")
    return found


def _draws(result: Result) -> Values:
    """Return draws of the effects: of a posterior its own, else normal around the estimates."""
    if is_posterior(result):
        return values_of(result, effects=True)
    return effect_draws(result, _DRAWS, _SEED)


def _ranked(
    draws: Values | None,
    function: _GroupFunction,
    at: Profiles,
    share: float,
    estimate: np.ndarray,
) -> pd.DataFrame:
    J = len(estimate)
    if draws is None:
        return pd.DataFrame({name: pd.array([None] * J, dtype="Float64") for name in _RANKS})
    x = function(draws, at)
    rank = stats.rankdata(-x, axis=1)  # 1 is the largest
    lower, upper = np.quantile(rank, [0.025, 0.975], axis=0, method="inverted_cdf")
    many = max(1, round(share * J))
    columns: Mapping[str, Any] = {
        "rank": stats.rankdata(-estimate),
        "rank_lower": lower,
        "rank_upper": upper,
        "p_top": (rank <= many).mean(axis=0),
        "p_bottom": (rank > J - many).mean(axis=0),
    }
    return pd.DataFrame({k: pd.array(v, dtype="Float64") for k, v in columns.items()})
