"""Where the variance function is constant within groups: Stan on sums of products by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge import group_sums
from bridge.design import Design
from bridge.engines.stan_data import places
from bridge.engines.stan_rows import ROWS, fixed_parts, fold
from bridge.engines.stan_values import innovations


def constant_variance_function(design: Design) -> bool:
    """Tell whether no predictor and no effect of the log variance varies within a group."""
    if design.spec.group is None:
        return False
    columns = np.hstack([design.variance.matrix, design.A])
    of_group = np.zeros((len(design.group_labels), columns.shape[1]))
    of_group[design.group] = columns
    away = np.abs(columns - of_group[design.group]).max(axis=0)
    return bool((away <= 1e-12 * np.abs(columns).max(axis=0)).all())


def without_rows(data: Mapping[str, Any], design: Design) -> dict[str, Any]:
    """Return a data block with sums of products by group in the place of the rows."""
    return {k: v for k, v in data.items() if k not in ROWS} | product_data(design)


def product_data(design: Design) -> dict[str, Any]:
    """Return what stands in the program's data block in the place of the rows.

    Parameters
    ----------
    design : Design
        N rows in J groups.

    Returns
    -------
    dict
        size (J,), gamma0 (p,) by least squares, and with r = y - X gamma0 the sums rr (J,),
        Xr (J, p), XX (J, p * p), Zr (J, qu), ZX (qu, J, p), ZZ (qu, J, qu); between_mean
        (qu, J, p) and between_variance (qv, J, k), what of the fixed functions goes with each
        effect; W (J, k), A (J, qv).
    """
    X, Z, group, J = design.mean.matrix, design.Z, design.group, len(design.group_labels)
    gamma0 = np.linalg.lstsq(X, design.y, rcond=None)[0]
    r = (design.y - X @ gamma0)[:, None]
    p = X.shape[1]

    def sums(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return group_sums.products(left, right, group, J)

    first = np.zeros(J, dtype=int)
    first[group[::-1]] = np.arange(len(group))[::-1]
    return {
        "size": np.bincount(group, minlength=J).astype(float),
        "gamma0": gamma0,
        "rr": sums(r, r)[:, 0, 0],
        "Xr": sums(X, r)[:, :, 0],
        "XX": sums(X, X).reshape(J, p * p),
        "Zr": sums(Z, r)[:, :, 0],
        "ZX": np.moveaxis(sums(Z, X), 1, 0),
        "ZZ": np.moveaxis(sums(Z, Z), 1, 0),
        "between_mean": fold(X, Z, group, J)[0],
        "between_variance": fold(design.variance.matrix, design.A, group, J)[0],
        "W": design.variance.matrix[first],
        "A": design.A[first],
    }


# --- what the program leaves to be computed from its draws ----------------------------------
def correlation_factors(cpc: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return Cholesky factors of the correlations from canonical partial correlations.

    Parameters
    ----------
    cpc : (..., n_rho) array
        Of the pairs (a, b), b < a, of one block, row by row.
    block : (q,) array of int
        The block of each effect.

    Returns
    -------
    (..., q, q) array
    """
    q = len(block)
    found = np.zeros((*cpc.shape[:-1], q, q))
    number = 0
    for a in range(q):
        left = np.ones(cpc.shape[:-1])
        for b in range(a):
            if block[b] == block[a]:
                found[..., a, b] = cpc[..., number] * np.sqrt(left)
                left = left * (1 - cpc[..., number] ** 2)
                number += 1
        found[..., a, a] = np.sqrt(left)
    return found


def completed(draws: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return draws in the model's order of effects, with the effects and correlations.

    Parameters
    ----------
    draws : mapping
        gamma, delta, sd, cpc and raw, [chain, draw, ...]; those without elements may be absent.
    data : mapping
        The data block.
    """
    if "raw" not in draws:
        return dict(draws)
    block, sd = data["block"], draws["sd"]
    cpc = draws.get("cpc", np.zeros((*sd.shape[:-1], 0)))
    gamma = draws.get("gamma", np.zeros((*sd.shape[:-1], 0)))
    factor = correlation_factors(cpc, block)
    z = innovations(
        draws["raw"], fixed_parts(data, gamma, draws["delta"]), sd[..., None], factor, data
    )
    matrix, place = factor @ np.swapaxes(factor, -1, -2), places(data)
    pairs = [(a, b) for n, a in enumerate(place) for b in place[:n] if block[a] == block[b]]
    rho = [matrix[..., a, b] for a, b in pairs]
    effects = sd[..., None] * (factor @ z)
    found = dict(draws) | {"sd": sd[..., place], "effects": effects[..., place, :]}
    return found | ({"rho": np.stack(rho, axis=-1)} if rho else {})
