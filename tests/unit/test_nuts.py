"""Engine nuts: options, seeds, interruption, extreme data, and the truth it should recover."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numba.core.caching
import numpy as np
import pandas as pd
import pytest
import zarr

import bridge
from bridge.engines import nutpie_sampler, registry
from bridge.errors import EngineTimeout, OptionError
from bridge.nuts import compiling
from bridge.nuts.arrays import arrays_of
from bridge.nuts.build import make_problem
from bridge.nuts.calling import Density
from bridge.nuts.folding import fold
from bridge.nuts.starts import start_of
from bridge.result import Result

ROOT = Path(__file__).resolve().parents[2]
SPEC = bridge.ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + x + (1 | s | g)")
QUICK = {"chains": 2, "draws": 60, "warmup": 60, "seed": 5, "cores": 1}


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A shell's background job begins with SIGINT ignored, and its children too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def data(size: int = 20, groups: int = 25, scale: float = 1.0, seed: int = 1) -> pd.DataFrame:
    """u with SDs 1 and 0.5, v with SD 0.4; coefficients 1, 0.5 and 0, 0.2."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=len(g))
    u = rng.normal(size=(2, groups)) * np.array([[1.0], [0.5]])
    sigma = np.exp(0.5 * (0.2 * x + 0.4 * rng.normal(size=groups)[g]))
    y = 1 + 0.5 * x + u[0, g] + u[1, g] * x + sigma * rng.normal(size=len(g))
    return pd.DataFrame({"y": scale * y, "x": x, "g": g})


def fitted(frame: pd.DataFrame | None = None, spec: Any = SPEC, **options: Any) -> Result:
    return bridge.fit(spec, data() if frame is None else frame, "nuts", **(QUICK | options))


def assert_finite(result: Result) -> None:
    for values in result.idata["posterior"].data_vars.values():
        assert np.isfinite(values.values).all()


# --- the same draws ---------------------------------------------------------------------------
def test_a_seed_gives_its_draws_whatever_the_cores() -> None:
    once, again, other = (
        fitted(seed=seed, cores=cores).idata["posterior"]
        for seed, cores in ((5, 1), (5, 2), (6, 2))
    )
    for name in once.data_vars:
        assert once[name].values.tobytes() == again[name].values.tobytes()
    assert (once["gamma"].values != other["gamma"].values).all()
    assert (once["gamma"].values[0] != once["gamma"].values[1]).all()


def test_draws_are_what_their_coordinates_stand_for() -> None:
    result = fitted()
    posterior, stats = result.idata["posterior"], result.idata["sample_stats"]
    tau = posterior["tau"].sel(tau_pair="u:Intercept,u:x")
    sd = [posterior["tau"].sel(tau_pair=f"{e},{e}") ** 0.5 for e in ("u:Intercept", "u:x")]
    rho = posterior["rho"].sel(rho_pair="u:Intercept,u:x")
    np.testing.assert_allclose(tau, rho * sd[0] * sd[1], rtol=1e-12)
    assert set(stats.data_vars) == {
        "diverging", "tree_depth", "energy", "acceptance_rate", "step_size", "n_steps", "lp",
    }  # fmt: skip
    assert stats["diverging"].dtype == bool and (stats["step_size"] > 0).all()


