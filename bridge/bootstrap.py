"""The parametric bootstrap of a likelihood ratio: data drawn from the smaller fit, fitted again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bridge.design import Design
from bridge.drawing import draw, with_outcome
from bridge.engines.base import Progress
from bridge.errors import EngineFailed
from bridge.marginal.maximum import maximise
from bridge.progress import shown
from bridge.result import Result
from bridge.truth import complete, of_result

#: A smaller model may have a log-likelihood higher by no more than this.
HIGHER = 1e-4


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Statistics of data sets drawn from the smaller fit.

    Attributes
    ----------
    replicates : (B,) array
        Of those to which both models could be fitted.
    failed : int
        How many could not.
    seed : int
    """

    replicates: np.ndarray
    failed: int
    seed: int


def bootstrap(
    fits: tuple[Result, Result],
    designs: tuple[Design, Design],
    replications: int,
    seed: int | None = None,
    progress: Progress | bool | None = None,
) -> Bootstrap:
    """Draw data sets from the smaller fit and fit both models to each, by quadrature.

    Parameters
    ----------
    fits : (Result, Result)
        The smaller and the larger.
    designs : (Design, Design)
        Theirs.
    replications : int
        How many data sets.
    seed : int, optional
        Each data set has a seed of its own made of it.
    progress : bool or callable, optional
        As in `bridge.fit`.

    Returns
    -------
    Bootstrap

    Raises
    ------
    EngineFailed
        Where there is no data set to which both models could be fitted.
    """
    used = 1 + secrets.randbelow(2**31 - 2) if seed is None else int(seed)
    truth = complete(designs[0], of_result(designs[0], fits[0]))
    nodes = [int(result.ml["nodes"]) if result.ml.get("nodes", 1) > 1 else None for result in fits]
    found: list[float] = []
    failed = 0
    with shown(progress, "bootstrap") as report:
        for number, child in enumerate(np.random.SeedSequence(used).spawn(replications)):
            report(number / replications, f"data set {number + 1} of {replications}")
            rng = np.random.default_rng(child)
            value = _refitted(designs, nodes, draw(designs[0], truth, rng, rng).y)
            if value is None:
                failed += 1
            else:
                found.append(value)
    if not found:
        raise EngineFailed(
            f"The bootstrap has no p: in none of its {replications} data sets could both models "
            "be fitted; give more replications, or a simpler larger model."
        )
    return Bootstrap(np.array(found), failed, used)


def _refitted(
    designs: tuple[Design, Design], nodes: Sequence[int | None], y: np.ndarray
) -> float | None:
    """Return the statistic of a drawn outcome; None where a fit has not reached its maximum."""
    logliks = []
    for design, each in zip(designs, nodes, strict=True):
        try:
            fit = maximise(with_outcome(design, y), each, check_nodes=False, errors=False)
        except (EngineFailed, np.linalg.LinAlgError):
            return None
        if not fit.climb.converged:
            return None
        logliks.append(fit.loglik)
    gap = logliks[1] - logliks[0]
    return None if gap < -HIGHER else max(0.0, 2.0 * gap)
