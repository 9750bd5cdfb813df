"""A design as a function to maximise: the log-likelihood and its score by free parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.design import Design
from bridge.marginal.blocks import Block, make_blocks
from bridge.marginal.collapsed import Forward, backward, forward
from bridge.marginal.coordinates import Coordinates, coordinates_of, orthogonal
from bridge.marginal.law import (
    Association,
    CholeskyLaw,
    FunctionLaw,
    Law,
    Members,
    Split,
    join,
    split,
)
from bridge.marginal.nodes import Placement, Rule, rule

#: Dimensions of quadrature -> nodes in each by default.
DEFAULT_NODES = {0: 1, 1: 11, 2: 7, 3: 7, 4: 5}
#: More random effects in the variance, or more dimensions, are refused: nodes grow as a power.
MOST_VARIANCE_EFFECTS = 3
MOST_DIMENSIONS = 4
#: Nodes are placed again while a group's mean or scale would move by more (in scales).
_SETTLED = 0.1
#: So many nodes in each dimension find where the others shall lie.
_FEW = 5
_ROUNDS = 25


@dataclass(frozen=True)
class Evaluation:
    """The log-likelihood at some parameters.

    Attributes
    ----------
    loglik : float
        Summed over groups; -inf where the parameters are outside the model.
    by_group : (J,) array
    scores : (J, P) array or None
        By the free parameters.
    placement : Placement
        Of the nodes it was computed with.
    """

    loglik: float
    by_group: np.ndarray
    scores: np.ndarray | None
    placement: Placement

    @property
    def score(self) -> np.ndarray:
        """The derivative of the log-likelihood, (P,)."""
        assert self.scores is not None
        found: np.ndarray = self.scores.sum(axis=0)
        return found


def _no_clock() -> None:
    """Let it go on."""


@dataclass(frozen=True)
class Problem:
    """The likelihood of one design; made by `make_problem`.

    Free parameters, in this order: gamma and delta in the maximiser's coordinates, those of the
    law, the coefficients of the association. ``ranks`` and ``ordering`` are those given to
    `make_problem`; ``tick`` is called often, and may raise to stop whatever is under way.
    """

    design: Design
    coordinates: Coordinates
    blocks: tuple[Block, ...]
    law: Law
    association: Association | None
    dimensions: int
    nodes: int
    groups: int
    rows: int
    ranks: tuple[int, ...] | None = None
    ordering: np.ndarray | None = None
    tick: Callable[[], None] = _no_clock

    # --- parameters ---------------------------------------------------------------------
    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """How many free parameters: gamma, delta, law, association."""
        latent = len(self.design.latent_terms)
        return len(self.coordinates.gamma), len(self.coordinates.delta), self.law.size, latent

    @property
    def size(self) -> int:
        """P."""
        return sum(self.sizes)

    def parts(self, free: np.ndarray) -> list[np.ndarray]:
        """Return the free parameters as gamma, delta, law, association."""
        return np.split(free, np.cumsum(self.sizes)[:-1])

    def lowest_log_variance(self, free: np.ndarray) -> float:
        """Return the smallest fixed part of the log variance, relative to the residual variance."""
        delta = self.coordinates.delta @ self.parts(free)[1]
        lowest = float((self.design.variance.matrix @ delta).min())
        return lowest - 2 * float(np.log(self.coordinates.outcome))

    @property
    def rule(self) -> Rule:
        """The quadrature rule."""
        return rule(self.dimensions, self.nodes)

    def with_nodes(self, nodes: int) -> Problem:
        """Return the problem with other nodes, in blocks that suit them."""
        other = make_problem(self.design, nodes, self.ranks, self.ordering)
        return replace(other, tick=self.tick)

    # --- likelihood -----------------------------------------------------------------------
    def split(self, free: np.ndarray) -> tuple[np.ndarray, Split] | None:
        """Return F and its parts at the parameters; None where there is no covariance matrix."""
        _, _, law, lam = self.parts(free)
        F = self.law.factor(law)
        if F is None:
            return None
        u = len(self.design.mean_effects)
        return F, split(F, u, self.rows, self.law.z_columns, self.association, lam)

    def evaluate(
        self, free: np.ndarray, placement: Placement | None = None, *,
        scores: bool = True, fixed: bool = False,
    ) -> Evaluation:  # fmt: skip
        """Return the log-likelihood and, where asked for, each group's score.

        Parameters
        ----------
        free : (P,) array
            The parameters.
        placement : Placement, optional
            Where the nodes start from; the prior by default.
        scores : bool
            Whether scores are wanted.
        fixed : bool
            Whether the nodes stay where they are.
        """
        start = placement or self._first_placement(free)
        loglik = np.full(self.groups, -np.inf)
        parts = self.split(free) if np.isfinite(free).all() else None
        if parts is None:
            return Evaluation(-np.inf, loglik, None, start)
        F, found = parts
        gamma, delta, law, lam = self.parts(free)
        mu, S = start.mu.copy(), start.S.copy()
        by_free = np.zeros((self.groups, self.size)) if scores else None
        for block in self.blocks:
            here = block.groups
            settled, state, by_group, p = self._settle(
                block, gamma, delta, found, start.of(here), fixed
            )
            loglik[here], mu[here], S[here] = by_group, settled.mu, settled.S
            if by_free is None:
                continue
            along = found.turn is not None
            by_gamma, by_delta, by = backward(state, p, along)
            local = found
            own = F if len(F) == 1 else F[here]
            if found.turn is not None and len(found.turn) > 1:
                local = Split(found.factor, found.turn[here])
            by_factor, by_lam = join(
                local, own, len(self.design.mean_effects), self.association, lam, by
            )
            by_free[here] = np.concatenate(
                [by_gamma, by_delta, self._law_score(law, own, by_factor, here), by_lam], axis=1
            )
        total = float(loglik.sum())
        if not np.isfinite(total):
            return Evaluation(-np.inf, loglik, None, start)
        return Evaluation(total, loglik, by_free, Placement(mu, S))

    def _first_placement(self, free: np.ndarray) -> Placement:
        """Return where the nodes begin: at the prior, or where a few of them have settled."""
        start = Placement.prior(self.groups, self.dimensions)
        if self.dimensions < 2 or self.nodes <= _FEW:
            return start
        few = replace(self, nodes=_FEW)
        return few.evaluate(free, start, scores=False).placement

    def _law_score(
        self, law: np.ndarray, own: np.ndarray, by_factor: np.ndarray, here: np.ndarray
    ) -> np.ndarray:
        if isinstance(self.law, FunctionLaw):
            return self.law.of(here).score(law, own, by_factor)
        return self.law.score(law, own, by_factor)

    def _settle(
        self, block: Block, gamma: np.ndarray, delta: np.ndarray, found: Split,
        placement: Placement, fixed: bool,
    ) -> tuple[Placement, Forward, np.ndarray, np.ndarray]:  # fmt: skip
        """Place the nodes of a block until they stay; return them and what they give."""
        used, factor = self.rule, found.factor.of(block.groups)
        for _ in range(_ROUNDS):
            self.tick()
            state = forward(block, gamma, delta, factor, placement.nodes(used))
            by_group, p = placement.integrate(used, state.z, state.loglik)
            if fixed or not np.isfinite(by_group).all():
                break
            better, step = placement.moved(used, p)
            if step < _SETTLED:
                break
            placement = better
        return placement, state, by_group, p

    def excess(self, by_group: np.ndarray) -> np.ndarray:
        """Return each group's log-likelihood a row, above a residual of zero at the outcome's SD.

        Half the logs by which the group's residual variance lies below that of the outcome, where
        its rows are fitted exactly.
        """
        size = np.ones(self.groups)
        for block in self.blocks:
            size[block.groups] = block.size
        at_zero = -0.5 * np.log(2 * np.pi) - np.log(self.coordinates.outcome)
        found: np.ndarray = by_group / size - at_zero
        return found

    def settled(self, free: np.ndarray, placement: Placement) -> Placement:
        """Return the nodes at the posterior's own mean and scale, to many digits."""
        return replace_nodes(self, free, placement)


