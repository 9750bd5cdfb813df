"""Q-Q plots and histograms: what is drawn is what the frames say, and looks as it did."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from bridge import errors, plots, quantities

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import fitted, picture, plain_settings  # noqa: F401 - fixtures


def standardised(result, of: str) -> np.ndarray:
    if of == "residuals":
        return quantities.residuals(result)["standardised"].to_numpy(float)
    frame = quantities.residuals(result, level=2)
    return frame.loc[frame["effect"] == of, "standardised"].to_numpy(float)


@pytest.mark.parametrize("of", ["residuals", "u:Intercept", "v:Intercept"])
def test_a_qq_plot_draws_the_order_statistics(of) -> None:
    ax = plots.qq(fitted(), of=of)
    values = np.sort(standardised(fitted(), of))
    n = len(values)
    x, y = ax.lines[1].get_xydata().T
    np.testing.assert_allclose(y, values)
    np.testing.assert_allclose(x, stats.norm.ppf((np.arange(n) + 0.5) / n))
    assert ax.get_ylabel() == f"{of}, standardised (SDs)"
    assert ax.get_xlim() == ax.get_ylim()


@pytest.mark.parametrize("n", [8, 60])
@pytest.mark.parametrize("band", ["pointwise", "simultaneous"])
def test_the_band_holds_what_it_says(n, band) -> None:
    from bridge.plots.distributions import _band

    lower, upper = _band(n, band)
    z = np.sort(np.random.default_rng(7).normal(size=(20_000, n)), axis=1)
    inside = (z >= lower) & (z <= upper)
    if band == "pointwise":
        np.testing.assert_allclose(inside.mean(axis=0), 0.95, atol=0.007)
    else:
        assert inside.all(axis=1).mean() == pytest.approx(0.95, abs=0.01)


def test_the_band_is_drawn() -> None:
    from bridge.plots.distributions import _band

    values = standardised(fitted(), "u:Intercept")
    for band in ("pointwise", "simultaneous"):
        ax = plots.qq(fitted(), of="u:Intercept", band=band)
        drawn = ax.collections[0].get_paths()[0].vertices[:, 1]
        lower, upper = _band(len(values), band)
        assert drawn.min() == pytest.approx(lower.min())
        assert drawn.max() == pytest.approx(upper.max())
        assert f"95% {band} band" in [t.get_text() for t in ax.get_legend().get_texts()]


@pytest.mark.parametrize("of", ["residuals", "v:Intercept"])
def test_a_histogram_is_a_density_beside_two_curves(of) -> None:
    ax = plots.histogram(fitted(), of=of)
    values = standardised(fitted(), of)
    edges = np.array([bar.get_x() for bar in ax.patches] + [ax.patches[-1].get_x()])
    edges[-1] += ax.patches[-1].get_width()
    heights, _ = np.histogram(values, bins=edges, density=True)
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], heights)
    assert (edges[0], edges[-1]) == (pytest.approx(values.min()), pytest.approx(values.max()))
    normal, kernel = ax.lines
    np.testing.assert_allclose(normal.get_ydata(), stats.norm.pdf(normal.get_xdata()))
    expected = stats.gaussian_kde(values)(kernel.get_xdata())
    np.testing.assert_allclose(kernel.get_ydata(), expected)


def test_groups_that_are_not_known_well_enough_are_counted() -> None:
    table = fitted().group_effects.copy()
    table.loc[[0, 2], "se"] = 1e6  # u of two groups
    result = dataclasses.replace(fitted(), group_effects=table)
    ax = plots.qq(result, of="u:Intercept")
    assert len(ax.lines[1].get_xdata()) == 18
    said = "y by agq, ML; 18 groups (g); 2 left out, not known well enough"
    assert said in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("draw", [plots.qq, plots.histogram])
def test_bad_requests(draw) -> None:
    with pytest.raises(errors.OptionError, match=r"no 'u:Intersept' .* mean 'u:Intercept'\? There"):
        draw(fitted(), of="u:Intersept")
    table = fitted().group_effects.copy()
    table["se"] = pd.array([None] * len(table), dtype="Float64")
    bare = dataclasses.replace(fitted(), group_effects=table)
    with pytest.raises(errors.NotAvailable, match="u:Intercept cannot be standardised: agq"):
        draw(bare, of="u:Intercept")
    assert not plt.get_fignums()


def test_there_are_two_bands() -> None:
    with pytest.raises(errors.OptionError, match='band is "pointwise" or "simultaneous", not'):
        plots.qq(fitted(), band="both")


def test_they_look_as_they_did(picture) -> None:  # noqa: F811
    picture("qq", plots.qq(fitted()))
    picture("histogram", plots.histogram(fitted()))
