"""Calibration passes the posterior, and catches engines that report something else.

The right engine is the exact posterior of a linear model (normal priors of the coefficients and of
the log variance), on a grid of the log variance; it stands in the place of the canned draws.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.calibration_ranks import Calibration
from bridge.calibration_task import Simulation
from bridge.engines.base import Plan, Progress, RawFit
from bridge.engines.fake import Fake
from bridge.priors import Priors
from bridge.spec import ModelSpec

PRIORS = Priors(gamma="normal(0, 1)", delta="normal(0, 1)")
SPEC = ModelSpec("y ~ 1 + x + w", priors=PRIORS)
DESIGN = bridge.SimulationDesign(groups=6, size=5, covariates={"x": {}, "w": {}})
SIMULATIONS, L = {"right": 80}, 99
FEW = 40  # of a wrong engine
Change = Callable[[dict[str, np.ndarray]], None]


def exact(change: Change | None = None) -> Callable[..., RawFit]:
    """Return what draws from the exact posterior, reported as some change makes it."""

    def run(self: Fake, plan: Plan, progress: Progress) -> RawFit:
        y, X = plan.design.y, plan.design.mean.matrix
        shape = (plan.options["chains"], plan.options["draws"])
        size, rng = shape[0] * shape[1], np.random.default_rng(plan.options["seed"])
        grid = np.linspace(-5, 5, 2001)
        # gamma integrated out: given delta y is N(0, e^delta I + X X')
        values, vectors = np.linalg.eigh(X @ X.T)
        spread = np.exp(grid)[:, None] + np.maximum(values, 0)
        log_density = -0.5 * (np.log(spread) + (vectors.T @ y) ** 2 / spread).sum(axis=1)
        log_density -= 0.5 * grid**2
        weight = np.exp(log_density - log_density.max())
        delta = rng.choice(grid, size, p=weight / weight.sum())
        delta += rng.uniform(-0.5, 0.5, size) * (grid[1] - grid[0])
        gamma = np.empty((size, X.shape[1]))
        for s, d in enumerate(delta):
            precision = X.T @ X * np.exp(-d) + np.eye(X.shape[1])
            root = np.linalg.cholesky(precision)
            centre = np.linalg.solve(precision, X.T @ y * np.exp(-d))
            gamma[s] = centre + np.linalg.solve(root.T, rng.standard_normal(X.shape[1]))
        found = {"gamma": gamma.reshape(*shape, -1), "delta": delta.reshape(*shape, 1)}
        if change is not None:
            change(found)
        nothing = {
            "sd": np.zeros((*shape, 0)),
            "rho": np.zeros((*shape, 0)),
            "effects": np.zeros((*shape, 1, 0)),
            "diverging": np.zeros(shape, dtype=bool),
        }
        return RawFit(found | nothing, {"fake": "1"})  # fmt: skip

    return run


def log_sd(found: dict[str, np.ndarray]) -> None:
    found["delta"] = found["delta"] / 2


def swapped(found: dict[str, np.ndarray]) -> None:
    found["gamma"] = found["gamma"][..., [0, 2, 1]]


def too_narrow(found: dict[str, np.ndarray]) -> None:
    for name, values in found.items():
        centre = values.mean(axis=(0, 1))
        found[name] = centre + 0.4 * (values - centre)


ENGINES: dict[str, Change | None] = {
    "right": None, "log SD": log_sd, "swapped": swapped, "too narrow": too_narrow,
}  # fmt: skip


@cache
def calibrated(engine: str) -> Calibration:
    """Return a calibration of an engine, in this process."""
    task = Simulation(SPEC, DESIGN, "fake", True, L, {"chains": 1, "draws": L})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fake, "run", exact(ENGINES[engine]))
        frames = [
            task(np.random.SeedSequence(3, spawn_key=(k,)), k).assign(replication=k)
            for k in range(SIMULATIONS.get(engine, FEW))
        ]
    return Calibration(pd.concat(frames, ignore_index=True), L, "fake", "posterior", "y")


def outside(engine: str) -> set[str]:
    table = calibrated(engine).table
    return set(table.loc[~table["inside"], "parameter"])


def test_the_posterior_passes() -> None:
    found = calibrated("right")
    assert found.passed, found.summary()
    assert found.parameters == [
        "gamma[Intercept]", "gamma[x]", "gamma[w]", "delta[Intercept]", "log_likelihood",
    ]  # fmt: skip
    assert list(found.table["scale"])[3:] == ["log variance", "log density"]
    # 95% of the standardised errors of a right posterior are within about two
    z = (found.ranks["truth"] - found.ranks["estimate"]) / found.ranks["se"]
    assert (np.abs(z) < 1.96).mean() == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 400))


def test_a_log_sd_reported_as_a_log_variance_is_caught() -> None:
    assert "delta[Intercept]" in outside("log SD")


def test_two_labels_swapped_are_caught() -> None:
    assert {"gamma[x]", "gamma[w]"} <= outside("swapped")


def test_a_posterior_too_narrow_is_caught() -> None:
    assert not calibrated("too narrow").passed
    assert {"gamma[Intercept]", "delta[Intercept]"} & outside("too narrow")


def test_a_failed_fit_is_a_row_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> RawFit:
        raise errors.EngineFailed("no memory")

    monkeypatch.setattr(Fake, "run", fails)
    task = Simulation(SPEC, DESIGN, "fake", True, L, {"chains": 1, "draws": L})
    frame = task(np.random.SeedSequence(1), 0)
    assert (frame["status"] == "failed").all() and frame["rank"].isna().all()
    assert frame["why"].iloc[0] == "EngineFailed: no memory"
    assert list(frame["parameter"]) == calibrated("right").parameters
    assert np.isfinite(frame["truth"]).all()


def test_the_joint_log_likelihood_takes_the_groups_own_effects() -> None:
    """Of the fake's canned draws, and of the truth by the effects that made the data."""
    priors = Priors(PRIORS, sd_u="half_normal(0, 1)", sd_v="half_normal(0, 0.3)")
    spec = ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)", priors=priors)
    task = Simulation(spec, DESIGN, "fake", True, L, {"chains": 2, "draws": 100})
    frame = task(np.random.SeedSequence(4), 0).set_index("parameter")
    assert frame["status"].eq("ok").all()
    assert list(frame.index)[-2:] == ["rho[u:Intercept,v:Intercept]", "log_likelihood"]
    loglik, delta = frame.loc["log_likelihood", "truth"], frame.loc["delta[Intercept]", "truth"]
    # 30 rows of noise: -n/2 (log 2 pi + delta + v) less half a chi-square
    expected = -0.5 * 30 * (np.log(2 * np.pi) + delta + 1)
    assert loglik == pytest.approx(expected, abs=4 * np.sqrt(15) + 15)


