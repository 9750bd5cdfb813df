"""Results side by side, the published table beside them, and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from bridge import pairs, verdicts
from bridge.errors import RequestError
from bridge.result import Result
from bridge.same_model import check_same_data, model_of, model_of_design
from bridge.summary import aligned, digits

if TYPE_CHECKING:
    from bridge.published_tables import PublishedTable

_OTHER_ESTIMATOR = (
    "Two-step estimates are near those of maximum likelihood and of a posterior, and are not the "
    "same: the distances are in `verdicts`, and none counts as agreement or difference."
)


@dataclass(frozen=True)
class Comparison:
    """Results side by side.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a parameter: parameter, scale, and for each result ``<label>`` and
        ``<label> se``; with a published table also ``published`` and ``published se``.
    verdicts : pandas.DataFrame
        One row a pair and parameter: first, second, parameter, distance, unit, verdict.
    logliks : pandas.DataFrame
        One row a pair of maximum-likelihood fits: first, second, difference, verdict.
    notes : tuple of str
        Independence of the engines, and what cannot be compared.
    printed : mapping
        Published numbers as printed, by parameter and column of the table.
    """

    table: pd.DataFrame
    verdicts: pd.DataFrame
    logliks: pd.DataFrame
    notes: tuple[str, ...]
    printed: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def agree(self) -> bool | None:
        """Whether no pair of engines differs (print is another matter); None without a verdict."""
        between = self.verdicts[self.verdicts["second"] != "published"]
        if between.empty:
            return None
        differ = (between["verdict"] == verdicts.DIFFER).any()
        return not (differ or (self.logliks["verdict"] == verdicts.DIFFER).any())

    def text(self) -> str:
        """Return the table, scales beside the numbers, and the verdicts in sentences."""
        labels = [c for c in self.table.columns[2:] if not c.endswith(" se")]
        tall = max(label.count("\n") for label in labels) + 1
        heads = [label.split("\n") for label in labels]
        rows = [
            ["", *(([""] * (tall - len(head)) + head)[line] for head in heads)]
            for line in range(tall)
        ]
        for _, row in self.table.iterrows():
            # the scale stands under the name, the error under the estimate
            rows.append([row["parameter"], *(self._cell(row, label) for label in labels)])
            rows.append(
                [f"  {row['scale']}", *(self._cell(row, f"{label} se") for label in labels)]
            )
        lines = [
            *aligned(rows),
            "",
            "In brackets: posterior SD or standard error, on the same scale.",
        ]
        return "\n".join([*lines, *self.sentences(), *self.notes])

    def _cell(self, row: pd.Series, column: str) -> str:
        if pd.isna(row[column]):
            return ""
        written = self.printed.get((row["parameter"], column), digits(row[column]))
        return f"({written})" if column.endswith(" se") else written

    def sentences(self) -> list[str]:
        """Return one sentence for each pair."""
        found = []
        for (first, second), part in self.verdicts.groupby(["first", "second"], sort=False):
            found.append(_sentence(str(first), str(second), part, self.logliks))
        return found

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def make_comparison(
    results: Sequence[Result], published: str | None = None, labels: Sequence[str] | None = None
) -> Comparison:
    """Compare results; see `bridge.compare`.

    Parameters
    ----------
    results : sequence of Result
        Of the same rows. Verdicts are given between results of the same model.
    published : str, optional
        The name of a published table.
    labels : sequence of str, optional
        Headings; by default the engines' names.

    Raises
    ------
    RequestError
        Where there is nothing to compare, or the outcomes differ.
    """
    for result in results:
        if not isinstance(result, Result):
            raise RequestError(
                f"bridge.compare takes results, not {type(result).__name__}; bridge.load reads a "
                "saved one."
            )
    if not results or (len(results) == 1 and published is None):
        raise RequestError("Nothing to compare: give two results, or one and a published table.")
    check_same_data(results)
    headings = list(labels) if labels else labels_of(results)
    found, logliks, notes = [], [], []
    for (a, first), (b, second) in combinations(list(zip(headings, results, strict=True)), 2):
        if model_of(first) != model_of(second):
            continue
        sides = pairs.side_of(first), pairs.side_of(second)
        found += [
            (a, b, parameter, verdict.distance, verdict.unit, verdict.verdict)
            for parameter, verdict in pairs.pair(*sides).items()
        ]
        gap = pairs.logliks(*sides)
        logliks += [(a, b, gap.distance, gap.verdict)] if gap is not None else []
        if pairs.two_step_alone(*sides):
            notes.append(_OTHER_ESTIMATOR)
        notes.append(pairs.independence(*sides))
    notes += _of_other_models(results)
    table = _table(headings, results)
    printed: dict[tuple[str, str], str] = {}
    if published is not None:
        more_pairs, table, printed, more_notes = _published(published, headings, results, table)
        found += more_pairs
        notes += more_notes
    columns = ["first", "second", "parameter", "distance", "unit", "verdict"]
    return Comparison(
        table,
        pd.DataFrame(found, columns=columns),
        pd.DataFrame(logliks, columns=["first", "second", "difference", "verdict"]),
        tuple(dict.fromkeys(notes)),
        printed,
    )


def _of_other_models(results: Sequence[Result]) -> list[str]:
    """Say where results are of different models, and what then stands beside each other."""
    if len({model_of(result) for result in results}) == 1:
        return []
    notes = ["Verdicts are given within a model; the results are of different models."]
    if len({_kind_of_functions(result) for result in results} - {None}) > 1:
        notes.append(
            "The level-2 functions are of correlations (rho) in one model and of partial "
            "correlations (pcor) in the other, so that kappa cannot be compared: compare "
            "result.level2(at=...), the covariance matrices at the same predictors."
        )
    return notes


def _kind_of_functions(result: Result) -> str | None:
    """Return whether a result's level-2 functions are of correlations or of partial ones."""
    kinds = {key.partition("[")[0] for key in result.level2_terms} & {"rho", "pcor"}
    return "/".join(sorted(kinds)) or None


