"""The one table of scale rules: what each engine says, and how it becomes ours.

Canonical scales: coefficients and effects of the variance function on the LOG
VARIANCE; level-2 variances and covariances; correlations. A rule is keyed on
engine and version, because software has changed its mind (glmmTMB did in
1.1.9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: The scale printed beside each number, by what it is.
GAMMA = "outcome"
DELTA = "log variance"
RHO = "correlation"
TAU = {
    ("u", "u"): "outcome²",
    ("u", "v"): "outcome × log variance",
    ("v", "v"): "(log variance)²",
}
EFFECT = {"u": "outcome", "v": "log variance"}
#: The coefficients of a level-2 function, by what it is of.
KAPPA = {
    "tau": "log variance",
    "rho": "atanh correlation",
    "pcor": "atanh partial correlation",
}
NU = "degrees of freedom"
PI = "probability"


@dataclass(frozen=True)
class ScaleRule:
    """How one engine reports, and what turns it into the canonical scale.

    Attributes
    ----------
    variance : str
        The native scale of the variance function: "log variance", "log SD" or "SD".
    factor : float
        What a native coefficient or effect of the variance function is multiplied by
        (2 from log SD to log variance).
    level2 : str
        The native report of level-2 dispersion: "variance" or "SD".
    since, before : tuple of int
        The versions it holds for: since <= version < before (empty: no bound).
    """

    variance: str
    factor: float
    level2: str
    since: tuple[int, ...] = ()
    before: tuple[int, ...] = ()


RULES: dict[str, tuple[ScaleRule, ...]] = {
    "brms": (ScaleRule("log SD", 2.0, "SD"),),
    "nlme": (ScaleRule("log SD", 2.0, "variance"),),
    "lme4": (ScaleRule("SD", 2.0, "variance"),),
    "ols": (ScaleRule("log variance", 1.0, "variance"),),
    "twostep": (ScaleRule("log variance", 1.0, "variance"),),
    "agq": (ScaleRule("log variance", 1.0, "variance"),),
    "stan": (ScaleRule("log variance", 1.0, "SD"),),
    "nuts": (ScaleRule("log variance", 1.0, "SD"),),
    "fake": (ScaleRule("log variance", 1.0, "variance"),),
}


def rule(engine: str, version: str | None = None) -> ScaleRule:
    """Return the scale rule of an engine at a version.

    Parameters
    ----------
    engine : str
        The engine's name.
    version : str, optional
        Its version; needed only where the rule has changed between versions.

    Returns
    -------
    ScaleRule

    Raises
    ------
    KeyError
        Where there is no rule: a new engine or version must be added to the table.
    """
    number = tuple(int(part) for part in (version or "").split(".") if part.isdigit())
    for candidate in RULES[engine]:
        late_enough = not candidate.since or number >= candidate.since
        if late_enough and (not candidate.before or number < candidate.before):
            return candidate
    raise KeyError(f"no scale rule for {engine} {version}")


def tau_scale(first: str, second: str) -> str:
    """Return the scale of a variance or covariance of effects ``u`` or ``v``."""
    return TAU[(first, second) if first <= second else (second, first)]


def lambda_scale(latent_scale: str, square: bool) -> str:
    """Return the scale of the effect of u, or of its square, in the variance function.

    Parameters
    ----------
    latent_scale : {"standardised", "raw"}
        Whether u enters in its SDs or in outcome units.
    square : bool
        Whether it is the effect of the square.
    """
    unit = "SD" if latent_scale == "standardised" else "unit"
    return f"log variance per {unit}{'²' * square} of u"


def covariance_draws(sd: np.ndarray, rho: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Return covariances from SDs and correlations, draw by draw.

    Parameters
    ----------
    sd : (..., q) array
        SDs of the effects, canonical scale.
    rho : (..., q, q) array
        Correlation matrices.
    pairs : list of (int, int)
        The elements wanted.

    Returns
    -------
    (..., len(pairs)) array
        Variances and covariances, sd_a * sd_b * rho_ab.
    """
    columns = [sd[..., a] * sd[..., b] * (rho[..., a, b] if a != b else 1.0) for a, b in pairs]
    return np.stack(columns, axis=-1) if columns else np.zeros((*sd.shape[:-1], 0))


def correlation_matrix(rho: np.ndarray, pairs: list[tuple[int, int]], size: int) -> np.ndarray:
    """Return full correlation matrices (..., size, size) from the elements ``rho`` (..., pairs)."""
    full = np.zeros((*rho.shape[:-1], size, size))
    full[..., np.arange(size), np.arange(size)] = 1.0
    for position, (a, b) in enumerate(pairs):
        full[..., a, b] = full[..., b, a] = rho[..., position]
    return full
