"""The likelihood ratio test: statistic, distribution, p, and what is refused.

The texts of refusals are golden files: tests/golden/messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bridge
from bridge import bootstrap, errors, ratio_test
from bridge.design import make_design
from bridge.design_of import design_of
from bridge.drawing import draw
from bridge.errors import BridgeError
from bridge.fitted_parameters import free_at, singular
from bridge.marginal import maximum
from bridge.marginal.problem import make_problem, replace_nodes
from bridge.result import Result
from bridge.spec import ModelSpec

#: chi-squared, written out: df -> upper tail.
TAIL: dict[int, Callable[[float], float]] = {
    1: lambda s: 2 * float(stats.norm.sf(np.sqrt(s))),
    2: lambda s: float(np.exp(-s / 2)),
    3: lambda s: 2 * float(stats.norm.sf(np.sqrt(s)) + np.sqrt(s) * stats.norm.pdf(np.sqrt(s))),
}


@cache
def frame(groups: int = 20, rows: int = 5, seed: int = 11) -> pd.DataFrame:
    """Return data of random intercepts, a log variance along x, and no more."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=len(g))
    y = 1 + 0.5 * x + rng.normal(size=groups)[g] + np.exp(0.2 * x) * rng.normal(size=len(g))
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "z": rng.normal(size=len(g)),
            "w": rng.normal(size=groups)[g],
            "g": g,
            "h": np.arange(len(g)) % groups,
        }
    )


@cache
def fitted(mean: str, variance: str = "~ 1", engine: str = "agq", **parts: Any) -> Result:
    """Return a fit to the frame."""
    options = {"draws": 20, "seed": 1} if engine == "fake" else {}
    return bridge.fit(ModelSpec(f"y ~ {mean}", variance, **parts), frame(), engine, **options)


@cache
def hsb(variance: str) -> Result:
    """Return a fit of HSB Model 1, or less of it."""
    spec = ModelSpec("mathach ~ 1 + sector + (1 | s | school)", variance)
    return bridge.fit(spec, bridge.datasets.load("hsb"), "agq")


# --- known distributions -----------------------------------------------------------------
def test_parameters_inside_their_range_are_chi_squared() -> None:
    small, large = fitted("1 + (1 | g)"), fitted("x + z + (1 | g)", "~ x")
    found = bridge.likelihood_ratio(small, large)
    assert found.statistic == 2 * (large.loglik - small.loglik)
    assert found.statistic > 10
    assert (found.df, found.distribution) == (((3, 1.0),), "chi-squared(3)")
    assert found.p_value == pytest.approx(TAIL[3](found.statistic), rel=1e-9)
    assert (found.replicates, found.seed, found.failed) == (None, None, 0)
    (note,) = found.notes
    assert note.startswith("the larger fit warns: The variance function has predictors and no ")


def test_hsb_delta_alone() -> None:
    found = bridge.likelihood_ratio(hsb("~ 1"), hsb("~ 1 + sector"))
    assert found.distribution == "chi-squared(1)"
    assert found.p_value == pytest.approx(TAIL[1](found.statistic), rel=1e-9)
    # exact Gaussian likelihoods: no v in either
    small, large = (
        maximum.maximise(design_of(r), errors=False).loglik for r in (found.small, found.large)
    )
    assert found.statistic == pytest.approx(2 * (large - small), abs=1e-8)


def test_hsb_an_effect_with_one_covariance() -> None:
    found = bridge.likelihood_ratio(hsb("~ 1 + sector"), hsb("~ 1 + sector + (1 | s | school)"))
    assert found.df == ((1, 0.5), (2, 0.5))
    by_hand = 0.5 * TAIL[1](found.statistic) + 0.5 * TAIL[2](found.statistic)
    assert found.p_value == pytest.approx(by_hand, rel=1e-9)
    assert found.statistic == pytest.approx(2 * (-23507.1303 + 23511.4612), abs=2e-4)
    assert found.notes[0].startswith("with few groups the mixture can be conservative")


def test_hsb_an_effect_and_another_parameter() -> None:
    found = bridge.likelihood_ratio(hsb("~ 1"), hsb("~ 1 + sector + (1 | s | school)"))
    assert found.df == ((2, 0.5), (3, 0.5))
    by_hand = 0.5 * TAIL[2](found.statistic) + 0.5 * TAIL[3](found.statistic)
    assert found.p_value == pytest.approx(by_hand, rel=1e-9)


