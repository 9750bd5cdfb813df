"""R in its child process: what crosses the border unchanged, and what each script returns."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, optimize, stats

from bridge import errors
from bridge.engines.frame import Column, frame_from_pandas
from bridge.engines.worker import Worker
from bridge.resources import path

pytestmark = pytest.mark.r


@pytest.fixture(scope="module")
def r() -> Iterator[Worker]:
    worker = Worker("bridge.engines.r_worker", "R")
    yield worker
    worker.close()


def call(r: Worker, code: str, frame: pd.DataFrame | None = None) -> Any:
    value = [] if frame is None else frame_from_pandas(frame)
    return r.call("call", {"code": code, "value": value})["answer"]


def fit(r: Worker, script: str, native: str, data: pd.DataFrame, **plan: Any) -> dict[str, Any]:
    function = plan.pop("function", f"fit_{script}")
    payload = {"script": script, "function": function, "frame": frame_from_pandas(data)}
    return r.call("fit", payload | {"plan": {"native": native, **plan}})


# --- what crosses ---------------------------------------------------------------------


def test_arrays_keep_every_cell_in_its_place(r: Worker) -> None:
    code = """function(data) {
      a <- outer(outer(1:3 * 1e6, 1:3 * 1e4, "+"), 1:1000, "+")
      list(a = a, i = array(as.integer(a), dim(a)), l = a[, , 1] > 2e6 + 1e4, v = a[1, 1, ])
    }"""
    got = call(r, code)
    i, j, k = np.meshgrid(range(1, 4), range(1, 4), range(1, 1001), indexing="ij")
    expected = i * 1e6 + j * 1e4 + k
    assert got["a"].dtype == np.float64
    assert np.array_equal(got["a"], expected)
    assert got["i"].dtype == np.int32
    assert np.array_equal(got["i"], expected)
    assert got["l"].dtype == bool
    assert np.array_equal(got["l"], expected[..., 0] > 2e6 + 1e4)
    assert np.array_equal(got["v"], expected[0, 0])


def test_doubles_are_exact_both_ways(r: Worker) -> None:
    sent = np.array([0.1, 1e-310, -1.7976931348623157e308, np.pi, np.inf, -0.0, 2.0**53 + 2])
    got = call(r, "function(data) data$x", pd.DataFrame({"x": sent}))
    assert got.tobytes() == sent.tobytes()
    numbers = [0.1, 1 / 3, 1e-300, np.nextafter(1.0, 2.0), 123456789.12345679]
    plan = pd.DataFrame({"json": [json.dumps(numbers)]})
    code = "function(data) jsonlite::parse_json(levels(data$json), simplifyVector = TRUE)"
    assert call(r, code, plan).tolist() == numbers


def test_missing_values_of_every_kind(r: Worker) -> None:
    frame = pd.DataFrame(
        {
            "i": pd.array([-(2**31) + 1, None, 2**31 - 1], dtype="Int64"),
            "x": [1.5, np.nan, 2.5],
            "f": pd.Categorical(["b", None, "a"], categories=["b", "a"]),
        }
    )
    got = call(r, "function(data) c(as.list(data), list(na = sapply(data, anyNA)))", frame)
    assert got["i"].tolist() == [-(2**31) + 1, None, 2**31 - 1]
    assert np.array_equal(got["x"], [1.5, np.nan, 2.5], equal_nan=True)
    assert got["f"] == ["b", None, "a"]
    assert got["na"].tolist() == [True, True, True]
    code = "function(data) list(i = c(NA, 1L), l = c(TRUE, NA), s = c('a', NA), x = c(1, NA))"
    got = call(r, code)
    assert got["i"].tolist() == [None, 1]
    assert got["l"].tolist() == [True, None]
    assert got["s"] == ["a", None]
    assert np.array_equal(got["x"], [1, np.nan], equal_nan=True)


def test_kinds_of_columns_in_r(r: Worker) -> None:
    frame = pd.DataFrame({"b": [True, False], "i": [1, 2], "big": [2**31, 0], "s": ["y", "x"]})
    code = "function(data) c(lapply(data, class), list(levels = levels(data$b), n = dim(data)))"
    got = call(r, code, frame)
    assert [got[name] for name in frame] == [["factor"], ["integer"], ["numeric"], ["factor"]]
    assert got["levels"] == ["False", "True"]
    assert got["n"].tolist() == [2, 4]


def test_labels_and_unused_levels_survive(r: Worker) -> None:
    labels = ["é", "01", "1", "1.0", "NA", "", " ", "日本", "a\nb", "'\"\\", "unused"]
    frame = pd.DataFrame({"f": pd.Categorical(labels[:-1][::-1], categories=labels)})
    code = "function(data) list(as.character(data$f), levels(data$f), as.integer(data$f))"
    values, levels, codes = call(r, code, frame)
    assert values == labels[:-1][::-1]
    assert levels == labels
    assert codes.tolist() == list(range(10, 0, -1))


def test_labels_survive_in_the_plainest_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C")
    worker = Worker("bridge.engines.r_worker", "R")
    heard: list[str] = []
    try:
        payload = {
            "code": "function(data) { cat('\u00e9\\n'); c(data$s, toupper('\u00e9')) }",
            "value": [Column("s", "factor", np.array([0], dtype=np.int32), ("é",))],
        }
        code = payload["code"].replace("data$s,", "as.character(data$s),")
        got = worker.call("call", payload | {"code": code}, on_output=heard.append)
    finally:
        worker.close()
    assert got["answer"] == ["é", "É"]
    assert heard == ["é"]


def test_lists_scalars_and_nothing(r: Worker) -> None:
    code = """function(data) list(
      one = one(2.5), text = one("a"), none = NULL, vector = 2.5, empty = numeric(),
      matrix = matrix(0, 0, 3), plain = list(1, "a", NULL), nothing = list(),
      nested = list(z = list(y = 1L), a = TRUE))"""
    got = call(r, code)
    assert list(got)[-1] == "nested"
    assert (got["one"], got["text"], got["none"]) == (2.5, "a", None)
    assert type(got["one"]) is float
    assert got["vector"].shape == (1,)
    assert got["empty"].shape == (0,)
    assert got["matrix"].shape == (0, 3)
    assert got["plain"][1:] == [["a"], None]
    assert got["nothing"] == []
    assert list(got["nested"]) == ["z", "a"]


def test_what_has_no_form_is_refused(r: Worker) -> None:
    with pytest.raises(errors.EngineFailed, match="R returned a function, which has no form"):
        call(r, "function(data) list(f = mean)")
    with pytest.raises(errors.EngineFailed, match="names are not whole: \\['a', ''\\]"):
        call(r, "function(data) list(a = 1, 2)")


def test_dates_are_refused_by_name() -> None:
    with pytest.raises(errors.ColumnTypeError, match="Column 'born' holds dates"):
        frame_from_pandas(pd.DataFrame({"born": pd.to_datetime(["2001-01-01"])}))


# --- what goes wrong -------------------------------------------------------------------


def test_warnings_and_messages_are_kept(r: Worker) -> None:
    code = "function(data) { warning('beware'); message('by the way'); warning('twice'); 1 }"
    heard: list[str] = []
    got = r.call("call", {"code": code, "value": []}, on_output=heard.append)
    assert got["warnings"] == ["beware", "twice"]
    assert got["messages"] == ["by the way"]
    assert heard == ["by the way"]


def test_an_error_has_r_s_own_words_and_the_last_output(r: Worker) -> None:
    code = "function(data) { cat('step 1\\n'); cat('step 2\\n'); log('a') }"
    with pytest.raises(errors.EngineFailed) as caught:
        call(r, code)
    assert str(caught.value) == (
        'R stopped: non-numeric argument to mathematical function (in log("a"))'
        "\nIts last words:\nstep 1\nstep 2"
    )
    assert call(r, "function(data) one(1)") == 1


def test_a_missing_package_names_the_command(r: Worker) -> None:
    with pytest.raises(errors.EngineNotInstalled, match="apt-get install r-cran-nosuch"):
        call(r, "function(data) need('noSuch')")


def test_a_missing_r_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R_HOME", "/nowhere")
    worker = Worker("bridge.engines.r_worker", "R")
    try:
        with pytest.raises(errors.EngineNotInstalled, match="apt-get install r-base-core"):
            worker.call("versions", {})
    finally:
        worker.close()


def test_versions_come_without_loading_packages(r: Worker) -> None:
    got = r.call("versions", {})
    assert got["R"][0].isdigit()
    assert {"lme4", "nlme", "brms", "rstan", "rpy2"} <= set(got)
    assert call(r, "function(data) versions('noSuch')") == {"R": got["R"], "noSuch": None}
    fresh = Worker("bridge.engines.r_worker", "R")
    fresh.call("versions", {})
    loaded = call(fresh, "function(data) loadedNamespaces()")
    fresh.close()
    assert "base" in loaded
    assert not {"brms", "rstan", "lme4", "nlme"} & set(loaded)


def test_a_kill_in_mid_call_and_the_next_call(r: Worker) -> None:
    call(r, "function(data) NULL")
    first = r.pid
    assert first is not None
    threading.Timer(0.5, os.kill, (first, signal.SIGKILL)).start()
    with pytest.raises(errors.EngineFailed, match="R was ended by SIGKILL during 'call'"):
        call(r, "function(data) { cat('working\\n'); Sys.sleep(60) }")
    assert call(r, "function(data) one(1 + 1)") == 2
    assert r.pid != first


def test_a_limit_ends_r_and_what_it_started(r: Worker) -> None:
    code = """function(data) {
      cl <- parallel::makeCluster(1L, outfile = "")
      cat(parallel::clusterCall(cl, Sys.getpid)[[1]], "\\n")
      parallel::clusterCall(cl, Sys.sleep, 60)
    }"""
    heard: list[str] = []
    with pytest.raises(errors.EngineTimeout, match="R was stopped after 5 seconds"):
        r.call("call", {"code": code, "value": []}, timeout=5, on_output=heard.append)
    helper = next(int(line) for line in heard if line.strip().isdigit())
    time.sleep(0.5)
    state = Path(f"/proc/{helper}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
    assert call(r, "function(data) one(1 + 1)") == 2


# --- the scripts -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """30 groups of 3 to 12, two effects on the mean, log SD 0.2 + 0.3 x."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(30), rng.integers(3, 13, 30))
    x = rng.normal(size=len(group))
    u = rng.multivariate_normal([0, 0], [[1.0, 0.3], [0.3, 0.5]], 30)[group]
    y = 2 + x + u[:, 0] + u[:, 1] * x + rng.normal(size=len(group)) * np.exp(0.2 + 0.3 * x)
    labels = [f"gruppe é {i:02d}" for i in group]
    f = pd.Categorical(np.where(rng.random(len(group)) < 0.4, "m", "f"), categories=["f", "m"])
    frame = pd.DataFrame({"y": y, "x": x, "f": f, "g": labels, "one": 1.0})
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def loglik(data: pd.DataFrame, cov: np.ndarray, log_sd: np.ndarray, z: np.ndarray) -> float:
    """Log-likelihood of y ~ x, profiled over the fixed effects; groups as blocks."""
    x = np.column_stack([np.ones(len(data)), data.x])
    a, b, rest = np.zeros((2, 2)), np.zeros(2), 0.0
    for rows in data.groupby("g").indices.values():
        v = z[rows] @ cov @ z[rows].T + np.diag(np.exp(2 * log_sd[rows]))
        half = linalg.cholesky(v, lower=True)
        xw = linalg.solve_triangular(half, x[rows], lower=True)
        yw = linalg.solve_triangular(half, data.y.to_numpy()[rows], lower=True)
        a, b = a + xw.T @ xw, b + xw.T @ yw
        rest += yw @ yw + 2 * np.log(np.diag(half)).sum() + len(rows) * np.log(2 * np.pi)
    return float(-0.5 * (rest - b @ np.linalg.solve(a, b)))


