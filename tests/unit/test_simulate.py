"""Simulated data have the moments that their model says, and bad requests are said in a sentence.

Tolerances are four Monte Carlo errors of the mean of what is averaged over independent groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import errors
from bridge.spec import ModelSpec

U, X, V = "u:Intercept", "u:x", "v:Intercept"
J, N = 4000, 6
DESIGN = bridge.SimulationDesign(
    groups=J,
    size=N,
    covariates={
        "x": {"law": "bernoulli"},
        "h": {"level": "group", "law": "bernoulli", "share": 0.4},
        "z": {"intraclass": 0.3},
    },
)
GAMMA = {"gamma[Intercept]": 1.0, "gamma[x]": -0.5}
DELTA = {"delta[Intercept]": 0.2, "delta[x]": 0.6}
SPEC = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + x + (1 | s | g)")
TAU = {
    f"tau[{U},{U}]": 0.8, f"tau[{U},{X}]": 0.2, f"tau[{X},{X}]": 0.5,
    f"tau[{U},{V}]": -0.15, f"tau[{X},{V}]": 0.1, f"tau[{V},{V}]": 0.3,
}  # fmt: skip
T = np.array([[0.8, 0.2, -0.15], [0.2, 0.5, 0.1], [-0.15, 0.1, 0.3]])
TRUTH = GAMMA | DELTA | TAU


def near(values: Any, expected: float) -> None:
    """Make sure that a mean is what is expected, within four of its Monte Carlo errors."""
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert values.mean() == pytest.approx(expected, abs=4 * error)


def simulated(spec: ModelSpec, truth: dict[str, float]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return data and effects (J, q)."""
    data, effects = bridge.simulate(spec, truth, DESIGN, seed=7, effects=True)
    assert list(data) == ["g", "x", "h", "z", "y"] and len(data) == J * N
    return data, effects.to_numpy()


def residual_squares(data: pd.DataFrame, fixed: np.ndarray) -> pd.Series:
    """Return the squares of y less its mean given the effects."""
    return (data["y"] - fixed) ** 2


# --- moments ---
def test_means_variances_and_covariances_across_the_two_functions() -> None:
    data, effects = simulated(SPEC, TRUTH)
    for a in range(3):
        near(effects[:, a], 0.0)
        for b in range(a + 1):
            near(effects[:, a] * effects[:, b], T[a, b])
    u0, ux, v = effects[data["g"].to_numpy() - 1].T
    mean = 1 - 0.5 * data["x"] + u0 + ux * data["x"]
    squares = residual_squares(data, mean)
    for x in (0, 1):
        rows = data["x"] == x
        # E exp(v) = exp(tau / 2)
        near(squares[rows].groupby(data["g"]).mean(), np.exp(0.2 + 0.6 * x + 0.15))
        near((data["y"] - mean)[rows].groupby(data["g"]).mean(), 0.0)
        near(data["y"][rows].groupby(data["g"]).mean(), 1 - 0.5 * x)
    # the scale is the log variance: given v the squares are exp(w'delta + v)
    near((squares / np.exp(0.2 + 0.6 * data["x"] + v)).groupby(data["g"]).mean(), 1.0)


def test_wrong_expectations_are_seen() -> None:
    """What the moments above would be with a log SD, or with the wrong sign of a covariance."""
    data, effects = simulated(SPEC, TRUTH)
    u0, ux, v = effects[data["g"].to_numpy() - 1].T
    mean = 1 - 0.5 * data["x"] + u0 + ux * data["x"]
    squares = residual_squares(data, mean)
    with pytest.raises(AssertionError):
        near((squares / np.exp(2 * (0.2 + 0.6 * data["x"] + v))).groupby(data["g"]).mean(), 1.0)
    with pytest.raises(AssertionError):
        near(effects[:, 0] * effects[:, 2], 0.15)


def test_correlations_in_the_place_of_covariances() -> None:
    sd = np.sqrt(np.diag(T))
    rho = {
        f"rho[{U},{X}]": T[0, 1] / (sd[0] * sd[1]), f"rho[{U},{V}]": T[0, 2] / (sd[0] * sd[2]),
        f"rho[{X},{V}]": T[1, 2] / (sd[1] * sd[2]),
    }  # fmt: skip
    diagonal = {f"tau[{e},{e}]": float(T[i, i]) for i, e in enumerate((U, X, V))}
    one = bridge.simulate(SPEC, GAMMA | DELTA | diagonal | rho, DESIGN, seed=1)
    both = bridge.simulate(SPEC, TRUTH | rho, DESIGN, seed=1)
    pd.testing.assert_frame_equal(one, both)
    with pytest.raises(errors.OptionError, match="contradict each other"):
        bridge.simulate(SPEC, TRUTH | {f"rho[{U},{X}]": 0.9}, DESIGN, seed=1)


