"""What a posterior says row by row: log-likelihoods, replicated outcomes, log priors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import names
from bridge.class_likelihood import draws_of, points_log_density, weights_log_density
from bridge.covariance_prior import covariance_log_density
from bridge.design import Design, RandomPart
from bridge.encode import Encoded
from bridge.priors import lkj_log_density
from bridge.scales import correlation_matrix

if TYPE_CHECKING:
    import xarray as xr

#: What a fit can add to its idata on request.
INCLUDES = ("log_likelihood", "marginal_log_likelihood", "posterior_predictive", "log_prior")

_LOG_2PI = float(np.log(2 * np.pi))


def predictors(
    design: Design,
    gamma: np.ndarray,
    delta: np.ndarray,
    effects: np.ndarray,
    latent: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the log variance of every row, given the group effects.

    Parameters
    ----------
    design : Design
        N rows, J groups.
    gamma, delta : (..., p) and (..., k) arrays
        Coefficients, canonical scale.
    effects : (..., J, q) array
        Group effects, u before v.
    latent : (..., J) array, optional
        What an association adds to the log variance of each group.

    Returns
    -------
    mean, log_variance : (..., N) arrays
    """
    qu = len(design.mean_effects)
    mean = gamma @ design.mean.matrix.T
    log_variance = delta @ design.variance.matrix.T
    for position in range(qu):
        own = np.take(effects[..., position], design.group, axis=-1)
        mean = mean + own * design.Z[:, position]
    for position in range(effects.shape[-1] - qu):
        own = np.take(effects[..., qu + position], design.group, axis=-1)
        log_variance = log_variance + own * design.A[:, position]
    if latent is not None:
        log_variance = log_variance + np.take(latent, design.group, axis=-1)
    return mean, log_variance


def row_loglik(design: Design, posterior: xr.Dataset) -> np.ndarray:
    """Return the log density of every row given the group effects, constants counted.

    Parameters
    ----------
    design : Design
        N rows.
    posterior : xarray.Dataset
        Draws on the canonical scales, C chains of D draws.

    Returns
    -------
    (C, D, N) array
    """
    return log_density(design, *_predictors_by_draw(design, posterior))


