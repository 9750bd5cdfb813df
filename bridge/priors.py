"""Priors, always on the canonical scale; each engine carries them to its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.covariance_prior import check_alone, check_inverse_wishart, check_order
from bridge.errors import PriorError, suggest

#: Family -> the names of its parameters.
FAMILIES: dict[str, tuple[str, ...]] = {
    "flat": (),
    "normal": ("mean", "sd"),
    "student_t": ("df", "location", "scale"),
    "half_normal": ("location", "scale"),
    "half_t": ("df", "location", "scale"),
    "exponential": ("rate",),
    "lkj": ("eta",),
    "gamma": ("shape", "rate"),
    "dirichlet": ("concentration",),
    "inverse_wishart": ("df", "plausible T"),
}
#: Stands for the location of a prior around an estimate from the data.
ESTIMATE = "estimate"
_MUST_BE_POSITIVE = {"sd", "df", "scale", "rate", "eta", "shape", "concentration"}

#: What a prior can be set on -> the families it can take, and what it is.
TARGETS: dict[str, tuple[tuple[str, ...], str]] = {
    "gamma": (("flat", "normal", "student_t"), "mean coefficients, outcome units"),
    "delta": (("flat", "normal", "student_t"), "variance coefficients, log variance"),
    "lambda_": (
        ("flat", "normal", "student_t"),
        "effects of u in the variance function, log variance per SD or unit of u",
    ),
    "kappa": (
        ("flat", "normal", "student_t"),
        "coefficients of level-2 functions, log variance or atanh correlation",
    ),
    "sd_u": (("half_t", "half_normal", "exponential", "flat"), "SDs of u, outcome units"),
    "sd_v": (("half_t", "half_normal", "exponential", "flat"), "SDs of v, log variance"),
    "rho": (("lkj",), "correlations of (u, v), one correlation matrix for each set"),
    "tau": (
        ("inverse_wishart", "flat"),
        "whole covariance matrices of (u, v), one for each set of correlated effects",
    ),
    "nu": (("gamma",), "degrees of freedom of Student-t effects, above 1"),
    "pi": (("dirichlet",), "weights of latent classes, the same concentration for each"),
}
_TEXT = re.compile(r"\s*(?P<family>[A-Za-z][\w-]*)\s*(?:\((?P<arguments>[^()]*)\))?\s*")
_KEY = re.compile(r"(?P<target>\w+)(?:\[(?P<element>.*)\])?")


@dataclass(frozen=True)
class Prior:
    """One distribution, such as ``half_t(3, 0, 2.5)``.

    Attributes
    ----------
    family : str
        A key of `FAMILIES`.
    parameters : tuple of float
        In the order `FAMILIES` gives; scales as the parameter's canonical scale. Of an inverse
        Wishart df and the lower triangle of the plausible T row by row, or the first of these.
    around_estimate : bool
        Whether the location, zero here, stands for an estimate from the data.
    """

    family: str
    parameters: tuple[float, ...] = ()
    around_estimate: bool = False

    def __str__(self) -> str:
        if not self.parameters:
            return self.family
        written = [number(p) for p in self.parameters]
        if self.around_estimate:
            written[self._location] = ESTIMATE
        return f"{self.family}({', '.join(written)})"

    @property
    def _location(self) -> int:
        return FAMILIES[self.family].index({"normal": "mean"}.get(self.family, "location"))

    @property
    def unsettled(self) -> bool:
        """Whether some of its numbers are still to come from the data."""
        return self.around_estimate or (
            self.family == "inverse_wishart" and len(self.parameters) < 2
        )

    def around(self, estimate: float) -> Prior:
        """Return the prior with its location at an estimate."""
        p = list(self.parameters)
        p[self._location] = estimate
        return Prior(self.family, tuple(p))

    def divided(self, factor: float) -> Prior:
        """Return the prior of ``x / factor`` where this is the prior of ``x``.

        Examples
        --------
        >>> str(Prior("normal", (0.0, 1.0)).divided(2.0))
        'normal(0, 0.5)'
        """
        p = self.parameters
        if self.family in ("normal", "half_normal"):
            return Prior(self.family, (p[0] / factor, p[1] / factor))
        if self.family in ("student_t", "half_t"):
            return Prior(self.family, (p[0], p[1] / factor, p[2] / factor))
        if self.family == "exponential":
            return Prior(self.family, (p[0] * factor,))
        return self

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log density at ``x`` (normalised, but for ``flat``, which is zero).

        Half families are densities on x > 0. ``lkj`` is a density of a matrix and is not here.
        """
        from scipy import stats

        p, x = self.parameters, np.asarray(x, dtype=float)
        if self.family == "flat":
            return np.zeros_like(x)
        if self.family in ("normal", "half_normal"):
            value = stats.norm.logpdf(x, p[0], p[1])
        elif self.family in ("student_t", "half_t"):
            value = stats.t.logpdf(x, p[0], p[1], p[2])
        elif self.family == "exponential":
            return np.asarray(stats.expon.logpdf(x, scale=1 / p[0]))
        elif self.family == "gamma":
            return np.asarray(stats.gamma.logpdf(x, p[0], scale=1 / p[1]))
        else:
            raise ValueError(f"{self.family} is not a density of single numbers")
        half = self.family.startswith("half")
        return np.where(x < 0, -np.inf, value + np.log(2.0)) if half else np.asarray(value)

    def log_cdf(self, x: float) -> float:
        """Return the log of the probability of at most ``x``, for ``gamma``."""
        from scipy import stats

        return float(stats.gamma.logcdf(x, self.parameters[0], scale=1 / self.parameters[1]))


