"""Two fits of one model beside each other: the verdicts, parameter by parameter, and in a sentence.

A `Side` is what the verdicts read of a result, in plain values, so that they can be given of fits
that are kept as numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, names, verdicts
from bridge.engines.maximum import SINGULAR_BELOW
from bridge.result import TWO_STEP, Result
from bridge.verdicts import Verdict

#: What engines have in common: agreement within a set proves less.
_SHARED = {
    frozenset(("brms", "stan")): "brms and stan share Stan's sampler and mathematics",
    frozenset(("agq", "twostep")): "agq starts where twostep ends, by the same code",
    frozenset(("nuts", "stan")): (
        "nuts and stan share how columns are folded into the groups' own coefficients and in which "
        "units coefficients are sampled, and neither density nor sampler"
    ),
}
_CELLS = ("estimate", "se", "mcse", "component")


@dataclass(frozen=True)
class Side:
    """What verdicts read of one fit.

    Attributes
    ----------
    engine, method : str
        Who fitted, and what the estimates are.
    rows : dict
        Parameter -> estimate, se, mcse (None where there is none) and component.
    effects : tuple of str
        Labels of the group effects.
    zero : tuple of str
        Those whose variance counts as zero.
    loglik : float or None
        Of a maximum-likelihood fit.
    """

    engine: str
    method: str
    rows: Mapping[str, Mapping[str, Any]]
    effects: tuple[str, ...]
    zero: tuple[str, ...]
    loglik: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Side:
        """Make one of plain values."""
        values = {**parts, "effects": tuple(parts["effects"]), "zero": tuple(parts["zero"])}
        return cls(**values)


def side_of(result: Result) -> Side:
    """Return what verdicts read of a result."""
    rows = {
        row["parameter"]: {key: _plain(row.get(key)) for key in _CELLS}
        for row in result.estimates.to_dict("records")
    }
    return Side(
        engine=result.engine,
        method=result.method,
        rows=rows,
        effects=result.effects,
        zero=tuple(sorted(_zero_effects(result))),
        loglik=float(result.ml["loglik"]) if "loglik" in result.ml else None,
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return None if pd.isna(value) else float(value)


def pair(first: Side, second: Side) -> dict[str, Verdict]:
    """Return the verdict on each parameter of two fits of one model."""
    found = {}
    none = {} if "posterior" in (first.method, second.method) else _of_no_variance(first, second)
    for parameter, row in first.rows.items():
        other = second.rows[parameter]
        bayes = [side.method == "posterior" for side in (first, second)]
        if two_step_alone(first, second):
            usual, quick = (other, row) if first.method == TWO_STEP else (row, other)
            verdict = verdicts.other_estimator(usual, quick)
        elif all(bayes):
            verdict = verdicts.posteriors(row, other)
        elif any(bayes):
            ml, posterior = (other, row) if bayes[0] else (row, other)
            verdict = verdicts.mixed(ml, posterior)
        elif first.method != second.method:
            verdict = Verdict(verdicts.NOT_COMPARABLE, float("nan"), "ML against REML")
        elif parameter in none:
            verdict = verdicts.both_zero(none[parameter])
        else:
            verdict = verdicts.likelihoods(row, other)
        found[parameter] = verdict
    return found


def logliks(first: Side, second: Side) -> Verdict | None:
    """Return the verdict on two log-likelihoods; None where they are not of one kind."""
    if first.method != second.method or first.loglik is None or second.loglik is None:
        return None
    gap = first.loglik - second.loglik
    close = abs(gap) <= verdicts.LOGLIK_LIMIT
    return Verdict(verdicts.AGREE if close else verdicts.DIFFER, gap, "log-likelihood")


def independence(first: Side, second: Side) -> str:
    """Say what two engines have in common."""
    shared = _SHARED.get(frozenset((first.engine, second.engine)))
    if first.engine == second.engine:
        shared = f"both fits are {first.engine}'s"
    shared = shared or f"{first.engine} and {second.engine} share no code but the design"
    return f"Independence: {shared}."


def two_step_alone(first: Side, second: Side) -> bool:
    """Tell whether one of two fits is of the two-step method, and the other is not."""
    return (first.method == TWO_STEP) != (second.method == TWO_STEP)


def sentence(
    first: str, second: str, judged: Sequence[tuple[str, Verdict]], gap: float | None, write: Any
) -> str:
    """Say in a sentence what the verdicts of one pair come to.

    Parameters
    ----------
    first, second : str
        Headings.
    judged : sequence of (str, Verdict)
        Parameter and verdict.
    gap : float or None
        The difference of the log-likelihoods.
    write : callable
        Writes a number.
    """
    counts: dict[str, int] = {}
    for _, verdict in judged:
        counts[verdict.verdict] = counts.get(verdict.verdict, 0) + 1
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    head = f"{first} and {second}: {', '.join(f'{number} {word}' for word, number in ordered)}"
    measured = [
        (verdict.distance, name, verdict.unit)
        for name, verdict in judged
        if verdict.verdict != verdicts.NOT_COMPARABLE and np.isfinite(verdict.distance)
    ]
    if measured:
        distance, name, unit = max(measured, key=lambda each: each[0])
        head += f" (furthest apart: {name}, {write(distance)} {unit})"
    if gap is not None:
        head += f"; log-likelihoods {write(abs(gap))} apart"
    return f"{head}."


def _of_no_variance(first: Side, second: Side) -> dict[str, bool]:
    """Return the parameters of effects that vary in neither fit, and whether each is a variance."""
    zero = set(first.zero) & set(second.zero)
    effects, found = first.effects, {}
    for position, b in enumerate(effects):
        for a in effects[: position + 1]:
            if a in zero or b in zero:
                label = names.pair(a, b)
                found[names.flat("tau", label)] = a == b
                found[names.flat("rho", label)] = False
    return found


def _zero_effects(result: Result) -> set[str]:
    """Return the effects whose variance is below that of a singular fit."""
    constant = arviz_compat.groups_of(result.idata)["constant_data"]
    estimates = {
        name: float("nan") if pd.isna(value) else float(value)
        for name, value in zip(
            result.estimates["parameter"], result.estimates["estimate"], strict=True
        )
    }
    delta = [estimates[names.flat("delta", str(t))] for t in constant["variance_term"].values]
    with np.errstate(over="ignore"):
        level1 = float(np.exp(constant["variance_design"].values @ np.array(delta)).mean())
    found = set()
    for effect in result.effects:
        variance = estimates.get(names.flat("tau", names.pair(effect, effect)), float("nan"))
        # that of v is on the log variance, which has no unit
        if variance < SINGULAR_BELOW**2 * (level1 if effect[0] == "u" else 1.0) < np.inf:
            found.add(effect)
    return found
