"""Our own Stan program: every model of the grammar, compiled once for all data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge import names
from bridge.design import Design
from bridge.engines import stan_backends
from bridge.engines.base import SAMPLER_OPTIONS, Engine, Option, Plan, Progress, RawFit
from bridge.engines.posterior import Draws, posterior_result
from bridge.engines.stan_start import choose_centred, initial_points
from bridge.priors import Prior
from bridge.resources import path
from bridge.result import Result
from bridge.starting import starting_values

PROGRAM = "stan/location_scale.stan"

_COEFFICIENT = {"flat": 0, "normal": 1, "student_t": 2}
_SD = {"flat": 0, "half_t": 1, "half_normal": 2, "exponential": 3}
_STATS = {
    "divergent": "diverging",
    "tree_depth": "tree_depth",
    "energy": "energy",
    "accept_stat": "acceptance_rate",
    "step_size": "step_size",
    "n_leapfrog": "n_steps",
    "lp": "lp",
}


class Stan(Engine):
    """Bayesian location-scale models by our Stan program."""

    name = "stan"
    options = {  # noqa: RUF012 - a constant of the class
        **SAMPLER_OPTIONS,
        "backend": Option("auto", "choice", "which Stan runs it", ("auto", "cmdstan", "pystan")),
    }

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model as the program's data block; the program never changes."""
        start = starting_values(
            design.y, design.mean.matrix, design.variance.matrix, design.Z, design.A,
            design.group, len(design.group_labels),
        )  # fmt: skip
        centred = choose_centred(
            start, design.variance.matrix, design.Z, design.group, len(design.group_labels)
        )
        data = stan_data(design, centred)
        program = path(PROGRAM).read_text(encoding="utf-8")
        native = "\n".join([*_header(design, centred, options), "", program])
        call = {"program": program, "data": data, "start": start}
        return Plan(self.name, design, options, native, call)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Sample by CmdStan where it is found, else by PyStan."""
        options, data = plan.options, plan.call["data"]
        points = initial_points(
            plan.call["start"], options["chains"], options["seed"], data["centred"], data["block"]
        )
        settings = {name: value for name, value in options.items() if name != "include"}
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
        shape = draws["delta"].shape[:2]
        size, groups = len(design.effects), len(design.group_labels)
        effects = draws.get("effects", np.zeros((*shape, size, groups)))
        stats = {ours: np.asarray(raw.values["sampler"][k]) for k, ours in _STATS.items()}
        stats["diverging"] = stats["diverging"].astype(bool)
        return posterior_result(
            plan,
            raw,
            Draws(
                gamma=draws.get("gamma", np.zeros((*shape, 0))),
                delta=draws["delta"],
                sd=draws.get("sd", np.zeros((*shape, 0))),
                rho=draws.get("rho", np.zeros((*shape, 0))),
                effects=np.swapaxes(effects, -1, -2),
                sample_stats=stats,
            ),
        )


def stan_data(design: Design, centred: np.ndarray) -> dict[str, Any]:
    """Return the data block of the program.

    Parameters
    ----------
    design : Design
        The model on its data.
    centred : (q,) array of int
        For each effect, 1 where the effect itself is sampled, 0 where it is standardised.
    """
    priors, size = design.priors, len(design.effects)
    return {
        "N": len(design.y),
        "J": len(design.group_labels),
        "p": len(design.mean.labels),
        "k": len(design.variance.labels),
        "qu": len(design.mean_effects),
        "qv": len(design.variance_effects),
        "y": design.y,
        "X": design.mean.matrix,
        "W": design.variance.matrix,
        "Z": design.Z,
        "A": design.A,
        "group": design.group + 1,
        "block": np.asarray(design.block, dtype=int) + 1,
        "centred": np.asarray(centred, dtype=int),
        "gamma_prior_kind": np.array([_COEFFICIENT[p.family] for p in priors.gamma], dtype=int),
        "gamma_prior": _coefficient_rows(priors.gamma),
        "delta_prior_kind": np.array([_COEFFICIENT[p.family] for p in priors.delta], dtype=int),
        "delta_prior": _coefficient_rows(priors.delta),
        "sd_prior_kind": np.array([_SD[p.family] for p in priors.sd], dtype=int),
        "sd_prior": np.array([_sd_row(p) for p in priors.sd]).reshape(size, 2),
        "lkj": np.full(size, priors.lkj),
    }


def _coefficient_rows(priors: Sequence[Prior]) -> np.ndarray:
    """Return (df, location, scale) for each prior; flat ones are not read."""
    rows = []
    for prior in priors:
        p = prior.parameters
        rows.append({"flat": (1.0, 0.0, 1.0), "normal": (1.0, *p), "student_t": p}[prior.family])
    return np.array(rows, dtype=float).reshape(len(rows), 3)


def _sd_row(prior: Prior) -> tuple[float, float]:
    p = prior.parameters
    if prior.family == "half_t":
        return p[0], p[2]
    if prior.family == "half_normal":
        return 1.0, p[1]
    return (1.0, p[0]) if prior.family == "exponential" else (1.0, 1.0)


def _header(design: Design, centred: np.ndarray, options: Mapping[str, Any]) -> list[str]:
    """Say in comments of Stan what the data block holds for this model."""
    priors = design.priors
    lines = [
        f"// {PROGRAM}, run with chains = {options['chains']}, warmup = {options['warmup']}, "
        f"draws = {options['draws']}, seed = {options['seed']},",
        f"//   adapt_delta = {options['adapt_delta']}, max_treedepth = {options['max_treedepth']}",
        f"// N = {len(design.y)}, J = {len(design.group_labels)}",
        f"// X (gamma): {', '.join(design.mean.labels)}",
        f"//   priors: {', '.join(map(str, priors.gamma))}",
        f"// W (delta, log variance): {', '.join(design.variance.labels)}",
        f"//   priors: {', '.join(map(str, priors.delta))}",
    ]
    for effect, prior, block, flag in zip(
        design.effects, priors.sd, design.block, centred, strict=True
    ):
        how = "centred" if flag else "standardised"
        lines.append(f"// effect {effect}: block {block + 1}, {how}, SD ~ {prior}")
    if design.rho_pairs:
        lines.append(f"// correlations within blocks: lkj({priors.lkj:g})")
    return [names.comment(line) for line in lines]
