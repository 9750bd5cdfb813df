"""Numbers that priors take from the data: a plausible covariance matrix of the group effects.

After Leckie, French, Charlton & Browne (2014). Section 3: the scale matrix of the inverse Wishart
is df times a plausible T whose variances have the right order of magnitude and whose covariances
are zero. Note 2: the coefficients of level-2 functions have priors centred at the estimates of the
model without them, suitably transformed, those of predictors at zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bridge import starting
from bridge.covariance_prior import triangle
from bridge.design import Design
from bridge.partial_correlations import atanh_partial
from bridge.priors import Prior, Priors, ResolvedPriors

#: So many digits are kept: the numbers are printed, and depend on no machine.
_DIGITS = 4


def settled(priors: ResolvedPriors, design: Design) -> ResolvedPriors:
    """Fill in what a model's priors leave to the data.

    Parameters
    ----------
    priors : ResolvedPriors
        The priors of the design.
    design : Design
        The model on its data.

    Returns
    -------
    ResolvedPriors
        Every number known.
    """
    T = plausible_covariance(design)
    tau = tuple(
        prior if prior is None or not prior.unsettled else _with_variances(prior, T, design, number)
        for number, prior in enumerate(priors.tau)
    )
    centre = iter(plausible_kappa(design, T))
    kappa = tuple(
        prior.around(value) if prior.around_estimate else prior
        for prior, value in zip(priors.kappa, centre, strict=True)
    )
    return replace(priors, tau=tau, kappa=kappa)


def plausible_covariance(design: Design) -> np.ndarray:
    """Return an estimate (q, q) of T in the model without level-2 functions and associations.

    By the two-step method where it can express the model, else by moments, without correlations
    (see `bridge.starting`); kept away from singular matrices. Effects u in outcome units, v on the
    log variance.
    """
    spec = design.spec.replace(
        level2=None, association=None, latent_scale="standardised", priors=Priors()
    )
    return starting.start(replace(design, spec=spec, level2={})).covariance


def plausible_kappa(design: Design, T: np.ndarray) -> list[float]:
    """Return for each coefficient of the level-2 functions its value where T is constant.

    Log variances and atanh correlations. A function with an intercept has all in it; of another
    least squares makes it of its columns.
    """
    found: list[float] = []
    for pair in design.tau_pairs:
        encoded = design.level2.get(design.element(pair))
        if encoded is None:
            continue
        level = np.full(len(encoded.matrix), _transformed(design, pair, T))
        solved = np.linalg.lstsq(encoded.matrix, level, rcond=None)[0]
        # of columns beside an intercept rounding leaves some 1e-16
        found += [_rounded(x) if abs(x) > 1e-9 * abs(level[0]) else 0.0 for x in solved]
    return found


def _transformed(design: Design, pair: tuple[int, int], T: np.ndarray) -> float:
    """Return what a level-2 function is of, at a constant T."""
    a, b = pair
    if a == b:
        return float(np.log(T[a, a]))
    given: list[int] = []
    if design.kind(pair) == "pcor":
        given = [c for c in range(a) if design.block[c] == design.block[a]]
    return atanh_partial(T, a, b, given)


def _with_variances(prior: Prior, T: np.ndarray, design: Design, number: int) -> Prior:
    """Return an inverse Wishart with the variances of a T, covariances of zero."""
    own = [i for i, block in enumerate(design.block) if block == number]
    variances = [_rounded(T[i, i]) for i in own]
    return Prior(prior.family, (prior.parameters[0], *triangle(np.diag(variances))))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
