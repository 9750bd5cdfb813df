"""Time engines stan and nuts against brms: same data, same priors, same run.

    .venv/bin/python validation/benchmarks/stan_vs_brms.py [KEY ...] [--backend pystan|cmdstan]

fits each model (or those named) with every engine, two chains of 1,000 kept draws side by side,
each engine with its own warm-up, and prints the smallest bulk effective sample size over gamma,
delta, the variances and the correlations by second of sampling (warm-up included), compilation
apart. London is simulated at full size and brms left out: there the seconds are to stay below a
bound. The table is written to stan_vs_brms.md beside this file when every model was asked for.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import bridge
from bridge import verdicts
from bridge.engines import registry, stan_backends
from bridge.result import Result

RECORD = Path(__file__).resolve().with_suffix(".md")
SETTINGS = {"chains": 2, "draws": 1000, "seed": 1, "cores": 2}


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes
    ----------
    title : str
        Data and model.
    data : str
        A data set of the package.
    spec : ModelSpec
        The model.
    times : dict of str to float
        How many times brms's rate each engine is to reach.
    """

    title: str
    data: str
    spec: bridge.ModelSpec
    times: dict[str, float]


@dataclass(frozen=True)
class Large:
    """A model of the simulated London data, with seconds that sampling may take by engine."""

    model: int
    seconds: dict[str, float]


_WITHIN = "I(ses - meanses)"
ROWS = {
    "hsb1": Row(
        "HSB, Model 1 (group-level variance function)",
        "hsb",
        bridge.ModelSpec(
            "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
        ),
        {"stan": 25, "nuts": 300},
    ),
    "hsb4": Row(
        "HSB, Model 4 (student-level variance function)",
        "hsb",
        bridge.ModelSpec(
            f"mathach ~ (sector + meanses) * {_WITHIN} + (1 + {_WITHIN} | s | school)",
            f"~ sector * {_WITHIN} + (1 + {_WITHIN} | s | school)",
        ),
        {"stan": 10, "nuts": 40},
    ),
    "exam6": Row(
        "exam, Model 6 (student-level variance function)",
        "exam",
        bridge.ModelSpec(
            "normexam ~ 1 + standlrt + girl + (1 + standlrt | s | school)",
            "~ 1 + standlrt + girl + (1 + standlrt | s | school)",
        ),
        {"stan": 10, "nuts": 40},
    ),
}


LARGE = {"london3": Large(3, {"stan": 1200, "nuts": 180}), "london5": Large(5, {"nuts": 600})}
CMDSTAN_TIMES = 100.0  # for the first model, where CmdStan runs ours


def rate(result: Result) -> tuple[float, str, float]:
    """Return the smallest bulk ESS, whose it is, and that by second of sampling."""
    ess = result.estimates.set_index("parameter")["ess_bulk"].astype(float)
    return float(ess.min()), str(ess.idxmin()), float(ess.min() / result.seconds["sampling"])


def cells(engine: str, result: Result) -> list[str]:
    """Return what is shown of a fit: ESS, seconds, leapfrogs, milliseconds of each."""
    smallest, whose, by_second = rate(result)
    stats = result.idata["sample_stats"]
    leaps = float(stats["n_steps"].mean()) if "n_steps" in stats else float("nan")
    warmup = registry.get(engine).options["warmup"].default
    iterations = result.idata["posterior"].sizes["draw"] + warmup
    each = 1e3 * result.seconds["sampling"] / (iterations * leaps)
    return [
        engine,
        f"{smallest:.0f} ({whose})",
        f"{result.seconds['sampling']:.1f}",
        f"{result.seconds['compile']:.0f}",
        f"{leaps:.0f}",
        f"{each:.2f}",
        f"{by_second:.1f}",
    ]


def measured(row: Row, backend: str) -> list[list[str]]:
    """Fit a model with every engine and return a row of cells for each."""
    data = bridge.datasets.load(row.data)
    reference = bridge.fit(row.spec, data, "brms", **SETTINGS)
    found = [[row.title, *cells("brms", reference), "1", ""]]
    for engine, times in row.times.items():
        more = {"backend": backend} if engine == "stan" else {}
        result = bridge.fit(row.spec, data, engine, **SETTINGS, **more)
        ratio = rate(result)[2] / rate(reference)[2]
        wanted = CMDSTAN_TIMES if backend == "cmdstan" and times == 25 else times
        verdict = "met" if ratio >= wanted else "NOT MET"
        judged = bridge.compare(reference, result).verdicts["verdict"]
        agree = f"{(judged == verdicts.AGREE).sum()} of {len(judged)} agree"
        found.append(["", *cells(engine, result), f"{ratio:.1f} of {wanted:g}, {verdict}", agree])
    return found


def large(row: Large, backend: str) -> list[list[str]]:
    """Fit simulated London data at full size."""
    data = bridge.datasets.simulate("london", seed=1, model=row.model)
    spec = bridge.london.spec(row.model)
    found = []
    for engine, limit in row.seconds.items():
        more = {"backend": backend} if engine == "stan" else {}
        result = bridge.fit(spec, data, engine, chains=4, seed=1, cores=2, **more)
        frame = result.estimates
        few, stuck = frame["ess_bulk"].min(), frame["r_hat"].max()
        met = result.seconds["sampling"] < limit and few > 400 and stuck < 1.01
        found.append(
            [
                f"London, Model {row.model}: {len(data):,} students, 4 chains",
                *cells(engine, result),
                f"R-hat {stuck:.3f}; below {limit:g} s, {'met' if met else 'NOT MET'}",
                "",
            ]
        )
    return found


HEAD = [
    "data and model", "engine", "smallest ESS", "sampling, s", "compile, s", "leapfrogs a draw",
    "ms of a chain a leapfrog", "ESS a second", "ratio to brms, or bound", "parameters",
]  # fmt: skip


def main(keys: list[str], backend: str) -> None:
    """Measure and print; write the table where all was measured."""
    lines = [
        "# stan and nuts against brms",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; processors: {os.cpu_count()}, "
        f"{platform.machine()}; load at the start {os.getloadavg()[0]:.2f}",
        f"- Settings: {SETTINGS}, each engine's own warm-up, the same priors.",
        f"- Stan runs by {stan_backends.choose(backend)}. {stan_backends.available()['cmdstan']}"
        if backend == "pystan"
        else f"- Stan runs by {backend}.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"| {' | '.join('---' for _ in HEAD)} |",
    ]
    for key in keys or [*ROWS, *LARGE]:
        for row in measured(ROWS[key], backend) if key in ROWS else large(LARGE[key], backend):
            lines.append(f"| {' | '.join(row)} |")
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.flush()
    sys.stdout.write("\n".join(lines) + "\n")
    if not keys:
        RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("keys", nargs="*", choices=[*ROWS, *LARGE, []], help="all by default")
    parser.add_argument("--backend", choices=["pystan", "cmdstan"], default="pystan")
    asked = parser.parse_args()
    if stan_backends.available()[asked.backend].startswith("not available"):
        raise SystemExit(
            f"{asked.backend}: not measured, {stan_backends.available()[asked.backend]}"
        )
    main(asked.keys, asked.backend)
