"""The table of scale rules, and covariances made of SDs and correlations."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import scales
from bridge.engines.registry import ENGINES
from bridge.scales import ScaleRule


def test_every_engine_has_a_rule() -> None:
    assert set(scales.RULES) == set(ENGINES)


@pytest.mark.parametrize(
    ("engine", "native", "factor"),
    [
        ("brms", "log SD", 2.0),
        ("nlme", "log SD", 2.0),
        ("lme4", "SD", 2.0),
        ("stan", "log variance", 1.0),
        ("nuts", "log variance", 1.0),
        ("fake", "log variance", 1.0),
    ],
)
def test_rules(engine: str, native: str, factor: float) -> None:
    rule = scales.rule(engine, "1.2.3")
    assert (rule.variance, rule.factor) == (native, factor)
    assert scales.rule(engine) == rule


@pytest.mark.parametrize(
    ("version", "factor"),
    [("1.1.8", 1.0), ("1.1.9", 2.0), ("1.1.10", 2.0), ("1.1", 1.0), ("2", 2.0)],
)
def test_a_rule_may_change_between_versions(
    version: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (
        ScaleRule("log variance", 1.0, "SD", before=(1, 1, 9)),
        ScaleRule("log SD", 2.0, "SD", since=(1, 1, 9)),
    )
    monkeypatch.setitem(scales.RULES, "other", rules)
    assert scales.rule("other", version).factor == factor


def test_no_rule_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        scales.rule("unheard of")
    monkeypatch.setitem(scales.RULES, "new", (ScaleRule("log SD", 2.0, "SD", since=(3,)),))
    with pytest.raises(KeyError, match=r"no scale rule for new 2\.9"):
        scales.rule("new", "2.9")


def test_scales_of_covariances_do_not_mind_the_order() -> None:
    assert scales.tau_scale("u", "v") == scales.tau_scale("v", "u") == "outcome × log variance"
    assert scales.tau_scale("u", "u") == "outcome²"
    assert scales.tau_scale("v", "v") == "(log variance)²"


def test_covariances_draw_by_draw() -> None:
    rng = np.random.default_rng(1)
    sd, rho = np.exp(rng.normal(size=(2, 5, 3))), np.tanh(rng.normal(size=(2, 5, 2)))
    matrices = scales.correlation_matrix(rho, [(0, 1), (0, 2)], 3)
    tau = scales.covariance_draws(sd, matrices, [(0, 0), (0, 1), (1, 1), (0, 2), (2, 2)])
    for chain in range(2):
        for draw in range(5):
            s = np.diag(sd[chain, draw])
            r01, r02 = rho[chain, draw]
            full = s @ np.array([[1, r01, r02], [r01, 1, 0], [r02, 0, 1]]) @ s
            expected = [full[0, 0], full[0, 1], full[1, 1], full[0, 2], full[2, 2]]
            np.testing.assert_allclose(tau[chain, draw], expected, rtol=1e-14)


def test_nothing_to_combine() -> None:
    assert scales.covariance_draws(np.zeros((2, 3, 0)), np.zeros((2, 3, 0, 0)), []).shape == (
        2,
        3,
        0,
    )
