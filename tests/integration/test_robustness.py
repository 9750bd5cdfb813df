"""What goes wrong in earnest: killed, interrupted, hostile, misnamed, absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.engines.worker import shared

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import direct_r

pytestmark = pytest.mark.r

ROOT = Path(__file__).resolve().parents[2]
# The same program text as in test_brms: where that ran before, R has it compiled.
SLOW_SPEC = bridge.ModelSpec(
    "mathach ~ 1 + sect + ses + (1 | s | school)",
    "~ 1 + sect + (1 | s | school)",
    priors=bridge.Priors(
        delta="normal(0, 3)", sd_u="half_t(4, 0, 6)", sd_v="exponential(2)", rho="lkj(2)"
    ),
)
QUICK_SPEC = bridge.ModelSpec("mathach ~ 1 + ses + (1 | school)")
FOREVER = {"chains": 2, "warmup": 500, "draws": 500_000, "seed": 1, "cores": 2}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = direct_r.schools(bridge.datasets.load("hsb"), 15)
    frame["sect"] = np.where(frame["sector"] == 1, "Catholic", "Public")
    return frame


def session(leader: int) -> list[int]:
    """Return the living processes of a worker: it leads a session of its own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, sid = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(sid) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def the_next_fit_works(data: pd.DataFrame) -> None:
    result = bridge.fit(QUICK_SPEC, data, "lme4")
    assert np.isfinite(result.loglik)
    assert result.estimate("gamma[ses]") > 0


