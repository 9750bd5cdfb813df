"""Starting values, checked against simulated truth and hostile data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bridge import datasets, starting, two_step
from bridge.design import Design, make_design
from bridge.spec import ModelSpec
from bridge.starting import starting_values

TRUTH = {"gamma": [1.0, 0.5], "delta": [0.4, -0.3], "sd": [0.8, 0.4, 0.5]}


def simulated(groups: int = 200, size: int = 40, sd: list | None = None, seed: int = 4) -> dict:
    """Two effects in the mean and one in the variance, x within groups, w between."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(groups), size))
    one, x = np.ones(len(group)), rng.normal(size=len(group))
    w = rng.normal(size=groups)[group]
    b = rng.normal(size=(3, groups)) * np.array(sd or TRUTH["sd"])[:, None]
    X, W, Z, A = np.c_[one, x], np.c_[one, w], np.c_[one, x], one[:, None]
    sigma = np.exp(0.5 * (W @ TRUTH["delta"] + b[2, group]))
    y = X @ TRUTH["gamma"] + b[0, group] + b[1, group] * x + sigma * rng.normal(size=len(x))
    return {"y": y, "X": X, "W": W, "Z": Z, "A": A, "group": group, "J": groups, "b": b}


def values(data: dict) -> dict[str, np.ndarray]:
    return starting_values(**{name: data[name] for name in ("y", "X", "W", "Z", "A", "group", "J")})


def assert_usable(start: dict[str, np.ndarray]) -> None:
    assert all(np.isfinite(array).all() for array in start.values())
    assert (start["sd"] > 0).all()


