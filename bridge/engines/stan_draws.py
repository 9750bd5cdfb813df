"""What a run of Stan gives, the same from every backend."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.errors import EngineFailed

# Stan's names of its statistics, and ours
_SAMPLER = {
    "lp__": "lp",
    "accept_stat__": "accept_stat",
    "stepsize__": "step_size",
    "treedepth__": "tree_depth",
    "n_leapfrog__": "n_leapfrog",
    "divergent__": "divergent",
    "energy__": "energy",
}

# lines that Stan adds to every rejected proposal, around the one that says why
_COMFORT = (
    "Informational Message:",
    "If this warning occurs sporadically",
    "but if this warning occurs often",
)


@dataclass(frozen=True)
class StanDraws:
    """What one run of Stan gave.

    Attributes
    ----------
    backend : str
        ``"cmdstan"`` or ``"pystan"``.
    versions : dict of str to str
        The backend's packages and their versions.
    draws : dict of str to ndarray
        Post-warm-up draws [chain, draw, *shape] of every variable that has an element.
    sampler : dict of str to ndarray
        divergent, tree_depth, energy, accept_stat, n_leapfrog, step_size, lp; each [chain, draw].
    messages : tuple of str
        Stan's own messages, each once with its count.
    seconds : dict of str to float
        compile (near zero when it was compiled before) and sampling.
    """

    backend: str
    versions: dict[str, str]
    draws: dict[str, np.ndarray]
    sampler: dict[str, np.ndarray]
    messages: tuple[str, ...]
    seconds: dict[str, float]

    def variable(self, name: str, *shape: int) -> np.ndarray:
        """Return one variable's draws, an empty array where the variable has no element.

        Parameters
        ----------
        name : str
            The variable's name in the program.
        *shape : int
            The shape that it has there.

        Returns
        -------
        ndarray
            Draws [chain, draw, *shape].

        Raises
        ------
        EngineFailed
            Stan returned another shape.
        """
        whole = (*self.sampler["lp"].shape, *shape)
        found = self.draws.get(name, np.empty(whole) if 0 in shape else np.empty(0))
        if found.shape != whole:
            raise EngineFailed(
                f"Stan returned '{name}' with shape {found.shape} where {whole} was asked for; "
                "this is an error of bridge, please report it."
            )
        return found


def from_reply(backend: str, reply: Mapping[str, Any]) -> StanDraws:
    """Make the draws of a child's answer.

    Parameters
    ----------
    backend : str
        Who answered.
    reply : mapping
        versions, draws, sampler (under Stan's names), messages and seconds.

    Returns
    -------
    StanDraws
        With the sampler's statistics under our names.
    """
    sampler = {_SAMPLER[key]: values for key, values in reply["sampler"].items() if key in _SAMPLER}
    for key in ("divergent", "tree_depth", "n_leapfrog"):
        sampler[key] = sampler[key].astype(int)
    return StanDraws(
        backend=backend,
        versions=reply["versions"],
        draws=reply["draws"],
        sampler=sampler,
        messages=_counted(reply["messages"]),
        seconds=reply["seconds"],
    )


def _counted(messages: Sequence[str]) -> tuple[str, ...]:
    """Return Stan's messages, numbers left out, each once with its count."""
    counted = Counter(_tidy(text) for text in messages if not text.startswith(_COMFORT)).items()
    return tuple(f"{text} ({n} times)" if n > 1 else text for text, n in counted)


def _tidy(text: str) -> str:
    """Leave out what differs between messages of one kind: the element, the place of the file."""
    kind = re.sub(r"\[\d+(, ?\d+)*\]| \(in '[^']*'[^)]*\)", "", text)
    return re.sub("^Exception:", "Stan rejected a proposal:", kind)
