"""Fixed columns that are a column of an effect times a constant of the group.

There X = z h with h constant within groups, such as the intercept beside u:Intercept, or
sector * x beside u:x, so that x'gamma + z u = z (h gamma + u): the group's own coefficient of z
holds the fixed part, and rows need not know of it.

Of any other column X the group's own coefficients hold what least squares makes of it,
X = Z m + rest, and rows keep the rest. Where X is far from zero, such as a calendar year, the
outcomes say much of z (u + m gamma) and little of u and gamma each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge import group_sums

_ALIKE = 1e-10  # of a column's largest value


@dataclass(frozen=True, eq=False)
class Folded:
    """Which of the fixed columns go with which effect.

    Attributes
    ----------
    effect, term : (f,) arrays of int
        Effect and fixed term of each pair.
    column : (f, J) array
        The group constants.
    rest : (r,) array of int
        The fixed terms that go with no effect, or with effects in part.
    left : (N, r) array
        What of their columns rows keep.
    effects : int
        How many effects there are.
    """

    effect: np.ndarray
    term: np.ndarray
    column: np.ndarray
    rest: np.ndarray
    left: np.ndarray
    effects: int

    def values(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the fixed part that goes with each effect, (effects, J)."""
        found = np.zeros((self.effects, self.column.shape[1]))
        for effect, term, column in zip(self.effect, self.term, self.column, strict=True):
            found[effect] += coefficients[term] * column
        return found


def fold(X: np.ndarray, Z: np.ndarray, group: np.ndarray, J: int) -> Folded:
    """Find the columns of X that are a column of Z times a group constant.

    Parameters
    ----------
    X, Z : (N, p), (N, q) arrays
        Designs of the fixed terms and of the effects.
    group : (N,) array of int
        From 0.
    J : int
        Number of groups.

    Returns
    -------
    Folded
        A term goes with the first effect that it fits.
    """
    effect, term, column = [], [], []
    taken = np.zeros(X.shape[1], dtype=bool)
    for a, z in enumerate(Z.T):
        size = np.bincount(group, weights=z**2, minlength=J)
        constant = group_sums.sums(X * z[:, None], group, J) / np.where(size > 0, size, 1)[:, None]
        away = np.abs(X - constant[group] * z[:, None]).max(axis=0, initial=0.0)
        fits = (away <= _ALIKE * np.abs(X).max(axis=0, initial=0.0)) & ~taken
        for t in np.flatnonzero(fits):
            effect.append(a)
            term.append(t)
            column.append(constant[:, t])
        taken |= fits
    rest = np.flatnonzero(~taken)
    shares = _least_squares(X[:, rest], Z, group, J)
    for a in range(Z.shape[1]):
        for number, t in enumerate(rest):
            effect.append(a)
            term.append(t)
            column.append(shares[:, a, number])
    return Folded(
        np.array(effect, dtype=int),
        np.array(term, dtype=int),
        np.array(column, dtype=float).reshape(len(column), J),
        rest,
        X[:, rest] - np.einsum("ia,iat->it", Z, shares[group]),
        Z.shape[1],
    )


def _least_squares(X: np.ndarray, Z: np.ndarray, group: np.ndarray, J: int) -> np.ndarray:
    """Return for each group the coefficients (J, q, r) of columns of X on those of Z."""
    size = np.sqrt(np.mean(Z**2, axis=0))
    unit = Z / np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(group_sums.products(unit, unit, group, J), rcond=1e-8, hermitian=True)
    shares: np.ndarray = inverse @ group_sums.products(unit, X, group, J)
    shares /= np.where(size > 0, size, 1.0)[:, None]
    return shares
