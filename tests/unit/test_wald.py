"""`bridge.wald`: printed tests, statsmodels, brute force, draws, forms, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge import arviz_compat, resources
from bridge.errors import BridgeError, HypothesisError, NotAvailable, OptionError, RequestError
from bridge.posterior_parts import draws_of
from bridge.result import Result
from bridge.spec import ModelSpec


@cache
def schools() -> pd.DataFrame:
    """The 40 schools of the course notes, with the sector as text."""
    hsb = bridge.datasets.load("hsb")
    listed = (resources.root() / "validation/data/hs_schools.txt").read_text().split()
    chosen = hsb[hsb["school"].isin(map(int, listed))]
    return chosen.assign(Sector=chosen["sector"].map({0: "Public", 1: "Catholic"}))


@cache
def frame() -> pd.DataFrame:
    """Return 30 groups of 6 rows."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 6)
    x, z = rng.normal(size=(2, 180))
    w = (g % 2).astype(float)
    y = 1 + 0.5 * x + w + rng.normal(size=30)[g] + np.exp(0.2 * x) * rng.normal(size=180)
    return pd.DataFrame({"y": y, "x": x, "z": z, "w": w, "g": g})


@cache
def ols(mean: str = "x * w + I(z^2)", method: str = "REML") -> Result:
    return bridge.fit(ModelSpec(f"y ~ {mean}"), frame(), "ols", method=method)


@cache
def agq() -> Result:
    spec = ModelSpec("y ~ x * w + (1 | s | g)", "~ x + z + (1 | s | g)")
    return bridge.fit(spec, frame(), "agq")


@cache
def fake(draws: int = 250) -> Result:
    spec = ModelSpec("y ~ x * w + (1 | s | g)", "~ x + z + (1 | s | g)")
    return bridge.fit(spec, frame(), "fake", draws=draws, chains=2, seed=4)


@cache
def statsmodels_ols() -> Any:
    from statsmodels.api import OLS

    data = frame()
    X = pd.DataFrame(
        {"Intercept": 1.0, "x": data.x, "w": data.w, "z2": data.z**2, "xw": data.x * data.w}
    )
    return OLS(data.y, X).fit()


def columns() -> list[str]:
    """Return the labels of the regression in the order of statsmodels'."""
    return ["Intercept", "x", "w", "I(z^2)", "x:w"]


# --- printed (course notes "Mixed models with R", SCS 2017, Methods 2a and 2b) --------------------
def test_the_printed_test_of_averages_over_schools() -> None:
    spec = ModelSpec("mathach ~ 0 + C(school) + C(school):ses")
    lines = bridge.fit(spec, schools(), "ols", method="REML")
    public = schools().groupby("school")["sector"].first() == 0
    weight = public.map({True: 1 / public.sum(), False: -1 / (~public).sum()})
    L = pd.DataFrame(
        {f"C(school)[{s}]": [w, 0.0] for s, w in weight.items()}
        | {f"C(school)[{s}]:ses": [0.0, w] for s, w in weight.items()},
        index=["Int", "Slope"],
    )
    found = bridge.wald(lines, L)
    assert (found.kind, found.df, found.df_denominator) == ("F", 2, 1897)
    assert round(found.statistic, 5) == 21.03533 and found.p < 1e-5
    rows = found.rows.set_index("hypothesis")
    assert list(rows.loc["Int", ["estimate", "se", "t"]].astype(float).round(6)) == [
        -2.027255, 0.351992, -5.759378,
    ]  # fmt: skip
    assert list(rows.loc["Slope", ["estimate", "se", "t"]].astype(float).round(6)) == [
        1.109995, 0.454114, 2.444309,
    ]  # fmt: skip
    assert round(rows.loc["Slope", "p"], 4) == 0.0146
    assert str(found).startswith("Wald test: F(2, 1897) = 21.035, p = 9.2")
    averages = bridge.by_group(ModelSpec("mathach ~ ses"), schools(), "school").average(by="sector")
    assert found.statistic == pytest.approx(averages.wald().statistic, rel=1e-9)


