"""The words of equations, each as plain text and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100
_GREEK = {
    "gamma": ("γ", r"\gamma"), "delta": ("δ", r"\delta"), "tau": ("τ", r"\tau"),
    "rho": ("ρ", r"\rho"), "kappa": ("κ", r"\kappa"), "lambda_": ("λ", r"\lambda"),
    "pcor": ("pcor", r"\mathrm{pcor}"),
    "beta": ("β", r"\beta"), "alpha": ("α", r"\alpha"),
}  # fmt: skip
_SPECIAL = {c: f"\\{c}" for c in "_&%$#{}"} | {
    "^": r"{}^{\wedge}", "\\": r"\backslash ", "~": r"{\sim}", "\n": r"\ ",
}  # fmt: skip


@dataclass(frozen=True)
class Word:
    """A part of an equation that is not broken, in both dialects."""

    text: str
    latex: str

    def __add__(self, other: Word) -> Word:
        return Word(self.text + other.text, self.latex + other.latex)


def same(text: str) -> Word:
    """Return a word that reads the same in both dialects."""
    return Word(text, text)


def quote(text: str) -> str:
    r"""Return plain text for LaTeX's math mode.

    Special characters stand outside ``\text``: MathJax shows a backslash inside it.
    """
    found, plain = "", ""
    for char in text:
        if char in _SPECIAL:
            found += (f"\\text{{{plain}}}" if plain else "") + _SPECIAL[char]
            plain = ""
        else:
            plain += char
    return found + (f"\\text{{{plain}}}" if plain else "")


def named(variable: str, label: str, subscript: str = "") -> Word:
    """Return a parameter or effect by its label in the result."""
    letter, command = _GREEK.get(variable, (variable, variable))
    below = quote(label) + (f",{subscript}" if subscript else "")
    return Word(f"{letter}[{label}]{'_' if subscript else ''}{subscript}", f"{command}_{{{below}}}")


def numbered(variable: str, number: int) -> Word:
    """Return a level-1 coefficient, such as β0j."""
    letter, command = _GREEK[variable]
    return Word(f"{letter}{number}j", f"{command}_{{{number}j}}")


def column_word(name: str, level: str | None, subscript: str) -> Word:
    """Return a column of the data with its subscript."""
    # I() only protects arithmetic: its brackets are enough
    shown = name.removeprefix("I") if name.startswith("I(") else name
    shown = shown if level is None else f"{shown}[{level}]"
    return Word(f"{shown}_{subscript}", f"{quote(shown)}_{{{subscript}}}")


def product(factors: Sequence[Word]) -> Word:
    """Return the product of words."""
    return Word("·".join(f.text for f in factors), r" \, ".join(f.latex for f in factors))


def equation(left: Word, terms: Sequence[Word], after: Sequence[Word] = ()) -> list[Word]:
    """Return left = a sum, ready to be broken before each plus."""
    first, *rest = terms or [same("0")]
    return [left + same(" ="), first, *(same("+ ") + term for term in rest), *after]


COMMA = Word(",", r",\;")
BREAK = Word(",", r",\quad")


def plain(text: str) -> Word:
    """Return text as a word, quoted for LaTeX."""
    return Word(text, quote(text))


def listed(words: Sequence[Word], end: str = "") -> list[Word]:
    """Return words with commas between them."""
    last = len(words) - 1
    return [w + (COMMA if i < last else same(end)) for i, w in enumerate(words)]
