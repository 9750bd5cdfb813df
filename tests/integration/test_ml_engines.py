"""lme4 and nlme through bridge against the same models written by hand and run by Rscript.

The calls of R below are not made by bridge: each is what a user of R would type for the model,
and delta is worked out by hand from nlme's ratios of SDs and exponents. Both sides optimise the
same function from the same start, so that they agree to rounding and not just to convergence.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bridge
from bridge.design import make_design
from bridge.likelihood import marginal_loglik
from bridge.result import Result

# pytest's importlib mode leaves a test's own folder out of the path
sys.path.insert(0, str(Path(__file__).parent))
import direct_r

pytestmark = pytest.mark.r

EXACT = 1e-8  # relative: the same optimisation on both sides
# Another road to the top stops elsewhere on it: within 1e-5 of the log-likelihood an estimate is
# within sqrt(2e-5) standard errors.
TOP = 1e-5
NEAR = 0.0045


@dataclass(frozen=True)
class Case:
    """A model as bridge is asked for it, and as R is, by hand.

    ``lmer`` and ``lme`` are arguments of these functions, data and method aside; ``gamma`` and
    ``effects`` are our labels for R's names; ``delta`` is R that makes our delta of the fit ``f``,
    of ``v``, its variance structure, and of ``s2``, its log level-1 variance of the reference.
    """

    data: str
    mean: str
    gamma: dict[str, str]
    lme: str
    variance: str = "~ 1"
    lmer: str = ""
    delta: str = "list(Intercept = s2)"
    effects: dict[str, str] = field(default_factory=lambda: {"(Intercept)": "Intercept"})

    @property
    def spec(self) -> bridge.ModelSpec:
        return bridge.ModelSpec(self.mean, self.variance)


SES = {"(Intercept)": "Intercept", "ses": "ses"}
INTAKE = {"(Intercept)": "Intercept", "standlrt": "standlrt"}
VR = {"(Intercept)": "Intercept", "vrmid": "vr[mid]", "vrtop": "vr[top]"}
DEVIATION = "I(ses - meanses)"
RI = "random = ~ 1 | school"
# log variances by level, from ratios of SDs to that of the first level in the data
LEVELS = "l <- s2 + 2 * log(coef(v, unconstrained = FALSE, allCoef = TRUE)); "

CASES = {
    "random intercept": Case(
        "hsb",
        "mathach ~ 1 + ses + (1 | school)",
        SES,
        lmer="mathach ~ 1 + ses + (1 | school)",
        lme=f"mathach ~ 1 + ses, {RI}",
    ),
    "random slope": Case(
        "hsb",
        "mathach ~ 1 + ses + (1 + ses | school)",
        SES,
        lmer="mathach ~ 1 + ses + (1 + ses | school)",
        lme="mathach ~ 1 + ses, random = ~ 1 + ses | school",
        effects=SES,
    ),
    "independent slope": Case(
        "exam",
        "normexam ~ 1 + standlrt + (1 + standlrt || school)",
        INTAKE,
        lmer="normexam ~ 1 + standlrt + (1 | school) + (0 + standlrt | school)",
        lme="normexam ~ 1 + standlrt, random = list(school = pdDiag(~ standlrt))",
        effects=INTAKE,
    ),
    "independent slope of a factor": Case(
        "hsb",
        "mathach ~ 1 + minor + (1 + minor || school)",
        {"(Intercept)": "Intercept", "minoryes": "minor[yes]"},
        lmer="mathach ~ 1 + minor + (1 | school) + (0 + minority | school)",
        lme="mathach ~ 1 + minor, random = list(school = pdDiag(~ minority))",
        effects={"(Intercept)": "Intercept", "minority": "minor[yes]"},
    ),
    "factors": Case(
        "exam",
        "normexam ~ 1 + vr + schgend + (1 | school)",
        VR | {"schgendgirls": "schgend[girls]", "schgendmixed": "schgend[mixed]"},
        lmer="normexam ~ vr + schgend + (1 | school)",
        lme=f"normexam ~ vr + schgend, {RI}",
    ),
    "factor by slope": Case(
        "hsb",
        f"mathach ~ sect * {DEVIATION} + meanses + (1 + {DEVIATION} | school)",
        {
            "(Intercept)": "Intercept",
            "sectPublic": "sect[Public]",
            DEVIATION: DEVIATION,
            "meanses": "meanses",
            f"sectPublic:{DEVIATION}": f"sect[Public]:{DEVIATION}",
        },
        lmer=f"mathach ~ sect * {DEVIATION} + meanses + (1 + {DEVIATION} | school)",
        lme=f"mathach ~ sect * {DEVIATION} + meanses, random = ~ 1 + {DEVIATION} | school",
        effects={"(Intercept)": "Intercept", DEVIATION: DEVIATION},
    ),
    "variance with a covariate": Case(
        "hsb",
        "mathach ~ 1 + ses + (1 + ses | school)",
        SES,
        variance="~ 1 + ses",
        lme="mathach ~ 1 + ses, random = ~ 1 + ses | school, weights = varExp(form = ~ ses)",
        delta="list(Intercept = s2, ses = 2 * coef(v)[[1]])",
        effects=SES,
    ),
    "variance with transforms": Case(
        "hsb",
        "mathach ~ 1 + ses + (1 | school)",
        SES,
        variance="~ 1 + ses + I(ses^2) + log(size)",
        lme=f"mathach ~ 1 + ses, {RI}, weights = varComb(varExp(form = ~ ses), "
        "varExp(form = ~ I(ses^2)), varExp(form = ~ log(size)))",
        delta="list(Intercept = s2, ses = 2 * coef(v[[1]])[[1]], "
        "`I(ses^2)` = 2 * coef(v[[2]])[[1]], `log(size)` = 2 * coef(v[[3]])[[1]])",
    ),
    "variance by factor": Case(
        "exam",
        "normexam ~ 1 + standlrt + (1 | school)",
        INTAKE,
        variance="~ 1 + vr",
        lme=f"normexam ~ 1 + standlrt, {RI}, weights = varIdent(form = ~ 1 | vr)",
        delta=LEVELS + "list(Intercept = l[['bottom']], `vr[mid]` = l[['mid']] - l[['bottom']], "
        "`vr[top]` = l[['top']] - l[['bottom']])",
    ),
    "variance by factor, no intercept": Case(
        "hsb",
        "mathach ~ 1 + ses + (1 | school)",
        SES,
        variance="~ 0 + sect",
        lme=f"mathach ~ 1 + ses, {RI}, weights = varIdent(form = ~ 1 | sect)",
        delta=LEVELS + "list(`sect[Catholic]` = l[['Catholic']], `sect[Public]` = l[['Public']])",
    ),
    "variance by factor and covariate": Case(
        "hsb",
        "mathach ~ 1 + ses + (1 | school)",
        SES,
        variance="~ 1 + sect * ses",
        lme=f"mathach ~ 1 + ses, {RI}, weights = varComb(varIdent(form = ~ 1 | sect), "
        "varExp(form = ~ ses), varExp(form = ~ I(ses * (sect == 'Public'))))",
        delta="r <- 2 * log(coef(v[[1]], unconstrained = FALSE, allCoef = TRUE)); "
        "list(Intercept = s2 + r[['Catholic']], `sect[Public]` = r[['Public']] - r[['Catholic']], "
        "ses = 2 * coef(v[[2]])[[1]], `sect[Public]:ses` = 2 * coef(v[[3]])[[1]])",
    ),
}
RUNS = [
    (name, engine, method)
    for name, case in CASES.items()
    for engine in ("lme4", "nlme")
    for method in ("ML", "REML")
    if engine == "nlme" or case.lmer
]

SAID = """
said_lme4 <- function(f) {
  blocks <- lme4::VarCorr(f); u <- lme4::ranef(f)$school
  list(gamma = lme4::fixef(f), terms = names(lme4::fixef(f)), cov = as.matrix(vcov(f)),
    loglik = as.numeric(logLik(f)), tau = as.matrix(Matrix::bdiag(blocks)),
    effects = unlist(lapply(blocks, colnames), use.names = FALSE),
    blups = as.matrix(u), columns = names(u), groups = rownames(u),
    delta = list(Intercept = 2 * log(sigma(f))))
}
said_nlme <- function(f, delta) {
  u <- nlme::ranef(f); tau <- nlme::getVarCov(f)
  list(gamma = nlme::fixef(f), terms = names(nlme::fixef(f)), cov = vcov(f),
    loglik = as.numeric(logLik(f)), tau = matrix(tau, nrow(tau)), effects = colnames(tau),
    blups = as.matrix(u), columns = names(u), groups = rownames(u),
    delta = delta(f, f$modelStruct$varStruct, 2 * log(f$sigma)))
}
"""


@cache
def frame(name: str) -> pd.DataFrame:
    """The exam data, or 60 schools of High School and Beyond with factors of text."""
    if name == "exam":
        return bridge.datasets.load("exam")
    data = direct_r.schools(bridge.datasets.load("hsb"), 60)
    data["sect"] = np.where(data["sector"] == 1, "Catholic", "Public")
    data["minor"] = np.where(data["minority"] == 1, "yes", "no")
    assert data["sect"].iloc[0] == "Public"  # nlme's reference, not ours
    return data


@cache
def by_hand(name: str) -> dict[str, Any]:
    """Run a case's own R for both engines and methods."""
    case = CASES[name]
    lines = [SAID, "library(nlme)", f"delta <- function(f, v, s2) {{ {case.delta} }}", "list("]
    for method in ("ML", "REML"):
        lines.append(f'nlme_{method} = said_nlme(lme({case.lme}, data = data, method = "{method}")')
        lines[-1] += ", delta),"
        if case.lmer:
            reml = "TRUE" if method == "REML" else "FALSE"
            lines.append(f"lme4_{method} = said_lme4(lme4::lmer({case.lmer}, data, {reml})),")
    lines.append("done = TRUE)")
    return direct_r.run("\n".join(lines), frame(case.data))


