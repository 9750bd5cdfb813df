"""Engine nuts against engine stan: one density, and posteriors that agree."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.engines import stan_backends
from bridge.engines.stan_program import GENERAL, PLAIN, program_text
from bridge.nuts.calling import Density
from bridge.nuts.formulation import WORDS

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
import nuts_cases as cases
from nuts_cases import reference

pytestmark = pytest.mark.stan

# program, blocks, effects in the mean, arguments of the data, what is added, priors of T by block
# (1 flat, 2 inverse Wishart). Student-t effects are not here: Stan samples the scale of each group,
# which nuts integrates out; both are tested against NumPy.
CASES: dict[str, tuple[str, list[int], int, dict, dict, dict]] = {
    "two and two": (PLAIN, [1, 1, 1, 1], 2, {"lkj": 1.7}, {}, {}),
    "interleaved blocks": (PLAIN, [1, 2, 1, 2, 1], 2, {"lkj": 0.6}, {}, {}),
    "by cells": (PLAIN, [1, 1], 1, {"k": 1}, {}, {}),
    "priors of whole matrices": (PLAIN, [1, 2, 1, 2, 2], 3, {}, {}, {1: 2, 2: 1}),
    "quadratic": (GENERAL, [1, 1], 2, {}, {"latent": 2}, {}),
    "linear, raw": (GENERAL, [1], 1, {}, {"latent": 1, "standardised": False}, {}),
    "functions": (
        GENERAL, [1, 2, 1, 2, 2], 2, {"lkj": 0.7}, {"functions": {(1, 1): 1, (2, 0): 2}}, {},
    ),
    "functions of partial correlations": (
        GENERAL, [1, 1, 1], 2, {},
        {"functions": {(1, 1): 2, (1, 0): 1, (2, 0): 2, (2, 1): 1}, "partial": 1}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("name", CASES)
def test_density_equals_stans(name: str, word: str) -> None:
    chosen, block, qu, other, more, whole = CASES[name]
    rng = np.random.default_rng(len(name))
    data = reference.make_data(block, qu, [1] * len(block), **other)
    data = reference.extended(data, **more)
    if whole:
        data = reference.with_priors(data, whole, rng)
    problem = cases.problem_of(data, words=[word] * len(block))
    density, ours, points = Density(problem), [], []
    for _ in range(5):
        x = cases.random_point(problem, data, rng)
        point = cases.named(problem, data, x)
        T = reference.covariances(data, point)
        ours.append(density(x)[0] - cases.log_jacobian(problem, point, T))
        points.append({key: value for key, value in point.items() if key != "rho"})
        points[-1] |= {"nu": np.zeros(0), "mixing": np.zeros(0)}
    theirs = stan_backends.log_density(program_text(chosen), *reference.as_sampled(data, points))
    assert np.ptp(ours) > 1.0
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8)


W = "I(ses - meanses)"
POSTERIORS = {
    "hsb": bridge.ModelSpec(
        "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
    ),
    "exam": bridge.ModelSpec(
        "normexam ~ 1 + standlrt + (1 + standlrt | s | school)",
        "~ 1 + standlrt + (1 + standlrt | s | school)",
    ),
}


@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors_agree_with_stans(name: str) -> None:
    data, settings = bridge.datasets.load(name), {"chains": 2, "seed": 1}
    ours = bridge.fit(POSTERIORS[name], data, "nuts", draws=2000, **settings)
    theirs = bridge.fit(POSTERIORS[name], data, "stan", warmup=300, draws=400, **settings)
    both = ours.estimates.merge(theirs.estimates, on="parameter", suffixes=("", "_stan"))
    gap = (both["estimate"] - both["estimate_stan"]).abs()
    error = (both["mcse"] ** 2 + both["mcse_stan"] ** 2) ** 0.5
    assert (gap < 4 * error).all(), both.assign(z=gap / error)
    ratio = (both["se"] / both["se_stan"]).astype(float)
    assert ratio.between(0.75, 1.35).all(), both.assign(ratio=ratio)


def test_a_prior_on_the_whole_covariance_matrix_gives_the_printed_posterior() -> None:
    """Leckie, French, Charlton & Browne (2014), Table 2, Model 1: mean (SD)."""
    spec = POSTERIORS["hsb"].replace(priors={"tau": "inverse_wishart"})
    found = bridge.fit(spec, bridge.datasets.load("hsb"), "nuts", chains=2, seed=1)
    printed = {
        "gamma[sector]": (2.829, 0.442),
        "delta[Intercept]": (3.783, 0.028),
        "tau[u:Intercept,u:Intercept]": (6.817, 0.889),
        "tau[v:Intercept,v:Intercept]": (0.016, 0.006),
        "rho[u:Intercept,v:Intercept]": (-0.279, 0.173),
    }
    rows = found.estimates.set_index("parameter")
    for name, (mean, sd) in printed.items():
        assert abs(rows.loc[name, "estimate"] - mean) < 0.1 * sd + 0.0005, name
        assert abs(rows.loc[name, "se"] - sd) < 0.1 * sd + 0.0005, name
