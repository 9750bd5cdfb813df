"""The only importer of PyStan: a child process, ``python -m bridge.engines.pystan_worker``.

PyStan cannot run inside a live event loop such as Jupyter's, it talks on the terminal, and a crash
of a compiled model would take the user's session with it; in a child none of this matters.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib import import_module as _import  # the repository has a folder stan/ too
from importlib.metadata import version
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np

from bridge.engines.draws_folder import ChainFile
from bridge.engines.listening import listening
from bridge.engines.stan_stream import ChainReader, stacked
from bridge.engines.worker import serve
from bridge.errors import EngineFailed, OutputError

_ROUTINE = (
    "info:Iteration:",
    "info: Elapsed Time:",
    "info:               ",
    "info:Gradient evaluation took",
    "info:1000 transitions using",
    "info:Adjust your expectations",
)


def sample(payload: dict[str, Any]) -> dict[str, Any]:
    """Compile where needed and draw; see `bridge.engines.stan_backends.sample`.

    Parameters
    ----------
    payload : dict
        program, data, inits, warmup, draws, seed, adapt_delta, max_treedepth, cores, and
        draws_to, the folder to write the draws into, or None.

    Returns
    -------
    dict
        versions, draws, sampler, messages and seconds.

    Raises
    ------
    EngineFailed
        Stan's own words when it could not compile, start or sample.
    """
    model, compiling = _model(payload)
    versions = {"pystan": version("pystan"), "httpstan": version("httpstan")}
    started = time.monotonic()
    readers = asyncio.run(_chains(model, payload, versions))
    sampling = time.monotonic() - started
    draws, sampler = stacked(readers, model.names, model.dims, payload["draws"])
    return {
        "versions": versions,
        "draws": draws,
        "sampler": sampler,
        "messages": [line for reader in readers for line in _messages(reader.logged)],
        "seconds": {"compile": compiling, "sampling": sampling},
    }


def log_density(payload: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the log density of constrained points, Stan's own Jacobians left out.

    Parameters
    ----------
    payload : dict
        program, data and points (a list of dicts of parameters).

    Returns
    -------
    dict
        log_density, an array of one number a point.

    Raises
    ------
    EngineFailed
        A point is outside the support, or lacks a parameter.
    """
    model, _ = _model(payload)
    values = []
    for number, point in enumerate(payload["points"], 1):
        try:
            free = model.services.transform_inits(model.data, _filled(point))
            values.append(model.services.log_prob(model.data, free, False))
        except Exception as error:
            raise EngineFailed(
                f"Stan (PyStan) could not evaluate the density at point {number}: {error}"
            ) from error
    return {"log_density": np.array(values, dtype=float)}


@dataclass(frozen=True)
class _Model:
    """A compiled program with its data, and the variables that it then has."""

    name: str
    services: Any
    data: dict[str, np.ndarray]
    names: tuple[str, ...]
    dims: tuple[tuple[int, ...], ...]


def _model(payload: dict[str, Any]) -> tuple[_Model, float]:
    """Return the compiled model with its data, and the seconds that took.

    A model that is compiled is asked directly. PyStan would ask it through a server of httpstan's,
    with all data as text: three seconds for seventy thousand rows.
    """
    models = _import("httpstan.models")
    started = time.monotonic()
    name = models.calculate_model_name(payload["program"])
    data = {key: np.asarray(value) for key, value in payload["data"].items()}
    try:
        with _sole_compiler(name) as stored:
            if not stored:
                _compile(payload)
        services = models.import_services_extension_module(name)
        names, dims = services.get_param_names(data), services.get_dims(data)
    except Exception as error:
        raise EngineFailed(f"Stan (PyStan) could not build the model: {error}") from error
    found = _Model(name, services, data, tuple(names), tuple(tuple(shape) for shape in dims))
    return found, time.monotonic() - started


def _compile(payload: dict[str, Any]) -> None:
    stan = _import("stan")
    # PyStan asks httpstan through aiohttp, which gives a compiler five minutes; a fit's own limit
    # is its parent's
    client: Any = _import("aiohttp.client")
    client.DEFAULT_TIMEOUT = client.ClientTimeout(total=None)
    _wait_for_stanc()
    # stanc warns of priors that are data, at a length that would bury Stan's last words
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        stan.build(payload["program"], data=_plain(payload["data"]))


def _wait_for_stanc() -> None:
    """Let Stan's translator take its time: httpstan ends it after a second, busy machine or not."""

    def run(*args: Any, **settings: Any) -> Any:
        return subprocess.run(*args, **{**settings, "timeout": None})  # noqa: PLW1510 - httpstan's

    compiler: Any = _import("httpstan.compile")
    compiler.subprocess = SimpleNamespace(run=run)


