"""Dispersed starting points: far apart, repeatable, and of a finite density in plain NumPy."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import Priors, errors
from bridge.engines.stan import _points
from bridge.engines.stan_data import stan_data
from bridge.engines.stan_information import coefficient_units, formulated
from bridge.engines.stan_start import initial_points
from bridge.spec import ModelSpec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from stan_reference import general_log_density

SLOPES = {"mean": "y ~ 1 + x + w + (1 + x | s | g)", "variance": "~ 1 + x + w + (1 + x | s | g)"}
LEVEL = {"mean": "y ~ 1 + x + w + (1 | s | g)", "variance": "~ 1 + x + w + (1 | s | g)"}
NOTHING: dict[str, Any] = {}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "slopes": (SLOPES, NOTHING),
    "no effects": ({"mean": "y ~ 1 + x", "variance": "~ 1 + x"}, NOTHING),
    "Student-t": (SLOPES, {"random_effects": "student_t"}),
    "level 2": (SLOPES, {"level2": "~ w", "priors": Priors(kappa="normal(0, 2)")}),
    "one correlation": (SLOPES, {"level2": {"rho[u:Intercept,v:x]": "~ w"}}),
    "association": (
        {"mean": "y ~ 1 + (1 + x | g)", "variance": "~ 1 + (1 | g)"},
        {"association": "quadratic", "latent_scale": "raw"},
    ),
    "an intercept": (LEVEL, {"random_effects": "student_t"}),
}


@cache
def frame(scale: float = 1.0) -> pd.DataFrame:
    """A predictor with a few values far out, a hundred times its SD."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(25), 8)
    x = rng.normal(size=200)
    x[::70] *= 100
    y = scale * (3 + x + rng.normal(size=25)[g] + rng.normal(size=200))
    return pd.DataFrame({"y": y, "x": x, "w": rng.normal(size=25)[g], "g": g})


def points_of(name: str, starts: str, chains: int = 4, **more: Any) -> tuple[dict, list[dict]]:
    parts, further = MODELS[name]
    plan = ModelSpec(**parts, **further).translate("stan", frame(**more), seed=3)
    # by rows in any order, every effect without its part of the fixed functions
    data, start = stan_data(plan.design), plan.call["start"]
    data |= formulated("noncentred", data, start) | coefficient_units(data, start)
    data |= {k: v for k, v in plan.call["data"].items() if k.startswith("between")}
    return data, initial_points(start, chains, 3, data, dispersed=starts == "dispersed")


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", MODELS)
def test_the_density_is_finite_and_the_points_are_far_apart(name: str, scale: float) -> None:
    data, far = points_of(name, "dispersed", 20, scale=scale)
    _, near = points_of(name, "near", 20, scale=scale)
    assert np.isfinite([general_log_density(data, point) for point in far]).all()
    for key in ("gamma", "delta", "sd"):
        spread = [
            np.std([np.log(p[key]) if key == "sd" else p[key] for p in points], axis=0)
            for points in (far, near)
        ]
        assert np.all(spread[0] > (1.5 if key != "sd" else 4) * spread[1])
    if len(far[0]["cpc"]):
        assert np.ptp([point["cpc"] for point in far], axis=0).min() > 1.0


def test_points_are_repeatable_and_of_the_same_shape_as_near_ones() -> None:
    for name in MODELS:
        _, far = points_of(name, "dispersed")
        _, again = points_of(name, "dispersed")
        _, near = points_of(name, "near")
        for one, two, three in zip(far, again, near, strict=True):
            assert one.keys() == three.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], two[key])
                assert np.shape(one[key]) == np.shape(three[key])


def test_where_the_chains_start_is_said_and_checked() -> None:
    spec = ModelSpec(**SLOPES)
    for words, said in (({}, "near"), ({"starts": "dispersed"}, "dispersed")):
        plan = spec.translate("stan", frame(), seed=3, **words)
        assert f"starts = {said}" in plan.native and plan.options["starts"] == said
    with pytest.raises(errors.OptionError, match="Did you mean 'dispersed'"):
        spec.translate("stan", frame(), starts="disperse")
    with pytest.raises(errors.OptionError, match="brms has no option 'starts'"):
        spec.translate("brms", frame(), starts="near")


@pytest.mark.parametrize("name", MODELS)
def test_every_program_has_dispersed_points(name: str) -> None:
    parts, further = MODELS[name]
    plan = ModelSpec(**parts, **further).translate("stan", frame(), seed=3, starts="dispersed")
    points = _points(plan)
    data, expected = points_of(name, "dispersed")
    assert len(points) == len(expected) == 4
    for found, known in zip(points, expected, strict=True):
        for key in ("gamma", "delta", "cpc"):  # what does not go by the order of the effects
            np.testing.assert_array_equal(found[key], known[key])
        assert np.isfinite(found["raw"]).all() and found["raw"].shape == known["raw"].shape
    assert data["W"].shape[1] == len(plan.design.variance.labels)


def test_draws_to_is_a_folder(tmp_path: Path) -> None:
    spec = ModelSpec(**SLOPES)
    plan = spec.translate("stan", frame(), draws_to=tmp_path / "here")
    assert plan.options["draws_to"] == str(tmp_path / "here")
    assert not (tmp_path / "here").exists()
    for wrong in (3, "", ["a"]):
        with pytest.raises(errors.OptionError, match=r"draws_to .* is the path of a folder"):
            spec.translate("stan", frame(), draws_to=wrong)
