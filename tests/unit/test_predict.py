"""Mean and variance at rows, against plain loops over draws and the delta method by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import class_cases

import bridge
from bridge import arviz_compat, errors, outcome_draws, prediction_table
from bridge.design import make_design
from bridge.engines.base import Plan, RawFit
from bridge.engines.posterior import Draws, posterior_result
from bridge.result import Result
from bridge.spec import ModelSpec

Z95 = 1.959963984540054
BOTH = ModelSpec("y ~ 1 + x + f + (1 + x | s | g)", "~ 1 + scale(x) + (1 | s | g)")
LINEAR = ModelSpec("y ~ 1 + x + (1 | g)", "~ 1 + x + (1 | g)", association="linear")
FUNCTIONS = ModelSpec(
    "y ~ 1 + x + (1 | s | g)",
    "~ 1 + (1 | s | g)",
    level2={"tau[u:Intercept,u:Intercept]": "~ w", "rho[u:Intercept,v:Intercept]": "~ w"},
)
PARTIAL = ModelSpec("y ~ 1 + x + (1 + x | g)", "~ 1 + x", level2={"tau": "~ w", "pcor": "~ w"})


@cache
def frame() -> pd.DataFrame:
    """Return 30 groups of 10 rows in a mixed order."""
    rng = np.random.default_rng(8)
    g = rng.permutation(np.repeat(np.arange(30), 10))
    w = np.tile([0.0, 1.0, 2.0], 10)
    x = rng.normal(size=len(g))
    u, s = rng.normal(size=30) * np.exp(0.2 * w), 0.3 * rng.normal(size=30)
    v = 0.3 * u + 0.6 * rng.normal(size=30)
    y = 1 + 0.5 * x + u[g] + s[g] * x + np.exp(0.5 * (0.2 * x + v[g])) * rng.normal(size=len(g))
    f = np.array(["a", "b"])[rng.integers(0, 2, len(g))]
    return pd.DataFrame({"y": y, "x": x, "f": f, "w": w[g], "g": [f"school {j}" for j in g]})


@cache
def fake(spec: ModelSpec = BOTH) -> Result:
    return bridge.fit(spec, frame(), "fake", chains=2, draws=60, seed=5)


@cache
def ml(spec: ModelSpec = BOTH) -> Result:
    return bridge.fit(spec, frame(), "agq")


def rows(known: bool = True) -> pd.DataFrame:
    found = pd.DataFrame(
        {"x": [0.0, 1.5, -1.0], "f": ["b", "a", "b"], "w": [2.0, 2.0, 0.0]}, index=["p", "q", "r"]
    )
    return found.assign(g=["school 9", "school 9", "school 2"]) if known else found


def draws(result: Result, name: str) -> np.ndarray:
    values = arviz_compat.groups_of(result.idata)["posterior"][name].values
    return values.reshape(-1, *values.shape[2:])


def labels(result: Result) -> list[str]:
    posterior = arviz_compat.groups_of(result.idata)["posterior"]
    return [str(label) for label in posterior["g"].values]


def designs() -> tuple[np.ndarray, ...]:
    """Return X, W, Z and A of `rows` under BOTH by hand."""
    x = rows()["x"].to_numpy()
    one, b = np.ones(3), (rows()["f"] == "b").to_numpy(float)
    scaled = (x - frame()["x"].mean()) / frame()["x"].std()
    return (
        np.column_stack([one, x, b]),
        np.column_stack([one, scaled]),
        np.column_stack([one, x]),
        one[:, None],
    )


def quantity(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return estimate, se, lower and upper of a quantity, (4, n)."""
    found = table[[name, f"{name}_se", f"{name}_lower", f"{name}_upper"]]
    return found.to_numpy(dtype=float, na_value=np.nan).T


def summary(values: np.ndarray) -> np.ndarray:
    ends = np.quantile(values, [0.025, 0.975], axis=0)
    return np.stack([values.mean(axis=0), values.std(axis=0, ddof=1), *ends])


