"""ArviZ 0.x (InferenceData) and 1.x (xarray.DataTree) behind one face."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def _arviz() -> Any:
    """Import ArviZ without its announcement of version 1, which 0.23 repeats every day."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
        import arviz
    return arviz


@contextmanager
def _plain_arviz() -> Iterator[Any]:
    """Give ArviZ as it is without Numba.

    Where Numba is installed, 0.23 compiles some diagnostics, which takes seconds at every start,
    returns arrays of one number, and warns of equal draws.
    """
    arviz = _arviz()
    numba = getattr(arviz, "Numba", None)
    before = numba is not None and numba.numba_flag
    if numba is not None:
        numba.numba_flag = False
    try:
        yield arviz
    finally:
        if numba is not None:
            numba.numba_flag = before


def has_inference_data() -> bool:
    """Tell whether this ArviZ has InferenceData (before 1.0)."""
    return hasattr(_arviz(), "InferenceData")


def make_idata(groups: Mapping[str, xr.Dataset], attrs: Mapping[str, Any]) -> Any:
    """Return groups of datasets as the object this ArviZ works on.

    Parameters
    ----------
    groups : mapping of str to xarray.Dataset
        ``posterior``, ``sample_stats``, ``observed_data``, …
    attrs : mapping
        Attributes of the whole.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    if has_inference_data():
        return _arviz().InferenceData(attrs=dict(attrs), **groups)
    return make_tree(groups, attrs)


def make_tree(groups: Mapping[str, xr.Dataset], attrs: Mapping[str, Any]) -> xr.DataTree:
    """Return groups of datasets as a tree, which is also how they are written to a file."""
    import xarray as xr

    tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
    tree.attrs.update(attrs)
    return tree


def groups_of(idata: Any) -> dict[str, xr.Dataset]:
    """Return the groups of an InferenceData or a DataTree."""
    import xarray as xr

    if isinstance(idata, xr.DataTree):
        return {name: node.to_dataset() for name, node in idata.children.items()}
    return {name: idata[name] for name in idata.groups()}


def diagnostics(draws: np.ndarray) -> dict[str, float]:
    """Return ess_bulk, ess_tail, r_hat and mcse (of the mean) of one parameter.

    Parameters
    ----------
    draws : (chain, draw) array
        With one chain r_hat compares its halves; fewer than eight draws give NaN.
    """
    if draws.shape[1] < 8 or np.ptp(draws) == 0 or not np.isfinite(draws).all():
        return dict.fromkeys(("ess_bulk", "ess_tail", "r_hat", "mcse"), float("nan"))
    with np.errstate(divide="ignore", invalid="ignore"):  # chains that stand still: R-hat infinite
        return _diagnostics(draws)


def _diagnostics(draws: np.ndarray) -> dict[str, float]:
    half = draws.shape[1] // 2
    several = draws if len(draws) > 1 else np.stack([draws[0, :half], draws[0, half : 2 * half]])
    if has_inference_data():
        with _plain_arviz() as arviz:
            found = {
                "ess_bulk": arviz.ess(draws, method="bulk"),
                "ess_tail": arviz.ess(draws, method="tail", prob=(0.05, 0.95)),
                "r_hat": arviz.rhat(several),
                "mcse": arviz.mcse(draws, method="mean"),
            }
    else:
        from arviz_stats.base import array_stats

        found = {
            "ess_bulk": array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk"),
            "ess_tail": array_stats.ess(
                draws, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)
            ),
            "r_hat": array_stats.rhat(several, chain_axis=0, draw_axis=1),
            "mcse": array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="mean"),
        }
    # where Numba is installed ArviZ 0.23 gives mcse as an array of one number
    return {name: float(np.asarray(value).item()) for name, value in found.items()}


def quantile_error(draws: np.ndarray, share: float) -> float:
    """Return the Monte Carlo standard error of a quantile of draws.

    Parameters
    ----------
    draws : (chain, draw) array
        Fewer than eight draws, or draws without spread, give NaN.
    share : float
        Between 0 and 1, such as 0.025.
    """
    if draws.shape[1] < 8 or np.ptp(draws) == 0 or not np.isfinite(draws).all():
        return float("nan")
    if has_inference_data():
        with _plain_arviz() as arviz:
            found = arviz.mcse(draws, method="quantile", prob=share)
    else:
        from arviz_stats.base import array_stats

        found = array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="quantile", prob=share)
    return float(np.asarray(found).item())


def sd_error(draws: np.ndarray) -> float:
    """Return the Monte Carlo standard error of the SD of draws (chain, draw).

    As for `quantile_error`.
    """
    if draws.shape[1] < 8 or np.ptp(draws) == 0 or not np.isfinite(draws).all():
        return float("nan")
    if has_inference_data():
        with _plain_arviz() as arviz:
            found = arviz.mcse(draws, method="sd")
    else:
        from arviz_stats.base import array_stats

        found = array_stats.mcse(draws, chain_axis=0, draw_axis=1, method="sd")
    return float(np.asarray(found).item())


def autocorrelation(draws: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of every chain.

    Parameters
    ----------
    draws : (chain, draw) array

    Returns
    -------
    (chain, draw) array
        By lag from 0; NaN for a chain without spread.
    """
    if has_inference_data():
        with _plain_arviz() as arviz:
            found = arviz.autocorr(draws, axis=1)
    else:
        from arviz_stats.base import array_stats

        with np.errstate(invalid="ignore"):
            found = array_stats.autocorr(draws, axis=1)
    flat = np.ptp(draws, axis=1) == 0
    return np.where(flat[:, None], np.nan, np.asarray(found))


