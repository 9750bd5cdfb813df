"""How printed numbers that are no plain estimate are computed: a register of named functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from bridge.errors import DataFileError, NotAvailable, RequestError, suggest
from bridge.published_files import MAIN
from bridge.simulate import simulate as draw
from bridge.simulation_design import SimulationDesign

if TYPE_CHECKING:
    import pandas as pd

    from bridge.published_tables import PublishedTable
    from bridge.result import Result
    from bridge.spec import ModelSpec

#: The column of numbers computed from printed ones, and that of numbers computed from the data.
PRINT, DATA = "print", "data"
#: What a function reads: fits (or print in their place), or the data alone.
_OF = ("fits", "data")
#: Modules of this package that register functions begin so.
_PREFIXES = ("from_", "recovery")
_KNOWN: dict[str, _Entry] = {}
#: The parts of a table [simulate].
_SIMULATE = ("design", "truth")


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
    lower, upper : float or None
        Its 95% interval, where the function gives one.
    p : float or None
        Its p-value, where the function gives one.
    se_error : float or None
        The Monte Carlo error of ``se``; None where it is that of an SD of draws whose mean has
        ``mc_error``.
    """

    value: float
    mc_error: float = 0.0
    se: float | None = None
    note: str = ""
    lower: float | None = None
    upper: float | None = None
    p: float | None = None
    se_error: float | None = None


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
    refit : callable or None
        Fits a model to other data with this column's engine and options:
        ``refit(spec, data, seed)``. For functions that simulate; None in ``"print"`` and
        ``"data"``.
    memo : dict
        What functions of one column share, such as the fits of simulated data.
    read : set of (str, str)
        The printed numbers that were read, parameter and statistic.
    level2 : set of str
        The level-2 parameters that were read, and functions of level 2 that were called.
    """

    case: PublishedTable
    data: pd.DataFrame
    results: Mapping[str, Result]
    column: str
    refit: Callable[[ModelSpec, pd.DataFrame, int], Result] | None = None
    memo: dict[str, Any] = field(default_factory=dict)
    read: set[tuple[str, str]] = field(default_factory=set)
    level2: set[str] = field(default_factory=set)

    def result(self, fit: str = MAIN) -> Result:
        """Return a fit by its name in the case.

        Raises
        ------
        NotAvailable
            Where this column has no fit of that name.
        """
        if fit not in self.results:
            raise NotAvailable(f"'{self.case.name}' has no fit '{fit}' in column {self.column}.")
        return self.results[fit]

    def printed(self, parameter: str, statistic: str) -> float:
        """Return a printed number; what is read so is known to be rounded as printed.

        Raises
        ------
        DataFileError
            Where it is not printed.
        """
        self.read.add((parameter, statistic))
        return self.case.value(parameter, statistic)

    def estimate(self, parameter: str, fit: str = MAIN) -> float:
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
                    return self.printed(parameter, statistic)
            return self.printed(parameter, "value")
        return self.result(fit).estimate(parameter)


@dataclass(frozen=True)
class _Entry:
    function: Callable[..., Number]
    gives: tuple[str, ...]
    of: str
    level2: bool


def quantity(
    name: str,
    *,
    gives: tuple[str, ...] = ("value", "se"),
    of: str = "fits",
    level2: bool = False,
) -> Callable[[Callable[..., Number]], Callable[..., Number]]:
    """Register a function of a `Context` and arguments under the name that case files use.

    Parameters
    ----------
    name : str
        In case files: ``compute = "<name>"``.
    gives : tuple of str
        Of "value", "se", "lower", "upper", "p": what its `Number` may hold, and so what may be
        printed of it.
    of : {"fits", "data"}
        Whether it reads fits (in the column "print" printed numbers), or the data alone.
    level2 : bool
        Whether it depends on level-2 variances whatever its arguments are, through group effects
        or standard errors: maximum likelihood and a posterior differ in it as they do in these.
    """
    if of not in _OF:
        raise ValueError(f"of is one of {_OF}, not {of!r}")

    def register(function: Callable[..., Number]) -> Callable[..., Number]:
        if name in _KNOWN:
            raise ValueError(f"two functions are called {name}")
        _KNOWN[name] = _Entry(function, gives, of, level2)
        return function

    return register


@cache
def _load() -> None:
    """Import the modules of this package that register functions."""
    import bridge.cases as package

    for module in iter_modules(package.__path__):
        if module.name.startswith(_PREFIXES):
            import_module(f"bridge.cases.{module.name}")


def functions() -> Mapping[str, Callable[..., Number]]:
    """Return every registered function by name."""
    _load()
    return {name: entry.function for name, entry in _KNOWN.items()}


def gives(name: str) -> tuple[str, ...]:
    """Return the statistics that a registered function gives; none of an unknown one."""
    _load()
    return _KNOWN[name].gives if name in _KNOWN else ()


def is_of_data(name: str) -> bool:
    """Tell whether a registered function reads the data alone."""
    _load()
    return name in _KNOWN and _KNOWN[name].of == "data"


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
            f"{suggest(name, known)} There are: {', '.join(sorted(known)) or 'none'}."
        )
    try:
        inspect.signature(known[name]).bind(None, **arguments)
    except TypeError as error:
        raise DataFileError(f"{where}: '{name}' does not fit its arguments: {error}.") from None


def compute(name: str, context: Context, arguments: Mapping[str, Any]) -> Number:
    """Compute a number by the function of that name."""
    _load()
    if _KNOWN[name].level2:
        context.level2.add(name)
    return _KNOWN[name].function(context, **arguments)


def simulate(case: PublishedTable, seed: int) -> pd.DataFrame:
    """Draw one data set of a case with ``data = "simulated"``.

    Its model generates it, with the parameters ``[simulate.truth]``, in the rows of
    ``[simulate.design]``; see `bridge.simulate` and `bridge.SimulationDesign`.

    Raises
    ------
    DataFileError
        Where the table [simulate] has other parts, or one of these does not fit.
    """
    where = f"{case.file}: [simulate]"
    for part in {**case.simulate, **dict.fromkeys(_SIMULATE)}:
        if part not in _SIMULATE:
            raise DataFileError(f"{where} has no '{part}'.{suggest(part, _SIMULATE)}")
        if not isinstance(case.simulate.get(part), Mapping):
            raise DataFileError(f"{where} needs a table [simulate.{part}].")
    try:
        design = SimulationDesign.from_dict(case.simulate["design"])
        data: pd.DataFrame = draw(case.model(), case.simulate["truth"], design, seed)
    except RequestError as error:
        raise DataFileError(f"{where}: {error}") from None
    return data
