"""The compiled density against NumPy, its gradient against differences, its map against both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import nuts_cases as cases
from nuts_cases import reference

from bridge.nuts import build
from bridge.nuts.calling import Density
from bridge.nuts.exponential import exp_minus

# blocks, effects in the mean, arguments of the data, what is added
CASES: dict[str, tuple[list[int], int, dict, dict]] = {
    "no effects": ([], 0, {}, {}),
    "no mean coefficients": ([1], 1, {"p": 0}, {}),
    "variance alone": ([1, 1], 0, {}, {}),
    "random intercept": ([1], 1, {"k": 1}, {}),
    "by cells": ([1, 1], 1, {"k": 1, "lkj": 2.5}, {}),
    "two and two": ([1, 1, 1, 1], 2, {"lkj": 1.7}, {}),
    "interleaved blocks": ([1, 2, 1, 2, 1], 2, {"lkj": 0.6}, {}),
    "three in the variance": ([1, 1, 1, 1], 1, {"k": 3, "lkj": 3.0}, {}),
    "one row a group": ([1, 1], 1, {"size": 1, "groups": 9}, {}),
    "one group": ([1, 2], 1, {"groups": 1, "size": 9}, {}),
    "Student-t": ([1, 1, 1], 2, {"lkj": 2.0}, {"t_effects": True}),
    "linear": ([1, 1, 2], 2, {}, {"latent": 1}),
    "quadratic": ([1, 1], 2, {}, {"latent": 2}),
    "quadratic, raw, Student-t": (
        [1, 2], 1, {}, {"latent": 2, "standardised": False, "t_effects": True},
    ),
    "an SD": ([1, 1], 1, {"lkj": 2.0}, {"functions": {(0, 0): 2}}),
    "all of two": ([1, 1], 1, {}, {"functions": {(0, 0): 2, (1, 0): 2, (1, 1): 1}}),
    "one correlation of three": ([1, 1, 1], 2, {"lkj": 1.4}, {"functions": {(1, 0): 2}}),
    "two blocks, one with functions": (
        [1, 2, 1, 2, 2], 2, {"lkj": 0.7}, {"functions": {(1, 1): 1, (2, 0): 2}},
    ),
    "partial correlations of two": (
        [1, 1], 1, {}, {"functions": {(1, 0): 2}, "partial": 1},
    ),
    "partial correlations of three, and an SD": (
        [1, 1, 1], 2, {}, {"functions": {(1, 1): 2, (1, 0): 1, (2, 0): 2, (2, 1): 1}, "partial": 1},
    ),
    "partial correlations in one of two blocks": (
        [1, 2, 1, 2, 1], 2, {"lkj": 1.2},
        {"functions": {(2, 0): 2, (4, 0): 1, (4, 2): 2}, "partial": 1},
    ),
    "everything": (
        [1, 2, 2], 1, {"lkj": 1.3},
        {"functions": {(0, 0): 2, (2, 1): 1, (2, 2): 2}, "latent": 2, "t_effects": True},
    ),
}  # fmt: skip


def case_of(name: str) -> dict:
    block, qu, other, more = CASES[name]
    return reference.extended(reference.make_data(block, qu, [0] * len(block), **other), **more)


def assert_gradient(density: Density, x: np.ndarray, places: Any) -> None:
    """Central differences of two steps, extrapolated, against the gradient."""
    gradient = density(x)[1]
    for i in places:
        slopes = []
        for h in (2e-4, 1e-4):
            one, other = x.copy(), x.copy()
            one[i] += h
            other[i] -= h
            slopes.append((density(one)[0] - density(other)[0]) / (2 * h))
        expected = (4 * slopes[1] - slopes[0]) / 3
        scale = max(abs(expected), 1e-3 * abs(density(x)[0]), 1.0)
        assert abs(gradient[i] - expected) < 1e-6 * scale, (i, gradient[i], expected)


@pytest.mark.parametrize("name", CASES)
def test_density_equals_numpy_with_every_constant(name: str) -> None:
    data, rng = case_of(name), np.random.default_rng(len(name))
    for seed in range(3):
        problem = cases.problem_of(data, seed)
        density, ours, theirs = Density(problem), [], []
        for _ in range(3):
            x = cases.random_point(problem, data, rng)
            ours.append(density(x)[0])
            theirs.append(cases.log_density(problem, data, x))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_gradient_equals_differences(name: str) -> None:
    data = case_of(name)
    problem = cases.problem_of(data, seed=1)
    x = cases.random_point(problem, data, np.random.default_rng(5))
    assert_gradient(Density(problem), x, range(problem.size))


# blocks and the priors of their T: 1 flat, 2 inverse Wishart
WHOLE: dict[str, tuple[list[int], dict[int, int]]] = {
    "one effect": ([1], {1: 2}),
    "two, flat": ([1, 1], {1: 1}),
    "four": ([1, 1, 1, 1], {1: 2}),
    "two blocks": ([1, 2, 1, 2, 2], {1: 2, 2: 1}),
    "the second of two": ([1, 2, 1, 2, 2], {2: 2}),
    "the first of two": ([1, 2, 1, 2, 2], {1: 2}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_priors_of_whole_covariance_matrices(name: str) -> None:
    block, kinds = WHOLE[name]
    rng = np.random.default_rng(len(name))
    data = reference.make_data(block, (len(block) + 1) // 2, [0] * len(block), lkj=1.6)
    data = reference.with_priors(data, kinds, rng)
    problem = cases.problem_of(data)
    density = Density(problem)
    for _ in range(3):
        x = cases.random_point(problem, data, rng)
        expected = cases.log_density(problem, data, x)
        np.testing.assert_allclose(density(x)[0], expected, rtol=1e-9, atol=1e-8)
    assert_gradient(density, x, range(problem.size))


@pytest.mark.parametrize("sd_kind", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_every_kind_of_prior(kind: int, sd_kind: int) -> None:
    data = case_of("by cells")
    for name, count in (("gamma", 2), ("delta", 1)):
        data[f"{name}_prior_kind"] = np.full(count, kind)
        data[f"{name}_prior"] = np.column_stack([[4.0] * count, [0.3, -0.2][:count], [1.5] * count])
    data["sd_prior_kind"] = np.full(2, sd_kind)
    data["sd_prior"] = np.array([[3.0, 1.2], [5.0, 0.6]])
    problem = cases.problem_of(data)
    x = cases.random_point(problem, data, np.random.default_rng(kind))
    found = Density(problem)(x)[0]
    assert found == pytest.approx(cases.log_density(problem, data, x), rel=1e-9)
    assert_gradient(Density(problem), x, range(problem.size))


@pytest.mark.parametrize(
    "name", ["by cells", "all of two", "one correlation of three", "Student-t"]
)
def test_the_jacobian_is_that_of_the_map(name: str) -> None:
    block, qu, other, more = CASES[name]
    data = reference.make_data(block, qu, [0] * len(block), **(other | {"groups": 3}))
    data = reference.extended(data, **more)
    problem = cases.problem_of(data)
    density, rng = Density(problem), np.random.default_rng(3)
    x = cases.random_point(problem, data, rng)
    slopes = np.empty((problem.size, problem.size))
    for i in range(problem.size):
        h = np.zeros(problem.size)
        h[i] = 1e-5
        slopes[:, i] = (density.canonical(x + h) - density.canonical(x - h)) / 2e-5
    point = cases.named(problem, data, x)
    # correlations stand where the reference has partial ones
    R = reference.log_jacobian_of_correlations(point["cpc"], reference.cpc_block(data))
    expected = cases.log_jacobian(problem, point, reference.covariances(data, point)) + R
    assert np.linalg.slogdet(slopes)[1] == pytest.approx(expected, abs=1e-5)


def test_the_formulation_changes_coordinates_and_not_the_density() -> None:
    data = case_of("two and two")
    for words in (["noncentred"] * 4, ["informed", "noncentred", "noncentred", "informed"]):
        problem = cases.problem_of(data, 2, words)
        x = cases.random_point(problem, data, np.random.default_rng(1))
        expected = cases.log_density(problem, data, x)
        assert Density(problem)(x)[0] == pytest.approx(expected, rel=1e-9)
        assert_gradient(Density(problem), x, range(problem.size))
        alone = problem.sampled.information[1]
        assert (alone == 0).all() and (problem.sampled.pull[2] == 0).all()


@pytest.mark.parametrize("name", ["by cells", "all of two", "random intercept"])
def test_cells_give_what_rows_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = case_of(name)
    # a predictor of two values makes two cells of a group
    data["W"] = np.column_stack([data["W"][:, 0], np.arange(data["N"]) % 2])
    data["k"], data["delta_prior"] = 2, np.zeros((2, 3))
    data["delta_prior_kind"] = np.zeros(2, int)
    monkeypatch.setattr("bridge.nuts.level1_data._CELL", -1e9)
    by_cells = cases.problem_of(data)
    monkeypatch.setattr(build, "choose_cells", lambda *_: None)
    by_rows = cases.problem_of(data)
    assert len(by_cells.cells.size) > data["J"] and not len(by_rows.cells.size)
    x = cases.random_point(by_rows, data, np.random.default_rng(1))
    one, other = Density(by_cells)(x), Density(by_rows)(x)
    assert one[0] == pytest.approx(other[0], rel=1e-11)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-8)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    qu=st.integers(0, 3),
    qv=st.integers(0, 3),
    p=st.integers(0, 5),
    k=st.integers(1, 5),
    groups=st.sampled_from([1, 2, 7, 40, 1000]),
    size=st.sampled_from([1, 2, 9]),
    blocks=st.integers(1, 3),
    latent=st.integers(0, 2),
    seed=st.integers(0, 10**6),
)
def test_gradient_over_designs(
    qu: int, qv: int, p: int, k: int, groups: int, size: int, blocks: int, latent: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    block = list(rng.integers(1, blocks + 1, qu + qv))
    # more coefficients than half the rows leave some undetermined, their coordinates without end
    p, k = min(p, groups * size // 2), min(k, max(1, groups * size // 2))
    data = reference.make_data(block, qu, [0] * len(block), p=p, k=k, groups=groups, size=size)
    data = reference.extended(
        data, latent=latent if qu else 0, t_effects=bool(seed % 2 and qu + qv), seed=seed
    )
    if seed % 3 == 0:  # no intercept
        for name in ("X", "W", "Z", "A"):
            data[name] = data[name] * (1 + 0.1 * rng.normal(size=(data["N"], 1)))
    problem = cases.problem_of(data, seed)
    x = cases.random_point(problem, data, rng)
    few = rng.choice(problem.size, min(problem.size, 12), replace=False)
    assert_gradient(Density(problem), x, few)


def test_where_there_is_no_density() -> None:
    data = case_of("one correlation of three")
    problem = cases.problem_of(data)
    x = np.zeros(problem.size)
    at = len(problem.coefficients.centre) + len(problem.spread.sd_centre)
    x[at : at + 2] = 3.0, -3.0
    assert Density(problem)(x)[0] == -np.inf
    x[at : at + 2] = 0.0
    assert np.isfinite(Density(problem)(x)[0])
    x[0] = np.nan
    assert not np.isfinite(Density(problem)(x)[0])


def test_the_exponential_is_the_librarys_to_a_unit_in_the_last_place() -> None:
    for span in (1.0, 30.0, 708.0):
        x, found = np.linspace(-span, span, 4001), np.empty(4001)
        exp_minus(x, found, 4001)
        np.testing.assert_allclose(found, np.exp(-x), rtol=3e-16)
    beyond, found = np.array([-1e4, 1e4, np.inf]), np.empty(3)
    exp_minus(beyond, found, 3)
    assert np.isfinite(found).all() and found[0] > 1e307 and found[1] < 1e-307