def lkj_log_density(matrices: np.ndarray, eta: float) -> np.ndarray:
    """Return the log density of LKJ(eta) at correlation matrices, normalised.

    Parameters
    ----------
    matrices : (..., K, K) array
        Correlation matrices.
    eta : float
        The shape; 1 is uniform.

    Notes
    -----
    Lewandowski, Kurowicka & Joe (2009), equation 16; the constant as in Stan.
    """
    from scipy.special import gammaln

    size = matrices.shape[-1]
    k = np.arange(1, size)
    constant = (size - 1) * gammaln(eta + (size - 1) / 2)
    constant -= np.sum(k / 2 * np.log(np.pi) + gammaln(eta + (size - 1 - k) / 2))
    return constant + (eta - 1) * np.linalg.slogdet(matrices)[1]


def number(value: float) -> str:
    """Write a number of a prior: shortest text that reads back as the same number."""
    return (
        str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    )


def parse(text: str | Prior, target: str) -> Prior:
    """Read a prior such as ``"normal(0, 2.5)"`` for a kind of parameter.

    Parameters
    ----------
    text : str or Prior
        The prior.
    target : str
        A key of `TARGETS`.

    Returns
    -------
    Prior

    Raises
    ------
    PriorError
        Where the family is unknown or not one for this parameter, or a number is wrong.
    """
    if isinstance(text, Prior):
        text = str(text)
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise PriorError(f"{target}: {text!r} is not a prior; write it like normal(0, 2.5).")
    family, allowed = match["family"], TARGETS[target][0]
    if family not in FAMILIES:
        raise PriorError(
            f"{target}: there is no prior called '{family}'.{suggest(family, FAMILIES)} "
            f"On {target} there are: {', '.join(allowed)}."
        )
    if family not in allowed:
        near = {"student_t": "half_t", "normal": "half_normal"}.get(family, "")
        hint = f" Did you mean '{near}'?" if near in allowed else ""
        raise PriorError(
            f"{target}: {family} is not a prior for {TARGETS[target][1]}.{hint} "
            f"There are: {', '.join(allowed)}."
        )
    arguments, where = match["arguments"] or "", f"{target}: {text}"
    written = [a.strip() for a in arguments.split(",")] if arguments.strip() else []
    if ESTIMATE not in written:
        return Prior(family, _parameters(family, written, where))
    return _around_estimate(family, written, target, where)


def _around_estimate(family: str, written: list[str], target: str, where: str) -> Prior:
    """Read a prior whose location is the word ``estimate``."""
    place = {"normal": 0, "student_t": 1}.get(family)
    if target != "kappa" or [i for i, a in enumerate(written) if a == ESTIMATE] != [place]:
        raise PriorError(
            f"{where}: '{ESTIMATE}' is the location of a normal or student_t prior on kappa, as in "
            "normal(estimate, 1)."
        )
    numbers = ["0" if a == ESTIMATE else a for a in written]
    return Prior(family, _parameters(family, numbers, where), around_estimate=True)


