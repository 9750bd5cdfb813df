"""The engines as data: features, refusals, alternatives."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engines import registry
from bridge.engines.base import Engine
from bridge.errors import EngineRefusal, UnknownEngineError
from bridge.spec import ModelSpec

BOTH = {"mean": "y ~ 1 + (1 | g)", "variance": "~ 1 + (1 | g)"}
# spec -> engines that can
ABLE: list[tuple[dict[str, Any], list[str]]] = [
    ({"mean": "y ~ 1 + (1 | g)"}, ["agq", "lme4", "nlme", "brms", "stan", "nuts"]),
    ({"mean": "y ~ 1 + (1 + x || g)"}, ["agq", "lme4", "nlme", "brms", "stan", "nuts"]),
    ({"mean": "y ~ 1 + (1 | g)", "variance": "~ 1 + x"}, ["agq", "nlme", "brms", "stan", "nuts"]),
    ({"mean": "y ~ 1 + (1 | g)", "variance": "~ 0 + x"}, ["agq", "nlme", "brms", "stan", "nuts"]),
    (BOTH, ["agq", "brms", "stan", "nuts"]),
    ({"mean": "y ~ 1", "variance": "~ 1 + (1 | g)"}, ["agq", "brms", "stan", "nuts"]),
    ({"mean": "y ~ x"}, ["agq", "ols", "brms", "stan", "nuts"]),
    ({"mean": "y ~ x", "variance": "~ 1 + x"}, ["agq", "brms", "stan", "nuts"]),
    (
        {"mean": "y ~ 1 + (1 | s | g)", "variance": "~ 1 + (1 | s | g)"},
        ["agq", "brms", "stan", "nuts"],
    ),
    ({"mean": "y ~ 1 + (1 | g)", "random_effects": "student_t"}, ["brms", "stan", "nuts"]),
    ({"mean": "y ~ 1 + (1 | g)", "priors": {"gamma": "flat"}}, ["brms", "stan", "nuts"]),
    (BOTH | {"association": "linear"}, ["agq", "stan", "nuts"]),
    (BOTH | {"level2": "~ w"}, ["agq", "stan", "nuts"]),
    (BOTH | {"random_effects": "classes", "classes": 2}, ["stan"]),
]


@pytest.mark.parametrize(("parts", "engines"), ABLE)
def test_who_can(parts: dict, engines: list[str]) -> None:
    spec = ModelSpec(**parts)
    assert registry.able(spec) == engines
    for name in registry.ENGINES:
        if name in ("fake", "twostep"):  # never offered
            continue
        if name in engines:
            registry.check(name, spec)
            continue
        with pytest.raises(EngineRefusal) as caught:
            registry.check(name, spec)
        text = str(caught.value)
        assert text.startswith(f"{name} cannot ")
        ending = f"Engines that can: {', '.join(sorted(engines))}." if engines else "No engine here"
        assert ending in text


def test_every_reason_is_given() -> None:
    spec = ModelSpec("y ~ 1", "~ x", random_effects="student_t", priors={"gamma": "flat"})
    with pytest.raises(EngineRefusal) as caught:
        registry.check("lme4", spec)
    assert str(caught.value) == (
        "lme4 cannot do without random effects in the mean (mean: y ~ 1), and cannot model the "
        "residual variance (variance: ~ x), and cannot fit Student-t random effects "
        '(random_effects="student_t"), and cannot use priors (priors on gamma). '
        "Engines that can: brms, nuts, stan."
    )


def test_entries_are_whole() -> None:
    for name, entry in registry.ENGINES.items():
        engine = registry.get(name)
        assert isinstance(engine, Engine)
        assert engine.name == name
        assert entry.features <= set(registry.FEATURES)
        assert engine.options


def test_an_unknown_engine() -> None:
    with pytest.raises(UnknownEngineError, match="Did you mean 'lme4'"):
        registry.get("lmer4")


def test_needs_say_which_part_of_the_spec_asks() -> None:
    spec = ModelSpec("y ~ (1 | s | g)", "~ x + (1 | s | g)", priors={"rho": "lkj(2)"})
    assert registry.needs(spec) == {
        "mean_effects": "mean: y ~ 1 + (1 | s | g)",
        "variance_predictors": "variance: ~ x + (1 | s | g)",
        "variance_effects": "variance: ~ x + (1 | s | g)",
        "shared_id": "id: s",
        "priors": "priors on rho",
    }


def test_the_table_has_a_column_for_every_engine() -> None:
    rows = [row.strip("| ").split(" | ") for row in registry.capability_table().split("\n")]
    assert rows[0] == ["agq", "lme4", "nlme", "ols", "twostep", "brms", "stan", "nuts"]
    assert len(rows) == 4 + len(registry.FEATURES)
    assert "fake" not in registry.capability_table()
