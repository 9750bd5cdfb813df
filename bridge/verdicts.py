"""The rules by which two columns of numbers agree; pure.

- Two posteriors: they differ if the means are further apart than 4 combined Monte Carlo
  standard errors; one cannot tell if that error exceeds 0.1 posterior SD; else they agree.
- Two maximum-likelihood fits of one method: they agree if the log-likelihoods are within 0.01
  and each estimate within 0.02 standard errors (or 0.1% where no engine gives one). Two variances
  of effects that both count as zero agree, and of the covariances and correlations with such an
  effect one cannot tell.
- Maximum likelihood against a posterior: coefficients alone, in posterior SDs, and they agree
  within 0.3; variances and correlations are another thing (a mode against a mean) and are not
  comparable.
- Two-step estimates against any other method: distances in standard errors (or posterior SDs) and
  no verdict, because they are another estimator.
- Print against a fit: reproduced within half a unit of the last digit printed plus 4 Monte
  Carlo standard errors of both sides (print's own is SD / sqrt(1000)); a posterior alone has
  them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MCSE_LIMIT = 4.0
MCSE_SHARE = 0.1
LOGLIK_LIMIT = 0.01
SE_LIMIT = 0.02
RELATIVE_LIMIT = 0.001
SD_LIMIT = 0.3
PRINT_DRAWS = 1000

AGREE, DIFFER, CANNOT_TELL, NOT_COMPARABLE = "agree", "differ", "cannot tell", "not comparable"
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"


@dataclass(frozen=True)
class Verdict:
    """One verdict.

    Attributes
    ----------
    verdict : str
        "agree", "differ", "cannot tell", "not comparable"; against print "reproduced",
        "not reproduced" or "cannot tell".
    distance : float
        How far apart.
    unit : str
        What the distance is counted in.
    """

    verdict: str
    distance: float
    unit: str


def posteriors(first: Mapping[str, Any], second: Mapping[str, Any]) -> Verdict:
    """Compare two posterior means with their Monte Carlo errors.

    Parameters
    ----------
    first, second : mapping
        Rows of estimates: estimate, se (the posterior SD), mcse.
    """
    error = float(np.hypot(_number(first["mcse"]), _number(second["mcse"])))
    unit = "combined Monte Carlo SE"
    if not np.isfinite(error + _gap(first, second)) or error == 0:
        return Verdict(CANNOT_TELL, float("nan"), unit)
    distance = _gap(first, second) / error
    spread = max(_number(first["se"]), _number(second["se"]))
    if distance > MCSE_LIMIT:
        return Verdict(DIFFER, distance, unit)
    return Verdict(CANNOT_TELL if error > MCSE_SHARE * spread else AGREE, distance, unit)


def likelihoods(first: Mapping[str, Any], second: Mapping[str, Any]) -> Verdict:
    """Compare two maximum-likelihood estimates, in standard errors where there is one."""
    gap = _gap(first, second)
    if not np.isfinite(gap):
        return Verdict(CANNOT_TELL, gap, "standard errors")
    known = [e for e in (_number(first["se"]), _number(second["se"])) if np.isfinite(e) and e > 0]
    if known:
        distance, unit, limit = gap / min(known), "standard errors", SE_LIMIT
    else:
        size = max(abs(_number(first["estimate"])), abs(_number(second["estimate"])), 1e-12)
        distance, unit, limit = gap / size, "of the estimate", RELATIVE_LIMIT
    return Verdict(AGREE if distance <= limit else DIFFER, distance, unit)


def both_zero(variance: bool) -> Verdict:
    """Judge a parameter of a group effect whose variance counts as zero in both fits.

    Parameters
    ----------
    variance : bool
        Whether it is the variance; else a covariance or correlation, which may be any number.
    """
    verdict = AGREE if variance else CANNOT_TELL
    return Verdict(verdict, float("nan"), "none: a variance that counts as zero")


def mixed(ml: Mapping[str, Any], posterior: Mapping[str, Any]) -> Verdict:
    """Compare a maximum-likelihood estimate with a posterior mean: coefficients alone."""
    spread = _number(posterior["se"])
    distance = _gap(ml, posterior) / spread
    if ml["component"] == "level2":
        return Verdict(NOT_COMPARABLE, distance, "posterior SDs")
    if not np.isfinite(distance):
        return Verdict(CANNOT_TELL, distance, "posterior SDs")
    return Verdict(AGREE if distance <= SD_LIMIT else DIFFER, distance, "posterior SDs")


def other_estimator(usual: Mapping[str, Any], two_step: Mapping[str, Any]) -> Verdict:
    """Measure a two-step estimate from another; they need not agree, so there is no verdict.

    Parameters
    ----------
    usual, two_step : mapping
        Rows of estimates: of maximum likelihood or a posterior, and of the two-step method.
    """
    spread = _number(usual["se"])
    distance = _gap(usual, two_step) / spread if spread > 0 else float("nan")
    return Verdict(NOT_COMPARABLE, distance, "standard errors")


def printed(row: Mapping[str, Any], value: float, half_digit: float, sd: float | None) -> Verdict:
    """Compare a printed number with an estimate.

    Parameters
    ----------
    row : mapping
        A row of estimates.
    value, half_digit : float
        What is printed, and half a unit of its last digit.
    sd : float or None
        The printed posterior SD, where there is one.
    """
    gap = abs(_number(row["estimate"]) - value)
    error = 0.0
    if sd is not None:
        ours = _number(row.get("mcse"))
        error = float(np.hypot(0.0 if np.isnan(ours) else ours, sd / np.sqrt(PRINT_DRAWS)))
    spread = sd if sd else _number(row["se"])
    unit = "printed SDs" if sd else "standard errors"
    if not gap <= half_digit + MCSE_LIMIT * error:
        return Verdict(NOT_REPRODUCED, gap / spread, unit)
    return Verdict(CANNOT_TELL if error > MCSE_SHARE * spread else REPRODUCED, gap / spread, unit)


def _gap(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    return abs(_number(first["estimate"]) - _number(second["estimate"]))


def _number(value: Any) -> float:
    return float("nan") if value is None or pd.isna(value) else float(value)
