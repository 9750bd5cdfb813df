"""What a user can get wrong: its own class each, one sentence of what, where, and how to mend.

The texts are golden files: tests/golden/messages.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.engines import r_engine, r_worker, stan_backends
from bridge.errors import BridgeError
from bridge.spec import ModelSpec

MEAN = "y ~ 1 + x + (1 | g)"
SCALE = "~ 1 + (1 | g)"


def frame(**columns: Any) -> pd.DataFrame:
    """Return 6 groups of 4 rows; a keyword replaces or adds a column."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(6), 4)
    made = pd.DataFrame(
        {
            "y": rng.normal(size=24) + group,
            "x": rng.normal(size=24),
            "w": rng.normal(size=6)[group],
            "f": np.tile(["a", "b"], 12),
            "g": group,
        }
    )
    return made.assign(**columns)


def fitted(
    mean: str = MEAN,
    variance: str = "~ 1",
    engine: str = "fake",
    parts: dict | None = None,
    options: dict | None = None,
    **columns: Any,
) -> Callable[[], object]:
    """Return a fit that is about to go wrong."""
    return lambda: bridge.fit(
        ModelSpec(mean, variance, **(parts or {})), frame(**columns), engine, **(options or {})
    )


def with_first(values: Any, first: Any) -> Any:
    """Return values with another first one."""
    return np.concatenate([[first], np.asarray(values, dtype=float)[1:]])


DATES = pd.date_range("2020-01-01", periods=24)

