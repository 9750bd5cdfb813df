"""ols beside R's lm and nlme's gls, run by Rscript, and beside statsmodels called by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.spec import ModelSpec

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import direct_r

_CODE = """
  data$vr <- relevel(data$vr, "bottom")
  f <- lm(normexam ~ standlrt * vr + girl, data)
  g <- nlme::gls(normexam ~ standlrt * vr + girl, data, method = "REML")
  list(beta = unname(coef(f)), se = unname(sqrt(diag(vcov(f)))), ci = unname(confint(f)),
       s = sigma(f), df = as.double(df.residual(f)), ml = as.numeric(logLik(f)),
       reml = as.numeric(logLik(f, REML = TRUE)), gls = as.numeric(logLik(g)),
       sigma = unname(nlme::intervals(g)$sigma), aic = AIC(f), bic = BIC(f))
"""
SPEC = ModelSpec("normexam ~ standlrt * vr + girl")
#: R writes interactions after all main effects.
ORDER = ["Intercept", "standlrt", "vr[mid]", "vr[top]", "girl", "standlrt:vr[mid]",
         "standlrt:vr[top]"]  # fmt: skip


@pytest.mark.r
def test_lm_and_gls() -> None:
    data = bridge.datasets.load("exam")
    said = direct_r.run(_CODE, data)
    reml = bridge.fit(SPEC, data, "ols", method="REML")
    rows = reml.estimates.set_index("parameter")
    gamma = rows.loc[[f"gamma[{term}]" for term in ORDER]]
    np.testing.assert_allclose(gamma["estimate"].astype(float), said["beta"], rtol=1e-9)
    np.testing.assert_allclose(gamma["se"].astype(float), said["se"], rtol=1e-9)
    np.testing.assert_allclose(gamma[["lower", "upper"]].astype(float), said["ci"], rtol=1e-8)
    delta = rows.loc["delta[Intercept]"]
    sigma = [np.exp(delta[name] / 2) for name in ("lower", "estimate", "upper")]
    np.testing.assert_allclose(sigma, said["sigma"], rtol=1e-9)
    assert sigma[1] == pytest.approx(said["s"][0], rel=1e-10)
    assert reml.loglik == pytest.approx(said["reml"][0], abs=1e-7)
    assert reml.loglik == pytest.approx(said["gls"][0], abs=1e-7)
    ml = bridge.fit(SPEC, data, "ols")
    assert (ml.loglik, ml.aic, ml.bic) == pytest.approx(
        (said["ml"][0], said["aic"][0], said["bic"][0]), abs=1e-7
    )


def test_statsmodels_by_hand() -> None:
    import statsmodels.api as sm

    data = bridge.datasets.load("hsb")
    found = sm.OLS(data["mathach"], sm.add_constant(data[["ses", "sector"]])).fit()
    result = bridge.fit(
        ModelSpec("mathach ~ ses + sector"), data, "ols", method="REML"
    ).estimates.iloc[:3]
    np.testing.assert_allclose(result["estimate"].astype(float), found.params, rtol=1e-10)
    np.testing.assert_allclose(result["se"].astype(float), found.bse, rtol=1e-10)
    limits = result[["lower", "upper"]].astype(float)
    np.testing.assert_allclose(limits, found.conf_int(), rtol=1e-9)
