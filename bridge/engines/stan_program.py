"""Our two Stan programs: the plain model's, and one for all that the grammar adds to it."""

from __future__ import annotations

import re

from bridge.design import Design
from bridge.resources import path

PLAIN = "stan/location_scale.stan"
GENERAL = "stan/location_scale_general.stan"

_INCLUDE = re.compile(r"^#include (\S+)\n", flags=re.MULTILINE)


def choose_program(design: Design) -> str:
    """Return the place of the program for a model: the plain one wherever it can express it."""
    spec = design.spec
    plain = spec.random_effects == "normal" and spec.association is None and not design.level2
    return PLAIN if plain else GENERAL


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
