"""DIC, WAIC and leave-one-row-out of a posterior, rows in chunks so that memory stays small."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.design import Design
from bridge.elpd import Elpd, leave_out, waic
from bridge.pointwise import part_of, row_loglik

if TYPE_CHECKING:
    import xarray as xr

#: Rows times draws of a chunk: 16 MB in double precision.
CELLS = 2_000_000
#: Of the way from the posterior means to a draw, for the derivative of the deviance.
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class Dic:
    """The deviance information criterion.

    Attributes
    ----------
    at_means : float
        The deviance at the posterior means of gamma, delta, u and v.
    deviance : (S,) array
        Given gamma, delta, u and v, by draw.
    influence : (S,) array
        Of each draw on the DIC; its mean is zero.
    """

    at_means: float
    deviance: np.ndarray
    influence: np.ndarray

    @property
    def effective(self) -> float:
        """p_D, the effective parameters; negative where the posterior is far from normal."""
        return float(self.deviance.mean()) - self.at_means

    @property
    def value(self) -> float:
        """The mean deviance plus p_D."""
        return float(self.deviance.mean()) + self.effective


@dataclass(frozen=True, eq=False)
class RowCriteria:
    """What was asked for of the rows; None where it was not."""

    dic: Dic | None = None
    waic: Elpd | None = None
    loo: Elpd | None = None


def row_criteria(
    design: Design,
    posterior: xr.Dataset,
    which: Collection[str],
    efficiency: float,
    report: Callable[[float], None],
) -> RowCriteria:
    """Return the criteria of the rows given the group effects.

    Parameters
    ----------
    design : Design
        The model on its data.
    posterior : xarray.Dataset
        Draws on the canonical scales, S in all.
    which : collection of str
        Of "dic", "waic", "loo".
    efficiency : float
        Effective draws over draws.
    report : callable
        Told the share of the rows done.
    """
    if not {"dic", "waic", "loo"} & set(which):
        return RowCriteria()
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    size = max(1, CELLS // draws)
    dic = _Deviances(posterior) if "dic" in which else None
    ways = {"waic": waic, "loo": lambda loglik: leave_out(loglik, efficiency)}
    found: dict[str, Elpd] = {}
    for start in range(0, len(design.y), size):
        part = part_of(design, slice(start, start + size))
        loglik = row_loglik(part, posterior).reshape(draws, -1)
        if dic is not None:
            dic.add(part, loglik)
        by_unit = np.ascontiguousarray(loglik.T)
        for name in ways.keys() & set(which):
            here = ways[name](by_unit)
            found[name] = found[name] + here if name in found else here
        report(min(1.0, (start + size) / len(design.y)))
    return RowCriteria(None if dic is None else dic.done(), **found)


class _Deviances:
    """The deviance of the rows so far: by draw, at the posterior means, and along each draw."""

    def __init__(self, posterior: xr.Dataset) -> None:
        means = posterior.mean(("chain", "draw"))
        self.means = means.expand_dims(chain=1, draw=1)
        # the draws first: the order of dims is theirs
        self.ahead = posterior * _STEP + means * (1 - _STEP)
        self.behind = posterior * -_STEP + means * (1 + _STEP)
        draws = posterior.sizes["chain"] * posterior.sizes["draw"]
        self.by_draw, self.along = np.zeros(draws), np.zeros(draws)
        self.at_means = 0.0

    def add(self, part: Design, loglik: np.ndarray) -> None:
        """Add some rows, of which the log-likelihoods by draw (S, n) are known."""
        self.by_draw -= 2 * loglik.sum(axis=1)
        self.at_means -= 2 * float(row_loglik(part, self.means).sum())
        # each draw's part of the derivative at the means, in the direction of the draw
        moved = row_loglik(part, self.ahead) - row_loglik(part, self.behind)
        self.along -= 2 * moved.reshape(loglik.shape).sum(axis=1) / (2 * _STEP)

    def done(self) -> Dic:
        """Return the criterion: twice the mean deviance, less that at the means."""
        influence = 2 * (self.by_draw - self.by_draw.mean()) - (self.along - self.along.mean())
        return Dic(self.at_means, self.by_draw, influence)
