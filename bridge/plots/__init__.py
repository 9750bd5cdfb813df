"""Pictures of data and of fits; each function returns the Axes it drew on, or yours with ``ax=``.

Colours are those of Okabe & Ito (2008), and nothing is told by colour alone. The axis says the
scale, the line below the title the outcome, the engine and the method. Numbers are those of
`bridge.quantities`, of the result and of `bridge.by_group`; no model is fitted here. matplotlib is
imported when something is first drawn, and its settings are left as they were.
"""

from bridge.plots.calibration import calibration_ecdf, calibration_ranks
from bridge.plots.caterpillar import caterpillar
from bridge.plots.chains import autocorrelation, rank, trace
from bridge.plots.data_ellipses import data_ellipses
from bridge.plots.distributions import histogram, qq
from bridge.plots.forest import forest
from bridge.plots.mean_lines import mean_lines
from bridge.plots.mean_variance import mean_variance
from bridge.plots.model_against_model import model_against_model
from bridge.plots.pair import pair
from bridge.plots.prior_posterior import prior_posterior
from bridge.plots.shrinkage import shrinkage
from bridge.plots.study import study_bias, study_coverage, study_se_ratio
from bridge.plots.trellis import trellis
from bridge.plots.uniform_quantiles import uniform_quantiles
from bridge.plots.variance_functions import variance_functions

__all__ = [
    "autocorrelation",
    "calibration_ecdf",
    "calibration_ranks",
    "caterpillar",
    "data_ellipses",
    "forest",
    "histogram",
    "mean_lines",
    "mean_variance",
    "model_against_model",
    "pair",
    "prior_posterior",
    "qq",
    "rank",
    "shrinkage",
    "study_bias",
    "study_coverage",
    "study_se_ratio",
    "trace",
    "trellis",
    "uniform_quantiles",
    "variance_functions",
]
