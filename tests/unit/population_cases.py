"""Posteriors whose draws are all alike, and groups simulated from the model: nothing is sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from bridge.design import make_design
from bridge.engines.base import Plan, RawFit
from bridge.engines.posterior import Classes, Draws, posterior_result
from bridge.result import Result
from bridge.spec import ModelSpec

#: The profile: x of units, w of groups.
X, W = 0.7, 1.5
GAMMA, DELTA = np.array([2.0, 0.5]), np.array([0.2, 0.3])
SLOPES, ONE = "y ~ 1 + x + (1 + x | {}g)", "y ~ 1 + x + (1 | {}g)"
VARIANCE = "~ 1 + w + (1 | {}g)"
#: u:Intercept, u:x, v:Intercept.
SD, RHO = np.array([1.0, 0.5, 0.6]), np.array([0.3, -0.2, 0.4])

#: From random numbers and their number to u (n, qu), and what effects add to the log variance (n,).
Groups = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Case:
    """A model at fixed parameters, and its groups by simulation."""

    spec: ModelSpec
    values: dict[str, Any]
    groups: Groups

    def result(self, draws: int = 10) -> Result:
        return fixed(self.spec, draws, **self.values)

    def simulated(self, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the means and the variances of n groups at the profile."""
        u, added = self.groups(np.random.default_rng(seed), n)
        mean = GAMMA @ [1, X] + u[:, 0] + (X * u[:, 1] if u.shape[1] > 1 else 0)
        return mean, np.exp(DELTA @ [1, W] + added)


@cache
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 6)
    w = np.tile([0.0, 1.0, 1.5, 3.0], 5)[g]
    x = rng.normal(size=len(g))
    return pd.DataFrame({"y": x + rng.normal(size=len(g)), "x": x, "w": w, "g": g})


def fixed(spec: ModelSpec, draws: int, classes: Any = None, **values: Any) -> Result:
    """Return a posterior of one chain whose parameters are the same in all draws.

    ``gamma`` and ``delta`` are those of the cases where they are not given.
    """
    values = {"gamma": GAMMA, "delta": DELTA, **values}
    design = make_design(spec, frame())
    shape, q = (1, draws), len(design.effects)

    def all_alike(value: Any) -> np.ndarray:
        return np.broadcast_to(value, (*shape, *np.shape(value))).copy()

    made = {name: all_alike(value) for name, value in values.items()}
    effects = np.random.default_rng(2).normal(size=(*shape, 20, q))
    if classes is not None:
        pi, points = classes
        T = np.einsum("k,ka,kb->ab", pi, points, points)
        member = np.full((20, len(pi)), 1 / len(pi))
        made["classes"] = Classes(all_alike(pi), all_alike(points), all_alike(T), member)
        made |= {"sd": all_alike(np.sqrt(np.diag(T))), "rho": all_alike(_correlations(T))}
    made = {"sd": np.zeros((*shape, 0)), "rho": np.zeros((*shape, 0)), **made}
    options = {"chains": 1, "draws": draws, "seed": 1, "include": (), "max_treedepth": 10}
    plan = Plan("fake", design, options, "made by hand")
    stats = {"diverging": np.zeros(shape, bool)}
    parts = Draws(**made, effects=effects, sample_stats=stats)
    return posterior_result(plan, RawFit({}, {}), parts)


def _correlations(T: np.ndarray) -> np.ndarray:
    sd = np.sqrt(np.diag(T))
    return np.array([T[a, b] / sd[a] / sd[b] for b in range(len(T)) for a in range(b)])


def normal(rng: np.random.Generator, n: int, sd: Any, rho: Any = ()) -> np.ndarray:
    """Return n normal effects with SDs and correlations (1,2), (1,3), (2,3)."""
    R = np.eye(len(sd))
    for place, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)][: len(rho)]):
        R[a, b] = R[b, a] = rho[place]
    return rng.multivariate_normal(np.zeros(len(sd)), R * np.outer(sd, sd), n)


def _shared(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    b = normal(rng, n, SD, RHO)
    return b[:, :2], b[:, 2]


def _student(nu: float, sd: Any, rho: Any, qu: int) -> Groups:
    def groups(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        b = normal(rng, n, sd, rho) / np.sqrt(rng.chisquare(nu, n) / nu)[:, None]
        return b[:, :qu], b[:, qu:].sum(axis=1)

    return groups


def _latent(coefficients: Any, standardised: bool, slopes: bool) -> Groups:
    """Groups of an association: coefficients of u, then of their squares."""

    def groups(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        sd = SD[:2] if slopes else SD[:1]
        u, v = normal(rng, n, sd, RHO[:1] if slopes else ()), rng.normal(0, SD[2], n)
        z = u / sd if standardised else u
        terms = np.hstack([z, z**2])[:, : len(coefficients)]
        return u, v + terms @ np.asarray(coefficients)

    return groups


def _functions(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    sd = [np.exp(0.5 * (0.1 + 0.2 * W)), np.exp(0.5 * (-1.5 + 0.3 * W))]
    b = normal(rng, n, sd, [np.tanh(-0.3 + 0.4 * W)])
    return b[:, :1], b[:, 1]


PI = np.array([0.3, 0.5, 0.2])
POINTS = np.array([[-1.0, -0.8], [0.2, 0.4], [1.0, 0.2]])


def _classes(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    c = rng.choice(3, n, p=PI)
    return POINTS[c, :1], POINTS[c, 1]


def _case(mean: str, values: dict[str, Any], groups: Groups, shared: bool, **more: Any) -> Case:
    tie = "s | " if shared else ""
    return Case(ModelSpec(mean.format(tie), VARIANCE.format(tie), **more), values, groups)


_APART = {"sd": SD, "rho": RHO[:1]}
CASES: dict[str, Case] = {
    "normal": _case(SLOPES, {"sd": SD, "rho": RHO}, _shared, True),
    "functions": _case(
        ONE, {"kappa": np.array([0.1, 0.2, -0.3, 0.4, -1.5, 0.3])}, _functions, True, level2="~ w"
    ),
    "linear": _case(
        SLOPES, {**_APART, "lambda_": np.array([0.4, -0.3])},
        _latent([0.4, -0.3], True, True), False, association="linear",
    ),
    "linear, raw": _case(
        SLOPES, {**_APART, "lambda_": np.array([0.4, -0.3])},
        _latent([0.4, -0.3], False, True), False, association="linear", latent_scale="raw",
    ),
    "quadratic": _case(
        ONE, {"sd": SD[[0, 2]], "lambda_": np.array([0.3, 0.1])},
        _latent([0.3, 0.1], True, False), False, association="quadratic",
    ),
    "quadratic, raw": _case(
        SLOPES, {**_APART, "lambda_": np.array([0.3, -0.2, 0.08, -0.4])},
        _latent([0.3, -0.2, 0.08, -0.4], False, True), False, association="quadratic",
        latent_scale="raw",
    ),
    "student_t": _case(
        SLOPES, {"sd": SD, "rho": RHO, "nu": 9.0}, _student(9.0, SD, RHO, 2), True,
        random_effects="student_t",
    ),
    "student_t, u alone": Case(
        ModelSpec(ONE.format(""), "~ 1 + w", random_effects="student_t"),
        {"sd": SD[:1], "nu": 9.0}, _student(9.0, SD[:1], (), 1),
    ),
    "classes": _case(
        ONE, {"classes": (PI, POINTS)}, _classes, True, random_effects="classes", classes=3
    ),
}  # fmt: skip
