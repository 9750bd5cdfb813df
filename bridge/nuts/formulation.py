"""How each effect is sampled."""

from __future__ import annotations

from collections.abc import Sequence

#: Standardised by what the group says of it; as an innovation, whatever the group says.
INFORMED, NONCENTRED = "informed", "noncentred"
AUTO = "auto"
WORDS = (INFORMED, NONCENTRED)


def settled(asked: Sequence[str]) -> list[str]:
    """Return the formulation of every effect from the word for each, which has been checked.

    "auto" is "informed": with the information of a group near zero it is "noncentred", and with
    much of it the effect with its fixed part ("centred").
    """
    return [INFORMED if word == AUTO else word for word in asked]
