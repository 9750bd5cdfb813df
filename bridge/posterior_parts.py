"""The parts that a posterior is made of, draw by draw: its priors by group, and its likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import arviz_compat, names
from bridge.design import Design
from bridge.errors import NotAvailable, suggest
from bridge.marginal.by_draw import check_available, marginal_by_draw, variable_of
from bridge.pointwise import make_groups, part_of, row_loglik
from bridge.result import Result

if TYPE_CHECKING:
    import xarray as xr

#: Names of parts; the others are those of `bridge.priors.TARGETS`.
ALL, LIKELIHOOD = "all priors", "likelihood"
GIVEN, MARGINAL = "given the effects", "marginal over the effects"
_CELLS = 10**7  # numbers held at once


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a posterior.

    Attributes
    ----------
    name : str
        "gamma", "delta", "sd_u", "sd_v", "rho", …, "all priors" or "likelihood".
    log_density : (S,) array
        At every draw, chain by chain.
    """

    name: str
    log_density: np.ndarray


def parts_of(
    result: Result,
    design: Design,
    posterior: xr.Dataset,
    report: Callable[[float | None, str], None],
) -> tuple[list[Part], str, list[str]]:
    """Return the parts of a posterior.

    Parameters
    ----------
    result : Result
        Of an engine with draws; what its idata holds of log_prior and of log_likelihood is used,
        the rest computed.
    design : Design
        Its design.
    posterior : xarray.Dataset
        Its draws, chain and draw first.
    report : callable
        Told the share done and a word.

    Returns
    -------
    parts : list of Part
        Groups of priors that are not flat, all priors together, and the likelihood.
    likelihood : str
        Which one it is.
    notes : list of str
        What is left out, and why.

    Raises
    ------
    NotAvailable
        Where all priors are flat.
    """
    kept = arviz_compat.groups_of(result.idata)
    log_prior = kept.get("log_prior")
    if log_prior is None:
        log_prior = make_groups(design, posterior, ("log_prior",), 1)["log_prior"]
    priors, flat = _priors(design, log_prior)
    if not priors:
        raise NotAvailable(
            "Every prior of this model is flat, so that there is none to scale; give the "
            "specification priors, or name some to fit with (priors={name: bridge.Priors(...)})."
        )
    notes = [f"flat, so that there is nothing to scale: {', '.join(flat)}."] if flat else []
    total = Part(ALL, np.sum([part.log_density for part in priors], axis=0))
    loglik, which = _likelihood(design, posterior, kept.get("log_likelihood", {}), report)
    parts = [*priors, *([total] if len(priors) > 1 else []), Part(LIKELIHOOD, loglik)]
    return parts, which, notes


def _priors(design: Design, log_prior: xr.Dataset) -> tuple[list[Part], list[str]]:
    """Return the groups of priors that are not the same at all draws, and the names of others."""
    found, flat = [], []
    for name, variable in log_prior.data_vars.items():
        array = variable.transpose("chain", "draw", ...)
        for group, values in _split(str(name), array, design):
            flattened = values.reshape(-1, *values.shape[2:])
            total = flattened.reshape(len(flattened), -1).sum(axis=1)
            if np.ptp(total) > 0:
                found.append(Part(group, total))
            else:
                flat.append(group)
    return found, flat


def _split(name: str, array: xr.DataArray, design: Design) -> list[tuple[str, np.ndarray]]:
    """Return a variable of log_prior as it is, the SDs of u apart from those of v."""
    if name != "sd":
        return [(name, array.values)]
    effects = [str(label) for label in array["effect"].values]
    found = []
    for key, members in (("sd_u", design.mean_effects), ("sd_v", design.variance_effects)):
        own = [i for i, effect in enumerate(effects) if effect in members]
        if own:
            found.append((key, array.values[..., own]))
    return found


def _likelihood(
    design: Design, posterior: xr.Dataset, kept: Any, report: Callable[[float | None, str], None]
) -> tuple[np.ndarray, str]:
    """Return the log-likelihood by draw: marginal over the effects where it can be had."""
    if variable_of(design) in kept:
        return _total(kept[variable_of(design)]), MARGINAL
    try:
        check_available(design)
    except NotAvailable:
        return _of_rows(design, posterior, kept), GIVEN
    loglik = marginal_by_draw(design, posterior, lambda share: report(share, "groups"))
    total = loglik.sum(axis=-1).reshape(-1)
    if not np.isfinite(total).all():  # a draw whose covariance matrix is none
        return _of_rows(design, posterior, kept), GIVEN
    return total, MARGINAL


def _of_rows(design: Design, posterior: xr.Dataset, kept: Any) -> np.ndarray:
    if design.spec.outcome in kept:
        return _total(kept[design.spec.outcome])
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    size, total = max(1, _CELLS // draws), np.zeros(draws)
    for start in range(0, len(design.y), size):
        part = part_of(design, slice(start, start + size))
        total += row_loglik(part, posterior).reshape(draws, -1).sum(axis=1)
    return total


def _total(loglik: xr.DataArray) -> np.ndarray:
    values = loglik.transpose("chain", "draw", ...).values
    found: np.ndarray = values.reshape(values.shape[0] * values.shape[1], -1).sum(axis=1)
    return found


def parameters_of(result: Result, posterior: xr.Dataset) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the draws of every parameter of a result's estimates, and those that have none.

    Parameters
    ----------
    result : Result
        Its estimates say which.
    posterior : xarray.Dataset
        Its draws, chain and draw first.

    Returns
    -------
    draws : dict of str to (S,) arrays
        By flat name, on the canonical scale.
    missing : list of str
        Flat names.
    """
    known: dict[str, np.ndarray] = {}
    for name, variable in posterior.data_vars.items():
        dims = variable.dims[2:]
        values = variable.values.reshape(-1, *variable.shape[2:])
        if not dims:
            known[str(name)] = values
        elif result.spec.group not in dims:
            labels = product(*([str(label) for label in posterior[dim].values] for dim in dims))
            flat = values.reshape(len(values), -1)
            for i, several in enumerate(labels):
                known[names.flat(str(name), ", ".join(several))] = flat[:, i]
    wanted = [str(parameter) for parameter in result.estimates["parameter"]]
    found = {parameter: known[parameter] for parameter in wanted if parameter in known}
    return found, [parameter for parameter in wanted if parameter not in known]


def posterior_of(result: Result) -> Any:
    """Return the draws of a posterior as a dataset, chain and draw first."""
    return arviz_compat.groups_of(result.idata)["posterior"].transpose("chain", "draw", ...)


def draws_of(result: Result, parameters: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the draws (chain, draw) of some parameters of a posterior.

    Raises
    ------
    NotAvailable
        Where it has no draws of one.
    """
    posterior = posterior_of(result)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    known, _ = parameters_of(result, posterior)
    for name in parameters:
        if name not in known:
            raise NotAvailable(f"There are no draws of '{name}'.{suggest(name, known)}")
    return {name: known[name].reshape(shape) for name in parameters}