def test_the_printed_test_of_the_scale_variance() -> None:
    """Hedeker's Reisby example: "LR test of scale sigma=0: chibar2(01) = 22.29".

    The exact statistic is 22.298: print's own quadrature is some thousandths off, as its estimates
    are in their fourth digit (scale sigma .6983 for .6987).
    """
    data = bridge.datasets.load("reisby")
    small, large = (
        bridge.fit(
            ModelSpec(
                "hamdep ~ week * endog + (1 | id)",
                variance,
                level2={"tau[u:Intercept,u:Intercept]": "~ endog"},
            ),
            data,
            "agq",
        )
        for variance in ("~ week + endog", "~ week + endog + (1 | id)")
    )
    found = bridge.likelihood_ratio(small, large)
    assert found.statistic == pytest.approx(22.29, abs=0.01)
    assert large.loglik == pytest.approx(-1123.3509, abs=1e-4)
    assert found.df == ((0, 0.5), (1, 0.5))
    assert found.p_value == pytest.approx(0.5 * TAIL[1](found.statistic), rel=1e-9)
    said = [note.partition(":")[0] for note in found.notes[1:]]
    assert said == ["both fits warn", "the smaller fit warns"]  # dropped rows, spurious precision


@pytest.mark.parametrize(
    ("statistic", "mixture", "p"),
    [
        (0.0, ((0, 0.5), (1, 0.5)), 1.0),
        (1e-9, ((0, 0.5), (1, 0.5)), 1.0),
        (2.705543454, ((0, 0.5), (1, 0.5)), 0.05),
        (3.841458821, ((1, 1.0),), 0.05),
        (0.0, ((2, 1.0),), 1.0),
        (5.138, ((1, 0.5), (2, 0.5)), 0.05),  # Stram & Lee's 5% point
    ],
)
def test_mixtures(statistic: float, mixture: tuple, p: float) -> None:
    assert ratio_test.mixture_p(statistic, mixture) == pytest.approx(p, abs=2e-5)


def test_a_variance_at_zero_has_p_one() -> None:
    data = frame().assign(y=frame()["y"] - frame().groupby("g")["y"].transform("mean"))
    small, large = (
        bridge.fit(ModelSpec(f"y ~ {mean}"), data, "agq") for mean in ("1 + x", "1 + x + (1 | g)")
    )
    found = bridge.likelihood_ratio(small, large)
    assert found.df == ((0, 0.5), (1, 0.5))
    assert found.p_value == pytest.approx(1.0, abs=1e-3)
    assert found.statistic == pytest.approx(0.0, abs=1e-5)
    assert any(n.startswith("the larger fit warns: The level-2") for n in found.notes)


def test_restricted_likelihoods_of_one_mean_function() -> None:
    # stand-ins for an R engine's: the numbers are not what is tested
    small, large = fitted("x + (1 | g)"), fitted("x + (1 + x | g)")
    found = bridge.likelihood_ratio(replace(small, method="REML"), replace(large, method="REML"))
    assert found.df == ((1, 0.5), (2, 0.5))
    assert found.text().startswith("Restricted likelihood ratio test")


def test_fits_by_two_engines_are_said_to_be() -> None:
    small, large = fitted("1 + (1 | g)"), fitted("x + (1 | g)")
    found = bridge.likelihood_ratio(replace(small, engine="lme4"), large)
    assert any("two engines (lme4 and agq)" in note for note in found.notes)


def test_saved_fits_give_the_same_test(tmp_path: Path) -> None:
    pair = fitted("x + (1 | g)"), fitted("x + (1 | g)", "~ 1 + (1 | g)")
    kept = [bridge.load(r.save(tmp_path / f"{i}.nc")) for i, r in enumerate(pair)]
    assert bridge.likelihood_ratio(*kept).p_value == bridge.likelihood_ratio(*pair).p_value


