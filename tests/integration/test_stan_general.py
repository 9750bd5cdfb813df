"""The general Stan program against NumPy, against the plain one, and against maximum likelihood."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge.engines import stan_backends
from bridge.engines.stan_program import GENERAL, program_text
from bridge.errors import EngineFailed

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import stan_reference as reference

pytestmark = pytest.mark.stan

# blocks, effects in the mean, centred, further arguments of the data, what is added
CASES: dict[str, tuple[list[int], int, list[int], dict, dict]] = {
    "plain": ([1, 1, 2], 2, [1, 0, 0], {"lkj": 1.7}, {}),
    "no effects": ([], 0, [], {}, {}),
    "another order": ([1, 1, 2], 1, [1, 0, 0], {"places": [3, 1, 2]}, {"latent": 2}),
    "no mean coefficients": ([1], 1, [0], {"p": 0}, {}),
    "Student-t": ([1, 1, 1], 2, [1, 0, 0], {"lkj": 2.0}, {"t_effects": True}),
    "Student-t, all centred": ([1, 2], 1, [1, 1], {}, {"t_effects": True}),
    "linear": ([1, 1, 2], 2, [1, 0, 0], {}, {"latent": 1}),
    "quadratic": ([1, 1], 2, [0, 1], {}, {"latent": 2}),
    "linear, raw": ([1], 1, [0], {}, {"latent": 1, "standardised": False}),
    "quadratic, raw, Student-t": (
        [1, 2], 1, [1, 0], {}, {"latent": 2, "standardised": False, "t_effects": True},
    ),
    "linear, standardised, Student-t": ([1, 2], 1, [0, 0], {}, {"latent": 1, "t_effects": True}),
    "an SD": ([1, 1], 1, [1, 0], {"lkj": 2.0}, {"functions": {(0, 0): 2}}),
    "all of two": (
        [1, 1], 1, [1, 0], {}, {"functions": {(0, 0): 2, (1, 0): 2, (1, 1): 1}},
    ),
    "one correlation of three": (
        [1, 1, 1], 2, [0, 1, 0], {"lkj": 1.4}, {"functions": {(1, 0): 2}},
    ),
    "two blocks, one with functions": (
        [1, 2, 1, 2, 2], 2, [0, 1, 1, 0, 0], {"lkj": 0.7},
        {"functions": {(1, 1): 1, (2, 0): 2}},
    ),
    "everything": (
        [1, 2, 2], 1, [1, 0, 1], {"lkj": 1.3},
        {"functions": {(0, 0): 2, (2, 1): 1, (2, 2): 2}, "latent": 2, "t_effects": True},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def program() -> str:
    return program_text(GENERAL)


def case_of(name: str) -> dict:
    block, qu, centred, other, more = CASES[name]
    return reference.extended(reference.make_data(block, qu, centred, **other), **more)


@pytest.mark.parametrize("sparse", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_density_equals_numpy_with_every_constant(name: str, sparse: int, program: str) -> None:
    data, rng = case_of(name) | {"sparse": sparse}, np.random.default_rng(len(name))
    at = [reference.general_point(data, rng) for _ in range(10)]
    theirs = stan_backends.log_density(program, *reference.as_sampled(data, at))
    ours = np.array([reference.general_log_density(data, point) for point in at])
    assert np.ptp(ours) > 1.0  # the points do differ
    np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", ["Student-t", "all of two", "everything"])
def test_what_the_rows_tell_leaves_the_density_as_it_is(name: str, program: str) -> None:
    data, rng = case_of(name), np.random.default_rng(7)
    at = [reference.general_point(data, rng) for _ in range(10)]
    ours = np.array([reference.general_log_density(data, point) for point in at])
    told, moved, slopes = reference.informed(data, at)
    theirs = stan_backends.log_density(program, told, moved)
    np.testing.assert_allclose(theirs + slopes, ours, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", ["plain", "no mean coefficients", "no effects"])
def test_the_two_references_are_one_where_nothing_is_added(name: str) -> None:
    data, rng = case_of(name), np.random.default_rng(1)
    point = reference.general_point(data, rng)
    expected = reference.log_density(data, point)
    assert reference.general_log_density(data, point) == pytest.approx(expected, rel=1e-12)


def test_given_the_mixing_integrated_out_effects_are_multivariate_t() -> None:
    # of the reference itself: one group, mixing by quadrature
    data = reference.extended(reference.make_data([1, 1], 1, [1, 1], groups=2), t_effects=True)
    point = reference.general_point(data, np.random.default_rng(3))
    T, nu = reference.covariances(data, point)[0], point["nu"][0]
    at = np.linspace(-12, 12, 4001)  # log mixing
    w = np.exp(at)
    inside = [stats.multivariate_normal.logpdf(point["raw"][:, 0], [0, 0], x * T) for x in w]
    density = np.exp(np.array(inside) + stats.invgamma.logpdf(w, nu / 2, scale=nu / 2)) * w
    expected = stats.multivariate_t.pdf(point["raw"][:, 0], [0, 0], T, df=nu)
    assert np.trapezoid(density, at) == pytest.approx(expected, rel=1e-8)


def test_a_matrix_that_is_not_positive_definite_is_rejected(program: str) -> None:
    data = case_of("one correlation of three")
    point = reference.general_point(data, np.random.default_rng(2))
    point["free_rho"] = np.array([0.9, -0.9])  # with 0.9 and -0.9 the third must be negative
    data["H"] = np.ones_like(data["H"])
    point["kappa"] = np.array([1.0, 0.0])
    with pytest.raises(EngineFailed, match="not positive definite"):
        stan_backends.log_density(program, *reference.as_sampled(data, [point]))


# --- whole fits: with much information the posterior mean is near maximum likelihood --------------
def simulated(change: Callable[..., tuple[np.ndarray, np.ndarray]], groups: int) -> pd.DataFrame:
    """Return 12 rows a group; ``change`` makes the group's effects of the mean and log variance."""
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(groups), 12)
    w = (np.arange(groups) % 2).astype(float)
    u, log_variance = change(rng, w)
    sigma = np.exp(0.5 * log_variance[group])
    y = 5 + u[group] + sigma * rng.normal(size=len(group))
    return pd.DataFrame({"y": y, "g": group, "w": w[group]})


