"""Time one gradient of engine nuts by the number of rows.

    .venv/bin/python validation/benchmarks/nuts_cost.py [ROWS ...]

takes 1,000 to 1,000,000 rows (or those given), 50 a group, with effects of the mean and of the log
variance and a predictor in both, prints a table, and writes it to nuts_cost.md beside this file
where no rows were given. How fast nuts draws beside brms is measured by stan_vs_brms.py.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import bridge

RECORD = Path(__file__).resolve().with_suffix(".md")
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SPEC = bridge.ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + x + (1 | s | g)")


def seconds(size: int) -> float:
    """Return the least time of a gradient of so many rows."""
    from bridge.nuts.calling import Density
    from bridge.nuts.points import starting_points

    rng = np.random.default_rng(1)
    groups = -(-size // 50)
    g = np.arange(size) // 50
    x, u = rng.normal(size=size), rng.normal(size=(3, groups))
    sigma = np.exp(0.5 * (0.2 * x + 0.4 * u[2, g]))
    y = 1 + 0.5 * x + u[0, g] + 0.3 * u[1, g] * x + sigma * rng.normal(size=size)
    call = SPEC.translate("nuts", pd.DataFrame({"y": y, "x": x, "g": g}), seed=1).call
    density = Density(call["problem"])
    point = starting_points(call["problem"], call["start"], "near")(1)
    density(point)
    times = []
    for _ in range(max(5, 200_000 // size)):
        began = time.perf_counter()
        density(point)
        times.append(time.perf_counter() - began)
    return min(times)


def table(sizes: Sequence[int]) -> list[str]:
    """Return a row for each size, with how much rows and time grow from the row before."""
    lines = ["| rows | a gradient, us | ns a row | rows, times | time, times |"]
    lines.append("| ---: | ---: | ---: | ---: | ---: |")
    before: tuple[int, float] | None = None
    for size in sizes:
        took = seconds(size)
        growth = ["", ""]
        if before is not None:
            growth = [f"{size / before[0]:.1f}", f"{took / before[1]:.1f}"]
        cells = [f"{size:,}", f"{1e6 * took:.0f}", f"{1e9 * took / size:.1f}", *growth]
        lines.append(f"| {' | '.join(cells)} |")
        before = size, took
    return lines


def main(sizes: Sequence[int] = ()) -> None:
    """Measure and print; write the record where all sizes were measured."""
    lines = [
        "# nuts: the cost of a gradient by rows",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; processors: {os.cpu_count()}, "
        f"{platform.machine()}; load at the start {os.getloadavg()[0]:.2f}",
        "- The least of at least five gradients, one thread; 50 rows a group; effects u:Intercept, "
        "u:x and v:Intercept, correlated.",
        "",
        *table(sizes or SIZES),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    if not sizes:
        RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=int, help="1,000 to 1,000,000 by default")
    main(parser.parse_args().rows)
