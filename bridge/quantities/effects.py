"""Group effects beside what each group's own rows say, and between two models."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bridge import group_sums, scales
from bridge.design import Design
from bridge.design_of import design_of
from bridge.errors import DataError, NotAvailable
from bridge.newdata import rows_of
from bridge.parameter_sets import at_estimates, estimated_effects
from bridge.prediction import given_effects
from bridge.quantities.groups import MEAN, SPREAD, check_one_profile, groups
from bridge.quantities.population import At, level1_variance
from bridge.quantities.profiles import variances_of_effects
from bridge.quantities.values import refuse_other_effects
from bridge.result import Result

_ALIKE = 1e-10  # of a column's largest value


def shrinkage(result: Result) -> pd.DataFrame:
    """Return the coefficients of every group by its own rows (BLUE) and by the model (BLUP).

    Parameters
    ----------
    result : Result
        Any fit with normal group effects in the mean.

    Returns
    -------
    pandas.DataFrame
        A row for each effect of the mean and group: effect, group, n, scale, blue, blue_se,
        population, blup, reliability. ``population`` is what the fixed part says of the group's
        coefficient (for an intercept gamma[Intercept] + gamma[w] w_j), ``blup`` that plus the
        group's effect, ``blue`` the coefficient by weighted least squares of the group's rows,
        what other fixed terms say taken off, and ``reliability`` the share of the effect's
        variance in that of the ``blue`` about ``population``. <NA> where a group's rows do not
        determine its coefficients.

    Raises
    ------
    NotAvailable
        Where the mean has no group effects, they are not normal, or enter the log variance.

    Notes
    -----
    With D = diag(1 / sigma_ij^2) at the estimates, V_j = (Z'DZ)^-1: blue = V_j Z'D (y - rest),
    reliability tau_kk / (tau_kk + V_j,kk) (Raudenbush & Bryk 2002, chapter 3), with tau_kk
    of the group under level-2 functions. With one effect of the mean, independent of v,
    blup = reliability blue + (1 - reliability) population.
    """
    design = design_of(result)
    effects = list(design.mean_effects)
    refuse_other_effects(result, "Shrinkage")
    if not effects:
        raise NotAvailable(
            "The mean has no group effects; add a random term, such as (1 | school), to it."
        )
    J, qu = len(design.group_labels), len(effects)
    variances = variances_of_effects(result)  # u before v
    gamma, u, precision = _at_estimates(result, design)
    part, rest = _parts(design, gamma)
    weighted = design.Z * precision[:, None]
    K = group_sums.products(weighted, design.Z, design.group, J)
    left = (design.y - rest)[:, None]
    h = group_sums.products(weighted, left, design.group, J)[:, :, 0]
    blue, se = np.full((J, qu), np.nan), np.full((J, qu), np.nan)
    for j in range(J):
        if np.linalg.matrix_rank(K[j]) == qu:
            V = np.linalg.inv(K[j])
            blue[j], se[j] = V @ h[j], np.sqrt(np.diag(V))
    parts = []
    for k, effect in enumerate(effects):
        columns = {
            "blue": blue[:, k],
            "blue_se": se[:, k],
            "population": part[:, k],
            "blup": part[:, k] + u[:, k],
            "reliability": variances[:, k] / (variances[:, k] + se[:, k] ** 2),
        }
        first = {
            "effect": effect,
            "group": list(design.group_labels),
            "n": np.bincount(design.group, minlength=J),
            "scale": scales.GAMMA,
        }
        numbers = {name: pd.array(v, dtype="Float64") for name, v in columns.items()}
        parts.append(pd.DataFrame({**first, **numbers}))
    return pd.concat(parts, ignore_index=True)


def _at_estimates(result: Result, design: Design) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return gamma (p,), u (J, qu) and the precision of every row (N,)."""
    sets, own = at_estimates(result), estimated_effects(result)[0]
    log_variance = given_effects(sets, rows_of(result), own[None, design.group])[1][0]
    return sets.gamma[0], own[:, : sets.qu], np.exp(-log_variance)


def _parts(design: Design, gamma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what of the fixed part goes with each effect (J, qu), and what is left of it (N,)."""
    J, Z, group = len(design.group_labels), design.Z, design.group
    part, rest = np.zeros((J, Z.shape[1])), np.zeros(len(design.y))
    square = group_sums.sums(Z**2, group, J)
    for coefficient, x in zip(gamma, design.mean.matrix.T, strict=True):
        for k, z in enumerate(Z.T):
            multiple = group_sums.sums(x * z, group, J)
            multiple = multiple / np.where(square[:, k] > 0, square[:, k], 1.0)
            if np.abs(x - multiple[group] * z).max() <= _ALIKE * np.abs(x).max():
                part[:, k] += coefficient * multiple
                break
        else:
            rest += coefficient * x
    return part, rest


# --- two models -----------------------------------------------------------------------------
def changes(before: Result, after: Result, at: At = None) -> pd.DataFrame:
    """Return how the variances of one model change in another of the same outcome and groups.

    Parameters
    ----------
    before, after : Result
        Two fits; ``after`` has predictors that ``before`` lacks, say.
    at : mapping, pandas.DataFrame or None
        The profile of the level-1 variance, as for `level1_variance`; by default each model's own
        average.

    Returns
    -------
    pandas.DataFrame
        quantity, scale, before, after, share: of each level-2 variance that both models have the
        same for all groups, and
        of the population-averaged level-1 variance; share is 1 - after / before, the share of it
        that the predictors explain (negative where it grows). There is no interval: the fits share
        their data.

    Raises
    ------
    DataError
        Where the two are not of the same outcome, rows and groups.
    """
    _check_same(before, after)
    rows = []
    variances = [_variances(result) for result in (before, after)]
    for effect in before.effects:
        if all(effect in own for own in variances):
            kind = effect[0]
            both = [own[effect] for own in variances]
            rows.append((f"variance of {effect}", scales.tau_scale(kind, kind), *both))
    averages = [_average_variance(result, at) for result in (before, after)]
    rows.append(("level-1 variance, population average", scales.tau_scale("u", "u"), *averages))
    found = pd.DataFrame(rows, columns=["quantity", "scale", "before", "after"])
    found["share"] = 1 - found["after"] / found["before"]
    return found


def _variances(result: Result) -> dict[str, float]:
    """Return the variance of every effect, where it is the same in all groups."""
    of_groups = variances_of_effects(result)
    return {
        effect: float(own[0])
        for effect, own in zip(result.effects, of_groups.T, strict=True)
        if np.ptp(own) == 0
    }


def _average_variance(result: Result, at: At) -> float:
    table = level1_variance(result, at)
    row = table[table["quantity"] == "population average"].iloc[0]
    if pd.isna(row["estimate"]):
        raise NotAvailable(f"There is no average level-1 variance to compare: {row['note']}.")
    return float(row["estimate"])


def group_changes(before: Result, after: Result, at: At | str = None) -> pd.DataFrame:
    """Return means and variances of groups, with ranks, in two models side by side.

    Parameters
    ----------
    before, after : Result
        Two fits of the same outcome and groups.
    at : mapping, pandas.DataFrame, "own" or None
        One profile, as for `groups`.

    Returns
    -------
    pandas.DataFrame
        quantity, group, n, scale, before, after, rank_before, rank_after, rank_change (positive
        where the group rises), correlation and rank_correlation (Spearman's) over all groups, the
        same in all rows of a quantity. What only one of the models lets differ is left out.

    Raises
    ------
    DataError
        Where the two are not of the same outcome, rows and groups.
    NotAvailable
        Where there is nothing that both let differ.
    """
    _check_same(before, after)
    for result in (before, after):
        check_one_profile(result, at)
    parts = []
    for quantity, letter in ((MEAN, "u"), (SPREAD, "v")):
        if not all(any(e[0] == letter for e in result.effects) for result in (before, after)):
            continue
        old, new = (groups(result, at, of=quantity) for result in (before, after))
        found = old[["quantity", "group", "n", "scale"]].copy()
        found["before"], found["after"] = old["estimate"], new["estimate"]
        for name, column in (("before", found["before"]), ("after", found["after"])):
            found[f"rank_{name}"] = column.rank(ascending=False)
        found["rank_change"] = found["rank_before"] - found["rank_after"]
        for name, kind in (("correlation", "pearson"), ("rank_correlation", "spearman")):
            numbers = found[["before", "after"]].astype(float)
            found[name] = float(numbers.corr(method=kind).iloc[0, 1])
        parts.append(found)
    if not parts:
        raise NotAvailable("There are no group effects that both models have.")
    return pd.concat(parts, ignore_index=True)


def _check_same(before: Result, after: Result) -> None:
    one, other = design_of(before), design_of(after)
    if one.spec.outcome != other.spec.outcome or one.spec.group != other.spec.group:
        raise DataError(
            f"The two fits are of {one.spec.outcome} in {one.spec.group} and of "
            f"{other.spec.outcome} in {other.spec.group}; changes are between models of the same."
        )
    alike = len(one.y) == len(other.y) and set(one.group_labels) == set(other.group_labels)
    if not alike:
        raise DataError(
            f"The two fits are not of the same rows and groups ({len(one.y):,} rows in "
            f"{len(one.group_labels):,} groups, and {len(other.y):,} in "
            f"{len(other.group_labels):,}); drop those with missing values of any predictor first, "
            "and fit both again."
        )
    same = one.group_labels == other.group_labels and np.array_equal(one.group, other.group)
    if not same or not np.allclose(one.y, other.y, rtol=1e-12, atol=0):
        raise DataError(
            f"The two fits have as many rows and the same groups, but not the same "
            f"{one.spec.outcome} and {one.spec.group} in each row; fit both to the same rows in "
            "the same order."
        )
