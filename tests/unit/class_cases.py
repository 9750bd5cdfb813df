"""Simulated groups of classes, and results of engine stan made by hand: nothing is sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bridge.engines import registry
from bridge.engines.base import Plan, RawFit
from bridge.result import Result
from bridge.spec import ModelSpec

MEAN, VARIANCE = "y ~ 1 + x + (1 + x | s | g)", "~ 1 + w + (1 | s | g)"
#: Weights, and u, v of three classes far apart: weighted means are zero.
PI = np.array([0.3, 0.5, 0.2])
POINTS = np.array([[-3.0, -1.0], [0.5, 0.4], [3.25, 0.5]])
STATS = ("divergent", "tree_depth", "energy", "accept_stat", "step_size", "n_leapfrog", "lp")


def spec(classes: int = 3, mean: str = MEAN, variance: str = VARIANCE, **parts: Any) -> ModelSpec:
    """Return a specification with latent classes."""
    return ModelSpec(mean, variance, random_effects="classes", classes=classes, **parts)


def simulated(groups: int = 90, size: int = 12, seed: int = 3) -> pd.DataFrame:
    """Return rows in mixed order of groups whose class is in column c."""
    rng = np.random.default_rng(seed)
    c = rng.choice(3, size=groups, p=PI)
    g = rng.permutation(np.repeat(np.arange(groups), size))
    x = rng.normal(size=len(g))
    u, v = POINTS[c[g]].T
    y = 10 + u + 0.5 * x + np.exp(0.5 * (0.3 + v)) * rng.normal(size=len(g))
    w = rng.normal(size=groups)[g]
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": [f"school {j}" for j in g], "c": c[g]})


def answer(plan: Plan, seed: int = 1) -> RawFit:
    """Return an answer of Stan to a plan: random draws that keep the constraints."""
    rng, data = np.random.default_rng(seed), plan.call["data"]
    shape = (plan.options["chains"], plan.options["draws"])
    K, q, first = data["K"], data["qu"] + data["qv"], data["ordering"] - 1
    weight = rng.dirichlet(np.full(K, 4.0), shape)
    point = rng.normal(size=(*shape, K, q))
    point[..., first] = np.sort(point[..., first], axis=-1)
    point -= np.einsum("cdk,cdka->cda", weight, point)[..., None, :]
    start = plan.call["start"]
    draws = {
        "gamma": start["gamma"] + 0.2 * rng.normal(size=(*shape, data["p"])),
        "delta": start["delta"] + 0.2 * rng.normal(size=(*shape, data["k"])),
        "weight": weight,
        "point": point,
    }
    sampler = {name: np.zeros(shape) for name in STATS}
    versions = {"pystan": "3"}
    return RawFit(
        {"draws": {k: v for k, v in draws.items() if v.size}, "sampler": sampler}, versions
    )


def result(of: ModelSpec | None = None, data: pd.DataFrame | None = None, **options: Any) -> Result:
    """Return the result of such an answer."""
    made = (of or spec()).translate(
        "stan",
        simulated(12, 5) if data is None else data,
        **({"chains": 2, "draws": 40, "seed": 7, "cores": 1} | options),
    )
    return registry.get("stan").harmonise(answer(made), made)
