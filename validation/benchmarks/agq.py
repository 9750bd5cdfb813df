"""Time engine agq against targets and against its peers in R: `make bench`.

Each fit runs in a process of its own, after a small one that is not counted; so does each peer
(peers.R beside this file). Fits below five seconds run three times, and the median counts. The
tables are printed, and written to agq.md beside this file when every row was asked for.

    .venv/bin/python validation/benchmarks/agq.py [WORD ...]

runs only the rows whose key holds one of the words. The exit status is 1 where a fit failed; a
target that was not met is said in its row and is no failure.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bridge
from bridge import london

HERE = Path(__file__).resolve().parent
RECORD = HERE / "agq.md"
ENGINE = "agq"
REPEATS = 3
SHORT = 5.0  # seconds; what takes longer runs once
TIMEOUT = 3600.0
MEMORY = 1000.0  # MB that a fit of the London data may take
SEED = 1  # of simulated data
Answer = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One fit by agq.

    Attributes
    ----------
    title : str
        Data and model, as the table names them.
    data : callable
        Gives the frame.
    spec : callable
        Gives the model.
    target : float
        Seconds not to be exceeded; infinite where there are none.
    peer : str
        The one of peers.R that fits the same in the same run; empty where there is none.
    times : float
        How many times faster than the peer agq shall be.
    """

    title: str
    data: Callable[[], pd.DataFrame]
    spec: Callable[[], bridge.ModelSpec]
    target: float = float("inf")
    peer: str = ""
    times: float = 1.0


# --- models and data -------------------------------------------------------------------
def reisby(association: str | None = None) -> bridge.ModelSpec:
    """Return the model of runmixregls' example: endog acts on all three variances."""
    return bridge.ModelSpec(
        "hamdep ~ 1 + week * endog + (1 | id)",
        "~ 1 + week + endog + (1 | id)",
        level2={"tau[u:Intercept,u:Intercept]": "~ endog"},
        association=association,
    )


def published(case: str) -> bridge.ModelSpec:
    """Return the model of a case."""
    return bridge.ModelSpec.from_dict(bridge.published(case).spec)


def hsb() -> pd.DataFrame:
    """Return the High School and Beyond data with x, a student's deviation in ses."""
    data = bridge.datasets.load("hsb")
    return data.assign(x=data["ses"] - data["meanses"])


def fixed_variance() -> bridge.ModelSpec:
    """Return the mean of Leckie et al.'s Model 4, and no random effects in the variance."""
    mean = "mathach ~ 1 + sector + meanses + x + sector:x + meanses:x + (1 + x | school)"
    return bridge.ModelSpec(mean, "~ 1 + sector * x")


def independent() -> bridge.ModelSpec:
    """Return Leckie et al.'s Model 1 with effects that are independent, as in mgcv."""
    return bridge.ModelSpec(
        "mathach ~ 1 + sector + (1 | school)", "~ 1 + sector + (1 | school)"
    )  # fmt: skip


def simple() -> bridge.ModelSpec:
    """Return a model with a predictor and a random intercept in each function."""
    return bridge.ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + x + (1 | s | g)")


def simulated(students: int, size: int) -> pd.DataFrame:
    """Draw data of the simple model, in groups of one size."""
    rng = np.random.default_rng(SEED)
    x, e = rng.normal(size=(2, students))
    group = np.arange(students) // size
    u, v = rng.multivariate_normal([0, 0], [[0.2, 0.05], [0.05, 0.1]], group[-1] + 1).T
    y = 1 + 0.5 * x + u[group] + e * np.exp((0.2 + 0.3 * x + v[group]) / 2)
    return pd.DataFrame({"g": group, "x": x, "y": y})


def london_row(model: int, target: float) -> Row:
    """Return the row of one of the London paper's models on simulated data."""
    return Row(
        f"London, simulated, Model {model}",
        lambda: bridge.datasets.simulate("london", SEED, model=model),
        lambda: london.spec(model),
        target,
    )


def size_row(students: int, size: int) -> Row:
    """Return the row of simulated data of some size."""
    return Row(f"{students} in groups of {size}", lambda: simulated(students, size), simple)


TARGETS = {
    "reisby": Row("Reisby", lambda: bridge.datasets.load("reisby"), reisby, 0.15),
    "reisby-linear": Row(
        "Reisby, linear association",
        lambda: bridge.datasets.load("reisby"),
        lambda: reisby("linear"),
        0.15,
    ),
    "hsb-model1": Row("HSB, Model 1", hsb, lambda: published("leckie2014/model1"), 0.3),
    "hsb-model4": Row("HSB, Model 4", hsb, lambda: published("leckie2014/model4"), 5.0),
    "london-model3": london_row(3, 10.0),
    "london-model5": london_row(5, 60.0),
    "hsb-glmmTMB": Row("HSB, Model 4's mean, no v", hsb, fixed_variance, peer="glmmTMB"),
    "hsb-nlme": Row("HSB, Model 4's mean, no v", hsb, fixed_variance, peer="nlme"),
    "hsb-gaulss": Row("HSB, Model 1, u and v independent", hsb, independent, peer="gaulss",
                      times=50.0),
}  # fmt: skip
# Linear cost, then the same number of students in larger and smaller groups.
SHAPES = [(1000, 25), (10_000, 25), (100_000, 25), (1_000_000, 25), (100_000, 2500), (100_000, 5)]
SIZES = {f"size-{students}-{size}": (students, size) for students, size in SHAPES}
ROWS = TARGETS | {key: size_row(*shape) for key, shape in SIZES.items()}


