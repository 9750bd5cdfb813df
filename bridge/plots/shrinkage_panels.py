"""What the pictures of shrinkage are made of: arrows, lines of groups, ellipses of T."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge import names
from bridge.design_of import design_of
from bridge.errors import NotAvailable
from bridge.plots import style
from bridge.plots.curve_panel import HIGHLIGHTS, rimmed
from bridge.plots.ellipses import population_ellipse
from bridge.quantities.effects import shrinkage as numbers_of
from bridge.result import Result
from bridge.summary import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The own estimates and the model's.
_OWN, _MODEL = style.BLUE, style.VERMILLION
_SHARES = ((0.95, "-"), (0.5, "--"))
#: Kinds of groups with an ellipse each; beyond, all are moved to one middle.
_KINDS = 4
_FAR = 4.0


@dataclass(frozen=True, eq=False)
class Shrunk:
    """Coefficients of J groups by their own rows and by the model.

    Attributes
    ----------
    result : Result
        The fit.
    effects : list of str
        The q effects of the mean.
    groups : list of str
        Labels.
    rows : (J,) array
        How many rows each has.
    blue, blup, population : (J, q) arrays
        As in `bridge.quantities.shrinkage`; NaN where there is none.
    seen : sequence of str
        Groups to be seen.
    """

    result: Result
    effects: list[str]
    groups: list[str]
    rows: np.ndarray
    blue: np.ndarray
    blup: np.ndarray
    population: np.ndarray
    seen: Sequence[str]

    @property
    def determined(self) -> np.ndarray:
        """Whether each group has own estimates, (J,)."""
        found: np.ndarray = np.isfinite(self.blue).all(axis=1)
        return found

    @property
    def kinds(self) -> np.ndarray:
        """What the fixed part says of the coefficients, each kind once."""
        return np.unique(self.population.round(9), axis=0)

    def caption(self, *more: str) -> str:
        """Return outcome, engine and method, and how many groups have no own estimates."""
        lacking = int((~self.determined).sum())
        words = [f"{counted(lacking, 'group')} without own estimates"] * bool(lacking)
        return style.caption(self.result, *words, *more)


def shrunk(result: Result, seen: Sequence[str]) -> Shrunk:
    """Return the numbers of `bridge.quantities.shrinkage` by group and effect."""
    frame = numbers_of(result)
    effects = list(dict.fromkeys(frame["effect"]))

    def stacked(column: str) -> np.ndarray:
        whole = frame[column].to_numpy(dtype=float, na_value=np.nan)
        return whole.reshape(len(effects), -1).T

    first = frame[frame["effect"] == effects[0]]
    blue, blup, population = (stacked(name) for name in ("blue", "blup", "population"))
    labels = [str(label) for label in first["group"]]
    if not np.isfinite(blue).all(axis=1).any():
        raise NotAvailable(
            f"No {style.group_name(result)} has rows that determine its own {' and '.join(effects)}"
            "; there is nothing that is shrunk."
        )
    return Shrunk(result, effects, labels, first["n"].to_numpy(), blue, blup, population, seen)


def term(effect: str) -> str:
    """Return the words for a coefficient."""
    label = effect.removeprefix(names.effect("u", ""))
    return "intercept" if label == names.INTERCEPT else f"slope of {label}"


# --- the plane of coefficients ------------------------------------------------------------------
def coefficients(axes: Sequence[Axes], found: Shrunk, pair: Sequence[str]) -> None:
    """Draw arrows from own estimates to the model's, and the ellipses of T."""
    ax = axes[0]
    two = [found.effects.index(effect) for effect in pair]
    centres, moved = found.kinds[:, two], len(found.kinds) > _KINDS
    blue, blup = found.blue[:, two], found.blup[:, two]
    if moved:
        centres = found.population[:, two].mean(axis=0, keepdims=True)
        blue, blup = (x - found.population[:, two] + centres for x in (blue, blup))
    T = found.result.covariance().loc[list(pair), list(pair)].to_numpy(float)
    inside = _near(blue, blup)
    _arrows(ax, blue, blup, found)
    _ellipses(ax, T, centres, found)
    outlines = [population_ellipse(centre, T, _SHARES[0][0]).outline for centre in centres]
    _view(ax, blue[inside & found.determined], blup, *outlines)
    outside = int((~inside).sum())
    left = [f"own estimates outside the picture: {outside}"] * bool(outside)
    ending = ", predictors of groups taken off" if moved else ""
    style.words(
        ax,
        f"Coefficients of {style.group_name(found.result)}: own and shrunk",
        found.caption(*left),
        *(f"{term(effect)}{ending} (outcome)" for effect in pair),
    )
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _arrows(ax: Axes, blue: np.ndarray, blup: np.ndarray, found: Shrunk) -> None:
    """Draw an arrow for each group with own estimates, and both its ends."""
    known, J = found.determined, len(blue)
    size = float(np.clip(46 / np.sqrt(J), 2.4, 4.5))
    seen = np.isin(found.groups, list(found.seen))
    step = (blup - blue)[known]
    ax.quiver(
        *blue[known].T, *step.T, angles="xy", scale_units="xy", scale=1, width=0.0016,
        headwidth=4.5, headlength=6, headaxislength=5, minlength=0, minshaft=1,
        color=style.LIGHT, alpha=float(np.clip(12 / np.sqrt(J), 0.45, 1.0)), zorder=2,
    )  # fmt: skip
    ax.plot(*blue[known].T, ls="", marker="o", ms=size, mfc="white", mec=_OWN, mew=0.6, zorder=3,
            label=f"own least squares, BLUE ({int(known.sum())})")  # fmt: skip
    ax.plot(*blup[~seen].T, ls="", marker="o", ms=size, color=_MODEL, mew=0, zorder=4,
            label=f"{_by(found)} ({J})")  # fmt: skip
    for label, (colour, line) in zip(found.seen, HIGHLIGHTS, strict=False):
        j = found.groups.index(label)
        name = f"{style.group_name(found.result)} {label}"
        ends = np.stack([blue[j], blup[j]])
        ax.plot(*ends.T, color=colour, ls=line, lw=1.4, zorder=6, label=name)
        ax.plot(*blup[j], marker="s", ms=size + 2, color=colour, mec=style.BLACK, mew=0.5, zorder=7)