# --- posteriors --------------------------------------------------------------------------------
def test_known_groups_draw_by_draw() -> None:
    result = fake()
    X, W, Z, A = designs()
    gamma, delta, u, v = (draws(result, name) for name in ("gamma", "delta", "u", "v"))
    mean, variance = np.zeros((120, 3)), np.zeros((120, 3))
    for s in range(120):
        for i, group in enumerate(rows()["g"]):
            j = labels(result).index(group)
            mean[s, i] = X[i] @ gamma[s] + Z[i] @ u[s, j]
            variance[s, i] = np.exp(W[i] @ delta[s] + A[i] @ v[s, j])
    found = bridge.predict(result, rows())
    assert list(found.index) == ["p", "q", "r"]
    np.testing.assert_allclose(quantity(found, "mean"), summary(mean), rtol=1e-11)
    np.testing.assert_allclose(quantity(found, "variance"), summary(variance), rtol=1e-11)
    assert set(found["note"]) == {"mean, SD and 95% quantiles of draws"}


def test_average_and_new_groups_draw_by_draw() -> None:
    result = fake()
    X, W, Z, A = designs()
    gamma, delta, tau = (draws(result, name) for name in ("gamma", "delta", "tau"))
    average = bridge.predict(result, rows(known=False), "average")
    np.testing.assert_allclose(quantity(average, "mean"), summary(gamma @ X.T), rtol=1e-11)
    np.testing.assert_allclose(
        quantity(average, "variance"), summary(np.exp(delta @ W.T)), rtol=1e-11
    )
    T = np.zeros((120, 3, 3))
    where = [(a, b) for b in range(3) for a in range(b + 1)]
    for (a, b), column in zip(where, tau.T, strict=True):
        T[:, a, b] = T[:, b, a] = column
    variance, between = np.zeros((120, 3)), np.zeros((120, 3))
    for s in range(120):
        for i in range(3):
            variance[s, i] = np.exp(W[i] @ delta[s] + 0.5 * A[i] @ T[s, 2:, 2:] @ A[i])
            between[s, i] = Z[i] @ T[s, :2, :2] @ Z[i]
    new = bridge.predict(result, rows(known=False), "new", seed=3)
    for name, values in (
        ("variance", variance), ("between", between), ("total", variance + between),
    ):  # fmt: skip
        np.testing.assert_allclose(quantity(new, name), summary(values), rtol=1e-11)
    mean = quantity(new, "mean")
    np.testing.assert_allclose(mean[0], quantity(average, "mean")[0], rtol=1e-11)
    spread = (gamma @ X.T).var(axis=0, ddof=1) + between.mean(axis=0)
    np.testing.assert_allclose(mean[1], np.sqrt(spread), rtol=1e-11)


def test_the_interval_of_a_new_mean_is_that_of_the_mixture() -> None:
    result = bridge.fit(BOTH, frame(), "fake", chains=1, draws=8000, seed=2)
    new = quantity(bridge.predict(result, rows(known=False), "new", seed=1), "mean")
    X, _, Z, _ = designs()
    m = draws(result, "gamma") @ X.T
    tau = draws(result, "tau")
    variance = tau[:, [0]] + 2 * Z[:, 1] * tau[:, [1]] + Z[:, 1] ** 2 * tau[:, [2]]
    for end, share in ((2, 0.025), (3, 0.975)):
        below = norm.cdf(new[end], m, np.sqrt(variance)).mean(axis=0)
        # 8,000 draws: a Monte Carlo SD of 0.0017
        np.testing.assert_allclose(below, share, atol=0.007)


def test_the_rows_of_the_fit_are_the_default() -> None:
    for result in (fake(), ml()):
        for groups in ("known", "new", "average"):
            own, given = (bridge.predict(result, d, groups) for d in (None, frame()))
            pd.testing.assert_frame_equal(own, given)
        fitted = bridge.predict(result)
        turned = frame().sample(frac=0.3, random_state=2)
        some = bridge.predict(result, turned.drop(columns="y"))
        for name in fitted.columns.drop("note"):
            np.testing.assert_allclose(
                some[name].to_numpy(float), fitted.loc[turned.index, name].to_numpy(float),
                rtol=1e-12, err_msg=name,
            )  # fmt: skip


