"""The models of both Stan programs in plain NumPy, brute force: explicit T, every Jacobian.

Nothing here follows the program's own road: correlations come from partial ones by recursion
(not through a Cholesky factor), the effects from conditional normals, and the density of the
sampler's parameters from the density of (R, effects) by the derivative of that map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from bridge.engines.stan_information import no_information
from bridge.engines.stan_rows import fixed_parts, row_data


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
    block, u, v = data["block"], data["u_rows"] - 1, data["v_rows"] - 1
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
        mean = data["X"][i] @ point["gamma"] + data["Z"][i] @ effects[u, j]
        log_variance = data["W"][i] @ point["delta"] + data["A"][i] @ effects[v, j]
        total += stats.norm.logpdf(data["y"][i], mean, np.sqrt(np.exp(log_variance)))
    for name in ("gamma", "delta"):
        rows = zip(data[f"{name}_prior_kind"], data[f"{name}_prior"], point[name], strict=True)
        total += sum(prior(*row) for row in rows)
    rows = zip(data["sd_prior_kind"], data["sd_prior"], point["sd"], strict=True)
    return float(total + sum(sd_prior(*row) for row in rows))


def as_sampled(data: dict, points: list[dict]) -> tuple[dict, list[dict]]:
    """The program's data block, and points with the parts that centred effects take along."""
    block = row_data(data) | {k: data[k] for k in ("sparse",) if k in data}
    moved = []
    for point in points:
        part = fixed_parts(block, point["gamma"], point["delta"])
        part[data["centred"] == 0] = 0.0
        moved.append(point | {"raw": point["raw"] + part} | units(block, point))
    return block, moved


def units(data: dict, point: dict) -> dict:
    """What is sampled of gamma and delta."""
    return {
        f"{name}_raw": np.linalg.inv(data[f"{name}_factor"])
        @ (point[name] - data[f"{name}_centre"])
        for name in ("gamma", "delta")
    }


def informed(data: dict, points: list[dict], seed: int = 4) -> tuple[dict, list[dict], np.ndarray]:
    """The same points where the rows are said to tell something: data block, points, log slopes.

    What they tell is made up; the last is log |d raw there / d raw here| of each point.
    """
    rng, q, J = np.random.default_rng(seed), len(data["block"]), data["J"]
    told = {
        "weight": rng.lognormal(0, 1.5, (q, J)) * (rng.uniform(size=(q, J)) < 0.8),
        "toward": rng.normal(0, 2, (q, J)),
        "tie": rng.normal(0, 1, (q, q, J)) * np.tri(q, k=-1)[:, :, None],
    }
    block, moved = as_sampled(data | told, points)
    slopes = np.zeros(len(points))
    for n, at in enumerate(points):
        point = {"free_rho": [], "kappa": []} | at  # a point of the plain program has none
        T = covariances(data, point)
        if data["t_effects"]:
            T = T * point["mixing"][:, None, None]
        effects, _ = general_effects(data, point, covariances(data, point))
        own = effects + fixed_parts(block, point["gamma"], point["delta"])
        for j, a in [(j, a) for j in range(J) for a in range(q) if data["centred"][a] == 0]:
            on = np.linalg.solve(T[j][:a, :a], T[j][:a, a])
            variance = T[j][a, a] - T[j][:a, a] @ on
            expected = own[a, j] - effects[a, j] + effects[:a, j] @ on
            w = told["weight"][a, j]
            target = told["toward"][a, j] - told["tie"][a, :a, j] @ own[:a, j]
            # the posterior of own[a, j]: precisions and their weighted mean
            precision = 1 / variance + w
            mean = (expected / variance + w * target) / precision
            moved[n]["raw"][a, j] = (own[a, j] - mean) * np.sqrt(precision)
            slopes[n] += 0.5 * np.log(precision * variance)
    return block, moved, slopes


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
    places: Sequence[int] = (),
) -> dict:
    """Small random data with flat coefficient priors and a half-t on each SD.

    ``places`` says where each effect, those of the mean first, is among all of them.
    """
    rng = np.random.default_rng(seed)
    q, N = len(block), groups * size
    place = np.array(places or range(1, q + 1), int)
    x = rng.normal(size=(N, 6))
    x[:, 0] = 1.0
    return {
        "N": N, "J": groups, "p": p, "k": k, "qu": qu, "qv": q - qu,
        "y": rng.normal(1.0, 2.0, N),
        "X": x[:, :p], "W": x[:, :k], "Z": x[:, :qu], "A": x[:, : q - qu],
        # shuffled, for the program must not need sorted groups
        "group": rng.permutation(np.repeat(np.arange(1, groups + 1), size)),
        "u_rows": place[:qu], "v_rows": place[qu:],
        "block": np.array(block, int), "centred": np.array(centred, int),
        **no_information(q, groups),
        # whatever they are, the density of gamma and delta is the same
        "gamma_centre": rng.normal(size=p), "gamma_factor": triangular(p, rng),
        "delta_centre": rng.normal(size=k), "delta_factor": triangular(k, rng),
        "gamma_prior_kind": np.zeros(p, int), "gamma_prior": np.zeros((p, 3)),
        "delta_prior_kind": np.zeros(k, int), "delta_prior": np.zeros((k, 3)),
        "sd_prior_kind": np.ones(q, int),
        "sd_prior": np.column_stack([np.full(q, 3.0), np.linspace(1, 2, q)]).reshape(q, 2),
        "lkj": np.full(q, lkj),
        "n_sd": q, "t_effects": 0, "nu_prior": np.array([2.0, 0.1]),
        "latent": 0, "standardised": 1, **flat_priors("lambda", 0),
        "n_kappa": 0, "kappa_pair": np.zeros((0, 2), int), "H": np.zeros((groups, 0)),
        **flat_priors("kappa", 0),
        "tau_prior_kind": np.zeros(q, int), "tau_prior_df": np.zeros(q),
        "tau_prior_scale": np.zeros((q, q)), "partial": np.zeros(q, int),
    }  # fmt: skip


