"""A model at given parameters: its level-2 matrices, effects and outcomes drawn from it, densities.

Parameters are values by flat name on the canonical scales, complete as `bridge.truth` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bridge import names
from bridge.design import Design
from bridge.errors import OptionError
from bridge.level2_profile import covariance_elements
from bridge.pointwise import log_density, predictors

#: The smallest eigenvalue of a correlation matrix that still counts as one with a zero.
_ROUNDING = -1e-8


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn. J groups, q effects, N rows.

    Attributes
    ----------
    effects : (J, q) array
        u before v, canonical scales.
    y : (N,) array
        The outcome.
    """

    effects: np.ndarray
    y: np.ndarray


def draw(
    design: Design,
    values: Mapping[str, float],
    of_effects: np.random.Generator,
    of_rows: np.random.Generator,
) -> Drawn:
    """Draw the effects of new groups with the same designs, and the outcomes of their rows.

    Parameters
    ----------
    design : Design
        The model; its own outcome is not read.
    values : mapping of str to float
        Every parameter.
    of_effects, of_rows : numpy.random.Generator
        Random numbers for the two; they may be the same.

    Returns
    -------
    Drawn

    Raises
    ------
    OptionError
        Where a matrix of level 2 is no covariance matrix.

    Notes
    -----
    Leckie, French, Charlton & Browne (2014), equations 1.1 to 3.3. Student-t effects are normal
    ones times sqrt(nu / chi-square(nu)), the same for all effects of a group; a latent class is
    drawn with its weight.
    """
    effects = _drawn_effects(design, values, of_effects)
    mean, log_variance = given(design, values, effects)
    noise = of_rows.standard_normal(len(design.y))
    return Drawn(effects, mean + np.exp(0.5 * log_variance) * noise)


def with_outcome(design: Design, y: np.ndarray) -> Design:
    """Return a design with another outcome in the same rows."""
    return replace(design, y=y)


def given(
    design: Design, values: Mapping[str, float], effects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the log variance (N,) of every row given the effects (J, q)."""
    gamma = several(values, "gamma", design.mean.labels)
    delta = several(values, "delta", design.variance.labels)
    return predictors(design, gamma, delta, effects, _association(design, values, effects))


def log_likelihood(design: Design, values: Mapping[str, float], effects: np.ndarray) -> float:
    """Return log p(y | parameters, u, v), all constants counted.

    Parameters
    ----------
    design : Design
        N rows of J groups, their outcome in it.
    values : mapping of str to float
        Every parameter.
    effects : (J, q) array
        The effects of every group.
    """
    return float(log_density(design, *given(design, values, effects)).sum())


def several(values: Mapping[str, float], variable: str, labels: Sequence[str]) -> np.ndarray:
    """Return the values of a variable at some labels."""
    return np.array([values[names.flat(variable, label)] for label in labels], dtype=float)


def level2_matrices(design: Design, values: Mapping[str, float]) -> np.ndarray:
    """Return T, canonical scales: (1, q, q), or (J, q, q) with level-2 functions.

    Parameters
    ----------
    design : Design
        The model.
    values : mapping of str to float
        Every parameter; of a pair whose covariance is there its correlation is not read. Of
        Student-t effects T is the scale matrix, of latent classes the covariance of the points.
    """
    functions = {}
    for pair in design.tau_pairs:
        element = design.element(pair)
        if element in design.level2:
            encoded, variable = design.level2[element], design.kind(pair)
            labels = [
                names.kappa_label(variable, design.pair_label(pair), term)
                for term in encoded.labels
            ]
            functions[element] = encoded.matrix @ several(values, "kappa", labels)

    def constant(variable: str, label: str) -> Any:
        return values.get(names.flat(variable, label))

    q = len(design.effects)
    elements = covariance_elements(design.effects, functions, constant)
    T = np.zeros((len(design.group_labels) if functions else 1, q, q))
    for (first, second), value in elements.items():
        a, b = design.effects.index(first), design.effects.index(second)
        T[:, a, b] = T[:, b, a] = value
    return T


def roots(T: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return L with L L' equal to covariance matrices (g, q, q) that may be singular.

    Parameters
    ----------
    T : (g, q, q) array
        One matrix, or one for each group.
    labels : sequence of str
        The groups, for the message.

    Raises
    ------
    OptionError
        Where one is not positive semi-definite.
    """
    sd = np.sqrt(np.maximum(np.diagonal(T, axis1=1, axis2=2), 0.0))
    unit = np.where(sd > 0, sd, 1.0)
    scaled = T / (unit[:, :, None] * unit[:, None, :])
    size, vectors = np.linalg.eigh(scaled)
    wrong = np.flatnonzero(size[:, 0] < _ROUNDING)
    if len(wrong):
        where = f" of group {labels[wrong[0]]}" if len(T) > 1 else ""
        raise OptionError(
            f"The level-2 covariance matrix{where} is not positive semi-definite (its correlation "
            f"matrix has the eigenvalue {size[wrong[0], 0]:.4g}); make the correlations in it "
            "smaller, or write them as partial ones (pcor), which always make a matrix."
        )
    found: np.ndarray = unit[:, :, None] * vectors * np.sqrt(np.maximum(size, 0.0))[:, None, :]
    return found


def points_of(design: Design, values: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights (K,) and the mass points (K, q) of latent classes."""
    classes = names.class_labels(design.spec.classes)
    rows = [
        [values[names.flat(f"{e[0]}_class", names.class_effect(c, e))] for e in design.effects]
        for c in classes
    ]
    return several(values, "pi", classes), np.array(rows, dtype=float)


def _drawn_effects(
    design: Design, values: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    groups, q = len(design.group_labels), len(design.effects)
    if not q:
        return np.zeros((groups, 0))
    if design.spec.classes is not None:
        weights, points = points_of(design, values)
        return np.asarray(points[rng.choice(len(weights), groups, p=weights / weights.sum())])
    L = roots(level2_matrices(design, values), design.group_labels)
    found: np.ndarray = (L @ rng.standard_normal((groups, q))[..., None])[..., 0]
    if design.spec.random_effects == "student_t":
        nu = values["nu"]
        found = found * np.sqrt(nu / rng.chisquare(nu, groups))[:, None]
    return found


def _association(
    design: Design, values: Mapping[str, float], effects: np.ndarray
) -> np.ndarray | None:
    """Return what the effects of u add to the log variance of each group (J,)."""
    if design.spec.association is None:
        return None
    qu = len(design.mean_effects)
    u = effects[:, :qu]
    if design.spec.latent_scale == "standardised":
        T = level2_matrices(design, values)
        sd = np.sqrt(np.diagonal(T, axis1=1, axis2=2)[:, :qu])
        u = u / np.where(sd > 0, sd, 1.0)  # an effect without variance is zero
    lam = several(values, "lambda_", design.latent_terms)
    found: np.ndarray = np.hstack([u, u**2])[:, : len(lam)] @ lam
    return found
