"""The vocabulary: variables, dims and labels of every result.

Labels are made here, from the spec, before a fit, and carried by a map; no
label is ever taken apart again.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Variable -> its dims after chain and draw. ``<group>`` is the grouping column's name.
VARIABLES = {
    "gamma": ("mean_term",),
    "delta": ("variance_term",),
    "tau": ("tau_pair",),
    "rho": ("rho_pair",),
    "kappa": ("kappa_term",),
    "lambda_": ("latent_term",),
    "nu": (),
    "pi": ("latent_class",),
    "u_class": ("latent_class", "mean_effect"),
    "v_class": ("latent_class", "variance_effect"),
    "u": ("<group>", "mean_effect"),
    "v": ("<group>", "variance_effect"),
}

#: What each variable stands for, in the README's notation table.
MEANINGS = {
    "gamma": ("mean coefficients", "outcome units"),
    "delta": ("coefficients of the log of the level-1 variance", "log variance (never log SD)"),
    "tau": (
        "level-2 variances and covariances of the effects u (mean) and v (log variance)",
        "variances and covariances; v on the log-variance scale",
    ),
    "rho": ("level-2 correlations", "correlation"),
    "kappa": (
        "coefficients of level-2 functions",
        "log variance, atanh correlation or atanh partial correlation",
    ),
    "lambda_": (
        "effects of u in the variance function",
        "log variance per SD of u (or per unit, where asked for)",
    ),
    "nu": ("degrees of freedom of Student-t effects", "-"),
    "pi": ("weights of latent classes", "probability"),
    "u_class": ("effects in the mean of each latent class", "outcome units"),
    "v_class": ("effects in the log variance of each latent class", "log variance"),
    "u": ("group effects in the mean", "outcome units"),
    "v": ("group effects in the log variance", "log variance"),
}

_DIMS = {dim for dims in VARIABLES.values() for dim in dims if not dim.startswith("<")}

_DATA = {
    "mean_design",
    "variance_design",
    "mean_effect_design",
    "variance_effect_design",
    "group_index",
    "level2_design",
}

#: Names a data column must not have, because a result uses them.
RESERVED = frozenset(VARIABLES) | _DIMS | _DATA | {"chain", "draw", "obs", "Intercept"}

#: Names a grouping column must not have: as dims they are taken for arguments of xarray and ArviZ.
RESERVED_GROUPS = frozenset(
    {"method", "tolerance", "drop", "indexers", "self", "hdi", "metric", "sample"}
)

INTERCEPT = "Intercept"

_PLAIN = frozenset(" _.,:()[]+-*/^~|<>=%")


def flat(variable: str, label: str | None = None) -> str:
    """Return the flat name of an element, as a row of ``arviz.summary`` has it.

    Examples
    --------
    >>> flat("gamma", "sector")
    'gamma[sector]'
    >>> flat("nu")
    'nu'
    """
    return variable if label is None else f"{variable}[{label}]"


def effect(letter: str, term: str) -> str:
    """Return the label of a group effect, for example ``u:Intercept``."""
    return f"{letter}:{term}"


def pair(first: str, second: str) -> str:
    """Return the label of a pair of effects, for example ``u:Intercept,v:Intercept``."""
    return f"{first},{second}"


def square(label: str) -> str:
    """Return the label of the square of a group effect, for example ``u:Intercept^2``."""
    return f"{label}^2"


def class_labels(classes: int | None) -> list[str]:
    """Return the labels of latent classes, from "1"; none where there are none."""
    return [str(number + 1) for number in range(classes or 0)]


def class_effect(latent_class: str, label: str) -> str:
    """Return the label of a class's effect, for example ``1, u:Intercept``."""
    return f"{latent_class}, {label}"


def ordering_effect(effects: Sequence[str]) -> int:
    """Return the position of the effect by which classes are ordered, the smallest first.

    It is ``u:Intercept``, and where there is none the first effect, u before v.
    """
    intercept = effect("u", INTERCEPT)
    return effects.index(intercept) if intercept in effects else 0


def kappa_label(variable: str, pair_label: str, term: str) -> str:
    """Return the label of a coefficient of a level-2 function.

    Parameters
    ----------
    variable : {"tau", "rho", "pcor"}
        Whether it is of a variance (its log), of a correlation or of a partial correlation (its
        atanh).
    pair_label : str
        The pair of effects, as `pair` writes it.
    term : str
        The term.

    Examples
    --------
    >>> kappa_label("rho", "u:Intercept,v:Intercept", "sector")
    'rho(u:Intercept,v:Intercept),sector'
    """
    return f"{variable}({pair_label}),{term}"


def comment(text: str) -> str:
    """Return a text of the user's as a comment of code can hold it: one line, no sign of code."""
    return "".join(c if c.isalnum() or c in _PLAIN else "?" for c in text)


def pair_indices(block: Sequence[int], diagonal: bool) -> list[tuple[int, int]]:
    """Return the pairs of effects that are not zero by the spec, row by row.

    Parameters
    ----------
    block : sequence of int
        The block of each effect; effects of different blocks are independent.
    diagonal : bool
        With the diagonal (``tau``) or without it (``rho``).

    Returns
    -------
    list of (int, int)
        (earlier, later) positions, in the order of the lower triangle by rows.
    """
    pairs = []
    for later in range(len(block)):
        for earlier in range(later + (1 if diagonal else 0)):
            if block[earlier] == block[later]:
                pairs.append((earlier, later))
    return pairs


def notation_table() -> str:
    """Return the vocabulary as a Markdown table: variable, dims, what it is, its scale."""
    rows = [["variable", "dims", "what", "scale"], ["---"] * 4]
    for name, dims in VARIABLES.items():
        what, scale = MEANINGS[name]
        shown = ", ".join(d.replace("<group>", "the grouping column") for d in dims) or "-"
        rows.append([f"`{name}`", shown, what, scale])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
