"""Numbers of least squares in and between groups: fixed effects, two stages, means of groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bridge.cases.checks import column_of, one_of
from bridge.cases.numbers import Context, Number, quantity
from bridge.errors import DataFileError
from bridge.group_fits import by_group
from bridge.least_squares import least_squares
from bridge.spec import ModelSpec

_CELLS = ("estimate", "t", "df")


@quantity("group_wald", gives=("value", "p"), of="data")
def group_wald(context: Context, model: str, group: str, by: str, which: str = "f") -> Number:
    """Return the F of a test that coefficients, averaged over groups, are the same at all levels.

    Parameters
    ----------
    model, group : str
        What is fitted in each group, such as ``"mathach ~ ses"``, and the grouping column.
    by : str
        The column that parts the groups.
    which : {"f", "numerator_df", "denominator_df"}
        F with its p, or its degrees of freedom.

    Notes
    -----
    d' (L V L')^-1 d / rank on N - J p degrees of freedom, d = L b, with the pooled residual
    variance: it says nothing of other groups than these.
    """
    one_of(which, ("f", "numerator_df", "denominator_df"), "which")
    test = by_group(ModelSpec(model), context.data, group).average(by=by).wald()
    if which == "f":
        return Number(test.statistic, p=test.p_value)
    return Number(float(test.df[which == "denominator_df"]))


@quantity("group_contrast", gives=("value", "se", "p"), of="data")
def group_contrast(
    context: Context,
    model: str,
    group: str,
    by: str,
    term: str,
    contrast: str,
    which: str = "estimate",
) -> Number:
    """Return a difference between levels of coefficients averaged over groups with equal weights.

    Parameters
    ----------
    model, group, by
        As for ``group_wald``.
    term : str
        The coefficient.
    contrast : str
        ``"<level> - <level>"``, one of them the first level of ``by``.
    which : {"estimate", "t", "df"}
        The difference with its standard error and p, its t, or its degrees of freedom.

    Notes
    -----
    Standard errors from the pooled residual variance, on N - J p degrees of freedom.
    """
    table = by_group(ModelSpec(model), context.data, group).average(by=by).wald().table
    ends = [end.strip() for end in contrast.split(" - ")]
    for sign, name in ((1.0, contrast), (-1.0, " - ".join(reversed(ends)))):
        row = table[(table["contrast"] == name) & (table["term"] == term)]
        if len(row):
            return _cell(row.iloc[0], which, sign)
    known = [f"{c} of {t}" for c, t in zip(table["contrast"], table["term"], strict=True)]
    raise DataFileError(f"There is no contrast '{contrast}' of {term}; there are {known}.")


@quantity("group_regression", gives=("value", "se", "p"), of="data")
def group_regression(
    context: Context,
    model: str,
    group: str,
    formula: str,
    coefficient: str,
    term: str,
    which: str = "estimate",
) -> Number:
    """Return a coefficient of the second of two stages: groups' coefficients on their predictors.

    Parameters
    ----------
    model, group
        As for ``group_wald``: the first stage.
    formula : str
        The second stage, such as ``"~ sector"``.
    coefficient, term : str
        Which coefficient of groups is regressed, and on what.
    which : {"estimate", "t", "df"}
        The coefficient with its standard error and p, its t, or its degrees of freedom.

    Notes
    -----
    Every group has the same weight, and standard errors are from the spread between groups.
    """
    table = by_group(ModelSpec(model), context.data, group).regress(formula).table
    row = table[(table["coefficient"] == coefficient) & (table["term"] == term)]
    if row.empty:
        raise DataFileError(f"There is no coefficient of {coefficient} on '{term}'.")
    return _cell(row.iloc[0], which, 1.0)


@quantity("group_means_regression", gives=("value", "se", "p"), of="data")
def group_means_regression(
    context: Context, outcome: str, predictor: str, group: str, term: str, which: str = "estimate"
) -> Number:
    """Return a coefficient of the between-group regression of means on means.

    Parameters
    ----------
    outcome, predictor, group : str
        Columns; the first two are averaged by the third.
    term : {"Intercept", "slope"}
        Which coefficient.
    which : {"estimate", "t", "df"}
        The coefficient with its standard error and p, its t, or its degrees of freedom.

    Notes
    -----
    ybar_j = a + b xbar_j + e_j, J groups of equal weight, on J - 2 degrees of freedom.
    """
    one_of(term, ("Intercept", "slope"), "term")
    columns = [column_of(context.data, name) for name in (outcome, predictor)]
    means = pd.concat(columns, axis=1).groupby(column_of(context.data, group)).mean().to_numpy()
    X = np.column_stack([np.ones(len(means)), means[:, 1]])
    fit = least_squares(X, means[:, 0], ("Intercept", "slope"))
    k = ("Intercept", "slope").index(term)
    b = float(fit.coefficients[k])
    se = float(np.sqrt(fit.rss / fit.df * fit.unscaled[k, k]))
    p = 2 * float(stats.t.sf(abs(b / se), fit.df))
    return _cell({"estimate": b, "se": se, "t": b / se, "df": fit.df, "p": p}, which, 1.0)


def _cell(row: Any, which: str, sign: float) -> Number:
    one_of(which, _CELLS, "which")
    if which == "estimate":
        return Number(sign * float(row["estimate"]), se=float(row["se"]), p=float(row["p"]))
    return Number((sign if which == "t" else 1.0) * float(row[which]))
