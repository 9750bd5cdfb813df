"""Simulated London schools: the covariates and outcomes that a paper's printed tables describe.

The data of Leckie, Parker, Goldstein & Tilling (school value-added effects on the mean and
variance of student achievement) cannot be shared. Here 71,321 students in 465 schools are
drawn from what the paper prints; ``validation/data/london.toml`` holds the digits and where
each stands.

Printed:

- the numbers of students and schools, the smallest and largest school (section 5.1);
- how many students or schools are in each category (Tables S1 and S2), met exactly by every
  draw; the counts, not the percentages, four of which disagree with them;
- score11: mean 0 and SD 1 over students, exactly; roughly normal; the mean of the school
  variances 0.83, on average, so that schools differ with variance 0.17 (sections 5.1, 6.4);
- the outcome, given covariates: the estimates of Tables 1 and 2, equations 1 to 3, with
  normal effects and residuals. ``u`` and ``v`` are printed as variances and correlations, v on
  the scale of the log variance; tau's covariances are the correlations times both SDs;
- girls' schools have girls only and boys' schools boys only; grammar schools have high mean
  score11 "by definition" (note to Table S2).

Ours, where print is silent:

- school sizes: quantiles of the triangular distribution with the printed smallest, largest and
  mean, rounded to the printed total; the same sizes in every draw, in another order;
- the 19 grammar schools are those with the highest mean score11 of the draw;
- all else about covariates is independent: the kinds of schools among each other, of size and
  of score11 (grammar schools apart), the students' categories of their schools (girls apart),
  of score11 and of each other. So ethnicity, language, need and free meals do not cluster in
  schools here;
- u and v are independent of all covariates, as the models have it, and score16 is not
  standardised again, as the truth would move. So under Model 3 score16 has an SD of about 0.98
  and a correlation with score11 of about 0.70. Print has 1 and 0.72, which fit together where
  schools with a high mean score11 tend to a high u. There is no floor or ceiling.
"""

from __future__ import annotations

import tomllib
from functools import cache
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, resources
from bridge.errors import OptionError
from bridge.spec import ModelSpec


def spec(model: int = 3) -> ModelSpec:
    """Return the specification of one of the paper's models.

    Parameters
    ----------
    model : int
        1 to 6, as numbered in print (section 5.2).

    Returns
    -------
    ModelSpec
        With the columns of :func:`simulate`.

    Raises
    ------
    bridge.errors.OptionError
        Where there is no such model.
    """
    return ModelSpec.from_dict(_model(model)["spec"])


def truth(model: int = 3) -> dict[str, float]:
    """Return the parameters that a model's outcome is drawn with, under a result's flat names.

    Parameters
    ----------
    model : int
        1 to 6, as numbered in print.

    Returns
    -------
    dict of str to float
        ``gamma[…]`` (SDs of score16), ``delta[…]`` (log variance), ``tau[…]`` (variances and
        covariances, v on the log-variance scale), ``rho[…]`` (correlations). All as printed
        (Tables 1 and 2, posterior means) but tau's covariances: rho times both SDs.

    Raises
    ------
    bridge.errors.OptionError
        Where there is no such model.
    """
    found = _model(model)
    values = {names.flat("gamma", term): value for term, (value, _) in found["gamma"].items()}
    values |= {names.flat("delta", term): value for term, (value, _) in found["delta"].items()}
    effects, tau = covariance(model)
    for a, b in names.pair_indices([0] * len(effects), diagonal=True):
        values[names.flat("tau", names.pair(effects[a], effects[b]))] = float(tau[b, a])
    for pair, (value, _) in found["correlations"].items():
        values[names.flat("rho", pair)] = value
    return values


