"""Numbers of the population of groups against groups simulated from the model, law by law."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import population_cases as cases

import bridge
from bridge import errors, quantities

N = 1_000_000
AT = {"x": cases.X, "w": cases.W}
SIGMAS = 4.5  # of Monte Carlo errors: some 150 numbers are compared
NO_AVERAGE, NO_QUANTILE = ["student_t"], ["quadratic", "quadratic, raw"]
D = 2 * stats.norm.ppf(0.9)


@cache
def simulated(name: str) -> tuple[np.ndarray, np.ndarray]:
    return cases.CASES[name].simulated(N)


def values(frame: pd.DataFrame) -> pd.Series:
    return frame.set_index("quantity")["estimate"]


def assert_mean(found: float, draws: np.ndarray) -> None:
    assert abs(found - draws.mean()) < SIGMAS * draws.std() / np.sqrt(len(draws)) + 1e-12


def assert_variance(found: float, draws: np.ndarray) -> None:
    assert_mean(found, (draws - draws.mean()) ** 2)


def assert_quantile(found: float, draws: np.ndarray, share: float, of: float = N) -> None:
    """With few values of draws, as of classes, a share lies below and another at the number."""
    error = SIGMAS * np.sqrt(share * (1 - share) / of)
    near = 1e-9 * (1 + abs(found))
    assert (draws < found - near).mean() < share + error
    assert (draws < found + near).mean() > share - error


@pytest.mark.parametrize("name", cases.CASES)
def test_variances_of_simulated_groups(name: str) -> None:
    _, variances = simulated(name)
    frame = quantities.level1_variance(cases.CASES[name].result(), AT)
    found = values(frame)
    if name in NO_AVERAGE:
        lacking = ["population average", "between-group variance"]
        assert "no expectation" in frame["note"].iloc[0]
    else:
        assert_mean(found["population average"], variances)
        if variances.std():
            assert_variance(found["between-group variance"], variances)
        lacking = []
    quantiles = {"10th percentile": 0.1, "median": 0.5, "90th percentile": 0.9}
    if name in NO_QUANTILE:
        lacking += list(quantiles)
        assert frame["note"].str.contains("no closed form").sum() == 3
    else:
        for quantity, share in quantiles.items():
            assert_quantile(found[quantity], variances, share)
    assert list(found[lacking].isna()) == [True] * len(lacking)
    assert (frame["note"] != "").sum() == len(lacking)


@pytest.mark.parametrize("name", cases.CASES)
def test_means_of_simulated_groups(name: str) -> None:
    means, variances = simulated(name)
    result = cases.CASES[name].result()
    found = values(quantities.group_mean_range(result, AT))
    for quantity, share in (("10th percentile", 0.1), ("90th percentile", 0.9)):
        assert_quantile(found[quantity], means, share)
    width = found["90th percentile"] - found["10th percentile"]
    assert found["range"] == pytest.approx(width)
    if name in NO_QUANTILE:
        with pytest.raises(errors.NotAvailable, match="no closed form under a quadratic"):
            quantities.outcome_gap(result, AT)
        return
    gap = values(quantities.outcome_gap(result, AT))
    for quantity, share in (("least variable groups", 0.1), ("most variable groups", 0.9)):
        assert_quantile((gap[quantity] / D) ** 2, variances, share)


@pytest.mark.parametrize("name", cases.CASES)
def test_shares_of_the_variance_of_simulated_outcomes(name: str) -> None:
    means, variances = simulated(name)
    found = values(quantities.variance_partition(cases.CASES[name].result(), AT))
    assert_variance(found["between groups"], means)
    if name in NO_AVERAGE:
        assert_quantile(found["within the median group"], variances, 0.5)
        within = found["within the median group"]
        own = found["ICC of the median group"]
        assert own == pytest.approx(found["between groups"] / (found["between groups"] + within))
        return
    # two outcomes of one group
    y = means + np.sqrt(variances) * np.random.default_rng(4).normal(size=(2, N))
    products = (y[0] - y[0].mean()) * (y[1] - y[1].mean())
    assert_mean(found["between groups"], products)
    total = found["between groups"] + found["within groups"]
    assert_variance(total, y[0])
    assert found["ICC"] == pytest.approx(found["between groups"] / total)


@pytest.mark.parametrize("name", cases.CASES)
def test_new_groups_and_their_own_variances(name: str) -> None:
    means, variances = simulated(name)
    S = 4000
    result = cases.CASES[name].result(S)
    found = bridge.predict(result, AT, "new", seed=2).iloc[0]
    assert_variance(found["between"], means)
    if name in NO_AVERAGE:
        assert pd.isna(found["variance"]) and pd.isna(found["own_variance_se"])
        assert found["note"].endswith("<NA> is infinite: the exponential of a Student-t effect has "
                                      "no expectation")  # fmt: skip
    else:
        assert_mean(found["variance"], variances)
        assert found["total"] == pytest.approx(found["variance"] + found["between"])
        if variances.std():
            assert_variance(found["own_variance_se"] ** 2, variances)
    both = 1 / (1 / S + 1 / N)  # S draws of the table, N of the simulation
    for ending, share in (("_lower", 0.025), ("", 0.5), ("_upper", 0.975)):
        assert_quantile(found[f"own_variance{ending}"], variances, share, both)
        if ending:
            assert_quantile(found[f"mean{ending}"], means, share, both)


@pytest.mark.parametrize("name", ["student_t", "classes", "quadratic"])
def test_outcomes_of_new_groups(name: str) -> None:
    means, variances = simulated(name)
    rows = pd.DataFrame({"x": [cases.X] * 3, "w": [cases.W] * 3, "g": ["one", "one", "other"]})
    S = 20_000
    y = bridge.predict(cases.CASES[name].result(S), rows, "new", draws=True, seed=3).to_numpy()
    own = means + np.sqrt(variances) * np.random.default_rng(4).normal(size=N)
    for share in (0.025, 0.2, 0.5, 0.9):
        assert_quantile(np.quantile(y[:, 0], share), own, share, S)
    products = (y[:, 0] - y[:, 0].mean()) * (y[:, 1] - y[:, 1].mean())
    assert_mean(means.var(), products)
    apart = (y[:, 0] - y[:, 0].mean()) * (y[:, 2] - y[:, 2].mean())
    assert_mean(0.0, apart)


# --- where there is no number -------------------------------------------------------------------
def without(name: str, draws: int = 10, **values: object) -> bridge.Result:
    case = cases.CASES[name]
    return cases.fixed(case.spec, draws, **{**case.values, **values})


def test_squares_of_effects_have_an_average_up_to_a_half() -> None:
    level1 = quantities.level1_variance(without("quadratic", lambda_=np.array([0.3, 0.3])), AT)
    assert list(level1["estimate"].notna()) == [True, False, False, False, False]
    z, weights = np.polynomial.hermite_e.hermegauss(180)
    weights = weights / weights.sum()
    added = np.exp(0.3 * z + 0.3 * z**2) @ weights * np.exp(0.5 * cases.SD[2] ** 2)
    expected = np.exp(cases.DELTA @ [1, cases.W]) * added
    assert level1["estimate"].iloc[0] == pytest.approx(expected, rel=1e-6)
    assert "1/4" in level1["note"].iloc[2]
    beyond = without("quadratic", 300, lambda_=np.array([0.3, 0.5]))
    for function in (quantities.level1_variance, quantities.outcome_gap):
        with pytest.raises(errors.NotAvailable, match="no such number"):
            function(beyond, AT)
    partition = quantities.variance_partition(beyond, AT)
    assert list(partition["estimate"].notna()) == [True, False, False]
    new = bridge.predict(beyond, AT, "new").iloc[0]
    assert pd.isna(new["variance"]) and new["own_variance"] > 0 and "squared" in new["note"]


def test_student_t_effects_with_few_degrees_of_freedom() -> None:
    few = without("student_t, u alone", nu=1.8)
    with pytest.raises(errors.NotAvailable, match="ICC needs a variance between groups"):
        quantities.groups(few, of="ICC")
    assert list(quantities.groups(few)["quantity"].unique()) == ["mean"]
    partition = quantities.variance_partition(few, AT)
    assert list(partition["estimate"].notna()) == [False, True, False]
    assert "nu of 2 or less" in partition["note"].iloc[0]
    assert pd.isna(bridge.predict(few, AT, "new")["between"].iloc[0])
    assert values(quantities.group_mean_range(few, AT))["range"] == pytest.approx(
        2 * stats.t.ppf(0.9, 1.8) * cases.SD[0]
    )


# --- groups of these laws ---------------------------------------------------------------------
def own_effects() -> np.ndarray:
    """The effects that every case has, (draws, J, q)."""
    return np.random.default_rng(2).normal(size=(10, 20, 3))


@pytest.mark.parametrize("name", ["linear", "quadratic, raw"])
def test_variances_of_groups_under_an_association(name: str) -> None:
    case, b = cases.CASES[name], own_effects()
    found = quantities.groups(case.result(), AT)
    z = b[..., :2] / (cases.SD[:2] if name == "linear" else 1)
    lam = case.values["lambda_"]
    added = np.concatenate([z, z**2], axis=-1)[..., : len(lam)] @ lam
    variance = np.exp(cases.DELTA @ [1, cases.W] + b[..., 2] + added)
    T = np.diag(cases.SD[:2] ** 2)
    T[0, 1] = T[1, 0] = cases.RHO[0] * cases.SD[0] * cases.SD[1]
    between = np.array([1, cases.X]) @ T @ [1, cases.X]
    d = cases.frame()
    slopes = b[..., 1] ** 2 * d["x"].groupby(d["g"]).var(ddof=0).mean()
    for quantity, draws in (
        ("variance", variance),
        ("ICC", between / (between + variance)),
        ("total variance", slopes + variance),
    ):
        own = found[found["quantity"] == quantity]
        np.testing.assert_allclose(own["estimate"].to_numpy(float), draws.mean(axis=0))
        np.testing.assert_allclose(own["se"].to_numpy(float), draws.std(axis=0, ddof=1))
    middle = np.exp(cases.DELTA @ [1, cases.W])
    assert (found.loc[found["quantity"] == "variance", "average"] - middle).abs().max() < 1e-12


def test_groups_of_other_laws_have_their_own_between_group_variance() -> None:
    d, b = cases.frame(), np.random.default_rng(2).normal(size=(10, 20, 2))
    w = d.groupby("g")["w"].first().to_numpy()
    found = quantities.groups(cases.CASES["functions"].result(), "own", of="ICC")
    variance = np.exp(cases.DELTA[0] + cases.DELTA[1] * w + b[..., 1])
    between = np.exp(0.1 + 0.2 * w)
    np.testing.assert_allclose(
        found["estimate"].to_numpy(float), (between / (between + variance)).mean(axis=0)
    )
    student = quantities.groups(cases.CASES["student_t"].result(), AT, of=["ICC", "total variance"])
    b = own_effects()
    T = np.array([1, cases.X]) @ (np.outer(cases.SD[:2], cases.SD[:2])
                                  * [[1, cases.RHO[0]], [cases.RHO[0], 1]])  # fmt: skip
    between = 9 / 7 * T @ [1, cases.X]
    variance = np.exp(cases.DELTA @ [1, cases.W] + b[..., 2])
    own = student[student["quantity"] == "ICC"]
    np.testing.assert_allclose(
        own["estimate"].to_numpy(float), (between / (between + variance)).mean(axis=0)
    )
    within = d["x"].groupby(d["g"]).var(ddof=0).mean()
    average = 9 / 7 * cases.SD[1] ** 2 * within + np.exp(cases.DELTA @ [1, cases.W])
    total = student.loc[student["quantity"] == "total variance", "average"]
    np.testing.assert_allclose(total.to_numpy(float), average)


def test_groups_at_several_profiles_are_those_at_each() -> None:
    result = cases.CASES["normal"].result()
    several = quantities.groups(result, {"x": [-1.0, 0.0, 2.0], "w": 1.0}, of=["mean", "ICC"])
    assert len(several) == 3 * 2 * 20 and list(several.columns[:3]) == ["x", "w", "quantity"]
    each: Iterable[tuple[float, pd.DataFrame]] = several.groupby("x")
    for x, part in each:
        one = quantities.groups(result, {"x": x, "w": 1.0}, of=["mean", "ICC"])
        pd.testing.assert_frame_equal(part.drop(columns=["x", "w"]).reset_index(drop=True), one)
    icc = several[several["quantity"] == "ICC"].pivot(index="x", columns="group", values="estimate")
    assert (icc.loc[2.0] > icc.loc[-1.0]).all()  # slopes fan out
