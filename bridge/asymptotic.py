"""Normal draws around maximum-likelihood estimates, where they are closest to normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge import names
from bridge.errors import OptionError

if TYPE_CHECKING:
    from bridge.result import Result

#: A squared partial correlation nearer to one, or a share of a variance nearer to zero, is there.
_ONE = 1e-7
#: The log of an SD is kept within this: no number is larger, and none smaller but zero.
_FAR = 300.0


def asymptotic_draws(result: Result, draws: int, seed: int) -> pd.DataFrame:
    """Return draws of every parameter with a known covariance; see `Result.asymptotic_draws`.

    Coefficients are drawn as they are. The covariance matrix of correlated effects is drawn as
    the logs of its SDs and the atanh of its canonical partial correlations (Lewandowski, Kurowicka
    & Joe 2009), with their covariance by the delta method; a correlation of two effects alone is
    its own partial one. Variances, covariances and correlations follow from these, so that each
    draw is a covariance matrix of effects. What has no standard error (a variance of zero, a
    correlation of one) is a constant, its estimate, and where T is singular so is each draw.
    With level-2 functions, where T differs between groups, its constant correlations are drawn
    one by one on atanh.

    Raises
    ------
    OptionError
        Where ``draws`` or ``seed`` is not a whole number in its range.
    """
    draws, seed = _whole("draws", draws, 1), _whole("seed", seed, 0)
    covariance = result.parameter_covariance
    assert covariance is not None
    labels = list(covariance.index)
    estimates = dict(zip(result.estimates["parameter"], result.estimates["estimate"], strict=True))
    blocks = [_block(own, estimates, labels) for own in _correlated(result, estimates)]
    of_effects = {label for block in blocks for label in block.labels}
    plain = [label for label in labels if label not in of_effects]
    drawn = [*plain, *(label for block in blocks for label in block.drawn)]
    slope = np.eye(len(drawn))
    centre = np.array([float(estimates[label]) for label in plain])
    for block in blocks:
        here = slice(len(centre), len(centre) + len(block.drawn))
        slope[here, here] = block.slope()
        centre = np.concatenate([centre, block.centre])
    spread = slope @ covariance.loc[drawn, drawn].to_numpy(dtype=float) @ slope.T
    values = _normal(centre, spread, draws, np.random.default_rng(seed))
    columns = dict(zip(plain, values.T, strict=False))
    start = len(plain)
    for block in blocks:
        columns |= block.columns(values[:, start : start + len(block.drawn)])
        start += len(block.drawn)
    frame = pd.DataFrame({label: columns[label] for label in labels})
    frame.attrs["kind"] = (
        f"asymptotic normal draws around {result.method} estimates of {result.engine}"
    )
    return frame


def _whole(name: str, value: Any, least: int) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise OptionError(
            f"asymptotic_draws: {name} is a whole number of at least {least}, not {value!r}."
        )
    return int(value)


def _normal(
    centre: np.ndarray, spread: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Return normal draws (draws, n), made on the scale of the standard deviations."""
    sd = np.sqrt(np.clip(np.diag(spread), 0.0, None))
    unit = np.where(sd > 0, sd, 1.0)
    made = rng.multivariate_normal(np.zeros(len(centre)), spread / np.outer(unit, unit), draws)
    found: np.ndarray = centre + made * sd
    return found


