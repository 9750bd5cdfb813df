"""What the priors decide: `bridge.prior_sensitivity`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge import arviz_compat
from bridge.design_of import design_of
from bridge.engines import registry
from bridge.errors import NotAvailable, RequestError
from bridge.fit import fit
from bridge.posterior_parts import LIKELIHOOD, Part, parameters_of, parts_of
from bridge.power_scaling import THRESHOLD, mean_shift, scaled, sensitivity
from bridge.prior_refits import PriorRefits, refits
from bridge.progress import shown
from bridge.result import Result
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

if TYPE_CHECKING:
    from bridge.engines.base import Progress
    from bridge.priors import Priors

CONFLICT, WEAK, NONE, CANNOT_TELL = "prior-data conflict", "weak likelihood", "-", "cannot tell"
#: Above it importance sampling is not to be relied on (Vehtari et al. 2024).
K_LIMIT = 0.7

_ADVICE = {
    CONFLICT: "Prior-data conflict: the prior and the data may pull in different directions; see "
    "spec.priors_in_use(data), and fit with other priors (priors={name: bridge.Priors(...)}).",
    WEAK: "Weak likelihood: the data say so little that the prior decides; say why this prior is "
    "right, or report the result under several.",
    CANNOT_TELL: f"Cannot tell: Pareto k above {K_LIMIT}, so that the draws do not reach what "
    "scaling the part would give; draw more, or fit with other priors "
    "(priors={name: bridge.Priors(...)}).",
}


@dataclass(frozen=True, eq=False, repr=False)
class PriorSensitivity:
    """How much each prior, and the likelihood, decides about each parameter.

    Attributes
    ----------
    result : Result
        The posterior.
    table : pandas.DataFrame
        One row a parameter and part: parameter, scale (of the parameter), part (a group of priors
        such as "sd_u", "all priors", or "likelihood"), sensitivity, shift (of the posterior mean
        from alpha = 0.8 to 1.25, in posterior SDs), k_hat, matters (at `threshold` or above; None
        where k_hat is above 0.7), and diagnosis of the parameter: "prior-data conflict", "weak
        likelihood", "cannot tell" or "-".
    likelihood : str
        Which likelihood was scaled: "marginal over the effects" or "given the effects".
    notes : tuple of str
        What was left out, and the warnings of the fit.
    threshold : float
        0.05, as in the paper.
    """

    result: Result
    table: pd.DataFrame
    likelihood: str
    notes: tuple[str, ...]
    threshold: float = THRESHOLD

    def text(self) -> str:
        """Return the sensitivities, scale beside each parameter, and a sentence a finding."""
        parts = list(dict.fromkeys(self.table["part"]))
        worst = self.table.groupby("part", sort=False)["k_hat"].max()
        rows = [["", "scale", *parts, "diagnosis"]]
        for parameter, own in self.table.groupby("parameter", sort=False):
            cells = ["" if pd.isna(v) else f"{v:.3f}" for v in own["sensitivity"]]
            head = own.iloc[0]
            rows.append([str(parameter), head["scale"], *cells, head["diagnosis"]])
        rows.append(["Pareto k", "", *(digits(worst[part], 2) for part in parts), ""])
        spec = self.result.spec
        return "\n".join(
            [
                f"{spec.mean}; log variance {spec.variance}",
                f"Engine: {self.result.engine}; likelihood: {self.likelihood}",
                "",
                *aligned(rows, left=2),
                "",
                f"Sensitivity: distance by log2(alpha), no scale; from {self.threshold} on it "
                "matters.",
                *self.sentences(),
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def sentences(self) -> list[str]:
        """Return one sentence a finding, and what to do about each kind."""
        found, kinds = [], []
        for parameter, own in self.table.groupby("parameter", sort=False):
            kind = own["diagnosis"].iloc[0]
            if kind != NONE:
                found.append(_sentence(str(parameter), kind, own))
                kinds.append(kind)
        if not found:
            return ["No parameter is sensitive to the priors."]
        return [*found, *(_ADVICE[kind] for kind in _ADVICE if kind in kinds)]

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def prior_sensitivity(
    model: ModelSpec | Result,
    data: Any = None,
    engine: str | None = None,
    priors: Mapping[str, Priors | Mapping[str, str]] | None = None,
    *,
    progress: Progress | bool | None = None,
    **options: Any,
) -> PriorSensitivity | PriorRefits:
    """Say what the priors decide about a posterior.

    Without ``priors`` the model is fitted once (not at all where a result is given), and the
    priors and the likelihood are made a little weaker and stronger by importance sampling. With
    ``priors`` it is fitted under each of them, and what moves is said.

    Parameters
    ----------
    model : ModelSpec or Result
        What to fit, or a posterior that there is.
    data : pandas.DataFrame, optional
        The data; not needed where nothing is fitted.
    engine : str, optional
        An engine that draws, "stan" by default; that of a result is its own.
    priors : mapping of str to Priors, optional
        Priors by name. Each takes the place of the model's own, which are the base.
    progress : bool or callable, optional
        As in `bridge.fit`.
    **options
        Of the engine. With a result and ``priors`` they are the result's where nothing is said.

    Returns
    -------
    PriorSensitivity or PriorRefits
        ``table`` and ``text()``; printing it prints the text.

    Raises
    ------
    RequestError
        Where there is no posterior to scale, no data to fit, or no prior but flat ones.

    Notes
    -----
    Power-scaling is that of Kallioinen, Paananen, Buerkner & Vehtari (2024), Statistics and
    Computing 34:57, at alpha 0.8 and 1.25. Priors are densities on the scales of
    ``spec.priors_in_use(data)``, and are scaled by group: gamma, delta, sd_u, sd_v, rho, and so
    on, and all together. The law of the group effects given their SDs and correlations is a part
    of the model, and is not scaled. The likelihood is that of the groups, effects integrated out,
    where it can be computed, else that of the rows given the effects; of a posterior with many
    groups the latter is hard to scale, and Pareto k says so.
    """
    if isinstance(model, Result):
        base = _checked(model, engine)
        if priors is not None:
            return refits(base, data, base.engine, priors, progress, options)
        if options:
            raise RequestError(
                f"Nothing is fitted where a result is given without priors: {', '.join(options)} "
                "cannot be used."
            )
        return _power_scaled(base, progress)
    if not isinstance(model, ModelSpec):
        raise RequestError(
            f"prior_sensitivity takes a ModelSpec or a Result, not {type(model).__name__}."
        )
    chosen = engine or "stan"
    _check_engine(chosen)
    if data is None:
        raise RequestError("prior_sensitivity fits a ModelSpec to data: give them as well.")
    if priors is not None:
        return refits(model, data, chosen, priors, progress, options)
    return _power_scaled(_fitted(model, data, chosen, progress, options), progress)


def _fitted(
    spec: ModelSpec,
    data: Any,
    engine: str,
    progress: Progress | bool | None,
    options: Mapping[str, Any],
) -> Result:
    """Fit with log_prior among what idata holds."""
    several = registry.get(engine).checked_options(options)["include"]
    include = several if "log_prior" in several else (*several, "log_prior")
    return fit(spec, data, engine, progress=progress, **{**options, "include": include})


def _check_engine(engine: str) -> None:
    registry.get(engine)  # a name that is none is said to be so
    if registry.ENGINES[engine].result != "posterior":
        raise NotAvailable(
            f"{engine} uses no priors, so that there is nothing to be sensitive to; give an engine "
            "that draws, such as stan."
        )


def _checked(result: Result, engine: str | None) -> Result:
    if result.method != "posterior":
        raise NotAvailable(
            f"This {result.method} fit by {result.engine} has no priors and no draws; fit with an "
            "engine that draws, such as stan."
        )
    if engine is not None and engine != result.engine:
        raise RequestError(
            f"The result is {result.engine}'s, and the engine asked for is {engine}: leave it out, "
            "or give the specification in place of the result."
        )
    return result


def _power_scaled(result: Result, progress: Progress | bool | None) -> PriorSensitivity:
    posterior = arviz_compat.groups_of(result.idata)["posterior"].transpose("chain", "draw", ...)
    with shown(progress, "sensitivity") as report:
        parts, likelihood, notes = parts_of(result, design_of(result), posterior, report)
    efficiency = arviz_compat.relative_efficiency(posterior)
    draws, missing = parameters_of(result, posterior)
    if missing:
        notes.append(f"not scaled, because they are not in the draws: {', '.join(missing)}.")
    rows = []
    for part in parts:
        by = scaled(part.log_density, efficiency)
        for parameter, values in draws.items():
            rows.append(
                (parameter, part.name, sensitivity(values, by), mean_shift(values, by), by.k_hat)
            )
    table = _table(result, draws, parts, rows)
    return PriorSensitivity(result, table, likelihood, (*notes, *result.warnings))


def _table(
    result: Result, draws: Mapping[str, np.ndarray], parts: list[Part], rows: list[tuple[Any, ...]]
) -> pd.DataFrame:
    """Return the tidy table, parameter by parameter, with the diagnosis of each."""
    columns = ["parameter", "part", "sensitivity", "shift", "k_hat"]
    found = pd.DataFrame(rows, columns=columns)
    scales = dict(zip(result.estimates["parameter"], result.estimates["scale"], strict=True))
    found.insert(1, "scale", [scales[p] for p in found["parameter"]])
    unknown = found["k_hat"] > K_LIMIT
    judged = zip(found["sensitivity"], unknown | found["sensitivity"].isna(), strict=True)
    matters = [None if unclear else bool(value >= THRESHOLD) for value, unclear in judged]
    found["matters"] = pd.Series(matters, dtype=object)
    order = {name: i for i, name in enumerate(draws)}
    place = {part.name: i for i, part in enumerate(parts)}
    keys = found["parameter"].map(order) * len(parts) + found["part"].map(place)
    found = found.iloc[np.argsort(keys.to_numpy(), kind="stable")].reset_index(drop=True)
    diagnoses = {str(p): _diagnosis(own) for p, own in found.groupby("parameter", sort=False)}
    found["diagnosis"] = found["parameter"].map(diagnoses)
    for column in ("sensitivity", "shift", "k_hat"):
        found[column] = pd.array([None if pd.isna(v) else v for v in found[column]], "Float64")
    return found


def _diagnosis(own: pd.DataFrame) -> str:
    """Return what holds of a parameter: what its priors do, and then what the likelihood does."""
    of_prior = list(own.loc[own["part"] != LIKELIHOOD, "matters"])
    if not any(matters is True for matters in of_prior):
        return CANNOT_TELL if any(matters is None for matters in of_prior) else NONE
    (likelihood,) = own.loc[own["part"] == LIKELIHOOD, "matters"]
    if likelihood is None:
        return CANNOT_TELL
    return CONFLICT if likelihood else WEAK


def _sentence(parameter: str, kind: str, own: pd.DataFrame) -> str:
    """Say which parts matter for a parameter, and how much."""
    known = own[own["matters"].notna()]
    felt = known[(known["part"] != LIKELIHOOD) & known["matters"].astype(bool)]
    words = [f"{row['part']} ({row['sensitivity']:.3f})" for _, row in felt.iterrows()]
    (data,) = own.loc[own["part"] == LIKELIHOOD, "sensitivity"]
    hardly = "hardly " if kind == WEAK else ""
    beside = "" if pd.isna(data) else f", {hardly}to the likelihood ({data:.3f})"
    if not words:
        return f"{parameter}: {kind}."
    return f"{parameter}: {kind}; sensitive to {', '.join(words)}{beside}."
