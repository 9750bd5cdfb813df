"""The tables of a report on fits: rows of text, headings first, the scale beside every number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from bridge import quantities
from bridge.criteria import criteria as make_criteria
from bridge.design_of import design_of
from bridge.errors import RequestError
from bridge.result import Result
from bridge.summary import digits

Rows = list[list[str]]
#: Of groups the first and the last are shown.
_SHOWN = 5


def data_rows(result: Result) -> Rows:
    """Return what is said of the data."""
    design = design_of(result)
    rows = [["what", "number"], ["rows", f"{result.n_obs:,}"]]
    rows.append(["rows dropped for missing values", f"{result.dropped_rows:,}"])
    if result.spec.group is not None:
        size = np.bincount(design.group)
        least, middle, most = size.min(), np.median(size), size.max()
        rows.append([f"groups ({result.spec.group})", f"{result.n_groups:,}"])
        rows.append(["rows of a group: least, median, most", f"{least}, {middle:g}, {most}"])
    y = design.y
    rows.append(
        [f"{result.spec.outcome}: mean, SD", f"{digits(y.mean())}, {digits(y.std(ddof=1))}"]
    )
    rows.append([f"{result.spec.outcome}: least, most", f"{digits(y.min())}, {digits(y.max())}"])
    return rows


def estimate_rows(table: pd.DataFrame, labels: Sequence[str]) -> Rows:
    """Return estimates of engines side by side, errors in brackets."""
    rows = [["parameter", "scale", *(label.replace("\n", " ") for label in labels)]]
    for _, row in table.iterrows():
        cells = []
        for label in labels:
            value, error = row[label], row[f"{label} se"]
            of_error = "" if pd.isna(error) else f" ({digits(error)})"
            cells.append("" if pd.isna(value) else digits(value) + of_error)
        rows.append([str(row["parameter"]), str(row["scale"]), *cells])
    return rows


def own_estimates(result: Result) -> Rows:
    """Return the estimates of one fit, with intervals."""
    rows = [["parameter", "scale", "estimate", _spread(result), "2.5%", "97.5%"]]
    for _, row in result.estimates.iterrows():
        numbers = [digits(row[name]) for name in ("estimate", "se", "lower", "upper")]
        rows.append([str(row["parameter"]), str(row["scale"]), *numbers])
    return rows


def convergence_rows(results: Sequence[Result], labels: Sequence[str]) -> Rows:
    """Return how each fit went."""
    rows = [
        ["engine", "method", "largest R-hat", "smallest ESS (bulk)", "divergences",
         "log-likelihood", "seconds"],
    ]  # fmt: skip
    for result, label in zip(results, labels, strict=True):
        table = result.estimates
        sampled = result.method == "posterior"
        r_hat = digits(table["r_hat"].max()) if sampled else ""
        ess = f"{table['ess_bulk'].min():.0f}" if sampled else ""
        rows.append(
            [label, result.method, r_hat, ess, _divergences(result),
             digits(result.ml["loglik"]) if "loglik" in result.ml else "",
             f"{sum(result.seconds.values()):.1f}"]
        )  # fmt: skip
    return rows


def _divergences(result: Result) -> str:
    from bridge import arviz_compat

    groups = arviz_compat.groups_of(result.idata)
    if "sample_stats" not in groups or "diverging" not in groups["sample_stats"]:
        return ""
    return str(int(groups["sample_stats"]["diverging"].sum()))


def criteria_rows(
    results: Sequence[Result],
    labels: Sequence[str],
    which: Sequence[str],
    tell: Callable[[str], None],
) -> tuple[Rows, list[str]]:
    """Return information criteria of every fit, and what must be known of them."""
    rows = [["engine", "criterion", "scale", "likelihood", "estimate", "SE over units",
             "Monte Carlo SE"]]  # fmt: skip
    notes: list[str] = []
    for result, label in zip(results, labels, strict=True):
        if result.method != "posterior":
            for name in ("deviance", "aic", "bic"):
                if result.ml:
                    rows.append(
                        [label, name.upper() if name != "deviance" else name, "deviance",
                         "maximised", digits(getattr(result, name)), "", ""]
                    )  # fmt: skip
            continue
        if not which:
            continue
        tell(f"criteria of {label}")
        try:
            found = make_criteria(result, which, progress=False)
        except RequestError as error:
            notes.append(f"{label}: {error}")
            continue
        for _, row in found.table.iterrows():
            errors = ["" if pd.isna(row[e]) else digits(row[e]) for e in ("se", "mc_error")]
            words = [str(row[word]) for word in ("criterion", "scale", "likelihood")]
            rows.append([label, *words, digits(row["estimate"]), *errors])
        notes += [f"{label}: {note}" for note in found.notes]
    return rows, notes


#: Title and function of every table of quantities.
_TABLES: tuple[tuple[str, Callable[[Result], pd.DataFrame]], ...] = (
    ("Level-1 variance in the population of groups", quantities.level1_variance),
    ("Shares of variance", quantities.variance_partition),
    ("Means of groups", quantities.group_mean_range),
    ("Gap from the 10th to the 90th percentile of outcomes", quantities.outcome_gap),
    ("Ratios of level-1 variances", quantities.variance_ratios),
)


def quantity_tables(result: Result) -> list[dict[str, object]]:
    """Return every table of quantities of one fit, or why it cannot be had."""
    spread = _spread(result)
    plain, ends = partial(_plain, spread=spread), partial(_ends, spread=spread)
    found = [_table(title, partial(function, result), plain) for title, function in _TABLES]
    for quantity in ("mean", "variance"):
        title = f"Groups with the largest and the smallest {quantity}"
        found.append(_table(title, partial(quantities.groups, result, of=quantity), ends))
    return found


def _spread(result: Result) -> str:
    """Return what the error beside an estimate is."""
    return "posterior SD" if result.method == "posterior" else "SE"


def _table(
    title: str,
    make: Callable[[], pd.DataFrame],
    rows_of: Callable[[pd.DataFrame], tuple[Rows, int]],
) -> dict[str, object]:
    try:
        rows, text = rows_of(make())
    except RequestError as error:
        return {"title": title, "rows": [], "text": 0, "why": str(error)}
    return {"title": title, "rows": rows, "text": text, "why": ""}


_NUMBERS = ("estimate", "se", "lower", "upper")


def _plain(frame: pd.DataFrame, spread: str) -> tuple[Rows, int]:
    words = [name for name in frame.columns if name not in (*_NUMBERS, "method", "note")]
    if "note" in frame and frame["note"].any():
        words.append("note")
    rows = [[*words, "estimate", spread, "2.5%", "97.5%"]]
    for _, row in frame.iterrows():
        rows.append([*(str(row[w]) for w in words), *(digits(row[n]) for n in _NUMBERS)])
    return rows, len(words)


def _ends(frame: pd.DataFrame, spread: str) -> tuple[Rows, int]:
    """Return the first and the last groups; a row of one cell says how many are between."""
    ordered = frame.sort_values("estimate", ascending=False)
    between = len(ordered) - 2 * _SHOWN
    if between > 0:
        ordered = pd.concat([ordered.head(_SHOWN), ordered.tail(_SHOWN)])
    rows = [["group", "scale", "n", "estimate", spread, "2.5%", "97.5%", "rank",
             "rank, 95%", "differs from the average group"]]  # fmt: skip
    for _, row in ordered.iterrows():
        ranks = [row[name] for name in ("rank", "rank_lower", "rank_upper")]
        known = not any(pd.isna(rank) for rank in ranks)
        rows.append(
            [str(row["group"]), str(row["scale"]), str(row["n"]),
             *(digits(row[n]) for n in _NUMBERS),
             f"{ranks[0]:.0f}" if known else "<NA>",
             f"{ranks[1]:.0f} to {ranks[2]:.0f}" if known else "<NA>",
             "<NA>" if pd.isna(row["differs"]) else ("yes" if row["differs"] else "no")]
        )  # fmt: skip
    if between > 0:
        rows.insert(1 + _SHOWN, [f"… {between:,} more between"])
    return rows, 2
