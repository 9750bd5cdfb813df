"""Simulation-based calibration of the engines that draw from posteriors.

    .venv/bin/python validation/calibration.py [PART ...] [--try N] [--workers N]

A part is an engine and one of Models 1 and 4 of Leckie et al. (2014), with proper priors, in a
small design: nuts1, nuts4, stan1, stan4, brms1 (all of them where none is named). What is done
stays in validation/results/calibration, and the same command goes on from there. Finished parts
are written to calibration.md, .json and .csv (the ranks) beside this file, with a picture of each
in calibration/. ``--try N`` does N simulations of each part, prints what they say and how long a
fit takes, and writes no record. The exit status is 1 where a part has not passed.

In Model 4 the SES deviation is dvar(ses, school), and the mean of a school cvar(ses, school).

Sources: Leckie, French, Charlton & Browne (2014), J. Educ. Behav. Stat. 39, Tables 2 and 3;
Talts, Betancourt, Simpson, Vehtari & Gelman (2018); Säilynoja, Bürkner & Vehtari (2022).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import bridge
from bridge.calibration_ranks import Calibration, described
from bridge.page import when_and_where

HERE = Path(__file__).resolve().parent
RECORD, PICTURES = HERE / "calibration", HERE / "calibration"
RESULTS = HERE / "results" / "calibration"
SEED = 2014
DEVIATION = "dvar(ses, school)"
PRIORS = bridge.Priors(
    gamma="normal(0, 1)",
    delta="normal(0, 0.5)",
    sd_u="half_t(3, 0, 0.5)",
    sd_v="half_normal(0, 0.5)",
    rho="lkj(2)",
)
MODELS = {
    "1": bridge.ModelSpec(
        "y ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)", priors=PRIORS
    ),
    "4": bridge.ModelSpec(
        f"y ~ 1 + sector + cvar(ses, school) + {DEVIATION} + sector:{DEVIATION} "
        f"+ cvar(ses, school):{DEVIATION} + (1 + {DEVIATION} | s | school)",
        f"~ 1 + sector + {DEVIATION} + sector:{DEVIATION} + (1 + {DEVIATION} | s | school)",
        priors=PRIORS,
    ),
}
DESIGN = bridge.SimulationDesign(
    groups=30,
    size={"law": "uniform", "low": 10, "high": 20},
    covariates={"sector": {"level": "group", "law": "bernoulli"}, "ses": {"intraclass": 0.3}},
)


@dataclass(frozen=True)
class Part:
    """One engine and model.

    Attributes
    ----------
    engine, model : str
    replications : int
    options : dict
        Of the engine.
    """

    engine: str
    model: str
    replications: int
    options: Mapping[str, Any]


NUTS = {"chains": 2, "warmup": 500, "draws": 1000}
STAN = {"chains": 1, "warmup": 500, "draws": 2000}
BRMS = {"chains": 1, "warmup": 1000, "draws": 2000}
#: Of four effects in small data chains diverge at the engines' own step sizes.
CAREFUL = {"adapt_delta": 0.95}
PARTS = {
    "nuts1": Part("nuts", "1", 300, NUTS),
    "nuts4": Part("nuts", "4", 300, NUTS | CAREFUL),
    "stan1": Part("stan", "1", 300, STAN),
    "stan4": Part("stan", "4", 100, STAN | CAREFUL),
    "brms1": Part("brms", "1", 50, BRMS),
}


def calibrated(name: str, replications: int, workers: int | None) -> Calibration:
    """Return the calibration of a part, as far as asked; what is done is not done again."""
    part = PARTS[name]
    return bridge.calibrate(
        MODELS[part.model], DESIGN, part.engine, replications, SEED,
        out=RESULTS / name, workers=workers, **part.options,
    )  # fmt: skip


def seconds(found: Calibration) -> float:
    """Return the mean time of a fit, its first of each process in it."""
    return float(found.ranks.groupby("replication")["seconds"].first().mean())


# --- the record ---
def facts(name: str, found: Calibration) -> dict[str, Any]:
    """Return what the record says of a part, in plain values."""
    time_made, machine = when_and_where()
    table = found.table.drop(columns="scale")
    return {
        "engine": found.engine,
        "draws": described(found),
        "model": PARTS[name].model,
        "options": dict(PARTS[name].options),
        "simulations": found.simulations,
        "thinned": found.draws,
        "failed": found.failed,
        "few effective draws": found.few,
        "with divergences": found.divergent,
        "seconds a fit": round(seconds(found), 3),
        "passed": found.passed,
        "level": found.level,
        "made": time_made,
        "machine": machine,
        "table": json.loads(table.to_json(orient="records", double_precision=6)),
    }


def section(name: str, of: Mapping[str, Any]) -> list[str]:
    """Return the lines of a part in the page."""
    options = ", ".join(f"{key} = {value}" for key, value in of["options"].items())
    verdict = "passed" if of["passed"] else "NOT passed"
    lines = [
        f"## {of['engine']}, Model {of['model']}: {verdict}",
        "",
        f"{of['simulations']} simulations ({options}; {of['thinned']} draws of each kept); "
        f"{of['failed']} failed, {of['with divergences']} with divergences, "
        f"{of['few effective draws']} with an effective sample size below {of['thinned']}; "
        f"{of['seconds a fit']:.2f} s a fit. {of['made']}, {of['machine']}.",
        "",
        "| parameter | chi-square | p | deviation | p of the band | inside |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in of["table"]:
        numbers = [f"{row[key]:.4g}" for key in ("chi_square", "p_chi_square", "deviation", "p")]
        inside = "yes" if row["inside"] else "**no**"
        lines.append(f"| `{row['parameter']}` | {' | '.join(numbers)} | {inside} |")
    return [*lines, "", f"![ECDF of ranks less the uniform one](calibration/{name}_ecdf.png)", ""]


def page(known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return calibration.md."""
    priors = ", ".join(f"{key} ~ {value}" for key, value in PRIORS.items())
    lines = [
        "# Simulation-based calibration",
        "",
        "Parameters are drawn from their priors, data from the model, and the model is fitted: the "
        "ranks of the true parameters among the draws are uniform where the engine draws from the "
        "posterior. Chi-square is of a histogram, its p of each parameter alone; deviation is the "
        "greatest of the ranks' distribution function from the uniform one, and the p of the band "
        "is simultaneous over that function. A parameter is inside where this p is above 1% over "
        "the number of parameters. Written by `python validation/calibration.py`.",
        "",
        f"Priors: {priors}. Design: 30 schools of 10 to 20 students, sector binary by school, SES "
        "with an intraclass correlation of 0.3. Seed: "
        f"{SEED}.",
        "",
    ]
    for name in PARTS:
        lines += section(name, known[name]) if name in known else []
    return "\n".join(lines)


