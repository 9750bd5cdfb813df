"""Criteria of a posterior with latent classes, each class summed over.

A drawn class is no parameter to plug in or to condition on: its mean over draws is the effect of
no class, and given it the rows of its group say nothing of the doubt about it. So every criterion
is of the marginal likelihood here:

- DIC, WAIC and leave-one-group-out of the groups, by log p(y_j | parameters);
- leave-one-row-out by log p(y_ij | the other rows of its group, parameters), which is the group's
  log-likelihood less that of the group without the row: the integrated importance sampling of
  Vehtari, Mononen, Tolvanen, Sivula & Winther (2016), Journal of Machine Learning Research 17.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from bridge.class_likelihood import (
    CELLS,
    ClassDraws,
    draws_of,
    log_weights,
    marginal_loglik,
    row_loglik_by_class,
)
from bridge.design import Design
from bridge.elpd import Elpd, leave_out, waic
from bridge.pointwise import part_of
from bridge.row_criteria import Dic

if TYPE_CHECKING:
    import xarray as xr

#: Of the way from the posterior means to a draw, for the derivative of the deviance.
_STEP = 1e-3


def class_criteria(
    design: Design,
    posterior: xr.Dataset,
    loglik: np.ndarray,
    which: Collection[str],
    efficiency: float,
    report: Callable[[float], None],
) -> tuple[Dic | None, dict[str, Elpd | None]]:
    """Return the criteria of a posterior with latent classes.

    Parameters
    ----------
    design : Design
        The model on its data, J groups.
    posterior : xarray.Dataset
        Draws on the canonical scales, C chains of D draws.
    loglik : (C, D, J) array
        The marginal log-likelihood of each group at each.
    which : collection of str
        Of "dic", "waic", "loo", "logo".
    efficiency : float
        Effective draws over draws.
    report : callable
        Told the share of the rows done, where ``"loo"`` is asked for.

    Returns
    -------
    dic : Dic or None
        None where it was not asked for.
    elpds : dict
        Of the others asked for, by name.
    """
    draws = draws_of(posterior)
    loglik = loglik.reshape(len(draws), -1)
    by_unit = np.ascontiguousarray(loglik.T)
    ways: dict[str, Callable[[], Elpd]] = {
        "waic": lambda: waic(by_unit),
        "loo": lambda: class_loo(design, draws, efficiency, report),
        "logo": lambda: leave_out(by_unit, efficiency),
    }
    dic = class_dic(design, draws, loglik) if "dic" in which else None
    return dic, {name: make() for name, make in ways.items() if name in which}


def class_dic(design: Design, draws: ClassDraws, loglik: np.ndarray) -> Dic:
    """Return the DIC of the groups, the deviance marginal over the classes.

    Parameters
    ----------
    design : Design
        The model on its data, J groups.
    draws : ClassDraws
        S draws.
    loglik : (S, J) array
        The marginal log-likelihood of each group at each.

    Returns
    -------
    Dic
        At the posterior means of gamma, delta, pi and the mass points. Classes are ordered, so that
        a mean is of one class; where chains are about different ones it is of none.
    """
    means, by_draw = draws.mean(), -2 * loglik.sum(axis=1)
    at_means = -2 * float(marginal_loglik(design, means).sum())
    ends = [
        marginal_loglik(design, means.moved(draws, share)).sum(axis=1) for share in (_STEP, -_STEP)
    ]
    along = -2 * (ends[0] - ends[1]) / (2 * _STEP)
    influence = 2 * (by_draw - by_draw.mean()) - (along - along.mean())
    return Dic(at_means, by_draw, influence)


def class_loo(
    design: Design, draws: ClassDraws, efficiency: float, report: Callable[[float], None]
) -> Elpd:
    """Return the elpd of each row given the other rows of its group, its class summed over.

    Parameters
    ----------
    design : Design
        The model on its data, N rows.
    draws : ClassDraws
        S draws.
    efficiency : float
        Effective draws over draws.
    report : callable
        Told the share of the rows done.

    Returns
    -------
    Elpd
        In the order of the design's rows.
    """
    order = np.argsort(design.group, kind="stable")
    starts = np.searchsorted(design.group[order], np.arange(len(design.group_labels) + 1))
    found: Elpd | None = None
    first = 0
    while first < len(starts) - 1:
        # whole groups, as many as fit
        room = starts[first] + max(1, CELLS // len(draws))
        last = max(first + 1, int(np.searchsorted(starts, room, side="right")) - 1)
        rows = order[starts[first] : starts[last]]
        loglik = given_the_others(part_of(design, rows), draws)
        here = leave_out(np.ascontiguousarray(loglik.T), efficiency)
        found = here if found is None else found + here
        first = last
        report(float(starts[first] / len(order)))
    assert found is not None
    back = np.argsort(order)
    return Elpd(found.elpd[back], found.effective[back], found.k_hat[back], found.influence)


def given_the_others(design: Design, draws: ClassDraws) -> np.ndarray:
    """Return log p(y_ij | the other rows of group j, parameters), (S, N).

    Parameters
    ----------
    design : Design
        Of whole groups, rows group by group.
    draws : ClassDraws
        S draws.
    """
    _, starts, place = np.unique(design.group, return_index=True, return_inverse=True)
    by_class = np.stack(list(row_loglik_by_class(design, draws)), axis=-1)
    whole = np.add.reduceat(by_class, starts, axis=1) + log_weights(draws.pi)[:, None, :]
    without = logsumexp(whole[:, place, :] - by_class, axis=-1)
    return np.asarray(logsumexp(whole, axis=-1)[:, place] - without)
