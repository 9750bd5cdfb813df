"""From arrays and a start to the problem that the compiled density reads."""

from __future__ import annotations

import numpy as np
from scipy.special import multigammaln

from bridge.nuts.arrays import Arrays
from bridge.nuts.folding import Folded, fold
from bridge.nuts.formulation import INFORMED
from bridge.nuts.information import coefficient_factor, level2_factor, prior_precision
from bridge.nuts.level1_data import cells_of, choose_cells, no_cells, no_rows, rows_of
from bridge.nuts.problem import Coefficients, Problem, Sampled, Spread
from bridge.nuts.starts import Start
from bridge.priors import lkj_log_density


def make_problem(arrays: Arrays, start: Start, words: list[str]) -> Problem:
    """Put a problem together.

    Parameters
    ----------
    arrays : Arrays
        The model on its data.
    start : Start
        Where coordinates have their zero and their units; any start gives the same density of
        the canonical parameters.
    words : list of str
        The formulation of each effect.
    """
    a = arrays
    mean = fold(a.X, a.Z, a.group, a.J)
    variance = fold(a.W, a.A, a.group, a.J)
    residual = a.y - a.X @ start.gamma
    qu = a.Z.shape[1]
    u = start.effects[:qu]
    residual = residual - np.einsum("ia,ai->i", a.Z, u[:, a.group])
    by_cells = choose_cells(a, mean, variance)
    args = (a, mean, variance, residual)
    return Problem(
        _coefficients(a, start),
        _spread(a, start),
        _sampled(a, start, words, mean, variance),
        no_rows(a) if by_cells is not None else rows_of(*args),
        cells_of(*args, by_cells) if by_cells is not None else no_cells(),
    )


def _coefficients(a: Arrays, start: Start) -> Coefficients:
    qu, kappa, rows = a.Z.shape[1], _kappa(a, start), (a.group, a.J)
    p, k = a.X.shape[1], a.W.shape[1]
    prior = prior_precision(a.prior_kind, a.prior)
    half = np.full(len(a.y), 0.5)
    size = start.sd[:qu] if not a.standardised else np.ones(qu)
    return Coefficients(
        centre=np.concatenate([start.gamma, start.delta, np.zeros(a.latent * qu), kappa]),
        gamma_map=coefficient_factor(
            a.X, a.Z, start.weight, start.covariance[:qu, :qu], *rows, prior[:p]
        ),
        delta_map=coefficient_factor(
            a.W, a.A, half, start.covariance[qu:, qu:], *rows, prior[p : p + k]
        ),
        rest_map=_rest_map(a, 0.1 / np.concatenate([size, size**2])[: a.latent * qu]),
        prior_kind=a.prior_kind,
        prior=a.prior,
    )


def _rest_map(a: Arrays, lambda_unit: np.ndarray) -> np.ndarray:
    """Return the map of lambda and kappa, the coefficients of each function together."""
    n = len(lambda_unit)
    found = np.zeros((n + len(a.kappa_pair), n + len(a.kappa_pair)))
    found[range(n), range(n)] = lambda_unit
    for pair in a.functions:
        own = np.flatnonzero((a.kappa_pair == pair).all(axis=1))
        found[np.ix_(n + own, n + own)] = 0.2 * level2_factor(a.H[:, own])
    return found


def _kappa(a: Arrays, start: Start) -> np.ndarray:
    """Return coefficients whose functions are about the start's constant SDs and correlations."""
    kappa = np.zeros(len(a.kappa_pair))
    for later, earlier in a.functions:
        own = (a.kappa_pair == (later, earlier)).all(axis=1)
        if later == earlier:
            level = 2 * np.log(start.sd[later])
            kappa[own] = np.linalg.lstsq(a.H[:, own], np.full(a.J, level), rcond=None)[0]
    return kappa


def _spread(a: Arrays, start: Start) -> Spread:
    among = {a.block[later] for later, earlier in a.functions if later != earlier}
    cpc = [pair for pair in a.pairs if a.block[pair[0]] not in among]
    free = [p for p in a.pairs if a.block[p[0]] in among and p not in a.functions]
    members = {number: int(np.sum(a.block == number)) for number in a.block.tolist()}
    # LKJ(eta) of K: partial correlations given b earlier ones have the shape eta + (K - 2 - b) / 2
    whole = a.tau_kind if len(a.tau_kind) else np.zeros(len(a.block), dtype=int)
    shape = [
        (1.0 if whole[later] else a.lkj)
        + 0.5 * (members[int(a.block[later])] - 2 - int(np.sum(a.block[:b] == a.block[b])))
        for later, b in cpc
    ]
    free_shape = [a.lkj + 0.5 * (members[int(a.block[later])] - 2) for later, _ in free]
    sd_of = np.full(len(a.block), -1)
    sd_of[a.constant_sds] = np.arange(len(a.constant_sds))
    return Spread(
        sd_centre=start.sd[a.constant_sds],
        sd_kind=a.sd_kind,
        sd_prior=a.sd_prior,
        sd_of=sd_of,
        block=a.block,
        cpc_pair=_pairs(cpc),
        cpc_shape=np.array(shape, dtype=float),
        free_pair=_pairs(free),
        free_shape=np.array(free_shape, dtype=float),
        rho_pair=_pairs([pair for pair in a.pairs if pair not in a.functions]),
        kappa_pair=a.kappa_pair,
        H=a.H.T,
        partial=a.partial if len(a.partial) else np.zeros(len(a.block), dtype=int),
        **_covariance_priors(a, whole),
    )


def _covariance_priors(a: Arrays, kind: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the prior of the T of whole blocks reads; its constants are added up here."""
    q = len(a.block)
    root, df, order, constant = np.zeros((q, q)), np.zeros(q), np.zeros(q), 0.0
    for number in np.unique(a.block):
        own = np.flatnonzero(a.block == number)
        order[own] = K = len(own)
        if not kind[own[0]]:
            continue
        # d T / d (sd, R) has the factor 2^K; LKJ(1), uniform, is taken off the correlations
        constant += K * np.log(2.0) - float(lkj_log_density(np.eye(K), 1.0))
        if kind[own[0]] == 2:
            df[own] = n = a.tau_df[own[0]]
            inside = np.linalg.cholesky(a.tau_scale[np.ix_(own, own)])
            root[np.ix_(own, own)] = inside
            constant += n * np.log(np.diag(inside)).sum() - 0.5 * n * K * np.log(2.0)
            constant -= multigammaln(0.5 * n, K)
    return {
        "tau_kind": kind, "tau_order": order, "tau_df": df, "tau_root": root,
        "tau_constant": np.array([constant]),
    }  # fmt: skip


def _pairs(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=int).reshape(len(pairs), 2)


def _sampled(a: Arrays, start: Start, words: list[str], mean: Folded, variance: Folded) -> Sampled:
    qu, p = a.Z.shape[1], a.X.shape[1]
    informed = np.array([word == INFORMED for word in words], dtype=float)
    return Sampled(
        block=a.block,
        information=start.information * np.outer(informed, informed)[:, :, None],
        pull=start.pull * informed[:, None],
        fold_effect=np.concatenate([mean.effect, qu + variance.effect]).astype(int),
        fold_term=np.concatenate([mean.term, p + variance.term]).astype(int),
        fold_column=np.vstack([mean.column, variance.column]),
        away=np.vstack([start.effects[:qu], variance.values(start.delta)]),
        nu_prior=a.nu_prior,
        latent=np.array([a.latent, int(a.standardised), qu]),
    )
