"""Mean and variance of the outcome at rows given the group effects; pure NumPy.

With n rows, q effects and S sets of parameters, in the notation of Leckie et al. (2014),

    m = x'gamma + z'u,  s2 = exp(w'delta + a'v + l(u)),

where l(u) is what a latent association adds. `bridge.group_population` has what their law makes of
these over groups.
"""

from __future__ import annotations

import numpy as np

from bridge import names
from bridge.level2_profile import covariance_elements
from bridge.newdata import NewRows
from bridge.parameter_sets import Parameters
from bridge.result import Result


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
            u = u / sd_of_u(sets, rows)
        covariates = np.concatenate([u, u**2], axis=-1)[..., : sets.lambda_.shape[-1]]
        log_variance = log_variance + np.einsum("sna,sa->sn", covariates, sets.lambda_)
    return mean, log_variance


def sd_of_u(sets: Parameters, rows: NewRows) -> np.ndarray:
    """Return the SDs of u, (S, 1 or n, number of u)."""
    T = level2_covariance(sets, rows)
    sd: np.ndarray = np.sqrt(np.diagonal(T, axis1=-2, axis2=-1)[..., : sets.qu])
    return sd


def numbers_by_row(result: Result, size: int) -> int:
    """Return about how many numbers are held for one row and ``size`` sets of parameters."""
    q = len(result.effects)
    return size * (12 + 3 * q + (3 * q * q if result.level2_terms else 0))
