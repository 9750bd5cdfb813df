"""The prior of one parameter on the scale on which the parameter is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bridge import names
from bridge.design import Design
from bridge.errors import NotAvailable, suggest
from bridge.priors import Prior

REAL, POSITIVE, CORRELATION, SHARE, ABOVE_ONE = "real", "positive", "correlation", "share", "above"
#: Range of a parameter -> its ends.
ENDS = {
    REAL: (-np.inf, np.inf),
    POSITIVE: (0.0, np.inf),
    CORRELATION: (-1.0, 1.0),
    SHARE: (0.0, 1.0),
    ABOVE_ONE: (1.0, np.inf),
}
Density = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class PriorCurve:
    """A prior to draw.

    Attributes
    ----------
    variable, label : str and (str or None)
        The element of the posterior it is the prior of.
    words : str
        The prior as it was set, and on what where that is not the parameter.
    density : callable or None
        Its density at an array of values of the parameter; None where it is flat.
    range : str
        A key of `ENDS`.
    """

    variable: str
    label: str | None
    words: str
    density: Density | None
    range: str


def prior_curve(design: Design, parameter: str) -> PriorCurve:
    """Return the prior of a parameter by its flat name.

    Raises
    ------
    NotAvailable
        Where there is no such parameter, or its prior is no density of one number.

    Notes
    -----
    The prior p of an SD makes p(sqrt(t)) / (2 sqrt(t)) of the variance t. With LKJ(eta) on K
    effects (rho + 1) / 2 is beta(eta + K/2 - 1, eta + K/2 - 1); with an inverse Wishart of n
    degrees of freedom and scale matrix S a variance is inverse-gamma((n - K + 1) / 2, S_kk / 2).
    """
    curves = {
        names.flat(curve.variable, curve.label): curve
        for curve in (*_coefficients(design), *_variances(design), *_others(design))
    }
    if parameter not in curves:
        raise NotAvailable(
            f"There is no prior density of '{parameter}' to draw.{suggest(parameter, curves)} "
            f"There are those of: {', '.join(curves)}."
        )
    return curves[parameter]


def _coefficients(design: Design) -> list[PriorCurve]:
    priors = design.priors
    kappa = [names.kappa_label(*term) for term in design.kappa_terms]
    found = []
    for variable, labels, own in (
        ("gamma", design.mean.labels, priors.gamma),
        ("delta", design.variance.labels, priors.delta),
        ("lambda_", design.latent_terms, priors.lambda_),
        ("kappa", kappa, priors.kappa),
    ):
        for label, prior in zip(labels, own, strict=True):
            found.append(PriorCurve(variable, label, str(prior), _plain(prior), REAL))
    return found


def _variances(design: Design) -> list[PriorCurve]:
    """Return the priors of the constant variances and correlations at level 2."""
    if design.spec.classes is not None:
        return []  # they are what the points imply
    priors, found = design.priors, []
    sd = dict(zip(design.constant_effects, priors.sd, strict=True))
    for a, b in design.constant_tau_pairs:
        if a != b:
            continue
        whole, label = priors.of_block(design.block[a]), design.pair_label((a, a))
        if whole is None:
            prior = sd[design.effects[a]]
            words, density = f"{prior} on the SD", _of_variance(prior)
        else:
            words, density = f"{whole.family} on the matrix", _of_matrix(whole, design, a)
        found.append(PriorCurve("tau", label, words, density, POSITIVE))
    for a, b in design.constant_rho_pairs:
        if priors.of_block(design.block[a]) is None:
            shape = priors.lkj + design.block.count(design.block[a]) / 2 - 1
            law = stats.beta(shape, shape, loc=-1.0, scale=2.0)
            words = f"lkj({priors.lkj:g})"
            label = design.pair_label((a, b))
            found.append(PriorCurve("rho", label, words, law.pdf, CORRELATION))
    return found


def _others(design: Design) -> list[PriorCurve]:
    priors, found = design.priors, []
    if design.spec.random_effects == "student_t":
        # cut off at one, below which there is no mean
        above = 1.0 - np.exp(priors.nu.log_cdf(1.0))
        density = _scaled(priors.nu, above)
        found.append(PriorCurve("nu", None, str(priors.nu), density, ABOVE_ONE))
    if design.spec.classes is not None:
        each, K = priors.pi.parameters[0], design.spec.classes
        for label in names.class_labels(K):
            law = stats.beta(each, each * (K - 1))
            found.append(PriorCurve("pi", label, str(priors.pi), law.pdf, SHARE))
    return found


def _plain(prior: Prior) -> Density | None:
    return None if prior.family == "flat" else _scaled(prior, 1.0)


def _scaled(prior: Prior, mass: float) -> Density:
    return lambda x: np.exp(prior.log_density(x)) / mass


def _of_variance(prior: Prior) -> Density | None:
    if prior.family == "flat":
        return None
    return lambda t: np.exp(prior.log_density(np.sqrt(t))) / (2 * np.sqrt(t))


def _of_matrix(prior: Prior, design: Design, effect: int) -> Density | None:
    """Return the density of a variance whose whole covariance matrix has the prior."""
    if prior.family == "flat":
        return None
    members = [i for i, block in enumerate(design.block) if block == design.block[effect]]
    k, K = members.index(effect), len(members)
    n, plausible = prior.parameters[0], prior.parameters[1 + k * (k + 3) // 2]
    law = stats.invgamma((n - K + 1) / 2, scale=n * plausible / 2)
    density: Density = law.pdf
    return density
