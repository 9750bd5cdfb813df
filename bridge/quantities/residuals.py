"""Residuals of rows and of groups, each divided by its own SD: what a normal plot is of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bridge.design_of import design_of
from bridge.engines.harmonise import nullable
from bridge.errors import NotAvailable, OptionError
from bridge.newdata import rows_of
from bridge.parameter_sets import at_estimates, estimated_effects
from bridge.prediction import given_effects
from bridge.quantities.profiles import variances_of_effects
from bridge.result import Result, check_result

#: Of a posterior, the share of a variance within which two estimates of it count as equal.
_NOISE = 0.05


def residuals(result: Result, level: int = 1) -> pd.DataFrame:
    """Return residuals of rows (level 1) or of groups (level 2), raw and standardised.

    Parameters
    ----------
    result : Result
        Any fit.
    level : {1, 2}
        1: of every row. 2: of every group and effect.

    Returns
    -------
    pandas.DataFrame
        Level 1, a row for each row of the fit: obs (the user's index), group, fitted (outcome
        units), variance (outcome²), residual (outcome units), standardised (in SDs). Level 2, a row
        for each group and effect, as in `group_effects`: group, effect, scale, estimate, se,
        variance (of the effect in the population, scale squared), standardised (in SDs); ``<NA>``
        where the engine does not say how well an effect is known, where that is no better than the
        population says (of a posterior by less than 5% of the variance, which the Monte Carlo error
        of both can make), and where Student-t effects have no variance (nu of 2 or less).

    Raises
    ------
    NotAvailable
        Where level 2 is asked of a model without group effects.
    OptionError
        Where ``level`` is neither 1 nor 2.

    Notes
    -----
    Parameters and group effects stand at their estimates, of a posterior at their means.

    Level 1: r = y - x'gamma - z'u_j and r / sigma, sigma^2 = exp(w'delta + a'v_j), with what an
    association adds. Effects estimated from the same rows take up some of the residuals, so that
    standardised ones spread a little less than 1, most in small groups.

    Level 2: an estimated effect is shrunk, and spreads less than the effect: its variance is
    T_kk - C_jkk, the effect's variance less that given the data (the square of se). standardised is
    the estimate over the root of that difference, its diagnostic standard error (Goldstein 2011).
    It is exact for effects of the mean where T is known and C_j does not depend on the outcome;
    for v it is approximate, and se of a posterior counts what is not known of parameters as well.
    T_kk is that of the group where a level-2 function has it, and nu / (nu - 2) times the scale
    matrix of Student-t effects.
    """
    check_result(result)
    if level == 1:
        return _of_rows(result)
    if level == 2:
        return _of_groups(result)
    raise OptionError(f"level is 1 (rows) or 2 (groups), not {level!r}.")


def _of_rows(result: Result) -> pd.DataFrame:
    design, rows = design_of(result), rows_of(result)
    own = estimated_effects(result)[0][None, design.group] if result.effects else None
    fitted, log_variance = (x[0] for x in given_effects(at_estimates(result), rows, own))
    residual = design.y - fitted
    return pd.DataFrame(
        {
            "obs": design.index,
            "group": np.asarray(design.group_labels, dtype=object)[design.group],
            "fitted": fitted,
            "variance": np.exp(log_variance),
            "residual": residual,
            "standardised": residual * np.exp(-0.5 * log_variance),
        }
    )


def _of_groups(result: Result) -> pd.DataFrame:
    if not result.effects:
        raise NotAvailable(
            "The model has no group effects; add a random term, such as (1 | school), for them."
        )
    # a row for each group and, within it, each effect
    found = result.group_effects[["group", "effect", "scale", "estimate", "se"]].copy()
    estimate, se = (found[c].to_numpy(dtype=float, na_value=np.nan) for c in ("estimate", "se"))
    population = variances_of_effects(result).ravel()
    shrunk = population - se**2
    least = (_NOISE if result.method == "posterior" else 0.0) * population
    with np.errstate(invalid="ignore", divide="ignore"):
        standardised = np.where(shrunk > least, estimate / np.sqrt(shrunk), np.nan)
    found["variance"] = nullable(population)
    found["standardised"] = nullable(standardised)
    return found.reset_index(drop=True)
