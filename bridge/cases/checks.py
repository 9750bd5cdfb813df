"""Checks of the arguments that case files give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.errors import DataFileError, OptionError, suggest

if TYPE_CHECKING:
    import pandas as pd


def one_of(word: str, words: Iterable[str], what: str) -> None:
    """Refuse a word that is not one of some.

    Raises
    ------
    OptionError
        Saying what it is and which words there are.
    """
    known = list(words)
    if word not in known:
        raise OptionError(
            f"{what} is one of {', '.join(known)}, not '{word}'.{suggest(word, known)}"
        )


def column_of(data: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of a case's data.

    Raises
    ------
    DataFileError
        Where there is none of that name.
    """
    if name not in data.columns:
        known = [str(column) for column in data.columns]
        raise DataFileError(f"The case's data have no column '{name}'.{suggest(name, known)}")
    return data[name]
