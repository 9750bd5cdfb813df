"""Translations as text: what every engine would be told, for the models of the field."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bridge import datasets
from bridge.engines import registry
from bridge.engines.stan_program import CLASSES, GENERAL, GROUPED, PLAIN, program_text
from bridge.errors import EngineRefusal
from bridge.spec import ModelSpec

SECTOR = "1 + sector"
DEVIATION = "I(ses - meanses)"  # as Leckie et al. (2014) have it
SLOPES = f"sector + {DEVIATION} + sector:{DEVIATION}"
MODELS: dict[str, dict[str, Any]] = {
    "regression": {"mean": "mathach ~ 1 + ses * kind"},
    "random_intercept": {"mean": "mathach ~ 1 + (1 | school)"},
    "random_slope": {"mean": "mathach ~ 1 + ses + (1 + ses | school)"},
    "model1": {
        "mean": f"mathach ~ {SECTOR} + (1 | s | school)",
        "variance": f"~ {SECTOR} + (1 | s | school)",
    },
    "model4": {
        "mean": f"mathach ~ 1 + {SLOPES} + meanses + meanses:{DEVIATION} "
        f"+ (1 + {DEVIATION} | s | school)",
        "variance": f"~ 1 + {SLOPES} + (1 + {DEVIATION} | s | school)",
    },
    "variance_function": {
        "mean": "mathach ~ 1 + ses + female + (1 | school)",
        "variance": "~ 1 + ses + kind",
    },
    "factor": {"mean": "mathach ~ 1 + ses * kind + (1 | school)", "variance": "~ 1 + kind"},
    "no_intercept": {"mean": "mathach ~ 0 + kind + (1 | school)", "variance": "~ 0 + kind"},
    "no_level": {"mean": "mathach ~ 1 + (1 | school)", "variance": "~ 0 + ses"},
    "uncorrelated": {"mean": "mathach ~ 1 + ses + (1 + ses || school)"},
    "uncorrelated_factor": {"mean": "mathach ~ 1 + kind + (1 + kind || school)"},
    "transforms": {"mean": "mathach ~ 1 + cvar(ses, school) + dvar(ses, school) + (1 | school)"},
    "student_t": {
        "mean": f"mathach ~ {SECTOR} + (1 | s | school)",
        "variance": f"~ {SECTOR} + (1 | s | school)",
        "random_effects": "student_t",
    },
    "classes": {
        "mean": f"mathach ~ {SECTOR} + (1 + ses | s | school)",
        "variance": f"~ {SECTOR} + (1 | s | school)",
        "random_effects": "classes",
        "classes": 3,
        "priors": {"sd_v": "half_normal(1)", "pi": "dirichlet(2)"},
    },
    "level2": {
        "mean": f"mathach ~ {SECTOR} + (1 | s | school)",
        "variance": f"~ {SECTOR} + (1 | s | school)",
        "level2": "~ kind",
    },
    "association_linear": {
        "mean": f"mathach ~ {SECTOR} + (1 + ses | school)",
        "variance": f"~ {SECTOR} + (1 | school)",
        "association": "linear",
    },
    "association_quadratic": {
        "mean": f"mathach ~ {SECTOR} + (1 | school)",
        "variance": f"~ {SECTOR} + (1 | school)",
        "level2": {"tau[u:Intercept,u:Intercept]": "~ kind"},
        "association": "quadratic",
        "latent_scale": "raw",
    },
    "priors": {
        "mean": "mathach ~ 1 + ses + (1 + ses | s | school)",
        "variance": "~ 1 + kind + (1 | s | school)",
        "priors": {
            "gamma": "normal(0, 20)",
            "gamma[ses]": "student_t(4, 0, 5)",
            "delta": "normal(0, 3)",
            "sd_u": "half_normal(10)",
            "sd_u[ses]": "exponential(0.5)",
            "sd_v": "exponential(2)",
            "rho": "lkj(2)",
        },
    },
}
#: Models that Stan's plain program cannot express.
BEYOND = ("student_t", "association_linear", "association_quadratic", "level2")
#: Engines that draw nothing.
POINTS = ("agq", "lme4", "nlme", "ols", "twostep")
# twostep has the features, but refuses predictors within schools and slopes of the variance, and
# models without groups
REFUSED = [
    ("model4", "twostep"),
    ("variance_function", "twostep"),
    ("no_level", "twostep"),
    ("regression", "twostep"),
]
CASES = [
    (name, engine)
    for name, parts in MODELS.items()
    for engine, entry in registry.ENGINES.items()
    if engine != "fake"
    and (name, engine) not in REFUSED
    and set(registry.needs(ModelSpec(**parts))) <= entry.features
]


@cache
def data() -> pd.DataFrame:
    """Return HSB with the sector also as text."""
    hsb = datasets.load("hsb")
    return hsb.assign(kind=hsb["sector"].map({0: "Public", 1: "Catholic"}))


def translated(name: str, engine: str) -> str:
    options = {} if engine in POINTS else {"seed": 1, "chains": 2, "cores": 2}
    return str(ModelSpec(**MODELS[name]).translate(engine, data(), **options))


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_translation(name: str, engine: str, golden: Callable[[str, str], None]) -> None:
    text = translated(name, engine)
    if engine == "stan":  # the program is a file of its own, and never changes
        text, _, program = text.partition("\n\n")
        # the golden file's first line names it
        named = text.removeprefix("// ").split(",")[0]
        assert named in (PLAIN, GROUPED, GENERAL, CLASSES)
        assert (named == GENERAL, named == CLASSES) == (name in BEYOND, name == "classes")
        assert program == program_text(named)
    golden(f"translations/{name}/{engine}.txt", text)


@pytest.mark.parametrize(("name", "engine"), REFUSED)
def test_refused(name: str, engine: str) -> None:
    with pytest.raises(EngineRefusal):
        translated(name, engine)


def test_every_case_has_an_engine() -> None:
    assert {name for name, _ in CASES} == set(MODELS)
    assert {engine for _, engine in CASES} == set(registry.ENGINES) - {"fake"}


def test_no_golden_translation_is_left_over() -> None:
    folder = Path(__file__).resolve().parents[1] / "golden" / "translations"
    kept = {(path.parent.name, path.stem) for path in folder.glob("*/*.txt")}
    assert kept == set(CASES)


def test_capabilities(golden: Callable[[str, str], None]) -> None:
    golden("capabilities.txt", registry.capability_table())
