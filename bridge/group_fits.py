"""The mean model fitted in each group by least squares: `bridge.by_group`, as nlme's lmList."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge.columns import as_frame
from bridge.design import Design, make_design
from bridge.errors import DataError, GroupsError, RequestError
from bridge.formula import Formula
from bridge.group_averages import GroupAverages, average
from bridge.group_regression import GroupRegression, regress
from bridge.least_squares import LeastSquares, least_squares
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

_NO_SD = "as many coefficients as rows: no residual SD of its own"
_NAMED = 5  # groups in a sentence
_LIMIT = 12  # groups in the text; the table has all of them


@dataclass(frozen=True, eq=False, repr=False)
class GroupFits:
    """Regressions of the outcome in each group. J groups, p terms.

    Attributes
    ----------
    spec : ModelSpec
        What was asked; of it the fixed part of the mean is fitted.
    group : str
        The grouping column.
    table : pandas.DataFrame
        One row a group and term: group, term, estimate, se (from the group's own residual SD),
        se_pooled (from the pooled one), n, residual_sd, note. ``<NA>`` where a group has no such
        number, and ``note`` says why.
    terms : tuple of str
        The coefficients, as in ``gamma[...]``.
    sigma : float
        The pooled residual SD, outcome units; NaN where no group has residuals.
    df : int
        Its degrees of freedom: the rows of the groups fitted less p for each.
    notes : tuple of str
        Groups that could not be fitted, rows that were dropped.
    data : pandas.DataFrame
        The rows used, with every column, for predictors of groups.
    codes : (N,) array of int
        The group of each of these rows, as a position in ``labels``.
    labels : tuple of str
        The groups as the user wrote them, as text.
    fits : tuple of LeastSquares
        One a group, in the order of ``labels``.
    """

    spec: ModelSpec
    group: str
    table: pd.DataFrame
    terms: tuple[str, ...]
    sigma: float
    df: int
    notes: tuple[str, ...]
    data: pd.DataFrame
    codes: np.ndarray
    labels: tuple[str, ...]
    fits: tuple[LeastSquares, ...]

    @property
    def coefficients(self) -> pd.DataFrame:
        """The estimates with a row a group (those fitted alone) and a column a term."""
        fitted = {g: f.coefficients for g, f in zip(self.labels, self.fits, strict=True) if f.found}
        return pd.DataFrame.from_dict(fitted, orient="index", columns=list(self.terms))

    def average(self, by: str | None = None) -> GroupAverages:
        """Average the coefficients over groups, each group with the same weight.

        Parameters
        ----------
        by : str, optional
            A column that is constant within groups: one average for each of its values.

        Returns
        -------
        GroupAverages
            With ``se_within``, from the pooled residual variance, which generalises to other rows
            of the same groups (a fixed-effects model), and ``se_between``, from the spread of the
            groups' coefficients, which generalises to other groups. Its ``wald()`` tests whether
            the averages differ.

        Raises
        ------
        DataError
            Where there is no such column, or it varies within a group.
        """
        return average(self, by)

    def regress(self, formula: str) -> GroupRegression:
        """Regress each coefficient on predictors of groups, each group with the same weight.

        Parameters
        ----------
        formula : str
            As ``"~ 1 + sector"``; predictors are constant within groups, ``cvar(x, g)`` included.

        Returns
        -------
        GroupRegression
            Estimates with t tests, standard errors from the spread between groups.

        Raises
        ------
        SpecError
            Where the formula has an outcome or random terms.
        DataError
            Where a predictor varies within a group, or there are too few groups.
        """
        return regress(self, formula)

    def text(self) -> str:
        """Return the first groups' coefficients with their standard errors, and the notes."""
        rows = [[self.group, "n", *(f"{t}  (SE)" for t in self.terms), "residual SD"]]
        for label, own in list(self.table.groupby("group", sort=False))[:_LIMIT]:
            cells = [
                f"{digits(e)}  ({digits(s)})"
                for e, s in zip(own["estimate"], own["se"], strict=True)
            ]
            rows.append(
                [str(label), str(own["n"].iloc[0]), *cells, digits(own["residual_sd"].iloc[0])]
            )
        more = len(self.labels) - _LIMIT
        return "\n".join(
            [
                f"{self.spec.outcome} in each {self.group}, by least squares; outcome units",
                *aligned(rows),
                *([f"… and {more} groups more in `table`"] if more > 0 else []),
                f"pooled residual SD {digits(self.sigma)} on {self.df} degrees of freedom",
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def by_group(spec: ModelSpec, data: Any, group: str | None = None) -> GroupFits:
    """Fit the mean model in each group by least squares, as nlme's ``lmList`` does.

    Parameters
    ----------
    spec : ModelSpec
        The model. The fixed part of its mean is fitted in each group; its random terms and its
        variance function do not count here.
    data : pandas.DataFrame
        The data; rows with a missing value in a column of the mean, or in the grouping column, are
        dropped and counted. Transforms are computed over all rows, as for every engine.
    group : str, optional
        The grouping column; by default that of the random terms.

    Returns
    -------
    GroupFits
        ``table``, ``average(by=...)`` and ``regress("~ ...")``; printing it prints the first
        groups. A group that has too few rows, or in which a predictor does not vary, stands in the
        table with a note.

    Raises
    ------
    RequestError
        Where no grouping column is given, or the data cannot be used.
    DataError
        Where the model cannot be fitted in any group.

    Examples
    --------
    >>> schools = bridge.by_group(bridge.ModelSpec("mathach ~ ses"), data, "school")
    >>> schools.average(by="sector").wald()
    >>> schools.regress("~ sector")
    """
    if not isinstance(spec, ModelSpec):
        raise RequestError(
            f"bridge.by_group takes a ModelSpec, not {type(spec).__name__}: "
            'bridge.ModelSpec("y ~ x").'
        )
    column = spec.group if group is None else group
    if column is None:
        raise RequestError(
            "bridge.by_group needs a grouping column, and the model has no random term that names "
            'one; give it as in group="school".'
        )
    design, frame = _design(spec, data, column)
    fits = [
        least_squares(design.mean.matrix[rows], design.y[rows], design.mean.labels)
        for rows in (design.group == j for j in range(len(design.group_labels)))
    ]
    found = [fit for fit in fits if fit.found]
    if not found:
        raise DataError(
            f"The mean function cannot be fitted in any {column}: in {design.group_labels[0]}, "
            f'{fits[0].note}. Leave out what is constant within groups (regress("~ ...") takes '
            "it), or group by something coarser."
        )
    df = sum(fit.df for fit in found)
    sigma = float(np.sqrt(sum(fit.rss for fit in found) / df)) if df else float("nan")
    return GroupFits(
        spec=spec,
        group=column,
        table=_table(design, fits, sigma),
        terms=design.mean.labels,
        sigma=sigma,
        df=df,
        notes=_notes(design, fits, column),
        data=frame.iloc[_used(frame, design.spec)],
        codes=design.group,
        labels=design.group_labels,
        fits=tuple(fits),
    )


def _design(spec: ModelSpec, data: Any, group: str) -> tuple[Design, pd.DataFrame]:
    """Return the fixed part of the mean with the groups, and the data as a frame."""
    fixed = str(Formula(spec.outcome, spec.mean_formula.fixed, ()))
    frame = as_frame(data)
    try:
        return make_design(ModelSpec(f"{fixed} + (1 | {group})"), frame), frame
    except GroupsError:
        raise GroupsError(
            f"'{group}' has one group only, or one row in each, so that there is nothing to fit by "
            "group; choose another grouping column."
        ) from None


def _used(frame: pd.DataFrame, spec: ModelSpec) -> np.ndarray:
    """Return which rows a design of the spec uses, as positions."""
    found: np.ndarray = np.flatnonzero(frame[spec.columns].notna().all(axis=1))
    return found


def _table(design: Design, fits: Sequence[LeastSquares], sigma: float) -> pd.DataFrame:
    rows = []
    for label, fit in zip(design.group_labels, fits, strict=True):
        own, pooled = fit.errors(fit.sigma), fit.errors(sigma)
        note = _NO_SD if fit.found and not fit.df else fit.note
        for i, term in enumerate(design.mean.labels):
            numbers = (fit.coefficients[i], own[i], pooled[i], fit.sigma)
            rows.append((label, term, *numbers[:3], fit.n, numbers[3], note))
    names = ["group", "term", "estimate", "se", "se_pooled", "n", "residual_sd", "note"]
    table = pd.DataFrame(rows, columns=names)
    for name in ("estimate", "se", "se_pooled", "residual_sd"):
        table[name] = table[name].astype("Float64")
    return table


def _notes(design: Design, fits: Sequence[LeastSquares], group: str) -> tuple[str, ...]:
    found = []
    if design.dropped_rows:
        found.append(f"{design.dropped_rows} row(s) with missing values were dropped.")
    left = [g for g, fit in zip(design.group_labels, fits, strict=True) if not fit.found]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        found.append(
            f"{len(left)} of {len(fits)} groups could not be fitted and count in no average and no "
            f"regression ({group} {', '.join(left[:_NAMED])}{more}); `table` says why."
        )
    return tuple(found)
