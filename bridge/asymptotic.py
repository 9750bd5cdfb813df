"""Normal draws around maximum-likelihood estimates, where they are closest to normal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bridge import names

if TYPE_CHECKING:
    from bridge.result import Result


def asymptotic_draws(result: Result, draws: int, seed: int) -> pd.DataFrame:
    """Return draws of every parameter with a known covariance; see `Result.asymptotic_draws`.

    Coefficients are drawn as they are, variances on the log scale and correlations on atanh
    (their covariance there by the delta method); a covariance is then the product of its
    correlation and SDs, so that each draw is a covariance matrix of effects.
    """
    covariance = result.parameter_covariance
    assert covariance is not None
    pairs = {
        names.flat("tau", names.pair(a, b)): (a, b)
        for j, b in enumerate(result.effects)
        for a in result.effects[: j + 1]
    }
    # a covariance of effects follows from the others
    labels = [n for n in covariance.index if n not in pairs or pairs[n][0] == pairs[n][1]]
    mean = np.array([result.estimate(label) for label in labels])
    kinds = np.array([_kind(n, pairs) for n in labels])
    slope = np.where(kinds == "log", mean, np.where(kinds == "atanh", 1 - mean**2, 1.0))
    centre = mean.copy()
    centre[kinds == "log"] = np.log(mean[kinds == "log"])
    centre[kinds == "atanh"] = np.arctanh(mean[kinds == "atanh"])
    spread = covariance.loc[labels, labels].to_numpy() / np.outer(slope, slope)
    values = np.random.default_rng(seed).multivariate_normal(centre, spread, draws)
    values[:, kinds == "log"] = np.exp(values[:, kinds == "log"])
    values[:, kinds == "atanh"] = np.tanh(values[:, kinds == "atanh"])
    frame = pd.DataFrame(values, columns=labels)
    for label in covariance.index:
        if label not in labels:
            a, b = pairs[label]
            variances = [frame[names.flat("tau", names.pair(e, e))] for e in (a, b)]
            rho = frame[names.flat("rho", names.pair(a, b))]
            frame[label] = rho * np.sqrt(variances[0] * variances[1])
    frame = frame[list(covariance.index)]
    frame.attrs["kind"] = (
        f"asymptotic normal draws around {result.method} estimates of {result.engine}"
    )
    return frame


def _kind(label: str, pairs: Mapping[str, tuple[str, str]]) -> str:
    """Return the scale a parameter is drawn on."""
    if label in pairs:
        return "log"
    correlations = {names.flat("rho", names.pair(*pair)) for pair in pairs.values()}
    return "atanh" if label in correlations else ""
