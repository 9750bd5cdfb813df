"""Pictures of a fit; each function returns the Axes it drew on, and draws on yours with ``ax=``.

Colours are those of Okabe & Ito (2008), and nothing is told by colour alone. The axis says the
scale, the line below the title the outcome, the engine and the method. Numbers are those of
`bridge.quantities` and of the result; nothing is estimated here. matplotlib is imported when
something is first drawn, and its settings are left as they were.
"""

from bridge.plots.calibration import calibration_ecdf, calibration_ranks
from bridge.plots.caterpillar import caterpillar
from bridge.plots.distributions import histogram, qq
from bridge.plots.forest import forest
from bridge.plots.mean_variance import mean_variance
from bridge.plots.prior_posterior import prior_posterior
from bridge.plots.study import study_bias, study_coverage, study_se_ratio

__all__ = [
    "calibration_ecdf",
    "calibration_ranks",
    "caterpillar",
    "forest",
    "histogram",
    "mean_variance",
    "prior_posterior",
    "qq",
    "study_bias",
    "study_coverage",
    "study_se_ratio",
]
