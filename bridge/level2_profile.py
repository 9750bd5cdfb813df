"""The level-2 covariance matrix at a profile of level-2 predictors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, names
from bridge.columns import label_texts
from bridge.errors import OptionError, suggest
from bridge.partial_correlations import partial_factor

if TYPE_CHECKING:
    from bridge.result import Result

#: Variable and label -> estimate, or draws (chain, draw); None where there is no such parameter.
Values = Callable[[str, str], Any]


def covariance_at(result: Result, at: Mapping[str, Any]) -> pd.DataFrame:
    """Return the covariance matrix of the group effects at a profile; see `Result.level2`."""
    if not result.level2_terms:
        _checked(result.level2_terms, at)
        return result.covariance()
    effects = list(result.effects)
    matrix = pd.DataFrame(0.0, index=effects, columns=effects)
    for (first, second), values in elements_at(result, at).items():
        # draws are transformed one by one and then averaged
        matrix.loc[first, second] = matrix.loc[second, first] = float(np.mean(values))
    return matrix


def elements_at(result: Result, at: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the variances and covariances of the group effects at a profile.

    Parameters
    ----------
    result : Result
        Any fit with group effects.
    at : mapping
        As for `Result.level2`.

    Returns
    -------
    dict of (str, str) to float or (chain, draw) array
        By the pair of effects, the earlier first; draws of a posterior.

    Raises
    ------
    OptionError
        Where a column is missing or unknown, or a level is unknown.
    """
    profile = _checked(result.level2_terms, at)
    values = _draws(result) if result.method == "posterior" else _estimates(result)
    functions = {
        key: _predictor(terms, values, profile) for key, terms in result.level2_terms.items()
    }
    return covariance_elements(result.effects, functions, values)


def covariance_elements(
    effects: Sequence[str], functions: Mapping[str, Any], values: Values
) -> dict[tuple[str, str], Any]:
    """Return the variances and covariances of the group effects from the parts of a model.

    Parameters
    ----------
    effects : sequence of str
        Their labels, u before v.
    functions : mapping of str to array
        h'kappa of every level-2 function by element, ``tau[a,a]``, ``rho[a,b]`` or ``pcor[a,b]``.
    values : callable
        From a variable and a label to the constant element, of a shape that goes with that of the
        functions; None where the model has none.

    Returns
    -------
    dict of (str, str) to array
        By the pair of effects, the earlier first.
    """
    partial = _partial_correlations(effects, functions)
    return {
        (first, second): _covariance(first, second, functions, values, partial)
        for position, second in enumerate(effects)
        for first in effects[: position + 1]
    }


def _partial_correlations(
    effects: Sequence[str], functions: Mapping[str, Any]
) -> dict[tuple[str, str], Any]:
    """Return the correlations of the pairs whose partial correlations are functions."""
    places = {
        (a, b): functions[key]
        for b, second in enumerate(effects)
        for a, first in enumerate(effects[:b])
        if (key := names.flat("pcor", names.pair(first, second))) in functions
    }
    if not places:
        return {}
    shape = np.broadcast_shapes(*(np.shape(value) for value in places.values()))
    atanh = np.zeros((*shape, len(effects), len(effects)), np.result_type(*places.values()))
    for (a, b), value in places.items():
        atanh[..., b, a] = value
    factor = partial_factor(atanh)
    rho = factor @ factor.swapaxes(-1, -2)
    return {(effects[a], effects[b]): rho[..., a, b] for a, b in places}


def _covariance(
    first: str,
    second: str,
    functions: Mapping[str, Any],
    values: Values,
    partial: Mapping[tuple[str, str], Any],
) -> Any:
    """Return one element of T at the profile."""
    label = names.pair(first, second)
    if first == second:
        function = functions.get(names.flat("tau", label))
        return values("tau", label) if function is None else np.exp(function)
    constant = values("tau", label)
    if constant is not None:
        return constant
    function = functions.get(names.flat("rho", label))
    rho = partial.get((first, second))
    if rho is None:
        rho = values("rho", label) if function is None else np.tanh(function)
    if rho is None:
        return 0.0
    variances = [
        _covariance(effect, effect, functions, values, partial) for effect in (first, second)
    ]
    return rho * np.sqrt(variances[0] * variances[1])


def _predictor(
    terms: Sequence[Mapping[str, Any]], values: Values, profile: Mapping[str, float | str]
) -> Any:
    """Return h'kappa, the log variance or atanh correlation."""
    total: Any = 0.0
    for term in terms:
        product = 1.0
        for factor in term["columns"]:
            value = profile[factor["column"]]
            product *= float(value if factor["level"] is None else value == factor["level"])
        total = total + product * values("kappa", term["label"])
    return total


def _estimates(result: Result) -> Values:
    found = dict(zip(result.estimates["parameter"], result.estimates["estimate"], strict=True))
    return lambda variable, label: found.get(names.flat(variable, label))


def _draws(result: Result) -> Values:
    posterior = arviz_compat.groups_of(result.idata)["posterior"]

    def values(variable: str, label: str) -> Any:
        dim = names.VARIABLES[variable][0]
        if variable not in posterior or label not in posterior[dim].values:
            return None
        return posterior[variable].sel({dim: label}).to_numpy()

    return values


def columns_of(
    level2_terms: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, list[str] | None]:
    """Return every column that level-2 functions use, with its levels (None for a number)."""
    return {
        factor["column"]: factor["levels"]
        for terms in level2_terms.values()
        for term in terms
        for factor in term["columns"]
    }


def _checked(
    level2_terms: Mapping[str, Sequence[Mapping[str, Any]]], at: Mapping[str, Any]
) -> dict[str, float | str]:
    """Return the profile as numbers and levels, every column of the functions given once."""
    if not isinstance(at, Mapping):
        raise OptionError(
            f"level2(at=…) takes a mapping from columns to values, not {type(at).__name__}."
        )
    levels = columns_of(level2_terms)
    at = {_column(name, levels, at): value for name, value in at.items()}
    used = f"The level-2 functions use: {', '.join(levels) or 'no column'}."
    for name in at:
        if name not in levels:
            raise OptionError(
                f"level2(at=…) has '{name}', which no level-2 function uses."
                f"{suggest(str(name), levels)} {used}"
            )
    missing = [name for name in levels if name not in at]
    if missing:
        raise OptionError(f"level2(at=…) needs a value of {', '.join(missing)}. {used}")
    return {name: _value(name, at[name], of) for name, of in levels.items()}


def _column(name: str, levels: Mapping[str, Sequence[str] | None], at: Mapping[str, Any]) -> str:
    """Return the column a value is of: of a factor made by C(w), w may be written instead."""
    factor = f"C({name})"
    return factor if name not in levels and factor in levels and factor not in at else name


def _value(name: str, value: Any, levels: Sequence[str] | None) -> float | str:
    value = value.item() if hasattr(value, "item") else value
    if levels is None:
        if not isinstance(value, int | float) or not isfinite(value):
            raise OptionError(f"level2(at=…): {name} is a finite number, not {value!r}.")
        return float(value)
    for text in label_texts(value, levels):
        if text in levels:
            return text
    raise OptionError(
        f"level2(at=…): {name} has no level '{value}'.{suggest(str(value), levels)} "
        f"It has: {', '.join(levels)}."
    )