def test_the_printed_test_of_terms_that_contain_a_word() -> None:
    spec = ModelSpec("mathach ~ ses + C(school) + ses:Sector")
    found = bridge.wald(bridge.fit(spec, schools(), "ols", method="REML"), containing="ses:Sector")
    row = found.rows.iloc[0]
    assert row["hypothesis"] == "ses:Sector[Public] = 0"
    assert list(row[["estimate", "se", "t"]].astype(float).round(6)) == [
        1.204719, 0.436134, 2.762267,
    ]  # fmt: skip
    assert round(row["p"], 5) == 0.00579 and found.df_denominator == 1935


# --- statsmodels ---------------------------------------------------------------------------------
MATRICES = {
    "one": ([[0, 1, 0, 0, -1]], [0.2]),
    "three": ([[0, 1, 0, 0, 0], [0, 0, 2, 0, 1], [1, -1, 0, 3, 0]], [0.5, 0, 1]),
    "slopes": (np.eye(5)[1:], [0, 0, 0, 0]),
}


@pytest.mark.parametrize("case", MATRICES)
def test_least_squares_is_statsmodels_s(case: str) -> None:
    L, rhs = (np.asarray(part, dtype=float) for part in MATRICES[case])
    found = bridge.wald(ols(), pd.DataFrame(L, columns=columns()), rhs=rhs)
    theirs = statsmodels_ols().wald_test((L, rhs), use_f=True, scalar=True)
    assert (found.kind, found.df, found.df_denominator) == ("F", len(L), 175)
    assert found.statistic == pytest.approx(float(theirs.statistic), rel=1e-8)
    assert found.p == pytest.approx(float(theirs.pvalue), rel=1e-7)
    each = statsmodels_ols().t_test((L, rhs))
    limits = each.conf_int()
    for name, expected in {
        "value": rhs, "estimate": each.effect, "se": each.sd, "t": each.tvalue.ravel(),
        "p": each.pvalue, "lower": limits[:, 0], "upper": limits[:, 1],
    }.items():  # fmt: skip
        np.testing.assert_allclose(found.rows[name], np.ravel(expected), rtol=1e-8, atol=1e-12)
    assert set(found.rows["scale"]) == {"outcome"} and found.notes == ()


def test_maximum_likelihood_of_a_regression_is_chi_square() -> None:
    found = bridge.wald(ols(method="ML"), containing="x")
    exact = bridge.wald(ols(), containing="x")
    assert (found.kind, found.df_denominator, list(found.rows)[-2:]) == (
        "chi-square", None, ["z", "p"],
    )  # fmt: skip
    assert found.statistic == pytest.approx(2 * exact.statistic * 180 / 175, rel=1e-9)
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic, 2))
    assert found.notes[0].startswith("normal intervals and chi-square")
    variance = bridge.wald(ols(), "Intercept = 0", function="variance")  # its own law is no F
    assert (variance.kind, variance.rows["scale"][0]) == ("chi-square", "log variance")


# --- estimates and their covariance --------------------------------------------------------------
def test_both_functions_by_brute_force() -> None:
    result = agq()
    asked = ["w + x:w = 1", "delta[x] = delta[z]", "gamma[x] - 2 * delta[x]"]
    found = bridge.wald(result, asked)
    flat = ["gamma[w]", "gamma[x:w]", "gamma[x]", "delta[x]", "delta[z]"]
    L = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 1, -1], [0, 0, 1, -2, 0.0]])
    b = np.array([result.estimate(name) for name in flat])
    V = result.parameter_covariance.loc[flat, flat].to_numpy()
    gap, spread = L @ b - [1, 0, 0], L @ V @ L.T
    assert found.statistic == pytest.approx(gap @ np.linalg.inv(spread) @ gap, rel=1e-9)
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic, 3), rel=1e-9)
    rows = found.rows
    np.testing.assert_allclose(rows["estimate"], L @ b)
    np.testing.assert_allclose(rows["se"], np.sqrt(np.diag(spread)))
    np.testing.assert_allclose(rows["z"], gap / rows["se"])
    np.testing.assert_allclose(rows["p"], 2 * stats.norm.sf(abs(gap) / rows["se"]))
    np.testing.assert_allclose(rows["upper"], L @ b + stats.norm.ppf(0.975) * rows["se"])
    assert list(rows["scale"]) == ["outcome", "log variance", "outcome + log variance"]
    assert list(rows["hypothesis"]) == [asked[0], asked[1], "gamma[x] - 2 * delta[x] = 0"]
    np.testing.assert_array_equal(found.weights[flat], L)
    assert "agq, maximum likelihood (ML): estimates and their covariance matrix" in str(found)


