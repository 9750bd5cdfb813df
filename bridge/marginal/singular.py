"""A singular T in words: what does not vary, and what follows from what."""

from __future__ import annotations

import numpy as np

from bridge.marginal.canonical import level2_covariance, units
from bridge.marginal.law import FunctionLaw
from bridge.marginal.maximum import Maximum
from bridge.marginal.problem import Problem

_ZERO = 1e-8
_ONE = 1e-7
#: The smallest eigenvalue of a correlation matrix that has reached the edge of the model.
_EDGE = 1e-3


def relations(found: Maximum) -> list[str]:
    """Return a sentence for each direction of T in which there is no variance.

    An effect without variance is named; others are written as what they are a sum of, in
    the user's units.
    """
    design = found.problem.design
    T = level2_covariance(found.problem, found.climb.free)[0]
    unit = units(found.problem)
    said = []
    for number in dict.fromkeys(design.block):
        own = [i for i, block in enumerate(design.block) if block == number]
        said += _of_block(T[np.ix_(own, own)], [design.effects[i] for i in own], unit[own])
    return said


def _of_block(T: np.ndarray, labels: list[str], unit: np.ndarray) -> list[str]:
    sd = np.sqrt(np.maximum(np.diag(T), 0.0))
    flat = sd < _ZERO * unit
    said = [f"{label} does not vary." for label, zero in zip(labels, flat, strict=True) if zero]
    kept, followers = _pivots(T, [i for i, zero in enumerate(flat) if not zero], sd)
    for i in followers:
        weights = np.linalg.solve(T[np.ix_(kept, kept)], T[kept, i])
        said.append(f"{labels[i]} = {_sum(weights, [labels[k] for k in kept])} in every group.")
    return said


def _sum(weights: np.ndarray, labels: list[str]) -> str:
    """Write a weighted sum, as ``-0.32 u:Intercept + 1.4 v:Intercept``."""
    text = " ".join(
        f"{'-' if w < 0 else '+'} {abs(w):.4g} {label}"
        for w, label in zip(weights, labels, strict=True)
    )
    return text.removeprefix("+ ").replace("- ", "-", 1) if text.startswith("-") else text[2:]


def _pivots(T: np.ndarray, among: list[int], sd: np.ndarray) -> tuple[list[int], list[int]]:
    """Return effects that vary freely and those that follow from them."""
    unit = np.where(sd > 0, sd, 1.0)
    left = T / np.outer(unit, unit)
    kept: list[int] = []
    remaining = list(among)
    while remaining:
        # of equal ones the first, so that effects of the variance follow from those of the mean
        best = max(remaining, key=lambda i: round(float(left[i, i]), 6))
        if left[best, best] < _ONE:
            break
        kept.append(best)
        remaining.remove(best)
        left = left - np.outer(left[:, best], left[best]) / left[best, best]
    return sorted(kept), remaining


def groups_at_edge(problem: Problem, free: np.ndarray) -> list[str]:
    """Return the groups whose level-2 correlations, being functions, are near singular."""
    if not isinstance(problem.law, FunctionLaw):
        return []
    _, correlation = problem.law.elements(problem.parts(free)[2])
    smallest = np.linalg.eigvalsh(correlation)[:, 0]
    return [problem.design.group_labels[j] for j in np.flatnonzero(smallest < _EDGE)]


def at_bound(found: Maximum) -> np.ndarray:
    """Return which canonical estimates lie at the end of their range: (n,) array of bool.

    Variances of zero with their covariances, and correlations of one.
    """
    design = found.problem.design
    before = len(design.mean.labels) + len(design.variance.labels) + len(design.latent_terms)
    flags = np.zeros(len(found.estimates), dtype=bool)
    if not design.effects:
        return flags
    T = found.level2
    sd = np.sqrt(np.maximum(np.diag(T), 0.0))
    for offset, (a, b) in enumerate(design.constant_tau_pairs):
        flags[before + offset] = min(sd[a], sd[b]) < 1e-150
    before += len(design.constant_tau_pairs)
    for offset, _ in enumerate(design.constant_rho_pairs):
        value = found.estimates[before + offset]
        flags[before + offset] = np.isfinite(value) and 1 - value**2 < _ONE
    return flags
