"""The warning of spurious precision, and what `bridge.spurious_precision` shows."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.spec import ModelSpec
from bridge.spurious import SpuriousPrecision, with_variance_effect

SPEC = ModelSpec("mathach ~ sector + (1 | s | school)", "~ sector")
WORDS = "spurious precision"


@cache
def found() -> SpuriousPrecision:
    return bridge.spurious_precision(SPEC, bridge.datasets.load("hsb"))


def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(12), 10)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=120), "w": rng.normal(size=12)[g]})
    sd = np.exp(0.5 * (0.3 * frame["w"] + rng.normal(size=12)[g]))
    return frame.assign(y=frame["x"] + rng.normal(size=12)[g] + sd * rng.normal(size=120))


# --- the warning ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mean", "variance", "parts", "warned"),
    [
        ("y ~ x + (1 | g)", "~ 1 + w", {}, True),
        ("y ~ x + (1 | g)", "~ 0 + w", {}, True),
        ("y ~ x + (1 | g)", "~ 1", {}, False),
        ("y ~ x + (1 | g)", "~ 1 + w + (1 | g)", {}, False),
        ("y ~ x", "~ 1 + w", {}, False),
        ("y ~ x", "~ 1 + w + (1 | g)", {}, False),
        ("y ~ x + (1 | g)", "~ 1 + w", {"association": "linear"}, False),
    ],
)
def test_who_is_warned(mean: str, variance: str, parts: dict[str, Any], warned: bool) -> None:
    result = bridge.fit(ModelSpec(mean, variance, **parts), data(), "agq")
    said = [warning for warning in result.warnings if WORDS in warning]
    assert len(said) == warned
    assert all("bridge.spurious_precision(spec, data)" in warning for warning in said)


@pytest.mark.parametrize("engine", ["agq", "twostep", "fake"])
def test_every_engine_warns(engine: str) -> None:
    spec = ModelSpec("y ~ x + (1 | g)", "~ 1 + w")
    result = bridge.fit(spec, data(), engine)
    assert any(WORDS in said for said in result.warnings)
    assert WORDS in result.summary() and WORDS in result.idata.attrs["warnings"]


# --- what it shows -------------------------------------------------------------------------------
def test_high_school_and_beyond() -> None:
    """The posterior SDs of print (Leckie et al. 2014, section 5) are 0.034 and 0.040."""
    table = found().table.set_index("parameter")
    assert list(table.index) == ["delta[Intercept]", "delta[sector]"]
    row = table.loc["delta[sector]"]
    assert row["se_without"] == pytest.approx(0.034, abs=0.0005)
    assert row["se_with"] == pytest.approx(0.040, abs=0.001)
    assert row["ratio"] == row["se_with"] / row["se_without"] > 1.1
    assert row["scale"] == "log variance"
    assert found().with_effect.spec.variance == "~ sector + (1 | s | school)"
    assert found().without_effect.spec == SPEC


def test_its_test_is_the_likelihood_ratio() -> None:
    test = found().test
    assert test is not None
    expected = bridge.likelihood_ratio(found().without_effect, found().with_effect)
    assert (test.statistic, test.p_value) == (expected.statistic, expected.p_value)
    assert test.df == ((1, 0.5), (2, 0.5))
    text = str(found())
    assert "Likelihood ratio test of the effect: " in text and "p " in text
    assert "log variance with:    ~ sector + (1 | s | school)" in text
    assert found().notes == ()


def test_the_effect_that_is_added() -> None:
    plain = with_variance_effect(ModelSpec("y ~ x + (1 | g)", "~ w"))
    assert plain.variance == "~ w + (1 | g)"
    several = with_variance_effect(ModelSpec("y ~ (1 | g) + (0 + x | a | g)", "~ 0 + w"))
    assert several.variance == "~ 0 + w + (1 | a | g)"
    tied = ModelSpec("y ~ (1 | a | g)", "~ w", association="linear")
    assert with_variance_effect(tied).variance == "~ w + (1 | g)"


def test_a_posterior_has_no_test() -> None:
    spec = ModelSpec("y ~ x + (1 | g)", "~ 1 + w")
    shown = bridge.spurious_precision(spec, data(), "fake", chains=2, draws=50, seed=1)
    assert shown.test is None and "Likelihood" not in str(shown)
    assert any("canned" in note for note in shown.notes)


def test_where_the_distribution_is_not_known_nothing_is_drawn() -> None:
    spec = ModelSpec("y ~ x + (1 | g)", "~ 1 + w", level2="~ w")
    shown = bridge.spurious_precision(spec, data())
    assert shown.test is None
    assert shown.notes[0].startswith("No test here, because tau[v:Intercept,v:Intercept] is added")


def test_bad_input() -> None:
    with pytest.raises(errors.RequestError, match="takes a ModelSpec, not str"):
        bridge.spurious_precision("~ w", data())
    with pytest.raises(errors.RequestError, match="has a random effect already"):
        bridge.spurious_precision(ModelSpec("y ~ 1 + (1 | g)", "~ w + (1 | g)"), data())
    with pytest.raises(errors.RequestError, match="has no groups"):
        bridge.spurious_precision(ModelSpec("y ~ x", "~ w"), data())
    with pytest.raises(errors.EngineRefusal, match="nlme cannot fit random effects in the resid"):
        bridge.spurious_precision(ModelSpec("y ~ x + (1 | g)", "~ w"), data(), "nlme")
