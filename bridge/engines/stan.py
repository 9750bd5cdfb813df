"""Our own Stan programs: every model of the grammar, compiled once for all data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bridge import names
from bridge.design import Design
from bridge.engines import stan_backends
from bridge.engines.base import (
    SAMPLER_OPTIONS,
    Engine,
    Option,
    Plan,
    Progress,
    RawFit,
    by_effect,
)
from bridge.engines.draws_folder import prepare_folder
from bridge.engines.posterior import Draws, posterior_result
from bridge.engines.stan_classes import class_data, class_draws, class_header, class_points
from bridge.engines.stan_data import places, stan_data
from bridge.engines.stan_information import FORMULATIONS, as_sampled
from bridge.engines.stan_products import completed, without_rows
from bridge.engines.stan_program import CLASSES, GENERAL, GROUPED, choose_program, program_text
from bridge.engines.stan_rows import row_data
from bridge.engines.stan_start import initial_points
from bridge.errors import OptionError
from bridge.result import Result
from bridge.starting import starting_values

_STATS = {
    "divergent": "diverging",
    "tree_depth": "tree_depth",
    "energy": "energy",
    "accept_stat": "acceptance_rate",
    "step_size": "step_size",
    "n_leapfrog": "n_steps",
    "lp": "lp",
}

# what a prior on a covariance matrix is told with
_SCALE_OF = {
    "flat": ", uniform over positive definite matrices",
    "inverse_wishart": ", df n and a plausible T, lower triangle by rows: scale matrix n T",
}
#: Options that Stan itself is not told.
_OURS = ("include", "starts", "formulation")


class Stan(Engine):
    """Bayesian location-scale models by our Stan programs."""

    name = "stan"
    options = {  # noqa: RUF012 - a constant of the class
        **SAMPLER_OPTIONS,
        # chains start near the mode, and what is sampled of the effects is about N(0, 1) already
        "warmup": replace(SAMPLER_OPTIONS["warmup"], default=400),
        # after so short a warm-up a chain accepts 0.66 to 0.77 of its steps where 0.6 is asked for;
        # a draw costs least at about 0.65 (Beskos et al. 2013, Bernoulli 19)
        "adapt_delta": replace(SAMPLER_OPTIONS["adapt_delta"], default=0.6),
        "backend": Option("auto", "choice", "which Stan runs it", ("auto", "cmdstan", "pystan")),
        "formulation": Option(
            "auto", "by effect", "how group effects are sampled", ("auto", *FORMULATIONS)
        ),
        "starts": Option("near", "choice", "where the chains start", ("near", "dispersed")),
        "draws_to": Option(None, "folder", "a folder the raw draws are written into as they come"),
    }

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model as a program's data block; a program never changes."""
        start = starting_values(
            design.y, design.mean.matrix, design.variance.matrix, design.Z, design.A,
            design.group, len(design.group_labels),
        )  # fmt: skip
        data, chosen = stan_data(design), choose_program(design)
        words = by_effect("formulation", options["formulation"], design.effects)
        if chosen == CLASSES:
            if options["starts"] == "dispersed" or options["formulation"] != "auto":
                raise OptionError(
                    "With latent classes no group effects are sampled and each chain starts from "
                    "clusters of its own: leave out starts and formulation."
                )
            data = class_data(design, data)
        else:
            data = as_sampled(words, data, start, sort=chosen != GENERAL)
            data = without_rows(data, design) if chosen == GROUPED else row_data(data)
        program = program_text(chosen)
        native = "\n".join([*_header(design, options), *_order_line(design, data), "", program])
        call = {"program": program, "data": data, "start": start}
        return Plan(self.name, design, options, native, call)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Sample by CmdStan where it is found, else by PyStan."""
        options, data = plan.options, plan.call["data"]
        settings = {n: value for n, value in options.items() if n not in _OURS}
        if options["draws_to"] is not None:
            settings["draws_to"] = prepare_folder(options["draws_to"], plan.native)
        points = _points(plan)
        drawn = stan_backends.sample(
            plan.call["program"], data, points, progress=progress, **settings
        )
        return RawFit(
            values={"draws": drawn.draws, "sampler": drawn.sampler},
            versions=drawn.versions,
            messages=drawn.messages,
            seconds=drawn.seconds,
        )

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Label the draws, canonical already; SDs and correlations become covariances."""
        design, draws = plan.design, raw.values["draws"]
        stats = {ours: np.asarray(raw.values["sampler"][k]) for k, ours in _STATS.items()}
        stats["diverging"] = stats["diverging"].astype(bool)
        chosen = choose_program(design)
        if chosen == CLASSES:
            made = class_draws(design, draws, stats, plan.options["seed"])
            return posterior_result(plan, raw, made)
        if chosen != GENERAL:
            draws = completed(draws, plan.call["data"])
        shape = draws["delta"].shape[:2]
        size, groups = len(design.effects), len(design.group_labels)
        effects = draws.get("effects", np.zeros((*shape, size, groups)))
        none = np.zeros((*shape, 0))
        return posterior_result(
            plan,
            raw,
            Draws(
                gamma=draws.get("gamma", none),
                delta=draws["delta"],
                sd=draws.get("sd", none),
                rho=draws.get("rho", none),
                effects=np.swapaxes(effects, -1, -2),
                sample_stats=stats,
                nu=draws["nu"][..., 0] if "nu" in draws else None,
                lambda_=draws.get("lambda"),
                kappa=draws.get("kappa"),
            ),
        )


