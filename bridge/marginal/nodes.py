"""Gauss-Hermite nodes and their placement at each group's posterior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_LOG_2PI = float(np.log(2 * np.pi))
#: A scale shrinks to a quarter at most in one go: a narrow posterior first falls between two nodes.
_SHRINK = 1 / 16
#: Nodes whose posterior mean lies further out (in scales) do not yet cover it.
_OUTSIDE = 2.0


@dataclass(frozen=True)
class Rule:
    """A product rule for the standard normal in m dimensions.

    Attributes
    ----------
    x : (K, m) array
        Nodes.
    log_weight : (K,) array
        Log weights for integrals by Lebesgue measure: those of the normal over its density.
    """

    x: np.ndarray
    log_weight: np.ndarray


@lru_cache(maxsize=32)
def rule(dimensions: int, nodes: int) -> Rule:
    """Return the product of Gauss-Hermite rules; one node of weight one in no dimensions."""
    if dimensions == 0:
        return Rule(np.zeros((1, 0)), np.zeros(1))
    x, weight = np.polynomial.hermite_e.hermegauss(nodes)
    single = np.log(weight) - 0.5 * _LOG_2PI + 0.5 * (x**2 + _LOG_2PI)
    grid = np.meshgrid(*[x] * dimensions, indexing="ij")
    weights = np.meshgrid(*[single] * dimensions, indexing="ij")
    return Rule(
        np.stack([axis.ravel() for axis in grid], axis=1),
        np.sum([axis.ravel() for axis in weights], axis=0),
    )


@dataclass(frozen=True)
class Placement:
    """Where the nodes of every group lie: z = mu + S x.

    Attributes
    ----------
    mu : (J, m) array
    S : (J, m, m) array
        Lower triangular.
    """

    mu: np.ndarray
    S: np.ndarray

    @classmethod
    def prior(cls, groups: int, dimensions: int) -> Placement:
        """Return the nodes where they lie before any data are seen."""
        return cls(np.zeros((groups, dimensions)), np.tile(np.eye(dimensions), (groups, 1, 1)))

    def of(self, groups: np.ndarray) -> Placement:
        """Return the placement of some groups."""
        return Placement(self.mu[groups], self.S[groups])

    def nodes(self, used: Rule) -> np.ndarray:
        """Return z, (J, K, m)."""
        return self.mu[:, None] + used.x @ self.S.swapaxes(1, 2)

    def integrate(
        self, used: Rule, z: np.ndarray, loglik: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the log integral of each group (J,) and the weights of its nodes (J, K).

        Parameters
        ----------
        used : Rule
            The rule.
        z : (J, K, m) array
            The nodes.
        loglik : (J, K) array
            log p(y_j | z).
        """
        m = z.shape[2]
        spread = np.log(np.diagonal(self.S, axis1=1, axis2=2)).sum(axis=1)
        each = loglik - 0.5 * ((z**2).sum(axis=2) + m * _LOG_2PI) + used.log_weight
        largest = each.max(axis=1, keepdims=True)
        # a group without any finite node has no likelihood; its weights do not matter
        largest = np.where(np.isfinite(largest), largest, 0.0)
        share = np.exp(each - largest)
        total = share.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(total) + largest[:, 0] + spread, share / total[:, None]

    def moved(self, used: Rule, p: np.ndarray) -> tuple[Placement, float]:
        """Return the placement at the posterior's mean and scale, and how far that is.

        Parameters
        ----------
        used : Rule
            The rule.
        p : (J, K) array
            Weights of the nodes given y.

        Returns
        -------
        Placement
        float
            The largest move of a mean or change of a scale, in the scales of now.
        """
        m = used.x.shape[1]
        if m == 0:
            return self, 0.0
        mean = p @ used.x
        second = (p[..., None] * used.x).swapaxes(1, 2) @ used.x
        covariance = second - mean[:, :, None] * mean[:, None, :]
        values, vectors = np.linalg.eigh(covariance)
        outside = np.abs(mean).max(axis=1) > _OUTSIDE
        floor = np.where(outside, 1.0, _SHRINK)[:, None]
        values = np.maximum(values, floor)
        covariance = (vectors * values[:, None]) @ vectors.swapaxes(1, 2)
        step = max(float(np.abs(mean).max()), float(np.abs(np.sqrt(values) - 1).max()))
        mu = self.mu + (self.S @ mean[..., None])[..., 0]
        return Placement(mu, self.S @ np.linalg.cholesky(covariance)), step
