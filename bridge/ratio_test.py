"""The likelihood ratio test of two nested fits: what is compared, its distribution, its p."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from bridge import arviz_compat, names
from bridge.design import Design
from bridge.design_of import design_of
from bridge.engines.base import Progress
from bridge.errors import EngineFailed, NotAvailable, OptionError, RequestError, suggest
from bridge.marginal.canonical import level2_covariance
from bridge.marginal.draw import draw_outcome, with_outcome
from bridge.marginal.law import FunctionLaw
from bridge.marginal.maximum import free_of, maximise
from bridge.marginal.problem import Problem, make_problem
from bridge.nesting import Added, added, not_spanned
from bridge.progress import shown
from bridge.result import Result
from bridge.same_model import check_same_data
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

METHODS = ("auto", "bootstrap")
#: A smaller model may have a log-likelihood higher by no more than this.
_HIGHER = 1e-4
#: Statistics no further apart than this are equal: fits end within it of their maximum.
_EQUAL = 1e-5
#: An SD (u over the level-1 SD, v on the log variance) that counts as zero; lme4's tolerance.
_NO_SD = 1e-4
#: The smallest eigenvalue of a correlation matrix that counts as zero.
_NO_EIGENVALUE = 1e-6
#: Log determinants of mean designs no further apart than this are equal.
_SAME_VOLUME = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatio:
    """A likelihood ratio test.

    Attributes
    ----------
    small, large : Result
        The two fits.
    statistic : float
        Twice the difference of the log-likelihoods; zero where rounding makes it negative.
    df : tuple of (int, float)
        The distribution as a mixture of chi-squared ones: degrees of freedom and weight of each;
        () of a bootstrap.
    p_value : float
        The probability of a statistic as large under the smaller model.
    distribution : str
        The distribution in words.
    notes : tuple of str
        What to know of it: why a bootstrap, what the two fits warn of.
    replicates : (B,) array or None
        The statistics of the bootstrap's data sets, failed ones left out.
    failed : int
        Data sets of the bootstrap to which one of the models could not be fitted.
    seed : int or None
        Of the bootstrap.
    """

    small: Result
    large: Result
    statistic: float
    df: tuple[tuple[int, float], ...]
    p_value: float
    distribution: str
    notes: tuple[str, ...]
    replicates: np.ndarray | None = None
    failed: int = 0
    seed: int | None = None

    def text(self) -> str:
        """Return both models, the statistic, its distribution and p."""
        rows = [["", "log-likelihood", "parameters"]]
        lines = []
        for name, result in (("smaller", self.small), ("larger", self.large)):
            rows.append([name, f"{result.loglik:.4f}", f"{result.ml['n_parameters']:.0f}"])
            lines.append(f"{name}: {_formulas(result.spec)}")
        which = "Restricted likelihood" if self.small.method == "REML" else "Likelihood"
        return "\n".join(
            [
                f"{which} ratio test",
                *lines,
                "",
                *aligned(rows),
                "",
                f"statistic: {digits(self.statistic)}",
                f"under the smaller model: {self.distribution}",
                f"p: {digits(self.p_value)}",
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def make_test(
    small: Result,
    large: Result,
    *,
    method: str = "auto",
    replications: int = 999,
    seed: int | None = None,
    progress: Progress | bool | None = None,
) -> LikelihoodRatio:
    """Test two nested fits; see `bridge.likelihood_ratio`."""
    _check_options(method, replications, seed)
    for result in (small, large):
        _check_result(result)
    _check_methods(small, large)
    _check_rows(small, large)
    check_same_data([small, large])
    designs = design_of(small), design_of(large)
    _check_groups(*designs)
    _check_order(small, large)
    _check_restricted(small, *designs)
    more = added(*designs)
    if more.nothing:
        raise RequestError(
            "The two models are the same, however they are written: there is nothing to test."
        )
    statistic = _statistic(small, large)
    why = _why_bootstrap(small, designs[0], more)
    notes = _notes(small, large)
    if method == "auto" and not why:
        mixture, words = _mixture(more)
        p = mixture_p(statistic, mixture)
        return LikelihoodRatio(small, large, statistic, mixture, p, words, notes)
    if small.method == "REML":
        because = f"because {why}, " if why else ""
        raise RequestError(
            f"This test takes a bootstrap, {because}and the bootstrap is of maximum likelihood; "
            'fit both with method="ML".'
        )
    found = bootstrap((small, large), designs, replications, seed, progress)
    reason = (f"A bootstrap, because {why}.",) if why else ()
    return _of_bootstrap((small, large), statistic, found, (*reason, *notes))


# --- what can be tested ----------------------------------------------------------------------
def _check_options(method: str, replications: int, seed: int | None) -> None:
    if method not in METHODS:
        raise OptionError(
            f"method is one of {', '.join(METHODS)}, not {method!r}.{suggest(str(method), METHODS)}"
        )
    for name, value in (("replications", replications), ("seed", seed)):
        if name == "seed" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise OptionError(f"{name} is a whole number of at least 1, not {value!r}.")


def _check_result(result: Result) -> None:
    if not isinstance(result, Result):
        raise RequestError(
            f"bridge.likelihood_ratio takes results, not {type(result).__name__}; bridge.load "
            "reads a saved one."
        )
    if result.method not in ("ML", "REML"):
        what = "a posterior" if result.method == "posterior" else f"{result.method} estimates"
        raise NotAvailable(
            f"The fit by {result.engine} is {what} and has no maximised likelihood; fit the model "
            "by maximum likelihood (agq fits all that are not refused)."
        )


def _check_methods(small: Result, large: Result) -> None:
    if small.method != large.method:
        raise RequestError(
            f"The first fit is by {small.method} and the second by {large.method}, whose "
            'likelihoods are of different things; fit both with method="ML".'
        )


def _check_rows(small: Result, large: Result) -> None:
    """Refuse fits of different rows, naming the first that differs."""
    if small.spec.outcome != large.spec.outcome:
        return  # the check of the same data says so
    ours, theirs = (
        arviz_compat.groups_of(r.idata)["observed_data"][r.spec.outcome] for r in (small, large)
    )
    if np.array_equal(ours.values, theirs.values):
        return
    rows = [list(each["obs"].values) for each in (ours, theirs)]
    known = [set(each) for each in rows]
    first, second = ([r for r in rows[i] if r not in known[1 - i]] for i in (0, 1))
    if first or second:
        alone = [
            f"{len(left)} of the {which} (such as row {left[0]}) are not in the other"
            for which, left in (("first", first), ("second", second))
            if left
        ]
        said = f"of the rows used, {' and '.join(alone)}"
        advice = "give both the same rows, without missing values in the predictors of the larger"
    elif rows[0] != rows[1]:
        said, advice = "the same rows stand in another order", "fit both in one order"
    else:
        at = rows[0][int(np.flatnonzero(ours.values != theirs.values)[0])]
        said, advice = f"the outcome of row {at} is not the same", "fit both to the same outcome"
    raise RequestError(
        f"The fits are of different data ({small.n_obs} and {large.n_obs} rows): {said}; {advice}."
    )


def _check_groups(small: Design, large: Design) -> None:
    """Refuse groups that are not the same sets of rows, whatever they are called."""
    if not (small.effects and large.effects):
        return
    pairs = np.unique(np.stack([small.group, large.group]), axis=1).shape[1]
    if pairs != len(small.group_labels) or pairs != len(large.group_labels):
        raise RequestError(
            f"The groups differ ({small.spec.group}: {len(small.group_labels)}, "
            f"{large.spec.group}: {len(large.group_labels)}), so that neither model holds the "
            "other; fit both with the same grouping column."
        )


def _check_order(small: Result, large: Result) -> None:
    counts = [int(r.ml["n_parameters"]) for r in (small, large)]
    if counts[0] > counts[1]:
        raise RequestError(
            f"The first argument is the smaller model, and it has {counts[0]} parameters while "
            f"the second has {counts[1]}; give them the other way round."
        )


def _check_restricted(result: Result, small: Design, large: Design) -> None:
    """Refuse restricted likelihoods of different mean functions."""
    if result.method != "REML":
        return
    X, larger = small.mean.matrix, large.mean.matrix
    same = X.shape == larger.shape and not len(not_spanned(X, larger))
    if not (same and abs(_volume(X) - _volume(larger)) < _SAME_VOLUME):
        raise RequestError(
            "Restricted likelihoods (REML) of different mean functions cannot be compared, nor of "
            'one mean function written with different columns; fit both with method="ML".'
        )


def _volume(matrix: np.ndarray) -> float:
    return float(np.log(np.abs(np.diag(np.linalg.qr(matrix, mode="r")))).sum())


def _statistic(small: Result, large: Result) -> float:
    gap = large.loglik - small.loglik
    if gap < -_HIGHER:
        raise RequestError(
            f"The smaller model has a higher log-likelihood ({small.loglik:.4f}) than the larger "
            f"({large.loglik:.4f}), so that the fit of the larger by {large.engine} has not "
            "reached its maximum; fit it again, with agq or with other options."
        )
    return max(0.0, 2.0 * gap)


def _notes(small: Result, large: Result) -> tuple[str, ...]:
    said = []
    for warning in dict.fromkeys((*small.warnings, *large.warnings)):
        own = [name for name, r in (("smaller", small), ("larger", large)) if warning in r.warnings]
        who = f"the {own[0]} fit warns" if len(own) == 1 else "both fits warn"
        said.append(f"{who}: {warning}")
    if small.engine != large.engine:
        said.append(
            f"the log-likelihoods are of two engines ({small.engine} and {large.engine}); what "
            "they differ by in one model is in the statistic."
        )
    return tuple(said)


# --- known distributions ------------------------------------------------------------------------
def _mixture(more: Added) -> tuple[tuple[tuple[int, float], ...], str]:
    """Return the mixture of chi-squared distributions, and say why it is one."""
    df = more.regular + more.covariances
    if not more.effects:
        return ((df, 1.0),), f"chi-squared({df})"
    words = (
        f"half chi-squared({df}) and half chi-squared({df + 1}): the variance of "
        f"{more.effects[0]} is at the edge of its range under the smaller model"
    )
    return ((df, 0.5), (df + 1, 0.5)), words


def mixture_p(statistic: float, mixture: Sequence[tuple[int, float]]) -> float:
    """Return the upper tail of a mixture of chi-squared distributions.

    Parameters
    ----------
    statistic : float
        Not negative.
    mixture : sequence of (int, float)
        Degrees of freedom and weight of each; chi-squared(0) is a point at zero.
    """
    total = 0.0
    for df, weight in mixture:
        if df == 0:
            total += weight * (statistic < _EQUAL)
        else:
            total += weight * float(stats.chi2.sf(statistic, df))
    return total


def _why_bootstrap(small: Result, design: Design, more: Added) -> str:
    """Return why no known distribution holds, in words that follow "because"; else nothing."""
    if more.unknown:
        return f"{more.unknown}, for which the weights of the mixture are not known"
    if singular(small, design):
        return (
            "the smaller model's own level-2 covariance matrix is singular (a variance of zero, or "
            "a correlation of one), where chi-squared and its mixtures do not hold"
        )
    return ""


def singular(result: Result, design: Design) -> bool:
    """Tell whether T has a direction without variance at the estimates, in any group."""
    if not design.effects:
        return False
    T = level2_matrices(result, design)
    sd = np.sqrt(np.maximum(np.diagonal(T, axis1=1, axis2=2), 0.0))
    delta = _estimates(result, "delta", design.variance.labels)
    level1 = float(np.sqrt(np.exp(design.variance.matrix @ delta).mean()))
    unit = np.sqrt((np.hstack([design.Z, design.A]) ** 2).mean(axis=0))
    unit[: len(design.mean_effects)] /= level1
    if bool((sd * unit < _NO_SD).any()):
        return True
    correlation = T / (sd[:, :, None] * sd[:, None, :])
    return bool(np.linalg.eigvalsh(correlation)[:, 0].min() < _NO_EIGENVALUE)


# --- the fit's own parameters -----------------------------------------------------------------
def _estimates(result: Result, variable: str, labels: Sequence[str]) -> np.ndarray:
    return np.array([result.estimate(names.flat(variable, label)) for label in labels])


def level2_matrices(result: Result, design: Design) -> np.ndarray:
    """Return T at a fit's estimates, canonical scales: (1, q, q), or (J, q, q) with functions."""
    if design.spec.level2 is None:
        return result.covariance().to_numpy(dtype=float)[None]
    problem = make_problem(design)
    return level2_covariance(problem, free_at(problem, result))


