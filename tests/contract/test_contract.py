"""One contract for every engine, over stored fits (regenerate.py makes them) and the fake one live.

The stored answers are the engines' own; here each is harmonised, and its numbers are checked
against a plain reading of that answer, written without the package's own helpers.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).resolve().parent))
import contract_cases as cases

import bridge
from bridge import arviz_compat
from bridge.engines import registry
from bridge.engines.base import Plan, RawFit
from bridge.result import Result

ENGINES = list(registry.ENGINES)
ML = cases.ML
METHODS = {**dict.fromkeys(ML, "ML"), "twostep": "two-step"}
#: Engines of models with group effects; the spec of the other has no groups at all.
GROUPED = [name for name in ENGINES if name != "ols"]
SAMPLERS = [name for name in ENGINES if name not in cases.POINTS]
COLUMNS = ["parameter", "component", "scale", "estimate", "se", "lower", "upper"]
DIAGNOSTICS = ["ess_bulk", "ess_tail", "r_hat", "mcse"]
GAMMA = ["gamma[Intercept]", "gamma[x]", "gamma[f[high]]"]
U = ["u:Intercept", "u:x"]
LEVEL2_U = [
    "tau[u:Intercept,u:Intercept]",
    "tau[u:Intercept,u:x]",
    "tau[u:x,u:x]",
    "rho[u:Intercept,u:x]",
]
LEVEL2_UV = [
    *LEVEL2_U[:3],
    "tau[u:Intercept,v:Intercept]",
    "tau[u:x,v:Intercept]",
    "tau[v:Intercept,v:Intercept]",
    "rho[u:Intercept,u:x]",
    "rho[u:Intercept,v:Intercept]",
    "rho[u:x,v:Intercept]",
]
PARAMETERS = {
    "agq": [*GAMMA, "delta[Intercept]", "delta[x]", *LEVEL2_UV],
    "lme4": [*GAMMA, "delta[Intercept]", *LEVEL2_U],
    "nlme": [*GAMMA, "delta[Intercept]", "delta[f[high]]", "delta[x]", *LEVEL2_U],
    "ols": [*GAMMA, "delta[Intercept]"],
    "twostep": [*GAMMA, "delta[Intercept]", "delta[cvar(x, school)]", *LEVEL2_UV],
    **{name: [*GAMMA, "delta[Intercept]", "delta[x]", *LEVEL2_UV] for name in SAMPLERS},
}
SCALES = {
    "gamma": "outcome",
    "delta": "log variance",
    "rho": "correlation",
    "tauuu": "outcome²",
    "tauuv": "outcome × log variance",
    "tauvv": "(log variance)²",
}


@cache
def answered(engine: str) -> tuple[Plan, RawFit, Result]:
    """Return plan, stored answer and result of an engine."""
    plan = cases.plan(engine)
    if engine == "fake":
        raw = registry.get(engine).run(plan, lambda share, text: None)
    else:
        raw, native = cases.read(engine)
        said = plan.native.split("\n\n")[0] if engine == "stan" else plan.native
        assert said == native, "the translation has changed: run tests/contract/regenerate.py"
    return plan, raw, registry.get(engine).harmonise(raw, plan)


def effects_of(engine: str) -> list[str]:
    if engine not in GROUPED:
        return []
    return [*U, "v:Intercept"] if LEVEL2_UV[-1] in PARAMETERS[engine] else U


def test_every_engine_has_a_contract() -> None:
    assert set(cases.MODELS) == set(ENGINES)
    stored = {path.stem for path in cases.STORED.iterdir()}
    assert stored == set(ENGINES) - {"fake"}


# --- estimates --------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_estimates(engine: str) -> None:
    frame = answered(engine)[2].estimates
    extra = DIAGNOSTICS if engine in SAMPLERS else []
    assert list(frame.columns) == [*COLUMNS, *extra, "note"]
    assert list(frame.index) == list(range(len(frame)))
    assert list(frame["parameter"]) == PARAMETERS[engine]
    for name in ("parameter", "component", "scale", "note"):
        assert frame[name].dtype == object
        assert all(isinstance(value, str) for value in frame[name])
    for name in (*COLUMNS[3:], *extra):
        assert frame[name].dtype == pd.Float64Dtype()
        assert not np.isnan(frame[name].dropna().to_numpy(dtype=float)).any()
    for _, row in frame.iterrows():
        variable, _, label = row["parameter"].partition("[")
        letters = "".join(e[0] for e in label[:-1].split(",")) if variable == "tau" else ""
        assert row["scale"] == SCALES[variable + letters]
        component = {"gamma": "mean", "delta": "variance"}.get(variable, "level2")
        assert row["component"] == component
        missing = [name for name in (*COLUMNS[3:], *extra) if row[name] is pd.NA]
        assert not missing or row["note"], "what is missing is explained"
        if "lower" not in missing:
            assert row["lower"] <= row["estimate"] <= row["upper"]
            assert row["se"] > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wald_test_of_one_coefficient_is_its_row(engine: str) -> None:
    result = answered(engine)[2]
    rows = result.estimates.set_index("parameter")
    coefficients = [p for p in PARAMETERS[engine] if p.startswith(("gamma", "delta"))]
    for name in coefficients:
        if rows.loc[name, "se"] is pd.NA:  # lme4's delta
            with pytest.raises(bridge.errors.NotAvailable, match="has no covariance of"):
                bridge.wald(result, name)
            continue
        found = bridge.wald(result, f"{name} = 0")
        cells = ["estimate", "se", "lower", "upper"]
        ours, expected = (row[cells].astype(float) for row in (found.rows.iloc[0], rows.loc[name]))
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
        z = float(expected["estimate"] / expected["se"])
        assert found.statistic == pytest.approx(z**2, rel=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_variances_are_positive_and_correlations_within_one(engine: str) -> None:
    result = answered(engine)[2]
    matrix = result.covariance()
    assert list(matrix.index) == effects_of(engine) == list(result.effects)
    assert (np.diag(matrix) > 0).all()
    rho = result.estimates[result.estimates["parameter"].str.startswith("rho")]["estimate"]
    assert (rho.astype(float).abs() < 1).all()
    if engine not in SAMPLERS and engine in GROUPED:
        sd = np.sqrt(np.diag(matrix))
        assert result.estimate(LEVEL2_U[3]) == pytest.approx(matrix.iloc[0, 1] / sd[0] / sd[1])


# --- group effects ----------------------------------------------------------------------------
@pytest.mark.parametrize("engine", GROUPED)
def test_group_effects(engine: str) -> None:
    result = answered(engine)[2]
    frame, effects = result.group_effects, effects_of(engine)
    assert list(frame.columns) == ["group", "effect", "scale", "estimate", "se", "lower", "upper"]
    assert list(frame["group"]) == [g for g in sorted(cases.GROUPS) for _ in effects]
    assert list(frame["effect"]) == effects * 8
    scales = {"u": "outcome", "v": "log variance"}
    assert list(frame["scale"]) == [scales[e[0]] for e in frame["effect"]]
    for name in ("estimate", "se", "lower", "upper"):
        assert frame[name].dtype == pd.Float64Dtype()
        assert frame[name].notna().all()
    assert (frame["se"] > 0).all()
    assert (frame["lower"] < frame["upper"]).all()


@pytest.mark.parametrize("engine", [name for name in GROUPED if name != "fake"])
def test_effects_belong_to_their_groups(engine: str) -> None:
    """The mean residual of a group, about its fixed part, goes with its u:Intercept."""
    plan, _, result = answered(engine)
    gamma = np.array([result.estimate(name) for name in GAMMA])
    residual = plan.design.y - plan.design.mean.matrix @ gamma
    means = (
        pd.Series(residual)
        .groupby(cases.data()["school"].dropna().to_numpy()[cases.data()["x"].notna().to_numpy()])
        .mean()
    )
    effects = result.group_effects.query("effect == 'u:Intercept'").set_index("group")["estimate"]
    both = pd.DataFrame({"mean": means, "u": effects.astype(float)})
    assert both.notna().all(axis=None)
    assert both.corr().iloc[0, 1] > 0.9


# --- idata --------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_data_groups(engine: str) -> None:
    result = answered(engine)[2]
    groups = arviz_compat.groups_of(result.idata)
    expected = {"observed_data", "constant_data"}
    if engine in SAMPLERS:
        expected |= {"posterior", "sample_stats"}
    assert set(groups) == expected
    used = cases.data().dropna()
    np.testing.assert_array_equal(groups["observed_data"]["score"], used["score"])
    assert list(groups["observed_data"]["obs"].values) == list(used.index)
    constant = groups["constant_data"]
    np.testing.assert_array_equal(constant["mean_design"].sel(mean_term="x"), used["x"])
    np.testing.assert_array_equal(
        constant["mean_design"].sel(mean_term="f[high]"), (used["f"] == "high").astype(float)
    )
    if engine in GROUPED:
        labels = constant["school"].values[constant["group_index"].values]
        assert list(labels) == list(used["school"])
    else:
        assert "group_index" not in constant and result.group_effects.empty
    attrs = result.idata.attrs
    assert json.loads(attrs["engine"]) == engine
    assert json.loads(attrs["scales"]) == dict(
        zip(result.estimates["parameter"], result.estimates["scale"], strict=True)
    )
    assert all(isinstance(value, str) for value in attrs.values())


@pytest.mark.parametrize("engine", SAMPLERS)
def test_posterior(engine: str) -> None:
    posterior = answered(engine)[2].idata["posterior"]
    dims = {
        "gamma": ("chain", "draw", "mean_term"),
        "delta": ("chain", "draw", "variance_term"),
        "tau": ("chain", "draw", "tau_pair"),
        "rho": ("chain", "draw", "rho_pair"),
        "u": ("chain", "draw", "school", "mean_effect"),
        "v": ("chain", "draw", "school", "variance_effect"),
    }
    assert {name: posterior[name].dims for name in posterior.data_vars} == dims
    sizes = {"chain": 2, "draw": 50, "mean_term": 3, "variance_term": 2, "tau_pair": 6}
    sizes |= {"rho_pair": 3, "school": 8, "mean_effect": 2, "variance_effect": 1}
    assert dict(posterior.sizes) == sizes
    assert list(posterior["school"].values) == sorted(cases.GROUPS)
    for name in posterior.data_vars:
        assert posterior[name].dtype == np.float64
        assert np.isfinite(posterior[name].values).all()
        assert posterior[name].attrs["scale"]
    # sd_a sd_b rho_ab = tau_ab in every draw
    for first, second in (("u:Intercept", "u:x"), ("u:x", "v:Intercept")):
        variances = [posterior["tau"].sel(tau_pair=f"{e},{e}").values for e in (first, second)]
        rho = posterior["rho"].sel(rho_pair=f"{first},{second}").values
        tau = posterior["tau"].sel(tau_pair=f"{first},{second}").values
        np.testing.assert_allclose(tau, rho * np.sqrt(variances[0] * variances[1]), rtol=1e-10)


@pytest.mark.parametrize("engine", SAMPLERS)
def test_estimates_summarise_the_draws(engine: str) -> None:
    result = answered(engine)[2]
    posterior = result.idata["posterior"]
    for variable, dim in (("gamma", "mean_term"), ("delta", "variance_term"), ("tau", "tau_pair")):
        for label in posterior[dim].values:
            draws = posterior[variable].sel({dim: label}).values
            row = result.estimates.set_index("parameter").loc[f"{variable}[{label}]"]
            assert row["estimate"] == pytest.approx(draws.mean(), rel=1e-12)
            assert row["se"] == pytest.approx(draws.std(ddof=1), rel=1e-12)
            assert row["lower"] == pytest.approx(np.quantile(draws, 0.025), rel=1e-12)
            assert row["mcse"] > 0


@pytest.mark.parametrize("engine", ["brms", "stan"])
def test_sample_stats_have_arvizs_names(engine: str) -> None:
    stats = answered(engine)[2].idata["sample_stats"]
    assert set(stats.data_vars) == {
        "diverging", "tree_depth", "energy", "acceptance_rate", "step_size", "n_steps", "lp",
    }  # fmt: skip
    assert stats["diverging"].dtype == bool
    assert all(stats[name].shape == (2, 50) for name in stats.data_vars)
    assert (stats["acceptance_rate"].values >= 0).all()
    assert (stats["acceptance_rate"].values <= 1).all()


@pytest.mark.parametrize("engine", SAMPLERS)
def test_arviz_reads_it_with_the_same_names(engine: str) -> None:
    import arviz

    result = answered(engine)[2]
    names = ["gamma", "delta", "tau", "rho"]
    table = arviz.summary(result.idata, var_names=names, round_to="none")
    # arviz writes a space after the comma between dims, never within a label
    assert list(table.index) == PARAMETERS[engine]
    ours = result.estimates["estimate"].to_numpy(dtype=float)
    np.testing.assert_allclose(table["mean"].to_numpy(dtype=float), ours, rtol=1e-10)


# --- against a plain reading of the stored answers ---------------------------------------------
def test_brms_is_on_the_log_sd() -> None:
    _, raw, result = answered("brms")
    values, posterior = raw.values, result.idata["posterior"]
    named = dict(zip(values["b_names"], np.moveaxis(values["b"], -1, 0), strict=True))
    np.testing.assert_array_equal(posterior["gamma"].sel(mean_term="f[high]"), named["fhigh"])
    sigma = dict(zip(values["b_sigma_names"], np.moveaxis(values["b_sigma"], -1, 0), strict=True))
    np.testing.assert_array_equal(posterior["delta"].sel(variance_term="x"), 2 * sigma["x"])
    blocks = values["blocks"]
    places = {
        (d, c): i for i, (d, c) in enumerate(zip(blocks["dpar"], blocks["coef"], strict=True))
    }
    v = places["sigma", "Intercept"]
    np.testing.assert_allclose(
        posterior["tau"].sel(tau_pair="v:Intercept,v:Intercept"),
        4 * values["sd"][0][..., v] ** 2,
        rtol=1e-12,
    )
    np.testing.assert_array_equal(
        posterior["v"].sel(variance_effect="v:Intercept"), 2 * values["effects"][0][..., v]
    )
    slope = places["", "x"]
    np.testing.assert_array_equal(
        posterior["u"].sel(mean_effect="u:x"), values["effects"][0][..., slope]
    )


def test_stan_is_on_the_log_variance() -> None:
    from bridge.engines.stan_rows import fixed_parts
    from bridge.engines.stan_values import sampled

    plan, raw, result = answered("stan")
    draws, posterior = raw.values["draws"], result.idata["posterior"]
    np.testing.assert_array_equal(posterior["delta"], draws["delta"])
    R = draws["L"] @ draws["L"].swapaxes(-1, -2)
    lower = np.stack([R[..., 1, 0], R[..., 2, 0], R[..., 2, 1]], axis=-1)
    np.testing.assert_allclose(posterior["rho"], lower, rtol=1e-12)
    np.testing.assert_allclose(
        posterior["tau"].sel(tau_pair="v:Intercept,v:Intercept"), draws["sd"][..., 2] ** 2
    )
    # the effects are those of which Stan sampled what is left, given what their rows say
    effects = np.concatenate([posterior["u"], posterior["v"]], axis=-1).swapaxes(-1, -2)
    data = plan.call["data"]
    part = fixed_parts(data, draws["gamma"], draws["delta"])
    S = np.broadcast_to(draws["sd"][..., None], effects.shape)
    np.testing.assert_allclose(
        sampled(effects, part, S, draws["L"], data), draws["raw"], rtol=1e-8, atol=1e-8
    )


def test_agqs_likelihood_is_the_likelihood_at_its_estimates() -> None:
    """By scipy given v, and a sum over a grid of v: a scale or a sign missed shows."""
    from scipy.stats import multivariate_normal

    plan, raw, result = answered("agq")
    design = plan.design
    gamma, delta = (
        np.array([result.estimate(n) for n in PARAMETERS["agq"] if n.startswith(variable)])
        for variable in ("gamma", "delta")
    )
    tau = result.covariance().to_numpy()
    along = tau[:2, 2] / tau[2, 2]
    left = tau[:2, :2] - np.outer(along, tau[:2, 2])
    grid = np.linspace(-7, 7, 81)
    total = 0.0
    for group in range(8):
        rows = design.group == group
        Z = np.column_stack([np.ones(rows.sum()), design.mean.matrix[rows, 1]])
        each = []
        for x in grid:
            v = np.sqrt(tau[2, 2]) * x
            variance = np.exp(design.variance.matrix[rows] @ delta + v)
            mean = design.mean.matrix[rows] @ gamma + Z @ along * v
            whole = Z @ left @ Z.T + np.diag(variance)
            each.append(multivariate_normal.logpdf(design.y[rows], mean, whole) - x**2 / 2)
        total += np.logaddexp.reduce(each) + np.log(0.175 / np.sqrt(2 * np.pi))
    assert total == pytest.approx(result.loglik, abs=1e-6)
    assert result.loglik == raw.values["loglik"]
    np.testing.assert_array_equal(result.effects_covariance, raw.values["effects_covariance"])


def test_lme4_keeps_its_numbers() -> None:
    _, raw, result = answered("lme4")
    values = raw.values
    assert values["fixef_names"] == ["(Intercept)", "x", "fhigh"]
    assert [result.estimate(name) for name in GAMMA] == list(values["fixef"])
    assert result.estimate("delta[Intercept]") == pytest.approx(np.log(values["sigma"] ** 2))
    np.testing.assert_array_equal(result.covariance(), values["covariance"][0])
    assert result.loglik == values["loglik"]


def test_nlme_variances_are_those_of_its_own_components() -> None:
    plan, raw, result = answered("nlme")
    values = raw.values
    identity, exponent = values["variance_coef"]
    ratio = dict(zip(identity["groups"], [0.0, *np.atleast_1d(identity["coef"])], strict=True))
    used = cases.data().dropna()
    log_sd = np.log(values["sigma"]) + np.atleast_1d(exponent["coef"])[0] * used["x"].to_numpy()
    log_sd += [ratio["high" if level == "high" else "a.low.one"] for level in used["f"]]
    delta = [result.estimate(n) for n in PARAMETERS["nlme"] if n.startswith("delta")]
    np.testing.assert_allclose(plan.design.variance.matrix @ delta, 2 * log_sd, rtol=1e-10)


def test_ols_is_least_squares() -> None:
    """By the normal equations and scipy's normal density at the estimates."""
    from scipy.stats import norm

    plan, _, result = answered("ols")
    X, y = plan.design.mean.matrix, plan.design.y
    gamma = np.linalg.solve(X.T @ X, X.T @ y)
    np.testing.assert_allclose([result.estimate(name) for name in GAMMA], gamma, rtol=1e-10)
    s2 = float(((y - X @ gamma) ** 2).mean())
    assert result.estimate("delta[Intercept]") == pytest.approx(np.log(s2), abs=1e-12)
    se = np.sqrt(s2 * np.diag(np.linalg.inv(X.T @ X)))
    np.testing.assert_allclose(result.estimates["se"][:3].astype(float), se, rtol=1e-10)
    total = norm.logpdf(y, X @ gamma, np.sqrt(s2)).sum()
    assert result.loglik == pytest.approx(total, abs=1e-9)


