"""What a specification with latent classes cannot ask for besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.errors import SpecError
from bridge.formula import Random


def check_classes(
    classes: Any, mean: Sequence[Random], variance: Sequence[Random], level2: Any, association: Any
) -> None:
    """Refuse what has no meaning where the effects of a group are one of K mass points.

    A class gives a group all its effects at once, so that they depend on each other whatever the
    ids: terms of the two functions may share one or have none.

    Parameters
    ----------
    classes : object
        The number of classes asked for.
    mean, variance : sequence of Random
        The random terms of the two functions.
    level2, association : object
        These parts of the specification, None where they are not asked for.

    Raises
    ------
    SpecError
        Where the number is none, there are no effects, or another part contradicts classes.
    """
    if not isinstance(classes, int) or classes < 2:
        raise SpecError(f"classes is a whole number of at least 2, not {classes!r}.")
    terms = [*mean, *variance]
    if not terms:
        raise SpecError(
            "Latent classes are the law of the group effects, and this model has none; add a "
            "random term such as (1 | school), or leave random_effects and classes out."
        )
    if level2 is not None:
        raise SpecError(
            "level2 and latent classes exclude each other: the variances and correlations of mass "
            "points follow from the points and their weights; leave one of the two out."
        )
    if association is not None:
        raise SpecError(
            f"association='{association}' and latent classes exclude each other: a class has its "
            "own mean effects and its own variance effects, which ties them already; give the "
            "variance function a random term instead."
        )
    loose = any(len(part) > 1 and None in {t.id for t in part} for part in (mean, variance))
    several = len({t.id for t in terms} - {None}) > 1
    if loose or several or not all(t.correlated for t in terms):
        raise SpecError(
            "Latent classes give a group all its effects at once, so that no two of them are "
            "independent, and this model asks for independent ones; write the effects of each "
            "function as one term, such as (1 + x | g), with one id or none."
        )