def test_one_coefficient_is_its_row_of_the_estimates() -> None:
    table = agq().estimates.set_index("parameter")
    for function, name in (("mean", "gamma[x]"), ("variance", "delta[x]")):
        row = bridge.wald(agq(), "x", function=function).rows.iloc[0]
        for cell in ("scale", "estimate", "se", "lower", "upper"):
            expected = table.loc[name, cell]
            assert row[cell] == (expected if cell == "scale" else pytest.approx(expected))


def test_level2_functions_and_two_steps() -> None:
    spec = ModelSpec("y ~ x + (1 | g)", level2="~ w")
    fitted = bridge.fit(spec, frame(), "agq")
    name = next(p for p in fitted.estimates["parameter"] if p.startswith("kappa[") and "w" in p)
    row = bridge.wald(fitted, f"{name} = 0").rows.iloc[0]
    assert row["scale"] == "log variance" and row["estimate"] == fitted.estimate(name)
    two = bridge.fit(ModelSpec("y ~ x + (1 | g)", "~ w + (1 | g)"), frame(), "twostep")
    found = bridge.wald(two, "delta[w]")
    assert found.statistic == pytest.approx(found.rows["z"][0] ** 2)
    assert "two-step" in found.method


# --- draws ---------------------------------------------------------------------------------------
def test_draws_against_numpy() -> None:
    result = fake()
    found = bridge.wald(result, {"slope": "x + x:w = 0.4", "log variance": "delta[x] = delta[z]"})
    d = {name: v.ravel() for name, v in draws_of(
        result, ["gamma[x]", "gamma[x:w]", "delta[x]", "delta[z]"]
    ).items()}  # fmt: skip
    drawn = np.stack([d["gamma[x]"] + d["gamma[x:w]"], d["delta[x]"] - d["delta[z]"]])
    gap = drawn.mean(axis=1) - [0.4, 0]
    expected = gap @ np.linalg.inv(np.cov(drawn)) @ gap
    assert found.statistic == pytest.approx(expected, rel=1e-9)
    assert (found.kind, found.df) == ("chi-square", 2)
    assert found.p == pytest.approx(stats.chi2.sf(expected, 2), rel=1e-9)
    rows = found.rows
    np.testing.assert_allclose(rows["estimate"], drawn.mean(axis=1))
    np.testing.assert_allclose(rows["se"], drawn.std(axis=1, ddof=1))
    np.testing.assert_allclose(rows["lower"], np.quantile(drawn, 0.025, axis=1))
    np.testing.assert_allclose(rows["upper"], np.quantile(drawn, 0.975, axis=1))
    above = np.array([(drawn[0] > 0.4).mean(), (drawn[1] > 0).mean()])
    np.testing.assert_allclose(rows["two_sided_tail"], 2 * np.minimum(above, 1 - above))
    assert "p" not in rows and "z" not in rows
    assert list(rows["hypothesis"]) == ["slope", "log variance"]
    assert "mean and covariance matrix of 500 draws" in found.method
    said = str(found)
    assert "two sided tail" in said and "in steps of 0.004" in said


def test_loaded_results_give_the_same(tmp_path: Any) -> None:
    for result in (fake(), agq()):
        again = bridge.load(result.save(tmp_path / f"{result.engine}.nc"))
        assert str(bridge.wald(again, containing="x")) == str(bridge.wald(result, containing="x"))


