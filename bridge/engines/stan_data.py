"""The data block of our Stan programs, from a design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge.covariance_prior import by_effect
from bridge.design import Design
from bridge.priors import Prior

_COEFFICIENT = {"flat": 0, "normal": 1, "student_t": 2}
_SD = {"flat": 0, "half_t": 1, "half_normal": 2, "exponential": 3}
_LATENT = {None: 0, "linear": 1, "quadratic": 2}


def stan_data(design: Design) -> dict[str, Any]:
    """Return the data block of the general program; the plain one reads a part of it.

    How the group effects are sampled is for `bridge.engines.stan_information.formulated` to add.

    Parameters
    ----------
    design : Design
        The model on its data.
    """
    priors, spec = design.priors, design.spec
    pairs, H = level2_design(design)
    return {
        "N": len(design.y),
        "J": len(design.group_labels),
        "p": len(design.mean.labels),
        "k": len(design.variance.labels),
        "qu": len(design.mean_effects),
        "qv": len(design.variance_effects),
        "y": design.y,
        "X": design.mean.matrix,
        "W": design.variance.matrix,
        "Z": design.Z,
        "A": design.A,
        "group": design.group + 1,
        "u_rows": np.arange(len(design.mean_effects)) + 1,
        "v_rows": np.arange(len(design.mean_effects), len(design.effects)) + 1,
        "block": np.asarray(design.block, dtype=int) + 1,
        **_coefficient_priors("gamma", priors.gamma),
        **_coefficient_priors("delta", priors.delta),
        "n_sd": len(priors.sd),
        "sd_prior_kind": np.array([_SD[p.family] for p in priors.sd], dtype=int),
        "sd_prior": np.array([_sd_row(p) for p in priors.sd]).reshape(len(priors.sd), 2),
        "lkj": _lkj(design),
        "t_effects": int(spec.random_effects == "student_t"),
        "nu_prior": np.array(priors.nu.parameters),
        "latent": _LATENT[spec.association],
        "standardised": int(spec.latent_scale == "standardised"),
        **_coefficient_priors("lambda", priors.lambda_),
        "n_kappa": H.shape[1],
        "kappa_pair": pairs,
        "H": H,
        **_coefficient_priors("kappa", priors.kappa),
        **_covariance_priors(design),
        "partial": np.array(design.in_partial_blocks, dtype=int),
    }


#: What of the data block goes by effect; the scale of priors of T by two.
_BY_EFFECT = (
    "block", "sd_prior_kind", "sd_prior", "lkj", "tau_prior_kind", "tau_prior_df", "partial",
)  # fmt: skip


def ordered(data: Mapping[str, Any], order: np.ndarray) -> dict[str, Any]:
    """Return a data block whose effects stand in another order; none has a level-2 function.

    Parameters
    ----------
    data : mapping
        What `stan_data` returned.
    order : (q,) array of int
        The effects from 0, in the order that they are to have.
    """
    if (np.diff(order) > 0).all():
        return dict(data)
    place = np.argsort(order) + 1
    found = dict(data) | {name: data[name][order] for name in _BY_EFFECT}
    found["tau_prior_scale"] = data["tau_prior_scale"][np.ix_(order, order)]
    return found | {"u_rows": place[: data["qu"]], "v_rows": place[data["qu"] :]}


def places(data: Mapping[str, Any]) -> np.ndarray:
    """Return where each effect of the model is among those of a data block, from 0."""
    found: np.ndarray = np.concatenate([data["u_rows"], data["v_rows"]]) - 1
    return found


def level2_design(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Return what the level-2 functions are of, and their predictors.

    Returns
    -------
    pairs : (number of kappa, 2) array of int
        For each coefficient the positions from 1 of the pair of effects, the later first.
    H : (J, number of kappa) array
        Its column.
    """
    pairs, columns = [], [np.zeros((len(design.group_labels), 0))]
    for earlier, later in design.tau_pairs:
        encoded = design.level2.get(design.element((earlier, later)))
        if encoded is not None:
            pairs += [(later + 1, earlier + 1)] * len(encoded.labels)
            columns.append(encoded.matrix)
    return np.array(pairs, dtype=int).reshape(len(pairs), 2), np.hstack(columns)


def _coefficient_priors(name: str, priors: Sequence[Prior]) -> dict[str, np.ndarray]:
    """Return the kinds, and (df, location, scale) of each prior; flat ones are not read."""
    rows = []
    for prior in priors:
        p = prior.parameters
        rows.append({"flat": (1.0, 0.0, 1.0), "normal": (1.0, *p), "student_t": p}[prior.family])
    return {
        f"{name}_prior_kind": np.array([_COEFFICIENT[p.family] for p in priors], dtype=int),
        f"{name}_prior": np.array(rows, dtype=float).reshape(len(rows), 3),
    }


def _covariance_priors(design: Design) -> dict[str, np.ndarray]:
    """Return the priors of the blocks' covariance matrices, by effect."""
    kind, df, scale = by_effect(design.priors.tau, design.block)
    return {"tau_prior_kind": kind, "tau_prior_df": df, "tau_prior_scale": scale}


def _lkj(design: Design) -> np.ndarray:
    """Return the shape of LKJ for each effect: 1, uniform, where its block has a prior on T."""
    priors = design.priors
    shapes = [priors.lkj if priors.of_block(b) is None else 1.0 for b in design.block]
    return np.array(shapes, dtype=float)


def _sd_row(prior: Prior) -> tuple[float, float]:
    p = prior.parameters
    if prior.family == "half_t":
        return p[0], p[2]
    if prior.family == "half_normal":
        return 1.0, p[1]
    return (1.0, p[0]) if prior.family == "exponential" else (1.0, 1.0)
