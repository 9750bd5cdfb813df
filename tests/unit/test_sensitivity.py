"""What the priors decide, told of results whose posterior is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors, prior_refits
from bridge.engines.base import RawFit
from bridge.engines.posterior import Draws, posterior_result
from bridge.power_scaling import scaled, sensitivity
from bridge.prior_refits import BASE
from bridge.result import Result
from bridge.spec import ModelSpec

SD = 2.0  # of the rows, known


def frame(rows: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(rows // 5), 5)
    x = rng.normal(size=rows)
    return pd.DataFrame(
        {"y": 3 + rng.normal(size=rows // 5)[g] + rng.normal(size=rows), "x": x, "g": g}
    )


def normal_result(prior: str, size: int = 8000) -> Result:
    """The exact posterior of a mean whose rows have a known SD: delta does not vary."""
    mean, spread = (float(part) for part in prior[7:-1].split(","))
    data = frame()
    spec = ModelSpec("y ~ 1", priors=bridge.Priors(gamma=prior))
    plan = spec.translate("fake", data, chains=4, draws=size // 4, seed=1)
    precision = len(data) / SD**2 + 1 / spread**2
    centre = (data["y"].sum() / SD**2 + mean / spread**2) / precision
    gamma = np.random.default_rng(5).normal(centre, precision**-0.5, (4, size // 4, 1))
    none = np.zeros((4, size // 4, 0))
    delta = np.full_like(gamma, 2 * np.log(SD))
    draws = Draws(gamma, delta, none, none, np.zeros((4, size // 4, 1, 0)))
    return posterior_result(plan, RawFit({"x": 1}, {"fake": "1"}), draws)


def row(found: Any, parameter: str, part: str) -> pd.Series:
    table = found.table
    return table[(table["parameter"] == parameter) & (table["part"] == part)].iloc[0]


@pytest.mark.parametrize(
    ("prior", "diagnosis"),
    [
        ("normal(3, 50)", "-"),  # says nothing
        ("normal(0, 0.4)", "prior-data conflict"),  # nine of its SDs away
        ("normal(3, 0.02)", "weak likelihood"),  # fifteen times as sharp as the data
    ],
)
def test_a_mean_with_a_known_posterior(prior: str, diagnosis: str) -> None:
    result = normal_result(prior)
    found = bridge.prior_sensitivity(result)
    gamma = row(found, "gamma[Intercept]", "gamma")
    assert gamma["diagnosis"] == diagnosis and gamma["scale"] == "outcome"
    assert found.likelihood == "given the effects"
    # by hand: the log densities at each draw, from the closed forms
    mean, spread = (float(part) for part in prior[7:-1].split(","))
    draws = result.idata["posterior"]["gamma"].values.ravel()
    y = frame()["y"].to_numpy()
    by_hand = {
        "gamma": -0.5 * ((draws - mean) / spread) ** 2,
        "likelihood": -0.5 * ((y[:, None] - draws) ** 2).sum(axis=0) / SD**2,
    }
    for part, log_density in by_hand.items():
        own = row(found, "gamma[Intercept]", part)
        expected = sensitivity(draws, scaled(log_density, 1.0))
        assert own["sensitivity"] == pytest.approx(expected, rel=0.02, abs=1e-4)
        assert own["k_hat"] < 0.5
    assert "flat, so that there is nothing to scale: delta" in found.text()
    # delta does not vary, so that nothing can be said of it
    assert row(found, "delta[Intercept]", "gamma")["diagnosis"] == "cannot tell"


def test_a_finding_is_a_sentence_with_its_numbers() -> None:
    found = bridge.prior_sensitivity(normal_result("normal(0, 0.4)"))
    said = [line for line in found.sentences() if line.startswith("gamma[Intercept]")]
    prior, data = (
        row(found, "gamma[Intercept]", p)["sensitivity"] for p in ("gamma", "likelihood")
    )
    assert said == [
        f"gamma[Intercept]: prior-data conflict; sensitive to gamma ({prior:.3f}), to the "
        f"likelihood ({data:.3f})."
    ]
    assert str(found) == found.text() == repr(found)
    assert "Prior-data conflict: the prior and the data may pull" in found.text()


SPEC = ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)")
QUICK = {"chains": 2, "draws": 60, "warmup": 5, "seed": 1}


@pytest.fixture(scope="module")
def fitted() -> Result:
    return bridge.fit(
        SPEC, frame(), "fake", include=("log_prior", "marginal_log_likelihood"), **QUICK
    )


def test_what_a_result_holds_is_what_would_be_computed(fitted: Result, tmp_path: Path) -> None:
    bare = bridge.fit(SPEC, frame(), "fake", **QUICK)
    loaded = bridge.load(fitted.save(tmp_path / "fit.nc"))
    first = bridge.prior_sensitivity(fitted)
    assert first.likelihood == "marginal over the effects"
    assert list(dict.fromkeys(first.table["part"])) == ["sd_u", "sd_v", "all priors", "likelihood"]
    for other in (bare, loaded):
        pd.testing.assert_frame_equal(first.table, bridge.prior_sensitivity(other).table)
    fresh = bridge.prior_sensitivity(SPEC, frame(), "fake", **QUICK)
    pd.testing.assert_frame_equal(first.table, fresh.table)
    assert "log_prior" in dir(fresh.result.idata)
    # the fit's own warnings are not lost
    assert any("canned" in note for note in first.notes)


def test_student_t_effects_are_scaled_given_the_effects() -> None:
    spec = SPEC.replace(random_effects="student_t", priors=bridge.Priors(gamma="normal(0, 9)"))
    found = bridge.prior_sensitivity(spec, frame(), "fake", include="log_likelihood", **QUICK)
    assert found.likelihood == "given the effects"
    parts = ["gamma", "sd_u", "sd_v", "nu", "all priors", "likelihood"]
    assert list(dict.fromkeys(found.table["part"])) == parts
    assert set(found.table["parameter"]) == set(found.result.estimates["parameter"])
    # an association's and a level-2 function's coefficients have priors too, but fake has none


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"model": 3}, "takes a ModelSpec or a Result, not int"),
    "no data": ({"model": SPEC}, "to data: give them"),
    "ml": ({"model": SPEC, "data": 1, "engine": "agq"}, "agq uses no priors"),
    "no engine": ({"model": SPEC, "data": 1, "engine": "stna"}, "Did you mean 'stan'"),
    "not named": ({"model": SPEC, "data": 1, "priors": bridge.Priors()}, "holds priors by name"),
    "no name": ({"model": SPEC, "data": 1, "priors": {"": {}}}, "cannot be the name"),
    "the base": ({"model": SPEC, "data": 1, "priors": {BASE: {}}}, "cannot be the name"),
    "no list": ({"model": SPEC, "data": 1, "include": 5}, r"include .* is a list of names, not 5"),
    "a folder": (
        {"model": SPEC, "data": 1, "priors": {"a": {}}, "draws_to": "here"},
        "draws_to takes the draws of one fit",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_asked(name: str) -> None:
    arguments, said = WRONG[name]
    with pytest.raises(errors.RequestError, match=said):
        bridge.prior_sensitivity(**arguments)


def test_what_cannot_be_asked_of_a_result(fitted: Result) -> None:
    for arguments, said in (
        ({"engine": "brms"}, "The result is fake's"),
        ({"chains": 3}, "chains cannot be used"),
        ({"priors": {"a": {"sd_u": "exponential(1)"}}}, "needs the data"),
    ):
        with pytest.raises(errors.RequestError, match=said):
            bridge.prior_sensitivity(fitted, **arguments)
    with pytest.raises(errors.NotAvailable, match="no priors and no draws"):
        bridge.prior_sensitivity(bridge.fit(SPEC, frame(), "agq"))
    flat = ModelSpec("y ~ 1 + x")
    with pytest.raises(errors.NotAvailable, match="Every prior of this model is flat"):
        bridge.prior_sensitivity(flat, frame(), "fake", **QUICK)


# --- refits -----------------------------------------------------------------------------------
def moved(result: Result, parameter: str, shift: float, spread: float) -> Result:
    """The same result with the posterior of one parameter elsewhere."""
    import dataclasses

    estimates = result.estimates.copy()
    own = estimates["parameter"] == parameter
    estimates.loc[own, "estimate"] += shift * estimates.loc[own, "se"]
    estimates.loc[own, "se"] *= spread
    return dataclasses.replace(result, estimates=estimates)


@pytest.fixture
def shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for an engine whose mean coefficient depends on its prior (fake's do not)."""
    real = prior_refits.fit

    def fit(spec: ModelSpec, *arguments: Any, **options: Any) -> Result:
        result = real(spec, *arguments, **options)
        if spec.priors == bridge.Priors(gamma="normal(0, 1)"):
            return moved(result, "gamma[x]", -0.9, 1.0)
        if spec.priors == bridge.Priors(gamma="normal(0, 2)"):
            return moved(result, "gamma[x]", 0.05, 1.5)
        return result

    monkeypatch.setattr(prior_refits, "fit", fit)