def test_starts_are_near_the_truth() -> None:
    data = simulated()
    start = values(data)
    np.testing.assert_allclose(start["gamma"], TRUTH["gamma"], atol=0.15)
    np.testing.assert_allclose(start["delta"], TRUTH["delta"], atol=0.15)
    np.testing.assert_allclose(start["sd"], TRUTH["sd"], rtol=0.25)
    for row in range(3):  # the predicted effects follow the true ones
        assert np.corrcoef(start["effects"][row], data["b"][row])[0, 1] > 0.75


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_outcomes_unit_moves_the_starts_exactly_as_it_should(scale: float) -> None:
    data = simulated(groups=30, size=10)
    one = values(data)
    other = values(data | {"y": scale * data["y"]})
    np.testing.assert_allclose(other["gamma"], scale * one["gamma"], rtol=1e-8)
    np.testing.assert_allclose(other["sd"], one["sd"] * [scale, scale, 1], rtol=1e-6)
    moved = one["delta"] + [2 * np.log(scale), 0]
    np.testing.assert_allclose(other["delta"], moved, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("groups", [2, 12])
def test_small_and_odd_data_give_finite_starts(groups: int, scale: float) -> None:
    data = simulated(groups=groups, size=3)
    data["group"] = np.r_[0, data["group"][1:] % groups]
    data["group"][data["group"] == groups - 1] = 0
    data["group"][5] = groups - 1  # a group of one
    data["y"] = scale * data["y"]
    assert_usable(values(data))


def test_collinear_columns_zero_columns_and_exact_fits_give_finite_starts() -> None:
    data = simulated(groups=8, size=4)
    X = np.c_[data["X"], data["X"][:, 1], np.zeros(len(data["y"]))]
    assert_usable(values(data | {"X": X}))
    assert_usable(values(data | {"y": data["X"] @ [2.0, 3.0]}))
    assert_usable(values(data | {"y": np.full(len(data["y"]), 3.0)}))


def test_parts_may_be_empty() -> None:
    data = simulated(groups=8, size=4)
    none = np.zeros((len(data["y"]), 0))
    start = values(data | {"X": none, "Z": none, "A": none})
    assert_usable(start)
    assert {k: v.shape for k, v in start.items()} == {
        "gamma": (0,), "delta": (2,), "sd": (0,), "effects": (0, 8),
        "gamma_step": (0,), "delta_step": (2,),
    }  # fmt: skip


# --- of a design --------------------------------------------------------------------------------
LEVEL2_VARIANCE = ("y ~ x + (1 | s | g)", "~ w + (1 | s | g)")


def design(data: dict, mean: str, variance: str) -> Design:
    columns = {"y": data["y"], "x": data["X"][:, 1], "w": data["W"][:, 1], "g": data["group"]}
    return make_design(ModelSpec(mean, variance), pd.DataFrame(columns))


def assert_a_start(made: Design, found: starting.Start) -> None:
    assert found.gamma.shape == (len(made.mean.labels),)
    assert found.delta.shape == (len(made.variance.labels),)
    size = len(made.effects)
    assert found.covariance.shape == (size, size)
    for part in (found.gamma, found.delta, found.covariance):
        assert np.isfinite(part).all()
    np.testing.assert_array_equal(found.covariance, found.covariance.T)
    sd = np.sqrt(np.diag(found.covariance))
    assert (np.linalg.eigvalsh(found.covariance / np.outer(sd, sd)) > 0.05).all()
    apart = np.not_equal.outer(made.block, made.block)
    assert (found.covariance[apart] == 0).all()


@pytest.mark.parametrize(
    ("mean", "variance"),
    [
        LEVEL2_VARIANCE,
        ("y ~ x + (1 + x | s | g)", "~ w + (1 | s | g)"),
        ("y ~ x + (1 + x || g)", "~ w + (1 | g)"),
        ("y ~ x + (1 + x | s | g)", "~ x + w + (1 + x | s | g)"),
        ("y ~ x", "~ 1 + (1 | g)"),
        ("y ~ x + (1 | g)", "~ 1"),
        ("y ~ x", "~ w"),
        ("y ~ 0 + x + (0 + x | g)", "~ 0 + w"),
    ],
)
def test_every_model_has_a_start(mean: str, variance: str) -> None:
    made = design(simulated(groups=60, size=10), mean, variance)
    assert_a_start(made, starting.start(made))


def test_the_two_step_method_gives_the_start_where_it_can() -> None:
    made = design(simulated(), *LEVEL2_VARIANCE)
    found, best = starting.start(made), two_step.estimate(made)
    np.testing.assert_array_equal(found.gamma, best.mean.gamma)
    np.testing.assert_array_equal(found.delta, best.variance.delta)
    np.testing.assert_allclose(found.covariance, best.covariance, rtol=1e-12)


def test_the_general_way_gives_the_start_where_it_cannot() -> None:
    data = simulated()
    made = design(data, "y ~ x + (1 | g)", "~ x + w + (1 | g)")
    assert two_step.reasons(made)
    found = starting.start(made)
    W = np.c_[data["W"][:, 0], data["X"][:, 1], data["W"][:, 1]]
    general = values(data | {"W": W, "Z": data["A"]})
    np.testing.assert_allclose(found.gamma, general["gamma"], rtol=1e-8)
    np.testing.assert_allclose(found.delta, general["delta"], rtol=1e-6)
    np.testing.assert_allclose(np.diag(found.covariance), general["sd"] ** 2, rtol=1e-6)


@pytest.mark.parametrize("error", [np.linalg.LinAlgError, ValueError])
def test_a_failure_of_the_two_step_method_is_made_good(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(design: Design) -> None:
        raise error

    monkeypatch.setattr(two_step, "estimate", fail)
    made = design(simulated(groups=20, size=10), *LEVEL2_VARIANCE)
    assert_a_start(made, starting.start(made))


@pytest.mark.parametrize("groups", [2, 3, 40])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_odd_data_have_a_start(groups: int, scale: float) -> None:
    """Groups of one row, groups without variation, effects that are not there, any unit."""
    data = simulated(groups=groups, size=4, sd=[1e-9, 1e-9, 1e-9])
    data["y"][data["group"] == 0] = 1.0
    if groups > 2:
        data["group"][data["group"] == 1] = 2
        data["group"][7] = 1
    data["y"] = scale * data["y"]
    for mean in ("y ~ x + (1 | s | g)", "y ~ x + (1 + x | s | g)"):
        for variance in ("~ 1 + (1 | s | g)", "~ 1 + (1 + x | s | g)"):
            made = design(data, mean, variance)
            assert_a_start(made, starting.start(made))


def test_an_exact_fit_has_a_start() -> None:
    data = simulated(groups=8, size=5)
    made = design(data | {"y": data["X"] @ [2.0, 3.0]}, *LEVEL2_VARIANCE)
    assert_a_start(made, starting.start(made))


def test_high_school_and_beyond_starts_near_maximum_likelihood() -> None:
    """Model 1 of Leckie et al. (2014) by ML: 11.388, 2.816; 3.783, -0.265; 6.58; 0.0147."""
    spec = ("mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)")
    found = starting.start(make_design(ModelSpec(*spec), datasets.load("hsb")))
    np.testing.assert_allclose(found.gamma, [11.388, 2.816], atol=0.02)
    np.testing.assert_allclose(found.delta, [3.783, -0.265], atol=0.02)
    np.testing.assert_allclose(np.diag(found.covariance), [6.58, 0.0147], rtol=0.5)
