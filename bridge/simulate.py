"""Simulated data: outcomes of a model with known parameters, in the rows of a design."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.errors import DataError, OptionError, SpecError

# `import bridge` reads this module for the function it exports, so heavy imports wait
if TYPE_CHECKING:
    from bridge.simulation_rows import Seed
    from bridge.spec import ModelSpec


def simulate(
    spec: ModelSpec, truth: Any, design: Any = None, seed: Seed = None, *, effects: bool = False
) -> Any:
    """Draw a data set from a model whose parameters are known.

    Parameters
    ----------
    spec : ModelSpec
        The model; its priors are not read.
    truth : mapping of str to float, or Result
        Every parameter by its flat name on the canonical scale, as a fit's ``estimates`` have them:
        ``gamma[x]``, ``delta[Intercept]`` (log variance), ``tau[u:Intercept,u:Intercept]``,
        ``kappa[…]``, ``lambda_[…]``, ``nu``; of a constant pair of effects the covariance ``tau``
        or the correlation ``rho``; of latent classes ``pi``, ``u_class`` and ``v_class``. Of
        Student-t effects tau is the scale matrix, their covariance nu / (nu - 2) times it.
        A fitted result of any engine gives its estimates (a parametric bootstrap); a posterior
        its posterior means, which are one point of it and not a draw of the predictive
        distribution (``include=("posterior_predictive",)`` of a fit gives that). Means of
        latent classes are moved to a weighted mean of zero.
    design : SimulationDesign or pandas.DataFrame, optional
        Groups and covariates to draw, or a frame of covariates and group labels that is used as it
        is (an outcome in it is replaced). Left out with a result: the rows of the fit.
    seed : int or numpy.random.SeedSequence, optional
        The same seed gives the same data. Covariates, effects and residuals have streams of their
        own: with another truth the same seed gives the same covariates.
    effects : bool
        Whether the drawn group effects are returned too.

    Returns
    -------
    pandas.DataFrame
        The columns of the design and the outcome, rows in the design's order; with ``effects=True``
        a pair of it and the effects, a frame with one row a group and columns such as
        ``u:Intercept``, canonical scales; its index is the groups' labels as text, as in the
        ``group_effects`` of a fit.

    Raises
    ------
    RequestError
        Where a parameter is missing, unknown or out of range, a matrix of level 2 is no covariance
        matrix, outcomes become infinite, or the design lacks a column; the sentence names it.

    Notes
    -----
    Level-1 unit i in group j: y_ij = x'gamma + z'u_j + r_ij, log var(r_ij) = w'delta + a'v_j, (u_j,
    v_j) ~ N(0, T) (Leckie, French, Charlton & Browne 2014). Transforms in the formulas, such as
    ``scale(x)``, ``center(x)`` or ``cvar(x, g)``, are computed on the simulated covariates of the
    data set, so that their constants differ from one data set to the next.

    Examples
    --------
    >>> import bridge
    >>> spec = bridge.ModelSpec("y ~ 1 + x + (1 | school)")
    >>> truth = {"gamma[Intercept]": 0, "gamma[x]": 0.5, "delta[Intercept]": 0,
    ...          "tau[u:Intercept,u:Intercept]": 0.2}
    >>> design = bridge.SimulationDesign(groups=10, size=5, covariates={"x": {"intraclass": 0.1}})
    >>> bridge.simulate(spec, truth, design, seed=1).shape
    (50, 3)
    """
    import numpy as np
    import pandas as pd

    from bridge.drawing import draw
    from bridge.result import Result
    from bridge.simulation_rows import design_of_rows, rows_of, streams
    from bridge.spec import ModelSpec
    from bridge.truth import complete, of_result

    if not isinstance(spec, ModelSpec):
        raise SpecError(
            f"The first argument is a ModelSpec, not {type(spec).__name__}: "
            'bridge.ModelSpec("y ~ 1 + (1 | g)").'
        )
    fitted = truth if isinstance(truth, Result) else None
    if fitted is None and not isinstance(truth, Mapping):
        raise OptionError(
            "The truth is a mapping from parameters to numbers, or a fitted result, not "
            f"{type(truth).__name__}."
        )
    of_design, of_effects, of_rows = streams(seed, 3)
    frame = rows_of(spec, fitted, design, of_design)
    made = design_of_rows(spec, frame)
    values = complete(made, truth if fitted is None else of_result(made, fitted))
    with np.errstate(over="ignore", invalid="ignore"):
        drawn = draw(made, values, of_effects, of_rows)
    if not np.isfinite(drawn.y).all():
        raise DataError(
            f"This truth makes values of {spec.outcome} too large for a computer's numbers; delta "
            "and v are on the scale of the log variance: make them, or the variances of v, smaller."
        )
    data = frame.drop(columns=spec.outcome, errors="ignore").assign(**{spec.outcome: drawn.y})
    if not effects:
        return data
    index = pd.Index(made.group_labels if made.effects else [], name=spec.group)
    shown = drawn.effects[: len(index)]
    return data, pd.DataFrame(shown, index=index, columns=list(made.effects))
