"""Latent classes in Stan: the data block, where chains start, and classes drawn afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge import names, scales
from bridge.class_likelihood import ClassDraws, covariances, drawn_classes, log_joint, probabilities
from bridge.design import Design
from bridge.engines.posterior import Classes, Draws
from bridge.engines.stan_products import constant_variance_function

#: Read from the data block of the other programs as they are there.
_SHARED = (
    "J", "p", "k", "qu", "qv", "gamma_prior_kind", "gamma_prior", "delta_prior_kind",
    "delta_prior", "sd_prior_kind", "sd_prior",
)  # fmt: skip
#: k-means runs of which each chain starts at the best, and the most rounds of one.
_RUNS, _ROUNDS = 5, 20
#: The least distance of two classes at the start, in SDs of the effect that orders them.
_LEAST_GAP = 0.05
#: The share of a group's largest singular value below which one is rounding.
_NO_PART = 1e-13


def class_data(design: Design, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data block of ``latent_classes.stan``, rows group by group.

    Where the variance function is constant within groups, a few rows of each group stand for all of
    them: those of a factor R with the same sums of products, R'R = M'M of M = (y, X, Z). On High
    School and Beyond two a school say what its 45 students say.

    Parameters
    ----------
    design : Design
        The model on its data.
    data : mapping
        What `bridge.engines.stan_data.stan_data` made of it.
    """
    X, W, Z, A = design.mean.matrix, design.variance.matrix, design.Z, design.A
    mean = np.column_stack([design.y, X, Z])
    group, first_of, mean, count = _fewer_rows(design, mean)
    size, p = np.bincount(group, minlength=len(design.group_labels)), X.shape[1]
    return {name: data[name] for name in _SHARED} | {
        "N": len(group),
        "K": design.spec.classes,
        "count": count,
        "y": mean[:, 0],
        "X": mean[:, 1 : p + 1],
        "W": W[first_of],
        "Z": mean[:, p + 1 :],
        "A": A[first_of],
        "first": np.concatenate([[0], np.cumsum(size)[:-1]]) + 1,
        "size": size,
        "ordering": names.ordering_effect(design.effects) + 1,
        "mean_column": _same_columns(Z, X),
        "variance_column": _same_columns(A, W),
        "concentration": design.priors.pi.parameters[0],
    }


