"""`bridge.by_group`: printed two-stage analyses, closed forms, groups that cannot be fitted."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors, resources
from bridge.group_fits import GroupFits
from bridge.spec import ModelSpec

SPEC = ModelSpec("mathach ~ ses")


@cache
def schools() -> pd.DataFrame:
    """The 40 schools of the course notes, with the sector as text."""
    hsb = bridge.datasets.load("hsb")
    listed = (resources.root() / "validation/data/hs_schools.txt").read_text().split()
    chosen = hsb[hsb["school"].isin(map(int, listed))]
    return chosen.assign(Sector=chosen["sector"].map({0: "Public", 1: "Catholic"}))


@cache
def fits() -> GroupFits:
    return bridge.by_group(SPEC, schools(), "school")


def small() -> pd.DataFrame:
    """Four groups: three rows or more in three of them, one row in the last."""
    rng = np.random.default_rng(4)
    g = np.array([*"aaaa", *"bbb", *"ccccc", "d"])
    w = pd.Series(g).map({"a": 0.0, "b": 1.0, "c": 3.0, "d": 2.0}).to_numpy()
    x = rng.normal(size=13)
    return pd.DataFrame({"y": 1 + x + rng.normal(size=13), "x": x, "g": g, "w": w})


# --- printed (course notes "Mixed models with R", SCS 2017) --------------------------------------
def test_wald_test_of_the_sectors_as_printed() -> None:
    averages = fits().average(by="Sector")
    test = averages.wald()
    assert (round(test.statistic, 5), test.df) == (21.03533, (2, 1897))
    assert test.p_value < 1e-5
    rows = test.table.set_index("term")
    assert list(rows["contrast"]) == ["Public - Catholic"] * 2
    columns = ["estimate", "se", "t"]
    assert list(rows.loc["Intercept", columns].astype(float).round(6)) == [
        -2.027255, 0.351992, -5.759378,
    ]  # fmt: skip
    assert list(rows.loc["ses", columns].astype(float).round(6)) == [1.109995, 0.454114, 2.444309]
    assert round(rows.loc["ses", "p"], 4) == 0.0146
    assert "F(2, 1897) = 21.035" in str(test) and "SE within" in repr(averages)


def test_regression_of_the_slopes_as_printed() -> None:
    found = fits().regress("~ Sector")
    rows = found.table[found.table["coefficient"] == "ses"].set_index("term")
    at = rows.loc["Intercept"]
    assert (round(at["estimate"], 4), round(at["se"], 4), round(at["t"], 3)) == (
        1.6672, 0.3506, 4.756,
    )  # fmt: skip
    assert f"{at['p']:.2e}" == "2.84e-05"
    at = rows.loc["Sector[Public]"]
    assert (round(at["estimate"], 4), round(at["se"], 4), round(at["t"], 3)) == (
        1.1100, 0.5086, 2.182,
    )  # fmt: skip
    assert round(at["p"], 4) == 0.0353 and at["df"] == 38
    assert "SD left between groups" in str(found)


# --- closed forms --------------------------------------------------------------------------------
def test_every_group_is_a_regression_of_its_own() -> None:
    data, table = schools(), fits().table
    assert list(table.columns) == [
        "group", "term", "estimate", "se", "se_pooled", "n", "residual_sd", "note",
    ]  # fmt: skip
    assert len(table) == 80 and (table["note"] == "").all()
    for school in (1317, 9586):
        own = bridge.fit(SPEC, data[data["school"] == school], "ols", method="REML")
        rows = table[table["group"] == str(school)]
        for name in ("estimate", "se"):
            expected = own.estimates[name][:2].astype(float)
            np.testing.assert_allclose(rows[name].astype(float), expected, rtol=1e-9)
        sd = np.exp(own.estimate("delta[Intercept]") / 2)
        np.testing.assert_allclose(rows["residual_sd"].astype(float), sd)
        pooled = rows["se_pooled"].astype(float) / rows["se"].astype(float)
        np.testing.assert_allclose(pooled, fits().sigma / sd)
    wide = fits().coefficients
    assert wide.shape == (40, 2)
    assert wide.loc["1317", "ses"] == table["estimate"][1]


def test_averages_are_means_with_two_standard_errors() -> None:
    wide, averages = fits().coefficients, fits().average()
    rows = averages.table.set_index("term")
    assert list(rows["level"]) == ["all", "all"]
    np.testing.assert_allclose(rows["estimate"].astype(float), wide.mean())
    np.testing.assert_allclose(rows["se_between"].astype(float), wide.sem())
    variance = (fits().table["se_pooled"].astype(float) ** 2).groupby(fits().table["term"]).sum()
    expected = np.sqrt(variance[["Intercept", "ses"]]) / 40
    np.testing.assert_allclose(rows["se_within"].astype(float), expected)
    test = averages.wald()
    b, V = rows["estimate"].to_numpy(dtype=float), averages.covariance.to_numpy()
    assert test.statistic == pytest.approx(b @ np.linalg.solve(V, b) / 2)


def test_random_terms_name_the_group_and_do_not_count() -> None:
    spec = ModelSpec("mathach ~ ses + (1 + ses | school)", "~ 1 + ses")
    pd.testing.assert_frame_equal(bridge.by_group(spec, schools()).table, fits().table)


def test_predictors_made_of_rows() -> None:
    data = schools()
    found = fits().regress("~ cvar(ses, school)").table.query("coefficient == 'Intercept'")
    means = data.groupby("school")["ses"].mean().to_numpy()
    frame = pd.DataFrame({"y": fits().coefficients["Intercept"].to_numpy(), "x": means})
    own = bridge.fit(ModelSpec("y ~ x"), frame, "ols", method="REML").estimates[:2]
    for name in ("estimate", "se", "lower", "upper"):
        np.testing.assert_allclose(found[name], own[name].astype(float), rtol=1e-8)


# --- groups that cannot be fitted, and what is missing -------------------------------------------
def test_groups_that_cannot_be_fitted_stay_in_the_table() -> None:
    frame = small()
    frame.loc[frame["g"] == "b", "x"] = 2.0
    found = bridge.by_group(ModelSpec("y ~ x"), frame, "g")
    notes = found.table.drop_duplicates("group").set_index("group")["note"]
    assert notes["b"] == "x does not vary apart from other terms in its 3 row(s)"
    assert notes["d"] == "1 row(s) for 2 coefficients"
    assert found.table.query("group == 'b'")["estimate"].isna().all()
    assert list(found.coefficients.index) == ["a", "c"]
    (said,) = found.notes
    assert said.startswith("2 of 4 groups could not be fitted") and "(g b, d)" in said
    averages = found.average()
    assert set(averages.table["n_groups"]) == {2} and averages.notes == found.notes
    assert found.df == averages.df == 9 - 4


def test_a_group_with_as_many_rows_as_coefficients() -> None:
    frame = small().iloc[[0, 1, *range(4, 12)]].set_axis([7] * 10)  # an index need not be unique
    found = bridge.by_group(ModelSpec("y ~ x"), frame, "g")
    own = found.table.query("group == 'a'")
    assert own["estimate"].notna().all() and own["se_pooled"].notna().all()
    assert own["se"].isna().all() and own["residual_sd"].isna().all()
    assert own["note"].str.startswith("as many coefficients as rows").all()
    assert set(found.average(by="w").table["n_groups"]) == {1}
    assert found.average(by="w").table["se_between"].isna().all()


def test_missing_predictors_of_groups_are_said() -> None:
    frame = schools().assign(w=lambda d: d["size"].where(d["school"] != 1317))
    found = bridge.by_group(SPEC, frame, "school")
    regression = found.regress("~ w")
    assert regression.n_groups == 39
    assert regression.notes == ("school 1317 has a missing predictor; left out.",)
    level = frame.assign(s=frame["Sector"].where(frame["school"] != 1317))
    averages = bridge.by_group(SPEC, level, "school").average(by="s")
    assert averages.notes == ("school 1317 has no value of s; left out.",)
    assert list(averages.table["n_groups"]) == [20, 20, 19, 19]
    gone = bridge.by_group(SPEC, frame.assign(ses=frame["ses"].where(frame["ses"] > -2)), "school")
    assert gone.notes[0].endswith("row(s) with missing values were dropped.")


def test_three_levels_and_text_of_many_groups() -> None:
    frame = schools().assign(third=lambda d: d["school"] % 3)
    test = bridge.by_group(SPEC, frame, "school").average(by="third").wald()
    assert test.df[0] == 4
    assert list(test.table["contrast"]) == ["1 - 0", "1 - 0", "2 - 0", "2 - 0"]
    text = str(fits())
    assert "and 28 groups more" in text and "pooled residual SD 6.107 on 1897" in text


def test_an_exact_fit_has_no_test() -> None:
    frame = small().iloc[:12].assign(y=lambda d: 1 + 2 * d["x"] * (d["w"] + 1))
    found = bridge.by_group(ModelSpec("y ~ x"), frame, "g")
    with pytest.raises(errors.NotAvailable, match="fit every row exactly"):
        found.average().wald()
    assert found.regress("~ 1").table["estimate"][1] == pytest.approx(2 * (1 + 4 / 3))


# --- bad input -----------------------------------------------------------------------------------
def test_bad_input() -> None:
    frame = small()
    spec = ModelSpec("y ~ x")
    with pytest.raises(errors.RequestError, match="needs a grouping column"):
        bridge.by_group(spec, frame)
    with pytest.raises(errors.RequestError, match="takes a ModelSpec, not str"):
        bridge.by_group("y ~ x", frame, "g")
    with pytest.raises(errors.GroupsError, match="'i' has one group only, or one row in each"):
        bridge.by_group(spec, frame.assign(i=range(13)), "i")
    with pytest.raises(errors.DataError, match=r"cannot be fitted in any g: in a, w is zero"):
        bridge.by_group(ModelSpec("y ~ x + w"), frame, "g")
    found = bridge.by_group(spec, frame, "g")
    with pytest.raises(errors.DataError, match="x varies within g a; averages are by"):
        found.average(by="x")
    with pytest.raises(errors.UnknownColumnError, match="no column 'ww'"):
        found.average(by="ww")
    with pytest.raises(errors.DataError, match="Column 'n' has no values"):
        bridge.by_group(spec, frame.assign(n=np.nan), "g").average(by="n")
    with pytest.raises(errors.NotAvailable, match="one has one level only"):
        bridge.by_group(spec, frame.assign(one="1"), "g").average(by="one").wald()
    with pytest.raises(errors.DataError, match="x varies within g a; a regression of groups'"):
        found.regress("~ x")
    with pytest.raises(errors.SpecError, match="takes predictors of groups alone"):
        found.regress("x ~ w")
    with pytest.raises(errors.DataError, match="3 groups for the 3 coefficients"):
        found.regress("~ w + I(w^2)")
