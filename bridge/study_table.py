"""The table of a simulation study: bias, spread, standard errors, coverage, and their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bridge.replication_parts import REPLICATION
from bridge.summary import aligned

#: What a replication's rows say besides its number.
ROWS = (
    "model", "engine", "parameter", "component", "scale", "estimate", "se", "lower", "upper",
    "status", "why", "seconds",
)  # fmt: skip
OK, FAILED = "ok", "failed"
_FIT = ["model", "engine"]
_CELLS = ("mean", "sd", "mean_se", "coverage")
_HEADS = ("mean", "SD", "mean SE", "cover %")


def fits_table(estimates: pd.DataFrame, replications: int) -> pd.DataFrame:
    """Return how the fits of each model by each engine went.

    Parameters
    ----------
    estimates : pandas.DataFrame
        With the columns `ROWS` and the replication.
    replications : int
        How many there are.

    Returns
    -------
    pandas.DataFrame
        model, engine, replications, ok, failed, warned (ok, with a word in ``why``), and the
        median seconds of a fit.
    """
    once = estimates.drop_duplicates([REPLICATION, *_FIT])
    good = once["status"] == OK
    kept = once[_FIT].assign(
        ok=good, failed=~good, warned=good & once["why"].notna(), seconds=once["seconds"]
    )
    found = kept.groupby(_FIT, sort=False).agg(
        ok=("ok", "sum"), failed=("failed", "sum"), warned=("warned", "sum"),
        seconds=("seconds", "median"),
    )  # fmt: skip
    found.insert(0, "replications", replications)
    return found.reset_index()


def study_table(
    estimates: pd.DataFrame, truth: Mapping[str, float], replications: int
) -> pd.DataFrame:
    """Return the table of a study, one row a model, engine and parameter.

    Parameters
    ----------
    estimates : pandas.DataFrame
        With the columns `ROWS` and the replication.
    truth : mapping of str to float
        By flat name, canonical scales; a parameter that is not in it has no true value.
    replications : int
        How many there are.

    Returns
    -------
    pandas.DataFrame
        model, engine, parameter, scale, true; replications, failed (fits), n (fits that give the
        estimate), mean, bias, sd, n_se (that give a standard error), mean_se, se_ratio (mean
        standard error over SD of the estimates; below 1 is spurious precision), n_interval (that
        give an interval), coverage (share of the n whose interval holds the true value: an
        interval that is not given holds nothing) and coverage_given (share of the n_interval).
        Each number x has its Monte Carlo error in x_mc.

    Notes
    -----
    Of n fits, estimates with SD s and shares p, the Monte Carlo errors are s / sqrt(n) of a mean
    and a bias, s / sqrt(2 (n - 1)) of an SD, and sqrt(p (1 - p) / n) of a share k / n with
    p = (k + 1) / (n + 2), never zero (Morris, White & Crowther 2019, Statistics in Medicine 38,
    table 6). That of the ratio takes mean SE and SD for independent.
    """
    good = estimates[(estimates["status"] == OK) & estimates["parameter"].notna()]
    failed = fits_table(estimates, replications).set_index(_FIT)["failed"]
    rows = []
    for (model, engine, parameter), own in good.groupby([*_FIT, "parameter"], sort=False):
        true = float(truth.get(parameter, np.nan))
        rows.append(
            {
                "model": model, "engine": engine, "parameter": parameter,
                "scale": own["scale"].iloc[0], "true": true,
                "replications": replications, "failed": int(failed[model, engine]),
                **numbers(own, true),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def numbers(own: pd.DataFrame, true: float) -> dict[str, float]:
    """Return the numbers of one parameter of one model by one engine, as `study_table` has them.

    Parameters
    ----------
    own : pandas.DataFrame
        estimate, se, lower and upper, one row a fit.
    true : float
        The true value; NaN where there is none, and then no bias and no coverage.
    """
    estimate = _known(own["estimate"])
    se = _known(own["se"])
    n, sd, mean_se = len(estimate), _sd(estimate), _mean(se)
    found: dict[str, float] = {"n": n, "mean": _mean(estimate), "mean_mc": _over(sd, n)}
    found |= {"bias": found["mean"] - true, "bias_mc": found["mean_mc"]}
    found |= {"sd": sd, "sd_mc": _over(sd, 2 * (n - 1))}
    found |= {"n_se": len(se), "mean_se": mean_se, "mean_se_mc": _over(_sd(se), len(se))}
    ratio = mean_se / sd if sd > 0 else np.nan
    of_se = found["mean_se_mc"] / mean_se if mean_se > 0 else np.nan
    of_sd = _over(1.0, 2 * (n - 1))
    found |= {"se_ratio": ratio, "se_ratio_mc": ratio * float(np.hypot(of_se, of_sd))}
    ends = own.loc[own["estimate"].notna(), ["lower", "upper"]].to_numpy(dtype=float)
    given = int(np.isfinite(ends).all(axis=1).sum())
    # what is missing compares as false; without a true value nothing can be covered
    inside = int(((ends[:, 0] <= true) & (true <= ends[:, 1])).sum())
    found["n_interval"] = given
    found |= _share("coverage", inside, n, true) | _share("coverage_given", inside, given, true)
    return found


def _known(column: pd.Series) -> np.ndarray:
    values = column.to_numpy(dtype=float, na_value=np.nan)
    return values[np.isfinite(values)]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def _over(spread: float, n: int) -> float:
    return float(spread / np.sqrt(n)) if n > 0 else np.nan


def _share(name: str, inside: int, n: int, true: float) -> dict[str, float]:
    if not n or np.isnan(true):
        return {name: np.nan, f"{name}_mc": np.nan}
    p = (inside + 1) / (n + 2)
    return {name: inside / n, f"{name}_mc": float(np.sqrt(p * (1 - p) / n))}


# --- the layout of a printed table -------------------------------------------------------
def layout(table: pd.DataFrame, models: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of one engine's table, models side by side.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows of `study_table` of one engine.
    models : sequence of str
        In this order.

    Returns
    -------
    heads : list of str
        parameter, scale, true, and by model mean, SD, mean SE and coverage in percent.
    rows : list of list of str
        A row a parameter: two digits of the smallest SD or SE, as Table 1 of Leckie et al. (2014);
        empty where a model does not have the parameter.
    """
    heads = ["parameter", "scale", "true"]
    heads += [f"{model}: {head}" for model in models for head in _HEADS]
    rows = []
    for parameter, own in table.groupby("parameter", sort=False):
        by_model = own.set_index("model")
        places = _places(pd.concat([own["sd"], own["mean_se"]]))
        true = own["true"].iloc[0]
        row = [str(parameter), str(own["scale"].iloc[0]), "" if np.isnan(true) else f"{true:g}"]
        for model in models:
            if model in by_model.index:
                row += [_cell(name, by_model.loc[model, name], places) for name in _CELLS]
            else:
                row += ["" for _ in _CELLS]
        rows.append(row)
    return heads, rows


