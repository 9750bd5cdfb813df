"""What the R engines share: running a plan in the R worker."""

from __future__ import annotations

import re

from bridge.engines.base import Plan, Progress, RawFit
from bridge.engines.worker import shared

_ITERATION = re.compile(r"Chain\s*(\d+):?\s*Iteration:\s*(\d+)\s*/\s*(\d+)")


def run_r(plan: Plan, progress: Progress, *packages: str) -> RawFit:
    """Run the native call of a plan in the R worker, by the engine's own script.

    Parameters
    ----------
    plan : Plan
        What to run.
    progress : callable
        Told the share of iterations done.
    *packages : str
        The R packages whose versions go with the fit, the engine's first.

    Raises
    ------
    EngineNotInstalled
        Where R, rpy2 or a package is missing.
    EngineFailed, EngineTimeout
        Where R stopped or took too long.
    """
    chains = int(plan.options.get("chains") or 1)
    done: dict[str, float] = {}

    def on_output(line: str) -> None:
        match = _ITERATION.search(line)
        if match:
            done[match[1]] = int(match[2]) / int(match[3])
            progress(sum(done.values()) / chains, f"{plan.engine} sampling")
        elif "compil" in line.lower():
            progress(None, f"{plan.engine} compiling the program")

    progress(None, f"{plan.engine} starting")
    answer = shared("bridge.engines.r_worker", "R").call(
        "fit",
        {
            "script": plan.engine,
            "function": f"fit_{plan.engine}",
            "plan": {"native": plan.native, **plan.call["plan"]},
            "frame": plan.call["frame"],
        },
        timeout=plan.options.get("timeout"),
        on_output=on_output,
    )
    return RawFit(
        values=answer,
        versions={k: str(answer["versions"][k]) for k in ("R", *packages, "rpy2")},
        warnings=tuple(dict.fromkeys(answer["warnings"])),
        messages=tuple(dict.fromkeys(answer["messages"])),
        seconds={"total": float(answer["seconds"])},
    )
