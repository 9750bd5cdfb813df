"""The equations say the model that the design holds, with the labels of the result."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge import ModelSpec, datasets, resources
from bridge.columns import Factor
from bridge.design import make_design
from bridge.design_of import design_of
from bridge.equation_parts import from_fit
from bridge.equation_words import quote
from bridge.equations import Equations
from bridge.errors import DataError

SES = "I(ses - meanses)"
FOUR = ModelSpec.from_dict(
    {
        "mean": f"mathach ~ 1 + sector + meanses + {SES} + sector:{SES} + meanses:{SES} "
        f"+ (1 + {SES} | s | school)",
        "variance": f"~ 1 + sector + {SES} + sector:{SES} + (1 + {SES} | s | school)",
    }
)
ONE = ModelSpec("mathach ~ 1 + sector + (1 | s | school)", "~ 1 + sector + (1 | s | school)")
APART = ModelSpec("mathach ~ sector + (1 | school)", "~ ses + (1 | school)")

CASES = {
    "model1": ONE,
    "model4": FOUR,
    "no_intercept": ModelSpec("mathach ~ 0 + ses + (0 + ses | school)", "~ 0 + sector"),
    "uncorrelated": ModelSpec("mathach ~ ses * sector + (1 + ses || school)", "~ (1 | school)"),
    "random_intercept": ModelSpec("mathach ~ ses + (1 | school)"),
    "student_t": ONE.replace(random_effects="student_t"),
    "association_linear": APART.replace(association="linear"),
    "level2": ONE.replace(level2="~ sector"),
    "classes": ONE.replace(random_effects="classes", classes=3),
}

#: Every form of the grammar; the columns are those of hsb, with track a factor within schools.
SPECS = [
    *CASES.values(),
    ModelSpec("mathach ~ 1"),
    ModelSpec("mathach ~ ses + female", "~ ses"),
    ModelSpec("mathach ~ poly(ses, 2) + I(meanses^2)", "~ poly(ses, 2)"),
    ModelSpec("mathach ~ 0 + sector + ses + (1 | school)"),
    ModelSpec("mathach ~ ses * female * sector + (1 + ses + female | school)", "~ ses:female"),
    ModelSpec("mathach ~ (ses + female + sector)^2 - ses:female + (1 + ses | school)"),
    ModelSpec("mathach ~ 1 + (1 + ses | school)", "~ 1 + (0 + ses | school)"),
    ModelSpec("mathach ~ track * ses + (1 + ses | school)", "~ track + (1 | school)"),
    ModelSpec("mathach ~ 0 + track + kind + (1 | school)", "~ kind"),
    ModelSpec("mathach ~ kind * ses + (1 + track | s | school)", "~ kind + (1 | s | school)"),
    ModelSpec("mathach ~ C(minority) + (1 | school)", "~ 1"),
    ModelSpec("mathach ~ dvar(ses, school) * cvar(ses, school) + (1 + dvar(ses, school) | school)"),
    ModelSpec("mathach ~ ses + (1 | school)", "~ center(gsd(ses, school)) + (1 | school)"),
    ModelSpec("mathach ~ ses + (1 | a | school) + (0 + ses | b | school)", "~ (1 | b | school)"),
    ModelSpec("mathach ~ ses + (1 + sector | school)", "~ log(size) + scale(ses)"),
    ModelSpec("mathach ~ ses + (1 | school)", "~ 0 + (1 | school) + ses", association="quadratic"),
    APART.replace(association="linear", latent_scale="raw"),
    APART.replace(random_effects="classes", classes=3),
    ModelSpec("mathach ~ ses", "~ (1 | school)", random_effects="classes", classes=2),
    CASES["uncorrelated"].replace(random_effects="student_t"),
    ONE.replace(level2={"tau[u:Intercept,u:Intercept]": "~ kind"}),
    FOUR.replace(level2={"rho[u:Intercept,v:Intercept]": "~ sector"}),
    ONE.replace(level2="~ kind + meanses", random_effects="student_t"),
]


def _id(spec: ModelSpec) -> str:
    return f"{spec.mean} | {spec.variance}"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    frame = datasets.load("hsb")
    kinds = frame["sector"].map({0: "Public", 1: "Catholic"})
    return frame.assign(kind=kinds, track=np.array(["a", "b", "c"])[np.arange(len(frame)) % 3])


def sums(equations: Equations) -> dict[str, list[list[tuple[str, ...]]]]:
    """Return by section, then equation, the terms as tuples of factors; the left side first."""
    found = {}
    for title, lines in equations._sections():
        found[title] = [
            [(words[0].text.removesuffix(" ="),)]
            + [tuple(w.text.removeprefix("+ ").rstrip(",").split("·")) for w in words[1:]]
            for words in lines
        ]
    return found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("given", [False, True], ids=["spec", "data"])
def test_golden(
    name: str, given: bool, data: pd.DataFrame, golden: Callable[[str, str], None]
) -> None:
    equations = Equations(CASES[name], data if given else None)
    stem = f"equations/{name}_data" if given else f"equations/{name}"
    golden(f"{stem}.txt", equations.text())
    if name == "model4":
        golden(f"{stem}.tex", equations.latex())


def test_model4_is_that_of_the_validation_case() -> None:
    assert ModelSpec.from_dict(_case("model4")) == FOUR
    assert ModelSpec.from_dict(_case("model1")) == ONE


def _case(name: str) -> dict[str, str]:
    import tomllib

    path = resources.path(f"validation/cases/leckie2014/{name}/case.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))["spec"]


@pytest.mark.parametrize("spec", SPECS, ids=_id)
@pytest.mark.parametrize("given", [False, True], ids=["spec", "data"])
def test_levels_substituted_give_the_combined_form(
    spec: ModelSpec, given: bool, data: pd.DataFrame
) -> None:
    found = sums(Equations(spec, data if given else None))
    if spec.group is None:
        assert not [title for title in found if title.startswith(("Level 2", "Combined"))]
        return
    for position, name in enumerate(["mean", "log variance"]):
        [line] = found[f"Level 1, {name}"]
        upper = {left[0]: terms for left, *terms in found.get(f"Level 2, {name}", [])}
        used = [factors[0] for factors in line[1:] if factors[0] in upper]
        assert sorted(used) == sorted(upper)
        whole = []
        for first, *columns in line[1:]:
            if not first.lstrip().startswith("r_ij ~"):
                whole += [(*term, *columns) for term in upper.get(first, [(first,)])]
        if "Combined" in found:
            combined = found["Combined"][position]
            assert combined[0] == line[0]
            assert Counter(map(frozenset, whole)) == Counter(map(frozenset, combined[1:]))
        else:
            assert not upper


@pytest.mark.parametrize("spec", SPECS, ids=_id)
def test_combined_form_is_the_design(spec: ModelSpec, data: pd.DataFrame) -> None:
    design, found = make_design(spec, data), sums(Equations(spec, data))
    lines = found.get("Combined") or [found["Level 1, mean"][0], found["Level 1, log variance"][0]]
    columns = _columns(design)
    parts = [("γ", "u", design.mean, design.Z), ("δ", "v", design.variance, design.A)]
    effects = (design.mean_effects, design.variance_effects)
    for line, (greek, latin, encoded, random), labels in zip(lines, parts, effects, strict=True):
        terms = {first: rest for first, *rest in line[1:]}
        wanted = {f"{greek}[{x}]": encoded.matrix[:, i] for i, x in enumerate(encoded.labels)}
        wanted |= {
            f"{latin}[{x.removeprefix(latin + ':')}]_j": random[:, i] for i, x in enumerate(labels)
        }
        assert {t for t in terms if t[:2] in (f"{greek}[", f"{latin}[")} == set(wanted)
        for name, column in wanted.items():
            product = np.ones(len(data))
            for factor in terms[name]:
                product = product * columns[factor]
            np.testing.assert_allclose(product, column, rtol=1e-12, atol=1e-12)


def _columns(design: object) -> dict[str, np.ndarray]:
    """Return every column under the name that its true level gives it in an equation."""
    found = {}
    for name, column in design.columns.items():
        shown = name[1:] if name.startswith("I(") else name
        values = {shown: column}
        if isinstance(column, Factor):
            values = {f"{shown}[{x}]": column.codes == i for i, x in enumerate(column.levels)}
        source = column.codes if isinstance(column, Factor) else column
        spread = pd.Series(np.asarray(source, dtype=float)).groupby(design.group).agg(np.ptp)
        below = "i" if design.spec.group is None else "j" if spread.max() < 1e-9 else "ij"
        found |= {f"{label}_{below}": np.asarray(v, dtype=float) for label, v in values.items()}
    return found


@pytest.mark.parametrize("spec", [s for s in SPECS if "C(" not in s.mean], ids=_id)
def test_labels_without_data_are_those_of_the_result_for_numbers(spec: ModelSpec) -> None:
    frame = datasets.load("hsb")
    frame = frame.assign(kind=frame["sector"], track=np.arange(len(frame)) % 3)
    design, text = make_design(spec, frame), " ".join(Equations(spec).text().split())
    for letter, labels in (("γ", design.mean.labels), ("δ", design.variance.labels)):
        for label in labels:
            assert f"{letter}[{label}]" in text


@pytest.mark.parametrize(
    "spec",
    [s for s in SPECS if s.group and s.random_effects != "classes" and s.mean.count(SES) < 3],
    ids=_id,
)
@pytest.mark.parametrize("given", [False, True], ids=["spec", "data"])
def test_every_element_of_tau_is_named(spec: ModelSpec, given: bool, data: pd.DataFrame) -> None:
    design, text = make_design(spec, data), Equations(spec, data if given else None).text()
    if len(design.effects) > len(Equations(spec).model.effects):
        # a factor with a random effect has as many as it has levels, known with data alone
        rule = "T = (τ[a,b]) for a, b = u:Intercept, u:track[b], u:track[c], v:Intercept"
        assert (rule in text) == given
        return
    for pair in design.tau_pairs:
        label = design.pair_label(pair)
        letter = "ρ" if spec.level2 and pair[0] != pair[1] else "τ"
        assert f"{letter}[{label}]" in text
    named = set(re.findall(r"[τρ]\[([^\]]*)\]", text))
    assert named == {design.pair_label(p) for p in design.tau_pairs}


@pytest.mark.parametrize("spec", SPECS, ids=_id)
@pytest.mark.parametrize("given", [False, True], ids=["spec", "data"])
def test_form(spec: ModelSpec, given: bool, data: pd.DataFrame) -> None:
    equations = Equations(spec, data if given else None)
    if not given:
        assert repr(spec) == equations.text()
    text, latex = equations.text(), equations.latex()
    assert max(map(len, text.splitlines())) <= 110
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    assert latex.startswith("\\begin{aligned}\n&") and latex.endswith("\n\\end{aligned}")
    rows = latex.splitlines()[1:-1]
    assert all(row.startswith("&") for row in rows)
    assert all(re.search(r" \\\\(\[6pt\])?$", row) for row in rows[:-1])
    assert not rows[-1].endswith("\\\\")
    for row in rows:
        plain = re.sub(r"\\[{}]", "", row)
        depth = np.cumsum([(c == "{") - (c == "}") for c in plain])
        assert depth.min() >= 0 and depth[-1] == 0
        assert not [t for t in re.findall(r"\\text\{([^}]*)\}", row) if re.search(r"[_^&%$#\\]", t)]


@pytest.mark.parametrize("mean", ["y ~ 0", "y ~ x - x", "y ~ 0 + (1 | g)", "y ~ -1 + x + (x || g)"])
def test_repr_of_odd_specs(mean: str) -> None:
    spec = ModelSpec(mean, "~ 0")
    assert "log σ² = 0" in repr(spec)
    assert spec._repr_latex_().startswith("$$\n\\begin{aligned}")


def test_level2_is_known_from_the_spec_where_it_can_be() -> None:
    def text(mean: str, **more: object) -> str:
        return ModelSpec(mean, **more).equations()

    assert "γ[cvar(x, g)]·cvar(x, g)_j" in text("y ~ cvar(x, g) + (1 | g)")
    assert "γ[cvar(x, h)]·cvar(x, h)_ij" in text("y ~ cvar(x, h) + (1 | g)")
    assert "γ[dvar(x, g)]·dvar(x, g)_ij" in text("y ~ dvar(x, g) + (1 | g)")
    assert "·(w^2)_j" in text("y ~ I(w^2) + (1 | g)", level2="~ w")
    assert "·w_ij" in text("y ~ w + (1 | g)")
    taken = text("y ~ x * w + (1 + x | g)")
    assert "β1j = γ[x] + γ[x:w]·w_j + u[x]_j" in taken
    assert taken.endswith("Taken to be constant within g, since no data are given: w.")


def test_partners_that_vary_stay_at_level_1(data: pd.DataFrame) -> None:
    both = ModelSpec("y ~ x * z + (1 + x + z | g)").equations()
    assert "γ[x:z]·x_ij·z_ij" in both and "Taken" not in both
    scaled = ModelSpec("y ~ scale(x) * z + (1 + scale(x) + z | g)").equations()
    assert "γ[scale(x):z]·scale(x)_ij·z_ij" in scaled and "Taken" not in scaled
    square = ModelSpec("y ~ x:I(x^2) + (1 + x | g)").equations()
    assert "γ[x:I(x^2)]·x_ij·(x^2)_ij" in square
    female = ModelSpec("mathach ~ ses * female + (1 + ses | school)")
    assert "female_j" in female.equations()
    assert "female_j" not in female.equations(data)
    assert "β1j = γ[ses] + u[ses]_j" in female.equations(data)


def test_log_variance_has_the_subscript_of_its_level(data: pd.DataFrame) -> None:
    assert "N(0, σ²)" in CASES["random_intercept"].equations(data)
    assert "N(0, σ²_j)" in ONE.equations(data)
    assert "N(0, σ²_ij)" in FOUR.equations(data)


def test_student_t_effects_are_one_vector_even_when_uncorrelated(data: pd.DataFrame) -> None:
    text = CASES["uncorrelated"].replace(random_effects="student_t").equations(data)
    assert "(u[Intercept]_j, u[ses]_j, v[Intercept]_j) ~ t_ν(0, T)" in text
    assert "with covariance matrix ν/(ν - 2)·T where ν > 2" in text
    assert "zero elsewhere" in text and "independent" not in text


def test_blocks_are_numbered_where_there_are_several_matrices() -> None:
    text = ModelSpec("y ~ x + (1 + x | g)", "~ x + (1 + x | g)").equations()
    assert "(u[Intercept]_j, u[x]_j) ~ N(0, T1)" in text
    assert "(v[Intercept]_j, v[x]_j) ~ N(0, T2)" in text
    assert "independent of one another" in text


def test_data_that_cannot_be_used_say_so(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no column 'sector'"):
        ONE.equations(data.drop(columns="sector"))


@pytest.mark.parametrize(
    ("plain", "wanted"),
    [
        ("ses", r"\text{ses}"),
        ("a_b", r"\text{a}\_\text{b}"),
        ("(x^2)", r"\text{(x}{}^{\wedge}\text{2)}"),
        ("R&D 50%", r"\text{R}\&\text{D 50}\%"),
        ("{$}", r"\{\$\}"),
    ],
)
def test_quote(plain: str, wanted: str) -> None:
    assert quote(plain) == wanted


def test_names_with_underscores_and_odd_levels() -> None:
    frame = pd.DataFrame(
        {"y_1": [1.0, 2, 4, 3, 5, 7], "k": ["R&D", "50%", "a_b"] * 2, "g": [1, 1, 1, 2, 2, 2]}
    )
    spec = ModelSpec("y_1 ~ k + (1 | g)")
    assert "γ[k[R&D]]·k[R&D]_ij" in spec.equations(frame)
    assert r"\text{y}\_\text{1}_{ij} = " in spec.latex(frame)
    assert r"\gamma_{\text{k[R}\&\text{D]}} \, \text{k[R}\&\text{D]}_{ij}" in spec.latex(frame)


def test_import_of_the_package_is_light() -> None:
    code = (
        "import sys, bridge; print([m for m in ('formulaic', 'arviz', 'rpy2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- of a fit ---------------------------------------------------------------------------
def _groups_and_a_factor() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(12), 10)
    frame = pd.DataFrame({"g": [f"{k:02d}" for k in g], "x": rng.normal(size=120)})
    frame["y"] = rng.normal(size=12)[g] + rng.normal(size=120)
    frame["w"] = rng.normal(size=12)[g]
    frame["f"] = pd.Categorical(rng.choice(["z", "a", "m"], 120), ["z", "a", "m"])
    frame["k"] = pd.Categorical(np.array(["t", "r"])[g % 2], ["t", "r"])
    return frame


@pytest.mark.parametrize(
    ("mean", "variance", "level2"),
    [
        ("y ~ x * w + f + (1 + x | s | g)", "~ f * k + (1 | s | g)", None),
        ("y ~ 0 + k + poly(x, 2) + (1 + x || g)", "~ I(x^2) + cvar(x, g)", None),
        ("y ~ 0 + k + x:k + (1 + x || g)", "~ 1 + (1 | g)", None),
        ("y ~ C(w) + (1 | s | g)", "~ k + (1 | s | g)", "~ k"),
        ("y ~ x + f + (f | g)", "~ dvar(x, g)", {"tau": "~ w", "pcor": "~ k"}),
        ("y ~ x * f", "~ x", None),
    ],
)
def test_a_fit_has_the_equations_of_its_data(mean: str, variance: str, level2: object) -> None:
    spec = ModelSpec(mean, variance, level2=level2)
    data = _groups_and_a_factor()
    parts = from_fit(make_design(spec, data))
    assert Equations(spec, parts=parts).text() == Equations(spec, data).text()
    assert Equations(spec, parts=parts).latex() == Equations(spec, data).latex()


def test_the_design_that_a_fit_keeps_has_the_same_equations() -> None:
    spec = ModelSpec("y ~ x * w + f + (1 + x | s | g)", "~ f * k + (1 | s | g)")
    data = _groups_and_a_factor()
    fit = bridge.fit(spec, data, "fake", chains=2, draws=20, seed=1)
    assert Equations(spec, parts=from_fit(design_of(fit))).text() == spec.equations(data)


def test_what_a_fit_does_not_keep_alone_is_taken_to_be_of_groups() -> None:
    spec = ModelSpec("y ~ x + x:w + (1 + x | g)")
    fit = bridge.fit(spec, _groups_and_a_factor(), "fake", chains=2, draws=20, seed=1)
    text = Equations(spec, parts=from_fit(design_of(fit))).text()
    assert text.endswith("within g, since the fit keeps no column of it alone: w.")
