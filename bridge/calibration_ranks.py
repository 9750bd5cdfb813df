"""Ranks of true parameters among draws: are they uniform? Statistics, simultaneous bands, verdicts.

With N simulations and L draws in each, a rank is one of 0..L, each as likely as another where the
draws are of the posterior (Talts et al. 2018). R_i, how many ranks are below i, is then binomial(N,
i / (L + 1)) for each i, and their joint law that of a multinomial's sums. The band holds all R_i at
once: each is judged at one and the same level, chosen so that all hold with the probability wanted
(Säilynoja, Bürkner & Vehtari 2022); that probability is computed exactly, by recursion over i.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bridge.errors import NotAvailable, suggest

#: The probability with which all parameters of a calibrated engine are inside, together.
LEVEL = 0.99
#: The name of the joint log-likelihood among the parameters, and its scale.
LOG_LIKELIHOOD, LOG_DENSITY = "log_likelihood", "log density"
ASYMPTOTIC = "asymptotic"
#: A bin of a histogram should expect at least so many ranks.
_EXPECTED = 5
_MOST_BINS = 20


# --- one set of ranks ---------------------------------------------------------------------------
def below(ranks: np.ndarray, draws: int) -> np.ndarray:
    """Return how many of N ranks are below i, i = 1..L: (L,) whole numbers."""
    counts = np.bincount(np.asarray(ranks, dtype=int), minlength=draws + 1)
    found: np.ndarray = counts.cumsum()[:-1]
    return found


@lru_cache(maxsize=8)
def _tails(size: int, draws: int) -> np.ndarray:
    """Return twice the smaller tail probability of R_i = r, (L, N + 1)."""
    z = np.arange(1, draws + 1)[:, None] / (draws + 1)
    r = np.arange(size + 1)[None, :]
    lower, upper = stats.binom.cdf(r, size, z), stats.binom.sf(r - 1, size, z)
    return np.asarray(2 * np.minimum(lower, upper))


def _inside(size: int, draws: int, level: float) -> float:
    """Return the probability that every R_i has a tail above a level.

    Counts of a multinomial are Poisson counts given their sum, so that R_i is a sum of independent
    numbers, held inside the band step by step.
    """
    allowed = _tails(size, draws) > level
    rate = size / (draws + 1)
    step = stats.poisson.pmf(np.arange(size + 1), rate)
    density = np.zeros(size + 1)
    density[0] = 1.0
    for i in range(draws):
        density = np.convolve(density, step)[: size + 1] * allowed[i]
    total = float(density @ step[::-1])  # the rest lies in the last of the L + 1 places
    return min(1.0, total / float(stats.poisson.pmf(size, size)))


def p_value(ranks: np.ndarray, draws: int) -> float:
    """Return the probability of ranks at least as far from uniform anywhere, where they are.

    Parameters
    ----------
    ranks : (N,) array of int
        From 0 to ``draws``.
    draws : int
        L.

    Notes
    -----
    Simultaneous over the whole distribution, by the point that is least likely.
    """
    size = len(ranks)
    tails = _tails(size, draws)[np.arange(draws), below(ranks, draws)]
    # just below the level, so that the point itself counts
    return max(0.0, 1.0 - _inside(size, draws, float(tails.min())))


@lru_cache(maxsize=64)
def band(size: int, draws: int, probability: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the simultaneous band of R_i, i = 1..L.

    Parameters
    ----------
    size : int
        N.
    draws : int
        L.
    probability : float
        That all of N uniform ranks' R_i are inside; it is this or a little more.

    Returns
    -------
    lower, upper : (L,) arrays of int
        Both inside.
    """
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _inside(size, draws, middle) >= probability else (low, middle)
    allowed = _tails(size, draws) > low
    return allowed.argmax(axis=1), size - allowed[:, ::-1].argmax(axis=1)


