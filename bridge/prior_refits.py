"""A posterior under several priors, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge import verdicts
from bridge.errors import OptionError, RequestError
from bridge.fit import fit, translate
from bridge.priors import Priors
from bridge.result import Result
from bridge.same_model import check_data_of, check_same_data
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

if TYPE_CHECKING:
    from bridge.engines.base import Progress

#: The model's own priors.
BASE = "as specified"
MOVES, STAYS, CANNOT_TELL = "moves", "stays", "cannot tell"
#: What counts as a move: a mean by a share of the base's SD, or an SD by a factor.
LEAST_SHIFT, LEAST_FACTOR = 0.1, 1.25


@dataclass(frozen=True, eq=False, repr=False)
class PriorRefits:
    """A posterior under its own priors and under others.

    Attributes
    ----------
    results : dict of str to Result
        By name; the first is the base, "as specified".
    table : pandas.DataFrame
        One row a parameter and prior: parameter, scale, priors (the name), estimate, se, shift
        (of the mean from the base's, in the base's SDs), shift_error (its Monte Carlo SE),
        sd_ratio (to the base's) and verdict: "moves" where the shift is above 0.1 and above 4 of
        its errors, or the SDs differ by a factor of 1.25; "cannot tell" where the error is above
        0.1 and nothing moves clearly; else "stays". None for the base.
    notes : tuple of str
        What went wrong in a fit.
    """

    results: Mapping[str, Result]
    table: pd.DataFrame
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return estimates with their scale, shifts in SDs, and a sentence for each prior."""
        rows = [["", "scale", *(name for name in self.results)]]
        for parameter, own in self.table.groupby("parameter", sort=False):
            cells = [_cell(row) for _, row in own.iterrows()]
            rows.append([str(parameter), own["scale"].iloc[0], *cells])
        spec = next(iter(self.results.values())).spec
        return "\n".join(
            [
                f"{spec.mean}; log variance {spec.variance}",
                *(f"{name}: {_said(result.spec.priors)}" for name, result in self.results.items()),
                "",
                *aligned(rows, left=2),
                "",
                f"Posterior means on the scale named; (SD) under {BASE}; [shift in its SDs] under "
                "the others.",
                *self.sentences(),
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def sentences(self) -> list[str]:
        """Return one sentence for each set of priors: what moves, and how far."""
        return [
            _sentence(name, self.table[self.table["priors"] == name])
            for name in list(self.results)[1:]
        ]

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def refits(
    model: ModelSpec | Result,
    data: Any,
    engine: str,
    priors: Mapping[str, Priors | Mapping[str, str]],
    progress: Progress | bool | None,
    options: Mapping[str, Any],
) -> PriorRefits:
    """Fit a model under several priors; see `bridge.prior_sensitivity`.

    Raises
    ------
    RequestError
        Where the priors are not named, there are no data, or the data are not the result's.
    """
    named = _named(priors)
    if data is None:
        raise RequestError("To fit under other priors needs the data: give them as well.")
    if options.get("draws_to") is not None:
        raise OptionError(
            "draws_to takes the draws of one fit, and here are several; leave it out."
        )
    results: dict[str, Result] = {}
    if isinstance(model, Result):
        spec, engine = model.spec, model.engine
        options = {**model.settings, "draws_to": None, **options}
        options = {name: value for name, value in options.items() if value is not None}
        results[BASE] = model
    else:
        spec = model
    wanted = {**({} if results else {BASE: spec.priors}), **named}
    for own in wanted.values():  # what cannot be said is said before anything runs
        plan = translate(spec.replace(priors=own), data, engine, **options)
        if BASE in results:
            check_data_of(results[BASE], plan.design)
    for name, own in wanted.items():
        results[name] = fit(
            spec.replace(priors=own), data, engine, progress=progress, **_seeded(options, results)
        )
    check_same_data(list(results.values()))
    notes = [f"{name}: {said}" for name, result in results.items() for said in result.warnings]
    return PriorRefits(results, _table(results), tuple(notes))


def _named(priors: Mapping[str, Priors | Mapping[str, str]]) -> dict[str, Priors]:
    if not isinstance(priors, Mapping) or isinstance(priors, Priors) or not priors:
        raise RequestError(
            'priors holds priors by name, such as {"wide": bridge.Priors(sd_v="exponential(0.5)")}.'
        )
    found = {}
    for name, own in priors.items():
        if not isinstance(name, str) or not name.strip() or name == BASE:
            raise RequestError(f"{name!r} cannot be the name of priors; give another text.")
        found[name] = own if isinstance(own, Priors) else Priors(own)
    return found


def _seeded(options: Mapping[str, Any], results: Mapping[str, Result]) -> dict[str, Any]:
    """Return the options with the seed of the first fit, which may have drawn it."""
    first = next(iter(results.values()), None)
    known = {} if first is None or options.get("seed") is not None else {"seed": first.seed}
    return {**options, **known}


def _table(results: Mapping[str, Result]) -> pd.DataFrame:
    base = {row["parameter"]: row for row in results[BASE].estimates.to_dict("records")}
    rows = []
    for name, result in results.items():
        for row in result.estimates.to_dict("records"):
            compared = _compared(base[row["parameter"]], row) if name != BASE else {}
            own = {key: row[key] for key in ("parameter", "scale", "estimate", "se")}
            rows.append({**own, "priors": name, **compared})
    found = pd.DataFrame(rows)
    order = {parameter: i for i, parameter in enumerate(base)}
    found = found.iloc[np.argsort(found["parameter"].map(order).to_numpy(), kind="stable")]
    for column in ("estimate", "se", "shift", "shift_error", "sd_ratio"):
        values = list(found[column]) if column in found else [np.nan] * len(found)
        found[column] = pd.array([None if pd.isna(v) else v for v in values], "Float64")
    said = [None if pd.isna(v) else v for v in found["verdict"]]
    found["verdict"] = pd.Series(said, found.index, dtype=object)
    columns = ["parameter", "scale", "priors", "estimate", "se", "shift", "shift_error"]
    return found[[*columns, "sd_ratio", "verdict"]].reset_index(drop=True)


def _compared(base: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far a parameter has moved from the base."""
    spread = float(base["se"]) if not pd.isna(base["se"]) else float("nan")
    numbers = [float("nan") if pd.isna(r["mcse"]) else float(r["mcse"]) for r in (base, row)]
    if not spread > 0 or not np.isfinite(numbers).all():
        return {"verdict": CANNOT_TELL}
    shift = (float(row["estimate"]) - float(base["estimate"])) / spread
    error, ratio = float(np.hypot(numbers[0], numbers[1])) / spread, float(row["se"]) / spread
    moved = abs(shift) > max(LEAST_SHIFT, verdicts.MCSE_LIMIT * error)
    if error > verdicts.MCSE_SHARE:
        verdict = MOVES if moved else CANNOT_TELL
    else:
        resized = not 1 / LEAST_FACTOR < ratio < LEAST_FACTOR
        verdict = MOVES if moved or resized else STAYS
    return {"shift": shift, "shift_error": error, "sd_ratio": ratio, "verdict": verdict}


def _cell(row: pd.Series) -> str:
    if row["priors"] == BASE:
        return f"{digits(row['estimate'])} ({digits(row['se'])})"
    shift = "<NA>" if pd.isna(row["shift"]) else f"{row['shift']:+.2f}"
    return f"{digits(row['estimate'])} [{shift}]"


def _said(priors: Priors) -> str:
    words: Sequence[str] = [f"{key} {value}" for key, value in priors.items()]
    return f"{', '.join(words)}; defaults for the rest" if words else "defaults"


def _sentence(name: str, own: pd.DataFrame) -> str:
    moved = own[own["verdict"] == MOVES]
    unsure = int((own["verdict"] == CANNOT_TELL).sum())
    rest = f"; of {unsure} one cannot tell, draw more" if unsure else ""
    if moved.empty:
        return f"{name}: none of {len(own)} parameters moves{rest}."
    words = [
        f"{row['parameter']} (mean by {row['shift']:+.2f} SD, SD times {row['sd_ratio']:.2f})"
        for _, row in moved.iterrows()
    ]
    return f"{name}: {len(moved)} of {len(own)} parameters move: {', '.join(words)}{rest}."
