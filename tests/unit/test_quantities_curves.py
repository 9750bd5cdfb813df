"""Means and variances over a predictor, against the formulas written out."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors, quantities

sys.path.insert(0, str(Path(__file__).parent))
from curve_fits import SPEC, data, fitted
from plot_fits import fitted as plain_fitted

KINDS = ["brick", "plain", "stone"]


def table(result) -> pd.Series:
    return result.estimates.set_index("parameter")["estimate"].astype(float)


def effect(result, name, group) -> float:
    own = result.group_effects
    found = own[(own["effect"] == name) & (own["group"] == group)]["estimate"]
    return float(found.iloc[0])


def mean_by_hand(result, x, kind, sex="f", group=None):
    b = table(result)
    y = b["gamma[Intercept]"] + b["gamma[x]"] * x + b["gamma[I(x^2)]"] * x**2
    y = y + (b[f"gamma[kind[{kind}]]"] if kind != "brick" else 0.0)
    y = y + (b["gamma[sex[m]]"] if sex == "m" else 0.0)
    if group is not None:
        y = y + effect(result, "u:Intercept", group) + effect(result, "u:x", group) * x
    return y


def test_the_average_group_is_the_fixed_part_at_typical_values() -> None:
    result = fitted()
    frame = quantities.curves(result, "x")
    x = frame["x"].to_numpy()
    assert len(frame) == 31 and (x.min(), x.max()) == (data()["x"].min(), data()["x"].max())
    np.testing.assert_allclose(frame["estimate"].astype(float), mean_by_hand(result, x, "brick"))
    assert set(frame["kind"]) == {"brick"} and set(frame["sex"]) == {"f"}
    assert frame["group"].isna().all() and set(frame["scale"]) == {"outcome"}
    # the interval is x'Vx of the fixed part
    V = result.parameter_covariance
    labels = [p for p in V.index if p.startswith("gamma[")]
    X = pd.DataFrame(0.0, index=frame.index, columns=labels)
    X["gamma[Intercept]"], X["gamma[x]"], X["gamma[I(x^2)]"] = 1.0, x, x**2
    se = np.sqrt(np.einsum("ni,ij,nj->n", X, V.loc[labels, labels].astype(float), X))
    upper = frame["estimate"].astype(float) + 1.959964 * se
    np.testing.assert_allclose(frame["upper"].astype(float), upper, rtol=1e-6)


def test_groups_have_their_own_predictors_of_groups() -> None:
    result = fitted()
    frame = quantities.curves(result, "x", by=["group", "kind"], at={"sex": "m"})
    average, own = frame[frame["group"].isna()], frame[frame["group"].notna()]
    assert list(dict.fromkeys(average["kind"])) == KINDS
    assert own["group"].nunique() == 24
    for label in ("101", "102", "124"):
        rows = own[own["group"] == label]
        kind = data().loc[data()["g"] == int(label), "kind"].iloc[0]
        assert set(rows["kind"]) == {kind}
        expected = mean_by_hand(result, rows["x"].to_numpy(), kind, "m", label)
        np.testing.assert_allclose(rows["estimate"].astype(float), expected)


@pytest.mark.parametrize("engine", ["agq", "fake"])
def test_variances_and_their_roots(engine) -> None:
    result = fitted(engine)
    at = {"x": [1.0, -1.0], "kind": "stone"}
    frame = quantities.curves(result, "x", "variance", by="group", at=at)
    own = frame[frame["group"] == "103"]
    assert list(own["x"]) == [-1.0, 1.0] and set(own["scale"]) == {"outcome²"}
    if engine == "agq":
        b = table(result)
        log = b["delta[Intercept]"] + b["delta[x]"] * own["x"] + b["delta[kind[stone]]"]
        expected = np.exp(log + effect(result, "v:Intercept", "103"))
    else:
        draws = result.idata["posterior"].stack(s=("chain", "draw"))
        delta = draws["delta"].transpose("s", ...).values
        v = draws["v"].sel(g="103").transpose("s", ...).values[:, 0]
        terms = [str(t) for t in draws["variance_term"].values]
        X = [[1.0, x, 0.0, 1.0] for x in own["x"]]
        assert terms == ["Intercept", "x", "kind[plain]", "kind[stone]"]
        expected = np.exp(delta @ np.transpose(X) + v[:, None]).mean(axis=0)
    np.testing.assert_allclose(own["estimate"].astype(float), expected)
    root = quantities.curves(result, "x", "SD", by="group", at=at)
    for column in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(root[column] ** 2, frame[column])
    assert set(root["scale"]) == {"outcome"}


def test_a_number_has_its_values_or_its_deciles_as_levels() -> None:
    result = plain_fitted()
    frame = quantities.curves(result, "x", "variance", by="w")
    from plot_fits import data as plain_data

    np.testing.assert_allclose(
        frame["w"].unique(), plain_data()["w"].quantile([0.1, 0.5, 0.9]), rtol=1e-12
    )
    few = quantities.curves(result, "x", by="w", at={"w": [0, 1], "x": [0, 1]})
    assert list(few["w"]) == [0, 0, 1, 1]


# --- transforms ---------------------------------------------------------------------------------
def hsb(mean: str) -> bridge.Result:
    return bridge.fit(bridge.ModelSpec(mean), bridge.datasets.load("hsb"), "agq")


def test_a_transform_is_moved_itself_or_by_what_it_is_made_of() -> None:
    result = hsb("mathach ~ 1 + meanses + I(ses - meanses) + (1 + I(ses - meanses) | school)")
    frame = quantities.curves(result, "I(ses - meanses)")
    b, rows = table(result), bridge.datasets.load("hsb")
    x = frame["I(ses - meanses)"]
    assert x.max() == pytest.approx((rows["ses"] - rows["meanses"]).max())
    expected = b["gamma[Intercept]"] + b["gamma[meanses]"] * rows["meanses"].mean()
    expected = expected + b["gamma[I(ses - meanses)]"] * x
    np.testing.assert_allclose(frame["estimate"].astype(float), expected)
    by_hand = quantities.curves(result, "ses", at={"ses": [-1, 1], "meanses": 0.5})
    expected = b["gamma[Intercept]"] + 0.5 * b["gamma[meanses]"]
    expected = expected + b["gamma[I(ses - meanses)]"] * np.array([-1.5, 0.5])
    np.testing.assert_allclose(by_hand["estimate"].astype(float), expected)
    with pytest.raises(
        errors.UnknownColumnError, match=r"not keep ses alone.*x='I\(ses - meanses\)'"
    ):
        quantities.curves(result, "ses")
    with pytest.raises(errors.UnknownColumnError, match="is made of meanses, and ses is not known"):
        quantities.curves(result, "meanses")


def test_means_of_groups_are_those_of_the_fit() -> None:
    result = hsb("mathach ~ 1 + ses + cvar(ses, school) + (1 | school)")
    frame = quantities.curves(result, "ses", by="group", at={"ses": [0, 1]})
    b, rows = table(result), bridge.datasets.load("hsb")
    means = rows.groupby("school")["ses"].mean()
    own = frame[frame["group"] == "1224"]
    expected = b["gamma[Intercept]"] + b["gamma[ses]"] * own["ses"]
    expected = expected + b["gamma[cvar(ses, school)]"] * means[1224]
    expected = expected + effect(result, "u:Intercept", "1224")
    np.testing.assert_allclose(own["estimate"].astype(float), expected)
    average = frame[frame["group"].isna()]["estimate"].iloc[0]
    over_rows = rows["school"].map(means).mean()
    expected = b["gamma[Intercept]"] + b["gamma[cvar(ses, school)]"] * over_rows
    np.testing.assert_allclose(average, expected)
    with pytest.raises(errors.OptionError, match=r"follows from x.*write x='x'"):
        quantities.curves(
            bridge.fit(bridge.ModelSpec("y ~ x + I(x^2) + (1 | g)"), data(), "agq"), "I(x^2)"
        )


def test_a_factor_of_numbers() -> None:
    rows = data().assign(code=lambda d: d["kind"].map({"brick": 1, "plain": 2, "stone": 3}))
    result = bridge.fit(bridge.ModelSpec("y ~ x + C(code) + (1 | g)"), rows, "agq")
    frame = quantities.curves(result, "x", by=["code", "group"], at={"x": [0, 1]})
    b = table(result)
    average = frame[frame["group"].isna() & (frame["x"] == 0)]
    expected = b["gamma[Intercept]"] + np.array([0, b["gamma[C(code)[2]]"], b["gamma[C(code)[3]]"]])
    np.testing.assert_allclose(average["estimate"].astype(float), expected)
    assert list(average["code"]) == ["1", "2", "3"]


def test_a_polynomial_takes_values_of_its_column() -> None:
    result = bridge.fit(bridge.ModelSpec("y ~ poly(x, 2) + (1 | g)"), data(), "fake", seed=1)
    for x in ("x", "poly(x, 2)"):
        with pytest.raises(errors.UnknownColumnError, match=r"only what .*; give values, as x='x'"):
            quantities.curves(result, x)
    at = {"x": data()["x"].to_numpy()}
    frame = quantities.curves(result, "x", at=at)
    expected = bridge.predict(result, groups="average")["mean"].iloc[np.argsort(at["x"])]
    np.testing.assert_allclose(frame["estimate"], expected)


def test_a_predictor_is_not_called_as_a_column_of_the_frame() -> None:
    rows = data().rename(columns={"x": "scale"})
    result = bridge.fit(bridge.ModelSpec("y ~ scale + (1 | g)"), rows, "fake", seed=1)
    with pytest.raises(errors.OptionError, match=r"predictor is called 'scale'.*rename"):
        quantities.curves(result, "scale")


# --- redrawn --------------------------------------------------------------------------------------
def test_redrawn_functions_are_of_the_population() -> None:
    spec = bridge.ModelSpec("y ~ x + (1 | s | g)", "~ x + (1 + x | s | g)")
    result = fitted("fake", spec)
    at = {"x": [-1.0, 0.0, 2.0]}
    frame = quantities.redrawn_variances(result, "x", 4000, at=at, seed=3)
    average = quantities.curves(result, "x", "variance", at=at)["estimate"].to_numpy(float)
    log = np.log(frame["estimate"].to_numpy(float).reshape(4000, 3) / average)
    A = np.array([[1, -1.0], [1, 0.0], [1, 2.0]])
    T = result.covariance().loc[["v:Intercept", "v:x"], ["v:Intercept", "v:x"]].to_numpy(float)
    expected = A @ T @ A.T
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(log.mean(axis=0) / scale, 0, atol=0.06)
    # the SE of a variance or covariance in SDs is at most sqrt(2 / 4000) = 0.022
    np.testing.assert_allclose(np.cov(log.T) / np.outer(scale, scale),
                               expected / np.outer(scale, scale), atol=0.09)  # fmt: skip
    root = quantities.redrawn_variances(result, "x", 4000, "SD", at=at, seed=3)
    np.testing.assert_allclose(root["estimate"] ** 2, frame["estimate"])
    again = quantities.redrawn_variances(result, "x", 4000, at=at, seed=3)
    pd.testing.assert_frame_equal(frame, again)


def test_where_the_model_lets_t_differ_so_do_the_functions() -> None:
    spec = bridge.ModelSpec("y ~ x + kind + (1 | s | g)", "~ 1 + x + (1 | s | g)", level2="~ kind")
    result = fitted("agq", spec)
    frame = quantities.redrawn_variances(result, "x", 3000, by="kind", at={"x": [0, 1]})
    average = quantities.curves(result, "x", "variance", by="kind", at={"x": [0, 1]})
    for kind in KINDS:
        own = frame[(frame["kind"] == kind) & (frame["x"] == 0)]["estimate"].to_numpy(float)
        middle = average[(average["kind"] == kind) & (average["x"] == 0)]["estimate"].iloc[0]
        T = result.level2({"kind": kind}).loc["v:Intercept", "v:Intercept"]
        assert np.log(own / middle).std() == pytest.approx(np.sqrt(T), rel=0.05)


def test_each_level_has_groups_of_its_own() -> None:
    spec = bridge.ModelSpec("y ~ x + kind + (1 | g)", "~ 1 + (1 | g)")
    frame = quantities.redrawn_variances(fitted("fake", spec), "x", 200, by="kind")
    first = frame.groupby(["kind", "draw"])["estimate"].first().astype(float).unstack("kind")
    assert np.abs(np.log(first).corr().to_numpy() - np.eye(3)).max() < 0.3
    # a function is of one group all along
    assert frame.groupby(["kind", "draw"])["estimate"].nunique().max() == 1


# --- refused --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"x": "z"}, "OptionError", "x has 'z', which is no predictor"),
        ({"x": "y"}, "OptionError", "x has 'y', which is no predictor"),
        ({"x": "kind"}, "OptionError", "kind is a factor .brick, plain, stone.; write by='kind'"),
        ({"x": "x", "by": "x"}, "OptionError", "by is another column than x"),
        ({"x": "x", "by": "z"}, "OptionError", "by has 'z'"),
        ({"x": "x", "by": ["kind", "sex"]}, "OptionError", "one column, or both"),
        ({"x": "x", "by": ["group", "sex"]}, "OptionError", "sex differs within groups"),
        ({"x": "x", "by": 3}, "OptionError", "by is .group., one column, or both, not 3"),
        ({"x": "x", "of": "sd"}, "OptionError", "of is"),
        ({"x": "x", "at": {"z": 1}}, "OptionError", "at has 'z'"),
        ({"x": "x", "at": [1]}, "OptionError", "at is a mapping"),
        ({"x": "x", "at": {"x": 1}}, "OptionError", "give two numbers or more"),
        ({"x": "x", "at": {"x": ["a", "b"]}}, "OptionError", "give two numbers or more"),
        ({"x": "x", "at": {"kind": ["plain", "stone"]}}, "OptionError", "by='kind'"),
        ({"x": "x", "at": {"kind": "wood"}}, "DataError", "not one of the levels"),
        ({"x": 3}, "OptionError", "x has '3'"),
    ],
)
def test_bad_requests(arguments, error, words) -> None:
    with pytest.raises(getattr(errors, error), match=words):
        quantities.curves(fitted(), **arguments)


def test_what_a_model_does_not_have() -> None:
    plain = bridge.fit(bridge.ModelSpec("y ~ x + (1 | g)"), data(), "agq")
    with pytest.raises(errors.NotAvailable, match="variance of groups is not let differ"):
        quantities.curves(plain, "x", "variance", by="group")
    none = bridge.fit(bridge.ModelSpec("y ~ x"), data(), "ols")
    with pytest.raises(errors.NotAvailable, match="mean of groups is not let differ"):
        quantities.curves(none, "x", by="group")
    assert len(quantities.curves(none, "x")) == 31
    with pytest.raises(errors.NotAvailable, match="variance of groups is not let differ"):
        quantities.redrawn_variances(plain, "x")
    for other in ({"association": "linear"}, {"random_effects": "student_t"}):
        apart = bridge.ModelSpec("y ~ x + (1 | g)", "~ x + (1 | g)", **other)
        result = dataclasses.replace(fitted(), spec=apart)
        with pytest.raises(errors.NotAvailable, match="normal group effects v"):
            quantities.redrawn_variances(result, "x")
    for bad in ({"draws": 0}, {"draws": 1.5}, {"seed": -1}, {"of": "mean"}, {"by": "group"}):
        with pytest.raises(errors.OptionError):
            quantities.redrawn_variances(fitted(), "x", **bad)


# --- an effect in two models ----------------------------------------------------------------
def test_an_effect_in_two_models() -> None:
    other = fitted(spec=bridge.ModelSpec("y ~ 1 + x + (1 + x | g)"))
    frame = quantities.effect_changes(other, fitted(), "u:x")
    for column, result in (("before", other), ("after", fitted())):
        own = result.group_effects[result.group_effects["effect"] == "u:x"]["estimate"]
        np.testing.assert_array_equal(frame[column], own)
        np.testing.assert_array_equal(frame[f"rank_{column}"], own.rank(ascending=False))
    r = np.corrcoef(frame["before"].astype(float), frame["after"].astype(float))[0, 1]
    assert frame["correlation"].iloc[0] == pytest.approx(r)
    with pytest.raises(errors.NotAvailable, match="The first model has no effect 'v:Intercept'"):
        quantities.effect_changes(other, fitted(), "v:Intercept")
    fewer = bridge.fit(SPEC, data().iloc[5:], "fake", seed=1)
    with pytest.raises(errors.RequestError, match="different rows"):
        quantities.effect_changes(other, fewer, "u:x")
    elsewhere = bridge.fit(bridge.ModelSpec("y ~ 1 + x + (1 + x | kind)"), data(), "fake", seed=1)
    with pytest.raises(errors.DataError, match="of groups g and kind"):
        quantities.effect_changes(other, elsewhere, "u:x")
    renamed = data().assign(g=lambda d: "s" + d["g"].astype(str))
    elsewhere = bridge.fit(bridge.ModelSpec("y ~ 1 + x + (1 + x | g)"), renamed, "fake", seed=1)
    with pytest.raises(errors.DataError, match="do not have the same labels of g"):
        quantities.effect_changes(other, elsewhere, "u:x")
