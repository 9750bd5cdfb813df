"""The Wald statistic of linear hypotheses L b = r, of whatever rank; pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.errors import NotAvailable

#: Relative to the largest, a singular value of L (rows of length one) that counts as zero.
_NO_ROW = 1e-10
#: Relative to the values, how far these may be from a combination of others.
_NO_GAP = 1e-8
#: The smallest eigenvalue of a correlation matrix, relative to the largest, that counts as zero.
_NO_VARIANCE = 1e-13


@dataclass(frozen=True, eq=False)
class LinearTest:
    """Linear hypotheses, each alone and all together.

    Attributes
    ----------
    estimate, se : (m,) arrays
        L b and the roots of the diagonal of L V L'.
    statistic : float
        (L b - r)' (L V L')^- (L b - r).
    rank : int
        That of L.
    """

    estimate: np.ndarray
    se: np.ndarray
    statistic: float
    rank: int


def linear_test(
    L: np.ndarray, estimates: np.ndarray, covariance: np.ndarray, rhs: np.ndarray
) -> LinearTest:
    """Compute the Wald statistic of hypotheses that do not contradict each other.

    Parameters
    ----------
    L : (m, k) array
        Rows without a weight other than zero are not allowed.
    estimates, covariance : (k,) and (k, k) arrays
        b and V.
    rhs : (m,) array
        r.

    Raises
    ------
    NotAvailable
        Where V is singular along L.

    Notes
    -----
    Rows that follow from others add nothing: with r in the range of L, all generalised inverses
    give one statistic, which is that of an orthonormal basis of the rows.
    """
    rows, values, unit = _unit_rows(L, covariance, rhs)
    left, size, right = np.linalg.svd(rows, full_matrices=False)
    rank = int((size > _NO_ROW * size[0]).sum())
    basis = right[:rank]
    spread = basis @ (covariance / np.outer(unit, unit)) @ basis.T
    eigenvalues = np.linalg.eigvalsh(spread)
    if not eigenvalues[0] > _NO_VARIANCE * eigenvalues[-1]:
        raise NotAvailable(
            "There is no test: the covariance matrix of the coefficients is singular, and a "
            "combination of the hypotheses has no variance; test fewer, or fit a smaller model."
        )
    gap = basis @ (estimates / unit) - left[:, :rank].T @ values / size[:rank]
    se = np.sqrt(np.einsum("ij,jk,ik->i", L, covariance, L))
    return LinearTest(L @ estimates, se, float(gap @ np.linalg.solve(spread, gap)), rank)


def first_contradiction(L: np.ndarray, covariance: np.ndarray, rhs: np.ndarray) -> int | None:
    """Return the position of the first row that those before it contradict, if there is one.

    Parameters
    ----------
    L, covariance, rhs
        As for `linear_test`; the covariance says what is large for a coefficient.
    """
    rows, values, _ = _unit_rows(L, covariance, rhs)
    if _consistent(rows, values):
        return None
    return next(i for i in range(1, len(rows)) if not _consistent(rows[: i + 1], values[: i + 1]))


def _unit_rows(
    L: np.ndarray, covariance: np.ndarray, rhs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of length one for coefficients in units of their SD, their values, and the SDs.

    Whether a row follows from others then depends neither on units nor on how it is scaled.
    """
    unit = np.sqrt(np.diag(covariance))
    unit = np.where(unit > 0, unit, 1.0)
    rows = L * unit
    length = np.linalg.norm(rows, axis=1)
    return rows / length[:, None], rhs / length, unit


def _consistent(rows: np.ndarray, values: np.ndarray) -> bool:
    left, size, _ = np.linalg.svd(rows, full_matrices=False)
    range_of = left[:, size > _NO_ROW * size[0]]
    away = np.abs(values - range_of @ (range_of.T @ values)).max()
    return bool(away <= _NO_GAP * np.abs(values).max())