# --- one fit, in a process of its own ----------------------------------------------------
def peak_memory() -> float:
    """Return this process's largest resident memory so far, MB of a million bytes."""
    # getrusage's ru_maxrss starts, on Linux, at that of the process that started this one
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return float(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def fit_here(key: str, data: pd.DataFrame) -> Answer:
    """Fit a row's model, once where that is long; a small fit comes first."""
    bridge.fit(simple(), simulated(200, 20), ENGINE, progress=False)
    spec, seconds, before = ROWS[key].spec(), [], peak_memory()
    while not seconds or (len(seconds) < REPEATS and seconds[0] < SHORT):
        start = time.perf_counter()
        result = bridge.fit(spec, data, ENGINE, progress=False)
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": seconds,
        "loglik": result.loglik,
        "groups": result.n_groups,
        "warnings": list(result.warnings),
        "memory": peak_memory(),
        "memory_before": before,
    }


def child(key: str, data: str, answer: str) -> None:
    """Fit what another process asks for; the answer is a file of JSON."""
    Path(answer).write_text(json.dumps(fit_here(key, pd.read_pickle(data))), encoding="utf-8")


def asked(command: Sequence[str], answer: Path) -> Answer:
    """Run a program that writes its answer; a failure is an answer of its last words."""
    try:
        done = subprocess.run(
            [*command], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {TIMEOUT:g} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"failed": said[-1] if said else f"stopped with status {done.returncode}"}
    found: Answer = json.loads(answer.read_text(encoding="utf-8"))
    return found


def by_agq(key: str, folder: Path) -> Answer:
    """Fit a row in a process of its own."""
    data, answer = folder / "data.pickle", folder / "answer.json"
    ROWS[key].data().to_pickle(data)
    return asked([sys.executable, __file__, "--child", key, str(data), str(answer)], answer)


def by_peer(key: str, folder: Path) -> Answer:
    """Fit a row by its peer in R."""
    if shutil.which("Rscript") is None:
        return {"failed": "R is not installed; run: make setup"}
    data, answer = folder / "data.csv", folder / "answer.json"
    ROWS[key].data().to_csv(data, index=False, float_format="%.17g")
    call = ["Rscript", "--vanilla", str(HERE / "peers.R"), ROWS[key].peer]
    return asked([*call, str(data), str(answer), str(REPEATS), str(SHORT)], answer)


# --- tables --------------------------------------------------------------------------
def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned table that is Markdown too; all but the first column to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        parts = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        return f"| {' | '.join(parts)} |"

    return "\n".join(map(line, [heads, rule, *rows]))


def median(answer: Answer) -> float:
    """Return the seconds of a fit."""
    return float(statistics.median(answer["seconds"]))


def number(seconds: float) -> str:
    """Return seconds or a ratio with three digits."""
    return f"{seconds:.3g}" if seconds < 1000 else f"{seconds:.0f}"


def verdict(ratio: float, wanted: float) -> str:
    """Return how many times faster than asked, and whether that is enough."""
    goal = "" if wanted == 1 else f" of {wanted:g}"
    return f"{number(ratio)}{goal}, {'met' if ratio >= wanted else 'NOT MET'}"


def target_row(row: Row, ours: Answer, theirs: Answer | None) -> list[str]:
    """Return the cells of a row: title, seconds, what to beat, ratio, log-likelihoods."""
    failed = "failed" in ours
    seconds = "failed" if failed else number(median(ours))
    loglik = "" if failed else f"{ours['loglik']:.4f}"
    if theirs is None:
        ratio = "" if failed else verdict(row.target / median(ours), 1.0)
        return [row.title, seconds, f"{row.target:g} s", ratio, loglik]
    if "failed" in theirs:
        return [row.title, seconds, f"{row.peer}, failed", "", loglik]
    ratio = "" if failed else verdict(median(theirs) / median(ours), row.times)
    beat = f"{row.peer}, {number(median(theirs))} s"
    method = "" if theirs["method"] == "ML" else f", {theirs['method']}"
    return [row.title, seconds, beat, ratio, f"{loglik} ({theirs['loglik']:.4f}{method})".strip()]


def memory_row(row: Row, ours: Answer) -> list[str]:
    """Return the cells of a row: title, peak memory, that before the fit, what it may be."""
    if "failed" in ours:
        return [row.title, "failed", "", ""]
    met = "met" if ours["memory"] <= MEMORY else "NOT MET"
    return [row.title, f"{ours['memory']:.0f}", f"{ours['memory_before']:.0f}",
            f"{MEMORY:.0f}, {met}"]  # fmt: skip


