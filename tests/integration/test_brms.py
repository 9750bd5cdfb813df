"""brms through bridge against a call of brm by hand in plain Rscript: the same draws."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge.design import Design, make_design
from bridge.result import Result

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import direct_r

pytestmark = pytest.mark.r

DRAWS = {"chains": 2, "warmup": 300, "draws": 200, "seed": 11}
SPEC = bridge.ModelSpec(
    "mathach ~ 1 + sect + ses + (1 | s | school)",
    "~ 1 + sect + (1 | s | school)",
    priors=bridge.Priors(
        delta="normal(0, 3)", sd_u="half_t(4, 0, 6)", sd_v="exponential(2)", rho="lkj(2)"
    ),
)
# The priors on brms's scale, by hand: delta and v are twice what is on the log SD.
BY_HAND = """
suppressPackageStartupMessages(library(brms))
rstan::rstan_options(boost_lib = "/usr/include")
f <- brm(
  bf(mathach ~ sect + ses + (1 | s | school), center = FALSE) +
    lf(sigma ~ sect + (1 | s | school), center = FALSE),
  data = data, family = gaussian(),
  prior = c(
    set_prior("normal(0, 1.5)", class = "b", dpar = "sigma"),
    set_prior("student_t(4, 0, 6)", class = "sd"),
    set_prior("exponential(4)", class = "sd", dpar = "sigma"),
    set_prior("lkj(2)", class = "cor")
  ),
  chains = 2, iter = 500, warmup = 300, cores = 2, seed = 11, refresh = 0
)
d <- as.array(f)                              # iteration, chain, parameter
s <- rstan::get_sampler_params(f$fit, inc_warmup = FALSE)
list(
  draws = lapply(seq_len(dim(d)[3]), function(i) d[, , i]), names = dimnames(d)[[3]],
  divergent = sapply(s, function(x) x[, "divergent__"]),
  stepsize = sapply(s, function(x) x[, "stepsize__"]),
  version = as.character(packageVersion("brms"))
)
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = direct_r.schools(bridge.datasets.load("hsb"), 15)
    frame["sect"] = np.where(frame["sector"] == 1, "Catholic", "Public")
    # numbers that sort otherwise as text, met in an order that is neither
    frame["school"] = 7 * (1 + pd.factorize(frame["school"])[0])
    return frame.sample(frac=1, random_state=2)


@pytest.fixture(scope="module")
def fitted(data: pd.DataFrame) -> Result:
    return bridge.fit(SPEC, data, "brms", **DRAWS)


@pytest.fixture(scope="module")
def direct(data: pd.DataFrame) -> dict[str, Any]:
    said = direct_r.run(BY_HAND, data)
    said["draws"] = dict(zip(said["names"], (d.T for d in said["draws"]), strict=True))
    return said


def posterior(result: Result, variable: str, label: str, dim: str) -> np.ndarray:
    return result.idata["posterior"][variable].sel({dim: label}).to_numpy()


def test_draws_are_those_of_the_call_by_hand_carried_to_our_scales(
    fitted: Result, direct: dict[str, Any]
) -> None:
    d = direct["draws"]
    sd_u, sd_v = d["sd_school__Intercept"], d["sd_school__sigma_Intercept"]
    cor = d["cor_school__Intercept__sigma_Intercept"]
    expected = {
        ("gamma", "Intercept"): d["b_Intercept"],
        ("gamma", "sect[Public]"): d["b_sectPublic"],
        ("gamma", "ses"): d["b_ses"],
        ("delta", "Intercept"): 2 * d["b_sigma_Intercept"],
        ("delta", "sect[Public]"): 2 * d["b_sigma_sectPublic"],
        ("tau", "u:Intercept,u:Intercept"): sd_u**2,
        ("tau", "u:Intercept,v:Intercept"): cor * sd_u * 2 * sd_v,
        ("tau", "v:Intercept,v:Intercept"): (2 * sd_v) ** 2,
        ("rho", "u:Intercept,v:Intercept"): cor,
    }
    dims = {"gamma": "mean_term", "delta": "variance_term", "tau": "tau_pair", "rho": "rho_pair"}
    for (variable, label), values in expected.items():
        ours = posterior(fitted, variable, label, dims[variable])
        assert ours.shape == (2, 200)
        assert len(np.unique(values)) > 200  # the chains do move
        np.testing.assert_allclose(ours, values, rtol=1e-12, err_msg=f"{variable}[{label}]")
    row = fitted.estimates.set_index("parameter")
    assert len(row) == len(expected)
    for (variable, label), values in expected.items():
        cells = row.loc[f"{variable}[{label}]"]
        assert cells["estimate"] == pytest.approx(values.mean(), rel=1e-10)
        assert cells["se"] == pytest.approx(values.std(ddof=1), rel=1e-10)
        assert [cells["lower"], cells["upper"]] == pytest.approx(
            list(np.quantile(values, [0.025, 0.975])), rel=1e-10
        )
        # both rank draws, so that a rounding of the last digit can swap two: of the very same ones
        ours = posterior(fitted, variable, label, dims[variable])
        assert cells["ess_bulk"] == pytest.approx(az.ess(ours), rel=1e-10)
        assert cells["r_hat"] == pytest.approx(az.rhat(ours), rel=1e-10)


