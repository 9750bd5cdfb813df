"""The law of the group effects: from its parameters to factors of T, and the score back.

Rows of a factor are the effects in the design's order, u before v; its columns are independent
standard normal coordinates x, those that the variance function reads first (see the package).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.marginal.collapsed import Factor, FactorScore
from bridge.partial_correlations import atanh_partial, left_of, partial_factor


class Law(ABC):
    """T as a function of a vector of parameters."""

    #: How many parameters.
    size: int
    #: How many of the columns the variance function reads.
    z_columns: int
    #: How many there are.
    columns: int

    @abstractmethod
    def factor(self, parameters: np.ndarray) -> np.ndarray | None:
        """Return F (g, q, c), T = F F'; None where the parameters give no covariance matrix."""

    @abstractmethod
    def score(
        self, parameters: np.ndarray, factor: np.ndarray, by_factor: np.ndarray
    ) -> np.ndarray:
        """Return the score by the parameters (J, size) from that by the factor (J, q, c)."""

    @abstractmethod
    def start(self, covariance: np.ndarray) -> np.ndarray:
        """Return parameters near a positive definite T (q, q)."""


# --- a constant T -----------------------------------------------------------------------
@dataclass(frozen=True)
class Members:
    """One block of correlated effects.

    Attributes
    ----------
    effects : tuple of int
        Their positions in the order of elimination, v before u.
    v : int
        How many of them are of v.
    rank : int
        The rank of their covariance matrix.
    """

    effects: tuple[int, ...]
    v: int
    rank: int


class CholeskyLaw(Law):
    """A constant T, block by block; of full or of a given lower rank.

    A block of s effects of rank r has the lower trapezoidal factor (s, r): r (2s - r + 1) / 2
    parameters, its elements. They are free on both sides of zero, so that a variance of zero is a
    point like others, with a gradient of zero.

    Parameters
    ----------
    members : sequence of Members
        The blocks.
    effects : int
        q.
    """

    def __init__(self, members: Sequence[Members], effects: int) -> None:
        self.members = tuple(members)
        self.effects = effects
        early: list[tuple[int, int]] = []  # (block, its column) of z, then of e
        late: list[tuple[int, int]] = []
        for number, block in enumerate(self.members):
            for column in range(block.rank):
                (early if column < block.v else late).append((number, column))
        columns = {key: position for position, key in enumerate(early + late)}
        self.z_columns, self.columns = len(early), len(columns)
        entries = [
            (block.effects[row], columns[number, column])
            for number, block in enumerate(self.members)
            for row in range(len(block.effects))
            for column in range(min(row + 1, block.rank))
        ]
        self.rows = np.array([e[0] for e in entries], dtype=int)
        self.cols = np.array([e[1] for e in entries], dtype=int)
        self.size = len(entries)

    def factor(self, parameters: np.ndarray) -> np.ndarray:
        """Return F (1, q, c)."""
        found = np.zeros((1, self.effects, self.columns))
        found[0, self.rows, self.cols] = parameters
        return found

    def score(
        self, parameters: np.ndarray, factor: np.ndarray, by_factor: np.ndarray
    ) -> np.ndarray:
        """Return the score by F's free elements."""
        del parameters, factor  # F is linear in them
        return by_factor[:, self.rows, self.cols]

    def start(self, covariance: np.ndarray) -> np.ndarray:
        """Return the Cholesky factor of each block, its last columns left out at lower rank."""
        found: list[float] = []
        for block in self.members:
            part = covariance[np.ix_(block.effects, block.effects)]
            lower = safe_cholesky(part)
            for row in range(len(block.effects)):
                found.extend(lower[row, : min(row + 1, block.rank)])
        return np.array(found)


