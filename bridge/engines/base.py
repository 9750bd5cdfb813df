"""The contract of an engine: translate, run, harmonise; everything else has a default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bridge.design import Design
from bridge.errors import OptionError, suggest
from bridge.pointwise import INCLUDES

if TYPE_CHECKING:
    from bridge.result import Result

#: Called with the share done (None where unknown) and a few words.
Progress = Callable[[float | None, str], None]


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


#: Kind of an option -> what holds of its value, and that in words.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "count": (lambda v: _whole(v) and v >= 1, "a whole number of at least 1"),
    "odd": (
        lambda v: _whole(v) and 3 <= v <= 101 and v % 2 == 1,
        "an odd whole number from 3 to 101",
    ),
    "seed": (lambda v: _whole(v) and 1 <= v < 2**31, "a whole number from 1 to 2147483647"),
    "seconds": (lambda v: _real(v) and v > 0, "a number of seconds above zero"),
    "share": (lambda v: _real(v) and 0 < v < 1, "a number between 0 and 1"),
    "flag": (lambda v: isinstance(v, bool | np.bool_), "True or False"),
    "folder": (
        lambda v: isinstance(v, str | PathLike) and bool(str(v).strip()),
        "the path of a folder",
    ),
}


@dataclass(frozen=True)
class Option:
    """One option of an engine.

    Attributes
    ----------
    default : object
        Its value where the user gives none; None means "left to the engine".
    kind : {"count", "odd", "seed", "seconds", "choice", "choices", "by effect", "share", "flag", \
"folder"}
        What it must be; "by effect" is a choice for all effects, or a mapping from some to choices.
    meaning : str
        In a few words.
    choices : tuple of str
        The values of a "choice", or those that "choices" and "by effect" may hold.
    """

    default: Any
    kind: str
    meaning: str
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> Any:
        """Return the value, or raise `OptionError` with what it must be."""
        if value is None and (self.default is None or self.kind == "seconds"):
            return None
        if value is None and self.kind == "choices":
            return ()
        if self.kind == "choices":
            return self._check_choices(name, value)
        if self.kind == "by effect":
            return self._check_by_effect(name, value)
        kind = _KINDS.get(self.kind)
        if kind is not None and not kind[0](value):
            raise OptionError(f"{name} ({self.meaning}) is {kind[1]}, not {value!r}.")
        if self.kind == "choice" and value not in self.choices:
            raise OptionError(
                f"{name} is one of {', '.join(self.choices)}, not {value!r}."
                f"{suggest(str(value), self.choices)}"
            )
        if self.kind == "flag":
            return bool(value)
        if self.kind == "folder":
            return str(value)
        if _whole(value):
            return int(value)
        return float(value) if _real(value) else value

    def _check_choices(self, name: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, str | list | tuple | set):
            raise OptionError(f"{name} ({self.meaning}) is a list of names, not {value!r}.")
        several = (value,) if isinstance(value, str) else tuple(value)
        for word in several:
            if word not in self.choices:
                raise OptionError(
                    f"{name} ({self.meaning}) holds some of {', '.join(self.choices)}, not "
                    f"{word!r}.{suggest(str(word), self.choices)}"
                )
        return several

    def _check_by_effect(self, name: str, value: Any) -> str | dict[str, str]:
        words = list(value.values()) if isinstance(value, Mapping) else [value]
        for word in words:
            if word not in self.choices:
                raise OptionError(
                    f"{name} ({self.meaning}) is one of {', '.join(self.choices)}, or a mapping "
                    f"from effects such as u:Intercept to these, not {value!r}."
                    f"{suggest(str(word), self.choices)}"
                )
        return dict(value) if isinstance(value, Mapping) else str(value)


def by_effect(name: str, value: str | Mapping[str, str], effects: Sequence[str]) -> list[str]:
    """Return the word of a checked "by effect" option for each effect, "auto" of those not named.

    Raises
    ------
    OptionError
        Where it names an effect that the model does not have.
    """
    if isinstance(value, str):
        return [value] * len(effects)
    for effect in value:
        if effect not in effects:
            raise OptionError(
                f"{name} names '{effect}', which is no effect of this model."
                f"{suggest(str(effect), effects)} It has: {', '.join(effects) or 'none'}."
            )
    return [value.get(effect, "auto") for effect in effects]


TIMEOUT = {"timeout": Option(None, "seconds", "the longest a fit may take, in seconds")}
ML_OPTIONS = {
    "method": Option("ML", "choice", "maximum or restricted maximum likelihood", ("ML", "REML")),
    **TIMEOUT,
}
SAMPLER_OPTIONS = {
    "chains": Option(4, "count", "independent chains"),
    "draws": Option(1000, "count", "draws kept of each chain"),
    "warmup": Option(1000, "count", "warm-up draws of each chain, not kept"),
    "seed": Option(None, "seed", "seed of the sampler; drawn and recorded where none is given"),
    "cores": Option(None, "count", "chains run side by side; as many as there are processors"),
    "adapt_delta": Option(0.8, "share", "target acceptance rate"),
    "max_treedepth": Option(10, "count", "longest trajectory, as a power of two"),
    "include": Option((), "choices", "further groups of idata", INCLUDES),
    **TIMEOUT,
}


@dataclass(frozen=True)
class Plan:
    """A translation: what will run, readable before it does.

    Attributes
    ----------
    engine : str
        The engine's name.
    design : Design
        The model on its data.
    options : dict
        Every option with its value.
    native : str
        The native call; printing the plan prints it.
    call : dict
        What the engine's runner is given.
    """

    engine: str
    design: Design
    options: Mapping[str, Any]
    native: str
    call: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.native

    def __repr__(self) -> str:
        return f"<Plan for {self.engine}>\n{self.native}"


@dataclass(frozen=True)
class RawFit:
    """A fit as the engine said it, on the engine's own scale.

    Attributes
    ----------
    values : dict
        Estimates, draws, diagnostics: arrays and plain values.
    versions : dict of str to str
        Of the engine and what it runs on.
    warnings : tuple of str
        The engine's own.
    messages : tuple of str
        What else it said.
    seconds : dict of str to float
        Wall time by part ("total", "compile", "sampling").
    """

    values: Mapping[str, Any]
    versions: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


class Engine(ABC):
    """One engine; all about it stands in its own module."""

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Option]]

    def checked_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option with a checked value.

        Raises
        ------
        OptionError
            Where an option is unknown (the nearest is suggested) or out of range.
        """
        for name in given:
            if name not in self.options:
                raise OptionError(
                    f"{self.name} has no option '{name}'.{suggest(name, self.options)} "
                    f"It has: {', '.join(self.options)}."
                )
        return {
            name: option.check(name, given.get(name, option.default))
            for name, option in self.options.items()
        }

    def refusals(self, design: Design) -> list[str]:  # noqa: ARG002 - for those that have any
        """Return further reasons, beyond the registry's features, why this cannot be fitted."""
        return []

    @abstractmethod
    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model for the engine; pure."""

    @abstractmethod
    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Run the plan; the only step that is not pure."""

    @abstractmethod
    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Turn what the engine said into canonical names, scales and dims; pure."""
