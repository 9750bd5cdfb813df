"""Latent classes in Stan: its density against NumPy's, and fits of groups whose class is known."""

from __future__ import annotations

import sys
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import bridge
from bridge.design import Design, make_design
from bridge.engines import stan_backends
from bridge.engines.stan_program import CLASSES, program_text
from bridge.result import Result
from bridge.spec import ModelSpec

# pytest's importlib mode leaves the folder of other tests out of the path
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from class_cases import PI, POINTS, simulated, spec

pytestmark = pytest.mark.stan

# --- the density, in plain NumPy ------------------------------------------------------------------
T = {"sd_u": "half_t(4, 0, 2)", "sd_v": "half_normal(0, 0.7)", "pi": "dirichlet(2.5)"}
CASES: dict[str, ModelSpec] = {
    "two": spec(2, priors=T | {"gamma": "normal(9, 3)", "delta": "student_t(5, 0, 2)"}),
    "three": spec(3, priors=T | {"gamma[x]": "normal(0, 1)"}),
    "four, exponential": spec(4, priors={"sd_u": "exponential(0.4)", "sd_v": "exponential(2)"}),
    "three, defaults": spec(3),
    "u alone": spec(3, "y ~ 1 + (1 | g)", "~ 1"),
    "v alone": spec(2, "y ~ 1 + x", "~ 1 + (1 + x | g)"),
    "no fixed part of the slope": spec(3, "y ~ 1 + (1 + x | g)", "~ 0 + w + (1 | g)"),
    "intercept not first": spec(3, "y ~ 0 + x + (0 + x | s | g) + (1 | s | g)", "~ 1"),
    "no intercept": spec(3, "y ~ 0 + x + (0 + x | g)", "~ 1 + (1 | g)"),
}


def data_of(of: ModelSpec, data: pd.DataFrame) -> dict[str, Any]:
    return dict(of.translate("stan", data, seed=1).call["data"])


def random_points(design: Design, data: dict[str, Any], count: int, seed: int) -> list[dict]:
    rng, K, q = np.random.default_rng(seed), data["K"], len(design.effects)
    return [
        {
            "free_gamma": rng.normal(size=data["p"]) * 3,
            "free_delta": rng.normal(size=data["k"]),
            "weight": rng.dirichlet(np.full(K, 2.0)),
            "gap": rng.gamma(2, 1, K - 1),
            "step": rng.normal(size=(K - 1, q - 1)),
        }
        for _ in range(count)
    ]


def canonical(design: Design, point: dict) -> tuple[np.ndarray, ...]:
    """gamma, delta, weights and the mass points (K, q), from what is sampled."""
    first = next((i for i, e in enumerate(design.effects) if e == "u:Intercept"), 0)
    rest = iter(point["step"].T)
    steps = [point["gap"] if a == first else next(rest) for a in range(len(design.effects))]
    b = np.vstack([np.zeros(len(steps)), np.cumsum(np.transpose(steps), axis=0)])
    b -= b.mean(axis=0)
    shift = point["weight"] @ b
    gamma, delta = point["free_gamma"].copy(), point["free_delta"].copy()
    for a, effect in enumerate(design.effects):
        terms, target = (
            (design.mean.labels, gamma) if effect[0] == "u" else (design.variance.labels, delta)
        )
        if effect[2:] in terms:
            target[terms.index(effect[2:])] += shift[a]
    return gamma, delta, point["weight"], b - shift


def log_prior_of_points(values: np.ndarray, prior: Any) -> float:
    """The density of orthonormal contrasts of the points, the draws' common location left out."""
    K, p = len(values), prior.parameters
    basis = np.linalg.svd(np.ones((1, K)))[2][1:]
    z, d = basis @ values, K - 1
    if prior.family == "half_t":
        law = stats.multivariate_t(np.zeros(d), p[2] ** 2 * np.eye(d), df=p[0])
        return float(law.logpdf(z))
    if prior.family == "half_normal":
        return float(stats.norm.logpdf(z, 0, p[1]).sum())
    # exp(-rate r), normalised over the sphere of d dimensions by quadrature
    area = 2 * np.pi ** (d / 2) / special.gamma(d / 2)
    mass, _ = integrate.quad(lambda r: area * r ** (d - 1) * np.exp(-p[0] * r), 0, np.inf)
    return float(-p[0] * np.linalg.norm(z) - np.log(mass))


