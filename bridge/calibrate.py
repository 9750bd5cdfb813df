"""Simulation-based calibration: whether an engine draws from the posterior of its model."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bridge.calibration_ranks import Calibration
    from bridge.engines.base import Progress
    from bridge.spec import ModelSpec


def calibrate(
    spec: ModelSpec,
    design: Any,
    engine: str = "nuts",
    replications: int = 300,
    seed: int | None = None,
    *,
    thinned: int = 99,
    out: str | Path | None = None,
    workers: int | None = None,
    cluster: Any = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Calibration:
    """Rank true parameters, drawn from the priors, among an engine's draws given data they make.

    Parameters
    ----------
    spec : ModelSpec
        The model. Every prior must be proper and the same whatever the outcome: coefficients,
        flat by default, and the SDs of u, whose default scale is the outcome's, need priors.
    design : SimulationDesign or pandas.DataFrame
        Groups and covariates, as in `bridge.simulate`; drawn anew for each simulation, or fixed.
        Where drawn ones are such as the model cannot have (a binary one that is the same in all
        rows), they are drawn again.
    engine : str
        "nuts", "stan" or "brms"; or an engine of maximum likelihood, such as "agq". Of the latter
        the draws are `Result.asymptotic_draws`, labelled "asymptotic" wherever they show: they are
        no posterior, know no prior, and can be right only where data say much. They have no group
        effects, so that the joint log-likelihood is left out.
    replications : int
        Simulations. Each has a seed of its own, made of ``seed`` and its number.
    seed : int, optional
        At least 0; drawn where none is given.
    thinned : int
        L, the draws kept of each fit, evenly spaced over its chains, as many in all simulations.
        L + 1 should have many divisors.
    out, workers, cluster, progress
        As in `bridge.replications.replicate`: with a folder ``out`` a stopped calibration goes on
        where it stopped.
    **options
        Of the engine, such as ``chains``, ``draws`` and ``warmup``; the seed of each fit follows
        from ``seed``, and chains run one after the other where ``cores`` is not given.

    Returns
    -------
    Calibration
        The ranks of every parameter and of the joint log-likelihood log p(y | parameters, u, v),
        by simulation; ``print(found.summary())`` says whether they are uniform.

    Raises
    ------
    PriorError
        Naming the priors that are flat or depend on the data.
    RequestError
        Where another part of the request is wrong; nothing has run.

    Notes
    -----
    Talts, Betancourt, Simpson, Vehtari & Gelman (2018); bands of Säilynoja, Bürkner & Vehtari
    (2022); the joint log-likelihood as a test quantity by Modrák et al. (2023), who show that it
    sees errors that ranks of parameters do not. Ties are broken at random. A failed fit stays in
    the ranks as such. Transforms in the formulas are computed on each simulation's covariates.

    Examples
    --------
    >>> import bridge
    >>> priors = bridge.Priors(gamma="normal(0, 1)", delta="normal(0, 1)", sd_u="half_t(3, 0, 1)")
    >>> spec = bridge.ModelSpec("y ~ 1 + x + (1 | school)", priors=priors)
    >>> design = bridge.SimulationDesign(groups=30, size=10, covariates={"x": {}})
    >>> bridge.calibrate(spec, design, "nuts", seed=1, chains=1).passed  # doctest: +SKIP
    True
    """
    from bridge import __version__
    from bridge.calibration_ranks import ASYMPTOTIC, Calibration
    from bridge.calibration_task import Simulation
    from bridge.engines import registry
    from bridge.replications import replicate

    used = secrets.randbelow(2**31) if seed is None else seed
    chosen = registry.get(engine)
    posterior = registry.ENGINES[engine].result == "posterior"
    frame = _checked_rows(spec, design, used, thinned)
    _check_engine(spec, frame, engine, thinned, options)
    task = Simulation(spec, design, chosen.name, posterior, thinned, dict(options))
    key = {
        "bridge": __version__, "calibration of": spec.to_dict(), "design": _described(design),
        "engine": engine,
        "options": {name: repr(value) for name, value in sorted(options.items())},
        "thinned": thinned,
    }  # fmt: skip
    ranks = replicate(
        task, replications, used, key, out, workers=workers, cluster=cluster, progress=progress
    )
    method = "posterior" if posterior else ASYMPTOTIC
    return Calibration(ranks, thinned, engine, method, spec.outcome)


def _checked_rows(spec: Any, design: Any, seed: Any, thinned: Any) -> pd.DataFrame:
    """Return rows of a design to try the request on."""
    from functools import partial

    from bridge.calibration_task import before_outcome
    from bridge.errors import OptionError, SpecError
    from bridge.prior_draws import check_drawable
    from bridge.priors import Priors
    from bridge.simulation_rows import possible_rows, streams
    from bridge.spec import ModelSpec

    if not isinstance(spec, ModelSpec):
        raise SpecError(
            f"The first argument is a ModelSpec, not {type(spec).__name__}: "
            'bridge.ModelSpec("y ~ 1 + (1 | g)").'
        )
    if isinstance(thinned, bool) or not isinstance(thinned, int) or thinned < 9:
        raise OptionError(f"thinned is a whole number of at least 9, not {thinned!r}.")
    # numbers that priors take from data are not looked for before it is known that there are none
    make = partial(before_outcome, spec.replace(priors=Priors()))
    frame, made = possible_rows(spec, None, design, streams(seed, 1)[0], make)
    check_drawable(made, spec.priors)
    return frame


def _check_engine(
    spec: ModelSpec, frame: pd.DataFrame, engine: str, thinned: int, options: dict[str, Any]
) -> None:
    """Refuse now what each simulation would be refused: the model, the options, too few draws."""
    import numpy as np

    from bridge.engines import registry
    from bridge.errors import OptionError
    from bridge.fit import translate
    from bridge.priors import Priors

    if "seed" in options:
        raise OptionError("seed is that of the calibration; each fit has its own, made of it.")
    if registry.ENGINES[engine].result == "posterior":
        checked = registry.get(engine).checked_options(options)
        there = checked["chains"] * checked["draws"]
        if there < thinned:
            raise OptionError(
                f"chains times draws makes {there} draws of each fit, and {thinned} are to be "
                "kept; ask for more draws, or thin to fewer (thinned=)."
            )
    else:
        spec = spec.replace(priors=Priors())
    noise = np.random.default_rng(1).standard_normal(len(frame))
    translate(spec, frame.assign(**{spec.outcome: noise}), engine, **options)


def _described(design: Any) -> Any:
    """Return a design as plain values: of a frame a digest of its cells."""
    from hashlib import sha256

    import pandas as pd

    if not isinstance(design, pd.DataFrame):
        return design.to_dict()
    cells = pd.util.hash_pandas_object(design, index=True).to_numpy().tobytes()
    return {"columns": list(map(str, design.columns)), "cells": sha256(cells).hexdigest()}
