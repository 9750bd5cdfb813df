"""Who is observed in a simulated study: groups, their sizes, and the laws of covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bridge.errors import OptionError, suggest

#: What the group column is called where nobody says.
GROUP = "group"
#: Law of a covariate -> its numbers and their defaults.
LAWS: dict[str, dict[str, float]] = {
    "normal": {"mean": 0.0, "sd": 1.0},
    "uniform": {"low": 0.0, "high": 1.0},
    "bernoulli": {"share": 0.5},
}
#: Law of group sizes -> its numbers and their defaults (None: it must be said).
SIZES: dict[str, dict[str, float | None]] = {
    "uniform": {"low": None, "high": None},
    "poisson": {"mean": None, "least": 1},
    "negative_binomial": {"mean": None, "sd": None, "least": 1},
}
_LEVELS = ("row", "group")
_PARTS = ("groups", "size", "sizes", "covariates", "group")


@dataclass(frozen=True)
class SimulationDesign:
    """The rows of simulated data: groups of given or random sizes, covariates of given laws.

    Parameters
    ----------
    groups : int, optional
        How many groups, 50 by default; with ``sizes`` their number.
    size : int or mapping, optional
        Rows in each group, 25 by default. A mapping is a law of random sizes, drawn anew for each
        data set: ``{"law": "uniform", "low": 5, "high": 30}``, ``{"law": "poisson", "mean": 20}``
        or ``{"law": "negative_binomial", "mean": 20, "sd": 12}``; the last two take the ``least``
        size, 1 where nothing is said, and their mean (and SD) are those of the size itself.
    sizes : sequence of int, optional
        Rows in each group, listed, in the place of ``size``.
    covariates : mapping of str to mapping, optional
        By column. ``level`` is "row" (the default) or "group"; ``law`` "normal" (the default; with
        ``mean`` 0 and ``sd`` 1), "uniform" (``low`` 0, ``high`` 1) or "bernoulli" (values 0 and 1,
        ``share`` of ones 0.5). A covariate of rows takes ``intraclass``, the correlation of two
        rows of a group, 0 by default.
    group : str, optional
        The grouping column, by default that of the model.

    Raises
    ------
    OptionError
        One sentence on what is unknown, missing or out of range.

    Notes
    -----
    An intraclass correlation holds exactly whatever the law: a uniform covariate is a normal
    one's probability, whose correlation is r = 2 sin(pi rho / 6) (Pearson 1907); of a binary
    one the share of ones in a group is beta, its parameters (1 - rho) / rho times share and
    1 - share.

    Examples
    --------
    >>> design = SimulationDesign(groups=3, size=2, covariates={"w": {"level": "group"}, "x": {}})
    >>> design.draw(np.random.default_rng(1)).shape
    (6, 3)
    """

    groups: int | None = None
    size: int | Mapping[str, Any] | None = None
    sizes: Sequence[int] | None = None
    covariates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    group: str | None = None

    def __post_init__(self) -> None:
        sizes = None if self.sizes is None else _listed(self.sizes, self.size, self.groups)
        object.__setattr__(self, "sizes", sizes)
        groups = len(sizes) if sizes is not None else 50 if self.groups is None else self.groups
        object.__setattr__(self, "groups", _whole(groups, "groups", 1))
        if sizes is None:
            object.__setattr__(self, "size", _size(25 if self.size is None else self.size))
        if self.group is not None and (not isinstance(self.group, str) or not self.group):
            raise OptionError(f"The group of a design is a column's name, not {self.group!r}.")
        if not isinstance(self.covariates, Mapping):
            raise OptionError(
                "The covariates of a design are a mapping from columns to laws, as "
                '{"x": {"law": "normal"}}.'
            )
        if self.group in self.covariates:
            raise OptionError(f"{self.group} is the grouping column and a covariate; rename one.")
        made = {str(name): _covariate(str(name), of) for name, of in self.covariates.items()}
        object.__setattr__(self, "covariates", made)

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    # --- forms ------------------------------------------------------------------------
    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> SimulationDesign:
        """Make a design from plain values, such as the ``[design]`` table of a TOML file.

        Raises
        ------
        OptionError
            Where a part is unknown; the nearest is suggested.
        """
        for name in table:
            if name not in _PARTS:
                raise OptionError(f"A design has no part '{name}'.{suggest(str(name), _PARTS)}")
        return cls(**table)

    def to_dict(self) -> dict[str, Any]:
        """Return the design as plain values, which `from_dict` takes."""
        found: dict[str, Any] = {"groups": self.groups}
        if self.sizes is not None:
            found = {"sizes": list(self.sizes)}
        else:
            found["size"] = dict(self.size) if isinstance(self.size, Mapping) else self.size
        if self.group is not None:
            found["group"] = self.group
        if self.covariates:
            found["covariates"] = {name: dict(of) for name, of in self.covariates.items()}
        return found

    # --- draws ------------------------------------------------------------------------
    def draw(self, rng: np.random.Generator, group: str | None = None) -> pd.DataFrame:
        """Draw sizes and covariates.

        Parameters
        ----------
        rng : numpy.random.Generator
            The same state gives the same frame.
        group : str, optional
            What the grouping column is called where the design does not say.

        Returns
        -------
        pandas.DataFrame
            The grouping column (numbers from 1, rows of a group together) and the covariates in
            their order; no outcome.
        """
        sizes = self._sizes(rng)
        code = np.repeat(np.arange(len(sizes)), sizes)
        columns: dict[str, np.ndarray] = {self.group or group or GROUP: code + 1}
        for name, of in self.covariates.items():
            columns[name] = _values(of, code, len(sizes), rng)
        return pd.DataFrame(columns)

    def _sizes(self, rng: np.random.Generator) -> np.ndarray:
        assert self.groups is not None
        if self.sizes is not None:
            return np.asarray(self.sizes, dtype=int)
        if not isinstance(self.size, Mapping):
            return np.full(self.groups, self.size, dtype=int)
        of = self.size
        if of["law"] == "uniform":
            return rng.integers(of["low"], of["high"] + 1, self.groups)
        beyond = of["mean"] - of["least"]
        if of["law"] == "poisson":
            return of["least"] + rng.poisson(beyond, self.groups)
        n = beyond**2 / (of["sd"] ** 2 - beyond)
        return of["least"] + rng.negative_binomial(n, n / (n + beyond), self.groups)


def _values(
    of: Mapping[str, Any], code: np.ndarray, groups: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw one covariate."""
    from scipy.special import ndtr

    of_group = of["level"] == "group"
    size, rho = groups if of_group else len(code), 0.0 if of_group else of["intraclass"]
    if of["law"] == "bernoulli":
        share: Any = of["share"]
        if 0 < rho < 1 and 0 < share < 1:
            left = (1 - rho) / rho
            share = rng.beta(left * share, left * (1 - share), groups)[code]
        elif rho == 1:
            share = (rng.random(groups) < share)[code]
        found = (rng.random(size) < share).astype(np.int64)
    else:
        r = 2 * np.sin(np.pi * rho / 6) if of["law"] == "uniform" and rho < 1 else rho
        found = np.sqrt(1 - r) * rng.standard_normal(size)
        if r > 0:
            found = found + np.sqrt(r) * rng.standard_normal(groups)[code]
        if of["law"] == "uniform":
            found = of["low"] + (of["high"] - of["low"]) * ndtr(found)
        else:
            found = of["mean"] + of["sd"] * found
    return found[code] if of_group else found


