"""Quantities against the numbers that papers print, and who differs against groups simulated."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import population_cases as cases

import bridge
from bridge import quantities
from bridge.result import Result


def number(frame: pd.DataFrame, quantity: str, column: str = "estimate") -> pd.Series:
    return frame.loc[frame["quantity"] == quantity, column].astype(float).reset_index(drop=True)


# --- Leckie, Parker, Goldstein & Tilling, from the parameters of their Table 1 ------------------
def value_added(variance: str, tie: str, **values: object) -> Result:
    spec = bridge.ModelSpec(f"y ~ 1 + x + (1 | {tie}g)", variance)
    return cases.fixed(spec, 3, **values)


def assert_printed(found: float, printed: float, digits: int, of_inputs: float = 0.0) -> None:
    """Within half of the last digit, and what rounded parameters may add."""
    assert abs(found - printed) < 0.5 * 10.0**-digits + of_inputs


def test_model_1_of_school_value_added() -> None:
    """Section 6.1."""
    result = value_added("~ 1", "", gamma=[-0.011, 0.678], delta=[-0.870], sd=[0.067**0.5])
    means = quantities.group_mean_range(result, {"x": 0})
    assert_printed(number(means, "10th percentile")[0], -0.34, 2)
    assert_printed(number(means, "90th percentile")[0], 0.32, 2)
    assert_printed(number(means, "range")[0], 0.66, 2)
    shares = quantities.variance_partition(result, {"x": 0})
    assert_printed(number(shares, "within groups")[0], 0.419, 3)
    assert_printed(number(shares, "ICC")[0], 0.14, 2)
    total = bridge.predict(result, {"x": 0}, "new")["total"].iloc[0]
    assert_printed(total, 0.487, 3, of_inputs=0.0005 * (1 + 0.419))


def test_model_2_of_school_value_added() -> None:
    """Section 6.2."""
    values = {"gamma": [-0.011, 0.679], "delta": [-0.881], "rho": [-0.472]}
    result = value_added("~ 1 + (1 | s | g)", "s | ", sd=np.sqrt([0.067, 0.037]), **values)
    level1 = quantities.level1_variance(result, {"x": 0})
    assert_printed(number(level1, "population average")[0], 0.422, 3)
    assert_printed(number(level1, "10th percentile")[0], 0.32, 2)
    assert_printed(number(level1, "90th percentile")[0], 0.53, 2)
    gap = quantities.outcome_gap(result, {"x": 0})
    assert_printed(number(gap, "most variable groups")[0], 1.87, 2)
    assert_printed(number(gap, "least variable groups")[0], 1.46, 2)


# --- maximum likelihood beside printed posteriors ------------------------------------------------
@cache
def fitted(data: str, mean: str, variance: str, level2: str | None = None) -> Result:
    spec = bridge.ModelSpec(mean, variance, level2=level2)
    return bridge.fit(spec, bridge.datasets.load(data), "agq")


HSB = ("hsb", "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)")
ADJUSTED = (
    "hsb",
    "mathach ~ 1 + sector + meanses + I(ses - meanses) + sector:I(ses - meanses) + "
    "meanses:I(ses - meanses) + (1 + I(ses - meanses) | s | school)",
    "~ 1 + sector + (1 | s | school)",
)
EXAM = ("exam", "normexam ~ 1 + (1 | s | school)", "~ 1 + (1 | s | school)")


@pytest.mark.parametrize(
    ("model", "at", "printed", "bound"),
    [
        (HSB, {}, [44.331, 33.990], 0.3),
        (ADJUSTED, {"ses": 0, "meanses": 0}, [40.287, 33.129], 0.3),
        # a covariance matrix for each sector; print's priors, N(0, 1) for kappa, count
        ((*HSB, "~ sector"), {}, [44.452, 34.217], 0.5),
    ],
)
def test_population_averages_are_those_printed(model, at, printed, bound) -> None:
    """Leckie, French, Charlton & Browne (2014), section 5, Models 1 and 2."""
    found = quantities.level1_variance(fitted(*model), at={"sector": [0, 1], **at})
    away = number(found, "population average") - printed
    assert (away.abs() < bound * number(found, "population average", "se")).all()


@pytest.mark.parametrize(
    ("model", "printed"),
    [
        (HSB, [0.120, 0.207]),  # Leckie et al. (2014), section 5, Model 1
        (EXAM, [0.11, 0.29]),  # Leckie's slides of 2014, the caterpillar plot of ICCs
    ],
)
def test_the_range_of_iccs_is_that_printed(model, printed) -> None:
    found = quantities.groups(fitted(*model), at="own", of="ICC").sort_values("estimate")
    ends = found.iloc[[0, -1]]
    away = ends["estimate"].to_numpy(float) - printed
    assert (np.abs(away) < 0.5 * ends["se"].to_numpy(float)).all()


def test_who_differs_in_inner_london() -> None:
    """Leckie's slides of 2014: 35 means and 17 variances of 65; ICC 0.18 on average."""
    result = fitted(*EXAM)
    differ = quantities.groups(result).groupby("quantity")["differs"].sum()
    assert abs(differ["mean"] - 35) <= 2 and abs(differ["variance"] - 17) <= 2
    shares = quantities.variance_partition(result)
    away = number(shares, "ICC")[0] - 0.18
    assert abs(away) < 0.5 * number(shares, "ICC", "se")[0] + 0.005