# --- forms of one hypothesis ---------------------------------------------------------------------
FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a list": (["w + x:w = 1", "x = 0"], {}),
    "one text": ("w + x:w = 1, x", {}),
    "flat names": (["gamma[w] + gamma[x:w] = 1", "gamma[x]"], {"function": "variance"}),
    "an array": ([[0, 0, 1, 1], [0, 1, 0, 0]], {"rhs": [1, 0]}),
    "a column of values": (np.array([[0, 0, 1, 1], [0, 1, 0, 0]]), {"rhs": [[1], [0]]}),
    "a frame": (pd.DataFrame({"x": [0, 1], "x:w": [1, 0], "gamma[w]": [1, 0]}), {"rhs": (1, 0)}),
    "a named frame": (
        pd.DataFrame({"x:w": [0, 1], "w": [0, 1], "x": [1, 0]}, index=["a", "b"]),
        {"rhs": pd.Series({"b": 1.0, "a": 0.0})},
    ),
    "weights": ({"a": {"w": 1, "x:w": 1}, "b": {"x": 1}}, {"rhs": {"b": 0, "a": 1}}),
    "names": ({"a": "w + x:w = 1", "b": "x"}, {}),
    "scaled, and a sum": (["x = 0", "3*(w + x:w) = 3", "x + w + x:w = 1"], {}),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms_of_one_hypothesis(case: str) -> None:
    hypothesis, more = FORMS[case]
    expected = bridge.wald(agq(), ["w + x:w = 1", "x = 0"])
    found = bridge.wald(agq(), hypothesis, **more)
    assert found.df == 2
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p == pytest.approx(expected.p, rel=1e-9)


def test_names_of_rows() -> None:
    def names(*args: Any, **more: Any) -> list[str]:
        return list(bridge.wald(agq(), *args, **more).rows["hypothesis"])

    assert names([[0, 1, -2, 0.5]]) == ["x - 2*w + 0.5*x:w = 0"]
    assert names([0, 0, -1, 0], rhs=1.5) == ["-w = 1.5"]
    assert names(pd.DataFrame({"x": [1]}, index=["slope"])) == ["slope"]
    assert names(pd.Series({"x": 1, "w": -1})) == ["x - w = 0"]
    assert names(pd.Series({"x": 1, "w": -1}, name="gap")) == ["gap"]
    assert names({"gap": {"delta[x]": 1, "z": -1}}, function="variance") == ["gap"]
    assert names(containing="x", rhs=2) == ["x = 2", "x:w = 2"]


def test_rows_that_follow_from_others_are_said() -> None:
    found = bridge.wald(agq(), ["x", "w", "x + 2 * w"])
    assert (found.df, len(found.rows)) == (2, 3)
    assert found.notes[0].startswith("1 of the 3 hypotheses follows from the others")
    assert "rank, 2, counts" in str(found)


def test_words_are_whole() -> None:
    result = ols("x + w + I(x * w) + log(10 + z)")
    assert list(bridge.wald(result, containing="x").weights) == ["gamma[x]", "gamma[I(x * w)]"]
    assert list(bridge.wald(result, containing="log(10 + z)").weights) == ["gamma[log(10 + z)]"]


def test_the_test_is_frozen_and_prints() -> None:
    found = bridge.wald(agq(), "x = 0")
    assert str(found) == repr(found) == found.text()
    with pytest.raises(FrozenInstanceError):
        found.p = 0.0  # type: ignore[misc]
    said = [line.split() for line in str(found).splitlines()[3:5]]
    assert said[0] == ["scale", "value", "estimate", "SE", "2.5%", "97.5%", "z", "p"]
    assert said[1][:4] == ["x", "=", "0", "outcome"]


# --- what is refused -----------------------------------------------------------------------------
def without(name: str) -> Result:
    """Return a fit that has no covariance of one coefficient."""
    covariance = agq().parameter_covariance
    return replace(agq(), parameter_covariance=covariance.drop(index=name, columns=name))


def unknown_covariance(name: str) -> Result:
    """Return a fit whose covariance of one coefficient is NaN, with a note that says why."""
    covariance, estimates = agq().parameter_covariance.copy(), agq().estimates.copy()
    covariance.loc[name, :] = covariance.loc[:, name] = np.nan
    estimates.loc[estimates["parameter"] == name, "note"] = "no standard error"
    return replace(agq(), parameter_covariance=covariance, estimates=estimates)


