"""Points and Jacobians that carry engines' densities to one density on the canonical scales.

That density is of (gamma, delta, SDs, R, effects): SDs and effects of the log variance canonical,
R by its strict lower triangle. Every effect is in one block here.

    log p(canonical) = log p(the engine's parameters) - log |d canonical / d parameters|

The map is block triangular (coefficients, SDs, R, then effects given SDs and R), so that the
determinant is the product of those of the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.design import Design


@dataclass(frozen=True)
class Point:
    """One point on the canonical scales: q effects, u before v, in J groups."""

    gamma: np.ndarray
    delta: np.ndarray
    sd: np.ndarray
    R: np.ndarray
    effects: np.ndarray  # (q, J)


def random_points(design: Design, count: int, seed: int) -> list[Point]:
    """Return points spread about where the data put the coefficients."""
    rng = np.random.default_rng(seed)
    q, J = len(design.effects), len(design.group_labels)
    X, W = design.mean.matrix, design.variance.matrix
    centre = np.linalg.lstsq(X, design.y, rcond=None)[0]
    level = 2 * np.log(design.y.std())
    start = np.linalg.lstsq(W, np.full(len(W), level), rcond=None)[0]
    size = np.where(np.arange(q) < len(design.mean_effects), 2.0, 0.3)
    found = []
    for _ in range(count):
        R = random_correlations(q, rng)
        sd = size * rng.lognormal(0, 0.4, q)
        spread = np.linalg.cholesky(R) * sd[:, None]
        found.append(
            Point(
                gamma=centre + rng.normal(0, 0.5, len(centre)),
                delta=start + rng.normal(0, 0.1, len(start)),
                sd=sd,
                R=R,
                effects=spread @ rng.normal(size=(q, J)),
            )
        )
    return found


def random_correlations(q: int, rng: np.random.Generator) -> np.ndarray:
    """Return a correlation matrix that is well inside the possible."""
    spread = np.cov(rng.normal(size=(q, q + 4))).reshape(q, q)
    sd = np.sqrt(np.diag(spread))
    R: np.ndarray = spread / np.outer(sd, sd)
    return R


def log_slope_of_correlations(L: np.ndarray) -> float:
    """Return log |d R / d L| of a correlation matrix by its Cholesky factor, lower triangles."""
    # R_ab = sum over c <= b of L_ac L_bc, and L_bb follows from what is left of it: row by row
    # the matrix is triangular with L_bb on its diagonal.
    q = len(L)
    return float(sum((q - 1 - b) * np.log(L[b, b]) for b in range(q)))


def log_slope_of_factor(cpc: np.ndarray) -> float:
    """Return log |d L / d cpc|; cpc (q, q) holds partial correlations below its diagonal."""
    # L_ab is cpc_ab times the root of what the earlier ones leave
    q = len(cpc)
    return float(
        sum(0.5 * np.log1p(-(cpc[a, c] ** 2)) for a in range(q) for b in range(a) for c in range(b))
    )


def partial_correlations(L: np.ndarray) -> np.ndarray:
    """Return the canonical partial correlations of a Cholesky factor, below the diagonal."""
    cpc = np.zeros_like(L)
    for a in range(len(L)):
        left = 1.0
        for b in range(a):
            cpc[a, b] = L[a, b] / np.sqrt(left)
            left *= 1 - cpc[a, b] ** 2
    return cpc


def innovations(point: Point) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return L, standardised innovations z (q, J), and log |d effects / d z| of each row."""
    L = np.linalg.cholesky(point.R)
    z = np.linalg.solve(L, point.effects / point.sd[:, None])
    slope = point.effects.shape[1] * (np.log(point.sd) + np.log(np.diag(L)))
    return L, z, slope


def brms(
    point: Point, mean_effects: int, factor: float = 2.0
) -> tuple[dict[str, np.ndarray], float]:
    """Return brms's parameters at a point, and log |d canonical / d parameters|.

    brms samples b, b_sigma, the SDs, L and z. ``factor`` carries log SD to log variance.
    """
    L, z, slope = innovations(point)
    scale = np.where(np.arange(len(point.sd)) < mean_effects, 1.0, factor)
    found = {
        "b": point.gamma,
        "b_sigma": point.delta / factor,
        "sd_1": point.sd / scale,
        "L_1": L,
        "z_1": z,
    }
    jacobian = len(point.delta) * np.log(factor) + np.log(scale).sum()
    return found, float(jacobian + log_slope_of_correlations(L) + slope.sum())


def stan(point: Point, centred: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    """Return our program's parameters at a point, and log |d canonical / d parameters|.

    It samples gamma, delta, the SDs, partial correlations, and each effect either as it is
    (centred) or standardised.
    """
    L, z, slope = innovations(point)
    cpc = partial_correlations(L)
    centred = np.asarray(centred, dtype=bool)
    found = {
        "gamma": point.gamma,
        "delta": point.delta,
        "sd": point.sd,
        "cpc": cpc[np.tril_indices(len(L), -1)],
        "raw": np.where(centred[:, None], point.effects, z),
    }
    jacobian = log_slope_of_correlations(L) + log_slope_of_factor(cpc)
    return found, float(jacobian + slope[~centred].sum())
