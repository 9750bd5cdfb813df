"""Linear equations of coefficients as text: ``"sector + sector:ses = 0"``.

A label may hold signs of its own (``I(ses - meanses)``, ``sector[Catholic]``), so that texts are
not cut at signs: known labels are looked for, the longest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from bridge.errors import HypothesisError

_WORD = r"[\w.]"
_NUMBER = re.compile(rf"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![:\[(^]|{_WORD})")
_SIGNS = "+-*/=(),"
_LABEL, _VALUE, _SIGN, _END = "label", "number", "sign", "end"


@dataclass(frozen=True)
class Equation:
    """One linear equation.

    Attributes
    ----------
    text : str
        As it was written, ``= 0`` added where no value was.
    weights : dict of str to float
        What each coefficient is multiplied by, by the name that its label stands for.
    value : float
        What the combination is equal to.
    """

    text: str
    weights: dict[str, float]
    value: float


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class _Linear:
    """A combination of coefficients plus a number."""

    weights: dict[str, float]
    constant: float

    def plus(self, other: _Linear, sign: float) -> _Linear:
        weights = dict(self.weights)
        for name, weight in other.weights.items():
            weights[name] = weights.get(name, 0.0) + sign * weight
        return _Linear(weights, self.constant + sign * other.constant)

    def times(self, factor: float) -> _Linear:
        weights = {name: factor * weight for name, weight in self.weights.items()}
        return _Linear(weights, factor * self.constant)


def parse(
    text: str, known: Mapping[str, str], unknown: Callable[[str], Exception]
) -> list[Equation]:
    """Read linear equations.

    Parameters
    ----------
    text : str
        Equations parted by commas. In each, ``+ - * /``, brackets, numbers and labels; a side
        without ``=`` is set equal to zero, and ``a = b = c`` is two equations.
    known : mapping of str to str
        Labels and the names they stand for. White space around signs within a label is free.
    unknown : callable
        Of a word that is no label: the error to raise.

    Returns
    -------
    list of Equation

    Raises
    ------
    HypothesisError
        Where the text does not parse or is not linear.
    """
    return _Parser(text, _tokens(text, known, unknown), known).equations()


# --- tokens -------------------------------------------------------------------------------------
def _tokens(
    text: str, known: Mapping[str, str], unknown: Callable[[str], Exception]
) -> list[_Token]:
    patterns = _patterns(known)
    found, at = list[_Token](), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _label_at(text, at, patterns) or _plain_at(text, at)
        if token is None:
            raise unknown(_word_at(text, at))
        found.append(token)
        at = token.end
    return [*found, _Token(_END, "", len(text), len(text))]


def _patterns(labels: Iterable[str]) -> list[tuple[re.Pattern[str], str]]:
    """Return what finds each label, the longest first; a label ends where its word does."""
    found = []
    for label in sorted(labels, key=len, reverse=True):
        parts = re.findall(rf"{_WORD}+|[^\w\s.]", label)
        written = ""
        for before, part in pairwise(["", *parts]):
            words = re.fullmatch(rf"{_WORD}+", before) and re.fullmatch(rf"{_WORD}+", part)
            gap = r"\s+" if words else r"\s*" if before else ""
            written += gap + re.escape(part)
        # what goes on is another label: sector of sector:ses, poly(x, 2) of poly(x, 2)[1]
        ends = rf"(?![:\[(^]|{_WORD})" if re.match(_WORD, parts[-1]) else r"(?![:\[^])"
        found.append((re.compile(written + ends), label))
    return found


def _label_at(text: str, at: int, patterns: list[tuple[re.Pattern[str], str]]) -> _Token | None:
    for pattern, label in patterns:
        match = pattern.match(text, at)
        if match:
            return _Token(_LABEL, label, at, match.end())
    return None


def _plain_at(text: str, at: int) -> _Token | None:
    number = _NUMBER.match(text, at)
    if number:
        return _Token(_VALUE, number[0], at, number.end())
    return _Token(_SIGN, text[at], at, at + 1) if text[at] in _SIGNS else None


def _word_at(text: str, at: int) -> str:
    """Return a word with the brackets that belong to it."""
    depth, end = 0, at
    while end < len(text):
        c = text[end]
        if depth == 0 and (c.isspace() or c in "+-*/=,)]"):
            break
        depth += (c in "([") - (c in ")]")
        end += 1
    return text[at : max(end, at + 1)].strip()


# --- grammar ------------------------------------------------------------------------------------
class _Parser:
    """Equations by recursive descent: a sum of products, signs before factors."""

    def __init__(self, text: str, tokens: list[_Token], known: Mapping[str, str]) -> None:
        self.text, self.tokens, self.known, self.at = text, tokens, known, 0

    def equations(self) -> list[Equation]:
        found = self.equation()
        while self.taken(","):
            found += self.equation()
        if self.now.kind != _END:
            self.fail("an operator or the end")
        return found

    def equation(self) -> list[Equation]:
        sides = [self.side()]
        while self.taken("="):
            sides.append(self.side())
        if len(sides) == 1:
            sides.append(("0", _Linear({}, 0.0)))
        found = []
        for (left, first), (right, second) in pairwise(sides):
            linear = first.plus(second, -1.0)
            # 0.0 less zero, lest a value is -0.0
            found.append(Equation(f"{left} = {right}", linear.weights, 0.0 - linear.constant))
        return found

    def side(self) -> tuple[str, _Linear]:
        start = self.now.start
        linear = self.sum()
        return " ".join(self.text[start : self.tokens[self.at - 1].end].split()), linear

    def sum(self) -> _Linear:
        found = self.product()
        while self.now.kind == _SIGN and self.now.text in "+-":
            sign = 1.0 if self.next().text == "+" else -1.0
            found = found.plus(self.product(), sign)
        return found

    def product(self) -> _Linear:
        found = self.factor()
        while self.now.kind == _SIGN and self.now.text in "*/":
            sign, other = self.next(), self.factor()
            if sign.text == "/":
                if other.weights or other.constant == 0:
                    self.fail("a number other than zero", sign)
                found = found.times(1.0 / other.constant)
            elif found.weights and other.weights:
                self.fail("a product with a number", sign)
            else:
                number, linear = (found, other) if other.weights else (other, found)
                found = linear.times(number.constant)
        return found

    def factor(self) -> _Linear:
        token = self.next()
        if token.kind == _VALUE:
            return _Linear({}, float(token.text))
        if token.kind == _LABEL:
            return _Linear({self.known[token.text]: 1.0}, 0.0)
        if token.text in ("+", "-"):
            return self.factor().times(1.0 if token.text == "+" else -1.0)
        if token.text == "(":
            found = self.sum()
            if not self.taken(")"):
                self.fail("')'")
            return found
        return self.fail("a coefficient, a number or '('", token)

    @property
    def now(self) -> _Token:
        return self.tokens[self.at]

    def next(self) -> _Token:
        token = self.now
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def taken(self, sign: str) -> bool:
        if self.now.kind != _SIGN or self.now.text != sign:
            return False
        self.at += 1
        return True

    def fail(self, expected: str, token: _Token | None = None) -> NoReturn:
        at = (token or self.now).start
        where = f"at '{self.text[at:].strip()}'" if self.text[at:].strip() else "at its end"
        raise HypothesisError(
            f"The hypothesis '{self.text.strip()}' does not parse {where}, where {expected} is "
            "expected; write it as 'sector + 2 * ses = 0'."
        )