@pytest.mark.parametrize("engine", ["agq", "fake"])
def test_a_saved_result_says_the_same(engine: str, tmp_path: Path) -> None:
    result = ml() if engine == "agq" else fake()
    again = bridge.load(result.save(tmp_path / "r.nc"))
    for groups in ("known", "new"):
        ours, theirs = (bridge.predict(r, rows(), groups) for r in (result, again))
        pd.testing.assert_frame_equal(ours, theirs)
        pd.testing.assert_frame_equal(
            bridge.predict(result, rows(), groups, draws=7, seed=3),
            bridge.predict(again, rows(), groups, draws=7, seed=3),
        )


def test_parts_of_the_rows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {
        (engine, groups): bridge.predict(result, frame(), groups)
        for engine, result in (("fake", fake()), ("agq", ml()), ("functions", ml(FUNCTIONS)))
        for groups in ("known", "new")
    }
    monkeypatch.setattr(prediction_table, "CELLS", 5000)
    for (engine, groups), table in whole.items():
        result = {"fake": fake(), "agq": ml(), "functions": ml(FUNCTIONS)}[engine]
        again = bridge.predict(result, frame(), groups)
        for name in table.columns.drop("note"):
            np.testing.assert_allclose(
                again[name].to_numpy(float), table[name].to_numpy(float), rtol=1e-12
            )


def made(spec: ModelSpec, **more: np.ndarray) -> Result:
    """Return a posterior of engine fake from draws made here."""
    design = make_design(spec, frame())
    rng = np.random.default_rng(6)
    shape, q = (2, 30), len(design.effects)
    options = {"chains": 2, "draws": 30, "seed": 1, "include": (), "max_treedepth": 10}
    values = {
        "gamma": rng.normal(size=(*shape, len(design.mean.labels))),
        "delta": 0.3 * rng.normal(size=(*shape, len(design.variance.labels))),
        "sd": np.exp(0.3 * rng.normal(size=(*shape, len(design.constant_effects)))),
        "rho": 0.3 * np.tanh(rng.normal(size=(*shape, len(design.constant_rho_pairs)))),
        "effects": rng.normal(size=(*shape, 30, q)),
    }
    if design.latent_terms:
        values["lambda_"] = 0.3 * rng.normal(size=(*shape, len(design.latent_terms)))
    if design.kappa_terms:
        values["kappa"] = 0.3 * rng.normal(size=(*shape, len(design.kappa_terms)))
    plan = Plan("fake", design, options, "made by hand")
    stats = {"diverging": np.zeros(shape, bool)}
    return posterior_result(plan, RawFit({}, {}), Draws(**values, sample_stats=stats))


@pytest.mark.parametrize("scale", ["standardised", "raw"])
@pytest.mark.parametrize("kind", ["linear", "quadratic"])
def test_an_association_draw_by_draw(scale: str, kind: str) -> None:
    result = made(LINEAR.replace(association=kind, latent_scale=scale))
    delta, lam, tau, u, v = (draws(result, name) for name in ("delta", "lambda_", "tau", "u", "v"))
    x = rows()["x"].to_numpy()
    D = np.column_stack([np.ones(3), x])
    where = [labels(result).index(group) for group in rows()["g"]]
    unit = u[:, where, 0] / (np.sqrt(tau[:, [0]]) if scale == "standardised" else 1)
    latent = lam[:, [0]] * unit + (lam[:, [1]] * unit**2 if kind == "quadratic" else 0)
    known = bridge.predict(result, rows())
    np.testing.assert_allclose(
        quantity(known, "variance"), summary(np.exp(delta @ D.T + v[:, where, 0] + latent))
    )
    average = bridge.predict(result, rows(), "average")
    np.testing.assert_allclose(quantity(average, "variance"), summary(np.exp(delta @ D.T)))
    if kind == "quadratic":
        assert bridge.predict(result, rows(), "new", draws=5).shape == (5, 3)
        new = bridge.predict(result, rows(), "new")
        size = lam[:, 1] * (1 if scale == "standardised" else tau[:, 0])
        assert new["variance"].isna().all() == (size >= 0.5).any()
        assert new["own_variance"].notna().all()
        return
    # v and u are independent, so the integral is a product of two of one dimension
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    own = lam[:, 0] * (1 if scale == "standardised" else np.sqrt(tau[:, 0]))
    factor = np.exp(np.sqrt(tau[:, [1]]) * nodes) @ weights
    factor = factor * (np.exp(own[:, None] * nodes) @ weights)
    new = bridge.predict(result, rows(), "new")
    np.testing.assert_allclose(
        quantity(new, "variance"), summary(np.exp(delta @ D.T) * factor[:, None]), rtol=1e-6
    )


