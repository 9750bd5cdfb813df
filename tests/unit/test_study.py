"""Simulation studies: the same data for every fit, failures counted, folders, refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.engines import registry
from bridge.errors import (
    DataFileError,
    EngineRefusal,
    OptionError,
    RequestError,
    SpecError,
    UnknownEngineError,
)
from bridge.study_task import EngineChoice, fit_rows

sys.path.insert(0, str(Path(__file__).parent))
from study_cases import DESIGN, MODELS, TRUTH, B, U, V, small

NUMBERS = ["estimate", "se", "lower", "upper"]


def without_seconds(study) -> pd.DataFrame:
    return study.estimates.drop(columns="seconds")


@pytest.fixture(scope="module")
def study():
    return small(engines={"agq": {}, "fake": {"chains": 1, "draws": 50}})


def test_estimates_are_those_of_fits_to_the_replications_data(study) -> None:
    frame = study.estimates
    seeds = np.random.SeedSequence(5, spawn_key=(2,)).spawn(2)
    data = bridge.simulate(B, TRUTH, DESIGN, seed=seeds[0])
    for name, model in MODELS.items():
        direct = bridge.fit(model, data, "agq").estimates
        of = (frame["replication"] == 2) & (frame["model"] == name) & (frame["engine"] == "agq")
        own = frame[of].reset_index(drop=True)
        assert own["parameter"].tolist() == direct["parameter"].tolist()
        np.testing.assert_allclose(own[NUMBERS], direct[NUMBERS].astype(float), rtol=1e-6)
    assert (study.models, study.engines) == (["B", "A"], ["agq", "fake"])


def test_another_engine_or_model_changes_no_other_number(study) -> None:
    frame = without_seconds(study)
    alone = without_seconds(small(models={"A": MODELS["A"]}, spec=B, workers=1))
    of = (frame["model"] == "A") & (frame["engine"] == "agq")
    pd.testing.assert_frame_equal(frame[of].reset_index(drop=True), alone)


def test_a_folder_is_read_again_and_goes_on(tmp_path) -> None:
    first = small(2, out=tmp_path)
    loaded = bridge.Study.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.estimates, first.estimates)
    pd.testing.assert_frame_equal(loaded.table(), first.table())
    assert (loaded.replications, loaded.seed) == (2, 5)
    pd.testing.assert_frame_equal(
        without_seconds(small(4, out=tmp_path)), without_seconds(small(4))
    )
    with pytest.raises(RequestError, match="another models"):
        small(4, out=tmp_path, models={"B": B})
    files = [file.name for file in loaded.write(tmp_path)]
    assert files == ["table.csv", "table.md", "coverage.png", "se_ratio.png", "bias.png"]
    assert all((tmp_path / file).stat().st_size for file in files)


def test_the_truth_is_complete_and_may_be_a_fit(tmp_path) -> None:
    spec = bridge.ModelSpec("y ~ 1 + x + (1 | s | school)", "~ 1 + (1 | s | school)")
    rho = "rho[u:Intercept,v:Intercept]"
    found = bridge.simulation_study(
        {**TRUTH, rho: 0.5}, DESIGN, {"C": spec}, ["agq"], 2, seed=1, workers=1, out=tmp_path
    )
    covariance = "tau[u:Intercept,v:Intercept]"
    assert found.truth[covariance] == pytest.approx(0.5 * np.sqrt(0.3 * 0.2))
    assert found.table()["true"].notna().all()
    assert bridge.Study.load(tmp_path).truth == found.truth
    data = bridge.simulate(B, TRUTH, DESIGN, seed=3)
    fitted = bridge.fit(B, data)
    again = bridge.simulation_study(fitted, None, {"B": B}, ["agq"], 2, seed=1, workers=1)
    estimates = fitted.estimates.set_index("parameter")["estimate"]
    assert again.truth["gamma[x]"] == estimates["gamma[x]"]
    assert again.key["design"]["rows"] == len(data)


# --- fits that fail ---------------------------------------------------------------------------
def test_a_fit_that_stops_is_a_row_and_is_counted() -> None:
    found = small(2, {"agq": {}, "hasty": {"engine": "agq", "timeout": 1e-9}})
    fits = found.fits().set_index(["engine", "model"])
    assert fits.loc["hasty", "failed"].tolist() == [2, 2]
    assert fits.loc["agq", "ok"].tolist() == [2, 2]
    failures = found.failures()
    assert len(failures) == 4 and failures["why"].str.startswith("EngineTimeout: agq took").all()
    assert "B: 0 of 2 fits, 2 failed" in found.text()


def rows_of(monkeypatch, change) -> pd.DataFrame:
    engine = registry.get("agq")
    run = type(engine).run

    def changed(self, plan, progress):
        return change(run(self, plan, progress))

    monkeypatch.setattr(type(engine), "run", changed)
    data = bridge.simulate(B, TRUTH, DESIGN, seed=3)
    return fit_rows("B", "agq", B, EngineChoice("agq"), data, 1)


def test_a_fit_that_did_not_converge_keeps_its_estimates_and_has_failed(monkeypatch) -> None:
    from dataclasses import replace

    def unconverged(raw):
        said = ("agq did not converge",)
        return replace(raw, values={**raw.values, "converged": False}, warnings=said)

    rows = rows_of(monkeypatch, unconverged)
    assert set(rows["status"]) == {"failed"} and set(rows["why"]) == {"agq did not converge"}
    assert rows["estimate"].notna().all()


def test_an_arithmetic_error_is_a_failure(monkeypatch) -> None:
    def broken(raw):
        raise np.linalg.LinAlgError("Singular matrix")

    rows = rows_of(monkeypatch, broken)
    assert rows["why"].tolist() == ["LinAlgError: Singular matrix"]
    assert rows["parameter"].isna().tolist() == [True]


def test_chains_that_have_not_met_have_failed(monkeypatch) -> None:
    data = bridge.simulate(B, TRUTH, DESIGN, seed=3)
    choice = EngineChoice.of("fake", {"chains": 2, "draws": 50})
    assert set(fit_rows("B", "fake", B, choice, data, 1)["status"]) == {"ok"}
    monkeypatch.setattr("bridge.study_task.R_HAT_FAILED", 0.5)
    assert set(fit_rows("B", "fake", B, choice, data, 1)["status"]) == {"failed"}


# --- engines ----------------------------------------------------------------------------------
def test_priors_of_an_engine_are_its_own() -> None:
    choice = EngineChoice.of("nuts", {"priors": {"tau": "inverse_wishart"}, "chains": 2})
    assert dict(choice.spec(B).priors) == {"tau": "inverse_wishart"}
    assert choice.options == {"chains": 2, "cores": 1}
    assert choice.plain()["priors"] == {"tau": "inverse_wishart"}
    assert EngineChoice.of("agq", {}).spec(B) is B


@pytest.mark.parametrize(
    ("label", "table", "error", "words"),
    [
        ("nuts", {"seed": 1}, OptionError, "takes no seed: each replication"),
        ("nuts", {"draws_to": "x"}, OptionError, "takes no draws_to"),
        ("nuts", {"chain": 1}, OptionError, "nuts has no option 'chain'"),
        ("nutz", {}, UnknownEngineError, "no engine 'nutz'"),
        ("nuts", [1], OptionError, "has a mapping of options"),
    ],
)
def test_engines_that_are_refused(label, table, error, words) -> None:
    with pytest.raises(error, match=words):
        EngineChoice.of(label, table)


# --- refusals ---------------------------------------------------------------------------------
def test_what_cannot_be_fitted_is_refused_before_anything_runs(tmp_path) -> None:
    with pytest.raises(EngineRefusal, match=r"^Model B of the study: lme4 cannot fit"):
        small(engines=["lme4"], out=tmp_path / "study")
    assert not (tmp_path / "study").exists()
    with pytest.raises(SpecError, match="mapping from names to ModelSpecs"):
        small(models={})
    with pytest.raises(SpecError, match="The model B of a study is a ModelSpec"):
        small(models={"B": "y ~ 1"})
    with pytest.raises(OptionError, match="has no engine"):
        small(engines=[])
    with pytest.raises(SpecError, match="spec= of a study"):
        small(spec="y ~ 1")
    with pytest.raises(OptionError, match="truth of a study is a mapping"):
        bridge.simulation_study([1], DESIGN, MODELS)
    with pytest.raises(OptionError, match=r"has no value of tau\[v"):
        bridge.simulation_study({k: v for k, v in TRUTH.items() if k != V}, DESIGN, MODELS)
    assert U in TRUTH


def test_a_folder_without_a_study_is_said(tmp_path) -> None:
    with pytest.raises(DataFileError, match="cannot be read"):
        bridge.Study.load(tmp_path)


@pytest.mark.parametrize("seed", [-1, True, "1", 1.5, None])
def test_bad_seeds_are_said_before_anything_is_drawn(seed) -> None:
    with pytest.raises(OptionError, match="seed is a whole number, at least 0"):
        small(1, seed=seed)


def test_engines_that_are_no_names_are_said() -> None:
    with pytest.raises(OptionError, match="engines of a study are names"):
        small(1, engines=None)


# --- data sets that cannot be drawn -----------------------------------------------------------
def test_a_covariate_that_does_not_vary_fails_its_replication_and_not_the_study(tmp_path) -> None:
    """A binary covariate of four groups is the same in all of them once in eight."""
    spec = bridge.ModelSpec("y ~ 1 + w")
    w = {"w": {"level": "group", "law": "bernoulli"}}
    design = bridge.SimulationDesign(groups=4, size=5, covariates=w, group="school")
    truth = {"gamma[Intercept]": 0, "gamma[w]": 1, "delta[Intercept]": 0}
    replications, seed = np.int64(12), np.int64(1)  # NumPy's numbers are numbers
    found = bridge.simulation_study(
        truth, design, {"A": spec, "B": spec}, ["ols"], replications, seed, tmp_path, workers=1
    )
    constant = [k for k in range(12) if design.draw(drawn_from(k))["w"].nunique() == 1]
    assert constant
    failures = found.failures()
    assert failures["replication"].tolist() == sorted(2 * constant)
    assert failures["why"].str.startswith("No data: In the mean function, w is").all()
    assert found.fits()["failed"].tolist() == [len(constant)] * 2
    assert set(found.table()["n"]) == {12 - len(constant)}


def drawn_from(number: int) -> np.random.Generator:
    """Return the random numbers of the covariates of a replication of seed 1."""
    from bridge.simulation_rows import streams

    of_data, _ = np.random.SeedSequence(1, spawn_key=(number,)).spawn(2)
    return streams(of_data, 3)[0]
