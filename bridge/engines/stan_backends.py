"""Stan itself: CmdStan where it is found, else PyStan, each in a child process of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bridge.engines.stan_draws import StanDraws, from_reply
from bridge.engines.worker import Worker, shared
from bridge.errors import EngineFailed, EngineNotInstalled, OptionError

__all__ = ["StanDraws", "adaptation_windows", "available", "choose", "log_density", "sample"]

Backend = Literal["auto", "cmdstan", "pystan"]
Progress = Callable[[float | None, str], None]

_MODULES = {"cmdstan": "bridge.engines.cmdstan_worker", "pystan": "bridge.engines.pystan_worker"}
_LABELS = {"cmdstan": "Stan (CmdStan)", "pystan": "Stan (PyStan)"}
_SHORT_WARMUP = 100  # draws: Stan shares out a shorter one by itself
_ITERATION = re.compile(r"Chain \[(\d+)\] Iteration:\s*(\d+)\s*/\s*(\d+)")


def available() -> dict[str, str]:
    """Say which backends are here, without compiling.

    Returns
    -------
    dict of str to str
        For ``"cmdstan"`` and ``"pystan"`` the version, or ``"not available: "`` and why.
    """
    return {"cmdstan": _cmdstan(), "pystan": _pystan()}


def _cmdstan() -> str:
    try:
        number = version("cmdstanpy")
    except PackageNotFoundError:
        return "not available: the package cmdstanpy is missing; run: pip install cmdstanpy"
    home = Path(os.environ.get("CMDSTAN") or Path.home() / ".cmdstan")
    # CmdStanPy is asked only where there can be a CmdStan: importing it takes a second
    if home.is_dir():
        import cmdstanpy

        try:
            return f"{number} ({Path(cmdstanpy.cmdstan_path()).name})"
        except ValueError as error:
            return f"not available: {error}"
    return "not available: CmdStan is not found; run: python -m cmdstanpy.install_cmdstan"


def _pystan() -> str:
    try:
        return version("pystan")
    except PackageNotFoundError:
        return "not available: the package pystan is missing; run: pip install pystan"


def choose(backend: Backend = "auto") -> str:
    """Return the backend that is used.

    Parameters
    ----------
    backend : {"auto", "cmdstan", "pystan"}
        ``"auto"`` is CmdStan where it is found, else PyStan.

    Returns
    -------
    str
        ``"cmdstan"`` or ``"pystan"``.

    Raises
    ------
    OptionError
        There is no backend of that name.
    EngineNotInstalled
        It is not here; the message says what to run.
    """
    if backend not in ("auto", *_MODULES):
        raise OptionError(f"There is no Stan backend '{backend}'; use auto, cmdstan or pystan.")
    found = available()
    for name in _MODULES if backend == "auto" else (backend,):
        if not found[name].startswith("not available"):
            return name
    reasons = "; ".join(f"{n}: {found[n]}" for n in _MODULES if backend in ("auto", n))
    raise EngineNotInstalled(f"Stan cannot run here ({reasons}).")


def sample(
    program: str,
    data: Mapping[str, Any],
    inits: Sequence[Mapping[str, Any]],
    *,
    backend: Backend = "auto",
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int = 1,
    adapt_delta: float = 0.8,
    max_treedepth: int = 10,
    cores: int | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    draws_to: str | Path | None = None,
    exe_file: str | None = None,
) -> StanDraws:
    """Draw from a Stan program with NUTS; the same seed and backend give the same draws.

    Parameters
    ----------
    program : str
        The text of the program.
    data : mapping of str to array_like
        Its data block.
    inits : sequence of mappings
        One set of starting values a chain, on the constrained scale.
    backend : {"auto", "cmdstan", "pystan"}
        Which Stan.
    chains, warmup, draws : int
        Chains, and iterations of each kind in each of them.
    seed : int
        From 1 to 2**32 - 1.
    adapt_delta, max_treedepth : float, int
        Stan's own settings.
    cores : int, optional
        Chains at once; by default as many as there are processors.
    timeout : float, optional
        Seconds for all of it, compiling included.
    progress : callable, optional
        Called with a fraction (None while compiling) and a line for the user.
    draws_to : str or Path, optional
        A folder that `bridge.engines.draws_folder.prepare_folder` made, to write draws into.
    exe_file : str, optional
        A compiled CmdStan program to run in place of `program`; implies CmdStan.

    Returns
    -------
    StanDraws
        The draws after warm-up.

    Raises
    ------
    OptionError
        A setting is out of its range.
    EngineNotInstalled
        There is no Stan here.
    EngineFailed
        Stan could not compile, start or sample; its last words are in the message.
    EngineTimeout
        The limit passed.
    """
    _check(chains, warmup, draws, seed, adapt_delta, max_treedepth, cores, len(inits))
    name = "cmdstan" if exe_file else choose(backend)
    payload = {
        "program": program,
        "data": _arrays(data),
        "inits": [_arrays(values) for values in inits],
        "warmup": warmup,
        "windows": adaptation_windows(warmup),
        "draws": draws,
        "seed": seed,
        "adapt_delta": adapt_delta,
        "max_treedepth": max_treedepth,
        "cores": cores or os.cpu_count() or 1,
        "exe_file": exe_file,
        "draws_to": None if draws_to is None else str(draws_to),
    }
    sink = None if progress is None else _sink(progress, chains)
    reply = _call(name, "sample", payload, timeout, sink)
    return from_reply(name, reply)


def adaptation_windows(warmup: int) -> dict[str, int]:
    """Return how warm-up is shared out: step size, metric, step size again.

    Stan doubles the windows in which it estimates the metric, the last of which counts: by default
    200 of 500 draws. As chains start where the unit metric is about right, there is one short
    window here and then one of two thirds of warm-up.

    Parameters
    ----------
    warmup : int
        Draws of warm-up.

    Returns
    -------
    dict
        init_buffer, window and term_buffer, in draws; empty where they would be too short.
    """
    if warmup < _SHORT_WARMUP:
        return {}
    return {
        "init_buffer": round(0.075 * warmup),
        "window": round(0.15 * warmup),
        "term_buffer": round(0.125 * warmup),
    }


def log_density(
    program: str,
    data: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    backend: Backend = "auto",
    timeout: float | None = None,
    exe_file: str | None = None,
) -> np.ndarray:
    """Evaluate a program's log density at points of its constrained parameters.

    Parameters
    ----------
    program : str
        The text of the program.
    data : mapping of str to array_like
        Its data block.
    points : sequence of mappings
        A value for each parameter of the program, on the constrained scale.
    backend : {"auto", "cmdstan", "pystan"}
        Which Stan.
    timeout : float, optional
        Seconds for all of it, compiling included.
    exe_file : str, optional
        A compiled CmdStan program to ask in place of `program`; implies CmdStan.

    Returns
    -------
    ndarray
        One log density a point, a density of the constrained parameters: the Jacobian of Stan's
        own transforms is not added.

    Raises
    ------
    EngineNotInstalled
        There is no Stan here.
    EngineFailed
        Stan could not compile, or a point is outside the support.
    """
    payload = {
        "program": program,
        "data": _arrays(data),
        "points": [_arrays(point) for point in points],
        "exe_file": exe_file,
    }
    name = "cmdstan" if exe_file else choose(backend)
    values: np.ndarray = _call(name, "log_density", payload, timeout)["log_density"]
    return values


def _call(
    name: str,
    verb: str,
    payload: dict[str, Any],
    timeout: float | None,
    sink: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    worker: Worker = shared(_MODULES[name], _LABELS[name])
    try:
        return worker.call(verb, payload, timeout, sink)
    except EngineFailed:
        worker.close()  # the other chains would go on computing
        raise


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int | float) else np.asarray(value)
        for name, value in values.items()
    }


def _check(
    chains: int,
    warmup: int,
    draws: int,
    seed: int,
    adapt_delta: float,
    max_treedepth: int,
    cores: int | None,
    inits: int,
) -> None:
    ranges: list[tuple[bool, str]] = [
        (chains >= 1, f"chains is {chains}; ask for at least 1."),
        (inits == chains, f"There are {inits} sets of starting values for {chains} chains."),
        (warmup >= 0, f"warmup is {warmup}; it cannot be negative."),
        (draws >= 1, f"draws is {draws}; ask for at least 1."),
        (1 <= seed < 2**32, f"seed is {seed}; use a whole number from 1 to 4294967295."),
        (0 < adapt_delta < 1, f"adapt_delta is {adapt_delta}; it lies between 0 and 1."),
        (max_treedepth >= 1, f"max_treedepth is {max_treedepth}; ask for at least 1."),
        (cores is None or cores >= 1, f"cores is {cores}; ask for at least 1."),
    ]
    for holds, sentence in ranges:
        if not holds:
            raise OptionError(sentence)


def _sink(progress: Progress, chains: int) -> Callable[[str], None]:
    """Turn the lines of both backends into a fraction of all iterations of all chains."""
    done: dict[int, float] = {}

    def take(line: str) -> None:
        found = _ITERATION.search(line)
        if found:
            chain, now, last = (int(number) for number in found.groups())
            done[chain] = now / last
            fraction = sum(done.values()) / chains
            progress(fraction, f"chain {chain}: {now} of {last} iterations")
        elif line.startswith("Compiling"):
            progress(None, "compiling the Stan program (a minute or so, once)")

    return take
