"""agq: maximum likelihood by adaptive quadrature, in Python alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from bridge import names, scales
from bridge.design import Design
from bridge.engines.base import TIMEOUT, Engine, Option, Plan, Progress, RawFit
from bridge.engines.harmonise import effects_frame, parameter_table
from bridge.engines.maximum import Row, ml_result, wald
from bridge.errors import EngineTimeout, OptionError
from bridge.marginal.maximum import NODES_ERROR, Maximum, maximise
from bridge.marginal.problem import (
    MOST_DIMENSIONS,
    MOST_VARIANCE_EFFECTS,
    dimensions_of,
    nodes_in_use,
)
from bridge.marginal.profile import profile_intervals
from bridge.marginal.singular import at_bound, groups_at_edge, relations
from bridge.result import Result

_AT_ZERO = "at its bound of zero: no standard error"
_AT_ONE = "at its bound: no standard error"
_NO_CORRELATION = "not defined: an effect does not vary"
_INTERVALS = {"wald": "Wald", "profile": "profile-likelihood"}
_NOT_DETERMINED = "not determined by the data"


class Agq(Engine):
    """Maximum likelihood with u integrated exactly and v by adaptive Gauss-Hermite quadrature."""

    name = "agq"
    options = {  # noqa: RUF012 - a constant of the class
        "nodes": Option(None, "odd", "quadrature nodes in each dimension"),  # None: enough
        "intervals": Option("wald", "choice", "kind of the intervals", ("wald", "profile")),
        "robust": Option(False, "flag", "cluster-robust standard errors"),
        **TIMEOUT,
    }

    def checked_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option with a checked value; see `Engine.checked_options`.

        Raises
        ------
        OptionError
            Also where robust errors and profile intervals are asked for together.
        """
        found = super().checked_options(given)
        if found["robust"] and found["intervals"] == "profile":
            raise OptionError(
                'robust=True and intervals="profile" do not go together: the profile is of the '
                "likelihood and knows no robust version; choose one."
            )
        return found

    def refusals(self, design: Design) -> list[str]:
        """Return why the integral has too many dimensions."""
        effects = len(design.variance_effects)
        if effects > MOST_VARIANCE_EFFECTS:
            return [
                f"fit more than {MOST_VARIANCE_EFFECTS} random effects in the variance, of which "
                f"there are {effects} ({', '.join(design.variance_effects)})"
            ]
        dimensions = dimensions_of(design)
        if dimensions > MOST_DIMENSIONS:
            return [
                f"integrate over more than {MOST_DIMENSIONS} dimensions; a quadratic association "
                f"has one for each of the {dimensions} effects"
            ]
        return []

    def translate(self, design: Design, options: Mapping[str, Any]) -> Plan:
        """Say what is integrated how, and what is maximised."""
        dimensions = dimensions_of(design)
        count = f"{len(parameter_table(design))} estimates"
        intervals = _INTERVALS[options["intervals"]]
        if dimensions == 0:
            how = "  integral over the group effects: exact\n" if design.effects else ""
        else:
            whole = dimensions == len(design.effects)
            what = "all group effects" if whole else "the variance function's part"
            nodes = nodes_in_use(dimensions, options["nodes"])
            how = (
                f"  integral over {what}: {nodes}^{dimensions} adaptive Gauss-Hermite nodes a "
                f"group{'' if options['nodes'] else ' (more where these prove too few)'}"
                f"{'' if whole else '; over the rest: exact'}\n"
            )
        native = (
            f"# bridge's own, in Python alone\nmaximise the log-likelihood of\n"
            f"  mean: {design.spec.mean}\n  log variance: {design.spec.variance}\n"
            f"{_more(design)}{how}"
            f"  from two-step starting values; {count}, {intervals} intervals"
            f"{', cluster-robust standard errors' * options['robust']}"
        )
        return Plan(self.name, design, options, native)

    def run(self, plan: Plan, progress: Progress) -> RawFit:
        """Maximise; the time limit is looked at after each step."""
        options = plan.options
        start = time.perf_counter()
        report = _reporter(progress, options["timeout"], start)
        found = maximise(plan.design, options["nodes"], robust=options["robust"], report=report)
        values = _values(found)
        if options["intervals"] == "profile":
            lower, upper, failed = profile_intervals(found, report)
            values |= {"lower": lower, "upper": upper, "profile_failed": failed}
        seconds = time.perf_counter() - start
        trace = tuple(
            f"step {i}: log-likelihood {loglik:.6f}, Newton decrement {left:.3g}"
            for i, (loglik, left) in enumerate(found.climb.trace)
        )
        return RawFit(values, _versions(), _warnings(found), trace, {"total": seconds})

    def harmonise(self, raw: RawFit, plan: Plan) -> Result:
        """Estimates are canonical already: intervals, notes and labels are added."""
        design, values = plan.design, raw.values
        _ = scales.rule("agq").factor  # log variance, as it is
        table = parameter_table(design)
        covariance = np.asarray(values["covariance"], dtype=float).reshape(len(table), len(table))
        rows = _rows(design, values, np.sqrt(np.clip(np.diag(covariance), 0.0, None)))
        kept = [i for i, row in enumerate(rows) if row.se is not None]
        labels = [table[i][0] for i in kept]
        q = len(design.effects)
        groups = len(design.group_labels) if design.spec.group else 0
        shape = (groups if q else 0, q)
        spread = np.asarray(values["effects_covariance"], dtype=float).reshape(*shape, q)
        sd = np.sqrt(np.clip(np.diagonal(spread, axis1=1, axis2=2), 0.0, None))
        return ml_result(
            plan,
            raw,
            rows=rows,
            covariance=pd.DataFrame(covariance[np.ix_(kept, kept)], labels, labels),
            group_effects=effects_frame(
                design, np.asarray(values["effects"], dtype=float).reshape(shape), sd
            ),
            loglik=values["loglik"],
            n_parameters=_n_parameters(design),
            effects_covariance=spread if q else None,
            nodes=values["nodes"],
        )


