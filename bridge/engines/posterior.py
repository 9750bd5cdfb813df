"""Results of samplers: draws on the canonical scales, transformed one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, names, scales
from bridge.design import Design
from bridge.engines.base import Plan, RawFit
from bridge.engines.harmonise import (
    data_groups,
    group_effects,
    make_result,
    nullable,
    parameter_table,
)
from bridge.errors import HarmoniseError
from bridge.marginal.by_draw import with_marginal
from bridge.pointwise import make_groups
from bridge.result import Result


@dataclass(frozen=True)
class Draws:
    """Draws on the canonical scales. C chains, D draws, J groups, q effects (u before v).

    Attributes
    ----------
    gamma, delta : (C, D, p) and (C, D, k) arrays
        Coefficients of the mean and of the log variance.
    sd : (C, D, number of constant SDs) array
        SDs in the order of `Design.constant_effects`, which are all effects where the model has
        no level-2 functions; v on the log variance. Of Student-t effects those of the scale.
    rho : (C, D, number of pairs) array
        Correlations in the order of `Design.constant_rho_pairs`.
    effects : (C, D, J, q) array
        Group effects.
    sample_stats : dict of (C, D) arrays
        In ArviZ's names.
    nu : (C, D) array, optional
        Degrees of freedom of Student-t effects.
    lambda_ : (C, D, number of terms) array, optional
        Effects of u in the variance function, in the order of `Design.latent_terms`.
    kappa : (C, D, number of terms) array, optional
        Coefficients of level-2 functions, in the order of `Design.kappa_terms`.
    """

    gamma: np.ndarray
    delta: np.ndarray
    sd: np.ndarray
    rho: np.ndarray
    effects: np.ndarray
    sample_stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    nu: np.ndarray | None = None
    lambda_: np.ndarray | None = None
    kappa: np.ndarray | None = None

    def several(self, name: str) -> np.ndarray:
        """Return ``lambda_`` or ``kappa``, without an element where the model has none."""
        found = getattr(self, name)
        return np.zeros((*self.gamma.shape[:2], 0)) if found is None else np.asarray(found)


def posterior_result(plan: Plan, raw: RawFit, draws: Draws) -> Result:
    """Return the result of a sampler: draws transformed one by one, never summaries."""
    design = plan.design
    tau = _constant_tau(design, draws)
    lambda_, kappa = draws.several("lambda_"), draws.several("kappa")
    stacked = np.concatenate([draws.gamma, draws.delta, lambda_, tau, draws.rho, kappa], axis=-1)
    table = parameter_table(design)
    if draws.nu is not None:
        stacked = np.concatenate([stacked, draws.nu[..., None]], axis=-1)
        table = [*table, ("nu", "level2", scales.NU)]
    if stacked.shape[-1] != len(table):
        raise HarmoniseError(
            f"{plan.engine} gave {stacked.shape[-1]} parameters for the {len(table)} of the spec."
        )
    posterior = _posterior(design, draws, tau)
    groups = {"posterior": posterior, "sample_stats": _stats(draws)}
    groups |= make_groups(design, posterior, plan.options["include"], plan.options["seed"])
    if "marginal_log_likelihood" in plan.options["include"]:
        groups["log_likelihood"] = with_marginal(groups.get("log_likelihood"), design, posterior)
    estimates = posterior_estimates(stacked, table)
    return make_result(
        plan,
        raw,
        "posterior",
        estimates,
        _effect_summary(design, draws.effects),
        {**groups, **data_groups(design)},
        tuple(raw.warnings) + tuple(sampler_warnings(draws.sample_stats, estimates, plan.options)),
    )


def _constant_tau(design: Design, draws: Draws) -> np.ndarray:
    """Return the variances and covariances that are the same in all groups (C, D, pairs)."""
    pairs, size = design.constant_rho_pairs, len(design.effects)
    matrices = scales.correlation_matrix(draws.rho, pairs, size)
    sd = np.full((*draws.gamma.shape[:2], size), np.nan)  # where it varies, it is not read
    sd[..., [design.effects.index(effect) for effect in design.constant_effects]] = draws.sd
    return scales.covariance_draws(sd, matrices, design.constant_tau_pairs)


def posterior_estimates(stacked: np.ndarray, table: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """Return the tidy estimates of draws (chain, draw, parameter): mean, SD, 95% equal-tailed."""
    estimates = pd.DataFrame(
        list(table), columns=["parameter", "component", "scale"], dtype="object"
    )
    flat = stacked.reshape(-1, stacked.shape[-1])
    quantiles = np.quantile(flat, [0.025, 0.975], axis=0)
    columns: dict[str, Any] = {
        "estimate": flat.mean(axis=0),
        "se": flat.std(axis=0, ddof=1) if len(flat) > 1 else np.full(flat.shape[1], np.nan),
        "lower": quantiles[0],
        "upper": quantiles[1],
    }
    found = [arviz_compat.diagnostics(stacked[..., i]) for i in range(stacked.shape[-1])]
    for name in ("ess_bulk", "ess_tail", "r_hat", "mcse"):
        columns[name] = np.array([d[name] for d in found])
    for name, values in columns.items():
        estimates[name] = nullable(values)
    note = ["" if np.isfinite(d["mcse"]) else "too few or equal draws" for d in found]
    estimates["note"] = pd.Series(note, dtype="object")
    return estimates


def _effect_summary(design: Design, effects: np.ndarray) -> pd.DataFrame:
    flat = effects.reshape(effects.shape[0] * effects.shape[1], *effects.shape[2:])
    quantiles = np.quantile(flat, [0.025, 0.975], axis=0)
    spread = flat.std(axis=0, ddof=1) if len(flat) > 1 else np.full(flat.shape[1:], np.nan)
    return group_effects(design, flat.mean(axis=0), spread, quantiles[0], quantiles[1])


def _posterior(design: Design, draws: Draws, tau: np.ndarray) -> Any:
    import xarray as xr

    qu = len(design.mean_effects)
    group = design.spec.group or ""
    data: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]] = {}
    coords: dict[str, list[str]] = {}

    def pair_labels(pairs: Sequence[tuple[int, int]]) -> list[str]:
        return [design.pair_label(pair) for pair in pairs]

    def add(name: str, values: np.ndarray, labels: Sequence[str], scale: str) -> None:
        dim = names.VARIABLES[name][0]
        if labels:
            data[name] = (("chain", "draw", dim), values, {"scale": scale})
            coords[dim] = list(labels)

    add("gamma", draws.gamma, design.mean.labels, scales.GAMMA)
    add("delta", draws.delta, design.variance.labels, scales.DELTA)
    per = scales.lambda_scale(design.spec.latent_scale, square=False)
    add("lambda_", draws.several("lambda_"), design.latent_terms, per)
    add("tau", tau, pair_labels(design.constant_tau_pairs), "variances and covariances")
    add("rho", draws.rho, pair_labels(design.constant_rho_pairs), scales.RHO)
    kappa_labels = [names.kappa_label(*term) for term in design.kappa_terms]
    kinds = {kind for kind, _, _ in design.kappa_terms}
    of_kappa = " or ".join(scale for kind, scale in scales.KAPPA.items() if kind in kinds)
    add("kappa", draws.several("kappa"), kappa_labels, of_kappa)
    if draws.nu is not None:
        data["nu"] = (("chain", "draw"), draws.nu, {"scale": scales.NU})
    for name, labels, part in (
        ("u", design.mean_effects, draws.effects[..., :qu]),
        ("v", design.variance_effects, draws.effects[..., qu:]),
    ):
        if labels:
            dim = names.VARIABLES[name][1]
            data[name] = (("chain", "draw", group, dim), part, {"scale": scales.EFFECT[name]})
            coords[dim], coords[group] = list(labels), list(design.group_labels)
    chains, kept = draws.gamma.shape[:2]
    return xr.Dataset(data, {**coords, "chain": np.arange(chains), "draw": np.arange(kept)})


def _stats(draws: Draws) -> Any:
    import xarray as xr

    chains, kept = draws.gamma.shape[:2]
    data = {name: (("chain", "draw"), np.asarray(v)) for name, v in draws.sample_stats.items()}
    return xr.Dataset(data, {"chain": np.arange(chains), "draw": np.arange(kept)})


def sampler_warnings(
    stats: Mapping[str, np.ndarray], estimates: pd.DataFrame, options: Mapping[str, Any]
) -> list[str]:
    """Return one sentence for each thing that went wrong in sampling, and what to do."""
    said = []
    divergent = np.asarray(stats.get("diverging", []))
    if divergent.any():
        said.append(
            f"{int(divergent.sum())} of {divergent.size} draws diverged: the estimates may be "
            "biased; raise adapt_delta or simplify the model."
        )
    limit = options["max_treedepth"]
    deep = np.asarray(stats.get("tree_depth", [])) >= limit
    if deep.any():
        said.append(
            f"{int(deep.sum())} of {deep.size} draws reached the maximum tree depth of {limit}: "
            "the chains move slowly; raise max_treedepth."
        )
    known = estimates.dropna(subset=["r_hat", "ess_bulk"])
    high, low = known[known["r_hat"] > 1.01], known[known["ess_bulk"] < 400]
    if len(high):
        worst = high.loc[high["r_hat"].astype(float).idxmax()]
        said.append(
            f"{len(high)} parameter(s) have R-hat above 1.01 (worst {worst['parameter']}: "
            f"{worst['r_hat']:.3f}): the chains have not mixed; raise warmup and draws."
        )
    if len(low):
        worst = low.loc[low["ess_bulk"].astype(float).idxmin()]
        said.append(
            f"{len(low)} parameter(s) have fewer than 400 effective draws (fewest "
            f"{worst['parameter']}: {worst['ess_bulk']:.0f}): raise draws."
        )
    return said
