"""The forest of engines and print, and priors beside posteriors: numbers drawn, and looks."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from scipy import integrate, stats

import bridge
from bridge import arviz_compat, errors, plots
from bridge.design import make_design
from bridge.design_of import design_of
from bridge.plots.prior_curves import prior_curve

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import SPEC, data, fitted, picture, plain_settings  # noqa: F401 - fixtures

TAU = "tau[u:Intercept,u:Intercept]"
HSB = "mathach ~ 1 + sector + (1 | s | school)"


@cache
def schools(engine: str = "agq"):
    options = {"agq": {}, "fake": {"seed": 1, "chains": 1, "draws": 100}}[engine]
    spec = bridge.ModelSpec(HSB, "~ 1 + sector + (1 | s | school)")
    return bridge.fit(spec, bridge.datasets.load("hsb"), engine, **options)


def drawn(panels) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Parameter and label -> estimate, lower, upper, as they stand in the panels."""
    found = {}
    for ax in panels:
        names = [label.get_text() for label in ax.get_yticklabels()]
        intervals = [c.get_segments() for c in ax.collections if isinstance(c, LineCollection)]
        points = [line for line in ax.lines if line.get_ls() == "None"]
        ends = {y: (low, high) for part in intervals for (low, y), (high, _) in part}
        for line in points:
            for x, y in line.get_xydata():
                found[names[round(y)], line.get_label()] = (x, *ends.get(y, (np.nan, np.nan)))
    return found


# --- forest -----------------------------------------------------------------------------------
def test_a_forest_draws_estimates_and_intervals() -> None:
    results = {"agq": fitted(), "fake": fitted("fake")}
    found = drawn(plots.forest(list(results.values())))
    assert len(found) == 2 * len(fitted().estimates)
    for label, result in results.items():
        for _, row in result.estimates.iterrows():
            expected = row[["estimate", "lower", "upper"]].to_numpy(float)
            np.testing.assert_allclose(found[row["parameter"], label], expected)


@pytest.mark.parametrize("of_comparison", [False, True])
def test_published_numbers_stand_beside_them(of_comparison) -> None:
    name = "leckie2014/model1"
    if of_comparison:
        panels = plots.forest(bridge.compare(schools(), published=name))
    else:
        panels = plots.forest(schools(), published=name)
    found, z = drawn(panels), stats.norm.ppf(0.975)
    expected = (2.829, 2.829 - z * 0.442, 2.829 + z * 0.442)
    np.testing.assert_allclose(found["gamma[sector]", "published"], expected)
    assert ("tau[u:Intercept,v:Intercept]", "published") not in found
    row = schools().estimates.set_index("parameter").loc[TAU]
    if of_comparison:  # which has no intervals, but standard errors
        ends = row["estimate"] - z * row["se"], row["estimate"] + z * row["se"]
    else:
        ends = row["lower"], row["upper"]
    np.testing.assert_allclose(found[TAU, "agq"], (row["estimate"], *ends))
    legend = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert legend == ["agq", "published"]


def test_a_panel_holds_one_scale_and_intervals_that_can_be_seen() -> None:
    panels = plots.forest([schools(), schools("fake")], published="leckie2014/model1")
    names = [[label.get_text() for label in ax.get_yticklabels()] for ax in panels]
    assert names[0] == ["gamma[Intercept]", "gamma[sector]"]
    assert ["delta[Intercept]"] in names and ["delta[sector]"] in names
    scales = dict(schools().estimates[["parameter", "scale"]].to_numpy())
    for ax, own in zip(panels, names, strict=True):
        assert {scales[name] for name in own} == {ax.get_xlabel()}
    assert sorted(name for own in names for name in own) == sorted(scales)


def test_a_forest_of_chosen_parameters_on_given_axes() -> None:
    _, (first, second) = plt.subplots(1, 2)
    panels = plots.forest(fitted(), parameters=["gamma[x]"], ax=second)
    assert panels == [second] and not first.lines
    with pytest.raises(errors.OptionError, match=r"has \d panel\(s\), and ax holds 2"):
        plots.forest(fitted(), ax=[first, second])
    with pytest.raises(errors.OptionError, match=r"no parameter 'gamma\[z\]'"):
        plots.forest(fitted(), parameters=["gamma[z]"])
    with pytest.raises(errors.OptionError, match="parameters is empty"):
        plots.forest(fitted(), parameters=[])
    with pytest.raises(errors.RequestError, match="takes results, not int"):
        plots.forest([1, 2])
    with pytest.raises(errors.OptionError, match="has its published table already"):
        plots.forest(bridge.compare(fitted(), fitted("fake")), published="leckie2014/model1")