# --- killed, too slow, interrupted ----------------------------------------------------------
def test_a_kill_in_the_middle_of_sampling(data: pd.DataFrame) -> None:
    worker = shared("bridge.engines.r_worker", "R")
    killed: dict[int, list[int]] = {}

    def kill(share: float | None, text: str) -> None:
        if share and not killed and worker.pid is not None:
            killed[worker.pid] = session(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(errors.EngineFailed, match="R was ended by SIGKILL") as caught:
        bridge.fit(SLOW_SPEC, data, "brms", progress=kill, **FOREVER)
    assert not isinstance(caught.value, errors.EngineTimeout)
    assert "the next fit starts it afresh" in str(caught.value)
    leader, crowd = killed.popitem()
    assert len(crowd) >= 3  # its two chains are processes too
    assert wait_until(lambda: not session(leader))
    the_next_fit_works(data)


@pytest.mark.parametrize("engine", ["brms", pytest.param("stan", marks=pytest.mark.stan)])
def test_a_limit_of_time(engine: str, data: pd.DataFrame) -> None:
    started = time.monotonic()
    with pytest.raises(errors.EngineTimeout, match="was stopped after 6 seconds"):
        bridge.fit(SLOW_SPEC, data, engine, timeout=6, **FOREVER)
    assert time.monotonic() - started < 20
    the_next_fit_works(data)


CHILD = """
import signal
# a shell that starts its children in the background has them ignore the interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)
import bridge
from bridge.engines import worker

data = bridge.datasets.load("hsb")
spec = bridge.ModelSpec("mathach ~ 1 + (1 | s | school)", "~ 1 + (1 | s | school)")

def progress(share, text):
    pids = [w.pid for w in worker._shared.values() if w.pid]
    if pids and {ready}:
        print(pids[0], flush=True)

bridge.fit(spec, data, "{engine}", chains=2, draws=500_000, seed=1, cores=2, progress=progress)
"""
READY = {"brms": "'compiling' in text", "stan": "share"}


@pytest.mark.parametrize("engine", ["brms", pytest.param("stan", marks=pytest.mark.stan)])
def test_ctrl_c_leaves_nothing_behind(engine: str, tmp_path: Path) -> None:
    # brms while it compiles, so that make and g++ are there too; Stan while it samples
    script = tmp_path / "script.py"
    script.write_text(CHILD.format(ready=READY[engine], engine=engine))
    child = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert child.stdout is not None
        leader = int(child.stdout.readline())
        if engine == "brms":
            assert wait_until(lambda: len(session(leader)) > 2, 60)  # make, g++, cc1plus
        assert session(leader)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == -signal.SIGINT or child.returncode == 130
    assert "KeyboardInterrupt" in said
    assert wait_until(lambda: not session(leader))


def environment(**changes: str) -> dict[str, str]:
    """The environment of a child that finds this bridge from any folder."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | changes


# --- hostile --------------------------------------------------------------------------------
TOUCH = "system('touch hacked')"
HOSTILE_SPECS = {
    "code in a transform": "mean = \"y ~ I(__import__('os').system('touch hacked')) + (1 | g)\"",
    "R in a formula": f'mean = "y ~ {TOUCH} + (1 | g)"',
    "R without quotes": 'mean = "y ~ system(touch) + (1 | g)"',
    "a second statement": 'mean = "y ~ 1 + (1 | g)); system(touch); ("',
    "backticks": 'mean = "y ~ `touch hacked` + (1 | g)"',
    "braces": 'mean = "y ~ {x} + (1 | g)"',
    "a line break": 'mean = "y ~ 1 + (1 | g)\\nsystem(touch)"',
    "code in the variance": f'mean = "y ~ 1 + (1 | g)"\nvariance = "~ {TOUCH}"',
    "code in an id": f'mean = "y ~ 1 + (1 | {TOUCH} | g)"',
    "code in a prior": 'mean = "y ~ 1 + (1 | g)"\n'
    '[priors]\ngamma = \'normal(0, 1)"); system("touch hacked"); ("\'',
    "code for a number": 'mean = "y ~ 1 + (1 | g)"\n[priors]\ngamma = "normal(0, system(1))"',
    "code in an element": 'mean = "y ~ 1 + (1 | g)"\n'
    "[priors]\n'gamma[x\"); system(\"touch hacked\"); (\"]' = 'normal(0, 1)'",
    "code for a choice": f'mean = "y ~ 1 + (1 | g)"\nrandom_effects = "{TOUCH}"',
    "code in a level-2 function": 'mean = "y ~ 1 + (1 | g)"\nlevel2 = "~ exec(x)"',
    "a number for a formula": "mean = 3",
    "a table for a formula": "[mean]\ny = 1",
    "an unknown part": f'mean = "y ~ 1 + (1 | g)"\nengine = "{TOUCH}"',
}


def small() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 5)
    return pd.DataFrame({"y": rng.normal(size=40) + g, "x": rng.normal(size=40), "g": g})


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", *arguments],
        cwd=folder, capture_output=True, text=True, env=environment(), timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE_SPECS)
def test_hostile_specifications_are_refused(what: str, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(HOSTILE_SPECS[what])
    small().to_csv(tmp_path / "data.csv", index=False)
    before = sorted(tmp_path.iterdir())
    arguments = ["--data", "data.csv", "--engine", "brms", "--out", "out"]
    done = cli(tmp_path, "fit", "spec.toml", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_good_specification_passes_where_hostile_ones_do_not(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text('mean = "y ~ 1 + x + (1 | g)"')
    small().to_csv(tmp_path / "data.csv", index=False)
    arguments = ["--data", "data.csv", "--engine", "lme4", "--out", "out"]
    done = cli(tmp_path, "fit", "spec.toml", *arguments)
    assert done.returncode == 0, done.stderr
    assert bridge.load(tmp_path / "out" / "lme4.nc").n_obs == 40


LABELS = [
    'x"); system("touch hacked"); ("', "'); system('touch hacked'); ('", "`touch hacked`",
    "$(touch hacked)", "a\nsystem('touch hacked')\n", "a\r\tb", "back\\slash\\n", "%s%n{}", "NA",
    "TRUE", " ", "  lead", "[1,2]", "日本", "é", "e", "E", "01", "1", "1.0", "g[a],b", "#",
]  # fmt: skip


@pytest.fixture(scope="module")
def hostile() -> pd.DataFrame:
    """Groups and levels whose labels are code, beside the same in plain letters."""
    rng = np.random.default_rng(3)
    count = len(LABELS)
    g = np.repeat(np.arange(count), 20)
    f = rng.integers(0, 3, len(g))
    x = rng.normal(size=len(g))
    u = rng.normal(0, 1.5, count)[g] + rng.normal(0, 1, count)[g] * (f == 1)
    y = 2 + x + 0.5 * f + u + rng.normal(size=len(g)) * np.exp(0.25 * f + 0.2 * x)
    # plain labels sort as the hostile ones do, so that both fits meet the groups in one order
    order = {label: f"g{i:02d}" for i, label in enumerate(sorted(LABELS))}
    levels = sorted(LABELS[i] for i in (0, 4, 13))
    hostile = np.array(LABELS, dtype=object)[g]
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "g": hostile,
            "plain_g": [order[label] for label in hostile],
            "f": np.array(levels, dtype=object)[f],
            "plain_f": np.array(["a", "b", "c"], dtype=object)[f],
        }
    ).sample(frac=1, random_state=1)


HOSTILE_MODELS = {
    "lme4": ("y ~ 1 + x * {f} + (1 + {f} || {g})", "~ 1"),
    "nlme": ("y ~ 1 + x + {f} + (1 + {f} || {g})", "~ 1 + {f} * x"),
    "brms": ("y ~ 1 + x * {f} + (1 + {f} | s | {g})", "~ 1 + {f} * x + (1 | s | {g})"),
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, where a fresh R starts."""
    monkeypatch.chdir(tmp_path)
    shared("bridge.engines.r_worker", "R").close()
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", ["lme4", "nlme"])
def test_hostile_labels_are_labels(engine: str, hostile: pd.DataFrame, elsewhere: Path) -> None:
    mean, variance = HOSTILE_MODELS[engine]
    results = []
    for f, g in (("f", "g"), ("plain_f", "plain_g")):
        spec = bridge.ModelSpec(mean.format(f=f, g=g), variance.format(f=f))
        results.append(bridge.fit(spec, hostile, engine))
    ours, plain = results
    assert ours.loglik == pytest.approx(plain.loglik, rel=1e-10)
    estimates = [r.estimates["estimate"].to_numpy(dtype=float) for r in results]
    np.testing.assert_allclose(*estimates, rtol=1e-8)
    levels = [label for label in sorted(set(hostile["f"])) if label != min(hostile["f"])]
    assert {f"gamma[f[{level}]]" for level in levels} <= set(ours.estimates["parameter"])
    labels = dict(zip(hostile["plain_g"], hostile["g"], strict=True))
    effects = [r.group_effects for r in results]
    assert list(effects[0]["group"]) == [labels[g] for g in effects[1]["group"]]
    values = [e["estimate"].to_numpy(dtype=float) for e in effects]
    np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("engine", HOSTILE_MODELS)
def test_no_label_reaches_the_native_call(engine: str, hostile: pd.DataFrame) -> None:
    mean, variance = HOSTILE_MODELS[engine]
    spec = bridge.ModelSpec(mean.format(f="f", g="g"), variance.format(f="f", g="g"))
    native = str(spec.translate(engine, hostile))
    code = "\n".join(line for line in native.split("\n") if not line.startswith("#"))
    # all that R reads is made of what R's own words need
    assert "touch hacked" not in code
    assert not set(code) - set(
        'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.~+|():=,-" \n'
    )


# --- names ----------------------------------------------------------------------------------
NAMES = {
    "letters of other scripts": ("Größe", "высота", "école", "класс"),
    "words of R": ("TRUE", "function", "if", "T"),
    "names bridge gives R": ("data", "c", "list", "x_2"),
}


@pytest.mark.parametrize("engine", ["lme4", "nlme"])
@pytest.mark.parametrize("kind", NAMES)
def test_names_of_columns(kind: str, engine: str, hostile: pd.DataFrame) -> None:
    y, x, g, f = NAMES[kind]
    plain = hostile.drop(columns=["f", "g"]).rename(columns={"plain_f": "f", "plain_g": "g"})
    variance = "~ 1 + {f} + {x}" if engine == "nlme" else "~ 1"
    words = "{y} ~ 1 + {x} * {f} + (1 + {x} | {g})"
    results = []
    for names in ({"y": y, "x": x, "g": g, "f": f}, {n: n for n in "yxgf"}):
        spec = bridge.ModelSpec(words.format(**names), variance.format(**names))
        results.append(bridge.fit(spec, plain.rename(columns=names), engine))
    ours, expected = results
    assert ours.loglik == pytest.approx(expected.loglik, rel=1e-10)
    values = [r.estimates["estimate"].to_numpy(dtype=float) for r in results]
    np.testing.assert_allclose(*values, rtol=1e-8)
    assert {f"gamma[{x}]", f"gamma[{f}[b]]"} <= set(ours.estimates["parameter"])
    assert list(ours.group_effects["group"]) == list(expected.group_effects["group"])
    assert list(ours.idata["observed_data"].data_vars) == [y]


# --- absent ---------------------------------------------------------------------------------
ABSENT = """
import bridge
from bridge import errors

data = bridge.datasets.load("hsb")
try:
    bridge.fit(bridge.ModelSpec("mathach ~ 1 + (1 | school)"), data, "lme4")
except errors.EngineNotInstalled as error:
    print(error)
"""


@pytest.mark.parametrize("home", [None, "", "/nowhere"])
def test_no_r_at_all(home: str | None, tmp_path: Path) -> None:
    changed = environment(PATH=str(tmp_path))
    changed.pop("R_HOME", None)
    changed.pop("LD_LIBRARY_PATH", None)
    if home is not None:
        changed["R_HOME"] = home
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ABSENT)],
        capture_output=True, text=True, env=changed, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "apt-get install r-base-core" in done.stdout


