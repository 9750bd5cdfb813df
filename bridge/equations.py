"""The model as equations, in the notation of Leckie, French, Charlton & Browne (2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge import names
from bridge.encode import Piece
from bridge.equation_level2 import effect_laws, level2_functions
from bridge.equation_parts import ModelParts, from_data, from_spec
from bridge.equation_words import (
    BREAK,
    WIDTH,
    Word,
    column_word,
    equation,
    named,
    numbered,
    product,
    quote,
    same,
)
from bridge.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd


# --- one function, of the mean or of the log variance -----------------------------------
@dataclass(frozen=True)
class _Entry:
    """A coefficient or effect and the columns it multiplies."""

    word: Word
    piece: Piece
    fixed: bool


class FunctionEquations:
    """A function in its hierarchical and its combined form."""

    def __init__(
        self, model: ModelParts, letters: tuple[str, str, str], latent: list[Word], unit: str
    ) -> None:
        self.model, self.unit = model, unit
        self.beta, gamma, effect = letters
        fixed, random = (
            (model.mean, model.mean_random)
            if effect == "u"
            else (model.variance, model.variance_random)
        )
        pairs = zip(fixed.labels, fixed.pieces, strict=True)
        self.entries = [_Entry(named(gamma, label), piece, True) for label, piece in pairs]
        self.entries += [_Entry(word, (), False) for word in latent]
        for part in random:
            for label, piece in zip(part.encoded.labels, part.encoded.pieces, strict=True):
                self.entries.append(_Entry(named(effect, label, "j"), piece, False))

    def times(self, entry: _Entry, piece: Piece) -> Word:
        """Return an entry times columns."""
        return product([entry.word, *self.columns(piece)])

    def columns(self, piece: Piece) -> list[Word]:
        """Return the columns of a piece, each with the subscript of its level."""
        return [column_word(n, x, "j" if n in self.model.level2 else self.unit) for n, x in piece]

    def split(self, piece: Piece) -> tuple[Piece, Piece]:
        """Part a piece into its level-1 and its level-2 columns."""
        upper = self.model.level2
        return tuple(p for p in piece if p[0] not in upper), tuple(
            p for p in piece if p[0] in upper
        )

    @property
    def subscript(self) -> str:
        """The lowest level at which the function varies; empty where it is constant."""
        if any(self.split(e.piece)[0] for e in self.entries):
            return self.unit
        return "j" if any(e.piece or not e.fixed for e in self.entries) else ""

    def hierarchy(self) -> tuple[list[Word], list[list[Word]]]:
        """Return the terms at level 1 and the equations at level 2."""
        by_lower: dict[frozenset[tuple[str, str | None]], list[_Entry]] = {}
        for entry in sorted(self.entries, key=lambda e: bool(self.split(e.piece)[0])):
            by_lower.setdefault(frozenset(self.split(entry.piece)[0]), []).append(entry)
        level1, level2, slopes = [], [], 0
        for entries in by_lower.values():
            lower = self.split(entries[0].piece)[0]
            if all(e.fixed and not self.split(e.piece)[1] for e in entries):
                level1.append(self.times(entries[0], lower))
                continue
            slopes += bool(lower)
            coefficient = numbered(self.beta, slopes if lower else 0)
            level1.append(product([coefficient, *self.columns(lower)]))
            terms = [self.times(e, self.split(e.piece)[1]) for e in entries]
            level2.append(equation(coefficient, terms))
        return level1, level2

    def combined(self) -> list[Word]:
        """Return the terms of the combined form, the fixed part first."""
        return [self.times(e, e.piece) for e in self.entries]


def latent_terms(spec: ModelSpec, model: ModelParts) -> list[Word]:
    """Return the mean effects as covariates of the variance function."""
    found = []
    for letter, term in model.effects if spec.association else ():
        if letter == "v":
            continue
        label, effect = names.effect(letter, term), named("u", term, "j")
        square = Word(effect.text + "²", effect.latex + "^2")
        if spec.latent_scale == "standardised":
            key = names.pair(label, label)
            tau = named("tau", key, "j" if f"tau[{key}]" in model.functions else "")
            square += Word("/", "/") + tau
            effect += Word("/√", "/") + Word(tau.text, rf"\sqrt{{{tau.latex}}}")
        found.append(product([named("lambda_", label), effect]))
        if spec.association == "quadratic":
            found.append(product([named("lambda_", names.square(label)), square]))
    return found


# --- the whole ------------------------------------------------------------------------------
class Equations:
    """A model as equations: level 1, level 2, combined.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    data : pandas.DataFrame, optional
        With data, columns that are constant within groups stand at level 2 and factors are
        spelt out in levels. Without, a predictor stands at level 1 unless the spec puts it at
        level 2: group means, predictors of ``level2``, and what multiplies a random slope.
    parts : ModelParts, optional
        In place of data, what the equations are made of (`bridge.equation_parts.from_fit`).

    Raises
    ------
    DataError
        Or a class below it, where the data cannot be used for the model.

    Notes
    -----
    Coefficients bear the labels of the result: ``γ[sector]`` is ``gamma[sector]``. The
    combined form is the same model with and without data.
    """

    def __init__(
        self,
        spec: ModelSpec,
        data: pd.DataFrame | None = None,
        parts: ModelParts | None = None,
    ) -> None:
        self.spec = spec
        self.model = parts or (from_spec(spec) if data is None else from_data(spec, data))

    def text(self) -> str:
        """Return the equations as lines of text, wrapped at 100 characters where possible."""
        blocks = [self._header()]
        for title, equations in self._sections():
            lines = [f"{title}:"]
            for words in equations:
                for i, line in enumerate(_broken(words)):
                    indent = " " * (2 + (_hang(words) if i else 0))
                    lines.append(indent + " ".join(w.text for w in line).lstrip())
            blocks.append("\n".join(lines))
        return "\n\n".join([*blocks, *self._note()])

    def latex(self) -> str:
        """Return the equations as an ``aligned`` environment for LaTeX, MathJax or KaTeX."""
        rows = [f"&{quote(self._header())}"]
        for title, equations in self._sections():
            rows[-1] += r" \\[6pt]"
            rows.append(rf"&\textbf{{{title}:}}")
            for words in equations:
                for i, line in enumerate(_broken(words)):
                    rows[-1] += "" if rows[-1].endswith("]") else r" \\"
                    indent = r"\qquad\qquad {}" if i else r"\quad"
                    rows.append(f"&{indent} {' '.join(w.latex for w in line)}")
        for note in self._note():
            rows[-1] += r" \\[6pt]"
            rows.append(f"&{quote(note)}")
        return "\n".join([r"\begin{aligned}", *rows, r"\end{aligned}"])

    def _header(self) -> str:
        spec = self.spec
        if spec.group is None:
            return f"One-level model of {spec.outcome}: unit i{self.model.size}"
        return (
            f"Two-level model of {spec.outcome}: unit i in group j ({spec.group}){self.model.size}"
        )

    def _note(self) -> list[str]:
        if not self.model.assumed:
            return []
        return [
            f"Taken to be constant within {self.spec.group}, since {self.model.why}: "
            f"{', '.join(self.model.assumed)}."
        ]

    def _sections(self) -> list[tuple[str, list[list[Word]]]]:
        spec, model = self.spec, self.model
        unit = "i" if spec.group is None else "ij"
        mean = FunctionEquations(model, ("beta", "gamma", "u"), [], unit)
        variance = FunctionEquations(
            model, ("alpha", "delta", "v"), latent_terms(spec, model), unit
        )
        below = variance.subscript
        sigma = Word(
            f"σ²{'_' * bool(below)}{below}", rf"\sigma^2_{{{below}}}" if below else r"\sigma^2"
        )
        outcome, log = column_word(spec.outcome, None, unit), Word("log ", r"\log ") + sigma
        residual = _letter("r", unit)
        law = Word(" ", "") + residual + Word(" ~ N(0, ", r" \sim N(0, \, ") + sigma + same(")")
        (mean1, mean2), (variance1, variance2) = mean.hierarchy(), variance.hierarchy()
        closing = residual + BREAK
        found = [
            ("Level 1, mean", [equation(outcome, [*mean1, closing], [law])]),
            ("Level 1, log variance", [equation(log, variance1)]),
            ("Level 2, mean", mean2),
            ("Level 2, log variance", variance2),
            ("Level 2, group effects", effect_laws(spec, model)),
            ("Level 2, variances and correlations", level2_functions(model)),
        ]
        if mean2 or variance2:
            both = [
                equation(outcome, [*mean.combined(), residual]),
                equation(log, variance.combined()),
            ]
            found.append(("Combined", both))
        return [(title, equations) for title, equations in found if equations]


def _letter(letter: str, subscript: str) -> Word:
    return Word(f"{letter}_{subscript}", f"{letter}_{{{subscript}}}")


def _hang(words: Sequence[Word]) -> int:
    """Return how far the further lines of an equation stand in: under its equals sign."""
    return min(len(words[0].text) - 1, 20) if words[0].text.endswith(" =") else 4


def _broken(words: Sequence[Word]) -> list[list[Word]]:
    """Break an equation into lines, never straight after its equals sign."""
    lines: list[list[Word]] = [list(words[:2])]
    used = sum(len(w.text) + 1 for w in lines[0]) + 1
    for word in words[2:]:
        if used + 1 + len(word.text) > WIDTH:
            lines.append([])
            used = _hang(words) + 1
        lines[-1].append(word)
        used += 1 + len(word.text)
    return lines