def triangular(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.tril(rng.normal(size=(size, size)), -1) + np.diag(rng.lognormal(-0.5, 0.5, size))


def flat_priors(name: str, count: int) -> dict:
    return {f"{name}_prior_kind": np.zeros(count, int), f"{name}_prior": np.zeros((count, 3))}


# --- the general program ------------------------------------------------------------------------
def extended(
    data: dict,
    *,
    t_effects: bool = False,
    latent: int = 0,
    standardised: bool = True,
    functions: dict[tuple[int, int], int] | None = None,
    partial: int | None = None,
    seed: int = 2,
) -> dict:
    """Data with more structure; ``functions`` gives how many terms the function of (a, b) has.

    Those of the correlations of block ``partial`` are of partial correlations.
    """
    rng = np.random.default_rng(seed)
    functions = functions or {}
    pairs_of = [(a + 1, b + 1) for (a, b), count in functions.items() for _ in range(count)]
    H = rng.normal(size=(data["J"], len(pairs_of)))
    constant = [a for a in range(len(data["block"])) if (a, a) not in functions]
    n_lambda = latent * data["qu"]
    more = {
        "t_effects": int(t_effects), "latent": latent, "standardised": int(standardised),
        "n_sd": len(constant), "sd_prior_kind": data["sd_prior_kind"][constant],
        "sd_prior": data["sd_prior"][constant],
        "partial": (data["block"] == partial).astype(int),
        "n_kappa": len(pairs_of), "kappa_pair": np.array(pairs_of, int).reshape(-1, 2), "H": H,
    }  # fmt: skip
    for name, count in (("lambda", n_lambda), ("kappa", len(pairs_of))):
        more[f"{name}_prior_kind"] = np.arange(count) % 3
        more[f"{name}_prior"] = np.column_stack(
            [np.full(count, 4.0), np.linspace(-0.2, 0.3, count), np.full(count, 0.8)]
        )
    return data | more


def varying(data: dict) -> set[tuple[int, int]]:
    return {(int(a) - 1, int(b) - 1) for a, b in data["kappa_pair"]}


def free_pairs(data: dict) -> list[tuple[int, int]]:
    """Constant correlations of blocks where another correlation is a function."""
    block, functions = data["block"], varying(data)
    among = {block[a] for a, b in functions if a != b}
    return [p for p in pairs(block) if block[p[0]] in among and p not in functions]


def cpc_block(data: dict) -> np.ndarray:
    """Blocks of which those with a function among their correlations are taken apart."""
    block = data["block"].copy()
    among = {block[a] for a, b in varying(data) if a != b}
    for a in range(len(block)):
        if block[a] in among:
            block[a] = 1000 + a
    return block


def covariances(data: dict, point: dict) -> np.ndarray:
    """T of every group [J, q, q], without the mixing."""
    q, constant = len(data["block"]), iter(point["sd"])
    functions = varying(data)
    sds = [None if (a, a) in functions else next(constant) for a in range(q)]
    common = correlations(point["cpc"], cpc_block(data))
    for (a, b), rho in zip(free_pairs(data), point["free_rho"], strict=True):
        common[a, b] = common[b, a] = rho
    found = np.empty((data["J"], q, q))
    for j in range(data["J"]):
        R, log_variance = common.copy(), np.zeros((q, q))
        for (a, b), h, kappa in zip(data["kappa_pair"], data["H"][j], point["kappa"], strict=True):
            log_variance[a - 1, b - 1] += h * kappa
        sd = np.array([s if s else np.exp(log_variance[a, a] / 2) for a, s in enumerate(sds)])
        for a, b in functions:
            if a != b:
                R[a, b] = R[b, a] = np.tanh(log_variance[a, b])
        if data["partial"].any():
            own = correlations(
                np.array(
                    [
                        np.tanh(log_variance[p]) if p in functions else 0.0
                        for p in pairs(data["block"])
                    ]
                ),
                data["block"],
            )
            inside = np.outer(data["partial"], data["partial"]) == 1
            R[inside] = own[inside]
        found[j] = R * np.outer(sd, sd)
    return found


def general_effects(data: dict, point: dict, T: np.ndarray) -> tuple[np.ndarray, float]:
    """Effects [q, J], conditional on those before, and log |d effects / d raw|."""
    effects, log_slope = np.array(point["raw"], dtype=float), 0.0
    for j in range(data["J"]):
        own = T[j] * (point["mixing"][j] if data["t_effects"] else 1.0)
        for a in range(len(effects)):
            if data["centred"][a] == 1:
                continue
            weights = np.linalg.solve(own[:a, :a], own[:a, a])
            spread = np.sqrt(own[a, a] - own[:a, a] @ weights)
            effects[a, j] = effects[:a, j] @ weights + spread * point["raw"][a, j]
            log_slope += np.log(spread)
    return effects, log_slope


def general_log_density(data: dict, point: dict) -> float:
    """Log density of all parameters of the general program, every constant kept."""
    block, u, v = data["block"], data["u_rows"] - 1, data["v_rows"] - 1
    T = covariances(data, point)
    effects, total = general_effects(data, point, T)
    for j in range(data["J"] if len(block) else 0):
        w = point["mixing"][j] if data["t_effects"] else 1.0
        zero = np.zeros(len(block))
        total += stats.multivariate_normal.logpdf(effects[:, j], zero, w * T[j])
        if data["t_effects"]:
            half = point["nu"][0] / 2
            total += stats.invgamma.logpdf(w, half, scale=half)
    if data["t_effects"]:
        nu = stats.gamma(data["nu_prior"][0], scale=1 / data["nu_prior"][1])
        total += float(nu.logpdf(point["nu"][0]) - nu.logsf(1.0))
    total += _correlation_priors(data, point)
    for i in range(data["N"]):
        j = data["group"][i] - 1
        mean = data["X"][i] @ point["gamma"] + data["Z"][i] @ effects[u, j]
        log_variance = data["W"][i] @ point["delta"] + data["A"][i] @ effects[v, j]
        latent = effects[u, j]
        if data["standardised"]:
            latent = latent / np.sqrt(np.diag(T[j])[u])
        terms = np.concatenate([latent, latent**2])
        log_variance += terms[: len(point["lambda"])] @ point["lambda"]
        total += stats.norm.logpdf(data["y"][i], mean, np.sqrt(np.exp(log_variance)))
    for name in ("gamma", "delta", "lambda", "kappa"):
        rows = zip(data[f"{name}_prior_kind"], data[f"{name}_prior"], point[name], strict=True)
        total += sum(prior(*row) for row in rows)
    rows = zip(data["sd_prior_kind"], data["sd_prior"], point["sd"], strict=True)
    return float(total + sum(sd_prior(*row) for row in rows))


def _correlation_priors(data: dict, point: dict) -> float:
    block, apart = data["block"], cpc_block(data)
    R = correlations(point["cpc"], apart)
    total = log_jacobian_of_correlations(point["cpc"], apart)
    for number in np.unique(apart):
        members = np.flatnonzero(apart == number)
        if len(members) > 1:
            total += log_lkj(R[np.ix_(members, members)], data["lkj"][members[0]])
    for (a, _), rho in zip(free_pairs(data), point["free_rho"], strict=True):
        shape = data["lkj"][a] - 1 + np.sum(block == block[a]) / 2
        total += stats.beta.logpdf(rho, shape, shape, loc=-1, scale=2)
    return total


def general_point(data: dict, rng: np.random.Generator) -> dict:
    """A random point whose matrices are all positive definite."""
    while True:
        point = random_point(data, rng) | {
            "sd": rng.lognormal(-0.3, 0.6, data["n_sd"]),
            "cpc": rng.uniform(-0.9, 0.9, len(pairs(cpc_block(data)))),
            "free_rho": rng.uniform(-0.7, 0.7, len(free_pairs(data))),
            "nu": 1 + rng.gamma(2, 5, data["t_effects"]),
            "mixing": rng.lognormal(0, 0.5, data["t_effects"] * data["J"]),
            "lambda": rng.normal(0, 0.3, data["latent"] * data["qu"]),
            "kappa": rng.normal(0, 0.3, data["n_kappa"]),
        }
        if np.linalg.eigvalsh(covariances(data, point)).min(initial=1.0) > 1e-6:
            return point


def random_point(data: dict, rng: np.random.Generator) -> dict:
    q = len(data["block"])
    return {
        "gamma": rng.normal(size=data["p"]),
        "delta": rng.normal(0, 0.5, size=data["k"]),
        "sd": rng.lognormal(-0.3, 0.6, q),
        "cpc": rng.uniform(-0.9, 0.9, len(pairs(data["block"]))),
        "raw": rng.normal(0, 0.8, (q, data["J"])),
    }


# --- priors of whole covariance matrices ------------------------------------------------------
def with_priors(data: dict, kinds: dict[int, int], rng: np.random.Generator) -> dict:
    """Data with a prior on the T of some blocks: 1 flat, 2 inverse Wishart."""
    data = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in data.items()}
    for number, kind in kinds.items():
        own = np.flatnonzero(data["block"] == number)
        spread = rng.normal(size=(len(own), len(own) + 2))
        data["tau_prior_kind"][own], data["sd_prior_kind"][own], data["lkj"][own] = kind, 0, 1.0
        data["tau_prior_df"][own] = len(own) + rng.uniform(0, 3)
        data["tau_prior_scale"][np.ix_(own, own)] = spread @ spread.T
    return data


