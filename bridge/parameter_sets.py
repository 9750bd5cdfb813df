"""Parameters and group effects of a fit, many sets at once: draws, or estimates moved a little.

What is computed after a fit is a function of these arrays, whose first axis are the sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bridge import arviz_compat, names
from bridge.newdata import NewRows
from bridge.posterior_parts import parameters_of
from bridge.result import Result

#: From rows to the effects of their groups, (S, n, q).
Effects = Callable[[NewRows], np.ndarray]


@dataclass(frozen=True, eq=False)
class Parameters:
    """S sets of the parameters of a fit.

    Attributes
    ----------
    result : Result
        The fit.
    values : dict of str to (S,) array
        By flat name, canonical scale; real or complex.
    gamma, delta, lambda_ : (S, p), (S, k) and (S, l) arrays
        The same, in the order of the fit's columns.
    """

    result: Result
    values: Mapping[str, np.ndarray]
    gamma: np.ndarray
    delta: np.ndarray
    lambda_: np.ndarray

    @property
    def qu(self) -> int:
        """The number of effects of the mean."""
        return len(mean_effects(self.result))

    def of_classes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of latent classes (S, K), and their effects (S, K, q), u before v."""
        labels, qu = names.class_labels(self.result.spec.classes), self.qu
        pi = np.stack([self.values[names.flat("pi", label)] for label in labels], axis=-1)
        points = [
            [
                self.values[
                    names.flat(
                        "u_class" if place < qu else "v_class", names.class_effect(label, effect)
                    )
                ]
                for place, effect in enumerate(self.result.effects)
            ]
            for label in labels
        ]
        return pi, np.moveaxis(np.array(points), -1, 0)


def parameters(result: Result, values: Mapping[str, np.ndarray]) -> Parameters:
    """Return sets of parameters from their values by flat name, (S,) each."""
    constant = arviz_compat.groups_of(result.idata)["constant_data"]

    def stacked(variable: str, labels: list[str]) -> np.ndarray:
        columns = [values[names.flat(variable, label)] for label in labels]
        size = len(next(iter(values.values())))
        return np.stack(columns, axis=-1) if columns else np.zeros((size, 0))

    return Parameters(
        result,
        values,
        stacked("gamma", [str(t) for t in constant["mean_term"].values]),
        stacked("delta", [str(t) for t in constant["variance_term"].values]),
        stacked("lambda_", _latent_terms(result)),
    )


def mean_effects(result: Result) -> list[str]:
    """Return the labels of u."""
    letter = names.effect("u", "")
    return [effect for effect in result.effects if effect.startswith(letter)]


def _latent_terms(result: Result) -> list[str]:
    effects = mean_effects(result)
    squares = [names.square(effect) for effect in effects]
    return {None: [], "linear": effects, "quadratic": [*effects, *squares]}[result.spec.association]


def draws_of(result: Result) -> Parameters:
    """Return the draws of a posterior, chain by chain."""
    posterior = arviz_compat.groups_of(result.idata)["posterior"].transpose("chain", "draw", ...)
    return parameters(result, parameters_of(result, posterior)[0])


def at_estimates(result: Result) -> Parameters:
    """Return the estimates, one set; what has none stands at zero."""
    estimate = result.estimates["estimate"].to_numpy(dtype=float, na_value=0.0)
    labels = map(str, result.estimates["parameter"])
    return parameters(result, dict(zip(labels, estimate[:, None], strict=True)))


def repeated(sets: Parameters, size: int) -> Parameters:
    """Return one set of parameters many times."""
    values = {name: np.repeat(value[:1], size) for name, value in sets.values.items()}
    return parameters(sets.result, values)


def effects_of_draws(result: Result) -> np.ndarray:
    """Return the draws of all group effects, (S, J, q), u before v."""
    posterior = arviz_compat.groups_of(result.idata)["posterior"]
    found = []
    for name in ("u", "v"):
        if name in posterior:
            values = posterior[name].transpose("chain", "draw", result.spec.group, ...).values
            found.append(values.reshape(-1, *values.shape[2:]))
    return found[0] if len(found) == 1 else np.concatenate(found, axis=-1)


def drawn_effects(result: Result, some: np.ndarray | slice = slice(None)) -> Effects:
    """Return what gives the draws of the effects of known groups, all of them or some."""
    effects = effects_of_draws(result)[some]

    def of(rows: NewRows) -> np.ndarray:
        return effects[:, rows.group]

    return of


def estimated_effects(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimated effects of each group (J, q), and their covariances (J, q, q).

    NaN where an engine does not give a number. The covariances are those of the engine or, where it
    has none, the squares of the standard errors with the rest unknown.
    """
    q = len(result.effects)
    table = result.group_effects
    estimate = table["estimate"].to_numpy(dtype=float, na_value=np.nan).reshape(-1, q)
    if result.effects_covariance is not None:
        return estimate, result.effects_covariance
    se = table["se"].to_numpy(dtype=float, na_value=np.nan).reshape(-1, q)
    spread = np.full((*se.shape, q), np.nan)
    spread[:, range(q), range(q)] = se**2
    return estimate, spread


def roots(covariance: np.ndarray) -> np.ndarray:
    """Return L with L L' equal to covariance matrices (..., q, q) that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = vectors * np.sqrt(np.clip(values, 0.0, None))[..., None, :]
    return found
