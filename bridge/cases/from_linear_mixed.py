"""Numbers that R prints with linear and linear mixed models: t, F, residuals, intervals, BLUPs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from bridge import names
from bridge.cases.checks import one_of
from bridge.cases.numbers import Context, Number, quantity
from bridge.errors import NotAvailable

if TYPE_CHECKING:
    from bridge.design import Design
    from bridge.result import Result

_ENDS = ("lower", "upper")


@quantity("t_test", gives=("value", "se", "lower", "upper", "p"), level2=True)
def t_test(context: Context, of: str, df: int, fit: str = "main") -> Number:
    """Return the t value of a coefficient with its p; or, of the coefficient, its interval.

    Parameters
    ----------
    of : str
        The coefficient.
    df : int
        Degrees of freedom as print counts them.

    Notes
    -----
    t = estimate / standard error, p = 2 P(T_df > |t|); lower and upper are those of the
    coefficient, estimate -+ t_df(0.975) standard errors.
    """
    b, s = _estimate(context, of, fit)
    half = float(stats.t.ppf(0.975, df)) * s
    p = 2 * float(stats.t.sf(abs(b / s), df))
    return Number(b / s, lower=b - half, upper=b + half, p=p, note=f"t on {df} degrees of freedom")


@quantity("f_of_coefficient", gives=("value", "p"), level2=True)
def f_of_coefficient(context: Context, of: str, df: int, fit: str = "main") -> Number:
    """Return the F test of one coefficient, the square of its t.

    Parameters
    ----------
    of : str
        The coefficient.
    df : int
        Degrees of freedom of the denominator, as print counts them.
    """
    b, s = _estimate(context, of, fit)
    F = (b / s) ** 2
    return Number(F, p=float(stats.f.sf(F, 1, df)))


@quantity("level1_df", gives=("value",))
def level1_df(context: Context, fit: str = "main") -> Number:
    """Return nlme's degrees of freedom of level-1 coefficients in a model with one grouping.

    Notes
    -----
    N - J - p with p coefficients that vary within groups, the intercept not among them (Pinheiro &
    Bates 2000, section 2.4.2).
    """
    design = _design(context.result(fit))
    X = design.mean.matrix
    first = np.unique(design.group, return_index=True)[1]
    within = (X[first][design.group] != X).any(axis=0).sum()
    return Number(float(len(X) - len(first) - within))


@quantity("effect_sd", gives=("value", "lower", "upper"), level2=True)
def effect_sd(context: Context, effect: str, fit: str = "main") -> Number:
    """Return the SD of a group effect and its interval, roots of those of the variance.

    Parameters
    ----------
    effect : str
        Such as ``u:Intercept``.
    """
    return _root(context, names.flat("tau", names.pair(effect, effect)), fit, np.sqrt)


@quantity("residual_sd", gives=("value", "lower", "upper"))
def residual_sd(context: Context, fit: str = "main") -> Number:
    """Return the level-1 SD and its interval, exp(delta / 2)."""
    return _root(context, names.flat("delta", names.INTERCEPT), fit, lambda x: np.exp(x / 2))


@quantity("residual_quantile", gives=("value",), level2=True)
def residual_quantile(
    context: Context, share: float, standardised: bool = False, fit: str = "main"
) -> Number:
    """Return a quantile of the level-1 residuals.

    Parameters
    ----------
    share : float
        0 for the lowest, 0.25 for the first quartile and so on, by R's default rule (type 7).
    standardised : bool
        Whether they are divided by the level-1 SD, as nlme prints them.

    Notes
    -----
    y - X gamma - Z u, with u at their predictions.
    """
    result = context.result(fit)
    design = _design(result)
    gamma = [result.estimate(names.flat("gamma", label)) for label in design.mean.labels]
    residual = design.y - design.mean.matrix @ np.array(gamma)
    if result.effects:
        residual = residual - _predicted(result, design)
    if standardised:
        residual = residual / np.exp(result.estimate(names.flat("delta", names.INTERCEPT)) / 2)
    return Number(float(np.quantile(residual, share)))


@quantity("regression_summary", gives=("value", "p"))
def regression_summary(context: Context, which: str, fit: str = "main") -> Number:
    """Return what R prints below the coefficients of a linear regression.

    Parameters
    ----------
    which : {"r_squared", "adjusted_r_squared", "f", "model_df", "residual_df"}
        Of a regression with an intercept.

    Notes
    -----
    R^2 = 1 - RSS / TSS; 1 - (1 - R^2) (n - 1) / (n - p); F = (R^2 / (p - 1)) / ((1 - R^2) /
    (n - p)) on p - 1 and n - p degrees of freedom, for n rows and p coefficients.
    """
    design = _design(context.result(fit))
    X, y = design.mean.matrix, design.y
    n, p = X.shape
    left = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    r2 = 1 - float(left @ left) / float(((y - y.mean()) ** 2).sum())
    F = (r2 / (p - 1)) / ((1 - r2) / (n - p))
    found = {
        "r_squared": r2,
        "adjusted_r_squared": 1 - (1 - r2) * (n - 1) / (n - p),
        "f": F,
        "model_df": p - 1,
        "residual_df": n - p,
    }
    one_of(which, found, "which")
    p_value = float(stats.f.sf(F, p - 1, n - p)) if which == "f" else None
    return Number(float(found[which]), p=p_value)


@quantity("group_effect", gives=("value", "se"), level2=True)
def group_effect(
    context: Context, group: str, effect: str, coefficient: str = "", fit: str = "main"
) -> Number:
    """Return the predicted effect of one group, alone or on top of a coefficient.

    Parameters
    ----------
    group : str
        Its label.
    effect : str
        Such as ``u:Intercept``.
    coefficient : str
        Such as ``gamma[Intercept]``, for what nlme's ``coef`` prints; "" for ``ranef``.
    """
    result = context.result(fit)
    table = result.group_effects
    row = table[(table["group"] == group) & (table["effect"] == effect)]
    if row.empty:
        raise NotAvailable(f"{result.engine} has no {effect} of group {group}.")
    value = float(row["estimate"].iloc[0])
    if coefficient:
        return Number(result.estimate(coefficient) + value)
    known = row["se"].notna().iloc[0]
    return Number(value, se=float(row["se"].iloc[0]) if known else None)


def _estimate(context: Context, of: str, fit: str) -> tuple[float, float]:
    table = context.result(fit).estimates.set_index("parameter")
    if of not in table.index or table["se"].isna()[of]:
        raise NotAvailable(f"Column {context.column} has no standard error of '{of}'.")
    return float(table.loc[of, "estimate"]), float(table.loc[of, "se"])


def _root(context: Context, of: str, fit: str, scale: Callable[[float], float]) -> Number:
    table = context.result(fit).estimates.set_index("parameter")
    if of not in table.index:
        raise NotAvailable(f"Column {context.column} has no '{of}'.")
    ends = [
        None if table[end].isna()[of] else float(scale(float(table.loc[of, end]))) for end in _ENDS
    ]
    return Number(float(scale(float(table.loc[of, "estimate"]))), lower=ends[0], upper=ends[1])


def _design(result: Result) -> Design:
    from bridge.design_of import design_of

    return design_of(result)


def _predicted(result: Result, design: Design) -> np.ndarray:
    """Return Z u of each row."""
    table = result.group_effects.pivot_table(index="group", columns="effect", values="estimate")
    u = table.loc[list(design.group_labels), list(design.mean_effects)].to_numpy(dtype=float)
    return (design.Z * u[design.group]).sum(axis=1)
