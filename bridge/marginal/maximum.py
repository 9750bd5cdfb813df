"""The maximum-likelihood fit: start, climb, rank of T, information, checks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bridge.design import Design
from bridge.errors import EngineFailed
from bridge.marginal.canonical import canonical, effects, free_of, jacobian, level2_covariance
from bridge.marginal.law import FunctionLaw
from bridge.marginal.newton import (
    SEPARATED,
    Climb,
    Report,
    climb,
    information,
    silent,
    steps_of,
)
from bridge.marginal.nodes import Placement
from bridge.marginal.problem import DEFAULT_NODES, Problem, blocks_of, make_problem, replace_nodes
from bridge.marginal.rank import full_or_lower_rank, with_twice_the_nodes
from bridge.starting import column_size, start

#: Doubling the nodes may move the log-likelihood by less.
NODES_ERROR = 1e-4
#: The smallest eigenvalue, each parameter on its own scale, of an information that is not singular:
#: in orthogonal coordinates, and with level-2 functions, where columns of effects are as they come.
#: A score that is not quite zero bends a flat direction by some 1e-6.
_SINGULAR, _SINGULAR_FUNCTIONS = 1e-5, 1e-9
#: A log variance or atanh correlation of a group with a larger standard error goes to infinity.
_ENDLESS = 50.0


@dataclass(frozen=True)
class Maximum:
    """A maximum-likelihood fit.

    Attributes
    ----------
    problem : Problem
        With T at the rank found.
    climb : Climb
        To the maximum.
    placement : Placement
        Of the nodes there.
    loglik : float
    estimates : (n,) array
        Canonical, in the order of `parameter_table`; NaN where not defined.
    covariance : (n, n) array
        Of the estimates, given the rank of T; NaN where it cannot be had.
    level2 : (q, q) array
        T, user's units; with level-2 functions that of the first group.
    ranks : tuple of int
        The rank of each block of T, in the order of `blocks_of`; () with level-2 functions.
    unidentified : tuple of int
        Positions of estimates that the data do not determine.
    nodes_error : float
        What doubling the nodes adds to the log-likelihood; NaN where nothing is integrated so.
    """

    problem: Problem
    climb: Climb
    placement: Placement
    loglik: float
    estimates: np.ndarray
    covariance: np.ndarray
    level2: np.ndarray
    ranks: tuple[int, ...]
    unidentified: tuple[int, ...]
    nodes_error: float

    @property
    def full_ranks(self) -> tuple[int, ...]:
        """The ranks of a T that is not singular."""
        return tuple(block.rank for block in blocks_of(self.problem.design))

    def effects(self) -> tuple[np.ndarray, np.ndarray]:
        """Return empirical-Bayes means (J, q) and covariances (J, q, q), user's units."""
        return effects(self.problem, self.climb.free, self.placement)


def maximise(
    design: Design,
    nodes: int | None = None,
    *,
    robust: bool = False,
    report: Report = silent,
    check_nodes: bool = True,
    errors: bool = True,
) -> Maximum:
    """Fit a design by maximum likelihood.

    Parameters
    ----------
    design : Design
        Any model but Student-t effects and latent classes.
    nodes : int, optional
        Quadrature nodes in each dimension; by default `DEFAULT_NODES`, and up to four times as many
        where doubling them shows that they are too few.
    robust : bool
        Whether the covariance of the estimates is the cluster-robust one (sandwich).
    report : callable
        Told how it goes.
    check_nodes : bool
        Whether the nodes are doubled once at the end.
    errors : bool
        Whether standard errors are wanted; without them ``covariance`` is NaN and nothing is said
        of what the data do not determine.

    Returns
    -------
    Maximum

    Raises
    ------
    EngineFailed
        Where the likelihood has no maximum.
    """
    problem, found, ranks, error = _highest(design, nodes, report, check_nodes)
    placement = replace_nodes(problem, found.free, found.evaluation.placement)
    at = problem.evaluate(found.free, placement, fixed=True)
    estimates = canonical(problem, found.free)
    covariance = np.full((len(estimates), len(estimates)), np.nan)
    unidentified: tuple[int, ...] = ()
    if errors:
        report("standard errors")
        step = steps_of(found.information, 1e-3)
        curvature = information(problem, found.free, at, step, central=True, report=report)
        found.information = curvature
        covariance, unidentified = _covariance(problem, found.free, curvature, at.scores, robust)
    T = level2_covariance(problem, found.free)[0] if design.effects else np.zeros((0, 0))
    return Maximum(
        problem=problem,
        climb=found,
        placement=placement,
        loglik=at.loglik,
        estimates=estimates,
        covariance=covariance,
        level2=T,
        ranks=ranks,
        unidentified=unidentified,
        nodes_error=error,
    )


def _highest(
    design: Design, nodes: int | None, report: Report, check_nodes: bool
) -> tuple[Problem, Climb, tuple[int, ...], float]:
    """Return the maximum, T at the rank found, with nodes enough, and what doubling them adds."""
    problem = make_problem(design, nodes)
    problem = replace(problem, tick=lambda: report("integrating"))
    found = climb(problem, free_of(problem, *_start(design)), report)
    _refuse_separated(problem, found)
    problem, found, ranks = full_or_lower_rank(problem, found, report)
    placement = replace_nodes(problem, found.free, found.evaluation.placement)
    error = _nodes_error(problem, found, placement, check_nodes)
    while nodes is None and abs(error) > NODES_ERROR and problem.nodes < _most_nodes(problem):
        report(f"{problem.nodes} nodes are too few: twice as many")
        problem = problem.with_nodes(2 * problem.nodes + 1)
        found = _again(problem, found, placement, report)
        if ranks == tuple(block.rank for block in blocks_of(design)):
            problem, found, ranks = full_or_lower_rank(problem, found, report)
        placement = replace_nodes(problem, found.free, found.evaluation.placement)
        error = _nodes_error(problem, found, placement, check_nodes)
    return problem, found, ranks, error


