"""The model of stan/location_scale.stan in plain NumPy, brute force: explicit T, every Jacobian.

Nothing here follows the program's own road: correlations come from partial ones by recursion
(not through a Cholesky factor), the effects from conditional normals, and the density of the
sampler's parameters from the density of (R, effects) by the derivative of that map.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from bridge.resources import path


def program_text() -> str:
    return path("stan/location_scale.stan").read_text()


def pairs(block: np.ndarray) -> list[tuple[int, int]]:
    q = len(block)
    return [(a, b) for a in range(q) for b in range(a) if block[a] == block[b]]


def correlations(cpc: np.ndarray, block: np.ndarray) -> np.ndarray:
    """R from cpc, the correlation of (a, b) given the members of the block before b."""
    R = np.eye(len(block), dtype=np.asarray(cpc).dtype)
    place = dict(zip(pairs(block), cpc, strict=True))
    for (a, b), partial in place.items():
        before = [c for c in range(b) if block[c] == block[b]]
        value = partial
        for c in reversed(before):  # condition on one member less at a time
            ra, rb = place[a, c], place[b, c]
            value = value * np.sqrt((1 - ra**2) * (1 - rb**2)) + ra * rb
        R[a, b] = R[b, a] = value
    return R


def log_jacobian_of_correlations(cpc: np.ndarray, block: np.ndarray) -> float:
    """log |d R / d cpc| by complex steps, exact to rounding."""
    index = pairs(block)
    slope = np.empty((len(index), len(index)))
    for n in range(len(index)):
        moved = cpc.astype(complex)
        moved[n] += 1e-30j
        R = correlations(moved, block)
        slope[:, n] = [R[a, b].imag / 1e-30 for a, b in index]
    return float(np.linalg.slogdet(slope)[1])


def log_lkj(R: np.ndarray, eta: float) -> float:
    """Log density of a correlation matrix, with the constant of Lewandowski et al. 2009."""
    K = len(R)
    log_constant = 0.0
    for k in range(1, K):
        shape = eta + (K - k - 1) / 2
        log_constant += (2 * eta - 2 + K - k) * (K - k) * np.log(2)
        log_constant += (K - k) * special.betaln(shape, shape)
    return float((eta - 1) * np.linalg.slogdet(R)[1] - log_constant)


def group_effects(data: dict, point: dict, R: np.ndarray) -> tuple[np.ndarray, float]:
    """Effects [q, J] and log |d effects / d raw| summed over groups."""
    sd, raw, effects, log_slope = point["sd"], point["raw"], np.array(point["raw"]), 0.0
    for a in range(len(sd)):
        if data["centred"][a] == 1:
            continue
        weights = np.linalg.solve(R[:a, :a], R[:a, a])
        spread = sd[a] * np.sqrt(1 - R[a, :a] @ weights)
        mean = sd[a] * (effects[:a] / sd[:a, None]).T @ weights
        effects[a] = mean + spread * raw[a]
        log_slope += raw.shape[1] * np.log(spread)
    return effects, log_slope


def prior(kind: int, row: np.ndarray, value: float) -> float:
    if kind == 1:
        return float(stats.norm.logpdf(value, row[1], row[2]))
    return float(stats.t.logpdf(value, row[0], row[1], row[2])) if kind == 2 else 0.0


def sd_prior(kind: int, row: np.ndarray, value: float) -> float:
    if kind == 1:
        return float(stats.t.logpdf(value, row[0], 0, row[1]))
    if kind == 2:
        return float(stats.norm.logpdf(value, 0, row[1]))
    return float(stats.expon.logpdf(value, scale=1 / row[1])) if kind == 3 else 0.0


def log_density(data: dict, point: dict) -> float:
    """Log density of (gamma, delta, sd, cpc, raw), every constant kept."""
    block, qu = data["block"], data["qu"]
    R = correlations(point["cpc"], block)
    effects, total = group_effects(data, point, R)
    if len(block):
        T = R * np.outer(point["sd"], point["sd"])
        total += stats.multivariate_normal.logpdf(effects.T, np.zeros(len(T)), T).sum()
        total += log_jacobian_of_correlations(point["cpc"], block)
    for number in np.unique(block):
        members = np.flatnonzero(block == number)
        if len(members) > 1:
            total += log_lkj(R[np.ix_(members, members)], data["lkj"][members[0]])
    for i in range(data["N"]):
        j = data["group"][i] - 1
        mean = data["X"][i] @ point["gamma"] + data["Z"][i] @ effects[:qu, j]
        log_variance = data["W"][i] @ point["delta"] + data["A"][i] @ effects[qu:, j]
        total += stats.norm.logpdf(data["y"][i], mean, np.sqrt(np.exp(log_variance)))
    for name in ("gamma", "delta"):
        rows = zip(data[f"{name}_prior_kind"], data[f"{name}_prior"], point[name], strict=True)
        total += sum(prior(*row) for row in rows)
    rows = zip(data["sd_prior_kind"], data["sd_prior"], point["sd"], strict=True)
    return float(total + sum(sd_prior(*row) for row in rows))


def make_data(
    block: list[int],
    qu: int,
    centred: list[int],
    *,
    p: int = 2,
    k: int = 2,
    groups: int = 6,
    size: int = 7,
    lkj: float = 1.0,
    seed: int = 1,
) -> dict:
    """Small random data with flat coefficient priors and a half-t on each SD."""
    rng = np.random.default_rng(seed)
    q, N = len(block), groups * size
    x = rng.normal(size=(N, 6))
    x[:, 0] = 1.0
    return {
        "N": N, "J": groups, "p": p, "k": k, "qu": qu, "qv": q - qu,
        "y": rng.normal(1.0, 2.0, N),
        "X": x[:, :p], "W": x[:, :k], "Z": x[:, :qu], "A": x[:, : q - qu],
        # shuffled, for the program must not need sorted groups
        "group": rng.permutation(np.repeat(np.arange(1, groups + 1), size)),
        "block": np.array(block, int), "centred": np.array(centred, int),
        "gamma_prior_kind": np.zeros(p, int), "gamma_prior": np.zeros((p, 3)),
        "delta_prior_kind": np.zeros(k, int), "delta_prior": np.zeros((k, 3)),
        "sd_prior_kind": np.ones(q, int),
        "sd_prior": np.column_stack([np.full(q, 3.0), np.linspace(1, 2, q)]).reshape(q, 2),
        "lkj": np.full(q, lkj),
    }  # fmt: skip


def random_point(data: dict, rng: np.random.Generator) -> dict:
    q = len(data["block"])
    return {
        "gamma": rng.normal(size=data["p"]),
        "delta": rng.normal(0, 0.5, size=data["k"]),
        "sd": rng.lognormal(-0.3, 0.6, q),
        "cpc": rng.uniform(-0.9, 0.9, len(pairs(data["block"]))),
        "raw": rng.normal(0, 0.8, (q, data["J"])),
    }
