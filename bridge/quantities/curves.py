"""Means and variances over a predictor: of the average group, of groups, of new groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, scales
from bridge.errors import NotAvailable, OptionError
from bridge.level2_profile import columns_of
from bridge.newdata import rows_of
from bridge.predict import predict
from bridge.quantities.curve_rows import Curves, curve_frames
from bridge.result import Result, check_result

OF_GROUPS = "group"
MEAN, VARIANCE, SD = "mean", "variance", "SD"
_SCALES = {MEAN: scales.GAMMA, VARIANCE: scales.TAU["u", "u"], SD: scales.GAMMA}
_ENDS = {"estimate": "", "lower": "_lower", "upper": "_upper"}


def curves(
    result: Result,
    x: str,
    of: str = MEAN,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return the mean or the level-1 variance of the outcome over a predictor.

    Parameters
    ----------
    result : Result
        Any fit.
    x : str
        A column of numbers that the model reads, or a transform as it is written there, such as
        ``"I(ses - meanses)"``.
    of : {"mean", "variance", "SD"}
        The mean function, or the level-1 variance, or its root.
    by : str or sequence of str, optional
        "group" for a curve of every group of the fit beside that of the average group; a column,
        such as ``"sector"``, for one of the average group at each of its levels; or both.
    at : mapping, optional
        Values of other predictors, the points of x (otherwise 31 over its range in the data, of
        more than 161 groups fewer: 10 of 465), and levels of ``by`` (otherwise those of the data;
        of a number with many values its 10th, 50th and 90th percentiles over rows).

    Returns
    -------
    pandas.DataFrame
        A row for each point of each curve: group (``<NA>`` in the average group, whose effects are
        zero), the predictors, quantity, scale, estimate, lower, upper (95%), note. What ``at``
        leaves out is the same along x: numbers at their mean over the rows, factors at their
        reference level; of a group, what is the same for all its rows is its own. Numbers are those
        of `bridge.predict`; of the SD, roots of those of the variance.

    Raises
    ------
    OptionError
        Where an argument is none of these, or x is a factor.
    UnknownColumnError
        Where the fit does not keep a column that is needed.
    NotAvailable
        Where nothing lets groups differ, or `bridge.predict` has no average group.

    Notes
    -----
    x'gamma + z'u_j and exp(w'delta + a'v_j); in the average group x'gamma and exp(w'delta).
    """
    if of not in _SCALES:
        raise OptionError(f'of is "{MEAN}", "{VARIANCE}" or "{SD}", not {of!r}.')
    column, groups = split_by(result, by)
    if groups:
        _check_effects(result, of)
    where = Curves(result, x, column, {} if at is None else at)
    average, own = curve_frames(where, groups)
    parts = [_table(result, average, of, "average", pd.NA)]
    if own is not None:
        parts.append(_table(result, own, of, "known", own[str(result.spec.group)]))
    return pd.concat(parts, ignore_index=True)