# --- start ------------------------------------------------------------------------------
def _start(design: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = start(design)
    return found.gamma, found.delta, found.covariance


# --- where there is no maximum, or none inside ---------------------------------------------
def _refuse_separated(problem: Problem, found: Climb) -> None:
    """Refuse a residual variance that goes to zero in some rows: the likelihood has no bound."""
    design = problem.design
    delta = problem.coordinates.delta @ problem.parts(found.free)[1]
    below = 2 * np.log(problem.coordinates.outcome) - design.variance.matrix @ delta
    if below.max() <= SEPARATED:
        _refuse_exact_groups(problem, found)
    # a climb that was stopped short of there, for want of digits, was on its way
    low = below > (SEPARATED if found.converged else SEPARATED / 2)
    if not low.any():
        return
    where = np.flatnonzero(low)
    own = np.abs(design.variance.matrix[where]).max(axis=0) > 0
    terms = [f"delta[{t}]" for t, used in zip(design.variance.labels, own, strict=True) if used]
    raise EngineFailed(
        f"The likelihood has no maximum: in {len(where)} row(s), the first of them "
        f"{design.index[where[0]]!r}, the mean can fit the outcome exactly and the residual "
        f"variance goes to zero ({', '.join(terms)}); leave the term out that singles these rows "
        "out, in the mean or in the variance."
    )


def _refuse_exact_groups(problem: Problem, found: Climb) -> None:
    """Refuse a residual variance that goes to zero in some groups, by their own effects."""
    design = problem.design
    if found.converged or not design.variance_effects:
        return
    where = np.flatnonzero(problem.excess(found.evaluation.by_group) > SEPARATED / 4)
    if len(where):
        raise EngineFailed(
            f"The likelihood has no maximum: in {len(where)} group(s), the first of them "
            f"'{design.group_labels[where[0]]}', the outcome can be fitted exactly and the "
            f"residual variance goes to zero with {', '.join(design.variance_effects)}; leave "
            "these groups out, or the random effects of the variance."
        )


# --- standard errors --------------------------------------------------------------------------
def _covariance(
    problem: Problem, free: np.ndarray, curvature: np.ndarray, scores: np.ndarray | None,
    robust: bool,
) -> tuple[np.ndarray, tuple[int, ...]]:  # fmt: skip
    """Return the covariance of the canonical estimates, and which the data do not determine."""
    steps = 1e-5 * np.maximum(1.0, np.abs(free)) if len(free) else free
    slopes = jacobian(lambda at: canonical(problem, at), free, steps)
    if not np.isfinite(curvature).all():
        return np.full((len(slopes), len(slopes)), np.nan), ()
    scale = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-12))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    functions = isinstance(problem.law, FunctionLaw)
    least = _SINGULAR_FUNCTIONS if functions else _SINGULAR
    weak = values < least * max(1.0, float(values.max(initial=1.0)))
    unidentified: tuple[int, ...] = ()
    if weak.any():
        loose = np.abs(slopes @ (vectors[:, weak] / scale[:, None])).max(axis=1, initial=0.0)
        unidentified = tuple(np.flatnonzero(loose > 1e-3 * _length(slopes / scale)))
    # what does not lie along a direction without information keeps its standard error
    kept = ~weak
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T / np.outer(scale, scale)
    if robust:
        assert scores is not None
        # J / (J - 1), as is usual with clusters
        meat = scores.T @ scores * len(scores) / max(len(scores) - 1, 1)
        inverse = inverse @ meat @ inverse
    covariance = slopes @ inverse @ slopes.T
    if functions:
        unidentified = tuple(sorted({*unidentified, *_endless(problem.design, covariance)}))
    return covariance, unidentified


def _endless(design: Design, covariance: np.ndarray) -> list[int]:
    """Return the positions of coefficients of level-2 functions that go to infinity in a group.

    The groups' own values tell, and not an intercept far from all predictors.
    """
    found: list[int] = []
    begin = len(covariance) - len(design.kappa_terms)
    for pair in design.tau_pairs:
        if design.element(pair) not in design.level2:
            continue
        columns = design.level2[design.element(pair)].matrix
        place = slice(begin, begin + columns.shape[1])
        begin = place.stop
        own = covariance[place, place]
        if np.sqrt(np.maximum(((columns @ own) * columns).sum(axis=1), 0)).max() <= _ENDLESS:
            continue
        share = np.sqrt(np.maximum(np.diag(own), 0)) * column_size(columns)
        found += (place.start + np.flatnonzero(share >= min(_ENDLESS, share.max()))).tolist()
    return found


def _length(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt((rows**2).sum(axis=1))
    return found


def _nodes_error(problem: Problem, found: Climb, placement: Placement, wanted: bool) -> float:
    """Return what twice the nodes add to the log-likelihood."""
    if not wanted or not problem.dimensions:
        return float("nan")
    here = problem.evaluate(found.free, placement, scores=False, fixed=True).loglik
    return with_twice_the_nodes(problem, found.free, placement) - here


def _most_nodes(problem: Problem) -> int:
    """Return the nodes in each dimension that are not exceeded unless asked for."""
    doublings = 2 if problem.dimensions <= 2 else 1
    return 2**doublings * (DEFAULT_NODES.get(problem.dimensions, 5) + 1) - 1


def _again(problem: Problem, found: Climb, placement: Placement, report: Report) -> Climb:
    """Climb on from where a climb ended, with other nodes; the trace goes on."""
    better = climb(problem, found.free, report, placement)
    better.trace[:0] = found.trace
    return better
