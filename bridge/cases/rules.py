"""From a printed number to the rule that computes it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.cases.numbers import DATA, PRINT, gives, is_of_data
from bridge.published_files import MAIN, OF_PARAMETER
from bridge.published_tables import PublishedTable

#: Numbers of a whole fit, printed with the statistic "value".
FIT_STATISTICS = (
    "DIC", "loglik", "deviance", "aic", "bic", "n_parameters", "n_obs", "n_groups",
)  # fmt: skip
PARAMETER, FIT_STATISTIC, FUNCTION = "parameter", "fit statistic", "function"
#: Keys of a quantity that are not arguments of its function.
_OWN = ("compute", "engines", "slow", "note")
#: Keys of [engines.<label>] that are not options of the engine.
ENGINE_KEYS = ("engine", "priors", "fits", "fails", "slow")


@dataclass(frozen=True)
class Rule:
    """How one printed name is computed.

    Attributes
    ----------
    kind : {"parameter", "fit statistic", "function"}
        What it is.
    name : str
        The flat name, the statistic of the fit, or the function.
    fits : tuple of str
        The fits it needs.
    statistics : tuple of str
        What may be printed of it.
    arguments : dict
        Of the function.
    columns : tuple of str
        The labels of the columns that compute it.
    slow : bool
        Left out by ``--quick``.
    """

    kind: str
    name: str
    fits: tuple[str, ...]
    statistics: tuple[str, ...]
    columns: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False


def columns_of(case: PublishedTable) -> tuple[str, ...]:
    """Return the labels of a case's columns: those of [engines], and "data" where one reads it."""
    of_data = any(is_of_data(str(q.get("compute"))) for q in case.quantities.values())
    return tuple(dict.fromkeys((*case.engines, *((DATA,) if of_data else ()))))


def engine_of(case: PublishedTable, column: str) -> str:
    """Return the engine behind a column; "print" and "data" are their own."""
    return str(case.engines.get(column, {}).get("engine", column))


def rule_of(case: PublishedTable, parameter: str) -> Rule:
    """Return the rule that computes a printed name.

    Parameters
    ----------
    case : PublishedTable
        The case.
    parameter : str
        A name of its published.csv.

    Notes
    -----
    In this order: a quantity of that name; a statistic of the main fit; a parameter of it.
    """
    engines = tuple(c for c in columns_of(case) if engine_of(case, c) not in (PRINT, DATA))
    if parameter in case.quantities:
        return _declared(case, parameter, engines)
    if parameter in FIT_STATISTICS:
        return Rule(FIT_STATISTIC, parameter, (MAIN,), ("value",), engines)
    return Rule(PARAMETER, parameter, (MAIN,), OF_PARAMETER, engines)


def _declared(case: PublishedTable, parameter: str, engines: tuple[str, ...]) -> Rule:
    """Return the rule of a table [quantities."<name>"]."""
    table = case.quantities[parameter]
    slow = bool(table.get("slow", False))
    restricted = table.get("engines")
    if "compute" not in table:
        asked = tuple(restricted) if restricted else engines
        one = (str(table.get("fit", MAIN)),)
        if "parameter" in table:
            name = str(table["parameter"])
            return Rule(PARAMETER, name, one, OF_PARAMETER, asked, slow=slow)
        return Rule(FIT_STATISTIC, str(table["statistic"]), one, ("value",), asked, slow=slow)
    function = str(table["compute"])
    arguments = {key: value for key, value in table.items() if key not in _OWN}
    columns: tuple[str, ...] = (DATA,) if is_of_data(function) else engines
    if not is_of_data(function) and PRINT in case.engines:
        columns = (*columns, PRINT)
    if restricted:
        columns = tuple(restricted)
    # no fit is behind what is computed from the data or from print alone
    alone = all(engine_of(case, column) in (PRINT, DATA) for column in columns)
    fits = () if alone else _fits_named(case, parameter, arguments)
    return Rule(FUNCTION, function, fits, gives(function), columns, arguments, slow)


def _fits_named(case: PublishedTable, own: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fits that arguments name, also by another quantity.

    The main one is among them where no `fit`, `fits` or other quantity is given.
    """
    models = case.models()
    words = []
    for value in arguments.values():
        several = value if isinstance(value, list) else [value]
        words += [each for each in several if isinstance(each, str)]
    # a quantity may have the name of the parameter that it is of
    of_others = [word for word in words if word in case.quantities and word != own]
    named = [word for word in words if word in models]
    for other in of_others:
        named += rule_of(case, other).fits
    if MAIN in models and not of_others and not {"fit", "fits"} & set(arguments):
        named = [MAIN, *named]
    return tuple(dict.fromkeys(named))
