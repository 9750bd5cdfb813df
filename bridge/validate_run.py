"""The jobs of a validation: one case by one engine, kept as one JSON file, run side by side."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from bridge import pairs
from bridge.cases.columns import FAULT, compute_column
from bridge.cases.integrity import case_data, engine_spec
from bridge.cases.numbers import DATA, PRINT, Context
from bridge.cases.rules import ENGINE_KEYS, FUNCTION, Rule, columns_of, engine_of, rule_of
from bridge.engines import registry
from bridge.errors import BridgeError, EngineRefusal
from bridge.files import write_text
from bridge.fit import fit
from bridge.priors import Priors
from bridge.published_files import ROWS
from bridge.published_tables import PublishedTable, load
from bridge.result import Result
from bridge.spec import ModelSpec

FORMAT = 2
_PRINTED = ["parameter", "statistic", "printed"]
#: Engines of maximum likelihood and least squares: what ``--quick`` runs.
QUICK = ("ols", "lme4", "nlme", "agq", PRINT, DATA)


@dataclass(frozen=True)
class Job:
    """One case by one engine.

    Attributes
    ----------
    case : str
        ``<source>/<model>``.
    column : str
        The engine's label in the case, ``"print"`` or ``"data"``.
    engine : str
        The engine, ``"print"`` or ``"data"``.
    options : dict
        Of the engine.
    quick : bool
        Whether slow quantities are left out.
    key : str
        Changes where the answer may: models, data, options, versions, what is computed.
    """

    case: str
    column: str
    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False
    key: str = ""

    @property
    def label(self) -> str:
        """The case and the column."""
        return f"{self.case} {self.column}"

    @property
    def chains(self) -> int:
        """How many processors it can use."""
        if self.engine in (PRINT, DATA):
            return 1
        default = registry.get(self.engine).options.get("chains")
        return int(self.options.get("chains", default.default if default else 1))

    def file(self, folder: Path) -> Path:
        """Return where its record is kept."""
        name = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.column)
        return folder / self.case / f"{name}{'.quick' if self.quick else ''}.json"


def make_jobs(
    cases: Sequence[PublishedTable],
    engines: Sequence[str],
    quick: bool,
    versions: Mapping[str, Mapping[str, str]],
) -> list[Job]:
    """Return the jobs of some cases.

    Parameters
    ----------
    cases : sequence of PublishedTable
        The cases.
    engines : sequence of str
        Engines or labels; empty for all.
    quick : bool
        Whether engines of maximum likelihood alone, and slow numbers left out.
    versions : mapping
        Of each engine and what it runs on.
    """
    found = []
    for case in cases:
        for column in columns_of(case):
            engine, table = engine_of(case, column), case.engines.get(column, {})
            if engines and not {engine, column} & set(engines):
                continue
            if quick and (engine not in QUICK or table.get("slow")):
                continue
            options = {key: value for key, value in table.items() if key not in ENGINE_KEYS}
            # a column without slow numbers is the same, quick or not
            job = Job(case.name, column, engine, options)
            job = replace(job, quick=quick and any(r.slow for r in _rules(case, job).values()))
            if _rules(case, job):
                found.append(replace(job, key=_key(case, job, versions.get(engine, {}))))
    return found


def _rules(case: PublishedTable, job: Job) -> dict[str, Rule]:
    """Return the rules of what a job computes, by printed name."""
    rules = {p: rule_of(case, p) for p in dict.fromkeys(case.frame["parameter"])}
    return {
        parameter: rule
        for parameter, rule in rules.items()
        if job.column in rule.columns and not (job.quick and rule.slow)
    }


def fits_of(case: PublishedTable, job: Job) -> list[str]:
    """Return the names of the fits of a job, those its engine cannot express among them.

    They are those that its numbers need, and those that no number of the case needs: nothing is
    printed of these, and they are there to be compared between engines.
    """
    if job.engine in (PRINT, DATA):
        return []
    wanted = {fit for rule in _rules(case, job).values() for fit in rule.fits}
    every = {fit for p in set(case.frame["parameter"]) for fit in rule_of(case, p).fits}
    wanted |= set(case.models()) - every
    allowed = case.engines[job.column].get("fits", list(case.models()))
    return [name for name in case.models() if name in wanted and name in allowed]


def _key(case: PublishedTable, job: Job, versions: Mapping[str, str]) -> str:
    """Return a digest of all that the answer depends on."""
    from bridge import __version__

    rules = _rules(case, job)
    rows = case.frame[case.frame["parameter"].isin(list(rules))]
    # functions may read what is printed; a plain estimate does not depend on it
    read = any(rule.kind == FUNCTION for rule in rules.values())
    names = fits_of(case, job)
    parts = {
        "format": FORMAT,
        "bridge": __version__,
        "versions": dict(versions),
        "models": {name: engine_spec(case, job.column, name).to_toml() for name in names},
        "data": [case.data, case.rows, case.simulate, case.settings, _data_digest(case)],
        "engine": [job.engine, dict(job.options), job.quick],
        "fails": case.engines.get(job.column, {}).get("fails", {}),
        "code": _code_digest(),
        "rules": {name: repr(rule) for name, rule in rules.items()},
        "rows": rows[["parameter", "statistic"]].to_numpy().tolist(),
        "printed": case.frame[_PRINTED].to_numpy().tolist() if read else [],
        "other tables": [_numbers(case, other) for other in _others(rules)],
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _others(rules: Mapping[str, Rule]) -> list[str]:
    """Return the other cases whose numbers are read."""
    from bridge.cases.from_print import OF_TABLES

    found = {str(rule.arguments[key]) for rule in rules.values() if rule.name in OF_TABLES
             for key in OF_TABLES[rule.name]}  # fmt: skip
    return sorted(found)


def _numbers(case: PublishedTable, other: str) -> list[Any]:
    table: list[Any] = load(other, case.root).frame[_PRINTED].to_numpy().tolist()
    return table


@cache
def _code_digest() -> str:
    """Return a digest of the code that computes numbers from fits."""
    from bridge import cases

    files = sorted(Path(cases.__path__[0]).glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _data_digest(case: PublishedTable) -> str:
    """Return a digest of the stored rows; drawn ones follow from the case and its seed."""
    from bridge import datasets, resources

    if case.data not in datasets.names():
        return ""
    content = resources.path(f"validation/data/{case.data}.csv").read_bytes()
    if case.rows is not None:
        content += resources.path(ROWS[case.rows][1]).read_bytes()
    return hashlib.sha256(content).hexdigest()


# --- the store ----------------------------------------------------------------------------------
def stored(job: Job, folder: Path, with_failed: bool = False) -> dict[str, Any] | None:
    """Return the record of a job if it is there and answers the same question.

    One of a job that failed is not returned, so that it is tried again, unless it is asked for.
    """
    try:
        record: dict[str, Any] = json.loads(job.file(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if (
        not isinstance(record, dict)
        or record.get("key") != job.key
        or (record["failed"] and not with_failed)
    ):
        return None
    return record


def run_jobs(
    jobs: Sequence[Job],
    folder: Path,
    report: Callable[[Job], None],
    root: Path | None = None,
    cores: int | None = None,
) -> None:
    """Run jobs and keep each record as soon as it is made.

    Parameters
    ----------
    jobs : sequence of Job
        Those of one chain run side by side, one a processor; then the others, each with its
        chains side by side.
    folder : pathlib.Path
        Of the records.
    report : callable
        Told of each job that is done.
    root : pathlib.Path, optional
        Folder of the cases.
    cores : int, optional
        Processors to use; by default all.
    """
    cores = cores or os.cpu_count() or 1
    light = [job for job in jobs if job.chains == 1]
    heavy = [job for job in jobs if job.chains > 1]
    for part, each in ((light, 1), (heavy, min(cores, max((j.chains for j in heavy), default=1)))):
        for job in _side_by_side(part, folder, root, max(1, cores // each), each):
            report(job)


def _side_by_side(
    jobs: Sequence[Job], folder: Path, root: Path | None, workers: int, cores: int
) -> Iterator[Job]:
    if not jobs:
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=min(workers, len(jobs)), return_as="generator_unordered")
    yield from parallel(delayed(run_and_keep)(job, folder, root, cores) for job in jobs)


def run_and_keep(job: Job, folder: Path, root: Path | None, cores: int) -> Job:
    """Run one job and write its record, whole or not at all."""
    record = run_job(job, root, cores)
    file = job.file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return job


# --- one job --------------------------------------------------------------------------------------
def run_job(job: Job, root: Path | None = None, cores: int = 1) -> dict[str, Any]:
    """Fit what a job needs and compute its numbers.

    Returns
    -------
    dict
        Plain values: key, case, column, engine, cells, fits (a side each), versions, seconds,
        warnings, refused (fit -> why it is not there), failed.
    """
    started = time.monotonic()
    case = load(job.case, root)
    record: dict[str, Any] = {
        "key": job.key, "case": job.case, "column": job.column, "engine": job.engine,
        "cells": [], "fits": {}, "versions": {}, "warnings": [], "refused": {}, "failed": "",
    }  # fmt: skip
    try:
        data = case_data(case)
        results = _fitted(case, job, data, cores, record)
        context = Context(case, data, results, job.column, _refit(job, cores))
        cells = compute_column(context, job.quick)
        record["cells"] = [cell.as_json() for cell in cells]
        record["fits"] = {name: pairs.side_of(result).as_json() for name, result in results.items()}
        faults = [cell for cell in cells if cell.note.startswith(FAULT)]
        if faults and not record["failed"]:
            at = f"{faults[0].statistic} of {faults[0].parameter}"
            record["failed"] = f"{at}: {faults[0].note.removeprefix(FAULT)}"
    except Exception as error:  # noqa: BLE001 - one job shall not stop the others; the record says so
        record["failed"] = f"{type(error).__name__}: {error}"
    record["seconds"] = round(time.monotonic() - started, 2)
    return record


def _fitted(
    case: PublishedTable, job: Job, data: pd.DataFrame, cores: int, record: dict[str, Any]
) -> dict[str, Result]:
    """Return the fits of a job; why one is not there goes to the record.

    A fit that stops fails the job, unless the case says that this engine stops at it and why.
    """
    results, failed = {}, []
    known = case.engines.get(job.column, {}).get("fails", {})
    for name in fits_of(case, job):
        try:
            spec = engine_spec(case, job.column, name)
            result = _fit(spec, data, job, cores)
        except BridgeError as error:
            if name in known:
                record["refused"][name] = f"{known[name]} ({error})"
            elif isinstance(error, EngineRefusal):
                record["refused"][name] = str(error)
            else:
                failed.append(f"fit {name}: {error}")
            continue
        results[name] = result
        record["versions"] |= dict(result.versions)
        record["warnings"] += [f"{name}: {warning}" for warning in result.warnings]
    record["failed"] = "; ".join(failed)
    return results


def _fit(spec: ModelSpec, data: pd.DataFrame, job: Job, cores: int, **more: Any) -> Result:
    options = {**job.options, **more}
    if "cores" in registry.get(job.engine).options:
        options.setdefault("cores", cores)
    return fit(spec, data, job.engine, progress=False, **options)


def _refit(job: Job, cores: int) -> Callable[[ModelSpec, pd.DataFrame, int], Result] | None:
    """Return what fits a model to other data as this job fits its own."""
    if job.engine in (PRINT, DATA):
        return None

    def refit(spec: ModelSpec, data: pd.DataFrame, seed: int) -> Result:
        entry = registry.ENGINES[job.engine]
        known = registry.get(job.engine).options
        spec = spec if "priors" in entry.features else spec.replace(priors=Priors())
        return _fit(spec, data, job, cores, **({"seed": seed} if "seed" in known else {}))

    return refit
