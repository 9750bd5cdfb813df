"""Spec and data to numbers: labels, contrasts, rows, groups, blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge.design import Design, make_design
from bridge.errors import BridgeError, CollinearError, SpecError
from bridge.spec import ModelSpec


def frame(**columns: Any) -> pd.DataFrame:
    """Return 12 rows in 3 groups that are not in order; a keyword replaces or adds a column."""
    made = pd.DataFrame(
        {
            "y": [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8],
            "x": [2.0, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5],
            "z": [1.0, 4, 1, 4, 2, 1, 3, 5, 6, 2, 3, 7],
            "f": ["b", "a", "c", "a", "b", "c", "c", "b", "a", "b", "c", "a"],
            "h": [True, False, False, True, True, True, False, True, False, False, True, False],
            "g": ["k", "i", "j"] * 4,
        }
    )
    return made.assign(**columns)


def design(mean: str, variance: str = "~ 1", **columns: Any) -> Design:
    return make_design(ModelSpec(mean, variance), frame(**columns))


X, Z = frame()["x"].to_numpy(), frame()["z"].to_numpy()
F, H = frame()["f"].to_numpy(), frame()["h"].to_numpy(dtype=float)
ONE = np.ones(12)


def is_level(level: str) -> np.ndarray:
    return (level == F).astype(float)


B, C, A = is_level("b"), is_level("c"), is_level("a")

# formula -> label and column, by hand
CODED: dict[str, dict[str, np.ndarray]] = {
    "~ x": {"Intercept": ONE, "x": X},
    "~ 1": {"Intercept": ONE},
    "~ 0 + x": {"x": X},
    "~ x - 1": {"x": X},
    "~ f": {"Intercept": ONE, "f[b]": B, "f[c]": C},
    "~ 0 + f": {"f[a]": A, "f[b]": B, "f[c]": C},
    "~ h": {"Intercept": ONE, "h[True]": H},
    "~ 0 + h": {"h[False]": 1 - H, "h[True]": H},
    "~ x * z": {"Intercept": ONE, "x": X, "z": Z, "x:z": X * Z},
    "~ z:x + x": {"Intercept": ONE, "x": X, "z:x": X * Z},
    "~ x * f": {
        "Intercept": ONE, "x": X, "f[b]": B, "f[c]": C, "x:f[b]": X * B, "x:f[c]": X * C,
    },
    "~ 1 + x:f": {"Intercept": ONE, "x:f[a]": X * A, "x:f[b]": X * B, "x:f[c]": X * C},
    "~ x + x:f": {"Intercept": ONE, "x": X, "x:f[b]": X * B, "x:f[c]": X * C},
    "~ f + f:x": {
        "Intercept": ONE, "f[b]": B, "f[c]": C, "f[a]:x": X * A, "f[b]:x": X * B, "f[c]:x": X * C,
    },
    "~ f * h": {
        "Intercept": ONE, "f[b]": B, "f[c]": C, "h[True]": H,
        "f[b]:h[True]": B * H, "f[c]:h[True]": C * H,
    },
    "~ (x + z + f)^2 - f:x - x:f - f:z - z:f": {
        "Intercept": ONE, "x": X, "z": Z, "f[b]": B, "f[c]": C, "x:z": X * Z,
    },
    "~ x + z - z": {"Intercept": ONE, "x": X},
    "~ x + x": {"Intercept": ONE, "x": X},
    "~ x^2": {"Intercept": ONE, "x": X},
    "~ I(x^2)": {"Intercept": ONE, "I(x^2)": X**2},
    "~ I(x^2):z": {"Intercept": ONE, "I(x^2):z": X**2 * Z},
    "~ log(x) + sqrt(z)": {"Intercept": ONE, "log(x)": np.log(X), "sqrt(z)": np.sqrt(Z)},
    "~ C(z) + x - C(z) ": {"Intercept": ONE, "x": X},
}  # fmt: skip


@pytest.mark.parametrize("source", CODED)
def test_columns_against_hand(source: str) -> None:
    expected = CODED[source]
    found = design("y " + source)
    assert found.mean.labels == tuple(expected)
    np.testing.assert_allclose(found.mean.matrix, np.column_stack(list(expected.values())))
    as_variance = design("y ~ 1", source)
    assert as_variance.variance.labels == tuple(expected)
    np.testing.assert_array_equal(as_variance.variance.matrix, found.mean.matrix)


def test_numbers_taken_as_a_factor_are_in_order_of_size() -> None:
    found = design("y ~ C(k)", k=[10, 9, 100] * 4)
    assert found.mean.labels == ("Intercept", "C(k)[10]", "C(k)[100]")
    np.testing.assert_array_equal(found.mean.matrix[:3], [[1, 1, 0], [1, 0, 0], [1, 0, 1]])


def test_a_categorical_keeps_its_order_and_loses_unused_levels() -> None:
    values = pd.Categorical(F, categories=["d", "c", "a", "e", "b"])
    found = design("y ~ f", f=values)
    assert found.mean.labels == ("Intercept", "f[a]", "f[b]")
    np.testing.assert_array_equal(found.mean.matrix, np.column_stack([ONE, A, B]))


def test_a_level_that_only_dropped_rows_have_is_gone() -> None:
    x = X.copy()
    x[F == "c"] = np.nan
    found = design("y ~ x + f", x=x)
    assert found.mean.labels == ("Intercept", "x", "f[b]")
    assert found.dropped_rows == 4


@pytest.mark.parametrize(
    "levels",
    [("a", "b", "T.b"), ("a", "b", "0"), ("1", "0", "T.1"), ("x:f[0]", "a", "b]"), ("ä", "", " ")],
)
def test_no_level_is_taken_for_another(levels: tuple[str, str, str]) -> None:
    values = pd.Categorical.from_codes([0, 1, 2] * 4, categories=list(levels))
    found = design("y ~ f * x", f=values)
    _, second, third = levels
    assert found.mean.labels == (
        "Intercept", f"f[{second}]", f"f[{third}]", "x", f"f[{second}]:x", f"f[{third}]:x",
    )  # fmt: skip
    np.testing.assert_array_equal(found.mean.matrix[:3, 1:3], [[0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize("source", ["y ~ f:h", "y ~ x + f:h"])
def test_factors_that_interact_alone_are_refused(source: str) -> None:
    with pytest.raises(SpecError, match=r"f:h stands without .*; write f \* h"):
        design(source)


@pytest.mark.parametrize("source", ["y ~ 0 + f:h", "y ~ 1 + f:h:x"])
def test_every_combination_of_levels_where_nothing_is_below(source: str) -> None:
    found = design(source).mean
    full = [label for label in found.labels if label != "Intercept"]
    assert len(full) == 6
    assert all(label.startswith(("f[a]:h[", "f[b]:h[", "f[c]:h[")) for label in full)
    assert np.linalg.matrix_rank(found.matrix) == len(found.labels)


def test_columns_that_only_seem_numeric() -> None:
    for values in (
        [1, 2] * 6,
        pd.Series([1, 2] * 6, dtype=object),
        pd.array([1, 2] * 6, dtype="Int8"),
    ):
        found = design("y ~ k", k=values)
        assert found.mean.labels == ("Intercept", "k")
        np.testing.assert_array_equal(found.mean.matrix[:2, 1], [1, 2])


# --- rows ---------------------------------------------------------------------------------
def test_rows_with_missing_values_are_dropped_counted_and_keep_their_index() -> None:
    data = frame()
    data.index = pd.Index([f"p{i}" for i in range(12)])
    data.loc["p1", "y"] = np.nan
    data.loc["p4", "f"] = None
    data.loc["p7", "g"] = None
    data["other"] = np.nan
    found = make_design(ModelSpec("y ~ x + (1 | g)", "~ f"), data)
    kept = [i for i in range(12) if i not in (1, 4, 7)]
    assert found.dropped_rows == 3
    assert list(found.index) == [f"p{i}" for i in kept]
    np.testing.assert_array_equal(found.y, frame()["y"].to_numpy()[kept])
    np.testing.assert_array_equal(found.mean.matrix[:, 1], X[kept])


def test_rows_stay_in_the_users_order_whatever_the_index() -> None:
    data = frame().iloc[::-1]
    found = make_design(ModelSpec("y ~ x + (1 | g)"), data)
    np.testing.assert_array_equal(found.mean.matrix[:, 1], X[::-1])
    assert list(found.index) == list(range(11, -1, -1))
    data.index = pd.Index([0] * 12)
    np.testing.assert_array_equal(make_design(found.spec, data).y, found.y)


def test_the_users_frame_is_not_touched() -> None:
    data = frame(g=pd.Categorical(frame()["g"], categories=["z", "k", "j", "i"]))
    before = data.copy(deep=True)
    make_design(ModelSpec("y ~ scale(x) + f + (1 + x | g)", "~ h"), data)
    pd.testing.assert_frame_equal(data, before)


def test_the_outcomes_mad() -> None:
    found = design("y ~ 1")
    y = np.sort(found.y)
    median = (y[5] + y[6]) / 2
    assert found.outcome_mad == pytest.approx(1.4826 * np.median(np.abs(y - median)))
    flat = design("y ~ 1", y=[0.0] * 11 + [12.0])
    assert flat.outcome_mad == pytest.approx(np.std([0.0] * 11 + [12.0], ddof=1))


# --- groups -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "labels", "codes"),
    [
        (["k", "i", "j"], ("i", "j", "k"), [2, 0, 1]),
        (["1", "01", "10"], ("01", "1", "10"), [1, 0, 2]),
        ([10, 9, 100], ("9", "10", "100"), [1, 0, 2]),
        ([1.0, 0.5, -2.0], ("-2.0", "0.5", "1.0"), [2, 1, 0]),
        (["é", "e", "學"], ("e", "é", "學"), [1, 0, 2]),
        ([True, False, True], ("False", "True"), [1, 0, 1]),
        (
            pd.Categorical(["c", "a", "b"], categories=["b", "x", "c", "a"]),
            ("b", "c", "a"),
            [1, 2, 0],
        ),
    ],
)
def test_groups_are_labelled_as_the_user_wrote_them(
    values: Any, labels: tuple, codes: list
) -> None:
    many = pd.concat([pd.Series(values)] * 4, ignore_index=True)
    found = design("y ~ 1 + (1 | g)", g=many)
    assert found.group_labels == labels
    np.testing.assert_array_equal(found.group, codes * 4)


def test_without_random_terms_there_is_one_group() -> None:
    found = design("y ~ x")
    assert found.group_labels == ("all",)
    assert found.effects == ()
    assert found.Z.shape == found.A.shape == (12, 0)
    assert found.tau_pairs == found.rho_pairs == []


# --- effects and blocks ----------------------------------------------------------------------
# (mean, variance) -> (effects, block)
BLOCKS = {
    ("(1 | g)", ""): (["u:Intercept"], [0]),
    ("(1 + x | g)", ""): (["u:Intercept", "u:x"], [0, 0]),
    ("(x | g)", ""): (["u:Intercept", "u:x"], [0, 0]),
    ("(0 + x | g)", ""): (["u:x"], [0]),
    ("(1 + x || g)", ""): (["u:Intercept", "u:x"], [0, 1]),
    ("(1 | g) + (0 + x | g)", ""): (["u:Intercept", "u:x"], [0, 1]),
    ("(1 | g)", "(1 | g)"): (["u:Intercept", "v:Intercept"], [0, 1]),
    ("(1 | s | g)", "(1 | s | g)"): (["u:Intercept", "v:Intercept"], [0, 0]),
    ("(1 | s | g)", "(1 | t | g)"): (["u:Intercept", "v:Intercept"], [0, 1]),
    ("(1 + x | s | g)", "(1 + z | s | g)"): (["u:Intercept", "u:x", "v:Intercept", "v:z"], [0] * 4),
    ("(1 | s | g) + (0 + x | t | g)", "(1 | t | g) + (0 + z | s | g)"): (
        ["u:Intercept", "u:x", "v:Intercept", "v:z"], [0, 1, 1, 0],
    ),
    ("(1 | s | g) + (0 + x | g)", "(1 | s | g)"): (
        ["u:Intercept", "u:x", "v:Intercept"], [0, 1, 0],
    ),
    ("(1 + x || g)", "(1 + x || g)"): (
        ["u:Intercept", "u:x", "v:Intercept", "v:x"], [0, 1, 2, 3],
    ),
    ("(1 + f | g)", ""): (["u:Intercept", "u:f[b]", "u:f[c]"], [0, 0, 0]),
    ("(0 + h || g)", ""): (["u:h[False]", "u:h[True]"], [0, 1]),
    ("", "(1 + x | g)"): (["v:Intercept", "v:x"], [0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("terms", BLOCKS)
def test_ids_and_bars_make_the_blocks(terms: tuple[str, str]) -> None:
    in_mean, in_variance = (f" + {part}" if part else "" for part in terms)
    found = design(f"y ~ 1{in_mean}", f"~ 1{in_variance}")
    effects, block = BLOCKS[terms]
    assert list(found.effects) == effects
    assert list(found.block) == block
    size = len(effects)
    lower = [(a, b) for b in range(size) for a in range(b + 1) if block[a] == block[b]]
    assert found.tau_pairs == lower
    assert found.rho_pairs == [(a, b) for a, b in lower if a != b]
    assert found.Z.shape[1] + found.A.shape[1] == size


def test_pairs_go_by_rows_of_the_lower_triangle() -> None:
    found = design("y ~ 1 + (1 + x | s | g)", "~ 1 + (1 | s | g)")
    assert [found.pair_label(p) for p in found.tau_pairs] == [
        "u:Intercept,u:Intercept",
        "u:Intercept,u:x",
        "u:x,u:x",
        "u:Intercept,v:Intercept",
        "u:x,v:Intercept",
        "v:Intercept,v:Intercept",
    ]
    assert [found.pair_label(p) for p in found.rho_pairs] == [
        "u:Intercept,u:x",
        "u:Intercept,v:Intercept",
        "u:x,v:Intercept",
    ]


def test_designs_of_the_effects() -> None:
    found = design("y ~ 1 + (1 | g) + (0 + x | g)", "~ 1 + (1 + z | g)")
    np.testing.assert_array_equal(found.Z, np.column_stack([ONE, X]))
    np.testing.assert_array_equal(found.A, np.column_stack([ONE, Z]))
    assert [part.effects for part in found.mean_random] == [(0,), (1,)]
    assert [part.effects for part in found.variance_random] == [(2, 3)]


def test_priors_of_a_design_know_its_terms() -> None:
    found = make_design(
        ModelSpec(
            "y ~ f + (1 | g)", priors={"gamma[f[b]]": "normal(0, 2)", "sd_u": "exponential(1)"}
        ),
        frame(),
    ).priors
    assert [str(p) for p in found.gamma] == ["flat", "normal(0, 2)", "flat"]
    assert [str(p) for p in found.sd] == ["exponential(1)"]


def test_collinear_columns_are_found_at_any_scale() -> None:
    tiny = 1e-9 * X
    assert design("y ~ t", t=tiny).mean.labels == ("Intercept", "t")
    with pytest.raises(CollinearError, match="t is a linear combination of x"):
        design("y ~ x + t", t=tiny)
    far = X + 1e5
    assert design("y ~ t", t=far).mean.labels == ("Intercept", "t")


def test_every_error_is_ours() -> None:
    for values in ([object()] * 12, [[1]] * 12, [{}] * 12, pd.period_range("2020", periods=12)):
        for where in ("y ~ k", "k ~ 1", "y ~ 1 + (1 | k)"):
            with pytest.raises(BridgeError):
                design(where, k=pd.Series(values))