# case -> (class, what is done)
BAD: dict[str, tuple[type[BridgeError], Callable[[], object]]] = {
    # columns and rows
    "unknown column": (errors.UnknownColumnError, fitted("y ~ 1 + xx + (1 | g)")),
    "unknown outcome": (errors.UnknownColumnError, fitted("z ~ 1 + (1 | g)")),
    "unknown group": (errors.UnknownColumnError, fitted("y ~ 1 + (1 | school)")),
    "unknown in the variance": (errors.UnknownColumnError, fitted(variance="~ 1 + ww")),
    "unknown in a transform": (errors.UnknownColumnError, fitted("y ~ cvar(x, gg) + (1 | g)")),
    "two columns of one name": (
        errors.DataError,
        lambda: bridge.fit(ModelSpec(MEAN), pd.concat([frame(), frame()[["x"]]], axis=1), "fake"),
    ),
    "not a frame": (errors.DataError, lambda: bridge.fit(ModelSpec(MEAN), [1, 2], "fake")),
    "no rows left": (errors.NoRowsError, fitted(x=np.nan)),
    "empty data": (
        errors.NoRowsError,
        lambda: bridge.fit(ModelSpec(MEAN), frame().iloc[:0], "fake"),
    ),
    # outcome
    "outcome missing": (errors.OutcomeError, fitted(y=np.nan)),
    "outcome constant": (errors.OutcomeError, fitted(y=2.0)),
    "outcome text": (errors.OutcomeError, fitted(y=np.tile(["a", "b"], 12))),
    "outcome truth values": (errors.OutcomeError, fitted(y=np.tile([True, False], 12))),
    "outcome infinite": (errors.OutcomeError, fitted(y=with_first(range(24), np.inf))),
    "outcome dates": (errors.ColumnTypeError, fitted(y=DATES)),
    "outcome durations": (errors.ColumnTypeError, fitted(y=DATES - DATES[0])),
    "outcome complex": (errors.ColumnTypeError, fitted(y=np.arange(24) + 1j)),
    # predictors
    "predictor dates": (errors.ColumnTypeError, fitted(x=DATES)),
    "predictor date objects": (errors.ColumnTypeError, fitted(x=[datetime.date(2020, 1, 1)] * 24)),
    "predictor mixed": (errors.ColumnTypeError, fitted(x=[1, "a"] * 12)),
    "predictor text and truth": (errors.ColumnTypeError, fitted(x=[True, "a"] * 12)),
    "predictor infinite": (errors.DataError, fitted(x=with_first(range(24), -np.inf))),
    "predictor of one level": (errors.DataError, fitted("y ~ 1 + f + (1 | g)", f="a")),
    "log of text": (errors.DataError, fitted("y ~ log(f) + (1 | g)")),
    "log of a negative": (errors.DataError, fitted("y ~ log(x) + (1 | g)")),
    "division by zero": (
        errors.DataError,
        fitted("y ~ I(1 / x) + (1 | g)", x=with_first(range(24), 0)),
    ),
    "polynomial of too few": (errors.DataError, fitted("y ~ poly(x, 2) + (1 | g)", x=[0, 1] * 12)),
    "group SD of one": (
        errors.DataError,
        fitted("y ~ gsd(x, h) + (1 | g)", h=[0] * 12 + [1] * 11 + [2]),
    ),
    # collinear
    "collinear": (
        errors.CollinearError,
        fitted("y ~ 1 + x + w + s + (1 | g)", s=lambda d: d.x + d.w),
    ),
    "collinear in the variance": (errors.CollinearError, fitted(variance="~ 1 + t", t=3.0)),
    "collinear random": (
        errors.CollinearError,
        fitted("y ~ 1 + (1 + x + t | g)", t=lambda d: 2 * d.x - 1),
    ),
    "zero column": (errors.CollinearError, fitted("y ~ 1 + t + (1 | g)", t=0.0)),
    "more columns than rows": (
        errors.DataError,
        lambda: bridge.fit(ModelSpec(MEAN.replace("x", "x * w")), frame().iloc[[0, 4, 8]], "fake"),
    ),
    "interaction alone": (errors.SpecError, fitted("y ~ 1 + f:h + (1 | g)", h=["p", "p", "q"] * 8)),
    "no terms": (errors.SpecError, fitted("y ~ 0 + (1 | g)")),
    "effect twice": (errors.SpecError, fitted("y ~ 1 + (1 | g) + (1 + x | g)")),
    # groups
    "one group": (errors.GroupsError, fitted(g="only")),
    "groups of one": (errors.GroupsError, fitted(variance=SCALE, g=range(24))),
    "groups of one in the mean": (errors.GroupsError, fitted(g=range(24))),
    "group dates": (errors.ColumnTypeError, fitted(g=DATES)),
    "group labels alike": (errors.ColumnTypeError, fitted(g=pd.Categorical([1, "1"] * 12))),
    "group a predictor": (errors.GroupingError, fitted("y ~ 1 + g + (1 | g)")),
    "two groupings": (errors.GroupingError, fitted("y ~ 1 + (1 | g) + (1 | w)")),
    "nested grouping": (errors.GroupingError, fitted("y ~ 1 + (1 | g/w)")),
    # vocabulary and formulas
    "vocabulary column": (errors.VocabularyError, fitted("y ~ 1 + tau + (1 | g)")),
    "vocabulary outcome": (errors.VocabularyError, fitted("gamma ~ 1 + (1 | g)")),
    "vocabulary group": (errors.VocabularyError, fitted("y ~ 1 + (1 | draw)")),
    "formula unfinished": (errors.FormulaError, fitted("y ~ 1 + x +")),
    "formula bracket": (errors.FormulaError, fitted("y ~ 1 + (1 + x | g")),
    "formula sign": (errors.FormulaError, fitted("y ~ 1 + x & w + (1 | g)")),
    "formula division": (errors.FormulaError, fitted("y ~ x / w + (1 | g)")),
    "formula code": (errors.UnsafeFormulaError, fitted("y ~ I(__import__('os').system('x'))")),
    "formula function": (errors.UnsafeFormulaError, fitted("y ~ 1 + system(x)")),
    "formula braces": (errors.UnsafeFormulaError, fitted("y ~ 1 + {x}")),
    "formula backtick": (errors.UnsafeFormulaError, fitted("y ~ 1 + `x`")),
    "transform misspelt": (errors.UnsafeFormulaError, fitted("y ~ 1 + centre(x)")),
    "spec part misspelt": (errors.SpecError, lambda: ModelSpec(MEAN).replace(varience="~ 1")),
    "association misspelt": (errors.SpecError, lambda: ModelSpec(MEAN, association="lineal")),
    # priors
    "prior misspelt": (errors.PriorError, fitted(parts={"priors": {"gamma": "nromal(0, 1)"}})),
    "prior of a misspelt kind": (errors.PriorError, fitted(parts={"priors": {"gama": "flat"}})),
    "prior of the wrong family": (
        errors.PriorError,
        fitted(parts={"priors": {"sd_u": "normal(0, 1)"}}),
    ),
    "prior negative": (errors.PriorError, fitted(parts={"priors": {"gamma": "normal(0, -1)"}})),
    "prior on a missing element": (
        errors.PriorError,
        fitted(parts={"priors": {"gamma[xx]": "normal(0, 1)"}}),
    ),
    "prior with lme4": (
        errors.EngineRefusal,
        fitted(engine="lme4", parts={"priors": {"gamma": "normal(0, 1)"}}),
    ),
    # engines and options
    "engine unknown": (errors.UnknownEngineError, fitted(engine="brm")),
    "option unknown": (errors.OptionError, fitted(options={"chain": 2})),
    "option of another engine": (errors.OptionError, fitted(engine="lme4", options={"chains": 2})),
    "chains negative": (errors.OptionError, fitted(options={"chains": -1})),
    "draws zero": (errors.OptionError, fitted(options={"draws": 0})),
    "warmup zero": (errors.OptionError, fitted(options={"warmup": 0})),
    "draws a fraction": (errors.OptionError, fitted(options={"draws": 10.5})),
    "chains true": (errors.OptionError, fitted(options={"chains": True})),
    "seed zero": (errors.OptionError, fitted(options={"seed": 0})),
    "adapt_delta of one": (errors.OptionError, fitted(options={"adapt_delta": 1.0})),
    "timeout negative": (errors.OptionError, fitted(options={"timeout": -1})),
    "method misspelt": (errors.OptionError, fitted(engine="lme4", options={"method": "RELM"})),
    "nodes even": (errors.OptionError, fitted(engine="agq", options={"nodes": 8})),
    "intervals misspelt": (
        errors.OptionError,
        fitted(engine="agq", options={"intervals": "profiled"}),
    ),
    "robust a number": (errors.OptionError, fitted(engine="agq", options={"robust": 1})),
    "draws with agq": (errors.OptionError, fitted(engine="agq", options={"draws": 10})),
    # what agq cannot
    "agq Student-t": (
        errors.EngineRefusal,
        fitted(engine="agq", parts={"random_effects": "student_t"}),
    ),
    "agq priors": (
        errors.EngineRefusal,
        fitted(engine="agq", parts={"priors": {"gamma": "normal(0, 1)"}}),
    ),
    "agq classes": (
        errors.EngineRefusal,
        fitted(engine="agq", parts={"random_effects": "classes", "classes": 2}),
    ),
    "agq four effects": (
        errors.EngineRefusal,
        fitted(variance="~ 1 + (1 + x + w + f | g)", engine="agq"),
    ),
    "agq five dimensions": (
        errors.EngineRefusal,
        fitted(
            "y ~ 1 + (1 + x + w | g)",
            "~ 1 + (1 + x | g)",
            engine="agq",
            parts={"association": "quadratic"},
        ),
    ),
    "agq perfect fit": (errors.EngineFailed, fitted(engine="agq", y=lambda d: d.g + 2 * d.x)),
    "agq perfect level": (
        errors.EngineFailed,
        fitted("y ~ 1 + (1 | g)", "~ 0 + f", "agq", y=lambda d: d.y.where(d.f == "a", 0.0)),
    ),
    "agq perfect groups": (
        errors.EngineFailed,
        fitted("y ~ 1 + (1 | g)", SCALE, "agq", y=lambda d: d.y.where(d.g > 3, d.g.astype(float))),
    ),
    "agq out of time": (errors.EngineTimeout, fitted(engine="agq", options={"timeout": 1e-6})),
    "lme4 variance": (errors.EngineRefusal, fitted(variance="~ 1 + x", engine="lme4")),
    "lme4 without effects": (errors.EngineRefusal, fitted("y ~ 1 + x", engine="lme4")),
    "ols with effects": (errors.EngineRefusal, fitted(engine="ols")),
    "ols perfect fit": (
        errors.EngineFailed,
        fitted("y ~ 1 + x", engine="ols", y=lambda d: 1 + 2 * d.x),
    ),
    "nlme variance effects": (errors.EngineRefusal, fitted(variance=SCALE, engine="nlme")),
    "nlme Student-t": (
        errors.EngineRefusal,
        fitted(engine="nlme", parts={"random_effects": "student_t"}),
    ),
    "more classes than groups": (
        errors.GroupsError,
        fitted(engine="stan", parts={"random_effects": "classes", "classes": 99}),
    ),
    "classes without effects": (
        errors.SpecError,
        fitted("y ~ x", "~ 1", engine="stan", parts={"random_effects": "classes", "classes": 2}),
    ),
    "classes with level2": (
        errors.SpecError,
        fitted(engine="stan", parts={"random_effects": "classes", "classes": 2, "level2": "~ w"}),
    ),
    "classes with an association": (
        errors.SpecError,
        fitted(
            engine="stan",
            parts={"random_effects": "classes", "classes": 2, "association": "linear"},
        ),
    ),
    "classes with independent effects": (
        errors.SpecError,
        fitted("y ~ 1 + (1 + x || g)", parts={"random_effects": "classes", "classes": 2}),
    ),
    "flat mass points": (
        errors.PriorError,
        fitted(
            engine="stan",
            parts={"random_effects": "classes", "classes": 2, "priors": {"sd_u": "flat"}},
        ),
    ),
    "correlations of classes": (
        errors.PriorError,
        fitted(
            variance=SCALE,
            engine="stan",
            parts={"random_effects": "classes", "classes": 3, "priors": {"rho": "lkj(2)"}},
        ),
    ),
    "class probabilities": (
        errors.NotAvailable,
        lambda: fitted(options={"draws": 10, "seed": 1})().class_probabilities,  # type: ignore[attr-defined]
    ),
    "Student-t without effects": (
        errors.SpecError,
        fitted("y ~ x", "~ 1", engine="stan", parts={"random_effects": "student_t"}),
    ),
    "prior on the SD of a function": (
        errors.PriorError,
        fitted(
            "y ~ 1 + (1 | g)",
            "~ 1",
            engine="stan",
            parts={"level2": "~ 1", "priors": {"sd_u": "half_normal(1)"}},
        ),
    ),
    "brms association": (
        errors.EngineRefusal,
        fitted(variance=SCALE, engine="brms", parts={"association": "linear"}),
    ),
    "brms level2": (errors.EngineRefusal, fitted(engine="brms", parts={"level2": "~ w"})),
    "brms classes": (
        errors.EngineRefusal,
        fitted(engine="brms", parts={"random_effects": "classes", "classes": 2}),
    ),
    # files
    "no saved result": (errors.DataFileError, lambda: bridge.load("nowhere.nc")),
    "no specification": (errors.DataFileError, lambda: ModelSpec.from_toml(Path("nowhere.toml"))),
    "no such folder": (
        errors.OutputError,
        lambda: fitted(options={"draws": 10, "seed": 1})().save("nowhere/r.nc"),  # type: ignore[attr-defined]
    ),
}


