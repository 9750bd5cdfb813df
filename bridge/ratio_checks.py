"""What a likelihood ratio test refuses: options, results and pairs of models."""

from __future__ import annotations

import numpy as np

from bridge import arviz_compat
from bridge.design import Design
from bridge.errors import NotAvailable, OptionError, RequestError, suggest
from bridge.nesting import not_spanned
from bridge.result import Result
from bridge.same_model import check_same_data

METHODS = ("auto", "bootstrap")
#: Log determinants of mean designs no further apart than this are equal.
_SAME_VOLUME = 1e-6


def check_options(method: str, replications: int, seed: int | None) -> None:
    """Refuse options that are not.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    replications : int
        At least 1.
    seed : int or None
        At least 1.

    Raises
    ------
    OptionError
        Naming the option and what it may be.
    """
    if method not in METHODS:
        raise OptionError(
            f"method is one of {', '.join(METHODS)}, not {method!r}.{suggest(str(method), METHODS)}"
        )
    for name, value in (("replications", replications), ("seed", seed)):
        if name == "seed" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise OptionError(f"{name} is a whole number of at least 1, not {value!r}.")


def check_fits(small: Result, large: Result) -> None:
    """Refuse results without a maximised likelihood, or whose likelihoods are of different things.

    Parameters
    ----------
    small, large : Result
        The two fits, the smaller model first.

    Raises
    ------
    RequestError
        Where they are no results, or not of one method and the same rows.
    NotAvailable
        Where one has no maximised likelihood.
    """
    for result in (small, large):
        _check_result(result)
    _check_methods(small, large)
    _check_rows(small, large)
    check_same_data([small, large])


def check_designs(small: Result, large: Result, designs: tuple[Design, Design]) -> None:
    """Refuse models whose groups, order or restricted likelihoods do not allow a test.

    Whether the larger holds the smaller is found by `bridge.nesting.added`.

    Parameters
    ----------
    small, large : Result
        The two fits, the smaller model first.
    designs : (Design, Design)
        Theirs.

    Raises
    ------
    RequestError
        Where the groups differ, the first has more parameters, or restricted likelihoods are of
        different mean functions.
    """
    _check_groups(*designs)
    _check_order(small, large)
    _check_restricted(small, *designs)


def _check_result(result: Result) -> None:
    if not isinstance(result, Result):
        raise RequestError(
            f"bridge.likelihood_ratio takes results, not {type(result).__name__}; bridge.load "
            "reads a saved one."
        )
    if result.method not in ("ML", "REML"):
        what = "a posterior" if result.method == "posterior" else f"{result.method} estimates"
        raise NotAvailable(
            f"The fit by {result.engine} is {what} and has no maximised likelihood; fit the model "
            "by maximum likelihood (agq fits all that are not refused)."
        )


def _check_methods(small: Result, large: Result) -> None:
    if small.method != large.method:
        raise RequestError(
            f"The first fit is by {small.method} and the second by {large.method}, whose "
            'likelihoods are of different things; fit both with method="ML".'
        )


def _check_rows(small: Result, large: Result) -> None:
    """Refuse fits of different rows, naming the first that differs."""
    if small.spec.outcome != large.spec.outcome:
        return  # the check of the same data says so
    ours, theirs = (
        arviz_compat.groups_of(r.idata)["observed_data"][r.spec.outcome] for r in (small, large)
    )
    if np.array_equal(ours.values, theirs.values):
        return
    rows = [list(each["obs"].values) for each in (ours, theirs)]
    known = [set(each) for each in rows]
    first, second = ([r for r in rows[i] if r not in known[1 - i]] for i in (0, 1))
    if first or second:
        alone = [
            f"{len(left)} of the {which} (such as row {left[0]}) are not in the other"
            for which, left in (("first", first), ("second", second))
            if left
        ]
        said = f"of the rows used, {' and '.join(alone)}"
        advice = "give both the same rows, without missing values in the predictors of the larger"
    elif rows[0] != rows[1]:
        said, advice = "the same rows stand in another order", "fit both in one order"
    else:
        at = rows[0][int(np.flatnonzero(ours.values != theirs.values)[0])]
        said, advice = f"the outcome of row {at} is not the same", "fit both to the same outcome"
    raise RequestError(
        f"The fits are of different data ({small.n_obs} and {large.n_obs} rows): {said}; {advice}."
    )


def _check_groups(small: Design, large: Design) -> None:
    """Refuse groups that are not the same sets of rows, whatever they are called."""
    if not (small.effects and large.effects):
        return
    pairs = np.unique(np.stack([small.group, large.group]), axis=1).shape[1]
    if pairs != len(small.group_labels) or pairs != len(large.group_labels):
        raise RequestError(
            f"The groups differ ({small.spec.group}: {len(small.group_labels)}, "
            f"{large.spec.group}: {len(large.group_labels)}), so that neither model holds the "
            "other; fit both with the same grouping column."
        )


def _check_order(small: Result, large: Result) -> None:
    counts = [int(r.ml["n_parameters"]) for r in (small, large)]
    if counts[0] > counts[1]:
        raise RequestError(
            f"The first argument is the smaller model, and it has {counts[0]} parameters while "
            f"the second has {counts[1]}; give them the other way round."
        )


def _check_restricted(result: Result, small: Design, large: Design) -> None:
    """Refuse restricted likelihoods of different mean functions."""
    if result.method != "REML":
        return
    X, larger = small.mean.matrix, large.mean.matrix
    same = X.shape == larger.shape and not len(not_spanned(X, larger))
    if not (same and abs(_volume(X) - _volume(larger)) < _SAME_VOLUME):
        raise RequestError(
            "Restricted likelihoods (REML) of different mean functions cannot be compared, nor of "
            'one mean function written with different columns; fit both with method="ML".'
        )


def _volume(matrix: np.ndarray) -> float:
    return float(np.log(np.abs(np.diag(np.linalg.qr(matrix, mode="r")))).sum())
