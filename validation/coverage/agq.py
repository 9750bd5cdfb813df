"""Coverage of agq's 95% intervals in the simulation of Leckie et al. (2014), section 4.

Each replication draws predictors, school effects and outcomes anew, and fits the two models of the
paper to them. Model B is the one the data come from; Model A leaves v out. The tables stand beside
the coverage that Table 1 of the paper prints for posterior intervals.

    .venv/bin/python validation/coverage/agq.py [REPLICATIONS]

prints the tables, and writes them to agq.md beside this file when all 1,000 replications ran. The
exit status is 1 where the interval of a coefficient of Model B covers too seldom or too often.

Source: Leckie, French, Charlton & Browne (2014), J. Educ. Behav. Stat. 39, section 4 and Table 1.
"""

from __future__ import annotations

import multiprocessing
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

import bridge
from bridge.engines import registry
from bridge.errors import EngineFailed
from bridge.fit import translate
from bridge.marginal.maximum import NODES_ERROR

RECORD = Path(__file__).resolve().parent / "agq.md"
ENGINE = "agq"
SEED = 2014
REPLICATIONS = 1000
SCHOOLS, STUDENTS = 50, 25  # students in each school
PROCESSES = 2
ICC = 0.2  # of x
LIMITS = (0.925, 0.97)  # of the coverage of a coefficient of Model B
ENDS = ("estimate", "se", "lower", "upper")

U, V = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
TRUTH = {
    "gamma[Intercept]": 0.0,
    "gamma[w]": 0.2,
    "gamma[x]": 0.5,
    "gamma[w:x]": -0.1,
    "delta[Intercept]": -0.611,
    "delta[w]": 0.1,
    "delta[x]": 0.1,
    "delta[w:x]": -0.1,
    U: 0.1,
    V: 0.2,
}


@dataclass(frozen=True)
class Model:
    """One model of the paper.

    Attributes
    ----------
    spec : bridge.ModelSpec
    printed : dict of str to int
        The coverage in Table 1, percent, by parameter, in the order of the fit.
    """

    spec: bridge.ModelSpec
    printed: Mapping[str, int]


@dataclass(frozen=True)
class Fit:
    """What a replication keeps of one fit.

    Attributes
    ----------
    cells : (n, 4) array
        Estimate, standard error and ends of the interval by parameter, canonical scales; NaN
        where the engine gives none.
    converged, at_bound, coarse, failed : bool
        Whether the climb converged, a variance is at its bound of zero, twice the nodes move the
        log-likelihood, the engine stopped.
    seconds : float
        Of the fit.
    """

    cells: np.ndarray
    converged: bool
    at_bound: bool
    coarse: bool
    failed: bool
    seconds: float


MEAN, VARIANCE = "y ~ 1 + w * x + (1 | school)", "~ 1 + w * x"
MODELS = {
    "A": Model(
        bridge.ModelSpec(MEAN, VARIANCE),
        dict(zip([k for k in TRUTH if k != V], (95, 93, 95, 95, 42, 71, 86, 86, 94), strict=True)),
    ),
    "B": Model(
        bridge.ModelSpec(MEAN, f"{VARIANCE} + (1 | school)"),
        dict(zip(TRUTH, (94, 94, 95, 95, 94, 94, 94, 95, 95, 95), strict=True)),
    ),
}


# --- one replication -----------------------------------------------------------------------
def simulate(
    rng: np.random.Generator, schools: int = SCHOOLS, students: int = STUDENTS
) -> pd.DataFrame:
    """Draw one data set of the design.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same data.
    schools, students : int
        How many schools, and students in each.

    Returns
    -------
    pandas.DataFrame
        school, x (standard normal, with an intraclass correlation of 0.2), w (standard normal,
        constant within schools) and y.
    """
    school = np.repeat(np.arange(schools), students)
    rows = len(school)
    between = np.sqrt(ICC) * rng.standard_normal(schools)
    x = between[school] + np.sqrt(1 - ICC) * rng.standard_normal(rows)
    w = rng.standard_normal(schools)[school]
    u = np.sqrt(TRUTH[U]) * rng.standard_normal(schools)[school]
    v = np.sqrt(TRUTH[V]) * rng.standard_normal(schools)[school]
    terms = np.column_stack([np.ones(rows), w, x, w * x])
    gamma, delta = np.split(np.array(list(TRUTH.values())[:8]), 2)
    r = np.exp(0.5 * (terms @ delta + v)) * rng.standard_normal(rows)
    return pd.DataFrame({"school": school, "x": x, "w": w, "y": terms @ gamma + u + r})


