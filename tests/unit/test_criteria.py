"""Information criteria against sums by hand, ArviZ's own, and closed forms.

The texts of refusals are golden files: tests/golden/messages.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bridge
from bridge import arviz_compat, elpd, information_criteria, row_criteria
from bridge.design import Design, make_design
from bridge.errors import BridgeError, NotAvailable, OptionError, RequestError
from bridge.result import Result
from bridge.spec import ModelSpec

SPEC = ModelSpec("y ~ 1 + x + (1 | s | g)", "~ 1 + x + (1 | s | g)")
GIVEN, MARGINAL = "given the effects", "marginal over the effects"


def frame(groups: int = 10, size: int = 5, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x, noise = rng.normal(size=(2, len(g)))
    y = 1 + 0.5 * x + rng.normal(size=groups)[g] + np.exp(0.1 * x) * noise
    data = pd.DataFrame({"y": y, "x": x, "g": [f"school {i}" for i in g]})
    return data.sample(frac=1, random_state=2)


@cache
def fitted(**options: Any) -> Result:
    return bridge.fit(SPEC, frame(), "fake", **({"chains": 2, "draws": 300, "seed": 5} | options))


def with_posterior(result: Result, **arrays: Any) -> Result:
    """Return a result with other draws of some variables: (chain, draw, ...) arrays."""
    groups = dict(arviz_compat.groups_of(result.idata))
    old = groups["posterior"]
    made = {
        name: (old[name].dims, np.asarray(arrays[name]) if name in arrays else old[name].values)
        for name in old.data_vars
    }
    groups["posterior"] = xr.Dataset(made, old.coords)
    return replace(result, idata=arviz_compat.make_idata(groups, {}))


def row(criteria: information_criteria.Criteria, name: str, scale: str) -> dict[str, Any]:
    table = criteria.table
    return table[(table["criterion"] == name) & (table["scale"] == scale)].iloc[0].to_dict()


def by_hand(result: Result, at: xr.Dataset) -> float:
    """Return the log-likelihood of all rows at one draw, row by row."""
    total = 0.0
    for _, student in frame().iterrows():
        own = at.sel(g=student["g"])
        mean = at["gamma"].values @ [1, student["x"]] + own["u"].values[0]
        log_variance = at["delta"].values @ [1, student["x"]] + own["v"].values[0]
        total += stats.norm.logpdf(student["y"], mean, np.exp(log_variance / 2))
    return total


# --- DIC ----------------------------------------------------------------------------------------
def test_dic_is_its_definition() -> None:
    result = bridge.fit(SPEC, frame(), "fake", chains=2, draws=10, seed=5)
    p = result.idata["posterior"]
    each = [-2 * by_hand(result, p.isel(chain=c, draw=d)) for c in (0, 1) for d in range(10)]
    at_means = -2 * by_hand(result, p.mean(("chain", "draw")))
    found = row(bridge.criteria(result, "dic"), "dic", "deviance")
    assert found["effective_parameters"] == pytest.approx(np.mean(each) - at_means, rel=1e-9)
    assert found["estimate"] == pytest.approx(2 * np.mean(each) - at_means, rel=1e-12)
    assert (found["likelihood"], found["unit"]) == (GIVEN, "row")
    assert pd.isna(found["se"])


def test_a_model_without_effects_has_a_dic() -> None:
    result = bridge.fit(ModelSpec("y ~ 1 + x"), frame(), "fake", chains=2, draws=200, seed=1)
    found = bridge.criteria(result)
    assert list(found.table["criterion"].unique()) == ["dic", "waic", "loo"]
    assert "the model has no groups" in found.text()
    p, data = result.idata["posterior"], frame()
    mean = p["gamma"].values @ np.stack([np.ones(50), data["x"]])
    each = stats.norm.logpdf(data["y"], mean, np.exp(p["delta"].values / 2)).sum(axis=2)
    centre = [p[name].values.mean(axis=(0, 1)) for name in ("gamma", "delta")]
    at_means = stats.norm.logpdf(
        data["y"], centre[0] @ [np.ones(50), data["x"]], np.exp(centre[1] / 2)
    ).sum()
    expected = -4 * each.mean() + 2 * at_means
    assert row(found, "dic", "deviance")["estimate"] == pytest.approx(expected, rel=1e-10)


def test_a_negative_number_of_parameters_is_said() -> None:
    p = fitted().idata["posterior"]
    # every other draw has a mean far off and the variance to go with it; their average has not
    far = (np.arange(300) % 2)[None, :, None] * np.array([1.0, 0.0])
    far_off = with_posterior(fitted(), gamma=p["gamma"] + 20 * far, delta=p["delta"] + 4 * far)
    found = bridge.criteria(far_off, "dic")
    assert row(found, "dic", "deviance")["effective_parameters"] < -50
    assert "effective parameters is negative" in found.text()
    assert bridge.criteria(fitted(), "dic").notes == ()


# --- WAIC, LOO ----------------------------------------------------------------------------------
@pytest.mark.skipif(not arviz_compat.has_inference_data(), reason="this ArviZ has no waic")
def test_waic_and_loo_are_arviz_s_own() -> None:
    import arviz

    result = fitted(include="log_likelihood")
    found = bridge.criteria(result, ("waic", "loo"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {
            "waic": arviz.waic(result.idata, pointwise=True, scale="log"),
            "loo": arviz.loo(result.idata, pointwise=True, scale="log"),
        }
    for name, other in theirs.items():
        ours = row(found, name, "elpd")
        points = found.pointwise[found.pointwise["criterion"] == name]
        assert ours["estimate"] == pytest.approx(other[f"elpd_{name}"], rel=1e-10)
        assert ours["se"] == pytest.approx(other["se"], rel=1e-10)
        assert ours["effective_parameters"] == pytest.approx(other[f"p_{name}"], rel=1e-8)
        np.testing.assert_allclose(points["elpd"], other[f"{name}_i"], rtol=1e-9)
    k = found.pointwise.query("criterion == 'loo'")["k_hat"].to_numpy(float)
    np.testing.assert_allclose(k, theirs["loo"]["pareto_k"], rtol=1e-9)
    assert row(found, "loo", "elpd")["worst_k_hat"] == k.max()
    assert row(found, "loo", "elpd")["k_hat_above_0.7"] == (k > 0.7).sum()


def test_version_1_of_arviz_gives_its_own_loo(monkeypatch: pytest.MonkeyPatch) -> None:
    from arviz_stats.base import array_stats

    loglik = np.random.default_rng(2).normal(size=(6, 1000)) - 2
    with_old = elpd.leave_out(loglik, 0.8)
    monkeypatch.setattr(arviz_compat, "has_inference_data", lambda: False)
    found = elpd.leave_out(loglik, 0.8)
    expected = [array_stats.loo(each[None], r_eff=0.8) for each in loglik]
    np.testing.assert_allclose(found.elpd, [e[0] for e in expected], rtol=1e-12)
    np.testing.assert_allclose(found.k_hat, [e[1] for e in expected], rtol=1e-12)
    np.testing.assert_allclose(found.effective, [e[2] for e in expected], rtol=1e-8)
    # the two versions differ by one draw in the tail
    np.testing.assert_allclose(found.elpd, with_old.elpd, atol=0.02)
    np.testing.assert_allclose(found.k_hat, with_old.k_hat, atol=0.1)


@pytest.mark.parametrize("version_one", [False, True])
def test_efficiency_and_odd_draws(version_one: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if version_one:
        monkeypatch.setattr(arviz_compat, "has_inference_data", lambda: False)
    rng = np.random.default_rng(3)
    slow = np.cumsum(rng.normal(size=(4, 500)), axis=1)
    draws = xr.Dataset(
        {"a": (("chain", "draw", "i"), np.stack([slow, rng.normal(size=(4, 500))], axis=-1))}
    )
    assert 0.3 < arviz_compat.relative_efficiency(draws) < 0.7
    assert arviz_compat.relative_efficiency(draws.isel(chain=[0])) == 1.0
    assert arviz_compat.relative_efficiency(draws * 0) == 1.0
    weights, k = arviz_compat.psis(np.stack([np.full(12, -3.0), rng.normal(size=12)]), 1.0)
    np.testing.assert_allclose(np.exp(weights).sum(axis=1), 1.0)
    assert np.isnan(k[0]) and k[1] == np.inf


def test_chunks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bridge.criteria(fitted(), ("dic", "waic", "loo"))
    monkeypatch.setattr(row_criteria, "CELLS", 600 * 7)
    parts = bridge.criteria(fitted(), ("dic", "waic", "loo"))
    pd.testing.assert_frame_equal(parts.table, whole.table, rtol=1e-7)
    assert list(parts.pointwise["label"]) == list(whole.pointwise["label"])
    assert list(whole.pointwise["label"][:50]) == list(frame().index)


# --- Monte Carlo error --------------------------------------------------------------------------
def drawn(design: Design, phi: float, rng: np.random.Generator) -> xr.Dataset:
    """Return autocorrelated draws of one and the same normal posterior."""
    shape = {"gamma": (2,), "delta": (2,), "u": (10, 1), "v": (10, 1)}
    dims = {"gamma": ["mean_term"], "delta": ["variance_term"], "u": ["g", "e"], "v": ["g", "f"]}
    made = {}
    for name, size in shape.items():
        noise = rng.normal(size=(2, 250, *size))
        for d in range(1, 250):
            noise[:, d] = phi * noise[:, d - 1] + np.sqrt(1 - phi**2) * noise[:, d]
        # a skewed deviance, so that the plug-in matters
        made[name] = (["chain", "draw", *dims[name]], {"gamma": 1.0}.get(name, 0.0) + 0.12 * noise)
    return xr.Dataset(made)


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_monte_carlo_errors_are_those_of_repeated_runs(phi: float) -> None:
    design, rng = make_design(SPEC, frame()), np.random.default_rng(12)
    values: dict[str, list[float]] = {"dic": [], "waic": [], "loo": []}
    errors: dict[str, list[float]] = {"dic": [], "waic": [], "loo": []}
    for _ in range(120):
        found = row_criteria.row_criteria(
            design, drawn(design, phi, rng), set(values), 1.0, lambda share: None
        )
        assert found.dic is not None and found.waic is not None and found.loo is not None
        for name, value, influence in (
            ("dic", found.dic.value, found.dic.influence),
            ("waic", found.waic.elpd.sum(), found.waic.influence),
            ("loo", found.loo.elpd.sum(), found.loo.influence),
        ):
            assert influence.mean() == pytest.approx(0, abs=1e-6)
            values[name].append(value)
            errors[name].append(information_criteria._mc_error(influence, (2, 250)))
    for name, each in values.items():
        assert np.median(errors[name]) == pytest.approx(np.std(each), rel=0.3), name


# --- leave-one-group-out --------------------------------------------------------------------------
def conjugate() -> tuple[Result, np.ndarray]:
    """Return draws of a flat-prior mean with all else known, and the exact log p(y_j | others)."""
    spec, data, tau, s2 = ModelSpec("y ~ 1 + (1 | g)"), frame(8, 4, 3), 0.7, 1.3
    result = bridge.fit(spec, data, "fake", chains=4, draws=1000, seed=2)
    design = make_design(spec, data)
    groups = [design.y[design.group == j] for j in range(8)]
    v = [tau * np.ones((len(y), len(y))) + s2 * np.eye(len(y)) for y in groups]
    information = np.array([np.linalg.inv(a).sum() for a in v])
    weighted = np.array([np.linalg.inv(a).sum(axis=0) @ y for a, y in zip(v, groups, strict=True)])
    exact = []
    for j, y in enumerate(groups):
        others = np.arange(8) != j
        mean, variance = weighted[others].sum(), 1 / information[others].sum()
        law = stats.multivariate_normal(np.full(len(y), mean * variance), v[j] + variance)
        exact.append(law.logpdf(y))
    rng = np.random.default_rng(6)
    sd = np.sqrt(1 / information.sum())
    gamma = weighted.sum() / information.sum() + sd * rng.normal(size=(4, 1000, 1))
    known = np.ones((4, 1000, 1))
    return with_posterior(result, gamma=gamma, delta=np.log(s2) * known, tau=tau * known), np.array(
        exact
    )


def test_leave_one_group_out_is_the_exact_one() -> None:
    result, exact = conjugate()
    found = bridge.criteria(result, "logo")
    line = row(found, "logo", "elpd")
    assert (line["likelihood"], line["unit"]) == (MARGINAL, "group")
    np.testing.assert_allclose(found.pointwise["elpd"], exact, atol=0.02)
    assert abs(line["estimate"] - exact.sum()) < 4 * line["mc_error"] < 0.2
    assert line["k_hat_above_0.7"] == 0
    design = make_design(result.spec, frame(8, 4, 3))
    assert list(found.pointwise["label"]) == list(design.group_labels)
    twice = row(found, "logo", "deviance")
    assert twice["estimate"] == -2 * line["estimate"]
    assert (twice["se"], twice["mc_error"]) == (2 * line["se"], 2 * line["mc_error"])


def test_what_idata_holds_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, plain = fitted(include="marginal_log_likelihood"), fitted()
    ours = bridge.criteria(plain, "logo")

    def never(*_: Any) -> None:
        raise AssertionError("it was computed again")

    monkeypatch.setattr(information_criteria, "marginal_by_draw", never)
    theirs = bridge.criteria(kept, "logo")
    pd.testing.assert_frame_equal(ours.table, theirs.table)


def test_draws_without_a_covariance_matrix_leave_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(design: Design, posterior: xr.Dataset, report: Any) -> np.ndarray:
        found = np.zeros((2, 300, 10))
        found[0, 3] = -np.inf
        return found

    monkeypatch.setattr(information_criteria, "marginal_by_draw", lost)
    found = bridge.criteria(fitted())
    assert "logo is left out: 1 of 600 draws" in found.text()
    assert "logo" not in set(found.table["criterion"])


def test_student_t_effects_have_the_criteria_given_the_effects() -> None:
    spec = SPEC.replace(random_effects="student_t")
    result = bridge.fit(spec, frame(), "fake", chains=2, draws=50, seed=1)
    found = bridge.criteria(result)
    assert set(found.table["likelihood"]) == {GIVEN}
    assert "logo is left out. The marginal log-likelihood" in found.text()
    assert "Student-t" in found.text()
    with pytest.raises(NotAvailable, match="Student-t"):
        bridge.criteria(result, "logo")


# --- words ----------------------------------------------------------------------------------------
def test_a_bad_k_hat_is_said_with_what_to_do() -> None:
    data = frame()
    data.loc[7, "y"] = 60.0
    result = bridge.fit(SPEC, data, "fake", chains=4, draws=600, seed=5)
    found = bridge.criteria(result, ("waic", "loo"))
    line = row(found, "loo", "elpd")
    assert line["k_hat_above_0.7"] >= 1
    assert line["worst_k_hat"] > 0.7
    assert pd.isna(line["mc_error"])
    assert not pd.isna(row(found, "waic", "elpd")["mc_error"])
    said = " ".join(found.notes)
    assert "row 7)" in said
    assert "draw more, or use logo" in said
    assert "WAIC is not to be relied on" in said


def test_few_draws_lower_the_limit_of_k_hat() -> None:
    def said(k: float, draws: int) -> list[str]:
        return information_criteria._k_notes("logo", "group", np.array([0.1, k]), "ab", draws)

    assert said(0.65, 4000) == []
    assert "between 0.50 and 0.7 in 1 of 2 groups, for which 100 draws" in said(0.65, 100)[0]
    assert "worst 0.80, group b" in said(0.8, 4000)[0]


def test_the_text_says_likelihood_scale_and_every_number() -> None:
    found = bridge.criteria(fitted())
    text = str(found)
    assert text == repr(found) == found.text()
    for name in ("dic", "waic", "loo"):
        assert f"{name} (given the effects, by row)" in text
    assert "logo (marginal over the effects, by group)" in text
    assert text.count("elpd  ") == 3 and text.count("deviance  ") == 4
    assert f"{row(found, 'dic', 'deviance')['estimate']:.3f}" in text


# --- differences ----------------------------------------------------------------------------------
def test_a_difference_is_first_less_second_unit_by_unit() -> None:
    first = bridge.criteria(fitted())
    spec = ModelSpec("y ~ 1 + (1 | g)")
    second = bridge.criteria(bridge.fit(spec, frame(), "fake", chains=2, draws=300, seed=8))
    found = bridge.criteria_difference(first, second)
    back = bridge.criteria_difference(second, first)
    assert list(found["criterion"]) == ["dic", *("waic", "waic", "loo", "loo", "logo", "logo")]
    for (_, line), (_, other) in zip(found.iterrows(), back.iterrows(), strict=True):
        a, b = (row(c, line["criterion"], line["scale"]) for c in (first, second))
        assert line["difference"] == a["estimate"] - b["estimate"] == -other["difference"]
        if line["criterion"] == "dic":
            assert line["mc_error"] == pytest.approx(np.hypot(a["mc_error"], b["mc_error"]))
            assert pd.isna(line["se"])
            assert (line["favours"], other["favours"]) == ("first", "second")
    points = [c.pointwise.query("criterion == 'waic'")["elpd"].to_numpy() for c in (first, second)]
    gaps = points[0] - points[1]
    line = found.query("criterion == 'waic' and scale == 'elpd'").iloc[0]
    assert line["se"] == pytest.approx(np.sqrt(len(gaps)) * gaps.std())


def test_a_difference_within_its_errors_favours_neither() -> None:
    again = bridge.criteria(fitted(seed=6), "dic")
    found = bridge.criteria_difference(bridge.criteria(fitted(), "dic"), again)
    assert list(found["favours"]) == ["cannot tell"]


def test_differences_that_make_no_sense_are_refused() -> None:
    ours = bridge.criteria(fitted(), "dic")
    other = bridge.fit(SPEC, frame(seed=9), "fake", chains=2, draws=20, seed=1)
    with pytest.raises(RequestError, match="different rows"):
        bridge.criteria_difference(ours, bridge.criteria(other, "dic"))
    with pytest.raises(RequestError, match="no criterion in common"):
        bridge.criteria_difference(ours, bridge.criteria(fitted(), "waic"))
    with pytest.raises(RequestError, match="criteria makes, not Result"):
        bridge.criteria_difference(ours, fitted())  # type: ignore[arg-type]
    renamed = frame().assign(h=lambda d: d["g"].str.replace("school", "class"))
    spec = ModelSpec("y ~ 1 + (1 | h)")
    theirs = bridge.fit(spec, renamed, "fake", chains=2, draws=20, seed=1)
    pair = [bridge.criteria(r, "logo") for r in (fitted(), theirs)]
    with pytest.raises(RequestError, match="by other groups"):
        bridge.criteria_difference(*pair)


# --- requests -------------------------------------------------------------------------------------
QUICK = ModelSpec("y ~ 1 + x + (1 | g)")
REFUSED: dict[str, tuple[type[BridgeError], Callable[[], object]]] = {
    "ML": (NotAvailable, lambda: bridge.criteria(bridge.fit(SPEC, frame(), "agq"))),
    "two-step": (NotAvailable, lambda: bridge.criteria(bridge.fit(QUICK, frame(), "twostep"))),
    "misspelt": (OptionError, lambda: bridge.criteria(fitted(), ("dic", "wiac"))),
    "none": (OptionError, lambda: bridge.criteria(fitted(), ())),
    "not a result": (RequestError, lambda: bridge.criteria(3)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
def test_requests_that_cannot_be_met(case: str, golden: Callable[[str, str], None]) -> None:
    kind, act = REFUSED[case]
    with pytest.raises(BridgeError) as caught:
        act()
    assert type(caught.value) is kind
    golden(f"messages/criteria_{case.replace(' ', '_')}.txt", str(caught.value))


def test_progress_is_told() -> None:
    said: list[tuple[float | None, str]] = []
    bridge.criteria(fitted(), progress=lambda share, text: said.append((share, text)))
    assert {text for _, text in said} == {"rows", "groups"}
    assert said[-1] == (1.0, "groups")


def test_a_saved_result_has_the_same_criteria(tmp_path: Any) -> None:
    again = bridge.load(fitted().save(tmp_path / "r.nc"))
    pd.testing.assert_frame_equal(bridge.criteria(again).table, bridge.criteria(fitted()).table)