def labels_of(results: Sequence[Result]) -> list[str]:
    """Return a heading for each result: its engine, told apart where there are two of one."""
    found: list[str] = []
    for result in results:
        name, number = result.engine, 1
        if result.method == "REML":
            name = f"{name} REML"
        base = name
        while name in found:
            number += 1
            name = f"{base} ({number})"
        found.append(name)
    return found


def _rows(result: Result) -> dict[str, dict[str, Any]]:
    return {row["parameter"]: row for row in result.estimates.to_dict("records")}


def _table(headings: Sequence[str], results: Sequence[Result]) -> pd.DataFrame:
    order: dict[str, str] = {}
    for component in ("mean", "variance", "level2"):
        for result in results:
            part = result.estimates[result.estimates["component"] == component]
            for parameter, scale in zip(part["parameter"], part["scale"], strict=True):
                order.setdefault(parameter, scale)
    table = pd.DataFrame({"parameter": list(order), "scale": list(order.values())}, dtype=object)
    for name, result in zip(headings, results, strict=True):
        known = _rows(result)
        for column, cell in ((name, "estimate"), (f"{name} se", "se")):
            values = [known[p][cell] if p in known else None for p in order]
            table[column] = pd.array([None if pd.isna(v) else v for v in values], dtype="Float64")
    return table


def _published(
    name: str, labels: Sequence[str], results: Sequence[Result], table: pd.DataFrame
) -> tuple[list[tuple[Any, ...]], pd.DataFrame, dict[tuple[str, str], str], list[str]]:
    """Lay a published table beside the results; verdicts for results of its model."""
    from bridge.design import make_design
    from bridge.published_data import data_of
    from bridge.published_tables import load

    case = load(name)
    design = make_design(case.model(), data_of(case))
    model, rows = model_of_design(design), len(design.y)
    value, spread = _printed(case, ("mean", "estimate")), _printed(case, ("sd", "se"))
    table = table.copy()
    printed: dict[tuple[str, str], str] = {}
    for column, known in (("published", value), ("published se", spread)):
        cells = [known[p]["value"] if p in known else None for p in table["parameter"]]
        table[column] = pd.array(cells, dtype="Float64")
        printed |= {(p, column): row["printed"] for p, row in known.items()}
    found: list[tuple[Any, ...]] = []
    for label, result in zip(labels, results, strict=True):
        if model_of(result) != model:
            continue
        for parameter, row in _rows(result).items():
            if parameter not in value:
                continue
            number, half = value[parameter]["value"], value[parameter]["half_digit"]
            has_sd = parameter in spread and _is_posterior(case)
            sd = float(spread[parameter]["value"]) if has_sd else None
            verdict = verdicts.printed(row, float(number), float(half), sd)
            found.append(
                (label, "published", parameter, verdict.distance, verdict.unit, verdict.verdict)
            )
    notes = [f"Published: {case.source}."]
    notes += [
        f"{label.replace(chr(10), ' ')} is of {result.n_obs} rows, print of {rows}."
        for label, result in zip(labels, results, strict=True)
        if result.n_obs != rows
    ]
    if not found:
        notes.append("No result is of the published model: no verdict about print.")
    return found, table, printed, notes


def _printed(case: PublishedTable, statistics: Sequence[str]) -> dict[str, dict[str, Any]]:
    rows = case.frame[case.frame["statistic"].isin(list(statistics))]
    return {row["parameter"]: row for row in rows.to_dict("records")}


def _is_posterior(case: PublishedTable) -> bool:
    return bool(case.settings.get("method", "posterior") == "posterior")


def _sentence(first: str, second: str, part: pd.DataFrame, logliks: pd.DataFrame) -> str:
    """Say in a sentence what the verdicts of one pair come to."""
    judged = [
        (row["parameter"], verdicts.Verdict(row["verdict"], row["distance"], row["unit"]))
        for row in part.to_dict("records")
    ]
    match = logliks[(logliks["first"] == first) & (logliks["second"] == second)]
    gap = float(match["difference"].iloc[0]) if len(match) else None
    said = (first.replace("\n", " "), second.replace("\n", " "))
    return pairs.sentence(*said, judged, gap, digits)
