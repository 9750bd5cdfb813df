"""Whether results are of the same model and the same data, however they were written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge import arviz_compat
from bridge.design import Design
from bridge.engines.harmonise import parameter_table
from bridge.errors import RequestError
from bridge.result import Result
from bridge.spec import ModelSpec

#: Terms of the two functions, effects, level-2 parameters, and the laws of the effects.
Model = tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str], str]


def model_of(result: Result) -> Model:
    """Return what makes a result's model; neither the order of terms nor the ids, nor priors."""
    constant = arviz_compat.groups_of(result.idata)["constant_data"]
    level2 = result.estimates["component"] == "level2"
    return (
        frozenset(map(str, constant["mean_term"].values)),
        frozenset(map(str, constant["variance_term"].values)),
        frozenset(result.effects),
        frozenset(result.estimates.loc[level2, "parameter"]),
        _laws(result.spec),
    )


def model_of_design(design: Design) -> Model:
    """Return what makes a model from its design, as `model_of` does from a result."""
    return (
        frozenset(design.mean.labels),
        frozenset(design.variance.labels),
        frozenset(design.effects),
        frozenset(name for name, component, _ in parameter_table(design) if component == "level2"),
        _laws(design.spec),
    )


def _laws(spec: ModelSpec) -> str:
    """Return the parts of a spec that are not formulas of the two functions, nor priors."""
    parts = spec.to_dict()
    return repr(sorted((k, v) for k, v in parts.items() if k not in ("mean", "variance", "priors")))


def check_same_data(results: Sequence[Result]) -> None:
    """Make sure that results are of the same rows and, where they have them, the same columns."""
    first = results[0]
    for other in results[1:]:
        if other.spec.outcome != first.spec.outcome:
            raise RequestError(
                f"The outcomes differ ({first.spec.outcome} and {other.spec.outcome}); results of "
                "different outcomes cannot be compared."
            )
        ours, theirs = _data(first), _data(other)
        if not np.array_equal(ours.pop("the outcome"), theirs.pop("the outcome")):
            raise RequestError(
                f"The results are of different rows ({first.engine}: {first.n_obs}, "
                f"{other.engine}: {other.n_obs}); fit both to the same rows in the same order."
            )
        for name, column in ours.items():
            if name in theirs and not np.allclose(column, theirs[name], rtol=1e-9, atol=0):
                raise RequestError(
                    f"The results are of different data: {name} is not the same in "
                    f"{first.engine} and {other.engine}; fit both to the same data."
                )


def check_data_of(result: Result, design: Design) -> None:
    """Make sure that a design is of a result's own rows, in their order."""
    if not np.array_equal(_data(result)["the outcome"], design.y):
        raise RequestError(
            f"The data are not those of the result ({result.n_obs} rows, the data have "
            f"{len(design.y)}); give the data that it was fitted to, in the same order."
        )


def _data(result: Result) -> dict[str, np.ndarray]:
    """Return the columns of a result's designs by label, the outcome and the group of each row."""
    groups = arviz_compat.groups_of(result.idata)
    found = {"the outcome": np.asarray(groups["observed_data"][result.spec.outcome].values)}
    constant = groups["constant_data"]
    for name in ("mean", "variance"):
        labels, matrix = constant[f"{name}_term"].values, constant[f"{name}_design"].values
        found |= {f"{label}": matrix[:, i] for i, label in enumerate(labels)}
    if "level2_design" in constant:
        matrix = constant["level2_design"].values
        found |= {f"{t}": matrix[:, i] for i, t in enumerate(constant["kappa_term"].values)}
    if "group_index" in constant:
        found[f"the grouping {result.spec.group}"] = constant["group_index"].values
    return found