def test_a_forest_looks_as_it_did(picture) -> None:  # noqa: F811
    picture("forest", plots.forest([fitted(), fitted("fake")]))


# --- priors -----------------------------------------------------------------------------------
PRIORS = {"gamma": "normal(20, 2)", "sd_v": "exponential(2)", "rho": "lkj(3)"}


def design(priors: dict[str, str], **changes):
    return make_design(SPEC.replace(priors=bridge.Priors(priors), **changes), data())


@pytest.mark.parametrize(
    ("parameter", "low", "high", "words"),
    [
        ("gamma[x]", -np.inf, np.inf, "normal(20, 2)"),
        (TAU, 0, np.inf, "half_t(3, 0, "),
        ("tau[v:Intercept,v:Intercept]", 0, np.inf, "exponential(2) on the SD"),
        ("rho[u:Intercept,v:Intercept]", -1, 1, "lkj(3)"),
    ],
)
def test_a_prior_is_a_density(parameter, low, high, words) -> None:
    curve = prior_curve(design(PRIORS), parameter)
    assert curve.words.startswith(words)
    mass = integrate.quad(lambda x: float(curve.density(np.array(x))), low, high)[0]
    assert mass == pytest.approx(1.0, abs=2e-3)


def test_priors_of_student_t_and_of_whole_matrices_are_densities() -> None:
    curve = prior_curve(design({}, random_effects="student_t"), "nu")
    assert integrate.quad(curve.density, 1, np.inf)[0] == pytest.approx(1.0, abs=1e-4)
    text = "inverse_wishart(5, 2, 0.3, 0.4)"
    curve = prior_curve(design({"tau": text}), "tau[v:Intercept,v:Intercept]")
    scale = 5 * np.array([[2.0, 0.3], [0.3, 0.4]])
    draws = stats.invwishart(5, scale).rvs(40_000, random_state=np.random.default_rng(1))[:, 1, 1]
    for q in (0.25, 0.5, 0.9):
        at = np.quantile(draws, q)
        assert integrate.quad(curve.density, 0, at)[0] == pytest.approx(q, abs=0.01)
    flat = prior_curve(design({"tau": "flat"}), TAU)
    assert flat.density is None


def test_a_posterior_stands_beside_its_prior() -> None:
    result = fitted("fake")
    ax = plots.prior_posterior(result, TAU)
    posterior = arviz_compat.groups_of(result.idata)["posterior"]
    draws = posterior["tau"].sel(tau_pair="u:Intercept,u:Intercept").values.ravel()
    after, before = ax.lines
    expected = stats.gaussian_kde(draws)(after.get_xdata())
    np.testing.assert_allclose(after.get_ydata(), expected)
    curve = prior_curve(design_of(result), TAU)
    np.testing.assert_allclose(before.get_ydata(), curve.density(before.get_xdata()))
    area = sum(bar.get_width() * bar.get_height() for bar in ax.patches)
    assert area == pytest.approx(1.0)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[0] == "posterior: 400 draws" and legend[1].endswith("on the SD")
    assert ax.get_xlabel() == f"{TAU} (outcome²)"


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("gamma[x]", "normal approximation"),
        (TAU, "normal approximation on the log scale"),
        ("rho[u:Intercept,v:Intercept]", "normal approximation on the atanh scale"),
    ],
)
def test_without_draws_the_normal_approximation_has_the_interval_of_the_fit(parameter, said):
    ax = plots.prior_posterior(fitted(), parameter)
    x, y = ax.lines[0].get_xydata().T
    row = fitted().estimates.set_index("parameter").loc[parameter]
    inside = (x >= row["lower"]) & (x <= row["upper"])
    whole, part = np.trapezoid(y, x), np.trapezoid(y[inside], x[inside])
    assert whole == pytest.approx(1.0, abs=0.01) and part == pytest.approx(0.95, abs=0.02)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend[0] == said and legend[1].endswith("(not used)")


def test_what_has_no_prior_density() -> None:
    with pytest.raises(errors.NotAvailable, match=r"no prior density of 'tau\[u:Intercept,v"):
        plots.prior_posterior(fitted(), "tau[u:Intercept,v:Intercept]")
    with pytest.raises(errors.NotAvailable, match=r"Did you mean 'gamma\[x\]'"):
        plots.prior_posterior(fitted(), "gamma[y]")
    assert not plt.get_fignums()


def test_priors_look_as_they_did(picture) -> None:  # noqa: F811
    picture("prior_posterior", plots.prior_posterior(fitted("fake"), TAU))
