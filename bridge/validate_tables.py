"""What a validation found, case by case: each printed number, its columns, its state; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from bridge import pairs, verdicts
from bridge.cases.columns import Cell
from bridge.cases.integrity import engine_spec
from bridge.cases.rules import columns_of, engine_of, rule_of
from bridge.cases.states import NOT_RUN, STATES, Judged, argument, judge, overall
from bridge.published_files import MAIN
from bridge.published_tables import PublishedTable
from bridge.summary import digits

#: States of a number, as they are counted.
COUNTED = (*STATES, NOT_RUN)


@dataclass(frozen=True)
class ColumnReport:
    """One engine's column.

    Attributes
    ----------
    label, engine : str
        Its label in the case, and the engine.
    ran : bool
        Whether there is a record of it.
    versions : dict
        Of the engine and what it runs on.
    seconds : float
        What the job took.
    warnings : tuple of str
        Of its fits.
    refused : dict
        Fit -> why it is not there.
    failed : str
        Why the job stopped.
    """

    label: str
    engine: str
    ran: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    failed: str = ""


@dataclass(frozen=True)
class RowReport:
    """One printed number.

    Attributes
    ----------
    parameter, statistic, printed, page, scale, software : str
        As in published.csv.
    state : str
        "reproduced", "argued", "not reached" or "not run".
    why : str
        What [argued] says.
    cells : dict
        Label of a column -> the computed number and its judgement.
    """

    parameter: str
    statistic: str
    printed: str
    page: str
    scale: str
    software: str
    state: str
    why: str
    cells: Mapping[str, tuple[Cell, Judged]]


@dataclass(frozen=True)
class CaseReport:
    """One case.

    Attributes
    ----------
    case : PublishedTable
        The case.
    columns : tuple of ColumnReport
        Every column it has, whether it ran or not.
    rows : tuple of RowReport
        Every printed number.
    between : tuple of str
        Sentences on engines beside each other, and their independence.
    differ : int
        Parameters on which engines differ.
    """

    case: PublishedTable
    columns: tuple[ColumnReport, ...]
    rows: tuple[RowReport, ...]
    between: tuple[str, ...]
    differ: int

    @property
    def counts(self) -> dict[str, int]:
        """How many numbers are in each state."""
        return {state: sum(row.state == state for row in self.rows) for state in COUNTED}

    @property
    def seconds(self) -> float:
        """What all columns took."""
        return sum(column.seconds for column in self.columns)

    @property
    def failed(self) -> tuple[str, ...]:
        """What stopped, by column."""
        return tuple(f"{c.label}: {c.failed}" for c in self.columns if c.failed)


def report_case(case: PublishedTable, records: Mapping[str, Mapping[str, Any]]) -> CaseReport:
    """Lay what the columns of a case found beside print.

    Parameters
    ----------
    case : PublishedTable
        The case.
    records : mapping of str to mapping
        Label of a column -> its record; see `bridge.validate_run.run_job`.
    """
    columns = tuple(_column(case, label, records.get(label)) for label in columns_of(case))
    known = {
        label: {(c["parameter"], c["statistic"]): Cell.from_json(c) for c in record["cells"]}
        for label, record in records.items()
    }
    rows = tuple(_row(case, row, known) for row in case.frame.to_dict("records"))
    between, differ = _between(case, records)
    return CaseReport(case, columns, rows, tuple(between), differ)


def _column(case: PublishedTable, label: str, record: Mapping[str, Any] | None) -> ColumnReport:
    engine = engine_of(case, label)
    if record is None:
        return ColumnReport(label, engine, ran=False)
    return ColumnReport(
        label=label,
        engine=engine,
        ran=True,
        versions=record["versions"],
        seconds=record["seconds"],
        warnings=tuple(record["warnings"]),
        refused=record["refused"],
        failed=record["failed"],
    )


def _row(
    case: PublishedTable,
    row: Mapping[str, Any],
    known: Mapping[str, Mapping[tuple[str, str], Cell]],
) -> RowReport:
    """Judge one printed number in every column."""
    name, statistic = row["parameter"], row["statistic"]
    cells = {
        label: (found[name, statistic], judge(case, row, found[name, statistic]))
        for label, found in known.items()
        if (name, statistic) in found
    }
    # a slow number is left out of a quick column, which then has not run for it
    asked = rule_of(case, name).columns
    complete = all(label in cells or _failed(known, label) for label in asked)
    argued = argument(case, name, statistic)
    why = "" if argued is None else argued.why
    state = overall([judged for _, judged in cells.values()], complete)
    texts = {key: row[key] for key in ("printed", "page", "scale", "software")}
    return RowReport(name, statistic, state=state, why=why, cells=cells, **texts)


def _failed(known: Mapping[str, Mapping[tuple[str, str], Cell]], label: str) -> bool:
    """Tell whether a column ran and has nothing: it failed, and was tried."""
    return label in known and not known[label]


def _between(
    case: PublishedTable, records: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], int]:
    """Compare the engines of a case with each other, fit by fit."""
    said: list[str] = []
    apart: list[str] = []
    notes: dict[frozenset[str], str] = {}
    differ = 0
    for name in case.models():
        sides = {
            label: pairs.Side.from_json(record["fits"][name])
            for label, record in records.items()
            if name in record["fits"]
        }
        for a, b in combinations(sides, 2):
            first, second = sides[a], sides[b]
            if set(first.rows) != set(second.rows) or _of_other_priors(case, a, b, name, sides):
                continue
            judged = pairs.pair(first, second)
            found = [verdict.verdict for verdict in judged.values()]
            if set(found) == {verdicts.NOT_COMPARABLE}:
                apart.append(f"{a} and {b}")
                continue
            differ += found.count(verdicts.DIFFER)
            gap = pairs.logliks(first, second)
            of = None if gap is None else gap.distance
            where = "" if name == MAIN else f"{name}: "
            said.append(where + pairs.sentence(a, b, list(judged.items()), of, digits))
            notes[frozenset((first.engine, second.engine))] = pairs.independence(first, second)
    if apart:
        said.append(f"Other estimators, not compared: {'; '.join(dict.fromkeys(apart))}.")
    return [*said, *notes.values()], differ


def _of_other_priors(
    case: PublishedTable, a: str, b: str, name: str, sides: Mapping[str, pairs.Side]
) -> bool:
    """Tell whether two posteriors have different priors: they are not of one model."""
    if {sides[a].method, sides[b].method} != {"posterior"}:
        return False
    return engine_spec(case, a, name).priors != engine_spec(case, b, name).priors


def total(reports: Sequence[CaseReport]) -> dict[str, int]:
    """Return how many numbers of several cases are in each state."""
    return {state: sum(report.counts[state] for report in reports) for state in COUNTED}