def safe_cholesky(matrix: np.ndarray) -> np.ndarray:
    """Return a Cholesky factor of a covariance matrix that may be singular by rounding."""
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    correlation = matrix / np.outer(scale, scale)
    for ridge in (0.0, 1e-12, 1e-9, 1e-6, 1e-3):
        try:
            root = np.linalg.cholesky(correlation + ridge * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            continue
        return scale[:, None] * root
    return np.diag(scale)


# --- T as a function of level-2 predictors ------------------------------------------------
class FunctionLaw(Law):
    """Log variances and atanh correlations linear in level-2 predictors, group by group.

    Its parameters are coefficients of orthogonal columns, the same for any units and origins of the
    predictors; `kappa` and `inner` carry them to those of the user's columns and back.

    Partial correlations, where asked for, are those of a pair given the effects of its block
    before the earlier one of the pair; a block has them of all its pairs.

    Parameters
    ----------
    designs : mapping of (int, int) to (J, c) array
        For (a, a) the predictors of log tau[a,a], for (a, b) those of atanh rho[a,b], or of the
        atanh partial correlation, a < b; a column of ones where the element is constant. Pairs
        that are absent are zero. Orthogonal columns.
    turns : mapping of (int, int) to (c, c) array
        The orthogonal columns are the user's times these.
    u, v : int
        How many effects each.
    unit : (q,) array
        F is of the effects in these units; the functions are of the effects themselves.
    partial : set of (int, int)
        The pairs that are partial correlations.
    """

    def __init__(
        self,
        designs: Mapping[tuple[int, int], np.ndarray],
        turns: Mapping[tuple[int, int], np.ndarray],
        u: int,
        v: int,
        unit: np.ndarray,
        partial: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self.designs, self.turns = dict(designs), dict(turns)
        self.partial = partial
        self.unit = unit
        self.effects = self.columns = u + v
        self.order = np.array([*range(u, u + v), *range(u)])  # rows of v are eliminated first
        self.z_columns = v
        self.slices: dict[tuple[int, int], slice] = {}
        start = 0
        for pair, design in self.designs.items():
            self.slices[pair] = slice(start, start + design.shape[1])
            start += design.shape[1]
        self.size = start

    def of(self, groups: np.ndarray) -> FunctionLaw:
        """Return the law of some groups."""
        own = {pair: design[groups] for pair, design in self.designs.items()}
        v = self.z_columns
        return FunctionLaw(own, self.turns, self.effects - v, v, self.unit, self.partial)

    def kappa(self, parameters: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
        """Return the coefficients (c,) of an element, of the user's columns."""
        found: np.ndarray = self.turns[pair] @ parameters[self.slices[pair]]
        return found

    def inner(self, kappa: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
        """Return the parameters (..., c) of an element from coefficients of the user's columns."""
        found: np.ndarray = np.linalg.solve(self.turns[pair], kappa[..., None])[..., 0]
        return found

    def elements(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return SDs (J, q), in units of `unit`, and correlation matrices (J, q, q)."""
        groups = len(next(iter(self.designs.values())))
        sd = np.ones((groups, self.effects))
        correlation = np.tile(np.eye(self.effects), (groups, 1, 1))
        for (a, b), design in self.designs.items():
            value = design @ parameters[self.slices[a, b]]
            if a == b:
                sd[:, a] = np.exp(np.clip(0.5 * value, -300, 300)) / self.unit[a]
            elif (a, b) not in self.partial:
                correlation[:, a, b] = correlation[:, b, a] = np.tanh(value)
        if self.partial:
            lower = partial_factor(self._atanh(parameters))
            own = lower @ lower.swapaxes(1, 2)
            for a, b in self.partial:
                correlation[:, a, b] = correlation[:, b, a] = own[:, a, b]
        return sd, correlation

    def _atanh(self, parameters: np.ndarray) -> np.ndarray:
        """Return the atanh partial correlations (J, q, q), below the diagonal."""
        groups = len(next(iter(self.designs.values())))
        found = np.zeros((groups, self.effects, self.effects))
        for a, b in self.partial:
            found[:, b, a] = self.designs[a, b] @ parameters[self.slices[a, b]]
        return found

    def factor(self, parameters: np.ndarray) -> np.ndarray | None:
        """Return F (J, q, q); None where a correlation matrix is not positive definite."""
        sd, correlation = self.elements(parameters)
        part = correlation[:, self.order][:, :, self.order]
        if np.linalg.eigvalsh(part)[:, 0].min() < 1e-12:
            return None
        found = np.empty_like(part)
        found[:, self.order] = np.linalg.cholesky(part) * sd[:, self.order, None]
        return found

    def score(
        self, parameters: np.ndarray, factor: np.ndarray, by_factor: np.ndarray
    ) -> np.ndarray:
        """Carry the score through the Cholesky factor of the correlations (Murray 2016)."""
        sd, _ = self.elements(parameters)
        scale = sd[:, self.order, None]
        lower = factor[:, self.order] / scale
        seed = by_factor[:, self.order] * scale
        by_log_sd = (seed * lower).sum(axis=2)  # F = diag(sd) L
        inner = np.tril(lower.swapaxes(1, 2) @ seed)
        inner[:, np.arange(self.effects), np.arange(self.effects)] *= 0.5
        inverse = np.linalg.inv(lower)
        by_matrix = inverse.swapaxes(1, 2) @ inner @ inverse
        by_matrix = by_matrix + by_matrix.swapaxes(1, 2)  # both halves of a correlation move
        place = np.argsort(self.order)
        found = np.zeros((len(by_factor), self.size))
        by_atanh = self._by_atanh(parameters, by_matrix[:, place][:, :, place])
        for (a, b), design in self.designs.items():
            i, j = place[a], place[b]
            if a == b:
                chained = 0.5 * by_log_sd[:, i]
            elif (a, b) in self.partial:
                chained = by_atanh[:, b, a]
            else:
                value = np.tanh(design @ parameters[self.slices[a, b]])
                chained = by_matrix[:, i, j] * (1 - value**2)
            found[:, self.slices[a, b]] = chained[:, None] * design
        return found

    def _by_atanh(self, parameters: np.ndarray, by_matrix: np.ndarray) -> np.ndarray:
        """Return the score by the atanh partial correlations from that by the correlations.

        L[b, a] is the partial correlation times the root of what earlier effects leave, which
        shrinks all that follow in its row.
        """
        value = self._atanh(parameters)
        found = np.zeros_like(value)
        if not self.partial:
            return found
        lower, left, partial = partial_factor(value), left_of(value), np.tanh(value)
        chosen = np.zeros_like(by_matrix)
        for a, b in self.partial:
            chosen[:, a, b] = chosen[:, b, a] = by_matrix[:, a, b]
        by_lower = chosen @ lower  # the diagonal of L L' is one
        for a, b in self.partial:
            slope = (1 - partial[:, b, a]) * (1 + partial[:, b, a])
            later = (by_lower[:, b, a + 1 : b + 1] * lower[:, b, a + 1 : b + 1]).sum(axis=1)
            own = by_lower[:, b, a] * left[:, b, a] * slope
            found[:, b, a] = own - partial[:, b, a] * later
        return found

    def start(self, covariance: np.ndarray) -> np.ndarray:
        """Return coefficients whose functions are near a constant T."""
        found = np.zeros(self.size)
        sd = np.sqrt(np.diag(covariance))
        for (a, b), design in self.designs.items():
            if a == b:
                value = 2 * np.log(sd[a] * self.unit[a])
            elif (a, b) in self.partial:
                given = [c for c in range(a) if (c, a) in self.partial]
                value = atanh_partial(covariance, a, b, given)
            else:
                value = np.arctanh(np.clip(covariance[a, b] / (sd[a] * sd[b]), -0.9, 0.9))
            found[self.slices[a, b]] = np.linalg.lstsq(
                design, np.full(len(design), value), rcond=None
            )[0]
        return found


# --- from the factor of T to that of the two functions -------------------------------------
@dataclass(frozen=True)
class Association:
    """The mean effects as covariates of the log variance.

    Attributes
    ----------
    kind : {"linear", "quadratic"}
        With or without their squares.
    standardised : bool
        Whether in SDs of u.
    row : int
        The row of C (a column of ones in A) that takes it.
    """

    kind: str
    standardised: bool
    row: int


@dataclass(frozen=True)
class Split:
    """A factor as the two functions read it, and how it came about.

    Attributes
    ----------
    factor : Factor
        For `collapsed`.
    turn : (g, c, c) array or None
        The rotation: x = turn (z, e).
    """

    factor: Factor
    turn: np.ndarray | None


def split(
    F: np.ndarray,
    u: int,
    rows: int,
    z_columns: int,
    association: Association | None,
    lam: np.ndarray,
) -> Split:
    """Return B, G, C (and Omega) from the factor of (u, v).

    Parameters
    ----------
    F : (g, q, c) array
        T = F F'.
    u : int
        Effects of the mean.
    rows : int
        Columns of A, one more than v where the association needs one of ones.
    z_columns : int
        Columns of F that v reads.
    association : Association or None
    lam : (l,) array
        Its coefficients.
    """
    top, C = F[:, :u], F[:, u:]
    if association is None:
        return Split(Factor(top[..., :z_columns], top[..., z_columns:], C[..., :z_columns]), None)
    C = np.concatenate([C, np.zeros((len(C), rows - C.shape[1], C.shape[2]))], axis=1)
    covariate = _covariates(top, association)
    C[:, association.row] += lam[:u] @ covariate
    if association.kind == "quadratic":
        omega = covariate.swapaxes(1, 2) @ (lam[u:, None] * covariate)
        return Split(Factor(top, np.zeros((*top.shape[:2], 0)), C, omega), None)
    width = min(rows, C.shape[2])
    if width == C.shape[2]:
        # the variance function reads all of x: a rotation would only turn with a sign of lambda
        return Split(Factor(top, np.zeros((*top.shape[:2], 0)), C), None)
    turn = _rotation(C)
    turned = top @ turn
    return Split(Factor(turned[..., :width], turned[..., width:], (C @ turn)[..., :width]), turn)


def _covariates(top: np.ndarray, association: Association) -> np.ndarray:
    """Return the rows of F of u as they enter the log variance."""
    if not association.standardised:
        return top
    sd = np.sqrt((top**2).sum(axis=2, keepdims=True))
    return top / np.maximum(sd, 1e-300)


def _rotation(C: np.ndarray) -> np.ndarray:
    """Return orthogonal matrices after which C reads its first coordinates alone."""
    turn, upper = np.linalg.qr(C.swapaxes(1, 2), mode="complete")
    # the sign that leaves nodes where they were as the parameters move
    size = min(upper.shape[1:])
    sign = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0)
    turn[..., :size] *= sign[:, None]
    return turn


def join(
    found: Split,
    F: np.ndarray,
    u: int,
    association: Association | None,
    lam: np.ndarray,
    by: FactorScore,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score by F (J, q, c) and by the association's coefficients (J, l).

    The adjoint of `split`; the rotation counts as fixed, because x is standard normal in any.
    """
    top = np.concatenate([by.B, by.G], axis=2)
    C = np.concatenate([by.C, by.Ce], axis=2)
    if association is None:
        return np.concatenate([top, C], axis=1), np.zeros((len(top), 0))
    if found.turn is not None:
        back = found.turn.swapaxes(1, 2)
        top, C = top @ back, C @ back
    covariate = _covariates(F[:, :u], association)
    row = C[:, association.row]
    by_lam = (covariate * row[:, None]).sum(axis=2)
    by_covariate = lam[:u, None] * row[:, None]
    if association.kind == "quadratic":
        by_lam = np.concatenate([by_lam, ((covariate @ by.omega) * covariate).sum(axis=2)], axis=1)
        by_covariate = by_covariate + 2 * lam[u:, None] * (covariate @ by.omega)
    if association.standardised:
        sd = np.maximum(np.sqrt((F[:, :u] ** 2).sum(axis=2, keepdims=True)), 1e-300)
        inner = (by_covariate * covariate).sum(axis=2, keepdims=True)
        by_covariate = (by_covariate - inner * covariate) / sd
    effects = C[:, : F.shape[1] - u]
    return np.concatenate([top + by_covariate, effects], axis=1), by_lam
