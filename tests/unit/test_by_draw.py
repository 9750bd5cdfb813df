"""The marginal log-likelihood at each draw, against normal densities, grids and agq."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
from marginal_cases import DESIGNS, SHARED, frame, loglik_given_v, moments_by_grid, simulated

import bridge
from bridge import names
from bridge.design import Design, make_design
from bridge.engines.fake import Fake
from bridge.errors import NotAvailable
from bridge.marginal import by_draw
from bridge.marginal.by_draw import free_draws, marginal_by_draw
from bridge.marginal.problem import make_problem
from bridge.result import Result
from bridge.spec import ModelSpec

#: A model of each structure, as maximum likelihood can fit it.
FITTED: dict[str, dict[str, Any]] = {
    "uv": SHARED,
    "no v": {"mean": "y ~ 1 + x + (1 + x | g)", "variance": "~ 1 + w"},
    "||": {"mean": "y ~ 1 + x + (1 + x || g)", "variance": "~ 1 + w + (1 | g)"},
    "level2": SHARED
    | {"level2": {"tau[u:Intercept,u:Intercept]": "~ k", "rho[u:Intercept,v:Intercept]": "~ k"}},
    "level2, rho constant": SHARED | {"level2": {"tau[u:Intercept,u:Intercept]": "~ k"}},
    "linear": DESIGNS["linear standardised"],
    "raw quadratic": DESIGNS["quadratic raw without v"],
}


def posterior(design: Design, draws: int = 6, seed: int = 1) -> xr.Dataset:
    """Return draws of a model with a constant T, some of them far apart."""
    rng, q = np.random.default_rng(seed), len(design.effects)
    p, k = len(design.mean.labels), len(design.variance.labels)
    tau = np.zeros((2, draws, len(design.tau_pairs)))
    for c, d in np.ndindex(2, draws):
        root = np.exp(rng.uniform(-3, 0)) * (np.eye(q) + 0.3 * rng.normal(size=(q, q)))
        T = root @ root.T
        T *= np.equal.outer(design.block, design.block)
        tau[c, d] = [T[pair] for pair in design.tau_pairs]
    return xr.Dataset(
        {
            "gamma": (("chain", "draw", "mean_term"), rng.normal(size=(2, draws, p))),
            "delta": (("chain", "draw", "variance_term"), 0.5 * rng.normal(size=(2, draws, k))),
            "tau": (("chain", "draw", "tau_pair"), tau),
        },
        {
            "chain": [0, 1],
            "draw": range(draws),
            "tau_pair": [design.pair_label(pair) for pair in design.tau_pairs],
        },
    )


def matrix(design: Design, tau: np.ndarray) -> np.ndarray:
    T = np.zeros((len(design.effects), len(design.effects)))
    for value, (a, b) in zip(tau, design.tau_pairs, strict=True):
        T[a, b] = T[b, a] = value
    return T


@pytest.mark.parametrize("case", ["u", "level2 of u"])
def test_without_effects_in_the_variance_it_is_a_normal_density(case: str) -> None:
    parts = {k: v for k, v in DESIGNS[case].items() if k != "level2"}
    design = make_design(ModelSpec(**parts), frame())
    p = posterior(design)
    found = marginal_by_draw(design, p)
    assert found.shape == (2, 6, len(design.group_labels))
    for c, d, j in np.ndindex(*found.shape):
        rows, at = design.group == j, p.isel(chain=c, draw=d)
        Z, T = design.Z[rows], matrix(design, at["tau"].values)
        variance = np.exp(design.variance.matrix[rows] @ at["delta"].values)
        law = stats.multivariate_normal(
            design.mean.matrix[rows] @ at["gamma"].values, Z @ T @ Z.T + np.diag(variance)
        )
        assert found[c, d, j] == pytest.approx(law.logpdf(design.y[rows]), abs=1e-9)


@pytest.mark.parametrize("case", ["uv", "u, v", "v slope alone"])
def test_with_one_effect_in_the_variance_it_is_the_integral_on_a_grid(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = make_design(ModelSpec(**DESIGNS[case]), frame())
    p = posterior(design)
    found = marginal_by_draw(design, p)
    monkeypatch.setattr(by_draw, "NODES", {1: 31})
    fine = marginal_by_draw(design, p)
    for c, d in np.ndindex(2, 6):
        at = p.isel(chain=c, draw=d)
        T = matrix(design, at["tau"].values)
        exact = loglik_given_v(design, at["gamma"].values, at["delta"].values, T, 801)
        np.testing.assert_allclose(found[c, d], exact, atol=5e-4)
        np.testing.assert_allclose(fine[c, d], exact, atol=1e-6)


def test_with_both_effects_on_a_grid() -> None:
    design = make_design(ModelSpec(**SHARED), frame())
    p = posterior(design, draws=1, seed=3)
    at = p.isel(chain=0, draw=0)
    T = matrix(design, at["tau"].values)
    exact, _, _ = moments_by_grid(design, at["gamma"].values, at["delta"].values, T, np.zeros(0))
    np.testing.assert_allclose(marginal_by_draw(design, p)[0, 0], exact, atol=1e-4)


def test_with_two_effects_in_the_variance_it_is_the_integral_on_a_grid() -> None:
    design = make_design(ModelSpec(**DESIGNS["2u 2v"]), simulated(4, 12))
    p = posterior(design, draws=1)
    found = marginal_by_draw(design, p)
    for c, d in np.ndindex(2, 1):
        at = p.isel(chain=c, draw=d)
        T = matrix(design, at["tau"].values)
        exact = loglik_given_v(design, at["gamma"].values, at["delta"].values, T, 121)
        np.testing.assert_allclose(found[c, d], exact, atol=5e-4)


# --- agq's own ------------------------------------------------------------------------------------
def as_draws(result: Result, design: Design) -> xr.Dataset:
    """Return the estimates of a fit as two chains of one draw."""
    labels = {
        "gamma": ("mean_term", list(design.mean.labels)),
        "delta": ("variance_term", list(design.variance.labels)),
        "lambda_": ("latent_term", list(design.latent_terms)),
        "tau": ("tau_pair", [design.pair_label(p) for p in design.constant_tau_pairs]),
        "rho": ("rho_pair", [design.pair_label(p) for p in design.constant_rho_pairs]),
        "kappa": ("kappa_term", [names.kappa_label(*t) for t in design.kappa_terms]),
    }
    data, coords = {}, {"chain": [0, 1], "draw": [0]}
    for name, (dim, own) in labels.items():
        if own:
            values = [result.estimate(names.flat(name, label)) for label in own]
            data[name] = (("chain", "draw", dim), np.tile(values, (2, 1, 1)))
            coords[dim] = own
    return xr.Dataset(data, coords)


@pytest.mark.parametrize("case", FITTED)
def test_at_agq_s_estimates_it_is_agq_s_log_likelihood(case: str) -> None:
    spec, data = ModelSpec(**FITTED[case]), simulated(30, 8, rho=0.7, slope=0.5)
    result, design = bridge.fit(spec, data, "agq"), make_design(spec, data)
    found = marginal_by_draw(design, as_draws(result, design))
    assert found.shape == (2, 1, 30)
    assert found[0].sum() == pytest.approx(result.loglik, abs=5e-3)
    problem = make_problem(design)
    free = free_draws(problem, as_draws(result, design))
    again = problem.evaluate(free[1], scores=False).loglik
    assert again == pytest.approx(result.loglik, abs=1e-5)


# --- idata ----------------------------------------------------------------------------------------
def test_idata_holds_it_beside_that_of_the_rows(tmp_path: Path) -> None:
    spec, data = ModelSpec(**SHARED), simulated(12, 4)
    both = ("log_likelihood", "marginal_log_likelihood")
    made = bridge.fit(spec, data, "fake", chains=2, draws=15, seed=1, include=both)
    held = made.idata["log_likelihood"]
    assert list(held.data_vars) == ["y", "y_marginal"]
    assert held["y"].dims == ("chain", "draw", "obs")
    assert held["y_marginal"].dims == ("chain", "draw", "g")
    assert list(held["g"].values) == [str(j) for j in range(12)]
    expected = marginal_by_draw(make_design(spec, data), made.idata["posterior"])
    np.testing.assert_array_equal(held["y_marginal"].values, expected)
    again = bridge.load(made.save(tmp_path / "r.nc"))
    np.testing.assert_array_equal(again.idata["log_likelihood"]["y_marginal"].values, expected)
    alone = bridge.fit(
        spec, data, "fake", chains=2, draws=15, seed=1, include="marginal_log_likelihood"
    )
    assert list(alone.idata["log_likelihood"].data_vars) == ["y_marginal"]


def test_a_draw_without_a_covariance_matrix_has_none_and_the_next_one_has() -> None:
    spec = ModelSpec(**FITTED["level2"])
    data = simulated(10, 4)
    design = make_design(spec, data)
    one = as_draws(bridge.fit(spec, data, "agq"), design).isel(chain=[0])
    draws = xr.concat([one, one, one], dim="draw").assign_coords(draw=[0, 1, 2])
    draws["kappa"][0, 1, 0] = np.nan
    found = marginal_by_draw(design, draws)
    assert np.isneginf(found[0, 1]).all()
    np.testing.assert_allclose(found[0, 2], found[0, 0], atol=1e-9)


REFUSED: dict[str, ModelSpec] = {
    "no groups": ModelSpec("y ~ 1 + x"),
    "Student-t": ModelSpec(**SHARED, random_effects="student_t"),
    "four effects": ModelSpec("y ~ 1 + (1 | g)", "~ 1 + (1 + x + w + k | g)"),
    "name": ModelSpec("y ~ 1 + (1 | y_marginal)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_available_is_said_before_anything_runs(
    case: str, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    data = simulated(12, 6)
    data = data.assign(y_marginal=data["g"], k=data["x"] * data["w"])
    monkeypatch.setattr(Fake, "run", lambda *_: pytest.fail("it ran"))
    with pytest.raises(NotAvailable) as caught:
        bridge.fit(REFUSED[case], data, "fake", draws=5, seed=1, include="marginal_log_likelihood")
    golden(f"messages/marginal_{case.replace(' ', '_')}.txt", str(caught.value))
