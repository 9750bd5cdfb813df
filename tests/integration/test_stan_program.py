"""The Stan program against a density written in NumPy, and against the truth it should recover."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bridge.engines import pystan_worker, stan_backends
from bridge.engines.stan_products import completed
from bridge.engines.stan_program import PLAIN, program_text
from bridge.engines.stan_rows import fixed_parts, row_data
from bridge.errors import EngineFailed, EngineNotInstalled, OptionError

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import stan_reference as reference

pytestmark = pytest.mark.stan

# block of each effect, how many are in the mean, centred or not, and what else differs
CASES = {
    "random intercept": ([1], 1, [0], {}),
    "random intercept, centred": ([1], 1, [1], {}),
    "u and v correlated": ([1, 1], 1, [0, 0], {}),
    "u and v correlated, u centred": ([1, 1], 1, [1, 0], {}),
    "u and v correlated, both centred": ([1, 1], 1, [1, 1], {"lkj": 2.5}),
    "two and two": ([1, 1, 1, 1], 2, [0, 0, 0, 0], {}),
    "two and two, mixed centring": ([1, 1, 1, 1], 2, [1, 0, 0, 1], {"lkj": 1.7}),
    "independent": ([1, 2, 3], 2, [1, 0, 1], {}),
    "interleaved blocks": ([1, 2, 1, 2, 1], 2, [0, 1, 1, 0, 1], {"lkj": 0.6}),
    "three in the variance": ([1, 1, 1, 1], 1, [1, 0, 1, 0], {"lkj": 3.0}),
    "another order": ([1, 2, 1, 2, 1], 2, [0, 1, 0, 0, 1], {"places": [4, 1, 3, 5, 2]}),
    "variance alone": ([1, 1], 0, [0, 1], {}),
    "no effects": ([], 0, [], {}),
    "no mean coefficients": ([1], 1, [0], {"p": 0}),
}
PRIOR = {"location": [0.3, -0.2, 0.1], "scale": [1.5, 0.7, 2.0]}


@pytest.fixture(scope="module")
def program() -> str:
    return program_text(PLAIN)


def assert_same_density(program: str, data: dict, seed: int, points: int = 20) -> None:
    rng = np.random.default_rng(seed)
    at = [reference.random_point(data, rng) for _ in range(points)]
    theirs = stan_backends.log_density(program, *reference.as_sampled(data, at))
    ours = np.array([reference.log_density(data, point) for point in at])
    assert np.ptp(ours) > 1.0  # the points do differ
    np.testing.assert_allclose(theirs, ours, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("sparse", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_density_equals_numpy_with_every_constant(case: str, sparse: int, program: str) -> None:
    block, qu, centred, other = CASES[case]
    data = reference.make_data(block, qu, centred, **other) | {"sparse": sparse}
    assert_same_density(program, data, seed=len(case))


@pytest.mark.parametrize(
    "case",
    [
        "u and v correlated",
        "two and two, mixed centring",
        "interleaved blocks",
        "another order",
        "no effects",
    ],
)
def test_what_the_rows_tell_leaves_the_density_as_it_is(case: str, program: str) -> None:
    block, qu, centred, other = CASES[case]
    data, rng = reference.make_data(block, qu, centred, **other), np.random.default_rng(6)
    at = [reference.random_point(data, rng) for _ in range(10)]
    ours = np.array([reference.log_density(data, point) for point in at])
    told, moved, slopes = reference.informed(data, at)
    theirs = stan_backends.log_density(program, told, moved)
    np.testing.assert_allclose(theirs + slopes, ours, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("sd_kind", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_every_kind_of_prior(kind: int, sd_kind: int, program: str) -> None:
    data = reference.make_data([1, 1], 1, [1, 0], p=3, k=2)
    for name, count in (("gamma", 3), ("delta", 2)):
        data[f"{name}_prior_kind"] = np.full(count, kind)
        data[f"{name}_prior"] = np.column_stack(
            [[4.0] * count, PRIOR["location"][:count], PRIOR["scale"][:count]]
        )
    data["sd_prior_kind"] = np.full(2, sd_kind)
    data["sd_prior"] = np.array([[3.0, 1.2], [5.0, 0.6]])
    assert_same_density(program, data, seed=kind + 10 * sd_kind, points=5)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("eta", [0.8, 1.0, 2.3])
def test_partial_correlations_carry_the_lkj_density(size: int, eta: float, program: str) -> None:
    # everything but cpc held still: differences are those of LKJ and its Jacobian alone
    data = reference.make_data([1] * size, size, [0] * size, lkj=eta)
    rng = np.random.default_rng(size)
    first = reference.random_point(data, rng)
    first["raw"] = np.zeros_like(first["raw"])  # then the effects are zero whatever R is
    block = data["block"]
    points, expected = [], []
    for _ in range(8):
        cpc = rng.uniform(-0.95, 0.95, size * (size - 1) // 2)
        points.append(first | {"cpc": cpc})
        R = reference.correlations(cpc, block)
        assert np.linalg.eigvalsh(R).min() > 0
        density = (eta - 1) * np.linalg.slogdet(R)[1]  # the textbook form, det(R)^(eta - 1)
        expected.append(density + reference.log_jacobian_of_correlations(cpc, block))
    theirs = stan_backends.log_density(program, *reference.as_sampled(data, points))
    np.testing.assert_allclose(np.diff(theirs), np.diff(expected), rtol=1e-9, atol=1e-8)


def simulated(groups: int = 60, size: int = 30) -> tuple[dict, dict]:
    rng = np.random.default_rng(20)
    truth = {"gamma": [1.0, 0.5], "delta": [0.4, -0.3], "sd": [0.8, 0.5], "rho": [0.5]}
    data = reference.make_data([1, 1], 1, [1, 0], groups=groups, size=size, seed=3)
    T = np.outer(truth["sd"], truth["sd"]) * np.array([[1, 0.5], [0.5, 1]])
    b = rng.multivariate_normal([0, 0], T, groups)[data["group"] - 1]
    sigma = np.exp(0.5 * (data["W"] @ truth["delta"] + b[:, 1]))
    data["y"] = data["X"] @ truth["gamma"] + b[:, 0] + sigma * rng.normal(size=data["N"])
    return data, truth


def own_effects(data: dict, point: dict) -> dict:
    """A point as it was sampled, its centred effects without their part of the fixed functions."""
    part = fixed_parts(row_data(data), point["gamma"], point["delta"])
    part[data["centred"] == 0] = 0.0
    return point | {"raw": point["raw"] - part}


def start(data: dict) -> dict:
    q, n_rho = len(data["block"]), len(reference.pairs(data["block"]))
    return {
        "gamma_raw": np.zeros(data["p"]),
        "delta_raw": np.zeros(data["k"]),
        "sd": np.full(q, 0.5),
        "cpc": np.zeros(n_rho),
        "raw": np.zeros((q, data["J"])),
    }


@pytest.fixture(scope="module")
def run(program: str) -> tuple[dict, dict, stan_backends.StanDraws, list]:
    data, truth = simulated()
    seen: list = []
    draws = stan_backends.sample(
        program, row_data(data), [start(data)] * 2, chains=2, warmup=400, draws=500, seed=7,
        cores=2, progress=lambda fraction, text: seen.append((fraction, text)),
    )  # fmt: skip
    return data, truth, draws, seen


def test_simulated_truth_is_recovered(run: tuple) -> None:
    _, truth, draws, _ = run
    found = completed(draws.draws, row_data(run[0]))
    for name, true in truth.items():
        values = found[name].reshape(1000, -1)
        z = (values.mean(0) - true) / values.std(0)
        assert np.all(np.abs(z) < 3), (name, z)
    assert draws.sampler["divergent"].sum() == 0


def test_effects_and_rho_follow_from_the_parameters_of_each_draw(run: tuple) -> None:
    data, _, draws, _ = run
    found = completed(draws.draws, row_data(data))
    assert found["effects"].shape == (2, 500, 2, 60)
    for chain, draw in [(0, 0), (1, 499), (0, 250)]:
        names = ("gamma", "delta", "sd", "cpc", "raw")
        point = own_effects(data, {name: draws.draws[name][chain, draw] for name in names})
        R = reference.correlations(point["cpc"], data["block"])
        effects, _ = reference.group_effects(data, point, R)
        np.testing.assert_allclose(found["effects"][chain, draw], effects, atol=1e-12)
        np.testing.assert_allclose(found["rho"][chain, draw], [R[1, 0]], atol=1e-12)


def test_the_samplers_lp_is_the_density_plus_the_logs_of_stans_transforms(run: tuple) -> None:
    data, _, draws, _ = run
    names = ("gamma", "delta", "sd", "cpc", "raw")
    point = own_effects(data, {n: draws.draws[n][1, 17] for n in names})
    jacobian = np.log(point["sd"]).sum() + np.log((1 - point["cpc"] ** 2) / 2).sum()
    expected = reference.log_density(data, point) + jacobian
    assert draws.sampler["lp"][1, 17] == pytest.approx(expected, rel=1e-9)


def test_shapes_statistics_and_progress(run: tuple) -> None:
    _, _, draws, seen = run
    expected = {"divergent", "tree_depth", "energy", "accept_stat", "n_leapfrog", "step_size", "lp"}
    assert set(draws.sampler) == expected
    assert {values.shape for values in draws.sampler.values()} == {(2, 500)}
    assert draws.variable("gamma", 2).shape == (2, 500, 2)
    assert draws.variable("missing", 0).shape == (2, 500, 0)
    with pytest.raises(EngineFailed, match="'gamma' with shape"):
        draws.variable("gamma", 3)
    fractions = [fraction for fraction, _ in seen if fraction is not None]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    assert draws.seconds["sampling"] > 0
    assert np.ptp(draws.draws["gamma"][0, :, 0] - draws.draws["gamma"][1, :, 0]) > 0


def test_the_same_seed_gives_the_same_draws_and_another_seed_others(program: str) -> None:
    data = reference.make_data([1, 1], 1, [1, 0])
    once, again, other = (
        stan_backends.sample(
            program,
            row_data(data),
            [start(data)] * 2,
            chains=2,
            warmup=50,
            draws=50,
            seed=seed,
            cores=cores,
        )
        for seed, cores in [(5, 2), (5, 1), (6, 2)]
    )
    np.testing.assert_array_equal(once.draws["raw"], again.draws["raw"])
    assert np.all(once.draws["gamma"] != other.draws["gamma"])


@pytest.mark.parametrize("case", ["no effects", "no mean coefficients", "variance alone"])
def test_models_with_empty_parts_sample(case: str, program: str) -> None:
    block, qu, centred, other = CASES[case]
    data = reference.make_data(block, qu, centred, **other)
    draws = stan_backends.sample(
        program, row_data(data), [start(data)] * 2, chains=2, warmup=100, draws=60, seed=2
    )
    assert draws.variable("gamma", data["p"]).shape == (2, 60, data["p"])
    assert draws.variable("raw", len(block), data["J"]).shape == (2, 60, len(block), 6)
    assert np.isfinite(draws.sampler["lp"]).all()


def test_impossible_starts_fail_with_stans_words_and_the_next_fit_works(program: str) -> None:
    data = reference.make_data([1], 1, [0])
    bad = start(data) | {"sd": np.array([-1.0])}
    with pytest.raises(EngineFailed, match=r"(?s)Stan.*lower bound|Initialization|initial"):
        stan_backends.sample(program, row_data(data), [bad], chains=1, warmup=10, draws=10)
    good = stan_backends.sample(
        program, row_data(data), [start(data)], chains=1, warmup=10, draws=10
    )
    assert good.draws["gamma"].shape == (1, 10, 2)


def test_data_that_the_program_refuses_are_named(program: str) -> None:
    data = reference.make_data([1], 1, [0])
    wrong = row_data(data)
    wrong["start"][1] = 99
    with pytest.raises(EngineFailed, match="start"):
        stan_backends.sample(program, wrong, [start(data)], chains=1, warmup=10, draws=10)


@pytest.mark.parametrize(
    ("option", "word"),
    [({"chains": 3}, "3 chains"), ({"seed": 0}, "seed"), ({"adapt_delta": 1.0}, "adapt_delta")],
)
def test_settings_out_of_range_are_refused(option: dict, word: str, program: str) -> None:
    with pytest.raises(OptionError, match=word):
        stan_backends.sample(program, {}, [{}, {}], **{"chains": 2, **option})


def test_it_runs_inside_a_live_event_loop_and_keeps_off_the_terminal(
    program: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = reference.make_data([1], 1, [0])

    async def in_a_notebook() -> stan_backends.StanDraws:
        return stan_backends.sample(
            program, row_data(data), [start(data)], chains=1, warmup=20, draws=20
        )

    assert asyncio.run(in_a_notebook()).draws["gamma"].shape == (1, 20, 2)
    assert capfd.readouterr() == ("", "")


def test_a_slow_machine_does_not_end_the_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    # httpstan gives stanc a second, and then answers with what PyStan cannot read
    compiler = importlib.import_module("httpstan.compile")
    monkeypatch.setattr(compiler, "subprocess", subprocess)  # put back afterwards
    pystan_worker._wait_for_stanc()
    slow = [sys.executable, "-c", "import time; time.sleep(0.5); print('done')"]
    found = compiler.subprocess.run(slow, capture_output=True, timeout=0.1)
    assert found.stdout == b"done\n"


def test_the_backend_is_chosen_by_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = "not available: the package is missing; run: pip install it"
    for cmdstan, pystan, chosen in [("1 (2)", "3", "cmdstan"), (gone, "3", "pystan")]:
        here = {"cmdstan": cmdstan, "pystan": pystan}
        monkeypatch.setattr(stan_backends, "available", lambda here=here: here)
        assert stan_backends.choose("auto") == chosen
    with pytest.raises(EngineNotInstalled, match="pip install it"):
        stan_backends.choose("cmdstan")
    with pytest.raises(OptionError, match="use auto, cmdstan or pystan"):
        stan_backends.choose("winbugs")  # type: ignore[arg-type]