def covariance(model: int = 3) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the labels of a model's school effects, u before v, and their covariance.

    Parameters
    ----------
    model : int
        1 to 6, as numbered in print.

    Returns
    -------
    effects : tuple of str
        q labels, such as ``u:Intercept``.
    tau : (q, q) array
        Variances and covariances; v on the log-variance scale.

    Raises
    ------
    bridge.errors.OptionError
        Where there is no such model.
    """
    found = _model(model)
    effects = tuple(found["variances"])
    variances = np.array([value for value, _ in found["variances"].values()])
    rho = np.eye(len(effects))
    for a, b in names.pair_indices([0] * len(effects), diagonal=False):
        rho[a, b] = rho[b, a] = found["correlations"][names.pair(effects[a], effects[b])][0]
    tau = rho * np.sqrt(np.outer(variances, variances))
    np.fill_diagonal(tau, variances)  # the printed digits, untouched by a root
    return effects, tau


def simulate(seed: int, model: int = 3) -> pd.DataFrame:
    """Draw students in schools, and their outcome under one of the paper's models.

    Parameters
    ----------
    seed : int
        A whole number, at least 0. Under one version of NumPy the same seed gives the same
        data; models differ in ``score16`` only, and share its standard normal draws.
    model : int
        1 to 6, as numbered in print (section 5.2).

    Returns
    -------
    pandas.DataFrame
        (71321, 13), by school: school (1 to 465), score16, score11, summer_born, girl,
        ethnicity, eal, sen, fsm, school_type, admissions, school_gender, religious. Scores in
        SDs of the paper's scores; 0/1 columns are integers; the others are categories, the
        paper's reference first.

    Raises
    ------
    bridge.errors.OptionError
        Where there is no such model, or the seed is not a whole number of at least 0.
    """
    labels, tau = covariance(model)
    covariates, schools, students = _streams(seed)
    frame = _covariates(covariates)
    school = frame["school"].to_numpy() - 1
    # as many draws as the largest model needs, so that all models share them
    normal = schools.standard_normal((school[-1] + 1, 3))[:, : len(labels)]
    effects = dict(zip(labels, np.linalg.cholesky(tau) @ normal.T, strict=True))
    mean, log_variance = fixed_parts(frame, model)
    for term, column in _terms(frame).items():
        if (u := names.effect("u", term)) in effects:
            mean += column * effects[u][school]
        if (v := names.effect("v", term)) in effects:
            log_variance += column * effects[v][school]
    residual = np.exp(log_variance / 2) * students.standard_normal(len(frame))
    frame.insert(1, "score16", mean + residual)
    return frame


def fixed_parts(data: pd.DataFrame, model: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return what the covariates contribute to a model's mean and log variance.

    Parameters
    ----------
    data : pandas.DataFrame
        N rows with the columns of :func:`simulate`; the outcome is not read.
    model : int
        1 to 6, as numbered in print.

    Returns
    -------
    mean : (N,) array
        ``x'gamma``, in SDs of score16 (equation 2).
    log_variance : (N,) array
        ``w'delta``, the log of the level-1 variance where v is 0 (equation 3).

    Raises
    ------
    bridge.errors.OptionError
        Where there is no such model.
    """
    found, terms = _model(model), _terms(data)
    mean, log_variance = np.zeros(len(data)), np.zeros(len(data))
    for label, (value, _) in found["gamma"].items():
        mean += value * terms[label]
    for label, (value, _) in found["delta"].items():
        log_variance += value * terms[label]
    return mean, log_variance


