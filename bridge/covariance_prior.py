"""Priors of a whole covariance matrix of group effects: their numbers, checks and density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bridge.errors import PriorError

if TYPE_CHECKING:
    from bridge.priors import Prior

_KINDS = {"flat": 1, "inverse_wishart": 2}


def triangle(matrix: np.ndarray) -> tuple[float, ...]:
    """Return the lower triangle of a (K, K) matrix, row by row."""
    return tuple(float(x) for x in matrix[np.tril_indices(len(matrix))])


def matrix_of(numbers: Sequence[float]) -> np.ndarray | None:
    """Return the symmetric matrix of a lower triangle, row by row; None of another count."""
    order = (np.sqrt(8 * len(numbers) + 1) - 1) / 2
    if not numbers or order != int(order):
        return None
    matrix = np.zeros((int(order), int(order)))
    matrix[np.tril_indices(int(order))] = numbers
    return matrix + np.tril(matrix, -1).T


def check_inverse_wishart(values: Sequence[float], where: str) -> None:
    """Refuse numbers that are not degrees of freedom and the triangle of a covariance matrix.

    Parameters
    ----------
    values : sequence of float
        Nothing, df, or df and the lower triangle of the plausible T row by row.
    where : str
        How the sentence begins.

    Raises
    ------
    PriorError
    """
    if not np.isfinite(values).all() or (len(values) and values[0] <= 0):
        raise PriorError(
            f"{where}: the df of inverse_wishart must be a number above zero, and the others "
            "finite numbers."
        )
    if len(values) < 2:
        return
    matrix = matrix_of(values[1:])
    if matrix is None:
        raise PriorError(
            f"{where}: after its df, inverse_wishart takes the lower triangle of a plausible T row "
            f"by row, such as t11, t21, t22: 1, 3, 6, ... numbers, not {len(values) - 1}."
        )
    if np.linalg.eigvalsh(matrix)[0] <= 0:
        raise PriorError(
            f"{where}: the plausible T of inverse_wishart is not positive definite; write its "
            "lower triangle row by row: t11, t21, t22, ..."
        )


def check_order(values: Sequence[float], effects: Sequence[str], key: str) -> None:
    """Refuse an inverse Wishart that does not fit a block of effects.

    Raises
    ------
    PriorError
        Where the plausible T is of another order, or df is not above the order minus one.
    """
    order, listed = len(effects), ", ".join(effects)
    matrix = matrix_of(values[1:])
    if matrix is not None and len(matrix) != order:
        raise PriorError(
            f"{key}: the plausible T of inverse_wishart has order {len(matrix)}, and the "
            f"covariance matrix of {listed} has order {order}; give each set of correlated "
            f"effects its own, as tau[{effects[0]}]."
        )
    if len(values) and values[0] <= order - 1:
        raise PriorError(
            f"{key}: the df of inverse_wishart must be above {order - 1}, the order of the "
            f"covariance matrix of {listed} minus one."
        )


def check_alone(keys: Mapping[str, object], blocks: Sequence[Sequence[str]]) -> None:
    """Refuse priors of SDs or correlations of effects whose covariance matrix has a prior.

    Parameters
    ----------
    keys : mapping
        The keys of priors.
    blocks : sequence of sequences of str
        The labels of the effects of every block whose covariance matrix has a prior.

    Raises
    ------
    PriorError
        Naming the key.
    """
    for block in blocks:
        clash = ["rho"] if len(block) > 1 else []
        for effect in block:
            letter, _, term = effect.partition(":")
            clash += [f"sd_{letter}", f"sd_{letter}[{term}]"]
        for key in clash:
            if key in keys:
                raise PriorError(
                    f"Priors are set on {key} and on tau, which is the whole covariance matrix of "
                    f"{', '.join(block)}, its SDs and correlations included; leave one of them out."
                )


def by_effect(
    priors: Sequence[Prior | None], block: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the priors of the blocks' covariance matrices as numbers for each effect.

    Parameters
    ----------
    priors : sequence of (Prior or None)
        One for each block, settled; empty where no block has one.
    block : sequence of int
        The block of each of q effects.

    Returns
    -------
    kind : (q,) array of int
        0 none, 1 flat, 2 inverse Wishart.
    df : (q,) array
        Its degrees of freedom.
    scale : (q, q) array
        Its scale matrix, df times the plausible T; zeros between blocks.
    """
    q = len(block)
    kind, df, scale = np.zeros(q, dtype=int), np.zeros(q), np.zeros((q, q))
    for number, prior in enumerate(priors):
        own = [i for i, of in enumerate(block) if of == number]
        kind[own] = 0 if prior is None else _KINDS[prior.family]
        if prior is not None and prior.parameters:
            df[own] = prior.parameters[0]
            scale[np.ix_(own, own)] = df[own[0]] * matrix_of(prior.parameters[1:])
    return kind, df, scale


def covariance_log_density(
    family: str, values: Sequence[float], matrices: np.ndarray
) -> np.ndarray:
    """Return the log density of covariance matrices, by their lower triangle.

    Parameters
    ----------
    family : {"inverse_wishart", "flat"}
        Inverse Wishart is normalised; flat is zero.
    values : sequence of float
        Of the inverse Wishart, df and the lower triangle of the plausible T row by row; its scale
        matrix is df times that T.
    matrices : (..., K, K) array
        Positive definite.

    Notes
    -----
    The prior of Leckie, French, Charlton & Browne (2014), section 3. Of order 1 it is
    inverse-gamma(df / 2, df T / 2).
    """
    from scipy.special import multigammaln

    if family == "flat":
        return np.zeros(matrices.shape[:-2])
    df, plausible = values[0], matrix_of(values[1:])
    assert plausible is not None
    scale, K = df * plausible, len(plausible)
    constant = 0.5 * df * (np.linalg.slogdet(scale)[1] - K * np.log(2.0)) - multigammaln(df / 2, K)
    trace = np.trace(np.linalg.solve(matrices, np.broadcast_to(scale, matrices.shape)), 0, -2, -1)
    found: np.ndarray = constant - 0.5 * (df + K + 1) * np.linalg.slogdet(matrices)[1] - 0.5 * trace
    return found