def test_student_t_effects() -> None:
    spec = SPEC.replace(random_effects="student_t")
    nu = 9.0
    _, effects = simulated(spec, TRUTH | {"nu": nu})
    for a in range(3):
        for b in range(a + 1):
            near(effects[:, a] * effects[:, b], nu / (nu - 2) * T[a, b])
    # one mixing variable for all effects of a group: E u^2 v^2 of a multivariate t
    fourth = nu**2 / ((nu - 2) * (nu - 4)) * (T[0, 0] * T[2, 2] + 2 * T[0, 2] ** 2)
    near(effects[:, 0] ** 2 * effects[:, 2] ** 2, fourth)
    with pytest.raises(AssertionError):
        near(effects[:, 0] ** 2, T[0, 0])


@pytest.mark.parametrize("scale", ["standardised", "raw"])
@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_latent_association(kind: str, scale: str) -> None:
    spec = ModelSpec(
        "y ~ 1 + x + (1 | g)", "~ 1 + x + (1 | g)", association=kind, latent_scale=scale
    )
    truth = GAMMA | DELTA | {f"tau[{U},{U}]": 0.25, f"tau[{V},{V}]": 0.1, f"lambda_[{U}]": 0.3}
    if kind == "quadratic":
        truth |= {f"lambda_[{U}^2]": -0.1}
    data, effects = simulated(spec, truth)
    u, v = effects[data["g"].to_numpy() - 1].T
    latent = u / 0.5 if scale == "standardised" else u
    log_variance = 0.2 + 0.6 * data["x"] + v + 0.3 * latent
    log_variance -= 0.1 * latent**2 if kind == "quadratic" else 0.0
    squares = residual_squares(data, 1 - 0.5 * data["x"] + u)
    left = (squares / np.exp(log_variance)).groupby(data["g"]).mean()
    near(left, 1.0)
    near(left * effects[:, 0], 0.0)
    near(effects[:, 0] * effects[:, 1], 0.0)


@pytest.mark.parametrize("kind", ["rho", "pcor"])
def test_level2_functions_by_sector(kind: str) -> None:
    spec = SPEC.replace(level2={"tau": "~ 1 + h", kind: "~ 1 + h"})
    kappa = {}
    for effect, (zero, one) in {U: (-0.5, 0.6), X: (-1.0, 0.3), V: (-1.2, 0.5)}.items():
        kappa |= {f"kappa[tau({effect},{effect}),Intercept]": zero}
        kappa |= {f"kappa[tau({effect},{effect}),h]": one}
    for pair, (zero, one) in {f"{U},{X}": (0.3, 0.2), f"{U},{V}": (-0.5, 0.4),
                              f"{X},{V}": (0.1, -0.3)}.items():  # fmt: skip
        kappa |= {f"kappa[{kind}({pair}),Intercept]": zero, f"kappa[{kind}({pair}),h]": one}
    data, effects = simulated(spec, GAMMA | DELTA | kappa)
    h = data.groupby("g")["h"].first().to_numpy()
    for sector in (0, 1):
        own = effects[h == sector]
        sd = np.exp(0.5 * np.array([-0.5 + 0.6 * sector, -1 + 0.3 * sector, -1.2 + 0.5 * sector]))
        r12, r13, r23 = np.tanh([0.3 + 0.2 * sector, -0.5 + 0.4 * sector, 0.1 - 0.3 * sector])
        if kind == "pcor":  # the last is that of x and v given the intercept
            r23 = r12 * r13 + r23 * np.sqrt((1 - r12**2) * (1 - r13**2))
        R = np.array([[1, r12, r13], [r12, 1, r23], [r13, r23, 1]])
        for a in range(3):
            for b in range(a + 1):
                near(own[:, a] * own[:, b], R[a, b] * sd[a] * sd[b])