def test_text() -> None:
    found = bridge.likelihood_ratio(fitted("x + (1 | g)"), fitted("x + (1 + x | g)", "~ x"))
    assert str(found) == repr(found) == found.text()
    lines = found.text().split("\n")
    assert lines[:3] == [
        "Likelihood ratio test",
        "smaller: y ~ x + (1 | g); log variance ~ 1",
        "larger: y ~ x + (1 + x | g); log variance ~ x",
    ]
    assert lines[4].split() == ["log-likelihood", "parameters"]
    assert lines[5].split() == ["smaller", f"{found.small.loglik:.4f}", "4"]
    assert lines[6].split() == ["larger", f"{found.large.loglik:.4f}", "7"]
    assert lines[9] == (
        "under the smaller model: half chi-squared(2) and half chi-squared(3): the variance of u:x "
        "is at the edge of its range under the smaller model"
    )


# --- the bootstrap -----------------------------------------------------------------------
def test_the_bootstrap_of_two_effects() -> None:
    pair = fitted("x", "~ x"), fitted("x + (1 | s | g)", "~ x + (1 | s | g)")
    told: list[float | None] = []
    found = bridge.likelihood_ratio(
        *pair, replications=6, seed=3, progress=lambda share, text: told.append(share)
    )
    assert found.distribution == "parametric bootstrap of 6 data sets, seed 3"
    assert "2 group effects are added at once (u:Intercept, v:Intercept)" in found.notes[0]
    assert not any("the mixture can be conservative" in note for note in found.notes)
    assert found.df == ()
    assert found.replicates is not None and len(found.replicates) + found.failed == 6
    assert (found.replicates >= 0).all() and len(set(found.replicates)) > 1
    exceed = int((found.replicates >= found.statistic).sum())
    assert found.p_value == (1 + exceed) / (1 + len(found.replicates))
    assert told[:2] == [0.0, pytest.approx(1 / 6)]
    again = bridge.likelihood_ratio(*pair, replications=6, seed=3)
    assert np.array_equal(again.replicates, found.replicates)
    other = bridge.likelihood_ratio(*pair, replications=6, seed=4)
    assert not np.array_equal(other.replicates, found.replicates)


def test_more_replications_begin_with_the_same_data_sets() -> None:
    pair = fitted("1 + (1 | g)"), fitted("x + (1 | g)")
    few, more = (
        bridge.likelihood_ratio(*pair, method="bootstrap", replications=n, seed=3).replicates
        for n in (3, 5)
    )
    assert np.array_equal(few, more[:3])


def test_a_seed_that_was_not_given_is_drawn_and_printed() -> None:
    pair = fitted("1 + x"), fitted("1 + x + z")
    found = bridge.likelihood_ratio(*pair, method="bootstrap", replications=3)
    assert f"seed {found.seed}" in found.text()
    again = bridge.likelihood_ratio(*pair, method="bootstrap", replications=3, seed=found.seed)
    assert np.array_equal(again.replicates, found.replicates)


def test_the_bootstrap_of_linear_models_is_that_of_regression() -> None:
    """Without effects LR* is n log(RSS0 / RSS1), of outcomes drawn here by hand."""
    pair = fitted("1 + x"), fitted("1 + x + z")
    found = bridge.likelihood_ratio(*pair, method="bootstrap", replications=4, seed=9)
    designs = [design_of(r) for r in pair]
    truth = dict(zip(pair[0].estimates["parameter"], pair[0].estimates["estimate"], strict=True))
    for child, value in zip(np.random.SeedSequence(9).spawn(4), found.replicates, strict=True):
        rng = np.random.default_rng(child)
        y = draw(designs[0], truth, rng, rng).y
        rss = [np.linalg.lstsq(d.mean.matrix, y, rcond=None)[1][0] for d in designs]
        assert value == pytest.approx(len(y) * np.log(rss[0] / rss[1]), abs=1e-6)


def test_p_counts_the_statistic_itself_and_ties() -> None:
    pair = fitted("x + (1 | g)"), fitted("x + (1 | g)", "~ x")
    made = bootstrap.Bootstrap(np.array([1.0, 2.0, 2.0 + 1e-7, 3.0]), 0, 5)
    assert ratio_test._of_bootstrap(pair, 2.0, made, ()).p_value == 4 / 5
    assert ratio_test._of_bootstrap(pair, 3.5, made, ()).p_value == 1 / 5