def fitted(model: Model, data: pd.DataFrame) -> Fit:
    """Fit a model as `bridge.fit` does, and keep what the engine says of the climb."""
    start = time.perf_counter()
    engine = registry.get(ENGINE)
    plan = translate(model.spec, data, ENGINE)
    try:
        raw = engine.run(plan, lambda *_: None)
    except EngineFailed:
        empty = np.full((len(model.printed), len(ENDS)), np.nan)
        return Fit(empty, False, False, False, True, time.perf_counter() - start)
    table = engine.harmonise(raw, plan).estimates.set_index("parameter")
    cells = table.loc[list(model.printed), list(ENDS)].to_numpy(dtype=float, na_value=np.nan)
    # without v nothing is integrated numerically, and the error is NaN
    coarse = abs(raw.values["nodes_error"]) > NODES_ERROR
    return Fit(
        cells=cells,
        converged=bool(raw.values["converged"]),
        at_bound=bool(np.any(raw.values["at_bound"])),
        coarse=bool(coarse),
        failed=False,
        seconds=time.perf_counter() - start,
    )


def replicate(seed: np.random.SeedSequence, models: Sequence[str] = tuple(MODELS)) -> list[Fit]:
    """Draw one data set and fit the models to it."""
    data = simulate(np.random.default_rng(seed))
    return [fitted(MODELS[name], data) for name in models]


def study(
    replications: int = REPLICATIONS, models: Sequence[str] = tuple(MODELS), processes: int = 1
) -> dict[str, list[Fit]]:
    """Return the fits of each model, replication by replication.

    Parameters
    ----------
    replications : int
        The first so many of the study: each has a seed of its own, spawned from one.
    models : sequence of str
        Among "A" and "B".
    processes : int
        How many work side by side; the fits are the same whatever their number.
    """
    seeds = np.random.SeedSequence(SEED).spawn(replications)
    found: Iterable[list[Fit]]
    if processes == 1:
        found = [replicate(seed, models) for seed in seeds]
    else:
        # spawned, for a fork of a process whose BLAS has threads may hang
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawned) as pool:
            asked = [models] * len(seeds)
            found = list(pool.map(replicate, seeds, asked, chunksize=10))
    return {name: list(fits) for name, fits in zip(models, zip(*found, strict=True), strict=True)}


# --- tables --------------------------------------------------------------------------------
def summarise(name: str, fits: Sequence[Fit]) -> pd.DataFrame:
    """Return true value, estimates, standard errors and coverage by parameter.

    An interval that the engine does not give covers nothing: its fit stays in the denominator
    and counts as a miss. Means are over the fits that give the number.

    Returns
    -------
    pandas.DataFrame
        Rows by parameter; true, mean, sd, se, coverage (shares), its Monte Carlo standard error
        mc, without (fits that give no interval), and printed (percent, Table 1).
    """
    cells = np.stack([fit.cells for fit in fits])
    estimate, se, lower, upper = np.moveaxis(cells, 2, 0)
    parameters = list(MODELS[name].printed)
    true = np.array([TRUTH[parameter] for parameter in parameters])
    covers = (lower <= true) & (true <= upper)  # NaN compares as false
    coverage = covers.mean(axis=0)
    return pd.DataFrame(
        {
            "true": true,
            "mean": np.nanmean(estimate, axis=0),
            "sd": np.nanstd(estimate, axis=0, ddof=1),
            "se": np.nanmean(se, axis=0),
            "coverage": coverage,
            "mc": np.sqrt(coverage * (1 - coverage) / len(fits)),
            "without": (np.isnan(lower) | np.isnan(upper)).sum(axis=0),
            "printed": list(MODELS[name].printed.values()),
        },
        index=parameters,
    )