def bins_of(size: int, draws: int) -> int:
    """Return how many bins a histogram of N ranks has: at most 20, of equal width, 5 in each."""
    wanted = max(1, min(_MOST_BINS, size // _EXPECTED))
    return max(n for n in range(1, wanted + 1) if (draws + 1) % n == 0)


def histogram(ranks: np.ndarray, draws: int) -> np.ndarray:
    """Return how many ranks are in each bin of `bins_of`."""
    bins = bins_of(len(ranks), draws)
    return np.bincount(np.asarray(ranks, dtype=int) * bins // (draws + 1), minlength=bins)


def chi_square(ranks: np.ndarray, draws: int) -> tuple[float, float]:
    """Return Pearson's chi-square of the histogram and its p; NaN where there is one bin."""
    counts = histogram(ranks, draws)
    if len(counts) < 2:
        return float("nan"), float("nan")
    found = stats.chisquare(counts)
    return float(found.statistic), float(found.pvalue)


def deviation(ranks: np.ndarray, draws: int) -> float:
    """Return the greatest distance of the ranks' distribution function from the uniform one."""
    z = np.arange(1, draws + 1) / (draws + 1)
    return float(np.abs(below(ranks, draws) / len(ranks) - z).max())


def rank(truth: float, drawn: np.ndarray, rng: np.random.Generator) -> int:
    """Return how many draws are below the truth; among equal ones its place is random."""
    less, equal = int((drawn < truth).sum()), int((drawn == truth).sum())
    return less + int(rng.integers(equal + 1))


# --- all of a calibration -------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the true parameters of simulated data sets among an engine's draws.

    Attributes
    ----------
    ranks : pandas.DataFrame
        One row a simulation and parameter: replication, parameter, scale, truth, rank, estimate,
        se, ess, divergences, status ("ok" or "failed"), why, seconds (of the fit). Of a failed fit
        rank, estimate and se are missing.
    draws : int
        L, the thinned draws of each simulation; ranks are 0..L.
    engine : str
        Who fitted.
    method : {"posterior", "asymptotic"}
        Whether the draws are of a posterior, or normal ones around maximum-likelihood estimates,
        which are none: they know no prior, and are right where data say much.
    outcome : str
        The outcome of the model.
    level : float
        The probability with which all parameters of a right engine are inside the bands together
        (Bonferroni).
    """

    ranks: pd.DataFrame = field(repr=False)
    draws: int
    engine: str
    method: str
    outcome: str
    level: float = LEVEL

    @property
    def parameters(self) -> list[str]:
        """The parameters, in the order of a fit's estimates, then the joint log-likelihood."""
        return list(dict.fromkeys(self.ranks["parameter"]))

    @property
    def simulations(self) -> int:
        """How many data sets were drawn."""
        return int(self.ranks["replication"].nunique())

    @property
    def failed(self) -> int:
        """How many of them could not be fitted; they stay in ``ranks``, with the reason."""
        wrong = self.ranks["status"] != "ok"
        return int(self.ranks.loc[wrong, "replication"].nunique())

    @property
    def few(self) -> int:
        """In how many a parameter's effective sample size was below the draws that were kept.

        Their thinned draws depend on each other, which makes ranks too extreme or too central.
        """
        small = self.ranks["ess"].astype(float) < self.draws
        return int(self.ranks.loc[small, "replication"].nunique())

    @property
    def divergent(self) -> int:
        """In how many the sampler had divergences."""
        some = self.ranks["divergences"].astype(float) > 0
        return int(self.ranks.loc[some, "replication"].nunique())

    @property
    def probability(self) -> float:
        """The probability of one parameter's band: Bonferroni over all of them."""
        return 1 - (1 - self.level) / len(self.parameters)

    def of(self, parameter: str) -> np.ndarray:
        """Return the ranks of one parameter, failed fits left out.

        Raises
        ------
        NotAvailable
            Where there is none of that name, or no fit succeeded.
        """
        if parameter not in self.parameters:
            raise NotAvailable(
                f"There are no ranks of '{parameter}'.{suggest(parameter, self.parameters)}"
            )
        own = self.ranks.loc[self.ranks["parameter"] == parameter, "rank"].dropna()
        if own.empty:
            raise NotAvailable(f"Every fit failed, so that there are no ranks of {parameter}.")
        return own.to_numpy(dtype=int)

    @property
    def table(self) -> pd.DataFrame:
        """What the ranks of each parameter say.

        Columns parameter, scale, n, chi_square and its p_chi_square (of `bins_of` bins), deviation
        (the greatest of the distribution function), p (simultaneous over it) and inside: whether
        p is above the level of one parameter, so that the band holds the ranks.
        """
        rows = []
        scales = dict(zip(self.ranks["parameter"], self.ranks["scale"], strict=True))
        for name in self.parameters:
            row: dict[str, Any] = {"parameter": name, "scale": scales[name]}
            ranks = self.ranks.loc[self.ranks["parameter"] == name, "rank"].dropna()
            row["n"] = len(ranks)
            if len(ranks):
                own = ranks.to_numpy(dtype=int)
                row["chi_square"], row["p_chi_square"] = chi_square(own, self.draws)
                row["deviation"] = deviation(own, self.draws)
                row["p"] = p_value(own, self.draws)
            row["inside"] = len(ranks) > 0 and row["p"] > 1 - self.probability
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def passed(self) -> bool:
        """Whether every parameter's ranks are inside its band, and every fit succeeded."""
        return bool(self.table["inside"].all()) and not self.failed

    def summary(self) -> str:
        """Return as text how the simulations went, and what the ranks of each parameter say."""
        table = self.table
        said = np.select([table["inside"], table["n"] == 0], ["", "no ranks"], "OUTSIDE")
        outside = list(table.loc[said == "OUTSIDE", "parameter"])
        lines = [
            f"Calibration of {self.engine}, {described(self)}: {self.simulations} simulations, "
            f"{self.draws} draws in each",
        ]
        lines += [f"  {n} failed, kept as such" for n in [self.failed] if n]
        lines += [
            f"  {n} with an effective sample size below {self.draws}: their ranks are less sure"
            for n in [self.few]
            if n
        ]
        lines += [f"  {n} with divergences" for n in [self.divergent] if n]
        shown = table.drop(columns="inside").assign(band=said)
        width = "{:.4f}".format
        lines += ["", shown.to_string(index=False, float_format=width, na_rep="-"), ""]
        verdict = "passed" if self.passed else "NOT passed"
        why = f" (outside: {', '.join(outside)})" if outside else ""
        why += f" ({self.failed} failed)" if self.failed else ""
        lines.append(
            f"{verdict}{why}: bands hold all {len(table)} parameters of a right engine with "
            f"probability {self.level:g}"
        )
        return "\n".join(lines)


def described(calibration: Calibration) -> str:
    """Return what the draws are, in words."""
    if calibration.method == ASYMPTOTIC:
        return "asymptotic draws around maximum-likelihood estimates (no posterior)"
    return "posterior draws"
