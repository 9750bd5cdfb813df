"""The conductor: from a request to a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.engines.base import Plan, Progress
    from bridge.result import Result
    from bridge.spec import ModelSpec


def translate(spec: ModelSpec, data: Any, engine: str, **options: Any) -> Plan:
    """Word a model for an engine without running anything; see `ModelSpec.translate`."""
    from bridge.design import make_design
    from bridge.engines import registry
    from bridge.errors import SpecError
    from bridge.spec import ModelSpec

    if not isinstance(spec, ModelSpec):
        raise SpecError(
            f"The first argument is a ModelSpec, not {type(spec).__name__}: "
            'bridge.ModelSpec("y ~ 1 + (1 | g)").'
        )
    chosen = registry.get(engine)
    checked = _completed(chosen.checked_options(options))
    registry.check(engine, spec)
    design = make_design(spec, data)
    if "marginal_log_likelihood" in checked.get("include", ()):
        from bridge.marginal.by_draw import check_available

        check_available(design)
    reasons = chosen.refusals(design)
    if reasons:
        others = [name for name in registry.able(spec) if name != engine]
        raise registry.refusal(engine, reasons, others)
    return chosen.translate(design, checked)


def fit(
    spec: ModelSpec,
    data: Any,
    engine: str = "agq",
    *,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Result:
    """Fit a model with an engine.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    data : pandas.DataFrame
        The data; rows with missing values in a column the model reads are dropped and counted.
    engine : {"agq", "lme4", "nlme", "ols", "twostep", "brms", "stan", "nuts", "fake"}
        Who fits it; by default maximum likelihood by adaptive quadrature, in Python alone.
    progress : bool or callable, optional
        Whether to show a progress bar (by default on a terminal), or a function of the share
        done and a text.
    **options
        Of the engine: ``nodes`` (odd; quadrature nodes in each dimension), ``intervals`` ("wald",
        the default, or "profile") and ``robust`` (cluster-robust standard errors) for agq;
        ``method`` ("ML", the default, or "REML") for lme4, nlme, ols (where "REML" gives what R's
        ``lm`` prints) and twostep, which also has ``weights`` and ``correction``; ``chains``,
        ``draws``, ``warmup`` (counted per chain), ``seed``, ``cores``, ``adapt_delta``,
        ``max_treedepth`` for brms, stan and nuts, and ``include`` for what idata shall hold besides
        ("log_likelihood" of each row given the group effects, "marginal_log_likelihood" of each
        group, its effects integrated out, "posterior_predictive", "log_prior"); for stan and nuts
        ``formulation`` ("auto", "informed", "noncentred"; for stan "centred", for nuts a mapping
        from effects to these) and ``starts`` ("near" estimates of two regressions, the default, or
        "dispersed", far apart, to see whether chains meet); ``draws_to``, a folder that draws are
        written into as they come; for stan ``backend``; ``timeout`` in seconds for all but ols and
        twostep.

    Returns
    -------
    Result
        Estimates on the canonical scales, whatever the engine's own.

    Raises
    ------
    RequestError
        Where the request is wrong: nothing has run.
    EngineFailed
        Where the engine stopped or took longer than ``timeout``.
    """
    from bridge.engines import registry
    from bridge.progress import shown

    plan = translate(spec, data, engine, **options)
    chosen = registry.get(engine)
    with shown(progress, engine) as report:
        raw = chosen.run(plan, report)
    return chosen.harmonise(raw, plan)


def _completed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settle what was left open, so that the plan says it: the seed and the cores."""
    import os
    import secrets

    found = dict(options)
    if "seed" in found and found["seed"] is None:
        found["seed"] = 1 + secrets.randbelow(2**31 - 2)
    if "cores" in found and found["cores"] is None:
        found["cores"] = min(found["chains"], os.cpu_count() or 1)
    return found