def _points(plan: Plan) -> list[dict[str, Any]]:
    """Return a starting point for each chain."""
    options, start, data = plan.options, plan.call["start"], plan.call["data"]
    if choose_program(plan.design) == CLASSES:
        return class_points(start, options["chains"], options["seed"], data)
    # how far apart is a matter of whole columns, which the programs by rows are not given
    whole = {**data, "W": plan.design.variance.matrix, "A": plan.design.A}
    dispersed = options["starts"] == "dispersed"
    return initial_points(start, options["chains"], options["seed"], whole, dispersed=dispersed)


def _formulation(asked: str | Mapping[str, str], effects: Sequence[str]) -> str:
    """Say how the effects are sampled: in one word where that was asked for."""
    if isinstance(asked, str):
        return "informed" if asked == "auto" else asked
    return ", ".join(f"{e} {_formulation(asked.get(e, 'auto'), effects)}" for e in effects)


def _header(design: Design, options: Mapping[str, Any]) -> list[str]:
    """Say in comments of Stan what the data block holds for this model."""
    priors = design.priors
    lines = [
        f"// {choose_program(design)}, run with chains = {options['chains']}, "
        f"warmup = {options['warmup']}, draws = {options['draws']}, seed = {options['seed']},",
        f"//   adapt_delta = {options['adapt_delta']}, max_treedepth = {options['max_treedepth']}, "
        f"starts = {options['starts']},",
        f"//   formulation = {_formulation(options['formulation'], design.effects)}",
        f"// N = {len(design.y)}, J = {len(design.group_labels)}",
        f"// X (gamma): {', '.join(design.mean.labels)}",
        f"//   priors: {', '.join(map(str, priors.gamma))}",
        f"// W (delta, log variance): {', '.join(design.variance.labels)}",
        f"//   priors: {', '.join(map(str, priors.delta))}",
    ]
    if design.spec.classes is not None:
        return [names.comment(line) for line in [*lines, *class_header(design)]]
    sds = dict(zip(design.constant_effects, priors.sd, strict=True))
    for effect, block in zip(design.effects, design.block, strict=True):
        law = f"SD ~ {sds[effect]}" if effect in sds else "SD by group"
        law = law if priors.of_block(block) is None else "its SD by the prior on T"
        lines.append(f"// effect {effect}: block {block + 1}, {law}")
    for number, prior in enumerate(priors.tau):
        if prior is not None:
            lines.append(f"// T of block {number + 1} ~ {prior}{_SCALE_OF[prior.family]}")
    if any(priors.of_block(design.block[a]) is None for a, _ in design.constant_rho_pairs):
        some = len(design.constant_rho_pairs) < len(design.rho_pairs)
        rest = "; beside functions its marginal" if some else ""
        lines.append(f"// correlations within blocks: lkj({priors.lkj:g}){rest}")
    lines += _more_header(design)
    return [names.comment(line) for line in lines]


def _order_line(design: Design, data: Mapping[str, Any]) -> list[str]:
    """Say in which order the program has the effects, where it is not the model's."""
    if design.spec.classes is not None or (np.diff(places(data)) > 0).all():
        return []
    effects = [design.effects[a] for a in np.argsort(places(data))]
    return [
        names.comment(f"// sd, cpc and raw are of the effects in the order {', '.join(effects)}")
    ]


def _more_header(design: Design) -> list[str]:
    """Say the same of Student-t effects, the association and the level-2 functions."""
    priors, spec, lines = design.priors, design.spec, []
    if spec.random_effects == "student_t":
        lines.append(f"// effects are Student-t: nu ~ {priors.nu}, above 1")
    if spec.association is not None:
        lines.append(f"// lambda (log variance, {spec.latent_scale} u), with priors:")
        for label, prior in zip(design.latent_terms, priors.lambda_, strict=True):
            lines.append(f"//   {label} ~ {prior}")
    if design.level2:
        kinds = {kind for kind, _, _ in design.kappa_terms}
        scale = "partial correlation" if "pcor" in kinds else "correlation"
        lines.append(f"// H (kappa, log variance or atanh {scale}), with priors:")
        for term, prior in zip(design.kappa_terms, priors.kappa, strict=True):
            lines.append(f"//   {names.kappa_label(*term)} ~ {prior}")
    return lines
