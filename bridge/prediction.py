"""Mean and variance of the outcome at rows, for many sets of parameters at once; pure NumPy.

S sets of parameters are the draws of a posterior, or estimates each moved a little. With n rows, q
effects and T the covariance of a group's (u, v), in the notation of Leckie et al. (2014):

    given the effects:   m = x'gamma + z'u,  s2 = exp(w'delta + a'v + l(u))
    over a population:   m = x'gamma,  E s2 = exp(w'delta + c'T c / 2),  Var(z'u) = z'T_u z

where l(u) is what a latent association adds, and c holds a and, under a linear association, lambda
over the SDs of u (or lambda alone on the raw scale).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge import arviz_compat, names
from bridge.level2_profile import covariance_elements

if TYPE_CHECKING:
    from bridge.newdata import NewRows
    from bridge.result import Result


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


def level2_covariance(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return T by set and row, (S, n, q, q); one for all rows (S, 1, q, q) where it is constant."""
    effects, values = sets.result.effects, sets.values
    functions = {}
    for element, terms in sets.result.level2_terms.items():
        kappa = [values[names.flat("kappa", term["label"])] for term in terms]
        functions[element] = np.stack(kappa, axis=-1) @ rows.level2[element].T

    def constant(variable: str, label: str) -> np.ndarray | None:
        found = values.get(names.flat(variable, label))
        return None if found is None else found[:, None]

    elements = covariance_elements(effects, functions, constant)
    q, size = len(effects), len(sets.gamma)
    shape = np.broadcast_shapes((size, 1), *(np.shape(x) for x in elements.values()))
    T = np.zeros((*shape, q, q), np.result_type(float, *elements.values()))
    for (first, second), value in elements.items():
        a, b = effects.index(first), effects.index(second)
        T[..., a, b] = T[..., b, a] = value
    return T


def given_effects(
    sets: Parameters, rows: NewRows, effects: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the log variance of the outcome given the group effects.

    Parameters
    ----------
    sets : Parameters
        S sets.
    rows : NewRows
        n rows.
    effects : (S or 1, n, q) array or None
        The effects of each row's group, u before v; None is u = 0 and v = 0.

    Returns
    -------
    mean, log_variance : (S, n) arrays
        Outcome units, and the log of outcome units squared.
    """
    mean, log_variance = sets.gamma @ rows.X.T, sets.delta @ rows.W.T
    if effects is None or not effects.shape[-1]:
        return mean, log_variance
    u, v = effects[..., : sets.qu], effects[..., sets.qu :]
    mean = mean + np.einsum("sna,na->sn", u, rows.Z)
    log_variance = log_variance + np.einsum("sna,na->sn", v, rows.A)
    if sets.result.spec.association is not None:
        if sets.result.spec.latent_scale == "standardised":
            u = u / _sd_of_u(sets, rows)
        covariates = np.concatenate([u, u**2], axis=-1)[..., : sets.lambda_.shape[-1]]
        log_variance = log_variance + np.einsum("sna,sa->sn", covariates, sets.lambda_)
    return mean, log_variance


def _sd_of_u(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return the SDs of u, (S, 1 or n, number of u)."""
    T = level2_covariance(sets, rows)
    sd: np.ndarray = np.sqrt(np.diagonal(T, axis1=-2, axis2=-1)[..., : sets.qu])
    return sd


def over_population(sets: Parameters, rows: NewRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the expected variance within groups and that between groups, (S, n) each.

    Normal effects; no quadratic association.
    """
    mean, log_variance = sets.gamma @ rows.X.T, sets.delta @ rows.W.T
    if not sets.result.effects:
        return mean, np.exp(log_variance), np.zeros(mean.shape)
    T, qu = level2_covariance(sets, rows), sets.qu
    between = np.einsum("na,snab,nb->sn", rows.Z, T[..., :qu, :qu], rows.Z)
    if sets.result.spec.association is None:
        spread = np.einsum("na,snab,nb->sn", rows.A, T[..., qu:, qu:], rows.A)
    else:
        lam = sets.lambda_[:, None]
        if sets.result.spec.latent_scale == "standardised":
            lam = lam / _sd_of_u(sets, rows)
        u = np.broadcast_to(lam, (*mean.shape, qu))
        c = np.concatenate([u, np.broadcast_to(rows.A, (len(u), *rows.A.shape))], axis=-1)
        spread = np.einsum("sna,snab,snb->sn", c, T, c)
    return mean, np.exp(log_variance + 0.5 * spread), np.broadcast_to(between, mean.shape)


def numbers_by_row(result: Result, size: int) -> int:
    """Return about how many numbers are held for one row and ``size`` sets of parameters."""
    q = len(result.effects)
    return size * (8 + 3 * q + (3 * q * q if result.level2_terms else 0))