def redrawn_variances(
    result: Result,
    x: str,
    draws: int = 100,
    of: str = VARIANCE,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """Return level-1 variance functions of groups drawn from the population.

    Parameters
    ----------
    result : Result
        Any fit with normal effects in the variance function, and no association.
    x, by, at
        As for `curves`, ``by`` a column.
    draws : int
        How many functions, at each level of ``by``.
    of : {"variance", "SD"}
        Of which.
    seed : int
        The same seed, the same functions.

    Returns
    -------
    pandas.DataFrame
        draw, the predictors, quantity, scale, estimate.

    Raises
    ------
    NotAvailable
        Where the effects are not normal, the variance has none, or it has those of the mean.
    OptionError
        Where an argument is out of its range.

    Notes
    -----
    The function of the average group times exp(a'v), v ~ N(0, T) at the estimates. Those of the
    groups of a fit are shrunk and vary less than groups of the population do (Leckie et al. 2014,
    note 4). T is that of the level where the model lets it differ.
    """
    if of not in (VARIANCE, SD):
        raise OptionError(f'of is "{VARIANCE}" or "{SD}", not {of!r}.')
    for name, number in (("draws", draws), ("seed", seed)):
        least = int(name == "draws")
        if not isinstance(number, Integral) or isinstance(number, bool) or number < least:
            raise OptionError(f"{name} is a whole number of at least {least}, not {number!r}.")
    check_result(result)
    _check_effects(result, of)
    if result.spec.random_effects != "normal" or result.spec.association is not None:
        raise NotAvailable(
            "Variance functions are drawn from a population of normal group effects v; this model "
            "has others, or an association that takes those of the mean in."
        )
    column, groups = split_by(result, by)
    if groups:
        raise OptionError(f"by is a column here, not {by!r}: groups are drawn anew.")
    average, _ = curve_frames(Curves(result, x, column, {} if at is None else at), False)
    middle = _table(result, average, of, "average", pd.NA).drop(columns=["group"])
    log_ratio = _log_ratios(result, average, column, draws, seed)
    power = 0.5 if of == SD else 1.0
    found = pd.concat([middle] * draws, ignore_index=True)
    found.insert(0, "draw", np.repeat(np.arange(1, draws + 1), len(middle)))
    drawn = found["estimate"].to_numpy(float) * np.exp(power * log_ratio.ravel())
    found["estimate"] = pd.array(drawn, dtype="Float64")
    return found.drop(columns=["lower", "upper", "note"])


def split_by(result: Result, by: Any) -> tuple[str | None, bool]:
    """Return the column of ``by``, if any, and whether it asks for groups.

    Raises
    ------
    OptionError
        Where it is something else, or there are two columns.
    """
    check_result(result)
    given = [] if by is None else list(by) if isinstance(by, list | tuple) else [by]
    words = [word for word in given if word not in (OF_GROUPS, result.spec.group)]
    if len(words) > 1 or not all(isinstance(word, str) for word in given):
        raise OptionError(f'by is "{OF_GROUPS}", one column, or both, not {by!r}.')
    return (words[0] if words else None), len(words) < len(given)


def _check_effects(result: Result, of: str) -> None:
    letter, where = ("u", "the mean") if of == MEAN else ("v", "the variance function")
    able = any(effect.startswith(names.effect(letter, "")) for effect in result.effects)
    if not able and (of == MEAN or result.spec.association is None):
        what = "mean" if of == MEAN else "variance"
        raise NotAvailable(
            f"In this model the {what} of groups is not let differ: add a random term, such as "
            f"(1 | school), to {where}."
        )


def _table(result: Result, rows: pd.DataFrame, of: str, groups: str, label: Any) -> pd.DataFrame:
    """Return the rows with what is predicted there."""
    said = predict(result, rows, groups=groups)
    found = rows.drop(columns=[str(result.spec.group)], errors="ignore")
    found.insert(0, "group", label)
    found["group"] = found["group"].astype("string")
    found["quantity"], found["scale"] = of, _SCALES[of]
    for name, ending in _ENDS.items():
        column = said[f"{MEAN if of == MEAN else VARIANCE}{ending}"]
        found[name] = np.sqrt(column) if of == SD else column
    found["note"] = said["note"]
    return found


def _log_ratios(
    result: Result, rows: pd.DataFrame, by: str | None, draws: int, seed: int
) -> np.ndarray:
    """Return what drawn effects add to the log variance at rows, (draws, rows)."""
    A = rows_of(result, rows).A
    columns = [name for name in columns_of(result.level2_terms) if name in rows]
    v = [effect for effect in result.effects if effect.startswith(names.effect("v", ""))]
    level = np.zeros(len(rows), dtype=int) if by is None else pd.factorize(rows[by])[0]
    # T differs along a level with level-2 functions alone; the groups are the same along it
    keys = [level, *(rows[name] for name in columns)]
    found = np.zeros((draws, len(rows)))
    for _, same in rows.groupby(keys, sort=False):
        places = same.index.to_numpy()
        T = result.level2(same[columns].iloc[0].to_dict()) if columns else result.covariance()
        drawn = np.random.default_rng([seed, level[places[0]]]).multivariate_normal(
            np.zeros(len(v)), T.loc[v, v].to_numpy(float), draws, method="eigh"
        )
        found[:, places] = drawn @ A[places].T
    return found
