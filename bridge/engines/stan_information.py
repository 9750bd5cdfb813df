"""What the rows of each group say of its own coefficients, at the starting values.

Given the variances exp(l) the coefficients b of the mean have information Z'DZ, D = exp(-l), and
those c of the log variance, of which a row says 1/2, A'A / 2: one step of Fisher scoring. The
quadratic b'Kb - 2 h'b is written as a sum of squares in turn, the last coefficient first,

    sum_a w_a (b_a + sum_(c < a) tie_ac b_c - toward_a)^2,

so that each is given those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge import group_sums
from bridge.engines.stan_rows import fold

# What a group says less of than this share of its largest is rounding.
_NOTHING = 1e-9


FORMULATIONS = ("informed", "noncentred", "centred")


def formulated(
    formulation: str, data: Mapping[str, Any], start: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what of the data block says how the group effects are sampled.

    "informed", which "auto" is, samples what is left of them given what their rows say;
    "noncentred" standardised innovations, "centred" the group's own coefficients.

    Parameters
    ----------
    formulation : str
        "auto" or one of `FORMULATIONS`.
    data, start
        As for `information`.
    """
    q, J = len(start["sd"]), data["J"]
    found = no_information(q, J)
    if formulation in ("auto", "informed"):
        found = information(data, start)
    return found | {"centred": np.full(q, int(formulation == "centred"))}


def no_information(q: int, J: int) -> dict[str, np.ndarray]:
    """Return the same where nothing is to be taken from the rows: weights of zero."""
    return {"weight": np.zeros((q, J)), "toward": np.zeros((q, J)), "tie": np.zeros((q, q, J))}


def information(data: Mapping[str, Any], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what the groups say of their coefficients.

    Parameters
    ----------
    data : mapping
        The data block with rows, as `bridge.engines.stan_data.stan_data` makes it.
    start : mapping
        What `bridge.starting.starting_values` returned.

    Returns
    -------
    dict
        weight and toward (q, J), tie (q, q, J), u before v: precisions, what the coefficients
        (effect and its part of the fixed function) are about, and slopes on those before.
    """
    group, J = np.asarray(data["group"]) - 1, data["J"]
    X, Z, W, A, qu = data["X"], data["Z"], data["W"], data["A"], data["qu"]
    u, v = start["effects"][:qu, group], start["effects"][qu:, group]
    log_variance = W @ start["delta"] + (A * v.T).sum(axis=1)
    D = np.exp(-log_variance)
    _, rest, rows = fold(X, Z, group, J)
    left = data["y"] - rows @ start["gamma"][rest]
    r = data["y"] - X @ start["gamma"] - (Z * u.T).sum(axis=1)
    _, rest, rows = fold(W, A, group, J)
    # working response: the log variance of the row, and how far its square is from expected
    response = log_variance - rows @ start["delta"][rest] + r**2 * D - 1
    found = no_information(len(start["sd"]), J)
    for own, design, weight, outcome in (
        (np.arange(qu), Z, D, left),
        (np.arange(qu, len(start["sd"])), A, np.full(len(D), 0.5), response),
    ):
        if len(own):
            K = group_sums.products(design * weight[:, None], design, group, J)
            h = group_sums.products(design * weight[:, None], outcome[:, None], group, J)[:, :, 0]
            found["weight"][own], found["toward"][own], tie = in_turn(K, h)
            found["tie"][np.ix_(own, own)] = tie
    return found


def in_turn(K: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write b'Kb - 2 h'b as squares of each coefficient given those before it.

    Parameters
    ----------
    K, h : (J, q, q) and (J, q) arrays
        Information and score of each group.

    Returns
    -------
    weight, toward, tie : (q, J), (q, J) and (q, q, J) arrays
        Of the squares; a weight of zero where a group says nothing.
    """
    K, h, (J, q) = np.array(K), np.array(h), np.shape(h)
    weight, toward, tie = np.zeros((q, J)), np.zeros((q, J)), np.zeros((q, q, J))
    least = _NOTHING * np.diagonal(K, axis1=1, axis2=2).max(axis=0, initial=0.0)
    for a in range(q - 1, -1, -1):
        says = K[:, a, a] > least[a]
        w = np.where(says, K[:, a, a], 1.0)
        weight[a] = np.where(says, K[:, a, a], 0.0)
        toward[a] = np.where(says, h[:, a] / w, 0.0)
        for b in range(a):
            tie[a, b] = np.where(says, K[:, a, b] / w, 0.0)
        slope = tie[a, :a].T  # (J, a)
        h[:, :a] -= slope * h[:, [a]]
        K[:, :a, :a] -= slope[:, :, None] * K[:, [a], :a]
    return weight, toward, tie