@pytest.mark.usefixtures("shifted")
def test_what_moves_under_other_priors() -> None:
    named = {
        "tight": bridge.Priors(gamma="normal(0, 1)"),
        "same": {},
        "wide": {"gamma": "normal(0, 2)"},
    }
    more = {**QUICK, "draws": 2000}
    found = bridge.prior_sensitivity(SPEC, frame(), "fake", priors=named, **more)
    assert list(found.results) == [BASE, "tight", "same", "wide"]
    assert {result.seed for result in found.results.values()} == {1}
    table = found.table.set_index(["parameter", "priors"])
    own = table.loc[("gamma[x]", "tight")]
    assert own["shift"] == pytest.approx(-0.9) and own["verdict"] == "moves"
    assert own["scale"] == found.results[BASE].estimates.set_index("parameter")["scale"]["gamma[x]"]
    assert table.loc[("gamma[x]", "wide"), "sd_ratio"] == pytest.approx(1.5)
    assert table.loc[("gamma[x]", BASE), "verdict"] is None
    verdicts = found.table[found.table["verdict"] == "moves"]
    assert list(verdicts["priors"]) == ["tight", "wide"]
    assert found.sentences() == [
        "tight: 1 of 7 parameters move: gamma[x] (mean by -0.90 SD, SD times 1.00).",
        "same: none of 7 parameters moves.",
        "wide: 1 of 7 parameters move: gamma[x] (mean by +0.05 SD, SD times 1.50).",
    ]
    assert "tight: gamma normal(0, 1); defaults for the rest" in found.text()
    assert any(note.startswith("tight: These draws are canned") for note in found.notes)


def test_too_few_draws_cannot_tell(fitted: Result) -> None:
    found = bridge.prior_sensitivity(fitted, frame(), priors={"other": {"sd_u": "exponential(1)"}})
    assert found.results[BASE] is fitted
    other = found.results["other"]
    assert other.settings["draws"] == 60 and other.seed == fitted.seed
    # 120 draws: the Monte Carlo error of a difference is about a tenth of an SD
    for _, own in found.table[found.table["priors"] == "other"].iterrows():
        assert own["verdict"] == ("cannot tell" if own["shift_error"] > 0.1 else "stays")
    unsure = int((found.table["verdict"] == "cannot tell").sum())
    assert unsure and f"of {unsure} one cannot tell, draw more" in found.sentences()[0]


def test_other_data_than_the_results_are_refused_before_a_fit(
    fitted: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*arguments: Any, **options: Any) -> Result:
        raise AssertionError("something was fitted")

    monkeypatch.setattr(prior_refits, "fit", fit)
    with pytest.raises(errors.RequestError, match="not those of the result"):
        bridge.prior_sensitivity(fitted, frame(40), priors={"a": {}})
