"""The marginal likelihood and the group effects, against plain integration and closed forms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

from bridge.likelihood import conditional_effects, marginal_loglik
from bridge.marginal import blocks
from bridge.marginal.canonical import canonical, effects, free_of
from bridge.marginal.law import FunctionLaw
from bridge.marginal.nodes import Placement, rule

TINY = (2, 5, 1, 4)
GAMMA, DELTA = np.array([0.8, -0.4]), np.array([0.3, 0.5])
T_UV = np.array([[0.9, -0.3], [-0.3, 0.6]])
T_OWN = np.diag([0.9, 0.6])
NONE = np.zeros(0)


def tiny() -> Any:
    return cases.frame(TINY, seed=11)


# --- 1 u and 1 v: a grid over both ---------------------------------------------------------
GRIDS: dict[str, tuple[str, np.ndarray, list[float]]] = {
    "uv": ("uv", T_UV, []),
    "u, v": ("u, v", T_OWN, []),
    "v slope alone": ("v slope alone", T_UV, []),
    "linear standardised": ("linear standardised", T_OWN, [0.4]),
    "linear raw": ("linear raw", T_OWN, [-0.4]),
    "linear, v slope alone": ("linear raw v slope alone", T_OWN, [0.5]),
    "quadratic standardised": ("quadratic standardised", T_OWN, [0.3, -0.2]),
    "quadratic raw": ("quadratic raw", T_OWN, [-0.3, 0.25]),
}


@pytest.mark.parametrize("case", GRIDS)
def test_likelihood_and_effects_by_a_grid_over_u_and_v(case: str) -> None:
    name, T, coefficients = GRIDS[case]
    lam = np.array(coefficients)
    problem = cases.problem_of(cases.DESIGNS[name], tiny(), nodes=41)
    free = cases.given(problem, GAMMA, DELTA, T, lam)
    placement, at = cases.settled(problem, free)
    standardised = problem.design.spec.latent_scale == "standardised"
    by_group, means, covariances = cases.moments_by_grid(
        problem.design, GAMMA, DELTA, T, lam, standardised
    )
    # squares of u bend the integrand most
    atol = 1e-6 if case.startswith("quadratic") else 2e-8
    np.testing.assert_allclose(at.by_group, by_group, rtol=0, atol=atol)
    found = effects(problem, free, placement)
    np.testing.assert_allclose(found[0], means, rtol=0, atol=50 * atol)
    np.testing.assert_allclose(found[1], covariances, rtol=0, atol=50 * atol)


@pytest.mark.parametrize(("name", "atol"), [("uv", 1e-5), ("linear standardised", 1e-5),
                                            ("quadratic standardised", 5e-3)])  # fmt: skip
def test_the_usual_nodes_are_near(name: str, atol: float) -> None:
    problem = cases.problem_of(cases.DESIGNS[name], tiny())
    T, lam = (T_UV, NONE) if name == "uv" else (T_OWN, np.array([0.4, -0.2]))
    lam = lam[:1] if name.startswith("linear") else lam
    _, at = cases.settled(problem, cases.given(problem, GAMMA, DELTA, T, lam))
    by_group, _, _ = cases.moments_by_grid(problem.design, GAMMA, DELTA, T, lam)
    np.testing.assert_allclose(at.by_group, by_group, rtol=0, atol=atol)


@pytest.mark.parametrize("lam", [[], [0.5], [0.3, -0.2]])
def test_level2_functions_by_a_grid(lam: list[float]) -> None:
    parts: dict[str, Any] = dict(cases.DESIGNS["u, v" if lam else "uv"])
    if lam:
        parts["association"] = "linear" if len(lam) == 1 else "quadratic"
    element = "tau[u:Intercept,u:Intercept]"
    parts["level2"] = {element: "~ h"} if lam else "~ h"
    problem = cases.problem_of(parts, tiny(), nodes=41)
    design = problem.design
    h = next(iter(design.level2.values())).matrix[:, 1]
    # log tau[u,u] = 0.2 + 0.5 h; constant or log tau[v,v] = -0.5 - 0.3 h, atanh rho = 0.1 + 0.4 h
    moving = 0.0 if lam else 1.0
    kappa = {(0, 0): [0.2, 0.5], (0, 1): [0.1, 0.4], (1, 1): [-0.5, -0.3][: 1 if lam else 2]}
    assert isinstance(problem.law, FunctionLaw)
    law = np.concatenate(
        [problem.law.inner(np.array(kappa[pair]), pair) for pair in problem.law.designs]
    )
    to = problem.coordinates
    free = np.concatenate(
        [np.linalg.solve(to.gamma, GAMMA), np.linalg.solve(to.delta, DELTA), law, lam]
    )
    sd = np.exp(0.5 * np.stack([0.2 + 0.5 * h, -0.5 - moving * 0.3 * h], axis=1))
    T = sd[:, :, None] * sd[:, None] * np.eye(2)
    T[:, 0, 1] = T[:, 1, 0] = moving * np.tanh(0.1 + 0.4 * h) * sd[:, 0] * sd[:, 1]
    placement, at = cases.settled(problem, free)
    by_group, means, covariances = cases.moments_by_grid(design, GAMMA, DELTA, T, np.array(lam))
    np.testing.assert_allclose(at.by_group, by_group, rtol=0, atol=1e-6)
    found = effects(problem, free, placement)
    np.testing.assert_allclose(found[0], means, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], covariances, rtol=0, atol=1e-5)


# --- more effects: a grid over v, y given v normal --------------------------------------------
T4 = np.array(
    [[0.9, 0.2, -0.3, 0.1], [0.2, 0.5, 0.1, 0.15], [-0.3, 0.1, 0.6, 0.1], [0.1, 0.15, 0.1, 0.3]]
)
DIAGONAL = np.diag(np.diag(T4))
T_IDS = DIAGONAL + np.array(
    [[0, 0, 0, 0.2], [0, 0, 0.25, 0], [0, 0.25, 0, 0], [0.2, 0, 0, 0]]
)  # u:Intercept goes with v:w, u:x with v:Intercept
T_3U = np.array([[0.9, 0.2, 0.1, -0.3], [0.2, 0.5, 0, 0.1], [0.1, 0, 0.4, 0.1],
                 [-0.3, 0.1, 0.1, 0.6]])  # fmt: skip


@pytest.mark.parametrize(
    ("name", "T", "points"),
    [("2u 2v", T4, 121), ("||", DIAGONAL, 121), ("ids", T_IDS, 121), ("3u v", T_3U, 401)],
)
def test_more_effects_by_a_grid_over_v(name: str, T: np.ndarray, points: int) -> None:
    problem = cases.problem_of(cases.DESIGNS[name], tiny(), nodes=25)
    _, at = cases.settled(problem, cases.given(problem, GAMMA, DELTA, T, NONE))
    expected = cases.loglik_given_v(problem.design, GAMMA, DELTA, T, points)
    np.testing.assert_allclose(at.by_group, expected, rtol=0, atol=1e-6)


def test_three_effects_of_the_variance_by_a_grid() -> None:
    problem = cases.problem_of(cases.DESIGNS["u 3v"], cases.frame((3, 4), seed=2), nodes=15)
    _, at = cases.settled(problem, cases.given(problem, GAMMA, DELTA, T4, NONE))
    expected = cases.loglik_given_v(problem.design, GAMMA, DELTA, T4, 33)
    np.testing.assert_allclose(at.by_group, expected, rtol=0, atol=1e-4)


# --- without v: closed forms ------------------------------------------------------------------
T2 = T4[:2, :2]


@pytest.mark.parametrize("T", [T2, np.diag([0.9, 0.0]), np.outer([1.0, -0.5], [1.0, -0.5])])
def test_without_v_the_integral_is_exact(T: np.ndarray) -> None:
    parts = {"mean": "y ~ 1 + x + (1 + x | g)", "variance": "~ 1 + w"}
    problem = cases.problem_of(parts)
    design = problem.design
    # a Cholesky factor of a singular T is nowhere exact, so T is read back
    free = cases.given(problem, GAMMA, DELTA, T, NONE)
    placement, at = cases.settled(problem, free)
    estimates = canonical(problem, free)
    used = np.array([[estimates[4], estimates[5]], [estimates[5], estimates[6]]])
    np.testing.assert_allclose(used, T, atol=1e-6)
    expected = marginal_loglik(design, GAMMA, DELTA, used)
    np.testing.assert_allclose(at.by_group, expected, rtol=1e-10, atol=1e-9)
    means, covariances = effects(problem, free, placement)
    by_hand = conditional_effects(design, GAMMA, DELTA, used)
    np.testing.assert_allclose(means, by_hand[0], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(covariances, by_hand[1], rtol=1e-8, atol=1e-8)


def test_one_group_by_scipy() -> None:
    problem = cases.problem_of(cases.DESIGNS["u"])
    _, at = cases.settled(problem, cases.given(problem, GAMMA, DELTA, np.eye(1) * 0.7, NONE))
    design = problem.design
    rows = design.group == 5
    covariance = 0.7 + np.diag(np.exp(design.variance.matrix[rows] @ DELTA))
    expected = multivariate_normal.logpdf(
        design.y[rows], design.mean.matrix[rows] @ GAMMA, covariance
    )
    assert at.by_group[5] == pytest.approx(expected, rel=1e-10)


def test_no_groups_is_the_normal_density_of_each_row() -> None:
    problem = cases.problem_of(cases.DESIGNS["no groups"])
    free = cases.given(problem, GAMMA, DELTA, np.zeros((0, 0)), NONE)
    at = problem.evaluate(free)
    design = problem.design
    log_variance = design.variance.matrix @ DELTA
    r = design.y - design.mean.matrix @ GAMMA
    expected = -0.5 * (np.log(2 * np.pi) + log_variance + r**2 * np.exp(-log_variance))
    np.testing.assert_allclose(at.by_group, expected, rtol=1e-12)


# --- coordinates --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [n for n in cases.DESIGNS if "level2" not in n])
def test_canonical_parameters_come_back(name: str) -> None:
    data = cases.frame()
    data = data.assign(x=50 + 10 * data["x"], y=100 * data["y"])  # other units than one
    problem = cases.problem_of(cases.DESIGNS[name], data)
    design = problem.design
    q, pairs = len(design.effects), design.constant_tau_pairs
    rng = np.random.default_rng(4)
    T = np.zeros((q, q))
    for number in set(design.block):
        own = [i for i in range(q) if design.block[i] == number]
        root = rng.normal(size=(len(own), len(own)))
        T[np.ix_(own, own)] = root @ root.T + 0.1 * np.eye(len(own))
    lam = rng.normal(size=len(design.latent_terms))
    free = free_of(problem, GAMMA, DELTA, T, lam)
    rho = [T[a, b] / np.sqrt(T[a, a] * T[b, b]) for a, b in design.constant_rho_pairs]
    expected = np.concatenate([GAMMA, DELTA, lam, [T[p] for p in pairs], rho])
    np.testing.assert_allclose(canonical(problem, free), expected, rtol=1e-7, atol=1e-9)


# --- nodes and blocks -----------------------------------------------------------------------
def test_a_rule_integrates_polynomials_of_the_normal() -> None:
    used = rule(2, 5)
    weight = np.exp(used.log_weight) * np.exp(-0.5 * (used.x**2).sum(axis=1)) / (2 * np.pi)
    assert weight.sum() == pytest.approx(1)
    assert (weight * used.x[:, 0] ** 4 * used.x[:, 1] ** 2).sum() == pytest.approx(3)
    assert rule(0, 7).x.shape == (1, 0)


def test_nodes_find_a_narrow_posterior_far_from_the_prior() -> None:
    centre, sd = np.array([4.5, -0.3]), np.array([0.01, 0.3])
    placement, used = Placement.prior(2, 1), rule(1, 9)
    for _ in range(40):
        z = placement.nodes(used)
        loglik = -0.5 * ((z[..., 0] - centre[:, None]) / sd[:, None]) ** 2
        found, p = placement.integrate(used, z, loglik)
        placement, step = placement.moved(used, p)
    both = 1 / (1 / sd**2 + 1)  # the prior pulls a little
    np.testing.assert_allclose(placement.mu[:, 0], both * centre / sd**2, rtol=1e-6)
    np.testing.assert_allclose(placement.S[:, 0, 0] ** 2, both, rtol=1e-6)
    expected = 0.5 * np.log(both) - 0.5 * centre**2 / (sd**2 + 1)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert step < 1e-6


def test_blocks_hold_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    sizes = np.concatenate([rng.integers(1, 40, 60), [2000, 1]])
    group = rng.permutation(np.repeat(np.arange(62), sizes))
    y, X = rng.normal(size=len(group)), rng.normal(size=(len(group), 2))
    monkeypatch.setattr(blocks, "CELLS", 4000)
    made = blocks.make_blocks(y, X, X, X, X, group, 7)
    assert len(made) > 3
    order = np.concatenate([b.groups for b in made])
    assert sorted(order) == list(range(62))
    for block in made:
        np.testing.assert_array_equal(block.size, sizes[block.groups])
        np.testing.assert_allclose(block.y.sum(axis=1), np.bincount(group, y)[block.groups])
        products = block.products
        np.testing.assert_allclose(products[..., 1], block.Z[..., 0] * block.Z[..., 1])
        assert not block.constant
        for own, number in zip(block.y, block.groups, strict=True):
            np.testing.assert_array_equal(np.sort(own[own != 0]), np.sort(y[group == number]))


@pytest.mark.parametrize("name", ["2u 2v", "uv", "linear raw 2u", "level2"])
def test_blocks_of_any_size_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cases.problem_of(cases.DESIGNS[name])
    free = cases.at_random(problem, 7)
    placement, at = cases.settled(problem, free)
    monkeypatch.setattr(blocks, "CELLS", 1)
    alone = cases.problem_of(cases.DESIGNS[name])
    assert len(alone.blocks) == 8 > len(problem.blocks)
    again = alone.evaluate(free, placement, fixed=True)
    np.testing.assert_allclose(again.by_group, at.by_group, rtol=1e-12)
    np.testing.assert_allclose(again.scores, at.scores, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["uv", "u, v", "linear standardised", "quadratic raw"])
def test_an_effect_of_the_variance_constant_within_groups_is_no_special_case(name: str) -> None:
    """The quick sums for a constant A give what the general ones do."""
    from dataclasses import replace

    problem = cases.problem_of(cases.DESIGNS[name])
    assert all(block.constant for block in problem.blocks)
    general = replace(problem, blocks=tuple(replace(b, constant=False) for b in problem.blocks))
    free = cases.at_random(problem, 8)
    placement, at = cases.settled(problem, free)
    again = general.evaluate(free, placement, fixed=True)
    np.testing.assert_allclose(again.by_group, at.by_group, rtol=1e-12)
    np.testing.assert_allclose(again.scores, at.scores, rtol=1e-9, atol=1e-10)


def test_parameters_outside_the_model_have_no_likelihood() -> None:
    problem = cases.problem_of(cases.DESIGNS["level2"])
    free = np.zeros(problem.size)
    law = problem.law
    start = sum(problem.sizes[:2])
    # correlations of 0.96, -0.96 and 0.96 of three effects are not those of anything
    for pair, value in {(0, 1): 2.0, (0, 2): -2.0, (1, 2): 2.0}.items():
        free[start + law.slices[pair].start] = value  # type: ignore[attr-defined]
    at = problem.evaluate(free)
    assert at.loglik == -np.inf and at.scores is None
    assert problem.evaluate(np.full(problem.size, np.nan)).loglik == -np.inf


def test_a_rotation_does_not_depend_on_signs() -> None:
    """The variance function's own coordinate points one way, so that nodes stay where they are."""
    problem = cases.problem_of(cases.DESIGNS["linear raw 2u"])
    u = len(problem.design.mean_effects)
    for seed in range(6):
        free = cases.at_random(problem, seed)
        F, found = problem.split(free)  # type: ignore[misc]
        assert found.turn is not None and F.shape[1:] == (3, 3)
        assert found.factor.C[0, 0, 0] > 0
        # a rotation: T is as it was
        whole = np.concatenate([found.factor.B, found.factor.G], axis=2)
        np.testing.assert_allclose(
            whole @ whole.swapaxes(1, 2), F[:, :u] @ F[:, :u].swapaxes(1, 2), atol=1e-12
        )
