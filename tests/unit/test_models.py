"""The named models: the formulas of the table, the examples of the docstrings, designs that fit."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import bridge
from bridge import models
from bridge.design import make_design
from bridge.errors import SpecError
from bridge.spec import ModelSpec

_C, _D = "cvar(ses, school)", "dvar(ses, school)"
# traditional name -> arguments, and the fixed and random part as the course notes print them
PRINTED = {
    "One way ANOVA with random effects": ((), "1", "1"),
    "Means as outcomes": (("sector",), "1 + sector", "1"),
    "One way ANCOVA": (("ses",), "1 + ses", "1"),
    "Random coefficients": (("ses",), "1 + ses", "1 + ses"),
    "Intercepts and slopes as outcomes": (
        ("ses", "sector"),
        "1 + ses + sector + ses:sector",
        "1 + ses",
    ),
    "Non random slopes": (("ses", "sector"), "1 + ses + sector + ses:sector", "1"),
    "Parallel mean slopes": (("ses", "sector"), "1 + ses + sector", "1 + ses"),
    "Contextual cluster mean variable with CWG variable and random CWG slopes": (
        ("ses",),
        f"1 + {_C} + {_D}",
        f"1 + {_D}",
    ),
    "Contextual cluster mean variable with raw variable and random CWG slopes": (
        ("ses",),
        f"1 + {_C} + ses",
        f"1 + {_D}",
    ),
    "Intercepts and slopes as outcomes with contextual cluster mean variable with CWG variable "
    "and random CWG effect": (("ses", "sector"), f"1 + ({_C} + {_D}) * sector", f"1 + {_D}"),
}


@pytest.mark.parametrize("name", models.NAMED)
def test_ten_models_as_printed(name: str) -> None:
    arguments, fixed, random = PRINTED[name]
    spec = models.NAMED[name]("mathach", *arguments, "school")
    assert spec == ModelSpec(f"mathach ~ {fixed} + ({random} | school)")
    design = make_design(spec, bridge.datasets.load("hsb"))
    assert len(design.mean_effects) == random.count("+") + 1
    assert np.isfinite(design.mean.matrix).all()


def test_the_table_is_whole() -> None:
    assert set(PRINTED) == set(models.NAMED) and len(PRINTED) == 10
    named = {function.__name__ for function in models.NAMED.values()}
    assert {*models.__all__} == named | {"NAMED", "random_intercept"}


def test_examples_and_docstrings() -> None:
    found = doctest.testmod(models, extraglobs={"bridge": bridge})
    assert found.failed == 0 and found.attempted == 11
    for function in models.NAMED.values():
        assert "HLM: " in function.__doc__ and "R: ``lme(" in function.__doc__


def test_several_predictors_and_further_parts() -> None:
    spec = models.nonrandom_slopes("y", "x", "w + log(z)", "g", variance="~ 1 + (1 | g)")
    assert spec == ModelSpec("y ~ 1 + x + w + log(z) + x:(w + log(z)) + (1 | g)", "~ 1 + (1 | g)")
    assert models.random_intercept("y", "g") == models.one_way_anova("y", "g")
    with pytest.raises(SpecError, match="Did you mean 'variance'"):
        models.one_way_anova("y", "g", variances="~ 1")
