"""A result as text, the scale beside every number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from bridge.result import Result
    from bridge.spec import ModelSpec

_COMPONENTS = {
    "mean": "Mean function",
    "variance": "Log-variance function (level 1)",
    "level2": "Level 2",
}


def counted(number: int, word: str) -> str:
    """Write how many of a thing there are.

    Examples
    --------
    >>> counted(1, "group"), counted(1200, "row")
    ('1 group', '1,200 rows')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def digits(value: Any, places: int = 4) -> str:
    """Write a number to some significant digits, ``<NA>`` where there is none.

    Examples
    --------
    >>> digits(12.34567), digits(0.000123456), digits(None)
    ('12.346', '0.00012346', '<NA>')
    """
    if value is None or pd.isna(value):
        return "<NA>"
    size = abs(float(value))
    if size == 0 or 0.001 <= size < 1e6:
        return f"{float(value):.3f}" if size >= 1 or size == 0 else f"{float(value):.{places}f}"
    return f"{float(value):.{places + 1}g}"


def aligned(rows: list[list[str]], left: int = 1) -> list[str]:
    """Return rows in columns, the first ``left`` of them aligned left and the others right."""
    # a line break in a label would break the table
    rows = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def summary_text(result: Result) -> str:
    """Return what was fitted, how it went, and every estimate with its scale."""
    lines = [*_head(result), ""]
    has_draws = result.method == "posterior"
    names = ["estimate", "se", "lower", "upper"]
    heads = ["mean", "SD", "2.5%", "97.5%"] if has_draws else ["estimate", "SE", "2.5%", "97.5%"]
    if has_draws:
        names, heads = [*names, "ess_bulk", "r_hat"], [*heads, "ESS", "R-hat"]
    rows = [["", "scale", *heads]]
    for component, title in _COMPONENTS.items():
        part = result.estimates[result.estimates["component"] == component]
        if len(part):
            rows.append([title, *("" for _ in rows[0][1:])])
        for _, row in part.iterrows():
            cells = [_cell(name, row[name]) for name in names]
            rows.append([f"  {row['parameter']}", row["scale"], *cells])
    lines += aligned(rows, left=2)
    notes: dict[str, list[str]] = {}
    for parameter, note in zip(
        result.estimates["parameter"], result.estimates["note"], strict=True
    ):
        if note:
            notes.setdefault(note, []).append(parameter)
    lines += (
        ["", *(f"Note ({_named(where, result)}): {note}." for note, where in notes.items())]
        if notes
        else []
    )
    lines += ["", *(f"Warning: {said}" for said in result.warnings)] if result.warnings else []
    return "\n".join(lines)


def _named(where: list[str], result: Result) -> str:
    if len(where) > 1 and len(where) == len(result.estimates):
        return "all estimates"
    mean = result.estimates.loc[result.estimates["component"] == "mean", "parameter"]
    if len(where) > 1 and where == list(mean):
        return "all gamma"
    return ", ".join(where)


def _cell(name: str, value: Any) -> str:
    if name == "ess_bulk":
        return "<NA>" if pd.isna(value) else f"{value:.0f}"
    return digits(value)


def _head(result: Result) -> list[str]:
    spec = result.spec
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    groups = f"groups ({spec.group}): {result.n_groups}" if spec.group else "no groups"
    lines = [
        f"{spec.mean}",
        f"log variance {spec.variance}",
        *_further(spec),
        f"Engine: {result.engine} ({versions}); {method_words(result)}",
        f"Rows: {result.n_obs}; {groups}; dropped for missing values: {result.dropped_rows}",
    ]
    if result.method in ("ML", "REML"):
        reml = result.method == "REML"
        lines.append(
            f"{'restricted ' * reml}log-likelihood {result.loglik:.4f}; "
            f"{'REML criterion' if reml else 'deviance'} {result.deviance:.4f}; "
            f"AIC {result.aic:.2f}; BIC {result.bic:.2f}"
        )
    return lines


def _further(spec: ModelSpec) -> list[str]:
    """Return what a spec asks for beyond its two functions."""
    lines = []
    if isinstance(spec.level2, str):
        lines.append(f"level-2 log variances and atanh correlations {spec.level2}")
    for key, text in ({} if isinstance(spec.level2, str) else spec.level2 or {}).items():
        lines.append(f"{'log' if key.startswith('tau') else 'atanh'} {key} {text}")
    if spec.classes is not None:
        lines.append(f"group effects: {spec.classes} latent classes")
    if spec.association is not None:
        unit = "SDs" if spec.latent_scale == "standardised" else "outcome units"
        lines.append(f"mean effects in the log variance: {spec.association}, in {unit}")
    return lines


def method_words(result: Result) -> str:
    """Say what the estimates of a result are, and of a posterior how it was drawn."""
    if result.method != "posterior":
        words = {
            "ML": "maximum likelihood (ML)",
            "REML": "restricted maximum likelihood (REML)",
            "two-step": "two-step estimates (Raudenbush & Bryk 1987)",
        }
        robust = ", cluster-robust standard errors" if result.settings.get("robust") else ""
        return words[result.method] + robust
    s = result.settings
    return (
        f"posterior of {counted(s['chains'], 'chain')} of {s['warmup']} warm-up and {s['draws']} "
        f"kept draws, seed {result.seed}"
    )
