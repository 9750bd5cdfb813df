"""Pictures of ranks: what is drawn is what the statistics say, and looks as it did."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from bridge import calibration_ranks as cr
from bridge import errors, plots
from bridge.calibration_ranks import Calibration

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import picture, plain_settings  # noqa: F401 - fixtures

SHAPES = {"gamma[Intercept]": (1, 1), "gamma[x]": (1, 1), "delta[Intercept]": (0.5, 0.5),
          "log_likelihood": (1, 1)}  # fmt: skip


def calibration(method: str = "posterior") -> Calibration:
    """Return 200 simulations; the draws of one parameter spread too little."""
    rng = np.random.default_rng(5)
    frames = []
    for name, (a, b) in SHAPES.items():
        ranks = pd.array((rng.beta(a, b, 200) * 100).astype(int), dtype="Int64")
        frames.append(
            pd.DataFrame(
                {"replication": np.arange(200), "parameter": name, "scale": "outcome",
                 "rank": ranks, "ess": 200.0, "divergences": 0.0, "status": "ok"}
            )
        )  # fmt: skip
    return Calibration(pd.concat(frames, ignore_index=True), 99, "nuts", method, "y")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_an_ecdf_is_drawn_within_its_band() -> None:
    found = calibration()
    axes = plots.calibration_ecdf(found)
    assert [ax.get_title(loc="left") for ax in axes] == list(SHAPES)
    for ax, name in zip(axes, SHAPES, strict=True):
        x, y = ax.lines[1].get_xydata().T
        z = np.arange(1, 100) / 100
        np.testing.assert_allclose(x, [0, *z, 1])
        np.testing.assert_allclose(y[1:-1], cr.below(found.of(name), 99) / 200 - z)
        lower, upper = cr.band(200, 99, found.probability)
        drawn = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert drawn.min() == pytest.approx((lower / 200 - z).min())
        assert drawn.max() == pytest.approx((upper / 200 - z).max())
        assert ("outside" in texts(ax)) == (name == "delta[Intercept]")
        assert "nuts, posterior; 200 simulations" in texts(ax)


def test_a_long_name_does_not_run_into_the_next_panel() -> None:
    name = "kappa[rho(u:Intercept,v:Intercept),sector]"
    ranks = calibration().ranks
    found = Calibration(
        ranks.assign(parameter=ranks["parameter"].replace("delta[Intercept]", name)),
        99, "nuts", "posterior", "y",
    )  # fmt: skip
    for draw in (plots.calibration_ecdf, plots.calibration_ranks):
        axes = draw(found)
        axes[0].figure.canvas.draw()
        for ax, own in zip(axes, found.parameters, strict=True):
            assert ax.get_title(loc="left") == own
            wide = next(t for t in ax.get_children() if getattr(t, "get_text", str)() == own)
            assert wide.get_window_extent().x1 <= ax.get_window_extent().x1 + 2


def test_a_histogram_counts_ranks() -> None:
    found = calibration()
    (ax,) = plots.calibration_ranks(found, "delta[Intercept]")
    bars = [patch for patch in ax.patches if patch.get_width() == 5]
    counts = cr.histogram(found.of("delta[Intercept]"), 99)
    np.testing.assert_allclose([bar.get_height() for bar in bars], counts)
    assert ax.get_xlabel() == "rank among 99 draws"
    assert ax.lines[0].get_ydata()[0] == 10


def test_asymptotic_draws_are_called_so_in_every_panel() -> None:
    for draw in (plots.calibration_ecdf, plots.calibration_ranks):
        axes = draw(calibration("asymptotic"))
        assert all("nuts, asymptotic; 200 simulations" in texts(ax) for ax in axes)
        assert "no posterior" in axes[0].figure.get_suptitle()


def test_axes_of_ones_own() -> None:
    figure, ax = plt.subplots()
    assert plots.calibration_ecdf(calibration(), "gamma[x]", ax=ax) == [ax]
    assert figure.get_suptitle() == ""
    with pytest.raises(errors.OptionError, match=r"has 4 panel\(s\), and ax holds 1"):
        plots.calibration_ranks(calibration(), ax=ax)
    with pytest.raises(errors.OptionError, match="parameters is empty; name one"):
        plots.calibration_ranks(calibration(), [])
    with pytest.raises(errors.OptionError, match=r"no parameter 'gamma\[z\]'"):
        plots.calibration_ecdf(calibration(), "gamma[z]")


def test_they_look_as_they_did(picture) -> None:  # noqa: F811
    picture("calibration_ecdf", plots.calibration_ecdf(calibration()))
    picture("calibration_ranks", plots.calibration_ranks(calibration()))
