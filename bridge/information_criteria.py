"""Information criteria of a posterior as tables and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat
from bridge.class_criteria import class_criteria
from bridge.design import Design
from bridge.design_of import design_of
from bridge.elpd import Elpd, leave_out
from bridge.engines.base import Progress
from bridge.errors import NotAvailable, OptionError, RequestError, suggest
from bridge.marginal.by_draw import check_available, marginal_by_draw, variable_of
from bridge.progress import shown
from bridge.result import Result
from bridge.row_criteria import Dic, row_criteria
from bridge.same_model import check_same_data
from bridge.summary import aligned, digits

#: Which likelihood, and of which units, each criterion is of.
GIVEN, MARGINAL = "given the effects", "marginal over the effects"
CRITERIA = {
    "dic": (GIVEN, "row"),
    "waic": (GIVEN, "row"),
    "loo": (GIVEN, "row"),
    "logo": (MARGINAL, "group"),
}
#: The same with latent classes; see `bridge.class_criteria`.
OF_CLASSES = {name: (MARGINAL, "row" if name == "loo" else "group") for name in CRITERIA}
ELPD, DEVIANCE = "elpd", "deviance"
#: Criterion -> likelihood and unit.
Kinds = dict[str, tuple[str, str]]
#: Above it importance sampling is not to be relied on (Vehtari et al. 2024).
K_LIMIT = 0.7
#: A unit's posterior variance of its log-likelihood above which WAIC fails (Vehtari et al. 2017).
_WAIC_LIMIT = 0.4

#: With fewer draws k-hat has to be lower than `K_LIMIT`: below 1 - 1 / log10(draws).
_ENOUGH_DRAWS = 2200
_REMEDY = {
    "loo": "use logo, or fit again without these rows and predict them",
    "logo": "fit again without each of these groups and predict it from that fit",
}
_CANNOT_TELL = "cannot tell"

_KEYS = ["criterion", "likelihood", "unit"]
_NUMBERS = ["estimate", "se", "mc_error", "effective_parameters", "worst_k_hat"]
_ABOVE = f"k_hat_above_{K_LIMIT}"


@dataclass(frozen=True, eq=False, repr=False)
class Criteria:
    """Information criteria of one posterior.

    Attributes
    ----------
    result : Result
        The posterior.
    table : pandas.DataFrame
        One row a criterion and scale: criterion ("dic", "waic", "loo", "logo"), likelihood ("given
        the effects" or "marginal over the effects", with latent classes always the latter), unit
        ("row" or "group"), scale ("elpd", or "deviance": minus twice it), estimate, se (over
        units), mc_error (of the draws), effective_parameters, worst_k_hat, k_hat_above_0.7 (how
        many units).
    pointwise : pandas.DataFrame
        One row a unit of each criterion but the DIC: criterion, likelihood, unit, label, elpd,
        effective_parameters, k_hat.
    notes : tuple of str
        Where a number is not to be relied on or is not there, and what to do.
    """

    result: Result
    table: pd.DataFrame
    pointwise: pd.DataFrame
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the table, likelihood and scale beside each number, and the notes."""
        heads = ["", "scale", "estimate", "SE", "MC error", "parameters", "worst k-hat"]
        rows = [heads]
        for (name, likelihood, unit), part in self.table.groupby(_KEYS, sort=False):
            rows.append([f"{name} ({likelihood}, by {unit})", *("" for _ in heads[1:])])
            for _, row in part.iterrows():
                rows.append(["", row["scale"], *(_cell(row[column]) for column in _NUMBERS)])
        spec = self.result.spec
        return "\n".join(
            [
                f"{spec.mean}; log variance {spec.variance}",
                f"Engine: {self.result.engine}; rows: {self.result.n_obs}; groups: "
                f"{self.result.n_groups}",
                "",
                *aligned(rows, left=2),
                "",
                "elpd: sum of log predictive densities, higher is better; deviance: lower is "
                "better. SE: over units; MC error: of the draws.",
                *(f"Note: {note}" for note in self.notes),
            ]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def _cell(value: Any) -> str:
    return "" if pd.isna(value) else digits(value)


# --- to make them -----------------------------------------------------------------------------
def make_criteria(
    result: Result, which: str | Sequence[str], progress: Progress | bool | None = None
) -> Criteria:
    """Return the criteria of a posterior; see `bridge.criteria`."""
    asked = _checked(result, which)
    posterior = arviz_compat.groups_of(result.idata)["posterior"]
    posterior = posterior.transpose("chain", "draw", ...)
    design = design_of(result)
    classes = design.spec.classes is not None
    if asked == ["logo"]:
        check_available(design)
    kinds = OF_CLASSES if classes else CRITERIA
    efficiency = arviz_compat.relative_efficiency(posterior)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    rows, points = [], []
    notes: list[str] = []
    with shown(progress, "criteria") as report:
        if classes:
            loglik = _group_loglik(result, design, posterior, report)
            dic, found = class_criteria(
                design, posterior, loglik, asked, efficiency, lambda share: report(share, "rows")
            )
        else:
            of_rows = row_criteria(
                design, posterior, asked, efficiency, lambda share: report(share, "rows")
            )
            dic, found = of_rows.dic, {"waic": of_rows.waic, "loo": of_rows.loo}
            if "logo" in asked:
                found["logo"], said = _of_groups(result, design, posterior, efficiency, report)
                notes += said
    if dic is not None:
        rows.append(_of_dic(dic, shape, kinds))
        notes = _dic_notes(dic) + notes
    for name, elpd in found.items():
        if elpd is None:
            continue
        labels = list(design.index) if kinds[name][1] == "row" else design.group_labels
        rows += _of_elpd(name, elpd, shape, kinds)
        points.append(_pointwise(name, elpd, labels, kinds))
        notes += _elpd_notes(name, elpd, labels, shape[0] * shape[1], kinds)
    return Criteria(result, _table(rows), _stacked(points), tuple(notes))


def _checked(result: Result, which: str | Sequence[str]) -> list[str]:
    if not isinstance(result, Result):
        raise RequestError(
            f"bridge.criteria takes a result, not {type(result).__name__}; bridge.load reads a "
            "saved one."
        )
    if result.method != "posterior":
        raise NotAvailable(
            f"This {result.method} fit by {result.engine} has no draws, and the criteria are of "
            "draws: fit with nuts, brms or stan for them"
            + ("; result.aic and result.bic are of this fit." if result.ml else ".")
        )
    asked = [which] if isinstance(which, str) else list(which)
    for name in asked:
        if name not in CRITERIA:
            raise OptionError(
                f"which holds some of {', '.join(CRITERIA)}, not {name!r}."
                f"{suggest(str(name), CRITERIA)}"
            )
    if not asked:
        raise OptionError(f"which is empty; it holds some of {', '.join(CRITERIA)}.")
    return [name for name in CRITERIA if name in asked]


def _of_groups(
    result: Result,
    design: Design,
    posterior: Any,
    efficiency: float,
    report: Callable[[float | None, str], None],
) -> tuple[Elpd | None, list[str]]:
    """Return leave-one-group-out, or why there is none."""
    try:
        check_available(design)
    except NotAvailable as missing:
        return None, [f"logo is left out. {missing}"]
    loglik = _group_loglik(result, design, posterior, report)
    draws = loglik.shape[0] * loglik.shape[1]
    by_unit = np.ascontiguousarray(loglik.reshape(draws, -1).T)
    lost = int((~np.isfinite(by_unit)).any(axis=0).sum())
    if lost:
        return None, [
            f"logo is left out: {lost} of {draws} draws give no finite marginal log-likelihood of "
            "the groups (a covariance matrix that is none, or a residual variance of all but zero)."
        ]
    return leave_out(by_unit, efficiency), []


def _group_loglik(
    result: Result, design: Design, posterior: Any, report: Callable[[float | None, str], None]
) -> np.ndarray:
    """Return the marginal log-likelihood of the groups (chain, draw, J); idata may hold it."""
    kept: Any = arviz_compat.groups_of(result.idata).get("log_likelihood", {})
    if variable_of(design) in kept:
        found: np.ndarray = kept[variable_of(design)].transpose("chain", "draw", ...).values
        return found
    return marginal_by_draw(design, posterior, lambda share: report(share, "groups"))


def _mc_error(influence: np.ndarray, shape: tuple[int, int]) -> float:
    """Return the Monte Carlo error of a sum from the influences of the draws on it."""
    return arviz_compat.diagnostics(influence.reshape(shape))["mcse"]


def _of_dic(dic: Dic, shape: tuple[int, int], kinds: Kinds) -> dict[str, Any]:
    return {
        **_keys("dic", kinds),
        "scale": DEVIANCE,
        "estimate": dic.value,
        "mc_error": _mc_error(dic.influence, shape),
        "effective_parameters": dic.effective,
    }


def _of_elpd(name: str, elpd: Elpd, shape: tuple[int, int], kinds: Kinds) -> list[dict[str, Any]]:
    units = len(elpd.elpd)
    known = elpd.k_hat[~np.isnan(elpd.k_hat)]
    above = int((known > K_LIMIT).sum())
    error = _mc_error(elpd.influence, shape) if not above else float("nan")
    rows = []
    for scale, factor in ((ELPD, 1.0), (DEVIANCE, -2.0)):
        row = {
            **_keys(name, kinds),
            "scale": scale,
            "estimate": factor * float(elpd.elpd.sum()),
            "se": abs(factor) * float(np.sqrt(units * elpd.elpd.var())),
            "mc_error": abs(factor) * error,
            "effective_parameters": float(elpd.effective.sum()),
        }
        if name != "waic":
            row |= {"worst_k_hat": known.max() if len(known) else np.nan, _ABOVE: above}
        rows.append(row)
    return rows


def _keys(name: str, kinds: Kinds) -> dict[str, str]:
    return dict(zip(_KEYS, (name, *kinds[name]), strict=True))


def _table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {key: pd.Series([row[key] for row in rows], dtype=object) for key in (*_KEYS, "scale")}
    )
    for column in _NUMBERS:
        frame[column] = _nullable([row.get(column, np.nan) for row in rows], "Float64")
    frame[_ABOVE] = _nullable([row.get(_ABOVE, np.nan) for row in rows], "Int64")
    return frame


def _nullable(values: Sequence[Any], kind: str) -> Any:
    return pd.array([None if np.isnan(v) else v for v in values], dtype=kind)


def _pointwise(name: str, elpd: Elpd, labels: Sequence[Any], kinds: Kinds) -> pd.DataFrame:
    frame = pd.DataFrame({key: [value] * len(labels) for key, value in _keys(name, kinds).items()})
    frame["label"] = pd.Series(list(labels), dtype=object)
    frame["elpd"], frame["effective_parameters"] = elpd.elpd, elpd.effective
    frame["k_hat"] = _nullable(list(elpd.k_hat), "Float64")
    return frame


def _stacked(points: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if points:
        return pd.concat(points, ignore_index=True)
    return pd.DataFrame(columns=[*_KEYS, "label", "elpd", "effective_parameters", "k_hat"])


# --- in words ---------------------------------------------------------------------------------
def _dic_notes(dic: Dic) -> list[str]:
    if dic.effective >= 0:
        return []
    return [
        "the DIC's number of effective parameters is negative, so that the posterior means are no "
        "good summary of this posterior; use loo or logo."
    ]


def _elpd_notes(
    name: str, elpd: Elpd, labels: Sequence[Any], draws: int, kinds: Kinds
) -> list[str]:
    unit = kinds[name][1]
    if name != "waic":
        return _k_notes(name, unit, elpd.k_hat, labels, draws)
    high = int((elpd.effective > _WAIC_LIMIT).sum())
    if not high:
        return []
    return [
        f"waic: in {high} of {len(labels)} {unit}s the log-likelihood has a posterior variance "
        f"above {_WAIC_LIMIT}, where WAIC is not to be relied on; use "
        f"{'loo' if unit == 'row' else 'logo'}."
    ]


def _k_notes(
    name: str, unit: str, k_hat: np.ndarray, labels: Sequence[Any], draws: int
) -> list[str]:
    """Return a sentence where k-hat is bad, and one where it is so for so few draws."""
    said = []
    bad = np.flatnonzero(k_hat > K_LIMIT)
    if len(bad):
        worst = int(bad[np.argmax(k_hat[bad])])
        said.append(
            f"{name}: k-hat is above {K_LIMIT} in {len(bad)} of {len(labels)} {unit}s (worst "
            f"{k_hat[worst]:.2f}, {unit} {labels[worst]}): the posterior without such a {unit} is "
            "too far from this one, so that the estimate is not to be relied on and its Monte "
            f"Carlo error is not known; draw more, or {_REMEDY[name]}."
        )
    limit = max(1 - 1 / float(np.log10(max(draws, 2))), 0.0)
    between = int(((k_hat > limit) & (k_hat <= K_LIMIT)).sum())
    if between:
        said.append(
            f"{name}: k-hat is between {limit:.2f} and {K_LIMIT} in {between} of {len(labels)} "
            f"{unit}s, for which {draws} draws in all are too few; draw at least "
            f"{_ENOUGH_DRAWS}."
        )
    return said


# --- differences --------------------------------------------------------------------------------
def difference(first: Criteria, second: Criteria) -> pd.DataFrame:
    """Return first less second; see `bridge.criteria_difference`."""
    for each in (first, second):
        if not isinstance(each, Criteria):
            raise RequestError(
                f"bridge.criteria_difference takes what bridge.criteria makes, not "
                f"{type(each).__name__}."
            )
    check_same_data((first.result, second.result))
    keys = [*_KEYS, "scale"]
    both = first.table.merge(second.table, on=keys, suffixes=("", " of second"))
    if both.empty:
        raise RequestError(
            "The two have no criterion in common; ask bridge.criteria for the same of both."
        )
    both["difference"] = both["estimate"] - both["estimate of second"]
    both["se"] = _nullable(
        [_paired_se(first, second, row) for _, row in both.iterrows()], "Float64"
    )
    both["mc_error"] = (both["mc_error"] ** 2 + both["mc_error of second"] ** 2) ** 0.5
    both["favours"] = [_favoured(row) for _, row in both.iterrows()]
    return both[[*keys, "difference", "se", "mc_error", "favours"]]


def _favoured(row: pd.Series) -> str:
    """Return which of two is better; neither where errors alone could have made the difference."""
    if pd.isna(row["mc_error"]):
        return _CANNOT_TELL
    sampling = 0.0 if pd.isna(row["se"]) else float(row["se"])
    gain = float(row["difference"]) * (1 if row["scale"] == ELPD else -1)
    if abs(gain) <= 2 * np.hypot(sampling, float(row["mc_error"])):
        return _CANNOT_TELL
    return "first" if gain > 0 else "second"


def _paired_se(first: Criteria, second: Criteria, row: pd.Series) -> float:
    name = row["criterion"]
    parts = [c.pointwise[c.pointwise["criterion"] == name] for c in (first, second)]
    if parts[0].empty:
        return float("nan")
    if list(parts[0]["label"]) != list(parts[1]["label"]):
        raise RequestError(
            f"{name} is by other {row['unit']}s in the one than in the other; fit both models to "
            "the same groups."
        )
    each = parts[0]["elpd"].to_numpy() - parts[1]["elpd"].to_numpy()
    se = float(np.sqrt(len(each) * each.var()))
    return se if row["scale"] == ELPD else 2 * se
