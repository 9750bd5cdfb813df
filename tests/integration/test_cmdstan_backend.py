"""The CmdStan runner against a real CmdStan executable, the one inside the prophet wheel.

CmdStan itself is on no package registry, so that only the compile step stays untested here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bridge.engines import stan_backends
from bridge.errors import EngineFailed, EngineTimeout

pytestmark = pytest.mark.stan


def executable() -> Path | None:
    # found, never imported: importing prophet would set CmdStan's path for everybody
    prophet = importlib.util.find_spec("prophet")
    if prophet is None or prophet.origin is None:
        return None
    file = Path(prophet.origin).parent / "stan_model" / "prophet_model.bin"
    return file if file.is_file() else None


@pytest.fixture(scope="module")
def exe() -> str:
    file = executable()
    if file is None:
        pytest.skip("no CmdStan executable here: the package prophet, which carries one, is absent")
    return str(file)


def line_data(T: int = 80) -> dict:
    """Prophet's data block for a straight line with two regressors and no change point."""
    rng = np.random.default_rng(6)
    t, X = np.linspace(0, 1, T), rng.normal(size=(T, 2))
    y = 0.7 * t - 0.2 + X @ [0.3, -0.1] + 0.1 * rng.normal(size=T)
    return {
        "T": T, "K": 2, "t": t, "cap": np.zeros(T), "y": y, "S": 1, "t_change": np.array([0.5]),
        "X": X, "sigmas": np.array([10.0, 10.0]), "tau": 0.05, "trend_indicator": 0,
        "s_a": np.ones(2), "s_m": np.zeros(2),
    }  # fmt: skip


def start() -> dict:
    return {"k": 0.0, "m": 0.0, "delta": np.zeros(1), "sigma_obs": 0.5, "beta": np.zeros(2)}


def run(exe: str, **changes: object) -> stan_backends.StanDraws:
    settings: dict = {"chains": 2, "warmup": 300, "draws": 250, "seed": 3, "cores": 2} | changes
    inits = settings.pop("inits", [start()] * settings["chains"])
    return stan_backends.sample("", line_data(), inits, exe_file=exe, **settings)


def test_draws_recover_a_line_and_keep_their_shapes(exe: str) -> None:
    seen: list = []
    found = run(exe, progress=lambda fraction, text: seen.append((fraction, text)))
    assert found.backend == "cmdstan"
    assert found.versions["cmdstan"] == "2.37.0"
    beta = found.draws["beta"]
    assert beta.shape == (2, 250, 2)
    assert found.draws["k"].shape == (2, 250)
    np.testing.assert_allclose(beta.mean((0, 1)), [0.3, -0.1], atol=0.05)
    # the trend is a function of the draw's own k, m, delta: neither chain nor draw is scrambled
    t, late = line_data()["t"], line_data()["t"] >= 0.5
    k, m, delta = (found.draws[name][..., None] for name in ("k", "m", "delta"))
    delta = delta[..., 0]
    trend = (k + late * delta) * t + m - late * 0.5 * delta
    np.testing.assert_allclose(found.draws["trend"], trend, rtol=1e-12, atol=1e-12)
    assert not np.array_equal(beta[0], beta[1])
    expected = {"divergent", "tree_depth", "energy", "accept_stat", "n_leapfrog", "step_size", "lp"}
    assert set(found.sampler) == expected
    assert {values.shape for values in found.sampler.values()} == {(2, 250)}
    assert np.ptp(found.sampler["step_size"], axis=1).max() == 0  # one step size a chain
    fractions = [fraction for fraction, _ in seen if fraction is not None]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)


def numpy_density(point: dict) -> float:
    data = line_data()
    late = data["t"] >= 0.5
    delta = point["delta"][0]
    trend = (point["k"] + late * delta) * data["t"] + point["m"] - late * 0.5 * delta
    mean = trend + data["X"] @ point["beta"]
    return float(
        stats.norm.logpdf(data["y"], mean, point["sigma_obs"]).sum()
        + stats.norm.logpdf([point["k"], point["m"]], 0, 5).sum()
        + stats.laplace.logpdf(delta, 0, data["tau"])
        + stats.norm.logpdf(point["sigma_obs"], 0, 0.5)
        + stats.norm.logpdf(point["beta"], 0, 10).sum()
    )


def test_log_density_is_that_of_the_constrained_parameters(exe: str) -> None:
    rng = np.random.default_rng(1)
    points = [
        {
            "k": float(rng.normal()), "m": float(rng.normal()), "delta": rng.normal(0, 0.1, 1),
            "sigma_obs": float(rng.uniform(0.2, 2)), "beta": rng.normal(size=2),
        }
        for _ in range(5)
    ]  # fmt: skip
    theirs = stan_backends.log_density("", line_data(), points, exe_file=exe)
    ours = [numpy_density(point) for point in points]
    # prophet's program drops constants, so differences are compared
    np.testing.assert_allclose(np.diff(theirs), np.diff(ours), rtol=1e-9)


def test_the_same_seed_gives_the_same_draws(exe: str) -> None:
    once, again, other = (run(exe, seed=s, cores=c) for s, c in [(8, 2), (8, 1), (9, 2)])
    np.testing.assert_array_equal(once.draws["beta"], again.draws["beta"])
    assert np.all(once.draws["k"] != other.draws["k"])


def test_an_impossible_start_fails_with_stans_own_words(exe: str) -> None:
    with pytest.raises(EngineFailed, match=r"Lower bounded variable is -1") as caught:
        run(exe, inits=[start() | {"sigma_obs": -1.0}] * 2)
    assert "csv" not in str(caught.value)  # Stan's words, not a list of files that are gone


def test_missing_data_are_named(exe: str) -> None:
    data = {name: value for name, value in line_data().items() if name != "tau"}
    with pytest.raises(EngineFailed, match="tau"):
        stan_backends.sample("", data, [start()], chains=1, exe_file=exe)


def test_a_limit_stops_the_chains_and_the_next_run_works(exe: str) -> None:
    with pytest.raises(EngineTimeout, match="2 seconds"):
        run(exe, draws=2_000_000, timeout=2.0)
    assert run(exe, draws=20).draws["k"].shape == (2, 20)


def test_the_depth_limit_is_kept_and_recorded(exe: str) -> None:
    found = run(exe, max_treedepth=1, draws=50)
    assert (found.sampler["tree_depth"] == 1).all()
