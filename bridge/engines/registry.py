"""The engines as data: where each is, what it runs on, what it can express."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from bridge.engines.base import Engine
from bridge.errors import EngineRefusal, UnknownEngineError, suggest
from bridge.spec import ModelSpec

#: Feature -> (heading in the capability table, what an engine without it "cannot" do).
FEATURES: dict[str, tuple[str, str]] = {
    "mean_effects": ("random effects in the mean", "fit random effects in the mean"),
    "no_mean_effects": ("no random effects in the mean", "do without random effects in the mean"),
    "variance_predictors": (
        "predictors of the residual variance",
        "model the residual variance",
    ),
    "variance_effects": (
        "random effects in the residual variance",
        "fit random effects in the residual variance",
    ),
    "shared_id": (
        "mean and variance effects correlated",
        "correlate effects of the mean with effects of the variance",
    ),
    "student_t": ("Student-t effects", "fit Student-t random effects"),
    "priors": ("priors", "use priors"),
    "covariance_priors": ("priors on whole covariance matrices", "use a prior on tau"),
    "level2": ("level-2 variance functions", "fit level-2 variance and correlation functions"),
    "association": ("latent association", "enter mean effects into the variance function"),
    "classes": ("latent classes", "fit latent classes"),
}


@dataclass(frozen=True)
class Entry:
    """One engine of the registry.

    Attributes
    ----------
    path : str
        ``module:class``; imported only when the engine is used.
    runs_on : str
        What must be installed.
    result : str
        "ML, REML", "two-step" or "posterior".
    features : frozenset of str
        Keys of `FEATURES`.
    """

    path: str
    runs_on: str
    result: str
    features: frozenset[str]


_BAYESIAN = frozenset(
    (
        "mean_effects",
        "no_mean_effects",
        "variance_predictors",
        "variance_effects",
        "shared_id",
        "priors",
    )
)

ENGINES: dict[str, Entry] = {
    "agq": Entry(
        "bridge.engines.agq:Agq",
        "Python alone",
        "ML",
        frozenset(FEATURES) - {"student_t", "priors", "covariance_priors", "classes"},
    ),
    "lme4": Entry(
        "bridge.engines.lme4:Lme4", "R, lme4", "ML, REML", frozenset({"mean_effects"})
    ),
    "nlme": Entry(
        "bridge.engines.nlme:Nlme",
        "R, nlme",
        "ML, REML",
        frozenset({"mean_effects", "variance_predictors"}),
    ),
    "ols": Entry(
        "bridge.engines.ols:Ols", "Python alone", "ML, REML", frozenset({"no_mean_effects"})
    ),
    "twostep": Entry(
        "bridge.engines.twostep:Twostep",
        "Python alone",
        "two-step",
        frozenset(
            (
                "mean_effects",
                "no_mean_effects",
                "variance_predictors",
                "variance_effects",
                "shared_id",
            )
        ),
    ),
    "brms": Entry(
        "bridge.engines.brms:Brms", "R, brms, rstan", "posterior", _BAYESIAN | {"student_t"}
    ),
    "stan": Entry(
        "bridge.engines.stan:Stan",
        "CmdStan or PyStan",
        "posterior",
        frozenset(FEATURES),
    ),
    "nuts": Entry(
        "bridge.engines.nuts:Nuts",
        "Python alone",
        "posterior",
        frozenset(FEATURES) - {"classes"},
    ),
    "fake": Entry(
        "bridge.engines.fake:Fake", "nothing (canned draws)", "posterior", _BAYESIAN | {"student_t"}
    ),
}  # fmt: skip

#: Whether twostep can depends on the data, and its estimates are neither ML nor a posterior.
_NOT_OFFERED = ("twostep", "fake")


def get(name: str) -> Engine:
    """Return an engine by name; only now is its module imported.

    Raises
    ------
    UnknownEngineError
        Where there is none of that name; the nearest is suggested.
    """
    if not isinstance(name, str) or name not in ENGINES:
        raise UnknownEngineError(
            f"There is no engine '{name}'.{suggest(str(name), ENGINES)} "
            f"There are: {', '.join(ENGINES)}."
        )
    module, _, attribute = ENGINES[name].path.partition(":")
    engine: Engine = getattr(import_module(module), attribute)()
    return engine


def needs(spec: ModelSpec) -> dict[str, str]:
    """Return the features a spec needs, each with the part of the spec that asks for it."""
    found: dict[str, str] = {}
    mean, variance = spec.mean_formula, spec.variance_formula
    key = "mean_effects" if mean.random else "no_mean_effects"
    found[key] = f"mean: {spec.mean}"
    if str(variance) != "~ 1":
        found["variance_predictors"] = f"variance: {spec.variance}"
    if variance.random:
        found["variance_effects"] = f"variance: {spec.variance}"
    shared = {t.id for t in mean.random if t.id} & {t.id for t in variance.random if t.id}
    if shared:
        found["shared_id"] = f"id: {sorted(str(i) for i in shared)[0]}"
    if spec.random_effects == "student_t":
        found["student_t"] = 'random_effects="student_t"'
    if spec.random_effects == "classes":
        found["classes"] = f"classes={spec.classes}"
    if spec.priors:
        found["priors"] = f"priors on {', '.join(spec.priors)}"
    whole = [key for key in spec.priors if key.partition("[")[0] == "tau"]
    if whole:
        found["covariance_priors"] = f"priors on {', '.join(whole)}"
    if spec.level2 is not None:
        found["level2"] = f"level2: {spec.level2}"
    if spec.association is not None:
        found["association"] = f"association: {spec.association}"
    return found


def able(spec: ModelSpec) -> list[str]:
    """Return the engines that can express a spec, those that are never offered left out."""
    wanted = set(needs(spec))
    return [n for n, e in ENGINES.items() if n not in _NOT_OFFERED and wanted <= e.features]


def check(name: str, spec: ModelSpec) -> None:
    """Refuse a spec that an engine cannot express.

    Raises
    ------
    EngineRefusal
        With each reason, and the engines that can.
    """
    get(name)
    missing = [(f, why) for f, why in needs(spec).items() if f not in ENGINES[name].features]
    if "variance_effects" in dict(missing):
        # one part of the formula, one reason
        missing = [(f, why) for f, why in missing if f not in ("variance_predictors", "shared_id")]
    if "priors" in dict(missing):
        missing = [(f, why) for f, why in missing if f != "covariance_priors"]
    if missing:
        raise refusal(name, [f"{FEATURES[f][1]} ({why})" for f, why in missing], able(spec))


def refusal(name: str, reasons: list[str], others: list[str]) -> EngineRefusal:
    """Return the error of an engine that cannot, naming those that can."""
    can = f"Engines that can: {', '.join(sorted(others))}." if others else "No engine here can yet."
    return EngineRefusal(f"{name} cannot {', and cannot '.join(reasons)}. {can}")


def capability_table() -> str:
    """Return the capabilities of every engine as a Markdown table."""
    names = [n for n in ENGINES if n != "fake"]
    rows = [
        ["", *names],
        ["---", *("---" for _ in names)],
        ["runs on", *(ENGINES[n].runs_on for n in names)],
        ["gives", *(ENGINES[n].result for n in names)],
    ]
    for feature, (heading, _) in FEATURES.items():
        rows.append([heading, *("yes" if feature in ENGINES[n].features else "-" for n in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
