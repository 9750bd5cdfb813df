"""Least squares of a few rows, where it may be that there is no solution; pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: The share of a column that others must leave unexplained, as for a design.
_DEPENDENT = 1e-7
#: Relative to the outcome, the size of residuals that are rounding.
_ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A regression of n rows on p columns.

    Attributes
    ----------
    coefficients : (p,) array
        NaN where they are not determined.
    unscaled : (p, p) array
        Their covariance at a residual variance of one; NaN where they are not determined.
    rss : float
        Residual sum of squares.
    df : int
        n - p.
    n : int
        Rows.
    note : str
        Why there are no coefficients; empty where there are.
    """

    coefficients: np.ndarray
    unscaled: np.ndarray
    rss: float
    df: int
    n: int
    note: str = ""

    @property
    def found(self) -> bool:
        """Whether the rows determine the coefficients."""
        return not self.note

    @property
    def sigma(self) -> float:
        """The residual SD; NaN without degrees of freedom."""
        return float(np.sqrt(self.rss / self.df)) if self.found and self.df else float("nan")

    def errors(self, sigma: float) -> np.ndarray:
        """Return the standard errors (p,) at a residual SD."""
        found: np.ndarray = sigma * np.sqrt(np.diag(self.unscaled))
        return found


def least_squares(X: np.ndarray, y: np.ndarray, labels: Sequence[str]) -> LeastSquares:
    """Regress y on the columns of X.

    Parameters
    ----------
    X : (n, p) array
        The columns.
    y : (n,) array
        The outcome.
    labels : sequence of str
        What the columns are called in a note.
    """
    n, p = X.shape
    note = _undetermined(X, labels)
    if note:
        return LeastSquares(np.full(p, np.nan), np.full((p, p), np.nan), np.nan, 0, n, note)
    length = np.linalg.norm(X, axis=0)
    Q, R = np.linalg.qr(X / length)
    inverse = np.linalg.inv(R) / length[:, None]
    coefficients = inverse @ (Q.T @ y)
    left = y - X @ coefficients
    rss = float(left @ left)
    if n == p or rss <= _ROUNDING**2 * float(y @ y):
        rss = 0.0
    return LeastSquares(coefficients, inverse @ inverse.T, rss, n - p, n)


def _undetermined(X: np.ndarray, labels: Sequence[str]) -> str:
    n, p = X.shape
    if n < p:
        return f"{n} row(s) for {p} coefficients"
    length = np.linalg.norm(X, axis=0)
    for label, size in zip(labels, length, strict=True):
        if size == 0:
            return f"{label} is zero in its {n} row(s)"
    alone = np.abs(np.diag(np.linalg.qr(X / length, mode="r")))
    dependent = np.flatnonzero(alone < _DEPENDENT)
    if len(dependent):
        return f"{labels[dependent[0]]} does not vary apart from other terms in its {n} row(s)"
    return ""
