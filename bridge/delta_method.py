"""Numbers with errors: of draws by summary, of estimates by the delta method with complex steps.

A function of the parameters that is analytic is called once for all derivatives: set number p has
parameter p moved by an imaginary step, the last set are the estimates themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from bridge.engines.harmonise import Z95
from bridge.parameter_sets import Parameters, parameters
from bridge.result import Result

#: The size of a complex step: derivatives are exact but for rounding.
STEP = 1e-30
#: How intervals without draws are made: on the scale where they cannot leave the range. A link, its
#: inverse and its slope.
_LINKS: dict[str, tuple[Callable[..., np.ndarray], ...]] = {
    "real": (lambda x: x, lambda x: x, np.ones_like),
    "positive": (np.log, np.exp, lambda x: 1 / x),
    "unit": (special.logit, special.expit, lambda x: 1 / (x * (1 - x))),
}


def summary(values: np.ndarray) -> np.ndarray:
    """Return mean, SD and the 2.5% and 97.5% quantiles of draws (S, m), as (4, m)."""
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return np.stack([values.mean(axis=0), spread, *np.quantile(values, [0.025, 0.975], axis=0)])


def moved_parameters(result: Result, more: int = 0) -> tuple[Parameters, np.ndarray]:
    """Return estimates moved by complex steps, and the covariance of the estimates.

    Parameters
    ----------
    result : Result
        Of an engine without draws; P parameters.
    more : int
        How many further sets, for steps of group effects.

    Returns
    -------
    sets : Parameters
        P sets with one parameter moved each, ``more`` sets of the estimates, and these once more.
    covariance : (P, P) array
        NaN on the diagonal of what has none.
    """
    labels = [str(label) for label in result.estimates["parameter"]]
    estimate = result.estimates["estimate"].to_numpy(dtype=float, na_value=0.0)
    size = len(labels)
    moved = np.tile(estimate.astype(complex), (size + more + 1, 1))
    moved[range(size), range(size)] += 1j * STEP
    sets = parameters(result, dict(zip(labels, moved.T, strict=True)))
    covariance = np.diag(np.full(size, np.nan))
    known = result.parameter_covariance
    if known is not None and len(known):
        places = [labels.index(str(label)) for label in known.index]
        covariance[np.ix_(places, places)] = known.to_numpy(dtype=float)
    return sets, covariance


def moved_effects(effects: np.ndarray, parameters: int) -> np.ndarray:
    """Return group effects (n, q) for the sets of `moved_parameters`, (P + q + 1, n, q)."""
    q = effects.shape[-1]
    found = np.broadcast_to(effects, (parameters + q + 1, *effects.shape)).astype(complex)
    found[range(parameters, parameters + q), :, range(q)] += 1j * STEP
    return found


def with_variance(
    values: np.ndarray, covariance: np.ndarray, spread: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a quantity and its variance from its values at moved sets.

    Parameters
    ----------
    values : (P + q + 1, m) complex array
        As the sets of `moved_parameters`.
    covariance : (P, P) array
        Of the estimates.
    spread : (m, q, q) array, optional
        Covariances of the effects that each of the m numbers reads, given the data; what effects
        and parameters have in common is left out.

    Returns
    -------
    estimate, variance : (m,) arrays
        g'Vg + c'C c, with the slopes g in the parameters and c in the effects; NaN where something
        that counts has no covariance.
    """
    size = len(covariance)
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are infinite
        slopes = values[:-1].imag / STEP
        variance = _quadratic(slopes[:size], covariance)
        if spread is not None:
            variance = variance + _of_effects(slopes[size:], spread)
    return values[-1].real, variance


def with_interval(estimate: np.ndarray, variance: np.ndarray, bound: str) -> np.ndarray:
    """Return estimate, SE and a 95% interval, (4, m), symmetric on the scale of its range.

    Parameters
    ----------
    estimate, variance : (m,) arrays
        Of the quantity.
    bound : {"real", "positive", "unit"}
        Its range; at an edge of it there is no interval, unless nothing is unknown.
    """
    se = np.sqrt(variance)
    link, back, slope = _LINKS[bound]
    inside = np.isfinite(estimate)
    if bound != "real":
        inside &= (estimate > 0) & ((estimate < 1) | (bound == "positive"))
    at = np.where(inside, estimate, 0.5)
    with np.errstate(over="ignore", invalid="ignore"):
        ends = [back(link(at) + sign * Z95 * se * slope(at)) for sign in (-1, 1)]
    fixed = np.where(se == 0, estimate, np.nan)
    return np.stack([estimate, se, *(np.where(inside, end, fixed) for end in ends)])


def _quadratic(slopes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the variance (n,) of what has these slopes (P, n) in the estimates.

    NaN where a slope is not zero in an estimate without a covariance.
    """
    unknown = np.isnan(np.diag(covariance))
    inside = np.where(unknown[:, None] | unknown[None], 0.0, covariance)
    variance = np.einsum("pn,pq,qn->n", slopes, inside, slopes, optimize=True)
    counts = (slopes[unknown] != 0).any(axis=0)
    return np.where(counts, np.nan, np.maximum(variance, 0.0))


def _of_effects(slopes: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return the variance (n,) of what has these slopes (q, n) in effects with covariances.

    A covariance that is not known counts for nothing where a slope is zero.
    """
    products = slopes[:, None] * slopes[None]
    terms = np.where(products == 0, 0.0, products * np.moveaxis(spread, 0, -1))
    variance: np.ndarray = terms.sum(axis=(0, 1))
    return variance