def test_latent_classes() -> None:
    spec = ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + x + (1 | s | g)",
                     random_effects="classes", classes=2)  # fmt: skip
    truth = GAMMA | DELTA | {
        "pi[1]": 0.25, "pi[2]": 0.75, f"u_class[1, {U}]": -0.9, f"u_class[2, {U}]": 0.3,
        f"v_class[1, {V}]": 0.6, f"v_class[2, {V}]": -0.2,
    }  # fmt: skip
    data, effects = simulated(spec, truth)
    first = effects[:, 0] < 0
    near(first, 0.25)
    assert set(map(tuple, effects)) == {(-0.9, 0.6), (0.3, -0.2)}
    u, v = effects[data["g"].to_numpy() - 1].T
    squares = residual_squares(data, 1 - 0.5 * data["x"] + u)
    near((squares / np.exp(0.2 + 0.6 * data["x"] + v)).groupby(data["g"]).mean(), 1.0)


def test_no_random_terms() -> None:
    data, effects = simulated_without_groups()
    assert effects.shape == (0, 0)
    for x in (0, 1):
        rows = data["y"][data["x"] == x]
        near(rows, 1 - 0.5 * x)
        near((rows - 1 + 0.5 * x) ** 2, np.exp(0.2 + 0.6 * x))


def simulated_without_groups() -> Any:
    spec = ModelSpec("y ~ 1 + x", "~ 1 + x")
    return bridge.simulate(spec, GAMMA | DELTA, DESIGN, seed=3, effects=True)


def test_an_effect_without_variance_and_a_correlation_of_one() -> None:
    zero = {name: 0.0 if V in name else value for name, value in TRUTH.items()}
    _, effects = simulated(SPEC, zero)
    assert not effects[:, 2].any()
    one = zero | {f"tau[{U},{X}]": 0.4, f"tau[{X},{X}]": 0.2}
    _, effects = simulated(SPEC, one)
    np.testing.assert_allclose(effects[:, 1], effects[:, 0] / 2, atol=1e-7)


