"""Equations as text: labels that hold signs, the grammar, and what does not parse."""

from __future__ import annotations

import pytest

from bridge.errors import HypothesisError
from bridge.hypothesis_text import parse

LABELS = (
    "Intercept", "x", "x1", "x.1", "sector", "sector:x", "sector[Catholic]", "sector[Catholic]:x",
    "sector[Roman Catholic]", "I(x^2)", "I(ses - meanses)", "poly(x, 2)[1]", "poly(x, 2)[2]",
    "log(x)", "kappa[rho(u:Intercept,v:Intercept),sector]",
)  # fmt: skip
KNOWN = {label: label for label in LABELS} | {f"gamma[{label}]": label for label in LABELS}


def unknown(word: str) -> Exception:
    return HypothesisError(f"unknown: {word}.")


def read(text: str) -> list[tuple[dict[str, float], float]]:
    return [(e.weights, e.value) for e in parse(text, KNOWN, unknown)]


@pytest.mark.parametrize("label", LABELS)
def test_every_label_is_itself_whatever_it_holds(label: str) -> None:
    for written in (label, f"gamma[{label}]", f"({label})", label.replace(" ", "   ")):
        assert read(f"2*{written}-x=3") == read(f" 2 * {written} - x = 3 ")
        expected = {label: 2.0, "x": -1.0} if label != "x" else {"x": 1.0}
        assert read(f"2 * {written} - x = 3") == [(expected, 3.0)]


@pytest.mark.parametrize(
    ("text", "weights", "value"),
    [
        ("sector", {"sector": 1}, 0),
        ("sector + sector:x = 0", {"sector": 1, "sector:x": 1}, 0),
        ("sector+sector : x", {"sector": 1, "sector:x": 1}, 0),
        ("sector = x1", {"sector": 1, "x1": -1}, 0),
        ("I(ses-meanses)-I( x ^ 2 )", {"I(ses - meanses)": 1, "I(x^2)": -1}, 0),
        ("-x + 1 = 3 * (x1 - 2) / 4", {"x": -1, "x1": -0.75}, -2.5),
        ("-(x - 2*(x1 - sector))", {"x": -1, "x1": 2, "sector": -2}, 0),
        ("x*2 - -1e-1*x1 = +.5", {"x": 2, "x1": 0.1}, 0.5),
        ("3 = x", {"x": -1}, -3),
        ("poly(x,2)[1] - poly(x,  2)[2]", {"poly(x, 2)[1]": 1, "poly(x, 2)[2]": -1}, 0),
        ("x.1 - x1 = 1.", {"x.1": 1, "x1": -1}, 1),
        ("x - x", {"x": 0}, 0),
    ],
)
def test_what_an_equation_means(text: str, weights: dict[str, float], value: float) -> None:
    ((found, rhs),) = read(text)
    assert found == pytest.approx(weights) and rhs == pytest.approx(value)


def test_several_equations_in_a_text() -> None:
    found = parse("x = x1 = 2, poly(x, 2)[1],\n sector - 1", KNOWN, unknown)
    assert [e.text for e in found] == ["x = x1", "x1 = 2", "poly(x, 2)[1] = 0", "sector - 1 = 0"]
    assert [e.value for e in found] == [0.0, 2.0, 0.0, 1.0]
    assert str(found[0].value) == "0.0"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("secto", "secto"),
        ("x + x:sector = 0", "x:sector"),
        ("sector:x1", "sector:x1"),
        ("sector[Public] - x", "sector[Public]"),
        ("I(ses - means) = 2", "I(ses - means)"),
        ("poly(x, 2)[3]", "poly(x, 2)[3]"),
        ("log(x)^2", "log(x)^2"),
        ("2x", "2x"),
        ("x ? x1", "?"),
        ("x]", "]"),
        ("(x - foo(x1)) = 1", "foo(x1)"),
    ],
)
def test_unknown_words_are_named_whole(text: str, word: str) -> None:
    with pytest.raises(HypothesisError) as caught:
        read(text)
    assert str(caught.value) == f"unknown: {word}."


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "at its end"),
        ("x = ", "at its end"),
        ("= x", "at '= x'"),
        ("x x1", "at 'x1'"),
        ("2 x", "at 'x'"),
        ("x * x1", r"at '\* x1', where a product with a number"),
        ("1 / x", "at '/ x', where a number other than zero"),
        ("x / 0", "at '/ 0'"),
        ("(x - x1", r"at its end, where '\)'"),
        ("x)", r"at '\)'"),
        ("x,, x1", "at ', x1'"),
        ("x +", "at its end"),
    ],
)
def test_what_does_not_parse_is_pointed_at(text: str, where: str) -> None:
    with pytest.raises(HypothesisError, match=f"does not parse {where}"):
        read(text)
