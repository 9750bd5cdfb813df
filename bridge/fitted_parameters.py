"""A fit's estimates as the likelihood takes them: free parameters, T, whether T is singular."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bridge import names
from bridge.design import Design
from bridge.marginal.canonical import free_of, level2_covariance
from bridge.marginal.law import FunctionLaw
from bridge.marginal.problem import Problem, make_problem
from bridge.result import Result

#: An SD (u over the level-1 SD, v on the log variance) that counts as zero; lme4's tolerance.
_NO_SD = 1e-4
#: The smallest eigenvalue of a correlation matrix that counts as zero.
_NO_EIGENVALUE = 1e-6


def singular(result: Result, design: Design) -> bool:
    """Tell whether T has a direction without variance at the estimates, in any group."""
    if not design.effects:
        return False
    T = level2_matrices(result, design)
    sd = np.sqrt(np.maximum(np.diagonal(T, axis1=1, axis2=2), 0.0))
    delta = _estimates(result, "delta", design.variance.labels)
    level1 = float(np.sqrt(np.exp(design.variance.matrix @ delta).mean()))
    unit = np.sqrt((np.hstack([design.Z, design.A]) ** 2).mean(axis=0))
    unit[: len(design.mean_effects)] /= level1
    if bool((sd * unit < _NO_SD).any()):
        return True
    correlation = T / (sd[:, :, None] * sd[:, None, :])
    return bool(np.linalg.eigvalsh(correlation)[:, 0].min() < _NO_EIGENVALUE)


def _estimates(result: Result, variable: str, labels: Sequence[str]) -> np.ndarray:
    return np.array([result.estimate(names.flat(variable, label)) for label in labels])


def level2_matrices(result: Result, design: Design) -> np.ndarray:
    """Return T at a fit's estimates, canonical scales: (1, q, q), or (J, q, q) with functions."""
    if design.spec.level2 is None:
        return result.covariance().to_numpy(dtype=float)[None]
    problem = make_problem(design)
    return level2_covariance(problem, free_at(problem, result))


def free_at(problem: Problem, result: Result) -> np.ndarray:
    """Return the free parameters (P,) of a problem at a fit's estimates.

    Parameters
    ----------
    problem : Problem
        Of the fit's design, T of full rank.
    result : Result
        The fit; of any engine.
    """
    design = problem.design
    gamma = _estimates(result, "gamma", design.mean.labels)
    delta = _estimates(result, "delta", design.variance.labels)
    lam = _estimates(result, "lambda_", design.latent_terms)
    q = len(design.effects)
    if not isinstance(problem.law, FunctionLaw):
        T = result.covariance().to_numpy(dtype=float) if q else np.zeros((0, 0))
        return free_of(problem, gamma, delta, T, lam)
    free = free_of(problem, gamma, delta, np.eye(q), lam)
    law = problem.parts(free)[2]  # a view
    for pair, place in problem.law.slices.items():
        law[place] = problem.law.inner(_element(result, design, pair), pair)
    return free


def _element(result: Result, design: Design, pair: tuple[int, int]) -> np.ndarray:
    """Return the coefficients of one log variance or atanh correlation."""
    element, label = design.element(pair), design.pair_label(pair)
    variable = design.kind(pair)
    if element in design.level2:
        terms = design.level2[element].labels
        labels = [names.kappa_label(variable, label, term) for term in terms]
        return _estimates(result, "kappa", labels)
    known = dict(zip(result.estimates["parameter"], result.estimates["estimate"], strict=True))
    # a correlation with an effect that does not vary is not defined, and does not matter
    value = 0.0 if pd.isna(known[element]) else float(known[element])
    if variable == "tau":
        return np.array([np.log(max(value, 1e-300))])
    return np.arctanh(np.clip([value], -1 + _NO_EIGENVALUE, 1 - _NO_EIGENVALUE))