def absolute_cov(pars: np.ndarray, q: int) -> np.ndarray:
    """Covariance from log SDs and 2 atanh of (1,2), (1,3), ..., (2,3), ..."""
    rho = np.eye(q)
    upper = np.triu_indices(q, 1)
    rho[upper] = np.tanh(pars[q : q + len(upper[0])] / 2)
    rho = rho + rho.T - np.eye(q)
    return rho * np.exp(pars[:q, None] + pars[None, :q])


def test_lme4_equals_the_direct_call(r: Worker, data: pd.DataFrame) -> None:
    native = "lmer(y ~ 1 + x + (1 + x | g), data = data, REML = FALSE)"
    got = fit(r, "lme4", native, data)
    direct = f"""function(data) {{
      fit <- lme4::{native}
      list(fixef = lme4::fixef(fit), vcov = as.matrix(vcov(fit)),
        sd = lme4::VarCorr(fit)$g[1:2, 1:2], u = as.matrix(lme4::ranef(fit)$g),
        loglik = one(as.numeric(logLik(fit))))
    }}"""
    own = call(r, direct, data)
    assert np.array_equal(got["fixef"], own["fixef"])
    assert np.array_equal(got["fixef_vcov"], own["vcov"])
    assert np.array_equal(got["covariance"][0], own["sd"])
    assert np.array_equal(got["effects"][0], own["u"])
    assert got["loglik"] == own["loglik"]
    assert got["levels"] == [sorted(set(data.g))]
    assert np.array_equal(got["Z"][0], np.column_stack([np.ones(len(data)), data.x]))
    sd = np.full(len(data), np.log(got["sigma"]))
    assert loglik(data, got["covariance"][0], sd, got["Z"][0]) == pytest.approx(got["loglik"])
    assert (got["converged"], got["singular"], got["df"]) == (True, False, 6)


