"""The named models of Bryk & Raudenbush (1992), "from the simple to the complex".

Each function returns a `ModelSpec`: y is the outcome, x a predictor of units within groups
(level 1), w one of groups (level 2), each a column or a term of the grammar, such as ``log(size)``;
several predictors are written as a sum, ``"sector + size"``. Further parts of a specification
(``variance``, ``priors``, ...) go by name. `NAMED` lists the constructors under their traditional
names, in the order of the table of the course notes "Mixed models with R" (SCS 2017).

Notation: y_ij of unit i in group j; r_ij ~ N(0, sigma2); u ~ N(0, T).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.spec import ModelSpec

__all__ = [
    "NAMED",
    "contextual_cwg",
    "contextual_intercepts_and_slopes_as_outcomes",
    "contextual_raw",
    "intercepts_and_slopes_as_outcomes",
    "means_as_outcomes",
    "nonrandom_slopes",
    "one_way_ancova",
    "one_way_anova",
    "parallel_mean_slopes",
    "random_coefficients",
    "random_intercept",
]


def one_way_anova(y: str, group: str, **parts: Any) -> ModelSpec:
    """Return the one-way ANOVA with random effects: a mean and a random intercept.

    y_ij = g00 + u0j + r_ij. HLM: "one-way ANOVA with random effects" (the unconditional model).
    R: ``lme(y ~ 1, random = ~ 1 | g)``, ``lmer(y ~ 1 + (1 | g))``. The intraclass correlation is
    tau / (tau + sigma2).

    Parameters
    ----------
    y, group : str
        Outcome and grouping column.
    **parts
        Further parts of the `ModelSpec`, such as ``variance="~ 1 + (1 | school)"``.

    Examples
    --------
    >>> bridge.models.one_way_anova("mathach", "school").mean
    'mathach ~ 1 + (1 | school)'
    """
    return ModelSpec(f"{y} ~ 1 + (1 | {group})").replace(**parts)


def random_intercept(y: str, group: str, x: str = "1", **parts: Any) -> ModelSpec:
    """Return a random intercept beside any fixed part; without one, the one-way ANOVA.

    y_ij = x'g + u0j + r_ij. HLM: "random intercept model". R: ``lme(y ~ x, random = ~ 1 | g)``,
    ``lmer(y ~ x + (1 | g))``.

    Parameters
    ----------
    y, group : str
        Outcome and grouping column.
    x : str
        Predictors of either level.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.random_intercept("mathach", "school", "ses + sector").mean
    'mathach ~ 1 + ses + sector + (1 | school)'
    """
    if x == "1":
        return one_way_anova(y, group, **parts)
    return ModelSpec(f"{y} ~ 1 + {x} + (1 | {group})").replace(**parts)


def means_as_outcomes(y: str, w: str, group: str, **parts: Any) -> ModelSpec:
    """Return means as outcomes: a predictor of groups for the groups' means.

    y_ij = b0j + r_ij, b0j = g00 + g01 w_j + u0j. HLM: "means-as-outcomes regression".
    R: ``lme(y ~ w, random = ~ 1 | g)``, ``lmer(y ~ w + (1 | g))``.

    Parameters
    ----------
    y, w, group : str
        Outcome, predictor of groups, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.means_as_outcomes("mathach", "sector", "school").mean
    'mathach ~ 1 + sector + (1 | school)'
    """
    return random_intercept(y, group, w, **parts)


def one_way_ancova(y: str, x: str, group: str, **parts: Any) -> ModelSpec:
    """Return the one-way ANCOVA with random effects: one slope for all groups.

    y_ij = b0j + g10 x_ij + r_ij, b0j = g00 + u0j. HLM: "one-way ANCOVA with random effects".
    R: ``lme(y ~ x, random = ~ 1 | g)``, ``lmer(y ~ x + (1 | g))``.

    Parameters
    ----------
    y, x, group : str
        Outcome, predictor of units, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.one_way_ancova("mathach", "ses", "school").mean
    'mathach ~ 1 + ses + (1 | school)'
    """
    return random_intercept(y, group, x, **parts)


def random_coefficients(y: str, x: str, group: str, **parts: Any) -> ModelSpec:
    """Return random coefficients: each group has its intercept and its slope.

    y_ij = b0j + b1j x_ij + r_ij, b0j = g00 + u0j, b1j = g10 + u1j. HLM: "random-coefficients
    regression model". R: ``lme(y ~ x, random = ~ 1 + x | g)``, ``lmer(y ~ x + (1 + x | g))``.

    Parameters
    ----------
    y, x, group : str
        Outcome, predictor of units, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.random_coefficients("mathach", "ses", "school").mean
    'mathach ~ 1 + ses + (1 + ses | school)'
    """
    return ModelSpec(f"{y} ~ 1 + {x} + (1 + {x} | {group})").replace(**parts)


def intercepts_and_slopes_as_outcomes(
    y: str, x: str, w: str, group: str, **parts: Any
) -> ModelSpec:
    """Return intercepts and slopes as outcomes: a predictor of groups for both.

    y_ij = b0j + b1j x_ij + r_ij, b0j = g00 + g01 w_j + u0j, b1j = g10 + g11 w_j + u1j; g11 is the
    cross-level interaction. HLM: "intercepts- and slopes-as-outcomes model".
    R: ``lme(y ~ x * w, random = ~ 1 + x | g)``, ``lmer(y ~ x * w + (1 + x | g))``.

    Parameters
    ----------
    y, x, w, group : str
        Outcome, predictor of units, predictor of groups, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.intercepts_and_slopes_as_outcomes("mathach", "ses", "sector", "school").mean
    'mathach ~ 1 + ses + sector + ses:sector + (1 + ses | school)'
    """
    return ModelSpec(f"{y} ~ {_crossed(x, w)} + (1 + {x} | {group})").replace(**parts)


def nonrandom_slopes(y: str, x: str, w: str, group: str, **parts: Any) -> ModelSpec:
    """Return slopes that vary with a predictor of groups and with nothing else.

    y_ij = b0j + b1j x_ij + r_ij, b0j = g00 + g01 w_j + u0j, b1j = g10 + g11 w_j. HLM: "model with
    nonrandomly varying slopes". R: ``lme(y ~ x * w, random = ~ 1 | g)``,
    ``lmer(y ~ x * w + (1 | g))``.

    Parameters
    ----------
    y, x, w, group : str
        Outcome, predictor of units, predictor of groups, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.nonrandom_slopes("mathach", "ses", "sector", "school").mean
    'mathach ~ 1 + ses + sector + ses:sector + (1 | school)'
    """
    return ModelSpec(f"{y} ~ {_crossed(x, w)} + (1 | {group})").replace(**parts)


def parallel_mean_slopes(y: str, x: str, w: str, group: str, **parts: Any) -> ModelSpec:
    """Return random slopes whose mean does not depend on the predictor of groups.

    y_ij = b0j + b1j x_ij + r_ij, b0j = g00 + g01 w_j + u0j, b1j = g10 + u1j. HLM: "intercepts as
    outcomes" beside random slopes. R: ``lme(y ~ x + w, random = ~ 1 + x | g)``,
    ``lmer(y ~ x + w + (1 + x | g))``.

    Parameters
    ----------
    y, x, w, group : str
        Outcome, predictor of units, predictor of groups, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.parallel_mean_slopes("mathach", "ses", "sector", "school").mean
    'mathach ~ 1 + ses + sector + (1 + ses | school)'
    """
    return ModelSpec(f"{y} ~ 1 + {x} + {w} + (1 + {x} | {group})").replace(**parts)


def contextual_cwg(y: str, x: str, group: str, **parts: Any) -> ModelSpec:
    """Return the contextual model with the group mean and the deviation from it (CWG).

    y_ij = g00 + g01 m_j + g10 (x_ij - m_j) + u0j + u1j (x_ij - m_j) + r_ij, m_j the mean of x in
    the group: g01 is the effect between groups, g10 that within. HLM: group-mean centring with the
    mean at level 2. R: ``lme(y ~ cvar(x, g) + dvar(x, g), random = ~ 1 + dvar(x, g) | g)``.

    Parameters
    ----------
    y, x, group : str
        Outcome, predictor of units (a number), grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.contextual_cwg("y", "x", "g").mean
    'y ~ 1 + cvar(x, g) + dvar(x, g) + (1 + dvar(x, g) | g)'
    """
    mean, deviation = _within(x, group)
    return ModelSpec(f"{y} ~ 1 + {mean} + {deviation} + (1 + {deviation} | {group})").replace(
        **parts
    )


def contextual_raw(y: str, x: str, group: str, **parts: Any) -> ModelSpec:
    """Return the contextual model with the group mean and the raw predictor.

    y_ij = g00 + g01 m_j + g10 x_ij + u0j + u1j (x_ij - m_j) + r_ij: g10 is the effect within
    groups and g01 the contextual effect, that between less that within. HLM: the raw predictor
    with the mean at level 2. R: ``lme(y ~ cvar(x, g) + x, random = ~ 1 + dvar(x, g) | g)``.

    Parameters
    ----------
    y, x, group : str
        Outcome, predictor of units (a number), grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.contextual_raw("y", "x", "g").mean
    'y ~ 1 + cvar(x, g) + x + (1 + dvar(x, g) | g)'
    """
    mean, deviation = _within(x, group)
    return ModelSpec(f"{y} ~ 1 + {mean} + {x} + (1 + {deviation} | {group})").replace(**parts)


def contextual_intercepts_and_slopes_as_outcomes(
    y: str, x: str, w: str, group: str, **parts: Any
) -> ModelSpec:
    """Return intercepts and slopes as outcomes with the group mean and the deviation from it.

    y_ij = b0j + b1j (x_ij - m_j) + r_ij, b0j = g00 + g01 m_j + g02 w_j + g03 m_j w_j + u0j,
    b1j = g10 + g11 w_j + u1j. HLM: "intercepts- and slopes-as-outcomes" with group-mean centring
    and the mean at level 2. R: ``lme(y ~ (cvar(x, g) + dvar(x, g)) * w, random = ~ 1 +
    dvar(x, g) | g)``.

    Parameters
    ----------
    y, x, w, group : str
        Outcome, predictor of units (a number), predictor of groups, grouping column.
    **parts
        Further parts of the `ModelSpec`.

    Examples
    --------
    >>> bridge.models.contextual_intercepts_and_slopes_as_outcomes("y", "x", "w", "g").mean
    'y ~ 1 + (cvar(x, g) + dvar(x, g)) * w + (1 + dvar(x, g) | g)'
    """
    mean, deviation = _within(x, group)
    fixed = f"1 + ({mean} + {deviation}) * {_bracketed(w)}"
    return ModelSpec(f"{y} ~ {fixed} + (1 + {deviation} | {group})").replace(**parts)


#: Traditional name -> constructor.
NAMED: dict[str, Callable[..., ModelSpec]] = {
    "One way ANOVA with random effects": one_way_anova,
    "Means as outcomes": means_as_outcomes,
    "One way ANCOVA": one_way_ancova,
    "Random coefficients": random_coefficients,
    "Intercepts and slopes as outcomes": intercepts_and_slopes_as_outcomes,
    "Non random slopes": nonrandom_slopes,
    "Parallel mean slopes": parallel_mean_slopes,
    "Contextual cluster mean variable with CWG variable and random CWG slopes": contextual_cwg,
    "Contextual cluster mean variable with raw variable and random CWG slopes": contextual_raw,
    "Intercepts and slopes as outcomes with contextual cluster mean variable with CWG variable "
    "and random CWG effect": contextual_intercepts_and_slopes_as_outcomes,
}


def _within(x: str, group: str) -> tuple[str, str]:
    """Return the group mean of a predictor and the deviation from it."""
    return f"cvar({x}, {group})", f"dvar({x}, {group})"


def _bracketed(terms: str) -> str:
    """Return a sum of terms in brackets, one term as it is."""
    return f"({terms})" if "+" in terms or "-" in terms else terms


def _crossed(x: str, w: str) -> str:
    """Return the intercept, both predictors and their products."""
    return f"1 + {x} + {w} + {_bracketed(x)}:{_bracketed(w)}"
