"""lme4: `lmer`, one level-1 variance, by maximum or restricted maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, scales
from bridge.design import Design
from bridge.engines import r_wording
from bridge.engines.base import ML_OPTIONS, Engine, Plan, Progress, RawFit
from bridge.engines.harmonise import effects_frame
from bridge.engines.matching import check_groups, level2_matrix, match_columns
from bridge.engines.maximum import SINGULAR, Row, ml_result, wald
from bridge.engines.r_engine import run_r
from bridge.result import Result

_NO_SE = "lme4 gives no standard error of variances"


class Lme4(Engine):
    """Linear mixed models by lme4."""

    name = "lme4"
    options = ML_OPTIONS

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the model as a call of ``lmer``; independent effects become separate terms."""
        data = r_wording.r_data(design)
        random = [
            f"({block.words} | {data.group})"
            for block in r_wording.blocks(design, design.mean_random, data)
        ]
        fixed = r_wording.terms(design.mean, data)
        reml = "TRUE" if options["method"] == "REML" else "FALSE"
        native = r_wording.call(
            "lmer",
            [f"{data.outcome} ~ {' + '.join([fixed, *random])}", "data = data", f"REML = {reml}"],
            data.notes(),
        )
        call = {"plan": {}, "frame": data.frame}
        return Plan(self.name, design, options, native, call)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Run ``lmer`` in the R worker."""
        return run_r(plan, progress, "lme4")

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Variances are lme4's own; the level-1 SD becomes a log variance."""
        design, values = plan.design, raw.values
        order = match_columns(design.mean.matrix, values["X"], design.mean.labels, "mean")
        gamma = values["fixef"][order]
        vcov = values["fixef_vcov"][np.ix_(order, order)]
        tau = level2_matrix(design, values["Z"], values["covariance"])
        effects, variances = _group_effects(design, values)
        factor = scales.rule("lme4", raw.versions.get("lme4")).factor
        rows = [wald(g, s) for g, s in zip(gamma, np.sqrt(np.diag(vcov)), strict=True)]
        rows.append(Row(factor * float(np.log(values["sigma"])), note=_NO_SE))
        rows += [Row(float(tau[a, b]), note=_NO_SE) for a, b in design.tau_pairs]
        rows += [
            Row(_correlation(tau, a, b), note=_NO_SE.replace("variances", "correlations"))
            for a, b in design.rho_pairs
        ]
        labels = [names.flat("gamma", t) for t in design.mean.labels]
        return ml_result(
            plan,
            raw,
            rows=rows,
            covariance=pd.DataFrame(vcov, labels, labels),
            group_effects=effects_frame(design, effects, np.sqrt(variances)),
            loglik=values["loglik"],
            n_parameters=values["df"],
            warnings=_warnings(values),
        )


def _correlation(tau: np.ndarray, a: int, b: int) -> float:
    size = np.sqrt(tau[a, a] * tau[b, b])
    return float(tau[a, b] / size) if size > 0 else float("nan")


def _group_effects(design: Design, values: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return BLUPs and their conditional variances, (J, q) each, in our order of effects."""
    order = match_columns(design.Z, np.hstack(values["Z"]), design.mean_effects, "random part")
    for levels in values["levels"]:
        check_groups(design, levels)
    effects = np.hstack(values["effects"])
    variances = np.hstack([np.diagonal(c, axis1=0, axis2=1) for c in values["effects_cov"]])
    return effects[:, order], variances[:, order]


def _warnings(values: Mapping[str, Any]) -> list[str]:
    said = []
    if not values["converged"]:
        messages = "; ".join(map(str, values["optimizer_messages"])) or "no message"
        said.append(f"lme4 did not converge ({messages}): do not rely on these estimates.")
    if values["singular"]:
        said.append(SINGULAR)
    return said