# --- options ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formulation": "centered"}, "formulation .* is one of auto, informed, noncentred"),
        ({"formulation": {"u:x": "informd"}}, "Did you mean 'informed'"),
        ({"formulation": {"u:z": "informed"}}, "'u:z', which is no effect of this model"),
        ({"starts": "far"}, "starts is one of near, dispersed"),
        ({"backend": "pystan"}, "nuts has no option 'backend'"),
    ],
)
def test_options_are_checked(options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        fitted(**options)


def test_a_formulation_is_said_and_changes_what_is_sampled_alone() -> None:
    plan = SPEC.translate("nuts", data(), formulation={"u:x": "noncentred"}, seed=1)
    assert "u:x: block 1, noncentred" in plan.native
    assert "v:Intercept: block 1, informed" in plan.native
    assert (plan.call["problem"].sampled.information[1] == 0).all()
    assert_finite(fitted(formulation="noncentred", starts="dispersed"))


def test_the_limit_of_trajectories_is_kept_and_said() -> None:
    result = fitted(max_treedepth=2)
    depth = result.idata["sample_stats"]["tree_depth"]
    assert depth.max() == 2 and result.idata["sample_stats"]["n_steps"].max() <= 3
    assert any("reached the maximum tree depth of 2" in text for text in result.warnings)


def test_too_long() -> None:
    with pytest.raises(EngineTimeout, match=r"longer than timeout = 0\.2 seconds"):
        fitted(draws=100_000, timeout=0.2)


@pytest.mark.parametrize("engine", ["nuts"])
def test_ctrl_c_keeps_what_was_drawn(engine: str) -> None:
    fitted()  # compiled
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    result = fitted(data(50, 60), draws=100_000, cores=2, timeout=60)
    assert result.warnings[0].startswith("Incomplete: sampling was interrupted after ")
    assert 0 < result.idata["posterior"].sizes["draw"] < 100_000
    assert_finite(result)


def test_ctrl_c_keeps_chains_that_are_done_where_others_have_not_begun() -> None:
    fitted()  # compiled

    sent: list[str] = []

    def stop(_: float | None, text: str) -> None:
        done = text.partition(" ")[0]
        if done.isdigit() and int(done) > 700 and not sent:
            sent.append(text)
            os.kill(os.getpid(), signal.SIGINT)

    # one core draws one chain after another, 660 points of each
    result = fitted(data(50, 60), draws=600, chains=50, cores=1, progress=stop)
    assert 1 <= result.idata["posterior"].sizes["chain"] < 50
    assert result.warnings[0].endswith(" of 50 chains.")
    assert_finite(result)


@pytest.mark.parametrize(
    ("lengths", "chains", "draws"),
    [
        ([1000, 0, 1000, 10], [0, 2], 1000),
        ([500, 400, 450, 390], [0, 1, 2, 3], 390),
        ([100, 50], [0, 1], 50),
        ([0, 7], [1], 7),
        ([0, 0], [], 0),
        ([], [], 0),
    ],
)
def test_what_is_kept_of_chains_of_different_lengths(
    lengths: list[int], chains: list[int], draws: int
) -> None:
    assert nutpie_sampler.longest(lengths) == (chains, draws)


def test_ctrl_c_before_there_are_draws() -> None:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        fitted(data(50, 60), warmup=1_000_000, timeout=60)


def test_draws_go_to_disk_and_are_those_of_memory(tmp_path: Path) -> None:
    frame = data(20, 15)
    folder = tmp_path / "draws"
    here, there = fitted(frame, draws=50), fitted(frame, draws=50, draws_to=folder)
    for name, values in here.idata["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, there.idata["posterior"][name])
    for name, values in here.idata["sample_stats"].data_vars.items():
        np.testing.assert_array_equal(values, there.idata["sample_stats"][name])
    columns = (folder / "columns.txt").read_text().splitlines()
    whole = zarr.open_group(folder / "draws.zarr", mode="r")["posterior/draws"]
    assert whole.shape == (*here.idata["sample_stats"]["lp"].shape, len(columns))
    at = columns.index("delta[x]")
    np.testing.assert_array_equal(
        whole[:, :, at], here.idata["posterior"]["delta"].sel(variance_term="x")
    )
    last = here.idata["posterior"]["v"].isel(g=-1, variance_effect=-1)
    assert columns[-1].startswith("v:") and columns[-1].endswith(f"[{last['g'].item()}]")
    np.testing.assert_array_equal(whole[:, :, -1], last)
    with pytest.raises(OptionError, match="holds the draws of a fit already"):
        fitted(frame, draws=50, draws_to=folder)


def test_an_interrupted_fit_keeps_its_draws_on_disk(tmp_path: Path) -> None:
    fitted()  # compiled
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    result = fitted(data(50, 60), draws=100_000, cores=2, timeout=60, draws_to=tmp_path / "d")
    kept = result.idata["posterior"].sizes["draw"]
    assert result.warnings[0].startswith("Incomplete: sampling was interrupted after ")
    assert 0 < kept < 100_000
    assert_finite(result)
    whole = zarr.open_group(tmp_path / "d" / "draws.zarr", mode="r")["posterior/draws"]
    np.testing.assert_array_equal(whole[:, :kept, 0], result.idata["posterior"]["gamma"][..., 0])


def test_progress_says_what_it_does() -> None:
    heard: list[tuple[float | None, str]] = []
    fitted(data(50, 60), draws=400, progress=lambda share, text: heard.append((share, text)))
    assert heard[0][0] is None and "density" in heard[0][1]
    shares = [share for share, _ in heard[1:]]
    assert shares == sorted(shares) and 0 < shares[-1] <= 1
    assert heard[-1][1].endswith("of 920 draws")


# --- the truth ----------------------------------------------------------------------------------
def test_simulated_truth_is_recovered() -> None:
    result = fitted(data(60, 120, seed=3), draws=400, warmup=300)
    frame = result.estimates.set_index("parameter")
    truth = {
        "gamma[Intercept]": 1.0, "gamma[x]": 0.5, "delta[Intercept]": 0.0, "delta[x]": 0.2,
        "tau[u:Intercept,u:Intercept]": 1.0, "tau[u:x,u:x]": 0.25,
        "tau[v:Intercept,v:Intercept]": 0.16, "rho[u:Intercept,u:x]": 0.0,
    }  # fmt: skip
    for parameter, value in truth.items():
        row = frame.loc[parameter]
        assert abs(row["estimate"] - value) < 3.5 * row["se"], row
    assert (frame["ess_bulk"] > 200).all() and (frame["r_hat"] < 1.03).all()
    assert not result.idata["sample_stats"]["diverging"].any()
    assert result.warnings == () or all("effective" in w or "R-hat" in w for w in result.warnings)


U = "u:Intercept"
MODELS: dict[str, dict] = {
    "linear": {"variance": "~ 1 + (1 | g)", "association": "linear"},
    "quadratic, raw": {"variance": "~ 1", "association": "quadratic", "latent_scale": "raw"},
    "functions": {
        "mean": "y ~ 1 + w + (1 | s | g)",
        "variance": "~ 1 + (1 | s | g)",
        "level2": {f"tau[{U},{U}]": "~ w", f"rho[{U},v:Intercept]": "~ w"},
    },
    "partial correlations": {
        "mean": "y ~ 1 + x + (1 + x | s | g)",
        "variance": "~ 1 + (1 | s | g)",
        "level2": {"pcor": "~ w"},
    },
    "three in the variance": {"variance": "~ 1 + x + z + (1 + x + z | s | g)"},
    "Student-t": {"variance": "~ 1", "random_effects": "student_t"},
    "no effects": {"mean": "y ~ 1 + x", "variance": "~ 1 + x"},
    "variance alone": {"mean": "y ~ 1 + x", "variance": "~ 1 + x + (1 | g)"},
    "no intercept": {"mean": "y ~ 0 + x + (0 + x | g)", "variance": "~ 1"},
    "uncorrelated": {"mean": "y ~ 1 + x + (1 + x || g)", "variance": "~ 1 + (1 + x || g)"},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_samples_about_its_maximum(name: str) -> None:
    frame = data(25, 60, seed=2)
    frame["w"] = (frame["g"] % 2).astype(float)
    frame["z"] = np.random.default_rng(7).normal(size=len(frame))
    spec = bridge.ModelSpec(**({"mean": "y ~ 1 + x + (1 | g)"} | MODELS[name]))
    result = fitted(frame, spec, draws=300, warmup=200, include=("log_likelihood", "log_prior"))
    assert_finite(result)
    estimates = result.estimates.set_index("parameter")
    assert (estimates["r_hat"] < 1.05).all()
    if "agq" in registry.able(spec):
        ml = bridge.fit(spec, frame).estimates
        both = ml.merge(result.estimates, on="parameter", suffixes=("_ml", ""))
        both = both[both["component"].isin(["mean", "variance"])]
        z = ((both["estimate"] - both["estimate_ml"]) / both["se"]).astype(float)
        assert len(both) and z.abs().max() < 0.7, both
    else:
        assert (result.idata["posterior"]["nu"] > 1).all()


# --- extreme data -------------------------------------------------------------------------------
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_outcome_does_not_matter(scale: float) -> None:
    ours, other = (fitted(data(scale=s)).estimates.set_index("parameter") for s in (scale, 1.0))
    gap = (ours["estimate"] / scale - other["estimate"]) / other["se"]
    assert gap[["gamma[Intercept]", "gamma[x]"]].abs().max() < 0.7
    assert abs(ours.loc["delta[x]", "estimate"] - other.loc["delta[x]", "estimate"]) < 0.1


def test_one_group_of_very_many_rows() -> None:
    frame = data()
    rng = np.random.default_rng(4)
    x = rng.normal(size=100_000)
    wide = pd.DataFrame({"y": 3 + 0.5 * x + rng.normal(size=len(x)), "x": x, "g": 99})
    result = fitted(pd.concat([frame, wide]), draws=40, warmup=100)
    assert_finite(result)
    effects = result.group_effects.query("group == '99' and effect == 'u:Intercept'")
    gamma = result.estimate("gamma[Intercept]")
    assert gamma + float(effects["estimate"].iloc[0]) == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("change", ["wild group", "steep variance", "perfect fit", "few rows"])
def test_extremes_give_numbers_and_warnings(change: str) -> None:
    frame = data(10, 12)
    if change == "wild group":
        frame.loc[frame["g"] == 3, "y"] *= 1e6
    elif change == "steep variance":
        frame["x"] = frame["x"].abs() * 400
        frame["y"] = np.exp(np.minimum(0.5 * frame["x"], 100)) * frame["y"]
    elif change == "perfect fit":
        frame["y"] = 2 * frame["x"] + 1
    else:
        frame = data(2, 6)
    result = fitted(frame)
    assert_finite(result)
    assert result.warnings


# --- parts --------------------------------------------------------------------------------------
def test_folding_finds_what_goes_with_an_effect() -> None:
    frame = data()
    frame["w"] = frame["g"] % 3
    group, x, w = (frame[name].to_numpy() for name in ("g", "x", "w"))
    X = np.column_stack([np.ones(len(x)), x, w, w * x, x**2])
    found = fold(X, X[:, :2], group, 25)
    folded = list(zip(found.effect, found.term, strict=True))
    assert folded[:4] == [(0, 0), (0, 2), (1, 1), (1, 3)]
    # of what goes with no effect rows keep what is left by least squares within each group
    assert folded[4:] == [(0, 4), (1, 4)] and list(found.rest) == [4]
    for j in range(25):
        Z, own = X[group == j, :2], x[group == j] ** 2
        share = np.linalg.lstsq(Z, own, rcond=None)[0]
        np.testing.assert_allclose(found.column[4:, j], share, atol=1e-10)
        np.testing.assert_allclose(found.left[group == j, 0], own - Z @ share, atol=1e-10)
    assert list(found.rest) == [4]
    np.testing.assert_allclose(found.column[1], np.arange(25) % 3)
    coefficients = np.arange(1.0, 6.0)
    parts = found.values(coefficients)[:, group]
    np.testing.assert_allclose(
        parts[0] + parts[1] * x + coefficients[4] * found.left[:, 0], X @ coefficients, rtol=1e-9
    )


def test_rows_need_not_be_sorted() -> None:
    frame = data()
    mixed = frame.sample(frac=1, random_state=1)
    problems = []
    for rows in (frame, mixed):
        design = SPEC.translate("nuts", rows, seed=1).design
        arrays = arrays_of(design)
        problems.append(make_problem(arrays, start_of(design, arrays), ["informed"] * 3))
    one, other = (p.rows for p in problems)
    np.testing.assert_allclose(
        np.add.reduceat(one.residual, one.start[:-1]),
        np.add.reduceat(other.residual, other.start[:-1]),
        atol=1e-9,
    )


def test_what_is_compiled_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted()  # compiled
    heard: list[str] = []
    fitted(progress=lambda _, text: heard.append(text))
    assert heard[0] == "loading the compiled density"
    assert not any("compiling" in text for text in heard)

    class Slow(Density):
        def __init__(self, problem: Any) -> None:
            super().__init__(problem)

            def one_more(x: float) -> float:
                return x + 1

            numba.njit(one_more)(1.0)

    monkeypatch.setattr("bridge.nuts.calling.Density", Slow)
    heard.clear()
    fitted(progress=lambda _, text: heard.append(text))
    assert heard[1].startswith("compiling the density: once on this machine")
    assert heard[1].endswith("(test_nuts.one_more)")


def test_a_second_process_compiles_nothing_and_samples_before_arviz_is_there() -> None:
    fitted()  # compiled
    code = """
import sys
import numpy, pandas
import bridge

y = numpy.random.default_rng(1).normal(size=60)
data = pandas.DataFrame({"y": y, "g": numpy.arange(60) // 6})

def heard(share, text):
    print(text, "arviz" in sys.modules, flush=True)

bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), data, "nuts", seed=1, progress=heard)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, *rest = done.stdout.splitlines()
    assert first == "loading the compiled density False"
    assert rest and all(line.endswith("draws False") for line in rest)


def test_compiled_code_of_other_sources_is_not_run_where_numba_has_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path))
    with compiling._kept():
        inside = Path(numba.core.config.CACHE_DIR)
    assert inside == compiling.folder() and inside.parent == tmp_path
    assert Path(numba.core.config.CACHE_DIR) == tmp_path
    monkeypatch.setattr(compiling, "_COMPILED", ("compiling",))  # as if a source had changed
    assert compiling.folder() != inside


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("cannot cache")])
def test_what_the_disk_does_not_take_is_compiled_in_memory(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(numba.core.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(numba.core.caching.FunctionCache, "save_overload", full)
    made = compiling.compiled_callback(numba.types.int64)(lambda x: x + 1)
    assert made.ctypes(2) == 3


def test_it_runs_where_the_cache_cannot_be_written(tmp_path: Path) -> None:
    code = "from bridge.nuts import compiling as c\nwith c._kept() as kept: print(kept)"
    blocked = tmp_path / "file"
    blocked.write_text("")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(blocked)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr


def test_a_predictor_far_from_zero_is_drawn_as_well_as_a_centred_one() -> None:
    spec = bridge.ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + x + (1 | s | g)")
    frame = data()
    frame["x"] = 2010 + 3 * frame["x"]
    result = fitted(frame, spec, draws=400, warmup=400)
    own = result.estimates.set_index("parameter")
    assert (own["ess_bulk"] > 100).all() and (own["r_hat"] < 1.03).all()


def test_a_level_2_predictor_far_from_zero_is_drawn_as_well_as_a_centred_one() -> None:
    frame = data()
    frame["year"] = 2010 + 3 * np.random.default_rng(0).normal(size=25)[frame["g"]]
    spec = bridge.ModelSpec(
        "y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)", level2={f"tau[{U},{U}]": "~ year"}
    )
    result = fitted(frame, spec, draws=400, warmup=300)
    own = result.estimates.set_index("parameter")
    assert (own["ess_bulk"] > 100).all() and (own["r_hat"] < 1.03).all()
    assert result.idata["sample_stats"]["tree_depth"].max() < 7


# --- what it costs --------------------------------------------------------------------------------
def test_the_cost_by_rows_is_recorded_as_a_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = ROOT / "validation" / "benchmarks" / "nuts_cost.py"
    described = importlib.util.spec_from_file_location("nuts_cost", path)
    assert described is not None and described.loader is not None
    benchmark = importlib.util.module_from_spec(described)
    described.loader.exec_module(benchmark)
    monkeypatch.setattr(benchmark, "RECORD", tmp_path / "nuts_cost.md")
    benchmark.main([500])
    assert not benchmark.RECORD.exists()
    monkeypatch.setattr(benchmark, "SIZES", (500, 2020))
    benchmark.main()
    rows = [line for line in benchmark.RECORD.read_text().splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in rows] == ["| rows", "| ---:", "| 500", "| 2,020"]
    assert rows[-1].split(" | ")[3] == "4.0"