# --- checks ---------------------------------------------------------------------------
def _whole(value: Any, what: str, least: int) -> int:
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integer or value < least:
        raise OptionError(f"{what} of a design: a whole number of at least {least}, not {value!r}.")
    return int(value)


def _number(value: Any, what: str) -> float:
    known = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not known or not np.isfinite(value):
        raise OptionError(f"{what} is a finite number, not {value!r}.")
    return float(value)


def _listed(sizes: Any, size: Any, groups: Any) -> tuple[int, ...]:
    if size is not None:
        raise OptionError("A design has size or sizes (one for each group), not both.")
    if isinstance(sizes, str) or not isinstance(sizes, Sequence | np.ndarray) or not len(sizes):
        raise OptionError(f"sizes of a design: one whole number for each group, not {sizes!r}.")
    if groups is not None and groups != len(sizes):
        raise OptionError(f"A design has {len(sizes)} sizes for {groups} groups; leave groups out.")
    return tuple(_whole(n, "sizes", 1) for n in sizes)


def _named(of: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in of:
        if key not in known:
            raise OptionError(
                f"{what} has no '{key}'.{suggest(str(key), known)} It has: {', '.join(known)}."
            )


def _law(of: Mapping[str, Any], laws: Mapping[str, Any], default: str | None, what: str) -> str:
    law = of.get("law", default)
    if law not in laws:
        raise OptionError(
            f"{what}: the law is one of {', '.join(laws)}, not {law!r}.{suggest(str(law), laws)}"
        )
    return str(law)


def _size(size: Any) -> int | dict[str, Any]:
    if not isinstance(size, Mapping):
        return _whole(size, "size", 1)
    law = _law(size, SIZES, None, "size of a design")
    _named(size, ["law", *SIZES[law]], f"A {law} size")
    found: dict[str, Any] = {"law": law}
    for key, default in SIZES[law].items():
        value = size.get(key, default)
        if value is None:
            raise OptionError(f"A {law} size needs '{key}'.")
        counted = key in ("low", "high", "least")
        what = f"the {key} of a {law} size"
        found[key] = _whole(value, what, 1) if counted else _number(value, what)
    _check_size(law, found)
    return found


def _check_size(law: str, of: Mapping[str, Any]) -> None:
    if law == "uniform":
        if of["low"] > of["high"]:
            raise OptionError(f"A uniform size from {of['low']} to {of['high']}: turn them round.")
        return
    beyond = of["mean"] - of["least"]
    if beyond < 0:
        raise OptionError(
            f"The mean of a {law} size is {of['mean']:g}, below the least size {of['least']}."
        )
    if law == "negative_binomial" and of["sd"] ** 2 <= beyond:
        raise OptionError(
            f"The sd of a negative_binomial size must be above {np.sqrt(beyond):.4g}, the root of "
            'its mean beyond the least size; {"law": "poisson"} has just that sd.'
        )


def _covariate(name: str, of: Any) -> dict[str, Any]:
    what = f"The covariate {name}"
    if not isinstance(of, Mapping):
        raise OptionError(f'{what} is a mapping, as {{"law": "normal", "level": "row"}}.')
    law, level = _law(of, LAWS, "normal", what), of.get("level", "row")
    if level not in _LEVELS:
        raise OptionError(
            f"{what}: the level is row or group, not {level!r}.{suggest(str(level), _LEVELS)}"
        )
    if level == "group" and "intraclass" in of:
        raise OptionError(
            f"{what} is of the groups, all its variance lies between them; leave intraclass out, "
            'or make it level "row".'
        )
    _named(of, ["level", "law", *LAWS[law], "intraclass"], f"{what} ({law})")
    found: dict[str, Any] = {"level": level, "law": law}
    for key, default in LAWS[law].items():
        found[key] = _number(of.get(key, default), f"{what}: {key}")
    if level == "row":
        found["intraclass"] = _number(of.get("intraclass", 0.0), f"{what}: intraclass")
    _check_numbers(what, found)
    return found


def _check_numbers(what: str, of: Mapping[str, Any]) -> None:
    for key in ("share", "intraclass"):
        if not 0 <= of.get(key, 0.0) <= 1:
            raise OptionError(f"{what}: {key} lies between 0 and 1, and is {of[key]:g}.")
    if of.get("sd", 1.0) <= 0:
        raise OptionError(f"{what}: sd is above 0, and is {of['sd']:g}.")
    if of.get("low", 0.0) >= of.get("high", 1.0):
        raise OptionError(f"{what}: low ({of['low']:g}) lies below high ({of['high']:g}).")
