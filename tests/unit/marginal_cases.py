"""Small data, designs of every kind, and likelihoods by plain grids, for the tests of agq."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bridge.design import Design, make_design
from bridge.marginal.canonical import free_of
from bridge.marginal.nodes import Placement
from bridge.marginal.problem import Evaluation, Problem, make_problem, replace_nodes
from bridge.spec import ModelSpec

Parts = dict[str, Any]
_OWN = {"mean": "y ~ 1 + x + (1 | g)", "variance": "~ 1 + w + (1 | g)"}
SHARED = {"mean": "y ~ 1 + x + (1 | s | g)", "variance": "~ 1 + w + (1 | s | g)"}
_TWO = "y ~ 1 + x + (1 + x | s | g)"
_TWO_OWN = "y ~ 1 + x + (1 + x | g)"
_UU = "tau[u:Intercept,u:Intercept]"

#: What is in the model -> the spec.
DESIGNS: dict[str, Parts] = {
    "no groups": {"mean": "y ~ 1 + x", "variance": "~ 1 + w"},
    "u": {"mean": _OWN["mean"], "variance": "~ 1 + w"},
    "v": {"mean": "y ~ 1 + x", "variance": _OWN["variance"]},
    "u, v": _OWN,
    "uv": SHARED,
    "2u 2v": {"mean": _TWO, "variance": "~ 1 + w + (1 + w | s | g)"},
    "u 3v": {"mean": SHARED["mean"], "variance": "~ 1 + w + (1 + w + x | s | g)"},
    "3u v": {"mean": "y ~ 1 + x + (1 + x + w | s | g)", "variance": SHARED["variance"]},
    "||": {"mean": "y ~ 1 + x + (1 + x || g)", "variance": "~ 1 + w + (1 + w || g)"},
    "ids": {
        "mean": "y ~ 1 + x + (1 | a | g) + (0 + x | b | g)",
        "variance": "~ 1 + w + (1 | b | g) + (0 + w | a | g)",
    },
    "v slope alone": {"mean": SHARED["mean"], "variance": "~ 1 + w + (0 + w | s | g)"},
    "level2": {"mean": _TWO, "variance": SHARED["variance"], "level2": "~ h"},
    "level2 by element": {
        "mean": _TWO,
        "variance": SHARED["variance"],
        "level2": {"tau[u:x,u:x]": "~ h", "rho[u:Intercept,v:Intercept]": "~ k"},
    },
    "level2 partial": {
        "mean": _TWO,
        "variance": SHARED["variance"],
        "level2": {"tau[u:x,u:x]": "~ h", "pcor": "~ h", "pcor[u:x,v:Intercept]": "~ 0 + k"},
    },
    "level2 partial in one of two blocks": {
        "mean": "y ~ 1 + x + (1 | a | g) + (0 + x | b | g)",
        "variance": "~ 1 + w + (1 | b | g) + (0 + w | a | g)",
        "level2": {"pcor[u:Intercept,v:w]": "~ h", "rho[u:x,v:Intercept]": "~ h"},
    },
    "level2 of u": {"mean": _TWO_OWN, "variance": "~ 1 + w", "level2": "~ h"},
    "level2 of v": {"mean": "y ~ 1 + x", "variance": "~ 1 + w + (1 + w | g)", "level2": "~ h + k"},
}
for _kind in ("linear", "quadratic"):
    for _scale in ("standardised", "raw"):
        _more = {"association": _kind, "latent_scale": _scale}
        DESIGNS |= {
            f"{_kind} {_scale}": _OWN | _more,
            f"{_kind} {_scale} without v": DESIGNS["u"] | _more,
            f"{_kind} {_scale} 2u": _OWN | {"mean": _TWO_OWN} | _more,
            f"{_kind} {_scale} 2v": _OWN | {"variance": "~ 1 + w + (1 + w | g)"} | _more,
            f"{_kind} {_scale} v slope alone": _OWN | {"variance": "~ 1 + w + (0 + w | g)"} | _more,
            f"{_kind} {_scale} level2": _OWN | {"mean": _TWO_OWN, "level2": {_UU: "~ h"}} | _more,
        }


def frame(sizes: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 3, 4), seed: int = 0) -> pd.DataFrame:
    """Return rows of groups of the given sizes: y, x, w, and h and k constant within groups g."""
    rng = np.random.default_rng(seed)
    J, n = len(sizes), sum(sizes)
    g = np.repeat(np.arange(J), sizes)
    x, w = rng.normal(size=(2, n))
    u, v, h = rng.normal(size=(3, J))[:, g]
    y = 1 + x + u + np.exp(0.5 * (0.3 * w + 0.5 * v)) * rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "w": w, "h": h, "k": (g % 2).astype(float), "g": g})


def simulated(
    groups: int = 40, size: int = 8, seed: int = 0, sd_u: float = 1.0, sd_v: float = 0.5,
    rho: float = 0.0, slope: float = 0.0,
) -> pd.DataFrame:  # fmt: skip
    """Return data of a known model: gamma = (1, 0.5), delta = (0.2, 0.3); slope is an SD of x's."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x, w = rng.normal(size=(2, len(g)))
    z = rng.normal(size=(2, groups))
    u, v = sd_u * z[0], sd_v * (rho * z[0] + np.sqrt(1 - rho**2) * z[1])
    y = 1 + 0.5 * x + u[g] + np.exp(0.5 * (0.2 + 0.3 * w + v[g])) * rng.normal(size=len(g))
    y += slope * rng.normal(size=groups)[g] * x
    return pd.DataFrame({"y": y, "x": x, "w": w, "k": (g % 2).astype(float), "g": g})


