"""Rows of predictors along which a mean or a variance is drawn, from what a result keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bridge import formula
from bridge.design import Design
from bridge.design_columns import atoms_of
from bridge.design_of import design_of
from bridge.errors import OptionError, UnknownColumnError, suggest
from bridge.result import Result

#: A number has its own values as levels where there are no more than so many, else three deciles.
_FEW = 6
_DECILES = (0.1, 0.5, 0.9)
#: Points of a curve, and about how many of all groups together.
_POINTS, _ALL_POINTS = 31, 5000
#: Columns of a frame of curves that are no predictors.
OWN_COLUMNS = ("group", "draw", "quantity", "scale", "estimate", "lower", "upper", "note")


@dataclass(frozen=True)
class Curves:
    """Where the predictors of a fit stand while one of them, x, goes over its range.

    Attributes
    ----------
    result : Result
        The fit.
    x : str
        A column, or a transform as it is written.
    by : str or None
        A column, for whose levels there are curves.
    at : mapping
        Values of other columns, and the points of x where they are given.
    """

    result: Result
    x: str
    by: str | None
    at: Mapping[str, Any]

    def __post_init__(self) -> None:
        self._check_names()
        if self.by == self.x:
            raise OptionError(f"by is another column than x, which is {self.x} too.")
        if isinstance(self.values(self.x), pd.Categorical):
            levels = ", ".join(self.values(self.x).categories)
            raise OptionError(
                f"x is a number, and {self.x} is a factor ({levels}); write by={self.x!r}, and x "
                "for a column of numbers."
            )

    # --- what the rows of the fit say -------------------------------------------------------------
    @cached_property
    def design(self) -> Design:
        """The model on its data."""
        return design_of(self.result)

    @cached_property
    def atoms(self) -> dict[str, formula.Name | formula.Call]:
        """Columns and transforms that the formulas are made of, as written."""
        return {formula.text(atom): atom for atom in atoms_of(self.result.spec)}

    def values(self, name: str) -> Any:
        """Return a column of the fit, (N,): numbers, or a factor; None where it is not kept."""
        states, columns = self.result.states or {}, self.design.columns
        if name not in states and f"C({name})" in states:
            name = f"C({name})"
        if name not in states or "levels" not in states[name]:
            return columns.get(name)
        levels = states[name]["levels"]
        found = {i: columns[f"{name}[{v}]"] for i, v in enumerate(levels)
                 if f"{name}[{v}]" in columns}  # fmt: skip
        if len(found) < len(levels) - 1:
            return None
        codes = np.zeros(len(self.design.y), dtype=int)
        for code, column in found.items():
            codes[np.asarray(column) == 1] = code
        return pd.Categorical.from_codes(codes, levels)

    def of_groups(self, name: str) -> np.ndarray | None:
        """Return the value of each group, (J,); None where units differ, or it is not kept."""
        own, group = self.values(name), self.design.group
        if own is None or self.result.spec.group is None:
            return None
        _, first = np.unique(group, return_index=True)
        whole = np.asarray(own)
        return whole[first] if (whole == whole[first][group]).all() else None

    # --- where the curves are ---------------------------------------------------------------------
    def points(self, curves: int = 1) -> np.ndarray:
        """Return the values of x: those given, or some over its range, fewer of many curves."""
        if self.x in self.at:
            return self._given_points()
        own = self.values(self.x)
        if own is None:
            inside = [t for t, a in self.atoms.items() if self.x in formula.columns(a)]
            kept = [f"write x={t!r}, or " for t in inside if self.values(t) is not None]
            one = self.x if self.x not in self.atoms else formula.predictors(self.atoms[self.x])[0]
            raise UnknownColumnError(
                f"The fit does not keep {one} alone, only what the model makes of it; "
                f"{kept[0] if kept else ''}give values, as x={one!r}, at={{{one!r}: [-1, 0, 1]}}."
            )
        return np.linspace(own.min(), own.max(), min(_POINTS, max(_ALL_POINTS // curves, 9)))

    def levels(self) -> list[Any]:
        """Return the values of ``by``; one None where there is none."""
        if self.by is None:
            return [None]
        if self.by in self.at:
            given = self.at[self.by]
            return [given] if np.ndim(given) == 0 else list(given)
        own = self.values(self.by)
        if own is None:
            raise UnknownColumnError(
                f"The fit does not keep {self.by} alone; give its values, as "
                f"at={{{self.by!r}: [-1, 1]}}."
            )
        if isinstance(own, pd.Categorical):
            return list(own.categories)
        found = np.unique(own)
        return list(found if len(found) <= _FEW else np.quantile(own, _DECILES))

    def rows(self, points: np.ndarray, level: Any = None, groups: bool = False) -> pd.DataFrame:
        """Return the predictors along a curve, or along those of all groups one after the other.

        Parameters
        ----------
        points : (m,) array
            The values of x.
        level : object
            The value of ``by``.
        groups : bool
            Whether of every group, with its own predictors of groups; else every number is at its
            mean over the rows of the fit, and a factor at its reference level.
        """
        group = np.repeat(np.arange(self.result.n_groups), len(points)) if groups else None
        found: dict[str, Any] = {self.x: points}
        if group is not None:
            found[self.x] = np.tile(points, self.result.n_groups)
            found[str(self.result.spec.group)] = np.asarray(self.design.group_labels)[group]
        if self.by is not None and level is not None:
            found[self.by] = level
        found |= {name: v for name, v in self.at.items() if name not in (self.x, self.by)}
        calls = []
        for text, atom in self.atoms.items():
            if isinstance(atom, formula.Call) and atom.function != "C":
                calls.append((text, atom))
                continue
            name = formula.columns(atom)[0]
            if name not in found:
                found[name] = self._typical(text, name, group)
        for text, atom in calls:
            missing = [name for name in formula.columns(atom) if name not in found]
            self._check_call(text, atom, missing)
            if missing and text not in found:
                found[text] = self._typical(text, missing[0], group)
        return pd.DataFrame(found, index=range(len(points) if group is None else len(group)))

    # --- checks -----------------------------------------------------------------------------------
    def _check_names(self) -> None:
        spec = self.result.spec
        read = [n for n in spec.columns if n not in (spec.outcome, spec.group)]
        known = list(dict.fromkeys([*read, *self.atoms]))
        taken = [name for name in OWN_COLUMNS if name in known]
        if taken:
            raise OptionError(
                f"A predictor is called '{taken[0]}', as a column of the frame of curves; rename "
                "it and fit again."
            )
        if not isinstance(self.at, Mapping):
            raise OptionError(
                f"at is a mapping from columns to values, not {type(self.at).__name__}; write "
                'at={"ses": 0}.'
            )
        asked = {"x": [self.x], "by": [] if self.by is None else [self.by], "at": [*self.at]}
        for where, names in asked.items():
            for name in names:
                if name not in known:
                    raise OptionError(
                        f"{where} has '{name}', which is no predictor of the model."
                        f"{suggest(str(name), known)} There are: {', '.join(known) or 'none'}."
                    )
        for name, value in self.at.items():
            if np.ndim(value) != 0 and name not in (self.x, self.by):
                raise OptionError(
                    f"at has several values of {name}; give one, or draw a curve for each with "
                    f"by={name!r}."
                )

    def _given_points(self) -> np.ndarray:
        try:
            found = np.asarray(self.at[self.x], dtype=float)
        except (TypeError, ValueError):
            found = np.zeros(0)
        if found.ndim != 1 or len(found) < 2 or not np.isfinite(found).all():
            raise OptionError(
                f"at gives {self.x} as {self.at[self.x]!r}; give two numbers or more."
            )
        return np.sort(found)

    def _check_call(self, text: str, atom: formula.Call, missing: Sequence[str]) -> None:
        """Refuse a transform that x would be left out of, or that needs more than is known."""
        if text == self.x and not missing:
            raise OptionError(
                f"{text} follows from {', '.join(formula.columns(atom))}, which the model reads "
                f"too; write x={formula.predictors(atom)[0]!r}."
            )
        # a group's mean and SD are not those of one point
        moved = atom.function not in ("cvar", "gsd") and self.x in formula.columns(atom)
        if moved and missing and text not in self.at:
            raise UnknownColumnError(
                f"{text} is made of {self.x}, and {', '.join(missing)} is not known; write "
                f"x={text!r}, or give it too, as at={{{text!r}: 0}}."
            )

    def _typical(self, text: str, name: str, group: np.ndarray | None) -> Any:
        own = self.of_groups(text) if group is not None else None
        if own is not None:
            return own[group]
        values = self.values(text)
        if values is None:
            raise UnknownColumnError(
                f"The fit does not keep {text} alone; give {name}, as at={{{name!r}: 0}}."
            )
        return values.categories[0] if isinstance(values, pd.Categorical) else float(values.mean())


def curve_frames(curves: Curves, groups: bool) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the rows of the average group by level, and those of every group of the fit."""
    points = curves.points()
    average = pd.concat([curves.rows(points, level) for level in curves.levels()])
    if not groups:
        return average.reset_index(drop=True), None
    if curves.by is not None and curves.of_groups(curves.by) is None:
        raise OptionError(
            f"{curves.by} differs within groups, so that no group is at one of its levels; write "
            'by="group" alone, or a column of groups.'
        )
    points = curves.points(curves.result.n_groups)
    return average.reset_index(drop=True), curves.rows(points, groups=True)
