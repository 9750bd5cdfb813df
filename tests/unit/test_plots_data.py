"""Pictures of data before and beside a fit: what is drawn is what the rows say."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from bridge import errors, plots

sys.path.insert(0, str(Path(__file__).parent))
from plot_fits import data, fitted, picture, plain_settings  # noqa: F401 - fixtures


def words(ax) -> str:
    return "\n".join(text.get_text() for text in ax.figure.findobj(mpl.text.Text))


# --- uniform quantile plots -------------------------------------------------------------------
def variables() -> pd.DataFrame:
    """Numbers, truth values, categories and text, some of them missing."""
    frame = data().assign(kind=np.where(data()["g"] < 5, "a", "b"), none=np.nan)
    frame["sure"] = frame["x"] > 0
    frame["order"] = pd.Categorical(frame["kind"].map({"a": "low", "b": "high"}), ["low", "high"])
    frame["many"] = frame["g"].map("group {:02d}".format)
    frame.loc[3:9, "x"] = np.nan
    frame.loc[4:5, "kind"] = None
    return frame


def test_numbers_stand_in_order() -> None:
    frame = variables()
    axes = plots.uniform_quantiles(frame, ["y", "x"])
    for ax, name in zip(axes, ["y", "x"], strict=True):
        known = np.sort(frame[name].dropna())
        mean, points = ax.lines
        np.testing.assert_array_equal(points.get_ydata(), known)
        n = len(known)
        np.testing.assert_allclose(points.get_xdata(), (np.arange(1, n + 1) - 0.5) / n)
        np.testing.assert_allclose(mean.get_ydata(), known.mean())
        assert ax.get_title(loc="left") == name
    n = len(frame)
    assert axes[0].get_xlabel() == f"fraction of {n} rows"
    assert axes[1].get_xlabel() == f"fraction of {n - 7} rows; 7 missing"
    assert f"{n} rows, 7 with a missing value" in words(axes[0])


@pytest.mark.parametrize(
    ("name", "levels"),
    [("kind", ["a", "b"]), ("order", ["low", "high"]), ("sure", ["False", "True"])],
)
def test_levels_have_bars(name, levels) -> None:
    frame = variables()
    (ax,) = plots.uniform_quantiles(frame, name)
    assert [text.get_text() for text in ax.get_yticklabels()] == levels
    counts = frame[name].astype(str).value_counts()
    assert [bar.get_width() for bar in ax.patches] == [counts[level] for level in levels]


def test_all_columns_are_drawn_and_none_is_left_out() -> None:
    frame = variables()
    axes = plots.uniform_quantiles(frame)
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == [*frame.columns[:-1], "many (20 levels)"]
    empty = axes[titles.index("none")]
    assert empty.texts[-1].get_text() == "all missing"
    assert empty.get_xlabel() == f"0 rows; {len(frame)} missing"
    assert len(axes[-1].patches) == 20 and not axes[-1].get_yticklabels()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda d: plots.uniform_quantiles(d, ["z"]), errors.UnknownColumnError, "no column 'z'"),
        (lambda d: plots.uniform_quantiles(d, []), errors.OptionError, "1 to 60 variables, not 0"),
        (lambda d: plots.uniform_quantiles(d[:0]), errors.DataError, "have no rows"),
        (lambda d: plots.uniform_quantiles([1]), errors.DataError, "as a pandas frame, not as lis"),
        (
            lambda d: plots.uniform_quantiles(d.assign(t=pd.Timestamp("2020-01-01")), "t"),
            errors.ColumnTypeError,
            "holds dates or times",
        ),
        (
            lambda d: plots.uniform_quantiles(d.assign(x=np.inf), "x"),
            errors.DataError,
            "'x' is infinite in row 0",
        ),
        (
            lambda d: plots.uniform_quantiles(pd.concat([d, d[["x"]]], axis=1), "x"),
            errors.DataError,
            "two columns called 'x'",
        ),
    ],
)
def test_variables_that_cannot_be_drawn(call, error, said) -> None:
    with pytest.raises(error, match=said):
        call(data())


def test_variables_look_as_they_did(picture) -> None:  # noqa: F811
    picture("uniform_quantiles", plots.uniform_quantiles(variables(), ["y", "x", "kind", "many"]))
