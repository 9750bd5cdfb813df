"""Linear hypotheses of a fit's coefficients: `bridge.wald`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from bridge.result import Result
    from bridge.wald_test import WaldTest


def wald(
    result: Result,
    hypothesis: Any = None,
    *,
    containing: str | None = None,
    function: str = "mean",
    rhs: Any = None,
) -> WaldTest:
    """Test linear hypotheses of coefficients, each alone and all together.

    Parameters
    ----------
    result : Result
        Of any engine. A posterior is tested by the mean and covariance of its draws, other fits by
        their estimates and `Result.parameter_covariance`; the test says which.
    hypothesis : str, list of str, mapping, pandas.DataFrame or array
        Equations as text, ``"sector + sector:ses = 0"``, with labels as in `Result.estimates`,
        numbers, ``+ - * /`` and brackets; zero where no value is given, several in a list or
        parted by commas. Or weights: an array (m, k) with a column for each of the k coefficients
        of the function; a DataFrame with labels as columns, of which some may be left out, and
        names of hypotheses as index; a mapping from names to ``{label: weight}``, or to equations.
    containing : str, optional
        In place of a hypothesis: that all coefficients are zero whose label contains this term as
        whole words: ``"ses"`` is in ``ses:sector``, not in ``meanses``.
    function : {"mean", "variance"}
        Whose coefficients bare labels are. Flat names, ``gamma[sector]``, ``delta[sector]``,
        ``kappa[...]`` and ``lambda_[...]``, are taken beside them, of either function.
    rhs : number, sequence, mapping or pandas.Series, optional
        Of a matrix or ``containing``: what the combinations are equal to, one number for all or one
        each (in a mapping or Series by the rows' names); zero by default.

    Returns
    -------
    WaldTest
        ``statistic``, ``kind``, ``df``, ``p`` and ``rows``; printing it prints the test.

    Raises
    ------
    HypothesisError
        Where a hypothesis does not parse, names no coefficient, or contradicts another.
    NotAvailable
        Where the fit has no covariance of a coefficient in use, or a singular one.
    RequestError
        Where an argument is something else.

    Notes
    -----
    (L b - r)' (L V L')^- (L b - r) is compared with chi-squared on rank(L) degrees of freedom.
    Where there is one variance, no group effects and ``method="REML"`` (least squares), it is
    divided by rank(L) and is an F on n - p degrees of freedom for coefficients of the mean.

    Examples
    --------
    >>> bridge.wald(fitted, "sector + ses:sector = 0")
    >>> bridge.wald(fitted, {"Catholic slope": {"ses": 1, "ses:sector": 1}})
    >>> bridge.wald(fitted, containing="sector", function="variance")
    """
    from bridge.wald_test import make_wald

    return make_wald(result, hypothesis, containing, function, rhs)