def test_failed_data_sets_are_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(100))
    real = maximum.maximise

    def sometimes(*args: Any, **more: Any) -> Any:
        if next(calls) == 2:  # the smaller model, second data set
            raise errors.EngineFailed("no maximum")
        return real(*args, **more)

    monkeypatch.setattr(bootstrap, "maximise", sometimes)
    pair = fitted("1 + x"), fitted("1 + x + z")
    found = bridge.likelihood_ratio(*pair, method="bootstrap", replications=4, seed=2)
    assert (found.failed, len(found.replicates)) == (1, 3)
    assert (
        "in 1 of 4 data sets a fit did not reach its maximum; p is of the other 3." in found.notes
    )
    assert found.p_value in {k / 4 for k in (1, 2, 3, 4)}


def test_a_bootstrap_that_fails_throughout(
    monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]
) -> None:
    def never(*args: Any, **more: Any) -> Any:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(bootstrap, "maximise", never)
    pair = fitted("1 + x"), fitted("1 + x + z")
    with pytest.raises(errors.EngineFailed) as caught:
        bridge.likelihood_ratio(*pair, method="bootstrap", replications=4, seed=2)
    golden("messages/ratio_no_bootstrap.txt", str(caught.value))


def test_an_interrupt_stops_the_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "maximise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bridge.likelihood_ratio(fitted("1 + x"), fitted("1 + x + z"), method="bootstrap", seed=2)


def test_fits_by_r_are_refitted_by_agq_and_it_is_said() -> None:
    pair = [replace(fitted(mean), engine="lme4") for mean in ("1 + (1 | g)", "x + (1 | g)")]
    found = bridge.likelihood_ratio(*pair, method="bootstrap", replications=2, seed=2)
    assert any("fitted by agq, not by lme4" in note for note in found.notes)


# --- a singular smaller model ------------------------------------------------------------
def test_a_singular_smaller_model_takes_the_bootstrap() -> None:
    data = frame().assign(y=frame()["y"] - frame().groupby("g")["y"].transform("mean"))
    small, large = (
        bridge.fit(ModelSpec(f"y ~ {mean}"), data, "agq") for mean in ("1 + (1 | g)", "x + (1 | g)")
    )
    found = bridge.likelihood_ratio(small, large, replications=3, seed=1)
    assert "the smaller model's own level-2 covariance matrix is singular" in found.notes[0]


def test_which_covariance_matrices_are_singular() -> None:
    result = fitted("x + (1 + x | g)")
    design = design_of(result)

    def at(**values: float) -> bool:
        changed = result.estimates.copy()
        labels = {"one": "u:Intercept,u:Intercept", "both": "u:Intercept,u:x", "two": "u:x,u:x"}
        for name, value in values.items():
            changed.loc[changed["parameter"] == f"tau[{labels[name]}]", "estimate"] = value
        return singular(replace(result, estimates=changed), design)

    assert not at(one=1.0, both=0.9, two=1.0)
    assert not at(one=1.0, both=0.999, two=1.0)
    assert at(one=1.0, both=1.0, two=1.0)
    assert at(one=1.0, both=0.0, two=0.0)
    assert at(one=1e-10, both=0.0, two=1.0)
    assert not at(one=1e-4, both=0.0, two=1.0)


SPECS = {
    "covariances": ("x + (1 + x | s | g)", "~ x + (1 | s | g)", {}),
    "functions": ("x + (1 | s | g)", "~ 1 + (1 | s | g)", {"level2": "~ w"}),
    "one function": (
        "x + (1 | s | g)", "~ 1 + (1 | s | g)", {"level2": {"tau[u:Intercept,u:Intercept]": "~ w"}}
    ),
    "association": ("x + (1 | g)", "~ 1 + (1 | g)", {"association": "quadratic"}),
}  # fmt: skip


@pytest.mark.parametrize("case", SPECS)
def test_the_likelihood_at_a_fits_own_parameters_is_its_own(case: str) -> None:
    mean, variance, parts = SPECS[case]
    spec = ModelSpec(f"y ~ {mean}", variance, **parts)
    result = bridge.fit(spec, frame(groups=30), "agq")
    nodes = int(result.ml["nodes"]) if result.ml["nodes"] > 1 else None
    problem = make_problem(make_design(spec, frame(groups=30)), nodes)
    free = free_at(problem, result)
    settled = replace_nodes(problem, free, problem.evaluate(free).placement)
    there = problem.evaluate(free, settled, fixed=True)
    assert there.loglik == pytest.approx(result.loglik, abs=1e-8)


