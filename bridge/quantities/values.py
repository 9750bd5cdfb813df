"""What quantities are computed from: parameters and group effects, draw by draw or estimated.

Every quantity is a function of `Values`, arrays whose first axis are draws. Of a posterior they are
its draws; of other fits the estimates, moved a little in each parameter, so that one call of the
function gives the quantity and its slopes for the delta method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special

from bridge import arviz_compat, names
from bridge.engines.harmonise import Z95
from bridge.errors import NotAvailable
from bridge.result import Result

#: Of the column ``method``: where the numbers come from.
POSTERIOR, DELTA = "posterior", "delta method"
#: The step of a derivative, in standard errors, and where there is none.
_STEP, _LEAST_STEP = 1e-3, 1e-6
#: How intervals without draws are made: on the scale where they cannot leave the range. A link, its
#: inverse and its slope.
_LINKS: dict[str, tuple[Callable[..., np.ndarray], ...]] = {
    "real": (lambda x: x, lambda x: x, np.ones_like),
    "positive": (np.log, np.exp, lambda x: 1 / x),
    "unit": (special.logit, special.expit, lambda x: 1 / (x * (1 - x))),
}


@dataclass(frozen=True, eq=False)
class Values:
    """Parameters and group effects of S draws, canonical scales.

    Attributes
    ----------
    gamma : (S, p) array
        Coefficients of the mean.
    delta : (S, k) array
        Coefficients of the log variance.
    tau : (S, q, q) array or None
        Level-2 covariance matrices, u before v; None where they differ between groups.
    effects : (S, J, q) array
        Group effects, u before v.
    n_u : int
        How many of the q effects are in the mean.
    """

    gamma: np.ndarray
    delta: np.ndarray
    tau: np.ndarray | None
    effects: np.ndarray
    n_u: int

    @property
    def u(self) -> np.ndarray:
        """Effects of the mean, (S, J, qu)."""
        return self.effects[..., : self.n_u]

    @property
    def v(self) -> np.ndarray:
        """Effects of the log variance, (S, J, qv)."""
        return self.effects[..., self.n_u :]

    @cached_property
    def tau_u(self) -> np.ndarray:
        """Covariance matrices of u, (S, qu, qu)."""
        return self._tau()[:, : self.n_u, : self.n_u]

    @cached_property
    def tau_v(self) -> np.ndarray:
        """Covariance matrices of v, (S, qv, qv)."""
        return self._tau()[:, self.n_u :, self.n_u :]

    def _tau(self) -> np.ndarray:
        if self.tau is None:
            raise NotAvailable(
                "With level-2 functions the covariance matrix of the effects differs between "
                "groups, and this number is of one matrix; result.level2(at=…) gives it by profile."
            )
        return self.tau


Function = Callable[[Values], np.ndarray]


def is_posterior(result: Result) -> bool:
    """Tell whether a result has draws."""
    return result.method == "posterior"


def refuse_other_effects(result: Result, what: str) -> None:
    """Refuse what holds for normal effects alone.

    Raises
    ------
    NotAvailable
        Where effects are Student-t or latent classes, or u enters the log variance.
    """
    spec = result.spec
    if spec.random_effects != "normal":
        law = "Student-t effects" if spec.random_effects == "student_t" else "latent classes"
        raise NotAvailable(f"{what} is for normal group effects; this model has {law}.")
    if spec.association is not None:
        raise NotAvailable(
            f"{what} is for models in which the effects of the mean stay out of the log variance; "
            f"this one has association='{spec.association}'."
        )


# --- draws ----------------------------------------------------------------------------------
def draws_of(result: Result) -> Values:
    """Return the draws of a posterior, chain by chain."""
    posterior = arviz_compat.groups_of(result.idata)["posterior"].transpose("chain", "draw", ...)
    S = posterior.sizes["chain"] * posterior.sizes["draw"]

    def flat(name: str, empty: tuple[int, ...] = (0,)) -> np.ndarray:
        if name not in posterior:
            return np.zeros((S, *empty))
        values: np.ndarray = posterior[name].values
        return values.reshape(S, *values.shape[2:])

    u, v = (flat(letter, (result.n_groups, 0)) for letter in "uv")
    tau = None
    if not result.level2_terms:
        labels = [str(label) for label in posterior["tau_pair"].values] if result.effects else []
        tau = _matrices(result.effects, labels, flat("tau"), S)
    effects = np.concatenate([u, v], axis=-1)
    return Values(flat("gamma"), flat("delta"), tau, effects, u.shape[-1])


def _matrices(
    effects: Sequence[str], labels: Sequence[str], elements: np.ndarray, S: int
) -> np.ndarray:
    """Return symmetric matrices (S, q, q) from their elements (S, n); zero where there is none."""
    found = np.zeros((S, len(effects), len(effects)))
    place = {label: i for i, label in enumerate(labels)}
    for b, second in enumerate(effects):
        for a, first in enumerate(effects[: b + 1]):
            i = place.get(names.pair(first, second))
            if i is not None:
                found[:, a, b] = found[:, b, a] = elements[:, i]
    return found


# --- estimates ------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class _Estimates:
    """Estimates as one vector, with the covariance of what has one."""

    result: Result
    labels: list[str]
    value: np.ndarray
    covariance: np.ndarray
    effects: np.ndarray
    effects_covariance: np.ndarray

    def values(self, theta: np.ndarray, effects: np.ndarray) -> Values:
        """Return parameters (S, P) and effects (S, J, q) in their places."""
        parts: dict[str, list[int]] = {"gamma": [], "delta": [], "tau": []}
        for i, label in enumerate(self.labels):
            parts[label.partition("[")[0]].append(i)
        tau = None
        if not self.result.level2_terms:
            inside = [self.labels[i][len("tau[") : -1] for i in parts["tau"]]
            tau = _matrices(self.result.effects, inside, theta[:, parts["tau"]], len(theta))
        n_u = sum(effect.startswith("u:") for effect in self.result.effects)
        return Values(theta[:, parts["gamma"]], theta[:, parts["delta"]], tau, effects, n_u)


def _estimates(result: Result) -> _Estimates:
    table = result.estimates
    kept = [str(p) for p in table["parameter"] if str(p).startswith(("gamma[", "delta[", "tau["))]
    value = table.set_index("parameter").loc[kept, "estimate"].to_numpy(dtype=float)
    covariance = result.parameter_covariance
    if covariance is None:
        covariance = pd.DataFrame(dtype=float)
    V = covariance.reindex(index=kept, columns=kept).to_numpy(dtype=float)
    J, q = result.n_groups, len(result.effects)
    effects, spread = np.zeros((J, q)), np.zeros((J, q, q))
    for a, effect in enumerate(result.effects):
        own = result.group_effects[result.group_effects["effect"] == effect]
        effects[:, a] = own["estimate"].to_numpy(dtype=float)
        spread[:, a, a] = own["se"].to_numpy(dtype=float, na_value=np.nan) ** 2
    if result.effects_covariance is not None:
        spread = np.asarray(result.effects_covariance, dtype=float)
    return _Estimates(result, kept, value, V, effects, spread)


def effect_draws(result: Result, draws: int, seed: int) -> Values:
    """Return normal draws of the group effects given the data, the parameters at their estimates.

    Parameters
    ----------
    result : Result
        Of an engine without draws.
    draws : int
        How many.
    seed : int
        The same seed gives the same draws.
    """
    known = _estimates(result)
    rng = np.random.default_rng(seed)
    root = np.linalg.eigh(known.effects_covariance)
    factor = root.eigenvectors * np.sqrt(np.maximum(root.eigenvalues, 0.0))[:, None, :]
    z = rng.standard_normal((draws, *known.effects.shape))
    effects = known.effects + np.einsum("jab,sjb->sja", factor, z)
    return known.values(np.tile(known.value, (draws, 1)), effects)


def knows_errors_of_effects(result: Result) -> bool:
    """Tell whether the engine says how well every group effect is known."""
    return is_posterior(result) or bool(np.isfinite(_estimates(result).effects_covariance).all())


# --- a quantity with its interval ---------------------------------------------------------------
def estimated(
    result: Result, function: Function, bound: str = "real", by_group: bool = False
) -> pd.DataFrame:
    """Return a quantity with its standard error and 95% interval.

    Parameters
    ----------
    result : Result
        Any fit.
    function : callable
        Of `Values` of S draws; returns (S, m), draw by draw. It must not mix draws.
    bound : {"real", "positive", "unit"}
        The range of the quantity.
    by_group : bool
        Whether it reads the group effects, number j those of group j alone; m is then J.

    Returns
    -------
    pandas.DataFrame
        m rows: estimate, se, lower, upper, method. Of a posterior the mean, SD and the 2.5% and
        97.5% quantiles over draws. Of other fits the value at the estimates, the standard error
        sqrt(g'Vg + g_j'C_j g_j) by the delta method, V the covariance of the parameters and C_j
        that of the effects of the group given the data (what the two have in common is left out),
        and an interval that is symmetric on the log or logit scale of a bounded quantity. ``<NA>``
        where the engine gives no covariance that is needed.
    """
    if is_posterior(result):
        return of_draws(function(draws_of(result)))
    return _by_delta(result, function, bound, by_group)


def of_draws(x: np.ndarray) -> pd.DataFrame:
    """Return mean, SD and 95% interval of draws (S, m)."""
    lower, upper = np.quantile(x, [0.025, 0.975], axis=0)
    spread = x.std(axis=0, ddof=1) if len(x) > 1 else np.full(x.shape[1], np.nan)
    return _frame(x.mean(axis=0), spread, lower, upper, POSTERIOR)


def _by_delta(result: Result, function: Function, bound: str, by_group: bool) -> pd.DataFrame:
    known = _estimates(result)
    P, q = len(known.value), known.effects.shape[1] if by_group else 0
    spread = np.sqrt(np.diag(known.covariance))
    step = np.where(np.isfinite(spread) & (spread > 0), _STEP * spread, _LEAST_STEP)
    theta = np.tile(known.value, (1 + 2 * (P + q), 1))
    effects = np.tile(known.effects, (len(theta), 1, 1))
    for i in range(P):
        theta[1 + 2 * i, i] += step[i]
        theta[2 + 2 * i, i] -= step[i]
    of_effects = _steps_of_effects(known, q)
    for a in range(q):
        effects[1 + 2 * (P + a), :, a] += of_effects[:, a]
        effects[2 + 2 * (P + a), :, a] -= of_effects[:, a]
    x = function(known.values(theta, effects))
    ahead, behind = x[1::2], x[2::2]
    slopes = (ahead[:P] - behind[:P]) / (2 * step[:, None])
    variance = _quadratic(slopes.T, known.covariance)
    if q:
        own = ((ahead[P:] - behind[P:]) / (2 * of_effects.T)).T  # (J, q)
        variance = variance + np.array(
            [_quadratic(g[None], C)[0] for g, C in zip(own, known.effects_covariance, strict=True)]
        )
    return _with_interval(x[0], np.sqrt(np.maximum(variance, 0.0)), bound)


def _steps_of_effects(known: _Estimates, q: int) -> np.ndarray:
    own = np.sqrt(np.diagonal(known.effects_covariance, axis1=1, axis2=2))[:, :q]
    return np.where(np.isfinite(own) & (own > 0), _STEP * own, _LEAST_STEP)


def _quadratic(slopes: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Return g'Vg of each row of slopes (m, P); NaN where what it needs of V is not known."""
    used = np.abs(slopes) > 0
    total = np.einsum("mi,ij,mj->m", slopes, np.nan_to_num(V), slopes)
    unknown = ~np.isfinite(V)
    lacking = np.einsum("mi,ij,mj->m", used * 1.0, unknown * 1.0, used * 1.0) > 0
    return np.where(lacking, np.nan, total)


def _with_interval(value: np.ndarray, se: np.ndarray, bound: str) -> pd.DataFrame:
    link, back, slope = _LINKS[bound]
    inside = np.ones(len(value), dtype=bool)
    if bound != "real":
        inside = (value > 0) & ((value < 1) | (bound == "positive"))
    at = np.where(inside, value, 0.5)
    ends = [back(link(at) + sign * Z95 * se * slope(at)) for sign in (-1, 1)]
    # at the edge of its range a quantity has no interval of this kind
    lower, upper = (np.where(inside, end, np.nan) for end in ends)
    return _frame(value, np.where(inside, se, np.nan), lower, upper, DELTA)


def _frame(
    value: np.ndarray, se: np.ndarray, lower: np.ndarray, upper: np.ndarray, method: str
) -> pd.DataFrame:
    numbers = {"estimate": value, "se": se, "lower": lower, "upper": upper}
    found = pd.DataFrame({k: pd.array(v, dtype="Float64") for k, v in numbers.items()})
    found["method"] = method
    return found