def test_lme4_splits_uncorrelated_terms(r: Worker, data: pd.DataFrame) -> None:
    got = fit(r, "lme4", "lmer(y ~ 1 + x + (1 + x || g), data = data, REML = FALSE)", data)
    assert [z.shape[1] for z in got["Z"]] == [1, 1]
    assert np.array_equal(got["Z"][1][:, 0], data.x)
    cov = linalg.block_diag(*got["covariance"])
    log_sd = np.full(len(data), np.log(got["sigma"]))
    assert loglik(data, cov, log_sd, np.hstack(got["Z"])) == pytest.approx(got["loglik"])
    rows = data.groupby("g").indices["gruppe é 03"]
    place = got["levels"][0].index("gruppe é 03")
    z, x = np.hstack(got["Z"])[rows], got["X"][rows]
    precision = np.linalg.inv(cov) + z.T @ z / got["sigma"] ** 2
    rest = data.y.to_numpy()[rows] - x @ got["fixef"]
    u = np.linalg.solve(precision, z.T @ rest) / got["sigma"] ** 2
    assert [e[place, 0] for e in got["effects"]] == pytest.approx(u, rel=1e-6)
    spread = np.diag(np.linalg.inv(precision))
    assert [c[0, 0, place] for c in got["effects_cov"]] == pytest.approx(spread, rel=1e-6)


