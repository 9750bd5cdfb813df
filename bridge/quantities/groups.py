"""Group means, group variances and intraclass correlations, ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bridge import names
from bridge.design_of import design_of
from bridge.errors import NotAvailable, OptionError, suggest
from bridge.quantities.population import OUTCOME, SHARE, VARIANCE, At
from bridge.quantities.profiles import Profiles, own_averages, profiles_of, spread_of
from bridge.quantities.values import (
    Values,
    draws_of,
    effect_draws,
    estimated,
    is_posterior,
    knows_errors_of_effects,
)
from bridge.result import Result

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
        One profile of the predictors, the same for all groups; by default the average of every
        column of the design over all rows. "own": the average over the group's own rows, so that
        what predictors of groups say counts.
    of : str or sequence of str
        Which of "mean", "variance", "total variance" (with random slopes) and "ICC"; by default all
        that the model lets differ.
    share : float
        The share of groups that is the top, and the bottom, for ``p_top`` and ``p_bottom``.

    Returns
    -------
    pandas.DataFrame
        A row for each quantity and group, groups in the order of the fit: quantity, group, n (rows
        of the group), scale, estimate, se, lower, upper, average, p_above, differs, rank,
        rank_lower, rank_upper, p_top, p_bottom, method. ``average`` is the number of a group whose
        effects are zero (of the total variance with what slopes add on average, tr(S T_u); ``<NA>``
        where T differs between groups or effects are not normal), p_above the probability that the
        group's is larger, and ``differs`` whether the 95% interval of the distance to it leaves
        zero out. Rank 1 is the largest, groups that are equal share their mean rank, and its
        interval holds 95%. Without draws ranks and probabilities are those of normal draws (4,000)
        of the effects given the data, parameters at their estimates; ``<NA>`` where the engine does
        not say how well effects are known.

    Raises
    ------
    NotAvailable
        Where the model has no such group effects, or an association takes those of the mean into
        the variances that are asked for.
    OptionError
        Where an argument is out of its range.

    Notes
    -----
    x'gamma + z'u_j; exp(w'delta + a'v_j); z'T_u z / (z'T_u z + exp(w'delta + a'v_j)) (Leckie et
    al. 2014, section 5). The total variance u_j'S u_j + exp(w'delta + a'v_j) has what the group's
    slopes add, with S the covariance matrix of z within groups: the mean of those of all groups,
    with ``at="own"`` that of the group (Leckie, Parker, Goldstein & Tilling,
    sections 4.2 and 6.4).
    """
    chosen = _chosen(result, of)
    if not 0 < share < 1:
        raise OptionError(f"share is a number between 0 and 1, not {share!r}.")
    profiles = _profiles(result, at)
    parts = [_of_groups(result, quantity, profiles, share) for quantity in chosen]
    return pd.concat(parts, ignore_index=True)


def _of_groups(result: Result, quantity: str, at: Profiles, share: float) -> pd.DataFrame:
    """Return the rows of one quantity."""
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
    against = _against_average(result, function, monotone, at, quantity)
    ranked = _ranked(result, function, at, share, estimate)
    return pd.concat([pd.DataFrame(first), found, against, ranked, method], axis=1)


def _chosen(result: Result, of: str | Sequence[str]) -> list[str]:
    if not result.effects:
        raise NotAvailable(
            "The model has no group effects; add a random term, such as (1 | school), for them."
        )
    u, v = (any(e.startswith(f"{letter}:") for e in result.effects) for letter in "uv")
    icc = u and v and _one_normal_law(result)
    slopes = any(e.startswith("u:") and e != _INTERCEPT for e in result.effects)
    able = [MEAN] * u + [SPREAD] * v + [TOTAL] * slopes + [ICC] * icc
    wanted = [of] if isinstance(of, str) else list(of)
    if result.spec.association is not None and wanted != [MEAN]:
        raise NotAvailable(
            "Under an association the effects of the mean enter the variances of groups, which are "
            "not computed here; ask for of='mean', and bridge.predict(result) for variances."
        )
    for word in wanted:
        if word not in _SCALES:
            raise OptionError(
                f"There is no quantity '{word}' of groups.{suggest(str(word), list(_SCALES))} "
                f"There are: {', '.join(_SCALES)}."
            )
        if word not in able:
            raise NotAvailable(
                f"In this model the {word} of groups is not let differ: {_why(word)}"
            )
    return wanted or able


def _one_normal_law(result: Result) -> bool:
    """Tell whether all groups' effects are normal with one covariance matrix."""
    return not result.level2_terms and result.spec.random_effects == "normal"


def _why(word: str) -> str:
    term = {MEAN: "the mean", SPREAD: "the variance function"}.get(word)
    if word == TOTAL:
        return "it differs from the variance with random slopes, such as (1 + x | school)."
    if term is None:
        return (
            "it takes a random effect in both functions, and one covariance matrix for all groups."
        )
    return f"add a random term, such as (1 | school), to {term}."


