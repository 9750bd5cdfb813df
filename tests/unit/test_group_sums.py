"""Sums and products by group, against loops."""

from __future__ import annotations

import numpy as np

from bridge import group_sums


def test_sums_and_products_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(1)
    group = rng.integers(0, 5, 40)
    group[group == 3] = 0  # a group without rows
    left, right = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    rows = [group == j for j in range(5)]
    np.testing.assert_allclose(
        group_sums.sums(left[:, 0], group, 5), [left[r, 0].sum() for r in rows], atol=1e-12
    )
    np.testing.assert_allclose(
        group_sums.sums(left, group, 5), [left[r].sum(axis=0) for r in rows], atol=1e-12
    )
    for other in (right, left):
        np.testing.assert_allclose(
            group_sums.products(left, other, group, 5),
            [left[r].T @ other[r] for r in rows],
            atol=1e-12,
        )


def test_no_columns() -> None:
    none = np.zeros((4, 0))
    assert group_sums.products(none, np.ones((4, 2)), np.zeros(4, int), 1).shape == (1, 0, 2)
    assert group_sums.sums(none, np.zeros(4, int), 2).shape == (2, 0)
