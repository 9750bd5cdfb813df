"""One simulation of a calibration: parameters from the priors, data, a fit, ranks of the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat
from bridge.calibration_ranks import LOG_DENSITY, LOG_LIKELIHOOD, rank
from bridge.design import Design, make_design
from bridge.design_of import design_of
from bridge.drawing import draw, log_likelihood, with_outcome
from bridge.engines.harmonise import parameter_table
from bridge.errors import BridgeError, EngineFailed
from bridge.fit import fit
from bridge.pointwise import row_loglik
from bridge.posterior_parts import parameters_of, posterior_of
from bridge.prior_draws import draw_parameters
from bridge.priors import Priors
from bridge.result import Result
from bridge.scales import NU
from bridge.simulation_rows import possible_rows, streams
from bridge.spec import ModelSpec

#: The columns of `Calibration.ranks` after the replication's number.
COLUMNS = (
    "parameter", "scale", "truth", "rank", "estimate", "se", "ess", "divergences", "status", "why",
    "seconds",
)  # fmt: skip


def before_outcome(spec: ModelSpec, frame: pd.DataFrame) -> Design:
    """Return a model with its priors on rows that have no outcome yet."""
    return make_design(spec, frame.assign(**{spec.outcome: np.arange(len(frame), dtype=float)}))


@dataclass(frozen=True)
class Simulation:
    """A task of `bridge.replications.replicate`.

    Attributes
    ----------
    spec : ModelSpec
        The model; its priors are proper.
    design : SimulationDesign or pandas.DataFrame
        The rows.
    engine : str
        Who fits.
    posterior : bool
        Whether its draws are of a posterior; else asymptotic ones are taken, of a fit without
        priors.
    draws : int
        How many thinned draws the truth is ranked among.
    options : dict
        Of the engine.
    """

    spec: ModelSpec
    design: Any
    engine: str
    posterior: bool
    draws: int
    options: Mapping[str, Any]

    def __call__(self, seeds: np.random.SeedSequence, number: int) -> pd.DataFrame:
        """Return one row a parameter, also where the fit fails."""
        del number
        of_rows, of_prior, of_effects, of_noise, of_ties, of_fit = streams(seeds, 6)
        make = partial(before_outcome, self.spec)
        frame, design = possible_rows(self.spec, None, self.design, of_rows, make)
        truth = draw_parameters(design, of_prior)
        with np.errstate(over="ignore", invalid="ignore"):
            drawn = draw(design, truth, of_effects, of_noise)
        rows = self._table(design, truth)
        if self.posterior:
            loglik = log_likelihood(with_outcome(design, drawn.y), truth, drawn.effects)
            rows.loc[rows["parameter"] == LOG_LIKELIHOOD, "truth"] = loglik
        data = frame.assign(**{self.spec.outcome: drawn.y})
        start = time.perf_counter()
        try:
            found = self._fitted(data, int(of_fit.integers(1, 2**31 - 1)))
            filled = self._ranked(rows, found, of_ties)
        except (BridgeError, np.linalg.LinAlgError, FloatingPointError) as error:
            filled = rows.assign(status="failed", why=f"{type(error).__name__}: {error}")
        return filled.assign(seconds=time.perf_counter() - start)[list(COLUMNS)]

    def _table(self, design: Design, truth: Mapping[str, float]) -> pd.DataFrame:
        """Return the rows of a simulation before its fit."""
        scales = {name: scale for name, _, scale in parameter_table(design)} | {"nu": NU}
        values = dict(truth)
        if self.posterior:
            scales[LOG_LIKELIHOOD], values[LOG_LIKELIHOOD] = LOG_DENSITY, np.nan
        return pd.DataFrame(
            {
                "parameter": list(values),
                "scale": [scales[name] for name in values],
                "truth": list(values.values()),
                "rank": pd.array([None] * len(values), dtype="Int64"),
                "estimate": np.nan,
                "se": np.nan,
                "ess": np.nan,
                "divergences": np.nan,
                "status": "ok",
                "why": "",
            }
        )

    def _fitted(self, data: pd.DataFrame, seed: int) -> Result:
        if self.posterior:
            options = {"cores": 1, **self.options, "seed": seed}
            return fit(self.spec, data, self.engine, progress=False, **options)
        plain = self.spec.replace(priors=Priors())
        return fit(plain, data, self.engine, progress=False, **self.options)

    def _ranked(self, rows: pd.DataFrame, result: Result, rng: np.random.Generator) -> pd.DataFrame:
        if self.posterior:
            drawn = posterior_draws(result, self.draws)
            ess, divergences = _effective(result), _divergences(result)
        else:
            drawn = _asymptotic(result, self.draws, int(rng.integers(2**31)))
            ess, divergences = {}, np.nan
        summaries, cells = _estimates(result), []
        for name, truth in zip(rows["parameter"], rows["truth"], strict=True):
            if name not in drawn or not np.isfinite(drawn[name]).all():
                raise EngineFailed(f"{self.engine} gave no draws of {name}.")
            values = drawn[name]
            of_draws = (float(values.mean()), float(values.std(ddof=1)))
            found = summaries.get(name, of_draws)
            cells.append((rank(truth, values, rng), *found, ess.get(name, np.nan)))
        ranks, estimates, errors, effective = (list(of) for of in zip(*cells, strict=True))
        return rows.assign(
            rank=pd.array(ranks, dtype="Int64"),
            estimate=estimates,
            se=errors,
            ess=effective,
            divergences=divergences,
        )


def posterior_draws(result: Result, draws: int) -> dict[str, np.ndarray]:
    """Return evenly spaced draws of every parameter, chain by chain, and of the log-likelihood.

    Parameters
    ----------
    result : Result
        A posterior.
    draws : int
        How many.

    Returns
    -------
    dict of str to (draws,) array
        By flat name; the joint log-likelihood is log p(y | parameters, u, v) of all rows.
    """
    posterior = posterior_of(result)
    chains, each = posterior.sizes["chain"], posterior.sizes["draw"]
    some = ((np.arange(draws) + 0.5) * chains * each / draws).astype(int)
    known, _ = parameters_of(result, posterior)
    found = {name: values[some] for name, values in known.items()}
    thinned = posterior.isel(chain=_along(some // each), draw=_along(some % each))
    thinned = thinned.drop_vars(["chain", "draw"], errors="ignore").expand_dims("chain")
    thinned = thinned.transpose("chain", "draw", ...)
    found[LOG_LIKELIHOOD] = row_loglik(design_of(result), thinned)[0].sum(axis=-1)
    return found


def _along(places: np.ndarray) -> Any:
    """Return places along the new dim of draws."""
    import xarray as xr

    return xr.DataArray(places, dims="draw")


def _asymptotic(result: Result, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Return asymptotic draws; what has no standard error is a constant, its estimate."""
    drawn = result.asymptotic_draws(draws, seed)
    found = {str(name): drawn[name].to_numpy(dtype=float) for name in drawn}
    for name, (estimate, _) in _estimates(result).items():
        found.setdefault(name, np.full(draws, estimate))
    return found


def _estimates(result: Result) -> dict[str, tuple[float, float]]:
    """Return estimate and standard error by parameter."""
    return dict(zip(result.estimates["parameter"], _numbers(result, "estimate", "se"), strict=True))


def _effective(result: Result) -> dict[str, float]:
    """Return the smaller of the two effective sample sizes of each parameter."""
    both = _numbers(result, "ess_bulk", "ess_tail")
    return {
        str(name): min(pair) for name, pair in zip(result.estimates["parameter"], both, strict=True)
    }


def _numbers(result: Result, *columns: str) -> Sequence[Any]:
    values = result.estimates[list(columns)].to_numpy(dtype=float, na_value=np.nan)
    return [tuple(map(float, row)) for row in values]


def _divergences(result: Result) -> float:
    stats = arviz_compat.groups_of(result.idata)["sample_stats"]
    return float(stats["diverging"].sum()) if "diverging" in stats else 0.0
