"""nlme: `lme` with a fixed log-variance function, by maximum or restricted maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, scales
from bridge.columns import Factor
from bridge.design import Design
from bridge.engines import r_wording
from bridge.engines.base import ML_OPTIONS, Engine, Plan, Progress, RawFit
from bridge.engines.harmonise import effects_frame, parameter_table
from bridge.engines.matching import check_groups, level2_matrix, match_columns
from bridge.engines.maximum import SINGULAR, is_singular, ml_result, wald
from bridge.engines.r_engine import run_r
from bridge.errors import EngineFailed
from bridge.likelihood import conditional_effects
from bridge.result import Result

_GAVE_UP = ("nlminb", "convergence", "iteration limit", "singular")
_FAR = 5.0  # SDs from zero
_NO_APVAR = "nlme gives none: apVar is not available"


class Nlme(Engine):
    """Linear mixed models with a log-variance function, by nlme."""

    name = "nlme"
    options = ML_OPTIONS

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model as a call of ``lme``.

        A factor of the variance function becomes ``varIdent``, any other column ``varExp``.
        Where neither an intercept nor a factor gives the level, sigma is fixed at one.
        """
        data = r_wording.r_data(design)
        random = _random(r_wording.blocks(design, design.mean_random, data), data.group)
        components = variance_components(design)
        arguments = [
            f"{data.outcome} ~ {r_wording.terms(design.mean, data)}",
            "data = data",
            f"random = {random}",
        ]
        words = [_component(design, data, kind, what) for kind, what in components]
        if words:
            several = f"varComb({', '.join(words)})" if len(words) > 1 else words[0]
            arguments.append(f"weights = {several}")
        arguments.append(f'method = "{options["method"]}"')
        # nlme's own step of the second derivatives drowns in rounding; estimates do not change
        level = design.variance.intercept or full_factor(design) is not None
        control = [".relStep = 1e-4"] + ([] if level else ["sigma = 1"])
        arguments.append(f"control = lmeControl({', '.join(control)})")
        native = r_wording.call("lme", arguments, data.notes())
        levels = {name: data.levels[name] for kind, name in components if kind == "varIdent"}
        call = {"plan": {}, "frame": data.frame, "levels": levels}
        return Plan(self.name, design, options, native, call)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Run ``lme`` in the R worker; where its optimiser gives up, say what may help."""
        try:
            return run_r(plan, progress, "nlme")
        except EngineFailed as error:
            if not any(word in str(error) for word in _GAVE_UP):
                raise
            raise type(error)(
                f"{error}\nnlme gives up like this where a level-2 variance is zero or a "
                "correlation at its bound (lme4 fits such a model and says that it is singular), "
                "and where a predictor of the variance is far from zero or of a large scale (use "
                "center or scale)."
            ) from error

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Double the exponents of the SD: coefficients of the log variance, by the delta method."""
        design, values = plan.design, raw.values
        order = match_columns(design.mean.matrix, values["X"], design.mean.labels, "mean")
        gamma = values["fixef"][order]
        vcov = values["fixef_vcov"][np.ix_(order, order)]
        tau = level2_matrix(design, values["Z"], values["covariance"])
        factor = scales.rule("nlme", raw.versions.get("nlme")).factor
        slopes, constant = _delta_map(plan, values, factor)
        delta = slopes @ constant
        estimates = [*delta, *_tau_and_rho(design, tau)]
        level1 = float(np.exp(design.variance.matrix @ delta).mean())
        singular = is_singular(tau, level1)
        spread = _covariance(design, values, tau, slopes)
        if spread is not None and singular:
            spread = spread[: len(delta), : len(delta)]
        rows = [wald(g, s) for g, s in zip(gamma, np.sqrt(np.diag(vcov)), strict=True)]
        errors = [] if spread is None else list(np.sqrt(np.diag(spread)))
        errors += [None] * (len(estimates) - len(errors))
        why = "no standard error at a singular fit" if singular else _NO_APVAR
        for value, se, scale in zip(estimates, errors, _transformations(design), strict=True):
            rows.append(wald(float(value), se, scale, why if se is None else ""))
        _, conditional = conditional_effects(design, gamma, delta, tau)
        check_groups(design, values["levels"])
        effects = np.hstack(values["effects"])[:, _effect_order(design, values)]
        warnings = [
            "nlme gives no standard errors of the variance parameters: "
            f"{'; '.join(values['apvar_message'])}."
        ] if values["apvar"] is None else []  # fmt: skip
        warnings += [SINGULAR] if singular else []
        warnings += _far_from_zero(design) if spread is not None else []
        return ml_result(
            plan,
            raw,
            rows=rows,
            covariance=_full_covariance(design, vcov, spread),
            group_effects=effects_frame(
                design, effects, np.sqrt(np.diagonal(conditional, axis1=1, axis2=2))
            ),
            loglik=values["loglik"],
            n_parameters=values["df"],
            warnings=warnings,
        )


