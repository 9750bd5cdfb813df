"""What a larger model adds, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge.design import Design, make_design
from bridge.engines.harmonise import parameter_table
from bridge.errors import RequestError
from bridge.nesting import added, not_spanned
from bridge.spec import ModelSpec


def frame() -> pd.DataFrame:
    """Return 8 groups of 5 rows."""
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(8), 5)
    return pd.DataFrame(
        {
            "y": rng.normal(size=40),
            "x": rng.normal(size=40),
            "z": rng.normal(size=40),
            "f": np.tile(["a", "b"], 20),
            "w": rng.normal(size=8)[g],
            "c": np.repeat(["p", "q"], 4)[g],
            "g": g,
        }
    )


def design(mean: str, variance: str = "~ 1", **parts: Any) -> Design:
    """Return a design of the frame."""
    return make_design(ModelSpec(f"y ~ {mean}", variance, **parts), frame())


TAU_U = "tau[u:Intercept,u:Intercept]"
TAU_X = "tau[u:x,u:x]"
RHO = "rho[u:Intercept,u:x]"
V, S = "~ 1 + (1 | g)", "~ 1 + (1 | s | g)"

# smaller, larger, regular, effects, covariances, whether the distribution is known
CASES: dict[str, tuple[Design, Design, int, tuple[str, ...], int, bool]] = {
    "mean": (design("1"), design("x + z"), 2, (), 0, True),
    "mean by its span": (design("1 + f"), design("0 + f + x"), 1, (), 0, True),
    "variance": (design("1 + (1 | g)"), design("1 + (1 | g)", "~ x"), 1, (), 0, True),
    "first effect": (design("x"), design("x + (1 | g)"), 0, ("u:Intercept",), 0, True),
    "slope": (design("x + (1 | g)"), design("x + (1 + x | g)"), 0, ("u:x",), 1, True),
    "slope alone": (design("x + (1 | g)"), design("x + (1 + x || g)"), 0, ("u:x",), 0, True),
    "slope and more": (
        design("1 + (1 | g)"), design("x + z + (1 + x | g)", "~ z"), 3, ("u:x",), 1, True
    ),
    "third of a block": (
        design("x + z + (1 + x | g)"), design("x + z + (1 + x + z | g)"), 0, ("u:z",), 2, True
    ),
    "covariance": (design("x + (1 + x || g)"), design("x + (1 + x | g)"), 1, (), 0, True),
    "covariances and an effect": (
        design("x + z + (1 + x || g)"), design("x + z + (1 + x + z | g)"), 1, ("u:z",), 2, True
    ),
    "v": (design("1 + (1 | s | g)"), design("1 + (1 | s | g)", S), 0, ("v:Intercept",), 1, True),
    "v alone": (design("1 + (1 | g)"), design("1 + (1 | g)", V), 0, ("v:Intercept",), 0, True),
    "u and v correlated": (design("1 + (1 | g)", V), design("1 + (1 | s | g)", S), 1, (), 0, True),
    "centred slope": (
        design("x + (1 + x | g)"), design("x + (1 + center(x) + z | g)"), 0, ("u:z",), 2, True
    ),
    "intercept as two levels": (
        design("f + (1 | g)"), design("f + (0 + f | g)"), 0, ("u:f[a]",), 1, True
    ),
    "two effects": (
        design("1"), design("1 + (1 | g)", V), 0, ("u:Intercept", "v:Intercept"), 0, False
    ),
    "association": (
        design("1 + (1 | g)", V), design("1 + (1 | g)", V, association="linear"), 1, (), 0, True
    ),
    "association of two, squares": (
        design("x + (1 + x | g)"),
        design("x + (1 + x | g)", association="quadratic"), 4, (), 0, True
    ),
    "squares": (
        design("1 + (1 | g)", association="linear"),
        design("1 + (1 | g)", association="quadratic"), 1, (), 0, True
    ),
    "v beside an association": (
        design("1 + (1 | g)", association="linear"),
        design("1 + (1 | g)", V, association="linear"), 0, ("v:Intercept",), 0, True
    ),
    "u with its association": (
        design("1 + x", V), design("1 + x + (1 | g)", V, association="linear"),
        0, ("u:Intercept",), 0, False
    ),
    "function of a variance": (
        design("1 + (1 | g)"), design("1 + (1 | g)", level2="~ w + c"), 2, (), 0, True
    ),
    "functions of all": (
        design("x + (1 + x | g)"), design("x + (1 + x | g)", level2="~ w"), 3, (), 0, True
    ),
    "functions of all, uncorrelated before": (
        design("x + (1 + x || g)", level2="~ 1"), design("x + (1 + x | g)", level2="~ w"),
        4, (), 0, True
    ),
    "function by its span": (
        design("1 + (1 | g)", level2="~ c"), design("1 + (1 | g)", level2="~ 0 + c + w"),
        1, (), 0, True
    ),
    "v beside a function": (
        design("1 + (1 | g)", level2={TAU_U: "~ w"}),
        design("1 + (1 | s | g)", S, level2={TAU_U: "~ w"}), 0, ("v:Intercept",), 1, True
    ),
    "an effect with a function": (
        design("x + (1 | g)"), design("x + (1 + x || g)", level2={TAU_X: "~ w"}),
        0, ("u:x",), 0, False
    ),
    "an effect whose correlation has a function": (
        design("x + (1 | g)"), design("x + (1 + x | g)", level2={RHO: "~ w"}),
        0, ("u:x",), 2, False
    ),
    "the same": (design("x + (1 | g)"), design("center(x) + (1 | g)"), 0, (), 0, True),
}  # fmt: skip


def parameters(of: Design) -> int:
    """Count the parameters of a model, correlations beside their covariances left out."""
    again = set(of.constant_rho_pairs) & set(of.constant_tau_pairs)
    return len(parameter_table(of)) - len(again)


@pytest.mark.parametrize("case", CASES)
def test_what_is_added(case: str) -> None:
    small, large, regular, effects, covariances, known = CASES[case]
    found = added(small, large)
    assert (found.effects, found.covariances) == (effects, covariances)
    assert (found.unknown == "") == known
    if known:
        assert found.regular == regular
        count = found.regular + found.covariances + len(found.effects)
        assert count == parameters(large) - parameters(small)
    assert found.nothing == (case == "the same")


@pytest.mark.parametrize("case", [c for c in CASES if c != "the same"])
def test_the_other_way_round_is_not_nested(case: str) -> None:
    small, large = CASES[case][:2]
    with pytest.raises(RequestError, match="not nested"):
        added(large, small)


def test_blocks_are_not_joined_over_a_span() -> None:
    # independent intercept and slope are not independent about another origin
    with pytest.raises(RequestError, match="first has u:x independent of the other"):
        added(design("x + (1 + x || g)"), design("x + z + (1 + center(x) || g)"))
    with pytest.raises(RequestError, match="the covariances of u:Intercept, u:x"):
        added(design("x + (1 + x | g)"), design("x + z + (1 + x || g)"))


def test_spans() -> None:
    rng = np.random.default_rng(1)
    span = rng.normal(size=(30, 3)) * [1e-6, 1.0, 1e6]
    inside = span @ np.array([[1.0, 1e6], [2.0, 0.0], [0.0, 1.0]])
    outside = inside[:, :1] + 1e-3 * rng.normal(size=(30, 1))
    assert list(not_spanned(np.hstack([inside, outside]), span)) == [2]
    assert list(not_spanned(inside, np.zeros((30, 0)))) == [0, 1]
    assert list(not_spanned(np.zeros((30, 0)), span)) == []