def free_at(problem: Problem, result: Result) -> np.ndarray:
    """Return the free parameters (P,) of a problem at a fit's estimates.

    Parameters
    ----------
    problem : Problem
        Of the fit's design, T of full rank.
    result : Result
        The fit; of any engine.
    """
    design = problem.design
    gamma = _estimates(result, "gamma", design.mean.labels)
    delta = _estimates(result, "delta", design.variance.labels)
    lam = _estimates(result, "lambda_", design.latent_terms)
    q = len(design.effects)
    if not isinstance(problem.law, FunctionLaw):
        T = result.covariance().to_numpy(dtype=float) if q else np.zeros((0, 0))
        return free_of(problem, gamma, delta, T, lam)
    free = free_of(problem, gamma, delta, np.eye(q), lam)
    law = problem.parts(free)[2]  # a view
    for pair, place in problem.law.slices.items():
        law[place] = _element(result, design, pair)
    return free


def _element(result: Result, design: Design, pair: tuple[int, int]) -> np.ndarray:
    """Return the coefficients of one log variance or atanh correlation."""
    element, label = design.element(pair), design.pair_label(pair)
    variable = "tau" if pair[0] == pair[1] else "rho"
    if element in design.level2:
        terms = design.level2[element].labels
        labels = [names.kappa_label(variable, label, term) for term in terms]
        return _estimates(result, "kappa", labels)
    known = dict(zip(result.estimates["parameter"], result.estimates["estimate"], strict=True))
    # a correlation with an effect that does not vary is not defined, and does not matter
    value = 0.0 if pd.isna(known[element]) else float(known[element])
    if variable == "tau":
        return np.array([np.log(max(value, 1e-300))])
    return np.arctanh(np.clip([value], -1 + _NO_EIGENVALUE, 1 - _NO_EIGENVALUE))


