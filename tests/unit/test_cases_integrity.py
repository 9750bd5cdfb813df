"""Every printed number of every case has a rule; a name that means nothing is named by place."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cases import numbers
from bridge.cases.integrity import check_case, engine_spec
from bridge.cases.rules import columns_of, rule_of
from bridge.errors import DataFileError
from bridge.published_tables import load, published

CASE = """title = "t"
source = "A book, page 1"
data = "hsb"
[spec]
mean = "mathach ~ 1 + sector + (1 | school)"
priors = {gamma = "normal(0, 9)"}
[fits.null]
mean = "mathach ~ 1 + (1 | school)"
[engines.agq]
[engines."nuts wide"]
engine = "nuts"
chains = 2
priors = {sd_u = "exponential(1)"}
[quantities."DIC null"]
statistic = "DIC"
fit = "null"
engines = ["nuts wide"]
[quantities.constant]
parameter = "gamma[Intercept]"
fit = "null"
"""
TABLE = """parameter,statistic,value,page,scale,software
gamma[sector],mean,1.50,1,outcome,S
gamma[sector],z,2.50,1,ratio,S
"tau[u:Intercept,u:Intercept]",sd,2,1,outcome²,S
DIC,value,1000,1,deviance,S
DIC null,value,1100,1,deviance,S
constant,mean,1,1,outcome,S
constant,p,<0.001,1,probability,S
"""


def make(root: Path, case: str = CASE, table: str = TABLE):
    """Write a case a/b and read it."""
    folder = root / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "case.toml").write_text(case, encoding="utf-8")
    (folder / "published.csv").write_text(table, encoding="utf-8")
    return load("a/b", root)


@pytest.mark.parametrize("name", published())
def test_every_number_of_every_case_has_a_rule(name: str) -> None:
    check_case(load(name))


def test_the_rules_of_a_case(tmp_path: Path) -> None:
    case = make(tmp_path)
    check_case(case)
    assert columns_of(case) == ("agq", "nuts wide")
    rules = {name: rule_of(case, name) for name in case.frame["parameter"]}
    assert rules["gamma[sector]"].kind == "parameter"
    assert rules["DIC"].fits == ("main",) and rules["DIC null"].fits == ("null",)
    assert rules["DIC null"].columns == ("nuts wide",)
    assert rules["constant"].name == "gamma[Intercept]"


def test_priors_go_to_engines_that_take_them(tmp_path: Path) -> None:
    case = make(tmp_path)
    assert not engine_spec(case, "agq", "main").priors
    assert dict(engine_spec(case, "nuts wide", "main").priors) == {"sd_u": "exponential(1)"}


@pytest.fixture
def functions(monkeypatch):
    """Three functions of their own beside the registered ones."""
    numbers.functions()  # all that register by themselves are there
    monkeypatch.setattr(numbers, "_KNOWN", dict(numbers._KNOWN))
    numbers.quantity("of rows", of="data")(lambda context, column: numbers.Number(1.0))
    numbers.quantity("of fits", gives=("value", "p"))(
        lambda context, first="main", fits=(), fit="main": numbers.Number(1.0)
    )


def test_functions_need_the_fits_that_their_arguments_name(tmp_path, functions) -> None:
    more = CASE + (
        '[quantities.rows]\ncompute = "of rows"\ncolumn = "ses"\n'
        '[quantities.change]\ncompute = "of fits"\nfirst = "null"\n'
        '[quantities.two]\ncompute = "of fits"\nfits = ["null"]\n'
        '[quantities.of_two]\ncompute = "of fits"\nfirst = "two"\n'
    )
    lines = "".join(f"{name},value,1,1,count,S\n" for name in ("rows", "change", "two", "of_two"))
    case = make(tmp_path, more, TABLE + lines)
    check_case(case)
    assert columns_of(case)[-1] == "data"
    assert rule_of(case, "rows").columns == ("data",) and rule_of(case, "rows").fits == ()
    assert rule_of(case, "change").fits == ("main", "null")
    assert rule_of(case, "two").fits == ("null",) == rule_of(case, "of_two").fits


@pytest.mark.parametrize(
    ("case", "table", "words"),
    [
        (CASE, "gamma[sectr],mean,1,1,outcome,S", r"published\.csv, line 9: 'gamma\[sectr\]'.*Did"),
        (CASE, "gamma[sector],value,1,1,outcome,S", "line 9: no rule gives the value of gamma"),
        (CASE, "DIC,sd,1,1,outcome,S", "line 9: no rule gives the sd of DIC"),
        (CASE.replace("mathach ~ 1 + sec", "mathach ~ 1 + sek"), "", r"\[spec\]: .*sektor"),
        (CASE.replace("mathach ~ 1 + (1", "mathach ~ 1 + (x"), "", r"\[fits\.null\]: "),
        (CASE.replace("chains = 2", "chians = 2"), "", r"\[engines\.nuts wide\]: nuts has no opt"),
        (CASE.replace('"nuts"', '"nutz"'), "", r"\[engines\.nuts wide\]: There is no engine 'nutz"),
        (CASE.replace("[engines.agq]", "[engines.aqg]"), "", r"\[engines\.aqg\]: There is no eng"),
        (CASE.replace('"exponential(1)"', '"exponent(1)"'), "", r"\[engines\.nuts wide\]: "),
        (CASE.replace('["nuts wide"]', '["nuts"]'), "", "engines: there is no 'nuts'"),
        (CASE.replace('fit = "null"', 'fit = "nul"'), "", "fit: there is no 'nul'.*Did you mean"),
        (CASE.replace('statistic = "DIC"', 'statistic = "DIK"'), "", "line 6: 'DIK' is no statist"),
        (CASE.replace('statistic = "DIC"', ""), "", r'\[quantities\."DIC null"\]: it says how'),
        (CASE.replace('statistic = "DIC"', 'compute = "dik"'), "", "no function 'dik'"),
        (CASE + 'fitt = "null"\n', "", r'\[quantities\."constant"\]: there is no key \'fitt\''),
        (CASE + '[quantities.x]\nstatistic = "DIC"\n', "", "no line of published.csv is the quant"),
        (CASE.replace("[engines.agq]", "[engines.print]\nchains = 1"), "", "'print' has no opt"),
        (CASE.replace("[engines.agq]", '[engines.agq]\nfits = ["nul"]'), "", "no fit 'nul'"),
        (
            CASE.replace("[engines.agq]", '[engines.agq]\nfails = {nul = "so"}'),
            "",
            "there is no fit 'nul'",
        ),
        (
            CASE.replace("[engines.agq]", "[engines.lme4]").replace(
                "[fits.null]", 'variance = "~ 1 + sector"\n[fits.null]'
            ),
            "",
            r"\[engines\.lme4\]: it can fit no model of the case\. lme4 cannot model the residual",
        ),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_named(tmp_path, case, table, words) -> None:
    with pytest.raises(DataFileError, match=words):
        check_case(make(tmp_path, case, TABLE + (table + "\n" if table else "")))


def test_a_function_that_does_not_fit_its_arguments(tmp_path, functions) -> None:
    more = CASE + '[quantities.rows]\ncompute = "of rows"\n'
    with pytest.raises(DataFileError, match=r'"rows"\]: \'of rows\' does not fit.*column'):
        check_case(make(tmp_path, more, TABLE + "rows,value,1,1,count,S\n"))


def test_a_statistic_that_a_function_does_not_give(tmp_path, functions) -> None:
    more = CASE + '[quantities.change]\ncompute = "of fits"\n'
    with pytest.raises(DataFileError, match="line 9: no rule gives the se of change, but value, p"):
        check_case(make(tmp_path, more, TABLE + "change,se,1,1,count,S\n"))
