"""The numbers of a column are those of the fit: estimates, SDs, quantiles, criteria, functions."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
from validate_cases import CASE, HEAD, make_case

import bridge
from bridge import arviz_compat
from bridge.cases import numbers
from bridge.cases.columns import Cell, compute_column

STATISTICS = ("mean", "sd", "lower", "median", "upper", "z")
TABLE = (
    HEAD
    + "".join(f"gamma[week],{s},0.2,1,outcome,S\n" for s in STATISTICS)
    + (
        "constant of flat,mean,17.7,2,outcome,S\n"
        "DIC,value,2000,2,deviance,S\n"
        "n_obs,value,375,2,count,S\n"
        "loglik,value,-1100,2,log-likelihood,S\n"
    )
)


@pytest.fixture(scope="module")
def data():
    return bridge.datasets.load("reisby")


def column(case, data, engine, **options):
    """Fit a case's models and compute one column of it."""
    fits = {name: bridge.fit(case.model(name), data, engine, **options) for name in case.models()}
    context = numbers.Context(case, data, fits, engine)
    cells = {(c.parameter, c.statistic): c for c in compute_column(context)}
    return fits, cells


def test_a_posterior(tmp_path, data):
    case = make_case(tmp_path, table=TABLE)
    fits, cells = column(case, data, "fake", chains=2, draws=200, seed=1)
    row = fits["main"].estimates.set_index("parameter").loc["gamma[week]"]
    draws = fits["main"].idata.posterior["gamma"].sel(mean_term="week").values
    mean = cells["gamma[week]", "mean"]
    assert (mean.value, mean.mc_error, mean.sd) == (row["estimate"], row["mcse"], row["se"])
    assert (mean.method, mean.component) == ("posterior", "mean")
    sd = cells["gamma[week]", "sd"]
    assert sd.value == pytest.approx(draws.std(ddof=1))
    assert sd.mc_error == pytest.approx(sd.value / np.sqrt(2 * draws.size), rel=0.2)
    for statistic, share in (("lower", 0.025), ("median", 0.5), ("upper", 0.975)):
        cell = cells["gamma[week]", statistic]
        assert cell.value == pytest.approx(np.quantile(draws, share))
        assert cell.mc_error == arviz_compat.quantile_error(draws, share) > 0
    assert cells["gamma[week]", "z"].value is None
    assert "posterior fit has no z" in cells["gamma[week]", "z"].note
    flat = fits["flat"].estimate("gamma[Intercept]")
    assert cells["constant of flat", "mean"].value == flat
    dic = bridge.criteria(fits["main"], "dic", progress=False).table.iloc[0]
    assert cells["DIC", "value"].value == pytest.approx(dic["estimate"])
    assert cells["DIC", "value"].mc_error == pytest.approx(dic["mc_error"])
    assert cells["n_obs", "value"].value == 375
    assert "belongs to maximum likelihood" in cells["loglik", "value"].note


def test_maximum_likelihood(tmp_path, data):
    table = TABLE + "gamma[week],p,<0.001,1,probability,S\nn_parameters,value,4,2,count,S\n"
    fits, cells = column(make_case(tmp_path, CASE.replace("fake", "agq").replace(
        "chains = 2\ndraws = 200\nseed = 1\n", ""), table), data, "agq")  # fmt: skip
    row = fits["main"].estimates.set_index("parameter").loc["gamma[week]"]
    z = row["estimate"] / row["se"]
    assert cells["gamma[week]", "z"].value == z
    assert cells["gamma[week]", "p"].value == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert cells["gamma[week]", "lower"].value == row["lower"]
    assert cells["gamma[week]", "sd"].mc_error == 0
    assert "ML fit has no median" in cells["gamma[week]", "median"].note
    assert cells["loglik", "value"].value == fits["main"].loglik
    assert cells["n_parameters", "value"].value == 4
    assert cells["DIC", "value"].value is None


def test_cells_survive_json(tmp_path):
    cell = Cell("a", "mean", 1.5, float("nan"), None, note="n")
    again = Cell.from_json(cell.as_json())
    assert np.isnan(again.mc_error) and (again.value, again.sd, again.note) == (1.5, None, "n")
    assert cell.as_json()["mc_error"] is None


def test_a_fault_in_one_number_costs_no_other(tmp_path, data, functions, monkeypatch):
    table = HEAD + "gamma[week],mean,-2.4,1,outcome,S\nconstant of flat,mean,1,1,outcome,S\n"
    square = '[quantities.square]\ncompute = "square"\nparameter = "gamma[week]"\n'
    case = make_case(tmp_path, CASE + square, table + "square,value,5.8,1,outcome,S\n")
    monkeypatch.setattr(numbers.Context, "estimate", lambda self, name: name**2)
    _, cells = column(case, data, "fake", chains=1, draws=20, seed=1)
    assert cells["square", "value"].value is None
    assert cells["square", "value"].note.startswith("failed: TypeError: ")
    assert cells["gamma[week]", "mean"].value is not None