def _profiles(result: Result, at: At | str) -> Profiles:
    if isinstance(at, str):
        if at != OWN:
            raise OptionError(f"at is '{OWN}' or values of the predictors, not '{at}'.")
        design = design_of(result)
        return replace(own_averages(design), spread=spread_of(design, own=True))
    found = profiles_of(result, at)
    if len(found) != 1:
        raise OptionError(f"Groups are compared at one profile; at=… makes {len(found)}.")
    return replace(found, spread=spread_of(design_of(result), own=False))


# --- what is compared --------------------------------------------------------------------------
def _mean(v: Values, at: Profiles) -> np.ndarray:
    fixed = v.gamma @ at.X.T
    found: np.ndarray = fixed + np.einsum("sja,ja->sj", v.u, _by_group(at.Z, v))
    return found


def _log_variance(v: Values, at: Profiles) -> np.ndarray:
    fixed = v.delta @ at.W.T
    found: np.ndarray = fixed + np.einsum("sja,ja->sj", v.v, _by_group(at.A, v))
    return found


def _variance(v: Values, at: Profiles) -> np.ndarray:
    found: np.ndarray = np.exp(_log_variance(v, at))
    return found


def _total(v: Values, at: Profiles) -> np.ndarray:
    assert at.spread is not None
    spread = np.broadcast_to(at.spread, (v.effects.shape[1], *at.spread.shape[1:]))
    found: np.ndarray = np.einsum("sja,jab,sjb->sj", v.u, spread, v.u) + _variance(v, at)
    return found


def _icc(v: Values, at: Profiles) -> np.ndarray:
    between = np.einsum("ma,sab,mb->sm", at.Z, v.tau_u, at.Z)
    found: np.ndarray = between / (between + _variance(v, at))
    return found


def _by_group(matrix: np.ndarray, v: Values) -> np.ndarray:
    return np.broadcast_to(matrix, (v.effects.shape[1], matrix.shape[1]))


def _no_effects(v: Values) -> Values:
    return Values(v.gamma, v.delta, v.tau, np.zeros_like(v.effects), v.n_u)


def _average_total(v: Values, at: Profiles) -> np.ndarray:
    """Return the variance of the median group and what slopes add to it on average."""
    assert at.spread is not None
    slopes = np.einsum("mab,sab->sm", at.spread, v.tau_u)
    found: np.ndarray = slopes + _variance(_no_effects(v), at)
    return found


_GroupFunction = Callable[[Values, Profiles], np.ndarray]


def _minus_log_variance(v: Values, at: Profiles) -> np.ndarray:
    return -_log_variance(v, at)


#: The quantity, and a monotone function of it whose distance to the average is judged.
_FUNCTIONS: dict[str, tuple[_GroupFunction, _GroupFunction]] = {
    MEAN: (_mean, _mean),
    SPREAD: (_variance, _log_variance),
    TOTAL: (_total, _total),
    ICC: (_icc, _minus_log_variance),  # the logit but for what is the same in all groups
}


def _against_average(
    result: Result,
    function: _GroupFunction,
    monotone: _GroupFunction,
    at: Profiles,
    quantity: str,
) -> pd.DataFrame:
    """Return average, p_above and differs of every group."""
    J = result.n_groups
    if quantity == TOTAL and not _one_normal_law(result):
        nothing = {name: pd.array([None] * J, dtype="Float64") for name in ("average", "p_above")}
        return pd.DataFrame({**nothing, "differs": pd.array([None] * J, dtype="boolean")})

    def distance(v: Values) -> np.ndarray:
        if quantity == TOTAL:  # squares of slopes are above zero in every group
            return monotone(v, at) - _average_total(v, at)
        return monotone(v, at) - monotone(_no_effects(v), at)

    def of_no_effects(v: Values) -> np.ndarray:
        return _average_total(v, at) if quantity == TOTAL else function(_no_effects(v), at)

    mean = estimated(result, of_no_effects, _BOUNDS[quantity])["estimate"].to_numpy(float)
    gap = estimated(result, distance, "real", by_group=True)
    ends = gap[["lower", "upper"]].to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(ends).all(axis=1)
    found = pd.DataFrame({"average": np.broadcast_to(mean, J)})
    found["p_above"] = pd.array(np.full(J, np.nan), dtype="Float64")
    draws = _draws(result)
    if draws is not None:
        found["p_above"] = pd.array((distance(draws) > 0).mean(axis=0), dtype="Float64")
    differs = (ends[:, 0] > 0) | (ends[:, 1] < 0)
    found["differs"] = pd.array(np.where(known, differs, None), dtype="boolean")
    return found


def _draws(result: Result) -> Values | None:
    if is_posterior(result):
        return draws_of(result)
    return effect_draws(result, _DRAWS, _SEED) if knows_errors_of_effects(result) else None


def _ranked(
    result: Result, function: _GroupFunction, at: Profiles, share: float, estimate: np.ndarray
) -> pd.DataFrame:
    J, draws = result.n_groups, _draws(result)
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
