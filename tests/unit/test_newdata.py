"""The design at new rows is that of the fit, whatever rows there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.design import make_design
from bridge.newdata import rows_at, rows_of
from bridge.result import Result
from bridge.spec import ModelSpec

GROUPS = 12


def frame() -> pd.DataFrame:
    """Return 12 groups of 8 rows in a mixed order, one of the rows incomplete."""
    rng = np.random.default_rng(3)
    g = rng.permutation(np.repeat(np.arange(GROUPS), 8))
    x = rng.normal(2, 1.5, len(g))
    data = pd.DataFrame(
        {
            "y": 1 + 0.5 * x + rng.normal(size=GROUPS)[g] + rng.normal(size=len(g)),
            "x": x,
            "z": rng.uniform(1, 4, len(g)),
            "w": np.tile([0.0, 1.0, 2.0], 4)[g],
            "f": np.array(["c", "a", "b"])[rng.integers(0, 3, len(g))],
            "b": rng.random(len(g)) < 0.5,
            "k": pd.Categorical.from_codes(
                rng.integers(0, 2, len(g)), ["late", "early"], ordered=True
            ),
            "year": rng.integers(2019, 2022, len(g)),
            "g": [f"school {j}" for j in g],
        },
        index=[f"row {i}" for i in range(len(g))],
    )
    data.loc["row 7", "x"] = np.nan
    return data


SPECS = {
    "factors": ModelSpec("y ~ f * x + b + k + C(year) + (1 | g)", "~ f"),
    "all levels": ModelSpec("y ~ 0 + f:x + k + (0 + f || g)", "~ 0 + k"),
    "rows": ModelSpec("y ~ scale(x) * f + center(log(z)) + I(x^2 / z)", "~ sqrt(z) + exp(x)"),
    "polynomials": ModelSpec("y ~ poly(x, 3) * b + (poly(z, 2) | g)", "~ poly(z, 2)"),
    "groups": ModelSpec(
        "y ~ cvar(x, g) + dvar(x, g) + (dvar(x, g) | s | g)", "~ gsd(z, g) + (1 | s | g)"
    ),
    "nested": ModelSpec("y ~ center(cvar(log(z), g)) + scale(dvar(x, g)) + cvar(z, year)"),
    "level 2": ModelSpec(
        "y ~ 1 + (1 + x | s | g)",
        "~ 1 + (1 | s | g)",
        level2={
            "tau[u:Intercept,u:Intercept]": "~ scale(w)",
            "rho": "~ cvar(x, g)",
            "rho[u:Intercept,v:Intercept]": "~ C(w)",
        },
    ),
    "partial": ModelSpec(
        "y ~ 1 + (1 + x | g)", level2={"tau": "~ w", "pcor[u:Intercept,u:x]": "~ w"}
    ),
}


def fitted(case: str, folder: Path | None = None) -> Result:
    result = bridge.fit(SPECS[case], frame(), "fake", chains=1, draws=4, seed=1)
    return result if folder is None else bridge.load(result.save(folder / "r.nc"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    found = {}
    for case in SPECS:
        if case not in ("level 2", "partial"):
            found[case] = fitted(case, tmp_path_factory.mktemp("r"))
    return found


@pytest.mark.parametrize("case", [case for case in SPECS if case not in ("level 2", "partial")])
@pytest.mark.parametrize("which", ["all", "shuffled", "some", "one"])
def test_the_rows_of_the_fit_have_its_design(
    case: str, which: str, saved: dict[str, Result]
) -> None:
    rng = np.random.default_rng(4)
    design = make_design(SPECS[case], frame())
    used = frame().dropna()
    where = {
        "all": np.arange(len(used)),
        "shuffled": rng.permutation(len(used)),
        "some": np.arange(3, 40, 7),
        "one": np.array([11]),
    }[which]
    found = rows_of(saved[case], used.iloc[where].drop(columns="y"))
    assert list(found.index) == list(used.index[where])
    for ours, theirs in (
        (found.X, design.mean.matrix),
        (found.W, design.variance.matrix),
        (found.Z, design.Z),
        (found.A, design.A),
    ):
        assert np.array_equal(ours, theirs[where])
    if SPECS[case].group is not None:
        assert found.group is not None
        assert np.array_equal(found.group, design.group[where])


@pytest.mark.parametrize(
    ("case", "kept"), [("level 2", True), ("partial", True), ("partial", False)]
)
def test_level_2_predictors_are_those_of_the_group(case: str, kept: bool, tmp_path: Path) -> None:
    result = bridge.fit(SPECS[case], frame(), "agq")
    result = bridge.load(result.save(tmp_path / "r.nc"))
    result = result if kept else replace(result, states=None)
    design = make_design(SPECS[case], frame())
    used = frame().dropna().sample(frac=0.6, random_state=1)
    found = rows_of(result, used)
    assert list(found.level2) == list(design.level2)
    assert found.group is not None
    for key, encoded in design.level2.items():
        assert np.array_equal(found.level2[key], encoded.matrix[found.group])


def test_left_out_new_data_are_the_rows_of_the_fit(saved: dict[str, Result]) -> None:
    for case, result in saved.items():
        own, given = rows_of(result), rows_of(result, frame().dropna())
        assert list(own.index) == list(given.index), case
        for name in ("X", "W", "Z", "A"):
            assert np.array_equal(getattr(own, name), getattr(given, name)), (case, name)
        if result.spec.group is not None:
            assert np.array_equal(own.group, given.group)
            assert own.labels == given.labels


def test_constants_are_those_of_the_fit_and_not_of_the_new_rows(saved: dict[str, Result]) -> None:
    used = frame().dropna()
    new = pd.DataFrame({"x": [10.0, 20.0], "f": "a", "z": 2.0})
    found = rows_of(saved["rows"], new)
    z = (new["x"] - used["x"].mean()) / used["x"].std()
    labels = make_design(SPECS["rows"], frame()).mean.labels
    np.testing.assert_allclose(found.X[:, labels.index("scale(x)")], z, rtol=1e-13)
    np.testing.assert_allclose(
        found.X[:, labels.index("center(log(z))")],
        np.log(2) - np.log(used["z"]).mean(),
        rtol=1e-12,
    )


def test_a_group_of_the_fit_keeps_its_mean_and_a_new_one_has_that_of_its_rows(
    saved: dict[str, Result],
) -> None:
    used = frame().dropna()
    new = pd.DataFrame(
        {"x": [9.0, 1.0, 3.0], "z": [1.0, 2.0, 4.0], "g": ["school 4", "elsewhere", "elsewhere"]}
    )
    found = rows_of(saved["groups"], new)
    mean = used.loc[used["g"] == "school 4", "x"].mean()
    sd = used.loc[used["g"] == "school 4", "z"].std()
    np.testing.assert_allclose(found.X[:, 1], [mean, 2, 2], rtol=1e-14)
    np.testing.assert_allclose(found.X[:, 2], [9 - mean, -1, 1], rtol=1e-14)
    np.testing.assert_allclose(found.W[:, 1], [sd, np.sqrt(2), np.sqrt(2)], rtol=1e-14)
    assert list(found.group) == [sorted(used["g"].unique()).index("school 4"), -1, -1]
    assert list(found.together) == [0, 1, 1]
    with pytest.raises(errors.DataError, match=r"gsd\(z, g\) is not a finite number"):
        rows_of(saved["groups"], new.iloc[:2])


def test_values_of_another_type_are_the_same_level(saved: dict[str, Result]) -> None:
    new = frame().dropna()
    as_floats = new.assign(year=new["year"].astype(float), b=new["b"].astype(int), k=list(new["k"]))
    assert np.array_equal(rows_of(saved["factors"], as_floats).X, rows_of(saved["factors"], new).X)


BAD = {
    "an unknown level": (
        "factors", {"f": "d"}, errors.DataError,
        "Column 'f' is 'd' in row 0, which is not one of the levels of the fit. There are: a, b, c",
    ),
    "a level misspelt": (
        "factors", {"k": "earlly"}, errors.DataError, "Did you mean 'early'",
    ),
    "a missing value": (
        "factors", {"x": np.nan}, errors.DataError, "newdata has no value of x in row 0",
    ),
    "text for a number": (
        "factors", {"x": "two"}, errors.ColumnTypeError,
        "Column 'x' held numbers at the fit and holds text",
    ),
    "an infinite number": (
        "factors", {"x": np.inf}, errors.DataError, "Column 'x' is infinite in row 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_named(case: str, saved: dict[str, Result]) -> None:
    which, change, error, words = BAD[case]
    new = frame().dropna().head(1).reset_index(drop=True).assign(**change)
    with pytest.raises(error, match=words):
        rows_of(saved[which], new)


def test_a_missing_column_names_what_the_model_reads(saved: dict[str, Result]) -> None:
    with pytest.raises(errors.UnknownColumnError, match="no column f; the model reads f, x, b, k"):
        rows_of(saved["factors"], frame().drop(columns="f"))
    with pytest.raises(errors.NoRowsError, match="no rows"):
        rows_of(saved["factors"], frame().head(0))


# --- profiles ------------------------------------------------------------------------------------
def test_a_profile_is_every_combination(saved: dict[str, Result]) -> None:
    found = rows_at(saved["rows"], {"f": ["a", "c"], "x": [0, 1.5], "z": 2})
    assert found.to_numpy().tolist() == [
        ["a", 0.0, 2], ["a", 1.5, 2], ["c", 0.0, 2], ["c", 1.5, 2],
    ]  # fmt: skip
    assert rows_of(saved["rows"], found).X.shape == (4, make_design(
        SPECS["rows"], frame()
    ).mean.matrix.shape[1])  # fmt: skip


def test_a_transform_of_groups_may_be_given_itself(saved: dict[str, Result]) -> None:
    at = {"cvar(x, g)": [1.0, 2.0], "dvar(x, g)": 0, "gsd(z, g)": 0.7}
    found = rows_of(saved["groups"], rows_at(saved["groups"], at))
    assert found.X.tolist() == [[1, 1, 0], [1, 2, 0]]
    assert found.W.tolist() == [[1, 0.7], [1, 0.7]]
    assert found.group is None
    inner = {"cvar(log(z), g)": 0.3, "x": 1.0, "g": "school 1", "cvar(z, year)": 2.0}
    assert rows_of(saved["nested"], rows_at(saved["nested"], inner)).X[0, 3] == 2.0


def test_any_transform_of_one_number_may_be_given_itself(saved: dict[str, Result]) -> None:
    result = saved["rows"]
    given = {"scale(x)": 1.5, "f": "b", "center(log(z))": 0.2, "I(x^2 / z)": 3.0}
    given |= {"sqrt(z)": 1.2, "exp(x)": 7.0}
    rows = rows_of(result, rows_at(result, given))
    labels = [str(t) for t in result.idata["constant_data"]["mean_term"].values]
    for label in ("scale(x)", "center(log(z))", "I(x^2 / z)"):
        assert rows.X[0, labels.index(label)] == given[label]
    assert rows.W.tolist() == [[1, 1.2, 7.0]]
    # where what it is made of is there, that is read
    whole = rows_at(result, {"x": 2.0, "z": 2.0, "f": "b"})
    again = whole.assign(**given)
    np.testing.assert_array_equal(rows_of(result, again).X, rows_of(result, whole).X)


@pytest.mark.parametrize(
    ("at", "error", "words"),
    [
        ({"x": 1, "z": 1}, errors.UnknownColumnError, "no column f; the model reads x, f, z"),
        ({"x": 1, "z": 1, "ff": "a"}, errors.OptionError, "'ff', which the model does not read"),
        ({"x": [], "z": 1, "f": "a"}, errors.OptionError, "no value of x"),
        ([1], errors.OptionError, "a mapping from columns to values, not list"),
    ],
)
def test_a_bad_profile_is_refused(at, error, words, saved: dict[str, Result]) -> None:
    with pytest.raises(error, match=words):
        rows_at(saved["rows"], at)


def test_a_model_of_an_intercept_reads_nothing() -> None:
    spec = ModelSpec("y ~ 1 + (1 | g)")
    result = bridge.fit(spec, frame(), "fake", chains=1, draws=4, seed=1)
    assert rows_of(result, rows_at(result, {})).X.tolist() == [[1.0]]
    assert rows_of(result, rows_at(result, {"g": ["school 2", "x"]})).group.tolist() == [4, -1]


# --- results saved without states ----------------------------------------------------------------
OLD = {
    "y ~ f * x": "the levels of f",
    "y ~ C(year) + x": r"the levels of C\(year\)",
    "y ~ scale(x)": r"the constants of scale\(x\)",
    "y ~ cvar(x, g)": r"the constants of cvar\(x, g\)",
}


@pytest.mark.parametrize("mean", OLD)
def test_an_older_result_says_what_it_did_not_keep(mean: str) -> None:
    result = replace(
        bridge.fit(ModelSpec(mean), frame(), "fake", chains=1, draws=4, seed=1), states=None
    )
    with pytest.raises(errors.NotAvailable, match=f"before results kept {OLD[mean]}, which new"):
        rows_of(result, frame().dropna())
    assert len(rows_of(result).X) == 95


def test_an_older_result_of_plain_columns_still_works() -> None:
    spec = ModelSpec("y ~ x * z + log(z) + I(x^2) + (x | g)", "~ z")
    result = bridge.fit(spec, frame(), "fake", chains=1, draws=4, seed=1)
    new = frame().dropna().head(5)
    old = rows_of(replace(result, states=None), new)
    assert np.array_equal(old.X, rows_of(result, new).X)


def test_a_number_is_not_taken_for_a_factor_of_an_older_result() -> None:
    result = bridge.fit(ModelSpec("y ~ b + x"), frame(), "fake", chains=1, draws=4, seed=1)
    with pytest.raises(errors.NotAvailable, match="the levels of its factors"):
        rows_of(replace(result, states=None), frame().dropna().assign(b=1))
