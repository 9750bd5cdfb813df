"""twostep: the two-step method of Raudenbush & Bryk (1987), for variance predictors of groups."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, scales, two_step
from bridge.design import Design
from bridge.engines.base import Engine, Option, Plan, Progress, RawFit
from bridge.engines.harmonise import (
    data_groups,
    effects_frame,
    make_result,
    parameter_table,
)
from bridge.engines.maximum import SINGULAR, Row, is_singular, rows_frame, wald
from bridge.result import TWO_STEP, Result

_NAMED = 3  # groups named in a sentence
_NO_VARIANCE = "no standard error of a variance estimated as zero"
_NO_CORRELATION = "no correlation with an effect whose variance is estimated as zero"
_SINGULAR = "no standard error at a singular fit"
_CROSS = "the two-step method gives no standard error of a correlation of u with v"
_CLIPPED = "made smaller to keep the level-2 covariance matrix positive semi-definite"


class Twostep(Engine):
    """Location-scale models with variance predictors of groups, in two steps."""

    name = "twostep"
    options = {  # noqa: RUF012 - a constant of the class
        "method": Option(
            "ML",
            "choice",
            "maximum or restricted maximum likelihood in either step",
            ("ML", "REML"),
        ),
        "weights": Option(
            "known",
            "choice",
            "of the groups' log variances: by their known sampling variances, or equal",
            ("known", "equal"),
        ),
        "correction": Option(
            "exact",
            "choice",
            "bias and variance of a log variance: by digamma and trigamma, or -1/f and 2/f",
            ("exact", "approximate"),
        ),
    }

    def refusals(self, design: Design) -> list[str]:
        """Return what the method cannot express; most of it depends on the data."""
        return two_step.reasons(design)

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the two steps; nothing is called but this package's own functions."""
        return Plan(self.name, design, options, _native(design, options))

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Compute both steps, in this process."""
        progress(None, "two steps")
        started = time.perf_counter()
        found = two_step.estimate(plan.design, **plan.options)
        values = {
            "gamma": found.mean.gamma,
            "gamma_cov": found.mean.gamma_cov,
            "delta": found.variance.delta,
            "delta_cov": found.variance.delta_cov,
            "tau": found.covariance,
            "tau_u_information": found.mean.information,
            "tau_v_se": found.variance.tau_se,
            "tau_uv_se": found.cross_se,
            "clipped": found.clipped,
            "effects": found.effects,
            "effects_se": found.effects_se,
            "used": found.groups.used,
        }
        versions = {name: metadata.version(name) for name in ("numpy", "scipy")}
        return RawFit(values, versions, seconds={"total": time.perf_counter() - started})

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Label the estimates; the log variance is the method's own scale."""
        design, values = plan.design, raw.values
        factor = scales.rule(self.name).factor
        delta = factor * values["delta"]
        singular = _singular(design, values["tau"], delta)
        level2, spread = _level2_rows(design, values, singular)
        coefficients = (values["gamma"], values["gamma_cov"]), (delta, values["delta_cov"])
        rows = [
            wald(float(value), float(se))
            for estimates, covariance in coefficients
            for value, se in zip(estimates, np.sqrt(np.diag(covariance)), strict=True)
        ]
        return make_result(
            plan,
            raw,
            TWO_STEP,
            rows_frame(plan, [*rows, *level2]),
            effects_frame(design, values["effects"], values["effects_se"]),
            data_groups(design),
            (*_warnings(design, values, singular), *raw.warnings),
            parameter_covariance=_covariance(design, values, spread),
        )


# --- words --------------------------------------------------------------------------------------
def _native(design: Design, options: Mapping[str, Any]) -> str:
    exact, equal = options["correction"] == "exact", options["weights"] == "equal"
    debiased = "log s2 - psi(f/2) + log(f/2)" if exact else "log s2 + 1/f"
    known = "psi'(f/2)" if exact else "2/f"
    random = bool(design.variance_effects)
    by = "equal weights" if equal else f"weights 1 / ({'tau_vv + ' * random}{known})"
    tau = ""
    if random:
        tau = "; tau_vv " + ("by moments" if equal else f"by {options['method']}")
    lines = [
        "# the two-step method of Raudenbush & Bryk (1987), of a group with n rows:",
        "# s2 = its residual variance within groups on f = n - rank(Z) degrees of freedom",
        f"# 1. {debiased} on the variance predictors;",
        f"#    {by}{tau}",
        f"# 2. gamma and T_u by {options['method']}, log variances held at those of step 1",
    ]
    if random and design.block[-1] in design.block[:-1]:
        lines.append("# covariances of u and v: mean products of effects that are not shrunken")
    arguments = ", ".join(f'{name} = "{value}"' for name, value in options.items())
    spec = design.spec
    words = [f"mean = {spec.mean!r}", f"variance = {spec.variance!r}", arguments]
    lines.append("two_step(\n  " + ",\n  ".join(words) + "\n)")
    return "\n".join(lines)


