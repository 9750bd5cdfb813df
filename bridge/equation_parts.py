"""What the equations of a model are made of, from a spec or from a spec and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge import formula, names
from bridge.design import Design, RandomPart, make_design, numbered_blocks
from bridge.design_level2 import varying_groups
from bridge.encode import Encoded, Piece
from bridge.spec import LEVEL2_KINDS, ModelSpec

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModelParts:
    """What the equations are made of: labels and levels, no numbers.

    ``level2`` are the columns that are constant within groups; ``assumed`` those of them
    that are only taken to be so, ``why`` the reason.
    """

    mean: Encoded
    variance: Encoded
    mean_random: tuple[RandomPart, ...]
    variance_random: tuple[RandomPart, ...]
    level2: frozenset[str]
    functions: Mapping[str, Encoded] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    why: str = "no data are given"
    size: str = ""

    @property
    def effects(self) -> list[tuple[str, str]]:
        """Letter and term of every effect, u before v."""
        sides = (("u", self.mean_random), ("v", self.variance_random))
        return [(x, label) for x, parts in sides for p in parts for label in p.encoded.labels]

    @property
    def labels(self) -> list[str]:
        """Labels of the effects, such as ``u:Intercept``."""
        return [names.effect(*pair) for pair in self.effects]

    @property
    def block(self) -> tuple[int, ...]:
        """The block of every effect."""
        return numbered_blocks(self.mean_random + self.variance_random)

    def element(self, pair: tuple[int, int]) -> str:
        """Return the label of a pair of effects."""
        return names.pair(self.labels[pair[0]], self.labels[pair[1]])


# --- from a spec, or from a spec and data -------------------------------------------
def _terms(node: formula.Node) -> Encoded:
    """Return the terms of an algebra without data: a factor is one column."""
    import formulaic

    parts = {atom: _parts(atom) for atom in formula.atoms(node)}
    terms = []
    for term in formulaic.Formula(formula.algebra(node, parts)):
        terms.append(tuple(str(f).strip("`") for f in term.factors if str(f) != "1"))
    labels = tuple(":".join(term) or names.INTERCEPT for term in terms)
    pieces: tuple[Piece, ...] = tuple(tuple((name, None) for name in term) for term in terms)
    return Encoded(np.zeros((0, len(terms))), labels, tuple(terms), pieces)


def _parts(atom: formula.Name | formula.Call) -> list[str]:
    written = formula.text(atom)
    if isinstance(atom, formula.Call) and atom.function == "poly":
        return [f"{written}[{i + 1}]" for i in range(int(formula.text(atom.arguments[1])))]
    return [written]


def _random(terms: Iterable[formula.Random]) -> tuple[RandomPart, ...]:
    found = []
    for term in terms:
        encoded = _terms(term.inner)
        found.append(
            RandomPart(encoded, term.id, term.correlated, tuple(range(len(encoded.labels))))
        )
    return tuple(found)


def from_spec(spec: ModelSpec) -> ModelParts:
    """Return the parts as far as a spec alone tells them."""
    level2, assumed = _known_level2(spec)
    model = ModelParts(
        mean=_terms(spec.mean_formula.fixed),
        variance=_terms(spec.variance_formula.fixed),
        mean_random=_random(spec.mean_formula.random),
        variance_random=_random(spec.variance_formula.random),
        level2=level2,
        assumed=assumed,
    )
    return _with_functions(model, spec)


def from_data(spec: ModelSpec, data: pd.DataFrame) -> ModelParts:
    """Return the parts with the levels of predictors and factors known from data."""
    design = make_design(spec, data)
    return ModelParts(
        mean=design.mean,
        variance=design.variance,
        mean_random=design.mean_random,
        variance_random=design.variance_random,
        level2=_constant_columns(design) if spec.group else frozenset(),
        size=_size(design),
        functions=design.level2,
    )


def _size(design: Design) -> str:
    groups = f" in {len(design.group_labels):,} groups" if design.spec.group else ""
    return f"; {len(design.y):,} units{groups}"


def from_fit(design: Design) -> ModelParts:
    """Return the parts of a fit from its design as `bridge.design_of.design_of` rebuilds it.

    Its columns stand as they were multiplied out; what each is made of is found by its label, from
    the spec's terms and the levels of their factors. A column that stands in products alone is
    taken to be at the level that the spec tells.
    """
    spec, bare = design.spec, from_spec(design.spec)

    def fixed(terms: Encoded, labels: Sequence[str]) -> Encoded:
        known = _labelled(terms, design.states or {})
        kept = tuple(label for label in labels if label in known)
        return replace(terms, labels=kept, pieces=tuple(known[label] for label in kept))

    def random(parts: Iterable[RandomPart], letter: str) -> tuple[RandomPart, ...]:
        start = names.effect(letter, "")
        own = [e.removeprefix(start) for e in design.effects if e.startswith(start)]
        return tuple(
            replace(part, encoded=encoded, effects=tuple(range(len(encoded.labels))))
            for part in parts
            for encoded in [fixed(part.encoded, own)]
        )

    found = ModelParts(
        mean=fixed(bare.mean, design.mean.labels),
        variance=fixed(bare.variance, design.variance.labels),
        mean_random=random(bare.mean_random, "u"),
        variance_random=random(bare.variance_random, "v"),
        level2=frozenset(),
        why="the fit keeps no column of it alone",
        size=_size(design),
    )
    functions = {
        key: fixed(terms, design.level2[key].labels)
        for key, terms in _with_functions(found, spec).functions.items()
    }
    varies = _varying_of_fit(found, design) | dict.fromkeys(
        (n for terms in functions.values() for piece in terms.pieces for n, _ in piece), False
    )
    kept = frozenset(varies)
    constant = frozenset(name for name, own in varies.items() if not own)
    assumed = tuple(name for name in bare.assumed if name not in kept)
    level2 = constant | (bare.level2 - kept) if spec.group else frozenset()
    return replace(found, functions=functions, level2=level2, assumed=assumed)


def _labelled(terms: Encoded, states: Mapping[str, Any]) -> dict[str, Piece]:
    """Return what every label that the terms can have is made of."""
    found: dict[str, Piece] = {}
    for term in terms.terms:
        forms = [
            [(name, level) for level in states.get(name, {}).get("levels", (None,))]
            for name in term
        ]
        for piece in product(*forms):
            words = [name if level is None else f"{name}[{level}]" for name, level in piece]
            found[":".join(words) or names.INTERCEPT] = piece
    return found


def _varying_of_fit(parts: ModelParts, design: Design) -> dict[str, bool]:
    """Return whether each column that a fit keeps alone varies within groups."""
    sides = ((parts.mean, parts.mean_random), (parts.variance, parts.variance_random))
    kept = ((design.mean, design.mean_random), (design.variance, design.variance_random))
    found: dict[str, bool] = {}
    for (fixed, random), (own, effects) in zip(sides, kept, strict=True):
        columns: dict[str, np.ndarray] = {}
        for encoded in (own, *(part.encoded for part in effects)):
            columns |= dict(zip(encoded.labels, encoded.matrix.T, strict=True))
        for encoded in (fixed, *(part.encoded for part in random)):
            for label, piece in zip(encoded.labels, encoded.pieces, strict=True):
                if len(piece) == 1:
                    varies = bool(len(varying_groups(columns[label], design.group)))
                    found[piece[0][0]] = found.get(piece[0][0], False) or varies
    return found


def _with_functions(model: ModelParts, spec: ModelSpec) -> ModelParts:
    """Add the level-2 functions, by element."""
    if isinstance(spec.level2, str):
        pairs = names.pair_indices(model.block, diagonal=True)
        texts = {
            f"{'tau' if a == b else 'rho'}[{model.element((a, b))}]": spec.level2 for a, b in pairs
        }
    else:
        texts = _elements(model, spec.level2 or {})
    functions = {key: _terms(formula.parse(text).fixed) for key, text in texts.items()}
    return replace(model, functions=functions)


def _elements(model: ModelParts, given: Mapping[str, str]) -> dict[str, str]:
    """Return the functions by element: all of a kind written out, those named apart."""
    pairs = names.pair_indices(model.block, diagonal=True)
    every = {kind: [p for p in pairs if (p[0] == p[1]) == (kind == "tau")] for kind in LEVEL2_KINDS}
    found = {
        f"{kind}[{model.element(pair)}]": given[kind]
        for kind in LEVEL2_KINDS
        for pair in every[kind]
        if kind in given
    }
    found |= {key: text for key, text in given.items() if key not in LEVEL2_KINDS}
    # beside a partial correlation every pair of the set has one
    partial = {model.block[p[0]] for p in every["pcor"] if f"pcor[{model.element(p)}]" in found}
    for pair in every["pcor"]:
        if model.block[pair[0]] in partial:
            found.setdefault(f"pcor[{model.element(pair)}]", "~ 1")
    ordered = [f"{kind}[{model.element(pair)}]" for pair in pairs for kind in LEVEL2_KINDS]
    return {key: found[key] for key in ordered if key in found} | found


def _constant_columns(design: Design) -> frozenset[str]:
    """Return the columns that are constant within every group."""
    columns = design.columns.items()
    return frozenset(n for n, column in columns if not len(varying_groups(column, design.group)))


def _known_level2(spec: ModelSpec) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the columns at level 2 by the spec alone, and those only taken to be.

    Group means and SDs are, and predictors of level-2 functions. What multiplies a random
    slope is taken to be, unless it has a random slope itself or is made of a column that has.
    """
    if spec.group is None:
        return frozenset(), ()
    functions = (spec.mean_formula, spec.variance_formula)
    nodes = [n for f in functions for n in (f.fixed, *(t.inner for t in f.random))]
    atoms = {name: atom for n in nodes for atom in formula.atoms(n) for name in _parts(atom)}
    texts = [spec.level2] if isinstance(spec.level2, str) else list((spec.level2 or {}).values())
    sure = {n for t in texts for n in formula.predictors(formula.parse(t).fixed)}
    slopes = {
        n for f in functions for t in f.random for term in _terms(t.inner).terms for n in term
    }
    varying = {n for n in slopes if isinstance(atoms[n], formula.Name)}
    assumed = []
    for part in functions:
        own = [set(t) for r in part.random for t in _terms(r.inner).terms if t]
        for term in _terms(part.fixed).terms:
            partners = {n for slope in own if slope < set(term) for n in set(term) - slope}
            assumed += [
                n for n in term if n in partners - slopes and not _varies(atoms[n], varying)
            ]
    assumed = [n for n in dict.fromkeys(assumed) if not _is_level2(atoms[n], sure, spec.group)]
    taken = sure | set(assumed)
    level2 = [n for n, atom in atoms.items() if n in taken or _is_level2(atom, taken, spec.group)]
    return frozenset(level2), tuple(assumed)


def _varies(atom: formula.Node, varying: set[str]) -> bool:
    """Tell whether a column is made of one that varies within groups."""
    calls = [n.function for n in formula.walk(atom) if isinstance(n, formula.Call)]
    return "dvar" in calls or ("cvar" not in calls and bool(varying & set(formula.columns(atom))))


def _is_level2(node: formula.Node, known: set[str], group: str) -> bool:
    """Tell whether a column is a function of level-2 columns."""
    if isinstance(node, formula.Name):
        return node.name in known
    if isinstance(node, formula.Call) and node.function in ("cvar", "dvar", "gsd"):
        return node.function != "dvar" and formula.text(node.arguments[1]) == group
    if isinstance(node, formula.Call):
        return all(_is_level2(a, known, group) for a in node.arguments)
    if isinstance(node, formula.Binary):
        return _is_level2(node.left, known, group) and _is_level2(node.right, known, group)
    return isinstance(node, formula.Number) or (
        isinstance(node, formula.Negative) and _is_level2(node.body, known, group)
    )
