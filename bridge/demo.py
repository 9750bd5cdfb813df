"""The demonstration: one data set, three models, every engine here, and the published table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import datasets, doctor
from bridge.comparison import Comparison, make_comparison
from bridge.errors import EngineFailed, EngineNotInstalled
from bridge.fit import fit
from bridge.spec import ModelSpec

if TYPE_CHECKING:
    from bridge.result import Result

MEAN = "mathach ~ 1 + sector + (1 | school)"
SHARED = "mathach ~ 1 + sector + (1 | s | school)"

#: (heading, the specification, the engines, their options)
_STEPS: tuple[tuple[str, ModelSpec, tuple[str, ...]], ...] = (
    ("standard", ModelSpec(MEAN), ("agq", "lme4", "nlme")),
    ("log-variance", ModelSpec(MEAN, "~ 1 + sector"), ("agq", "nlme")),
    (
        "Model 1",
        ModelSpec(SHARED, "~ 1 + sector + (1 | s | school)"),
        ("agq", "nuts", "stan", "brms"),
    ),
)
_SAMPLING = {"chains": 2, "warmup": 1000, "draws": 1000}
_PUBLISHED = "leckie2014/model1"


@dataclass(frozen=True)
class Demonstration:
    """What the demonstration found.

    Attributes
    ----------
    results : dict of str to Result
        By the heading of the table.
    comparison : Comparison
        The table and the verdicts.
    meaning : list of str
        What the numbers say.
    failed : list of str
        Engines that stopped with an error.
    """

    results: dict[str, Result]
    comparison: Comparison
    meaning: list[str]
    failed: list[str]


def run_demo(seed: int, say: Callable[[str], None]) -> Demonstration:
    """Fit High School and Beyond with every engine here and print one table.

    Parameters
    ----------
    seed : int
        Of the samplers.
    say : callable
        Prints a text.

    Raises
    ------
    EngineNotInstalled
        Where no engine can run here at all.
    """
    data = datasets.load("hsb")
    ready = {status.engine: status for status in doctor.check()}
    say(f"High School and Beyond: {len(data)} students in {data['school'].nunique()} schools.\n")
    results: dict[str, Result] = {}
    failed: list[str] = []
    for heading, spec, engines in _STEPS:
        say(f"{heading}: {spec.mean}; log variance {spec.variance}")
        for engine in engines:
            status = ready[engine]
            if not status.ready:
                say(f"  {engine} is left out: {status.missing}. To mend it: {status.mend}")
                continue
            options: dict[str, Any] = (
                {**_SAMPLING, "seed": seed} if engine in ("stan", "brms") else {}
            )
            started = time.monotonic()
            try:
                results[f"{heading}\n{engine}"] = fit(spec, data, engine, **options)
            except EngineFailed as error:
                say(f"  {engine} failed: {error}")
                failed.append(engine)
                continue
            say(f"  {engine}: {time.monotonic() - started:.1f} s")
    if not results:
        raise EngineNotInstalled("No engine can run here; `bridge doctor` says what to install.")
    comparison = make_comparison(list(results.values()), _PUBLISHED, list(results))
    meaning = _meaning(results)
    say("\n" + comparison.text())
    say("\nWhat it means")
    for sentence in meaning:
        say(sentence)
    for label, result in results.items():
        for warning in result.warnings:
            say(f"Warning ({label.replace(chr(10), ' ')}): {warning}")
    return Demonstration(results, comparison, meaning, failed)


def _meaning(results: dict[str, Result]) -> list[str]:
    """Return what the estimates say, in sentences."""
    label, result = list(results.items())[-1]
    said = [
        f"Catholic schools score {result.estimate('gamma[sector]'):.2f} points higher on average "
        f"({label.replace(chr(10), ', ')})."
    ]
    whole = [r for name, r in results.items() if name.startswith("Model 1")]
    fixed = [r for name, r in results.items() if name.startswith("log-variance")]
    if whole or fixed:
        ratio = np.exp((whole or fixed)[0].estimate("delta[sector]"))
        said.append(
            f"Their scores also vary less within schools: the level-1 variance is {ratio:.2f} "
            "times that of public schools (exp of delta[sector], a coefficient of the log "
            "variance)."
        )
    if whole and fixed:
        narrow, wide = _spread(fixed[0]), _spread(whole[0])
        said.append(
            "Leaving out the random effect in the variance gives delta[sector] a standard error "
            f"of {narrow:.3f} where the full model has {wide:.3f}: spurious precision."
        )
    return said


def _spread(result: Result) -> float:
    row = result.estimates[result.estimates["parameter"] == "delta[sector]"]
    return float(row["se"].iloc[0])
