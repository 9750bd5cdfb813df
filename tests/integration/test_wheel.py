"""The wheel is whole: built, installed in a clean environment, and run from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("stan", "r_scripts", "validation/cases", "validation/data")

USE = """
import json
import sys
import bridge
from bridge import resources

heavy = [name for name in ("rpy2", "stan", "cmdstanpy", "arviz") if name in sys.modules]
data = bridge.datasets.load("hsb")
case = bridge.published("leckie2014/model1")
spec = bridge.ModelSpec(**case.spec)
result = bridge.fit(spec, data, engine="fake", chains=2, draws=50, seed=1)
print(json.dumps({
    "file": bridge.__file__,
    "heavy": heavy,
    "rows": len(data),
    "parameters": sorted(result.estimates["parameter"]),
    "printed": sorted(set(case.frame["parameter"]) - {"DIC"} - set(case.quantities)),
    "assets": str(resources.path("stan/location_scale.stan")),
    "script": str(resources.path("r_scripts/common.R")),
}))
"""


def run(*command: str | Path, folder: Path) -> str:
    """Run a command from a folder, with nothing of this process's Python around it."""
    strip = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COLUMNS"}
    environment = {name: value for name, value in os.environ.items() if name not in strip}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once."""
    target = tmp_path_factory.mktemp("wheel")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", target, ROOT)
    run(sys.executable, *build, folder=target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, with its core dependencies alone, in an environment of its own."""
    place = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", place / "venv", folder=place)
    pip = ("-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
    run(place / "venv" / "bin" / "python", *pip, wheel, folder=place)
    return place


def test_every_file_that_ships_is_inside_as_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    for folder in SHIPPED:
        files = [file for file in (ROOT / folder).rglob("*") if file.is_file()]
        assert files, f"{folder} is empty"
        for file in files:
            name = f"bridge/_assets/{file.relative_to(ROOT).as_posix()}"
            assert inside.get(name) == file.read_bytes(), name
    modules = {f"bridge/{file.relative_to(ROOT / 'bridge').as_posix()}"
               for kind in ("*.py", "*.j2")
               for file in (ROOT / "bridge").rglob(kind)}  # fmt: skip
    assert modules <= set(inside)
    strangers = {name.split("/")[0] for name in inside} - {"bridge"}
    assert all(name.endswith(".dist-info") for name in strangers)


def test_the_installed_package_fits_from_another_folder(clean: Path) -> None:
    said = json.loads(run(clean / "venv" / "bin" / "python", "-c", USE, folder=clean))
    for key in ("file", "assets", "script"):
        assert Path(said[key]).is_relative_to(clean / "venv"), key
    assert said["heavy"] == []
    assert said["rows"] == 7185
    # Printed estimates are among what the spec's result is called.
    assert len(said["printed"]) == 7
    assert set(said["printed"]) <= set(said["parameters"])


def test_the_installed_command_runs_from_another_folder(clean: Path) -> None:
    said = run(clean / "venv" / "bin" / "bridge", "doctor", folder=clean)
    for engine in ("brms", "lme4", "nlme", "stan", "fake"):
        assert engine in said
    # A clean environment has neither rpy2 nor PyStan, and the doctor says what mends that.
    assert "mlm-bridge[r]" in said
    assert "mlm-bridge[stan]" in said
