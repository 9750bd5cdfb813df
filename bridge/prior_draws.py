"""Parameters drawn from the priors of a model, on the canonical scales, by the engines' densities.

A model whose correlations have level-2 functions has the priors of its coefficients cut off where a
group has no covariance matrix; draws there are drawn again, with all that makes the matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge import names
from bridge.class_likelihood import covariances
from bridge.covariance_prior import matrix_of
from bridge.design import Design
from bridge.drawing import level2_matrices
from bridge.errors import EngineFailed, PriorError
from bridge.partial_correlations import partial_factor
from bridge.priors import Prior, Priors
from bridge.truth import named_points, parameters_of

#: So many draws in a row without a covariance matrix: there is hardly any.
_ATTEMPTS = 10_000
#: What to write in the place of a prior that cannot be drawn from, by kind of parameter.
_INSTEAD = {
    "gamma": "normal(0, 10)",
    "delta": "normal(0, 2)",
    "lambda_": "normal(0, 1)",
    "kappa": "normal(0, 1)",
    "sd_u": "half_t(3, 0, 5)",
    "sd_v": "half_t(3, 0, 1)",
    "tau": "inverse_wishart(df, t11, t21, t22, …)",
}


def check_drawable(design: Design, given: Priors) -> None:
    """Make sure that every prior of a model is a distribution, the same whatever the outcome.

    Parameters
    ----------
    design : Design
        The model; of its outcome and its priors nothing is read.
    given : Priors
        The priors that the user set.

    Raises
    ------
    PriorError
        One sentence that names each parameter whose prior is flat or takes numbers from the data,
        and says what to write.
    """
    said: dict[str, str] = {}
    for variable, labels in (
        ("gamma", design.mean.labels),
        ("delta", design.variance.labels),
        ("lambda_", design.latent_terms),
        ("kappa", tuple(names.kappa_label(*term) for term in design.kappa_terms)),
    ):
        for label in labels:
            flat = names.flat(variable, label)
            prior = given.prior(flat) or given.prior(variable)
            if prior is None or prior.family == "flat":
                said[flat] = variable
            elif prior.unsettled:
                said[f"{flat} (centred at an estimate from the data)"] = variable
    said |= _spread(design, given)
    if said:
        kinds = dict.fromkeys(said.values())
        instead = ", ".join(f'{kind}="{_INSTEAD[kind]}"' for kind in kinds)
        raise PriorError(
            f"Parameters can be drawn from proper priors that do not depend on the data alone, and "
            f"these have flat ones or ones that do: {', '.join(said)}; write, for example, "
            f"priors=bridge.Priors({instead})."
        )


def _spread(design: Design, given: Priors) -> dict[str, str]:
    """Return the SDs and matrices of level 2 whose priors cannot be drawn from."""
    said: dict[str, str] = {}
    blocks = design.blocks
    whole = {}
    for number, block in enumerate(blocks):
        prior = given.prior(names.flat("tau", block[0])) or given.prior("tau")
        if prior is not None and design.spec.classes is None:
            whole[number] = prior
            if prior.family == "flat" or len(prior.parameters) < 2:
                said[f"tau of {', '.join(block)}"] = "tau"
    for effect in design.constant_effects:
        if design.block[design.effects.index(effect)] in whole:
            continue
        letter, _, term = effect.partition(":")
        kind = f"sd_{letter}"
        prior = given.prior(names.flat(kind, term)) or given.prior(kind)
        if prior is not None and prior.family == "flat":
            said[f"the SD of {effect}"] = kind
        elif prior is None and letter == "u":
            said[f"the SD of {effect} (2.5 MAD of the outcome)"] = kind
    return said


def draw_parameters(design: Design, rng: np.random.Generator) -> dict[str, float]:
    """Draw every parameter of a model from its prior.

    Parameters
    ----------
    design : Design
        The model; `check_drawable` has passed.
    rng : numpy.random.Generator
        The same state gives the same draw.

    Returns
    -------
    dict of str to float
        By flat name, canonical scales, in the order of a fit's estimates; covariances, and of
        latent classes what the points imply, among them.

    Raises
    ------
    EngineFailed
        Where the priors of level-2 functions hardly ever give covariance matrices.
    """
    priors = design.priors
    values = _coefficients("gamma", design.mean.labels, priors.gamma, rng)
    values |= _coefficients("delta", design.variance.labels, priors.delta, rng)
    values |= _coefficients("lambda_", design.latent_terms, priors.lambda_, rng)
    if design.spec.random_effects == "student_t":
        values["nu"] = _above_one(priors.nu, rng)
    level2 = _classes(design, rng) if design.spec.classes is not None else _matrices(design, rng)
    values |= level2
    return {name: values[name] for name in parameters_of(design)}


def number_of(prior: Prior, rng: np.random.Generator) -> float:
    """Draw one number from a prior of single numbers; a half distribution above zero."""
    p, family = prior.parameters, prior.family
    if family in ("normal", "half_normal"):
        found = p[0] + p[1] * rng.standard_normal()
    elif family in ("student_t", "half_t"):
        found = p[1] + p[2] * rng.standard_t(p[0])
    elif family == "exponential":
        found = rng.exponential(1 / p[0])
    else:
        raise ValueError(f"{family} is no law of single numbers to draw from")
    return float(abs(found) if family.startswith("half") else found)


def _coefficients(
    variable: str, labels: Sequence[str], priors: Sequence[Prior], rng: np.random.Generator
) -> dict[str, float]:
    return {
        names.flat(variable, label): number_of(prior, rng)
        for label, prior in zip(labels, priors, strict=True)
    }


def _above_one(prior: Prior, rng: np.random.Generator) -> float:
    """Draw degrees of freedom: gamma(shape, rate) cut off below one."""
    from scipy import stats

    law = stats.gamma(prior.parameters[0], scale=1 / prior.parameters[1])
    return float(law.isf(rng.random() * law.sf(1.0)))


# --- level 2 ----------------------------------------------------------------------------------
def _matrices(design: Design, rng: np.random.Generator) -> dict[str, float]:
    """Draw SDs, correlations and coefficients of level-2 functions, until they make matrices."""
    kappa = [names.kappa_label(*term) for term in design.kappa_terms]
    for _ in range(_ATTEMPTS):
        values = _coefficients("kappa", kappa, design.priors.kappa, rng)
        values |= _constant(design, rng)
        if not design.level2 or _are_matrices(design, values):
            return values
    raise EngineFailed(
        f"In {_ATTEMPTS} draws the priors of the level-2 functions gave no covariance matrix for "
        "every group; make those of kappa tighter, or use partial correlations (pcor)."
    )


def _are_matrices(design: Design, values: Mapping[str, float]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        T = level2_matrices(design, values)
        sd = np.sqrt(np.diagonal(T, axis1=1, axis2=2))
        scaled = T / (sd[:, :, None] * sd[:, None, :])
    return bool(np.isfinite(scaled).all() and np.linalg.eigvalsh(scaled)[:, 0].min() > 0)


def _constant(design: Design, rng: np.random.Generator) -> dict[str, float]:
    """Draw what is the same in all groups: SDs and correlations, or whole matrices of blocks."""
    q, priors = len(design.effects), design.priors
    sd, R = np.full(q, np.nan), np.eye(q)
    for effect, prior in zip(design.constant_effects, priors.sd, strict=True):
        place = design.effects.index(effect)
        if priors.of_block(design.block[place]) is None:
            sd[place] = number_of(prior, rng)
    for number in dict.fromkeys(design.block):
        own = [i for i, block in enumerate(design.block) if block == number]
        whole = priors.of_block(number)
        if whole is not None:
            T = _inverse_wishart(whole, rng)
            sd[own] = np.sqrt(np.diag(T))
            R[np.ix_(own, own)] = T / np.outer(sd[own], sd[own])
        else:
            R[np.ix_(own, own)] = _correlations(design, own, rng)
    values = {}
    for a, b in design.constant_tau_pairs:
        values[names.flat("tau", design.pair_label((a, b)))] = float(sd[a] * sd[b] * R[a, b])
    for a, b in design.constant_rho_pairs:
        values[names.flat("rho", design.pair_label((a, b)))] = float(R[a, b])
    return values


def _correlations(design: Design, own: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw the constant correlations of a block: LKJ, or its marginal where some vary.

    Canonical partial correlations of LKJ(eta) are independent; that of effects a and b of K given
    the a (from 0) before them has (1 + r) / 2 ~ beta with both parameters eta + (K - 2 - a) / 2
    (Lewandowski, Kurowicka & Joe 2009).
    """
    K, eta = len(own), design.priors.lkj
    pairs = [(a, b) for b in range(K) for a in range(b)]
    constant = [pair for pair in pairs if (own[pair[0]], own[pair[1]]) in design.constant_rho_pairs]
    if len(constant) == len(pairs):
        atanh = np.zeros((K, K))
        for a, b in pairs:
            shape = eta + (K - 2 - a) / 2
            atanh[b, a] = np.arctanh(2 * rng.beta(shape, shape) - 1)
        factor = partial_factor(atanh)
        return np.asarray(factor @ factor.T)
    R = np.eye(K)
    shape = eta + (K - 2) / 2
    for a, b in constant:
        R[a, b] = R[b, a] = 2 * rng.beta(shape, shape) - 1
    return R