def message(case: str) -> str:
    """Return the text of a case's error, checked for its class."""
    kind, act = BAD[case]
    with pytest.raises(BridgeError) as caught:
        act()
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str, golden: Callable[[str, str], None]) -> None:
    text = message(case)
    sentence = text.split("\n")[0]
    assert re.fullmatch(r"\S.+[.?]", sentence), "a sentence, to its full stop"
    assert len(sentence) < 500
    golden(f"messages/{case.replace(' ', '_')}.txt", text)


def test_a_collinear_column_is_named_with_its_partners() -> None:
    assert "s is a linear combination of x, w" in message("collinear")


def test_the_nearest_option_is_suggested() -> None:
    assert "Did you mean 'chains'?" in message("option unknown")
    assert "Did you mean 'REML'?" in message("method misspelt")


def test_a_refusal_names_reasons_and_engines() -> None:
    assert message("lme4 variance") == (
        "lme4 cannot model the residual variance (variance: ~ 1 + x). "
        "Engines that can: agq, brms, nlme, nuts, stan."
    )


def module(name: str, **attributes: object) -> ModuleType:
    """Return a stand-in for a module."""
    made = ModuleType(name)
    vars(made).update(attributes)
    return made


@pytest.mark.parametrize("missing", ["rpy2", "R"])
@pytest.mark.parametrize("engine", ["lme4", "nlme", "brms"])
def test_an_r_engine_that_is_not_installed(
    engine: str, missing: str, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    for name in ("LC_ALL", "LANGUAGE"):  # the worker sets them for its own process
        monkeypatch.setenv(name, "C")
    rpy2 = module("rpy2") if missing == "R" else None
    library = module("rinterface_lib", callbacks=None, openrlib=SimpleNamespace(R_HOME=None))
    monkeypatch.setitem(sys.modules, "rpy2", rpy2)
    monkeypatch.setitem(sys.modules, "rpy2.rinterface", module("rinterface") if rpy2 else None)
    monkeypatch.setitem(sys.modules, "rpy2.rinterface_lib", library if rpy2 else None)
    # the worker's own start, in this process
    here = SimpleNamespace(call=lambda *args, **more: r_worker._rinterface())
    monkeypatch.setattr(r_engine, "shared", lambda module, label: here)
    with pytest.raises(errors.EngineNotInstalled) as caught:
        fitted(engine=engine)()
    golden(f"messages/no_{missing}.txt", str(caught.value))


@pytest.mark.parametrize("backend", ["auto", "cmdstan", "pystan"])
def test_stan_that_is_not_installed(
    backend: str, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    found = {
        "cmdstan": "not available: CmdStan is not found; run: install_cmdstan",
        "pystan": "not available: the package pystan is missing; run: pip install pystan",
    }
    monkeypatch.setattr(stan_backends, "available", lambda: found)
    with pytest.raises(errors.EngineNotInstalled) as caught:
        fitted(engine="stan", options={"backend": backend})()
    golden(f"messages/no_stan_{backend}.txt", str(caught.value))


def test_nothing_runs_when_the_request_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r_engine, "shared", lambda *a: pytest.fail("R was started"))
    for engine in ("lme4", "nlme", "brms"):
        with pytest.raises(errors.RequestError):
            fitted("y ~ 1 + xx + (1 | g)", engine=engine)()
