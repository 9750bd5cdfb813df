"""Formulas as data: read, checked and written back, never run.

A formula is read by the small grammar below into a tree of frozen nodes.
Nothing here evaluates anything: `transforms` computes the transforms and
formulaic the algebra of terms, both from the tree.

Grammar (``y ~ fixed + random``)::

    formula := [name] "~" sum
    sum     := ["-" | "+"] product (("+" | "-") product)*
    product := power (("*" | ":") power)*
    power   := atom ["^" number]
    atom    := "0" | "1" | name | call | "(" sum ")" | random
    random  := "(" sum ("|" | "||" | "|" id "|") group ")"
    call    := transform "(" arithmetic ("," arithmetic)* ")"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bridge.errors import FormulaError, GroupingError, SpecError, UnsafeFormulaError, suggest
from bridge.formula_tree import (
    WITH_GROUP,
    Binary,
    Call,
    Name,
    Negative,
    Node,
    Number,
    Random,
    algebra,
    atoms,
    children,
    columns,
    predictors,
    text,
    walk,
)

__all__ = [
    "TRANSFORMS", "WITH_GROUP", "Binary", "Call", "Formula", "Name", "Negative", "Node", "Number",
    "Random", "algebra", "atoms", "children", "columns", "parse", "predictors", "text", "walk",
]  # fmt: skip

TRANSFORMS = {
    "I": "arithmetic: I(x^2), I(x - z)",
    "C": "a column taken as a factor: C(x)",
    "log": "natural logarithm",
    "exp": "exponential",
    "sqrt": "square root",
    "center": "deviation from the mean over all rows",
    "scale": "deviation from the mean in standard deviations",
    "poly": "orthogonal polynomial: poly(x, 2)",
    "cvar": "group mean: cvar(x, g)",
    "dvar": "deviation from the group mean: dvar(x, g)",
    "gsd": "group standard deviation: gsd(x, g)",
}

_TWO_ARGUMENTS = WITH_GROUP | {"poly"}
_MOST_PRODUCTS = 20_000  # of a power of terms

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*(?:\.\w+)*)"
    r"|(?P<op>\|\||[~+\-*/:^|(),])"
)


@dataclass(frozen=True)
class Formula:
    """A formula in its parts.

    Attributes
    ----------
    outcome : str or None
        The name left of ``~``.
    fixed : Node
        The algebra of the fixed terms; the intercept where only random terms are written.
    random : tuple of Random
        The random terms in the order written.
    """

    outcome: str | None
    fixed: Node
    random: tuple[Random, ...]

    def __str__(self) -> str:
        parts = [text(self.fixed), *(text(term) for term in self.random)]
        return f"{self.outcome + ' ' if self.outcome else ''}~ {' + '.join(parts)}"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


def _point(source: str, position: int, message: str, kind: type[SpecError]) -> SpecError:
    """Return an error whose message shows where in the formula it is."""
    return kind(f"{message}\n    {source}\n    {' ' * position}^")


def _tokens(source: str) -> list[_Token]:
    found, position = [], 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            char = source[position]
            if char in "`'\"{}\\;@$[]=<>":
                message = (
                    f"The formula holds {char!r}: a formula is data, not code. "
                    "Use plain column names (rename the column if need be) and these transforms: "
                    f"{', '.join(TRANSFORMS)}."
                )
                raise _point(source, position, message, UnsafeFormulaError)
            message = f"The formula does not parse: {char!r} has no meaning here."
            raise _point(source, position, message, FormulaError)
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(_Token(kind, match.group(), position))
        position = match.end()
    return [*found, _Token("end", "", len(source))]


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.at = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, message: str, token: _Token | None = None) -> SpecError:
        return _point(self.source, (token or self.token).start, message, FormulaError)

    def take(self, *texts: str) -> _Token | None:
        if self.token.kind == "op" and self.token.text in texts:
            self.at += 1
            return self.tokens[self.at - 1]
        return None

    def need(self, symbol: str) -> None:
        if not self.take(symbol):
            found = repr(self.token.text) if self.token.text else "the end"
            raise self.fail(f"The formula does not parse: expected {symbol!r}, found {found}.")

    def name(self, what: str) -> str:
        if self.token.kind != "name":
            found = repr(self.token.text) if self.token.text else "the end"
            raise self.fail(f"The formula does not parse: expected {what}, found {found}.")
        self.at += 1
        return self.tokens[self.at - 1].text

    # --- the algebra of terms -------------------------------------------------
    def sum(self) -> Node:
        first = self.take("-", "+")
        node = self.product()
        if first and first.text == "-":
            node = Negative(node)
        while op := self.take("+", "-"):
            node = Binary(op.text, node, self.product())
        return node

    def product(self) -> Node:
        node = self.interaction()
        while op := self.take("*"):
            node = Binary(op.text, node, self.interaction())
        if self.token.text == "/":
            raise self.fail(
                "'/' is not part of the grammar of terms; write a + a:b, or I(a / b) to divide."
            )
        return node

    def interaction(self) -> Node:
        node = self.power()
        while op := self.take(":"):
            node = Binary(op.text, node, self.power())
        return node

    def power(self) -> Node:
        node = self.atom()
        if self.take("^"):
            token = self.token
            if token.kind != "number" or not token.text.isdigit() or int(token.text) < 1:
                raise self.fail("A power of terms is a whole number, as in (a + b)^2.")
            count = len(atoms(node))
            if (1 + count) ** min(int(token.text[:9]), count) > _MOST_PRODUCTS:
                raise self.fail(f"The power {token.text} of {count} terms gives too many products.")
            self.at += 1
            node = Binary("^", node, Number(token.text))
        return node

    def atom(self) -> Node:
        token = self.token
        if token.kind == "number":
            if token.text not in ("0", "1"):
                raise self.fail(
                    f"{token.text} cannot be a term; 1 is the intercept and 0 takes it away."
                )
            self.at += 1
            return Number(token.text)
        if token.kind == "name":
            self.at += 1
            if self.token.text != "(":
                return Name(token.text)
            made = self.call(token)
            if not predictors(made):
                raise self.fail(f"{text(made)} reads no column; leave it out.", token)
            return made
        if self.take("("):
            inner = self.sum()
            node = self.random(inner, token) if self.token.text in ("|", "||") else inner
            self.need(")")
            return node
        found = repr(token.text) if token.text else "the end"
        raise self.fail(f"The formula does not parse: expected a term, found {found}.")

    def random(self, inner: Node, start: _Token) -> Random:
        if any(isinstance(node, Random) for node in walk(inner)):
            raise self.fail("A random term cannot hold another one.", start)
        correlated = self.take("||") is None
        if correlated:
            self.need("|")
        name, identifier = self.group_name(), None
        if self.token.text in ("|", "||"):
            if not correlated or self.token.text == "||":
                raise self.fail(
                    "An id says that effects are correlated and '||' that they are not: "
                    "write (… | id | g) or (… || g)."
                )
            self.need("|")
            identifier, name = name, self.group_name()
        return Random(inner, name, identifier, correlated)

    def group_name(self) -> str:
        name = self.name("a grouping column")
        if self.token.text in (":", "/", "("):
            raise _point(
                self.source,
                self.token.start,
                "One plain grouping column is needed: crossed, nested and three-level "
                "groupings are not in yet.",
                GroupingError,
            )
        return name

    # --- transforms -----------------------------------------------------------
    def call(self, token: _Token) -> Call:
        if token.text not in TRANSFORMS:
            message = (
                f"{token.text}() is not a transform of this grammar."
                f"{suggest(token.text, TRANSFORMS)} There are: {', '.join(TRANSFORMS)}. "
                "Compute anything else as a column first."
            )
            raise _point(self.source, token.start, message, UnsafeFormulaError)
        self.need("(")
        arguments = [self.arithmetic()]
        while self.take(","):
            arguments.append(self.arithmetic())
        self.need(")")
        self.check_arguments(token, arguments)
        return Call(token.text, tuple(arguments))

    def check_arguments(self, token: _Token, arguments: list[Node]) -> None:
        wanted = 2 if token.text in _TWO_ARGUMENTS else 1
        if len(arguments) != wanted:
            raise self.fail(
                f"{token.text}() takes {wanted} argument{'s' * (wanted > 1)} "
                f"({TRANSFORMS[token.text]}), not {len(arguments)}.",
                token,
            )
        if token.text in WITH_GROUP and not isinstance(arguments[1], Name):
            raise self.fail(f"The second argument of {token.text}() is a grouping column.", token)
        if token.text == "C" and not isinstance(arguments[0], Name):
            raise self.fail("C() takes one column.", token)
        if token.text == "poly":
            degree = arguments[1]
            if not isinstance(degree, Number) or not degree.text.isdigit() or degree.text == "0":
                raise self.fail("The second argument of poly() is its degree, as in poly(x, 2).")
        if any(
            isinstance(n, Call) and n.function in ("C", "poly") for a in arguments for n in walk(a)
        ):
            raise self.fail("C() and poly() give several columns and stand alone.", token)

    def arithmetic(self, level: int = 1) -> Node:
        if level == 4:
            return self.arithmetic_power()
        if level == 3:
            if self.take("-"):
                return Negative(self.arithmetic(3))
            self.take("+")
            return self.arithmetic(4)
        symbols = ("+", "-") if level == 1 else ("*", "/")
        node = self.arithmetic(level + 1)
        while op := self.take(*symbols):
            node = Binary(op.text, node, self.arithmetic(level + 1))
        return node

    def arithmetic_power(self) -> Node:
        node = self.arithmetic_atom()
        if self.take("^"):
            # as in R, a power binds to the right and takes a signed exponent
            return Binary("^", node, self.arithmetic(3))
        return node

    def arithmetic_atom(self) -> Node:
        token = self.token
        if token.kind == "number":
            self.at += 1
            return Number(token.text)
        if token.kind == "name":
            self.at += 1
            return self.call(token) if self.token.text == "(" else Name(token.text)
        if self.take("("):
            node = self.arithmetic()
            self.need(")")
            return node
        found = repr(token.text) if token.text else "the end"
        raise self.fail(f"The formula does not parse: expected a value, found {found}.")


def parse(source: str) -> Formula:
    """Read a formula.

    Parameters
    ----------
    source : str
        As in ``"y ~ 1 + x + (1 + x | id | g)"`` or ``"~ 1 + x"``.

    Returns
    -------
    Formula

    Raises
    ------
    FormulaError
        Where it does not parse; the message points at the place.
    UnsafeFormulaError
        Where it holds quotes, backticks, braces or a function that is not a transform.
    GroupingError
        Where a grouping is not one plain column.
    """
    if not isinstance(source, str):
        raise FormulaError(f"A formula is a text, not {type(source).__name__}.")
    try:
        formula = _read(_Reader(source), source)
        str(formula)
    except RecursionError:
        raise FormulaError(
            f"The formula '{source[:60]}…' has too many terms or brackets; split it, or compute "
            "parts of it as columns first."
        ) from None
    return formula


def _read(reader: _Reader, source: str) -> Formula:
    outcome = None
    if reader.token.text != "~":
        outcome = reader.name("the outcome's name, then '~'")
    reader.need("~")
    tree = reader.sum()
    if reader.token.kind != "end":
        raise reader.fail(f"The formula does not parse: {reader.token.text!r} is out of place.")
    _check_intercepts(tree, source)
    fixed, random = _split(tree, source)
    return Formula(outcome, Number("1") if fixed is None else fixed, tuple(random))


def _check_intercepts(node: Node, source: str) -> None:
    """Allow 0 and 1 as summands of the whole formula, or of a whole random term, alone.

    In brackets and products R and other readers of formulas do not agree on what they mean.
    """
    if isinstance(node, Number):
        return
    if isinstance(node, Random):
        _check_intercepts(node.inner, source)
    elif isinstance(node, Negative) and isinstance(node.body, Number):
        return
    elif isinstance(node, Binary) and node.op in "+-":
        _check_intercepts(node.left, source)
        if not isinstance(node.right, Random):
            _refuse_intercepts(node.right, source, inside=False)
        else:
            _check_intercepts(node.right, source)
    else:
        _refuse_intercepts(node, source, inside=True)


def _refuse_intercepts(node: Node, source: str, *, inside: bool) -> None:
    if isinstance(node, Number):
        if inside:
            raise FormulaError(
                f"{node.text} stands in brackets or in a product in '{source}'; the intercept is "
                "kept by + 1 or taken away by + 0 outside of them."
            )
    elif isinstance(node, Negative):
        _refuse_intercepts(node.body, source, inside=True)
    elif isinstance(node, Binary):
        _refuse_intercepts(node.left, source, inside=True)
        if node.op != "^":
            _refuse_intercepts(node.right, source, inside=True)


def _split(tree: Node, source: str) -> tuple[Node | None, list[Random]]:
    """Part a sum into its fixed algebra and its random terms."""
    if isinstance(tree, Random):
        return None, [tree]
    if isinstance(tree, Binary) and tree.op in "+-":
        left, found = _split(tree.left, source)
        if isinstance(tree.right, Random):
            if tree.op == "-":
                raise FormulaError(f"A random term can be added, not taken away: {source}")
            return left, [*found, tree.right]
        right, more = _split(tree.right, source)
        if more:
            if tree.op == "-":
                raise FormulaError(f"A random term can be added, not taken away: {source}")
            found = [*found, *more]
        if right is None:
            return left, found
        if left is None:
            return (right if tree.op == "+" else Negative(right)), found
        return Binary(tree.op, left, right), found
    if any(isinstance(node, Random) for node in walk(tree)):
        raise FormulaError(f"A random term stands by itself, added with '+': {source}")
    return tree, []
