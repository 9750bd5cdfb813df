"""Regressions on group predictors of the coefficients of `bridge.by_group`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bridge import formula as formulas
from bridge.columns import Factor
from bridge.design import Design, make_design
from bridge.design_level2 import check_constant
from bridge.encode import Encoded, check_rank
from bridge.errors import DataError, SpecError
from bridge.least_squares import least_squares
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

if TYPE_CHECKING:
    from bridge.group_fits import GroupFits

_WHAT = "a regression of groups' coefficients"


@dataclass(frozen=True, eq=False, repr=False)
class GroupRegression:
    """Coefficients of groups regressed on predictors of groups.

    Attributes
    ----------
    formula : str
        The predictors.
    table : pandas.DataFrame
        One row a coefficient and predictor: coefficient, term, estimate, se, df, t, p, lower,
        upper (95%, by t).
    residual_sd : mapping of str to float
        The SD left of each coefficient over the groups.
    n_groups : int
        Groups used.
    notes : tuple of str
        Groups left out.
    """

    formula: str
    table: pd.DataFrame
    residual_sd: Mapping[str, float]
    n_groups: int
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the estimates with their t tests."""
        rows = [["coefficient", "term", "estimate", "SE", "t", "p"]]
        for row in self.table.itertuples(index=False):
            cells = [digits(x) for x in (row.estimate, row.se, row.t, row.p)]
            rows.append([row.coefficient, row.term, *cells])
        left = ", ".join(f"{name} {digits(sd)}" for name, sd in self.residual_sd.items())
        return "\n".join(
            [
                f"Coefficients of {self.n_groups} groups {self.formula}, equal weights; "
                f"{self.table['df'].iloc[0]} degrees of freedom",
                *aligned(rows, left=2),
                f"SD left between groups: {left}",
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def regress(fits: GroupFits, formula: str) -> GroupRegression:
    """Regress the coefficients of groups on predictors; see `GroupFits.regress`."""
    parsed = formulas.parse(formula)
    if parsed.outcome is not None or parsed.random:
        raise SpecError(
            f"regress takes predictors of groups alone, as '~ 1 + sector', not '{formula}'; the "
            "outcomes are the groups' coefficients."
        )
    encoded, labels = _predictors(fits, parsed)
    found = {label: fit for label, fit in zip(fits.labels, fits.fits, strict=True) if fit.found}
    kept = [i for i, label in enumerate(labels) if label in found]
    W = encoded.matrix[kept]
    k = len(encoded.labels)
    if len(kept) <= k:
        raise DataError(
            f"There are {len(kept)} groups for the {k} coefficients of '{parsed}'; leave terms out."
        )
    check_rank(replace(encoded, matrix=W), "regression's")
    outcomes = np.array([found[labels[i]].coefficients for i in kept])
    rows, residual_sd = [], {}
    for term, outcome in zip(fits.terms, outcomes.T, strict=True):
        fit = least_squares(W, outcome, encoded.labels)
        residual_sd[term] = fit.sigma
        half = stats.t.ppf(0.975, fit.df)
        for name, value, se in zip(
            encoded.labels, fit.coefficients, fit.errors(fit.sigma), strict=True
        ):
            t = value / se if se > 0 else np.nan
            p = 2 * stats.t.sf(abs(t), fit.df)
            limits = (value - half * se, value + half * se)
            rows.append((term, name, value, se, fit.df, t, p, *limits))
    names = ["coefficient", "term", "estimate", "se", "df", "t", "p", "lower", "upper"]
    lost = [label for label in found if label not in set(labels)]
    notes = [*fits.notes]
    notes += [f"{fits.group} {label} has a missing predictor; left out." for label in lost]
    table = pd.DataFrame(rows, columns=names)
    return GroupRegression(str(parsed), table, residual_sd, len(kept), tuple(notes))


def _predictors(fits: GroupFits, parsed: formulas.Formula) -> tuple[Encoded, tuple[str, ...]]:
    """Return the predictors with a row a group, and the groups that have them."""
    outcome = fits.spec.outcome
    whole = str(formulas.Formula(outcome, parsed.fixed, ()))
    design: Design = make_design(ModelSpec(f"{whole} + (1 | {fits.group})"), fits.data)
    grouping = Factor(design.group, design.group_labels)
    check_constant(parsed.fixed, design.mean, design.columns, grouping, fits.group, _WHAT)
    first = np.unique(design.group, return_index=True)[1]
    return replace(design.mean, matrix=design.mean.matrix[first]), design.group_labels
