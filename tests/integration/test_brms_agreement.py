"""Every model of the two papers by brms, by our Stan programs and by nuts: one posterior.

Both run long enough to tell: at least 400 effective draws of every parameter.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

import bridge
from bridge import verdicts
from bridge.result import Result

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
from seed_models import EXAM, HSB, spec_of

pytestmark = [pytest.mark.slow, pytest.mark.r, pytest.mark.stan]

# gamma mixes slowest in brms: about 1 effective draw in 9
SAMPLING = {"chains": 2, "draws": 3000, "cores": 2}
MODELS = [*HSB, *EXAM]
ENGINES = ["stan", "nuts", "brms"]


@cache
def fitted(name: str, engine: str) -> Result:
    spec, data = spec_of(name)
    seed = {"stan": 1, "brms": 2, "nuts": 3}[engine]  # chains of their own
    result = bridge.fit(spec, bridge.datasets.load(data), engine, seed=seed, **SAMPLING)
    print(f"\n{name}, {engine}: {result.seconds}\n{result.summary()}", flush=True)
    return result


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_400_effective_draws(name: str, engine: str) -> None:
    estimates = fitted(name, engine).estimates
    few = estimates[~(estimates["ess_bulk"] >= 400)]
    assert few.empty, few[["parameter", "ess_bulk"]].to_string()
    stuck = estimates[~(estimates["r_hat"] <= 1.02)]
    assert stuck.empty, stuck[["parameter", "r_hat"]].to_string()


@pytest.mark.parametrize("name", MODELS)
def test_the_engines_agree(name: str) -> None:
    results = [fitted(name, engine) for engine in ENGINES]
    found = bridge.compare(*results)
    print(f"\n{found.text()}", flush=True)
    judged = found.verdicts
    assert len(judged) == 3 * len(results[0].estimates)  # of each two
    other = judged[judged["verdict"] != verdicts.AGREE]
    assert other.empty, other.to_string()
