"""Where a quantity is evaluated: values of the predictors as rows of the design matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge import group_sums
from bridge.design import Design
from bridge.design_of import design_of
from bridge.newdata import rows_at, rows_of
from bridge.result import Result


@dataclass(frozen=True, eq=False)
class Profiles:
    """m rows of predictors.

    Attributes
    ----------
    keys : pandas.DataFrame
        What tells the rows apart, m rows; no column where there is one average row.
    X, W, Z, A : (m, p), (m, k), (m, qu), (m, qv) arrays
        Designs of the mean and the log variance, fixed; then of their group effects.
    spread : (m, qu, qu) or (1, qu, qu) array or None
        Covariances of the columns of Z among the units of a group; None where not asked for.
    """

    keys: pd.DataFrame
    X: np.ndarray
    W: np.ndarray
    Z: np.ndarray
    A: np.ndarray
    spread: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X)


def profiles_of(result: Result, at: Mapping[str, Any] | pd.DataFrame | None) -> Profiles:
    """Return the profiles that a user asked for.

    Parameters
    ----------
    result : Result
        Any fit.
    at : mapping, pandas.DataFrame or None
        Values of the predictors, as for `bridge.newdata.rows_at`, or rows; None is one profile, the
        average of every column of the design matrices over the rows of the fit.
    """
    if at is None:
        return average(design_of(result))
    rows = rows_at(result, at) if isinstance(at, Mapping) else at
    found = rows_of(result, rows)
    return Profiles(rows.reset_index(drop=True), found.X, found.W, found.Z, found.A)


def average(design: Design) -> Profiles:
    """Return one profile, the average of every column over the rows."""
    means = [
        matrix.mean(axis=0, keepdims=True)
        for matrix in (design.mean.matrix, design.variance.matrix, design.Z, design.A)
    ]
    return Profiles(pd.DataFrame(index=range(1)), *means)


def own_averages(design: Design) -> Profiles:
    """Return a profile for each group, the average of every column over its own rows."""
    group, J = design.group, len(design.group_labels)
    count = np.bincount(group, minlength=J)[:, None]
    matrices = (design.mean.matrix, design.variance.matrix, design.Z, design.A)
    keys = pd.DataFrame({"group": list(design.group_labels)})
    return Profiles(keys, *(group_sums.sums(matrix, group, J) / count for matrix in matrices))


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
