"""One specification of a multilevel model with modelled variances; every established engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# read at once because the functions have the names of their modules; all are light
from bridge.calibrate import calibrate
from bridge.compare import compare
from bridge.criteria import criteria, criteria_difference
from bridge.fit import fit
from bridge.likelihood_ratio import likelihood_ratio
from bridge.predict import predict
from bridge.report import report
from bridge.simulate import simulate
from bridge.validate import validate
from bridge.wald import wald

if TYPE_CHECKING:
    from bridge import datasets, errors, london, models, plots, quantities
    from bridge.group_fits import by_group
    from bridge.priors import Priors
    from bridge.published_tables import published
    from bridge.result import Result, load
    from bridge.sensitivity import prior_sensitivity
    from bridge.simulation_design import SimulationDesign
    from bridge.spec import ModelSpec
    from bridge.spurious import spurious_precision
    from bridge.study import simulation_study
    from bridge.study_result import Study

__version__ = "0.1.0"

__all__ = [
    "ModelSpec",
    "Priors",
    "Result",
    "SimulationDesign",
    "Study",
    "by_group",
    "calibrate",
    "compare",
    "criteria",
    "criteria_difference",
    "datasets",
    "errors",
    "fit",
    "likelihood_ratio",
    "load",
    "london",
    "models",
    "plots",
    "predict",
    "prior_sensitivity",
    "published",
    "quantities",
    "report",
    "simulate",
    "simulation_study",
    "spurious_precision",
    "validate",
    "wald",
]

# name -> module; imported when first used, so that `import bridge` is quick
_LAZY = {
    "ModelSpec": "spec",
    "Study": "study_result",
    "Priors": "priors",
    "Result": "result",
    "SimulationDesign": "simulation_design",
    "by_group": "group_fits",
    "load": "result",
    "prior_sensitivity": "sensitivity",
    "published": "published_tables",
    "simulation_study": "study",
    "spurious_precision": "spurious",
}
_MODULES = ("datasets", "errors", "london", "models", "plots", "quantities")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"bridge.{name}")
    if name in _LAZY:
        return getattr(import_module(f"bridge.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'bridge' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
