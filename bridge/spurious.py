"""What leaving the random effect out of the variance does: `bridge.spurious_precision`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bridge.errors import RequestError
from bridge.fit import fit
from bridge.ratio_test import LikelihoodRatio, make_test, why_bootstrap
from bridge.result import Result
from bridge.spec import ModelSpec
from bridge.summary import aligned, digits

if TYPE_CHECKING:
    from bridge.engines.base import Progress

_HAVE_LIKELIHOOD = ("ML", "REML")


@dataclass(frozen=True, eq=False, repr=False)
class SpuriousPrecision:
    """Two fits of a model, without and with a random effect in the variance.

    Attributes
    ----------
    without_effect, with_effect : Result
        The fits.
    table : pandas.DataFrame
        One row a coefficient of the variance function: parameter, scale, estimate_without,
        se_without, estimate_with, se_with, ratio (se_with / se_without). Standard errors of a
        posterior are its SDs.
    test : LikelihoodRatio or None
        Of the effect, where the fits have a likelihood and its distribution is known.
    notes : tuple of str
        Why there is no test, and what the larger fit warns of.
    """

    without_effect: Result
    with_effect: Result
    table: pd.DataFrame
    test: LikelihoodRatio | None
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the standard errors side by side, and the test."""
        rows = [["", "scale", "SE without", "SE with", "ratio"]]
        for row in self.table.itertuples(index=False):
            cells = [digits(x) for x in (row.se_without, row.se_with)]
            ratio = "<NA>" if pd.isna(row.ratio) else f"{row.ratio:.2f}"
            rows.append([row.parameter, row.scale, *cells, ratio])
        lines = [
            "Standard errors without and with a random effect in the variance",
            f"  mean: {self.with_effect.spec.mean}; engine: {self.with_effect.engine}",
            f"  log variance without: {self.without_effect.spec.variance}",
            f"  log variance with:    {self.with_effect.spec.variance}",
            "",
            *aligned(rows, left=2),
        ]
        if self.test is not None:
            lines.append(
                f"Likelihood ratio test of the effect: {digits(self.test.statistic)}, "
                f"{self.test.distribution}; p {digits(self.test.p_value)}"
            )
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def spurious_precision(
    spec: ModelSpec,
    data: Any,
    engine: str = "agq",
    *,
    progress: Progress | bool | None = None,
    **options: Any,
) -> SpuriousPrecision:
    """Show how the standard errors of delta change with a random effect in the variance.

    Groups whose variances differ by more than the predictors say make rows of a group alike: as
    in the mean, predictors of groups then have standard errors that are too small.

    Parameters
    ----------
    spec : ModelSpec
        A model with groups and without a random effect in its variance function. The effect that
        is added is a random intercept, correlated with the mean's effects where one of these has
        an id (and no association ties them already).
    data : pandas.DataFrame
        The data.
    engine : str
        Who fits both models.
    progress : bool or callable, optional
        As in `bridge.fit`.
    **options
        Of the engine, for both fits.

    Returns
    -------
    SpuriousPrecision
        ``table``, both fits and the test of the effect; printing it prints them.

    Raises
    ------
    RequestError
        Where the model has no groups, or has the effect already.
    EngineFailed
        Where one of the fits fails.

    Notes
    -----
    Leckie, French, Charlton & Browne (2014), section 5.

    Examples
    --------
    >>> spec = bridge.ModelSpec("mathach ~ sector + (1 | s | school)", "~ sector")
    >>> bridge.spurious_precision(spec, bridge.datasets.load("hsb"))
    """
    larger = with_variance_effect(spec)
    # the larger first: an engine that cannot fit it says so before anything has run
    large = fit(larger, data, engine, progress=progress, **options)
    small = fit(spec, data, engine, progress=progress, **options)
    test, notes = _tested(small, large)
    return SpuriousPrecision(small, large, _table(small, large), test, (*notes, *large.warnings))


def with_variance_effect(spec: ModelSpec) -> ModelSpec:
    """Return a model with a random intercept added to its variance function.

    Raises
    ------
    RequestError
        Where it has no groups, or has random effects there already.
    """
    if not isinstance(spec, ModelSpec):
        raise RequestError(
            f"bridge.spurious_precision takes a ModelSpec, not {type(spec).__name__}: "
            'bridge.ModelSpec("y ~ x + (1 | g)", "~ x").'
        )
    if spec.variance_formula.random:
        raise RequestError(
            f"The variance function ({spec.variance}) has a random effect already; give the model "
            "without it to see what it changes."
        )
    if spec.group is None:
        raise RequestError(
            "The model has no groups, so that no effect can be added to its variance; add a random "
            "term such as (1 | school) to the mean."
        )
    shared = [term.id for term in spec.mean_formula.random if term.id]
    name = f"{shared[0]} | " if shared and spec.association is None else ""
    return spec.replace(variance=f"{spec.variance} + (1 | {name}{spec.group})")


def _table(small: Result, large: Result) -> pd.DataFrame:
    frames = [
        result.estimates[result.estimates["component"] == "variance"].set_index("parameter")
        for result in (small, large)
    ]
    own = [label for label in frames[0].index if label in frames[1].index]
    ours, theirs = (frame.loc[own] for frame in frames)
    return pd.DataFrame(
        {
            "scale": ours["scale"],
            "estimate_without": ours["estimate"],
            "se_without": ours["se"],
            "estimate_with": theirs["estimate"],
            "se_with": theirs["se"],
            "ratio": theirs["se"] / ours["se"],
        }
    ).reset_index()


def _tested(small: Result, large: Result) -> tuple[LikelihoodRatio | None, tuple[str, ...]]:
    """Test the effect where there is a likelihood whose ratio has a known distribution."""
    if small.method not in _HAVE_LIKELIHOOD:
        return None, ()
    why = why_bootstrap(small, large)
    if why:
        return None, (
            f"No test here, because {why}; bridge.likelihood_ratio(found.without_effect, "
            "found.with_effect) takes a bootstrap.",
        )
    try:
        return make_test(small, large), ()
    except RequestError as error:
        return None, (f"No test: {error}",)
