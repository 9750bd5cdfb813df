"""What must not matter to agq: the order of rows, labels, units; and data that are extreme."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginal_cases as cases

import bridge
from bridge.errors import EngineFailed
from bridge.result import Result
from bridge.spec import ModelSpec

SPEC = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + w + (1 | s | g)")
#: Of a standard error: how near two climbs to one maximum end.
NEAR = 1e-3


@cache
def data() -> pd.DataFrame:
    return cases.simulated(30, 8, seed=3, slope=0.6, sd_v=0.7, rho=0.2)


def fitted(frame: pd.DataFrame, spec: ModelSpec = SPEC) -> Result:
    return bridge.fit(spec, frame, engine="agq")


@cache
def plain() -> Result:
    found = fitted(data())
    assert found.warnings == (), "an ordinary maximum, inside the model"
    return found


def rows(result: Result) -> pd.DataFrame:
    return result.estimates.set_index("parameter")[["estimate", "se"]].astype(float)


def assert_one(result: Result, factors: dict[str, float] | None = None) -> None:
    """Check estimates and errors of the plain fit, each times a factor where one is given."""
    ours, theirs = rows(plain()), rows(result)
    assert list(ours.index) == list(theirs.index)
    for name, row in ours.iterrows():
        factor = (factors or {}).get(str(name), 1.0)
        se = abs(factor) * row["se"]
        assert theirs.loc[name, "estimate"] == pytest.approx(
            factor * row["estimate"], abs=NEAR * se
        ), name
        assert theirs.loc[name, "se"] == pytest.approx(se, rel=5e-3), name


def test_order_of_rows() -> None:
    result = fitted(data().sample(frac=1, random_state=1))
    assert result.loglik == pytest.approx(plain().loglik, abs=1e-7)
    assert_one(result)
    pd.testing.assert_frame_equal(result.group_effects, plain().group_effects, rtol=1e-3, atol=1e-4)


def test_labels_of_groups() -> None:
    labels = {g: f"{'zyxw'[g % 4]} {g}" for g in range(30)}
    result = fitted(data().assign(g=data()["g"].map(labels)))
    assert result.loglik == pytest.approx(plain().loglik, abs=1e-7)
    assert_one(result)
    own = plain().group_effects.assign(group=lambda d: d["group"].astype(int).map(labels))
    both = own.merge(result.group_effects, on=["group", "effect"], validate="1:1")
    assert len(both) == 90
    np.testing.assert_allclose(
        both["estimate_x"].astype(float), both["estimate_y"].astype(float), atol=1e-4
    )


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_unit_of_the_outcome(scale: float) -> None:
    result = fitted(data().assign(y=scale * data()["y"] + 100 * scale))
    n = len(data())
    assert result.loglik + n * np.log(scale) == pytest.approx(plain().loglik, abs=1e-6)
    factors = {}
    for name in rows(plain()).index:
        variable = name.split("[")[0]
        if variable in ("gamma", "tau"):
            factors[name] = scale ** (1 if variable == "gamma" else name.count("u:"))
    # the intercepts move too: taken back before they are compared
    table = result.estimates.set_index("parameter")
    table.loc["gamma[Intercept]", "estimate"] -= 100 * scale
    table.loc["delta[Intercept]", "estimate"] -= 2 * np.log(scale)
    object.__setattr__(result, "estimates", table.reset_index())
    assert_one(result, factors)


def test_unit_of_predictors() -> None:
    result = fitted(data().assign(x=1e4 * data()["x"], w=1e-3 * data()["w"]))
    assert result.loglik == pytest.approx(plain().loglik, abs=1e-6)
    power = {"gamma[x]": -4, "tau[u:Intercept,u:x]": -4, "tau[u:x,u:x]": -8,
             "tau[u:x,v:Intercept]": -4, "delta[w]": 3}  # fmt: skip
    assert_one(result, {name: 10.0**p for name, p in power.items()})


def test_origin_of_predictors() -> None:
    """A random slope's predictor moved by 1000: the intercepts are elsewhere, the model is one."""
    result = fitted(data().assign(x=data()["x"] + 1000, w=data()["w"] - 50))
    assert result.loglik == pytest.approx(plain().loglik, abs=1e-5)
    ours, theirs = rows(plain()), rows(result)
    same = ["gamma[x]", "delta[w]", "tau[u:x,u:x]", "tau[u:x,v:Intercept]",
            "tau[v:Intercept,v:Intercept]", "rho[u:x,v:Intercept]"]  # fmt: skip
    for name in same:
        se = ours.loc[name, "se"]
        assert theirs.loc[name, "estimate"] == pytest.approx(
            ours.loc[name, "estimate"], abs=5e-3 * se
        )
        assert theirs.loc[name, "se"] == pytest.approx(se, rel=2e-2)
    # u:Intercept of old is u:Intercept + 1000 u:x of now
    move = np.array([[1, 1000, 0], [0, 1, 0], [0, 0, 1]])
    back = move @ result.covariance().to_numpy() @ move.T
    np.testing.assert_allclose(back, plain().covariance(), rtol=1e-2, atol=1e-2)
    gamma = theirs.loc["gamma[Intercept]", "estimate"] + 1000 * theirs.loc["gamma[x]", "estimate"]
    assert gamma == pytest.approx(ours.loc["gamma[Intercept]", "estimate"], abs=1e-2)


