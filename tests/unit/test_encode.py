"""The algebra of terms as columns, pieces and checks of rank."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import formula
from bridge.columns import Factor
from bridge.encode import Encoded, check_rank, encode
from bridge.errors import CollinearError, SpecError

COLUMNS = {
    "x": np.array([1.0, 2, 3, 5, 8, 13]),
    "f": Factor(np.array([0, 1, 2, 0, 1, 2]), ("lo", "mid", "hi")),
    "p1": np.array([1.0, 0, 1, 0, 1, 1]),
    "p2": np.array([0.0, 1, 1, 0, 2, 1]),
}


def encoded(source: str) -> Encoded:
    node = formula.parse(f"~ {source}").fixed
    parts = {atom: [formula.text(atom)] for atom in formula.atoms(node)}
    for atom in parts:
        if isinstance(atom, formula.Call):
            parts[atom] = ["p1", "p2"]
    return encode(node, parts, COLUMNS, 6)


def test_pieces_say_what_each_column_multiplies() -> None:
    found = encoded("1 + x * f")
    assert found.terms == ((), ("x",), ("f",), ("x", "f"))
    assert found.pieces == (
        (),
        (("x", None),),
        (("f", "mid"),),
        (("f", "hi"),),
        (("x", None), ("f", "mid")),
        (("x", None), ("f", "hi")),
    )
    assert found.intercept
    assert not encoded("0 + x").intercept


@pytest.mark.parametrize("source", ["1 + x * f", "0 + f", "1 + f + f:x", "0 + f:x"])
def test_pieces_multiply_to_the_matrix(source: str) -> None:
    found = encoded(source)
    for position, piece in enumerate(found.pieces):
        product = np.ones(6)
        for name, level in piece:
            column = COLUMNS[name]
            if isinstance(column, Factor):
                product = product * (column.codes == column.levels.index(str(level)))
            else:
                product = product * column
        np.testing.assert_array_equal(found.matrix[:, position], product)


def test_a_polynomial_is_several_columns_of_one_atom() -> None:
    found = encoded("poly(x, 2)")
    assert found.labels == ("Intercept", "p1", "p2")
    np.testing.assert_array_equal(found.matrix[:, 2], COLUMNS["p2"])


def rank(*columns: list[float]) -> None:
    matrix = np.column_stack([np.asarray(c, dtype=float) for c in columns])
    labels = tuple("abcdef"[: matrix.shape[1]])
    check_rank(Encoded(matrix, labels, (), ()), "mean")


def test_rank() -> None:
    rank([1, 1, 1], [1, 2, 3])
    rank([1e8, 1, 1], [1e-8, 2e-8, 3e-8])
    with pytest.raises(CollinearError, match="c is a linear combination of a, b;"):
        rank([1, 1, 1, 1], [1, 2, 3, 4], [3, 4, 5, 6])
    with pytest.raises(CollinearError, match="d is a linear combination of b;"):
        rank([1, 1, 1, 1], [1, 2, 3, 4], [0, 0, 0, 1], [2, 4, 6, 8])
    with pytest.raises(CollinearError, match="b is zero in every row"):
        rank([1, 1], [0, 0])
    with pytest.raises(CollinearError):
        rank([1, 1], [1, 2], [3, 5])
    with pytest.raises(SpecError, match="no terms left"):
        check_rank(Encoded(np.zeros((3, 0)), (), (), ()), "variance")