# --- words -----------------------------------------------------------------------------
def full_factor(design: Design) -> str | None:
    """Return the factor whose levels take the intercept's place, as in ``~ 0 + sector``."""
    if design.variance.intercept:
        return None
    return next(
        (p[0][0] for p in design.variance.pieces if len(p) == 1 and p[0][1] is not None), None
    )


def variance_components(design: Design) -> list[tuple[str, Any]]:
    """Return the parts of nlme's variance function: ("varIdent", factor) or ("varExp", column)."""
    found: list[tuple[str, Any]] = []
    has_level = design.variance.intercept or full_factor(design) is not None
    for position, piece in enumerate(design.variance.pieces):
        if not piece:
            continue
        if has_level and len(piece) == 1 and piece[0][1] is not None:
            if ("varIdent", piece[0][0]) not in found:
                found.append(("varIdent", piece[0][0]))
        else:
            found.append(("varExp", position))
    return found


def _component(design: Design, data: r_wording.RData, kind: str, what: Any) -> str:
    if kind == "varIdent":
        return f"varIdent(form = ~ 1 | {data.names[what]})"
    return f"varExp(form = ~ {r_wording.numeric_column(design.variance, what, data)})"


def _random(blocks: list[r_wording.Block], group: str) -> str:
    if len(blocks) == 1:
        return f"~ {blocks[0].words} | {group}"
    if all(len(block.effects) == 1 for block in blocks):
        words = [block.words.removeprefix("0 + ") for block in blocks]
        if "1" not in words:
            words = ["0", *words]
        return f"list({group} = pdDiag(~ {' + '.join(sorted(words, key=lambda w: w not in '01'))}))"
    parts = [f"pdSymm(~ {block.words})" for block in blocks]
    return f"list({group} = pdBlocked(list({', '.join(parts)})))"


