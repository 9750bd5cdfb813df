"""The collapsed likelihood against scipy's multivariate normal, group by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from bridge.design import Design, make_design
from bridge.likelihood import conditional_effects, marginal_loglik, matrix_root
from bridge.spec import ModelSpec

GAMMA, DELTA = np.array([1.0, -0.5]), np.array([0.3, 0.7])
ROOT = np.array([[1.0, 0.0], [0.4, 0.6]])
COVARIANCES = {
    "regular": ROOT @ ROOT.T,
    "singular": np.array([[1.0, 0.5], [0.5, 0.25]]),
    "one zero": np.diag([2.0, 0.0]),
    "zero": np.zeros((2, 2)),
    "large": 1e6 * ROOT @ ROOT.T,
}


def design() -> Design:
    rng = np.random.default_rng(5)
    group = rng.permutation([0] * 5 + [1] * 3 + [2])
    frame = pd.DataFrame(
        {"y": rng.normal(size=9), "x": rng.normal(size=9), "w": rng.normal(size=9), "g": group}
    )
    return make_design(ModelSpec("y ~ x + (1 + x | g)", "~ w"), frame)


def pieces(found: Design, group: int, covariance: np.ndarray) -> tuple:
    """Return residual, Z, D and the whole covariance of one group."""
    rows = found.group == group
    residual = found.y[rows] - found.mean.matrix[rows] @ GAMMA
    Z, D = found.Z[rows], np.diag(np.exp(found.variance.matrix[rows] @ DELTA))
    return residual, Z, D, Z @ covariance @ Z.T + D


@pytest.mark.parametrize("name", COVARIANCES)
def test_marginal_loglik(name: str) -> None:
    found, covariance = design(), COVARIANCES[name]
    expected = []
    for group in range(3):
        residual, _, _, whole = pieces(found, group, covariance)
        expected.append(multivariate_normal.logpdf(residual, np.zeros(len(residual)), whole))
    got = marginal_loglik(found, GAMMA, DELTA, covariance)
    assert got.shape == (3,)
    np.testing.assert_allclose(got, expected, rtol=1e-8)


@pytest.mark.parametrize("name", COVARIANCES)
def test_conditional_effects(name: str) -> None:
    found, covariance = design(), COVARIANCES[name]
    mean, spread = conditional_effects(found, GAMMA, DELTA, covariance)
    for group in range(3):
        residual, Z, _, whole = pieces(found, group, covariance)
        gain = covariance @ Z.T @ np.linalg.inv(whole)
        size = 1e-9 * max(1.0, covariance.max())
        np.testing.assert_allclose(mean[group], gain @ residual, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            spread[group], covariance - gain @ Z @ covariance, rtol=1e-6, atol=size
        )


def test_the_root_of_a_singular_matrix() -> None:
    for covariance in COVARIANCES.values():
        root = matrix_root(covariance)
        np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-12, atol=1e-12)
    below = matrix_root(np.array([[1.0, 1.0 + 1e-15], [1.0 + 1e-15, 1.0]]))
    assert np.isfinite(below).all()


def test_effects_known_in_a_limit() -> None:
    """With a huge variance of u and hardly any residual, u interpolates."""
    frame = pd.DataFrame({"y": [3.0, 3.0, -7.0, -7.0], "g": [0, 0, 1, 1]})
    found = make_design(ModelSpec("y ~ 1 + (1 | g)"), frame)
    mean, spread = conditional_effects(found, np.zeros(1), np.array([-20.0]), np.array([[1e4]]))
    np.testing.assert_allclose(mean[:, 0], [3, -7], rtol=1e-6)
    assert (spread < 1e-8).all()
