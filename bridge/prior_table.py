"""The priors in use, as a table a person can read."""

from __future__ import annotations

import pandas as pd

from bridge import names, scales
from bridge.design import Design


def prior_table(design: Design) -> pd.DataFrame:
    """Return every parameter with its prior on the canonical scale.

    Parameters
    ----------
    design : Design
        The model on its data; data decide the scale of the default prior of SD(u).

    Returns
    -------
    pandas.DataFrame
        Columns parameter, prior, scale, source ("default" or "user").
    """
    priors = design.priors
    rows: list[tuple[str, str, str, str]] = []

    def add(parameter: str, prior: str, scale: str, *keys: str) -> None:
        source = "user" if any(key in priors.set_by_user for key in keys) else "default"
        rows.append((parameter, prior, scale, source))

    for variable, labels, scale in (
        ("gamma", design.mean.labels, scales.GAMMA),
        ("delta", design.variance.labels, scales.DELTA),
    ):
        for label, prior in zip(labels, getattr(priors, variable), strict=True):
            flat = names.flat(variable, label)
            add(flat, str(prior), scale, variable, flat)
    for label, prior in zip(design.latent_terms, priors.lambda_, strict=True):
        square = label not in design.mean_effects
        scale = scales.lambda_scale(design.spec.latent_scale, square)
        flat = names.flat("lambda_", label)
        add(flat, str(prior), scale, "lambda_", flat)
    for row in _level2(design):
        add(*row)
    for kappa, prior in zip(design.kappa_terms, priors.kappa, strict=True):
        flat = names.flat("kappa", names.kappa_label(*kappa))
        add(flat, str(prior), scales.KAPPA[kappa[0]], "kappa", flat)
    if design.spec.random_effects == "student_t":
        add("nu", str(priors.nu), scales.NU, "nu")
    if design.spec.classes is not None:
        add("pi", str(priors.pi), scales.PI, "pi")
    return pd.DataFrame(rows, columns=["parameter", "prior", "scale", "source"])


def _level2(design: Design) -> list[tuple[str, ...]]:
    """Return parameter, prior, scale and keys of what the constant elements of T have."""
    priors = design.priors
    found: list[tuple[str, ...]] = []
    points = design.spec.classes is not None
    apart = [priors.of_block(block) is None for block in design.block]
    for effect, prior in zip(design.constant_effects, priors.sd, strict=True):
        if apart[design.effects.index(effect)]:
            letter, _, term = effect.partition(":")
            of, law = (f"{letter}_class", f"{prior}, reflected") if points else ("sd", str(prior))
            keys = (f"sd_{letter}", f"sd_{letter}[{term}]")
            found.append((names.flat(of, effect), law, scales.EFFECT[letter], *keys))
    for effects, whole in zip(design.blocks, priors.tau, strict=False):
        if whole is not None:
            flat = names.flat("tau", effects[0])
            found.append((flat, str(whole), _covariance_scale(effects), "tau", flat))
    if not points and any(apart[a] for a, _ in design.constant_rho_pairs):
        found.append(("rho", f"lkj({priors.lkj:g})", scales.RHO, "rho"))
    return found


def _covariance_scale(effects: tuple[str, ...]) -> str:
    """Say of which effects a covariance matrix is, and on which scale."""
    if len(effects) == 1:
        return scales.tau_scale(effects[0][0], effects[0][0])
    units = dict.fromkeys(f"{effect[0]}: {scales.EFFECT[effect[0]]}" for effect in effects)
    return f"covariance matrix of {', '.join(effects)} ({'; '.join(units)})"
