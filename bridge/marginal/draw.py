"""New outcomes from a fitted or a given model: what a parametric bootstrap draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bridge.design import Design
from bridge.errors import EngineFailed
from bridge.marginal.problem import Problem


def draw_outcome(problem: Problem, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return outcomes (N,) of new groups with the same designs, rows in the design's order.

    Parameters
    ----------
    problem : Problem
        The model.
    free : (P,) array
        Its parameters.
    rng : numpy.random.Generator
        The same state gives the same outcomes.

    Raises
    ------
    EngineFailed
        Where the parameters give no covariance matrix.
    """
    design, coordinates = problem.design, problem.coordinates
    gamma, delta, law, lam = problem.parts(free)
    F = problem.law.factor(law)
    if F is None:
        raise EngineFailed("The parameters to simulate from give no covariance matrix.")
    u = len(design.mean_effects)
    x = rng.standard_normal((problem.groups, F.shape[2]))
    effects = (F @ x[..., None])[..., 0]
    group = design.group if design.spec.group else np.arange(len(design.y))
    own = (coordinates.effects @ effects.T).T[group]
    mean = design.mean.matrix @ (coordinates.gamma @ gamma) + (design.Z * own[:, :u]).sum(axis=1)
    log_variance = design.variance.matrix @ (coordinates.delta @ delta)
    log_variance += (design.A * own[:, u:]).sum(axis=1)
    if problem.association is not None:
        covariate = effects[:, :u]
        if problem.association.standardised:
            covariate = covariate / np.sqrt((F[:, :u] ** 2).sum(axis=2))
        shift = covariate @ lam[:u]
        if problem.association.kind == "quadratic":
            shift = shift + covariate**2 @ lam[u:]
        log_variance += shift[group]
    found: np.ndarray = mean + np.exp(0.5 * log_variance) * rng.standard_normal(len(design.y))
    return found


def with_outcome(design: Design, y: np.ndarray) -> Design:
    """Return a design with another outcome in the same rows."""
    return replace(design, y=y)