def _parameters(family: str, written: list[str], where: str) -> tuple[float, ...]:
    names = FAMILIES[family]
    try:
        values = tuple(float(a) for a in written)
    except ValueError:
        raise PriorError(f"{where}: the parameters of a prior are numbers.") from None
    if family == "inverse_wishart":
        check_inverse_wishart(values, where)
        return values
    if family == "half_normal" and len(values) == 1:
        values = (0.0, *values)
    if len(values) != len(names):
        raise PriorError(f"{where}: {family} takes {len(names)} number(s): {', '.join(names)}.")
    for name, value in zip(names, values, strict=True):
        positive = name in _MUST_BE_POSITIVE
        if not np.isfinite(value) or (positive and value <= 0):
            wanted = "a number above zero" if positive else "a finite number"
            raise PriorError(f"{where}: the {name} of {family} must be {wanted}.")
    if family.startswith("half") and values[names.index("location")] != 0:
        raise PriorError(f"{where}: a half distribution has location 0.")
    return values


class Priors(Mapping[str, str]):
    """Priors on the canonical scale, by kind of parameter or by element.

    Parameters
    ----------
    settings : mapping of str to str, optional
        Keys are ``gamma``, ``delta``, ``lambda_``, ``kappa``, ``sd_u``, ``sd_v``, ``rho``,
        ``nu``, ``tau``, ``pi``, or an element: ``gamma[sector]``,
        ``lambda_[u:Intercept]``, ``sd_u[Intercept]``,
        ``kappa[tau(u:Intercept,u:Intercept),sector]``, ``tau[u:Intercept]``.
    **more : str
        The same as keywords.

    Raises
    ------
    PriorError
        Where a key or a prior is misspelt or impossible; the nearest is suggested.

    Notes
    -----
    ``kappa`` is flat by default. The likelihood of a log variance levels off towards zero
    variance, and that of an atanh correlation towards one; where the data do not rule these out,
    a flat prior leaves the posterior improper: set one, such as ``kappa="normal(0, 2)"``.
    ``kappa="normal(estimate, 1)"`` (or ``student_t(4, estimate, 1)``) is centred at an estimate of
    the same model without level-2 functions: the intercept of each function at the log variance or
    atanh correlation there, its other coefficients at zero (Leckie et al. 2014, note 2). The
    estimate is of the two-step method, or of moments where that cannot express the model.

    ``tau`` is a prior on the whole covariance matrix T of each set of correlated effects, in the
    place of those on ``sd_u``, ``sd_v`` and ``rho``; ``tau[u:Intercept]`` is that of the set whose
    first effect is u:Intercept. ``"inverse_wishart(n, t11, t21, t22, ...)"`` has n degrees of
    freedom and the scale matrix n times a plausible T, given by its lower triangle row by row; of
    one effect it is inverse-gamma(n / 2, n t11 / 2). ``"inverse_wishart(n)"`` takes the plausible
    T from the estimate above, its variances with covariances of zero, and ``"inverse_wishart"``
    also n as the order of T (Leckie et al. 2014, section 3). ``"flat"`` is uniform over positive
    definite T; with few groups the posterior may be improper. For Student-t effects T is the scale
    matrix. Numbers from the data are printed in the translation and in ``priors_in_use``.

    With latent classes ``sd_u`` and ``sd_v`` are of the mass points. The K points of an effect,
    about their mean without weights, are as K draws about theirs from that prior reflected at
    zero: half_normal(0, s) gives normal(0, s) and half_t(df, 0, s) a multivariate t, of which the
    draws share the mixing; exponential(rate) a density exp(-rate r) in the distance r of the K
    points from their mean. With K = 2 the distance of the points over the root of 2 has the very
    prior. The points are then moved to a weighted mean of zero and, of the effect that orders the
    classes, sorted. ``flat`` is refused there. ``pi`` is dirichlet(1), uniform, by default.

    Examples
    --------
    >>> Priors(delta="normal(0, 2)", sd_v="exponential(2)")
    Priors(delta='normal(0, 2)', sd_v='exponential(2)')
    """

    def __init__(self, settings: Mapping[str, str] | None = None, /, **more: str) -> None:
        if settings is not None and not isinstance(settings, Mapping):
            raise PriorError(
                f'Priors are a mapping, as {{"gamma": "normal(0, 10)"}}, not {settings!r}.'
            )
        checked: dict[str, Prior] = {}
        for key, value in {**(settings or {}), **more}.items():
            checked[key] = parse(value, _target(key))
        self._priors = dict(sorted(checked.items()))

    def prior(self, key: str) -> Prior | None:
        """Return the prior set for a key, or None."""
        return self._priors.get(key)

    def __getitem__(self, key: str) -> str:
        return str(self._priors[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._priors)

    def __len__(self) -> int:
        return len(self._priors)

    def __hash__(self) -> int:
        return hash(tuple(self._priors.items()))

    def __repr__(self) -> str:
        if any("[" in key for key in self):
            return f"Priors({ {key: self[key] for key in self} })".replace("( ", "(").replace(
                " )", ")"
            )
        return f"Priors({', '.join(f'{key}={self[key]!r}' for key in self)})"


def _target(key: str) -> str:
    match = _KEY.fullmatch(key) if isinstance(key, str) else None
    target = match["target"] if match else key
    if target not in TARGETS:
        raise PriorError(
            f"There is no parameter called '{key}' to set a prior on."
            f"{suggest(str(target), TARGETS)} There are: {', '.join(TARGETS)}, and elements such "
            "as gamma[sector] or sd_u[Intercept]."
        )
    if match and match["element"] is not None and target in ("rho", "nu", "pi"):
        raise PriorError(f"A prior on {target} holds for all of it: write {target}, not {key}.")
    return target


@dataclass(frozen=True)
class ResolvedPriors:
    """The priors of one model on one data set, every number known.

    Attributes
    ----------
    gamma, delta : tuple of Prior
        One for each coefficient, canonical scale.
    lambda_, kappa : tuple of Prior
        One for each effect of u in the variance function, and for each coefficient of a level-2
        function, canonical scale.
    sd : tuple of Prior
        One for each effect without a level-2 function of its variance, u before v, canonical
        scale.
    lkj : float
        The shape of the LKJ prior on each correlation matrix. Where one correlation of a set of
        effects has a level-2 function, each constant one has its marginal,
        (1 + rho) / 2 ~ beta(lkj + K / 2 - 1, lkj + K / 2 - 1) in a set of K.
    nu : Prior
        The prior of the degrees of freedom, where effects are Student-t.
    pi : Prior
        The prior of the weights, where effects are latent classes.
    set_by_user : frozenset of str
        The keys the user set.
    tau : tuple of (Prior or None)
        One for each set of correlated effects, in their order: the prior of its whole covariance
        matrix, canonical scale. Where there is one, those of its SDs are ``flat``, and ``lkj`` is
        not of its correlations.
    """

    gamma: tuple[Prior, ...]
    delta: tuple[Prior, ...]
    lambda_: tuple[Prior, ...]
    kappa: tuple[Prior, ...]
    sd: tuple[Prior, ...]
    lkj: float
    nu: Prior
    pi: Prior
    set_by_user: frozenset[str]
    tau: tuple[Prior | None, ...] = ()

    @property
    def unsettled(self) -> bool:
        """Whether some numbers are still to come from the data."""
        return any(prior is not None and prior.unsettled for prior in (*self.kappa, *self.tau))

    def of_block(self, number: int) -> Prior | None:
        """Return the prior of the covariance matrix of a block of effects, or None."""
        return self.tau[number] if self.tau else None


def _elements(target: str, terms: Sequence[str]) -> list[str]:
    return [f"{target}[{term}]" for term in terms]


def resolve(
    priors: Priors,
    mean_terms: Sequence[str],
    variance_terms: Sequence[str],
    mean_effects: Sequence[str],
    variance_effects: Sequence[str],
    outcome_mad: float,
    *,
    latent_terms: Sequence[str] = (),
    kappa_terms: Sequence[str] = (),
    blocks: Sequence[Sequence[str]] = (),
    correlated: bool = True,
    student_t: bool = True,
    classes: bool = False,
) -> ResolvedPriors:
    """Fill in the defaults and give every parameter its prior.

    Defaults: coefficients flat; SD(u) half_t(3, 0, 2.5 MAD of the outcome); SD(v)
    half_t(3, 0, 1); correlations lkj(1); nu gamma(2, 0.1); pi dirichlet(1).

    Parameters
    ----------
    priors : Priors
        What the user set.
    mean_terms, variance_terms : sequence of str
        Terms of gamma and of delta.
    mean_effects, variance_effects : sequence of str
        Terms of u and of v (without ``u:`` and ``v:``) whose SDs are parameters.
    outcome_mad : float
        Median absolute deviation of the outcome, times 1.4826, outcome units.
    latent_terms, kappa_terms : sequence of str
        Labels of lambda_ and of kappa.
    blocks : sequence of sequences of str
        The labels of the effects in each set of correlated effects with a covariance matrix.
    correlated, student_t : bool
        Whether the model has correlations, and Student-t effects, to set a prior on.
    classes : bool
        Whether its effects are latent classes; then it has no correlations to set a prior on.

    Raises
    ------
    PriorError
        Where a prior is set on an element the model does not have, or on tau besides a part of it,
        or mass points are flat.
    """
    _check_functions(priors, kappa_terms)
    elements = {
        "gamma": mean_terms,
        "delta": variance_terms,
        "lambda_": latent_terms,
        "kappa": kappa_terms,
        "sd_u": mean_effects,
        "sd_v": variance_effects,
        "tau": [block[0] for block in blocks],
    }
    defaults = {
        "gamma": Prior("flat"),
        "delta": Prior("flat"),
        "lambda_": Prior("flat"),
        "kappa": Prior("flat"),
        "sd_u": Prior("half_t", (3.0, 0.0, float(f"{2.5 * outcome_mad:.6g}"))),
        "sd_v": Prior("half_t", (3.0, 0.0, 1.0)),
    }
    known = [name for t, terms in elements.items() if terms for name in (t, *_elements(t, terms))]
    known += ["rho"] * (correlated and not classes) + ["nu"] * student_t + ["pi"] * classes
    for key in priors:
        if key not in known:
            raise PriorError(
                f"A prior is set on {key}, which this model does not have."
                f"{suggest(key, known)} It has: {', '.join(known)}."
            )

    def of(target: str) -> tuple[Prior, ...]:
        whole = priors.prior(target) or defaults[target]
        return tuple(priors.prior(f"{target}[{e}]") or whole for e in elements[target])

    tau = _of_blocks(priors, blocks)
    whole = {effect for block, p in zip(blocks, tau, strict=True) if p for effect in block}
    flat = Prior("flat")

    def of_sds(letter: str) -> tuple[Prior, ...]:
        target = f"sd_{letter}"
        return tuple(
            flat if f"{letter}:{term}" in whole else prior
            for term, prior in zip(elements[target], of(target), strict=True)
        )

    sd = of_sds("u") + of_sds("v")
    if classes and Prior("flat") in sd:
        raise PriorError(
            "A flat prior of sd_u or sd_v leaves the mass points of latent classes without a "
            "proper one; give it a scale, as half_t(3, 0, 10)."
        )
    lkj = priors.prior("rho") or Prior("lkj", (1.0,))
    return ResolvedPriors(
        gamma=of("gamma"),
        delta=of("delta"),
        lambda_=of("lambda_"),
        kappa=of("kappa"),
        sd=sd,
        lkj=lkj.parameters[0],
        nu=priors.prior("nu") or Prior("gamma", (2.0, 0.1)),
        pi=priors.prior("pi") or Prior("dirichlet", (1.0,)),
        set_by_user=frozenset(priors),
        tau=tau,
    )


def _check_functions(priors: Priors, kappa_terms: Sequence[str]) -> None:
    """Refuse a prior on T where T differs between groups."""
    for key in priors:
        if kappa_terms and _target(key) == "tau":
            raise PriorError(
                f"A prior is set on {key}, the whole level-2 covariance matrix, which differs "
                "between groups in a model with level-2 functions; set one on kappa, such as "
                'kappa="normal(estimate, 1)".'
            )


def _of_blocks(priors: Priors, blocks: Sequence[Sequence[str]]) -> tuple[Prior | None, ...]:
    """Return the prior of the covariance matrix of each block, None where it has none."""
    found = []
    for block in blocks:
        key = f"tau[{block[0]}]"
        prior = priors.prior(key) or priors.prior("tau")
        if prior is not None and prior.family == "inverse_wishart":
            if not prior.parameters:
                prior = Prior(prior.family, (float(len(block)),))
            check_order(prior.parameters, block, key if key in priors else "tau")
        found.append(prior)
    check_alone(priors, [b for b, prior in zip(blocks, found, strict=True) if prior is not None])
    return tuple(found)
