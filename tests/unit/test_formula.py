"""The grammar: what parses, what it becomes, and where what does not parse is shown."""

from __future__ import annotations

import pytest

from bridge import formula
from bridge.errors import FormulaError, GroupingError, SpecError, UnsafeFormulaError
from bridge.formula import Binary, Call, Name, Negative, Number, Random

# as typed -> as written back
SPACING = {
    "y~1": "y ~ 1",
    "y ~ x": "y ~ x",
    "~ 1": "~ 1",
    "y ~ +x": "y ~ x",
    "y ~ -1 + x": "y ~ -1 + x",
    "y~x-1": "y ~ x - 1",
    "y ~ a*b + c:d": "y ~ a * b + c:d",
    "y ~ (a+b)^2": "y ~ (a + b)^2",
    "y ~ (a + b):c": "y ~ (a + b):c",
    "y ~ a + (b - c)": "y ~ a + (b - c)",
    "y ~ a - (b - c)": "y ~ a - (b - c)",
    "y ~ (a*b):c": "y ~ (a * b):c",
    "y ~ a*(b:c)": "y ~ a * b:c",
    "y ~ I(x^2)": "y ~ I(x^2)",
    "y ~ I(-x^2)": "y ~ I(-x^2)",
    "y ~ I((-x)^2)": "y ~ I((-x)^2)",
    "y ~ I(x^-1)": "y ~ I(x^(-1))",
    "y ~ I(x^3^2)": "y ~ I(x^3^2)",
    "y ~ I((x^3)^2)": "y ~ I((x^3)^2)",
    "y ~ I(log(2)*x)": "y ~ I(log(2) * x)",
    "y ~ I(a/b/c)": "y ~ I(a / b / c)",
    "y ~ I(a/(b/c))": "y ~ I(a / (b / c))",
    "y ~ I(a-(b+c))": "y ~ I(a - (b + c))",
    "y ~ log(x+1)": "y ~ log(x + 1)",
    "y ~ poly(x,2)": "y ~ poly(x, 2)",
    "y ~ cvar(log(x),g)": "y ~ cvar(log(x), g)",
    "y ~ C(x)": "y ~ C(x)",
    "y ~ I(1.5e-3*x)": "y ~ I(1.5e-3 * x)",
    "y ~ (1|g)": "y ~ 1 + (1 | g)",
    "y ~ (1|g) + x": "y ~ x + (1 | g)",
    "y ~ (1|g) - 1": "y ~ -1 + (1 | g)",
    "y ~ 0+x+(0+x||g)": "y ~ 0 + x + (0 + x || g)",
    "y ~ 1+(1+x|s|g)": "y ~ 1 + (1 + x | s | g)",
    "y ~ x + (z + (1|g))": "y ~ x + z + (1 | g)",
    "y.a ~ x_1 + größe": "y.a ~ x_1 + größe",
}


@pytest.mark.parametrize(("typed", "written"), SPACING.items())
def test_a_formula_is_written_back_with_one_spacing(typed: str, written: str) -> None:
    assert str(formula.parse(typed)) == written


@pytest.mark.parametrize("written", SPACING.values())
def test_what_is_written_reads_back_as_itself(written: str) -> None:
    once = formula.parse(written)
    assert formula.parse(str(once)) == once
    assert str(once) == written


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b:c", Binary("+", Name("a"), Binary(":", Name("b"), Name("c")))),
        ("a * b:c", Binary("*", Name("a"), Binary(":", Name("b"), Name("c")))),
        ("a - b - c", Binary("-", Binary("-", Name("a"), Name("b")), Name("c"))),
        ("a:b^2", Binary(":", Name("a"), Binary("^", Name("b"), Number("2")))),
        ("-a + b", Binary("+", Negative(Name("a")), Name("b"))),
    ],
)
def test_operators_bind_as_in_r(text: str, tree: formula.Node) -> None:
    assert formula.parse(f"~ {text}").fixed == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x^3^2", Binary("^", Name("x"), Binary("^", Number("3"), Number("2")))),
        ("-x^2", Negative(Binary("^", Name("x"), Number("2")))),
        ("x^-2", Binary("^", Name("x"), Negative(Number("2")))),
        ("a - b * c", Binary("-", Name("a"), Binary("*", Name("b"), Name("c")))),
        ("a / b * c", Binary("*", Binary("/", Name("a"), Name("b")), Name("c"))),
        ("--x", Negative(Negative(Name("x")))),
    ],
)
def test_arithmetic_binds_as_in_r(text: str, tree: formula.Node) -> None:
    assert formula.parse(f"~ I({text})").fixed == Call("I", (tree,))


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("(1 | g)", Random(Number("1"), "g")),
        ("(x || g)", Random(Name("x"), "g", None, False)),
        ("(1 | p | g)", Random(Number("1"), "g", "p")),
    ],
)
def test_random_terms(text: str, term: Random) -> None:
    assert formula.parse(f"y ~ x + {text}").random == (term,)


