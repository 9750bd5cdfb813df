"""Small fits with a slope, a transform, and factors of rows and of groups, for pictures of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

import bridge
from bridge.result import Result

MEAN = "y ~ 1 + x + I(x^2) + kind + sex + (1 + x | s | g)"
SPEC = bridge.ModelSpec(MEAN, "~ 1 + x + kind + (1 | s | g)")


@cache
def data(groups: int = 24) -> pd.DataFrame:
    """Rows of groups of three kinds, whose slopes and variances differ."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(groups) + 101, rng.integers(12, 40, groups))
    j, kind = g - 101, np.array(["plain", "brick", "stone"])[(g - 101) % 3]
    x = rng.normal(size=len(g)) + 0.5 * rng.normal(size=groups)[j]
    sex = np.where(rng.random(len(g)) < 0.5, "m", "f")
    effects = rng.normal(size=(groups, 3)) * [1.0, 0.5, 0.5]
    sigma = np.exp(0.5 * (0.2 + 0.2 * x + 0.3 * (kind == "stone") + effects[j, 2]))
    y = 10 + x + (kind == "stone") + effects[j, 0] + effects[j, 1] * x
    return pd.DataFrame({"y": y + sigma * rng.normal(size=len(g)), "x": x, "kind": kind,
                         "sex": sex, "g": g})  # fmt: skip


@cache
def fitted(engine: str = "agq", spec: bridge.ModelSpec = SPEC) -> Result:
    """Return a fit of `data`, by maximum likelihood or with canned draws."""
    options = {"fake": {"chains": 2, "draws": 100, "seed": 1}, "agq": {}}
    return bridge.fit(spec, data(), engine, **options[engine])
