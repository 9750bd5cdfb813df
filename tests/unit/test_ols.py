"""The ols engine: R's lm and agq in every digit, what it refuses, and the printed regressions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge import resources
from bridge.errors import EngineFailed, EngineRefusal, OptionError
from bridge.result import Result
from bridge.spec import ModelSpec

POOLED = ModelSpec("mathach ~ ses * Sector")


@pytest.fixture(scope="module")
def schools() -> pd.DataFrame:
    """The 40 schools of the course notes, with the sector as text."""
    hsb = bridge.datasets.load("hsb")
    listed = (resources.root() / "validation/data/hs_schools.txt").read_text().split()
    chosen = hsb[hsb["school"].isin(map(int, listed))]
    return chosen.assign(Sector=chosen["sector"].map({0: "Public", 1: "Catholic"}))


def cell(result: Result, parameter: str, name: str = "estimate") -> float:
    return float(result.estimates.set_index("parameter").loc[parameter, name])


def printed(result: Result, parameter: str, places: int = 4) -> tuple[float, float]:
    return (
        round(cell(result, parameter), places),
        round(cell(result, parameter, "se"), places),
    )


# --- printed (course notes "Mixed models with R", SCS 2017) --------------------------------------
def test_pooled_regression_as_printed(schools: pd.DataFrame) -> None:
    result = bridge.fit(POOLED, schools, "ols", method="REML")
    assert printed(result, "gamma[Intercept]") == (13.5579, 0.1881)
    assert printed(result, "gamma[ses]") == (2.2999, 0.2582)
    assert printed(result, "gamma[Sector[Public]]") == (-1.4666, 0.2921)
    assert printed(result, "gamma[ses:Sector[Public]]") == (1.6051, 0.3845)
    t = [e / s for e, s in zip(result.estimates["estimate"], result.estimates["se"], strict=True)]
    assert [round(x, 3) for x in t[:4]] == [72.067, 8.908, -5.021, 4.174]
    assert round(np.exp(cell(result, "delta[Intercept]") / 2), 3) == 6.344
    assert result.estimates["note"][0] == "t interval on 1973 degrees of freedom"
    assert "1977 rows less 4 coefficients" in result.native


def test_school_intercepts_and_common_slopes_as_printed(schools: pd.DataFrame) -> None:
    spec = ModelSpec("mathach ~ ses + C(school) + ses:Sector")
    result = bridge.fit(spec, schools, "ols", method="REML")
    name = "gamma[ses:Sector[Public]]"
    assert printed(result, name, 6) == (1.204719, 0.436134)
    assert round(cell(result, name) / cell(result, name, "se"), 6) == 2.762267
    assert result.estimates["note"][0] == "t interval on 1935 degrees of freedom"
    assert "Note (all gamma): t interval" in result.summary()


def test_regression_of_school_means_as_printed(schools: pd.DataFrame) -> None:
    means = schools.groupby("school", as_index=False)[["mathach", "ses"]].mean()
    result = bridge.fit(ModelSpec("mathach ~ ses"), means, "ols", method="REML")
    assert printed(result, "gamma[Intercept]") == (12.7926, 0.2898)
    assert printed(result, "gamma[ses]") == (5.7734, 0.6984)


# --- against other engines and closed forms ------------------------------------------------------
def test_ml_is_agqs_in_every_digit(schools: pd.DataFrame) -> None:
    ols, agq = (bridge.fit(POOLED, schools, engine) for engine in ("ols", "agq"))
    for name in ("estimate", "se", "lower", "upper"):
        ours, theirs = (r.estimates[name].to_numpy(dtype=float) for r in (ols, agq))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert (ols.loglik, ols.aic, ols.bic) == pytest.approx((agq.loglik, agq.aic, agq.bic))
    found = bridge.compare(ols, agq)
    assert found.agree is True and "ols and agq share no code but the design" in found.text()


def test_reml_is_the_restricted_likelihood_at_its_maximum() -> None:
    """By the density of the residuals' own space, with the constants of lme4 and nlme."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=12), "y": rng.normal(size=12)})
    result = bridge.fit(ModelSpec("y ~ x"), frame, "ols", method="REML")
    X = np.column_stack([np.ones(12), frame["x"]])
    basis = np.linalg.svd(X)[0][:, 2:]
    left = basis.T @ frame["y"].to_numpy()
    s2 = np.exp(cell(result, "delta[Intercept]"))
    assert s2 == pytest.approx(left @ left / 10)
    density = stats.norm.logpdf(left, 0, np.sqrt(s2)).sum()
    volume = 0.5 * np.linalg.slogdet(X.T @ X)[1]
    assert result.loglik == pytest.approx(density - volume, abs=1e-10)
    row = result.estimates.iloc[2]
    limits = 10 * s2 / stats.chi2.ppf([0.975, 0.025], 10)
    np.testing.assert_allclose(np.exp([row["lower"], row["upper"]]), limits)
    assert row["se"] == pytest.approx(np.sqrt(2 / 10))


def test_columns_far_from_zero_and_of_any_scale() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=50)
    y = 3 + 2 * x + rng.normal(size=50)
    plain = bridge.fit(ModelSpec("y ~ x"), pd.DataFrame({"x": x, "y": y}), "ols")
    moved = pd.DataFrame({"x": 1e-9 * (x + 1e5), "y": y})
    other = bridge.fit(ModelSpec("y ~ x"), moved, "ols")
    for name in ("estimate", "se"):
        ratio = cell(other, "gamma[x]", name) / cell(plain, "gamma[x]", name)
        assert ratio == pytest.approx(1e9, rel=1e-6)
    assert other.loglik == pytest.approx(plain.loglik, abs=1e-8)


def test_a_random_effect_is_tested_against_it(schools: pd.DataFrame) -> None:
    small = bridge.fit(ModelSpec("mathach ~ ses"), schools, "ols")
    large = bridge.fit(ModelSpec("mathach ~ ses + (1 | school)"), schools, "agq")
    test = bridge.likelihood_ratio(small, large)
    assert test.df == ((0, 0.5), (1, 0.5)) and test.p_value < 1e-10
    assert test.statistic == pytest.approx(2 * (large.loglik - small.loglik))


# --- what a result of it has ---------------------------------------------------------------------
def test_without_groups(schools: pd.DataFrame, tmp_path: Path) -> None:
    frame = schools.assign(ses=schools["ses"].where(schools.index != schools.index[3]))
    result = bridge.fit(POOLED, frame, "ols")
    assert (result.n_groups, result.n_obs, result.dropped_rows) == (0, 1976, 1)
    assert result.group_effects.empty and result.effects == ()
    again = bridge.load(result.save(tmp_path / "r.nc"))
    assert again.summary() == result.summary()
    draws = result.asymptotic_draws(4000, seed=1)
    assert draws["gamma[ses]"].std() == pytest.approx(cell(result, "gamma[ses]", "se"), rel=0.05)


def test_refusals_and_options(schools: pd.DataFrame) -> None:
    spec = ModelSpec("mathach ~ ses + (1 | school)", "~ 1 + ses")
    with pytest.raises(EngineRefusal, match=r"ols cannot fit random effects in the mean .*, and "):
        bridge.fit(spec, schools, "ols")
    with pytest.raises(OptionError, match="ML, REML"):
        bridge.fit(POOLED, schools, "ols", method="OLS")
    exact = pd.DataFrame({"x": np.arange(5.0), "y": 1 + np.arange(5.0)})
    with pytest.raises(EngineFailed, match="fits all 5 rows exactly"):
        bridge.fit(ModelSpec("y ~ x"), exact, "ols")
