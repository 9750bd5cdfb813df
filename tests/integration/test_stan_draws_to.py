"""Draws on disk: those of the result, chain by chain, and what an interrupted fit leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.engines import stan_backends
from bridge.engines.draws_folder import prepare_folder

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import test_cmdstan_backend as cmdstan

pytestmark = pytest.mark.stan

ROOT = Path(__file__).resolve().parents[2]
SPEC = bridge.ModelSpec(
    "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
)
QUICK = {"engine": "stan", "backend": "pystan", "chains": 2, "warmup": 30, "draws": 20, "seed": 4}


def read(path: Path) -> dict[str, np.ndarray]:
    """The whole lines of a file of draws, by column, without bridge."""
    lines = [text for text in path.read_text().split("\n")[:-1] if not text.startswith("#")]
    table = np.array([text.split(",") for text in lines[1:]], float)
    return dict(
        zip(lines[0].split(","), table.reshape(-1, len(lines[0].split(","))).T, strict=True)
    )


def test_the_files_hold_the_draws_of_the_result(tmp_path: Path) -> None:
    data = bridge.datasets.load("hsb")
    result = bridge.fit(SPEC, data, draws_to=tmp_path / "draws", **QUICK)
    without = bridge.fit(SPEC, data, **QUICK)
    names = sorted(path.name for path in (tmp_path / "draws").iterdir())
    assert names == ["chain_1.csv", "chain_2.csv", "model.stan"]
    for number in (1, 2):
        columns = read(tmp_path / "draws" / f"chain_{number}.csv")
        for written, name, place in (("gamma.2", "gamma", 1), ("delta.1", "delta", 0)):
            for fitted in (result, without):
                drawn = fitted.idata["posterior"][name].values[number - 1, :, place]
                np.testing.assert_array_equal(columns[written], drawn)
        energy = result.idata["sample_stats"]["energy"].values[number - 1]
        np.testing.assert_array_equal(columns["energy__"], energy)
    assert "// X (gamma): Intercept, sector" in (tmp_path / "draws" / "model.stan").read_text()
    assert "# seed = 4" in (tmp_path / "draws" / "chain_1.csv").read_text()
    assert result.settings["draws_to"] == str(tmp_path / "draws")
    with pytest.raises(errors.OptionError, match="holds the draws of a fit already"):
        bridge.fit(SPEC, data, draws_to=tmp_path / "draws", **QUICK)


CHILD = """
import bridge
spec = bridge.ModelSpec(
    "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
)
options = dict(backend="pystan", chains=2, warmup=50, draws=500_000, seed=1, cores=2)
bridge.fit(spec, bridge.datasets.load("hsb"), "stan", draws_to="draws", **options)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_fit_that_is_ended_keeps_what_was_drawn(how: int, tmp_path: Path) -> None:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", start + CHILD],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    files = [tmp_path / "draws" / "incomplete" / f"chain_{n}.csv" for n in (1, 2)]
    try:
        end = time.monotonic() + 300
        while not all(file.exists() and file.stat().st_size > 200_000 for file in files):
            assert child.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        child.send_signal(how)
        child.wait(20)
    finally:
        child.kill()
        child.wait()
    assert not list((tmp_path / "draws").glob("chain_*.csv"))
    for file in files:
        columns = read(file)
        assert 10 < len(columns["gamma.1"]) < 500_000
        assert all(np.isfinite(values).all() for values in columns.values())
    with pytest.raises(errors.OptionError, match="a fit that did not end"):
        prepare_folder(tmp_path / "draws", "a")


def test_cmdstan_writes_the_same_files(tmp_path: Path) -> None:
    file = cmdstan.executable()
    if file is None:
        pytest.skip("no CmdStan executable here: the package prophet, which carries one, is absent")
    folder = prepare_folder(tmp_path / "draws", "a")
    found = cmdstan.run(str(file), draws_to=folder, draws=50)
    assert sorted(p.name for p in folder.iterdir()) == ["chain_1.csv", "chain_2.csv", "model.stan"]
    for number in (1, 2):
        columns = read(folder / f"chain_{number}.csv")
        np.testing.assert_array_equal(columns["beta.2"], found.draws["beta"][number - 1, :, 1])


def test_cmdstan_that_is_stopped_leaves_its_draws_labelled(tmp_path: Path) -> None:
    file = cmdstan.executable()
    if file is None:
        pytest.skip("no CmdStan executable here: the package prophet, which carries one, is absent")
    folder = prepare_folder(tmp_path / "draws", "a")
    with pytest.raises(errors.EngineTimeout):
        cmdstan.run(str(file), draws_to=folder, draws=2_000_000, timeout=4.0)
    assert not list(folder.glob("chain_*.csv"))
    left = sorted((folder / "incomplete").glob("*.csv"))
    assert len(left) == 2 and all(len(read(path)["k"]) > 10 for path in left)
    # one that cannot start leaves nothing behind, so that the folder can be used
    other = prepare_folder(tmp_path / "other", "a")
    with pytest.raises(errors.EngineFailed):
        cmdstan.run(str(file), draws_to=other, inits=[cmdstan.start() | {"sigma_obs": -1.0}] * 2)
    assert prepare_folder(other, "a") == other
    assert isinstance(cmdstan.run(str(file), draws_to=other), stan_backends.StanDraws)


def test_dispersed_chains_meet(tmp_path: Path) -> None:
    data = bridge.datasets.load("hsb")
    more = {**QUICK, "warmup": 400, "draws": 150, "chains": 4}
    far = bridge.fit(SPEC, data, starts="dispersed", **more)
    near = bridge.fit(SPEC, data, **more)
    for name in ("gamma[sector]", "delta[sector]"):
        own, other = (r.estimates.set_index("parameter").loc[name] for r in (far, near))
        error = np.hypot(own["mcse"], other["mcse"])
        assert abs(own["estimate"] - other["estimate"]) < 5 * error
        assert own["r_hat"] < 1.05


def test_a_further_fit_compiles_nothing() -> None:
    data = bridge.datasets.load("hsb")
    bridge.fit(SPEC, data, **QUICK)
    other = bridge.ModelSpec("y ~ 1 + x + z + (1 + x | g)", "~ 1 + z + (1 | g)")
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(20), 6)
    frame = pd.DataFrame({"y": rng.normal(size=120) + g % 3, "g": g})
    frame["x"], frame["z"] = rng.normal(size=120), rng.normal(size=20)[g]
    said: list[str] = []
    result = bridge.fit(other, frame, progress=lambda _, text: said.append(text), **QUICK)
    assert said and not any("compiling" in text for text in said)
    assert result.seconds["compile"] < 1