def _more(design: Design) -> str:
    spec = design.spec
    said = f"  level 2: {spec.level2}\n" if spec.level2 is not None else ""
    if spec.association is not None:
        said += f"  association: {spec.association}, {spec.latent_scale} mean effects\n"
    return said


def _reporter(progress: Progress, timeout: float | None, start: float) -> Callable[[str], None]:
    def report(text: str) -> None:
        progress(None, f"agq: {text}")
        if timeout is not None and time.perf_counter() - start > timeout:
            raise EngineTimeout(
                f"agq took longer than timeout = {timeout:g} seconds ({text}); allow more."
            )

    return report


@cache
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("numpy", "scipy")}


def _values(found: Maximum) -> dict[str, Any]:
    mean, covariance = found.effects()
    return {
        "estimates": found.estimates,
        "covariance": found.covariance,
        "loglik": found.loglik,
        "effects": mean,
        "effects_covariance": covariance,
        "at_bound": at_bound(found),
        "unidentified": np.array(found.unidentified, dtype=int),
        "ranks": np.array(found.ranks, dtype=int),
        "nodes": found.problem.nodes,
        "nodes_error": found.nodes_error,
        "converged": found.climb.converged,
    }


def _n_parameters(design: Design) -> int:
    """Return the parameters of the model: correlations are no more than covariances said again."""
    again = set(design.constant_rho_pairs) & set(design.constant_tau_pairs)
    return len(parameter_table(design)) - len(again)


# --- estimates ------------------------------------------------------------------------------
def _rows(design: Design, values: Mapping[str, Any], se: np.ndarray) -> list[Row]:
    found = []
    bound, loose = values["at_bound"], set(np.asarray(values["unidentified"]).tolist())
    transformations = _transformations(design)
    for i, (estimate, how) in enumerate(zip(values["estimates"], transformations, strict=True)):
        value = float(estimate)
        if np.isnan(value):
            found.append(Row(None, note=_NO_CORRELATION))
        elif i in loose:
            found.append(Row(value, note=_NOT_DETERMINED))
        elif bound[i]:
            found.append(Row(value, note=_AT_ONE if how == "atanh" else _AT_ZERO))
        else:
            found.append(wald(value, float(se[i]), how))
        if "lower" in values and found[-1].estimate is not None:
            found[-1] = _profiled(found[-1], values, i, how)
    return found


