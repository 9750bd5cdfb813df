"""brms with rstan: it models the log SD; its draws are carried to the log variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bridge import scales
from bridge.design import Design, RandomPart
from bridge.engines import r_wording
from bridge.engines.base import SAMPLER_OPTIONS, Engine, Plan, Progress, RawFit
from bridge.engines.matching import check_groups, match_columns
from bridge.engines.posterior import Draws, posterior_result
from bridge.engines.r_engine import run_r
from bridge.errors import HarmoniseError
from bridge.priors import Prior, number
from bridge.result import Result

_STATS = {
    "divergent": "diverging",
    "treedepth": "tree_depth",
    "energy": "energy",
    "accept_stat": "acceptance_rate",
    "stepsize": "step_size",
    "n_leapfrog": "n_steps",
    "lp": "lp",
}


class Brms(Engine):
    """Bayesian location-scale models by brms."""

    name = "brms"
    options = SAMPLER_OPTIONS

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model as a call of ``brm``, intercepts uncentred, priors on the log SD."""
        data = r_wording.r_data(design)
        mean = _function(design.mean, design.mean_random, design, data)
        variance = _function(design.variance, design.variance_random, design, data)
        formula = (
            f"bf({data.outcome} ~ {mean}, center = FALSE) +\n"
            f"    lf(sigma ~ {variance}, center = FALSE)"
        )
        arguments = [formula, "data = data", "family = gaussian()"]
        priors = carried_priors(design, data)
        if priors:
            arguments.append("prior = c(\n    " + ",\n    ".join(priors) + "\n  )")
        iterations = options["warmup"] + options["draws"]
        arguments += [
            f"chains = {options['chains']}, iter = {iterations}, warmup = {options['warmup']}",
            f"cores = {options['cores']}, seed = {options['seed']}, "
            f"refresh = {max(1, iterations // 20)}",
            f"control = list(adapt_delta = {number(options['adapt_delta'])}, "
            f"max_treedepth = {options['max_treedepth']})",
            'backend = "rstan"',
        ]
        native = r_wording.call("brm", arguments, data.notes())
        return Plan(self.name, design, options, native, {"plan": {}, "frame": data.frame})

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Run ``brm`` in the R worker."""
        raw = run_r(plan, progress, "brms", "rstan")
        # warm-up and sampling of each chain, which run side by side, so many as there are cores
        own = np.asarray(raw.values["elapsed"], dtype=float).reshape(-1, 2).sum(axis=1)
        rounds = -(-len(own) // int(plan.options["cores"]))
        sampling = float(np.sort(own)[::-1][:rounds].sum())
        rest = max(raw.seconds["total"] - sampling, 0.0)
        return replace(raw, seconds={**raw.seconds, "sampling": sampling, "compile": rest})

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Double what is on the log SD, draw by draw; SDs and correlations to covariances."""
        design, values = plan.design, raw.values
        factor = scales.rule("brms", raw.versions.get("brms")).factor
        mean = match_columns(design.mean.matrix, values["X"], design.mean.labels, "mean")
        variance = match_columns(
            design.variance.matrix, values["X_sigma"], design.variance.labels, "variance"
        )
        sd, rho, effects = _level2(design, values, factor)
        stats = {ours: np.asarray(values["sampler"][theirs]) for theirs, ours in _STATS.items()}
        stats["diverging"] = stats["diverging"].astype(bool)
        draws = Draws(
            gamma=values["b"][..., mean],
            delta=factor * values["b_sigma"][..., variance],
            sd=sd,
            rho=rho,
            effects=effects,
            sample_stats=stats,
            nu=None if values["df"] is None else np.asarray(values["df"]),
        )
        return posterior_result(plan, raw, draws)


# --- words -----------------------------------------------------------------------------
def _function(
    fixed: Any, random: Sequence[RandomPart], design: Design, data: r_wording.RData
) -> str:
    group = data.group
    if design.spec.random_effects == "student_t":
        group = f'gr({group}, dist = "student")'
    words, ids = [r_wording.terms(fixed, data)], r_wording.identifiers(design)
    for part in random:
        bar = f"| {ids[part.id]} |" if part.id else "|" if part.correlated else "||"
        words.append(f"({r_wording.terms(part.encoded, data)} {bar} {group})")
    return " + ".join(words)


