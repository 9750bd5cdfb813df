"""The Wald test of linear hypotheses: what a fit knows of its coefficients, and the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bridge import arviz_compat, hypotheses, names
from bridge.errors import HypothesisError, NotAvailable, OptionError, RequestError, suggest
from bridge.hypotheses import VARIABLES, Coefficients, Hypotheses
from bridge.linear_hypothesis import LinearTest, first_contradiction, linear_test
from bridge.posterior_parts import draws_of
from bridge.result import Result
from bridge.summary import aligned, digits, method_words

#: Function -> (its words, variable, dim of its labels).
FUNCTIONS = {
    "mean": ("mean function", "gamma", "mean_term"),
    "variance": ("log-variance function", "delta", "variance_term"),
}
_OF_DRAWS = (
    "the chi-square takes the posterior to be normal, and its p is no posterior probability of the "
    "hypotheses; two-sided tail is twice the share of draws on the rarer side of the value, in "
    "steps of {step:.3g}."
)
_LARGE = (
    "the p values count the number of groups as large; with few groups they are somewhat too small."
)
_EXACT = 'normal intervals and chi-square; method="REML" gives t and F on n - p degrees of freedom.'


@dataclass(frozen=True, eq=False, repr=False)
class WaldTest:
    """A Wald test of linear hypotheses L b = r.

    Attributes
    ----------
    statistic : float
        F or chi-square.
    kind : {"F", "chi-square"}
        Which one.
    df : int
        Degrees of freedom: hypotheses, those that follow from others left out (the rank of L).
    df_denominator : int or None
        Of F.
    p : float
        The probability of a statistic as large where the hypotheses hold.
    rows : pandas.DataFrame
        One row a hypothesis: hypothesis, scale, value (r), estimate (of L b), se, lower, upper
        (95%), and t or z with p. Of a posterior estimate and se are mean and SD of the draws of
        L b, the interval is equal-tailed, and in place of z and p stands two_sided_tail: twice the
        share of draws on the rarer side of the value.
    weights : pandas.DataFrame
        L: one row a hypothesis, one column a coefficient that has a weight.
    method : str
        Whose estimates, and what their covariance is from.
    notes : tuple of str
        Hypotheses that follow from others, how far the test holds, and what the fit warns of.
    """

    statistic: float
    kind: str
    df: int
    df_denominator: int | None
    p: float
    rows: pd.DataFrame
    weights: pd.DataFrame
    method: str
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the test and its rows, the scale beside every number."""
        df = f"{self.df}" if self.df_denominator is None else f"{self.df}, {self.df_denominator}"
        return "\n".join(
            [
                f"Wald test: {self.kind}({df}) = {digits(self.statistic)}, p = {digits(self.p)}",
                self.method,
                "",
                *aligned(self._table(), left=2),
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def _table(self) -> list[list[str]]:
        draws = "two_sided_tail" in self.rows
        ends = [name for name in ("t", "z", "p", "two_sided_tail") if name in self.rows]
        names_of = ["value", "estimate", "se", "lower", "upper", *ends]
        heads = ["value", "mean" if draws else "estimate", "SD" if draws else "SE"]
        table = [["", "scale", *heads, "2.5%", "97.5%", *(e.replace("_", " ") for e in ends)]]
        for row in self.rows.to_dict("records"):
            cells = [digits(row[name]) for name in names_of]
            table.append([row["hypothesis"], row["scale"], *cells])
        return table

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


@dataclass(frozen=True, eq=False)
class _Known:
    """What a fit knows of some coefficients: b, V, and draws (S, k) where there are any."""

    estimates: np.ndarray
    covariance: np.ndarray
    draws: np.ndarray | None = None


def make_wald(
    result: Result, hypothesis: Any, containing: str | None, function: str, rhs: Any
) -> WaldTest:
    """Test linear hypotheses; see `bridge.wald`."""
    _check(result, hypothesis, containing, function)
    coefficients = coefficients_of(result, function)
    if containing is None:
        asked = hypotheses.read(hypothesis, rhs, coefficients)
    else:
        asked = hypotheses.containing(containing, rhs, coefficients)
    known = _known(result, list(asked.L.columns))
    L = asked.L.to_numpy()
    wrong = first_contradiction(L, known.covariance, asked.values)
    if wrong is not None:
        raise HypothesisError(
            f"The hypotheses contradict each other: '{asked.L.index[wrong]}' (value "
            f"{asked.values[wrong]:.6g}) cannot hold together with those before it; leave one out."
        )
    found = linear_test(L, known.estimates, known.covariance, asked.values)
    denominator = _denominator(result, list(asked.L.columns))
    share = 1 if denominator is None else found.rank
    statistic = found.statistic / share
    law = stats.chi2(found.rank) if denominator is None else stats.f(found.rank, denominator)
    return WaldTest(
        statistic,
        "chi-square" if denominator is None else "F",
        found.rank,
        denominator,
        float(law.sf(statistic)),
        _rows(result, asked, found, known, denominator),
        asked.L,
        _method(result, known),
        _notes(result, asked, found, known, denominator),
    )


def coefficients_of(result: Result, function: str) -> Coefficients:
    """Return the coefficients of a result, bare labels being those of one of its functions."""
    constant = arviz_compat.groups_of(result.idata)["constant_data"]
    words, variable, dim = FUNCTIONS[function]
    labels = tuple(str(label) for label in constant[dim].values)
    flat = [str(p) for p in result.estimates["parameter"] if str(p).startswith(VARIABLES)]
    elsewhere = {
        str(p): f"{p} is no coefficient: Wald tests are of gamma, delta, kappa and lambda_, and "
        "bridge.likelihood_ratio tests variances and correlations."
        for p in result.estimates["parameter"]
        if not str(p).startswith(VARIABLES)
    }
    for other, (other_words, other_variable, other_dim) in FUNCTIONS.items():
        for label in map(str, constant[other_dim].values) if other != function else ():
            if label not in labels:
                elsewhere[label] = (
                    f"There is no coefficient '{label}' in the {words}; the {other_words} has one: "
                    f'write {names.flat(other_variable, label)}, or give function="{other}".'
                )
    own = {label: names.flat(variable, label) for label in labels}
    return Coefficients({**{p: p for p in flat}, **own}, labels, words, elsewhere)


def _check(result: Any, hypothesis: Any, containing: Any, function: Any) -> None:
    if not isinstance(result, Result):
        raise RequestError(
            f"bridge.wald takes a result, not {type(result).__name__}; bridge.fit makes one and "
            "bridge.load reads a saved one."
        )
    if not isinstance(function, str) or function not in FUNCTIONS:
        raise OptionError(
            f"function is one of {', '.join(FUNCTIONS)}, not {function!r}."
            f"{suggest(str(function), FUNCTIONS)}"
        )
    if (hypothesis is None) == (containing is None):
        raise RequestError(
            "bridge.wald takes either a hypothesis, such as 'sector + ses:sector = 0', or "
            f"containing=, {'not both' if containing is not None else 'and was given neither'}."
        )


# --- what the fit knows -------------------------------------------------------------------------
def _known(result: Result, used: list[str]) -> _Known:
    if result.method == "posterior":
        draws = np.column_stack([d.reshape(-1) for d in draws_of(result, used).values()])
        if len(draws) <= len(used):
            raise NotAvailable(
                f"There is no test: {len(draws)} draws do not determine a covariance matrix of "
                f"{len(used)} coefficient(s); fit with more draws."
            )
        covariance = np.atleast_2d(np.cov(draws, rowvar=False))
        return _Known(draws.mean(axis=0), covariance, draws)
    frame = result.parameter_covariance
    known = [] if frame is None else [name for name in used if name in frame.index]
    covariance = np.full((len(used), len(used)), np.nan)
    if frame is not None and len(known) == len(used):
        covariance = frame.loc[used, used].to_numpy(dtype=float)
    lacking = [name for name in used if name not in known]
    lacking += [n for n, v in zip(used, np.diag(covariance), strict=True) if not np.isfinite(v)]
    if lacking or not np.isfinite(covariance).all():
        notes = dict(zip(result.estimates["parameter"], result.estimates["note"], strict=True))
        name = lacking[0] if lacking else used[0]
        why = f" ({notes[name]})" if notes.get(name) else ""
        others = " or ".join(e for e in ("agq", "nuts") if e != result.engine)
        raise NotAvailable(
            f"There is no test: this fit by {result.engine} has no covariance of {name}{why}; "
            f"leave it out, or fit with {others}."
        )
    return _Known(np.array([result.estimate(name) for name in used]), covariance)


def _least_squares(result: Result) -> bool:
    """Tell whether the model is a regression with one variance, whoever fitted it."""
    delta = [p for p in result.estimates["parameter"] if p.startswith("delta[")]
    return not result.effects and delta == [names.flat("delta", names.INTERCEPT)]


def _denominator(result: Result, used: list[str]) -> int | None:
    """Return n - p where the covariance is that of least squares, RSS / (n - p) (X'X)^-1."""
    if result.method != "REML" or not _least_squares(result):
        return None
    if not all(name.startswith("gamma[") for name in used):
        return None
    return result.n_obs - sum(p.startswith("gamma[") for p in result.estimates["parameter"])


# --- what is said -------------------------------------------------------------------------------
def _rows(
    result: Result, asked: Hypotheses, found: LinearTest, known: _Known, denominator: int | None
) -> pd.DataFrame:
    values = asked.values
    columns = {
        "hypothesis": list(asked.L.index),
        "scale": _scales(result, asked.L),
        "value": values,
        "estimate": found.estimate,
        "se": found.se,
    }
    if known.draws is not None:
        drawn = known.draws @ asked.L.to_numpy().T
        lower, upper = np.quantile(drawn, [0.025, 0.975], axis=0)
        below, above = (drawn < values).mean(axis=0), (drawn > values).mean(axis=0)
        tail = np.minimum(1.0, 2 * np.minimum(below, above) + (drawn == values).mean(axis=0))
        return pd.DataFrame({**columns, "lower": lower, "upper": upper, "two_sided_tail": tail})
    law = stats.norm() if denominator is None else stats.t(denominator)
    half, ratio = law.ppf(0.975) * found.se, (found.estimate - values) / found.se
    limits = {"lower": found.estimate - half, "upper": found.estimate + half}
    name = "z" if denominator is None else "t"
    return pd.DataFrame({**columns, **limits, name: ratio, "p": 2 * law.sf(np.abs(ratio))})


def _scales(result: Result, L: pd.DataFrame) -> list[str]:
    """Return the scale of each row; of a combination across functions those it is made of."""
    scale = dict(zip(result.estimates["parameter"], result.estimates["scale"], strict=True))
    return [
        " + ".join(dict.fromkeys(str(scale[name]) for name in L.columns[row != 0]))
        for row in L.to_numpy()
    ]


def _method(result: Result, known: _Known) -> str:
    source = "estimates and their covariance matrix"
    if known.draws is not None:
        source = f"mean and covariance matrix of {len(known.draws)} draws"
    return f"{result.engine}, {method_words(result)}: {source}"


def _notes(
    result: Result, asked: Hypotheses, found: LinearTest, known: _Known, denominator: int | None
) -> tuple[str, ...]:
    said = []
    if found.rank < len(asked.L):
        more = len(asked.L) - found.rank
        said.append(
            f"{more} of the {len(asked.L)} hypotheses {'follows' if more == 1 else 'follow'} from "
            f"the others and adds nothing: the rank, {found.rank}, counts as degrees of freedom, "
            "and a generalised inverse is used."
        )
    if known.draws is not None:
        said.append(_OF_DRAWS.format(step=2 / len(known.draws)))
    elif result.method == "ML" and _least_squares(result):
        said.append(_EXACT)
    elif result.n_groups and denominator is None:
        said.append(_LARGE)
    return (*said, *(f"the fit warns: {warning}" for warning in result.warnings))
