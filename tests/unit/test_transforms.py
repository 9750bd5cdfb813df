"""Every transform by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import formula
from bridge.errors import DataError
from bridge.transforms import evaluate

X = np.array([1.0, 4.0, 9.0, 2.0, 3.0])
Z = np.array([2.0, -1.0, 0.5, 3.0, 1.0])
G = np.array([0, 1, 0, 1, 1])
MEANS = np.array([5.0, 3.0, 5.0, 3.0, 3.0])

TABLE = {
    "I(x + z * 2)": X + 2 * Z,
    "I(x - z - 1)": X - Z - 1,
    "I(x / z / 2)": X / Z / 2,
    "I(-x^2)": -(X**2),
    "I(2^x^0.5)": 2 ** (X**0.5),
    "I(x^-1)": 1 / X,
    "I(1e-3 * x)": 0.001 * X,
    "log(x)": np.log(X),
    "exp(z)": np.exp(Z),
    "sqrt(x)": np.sqrt(X),
    "center(x)": X - 3.8,
    "scale(x)": (X - 3.8) / np.sqrt(((X - 3.8) ** 2).sum() / 4),
    "cvar(x, g)": MEANS,
    "dvar(x, g)": X - MEANS,
    "gsd(x, g)": np.where(G == 0, np.sqrt(32.0), 1.0),
    "cvar(log(x), g)": np.where(G == 0, np.log(9) / 2, np.log(24) / 3),
    "log(x + cvar(x, g))": np.log(X + MEANS),
    "center(dvar(x, g))": X - MEANS,
    "I(log(x) * sqrt(x))": np.log(X) * np.sqrt(X),
}


def value(text: str, x: np.ndarray = X) -> np.ndarray:
    return evaluate(formula.parse(f"~ {text}").fixed, {"x": x, "z": Z}, {"g": G})


@pytest.mark.parametrize("text", TABLE)
def test_transforms_by_hand(text: str) -> None:
    np.testing.assert_allclose(value(text), TABLE[text], rtol=1e-13)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_polynomials_are_orthonormal_and_span_the_powers(degree: int) -> None:
    found = value(f"poly(x, {degree})")
    assert found.shape == (5, degree)
    whole = np.column_stack([np.ones(5), found])
    gram = whole.T @ whole
    np.testing.assert_allclose(gram, np.diag([5.0, *np.ones(degree)]), atol=1e-12)
    powers = np.vander(X, degree + 1, increasing=True)
    assert np.linalg.matrix_rank(np.column_stack([whole, powers])) == degree + 1


@pytest.mark.parametrize(
    ("text", "row"),
    [("log(z)", 2), ("sqrt(z)", 2), ("I(1 / (x - 4))", 2), ("exp(x^9)", 2), ("I((-x)^0.5)", 1)],
)
def test_what_is_not_finite_is_refused_with_its_row(text: str, row: int) -> None:
    with pytest.raises(DataError, match=f"not a finite number in .* first in row {row} "):
        value(text)


def test_a_constant_cannot_be_scaled() -> None:
    with pytest.raises(DataError, match="scale"):
        value("scale(x)", np.full(5, 2.0))


def test_a_polynomial_needs_enough_values() -> None:
    with pytest.raises(DataError, match="degree of 2, but its column only 2 values"):
        value("poly(x, 2)", np.array([0.0, 1, 0, 1, 1]))
