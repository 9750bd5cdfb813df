"""Designs of simulated studies: sizes and covariates have the laws that are asked for."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import errors
from bridge.simulation_design import SimulationDesign

RNG = np.random.default_rng


def drawn(covariate: dict[str, Any], groups: int = 4000, size: int = 5) -> pd.DataFrame:
    """Return a design of one covariate, x."""
    return SimulationDesign(groups=groups, size=size, covariates={"x": covariate}).draw(RNG(1))


def near(values: np.ndarray, expected: float, errors_of: float = 4.0) -> None:
    """Make sure that a mean is what is expected, within some of its Monte Carlo errors."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert values.mean() == pytest.approx(expected, abs=errors_of * error)


# --- covariates ------------------------------------------------------------------------------
LAWS = {
    "normal": ({"mean": 2.0, "sd": 3.0}, 2.0, 9.0),
    "uniform": ({"low": -1.0, "high": 3.0}, 1.0, 16 / 12),
    "bernoulli": ({"share": 0.3}, 0.3, 0.21),
}


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.8])
@pytest.mark.parametrize("law", LAWS)
def test_mean_variance_and_intraclass_correlation(law: str, rho: float) -> None:
    parts, mean, variance = LAWS[law]
    found = drawn({"law": law, **parts, "intraclass": rho})
    x = found["x"].to_numpy(dtype=float).reshape(4000, 5)
    near(x.mean(axis=1), mean)  # groups are independent, rows are not
    near(((x - mean) ** 2).mean(axis=1), variance)
    within = (x - mean)[:, :, None] * (x - mean)[:, None, :]
    pairs = within[:, *np.triu_indices(5, 1)].mean(axis=1)
    near(pairs, rho * variance)
    with pytest.raises(AssertionError):  # a test that would see another correlation
        near(pairs, (rho + 0.1) * variance)


def test_a_uniform_covariate_is_uniform_whatever_its_correlation() -> None:
    from scipy import stats

    first = drawn({"law": "uniform", "intraclass": 0.6})["x"].to_numpy().reshape(4000, 5)[:, 0]
    assert stats.kstest(first, "uniform").pvalue > 1e-3


def test_covariates_of_groups_are_constant_within_them() -> None:
    for law, (parts, mean, variance) in LAWS.items():
        found = drawn({"level": "group", "law": law, **parts})
        by_group = found.groupby("group")["x"]
        assert (by_group.nunique() == 1).all()
        values = by_group.first().to_numpy(dtype=float)
        near(values, mean)
        near((values - mean) ** 2, variance)


def test_all_variance_between_groups() -> None:
    for law in LAWS:
        found = drawn({"law": law, "intraclass": 1.0}, groups=50)
        assert found.groupby("group")["x"].std().max() < 1e-12


# --- sizes -----------------------------------------------------------------------------------
def sizes(**parts: Any) -> np.ndarray:
    """Return the sizes of the groups of a design."""
    return SimulationDesign(**parts).draw(RNG(2))["group"].value_counts(sort=False).to_numpy()


def test_sizes_fixed_and_listed() -> None:
    assert sizes(groups=3, size=4).tolist() == [4, 4, 4]
    assert sizes(sizes=[2, 5, 1]).tolist() == [2, 5, 1]
    assert len(SimulationDesign().draw(RNG(0))) == 50 * 25


def test_random_sizes() -> None:
    uniform = sizes(groups=6000, size={"law": "uniform", "low": 3, "high": 7})
    assert uniform.min() == 3 and uniform.max() == 7
    near(uniform, 5)
    poisson = sizes(groups=6000, size={"law": "poisson", "mean": 6, "least": 2})
    assert poisson.min() == 2
    near(poisson, 6)
    near((poisson - 6) ** 2, 4)
    spread = sizes(groups=6000, size={"law": "negative_binomial", "mean": 20, "sd": 12})
    assert spread.min() >= 1
    near(spread, 20)
    near((spread - 20) ** 2, 144)


# --- forms -----------------------------------------------------------------------------------
def test_the_same_seed_gives_the_same_rows() -> None:
    design = SimulationDesign(size={"law": "poisson", "mean": 4}, covariates={"x": {}})
    pd.testing.assert_frame_equal(design.draw(RNG(3)), design.draw(RNG(3)))
    assert not design.draw(RNG(3)).equals(design.draw(RNG(4)))