def test_twostep_is_on_the_log_variance() -> None:
    """The groups' own variances, by one least-squares fit of all, follow delta and v."""
    plan, raw, result = answered("twostep")
    design = plan.design
    own = np.eye(8)[design.group]
    columns = np.column_stack([own, own * design.mean.matrix[:, [1]], design.mean.matrix[:, 2]])
    e = design.y - columns @ np.linalg.lstsq(columns, design.y, rcond=None)[0]
    f = np.bincount(design.group) - 2
    logs = np.log(np.bincount(design.group, e**2) / f)
    assert raw.values["used"].all()
    delta = [result.estimate(n) for n in PARAMETERS["twostep"] if n.startswith("delta")]
    means = (own.T @ design.variance.matrix) / own.sum(axis=0)[:, None]
    effects = result.group_effects.query("effect == 'v:Intercept'")["estimate"].astype(float)
    fitted = means @ delta + effects.to_numpy()
    assert np.corrcoef(fitted, logs)[0, 1] > 0.9
    assert fitted.mean() == pytest.approx(logs.mean() + 0.27, abs=0.1)  # E log chi2(4)/4


def test_nlmes_likelihood_is_the_likelihood_at_its_estimates() -> None:
    """The engine's own log-likelihood, at our delta and tau, by scipy: one scale missed shows."""
    from scipy.stats import multivariate_normal

    for engine in ("lme4", "nlme"):
        plan, _, result = answered(engine)
        design = plan.design
        gamma = np.array([result.estimate(name) for name in GAMMA])
        delta = np.array([result.estimate(n) for n in PARAMETERS[engine] if n.startswith("delta")])
        tau = result.covariance().to_numpy()
        total = 0.0
        for group in range(8):
            rows = design.group == group
            Z = np.column_stack([np.ones(rows.sum()), design.mean.matrix[rows, 1]])
            whole = Z @ tau @ Z.T + np.diag(np.exp(design.variance.matrix[rows] @ delta))
            total += multivariate_normal.logpdf(
                design.y[rows], design.mean.matrix[rows] @ gamma, whole
            )
        assert total == pytest.approx(result.loglik, abs=1e-6)


