"""The rank of T: whether a covariance matrix of lower rank reaches the same log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bridge.marginal.canonical import free_of, level2_covariance
from bridge.marginal.law import CholeskyLaw
from bridge.marginal.newton import Climb, Report, climb
from bridge.marginal.nodes import Placement
from bridge.marginal.problem import (
    DEFAULT_NODES,
    Problem,
    blocks_of,
    make_problem,
    replace_nodes,
)

#: An SD below this (of u over the level-1 SD, of v on the log variance) may be zero.
_SMALL = 0.02
#: T is singular where a T of lower rank has a log-likelihood as high, but for this.
_SAME = 1e-6
#: The most that an error of quadrature may excuse there.
_MOST_BLUR = 1e-3


def full_or_lower_rank(
    problem: Problem, found: Climb, report: Report
) -> tuple[Problem, Climb, tuple[int, ...]]:
    """Return the fit with T at the lowest rank that reaches the same log-likelihood.

    The same, but for what doubling the nodes moves either by, up to a limit for each.
    """
    if not isinstance(problem.law, CholeskyLaw):
        return problem, found, ()
    full = tuple(block.rank for block in blocks_of(problem.design))
    suspected = _ranks(problem, found.free)
    if suspected == full:
        return problem, found, full
    T = level2_covariance(problem, found.free)[0]
    top, blur = _sharper(problem, found)
    for ranks in _between(suspected, full):
        report(f"is T singular? Refitting with rank {sum(ranks)} of {sum(full)}")
        nodes = max(problem.nodes, DEFAULT_NODES[1])  # a lower rank may have fewer dimensions
        smaller = make_problem(problem.design, nodes, ranks, T)
        if smaller.dimensions == problem.dimensions:
            smaller = smaller.with_nodes(problem.nodes)
        smaller = replace(smaller, tick=problem.tick)
        gamma, delta, _, lam = problem.parts(found.free)
        to = problem.coordinates
        begin = free_of(smaller, to.gamma @ gamma, to.delta @ delta, T, to.latent * lam)
        refit = climb(smaller, begin, report)
        # other coordinates have other errors of quadrature, which finer nodes take away
        reached, own_blur = _sharper(smaller, refit)
        if refit.converged and reached >= top - _SAME - blur - own_blur:
            refit.trace[:0] = found.trace
            return smaller, refit, ranks
    return problem, found, full


def _ranks(problem: Problem, free: np.ndarray) -> tuple[int, ...]:
    """Return how many directions of each block have an SD that is clearly not zero."""
    F = problem.law.factor(problem.parts(free)[2])
    assert F is not None
    T = F[0] @ F[0].T
    design = problem.design
    outcome = problem.coordinates.outcome
    delta = problem.coordinates.delta @ problem.parts(free)[1]
    level1 = np.sqrt(np.exp(design.variance.matrix @ delta).mean()) / outcome
    unit = np.ones(len(T))
    unit[: len(design.mean_effects)] = level1
    found = []
    for block in blocks_of(design):
        own = list(block.effects)
        scaled = T[np.ix_(own, own)] / np.outer(unit[own], unit[own])
        sd = np.sqrt(np.maximum(np.linalg.eigvalsh(scaled), 0.0))
        found.append(int((sd > _SMALL).sum()))
    return tuple(found)


def _between(suspected: Sequence[int], full: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the ranks to try, lowest first."""
    tries = [tuple(suspected)]
    while True:
        last = tries[-1]
        raised = tuple(min(r + 1, f) for r, f in zip(last, full, strict=True))
        if raised == tuple(full):
            break
        tries.append(raised)
    # one block at a time, where several were suspected
    for position, (low, high) in enumerate(zip(suspected, full, strict=True)):
        alone = tuple(low if i == position else f for i, f in enumerate(full))
        if low < high and alone not in tries:
            tries.append(alone)
    return tries


def _sharper(problem: Problem, found: Climb) -> tuple[float, float]:
    """Return the log-likelihood with twice the nodes, and how far that moves it, up to a limit."""
    sharper = with_twice_the_nodes(problem, found.free, found.evaluation.placement)
    return sharper, min(abs(sharper - found.evaluation.loglik), _MOST_BLUR)


def with_twice_the_nodes(problem: Problem, free: np.ndarray, placement: Placement) -> float:
    """Return the log-likelihood with twice the nodes."""
    finer = problem.with_nodes(2 * problem.nodes + 1)
    better = replace_nodes(finer, free, placement)
    return finer.evaluate(free, better, scores=False, fixed=True).loglik