def linear(rng: np.random.Generator, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u = 2.0 * rng.normal(size=len(w))
    return u, 0.5 + 0.4 * u / 2 + 0.3 * rng.normal(size=len(w))


def functions(rng: np.random.Generator, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, e = rng.normal(size=(2, len(w)))
    rho = np.tanh(0.3 + 0.5 * w)
    sd = np.exp(0.5 * (1 + 0.8 * w))
    return sd * z, 0.5 + 0.5 * (rho * z + np.sqrt(1 - rho**2) * e)


U = "u:Intercept"
FITS: dict[str, tuple[Callable[..., Any], dict]] = {
    "linear": (
        linear,
        {"mean": "y ~ 1 + (1 | g)", "variance": "~ 1 + (1 | g)", "association": "linear"},
    ),
    "functions": (
        functions,
        {"mean": "y ~ 1 + (1 | s | g)", "variance": "~ 1 + (1 | s | g)"}
        | {"level2": {f"tau[{U},{U}]": "~ w", f"rho[{U},v:Intercept]": "~ w"}}
        # flat, the correlation of a group could be as near one as it likes
        | {"priors": {"kappa": "normal(0, 1)"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_the_posterior_is_about_the_maximum_of_the_likelihood(name: str) -> None:
    change, parts = FITS[name]
    spec, data = bridge.ModelSpec(**parts), simulated(change, 150)
    ml = bridge.fit(spec.replace(priors={}), data)
    found = bridge.fit(
        spec, data, engine="stan", chains=2, warmup=250, draws=250, seed=1, adapt_delta=0.9,
        include=("log_likelihood", "log_prior"),
    )  # fmt: skip
    both = ml.estimates.merge(found.estimates, on="parameter", suffixes=("_ml", ""))
    assert len(both) == len(ml.estimates) == len(found.estimates)
    assert list(ml.estimates["scale"]) == list(found.estimates["scale"])
    z = (both["estimate"] - both["estimate_ml"]) / both["se"]
    assert z.astype(float).abs().max() < 1.0, both.assign(z=z)
    ratio = (both["se"] / both["se_ml"]).astype(float)
    assert ratio.between(0.7, 1.5).all(), both.assign(ratio=ratio)
    assert (found.estimates["r_hat"] < 1.2).all()  # short chains
    if name == "functions":
        assert "kappa" in found.idata["posterior"]
        own, other = (r.level2(at={"w": 1}) for r in (found, ml))
        np.testing.assert_allclose(own, other, rtol=0.25, atol=0.05)


def test_student_t_effects_and_their_degrees_of_freedom() -> None:
    def heavy(rng: np.random.Generator, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 2.0 * rng.standard_t(3, len(w)), np.zeros(len(w))

    spec = bridge.ModelSpec("y ~ 1 + (1 | g)", random_effects="student_t")
    found = bridge.fit(
        spec, simulated(heavy, 400), engine="stan", chains=2, warmup=250, draws=250, seed=2,
        include=("log_likelihood", "log_prior"),
    )  # fmt: skip
    frame = found.estimates.set_index("parameter")
    truth = {"gamma[Intercept]": 5.0, "nu": 3.0, "tau[u:Intercept,u:Intercept]": 4.0}
    for parameter, value in truth.items():
        row = frame.loc[parameter]
        assert abs(row["estimate"] - value) < 3 * row["se"], row
    assert frame.loc["nu", "upper"] < 12  # normal effects are ruled out
    assert (found.idata["posterior"]["nu"] > 1).all()
