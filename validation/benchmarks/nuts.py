"""Time engine nuts: against brms in the same run, on simulated London, and by the number of rows.

    .venv/bin/python validation/benchmarks/nuts.py [hsb1 hsb4 exam6 london3 london5 cost]

fits each model named (or all). Against brms: two chains of 1,000 kept draws side by side, each
engine with its own warm-up, the smallest bulk effective sample size over gamma, delta, the
variances and the correlations by second of sampling with warm-up, compilation apart. London: four
chains, every effective sample size over 400, R-hat under 1.01. Cost: the time of one gradient from
1,000 to 1,000,000 rows, 50 a group. The table is written to nuts.md beside this file when
everything was asked for.
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

sys.path.insert(0, str(Path(__file__).resolve().parent))
from stan_vs_brms import ROWS, rate

import bridge
from bridge import london

RECORD = Path(__file__).resolve().with_suffix(".md")
TIMES = {"hsb1": 300, "hsb4": 40, "exam6": 40}
MINUTES = {"london3": 3, "london5": 10}
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SETTINGS = {"chains": 2, "draws": 1000, "seed": 1, "cores": 2}


def against_brms(key: str) -> str:
    """Fit a model with both engines and return what was measured."""
    row, rates, said = ROWS[key], [], []
    data = bridge.datasets.load(row.data)
    for engine in ("nuts", "brms"):
        result = bridge.fit(row.spec, data, engine, **SETTINGS)
        smallest, whose, by_second = rate(result)
        rates.append(by_second)
        said.append(
            f"{engine} {smallest:.0f} ({whose}) in {result.seconds['sampling']:.2f} s, "
            f"{by_second:.1f} a second"
        )
    ratio = rates[0] / rates[1]
    verdict = "met" if ratio >= TIMES[key] else "NOT MET"
    return f"{row.title}: {'; '.join(said)}; ratio {ratio:.0f} of {TIMES[key]}, {verdict}"


def on_london(key: str) -> str:
    """Fit a London model and return what was measured."""
    model = int(key[-1])
    began = time.perf_counter()
    result = bridge.fit(london.spec(model), london.simulate(1, model), "nuts", seed=1, cores=2)
    seconds = time.perf_counter() - began
    frame = result.estimates
    ess, r_hat = float(frame["ess_bulk"].min()), float(frame["r_hat"].max())
    good = ess > 400 and r_hat < 1.01 and seconds < 60 * MINUTES[key]
    return (
        f"simulated London, Model {model}, {result.n_obs:,} students: smallest ESS {ess:.0f}, "
        f"largest R-hat {r_hat:.4f}, {seconds:.0f} s with the summary ({MINUTES[key]} minutes "
        f"allowed), {'met' if good else 'NOT MET'}"
    )


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


def main(keys: list[str]) -> None:
    """Measure and print; write the record where all was measured."""
    everything = [*TIMES, *MINUTES, "cost"]
    lines = [
        "# nuts, measured",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; processors: {os.cpu_count()}, "
        f"{platform.machine()}; load at the start {os.getloadavg()[0]:.2f}",
        f"- Against brms: {SETTINGS}; the priors are the same.",
        "",
    ]
    sys.stdout.write("\n".join(lines))
    for key in keys or everything:
        if key == "cost":
            found = [f"- A gradient: {line}" for line in cost()]
        else:
            found = [f"- {against_brms(key) if key in TIMES else on_london(key)}"]
        sys.stdout.write("\n".join(["", *found]))
        sys.stdout.flush()
        lines += found
    if not keys or set(everything) <= set(keys):
        RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
