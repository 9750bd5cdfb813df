"""Finding our columns in an engine's matrices, by content and never by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.design import Design
from bridge.errors import HarmoniseError


def match_columns(
    ours: np.ndarray, theirs: np.ndarray, labels: Sequence[str], where: str
) -> list[int]:
    """Find every column of our matrix among an engine's, by content.

    Parameters
    ----------
    ours, theirs : (N, k) arrays
        The two model matrices.
    labels : sequence of str
        Our labels.
    where : str
        Which matrix, for the message.

    Returns
    -------
    list of int
        For each of our columns, its position in theirs.

    Raises
    ------
    HarmoniseError
        Where the matrices do not hold the same columns: the engine coded a term otherwise.
    """
    theirs = np.asarray(theirs, dtype=float)
    if theirs.ndim == 1:
        theirs = theirs.reshape(len(ours), -1)
    if ours.shape != theirs.shape:
        raise HarmoniseError(
            f"The engine's matrix of the {where} is {theirs.shape[0]} by {theirs.shape[1]}, ours "
            f"{ours.shape[0]} by {ours.shape[1]}: it coded a term otherwise. Write the dummy "
            "variables as columns of your own."
        )
    found: list[int] = []
    for position, label in enumerate(labels):
        column = ours[:, position : position + 1]
        size = max(float(np.abs(column).max()), 1e-300)
        distance = np.abs(theirs - column).max(axis=0) / size
        near = [int(i) for i in np.flatnonzero(distance < 1e-9) if int(i) not in found]
        if not near:
            raise HarmoniseError(
                f"The engine's matrix of the {where} has no column equal to {label}: it coded a "
                "term otherwise. Write the dummy variables as columns of your own."
            )
        found.append(near[0])
    return found


def check_groups(design: Design, levels: Sequence[str]) -> None:
    """Make sure that an engine's groups are ours in our order: the numbers 1 to J.

    Raises
    ------
    HarmoniseError
        Where they are not, and every group effect would have a wrong label.
    """
    if list(levels) != [str(j + 1) for j in range(len(design.group_labels))]:
        raise HarmoniseError("The engine returned the groups in another order than it was given.")


def level2_matrix(
    design: Design, designs: Sequence[np.ndarray], covariances: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the covariance matrix of u in our order, from an engine's blocks.

    Parameters
    ----------
    design : Design
        A model without effects in the variance function.
    designs : sequence of (N, q_b) arrays
        The engine's design of each block.
    covariances : sequence of (q_b, q_b) arrays
        The covariance of each block, outcome units squared.
    """
    from scipy.linalg import block_diag

    order = match_columns(design.Z, np.hstack(designs), design.mean_effects, "random part")
    whole = block_diag(*covariances)
    matrix: np.ndarray = whole[np.ix_(order, order)]
    return matrix
