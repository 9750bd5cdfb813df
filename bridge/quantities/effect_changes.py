"""One group effect in two models."""

from __future__ import annotations

import pandas as pd

from bridge.errors import DataError, NotAvailable, suggest
from bridge.result import Result, check_result
from bridge.same_model import check_same_data


def effect_changes(before: Result, after: Result, effect: str) -> pd.DataFrame:
    """Return one effect of every group, with ranks, in two models side by side.

    Parameters
    ----------
    before, after : Result
        Two fits of the same rows and groups.
    effect : str
        An effect of both, such as ``"u:ses"`` or ``"v:Intercept"``.

    Returns
    -------
    pandas.DataFrame
        quantity (the effect), group, scale, before, after, rank_before, rank_after (1 is the
        largest), rank_change (positive where the group rises), correlation and rank_correlation
        (Spearman's), the same in all rows; as those of `group_changes`.

    Raises
    ------
    NotAvailable
        Where one of the models has no such effect.
    DataError
        Where the two are of different groups.
    RequestError
        Where they are of different rows.
    """
    for value in (before, after):
        check_result(value)
    if before.spec.group != after.spec.group:
        raise DataError(
            f"The two fits are of groups {before.spec.group} and {after.spec.group}; give fits of "
            "the same groups."
        )
    check_same_data([before, after])
    tables = []
    for which, result in (("first", before), ("second", after)):
        if effect not in result.effects:
            raise NotAvailable(
                f"The {which} model has no effect '{effect}'."
                f"{suggest(str(effect), result.effects)} "
                f"It has: {', '.join(result.effects) or 'none'}."
            )
        table = result.group_effects
        tables.append(table[table["effect"] == effect].set_index("group"))
    old, new = tables
    if set(old.index) != set(new.index):
        raise DataError(
            f"The two fits do not have the same labels of {before.spec.group}; write them alike in "
            "both data, and fit again."
        )
    found = pd.DataFrame({"quantity": effect, "group": list(old.index)})
    found["scale"] = list(old["scale"])
    pair = {"before": old["estimate"], "after": new["estimate"].reindex(old.index)}
    for name, column in pair.items():
        found[name] = column.to_numpy()
    for name, column in pair.items():
        found[f"rank_{name}"] = column.rank(ascending=False).to_numpy(float)
    found["rank_change"] = found["rank_before"] - found["rank_after"]
    numbers = found[["before", "after"]].astype(float)
    for name, kind in (("correlation", "pearson"), ("rank_correlation", "spearman")):
        found[name] = float(numbers.corr(method=kind).iloc[0, 1])
    return found
