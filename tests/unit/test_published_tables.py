"""Published tables: digits as printed, and files whose faults are named by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge import names, scales
from bridge.cases.rules import PARAMETER, rule_of
from bridge.design import make_design
from bridge.engines.harmonise import parameter_table
from bridge.errors import DataFileError
from bridge.published_data import data_of
from bridge.published_tables import load, published

CASE = """title = "t"
source = "A book, page 1"
data = "hsb"
[engines.agq]
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


@pytest.mark.parametrize("name", published())
def test_every_case_is_whole(name: str) -> None:
    table = load(name)
    assert table.name == name
    assert table.source and table.settings["software"]
    known = {scales.GAMMA, scales.DELTA, scales.RHO, *scales.TAU.values(), *scales.KAPPA.values()}
    rules = [rule_of(table, parameter) for parameter in table.frame["parameter"]]
    model = np.array([rule.kind == PARAMETER for rule in rules])
    estimates = table.frame[model & ~table.frame["statistic"].isin(["z", "t", "p"])]
    assert set(estimates["scale"]) <= known
    printed = table.frame["printed"].str.removeprefix("<").astype(float)
    assert (table.frame["value"] == printed).all()


@pytest.mark.parametrize("name", [f"leckie2014/model{k}" for k in (1, 2, 3, 4)])
def test_print_has_every_parameter_with_correlations_for_the_covariances(name: str) -> None:
    table = load(name)
    design = make_design(table.model(), data_of(table))
    known = {row[0] for row in parameter_table(design)}
    covariances = {names.flat("tau", design.pair_label(p)) for p in design.rho_pairs}
    printed = set(table.frame["parameter"]) - set(table.quantities)
    assert known - covariances <= printed
    assert not covariances & printed


def test_there_are_the_cases_that_are_promised() -> None:
    leckie = ["data", "simulation", "simulation_large", "model1_level2"]
    leckie += [f"model{k}" for k in (1, 2, 3, 4)]
    slides = ["data", "reisby", *(f"model{k}" for k in range(1, 7))]
    assert {"hlm/female", *(f"leckie2014/{k}" for k in leckie)} <= set(published())
    assert {f"slides2014/{k}" for k in slides} <= set(published())


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
    table = load(f"leckie2014/{model}")
    assert (table.value(parameter), table.value(parameter, "sd")) == (mean, sd)
    assert set(table.frame.loc[table.frame["parameter"] == parameter, "scale"]) == {scale}


def test_deviances() -> None:
    dic = [load(f"leckie2014/model{k}").value("DIC", "value") for k in (1, 2, 3, 4)]
    assert dic == [46817, 46373, 46375, 46361]
    hlm = load("hlm/female")
    ratio = hlm.value("deviance_homogeneous", "value") - hlm.value("deviance", "value")
    assert ratio == pytest.approx(hlm.value("likelihood_ratio", "value"), abs=2e-5)
    z = hlm.value("delta[female]", "estimate") / hlm.value("delta[female]", "se")
    assert z == pytest.approx(hlm.value("delta[female]", "z"), abs=5e-4)


def test_digits_are_kept_as_printed(tmp_path: Path) -> None:
    table = load("a/b", write(tmp_path))
    assert table.frame["printed"].tolist() == ["1.50", "2"]
    assert table.frame["half_digit"].tolist() == pytest.approx([0.005, 0.5])
    assert table.frame["parameter"].tolist() == ["gamma[Intercept]", "tau[u:a,u:b]"]
    assert table.spec == {"mean": "mathach ~ 1"}


def test_bounds_and_powers_as_printed(tmp_path: Path) -> None:
    more = "".join(LINE.format(n).replace("x", n) for n in ("<.1", "<0.001", "2.2e-16"))
    lines = TABLE + more.partition("\n")[2]
    frame = load("a/b", write(tmp_path, table=lines)).frame
    assert frame["bound"].tolist() == [False, False, True, False]
    assert frame["value"].tolist()[2:] == [0.001, 2.2e-16]
    assert frame["half_digit"].tolist()[2:] == pytest.approx([0, 0.5e-17], rel=1e-9, abs=0)
    assert frame["line"].tolist() == [2, 3, 4, 5]


