"""Specs: parts, contradictions, copies and their TOML form."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from bridge.errors import (
    DataFileError,
    FormulaError,
    GroupingError,
    PriorError,
    SpecError,
    VocabularyError,
)
from bridge.names import RESERVED
from bridge.priors import Priors
from bridge.spec import ModelSpec

FULL = {
    "mean": "y ~ 1 + x + cvar(x, h) + (1 + z | g)",
    "variance": "~ 1 + w + (1 | g)",
    "level2": {"tau[u:Intercept,u:Intercept]": "~ 1 + k", "rho[u:Intercept,v:Intercept]": "~ 1"},
    "association": "linear",
    "latent_scale": "raw",
    "random_effects": "student_t",
    "priors": {"gamma[f[a \"b\" \\ c\t'ü']]": "normal(0, 1)", "sd_u": "exponential(0.1)"},
}

CLASSES = {
    "mean": "y ~ 1 + x + (1 + x | g)",
    "variance": "~ 1 + (1 | g)",
    "random_effects": "classes",
    "classes": 3,
    "priors": {"pi": "dirichlet(2)"},
}


def test_parts() -> None:
    spec = ModelSpec.from_dict(FULL)
    assert spec.outcome == "y"
    assert spec.group == "g"
    assert spec.columns == ["y", "x", "h", "z", "w", "k", "g"]
    assert ModelSpec("y ~ x").group is None
    assert ModelSpec("y ~ x").variance == "~ 1"


def test_spacing_does_not_make_another_spec() -> None:
    one, other = ModelSpec("y~1+(1|g)", "~1"), ModelSpec("y ~ 1 + (1 | g)")
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


@pytest.mark.parametrize("part", FULL)
def test_every_part_tells_specs_apart(part: str) -> None:
    full = ModelSpec.from_dict(FULL)
    parts = {name: value for name, value in FULL.items() if name != part}
    if part == "mean":
        parts["mean"] = "y ~ 1"
    if part == "association":
        # the scale is that of an association
        parts["association"] = "quadratic"
    other = ModelSpec.from_dict(parts)
    assert other != full
    assert hash(other) != hash(full)


def test_the_number_of_classes_tells_specs_apart() -> None:
    three = ModelSpec.from_dict(CLASSES)
    for other in (three.replace(classes=2), three.replace(random_effects="normal", classes=None)):
        assert other != three
        assert hash(other) != hash(three)


@pytest.mark.parametrize(
    "parts", [FULL, CLASSES, {"mean": "y ~ x"}, {"mean": "y ~ x", "level2": "~ 1 + s"}]
)
def test_forms_go_there_and_back(parts: dict, tmp_path: Path) -> None:
    spec = ModelSpec.from_dict(parts)
    path = tmp_path / "spec.toml"
    text = spec.to_toml(path)
    assert path.read_text(encoding="utf-8") == text
    for copy in (
        ModelSpec.from_toml(text),
        ModelSpec.from_toml(path),
        ModelSpec.from_toml(str(path)),
        ModelSpec.from_dict(spec.to_dict()),
        pickle.loads(pickle.dumps(spec)),
        spec.replace(),
    ):
        assert copy == spec
        assert copy.mean_formula == spec.mean_formula
        assert copy.to_dict() == spec.to_dict()


@pytest.mark.parametrize(
    "char", [chr(i) for i in (*range(1, 10), *range(11, 32), 127, 0x2028, 0x1F600)]
)
def test_any_character_of_a_label_survives_toml(char: str) -> None:
    spec = ModelSpec("y ~ f", priors={f"gamma[f[a{char}]]": "normal(0, 1)"})
    assert ModelSpec.from_toml(spec.to_toml()) == spec


def test_toml_as_a_person_reads_it() -> None:
    spec = ModelSpec(
        "y ~ x + (1 | s | g)", "~ 1 + (1 | s | g)", priors={"delta[x]": "normal(0, 2)"}
    )
    assert spec.to_toml() == (
        'mean = "y ~ x + (1 | s | g)"\n'
        'variance = "~ 1 + (1 | s | g)"\n'
        '\n[priors]\n"delta[x]" = "normal(0, 2)"\n'
    )


def test_specs_are_frozen_and_replaced() -> None:
    spec = ModelSpec("y ~ x")
    with pytest.raises(AttributeError):
        spec.mean = "y ~ z"  # type: ignore[misc]
    other = spec.replace(variance="~ 1 + x", priors={"delta": "normal(0, 1)"})
    assert (spec.variance, other.variance) == ("~ 1", "~ 1 + x")
    assert other.priors == Priors(delta="normal(0, 1)")


LATENT = {"random_effects": "classes", "classes": 2}
# what is wrong -> (class, part of the message)
WRONG = {
    "no outcome": ({"mean": "~ x"}, SpecError, "needs an outcome"),
    "outcome in variance": ({"variance": "y ~ x"}, SpecError, "no outcome"),
    "two groupings": ({"variance": "~ 1 + (1 | h)"}, GroupingError, "(g, h)"),
    "crossed": ({"mean": "y ~ 1 + (1 | g) + (1 | h)"}, GroupingError, "crossed"),
    "group as predictor": ({"mean": "y ~ g + (1 | g)"}, GroupingError, "g is the grouping column"),
    "group as slope": ({"mean": "y ~ 1 + (g | g)"}, GroupingError, "copy it"),
    "group in the variance": ({"variance": "~ g"}, GroupingError, "cannot be a predictor"),
    "outcome right": ({"mean": "y ~ y"}, SpecError, "y is the outcome"),
    "outcome in the variance": ({"variance": "~ log(y)"}, SpecError, "y is the outcome"),
    "outcome as group": ({"mean": "y ~ 1 + (1 | y)", "variance": "~ 1"}, SpecError, "the outcome"),
    "association": ({"association": "linearr"}, SpecError, "Did you mean 'linear'?"),
    "latent_scale": ({"latent_scale": "sd"}, SpecError, "standardised, raw"),
    "raw alone": ({"latent_scale": "raw"}, SpecError, "this model has none; add association="),
    "random_effects": ({"random_effects": "t"}, SpecError, "student_t"),
    "classes alone": ({"classes": 2}, SpecError, "need both"),
    "one class": ({"classes": 1, "random_effects": "classes"}, SpecError, "at least 2"),
    "true classes": ({"classes": True, "random_effects": "classes"}, SpecError, "at least 2"),
    "no classes": ({"random_effects": "classes"}, SpecError, "need both"),
    "classes of nothing": ({"mean": "y ~ x", **LATENT}, SpecError, "this model has none"),
    "classes, level2": ({"level2": "~ w", **LATENT}, SpecError, "exclude each other"),
    "classes, association": ({"association": "linear", **LATENT}, SpecError, "ties them already"),
    "classes, ||": ({"mean": "y ~ (1 + x || g)", **LATENT}, SpecError, "independent"),
    "classes, ids": (
        {"mean": "y ~ (1|a|g)", "variance": "~ (1|b|g)", **LATENT},
        SpecError,
        "with one id or none",
    ),
    "classes, terms": ({"mean": "y ~ (1 | g) + (0 + x | g)", **LATENT}, SpecError, "as one term"),
    "tied twice": (
        {"mean": "y ~ (1|s|g)", "variance": "~ (1|s|g)", "association": "linear"},
        SpecError,
        "shared id 's'",
    ),
    "level2 off-diagonal": ({"level2": {"tau[u:a,u:b]": "~ 1"}}, SpecError, "is not an element"),
    "level2 rho diagonal": ({"level2": {"rho[u:a,u:a]": "~ 1"}}, SpecError, "is not an element"),
    "level2 name": ({"level2": {"sd[u:a,u:a]": "~ 1"}}, SpecError, "is not an element"),
    "level2 number": ({"level2": {3: "~ 1"}}, SpecError, "'3' is not an element"),
    "level2 type": ({"level2": 3}, SpecError, "formula or a mapping"),
    "level2 random": ({"level2": "~ 1 + (1 | g)"}, SpecError, "fixed terms alone"),
    "level2 formula": ({"level2": "1 + x"}, FormulaError, "outcome's name"),
    "not a formula": ({"variance": 1}, FormulaError, "not int"),
    "prior": ({"priors": {"gama": "flat"}}, PriorError, "Did you mean 'gamma'?"),
    "priors": ({"priors": "flat"}, PriorError, "are a mapping"),
    "unknown part": ({"varience": "~ x"}, SpecError, "Did you mean 'variance'?"),
}


@pytest.mark.parametrize(("changes", "kind", "part"), WRONG.values(), ids=WRONG)
def test_contradictions(changes: dict, kind: type[Exception], part: str) -> None:
    parts = {"mean": "y ~ x + (1 | g)"} | changes
    with pytest.raises(SpecError) as caught:
        ModelSpec.from_dict(parts)
    assert type(caught.value) is kind
    assert part in str(caught.value)


@pytest.mark.parametrize("name", sorted(RESERVED))
@pytest.mark.parametrize("mean", ["{} ~ 1", "y ~ {}", "y ~ 1 + ({} | g)", "y ~ 1 + (1 | {})"])
def test_a_column_cannot_have_a_name_of_the_result(name: str, mean: str) -> None:
    with pytest.raises(VocabularyError, match=f"called '{name}'"):
        ModelSpec(mean.format(name))


@pytest.mark.parametrize(
    ("mean", "variance"),
    [
        ("y ~ (1 | s | g)", "~ (1 | s | g)"),
        ("y ~ (1 | g)", "~ (1 | g)"),
        ("y ~ (1 | s | g) + (0 + x | s | g)", "~ 1"),
        ("y ~ x", "~ (1 + x | g)"),
    ],
)
def test_effects_that_one_class_can_give(mean: str, variance: str) -> None:
    assert ModelSpec(mean, variance, **LATENT).classes == 2


def test_replace_and_from_dict_name_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'variance'"):
        ModelSpec("y ~ x").replace(varance="~ 1")
    with pytest.raises(SpecError, match="needs a mean function"):
        ModelSpec.from_dict({"variance": "~ 1"})


@pytest.mark.parametrize(
    ("content", "part"),
    [("mean =", "not TOML"), (None, "cannot be read"), (b"\xff\xfe=", "cannot be read")],
)
def test_files_that_are_no_spec(content: str | bytes | None, part: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataFileError, match=part) as caught:
        ModelSpec.from_toml(path)
    assert str(path) in str(caught.value)


def test_a_mark_at_the_start_of_a_toml_file(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('\ufeffmean = "y ~ 1 + (1 | g)"', encoding="utf-8")
    assert ModelSpec.from_toml(tmp_path / "m.toml").group == "g"


@pytest.mark.parametrize("name", ["method", "sample", "hdi"])
def test_groups_that_arviz_would_take_for_an_argument(name: str) -> None:
    with pytest.raises(VocabularyError, match="rename the column"):
        ModelSpec(f"y ~ 1 + (1 | {name})")
    assert ModelSpec(f"y ~ {name} + (1 | g)")


def test_level_2_functions_of_nothing_are_none() -> None:
    spec = ModelSpec("y ~ x + (1 | g)", level2={})
    assert spec.level2 is None
    assert spec == ModelSpec("y ~ x + (1 | g)")