@cache
def by_bridge(name: str, engine: str, method: str) -> Result:
    case = CASES[name]
    return bridge.fit(case.spec, frame(case.data), engine, method=method)


def blups(result: Result) -> pd.DataFrame:
    """Effects by group label and effect."""
    return result.group_effects.pivot(index="group", columns="effect", values="estimate").astype(
        float
    )


def parts(result: Result) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimates of gamma, delta and the level-2 covariance matrix."""
    table = result.estimates
    gamma, delta = (
        table.loc[table["component"] == c, "estimate"].to_numpy(dtype=float)
        for c in ("mean", "variance")
    )
    return gamma, delta, result.covariance().to_numpy()


@pytest.mark.parametrize(("name", "engine", "method"), RUNS)
def test_equals_the_call_by_hand(name: str, engine: str, method: str) -> None:
    case, result = CASES[name], by_bridge(name, engine, method)
    said = by_hand(name)[f"{engine}_{method}"]
    terms = [case.gamma[term] for term in said["terms"]]
    assert sorted(terms) == sorted(case.gamma.values())
    for term, value in zip(terms, said["gamma"], strict=True):
        assert result.estimate(f"gamma[{term}]") == pytest.approx(value, rel=EXACT)
    labels = [f"gamma[{term}]" for term in terms]
    cov = result.parameter_covariance.loc[labels, labels].to_numpy()
    assert_close(cov, said["cov"], np.sqrt(np.outer(*[np.diag(said["cov"])] * 2)))
    assert result.loglik == pytest.approx(said["loglik"][0], rel=EXACT)
    for term, value in said["delta"].items():
        assert result.estimate(f"delta[{term}]") == pytest.approx(value[0], rel=EXACT)
    assert (result.estimates["component"] == "variance").sum() == len(said["delta"])
    effects = [f"u:{case.effects[name]}" for name in said["effects"]]
    tau = result.covariance().loc[effects, effects].to_numpy()
    assert_close(tau, said["tau"], np.sqrt(np.outer(*[np.diag(said["tau"])] * 2)))
    columns = [f"u:{case.effects[name]}" for name in said["columns"]]
    ours = blups(result).loc[said["groups"], columns].to_numpy()
    assert_close(ours, said["blups"], np.abs(said["blups"]).max(axis=0))
    assert len(ours) == result.n_groups == frame(case.data)["school"].nunique()


def assert_close(ours: np.ndarray, theirs: np.ndarray, size: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs((ours - theirs) / size).max() < EXACT


@pytest.mark.parametrize(("name", "engine"), [run[:2] for run in RUNS if run[2] == "ML"])
def test_the_log_likelihood_is_that_of_the_canonical_estimates(name: str, engine: str) -> None:
    case, result = CASES[name], by_bridge(name, engine, "ML")
    design = make_design(case.spec, frame(case.data))
    gamma, delta, tau = parts(result)
    assert marginal_loglik(design, gamma, delta, tau).sum() == pytest.approx(
        result.loglik, abs=1e-6
    )
    moved = delta + np.eye(len(delta))[0] * 0.01  # and it would notice
    assert abs(marginal_loglik(design, gamma, moved, tau).sum() - result.loglik) > 1e-3


@cache
def mixture() -> pd.DataFrame:
    """40 groups with slopes of x and z, two factors whose first level in the data is not theirs."""
    rng = np.random.default_rng(5)
    g = rng.permutation(np.repeat(np.arange(40), 25))
    x, z = rng.normal(size=(2, len(g)))
    f, h = rng.integers(0, 3, len(g)), rng.integers(0, 2, len(g))
    u = rng.multivariate_normal(np.zeros(3), [[1, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.1, 0.5]], 40)
    sigma = np.exp(0.2 + 0.3 * x + 0.2 * f - 0.3 * h)
    y = 1 + x + u[g, 0] + u[g, 1] * x + u[g, 2] * z + rng.normal(size=len(g)) * sigma
    words = np.array(["c", "a", "b"], dtype=object)[f], np.array(["n", "m"], dtype=object)[h]
    return pd.DataFrame({"y": y, "x": x, "z": z, "f": words[0], "h": words[1], "n": f, "g": g})


FIXED = ["0 + x", "f + h", "f * h", "0 + f + x", "0 + x + f", "0 + f:x", "f:x", "0 + f + h",
         "0 + f:h", "poly(x, 2)", "center(x) + scale(z)", "C(n)", "x * h + z",
         "cvar(x, g)"]  # fmt: skip
RANDOM = ["(0 + x | g)", "(0 + x + z || g)", "(1 | a | g) + (0 + x | a | g)", "(0 + h || g)",
          "(1 | g) + (0 + x + z | g)", "(1 + x + z | g)", "(1 + x | g) + (0 + z | g)",
          "(1 + x:h || g)", "(1 | a | g) + (0 + x | b | g) + (0 + z | a | g)"]  # fmt: skip
GRAMMAR = [("nlme", f"y ~ {words} + (1 | g)", f"~ {words}") for words in FIXED]
GRAMMAR += [("nlme", f"y ~ x + {words}", "~ 1 + x + f") for words in RANDOM]
GRAMMAR += [("lme4", f"y ~ x + f * h + {words}", "~ 1") for words in RANDOM]


@pytest.mark.parametrize(("engine", "mean", "variance"), GRAMMAR)
def test_the_whole_grammar_gets_the_likelihood_of_its_own_estimates(
    engine: str, mean: str, variance: str
) -> None:
    spec = bridge.ModelSpec(mean, variance)
    result = bridge.fit(spec, mixture(), engine)
    found = marginal_loglik(make_design(spec, mixture()), *parts(result)).sum()
    assert found == pytest.approx(result.loglik, abs=1e-6)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.lmer])
def test_lme4_and_nlme_agree_without_a_variance_function(name: str, method: str) -> None:
    first, second = (by_bridge(name, engine, method) for engine in ("lme4", "nlme"))
    assert first.loglik == pytest.approx(second.loglik, abs=TOP)
    assert list(first.estimates["parameter"]) == list(second.estimates["parameter"])
    se = second.estimates["se"].to_numpy(dtype=float)
    gap = (first.estimates["estimate"] - second.estimates["estimate"]).to_numpy(dtype=float)
    assert np.abs(gap / se).max() < NEAR
    ours, theirs = blups(first), blups(second)
    assert np.abs((ours - theirs) / theirs.std()).to_numpy().max() < NEAR
    one, two = (r.group_effects["se"].to_numpy(dtype=float) for r in (first, second))
    np.testing.assert_allclose(one, two, rtol=NEAR)


SHUFFLED = [
    ("factor by slope", "lme4"),
    ("factor by slope", "nlme"),
    ("variance by factor", "nlme"),
    ("variance by factor and covariate", "nlme"),
]


@pytest.mark.parametrize(("name", "engine"), SHUFFLED)
def test_the_order_of_rows_changes_nothing(name: str, engine: str) -> None:
    # sums round otherwise, and varIdent takes another reference
    case, first = CASES[name], by_bridge(name, engine, "ML")
    data = frame(case.data).sample(frac=1, random_state=4)
    second = bridge.fit(case.spec, data, engine)
    assert second.loglik == pytest.approx(first.loglik, abs=TOP)
    merged = first.estimates.merge(second.estimates, on="parameter", suffixes=("", " shuffled"))
    assert len(merged) == len(first.estimates)
    gap = (merged["estimate"] - merged["estimate shuffled"]).to_numpy(dtype=float)
    size = merged["se"].fillna(merged["estimate"].abs()).to_numpy(dtype=float)
    assert np.abs(gap / size).max() < NEAR
    ours, theirs = blups(first), blups(second)
    assert np.abs((ours - theirs.loc[ours.index]) / ours.std()).to_numpy().max() < NEAR
    observed = second.idata["observed_data"][case.spec.outcome]
    assert np.array_equal(observed.values, data[case.spec.outcome])
    assert list(observed["obs"].values) == list(data.index)


def observed_information_errors(result: Result, data: pd.DataFrame) -> np.ndarray:
    """Standard errors of (gamma, delta, tau, rho) from second differences of our likelihood.

    Gamma's are those for known variances, as nlme's and lme4's are.
    """
    design = make_design(result.spec, data)
    table = result.estimates
    free = table[~table["parameter"].str.startswith("rho")]
    at, step = (free[c].to_numpy(dtype=float) for c in ("estimate", "se"))
    p, k = len(design.mean.labels), len(design.variance.labels)

    def matrix(tau: np.ndarray) -> np.ndarray:
        full = np.zeros((len(design.effects),) * 2)
        for (a, b), value in zip(design.tau_pairs, tau, strict=True):
            full[a, b] = full[b, a] = value
        return full

    def loglik(x: np.ndarray) -> float:
        return float(marginal_loglik(design, x[:p], x[p : p + k], matrix(x[p + k :])).sum())

    moves = np.diag(0.02 * step)
    hessian = np.array(
        [
            [
                sum(s * t * loglik(at + s * a + t * b) for s in (1, -1) for t in (1, -1))
                / (4 * a.sum() * b.sum())
                for b in moves
            ]
            for a in moves
        ]
    )
    spread = np.linalg.inv(-hessian)
    found = [*np.sqrt(np.diag(np.linalg.inv(-hessian[:p, :p]))), *np.sqrt(np.diag(spread))[p:]]
    for a, b in design.rho_pairs:

        def rho(tau: np.ndarray, a: int = a, b: int = b) -> float:
            T = matrix(tau)
            return float(T[a, b] / np.sqrt(T[a, a] * T[b, b]))

        slope = np.zeros(len(at))
        for i in range(p + k, len(at)):
            move = 1e-4 * moves[i, p + k :]
            tau = at[p + k :]
            slope[i] = (rho(tau + move) - rho(tau - move)) / (2 * move.sum())
        found.append(float(np.sqrt(slope @ spread @ slope)))
    return np.array(found)


@pytest.mark.parametrize("name", CASES)
def test_nlme_s_standard_errors_are_those_of_the_observed_information(name: str) -> None:
    result = by_bridge(name, "nlme", "ML")
    expected = observed_information_errors(result, frame(CASES[name].data))
    np.testing.assert_allclose(result.estimates["se"].to_numpy(dtype=float), expected, rtol=0.02)


def test_a_predictor_far_from_zero_is_warned_of_and_centring_mends_it() -> None:
    data = frame("hsb").assign(far=lambda d: d["ses"] + 30)
    found = {}
    for term in ("ses", "far", "center(far)"):
        spec = bridge.ModelSpec("mathach ~ 1 + ses + (1 | school)", f"~ 1 + {term}")
        result = bridge.fit(spec, data, "nlme")
        rows = result.estimates.set_index("parameter")
        found[term] = float(rows.loc[f"delta[{term}]", "se"])
        warned = any("far from zero" in said for said in result.warnings)
        assert warned == (term == "far")
    assert found["center(far)"] == pytest.approx(found["ses"], rel=0.02)
    # nlme's own differences fail here; the day they do not, the warning can go
    assert found["far"] < 0.8 * found["ses"]


def test_hlm_s_printed_numbers() -> None:
    case = bridge.published("hlm/female")
    data = bridge.datasets.load(case.data)
    result = bridge.fit(bridge.ModelSpec.from_dict(case.spec), data, "nlme")
    rows = result.estimates.set_index("parameter")
    for term in ("delta[Intercept]", "delta[female]"):
        assert float(rows.loc[term, "estimate"]) == pytest.approx(
            case.value(term, "estimate"), abs=1e-3
        )
        assert float(rows.loc[term, "se"]) == pytest.approx(case.value(term, "se"), rel=0.01)
    homogeneous = bridge.fit(result.spec.replace(variance="~ 1"), data, "nlme")
    ratio = homogeneous.deviance - result.deviance
    assert ratio == pytest.approx(case.value("likelihood_ratio", "value"), abs=0.01)