def _terms(data: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the column of every term of the models, (N,) each, under its label."""
    terms = {names.INTERCEPT: np.ones(len(data)), "score11": data["score11"].to_numpy()}
    for name, about in _printed()["covariates"].items():
        if about["coded"] == "0/1":
            terms[name] = data[name].to_numpy(dtype=float)
            continue
        for level in list(about["counts"])[1:]:
            terms[names.flat(name, level)] = (data[name] == level).to_numpy(dtype=float)
    return terms


def _covariates(rng: np.random.Generator) -> pd.DataFrame:
    """Return every column but the outcome, in the order of the result."""
    sizes = rng.permutation(school_sizes())
    school = np.repeat(np.arange(len(sizes)), sizes)
    score11 = _score11(rng, school)
    codes = {name: _shuffled(rng, name) for name in _printed()["covariates"]}
    codes["admissions"] = _admissions(rng, np.bincount(school, weights=score11) / sizes)
    # a category of the school is spread over its students
    spread = {n: c if len(c) == len(school) else c[school] for n, c in codes.items()}
    spread["girl"] = _girls(rng, spread["school_gender"])
    columns: dict[str, Any] = {"school": school + 1, "score11": score11}
    for name, about in _printed()["covariates"].items():
        columns[name] = spread[name]
        if about["coded"] == "text":
            columns[name] = pd.Categorical.from_codes(spread[name], list(about["counts"]))
    return pd.DataFrame(columns)


def school_sizes() -> np.ndarray:
    """Return the numbers of students of the schools, in ascending order.

    Returns
    -------
    (465,) array of int
        Quantiles of a triangular distribution whose mode follows from the printed smallest,
        largest and mean; the ends are the printed ones, and the sum is the printed total.
    """
    sample = _printed()["sample"]
    low, high, schools = sample["smallest"], sample["largest"], sample["schools"]
    mode = 3 * sample["students"] / schools - low - high
    p = (np.arange(schools) + 0.5) / schools
    rising = low + np.sqrt(p * (high - low) * (mode - low))
    falling = high - np.sqrt((1 - p) * (high - low) * (high - mode))
    exact = np.where(rising < mode, rising, falling)
    exact[0], exact[-1] = low, high
    sizes = np.floor(exact).astype(np.int64)
    # what the floors have lost goes to the largest remainders
    short = sample["students"] - int(sizes.sum())
    sizes[np.argsort(sizes - exact, kind="stable")[:short]] += 1
    return np.sort(sizes)


def _score11(rng: np.random.Generator, school: np.ndarray) -> np.ndarray:
    """Return the scores at age 11, (N,): normal in and between schools, mean 0 and SD 1."""
    within = _printed()["score11"]["mean_school_variance"]
    between = rng.normal(0, np.sqrt(1 - within), school[-1] + 1)
    score = between[school] + rng.normal(0, np.sqrt(within), len(school))
    return (score - score.mean()) / score.std(ddof=1)


def _shuffled(rng: np.random.Generator, covariate: str) -> np.ndarray:
    """Return the codes of a covariate's categories, as often as printed, in random order."""
    return rng.permutation(np.repeat(*_codes(covariate)))


def _admissions(rng: np.random.Generator, intake: np.ndarray) -> np.ndarray:
    """Return the codes of admissions, (465,): grammar schools have the highest mean intake."""
    _, (comprehensive, grammar, modern) = _codes("admissions")
    codes = np.empty(len(intake), dtype=np.int64)
    selective = np.argsort(intake)[-grammar:]
    codes[selective] = 1
    rest = np.setdiff1d(np.arange(len(intake)), selective)
    codes[rest] = rng.permutation(np.repeat([0, 2], [comprehensive, modern]))
    return codes


def _girls(rng: np.random.Generator, school_gender: np.ndarray) -> np.ndarray:
    """Return who is a girl, (N,): the printed number, all and only in their schools."""
    _, (_, girls) = _codes("girl")
    mixed, only_girls = school_gender == 0, school_gender == 2
    found = only_girls.astype(np.int64)
    others = np.zeros(int(mixed.sum()), dtype=np.int64)
    others[: girls - int(only_girls.sum())] = 1
    found[mixed] = rng.permutation(others)
    return found


def _codes(covariate: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of a covariate's categories, reference first, and the printed counts."""
    counts = [n for n, _ in _printed()["covariates"][covariate]["counts"].values()]
    return np.arange(len(counts)), np.array(counts)


def _streams(seed: int) -> list[np.random.Generator]:
    """Return one generator each for the covariates, the school effects and the residuals."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise OptionError(f"seed is a whole number of at least 0, not {seed!r}; choose one.")
    return [np.random.default_rng(s) for s in np.random.SeedSequence(int(seed)).spawn(3)]


def _model(model: int) -> dict[str, Any]:
    """Return what is printed of a model, or refuse its number."""
    known = _printed()["models"]
    if isinstance(model, bool) or not isinstance(model, Integral) or str(int(model)) not in known:
        raise OptionError(
            f"model is a whole number from 1 to {len(known)}, as the London models are numbered "
            f"in print, not {model!r}; choose one."
        )
    return known[str(int(model))]


@cache
def _printed() -> dict[str, Any]:
    """Return the printed numbers."""
    text = resources.path("validation/data/london.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