# formula -> (class, part of the message, position of the mark)
WRONG = {
    "y": (FormulaError, "expected '~', found the end", 1),
    "": (FormulaError, "the outcome's name", 0),
    "y ~": (FormulaError, "expected a term, found the end", 3),
    "y ~ x +": (FormulaError, "expected a term", 7),
    "y ~ x x": (FormulaError, "'x' is out of place", 6),
    "y ~ (x": (FormulaError, "expected ')'", 6),
    "y ~ x)": (FormulaError, "')' is out of place", 5),
    "y ~ 2": (FormulaError, "2 cannot be a term", 4),
    "y ~ a / b": (FormulaError, "'/' is not part", 6),
    "y ~ a^b": (FormulaError, "whole number", 6),
    "y ~ a^0": (FormulaError, "whole number", 6),
    "y ~ a^1.5": (FormulaError, "whole number", 6),
    "y ~ a & b": (FormulaError, "'&' has no meaning", 6),
    "log(y) ~ x": (FormulaError, "expected '~', found '('", 3),
    "y ~ (1 | g": (FormulaError, "expected ')'", 10),
    "y ~ (1 | )": (FormulaError, "expected a grouping column", 9),
    "y ~ (1 | a:b)": (GroupingError, "One plain grouping column", 10),
    "y ~ (1 | a/b)": (GroupingError, "One plain grouping column", 10),
    "y ~ (1 || a | g)": (FormulaError, "An id says", 12),
    "y ~ (1 | s || g)": (FormulaError, "An id says", 11),
    "y ~ ((1 | g) | h)": (FormulaError, "cannot hold another", 4),
    "y ~ I()": (FormulaError, "expected a value", 6),
    "y ~ I(x, z)": (FormulaError, "I() takes 1 argument (", 4),
    "y ~ poly(x)": (FormulaError, "poly() takes 2 arguments (", 4),
    "y ~ poly(x, 0)": (FormulaError, "is its degree", 14),
    "y ~ cvar(x, 2)": (FormulaError, "is a grouping column", 4),
    "y ~ C(x + z)": (FormulaError, "C() takes one column", 4),
    "y ~ log(poly(x, 2))": (FormulaError, "stand alone", 4),
    "y ~ x + I(2)": (FormulaError, "I(2) reads no column", 8),
    "y ~ cvar(1, g)": (FormulaError, "reads no column", 4),
    "y ~ logg(x)": (UnsafeFormulaError, "Did you mean 'log'?", 4),
    "y ~ I(a + system(b))": (UnsafeFormulaError, "system() is not a transform", 10),
    "y ~ (a + b + c + d + e + f + g + h)^9": (FormulaError, "too many products", 36),
}


@pytest.mark.parametrize(("source", "expected"), WRONG.items())
def test_an_error_shows_the_place(source: str, expected: tuple) -> None:
    kind, part, position = expected
    with pytest.raises(SpecError) as caught:
        formula.parse(source)
    assert type(caught.value) is kind
    message, shown, mark = str(caught.value).split("\n")
    assert part in message
    assert shown == f"    {source}"
    assert mark == " " * (4 + position) + "^"


