"""Simulation studies: the design drawn, and the cells of their tables by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import published_tables
from bridge.cases.numbers import PRINT, Context, compute, simulate
from bridge.errors import NotAvailable, OptionError


def test_the_design_has_the_moments_that_print_says() -> None:
    case = published_tables.load("leckie2014/simulation")
    parts = case.simulate
    truth = {**parts["truth"], "gamma[Intercept]": 1.0, "delta[Intercept]": -0.6, "delta[w]": 0.3}
    larger = {"design": {**parts["design"], "groups": 1500, "size": 30}, "truth": truth}
    case = replace(case, simulate=larger)
    data = simulate(case, 1)
    w, x = data["w"], data["x"]
    fixed = 1 + 0.2 * w + 0.5 * x - 0.1 * w * x
    residual = data["y"] - fixed
    school = residual.groupby(data["school"])
    assert len(data) == 45_000
    assert x.var() == pytest.approx(1, abs=0.03)
    means = x.groupby(data["school"]).mean()
    # var of a school mean: 0.2 + 0.8 / 30
    assert means.var() == pytest.approx(0.2 + 0.8 / 30, rel=0.1)
    within = (residual - school.transform("mean")) ** 2 * 30 / 29
    log_variance = -0.6 + 0.3 * w + 0.1 * x - 0.1 * w * x
    # E exp(v) = exp(0.1)
    assert (within / np.exp(log_variance)).mean() == pytest.approx(np.exp(0.1), rel=0.05)
    assert school.mean().var() == pytest.approx(0.1 + within.mean() / 30, rel=0.1)
    pd.testing.assert_frame_equal(data, simulate(case, 1))


def refit(_: Any, data: int, __: int) -> Any:
    """Return estimates 1, 2, 3, 4 with intervals of half-width 1.5 by data set."""
    e = float(data)
    row = {
        "parameter": "delta[w]",
        "estimate": e,
        "se": 0.1 * e,
        "lower": e - 1.5,
        "upper": e + 1.5,
    }
    return SimpleNamespace(estimates=pd.DataFrame([row]))


@pytest.mark.parametrize(
    ("what", "value", "error"),
    [
        ("mean", 2.5, 1.2910 / 2),
        ("sd", 1.2910, 1.2910 / np.sqrt(6)),
        ("se", 0.25, 0.12910 / 2),
        # 0.3 lies in the intervals of 1 alone; p = 2/6
        ("coverage", 25.0, 100 * np.sqrt(2 / 9 / 4)),
    ],
)
def test_cells_of_the_table(
    what: str, value: float, error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.cases.recovery_study.simulate", lambda _, seed: seed)
    case: Any = SimpleNamespace(
        settings={"replications": {"c": 4}},
        simulate={"truth": {"delta[w]": 0.3}},
        model=lambda fit: fit,
    )
    context = Context(case, pd.DataFrame(), {}, "c", refit=refit)
    found = compute("study", context, {"of": "delta[w]", "what": what})
    assert found.value == pytest.approx(value, abs=1e-4)
    assert found.mc_error == pytest.approx(error, rel=1e-3)
    assert found.se == pytest.approx(2 * found.mc_error)
    with pytest.raises(OptionError, match="what is one of"):
        compute("study", context, {"of": "delta[w]", "what": "bias"})
    with pytest.raises(NotAvailable, match="no standard errors of 'delta"):
        compute("study", context, {"of": "delta[z]", "what": "mean"})


def test_print_is_no_engine() -> None:
    context = Context(SimpleNamespace(), pd.DataFrame(), {}, PRINT)  # type: ignore[arg-type]
    with pytest.raises(NotAvailable, match="fitted by an engine"):
        compute("study", context, {"of": "delta[w]", "what": "mean"})
