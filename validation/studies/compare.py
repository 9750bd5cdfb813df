"""Lay the studies here beside Table 1 of Leckie et al. (2014), number by number.

    bridge simulate validation/studies/table1.toml --out studies/table1
    bridge simulate validation/studies/large.toml --out studies/large
    .venv/bin/python validation/studies/compare.py studies/table1 studies/large

writes table1.md beside this file, and the studies' tidy tables as table1.csv and large.csv; from
these it is written again where no folders are given. The exit status is 1 where a number that is
compared is not within its bound.

Source: Leckie, French, Charlton & Browne (2014), J. Educ. Behav. Stat. 39, section 4 and Table 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import bridge

HERE = Path(__file__).resolve().parent
CASE = "leckie2014/simulation"
#: Of print.
REPLICATIONS = 1000
#: Monte Carlo errors that a number may be off.
ERRORS = 3.5
MODELS = {"model_a": "A", "main": "B"}
#: What the paper calls a cell -> that of the study's table, and what print multiplies it by.
CELLS = {
    "mean": ("mean", 1), "sd": ("sd", 1), "se": ("mean_se", 1), "coverage": ("coverage", 100)
}  # fmt: skip
#: Section 4 on 250 schools of 100 students: Model A's coverage in percent.
LARGE = {"delta[w]": 46, "delta[x]": 70, "delta[w:x]": 71}


def printed() -> pd.DataFrame:
    """Return Table 1: parameter, model, cell, value, half_digit; coverage in percent."""
    case = bridge.published(CASE)
    rows = []
    for name, half, value in case.frame[["parameter", "half_digit", "value"]].to_numpy():
        rule = case.quantities[name]
        if rule["compute"] == "study":
            model = MODELS[rule["fit"]]
            rows.append((rule["of"], model, rule["what"], float(value), float(half)))
    return pd.DataFrame(rows, columns=["parameter", "model", "cell", "value", "half_digit"])


def printed_errors(cells: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return the Monte Carlo errors of print by parameter, model and cell.

    Of a mean, an SD and a coverage they follow from print; that of a mean standard error needs the
    spread of standard errors, which is not printed, and is left to the study.
    """
    value = {(p, m, c): v for p, m, c, v in cells.iloc[:, :4].to_numpy()}
    found = {}
    for p, m, c in value:
        sd, share = value[p, m, "sd"], value[p, m, "coverage"] / 100
        found[p, m, c] = {
            "mean": sd / np.sqrt(REPLICATIONS),
            "sd": sd / np.sqrt(2 * REPLICATIONS),
            "se": np.nan,
            "coverage": 100 * np.sqrt(share * (1 - share) / REPLICATIONS),
        }[c]
    return found


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return every printed number beside a study's.

    Parameters
    ----------
    table : pandas.DataFrame
        The study's, of both models.

    Returns
    -------
    pandas.DataFrame
        parameter, model, engine, cell, printed, ours, error (Monte Carlo, of ours), bound (3.5
        errors of both sides, which is root 2 times print's where there are as many replications,
        plus half a digit), judged (a posterior's numbers; of maximum likelihood mean, SD and
        coverage of gamma and delta) and within.

    Notes
    -----
    Variances by maximum likelihood are biased downwards, and its standard errors, which do
    not carry the uncertainty about T, are below posterior SDs: print's numbers are of posteriors,
    so that these are laid beside them and not judged.
    """
    cells = printed()
    errors = printed_errors(cells)
    rows = []
    for own in table.to_dict("records"):
        part = cells[(cells["parameter"] == own["parameter"]) & (cells["model"] == own["model"])]
        for cell in part.to_dict("records"):
            column, times = CELLS[cell["cell"]]
            ours, error = times * own[column], times * own[f"{column}_mc"]
            of_print = errors[own["parameter"], own["model"], cell["cell"]]
            if np.isnan(of_print):
                of_print = error * np.sqrt(own["n"] / REPLICATIONS)
            both = np.hypot(1.0, np.sqrt(REPLICATIONS / own["n"])) * of_print
            bound = ERRORS * both + cell["half_digit"]
            rows.append(
                {
                    "parameter": own["parameter"], "model": own["model"], "engine": own["engine"],
                    "cell": cell["cell"], "printed": cell["value"], "ours": ours, "error": error,
                    "bound": bound,
                    "judged": _judged(own["engine"], own["parameter"], cell["cell"]),
                    "within": abs(ours - cell["value"]) <= bound,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _judged(engine: str, parameter: str, cell: str) -> bool:
    """Tell whether a number can be held against print's, which is of a posterior."""
    return engine != "agq" or (not parameter.startswith("tau") and cell != "se")


