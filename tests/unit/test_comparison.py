"""Results side by side, with the fake engine."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.errors import DataFileError, RequestError

SPEC = bridge.ModelSpec(
    "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
)


@pytest.fixture(scope="module")
def data():
    return bridge.datasets.load("hsb").head(400)


@pytest.fixture(scope="module")
def fitted(data):
    return bridge.fit(SPEC, data, "fake", chains=2, draws=600, seed=1)


def as_ml(result, **changes):
    """Return a result as maximum likelihood would give it."""
    return dataclasses.replace(
        result, method="ML", ml={"loglik": -10.0, "n_parameters": 3}, **changes
    )


def moved(result, parameter, by):
    """Return a result with one estimate moved."""
    estimates = result.estimates.copy()
    estimates.loc[estimates["parameter"] == parameter, "estimate"] += by
    return dataclasses.replace(result, estimates=estimates)


def test_a_result_agrees_with_another_seed_and_the_table_holds_both(data, fitted):
    other = bridge.fit(SPEC, data, "fake", chains=2, draws=600, seed=2)
    found = bridge.compare(fitted, other)
    assert list(found.table.columns) == [
        "parameter", "scale", "fake", "fake se", "fake (2)", "fake (2) se",
    ]  # fmt: skip
    assert list(found.table["parameter"]) == list(fitted.estimates["parameter"])
    np.testing.assert_array_equal(
        found.table["fake (2)"].to_numpy(float), other.estimates["estimate"].to_numpy(float)
    )
    assert set(found.verdicts["verdict"]) == {"agree"}
    assert found.agree
    assert "both fits are fake's" in found.text()


def test_one_moved_estimate_differs_and_is_named(fitted):
    found = bridge.compare(fitted, moved(fitted, "delta[sector]", 1.0))
    bad = found.verdicts[found.verdicts["verdict"] == "differ"]
    assert list(bad["parameter"]) == ["delta[sector]"]
    assert not found.agree
    assert "1 differ" in found.text()
    assert "furthest apart: delta[sector]" in found.text()


def test_log_likelihoods_of_two_ml_fits_are_compared(fitted):
    ml = as_ml(fitted)
    same = bridge.compare(ml, as_ml(fitted))
    other = dataclasses.replace(ml, ml={"loglik": -10.5, "n_parameters": 3})
    found = bridge.compare(ml, other)
    assert same.agree
    assert not found.agree
    assert found.logliks["difference"].iloc[0] == pytest.approx(0.5)
    assert "log-likelihoods 0.5000 apart" in found.text()


def test_ml_against_posterior_leaves_level_2_uncompared(fitted):
    found = bridge.compare(as_ml(fitted), fitted).verdicts
    level2 = found["parameter"].str.startswith(("tau", "rho"))
    assert set(found.loc[level2, "verdict"]) == {"not comparable"}
    assert set(found.loc[~level2, "verdict"]) == {"agree"}


def test_ml_and_reml_are_not_comparable(fitted):
    reml = dataclasses.replace(as_ml(fitted), method="REML")
    found = bridge.compare(as_ml(fitted), reml)
    assert set(found.verdicts["verdict"]) == {"not comparable"}
    assert "fake REML" in found.table.columns


def test_published_table_stands_beside_with_its_digits(fitted):
    found = bridge.compare(fitted, published="leckie2014/model1")
    row = found.table[found.table["parameter"] == "gamma[Intercept]"].iloc[0]
    assert (row["published"], row["published se"]) == (11.379, 0.299)
    assert "(0.040)" in found.text()  # as printed, the last zero kept
    assert set(found.verdicts["second"]) == {"published"}
    # print gives no covariance of u and v
    assert "tau[u:Intercept,v:Intercept]" not in set(found.verdicts["parameter"])


def test_another_model_gets_no_verdict(data, fitted):
    simple = bridge.fit(
        bridge.ModelSpec("mathach ~ 1 + sector + (1 | school)"), data, "fake", draws=50, seed=1
    )
    found = bridge.compare(fitted, simple, published="leckie2014/model1")
    assert set(found.verdicts["first"]) == {"fake"}
    assert "results are of different models" in found.text()
    missing = found.table.loc[found.table["parameter"] == "delta[sector]", "fake (2)"]
    assert missing.isna().all()


def test_priors_do_not_make_another_model(data, fitted):
    other = bridge.fit(
        SPEC.replace(priors={"delta": "normal(0, 9)"}), data, "fake", chains=2, draws=600, seed=3
    )
    assert len(bridge.compare(fitted, other).verdicts) == len(fitted.estimates)


def test_scales_stand_under_every_parameter(fitted):
    lines = bridge.compare(fitted, fitted).text().splitlines()
    for parameter, scale in zip(
        fitted.estimates["parameter"], fitted.estimates["scale"], strict=True
    ):
        place = next(i for i, line in enumerate(lines) if line.startswith(parameter))
        assert lines[place + 1].startswith(f"  {scale}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.iloc[::-1], "different rows"),
        (lambda d: d.head(300), "different rows"),
        (lambda d: d.assign(mathach=d["mathach"] + 1), "different rows"),
    ],
)
def test_other_rows_are_refused(data, fitted, change, words):
    other = bridge.fit(SPEC, change(data), "fake", draws=50, seed=1)
    with pytest.raises(RequestError, match=words):
        bridge.compare(fitted, other)


def test_other_outcomes_are_refused(data, fitted):
    other = bridge.fit(SPEC.replace(mean="ses ~ 1 + (1 | school)"), data, "fake", draws=50, seed=1)
    with pytest.raises(RequestError, match=r"outcomes differ \(mathach and ses\)"):
        bridge.compare(fitted, other)


def test_nothing_to_compare(fitted):
    with pytest.raises(RequestError, match="Nothing to compare"):
        bridge.compare()
    with pytest.raises(RequestError, match="Nothing to compare"):
        bridge.compare(fitted)
    with pytest.raises(DataFileError, match="leckie2014/model1"):
        bridge.compare(fitted, published="leckie2014/modle1")


def test_missing_standard_errors_are_blank_not_nan(fitted):
    estimates = fitted.estimates.copy()
    estimates["se"] = pd.array([None] * len(estimates), dtype="Float64")
    text = bridge.compare(dataclasses.replace(fitted, estimates=estimates), fitted).text()
    assert "nan" not in text
    assert "<NA>" not in text


def test_one_model_written_in_two_ways_is_one_model(data, fitted):
    spec = bridge.ModelSpec(
        "mathach ~ sector + (1 | q | school)", "~ sector + 1 + (1 | q | school)"
    )
    other = bridge.fit(spec, data, "fake", chains=2, draws=600, seed=2)
    found = bridge.compare(fitted, other, published="leckie2014/model1")
    assert set(zip(found.verdicts["first"], found.verdicts["second"], strict=True)) == {
        ("fake", "fake (2)"), ("fake", "published"), ("fake (2)", "published"),
    }  # fmt: skip
    assert "fake is of 400 rows, print of 7185." in found.text()


def test_correlated_and_independent_effects_are_two_models(data, fitted):
    spec = SPEC.replace(variance="~ 1 + sector + (1 | school)")
    other = bridge.fit(spec, data, "fake", draws=50, seed=1)
    assert bridge.compare(fitted, other).agree is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda d: d.assign(sector=2 * d["sector"]), "sector"),
        (lambda d: d.assign(school=[*d["school"][1:], 1]), "the grouping school"),
    ],
)
def test_other_columns_are_refused(data, fitted, change, name):
    other = bridge.fit(SPEC, change(data), "fake", draws=50, seed=1)
    with pytest.raises(RequestError, match=f"different data: {name} is not the same"):
        bridge.compare(fitted, other)


def test_another_reference_level_is_another_model_not_a_crash(data):
    spec = bridge.ModelSpec("mathach ~ kind + (1 | school)")
    text = data.assign(kind=np.where(data["sector"] == 1, "C", "P"))
    turned = text.assign(kind=pd.Categorical(text["kind"], ["P", "C"]))
    results = [bridge.fit(spec, d, "fake", draws=50, seed=1) for d in (text, turned)]
    assert bridge.compare(*results).agree is None


def test_results_in_a_list_and_what_are_no_results(fitted):
    assert len(bridge.compare([fitted, fitted]).verdicts)
    with pytest.raises(RequestError, match="takes results, not str"):
        bridge.compare("a", "b")


UU, VV = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
UV, R_UV = "tau[u:Intercept,v:Intercept]", "rho[u:Intercept,v:Intercept]"


def with_level2(result, uu, uv, vv, rho):
    """Return a result of maximum likelihood with other level-2 estimates and no errors of them."""
    estimates = result.estimates.copy()
    level2 = estimates["component"] == "level2"
    estimates.loc[level2, "se"] = pd.NA
    for name, value in ((UU, uu), (UV, uv), (VV, vv), (R_UV, rho)):
        estimates.loc[estimates["parameter"] == name, "estimate"] = value
    return as_ml(dataclasses.replace(result, estimates=estimates))


def judged(first, second):
    found = bridge.compare(first, second)
    table = found.verdicts.set_index("parameter")["verdict"]
    return found, [table[name] for name in (UU, UV, VV, R_UV)]


def test_two_variances_of_zero_agree_however_they_are_written(fitted):
    zero = with_level2(fitted, 7.0, 0.0, 0.0, pd.NA)
    tiny = with_level2(fitted, 7.0, 1e-5, 1.9e-9, 0.09)
    found, verdict = judged(zero, tiny)
    assert verdict == ["agree", "cannot tell", "agree", "cannot tell"]
    assert found.agree
    assert "2 cannot tell" in found.text() and "differ" not in found.text()
    found, verdict = judged(with_level2(fitted, 7.0, 0.0, 0.0, 0.5), tiny)
    assert verdict[3] == "cannot tell"


def test_what_counts_as_zero_is_relative_to_the_level_1_variance(fitted):
    constant = fitted.idata["constant_data"]
    delta = [fitted.estimate(f"delta[{t}]") for t in constant["variance_term"].values]
    level1 = np.exp(constant["variance_design"].values @ delta).mean()
    assert level1 > 2, "or u is not told from v"
    limit = 1e-8 * level1
    zero = with_level2(fitted, 0.0, 0.0, 0.3, pd.NA)
    assert judged(zero, with_level2(fitted, 0.9 * limit, 0.0, 0.3, 0.0))[1][0] == "agree"
    assert judged(zero, with_level2(fitted, 1.1 * limit, 0.0, 0.3, 0.0))[1][0] == "differ"
    # that of v is on the log variance
    zero = with_level2(fitted, 7.0, 0.0, 0.0, pd.NA)
    assert judged(zero, with_level2(fitted, 7.0, 0.0, 0.9e-8, 0.0))[1][2] == "agree"
    assert judged(zero, with_level2(fitted, 7.0, 0.0, 1.1e-8, 0.0))[1][2] == "differ"
