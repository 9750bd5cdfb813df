"""How printed numbers that are no plain estimate are computed: a register of named functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bridge.errors import DataFileError, NotAvailable, suggest

if TYPE_CHECKING:
    import pandas as pd

    from bridge.published import PublishedTable
    from bridge.result import Result

#: The column of numbers computed from printed ones, and that of numbers computed from the data.
PRINT, DATA = "print", "data"

_MODULES: tuple[str, ...] = ("from_data", "from_estimates", "from_groups", "from_fits")
_KNOWN: dict[str, Callable[..., Number]] = {}


@dataclass(frozen=True)
class Number:
    """One computed number.

    Attributes
    ----------
    value : float
        On the scale that the published row says.
    mc_error : float
        Its Monte Carlo standard error; zero where no draws are behind it.
    se : float or None
        Its posterior SD or standard error, where it has one.
    note : str
        What a reader must know, in a few words.
    """

    value: float
    mc_error: float = 0.0
    se: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Context:
    """What a number may be computed from.

    Attributes
    ----------
    case : PublishedTable
        The published numbers.
    data : pandas.DataFrame
        The rows of the case.
    results : mapping of str to Result
        The fits of one engine by their name in the case; the main one is ``"main"``. Empty in the
        columns ``"print"`` and ``"data"``.
    column : str
        The engine's label, ``"print"`` or ``"data"``.
    """

    case: PublishedTable
    data: pd.DataFrame
    results: Mapping[str, Result]
    column: str

    def result(self, fit: str = "main") -> Result:
        """Return a fit by its name in the case.

        Raises
        ------
        NotAvailable
            Where this column has no fit of that name.
        """
        if fit not in self.results:
            raise NotAvailable(f"'{self.case.name}' has no fit '{fit}' in column {self.column}.")
        return self.results[fit]

    def estimate(self, parameter: str, fit: str = "main") -> float:
        """Return an estimate of a fit; in the column ``"print"`` the printed one.

        Raises
        ------
        NotAvailable, DataFileError
            Where there is none of that name.
        """
        if self.column == PRINT:
            rows = self.case.frame[self.case.frame["parameter"] == parameter]
            for statistic in ("mean", "estimate"):
                if (rows["statistic"] == statistic).any():
                    return self.case.value(parameter, statistic)
            return self.case.value(parameter, "value")
        return self.result(fit).estimate(parameter)


def quantity(name: str) -> Callable[[Callable[..., Number]], Callable[..., Number]]:
    """Register a function of a `Context` and arguments under the name that case files use."""

    def register(function: Callable[..., Number]) -> Callable[..., Number]:
        if name in _KNOWN:
            raise ValueError(f"two functions are called {name}")
        _KNOWN[name] = function
        return function

    return register


def functions() -> Mapping[str, Callable[..., Number]]:
    """Return every registered function by name."""
    for module in _MODULES:
        import_module(f"bridge.cases.{module}")
    return _KNOWN


def check(name: str, arguments: Mapping[str, Any], where: str) -> None:
    """Refuse a function that does not exist, or arguments that it does not take.

    Raises
    ------
    DataFileError
        Beginning with ``where``, the file and key.
    """
    known = functions()
    if name not in known:
        raise DataFileError(
            f"{where}: there is no function '{name}' to compute a number by."
            f"{suggest(name, known)} There are: {', '.join(sorted(known))}."
        )
    try:
        inspect.signature(known[name]).bind(None, **arguments)
    except TypeError as error:
        raise DataFileError(f"{where}: '{name}' does not fit its arguments: {error}.") from None


def compute(name: str, context: Context, arguments: Mapping[str, Any]) -> Number:
    """Compute a number by the function of that name."""
    return functions()[name](context, **arguments)