def compared_large(table: pd.DataFrame) -> pd.DataFrame:
    """Return the coverage of Model A in large data beside the text's, as `compared` does."""
    rows = []
    for own in table[table["model"] == "A"].to_dict("records"):
        value = LARGE.get(own["parameter"])
        if value is None:
            continue
        p = value / 100
        error = 100 * np.sqrt(p * (1 - p) * (1 / REPLICATIONS + 1 / own["n"]))
        ours, bound = 100 * own["coverage"], ERRORS * error + 0.5
        rows.append(
            {
                "parameter": own["parameter"], "model": "A", "engine": own["engine"],
                "cell": "coverage", "printed": float(value), "ours": ours,
                "error": 100 * own["coverage_mc"], "bound": bound, "judged": True,
                "within": abs(ours - value) <= bound,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


# --- the page ------------------------------------------------------------------------------
def lines_of(rows: pd.DataFrame) -> list[str]:
    """Return a comparison as a table in Markdown."""
    lines = [
        "| parameter | model | cell | printed | ours | MC error | bound | within |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows.itertuples(index=False):
        percent = row.cell == "coverage"
        written = "{:.1f}" if percent else "{:z.4f}"
        first = f"{row.printed:.0f}" if percent else f"{row.printed:z.3f}"
        cells = [first, *(written.format(x) for x in (row.ours, row.error, row.bound))]
        word = ("yes" if row.within else "NO") if row.judged else "not judged"
        lines.append(
            f"| {row.parameter} | {row.model} | {row.cell} | {' | '.join(cells)} | {word} |"
        )
    return lines


def verdict(rows: pd.DataFrame) -> str:
    """Say how many of the numbers that are compared are within their bounds."""
    judged = rows[rows["judged"]]
    wrong = judged[~judged["within"].astype(bool)]
    said = f"{len(judged) - len(wrong)} of {len(judged)} numbers are within their bounds"
    if wrong.empty:
        return f"{said}: met."
    named = "; ".join(f"{p}, Model {m}, {c}" for p, m, c in wrong.iloc[:, [0, 1, 3]].to_numpy())
    return f"{said}. NOT MET: {named}."


def counts(table: pd.DataFrame, engine: str) -> str:
    """Say how many fits a table is of."""
    own = table[table["engine"] == engine].drop_duplicates("model")
    return "; ".join(
        f"Model {r.model}: {r.replications - r.failed:,} of {r.replications:,} fits"
        for r in own.itertuples(index=False)
    )


def page(table: pd.DataFrame, large: pd.DataFrame) -> tuple[str, bool]:
    """Return the page, and whether all that is compared is within its bounds."""
    rows, rows_large = compared(table), compared_large(large)
    lines = [
        "# Table 1 of Leckie et al. (2014) beside bridge's",
        "",
        "Written by `validation/studies/compare.py` from the studies table1.toml and large.toml. A "
        "cell is the mean or SD of the estimates, the mean standard error (posterior SD), or the "
        "percentage of 95% intervals that hold the true value; of posteriors the estimate is the "
        "mean. The bound is 3.5 Monte Carlo errors of both sides together (root 2 times print's: "
        "SD / sqrt(1000) of a mean, SD / sqrt(2000) of an SD, sqrt(p (1 - p) / 1000) of a share; "
        "of a mean standard error the study's own) and half of print's last digit. Model A leaves "
        "v out, and its delta[Intercept] is held against -0.611 as in the paper.",
    ]
    for engine, own in rows.groupby("engine", sort=False):
        posterior = "" if engine != "agq" else (
            " Print's numbers are of posteriors under an inverse-Wishart prior: variances by "
            "maximum likelihood are biased downwards, and standard errors, which do not carry the "
            "uncertainty about T, are below posterior SDs; both are shown, not judged."
        )  # fmt: skip
        lines += ["", f"## {engine}", "", f"{counts(table, str(engine))}.{posterior}", ""]
        lines += [*lines_of(own), "", verdict(own)]
    lines += [
        "",
        "## Large data: 250 schools of 100 students, Model A",
        "",
        f"The text of section 4 prints three coverages. {counts(large, 'agq')}.",
        "",
        *lines_of(rows_large),
        "",
        verdict(rows_large),
    ]
    both = pd.concat([rows, rows_large])
    return "\n".join(lines) + "\n", bool(both.loc[both["judged"], "within"].all())


def main(folders: Sequence[str]) -> int:
    """Read the studies, write the page, and say how it went."""
    names = ("table1", "large")
    if len(folders) not in (0, len(names)):
        raise SystemExit("Give the folders of both studies, table1 and large, or none.")
    for name, folder in zip(names, folders, strict=False):
        table = bridge.Study.load(folder).table()
        table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.6g")
    table, large = (pd.read_csv(HERE / f"{name}.csv") for name in names)
    text, good = page(table, large)
    (HERE / "table1.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
