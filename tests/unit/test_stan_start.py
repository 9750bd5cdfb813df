"""Centring flags and the points of chains, checked against simulated truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.engines.stan_information import no_information
from bridge.engines.stan_start import initial_points
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


def block_of(block: list[int], centred: list[int], J: int, **more: Any) -> dict[str, Any]:
    """The part of a data block that starting points depend on."""
    plain = {"t_effects": 0, "latent": 0, "standardised": 1, "H": np.zeros((J, 0))}
    qu, qv = min(2, len(block)), max(len(block) - 2, 0)
    plain |= {"kappa_pair": np.zeros((0, 2), int), "J": J, "qu": qu, "qv": qv}
    plain |= {"u_rows": np.arange(qu) + 1, "v_rows": np.arange(qu, qu + qv) + 1}
    # no column of a fixed design goes with an effect
    plain |= {"between_mean": np.zeros((qu, J, 2)), "between_variance": np.zeros((qv, J, 2))}
    plain |= no_information(len(block), J)
    plain |= {
        "gamma_centre": np.array([1.0, 0.5]),
        "gamma_factor": np.array([[2.0, 0], [1.0, 4.0]]),
    }
    plain |= {"delta_centre": np.zeros(2), "delta_factor": np.eye(2)}
    return plain | {"block": np.array(block), "centred": np.array(centred, int)} | more


def assert_usable(start: dict[str, np.ndarray]) -> None:
    assert all(np.isfinite(array).all() for array in start.values())
    assert (start["sd"] > 0).all()


def test_the_mean_may_have_no_effects() -> None:
    data = simulated(groups=8, size=4)
    none = np.zeros((len(data["y"]), 0))
    start = values(data | {"X": none, "Z": none, "A": none})
    none_of_it = {"gamma_centre": np.zeros(0), "gamma_factor": np.zeros((0, 0))}
    (point,) = initial_points(start, 1, 1, block_of([], [], 8, **none_of_it))
    assert point["raw"].shape == (0, 8) and point["cpc"].shape == (0,)


def test_initial_points_differ_are_repeatable_and_mean_the_same_effects() -> None:
    data = simulated(groups=20, size=10)
    start = values(data)
    block = [1, 2, 1]
    flat = initial_points(start, 3, 9, block_of(block, [0, 0, 0], 20))
    mixed = initial_points(start, 3, 9, block_of(block, [1, 0, 1], 20))
    for standard, centred in zip(flat, mixed, strict=True):
        assert_usable(standard)
        assert standard["cpc"].shape == (1,) and abs(standard["cpc"][0]) < 1
        expected = standard["raw"] * np.where([1, 0, 1], standard["sd"], 1.0)[:, None]
        np.testing.assert_allclose(centred["raw"], expected, rtol=1e-12)
    assert len({point["sd"][0] for point in flat}) == 3
    again = initial_points(start, 3, 9, block_of(block, [0, 0, 0], 20))
    np.testing.assert_array_equal(flat[2]["raw"], again[2]["raw"])
    moved = [(point["gamma"] - start["gamma"]) / start["gamma_step"] for point in flat]
    assert np.abs(moved).max() < 5
    for point in flat:
        np.testing.assert_allclose(
            np.array([[2.0, 0], [1.0, 4.0]]) @ point["gamma_raw"], point["gamma"] - [1.0, 0.5]
        )
        np.testing.assert_array_equal(point["delta_raw"], point["delta"])


def test_level2_functions_start_near_constant_sds_and_student_t_near_normal() -> None:
    data = simulated(groups=20, size=10)
    start, rng = values(data), np.random.default_rng(1)
    H = np.c_[np.ones(20), rng.normal(size=20), np.ones(20)]
    block = block_of(
        [1, 1, 1], [0, 1, 0], 20, H=H, kappa_pair=np.array([[1, 1], [1, 1], [3, 2]]),
        t_effects=1, latent=2, standardised=0,
    )  # fmt: skip
    (point,) = initial_points(start, 1, 9, block)
    (again,) = initial_points(start, 1, 9, block_of([1, 1, 1], [0, 0, 0], 20))
    assert point["sd"].shape == (2,) and point["cpc"].shape == (0,)
    assert point["free_rho"].shape == (2,) and point["kappa"].shape == (3,)
    log_variance = H[:, :2] @ point["kappa"][:2]
    np.testing.assert_allclose(log_variance, 2 * np.log(again["sd"][0]), atol=0.5)
    assert np.abs(np.tanh(H[:, 2] * point["kappa"][2])).max() < 0.05
    assert point["nu"] == [10.0] and point["mixing"].shape == (20,)
    assert np.all(np.abs(np.log(point["mixing"])) < 0.5)
    assert point["lambda"].shape == (4,)
    # the same effects, whichever way they are sampled
    spread = np.exp(0.5 * log_variance) * np.sqrt(point["mixing"])
    (centred,) = initial_points(start, 1, 9, block | {"centred": np.array([1, 1, 1])})
    np.testing.assert_allclose(point["raw"][0] * spread, centred["raw"][0], rtol=1e-12)