def carried_priors(design: Design, data: r_wording.RData) -> list[str]:
    """Return the ``set_prior`` calls of a model: the canonical priors on brms's scales.

    Coefficients and SDs of the variance function are divided by two: brms's are on the log SD.
    """
    priors, factor = design.priors, scales.rule("brms").factor
    found = _by_coefficient(
        priors.gamma, r_wording.coefficient_names(design.mean, data), 'class = "b"'
    )
    found += _by_coefficient(
        [p.divided(factor) for p in priors.delta],
        r_wording.coefficient_names(design.variance, data),
        'class = "b", dpar = "sigma"',
    )
    count = len(design.mean_effects)
    for parts, sds, dpar in (
        (design.mean_random, priors.sd[:count], ""),
        (
            design.variance_random,
            [p.divided(factor) for p in priors.sd[count:]],
            ', dpar = "sigma"',
        ),
    ):
        labels = [n for part in parts for n in r_wording.coefficient_names(part.encoded, data)]
        found += _by_sd(list(sds), labels, data.group, dpar)
    if design.rho_pairs:
        found.append(f'set_prior("lkj({number(priors.lkj)})", class = "cor")')
    if design.spec.random_effects == "student_t":
        found.append(f'set_prior("{_stan(priors.nu)}", class = "df", group = "{data.group}")')
    return found


def _by_coefficient(priors: Sequence[Prior], labels: Sequence[str], where: str) -> list[str]:
    """Set one prior for the class where all are the same; flat is brms's own."""
    if all(p.family == "flat" for p in priors):
        return []
    if len(set(priors)) == 1:
        return [f'set_prior("{_stan(priors[0])}", {where})']
    return [
        f'set_prior("{_stan(p)}", {where}, coef = "{label}")'
        for p, label in zip(priors, labels, strict=True)
        if p.family != "flat"
    ]


def _by_sd(priors: Sequence[Prior], labels: Sequence[str], group: str, dpar: str) -> list[str]:
    if not priors:
        return []
    if len(set(priors)) == 1:
        return [f'set_prior("{_stan(priors[0])}", class = "sd"{dpar})']
    return [f'set_prior("", class = "sd"{dpar})'] + [
        f'set_prior("{_stan(p)}", class = "sd"{dpar}, group = "{group}", coef = "{label}")'
        for p, label in zip(priors, labels, strict=True)
        if p.family != "flat"
    ]


def _stan(prior: Prior) -> str:
    """Write a prior as Stan does; half distributions are whole ones on a bounded parameter."""
    if prior.family == "flat":
        return ""
    family = {"half_t": "student_t", "half_normal": "normal"}.get(prior.family, prior.family)
    return f"{family}({', '.join(number(p) for p in prior.parameters)})"


# --- draws ------------------------------------------------------------------------------
def _level2(
    design: Design, values: Mapping[str, Any], factor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return SDs (C, D, q), correlations (C, D, pairs) and effects (C, D, J, q), our order."""
    chains, draws = values["b_sigma"].shape[:2]
    size, groups = len(design.effects), len(design.group_labels)
    sd = np.zeros((chains, draws, size))
    effects = np.zeros((chains, draws, groups, size))
    place = effect_places(design, values)
    for levels in values["levels"]:
        check_groups(design, levels)
    for ours, (block, column) in enumerate(place):
        scale = 1.0 if ours < len(design.mean_effects) else factor
        sd[..., ours] = scale * values["sd"][block][..., column]
        effects[..., ours] = scale * values["effects"][block][..., column]
    rho = np.zeros((chains, draws, len(design.rho_pairs)))
    for position, (a, b) in enumerate(design.rho_pairs):
        (block, first), (other, second) = place[a], place[b]
        if block != other:
            raise HarmoniseError(f"brms did not correlate {design.pair_label((a, b))}.")
        pairs = [frozenset(int(i) - 1 for i in row) for row in values["pairs"][block]]
        rho[..., position] = values["cor"][block][..., pairs.index(frozenset((first, second)))]
    return sd, rho, effects


def effect_places(design: Design, values: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return where brms keeps each of our effects: (block, position), found by content."""
    found: list[tuple[int, int]] = []
    blocks = values["blocks"]
    numbers = list(dict.fromkeys(int(i) for i in blocks["id"]))
    columns: dict[str, list[tuple[int, int, np.ndarray]]] = {"": [], "sigma": []}
    count: dict[int, int] = {}
    for identifier, dpar in zip(blocks["id"], blocks["dpar"], strict=True):
        block = numbers.index(int(identifier))
        position = count.get(block, 0)
        count[block] = position + 1
        columns[dpar].append((block, position, values["Z"][block][position]))
    for dpar, matrix, labels in (
        ("", design.Z, design.mean_effects),
        ("sigma", design.A, design.variance_effects),
    ):
        if labels:
            theirs = np.column_stack([z for _, _, z in columns[dpar]])
            order = match_columns(matrix, theirs, labels, "random part")
            found += [columns[dpar][i][:2] for i in order]
    return found
