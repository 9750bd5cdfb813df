"""Level-2 functions as numbers: one row a group, predictors constant within groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bridge import formula, names
from bridge.columns import Factor
from bridge.encode import Column, Encoded, check_rank
from bridge.errors import DataError, GroupingError, SpecError, VocabularyError, suggest
from bridge.names import RESERVED
from bridge.spec import LEVEL2_KINDS, ModelSpec

#: The share of a column's largest value by which it may vary in a group: rounding.
_ROUNDING = 1e-12


def level2_functions(
    spec: ModelSpec,
    elements: Mapping[str, int],
    encoded: Callable[[formula.Node], Encoded],
    columns: Mapping[str, Column],
    grouping: Factor,
) -> dict[str, Encoded]:
    """Return the level-2 functions by element, their matrices with one row a group.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    elements : mapping of str to int
        The elements a function can be of, ``tau[a,a]`` and ``rho[a,b]``, in the order wanted, each
        with the number of its block.
    encoded : callable
        Turns an algebra of terms into columns over the N rows.
    columns : mapping of str to array or Factor
        The columns the terms are made of, (N,) each.
    grouping : Factor
        The group of every row.

    Returns
    -------
    dict of str to Encoded
        Matrices (J, k), rows in the order of the groups; the log of a variance and the atanh
        of a correlation are linear in them. Partial correlations are ``pcor[a,b]``, then of every
        pair of a block. Empty where the spec has no level-2 functions.

    Raises
    ------
    SpecError
        Where the model does not have an element, or a predictor may not be one.
    DataError
        Where a predictor varies within a group.
    CollinearError
        Where columns are linear combinations of others over the J groups.
    """
    texts = _texts(spec, elements)
    made = {}
    for text in dict.fromkeys(texts.values()):
        node = formula.parse(text).fixed
        _check_predictors(node, spec)
        of_rows = encoded(node)
        check_constant(node, of_rows, columns, grouping, str(spec.group), "a level-2 function")
        first = np.unique(grouping.codes, return_index=True)[1]
        made[text] = replace(of_rows, matrix=of_rows.matrix[first])
    for key, text in texts.items():
        check_rank(made[text], f"level-2 {key}")
    return {key: made[text] for key, text in texts.items()}


def _texts(spec: ModelSpec, elements: Mapping[str, int]) -> dict[str, str]:
    """Return the formula of every element that has one, in the order of the elements."""
    if spec.level2 is None:
        return {}
    if not elements:
        raise SpecError(
            "level2 is about the variances and correlations of group effects, and this model has "
            "none; add a random term such as (1 | school), or leave level2 out."
        )
    if isinstance(spec.level2, str):
        return dict.fromkeys(elements, spec.level2)
    known = [*elements, *(_partial(element) for element in elements if _is_rho(element))]
    given: dict[str, str] = {}
    for kind in LEVEL2_KINDS:
        all_of_kind = [key for key in known if key.startswith(f"{kind}[")]
        if kind in spec.level2 and not all_of_kind:
            raise SpecError(
                f"level2 has {kind}, and this model has no correlations; give two random terms one "
                "id, as (1 | s | school), or leave it out."
            )
        if kind in spec.level2:
            given |= dict.fromkeys(all_of_kind, spec.level2[kind])
    for key in spec.level2:
        if key not in LEVEL2_KINDS:
            _check_element(key, known)
    given |= {key: text for key, text in spec.level2.items() if key not in LEVEL2_KINDS}
    return _one_kind(given, elements)


def _is_rho(element: str) -> bool:
    return element.startswith("rho[")


def _partial(element: str) -> str:
    """Return the partial correlation of the effects of a correlation."""
    return f"pcor{element.removeprefix('rho')}"


def _check_element(key: str, known: Sequence[str]) -> None:
    if key in known:
        return
    for element in known:
        if key in _turned(element):
            raise SpecError(
                f"level2 has {key}, whose effects stand in the other order in the result; "
                f"write {element}."
            )
    raise SpecError(
        f"level2 has {key}, which this model does not have.{suggest(key, known)} "
        f"It has: {', '.join(known)}."
    )


def _one_kind(given: Mapping[str, str], elements: Mapping[str, int]) -> dict[str, str]:
    """Return the functions in order, those of a block of correlations or of partial ones.

    In a block with partial correlations every pair has a function, those not named a constant.
    """
    partial = {block: key for key, block in elements.items() if _partial(key) in given}
    found = {}
    for key, block in elements.items():
        if block in partial and _is_rho(key):
            if key in given:
                raise SpecError(
                    f"level2 has {key} and {_partial(partial[block])}: the correlations of one set "
                    "of effects are functions as they are (rho) or as partial ones (pcor), never "
                    "mixed; write one kind."
                )
            found[_partial(key)] = given.get(_partial(key), "~ 1")
        elif key in given:
            found[key] = given[key]
    return found


def _turned(element: str) -> list[str]:
    """Return a correlation with its two effects in the other order; a label may hold commas too."""
    kind, _, rest = element.partition("[")
    if kind == "tau":
        return []
    inner = rest.removesuffix("]")
    commas = [i for i, character in enumerate(inner) if character == ","]
    return [names.flat(kind, names.pair(inner[i + 1 :], inner[:i])) for i in commas]


def _check_predictors(node: formula.Node, spec: ModelSpec) -> None:
    """Refuse as predictors what the mean and the variance functions refuse too."""
    for name in formula.predictors(node):
        if name == spec.group:
            raise GroupingError(
                f"{name} is the grouping column and cannot be a predictor of a level-2 function; "
                "copy it under another name if that is meant."
            )
        if name == spec.outcome:
            raise SpecError(f"{name} is the outcome and cannot stand in a level-2 function.")
        if name in RESERVED:
            raise VocabularyError(
                f"A column called '{name}' collides with the vocabulary of the result "
                f"({name} has a meaning there); rename the column."
            )


def check_constant(
    node: formula.Node,
    encoded: Encoded,
    columns: Mapping[str, Column],
    grouping: Factor,
    group: str,
    what: str,
) -> None:
    """Refuse a predictor that varies within a group, naming the first group where it does.

    Parameters
    ----------
    node : Node
        The algebra of the predictors.
    encoded : Encoded
        Its columns over the N rows.
    columns : mapping of str to array or Factor
        What these are made of, (N,) each.
    grouping : Factor
        The group of every row.
    group : str
        The grouping column.
    what : str
        What needs such predictors, for the message.

    Raises
    ------
    DataError
        Naming the predictor and the group.
    """
    atoms = formula.atoms(node)
    for name in dict.fromkeys(n for piece in encoded.pieces for n, _ in piece):
        where = varying_groups(columns[name], grouping.codes)
        if not len(where):
            continue
        hint = ""
        if not isinstance(columns[name], Factor):
            # a column of a polynomial bears the name of its transform and a number
            atom = next(a for a in atoms if f"{name}[".startswith(f"{formula.text(a)}["))
            hint = f", such as cvar({formula.predictors(atom)[0]}, {group})"
        raise DataError(
            f"{name} varies within {group} {grouping.levels[where[0]]}; {what} needs "
            f"predictors that are constant within groups{hint}."
        )


def varying_groups(column: Column, codes: np.ndarray) -> np.ndarray:
    """Return the groups within which a column varies, in their order.

    Parameters
    ----------
    column : (N,) array or Factor
        The column.
    codes : (N,) array of int
        The group of every row.
    """
    values = np.asarray(column.codes if isinstance(column, Factor) else column, dtype=float)
    of_group = np.zeros(codes.max() + 1)
    of_group[codes] = values
    differs = np.abs(values - of_group[codes]) > _ROUNDING * np.abs(values).max()
    return np.unique(codes[differs])
