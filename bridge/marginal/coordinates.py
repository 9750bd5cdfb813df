"""The coordinates in which the likelihood is climbed: the same for any units of the user's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.design import Design
from bridge.starting import column_size


@dataclass(frozen=True)
class Coordinates:
    """The columns the maximiser sees: orthogonal, of size one, whatever the user's units.

    Effects and coefficients of the mean are in units of the outcome's residual SD. With level-2
    functions or an association the columns of the effects are of size one, not orthogonal.

    Attributes
    ----------
    gamma, delta : (p, p), (k, k) arrays
        From the maximiser's coefficients to the canonical ones.
    effects : (q, q) array
        From the maximiser's group effects to the canonical ones.
    latent : (l,) array
        From the maximiser's coefficients of the association to the canonical ones.
    outcome : float
        The residual SD.
    """

    gamma: np.ndarray
    delta: np.ndarray
    effects: np.ndarray
    latent: np.ndarray
    outcome: float


def coordinates_of(design: Design) -> Coordinates:
    """Return the coordinates of a design."""
    u, q = len(design.mean_effects), len(design.effects)
    columns = np.hstack([design.Z, design.A])
    effects = np.diag(1 / column_size(columns))
    if design.spec.level2 is None and design.spec.association is None:
        for number in dict.fromkeys(design.block):
            for side in (range(u), range(u, q)):
                own = [i for i in side if design.block[i] == number]
                if own:
                    effects[np.ix_(own, own)] = orthogonal(columns[:, own])
    gamma = orthogonal(design.mean.matrix)
    unit = _residual_sd(design.y, design.mean.matrix @ gamma)
    effects[:u, :u] *= unit
    latent = np.ones(len(design.latent_terms))
    if design.spec.latent_scale == "raw":
        size = np.diag(effects)[:u]
        latent = np.concatenate([1 / size, 1 / size**2])[: len(latent)]
    return Coordinates(unit * gamma, orthogonal(design.variance.matrix), effects, latent, unit)


def _residual_sd(y: np.ndarray, columns: np.ndarray) -> float:
    """Return the SD about least squares by orthogonal columns of mean square one."""
    residual = y - columns @ (columns.T @ y) / len(y)
    return max(float(np.sqrt(np.mean(residual**2))), 1e-6 * float(y.std()))


def orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Return R (c, c) with the columns of matrix (n, c) @ R orthogonal and of mean square one."""
    norm = np.linalg.norm(matrix, axis=0)
    triangle = np.linalg.qr(matrix / norm, mode="r")
    triangle = triangle * np.sign(np.diag(triangle))[:, None]
    inverse: np.ndarray = np.linalg.inv(triangle) / norm[:, None]
    return inverse * np.sqrt(len(matrix))
