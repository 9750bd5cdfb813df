"""ols: one least-squares regression without group effects, by statsmodels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, scales
from bridge.design import Design
from bridge.engines.base import Engine, Option, Plan, Progress, RawFit
from bridge.engines.harmonise import effects_frame
from bridge.engines.maximum import Row, ml_result, wald
from bridge.errors import EngineFailed
from bridge.result import Result

#: Relative to the outcome, the size of residuals that are rounding.
_ROUNDING = 1e-13
_NATIVE = """\
# X: {columns}
statsmodels.api.OLS({outcome}, X).fit()
# residual variance: {variance}"""
_VARIANCE = {
    "ML": "RSS / {n} (maximum likelihood); Wald intervals",
    "REML": "RSS / {df}, {n} rows less {p} coefficients; t intervals, as R's lm",
}


class Ols(Engine):
    """Linear regression with one variance and no group effects.

    The coefficients are those of least squares with either method. "ML" takes RSS / n for the
    residual variance and Wald intervals, and agrees with agq in every digit; "REML" takes
    RSS / (n - p) and t intervals on n - p degrees of freedom, which is what R's ``lm`` prints.
    """

    name = "ols"
    options = {  # noqa: RUF012 - a constant of the class
        "method": Option(
            "ML",
            "choice",
            "residual variance RSS / n (ML), or RSS / (n - p) with t intervals (REML)",
            ("ML", "REML"),
        )
    }

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Word the regression as a call of statsmodels."""
        n, p = design.mean.matrix.shape
        variance = _VARIANCE[options["method"]].format(n=n, p=p, df=n - p)
        native = _NATIVE.format(
            columns=", ".join(design.mean.labels), outcome=design.spec.outcome, variance=variance
        )
        return Plan(self.name, design, options, native)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Fit, in this process; columns are given in units of their length, for accuracy.

        Raises
        ------
        EngineFailed
            Where the mean fits every row exactly, so that there is no variance to estimate.
        """
        from statsmodels.regression.linear_model import OLS

        progress(None, "least squares")
        started = time.perf_counter()
        design = plan.design
        length = np.linalg.norm(design.mean.matrix, axis=0)
        found = OLS(design.y, design.mean.matrix / length).fit()
        rss = float(found.ssr)
        if rss <= _ROUNDING**2 * float(design.y @ design.y):
            raise EngineFailed(
                f"The likelihood has no maximum: the mean fits all {len(design.y)} rows exactly "
                "and the residual variance goes to zero (delta[Intercept]); leave terms out of the "
                "mean."
            )
        values = {
            "coefficients": np.asarray(found.params) / length,
            "unscaled": np.asarray(found.normalized_cov_params) / np.outer(length, length),
            "rss": rss,
            "df": int(found.df_resid),
            "loglik": float(found.llf),
        }
        versions = {name: metadata.version(name) for name in ("statsmodels", "numpy")}
        return RawFit(values, versions, seconds={"total": time.perf_counter() - started})

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Give the coefficients the variance of the method; that of the residuals as its log."""
        design, values = plan.design, raw.values
        rss, df, n = values["rss"], values["df"], len(design.y)
        reml = plan.options["method"] == "REML"
        divisor = df if reml else n
        gamma, spread = values["coefficients"], rss / divisor * values["unscaled"]
        # the log of a variance, and its standard error by the delta method
        delta = scales.rule(self.name).factor * float(np.log(rss / divisor))
        delta_se = float(np.sqrt(2 / divisor))
        errors = np.sqrt(np.diag(spread))
        rows = [
            _t_interval(float(g), float(s), df) if reml else wald(float(g), float(s))
            for g, s in zip(gamma, errors, strict=True)
        ]
        rows.append(_chi2_interval(delta, delta_se, rss, df) if reml else wald(delta, delta_se))
        labels = [names.flat("gamma", t) for t in design.mean.labels]
        labels.append(names.flat("delta", names.INTERCEPT))
        covariance = np.zeros((len(labels), len(labels)))
        covariance[:-1, :-1], covariance[-1, -1] = spread, delta_se**2
        return ml_result(
            plan,
            raw,
            rows=rows,
            covariance=pd.DataFrame(covariance, labels, labels),
            group_effects=effects_frame(design, np.zeros((0, 0)), None),
            loglik=_restricted(values, design) if reml else values["loglik"],
            n_parameters=len(rows),
        )


def _t_interval(estimate: float, se: float, df: int) -> Row:
    from scipy import stats

    half = float(stats.t.ppf(0.975, df)) * se
    note = f"t interval on {df} degrees of freedom"
    return Row(estimate, se, estimate - half, estimate + half, note)


def _chi2_interval(estimate: float, se: float, rss: float, df: int) -> Row:
    """Return the log variance with its exact interval: RSS / sigma2 is chi-squared(df)."""
    from scipy import stats

    lower, upper = (float(np.log(rss / stats.chi2.ppf(end, df))) for end in (0.975, 0.025))
    return Row(estimate, se, lower, upper, f"chi-squared interval on {df} degrees of freedom")


def _restricted(values: Mapping[str, Any], design: Design) -> float:
    """Return the restricted log-likelihood, with the constants that lme4 and nlme have."""
    rss, df = values["rss"], values["df"]
    length = np.linalg.norm(design.mean.matrix, axis=0)
    triangle = np.linalg.qr(design.mean.matrix / length, mode="r")
    volume = np.log(np.abs(np.diag(triangle))).sum() + np.log(length).sum()
    return float(-0.5 * df * (np.log(2 * np.pi * rss / df) + 1) - volume)
