"""A validation as one self-contained HTML page, as Markdown and as plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from bridge.cases.columns import Cell
from bridge.cases.states import (
    ARGUED,
    EMPTY,
    NOT_COMPARABLE,
    NOT_REACHED,
    NOT_RUN,
    REPRODUCED,
    Judged,
)
from bridge.summary import digits
from bridge.validate_tables import COUNTED, CaseReport, RowReport, total

#: A sign beside every number, so that no state is told by colour alone.
SIGNS = {
    REPRODUCED: "✓", ARGUED: "A", NOT_REACHED: "✗", NOT_COMPARABLE: "≠", EMPTY: "–", NOT_RUN: "·",
}  # fmt: skip
MEANINGS = {
    REPRODUCED: "in a column within half the last printed digit and 4 Monte Carlo errors of both "
    "sides (of recovery from one simulated data set: 4 of its standard errors)",
    ARGUED: "in one within the distance that the case gives, which says why it cannot be closer",
    NOT_REACHED: "further off than that in every column that ran",
    NOT_RUN: "no engine that ran reproduces it, and not all that can have run",
    NOT_COMPARABLE: "another estimator, which cannot say; it counts for nothing",
    EMPTY: "this engine does not give it",
}
_HEADS = ("numbers", *COUNTED)


def summary_rows(reports: Sequence[CaseReport]) -> list[list[str]]:
    """Return the counts by source, heading first and total last."""
    rows = [["source", "cases", *_HEADS]]
    ordered = sorted(reports, key=lambda report: report.case.name)
    for source, part in groupby(ordered, key=lambda report: report.case.name.partition("/")[0]):
        rows.append(_counts(source, list(part)))
    rows.append(_counts("all", ordered))
    return rows


def _counts(name: str, reports: Sequence[CaseReport]) -> list[str]:
    counts = total(reports)
    return [name, str(len(reports)), *map(str, (sum(counts.values()), *counts.values()))]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows, heading first, as a Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [escaped[0], ["---"] * len(escaped[0]), *escaped[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary_table(reports: Sequence[CaseReport]) -> str:
    """Return the counts by source as a Markdown table, the one that the README shows."""
    return markdown_table(summary_rows(reports))


def as_html(reports: Sequence[CaseReport], when: str, machine: str) -> str:
    """Return one page with nothing outside it.

    Parameters
    ----------
    reports : sequence of CaseReport
        The cases.
    when, machine : str
        The date, and what it ran on.
    """
    return _render("report.html.j2", reports, when, machine)


def as_markdown(reports: Sequence[CaseReport], when: str, machine: str) -> str:
    """Return the same as Markdown."""
    return _render("report.md.j2", reports, when, machine)


def _render(template: str, reports: Sequence[CaseReport], when: str, machine: str) -> str:
    from bridge.page import environment

    templates = environment()
    templates.filters["md"] = _markdown_cell
    return templates.get_template(template).render(
        summary=summary_rows(reports),
        summary_table=summary_table(reports),
        cases=[_case(report) for report in reports],
        when=when,
        machine=machine,
        signs=SIGNS,
        meanings=MEANINGS,
        heads=COUNTED,
    )


def _markdown_cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


def as_plain(reports: Sequence[CaseReport]) -> list[dict[str, Any]]:
    """Return the cases as plain values, for JSON."""
    return [_case(report) for report in reports]


def _case(report: CaseReport) -> dict[str, Any]:
    """Return what a template shows of one case."""
    case = report.case
    return {
        "name": case.name,
        "anchor": re.sub(r"[^a-z0-9]+", "-", case.name.lower()),
        "title": case.title,
        "source": case.source,
        "notes": list(case.notes),
        "settings": {key: str(value) for key, value in case.settings.items()},
        "counts": report.counts,
        "differ": report.differ,
        "seconds": report.seconds,
        "between": list(report.between),
        "argued": _argued(report.rows),
        "columns": [
            {
                "label": column.label,
                "engine": column.engine,
                "ran": column.ran,
                "versions": ", ".join(f"{k} {v}" for k, v in column.versions.items()),
                "seconds": column.seconds,
                "warnings": list(column.warnings),
                "refused": dict(column.refused),
                "failed": column.failed,
                "empty": _empty(report.rows, column.label),
            }
            for column in report.columns
        ],
        "rows": [_row(row, [c.label for c in report.columns]) for row in report.rows],
    }


def _argued(rows: Sequence[RowReport]) -> list[dict[str, str]]:
    """Return every reason why print cannot be reached, with the numbers it is given for."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row.why and (
            row.state == ARGUED or any(j.state == ARGUED for _, j in row.cells.values())
        ):
            found.setdefault(row.why, {}).setdefault(row.parameter, []).append(row.statistic)
    return [
        {
            "numbers": "; ".join(f"{', '.join(s)} of {parameter}" for parameter, s in of.items()),
            "why": why,
        }
        for why, of in found.items()
    ]


