"""nuts: Bayesian location-scale models in Python alone, by nutpie on a compiled density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge import names
from bridge.design import Design
from bridge.engines.base import (
    SAMPLER_OPTIONS,
    Engine,
    Option,
    Plan,
    Progress,
    RawFit,
    by_effect,
)
from bridge.engines.draws_zarr import prepare_store
from bridge.engines.posterior import Draws, posterior_result
from bridge.nuts import formulation
from bridge.nuts.arrays import arrays_of
from bridge.nuts.build import make_problem
from bridge.nuts.points import starting_points
from bridge.nuts.starts import start_of
from bridge.result import Result

_COMPILING = "compiling the density: once on this machine, about a minute"
_FORMULATIONS = (formulation.AUTO, *formulation.WORDS)


class Nuts(Engine):
    """Bayesian location-scale models by NUTS, without R and without a compiler."""

    name = "nuts"
    options = {  # noqa: RUF012 - a constant of the class
        **SAMPLER_OPTIONS,
        "warmup": Option(500, "count", "warm-up draws of each chain, not kept"),
        "formulation": Option("auto", "by effect", "how effects are sampled", _FORMULATIONS),
        "starts": Option("near", "choice", "where chains start", ("near", "dispersed")),
        "draws_to": Option(None, "folder", "a folder the draws are written into as they come"),
    }

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Settle starts and formulation; the density never changes."""
        arrays = arrays_of(design)
        start = start_of(design, arrays)
        asked = by_effect("formulation", options["formulation"], design.effects)
        words = formulation.settled(asked)
        problem = make_problem(arrays, start, words)
        native = "\n".join(_native(design, words, len(problem.cells.size), options))
        call = {"start": start, "problem": problem}
        return Plan(self.name, design, options, native, call)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Compile where that was not done before, and sample."""
        import time

        progress(None, "loading the compiled density")
        began = time.perf_counter()
        from bridge.nuts.compiling import told

        with told(lambda part: progress(None, f"{_COMPILING} ({part})")):
            from bridge.engines import nutpie_sampler
            from bridge.nuts.calling import Density

            density = Density(plan.call["problem"])
        compiled = time.perf_counter() - began
        point = starting_points(plan.call["problem"], plan.call["start"], plan.options["starts"])
        store = None
        if plan.options["draws_to"] is not None:
            store = prepare_store(plan.options["draws_to"], plan.native, _columns(plan.design))
        drawn = nutpie_sampler.sample(density, point, progress, dict(plan.options), store)
        said = (_incomplete(drawn.draws, plan.options),) if drawn.interrupted else ()
        return RawFit(
            values={"draws": drawn.draws, "sampler": drawn.stats},
            versions=nutpie_sampler.versions(),
            warnings=said,
            seconds={
                "compile": compiled, "sampling": drawn.seconds, "total": compiled + drawn.seconds
            },
        )  # fmt: skip

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Label the draws, canonical already."""
        design = plan.design
        draws = np.asarray(raw.values["draws"])
        sizes = {
            "gamma": len(design.mean.labels),
            "delta": len(design.variance.labels),
            "lambda_": len(design.latent_terms),
            "kappa": len(design.kappa_terms),
            "sd": len(design.constant_effects),
            "rho": len(design.constant_rho_pairs),
            "nu": int(design.spec.random_effects == "student_t"),
        }
        places = np.cumsum([0, *sizes.values()])
        part = {name: draws[..., places[i] : places[i + 1]] for i, name in enumerate(sizes)}
        shape = (len(design.effects), len(design.group_labels))
        effects = draws[..., places[-1] :].reshape(*draws.shape[:2], *shape)
        stats = {name: np.asarray(values) for name, values in raw.values["sampler"].items()}
        return posterior_result(
            plan,
            raw,
            Draws(
                gamma=part["gamma"],
                delta=part["delta"],
                sd=part["sd"],
                rho=part["rho"],
                effects=np.swapaxes(effects, -1, -2),
                sample_stats=stats,
                nu=part["nu"][..., 0] if sizes["nu"] else None,
                lambda_=part["lambda_"] if sizes["lambda_"] else None,
                kappa=part["kappa"] if sizes["kappa"] else None,
            ),
        )