# --- what engines warn of -------------------------------------------------------------------
def flat() -> pd.DataFrame:
    """Groups that do not differ: every group mean is zero."""
    data = small()
    data["y"] = np.random.default_rng(2).normal(size=len(data))
    data["y"] -= data.groupby("g")["y"].transform("mean")
    return data


def test_a_singular_fit_says_so() -> None:
    result = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), flat(), "lme4")
    assert result.estimate("tau[u:Intercept,u:Intercept]") == pytest.approx(0, abs=1e-8)
    assert any("singular" in warning for warning in result.warnings)
    assert "singular" in result.summary()


def test_r_s_own_warnings_arrive() -> None:
    data = small().assign(huge=lambda d: d["x"] * 1e7 + 1e9)
    result = bridge.fit(bridge.ModelSpec("y ~ 1 + huge + (1 | g)"), data, "lme4")
    assert any("very different scales" in warning for warning in result.warnings)


def test_nlme_without_standard_errors_says_why() -> None:
    # the slope of girl varies by nothing: nlme's Hessian is not that of a maximum
    spec = bridge.ModelSpec("normexam ~ 1 + girl + (1 + girl | school)")
    result = bridge.fit(spec, bridge.datasets.load("exam"), "nlme")
    rows = result.estimates[result.estimates["component"] != "mean"]
    assert rows[["se", "lower", "upper"]].isna().all().all()
    assert rows["note"].str.contains("apVar is not available").all()
    assert any("no standard errors of the variance" in warning for warning in result.warnings)


def test_nlme_at_a_variance_of_zero_says_so() -> None:
    result = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), flat(), "nlme")
    row = result.estimates.set_index("parameter").loc["tau[u:Intercept,u:Intercept]"]
    assert float(row["estimate"]) == pytest.approx(0, abs=1e-6)
    assert row[["se", "lower", "upper"]].isna().all()
    assert "singular" in row["note"]
    assert any("zero" in warning for warning in result.warnings)


@pytest.mark.stan
def test_chains_that_have_not_mixed_say_so(data: pd.DataFrame) -> None:
    result = bridge.fit(
        SLOW_SPEC, data, "stan", chains=2, warmup=5, draws=10, seed=1, max_treedepth=1
    )
    said = " ".join(result.warnings)
    assert "R-hat" in said and "effective draws" in said and "tree depth" in said
