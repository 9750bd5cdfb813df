"""The draws of single parameters, by flat name: what pictures of chains are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bridge import arviz_compat, names
from bridge.engines.registry import ENGINES, able
from bridge.errors import NotAvailable, OptionError, RequestError, suggest
from bridge.plots import style
from bridge.result import Result

if TYPE_CHECKING:
    import xarray as xr

_POSTERIOR = "posterior"
#: A line above a small panel holds about so many letters.
_LINE = 36


@dataclass(frozen=True, eq=False)
class Parameter:
    """One number of a model, in every draw.

    Attributes
    ----------
    name : str
        Its flat name.
    scale : str
        In what it is.
    draws : (chain, draw) array
    """

    name: str
    scale: str
    draws: np.ndarray

    @property
    def label(self) -> str:
        """Its name with its scale."""
        return f"{self.name} ({self.scale})" if self.scale else self.name

    @property
    def title(self) -> str:
        """The label in lines that fit a small panel."""
        if len(self.label) <= _LINE:
            return self.label
        return f"{self.name}\n({self.scale})" if self.scale else self.name

    @property
    def moves(self) -> bool:
        """Whether the draws are finite and not all equal."""
        return bool(np.isfinite(self.draws).all() and np.ptp(self.draws) > 0)


def chosen(parameters: Sequence[str] | str | None, known: Iterable[str]) -> list[str]:
    """Return which parameters are meant, each once; None means all that are known.

    Raises
    ------
    OptionError
        Where one is unknown (the nearest is suggested), or there is none.
    """
    known = list(known)
    one = [parameters] if isinstance(parameters, str) else parameters
    wanted = known if one is None else list(dict.fromkeys(map(str, one)))
    for parameter in wanted:
        if parameter not in known:
            raise OptionError(f"There is no parameter '{parameter}'.{suggest(parameter, known)}")
    if not wanted:
        raise OptionError("parameters is empty; name one, or leave it out for all of them.")
    return wanted


def sampled(result: Result, parameters: Sequence[str] | str | None) -> list[Parameter]:
    """Return the draws of parameters.

    Parameters
    ----------
    result : Result
        Of an engine with draws.
    parameters : sequence of str, str or None
        Flat names, also of group effects (``u[1224, u:Intercept]``); None is every parameter of
        the model and no group effect.

    Raises
    ------
    RequestError
        Where it is no result.
    NotAvailable
        Where it has no draws; engines that have are named.
    OptionError
        Where a name is unknown.
    """
    if not isinstance(result, Result):
        raise RequestError(
            f"This picture is of one result, and not of {type(result).__name__}; bridge.fit or "
            "bridge.load gives one."
        )
    if result.method != _POSTERIOR:
        raise NotAvailable(
            f"{result.engine} gives estimates and no draws, which this picture is of; engines that "
            f"have draws of this model: {', '.join(_engines(result))}."
        )
    posterior = arviz_compat.groups_of(result.idata)[_POSTERIOR].transpose("chain", "draw", ...)
    places = {
        names.flat(str(variable), ", ".join(map(str, labels)) or None): (variable, place)
        for variable in posterior.data_vars
        for place, labels in _elements(posterior[variable])
    }
    own = [str(name) for name in result.estimates["parameter"]]
    scale = dict(zip(own, result.estimates["scale"], strict=True))
    wanted = own if parameters is None else chosen(parameters, [*own, *places])
    found = []
    for name in wanted:
        variable, place = places[name]
        array = posterior[variable]
        unit = scale.get(name, array.attrs.get("scale", ""))
        found.append(Parameter(name, str(unit), array[:, :, *place].values))
    return found


def _elements(array: xr.DataArray) -> Iterable[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Return place and labels of every element along the dims after chain and draw."""
    dims = array.dims[2:]
    places = product(*(range(array.sizes[dim]) for dim in dims))
    labels = product(*(array[dim].values for dim in dims))
    return zip(places, labels, strict=True)


def diverging(result: Result) -> np.ndarray:
    """Return (chain, draw) which draws ended a trajectory that diverged; all False if unknown."""
    groups = arviz_compat.groups_of(result.idata)
    posterior, stats = groups[_POSTERIOR], groups.get("sample_stats")
    if stats is None or "diverging" not in stats:
        return np.zeros((posterior.sizes["chain"], posterior.sizes["draw"]), dtype=bool)
    return np.asarray(stats["diverging"].transpose("chain", "draw").values, dtype=bool)


def chains_caption(result: Result, divergent: np.ndarray, *more: str) -> str:
    """Return outcome, engine, chains, draws and divergences of a posterior."""
    chains, draws = divergent.shape
    many = int(divergent.sum())
    told = (
        f"{chains} chain{'s' * (chains > 1)} of {draws} draws; "
        f"{many or 'no'} divergence{'s' * (many != 1)}"
    )
    return style.caption(result, told, *more)


def _engines(result: Result) -> list[str]:
    """Return the engines with draws that can express the model of a result; else all of them."""
    drawing = [name for name, entry in ENGINES.items() if entry.result == _POSTERIOR]
    can = [name for name in able(result.spec) if name in drawing]
    return can or [name for name in drawing if name != "fake"]
