"""Time simulation studies: Table 1, a second worker, memory, Dask, and what London's size costs.

    .venv/bin/python validation/benchmarks/simulation.py [REPLICATIONS]

runs the study of validation/studies/table1.toml with agq (both models, 1,000 replications where no
number is given) and two workers; a part of it with one worker and with two, here and in a Dask
cluster of two processes; and a few replications on data of London's size. It prints the tables, and
where all replications ran it writes simulation.md beside this file and ../studies/costs.md.
The bounds: ten minutes in all, 1.8 times as fast with two workers as with one, memory that does not
grow with replications, and less than a tenth more time by Dask.

Every measurement is a process of its own that first does some replications, so that starting
workers and compiling are not in the seconds.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bridge
from bridge.page import when_and_where
from bridge.replications import duration, replicate
from bridge.study_file import read_study
from bridge.study_task import EngineChoice, StudyTask

HERE = Path(__file__).resolve().parent
RECORD, COSTS = HERE / "simulation.md", HERE.parent / "studies" / "costs.md"
STUDY = HERE.parent / "studies" / "table1.toml"
REPLICATIONS, WORKERS = 1000, 2
MINUTES, SPEEDUP, OVERHEAD, GROWTH = 10.0, 1.8, 0.10, 0.05
LONDON = 3
ENGINES = {
    "agq": EngineChoice("agq"),
    "nuts": EngineChoice("nuts", {"chains": 2, "draws": 500, "cores": 1}),
}
_WARM = 80
#: Of the page on costs.
MANY, CLUSTER = 10_000, 100


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes
    ----------
    replications : int
    seconds : float
        Without the start of the workers.
    megabytes : float
        The most memory of the process that leads, until its last replication was done.
    """

    replications: int
    seconds: float
    megabytes: float


# --- in a process of its own ---------------------------------------------------------------
def table1(engine: str = "agq") -> StudyTask:
    """Return the task of Table 1, by one engine alone."""
    asked = read_study(STUDY)
    choices = {engine: ENGINES[engine]}
    return StudyTask(asked["spec"], asked["truth"], asked["design"], asked["models"], choices)


def london(engine: str) -> StudyTask:
    """Return the task of a model with random intercepts in both functions on London's rows."""
    spec = bridge.london.spec(LONDON)
    rows = bridge.datasets.simulate("london", seed=1, model=LONDON)[list(spec.columns)]
    choices = {engine: ENGINES[engine]}
    return StudyTask(spec, bridge.london.truth(LONDON), rows, {"3": spec}, choices)


def measure(what: str, replications: int, crew: str) -> Measured:
    """Run a study after some replications of it."""
    if what == "table1":
        task = warm = table1()
    else:
        task, warm = london(what), table1(what)
    most: list[float] = []

    def report(*_: Any) -> None:
        most.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    with _crew(crew) as options, tempfile.TemporaryDirectory() as folder:
        # long enough for the last worker to have started and compiled
        replicate(warm, _WARM, 2, "warm", **options)
        out, began = Path(folder) / "study", time.perf_counter()
        replicate(task, replications, 1, what, out, progress=report, **options)
        return Measured(replications, time.perf_counter() - began, most[-1])


@contextmanager
def _crew(crew: str) -> Iterator[dict[str, Any]]:
    """Give the options for so many workers, or for a Dask cluster on this machine."""
    if crew != "dask":
        yield {"workers": int(crew)}
        return
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            WORKERS, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield {"cluster": client}


# --- the measurements ----------------------------------------------------------------------
def run(what: str, replications: int, crew: str) -> Measured:
    """Measure in a process of its own, and say so."""
    command = [sys.executable, __file__, "--measure", what, str(replications), crew]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = Measured(**json.loads(done.stdout.splitlines()[-1]))
    sys.stderr.write(f"{what}, {crew}: {found}\n")
    return found


