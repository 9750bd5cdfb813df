"""Normal draws around estimates: covariance matrices each, with the estimates' own covariance."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

import bridge
from bridge.errors import OptionError
from bridge.result import Result
from bridge.spec import ModelSpec

SPEC = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + (1 | s | g)")
EFFECTS = ("u:Intercept", "u:x", "v:Intercept")


def canonical(T: np.ndarray) -> np.ndarray:
    """Return tau (with covariances) and rho of a matrix, row by row."""
    later, earlier = np.tril_indices(len(T))
    i, j = np.tril_indices(len(T), -1)
    sd = np.sqrt(np.diag(T))
    return np.concatenate([T[later, earlier], T[i, j] / (sd[i] * sd[j])])


def labels(effects: tuple[str, ...]) -> list[str]:
    q = range(len(effects))
    tau = [f"tau[{effects[j]},{effects[i]}]" for i in q for j in range(i + 1)]
    return tau + [f"rho[{effects[j]},{effects[i]}]" for i in q for j in range(i)]


def made(F: np.ndarray, spread: float, effects: tuple[str, ...] = EFFECTS) -> Result:
    """Return a fit with T = F F', the elements of F independent with one standard error.

    As agq does, the covariance of the estimates is that along matrices of the rank of F, and
    what does not move has no standard error.
    """
    columns = []
    for k in range(F.size):
        step = np.zeros(F.size)
        step[k] = 1e-5
        ends = [(F + s * step.reshape(F.shape)) for s in (1, -1)]
        columns.append((canonical(ends[0] @ ends[0].T) - canonical(ends[1] @ ends[1].T)) / 2e-5)
    slope = np.stack(columns, axis=1)
    values = canonical(F @ F.T)
    names = labels(effects)
    kept = [i for i in range(len(names)) if np.abs(slope[i]).max() > 1e-4]
    known = [names[i] for i in kept]
    covariance = pd.DataFrame(spread**2 * slope[kept] @ slope[kept].T, known, known)
    return as_result(dict(zip(names, values, strict=True)), covariance, effects)


def as_result(
    estimates: dict[str, float | None], covariance: pd.DataFrame, effects: tuple[str, ...]
) -> Result:
    rows = pd.DataFrame(
        {
            "parameter": list(estimates),
            "estimate": pd.array(list(estimates.values()), dtype="Float64"),
        }
    )
    plain = bridge.fit(ModelSpec("y ~ 1"), cases.simulated(5, 4), "agq")
    return replace(
        plain, spec=SPEC, estimates=rows, effects=effects, parameter_covariance=covariance
    )


def matrices(draws: pd.DataFrame, made: Result) -> np.ndarray:
    """Return each draw as a covariance matrix; what is not drawn is its estimate."""
    q = len(made.effects)
    T = np.zeros((len(draws), q, q))
    for i, b in enumerate(made.effects):
        for j, a in enumerate(made.effects[: i + 1]):
            name = f"tau[{a},{b}]"
            T[:, i, j] = T[:, j, i] = draws[name] if name in draws else made.estimate(name)
    return T


FULL = np.array([[1.0, 0, 0], [0.5, 0.8, 0], [-0.4, 0.3, 0.4]])
SINGULAR = {
    "full rank": FULL,
    "rank two": FULL[:, :2],
    "rank one": np.array([[1.0], [0.5], [-0.4]]),
    "four, rank two": np.array([[1.0, 0.2], [0.5, 0.8], [-0.4, 0.3], [0.1, -0.9]]),
    "four, rank three": np.vstack([FULL, [0.5, -0.6, 0.2]]),
}


@pytest.mark.parametrize("case", SINGULAR)
def test_small_spreads_give_the_covariance_of_the_estimates(case: str) -> None:
    """The delta method is exact in the limit, along matrices of the same rank."""
    F = SINGULAR[case]
    result = made(F, 1e-3, (*EFFECTS, "v:x")[: len(F)])
    draws = result.asymptotic_draws(4000, seed=3)
    known = result.parameter_covariance
    assert known is not None and list(draws.columns) == list(known.index)
    sd = np.sqrt(np.diag(known))
    centre = [result.estimate(name) for name in draws]
    np.testing.assert_allclose(draws.mean(), centre, atol=5e-3 * 4e-2)
    np.testing.assert_allclose(draws.cov() / np.outer(sd, sd), known / np.outer(sd, sd), atol=0.09)


@pytest.mark.parametrize("case", SINGULAR)
def test_each_draw_is_a_covariance_matrix_of_the_rank_of_the_estimate(case: str) -> None:
    F = SINGULAR[case]
    result = made(F, 0.5, (*EFFECTS, "v:x")[: len(F)])
    T = matrices(result.asymptotic_draws(1000, seed=1), result)
    values = np.linalg.eigvalsh(T) / np.trace(T, axis1=1, axis2=2)[:, None]
    assert values.min() > -1e-12
    lost = F.shape[0] - F.shape[1]
    assert (values[:, :lost] < 1e-6).all()
    assert (values[:, lost] > 1e-12).mean() > 0.99


def test_draws_of_wide_correlations_are_no_matrices_one_by_one() -> None:
    """What the test above guards against can happen: atanh of each correlation, on its own."""
    result = made(FULL, 0.5)
    names, known = labels(EFFECTS)[6:], result.parameter_covariance
    assert known is not None
    rho = np.array([result.estimate(n) for n in names])
    spread = known.loc[names, names].to_numpy() / np.outer(1 - rho**2, 1 - rho**2)
    z = np.random.default_rng(1).multivariate_normal(np.arctanh(rho), spread, 500)
    R = np.tile(np.eye(3), (500, 1, 1))
    for k, (i, j) in enumerate(zip(*np.tril_indices(3, -1), strict=True)):
        R[:, i, j] = R[:, j, i] = np.tanh(z[:, k])
    assert np.linalg.eigvalsh(R).min() < -0.01


def test_a_correlation_of_one_and_a_variance_of_zero_are_constants() -> None:
    effects = ("u:Intercept", "u:x", "v:Intercept")
    uu, ux, xx, uv, xv, vv, r_ux, r_uv, r_xv = labels(effects)
    estimates = {
        uu: 4.0, ux: -2.0, xx: 1.0, uv: 0.0, xv: 0.0, vv: 0.0, r_ux: -1.0, r_uv: None, r_xv: None,
    }  # fmt: skip
    known = [uu, ux, xx]
    covariance = pd.DataFrame(np.diag([0.5, 0.2, 0.1]) ** 2, known, known)
    draws = as_result(estimates, covariance, effects).asymptotic_draws(500, seed=2)
    assert list(draws.columns) == known
    np.testing.assert_allclose(draws[ux], -np.sqrt(draws[uu] * draws[xx]))
    assert np.log(draws[uu]).std() == pytest.approx(0.5 / 4, rel=0.1)


SMALL = {
    "a correlation of one": (cases.SHARED, {"groups": 15, "size": 4, "sd_u": 0.0, "seed": 1}),
    "rank two of three": (
        {"mean": cases._TWO, "variance": cases.SHARED["variance"]},
        {"groups": 20, "size": 5, "sd_u": 0.5, "slope": 0.3, "seed": 5},
    ),
}


@pytest.mark.parametrize("case", SMALL)
def test_a_singular_fit_of_agq(case: str) -> None:
    parts, data = SMALL[case]
    result = bridge.fit(ModelSpec(**parts), cases.simulated(**data), "agq")
    assert any("singular" in w for w in result.warnings)
    draws = result.asymptotic_draws(200, seed=1)
    assert result.parameter_covariance is not None
    assert list(draws.columns) == list(result.parameter_covariance.index)
    assert np.isfinite(draws).all(axis=None)
    T = matrices(draws, result)
    share = np.linalg.eigvalsh(T) / np.trace(T, axis1=1, axis2=2)[:, None]
    assert share.min() > -1e-9
    assert (share[:, 0] < 1e-6).all()


@pytest.mark.parametrize("draws", [0, -1, 2.5, True, "7", None])
def test_draws_that_are_no_number_of_draws(draws: Any) -> None:
    with pytest.raises(OptionError) as caught:
        made(FULL, 0.1).asymptotic_draws(draws)
    assert str(caught.value) == (
        f"asymptotic_draws: draws is a whole number of at least 1, not {draws!r}."
    )


@pytest.mark.parametrize("seed", [-1, 1.5, "a", False, None])
def test_seeds_that_are_no_seeds(seed: Any) -> None:
    with pytest.raises(OptionError, match="seed is a whole number of at least 0, not"):
        made(FULL, 0.1).asymptotic_draws(5, seed=seed)
    assert len(made(FULL, 0.1).asymptotic_draws(np.int64(5), seed=np.int64(0))) == 5