def problem_of(parts: Parts, data: pd.DataFrame | None = None, nodes: int | None = None) -> Problem:
    return make_problem(make_design(ModelSpec(**parts), frame() if data is None else data), nodes)


def at_random(problem: Problem, seed: int, size: float = 0.4) -> np.ndarray:
    """Return parameters inside the model, nowhere special."""
    free = size * np.random.default_rng(seed).normal(size=problem.size)
    while problem.split(free) is None:
        free = 0.7 * free
    return free


def settled(problem: Problem, free: np.ndarray) -> tuple[Placement, Evaluation]:
    """Return the nodes at the posteriors of these parameters, and what they give."""
    placement = replace_nodes(problem, free, problem.evaluate(free).placement)
    return placement, problem.evaluate(free, placement, fixed=True)


def given(
    problem: Problem, gamma: np.ndarray, delta: np.ndarray, T: np.ndarray, lam: np.ndarray
) -> np.ndarray:
    """Return the free parameters of canonical ones, T constant."""
    return free_of(problem, gamma, delta, T, lam if len(lam) else None)


# --- likelihoods by grids ----------------------------------------------------------------------
_EDGE, _POINTS = 8.0, 401


def moments_by_grid(
    design: Design, gamma: np.ndarray, delta: np.ndarray, T: np.ndarray, lam: np.ndarray,
    standardised: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Integrate over u AND v, one effect each, by the trapezoid rule on 401 by 401 points.

    Parameters
    ----------
    T : (2, 2) or (J, 2, 2) array
    lam : (0,), (1,) or (2,) array
        The association.

    Returns
    -------
    log-likelihoods (J,), means (J, 2) and covariances (J, 2, 2) of (u, v) given y.
    """
    x = np.linspace(-_EDGE, _EDGE, _POINTS)
    axes = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    log_prior = -0.5 * (axes**2).sum(axis=1) - np.log(2 * np.pi)
    loglik, means, covariances = [], [], []
    for j in range(len(design.group_labels)):
        own = T if T.ndim == 2 else T[j]
        u, v = effects = np.linalg.cholesky(own) @ axes.T
        covariate = u / np.sqrt(own[0, 0]) if standardised else u
        shift = sum(c * covariate ** (i + 1) for i, c in enumerate(lam))
        each = log_prior.copy()
        for i in np.flatnonzero(design.group == j):
            log_variance = design.variance.matrix[i] @ delta + design.A[i, 0] * v + shift
            r = design.y[i] - design.mean.matrix[i] @ gamma - design.Z[i, 0] * u
            each -= 0.5 * (np.log(2 * np.pi) + log_variance + r**2 * np.exp(-log_variance))
        p = np.exp(each - each.max())
        loglik.append(np.log(p.sum()) + each.max() + 2 * np.log(x[1] - x[0]))
        p /= p.sum()
        means.append(effects @ p)
        away = effects - means[-1][:, None]
        covariances.append((p * away) @ away.T)
    return np.array(loglik), np.array(means), np.array(covariances)


def loglik_given_v(
    design: Design, gamma: np.ndarray, delta: np.ndarray, T: np.ndarray, points: int
) -> np.ndarray:
    """Integrate v alone by the trapezoid rule; y given v is normal with u in its covariance."""
    qu, qv = len(design.mean_effects), len(design.variance_effects)
    x = np.linspace(-_EDGE, _EDGE, points)
    axes = np.stack(np.meshgrid(*[x] * qv, indexing="ij"), axis=-1).reshape(-1, qv)
    v = axes @ np.linalg.cholesky(T[qu:, qu:]).T
    along = T[:qu, qu:] @ np.linalg.inv(T[qu:, qu:])
    left = T[:qu, :qu] - along @ T[qu:, :qu]
    found = []
    for j in range(len(design.group_labels)):
        rows = design.group == j
        Z, X, W = design.Z[rows], design.mean.matrix[rows], design.variance.matrix[rows]
        variance = np.exp(W @ delta + v @ design.A[rows].T)
        r = design.y[rows] - X @ gamma - (v @ along.T) @ Z.T
        whole = Z @ left @ Z.T + variance[:, :, None] * np.eye(rows.sum())
        solved = np.linalg.solve(whole, r[..., None])[..., 0]
        each = -0.5 * (np.linalg.slogdet(whole)[1] + (r * solved).sum(axis=1))
        each -= 0.5 * (rows.sum() + qv) * np.log(2 * np.pi) + 0.5 * (axes**2).sum(axis=1)
        found.append(np.logaddexp.reduce(each) + qv * np.log(x[1] - x[0]))
    return np.array(found)
