"""Simulation studies: what becomes of estimates, standard errors and intervals of models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.errors import (
    CollinearError,
    DataError,
    GroupsError,
    NoRowsError,
    OptionError,
    OutcomeError,
    RequestError,
    SpecError,
)
from bridge.fit import translate
from bridge.replications import checked_numbers, replicate
from bridge.result import Result
from bridge.simulation_design import SimulationDesign
from bridge.simulation_rows import TRIES, design_of_rows, possible_rows
from bridge.spec import ModelSpec
from bridge.study_result import Study
from bridge.study_task import EngineChoice, StudyTask
from bridge.truth import complete, of_result

if TYPE_CHECKING:
    from bridge.engines.base import Progress

#: A draw of one data set may be unlucky; what else is refused would be in all of them.
_UNLUCKY = (CollinearError, GroupsError, NoRowsError, OutcomeError)


def simulation_study(
    truth: Mapping[str, float] | Result,
    design: Any,
    models: Mapping[str, ModelSpec],
    engines: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("agq",),
    replications: int = 1000,
    seed: int = 1,
    out: str | Path | None = None,
    *,
    spec: ModelSpec | None = None,
    workers: int | None = None,
    cluster: Any = None,
    progress: Progress | bool | None = None,
) -> Study:
    """Draw many data sets from a model, fit models to each of them, and lay out what becomes.

    Parameters
    ----------
    truth : mapping of str to float, or Result
        The parameters of the model that generates the data, as for `bridge.simulate`. The estimate
        of a fitted model is held against the parameter of the same flat name; one that has none has
        no bias and no coverage.
    design : SimulationDesign, pandas.DataFrame or None
        Groups and covariates, drawn anew in each replication, or a frame of them that all share.
        None with a result: the rows of its fit.
    models : mapping of str to ModelSpec
        The models to fit, by name.
    engines : sequence of str, or mapping of str to mapping
        Engines, or names with options. Among the options ``engine`` says which it is where the
        name is another, and ``priors`` stand in the place of the models' own for it alone (an
        engine of maximum likelihood refuses a model with priors).
    replications : int
        How many data sets.
    seed : int
        The same seed gives the same study, whoever does it, and another model or engine in it
        changes no number of the others.
    out : path, optional
        A folder that estimates are written into as they come; the same call goes on from what is
        there. `Study.load` reads it.
    spec : ModelSpec, optional
        The model that generates the data; the first of ``models`` where it is not said.
    workers, cluster, progress
        As for `bridge.replications.replicate`: processes here, or a Dask cluster.

    Returns
    -------
    Study
        Printing it prints the table; ``estimates`` and ``table()`` are tidy frames.

    Raises
    ------
    RequestError
        Where an argument is wrong or an engine cannot express a model; before anything long runs.
    EngineFailed
        Where a process was killed. A fit that fails is counted, and a row of ``estimates``; where
        a data set cannot be drawn (a random covariate that happens not to vary), so are all of it.

    Notes
    -----
    Leckie, French, Charlton & Browne (2014), section 4. A fit has failed where the engine stopped,
    where it says that it did not converge, and where the worst R-hat of a posterior is above 1.1;
    its estimates, if any, are kept, and left out of the table, which says how many there are.

    Examples
    --------
    >>> import bridge
    >>> B = bridge.ModelSpec("y ~ 1 + (1 | school)", "~ 1 + (1 | school)")
    >>> truth = {"gamma[Intercept]": 0, "delta[Intercept]": 0,
    ...          "tau[u:Intercept,u:Intercept]": 0.2, "tau[v:Intercept,v:Intercept]": 0.2}
    >>> study = bridge.simulation_study(
    ...     truth, bridge.SimulationDesign(groups=20, size=10),
    ...     {"B": B, "A": B.replace(variance="~ 1")}, ["agq"], replications=4, seed=1, workers=1)
    >>> study.table().query("parameter == 'delta[Intercept]'")["n"].tolist()
    [4, 4]
    """
    replications, seed = checked_numbers(replications, seed)
    task, full = _task(truth, design, models, engines, spec, seed)
    key = _key(task, full)
    rows = replicate(
        task, replications, seed, key, out, workers=workers, cluster=cluster, progress=progress
    )
    return Study(rows, full, replications, seed, key)


def _task(
    truth: Any, design: Any, models: Any, engines: Any, spec: Any, seed: int
) -> tuple[StudyTask, dict[str, float]]:
    """Return the task of a study and its full truth; refuse now what all replications would."""
    models, choices = _models(models), _choices(engines)
    spec = next(iter(models.values())) if spec is None else spec
    if not isinstance(spec, ModelSpec):
        raise SpecError(f"spec= of a study is a ModelSpec, not {type(spec).__name__}.")
    fitted = truth if isinstance(truth, Result) else None
    if fitted is None and not isinstance(truth, Mapping):
        raise OptionError(
            "The truth of a study is a mapping from parameters to numbers, or a fitted result, not "
            f"{type(truth).__name__}."
        )
    make = partial(design_of_rows, spec)
    frame, made = possible_rows(spec, fitted, design, np.random.default_rng(seed), make)
    given = dict(truth) if fitted is None else of_result(made, fitted)
    task = StudyTask(spec, given, frame if design is None else design, models, choices)
    _check_fits(task, seed)
    return task, complete(made, given)


def _choices(engines: Any) -> dict[str, EngineChoice]:
    if isinstance(engines, str):
        engines = [engines]
    if not isinstance(engines, Mapping | Sequence):
        raise OptionError(
            "The engines of a study are names, or a mapping from names to options, not "
            f"{engines!r}."
        )
    tables = engines if isinstance(engines, Mapping) else {name: {} for name in engines}
    if not tables:
        raise OptionError("A study has no engine; name one, such as engines=['agq'].")
    return {str(label): EngineChoice.of(str(label), table) for label, table in tables.items()}


def _models(models: Any) -> dict[str, ModelSpec]:
    if not isinstance(models, Mapping) or not models:
        raise SpecError("The models of a study are a mapping from names to ModelSpecs.")
    for name, model in models.items():
        if not isinstance(model, ModelSpec):
            raise SpecError(f"The model {name} of a study is a ModelSpec, not {model!r}.")
    return {str(name): model for name, model in models.items()}


def _check_fits(task: StudyTask, seed: int) -> None:
    """Word every fit of the first data set, so that what cannot be fitted is refused now."""
    data = _first(task, seed)
    for name, model in task.models.items():
        for choice in task.engines.values():
            try:
                translate(choice.spec(model), data, choice.engine, **choice.options)
            except _UNLUCKY:
                continue
            except RequestError as error:
                raise type(error)(f"Model {name} of the study: {error}") from None


def _first(task: StudyTask, seed: int) -> pd.DataFrame:
    """Return the data of the first replication that has any."""
    for number in range(TRIES):
        try:
            return task.data(np.random.SeedSequence(seed, spawn_key=(number,)))[0]
        except DataError as error:
            said = error
    raise said


def _key(task: StudyTask, full: Mapping[str, float]) -> dict[str, Any]:
    """Return what makes a study this one, in plain values; a frame is known by its digest."""
    from bridge import __version__

    design = task.design
    if isinstance(design, SimulationDesign):
        rows: Any = design.to_dict()
    else:
        digest = hashlib.sha256(
            pd.util.hash_pandas_object(design, index=False).to_numpy().tobytes()
        )
        rows = {"rows": len(design), "columns": list(design.columns), "sha256": digest.hexdigest()}
    key = {
        "bridge": __version__,
        "spec": task.spec.to_dict(),
        "truth": {name: None if np.isnan(value) else value for name, value in full.items()},
        "design": rows,
        "models": {name: model.to_dict() for name, model in task.models.items()},
        "engines": {label: choice.plain() for label, choice in task.engines.items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(key, default=float))
    return plain
