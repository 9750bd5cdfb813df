"""CmdStanPy in a child process, ``python -m bridge.engines.cmdstan_worker``.

In a child a time limit or Ctrl-C ends the chains too, and nothing reaches the user's terminal.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bridge.engines.draws_folder import INCOMPLETE, move_up
from bridge.engines.worker import serve
from bridge.errors import EngineFailed

_ROUTINE = (
    "Iteration:",
    "Elapsed Time:",
    "Gradient evaluation took",
    "1000 transitions using",
    "Adjust your expectations",
)
# CmdStanPy's names of the windows of warm-up
_WINDOWS = {
    "init_buffer": "adapt_init_phase",
    "window": "adapt_metric_window",
    "term_buffer": "adapt_step_size",
}


def sample(payload: dict[str, Any]) -> dict[str, Any]:
    """Compile where needed and draw; see `bridge.engines.stan_backends.sample`.

    Parameters
    ----------
    payload : dict
        program or exe_file, data, inits, warmup, draws, seed, adapt_delta, max_treedepth, cores,
        and draws_to, the folder to write the draws into, or None.

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
    with _outputs(payload["draws_to"]) as folder:
        try:
            fit = model.sample(
                data=payload["data"],
                inits=payload["inits"],
                chains=len(payload["inits"]),
                parallel_chains=min(payload["cores"], len(payload["inits"])),
                iter_warmup=payload["warmup"],
                iter_sampling=payload["draws"],
                **{_WINDOWS[name]: draws for name, draws in payload["windows"].items()},
                seed=payload["seed"],
                adapt_delta=payload["adapt_delta"],
                max_treedepth=payload["max_treedepth"],
                refresh=max(1, (payload["warmup"] + payload["draws"]) // 20),
                sig_figs=17,  # a draw comes back as the double that it was
                show_progress=False,
                show_console=True,
                force_one_process_per_chain=True,  # the same streams with and without threads
                output_dir=folder,
            )
        except Exception as error:
            raise EngineFailed(f"Stan (CmdStan) stopped: {_last_words(folder, error)}") from error
        chains, number = len(payload["inits"]), payload["draws"]
        draws = {
            name: values.reshape(chains, number, *values.shape[1:])
            for name, values in fit.stan_variables().items()
            if values.size
        }
        sampler = {name: values.T.copy() for name, values in fit.method_variables().items()}
        messages = [line for text in _consoles(folder) for line in _messages(text)]
        if payload["draws_to"] is not None:
            for chain, file in enumerate(fit.runset.csv_files, 1):
                move_up(payload["draws_to"], chain, Path(file))
    return {
        "versions": _versions(model),
        "draws": draws,
        "sampler": sampler,
        "messages": messages,
        "seconds": {"compile": compiling, "sampling": time.monotonic() - started},
    }


@contextmanager
def _outputs(draws_to: str | None) -> Iterator[str]:
    """Give the folder that CmdStan writes into; of one that is kept nothing but draws is left."""
    if draws_to is None:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
        return
    place = Path(draws_to) / INCOMPLETE
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield str(place)
    finally:
        for file in list(place.iterdir()):
            if file.suffix != ".csv" or not _has_draws(file):
                file.unlink()
        if not any(place.iterdir()):
            place.rmdir()


def _has_draws(file: Path) -> bool:
    """Tell whether a file of CmdStan has more than comments and the names of the columns."""
    with file.open(encoding="utf-8") as lines:
        return sum(not line.startswith("#") for line in lines) > 1


def log_density(payload: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the log density of constrained points, Stan's own Jacobians left out.

    Parameters
    ----------
    payload : dict
        program or exe_file, data and points (a list of dicts of parameters).

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
            table = model.log_prob(point, payload["data"], jacobian=False, sig_figs=17)
        except Exception as error:
            raise EngineFailed(
                f"Stan (CmdStan) could not evaluate the density at point {number}: {error}"
            ) from error
        values.append(float(table["lp__"].iloc[0]))
    return {"log_density": np.array(values)}


def _model(payload: dict[str, Any]) -> tuple[Any, float]:
    """Return the compiled model and the seconds that took."""
    import cmdstanpy

    started = time.monotonic()
    try:
        if payload.get("exe_file"):
            model = cmdstanpy.CmdStanModel(exe_file=payload["exe_file"])
        else:
            model = cmdstanpy.CmdStanModel(stan_file=str(_stored(payload["program"])))
    except Exception as error:
        raise EngineFailed(f"Stan (CmdStan) could not build the model: {error}") from error
    return model, time.monotonic() - started


def _stored(program: str) -> Path:
    """Keep the program where its executable is found again, by its text and CmdStan's version."""
    import cmdstanpy
    import platformdirs

    key = hashlib.sha256(f"{cmdstanpy.cmdstan_path()}\n{program}".encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("bridge") / "cmdstan" / key
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.stan"
    # an unchanged file keeps its date, and so its executable
    if not file.exists() or file.read_text() != program:
        file.write_text(program)
    if not file.with_suffix("").exists():
        print("Compiling the Stan program", flush=True)  # noqa: T201  the parent's progress
    return file


def _versions(model: Any) -> dict[str, str]:
    info = model.exe_info()
    numbers = [info.get(f"stan_version_{part}", "?") for part in ("major", "minor", "patch")]
    return {"cmdstanpy": version("cmdstanpy"), "cmdstan": ".".join(numbers)}


def _consoles(folder: str) -> list[str]:
    return [file.read_text() for file in sorted(Path(folder).glob("*stdout*.txt"))]


def _messages(console: str) -> list[str]:
    """Return what Stan said after its list of settings, the routine lines left out."""
    said = [line.strip() for line in console.split("\n\n", 1)[-1].splitlines()]
    timings = ("seconds (Sampling)", "seconds (Total)")
    return [s for s in said if s and not s.startswith(_ROUTINE) and not s.endswith(timings)]


def _last_words(folder: str, error: Exception) -> str:
    lines = [line for text in _consoles(folder) for line in _messages(text)]
    # CmdStanPy's own message ends with the list of its files
    own = str(error).split("Command and output files")[0]
    return " ".join(lines[-6:]) or " ".join(own.split())


if __name__ == "__main__":
    serve({"sample": sample, "log_density": log_density})
