"""The program on sums by group has the density of the one on rows, and its draws are completed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.design import Design, make_design
from bridge.engines import stan_backends, stan_products
from bridge.engines.stan_data import stan_data
from bridge.engines.stan_information import as_sampled
from bridge.engines.stan_program import GROUPED, PLAIN, choose_program, program_text
from bridge.engines.stan_rows import row_data
from bridge.engines.stan_start import initial_points
from bridge.spec import ModelSpec
from bridge.starting import starting_values

pytestmark = pytest.mark.stan

# mean, variance, which effects are centred
CASES: dict[str, tuple[str, str, list[int]]] = {
    "u and v, u centred": ("y ~ 1 + w + x + (1 | s | g)", "~ 1 + w + (1 | s | g)", [1, 0]),
    "u and v, nothing centred": ("y ~ 1 + w + (1 | s | g)", "~ 1 + w + (1 | s | g)", [0, 0]),
    "all centred": ("y ~ 1 + w + (1 | s | g)", "~ 1 + (1 + w | s | g)", [1, 1, 1]),
    "two u, cross-level": (
        "y ~ 1 + w * x + (1 + x | s | g)",
        "~ 1 + w + (1 | s | g)",
        [1, 1, 0],
    ),
    "independent": ("y ~ 1 + x + (1 + x || g)", "~ 1 + (1 | g)", [0, 1, 0]),
    "no u": ("y ~ 1 + x", "~ 1 + w + (1 | g)", [0]),
    "no v": ("y ~ 1 + x + (1 | g)", "~ 1 + w", [1]),
    "no intercept": ("y ~ 0 + x + (0 + x | g)", "~ 1 + (1 | g)", [1, 0]),
}


def data() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    g = rng.permutation(np.repeat(np.arange(9), 5))
    x, w = rng.normal(size=45), rng.normal(size=9)[g]
    v = 0.5 * rng.normal(size=9)[g]
    y = 100 + x + w + rng.normal(size=9)[g] + np.exp(0.5 * v) * rng.normal(size=45)
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


def made(case: str) -> tuple[Design, dict[str, Any], list[dict[str, Any]]]:
    mean, variance, centred = CASES[case]
    design = make_design(ModelSpec(mean, variance), data())
    start = starting_values(
        design.y, design.mean.matrix, design.variance.matrix, design.Z, design.A, design.group, 9
    )
    rows = stan_data(design)
    words = np.where(np.array(centred) == 1, "centred", "informed").tolist()
    rows = as_sampled(words, rows, start, sort=True)
    return design, rows, initial_points(start, 4, 3, row_data(rows))


@pytest.mark.parametrize("case", CASES)
def test_sums_by_group_have_the_density_of_the_rows(case: str) -> None:
    design, rows, points = made(case)
    assert choose_program(design) == GROUPED
    both = []
    for program, block in (
        (PLAIN, row_data(rows)),
        (GROUPED, stan_products.without_rows(rows, design)),
    ):
        both.append(stan_backends.log_density(program_text(program), block, points))
    by_rows, by_groups = both
    np.testing.assert_allclose(by_groups, by_rows, rtol=1e-9, atol=1e-8)


def test_a_fit_by_groups_is_the_posterior() -> None:
    mean, variance, _ = CASES["u and v, u centred"]
    spec = ModelSpec(mean, variance, priors={"sd_v": "half_normal(0, 0.5)"})
    result = bridge.fit(spec, data(), "stan", chains=2, warmup=400, draws=1000, seed=1)
    assert GROUPED in result.native
    draws = result.idata["posterior"]
    u = draws["u"].sel(mean_effect="u:Intercept").values
    # what was sampled is back at zero mean, with the SD it is said to have
    sd = np.sqrt(draws["tau"].sel(tau_pair="u:Intercept,u:Intercept").values)
    assert abs(u.mean()) < 0.3
    assert 0.5 < np.sqrt((u**2).mean(axis=-1) / sd**2).mean() < 1.3
    ml = bridge.fit(spec.replace(priors={}), data())
    for name in ("gamma[w]", "gamma[x]", "delta[w]"):
        row = result.estimates.set_index("parameter").loc[name]
        assert abs(float(row["estimate"]) - ml.estimate(name)) < 1.0 * float(row["se"])
