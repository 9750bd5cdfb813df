"""Residuals against loops over rows and against simulation."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors, quantities
from bridge.level2_profile import covariance_at

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import data, fitted


def effect(result, label: str, group: str, column: str = "estimate") -> float:
    table = result.group_effects
    return float(table[(table["effect"] == label) & (table["group"] == group)][column].iloc[0])


@pytest.mark.parametrize("engine", ["agq", "fake"])
def test_residuals_of_rows(engine) -> None:
    result, rows = fitted(engine), data()
    found = quantities.residuals(result)
    assert list(found["obs"]) == list(rows.index)
    for i in (0, 17, len(rows) - 1):
        row, group = rows.iloc[i], str(int(rows["g"].iloc[i]))
        mean = result.estimate("gamma[Intercept]") + result.estimate("gamma[x]") * row["x"]
        mean += effect(result, "u:Intercept", group)
        eta = result.estimate("delta[Intercept]") + result.estimate("delta[w]") * row["w"]
        variance = np.exp(eta + effect(result, "v:Intercept", group))
        expected = [mean, variance, row["y"] - mean, (row["y"] - mean) / np.sqrt(variance)]
        np.testing.assert_allclose(found.iloc[i, 2:].to_numpy(float), expected)
        assert found.loc[i, "group"] == group


def test_residuals_of_groups() -> None:
    result = fitted()
    found = quantities.residuals(result, level=2)
    assert list(found["group"]) == list(result.group_effects["group"])
    for _, row in found.iterrows():
        tau = result.estimate(f"tau[{row['effect']},{row['effect']}]")
        own = result.effect_covariance(row["group"]).loc[row["effect"], row["effect"]]
        assert row["variance"] == tau
        assert row["standardised"] == pytest.approx(row["estimate"] / np.sqrt(tau - own))


def test_standardised_effects_are_standard_normal_where_the_model_holds() -> None:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(400), rng.integers(3, 30, 400))
    y = rng.normal(size=400)[g] + 2 * rng.normal(size=len(g))
    result = bridge.fit(bridge.ModelSpec("y ~ 1 + (1 | g)"), pd.DataFrame({"y": y, "g": g}), "agq")
    z = quantities.residuals(result, level=2)["standardised"].to_numpy(float)
    assert z.std() == pytest.approx(1.0, abs=0.04) and abs(z.mean()) < 0.05


def test_the_population_is_that_of_the_group() -> None:
    spec = bridge.ModelSpec("y ~ 1 + x + (1 | g)", level2={"tau[u:Intercept,u:Intercept]": "~ w"})
    result = bridge.fit(spec, data(), "agq")
    found = quantities.residuals(result, level=2)
    for j in (0, 11):
        w = float(data().loc[data()["g"] == j, "w"].iloc[0])
        assert found["variance"].iloc[j] == pytest.approx(
            covariance_at(result, {"w": w}).iloc[0, 0]
        )


@pytest.mark.parametrize("scale", ["standardised", "raw"])
def test_an_association_counts_in_the_variance(scale) -> None:
    spec = bridge.ModelSpec("y ~ 1 + (1 | g)", "~ 1", association="quadratic", latent_scale=scale)
    result = bridge.fit(spec, data(), "agq")
    found = quantities.residuals(result)
    lam = [result.estimate(f"lambda_[{e}]") for e in ("u:Intercept", "u:Intercept^2")]
    u = effect(result, "u:Intercept", found["group"].iloc[0])
    if scale == "standardised":
        u /= np.sqrt(result.estimate("tau[u:Intercept,u:Intercept]"))
    expected = np.exp(result.estimate("delta[Intercept]") + lam[0] * u + lam[1] * u**2)
    assert found["variance"].iloc[0] == pytest.approx(expected)


def test_student_t_effects_have_the_variance_of_their_law() -> None:
    spec = bridge.ModelSpec("y ~ 1 + (1 | g)", random_effects="student_t")
    result = bridge.fit(spec, data(), "fake", seed=1, chains=1, draws=50)
    nu, tau = result.estimate("nu"), result.estimate("tau[u:Intercept,u:Intercept]")
    found = quantities.residuals(result, level=2)
    np.testing.assert_allclose(found["variance"].to_numpy(float), nu / (nu - 2) * tau)


def test_without_groups_and_without_errors() -> None:
    plain = bridge.fit(bridge.ModelSpec("y ~ 1 + x"), data(), "ols")
    found = quantities.residuals(plain)
    assert found["residual"].mean() == pytest.approx(0, abs=1e-8)
    assert set(found["group"]) == {"all"}
    with pytest.raises(errors.NotAvailable, match="no group effects"):
        quantities.residuals(plain, level=2)
    table = fitted().group_effects.copy()
    table["se"] = pd.array([None] * len(table), dtype="Float64")
    bare = dataclasses.replace(fitted(), group_effects=table)
    assert quantities.residuals(bare, level=2)["standardised"].isna().all()
    with pytest.raises(errors.OptionError, match="level is 1"):
        quantities.residuals(plain, level=3)