NLME = 'lme(y ~ 1 + x, data = data, method = "ML", {}control = lmeControl(.relStep = 1e-4))'
APVAR = {
    "formula": ("random = ~ 1 + x | g, ", 2, None),
    "pdSymm": ("random = list(g = pdSymm(~ 1 + x)), ", 2, None),
    "pdDiag": ("random = list(g = pdDiag(~ 1 + x)), ", 2, [0, 1]),
    "pdBlocked": ("random = list(g = pdBlocked(list(pdSymm(~ 1), pdIdent(~ 0 + x)))), ", 2, [0, 1]),
}


@pytest.mark.parametrize("weights", ["", "weights = varExp(form = ~ x), "])
@pytest.mark.parametrize("random", APVAR)
def test_nlme_s_apvar_is_on_the_scales_that_are_said(
    r: Worker, data: pd.DataFrame, random: str, weights: str
) -> None:
    words, q, diagonal = APVAR[random]
    got = fit(r, "nlme", NLME.format(words + weights), data)
    z = np.column_stack([np.ones(len(data)), data.x])
    assert np.allclose(np.hstack(got["Z"]), z)

    def density(pars: np.ndarray) -> float:
        cov = absolute_cov(pars, q) if diagonal is None else np.diag(np.exp(2 * pars[diagonal]))
        slope = pars[-2] * data.x.to_numpy() if weights else 0.0
        return loglik(data, cov, pars[-1] + slope + np.zeros(len(data)), z)

    pars = got["apvar_pars"]
    assert density(pars) == pytest.approx(got["loglik"], rel=1e-9)
    hessian = -second_derivatives(density, pars)
    assert got["apvar"] == pytest.approx(np.linalg.inv(hessian), rel=0.01, abs=1e-5)


