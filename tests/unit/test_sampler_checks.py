"""What is said after a fit whose sampling did not go well, word by word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import arviz_compat
from bridge.engines.sampler_checks import E_BFMI_LIMIT, e_bfmi, sampler_warnings

OPTIONS = {"draws": 1000, "adapt_delta": 0.8, "max_treedepth": 10}
SOUND = {
    "diverging": np.zeros((2, 100), dtype=bool),
    "tree_depth": np.full((2, 100), 9),
    "energy": np.random.default_rng(1).normal(size=(2, 100)),
}


def table(**columns: Any) -> pd.DataFrame:
    sound = {"r_hat": [1.01, 1.0, np.nan], "ess_bulk": [400.0, 900, np.nan]}
    sound["ess_tail"] = [400.0, 800, np.nan]
    names = {"parameter": ["gamma[Intercept]", "delta[x]", "rho[u:x,v:x]"]}
    return pd.DataFrame({**names, **sound, **columns})


def slow_energy(share: float, draws: int = 4000) -> np.ndarray:
    """One chain whose energies move by a share of what independent ones would (E-BFMI 2 share)."""
    rng = np.random.default_rng(2)
    energy = np.zeros(draws)
    for t in range(1, draws):
        energy[t] = (1 - share) * energy[t - 1] + np.sqrt(1 - (1 - share) ** 2) * rng.normal()
    return energy


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "divergences": ({"diverging": np.arange(200).reshape(2, 100) % 40 == 0}, {}),
    "tree depth": ({"tree_depth": np.r_[np.full(190, 3), np.full(10, 10)].reshape(2, 100)}, {}),
    "energy": ({"energy": np.stack([slow_energy(1.0), slow_energy(0.05)])}, {}),
    "R-hat": ({}, {"r_hat": [1.02, 1.2345, np.nan]}),
    "bulk": ({}, {"ess_bulk": [399.0, 57.0, np.nan]}),
    "tail": ({}, {"ess_tail": [399.0, 500.0, 57.0]}),
}


def test_the_words(golden: Callable[[str, str], None]) -> None:
    lines = []
    for name, (stats, columns) in CASES.items():
        said = sampler_warnings(SOUND | stats, table(**columns), OPTIONS)
        assert len(said) == 1, name
        lines += [f"{name}:", *said, ""]
    golden("sampler_warnings.txt", "\n".join(lines).rstrip())


def test_nothing_is_said_where_all_is_well() -> None:
    assert sampler_warnings(SOUND, table(), OPTIONS) == []
    # an engine that gives little, and estimates without tails
    few = table().drop(columns="ess_tail")
    assert sampler_warnings({}, few, {"max_treedepth": 10}) == []


def test_the_energy_of_independent_draws_and_of_a_walk() -> None:
    # the mean squared change over the variance: 2 (1 - autocorrelation at lag one)
    for share in (1.0, 0.5, 0.05):
        found = e_bfmi(slow_energy(share, 20_000)[None])
        assert found[0] == pytest.approx(2 * share, rel=0.1)
    by_hand = np.array([[1.0, 2.0, 4.0, 3.0]])
    assert e_bfmi(by_hand)[0] == pytest.approx((1 + 4 + 1) / 3 / (5 / 3))
    assert np.isnan(e_bfmi(np.ones((2, 5)))).all()
    assert np.isnan(e_bfmi(np.ones((2, 1)))).all()
    assert sampler_warnings({"energy": np.ones((2, 5))}, table(), OPTIONS) == []


def test_the_energy_is_judged_chain_by_chain_as_arviz_does() -> None:
    energy = np.stack([slow_energy(share, 500) for share in (0.02, 0.9, 0.1)])
    if not arviz_compat.has_inference_data():
        pytest.skip("ArviZ 1.x has it elsewhere")
    theirs = arviz_compat._arviz().bfmi(energy)
    ours = e_bfmi(energy)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    assert list(ours < E_BFMI_LIMIT) == [True, False, True]
    (said,) = sampler_warnings({"energy": energy}, table(), OPTIONS)
    assert "in 2 of 3 chains" in said and "chain 1)" in said


@pytest.mark.parametrize(("draws", "said"), [(1, True), (3, True), (4, False)])
def test_too_few_draws_for_r_hat_are_said(draws: int, said: bool) -> None:
    none = table(r_hat=np.nan, ess_bulk=np.nan, ess_tail=np.nan)
    found = sampler_warnings({"diverging": np.zeros((2, draws), dtype=bool)}, none, OPTIONS)
    assert [text.startswith(f"{draws} draw(s) of each chain are too few") for text in found] == (
        [True] if said else []
    )
