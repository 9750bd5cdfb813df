"""What groups say of their coefficients, and what is sampled of those, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge.design import make_design
from bridge.engines.stan_data import places, stan_data
from bridge.engines.stan_information import (
    as_sampled,
    best_known_first,
    coefficient_units,
    formulated,
    in_turn,
    information,
    no_information,
)
from bridge.engines.stan_products import correlation_factors
from bridge.engines.stan_values import innovations, sampled
from bridge.errors import OptionError
from bridge.spec import ModelSpec


def data() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    g = rng.permutation(np.repeat(np.arange(8), 6))
    x = rng.normal(size=48)
    y = 3 + x + rng.normal(size=8)[g] + np.exp(0.3 * x) * rng.normal(size=48)
    return pd.DataFrame({"y": y, "x": x, "w": rng.normal(size=8)[g], "g": g})


def test_squares_in_turn_are_the_quadratic() -> None:
    rng = np.random.default_rng(1)
    root, b = rng.normal(size=(5, 4, 3)), rng.normal(size=(20, 5, 3))
    K = root.swapaxes(1, 2) @ root
    h = np.einsum("jab,jb->ja", K, rng.normal(size=(5, 3)))
    weight, toward, tie = in_turn(K, h)
    whole = np.einsum("nja,jab,njb->nj", b, K, b) - 2 * np.einsum("ja,nja->nj", h, b)
    squares = np.zeros((20, 5))
    for a in range(3):
        ahead = sum((tie[a, c] * b[..., c] for c in range(a)), np.zeros((20, 5)))
        squares += weight[a] * (b[..., a] + ahead - toward[a]) ** 2
    # they differ by what does not depend on b
    np.testing.assert_allclose(np.ptp(squares - whole, axis=0), 0, atol=1e-10)
    assert (tie[0] == 0).all() and (weight > 0).all()


def test_a_group_that_says_nothing_has_no_weight() -> None:
    K = np.zeros((2, 2, 2))
    K[0] = [[4.0, 2.0], [2.0, 1.0]]  # says only 2 b0 + b1
    weight, toward, tie = in_turn(K, np.array([[2.0, 1.0], [0.0, 0.0]]))
    np.testing.assert_allclose(weight, [[0, 0], [1, 0]], atol=1e-15)
    np.testing.assert_allclose(tie[1, 0], [2, 0])
    np.testing.assert_allclose(toward[1], [1, 0])


def test_information_of_the_mean_is_that_of_weighted_least_squares_by_group() -> None:
    made = make_design(ModelSpec("y ~ 1 + w + x + (1 + x | s | g)", "~ 1 + (1 | s | g)"), data())
    block = stan_data(made)
    start = {
        "gamma": np.array([3.0, 0.2, 1.0]),
        "delta": np.array([0.4]),
        "sd": np.ones(3),
        "effects": np.zeros((3, 8)),
    }
    found = information(block, start)
    for j in range(8):
        own = made.group == j
        Z, y = made.Z[own], made.y[own]
        covariance = np.linalg.inv(Z.T @ Z) * np.exp(0.4)
        estimate = np.linalg.lstsq(Z, y, rcond=None)[0]  # all of X goes with an effect
        # the last given the first; the first alone
        assert found["weight"][0, j] == pytest.approx(1 / covariance[0, 0])
        assert found["toward"][0, j] == pytest.approx(estimate[0])
        given = found["toward"][1, j] - found["tie"][1, 0, j] * estimate[0]
        assert given == pytest.approx(estimate[1])
        # of the log variance n / 2, about its level and how far the squares are from expected
        assert found["weight"][2, j] == pytest.approx(3.0)
        r = y - made.mean.matrix[own] @ start["gamma"]
        assert found["toward"][2, j] == pytest.approx(0.4 + (r**2).mean() / np.exp(0.4) - 1)


def test_coefficients_are_sampled_in_units_of_their_covariance() -> None:
    made = make_design(
        ModelSpec("y ~ 1 + w + x + (1 + x | s | g)", "~ 1 + x + (1 | s | g)"), data()
    )
    block, rng = stan_data(made), np.random.default_rng(5)
    start = {
        "gamma": np.array([3.0, 0.2, 1.0]),
        "delta": np.array([0.4, 0.3]),
        "sd": np.array([1.0, 0.5, 0.3]),
        "effects": rng.normal(size=(3, 8)),
    }
    found = coefficient_units(block, start)
    own = np.equal.outer(made.group, made.group)
    log_variance = made.variance.matrix @ start["delta"] + start["effects"][2, made.group]
    # generalised least squares with the whole covariance matrix of the rows
    for name, X, D, variance, T in (
        ("gamma", made.mean.matrix, made.Z, np.exp(log_variance), np.diag([1.0, 0.25])),
        ("delta", made.variance.matrix, made.A, np.full(48, 2.0), np.array([[0.09]])),
    ):
        V = D @ T @ D.T * own + np.diag(variance)
        factor = found[f"{name}_factor"]
        assert (np.triu(factor, 1) == 0).all()
        np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(X.T @ np.linalg.solve(V, X)))
        np.testing.assert_array_equal(found[f"{name}_centre"], start[name])


def test_a_prior_adds_its_precision_to_that_of_the_rows() -> None:
    spec = ModelSpec("y ~ 1 + w + x + (1 | g)", priors={"gamma[x]": "normal(0, 0.01)"})
    told, plain = (
        s.translate("stan", data(), seed=1).call["data"]["gamma_factor"]
        for s in (spec, spec.replace(priors={}))
    )
    with_prior, without = (np.linalg.inv(factor @ factor.T) for factor in (told, plain))
    np.testing.assert_allclose(with_prior - without, np.diag([0, 0, 1e4]), atol=1e-6 * 1e4)


def test_the_effects_that_are_known_best_come_first() -> None:
    spec = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)")
    block = stan_data(make_design(spec, data()))
    start = {
        "gamma": np.array([3.0, 1.0]), "delta": np.array([0.4]),
        "sd": np.array([1.0, 1e-3, 0.5]), "effects": np.zeros((3, 8)),
    }  # fmt: skip
    assert best_known_first(block, start).tolist() == [0, 2, 1]
    natural = as_sampled(["informed", "centred", "noncentred"], block, start, sort=False)
    assert natural["u_rows"].tolist() == [1, 2] and natural["v_rows"].tolist() == [3]
    found = as_sampled(["informed", "centred", "noncentred"], block, start, sort=True)
    assert found["u_rows"].tolist() == [1, 3] and found["v_rows"].tolist() == [2]
    assert places(found).tolist() == [0, 2, 1]
    assert natural["centred"].tolist() == [0, 1, 0] and found["centred"].tolist() == [0, 0, 1]
    for name in ("sd_prior", "sd_prior_kind", "lkj", "block", "tau_prior_df"):
        np.testing.assert_array_equal(found[name], natural[name][[0, 2, 1]])
    # v and the mean are told of by different numbers: what one says of the other is nothing
    assert (found["tie"][1, 0] == 0).all() and (found["tie"][2, 1] == 0).all()


def test_formulations() -> None:
    block = stan_data(make_design(ModelSpec("y ~ 1 + (1 | g)"), data()))
    start = {
        "gamma": np.array([3.0]), "delta": np.array([0.4]), "sd": np.ones(1),
        "effects": np.zeros((1, 8)),
    }  # fmt: skip
    found = {word: formulated(word, block, start) for word in ("informed", "noncentred", "centred")}
    assert (found["informed"]["weight"] > 0).all() and found["centred"]["centred"] == [1]
    assert (found["noncentred"]["weight"] == 0).all() and found["noncentred"]["centred"] == [0]
    np.testing.assert_equal(formulated("auto", block, start), found["informed"])


def test_a_formulation_of_one_effect() -> None:
    spec = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)")
    whole = spec.translate("stan", data(), seed=1).call["data"]
    plan = spec.translate(
        "stan", data(), seed=1, formulation={"u:x": "noncentred", "v:Intercept": "centred"}
    )
    mixed = plan.call["data"]
    place = places(mixed)
    assert mixed["centred"][place].tolist() == [0, 0, 1] and place[0] == 0
    assert (mixed["weight"][1:] == 0).all() and (mixed["weight"][0] > 0).all()
    for name in ("weight", "toward", "tie"):
        np.testing.assert_array_equal(mixed[name][0], whole[name][0])
    assert "formulation = u:Intercept informed, u:x noncentred, v:Intercept centred" in plan.native


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"u:x": "centered"}, "Did you mean 'centred'"),
        ({"u:z": "centred"}, "'u:z', which is no effect of this model. Did you mean 'u:x'"),
        ("collapsed", "formulation .* is one of auto, informed, noncentred, centred, or a mapping"),
    ],
)
def test_a_formulation_that_is_none(asked: Any, said: str) -> None:
    spec = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)")
    with pytest.raises(OptionError, match=said):
        spec.translate("stan", data(), formulation=asked)


def told(centred: list[int], seed: int = 2) -> dict[str, Any]:
    rng, q = np.random.default_rng(seed), len(centred)
    return {
        "centred": np.array(centred),
        "weight": rng.lognormal(0, 1, (q, 6)),
        "toward": rng.normal(size=(q, 6)),
        "tie": rng.normal(size=(q, q, 6)) * np.tri(q, k=-1)[:, :, None],
    }


@pytest.mark.parametrize("centred", [[0, 0, 0], [1, 0, 1], [1, 1, 1]])
def test_what_is_sampled_comes_back(centred: list[int]) -> None:
    rng = np.random.default_rng(3)
    factor = correlation_factors(np.tanh(rng.normal(size=(4, 3))), np.zeros(3, int))
    S, part, raw = rng.lognormal(size=(4, 3, 6)), *rng.normal(size=(2, 4, 3, 6))
    z = innovations(raw, part, S, factor, told(centred))
    effects = S * (factor @ z)
    np.testing.assert_allclose(sampled(effects, part, S, factor, told(centred)), raw, atol=1e-10)


def test_it_is_the_posterior_of_the_coefficient_standardised() -> None:
    m, s, w, t, raw = 1.5, 0.7, 3.0, 2.2, -0.8
    block = {"centred": [0], "weight": [[w]], "toward": [[t]], "tie": np.zeros((1, 1, 1))}
    one = np.ones((1, 1))
    z = innovations(raw * one, m * one, s * one, one, block)
    mean, precision = (m / s**2 + w * t) / (1 / s**2 + w), 1 / s**2 + w
    assert m + s * z[0, 0] == pytest.approx(mean + raw / np.sqrt(precision))


def test_without_information_it_is_the_innovation() -> None:
    rng = np.random.default_rng(5)
    raw, part, S = rng.normal(size=(3, 2, 6))
    block = {"centred": np.zeros(2, int)} | no_information(2, 6)
    np.testing.assert_array_equal(innovations(raw, part, np.abs(S), np.eye(2), block), raw)
