"""Least squares in and between groups and what R prints of mixed models, against the notes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import published_tables
from bridge.cases import numbers
from bridge.cases.integrity import case_data
from bridge.cases.numbers import Context, Number
from bridge.errors import DataFileError, NotAvailable

LINES = {"model": "mathach ~ ses", "group": "school"}


@pytest.fixture(scope="module")
def notes() -> Context:
    case = published_tables.load("scs2017/within_schools")
    return Context(case, case_data(case), {}, numbers.DATA)


@pytest.fixture(scope="module")
def line() -> Context:
    """Five rows on y = 1 + 2 x, but for residuals (1, -1, 0, -1, 1)."""
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    data = pd.DataFrame({"x": x, "y": 1 + 2 * x + np.array([1, -1, 0, -1, 1])})
    case = published_tables.load("scs2017/pooled")
    fit = bridge.fit(bridge.ModelSpec("y ~ x"), data, engine="ols", method="REML")
    return Context(case, data, {"main": fit}, "ols")


def computed(context: Context, function: str, **arguments: Any) -> Number:
    return numbers.compute(function, context, arguments)


def test_the_wald_test_of_the_notes(notes: Context) -> None:
    found = computed(notes, "group_wald", **LINES, by="sector")
    assert found.value == pytest.approx(21.03533, abs=5e-6)
    assert found.p is not None and found.p < 1e-5
    assert computed(notes, "group_wald", **LINES, by="sector", which="numerator_df").value == 2
    assert computed(notes, "group_wald", **LINES, by="sector", which="denominator_df").value == 1897


def test_contrasts_have_the_sign_that_is_asked_for(notes: Context) -> None:
    arguments = {**LINES, "by": "sector", "term": "Intercept"}
    found = computed(notes, "group_contrast", **arguments, contrast="0 - 1")
    assert (found.value, found.se) == pytest.approx((-2.027255, 0.351992), abs=1e-6)
    other = computed(notes, "group_contrast", **arguments, contrast="1 - 0")
    assert other.value == -found.value and other.se == found.se
    t = computed(notes, "group_contrast", **arguments, contrast="0 - 1", which="t")
    assert t.value == pytest.approx(-5.759378, abs=1e-6)
    assert (
        computed(notes, "group_contrast", **arguments, contrast="0 - 1", which="df").value == 1897
    )
    with pytest.raises(DataFileError, match="no contrast '2 - 1'"):
        computed(notes, "group_contrast", **arguments, contrast="2 - 1")


def test_two_stages(notes: Context) -> None:
    arguments = {**LINES, "formula": "~ I(1 - sector)", "coefficient": "ses"}
    found = computed(notes, "group_regression", **arguments, term="I(1 - sector)")
    assert (found.value, found.se, found.p) == pytest.approx((1.1100, 0.5086, 0.0353), abs=5e-5)
    with pytest.raises(DataFileError, match="coefficient of ses on 'size'"):
        computed(notes, "group_regression", **arguments, term="size")


def test_means_on_means() -> None:
    data = pd.DataFrame({"g": [1, 1, 2, 3], "x": [0, 2, 2, 3], "y": [1.0, 3.0, 5.0, 6.0]})
    case = published_tables.load("scs2017/between_schools")
    context = Context(case, data, {}, numbers.DATA)
    arguments = {"outcome": "y", "predictor": "x", "group": "g", "term": "slope"}
    # means (1, 2), (2, 5), (3, 6): slope 2, residuals (-1, 2, -1) / 3, SE sqrt(2 / 3 / 2)
    found = computed(context, "group_means_regression", **arguments)
    assert (found.value, found.se) == pytest.approx((2, np.sqrt(1 / 3)))
    # t on one degree of freedom is Cauchy: p = 1 - 2 atan(t) / pi
    assert found.p == pytest.approx(1 - 2 * np.arctan(2 * np.sqrt(3)) / np.pi)
    assert computed(context, "group_means_regression", **arguments, which="df").value == 1


def test_what_r_prints_of_a_regression(line: Context) -> None:
    # RSS 4 on 3 degrees of freedom; the slope has the SE sqrt(4 / 3 / 10), TSS 4 + 40
    t = computed(line, "t_test", of="gamma[x]", df=3)
    assert t.value == pytest.approx(2 / np.sqrt(4 / 30))
    assert t.lower == pytest.approx(2 - 3.182446 * np.sqrt(4 / 30), abs=1e-6)
    F = computed(line, "f_of_coefficient", of="gamma[x]", df=3)
    assert F.value == pytest.approx(30) and F.p == pytest.approx(t.p)
    for which, value in (
        ("r_squared", 40 / 44),
        ("adjusted_r_squared", 1 - 4 / 44 * 4 / 3),
        ("f", 30),
        ("model_df", 1),
        ("residual_df", 3),
    ):
        assert computed(line, "regression_summary", which=which).value == pytest.approx(value)
    assert computed(line, "residual_sd").value == pytest.approx(np.sqrt(4 / 3))
    for share, value in ((0, -1), (0.5, 0), (1, 1)):
        assert computed(line, "residual_quantile", share=share).value == pytest.approx(value)
    with pytest.raises(NotAvailable, match=r"no standard error of 'gamma\[z\]'"):
        computed(line, "t_test", of="gamma[z]", df=3)


def test_what_nlme_prints_of_a_random_intercept() -> None:
    """Balanced groups: ML by hand, and predictions shrunk towards the mean."""
    data = pd.DataFrame({"g": np.repeat([1, 2, 3], 2), "y": [0.0, 2.0, 5.0, 7.0, 10.0, 12.0]})
    fit = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), data, engine="agq")
    context = Context(published_tables.load("scs2017/null_model"), data, {"main": fit}, "agq")
    # within: each residual is -+1, so sigma2 = 6 / 3 = 2; between: variance of means 50 / 3
    assert computed(context, "residual_sd").value == pytest.approx(np.sqrt(2), abs=1e-4)
    tau = 50 / 3 - 1
    sd = computed(context, "effect_sd", effect="u:Intercept")
    assert sd.value == pytest.approx(np.sqrt(tau), abs=1e-3)
    shrunk = tau / (tau + 1) * -5
    alone = {"group": "1", "effect": "u:Intercept"}
    assert computed(context, "group_effect", **alone).value == pytest.approx(shrunk, abs=1e-3)
    on_top = computed(context, "group_effect", **alone, coefficient="gamma[Intercept]")
    assert on_top.value == pytest.approx(6 + shrunk, abs=1e-3)
    # the lowest row, 0, less 6 and less its prediction, in SDs
    lowest = computed(context, "residual_quantile", share=0, standardised=True)
    deviations = [0 - 6 - shrunk, 5 - 6, 10 - 6 + shrunk]
    assert lowest.value == pytest.approx(min(deviations) / np.sqrt(2), abs=1e-3)
    assert computed(context, "level1_df").value == 3
    with pytest.raises(NotAvailable, match="of group 4"):
        computed(context, "group_effect", group="4", effect="u:Intercept")
