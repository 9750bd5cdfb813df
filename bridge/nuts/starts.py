"""Where chains start, and what the groups say of their effects there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge import group_sums, starting
from bridge.design import Design
from bridge.nuts.arrays import Arrays
from bridge.nuts.information import conditional

_LOG_CHI2 = 1.2704  # -E log chi-squared(1)
_LOG_CHI2_INFORMATION = 2 / np.pi**2  # one over the variance of the same


@dataclass(frozen=True, eq=False)
class Start:
    """A point on the canonical scales, and the information about effects there.

    Attributes
    ----------
    gamma, delta : (p,), (k,) arrays
        Coefficients.
    covariance : (q, q) array
        Of the effects, positive definite.
    effects : (q, J) array
        Their conditional means, about.
    information : (q, q, J) array
        Of each group's outcomes about its effects.
    pull : (q, J) array
        That information times the effects that the outcomes are for.
    weight : (N,) array
        exp(-log variance) of each row.
    """

    gamma: np.ndarray
    delta: np.ndarray
    covariance: np.ndarray
    effects: np.ndarray
    information: np.ndarray
    pull: np.ndarray
    weight: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """SDs of the effects."""
        return np.sqrt(np.diag(self.covariance))


def start_of(design: Design, arrays: Arrays) -> Start:
    """Guess where the posterior is; see `bridge.starting`."""
    found = starting.start(design)
    return completed(found.gamma, found.delta, found.covariance, arrays)


def completed(
    gamma: np.ndarray, delta: np.ndarray, covariance: np.ndarray, arrays: Arrays
) -> Start:
    """Add to parameters what they say of the effects: weighted least squares by group.

    With D = exp(-log variance), effects of the mean have the information Z'DZ and the score Z'Dr;
    those of the log variance A'A / 2 and A'(D r^2 - 1) / 2, r^2 with the variance of what is not
    known of u.
    """
    a, qu = arrays, arrays.Z.shape[1]
    fixed = np.clip(a.W @ delta, -600, 600)
    residual = a.y - a.X @ gamma
    T_u, T_v = covariance[:qu, :qu], covariance[qu:, qu:]
    u, spread = _mean_effects(a, np.exp(-fixed), residual, T_u)
    left = residual - np.einsum("ia,ia->i", a.Z, u[a.group])
    unknown = np.einsum("ia,iab,ib->i", a.Z, spread[a.group], a.Z)
    v = _variance_effects(a, np.exp(-fixed) * (left**2 + unknown), T_v)
    log_variance = np.clip(fixed + np.einsum("ia,ia->i", a.A, v[a.group]), -600, 600)
    weight = np.exp(-log_variance)
    u, _ = _mean_effects(a, weight, residual, T_u)

    information = np.zeros((a.J, len(covariance), len(covariance)))
    information[:, :qu, :qu] = group_sums.products(a.Z * weight[:, None], a.Z, a.group, a.J)
    K = 0.5 * group_sums.products(a.A, a.A, a.group, a.J)
    information[:, qu:, qu:] = K
    ratio = np.minimum(weight * (left**2 + unknown), 1e6)
    score = 0.5 * group_sums.sums(a.A * (ratio - 1)[:, None], a.group, a.J)
    pull = np.hstack(
        [
            group_sums.sums(a.Z * (weight * residual)[:, None], a.group, a.J),
            np.einsum("jab,jb->ja", K, v) + score,
        ]
    )
    return Start(
        gamma,
        delta,
        covariance,
        effects=np.hstack([u, v]).T,
        information=np.moveaxis(information, 0, -1),
        pull=pull.T,
        weight=weight,
    )


def _mean_effects(
    a: Arrays, weight: np.ndarray, residual: np.ndarray, T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return conditional means (J, qu) and covariances (J, qu, qu) of u."""
    spread = conditional(a.Z, weight, T, a.group, a.J)
    score = group_sums.sums(a.Z * (weight * residual)[:, None], a.group, a.J)
    return np.einsum("jab,jb->ja", spread, score), spread


def _variance_effects(a: Arrays, ratio: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Return conditional means of v (J, qv) from squares over their variance without v."""
    logs = np.log(np.maximum(ratio, 1e-12)) + _LOG_CHI2
    share = np.full(len(logs), _LOG_CHI2_INFORMATION)
    score = group_sums.sums(a.A * (share * logs)[:, None], a.group, a.J)
    found: np.ndarray = np.einsum("jab,jb->ja", conditional(a.A, share, T, a.group, a.J), score)
    return found