def test_a_table_a_source_and_all_names() -> None:
    assert published("leckie2014/model1").name == "leckie2014/model1"
    assert {t.name.partition("/")[0] for t in published("leckie2014")} == {"leckie2014"}
    assert "leckie2014/model4" in [t.name for t in published("leckie2014")]
    assert "hlm/female" in published()


def test_further_fits_replace_parts_of_the_main_one() -> None:
    table = published("hlm/female")
    assert table.model().variance == "~ 1 + female"
    assert table.model("homogeneous").variance == "~ 1"
    assert table.model("homogeneous").mean == table.model().mean
    with pytest.raises(DataFileError, match=r"no fit 'homogenous'; it has main, homogeneous"):
        table.model("homogenous")


def test_the_forty_schools(tmp_path: Path) -> None:
    data = data_of(load("a/b", write(tmp_path, case='rows = "hs_schools"\n' + CASE)))
    assert (len(data), data["school"].nunique()) == (1977, 40)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(DataFileError, match=r"no published table 'leckie/model1'.*Did you mean"):
        load("leckie/model1")
    with pytest.raises(DataFileError, match=r"prints no mean of gamma\[sectr\].*'gamma\[sector\]'"):
        load("leckie2014/model1").value("gamma[sectr]")
    with pytest.raises(DataFileError, match=r"prints no se of gamma\[sector\]\.$"):
        load("leckie2014/model1").value("gamma[sector]", "se")


LINE = "gamma[x],mean,{},1,outcome,S\n"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE + LINE.format("1,5"), r"published\.csv, line 4: 7 cells"),
        (TABLE + LINE.format("3.7O"), r"published\.csv, line 4: '3\.7O' is not a number"),
        (TABLE + LINE.format("nan"), r"line 4: 'nan' is not a number"),
        (TABLE + LINE.format("1e"), r"line 4: '1e' is not a number"),
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
        load("a/b", write(tmp_path, table=table))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (CASE.replace('source = "A book, page 1"\n', ""), r"case\.toml: the case has no 'source'"),
        (CASE.replace("A book, page 1", ""), "no 'source'"),
        (CASE.replace("hsb", "hsc"), "no data set 'hsc'"),
        (CASE.replace("[spec]", "[spek]"), "unknown key 'spek'"),
        (CASE.replace("[engines.agq]", ""), "no 'engines'"),
        ('rows = "half"\n' + CASE, "hsb has no rows 'half'; there are hs_schools of hsb"),
        (CASE.replace("hsb", "simulated"), r"\[simulate\] .* belong together"),
        (CASE.replace("[engines.agq]", "[engines]\nagq = 1"), "'agq' must be a table of its own"),
        ('page = "1"\n' + CASE, "unknown key 'page'"),
        ('notes = "one"\n' + CASE, "'notes' must be a list"),
        (CASE + '[argued]\n"gamma[x]" = "because"\n', r"\[argued\] names gamma\[x\]"),
        (
            CASE + '[argued]\n"gamma[Intercept]" = "because"\n',
            "says why print cannot be reached, and within what distance",
        ),
        (
            CASE + '[argued]\n"gamma[Intercept]" = { why = "because", within = -1 }\n',
            "and within what distance",
        ),
        (
            CASE + '[settings]\nmethod = "postrior"\n',
            "method is one of .* Did you mean 'posterior'",
        ),
        (CASE + "[settings]\neffective_draws = 0\n", "effective_draws is a number above zero"),
        ("title = \n", r"case\.toml: .*line 1"),
        (None, r"case\.toml is missing"),
    ],
)
def test_a_fault_in_the_case_is_named(tmp_path: Path, case: str | None, words: str) -> None:
    with pytest.raises(DataFileError, match=words):
        load("a/b", write(tmp_path, case=case))
