"""What a larger model has that a smaller one has not, by columns and not by names.

Without level-2 functions and without an association a block of correlated effects is any
covariance matrix, so that its columns count by what they span: center(x) is as good as x. With
either of them effects are taken one by one, and their columns must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bridge.design import Design
from bridge.errors import RequestError
from bridge.names import INTERCEPT

#: The share of a column that others may leave unexplained: rounding.
_SPANNED = 1e-7
_KINDS: tuple[str | None, ...] = (None, "linear", "quadratic")


@dataclass(frozen=True)
class Added:
    """What the larger of two nested models adds.

    Attributes
    ----------
    regular : int
        Parameters that lie inside their range under the smaller model.
    effects : tuple of str
        Group effects that the smaller model lacks, each with a variance.
    covariances : int
        Parameters of their covariances with effects that both have.
    unknown : str
        Why no known distribution holds for what is added, in words that follow "because"; else "".
    """

    regular: int
    effects: tuple[str, ...]
    covariances: int
    unknown: str

    @property
    def nothing(self) -> bool:
        """Whether the models are the same."""
        return not (self.regular or self.effects)


def added(small: Design, large: Design) -> Added:
    """Say what the larger of two nested models adds to the smaller one.

    Parameters
    ----------
    small, large : Design
        Of the same rows, and the same groups where both have them.

    Raises
    ------
    RequestError
        Where the smaller one has something that the larger one has not.
    """
    fixed = 0
    for what, ours, theirs in (
        ("mean", small.mean, large.mean),
        ("variance", small.variance, large.variance),
    ):
        outside = not_spanned(ours.matrix, theirs.matrix)
        if len(outside):
            raise _not_nested(f"the term {ours.labels[outside[0]]} of the {what} function")
        fixed += theirs.matrix.shape[1] - ours.matrix.shape[1]
    _check_association(small, large)
    plain = all(d.spec.level2 is None and d.spec.association is None for d in (small, large))
    found = _by_blocks(small, large) if plain else _one_by_one(small, large)
    grades = [_KINDS.index(design.spec.association) for design in (large, small)]
    latent = (grades[0] - grades[1]) * len(small.mean_effects)
    unknown = found.unknown or _unknown(found.effects, large)
    return Added(fixed + found.regular + latent, found.effects, found.covariances, unknown)


def not_spanned(columns: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Return which columns (N, a) are no linear combination of those of a span (N, b)."""
    size = np.linalg.norm(columns, axis=0)
    unit = columns / np.where(size > 0, size, 1.0)
    lengths = np.linalg.norm(span, axis=0)
    basis = span / np.where(lengths > 0, lengths, 1.0)
    left = unit - basis @ np.linalg.lstsq(basis, unit, rcond=None)[0]
    found: np.ndarray = np.flatnonzero(np.linalg.norm(left, axis=0) > _SPANNED)
    return found


def _not_nested(what: str) -> RequestError:
    return RequestError(
        f"The models are not nested: the first has {what}, which the second has not; test a model "
        "against one that holds all of it, or compare their AIC."
    )


def _check_association(small: Design, large: Design) -> None:
    kind, other = small.spec.association, large.spec.association
    if _KINDS.index(kind) > _KINDS.index(other):
        raise _not_nested(f"a {kind} association")
    if kind is not None and small.spec.latent_scale != large.spec.latent_scale:
        raise RequestError(
            f"The associations are on different scales (latent_scale='{small.spec.latent_scale}' "
            f"and '{large.spec.latent_scale}'), so that neither model holds the other; use one "
            "scale in both."
        )


def _unknown(effects: Sequence[str], large: Design) -> str:
    """Return why the mixture does not hold for added effects."""
    if len(effects) > 1:
        return f"{len(effects)} group effects are added at once ({', '.join(effects)})"
    if large.spec.association is not None:
        for effect in effects:
            if effect in large.mean_effects:
                return (
                    f"{effect} is added together with its association, which has no meaning where "
                    "it does not vary"
                )
    return ""


# --- blocks of any covariance matrix --------------------------------------------------------
def _by_blocks(small: Design, large: Design) -> Added:
    """Compare effects block by block, by the span of their columns."""
    ours, theirs = _members(small), _members(large)
    holds: list[list[list[int]]] = [[] for _ in theirs]
    for members in ours:
        places = [p for p, other in enumerate(theirs) if _held(small, members, large, other)]
        if not places:
            raise _not_nested(_missing(small, members, large))
        holds[places[0]].append(members)
    regular, covariances, new = 0, 0, []
    for other, inside in zip(theirs, holds, strict=True):
        both = [i for members in inside for i in members]
        fresh = _fresh(small, both, large, other)
        regular += _triangle(len(both)) - sum(_triangle(len(members)) for members in inside)
        covariances += len(both) * len(fresh)
        new += [large.effects[i] for i in fresh]
    return Added(regular, tuple(new), covariances, "")


def _triangle(size: int) -> int:
    """Return the variances and covariances of so many effects."""
    return size * (size + 1) // 2


def _members(design: Design) -> list[list[int]]:
    return [
        [i for i, block in enumerate(design.block) if block == number]
        for number in dict.fromkeys(design.block)
    ]


