"""How each effect is sampled."""

from __future__ import annotations

from collections.abc import Mapping

#: Standardised by what the group says of it; as an innovation, whatever the group says.
INFORMED, NONCENTRED = "informed", "noncentred"
AUTO = "auto"
WORDS = (INFORMED, NONCENTRED)


def settled(asked: str | Mapping[str, str], effects: tuple[str, ...]) -> list[str]:
    """Return the formulation of every effect; what is asked has been checked.

    "auto" is "informed": with the information of a group near zero it is "noncentred", and with
    much of it the effect with its fixed part ("centred").
    """
    words = [asked if isinstance(asked, str) else asked.get(effect, AUTO) for effect in effects]
    return [INFORMED if word == AUTO else word for word in words]
