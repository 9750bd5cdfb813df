"""Where chains start: parameters near the maximum, effects drawn given them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bridge import by_group, starting
from bridge.design import Design
from bridge.nuts.arrays import Arrays
from bridge.nuts.information import conditional

_LEAST_WEIGHT = np.exp(-600.0)


@dataclass(frozen=True, eq=False)
class Start:
    """A point on the canonical scales, with what the groups say there.

    Attributes
    ----------
    gamma, delta : (p,), (k,) arrays
        Coefficients.
    covariance : (q, q) array
        Of the effects, positive definite.
    effects : (q, J) array
        Their conditional means, about.
    spread_u, spread_v : (J, qu, qu), (J, qv, qv) arrays
        Their conditional covariances, about.
    weight : (N,) array
        exp(-log variance) of each row.
    """

    gamma: np.ndarray
    delta: np.ndarray
    covariance: np.ndarray
    effects: np.ndarray
    spread_u: np.ndarray
    spread_v: np.ndarray
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
    """Add to parameters what they say of the effects: one step of weighted least squares each."""
    a, qu = arrays, arrays.Z.shape[1]
    log_variance = np.clip(a.W @ delta, -600, 600)
    weight = np.maximum(np.exp(-log_variance), _LEAST_WEIGHT)
    spread_u = conditional(a.Z, weight, covariance[:qu, :qu], a)
    left = a.y - a.X @ gamma
    score = by_group.sums(a.Z * (weight * left)[:, None], a.group, a.J)
    u = np.einsum("jab,jb->ja", spread_u, score)
    left = left - np.einsum("ia,ia->i", a.Z, u[a.group])
    # a log squared residual is the log variance less 1.27, with a variance of pi^2 / 2, about
    logs = np.log(np.maximum(weight * left**2, 1e-12)) + 1.2704
    share = np.full(len(a.y), 2 / np.pi**2)
    from_logs = conditional(a.A, share, covariance[qu:, qu:], a)
    score = by_group.sums(a.A * (share * logs)[:, None], a.group, a.J)
    v = np.einsum("jab,jb->ja", from_logs, score)
    spread_v = conditional(a.A, np.full(len(a.y), 0.5), covariance[qu:, qu:], a)
    return Start(
        gamma, delta, covariance, np.vstack([u.T, v.T]), spread_u, spread_v, weight
    )


def drawn(start: Start, rng: np.random.Generator, apart: float) -> Start:
    """Return a start with its effects drawn about their means, and SDs moved.

    ``apart`` is the SD of the logs of the SDs, and of the effects in units of their conditional
    SDs (at most one: beyond, a group would start where it hardly can be).
    """
    sd = start.sd * np.exp(apart * rng.normal(size=len(start.covariance)))
    scale = sd / start.sd
    effects, qu = np.array(start.effects), start.spread_u.shape[1]
    for rows, spread in ((slice(0, qu), start.spread_u), (slice(qu, None), start.spread_v)):
        noise = rng.normal(size=(spread.shape[0], spread.shape[1], 1))
        effects[rows] += min(apart, 1.0) * (np.linalg.cholesky(spread) @ noise)[:, :, 0].T
    return replace(
        start, covariance=start.covariance * np.outer(scale, scale), effects=effects
    )
