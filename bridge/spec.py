"""What is asked: one specification of a two-level model with a modelled variance."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import formula
from bridge.class_rules import check_classes
from bridge.errors import DataFileError, GroupingError, SpecError, VocabularyError, suggest
from bridge.formula import Formula
from bridge.names import RESERVED, RESERVED_GROUPS
from bridge.priors import Priors

if TYPE_CHECKING:
    import pandas as pd

    from bridge.engines.base import Plan

#: What a level-2 function can be of: variances, correlations, partial correlations.
LEVEL2_KINDS = ("tau", "rho", "pcor")
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "association": (None, "linear", "quadratic"),
    "latent_scale": ("standardised", "raw"),
    "random_effects": ("normal", "student_t", "classes"),
}


@dataclass(frozen=True)
class ModelSpec:
    """A two-level model whose level-1 variance is modelled too.

    Parameters
    ----------
    mean : str
        The mean function, as ``"y ~ 1 + x + (1 + x | s | school)"``. Random terms are
        ``(… | g)``, ``(… || g)`` uncorrelated, ``(… | id | g)``; terms that share an id,
        also across the two functions, are correlated.
    variance : str, default "~ 1"
        The function of the log of the level-1 variance, without an outcome.
    level2 : str or mapping, optional
        Level-2 variances and correlations as functions of level-2 predictors: one formula
        for all, or a mapping from elements ``tau[a,a]`` (its log) and ``rho[a,b]`` (its
        atanh) to formulas; ``tau`` and ``rho`` stand for all of theirs not named. With
        ``pcor[a,b]`` or ``pcor`` in the place of ``rho`` it is the atanh of the partial
        correlation of a and b given the effects of their set before a, and T is positive definite
        by construction; then every pair of the set has its function, those not named ``~ 1``.
    association : {None, "linear", "quadratic"}
        The mean effects as covariates of the variance function.
    latent_scale : {"standardised", "raw"}
        Whether those covariates are in SDs of u or in outcome units; "raw" needs an association.
    random_effects : {"normal", "student_t", "classes"}
        The distribution of the group effects.
    classes : int, optional
        The number of latent classes K, with ``random_effects="classes"``: the effects of a group
        are one of K mass points whose weighted mean is zero. Classes are in the order of
        u:Intercept, or of the first effect where there is none. A class gives a group all its
        effects, so that u and v depend on each other with and without a shared id; ``||`` and
        different ids are refused.
    priors : Priors or mapping, optional
        Priors on the canonical scale, for Bayesian engines.

    Raises
    ------
    SpecError
        Or a class below it, where a formula does not parse or the parts contradict each other.

    Notes
    -----
    The notation is that of Leckie, French, Charlton & Browne (2014), equations 1.1 to 3.3.

    Examples
    --------
    >>> spec = ModelSpec("mathach ~ 1 + sector + (1 | s | school)",
    ...                  "~ 1 + sector + (1 | s | school)")
    >>> spec.replace(variance="~ 1 + sector").variance
    '~ 1 + sector'
    """

    mean: str
    variance: str = "~ 1"
    level2: str | Mapping[str, str] | None = None
    association: str | None = None
    latent_scale: str = "standardised"
    random_effects: str = "normal"
    classes: int | None = None
    priors: Priors = field(default_factory=Priors)

    def __post_init__(self) -> None:
        mean, variance = formula.parse(self.mean), formula.parse(self.variance)
        object.__setattr__(self, "mean", str(mean))
        object.__setattr__(self, "variance", str(variance))
        object.__setattr__(self, "_mean", mean)
        object.__setattr__(self, "_variance", variance)
        if not isinstance(self.priors, Priors):
            object.__setattr__(self, "priors", Priors(self.priors))
        self._check_choices()
        self._check_formulas(mean, variance)
        object.__setattr__(self, "level2", self._checked_level2())
        if self.random_effects == "classes":
            parts = (self.level2, self.association)
            check_classes(self.classes, mean.random, variance.random, *parts)

    # --- parts ------------------------------------------------------------------
    @property
    def mean_formula(self) -> Formula:
        """The mean function in its parts."""
        return self._mean  # type: ignore[attr-defined]

    @property
    def variance_formula(self) -> Formula:
        """The variance function in its parts."""
        return self._variance  # type: ignore[attr-defined]

    @property
    def outcome(self) -> str:
        """The outcome's name."""
        return str(self.mean_formula.outcome)

    @property
    def group(self) -> str | None:
        """The grouping column's name; None where there are no random terms."""
        random = self.mean_formula.random + self.variance_formula.random
        return random[0].group if random else None

    @property
    def columns(self) -> list[str]:
        """Every column of the data the model reads: outcome, predictors, grouping."""
        found = [self.outcome]
        for part in (self.mean_formula, self.variance_formula):
            for node in (part.fixed, *part.random):
                found += formula.columns(node)
        found += [n for text in self.level2_texts() for n in _columns_of(text)]
        found += [self.group] if self.group else []
        return list(dict.fromkeys(found))

    def level2_texts(self) -> list[str]:
        """Return the formulas of the level-2 functions as written; none where there are none."""
        if self.level2 is None:
            return []
        return [self.level2] if isinstance(self.level2, str) else list(self.level2.values())

    # --- changes and forms --------------------------------------------------------
    def replace(self, **changes: Any) -> ModelSpec:
        """Return another spec with some parts changed.

        Raises
        ------
        SpecError
            Where a part does not exist, or the new spec contradicts itself.
        """
        known = [f.name for f in fields(self)]
        for name in changes:
            if name not in known:
                raise SpecError(f"A ModelSpec has no part '{name}'.{suggest(name, known)}")
        return ModelSpec(**{**{name: getattr(self, name) for name in known}, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain values, defaults left out (but for the variance)."""
        found: dict[str, Any] = {"mean": self.mean, "variance": self.variance}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in found or f.name == "priors" or value is None or value == f.default:
                continue
            found[f.name] = dict(value) if isinstance(value, Mapping) else value
        if self.priors:
            found["priors"] = dict(self.priors)
        return found

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> ModelSpec:
        """Make a spec from plain values.

        Raises
        ------
        SpecError
            Where a part is unknown or missing; the nearest name is suggested.
        """
        known = [f.name for f in fields(cls)]
        for name in parts:
            if name not in known:
                raise SpecError(f"A specification has no part '{name}'.{suggest(name, known)}")
        if "mean" not in parts:
            raise SpecError('A specification needs a mean function: mean = "y ~ 1 + (1 | g)".')
        values = dict(parts)
        values["priors"] = Priors(values.get("priors", {}))
        return cls(**values)

    def to_toml(self, path: str | Path | None = None) -> str:
        """Return the spec as TOML, and write it where a path is given."""
        text = _toml(self.to_dict())
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_toml(cls, source: str | Path) -> ModelSpec:
        """Read a spec from a TOML file (a path), or from TOML text (with a line break or ``=``).

        Raises
        ------
        DataFileError
            Where the file cannot be read or is not TOML.
        SpecError
            Where what it says is not a spec.
        """
        if isinstance(source, Path) or ("=" not in source and "\n" not in source):
            try:
                text = Path(source).read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or error
                raise DataFileError(f"The specification {source} cannot be read: {why}.") from None
        else:
            text, source = source, "given"
        try:
            parts = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DataFileError(f"The specification {source} is not TOML: {error}.") from None
        return cls.from_dict(parts)

    # --- what it leads to ----------------------------------------------------------
    def translate(self, engine: str, data: pd.DataFrame, **options: Any) -> Plan:
        """Return the native call of an engine, readable before anything runs.

        Parameters
        ----------
        engine : str
            The engine's name.
        data : pandas.DataFrame
            The data.
        **options
            The engine's options, as in `bridge.fit`.

        Returns
        -------
        Plan
            Printing it prints the native call.
        """
        from bridge.fit import translate

        return translate(self, data, engine, **options)

    def priors_in_use(self, data: pd.DataFrame) -> pd.DataFrame:
        """Return every parameter with its prior, canonical scale, and who set it.

        Returns
        -------
        pandas.DataFrame
            Columns parameter, prior, scale, source ("default" or "user").
        """
        from bridge.design import make_design
        from bridge.prior_table import prior_table

        return prior_table(make_design(self, data))

    def equations(self, data: pd.DataFrame | None = None) -> str:
        """Return the model as equations: level 1, level 2, combined.

        With data, predictors that are constant within groups stand at level 2.
        """
        from bridge.equations import Equations

        return Equations(self, data).text()

    def latex(self, data: pd.DataFrame | None = None) -> str:
        """Return the same equations as LaTeX (an ``aligned`` environment)."""
        from bridge.equations import Equations

        return Equations(self, data).latex()

    def __repr__(self) -> str:
        return self.equations()

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def __hash__(self) -> int:
        return hash(self.to_toml())

    # --- checks -----------------------------------------------------------------------
    def _check_choices(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                words = [str(a) for a in allowed]
                raise SpecError(
                    f"{name} is one of {', '.join(words)}, not {value!r}."
                    f"{suggest(str(value), words)}"
                )
        if self.association is None and self.latent_scale == "raw":
            raise SpecError(
                'latent_scale="raw" is the scale of an association, and this model has none; add '
                'association="linear" (or "quadratic"), or leave latent_scale out.'
            )
        if (self.random_effects == "classes") != (self.classes is not None):
            raise SpecError('Latent classes need both random_effects="classes" and classes=K.')

    def _check_formulas(self, mean: Formula, variance: Formula) -> None:
        if mean.outcome is None:
            raise SpecError(f"The mean function needs an outcome, as in 'y {self.mean}'.")
        if variance.outcome is not None:
            raise SpecError(
                f"The variance function has no outcome: write '~ …', not '{self.variance}'."
            )
        random = mean.random + variance.random
        groups = sorted({term.group for term in random})
        if len(groups) > 1:
            raise GroupingError(
                f"There are two grouping factors ({', '.join(groups)}); crossed and three-level "
                "models are not in yet: choose one."
            )
        used = [
            n for p in (mean, variance) for node in (p.fixed, *(r.inner for r in p.random))
            for n in formula.predictors(node)
        ]  # fmt: skip
        if groups and groups[0] in used:
            raise GroupingError(
                f"{groups[0]} is the grouping column and cannot be a predictor too; "
                "copy it under another name if that is meant."
            )
        if mean.outcome in [*used, *groups]:
            raise SpecError(
                f"{mean.outcome} is the outcome and cannot stand on the right side too."
            )
        if groups and groups[0] in RESERVED_GROUPS:
            raise VocabularyError(
                f"A grouping column called '{groups[0]}' becomes a dim that xarray and ArviZ take "
                "for an argument of theirs; rename the column."
            )
        for name in [mean.outcome, *used, *groups]:
            if name in RESERVED:
                raise VocabularyError(
                    f"A column called '{name}' collides with the vocabulary of the result "
                    f"({name} has a meaning there); rename the column."
                )
        shared = {t.id for t in mean.random if t.id} & {t.id for t in variance.random if t.id}
        if self.association and shared:
            raise SpecError(
                f"association='{self.association}' and the shared id '{sorted(shared)[0]}' both "
                "tie the variance effects to the mean effects; use one of them."
            )

    def _checked_level2(self) -> str | dict[str, str] | None:
        # a mapping of nothing asks for no function
        if self.level2 is None or (isinstance(self.level2, Mapping) and not self.level2):
            return None
        if isinstance(self.level2, str):
            return _level2_formula(self.level2, "level2")
        if not isinstance(self.level2, Mapping):
            raise SpecError("level2 is a formula or a mapping from elements to formulas.")
        found = {}
        for key, text in self.level2.items():
            kind, _, rest = str(key).partition("[")
            sides = rest.removesuffix("]").split(",")
            well_formed = rest.endswith("]") and len(sides) == 2 and kind in LEVEL2_KINDS
            diagonal = sides[0] == sides[-1]
            if key not in LEVEL2_KINDS and (not well_formed or (kind == "tau") != diagonal):
                raise SpecError(
                    f"level2: '{key}' is not an element; there are tau[a,a], whose log is "
                    "modelled, rho[a,b] and pcor[a,b], whose atanh is, such as "
                    "tau[u:Intercept,u:Intercept]; and tau, rho and pcor for all of theirs."
                )
            found[key] = _level2_formula(text, key)
        return found


def _columns_of(text: str) -> list[str]:
    return formula.columns(formula.parse(text).fixed)


def _level2_formula(text: str, where: str) -> str:
    parsed = formula.parse(text)
    if parsed.outcome is not None or parsed.random:
        raise SpecError(f"{where}: a level-2 function is fixed terms alone, as '~ 1 + sector'.")
    return str(parsed)


def _toml(parts: Mapping[str, Any]) -> str:
    """Write plain values as TOML, tables last."""
    lines = [f"{k} = {_toml_value(v)}" for k, v in parts.items() if not isinstance(v, Mapping)]
    for name, table in parts.items():
        if isinstance(table, Mapping):
            lines += [
                "",
                f"[{name}]",
                *(f"{_toml_value(k)} = {_toml_value(v)}" for k, v in table.items()),
            ]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, str):
        # a TOML string is a JSON string, but for the one control character that JSON leaves alone
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
