"""Whether a sampler went well, and what to do where it did not, in this package's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

R_HAT_LIMIT = 1.01
ESS_LIMIT = 400
#: R-hat and effective draws, of split chains, need as many.
_LEAST_DRAWS = 4
#: Below it the energies of a chain hardly reach those of the posterior (Betancourt 2016).
E_BFMI_LIMIT = 0.3

_SIMPLER = "give the SDs tighter priors (sd_u, sd_v), or drop effects that hardly vary"


def sampler_warnings(
    stats: Mapping[str, np.ndarray], estimates: pd.DataFrame, options: Mapping[str, Any]
) -> list[str]:
    """Return one sentence for each thing that went wrong in sampling, and what to do.

    Parameters
    ----------
    stats : mapping of str to (chain, draw) arrays
        In ArviZ's names; what an engine does not give is not checked.
    estimates : pandas.DataFrame
        parameter, and r_hat, ess_bulk and ess_tail where they are known.
    options : mapping
        The engine's options with their values.

    Notes
    -----
    The limits are those of Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian
    Analysis 16: R-hat 1.01, and 400 effective draws.
    """
    return [
        *_divergent(stats, options),
        *_deep(stats, options),
        *_energies(stats),
        *_unknown(stats),
        *_mixing(estimates),
        *_few(estimates, "ess_bulk", "effective draws", options),
        *_few(estimates, "ess_tail", "effective draws of the tails, where intervals end", options),
    ]


def e_bfmi(energy: np.ndarray) -> np.ndarray:
    """Return the energy Bayesian fraction of missing information of each chain.

    Parameters
    ----------
    energy : (chain, draw) array
        The Hamiltonian at every draw.

    Returns
    -------
    (chain,) array
        NaN where the energy does not change.

    Notes
    -----
    The mean squared change from draw to draw over the variance: Betancourt (2016),
    arXiv:1604.00695, as in ArviZ.
    """
    if energy.shape[1] < 2:
        return np.full(len(energy), np.nan)
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    spread = np.var(energy, axis=1, ddof=1)
    found: np.ndarray = np.where(spread > 0, change / np.where(spread > 0, spread, 1.0), np.nan)
    return found


def _divergent(stats: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> list[str]:
    divergent = np.asarray(stats.get("diverging", []))
    if not divergent.any():
        return []
    target = f" ({options['adapt_delta']:g} now)" if "adapt_delta" in options else ""
    return [
        f"{int(divergent.sum())} of {divergent.size} draws diverged: the estimates may be biased; "
        f"raise adapt_delta{target} towards 1, and if some still do, {_SIMPLER}."
    ]


def _deep(stats: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> list[str]:
    limit = options["max_treedepth"]
    deep = np.asarray(stats.get("tree_depth", [])) >= limit
    if not deep.any():
        return []
    return [
        f"{int(deep.sum())} of {deep.size} draws reached the maximum tree depth of {limit}: "
        "the chains move slowly; raise max_treedepth, or centre and scale predictors (scale(x))."
    ]


def _energies(stats: Mapping[str, np.ndarray]) -> list[str]:
    if "energy" not in stats:
        return []
    found = e_bfmi(np.asarray(stats["energy"], dtype=float))
    low = int((found < E_BFMI_LIMIT).sum())
    if not low:
        return []
    worst = int(np.nanargmin(found))
    return [
        f"E-BFMI is below {E_BFMI_LIMIT} in {low} of {len(found)} chains (lowest "
        f"{found[worst]:.2f}, chain {worst + 1}): the tails may not have been reached; raise "
        f"warmup, and if it stays low, {_SIMPLER}."
    ]


def _unknown(stats: Mapping[str, np.ndarray]) -> list[str]:
    draws = min((np.asarray(values).shape[1] for values in stats.values()), default=_LEAST_DRAWS)
    if draws >= _LEAST_DRAWS:
        return []
    return [
        f"{draws} draw(s) of each chain are too few to tell whether the chains have mixed: raise "
        "draws."
    ]


def _mixing(estimates: pd.DataFrame) -> list[str]:
    known = estimates.dropna(subset=["r_hat"])
    high = known[known["r_hat"] > R_HAT_LIMIT]
    if not len(high):
        return []
    worst = high.loc[high["r_hat"].astype(float).idxmax()]
    return [
        f"{len(high)} parameter(s) have R-hat above {R_HAT_LIMIT} (worst {worst['parameter']}: "
        f"{worst['r_hat']:.3f}): the chains have not mixed; raise warmup and draws, and if it "
        "stays high, set priors where they are flat."
    ]


def _few(estimates: pd.DataFrame, column: str, what: str, options: Mapping[str, Any]) -> list[str]:
    if column not in estimates:
        return []
    known = estimates.dropna(subset=[column])
    low = known[known[column] < ESS_LIMIT]
    if not len(low):
        return []
    worst = low.loc[low[column].astype(float).idxmin()]
    return [
        f"{len(low)} parameter(s) have fewer than {ESS_LIMIT} {what} (fewest "
        f"{worst['parameter']}: {worst[column]:.0f}): raise draws"
        f"{_enough(float(worst[column]), options)}."
    ]


def _enough(fewest: float, options: Mapping[str, Any]) -> str:
    """Say how many draws would do, were they as good as these."""
    if "draws" not in options or fewest <= 0:
        return ""
    enough = int(np.ceil(options["draws"] * ESS_LIMIT / fewest / 100)) * 100
    return f" to about {enough} a chain"