def test_level_2_functions_draw_by_draw() -> None:
    result = made(FUNCTIONS)
    kappa, tau = draws(result, "kappa"), draws(result, "tau")
    w = rows()["w"].to_numpy()
    between = np.exp(kappa[:, [0]] + kappa[:, [1]] * w)
    new = bridge.predict(result, rows(), "new")
    np.testing.assert_allclose(quantity(new, "between"), summary(between), rtol=1e-11)
    variance = np.exp(draws(result, "delta") + 0.5 * tau) * np.ones(3)
    np.testing.assert_allclose(quantity(new, "variance"), summary(variance), rtol=1e-11)
    with pytest.raises(errors.DataError, match=r"vary within group school 9 \(row q\)"):
        bridge.predict(result, rows().assign(w=[2.0, 1.0, 0.0]), "new", draws=3)


# --- estimates ---------------------------------------------------------------------------------
def logs(estimate: np.ndarray, se: np.ndarray) -> np.ndarray:
    half = Z95 * se / estimate
    return np.stack([estimate, se, estimate * np.exp(-half), estimate * np.exp(half)])


def test_the_delta_method_by_hand() -> None:
    result = ml()
    X, W, Z, A = designs()
    C = result.parameter_covariance
    names = {k: [p for p in C.index if p.startswith(k)] for k in ("gamma", "delta")}
    gamma, delta = (np.array([result.estimate(p) for p in names[k]]) for k in ("gamma", "delta"))
    Cg, Cd = (C.loc[names[k], names[k]].to_numpy() for k in ("gamma", "delta"))
    average = bridge.predict(result, rows(known=False), "average")
    m, se = X @ gamma, np.sqrt(np.einsum("na,ab,nb->n", X, Cg, X))
    np.testing.assert_allclose(
        quantity(average, "mean"), np.stack([m, se, m - Z95 * se, m + Z95 * se]), rtol=1e-9
    )
    s2 = np.exp(W @ delta)
    np.testing.assert_allclose(
        quantity(average, "variance"),
        logs(s2, s2 * np.sqrt(np.einsum("na,ab,nb->n", W, Cd, W))),
        rtol=1e-9,
    )
    effects = result.group_effects
    known = bridge.predict(result, rows())
    for i, group in enumerate(rows()["g"]):
        b = effects.loc[effects["group"] == group, "estimate"].to_numpy(float)
        V = result.effect_covariance(group).to_numpy()
        spread = X[i] @ Cg @ X[i] + Z[i] @ V[:2, :2] @ Z[i]
        found = quantity(known, "mean")[:, i]
        np.testing.assert_allclose(found[:2], [X[i] @ gamma + Z[i] @ b[:2], np.sqrt(spread)])
        value = np.exp(W[i] @ delta + A[i] @ b[2:])
        spread = W[i] @ Cd @ W[i] + A[i] @ V[2:, 2:] @ A[i]
        np.testing.assert_allclose(
            quantity(known, "variance")[:, i], logs(value, value * np.sqrt(spread)), rtol=1e-9
        )
    assert set(known["note"]) == {"ML estimates, delta method"}


