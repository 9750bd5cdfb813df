"""The command line, with the fake engine: exit codes, JSON, what is written."""

import json
import subprocess
import sys

import pandas as pd
import pytest

import bridge
from bridge import cli
from bridge.engines import registry

MODEL = 'mean = "mathach ~ 1 + sector + (1 | s | school)"\nvariance = "~ 1 + (1 | s | school)"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.toml").write_text(MODEL)
    bridge.datasets.load("hsb").head(300).to_csv(tmp_path / "d.csv", index=False)
    return tmp_path


def run(capsys, *words):
    """Run the command line; return exit code, standard output, standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bridge", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, out, err


HSB = ("--data", "d.csv")
FIT = ("fit", "m.toml", "--data", "d.csv", "--engine", "fake", "--draws", "50", "--seed", "1")


def test_fit_writes_result_estimates_and_summary(folder, capsys):
    code, out, _ = run(capsys, *FIT, "--out", "o")
    assert code == 0
    assert sorted(p.name for p in (folder / "o").iterdir()) == ["fake.csv", "fake.nc", "fake.txt"]
    saved = bridge.load(folder / "o" / "fake.nc")
    table = pd.read_csv(folder / "o" / "fake.csv")
    assert list(table["parameter"]) == list(saved.estimates["parameter"])
    assert "gamma[sector]" in out
    assert "Saved in o" in out


def test_json_is_json_with_null_for_what_is_missing(folder, capsys):
    code, out, _ = run(capsys, *FIT, "--chains", "1", "--draws", "1", "--out", "o", "--json")
    found = json.loads(out)[0]
    assert code == 0
    assert found["engine"] == "fake"
    assert found["estimates"][0]["parameter"] == "gamma[Intercept]"
    assert found["estimates"][0]["se"] is None


@pytest.mark.parametrize("engine", ["nuts", "stan"])
def test_every_option_of_a_sampler_can_be_given(folder, capsys, engine):
    options = {name.replace("_", "-") for name in registry.get(engine).options}
    code, out, _ = run(capsys, "translate", "--help")
    assert code == 0 and not [name for name in options if f"--{name} " not in out]
    words = ("translate", "m.toml", *HSB, "--engine", engine, "--formulation", "noncentred")
    code, out, _ = run(capsys, *words)
    assert code == 0 and "noncentred" in out


def test_translate_prints_the_native_call_and_runs_nothing(folder, capsys):
    words = ("translate", "m.toml", "--data", "hsb", "--engine", "brms", "--seed", "7")
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert out.startswith("brm(")
    assert "seed = 7" in out
    code, out, _ = run(capsys, *words, "--json")
    assert json.loads(out)["options"]["seed"] == 7


def test_compare_says_where_results_differ(folder, capsys):
    run(capsys, *FIT, "--out", "a", "--draws", "600")
    (folder / "b").mkdir()
    saved = bridge.load(folder / "a" / "fake.nc")
    estimates = saved.estimates.copy()
    estimates.loc[0, "estimate"] += 9
    object.__setattr__(saved, "estimates", estimates)
    saved.save(folder / "b" / "fake.nc")
    assert run(capsys, "compare", "a", "a")[0] == 0
    code, out, _ = run(capsys, "compare", "a", "b")
    assert code == 1
    assert "gamma[Intercept]" in out
    code, out, _ = run(capsys, "compare", "a", "b", "--json")
    assert json.loads(out)["agree"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "m.toml", *HSB, "--engine", "lme4", "--out", "o"), "Engines that can"),
        (("fit", "m.toml", *HSB, "--engine", "fak", "--out", "o"), "Did you mean 'fake'?"),
        (("fit", "m.toml", "--data", "no.csv", "--engine", "fake", "--out", "o"), "no data file"),
        (("fit", "no.toml", *HSB, "--engine", "fake", "--out", "o"), "no.toml"),
        ((*FIT, "--out", "o", "--method", "ML"), "has no option --method"),
        ((*FIT, "--out", "o", "--chains", "0"), "at least 1, not 0"),
        ((*FIT, "--out", "d.csv"), "cannot be written to"),
        (("compare", "nowhere"), "no folder or result file nowhere"),
        (("compare", "."), "holds no saved result"),
        (("compare", "d.csv", "d.csv"), "is not a result"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_2(folder, capsys, words, said):
    before = sorted(folder.iterdir())
    code, out, err = run(capsys, *words)
    assert code == 2
    assert said in err
    assert err.startswith("Error")
    assert "Traceback" not in err
    assert out == ""
    assert sorted(folder.iterdir()) == before  # nothing half-written


def test_debug_shows_the_traceback(folder, capsys):
    _, _, err = run(capsys, "--debug", "compare", "nowhere")
    assert "Traceback" in err


def test_a_failed_fit_is_exit_1_and_the_others_still_run(folder, capsys, monkeypatch):
    from bridge.engines.stan import Stan
    from bridge.errors import EngineFailed

    def fail(self, plan, progress):
        raise EngineFailed("it stopped")

    monkeypatch.setattr(Stan, "run", fail)
    code, _, err = run(capsys, *FIT, "--engine", "stan", "--out", "o")
    assert code == 1
    assert "Error (stan): it stopped" in err
    assert sorted(p.name for p in (folder / "o").iterdir()) == ["fake.csv", "fake.nc", "fake.txt"]


def test_doctor_names_every_engine(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == [
        "agq", "lme4", "nlme", "brms", "ols", "twostep", "stan", "nuts", "fake",
    ]  # fmt: skip
    assert {status["engine"] for status in json.loads(run(capsys, "doctor", "--json")[1])} == {
        "agq", "lme4", "nlme", "brms", "ols", "twostep", "stan", "nuts", "fake",
    }  # fmt: skip


def test_the_module_runs_by_itself(folder):
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", *FIT, "--out", "o"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_an_engine_given_twice_is_refused(folder, capsys):
    code, _, err = run(capsys, *FIT, "--engine", "fake", "--out", "o")
    assert code == 2
    assert "fake is given twice" in err


def test_a_place_that_cannot_be_written_stops_no_other_engine(folder, capsys, monkeypatch):
    from bridge.engines.fake import Fake
    from bridge.engines.stan import Stan

    monkeypatch.setattr(Stan, "translate", Fake.translate)
    monkeypatch.setattr(Stan, "run", Fake.run)
    monkeypatch.setattr(Stan, "harmonise", Fake.harmonise)
    (folder / "o" / "fake.csv").mkdir(parents=True)
    code, out, err = run(capsys, *FIT, "--engine", "stan", "--out", "o")
    assert code == 2
    assert "fake.csv cannot be written: it is a folder" in err
    assert "Saved in o: stan.nc" in out
    assert not list((folder / "o").glob("*.part"))


def test_compare_of_nothing_comparable_is_no_success(folder, capsys):
    run(capsys, *FIT, "--out", "a")
    (folder / "m.toml").write_text('mean = "mathach ~ 1 + (1 | school)"')
    run(capsys, *FIT, "--out", "b")
    code, out, _ = run(capsys, "compare", "a", "b")
    assert code == 1
    assert "of different models" in out


def test_the_columns_of_doctor_are_as_wide_as_the_longest_name(capsys):
    lines = run(capsys, "doctor")[1].splitlines()
    engines = [line for line in lines if not line.startswith(" ")]
    starts = {line.index(line.split()[1]) for line in engines}
    assert starts == {len("twostep") + 1}


STOPPED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from bridge import cli
from bridge.engines import registry
from bridge.engines import agq

real = agq.maximise

def interrupted(*args, **more):
    os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **more)

agq.maximise = interrupted
sys.argv = ["bridge", "fit", "m.toml", "--data", "d.csv", "--out", "o"]
cli.main()
"""


def test_ctrl_c_stops_a_fit_with_a_word(folder):
    done = subprocess.run([sys.executable, "-c", STOPPED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")
    assert list((folder / "o").iterdir()) == []
