"""Our Stan programs: the plain model's, by rows or by groups, one for what is added, classes."""

from __future__ import annotations

import re

from bridge.design import Design
from bridge.engines.stan_products import constant_variance_function
from bridge.resources import path

PLAIN = "stan/location_scale.stan"
GROUPED = "stan/group_variance.stan"
GENERAL = "stan/location_scale_general.stan"
CLASSES = "stan/latent_classes.stan"

_INCLUDE = re.compile(r"^#include (\S+)\n", flags=re.MULTILINE)


def choose_program(design: Design) -> str:
    """Return the place of the cheapest program that can express a model."""
    spec = design.spec
    if spec.classes is not None:
        return CLASSES
    plain = spec.random_effects == "normal" and spec.association is None and not design.level2
    if not plain:
        return GENERAL
    return GROUPED if constant_variance_function(design) else PLAIN


def program_text(relative: str) -> str:
    """Return a program whole, its ``#include`` lines replaced by what they name.

    PyStan knows no folder to look for includes in.

    Parameters
    ----------
    relative : str
        Its place below the repository's root, such as `PLAIN`.
    """
    file = path(relative)
    return _INCLUDE.sub(
        lambda found: (file.parent / found[1]).read_text(encoding="utf-8"),
        file.read_text(encoding="utf-8"),
    )
