"""What every test shares: engines that may be missing, and traps for what must not start."""

from __future__ import annotations

import importlib.abc
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
IN_CI = bool(os.environ.get("BRIDGE_CI"))
# The one thing that a complete machine may lack, for it is on no package registry: a skip whose
# reason begins so is let through.
CMDSTAN = ("Skipped: CmdStan ", "Skipped: no CmdStan ")
TRAPPED = ("rpy2", "stan", "cmdstanpy")


class _Trap(importlib.abc.MetaPathFinder):
    """Refuses to find libraries that start R or a compiler."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname.split(".", maxsplit=1)[0] in TRAPPED:
            raise AssertionError(f"a unit test imported {fullname}; only engines' children may")


@pytest.fixture(autouse=True)
def _no_engine_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make an import of rpy2, PyStan or CmdStanPy fail in tests/unit."""
    if Path(request.path).parent.name != "unit":
        yield
        return
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_trapped(name)}
    trap = _Trap()
    sys.meta_path.insert(0, trap)
    yield
    sys.meta_path.remove(trap)
    sys.modules.update(hidden)


def _is_trapped(name: str) -> bool:
    """Tell whether a module belongs to a trapped library."""
    return name.split(".", maxsplit=1)[0] in TRAPPED


def _installed(distribution: str) -> bool:
    """Tell whether a distribution is installed, without importing it."""
    # Not find_spec: the repository's folder stan/ would pass for PyStan.
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


@cache
def _missing(marker: str) -> str:
    """Return why tests of a marker cannot run here, or nothing."""
    if marker == "r":
        if shutil.which("Rscript") is None:
            return "R is not installed"
        return "" if _installed("rpy2") else "rpy2 is not installed"
    if shutil.which("g++") is None:
        return "there is no C++ compiler (g++)"
    return "" if _installed("pystan") else "PyStan is not installed"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose engine is not here."""
    for marker in ("r", "stan"):
        if item.get_closest_marker(marker) and _missing(marker):
            pytest.skip(f"{_missing(marker)}; run: make setup")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """In CI, turn the skip of an engine's test into a failure, CmdStan's aside."""
    report = yield
    engine = any(item.get_closest_marker(marker) for marker in ("r", "stan"))
    if engine and not hasattr(report, "wasxfail"):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """In CI, turn the skip of a whole module into a failure: it has no markers to go by."""
    report = yield
    _forbid_skip(report)
    return report


def _forbid_skip(report: Any) -> None:
    """In CI, make a failure of a skip whose reason is not CmdStan."""
    if not (IN_CI and report.skipped):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.startswith(CMDSTAN):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI does not allow: {reason}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that `make test-slow` uses, and that golden files are written by."""
    parser.addoption(
        "--record-slow", action="store_true", help="write the outcome to validation/slow_tests.md"
    )
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew; read what changed"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Give a function that compares a text with a file under tests/golden, or writes it."""

    def check(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert path.is_file(), f"there is no {path}; run: pytest --update-golden"
        assert text + "\n" == path.read_text(encoding="utf-8"), f"differs from {path}"

    return check


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Record the outcome of the slow tests, when asked."""
    if not config.getoption("--record-slow"):
        return
    target = ROOT / "validation" / "slow_tests.md"
    target.write_text(slow_record(terminalreporter.stats, versions()), encoding="utf-8")
    terminalreporter.write_line(f"recorded in {target.relative_to(ROOT)}")


def slow_record(stats: dict[str, list[Any]], installed: dict[str, str]) -> str:
    """Return the record of a run: date, versions, counts, and each test with its time."""
    outcomes = ("passed", "failed", "error", "skipped")
    reports = {outcome: stats.get(outcome, []) for outcome in outcomes}
    counts = ", ".join(f"{len(found)} {outcome}" for outcome, found in reports.items())
    lines = [
        "# The last run of the slow tests (`make test-slow`)",
        "",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- Outcome: {counts}",
        "- Versions: " + ", ".join(f"{name} {version}" for name, version in installed.items()),
        "",
        "| test | outcome | seconds |",
        "|---|---|---|",
    ]
    for outcome, found in reports.items():
        for report in found:
            seconds = getattr(report, "duration", 0.0)
            lines.append(f"| {report.nodeid} | {outcome} | {seconds:.0f} |")
    return "\n".join(lines) + "\n"


def versions() -> dict[str, str]:
    """Return the versions of what the slow tests lean on."""
    from bridge import doctor

    found = {"Python": platform.python_version()}
    for status in doctor.check():
        found |= status.versions
    return found
