"""Traces, ranks, autocorrelations and pairs: what is drawn are the draws, with both ArviZ."""

from __future__ import annotations

import dataclasses
import sys
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from bridge import arviz_compat, errors, plots
from bridge.plots.parameters import sampled
from bridge.result import Result

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import data, fitted, picture, plain_settings  # noqa: F401 - fixtures

TAU = "tau[u:Intercept,v:Intercept]"
TWO = ["gamma[x]", TAU]
BOTH = [plots.trace, plots.rank, plots.autocorrelation, plots.pair]


@pytest.fixture(params=[False, True], ids=["ArviZ 0.x", "ArviZ 1.x"], autouse=True)
def version(request, monkeypatch) -> None:
    """Have every test see both faces of ArviZ."""
    if request.param:
        monkeypatch.setattr(arviz_compat, "has_inference_data", lambda: False)


def draws(name: str, result: Result | None = None) -> np.ndarray:
    posterior = arviz_compat.groups_of((result or fitted("fake")).idata)["posterior"]
    variable, _, label = name.removesuffix("]").partition("[")
    return posterior[variable].sel({posterior[variable].dims[2]: label}).values


@cache
def divergent() -> tuple[Result, np.ndarray]:
    """Return a fit of which three trajectories diverged, and which."""
    result, where = fitted("fake"), np.zeros((2, 200), dtype=bool)
    where[0, 7] = where[1, [3, 150]] = True
    groups = arviz_compat.groups_of(result.idata)
    changed = groups["sample_stats"].assign(diverging=(("chain", "draw"), where))
    idata = arviz_compat.make_idata({**groups, "sample_stats": changed}, {})
    return dataclasses.replace(result, idata=idata), where


def words(ax) -> str:
    return "\n".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))


def test_a_trace_draws_the_draws_and_their_densities() -> None:
    axes = plots.trace(fitted("fake"), TWO)
    assert len(axes) == 4
    for name, left, right in zip(TWO, axes[::2], axes[1::2], strict=True):
        lines = [line for line in right.lines if len(line.get_xdata())]
        np.testing.assert_array_equal([line.get_ydata() for line in lines], draws(name))
        for line, own in zip(left.lines, draws(name), strict=True):
            grid, density = arviz_compat.density(own)
            np.testing.assert_array_equal(line.get_xydata(), np.column_stack([grid, density]))
            assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.03)
    assert axes[2].get_xlabel() == f"{TAU} (outcome × log variance)"
    assert "y by fake, posterior; 2 chains of 200 draws; no divergences" in words(axes[0])
    legend = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert legend == ["chain 0", "chain 1"]


def test_all_parameters_are_drawn_and_no_group_effect() -> None:
    names = list(fitted("fake").estimates["parameter"])
    axes = plots.rank(fitted("fake"))
    assert [ax.get_title(loc="left").split()[0].split("\n")[0] for ax in axes] == names
    assert len(plots.trace(fitted("fake"))) == 2 * len(names)
    assert len(plots.pair(fitted("fake"))) == len(names) * (len(names) + 1) / 2


def test_a_group_effect_has_its_name_and_its_scale() -> None:
    names = ["u[3, u:Intercept]", "v[17, v:Intercept]"]
    found = sampled(fitted("fake"), names)
    posterior = arviz_compat.groups_of(fitted("fake").idata)["posterior"]
    np.testing.assert_array_equal(found[0].draws, posterior["u"].sel(g="3").values[..., 0])
    np.testing.assert_array_equal(found[1].draws, posterior["v"].sel(g="17").values[..., 0])
    assert [p.label for p in found] == [f"{names[0]} (outcome)", f"{names[1]} (log variance)"]


def test_divergences_are_where_they_were() -> None:
    result, where = divergent()
    left, right = plots.trace(result, "gamma[x]")
    ticks = [line for line in left.lines if line.get_marker() == "|"]
    np.testing.assert_array_equal(ticks[0].get_xdata(), draws("gamma[x]")[where])
    ticks = [line for line in right.lines if line.get_marker() == "|" and len(line.get_xdata())]
    assert sorted(ticks[0].get_xdata()) == [3, 7, 150]
    _, scatter, _ = plots.pair(result, TWO)
    dots, crosses = scatter.lines
    across, up = draws("gamma[x]"), draws(TAU)
    np.testing.assert_array_equal(crosses.get_xydata(), np.column_stack([across[where], up[where]]))
    np.testing.assert_array_equal(dots.get_ydata(), up[~where])
    assert "3 divergences; crosses: divergences" in words(scatter)


