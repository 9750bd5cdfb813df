"""Canned draws through the whole pipeline in milliseconds, for tests and examples.

Nothing is estimated: the draws are noise around a quick least-squares start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge.design import Design
from bridge.engines.base import SAMPLER_OPTIONS, Engine, Plan, Progress, RawFit
from bridge.engines.posterior import Draws, posterior_result
from bridge.result import Result
from bridge.starting import starting_values


class Fake(Engine):
    """Canned draws; its results say so."""

    name = "fake"
    options = {**SAMPLER_OPTIONS}  # noqa: RUF012 - a constant of the class

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model; there is nothing native to call."""
        native = (
            f"# canned draws, nothing is estimated\nfake(mean = {design.spec.mean!r}, "
            f"variance = {design.spec.variance!r}, chains = {options['chains']}, "
            f"draws = {options['draws']}, seed = {options['seed']})"
        )
        return Plan(self.name, design, options, native)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Draw noise around a least-squares start; the same seed gives the same draws."""
        design, options = plan.design, plan.options
        progress(0.0, "fake sampling")
        start = starting_values(
            design.y, design.mean.matrix, design.variance.matrix, design.Z, design.A,
            design.group, len(design.group_labels),
        )  # fmt: skip
        rng = np.random.default_rng(options["seed"])
        shape = (options["chains"], options["draws"])

        def noise(*size: int) -> np.ndarray:
            return rng.normal(size=(*shape, *size))

        sd, effects = start["sd"], start["effects"].T
        values = {
            "gamma": start["gamma"] + start["gamma_step"] * noise(len(start["gamma"])),
            "delta": start["delta"] + start["delta_step"] * noise(len(start["delta"])),
            "sd": sd * np.exp(0.1 * noise(len(sd))),
            "rho": np.tanh(0.2 * noise(len(design.rho_pairs))),
            "effects": effects + 0.1 * sd * noise(*effects.shape),
            "diverging": np.zeros(shape, dtype=bool),
        }
        if design.spec.random_effects == "student_t":
            values["nu"] = 4.0 + rng.gamma(2.0, 10.0, shape)
        progress(1.0, "fake sampling")
        return RawFit(
            values=values,
            versions={"fake": "1"},
            warnings=("These draws are canned: nothing was estimated.",),
            seconds={"total": 0.0},
        )

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Label the draws; they are made on the canonical scales."""
        values = dict(raw.values)
        stats = {"diverging": values.pop("diverging")}
        return posterior_result(plan, raw, Draws(**values, sample_stats=stats))
