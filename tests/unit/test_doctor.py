"""The doctor names what is missing and the one command that mends it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import doctor
from bridge.doctor import EngineStatus
from bridge.engines import registry

HERE = {
    "R": "4.2.2", "brms": "2.18.0", "jsonlite": "1.8.4", "lme4": "1.1-31", "nlme": "3.1-162",
    "rstan": "2.21.7",
}  # fmt: skip
Machine = Callable[..., dict[str, EngineStatus]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that checks an imagined machine."""

    def check(
        r: dict[str, str] = HERE,
        trouble: str = "",
        rpy2: dict[str, str] | None = None,
        stan: dict[str, str] | None = None,
        libraries: dict[str, str] | None = None,
        programs: tuple[str, ...] = ("apt-get", "g++"),
    ) -> dict[str, EngineStatus]:
        installed = dict.fromkeys(doctor.RPY2, "3.6.4") if rpy2 is None else rpy2
        own = [name for names in doctor.LIBRARIES.values() for name in names]
        installed = installed | (dict.fromkeys(own, "1.0") if libraries is None else libraries)
        backends = {"cmdstan": "not available: x", "pystan": "3.10.0"} if stan is None else stan
        monkeypatch.setattr(doctor, "r_versions", lambda timeout: (r, trouble))
        monkeypatch.setattr(doctor, "_version", installed.get)
        monkeypatch.setattr(doctor.stan_backends, "available", lambda: backends)
        monkeypatch.setattr(
            doctor.shutil, "which", lambda name: f"/bin/{name}" if name in programs else None
        )
        return {status.engine: status for status in doctor.check()}

    return check


def test_every_engine_is_examined() -> None:
    assert set(doctor.ENGINES) == set(registry.ENGINES)


def test_a_whole_machine_is_ready(machine: Machine) -> None:
    found = machine()
    assert tuple(found) == doctor.ENGINES
    for status in found.values():
        assert (status.ready, status.missing, status.mend) == (True, "", "")
    assert found["lme4"].versions == {
        "R": "4.2.2", "lme4": "1.1-31", "jsonlite": "1.8.4", "rpy2": "3.6.4"
    }  # fmt: skip
    assert found["stan"].versions == {"pystan": "3.10.0"}


def test_no_r(machine: Machine) -> None:
    found = machine(r={}, trouble="R is not installed", rpy2={})
    assert not found["brms"].ready
    assert found["brms"].missing == "R is not installed; rpy2 is not installed"
    assert found["brms"].mend == (
        "apt-get install r-base-core r-base-dev r-cran-brms r-cran-rstan r-cran-jsonlite"
        ' && pip install "mlm-bridge[r]"'
    )
    assert found["stan"].ready and found["fake"].ready


def test_one_r_package_missing_stops_its_engine_alone(machine: Machine) -> None:
    found = machine(r={name: version for name, version in HERE.items() if name != "rstan"})
    assert found["brms"].missing == "R packages that are not installed: rstan"
    assert found["brms"].mend == "apt-get install r-cran-rstan"
    assert found["lme4"].ready and found["nlme"].ready
    elsewhere = machine(r={"R": "4.4.1", "jsonlite": "1.8"}, programs=("g++",))
    assert elsewhere["lme4"].mend == "Rscript -e \"install.packages(c('lme4'))\""


@pytest.mark.parametrize(
    ("r", "half", "words"),
    [
        ("4.2.2", "3.6.9", "rpy2-rinterface 3.6.9 does not load against R 4.2.2"),
        ("4.5.0", "3.6.9", ""),
        ("4.2.2", "3.6.4", ""),
        ("4.2.2", None, "rpy2-rinterface is not installed"),
    ],
)
def test_halves_of_rpy2(machine: Machine, r: str, half: str | None, words: str) -> None:
    rpy2 = {"rpy2": "3.6.4", "rpy2-robjects": "3.6.4"}
    if half is not None:
        rpy2["rpy2-rinterface"] = half
    found = machine(r=HERE | {"R": r}, rpy2=rpy2)
    assert found["nlme"].missing == words
    assert found["nlme"].mend == ('pip install "mlm-bridge[r]"' if words else "")


def test_no_stan_and_no_compiler(machine: Machine) -> None:
    nothing = {"cmdstan": "not available: x", "pystan": "not available: y"}
    status = machine(stan=nothing, programs=("apt-get",))["stan"]
    assert not status.ready
    assert status.missing == (
        "neither CmdStan nor PyStan is installed; no C++ compiler (g++) is on the path"
    )
    assert status.mend == 'pip install "mlm-bridge[stan]" && apt-get install g++'


def test_no_nutpie(machine: Machine) -> None:
    status = machine(libraries={"numba": "0.68.1"})["nuts"]
    assert (status.ready, status.versions) == (False, {"numba": "0.68.1"})
    assert (status.missing, status.mend) == ("nutpie not installed", "pip install nutpie")


def script(folder: Path, text: str) -> None:
    """Write an Rscript that says what is given."""
    program = folder / "bin" / "Rscript"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "versions", "trouble"),
    [
        ("echo R 4.2.2; echo lme4 1.1-31", {"R": "4.2.2", "lme4": "1.1-31"}, ""),
        ("echo no libR.so >&2; exit 3", {}, "R does not start (no libR.so)"),
        ("exec sleep 20", {}, "R did not answer within 0.2 seconds"),
    ],
)
def test_what_r_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    versions: dict[str, str],
    trouble: str,
) -> None:
    script(tmp_path, text)
    monkeypatch.setenv("R_HOME", str(tmp_path))
    timeout = 0.2 if "sleep" in text else 10
    assert doctor.r_versions(timeout) == (versions, trouble)


def test_no_rscript_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    assert doctor.r_versions() == ({}, "R is not installed")


@pytest.mark.r
def test_versions_are_those_that_r_itself_says() -> None:
    found, trouble = doctor.r_versions()
    assert trouble == ""
    code = 'cat(as.character(getRversion()), packageDescription("lme4")$Version)'
    said = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True)
    assert [found["R"], found["lme4"]] == said.stdout.split()