def _predictors_by_draw(design: Design, posterior: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the log variance of every row, the latent association in it."""
    gamma, delta = posterior["gamma"].values, posterior["delta"].values
    return predictors(design, gamma, delta, _effects(design, posterior), _latent(design, posterior))


def log_density(design: Design, mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    """Return the log density of every outcome from means and log variances (..., N)."""
    squares = (design.y - mean) ** 2 * np.exp(-log_variance)
    found: np.ndarray = -0.5 * (_LOG_2PI + log_variance + squares)
    return found


def part_of(design: Design, rows: slice | np.ndarray) -> Design:
    """Return a design of some of the rows and of all groups, without its columns."""

    def encoded(whole: Encoded) -> Encoded:
        return replace(whole, matrix=whole.matrix[rows])

    def random(parts: tuple[RandomPart, ...]) -> tuple[RandomPart, ...]:
        return tuple(replace(part, encoded=encoded(part.encoded)) for part in parts)

    return replace(
        design,
        y=design.y[rows],
        mean=encoded(design.mean),
        variance=encoded(design.variance),
        mean_random=random(design.mean_random),
        variance_random=random(design.variance_random),
        columns={},
        group=design.group[rows],
        index=design.index[rows],
    )


def make_groups(
    design: Design,
    posterior: xr.Dataset,
    include: Iterable[str],
    seed: int,
) -> dict[str, Any]:
    """Return the groups of idata that were asked for.

    Parameters
    ----------
    design : Design
        The model on its data.
    posterior : xarray.Dataset
        Draws on the canonical scales.
    include : iterable of str
        Of `INCLUDES`; ``marginal_log_likelihood`` is made by `bridge.marginal.by_draw`.
    seed : int
        For ``posterior_predictive``: the same seed gives the same outcomes.

    Returns
    -------
    dict of str to xarray.Dataset
        ``log_likelihood``: the outcome's log density of each row given the group effects;
        ``posterior_predictive``: a new outcome of each row for the same groups; ``log_prior``:
        the log prior density of gamma, delta, lambda_, kappa and the SDs by element, of the
        correlations, of nu, and of covariance matrices that have a prior as a whole (``tau``, by
        the first effect of each set), on the canonical scale; of latent
        classes that of pi and of the points of each effect.
    """
    import xarray as xr

    found: dict[str, Any] = {}
    rows = set(include) & {"log_likelihood", "posterior_predictive"}
    coords = {"chain": posterior["chain"].values, "draw": posterior["draw"].values}
    if rows:
        mean, log_variance = _predictors_by_draw(design, posterior)
        values = {}
        if "log_likelihood" in rows:
            values["log_likelihood"] = log_density(design, mean, log_variance)
        if "posterior_predictive" in rows:
            noise = np.random.default_rng(seed).standard_normal(mean.shape)
            values["posterior_predictive"] = mean + np.exp(0.5 * log_variance) * noise
        for name, array in values.items():
            data = {design.spec.outcome: (("chain", "draw", "obs"), array)}
            found[name] = xr.Dataset(data, {**coords, "obs": obs_labels(design)})
    if "log_prior" in include:
        found["log_prior"] = _log_prior(design, posterior, coords)
    return found


def _effects(design: Design, posterior: xr.Dataset) -> np.ndarray:
    parts = [posterior[name].values for name in ("u", "v") if name in posterior]
    shape = (*posterior["gamma"].shape[:2], len(design.group_labels), 0)
    return np.concatenate(parts, axis=-1) if parts else np.zeros(shape)


def _latent(design: Design, posterior: xr.Dataset) -> np.ndarray | None:
    """Return what the effects of u add to the log variance of each group (chain, draw, J)."""
    if design.spec.association is None:
        return None
    lam, u = posterior["lambda_"].values, posterior["u"].values
    if design.spec.latent_scale == "standardised":
        u = u / _sd_of_u(design, posterior)
    covariates = np.concatenate([u, u**2], axis=-1)[..., : lam.shape[-1]]
    return np.einsum("cdjl,cdl->cdj", covariates, lam)


def _sd_of_u(design: Design, posterior: xr.Dataset) -> np.ndarray:
    """Return the SD of every effect of the mean in every group (chain, draw, 1 or J, qu)."""
    columns = []
    for position, effect in enumerate(design.mean_effects):
        element = design.element((position, position))
        if element in design.level2:
            encoded = design.level2[element]
            pair = names.pair(effect, effect)
            labels = [names.kappa_label("tau", pair, term) for term in encoded.labels]
            kappa = posterior["kappa"].sel(kappa_term=labels).values
            columns.append(np.exp(0.5 * kappa @ encoded.matrix.T))
        else:
            tau = posterior["tau"].sel(tau_pair=names.pair(effect, effect)).values
            columns.append(np.sqrt(tau)[..., None])
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


def _log_prior(design: Design, posterior: xr.Dataset, coords: dict[str, Any]) -> xr.Dataset:
    import xarray as xr

    priors = design.priors
    points = design.spec.classes is not None
    sds = [
        (effect, prior)
        for effect, prior in zip(design.constant_effects, priors.sd, strict=True)
        if priors.of_block(design.block[design.effects.index(effect)]) is None
    ]
    diagonal = [] if points else [names.pair(e, e) for e, _ in sds]
    columns = {}
    labels: dict[str, list[str]] = {}
    for name in ("gamma", "delta", "lambda_", "kappa"):
        each = getattr(priors, name)
        if each or name in ("gamma", "delta"):
            dim = names.VARIABLES[name][0]
            columns[name] = (dim, posterior[name].values, each)
            labels[dim] = list(posterior[dim].values)
    if diagonal:
        sd = np.sqrt(posterior["tau"].sel(tau_pair=diagonal).values)
        columns["sd"] = ("effect", sd, [prior for _, prior in sds])
        labels["effect"] = [effect for effect, _ in sds]
    data: dict[str, Any] = {}
    for name, (dim, values, each) in columns.items():
        density = [prior.log_density(values[..., i]) for i, prior in enumerate(each)]
        data[name] = (("chain", "draw", dim), np.stack(density, axis=-1))
    whole = _log_covariance(design, posterior)
    if whole:
        data["tau"] = (("chain", "draw", "effect_set"), np.stack(list(whole.values()), axis=-1))
        labels["effect_set"] = list(whole)
    if points:
        data |= _class_priors(design, posterior)
        labels["effect"] = list(design.effects)
    elif any(priors.of_block(design.block[a]) is None for a, _ in design.constant_rho_pairs):
        data["rho"] = (("chain", "draw"), _log_lkj(design, posterior["rho"].values))
    if "nu" in posterior:
        nu = posterior["nu"].values
        # the prior is cut off at one, below which there is no mean
        above = np.log1p(-np.exp(priors.nu.log_cdf(1.0)))
        data["nu"] = (("chain", "draw"), priors.nu.log_density(nu) - above)
    return xr.Dataset(data, {**coords, **labels})


def _class_priors(design: Design, posterior: xr.Dataset) -> dict[str, Any]:
    """Return the log prior density of the weights of latent classes, and of each effect's points.

    The latter is a density of the steps between successive classes.
    """
    flat = draws_of(posterior)
    shape, first = posterior["pi"].shape[:2], names.ordering_effect(design.effects)
    each = [
        points_log_density(flat.points[..., a], prior, ordered=a == first).reshape(shape)
        for a, prior in enumerate(design.priors.sd)
    ]
    return {
        "pi": (("chain", "draw"), weights_log_density(flat.pi, design.priors.pi).reshape(shape)),
        "points": (("chain", "draw", "effect"), np.stack(each, axis=-1)),
    }


def _log_covariance(design: Design, posterior: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the log prior density (chain, draw) of the T of each block that has one.

    By the first effect of the block; a density of the lower triangle of T.
    """
    found = {}
    for number, (effects, prior) in enumerate(zip(design.blocks, design.priors.tau, strict=False)):
        if prior is None:
            continue
        own = [i for i, block in enumerate(design.block) if block == number]
        pairs = [[design.pair_label((min(a, b), max(a, b))) for b in own] for a in own]
        T = np.stack([posterior["tau"].sel(tau_pair=row).values for row in pairs], axis=-2)
        found[effects[0]] = covariance_log_density(prior.family, prior.parameters, T)
    return found


def _log_lkj(design: Design, rho: np.ndarray) -> np.ndarray:
    """Return the log prior density of the constant correlations.

    Of a block without level-2 functions of its correlations it is that of their matrix; in
    another each constant correlation has the marginal of LKJ. A block whose T has a prior as a
    whole is left out.
    """
    pairs, eta = design.constant_rho_pairs, design.priors.lkj
    whole = correlation_matrix(rho, pairs, len(design.effects))
    total = np.zeros(rho.shape[:-1])
    for number in dict.fromkeys(design.block):
        if design.priors.of_block(number) is not None:
            continue
        members = [i for i, block in enumerate(design.block) if block == number]
        own = [pair for pair in pairs if pair[0] in members]
        if len(own) == len(members) * (len(members) - 1) // 2:
            matrices = whole[..., members, :][..., :, members]
            total += lkj_log_density(matrices, eta) if own else 0.0
        else:
            shape = eta + 0.5 * (len(members) - 2)
            total += sum(_marginal_lkj(whole[..., a, b], shape) for a, b in own)
    return total


def _marginal_lkj(rho: np.ndarray, shape: float) -> np.ndarray:
    """Return the log density at rho where (1 + rho) / 2 is beta(shape, shape)."""
    from scipy.special import betaln

    return (shape - 1) * np.log((1 - rho**2) / 4) - betaln(shape, shape) - np.log(2)


def obs_labels(design: Design) -> Any:
    """Return the user's index as a coordinate a file can hold: whole numbers, or text."""
    import pandas as pd

    index = design.index
    if not isinstance(index, pd.MultiIndex) and pd.api.types.is_integer_dtype(index.dtype):
        return index.to_numpy(dtype=np.int64)
    return [", ".join(map(str, i)) if isinstance(i, tuple) else str(i) for i in index]
