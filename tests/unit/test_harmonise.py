"""From hand-made answers of engines, every cell another number, to labelled results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import names
from bridge.engines import registry
from bridge.engines.base import Plan, RawFit
from bridge.engines.brms import effect_places
from bridge.engines.matching import level2_matrix, match_columns
from bridge.engines.maximum import wald
from bridge.engines.posterior import Draws, posterior_result, sampler_warnings
from bridge.errors import HarmoniseError
from bridge.result import Result
from bridge.spec import ModelSpec

C, D, J = 2, 9, 4
MEAN = "y ~ 1 + x + f + (1 + x | s | g)"
VARIANCE = "~ 1 + x + (1 + w | s | g)"
EFFECTS = ["u:Intercept", "u:x", "v:Intercept", "v:w"]
LABELS = ["d", "a", "c", "b"]
STAN_STATS = ["divergent", "tree_depth", "energy", "accept_stat", "step_size", "n_leapfrog", "lp"]


def example() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    group = np.tile(range(J), 5)
    return pd.DataFrame(
        {
            "y": rng.normal(size=20),
            "x": rng.normal(size=20),
            "w": rng.normal(size=20),
            "f": np.resize(["lo", "mid", "hi"], 20),
            "g": np.array(LABELS)[group],
        }
    )


def plan(
    engine: str,
    mean: str = MEAN,
    variance: str = VARIANCE,
    frame: pd.DataFrame | None = None,
    **parts: Any,
) -> Plan:
    data = example() if frame is None else frame
    options = {} if engine in ("lme4", "nlme") else {"chains": C, "draws": D, "seed": 1}
    return ModelSpec(mean, variance, **parts).translate(engine, data, **options)


def numbers(*shape: int, start: float = 0.0) -> np.ndarray:
    """Return an array (C, D, *shape) of numbers that are all different."""
    rng = np.random.default_rng(int(start) + 100)
    return start + rng.permutation(C * D * int(np.prod(shape))).reshape(C, D, *shape) / 1e3


def draws(made: Plan) -> Draws:
    design = made.design
    pairs, size = len(design.rho_pairs), len(design.effects)
    return Draws(
        gamma=numbers(len(design.mean.labels), start=10),
        delta=numbers(len(design.variance.labels), start=20),
        sd=numbers(size, start=1),
        rho=numbers(pairs) / 10,
        effects=numbers(J, size, start=30),
        sample_stats={"diverging": np.zeros((C, D), dtype=bool), "lp": numbers(start=40)},
    )


# --- posteriors -----------------------------------------------------------------------------
def test_every_cell_lands_under_its_label() -> None:
    made = plan("fake")
    given = draws(made)
    result = posterior_result(made, RawFit({}, {"fake": "1"}), given)
    posterior = result.idata["posterior"]
    for position, term in enumerate(["Intercept", "x", "f[lo]", "f[mid]"]):
        np.testing.assert_array_equal(
            posterior["gamma"].sel(mean_term=term), given.gamma[..., position]
        )
    for position, term in enumerate(["Intercept", "x"]):
        np.testing.assert_array_equal(
            posterior["delta"].sel(variance_term=term), given.delta[..., position]
        )
    for position, group in enumerate(sorted(LABELS)):
        for place, effect in enumerate(EFFECTS):
            one = posterior[effect[0]].sel({"g": group})
            dim = "mean_effect" if effect[0] == "u" else "variance_effect"
            np.testing.assert_array_equal(
                one.sel({dim: effect}), given.effects[..., position, place]
            )
    pairs = [(a, b) for b in range(4) for a in range(b)]
    for position, (a, b) in enumerate(pairs):
        label = f"{EFFECTS[a]},{EFFECTS[b]}"
        rho = given.rho[..., position]
        np.testing.assert_array_equal(posterior["rho"].sel(rho_pair=label), rho)
        product = given.sd[..., a] * given.sd[..., b] * rho
        np.testing.assert_allclose(posterior["tau"].sel(tau_pair=label), product, rtol=1e-14)
    for a, effect in enumerate(EFFECTS):
        square = posterior["tau"].sel(tau_pair=f"{effect},{effect}")
        np.testing.assert_allclose(square, given.sd[..., a] ** 2, rtol=1e-14)
    np.testing.assert_array_equal(result.idata["sample_stats"]["lp"], given.sample_stats["lp"])


def test_estimates_are_of_the_transformed_draws() -> None:
    made = plan("fake")
    given = draws(made)
    result = posterior_result(made, RawFit({}, {"fake": "1"}), given)
    rows = result.estimates.set_index("parameter")
    square = given.sd[..., 2] ** 2
    row = rows.loc["tau[v:Intercept,v:Intercept]"]
    assert row["estimate"] == pytest.approx(square.mean(), rel=1e-13)
    assert abs(row["estimate"] - given.sd[..., 2].mean() ** 2) > 1e-6
    assert row["se"] == pytest.approx(square.std(ddof=1), rel=1e-12)
    assert row["lower"] == pytest.approx(np.quantile(square, 0.025), rel=1e-12)
    assert row["upper"] == pytest.approx(np.quantile(square, 0.975), rel=1e-12)
    assert row["scale"] == "(log variance)²"
    assert list(result.estimates["component"].unique()) == ["mean", "variance", "level2"]
    effects = result.group_effects
    one = effects[(effects["group"] == "c") & (effects["effect"] == "v:w")]
    assert one["estimate"].item() == pytest.approx(given.effects[..., 2, 3].mean(), rel=1e-13)
    assert one["scale"].item() == "log variance"


def test_an_answer_with_too_few_parameters_is_refused() -> None:
    made = plan("fake")
    given = replace(draws(made), gamma=numbers(3))
    with pytest.raises(HarmoniseError, match="gave 21 parameters for the 22"):
        posterior_result(made, RawFit({}, {"fake": "1"}), given)


def test_degrees_of_freedom() -> None:
    made = plan("fake", random_effects="student_t")
    nu = numbers(start=5)
    result = posterior_result(made, RawFit({}, {"fake": "1"}), replace(draws(made), nu=nu))
    assert result.estimate("nu") == pytest.approx(nu.mean())
    assert result.estimates.iloc[-1]["scale"] == "degrees of freedom"
    np.testing.assert_array_equal(result.idata["posterior"]["nu"], nu)


def test_what_every_result_says() -> None:
    made = plan("fake")
    result = posterior_result(made, RawFit({}, {"fake": "1"}, ("Mind.",)), draws(made))
    assert (result.n_obs, result.n_groups, result.dropped_rows) == (20, 4, 0)
    assert result.seed == 1
    assert "Mind." in result.warnings
    attrs = result.idata.attrs
    assert json.loads(attrs["scales"])["delta[x]"] == "log variance"
    assert ModelSpec.from_dict(json.loads(attrs["spec"])) == made.design.spec
    constant = result.idata["constant_data"]
    np.testing.assert_array_equal(
        constant["variance_effect_design"].sel(variance_effect="v:w"), example()["w"]
    )
    np.testing.assert_array_equal(
        constant["g"].values[constant["group_index"].values], example()["g"].to_numpy()
    )


@pytest.mark.parametrize(
    ("stats", "columns", "part"),
    [
        ({"diverging": np.array([[True, True, False, False]])}, {}, "2 of 4 draws diverged"),
        (
            {"tree_depth": np.array([[9, 10, 11, 9]])},
            {},
            "2 of 4 draws reached the maximum tree depth of 10",
        ),
        ({}, {"r_hat": [1.0, 1.2, 1.05]}, "2 parameter(s) have R-hat above 1.01 (worst b: 1.200)"),
        (
            {},
            {"ess_bulk": [500, 399.0, 50.0]},
            "2 parameter(s) have fewer than 400 effective draws (fewest c: 50)",
        ),
        (
            {"diverging": np.zeros((1, 4)), "tree_depth": np.full((1, 4), 9)},
            {"r_hat": [1.01] * 3, "ess_bulk": [400.0] * 3},
            "",
        ),
        ({"diverging": np.zeros((1, 3))}, {}, "3 draw(s) of each chain are too few to tell"),
    ],
)
def test_convergence_is_told(stats: dict, columns: dict, part: str) -> None:
    table = {"parameter": ["a", "b", "c"], "r_hat": [1.0] * 3, "ess_bulk": [1000.0] * 3} | columns
    said = sampler_warnings(stats, pd.DataFrame(table), {"max_treedepth": 10})
    assert len(said) == (1 if part else 0)
    assert part in "".join(said)


# --- brms -----------------------------------------------------------------------------------
def brms_answer(made: Plan, shuffled: bool) -> tuple[dict[str, Any], Draws]:
    """Return what brms would say, in its own order where shuffled, and the draws it stands for."""
    design, given = made.design, draws(made)
    order = [2, 0, 3, 1] if shuffled else [0, 1, 2, 3]  # brms position -> our effect
    mean, variance = ([2, 0, 3, 1], [1, 0]) if shuffled else (list(range(4)), [0, 1])
    half = np.array([1.0, 1.0, 0.5, 0.5])
    whole = np.column_stack([design.Z, design.A])
    pairs = [(b, a) for b in range(4) for a in range(b)] if shuffled else design.rho_pairs
    cor = [
        given.rho[..., design.rho_pairs.index(tuple(sorted((order[a], order[b]))))]
        for a, b in pairs
    ]
    answer = {
        "b": given.gamma[..., mean],
        "X": design.mean.matrix[:, mean],
        "b_sigma": given.delta[..., variance] / 2,
        "X_sigma": design.variance.matrix[:, variance],
        "sd": [(given.sd * half)[..., order]],
        "cor": [np.stack(cor, axis=-1)],
        "pairs": [np.array(pairs) + 1],
        "effects": [(given.effects * half)[..., order]],
        "Z": [[whole[:, i] for i in order]],
        "levels": [[str(j + 1) for j in range(J)]],
        "blocks": {"id": [1] * 4, "dpar": ["sigma" if i > 1 else "" for i in order]},
        "df": None,
        "sampler": {
            name: numbers(start=50 + i)
            for i, name in enumerate(
                ("divergent", "treedepth", "energy", "accept_stat", "stepsize", "n_leapfrog", "lp")
            )
        },
    }
    return answer, given


def posterior(result: Result, name: str) -> np.ndarray:
    return result.idata["posterior"][name].values


@pytest.mark.parametrize("shuffled", [False, True])
def test_brms_draws_are_doubled_and_sorted(shuffled: bool) -> None:
    made = plan("brms")
    answer, given = brms_answer(made, shuffled)
    result = registry.get("brms").harmonise(RawFit(answer, {"brms": "2.18.0"}), made)
    expected = posterior_result(made, RawFit({}, {}), given)
    for name in ("gamma", "delta", "tau", "rho", "u", "v"):
        np.testing.assert_allclose(posterior(result, name), posterior(expected, name), rtol=1e-13)
    np.testing.assert_array_equal(
        result.idata["sample_stats"]["energy"], answer["sampler"]["energy"]
    )
    assert result.idata["sample_stats"]["diverging"].dtype == bool


def test_brms_blocks_in_another_order() -> None:
    made = plan(
        "brms", "y ~ 1 + (1 | a | g) + (0 + x | b | g)", "~ 1 + (1 | b | g) + (0 + w | a | g)"
    )
    design = made.design
    values = {
        "Z": [[design.A[:, 0], design.Z[:, 1]], [design.Z[:, 0], design.A[:, 1]]],
        "blocks": {"id": [7, 7, 3, 3], "dpar": ["sigma", "", "", "sigma"]},
    }
    assert design.effects == ("u:Intercept", "u:x", "v:Intercept", "v:w")
    assert effect_places(design, values) == [(1, 0), (0, 1), (0, 0), (1, 1)]


def test_brms_that_did_not_correlate_is_refused() -> None:
    made = plan("brms")
    answer, _ = brms_answer(made, False)
    answer["blocks"]["id"] = [1, 1, 2, 2]
    for part in ("sd", "effects"):
        answer[part] = [answer[part][0][..., :2], answer[part][0][..., 2:]]
    answer["Z"] = [answer["Z"][0][:2], answer["Z"][0][2:]]
    with pytest.raises(HarmoniseError, match="did not correlate u:Intercept,v:Intercept"):
        registry.get("brms").harmonise(RawFit(answer, {}), made)


# --- stan -----------------------------------------------------------------------------------
def test_stan_draws_keep_their_scale() -> None:
    made = plan("stan")
    given = draws(made)
    values = {
        "draws": {
            "gamma": given.gamma, "delta": given.delta, "sd": given.sd, "rho": given.rho,
            "effects": np.swapaxes(given.effects, -1, -2),
        },
        "sampler": {
            name: numbers(start=60 + i)
            for i, name in enumerate(
                STAN_STATS
            )
        },
    }  # fmt: skip
    result = registry.get("stan").harmonise(RawFit(values, {}), made)
    expected = posterior_result(made, RawFit({}, {}), given)
    for name in ("gamma", "delta", "tau", "rho", "u", "v"):
        np.testing.assert_array_equal(posterior(result, name), posterior(expected, name))
    assert set(result.idata["sample_stats"].data_vars) == {
        "diverging", "tree_depth", "energy", "acceptance_rate", "step_size", "n_steps", "lp",
    }  # fmt: skip


def test_stans_associations_functions_and_degrees_of_freedom() -> None:
    made = plan(
        "stan", "y ~ 1 + (1 + x | g)", "~ 1 + (1 | g)", association="linear",
        level2={"tau[u:x,u:x]": "~ f2"}, random_effects="student_t",
        frame=example().assign(f2=np.where(example()["g"] == "c", 1.0, 0.0)),
    )  # fmt: skip
    values = {
        "draws": {
            "gamma": numbers(1, start=10), "delta": numbers(1, start=20),
            "sd": numbers(2, start=1), "rho": numbers(1) / 10, "lambda": numbers(2, start=3),
            "kappa": numbers(2, start=4), "nu": numbers(1, start=5),
            "mixing": numbers(J), "effects": numbers(3, J, start=30),
        },
        "sampler": dict.fromkeys(STAN_STATS, numbers()),
    }  # fmt: skip
    given = values["draws"]
    result = registry.get("stan").harmonise(RawFit(values, {}), made)
    assert list(result.estimates["parameter"]) == [
        "gamma[Intercept]", "delta[Intercept]", "lambda_[u:Intercept]", "lambda_[u:x]",
        "tau[u:Intercept,u:Intercept]", "tau[v:Intercept,v:Intercept]", "rho[u:Intercept,u:x]",
        "kappa[tau(u:x,u:x),Intercept]", "kappa[tau(u:x,u:x),f2]", "nu",
    ]  # fmt: skip
    for ours, theirs in {"lambda_": "lambda", "kappa": "kappa", "rho": "rho"}.items():
        np.testing.assert_array_equal(posterior(result, ours), given[theirs])
    np.testing.assert_array_equal(posterior(result, "nu"), given["nu"][..., 0])
    np.testing.assert_allclose(posterior(result, "tau"), given["sd"] ** 2, rtol=1e-14)
    scale = result.estimates.set_index("parameter")["scale"]
    assert scale["lambda_[u:x]"] == "log variance per SD of u"
    assert scale["kappa[tau(u:x,u:x),f2]"] == "log variance"
    # T at a profile: draws are transformed one by one
    log_variance = given["kappa"].sum(axis=-1)
    T = result.level2(at={"f2": 1})
    assert T.loc["u:x", "u:x"] == pytest.approx(np.exp(log_variance).mean())
    covariance = given["rho"][..., 0] * given["sd"][..., 0] * np.exp(0.5 * log_variance)
    assert T.loc["u:Intercept", "u:x"] == pytest.approx(covariance.mean())


def test_stan_without_effects() -> None:
    made = plan("stan", "y ~ 1 + x", "~ 1 + w")
    values = {
        "draws": {"gamma": numbers(2), "delta": numbers(2)},
        "sampler": dict.fromkeys(
            STAN_STATS,
            numbers(),
        ),
    }
    result = registry.get("stan").harmonise(RawFit(values, {}), made)
    assert list(result.estimates["parameter"]) == [
        "gamma[Intercept]", "gamma[x]", "delta[Intercept]", "delta[w]",
    ]  # fmt: skip
    assert result.group_effects.empty
    assert result.n_groups == 0
    assert "groups (None)" not in result.summary()


# --- lme4 -----------------------------------------------------------------------------------
@pytest.mark.parametrize("shuffled", [False, True])
def test_lme4(shuffled: bool) -> None:
    made = plan("lme4", "y ~ 1 + x + f + (1 + x | g)", "~ 1")
    fixed, random = ([3, 1, 0, 2], [1, 0]) if shuffled else ([0, 1, 2, 3], [0, 1])
    gamma, root = np.arange(1.0, 5), np.tril(np.arange(1.0, 17).reshape(4, 4))
    vcov = root @ root.T
    tau = np.array([[4.0, 1.5], [1.5, 9.0]])
    effects = np.arange(8.0).reshape(J, 2)
    spread = np.arange(1.0, 17).reshape(J, 2, 2)
    design = made.design
    values = {
        "X": design.mean.matrix[:, fixed],
        "fixef": gamma[fixed],
        "fixef_vcov": vcov[np.ix_(fixed, fixed)],
        "Z": [design.Z[:, random]],
        "covariance": [tau[np.ix_(random, random)]],
        "effects": [effects[:, random]],
        "levels": [[str(j + 1) for j in range(J)]],
        "effects_cov": [spread[:, random][:, :, random].transpose(1, 2, 0)],
        "sigma": 3.0,
        "loglik": -10.0,
        "df": 8,
        "converged": True,
        "singular": False,
        "optimizer_messages": [],
    }
    result = registry.get("lme4").harmonise(RawFit(values, {"lme4": "1.1"}), made)
    rows = result.estimates.set_index("parameter")
    np.testing.assert_allclose(rows["estimate"][:4].astype(float), gamma)
    np.testing.assert_allclose(rows["se"][:4].astype(float), np.sqrt(np.diag(vcov)))
    assert rows.loc["delta[Intercept]", "estimate"] == pytest.approx(np.log(9.0))
    assert result.covariance().to_numpy() == pytest.approx(tau)
    assert rows.loc["rho[u:Intercept,u:x]", "estimate"] == pytest.approx(0.25)
    assert rows["se"][4:].isna().all()
    assert (rows["note"][4:] != "").all()
    np.testing.assert_allclose(result.parameter_covariance, vcov)
    found = result.group_effects
    np.testing.assert_allclose(found["estimate"].to_numpy(float).reshape(J, 2), effects)
    np.testing.assert_allclose(
        found["se"].to_numpy(float).reshape(J, 2), np.sqrt(spread[:, [0, 1], [0, 1]])
    )
    assert list(found["group"][:3]) == ["a", "a", "b"]
    assert result.aic == pytest.approx(36.0)
    assert result.bic == pytest.approx(20.0 + 8 * np.log(20))


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"converged": False, "optimizer_messages": ["step too long"]}, "(step too long)"),
        ({"singular": True}, "The fit is singular"),
    ],
)
def test_lme4_says_what_went_wrong(changes: dict, part: str) -> None:
    made = plan("lme4", "y ~ 1 + (1 | g)", "~ 1")
    values = {
        "X": np.ones((20, 1)), "fixef": np.ones(1), "fixef_vcov": np.eye(1),
        "Z": [np.ones((20, 1))],
        "covariance": [np.zeros((1, 1))], "effects": [np.zeros((J, 1))],
        "levels": [[str(j + 1) for j in range(J)]],
        "effects_cov": [np.zeros((1, 1, J))], "sigma": 1.0, "loglik": 0.0, "df": 3,
        "converged": True, "singular": False, "optimizer_messages": [],
    } | changes  # fmt: skip
    result = registry.get("lme4").harmonise(RawFit(values, {}), made)
    assert any(part in said for said in result.warnings)
    assert part in result.summary()


# --- matching -------------------------------------------------------------------------------
def test_columns_are_found_by_content() -> None:
    ours = np.arange(12.0).reshape(4, 3)
    order = [2, 0, 1]
    theirs = ours[:, order]
    assert match_columns(ours, theirs, "abc", "mean") == [1, 2, 0]
    assert match_columns(ours, theirs * (1 + 1e-12), "abc", "mean") == [1, 2, 0]
    assert match_columns(ours[:, :1], ours[:, 0], "a", "mean") == [0]


@pytest.mark.parametrize(
    ("theirs", "part"),
    [
        (np.ones((4, 3)), "mean is 4 by 3, ours 4 by 2"),
        (np.ones((3, 2)), "mean is 3 by 2"),
        (np.column_stack([np.ones(4), np.arange(4.0) + 1e-6]), "no column equal to b"),
        (np.column_stack([np.ones(4), np.ones(4)]), "no column equal to b"),
        (np.column_stack([np.ones(4), np.full(4, np.nan)]), "no column equal to b"),
    ],
)
def test_columns_that_are_not_there(theirs: np.ndarray, part: str) -> None:
    ours = np.column_stack([np.ones(4), np.arange(4.0)])
    with pytest.raises(HarmoniseError, match="coded a term otherwise") as caught:
        match_columns(ours, theirs, "ab", "mean")
    assert part in str(caught.value)


def test_level2_blocks_become_one_matrix_in_our_order() -> None:
    design = plan("lme4", "y ~ 1 + (1 + x || g) + (0 + w | g)", "~ 1").design
    w, x, one = (design.Z[:, [i]] for i in (2, 1, 0))
    matrix = level2_matrix(design, [w, x, one], [np.eye(1) * 3, np.eye(1) * 2, np.eye(1)])
    np.testing.assert_array_equal(matrix, np.diag([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("estimate", "se", "on", "lower", "upper", "note"),
    [
        (1.0, 0.5, "", 0.0200180077, 1.9799819923, ""),
        (0.0, 0.5, "log", -0.9799819923, 0.9799819923, ""),
        (4.0, 1.0, "log", 2.45052764, 6.52920609, "interval on the log scale"),
        (0.5, 0.1, "atanh", 0.28027235, 0.66994023, "interval on the atanh scale"),
    ],
)
def test_wald_intervals(
    estimate: float, se: float, on: str, lower: float, upper: float, note: str
) -> None:
    row = wald(estimate, se, on)
    assert (row.lower, row.upper) == pytest.approx((lower, upper), rel=1e-6)
    assert row.note == note


def test_no_standard_error_no_interval() -> None:
    row = wald(1.0, None)
    assert (row.se, row.lower, row.upper, row.note) == (None, None, None, "no standard error")
    assert wald(1.0, float("nan"), "log", "why").note == "why"


def test_names_of_pairs() -> None:
    assert names.pair_indices([0, 1, 0], diagonal=True) == [(0, 0), (1, 1), (0, 2), (2, 2)]
    assert names.pair_indices([0, 1, 0], diagonal=False) == [(0, 2)]


@pytest.mark.parametrize("levels", [["2", "1", "3", "4"], ["1", "2", "3"], ["1", "10", "2", "3"]])
def test_groups_in_another_order_are_refused(levels: list[str]) -> None:
    from bridge.engines.matching import check_groups

    with pytest.raises(HarmoniseError, match="another order"):
        check_groups(plan("lme4", "y ~ 1 + (1 | g)", "~ 1").design, levels)