def test_new_groups_by_the_delta_method() -> None:
    result = ml()
    _, W, Z, _ = designs()
    C = result.parameter_covariance
    T = result.covariance().to_numpy()
    new = bridge.predict(result, rows(known=False), "new")
    average = bridge.predict(result, rows(known=False), "average")
    delta = [p for p in C.index if p.startswith("delta")]
    tau_v = "tau[v:Intercept,v:Intercept]"
    own = [*delta, tau_v]
    u = [
        f"tau[u:{a},u:{b}]" for a, b in (("Intercept", "Intercept"), ("Intercept", "x"), ("x", "x"))
    ]
    for i in range(3):
        value = np.exp(W[i] @ [result.estimate(p) for p in delta] + 0.5 * T[2, 2])
        slope = value * np.append(W[i], 0.5)
        se = np.sqrt(slope @ C.loc[own, own].to_numpy() @ slope)
        np.testing.assert_allclose(quantity(new, "variance")[:, i], logs(value, se), rtol=1e-8)
        between = Z[i] @ T[:2, :2] @ Z[i]
        z = np.array([1, 2 * Z[i, 1], Z[i, 1] ** 2])
        se = np.sqrt(z @ C.loc[u, u].to_numpy() @ z)
        np.testing.assert_allclose(quantity(new, "between")[:, i], logs(between, se), rtol=1e-8)
        both, slopes = [*own, *u], np.concatenate([slope, z])
        se = np.sqrt(slopes @ C.loc[both, both].to_numpy() @ slopes)
        np.testing.assert_allclose(
            quantity(new, "total")[:, i], logs(value + between, se), rtol=1e-8
        )
        m, se = quantity(average, "mean")[:2, i]
        se = np.sqrt(se**2 + between)
        np.testing.assert_allclose(
            quantity(new, "mean")[:, i], [m, se, m - Z95 * se, m + Z95 * se], rtol=1e-8
        )


def test_the_own_variance_of_a_new_group() -> None:
    """Of estimates: w'delta normal, q normal given s, and s gamma around its estimate."""
    result, profile = ml(), rows(known=False)
    own = quantity(bridge.predict(result, profile, "new"), "own_variance")
    middle = quantity(bridge.predict(result, profile, "average"), "variance")
    np.testing.assert_allclose(own[0], middle[0])
    name = "tau[v:Intercept,v:Intercept]"
    tau, of_tau = result.estimate(name), result.parameter_covariance.loc[name, name]
    rng, n = np.random.default_rng(2), 400_000
    s = rng.gamma(tau**2 / of_tau, of_tau / tau, n)
    for i in range(3):
        spread = np.sqrt(s + (middle[1, i] / middle[0, i]) ** 2)
        log_variance = np.log(middle[0, i]) + spread * rng.normal(size=n)
        for end, share in ((2, 0.025), (3, 0.975)):
            below = (log_variance < np.log(own[end, i])).mean()
            assert below == pytest.approx(share, abs=1e-3)  # 4 Monte Carlo errors
    expected = quantity(bridge.predict(result, profile, "new"), "variance")
    between = expected[0] ** 2 * np.expm1(tau)
    np.testing.assert_allclose(own[1], np.sqrt(expected[1] ** 2 + between))
    known = replace(result, parameter_covariance=0 * result.parameter_covariance)
    own = quantity(bridge.predict(known, profile, "new"), "own_variance")
    ends = middle[0] * np.exp(np.outer([-Z95, Z95], np.full(3, np.sqrt(tau))))
    np.testing.assert_allclose(own[2:], ends)


def test_the_own_variance_of_a_new_group_under_a_quadratic_association() -> None:
    result = ml(LINEAR.replace(association="quadratic"))
    own = quantity(bridge.predict(result, rows(known=False), "new"), "own_variance")
    drawn = result.asymptotic_draws(200_000, seed=3)
    rng = np.random.default_rng(9)
    u, v = rng.normal(size=(2, len(drawn)))
    terms = drawn["lambda_[u:Intercept]"] * u + drawn["lambda_[u:Intercept^2]"] * u**2
    terms = terms + np.sqrt(drawn["tau[v:Intercept,v:Intercept]"]) * v
    for i, x in enumerate(rows()["x"]):
        log_variance = drawn["delta[Intercept]"] + x * drawn["delta[x]"] + terms
        for end, share in ((0, 0.5), (2, 0.025), (3, 0.975)):
            below = (log_variance < np.log(own[end, i])).mean()
            error = np.sqrt(share * (1 - share) / 4000)
            assert below == pytest.approx(share, abs=4 * error)


