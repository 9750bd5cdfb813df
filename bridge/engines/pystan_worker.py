"""The only importer of PyStan: a child process, ``python -m bridge.engines.pystan_worker``.

PyStan cannot run inside a live event loop such as Jupyter's, it talks on the terminal, and a crash
of a compiled model would take the user's session with it; in a child none of this matters.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module as _import  # the repository has a folder stan/ too
from importlib.metadata import version
from io import StringIO
from typing import Any

import numpy as np

from bridge.engines.worker import serve
from bridge.errors import EngineFailed

#: Bytes of one draw as text.
_LONGEST_LINE = 2**28
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
        program, data, inits, warmup, draws, seed, adapt_delta, max_treedepth, cores.

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
    started = time.monotonic()
    outputs = asyncio.run(_chains(model, payload))
    sampling = time.monotonic() - started
    draws, sampler = _arrays(model, outputs, payload)
    return {
        "versions": {"pystan": version("pystan"), "httpstan": version("httpstan")},
        "draws": draws,
        "sampler": sampler,
        "messages": [line for output in outputs for line in _messages(output)],
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
            free = model.unconstrain_pars(_plain(point))
            values.append(model.log_prob(free, adjust_transform=False))
        except Exception as error:
            raise EngineFailed(
                f"Stan (PyStan) could not evaluate the density at point {number}: {error}"
            ) from error
    return {"log_density": np.array(values, dtype=float)}


def _model(payload: dict[str, Any]) -> tuple[Any, float]:
    """Return the compiled model with its data, and the seconds that took."""
    models, stan = _import("httpstan.models"), _import("stan")
    # PyStan asks httpstan through aiohttp, which gives a compiler five minutes; a fit's own limit
    # is its parent's
    client: Any = _import("aiohttp.client")
    client.DEFAULT_TIMEOUT = client.ClientTimeout(total=None)
    started = time.monotonic()
    try:
        # stanc warns of priors that are data, at a length that would bury Stan's last words
        with (
            _sole_compiler(models.calculate_model_name(payload["program"])),
            redirect_stdout(StringIO()),
            redirect_stderr(StringIO()),
        ):
            model = stan.build(
                payload["program"], data=_plain(payload["data"]), random_seed=payload.get("seed")
            )
    except Exception as error:
        raise EngineFailed(f"Stan (PyStan) could not build the model: {error}") from error
    return model, time.monotonic() - started


@contextmanager
def _sole_compiler(name: str) -> Iterator[None]:
    """Keep httpstan's store of compiled models whole: one compiler at a time, no half a model."""
    cache = _import("httpstan.cache")
    folder = cache.model_directory(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a killed process lets go of it
        # the compiler's log is stored last: without it the library may be half written
        if not (folder / "stderr.log").exists():
            cache.delete_model_directory(name)
            _say("Compiling the Stan program")
        yield


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def _say(line: str) -> None:
    # past Python's own streams, which httpstan redirects while it compiles
    os.write(1, f"{line}\n".encode())


async def _chains(model: Any, payload: dict[str, Any]) -> list[bytes]:
    # httpstan's own client neither limits the cores nor says what went wrong in a chain
    gate = asyncio.Semaphore(payload["cores"])
    return await asyncio.gather(
        *(_chain(model, payload, number, gate) for number in range(1, len(payload["inits"]) + 1))
    )


async def _chain(
    model: Any, payload: dict[str, Any], number: int, gate: asyncio.Semaphore
) -> bytes:
    def report(message: bytes) -> None:
        start = message.rfind(b"Iteration:")
        if start >= 0:
            text = message[start:].split(b'"', 1)[0].decode()
            _say(f"Chain [{number}] {text}")

    settings = {
        "data": model.data,
        # an empty matrix as a list has lost its shape, and Stan does not miss it
        "init": {k: v for k, v in _plain(payload["inits"][number - 1]).items() if v != []},
        "random_seed": payload["seed"],
        "chain": number,
        "num_warmup": payload["warmup"],
        "num_samples": payload["draws"],
        "delta": payload["adapt_delta"],
        "max_depth": payload["max_treedepth"],
        "refresh": max(1, (payload["warmup"] + payload["draws"]) // 20),
    }
    async with gate:
        try:
            return await _services(model.model_name, settings, report)
        except Exception as error:
            words = " ".join(str(error).split())
            raise EngineFailed(f"Stan (PyStan), chain {number}, stopped: {words}") from error


async def _services(model: str, settings: dict[str, Any], report: Callable[[bytes], None]) -> bytes:
    """Run one chain and return what Stan wrote, line by line.

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

    code, lines = await _listening(run, report)
    output = b"".join(lines)
    if code != 0:
        raise EngineFailed("; ".join(_messages(output)) or f"Stan ended with code {code}")
    return output


async def _listening(
    run: Callable[[str], Awaitable[int]], report: Callable[[bytes], None]
) -> tuple[int, list[bytes]]:
    """Return what a run that writes to a socket returns, and every line it wrote."""
    lines: list[bytes] = []
    ends: list[asyncio.Task[None]] = []

    async def read(connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection, limit=_LONGEST_LINE)
        while line := await reader.readline():
            if b'"logger"' in line:
                report(line)
            lines.append(line)
        writer.close()
        await writer.wait_closed()

    def accept() -> None:
        while True:
            try:
                connection, _ = door.accept()
            except BlockingIOError:
                return
            ends.append(asyncio.create_task(read(connection)))

    loop = asyncio.get_running_loop()
    with (
        tempfile.TemporaryDirectory(prefix="bridge-stan-") as folder,
        socket.socket(socket.AF_UNIX) as door,
    ):
        path = os.path.join(folder, "socket")
        door.bind(path)
        door.listen()
        door.setblocking(False)
        loop.add_reader(door, accept)
        try:
            code = await run(path)
        finally:
            loop.remove_reader(door)
        accept()  # a short run can end before the loop has looked at the door
        await asyncio.gather(*ends)
    return code, lines


def _arrays(
    model: Any, outputs: list[bytes], payload: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the draws and the sampler's statistics as arrays [chain, draw, ...]."""
    chains, number = len(outputs), payload["draws"]
    fit = _import("stan.fit").Fit(
        tuple(outputs),
        chains,
        model.param_names,
        model.constrained_param_names,
        model.dims,
        payload["warmup"],
        number,
        1,
        False,
    )
    draws = {
        name: np.moveaxis(fit[name].reshape(*dims, number, chains), (-1, -2), (0, 1)).copy()
        for name, dims in zip(fit.param_names, fit.dims, strict=True)
        if 0 not in dims
    }
    sampler = {
        name: fit[name].reshape(number, chains).T.copy()
        for name in fit.sample_and_sampler_param_names
    }
    return draws, sampler


def _messages(output: bytes) -> list[str]:
    """Return what Stan logged in one chain, the routine lines left out."""
    logged = (json.loads(line) for line in output.splitlines() if b'"logger"' in line)
    texts = (str(message["values"][0]) for message in logged)
    kept = (text for text in texts if not text.startswith(_ROUTINE))
    return [words for text in kept if (words := text.split(":", 1)[1].strip())]


if __name__ == "__main__":
    serve({"sample": sample, "log_density": log_density})