@pytest.mark.parametrize(
    "source",
    [
        "y ~ x - (1 | g)",
        "y ~ x - (z + (1 | g))",
        "y ~ x:(1 | g)",
        "y ~ -(1 | g)",
        "y ~ 2 * (1 | g)",
    ],
)
def test_a_random_term_is_only_added(source: str) -> None:
    with pytest.raises(FormulaError):
        formula.parse(source)


HOSTILE = [
    "y ~ I(__import__('os').system('x'))",
    "y ~ I(__import__(os))",
    "y ~ I(system('x'))",
    "y ~ `x`",
    'y ~ "x"',
    "y ~ {x}",
    "y ~ {__import__('os')}",
    'y ~ x); system("touch bad")',
    "y ~ x; quit()",
    "y ~ x\\n",
    "y ~ x[1]",
    "y ~ @x",
    "y ~ data$x",
    "y ~ x = 1",
    "y ~ x <- 1",
    "y ~ eval(x)",
    "y ~ (1 | `g`)",
    "y ~ (1 | 'id' | g)",
]


@pytest.mark.parametrize("source", HOSTILE)
def test_code_is_refused(source: str) -> None:
    with pytest.raises(UnsafeFormulaError) as caught:
        formula.parse(source)
    assert "these transforms" in str(caught.value) or "There are:" in str(caught.value)


@pytest.mark.parametrize(
    "source", ["y ~ " + "(" * 3000 + "x" + ")" * 3000, "y ~ " + "x + " * 3000 + "x"]
)
def test_a_formula_without_end_is_an_error_of_ours(source: str) -> None:
    with pytest.raises(FormulaError, match="too many terms or brackets"):
        formula.parse(source)


def test_a_formula_is_text() -> None:
    with pytest.raises(FormulaError, match="not int"):
        formula.parse(3)  # type: ignore[arg-type]


def test_columns_predictors_and_atoms() -> None:
    node = formula.parse("~ x + log(z):dvar(w, h) + x").fixed
    assert formula.columns(node) == ["x", "z", "w", "h"]
    assert formula.predictors(node) == ["x", "z", "w"]
    assert [formula.text(a) for a in formula.atoms(node)] == ["x", "log(z)", "dvar(w, h)"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("~ 0 + a * b", "0 + (`a` * `b`)"),
        ("~ a - (b + a)", "`a` - (`b` + `a`)"),
        ("~ -1 + a", "-1 + `a`"),
        ("~ (a + b)^2", "(`a` + `b`) ** 2"),
        ("~ (a + b)^7", "(`a` + `b`) ** 2"),
        ("~ poly(x, 2):a", "(`p1` + `p2`) : `a`"),
    ],
)
def test_formulaic_sees_quoted_columns_alone(source: str, expected: str) -> None:
    node = formula.parse(source).fixed
    parts = {atom: [formula.text(atom)] for atom in formula.atoms(node)}
    poly = Call("poly", (Name("x"), Number("2")))
    if poly in parts:
        parts[poly] = ["p1", "p2"]
    assert formula.algebra(node, parts) == expected


@pytest.mark.parametrize(
    "source",
    [
        "y ~ h + (0 + x)", "y ~ 1 + (x + h - 1)", "y ~ (0 + x) * h", "y ~ x * (1 + h)", "y ~ x * 1",
        "y ~ (x + 1) * h", "y ~ x:0", "y ~ x:1", "y ~ (x + 1)^2", "y ~ (1 | g) + (0 + x)",
        "y ~ x + (1 * h | g)", "y ~ x - (1 + h)",
    ],
)  # fmt: skip
def test_an_intercept_in_brackets_or_products_is_refused(source: str) -> None:
    with pytest.raises(FormulaError, match="outside of them"):
        formula.parse(source)


@pytest.mark.parametrize(
    "source",
    ["y ~ 0 + x", "y ~ x - 1", "y ~ -1 + x", "y ~ x + 0 + (0 + x | g)", "y ~ I(x + 1) * h"],
)
def test_an_intercept_that_stands_free_is_read(source: str) -> None:
    assert formula.parse(source)