def write(found: Mapping[str, Calibration]) -> None:
    """Write finished parts into the record, beside those that are there."""
    file = RECORD.with_suffix(".json")
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known |= {name: facts(name, one) for name, one in found.items()}
    file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
    RECORD.with_suffix(".md").write_text(page(known), "utf-8")
    PICTURES.mkdir(exist_ok=True)
    for name, one in found.items():
        for draw in (bridge.plots.calibration_ecdf, bridge.plots.calibration_ranks):
            kind = draw.__name__.removeprefix("calibration_")
            draw(one)[0].figure.savefig(PICTURES / f"{name}_{kind}.png", dpi=80)
    ranks = RECORD.with_suffix(".csv")
    columns = ["part", "replication", "parameter", "rank", "status"]
    rows = [one.ranks.assign(part=name)[columns] for name, one in found.items()]
    if ranks.exists():
        before = pd.read_csv(ranks, dtype={"rank": "Int64"})
        rows.insert(0, before[~before["part"].isin(found)])
    pd.concat(rows, ignore_index=True).to_csv(ranks, index=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--try", dest="some", type=int, metavar="N", help="so many, no record")
    parser.add_argument("--workers", type=int, help="processes; as many as cores by default")
    asked = parser.parse_args(arguments)
    # the folder coverage/ beside this file would pass for the library of that name (of numba's)
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE]
    for name in asked.parts:
        if name not in PARTS:
            parser.error(f"there is no part '{name}'; there are {', '.join(PARTS)}")
    passed = True
    for name in asked.parts or list(PARTS):
        began = time.perf_counter()
        found = calibrated(name, asked.some or PARTS[name].replications, asked.workers)
        took = time.perf_counter() - began
        sys.stdout.write(
            f"\n{name}\n{found.summary()}\n{seconds(found):.2f} s a fit, {took:.0f} s\n"
        )
        sys.stdout.flush()
        if not asked.some:
            write({name: found})
            passed &= found.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
