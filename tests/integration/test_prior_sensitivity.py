"""Priors that decide are found out, with Stan's draws."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest

import bridge
from bridge.prior_refits import BASE

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import direct_r

pytestmark = pytest.mark.stan

SPEC = bridge.ModelSpec(
    "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
)
QUICK = {"engine": "stan", "chains": 2, "warmup": 300, "draws": 500, "seed": 1}
TIGHT = bridge.Priors(sd_v="half_normal(0.02)")
SD_V = "tau[v:Intercept,v:Intercept]"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return direct_r.schools(bridge.datasets.load("hsb"), 60)


def test_power_scaling_and_refits_say_the_same(data: pd.DataFrame) -> None:
    tight = bridge.prior_sensitivity(SPEC.replace(priors=TIGHT), data, **QUICK)
    table = tight.table.set_index(["parameter", "part"])
    # the data have v vary seven times as much as this prior expects
    assert table.loc[(SD_V, "sd_v"), "sensitivity"] > 0.2
    assert table.loc[(SD_V, "sd_v"), "diagnosis"] == "prior-data conflict"
    assert table.loc[(SD_V, "sd_v"), "shift"] < 0  # a stronger prior, a smaller variance
    assert table.loc[("gamma[sector]", "sd_v"), "diagnosis"] == "-"
    assert table["k_hat"].max() < 0.7
    default = bridge.prior_sensitivity(SPEC, data, **QUICK)
    assert default.table.set_index(["parameter", "part"]).loc[(SD_V, "sd_v"), "sensitivity"] < 0.05
    both = bridge.prior_sensitivity(default.result, data, priors={"tight": TIGHT})
    own = both.table.set_index(["parameter", "priors"])
    assert own.loc[(SD_V, "tight"), "verdict"] == "moves" and own.loc[(SD_V, "tight"), "shift"] < -1
    assert both.results[BASE] is default.result


def test_coefficients_of_level_2_functions_are_scaled(data: pd.DataFrame) -> None:
    spec = SPEC.replace(level2="~ sector", priors=bridge.Priors(kappa="normal(0, 2)"))
    found = bridge.prior_sensitivity(spec, data, **{**QUICK, "draws": 100, "warmup": 150})
    assert list(dict.fromkeys(found.table["part"])) == ["kappa", "likelihood"]
    assert found.likelihood == "marginal over the effects"
    assert found.table["sensitivity"].notna().all()
