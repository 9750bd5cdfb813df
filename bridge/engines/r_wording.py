"""From a design to the words and columns of R, shared by the R engines; pure.

Everything that reaches R as text is built here from names this module made
safe; a user's text, a level or a group label never does. Groups go as the
numbers 1 to J, so that no label can confuse an engine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bridge import names
from bridge.columns import Factor
from bridge.design import Design, RandomPart
from bridge.encode import Encoded, Piece
from bridge.engines.frame import Column

# words R reserves or binds, and names brms gives a meaning in a formula
_TAKEN = frozenset(
    (
        *("if", "else", "repeat", "while", "function", "for", "next", "break", "in"),
        *("TRUE", "FALSE", "NULL", "Inf", "NaN", "NA", "T", "F", "pi", "I"),
        *("Intercept", "intercept", "sigma", "mu", "nu"),
    )
)
_SAFE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z0-9]+)*")


def _safe(text: str, used: Iterable[str], fallback: str) -> str:
    """Return a name that R and brms read as one plain name, not yet used."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    if not _SAFE.fullmatch(text) or text in _TAKEN:
        words = re.findall(r"[A-Za-z0-9]+", plain)
        text = "_".join(words) if words else fallback
        if not text[0].isalpha() or text in _TAKEN:
            text = f"{fallback}_{text}"
    name, number = text, 1
    while name in used:
        number += 1
        name = f"{text}_{number}"
    return name


@dataclass(frozen=True)
class RData:
    """The names and columns a design has in R.

    Attributes
    ----------
    outcome, group : str
        Their names in R.
    names : dict of str to str
        Our column -> its name in R.
    levels : dict of str to dict
        Our factor -> our level -> its name in R.
    frame : list of Column
        What crosses the border.
    """

    outcome: str
    group: str
    names: dict[str, str]
    levels: dict[str, dict[str, str]]
    frame: list[Column]

    def notes(self) -> list[str]:
        """Return R comments for the columns whose names differ from the user's."""
        return [
            f"# data${theirs}: {names.comment(ours)}"
            for ours, theirs in self.names.items()
            if ours != theirs
        ]


def r_data(design: Design) -> RData:
    """Return the columns of a design as R gets them, rows in the design's order."""
    used: list[str] = []

    def take(text: str, fallback: str) -> str:
        used.append(_safe(text, used, fallback))
        return used[-1]

    outcome = take(design.spec.outcome, "outcome")
    group = take(design.spec.group or "group", "group")
    taken = {design.spec.outcome: outcome}
    if design.spec.group:
        taken[design.spec.group] = group
    levels = {}
    frame = [Column(outcome, "double", design.y)]
    for ours, column in design.columns.items():
        taken[ours] = take(ours, "x")
        if isinstance(column, Factor):
            safe: dict[str, str] = {}
            for level in column.levels:
                safe[level] = _safe_level(level, safe.values())
            levels[ours] = safe
            codes = column.codes.astype(np.int32)
            frame.append(Column(taken[ours], "factor", codes, tuple(safe.values())))
        else:
            frame.append(Column(taken[ours], "double", column))
    labels = tuple(str(j + 1) for j in range(len(design.group_labels)))
    frame.append(Column(group, "factor", design.group.astype(np.int32), labels))
    return RData(outcome, group, taken, levels, frame)


def identifiers(design: Design) -> dict[str, str]:
    """Return every id of random terms -> a plain name for brms; different ids stay different."""
    found: dict[str, str] = {}
    for part in design.mean_random + design.variance_random:
        if part.id is not None and part.id not in found:
            found[part.id] = _safe(part.id, found.values(), "id")
    return found


def _safe_level(level: str, used: Iterable[str]) -> str:
    text = level if re.fullmatch(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*", level) else ""
    text = text or ".".join(re.findall(r"[A-Za-z0-9]+", level)) or "level"
    name, number = text, 1
    while name in set(used):
        number += 1
        name = f"{text}.{number}"
    return name


def terms(encoded: Encoded, data: RData) -> str:
    """Return the right side of a formula, such as ``1 + sector + sector:ses``."""
    written = ["1" if encoded.intercept else "0"]
    written += [":".join(data.names[c] for c in term) for term in encoded.terms if term]
    return " + ".join(written)


def coefficient_names(encoded: Encoded, data: RData) -> list[str]:
    """Return the names R gives the columns of ``model.matrix`` of `terms`.

    Within a term R orders the columns as they first appear in the formula.
    """
    order: list[str] = []
    for term in encoded.terms:
        order += [column for column in term if column not in order]
    found = []
    for piece in encoded.pieces:
        sides = sorted(piece, key=lambda side: order.index(side[0]))
        found.append(
            ":".join(
                data.names[c] + (data.levels[c][level] if level is not None else "")
                for c, level in sides
            )
            or "Intercept"
        )
    return found


@dataclass(frozen=True)
class Block:
    """A set of correlated effects, in words.

    Attributes
    ----------
    effects : tuple of int
        Positions among the effects of the design.
    words : str
        The right side of its formula, such as ``1 + ses``.
    """

    effects: tuple[int, ...]
    words: str


def blocks(design: Design, parts: Sequence[RandomPart], data: RData) -> list[Block]:
    """Return the sets of correlated effects as formulas; effects of no term are left apart.

    A set that is one term keeps the term's words; one effect of a ``||`` term, or terms
    joined by an id, become plain numeric columns, which are added to ``data.frame``.
    """
    found: list[Block] = []
    for number in dict.fromkeys(design.block[e] for part in parts for e in part.effects):
        members = [e for part in parts for e in part.effects if design.block[e] == number]
        whole = [
            p for p in parts if list(p.effects) == members and (p.correlated or len(members) == 1)
        ]
        if whole:
            found.append(Block(tuple(members), terms(whole[0].encoded, data)))
            continue
        words, intercept = [], "0"
        for part in parts:
            for position, effect in enumerate(part.effects):
                if effect not in members:
                    continue
                piece = part.encoded.pieces[position]
                if not piece:
                    intercept = "1"
                else:
                    label = part.encoded.labels[position]
                    words.append(_numeric(piece, label, part.encoded.matrix[:, position], data))
        found.append(Block(tuple(members), " + ".join([intercept, *words])))
    return found


def _numeric(piece: Piece, label: str, values: np.ndarray, data: RData) -> str:
    """Return the name of a numeric column equal to one design column, adding it if need be."""
    if len(piece) == 1 and piece[0][1] is None:
        return data.names[piece[0][0]]
    if label not in data.names:
        data.names[label] = _safe(label, [c.name for c in data.frame], "x")
        data.frame.append(Column(data.names[label], "double", values))
    return data.names[label]


def numeric_column(encoded: Encoded, position: int, data: RData) -> str:
    """Return the R name of a numeric column equal to a design column, adding it if need be."""
    return _numeric(
        encoded.pieces[position], encoded.labels[position], encoded.matrix[:, position], data
    )


def call(function: str, arguments: Sequence[str], notes: Sequence[str] = ()) -> str:
    """Lay out a call of R, one argument a line where it is long."""
    short = f"{function}({', '.join(arguments)})"
    text = short if len(short) <= 90 else f"{function}(\n  " + ",\n  ".join(arguments) + "\n)"
    return "\n".join([*notes, text])