def _columns(design: Design) -> list[str]:
    """Return what each number of a draw is."""
    found = [names.flat("gamma", term) for term in design.mean.labels]
    found += [names.flat("delta", term) for term in design.variance.labels]
    found += [names.flat("lambda_", term) for term in design.latent_terms]
    found += [names.flat("kappa", names.kappa_label(*term)) for term in design.kappa_terms]
    found += [names.flat("sd", effect) for effect in design.constant_effects]
    found += [names.flat("rho", design.pair_label(pair)) for pair in design.constant_rho_pairs]
    found += ["nu"] * (design.spec.random_effects == "student_t")
    return found + [f"{e}[{group}]" for e in design.effects for group in design.group_labels]


def _incomplete(draws: np.ndarray, options: Mapping[str, Any]) -> str:
    chains, count = draws.shape[:2]
    of = "each chain" if chains == options["chains"] else f"{chains} of {options['chains']} chains"
    return (
        f"Incomplete: sampling was interrupted after {count} of {options['draws']} draws of {of}."
    )


def _native(design: Design, words: list[str], cells: int, options: Mapping[str, Any]) -> list[str]:
    """Say the model, what is sampled how, and the sampler's settings."""
    priors, spec = design.priors, design.spec
    by = f"by {cells} cells of one variance" if cells else f"by {len(design.y)} rows"
    lines = [
        "# bridge's own density and gradient, compiled by Numba; sampled by nutpie",
        f"sample by NUTS, chains = {options['chains']}, warmup = {options['warmup']}, "
        f"draws = {options['draws']}, seed = {options['seed']},",
        f"    adapt_delta = {options['adapt_delta']}, max_treedepth = {options['max_treedepth']}, "
        f"starts = {options['starts']}",
        f"  mean: {spec.mean}",
        f"  log variance: {spec.variance}",
        f"  {len(design.y)} rows in {len(design.group_labels)} groups, level 1 {by}",
        "  priors",
    ]
    terms = [("gamma", t, p) for t, p in zip(design.mean.labels, priors.gamma, strict=True)]
    terms += [("delta", t, p) for t, p in zip(design.variance.labels, priors.delta, strict=True)]
    terms += [("lambda_", t, p) for t, p in zip(design.latent_terms, priors.lambda_, strict=True)]
    kappa = [names.kappa_label(*term) for term in design.kappa_terms]
    terms += [("kappa", t, p) for t, p in zip(kappa, priors.kappa, strict=True)]
    lines += [
        f"    {names.comment(names.flat(name, term))} ~ {prior}" for name, term, prior in terms
    ]
    block_of = dict(zip(design.effects, design.block, strict=True))
    for effect, prior in zip(design.constant_effects, priors.sd, strict=True):
        if priors.of_block(block_of[effect]) is None:
            lines.append(f"    SD of {names.comment(effect)} ~ {prior}")
    for number, whole in enumerate(priors.tau):
        if whole is not None:
            numbers = ": df, then a plausible T, row by row" * bool(whole.parameters)
            lines.append(f"    T of block {number + 1} ~ {whole}{numbers}")
    if any(priors.of_block(design.block[a]) is None for a, _ in design.constant_rho_pairs):
        some = len(design.constant_rho_pairs) < len(design.rho_pairs)
        rest = "; beside functions its marginal" if some else ""
        lines.append(f"    correlations within blocks ~ lkj({priors.lkj:g}){rest}")
    if spec.random_effects == "student_t":
        lines.append(f"    nu ~ {priors.nu}, above 1; the effects multivariate t")
    if spec.association is not None:
        lines.append(f"  association: {spec.association}, {spec.latent_scale} mean effects")
    if words:
        lines.append("  effects, blocks of correlated ones by number")
    for effect, block, word in zip(design.effects, design.block, words, strict=True):
        lines.append(f"    {names.comment(effect)}: block {block + 1}, {word}")
    return lines
