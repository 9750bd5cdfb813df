"""Numbers that follow from printed ones and from single rows, against hand and the documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import datasets, published_tables
from bridge.cases import numbers
from bridge.cases.integrity import case_data
from bridge.cases.numbers import Context
from bridge.errors import DataFileError, NotAvailable, OptionError


def of_print(values: dict[str, float]) -> Context:
    """Return the column "print" of a case with these printed numbers."""
    frame = pd.DataFrame(
        {"parameter": list(values), "statistic": "value", "value": list(values.values())}
    )
    case = replace(published_tables.load("leckie2014/model1"), frame=frame)
    return Context(case, pd.DataFrame(), {}, numbers.PRINT)


def computed(context: Context, function: str, **arguments: Any) -> float:
    return numbers.compute(function, context, arguments).value


U, V = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
LONDON = {"gamma[Intercept]": -0.011, "delta[Intercept]": -0.870, U: 0.067}


@pytest.mark.parametrize(
    ("function", "arguments", "value"),
    [
        # exp(-0.870) = 0.41895; 0.067 + 0.41895; 6.7 / 0.48595; 100 (1 - 0.48595)
        ("total_variance", {}, 0.48595),
        ("total_variance", {"which": "groups"}, 13.7874),
        ("total_variance", {"which": "explained"}, 51.4049),
    ],
)
def test_variance_of_progress(function: str, arguments: dict[str, Any], value: float) -> None:
    found = computed(
        of_print(LONDON), function, effect="u:Intercept", log_variance="delta[Intercept]",
        **arguments,
    )  # fmt: skip
    assert found == pytest.approx(value, abs=1e-4)


def test_interdecile_ranges_are_those_of_the_text() -> None:
    context = of_print(LONDON | {"delta[Intercept]": -0.881, V: 0.037})
    mean = {"centre": "gamma[Intercept]", "effect": "u:Intercept"}
    # 1.28155 sqrt(0.067) = 0.33172
    assert computed(context, "interdecile", **mean, end="lower") == pytest.approx(
        -0.34272, abs=1e-5
    )
    assert computed(context, "interdecile", **mean, end="upper") == pytest.approx(0.32072, abs=1e-5)
    assert computed(context, "width_of_deciles", effect="u:Intercept") == pytest.approx(
        0.66344, abs=1e-5
    )
    variance = {"centre": "delta[Intercept]", "effect": "v:Intercept", "exponential": True}
    low, high = (computed(context, "interdecile", **variance, end=e) for e in ("lower", "upper"))
    # 1.28155 sqrt(0.037) = 0.24651: exp(-1.12751) and exp(-0.63449)
    assert (low, high) == pytest.approx((0.32384, 0.53021), abs=1e-5)
    width = {"log_variance": "delta[Intercept]", "effect": "v:Intercept"}
    assert computed(context, "width_of_deciles", **width, end="upper") == pytest.approx(
        2 * 1.2815516 * np.sqrt(high), abs=1e-6
    )
    with pytest.raises(OptionError, match="end is one of"):
        computed(context, "interdecile", **mean, end="top")


def test_shares_of_counts() -> None:
    context = of_print({"differ": 117, "schools": 465})
    assert computed(context, "percentage", part="differ", of="schools") == pytest.approx(25.16129)
    assert computed(context, "quotient", dividend="schools", divisor="differ") == pytest.approx(
        3.974359
    )
    assert not context.read  # counts are not rounded


def test_a_log_sd_becomes_a_log_variance() -> None:
    context = of_print({"m": 0.11, "s": 0.02, "c": 0.32, "sc": 0.18, "k": -0.39})
    assert computed(context, "restated", of="k", times=2) == pytest.approx(-0.78)
    square = {"mean": "m", "sd": "s", "times": 4}
    # 4 (0.0121 + 0.0004); 4 * 0.02 sqrt(4 * 0.0121 + 2 * 0.0004)
    assert computed(context, "square_of_draws", **square) == pytest.approx(0.05)
    assert computed(context, "square_of_draws", **square, spread=True) == pytest.approx(
        0.0177449, abs=1e-7
    )
    product = {"means": ["c", "m"], "sds": ["sc", "s"], "times": 2}
    assert computed(context, "product_of_draws", **product) == pytest.approx(0.0704)
    # 2 sqrt((0.18 * 0.11)^2 + (0.32 * 0.02)^2)
    assert computed(context, "product_of_draws", **product, spread=True) == pytest.approx(
        2 * np.hypot(0.0198, 0.0064)
    )
    assert context.read == {(name, "value") for name in context.case.frame["parameter"]}


def test_moments_of_squares_are_those_of_normal_draws() -> None:
    draws = np.random.default_rng(1).normal(0.11, 0.02, 400_000) ** 2
    context = of_print({"m": 0.11, "s": 0.02})
    for spread, value in ((False, draws.mean()), (True, draws.std())):
        found = computed(context, "square_of_draws", mean="m", sd="s", spread=spread)
        assert found == pytest.approx(value, rel=5e-3)


def test_efficiency_of_a_chain() -> None:
    context = of_print({"s": 2.0, "e": 0.1, "t": 3.0, "f": 0.3, "n": 1000, "share": 0.4})
    every = {"sds": ["s", "t"], "errors": ["e", "f"], "draws": "n"}
    # (2 / 0.1)^2 = 400 and (3 / 0.3)^2 = 100 effective draws
    for summary, value in (("max", 0.4), ("min", 0.1), ("mean", 0.25)):
        assert computed(context, "sampler_efficiency", **every, summary=summary) == pytest.approx(
            value
        )
    error = computed(context, "sampler_error", sd="s", efficiency="share", draws="n")
    assert error == pytest.approx(0.1)


def test_sums_and_tables_beside_each_other() -> None:
    context = of_print({"a": 1.0})
    assert computed(context, "sum_of_printed", values=[41.769, 19.914]) == pytest.approx(61.683)
    assert computed(context, "product_of_printed", values=[0.005, 10, 1000]) == pytest.approx(50)
    pair = {"first": "leckie2014/model1", "second": "leckie2014/model2"}
    assert computed(context, "difference_between_tables", of="DIC", **pair) == 444


def test_print_alone_has_what_follows_from_print() -> None:
    context = replace(of_print({"a": 1.0}), column="agq")
    with pytest.raises(NotAvailable, match="column print"):
        computed(context, "restated", of="a")


def test_a_drawn_line_gives_back_each_of_its_numbers() -> None:
    x, e = [-1.0, 0.5, 2.0], [0.1, -0.2, 0.4]
    y = [3 - 2 * a + b for a, b in zip(x, e, strict=True)]
    printed = {
        f"{name} {i + 1}": each[i]
        for name, each in (("x", x), ("error", e), ("y", y))
        for i in range(3)
    }
    context = of_print(printed)
    for name, each in (("x", x), ("error", e), ("y", y)):
        found = [computed(context, "drawn_line", which=name, number=i) for i in (1, 2, 3)]
        assert found == pytest.approx(each)
    constant = numbers.compute("drawn_constant", context, {"which": "intercept", "variance": 16})
    assert (constant.value, constant.mc_error) == pytest.approx((3, 4))
    # (0.01 + 0.04 + 0.16) / 3, and 20 sqrt(2 / 3)
    arguments = {"which": "residual variance", "variance": 20}
    square = numbers.compute("drawn_constant", context, arguments)
    assert (square.value, square.mc_error) == pytest.approx((0.07, 16.329932))
    arguments = {
        "first": "intercept", "second": "slope", "means": {"intercept": 12, "slope": 2},
        "G": {"intercept": 16, "slope": 25, "covariance": 8},
    }  # fmt: skip
    product = numbers.compute("drawn_covariance", context, arguments)
    # (3 - 12)(-2 - 2), and sqrt(16 * 25 + 64)
    assert (product.value, product.mc_error) == pytest.approx((36, 21.540659))


def test_rows_that_print_lists() -> None:
    case = published_tables.load("scs2017/listed_rows")
    context = Context(case, case_data(case), {}, numbers.DATA)
    assert computed(context, "cell", row=1, column="mathach") == 12.862
    assert computed(context, "cell", row=419, column="ses") == 0.302
    # the second listing prints both numbers of a row
    assert computed(context, "row_of_all_data", row=1) == 141
    assert computed(context, "row_of_all_data", row=1717) == 6140
    for row in (0, 1978):
        with pytest.raises(DataFileError, match="rows 1 to 1977"):
            computed(context, "cell", row=row, column="ses")


def test_groups_count_the_same() -> None:
    data = pd.DataFrame({"g": [1, 1, 1, 2, 2], "x": [0.0, 3.0, 3.0, 4.0, 8.0]})
    context = replace(of_print({"a": 1.0}), data=data, column=numbers.DATA)
    every = {"column": "x", "group": "g"}
    assert computed(context, "data_group_summary", **every, summary="mean") == 4
    # variances 3 and 8
    assert computed(context, "data_group_summary", **every, summary="variance") == 5.5
    assert datasets.load("hsb").shape[0] == 7185
