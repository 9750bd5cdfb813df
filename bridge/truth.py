"""The parameters of a model as numbers to simulate from: all there, none besides, in agreement."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from bridge import names
from bridge.class_likelihood import covariances
from bridge.design import Design
from bridge.drawing import points_of
from bridge.engines.harmonise import parameter_table
from bridge.errors import OptionError, suggest
from bridge.result import Result

#: Two ways to say one number agree up to this share of it.
_SAME = 1e-6
#: How names of SDs begin, here in priors and in other packages.
_SDS = ("sd", "sigma", "log_sd", "logsd", "b_sigma")


def complete(design: Design, truth: Mapping[str, Any]) -> dict[str, float]:
    """Return every parameter of a model from those that are given.

    Parameters
    ----------
    design : Design
        The model.
    truth : mapping of str to float
        By flat name, canonical scales. Of a constant pair of effects the covariance or the
        correlation will do; of latent classes the weights and the points.

    Returns
    -------
    dict of str to float
        Also what follows: covariances from correlations and the other way round. A correlation
        with an effect that does not vary is NaN.

    Raises
    ------
    OptionError
        Naming what is missing, unknown, out of range or in contradiction.
    """
    known = parameters_of(design)
    for name in truth:
        if name not in known:
            raise OptionError(
                f"The truth has '{name}', which this model does not have."
                f"{_hint(design, str(name))} It has: {', '.join(known)}."
            )
    values = {str(name): _number(str(name), value) for name, value in truth.items()}
    _check_variances(design, values)
    found, derived = (_classes if design.spec.classes else _covariances)(design, values)
    missing = [name for name in known if name not in values and name not in derived]
    if missing:
        apart = {design.pair_label((a, b)) for a, b in design.constant_tau_pairs if a != b}
        covariances_too = {names.flat("tau", label) for label in apart} & set(missing)
        also = "; of a covariance its correlation will do" if covariances_too else ""
        raise OptionError(f"The truth has no value of {', '.join(missing)}; give one{also}.")
    _check_ranges(design, found)
    return {name: found[name] for name in known}


def parameters_of(design: Design) -> list[str]:
    """Return the flat names of a model's parameters, as a fit's estimates have them."""
    found = [name for name, _, _ in parameter_table(design)]
    return found + (["nu"] if design.spec.random_effects == "student_t" else [])


def of_result(design: Design, result: Result) -> dict[str, float]:
    """Return the estimates of a fit as a truth; of a posterior its means.

    Of a pair with both a covariance and a correlation the covariance counts, for means over draws
    of the two do not agree; latent classes are moved to a weighted mean of zero.
    """
    table = result.estimates
    values = {
        str(name): float(value)
        for name, value in zip(table["parameter"], table["estimate"], strict=True)
        if not pd.isna(value)
    }
    for pair in design.constant_tau_pairs:
        label = design.pair_label(pair)
        if names.flat("tau", label) in values:
            values.pop(names.flat("rho", label), None)
    for pair in design.constant_rho_pairs:
        # a correlation with an effect that does not vary has no estimate, and does not matter
        if pair not in design.constant_tau_pairs:
            values.setdefault(names.flat("rho", design.pair_label(pair)), 0.0)
    if design.spec.classes is not None:
        values = {k: v for k, v in values.items() if not k.startswith(("tau[", "rho["))}
        weights, points = points_of(design, values)
        weights = weights / weights.sum()
        for c, weight in zip(names.class_labels(design.spec.classes), weights, strict=True):
            values[names.flat("pi", c)] = float(weight)
        values |= named_points(design, points - weights @ points)
    return values


def named_points(design: Design, points: np.ndarray) -> dict[str, float]:
    """Return mass points (K, q) by flat name."""
    return {
        names.flat(f"{effect[0]}_class", names.class_effect(c, effect)): float(point)
        for c, row in zip(names.class_labels(design.spec.classes), points, strict=True)
        for effect, point in zip(design.effects, row, strict=True)
    }


def _hint(design: Design, name: str) -> str:
    """Return what is wrong with an unknown name: its scale, its order or its spelling."""
    if name.lower().startswith(_SDS):
        return (
            " No SD is read here: tau[a,a] is a variance, the square of the SD, and delta is of "
            "the log variance, twice the log SD."
        )
    known = parameters_of(design)
    for a, b in combinations(range(len(design.effects)), 2):
        for variable in ("tau", "rho"):
            right, turned = (
                names.flat(variable, design.pair_label(pair)) for pair in ((a, b), (b, a))
            )
            if name == turned and right in known:
                return f" Write {right}."
            if name in (right, turned) and design.block[a] != design.block[b]:
                return (
                    " These effects are independent in this model; terms that share an id, as "
                    "(1 | s | g) in both functions, have correlated ones."
                )
    return suggest(name, known)


def _number(name: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if isinstance(value, bool | str) or not np.isfinite(found):
        raise OptionError(f"The truth of {name} is a finite number, not {value!r}.")
    return found


def _covariances(
    design: Design, values: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the values with covariances and correlations derived from each other, and these."""
    derived: dict[str, float] = {}
    for pair in design.constant_tau_pairs:
        if pair[0] == pair[1] or pair not in design.constant_rho_pairs:
            continue
        label = design.pair_label(pair)
        tau, rho = names.flat("tau", label), names.flat("rho", label)
        own = [names.flat("tau", design.pair_label((a, a))) for a in pair]
        # without a variance the other is not known, and the variance is what is said to be missing
        size = float(np.prod([np.sqrt(values.get(name, np.nan)) for name in own]))
        if tau in values and rho in values:
            if abs(values[tau] - values[rho] * size) > _SAME * size:
                raise OptionError(
                    f"The truths of {tau} and {rho} contradict each other: with the variances the "
                    f"correlation makes {values[rho] * size:.6g}; leave one of the two out."
                )
        elif rho in values:
            derived[tau] = values[rho] * size
        elif tau in values:
            derived[rho] = values[tau] / size if size > 0 else float("nan")
    return {**values, **derived}, derived


