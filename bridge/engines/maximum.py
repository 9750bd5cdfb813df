"""Results of maximum likelihood: estimates, Wald intervals, the parameter covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bridge.engines.base import Plan, RawFit
from bridge.engines.harmonise import Z95, data_groups, make_result, parameter_table
from bridge.errors import HarmoniseError
from bridge.result import Result


@dataclass(frozen=True)
class Row:
    """One estimate of a maximum-likelihood fit; None is a cell the engine does not give."""

    estimate: float | None
    se: float | None = None
    lower: float | None = None
    upper: float | None = None
    note: str = ""


def wald(estimate: float, se: float | None, transformation: str = "", note: str = "") -> Row:
    """Return a row with a 95% Wald interval on a stated transformation.

    Parameters
    ----------
    estimate, se : float
        On the canonical scale; the se is carried to the transformation by the delta method.
    transformation : {"", "log", "atanh"}
        Where the interval is symmetric.
    note : str
        What to say beside the row.
    """
    if se is None or not np.isfinite(se):
        return Row(estimate, note=note or "no standard error")
    if transformation == "log" and estimate > 0:
        # an interval wider than any number is one without an upper end
        with np.errstate(over="ignore"):
            lower, upper = estimate * np.exp(np.array([-Z95, Z95]) * se / estimate)
    elif transformation == "atanh" and abs(estimate) < 1:
        half = Z95 * se / (1 - estimate**2)
        lower, upper = np.tanh(np.arctanh(estimate) - half), np.tanh(np.arctanh(estimate) + half)
    else:
        transformation = ""  # at a boundary there is nothing to transform
        lower, upper = estimate - Z95 * se, estimate + Z95 * se
    said = f"interval on the {transformation} scale" if transformation else ""
    return Row(estimate, se, float(lower), float(upper), "; ".join(filter(None, (note, said))))


#: Relative to the level-1 SD, the SD of an effect that counts as zero; lme4's own tolerance.
SINGULAR_BELOW = 1e-4

SINGULAR = (
    "The fit is singular: a level-2 variance is zero or a correlation is at its bound; "
    "simplify the random part."
)


def is_singular(covariance: np.ndarray, level1_variance: float) -> bool:
    """Tell whether a level-2 covariance matrix has a direction of no variance.

    Parameters
    ----------
    covariance : (q, q) array
        T_u, outcome units squared.
    level1_variance : float
        The mean variance of the residuals, outcome units squared.
    """
    smallest = float(np.linalg.eigvalsh(covariance).min())
    return smallest < SINGULAR_BELOW**2 * level1_variance


def rows_frame(plan: Plan, rows: Sequence[Row]) -> pd.DataFrame:
    """Return estimates as the frame of a result, rows in the order of `parameter_table`."""
    table = parameter_table(plan.design)
    if len(table) != len(rows):
        raise HarmoniseError(
            f"{plan.engine} gave {len(rows)} estimates for {len(table)} parameters."
        )
    estimates = pd.DataFrame(table, columns=["parameter", "component", "scale"], dtype="object")
    for name in ("estimate", "se", "lower", "upper"):
        estimates[name] = pd.array([getattr(r, name) for r in rows], dtype="Float64")
    estimates["note"] = pd.Series([r.note for r in rows], dtype="object")
    return estimates


def ml_result(
    plan: Plan,
    raw: RawFit,
    *,
    rows: Sequence[Row],
    covariance: pd.DataFrame,
    group_effects: pd.DataFrame,
    loglik: float,
    n_parameters: int,
    warnings: Sequence[str] = (),
    effects_covariance: np.ndarray | None = None,
    nodes: int | None = None,
) -> Result:
    """Return the result of a maximum-likelihood fit.

    Parameters
    ----------
    plan, raw : Plan, RawFit
        What was asked and answered.
    rows : sequence of Row
        In the order of `parameter_table`.
    covariance : pandas.DataFrame
        Of the estimates that have one, flat names.
    group_effects : pandas.DataFrame
        From `effects_frame`.
    loglik, n_parameters
        Of the fit.
    warnings : sequence of str
        In addition to the engine's own.
    effects_covariance : (J, q, q) array, optional
        Of the group effects given the data, canonical scales.
    nodes : int, optional
        The quadrature nodes in use, in each dimension.
    """
    return make_result(
        plan,
        raw,
        str(plan.options.get("method", "ML")),
        rows_frame(plan, rows),
        group_effects,
        data_groups(plan.design),
        tuple(warnings) + tuple(raw.warnings),
        parameter_covariance=covariance,
        ml={
            "loglik": float(loglik),
            "n_parameters": int(n_parameters),
            **({} if nodes is None else {"nodes": int(nodes)}),
        },
        effects_covariance=effects_covariance,
    )