# --- who differs, of 465 schools -----------------------------------------------------------------
TAU_U, TAU_V, RHO, ALPHA = 0.067, 0.037, -0.472, -0.881


def exact(residuals: np.ndarray) -> tuple[float, float, float, float]:
    """Return the posterior 95% intervals of u and of v of a group, parameters known, on a grid."""
    n, mean = len(residuals), residuals.mean()
    v = np.linspace(-6, 6, 1201) * np.sqrt(TAU_V)
    sigma2 = np.exp(ALPHA + v)
    prior = RHO * np.sqrt(TAU_U / TAU_V) * v  # of u given v, its variance below
    tau = TAU_U * (1 - RHO**2)
    log_density = (
        stats.norm.logpdf(v, 0, np.sqrt(TAU_V))
        - 0.5 * (n - 1) * np.log(sigma2)
        - 0.5 * ((residuals - mean) ** 2).sum() / sigma2
        + stats.norm.logpdf(mean, prior, np.sqrt(tau + sigma2 / n))
    )
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    lower, upper = np.interp([0.025, 0.975], weight.cumsum(), v)
    share = tau / (tau + sigma2 / n)
    center = share * mean + (1 - share) * prior
    of_u = weight @ center
    sd = np.sqrt(weight @ (share * sigma2 / n + center**2) - of_u**2)
    return of_u - 1.96 * sd, of_u + 1.96 * sd, lower, upper


def test_who_differs_of_465_schools() -> None:
    """Print has 320 means and 117 variances of 465 (section 6.2), of the data simulated here."""
    data = bridge.datasets.simulate("london", seed=2, model=2)
    result = bridge.fit(bridge.london.spec(2), data, "agq")
    found = quantities.groups(result, of=["mean", "variance"])
    rows = data.assign(r=data["score16"] + 0.011 - 0.679 * data["score11"])
    own = {str(school): exact(r.to_numpy()) for school, r in rows.groupby("school")["r"]}
    sizes = data.groupby("school").size().to_numpy()
    # what the rows of a group say of its mean, and of its log variance
    noise = {"mean": np.exp(ALPHA) / sizes, "variance": 2 / sizes}
    for quantity, tau, place in (("mean", TAU_U, 0), ("variance", TAU_V, 2)):
        part = found[found["quantity"] == quantity]
        ends = np.array([own[group][place : place + 2] for group in part["group"]])
        differs = (ends[:, 0] > 0) | (ends[:, 1] < 0)
        assert (part["differs"].to_numpy(bool) == differs).mean() > 0.96
        left = tau * noise[quantity] / (tau + noise[quantity])
        chance = 2 * stats.norm.sf(1.96 * np.sqrt(left / (tau - left)))
        error = np.sqrt((chance * (1 - chance)).sum())
        assert abs(part["differs"].sum() - chance.sum()) < 3 * error
        # print's schools are of other sizes than the simulated ones, with the same mean
        printed = {"mean": 320, "variance": 117}[quantity]
        assert abs(part["differs"].sum() - printed) < 3 * error
