"""Studies in TOML, and `bridge simulate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge import cli
from bridge.errors import BridgeError, DataFileError
from bridge.study_file import read_study

STUDIES = Path(__file__).resolve().parents[2] / "validation" / "studies"
TEXT = """
title = "small"
replications = 2
seed = 3

[spec]
mean = "y ~ 1 + x + (1 | school)"
variance = "~ 1 + (1 | school)"

[truth]
"gamma[Intercept]" = 0
"gamma[x]" = 0.5
"delta[Intercept]" = -0.5
"tau[u:Intercept,u:Intercept]" = 0.2
"tau[v:Intercept,v:Intercept]" = 0.2

[design]
groups = 12
size = 8
covariates = { x = {} }

[models.A]
variance = "~ 1"

[models.B]

[engines.agq]
"""


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "study.toml").write_text(TEXT)
    return tmp_path / "study.toml"


def run(*words):
    return CliRunner().invoke(cli.app, ["simulate", *map(str, words)])


def test_models_have_what_the_spec_says_where_they_say_nothing(file) -> None:
    asked = read_study(file)
    assert asked["models"]["B"] == asked["spec"]
    assert asked["models"]["A"].variance == "~ 1"
    assert asked["models"]["A"].mean == asked["spec"].mean


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 3", "sed = 3", r"study.toml has the unknown key 'sed'. Did you mean 'seed'\?"),
        ("seed = 3", "", r"study.toml lacks seed ="),
        ("[truth]", "[truths]", "unknown key 'truths'"),
        ("mean =", "meen =", r"study.toml, \[spec\]: .*'meen'"),
        ("groups = 12", "group_s = 12", r"study.toml, \[design\]: .*'group_s'"),
        ('variance = "~ 1"\n', 'varianse = "~ 1"\n', r"study.toml, \[models.A\]: .*'varianse'"),
        ("[engines.agq]", "[engines.agq]\nnode = 3", r"study.toml, \[engines.agq\]: .*'node'"),
        ("[engines.agq]", "[engines]\nagq = 3", r"study.toml, \[engines.agq\]: .*mapping"),
        ("[models.B]", "[models]\nB = 3", r"study.toml, \[models"),
        ('title = "small"', "title =", "study.toml is not TOML"),
    ],
)
def test_what_is_unknown_is_named_with_file_and_key(file, old, new, words) -> None:
    text = TEXT.replace(old, new)
    if "B = 3" in new:  # one table of models alone may be written
        text = text.replace('[models.A]\nvariance = "~ 1"\n', "")
    file.write_text(text)
    with pytest.raises(BridgeError, match=words):
        read_study(file)


def test_a_missing_file_is_said(tmp_path) -> None:
    with pytest.raises(DataFileError, match=r"no.toml cannot be read: No such file"):
        read_study(tmp_path / "no.toml")


def test_the_command_writes_table_and_pictures(file, tmp_path) -> None:
    out = tmp_path / "out"
    found = run(file, "--out", out, "--workers", 1)
    assert found.exit_code == 0, found.output
    assert "2 replications, seed 3" in found.output and "delta[Intercept]" in found.output
    names = {path.name for path in out.iterdir()}
    assert {"study.json", "table.csv", "table.md", "coverage.png", "bias.png"} <= names
    found = run(file, "--out", out, "--workers", 1, "--replications", 3, "--json")
    said = json.loads(found.output)
    assert said["replications"] == 3 and said["fits"][0]["ok"] == 3
    assert {row["model"] for row in said["table"]} == {"A", "B"}


def test_the_command_fails_where_a_model_has_no_fit_at_all(file) -> None:
    file.write_text(TEXT.replace("[engines.agq]", "[engines.agq]\ntimeout = 1e-9"))
    found = run(file, "--workers", 1)
    assert found.exit_code == 1 and "0 of 2 fits, 2 failed" in found.output


@pytest.mark.parametrize("name", ["table1", "large"])
def test_the_studies_here_can_be_read(name) -> None:
    asked = read_study(STUDIES / f"{name}.toml")
    assert list(asked["models"]) == ["A", "B"] and asked["replications"] == 1000
