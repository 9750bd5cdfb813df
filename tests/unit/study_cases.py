"""Small studies for tests, and rows of one whose table is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

import bridge
from bridge.study_result import Study
from bridge.study_table import ROWS

B = bridge.ModelSpec("y ~ 1 + x + (1 | school)", "~ 1 + (1 | school)")
MODELS = {"B": B, "A": B.replace(variance="~ 1")}
U, V = "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]"
TRUTH = {"gamma[Intercept]": 1.0, "gamma[x]": 0.5, "delta[Intercept]": -0.5, U: 0.3, V: 0.2}
DESIGN = bridge.SimulationDesign(groups=15, size=8, covariates={"x": {"intraclass": 0.2}})


def small(replications: int = 4, engines=("agq",), models=MODELS, **options) -> Study:
    """Return a study of few and small data sets."""
    options = {"seed": 5, "workers": 2, **options}
    return bridge.simulation_study(TRUTH, DESIGN, models, engines, replications, **options)


def row(replication, model, parameter, estimate, se, lower, upper, **more):
    values = {
        "replication": replication, "model": model, "engine": "agq", "parameter": parameter,
        "component": "mean", "scale": "outcome", "estimate": estimate, "se": se, "lower": lower,
        "upper": upper, "status": "ok", "why": None, "seconds": 0.5,
    }  # fmt: skip
    return {**values, **more}


@cache
def known(replications: int = 200) -> Study:
    """Return a study whose numbers are a formula's, with failures and missing intervals."""
    rows = []
    rng = np.random.default_rng(2)
    for k in range(replications):
        for model, spread in (("A", 0.5), ("B", 1.0)):
            if model == "B" and k % 40 == 0:
                stopped = {"status": "failed", "why": "EngineFailed: no"}
                rows.append(row(k, model, None, np.nan, np.nan, np.nan, np.nan, **stopped))
                continue
            x, w = rng.normal(0, 0.1, 2)
            se = 0.1 * spread
            rows.append(row(k, model, "gamma[x]", 0.5 + x, se, 0.5 + x - 2 * se, 0.5 + x + 2 * se))
            rows.append(row(k, model, "gamma[w]", w, 0.1, w - 0.196, w + 0.196))
            if model == "B" and k % 10 == 3:
                rows.append(row(k, model, V, 0.0, np.nan, np.nan, np.nan))
            elif model == "B":
                rows.append(row(k, model, V, 0.2 + w, 0.1, 0.05 + w, 0.5 + w))
    frame = pd.DataFrame(rows)[["replication", *ROWS]]
    return Study(frame, {"gamma[x]": 0.5, "gamma[w]": 0.0, V: 0.2}, replications, 1)
