"""The rules of conftest.py hold: traps spring, and CI does not skip an engine."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"

SKIPPING = """
import pytest

@pytest.mark.r
def test_engine():
    pytest.skip("R is out")

@pytest.mark.stan
def test_cmdstan():
    pytest.skip("CmdStan is on no registry")

@pytest.mark.stan
def test_pystan():
    pytest.skip("neither CmdStan nor PyStan is here")

def test_other():
    pytest.skip("no engine's test")
"""
MODULE = """
import pytest

pytest.importorskip("no_such_library")
"""


def run(folder: Path, tests: str = SKIPPING, **environment: str) -> str:
    """Run pytest on tests that skip, under a copy of conftest.py."""
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    r: R\n    stan: Stan\n")
    inherited = {name: value for name, value in os.environ.items() if name != "BRIDGE_CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=inherited | environment,
    ).stdout


@pytest.mark.parametrize("library", ["rpy2", "rpy2.robjects", "stan", "cmdstanpy"])
def test_an_engine_is_not_imported_in_a_unit_test(library: str) -> None:
    with pytest.raises(AssertionError, match=r"a unit test imported (rpy2|stan|cmdstanpy)"):
        importlib.import_module(library)


def test_ci_turns_an_engines_skip_into_a_failure(tmp_path: Path) -> None:
    said = run(tmp_path, BRIDGE_CI="1")
    assert "2 failed, 2 skipped" in said
    assert "test_engine was skipped, which CI does not allow" in said
    assert "test_pystan was skipped, which CI does not allow" in said
    assert "1 error" in run(tmp_path, MODULE, BRIDGE_CI="1")


def test_elsewhere_a_missing_engine_skips(tmp_path: Path) -> None:
    assert "4 skipped" in run(tmp_path)
    assert "1 skipped" in run(tmp_path, MODULE)


def test_the_record_of_the_slow_tests(request: pytest.FixtureRequest) -> None:
    conftest = next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(CONFTEST)
    )
    passed = SimpleNamespace(nodeid="tests/a.py::test_a", duration=61.4)
    text = conftest.slow_record({"passed": [passed]}, {"R": "4.2.2"})
    assert "- Outcome: 1 passed, 0 failed, 0 error, 0 skipped" in text
    assert "- Versions: R 4.2.2" in text
    assert "| tests/a.py::test_a | passed | 61 |" in text