def test_ranks_are_counted_by_chain() -> None:
    (ax,) = plots.rank(fitted("fake"), TAU)
    ranks = stats.rankdata(draws(TAU)).reshape(2, 200)
    counts = np.array([np.histogram(own, 20, (0.5, 400.5))[0] for own in ranks])
    bars = np.array([bar.get_height() for bar in ax.patches]).reshape(2, 20)
    np.testing.assert_allclose(bars / bars.max(), counts / counts.max())
    lines = [line.get_ydata()[0] for line in ax.lines]
    equal = 10 * bars.max() / counts.max()  # 200 draws in 20 bins
    np.testing.assert_allclose(lines, [equal, 1 + equal])
    assert [bar.get_y() for bar in ax.patches] == [0] * 20 + [1] * 20


def test_autocorrelations_are_those_of_the_draws() -> None:
    (ax,) = plots.autocorrelation(fitted("fake"), TAU, lags=5)
    own = draws(TAU) - draws(TAU).mean(axis=1, keepdims=True)
    expected = [(own[:, : 200 - k] * own[:, k:]).sum(axis=1) / (own**2).sum(axis=1) for k in (0, 5)]
    drawn = np.array([line.get_ydata() for line in ax.lines[1:3]])
    np.testing.assert_allclose(drawn[:, [0, 5]], np.transpose(expected), atol=1e-12)
    ess = fitted("fake").estimates.set_index("parameter")["ess_bulk"][TAU]
    assert f"effective draws {ess:.0f}" in words(ax)


def test_draws_that_stand_still_are_said_to() -> None:
    groups = arviz_compat.groups_of(fitted("fake").idata)
    still = groups["posterior"].copy(deep=True)
    still["delta"][:] = 1.5
    idata = arviz_compat.make_idata({**groups, "posterior": still}, {})
    result = dataclasses.replace(fitted("fake"), idata=idata)
    for draw in BOTH[:3]:
        axes = draw(result, "delta[w]")
        assert "all draws are equal" in words(axes[0])
        axes[0].figure.canvas.draw()
    plots.pair(result, ["delta[w]", "gamma[x]"])[0].figure.canvas.draw()


def test_a_pair_has_its_correlation() -> None:
    first, scatter, second = plots.pair(fitted("fake"), TWO)
    r = np.corrcoef(draws("gamma[x]").ravel(), draws(TAU).ravel())[0, 1]
    assert f"r = {r:.2f}".replace("-", "−") in [text.get_text() for text in scatter.texts]
    assert sum(bar.get_height() for bar in first.patches) == 400
    assert second.get_xlabel().replace("\n", "").startswith(TAU)


@pytest.mark.parametrize("draw", BOTH)
def test_bad_requests(draw) -> None:
    with pytest.raises(errors.NotAvailable, match=r"agq gives estimates and no draws.*nuts"):
        draw(fitted())
    with pytest.raises(errors.OptionError, match=r"no parameter 'gamma\[z\]'.*'gamma\[x\]'"):
        draw(fitted("fake"), ["gamma[x]", "gamma[z]"])
    with pytest.raises(errors.OptionError, match="parameters is empty"):
        draw(fitted("fake"), [])
    _, axes = plt.subplots(1, 5)
    with pytest.raises(errors.OptionError, match=r"has \d panel\(s\), and ax holds 5"):
        draw(fitted("fake"), TWO, ax=axes)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(errors.OptionError, match="takes 2 to 20 parameters, not 1"):
        plots.pair(fitted("fake"), ["gamma[x]"])
    with pytest.raises(errors.RequestError, match="of one result, and not of str"):
        plots.trace("bayes.nc")
    with pytest.raises(errors.OptionError, match="lags is a whole number from 1 to 199, not 500"):
        plots.autocorrelation(fitted("fake"), lags=500)


def test_given_axes_are_drawn_on() -> None:
    figure, axes = plt.subplots(1, 2)
    before = mpl.rcParams.copy()
    assert plots.rank(fitted("fake"), TWO, ax=axes) == [*axes]
    assert plots.trace(fitted("fake"), "gamma[x]", ax=list(axes)) == [*axes]
    assert plots.autocorrelation(fitted("fake"), "gamma[x]", ax=axes[0]) == [axes[0]]
    assert plt.get_fignums() == [figure.number] and mpl.rcParams == before
    figure.canvas.draw()


@pytest.mark.parametrize("draw", BOTH)
def test_they_look_as_they_did(draw, picture) -> None:  # noqa: F811
    picture(draw.__name__, draw(divergent()[0], TWO))
