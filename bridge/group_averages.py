"""Averages over groups of the coefficients of `bridge.by_group`, and the Wald test of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bridge.columns import Factor, as_factor, complete_rows
from bridge.design_level2 import varying_groups
from bridge.errors import DataError, NotAvailable
from bridge.linear_hypothesis import linear_test
from bridge.summary import aligned, digits

if TYPE_CHECKING:
    from bridge.group_fits import GroupFits

_ONE_GROUP = "one group: no spread between groups"
_EVERYTHING = "all"


@dataclass(frozen=True, eq=False, repr=False)
class GroupAverages:
    """Means over groups of coefficients fitted in each, with equal weights.

    Attributes
    ----------
    by : str or None
        The column whose values part the groups.
    table : pandas.DataFrame
        One row a value of ``by`` and term: level, term, estimate, se_within, se_between, n_groups,
        note. ``se_within`` takes the pooled residual variance and nothing else: it is that of a
        model with every group's coefficients fixed. ``se_between`` is the SD of the coefficients
        over the groups, divided by the root of their number.
    covariance : pandas.DataFrame
        Of the averages by the pooled residual variance, rows as in ``table``.
    df : int
        Degrees of freedom of the pooled residual variance.
    notes : tuple of str
        Groups left out.
    """

    by: str | None
    table: pd.DataFrame
    covariance: pd.DataFrame
    df: int
    notes: tuple[str, ...]

    def wald(self) -> GroupWald:
        """Test whether the averages are the same at every level; without ``by``, whether zero.

        Returns
        -------
        GroupWald
            An F test with the pooled residual variance, and a t test of each difference from the
            first level. It says nothing of groups other than these; for those, regress the
            coefficients on the predictor.

        Raises
        ------
        NotAvailable
            Where the groups leave no residual degrees of freedom, or ``by`` has one level.
        """
        return _wald(self)

    def text(self) -> str:
        """Return the averages with both standard errors."""
        rows = [[self.by or "", "term", "average", "SE within", "SE between", "groups"]]
        for row in self.table.itertuples(index=False):
            cells = [digits(x) for x in (row.estimate, row.se_within, row.se_between)]
            rows.append([row.level, row.term, *cells, str(row.n_groups)])
        return "\n".join(
            [
                "Averages over groups, equal weights; outcome units",
                *aligned(rows, left=2),
                "SE within: other rows of the same groups. SE between: other groups.",
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


@dataclass(frozen=True, eq=False, repr=False)
class GroupWald:
    """A Wald test of averages over groups.

    Attributes
    ----------
    statistic : float
        F.
    df : tuple of int
        Of numerator and denominator.
    p_value : float
        The probability of an F as large.
    table : pandas.DataFrame
        One row a contrast: contrast, term, estimate, se, t, df, p.
    """

    statistic: float
    df: tuple[int, int]
    p_value: float
    table: pd.DataFrame

    def text(self) -> str:
        """Return F and its p, and the contrasts."""
        rows = [["", "term", "estimate", "SE", "t", "p"]]
        for row in self.table.itertuples(index=False):
            cells = [digits(x) for x in (row.estimate, row.se, row.t, row.p)]
            rows.append([row.contrast, row.term, *cells])
        return "\n".join(
            [
                f"F({self.df[0]}, {self.df[1]}) = {digits(self.statistic)}, "
                f"p = {digits(self.p_value)}; from the variation within groups alone",
                *aligned(rows, left=2),
            ]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def average(fits: GroupFits, by: str | None) -> GroupAverages:
    """Average coefficients over groups; see `GroupFits.average`."""
    level_of, levels, missing = levels_of(fits, by)
    fitted = np.array([fit.found for fit in fits.fits])
    rows, blocks = [], list[np.ndarray]()
    for number, level in enumerate(levels):
        members = np.flatnonzero(fitted & (level_of == number))
        if not len(members):
            missing = [*missing, f"{by} {level} has no group that could be fitted"]
            continue
        own = np.array([fits.fits[j].coefficients for j in members])
        unscaled = np.sum([fits.fits[j].unscaled for j in members], axis=0) / len(members) ** 2
        blocks.append(fits.sigma**2 * unscaled)
        between = np.full(own.shape[1], np.nan)
        if len(own) > 1:
            between = own.std(axis=0, ddof=1) / np.sqrt(len(own))
        for i, term in enumerate(fits.terms):
            note = "" if len(own) > 1 else _ONE_GROUP
            within = np.sqrt(blocks[-1][i, i])
            rows.append((level, term, own[:, i].mean(), within, between[i], len(own), note))
    names = ["level", "term", "estimate", "se_within", "se_between", "n_groups", "note"]
    table = pd.DataFrame(rows, columns=names)
    for name in ("estimate", "se_within", "se_between"):
        table[name] = table[name].astype("Float64")
    covariance = _stacked(blocks, len(fits.terms))
    index = pd.MultiIndex.from_frame(table[["level", "term"]])
    notes = tuple(f"{said}; left out." for said in missing)
    return GroupAverages(
        by,
        table,
        pd.DataFrame(covariance, index, index),
        fits.df,
        (*fits.notes, *notes),
    )


def _stacked(blocks: list[np.ndarray], size: int) -> np.ndarray:
    """Return blocks along the diagonal of a matrix of zeros."""
    whole = np.zeros((size * len(blocks), size * len(blocks)))
    for k, block in enumerate(blocks):
        here = slice(size * k, size * (k + 1))
        whole[here, here] = block
    return whole


def levels_of(fits: GroupFits, by: str | None) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return which level of a column the groups have.

    Parameters
    ----------
    fits : GroupFits
        The groups.
    by : str or None
        A column that is constant within groups; None is one level for all.

    Returns
    -------
    level : (J,) array of int
        The level of each group, -1 where it has none.
    levels : tuple of str
        The levels as text.
    missing : list of str
        A clause for each group without one.

    Raises
    ------
    DataError
        Where there is no such column, or it varies within a group.
    """
    size = len(fits.labels)
    if by is None:
        return np.zeros(size, dtype=int), (_EVERYTHING,), []
    positions = pd.Index(range(len(fits.data)))
    known = complete_rows(fits.data.set_axis(positions), [by])
    if known.empty:
        raise DataError(f"Column '{by}' has no values; choose another one.")
    factor, codes = as_factor(known[by]), fits.codes[known.index.to_numpy()]
    _check_constant(fits, by, factor, codes)
    level_of = np.full(size, -1)
    level_of[codes] = factor.codes
    without = [fits.labels[j] for j in np.flatnonzero(level_of < 0)]
    said = [f"{fits.group} {label} has no value of {by}" for label in without]
    return level_of, factor.levels, said