def _sides(design: Design, members: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of some effects in the mean and in the variance."""
    u = len(design.mean_effects)
    own = [i for i in members if i < u], [i - u for i in members if i >= u]
    return design.Z[:, own[0]], design.A[:, own[1]]


def _held(small: Design, members: Sequence[int], large: Design, other: Sequence[int]) -> bool:
    """Tell whether the columns of a block are spanned by those of a block of the larger model."""
    pairs = zip(_sides(small, members), _sides(large, other), strict=True)
    return not any(len(not_spanned(columns, span)) for columns, span in pairs)


def _missing(small: Design, members: Sequence[int], large: Design) -> str:
    """Say which effect of a block the larger model has not, or that it has them not together."""
    everything = range(len(large.effects))
    for i in members:
        if not _held(small, [i], large, everything):
            return f"the effect {small.effects[i]}"
    labels = [small.effects[i] for i in members]
    if len(labels) == 1:
        return f"{labels[0]} independent of the other effects"
    return f"the covariances of {', '.join(labels)}"


def _fresh(small: Design, both: Sequence[int], large: Design, other: Sequence[int]) -> list[int]:
    """Return the effects of a block of the larger model that add to what the smaller one spans."""
    known, found = list(_sides(small, both)), []
    for i in other:
        column = _sides(large, [i])
        side = 0 if i < len(large.mean_effects) else 1
        if len(not_spanned(column[side], known[side])):
            known[side] = np.hstack([known[side], column[side]])
            found.append(i)
    return found


# --- effects one by one -----------------------------------------------------------------------
def _one_by_one(small: Design, large: Design) -> Added:
    """Compare effects one by one, and the functions of their variances and correlations."""
    place = [_same_effect(small, i, large) for i in range(len(small.effects))]
    pairs = {_ordered(place[a], place[b]): (a, b) for a, b in small.tau_pairs}
    for pair, (a, b) in pairs.items():
        if pair not in large.tau_pairs:
            raise _not_nested(f"the covariance of {small.effects[a]} and {small.effects[b]}")
    _check_partial(small, large, place)
    regular, covariances, unknown = 0, 0, ""
    for pair in large.tau_pairs:
        columns = _function(large, pair)
        if pair in pairs:
            own = _function(small, pairs[pair])
            outside = not_spanned(own, columns)
            if len(outside):
                raise _not_nested(_term_of(small, pairs[pair], int(outside[0])))
            regular += columns.shape[1] - own.shape[1]
        elif pair[0] in place and pair[1] in place:
            regular += columns.shape[1]
        elif pair[0] != pair[1]:
            covariances += columns.shape[1]
        constant = np.ones((len(large.y), 1))
        if not set(pair) <= set(place) and len(not_spanned(columns, constant)):
            unknown = f"{large.element(pair)} is added with a function of level-2 predictors"
    new = [label for i, label in enumerate(large.effects) if i not in place]
    return Added(regular, tuple(new), covariances, unknown)


def _check_partial(small: Design, large: Design, place: Sequence[int]) -> None:
    """Refuse functions of partial correlations that the other model has not, or in another order.

    Of three effects or more. Constant correlations are constant partial ones, and effects that do
    not vary need none.
    """
    ours = {tuple(place[i] for i in own) for own in _partial_blocks(small)}
    theirs = {tuple(own) for own in _partial_blocks(large)}
    varying = {
        frozenset((place[a], place[b]))
        for a, b in small.rho_pairs
        if small.element((a, b)) in small.level2
    }
    for own in ours | theirs:
        pairs = {frozenset(pair) for pair in combinations(own, 2)}
        if own not in theirs or (own not in ours and pairs & varying):
            raise RequestError(
                "Neither model holds the other: one has functions of partial correlations (pcor) "
                f"of {', '.join(large.effects[i] for i in own)}, the other correlations of these "
                "that are not functions of the same kind and order; compare their AIC, and "
                "result.level2(at=...)."
            )


def _partial_blocks(design: Design) -> list[list[int]]:
    """Return the blocks of three effects or more whose partial correlations are functions."""
    partial = {design.block[a] for a, b in design.rho_pairs if design.kind((a, b)) == "pcor"}
    blocks = [[i for i, block in enumerate(design.block) if block == n] for n in sorted(partial)]
    return [own for own in blocks if len(own) > 2]


def _same_effect(small: Design, i: int, large: Design) -> int:
    """Return the effect of the larger model that has the same column."""
    column = np.hstack(_sides(small, [i]))
    in_mean = i < len(small.mean_effects)
    for j in range(len(large.effects)):
        other = np.hstack(_sides(large, [j]))
        if in_mean == (j < len(large.mean_effects)) and np.allclose(column, other, 1e-9, 0):
            return j
    raise _not_nested(f"the effect {small.effects[i]}")


def _ordered(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a <= b else (b, a)


def _function(design: Design, pair: tuple[int, int]) -> np.ndarray:
    """Return the predictors of an element by row, (N, c): ones where it is constant."""
    element = design.element(pair)
    if element not in design.level2:
        return np.ones((len(design.y), 1))
    found: np.ndarray = design.level2[element].matrix[design.group]
    return found


def _term_of(design: Design, pair: tuple[int, int], position: int) -> str:
    """Say which term of a level-2 function it is."""
    element = design.element(pair)
    if element not in design.level2:
        return f"a constant {element}"
    label = design.level2[element].labels[position]
    what = "the intercept" if label == INTERCEPT else f"the term {label}"
    return f"{what} of the level-2 function of {element}"