@pytest.mark.parametrize("engine", ["lme4", "nlme", "brms"])
def test_groups_come_back_in_the_order_they_went(engine: str) -> None:
    levels = answered(engine)[1].values["levels"]
    expected = [str(j + 1) for j in range(8)]
    assert levels == expected or all(block == expected for block in levels)


# --- all of it ----------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_result_knows(engine: str) -> None:
    plan, raw, result = answered(engine)
    assert result.engine == engine
    assert result.method == METHODS.get(engine, "posterior")
    assert (result.n_obs, result.dropped_rows) == (48, 1)
    assert result.n_groups == (8 if engine in GROUPED else 0)
    assert result.spec == plan.design.spec
    assert result.native == plan.native
    assert result.settings == plan.options
    assert result.seed == (1 if engine in SAMPLERS else None)
    assert result.versions and all(isinstance(v, str) for v in result.versions.values())
    assert any(said.startswith("1 row(s) with missing values") for said in result.warnings)
    assert set(raw.warnings) <= set(result.warnings)
    assert (result.parameter_covariance is None) == (engine in SAMPLERS)
    if engine not in SAMPLERS:
        named = result.parameter_covariance
        assert list(named.index) == list(named.columns)
        assert set(named.index) <= set(PARAMETERS[engine])
        np.testing.assert_allclose(
            np.sqrt(np.diag(named)),
            result.estimates.set_index("parameter").loc[named.index, "se"].astype(float),
        )
        assert list(result.asymptotic_draws(5).columns) == list(named.index)


