"""What a posterior says row by row: log-likelihoods, replicated outcomes, log priors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import names
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
    design: Design, gamma: np.ndarray, delta: np.ndarray, effects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the log variance of every row, given the group effects.

    Without what a latent association adds.

    Parameters
    ----------
    design : Design
        N rows, J groups.
    gamma, delta : (..., p) and (..., k) arrays
        Coefficients, canonical scale.
    effects : (..., J, q) array
        Group effects, u before v.

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
    return _density(design, *_predictors_by_draw(design, posterior))


def _predictors_by_draw(design: Design, posterior: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the log variance of every row, the latent association in it."""
    gamma, delta = posterior["gamma"].values, posterior["delta"].values
    mean, log_variance = predictors(design, gamma, delta, _effects(design, posterior))
    if design.spec.association is not None:
        shift = _association(design, posterior)
        log_variance = log_variance + np.take(shift, design.group, axis=-1)
    return mean, log_variance


def _association(design: Design, posterior: xr.Dataset) -> np.ndarray:
    """Return what the mean effects of each group add to its log variance, (C, D, J)."""
    u, lam = posterior["u"].values, posterior["lambda_"].values[..., None, :]
    if design.spec.latent_scale == "standardised":
        u = u / _sd_of_u(design, posterior)
    terms = np.concatenate([u, u**2], axis=-1)[..., : lam.shape[-1]]
    shift: np.ndarray = (terms * lam).sum(axis=-1)
    return shift


def _sd_of_u(design: Design, posterior: xr.Dataset) -> np.ndarray:
    """Return the SDs of the mean effects, (C, D, J or 1, number of them)."""
    found = []
    for position in range(len(design.mean_effects)):
        label = design.pair_label((position, position))
        function = design.level2.get(design.element((position, position)))
        if function is None:
            variance = posterior["tau"].sel(tau_pair=[label]).values
        else:
            labels = [names.kappa_label("tau", label, term) for term in function.labels]
            kappa = posterior["kappa"].sel(kappa_term=labels).values
            variance = np.exp(kappa @ function.matrix.T)
        found.append(np.sqrt(variance))
    shape = np.broadcast_shapes(*(sd.shape for sd in found))
    return np.stack([np.broadcast_to(sd, shape) for sd in found], axis=-1)


def _density(design: Design, mean: np.ndarray, log_variance: np.ndarray) -> np.ndarray:
    squares = (design.y - mean) ** 2 * np.exp(-log_variance)
    found: np.ndarray = -0.5 * (_LOG_2PI + log_variance + squares)
    return found


def part_of(design: Design, rows: slice) -> Design:
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
        the log prior density of gamma, delta and the SDs by element, of the correlations and
        of nu, on the canonical scale.
    """
    import xarray as xr

    found: dict[str, Any] = {}
    rows = set(include) & {"log_likelihood", "posterior_predictive"}
    coords = {"chain": posterior["chain"].values, "draw": posterior["draw"].values}
    if rows:
        mean, log_variance = _predictors_by_draw(design, posterior)
        values = {}
        if "log_likelihood" in rows:
            values["log_likelihood"] = _density(design, mean, log_variance)
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


def _log_prior(design: Design, posterior: xr.Dataset, coords: dict[str, Any]) -> xr.Dataset:
    import xarray as xr

    priors = design.priors
    diagonal = [names.pair(e, e) for e in design.effects]
    columns = {
        "gamma": ("mean_term", posterior["gamma"].values, priors.gamma),
        "delta": ("variance_term", posterior["delta"].values, priors.delta),
    }
    labels = {"mean_term": list(design.mean.labels), "variance_term": list(design.variance.labels)}
    if diagonal:
        sd = np.sqrt(posterior["tau"].sel(tau_pair=diagonal).values)
        columns["sd"] = ("effect", sd, priors.sd)
        labels["effect"] = list(design.effects)
    data: dict[str, Any] = {}
    for name, (dim, values, each) in columns.items():
        density = [prior.log_density(values[..., i]) for i, prior in enumerate(each)]
        data[name] = (("chain", "draw", dim), np.stack(density, axis=-1))
    if design.rho_pairs:
        data["rho"] = (("chain", "draw"), _log_lkj(design, posterior["rho"].values))
    if "nu" in posterior:
        nu = posterior["nu"].values
        # the prior is cut off at one, below which there is no mean
        above = np.log1p(-np.exp(priors.nu.log_cdf(1.0)))
        data["nu"] = (("chain", "draw"), priors.nu.log_density(nu) - above)
    return xr.Dataset(data, {**coords, **labels})


def _log_lkj(design: Design, rho: np.ndarray) -> np.ndarray:
    """Return the log density of all correlation matrices of a model, one for each block."""
    whole = correlation_matrix(rho, design.rho_pairs, len(design.effects))
    total = np.zeros(rho.shape[:-1])
    for number in dict.fromkeys(design.block):
        members = [i for i, block in enumerate(design.block) if block == number]
        if len(members) > 1:
            matrices = whole[..., members, :][..., :, members]
            total += lkj_log_density(matrices, design.priors.lkj)
    return total


def obs_labels(design: Design) -> Any:
    """Return the user's index as a coordinate a file can hold: whole numbers, or text."""
    import pandas as pd

    index = design.index
    if not isinstance(index, pd.MultiIndex) and pd.api.types.is_integer_dtype(index.dtype):
        return index.to_numpy(dtype=np.int64)
    return [", ".join(map(str, i)) if isinstance(i, tuple) else str(i) for i in index]
