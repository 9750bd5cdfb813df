"""The algebra of fixed and random terms: formulaic builds the columns, we label them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from bridge import formula
from bridge.columns import Factor
from bridge.errors import CollinearError, SpecError
from bridge.names import INTERCEPT

Column = np.ndarray | Factor
#: A column of a design matrix as a product: (column, level or None) each; () is the intercept.
Piece = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class Encoded:
    """Terms as numbers.

    Attributes
    ----------
    matrix : (N, k) array
        One column a coefficient.
    labels : tuple of str
        ``Intercept``, ``sector``, ``sector[Catholic]``, ``ses:sector``.
    terms : tuple of tuple of str
        The terms after the algebra, each the columns it multiplies; () is the intercept.
    pieces : tuple of Piece
        For each matrix column, the columns and levels it multiplies.
    """

    matrix: np.ndarray
    labels: tuple[str, ...]
    terms: tuple[tuple[str, ...], ...]
    pieces: tuple[Piece, ...]

    @property
    def intercept(self) -> bool:
        """Whether there is an intercept."""
        return () in self.terms


def encode(
    node: formula.Node,
    parts: Mapping[formula.Name | formula.Call, list[str]],
    columns: Mapping[str, Column],
    rows: int,
) -> Encoded:
    """Turn the algebra of terms into a labelled matrix.

    Parameters
    ----------
    node : Node
        The algebra.
    parts : mapping
        The columns every atom has become.
    columns : mapping of str to array or Factor
        Those columns, (N,) each.
    rows : int
        N.

    Returns
    -------
    Encoded
        Factors have treatment contrasts, reference first, or all levels where there is
        no intercept, as in R.

    Raises
    ------
    SpecError
        Where factors interact without a main effect beside them.
    """
    import formulaic

    used = [name for atom in formula.atoms(node) for name in parts[atom]]
    values = {name: _pandas(columns[name]) for name in dict.fromkeys(used)}
    frame = pd.DataFrame(values, index=range(rows))
    made = formulaic.model_matrix(
        formula.algebra(node, parts), frame, context={}, na_action="ignore"
    )
    labels: list[str] = []
    pieces: list[Piece] = []
    terms: list[tuple[str, ...]] = []
    origin = {name: formula.text(atom) for atom in formula.atoms(node) for name in parts[atom]}
    for structure in made.model_spec.structure:
        names = tuple(str(f).strip("`") for f in structure.term.factors if str(f) != "1")
        atoms = [origin[name] for name in names]
        for atom in atoms:
            if atoms.count(atom) > 1:  # R takes the columns of a polynomial as one
                raise SpecError(
                    f"{formula.text(node)} multiplies {atom} by itself ({':'.join(names)}); write "
                    "the products that are meant one by one."
                )
        terms.append(names)
        known = _names_of(names, columns)
        for column in structure.columns:
            if column not in known:  # formulaic parts such a term, R codes it singularly
                raise SpecError(
                    f"{':'.join(names)} stands without the main effects of its factors; "
                    f"write {' * '.join(names)}."
                )
            label, piece = known[column]
            labels.append(label)
            pieces.append(piece)
    return Encoded(np.asarray(made, dtype=float), tuple(labels), tuple(terms), tuple(pieces))


def _pandas(column: Column) -> pd.Series | pd.Categorical:
    if isinstance(column, Factor):
        # levels go as numbers: no label can be taken for another in formulaic's names
        numbers = [str(i) for i in range(len(column.levels))]
        return pd.Categorical.from_codes(column.codes, categories=numbers)
    return pd.Series(column)


def _names_of(
    names: tuple[str, ...], columns: Mapping[str, Column]
) -> dict[str, tuple[str, Piece]]:
    """Return formulaic's name of every column a term can have -> our label and its pieces."""
    if not names:
        return {"Intercept": (INTERCEPT, ())}
    choices: list[list[tuple[str, str, tuple[str, str | None]]]] = []
    for name in names:
        column = columns[name]
        if not isinstance(column, Factor):
            choices.append([(name, name, (name, None))])
            continue
        forms: list[tuple[str, str, tuple[str, str | None]]] = []
        for number, level in enumerate(column.levels):
            label = f"{name}[{level}]"
            for theirs in (f"{name}[T.{number}]", f"{name}[{number}]"):
                forms.append((theirs, label, (name, level)))
        choices.append(forms)
    return {
        ":".join(form[0] for form in combination): (
            ":".join(form[1] for form in combination),
            tuple(form[2] for form in combination),
        )
        for combination in product(*choices)
    }


#: The share of a column that others must leave unexplained; lme4's own tolerance.
_DEPENDENT = 1e-7


def check_rank(encoded: Encoded, what: str) -> None:
    """Refuse columns that are linear combinations of earlier ones.

    Raises
    ------
    CollinearError
        Naming the column and those it is a combination of.
    SpecError
        Where there is no column at all.
    """
    matrix, labels = encoded.matrix, encoded.labels
    if not labels:
        raise SpecError(f"The {what} function has no terms left; write at least ~ 1.")
    norms = np.linalg.norm(matrix, axis=0)
    for label, norm in zip(labels, norms, strict=True):
        if norm == 0:
            raise CollinearError(
                f"In the {what} function, {label} is zero in every row; leave it out."
            )
    unit = matrix / norms
    triangle = np.linalg.qr(unit)[1]
    diagonal = np.zeros(len(labels))
    diagonal[: min(triangle.shape)] = np.abs(np.diagonal(triangle))
    dependent = np.flatnonzero(diagonal < _DEPENDENT)
    if not len(dependent):
        return
    late = int(dependent[0])
    weights = np.linalg.lstsq(unit[:, :late], unit[:, late], rcond=None)[0]
    partners = [labels[i] for i in np.flatnonzero(np.abs(weights) > 1e-6)]
    raise CollinearError(
        f"In the {what} function, {labels[late]} is a linear combination of "
        f"{', '.join(partners)}; leave one of them out."
    )
