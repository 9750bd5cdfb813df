"""Level-2 functions in results: rows, data, the covariance matrix at a profile, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bridge
from bridge import arviz_compat
from bridge.design import make_design
from bridge.engines.base import Plan, RawFit
from bridge.engines.harmonise import effects_frame, level2_terms, parameter_table
from bridge.engines.maximum import ml_result, wald
from bridge.errors import NotAvailable, RequestError
from bridge.result import Result
from bridge.spec import ModelSpec

MEAN, VARIANCE = "y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)"
UU, UX, UV, VV = (
    "tau[u:Intercept,u:Intercept]",
    "rho[u:Intercept,u:x]",
    "rho[u:Intercept,v:Intercept]",
    "tau[v:Intercept,v:Intercept]",
)
#: The functions of the tests: two variances and a correlation of three effects.
LEVEL2 = {UU: "~ k + log(w)", UV: "~ 0 + w", VV: "~ k:w"}
AT = {"k": "b", "log(w)": 0.5, "w": 0.25}


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    group = np.tile(range(6), 5)
    return pd.DataFrame(
        {
            "y": rng.normal(size=30),
            "x": rng.normal(size=30),
            "w": (1.0 + np.arange(6) ** 1.5)[group],
            "k": np.array(list("abcabc"))[group],
            "g": group,
        }
    )


def plan(**parts: Any) -> Plan:
    spec = ModelSpec(**{"mean": MEAN, "variance": VARIANCE, "level2": LEVEL2} | parts)
    return Plan("fake", make_design(spec, frame()), {"method": "ML", "seed": None}, "")


def result(values: dict[str, float] | None = None, **parts: Any) -> Result:
    """Return a fit with the given estimates, and 0.1, 0.11, ... for the others."""
    made = plan(**parts)
    labels = [row[0] for row in parameter_table(made.design)]
    numbers = [(values or {}).get(n, 0.1 + i / 100) for i, n in enumerate(labels)]
    effects = np.zeros((6, len(made.design.effects)))
    return ml_result(
        made,
        RawFit({}, {"fake": "1"}),
        rows=[wald(v, 0.2) for v in numbers],
        covariance=pd.DataFrame(np.eye(len(labels)) * 0.04, labels, labels),
        group_effects=effects_frame(made.design, effects, None),
        loglik=-40.0,
        n_parameters=len(labels),
    )


# --- rows and data --------------------------------------------------------------------------
def test_rows_of_every_parameter_in_order() -> None:
    found = result().estimates[["parameter", "component", "scale"]].to_numpy().tolist()
    log, atanh = "log variance", "atanh correlation"
    assert found == [
        ["gamma[Intercept]", "mean", "outcome"],
        ["gamma[x]", "mean", "outcome"],
        ["delta[Intercept]", "variance", log],
        ["tau[u:x,u:x]", "level2", "outcome²"],
        ["rho[u:Intercept,u:x]", "level2", "correlation"],
        ["rho[u:x,v:Intercept]", "level2", "correlation"],
        ["kappa[tau(u:Intercept,u:Intercept),Intercept]", "level2", log],
        ["kappa[tau(u:Intercept,u:Intercept),k[b]]", "level2", log],
        ["kappa[tau(u:Intercept,u:Intercept),k[c]]", "level2", log],
        ["kappa[tau(u:Intercept,u:Intercept),log(w)]", "level2", log],
        ["kappa[rho(u:Intercept,v:Intercept),w]", "level2", atanh],
        ["kappa[tau(v:Intercept,v:Intercept),Intercept]", "level2", log],
        ["kappa[tau(v:Intercept,v:Intercept),k[a]:w]", "level2", log],
        ["kappa[tau(v:Intercept,v:Intercept),k[b]:w]", "level2", log],
        ["kappa[tau(v:Intercept,v:Intercept),k[c]:w]", "level2", log],
    ]


@pytest.mark.parametrize(
    ("latent_scale", "unit"), [("standardised", ("SD", "SD²")), ("raw", ("unit", "unit²"))]
)
def test_rows_of_a_latent_association(latent_scale: str, unit: tuple[str, str]) -> None:
    found = result(
        mean="y ~ 1 + x + (1 + x | g)",
        variance="~ 1",
        level2=None,
        association="quadratic",
        latent_scale=latent_scale,
    )
    rows = found.estimates[found.estimates["parameter"].str.startswith("lambda_")]
    assert list(rows.index) == [3, 4, 5, 6]
    assert list(rows["parameter"]) == [
        "lambda_[u:Intercept]", "lambda_[u:x]", "lambda_[u:Intercept^2]", "lambda_[u:x^2]",
    ]  # fmt: skip
    assert set(rows["component"]) == {"variance"}
    said = [f"log variance per {u} of u" for u in unit]
    assert list(rows["scale"]) == [said[0], said[0], said[1], said[1]]


def test_labels_are_those_of_the_equations() -> None:
    made = plan()
    text = " ".join(made.design.spec.equations(frame()).split())
    for name, *_ in parameter_table(made.design):
        if name.startswith("kappa"):
            assert f"κ{name.removeprefix('kappa')}" in text
    assert text.count("κ[") == len(made.design.kappa_terms)


def test_the_data_hold_the_level_2_design() -> None:
    made = result()
    constant = arviz_compat.groups_of(made.idata)["constant_data"]
    found = constant["level2_design"]
    assert found.dims == ("g", "kappa_term") and found.shape == (6, 9)
    columns = found.to_pandas()
    w = frame()["w"].to_numpy()[:6]
    np.testing.assert_array_equal(columns["rho(u:Intercept,v:Intercept),w"], w)
    by_level = columns["tau(v:Intercept,v:Intercept),k[b]:w"]
    np.testing.assert_array_equal(by_level, w * np.array([0, 1, 0, 0, 1, 0]))
    kappa = [n for n in made.estimates["parameter"] if n.startswith("kappa")]
    assert [f"kappa[{label}]" for label in columns.columns] == kappa
    without = arviz_compat.groups_of(result(level2=None).idata)["constant_data"]
    assert "level2_design" not in without and "kappa_term" not in without.dims


# --- the covariance matrix at a profile -----------------------------------------------------
def by_hand(values: Callable[[str], Any]) -> np.ndarray:
    """Return the matrix at AT, element by element; k is b, log(w) 0.5 and w 0.25 there."""
    a, c = "kappa[tau(u:Intercept,u:Intercept)", "kappa[tau(v:Intercept,v:Intercept)"
    first = np.exp(values(f"{a},Intercept]") + values(f"{a},k[b]]") + 0.5 * values(f"{a},log(w)]"))
    last = np.exp(values(f"{c},Intercept]") + 0.25 * values(f"{c},k[b]:w]"))
    middle = values("tau[u:x,u:x]")
    found = np.array(
        [
            [first, values(UX), np.tanh(0.25 * values("kappa[rho(u:Intercept,v:Intercept),w]"))],
            [values(UX), middle, values("rho[u:x,v:Intercept]")],
            [0.0 * last, values("rho[u:x,v:Intercept]"), last],
        ]
    )
    found[2, 0] = found[0, 2]
    sd = np.sqrt([first, middle, last])
    return np.where(np.eye(3) > 0, found, found * np.outer(sd, sd))


def test_the_matrix_at_a_profile_by_hand() -> None:
    made = result()
    found = made.level2(AT)
    assert list(found.index) == list(found.columns) == ["u:Intercept", "u:x", "v:Intercept"]
    np.testing.assert_allclose(found, by_hand(made.estimate), rtol=1e-14)
    assert len(np.unique(found.round(9))) == 6
    np.linalg.cholesky(found)


def test_the_reference_level_counts_nothing() -> None:
    made = result({"kappa[tau(u:Intercept,u:Intercept),Intercept]": 1.0})
    found = made.level2({"k": "a", "log(w)": 0, "w": np.float64(0)})
    assert found.loc["u:Intercept", "u:Intercept"] == pytest.approx(np.e, rel=1e-14)
    assert found.loc["u:Intercept", "v:Intercept"] == 0


def test_constant_covariances_are_those_estimated() -> None:
    made = result({"tau[u:Intercept,u:x]": 0.07}, level2={VV: "~ 1"})
    found = made.level2({})
    assert found.loc["u:Intercept", "u:x"] == 0.07
    assert found.loc["u:x", "u:x"] == made.estimate("tau[u:x,u:x]")
    spread = found.loc["u:Intercept", "u:Intercept"] * found.loc["v:Intercept", "v:Intercept"]
    rho = made.estimate("rho[u:Intercept,v:Intercept]")
    assert found.loc["u:Intercept", "v:Intercept"] == pytest.approx(rho * np.sqrt(spread))


def test_zero_by_the_spec_is_zero() -> None:
    apart = {"mean": "y ~ 1 + (1 | g)", "variance": "~ 1 + (1 | g)"}
    found = result(level2="~ 1", **apart).level2({})
    assert found.loc["u:Intercept", "v:Intercept"] == 0
    assert (np.diagonal(found) > 0).all()


def test_truth_values_and_numbers_as_levels() -> None:
    data = frame().assign(h=frame()["k"] == "a", n=frame()["w"].round(3).gt(5) + 1)
    spec = ModelSpec("y ~ 1 + (1 | g)", level2="~ h + C(n)")
    made = result(level2="~ 1", mean="y ~ 1 + (1 | g)", variance="~ 1")
    labels = [f"kappa[tau(u:Intercept,u:Intercept),{t}]" for t in ("Intercept", "h[True]")]
    labels.append("kappa[tau(u:Intercept,u:Intercept),C(n)[2]]")
    rows = pd.DataFrame({"parameter": labels, "estimate": [1.0, 2.0, 4.0]})
    made = replace(made, estimates=rows, level2_terms=level2_terms(make_design(spec, data)))
    for h, n, log in ((True, 2, 7), (np.False_, np.int64(2), 5), ("True", "1", 3)):
        assert np.log(made.level2({"h": h, "C(n)": n}).iloc[0, 0]) == pytest.approx(log)


@pytest.mark.parametrize("key", ["n", "C(n)"])
@pytest.mark.parametrize(
    ("values", "plain"),
    [
        ([1, 2, 3], (2, 2.0, "2", np.int64(2), np.float32(2))),
        ([1.0, 2.0, 2.5], (2, 2.0, "2.0", np.float64(2))),
        ([0.5, 2.5, 3.0], (2.5, "2.5")),
    ],
)
def test_a_factor_of_numbers_takes_the_number(
    values: list[float], plain: tuple[Any, ...], key: str
) -> None:
    data = frame().assign(n=np.array(values * 2)[frame()["g"]])
    spec = ModelSpec("y ~ 1 + (1 | g)", level2="~ C(n)")
    made = result(level2="~ 1", mean="y ~ 1 + (1 | g)", variance="~ 1")
    terms = level2_terms(make_design(spec, data))
    labels = [f"kappa[{term['label']}]" for term in next(iter(terms.values()))]
    rows = pd.DataFrame({"parameter": labels, "estimate": [1.0, 2.0, 4.0]})
    made = replace(made, estimates=rows, level2_terms=terms)
    for value in plain:
        assert np.log(made.level2({key: value}).iloc[0, 0]) == pytest.approx(3), value
    for value in (7, True, np.inf):
        with pytest.raises(RequestError, match=r"C\(n\) has no level"):
            made.level2({key: value})
    with pytest.raises(RequestError, match="has 'n', which no level-2 function uses"):
        made.level2({"n": 1, "C(n)": 1})


def test_a_truth_value_is_also_a_number() -> None:
    data = frame().assign(h=frame()["k"] == "a")
    spec = ModelSpec("y ~ 1 + (1 | g)", level2="~ h")
    made = result(level2="~ 1", mean="y ~ 1 + (1 | g)", variance="~ 1")
    labels = [f"kappa[tau(u:Intercept,u:Intercept),{t}]" for t in ("Intercept", "h[True]")]
    rows = pd.DataFrame({"parameter": labels, "estimate": [1.0, 2.0]})
    made = replace(made, estimates=rows, level2_terms=level2_terms(make_design(spec, data)))
    for value in (True, np.True_, 1, 1.0, "True"):
        assert np.log(made.level2({"h": value}).iloc[0, 0]) == pytest.approx(3), value
    for value in (False, 0, 0.0, "False"):
        assert np.log(made.level2({"h": value}).iloc[0, 0]) == pytest.approx(1), value
    with pytest.raises(RequestError, match="h has no level '2'"):
        made.level2({"h": 2})


def test_of_a_posterior_it_is_the_mean_over_draws() -> None:
    made = replace(result(), method="posterior")
    rng = np.random.default_rng(2)
    table = parameter_table(plan().design)
    draws = {name: rng.uniform(0.1, 0.5, (2, 7)) for name, *_ in table}
    data, coords = {}, {}
    for variable, dim in (("tau", "tau_pair"), ("rho", "rho_pair"), ("kappa", "kappa_term")):
        own = [n for n in draws if n.startswith(f"{variable}[")]
        data[variable] = (("chain", "draw", dim), np.stack([draws[n] for n in own], axis=-1))
        coords[dim] = [n.removeprefix(f"{variable}[")[:-1] for n in own]
    groups = {"posterior": xr.Dataset(data, coords)}
    made = replace(made, idata=arviz_compat.make_idata(groups, {}))
    each = [by_hand(lambda name, c=c, d=d: draws[name][c, d]) for c in range(2) for d in range(7)]
    np.testing.assert_allclose(made.level2(AT), np.mean(each, axis=0), rtol=1e-13)
    at_means = by_hand(lambda name: draws[name].mean())
    assert np.abs(made.level2(AT) - at_means).to_numpy().max() > 1e-3


def test_without_level2_it_is_the_covariance() -> None:
    made = result(level2=None)
    pd.testing.assert_frame_equal(made.level2({}), made.covariance())
    assert made.level2_terms == {}
    with pytest.raises(RequestError, match="has 'k', which no level-2 function uses"):
        made.level2({"k": "a"})


def test_the_covariance_points_to_the_profile() -> None:
    with pytest.raises(NotAvailable) as caught:
        result().covariance()
    assert str(caught.value) == (
        "With level-2 functions the covariance matrix differs between groups; "
        "result.level2(at={'k': …, 'log(w)': …, 'w': …}) gives it at values of their predictors."
    )


USED = "The level-2 functions use: k, log(w), w."


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"k": "b", "w": 1}, f"level2(at=…) needs a value of log(w). {USED}"),
        ({}, f"level2(at=…) needs a value of k, log(w), w. {USED}"),
        (
            {**AT, "log(ww)": 1},
            "level2(at=…) has 'log(ww)', which no level-2 function uses. Did you mean 'log(w)'? "
            + USED,
        ),
        ({**AT, "k": "d"}, "level2(at=…): k has no level 'd'. It has: a, b, c."),
        ({**AT, "w": "1"}, "level2(at=…): w is a finite number, not '1'."),
        ({**AT, "w": np.nan}, "level2(at=…): w is a finite number, not nan."),
        (["k"], "level2(at=…) takes a mapping from columns to values, not list."),
    ],
)
def test_profiles_that_are_no_profiles(at: Any, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        result().level2(at)
    assert str(caught.value) == said


# --- kept, drawn, shown ---------------------------------------------------------------------
def test_saved_and_read_again(tmp_path: Path) -> None:
    made = result()
    again = bridge.load(made.save(tmp_path / "r.nc"))
    assert again.level2_terms == made.level2_terms
    assert list(again.level2_terms) == [UU, UV, VV]
    pd.testing.assert_frame_equal(again.level2(AT), made.level2(AT), check_exact=True)


def test_a_file_from_before_level_2_functions_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = result(level2=None)
    parts = {k: v for k, v in made._as_json().items() if k != "level2_terms"}
    monkeypatch.setattr(Result, "_as_json", lambda self: parts)
    again = bridge.load(made.save(tmp_path / "r.nc"))
    assert again.level2_terms == {}
    pd.testing.assert_frame_equal(again.covariance(), made.covariance())


def test_coefficients_of_level_2_functions_are_drawn_as_they_are() -> None:
    for made in (result(), result(level2=None, association="linear", mean=MEAN, variance="~ 1")):
        draws = made.asymptotic_draws(4000, seed=1)
        assert list(draws.columns) == list(made.estimates["parameter"])
        plain = [n for n in draws if n.startswith(("kappa", "lambda_"))]
        assert plain
        centre = [made.estimate(n) for n in plain]
        np.testing.assert_allclose(draws[plain].mean(), centre, atol=4 * 0.2 / 4000**0.5)
        np.testing.assert_allclose(draws[plain].std(), 0.2, rtol=0.05)
        assert (draws["tau[u:x,u:x]"] > 0).all() and (draws[plain] < 0).any(axis=None)


def test_the_summary_says_what_was_asked() -> None:
    text = result().summary()
    for line in (
        "log tau[u:Intercept,u:Intercept] ~ k + log(w)",
        "atanh rho[u:Intercept,v:Intercept] ~ 0 + w",
        "log tau[v:Intercept,v:Intercept] ~ k:w",
    ):
        assert f"\n{line}\n" in text
    assert "  kappa[rho(u:Intercept,v:Intercept),w]" in text
    assert "\nlevel-2 log variances and atanh correlations ~ 1\n" in result(level2="~ 1").summary()
    latent = {"mean": "y ~ 1 + (1 | g)", "variance": "~ 1", "level2": None}
    text = result(**latent, association="linear").summary()
    assert "\nmean effects in the log variance: linear, in SDs\n" in text
    text = result(**latent, association="quadratic", latent_scale="raw").summary()
    assert "\nmean effects in the log variance: quadratic, in outcome units\n" in text
    assert "mean effects in" not in result(level2=None).summary()
