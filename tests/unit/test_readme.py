"""The README's tables are made from the code; this keeps them in step."""

import re

import pytest

import bridge
from bridge import resources
from bridge.engines.registry import ENGINES, FEATURES, capability_table
from bridge.names import VARIABLES, notation_table

README = resources.root() / "README.md"


@pytest.mark.parametrize(
    ("marker", "table"), [("capabilities", capability_table), ("notation", notation_table)]
)
def test_table_in_the_readme_is_the_code_s(marker, table):
    found = re.search(f"<!-- {marker} -->\n(.*?)\n<!-- end -->", README.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == table()


def test_summary_of_the_validation_is_that_of_its_last_report():
    pattern = "<!-- summary -->\n(.*?)<!-- end -->"
    report = resources.root() / "validation" / "report.md"
    shown, made = (re.search(pattern, f.read_text(), re.DOTALL) for f in (README, report))
    assert shown is not None and made is not None
    assert shown[1] == made[1]


def test_example_of_wald_prints_what_is_shown(capsys):
    pattern = "<!-- wald: .*? -->\n```python\n(.*?)```\n\n<!-- output -->\n```text\n(.*?)```"
    found = re.search(pattern, README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    data = bridge.datasets.load("hsb")
    variance = "~ 1 + sector + (1 | s | school)"
    spec = bridge.ModelSpec("mathach ~ 1 + sector + (1 | s | school)", variance)
    exec(found[1], {"bridge": bridge, "data": data, "spec": spec})
    assert capsys.readouterr().out == found[2]


def test_the_study_runs_as_it_is_shown(tmp_path, monkeypatch):
    found = re.search("<!-- study -->\n```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    small = found[1].replace("replications=1000", "replications=2").replace("nuts", "fake")
    small = small.replace(', "priors": {"tau": "inverse_wishart"}', "")
    monkeypatch.chdir(tmp_path)
    made = {"bridge": bridge}
    exec(small, made)
    assert len(made["study"].fits()) == 4 and (tmp_path / "study" / "study.json").is_file()


def test_capability_table_has_a_row_a_feature_and_a_column_an_engine():
    rows = [line.strip("| ").split(" | ") for line in capability_table().splitlines()]
    assert rows[0] == [name for name in ENGINES if name != "fake"]
    assert len(rows) == 4 + len(FEATURES)


def test_notation_table_names_every_variable():
    assert all(f"| `{name}` |" in notation_table() for name in VARIABLES)