def replace_nodes(problem: Problem, free: np.ndarray, placement: Placement) -> Placement:
    """Place the nodes a few times more, so that they no longer depend on the way here."""
    parts = problem.split(free)
    if parts is None or not problem.dimensions:
        return placement
    gamma, delta = problem.parts(free)[:2]
    mu, S = placement.mu.copy(), placement.S.copy()
    for block in problem.blocks:
        here, local = block.groups, placement.of(block.groups)
        for _ in range(_ROUNDS):
            state = forward(
                block, gamma, delta, parts[1].factor.of(here), local.nodes(problem.rule)
            )
            problem.tick()
            _, p = local.integrate(problem.rule, state.z, state.loglik)
            local, step = local.moved(problem.rule, p)
            if step < 1e-6:
                break
        mu[here], S[here] = local.mu, local.S
    return Placement(mu, S)


# --- from a design ------------------------------------------------------------------------
def make_problem(
    design: Design, nodes: int | None = None, ranks: Sequence[int] | None = None,
    covariance: np.ndarray | None = None,
) -> Problem:  # fmt: skip
    """Return the likelihood of a design.

    Parameters
    ----------
    design : Design
        The model on its data.
    nodes : int, optional
        Quadrature nodes in each dimension; by default `DEFAULT_NODES` of their number.
    ranks : sequence of int, optional
        The rank of each block of T; full by default.
    covariance : (q, q) array, optional
        A T (the user's units) by which the effects of a block of lower rank are ordered.
    """
    u = len(design.mean_effects)
    group = design.group if design.spec.group else np.arange(len(design.y))
    groups = len(design.group_labels) if design.spec.group else len(design.y)
    coordinates = coordinates_of(design)
    Z = design.Z @ coordinates.effects[:u, :u]
    A = design.A @ coordinates.effects[u:, u:]
    association, A = _association(design, A)
    law = _law(design, coordinates, ranks, covariance)
    dimensions = _dimensions(law, association, A.shape[1])
    chosen = nodes_in_use(dimensions, nodes)
    blocks = make_blocks(
        design.y,
        design.mean.matrix @ coordinates.gamma,
        design.variance.matrix @ coordinates.delta,
        Z,
        A,
        group,
        chosen**dimensions,
    )
    return Problem(
        design=design,
        coordinates=coordinates,
        blocks=tuple(blocks),
        law=law,
        association=association,
        dimensions=dimensions,
        nodes=chosen,
        groups=groups,
        rows=A.shape[1],
        ranks=None if ranks is None else tuple(ranks),
        ordering=covariance,
    )


