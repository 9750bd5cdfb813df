"""Problems for the compiled density from the data of stan_reference.py, and its value in NumPy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy import stats

from bridge.nuts.arrays import Arrays
from bridge.nuts.build import make_problem
from bridge.nuts.calling import Density
from bridge.nuts.problem import Problem
from bridge.nuts.starts import Start

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import stan_reference as reference


def arrays_of(data: dict) -> Arrays:
    """The same model and data."""
    names = ("gamma", "delta", "lambda", "kappa")
    return Arrays(
        y=data["y"], X=data["X"], W=data["W"], Z=data["Z"], A=data["A"],
        group=data["group"] - 1, J=data["J"], block=data["block"],
        prior_kind=np.concatenate([data[f"{n}_prior_kind"] for n in names]),
        prior=np.vstack([data[f"{n}_prior"] for n in names]),
        sd_kind=data["sd_prior_kind"], sd_prior=data["sd_prior"],
        lkj=float(next(iter(data["lkj"][data["tau_prior_kind"] == 0]), 1.0)),
        nu_prior=data["nu_prior"] if data["t_effects"] else np.zeros(0),
        latent=data["latent"], standardised=bool(data["standardised"]),
        kappa_pair=data["kappa_pair"] - 1, H=data["H"],
        partial=data["partial"], tau_kind=data["tau_prior_kind"], tau_df=data["tau_prior_df"],
        tau_scale=data["tau_prior_scale"],
    )  # fmt: skip


def random_start(arrays: Arrays, rng: np.random.Generator) -> Start:
    """Anything: the density must not depend on where coordinates have their zero."""
    q, J = len(arrays.block), arrays.J
    same = arrays.block[:, None] == arrays.block
    L = 0.3 * np.tril(rng.normal(size=(q, q)), -1) * same + np.diag(rng.lognormal(0, 0.3, q))
    covariance = (L @ L.T) * same
    half = rng.normal(size=(J, q, q + 1))
    information = half @ np.swapaxes(half, 1, 2)
    return Start(
        gamma=rng.normal(size=arrays.X.shape[1]),
        delta=rng.normal(0, 0.5, arrays.W.shape[1]),
        covariance=covariance + 0.5 * np.eye(q),
        effects=rng.normal(size=(q, J)),
        information=np.moveaxis(information, 0, -1),
        pull=rng.normal(size=(q, J)),
        weight=rng.lognormal(size=len(arrays.y)),
    )


def problem_of(data: dict, seed: int = 0, words: list[str] | None = None) -> Problem:
    arrays = arrays_of(data)
    start = random_start(arrays, np.random.default_rng(seed))
    return make_problem(arrays, start, words or ["informed"] * len(arrays.block))


def random_point(problem: Problem, data: dict, rng: np.random.Generator) -> np.ndarray:
    """Free coordinates whose matrices are positive definite, and whose density is no extreme."""
    density, size = Density(problem), 0.5
    for _ in range(60):
        x = size * rng.normal(size=problem.size)
        if density(x)[0] > -1e4 * data["N"]:
            return x
        # two rows and three predictors leave a coefficient free, and its coordinate a wide one
        size *= 0.8
    raise AssertionError("no point with a density was found")


def named(problem: Problem, data: dict, x: np.ndarray) -> dict:
    """The canonical parameters at x as the reference names them, effects for raw."""
    out = Density(problem).canonical(x)
    spread = problem.spread
    at_cpc = len(problem.coefficients.centre) + len(spread.sd_centre)
    at_free = at_cpc + len(spread.cpc_shape)
    sizes = [
        ("gamma", data["p"]), ("delta", data["k"]), ("lambda", data["latent"] * data["qu"]),
        ("kappa", data["n_kappa"]), ("sd", len(spread.sd_centre)), ("rho", len(spread.rho_pair)),
        ("nu", int(data["t_effects"])), ("raw", len(data["block"]) * data["J"]),
    ]  # fmt: skip
    ends = np.cumsum([size for _, size in sizes])
    assert ends[-1] == len(out)
    found = dict(zip([n for n, _ in sizes], np.split(out, ends[:-1]), strict=True))
    return found | {
        "raw": found["raw"].reshape(len(data["block"]), data["J"]),
        "cpc": np.tanh(x[at_cpc:at_free]),
        "free_rho": np.tanh(x[at_free : at_free + len(spread.free_shape)]),
    }


def log_jacobian(problem: Problem, point: dict, T: np.ndarray) -> float:
    """log |d canonical / d free|, block by block."""
    c, K = problem.coefficients, np.moveaxis(problem.sampled.information, -1, 0)
    total = np.linalg.slogdet(c.gamma_map)[1] + np.linalg.slogdet(c.delta_map)[1]
    total += np.linalg.slogdet(c.rest_map)[1] + np.log(point["sd"]).sum()
    total += np.log1p(-(point["cpc"] ** 2)).sum() + np.log1p(-(point["free_rho"] ** 2)).sum()
    total += np.log(point["nu"] - 1).sum()
    q = T.shape[1]
    return total + sum(
        0.5 * np.linalg.slogdet(T[j])[1] - 0.5 * np.linalg.slogdet(np.eye(q) + K[j] @ T[j])[1]
        for j in range(len(T))
    )


def log_density(problem: Problem, data: dict, x: np.ndarray) -> float:
    """Log density of the free coordinates, in NumPy, by the reference of the Stan programs."""
    point = named(problem, data, x)
    T = reference.covariances(data, point)
    plain = data | {"t_effects": 0, "centred": np.ones(len(data["block"]), int)}
    total = reference.general_log_density(plain, point)
    if data["tau_prior_kind"].any():
        total += reference.covariance_prior(data, point)
    if data["t_effects"]:
        nu, zero = point["nu"][0], np.zeros(T.shape[1])
        for j, effects in enumerate(point["raw"].T):
            total += stats.multivariate_t.logpdf(effects, zero, T[j], df=nu)
            total -= stats.multivariate_normal.logpdf(effects, zero, T[j])
        total += stats.gamma.logpdf(nu, data["nu_prior"][0], scale=1 / data["nu_prior"][1])
    return float(total + log_jacobian(problem, point, T))
