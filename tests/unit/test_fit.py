"""The conductor: checks in order, options settled, progress told."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.engines import registry
from bridge.engines.base import Option
from bridge.engines.fake import Fake
from bridge.fit import translate
from bridge.progress import shown
from bridge.spec import ModelSpec

SPEC = ModelSpec("y ~ x + (1 | g)")
DATA = pd.DataFrame(
    {
        "y": np.random.default_rng(1).normal(size=24),
        "x": np.random.default_rng(2).normal(size=24),
        "g": np.repeat(range(6), 4),
    }
)


def test_what_is_left_open_is_settled_in_the_plan() -> None:
    options = translate(SPEC, DATA, "brms").options
    assert 1 <= options["seed"] < 2**31
    assert options["cores"] == min(4, os.cpu_count() or 1)
    assert (options["chains"], options["draws"], options["warmup"]) == (4, 1000, 1000)
    assert translate(SPEC, DATA, "brms").options["seed"] != options["seed"]
    assert translate(SPEC, DATA, "lme4").options == {"method": "ML", "timeout": None}


def test_a_seed_makes_a_fit_repeatable() -> None:
    one, other, third = (bridge.fit(SPEC, DATA, "fake", draws=20, seed=s) for s in (5, 5, 6))
    pd.testing.assert_frame_equal(one.estimates, other.estimates)
    assert not one.estimates["estimate"].equals(third.estimates["estimate"])
    assert one.seed == 5


def test_a_seed_that_was_drawn_is_recorded() -> None:
    made = bridge.fit(SPEC, DATA, "fake", draws=20)
    again = bridge.fit(SPEC, DATA, "fake", draws=20, seed=made.seed)
    pd.testing.assert_frame_equal(made.estimates, again.estimates)


def test_translating_twice_gives_the_same_text() -> None:
    for engine in ("lme4", "nlme", "brms", "stan", "nuts"):
        options = {} if engine in ("lme4", "nlme") else {"seed": 1, "cores": 1}
        texts = {str(SPEC.translate(engine, DATA, **options)) for _ in range(2)}
        assert len(texts) == 1


def test_progress_reaches_the_caller() -> None:
    heard: list[tuple[float | None, str]] = []
    bridge.fit(
        SPEC, DATA, "fake", draws=10, progress=lambda share, text: heard.append((share, text))
    )
    assert heard == [(0.0, "fake sampling"), (1.0, "fake sampling")]


def test_a_bar_goes_to_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(True, "brms") as report:
        report(None, "compiling")
        report(0.5, "sampling")
    out, err = capsys.readouterr()
    assert out == ""
    assert "brms" in err
    bridge.fit(SPEC, DATA, "fake", draws=10, progress=False)
    assert capsys.readouterr() == ("", "")


def test_further_reasons_of_an_engine_name_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "refusals", lambda self, design: ["walk", "fly"])
    with pytest.raises(errors.EngineRefusal) as caught:
        bridge.fit(SPEC, DATA, "fake")
    assert str(caught.value) == (
        "fake cannot walk, and cannot fly. Engines that can: agq, brms, lme4, nlme, nuts, stan."
    )


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("count", [1, 10, np.int64(3)], [0, -1, 1.0, True, "1", None]),
        ("seed", [1, 2**31 - 1, np.int32(4)], [0, 2**31, -1, 1.5, True]),
        ("seconds", [1, 0.5, None], [0, -1, "1", True]),
        ("share", [0.5, 0.99], [0, 1, 1.5, "0.5", True]),
        ("choice", ["a"], ["c", 1, ["a"]]),
        ("choices", ["a", ("a", "b"), ()], ["c", ("a", "c")]),
    ],
)
def test_options_are_checked(kind: str, good: list[Any], bad: list[Any]) -> None:
    option = Option("default", kind, "meaning", ("a", "b"))
    for value in good:
        found = option.check("name", value)
        assert found == ((value,) if kind == "choices" and value == "a" else value)
        assert not isinstance(found, np.generic)
    for value in bad:
        with pytest.raises(errors.OptionError, match="name"):
            option.check("name", value)


def test_numpys_numbers_can_be_kept(tmp_path: Any) -> None:
    made = bridge.fit(SPEC, DATA, "fake", draws=np.int64(10), seed=np.int64(3))
    assert bridge.load(made.save(tmp_path / "r.nc")).settings["draws"] == 10


def test_every_engine_checks_its_own_options() -> None:
    for name in registry.ENGINES:
        engine = registry.get(name)
        with pytest.raises(errors.OptionError, match=f"{name} has no option 'nonsense'"):
            engine.checked_options({"nonsense": 1})
        assert set(engine.checked_options({})) == set(engine.options)


def test_wrong_types_are_said_in_a_sentence() -> None:
    data = bridge.datasets.load("hsb").head(50)
    spec = bridge.ModelSpec("mathach ~ 1 + (1 | school)")
    with pytest.raises(errors.SpecError, match="is a ModelSpec, not str"):
        bridge.fit("mathach ~ 1 + (1 | school)", data, "fake")
    with pytest.raises(errors.SpecError, match="is a ModelSpec, not DataFrame"):
        bridge.fit(data, spec, "fake")
    with pytest.raises(errors.UnknownEngineError):
        bridge.fit(spec, data, ["fake"])
    with pytest.raises(errors.OptionError, match="is a list of names, not 5"):
        bridge.fit(spec, data, "fake", include=5)
    assert bridge.fit(spec, data, "fake", draws=10, include=None)


@pytest.mark.parametrize("progress", [3, 0, "yes", [True]])
def test_progress_is_shown_hidden_or_a_function(progress: Any) -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0]})
    with pytest.raises(errors.OptionError) as caught:
        bridge.fit(ModelSpec("y ~ 1"), data, "fake", progress=progress)
    assert str(caught.value) == (
        "progress is True, False, None or a function of the share done and a text, not "
        f"{progress!r}."
    )