def _association(design: Design, A: np.ndarray) -> tuple[Association | None, np.ndarray]:
    """Return how u enters the log variance, and A with a column of ones for it."""
    spec = design.spec
    if spec.association is None:
        return None, A
    ones = np.flatnonzero((A == 1.0).all(axis=0))
    if not len(ones):
        A = np.hstack([A, np.ones((len(A), 1))])
    row = int(ones[0]) if len(ones) else A.shape[1] - 1
    return Association(spec.association, spec.latent_scale == "standardised", row), A


def _dimensions(law: Law, association: Association | None, rows: int) -> int:
    if association is None:
        return law.z_columns
    return law.columns if association.kind == "quadratic" else min(rows, law.columns)


def dimensions_of(design: Design) -> int:
    """Return over how many dimensions the effects of a group are integrated numerically."""
    v = len(design.variance_effects)
    if design.spec.association is None:
        return v
    if design.spec.association == "quadratic":
        return len(design.effects)
    has_ones = bool((design.A == 1.0).all(axis=0).any())
    return min(v + (not has_ones), len(design.effects))


def nodes_in_use(dimensions: int, nodes: int | None) -> int:
    """Return the nodes in each dimension: those asked for, or the default of so many dimensions."""
    # an engine refuses more dimensions than there are defaults for
    usual = DEFAULT_NODES.get(dimensions, min(DEFAULT_NODES.values()))
    return nodes or usual


def blocks_of(design: Design) -> list[Members]:
    """Return the blocks of correlated effects, v before u, of full rank."""
    u = len(design.mean_effects)
    found = []
    for number in dict.fromkeys(design.block):
        own = [i for i, block in enumerate(design.block) if block == number]
        v = [i for i in own if i >= u]
        found.append(Members((*v, *(i for i in own if i < u)), len(v), len(own)))
    return found


def _law(
    design: Design, coordinates: Coordinates, ranks: Sequence[int] | None,
    covariance: np.ndarray | None,
) -> Law:  # fmt: skip
    u, v = len(design.mean_effects), len(design.variance_effects)
    if design.spec.level2 is not None:
        ones = np.ones((len(design.group_labels), 1))
        designs, turns = {}, {}
        for pair in design.tau_pairs:
            key = design.element(pair)
            columns = design.level2[key].matrix if key in design.level2 else ones
            turns[pair] = orthogonal(columns)
            designs[pair] = columns @ turns[pair]
        partial = frozenset(pair for pair in designs if design.kind(pair) == "pcor")
        return FunctionLaw(designs, turns, u, v, np.diag(coordinates.effects), partial)
    members = blocks_of(design)
    if ranks is not None:
        assert covariance is not None
        back = np.linalg.inv(coordinates.effects)
        inner = back @ covariance @ back.T
        members = [
            replace(m, rank=rank, effects=_pivoted(m, inner) if rank < m.rank else m.effects)
            for m, rank in zip(members, ranks, strict=True)
        ]
    return CholeskyLaw(members, u + v)


def _pivoted(block: Members, covariance: np.ndarray) -> tuple[int, ...]:
    """Return the effects of a block, those with most variance left first, v before u."""
    left = covariance.copy()
    order: list[int] = []
    for side in (block.effects[: block.v], block.effects[block.v :]):
        remaining = list(side)
        while remaining:
            best = max(remaining, key=lambda i: left[i, i])
            remaining.remove(best)
            order.append(best)
            if left[best, best] > 0:
                left = left - np.outer(left[:, best], left[best]) / left[best, best]
    return tuple(order)
