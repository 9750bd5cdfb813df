"""`import bridge` is quick, starts nothing, and exports what it says."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import types
from pathlib import Path

import pytest

import bridge

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "rpy2",
    "stan",
    "cmdstanpy",
    "arviz",
    "xarray",
    "formulaic",
    "matplotlib",
    "pandas",
    "scipy",
    "numba",
    "nutpie",
    "statsmodels",
)
PROBE = f"""
import os, sys
before = os.times()
import bridge
after = os.times()
print(after.user + after.system - before.user - before.system)
print(*[name for name in {HEAVY!r} if name in sys.modules])
dir(bridge)
import bridge.cli
never = ("rpy2", "stan", "cmdstanpy", "arviz", "matplotlib", "numba")
print(*[name for name in never if name in sys.modules])
"""


def run(code: str) -> list[str]:
    """Return the lines a fresh Python prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split("\n")


def test_importing_is_quick_and_light() -> None:
    probes = [run(PROBE) for _ in range(3)]
    assert statistics.median(float(lines[0]) for lines in probes) < 0.5
    for lines in probes:
        assert lines[1:3] == ["", ""]


def test_exported_names() -> None:
    assert bridge.__all__ == [
        "ModelSpec",
        "Priors",
        "Result",
        "SimulationDesign",
        "Study",
        "by_group",
        "calibrate",
        "compare",
        "criteria",
        "criteria_difference",
        "datasets",
        "errors",
        "fit",
        "likelihood_ratio",
        "load",
        "london",
        "models",
        "plots",
        "predict",
        "prior_sensitivity",
        "published",
        "quantities",
        "report",
        "simulate",
        "simulation_study",
        "spurious_precision",
        "validate",
        "wald",
    ]
    assert sorted(dir(bridge)) == sorted([*bridge.__all__, "__version__"])
    for name in bridge.__all__:
        value = getattr(bridge, name)
        if isinstance(value, types.ModuleType):
            assert value.__name__ == f"bridge.{name}"
        else:
            assert value.__module__.startswith("bridge.")
            assert value.__name__ == name
            assert value.__doc__


def test_functions_are_not_hidden_by_their_modules() -> None:
    lines = run(
        "import bridge, bridge.calibrate, bridge.fit, bridge.compare, bridge.likelihood_ratio, "
        "bridge.predict, "
        "bridge.report, bridge.simulate, bridge.validate, bridge.wald\n"
        "print(*map(callable, (bridge.calibrate, bridge.fit, bridge.compare, "
        "bridge.likelihood_ratio, "
        "bridge.predict, bridge.report, bridge.simulate, bridge.validate, bridge.wald)))"
    )
    assert lines[0] == " ".join(["True"] * 9)


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        bridge.fitt  # noqa: B018
