"""Three data sets that ship with the package, and one that is simulated.

``hsb``
    High School and Beyond 1982: 7,185 students in 160 schools. Outcome ``mathach``
    (points of a mathematics test). From the R package nlme, GPL >= 2.
``exam``
    Inner London exam scores: 4,059 students in 65 schools. Outcome ``normexam``
    (normal scores at age 16). From the R package mlmRev, GPL >= 2.
``reisby``
    Reisby depression study: 66 patients over 6 weeks, 375 of 396 ratings observed.
    Outcome ``hamdep`` (Hamilton depression scale). CC0.
``london``
    Simulated, by :func:`simulate`: 71,321 students in 465 schools. Outcome ``score16`` (exam
    score at age 16), drawn with the estimates that a paper prints; see :mod:`bridge.london`.

:func:`describe` gives the columns of one with their units; ``validation/data/PROVENANCE.md``
says where each file comes from and what in it does not agree with print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import resources
from bridge.errors import DataFileError, suggest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Dataset:
    """What is known of one data set."""

    title: str
    rows: int
    group: str
    groups: int
    columns: dict[str, str]
    source: str
    licence: str


_DATASETS = {
    "exam": _Dataset(
        title="Inner London exam scores",
        rows=4059,
        group="school",
        groups=65,
        columns={
            "school": "school number",
            "student": "student number, not unique within a school",
            "normexam": "exam score at age 16, as normal scores",
            "standlrt": "London reading test at age 11, standardised",
            "girl": "1 girl, 0 boy",
            "schgend": "school's intake: mixed, boys or girls",
            "schavg": "school mean of intake score, in the units of standlrt",
            "vr": "school's verbal reasoning band at intake: bottom, mid or top",
            "intake": "student's band of intake score: bottom, mid or top",
        },
        source="R package mlmRev, Exam; Goldstein et al. 1993",
        licence="GPL >= 2",
    ),
    "hsb": _Dataset(
        title="High School and Beyond 1982",
        rows=7185,
        group="school",
        groups=160,
        columns={
            "school": "school number",
            "minority": "1 if the student is of a minority, else 0",
            "female": "1 female, 0 male",
            "ses": "student's socioeconomic status, standardised index",
            "meanses": "school mean of ses, as published (to 3 decimals)",
            "mathach": "mathematics achievement, points",
            "size": "students enrolled in the school",
            "sector": "0 public, 1 Catholic",
            "pracad": "share of the school's students on the academic track",
            "disclim": "disciplinary climate, index (higher is worse)",
            "himinty": "1 if more than 40% of the school is of a minority, else 0",
        },
        source="R package nlme, MathAchieve and MathAchSchool; Raudenbush & Bryk 2002",
        licence="GPL >= 2",
    ),
    "reisby": _Dataset(
        title="Reisby depression study",
        rows=396,
        group="id",
        groups=66,
        columns={
            "id": "patient number",
            "week": "weeks since baseline, 0 to 5",
            "endog": "1 endogenous depression, 0 not",
            "hamdep": "Hamilton depression rating, points; empty where missing (21 rows)",
        },
        source="RIESBY.DAT of D. Hedeker, CEHS-research/eBook_multilevel; Reisby et al. 1977",
        licence="CC0",
    ),
}

_SIMULATED = {
    "london": _Dataset(
        title="London schools, simulated from printed estimates",
        rows=71321,
        group="school",
        groups=465,
        columns={
            "school": "school number",
            "score16": "exam score at age 16, in SDs; drawn from model 1 to 6 of the paper",
            "score11": "test score at age 11, standardised",
            "summer_born": "1 born in June, July or August, else 0",
            "girl": "1 girl, 0 boy",
            "ethnicity": "White, Black, Asian, Chinese, Mixed or Other",
            "eal": "1 if the first language is not English, else 0",
            "sen": "1 special educational needs, 0 none",
            "fsm": "1 if free school meals in any of the previous six years, else 0",
            "school_type": "Standard, Sponsored academy, Converter academy or Other",
            "admissions": "Comprehensive, Grammar or Secondary modern",
            "school_gender": "school's intake: Mixed, Boys or Girls",
            "religious": "1 religious school, 0 not",
        },
        source="simulated by bridge.london from tables of Leckie, Parker, Goldstein & Tilling",
        licence="that of the package",
    ),
}


def names() -> tuple[str, ...]:
    """Return the names of the data sets that can be loaded, in alphabetical order."""
    return tuple(sorted(_DATASETS))


def load(name: str) -> pd.DataFrame:
    """Read one data set.

    Parameters
    ----------
    name : str
        ``"exam"``, ``"hsb"`` or ``"reisby"``.

    Returns
    -------
    pandas.DataFrame
        One row an observation, in the order of the file; group numbers are integers.
        Shapes: exam (4059, 9), hsb (7185, 11), reisby (396, 4).

    Raises
    ------
    bridge.errors.DataFileError
        If there is no data set of that name, or it is simulated.
    """
    import pandas as pd

    if name in _SIMULATED:
        raise DataFileError(
            f"The data set '{name}' is simulated, not stored; "
            f'call datasets.simulate("{name}", seed=1) instead.'
        )
    _known(name, _DATASETS)
    return pd.read_csv(resources.path(f"validation/data/{name}.csv"))


def simulate(name: str, seed: int, model: int = 3) -> pd.DataFrame:
    """Draw one simulated data set.

    Parameters
    ----------
    name : str
        ``"london"``.
    seed : int
        A whole number, at least 0; the same seed gives the same data.
    model : int, default 3
        The model the outcome is drawn from: for ``"london"`` 1 to 6, as numbered in print.
        The covariates do not depend on it.

    Returns
    -------
    pandas.DataFrame
        One row an observation, rows ordered by group. Shape: london (71321, 13).

    Raises
    ------
    bridge.errors.DataFileError
        If there is no simulated data set of that name.
    bridge.errors.OptionError
        If there is no such model, or the seed is not a whole number of at least 0.

    Notes
    -----
    :mod:`bridge.london` says what is printed and what is not, and has the specification and the
    true parameters of each model.
    """
    _known(name, _SIMULATED)
    from bridge import london

    return london.simulate(seed, model)


def describe(name: str) -> str:
    """Return what a data set holds: columns with units, source and licence.

    Parameters
    ----------
    name : str
        ``"exam"``, ``"hsb"``, ``"reisby"`` or ``"london"``.

    Returns
    -------
    str
        Several lines of plain text.

    Raises
    ------
    bridge.errors.DataFileError
        If there is no data set of that name.
    """
    data = _known(name, _DATASETS | _SIMULATED)
    width = max(map(len, data.columns))
    lines = [f"{name}: {data.title}; {data.rows:,} rows in {data.groups} groups ({data.group})."]
    lines += [f"  {column:<{width}}  {what}" for column, what in data.columns.items()]
    lines += [f"Source: {data.source}.", f"Licence: {data.licence}."]
    return "\n".join(lines)


def _known(name: str, among: dict[str, _Dataset]) -> _Dataset:
    """Return the entry of a data set, or refuse the name."""
    if name not in among:
        kind = "simulated data set" if among is _SIMULATED else "data set"
        raise DataFileError(
            f"There is no {kind} '{name}'; there {'are' if len(among) > 1 else 'is'} "
            f"{', '.join(among)}.{suggest(name, among)}"
        )
    return among[name]
