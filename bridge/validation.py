"""What `bridge.validate` returns, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import validate_report as shown_as
from bridge.cases.integrity import check_case
from bridge.cases.numbers import DATA, PRINT
from bridge.cases.rules import columns_of, engine_of
from bridge.cases.states import NOT_REACHED
from bridge.errors import DataFileError, suggest
from bridge.files import output_folder, write_text
from bridge.page import when_and_where
from bridge.published_tables import PublishedTable, load, names
from bridge.validate_tables import CaseReport, report_case, total

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes
    ----------
    cases : tuple of CaseReport
        Every case that was asked for.
    missing : dict
        Engine that is not on this machine -> what it needs.
    """

    cases: tuple[CaseReport, ...]
    missing: Mapping[str, str]

    @classmethod
    def of(
        cls,
        tables: Sequence[PublishedTable],
        records: Mapping[str, Mapping[str, Any]],
        missing: Mapping[str, str],
    ) -> Validation:
        """Make one of the records of each case, by column."""
        reports = tuple(report_case(table, records.get(table.name, {})) for table in tables)
        return cls(reports, missing)

    @property
    def counts(self) -> dict[str, int]:
        """How many printed numbers are in each state."""
        return total(self.cases)

    @property
    def good(self) -> bool:
        """Whether no job failed, and no number that all its engines were asked for is far off."""
        return not self.counts[NOT_REACHED] and not any(report.failed for report in self.cases)

    @property
    def summary(self) -> pd.DataFrame:
        """The counts by source: source, cases, numbers and the states; "all" is the last row."""
        import pandas as pd

        rows = shown_as.summary_rows(self.cases)
        frame = pd.DataFrame(rows[1:], columns=rows[0])
        return frame.astype(dict.fromkeys(frame.columns[1:], int))

    def text(self) -> str:
        """Return the counts of each case, and every number that is not reached."""
        lines = shown_as.text_lines(self.cases)
        lines += [f"Left out: {engine}: {why}" for engine, why in self.missing.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def html(self) -> str:
        """Return the report as one self-contained page."""
        return shown_as.as_html(self.cases, *when_and_where())

    def markdown(self) -> str:
        """Return the report as Markdown."""
        return shown_as.as_markdown(self.cases, *when_and_where())

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "good": self.good,
            "counts": self.counts,
            "missing": dict(self.missing),
            "cases": shown_as.as_plain(self.cases),
        }

    def write(self, folder: str | Path) -> Path:
        """Write report.html and report.md into a folder.

        Raises
        ------
        OutputError
            Where it cannot be written to.
        """
        target = output_folder(Path(folder))
        write_text(target / "report.html", self.html())
        write_text(target / "report.md", self.markdown())
        return target


# --- what a validation starts from ----------------------------------------------------------------
def chosen_cases(chosen: Sequence[str], root: Path | None) -> list[PublishedTable]:
    """Return whole cases by name or source, in alphabetical order; all where none is named.

    Raises
    ------
    DataFileError
        Where there is none of a name, or one is malformed.
    """
    known = names(root)
    sources = dict.fromkeys(name.partition("/")[0] for name in known)
    found: list[str] = [] if chosen else list(known)
    for each in chosen:
        matching = [name for name in known if each in (name, name.partition("/")[0])]
        if not matching:
            raise DataFileError(
                f"There is no case '{each}'.{suggest(each, [*known, *sources])} There are: "
                f"{', '.join(known)}."
            )
        found += matching
    tables = [load(name, root) for name in sorted(set(found))]
    for table in tables:
        check_case(table)
    return tables


def statuses(
    tables: Sequence[PublishedTable],
) -> tuple[set[str], dict[str, dict[str, str]], dict[str, str]]:
    """Return the engines of cases that can run here, versions of all, and what others lack."""
    from bridge import doctor

    used = {engine_of(table, column) for table in tables for column in columns_of(table)}
    known = {status.engine: status for status in doctor.check()}
    # print and the data need no engine
    ready = {name for name in used if name in (PRINT, DATA) or known[name].ready}
    versions = {name: dict(known[name].versions) for name in used if name in known}
    missing = {name: f"{known[name].missing}; to mend: {known[name].mend}" for name in used - ready}
    return ready, versions, missing


def results_folder(out: str | Path | None) -> Path:
    """Return the folder of the records, which can be written to.

    Raises
    ------
    OutputError
        Where it cannot.
    """
    if out is not None:
        return output_folder(Path(out) / "results")
    from platformdirs import user_cache_path

    return output_folder(user_cache_path("bridge") / "validate")
