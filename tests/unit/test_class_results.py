"""Latent classes from an answer of Stan to result and file; nothing is sampled."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
from class_cases import MEAN, VARIANCE, answer, result, simulated, spec

import bridge
from bridge import class_likelihood as cl
from bridge import names
from bridge.design import make_design
from bridge.design_of import design_of
from bridge.engines import registry
from bridge.engines.posterior import class_warnings
from bridge.engines.stan_classes import class_points
from bridge.errors import NotAvailable

EFFECTS = ["u:Intercept", "u:x", "v:Intercept"]


# --- the result -----------------------------------------------------------------------------------
def test_every_parameter_has_its_label_component_and_scale() -> None:
    frame = result().estimates.set_index("parameter")
    pairs = [f"{a},{b}" for i, b in enumerate(EFFECTS) for a in EFFECTS[: i + 1]]
    level2 = [f"tau[{pair}]" for pair in pairs]
    level2 += [f"rho[{pair}]" for pair in pairs if len(set(pair.split(","))) == 2]
    level2 += [f"pi[{c}]" for c in "123"]
    level2 += [f"u_class[{c}, {e}]" for c in "123" for e in EFFECTS[:2]]
    level2 += [f"v_class[{c}, v:Intercept]" for c in "123"]
    assert list(frame.index[frame["component"] == "level2"]) == level2
    assert frame.loc["pi[2]", "scale"] == "probability"
    assert frame.loc["u_class[2, u:x]", "scale"] == "outcome"
    assert frame.loc["v_class[3, v:Intercept]", "scale"] == "log variance"


def test_every_cell_lands_under_its_label() -> None:
    made = spec().translate("stan", simulated(12, 5), chains=2, draws=40, seed=7, cores=1)
    raw = answer(made)
    draws, found = raw.values["draws"], registry.get("stan").harmonise(raw, made)
    posterior, frame = found.idata["posterior"], found.estimates.set_index("parameter")
    for c in range(3):
        for a, effect in enumerate(EFFECTS):
            name, dim = f"{effect[0]}_class", names.VARIABLES[f"{effect[0]}_class"][1]
            own = posterior[name].sel({"latent_class": str(c + 1), dim: effect})
            np.testing.assert_array_equal(own, draws["point"][:, :, c, a])
            row = frame.loc[f"{name}[{c + 1}, {effect}]"]
            assert row["estimate"] == pytest.approx(draws["point"][:, :, c, a].mean(), abs=1e-12)
    T = np.einsum("cdk,cdka,cdkb->cdab", draws["weight"], draws["point"], draws["point"])
    for a, b in made.design.tau_pairs:
        own = posterior["tau"].sel(tau_pair=f"{EFFECTS[a]},{EFFECTS[b]}")
        np.testing.assert_allclose(own, T[..., a, b], rtol=1e-10, atol=1e-12)
    own = posterior["rho"].sel(rho_pair="u:Intercept,u:x")
    expected = T[..., 0, 1] / np.sqrt(T[..., 0, 0] * T[..., 1, 1])
    np.testing.assert_allclose(own, expected, rtol=1e-9)


def test_a_row_of_arviz_s_summary_is_a_row_of_the_estimates() -> None:
    import arviz

    found = result()
    rows = arviz.summary(found.idata, var_names=["pi", "u_class", "v_class"])
    assert set(rows.index) <= set(found.estimates["parameter"])
    assert len(rows) == 3 + 6 + 3


def test_prior_sensitivity_is_of_the_points_too() -> None:
    found = bridge.prior_sensitivity(result())
    of_points = found.table[found.table["parameter"] == "v_class[3, v:Intercept]"]
    assert of_points["sensitivity"].notna().all() and len(of_points)
    assert not [note for note in found.notes if "not in the draws" in note]
    assert list(dict.fromkeys(found.table["parameter"])) == list(result().estimates["parameter"])


def test_two_classes_have_covariances_and_no_correlations() -> None:
    found = result(spec(2))
    assert not found.estimates["parameter"].str.startswith("rho").any()
    assert "rho" not in found.idata["posterior"]
    matrix = found.idata["posterior"]["tau"].sel(tau_pair="u:Intercept,u:x").values
    variances = [
        found.idata["posterior"]["tau"].sel(tau_pair=f"{e},{e}").values for e in EFFECTS[:2]
    ]
    np.testing.assert_allclose(matrix**2, variances[0] * variances[1], rtol=1e-9)


def test_each_group_has_the_effects_of_one_class_by_bayes_rule() -> None:
    found = result(draws=60)
    posterior, design = found.idata["posterior"], design_of(found)
    of = cl.draws_of(posterior)
    expected = cl.probabilities(cl.log_joint(design, of))
    u = posterior["u"].sel(mean_effect="u:Intercept").values.reshape(len(of), -1)
    v = posterior["v"].sel(variance_effect="v:Intercept").values.reshape(len(of), -1)
    latent = (u[:, :, None] == of.points[:, None, :, 0]).argmax(axis=-1)
    for values, a in ((u, 0), (v, 2)):
        np.testing.assert_array_equal(
            values, np.take_along_axis(of.points[:, :, a], latent, axis=1)
        )
    # over all draws and groups each class is as frequent as it is probable
    for c in range(3):
        p = expected[..., c]
        assert abs((latent == c).sum() - p.sum()) < 4.5 * np.sqrt((p * (1 - p)).sum()) + 1e-6
    frame = found.class_probabilities
    assert list(frame.columns) == ["group", "latent_class", "probability"]
    wide = frame.pivot(index="group", columns="latent_class", values="probability").astype(float)
    np.testing.assert_allclose(wide.loc[list(design.group_labels)], expected.mean(axis=0))
    assert found.group_effects["estimate"].notna().all()
    again = result(draws=60)
    np.testing.assert_array_equal(again.idata["posterior"]["u"], posterior["u"])
    assert not np.array_equal(result(draws=60, seed=8).idata["posterior"]["u"], posterior["u"])


@pytest.mark.parametrize("classes", [2, 3])
def test_a_file_keeps_everything(classes: int, tmp_path: Path) -> None:
    include = ("log_likelihood", "marginal_log_likelihood", "posterior_predictive", "log_prior")
    made = result(spec(classes), include=include)
    again = bridge.load(made.save(tmp_path / "r.nc"))
    pd.testing.assert_frame_equal(again.class_probabilities, made.class_probabilities)
    pd.testing.assert_frame_equal(again.estimates, made.estimates)
    assert again.spec == made.spec
    assert design_of(again).block == (0, 0, 0)
    assert len(design_of(again).rho_pairs) == (0 if classes == 2 else 3)
    for name in ("pi", "u_class", "v_class", "u"):
        np.testing.assert_array_equal(again.idata["posterior"][name], made.idata["posterior"][name])
    assert f"group effects: {classes} latent classes" in again.summary()
    assert "pi[1]" in bridge.compare(made, again).text()


def test_matrices_of_the_result() -> None:
    found = result()
    matrix = found.covariance()
    assert list(matrix.index) == EFFECTS
    assert (matrix.to_numpy() != 0).all()
    pd.testing.assert_frame_equal(found.level2({}), matrix)
    with pytest.raises(NotAvailable, match="has draws in idata"):
        found.asymptotic_draws()
    with pytest.raises(NotAvailable, match="no AIC"):
        _ = found.aic


def test_further_groups_of_idata() -> None:
    include = ("log_likelihood", "marginal_log_likelihood", "posterior_predictive", "log_prior")
    found = result(include=include)
    design, posterior = design_of(found), found.idata["posterior"]
    of = cl.draws_of(posterior)
    both = found.idata["log_likelihood"]
    marginal = cl.marginal_loglik(design, of).reshape(2, 40, -1)
    np.testing.assert_array_equal(both["y_marginal"], marginal)
    mean = posterior["gamma"].values @ design.mean.matrix.T
    u, v = (posterior[n].values[:, :, design.group] for n in "uv")
    log_variance = posterior["delta"].values @ design.variance.matrix.T
    expected = stats.norm.logpdf(
        design.y,
        mean + np.einsum("cdna,na->cdn", u, design.Z),
        np.exp(0.5 * (log_variance + np.einsum("cdna,na->cdn", v, design.A))),
    )
    np.testing.assert_allclose(both["y"], expected, rtol=1e-10)
    assert found.idata["posterior_predictive"]["y"].shape == (2, 40, 60)
    prior = found.idata["log_prior"]
    assert set(prior.data_vars) == {"gamma", "delta", "pi", "points"}
    assert list(prior["effect"].values) == EFFECTS
    np.testing.assert_allclose(prior["pi"], np.log(2.0))  # uniform on three weights
    one = cl.points_log_density(of.points[..., 0], design.priors.sd[0], True).reshape(2, 40)
    np.testing.assert_allclose(prior["points"].sel(effect="u:Intercept"), one)


def test_the_model_without_ids_is_the_same_one() -> None:
    plain = spec(3, MEAN.replace("| s |", "|"), VARIANCE.replace("| s |", "|"))
    one, other = (make_design(s, simulated(12, 5)) for s in (plain, spec(3)))
    assert one.block == other.block == (0, 0, 0)
    assert one.rho_pairs == other.rho_pairs == [(0, 1), (0, 2), (1, 2)]


def test_the_priors_in_use() -> None:
    frame = spec(3, priors={"pi": "dirichlet(2)", "sd_v": "half_normal(1)"}).priors_in_use(
        simulated(12, 5)
    )
    rows = frame.set_index("parameter")
    assert rows.loc["pi", ["prior", "source"]].tolist() == ["dirichlet(2)", "user"]
    assert rows.loc["v_class[v:Intercept]", "prior"] == "half_normal(0, 1), reflected"
    assert "rho" not in rows.index and not any(name.startswith("sd[") for name in rows.index)


def test_equations_say_by_which_effect_classes_are_ordered() -> None:
    assert "classes in the order of u:Intercept" in str(spec(2).equations())
    slopes = spec(2, "y ~ x", "~ 1 + (0 + x | g)")
    assert "classes in the order of v:x" in slopes.equations()


# --- warnings and starts --------------------------------------------------------------------------
def test_chains_about_different_classes_are_said_to_be() -> None:
    frame = result().estimates
    frame["r_hat"] = pd.array([1.0] * len(frame), dtype="Float64")
    assert class_warnings(frame) == []
    frame.loc[frame["parameter"] == "gamma[x]", "r_hat"] = 1.5
    assert class_warnings(frame) == []
    frame.loc[frame["parameter"] == "u_class[2, u:x]", "r_hat"] = 1.5
    [said] = class_warnings(frame)
    assert "disagree about the latent classes" in said
    # chains that are apart by their draws
    made = spec().translate("stan", simulated(12, 5), chains=2, draws=40, seed=7, cores=1)
    raw = answer(made)
    raw.values["draws"]["point"][1] += 30 * np.array([-2.0, 1.0, 1.0])[:, None]
    told = registry.get("stan").harmonise(raw, made).warnings
    assert any("R-hat above" in w for w in told) and any("disagree" in w for w in told)


@pytest.mark.parametrize("seed", range(5))
def test_chains_start_at_the_classes_of_the_data(seed: int) -> None:
    of = spec(3, "y ~ 1 + x + (1 | s | g)", "~ 1 + (1 | s | g)")
    plan = of.translate("stan", simulated(), seed=1)
    points = class_points(plan.call["start"], 4, seed, plan.call["data"])
    assert len({p["gap"][0] for p in points}) == 4
    for point in points:
        assert point["weight"].sum() == pytest.approx(1.0) and (point["weight"] > 0).all()
        assert (point["gap"] > 0).all() and point["step"].shape == (2, 1)
        np.testing.assert_allclose(point["gap"], [3.5, 2.75], atol=1.0)
        np.testing.assert_allclose(point["weight"], [0.3, 0.5, 0.2], atol=0.2)
        b = np.concatenate([[0], np.cumsum(point["gap"])])
        shift = point["weight"] @ (b - b.mean())
        assert point["free_gamma"][0] + shift == pytest.approx(10, abs=1.0)
    again = class_points(plan.call["start"], 4, seed, plan.call["data"])
    np.testing.assert_array_equal(again[2]["gap"], points[2]["gap"])


def test_fewer_rows_have_the_same_sums_of_products() -> None:
    data, of = simulated(8, 9).assign(y=lambda d: 1e4 + d["y"]), spec(2)
    design, block = make_design(of, data), of.translate("stan", data, seed=1).call["data"]
    M = np.column_stack([design.y, design.mean.matrix, design.Z])
    R = np.column_stack([block["y"], block["X"], block["Z"]])
    for j in range(8):
        own = slice(block["first"][j] - 1, block["first"][j] - 1 + block["size"][j])
        rows = design.group == j
        assert block["size"][j] == 3 < rows.sum()  # y, the intercept and x
        assert block["count"][own].sum() == pytest.approx(rows.sum())
        np.testing.assert_allclose(R[own].T @ R[own], M[rows].T @ M[rows], rtol=1e-12)
        # also of residuals, which are small beside y
        beta = np.array([1.0, -1e4, -0.5, 0.2, 0.1])
        expected = ((M[rows] @ beta) ** 2).sum()
        assert ((R[own] @ beta) ** 2).sum() == pytest.approx(expected, rel=1e-8)
        np.testing.assert_array_equal(block["W"][own], design.variance.matrix[rows][[0] * 3])


def test_rows_of_a_variance_that_varies_within_groups_are_all_given() -> None:
    data, of = simulated(8, 9), spec(2, variance="~ 1 + x + (1 | g)")
    design, block = make_design(of, data), of.translate("stan", data, seed=1).call["data"]
    order = np.argsort(design.group, kind="stable")
    np.testing.assert_array_equal(block["y"], design.y[order])
    np.testing.assert_array_equal(block["W"], design.variance.matrix[order])
    np.testing.assert_array_equal(block["count"], np.ones(72))
    assert design.group[order][block["first"] - 1].tolist() == list(range(8))


def test_more_classes_than_distinct_groups_still_start() -> None:
    data = simulated(4, 3)
    plan = spec(4, "y ~ 1 + (1 | g)", "~ 1").translate("stan", data, seed=1)
    for effects in (plan.call["start"]["effects"], np.zeros((1, 4))):
        start = {**plan.call["start"], "effects": effects}
        [point] = class_points(start, 1, 1, plan.call["data"])
        assert (point["gap"] > 0).all() and np.isfinite(point["weight"]).all()


def test_the_group_column_s_name_may_be_in_the_way() -> None:
    data = simulated(12, 5).rename(columns={"g": "y_marginal"})
    of = spec(2, "y ~ 1 + (1 | y_marginal)", "~ 1")
    with pytest.raises(NotAvailable, match="rename the column"):
        of.translate("stan", data, seed=1, include="marginal_log_likelihood")