@contextmanager
def _sole_compiler(name: str) -> Iterator[bool]:
    """Keep httpstan's store of compiled models whole: one compiler at a time, no half a model.

    Whether the model is stored is what it gives.
    """
    cache = _import("httpstan.cache")
    folder = cache.model_directory(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a killed process lets go of it
        # the compiler's log is stored last: without it the library may be half written
        stored = (folder / "stderr.log").exists()
        if not stored:
            cache.delete_model_directory(name)
            _say("Compiling the Stan program")
        yield stored


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def _filled(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the values that have an element: Stan does not miss the others."""
    arrays = {name: np.asarray(value) for name, value in values.items()}
    return {name: array for name, array in arrays.items() if array.size}


def _say(line: str) -> None:
    # past Python's own streams, which httpstan redirects while it compiles
    os.write(1, f"{line}\n".encode())


async def _chains(
    model: _Model, payload: dict[str, Any], versions: dict[str, str]
) -> list[ChainReader]:
    # httpstan's own client neither limits the cores nor says what went wrong in a chain
    gate = asyncio.Semaphore(payload["cores"])
    kept = ("draws", "warmup", "seed", "adapt_delta", "max_treedepth")
    header = [f"{name} = {n}" for name, n in versions.items()]
    header += [f"{name} = {payload[name]}" for name in kept]
    return await asyncio.gather(
        *(
            _chain(model, payload, number, gate, header)
            for number in range(1, len(payload["inits"]) + 1)
        )
    )


async def _chain(
    model: _Model,
    payload: dict[str, Any],
    number: int,
    gate: asyncio.Semaphore,
    header: list[str],
) -> ChainReader:
    folder = payload.get("draws_to")
    file = None if folder is None else ChainFile(folder, number, header)
    reader = ChainReader(payload["draws"], file)

    def take(line: bytes) -> None:
        start = line.find(b"Iteration:") if b'"logger"' in line[:60] else -1
        if start >= 0:
            text = line[start:].split(b'"', 1)[0].decode()
            _say(f"Chain [{number}] {text}")
        reader.take(line)

    settings = {
        "data": model.data,
        "init": _filled(payload["inits"][number - 1]),
        "random_seed": payload["seed"],
        "chain": number,
        "num_warmup": payload["warmup"],
        **payload["windows"],
        "num_samples": payload["draws"],
        "delta": payload["adapt_delta"],
        "max_depth": payload["max_treedepth"],
        "refresh": max(1, (payload["warmup"] + payload["draws"]) // 20),
    }
    async with gate:
        try:
            code = await _services(model.name, settings, take)
            if code != 0:
                words = "; ".join(_messages(reader.logged))
                raise EngineFailed(words or f"Stan ended with code {code}")
            if file is not None:
                file.end()
        except OutputError:
            raise
        except Exception as error:
            words = " ".join(str(error).split())
            raise EngineFailed(f"Stan (PyStan), chain {number}, stopped: {words}") from error
        finally:
            if file is not None:
                file.close()
    return reader


async def _services(model: str, settings: dict[str, Any], take: Callable[[bytes], None]) -> int:
    """Run one chain, hand on what Stan writes, line by line, and return the code it ends with.

    httpstan's own reader waits on one chain's socket while the others' fill up and stand still,
    compresses every draw, and keeps each fit on disk; this one listens to all chains at once.
    """
    stub, arguments = _import("httpstan.services_stub"), _import("httpstan.services.arguments")
    models = _import("httpstan.models")
    name = "hmc_nuts_diag_e_adapt"
    known = arguments.function_arguments(name, models.import_services_extension_module(model))
    kind = arguments.Method["SAMPLE"]
    whole = {k: settings[k] if k in settings else arguments.lookup_default(kind, k) for k in known}
    # forked, as httpstan does it: the compiled model is loaded in the chain's own process
    wrapper = stub._make_lazy_function_wrapper(name, model)

    async def run(path: str) -> int:
        function = partial(wrapper, path, **whole)
        code: int = await asyncio.get_running_loop().run_in_executor(stub.executor, function)
        return code

    return await listening(run, take)


def _messages(logged: list[str]) -> list[str]:
    """Return what Stan logged in one chain, the routine lines left out."""
    kept = (text for text in logged if not text.startswith(_ROUTINE))
    return [words for text in kept if (words := text.split(":", 1)[1].strip())]


if __name__ == "__main__":
    serve({"sample": sample, "log_density": log_density})