def moved(result: Result, parameter: str, step: float) -> Result:
    table = result.estimates.copy()
    table.loc[table["parameter"] == parameter, "estimate"] += step
    return replace(result, estimates=table)


@pytest.mark.parametrize("case", ["association", "functions", "partial"])
@pytest.mark.parametrize("groups", ["known", "new"])
def test_slopes_are_those_of_central_differences(case: str, groups: str) -> None:
    result = ml({"association": LINEAR, "functions": FUNCTIONS, "partial": PARTIAL}[case])
    # without the part of the effects
    J, q = len(result.effects_covariance), len(result.effects)
    result = replace(result, effects_covariance=np.zeros((J, q, q)))
    C = result.parameter_covariance
    at = bridge.predict(result, rows(), groups)
    for name in ("variance", *(["between", "total"] if groups == "new" else [])):
        slopes = []
        for parameter in C.index:
            ends = [
                bridge.predict(moved(result, parameter, s * 1e-5), rows(), groups)[name]
                for s in (1, -1)
            ]
            slopes.append((ends[0] - ends[1]).to_numpy(float) / 2e-5)
        se = np.sqrt(np.einsum("pn,pq,qn->n", slopes, C.to_numpy(), slopes))
        np.testing.assert_allclose(quantity(at, name)[1], se, rtol=1e-5)


def test_what_has_no_standard_error_is_missing_and_said_so() -> None:
    result = ml()
    gamma = [p for p in result.parameter_covariance.index if p.startswith("gamma")]
    less = replace(
        result,
        parameter_covariance=result.parameter_covariance.loc[gamma, gamma],
        effects_covariance=None,
    )
    found = bridge.predict(less, rows())
    # the covariance of u:Intercept and u:x is not known, and counts where x is not zero
    assert found["mean_se"].isna().tolist() == [False, True, True]
    np.testing.assert_allclose(
        found["mean_se"].iloc[0], bridge.predict(result, rows())["mean_se"].iloc[0]
    )
    assert found[["variance_se", "variance_lower", "variance_upper"]].isna().all(axis=None)
    assert found[["mean", "variance"]].notna().all(axis=None)
    assert found["note"].str.endswith("something that counts has no standard error").all()
    new = bridge.predict(less, rows(), "new")
    np.testing.assert_allclose(
        quantity(new, "mean"), quantity(bridge.predict(result, rows(), "new"), "mean")
    )
    with pytest.raises(errors.NotAvailable, match="covariances of the group effects"):
        bridge.predict(less, rows(), draws=3)


def test_a_model_without_group_effects_has_one_answer() -> None:
    result = bridge.fit(ModelSpec("y ~ x * f", "~ x"), frame(), "agq")
    tables = [bridge.predict(result, rows(known=False), groups) for groups in ("known", "average")]
    pd.testing.assert_frame_equal(*tables)
    new = bridge.predict(result, rows(known=False), "new")
    assert np.array_equal(quantity(new, "between"), np.zeros((4, 3)))
    np.testing.assert_allclose(quantity(new, "total"), quantity(tables[0], "variance"))
    assert bridge.predict(result, rows(known=False), draws=4).shape == (4, 3)


def test_a_profile_is_enough() -> None:
    found = bridge.predict(ml(), {"f": ["a", "b"], "x": 0}, "average")
    gamma = ml().estimate("gamma[f[b]]")
    assert found["mean"].iloc[1] - found["mean"].iloc[0] == pytest.approx(gamma)
    known = bridge.predict(ml(), {"f": "a", "x": 0, "g": ["school 1", "school 2"]})
    assert len(known) == 2