def constant_draws() -> Result:
    """Return a posterior in which a coefficient does not vary."""
    groups = arviz_compat.groups_of(fake().idata)
    posterior = groups["posterior"].copy(deep=True)
    posterior["gamma"].values[..., 1] = 0.5
    idata = arviz_compat.make_idata({**groups, "posterior": posterior}, {})
    return replace(fake(), idata=idata)


TAU = "tau[u:Intercept,u:Intercept]"
BAD: dict[str, tuple[type[BridgeError], Callable[[], Any], Any, dict[str, Any]]] = {
    "not a result": (RequestError, lambda: ModelSpec("y ~ x"), "x", {}),
    "nothing": (RequestError, agq, None, {}),
    "both": (RequestError, agq, "x", {"containing": "x"}),
    "function": (OptionError, agq, "x", {"function": "varience"}),
    "misspelt": (HypothesisError, agq, "v + x:w = 0", {}),
    "nothing near": (HypothesisError, agq, "achievement", {}),
    "turned round": (HypothesisError, agq, "w:x = 0", {}),
    "of the variance": (HypothesisError, agq, "x + z = 0", {}),
    "flat": (HypothesisError, agq, "delta[xx]", {}),
    "level 2": (HypothesisError, agq, f"{TAU} = 0", {}),
    "does not parse": (HypothesisError, agq, "x + = 0", {}),
    "product": (HypothesisError, agq, "x * w = 0", {}),
    "contradiction": (HypothesisError, agq, ["x = w", "2*x = 2*w + 1"], {}),
    "no coefficient": (HypothesisError, agq, "x - x = 1", {}),
    "no hypotheses": (HypothesisError, agq, {}, {}),
    "rhs of an equation": (HypothesisError, agq, "x", {"rhs": 1}),
    "rhs too long": (HypothesisError, agq, [0, 1, 0, 0], {"rhs": [1, 2]}),
    "rhs of other rows": (HypothesisError, agq, {"a": {"x": 1}}, {"rhs": {"b": 1}}),
    "rhs text": (HypothesisError, agq, [0, 1, 0, 0], {"rhs": "1"}),
    "shape": (HypothesisError, agq, [[0, 1, 0]], {}),
    "a number": (HypothesisError, agq, 3, {}),
    "a set": (HypothesisError, agq, {"x"}, {}),
    "a list of both": (HypothesisError, agq, ["x", [0, 1, 0, 0]], {}),
    "column": (HypothesisError, agq, pd.DataFrame({"x": [1], "ww": [1]}), {}),
    "column twice": (
        HypothesisError, agq, pd.DataFrame([[1, 2]], columns=["x", "x"], index=["a"]), {},
    ),
    "name twice": (HypothesisError, agq, {"a": {"x": 1, "gamma[x]": 1}}, {}),
    "weight": (HypothesisError, agq, pd.DataFrame({"x": [np.nan]}, index=["a"]), {}),
    "weight as text": (HypothesisError, agq, {"a": {"x": "1"}}, {}),
    "label without a name": (HypothesisError, agq, {"x": 1, "w": -1}, {}),
    "two equations of a name": (HypothesisError, agq, {"a": "x, w"}, {}),
    "containing nothing": (HypothesisError, agq, None, {"containing": "ses"}),
    "containing no text": (HypothesisError, agq, None, {"containing": 3}),
    "no covariance": (NotAvailable, lambda: without("delta[x]"), "delta[x] = delta[z]", {}),
    "covariance unknown": (NotAvailable, lambda: unknown_covariance("delta[x]"), "delta[x]", {}),
    "few draws": (NotAvailable, lambda: fake(1), ["x", "w"], {}),
    "draws that do not vary": (NotAvailable, constant_draws, "x", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str, golden: Callable[[str, str], None]) -> None:
    kind, result, hypothesis, more = BAD[case]
    with pytest.raises(BridgeError) as caught:
        bridge.wald(result(), hypothesis, **more)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert re.fullmatch(r"\S[^\n]+[.?]", text), "a sentence, to its full stop"
    assert len(text) < 400
    golden(f"messages/wald_{case.replace(' ', '_')}.txt", text)
