"""Every printed number computed anew: `bridge.validate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from pathlib import Path

    from bridge.engines.base import Progress
    from bridge.published_tables import PublishedTable
    from bridge.validate_run import Job
    from bridge.validation import Validation


def validate(
    *cases: str,
    engines: Sequence[str] = (),
    quick: bool = False,
    out: str | Path | None = None,
    again: bool = False,
    progress: Progress | bool | None = None,
    root: Path | None = None,
) -> Validation:
    """Compute the printed numbers of cases with the engines they name, and say how close they are.

    Parameters
    ----------
    *cases : str
        Names of cases (``"leckie2014/model1"``) or of sources (``"leckie2014"``); all without any.
    engines : sequence of str
        Only these engines, or labels of columns; all without any. Results of the others that are
        kept are shown too.
    quick : bool
        Only ols, lme4, nlme, agq and what needs no engine, without the numbers marked slow.
    out : path, optional
        The folder of the results, one file for each case and engine; what is there and answers the
        same question is not computed again. By default in the user's cache.
    again : bool
        Whether to compute anew what is there.
    progress : bool or callable, optional
        As in `bridge.fit`.
    root : path, optional
        A folder of cases other than the package's own.

    Returns
    -------
    Validation
        ``summary``, ``cases``, ``text()``, ``write(folder)``; ``good`` tells whether nothing
        failed and every number that was asked for is reproduced or argued.

    Raises
    ------
    RequestError
        Where a case or engine is unknown (the nearest is suggested), no case has such an engine,
        a case is malformed, or the folder cannot be written to.

    Notes
    -----
    What counts as reproduced is in `bridge.cases.states`. Stopped by Ctrl-C, it leaves what was
    done in the folder and goes on from there the next time.
    """
    from bridge.progress import shown
    from bridge.validate_run import make_jobs, run_jobs, stored
    from bridge.validation import Validation, chosen_cases, results_folder, statuses

    tables = chosen_cases(cases, root)
    _check_engines(engines, tables)
    ready, versions, missing = statuses(tables)
    folder = results_folder(out)
    jobs = make_jobs(tables, engines, quick, versions)
    wanted = [job for job in jobs if job.engine in ready]
    left = [job for job in wanted if again or stored(job, folder) is None]
    done = len(wanted) - len(left)
    with shown(progress, "cases") as report:
        report(done / max(len(wanted), 1), f"{done} of {len(wanted)} jobs")

        def tell(job: Job) -> None:
            nonlocal done
            done += 1
            report(done / len(wanted), f"{done} of {len(wanted)} jobs; {job.label}")

        run_jobs(left, folder, tell, root)
    # what is kept of other columns is shown too; of one that is kept in full, that
    everything = [*make_jobs(tables, (), quick, versions), *make_jobs(tables, (), False, versions)]
    records: dict[str, dict[str, Any]] = {}
    for job in everything:
        record = stored(job, folder, with_failed=True)
        if record is not None:
            records.setdefault(job.case, {})[job.column] = record
    absent = {job.engine for job in jobs} - ready
    return Validation.of(tables, records, {name: missing[name] for name in sorted(absent)})


def _check_engines(engines: Sequence[str], tables: Sequence[PublishedTable]) -> None:
    """Refuse engines that do not exist, or that no case has."""
    from bridge.cases.rules import columns_of, engine_of
    from bridge.engines import registry
    from bridge.errors import OptionError, UnknownEngineError, suggest

    of_cases = {name: None for case in tables for column in columns_of(case)
                for name in (engine_of(case, column), column)}  # fmt: skip
    for name in engines:
        if name in of_cases:
            continue
        if name in registry.ENGINES:
            raise OptionError(f"None of the cases is for {name}; there are {', '.join(of_cases)}.")
        raise UnknownEngineError(
            f"There is no engine '{name}'.{suggest(name, of_cases)} "
            f"There are: {', '.join(of_cases)}."
        )
