"""Where a quantity is evaluated: values of the predictors as rows of the design matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bridge import group_sums
from bridge.design import Design
from bridge.design_of import design_of
from bridge.group_population import covariance_factor
from bridge.newdata import NewRows, rows_at, rows_of
from bridge.parameter_sets import at_estimates
from bridge.prediction import level2_covariance
from bridge.result import Result, check_result


@dataclass(frozen=True, eq=False)
class Profiles:
    """m rows of predictors.

    Attributes
    ----------
    keys : pandas.DataFrame
        What tells the rows apart, m rows; no column where there is one average row.
    rows : NewRows
        Their designs.
    spread : (m, qu, qu) or (1, qu, qu) array or None
        Covariances of the columns of Z among the units of a group; None where not asked for.
    """

    keys: pd.DataFrame
    rows: NewRows
    spread: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows.X)

    def one(self, i: int) -> Profiles:
        """Return one of the profiles."""
        return Profiles(self.keys.iloc[[i]], self.rows.part(slice(i, i + 1)), self.spread)

    def for_groups(self, J: int) -> NewRows:
        """Return the designs for effects of J groups, of one profile or of one for each group.

        Fixed parts that are the same in all groups stay one row.
        """
        Z, A = (np.broadcast_to(m, (J, m.shape[1])) for m in (self.rows.Z, self.rows.A))
        return replace(self.rows, Z=Z, A=A)


def profiles_of(result: Result, at: Mapping[str, Any] | pd.DataFrame | None) -> Profiles:
    """Return the profiles that a user asked for.

    Parameters
    ----------
    result : Result
        Any fit.
    at : mapping, pandas.DataFrame or None
        Values of the predictors, as for `bridge.newdata.rows_at`, or rows; None is one profile, the
        average of every column of the design matrices, those of level-2 functions among them, over
        the rows of the fit.
    """
    check_result(result)
    if at is None:
        mean = _averaged(rows_of(result), lambda matrix: matrix.mean(axis=0, keepdims=True))
        return Profiles(pd.DataFrame(index=range(1)), mean)
    rows = rows_at(result, at) if isinstance(at, Mapping) else at
    return Profiles(rows.reset_index(drop=True), rows_of(result, rows))


def own_averages(result: Result, design: Design) -> Profiles:
    """Return a profile for each group, the average of every column over its own rows."""
    group, J = design.group, len(design.group_labels)
    count = np.bincount(group, minlength=J)[:, None]
    keys = pd.DataFrame({"group": list(design.group_labels)})
    own = _averaged(rows_of(result), lambda matrix: group_sums.sums(matrix, group, J) / count)
    return Profiles(keys, own)


def _averaged(rows: NewRows, average: Callable[[np.ndarray], np.ndarray]) -> NewRows:
    X, W, Z, A = (average(matrix) for matrix in (rows.X, rows.W, rows.Z, rows.A))
    level2 = {element: average(matrix) for element, matrix in rows.level2.items()}
    return NewRows(pd.RangeIndex(len(X)), X, W, Z, A, level2, None, None)


def spread_of(design: Design, own: bool) -> np.ndarray:
    """Return covariances within groups of the columns of Z.

    Parameters
    ----------
    design : Design
        The model on its data.
    own : bool
        Whether of each group, (J, qu, qu), or their mean over groups, (1, qu, qu).
    """
    group, J, Z = design.group, len(design.group_labels), design.Z
    count = np.bincount(group, minlength=J)[:, None]
    away = Z - (group_sums.sums(Z, group, J) / count)[group]
    found = group_sums.products(away, away, group, J) / count[:, :, None]
    return found if own else found.mean(axis=0, keepdims=True)


def variances_of_effects(result: Result) -> np.ndarray:
    """Return the variance of every effect in the population of every group, (J, q).

    At the estimates; NaN of Student-t effects whose nu of 2 or less leaves them none.
    """
    sets, own = at_estimates(result), own_averages(result, design_of(result)).rows
    T = np.diagonal(level2_covariance(sets, own), axis1=-2, axis2=-1)[0]
    found = T * covariance_factor(sets)
    known = np.where(np.isfinite(found), found, np.nan)
    return np.broadcast_to(known, (result.n_groups, T.shape[-1]))
