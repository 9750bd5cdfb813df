"""What the rows of each group say of its own coefficients, at the starting values.

Given the variances exp(l) the coefficients b of the mean have information Z'DZ, D = exp(-l), and
those c of the log variance, of which a row says 1/2, A'A / 2: one step of Fisher scoring. The
quadratic b'Kb - 2 h'b is written as a sum of squares in turn, the last coefficient first,

    sum_a w_a (b_a + sum_(c < a) tie_ac b_c - toward_a)^2,

so that each is given those before it.

gamma and delta are sampled in units of their covariance there, the effects integrated out: a unit
metric is about right from the start, and warm-up is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge import group_sums
from bridge.engines.stan_data import ordered
from bridge.engines.stan_rows import fold
from bridge.nuts.information import coefficient_factor, prior_precision

# What a group says less of than this share of its largest is rounding.
_NOTHING = 1e-9


FORMULATIONS = ("informed", "noncentred", "centred")


def formulated(
    formulation: str | Sequence[str],
    data: Mapping[str, Any],
    start: Mapping[str, np.ndarray],
    order: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return what of the data block says how the group effects are sampled.

    "informed", which "auto" is, samples what is left of them given what their rows say;
    "noncentred" standardised innovations, "centred" the group's own coefficients.

    Parameters
    ----------
    formulation : str or sequence of str
        "auto" or one of `FORMULATIONS`, for all effects or for each.
    data, start, order
        As for `information`.
    """
    q, J = len(start["sd"]), data["J"]
    words = [formulation] * q if isinstance(formulation, str) else list(formulation)
    words = words if order is None else [words[a] for a in order]
    informed = np.array([word in ("auto", "informed") for word in words], dtype=bool)
    found = no_information(q, J)
    for name, values in information(data, start, order).items() if informed.any() else ():
        found[name][informed] = values[informed]
    return found | {"centred": np.array([int(word == "centred") for word in words], dtype=int)}


def as_sampled(
    formulation: str | Sequence[str],
    data: Mapping[str, Any],
    start: Mapping[str, np.ndarray],
    sort: bool,
) -> dict[str, Any]:
    """Return a data block with all that says how coefficients and effects are sampled.

    Parameters
    ----------
    formulation, data, start
        As for `formulated`.
    sort : bool
        Whether the effects that are known best come first. Where correlations have level-2
        functions their order is a matter of the model, and it must not.
    """
    order = best_known_first(data, start) if sort else np.arange(len(start["sd"]))
    told = formulated(formulation, data, start, order) | coefficient_units(data, start)
    return ordered(data, order) | told


def no_information(q: int, J: int) -> dict[str, np.ndarray]:
    """Return the same where nothing is to be taken from the rows: weights of zero."""
    return {"weight": np.zeros((q, J)), "toward": np.zeros((q, J)), "tie": np.zeros((q, q, J))}


def best_known_first(data: Mapping[str, Any], start: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the effects from 0, those that the rows of the groups say most of first.

    Each is sampled given those before it, and not those after it: where it is correlated with one
    that is known better, that one is to come before it.

    Parameters
    ----------
    data, start
        As for `information`.

    Returns
    -------
    (q,) array of int
        In the order of their reliabilities s^2 w / (1 + s^2 w), on average over groups.
    """
    K, _ = _says(data, start)
    signal = start["sd"] ** 2 * np.diagonal(K, axis1=1, axis2=2)
    reliability = (signal / (1 + signal)).mean(axis=0)
    found: np.ndarray = np.argsort(-reliability, kind="stable")
    return found


def information(
    data: Mapping[str, Any], start: Mapping[str, np.ndarray], order: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return what the groups say of their coefficients.

    Parameters
    ----------
    data : mapping
        The data block with rows, as `bridge.engines.stan_data.stan_data` makes it.
    start : mapping
        What `bridge.starting.starting_values` returned.
    order : (q,) array of int, optional
        The effects from 0 in the order that they are sampled in; by default the model's.

    Returns
    -------
    dict
        weight and toward (q, J), tie (q, q, J), in that order: precisions, what the coefficients
        (effect and its part of the fixed function) are about, and slopes on those before.
    """
    K, h = _says(data, start)
    order = np.arange(h.shape[1]) if order is None else order
    found = in_turn(K[:, order[:, None], order], h[:, order])
    return dict(zip(("weight", "toward", "tie"), found, strict=True))


def _says(
    data: Mapping[str, Any], start: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return information (J, q, q) and score (J, q) of the coefficients, u before v."""
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
    q = len(start["sd"])
    K, h = np.zeros((J, q, q)), np.zeros((J, q))
    for own, design, weight, outcome in (
        (np.arange(qu), Z, D, left),
        (np.arange(qu, q), A, np.full(len(D), 0.5), response),
    ):
        if len(own):
            says = design * weight[:, None]
            K[:, own[:, None], own] = group_sums.products(says, design, group, J)
            h[:, own] = group_sums.products(says, outcome[:, None], group, J)[:, :, 0]
    return K, h


def coefficient_units(
    data: Mapping[str, Any], start: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return what of the data block says how gamma and delta are sampled.

    Parameters
    ----------
    data, start
        As for `information`.

    Returns
    -------
    dict
        gamma_centre (p,) and delta_centre (k,), the start; gamma_factor (p, p) and delta_factor
        (k, k), lower triangular factors of their covariances given the SDs of the effects, by rows
        and priors.
    """
    group, qu = np.asarray(data["group"]) - 1, data["qu"]
    effects, T = start["effects"][:, group], np.diag(start["sd"] ** 2)
    log_variance = data["W"] @ start["delta"] + (data["A"] * effects[qu:].T).sum(axis=1)
    found = {"gamma_centre": start["gamma"], "delta_centre": start["delta"]}
    for name, X, D, own, says in (
        ("gamma_factor", data["X"], data["Z"], slice(qu), np.exp(-log_variance)),
        ("delta_factor", data["W"], data["A"], slice(qu, None), np.full(len(log_variance), 0.5)),
    ):
        word = name.partition("_")[0]
        prior = prior_precision(data[f"{word}_prior_kind"], data[f"{word}_prior"])
        found[name] = coefficient_factor(X, D, says, T[own, own], group, data["J"], prior)
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
