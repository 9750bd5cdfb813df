"""Sums of products by group say what the rows say; what the program leaves to Python."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bridge.design import Design, make_design
from bridge.engines import stan_products as sp
from bridge.engines.stan_information import no_information
from bridge.spec import ModelSpec

MEAN = "y ~ 1 + w + x + w:x + (1 + x | s | g)"


def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g = rng.permutation(np.repeat(np.arange(12), rng.integers(2, 9, 12).sum() // 12))
    x = rng.normal(size=len(g))
    y = 1e4 + x + rng.normal(size=12)[g] + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": rng.normal(size=12)[g], "g": g})


def design(variance: str = "~ 1 + w + (1 | s | g)", mean: str = MEAN) -> Design:
    return make_design(ModelSpec(mean, variance), data())


@pytest.mark.parametrize(
    ("variance", "constant"),
    [
        ("~ 1", True),
        ("~ 1 + w + (1 | g)", True),
        ("~ 1 + w + (1 + w | g)", True),
        ("~ 1 + x", False),
        ("~ 1 + w + (0 + x | g)", False),
    ],
)
def test_which_variance_functions_are_constant_within_groups(variance: str, constant: bool) -> None:
    assert sp.constant_variance_function(design(variance)) is constant


def test_without_groups_there_is_nothing_to_sum_by() -> None:
    assert not sp.constant_variance_function(make_design(ModelSpec("y ~ 1 + x"), data()))


def test_squares_by_group_are_those_of_the_rows() -> None:
    made = design()
    found = sp.product_data(made)
    rng = np.random.default_rng(4)
    gamma, u = found["gamma0"] + rng.normal(size=4), rng.normal(size=(2, 12))
    step = gamma - found["gamma0"]
    squares = found["rr"] + found["XX"] @ np.outer(step, step).ravel() - 2 * found["Xr"] @ step
    for a in range(2):
        cross = found["Zr"][:, a] - found["ZX"][a] @ step
        squares += u[a] * (found["ZZ"][a][:, a] * u[a] - 2 * cross)
        for b in range(a):
            squares += 2 * u[a] * u[b] * found["ZZ"][a][:, b]
    r = made.y - made.mean.matrix @ gamma - (made.Z * u[:, made.group].T).sum(axis=1)
    np.testing.assert_allclose(squares, np.bincount(made.group, r**2), rtol=1e-10)
    np.testing.assert_array_equal(found["size"], np.bincount(made.group))
    np.testing.assert_array_equal(found["W"][made.group], made.variance.matrix)


def test_a_centred_effect_takes_its_part_of_the_mean_along() -> None:
    made = design()
    H = sp.product_data(made)["between_mean"]
    assert list(made.mean.labels) == ["Intercept", "w", "x", "w:x"]
    whole = sum(H[a][made.group] * made.Z[:, [a]] for a in range(2))
    np.testing.assert_allclose(whole, made.mean.matrix, atol=1e-12)
    assert (H[0][:, 2:] == 0).all() and (H[1][:, :2] == 0).all()
    # the intercept is no multiple of x: what least squares makes of it goes along
    alone = make_design(ModelSpec("y ~ 1 + x + (0 + x | g)"), data())
    share = sp.product_data(alone)["between_mean"][0][:, 0]
    left = 1 - share[alone.group] * alone.Z[:, 0]
    np.testing.assert_allclose(np.bincount(alone.group, left * alone.Z[:, 0]), 0, atol=1e-12)


def test_partial_correlations_of_a_block_of_three() -> None:
    cpc = np.array([0.3, -0.5, 0.8])
    L = sp.correlation_factors(cpc, np.zeros(3, dtype=int))
    R = L @ L.T
    np.testing.assert_allclose(np.diag(R), 1.0)
    partial = (R[1, 2] - R[0, 1] * R[0, 2]) / np.sqrt((1 - R[0, 1] ** 2) * (1 - R[0, 2] ** 2))
    np.testing.assert_allclose([R[0, 1], R[0, 2], partial], cpc)


@pytest.mark.parametrize("place", [[0, 1, 2], [2, 0, 1]])
def test_draws_are_completed_with_effects_and_correlations(place: list[int]) -> None:
    """What was sampled is made from known effects, its part of the mean added; both come back."""
    made, rng = design(), np.random.default_rng(6)
    block, centred = np.array([1, 1, 1]), np.array([1, 0, 0])
    data = sp.product_data(made) | no_information(3, 12)
    data |= {"block": block, "centred": centred, "qu": 2, "qv": 1, "J": 12}
    data |= {"u_rows": np.array(place[:2]) + 1, "v_rows": np.array(place[2:]) + 1}
    gamma, sd = rng.normal(size=(2, 5, 4)), np.exp(rng.normal(size=(2, 5, 3)))
    cpc, z = np.tanh(rng.normal(size=(2, 5, 3))), rng.normal(size=(2, 5, 3, 12))
    factor = sp.correlation_factors(cpc, block)
    effects = sd[..., None] * (factor @ z)
    raw = z.copy()
    raw[..., 0, :] = effects[..., 0, :] + gamma @ data["between_mean"][place.index(0)].T
    found = sp.completed(
        {"gamma": gamma, "delta": gamma[..., :2], "sd": sd, "cpc": cpc, "raw": raw}, data
    )
    np.testing.assert_allclose(found["effects"], effects[..., place, :], atol=1e-10)
    np.testing.assert_array_equal(found["sd"], sd[..., place])
    matrix = (factor @ np.swapaxes(factor, -1, -2))[..., place, :][..., place]
    expected = [matrix[..., 1, 0], matrix[..., 2, 0], matrix[..., 2, 1]]
    np.testing.assert_allclose(found["rho"], np.stack(expected, axis=-1), atol=1e-12)
