"""What the results of every engine share: names and scales, group effects, data, the whole."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, names, scales
from bridge.columns import Factor
from bridge.design import Design
from bridge.engines.base import Plan, RawFit
from bridge.pointwise import obs_labels
from bridge.result import Result, describe, scale_map
from bridge.spec import ModelSpec

Z95 = 1.959963984540054
_TEXT = "object"
SPURIOUS = (
    "The variance function has predictors and no random effect, so that the standard errors of "
    "delta may be too small (spurious precision); bridge.spurious_precision(spec, data) shows how "
    "they change with one."
)


def parameter_table(design: Design) -> list[tuple[str, str, str]]:
    """Return (flat name, component, scale) of every parameter.

    The order is gamma, delta, lambda_, tau, rho, kappa, pi, u_class, v_class; of tau and rho the
    constant elements.
    """
    rows = [(names.flat("gamma", t), "mean", scales.GAMMA) for t in design.mean.labels]
    rows += [(names.flat("delta", t), "variance", scales.DELTA) for t in design.variance.labels]
    for position, term in enumerate(design.latent_terms):
        square = position >= len(design.mean_effects)
        scale = scales.lambda_scale(design.spec.latent_scale, square)
        rows.append((names.flat("lambda_", term), "variance", scale))
    for pair in design.constant_tau_pairs:
        scale = scales.tau_scale(design.effects[pair[0]][0], design.effects[pair[1]][0])
        rows.append((names.flat("tau", design.pair_label(pair)), "level2", scale))
    rows += [
        (names.flat("rho", design.pair_label(pair)), "level2", scales.RHO)
        for pair in design.constant_rho_pairs
    ]
    for variable, pair_label, term in design.kappa_terms:
        label = names.kappa_label(variable, pair_label, term)
        rows.append((names.flat("kappa", label), "level2", scales.KAPPA[variable]))
    classes = names.class_labels(design.spec.classes)
    rows += [(names.flat("pi", label), "level2", scales.PI) for label in classes]
    for letter, effects in (("u", design.mean_effects), ("v", design.variance_effects)):
        for latent, effect in product(classes, effects):
            flat = names.flat(f"{letter}_class", names.class_effect(latent, effect))
            rows.append((flat, "level2", scales.EFFECT[letter]))
    return rows


def effects_frame(design: Design, estimate: np.ndarray, se: np.ndarray | None) -> pd.DataFrame:
    """Return group effects (J, q), canonical scale, as a tidy frame with normal intervals."""
    missing = np.full(estimate.shape, np.nan)
    spread = missing if se is None else se
    return group_effects(design, estimate, spread, estimate - Z95 * spread, estimate + Z95 * spread)


def group_effects(
    design: Design, estimate: np.ndarray, se: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> pd.DataFrame:
    """Return the tidy frame of group effects from (J, q) arrays, canonical scale."""
    size = len(design.effects)
    groups = design.group_labels if size else ()
    frame = pd.DataFrame(
        {
            "group": pd.Series(np.repeat(np.array(groups, dtype=object), size), dtype=_TEXT),
            "effect": pd.Series(list(design.effects) * len(groups), dtype=_TEXT),
            "scale": pd.Series(
                [scales.EFFECT[e[0]] for e in design.effects] * len(groups), dtype=_TEXT
            ),
        }
    )
    values = {"estimate": estimate, "se": se, "lower": lower, "upper": upper}
    for name, array in values.items():
        flat = np.asarray(array, dtype=float).reshape(-1)
        frame[name] = nullable(flat)
    return frame


def nullable(values: np.ndarray) -> Any:
    """Return numbers as a nullable column, <NA> where they are not numbers."""
    return pd.array([None if np.isnan(v) else float(v) for v in values], dtype="Float64")


def membership_frame(design: Design, probabilities: np.ndarray) -> pd.DataFrame:
    """Return the probabilities of the classes of each group (J, K) as a tidy frame."""
    classes = names.class_labels(design.spec.classes)
    rows = [(g, c) for g in design.group_labels for c in classes]
    frame = pd.DataFrame(rows, columns=["group", "latent_class"], dtype=_TEXT)
    frame["probability"] = nullable(probabilities.reshape(-1))
    return frame


def data_groups(design: Design) -> dict[str, Any]:
    """Return observed_data and constant_data: the outcome and the design, by observation."""
    import xarray as xr

    group = design.spec.group
    obs = obs_labels(design)
    observed = xr.Dataset({design.spec.outcome: (("obs",), design.y)}, {"obs": obs})
    constant: dict[str, Any] = {
        "mean_design": (("obs", "mean_term"), design.mean.matrix),
        "variance_design": (("obs", "variance_term"), design.variance.matrix),
    }
    coords: dict[str, Any] = {
        "obs": obs,
        "mean_term": list(design.mean.labels),
        "variance_term": list(design.variance.labels),
    }
    for name, dim, labels, matrix in (
        ("mean_effect_design", "mean_effect", design.mean_effects, design.Z),
        ("variance_effect_design", "variance_effect", design.variance_effects, design.A),
    ):
        if labels:
            constant[name], coords[dim] = (("obs", dim), matrix), list(labels)
    if design.level2:
        # the functions' columns side by side, in the order of kappa
        side_by_side = np.hstack([encoded.matrix for encoded in design.level2.values()])
        constant["level2_design"] = ((group, "kappa_term"), side_by_side)
        coords["kappa_term"] = [names.kappa_label(*term) for term in design.kappa_terms]
    if group is not None:
        constant["group_index"] = (("obs",), design.group)
        coords[group] = list(design.group_labels)
    return {"observed_data": observed, "constant_data": xr.Dataset(constant, coords)}


def level2_terms(design: Design) -> dict[str, list[dict[str, Any]]]:
    """Return the terms of the level-2 functions as plain values; see `Result.level2_terms`."""
    found: dict[str, list[dict[str, Any]]] = {}
    labels = iter([names.kappa_label(*term) for term in design.kappa_terms])
    for key, encoded in design.level2.items():
        found[key] = [
            {"label": next(labels), "columns": [_factor(design, n, x) for n, x in piece]}
            for piece in encoded.pieces
        ]
    return found


def _factor(design: Design, name: str, level: str | None) -> dict[str, Any]:
    column = design.columns[name]
    levels = list(column.levels) if isinstance(column, Factor) else None
    return {"column": name, "level": level, "levels": levels}


def make_result(
    plan: Plan,
    raw: RawFit,
    method: str,
    estimates: pd.DataFrame,
    group_effects: pd.DataFrame,
    groups: Mapping[str, Any],
    warnings: tuple[str, ...],
    **more: Any,
) -> Result:
    """Put a result together; what holds of every engine becomes a warning of it."""
    design = plan.design
    if design.dropped_rows:
        said = (
            f"{design.dropped_rows} row(s) with missing values were dropped, the same for every "
            "engine."
        )
        warnings = (said, *warnings)
    if _may_be_spurious(design.spec):
        warnings = (*warnings, SPURIOUS)
    seed = plan.options.get("seed")
    attrs = describe(
        {
            "spec": design.spec.to_dict(),
            "versions": dict(raw.versions),
            "settings": dict(plan.options),
            "seed": seed,
            "engine": plan.engine,
            "method": method,
            "warnings": list(warnings),
            "scales": scale_map(estimates),
        }
    )
    return Result(
        spec=design.spec,
        engine=plan.engine,
        method=method,
        estimates=estimates,
        group_effects=group_effects,
        idata=arviz_compat.make_idata(groups, attrs),
        effects=design.effects,
        n_obs=len(design.y),
        n_groups=len(design.group_labels) if design.spec.group else 0,
        dropped_rows=design.dropped_rows,
        settings=dict(plan.options),
        versions=dict(raw.versions),
        seed=seed,
        warnings=warnings,
        messages=tuple(raw.messages),
        native=plan.native,
        seconds=dict(raw.seconds),
        level2_terms=level2_terms(design),
        states=design.states,
        **more,
    )


def _may_be_spurious(spec: ModelSpec) -> bool:
    """Tell whether groups vary about the variance function in no other way than by predictors."""
    variance = spec.variance_formula
    varies = variance.random or spec.association is not None
    return spec.group is not None and str(variance) != "~ 1" and not varies