def _inverse_wishart(prior: Prior, rng: np.random.Generator) -> np.ndarray:
    """Draw a covariance matrix: the inverse of a Wishart with the inverse scale matrix."""
    df, plausible = prior.parameters[0], matrix_of(prior.parameters[1:])
    assert plausible is not None
    K = len(plausible)
    # Bartlett: W = L A A' L', so that T = W^-1 = B B' with B = (L A)'^-1
    A = np.tril(rng.standard_normal((K, K)), -1)
    A[np.diag_indices(K)] = np.sqrt(rng.chisquare(df - np.arange(K)))
    L = np.linalg.cholesky(np.linalg.inv(df * plausible))
    B = np.linalg.inv(L @ A).T
    return np.asarray(B @ B.T)


def _classes(design: Design, rng: np.random.Generator) -> dict[str, float]:
    """Draw weights and mass points; see `bridge.Priors` for the law of the points."""
    K, priors = design.spec.classes or 0, design.priors
    weights = rng.dirichlet(np.full(K, priors.pi.parameters[0]))
    points = np.stack([_points(prior, K, rng) for prior in priors.sd], axis=1)
    # one order of K! is the model's; that of the weights does not matter
    first = names.ordering_effect(design.effects)
    points[:, first] = np.sort(points[:, first])
    points = points - weights @ points
    T = covariances(weights, points)
    sd = np.sqrt(np.diag(T))
    labels = names.class_labels(K)
    values: dict[str, Any] = {names.flat("pi", c): w for c, w in zip(labels, weights, strict=True)}
    values |= named_points(design, points)
    for a, b in design.tau_pairs:
        values[names.flat("tau", design.pair_label((a, b)))] = T[a, b]
    for a, b in design.rho_pairs:
        values[names.flat("rho", design.pair_label((a, b)))] = T[a, b] / (sd[a] * sd[b])
    return {name: float(value) for name, value in values.items()}


def _points(prior: Prior, K: int, rng: np.random.Generator) -> np.ndarray:
    """Draw K points about their mean: spherical, at a distance whose law the prior gives."""
    away = rng.standard_normal(K)
    away = away - away.mean()
    p = prior.parameters
    if prior.family == "half_normal":
        return np.asarray(p[1] * away)
    if prior.family == "half_t":
        return np.asarray(p[2] * away * np.sqrt(p[0] / rng.chisquare(p[0])))
    # density exp(-rate r) in K - 1 dimensions: r is gamma(K - 1, rate)
    return np.asarray(away / np.linalg.norm(away) * rng.gamma(K - 1, 1 / p[0]))
