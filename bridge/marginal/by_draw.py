"""Each group's marginal log-likelihood, its effects integrated out, at every draw of a posterior.

Latent classes are summed over, exactly; normal effects are integrated out by quadrature.

A draw's nodes start from those of the draw before. They are fewer than those of a maximum, which
has to be found to many digits: with these the log-likelihoods of HSB's groups (Leckie et al. 2014)
are off by 1e-7 in Model 1 and by 1e-4 in Model 4, far below what draws differ by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bridge import names
from bridge.class_likelihood import draws_of, marginal_loglik
from bridge.design import Design
from bridge.errors import NotAvailable
from bridge.marginal.law import FunctionLaw
from bridge.marginal.problem import (
    MOST_DIMENSIONS,
    MOST_VARIANCE_EFFECTS,
    Problem,
    dimensions_of,
    make_problem,
)

if TYPE_CHECKING:
    import xarray as xr

#: Dimensions of quadrature -> nodes in each.
NODES = {0: 1, 1: 7, 2: 5, 3: 5, 4: 5}

_LAWS = {"student_t": "Student-t effects"}


def variable_of(design: Design) -> str:
    """Return the name of the marginal log-likelihood in idata's ``log_likelihood``."""
    return f"{design.spec.outcome}_marginal"


def check_available(design: Design) -> None:
    """Make sure that the groups of a model have a marginal log-likelihood that can be computed.

    Raises
    ------
    NotAvailable
        Where there are no groups, where the effects are neither normal nor latent classes, where
        there are too many of them, or where the grouping column has the variable's name.
    """
    spec, begin = design.spec, "The marginal log-likelihood of a group is not available"
    if spec.group is None:
        raise NotAvailable(f"{begin}: the model has no groups; add a random term for them.")
    if spec.group == variable_of(design):
        raise NotAvailable(
            f"{begin} under its name {spec.group}, which is that of the grouping column; rename "
            "the column."
        )
    if spec.random_effects == "classes":
        return
    if spec.random_effects != "normal":
        raise NotAvailable(
            f"{begin} with {_LAWS.get(spec.random_effects, spec.random_effects)}: here normal "
            "effects are integrated out; the log-likelihood of rows given the effects is available."
        )
    few = len(design.variance_effects) <= MOST_VARIANCE_EFFECTS
    if not few or dimensions_of(design) > MOST_DIMENSIONS:
        raise NotAvailable(
            f"{begin} with more than {MOST_VARIANCE_EFFECTS} random effects in the variance or "
            f"over more than {MOST_DIMENSIONS} dimensions; the log-likelihood of rows given the "
            "effects is available."
        )


def marginal_by_draw(
    design: Design, posterior: xr.Dataset, report: Callable[[float], None] | None = None
) -> np.ndarray:
    """Return the log-likelihood of each group, u and v integrated out, at every draw.

    Parameters
    ----------
    design : Design
        The model on its data, J groups.
    posterior : xarray.Dataset
        Draws on the canonical scales, C chains of D draws.
    report : callable, optional
        Told the share of the draws done.

    Returns
    -------
    (C, D, J) array
        All constants counted; -inf for all groups at a draw that gives no covariance matrix.

    Raises
    ------
    NotAvailable
        See `check_available`.
    """
    check_available(design)
    shape = posterior["gamma"].shape[:2]
    if design.spec.classes is not None:
        return marginal_loglik(design, draws_of(posterior), report).reshape(*shape, -1)
    problem = make_problem(design, NODES[dimensions_of(design)])
    free = free_draws(problem, posterior)
    found = np.empty((len(free), problem.groups))
    placement = None
    for s, parameters in enumerate(free):
        at = problem.evaluate(parameters, placement, scores=False)
        if placement is not None and not np.isfinite(at.loglik):
            # nodes that suited the draw before may lie where this one has no density
            at = problem.evaluate(parameters, scores=False)
        found[s] = at.by_group
        placement = at.placement if np.isfinite(at.loglik) else None
        if report is not None:
            report((s + 1) / len(free))
    return found.reshape(*shape, -1)


def with_marginal(loglik: xr.Dataset | None, design: Design, posterior: xr.Dataset) -> xr.Dataset:
    """Return idata's ``log_likelihood`` with the marginal one of the groups in it.

    Parameters
    ----------
    loglik : xarray.Dataset or None
        What it holds without.
    design : Design
        The model on its data.
    posterior : xarray.Dataset
        Draws on the canonical scales.

    Returns
    -------
    xarray.Dataset
        With the variable ``<outcome>_marginal``: chain, draw, the grouping column.
    """
    import xarray as xr

    group = str(design.spec.group)
    coords = {
        "chain": posterior["chain"].values,
        "draw": posterior["draw"].values,
        group: list(design.group_labels),
    }
    array = xr.DataArray(marginal_by_draw(design, posterior), coords, ("chain", "draw", group))
    return (xr.Dataset() if loglik is None else loglik).assign({variable_of(design): array})


# --- parameters -------------------------------------------------------------------------------
def free_draws(problem: Problem, posterior: xr.Dataset) -> np.ndarray:
    """Return the free parameters of a problem at every draw, (C D, P), chain by chain.

    Parameters
    ----------
    problem : Problem
        Of the posterior's design, T of full rank.
    posterior : xarray.Dataset
        Draws on the canonical scales.
    """
    to = problem.coordinates
    gamma, delta = (_flat(posterior, name) for name in ("gamma", "delta"))
    parts = [np.linalg.solve(to.gamma, gamma.T).T, np.linalg.solve(to.delta, delta.T).T]
    if problem.law.size:
        functions = isinstance(problem.law, FunctionLaw)
        parts.append((_functions if functions else _factors)(problem, posterior))
    if problem.sizes[3]:
        parts.append(_flat(posterior, "lambda_") / to.latent)
    return np.hstack(parts)


def _flat(posterior: xr.Dataset, name: str) -> np.ndarray:
    values = posterior[name].values
    flat: np.ndarray = values.reshape(-1, values.shape[2])
    return flat


def _factors(problem: Problem, posterior: xr.Dataset) -> np.ndarray:
    """Return the parameters of a constant T."""
    design, tau = problem.design, _flat(posterior, "tau")
    T = np.zeros((len(tau), len(design.effects), len(design.effects)))
    for position, (a, b) in enumerate(design.tau_pairs):
        T[:, a, b] = T[:, b, a] = tau[:, position]
    back = np.linalg.inv(problem.coordinates.effects)
    return np.stack([problem.law.start(inner) for inner in back @ T @ back.T])


def _functions(problem: Problem, posterior: xr.Dataset) -> np.ndarray:
    """Return the parameters of log variances and atanh correlations."""
    design, law = problem.design, problem.law
    assert isinstance(law, FunctionLaw)
    size = posterior["gamma"].shape[0] * posterior["gamma"].shape[1]
    found = np.empty((size, law.size))
    for pair, place in law.slices.items():
        element, label = design.element(pair), design.pair_label(pair)
        variable = design.kind(pair)
        if element in design.level2:
            terms = design.level2[element].labels
            labels = [names.kappa_label(variable, label, term) for term in terms]
            kappa = _flat(posterior.sel(kappa_term=labels), "kappa")
            found[:, place] = law.inner(kappa, pair)
            continue
        constant = _flat(posterior.sel({f"{variable}_pair": [label]}), variable)
        found[:, place] = law.inner(
            np.log(constant) if variable == "tau" else np.arctanh(constant), pair
        )
    return found