# --- scales -----------------------------------------------------------------------------
def _delta_map(
    plan: Plan, values: Mapping[str, Any], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix from nlme's variance parameters to delta, and those parameters.

    Parameters of nlme, in its order: the exponents and log SD ratios of the components, then
    log sigma. On the log SD everything is a sum, so delta is linear in them.
    """
    design = plan.design
    components = variance_components(design)
    coefs = [np.atleast_1d(c["coef"]) for c in values["variance_coef"]]
    starts = np.cumsum([0, *(len(c) for c in coefs)])
    count = int(starts[-1]) + 1
    log_sd = np.zeros((len(design.variance.pieces), count))
    position_of = {piece: i for i, piece in enumerate(design.variance.pieces)}
    # the rows of delta that hold the level: the intercept, or every level of a full factor
    full = full_factor(design)
    level_rows = [
        i
        for i, piece in enumerate(design.variance.pieces)
        if not piece or (len(piece) == 1 and piece[0][0] == full)
    ]
    log_sd[level_rows, -1] = 1.0
    for (kind, what), start, said in zip(components, starts, values["variance_coef"], strict=False):
        if kind == "varExp":
            log_sd[what, start] = 1.0
            continue
        ours = plan.call["levels"][what]
        # nlme's reference is the first level it met in the data: it has no parameter
        place = {name: start + i for i, name in enumerate(said["groups"][1:])}
        column = design.columns[what]
        assert isinstance(column, Factor)
        for level in column.levels:
            row = position_of.get(((what, level),))
            if row is not None and ours[level] in place:
                log_sd[row, place[ours[level]]] += 1.0
        reference = ours[column.levels[0]]
        if what == full or reference not in place:
            continue
        # what stands for our reference moves from its level's rows to the level of the function
        log_sd[level_rows, place[reference]] += 1.0
        for level in column.levels[1:]:
            log_sd[position_of[((what, level),)], place[reference]] -= 1.0
    parameters = np.concatenate([*coefs, [np.log(values["sigma"])]])
    return factor * log_sd, parameters


def _tau_and_rho(design: Design, tau: np.ndarray) -> list[float]:
    sd = np.sqrt(np.diag(tau))
    found = [float(tau[a, b]) for a, b in design.tau_pairs]
    return found + [float(tau[a, b] / (sd[a] * sd[b])) for a, b in design.rho_pairs]


def _effect_order(design: Design, values: Mapping[str, Any]) -> list[int]:
    return match_columns(design.Z, np.hstack(values["Z"]), design.mean_effects, "random part")


def _covariance(
    design: Design, values: Mapping[str, Any], tau: np.ndarray, slopes: np.ndarray
) -> np.ndarray | None:
    """Return the covariance of (delta, tau, rho) from apVar by the delta method.

    apVar's parameters: for each block its log SDs, then 2 atanh of its correlations; the
    parameters of the variance function; log sigma.
    """
    if values["apvar"] is None:
        return None
    order = _effect_order(design, values)
    where = {theirs: ours for ours, theirs in enumerate(order)}
    log_sd, twice_atanh, column, base = {}, {}, 0, 0
    for kind, z in zip(values["block_class"], values["Z"], strict=True):
        size = z.shape[1] if z.ndim > 1 else 1
        for i in range(size):
            log_sd[where[base + i]] = column
            column += 1
        if kind != "pdDiag":
            for i in range(size):
                for j in range(i + 1, size):
                    twice_atanh[frozenset((where[base + i], where[base + j]))] = column
                    column += 1
        base += size
    jacobian = np.zeros((len(slopes) + len(design.tau_pairs) + len(design.rho_pairs), column))
    jacobian = np.hstack([jacobian, np.zeros((len(jacobian), slopes.shape[1]))])
    jacobian[: len(slopes), column:] = slopes
    sd = np.sqrt(np.diag(tau))
    row = len(slopes)
    for a, b in design.tau_pairs:
        jacobian[row, log_sd[a]] += tau[a, b]
        jacobian[row, log_sd[b]] += tau[a, b]
        if a != b:
            size = sd[a] * sd[b]
            jacobian[row, twice_atanh[frozenset((a, b))]] = (size - tau[a, b] ** 2 / size) / 2
        row += 1
    for a, b in design.rho_pairs:
        rho = tau[a, b] / (sd[a] * sd[b])
        jacobian[row, twice_atanh[frozenset((a, b))]] = (1 - rho**2) / 2
        row += 1
    covariance: np.ndarray = jacobian @ values["apvar"] @ jacobian.T
    return covariance


def _transformations(design: Design) -> list[str]:
    """Return where the interval of each of (delta, tau, rho) is symmetric."""
    found = ["" for _ in design.variance.labels]
    found += ["log" if a == b else "" for a, b in design.tau_pairs]
    return found + ["atanh" for _ in design.rho_pairs]


def _far_from_zero(design: Design) -> list[str]:
    """Warn of variance predictors for which nlme's differences are too coarse.

    Far from zero a coefficient is nearly confounded with sigma, and apVar, from differences of the
    log-likelihood, loses the digits that tell them apart: 35% too small at 38 SDs (measured).
    """
    said = []
    for label, column in zip(design.variance.labels, design.variance.matrix.T, strict=True):
        spread = column.std()
        if spread > 0 and abs(column.mean()) > _FAR * spread:
            said.append(
                f"nlme's standard errors of delta are not to be relied on: {label} is far from "
                f"zero (mean {column.mean():.4g}, SD {spread:.4g}); use center({label}) instead."
            )
    return said


def _full_covariance(design: Design, vcov: np.ndarray, spread: np.ndarray | None) -> pd.DataFrame:
    """Return gamma's and the variance parameters' covariance; between the two it is zero."""
    labels = [names.flat("gamma", t) for t in design.mean.labels]
    if spread is None:
        return pd.DataFrame(vcov, labels, labels)
    labels += [row[0] for row in parameter_table(design)[len(vcov) : len(vcov) + len(spread)]]
    size = len(vcov)
    whole = np.zeros((len(labels), len(labels)))
    whole[:size, :size], whole[size:, size:] = vcov, spread
    return pd.DataFrame(whole, labels, labels)