def _fewer_rows(
    design: Design, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows that Stan is given, group by group.

    Returns
    -------
    group : (n,) array of int
        The group of each, from 0.
    row : (n,) array of int
        A row of the data with its log variance.
    mean : (n, 1 + p + qu) array
        Its part of y, X and Z.
    count : (n,) array
        How many rows of the data it stands for.
    """
    order = np.argsort(design.group, kind="stable")
    if not constant_variance_function(design):
        return design.group[order], order, mean[order], np.ones(len(order))
    norm = np.sqrt((mean**2).sum(axis=0))
    norm[norm == 0] = 1.0
    of_group = np.split(order, np.flatnonzero(np.diff(design.group[order])) + 1)
    factors, counts = [], []
    for rows in of_group:
        _, s, vt = np.linalg.svd(mean[rows] / norm, full_matrices=False)
        kept = s > _NO_PART * s[0]
        kept[0] = True
        factors.append(s[kept, None] * vt[kept] * norm)
        counts.append(np.full(kept.sum(), len(rows) / kept.sum()))
    many = [len(factor) for factor in factors]
    group = np.repeat(np.arange(len(of_group)), many)
    row = np.repeat([rows[0] for rows in of_group], many)
    return group, row, np.vstack(factors), np.concatenate(counts)


def _same_columns(effects: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return for each column of effects the one of the fixed design it equals, from 1; or 0."""
    found = np.zeros(effects.shape[1], dtype=int)
    for a, column in enumerate(effects.T):
        equal = np.flatnonzero((fixed == column[:, None]).all(axis=0))
        found[a] = equal[0] + 1 if len(equal) else 0
    return found


# --- where chains start -----------------------------------------------------------------------
def class_points(
    start: Mapping[str, np.ndarray], chains: int, seed: int, data: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Make starting points: each chain's classes by its own clustering of the groups' effects.

    Parameters
    ----------
    start : mapping
        What `bridge.starting.starting_values` returned.
    chains : int
        How many points.
    seed : int
        The same seed gives the same points.
    data : mapping
        The data block, as `class_data` makes it.

    Returns
    -------
    list of dict
        A dict a chain, with a value for every parameter of the program.
    """
    rng = np.random.default_rng(seed)
    K, first = data["K"], data["ordering"] - 1
    points = []
    for _ in range(chains):
        found = {
            name: start[name] + start[f"{name}_step"] * rng.normal(size=start[name].shape)
            for name in ("gamma", "delta")
        }
        effects = (start["effects"] / start["sd"][:, None]).T
        centres, share = _clusters(effects, K, rng)
        centres = centres + 0.1 * rng.normal(size=centres.shape)
        order = np.argsort(centres[:, first])
        weight, standard = share[order], centres[order]
        steps = np.diff(standard, axis=0)
        steps[:, first] = np.maximum(steps[:, first], _LEAST_GAP)
        steps = steps * start["sd"]
        b = np.vstack([np.zeros(len(start["sd"])), np.cumsum(steps, axis=0)])
        shift = weight @ (b - b.mean(axis=0))
        for name, column, part in (
            ("gamma", data["mean_column"], shift[: data["qu"]]),
            ("delta", data["variance_column"], shift[data["qu"] :]),
        ):
            found[name][column[column > 0] - 1] -= part[column > 0]
        points.append(
            {
                "free_gamma": found["gamma"],
                "free_delta": found["delta"],
                "weight": weight,
                "gap": steps[:, first],
                "step": np.delete(steps, first, axis=1),
            }
        )
    return points


def _clusters(
    effects: np.ndarray, K: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (K, q) and smoothed shares (K,) of K clusters of rows, by k-means."""
    best, centres, label = np.inf, effects[:K], np.zeros(len(effects), dtype=int)
    for _ in range(_RUNS):
        found = _seeds(effects, K, rng)
        for _ in range(_ROUNDS):
            distance = ((effects[:, None, :] - found) ** 2).sum(axis=-1)
            nearest = distance.argmin(axis=1)
            for c in np.unique(nearest):
                found[c] = effects[nearest == c].mean(axis=0)
        within = float(((effects[:, None, :] - found) ** 2).sum(axis=-1).min(axis=1).sum())
        if within < best:
            best, centres, label = within, found, nearest
    return centres, (np.bincount(label, minlength=K) + 1.0) / (len(effects) + K)


def _seeds(effects: np.ndarray, K: int, rng: np.random.Generator) -> np.ndarray:
    """Return K rows, each the likelier the further it is from those before (k-means++)."""
    chosen = [int(rng.integers(len(effects)))]
    while len(chosen) < K:
        far = ((effects[:, None, :] - effects[chosen]) ** 2).sum(axis=-1).min(axis=1)
        p = far / far.sum() if far.sum() > 0 else None
        chosen.append(int(rng.choice(len(effects), p=p)))
    return effects[chosen].copy()


# --- draws ------------------------------------------------------------------------------------
def class_draws(
    design: Design, draws: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray], seed: int
) -> Draws:
    """Return draws with a class of every group drawn given the parameters and its rows, exactly.

    Parameters
    ----------
    design : Design
        The model on its data.
    draws : mapping
        gamma, delta, weight and point, [chain, draw, ...].
    stats : mapping
        The sampler's statistics, in ArviZ's names.
    seed : int
        The same seed gives the same classes.
    """
    shape = draws["delta"].shape[:2]
    gamma = draws.get("gamma", np.zeros((*shape, 0)))
    parts = (gamma, draws["delta"], draws["weight"], draws["point"])
    flat = ClassDraws(*(part.reshape(-1, *part.shape[2:]) for part in parts))
    probability = probabilities(log_joint(design, flat))
    rng = np.random.default_rng([seed, 1])  # a stream of its own
    latent = drawn_classes(probability, rng)
    effects = np.take_along_axis(flat.points, latent[:, :, None], axis=1)
    T = covariances(draws["weight"], draws["point"])
    sd = np.sqrt(np.diagonal(T, axis1=-2, axis2=-1))
    rho = [T[..., a, b] / (sd[..., a] * sd[..., b]) for a, b in design.rho_pairs]
    return Draws(
        gamma=gamma,
        delta=draws["delta"],
        sd=sd,
        rho=np.clip(np.stack(rho, axis=-1), -1, 1) if rho else np.zeros((*shape, 0)),
        effects=effects.reshape(*shape, *effects.shape[1:]),
        sample_stats=stats,
        classes=Classes(
            pi=draws["weight"], points=draws["point"], T=T, membership=probability.mean(axis=0)
        ),
    )


# --- in words ---------------------------------------------------------------------------------
def class_header(design: Design) -> Sequence[str]:
    """Say in comments of Stan what the mass points and weights of a model are."""
    priors, K = design.priors, design.spec.classes
    first = design.effects[names.ordering_effect(design.effects)]
    lines = [f"// K = {K} latent classes in the order of {first}, weight (pi) ~ {priors.pi}"]
    for effect, prior in zip(design.effects, priors.sd, strict=True):
        scale = scales.EFFECT[effect[0]]
        lines.append(f"// points of {effect} ({scale}): {prior}, reflected, about their mean")
    return lines
