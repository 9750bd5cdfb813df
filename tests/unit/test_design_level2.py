"""Level-2 functions and latent association as numbers: rows, labels, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import datasets, errors
from bridge.columns import Factor
from bridge.design import Design, make_design
from bridge.design_level2 import varying_groups
from bridge.spec import ModelSpec

MEAN = "mathach ~ 1 + (1 | s | school)"
VARIANCE = "~ 1 + (1 | s | school)"
UU, UV, VV = (
    "tau[u:Intercept,u:Intercept]",
    "rho[u:Intercept,v:Intercept]",
    "tau[v:Intercept,v:Intercept]",
)


@pytest.fixture(scope="module")
def hsb() -> pd.DataFrame:
    # rows of a group apart, so that no order of rows can be taken for the order of groups
    frame = datasets.load("hsb").sample(frac=1, random_state=1)
    return frame.assign(kind=frame["sector"].map({0: "Public", 1: "Catholic"}))


def design(data: pd.DataFrame, level2: Any, mean: str = MEAN, variance: str = VARIANCE) -> Design:
    return make_design(ModelSpec(mean, variance, level2=level2), data)


# --- the functions --------------------------------------------------------------------------
def test_columns_have_one_row_a_group_in_the_order_of_the_labels(hsb: pd.DataFrame) -> None:
    found = design(hsb, "~ sector + kind:log(size) + cvar(ses, school) - 1")
    assert list(found.level2) == [UU, UV, VV]
    encoded = found.level2[UV]
    labels = ("sector", "cvar(ses, school)", "kind[Catholic]:log(size)", "kind[Public]:log(size)")
    assert encoded.labels == labels
    assert encoded.matrix.shape == (160, 4)
    for row, label in zip(encoded.matrix, found.group_labels, strict=True):
        school = hsb[hsb["school"].astype(str) == label]
        first = school.iloc[0]
        catholic, size = first["kind"] == "Catholic", np.log(first["size"])
        expected = [first["sector"], school["ses"].mean(), catholic * size, (not catholic) * size]
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("text", ["~ kind", "~ 0 + kind", "~ poly(size, 2)", "~ center(size)*kind"])
def test_labels_are_those_of_a_mean_function_of_the_same_terms(
    text: str, hsb: pd.DataFrame
) -> None:
    found = design(hsb, text)
    as_mean = make_design(ModelSpec(f"mathach {text}"), hsb).mean
    for encoded in found.level2.values():
        assert (encoded.labels, encoded.pieces) == (as_mean.labels, as_mean.pieces)
        np.testing.assert_array_equal(encoded.matrix[found.group], as_mean.matrix)


def test_a_mapping_has_functions_of_its_elements_alone_in_the_order_of_tau(
    hsb: pd.DataFrame,
) -> None:
    found = design(hsb, {VV: "~ kind", UU: "~ 1"})
    assert [(k, e.labels) for k, e in found.level2.items()] == [
        (UU, ("Intercept",)),
        (VV, ("Intercept", "kind[Public]")),
    ]
    assert found.kappa_terms == [
        ("tau", "u:Intercept,u:Intercept", "Intercept"),
        ("tau", "v:Intercept,v:Intercept", "Intercept"),
        ("tau", "v:Intercept,v:Intercept", "kind[Public]"),
    ]


def test_without_level2_there_is_none(hsb: pd.DataFrame) -> None:
    found = design(hsb, None)
    assert found.level2 == {} and found.kappa_terms == []
    assert found.constant_tau_pairs == found.tau_pairs == [(0, 0), (0, 1), (1, 1)]
    assert found.constant_rho_pairs == found.rho_pairs == [(0, 1)]


def test_rows_without_a_level_2_predictor_are_dropped(hsb: pd.DataFrame) -> None:
    gap = hsb.assign(size=hsb["size"].mask(hsb["school"] == hsb["school"].iloc[0]))
    found = design(gap, "~ size")
    assert found.level2[UU].matrix.shape == (159, 2)
    assert found.dropped_rows == gap["size"].isna().sum() > 0


# --- which elements are constant ------------------------------------------------------------
@pytest.mark.parametrize(
    ("functions", "tau", "rho"),
    [
        # every covariance of u:Intercept (0) moves with its variance
        ([UU], [(1, 1), (1, 2), (2, 2)], [(0, 1), (0, 2), (1, 2)]),
        ([UV], [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)], [(0, 1), (1, 2)]),
        ([UU, UV, VV], [(1, 1)], [(0, 1), (1, 2)]),
        (["rho[u:Intercept,u:ses]"], [(0, 0), (1, 1), (0, 2), (1, 2), (2, 2)], [(0, 2), (1, 2)]),
    ],
)
def test_constant_elements(functions: list[str], tau: list, rho: list, hsb: pd.DataFrame) -> None:
    mean = "mathach ~ ses + (1 + ses | s | school)"
    found = design(hsb, dict.fromkeys(functions, "~ sector"), mean=mean)
    assert found.constant_tau_pairs == tau
    assert found.constant_rho_pairs == rho
    assert len(found.tau_pairs) == 6 and len(found.rho_pairs) == 3


def test_a_function_of_everything_leaves_nothing_constant(hsb: pd.DataFrame) -> None:
    found = design(hsb, "~ sector")
    assert found.constant_tau_pairs == found.constant_rho_pairs == []


def test_elements_that_are_zero_by_the_spec_have_no_function(hsb: pd.DataFrame) -> None:
    apart = design(hsb, "~ sector", "mathach ~ 1 + (1 | school)", "~ 1 + (1 | school)")
    assert list(apart.level2) == [UU, VV]
    with pytest.raises(errors.SpecError, match=r"level2 has rho\[u:Intercept,v:Intercept\]"):
        design(hsb, {UV: "~ sector"}, "mathach ~ 1 + (1 | school)", "~ 1 + (1 | school)")


# --- what is refused ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("~ ses", "ses varies within school 1224; a level-2 function needs predictors that are "
         "constant within groups, such as cvar(ses, school)."),
        ("~ size + dvar(ses, school)", "dvar(ses, school) varies within school 1224; a level-2 "
         "function needs predictors that are constant within groups, such as cvar(ses, school)."),
        ("~ se + seses", "seses varies within school 1288; a level-2 function needs predictors "
         "that are constant within groups, such as cvar(seses, school)."),
        ("~ poly(ses, 2)", "poly(ses, 2)[1] varies within school 1224; a level-2 function needs "
         "predictors that are constant within groups, such as cvar(ses, school)."),
        ("~ size:track", "track varies within school 1224; a level-2 function needs predictors "
         "that are constant within groups."),
    ],
)  # fmt: skip
def test_a_predictor_that_varies(text: str, said: str, hsb: pd.DataFrame) -> None:
    data = hsb.assign(
        track=np.resize(["a", "b"], len(hsb)),
        se=hsb["meanses"],
        seses=hsb["meanses"].where(hsb["school"] == 1224, hsb["ses"]),
    )
    with pytest.raises(errors.DataError) as caught:
        design(data, {UU: text})
    assert str(caught.value) == said


def test_rounding_is_no_variation() -> None:
    codes = np.array([1, 0, 1, 0, 2])
    exact = np.array([1e6, 3.0, 1e6, 3.0, 5.0])
    assert list(varying_groups(exact * (1 + 1e-15 * np.arange(5)), codes)) == []
    assert list(varying_groups(exact + 1e-3 * np.eye(5)[2], codes)) == [1]
    assert list(varying_groups(Factor(np.array([0, 1, 1, 0, 0]), ("a", "b")), codes)) == [0, 1]


def test_rank_is_that_over_groups(hsb: pd.DataFrame) -> None:
    few = hsb[hsb["school"].isin(sorted(hsb["school"].unique())[:3])]
    assert design(few, "~ size + meanses").level2[UU].matrix.shape == (3, 3)
    with pytest.raises(errors.CollinearError, match=r"In the level-2 tau\[u:Intercept,u:I.* func"):
        design(few, "~ size + meanses + log(size)")
    with pytest.raises(errors.CollinearError, match=r"kind\[Public\] is a linear combination"):
        design(hsb, "~ sector + kind")


@pytest.mark.parametrize(
    ("level2", "kind", "said"),
    [
        ("~ 0", errors.SpecError, "has no terms left"),
        ("~ school", errors.GroupingError, "school is the grouping column"),
        ("~ cvar(mathach, school)", errors.SpecError, "mathach is the outcome"),
        ("~ nu", errors.VocabularyError, "collides with the vocabulary"),
        ("~ sectr", errors.UnknownColumnError, "Did you mean 'sector'"),
        ({"tau[u:ses,u:ses]": "~ sector"}, errors.SpecError, "which this model does not have"),
        ({"rho[u:Intercept,v:ses]": "~ 1"}, errors.SpecError, "It has: tau"),
    ],
)
def test_other_refusals(level2: Any, kind: type[Exception], said: str, hsb: pd.DataFrame) -> None:
    with pytest.raises(kind, match=said):
        design(hsb.assign(nu=1.0 * hsb["size"]), level2)


@pytest.mark.parametrize("level2", ["~ sector", {UU: "~ sector"}])
def test_level2_needs_group_effects(level2: Any, hsb: pd.DataFrame) -> None:
    with pytest.raises(errors.SpecError, match="this model has none; add a random term"):
        design(hsb, level2, "mathach ~ 1", "~ 1")


# --- latent association ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("association", "labels"),
    [
        (None, ()),
        ("linear", ("u:Intercept", "u:ses")),
        ("quadratic", ("u:Intercept", "u:ses", "u:Intercept^2", "u:ses^2")),
    ],
)
def test_latent_terms(association: str | None, labels: tuple, hsb: pd.DataFrame) -> None:
    spec = ModelSpec(
        "mathach ~ ses + (1 + ses | school)", "~ 1 + (1 | school)", association=association
    )
    assert make_design(spec, hsb).latent_terms == labels


def test_association_needs_mean_effects(hsb: pd.DataFrame) -> None:
    spec = ModelSpec("mathach ~ 1", "~ 1 + (1 | school)", association="linear")
    with pytest.raises(errors.SpecError, match="the mean has none; add a random term"):
        make_design(spec, hsb)


@pytest.mark.parametrize(
    ("mean", "key", "right"),
    [
        (MEAN, "rho[v:Intercept,u:Intercept]", UV),
        ("mathach ~ ses + (ses | s | school)", "rho[u:ses,u:Intercept]", "rho[u:Intercept,u:ses]"),
    ],
)
def test_a_pair_in_the_other_order_is_named_in_the_right_one(
    mean: str, key: str, right: str, hsb: pd.DataFrame
) -> None:
    with pytest.raises(errors.SpecError) as caught:
        design(hsb, {key: "~ sector"}, mean=mean)
    assert str(caught.value) == (
        f"level2 has {key}, whose effects stand in the other order in the result; write {right}."
    )
