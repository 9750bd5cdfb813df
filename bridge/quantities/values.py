"""What quantities are computed from: parameters and group effects, draw by draw or estimated.

Every quantity is a function of `Values`, arrays whose first axis are sets of parameters. Of a
posterior these are its draws; of other fits the estimates, moved by complex steps, so that one call
of the function gives the quantity and its slopes for the delta method (`bridge.delta_method`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bridge.delta_method import (
    moved_effects,
    moved_parameters,
    summary,
    with_interval,
    with_variance,
)
from bridge.engines.harmonise import nullable
from bridge.errors import NotAvailable
from bridge.parameter_sets import (
    Parameters,
    at_estimates,
    draws_of,
    effects_of_draws,
    estimated_effects,
    repeated,
    roots,
)
from bridge.result import Result

#: Of the column ``method``: where the numbers come from.
POSTERIOR, DELTA = "posterior", "delta method"


@dataclass(frozen=True, eq=False)
class Values:
    """S sets of parameters, and group effects where the quantity reads them.

    Attributes
    ----------
    sets : Parameters
        Canonical scales.
    effects : (S, J, q) array or None
        Group effects, u before v; None stands for effects of zero.
    """

    sets: Parameters
    effects: np.ndarray | None = None

    @property
    def gamma(self) -> np.ndarray:
        """Coefficients of the mean, (S, p)."""
        return self.sets.gamma

    @property
    def delta(self) -> np.ndarray:
        """Coefficients of the log variance, (S, k)."""
        return self.sets.delta


Function = Callable[[Values], np.ndarray]


def is_posterior(result: Result) -> bool:
    """Tell whether a result has draws."""
    return result.method == "posterior"


def refuse_other_effects(result: Result, what: str) -> None:
    """Refuse what holds for normal effects alone.

    Raises
    ------
    NotAvailable
        Where effects are Student-t or latent classes, or u enters the log variance.
    """
    spec = result.spec
    if spec.random_effects != "normal":
        law = "Student-t effects" if spec.random_effects == "student_t" else "latent classes"
        raise NotAvailable(f"{what} is for normal group effects; this model has {law}.")
    if spec.association is not None:
        raise NotAvailable(
            f"{what} is for models in which the effects of the mean stay out of the log variance; "
            f"this one has association='{spec.association}'."
        )


def values_of(result: Result, effects: bool) -> Values:
    """Return the draws of a posterior, chain by chain, with the group effects or without."""
    return Values(draws_of(result), effects_of_draws(result) if effects else None)


def sets_at_hand(result: Result) -> Parameters:
    """Return the draws of a posterior, of other fits the estimates."""
    return draws_of(result) if is_posterior(result) else at_estimates(result)


def effect_draws(result: Result, draws: int, seed: int) -> Values:
    """Return normal draws of the group effects given the data, the parameters at their estimates.

    Parameters
    ----------
    result : Result
        Of an engine without draws.
    draws : int
        How many.
    seed : int
        The same seed gives the same draws.

    Notes
    -----
    A covariance of two effects that the engine does not give is taken as zero, which counts for
    nothing in a quantity that reads one effect.
    """
    estimate, spread = estimated_effects(result)
    z = np.random.default_rng(seed).standard_normal((draws, *estimate.shape))
    away = z.swapaxes(0, 1) @ roots(np.nan_to_num(spread)).swapaxes(1, 2)  # (J, draws, q)
    return Values(repeated(at_estimates(result), draws), estimate + away.swapaxes(0, 1))


# --- a quantity with its interval ---------------------------------------------------------------
def estimated(
    result: Result, function: Function, bound: str = "real", by_group: bool = False
) -> pd.DataFrame:
    """Return a quantity with its standard error and 95% interval.

    Parameters
    ----------
    result : Result
        Any fit.
    function : callable
        Of `Values` of S sets; returns (S, m), set by set. It must not mix sets, and be analytic.
    bound : {"real", "positive", "unit"}
        The range of the quantity.
    by_group : bool
        Whether it reads the group effects, number j those of group j alone; m is then J.

    Returns
    -------
    pandas.DataFrame
        m rows: estimate, se, lower, upper, method. Of a posterior the mean, SD and the 2.5% and
        97.5% quantiles over draws. Of other fits the value at the estimates, the standard error
        sqrt(g'Vg + g_j'C_j g_j) by the delta method, V the covariance of the parameters and C_j
        that of the effects of the group given the data (what the two have in common is left out),
        and an interval that is symmetric on the log or logit scale of a bounded quantity. ``<NA>``
        where the engine gives no covariance that is needed, and where a number is infinite.
    """
    if is_posterior(result):
        return of_draws(function(values_of(result, by_group)))
    estimate, spread = estimated_effects(result) if by_group else (None, None)
    q = 0 if estimate is None else estimate.shape[-1]
    sets, covariance = moved_parameters(result, q)
    effects = None if estimate is None else moved_effects(estimate, len(covariance))
    value, variance = with_variance(function(Values(sets, effects)), covariance, spread)
    found = with_interval(value, variance, bound)
    # at the edge of its range a quantity has no interval of this kind
    edge = ~np.isfinite(value)
    if bound != "real":
        edge |= (value <= 0) | ((value >= 1) & (bound == "unit"))
    found[1:, edge] = np.nan
    found[0, ~np.isfinite(value)] = np.nan
    return _frame(found, DELTA)


def of_draws(x: np.ndarray) -> pd.DataFrame:
    """Return mean, SD and 95% interval of draws (S, m)."""
    known = np.isfinite(x).all(axis=0)
    found = np.where(known, summary(np.where(known, x, 0.0)), np.nan)
    return _frame(found, POSTERIOR)


def _frame(numbers: np.ndarray, method: str) -> pd.DataFrame:
    names = ("estimate", "se", "lower", "upper")
    found = pd.DataFrame({k: nullable(v) for k, v in zip(names, numbers, strict=True)})
    found["method"] = method
    return found
