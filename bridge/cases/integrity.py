"""Whether a case is whole: every number has a rule, every name in it exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bridge.cases.numbers import DATA, PRINT, check, is_of_data, simulate
from bridge.cases.rules import (
    ENGINE_KEYS,
    FIT_STATISTIC,
    FIT_STATISTICS,
    FUNCTION,
    PARAMETER,
    Rule,
    columns_of,
    engine_of,
    rule_of,
)
from bridge.design import make_design
from bridge.engines import registry
from bridge.engines.harmonise import parameter_table
from bridge.errors import DataFileError, EngineRefusal, RequestError, suggest
from bridge.priors import Priors
from bridge.published_data import data_of
from bridge.published_files import MAIN, SIMULATED
from bridge.published_tables import PublishedTable
from bridge.spec import ModelSpec

_SEED = 1
#: Keys of a quantity without a function.
_PLAIN_KEYS = ("parameter", "statistic", "fit", "engines", "slow", "note")


def case_data(case: PublishedTable) -> pd.DataFrame:
    """Return the rows of a case; of one that simulates, a first draw of them."""
    return simulate(case, _SEED) if case.data == SIMULATED else data_of(case)


def check_case(case: PublishedTable) -> None:
    """Refuse a case in which a name means nothing or a printed number has no rule.

    Parameters
    ----------
    case : PublishedTable
        The case.

    Raises
    ------
    DataFileError
        Naming the file and the key or the line.
    """
    data = case_data(case)
    known = {name: _parameters(case, name, data) for name in case.models()}
    for label, table in case.engines.items():
        _check_engine(case, label, table)
    for name, table in case.quantities.items():
        _check_quantity(case, name, table)
    for row in case.frame.to_dict("records"):
        line = f"{Path(case.file).with_name('published.csv')}, line {row['line']}"
        _check_row(rule_of(case, row["parameter"]), row, known, line)
    unused = sorted(set(case.quantities) - set(case.frame["parameter"]))
    if unused:
        raise DataFileError(
            f"{case.file}: no line of published.csv is the quantity '{unused[0]}'."
            f"{suggest(unused[0], case.frame['parameter'])}"
        )


def engine_spec(case: PublishedTable, column: str, fit: str) -> ModelSpec:
    """Return a model as one engine gets it: with its own priors, or none where it takes none.

    Raises
    ------
    RequestError
        Where the priors are no priors.
    """
    spec, engine = case.model(fit), engine_of(case, column)
    if "priors" not in registry.ENGINES[engine].features:
        return spec.replace(priors=Priors())
    own = case.engines[column].get("priors")
    return spec if own is None else spec.replace(priors=Priors(own))


def _parameters(case: PublishedTable, name: str, data: pd.DataFrame) -> list[str]:
    """Return the names of the parameters of one of the models."""
    try:
        return [row[0] for row in parameter_table(make_design(case.model(name), data))]
    except RequestError as error:
        key = "[spec]" if name == MAIN else f"[fits.{name}]"
        raise DataFileError(f"{case.file}: {key}: {error}") from None


def _check_engine(case: PublishedTable, label: str, table: Mapping[str, Any]) -> None:
    where, engine = f"{case.file}: [engines.{label}]", engine_of(case, label)
    options = {key: value for key, value in table.items() if key not in ENGINE_KEYS}
    if engine in (PRINT, DATA):
        if options:
            raise DataFileError(f"{where}: '{engine}' has no options, and {next(iter(options))}.")
        return
    for fit in (*table.get("fits", ()), *table.get("fails", {})):
        if fit not in case.models():
            raise DataFileError(f"{where}: there is no fit '{fit}'.{suggest(fit, case.models())}")
    try:
        registry.get(engine).checked_options(options)
        reasons = []
        for fit in case.models():
            try:
                registry.check(engine, engine_spec(case, label, fit))
            except EngineRefusal as refusal:
                reasons.append(str(refusal))
    except RequestError as error:
        raise DataFileError(f"{where}: {error}") from None
    if reasons and len(reasons) == len(case.models()):
        raise DataFileError(f"{where}: it can fit no model of the case. {reasons[0]}")


def _check_quantity(case: PublishedTable, name: str, table: Mapping[str, Any]) -> None:
    where = f'{case.file}: [quantities."{name}"]'
    ways = [key for key in ("compute", "parameter", "statistic") if key in table]
    if not ways or (len(ways) > 1 and "compute" not in ways):
        raise DataFileError(
            f"{where}: it says how it is computed by 'compute' (a function), 'parameter' (of a "
            "fit) or 'statistic' (of a fit); give one of them."
        )
    rule = rule_of(case, name)
    if rule.kind == FUNCTION:
        check(rule.name, rule.arguments, where)
        if is_of_data(rule.name) and rule.columns != (DATA,):
            raise DataFileError(f"{where}: '{rule.name}' reads data alone; leave 'engines' out.")
    strangers = [key for key in table if key not in _PLAIN_KEYS]
    if rule.kind != FUNCTION and strangers:
        raise DataFileError(f"{where}: there is no key '{strangers[0]}' beside '{ways[0]}'.")
    _check_known(rule.columns, (*columns_of(case), PRINT), f"{where}: engines")
    for key in ("fit", "fits"):
        named = table.get(key, [])
        several = named if isinstance(named, list) else [named]
        _check_known(several, case.models(), f"{where}: {key}")
    if not rule.columns:
        raise DataFileError(f"{where}: no engine of the case computes it.")


def _check_known(found: Sequence[str], known: Any, where: str) -> None:
    for each in found:
        if each not in known:
            raise DataFileError(
                f"{where}: there is no '{each}'; there are {', '.join(known)}."
                f"{suggest(each, known)}"
            )


def _check_row(
    rule: Rule, row: Mapping[str, Any], known: Mapping[str, Sequence[str]], where: str
) -> None:
    """Make sure that one printed number is computed by its rule."""
    if rule.kind == FIT_STATISTIC and rule.name not in FIT_STATISTICS:
        raise DataFileError(
            f"{where}: '{rule.name}' is no statistic of a fit; there are "
            f"{', '.join(FIT_STATISTICS)}.{suggest(rule.name, FIT_STATISTICS)}"
        )
    if rule.kind == PARAMETER:
        of_fit = known.get(rule.fits[0], ())
        if rule.name not in of_fit:
            raise DataFileError(
                f"{where}: '{rule.name}' is no parameter of fit '{rule.fits[0]}', no statistic of "
                f"a fit and no quantity of case.toml.{suggest(rule.name, of_fit)}"
            )
    if row["statistic"] not in rule.statistics:
        raise DataFileError(
            f"{where}: no rule gives the {row['statistic']} of {row['parameter']}, but "
            f"{', '.join(rule.statistics)}."
        )
    if not rule.columns:
        raise DataFileError(f"{where}: no engine of the case computes {row['parameter']}.")
