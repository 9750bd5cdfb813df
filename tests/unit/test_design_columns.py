"""What a model reads of the data: odd columns, and what it does not use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.design import make_design


@pytest.mark.parametrize("mean", ["(poly(x, 3) + z)^2", "poly(x, 2) * poly(x, 2)"])
def test_a_polynomial_times_itself_is_refused(mean: str) -> None:
    with pytest.raises(errors.SpecError, match=r"poly\(x, [23]\) by itself"):
        make_design(bridge.ModelSpec(f"y ~ {mean}"), spread())


def test_a_polynomial_in_a_product_is_one_factor() -> None:
    found = make_design(bridge.ModelSpec("y ~ poly(x, 2) * z"), spread())
    assert len(found.mean.labels) == 6


def test_truth_values_count_as_zero_and_one_in_arithmetic() -> None:
    data = spread().assign(b=lambda d: d["x"] > 0)
    found = make_design(bridge.ModelSpec("y ~ I(b * z)"), data)
    np.testing.assert_array_equal(found.mean.matrix[:, 1], (data["x"] > 0) * data["z"])


def test_whole_groups_with_some_missing_keep_their_labels() -> None:
    data = spread().assign(g=[7.0, 10.0, np.nan] * 10)
    found = make_design(bridge.ModelSpec("y ~ 1 + (1 | g)"), data)
    assert found.group_labels == ("7", "10")
    plain = make_design(bridge.ModelSpec("y ~ 1 + (1 | g)"), spread().assign(g=[7.0, 10.0] * 15))
    assert plain.group_labels == ("7.0", "10.0")


def test_what_a_model_does_not_use_does_not_matter() -> None:
    data = spread()
    data.loc[3, ["y", "x"]] = np.inf, np.nan
    twice = pd.concat([data, data[["z"]]], axis=1)
    found = make_design(bridge.ModelSpec("y ~ x"), twice)
    assert found.dropped_rows == 1


def test_as_many_coefficients_as_rows_are_refused() -> None:
    data = spread().head(12).assign(w=range(12))
    with pytest.raises(errors.DataError, match="12 coefficients for 12 rows"):
        make_design(bridge.ModelSpec("y ~ C(w)"), data)


def test_nearly_collinear_columns_are_found_as_lme4_finds_them() -> None:
    data = spread().assign(x2=lambda d: d["x"] + 1e-8 * d["z"])
    with pytest.raises(errors.CollinearError, match="x2 is a linear combination of x"):
        make_design(bridge.ModelSpec("y ~ x + x2"), data)


def test_a_level_2_function_of_an_unknown_effect_is_refused() -> None:
    spec = bridge.ModelSpec("y ~ 1 + (1 | g)", level2={"tau[u:Intercpt,u:Intercpt]": "~ z"})
    with pytest.raises(errors.SpecError, match="Did you mean 'tau\\[u:Intercept,u:Intercept\\]'"):
        make_design(spec, spread().assign(g=[1, 2] * 15))


def spread() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(rng.normal(size=(30, 3)), columns=["y", "x", "z"])
