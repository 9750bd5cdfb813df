"""What reaches an engine as text: safe names alone, whatever the data hold."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bridge import names
from bridge.engines import r_wording
from bridge.engines.base import Plan
from bridge.spec import ModelSpec

EVIL = [
    "x); system('touch bad')",
    'a"); quit("no',
    "line\nsystem('x')",
    "line\rquit()",
    "line\u2028quit()",
    "`x`",
    "${HOME}",
    "\\u0027",
    "#include </etc/passwd>",
    "*/ target += 1;",
    "__import__('os').system('x')",
    "{system('x')}",
    # without a sign of code, these may be shown
    "%s%n",
    "",
    " ",
    "T",
]
SHOWN = 4
ENGINES = ["lme4", "nlme", "brms", "stan"]
MODELS = [
    ("y ~ 1 + f + x:f + (1 | school)", "~ 1"),
    ("y ~ 1 + (1 + f || school)", "~ 1"),
    ("y ~ 0 + f + (1 | school)", "~ 0 + f"),
    ("y ~ 1 + (1 | school)", "~ 1 + x:f"),
    ("y ~ 1 + (1 | s | school) + (0 + f | s | school)", "~ 1 + f + (1 + f | s | school)"),
]


def frame(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    size = 8 * len(EVIL)
    made = {
        "y": rng.normal(size=size),
        "x": rng.normal(size=size),
        "f": np.resize(EVIL, size),
        "x); system('x')": 1.0,  # a column of the frame that no formula reads
        "school": np.repeat([f"{e}{i}" for i, e in enumerate(EVIL)], 8)[rng.permutation(size)],
    }
    return pd.DataFrame(made | columns, index=[f"{e}'{i}" for i, e in enumerate(EVIL * 8)])


def translated(mean: str, variance: str, engine: str, **more: Any) -> Plan | None:
    """Return a plan, or None where the engine cannot express the model."""
    from bridge.engines import registry

    spec = ModelSpec(mean, variance, **more)
    if engine not in registry.able(spec):
        return None
    options = {} if engine in ("lme4", "nlme") else {"seed": 1, "chains": 2, "cores": 2}
    return spec.translate(engine, frame(), **options)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("mean", "variance"), MODELS)
def test_hostile_labels_never_reach_the_native_text(engine: str, mean: str, variance: str) -> None:
    plan = translated(mean, variance, engine)
    if plan is None:
        return
    text = plan.native.partition("\n\n")[0] if engine == "stan" else plan.native
    sign = "//" if engine == "stan" else "#"
    comments = [line for line in text.split("\n") if line.startswith(sign)]
    code = "\n".join(line for line in text.split("\n") if not line.startswith(sign))
    for evil in EVIL[:-SHOWN]:
        assert evil not in text
    for line in comments:
        assert not set(line.removeprefix(sign + " data$")) & set("'\"`;{}$\\@&!\r\u2028\0")
        assert len(line.splitlines()) == 1
    if engine == "stan":
        assert not code
        assert text.startswith("// ")
    else:
        assert re.fullmatch(r'[A-Za-z0-9_.,:()|~+=*"\n \-]*', code)
        assert code.count("(") == code.count(")")
        for quoted in re.findall('"([^"]*)"', code):
            assert re.fullmatch(r"[A-Za-z0-9_.,:() ]*", quoted)


@pytest.mark.parametrize("engine", ENGINES[:3])
def test_what_crosses_the_border_holds_safe_names(engine: str) -> None:
    plan = translated("y ~ 1 + f + (1 + f || school)", "~ 1", engine)
    assert plan is not None
    columns = plan.call["frame"]
    called = [column.name for column in columns]
    assert len(set(called)) == len(called)
    for column in columns:
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._]*", column.name)
        assert len(set(column.levels)) == len(column.levels)
        assert all(re.fullmatch(r"[A-Za-z0-9.]+", level) for level in column.levels)
        assert len(column.values) == len(frame())
    group = next(column for column in columns if column.name == "school")
    assert group.levels == tuple(str(j + 1) for j in range(len(EVIL)))


def test_the_stan_program_never_changes() -> None:
    from bridge.engines.stan_program import GROUPED, PLAIN, program_text

    programs = [program_text(PLAIN), program_text(GROUPED)]
    for mean, variance in MODELS:
        plan = translated(mean, variance, "stan")
        assert plan is not None
        assert plan.call["program"] in programs
        assert plan.native.endswith(f"\n\n{plan.call['program']}")


def test_priors_on_hostile_levels_name_the_safe_ones() -> None:
    key = f"gamma[f[{EVIL[0]}]]"
    plan = translated("y ~ f + (1 | school)", "~ 1", "brms", priors={key: "normal(0, 1)"})
    assert plan is not None
    assert 'set_prior("normal(0, 1)", class = "b", coef = "fx.system.touch.bad")' in plan.native


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ses:sector[Catholic]", "ses:sector[Catholic]"),
        ("// N = 3, SD ~ half_t(3, 0, 1.5)", "// N = 3, SD ~ half_t(3, 0, 1.5)"),
        ("größe", "größe"),
        ("a\nb\r\u2028c\0", "a?b??c?"),
        ("'\"`;{}$\\@#&!", "????????????"),
    ],
)
def test_comments_show_what_is_no_code(text: str, shown: str) -> None:
    assert names.comment(text) == shown


# --- names ----------------------------------------------------------------------------------
def data(mean: str, variance: str = "~ 1", **columns: Any) -> r_wording.RData:
    from bridge.design import make_design

    return r_wording.r_data(make_design(ModelSpec(mean, variance), frame(**columns)))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ses", "ses"),
        ("a.b", "a.b"),
        ("a_b", "a_b"),
        ("a__b", "a_b"),
        ("größe", "groe"),
        ("TRUE", "x_TRUE"),
        ("sigma", "x_sigma"),
        ("if", "x_if"),
        ("_a", "a"),
        ("学", "x_2"),
    ],
)
def test_columns_have_plain_names_in_r(typed: str, name: str) -> None:
    found = data(f"y ~ x + {typed}", **{typed: np.arange(8.0 * len(EVIL))})
    if typed == "größe":
        assert found.names[typed].isascii()
    else:
        assert found.names[typed] == name
    assert any(f"data${found.names[typed]}: {typed}" in n for n in found.notes()) == (
        found.names[typed] != typed
    )


def test_names_that_become_alike_stay_apart() -> None:
    size = 8 * len(EVIL)
    found = data(
        "y ~ é + e + I(e^2) + I(e_2)",
        é=np.arange(size),
        e=np.arange(size) ** 2,
        e_2=np.arange(size) ** 3,
    )
    assert len(set(found.names.values())) == len(found.names)
    assert found.names["e"] != found.names["é"]


def test_outcome_and_group_are_noted_too() -> None:
    found = r_wording.r_data(
        ModelSpec("größe ~ 1 + (1 | sigma)")
        .translate("lme4", frame().rename(columns={"y": "größe", "school": "sigma"}))
        .design
    )
    assert f"# data${found.outcome}: größe" in found.notes()
    assert f"# data${found.group}: sigma" in found.notes()


def test_different_ids_stay_different() -> None:
    plan = translated("y ~ (1 | é | school) + (0 + x | e | school)", "~ (1 | 学 | school)", "brms")
    assert plan is not None
    ids = re.findall(r"\| (\w+) \| school", plan.native)
    assert len(set(ids)) == 3
    assert all(i.isascii() for i in ids)


def test_a_shared_id_is_one_id() -> None:
    plan = translated("y ~ (1 | sigma | school)", "~ (1 | sigma | school)", "brms")
    assert plan is not None
    ids = re.findall(r"\| (\w+) \| school", plan.native)
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        ("y ~ 1 + (1 + x | school)", ["1 + x"]),
        ("y ~ 1 + (0 + x | school)", ["0 + x"]),
        ("y ~ 1 + (1 + x || school)", ["1", "0 + x"]),
        ("y ~ 1 + (1 | s | school) + (0 + x | s | school)", ["1 + x"]),
        ("y ~ 1 + (1 | school) + (0 + x | school)", ["1", "0 + x"]),
        ("y ~ 1 + (1 + k || school)", ["1", "0 + k_b"]),
        ("y ~ 1 + (1 + k | school)", ["1 + k"]),
        ("y ~ 1 + (1 + x:z || school)", ["1", "0 + x_z"]),
    ],
)
def test_blocks(mean: str, words: list[str]) -> None:
    from bridge.design import make_design

    size = 8 * len(EVIL)
    more = {"k": np.resize(["a", "b"], size), "z": np.arange(float(size))}
    design = make_design(ModelSpec(mean), frame(**more))
    found = r_wording.r_data(design)
    blocks = r_wording.blocks(design, design.mean_random, found)
    assert [block.words for block in blocks] == words
    assert [e for block in blocks for e in block.effects] == list(range(len(design.effects)))
    columns = {column.name: column for column in found.frame}
    if "0 + k_b" in words:
        np.testing.assert_array_equal(columns["k_b"].values, design.Z[:, 1])
    if "0 + x_z" in words:
        np.testing.assert_array_equal(columns["x_z"].values, design.Z[:, 1])


def test_coefficients_are_named_as_r_names_them() -> None:
    from bridge.design import make_design

    size = 8 * len(EVIL)
    kind = np.resize(["a", "b"], size)
    design = make_design(ModelSpec("y ~ kind + x + x:kind"), frame(kind=kind))
    found = r_wording.r_data(design)
    assert r_wording.terms(design.mean, found) == "1 + kind + x + x:kind"
    assert r_wording.coefficient_names(design.mean, found) == ["Intercept", "kindb", "x", "kindb:x"]


def test_long_calls_are_laid_out() -> None:
    assert r_wording.call("f", ["a", "b"]) == "f(a, b)"
    assert (
        r_wording.call("f", ["a" * 50, "b" * 50], ["# n"])
        == f"# n\nf(\n  {'a' * 50},\n  {'b' * 50}\n)"
    )
