"""Which effects Stan samples centred, and points for its chains around one start."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge import by_group

_CENTRED_ABOVE = 0.5


def choose_centred(
    start: dict[str, np.ndarray],
    W: np.ndarray,
    Z: np.ndarray,
    group: np.ndarray,
    J: int,
) -> np.ndarray:
    """Choose the effects that Stan samples as they are (1), the others standardised (0).

    An effect of the mean is centred where the groups say much about it: where its reliability,
    one minus its conditional variance over its variance, exceeds a half on average over groups.
    Effects of the log variance are never centred: a group says little about its own variance.
    On High School and Beyond (Leckie et al. 2014; two chains of 1,000 draws) the
    smallest bulk effective sample sizes were, for Model 4, one seed: u:Intercept centred 562,
    nothing centred 426, the slope of the mean centred too 27. For Model 1 centring u is no clear
    gain in the smallest (280, 380, 406 over three seeds; without it 292 to 538 in four), though the
    SD of u gains (about 3,000 against 550 to 720); centring v too gave 12.

    Parameters
    ----------
    start : dict
        What `bridge.starting.starting_values` returned.
    W : ndarray, shape (N, k)
        Fixed design of the log variance.
    Z : ndarray, shape (N, qu)
        Design of the group effects in the mean.
    group : ndarray of int, shape (N,)
        Group numbers from 0.
    J : int
        How many groups there are.

    Returns
    -------
    ndarray of int, shape (q,)
        The flags, in the order u, v.
    """
    flags = np.zeros(len(start["sd"]), int)
    flags[: Z.shape[1]] = reliability(start, W, Z, group, J) > _CENTRED_ABOVE
    return flags


def reliability(
    start: dict[str, np.ndarray], W: np.ndarray, Z: np.ndarray, group: np.ndarray, J: int
) -> np.ndarray:
    """Return the mean reliability over groups of each effect in the mean.

    Parameters
    ----------
    start, W, Z, group, J
        As for `choose_centred`.

    Returns
    -------
    ndarray, shape (qu,)
        Between 0 and 1.
    """
    qu = Z.shape[1]
    sd = start["sd"][:qu]
    scaled = Z * sd * np.exp(-0.5 * (W @ start["delta"]))[:, None]
    conditional = np.linalg.inv(np.eye(qu) + by_group.products(scaled, scaled, group, J))
    reliable: np.ndarray = 1 - np.diagonal(conditional, axis1=1, axis2=2).mean(axis=0)
    return reliable


def initial_points(
    start: dict[str, np.ndarray],
    chains: int,
    seed: int,
    centred: np.ndarray,
    block: np.ndarray,
) -> list[dict[str, Any]]:
    """Make starting points of the Stan program, a little apart from each other.

    Parameters
    ----------
    start : dict
        What `bridge.starting.starting_values` returned.
    chains : int
        How many points.
    seed : int
        The same seed gives the same points.
    centred : ndarray of int, shape (q,)
        Which effects are sampled as they are.
    block : ndarray of int, shape (q,)
        Which effects are correlated: those of one number.

    Returns
    -------
    list of dict
        gamma (p,), delta (k,), sd (q,), cpc (n_rho,) and raw (q, J), a dict a chain.
    """
    rng = np.random.default_rng(seed)
    block = np.asarray(block)
    n_rho = sum(int(np.sum(block[:a] == block[a])) for a in range(len(block)))
    points = []
    for _ in range(chains):
        sd = start["sd"] * np.exp(rng.normal(0, 0.1, len(start["sd"])))
        effects = start["effects"] + 0.1 * sd[:, None] * rng.normal(size=start["effects"].shape)
        point = {
            name: start[name] + start[f"{name}_step"] * rng.normal(size=start[name].shape)
            for name in ("gamma", "delta")
        }
        point |= {"sd": sd, "cpc": rng.uniform(-0.1, 0.1, n_rho)}
        point["raw"] = np.where(np.asarray(centred)[:, None] == 1, effects, effects / sd[:, None])
        points.append(point)
    return points
