"""Power-scaling against posteriors that are known, and against ArviZ's own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from bridge import arviz_compat
from bridge.power_scaling import ALPHAS, cjs_distance, mean_shift, scaled, sensitivity

PRIOR, DATA = (1.0, 0.8), (0.0, 0.5)  # mean and SD of a normal prior and of a normal likelihood
SIZE = 20_000


def posterior(prior_power: float = 1.0, data_power: float = 1.0) -> tuple[float, float]:
    """Mean and SD of the normal that the scaled prior and likelihood multiply to."""
    precision = np.array([prior_power / PRIOR[1] ** 2, data_power / DATA[1] ** 2])
    mean = precision @ np.array([PRIOR[0], DATA[0]]) / precision.sum()
    return float(mean), float(precision.sum() ** -0.5)


def distance(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The distance of two normals, their distribution functions integrated numerically."""

    def one_sided(sign: float) -> float:
        p = stats.norm(sign * first[0], first[1]).cdf
        q = stats.norm(sign * second[0], second[1]).cdf
        low = min(sign * m - 8 * s for m, s in (first, second))
        # the integral of P + Q grows with its upper end, which is the largest draw
        high = sign * first[0] + stats.norm.isf(0.5 / SIZE) * first[1]

        def over(f) -> float:
            return integrate.quad(f, low, high, limit=400)[0]

        def log2(a: float, b: float) -> float:
            return a * np.log2(2 * a / (a + b)) if a > 0 else 0.0

        tilt = over(lambda x: q(x) - p(x)) / (2 * np.log(2))
        there = over(lambda x: log2(p(x), q(x))) + tilt
        back = over(lambda x: log2(q(x), p(x))) - tilt
        return float(np.sqrt((there + back) / over(lambda x: p(x) + q(x))))

    return max(one_sided(1.0), one_sided(-1.0))


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    # evenly spread over the posterior, so that nothing is left to chance
    spread = stats.norm(*posterior()).ppf((np.arange(SIZE) + 0.5) / SIZE)
    return np.random.default_rng(1).permutation(spread)


@pytest.mark.parametrize("part", ["prior", "likelihood"])
def test_a_normal_posterior_moves_as_algebra_says(part: str, draws: np.ndarray) -> None:
    law = PRIOR if part == "prior" else DATA
    by = scaled(stats.norm(*law).logpdf(draws), 1.0)
    assert by.k_hat < 0.5
    exact = [posterior(**{f"{'prior' if part == 'prior' else 'data'}_power": a}) for a in ALPHAS]
    for weights, (mean, sd) in zip(by.weights, exact, strict=True):
        assert weights @ draws == pytest.approx(mean, abs=0.01)
        assert np.sqrt(weights @ (draws - mean) ** 2) == pytest.approx(sd, rel=0.02)
    shift = (exact[1][0] - exact[0][0]) / posterior()[1]
    assert mean_shift(draws, by) == pytest.approx(shift, abs=0.02)
    by_hand = [
        distance(posterior(), e) / abs(np.log2(a)) for e, a in zip(exact, ALPHAS, strict=True)
    ]
    assert sensitivity(draws, by) == pytest.approx(np.mean(by_hand), rel=0.02)


def test_a_part_that_says_nothing_moves_nothing(draws: np.ndarray) -> None:
    by = scaled(np.full(len(draws), -3.0), 1.0)
    assert np.isnan(by.k_hat)
    assert sensitivity(draws, by) == pytest.approx(0, abs=1e-6)
    assert mean_shift(draws, by) == pytest.approx(0, abs=1e-9)
    noise = scaled(np.random.default_rng(3).normal(size=len(draws)), 1.0)
    assert sensitivity(draws, noise) < 0.01


def test_a_parameter_that_does_not_vary_has_no_sensitivity() -> None:
    by = scaled(np.random.default_rng(3).normal(size=500), 1.0)
    assert np.isnan(sensitivity(np.ones(500), by)) and np.isnan(mean_shift(np.ones(500), by))


def test_a_part_that_is_out_of_reach_has_a_large_k() -> None:
    rng = np.random.default_rng(2)
    assert scaled(-0.5 * 40**2 * rng.normal(size=4000) ** 2, 1.0).k_hat > 0.7


def test_the_distance_has_no_scale_and_no_sign(draws: np.ndarray) -> None:
    by = scaled(stats.norm(*PRIOR).logpdf(draws), 1.0)
    found = sensitivity(draws, by)
    for other in (1e6 * draws, 1e-6 * draws, -draws, draws + 100):
        assert sensitivity(other, by) == pytest.approx(found, rel=1e-6)
    assert 0 <= cjs_distance(draws, by.weights[0]) <= 1


def test_the_sensitivity_is_that_of_arviz() -> None:
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    rng = np.random.default_rng(4)
    for shape in (2.0, 30.0):
        draws = rng.gamma(shape, size=2000)
        by = scaled(stats.gamma(3.0).logpdf(draws) + 0.1 * rng.normal(size=2000), 1.0)
        lower, upper = (w.reshape(4, 500) for w in by.weights)
        theirs = array_stats.power_scale_sense(
            draws.reshape(4, 500), lower, upper, *ALPHAS, chain_axis=0, draw_axis=1
        )
        assert sensitivity(draws, by) == pytest.approx(float(theirs), rel=1e-9)


def test_both_arviz_give_the_same_weights(
    draws: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not arviz_compat.has_inference_data():
        pytest.skip("ArviZ 1.x alone is here")
    few = draws[:2000]
    log_density = stats.norm(*PRIOR).logpdf(few)
    old = scaled(log_density, 0.8)
    monkeypatch.setattr(arviz_compat, "has_inference_data", lambda: False)
    new = scaled(log_density, 0.8)
    assert sensitivity(few, new) == pytest.approx(sensitivity(few, old), rel=1e-3)
    assert new.k_hat == pytest.approx(old.k_hat, abs=0.05)
