"""Where weights overflow, nodes are too few, or time is short."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

import bridge
from bridge.design import make_design
from bridge.errors import EngineTimeout
from bridge.marginal.maximum import maximise
from bridge.marginal.problem import make_problem
from bridge.spec import ModelSpec

SLOPES = {"mean": "y ~ 1 + x + (1 | s | g)", "variance": "~ 1 + x + (1 + x | s | g)"}


def small(seed: int, groups: int = 30, size: int = 5) -> pd.DataFrame:
    """Return small groups whose log variance has a random slope of x."""
    rng = np.random.default_rng(seed)
    idx = np.repeat(np.arange(groups), size)
    rho = np.full((3, 3), 0.4)
    np.fill_diagonal(rho, 1.0)
    sd = np.diag([1.0, 0.5, 0.2])
    e = rng.multivariate_normal(np.zeros(3), sd @ rho @ sd, groups)[idx]
    x = rng.normal(size=len(idx))
    scale = np.exp(0.5 * (0.2 + 0.3 * x + e[:, 1] + e[:, 2] * x))
    y = 1 + 0.5 * x + e[:, 0] + scale * rng.normal(size=len(idx))
    return pd.DataFrame({"y": y, "x": x, "g": idx})


def test_a_node_whose_weights_have_no_digits_left_counts_for_nothing() -> None:
    """Far out r'Dr - t'M^-1 t is a difference of numbers that dwarf it: it came out as 1e250."""
    design = make_design(ModelSpec(**SLOPES), small(1))
    problem = make_problem(design)
    free = np.zeros(problem.size)
    free[problem.sizes[0] : problem.sizes[0] + 1] = 0.3
    law = free[sum(problem.sizes[:2]) :]
    for spread in (1.0, 10.0, 100.0, 1000.0):
        law[:] = spread
        found = problem.evaluate(free)
        assert found.loglik < 0
        if np.isfinite(found.loglik):
            assert np.isfinite(found.score).all()


@pytest.mark.parametrize("seed", range(8, 16))
def test_no_climb_leaves_for_where_there_are_no_digits(seed: int) -> None:
    found = maximise(make_design(ModelSpec(**SLOPES), small(seed)))
    assert found.climb.converged
    assert -400 < found.loglik < -150


def test_nodes_that_are_too_few_are_doubled_unless_they_were_asked_for() -> None:
    design = make_design(
        ModelSpec("y ~ 1 + x + (1 | g)", "~ 1 + w + (1 | g)", association="quadratic"),
        cases.simulated(groups=30, size=5, seed=4),
    )
    asked, chosen = maximise(design, 7), maximise(design)
    assert asked.problem.nodes == 7
    assert abs(asked.nodes_error) > 1e-4
    assert chosen.problem.nodes > 7
    assert abs(chosen.nodes_error) < abs(asked.nodes_error)
    exact = maximise(design, 61).loglik
    assert abs(chosen.loglik - exact) < 0.1 * abs(asked.loglik - exact)


def test_time_is_looked_at_within_an_evaluation() -> None:
    """One placing of the nodes takes many rounds: a limit must not wait for its end."""
    spec = ModelSpec(
        "score16 ~ 1 + score11 + (1 | s | school)",
        "~ 1 + score11 + (1 + score11 | s | school)",
    )
    data = bridge.datasets.simulate("london", 1)
    started = time.monotonic()
    with pytest.raises(EngineTimeout):
        bridge.fit(spec, data, nodes=21, timeout=0.2)
    # 441 nodes of 71,321 rows: a whole placing takes some ten seconds
    assert time.monotonic() - started < 6
