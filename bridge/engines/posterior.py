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
    membership_frame,
    nullable,
    parameter_table,
)
from bridge.engines.sampler_checks import sampler_warnings
from bridge.errors import HarmoniseError
from bridge.marginal.by_draw import with_marginal
from bridge.pointwise import make_groups
from bridge.result import Result

#: R-hat of a parameter of the classes above which chains are taken to be about different ones.
_OTHER_MODE = 1.1


@dataclass(frozen=True)
class Classes:
    """Draws of K latent classes, canonical scales. C chains, D draws, J groups, q effects.

    Attributes
    ----------
    pi : (C, D, K) array
        Weights.
    points : (C, D, K, q) array
        Effects of each class, u before v; their weighted means are zero.
    T : (C, D, q, q) array
        Weighted covariances of the points, of rank K - 1 at most.
    membership : (J, K) array
        The posterior mean of the probability of each class for each group.
    """

    pi: np.ndarray
    points: np.ndarray
    T: np.ndarray
    membership: np.ndarray


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
    classes : Classes, optional
        Of effects that are latent classes.
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
    classes: Classes | None = None

    def several(self, name: str) -> np.ndarray:
        """Return ``lambda_`` or ``kappa``, without an element where the model has none."""
        found = getattr(self, name)
        return np.zeros((*self.gamma.shape[:2], 0)) if found is None else np.asarray(found)

    def of_classes(self, qu: int) -> np.ndarray:
        """Return pi, the points of u and those of v, class by class, as `parameter_table` does."""
        if self.classes is None:
            return self.several("classes")
        points, shape = self.classes.points, (*self.gamma.shape[:2], -1)
        parts = (points[..., :qu].reshape(shape), points[..., qu:].reshape(shape))
        return np.concatenate([self.classes.pi, *parts], axis=-1)


def posterior_result(plan: Plan, raw: RawFit, draws: Draws) -> Result:
    """Return the result of a sampler: draws transformed one by one, never summaries."""
    design = plan.design
    tau = _constant_tau(design, draws)
    lambda_, kappa = draws.several("lambda_"), draws.several("kappa")
    points = draws.of_classes(len(design.mean_effects))
    parts = [draws.gamma, draws.delta, lambda_, tau, draws.rho, kappa, points]
    stacked = np.concatenate(parts, axis=-1)
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
    said = sampler_warnings(draws.sample_stats, estimates, plan.options)
    more = {}
    if draws.classes is not None:
        more["membership"] = membership_frame(design, draws.classes.membership)
        said += class_warnings(estimates)
    return make_result(
        plan,
        raw,
        "posterior",
        estimates,
        _effect_summary(design, draws.effects),
        {**groups, **data_groups(design)},
        tuple(raw.warnings) + tuple(said),
        **more,
    )


def _constant_tau(design: Design, draws: Draws) -> np.ndarray:
    """Return the variances and covariances that are the same in all groups (C, D, pairs)."""
    pairs, size = design.constant_rho_pairs, len(design.effects)
    if draws.classes is not None:
        return np.stack([draws.classes.T[..., a, b] for a, b in design.tau_pairs], axis=-1)
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
    if draws.classes is not None:
        data |= _class_variables(draws.classes, qu)
        coords["latent_class"] = names.class_labels(design.spec.classes)
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


def _class_variables(classes: Classes, qu: int) -> dict[str, Any]:
    """Return the variables of latent classes, as xarray takes them."""
    found: dict[str, Any] = {
        "pi": (("chain", "draw", "latent_class"), classes.pi, {"scale": scales.PI})
    }
    parts = {"u": classes.points[..., :qu], "v": classes.points[..., qu:]}
    for letter, part in parts.items():
        if part.shape[-1]:
            name = f"{letter}_class"
            dims = ("chain", "draw", *names.VARIABLES[name])
            found[name] = (dims, part, {"scale": scales.EFFECT[letter]})
    return found


def _stats(draws: Draws) -> Any:
    import xarray as xr

    chains, kept = draws.gamma.shape[:2]
    data = {name: (("chain", "draw"), np.asarray(v)) for name, v in draws.sample_stats.items()}
    return xr.Dataset(data, {"chain": np.arange(chains), "draw": np.arange(kept)})


def class_warnings(estimates: pd.DataFrame) -> list[str]:
    """Return a sentence where the chains disagree about latent classes as such."""
    of_classes = estimates["parameter"].str.startswith(("pi[", "u_class[", "v_class["))
    known = estimates[of_classes].dropna(subset=["r_hat"])
    if not (known["r_hat"] > _OTHER_MODE).any():
        return []
    return [
        "The chains disagree about the latent classes: they may have found different modes, or "
        "there are more classes than the data tell apart, and their mean then describes none of "
        "them. Look at pi and u_class by chain, ask for fewer classes, or give pi, sd_u and sd_v "
        "tighter priors."
    ]