def size_cells(shape: tuple[int, int], ours: Answer) -> list[str]:
    """Return the cells of a row of the table of sizes."""
    students, size = shape
    cells = [f"{students:,}", f"{size:,}", f"{students // size:,}"]
    if "failed" in ours:
        return [*cells, "failed", "", "", ""]
    each = median(ours) / (students / 1000)
    found = [number(median(ours)), f"{each:.4f}", f"{ours['memory']:.0f}", f"{ours['loglik']:.4f}"]
    return [*cells, *found]


def tables(ours: dict[str, Answer], theirs: dict[str, Answer]) -> str:
    """Return the tables of the rows that ran, and what was said or went wrong in them."""
    targets = [target_row(TARGETS[k], ours[k], theirs.get(k)) for k in TARGETS if k in ours]
    memory = [memory_row(ROWS[k], ours[k]) for k in ours if k.startswith("london")]
    sizes = [size_cells(SIZES[k], ours[k]) for k in SIZES if k in ours]
    heads = ["data and model", "agq, s", "to beat", "ratio", "logLik (the peer's)"]
    parts = [table(heads, targets)] if targets else []
    if memory:
        heads = ["data and model", "peak memory, MB", "before the fit", "limit"]
        parts.append(table(heads, memory))
    if sizes:
        heads = ["students", "in groups of", "groups", "agq, s", "s per 1,000 students",
                 "peak memory, MB", "logLik"]  # fmt: skip
        parts.append(
            "A predictor and a random intercept in each function, correlated:\n\n"
            + table(heads, sizes)
        )
    said = [f"- {k}, {who}: {text}" for who, found in (("agq", ours), ("peer", theirs))
            for k, answer in found.items() for text in remarks(answer)]  # fmt: skip
    return "\n\n".join([*parts, *(["\n".join(said)] if said else [])]) + "\n"


def remarks(answer: Answer) -> list[str]:
    """Return what the table has no room for: failures, warnings, no convergence."""
    found = [f"failed: {answer['failed']}"] if "failed" in answer else []
    found += answer.get("warnings", [])
    return [*found, *([] if answer.get("converged", True) else ["did not converge"])]


def heading(theirs: dict[str, Answer], load: float) -> str:
    """Return the record's opening: date, processors, versions, and how to read the tables."""
    versions = {"Python": platform.python_version(), "bridge": bridge.__version__}
    versions |= {name: metadata.version(name) for name in ("numpy", "scipy", "pandas")}
    for answer in theirs.values():
        versions |= answer.get("versions", {})
    cores = f"{len(os.sched_getaffinity(0))} of " if hasattr(os, "sched_getaffinity") else ""
    return "\n".join(
        [
            "# agq against targets and peers (`make bench`)",
            "",
            f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            f"- Processors: {cores}{os.cpu_count()}, {platform.machine()}; load at the start "
            f"{load:.2f}",
            "- Versions: " + ", ".join(f"{name} {found}" for name, found in versions.items()),
            "- Seconds: wall clock of the whole call; the median of three where the first is "
            f"below {SHORT:g} s. Loading is not counted.",
            "- Ratio: what is to beat over agq; above one agq is faster.",
            "- The log-likelihood of gaulss (mgcv) is restricted, by Laplace: not to be compared.",
            "",
            "",
        ]
    )


# --- the run -------------------------------------------------------------------------
def run(keys: Sequence[str]) -> tuple[dict[str, Answer], dict[str, Answer]]:
    """Run rows one after the other: what agq answered, and what the peers did."""
    ours, theirs = {}, {}
    for key in keys:
        with tempfile.TemporaryDirectory() as folder:
            if ROWS[key].peer:
                theirs[key] = by_peer(key, Path(folder))
            ours[key] = by_agq(key, Path(folder))
        took = [f"{a['seconds']}" if "seconds" in a else "failed"
                for a in (ours[key], theirs.get(key, {"seconds": ""}))]  # fmt: skip
        sys.stderr.write(f"{key}: {' '.join(took).strip()}\n")
    return ours, theirs


def main(words: Sequence[str]) -> int:
    """Run the rows that the words choose, print the tables, and write them if all ran."""
    keys = [key for key in ROWS if not words or any(word in key for word in words)]
    if not keys:
        sys.stderr.write(f"No row's key holds {' or '.join(words)}: {', '.join(ROWS)}.\n")
        return 2
    load = os.getloadavg()[0]
    ours, theirs = run(keys)
    text = heading(theirs, load) + tables(ours, theirs)
    sys.stdout.write(text)
    if len(keys) == len(ROWS):
        RECORD.write_text(text, encoding="utf-8")
    return int(any("failed" in answer for answer in (*ours.values(), *theirs.values())))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        sys.exit(main(sys.argv[1:]))
