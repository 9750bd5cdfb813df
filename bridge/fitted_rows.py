"""The covariates and groups of a fit as a frame again, from what its result keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bridge.design_columns import levels_key
from bridge.design_of import design_of
from bridge.encode import Column
from bridge.errors import NotAvailable
from bridge.names import flat
from bridge.result import Result
from bridge.spec import ModelSpec


def fitted_rows(spec: ModelSpec, result: Result) -> pd.DataFrame:
    """Return the columns that a model reads of the rows of a fit, without the outcome.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    result : Result
        The fit, also a saved one.

    Returns
    -------
    pandas.DataFrame
        Numbers as they were, factors as categories in their order, groups as they were written
        (whole numbers as such), under the user's index.

    Raises
    ------
    NotAvailable
        Where a column stands in the fit only within a transform or a product.
    """
    design = design_of(result)
    columns: dict[str, pd.Series] = {}
    lost = []
    first = [spec.group] if spec.group else []
    for name in dict.fromkeys([*first, *spec.columns]):
        if name == spec.outcome:
            continue
        if name == result.spec.group:
            columns[name] = _groups(design.group_labels, design.group)
            continue
        found = _column(name, design.columns, result.states or {})
        if found is None:
            lost.append(name)
        else:
            columns[name] = found
    if lost:
        raise NotAvailable(
            f"The result does not keep the column {', '.join(lost)} as it was, only what the "
            "formulas made of it; give the data of the fit as the design."
        )
    return pd.DataFrame(columns).set_axis(design.index)


def _groups(labels: Iterable[str], codes: np.ndarray) -> pd.Series:
    written = list(labels)
    whole = all(label.lstrip("-").isdigit() and str(int(label)) == label for label in written)
    values = np.array([int(label) for label in written] if whole else written)
    return pd.Series(values[codes])


def _column(
    name: str, columns: Mapping[str, Column], states: Mapping[str, Mapping[str, Any]]
) -> pd.Series | None:
    """Return a number, or a factor from the columns of its levels; None where it is not there."""
    written = name if name in states else levels_key(name)
    if name in columns:
        return pd.Series(np.asarray(columns[name]))
    if "levels" not in states.get(written, {}):
        return None
    levels = list(states[written]["levels"])
    marked = [columns.get(flat(written, level)) for level in levels]
    if any(column is None for column in marked[1:]):
        return None
    codes = np.zeros(len(np.asarray(marked[-1])), dtype=int)
    for place, column in enumerate(marked[1:], start=1):
        codes[np.asarray(column) == 1] = place
    return pd.Series(pd.Categorical.from_codes(codes, levels))
