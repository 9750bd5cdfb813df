"""The likelihood ratio test of two nested fits: what is compared, its distribution, its p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bridge.bootstrap import HIGHER, Bootstrap, bootstrap
from bridge.design import Design
from bridge.design_of import design_of
from bridge.engines.base import Progress
from bridge.errors import RequestError
from bridge.fitted_parameters import singular
from bridge.nesting import Added, added
from bridge.ratio_checks import check_designs, check_fits, check_options
from bridge.result import Result
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

#: Statistics no further apart than this are equal: fits end within it of their maximum.
_EQUAL = 1e-5
#: tests/unit/test_ratio_test.py:test_p_under_the_smaller_model draws these data sets.
_CONSERVATIVE = (
    "with few groups the mixture can be conservative, its p too large: with an effect added to the "
    "variance of 100 groups of 5 rows, 0.60 of the data sets drawn without it had p above 0.5 "
    "where 0.50 should; a bootstrap of maximum-likelihood fits draws the distribution instead."
)


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
        What to know of it: why a bootstrap, how far a mixture holds, what the two fits warn of.
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
    check_options(method, replications, seed)
    check_fits(small, large)
    designs = design_of(small), design_of(large)
    check_designs(small, large, designs)
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
        said = (_CONSERVATIVE,) if more.effects else ()
        return LikelihoodRatio(small, large, statistic, mixture, p, words, (*said, *notes))
    if small.method == "REML":
        because = f"because {why}, " if why else ""
        raise RequestError(
            f"This test takes a bootstrap, {because}and the bootstrap is of maximum likelihood; "
            'fit both with method="ML".'
        )
    found = bootstrap((small, large), designs, replications, seed, progress)
    reason = (f"A bootstrap, because {why}.",) if why else ()
    return _of_bootstrap((small, large), statistic, found, (*reason, *notes))


def why_bootstrap(small: Result, large: Result) -> str:
    """Say why the test of two nested fits takes a bootstrap.

    Parameters
    ----------
    small, large : Result
        The two fits, the smaller model first.

    Returns
    -------
    str
        Words that follow "because"; empty where the distribution of the statistic is known.
    """
    designs = design_of(small), design_of(large)
    return _why_bootstrap(small, designs[0], added(*designs))


def _statistic(small: Result, large: Result) -> float:
    gap = large.loglik - small.loglik
    if gap < -HIGHER:
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
