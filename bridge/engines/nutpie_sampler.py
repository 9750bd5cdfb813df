"""nutpie on a compiled density: draws, the sampler's statistics, progress, interruption.

nutpie's own Python imports ArviZ, which takes seconds; here its compiled part is imported alone.
What nutpie would call by a Python function it calls as a C function, so that no chain waits for
another's interpreter.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bridge.engines.base import Progress
from bridge.engines.draws_zarr import read_store
from bridge.errors import EngineFailed, EngineNotInstalled, EngineTimeout
from bridge.nuts.calling import Density
from bridge.nuts.density import expand, log_density

_POLL = 0.1  # seconds between looks at the clock and for Ctrl-C
_RATE = 250  # milliseconds between reports
_REPORT = "{{ total_finished_draws }}/{{ total_draws }}"
_NAMES = {
    "diverging": "diverging",
    "depth": "tree_depth",
    "energy": "energy",
    "mean_tree_accept": "acceptance_rate",
    "step_size": "step_size",
    "n_steps": "n_steps",
    "logp": "lp",
}


@dataclass(frozen=True)
class Sampled:
    """What one run gave.

    Attributes
    ----------
    draws : (chain, draw, number) array
        Canonical parameters after warm-up.
    stats : dict of (chain, draw) arrays
        In ArviZ's names.
    seconds : float
        Of sampling, warm-up and all.
    interrupted : bool
        Whether Ctrl-C ended it early; see `longest` for what is kept then.
    """

    draws: np.ndarray
    stats: dict[str, np.ndarray]
    seconds: float
    interrupted: bool


def library() -> ModuleType:
    """Return nutpie's compiled part.

    Raises
    ------
    EngineNotInstalled
        Where nutpie is not installed.
    """
    name = "nutpie._lib"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("nutpie")
    if package is None or not package.submodule_search_locations:
        raise EngineNotInstalled("nuts runs on nutpie, which is not installed; pip install nutpie.")
    folder = Path(next(iter(package.submodule_search_locations)))
    finder = importlib.machinery.FileFinder(
        str(folder),
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    )
    spec = finder.find_spec(name)
    if spec is None or spec.loader is None:
        raise EngineNotInstalled(
            f"nutpie in {folder} has no compiled part; install it anew: pip install nutpie."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def versions() -> dict[str, str]:
    """Return what the engine runs on."""
    return {name: metadata.version(name) for name in ("nutpie", "numba", "numpy")}


def sample(
    density: Density,
    point: Callable[[int], np.ndarray],
    progress: Progress,
    options: dict[str, Any],
    store: Path | None = None,
) -> Sampled:
    """Draw from a density.

    Parameters
    ----------
    density : Density
        The compiled density.
    point : callable
        From a seed to free coordinates where a chain starts.
    progress : callable
        Is told the share done and a few words.
    options : dict
        chains, draws, warmup, seed, cores, adapt_delta, max_treedepth, timeout.
    store : Path, optional
        A folder for a Zarr store, which draws are written into as they come; in memory without.

    Raises
    ------
    EngineFailed
        Where no chain can start, or nutpie stops.
    EngineTimeout
        Where it takes too long.
    KeyboardInterrupt
        Where Ctrl-C comes before any chain has a draw.
    """
    lib = library()
    began = time.perf_counter()
    sampler = lib.PySampler.from_pymc(
        _settings(lib, options),
        options["cores"],
        _model(lib, density, point),
        lib.ProgressType.template_callback(_RATE, _REPORT, options["cores"], _report(progress)),
        _storage(lib, store),
    )
    interrupted = False
    try:
        _wait(sampler, began, options["timeout"])
    except KeyboardInterrupt:
        interrupted = True
    finally:
        # a sampler that still runs when Python ends takes the process with it
        sampler.abort()
    trace = sampler.take_results()
    if store is None:
        draws, stats = _collected(trace, options["draws"], interrupted)
    else:
        draws, stats = _stored(store, interrupted)
    if draws.size == 0 and interrupted:
        raise KeyboardInterrupt
    if draws.size == 0:
        raise EngineFailed("nutpie stopped before every chain had a draw.")
    for name in ("tree_depth", "n_steps"):
        stats[name] = stats[name].astype(int)
    return Sampled(draws, stats, time.perf_counter() - began, interrupted)


def _settings(lib: ModuleType, options: dict[str, Any]) -> Any:
    settings = lib.PyNutsSettings.Diag(options["seed"])
    settings.num_tune = options["warmup"]
    settings.num_draws = options["draws"]
    settings.num_chains = options["chains"]
    settings.target_accept = options["adapt_delta"]
    settings.maxdepth = options["max_treedepth"]
    # of no use to a user, and each as long as a draw
    settings.store_divergences = settings.store_gradient = False
    settings.store_mass_matrix = settings.store_unconstrained = False
    return settings


def _model(lib: ModuleType, density: Density, point: Callable[[int], np.ndarray]) -> Any:
    sizes = {"number": density.size_canonical, "unconstrained_parameter": density.size}
    variables = lib.PyVariable.new_variables(
        ["draws"], ["float64"], [(density.size_canonical,)], sizes, {"draws": ("number",)}
    )
    address = density.numbers.ctypes.data
    return lib.PyMcModel(
        lib.LogpFunc(log_density.address, address, (log_density, density)),
        lib.ExpandFunc(
            density.size, density.size_canonical, expand.address, address, (expand, density)
        ),
        variables, density.size, sizes, {}, point, None,
    )  # fmt: skip


def _report(progress: Progress) -> Callable[[str], None]:
    def report(text: str) -> None:
        done, _, total = text.partition("/")
        progress(int(done) / max(int(total), 1), f"{done} of {total} draws")

    return report


def _last_words(said: str) -> str:
    if "initialization points failed" in said:
        return (
            "nuts has no point to start at: the density is not a number there. Look at the outcome "
            "and the predictors for extreme values, and rescale what is far from one."
        )
    return f"nutpie stopped: {said.splitlines()[0]}"


def _wait(sampler: Any, began: float, timeout: float | None) -> None:
    while True:
        try:
            sampler.wait(_POLL)
        except TimeoutError:
            if timeout is not None and time.perf_counter() - began > timeout:
                raise EngineTimeout(
                    f"nuts took longer than timeout = {timeout:g} seconds; allow more, or ask for "
                    "fewer draws."
                ) from None
        except RuntimeError as error:
            raise EngineFailed(_last_words(str(error))) from error
        else:
            return


def _storage(lib: ModuleType, store: Path | None) -> Any:
    if store is None:
        return lib.PyStorage.arrow()
    return lib.PyStorage.zarr(lib.store.LocalStore(str(store)))


def longest(lengths: Sequence[int]) -> tuple[list[int], int]:
    """Return which chains to keep of an interrupted run, and how many draws of each.

    An array has as many draws of every chain, and where there are more chains than cores some have
    not begun: those are kept that make the most draws altogether, and of equals the more chains.
    """
    order = sorted(range(len(lengths)), key=lambda chain: -lengths[chain])
    totals = [size * lengths[chain] for size, chain in enumerate(order, 1)]
    if not any(totals):
        return [], 0
    size = len(totals) - totals[::-1].index(max(totals))
    return sorted(order[:size]), lengths[order[size - 1]]


def _kept(lengths: Sequence[int], interrupted: bool) -> tuple[list[int], int]:
    """Return which chains are kept, and how many draws of each."""
    if interrupted:
        return longest(lengths)
    return list(range(len(lengths))), min(lengths, default=0)


def _stored(store: Path, interrupted: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the draws after warm-up that a store holds, as many of each chain."""
    draws, stats, lengths = read_store(store, _NAMES)
    chains, count = _kept(lengths, interrupted)
    whole = np.asarray(draws[:, :count])[chains]
    return whole, {name: values[chains, :count] for name, values in stats.items()}


def _collected(
    trace: Any, wanted: int, interrupted: bool
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the draws after warm-up, as many of each chain; interrupted, of the longest chains."""
    from arro3.core import list_flatten

    draws, stats = trace.get_arrow_trace()
    kept = [np.flatnonzero(~np.asarray(s.column("tuning")))[:wanted] for s in stats]
    chains, count = _kept([len(k) for k in kept], interrupted)
    draws, stats = [draws[chain] for chain in chains], [stats[chain] for chain in chains]
    kept = [kept[chain] for chain in chains]
    if count == 0:
        return np.zeros((0, 0, 0)), {}
    whole = []
    for batch, rows in zip(draws, kept, strict=True):
        flat = np.asarray(list_flatten(batch.column("draws")))
        whole.append(flat.reshape(batch.num_rows, -1)[rows[:count]])
    found = {
        ours: np.array(
            [np.asarray(s.column(theirs))[k[:count]] for s, k in zip(stats, kept, strict=True)]
        )
        for theirs, ours in _NAMES.items()
    }
    return np.array(whole), found