def test_from_toml_and_back() -> None:
    text = """
    groups = 30
    group = "school"
    size = {law = "uniform", low = 5, high = 9}
    [covariates.w]
    level = "group"
    law = "bernoulli"
    [covariates.x]
    intraclass = 0.2
    """
    design = SimulationDesign.from_dict(tomllib.loads(text))
    assert list(design.draw(RNG(1))) == ["school", "w", "x"]
    assert design.to_dict()["covariates"]["x"] == {
        "level": "row", "law": "normal", "mean": 0.0, "sd": 1.0, "intraclass": 0.2,
    }  # fmt: skip
    again = SimulationDesign.from_dict(design.to_dict())
    assert again == design and hash(again) == hash(design)
    listed = SimulationDesign(sizes=[1, 2])
    assert SimulationDesign.from_dict(listed.to_dict()) == listed


def test_the_group_is_named_by_the_design_first() -> None:
    assert list(SimulationDesign().draw(RNG(0), "class")) == ["class"]
    assert list(SimulationDesign(group="school").draw(RNG(0), "class")) == ["school"]


# --- what is refused -------------------------------------------------------------------------
REFUSED = {
    "no groups": ({"groups": 0}, "groups of a design: a whole number of at least 1, not 0."),
    "negative size": ({"size": -3}, "size of a design: a whole number of at least 1, not -3."),
    "negative sizes": ({"sizes": [3, -1]}, "sizes of a design: a whole number of at least 1"),
    "both": ({"size": 3, "sizes": [3]}, "size or sizes (one for each group), not both"),
    "count": ({"groups": 3, "sizes": [3]}, "1 sizes for 3 groups; leave groups out"),
    "text": ({"sizes": "3"}, "one whole number for each group, not '3'"),
    "truth value": ({"size": True}, "a whole number of at least 1, not True"),
    "law": ({"size": {"law": "poison", "mean": 3}}, "Did you mean 'poisson'?"),
    "no law": ({"size": {"mean": 3}}, "the law is one of uniform, poisson"),
    "no mean": ({"size": {"law": "poisson"}}, "A poisson size needs 'mean'."),
    "size key": ({"size": {"law": "poisson", "maen": 3}}, "Did you mean 'mean'?"),
    "turned": ({"size": {"law": "uniform", "low": 4, "high": 3}}, "from 4 to 3: turn them round"),
    "below": ({"size": {"law": "poisson", "mean": 1, "least": 2}}, "below the least size 2"),
    "sd": ({"size": {"law": "negative_binomial", "mean": 5, "sd": 1}}, "must be above 2"),
    "group": ({"group": 3}, "is a column's name, not 3"),
    "group twice": ({"group": "g", "covariates": {"g": {}}}, "the grouping column and a covariate"),
    "list": ({"covariates": ["x"]}, "a mapping from columns to laws"),
    "not a law": ({"covariates": {"x": "normal"}}, "The covariate x is a mapping"),
    "unknown law": ({"covariates": {"x": {"law": "norml"}}}, "Did you mean 'normal'?"),
    "unknown level": ({"covariates": {"x": {"level": "grup"}}}, "Did you mean 'group'?"),
    "unknown key": ({"covariates": {"x": {"intraclas": 0.1}}}, "Did you mean 'intraclass'?"),
    "other law's key": ({"covariates": {"x": {"law": "uniform", "sd": 2}}}, "has no 'sd'"),
    "intraclass of groups": (
        {"covariates": {"w": {"level": "group", "intraclass": 0.1}}}, "leave intraclass out"
    ),
    "intraclass": ({"covariates": {"x": {"intraclass": 1.2}}}, "between 0 and 1, and is 1.2"),
    "share": ({"covariates": {"x": {"law": "bernoulli", "share": -1}}}, "between 0 and 1"),
    "sd of x": ({"covariates": {"x": {"sd": 0}}}, "sd is above 0, and is 0"),
    "low": ({"covariates": {"x": {"law": "uniform", "low": 2}}}, "low (2) lies below high (1)"),
    "infinite": ({"covariates": {"x": {"mean": float("inf")}}}, "mean is a finite number"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    parts, part = REFUSED[name]
    with pytest.raises(errors.OptionError) as raised:
        SimulationDesign(**parts)
    assert part in str(raised.value)


def test_an_unknown_part_is_refused_with_the_nearest() -> None:
    with pytest.raises(errors.OptionError, match="Did you mean 'covariates'"):
        SimulationDesign.from_dict({"covariate": {}})
