"""Published tables: digits as printed, and files whose faults are named by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge import datasets, names, published, scales
from bridge.design import make_design
from bridge.errors import DataFileError
from bridge.spec import ModelSpec

CASE = """title = "t"
source = "A book, page 1"
data = "hsb"
[spec]
mean = "mathach ~ 1"
"""
TABLE = """parameter,statistic,value,page,scale,software
gamma[Intercept],mean,1.50,1,outcome,S
"tau[u:a,u:b]",sd,2,1,outcome²,S
"""


def write(root: Path, case: str | None = CASE, table: str | None = TABLE) -> Path:
    """Write a case a/b below a folder."""
    folder = root / "a" / "b"
    folder.mkdir(parents=True)
    for name, text in (("case.toml", case), ("published.csv", table)):
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("name", published.names())
def test_every_case_is_whole(name: str) -> None:
    table = published.load(name)
    assert table.name == name
    assert table.source and table.settings["software"]
    known = {scales.GAMMA, scales.DELTA, scales.RHO, *scales.TAU.values()}
    model = table.frame["parameter"].str.contains("[", regex=False)
    estimates = table.frame[model & ~table.frame["statistic"].isin(["z", "p"])]
    assert set(estimates["scale"]) <= known
    assert (table.frame["value"] == table.frame["printed"].astype(float)).all()


@pytest.mark.parametrize("name", published.names())
def test_what_is_printed_has_the_names_of_the_specs_result(name: str) -> None:
    table = published.load(name)
    design = make_design(ModelSpec(**table.spec), datasets.load(table.data))
    labels = {
        "gamma": design.mean.labels,
        "delta": design.variance.labels,
        "tau": [design.pair_label(pair) for pair in design.tau_pairs],
        "rho": [design.pair_label(pair) for pair in design.rho_pairs],
    }
    known = {names.flat(variable, label) for variable, many in labels.items() for label in many}
    printed = {parameter for parameter in table.frame["parameter"] if "[" in parameter}
    assert printed and printed <= known
    if name.startswith("leckie2014"):
        # Print has every parameter, with correlations for the covariances.
        covariances = {names.flat("tau", design.pair_label(p)) for p in design.rho_pairs}
        assert printed == known - covariances


def test_there_are_the_cases_that_are_promised() -> None:
    assert {"hlm/female", *(f"leckie2014/model{k}" for k in (1, 2, 3, 4))} <= set(published.names())


@pytest.mark.parametrize(
    ("model", "parameter", "mean", "sd", "scale"),
    [
        ("model1", "gamma[sector]", 2.829, 0.442, "outcome"),
        ("model1", "rho[u:Intercept,v:Intercept]", -0.279, 0.173, "correlation"),
        ("model2", "tau[v:Intercept,v:Intercept]", 0.017, 0.006, "(log variance)²"),
        ("model3", "delta[center(gsd(ses, school))]", 0.100, 0.221, "log variance"),
        ("model4", "delta[sector:I(ses - meanses)]", -0.239, 0.058, "log variance"),
        ("model4", "rho[u:Intercept,v:I(ses - meanses)]", -0.352, 0.198, "correlation"),
        ("model4", "rho[u:I(ses - meanses),v:Intercept]", 0.217, 0.242, "correlation"),
    ],
)
def test_leckie(model: str, parameter: str, mean: float, sd: float, scale: str) -> None:
    table = published.load(f"leckie2014/{model}")
    assert (table.value(parameter), table.value(parameter, "sd")) == (mean, sd)
    assert set(table.frame.loc[table.frame["parameter"] == parameter, "scale"]) == {scale}


def test_deviances() -> None:
    dic = [published.load(f"leckie2014/model{k}").value("DIC", "value") for k in (1, 2, 3, 4)]
    assert dic == [46817, 46373, 46375, 46361]
    hlm = published.load("hlm/female")
    ratio = hlm.value("deviance_homogeneous", "value") - hlm.value("deviance", "value")
    assert ratio == pytest.approx(hlm.value("likelihood_ratio", "value"), abs=2e-5)
    z = hlm.value("delta[female]", "estimate") / hlm.value("delta[female]", "se")
    assert z == pytest.approx(hlm.value("delta[female]", "z"), abs=5e-4)


def test_digits_are_kept_as_printed(tmp_path: Path) -> None:
    table = published.load("a/b", write(tmp_path))
    assert table.frame["printed"].tolist() == ["1.50", "2"]
    assert table.frame["half_digit"].tolist() == pytest.approx([0.005, 0.5])
    assert table.frame["parameter"].tolist() == ["gamma[Intercept]", "tau[u:a,u:b]"]
    assert table.spec == {"mean": "mathach ~ 1"}


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(DataFileError, match=r"no published table 'leckie/model1'.*Did you mean"):
        published.load("leckie/model1")
    with pytest.raises(DataFileError, match=r"prints no mean of gamma\[sectr\].*'gamma\[sector\]'"):
        published.load("leckie2014/model1").value("gamma[sectr]")
    with pytest.raises(DataFileError, match=r"prints no se of gamma\[sector\]\.$"):
        published.load("leckie2014/model1").value("gamma[sector]", "se")


LINE = "gamma[x],mean,{},1,outcome,S\n"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE + LINE.format("1,5"), r"published\.csv, line 4: 7 cells"),
        (TABLE + LINE.format("3.7O"), r"published\.csv, line 4: '3\.7O' is not a number"),
        (TABLE + LINE.format("nan"), r"line 4: 'nan' is not a number"),
        (TABLE + LINE.format("1e3"), r"line 4: '1e3' is not a number"),
        (TABLE + LINE.format("\N{MINUS SIGN}1.2"), r"line 4: .* is not a number"),
        (TABLE + LINE.format(""), r"line 4: 'value' is empty"),
        (TABLE + LINE.format(" 1"), r"line 4: 'value' .* blanks"),
        (TABLE + "\n" + LINE.format("1"), r"line 4: 0 cells"),
        (TABLE + LINE.format("1").replace("mean", "sd").replace(",1,", ",-1,", 1), "line 4: a sd"),
        (TABLE + "gamma[Intercept],mean,1.6,1,outcome,S\n", r"line 4: the mean .* on line 2"),
        ("parameter,value\n", r"published\.csv, line 1: the columns must be"),
        (TABLE.splitlines()[0] + "\n", "holds no numbers"),
        (None, r"published\.csv is missing"),
    ],
)
def test_a_fault_in_the_numbers_is_named(tmp_path: Path, table: str | None, words: str) -> None:
    with pytest.raises(DataFileError, match=words):
        published.load("a/b", write(tmp_path, table=table))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (CASE.replace('source = "A book, page 1"\n', ""), r"case\.toml: the case has no 'source'"),
        (CASE.replace("A book, page 1", ""), "no 'source'"),
        (CASE.replace("hsb", "hsc"), "no data set 'hsc'"),
        (CASE.replace("[spec]", "[spek]"), "no 'spec'"),
        ('page = "1"\n' + CASE, "unknown key 'page'"),
        ('notes = "one"\n' + CASE, "'notes' must be a list"),
        (CASE + '[argued]\n"gamma[x]" = "because"\n', r"\[argued\] names gamma\[x\]"),
        ("title = \n", r"case\.toml: .*line 1"),
        (None, r"case\.toml is missing"),
    ],
)
def test_a_fault_in_the_case_is_named(tmp_path: Path, case: str | None, words: str) -> None:
    with pytest.raises(DataFileError, match=words):
        published.load("a/b", write(tmp_path, case=case))
