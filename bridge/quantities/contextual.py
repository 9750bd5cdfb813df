"""Between, within and contextual effects of a predictor."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from bridge import arviz_compat, names, scales
from bridge.errors import NotAvailable, OptionError, suggest
from bridge.quantities.values import Values, estimated
from bridge.result import Result, check_result

_DIMS = {"mean": ("gamma", "mean_term"), "variance": ("delta", "variance_term")}


def contextual(
    result: Result,
    x: str | None = None,
    *,
    within: str | None = None,
    between: str | None = None,
    centred: bool | None = None,
    function: Literal["mean", "variance"] = "mean",
) -> pd.DataFrame:
    """Return the within, between and contextual effect of a predictor.

    Parameters
    ----------
    result : Result
        Any fit with the predictor and its group mean.
    x : str, optional
        A predictor that the model has as ``x + cvar(x, g)`` or ``dvar(x, g) + cvar(x, g)``.
    within, between : str, optional
        In place of ``x`` the labels of the two terms, such as ``"I(ses - meanses)"`` and
        ``"meanses"``.
    centred : bool, optional
        With labels: whether the first is the deviation from the group mean.
    function : {"mean", "variance"}
        The function of the model that is meant.

    Returns
    -------
    pandas.DataFrame
        The rows "within", "between" and "contextual": effect, scale, estimate, se, lower, upper,
        method. ``between`` is the difference of two groups whose means differ by one, ``within``
        of two units of one group, ``contextual`` of two units that are alike in groups whose means
        differ: between - within. Where the terms are in products too, all are at zero of what
        they are multiplied by.

    Raises
    ------
    NotAvailable
        Where the model does not have the two terms.
    OptionError
        Where it is not said which terms are meant.

    Notes
    -----
    Raudenbush & Bryk (2002), chapter 5.
    """
    if function not in _DIMS:
        raise OptionError(f"function is 'mean' or 'variance', not {function!r}.")
    check_result(result)
    parameter, dim = _DIMS[function]
    labels = _labels(result, dim)
    first, second, deviation = _terms(result, labels, x, within, between, centred)
    i, j = labels.index(first), labels.index(second)

    def effects(v: Values) -> np.ndarray:
        coefficients = v.gamma if parameter == "gamma" else v.delta
        own, mean = coefficients[:, i], coefficients[:, j]
        if deviation:
            return np.stack([own, mean, mean - own], axis=1)
        return np.stack([own, own + mean, mean], axis=1)

    found = estimated(result, effects)
    found.insert(0, "effect", ["within", "between", "contextual"])
    found.insert(1, "scale", scales.GAMMA if parameter == "gamma" else scales.DELTA)
    return found


def _labels(result: Result, dim: str) -> list[str]:
    constant = arviz_compat.groups_of(result.idata)["constant_data"]
    return [str(label) for label in constant[dim].values]


def _terms(
    result: Result,
    labels: list[str],
    x: str | None,
    within: str | None,
    between: str | None,
    centred: bool | None,
) -> tuple[str, str, bool]:
    """Return the labels of the two terms, and whether the first is a deviation."""
    if x is not None:
        if (within, between, centred) != (None, None, None):
            raise OptionError("Give either a predictor or the labels within and between, not both.")
        return _by_name(result, labels, x)
    if within is None or between is None or centred is None:
        raise OptionError(
            "Name the predictor, as contextual(result, 'ses'), or the two terms and what the first "
            "is, as contextual(result, within='I(ses - meanses)', between='meanses', centred=True)."
        )
    for label in (within, between):
        if label not in labels:
            raise NotAvailable(
                f"There is no term '{label}' in this function of the model."
                f"{suggest(label, labels)} There are: {', '.join(labels)}."
            )
    return within, between, centred


def _by_name(result: Result, labels: list[str], x: str) -> tuple[str, str, bool]:
    group = result.spec.group
    mean, deviation = f"cvar({x}, {group})", f"dvar({x}, {group})"
    for own in (x, deviation):
        if own in labels and mean in labels:
            return own, mean, own == deviation
    known = [label for label in labels if label != names.INTERCEPT]
    raise NotAvailable(
        f"This function of the model has no {x} + {mean} and no {deviation} + {mean}; fit one of "
        f"them, or name the terms by within=… and between=…. There are: {', '.join(known)}."
    )