def outside(found: pd.DataFrame) -> pd.DataFrame:
    """Return the coefficients whose coverage is outside the limits."""
    coefficients = found[found.index.str.startswith(("gamma[", "delta["))]
    return coefficients[~coefficients["coverage"].between(*LIMITS)]


def table(found: pd.DataFrame) -> str:
    """Return a summary as an aligned table that is Markdown too."""
    heads = ["parameter", "true", "mean", "SD", "mean SE", "coverage, %", "MC error",
             "no interval", "Table 1, %"]  # fmt: skip
    rows = [
        [str(label), f"{row.true:g}", f"{row.mean:z.3f}", f"{row.sd:.3f}", f"{row.se:.3f}",
         f"{100 * row.coverage:.1f}", f"{100 * row.mc:.1f}", f"{row.without:.0f}",
         f"{row.printed:.0f}"]
        for label, row in zip(found.index, found.itertuples(index=False, name="Row"), strict=True)
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return f"| {' | '.join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)])} |"

    return "\n".join(map(line, [heads, rule, *rows]))


def counts(name: str, fits: Sequence[Fit]) -> str:
    """Return in a sentence how the fits of a model went."""
    kinds = {
        "stopped with an error": sum(fit.failed for fit in fits),
        "did not converge": sum(not fit.converged and not fit.failed for fit in fits),
        "have a variance at its bound of zero": sum(fit.at_bound for fit in fits),
        f"change by more than {NODES_ERROR:g} with twice the nodes": sum(f.coarse for f in fits),
    }
    said = "; ".join(f"{count} {what}" for what, count in kinds.items())
    median = np.median([fit.seconds for fit in fits])
    return f"Model {name}: of {len(fits)} fits {said}. A fit takes {1000 * median:.0f} ms (median)."


def verdict(found: pd.DataFrame) -> str:
    """Return in a sentence whether the coefficients of Model B are covered as they should be."""
    low, high = (f"{100 * end:g}" for end in LIMITS)
    wrong = outside(found)
    if wrong.empty:
        return f"Every coefficient of Model B is covered between {low}% and {high}%: met."
    named = ", ".join(f"{k} {100 * c:.1f}%" for k, c in wrong["coverage"].items())
    return f"Coverage of Model B outside {low}% to {high}%: {named}. NOT MET."


def heading(replications: int, seconds: float) -> str:
    """Return the record's opening: date, versions, time, and how to read the tables."""
    versions = {"Python": platform.python_version(), "bridge": bridge.__version__}
    versions |= {name: metadata.version(name) for name in ("numpy", "scipy", "pandas")}
    return "\n".join(
        [
            "# Coverage of agq (`validation/coverage/agq.py`)",
            "",
            f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "- Versions: " + ", ".join(f"{name} {found}" for name, found in versions.items()),
            f"- Design: Leckie et al. (2014), section 4; {replications} replications of {SCHOOLS} "
            f"schools of {STUDENTS} students; seed {SEED}",
            f"- Seconds: {seconds:.0f} in all, {PROCESSES} processes",
            "- Coverage: of 95% Wald intervals, those of variances on the log scale. A fit that "
            "gives no interval (a variance at its bound) counts as a miss, and none is dropped; "
            "means are over the fits that give the number.",
            "- Table 1: coverage of posterior intervals, as the paper prints it.",
            "- Model A leaves v out. Its delta[Intercept] is the log of the population-averaged "
            "variance, about -0.511, and is compared with -0.611 as in the paper.",
            "",
            "",
        ]
    )


# --- the run -------------------------------------------------------------------------------
def main(words: Sequence[str]) -> int:
    """Run the study, print the tables, and write them if all replications ran."""
    replications = int(words[0]) if words else REPLICATIONS
    start = time.perf_counter()
    fits = study(replications, processes=PROCESSES)
    parts = [heading(replications, time.perf_counter() - start)]
    for name in reversed(fits):
        parts.append(f"{counts(name, fits[name])}\n\n{table(summarise(name, fits[name]))}\n\n")
    found = summarise("B", fits["B"])
    text = "".join([*parts, verdict(found), "\n"])
    sys.stdout.write(text)
    if replications == REPLICATIONS:
        RECORD.write_text(text, encoding="utf-8")
    return int(not outside(found).empty)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