def second_derivatives(f: Any, at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    steps = np.eye(len(at)) * step
    gradient = [
        (
            optimize.approx_fprime(at + s, f, step / 10)
            - optimize.approx_fprime(at - s, f, step / 10)
        )
        for s in steps
    ]
    hessian = np.array(gradient) / (2 * step)
    return (hessian + hessian.T) / 2


def test_nlme_s_variance_functions(r: Worker, data: pd.DataFrame) -> None:
    first = data.sort_values("g", kind="stable").f.iloc[0]  # nlme sorts by group beforehand
    assert first != data.f[0]  # else the test could not tell
    words = "random = ~ 1 | g, weights = varComb(varIdent(form = ~ 1 | f), varExp(form = ~ x)), "
    got = fit(r, "nlme", NLME.format(words), data)
    ident, slope = got["variance_coef"]
    assert (ident["class"], slope["class"], slope["groups"]) == ("varIdent", "varExp", None)
    assert ident["groups"] == [first, "m" if first == "f" else "f"]
    log_sd = np.log(got["sigma"]) + slope["coef"] * data.x + ident["coef"] * (data.f != first)
    z = np.ones((len(data), 1))
    value = loglik(data, got["covariance"][0], log_sd.to_numpy(), z)
    assert value == pytest.approx(got["loglik"], rel=1e-9)
    pars = np.concatenate([ident["coef"], slope["coef"], [np.log(got["sigma"])]])
    assert got["apvar_pars"][1:] == pytest.approx(pars)


def test_nlme_with_sigma_fixed(r: Worker, data: pd.DataFrame) -> None:
    native = (
        'lme(y ~ 1 + x, data = data, random = ~ 1 | g, method = "ML", weights = '
        "varComb(varExp(form = ~ one), varExp(form = ~ x)), control = lmeControl(sigma = {}))"
    )
    got = fit(r, "nlme", native.format(1), data)
    free = fit(r, "nlme", NLME.format("random = ~ 1 | g, weights = varExp(form = ~ x), "), data)
    assert got["loglik"] == pytest.approx(free["loglik"], abs=1e-4)
    assert got["variance_coef"][0]["coef"][0] == pytest.approx(np.log(free["sigma"]), abs=1e-3)
    assert got["apvar"] is None
    assert "wrong when sigma is fixed" in got["apvar_message"][0]
    with pytest.raises(errors.EngineFailed, match="right only for sigma fixed at 1"):
        fit(r, "nlme", native.format(2), data)


def test_effects_of_nlme_follow_their_levels(r: Worker, data: pd.DataFrame) -> None:
    got = fit(r, "nlme", NLME.format("random = ~ 1 + x | g, "), data)
    other = fit(r, "lme4", "lmer(y ~ 1 + x + (1 + x | g), data = data, REML = FALSE)", data)
    assert got["levels"] == other["levels"][0]
    assert got["effects"][0] == pytest.approx(other["effects"][0], abs=2e-3)


BRMS = (
    "brm(bf(y ~ 1 + x + (1 + x | s | g), center = FALSE) + "
    "lf(sigma ~ 1 + x + (1 | s | g), center = FALSE), data = data, "
    "chains = 2, cores = 2, iter = 300, warmup = 200, seed = 3)"
)


@pytest.fixture(scope="module")
def brms(r: Worker, data: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    payload = {"script": "brms", "function": "fit_brms", "plan": {"native": BRMS}}
    frame = {"frame": frame_from_pandas(data)}
    return r.call("fit", payload | frame, on_output=lines.append), lines


def density(data: pd.DataFrame, point: dict[str, np.ndarray], mad: float) -> float:
    """Log density of BRMS's model at a point in Stan's parameters; no Jacobian, no constants."""
    g = np.unique(data.g, return_inverse=True)[1]
    u = (np.diag(point["sd_1"]) @ point["L_1"] @ point["z_1"]).T[g]
    x = np.column_stack([np.ones(len(data)), data.x])
    mean = x @ point["b"] + u[:, 0] + u[:, 1] * data.x
    log_sd = x @ point["b_sigma"] + u[:, 2]
    value = stats.norm.logpdf(data.y, mean, np.exp(log_sd)).sum()
    value += stats.norm.logpdf(point["z_1"]).sum() + stats.t.logpdf(point["sd_1"] / mad, 3).sum()
    return float(value + np.log(np.diag(point["L_1"])) @ [2, 1, 0])  # LKJ(1) on the factor


def prior_scale(data: pd.DataFrame) -> float:
    return max(2.5, round(stats.median_abs_deviation(data.y, scale="normal"), 1))


def test_brms_draws_reproduce_the_sampler_s_own_density(
    brms: tuple[dict[str, Any], list[str]], data: pd.DataFrame
) -> None:
    got, _ = brms
    assert got["b"].shape == got["b_sigma"].shape == (2, 100, 2)
    assert got["effects"][0].shape == (2, 100, 30, 3)
    assert got["pairs"][0].tolist() == [[1, 2], [1, 3], [2, 3]]
    assert got["levels"] == [sorted(set(data.g))]
    differences = []
    for chain, draw in [(0, 0), (0, 57), (1, 3), (1, 99)]:
        at = chain, draw
        rho = np.eye(3)
        for (a, b), value in zip(got["pairs"][0] - 1, got["cor"][0][at], strict=True):
            rho[a, b] = rho[b, a] = value
        half, sd = np.linalg.cholesky(rho), got["sd"][0][at]
        z = np.linalg.solve(np.diag(sd) @ half, got["effects"][0][at].T)
        point = {"b": got["b"][at], "b_sigma": got["b_sigma"][at], "sd_1": sd}
        value = density(data, point | {"L_1": half, "z_1": z}, prior_scale(data))
        differences.append(got["sampler"]["lp"][at] - value - np.log(sd).sum() - jacobian(half))
    assert np.ptp(differences) < 1e-6


def jacobian(half: np.ndarray) -> float:
    """Log Jacobian of Stan's transformation to a Cholesky factor of a correlation matrix."""
    total = 0.0
    for i in range(1, len(half)):
        left = 1.0
        for j in range(i):
            partial = half[i, j] / np.sqrt(left)
            total += np.log1p(-(partial**2)) + 0.5 * np.log(left)
            left -= half[i, j] ** 2
    return total


def test_brms_equals_the_direct_call(
    r: Worker, brms: tuple[dict[str, Any], list[str]], data: pd.DataFrame
) -> None:
    got, _ = brms
    code = f"""function(data) {{
      suppressPackageStartupMessages(library(brms))
      draws <- as.array({BRMS})
      take <- function(name) t(draws[, , name])
      list(x = take("b_x"), sd = take("sd_g__sigma_Intercept"),
        cor = take("cor_g__x__sigma_Intercept"), u = take("r_g[gruppe.\u00e9.04,x]"),
        v = take("r_g__sigma[gruppe.\u00e9.04,Intercept]"))
    }}"""
    own = call(r, code, data)
    assert np.array_equal(got["b"][..., 1], own["x"])
    assert np.array_equal(got["sd"][0][..., 2], own["sd"])
    assert np.array_equal(got["cor"][0][..., 2], own["cor"])
    place = got["levels"][0].index("gruppe é 04")
    assert np.array_equal(got["effects"][0][:, :, place, 1], own["u"])
    assert np.array_equal(got["effects"][0][:, :, place, 2], own["v"])


def test_brms_returns_what_it_was_given(
    brms: tuple[dict[str, Any], list[str]], data: pd.DataFrame
) -> None:
    got, lines = brms
    x = np.column_stack([np.ones(len(data)), data.x])
    assert np.array_equal(got["X"], x)
    assert np.array_equal(got["X_sigma"], x)
    assert np.array_equal(np.transpose(got["Z"][0]), np.column_stack([x, np.ones(len(data))]))
    assert got["blocks"]["dpar"] == ["", "", "sigma"]
    assert got["blocks"]["id"].tolist() == [1, 1, 1]
    assert (got["chains"], got["warmup"], got["draws"], got["df"]) == (2, 200, 100, None)
    assert {name: a.shape for name, a in got["sampler"].items()} == dict.fromkeys(
        ["divergent", "treedepth", "energy", "accept_stat", "stepsize", "n_leapfrog", "lp"],
        (2, 100),
    )
    assert got["elapsed"].shape == (2, 2)
    assert "cholesky_factor_corr[M_1] L_1" in got["stancode"]
    assert f"student_t(3, 0, {prior_scale(data)})" in got["priors"]["prior"]
    # both chains at once, and no line torn by the other's
    for chain in (1, 2):
        assert f"Chain {chain}: Iteration: 300 / 300 [100%]  (Sampling)" in lines
    told = [line for line in lines if "Iteration:" in line]
    assert all(
        re.fullmatch(r"Chain [12]: Iteration: +\d+ / 300 \[ *\d+%\]  \(\w+\)", t) for t in told
    )


def test_brms_density_without_sampling(r: Worker, data: pd.DataFrame) -> None:
    rng = np.random.default_rng(5)
    points = []
    for _ in range(5):
        spread = np.cov(rng.normal(size=(3, 9)))
        half = np.linalg.cholesky(spread / np.sqrt(np.outer(np.diag(spread), np.diag(spread))))
        point = {"b": rng.normal(size=2), "b_sigma": rng.normal(size=2) / 4, "L_1": half}
        points.append(point | {"sd_1": rng.uniform(0.2, 1, 3), "z_1": rng.normal(size=(3, 30))})
    sent = [{name: value.tolist() for name, value in point.items()} for point in points]
    got = fit(r, "brms", BRMS, data, function="density_brms", points=sent)
    ours = [density(data, point, prior_scale(data)) for point in points]
    assert np.ptp(got["log_density"] - ours) < 1e-7


@pytest.mark.slow
def test_brms_with_student_effects_in_two_blocks(r: Worker, data: pd.DataFrame) -> None:
    native = (
        'brm(bf(y ~ 1 + x + (1 + x || gr(g, dist = "student")), center = FALSE) + '
        'lf(sigma ~ 1 + (1 | gr(g, dist = "student")), center = FALSE), data = data, '
        "chains = 1, iter = 200, warmup = 150, seed = 3, refresh = 0)"
    )
    got = fit(r, "brms", native, data)
    assert got["df"].shape == (1, 50)
    assert (got["df"] > 1).all()
    assert [sd.shape for sd in got["sd"]] == [(1, 50, 2), (1, 50, 1)]
    assert [cor.shape for cor in got["cor"]] == [(1, 50, 0), (1, 50, 0)]
    assert [e.shape for e in got["effects"]] == [(1, 50, 30, 2), (1, 50, 30, 1)]
    assert got["b_sigma"].shape == (1, 50, 1)
    assert np.array_equal(got["X_sigma"], np.ones((len(data), 1)))


PLAIN = """
source("common.R"); source("{script}.R")
data <- read.csv("{file}", encoding = "UTF-8"); data$g <- factor(data$g)
result <- {function}(list(native = {native}), data)
cat(sprintf("%.10g", result${shown}), sep = "\\n")
"""


@pytest.mark.parametrize(
    ("script", "native", "shown"),
    [
        ("lme4", "lmer(y ~ 1 + x + (1 | g), data = data, REML = FALSE)", "loglik"),
        ("nlme", 'lme(y ~ 1 + x, data = data, random = ~ 1 | g, method = \\"ML\\")', "loglik"),
        pytest.param("brms", BRMS.replace("2,", "1,"), "b[1, 1, ]", marks=pytest.mark.slow),
    ],
)
def test_scripts_run_under_plain_rscript(
    r: Worker, data: pd.DataFrame, tmp_path: Path, script: str, native: str, shown: str
) -> None:
    data.to_csv(tmp_path / "data.csv", index=False, float_format="%.17g")
    text = PLAIN.format(
        script=script,
        file=tmp_path / "data.csv",
        function=f"fit_{script}",
        native=f'"{native}"',
        shown=shown,
    )
    (tmp_path / "plain.R").write_text(text)
    run = subprocess.run(
        ["Rscript", str(tmp_path / "plain.R")],
        cwd=path("r_scripts"),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    got = fit(r, script, native.replace('\\"', '"'), data)
    expected = got["b"][0, 0] if script == "brms" else [got["loglik"]]
    said = [float(line) for line in run.stdout.split("\n")[-1 - len(expected) : -1]]
    assert said == pytest.approx(list(expected), rel=1e-8)