# --- the bootstrap --------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Statistics of data sets drawn from the smaller fit.

    Attributes
    ----------
    replicates : (B,) array
        Of those to which both models could be fitted.
    failed : int
        How many could not.
    seed : int
    """

    replicates: np.ndarray
    failed: int
    seed: int


def bootstrap(
    fits: tuple[Result, Result],
    designs: tuple[Design, Design],
    replications: int,
    seed: int | None = None,
    progress: Progress | bool | None = None,
) -> Bootstrap:
    """Draw data sets from the smaller fit and fit both models to each, by quadrature.

    Parameters
    ----------
    fits : (Result, Result)
        The smaller and the larger.
    designs : (Design, Design)
        Theirs.
    replications : int
        How many data sets.
    seed : int, optional
        Each data set has a seed of its own made of it.
    progress : bool or callable, optional
        As in `bridge.fit`.
    """
    used = 1 + secrets.randbelow(2**31 - 2) if seed is None else int(seed)
    problem = make_problem(designs[0])
    free = free_at(problem, fits[0])
    nodes = [result.settings.get("nodes") for result in fits]
    found: list[float] = []
    failed = 0
    with shown(progress, "bootstrap") as report:
        for number, child in enumerate(np.random.SeedSequence(used).spawn(replications)):
            report(number / replications, f"data set {number + 1} of {replications}")
            y = draw_outcome(problem, free, np.random.default_rng(child))
            value = _refitted(designs, nodes, y)
            if value is None:
                failed += 1
            else:
                found.append(value)
    if not found:
        raise EngineFailed(
            f"The bootstrap has no p: in none of its {replications} data sets could both models "
            "be fitted; give more replications, or a simpler larger model."
        )
    return Bootstrap(np.array(found), failed, used)


def _refitted(
    designs: tuple[Design, Design], nodes: Sequence[int | None], y: np.ndarray
) -> float | None:
    """Return the statistic of a drawn outcome; None where a fit has not reached its maximum."""
    logliks = []
    for design, each in zip(designs, nodes, strict=True):
        try:
            fit = maximise(with_outcome(design, y), each, check_nodes=False, errors=False)
        except (EngineFailed, np.linalg.LinAlgError):
            return None
        if not fit.climb.converged:
            return None
        logliks.append(fit.loglik)
    gap = logliks[1] - logliks[0]
    return None if gap < -_HIGHER else max(0.0, 2.0 * gap)


def _of_bootstrap(
    fits: tuple[Result, Result], statistic: float, found: Bootstrap, notes: tuple[str, ...]
) -> LikelihoodRatio:
    """Return the test with p = (1 + #{LR* >= LR}) / (1 + B), B the data sets fitted."""
    made = len(found.replicates)
    as_large = int((found.replicates >= statistic - _EQUAL).sum())
    others = [r.engine for r in fits if r.engine != "agq"]
    if others:
        notes += (f"the data sets of the bootstrap are fitted by agq, not by {others[0]}.",)
    if found.failed:
        notes += (
            f"in {found.failed} of {made + found.failed} data sets a fit did not reach its "
            f"maximum; p is of the other {made}.",
        )
    return LikelihoodRatio(
        *fits,
        statistic,
        (),
        (1 + as_large) / (1 + made),
        f"parametric bootstrap of {made + found.failed} data sets, seed {found.seed}",
        notes,
        found.replicates,
        found.failed,
        found.seed,
    )


def _formulas(spec: ModelSpec) -> str:
    said = f"{spec.mean}; log variance {spec.variance}"
    if spec.level2 is not None:
        said += f"; level 2: {spec.level2}"
    if spec.association is not None:
        said += f"; association: {spec.association}, {spec.latent_scale} mean effects"
    return said
