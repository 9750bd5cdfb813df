"""Everything that can be wrong with a request or a fit, one class each.

Every message is one clear sentence: what is wrong, where, and what to do.
`RequestError` and below mean the request was wrong (exit code 2 on the command
line); `EngineFailed` and below mean that a fit failed (exit code 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BridgeError(Exception):
    """Base of every error this package raises on purpose."""


class RequestError(BridgeError):
    """What was asked for cannot be done as it was asked."""


class SpecError(RequestError):
    """A model specification contradicts itself or the vocabulary."""


class FormulaError(SpecError):
    """A formula does not parse; the message points at the place."""


class UnsafeFormulaError(FormulaError):
    """A formula holds code, quotes or backticks; formulas are data."""


class VocabularyError(SpecError):
    """A column's name collides with a name of the result."""


class GroupingError(SpecError):
    """The grouping is not one factor, or is used as a predictor too."""


class PriorError(SpecError):
    """A prior is misspelt, malformed, or on a parameter that is not there."""


class HypothesisError(RequestError):
    """A hypothesis does not parse, names no coefficient, or contradicts another."""


class OptionError(RequestError):
    """An option is unknown or its value is out of range."""


class DataError(RequestError):
    """The data cannot be used for this model."""


class UnknownColumnError(DataError):
    """A formula names a column that the data do not have."""


class ColumnTypeError(DataError):
    """A column holds something that is neither number, truth value nor text."""


class OutcomeError(DataError):
    """The outcome is missing, constant, infinite or not numeric."""


class NoRowsError(DataError):
    """No row is left after dropping missing values."""


class GroupsError(DataError):
    """The groups cannot identify the random effects."""


class CollinearError(DataError):
    """Columns of a design matrix are linear combinations of others."""


class DataFileError(RequestError):
    """A data, specification or result file cannot be read."""


class ResultVersionError(DataFileError):
    """A saved result was written by a newer version."""


class OutputError(RequestError):
    """A result cannot be written where it was asked to be."""


class UnknownEngineError(RequestError):
    """There is no engine of that name."""


class EngineRefusal(RequestError):
    """An engine cannot express a specification; nothing smaller is fitted."""


class EngineNotInstalled(RequestError):
    """An engine, or something it runs on, is not on this machine."""


class NotAvailable(RequestError):
    """A result does not hold what was asked of it."""


class EngineFailed(BridgeError):
    """An engine stopped with an error; its last words are in the message."""


class EngineTimeout(EngineFailed):
    """A fit took longer than the user allowed."""


class HarmoniseError(EngineFailed):
    """An engine answered with something other than the plan asked for."""


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known word, or nothing.

    Parameters
    ----------
    word : str
        What was typed.
    known : iterable of str
        What would have been understood.

    Returns
    -------
    str
        A sentence with a leading space, or the empty string.
    """
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""
