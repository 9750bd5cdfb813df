"""What follows from a fit, as tidy frames with 95% intervals; of any engine's result.

Of a posterior every number is computed draw by draw: ``estimate`` is the mean over draws, ``se``
their SD, ``lower`` and ``upper`` the 2.5% and 97.5% quantiles. Of other fits it is computed from
the estimates and the empirical-Bayes effects, with standard errors by the delta method. The column
``method`` says which, ``scale`` in what a number is.
"""

from bridge.quantities.contextual import contextual
from bridge.quantities.curves import curves, redrawn_variances
from bridge.quantities.effect_changes import effect_changes
from bridge.quantities.effects import changes, group_changes, shrinkage
from bridge.quantities.groups import groups
from bridge.quantities.population import (
    group_mean_range,
    level1_variance,
    outcome_gap,
    variance_partition,
    variance_ratios,
)
from bridge.quantities.residuals import residuals

__all__ = [
    "changes",
    "contextual",
    "curves",
    "effect_changes",
    "group_changes",
    "group_mean_range",
    "groups",
    "level1_variance",
    "outcome_gap",
    "redrawn_variances",
    "residuals",
    "shrinkage",
    "variance_partition",
    "variance_ratios",
]
