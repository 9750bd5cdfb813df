"""How each effect is sampled, from what the groups say about it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bridge.nuts.starts import Start

CENTRED, NONCENTRED, PARTIAL, AUTO = "centred", "noncentred", "partial", "auto"
WORDS = (CENTRED, NONCENTRED, PARTIAL)


def reliability(start: Start) -> np.ndarray:
    """Return one minus the conditional over the marginal variance of each effect in each group.

    Returns
    -------
    (q, J) array
        Between 0, where a group says nothing of the effect, and 1.
    """
    spread = [np.diagonal(s, axis1=1, axis2=2) for s in (start.spread_u, start.spread_v)]
    left = np.hstack(spread) / np.diag(start.covariance)
    found: np.ndarray = np.clip(1 - left, 0.0, 1.0).T
    return found


def choose(start: Start) -> list[str]:
    """Return the formulation of each effect that "auto" stands for: partial for all."""
    return [PARTIAL] * len(start.covariance)


def weights(start: Start, words: list[str]) -> np.ndarray:
    """Return the centring weights (q, J) of formulations: 1 centred, 0 standardised."""
    found = reliability(start)
    for a, word in enumerate(words):
        if word != PARTIAL:
            found[a] = 1.0 if word == CENTRED else 0.0
    return found


def settled(
    asked: str | Mapping[str, str], effects: tuple[str, ...], start: Start
) -> list[str]:
    """Return the formulation of every effect; what is asked has been checked."""
    auto = choose(start)
    if isinstance(asked, str):
        return auto if asked == AUTO else [asked] * len(auto)
    by_effect = [asked.get(effect, AUTO) for effect in effects]
    return [auto[a] if word == AUTO else word for a, word in enumerate(by_effect)]