def _check_constant(fits: GroupFits, by: str, factor: Factor, codes: np.ndarray) -> None:
    where = varying_groups(factor, codes)
    if len(where):
        raise DataError(
            f"{by} varies within {fits.group} {fits.labels[where[0]]}; averages are by a column "
            "that is constant within groups."
        )


def _wald(averages: GroupAverages) -> GroupWald:
    table = averages.table
    levels, terms = list(dict.fromkeys(table["level"])), list(dict.fromkeys(table["term"]))
    if averages.df == 0 or not averages.covariance.to_numpy().any():
        raise NotAvailable(
            "There is no test: the groups' coefficients fit every row exactly, and nothing is left "
            "to estimate the residual variance from."
        )
    if averages.by is not None and len(levels) < 2:
        raise NotAvailable(
            f"There is no test: {averages.by} has one level only ({levels[0]}), and there are no "
            "averages to tell apart."
        )
    p = len(terms)
    if averages.by is None:
        contrasts, names = np.eye(p), [("average", term) for term in terms]
    else:
        others = levels[1:]
        contrasts = np.hstack([np.tile(-np.eye(p), (len(others), 1)), np.eye(p * len(others))])
        names = [(f"{level} - {levels[0]}", term) for level in others for term in terms]
    estimates, covariance = table["estimate"].to_numpy(dtype=float), averages.covariance.to_numpy()
    test = linear_test(contrasts, estimates, covariance, np.zeros(len(contrasts)))
    t = test.estimate / test.se
    statistic = test.statistic / test.rank
    df = (test.rank, averages.df)
    found = pd.DataFrame(names, columns=["contrast", "term"])
    found["estimate"], found["se"], found["t"], found["df"] = test.estimate, test.se, t, df[1]
    found["p"] = 2 * stats.t.sf(np.abs(t), averages.df)
    return GroupWald(statistic, df, float(stats.f.sf(statistic, *df)), found)
