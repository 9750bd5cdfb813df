"""How well a posterior predicts: `bridge.criteria` and `bridge.criteria_difference`."""

from __future__ import annotations

from typing import TYPE_CHECKING

# `import bridge` reads this module for the functions it exports, so heavy imports wait
if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bridge.engines.base import Progress
    from bridge.information_criteria import Criteria
    from bridge.result import Result


def criteria(
    result: Result,
    which: str | Sequence[str] = ("dic", "waic", "loo", "logo"),
    *,
    progress: Progress | bool | None = None,
) -> Criteria:
    """Return information criteria and leave-one-out predictive densities of a posterior.

    Parameters
    ----------
    result : Result
        Of an engine with draws.
    which : sequence of str
        ``"dic"``, ``"waic"`` and ``"loo"`` are of the rows given the group effects: how well the
        model predicts a further row of a group it knows. ``"logo"`` is of the groups with their
        effects integrated out: how well it predicts a group it does not know. With latent classes
        all are marginal: of the groups, and ``"loo"`` of the rows.
    progress : bool or callable, optional
        As in `bridge.fit`.

    Returns
    -------
    Criteria
        ``table``, ``pointwise`` and ``text()``; printing it prints the text.

    Raises
    ------
    RequestError
        Where a criterion is unknown, or the result has no draws.
    NotAvailable
        Where ``"logo"`` alone is asked for and the model has no marginal log-likelihood; beside
        others it is left out with a note.

    Notes
    -----
    With N rows, y_ij normal given gamma, delta, u_j and v_j, every constant counted:

    - DIC (Spiegelhalter, Best, Carlin & van der Linde 2002, J. R. Stat. Soc. B 64): D = -2 sum log
      p(y_ij | gamma, delta, u_j, v_j), p_D = mean of D - D at the posterior means of gamma, delta,
      u, v, and DIC = mean of D + p_D, on the deviance scale. With a latent association the means of
      lambda and, for standardised effects, of tau are plugged in as well.
    - WAIC (Watanabe 2010, J. Mach. Learn. Res. 11) and leave-one-row-out by Pareto-smoothed
      importance sampling (Vehtari, Gelman & Gabry 2017, Stat. Comput. 27), as an elpd: a sum of
      log predictive densities.
    - Leave-one-group-out by the same importance sampling, with the group's marginal log-likelihood
      in the place of that of a row: the group's effects are integrated out at every draw.

    - With latent classes the class of a group is summed over in every one of them: DIC, WAIC and
      leave-one-group-out are of the groups' marginal log-likelihood (exact), the DIC with the
      posterior means of gamma, delta, pi and the mass points plugged in, and leave-one-row-out is
      of each row given the other rows of its group and the parameters (Vehtari, Mononen, Tolvanen,
      Sivula & Winther 2016, J. Mach. Learn. Res. 17). Their ``likelihood`` is "marginal over the
      effects"; of these only logo is there for normal effects too, to compare the two laws by.

    ``se`` is the sampling error of an elpd over its units; ``mc_error`` that of the finite number
    of draws. The latter is to first order (the delta method), by the effective sample size of the
    draws' influences on the whole sum.
    """
    from bridge.information_criteria import make_criteria

    return make_criteria(result, which, progress)


def criteria_difference(first: Criteria, second: Criteria) -> pd.DataFrame:
    """Return the criteria of one posterior less those of another of the same rows.

    Parameters
    ----------
    first, second : Criteria
        As `bridge.criteria` makes them.

    Returns
    -------
    pandas.DataFrame
        One row a criterion that both have, and scale: criterion, likelihood, unit, scale,
        difference, se, mc_error, favours. ``se`` is of the sum of the units' differences; the
        DIC has none. ``mc_error`` takes the two posteriors as drawn independently. ``favours``
        is "first", "second", or "cannot tell" where the difference is within twice the two errors
        together.

    Raises
    ------
    RequestError
        Where the two are not of the same rows, or have no criterion in common.
    """
    from bridge.information_criteria import difference

    return difference(first, second)