# --- the whole of it ---
LARGE = bridge.SimulationDesign(groups=20, size=30, covariates={"x": {}})
LINEAR = ModelSpec("y ~ 1 + x", "~ 1 + x", priors=PRIORS)


def test_asymptotic_draws_of_maximum_likelihood(tmp_path: Path) -> None:
    """A large linear case, where they are nearly right; resumed, it gives the same table."""
    first = bridge.calibrate(LINEAR, LARGE, "agq", 6, seed=6, out=tmp_path, workers=1)
    found = bridge.calibrate(LINEAR, LARGE, "agq", 24, seed=6, out=tmp_path, workers=2)
    assert found.method == "asymptotic" and found.passed, found.summary()
    assert "log_likelihood" not in found.parameters
    pd.testing.assert_frame_equal(first.ranks, found.ranks[found.ranks["replication"] < 6])
    assert "Calibration of agq, asymptotic draws" in found.summary()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "flat": ({"spec": SPEC.replace(priors=Priors())}, "gamma[Intercept], gamma[x], gamma[w], "),
    "not a spec": ({"spec": "y ~ x"}, "not str"),
    "engine": ({"engine": "nutz"}, "nutz"),
    "draws": ({"chains": 1, "draws": 50}, "makes 50 draws of each fit, and 99 are to be kept"),
    "thinned": ({"thinned": 5}, "at least 9, not 5"),
    "option": ({"drawz": 5}, "Did you mean 'draws'?"),
    "seed": ({"seed": -1}, "at least 0, not -1"),
    "covariate": ({"design": bridge.SimulationDesign()}, "no covariate 'x'"),
    "design": ({"design": 3}, "not int"),
    "replications": ({"replications": 0}, "replications is a whole number"),
    "model": ({"spec": ModelSpec("y ~ 1 + x + (1 | group)", random_effects="student_t",
                                 priors=Priors(PRIORS, sd_u="half_normal(0, 1)")),
               "engine": "agq"}, "agq cannot"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    parts, said = REFUSED[name]
    with pytest.raises(errors.RequestError) as raised:
        bridge.calibrate(**{"spec": SPEC, "design": DESIGN, "engine": "fake", "seed": 1, **parts})
    assert said in str(raised.value)


def test_covariates_that_a_model_cannot_have_are_drawn_again() -> None:
    """A binary covariate of three groups is the same in all of them once in four."""
    w = {"w": {"level": "group", "law": "bernoulli"}}
    design = bridge.SimulationDesign(groups=3, size=8, covariates=w)
    spec = ModelSpec("y ~ 1 + w", priors=PRIORS)
    found = bridge.calibrate(spec, design, "ols", 12, seed=1, workers=1)
    assert not found.failed and found.simulations == 12
    never = bridge.SimulationDesign(covariates={"w": {"law": "bernoulli", "share": 0}})
    with pytest.raises(errors.DataError, match="w is zero in every row"):
        bridge.calibrate(spec, never, "ols", 2, seed=1)
