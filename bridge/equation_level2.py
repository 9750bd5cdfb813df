"""The equations of level 2: the law of the group effects and its functions."""

from __future__ import annotations

from collections.abc import Sequence

from bridge import names
from bridge.equation_parts import ModelParts
from bridge.equation_words import (
    BREAK,
    Word,
    column_word,
    equation,
    listed,
    named,
    plain,
    product,
    same,
)
from bridge.spec import ModelSpec

#: Up to this many effects the elements of T are listed; a rule names those of a larger one.
_LISTED = 3


# --- the group effects ----------------------------------------------------------------------
def effect_laws(spec: ModelSpec, model: ModelParts) -> list[list[Word]]:
    """Return the distribution of the group effects."""
    everything, block = list(range(len(model.effects))), model.block
    if not everything:
        return []
    if spec.random_effects == "classes":
        return _classes(spec, model)
    if spec.random_effects == "student_t":
        # one mixing variable a group, as in brms: zeros in T do not make effects independent
        nu = Word("ν/(ν - 2)·", r"\nu/(\nu - 2) \, ")
        t = _matrix(model, everything, "") if len(everything) > 1 else Word("τ", r"\tau")
        start = Word("with covariance matrix ", r"\text{with covariance matrix } ")
        end = Word(" where ν > 2", r"\text{ where } \nu > 2")
        return [*_law(model, everything, Word("t_ν", r"t_{\nu}"), ""), [start + nu + t + end]]
    blocks = [[i for i in everything if block[i] == b] for b in dict.fromkeys(block)]
    many = len([b for b in blocks if len(b) > 1]) > 1
    lines = []
    for members in blocks:
        number = sum(len(b) > 1 for b in blocks[: blocks.index(members) + 1])
        lines.extend(_law(model, members, same("N"), str(number) if many else ""))
    if len(blocks) > 1:
        lines.append([plain("all of these independent of one another")])
    return lines


def _vector(model: ModelParts, members: Sequence[int]) -> list[Word]:
    words = [named(*model.effects[i], "j") for i in members]
    if len(words) == 1:
        return words
    return listed([same("(") + words[0], *words[1:]], ")")


def _pairs(model: ModelParts, members: Sequence[int]) -> dict[tuple[int, int], bool]:
    """Return the elements of T, and whether each is a function of level-2 predictors."""
    return {
        (a, b): f"{_kind(model, (a, b))}[{model.element((a, b))}]" in model.functions
        for a, b in names.pair_indices(model.block, diagonal=True)
        if a in members
    }


def _kind(model: ModelParts, pair: tuple[int, int]) -> str:
    """Return how a function has the element of a pair: a variance, a (partial) correlation."""
    if pair[0] == pair[1]:
        return "tau"
    return "pcor" if f"pcor[{model.element(pair)}]" in model.functions else "rho"


def _matrix(model: ModelParts, members: Sequence[int], number: str) -> Word:
    if not any(_pairs(model, members).values()):
        return Word(f"T{number}", f"T_{{{number}}}" if number else "T")
    return Word(f"T{number}_j", f"T_{{{number},j}}" if number else "T_j")


def _law(model: ModelParts, members: Sequence[int], family: Word, number: str) -> list[list[Word]]:
    """Return effects ~ family(0, T), and the elements of T by their names in the result."""
    pairs = _pairs(model, members)
    # where a variance or correlation varies, covariances do; correlations are parameters
    off = "rho" if any(pairs.values()) else "tau"
    kinds = {p: _kind(model, p) if off == "rho" or p[0] == p[1] else off for p in pairs}
    elements = [
        named(kinds[p], model.element(p), "j" if moving else "") for p, moving in pairs.items()
    ]
    follows = Word("~ ", r"\sim ") + family + Word("(0, ", r"(0, \, ")
    if len(members) == 1:
        return [[*_vector(model, members), follows + elements[0] + same(")")]]
    t = _matrix(model, members, number)
    law = [*_vector(model, members), follows + t + same(")")]
    full = len(pairs) == len(members) * (len(members) + 1) // 2
    if full and off == "tau" and len(members) > _LISTED:
        rule = Word(" = (τ[a,b]) for a, b =", r" = (\tau_{a,b}) \text{ for } a, b =")
        return [law, [t + rule, *listed([plain(model.labels[i]) for i in members])]]
    end = [] if full else [Word("and zero elsewhere", r"\text{ and zero elsewhere}")]
    return [law, [t + Word(" made of", r"\text{ made of }"), *listed(elements), *end]]


def _classes(spec: ModelSpec, model: ModelParts) -> list[list[Word]]:
    """Return the law of discrete effects: mass points with weights."""
    classes = names.class_labels(spec.classes)
    law = [
        *_vector(model, range(len(model.effects))),
        same("= m_k"),
        Word("with probability π[k],", r"\text{ with probability } \pi_k,\quad"),
        Word("k = ", "k = ") + same(", ".join(classes)),
    ]
    mean = Word("Σ π[k]·m_k = 0", r"\textstyle\sum_k \pi_k \, m_k = 0")
    first = model.labels[names.ordering_effect(model.labels)]
    return [law, [mean + BREAK, plain(f"classes in the order of {first}")]]


def level2_functions(model: ModelParts) -> list[list[Word]]:
    """Return the log variances and atanh correlations that depend on level-2 predictors.

    Partial correlations are said to be so.
    """
    found = []
    for key, encoded in model.functions.items():
        kind, _, rest = key.partition("[")
        pair = rest.removesuffix("]")
        link = Word("log ", r"\log ") if kind == "tau" else Word("atanh ", r"\tanh^{-1} ")
        terms = [
            product(
                [
                    named("kappa", names.kappa_label(kind, pair, x)),
                    *(column_word(n, y, "j") for n, y in piece),
                ]
            )
            for x, piece in zip(encoded.labels, encoded.pieces, strict=True)
        ]
        found.append(equation(link + named(kind, pair, "j"), terms))
    if any(key.startswith("pcor[") for key in model.functions):
        of = Word("pcor[a,b]: ", r"\mathrm{pcor}_{a,b} \text{: } ")
        found.append([of + plain("the correlation of a and b given the effects before a")])
    return found
