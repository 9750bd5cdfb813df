"""Whether a larger model fits better than a smaller one in it: `bridge.likelihood_ratio`."""

from __future__ import annotations

from typing import TYPE_CHECKING

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from bridge.engines.base import Progress
    from bridge.ratio_test import LikelihoodRatio
    from bridge.result import Result


def likelihood_ratio(
    small: Result,
    large: Result,
    *,
    method: str = "auto",
    replications: int = 999,
    seed: int | None = None,
    progress: Progress | bool | None = None,
) -> LikelihoodRatio:
    """Test a smaller model against a larger one that holds it, by their likelihoods.

    Parameters
    ----------
    small, large : Result
        Two maximum-likelihood fits of the same rows (or two restricted ones with the same mean
        function), the smaller model first.
    method : {"auto", "bootstrap"}
        ``"auto"`` takes the known distribution of the statistic where there is one, else a
        parametric bootstrap; ``"bootstrap"`` always the bootstrap.
    replications : int
        How many data sets the bootstrap draws from the smaller fit.
    seed : int, optional
        Of the bootstrap: the same seed gives the same p. Drawn where not given, and printed.
    progress : bool or callable, optional
        As in `bridge.fit`.

    Returns
    -------
    LikelihoodRatio
        ``statistic``, ``distribution``, ``p_value``; printing it prints the test.

    Raises
    ------
    RequestError
        Where the two cannot be tested: not nested, not of the same rows, not of one method.

    Notes
    -----
    The statistic is twice the difference of the log-likelihoods. Where all added parameters lie
    inside their range it is chi-squared. One added group effect has a variance at the edge of its
    range under the smaller model: with its k covariances with effects that both models have, and f
    other added parameters, the statistic is an equal mixture of chi-squared(k + f) and
    chi-squared(k + f + 1) (Self & Liang 1987, J. Am. Stat. Assoc. 82; Stram & Lee
    1994, Biometrics 50, case 3).
    """
    from bridge.ratio_test import make_test

    return make_test(
        small, large, method=method, replications=replications, seed=seed, progress=progress
    )
