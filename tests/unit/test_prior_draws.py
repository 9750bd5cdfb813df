"""Parameters drawn from priors have the very densities that the engines use.

For two sets of priors p and q, the mean of q / p over draws of p is 1; densities are those of
`bridge.pointwise`, against which engines are tested.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

from bridge import names
from bridge.design import Design, make_design
from bridge.errors import EngineFailed, PriorError
from bridge.pointwise import make_groups
from bridge.prior_draws import check_drawable, draw_parameters, number_of
from bridge.priors import Priors, parse
from bridge.spec import ModelSpec

COEFFICIENTS = {"gamma": "normal(1, 2)", "delta": "student_t(5, 0, 1)"}
WIDE = COEFFICIENTS | {"sd_u": "half_t(3, 0, 2)", "sd_v": "exponential(1)"}
NARROW = {"gamma": "normal(1, 1.7)", "delta": "normal(0, 1)", "sd_u": "half_normal(0, 1.5)",
          "sd_v": "exponential(1.5)"}  # fmt: skip
THREE = {"mean": "y ~ 1 + x + (1 + x | s | g)", "variance": "~ 1 + w + (1 | s | g)"}
TWO = {"mean": "y ~ 1 + x + (1 | s | g)", "variance": "~ 1 + w + (1 | s | g)"}
LKJ = ({"rho": "lkj(1)"}, {"rho": "lkj(2.5)"})

#: What is drawn -> the model, wide priors and others.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "no effects": (cases.DESIGNS["no groups"], COEFFICIENTS,
                   {"gamma": "normal(1, 1.7)", "delta": "normal(0, 1)"}),
    "three effects": (THREE, WIDE | LKJ[0], NARROW | LKJ[1]),
    "four effects": (cases.DESIGNS["2u 2v"], WIDE | LKJ[0], NARROW | LKJ[1]),
    "two sets": (cases.DESIGNS["ids"], WIDE | LKJ[0], NARROW | LKJ[1]),
    "inverse Wishart": (
        THREE, COEFFICIENTS | {"tau": "inverse_wishart(5, 2, 0.3, 1, 0, 0.1, 0.5)"},
        COEFFICIENTS | {"tau": "inverse_wishart(7, 2, 0.2, 1, 0, 0.1, 0.6)"}),
    "inverse gamma": (cases.DESIGNS["u"], COEFFICIENTS | {"tau": "inverse_wishart(4, 2)"},
                      COEFFICIENTS | {"tau": "inverse_wishart(6, 2)"}),
    "Student-t": (TWO | {"random_effects": "student_t"}, WIDE | {"nu": "gamma(2, 0.1)"},
                  NARROW | {"nu": "gamma(2.5, 0.2)"}),
    "association": (cases.DESIGNS["quadratic raw"], WIDE | {"lambda_": "normal(0, 1)"},
                    NARROW | {"lambda_": "normal(0.1, 0.8)"}),
    "functions": (TWO | {"level2": "~ h"}, COEFFICIENTS | {"kappa": "normal(0, 1)"},
                  COEFFICIENTS | {"kappa": "normal(0.1, 0.8)"}),
    "one function": (TWO | {"level2": {"tau[u:Intercept,u:Intercept]": "~ h"}},
                     COEFFICIENTS | LKJ[0] | {"sd_v": "exponential(1)",
                                              "kappa": "student_t(4, 0, 1)"},
                     COEFFICIENTS | LKJ[1] | {"sd_v": "exponential(1.5)",
                                              "kappa": "normal(0, 1)"}),
    "two classes": (TWO | {"random_effects": "classes", "classes": 2}, WIDE, NARROW),
    "three classes": (
        TWO | {"random_effects": "classes", "classes": 3}, WIDE | {"pi": "dirichlet(1)"},
        NARROW | {"pi": "dirichlet(2)", "sd_v": "exponential(1.5)"}),
}  # fmt: skip


def design_of(parts: dict[str, Any], priors: dict[str, str]) -> Design:
    return make_design(ModelSpec(**parts, priors=Priors(priors)), cases.frame((4,) * 12))


def drawn(design: Design, size: int, seed: int = 1) -> xr.Dataset:
    """Return draws as a posterior has them."""
    rng = np.random.default_rng(seed)
    values = [draw_parameters(design, rng) for _ in range(size)]
    labels = {
        "gamma": design.mean.labels,
        "delta": design.variance.labels,
        "lambda_": design.latent_terms,
        "tau": [design.pair_label(pair) for pair in design.constant_tau_pairs],
        "rho": [design.pair_label(pair) for pair in design.constant_rho_pairs],
        "kappa": [names.kappa_label(*term) for term in design.kappa_terms],
        "pi": names.class_labels(design.spec.classes),
    }
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, own in labels.items():
        if len(own):
            dim = names.VARIABLES[name][0]
            columns = [[value[names.flat(name, label)] for label in own] for value in values]
            data[name], coords[dim] = (("chain", "draw", dim), np.array(columns)[None]), list(own)
    if "nu" in values[0]:
        data["nu"] = (("chain", "draw"), np.array([[value["nu"] for value in values]]))
    for letter, effects in (("u", design.mean_effects), ("v", design.variance_effects)):
        if design.spec.classes and effects:
            points = [
                [[value[names.flat(f"{letter}_class", names.class_effect(c, e))] for e in effects]
                 for c in labels["pi"]]
                for value in values
            ]  # fmt: skip
            dims = ("chain", "draw", *names.VARIABLES[f"{letter}_class"])
            data[f"{letter}_class"], coords[dims[3]] = (dims, np.array(points)[None]), list(effects)
    return xr.Dataset(data, {**coords, "chain": [0], "draw": np.arange(size)})


def log_prior(design: Design, posterior: xr.Dataset) -> np.ndarray:
    found = make_groups(design, posterior, ("log_prior",), 1)["log_prior"]
    return sum(v.values.reshape(posterior.sizes["draw"], -1).sum(axis=1) for v in found.values())


def ratio(parts: dict[str, Any], wide: dict[str, str], narrow: dict[str, str]) -> np.ndarray:
    """Return q / p at draws of p."""
    first, second = design_of(parts, wide), design_of(parts, narrow)
    posterior = drawn(first, 1500)
    return np.exp(log_prior(second, posterior) - log_prior(first, posterior))


@pytest.mark.parametrize("name", PAIRS)
def test_draws_have_the_density(name: str) -> None:
    found = ratio(*PAIRS[name])
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert error < 0.1
    assert found.mean() == pytest.approx(1.0, abs=4 * error)


def test_draws_of_other_priors_are_seen() -> None:
    """The same mean over draws of another LKJ, of a doubled SD, or of another matrix, is not 1."""
    parts, wide, narrow = PAIRS["three effects"]
    for other in ({"rho": "lkj(1.5)"}, {"sd_u": "half_t(3, 0, 1.4)"}, {"delta": "normal(0, 0.6)"}):
        first, second = design_of(parts, wide), design_of(parts, narrow)
        posterior = drawn(design_of(parts, wide | other), 2000)
        found = np.exp(log_prior(second, posterior) - log_prior(first, posterior))
        assert abs(found.mean() - 1) > 4 * found.std(ddof=1) / np.sqrt(len(found))


SCALARS = {
    "normal(1, 2)": stats.norm(1, 2),
    "student_t(3, 1, 2)": stats.t(3, 1, 2),
    "half_t(3, 0, 2)": None,
    "half_normal(0, 2)": stats.halfnorm(0, 2),
    "exponential(2)": stats.expon(scale=0.5),
}


@pytest.mark.parametrize("text", SCALARS)
def test_single_numbers(text: str) -> None:
    rng = np.random.default_rng(5)
    prior = parse(text, "sd_u" if "half" in text or "exp" in text else "gamma")
    values = np.array([number_of(prior, rng) for _ in range(4000)])
    law = SCALARS[text]
    cdf = law.cdf if law is not None else lambda x: 2 * stats.t(3, 0, 2).cdf(x) - 1
    assert stats.kstest(values, cdf).pvalue > 1e-3
    assert stats.kstest(1.2 * values, cdf).pvalue < 1e-3


def test_every_correlation_of_lkj_has_its_marginal() -> None:
    """(1 + rho) / 2 is beta(eta + K / 2 - 1, the same), whichever the pair."""
    posterior = drawn(design_of(THREE, WIDE | {"rho": "lkj(1.5)"}), 2000)
    for column in posterior["rho"].values[0].T:
        assert stats.kstest((1 + column) / 2, stats.beta(2.0, 2.0).cdf).pvalue > 1e-3


def test_degrees_of_freedom_are_above_one() -> None:
    design = design_of(TWO | {"random_effects": "student_t"}, WIDE | {"nu": "gamma(2, 1)"})
    nu = drawn(design, 2000)["nu"].values[0]
    law = stats.gamma(2)
    assert nu.min() > 1
    assert stats.kstest(nu, lambda x: 1 - law.sf(x) / law.sf(1)).pvalue > 1e-3


def test_functions_of_correlations_make_matrices() -> None:
    """Draws without a covariance matrix in some group are drawn again, or said to be all there."""
    priors = COEFFICIENTS | {"kappa": "normal(0, 1)"}
    design = design_of(THREE | {"level2": {"tau": "~ h", "rho": "~ h"}}, priors)
    draw_parameters(design, np.random.default_rng(1))
    wild = design_of(
        THREE | {"level2": {"tau": "~ h", "rho": "~ h"}},
        COEFFICIENTS | {"kappa": "normal(9, 0.01)", "kappa[rho(u:Intercept,u:x),Intercept]":
                        "normal(-9, 0.01)"},
    )  # fmt: skip
    with pytest.raises(EngineFailed, match="make those of kappa tighter"):
        draw_parameters(wild, np.random.default_rng(1))


# --- what cannot be drawn from ---
REFUSED = {
    "nothing": (TWO, {}, "gamma[Intercept], gamma[x], delta[Intercept], delta[w], the SD of "
                "u:Intercept (2.5 MAD of the outcome); write"),
    "one": (TWO, WIDE | {"delta[w]": "flat"}, ": delta[w]; write"),
    "sd_v": (TWO, WIDE | {"sd_v": "flat"}, "the SD of v:Intercept; write"),
    "tau": (TWO, COEFFICIENTS | {"tau": "flat"}, "tau of u:Intercept, v:Intercept; write"),
    "tau from data": (TWO, COEFFICIENTS | {"tau": "inverse_wishart"}, "tau of u:Intercept, v:Int"),
    "kappa": (TWO | {"level2": "~ h"}, COEFFICIENTS, "kappa[tau(u:Intercept,u:Intercept),h]"),
    "estimate": (TWO | {"level2": "~ h"}, COEFFICIENTS | {"kappa": "normal(estimate, 1)"},
                 "kappa[tau(u:Intercept,u:Intercept),h] (centred at an estimate from the data)"),
    "lambda": (cases.DESIGNS["linear raw"], WIDE, ": lambda_[u:Intercept]; write"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_flat_priors_and_those_from_data_are_refused_by_name(name: str) -> None:
    parts, priors, said = REFUSED[name]
    with pytest.raises(PriorError) as raised:
        check_drawable(design_of(parts, {}), Priors(priors))
    assert said in str(raised.value) and "write, for example, priors=" in str(raised.value)


@pytest.mark.parametrize("name", PAIRS)
def test_proper_priors_pass(name: str) -> None:
    parts, wide, _ = PAIRS[name]
    check_drawable(design_of(parts, wide), Priors(wide))
