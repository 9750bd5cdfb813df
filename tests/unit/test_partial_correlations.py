"""Level-2 functions of canonical partial correlations: words, matrices, maximum likelihood."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bridge
from bridge import names
from bridge.design import Design, make_design
from bridge.errors import RequestError, SpecError
from bridge.fitted_parameters import free_at
from bridge.marginal.by_draw import NODES, marginal_by_draw
from bridge.marginal.canonical import canonical
from bridge.marginal.law import FunctionLaw
from bridge.marginal.problem import make_problem
from bridge.nesting import added
from bridge.partial_correlations import atanh_partial, left_of, partial_factor
from bridge.spec import ModelSpec

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

TWO = {"mean": "y ~ 1 + x + (1 | s | g)", "variance": "~ 1 + (1 | s | g)"}
THREE = {"mean": "y ~ 1 + x + (1 + x | s | g)", "variance": "~ 1 + (1 | s | g)"}
TAUS = [f"tau[{e},{e}]" for e in ("u:Intercept", "u:x", "v:Intercept")]


def design(parts: dict, level2: Any) -> Design:
    return make_design(ModelSpec(**parts, level2=level2), cases.frame())


# --- matrices -------------------------------------------------------------------------------
def test_three_effects_by_the_formula_of_partial_correlation() -> None:
    z = np.array([[0, 0, 0], [0.3, 0, 0], [-0.5, 0.9, 0]])
    L = partial_factor(z)
    R = L @ L.T
    r = np.tanh(z)
    np.testing.assert_allclose(np.diag(R), 1, rtol=1e-15)
    np.testing.assert_allclose([R[1, 0], R[2, 0]], [r[1, 0], r[2, 0]], rtol=1e-15)
    partial = (R[2, 1] - R[1, 0] * R[2, 0]) / np.sqrt((1 - R[1, 0] ** 2) * (1 - R[2, 0] ** 2))
    assert partial == pytest.approx(r[2, 1], rel=1e-14)
    assert atanh_partial(R, 1, 2, [0]) == pytest.approx(0.9, rel=1e-12)
    assert atanh_partial(R, 0, 2, []) == pytest.approx(-0.5, rel=1e-12)
    np.testing.assert_allclose(np.tril(left_of(z))[2], [1, np.sqrt(1 - r[2, 0] ** 2), L[2, 2]])


def test_any_values_make_a_positive_definite_matrix() -> None:
    rng = np.random.default_rng(1)
    L = partial_factor(rng.normal(0, 8, (500, 5, 5)))
    assert (np.diagonal(L, axis1=1, axis2=2) > 0).all()  # the factor of a matrix that is one
    np.testing.assert_allclose((L**2).sum(axis=2), 1, rtol=1e-12)
    R = np.tanh(rng.normal(0, 8, (500, 5, 5)))
    R = np.tril(R, -1) + np.tril(R, -1).swapaxes(1, 2) + np.eye(5)
    assert (np.linalg.eigvalsh(R)[:, 0] < 0).mean() > 0.9  # correlations as they are would not


def test_the_law_by_group_and_its_start() -> None:
    problem = make_problem(design(THREE, {"tau": "~ h", "pcor": "~ h"}))
    law = problem.law
    assert isinstance(law, FunctionLaw)
    T = np.array([[2, 0.5, -0.3], [0.5, 1, 0.2], [-0.3, 0.2, 0.6]])
    sd, R = law.elements(law.start(T))
    np.testing.assert_allclose(
        R, np.broadcast_to(T / np.sqrt(np.outer(*2 * [np.diag(T)])), R.shape)
    )
    np.testing.assert_allclose(sd, np.broadcast_to(np.sqrt(np.diag(T)), sd.shape))
    parameters = np.random.default_rng(2).normal(0, 1, law.size)
    factor = law.factor(parameters)
    assert factor is not None
    sd, R = law.elements(parameters)
    np.testing.assert_allclose(
        factor @ factor.swapaxes(1, 2), sd[:, :, None] * R * sd[:, None], atol=1e-12
    )


def test_for_two_effects_they_are_correlations() -> None:
    partial, plain = (make_problem(design(TWO, {"tau": "~ h", k: "~ h"})) for k in ("pcor", "rho"))
    free = cases.at_random(plain, 5)
    ours, theirs = partial.evaluate(free), plain.evaluate(free)
    assert ours.loglik == pytest.approx(theirs.loglik, abs=1e-10)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-9)


# --- words -----------------------------------------------------------------------------------
def test_every_pair_of_the_set_has_its_function() -> None:
    found = design(THREE, {"tau": "~ h", "pcor[u:Intercept,v:Intercept]": "~ h"})
    assert list(found.level2) == [
        TAUS[0], "pcor[u:Intercept,u:x]", TAUS[1], "pcor[u:Intercept,v:Intercept]",
        "pcor[u:x,v:Intercept]", TAUS[2],
    ]  # fmt: skip
    assert found.level2["pcor[u:x,v:Intercept]"].labels == ("Intercept",)
    assert not found.constant_rho_pairs and not found.constant_tau_pairs
    assert ("pcor", "u:Intercept,v:Intercept", "h") in found.kappa_terms
    # a set apart keeps its correlation
    apart = design(
        {"mean": THREE["mean"], "variance": "~ 1 + w + (1 + w | g)"},
        {"pcor[u:Intercept,u:x]": "~ h"},
    )
    assert list(apart.level2) == ["pcor[u:Intercept,u:x]"]
    assert [apart.pair_label(p) for p in apart.constant_rho_pairs] == ["v:Intercept,v:w"]


def test_short_keys_stand_for_all_not_named() -> None:
    found = design(THREE, {"tau": "~ h", TAUS[1]: "~ 1 + k", "rho": "~ k"})
    assert found.level2[TAUS[0]].labels == ("Intercept", "h")
    assert found.level2[TAUS[1]].labels == ("Intercept", "k")
    assert found.level2["rho[u:x,v:Intercept]"].labels == ("Intercept", "k")
    whole = design(THREE, {"tau": "~ h", "rho": "~ h"})
    assert list(whole.level2) == list(design(THREE, "~ h").level2)


@pytest.mark.parametrize(
    ("level2", "part"),
    [
        ({"pcor": "~ h", "rho[u:Intercept,u:x]": "~ h"}, "never mixed; write one kind"),
        ({"pcor": "~ h", "rho": "~ h"}, "never mixed; write one kind"),
        ({"pcor[u:x,u:Intercept]": "~ h"}, "write pcor[u:Intercept,u:x]."),
        ({"pcor[u:Intercept,u:z]": "~ h"}, "which this model does not have"),
        ({"pcor[u:x,u:x]": "~ h"}, "is not an element; there are tau[a,a]"),
        ({"cor": "~ h"}, "is not an element"),
    ],
)
def test_what_is_refused(level2: dict, part: str) -> None:
    with pytest.raises(SpecError) as caught:
        design(THREE, level2)
    assert part in str(caught.value)


def test_a_model_without_correlations_has_none() -> None:
    parts = {"mean": "y ~ 1 + (1 | g)", "variance": "~ 1 + (1 | g)"}
    with pytest.raises(SpecError, match="level2 has pcor, and this model has no correlations"):
        design(parts, {"tau": "~ h", "pcor": "~ h"})


def test_equations_and_toml() -> None:
    spec = ModelSpec(**THREE, level2={"tau": "~ h", "pcor[u:Intercept,u:x]": "~ h"})
    assert ModelSpec.from_toml(spec.to_toml()) == spec
    for text in (spec.equations(), spec.equations(cases.frame())):
        assert "atanh pcor[u:Intercept,u:x]_j = κ[pcor(u:Intercept,u:x),Intercept]" in text
        assert "atanh pcor[u:x,v:Intercept]_j = κ[pcor(u:x,v:Intercept),Intercept]" in text
        assert "pcor[a,b]: the correlation of a and b given the effects before a" in text
    assert r"\mathrm{pcor}" in spec.latex()


# --- fits --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return cases.simulated(groups=60, size=10, rho=0.4, slope=0.6)


def test_a_fit_by_maximum_likelihood(rows: pd.DataFrame) -> None:
    spec = ModelSpec(**THREE, level2={"tau": "~ k", "pcor": "~ k"})
    found = bridge.fit(spec, rows)
    constant = bridge.fit(ModelSpec(**THREE), rows)
    # constant partial correlations are constant correlations: the same model
    same = bridge.fit(ModelSpec(**THREE, level2={"tau": "~ 1", "pcor": "~ 1"}), rows)
    assert same.loglik == pytest.approx(constant.loglik, abs=1e-4)
    np.testing.assert_allclose(same.level2(at={}), constant.covariance(), rtol=0.01, atol=0.002)
    assert found.loglik > constant.loglik
    name = "kappa[pcor(u:x,v:Intercept),k]"
    row = found.estimates.set_index("parameter").loc[name]
    assert row["scale"] == "atanh partial correlation"
    # the matrix by hand
    u, x, v = "u:Intercept", "u:x", "v:Intercept"
    partial = [f"pcor({p})" for p in (f"{u},{x}", f"{u},{v}", f"{x},{v}")]
    kappa = [
        found.estimate(f"kappa[{p},Intercept]") + found.estimate(f"kappa[{p},k]")
        for p in (*partial, *(f"tau({e},{e})" for e in (u, x, v)))
    ]
    a, b, c = np.tanh(kappa[:3])
    r = c * np.sqrt((1 - a**2) * (1 - b**2)) + a * b
    sd = np.exp(0.5 * np.array(kappa[3:]))
    T = np.array([[1, a, b], [a, 1, r], [b, r, 1]]) * np.outer(sd, sd)
    np.testing.assert_allclose(found.level2(at={"k": 1}), T, rtol=1e-9)
    # back to the likelihood's own parameters, from estimates and from draws
    problem = make_problem(make_design(spec, rows))
    at = problem.evaluate(free_at(problem, found), scores=False)
    assert at.loglik == pytest.approx(found.loglik, abs=1e-6)
    draws = found.asymptotic_draws(3, seed=1)
    assert name in list(draws.columns)
    assert found.level2(at={"k": 1}).shape == (3, 3)


def test_the_marginal_likelihood_of_draws() -> None:
    own = design(THREE, {"tau": "~ h", "pcor": "~ h"})
    problem = make_problem(own, NODES[1])
    free = cases.at_random(problem, 3)
    to, (gamma, delta, _, _) = problem.coordinates, problem.parts(free)
    draws = ("chain", "draw")
    labels = [names.kappa_label(*term) for term in own.kappa_terms]
    kappa = canonical(problem, free)[-len(labels) :]
    posterior = xr.Dataset(
        {
            "gamma": ((*draws, "mean_term"), (to.gamma @ gamma)[None, None]),
            "delta": ((*draws, "variance_term"), (to.delta @ delta)[None, None]),
            "kappa": ((*draws, "kappa_term"), kappa[None, None]),
        },
        {"kappa_term": labels},
    )
    found = marginal_by_draw(own, posterior)[0, 0]
    np.testing.assert_allclose(found, problem.evaluate(free).by_group, rtol=1e-10)


def test_a_model_of_correlations_is_another_one(rows: pd.DataFrame) -> None:
    partial, plain = (
        bridge.fit(ModelSpec(**TWO, level2={"tau": "~ k", kind: "~ k"}), rows)
        for kind in ("pcor", "rho")
    )
    compared = bridge.compare(partial, plain)
    assert compared.verdicts.empty
    assert "kappa cannot be compared: compare result.level2(at=...)" in compared.text()
    np.testing.assert_allclose(
        partial.level2(at={"k": 1}), plain.level2(at={"k": 1}), rtol=1e-4, atol=1e-6
    )


def test_nested_only_where_one_holds_the_other() -> None:
    taus = {"tau": "~ h"}
    small, partial, plain = (
        design(THREE, taus | more) for more in ({}, {"pcor": "~ h"}, {"rho": "~ h"})
    )
    assert added(small, partial).regular == 3
    assert added(design(THREE, None), partial).regular == 6
    assert added(design(THREE, taus | {"pcor": "~ 1"}), partial).regular == 3
    assert added(design(TWO, taus), partial).effects == ("u:x",)
    for pair in ((plain, partial), (partial, plain)):
        with pytest.raises(RequestError, match="Neither model holds the other"):
            added(*pair)
    two = [design(TWO, taus | {kind: "~ h"}) for kind in ("pcor", "rho")]
    assert added(*two).nothing