def _ellipses(ax: Axes, T: np.ndarray, centres: np.ndarray, found: Shrunk) -> None:
    for share, line in _SHARES:
        for i, centre in enumerate(centres):
            label = f"{share:.0%} of the population" if i == 0 else None
            ellipse = population_ellipse(centre, T, share)
            ax.plot(*ellipse.outline.T, color=style.BLACK, lw=1.1, ls=line, zorder=5, label=label)
    ax.plot(*centres.T, ls="", marker="P", ms=7, color=style.BLACK, mec="white", zorder=8,
            label=_population(found))  # fmt: skip


def _near(blue: np.ndarray, blup: np.ndarray) -> np.ndarray:
    """Tell which own estimates are near enough to be seen beside the others; NaN are."""
    middle = np.nanmedian(blue, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(blue - middle), axis=0)
    reach = np.maximum(_FAR * spread, 1.05 * np.abs(blup - middle).max(axis=0))
    found: np.ndarray = ~(np.abs(blue - middle) > reach).any(axis=1)
    return found


def _view(ax: Axes, *points: Any) -> None:
    """Show all the points, and no more than a little beside them."""
    whole = np.concatenate([np.reshape(p, (-1, 2)) for p in points])
    low, high = whole.min(axis=0), whole.max(axis=0)
    beside = 0.04 * (high - low)
    ax.set(xlim=(low[0] - beside[0], high[0] + beside[0]),
           ylim=(low[1] - beside[1], high[1] + beside[1]))  # fmt: skip


def _population(found: Shrunk) -> str:
    kinds = len(found.kinds)
    if kinds > _KINDS:
        return "population, mean of groups"
    return "population" if kinds == 1 else f"population ({kinds} kinds of groups)"


def _by(found: Shrunk) -> str:
    return "posterior mean" if found.result.method == "posterior" else "by the model, BLUP"


