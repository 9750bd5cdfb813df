"""Time engine stan against brms: same data, same priors, same run.

    .venv/bin/python validation/benchmarks/stan_vs_brms.py [KEY ...]

fits each model (or those named) with both engines, two chains of 1,000 warm-up and 1,000 kept
draws side by side, and prints the smallest bulk effective sample size over gamma, delta, the
variances and the correlations by second of sampling, compilation apart. The table is written to
stan_vs_brms.md beside this file when every model was asked for.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import bridge
from bridge.result import Result

RECORD = Path(__file__).resolve().with_suffix(".md")
SETTINGS = {"chains": 2, "warmup": 1000, "draws": 1000, "seed": 1, "cores": 2}


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes
    ----------
    title : str
        Data and model.
    data : str
        A data set of the package.
    spec : ModelSpec
        The model.
    times : float
        How many times brms's rate is to be reached.
    """

    title: str
    data: str
    spec: bridge.ModelSpec
    times: float


_WITHIN = "I(ses - meanses)"
ROWS = {
    "hsb1": Row(
        "HSB, Model 1 (group-level variance function)",
        "hsb",
        bridge.ModelSpec(
            "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
        ),
        25,
    ),
    "hsb4": Row(
        "HSB, Model 4 (student-level variance function)",
        "hsb",
        bridge.ModelSpec(
            f"mathach ~ (sector + meanses) * {_WITHIN} + (1 + {_WITHIN} | s | school)",
            f"~ sector * {_WITHIN} + (1 + {_WITHIN} | s | school)",
        ),
        10,
    ),
    "exam6": Row(
        "exam, Model 6 (student-level variance function)",
        "exam",
        bridge.ModelSpec(
            "normexam ~ 1 + standlrt + girl + (1 + standlrt | s | school)",
            "~ 1 + standlrt + girl + (1 + standlrt | s | school)",
        ),
        10,
    ),
}


def rate(result: Result) -> tuple[float, str, float]:
    """Return the smallest bulk ESS, whose it is, and that by second of sampling."""
    ess = result.estimates.set_index("parameter")["ess_bulk"].astype(float)
    return float(ess.min()), str(ess.idxmin()), float(ess.min() / result.seconds["sampling"])


def measured(row: Row) -> list[str]:
    """Fit a model with both engines and return the cells of its row."""
    data = bridge.datasets.load(row.data)
    cells, rates = [row.title], []
    for engine in ("stan", "brms"):
        result = bridge.fit(row.spec, data, engine, **SETTINGS)
        smallest, whose, by_second = rate(result)
        rates.append(by_second)
        cells += [
            f"{smallest:.0f} ({whose})",
            f"{result.seconds['sampling']:.1f}",
            f"{result.seconds['compile']:.0f}",
            f"{by_second:.1f}",
        ]
    ratio = rates[0] / rates[1]
    verdict = "met" if ratio >= row.times else "NOT MET"
    return [*cells, f"{ratio:.1f} of {row.times:g}, {verdict}"]


def main(keys: list[str]) -> None:
    """Measure and print; write the table where all was measured."""
    chosen = keys or list(ROWS)
    head = ["data and model"]
    for engine in ("stan", "brms"):
        head += [f"{engine}: smallest ESS", "sampling, s", "compile, s", "ESS a second"]
    lines = [
        "# stan against brms",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; processors: {os.cpu_count()}, "
        f"{platform.machine()}; load at the start {os.getloadavg()[0]:.2f}",
        f"- Settings: {SETTINGS}; the priors are the same.",
        "",
        f"| {' | '.join([*head, 'ratio'])} |",
        f"| {' | '.join('---' for _ in [*head, ''])} |",
    ]
    for key in chosen:
        lines.append(f"| {' | '.join(measured(ROWS[key]))} |")
        sys.stdout.write(f"{lines[-1]}\n")
        sys.stdout.flush()
    sys.stdout.write("\n".join(lines) + "\n")
    if not keys:
        RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