# --- what is refused ---------------------------------------------------------------------
def other(mean: str, data: pd.DataFrame) -> Result:
    """Return a fit to other data."""
    return bridge.fit(ModelSpec(mean), data, "agq")


def reml(mean: str) -> Result:
    """Return a stand-in for a restricted fit."""
    return replace(fitted(mean), method="REML")


def with_loglik(result: Result, loglik: float) -> Result:
    """Return a fit with another log-likelihood."""
    return replace(result, ml={**result.ml, "loglik": loglik})


S = "~ 1 + (1 | s | g)"
BAD: dict[str, tuple[type[BridgeError], Callable[[], tuple], dict[str, Any]]] = {
    "not a result": (errors.RequestError, lambda: (fitted("1 + (1 | g)"), frame()), {}),
    "posterior": (
        errors.NotAvailable,
        lambda: (fitted("1 + (1 | g)", engine="fake"), fitted("x + (1 | g)")), {},
    ),
    "two step": (
        errors.NotAvailable,
        lambda: (fitted("1 + (1 | g)"), fitted("x + (1 | g)", engine="twostep")), {},
    ),
    "outcomes": (
        errors.RequestError,
        lambda: (fitted("1 + (1 | g)"), other("z ~ x + (1 | g)", frame())), {},
    ),
    "rows": (
        errors.RequestError,
        lambda: (
            fitted("1 + (1 | g)"),
            other("y ~ x + (1 | g)", frame().assign(x=frame()["x"].where(frame().index > 2))),
        ), {},
    ),
    "order of rows": (
        errors.RequestError,
        lambda: (fitted("1 + (1 | g)"), other("y ~ x + (1 | g)", frame().iloc[::-1])), {},
    ),
    "outcome of a row": (
        errors.RequestError,
        lambda: (
            fitted("1 + (1 | g)"),
            other("y ~ x + (1 | g)", frame().assign(y=frame()["y"].where(frame().index != 7, 0))),
        ), {},
    ),
    "column": (
        errors.RequestError,
        lambda: (
            fitted("x + (1 | g)"),
            other("y ~ x + z + (1 | g)", frame().assign(x=1 - frame()["x"])),
        ),
        {},
    ),
    "groups": (
        errors.RequestError, lambda: (fitted("1 + (1 | h)"), fitted("x + (1 | g)")), {}
    ),
    "ML and REML": (errors.RequestError, lambda: (fitted("1 + (1 | g)"), reml("x + (1 | g)")), {}),
    "REML of two means": (
        errors.RequestError, lambda: (reml("1 + (1 | g)"), reml("x + (1 | g)")), {}
    ),
    "REML of other columns": (
        errors.RequestError, lambda: (reml("x + (1 | g)"), reml("I(2 * x) + (1 + x | g)")), {}
    ),
    "REML bootstrap": (
        errors.RequestError, lambda: (reml("x + z + (1 | g)"), reml("x + z + (1 + x + z | g)")), {}
    ),
    "REML bootstrap asked for": (
        errors.RequestError, lambda: (reml("x + (1 | g)"), reml("x + (1 + x | g)")),
        {"method": "bootstrap"},
    ),
    "order": (errors.RequestError, lambda: (fitted("x + (1 | g)"), fitted("1 + (1 | g)")), {}),
    "same": (
        errors.RequestError, lambda: (fitted("x + (1 | g)"), fitted("center(x) + (1 | g)")), {}
    ),
    "mean": (errors.RequestError, lambda: (fitted("x + (1 | g)"), fitted("z + w + (1 | g)")), {}),
    "variance": (
        errors.RequestError, lambda: (fitted("1 + (1 | g)", "~ x"), fitted("x + z + (1 | g)")), {}
    ),
    "effect": (
        errors.RequestError,
        lambda: (fitted("x + (1 | g)"), fitted("x + z + (0 + x | g)")), {},
    ),
    "covariance": (
        errors.RequestError,
        lambda: (fitted("x + (1 | s | g)", S), fitted("x + z + (1 | g)", "~ 1 + (1 | g)")), {},
    ),
    "association": (
        errors.RequestError,
        lambda: (
            fitted("x + (1 | g)", association="linear"), fitted("x + z + (1 | g)", "~ x")
        ), {},
    ),
    "latent scale": (
        errors.RequestError,
        lambda: (
            fitted("1 + (1 | g)", association="linear"),
            fitted("x + (1 | g)", association="linear", latent_scale="raw"),
        ), {},
    ),
    "level2": (
        errors.RequestError,
        lambda: (fitted("1 + (1 | g)", level2="~ w"), fitted("x + z + (1 | g)")), {},
    ),
    "higher": (
        errors.RequestError,
        lambda: (
            with_loglik(fitted("1 + (1 | g)"), -150.0), with_loglik(fitted("x + (1 | g)"), -150.5)
        ), {},
    ),
    "method": (
        errors.OptionError, lambda: (fitted("1 + (1 | g)"), fitted("x + (1 | g)")),
        {"method": "bootstap"},
    ),
    "replications": (
        errors.OptionError, lambda: (fitted("1 + (1 | g)"), fitted("x + (1 | g)")),
        {"replications": 0},
    ),
    "seed": (
        errors.OptionError, lambda: (fitted("1 + (1 | g)"), fitted("x + (1 | g)")), {"seed": 1.5}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case: str, golden: Callable[[str, str], None]) -> None:
    kind, results, options = BAD[case]
    with pytest.raises(BridgeError) as caught:
        bridge.likelihood_ratio(*results(), **options)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert re.fullmatch(r"\S[^\n]+[.?]", text), "a sentence, to its full stop"
    assert len(text) < 400
    golden(f"messages/ratio_{case.replace(' ', '_')}.txt", text)


def test_rounding_below_zero_is_zero() -> None:
    small, large = fitted("1 + (1 | g)"), fitted("x + (1 | g)")
    found = bridge.likelihood_ratio(with_loglik(small, -150.0), with_loglik(large, -150.00005))
    assert (found.statistic, found.p_value) == (0.0, 1.0)


# --- the null distribution ---------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(
    ("small", "large", "df"),
    [
        (("x + (1 | g)", "~ x"), ("x + (1 | g)", "~ x + (1 | g)"), ((0, 0.5), (1, 0.5))),
        (("x + (1 | g)", "~ 1"), ("x + (1 + x | g)", "~ 1"), ((1, 0.5), (2, 0.5))),
        (("x + (1 | g)", "~ 1"), ("x + (1 | g)", "~ x + z"), ((2, 1.0),)),
    ],
    ids=["k=0", "k=1", "regular"],
)
def test_p_under_the_smaller_model(small: tuple, large: tuple, df: tuple) -> None:
    """Chi-squared gives uniform p; the mixtures do nearly, on the safe side.

    With 100 groups of 5 rows a variance is found zero somewhat more often than half the time, so
    that p of a mixture is somewhat too large; either of its parts alone is further off.
    """
    data = frame(groups=100)
    fits = [bridge.fit(ModelSpec(f"y ~ {m}", v), data, "agq") for m, v in (small, large)]
    designs = design_of(fits[0]), design_of(fits[1])
    made = bootstrap.bootstrap((fits[0], fits[1]), designs, 300, 17, False)
    assert made.failed == 0
    assert bridge.likelihood_ratio(*fits).df == df

    def p_of(mixture: tuple) -> np.ndarray:
        return np.array([ratio_test.mixture_p(value, mixture) for value in made.replicates])

    p = p_of(df)
    for level in (0.05, 0.1, 0.25):
        assert (p < level).mean() < level + 3 * np.sqrt(level * (1 - level) / len(p))
    if len(df) == 1:
        assert stats.kstest(p, "uniform").pvalue > 0.01
    elif df[0][0] == 0:
        # half of the mass is at a variance of zero, where p is one but for rounding
        assert 0.40 < (p > 0.5).mean() < 0.65
        assert stats.kstest(2 * p[p <= 0.5], "uniform").pvalue > 0.01
    else:
        far, *parts = (
            stats.kstest(p_of(m), "uniform").statistic for m in (df, *(((d, 1.0),) for d, _ in df))
        )
        assert far < 0.12
        assert far < min(parts)
