"""The tree of a formula: its nodes, how they are written, what they read. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

#: Transforms whose second argument is a grouping column.
WITH_GROUP = frozenset({"cvar", "dvar", "gsd"})


@dataclass(frozen=True)
class Name:
    """A column."""

    name: str


@dataclass(frozen=True)
class Number:
    """A literal, kept as typed."""

    text: str


@dataclass(frozen=True)
class Call:
    """A transform applied to arithmetic."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Negative:
    """A leading minus."""

    body: Node


@dataclass(frozen=True)
class Binary:
    """Two nodes and the operator between them."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Random:
    """``(inner | id | group)``: effects that vary over groups."""

    inner: Node
    group: str
    id: str | None = None
    correlated: bool = True


Node = Name | Number | Call | Negative | Binary | Random

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, ":": 3, "^": 4}


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below one."""
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, Binary):
        return (node.left, node.right)
    if isinstance(node, Negative):
        return (node.body,)
    return (node.inner,) if isinstance(node, Random) else ()


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def text(node: Node) -> str:
    """Write a node as a user would, with standard spacing."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Number):
        return node.text
    if isinstance(node, Call):
        return f"{node.function}({', '.join(text(a) for a in node.arguments)})"
    if isinstance(node, Negative):
        body = text(node.body)
        return (
            f"-({body})" if isinstance(node.body, Binary) and node.body.op in "+-" else f"-{body}"
        )
    if isinstance(node, Random):
        bar = f"| {node.id} |" if node.id else "|" if node.correlated else "||"
        return f"({text(node.inner)} {bar} {node.group})"
    return _binary_text(node)


def _binary_text(node: Binary) -> str:
    level = _PRECEDENCE[node.op]

    def side(child: Node, tight: bool) -> str:
        written = text(child)
        if isinstance(child, Negative):
            return f"({written})" if tight or level > 1 else written
        if not isinstance(child, Binary):
            return written
        below = _PRECEDENCE[child.op]
        return f"({written})" if below < level or (tight and below == level) else written

    # a power binds to the right, everything else to the left
    left, right = side(node.left, node.op == "^"), side(node.right, node.op != "^")
    return f"{left}{node.op}{right}" if node.op in ":^" else f"{left} {node.op} {right}"


def columns(node: Node) -> list[str]:
    """Return the columns a node reads, groups of transforms included, in order."""
    names = [n.name for n in walk(node) if isinstance(n, Name)]
    return list(dict.fromkeys(names))


def predictors(node: Node) -> list[str]:
    """Return the columns a node uses as predictors (not as groups of a transform)."""
    groups = {
        id(n.arguments[1]) for n in walk(node) if isinstance(n, Call) and n.function in WITH_GROUP
    }
    names = [n.name for n in walk(node) if isinstance(n, Name) and id(n) not in groups]
    return list(dict.fromkeys(names))


def atoms(node: Node) -> list[Name | Call]:
    """Return the columns and transforms a node's algebra is made of, outermost only."""
    if isinstance(node, Name | Call):
        return [node]
    if isinstance(node, Binary):
        return list(dict.fromkeys([*atoms(node.left), *atoms(node.right)]))
    if isinstance(node, Negative):
        return atoms(node.body)
    return []


def algebra(node: Node, parts: Mapping[Name | Call, list[str]]) -> str:
    """Write a node for formulaic: every atom a quoted column, so that nothing is evaluated.

    Parameters
    ----------
    node : Node
        The algebra of terms.
    parts : mapping
        The columns each atom has become (several for a polynomial).

    Returns
    -------
    str
    """
    if isinstance(node, Name | Call):
        names = " + ".join(f"`{name}`" for name in parts[node])
        return f"({names})" if len(parts[node]) > 1 else names
    if isinstance(node, Number):
        return node.text
    # formulaic reads a bare 0 or 1 as the intercept, one in brackets as nothing
    if isinstance(node, Negative):
        return f"-{_bracketed(node.body, parts)}"
    if isinstance(node, Binary):
        if node.op in "+-":
            return f"{algebra(node.left, parts)} {node.op} {_bracketed(node.right, parts)}"
        if node.op == "^":  # more than one of each gives nothing new, and takes for ever
            power = min(int(text(node.right)), len(atoms(node.left)))
            return f"{_bracketed(node.left, parts)} ** {max(power, 1)}"
        return f"{_bracketed(node.left, parts)} {node.op} {_bracketed(node.right, parts)}"
    raise TypeError(f"not a term: {node!r}")


def _bracketed(node: Node, parts: Mapping[Name | Call, list[str]]) -> str:
    written = algebra(node, parts)
    return f"({written})" if isinstance(node, Binary | Negative) else written
