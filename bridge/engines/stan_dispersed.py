"""Starting points far apart from each other, to see whether chains find the same posterior.

They are wider than a posterior of any use (Gelman & Rubin 1992, Statistical Science 7): the mean
function is off by up to a residual SD for each of its columns, the log variance by up to one, SDs
by a factor of up to four and a half, correlations lie anywhere within 0.8 of zero, and the group
effects are drawn anew from what the SDs say. Where the log variance of a row would be so far off
that its density could overflow, the effects of the variance and delta keep nearer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_LOG_SD = 1.5  # exp(1.5) is 4.5
_CPC = 0.8
_FARTHEST_Z = 2.0  # of a group effect, in its SDs
_FARTHEST_ROW = 5.0  # what one column may add to the log variance of a row


def dispersed_start(
    start: Mapping[str, np.ndarray], data: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return a start far from another one.

    Parameters
    ----------
    start : mapping
        What `bridge.starting.starting_values` returned.
    data : mapping
        The data block of a Stan program.
    rng : numpy.random.Generator
        Decides how far.

    Returns
    -------
    dict of str to ndarray
        The same names, shapes and scales.
    """
    found = dict(start)
    # the steps are a tenth of a residual SD, and of a log variance of one
    found["gamma"] = start["gamma"] + 10 * start["gamma_step"] * _within(rng, start["gamma"])
    reach = np.minimum(10 * start["delta_step"], _FARTHEST_ROW / _largest(data["W"]))
    found["delta"] = start["delta"] + reach * _within(rng, start["delta"])
    sd = start["sd"] * np.exp(_LOG_SD * _within(rng, start["sd"]))
    z = rng.normal(size=start["effects"].shape).clip(-_FARTHEST_Z, _FARTHEST_Z)
    found["sd"], found["effects"] = sd, sd[:, None] * z
    first = len(sd) - data["qv"]
    most = _FARTHEST_ROW / (_FARTHEST_Z * _largest(data["A"]))
    found["effects"][first:] *= np.minimum(1.0, most / sd[first:])[:, None]
    return found


def dispersed_rest(
    point: Mapping[str, Any], data: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Return what else a starting point holds, far from where it was.

    Parameters
    ----------
    point : mapping
        A point as `bridge.engines.stan_start.initial_points` makes it, near.
    data, rng
        As for `dispersed_start`.

    Returns
    -------
    dict of str to ndarray
        cpc, free_rho, kappa, lambda, nu and mixing.
    """
    pairs, H = np.asarray(data["kappa_pair"]), data["H"]
    own, other = pairs[:, 0], pairs[:, 1]
    members = _members(np.asarray(data["block"]))
    # a matrix with correlations that add up to less than one in every row is positive definite
    most = 0.5 / max(members - 1, 1)
    columns = np.array([((pairs == pair).all(axis=1)).sum() for pair in pairs])
    reach = np.where(own == other, 1.0, most) / np.maximum(_largest(H) * columns, 1e-300)
    return {
        "cpc": _CPC * _within(rng, point["cpc"]),
        "free_rho": most * _within(rng, point["free_rho"]),
        "kappa": np.where(own == other, point["kappa"], 0.0) + reach * _within(rng, own),
        "lambda": 5 * point["lambda"],
        "nu": np.exp(rng.uniform(np.log(3), np.log(40), len(point["nu"]))),
        "mixing": point["mixing"] ** 5,
    }


def _within(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    found: np.ndarray = rng.uniform(-1, 1, len(like))
    return found


def _largest(D: np.ndarray) -> np.ndarray:
    """Return the largest absolute value of each column, 1 for a column of zeros."""
    largest: np.ndarray = np.abs(D).max(axis=0, initial=0.0)
    return np.where(largest > 0, largest, 1.0)


def _members(block: np.ndarray) -> int:
    """Return how many effects the largest block has."""
    return int(np.unique(block, return_counts=True)[1].max(initial=1))
