"""The coverage study of agq: its data have the moments printed, and its counts drop nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.engines.agq import Agq
from bridge.errors import EngineFailed

SCRIPT = Path(__file__).resolve().parents[2] / "validation" / "coverage" / "agq.py"
LOG_CHI2 = (
    -1.2703628454614782
)  # mean of the log of a chi-squared variate with 1 df; variance pi^2/2


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_agq", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


study = loaded()


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    return study.simulate(np.random.default_rng(1), schools=2000, students=250)


# --- data --------------------------------------------------------------------------------
def test_predictors_are_standard_normal_and_w_belongs_to_the_school(large: pd.DataFrame) -> None:
    by_school = large.groupby("school")
    assert by_school["w"].nunique().eq(1).all()
    w, x = by_school["w"].first(), large["x"]
    within = by_school["x"].var().mean()
    between = by_school["x"].mean().var() - within / 250
    assert w.mean() == pytest.approx(0, abs=0.1)
    assert w.var() == pytest.approx(1, abs=0.13)
    assert x.mean() == pytest.approx(0, abs=0.05)
    assert between / (between + within) == pytest.approx(0.2, abs=0.03)
    assert between + within == pytest.approx(1, abs=0.03)
    assert x.corr(large["w"]) == pytest.approx(0, abs=0.05)


def test_the_mean_function_is_the_printed_one(large: pd.DataFrame) -> None:
    w, x = large["w"].to_numpy(), large["x"].to_numpy()
    terms = np.column_stack([np.ones(len(large)), w, x, w * x])
    found = np.linalg.lstsq(terms, large["y"].to_numpy(), rcond=None)[0]
    np.testing.assert_allclose(found, [0, 0.2, 0.5, -0.1], atol=0.03)
    left = large.assign(e=large["y"] - (0.2 * w + 0.5 * x - 0.1 * w * x))
    by_school = left.groupby("school")["e"]
    between = by_school.mean().var() - by_school.var().mean() / 250
    assert between == pytest.approx(0.1, abs=0.015)


def test_the_variance_function_is_the_printed_one(large: pd.DataFrame) -> None:
    w, x = large["w"].to_numpy(), large["x"].to_numpy()
    e = large["y"].to_numpy() - (0.2 * w + 0.5 * x - 0.1 * w * x)
    r = e.reshape(2000, 250)
    logs = np.log((r - r.mean(axis=1, keepdims=True)) ** 2) - LOG_CHI2
    away = x.reshape(2000, 250) - x.reshape(2000, 250).mean(axis=1, keepdims=True)
    slopes = (away * logs).sum(axis=1) / (away**2).sum(axis=1)
    intercepts = logs.mean(axis=1) - slopes * x.reshape(2000, 250).mean(axis=1)
    ones = np.column_stack([np.ones(2000), w[::250]])
    for values, printed in ((intercepts, [-0.611, 0.1]), (slopes, [0.1, -0.1])):
        found = np.linalg.lstsq(ones, values, rcond=None)[0]
        np.testing.assert_allclose(found, printed, atol=0.05)
    spread = (intercepts - ones @ np.array([-0.611, 0.1])).var()
    # intercept from logs with variance pi^2/2, at x = 0
    noise = np.pi**2 / 2 * (1 / 250 + np.mean(x.reshape(2000, 250).mean(axis=1) ** 2) / 200)
    assert spread - noise == pytest.approx(0.2, abs=0.03)


# --- replications --------------------------------------------------------------------------
def test_five_replications() -> None:
    fits = study.study(5)
    assert list(fits) == ["A", "B"]
    for name, of in fits.items():
        found = study.summarise(name, of)
        assert list(found.index) == [p for p in study.TRUTH if name == "B" or p != study.V]
        assert (found["without"] == 0).all() and all(fit.converged for fit in of)
        shift = 0.1 * (name == "A") * (found.index == "delta[Intercept]")
        # five means of estimates, each within some standard errors of the truth
        far = np.abs(found["mean"] - found["true"] - shift) / (found["se"] / np.sqrt(5))
        assert far.max() < 5, found.to_string()
        np.testing.assert_allclose(found["sd"], np.std([f.cells[:, 0] for f in of], 0, ddof=1))


def test_a_replication_is_that_of_the_public_call_and_of_its_seed_alone() -> None:
    seeds = np.random.SeedSequence(study.SEED).spawn(2)
    last = study.study(2, ["B"])["B"][1]
    data = study.simulate(np.random.default_rng(seeds[1]))
    assert data.shape == (1250, 4) and data["school"].nunique() == 50
    direct = bridge.fit(study.MODELS["B"].spec, data, engine="agq", progress=False).estimates
    given = direct[list(study.ENDS)].to_numpy(dtype=float)
    np.testing.assert_array_equal(last.cells, given)
    assert list(direct["parameter"]) == list(study.TRUTH)


def test_a_fit_that_stops_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise EngineFailed("The likelihood has no maximum.")

    monkeypatch.setattr(Agq, "run", stop)
    (fit,) = study.study(1, ["A"])["A"]
    assert fit.failed and np.isnan(fit.cells).all() and fit.cells.shape == (9, 4)
    assert "of 1 fits 1 stopped with an error; 0 did not converge" in study.counts("A", [fit])


# --- counts --------------------------------------------------------------------------------
def fake(shifts: list[float]) -> list[object]:
    """Return fits of Model B off the truth by shifts, with intervals of half-width one."""
    true = np.array(list(study.TRUTH.values()))
    fits = []
    for shift in shifts:
        cells = np.stack([true + shift, np.full(10, 0.5), true + shift - 1, true + shift + 1], 1)
        fits.append(study.Fit(cells, True, False, False, False, 0.1))
    return fits


def test_a_missing_interval_is_a_miss_and_stays_in_the_denominator() -> None:
    fits = fake([0.0, 0.5, -0.5, 2.0])
    fits[0].cells[9, 1:] = np.nan  # tau of v at its bound
    found = study.summarise("B", fits)
    np.testing.assert_allclose(found["coverage"], [0.75] * 9 + [0.5])
    np.testing.assert_allclose(found["mc"], np.sqrt([0.1875 / 4] * 9 + [0.25 / 4]))
    assert list(found["without"]) == [0] * 9 + [1]
    assert found.loc[study.V, "mean"] == pytest.approx(0.2 + 0.5)


@pytest.mark.parametrize(
    ("misses", "inside"), [(29, False), (30, True), (75, True), (76, False)]
)  # fmt: skip
def test_the_limits_of_coverage(misses: int, inside: bool) -> None:
    found = study.summarise("B", fake([2.0] * misses + [0.0] * (1000 - misses)))
    wrong = list(study.outside(found).index)
    assert wrong == ([] if inside else list(study.TRUTH)[:8])  # the variances are only printed
    assert study.verdict(found).endswith("met." if inside else "NOT MET.")


def test_the_table_shows_every_parameter_and_what_is_missing() -> None:
    fits = fake([0.0, 0.5])
    fits[0].cells[9, 1:] = np.nan
    lines = study.table(study.summarise("B", fits)).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(study.TRUTH)
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells == [study.V, "0.2", "0.450", "0.354", "0.500", "50.0", "35.4", "1", "95"]
