"""Both faces of ArviZ: InferenceData, and the DataTree of version 1."""

import numpy as np
import pytest
import xarray as xr

from bridge import arviz_compat


@pytest.fixture
def draws():
    return np.random.default_rng(1).normal(size=(4, 500))


def test_diagnostics_are_the_same_in_both_versions(draws, monkeypatch):
    if not arviz_compat.has_inference_data():
        pytest.skip("this ArviZ is version 1: there is only one face here")
    old = arviz_compat.diagnostics(draws)
    monkeypatch.setattr(arviz_compat, "has_inference_data", lambda: False)
    new = arviz_compat.diagnostics(draws)
    assert new == pytest.approx(old, rel=1e-8)
    assert old["ess_bulk"] > 1500
    assert old["mcse"] == pytest.approx(draws.std() / np.sqrt(2000), rel=0.1)


def test_one_chain_is_compared_with_itself_in_halves(draws):
    drift = draws[:1] + np.linspace(0, 5, 500)
    assert arviz_compat.diagnostics(draws[:1])["r_hat"] < 1.02
    assert arviz_compat.diagnostics(drift)["r_hat"] > 1.5


@pytest.mark.parametrize("bad", [np.ones((2, 100)), np.full((2, 100), np.nan), np.ones((2, 3))])
def test_draws_without_spread_have_no_diagnostics(bad):
    assert all(np.isnan(v) for v in arviz_compat.diagnostics(bad).values())


def test_chains_that_stand_still_apart_have_an_endless_r_hat_without_a_warning():
    assert arviz_compat.diagnostics(np.repeat([[1.0], [2.0]], 64, axis=1))["r_hat"] > 1e9


@pytest.mark.parametrize("version_one", [False, True])
def test_groups_come_back_whole(version_one, monkeypatch):
    if version_one:
        monkeypatch.setattr(arviz_compat, "has_inference_data", lambda: False)
    data = xr.Dataset({"gamma": (("chain", "draw", "term"), np.arange(12.0).reshape(2, 3, 2))})
    observed = xr.Dataset({"y": (("obs",), np.arange(3.0))})
    made = arviz_compat.make_idata({"posterior": data, "observed_data": observed}, {"spec": "{}"})
    found = arviz_compat.groups_of(made)
    assert list(found) == ["posterior", "observed_data"]
    xr.testing.assert_identical(found["posterior"], data)
    assert made.attrs["spec"] == "{}"
    assert not version_one or isinstance(made, xr.DataTree)
