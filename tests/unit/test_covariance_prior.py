"""Priors of whole covariance matrices and around estimates: words, numbers, densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bridge
from bridge import covariance_prior, starting, two_step
from bridge.design import Design, make_design
from bridge.engines.stan_data import stan_data
from bridge.errors import EngineRefusal, PriorError
from bridge.pointwise import make_groups
from bridge.priors import Prior, Priors, parse
from bridge.spec import ModelSpec

MEAN, VARIANCE = "mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)"
SLOPES = "mathach ~ 1 + ses + (1 + ses | s | school)"


@pytest.fixture(scope="module")
def hsb() -> pd.DataFrame:
    return bridge.datasets.load("hsb")


def design(data: pd.DataFrame, priors: Any, mean: str = MEAN, variance: str = VARIANCE) -> Design:
    return make_design(ModelSpec(mean, variance, priors=priors), data)


# --- words ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "target", "read"),
    [
        ("inverse_wishart", "tau", Prior("inverse_wishart")),
        ("inverse_wishart()", "tau", Prior("inverse_wishart")),
        ("inverse_wishart(3)", "tau", Prior("inverse_wishart", (3.0,))),
        (
            "inverse_wishart(2.5, 4, -0.1, 0.02)", "tau[u:Intercept]",
            Prior("inverse_wishart", (2.5, 4.0, -0.1, 0.02)),
        ),
        ("flat", "tau", Prior("flat")),
        ("normal(estimate, 1)", "kappa", Prior("normal", (0.0, 1.0), around_estimate=True)),
        (
            "student_t(4, estimate, 2)", "kappa[tau(u:a,u:a),x]",
            Prior("student_t", (4.0, 0.0, 2.0), around_estimate=True),
        ),
    ],
)  # fmt: skip
def test_reading(text: str, target: str, read: Prior) -> None:
    found = Priors({target: text})
    assert found.prior(target) == read
    assert parse(str(read), target.partition("[")[0]) == read
    spec = ModelSpec(MEAN, VARIANCE, priors={target: text})
    assert ModelSpec.from_toml(spec.to_toml()) == spec


@pytest.mark.parametrize(
    ("text", "target", "part"),
    [
        ("inverse_wishart(0)", "tau", "the df of inverse_wishart must be a number above zero"),
        ("inverse_wishart(2, inf)", "tau", "and the others finite numbers"),
        ("inverse_wishart(2, 1, 2)", "tau", "1, 3, 6, ... numbers, not 2"),
        (
            "inverse_wishart(2, 1, 2, 1)",
            "tau",
            "the plausible T of inverse_wishart is not positive",
        ),
        ("inverse_wishart(2, a)", "tau", "are numbers"),
        ("inverse_wishart", "rho", "There are: lkj."),
        ("lkj(1)", "tau", "There are: inverse_wishart, flat."),
        ("normal(estimate, 1)", "gamma", "is the location of a normal or student_t prior on kappa"),
        ("normal(0, estimate)", "kappa", "is the location of a normal or student_t prior on kappa"),
        ("student_t(estimate, 0, 1)", "kappa", "as in normal(estimate, 1)"),
        ("normal(estimate)", "kappa", "takes 2 number(s)"),
        ("normal(estimate, -1)", "kappa", "the sd of normal must be a number above zero"),
    ],
)
def test_what_cannot_be_read(text: str, target: str, part: str) -> None:
    with pytest.raises(PriorError) as caught:
        Priors({target: text})
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("priors", "part"),
    [
        ({"tau": "flat", "sd_u": "exponential(1)"}, "Priors are set on sd_u and on tau"),
        ({"tau": "flat", "sd_v[Intercept]": "exponential(1)"}, "on sd_v[Intercept] and on tau"),
        ({"tau": "flat", "rho": "lkj(2)"}, "of u:Intercept, v:Intercept, its SDs and correlations"),
        ({"tau[v:Intercept]": "flat"}, "which this model does not have. Did you mean"),
        ({"tau": "inverse_wishart(1)"}, "tau: the df of inverse_wishart must be above 1"),
        (
            {"tau[u:Intercept]": "inverse_wishart(3, 2)"},
            "tau[u:Intercept]: the plausible T of inverse_wishart has order 1, and the covariance "
            "matrix of u:Intercept, v:Intercept has order 2",
        ),
    ],
)
def test_what_does_not_fit_the_model(priors: dict, part: str, hsb: pd.DataFrame) -> None:
    with pytest.raises(PriorError) as caught:
        design(hsb, priors)
    assert part in str(caught.value)


def test_level_2_functions_have_no_whole_covariance_matrix(hsb: pd.DataFrame) -> None:
    spec = ModelSpec(MEAN, VARIANCE, level2="~ sector", priors={"tau": "inverse_wishart"})
    with pytest.raises(PriorError, match="set one on kappa, such as kappa="):
        make_design(spec, hsb)


@pytest.mark.parametrize(("engine", "part"), [("brms", "a prior on tau"), ("agq", "priors")])
def test_other_engines_refuse(engine: str, part: str, hsb: pd.DataFrame) -> None:
    spec = ModelSpec(MEAN, VARIANCE, priors={"tau": "inverse_wishart"})
    with pytest.raises(EngineRefusal) as caught:
        spec.translate(engine, hsb)
    assert part in str(caught.value)
    assert "Engines that can: nuts, stan." in str(caught.value)


# --- numbers --------------------------------------------------------------------------------
def test_the_rule_of_the_inverse_wishart(hsb: pd.DataFrame) -> None:
    found = design(hsb, {"tau": "inverse_wishart"})
    T = two_step.estimate(design(hsb, {})).covariance
    (prior,) = found.priors.tau
    assert prior is not None
    expected = [2, T[0, 0], 0, T[1, 1]]  # df the order, covariances zero
    np.testing.assert_allclose(prior.parameters, expected, rtol=1e-3)
    data = stan_data(found)
    np.testing.assert_array_equal(data["tau_prior_kind"], [2, 2])
    np.testing.assert_array_equal(data["tau_prior_df"], [2, 2])
    scale = 2 * np.diag([prior.parameters[1], prior.parameters[3]])
    np.testing.assert_allclose(data["tau_prior_scale"], scale, rtol=1e-15)
    np.testing.assert_array_equal(data["sd_prior_kind"], [0, 0])
    native = found.spec.translate("stan", hsb).native
    assert f"// T of block 1 ~ {prior}, df n and a plausible T" in native
    table = found.spec.priors_in_use(hsb).set_index("parameter")
    assert "rho" not in table.index and "sd[u:Intercept]" not in table.index
    assert table.loc["tau[u:Intercept]", "prior"] == str(prior)
    assert table.loc["tau[u:Intercept]", "source"] == "user"


def test_each_set_of_effects_has_its_own(hsb: pd.DataFrame) -> None:
    priors = {"tau[u:Intercept]": "inverse_wishart(4, 5, 0.5, 1)", "sd_v": "exponential(2)"}
    found = design(hsb, priors, SLOPES, "~ 1 + (1 | school)")
    assert [str(p) for p in found.priors.tau] == ["inverse_wishart(4, 5, 0.5, 1)", "None"]
    data = stan_data(found)
    np.testing.assert_array_equal(data["tau_prior_kind"], [2, 2, 0])
    np.testing.assert_array_equal(data["sd_prior_kind"], [0, 0, 3])
    np.testing.assert_allclose(
        data["tau_prior_scale"], [[20, 2, 0], [2, 4, 0], [0, 0, 0]], rtol=1e-15
    )
    table = found.spec.priors_in_use(hsb).set_index("parameter")
    assert list(table.index)[-2:] == ["sd[v:Intercept]", "tau[u:Intercept]"]
    whole = design(hsb, {"tau": "inverse_wishart"}, SLOPES, "~ 1 + (1 | school)")
    assert [len(p.parameters) for p in whole.priors.tau if p] == [4, 2]
    assert [p.parameters[0] for p in whole.priors.tau if p] == [2, 1]


def test_where_the_two_step_method_cannot_moments_do(hsb: pd.DataFrame) -> None:
    found = design(hsb, {"tau": "inverse_wishart"}, SLOPES, "~ 1 + ses + (1 + ses | s | school)")
    assert two_step.reasons(found)
    (prior,) = found.priors.tau
    assert prior is not None and prior.parameters[0] == 4
    T = covariance_prior.matrix_of(prior.parameters[1:])
    assert T is not None
    np.testing.assert_allclose(np.diag(T), np.diag(starting.start(found).covariance), rtol=1e-3)


@pytest.mark.parametrize("kind", ["rho", "pcor"])
def test_kappa_around_the_estimates_without_functions(kind: str, hsb: pd.DataFrame) -> None:
    spec = ModelSpec(
        SLOPES, VARIANCE, level2={"tau": "~ sector", kind: "~ 0 + sector + I(1 - sector)"},
        priors={"kappa": "normal(estimate, 1)", "kappa[tau(u:ses,u:ses),sector]": "flat"},
    )  # fmt: skip
    found = make_design(spec, hsb)
    T = starting.start(make_design(spec.replace(level2=None, priors={}), hsb)).covariance
    rho = T / np.sqrt(np.outer(np.diag(T), np.diag(T)))
    partial = rho[1, 2] - rho[0, 1] * rho[0, 2]
    partial = partial / np.sqrt((1 - rho[0, 1] ** 2) * (1 - rho[0, 2] ** 2))
    last = rho[1, 2] if kind == "rho" else partial
    expected = []
    for value in (np.log(T[0, 0]), rho[0, 1], np.log(T[1, 1]), rho[0, 2], last, np.log(T[2, 2])):
        # of variances all in the intercept; of the others the same in either sector
        variance = len(expected) in (0, 4, 10)
        expected += [value, 0.0] if variance else 2 * [np.arctanh(value)]
    priors = found.priors.kappa
    assert str(priors[5]) == "flat"
    centres = [p.parameters[0] if p.parameters else 0.0 for p in priors]
    np.testing.assert_allclose(centres, expected, rtol=1e-3, atol=1e-12)
    native = spec.translate("stan", hsb).native
    assert f"{kind}(u:ses,v:Intercept),sector ~ {priors[8]}" in native


# --- densities -------------------------------------------------------------------------------
@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_inverse_wishart_is_scipy_s(order: int) -> None:
    rng = np.random.default_rng(order)
    roots = rng.normal(size=(6, order, order + 2))
    plausible, *T = roots @ roots.swapaxes(1, 2)
    df = order + 0.7
    values = (df, *covariance_prior.triangle(plausible))
    found = covariance_prior.covariance_log_density("inverse_wishart", values, np.array(T))
    expected = [stats.invwishart.logpdf(t, df, df * plausible) for t in T]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_of_one_effect_it_is_inverse_gamma_and_integrates_to_one() -> None:
    def density(x: float) -> float:
        T = np.array([[[x]]])
        found = covariance_prior.covariance_log_density("inverse_wishart", (3.0, 2.0), T)
        assert found[0] == pytest.approx(stats.invgamma.logpdf(x, 1.5, scale=3.0))
        return float(np.exp(found[0]))

    assert integrate.quad(density, 0, np.inf)[0] == pytest.approx(1.0, abs=1e-6)


def test_the_log_prior_of_covariance_matrices(hsb: pd.DataFrame) -> None:
    import xarray as xr

    priors = {"tau[u:Intercept]": "inverse_wishart(4, 5, 0.5, 1)", "sd_v": "exponential(2)"}
    own = design(hsb, priors, SLOPES, "~ 1 + (1 | school)")
    labels = [own.pair_label(pair) for pair in own.tau_pairs]
    rng = np.random.default_rng(1)
    tau = np.array([2.0, 0.3, 0.7, 0.4]) * rng.uniform(0.9, 1.1, (2, 3, 4))
    draws = ("chain", "draw")
    posterior = xr.Dataset(
        {
            "gamma": ((*draws, "mean_term"), rng.normal(size=(2, 3, 2))),
            "delta": ((*draws, "variance_term"), rng.normal(size=(2, 3, 1))),
            "tau": ((*draws, "tau_pair"), tau),
            "rho": ((*draws, "rho_pair"), rng.uniform(-1, 1, (2, 3, 1))),
        },
        {
            "chain": [0, 1], "draw": [0, 1, 2], "mean_term": list(own.mean.labels),
            "variance_term": list(own.variance.labels), "tau_pair": labels,
            "rho_pair": ["u:Intercept,u:ses"],
        },
    )  # fmt: skip
    found = make_groups(own, posterior, ("log_prior",), 1)["log_prior"]
    assert set(found.data_vars) == {"gamma", "delta", "sd", "tau"}
    assert list(found["effect"].values) == ["v:Intercept"]
    assert list(found["effect_set"].values) == ["u:Intercept"]
    a, b, c, d = tau[1, 2]
    scale = 4 * np.array([[5, 0.5], [0.5, 1]])
    expected = stats.invwishart.logpdf([[a, b], [b, c]], 4, scale)
    assert found["tau"].values[1, 2, 0] == pytest.approx(expected)
    sd = stats.expon.logpdf(np.sqrt(d), scale=0.5)
    assert found["sd"].values[1, 2, 0] == pytest.approx(sd)
