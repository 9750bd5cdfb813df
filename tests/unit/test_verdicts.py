"""The rules of agreement, at their limits."""

import math

import numpy as np
import pandas as pd
import pytest

from bridge import verdicts


def row(estimate, se=1.0, mcse=0.01, component="mean"):
    return {"estimate": estimate, "se": se, "mcse": mcse, "component": component}


@pytest.mark.parametrize(
    ("gap", "mcse", "expected"),
    [
        (0.0, 0.03, "agree"),
        (3.9, 0.03, "agree"),
        (4.1, 0.03, "differ"),
        (0.0, 0.08, "cannot tell"),  # combined 0.113 of a posterior SD
        (4.1, 0.08, "differ"),  # a plain difference is one, however rough the estimates
    ],
)
def test_two_posteriors(gap, mcse, expected):
    combined = math.hypot(mcse, mcse)
    found = verdicts.posteriors(row(1.0, mcse=mcse), row(1.0 + gap * combined, mcse=mcse))
    assert found.verdict == expected
    assert found.distance == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("missing", [pd.NA, None, float("nan")])
def test_posteriors_without_an_error_cannot_be_told(missing):
    assert verdicts.posteriors(row(1.0, mcse=missing), row(9.0)).verdict == "cannot tell"
    assert verdicts.posteriors(row(missing), row(9.0)).verdict == "cannot tell"


def test_two_likelihood_fits_in_standard_errors_or_relative():
    assert verdicts.likelihoods(row(1.0, se=0.5), row(1.009, se=0.5)).verdict == "agree"
    assert verdicts.likelihoods(row(1.0, se=0.5), row(1.011, se=0.5)).verdict == "differ"
    # one engine gives a standard error: it is the unit
    assert verdicts.likelihoods(row(1.0, se=pd.NA), row(1.009, se=0.5)).unit == "standard errors"
    assert verdicts.likelihoods(row(2.0, se=pd.NA), row(2.001, se=None)).verdict == "agree"
    assert verdicts.likelihoods(row(2.0, se=pd.NA), row(2.003, se=None)).verdict == "differ"


def test_likelihood_against_posterior_judges_coefficients_alone():
    near, far = row(1.2, se=1.0), row(1.5, se=1.0)
    assert verdicts.mixed(row(1.0), near).verdict == "agree"
    assert verdicts.mixed(row(1.0), far).verdict == "differ"
    assert verdicts.mixed(row(1.0, component="level2"), near).verdict == "not comparable"


def test_print_is_reproduced_within_half_a_digit_and_both_errors():
    sd = 0.1
    error = math.hypot(0.002, sd / math.sqrt(1000))
    limit = 0.0005 + 4 * error
    inside = verdicts.printed(row(1.0 + 0.99 * limit, se=sd, mcse=0.002), 1.0, 0.0005, sd)
    outside = verdicts.printed(row(1.0 + 1.01 * limit, se=sd, mcse=0.002), 1.0, 0.0005, sd)
    assert (inside.verdict, outside.verdict) == ("reproduced", "not reproduced")
    assert outside.distance == pytest.approx(1.01 * limit / sd)


def test_print_of_a_likelihood_fit_has_no_monte_carlo_error():
    assert verdicts.printed(row(1.0004, mcse=None), 1.0, 0.0005, None).verdict == "reproduced"
    assert verdicts.printed(row(1.0006, mcse=None), 1.0, 0.0005, None).verdict == "not reproduced"


def test_a_rough_posterior_does_not_reproduce_print():
    assert verdicts.printed(row(1.0, mcse=0.02), 1.0, 0.0005, 0.1).verdict == "cannot tell"


def test_missing_estimate_never_counts_as_agreement():
    assert verdicts.printed(row(pd.NA), 1.0, 0.5, None).verdict == "not reproduced"
    assert verdicts.likelihoods(row(np.nan), row(1.0)).verdict == "cannot tell"
    assert verdicts.mixed(row(pd.NA), row(1.0)).verdict == "cannot tell"


def test_variances_that_count_as_zero_agree_and_their_correlations_cannot_be_told():
    assert verdicts.both_zero(variance=True).verdict == "agree"
    assert verdicts.both_zero(variance=False).verdict == "cannot tell"
