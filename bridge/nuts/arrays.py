"""A model on its data as plain arrays, whatever it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.covariance_prior import by_effect
from bridge.design import Design
from bridge.priors import Prior

_COEFFICIENT = {"flat": 0, "normal": 1, "student_t": 2}
_SD = {"flat": 0, "half_t": 1, "half_normal": 2, "exponential": 3}
_LATENT = {None: 0, "linear": 1, "quadratic": 2}


@dataclass(frozen=True, eq=False)
class Arrays:
    """N rows, J groups, q = qu + qv effects; p coefficients of the mean, k of the log variance.

    Attributes
    ----------
    y : (N,) array
        Outcome.
    X, W, Z, A : (N, p), (N, k), (N, qu), (N, qv) arrays
        Designs: of the mean and the log variance, fixed; then of their group effects.
    group : (N,) array of int
        From 0.
    J : int
        Number of groups.
    block : (q,) array of int
        Effects of one number are correlated, others independent.
    prior_kind, prior : (n,), (n, 3) arrays
        Of gamma, delta, lambda and kappa, in this order: 0 flat, 1 normal, 2 Student-t; df,
        location, scale. Canonical scales, as all priors.
    sd_kind, sd_prior : (s,), (s, 2) arrays
        Of the SDs that are the same in all groups: 0 flat, 1 half-t, 2 half-normal, 3 exponential;
        df, scale or unused, rate.
    lkj : float
        Shape of LKJ in each block whose covariance matrix has no prior as a whole.
    nu_prior : (2,) or (0,) array
        Shape and rate of the gamma of nu; empty where effects are normal.
    latent : {0, 1, 2}
        Association: none, linear, with the squares too.
    standardised : bool
        Whether u enters it over its SD.
    kappa_pair : (m, 2) array of int
        For each coefficient of a level-2 function the pair of effects, the later first, from 0.
    H : (J, m) array
        Its column.
    partial : (q,) array of int
        1 where functions of an effect's correlations are of partial ones; empty where none are.
    tau_kind, tau_df, tau_scale : (q,), (q,), (q, q) arrays
        Priors of the blocks' covariance matrices as `bridge.covariance_prior.by_effect` has them;
        empty where there are none.
    """

    y: np.ndarray
    X: np.ndarray
    W: np.ndarray
    Z: np.ndarray
    A: np.ndarray
    group: np.ndarray
    J: int
    block: np.ndarray
    prior_kind: np.ndarray
    prior: np.ndarray
    sd_kind: np.ndarray
    sd_prior: np.ndarray
    lkj: float = 1.0
    nu_prior: np.ndarray = field(default_factory=lambda: np.zeros(0))
    latent: int = 0
    standardised: bool = True
    kappa_pair: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=int))
    H: np.ndarray = field(default_factory=lambda: np.zeros((1, 0)))
    partial: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    tau_kind: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    tau_df: np.ndarray = field(default_factory=lambda: np.zeros(0))
    tau_scale: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The correlations that are not zero, (later, earlier), row by row."""
        q = len(self.block)
        return [(a, b) for a in range(q) for b in range(a) if self.block[a] == self.block[b]]

    @property
    def functions(self) -> set[tuple[int, int]]:
        """The pairs (later, earlier) that have a level-2 function."""
        return {(int(a), int(b)) for a, b in self.kappa_pair}

    @property
    def constant_sds(self) -> list[int]:
        """The effects whose SD is the same in all groups."""
        return [a for a in range(len(self.block)) if (a, a) not in self.functions]


def arrays_of(design: Design) -> Arrays:
    """Return the arrays of a design, with its priors."""
    priors, spec = design.priors, design.spec
    coefficients = [_coefficient(p) for p in (
        *priors.gamma, *priors.delta, *priors.lambda_, *priors.kappa
    )]  # fmt: skip
    pairs, columns = [], [np.zeros((len(design.group_labels), 0))]
    for earlier, later in design.tau_pairs:
        encoded = design.level2.get(design.element((earlier, later)))
        if encoded is not None:
            pairs += [(later, earlier)] * len(encoded.labels)
            columns.append(encoded.matrix)
    student = spec.random_effects == "student_t"
    tau_kind, tau_df, tau_scale = by_effect(priors.tau, design.block)
    return Arrays(
        y=design.y,
        X=design.mean.matrix,
        W=design.variance.matrix,
        Z=design.Z,
        A=design.A,
        group=design.group,
        J=len(design.group_labels),
        block=np.array(design.block, dtype=int),
        prior_kind=np.array([kind for kind, _ in coefficients], dtype=int),
        prior=np.array([row for _, row in coefficients], dtype=float).reshape(-1, 3),
        sd_kind=np.array([_SD[p.family] for p in priors.sd], dtype=int),
        sd_prior=_sd_rows(priors.sd),
        lkj=priors.lkj,
        nu_prior=np.array(priors.nu.parameters if student else ()),
        latent=_LATENT[spec.association],
        standardised=spec.latent_scale == "standardised",
        kappa_pair=np.array(pairs, dtype=int).reshape(len(pairs), 2),
        H=np.hstack(columns),
        partial=np.array(design.in_partial_blocks, dtype=int),
        tau_kind=tau_kind,
        tau_df=tau_df,
        tau_scale=tau_scale,
    )


def _coefficient(prior: Prior) -> tuple[int, tuple[float, ...]]:
    p = prior.parameters
    rows = {"flat": (1.0, 0.0, 1.0), "normal": (1.0, *p), "student_t": p}
    return _COEFFICIENT[prior.family], rows[prior.family]


def _sd_rows(priors: Sequence[Prior]) -> np.ndarray:
    return np.array([_sd_row(prior) for prior in priors], dtype=float).reshape(len(priors), 2)


def _sd_row(prior: Prior) -> tuple[float, float]:
    p = prior.parameters
    if prior.family == "half_t":
        return p[0], p[2]
    if prior.family == "half_normal":
        return 1.0, p[1]
    return (1.0, p[0]) if prior.family == "exponential" else (1.0, 1.0)