@pytest.mark.parametrize("engine", ENGINES)
def test_saved_and_read_again(engine: str, tmp_path: Path) -> None:
    result = answered(engine)[2]
    again = bridge.load(result.save(tmp_path / "r.nc"))
    pd.testing.assert_frame_equal(again.estimates, result.estimates, check_exact=True)
    pd.testing.assert_frame_equal(again.group_effects, result.group_effects, check_exact=True)
    assert again.summary() == result.summary()
    if engine in SAMPLERS:
        for name in ("gamma", "delta", "tau", "rho", "u", "v"):
            ours, theirs = (r.idata["posterior"][name].values for r in (result, again))
            assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_summary_has_a_scale_beside_every_number(engine: str) -> None:
    result = answered(engine)[2]
    lines = [line.strip() for line in result.summary().split("\n")]
    for parameter, scale in zip(
        result.estimates["parameter"], result.estimates["scale"], strict=True
    ):
        (line,) = [ln for ln in lines if ln.startswith(parameter + " ")]
        assert line.removeprefix(parameter).strip().startswith(scale)
    numbers = [line for line in lines if line.split("  ")[0] in set(result.estimates["parameter"])]
    assert len(numbers) == len(result.estimates)


@pytest.mark.parametrize("engine", ENGINES)
def test_harmonising_is_pure(engine: str) -> None:
    plan, raw, result = answered(engine)
    again = registry.get(engine).harmonise(raw, plan)
    pd.testing.assert_frame_equal(again.estimates, result.estimates, check_exact=True)
    pd.testing.assert_frame_equal(again.group_effects, result.group_effects, check_exact=True)