def test_group_effects_are_under_the_users_labels(
    fitted: Result, direct: dict[str, Any], data: pd.DataFrame
) -> None:
    schools = [str(s) for s in data["school"].unique()]
    effects = fitted.group_effects.set_index(["group", "effect"])
    assert set(effects.index) == {(s, e) for s in schools for e in ("u:Intercept", "v:Intercept")}
    posterior = fitted.idata["posterior"]
    for school in schools:
        u = direct["draws"][f"r_school[{school},Intercept]"]
        v = 2 * direct["draws"][f"r_school__sigma[{school},Intercept]"]
        for name, dim, values in (("u", "mean_effect", u), ("v", "variance_effect", v)):
            ours = posterior[name].sel({"school": school, dim: f"{name}:Intercept"}).to_numpy()
            np.testing.assert_allclose(ours, values, rtol=1e-12)
            cells = effects.loc[(school, f"{name}:Intercept")]
            assert cells["estimate"] == pytest.approx(values.mean(), rel=1e-9)


def test_the_samplers_words_arrive_under_arvizs_names(
    fitted: Result, direct: dict[str, Any]
) -> None:
    stats = fitted.idata["sample_stats"]
    assert {
        "diverging", "tree_depth", "energy", "acceptance_rate", "step_size", "n_steps", "lp",
    } == set(stats.data_vars)  # fmt: skip
    assert stats["diverging"].dtype == bool
    assert np.array_equal(stats["diverging"].to_numpy(), direct["divergent"].T.astype(bool))
    np.testing.assert_allclose(stats["step_size"].to_numpy(), direct["stepsize"].T, rtol=1e-12)
    np.testing.assert_allclose(stats["lp"].to_numpy(), direct["draws"]["lp__"], rtol=1e-12)
    assert fitted.versions["brms"] == direct["version"][0]
    assert (fitted.seed, fitted.settings["warmup"]) == (11, 300)


def test_student_t_effects_have_degrees_of_freedom(data: pd.DataFrame) -> None:
    spec = bridge.ModelSpec(
        "mathach ~ 1 + ses + (1 | s | school)",
        "~ 1 + (1 | s | school)",
        random_effects="student_t",
    )
    result = bridge.fit(spec, data, "brms", chains=1, warmup=150, draws=50, seed=3)
    nu = result.idata["posterior"]["nu"]
    assert nu.shape == (1, 50)
    assert (nu.to_numpy() > 1).all() and len(np.unique(nu)) > 10
    assert result.estimate("nu") == pytest.approx(float(nu.mean()), rel=1e-12)
    assert result.idata["posterior"]["u"].shape == (1, 50, 15, 1)


@pytest.mark.slow
def test_crossed_blocks_draw_by_draw(data: pd.DataFrame) -> None:
    """The sampler's own log density at each draw is that of what the draw says in our terms.

    Two ids, each joining one effect of the mean with one of the variance, in crossed order, and
    an effect on its own: were one draw, label or pair out of place, the difference would vary.
    """
    spec = bridge.ModelSpec(
        "mathach ~ sect * ses + (1 | a | school) + (0 + ses | b | school)",
        "~ ses + (1 | b | school) + (0 + minority | a | school) + (0 + female | school)",
    )
    result = bridge.fit(spec, data, "brms", chains=2, warmup=150, draws=25, seed=5)
    design = make_design(spec, data)
    p = result.idata["posterior"]
    assert list(p["rho_pair"].values) == ["u:ses,v:Intercept", "u:Intercept,v:minority"]
    gap = [
        float(result.idata["sample_stats"]["lp"][chain, draw])
        - log_posterior(design, p.isel(chain=chain, draw=draw))
        for chain in range(2)
        for draw in range(25)
    ]
    assert np.ptp(p["tau"].values, axis=(0, 1)).min() > 0
    assert np.ptp(gap) < 1e-6


def log_posterior(design: Design, at: Any) -> float:
    """Up to a constant, with the Jacobians of what Stan samples: log SD and atanh rho."""
    u, v = at["u"].to_numpy(), at["v"].to_numpy()  # (J, q)
    mean = design.mean.matrix @ at["gamma"].to_numpy() + (design.Z * u[design.group]).sum(axis=1)
    log_variance = design.variance.matrix @ at["delta"].to_numpy()
    log_variance += (design.A * v[design.group]).sum(axis=1)
    total = stats.norm.logpdf(design.y, mean, np.exp(log_variance / 2)).sum()
    names = [str(e) for part in ("mean", "variance") for e in at[f"{part}_effect"].values]
    effects = dict(zip(names, np.hstack([u, v]).T, strict=True))
    sd = {e: float(at["tau"].sel(tau_pair=f"{e},{e}")) ** 0.5 for e in names}
    scale = {"u": 2.5 * design.outcome_mad, "v": 1.0}
    for e in names:
        total += stats.t.logpdf(sd[e], 3, 0, scale[e[0]]) + np.log(sd[e])
    z = {e: effects[e] / sd[e] for e in names}
    for pair in map(str, at["rho_pair"].values):
        first, second = pair.split(",")
        rho = float(at["rho"].sel(rho_pair=pair))
        covariance = float(at["tau"].sel(tau_pair=pair))
        assert covariance == pytest.approx(rho * sd[first] * sd[second], rel=1e-10)
        z[second] = (z[second] - rho * z[first]) / np.sqrt(1 - rho**2)
        total += np.log1p(-(rho**2))  # LKJ(1) of two is flat
    return float(total + sum(stats.norm.logpdf(values).sum() for values in z.values()))
