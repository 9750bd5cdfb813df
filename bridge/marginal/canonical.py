"""From free parameters to the canonical ones: values, derivatives, group effects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bridge.marginal.collapsed import forward
from bridge.marginal.law import FunctionLaw
from bridge.marginal.nodes import Placement
from bridge.marginal.problem import Problem

#: An effect does not vary where its SD is below this share of its unit.
_NO_SD = 1e-10


def level2_covariance(problem: Problem, free: np.ndarray) -> np.ndarray:
    """Return T in the user's units, (1, q, q), or (J, q, q) with level-2 functions."""
    law = problem.parts(free)[2]
    if isinstance(problem.law, FunctionLaw):
        # a matrix of correlations has elements also where it is not one
        sd, correlation = problem.law.elements(law)
        sd = sd * problem.law.unit
        return sd[:, :, None] * correlation * sd[:, None]
    F = problem.law.factor(law)
    assert F is not None
    moved = problem.coordinates.effects @ F
    found: np.ndarray = moved @ moved.swapaxes(1, 2)
    return found


def units(problem: Problem) -> np.ndarray:
    """Return for each effect an SD, in the user's units, to which others are small or large."""
    found: np.ndarray = np.sqrt((problem.coordinates.effects**2).sum(axis=1))
    return found


def canonical(problem: Problem, free: np.ndarray) -> np.ndarray:
    """Return gamma, delta, lambda_, tau, rho and kappa in the order of `parameter_table`.

    A correlation with an effect that does not vary is NaN.
    """
    gamma, delta, law, lam = problem.parts(free)
    to = problem.coordinates
    parts = [to.gamma @ gamma, to.delta @ delta, to.latent * lam]
    design = problem.design
    if not design.effects:
        return np.concatenate(parts)
    T = level2_covariance(problem, free)[0]
    parts.append(np.array([T[pair] for pair in design.constant_tau_pairs]))
    unit = units(problem)
    scaled = T / np.outer(unit, unit)
    parts.append(np.array([_correlation(scaled, a, b) for a, b in design.constant_rho_pairs]))
    if isinstance(problem.law, FunctionLaw):
        parts += [
            problem.law.kappa(law, pair)
            for pair in design.tau_pairs
            if design.element(pair) in design.level2
        ]
    return np.concatenate(parts)


def _correlation(T: np.ndarray, a: int, b: int) -> float:
    size = np.sqrt(T[a, a] * T[b, b])
    return float(T[a, b] / size) if size > _NO_SD**2 else float("nan")


def free_of(
    problem: Problem, gamma: np.ndarray, delta: np.ndarray, covariance: np.ndarray,
    lam: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Return free parameters from canonical ones; those of level-2 functions from a constant T."""
    to = problem.coordinates
    back = np.linalg.inv(to.effects)
    law = problem.law.start(back @ covariance @ back.T) if problem.law.size else np.zeros(0)
    latent = np.zeros(problem.sizes[3]) if lam is None else lam / to.latent
    return np.concatenate(
        [np.linalg.solve(to.gamma, gamma), np.linalg.solve(to.delta, delta), law, latent]
    )


def jacobian(
    of: Callable[[np.ndarray], np.ndarray], free: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Return the derivatives of a smooth function of the free parameters, by central differences.

    tau is quadratic in them, so that its are exact but for rounding.
    """
    columns = []
    for i, step in enumerate(steps):
        moved = np.zeros_like(free)
        moved[i] = step
        columns.append((of(free + moved) - of(free - moved)) / (2 * step))
    return np.stack(columns, axis=1) if columns else np.zeros((len(of(free)), 0))


def effects(
    problem: Problem, free: np.ndarray, placement: Placement
) -> tuple[np.ndarray, np.ndarray]:
    """Return the empirical-Bayes means (J, q) and covariances (J, q, q) of (u, v) by group.

    The posterior of the effects given the data and the parameters, which count as known.

    Parameters
    ----------
    problem : Problem
    free : (P,) array
        The parameters.
    placement : Placement
        Of the nodes there.
    """
    parts = problem.split(free)
    assert parts is not None
    F, found = parts
    F = problem.coordinates.effects @ F
    gamma, delta = problem.parts(free)[:2]
    q = F.shape[1]
    mean, covariance = np.zeros((problem.groups, q)), np.zeros((problem.groups, q, q))
    for block in problem.blocks:
        here = block.groups
        local = placement.of(here)
        state = forward(block, gamma, delta, found.factor.of(here), local.nodes(problem.rule))
        _, p = local.integrate(problem.rule, state.z, state.loglik)
        x = np.concatenate([state.z, np.broadcast_to(state.e, (*p.shape, state.e.shape[2]))], 2)
        centre = (p[..., None] * x).sum(axis=1)
        away = x - centre[:, None]
        second = (p[..., None] * away).swapaxes(1, 2) @ away
        m = state.z.shape[2]
        second[:, m:, m:] += (p[..., None, None] * state.inverse).sum(axis=1)
        factor = F if len(F) == 1 else F[here]
        if found.turn is not None:
            factor = factor @ (found.turn if len(found.turn) == 1 else found.turn[here])
        mean[here] = (factor @ centre[..., None])[..., 0]
        covariance[here] = factor @ second @ factor.swapaxes(1, 2)
    return mean, covariance