def density(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid over draws and ArviZ's kernel estimate of their density there, 512 each.

    Parameters
    ----------
    draws : (S,) array
        Finite, and not all equal.
    """
    if has_inference_data():
        with _plain_arviz() as arviz:
            grid, found = arviz.kde(draws)
    else:
        from arviz_stats.base import array_stats

        grid, found, _ = array_stats.kde(draws)
    return np.asarray(grid), np.asarray(found)


def relative_efficiency(posterior: xr.Dataset) -> float:
    """Return the effective draws over the draws, averaged over all elements of a posterior.

    As ArviZ's own `loo` has it: one chain counts as independent draws; elements without spread
    are left out.
    """
    size = posterior.sizes["chain"] * posterior.sizes["draw"]
    if posterior.sizes["chain"] == 1 or posterior.sizes["draw"] < 4:
        return 1.0
    found = []
    for variable in posterior.data_vars.values():
        draws = variable.transpose("chain", "draw", ...).values
        several = draws.reshape(*draws.shape[:2], -1)
        spread = np.ptp(several, axis=(0, 1)) > 0
        found += [_ess_mean(several[..., i]) for i in np.flatnonzero(spread)]
    mean = float(np.mean(found)) / size if found else 1.0
    return mean if np.isfinite(mean) else 1.0


def _ess_mean(draws: np.ndarray) -> float:
    if has_inference_data():
        with _plain_arviz() as arviz:
            return float(arviz.ess(draws, method="mean"))
    from arviz_stats.base import array_stats

    return float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))


def psis(loglik: np.ndarray, efficiency: float) -> tuple[np.ndarray, np.ndarray]:
    """Return log weights that leave each unit out, Pareto smoothed, and k-hat.

    Parameters
    ----------
    loglik : (n, S) array
        The log-likelihood of each unit by draw.
    efficiency : float
        Effective draws over draws; see `relative_efficiency`.

    Returns
    -------
    log_weights : (n, S) array
        Each row sums to one on the scale of weights.
    k_hat : (n,) array
        Infinite where too few draws are in the tail for it; NaN where all weights are equal, so
        that there is nothing to smooth.

    Notes
    -----
    Vehtari, Simpson, Gelman, Yao & Gabry (2024), Journal of Machine Learning Research 25(72).
    """
    weights = np.full(loglik.shape, -np.log(loglik.shape[1]))
    k_hat = np.full(len(loglik), np.nan)
    spread = np.flatnonzero(np.ptp(loglik, axis=1) > 0)
    if has_inference_data():
        if len(spread):
            with _plain_arviz() as arviz:
                weights[spread], k_hat[spread] = arviz.psislw(-loglik[spread], efficiency)
        return weights, k_hat
    for i in spread:
        weights[i], k_hat[i] = _smoothed(loglik[i], efficiency)
    return weights, k_hat


def _smoothed(loglik: np.ndarray, efficiency: float) -> tuple[np.ndarray, float]:
    """Return log weights and k-hat of one unit, by ArviZ 1.x."""
    from arviz_stats.base import array_stats

    try:
        weights, k_hat = array_stats.psislw(loglik, r_eff=efficiency)
    except ValueError:  # a tail of fewer than five draws, or of equal ones
        ratios = -loglik - (-loglik).max()
        return ratios - np.log(np.exp(ratios).sum()), float("inf")
    return weights, float(k_hat)