# --- seeds and designs ---
def test_the_same_seed_gives_the_same_data() -> None:
    small = bridge.SimulationDesign(groups=5, size=4, covariates={"x": {}})
    one, same, other = (bridge.simulate(SPEC, TRUTH, small, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    root = np.random.SeedSequence(5, spawn_key=(3,))
    first = bridge.simulate(SPEC, TRUTH, small, seed=root)
    root.spawn(2)
    pd.testing.assert_frame_equal(first, bridge.simulate(SPEC, TRUTH, small, seed=root))
    assert not bridge.simulate(SPEC, TRUTH, small).equals(bridge.simulate(SPEC, TRUTH, small))


def test_another_truth_keeps_the_covariates() -> None:
    one = bridge.simulate(SPEC, TRUTH, DESIGN, seed=1)
    other = bridge.simulate(SPEC, TRUTH | {"gamma[x]": 0.5}, DESIGN, seed=1)
    pd.testing.assert_frame_equal(one.drop(columns="y"), other.drop(columns="y"))
    np.testing.assert_allclose(other["y"] - one["y"], one["x"])


def test_a_frame_is_used_as_it_is() -> None:
    frame = pd.DataFrame(
        {"y": "none", "note": "a", "x": [0.5, -1, 2, 1, 0, 1.5], "g": list("aabbcc")},
        index=[3, 1, 4, 15, 9, 2],
    )
    data, effects = bridge.simulate(SPEC, TRUTH, frame, seed=1, effects=True)
    pd.testing.assert_frame_equal(data.drop(columns="y"), frame.drop(columns="y"))
    assert data["y"].dtype == float and list(effects.index) == ["a", "b", "c"]
    assert list(effects) == [U, X, V]


def test_transforms_are_of_the_simulated_covariates() -> None:
    spec = ModelSpec("y ~ 1 + center(z) + (1 | g)")
    truth = {"gamma[Intercept]": 5.0, "gamma[center(z)]": 2.0, "delta[Intercept]": -40.0,
             f"tau[{U},{U}]": 0.0}  # fmt: skip
    design = bridge.SimulationDesign(groups=4, size=3, covariates={"z": {"mean": 100.0}})
    data = bridge.simulate(spec, truth, design, seed=1)
    np.testing.assert_allclose(data["y"], 5 + 2 * (data["z"] - data["z"].mean()), atol=1e-6)


# --- a fit as the truth ---
def small_data(seed: int = 1) -> pd.DataFrame:
    design = bridge.SimulationDesign(
        groups=40, size=12, covariates={"x": {}, "s": {"level": "group", "law": "bernoulli"}}
    )
    spec = ModelSpec("y ~ 1 + x + s + (1 | id | g)", "~ 1 + s + (1 | id | g)")
    truth = {"gamma[Intercept]": 0, "gamma[x]": 1, "gamma[s]": 0.5, "delta[Intercept]": 0,
             "delta[s]": 0.4, f"tau[{U},{U}]": 0.5, f"tau[{U},{V}]": 0.1,
             f"tau[{V},{V}]": 0.2}  # fmt: skip
    data = bridge.simulate(spec, truth, design, seed=seed)
    return data.assign(sector=np.where(data["s"] == 1, "Catholic", "Public"))


def test_a_fit_is_a_truth_and_its_rows_the_design(tmp_path: Any) -> None:
    data = small_data()
    spec = ModelSpec("y ~ 1 + x + sector + (1 | id | g)", "~ 1 + C(s) + (1 | id | g)")
    result = bridge.fit(spec, data)
    truth = dict(zip(result.estimates["parameter"], result.estimates["estimate"], strict=True))
    by_hand = bridge.simulate(spec, truth, data, seed=4)
    found = bridge.simulate(spec, result, seed=4)
    assert list(found) == ["g", "x", "sector", "s", "y"]
    np.testing.assert_allclose(found["y"], by_hand["y"], atol=1e-10)
    pd.testing.assert_series_equal(found["g"], data["g"], check_dtype=False)
    assert (found["sector"].astype(str) == data["sector"]).all()
    again = bridge.simulate(spec, bridge.load(result.save(tmp_path / "m.nc")), seed=4)
    np.testing.assert_allclose(again["y"], found["y"], atol=1e-10)
    refitted = bridge.fit(spec, found)
    assert list(refitted.estimates["parameter"]) == list(result.estimates["parameter"])


def test_a_posterior_gives_its_means() -> None:
    spec = ModelSpec("y ~ 1 + x + (1 | id | g)", "~ 1 + (1 | id | g)")
    result = bridge.fit(spec, small_data(), engine="fake", draws=50, seed=1)
    values = dict(zip(result.estimates["parameter"], result.estimates["estimate"], strict=True))
    means = {k: v for k, v in values.items() if not k.startswith("rho[")}
    found = bridge.simulate(spec, result, seed=2)
    np.testing.assert_allclose(found["y"], bridge.simulate(spec, means, small_data(), 2)["y"])


def test_level2_functions_of_a_fit() -> None:
    spec = ModelSpec("y ~ 1 + x + (1 | id | g)", "~ 1 + (1 | id | g)", level2="~ s")
    data = small_data()
    result = bridge.fit(spec, data)
    found = bridge.simulate(spec, result, seed=4)
    np.testing.assert_allclose(found["y"], bridge.simulate(spec, result, data, seed=4)["y"])


def test_a_column_that_a_fit_does_not_keep() -> None:
    spec = ModelSpec("y ~ 1 + scale(x) + (1 | g)")
    result = bridge.fit(spec, small_data())
    with pytest.raises(errors.NotAvailable, match="does not keep the column x as it was"):
        bridge.simulate(spec, result)
    assert len(bridge.simulate(spec, result, small_data())) == 480


# --- what is refused ---
def less(*names: str) -> dict[str, float]:
    return {name: value for name, value in TRUTH.items() if name not in names}


TT = {"nu": 1.0}
CLASSES = SPEC.replace(mean="y ~ 1 + (1 | g)", variance="~ 1", random_effects="classes", classes=2)
OF_CLASSES = {"gamma[Intercept]": 0, "delta[Intercept]": 0, "pi[1]": 0.5, "pi[2]": 0.5,
              f"u_class[1, {U}]": -1.0, f"u_class[2, {U}]": 1.0}  # fmt: skip
REFUSED: dict[str, tuple[Any, Any, Any, str]] = {
    "missing": (SPEC, less("gamma[x]", f"tau[{U},{X}]"), DESIGN,
                f"no value of gamma[x], tau[{U},{X}]"),
    "missing variance": (SPEC, less(f"tau[{V},{V}]"), DESIGN,
                         f"no value of tau[{V},{V}]; give one."),
    "unknown": (SPEC, TRUTH | {"gama[x]": 1}, DESIGN, "Did you mean 'gamma[x]'?"),
    "an SD": (SPEC, TRUTH | {"sd_v[Intercept]": 1}, DESIGN, "is a variance, the square of the SD"),
    "turned round": (SPEC, TRUTH | {f"tau[{V},{X}]": 1}, DESIGN, f" Write tau[{X},{V}]. It has: "),
    "independent": (SPEC.replace(variance="~ 1 + x + (1 | g)"), TRUTH, DESIGN,
                    "effects are independent in this model; terms that share an id"),
    "too large": (SPEC, TRUTH | {"delta[Intercept]": 2000}, DESIGN, "scale of the log variance"),
    "nu too much": (SPEC, TRUTH | {"nu": 4}, DESIGN, "'nu', which this model does not have"),
    "text": (SPEC, TRUTH | {"gamma[x]": "1"}, DESIGN, "gamma[x] is a finite number, not '1'"),
    "infinite": (SPEC, TRUTH | {"gamma[x]": np.inf}, DESIGN, "a finite number, not inf"),
    "negative": (SPEC, TRUTH | {f"tau[{X},{X}]": -1, f"tau[{U},{X}]": 0, f"tau[{X},{V}]": 0},
                 DESIGN, f"tau[{X},{X}] is a variance, and -1 is below 0"),
    "correlation": (SPEC, TRUTH | {f"tau[{U},{X}]": 2.0}, DESIGN, "makes a correlation of 3.16"),
    "matrix": (SPEC, TRUTH | {f"tau[{U},{X}]": 0.6, f"tau[{U},{V}]": -0.45, f"tau[{X},{V}]": 0.35},
               DESIGN, "not positive semi-definite (its correlation matrix has the eigenvalue"),
    "nu": (SPEC.replace(random_effects="student_t"), TRUTH | TT, DESIGN, "nu is 1; degrees"),
    "no design": (SPEC, TRUTH, None, "no design to simulate in"),
    "not a design": (SPEC, TRUTH, 30, "a pandas frame, not int"),
    "not a truth": (SPEC, [1, 2], DESIGN, "not list"),
    "not a spec": ("y ~ x", TRUTH, DESIGN, "The first argument is a ModelSpec, not str"),
    "covariate": (ModelSpec("y ~ 1 + xx + (1 | g)"), {}, DESIGN,
                  "no covariate 'xx', which the model reads. Did you mean 'x'?"),
    "outcome": (SPEC, TRUTH, bridge.SimulationDesign(covariates={"x": {}, "y": {}}),
                "y is the outcome, which is simulated"),
    "other group": (SPEC, TRUTH, bridge.SimulationDesign(group="h", covariates={"x": {}}),
                    "groups rows by 'h' and the model by 'g'"),
    "column": (SPEC, TRUTH, pd.DataFrame({"x": [1.0], "G": [1]}), "no column 'g'"),
    "no value": (SPEC, TRUTH, pd.DataFrame({"x": [1.0, None], "g": [1, 1]}, index=[5, 8]),
                 "no value of x in row 8"),
    "no rows": (SPEC, TRUTH, pd.DataFrame({"x": [], "g": []}), "has no rows"),
    "level-2 predictor": (SPEC.replace(level2="~ z"), TRUTH, DESIGN, "z varies within g 1"),
    "weights": (CLASSES, OF_CLASSES | {"pi[1]": 0.6}, DESIGN, "these sum to 1.1"),
    "points": (CLASSES, OF_CLASSES | {"pi[1]": 0.4, "pi[2]": 0.6}, DESIGN,
               "weighted mean of the mass points of u:Intercept is 0.2"),
    "order": (CLASSES, OF_CLASSES | {f"u_class[1, {U}]": 1, f"u_class[2, {U}]": -1}, DESIGN,
              "in the order of u:Intercept"),
    "tau of classes": (CLASSES, OF_CLASSES | {f"tau[{U},{U}]": 2.0}, DESIGN,
                       "contradicts the mass points and their weights, which make it 1"),
    "no points": (CLASSES, {}, DESIGN, "no value of gamma[Intercept], delta[Intercept], pi[1]"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    spec, truth, design, part = REFUSED[name]
    with pytest.raises(errors.RequestError) as raised:
        bridge.simulate(spec, truth, design, seed=1)
    assert part in str(raised.value)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "a"])
def test_bad_seeds(seed: Any) -> None:
    with pytest.raises(errors.OptionError, match="seed is a whole number of at least 0"):
        bridge.simulate(SPEC, TRUTH, DESIGN, seed=seed)