# --- outcomes ----------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["agq", "fake"])
@pytest.mark.parametrize("groups", ["known", "new", "average"])
def test_outcomes_have_the_moments_of_the_table(engine: str, groups: str) -> None:
    result = ml() if engine == "agq" else fake()
    size = 20000
    found = bridge.predict(result, rows(), groups, draws=size, seed=4)
    assert found.shape == (size, 3)
    assert list(found.columns) == ["p", "q", "r"]
    assert found.index.name == "draw"
    table = bridge.predict(result, rows(), groups)
    mean, se = quantity(table, "mean")[:2]
    variance = quantity(table, "variance")[0] + se**2
    np.testing.assert_allclose(found.mean(), mean, atol=0.05)
    np.testing.assert_allclose(found.var(), variance, rtol=0.1)
    if groups == "new":  # rows p and q are of one group, r of another
        correlation = found.corr().to_numpy()
        assert correlation[0, 1] > 0.15
        assert abs(correlation[0, 2]) < 0.05


def test_outcomes_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for result in (ml(), fake()):
        first, again, other = (
            bridge.predict(result, rows(), "new", draws=9, seed=s) for s in (1, 1, 2)
        )
        pd.testing.assert_frame_equal(first, again)
        assert not np.allclose(first, other)
    assert bridge.predict(fake(), rows(), draws=True).shape == (120, 3)
    seen = bridge.predict(fake(), frame(), "new", draws=40, seed=1)
    monkeypatch.setattr(outcome_draws, "CELLS", 4000)
    parts = bridge.predict(fake(), frame(), "new", draws=40, seed=1)
    # residuals are drawn part by part, the groups are the same
    means = [d.T.groupby(frame()["g"].to_numpy()).mean().to_numpy() for d in (seen, parts)]
    assert np.corrcoef(means[0].ravel(), means[1].ravel())[0, 1] > 0.6


# --- refusals ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"groups": "knwon"}, errors.OptionError, "groups is one of known, new, average.*'known'"),
        ({"draws": 0}, errors.OptionError, "draws is True, False or a whole number"),
        ({"draws": 2.5}, errors.OptionError, "draws is True, False or a whole number"),
        ({"seed": -1}, errors.OptionError, "seed is a whole number of at least 0"),
        (
            {"newdata": rows(known=False)}, errors.UnknownColumnError,
            'groups="known" needs the grouping column g in newdata.*"new" or "average"',
        ),
        (
            {"newdata": rows().assign(g="school 99")}, errors.DataError,
            r"no g 'school 99' \(row p\).*Did you mean 'school 9'.*\"new\" or \"average\"",
        ),
    ],
)  # fmt: skip
def test_bad_requests_are_refused(given, error, words) -> None:
    with pytest.raises(error, match=words):
        bridge.predict(fake(), **{"newdata": rows(), **given})


def test_other_effects_are_refused_where_there_is_no_number() -> None:
    t = fake(BOTH.replace(random_effects="student_t"))
    for groups in ("known", "average"):
        assert bridge.predict(t, rows(), groups).notna().all(axis=None)
    data = class_cases.simulated(12, 5)
    classes = class_cases.result(data=data)
    with pytest.raises(errors.NotAvailable, match="latent classes"):
        bridge.predict(classes, groups="average")
    known = bridge.predict(classes, data)
    u, v = draws(classes, "u"), draws(classes, "v")
    where = [labels(classes).index(group) for group in data["g"]]
    gamma, delta = draws(classes, "gamma"), draws(classes, "delta")
    one = np.ones(len(data))
    D = [np.column_stack([one, data[name]]) for name in ("x", "w")]
    mean = gamma @ D[0].T + u[:, where, 0] + u[:, where, 1] * data["x"].to_numpy()
    np.testing.assert_allclose(quantity(known, "mean"), summary(mean), rtol=1e-10)
    variance = np.exp(delta @ D[1].T + v[:, where, 0])
    np.testing.assert_allclose(quantity(known, "variance"), summary(variance), rtol=1e-10)
