"""Residuals of rows and of groups, each divided by its own SD: what a normal plot is of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bridge import names
from bridge.design import Design
from bridge.design_of import design_of
from bridge.errors import NotAvailable, OptionError
from bridge.pointwise import predictors
from bridge.result import Result

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
    if level == 1:
        return _of_rows(result)
    if level == 2:
        return _of_groups(result)
    raise OptionError(f"level is 1 (rows) or 2 (groups), not {level!r}.")


def _of_rows(result: Result) -> pd.DataFrame:
    design = design_of(result)
    gamma = _at(result, "gamma", design.mean.labels)
    delta = _at(result, "delta", design.variance.labels)
    effects = _effects(result, "estimate")
    fitted, log_variance = predictors(design, gamma, delta, effects, _latent(result, design))
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
    population = _population(result, design_of(result))
    estimate, se = _effects(result, "estimate"), _effects(result, "se")
    shrunk = population - se**2
    least = (_NOISE if result.method == "posterior" else 0.0) * population
    with np.errstate(invalid="ignore", divide="ignore"):
        standardised = np.where(shrunk > least, estimate / np.sqrt(shrunk), np.nan)
    found = result.group_effects[["group", "effect", "scale", "estimate", "se"]].copy()
    place = (
        found["effect"].map({effect: k for k, effect in enumerate(result.effects)}).to_numpy(int)
    )
    row = found.groupby("effect", sort=False).cumcount().to_numpy(int)
    found["variance"] = pd.array(population[row, place], dtype="Float64")
    found["standardised"] = pd.array(standardised[row, place], dtype="Float64")
    return found.reset_index(drop=True)


def _at(result: Result, variable: str, labels: tuple[str, ...]) -> np.ndarray:
    """Return the estimates of some elements of a variable."""
    return np.array([result.estimate(names.flat(variable, label)) for label in labels])


def _effects(result: Result, column: str) -> np.ndarray:
    """Return a column of the group effects as (J, q), effects u before v."""
    table, J = result.group_effects, result.n_groups
    found = np.zeros((J if result.effects else 1, len(result.effects)))
    for k, effect in enumerate(result.effects):
        own = table.loc[table["effect"] == effect, column]
        found[:, k] = own.to_numpy(dtype=float, na_value=np.nan)
    return found


def _population(result: Result, design: Design) -> np.ndarray:
    """Return the variance of every effect in every group's population, (J, q)."""
    factor = 1.0
    if design.spec.random_effects == "student_t":
        nu = result.estimate("nu")
        factor = nu / (nu - 2.0) if nu > 2 else np.nan
    return factor * _scale_of_effects(result, design)


def _scale_of_effects(result: Result, design: Design) -> np.ndarray:
    """Return T_kk of every effect in every group, (J, q), of a level-2 function or constant."""
    columns = []
    for k, effect in enumerate(design.effects):
        function = design.level2.get(design.element((k, k)))
        pair = names.pair(effect, effect)
        if function is None:
            columns.append(np.full(len(design.group_labels), *_at(result, "tau", (pair,))))
            continue
        labels = tuple(names.kappa_label("tau", pair, term) for term in function.labels)
        columns.append(np.exp(function.matrix @ _at(result, "kappa", labels)))
    return np.stack(columns, axis=-1)


def _latent(result: Result, design: Design) -> np.ndarray | None:
    """Return what an association adds to the log variance of each group, (J,)."""
    if design.spec.association is None:
        return None
    qu = len(design.mean_effects)
    u = _effects(result, "estimate")[:, :qu]
    if design.spec.latent_scale == "standardised":
        u = u / np.sqrt(_scale_of_effects(result, design)[:, :qu])
    covariates = np.hstack([u, u**2])[:, : len(design.latent_terms)]
    added: np.ndarray = covariates @ _at(result, "lambda_", design.latent_terms)
    return added