def covariance_prior(data: dict, point: dict) -> float:
    """Log densities of T in terms of SDs and correlations, in the place of LKJ(1)."""
    total = 0.0
    R = correlations(point["cpc"], data["block"])
    for number in np.unique(data["block"]):
        own = np.flatnonzero(data["block"] == number)
        if not data["tau_prior_kind"][own[0]]:
            continue
        part = R[np.ix_(own, own)]
        total += log_slope(point["sd"][own], part)
        if len(own) > 1:
            total -= log_lkj(part, 1.0)
        if data["tau_prior_kind"][own[0]] == 2:
            T = part * np.outer(point["sd"][own], point["sd"][own])
            scale = data["tau_prior_scale"][np.ix_(own, own)]
            total += stats.invwishart.logpdf(T, data["tau_prior_df"][own[0]], scale)
    return float(total)


def log_slope(sd: np.ndarray, R: np.ndarray) -> float:
    """log |d T / d (sd, R)| by complex steps, lower triangles."""
    K = len(sd)
    lower, strict = np.tril_indices(K), np.tril_indices(K, -1)
    columns = []
    for n in range(len(lower[0])):
        s, C = sd.astype(complex), R.astype(complex)
        if n < K:
            s[n] += 1e-30j
        else:
            a, b = strict[0][n - K], strict[1][n - K]
            C[a, b] += 1e-30j
            C[b, a] += 1e-30j
        columns.append((C * np.outer(s, s))[lower].imag / 1e-30)
    return float(np.linalg.slogdet(np.array(columns))[1])
