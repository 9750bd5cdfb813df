"""The rows of simulated data before their outcome: drawn, given, or those of a fit."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bridge.columns import complete_rows
from bridge.design import Design, make_design
from bridge.errors import DataError, OptionError, UnknownColumnError, suggest
from bridge.fitted_rows import fitted_rows
from bridge.priors import Priors
from bridge.result import Result
from bridge.simulation_design import SimulationDesign
from bridge.spec import ModelSpec

#: Of so many draws of covariates one is such as a model can have, or hardly any is.
TRIES = 20

Seed = int | np.random.SeedSequence | None


def streams(seed: Seed, number: int) -> list[np.random.Generator]:
    """Return random numbers of their own for each of several purposes.

    They depend on the seed alone: a sequence that has been used before gives the same again.
    """
    if isinstance(seed, np.random.SeedSequence):
        root = seed
    elif seed is None:
        root = np.random.SeedSequence(secrets.randbits(64))
    elif isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise OptionError(f"seed is a whole number of at least 0, not {seed!r}.")
    else:
        root = np.random.SeedSequence(int(seed))
    return [
        np.random.default_rng(np.random.SeedSequence(root.entropy, spawn_key=(*root.spawn_key, k)))
        for k in range(number)
    ]


def design_of_rows(spec: ModelSpec, frame: pd.DataFrame) -> Design:
    """Return the design of a model at rows that have no outcome yet; its priors are left out."""
    placeholder = np.arange(len(frame), dtype=float)
    return make_design(spec.replace(priors=Priors()), frame.assign(**{spec.outcome: placeholder}))


def rows_of(
    spec: ModelSpec, fitted: Result | None, design: Any, rng: np.random.Generator
) -> pd.DataFrame:
    """Return the covariates and groups of a data set; see `bridge.simulate`."""
    if design is None:
        if fitted is None:
            raise OptionError(
                "There is no design to simulate in; give a bridge.SimulationDesign, or a frame of "
                "covariates and group labels."
            )
        return fitted_rows(spec, fitted)
    if isinstance(design, SimulationDesign):
        _check_names(spec, design)
        return design.draw(rng, spec.group)
    if not isinstance(design, pd.DataFrame):
        raise OptionError(
            "The design is a bridge.SimulationDesign or a pandas frame, not "
            f"{type(design).__name__}."
        )
    _check_frame(spec, design)
    return design


def possible_rows(
    spec: ModelSpec,
    fitted: Result | None,
    design: Any,
    rng: np.random.Generator,
    make: Callable[[pd.DataFrame], Design],
) -> tuple[pd.DataFrame, Design]:
    """Return rows that a model can have, and its design there.

    Random ones are drawn again where, say, a binary covariate happens to be the same in all rows:
    what is chosen by covariates alone does not touch the law of anything given them.

    Parameters
    ----------
    spec, fitted, design, rng
        As for `rows_of`.
    make : callable
        Makes the model's design of rows, and raises a DataError where it cannot be.
    """
    left = TRIES if isinstance(design, SimulationDesign) else 1
    while True:
        frame, left = rows_of(spec, fitted, design, rng), left - 1
        try:
            return frame, make(frame)
        except DataError:
            if not left:
                raise


def _read(spec: ModelSpec) -> list[str]:
    """Return the columns the model reads but the outcome."""
    return [name for name in spec.columns if name != spec.outcome]


def _check_names(spec: ModelSpec, design: SimulationDesign) -> None:
    if spec.outcome in design.covariates or spec.outcome == design.group:
        raise OptionError(
            f"{spec.outcome} is the outcome, which is simulated, and stands in the design; leave "
            "it out there."
        )
    if None not in (design.group, spec.group) and design.group != spec.group:
        raise OptionError(
            f"The design groups rows by '{design.group}' and the model by '{spec.group}'; use one "
            "name, or leave group out of the design."
        )
    known = [*design.covariates, *([spec.group] if spec.group else [])]
    for name in _read(spec):
        if name not in known:
            raise UnknownColumnError(
                f"The design has no covariate '{name}', which the model reads."
                f"{suggest(name, design.covariates)} It has: "
                f"{', '.join(design.covariates) or 'none'}."
            )


def _check_frame(spec: ModelSpec, frame: pd.DataFrame) -> None:
    read = _read(spec)
    whole = complete_rows(frame, read)
    if len(whole) < len(frame):
        name = next(n for n in read if frame[n].isna().any())
        row = frame.index[int(np.argmax(frame[name].isna().to_numpy()))]
        raise DataError(
            f"The design has no value of {name} in row {row}, so that the row has no outcome; fill "
            "it in, or drop the row."
        )
    if not len(frame):
        raise DataError("The design has no rows; give one or more.")