def rows(replications: int) -> tuple[list[str], Measured, float]:
    """Return the record's table, the run with two workers, and what Dask adds (a share)."""
    part = max(replications // 5, WORKERS)
    whole = run("table1", replications, str(WORKERS))
    # processors of a virtual machine are not the same from minute to minute: ratios of a round
    rounds = [[run("table1", part, crew) for crew in ("1", str(WORKERS), "dask")] for _ in range(3)]
    fewer = rounds[0][1]
    speedups = [one.seconds / two.seconds for one, two, _ in rounds]
    extras = [dask.seconds / two.seconds - 1 for _, two, dask in rounds]
    speedup, extra = statistics.median(speedups), statistics.median(extras)
    minutes = whole.seconds / 60
    growth = whole.megabytes / fewer.megabytes - 1
    lines = ["| what | measured | bound |", "| --- | --- | --- |"]
    for what, value, bound, good in (
        (
            f"Table 1 by agq, both models, {replications:,} replications, {WORKERS} workers",
            f"{whole.seconds:.0f} s ({whole.seconds / replications:.3f} s each)",
            f"{MINUTES:g} min for {REPLICATIONS:,}",
            minutes * REPLICATIONS / replications < MINUTES,
        ),
        (
            f"{part:,} replications, {WORKERS} workers beside 1, median of three rounds",
            f"{speedup:.2f} times as fast ({', '.join(f'{x:.2f}' for x in speedups)})",
            f"{SPEEDUP:g}",
            speedup >= SPEEDUP,
        ),
        (
            f"most memory of the leading process, {part:,} and {replications:,} replications",
            f"{fewer.megabytes:.0f} and {whole.megabytes:.0f} MB: {100 * growth:+.1f}%",
            f"{100 * GROWTH:g}% more",
            growth < GROWTH,
        ),
        (
            f"{part:,} replications, Dask with {WORKERS} processes beside joblib, median of three",
            f"{100 * extra:+.1f}% ({', '.join(f'{100 * x:+.1f}' for x in extras)})",
            f"{100 * OVERHEAD:g}% more",
            extra < OVERHEAD,
        ),
    ):
        lines.append(f"| {what} | {value} | {bound}, {'met' if good else 'NOT MET'} |")
    return lines, whole, extra


def costs(extra: float) -> str:
    """Return the page on what many replications of London's size cost."""
    made, machine = when_and_where()
    cores = os.cpu_count() or 1
    sent = len(pickle.dumps(london("agq"))) / 1e6
    lines = [
        "# What a large simulation study costs",
        "",
        f"- {made}; {machine}; written by `validation/benchmarks/simulation.py`",
        f"- A replication: 71,321 students in 465 schools (`bridge.london`, Model {LONDON}: random "
        "intercepts in the mean and in the log variance, correlated), drawn and fitted once",
        f"- Both workers busy on {cores} cores while measured; one thread a worker",
        "",
        f"| engine | s a replication and core | {MANY:,} on this machine ({cores} cores) | "
        f"{MANY:,} on {CLUSTER} workers |",
        "| --- | ---: | ---: | ---: |",
    ]
    for engine, choice in ENGINES.items():
        found = run(engine, 2 * WORKERS, str(WORKERS))
        each = found.seconds * WORKERS / found.replications
        said = ", ".join(f"{value} {name}" for name, value in choice.options.items())
        words = [each * MANY / cores, each * (1 + max(extra, 0.0)) * MANY / CLUSTER]
        lines.append(
            f"| {engine}{f' ({said})' if said else ''} | {each:.1f} | "
            f"{' | '.join(duration(seconds) for seconds in words)} |"
        )
    lines += [
        "",
        f"Of the cluster it is taken that its cores are as fast as these, and that Dask adds what "
        f"it adds here ({100 * max(extra, 0.0):.1f}%). Replications share nothing but the task, "
        f"which is sent with each: here the covariates of all rows, {sent:.1f} MB. What "
        "leads the study holds a few replications at a time; estimates go to its folder as they "
        "come, so that a study that is stopped, or loses workers, goes on with the same call:",
        "",
        "    dask scheduler                                    # on one machine",
        "    dask worker tcp://HOST:8786 --nthreads 1 --nworkers 8   # on each of the others",
        "    bridge simulate STUDY.toml --out DIR --cluster tcp://HOST:8786",
        "",
    ]
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """Measure, print, and write the records where all replications ran."""
    if words[:1] == ["--measure"]:
        what, replications, crew = words[1:]
        sys.stdout.write(json.dumps(vars(measure(what, int(replications), crew))) + "\n")
        return
    replications = int(words[0]) if words else REPLICATIONS
    made, machine = when_and_where()
    load = os.getloadavg()[0]
    lines, _, extra = rows(replications)
    text = "\n".join(
        [
            "# Simulation studies",
            "",
            f"- {made}; {machine}; load at the start {load:.2f}",
            "- Design: Leckie et al. (2014), section 4 (50 schools of 25 students); a replication "
            "draws a data set and fits Models A and B by agq",
            "- Seconds without the start of the workers (some seconds each)",
            "",
            *lines,
            "",
        ]
    )
    page = costs(extra)
    sys.stdout.write(f"{text}\n{page}")
    if replications == REPLICATIONS:
        RECORD.write_text(text, encoding="utf-8")
        COSTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