@pytest.mark.parametrize(("scale", "origin"), [(1e-5, 0.0), (1e5, 0.0), (1.0, 2000.0)])
def test_unit_and_origin_of_level2_predictors(scale: float, origin: float) -> None:
    """As of a year, or of an income."""
    base = cases.simulated(60, 6, seed=4, sd_v=0.9, rho=0.3)
    h = base["g"].map(dict(enumerate(np.random.default_rng(3).normal(size=60))))
    spec = ModelSpec(**cases.SHARED, level2="~ h")
    one, other = (fitted(base.assign(h=column), spec) for column in (h, scale * h + origin))
    assert one.warnings == other.warnings == ()
    assert other.loglik == pytest.approx(one.loglik, abs=1e-6)
    assert len(other.messages) < 30, "no longer a climb"
    ours, theirs = rows(one), rows(other)
    kappa = ours.index[ours.index.str.startswith("kappa") & ours.index.str.endswith(",h]")]
    assert len(kappa) == 3
    for name in [*kappa, "delta[w]"]:
        se = ours.loc[name, "se"] / (scale if name in kappa else 1.0)
        estimate = ours.loc[name, "estimate"] / (scale if name in kappa else 1.0)
        assert theirs.loc[name, "estimate"] == pytest.approx(estimate, abs=NEAR * se), name
        assert theirs.loc[name, "se"] == pytest.approx(se, rel=5e-3), name


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    "name", ["uv", "level2 of u", "linear raw", "quadratic raw", "linear raw without v"]
)
def test_extreme_units_of_the_outcome(name: str, scale: float) -> None:
    spec = ModelSpec(**{**cases.DESIGNS[name], **({"level2": "~ k"} if "level2" in name else {})})
    base = cases.simulated(30, 6, seed=2, sd_v=0.9, slope=0.5)
    result = fitted(base.assign(y=scale * base["y"]), spec)
    one = fitted(base, spec)
    assert not any("converge" in said for said in result.warnings)
    assert result.loglik + len(base) * np.log(scale) == pytest.approx(one.loglik, abs=1e-5)
    table, ours = rows(result), rows(one)
    for parameter in ("gamma[x]", "lambda_[u:Intercept]", "lambda_[u:Intercept^2]"):
        if parameter in table.index:
            power = {"gamma[x]": 1, "lambda_[u:Intercept]": -1}.get(parameter, -2)
            expected = scale**power * ours.loc[parameter]
            assert table.loc[parameter].to_numpy() == pytest.approx(expected.to_numpy(), rel=0.02)
    for parameter in table.index[table.index.str.startswith("rho")]:
        assert table.loc[parameter, "se"] == pytest.approx(ours.loc[parameter, "se"], rel=0.01)


def test_a_very_large_group_among_small_ones() -> None:
    rng = np.random.default_rng(5)
    big = pd.DataFrame({"x": rng.normal(size=20_000), "w": rng.normal(size=20_000), "g": 99})
    big["y"] = 3 + 0.5 * big["x"] + np.exp(0.25 + 0.15 * big["w"]) * rng.normal(size=20_000)
    spec = ModelSpec(**cases.SHARED)
    result = fitted(pd.concat([cases.simulated(30, 6, seed=6, sd_v=0.8), big]), spec)
    assert not any("converge" in said for said in result.warnings)
    own = result.group_effects[result.group_effects["group"] == "99"].set_index("effect")
    u = own["estimate"].astype(float)
    assert u["u:Intercept"] + result.estimate("gamma[Intercept]") == pytest.approx(3, abs=0.05)
    assert u["v:Intercept"] + result.estimate("delta[Intercept]") == pytest.approx(0.5, abs=0.05)
    assert (own["se"] < 0.02).all()


def test_groups_of_one_row_inform_the_rest() -> None:
    whole = cases.simulated(60, 5, seed=7, sd_v=0.8)
    single = whole[(whole["g"] >= 25) | (whole.groupby("g").cumcount() == 0)]
    result = fitted(single, ModelSpec(**cases.SHARED))
    assert not any("converge" in said or "determine" in said for said in result.warnings)
    assert result.n_groups == 60
    se = result.group_effects.query("effect == 'u:Intercept'")["se"].astype(float)
    assert se[:25].min() > se[25:].median(), "less is known of a group of one"


def test_two_groups() -> None:
    result = fitted(data()[data()["g"] < 2], ModelSpec(**cases.DESIGNS["u, v"]))
    assert np.isfinite(result.loglik)
    assert not any("converge" in said for said in result.warnings)


def test_a_group_of_one_outcome_where_the_predictors_vary() -> None:
    constant = data().assign(y=data()["y"].where(data()["g"] != 3, 2.0))
    result = fitted(constant, ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + w + (1 | s | g)"))
    assert np.isfinite(result.loglik)
    assert not any("converge" in said for said in result.warnings)


@pytest.mark.parametrize("groups", [5, 15])
def test_groups_that_are_fitted_exactly_have_no_maximum(groups: int) -> None:
    """Not where the variance of v may grow, unless there is a maximum before it does."""
    base = cases.simulated(30, 8)
    constant = base.assign(y=base["y"].where(base["g"] >= groups, 2.0))
    with pytest.raises(EngineFailed) as caught:
        fitted(constant, ModelSpec("y ~ 1 + (1 | s | g)", "~ 1 + (1 | s | g)"))
    assert str(caught.value).startswith(
        f"The likelihood has no maximum: in {groups} group(s), the first of them '0', the outcome "
        "can be fitted exactly"
    )


@pytest.mark.parametrize("random", ["", " + (1 | g)"])
def test_a_level_that_is_fitted_exactly_has_no_maximum(random: str) -> None:
    first = data()["g"] < 3
    frame = data().assign(f=np.where(first, "a", "b"), y=data()["y"].where(~first, 2.0))
    with pytest.raises(EngineFailed, match=r"no maximum: in 24 row\(s\), the first of them 0"):
        fitted(frame, ModelSpec("y ~ 1 + f + (1 | g)", f"~ 1 + f{random}"))