@pytest.fixture
def functions(monkeypatch):
    numbers.functions()  # all that register by themselves are there
    monkeypatch.setattr(numbers, "_KNOWN", dict(numbers._KNOWN))

    @numbers.quantity("square", gives=("value", "se", "upper"))
    def square(context, parameter):
        return numbers.Number(context.estimate(parameter) ** 2, 0.1, se=0.5)

    @numbers.quantity("rows", of="data")
    def rows(context):
        return numbers.Number(float(len(context.data)))


QUANTITIES = (
    '[quantities.square]\ncompute = "square"\nparameter = "gamma[week]"\n'
    '[quantities.rows]\ncompute = "rows"\n'
)


def test_functions_of_fits_print_and_data(tmp_path, data, functions):
    case = make_case(
        tmp_path,
        CASE.replace("[quantities", "[engines.print]\n[quantities", 1) + QUANTITIES,
        HEAD + "gamma[week],mean,-2.4,1,outcome,S\nconstant of flat,mean,1,1,outcome,S\n"
        "square,value,5.8,1,outcome,S\nsquare,se,0.5,1,outcome,S\nsquare,upper,6,1,outcome,S\n"
        "rows,value,396,1,count,S\n",
    )
    fits, cells = column(case, data, "fake", chains=2, draws=100, seed=1)
    square = cells["square", "value"]
    assert square.value == fits["main"].estimate("gamma[week]") ** 2
    assert (square.mc_error, square.sd, square.rounding) == (0.1, 0.5, 0.0)
    assert square.method == "posterior" and square.component == "function"
    assert cells["square", "se"].mc_error == pytest.approx(0.1 / np.sqrt(2))
    assert cells["square", "upper"].note == "Here it has no upper."
    assert ("rows", "value") not in cells

    printed = compute_column(numbers.Context(case, data, {}, "print"))
    of_print = {(c.parameter, c.statistic): c for c in printed}
    assert set(of_print) == {("square", s) for s in ("value", "se", "upper")}
    assert of_print["square", "value"].value == pytest.approx(5.76)
    # -2.4 is anything from -2.45 to -2.35: 2.45 squared less 2.4 squared
    assert of_print["square", "value"].rounding == pytest.approx(2.45**2 - 2.4**2)

    (of_data,) = compute_column(numbers.Context(case, data, {}, "data"))
    assert (of_data.parameter, of_data.value, of_data.method) == ("rows", 396, "")


def test_slow_numbers_are_left_out_when_in_a_hurry(tmp_path, data, functions):
    case = make_case(
        tmp_path,
        CASE + QUANTITIES.replace('"gamma[week]"\n', '"gamma[week]"\nslow = true\n'),
        HEAD + "constant of flat,mean,1,1,outcome,S\nsquare,value,5.8,1,outcome,S\n"
        "rows,value,396,1,count,S\n",
    )
    fits = {"flat": bridge.fit(case.model("flat"), data, "fake", chains=1, draws=20, seed=1)}
    context = numbers.Context(case, data, fits, "fake")
    assert [c.parameter for c in compute_column(context, quick=True)] == ["constant of flat"]
    whole = compute_column(context)
    assert [c.parameter for c in whole] == ["constant of flat", "square"]
    assert "has no fit 'main' in column fake" in whole[1].note


def test_functions_that_depend_on_level_2_say_so(tmp_path, data):
    tau = "tau[u:Intercept,u:Intercept]"
    case = make_case(
        tmp_path,
        CASE
        + f'[quantities.sum]\ncompute = "linear_combination"\nterms = {{ "{tau}" = 2.0 }}\n'
        + '[quantities.double]\ncompute = "linear_combination"\n'
        'terms = { "gamma[week]" = 2.0 }\n'
        '[quantities.error]\ncompute = "standard_error"\nparameter = "gamma[week]"\n',
        HEAD + "gamma[week],mean,-2.4,1,outcome,S\nconstant of flat,mean,1,1,outcome,S\n"
        "sum,value,25,1,variance,S\ndouble,value,-4.8,1,outcome,S\nerror,value,0.2,1,outcome,S\n",
    )
    _, cells = column(case, data, "fake", chains=2, draws=100, seed=1)
    found = {name: cells[name, "value"].component for name in ("sum", "double", "error")}
    assert found == {"sum": "level2 function", "double": "function", "error": "level2 function"}
