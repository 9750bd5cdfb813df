"""Time every quantity on the simulated London data: 465 schools, 71,321 students, 4,000 draws.

    .venv/bin/python validation/benchmarks/quantities.py

fits Model 4 (random slopes) with nuts, four chains of 1,000 draws, then prints the seconds of each
function of `bridge.quantities` and the most memory the process held; quantities.md beside this file
is the table. The bounds are 20 s each and 2 GB.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bridge
from bridge import quantities

RECORD = Path(__file__).resolve().with_suffix(".md")
SECONDS, GIGABYTES = 20.0, 2.0


def main() -> None:
    """Measure, print and write the table."""
    data = bridge.datasets.simulate("london", seed=1, model=4)
    options = {"chains": 4, "draws": 1000, "seed": 1, "cores": 2}
    result = bridge.fit(bridge.london.spec(4), data, "nuts", **options)
    before = bridge.fit(bridge.london.spec(1), data, "nuts", **options)
    scores = {"score11": [-2, -1, 0, 1, 2]}
    calls: dict[str, Callable[[], Any]] = {
        "level1_variance": lambda: quantities.level1_variance(result, at=scores),
        "group_mean_range": lambda: quantities.group_mean_range(result, at=scores),
        "outcome_gap": lambda: quantities.outcome_gap(result, at=scores),
        "variance_partition": lambda: quantities.variance_partition(result, at=scores),
        "variance_ratios": lambda: quantities.variance_ratios(result),
        "groups": lambda: quantities.groups(result),
        'groups(at="own")': lambda: quantities.groups(result, at="own"),
        "shrinkage": lambda: quantities.shrinkage(result),
        "changes": lambda: quantities.changes(before, result),
        "group_changes": lambda: quantities.group_changes(before, result),
        "effect_changes": lambda: quantities.effect_changes(before, result, "u:Intercept"),
        "residuals": lambda: quantities.residuals(result),
        "residuals(level=2)": lambda: quantities.residuals(result, level=2),
        'curves(by="group")': lambda: quantities.curves(result, "score11", by="group"),
        'curves(of="variance", by="group")': lambda: quantities.curves(
            result, "score11", of="variance", by="group"
        ),
        "redrawn_variances": lambda: quantities.redrawn_variances(result, "score11"),
    }
    lines = [
        "# Quantities on data of London's size",
        "",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {result.n_groups} groups, "
        f"{result.n_obs:,} rows, "
        f"{options['chains'] * options['draws']:,} draws; 2 processors",
        "",
        "| quantity | seconds | rows | bound |",
        "| --- | --- | --- | --- |",
    ]
    for name, call in calls.items():
        started = time.perf_counter()
        found = call()
        seconds = time.perf_counter() - started
        met = "met" if seconds < SECONDS else "NOT MET"
        lines.append(f"| {name} | {seconds:.2f} | {len(found)} | {SECONDS:g} s, {met} |")
        sys.stdout.write(f"{lines[-1]}\n")
    # of the whole process, the fits and the data among it
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    met = "met" if most < GIGABYTES else "NOT MET"
    lines += ["", f"Most memory held, fits included: {most:.2f} GB of {GIGABYTES:g}: {met}."]
    sys.stdout.write(f"{lines[-1]}\n")
    RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
