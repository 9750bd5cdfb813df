"""One replication of a simulation study: one data set, every model by every engine on it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bridge.engines import registry
from bridge.engines.harmonise import SPURIOUS
from bridge.errors import DataError, EngineFailed, OptionError
from bridge.fit import translate
from bridge.result import Result
from bridge.simulate import simulate
from bridge.spec import ModelSpec
from bridge.study_table import FAILED, OK, ROWS

#: Chains of which the worst R-hat is above this have not met: their means are no estimates.
R_HAT_FAILED = 1.1
#: What a study sets itself, replication by replication.
_OWN = {"seed": "each replication has a seed of its own", "draws_to": "a study keeps no draws"}
_NUMBERS = ["estimate", "se", "lower", "upper"]
_TEXTS = ("model", "engine", "parameter", "component", "scale", "status", "why")


@dataclass(frozen=True)
class EngineChoice:
    """An engine with its options, as a study names it.

    Attributes
    ----------
    engine : str
        The engine.
    options : dict
        Its options; several chains run one after the other where ``cores`` is not said.
    priors : mapping or None
        In the place of the model's, for this engine alone.
    """

    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    priors: Mapping[str, str] | None = None

    @classmethod
    def of(cls, label: str, table: Any) -> EngineChoice:
        """Read what a study says of an engine: options, and ``engine`` and ``priors`` among them.

        Raises
        ------
        OptionError, UnknownEngineError
            Where there is no such engine or option, or the study sets it itself.
        """
        if not isinstance(table, Mapping):
            raise OptionError(
                f"The engine {label} of a study has a mapping of options, not {table!r}."
            )
        options = dict(table)
        name, priors = options.pop("engine", label), options.pop("priors", None)
        engine = registry.get(name)
        for option, why in _OWN.items():
            if option in options:
                raise OptionError(f"The engine {label} of a study takes no {option}: {why}.")
        engine.checked_options(options)
        if "cores" in engine.options:
            options.setdefault("cores", 1)
        return cls(name, options, priors)

    def spec(self, model: ModelSpec) -> ModelSpec:
        """Return a model as this engine fits it."""
        return model if self.priors is None else model.replace(priors=self.priors)

    def plain(self) -> dict[str, Any]:
        """Return it in values that JSON has."""
        found = {"engine": self.engine, **self.options}
        return found if self.priors is None else {**found, "priors": dict(self.priors)}


@dataclass(frozen=True)
class StudyTask:
    """What `bridge.replications.replicate` does for a study; picklable.

    Attributes
    ----------
    spec : ModelSpec
        The data come from it.
    truth : mapping or Result
        Its parameters.
    design : SimulationDesign, pandas.DataFrame or None
        As for `bridge.simulate`.
    models : mapping of str to ModelSpec
        What is fitted.
    engines : mapping of str to EngineChoice
        By what.
    """

    spec: ModelSpec
    truth: Any
    design: Any
    models: Mapping[str, ModelSpec]
    engines: Mapping[str, EngineChoice]

    def __call__(self, seeds: np.random.SeedSequence, number: int) -> pd.DataFrame:  # noqa: ARG002 - seeds say it
        """Draw a data set and fit every model to it by every engine.

        The data depend on the replication's seeds alone, and so does the seed of every sampler, so
        that another model or engine in a study changes no number of the others.
        """
        try:
            data, seed = self.data(seeds)
        except DataError as error:  # the draw's covariates are such as the model cannot have
            why = f"No data: {error}"
            pairs = [(model, label) for model in self.models for label in self.engines]
            return pd.concat([_failed(*pair, why, np.nan) for pair in pairs], ignore_index=True)
        parts = [
            fit_rows(model, label, spec, choice, data, seed)
            for model, spec in self.models.items()
            for label, choice in self.engines.items()
        ]
        return pd.concat(parts, ignore_index=True)

    def data(self, seeds: np.random.SeedSequence) -> tuple[pd.DataFrame, int]:
        """Return a replication's data set and its samplers' seed."""
        of_data, of_samplers = seeds.spawn(2)
        seed = 1 + int(of_samplers.generate_state(1)[0]) % (2**31 - 2)
        return simulate(self.spec, self.truth, self.design, seed=of_data), seed


def fit_rows(
    model: str, label: str, spec: ModelSpec, choice: EngineChoice, data: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """Fit one model by one engine; return its estimates, or one row on why there are none.

    Parameters
    ----------
    model, label : str
        What the study calls the model and the engine.
    spec : ModelSpec
        The model.
    choice : EngineChoice
        The engine.
    data : pandas.DataFrame
        The data set.
    seed : int
        Of a sampler.

    Returns
    -------
    pandas.DataFrame
        The columns `bridge.study_table.ROWS`. A fit that did not converge keeps its estimates, and
        its status is "failed"; an ok one has its warnings, if any, in ``why``.
    """
    start = time.perf_counter()
    try:
        result, converged = _fitted(choice.spec(spec), choice, data, seed)
        rows = result.estimates[["parameter", "component", "scale"]].astype(object)
        rows[_NUMBERS] = result.estimates[_NUMBERS].astype(float)
        said = "; ".join(word for word in result.warnings if word != SPURIOUS)
        status, why = OK if converged else FAILED, said or None
    except (EngineFailed, DataError, np.linalg.LinAlgError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {error}"
        return _failed(model, label, why, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    return _typed(rows.assign(model=model, engine=label, status=status, why=why, seconds=seconds))


def _failed(model: str, label: str, why: str, seconds: float) -> pd.DataFrame:
    """Return the row of a fit that gave no estimates."""
    rows = pd.DataFrame([dict.fromkeys(("parameter", "component", "scale"))], dtype=object)
    rows[_NUMBERS] = np.nan
    return _typed(rows.assign(model=model, engine=label, status=FAILED, why=why, seconds=seconds))


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Make text of columns without any, so that the table's types do not depend on its rows."""
    return rows[list(ROWS)].astype(dict.fromkeys(_TEXTS, "string"))


def _fitted(
    spec: ModelSpec, choice: EngineChoice, data: pd.DataFrame, seed: int
) -> tuple[Result, bool]:
    """Fit as `bridge.fit` does; say too whether the estimates can be relied on."""
    engine = registry.get(choice.engine)
    seeded = {"seed": seed} if "seed" in engine.options else {}
    plan = translate(spec, data, choice.engine, **choice.options, **seeded)
    raw = engine.run(plan, lambda *_: None)
    result = engine.harmonise(raw, plan)
    if result.method != "posterior":
        return result, bool(raw.values.get("converged", True))
    r_hat = result.estimates["r_hat"].astype(float)
    return result, not bool((r_hat > R_HAT_FAILED).any())
