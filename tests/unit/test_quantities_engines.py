"""With draws and without, quantities of High School and Beyond agree within their errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import quantities
from bridge.result import Result


@cache
def fitted(engine: str) -> Result:
    spec = bridge.ModelSpec(
        "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
    )
    options = {"nuts": {"chains": 2, "draws": 1000, "seed": 1}, "agq": {}}
    return bridge.fit(spec, bridge.datasets.load("hsb"), engine, **options[engine])


FUNCTIONS: dict[str, Callable[[Result], pd.DataFrame]] = {
    "level-1 variance": lambda r: quantities.level1_variance(r, at={"sector": [0, 1]}),
    "means": quantities.group_mean_range,
    "gap": quantities.outcome_gap,
    "shares": quantities.variance_partition,
    "ratios": quantities.variance_ratios,
    "groups": quantities.groups,
    "groups, own": lambda r: quantities.groups(r, at="own"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_with_draws_and_without(name: str) -> None:
    ml, posterior = (FUNCTIONS[name](fitted(engine)) for engine in ("agq", "nuts"))
    assert set(ml["method"]) == {"delta method"} and set(posterior["method"]) == {"posterior"}
    z = (ml["estimate"] - posterior["estimate"]) / posterior["se"]
    assert z.astype(float).abs().max() < 0.5  # ML is below a posterior mean of a variance
    ratio = (ml["se"] / posterior["se"]).astype(float)
    assert ratio.between(0.7, 1.3).all()


def test_ranks_and_who_differs() -> None:
    ml, posterior = (quantities.groups(fitted(engine)) for engine in ("agq", "nuts"))
    assert (ml["rank"] - posterior["rank"]).abs().max() <= 16  # of 160
    gap = (ml[["p_top", "p_bottom", "p_above"]] - posterior[["p_top", "p_bottom", "p_above"]]).abs()
    assert gap.astype(float).to_numpy().max() < 0.12
    assert (ml["differs"] == posterior["differs"]).mean() > 0.97
    ends = [np.corrcoef(*(f[c].astype(float) for f in (ml, posterior)))[0, 1]
            for c in ("rank_lower", "rank_upper")]  # fmt: skip
    assert min(ends) > 0.97


def test_a_new_groups_own_variance() -> None:
    ml, posterior = (
        bridge.predict(fitted(engine), {"sector": [0, 1]}, groups="new")
        for engine in ("agq", "nuts")
    )
    for name in ("own_variance", "own_variance_lower", "own_variance_upper"):
        ratio = (ml[name] / posterior[name]).astype(float)
        # 2,000 draws: a Monte Carlo error of 3% at the ends; ML is below a posterior's tau
        assert ratio.between(0.88, 1.12).all(), name
