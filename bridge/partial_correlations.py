"""Canonical partial correlations: from them to a correlation matrix, and back.

That of effects a and b, a before b in the order of the result, is their correlation given the
effects of their set before a. Any values between -1 and 1 make a positive definite matrix
(Lewandowski, Kurowicka & Joe 2009, Journal of Multivariate Analysis 100).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FAR = 300.0  # beyond it cosh overflows


def partial_factor(atanh: np.ndarray) -> np.ndarray:
    """Return Cholesky factors of correlation matrices from atanh partial correlations.

    Parameters
    ----------
    atanh : (..., q, q) array
        Below the diagonal: row b and column a, a before b. Zero where effects are independent.

    Returns
    -------
    (..., q, q) array
        Lower triangular, rows of length one, a positive diagonal.
    """
    left = left_of(atanh)
    return np.tril(np.tanh(atanh), -1) * left + left * np.eye(atanh.shape[-1])


def left_of(atanh: np.ndarray) -> np.ndarray:
    """Return the SDs that earlier effects leave: [b, a] of effect b given those before a."""
    # the root of 1 - tanh^2 without cancellation
    each = np.tril(1 / np.cosh(np.clip(atanh, -_FAR, _FAR)), -1)
    each = each + np.triu(np.ones(each.shape[-2:]))
    return np.concatenate(
        [np.ones_like(each[..., :1]), np.cumprod(each, axis=-1)[..., :-1]], axis=-1
    )


def atanh_partial(covariance: np.ndarray, a: int, b: int, given: Sequence[int]) -> float:
    """Return the atanh of the partial correlation of effects a and b given others.

    Parameters
    ----------
    covariance : (q, q) array
        Positive definite.
    """
    members = [a, b, *given]
    inverse = np.linalg.inv(covariance[np.ix_(members, members)])
    return float(np.arctanh(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])))
