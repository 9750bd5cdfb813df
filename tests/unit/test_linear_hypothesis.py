"""The Wald statistic of linear hypotheses against brute force, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import NotAvailable
from bridge.linear_hypothesis import first_contradiction, linear_test

RNG = np.random.default_rng(5)
ROOT = RNG.normal(size=(5, 5))
V = ROOT @ ROOT.T
B = RNG.normal(size=5)
L = RNG.normal(size=(3, 5))
R = RNG.normal(size=3)


def brute(L: np.ndarray, b: np.ndarray, V: np.ndarray, r: np.ndarray) -> float:
    gap = L @ b - r
    return float(gap @ np.linalg.pinv(L @ V @ L.T) @ gap)


def test_of_full_rank() -> None:
    found = linear_test(L, B, V, R)
    assert found.rank == 3
    assert found.statistic == pytest.approx(brute(L, B, V, R), rel=1e-10)
    np.testing.assert_allclose(found.estimate, L @ B)
    np.testing.assert_allclose(found.se, np.sqrt(np.diag(L @ V @ L.T)))


def test_rows_that_follow_from_others_add_nothing() -> None:
    more = np.vstack([L, 2 * L[0], L[1] - 3 * L[2]])
    r = np.concatenate([R, [2 * R[0], R[1] - 3 * R[2]]])
    found = linear_test(more, B, V, r)
    assert first_contradiction(more, V, r) is None
    assert found.rank == 3
    assert found.statistic == pytest.approx(brute(L, B, V, R), rel=1e-9)
    assert found.statistic == pytest.approx(brute(more, B, V, r), rel=1e-7)


@pytest.mark.parametrize("units", [np.ones(5), 10.0 ** np.array([-9, -3, 0, 4, 9])])
def test_neither_units_nor_how_rows_are_scaled_matter(units: np.ndarray) -> None:
    scaled = np.array([1e-8, -3.0, 1e7])
    found = linear_test(
        scaled[:, None] * L / units, B * units, V * np.outer(units, units), scaled * R
    )
    assert found.rank == 3
    assert found.statistic == pytest.approx(brute(L, B, V, R), rel=1e-9)
    mixed = RNG.normal(size=(3, 3))
    assert linear_test(mixed @ L, B, V, mixed @ R).statistic == pytest.approx(
        brute(L, B, V, R), rel=1e-9
    )


def test_the_first_row_that_contradicts() -> None:
    more = np.vstack([L, L[0] + L[1], np.ones(5)])
    r = np.concatenate([R, [R[0] + R[1] + 1e-4, 0.0]])
    assert first_contradiction(more, V, r) == 3
    assert first_contradiction(more, V, np.concatenate([R, [R[0] + R[1], 7.0]])) is None
    assert first_contradiction(np.vstack([L[:1], L[:1]]), V, np.zeros(2)) is None
    assert first_contradiction(np.vstack([L[:1], 1e-9 * L[:1]]), V, np.array([0, 1e-9])) == 1


def test_a_covariance_that_is_singular_along_the_rows() -> None:
    thin = V - np.outer(V @ L[0], V @ L[0]) / (L[0] @ V @ L[0])  # L[0] b has no variance
    with pytest.raises(NotAvailable, match="singular"):
        linear_test(L, B, thin, R)
    assert linear_test(np.eye(5)[:2], B, thin, R[:2]).rank == 2
    with pytest.raises(NotAvailable, match="singular"):
        linear_test(np.eye(5)[:1], B, np.zeros((5, 5)), np.zeros(1))
