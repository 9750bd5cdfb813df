"""CmdStan and PyStan run the same programs: one density at the same points, and one posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import verdicts
from bridge.engines import stan_backends
from bridge.engines.base import Plan
from bridge.engines.stan_classes import class_points
from bridge.engines.stan_program import CLASSES, GENERAL, GROUPED, PLAIN, choose_program
from bridge.engines.stan_start import initial_points

pytestmark = pytest.mark.stan

SHARED = {"mean": "y ~ 1 + x + (1 + x | s | g)", "variance": "~ 1 + w + (1 | s | g)"}
#: A model of each program, and of what the general one adds.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "by groups": (GROUPED, SHARED),
    "by rows": (PLAIN, SHARED | {"variance": "~ 1 + x + (1 | s | g)"}),
    "covariance prior": (GROUPED, SHARED | {"priors": {"tau": "inverse_wishart(4)"}}),
    "Student-t": (GENERAL, SHARED | {"random_effects": "student_t"}),
    "association": (
        GENERAL,
        {
            "mean": "y ~ 1 + x + (1 | g)",
            "variance": "~ 1 + (1 | g)",
            "association": "quadratic",
        },
    ),
    "functions": (GENERAL, SHARED | {"level2": {"tau": "~ w", "pcor": "~ w"}}),
    "classes": (CLASSES, SHARED | {"random_effects": "classes", "classes": 3}),
}


@pytest.fixture(scope="module", autouse=True)
def _cmdstan() -> None:
    found = stan_backends.available()["cmdstan"]
    if found.startswith("not available"):
        pytest.skip(f"no CmdStan to compare with PyStan: {found}")


def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g = rng.permutation(np.repeat(np.arange(30), 8))
    x, w = rng.normal(size=240), (np.arange(30) % 2.0)[g]
    u, v = rng.normal(size=(2, 30))
    y = 2 + x + u[g] + np.exp(0.5 * (0.3 * w + 0.5 * v[g])) * rng.normal(size=240)
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


def points_of(plan: Plan) -> list[dict[str, Any]]:
    make = initial_points if plan.design.spec.classes is None else class_points
    return make(plan.call["start"], 5, 7, plan.call["data"])


@pytest.mark.parametrize("case", CASES)
def test_the_density_is_the_same(case: str) -> None:
    program, parts = CASES[case]
    plan = bridge.ModelSpec(**parts).translate("stan", data(), seed=1)
    assert choose_program(plan.design) == program
    call, points = plan.call, points_of(plan)
    ours, theirs = (
        stan_backends.log_density(call["program"], call["data"], points, backend)
        for backend in ("cmdstan", "pystan")
    )
    assert np.ptp(ours) > 0.1  # the points do differ
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("case", ["by groups", "association"])
def test_the_posteriors_agree(case: str) -> None:
    spec = bridge.ModelSpec(**CASES[case][1])
    results = [
        bridge.fit(spec, data(), "stan", backend=backend, seed=seed, chains=4, draws=1000)
        for seed, backend in enumerate(("cmdstan", "pystan"), 1)
    ]
    assert [set(r.versions) & {"cmdstan", "pystan"} for r in results] == [{"cmdstan"}, {"pystan"}]
    judged = bridge.compare(*results).verdicts
    assert not (judged["verdict"] == verdicts.DIFFER).any(), judged.to_string()
    assert (judged["verdict"] == verdicts.AGREE).mean() > 0.9, judged.to_string()
