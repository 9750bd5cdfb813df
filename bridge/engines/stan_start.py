"""Points for the chains of Stan around one start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge.engines.stan_data import places
from bridge.engines.stan_dispersed import dispersed_rest, dispersed_start
from bridge.engines.stan_rows import fixed_parts
from bridge.engines.stan_values import sampled
from bridge.starting import column_size

_SMALL = 0.02  # how far from zero a correlation may start where others are functions


def initial_points(
    start: dict[str, np.ndarray],
    chains: int,
    seed: int,
    data: Mapping[str, Any],
    dispersed: bool = False,
) -> list[dict[str, Any]]:
    """Make starting points of the Stan programs, a little apart from each other or far.

    Parameters
    ----------
    start : dict
        What `bridge.starting.starting_values` returned.
    chains : int
        How many points.
    seed : int
        The same seed gives the same points.
    data : mapping
        The data block, as `bridge.engines.stan_data.stan_data` makes it.
    dispersed : bool
        Whether the points are as far apart as `bridge.engines.stan_dispersed` has them.

    Returns
    -------
    list of dict
        A dict a chain, with a value for every parameter of the general program (the plain one
        reads a part of it): level-2 functions near
        the constant SDs and correlations, associations near zero, nu 10.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(places(data))  # with level-2 functions it is the model's
    varies = {(int(a) - 1, int(b) - 1) for a, b in data["kappa_pair"]}
    constant = [a for a in range(len(start["sd"])) if (a, a) not in varies]
    n_cpc, n_free = _correlations(np.asarray(data["block"]), varies)
    points = []
    whole = start
    for _ in range(chains):
        start = dispersed_start(whole, data, rng) if dispersed else whole
        sd = start["sd"] * np.exp(rng.normal(0, 0.1, len(start["sd"])))
        effects = start["effects"] + 0.1 * sd[:, None] * rng.normal(size=start["effects"].shape)
        point = {
            name: start[name] + start[f"{name}_step"] * rng.normal(size=start[name].shape)
            for name in ("gamma", "delta")
        }
        point |= {"sd": sd[order][constant], "cpc": rng.uniform(-0.1, 0.1, n_cpc)}
        point["free_rho"] = rng.uniform(-_SMALL, _SMALL, n_free)
        point["kappa"] = _kappa(sd, data, rng)
        point["lambda"] = _lambda(sd, data, rng)
        point["nu"] = np.full(data["t_effects"], 10.0)
        point["mixing"] = np.exp(rng.normal(0, 0.1, data["t_effects"] * data["J"]))
        if dispersed:
            point |= dispersed_rest(point, data, rng)
        spread = _group_sds(sd, point["kappa"], data)
        if data["t_effects"]:
            spread = spread * np.sqrt(point["mixing"])
        # as if the effects were independent, which at the start they nearly are
        part = fixed_parts(data, point["gamma"], point["delta"])
        point["raw"] = sampled(effects[order], part, spread[order], np.eye(len(effects)), data)
        for name in ("gamma", "delta"):
            point[f"{name}_raw"] = coefficients_sampled(name, point[name], data)
        points.append(point)
    return points


def coefficients_sampled(name: str, value: np.ndarray, data: Mapping[str, Any]) -> np.ndarray:
    """Return what is sampled of gamma or delta, in the units of the data block."""
    away = value - data[f"{name}_centre"]
    found: np.ndarray = np.linalg.solve(data[f"{name}_factor"], away)
    return found


def _correlations(block: np.ndarray, varies: set[tuple[int, int]]) -> tuple[int, int]:
    """Return how many correlations the program takes as partial ones, and how many as they are."""
    among = {block[a] for a, b in varies if a != b}
    pairs = [(a, b) for a in range(len(block)) for b in range(a) if block[a] == block[b]]
    free = [pair for pair in pairs if block[pair[0]] in among]
    return len(pairs) - len(free), len([pair for pair in free if pair not in varies])


def _kappa(sd: np.ndarray, data: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Return coefficients whose functions are near constant SDs and correlations of zero."""
    H, pairs = data["H"], data["kappa_pair"] - 1
    kappa = np.zeros(len(pairs))
    step = 0.1 / column_size(H)
    for a, b in dict.fromkeys(map(tuple, pairs)):
        own = (pairs == (a, b)).all(axis=1)
        if a == b:
            level = np.full(len(H), 2 * np.log(sd[a]))
            kappa[own] = np.linalg.lstsq(H[:, own], level, rcond=None)[0]
        else:
            # far from matrices that are not positive definite
            step[own] *= _SMALL / 0.1 / len(H[0, own])
    found: np.ndarray = kappa + step * rng.uniform(-1, 1, len(pairs))
    return found


def _lambda(sd: np.ndarray, data: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Return associations near zero, by how far the effects reach."""
    unit = np.ones(data["qu"]) if data["standardised"] else sd[: data["qu"]]
    units = np.concatenate([unit, unit**2])[: data["latent"] * data["qu"]]
    found: np.ndarray = rng.uniform(-0.1, 0.1, len(units)) / units
    return found


def _group_sds(sd: np.ndarray, kappa: np.ndarray, data: Mapping[str, Any]) -> np.ndarray:
    """Return the SD of every effect in every group (q, J)."""
    found: np.ndarray = np.tile(sd[:, None], data["J"])
    pairs = data["kappa_pair"] - 1
    for a in range(len(sd)):
        own = (pairs == a).all(axis=1)
        if own.any():
            found[a] = np.exp(0.5 * data["H"][:, own] @ kappa[own])
    return found