def _classes(
    design: Design, values: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the values with the covariances that mass points make, and these."""
    labels = names.class_labels(design.spec.classes)
    own = [names.flat("pi", c) for c in labels]
    own += named_points(design, np.zeros((len(labels), len(design.effects))))
    pairs = [("tau", pair) for pair in design.tau_pairs] + [
        ("rho", pair) for pair in design.rho_pairs
    ]
    every = [names.flat(variable, design.pair_label(pair)) for variable, pair in pairs]
    if not set(own) <= set(values):
        return dict(values), dict.fromkeys(every, 0.0)  # the points are asked for alone
    weights, points = points_of(design, values)
    T = covariances(weights, points)
    sd = np.sqrt(np.diag(T))
    derived = {}
    for name, (variable, (a, b)) in zip(every, pairs, strict=True):
        size = sd[a] * sd[b]
        alone = T[a, b] if variable == "tau" else T[a, b] / size if size > 0 else float("nan")
        derived[name] = float(alone)
        if name in values and abs(values[name] - alone) > _SAME * max(size, 1.0):
            raise OptionError(
                f"The truth of {name} contradicts the mass points and their weights, which make "
                f"it {alone:.6g}; leave it out."
            )
    return {**values, **derived}, derived


def _check_variances(design: Design, values: Mapping[str, float]) -> None:
    for a, b in design.constant_tau_pairs:
        name = names.flat("tau", design.pair_label((a, b)))
        if a == b and values.get(name, 0.0) < 0:
            raise OptionError(
                f"The truth of {name} is a variance, and {values[name]:g} is below 0."
            )


def _check_ranges(design: Design, values: Mapping[str, float]) -> None:
    """Refuse numbers that their parameters cannot be."""
    for pair in design.constant_rho_pairs:
        name = names.flat("rho", design.pair_label(pair))
        if abs(values[name]) > 1 + _SAME:
            raise OptionError(
                f"The truth of {name} makes a correlation of {values[name]:.6g}; the covariance "
                "matrix is not positive semi-definite: keep correlations between -1 and 1."
            )
    if values.get("nu", 2.0) <= 1:
        raise OptionError(
            f"The truth of nu is {values['nu']:g}; degrees of freedom are above 1 in this model."
        )
    if design.spec.classes is not None:
        _check_points(design, values)


def _check_points(design: Design, values: Mapping[str, float]) -> None:
    weights, points = points_of(design, values)
    if weights.min() < 0 or abs(weights.sum() - 1) > _SAME:
        raise OptionError(
            f"The truths of pi are weights that sum to 1, and these sum to {weights.sum():.6g} "
            f"(the smallest is {weights.min():g})."
        )
    away = np.abs(weights @ points)
    spread = np.abs(points).max(axis=0)
    if (away > _SAME * np.maximum(spread, 1.0)).any():
        worst = design.effects[int(np.argmax(away))]
        raise OptionError(
            f"The weighted mean of the mass points of {worst} is {away.max():.6g}, and it is zero "
            "in this model; subtract it from the points."
        )
    first = names.ordering_effect(design.effects)
    if (np.diff(points[:, first]) < 0).any():
        raise OptionError(
            f"Latent classes stand in the order of {design.effects[first]}, the smallest first; "
            "renumber the classes of the truth."
        )