# --- effects that are correlated ---------------------------------------------------------------
@dataclass(frozen=True)
class _Block:
    """The covariance matrix of q correlated effects.

    Attributes
    ----------
    variances : list of str
        Labels of the variances, by effect.
    pairs : dict of (int, int) to (str, str)
        (later, earlier) effect -> labels of the covariance and of the correlation.
    sd : (q,) array
    partial : (q, q) array
        Canonical partial correlations below the diagonal.
    free_sd : list of int
    free : list of (int, int)
        What is drawn; the rest is constant.
    by_element : bool
        Whether the correlations stand for themselves, not for partial ones.
    """

    variances: list[str]
    pairs: dict[tuple[int, int], tuple[str, str]]
    sd: np.ndarray
    partial: np.ndarray
    free_sd: list[int]
    free: list[tuple[int, int]]
    by_element: bool

    @property
    def labels(self) -> list[str]:
        return [*self.variances, *(label for both in self.pairs.values() for label in both)]

    @property
    def drawn(self) -> list[str]:
        """Labels of the estimates whose covariance makes that of the draws."""
        return [*(self.variances[i] for i in self.free_sd), *(self.pairs[p][1] for p in self.free)]

    @property
    def centre(self) -> np.ndarray:
        """Log SDs and atanh partial correlations of what is drawn."""
        partial = np.array([self.partial[p] for p in self.free], dtype=float)
        return np.concatenate([np.log(self.sd[self.free_sd]), np.arctanh(partial)])

    def slope(self) -> np.ndarray:
        """Return the derivatives of `centre` by the estimates in `drawn`."""
        n, m = len(self.free_sd), len(self.free)
        found = np.zeros((n + m, n + m))
        found[range(n), range(n)] = 0.5 / self.sd[self.free_sd] ** 2
        back = np.zeros((m, m))
        for k, z in enumerate(self.centre[n:]):
            # of correlations by partial ones, by a complex step: exact but for rounding
            moved = self.partial.astype(complex)
            moved[self.free[k]] = np.tanh(z + 1e-30j)
            R = self.correlations(moved)
            back[:, k] = [R[p].imag / 1e-30 for p in self.free]
        found[n:, n:] = np.linalg.inv(back)
        return found

    def correlations(self, partial: np.ndarray) -> np.ndarray:
        """Return correlation matrices (..., q, q) from partial correlations (..., q, q)."""
        q = len(self.variances)
        if self.by_element:
            return partial
        L = np.zeros_like(partial)
        for i in range(q):
            left = np.ones_like(partial[..., 0, 0])
            for j in range(i):
                z = partial[..., i, j]
                L[..., i, j] = z * left
                left = left * np.sqrt((1 - z) * (1 + z))
            L[..., i, i] = left
        return L @ L.swapaxes(-1, -2)

    def columns(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return variances, covariances and correlations (draws,) from draws of `centre`."""
        n = len(self.free_sd)
        sd = np.tile(self.sd, (len(values), 1))
        sd[:, self.free_sd] = np.exp(np.clip(values[:, :n], -_FAR, _FAR))
        partial = np.tile(self.partial, (len(values), 1, 1))
        for k, (i, j) in enumerate(self.free):
            partial[:, i, j] = np.tanh(values[:, n + k])
        R = self.correlations(partial)
        found = {label: sd[:, i] ** 2 for i, label in enumerate(self.variances)}
        for (i, j), (tau, rho) in self.pairs.items():
            found |= {rho: R[:, i, j], tau: R[:, i, j] * sd[:, i] * sd[:, j]}
        return found


def _correlated(result: Result, estimates: dict[str, Any]) -> list[tuple[Sequence[str], bool]]:
    """Return the blocks of correlated effects, and whether their elements stand alone."""
    if result.spec.level2 is not None:
        return [(result.effects, True)]
    blocks: list[list[str]] = []
    for effect in result.effects:
        for block in blocks:
            if names.flat("rho", names.pair(block[0], effect)) in estimates:
                block.append(effect)
                break
        else:
            blocks.append([effect])
    return [(block, False) for block in blocks]


def _block(
    effects: tuple[Sequence[str], bool], estimates: dict[str, Any], labels: Sequence[str]
) -> _Block:
    """Return the covariance matrix of one block of effects, and what of it is drawn."""
    own, by_element = effects
    variances = [names.flat("tau", names.pair(e, e)) for e in own]
    pairs = {
        (i, j): (
            names.flat("tau", names.pair(own[j], own[i])),
            names.flat("rho", names.pair(own[j], own[i])),
        )
        for i in range(len(own))
        for j in range(i)
    }
    sd = np.sqrt([max(_number(estimates.get(label)), 0.0) for label in variances])
    R = np.eye(len(own))
    for (i, j), (_, rho) in pairs.items():
        R[i, j] = R[j, i] = np.clip(_number(estimates.get(rho)), -1.0, 1.0)
    partial, settled = (R, []) if by_element else _partial(R)
    return _Block(
        variances,
        pairs,
        sd,
        partial,
        [i for i, label in enumerate(variances) if label in labels and sd[i] > 0],
        [
            pair for pair, (_, rho) in pairs.items()
            if rho in labels and pair not in settled and partial[pair] ** 2 < 1 - _ONE
        ],
        by_element,
    )  # fmt: skip


def _number(value: Any) -> float:
    """Return an estimate; zero where it is not defined (an effect that does not vary)."""
    return 0.0 if value is None or pd.isna(value) else float(value)


def _partial(R: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return canonical partial correlations (q, q), and the pairs for which there is none.

    That of a pair of which one effect follows from those before: it counts as zero.
    """
    q = len(R)
    L, partial = np.zeros((q, q)), np.zeros((q, q))
    settled = []
    for j in range(q):
        for i in range(j, q):
            left = R[i, i] - L[i, :j] @ L[i, :j]
            if i == j:
                L[j, j] = np.sqrt(left) if left > _ONE else 0.0
            elif left <= _ONE or L[j, j] == 0:
                settled.append((i, j))
            else:
                L[i, j] = (R[i, j] - L[i, :j] @ L[j, :j]) / L[j, j]
                partial[i, j] = np.clip(L[i, j] / np.sqrt(left), -1.0, 1.0)
    return partial, settled
