"""Time one gradient of engine nuts by the number of rows.

    .venv/bin/python validation/benchmarks/nuts_cost.py

takes 1,000 to 1,000,000 rows, 50 a group, with effects of the mean and of the log variance and a
predictor in both, and writes nuts_cost.md beside this file. How fast nuts draws beside brms is
measured by stan_vs_brms.py.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

import bridge

RECORD = Path(__file__).resolve().with_suffix(".md")
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def cost() -> list[str]:
    """Return the time of a gradient by the number of rows."""
    from bridge.nuts.calling import Density
    from bridge.nuts.points import starting_points

    spec = bridge.ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + x + (1 | s | g)")
    lines = []
    for size in SIZES:
        rng = np.random.default_rng(1)
        g = np.arange(size) // 50
        x, u = rng.normal(size=size), rng.normal(size=(3, size // 50))
        sigma = np.exp(0.5 * (0.2 * x + 0.4 * u[2, g]))
        y = 1 + 0.5 * x + u[0, g] + 0.3 * u[1, g] * x + sigma * rng.normal(size=size)
        call = spec.translate("nuts", pd.DataFrame({"y": y, "x": x, "g": g}), seed=1).call
        density = Density(call["problem"])
        point = starting_points(call["problem"], call["start"], "near")(1)
        density(point)
        times = []
        for _ in range(max(5, 200_000 // size)):
            began = time.perf_counter()
            density(point)
            times.append(time.perf_counter() - began)
        least = min(times)
        lines.append(f"{size:,} rows: {1e6 * least:.0f} us, {1e9 * least / size:.1f} ns a row")
    return lines


def main() -> None:
    """Measure, print and write the record."""
    lines = [
        "# nuts: the cost of a gradient by rows",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; processors: {os.cpu_count()}, "
        f"{platform.machine()}; load at the start {os.getloadavg()[0]:.2f}",
        *(f"- {line}" for line in cost()),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
