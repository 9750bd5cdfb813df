"""Simulation studies as TOML files: what generates, what is fitted, by what, how often."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bridge.errors import BridgeError, DataFileError, OptionError, RequestError, suggest
from bridge.simulation_design import SimulationDesign
from bridge.spec import ModelSpec
from bridge.study_task import EngineChoice

_KEYS = ("title", "spec", "truth", "design", "models", "engines", "replications", "seed")
_TABLES = ("spec", "truth", "design", "models", "engines")
_NEEDED = ("spec", "truth", "design", "models", "engines", "replications", "seed")
_T = TypeVar("_T")


def read_study(file: str | Path) -> dict[str, Any]:
    """Read a study from a TOML file.

    Parameters
    ----------
    file : path
        ``[spec]`` is the model that generates the data, ``[truth]`` its parameters by flat name,
        ``[design]`` groups and covariates (`bridge.SimulationDesign`), ``[models.NAME]`` what a
        model has in the place of the parts of ``[spec]`` (nothing: the very spec),
        ``[engines.NAME]`` options of an engine; ``replications``, ``seed``, and a ``title``.

    Returns
    -------
    dict
        The arguments of `bridge.simulation_study`.

    Raises
    ------
    DataFileError
        Where the file cannot be read or is not TOML.
    RequestError
        Where a key is unknown or missing, or what it says is wrong; with file and key.
    """
    file = Path(file)
    try:
        parts = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise DataFileError(f"The study {file} cannot be read: {why}.") from None
    except tomllib.TOMLDecodeError as error:
        raise DataFileError(f"The study {file} is not TOML: {error}.") from None
    _check_keys(file, parts)
    spec = _at(file, "spec", partial(ModelSpec.from_dict, parts["spec"]))
    models = {
        name: _at(file, f"models.{name}", partial(_model, spec, of))
        for name, of in parts["models"].items()
    }
    for label, table in parts["engines"].items():
        _at(file, f"engines.{label}", partial(EngineChoice.of, label, table))
    return {
        "spec": spec,
        "truth": parts["truth"],
        "design": _at(file, "design", partial(SimulationDesign.from_dict, parts["design"])),
        "models": models,
        "engines": parts["engines"],
        "replications": parts["replications"],
        "seed": parts["seed"],
    }


def _model(spec: ModelSpec, of: Any) -> ModelSpec:
    if not isinstance(of, Mapping):
        raise OptionError(f"a model is a table of parts of a spec, not {of!r}.")
    return ModelSpec.from_dict({**spec.to_dict(), **of})


def _check_keys(file: Path, parts: Mapping[str, Any]) -> None:
    for key in parts:
        if key not in _KEYS:
            raise OptionError(
                f"The study {file} has the unknown key '{key}'.{suggest(key, _KEYS)} It may have: "
                f"{', '.join(_KEYS)}."
            )
    for key in _NEEDED:
        if key not in parts:
            what = f"[{key}]" if key in _TABLES else f"{key} = …"
            raise OptionError(f"The study {file} lacks {what}.")
    for key in _TABLES:
        if not isinstance(parts[key], dict):
            raise OptionError(f"The study {file}: {key} is a table, [{key}].")


def _at(file: Path, key: str, make: Callable[[], _T]) -> _T:
    """Make a part of a study; where it is wrong, say in which file and key."""
    try:
        return make()
    except BridgeError as error:
        raise RequestError(f"The study {file}, [{key}]: {error}") from None
