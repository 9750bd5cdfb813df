"""brms and our Stan program hold one posterior density: shown at points, without a draw."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.engines import stan_backends
from bridge.engines.base import Plan
from bridge.engines.stan_data import places
from bridge.engines.stan_rows import fixed_parts
from bridge.engines.stan_start import coefficients_sampled
from bridge.engines.stan_values import sampled
from bridge.engines.worker import shared

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import density
from seed_models import spec_of

POINTS = 20
both = [pytest.mark.r, pytest.mark.stan]


@dataclass(frozen=True)
class Both:
    """A model worded for both engines, and points of it."""

    brms: Plan
    stan: Plan
    points: list[density.Point]

    def of_brms(self, factor: float = 2.0) -> np.ndarray:
        """Canonical log densities by brms."""
        count = len(self.brms.design.mean_effects)
        at = [density.brms(point, count, factor) for point in self.points]
        sent = [{k: v.tolist() for k, v in parameters.items()} for parameters, _ in at]
        call = {"native": self.brms.native, **self.brms.call["plan"], "points": sent}
        answer = shared("bridge.engines.r_worker", "R").call(
            "fit",
            {
                "script": "brms",
                "function": "density_brms",
                "plan": call,
                "frame": self.brms.call["frame"],
            },
        )
        return np.asarray(answer["log_density"]) - [jacobian for _, jacobian in at]

    def of_stan(self) -> np.ndarray:
        """Canonical log densities by our program."""
        data = self.stan.call["data"]
        centred = np.asarray(data["centred"])[:, None] == 1
        order = np.argsort(places(data))  # that the program has the effects in
        points = [
            replace(p, sd=p.sd[order], R=p.R[np.ix_(order, order)], effects=p.effects[order])
            for p in self.points
        ]
        at = [density.stan(point, data["centred"]) for point in points]
        slopes = []
        for point, (found, jacobian) in zip(points, at, strict=True):
            # own coefficients are sampled with their part of the fixed function, or as what is
            # left of them given what the rows say
            part = fixed_parts(data, found["gamma"], found["delta"])
            L, S = np.linalg.cholesky(point.R), np.tile(point.sd[:, None], data["J"])
            found["raw"] = sampled(point.effects, part, S, L, data)
            for name in ("gamma", "delta"):
                found[f"{name}_raw"] = coefficients_sampled(name, found[name], data)
            precision = 1 + (point.sd * np.diag(L))[:, None] ** 2 * data["weight"]
            slopes.append(jacobian - 0.5 * np.log(np.where(centred, 1.0, precision)).sum())
        values = stan_backends.log_density(
            self.stan.call["program"], self.stan.call["data"], [p for p, _ in at]
        )
        return values - slopes


def make(name: str) -> Both:
    spec, of = spec_of(name)
    data = bridge.datasets.load(of)
    plans = [spec.translate(engine, data, seed=1) for engine in ("brms", "stan")]
    return Both(*plans, density.random_points(plans[0].design, POINTS, seed=5))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("leckie2014/model1", marks=both),
        pytest.param("leckie2014/model2", marks=[*both, pytest.mark.slow]),
        pytest.param("leckie2014/model4", marks=[*both, pytest.mark.slow]),
        pytest.param("exam/model4", marks=[*both, pytest.mark.slow]),
        pytest.param("exam/model6", marks=[*both, pytest.mark.slow]),
    ],
)
def model(request: pytest.FixtureRequest) -> Both:
    return make(request.param)


def test_the_densities_are_one(model: Both) -> None:
    theirs, ours = model.of_brms(), model.of_stan()
    assert np.isfinite(theirs).all()
    assert np.ptp(theirs) > 100  # the points do differ
    assert np.ptp(theirs - ours) < 1e-6
    # The constants are known: brms's half priors of SDs integrate to one and ours to a half, and
    # a flat density of one on a coefficient of the log SD is one half on the log variance.
    design = model.brms.design
    constant = (len(design.effects) - len(design.variance.labels)) * np.log(2)
    np.testing.assert_allclose(theirs - ours, constant, rtol=0, atol=1e-6)
    assert (model.stan.call["data"]["weight"] > 0).all()  # what is sampled is as in a fit
    found = model.stan.call["data"]
    found |= {"centred": np.arange(len(design.effects)) % 2, "weight": 0 * found["weight"]}
    np.testing.assert_allclose(theirs - model.of_stan(), constant, rtol=0, atol=1e-6)


def test_a_wrong_factor_is_seen(model: Both) -> None:
    wrong = model.of_brms(factor=1.0)  # as if brms modelled the log variance
    assert np.ptp(wrong - model.of_stan()) > 1


# --- the other way round: from an engine's parameters, one vector, to the canonical one ----------
def by_brms(x: np.ndarray, size: int) -> np.ndarray:
    """SDs, L below the diagonal, z -> SDs, R below the diagonal, effects; the last one a v."""
    sd, L, z = np.array(x[:size]), np.eye(size), _rest(x, size)
    sd[-1] *= 2
    L[np.tril_indices(size, -1)] = x[size : _end(size)]
    for a in range(size):
        L[a, a] = np.sqrt(1 - (L[a, :a] ** 2).sum())
    return canonical(sd, L, z)


def by_stan(x: np.ndarray, size: int) -> np.ndarray:
    """SDs, partial correlations, raw -> the same; effects 0, 2, ... are centred."""
    sd, L, raw, cpc = x[:size], np.eye(size), _rest(x, size), np.zeros((size, size))
    cpc[np.tril_indices(size, -1)] = x[size : _end(size)]
    z = np.zeros_like(raw)
    for a in range(size):
        for b in range(a):
            L[a, b] = cpc[a, b] * np.sqrt(np.prod(1 - cpc[a, :b] ** 2))
        L[a, a] = np.sqrt(1 - (L[a, :a] ** 2).sum())
        z[a] = raw[a] if a % 2 else (raw[a] / sd[a] - L[a, :a] @ z[:a]) / L[a, a]
    return canonical(sd, L, z)


def canonical(sd: np.ndarray, L: np.ndarray, z: np.ndarray) -> np.ndarray:
    lower = np.tril_indices(len(sd), -1)
    return np.concatenate([sd, (L @ L.T)[lower], (sd[:, None] * (L @ z)).ravel()])


def _end(size: int) -> int:
    return size + size * (size - 1) // 2


def _rest(x: np.ndarray, size: int) -> np.ndarray:
    return x[_end(size) :].reshape(size, -1)


@pytest.mark.parametrize("engine", ["brms", "stan"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_jacobians_are_those_of_finite_differences(size: int, engine: str) -> None:
    rng = np.random.default_rng(size)
    L = np.linalg.cholesky(density.random_correlations(size, rng))
    sd, z = rng.lognormal(0, 0.5, size), rng.normal(size=(size, 3))
    point = density.Point(np.zeros(0), np.zeros(0), sd, L @ L.T, sd[:, None] * (L @ z))
    lower = np.tril_indices(size, -1)
    if engine == "brms":
        found, jacobian = density.brms(point, size - 1)
        parts, back = [found["sd_1"], found["L_1"][lower], found["z_1"].ravel()], by_brms
    else:
        found, jacobian = density.stan(point, np.arange(size) % 2 == 0)
        parts, back = [found["sd"], found["cpc"], found["raw"].ravel()], by_stan
    x = np.concatenate(parts)
    np.testing.assert_allclose(back(x, size), canonical(sd, L, z), atol=1e-12)
    slope = np.array(
        [(back(x + h, size) - back(x - h, size)) / 2e-6 for h in 1e-6 * np.eye(len(x))]
    )
    assert np.linalg.slogdet(slope)[1] == pytest.approx(jacobian, abs=1e-6)
