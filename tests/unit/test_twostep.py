"""The twostep engine: refusals, options, warnings, results without a likelihood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import two_step
from bridge.comparison import make_comparison
from bridge.design import make_design
from bridge.errors import EngineRefusal, NotAvailable, OptionError
from bridge.result import Result
from bridge.spec import ModelSpec

SPEC = ModelSpec("y ~ 1 + x + (1 + x | s | g)", "~ 1 + w + (1 | s | g)")


def data(groups: int = 40, size: int = 12, seed: int = 1, sd_v: float = 0.5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x, w = rng.normal(size=len(g)), rng.normal(size=groups)[g]
    u, v = rng.normal(size=(2, groups))[:, g] * np.array([[0.8], [sd_v]])
    slope = 0.5 * rng.normal(size=groups)[g]
    y = 1 + (0.5 + slope) * x + u + np.exp(0.5 * (0.3 * w + v)) * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g})


def fitted(spec: ModelSpec = SPEC, frame: pd.DataFrame | None = None, **options: str) -> Result:
    return bridge.fit(spec, data() if frame is None else frame, "twostep", **options)


def test_the_result_holds_the_estimates() -> None:
    result = fitted()
    found = two_step.estimate(make_design(SPEC, data()))
    assert result.method == "two-step" and result.engine == "twostep"
    assert result.estimate("gamma[x]") == found.mean.gamma[1]
    assert result.estimate("delta[w]") == found.variance.delta[1]
    np.testing.assert_array_equal(result.covariance(), found.covariance)
    effects = result.group_effects["estimate"].to_numpy(dtype=float).reshape(40, 3)
    np.testing.assert_array_equal(effects, found.effects)
    row = result.estimates.set_index("parameter").loc["tau[u:x,v:Intercept]"]
    assert row["se"] == found.cross_se[1]
    assert row["upper"] - row["estimate"] == pytest.approx(1.959964 * row["se"])


def test_standard_error_of_a_correlation_by_differences() -> None:
    result = fitted()
    names = ["tau[u:Intercept,u:Intercept]", "tau[u:Intercept,u:x]", "tau[u:x,u:x]"]
    at = np.array([result.estimate(n) for n in names])
    covariance = result.parameter_covariance.loc[names, names].to_numpy()

    def rho(t: np.ndarray) -> float:
        return float(t[1] / np.sqrt(t[0] * t[2]))

    slope = [(rho(at + 1e-6 * e) - rho(at - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
    row = result.estimates.set_index("parameter").loc["rho[u:Intercept,u:x]"]
    assert row["estimate"] == pytest.approx(rho(at))
    assert row["se"] == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=1e-6)


def test_it_has_no_likelihood_and_says_what_it_is() -> None:
    result = fitted(method="REML", weights="equal")
    for name in ("loglik", "deviance", "aic", "bic"):
        with pytest.raises(NotAvailable, match="A two-step fit by twostep has no"):
            getattr(result, name)
    text = result.summary()
    assert "two-step estimates (Raudenbush & Bryk 1987)" in text
    assert "likelihood" not in text
    draws = result.asymptotic_draws(20, seed=2)
    assert draws.attrs["kind"] == "asymptotic normal draws around two-step estimates of twostep"


def test_options_are_checked_and_used() -> None:
    with pytest.raises(OptionError, match="known, equal"):
        fitted(weights="equals")
    estimates = {
        (m, w, c): fitted(method=m, weights=w, correction=c).estimate("delta[w]")
        for m in ("ML", "REML") for w in ("known", "equal") for c in ("exact", "approximate")
    }  # fmt: skip
    frame = data().drop(index=range(5))  # unequal groups: every option matters
    assert len({fitted(frame=frame, correction=c).estimate("delta[w]")
                for c in ("exact", "approximate")}) == 2  # fmt: skip
    assert fitted(method="REML").estimate("tau[u:x,u:x]") > fitted().estimate("tau[u:x,u:x]")
    assert all(np.isfinite(v) for v in estimates.values())


@pytest.mark.parametrize(
    ("mean", "variance", "said"),
    [
        (
            "y ~ 1 + (1 | g)",
            "~ 1 + x + w",
            "predictors of the variance that vary within groups (x)",
        ),
        ("y ~ 1 + (1 | g)", "~ 1 + (1 + x | g)", "differ between groups (v:x)"),
        ("y ~ 1 + x", "~ 1", "a model without groups"),
    ],
)
def test_refusals(mean: str, variance: str, said: str) -> None:
    with pytest.raises(EngineRefusal) as caught:
        fitted(ModelSpec(mean, variance))
    text = str(caught.value)
    assert text.startswith("twostep cannot ") and said in text
    assert "Engines that can: " in text and "twostep" not in text.removeprefix("twostep")


def test_priors_are_refused() -> None:
    with pytest.raises(EngineRefusal, match="twostep cannot use priors"):
        fitted(SPEC.replace(priors={"gamma": "normal(0, 1)"}))


def test_groups_left_out_are_counted_and_named() -> None:
    frame = data()
    frame = frame[(frame["g"] > 4) | (frame.groupby("g").cumcount() < 2)]
    result = fitted(frame=frame)
    (said,) = [w for w in result.warnings if "left out" in w]
    assert said.startswith("5 group(s)") and said.endswith("(0, 1, 2 and 2 more).")
    assert result.n_groups == 40 and len(result.group_effects) == 120


def test_a_variance_of_zero_is_said() -> None:
    frame = data(groups=30, size=10, sd_v=0.0, seed=4)
    result = fitted(frame=frame)
    table = result.estimates.set_index("parameter")
    assert result.estimate("tau[v:Intercept,v:Intercept]") == 0
    assert table.loc["rho[u:x,v:Intercept]", "estimate"] is pd.NA
    assert table.loc["rho[u:x,v:Intercept]", "note"].startswith("no correlation")
    assert any("v:Intercept is estimated as zero" in w for w in result.warnings)


def test_a_singular_fit_is_said() -> None:
    spec = ModelSpec("y ~ 1 + x + (1 | g) + (0 + f | g)", "~ 1 + w")
    frame = data().assign(f=np.tile([-1.0, 1.0], 240))  # what has no effect, by group neither
    frame["y"] -= frame["f"] * (frame["f"] * frame["y"]).groupby(frame["g"]).transform("mean")
    result = fitted(spec, frame)
    assert any(w.startswith("The fit is singular") for w in result.warnings)
    table = result.estimates.set_index("parameter")
    assert table.loc["tau[u:f,u:f]", "se"] is pd.NA
    assert result.estimate("tau[u:f,u:f]") == pytest.approx(0, abs=1e-8)
    assert list(result.parameter_covariance.index) == [
        "gamma[Intercept]", "gamma[x]", "delta[Intercept]", "delta[w]",
    ]  # fmt: skip


def test_it_is_measured_against_others_without_a_verdict(tmp_path: Path) -> None:
    one = fitted()
    other = bridge.fit(SPEC, data(), "fake", chains=2, draws=50, seed=1)
    for pair in ([one, other], [other, one]):
        found = make_comparison(pair)
        assert set(found.verdicts["verdict"]) == {"not comparable"}
        assert found.agree is True and found.logliks.empty
        assert any("Two-step estimates" in note for note in found.notes)
        row = found.verdicts.set_index("parameter").loc["delta[w]"]
        gap = abs(one.estimate("delta[w]") - other.estimate("delta[w]"))
        se = other.estimates.set_index("parameter").loc["delta[w]", "se"]
        assert row["distance"] == pytest.approx(gap / se)
    again = bridge.load(one.save(tmp_path / "r.nc"))
    same = make_comparison([one, again])
    assert set(same.verdicts["verdict"]) <= {"agree", "cannot tell"}
    assert same.logliks.empty
