"""Published tables, as printed: the cases that results are compared with.

A case is a folder ``validation/cases/<source>/<model>/`` with

``case.toml``
    ``title``, ``source`` (where it is printed), ``data`` (a name of :mod:`bridge.datasets`,
    ``"london"`` or ``"simulated"``), ``rows`` (a subset), ``notes`` (a list of sentences) and the
    tables ``[spec]`` (the main model), ``[fits.<name>]`` (further models: what differs from it),
    ``[settings]`` (how print was estimated), ``[engines.<label>]`` (who runs it, with which
    options), ``[quantities."<name>"]`` (how a number that is no parameter of the main model is
    computed) and ``[argued]`` (why print cannot be reached there, what holds instead, and within
    what distance of print an engine is).
``published.csv``
    One number a row: ``parameter,statistic,value,page,scale,software``, digits as printed.

``bridge/cases/__init__.py`` says how each number is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import resources
from bridge.errors import DataFileError, suggest
from bridge.published_files import MAIN, read_case, read_numbers
from bridge.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

#: What print may be, ``[settings] method``: how its numbers were estimated, or where they are from.
METHODS = ("posterior", "ML", "REML", "OLS", "two-step", "simulation", "data", "print")


@dataclass(frozen=True)
class Argued:
    """Why a printed number cannot be reached, and how far from it an engine may be all the same.

    Attributes
    ----------
    why : str
        A sentence: what holds instead.
    within : float
        The largest distance from print, on its scale; further off it is not reached.
    """

    why: str
    within: float


@dataclass(frozen=True)
class PublishedTable:
    """One published fit, or one set of printed numbers.

    Attributes
    ----------
    name : str
        ``<source>/<model>``.
    title, source : str
        What was fitted, and where it is printed.
    data : str
        Name of the data set, for :func:`bridge.datasets.load`; or ``"london"``, ``"simulated"``.
    spec : dict
        Arguments of a ``ModelSpec``: ``mean``, ``variance`` and so on; empty where print shows no
        model.
    settings : dict
        How print was estimated: method, software, chains, draws, priors.
    argued : dict
        Parameter, or ``<parameter>.<statistic>``, to an `Argued`: why print cannot be reached
        there, and within what.
    notes : tuple of str
        Misprints, oddities and what else a reader must know.
    frame : pandas.DataFrame
        One row a number: parameter, statistic, value (float), printed (its text),
        half_digit (half a unit of its last digit), bound (whether print says "less than"), page,
        scale, software, line (of the file).
    rows : str or None
        A subset of the rows by name, as ``"hs_schools"``.
    fits : dict
        Name of a further model -> what replaces parts of ``spec``.
    engines : dict
        Label of an engine -> its options.
    quantities : dict
        Name of a number -> how it is computed.
    simulate : dict
        How data are drawn where they are ``"simulated"``.
    file : str
        The path of its case.toml, for messages.
    """

    name: str
    title: str
    source: str
    data: str
    spec: dict[str, Any]
    settings: dict[str, Any]
    argued: dict[str, Argued]
    notes: tuple[str, ...]
    frame: pd.DataFrame
    rows: str | None = None
    fits: dict[str, dict[str, Any]] = field(default_factory=dict)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    quantities: dict[str, dict[str, Any]] = field(default_factory=dict)
    simulate: dict[str, Any] = field(default_factory=dict)
    file: str = ""

    @property
    def root(self) -> Path:
        """The folder of the cases."""
        return Path(self.file).parents[2]

    def value(self, parameter: str, statistic: str = "mean") -> float:
        """Return one printed number.

        Parameters
        ----------
        parameter : str
            Canonical name, such as ``"delta[sector]"``.
        statistic : str
            ``"mean"``, ``"sd"``, ``"estimate"``, ``"se"``, ``"value"`` and so on.

        Returns
        -------
        float
            On the scale that ``frame["scale"]`` says.

        Raises
        ------
        bridge.errors.DataFileError
            If it is not printed.
        """
        rows = self.frame[self.frame["parameter"] == parameter]
        found = rows.loc[rows["statistic"] == statistic, "value"]
        if found.empty:
            near = suggest(parameter, self.frame["parameter"]) if rows.empty else ""
            raise DataFileError(f"'{self.name}' prints no {statistic} of {parameter}.{near}")
        return float(found.iloc[0])

    def model(self, fit: str = MAIN) -> ModelSpec:
        """Return one of the models by its name in the case.

        Parameters
        ----------
        fit : str
            ``"main"`` or a name of ``fits``.

        Raises
        ------
        bridge.errors.DataFileError
            If the case has no model of that name.
        bridge.errors.SpecError
            If what the case says is no model.
        """
        known = self.models()
        if fit not in known:
            raise DataFileError(
                f"'{self.name}' has no fit '{fit}'; it has {', '.join(known) or 'none'}."
                f"{suggest(fit, known)}"
            )
        return ModelSpec.from_dict(known[fit])

    def models(self) -> dict[str, dict[str, Any]]:
        """Return the arguments of every model by its name, the main one first."""
        main = {MAIN: self.spec} if self.spec else {}
        return main | {name: {**self.spec, **changes} for name, changes in self.fits.items()}


def published(name: str | None = None, root: Path | None = None) -> Any:
    """Return published tables.

    Parameters
    ----------
    name : str, optional
        ``"<source>/<model>"`` for one table, ``"<source>"`` for all of a source.
    root : pathlib.Path, optional
        Folder of the cases; by default the package's own.

    Returns
    -------
    PublishedTable, tuple of PublishedTable or tuple of str
        The table, the tables of the source, or, without a name, the names of all.

    Raises
    ------
    bridge.errors.DataFileError
        If there is none of that name, or a file is malformed (file and line are named).

    Examples
    --------
    >>> published("leckie2014/model1").value("gamma[sector]")
    2.829
    >>> len(published("leckie2014")) >= 4
    True
    """
    known = names(root)
    if name is None:
        return known
    of_source = [each for each in known if each.partition("/")[0] == name]
    if of_source:
        return tuple(load(each, root) for each in of_source)
    return load(name, root)


def names(root: Path | None = None) -> tuple[str, ...]:
    """Return the names of all cases, in alphabetical order.

    Parameters
    ----------
    root : pathlib.Path, optional
        Folder of the cases; by default the package's own.

    Returns
    -------
    tuple of str
        ``<source>/<model>`` each.
    """
    root = root or resources.path("validation/cases")
    # A folder with either file is a case, so that a lost file is found out.
    folders = {file.parent for pattern in ("case.toml", "published.csv")
               for file in root.glob(f"*/*/{pattern}")}  # fmt: skip
    return tuple(sorted(folder.relative_to(root).as_posix() for folder in folders))


def load(name: str, root: Path | None = None) -> PublishedTable:
    """Read one published table.

    Parameters
    ----------
    name : str
        ``<source>/<model>``, such as ``"leckie2014/model1"``.
    root : pathlib.Path, optional
        Folder of the cases; by default the package's own.

    Returns
    -------
    PublishedTable
        The case with its numbers, digits as printed.

    Raises
    ------
    bridge.errors.DataFileError
        If there is no such case, or one of its files is malformed (file and line are named).
    """
    root = root or resources.path("validation/cases")
    known = names(root)
    if name not in known:
        raise DataFileError(
            f"There is no published table '{name}'; there are {', '.join(known)}."
            f"{suggest(name, known)}"
        )
    file = root / name / "case.toml"
    case = read_case(file)
    frame = read_numbers(root / name / "published.csv")
    keys = {*frame["parameter"], *(frame["parameter"] + "." + frame["statistic"])}
    strangers = sorted(set(case.get("argued", {})) - keys)
    if strangers:
        raise DataFileError(
            f"{file}: [argued] names {strangers[0]}, "
            f"which published.csv does not have.{suggest(strangers[0], keys)}"
        )
    _check_settings(file, case.get("settings", {}))
    tables = ("spec", "settings", "fits", "engines", "quantities", "simulate")
    return PublishedTable(
        name=name,
        title=case["title"],
        source=case["source"],
        data=case["data"],
        rows=case.get("rows"),
        notes=tuple(case.get("notes", ())),
        frame=frame,
        file=str(file),
        argued={key: _argued(file, key, of) for key, of in case.get("argued", {}).items()},
        **{table: case.get(table, {}) for table in tables},
    )


def _argued(file: Path, key: str, found: Any) -> Argued:
    """Return what [argued] says of a number."""
    known = found if isinstance(found, dict) else {}
    why, within = known.get("why"), known.get("within", -1.0)
    number = isinstance(within, int | float) and not isinstance(within, bool)
    if set(known) == {"why", "within"} and isinstance(why, str) and number and float(within) >= 0:
        return Argued(why, float(within))
    raise DataFileError(
        f"{file}: [argued] {key} says why print cannot be reached, and within what distance of it "
        'an engine is: { why = "…", within = 0.01 }.'
    )


def _check_settings(file: Path, settings: Mapping[str, Any]) -> None:
    """Refuse settings that judging would stumble over, or read as others."""
    method = settings.get("method", METHODS[0])
    if method not in METHODS:
        raise DataFileError(
            f"{file}: [settings] method is one of {', '.join(METHODS)}, not {method!r}."
            f"{suggest(str(method), METHODS)}"
        )
    draws = settings.get("effective_draws", 1)
    if isinstance(draws, bool) or not isinstance(draws, int | float) or not draws > 0:
        raise DataFileError(
            f"{file}: [settings] effective_draws is a number above zero, not {draws!r}."
        )