def reference(design: Design, point: dict) -> float:
    gamma, delta, weight, m = canonical(design, point)
    priors, qu, K = design.priors, len(design.mean_effects), len(weight)
    assert np.allclose(weight @ m, 0, atol=1e-12)
    total = 0.0
    for j in range(len(design.group_labels)):
        each = []
        for c in range(K):
            value = np.log(weight[c])
            for i in np.flatnonzero(design.group == j):
                mean = design.mean.matrix[i] @ gamma + design.Z[i] @ m[c, :qu]
                log_variance = design.variance.matrix[i] @ delta + design.A[i] @ m[c, qu:]
                value += stats.norm.logpdf(design.y[i], mean, np.exp(0.5 * log_variance))
            each.append(value)
        total += special.logsumexp(each)
    total += float(stats.dirichlet.logpdf(weight, np.full(K, priors.pi.parameters[0])))
    for a, prior in enumerate(priors.sd):
        # steps to contrasts: the determinant of a triangle's sums, by brute force
        sums = np.vstack([np.zeros(K - 1), np.tril(np.ones((K - 1, K - 1)))])
        basis = np.linalg.svd(np.ones((1, K)))[2][1:]
        total += log_prior_of_points(m[:, a], prior) + np.linalg.slogdet(basis @ sums)[1]
    total += np.log(len(list(permutations(range(K)))))
    for values, own in ((gamma, priors.gamma), (delta, priors.delta)):
        for value, prior in zip(values, own, strict=True):
            total += float(prior.log_density(value))
    return float(total)


@pytest.mark.parametrize("case", CASES)
def test_the_density_is_that_of_plain_numpy(case: str) -> None:
    data = simulated(8, 5)
    design, block = make_design(CASES[case], data), data_of(CASES[case], data)
    points = random_points(design, block, 6, seed=len(case))
    found = stan_backends.log_density(program_text(CLASSES), block, points)
    expected = np.array([reference(design, point) for point in points])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("case", ["three", "v alone"])
def test_the_order_of_the_rows_does_not_matter(case: str) -> None:
    data = simulated(8, 5)
    of, design = CASES[case], make_design(CASES[case], data)
    mixed = data.sample(frac=1.0, random_state=2)
    one, other = data_of(of, data), data_of(of, mixed)
    assert (len(one["y"]) == 40) == (case == "v alone")  # else fewer rows stand for them
    assert case == "three" or not np.array_equal(one["y"], other["y"])
    points = random_points(design, one, 3, seed=4)
    each = [stan_backends.log_density(program_text(CLASSES), d, points) for d in (one, other)]
    np.testing.assert_allclose(each[0], each[1], rtol=1e-12, atol=1e-9)


# --- fits -----------------------------------------------------------------------------------------
@cache
def fitted(classes: int) -> Result:
    of = spec(classes, "y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)")
    return bridge.fit(of, simulated(), "stan", chains=2, warmup=400, draws=600, seed=1)


def test_three_classes_are_found() -> None:
    result, data = fitted(3), simulated()
    frame = result.estimates.set_index("parameter")
    assert (frame["r_hat"] < 1.05).all() and not any("disagree" in w for w in result.warnings)
    truth = {"gamma[x]": 0.5}
    for c in range(3):
        truth |= {
            f"pi[{c + 1}]": PI[c],
            f"u_class[{c + 1}, u:Intercept]": POINTS[c, 0],
            f"v_class[{c + 1}, v:Intercept]": POINTS[c, 1],
        }
    T = np.einsum("k,ka,kb->ab", PI, POINTS, POINTS)
    truth["tau[u:Intercept,u:Intercept]"] = T[0, 0]
    truth["rho[u:Intercept,v:Intercept]"] = T[0, 1] / np.sqrt(T[0, 0] * T[1, 1])
    for name, value in truth.items():
        row = frame.loc[name]
        assert abs(row["estimate"] - value) < 4 * row["se"], (name, row)
    # every group is in its class
    likely = result.class_probabilities.astype({"probability": float})
    likely = likely.loc[likely.groupby("group")["probability"].idxmax()].set_index("group")
    known = data.groupby("g")["c"].first().loc[likely.index]
    assert (likely["latent_class"].astype(int) - 1 == known).mean() > 0.97
    weight, points = (result.idata["posterior"][n].values for n in ("pi", "u_class"))
    np.testing.assert_allclose(np.einsum("cdk,cdka->cda", weight, points), 0, atol=1e-9)
    assert (np.diff(points[..., 0], axis=-1) > 0).all()


def test_the_criteria_prefer_the_true_number_of_classes() -> None:
    two, three = (bridge.criteria(fitted(K)) for K in (2, 3))
    found = bridge.criteria_difference(two, three)
    assert set(found["likelihood"]) == {"marginal over the effects"}
    assert list(found["criterion"]) == ["dic", "waic", "waic", "loo", "loo", "logo", "logo"]
    assert (found["favours"] == "second").all(), found
    normal = bridge.ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)")
    other = bridge.fit(normal, simulated(), "stan", chains=2, warmup=300, draws=300, seed=1)
    laws = bridge.criteria_difference(three, bridge.criteria(other))
    assert list(laws["criterion"]) == ["logo", "logo"]
    assert (laws["favours"] == "first").all(), laws
