"""Numbers of a printed simulation of one group: what each follows from, and what one draw says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bridge.cases.checks import one_of
from bridge.cases.from_print import of_print
from bridge.cases.numbers import Context, Number, quantity


@quantity("drawn_line", gives=("value",))
def drawn_line(context: Context, which: str, number: int) -> Number:
    """Return one printed number of a simulated group from the others, by the line they are on.

    Parameters
    ----------
    which : {"x", "error", "y"}
        A value of the predictor, of the errors or of the outcome; all are printed.
    number : int
        Which, from 1.

    Notes
    -----
    y_i = b0 + b1 x_i + e_i, where (b0, b1) is the line of the y_i - e_i on the x_i: print keeps
    it to itself, and rounding is all that takes these points off it.
    """
    of_print(context)
    one_of(which, ("x", "error", "y"), "which")
    intercept, slope = _line(context)[0]
    x, e, y = (
        0.0 if which == name else context.printed(f"{name} {number}", "value")
        for name in ("x", "error", "y")
    )
    found = {"x": (y - e - intercept) / slope, "error": y - intercept - slope * x}
    return Number(found.get(which, intercept + slope * x + e), note="from the printed numbers")


@quantity("drawn_constant", gives=("value",))
def drawn_constant(context: Context, which: str, variance: float) -> Number:
    """Return what one printed draw says of the constant that it was drawn with.

    Parameters
    ----------
    which : {"intercept", "slope", "residual variance", "size"}
        The line's intercept or slope, for their means; the mean square of the errors; or the
        number of rows, for its mean.
    variance : float
        The printed variance of the draw: of the intercept, the slope, an error or the size.

    Notes
    -----
    One draw, with its SD as Monte Carlo error: sqrt(variance), or of the mean square of n errors
    variance sqrt(2 / n). It refuses gross errors and cannot do more.
    """
    of_print(context)
    line, errors = _line(context)
    found = {
        "intercept": line[0],
        "slope": line[1],
        "residual variance": float((errors**2).mean()),
        "size": float(len(errors)),
    }
    one_of(which, found, "which")
    spread = float(np.sqrt(variance))
    if which == "residual variance":
        spread = variance * float(np.sqrt(2 / len(errors)))
    return Number(float(found[which]), spread, note="one draw; the error is its SD")


@quantity("drawn_covariance", gives=("value",))
def drawn_covariance(
    context: Context, first: str, second: str, means: Mapping[str, float], G: Mapping[str, float]
) -> Number:
    """Return the product of a drawn line's distances from its mean, for their covariance.

    Parameters
    ----------
    first, second : {"intercept", "slope"}
        Twice the same for a variance.
    means : mapping of str to float
        Printed means of ``intercept`` and ``slope``.
    G : mapping of str to float
        Printed variances of ``intercept`` and ``slope``, and ``covariance``.

    Notes
    -----
    u_a u_b of one draw, whose SD sqrt(g_aa g_bb + g_ab^2) is its Monte Carlo error: it refuses
    gross errors and cannot do more.
    """
    of_print(context)
    line = dict(zip(("intercept", "slope"), _line(context)[0], strict=True))
    one_of(first, line, "first")
    one_of(second, line, "second")
    between = G[first] if first == second else G["covariance"]
    value = (line[first] - means[first]) * (line[second] - means[second])
    spread = float(np.sqrt(G[first] * G[second] + between**2))
    return Number(float(value), spread, note="one draw; the error is its SD")


def _line(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Return the line (intercept, slope) on which printed outcomes less their errors are."""
    printed = dict(zip(context.case.frame["parameter"], context.case.frame["value"], strict=True))
    n = sum(name.startswith("x ") for name in printed)
    x, e, y = (
        np.array([printed[f"{name} {i}"] for i in range(1, n + 1)]) for name in ("x", "error", "y")
    )
    X = np.column_stack([np.ones(n), x])
    return np.linalg.lstsq(X, y - e, rcond=None)[0], e
