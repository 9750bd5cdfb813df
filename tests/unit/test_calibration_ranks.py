"""Are ranks uniform? Bands hold what they say, and statistics see what is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bridge import calibration_ranks as cr
from bridge import errors
from bridge.calibration_ranks import Calibration


def uniform(sets: int, size: int, draws: int, seed: int = 1) -> np.ndarray:
    """Return sets of uniform ranks, (sets, size)."""
    return np.random.default_rng(seed).integers(0, draws + 1, (sets, size))


# --- bands ---
@pytest.mark.parametrize(("size", "draws"), [(300, 99), (50, 99), (100, 19)])
@pytest.mark.parametrize("probability", [0.99, 0.9])
def test_the_band_holds_all_at_once_as_often_as_it_says(
    size: int, draws: int, probability: float
) -> None:
    sets = 2000
    lower, upper = cr.band(size, draws, probability)
    below = np.stack([cr.below(ranks, draws) for ranks in uniform(sets, size, draws)])
    share = ((below >= lower) & (below <= upper)).all(axis=1).mean()
    error = np.sqrt(probability * (1 - probability) / sets)
    # whole numbers: a little wider than asked
    assert probability - 4 * error < share < probability + 4 * error + 0.2 * (1 - probability)


def test_the_band_is_no_wider_than_it_must() -> None:
    """One count less on every side holds them too seldom."""
    lower, upper = cr.band(300, 99, 0.99)
    below = np.stack([cr.below(ranks, 99) for ranks in uniform(2000, 300, 99)])
    share = ((below > lower + 1) & (below < upper - 1)).all(axis=1).mean()
    assert share < 0.98


def test_p_is_that_of_the_band_and_uniform() -> None:
    lower, upper = cr.band(100, 49, 0.9)
    p = []
    for ranks in uniform(600, 100, 49):
        below = cr.below(ranks, 49)
        p.append(cr.p_value(ranks, 49))
        assert (p[-1] > 0.1) == bool(((below >= lower) & (below <= upper)).all())
    for level in (0.1, 0.3, 0.6):
        error = np.sqrt(level * (1 - level) / len(p))
        assert (np.array(p) <= level).mean() == pytest.approx(level, abs=4 * error + 0.01)


def test_of_two_places_p_is_that_of_the_binomial() -> None:
    """L = 1: one count of N, and the probability of what is no likelier in either tail."""
    ranks = np.repeat([0, 1], [7, 3])
    r = np.arange(11)
    tails = np.minimum(stats.binom.cdf(r, 10, 0.5), stats.binom.sf(r - 1, 10, 0.5))
    expected = stats.binom.pmf(r, 10, 0.5)[tails <= tails[7] + 1e-12].sum()
    assert cr.p_value(ranks, 1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (2, 2), (1.5, 1), (1, 1.5)])
def test_ranks_that_are_not_uniform_are_seen(a: float, b: float) -> None:
    """Draws too narrow, too wide, too low, too high."""
    ranks = (np.random.default_rng(2).beta(a, b, 300) * 100).astype(int)
    assert cr.p_value(ranks, 99) < 1e-3
    assert cr.chi_square(ranks, 99)[1] < 1e-3


# --- statistics ---
def test_counts_and_bins() -> None:
    ranks = np.array([0, 0, 1, 3])
    assert cr.below(ranks, 3).tolist() == [2, 3, 3]
    assert cr.deviation(ranks, 3) == pytest.approx(0.25)
    assert cr.bins_of(300, 99) == 20 and cr.bins_of(60, 99) == 10 and cr.bins_of(4, 99) == 1
    counts = cr.histogram(np.arange(100), 99)
    assert counts.tolist() == [5] * 20
    assert cr.chi_square(np.arange(100), 99) == (0.0, 1.0)
    assert np.isnan(cr.chi_square(np.array([1, 2]), 99)).all()


def test_ties_are_broken_at_random() -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([1.0, 2.0, 2.0, 2.0, 3.0])
    assert cr.rank(0.0, drawn, rng) == 0 and cr.rank(9.0, drawn, rng) == 5
    found = [cr.rank(2.0, drawn, rng) for _ in range(4000)]
    assert stats.chisquare(np.bincount(found, minlength=5)[1:5]).pvalue > 1e-3
    assert set(found) == {1, 2, 3, 4}


# --- a calibration ---
def calibration(method: str = "posterior", wrong: bool = False, failed: int = 0) -> Calibration:
    """Return 200 simulations of three parameters, ranks uniform but for one."""
    ranks = uniform(3, 200, 99, seed=5)
    if wrong:
        ranks[1] = (np.random.default_rng(2).beta(0.5, 0.5, 200) * 100).astype(int)
    frames = []
    for name, own in zip(("gamma[x]", "delta[x]", cr.LOG_LIKELIHOOD), ranks, strict=True):
        frame = pd.DataFrame({"replication": np.arange(200), "parameter": name, "scale": "outcome"})
        bad = frame["replication"] < failed
        frame["rank"] = pd.Series(own, dtype="Int64").mask(bad)
        frame["status"] = np.where(bad, "failed", "ok")
        frames.append(frame.assign(ess=300.0, divergences=0.0))
    return Calibration(pd.concat(frames, ignore_index=True), 99, "nuts", method, "y")


def test_a_right_engine_passes() -> None:
    found = calibration()
    assert found.passed and found.simulations == 200 and not found.failed
    assert found.probability == pytest.approx(1 - 0.01 / 3)
    assert list(found.table["parameter"]) == ["gamma[x]", "delta[x]", "log_likelihood"]
    assert found.summary().splitlines()[-1].startswith("passed: bands hold all 3 parameters")


def test_a_wrong_parameter_is_named() -> None:
    found = calibration(wrong=True)
    assert not found.passed
    assert found.table.set_index("parameter")["inside"].to_dict() == {
        "gamma[x]": True, "delta[x]": False, "log_likelihood": True,
    }  # fmt: skip
    assert "NOT passed (outside: delta[x])" in found.summary()


def test_failed_fits_are_counted_and_never_pass() -> None:
    found = calibration(failed=3)
    assert found.failed == 3 and found.simulations == 200 and len(found.of("gamma[x]")) == 197
    assert not found.passed and "3 failed" in found.summary()
    every = calibration(failed=200)
    assert not every.passed and not every.table["inside"].any()
    assert every.summary().count("no ranks") == 3 and "OUTSIDE" not in every.summary()
    with pytest.raises(errors.NotAvailable, match="Every fit failed"):
        every.of("gamma[x]")


def test_asymptotic_draws_are_called_so() -> None:
    assert (
        "asymptotic draws around maximum-likelihood estimates"
        in calibration("asymptotic").summary()
    )


def test_few_effective_draws_and_divergences_are_said() -> None:
    found = calibration()
    found.ranks.loc[found.ranks["replication"] < 4, "ess"] = 40.0
    found.ranks.loc[found.ranks["replication"] < 2, "divergences"] = 3.0
    assert found.few == 4 and found.divergent == 2
    assert "4 with an effective sample size below 99" in found.summary()
    assert "2 with divergences" in found.summary()


def test_an_unknown_parameter() -> None:
    with pytest.raises(errors.NotAvailable, match="Did you mean 'gamma"):
        calibration().of("gamma[y]")