def _profiled(row: Row, values: Mapping[str, Any], i: int, how: str) -> Row:
    """Return a row with its profile-likelihood interval in the place of the Wald one."""
    ends = [float(values[end][i]) for end in ("lower", "upper")]
    note = "profile-likelihood interval"
    if values["at_bound"][i]:
        note = _at_bound(ends, row.estimate or 0.0, how)
    elif values["profile_failed"][i]:
        note = "an end of the profile was not found"
    lower, upper = (None if np.isnan(end) else end for end in ends)
    own = row.note if row.note and "interval" not in row.note else ""
    return Row(row.estimate, row.se, lower, upper, "; ".join(filter(None, (own, note))))


def _at_bound(ends: list[float], estimate: float, how: str) -> str:
    """Return what is said of the interval of an estimate at its bound, where the interval ends."""
    closed = {"log": 0, "atanh": int(estimate > 0)}.get(how)
    if np.isnan(ends).all():
        return "no profile-likelihood interval"
    if closed is not None and np.isnan(ends[closed]):
        ends[closed] = estimate
    return f"{'one end of a ' * bool(np.isnan(ends).any())}profile-likelihood interval"


def _transformations(design: Design) -> list[str]:
    """Return where the Wald interval of each estimate is symmetric."""
    found = ["" for _ in (*design.mean.labels, *design.variance.labels, *design.latent_terms)]
    found += ["log" if a == b else "" for a, b in design.constant_tau_pairs]
    found += ["atanh" for _ in design.constant_rho_pairs]
    return found + ["" for _ in design.kappa_terms]


# --- warnings -------------------------------------------------------------------------------
def _warnings(found: Maximum) -> tuple[str, ...]:
    said = []
    climb = found.climb
    edge = groups_at_edge(found.problem, climb.free)
    if not climb.converged and edge:
        said.append(
            f"agq stopped where the level-2 correlation matrix of {len(edge)} group(s), the first "
            f"of them '{edge[0]}', is all but singular: these are no maximum-likelihood estimates. "
            "Give fewer correlations a function (level2={...}), or the random part fewer effects."
        )
    elif not climb.converged:
        said.append(
            f"agq did not converge ({climb.why}; {len(climb.trace)} steps): do not rely on these "
            "estimates. result.messages has the trace; a smaller model, or more nodes, may do."
        )
    if found.ranks != found.full_ranks and found.ranks:
        said.append(
            f"The level-2 covariance matrix is singular: rank {sum(found.ranks)} of "
            f"{sum(found.full_ranks)}. {' '.join(relations(found))} A fit held to that rank "
            f"reaches the same log-likelihood ({found.loglik:.4f}) to the accuracy of the nodes; "
            "standard errors are given it."
        )
    said += _undetermined(found, edge)
    error = found.nodes_error
    if np.isfinite(error) and abs(error) > NODES_ERROR:
        nodes = found.problem.nodes
        said.append(
            f"Doubling the quadrature nodes ({nodes} to {2 * nodes + 1} in each dimension) moves "
            f"the log-likelihood by {error:.2g}, more than {NODES_ERROR:g}: use "
            f"nodes={min(2 * nodes + 1, 101)}."
        )
    return tuple(said)


def _undetermined(found: Maximum, edge: list[str]) -> list[str]:
    """Say which estimates have no standard errors: those that go to infinity, and others."""
    design = found.problem.design
    labels = [parameter_table(design)[i][0] for i in found.unidentified]
    beyond = [label for label in labels if edge and label in _of_correlations(design)]
    others = [label for label in labels if label not in beyond]
    said = []
    if beyond:
        said.append(
            f"The level-2 correlation matrix of {len(edge)} group(s), the first of them "
            f"'{edge[0]}', is singular at the maximum: {', '.join(beyond)} go to infinity and have "
            "no standard errors. Give fewer correlations a function (level2={...}), or the random "
            "part fewer effects."
        )
    if others:
        said.append(
            f"The data do not determine {', '.join(others)}: the information matrix is singular. "
            "They have no standard errors; leave a term of these out."
        )
    return said


def _of_correlations(design: Design) -> set[str]:
    """Return the flat names of the coefficients of functions of correlations."""
    return {
        names.flat("kappa", names.kappa_label(*term))
        for term in design.kappa_terms
        if term[0] != "tau"
    }