def _warnings(design: Design, values: Mapping[str, Any], singular: bool) -> list[str]:
    said = []
    left_out = np.flatnonzero(~np.asarray(values["used"]))
    if len(left_out):
        named = ", ".join(design.group_labels[j] for j in left_out[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        said.append(
            f"{len(left_out)} group(s) have too few rows, or no residual variation, to give a "
            f"variance, and are left out of the variance function ({named}{more})."
        )
    if singular:
        said.append(SINGULAR)
    if design.variance_effects and values["tau"][-1, -1] == 0:
        said.append(
            "The variance of v:Intercept is estimated as zero: the groups' variances differ no "
            "more than chance and the predictors explain."
        )
    if values["clipped"]:
        said.append(f"Covariances of mean and variance effects were {_CLIPPED}.")
    return said


# --- numbers ------------------------------------------------------------------------------------
def _singular(design: Design, tau: np.ndarray, delta: np.ndarray) -> bool:
    size = len(design.mean_effects)
    level1 = float(np.exp(design.variance.matrix @ delta).mean())
    return bool(size) and is_singular(tau[:size, :size], level1)


def _level2_rows(
    design: Design, values: Mapping[str, Any], singular: bool
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the rows of tau and rho, and the gradient of each that has an se in T_u."""
    tau, size = values["tau"], len(design.mean_effects)
    inside = [pair for pair in design.tau_pairs if max(pair) < size]
    known = not singular and len(inside) > 0
    spread = np.linalg.inv(values["tau_u_information"]) if known else np.zeros((0, 0))
    slopes: dict[str, np.ndarray] = {}
    rows = []
    for variable, pairs in (("tau", design.tau_pairs), ("rho", design.rho_pairs)):
        for pair in pairs:
            value = float(tau[pair]) if variable == "tau" else _correlation(tau, *pair)
            if max(pair) >= size:
                rows.append(_variance_effect_row(variable, pair, value, values))
                continue
            scale = "atanh" if variable == "rho" else "log" if pair[0] == pair[1] else ""
            if not known:
                rows.append(wald(value, None, scale, _SINGULAR))
                continue
            slope = _slope(variable, pair, inside, tau)
            slopes[names.flat(variable, design.pair_label(pair))] = slope
            rows.append(wald(value, float(np.sqrt(slope @ spread @ slope)), scale))
    return rows, slopes


def _variance_effect_row(
    variable: str, pair: tuple[int, int], value: float, values: Mapping[str, Any]
) -> Row:
    """Return the row of an element with v:Intercept."""
    if variable == "rho":
        return Row(value, note=_NO_CORRELATION if np.isnan(value) else _CROSS)
    if pair[0] == pair[1]:
        se = float(values["tau_v_se"])
        return wald(value, se if np.isfinite(se) else None, "log", "" if value else _NO_VARIANCE)
    se = float(values["tau_uv_se"][pair[0]])
    return wald(value, se, note=_CLIPPED if values["clipped"] else "")


def _correlation(tau: np.ndarray, a: int, b: int) -> float:
    size = np.sqrt(tau[a, a] * tau[b, b])
    return float(np.clip(tau[a, b] / size, -1, 1)) if size > 0 else float("nan")


def _slope(
    variable: str, pair: tuple[int, int], inside: list[tuple[int, int]], tau: np.ndarray
) -> np.ndarray:
    """Return the gradient of an element of T_u, or of a correlation, in its free elements."""
    slope = np.zeros(len(inside))
    position = {element: i for i, element in enumerate(inside)}
    if variable == "tau":
        slope[position[pair]] = 1.0
        return slope
    a, b = pair
    rho = _correlation(tau, a, b)
    slope[position[pair]] = 1 / np.sqrt(tau[a, a] * tau[b, b])
    slope[position[a, a]] = -0.5 * rho / tau[a, a]
    slope[position[b, b]] = -0.5 * rho / tau[b, b]
    return slope


def _covariance(
    design: Design, values: Mapping[str, Any], slopes: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Return the covariance of the estimates, zero between the steps."""
    blocks = [values["gamma_cov"], values["delta_cov"]]
    labels = [name for name, component, _ in parameter_table(design) if component != "level2"]
    if slopes:
        jacobian = np.array(list(slopes.values()))
        blocks.append(jacobian @ np.linalg.inv(values["tau_u_information"]) @ jacobian.T)
        labels += list(slopes)
    if np.isfinite(values["tau_v_se"]):
        effect = design.effects[-1]
        blocks.append(np.array([[values["tau_v_se"] ** 2]]))
        labels.append(names.flat("tau", names.pair(effect, effect)))
    whole = np.zeros((len(labels), len(labels)))
    start = 0
    for block in blocks:
        end = start + len(block)
        whole[start:end, start:end] = block
        start = end
    return pd.DataFrame(whole, labels, labels)
