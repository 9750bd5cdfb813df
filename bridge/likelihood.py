"""The mathematics of the models, shared by engines and tests; pure NumPy.

Without effects in the variance function y_j is normal with mean X_j gamma and covariance
Z_j T_u Z_j' + diag(exp(W_j delta)). With T_u = L L' (also where T_u is singular) and D the
weights exp(-log variance), the Woodbury identity needs per group only M = I + L'Z'DZL:

    log p(y_j) = -1/2 [n log 2pi + sum log variance + log|M| + r'Dr - t'M^-1 t],  t = L'Z'Dr
    u_j | y_j ~ N(L M^-1 t, L M^-1 L')
"""

from __future__ import annotations

import numpy as np

from bridge.design import Design


def _weighted(
    design: Design, gamma: np.ndarray, delta: np.ndarray, factor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return M (J, q, q), t (J, q) and the log density of r without the effects (J,)."""
    groups, size = len(design.group_labels), factor.shape[1]
    log_variance = design.variance.matrix @ delta
    weight = np.exp(-log_variance)
    r = design.y - design.mean.matrix @ gamma
    zl = design.Z @ factor
    m = np.zeros((groups, size, size))
    t = np.zeros((groups, size))
    np.add.at(m, design.group, weight[:, None, None] * zl[:, :, None] * zl[:, None, :])
    np.add.at(t, design.group, (weight * r)[:, None] * zl)
    m += np.eye(size)
    terms = np.log(2 * np.pi) + log_variance + weight * r**2
    base = -0.5 * np.bincount(design.group, weights=terms, minlength=groups)
    return m, t, base


def matrix_root(covariance: np.ndarray) -> np.ndarray:
    """Return L with L L' equal to a covariance matrix that may be singular."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=float))
    return vectors * np.sqrt(np.clip(values, 0.0, None))


def marginal_loglik(
    design: Design, gamma: np.ndarray, delta: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """Return the log-likelihood of each group with u integrated out, (J,).

    Parameters
    ----------
    design : Design
        A model without effects in the variance function.
    gamma, delta : (p,) and (k,) arrays
        Coefficients of the mean (outcome units) and of the log variance.
    covariance : (q, q) array
        T_u, outcome units squared; may be singular.
    """
    m, t, base = _weighted(design, gamma, delta, matrix_root(covariance))
    _, logdet = np.linalg.slogdet(m)
    solved = np.linalg.solve(m, t[..., None])[..., 0]
    result: np.ndarray = base - 0.5 * logdet + 0.5 * (t * solved).sum(axis=1)
    return result


def conditional_effects(
    design: Design, gamma: np.ndarray, delta: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (J, q) and covariance (J, q, q) of u given y and the parameters.

    Parameters are those of `marginal_loglik`. The parameters are taken as known, as lme4's
    ``condVar`` does.
    """
    root = matrix_root(covariance)
    m, t, _ = _weighted(design, gamma, delta, root)
    inverse = np.linalg.inv(m)
    mean = np.einsum("ab,jbc,jc->ja", root, inverse, t)
    return mean, np.einsum("ab,jbc,dc->jad", root, inverse, root)