def _empty(rows: Sequence[RowReport], label: str) -> list[str]:
    """Return why a column has no number where it has none, each reason once."""
    notes = [row.cells[label][1] for row in rows if label in row.cells]
    return list(dict.fromkeys(j.note for j in notes if j.state == EMPTY and j.note))


def _row(row: RowReport, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "parameter": row.parameter,
        "statistic": row.statistic,
        "printed": row.printed,
        "page": row.page,
        "scale": row.scale,
        "software": row.software,
        "state": row.state,
        "why": row.why,
        "cells": {label: _cell(row.printed, row.cells.get(label)) for label in labels},
    }


def _cell(printed: str, found: tuple[Cell, Judged] | None) -> dict[str, Any]:
    """Return what is shown of one computed number."""
    if found is None:
        return {"state": "", "text": "", "apart": "", "note": ""}
    cell, judged = found
    text = SIGNS[EMPTY] if cell.value is None else like_print(cell.value, printed)
    return {
        "state": judged.state,
        "text": text,
        "apart": apart(judged),
        "note": "" if judged.state == ARGUED else judged.note,
        "value": cell.value,
        "mc_error": _finite(cell.mc_error),
        "difference": _finite(judged.difference),
        "tolerance": _finite(judged.tolerance),
        "in_sds": _finite(judged.in_sds),
        "in_mc_errors": _finite(judged.in_mc_errors),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def like_print(value: float, printed: str) -> str:
    """Write a number with one digit more than print has.

    Examples
    --------
    >>> like_print(1.23456, "1.23"), like_print(46816.7, "46817"), like_print(2.1e-9, "<0.001")
    ('1.235', '46816.7', '2.1000e-09')
    """
    places = len(printed.partition("e")[0].partition(".")[2]) + 1
    if "e" in printed or (value != 0 and abs(value) < 0.5 * 10.0 ** -(places + 1)):
        return digits(value)
    return f"{value:.{places}f}"


def apart(judged: Judged) -> str:
    """Say how far a number is from print, in posterior SDs and Monte Carlo errors."""
    parts = []
    if math.isfinite(judged.in_sds):
        parts.append(f"{judged.in_sds:+.2g} SD")
    if math.isfinite(judged.in_mc_errors):
        parts.append(f"{judged.in_mc_errors:+.2g} MCSE")
        parts.append(f"±{judged.tolerance:.2g}")
    return ", ".join(parts)


def text_lines(reports: Sequence[CaseReport]) -> list[str]:
    """Return the counts and every number that is not reached, for a terminal."""
    from bridge.summary import aligned

    rows = [["case", *_HEADS, "engines differ", "seconds"]]
    for report in reports:
        counts = report.counts
        numbers: Mapping[str, int] = {"numbers": sum(counts.values()), **counts}
        tail = [str(report.differ), f"{report.seconds:.1f}"]
        rows.append([report.case.name, *(str(numbers[head]) for head in _HEADS), *tail])
    lines = aligned(rows)
    for report in reports:
        lines += [f"Failed: {report.case.name} {reason}" for reason in report.failed]
        for row in report.rows:
            if row.state == NOT_REACHED:
                cells = ", ".join(
                    f"{label} {_cell(row.printed, found)['text']}"
                    for label, found in row.cells.items()
                )
                lines.append(
                    f"Not reached: {report.case.name}, {row.statistic} of {row.parameter}: "
                    f"printed {row.printed}; {cells or 'no engine gives it'}"
                )
    return lines