# --- the plane of the data ------------------------------------------------------------------------
def over_rows(axes: Sequence[Axes], found: Shrunk, pair: Sequence[str]) -> None:
    """Draw arrows from own to the model's intercept over the number of rows."""
    ax, k = axes[0], found.effects.index(pair[0])
    n = found.rows.astype(float)
    blue, blup = (np.column_stack([n, x[:, k]]) for x in (found.blue, found.blup))
    _arrows(ax, blue, blup, found)
    kinds = np.unique(found.population[:, k].round(9))
    if len(kinds) <= _KINDS:
        for i, level in enumerate(kinds):
            ax.axhline(level, color=style.BLACK, lw=1.0, ls="--", zorder=5,
                       label=_population(found) if i == 0 else None)  # fmt: skip
    name = style.group_name(found.result)
    words = [] if len(kinds) <= _KINDS else ["shrunk to what its predictors say of each"]
    style.words(
        ax,
        f"Own and shrunk {term(pair[0])} of {name}",
        found.caption(*words),
        f"rows of {name}",
        f"{term(pair[0])} (outcome)",
    )
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def lines(axes: Sequence[Axes], found: Shrunk, pair: Sequence[str]) -> None:
    """Draw the line of every group by its own rows, and beside it by the model."""
    slope = found.effects.index(pair[1])
    ends = _ends(found, slope)
    own, model = (_heights(found, table, ends, slope) for table in (found.blue, found.blup))
    _group_lines(axes[0], found, ends, own, _OWN)
    _group_lines(axes[1], found, ends, model, _MODEL)
    for panel in axes:
        _middle(panel, found, ends, slope)
    low, high, outside = _heights_seen(own, model)
    name, x = style.group_name(found.result), pair[1].removeprefix(names.effect("u", ""))
    left = [f"lines that leave the picture: {outside}"] * bool(outside)
    for panel, title, caption in (
        (axes[0], f"Own least squares of each {name} (BLUE)", found.caption(*left)),
        (axes[1], f"Shrunk: {_by(found)}", "the same rows and scale"),
    ):
        style.words(panel, title, caption, x, "outcome, other predictors taken off")
        panel.set_ylim(low, high)
        panel.margins(x=0.01)
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _ends(found: Shrunk, slope: int) -> np.ndarray:
    """Return the least and the largest value of the slope's column in each group, (J, 2)."""
    design = design_of(found.result)
    by_group = pd.Series(design.Z[:, slope]).groupby(design.group)
    return np.column_stack([by_group.min(), by_group.max()])


def _heights(found: Shrunk, table: np.ndarray, ends: np.ndarray, slope: int) -> np.ndarray:
    """Return lines at their ends (J, 2), the columns of other effects at their group means."""
    design = design_of(found.result)
    means = pd.DataFrame(design.Z).groupby(design.group).mean().to_numpy(copy=True)
    means[:, slope] = 0.0
    level = (table * means).sum(axis=1)
    heights: np.ndarray = level[:, None] + table[:, [slope]] * ends
    return heights


def _group_lines(
    ax: Axes, found: Shrunk, ends: np.ndarray, heights: np.ndarray, colour: str
) -> None:
    from matplotlib.collections import LineCollection

    J = len(heights)
    known = np.isfinite(heights).all(axis=1)
    rest = known & ~np.isin(found.groups, list(found.seen))
    thin = float(np.clip(8 / np.sqrt(J), 0.4, 1.0))
    seen = float(np.clip(5 / np.sqrt(J), 0.25, 0.75))
    segments = np.stack([ends, heights], axis=-1)
    ax.add_collection(
        LineCollection(list(segments[rest]), colors=colour, lw=thin, alpha=seen, zorder=3)
    )
    for label, (own, line) in zip(found.seen, HIGHLIGHTS, strict=False):
        j = found.groups.index(label)
        name = f"{style.group_name(found.result)} {label}"
        rimmed(ax, ends[j], heights[j], color=own, ls=line, lw=2.0, zorder=8, label=name)
    ax.autoscale_view()


def _middle(ax: Axes, found: Shrunk, ends: np.ndarray, slope: int) -> None:
    """Draw what the fixed part says: a line for each kind of groups, or their mean."""
    x = np.array([ends.min(), ends.max()])
    kinds, label = found.kinds, _population(found)
    if len(kinds) > _KINDS:
        kinds = found.population.mean(axis=0, keepdims=True)
    means = design_of(found.result).Z.mean(axis=0)
    means[slope] = 0.0
    for i, kind in enumerate(kinds):
        ax.plot(x, means @ kind + kind[slope] * x, color=style.BLACK, lw=1.6, ls="--", zorder=6,
                label=label if i == 0 else None)  # fmt: skip


def _heights_seen(own: np.ndarray, model: np.ndarray) -> tuple[float, float, int]:
    """Return the ends of the outcome's axis, and how many own lines leave it."""
    known = own[np.isfinite(own).all(axis=1)]
    middle = np.median(model)
    reach = max(_FAR * 1.4826 * float(np.median(np.abs(known - middle))),
                1.05 * float(np.abs(model - middle).max()))  # fmt: skip
    outside = (np.abs(known - middle) > reach).any(axis=1)
    shown = np.concatenate([known[~outside].ravel(), model.ravel()])
    beside = 0.04 * np.ptp(shown)
    return float(shown.min() - beside), float(shown.max() + beside), int(outside.sum())
