"""A result holds what its model can be fitted from again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.design import make_design
from bridge.design_of import design_of
from bridge.marginal.maximum import maximise
from bridge.spec import ModelSpec


def frame() -> pd.DataFrame:
    """Return 12 groups of 6 rows, two of the rows incomplete, groups out of order."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(12), 6)
    u, v = rng.normal(size=12)[g], 0.5 * rng.normal(size=12)[g]
    x = rng.normal(size=72)
    data = pd.DataFrame(
        {
            "y": 1 + 0.5 * x + u + np.exp(0.5 * v) * rng.normal(size=72),
            "x": x,
            "w": np.tile([0.0, 1.0, 2.0], 4)[g],
            "f": np.array(["a", "b", "c"])[rng.integers(0, 3, 72)],
            "g": [f"group {9 - i}" for i in g],
        },
        index=[f"row {i}" for i in range(72)],
    )
    data.loc["row 5", "x"] = np.nan
    data.loc["row 40", "y"] = np.nan
    return data


SPECS = {
    "no effects": ModelSpec("y ~ 1 + x + f", "~ 1 + x"),
    "blocks": ModelSpec("y ~ 0 + f + (1 + x || g)", "~ 1 + x + (1 | g)"),
    "an id": ModelSpec("y ~ 1 + f:x + (1 | s | g) + (0 + x | g)", "~ 1 + (1 | s | g)"),
    "level 2": ModelSpec(
        "y ~ 1 + poly(x, 2) + (1 | s | g)",
        "~ 1 + (1 | s | g)",
        level2={
            "rho[u:Intercept,v:Intercept]": "~ w",
            "tau[u:Intercept,u:Intercept]": "~ 1 + I(w^2)",
        },
    ),
    "association": ModelSpec("y ~ 1 + x + (1 | g)", "~ 1 + (1 | g)", association="linear"),
}


@pytest.mark.parametrize("case", SPECS)
@pytest.mark.parametrize("saved", [False, True], ids=["as fitted", "saved"])
def test_the_design_of_a_result_is_that_of_its_data(case: str, saved: bool, tmp_path: Path) -> None:
    design = make_design(SPECS[case], frame())
    result = bridge.fit(SPECS[case], frame(), "agq")
    if saved:
        result = bridge.load(result.save(tmp_path / "r.nc"))
    again = design_of(result)
    for name in ("mean_effects", "variance_effects", "tau_pairs", "rho_pairs", "kappa_terms",
                 "latent_terms", "group_labels", "dropped_rows", "outcome_mad"):  # fmt: skip
        assert getattr(again, name) == getattr(design, name), name
    assert list(again.index) == list(design.index)
    for name in ("y", "Z", "A", "group"):
        assert np.array_equal(getattr(again, name), getattr(design, name)), name
    for ours, theirs in ((again.mean, design.mean), (again.variance, design.variance)):
        assert ours.labels == theirs.labels
        assert ours.intercept == theirs.intercept
        assert np.array_equal(ours.matrix, theirs.matrix)
    assert list(again.level2) == list(design.level2)
    for key, encoded in design.level2.items():
        assert np.array_equal(again.level2[key].matrix, encoded.matrix)
        assert again.level2[key].labels == encoded.labels
    found = maximise(again, check_nodes=False, errors=False)
    assert found.loglik == pytest.approx(result.loglik, abs=1e-8)


def test_columns_stand_by_their_labels() -> None:
    again = design_of(bridge.fit(SPECS["level 2"], frame(), "agq"))
    assert np.array_equal(again.columns["poly(x, 2)[2]"], again.mean.matrix[:, 2])
    square = again.columns["I(w^2)"]
    assert np.array_equal(square, frame().dropna()["w"].to_numpy() ** 2)
    assert "Intercept" not in again.columns


def test_without_standard_errors_the_maximum_is_the_same() -> None:
    design = make_design(SPECS["an id"], frame())
    quick, whole = maximise(design, errors=False), maximise(design)
    assert np.array_equal(quick.estimates, whole.estimates)
    assert quick.loglik == whole.loglik
    assert np.isnan(quick.covariance).all()
    assert np.isfinite(np.diag(whole.covariance)[:4]).all()