def _places(sd: pd.Series) -> int:
    known = _known(sd)
    known = known[known > 0]
    return int(np.clip(1 - np.floor(np.log10(known.min())), 0, 8)) if len(known) else 3


def _cell(name: str, value: float, places: int) -> str:
    if np.isnan(value):
        return "-"
    return f"{100 * value:.0f}" if name == "coverage" else f"{value:z.{places}f}"


def as_text(table: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Return one engine's table in aligned lines, the models' names above their columns."""
    _, rows = layout(table, models)
    above = ["", "", ""]
    for model in models:
        above += [model, *("" for _ in _HEADS[1:])]
    return aligned([above, ["parameter", "scale", "true", *_HEADS * len(models)], *rows], left=2)


def as_markdown(table: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Return one engine's table in Markdown."""
    heads, rows = layout(table, models)
    rule = ["---", "---", *("---:" for _ in heads[2:])]
    return [f"| {' | '.join(row)} |" for row in [heads, rule, *rows]]


def notes(table: pd.DataFrame, fits: pd.DataFrame) -> list[str]:
    """Return sentences on one engine's denominators and Monte Carlo errors."""
    said = []
    for row in fits.itertuples(index=False):
        text = f"{row.model}: {row.ok:,} of {row.replications:,} fits"
        text += f", {row.failed:,} failed" if row.failed else ""
        text += f", {row.warned:,} with warnings" if row.warned else ""
        said.append(f"{text}; {row.seconds:.2g} s a fit.")
    for row in table[table["n_interval"] < table["n"]].itertuples(index=False):
        without = row.n - row.n_interval
        said.append(
            f"{row.model}: {without:,} of {row.n:,} fits give no interval of {row.parameter}; they "
            "count as not covering."
        )
    if len(table):
        of = table[["mean_mc", "sd_mc", "mean_se_mc", "coverage_mc"]].max()
        said.append(
            f"Monte Carlo errors, at most: mean {of['mean_mc']:.2g}, SD {of['sd_mc']:.2g}, mean SE "
            f"{of['mean_se_mc']:.2g}, coverage {100 * of['coverage_mc']:.2g} points."
        )
    return said
