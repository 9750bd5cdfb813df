"""The result of a fit: canonical names, scales and dims, whichever engine it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridge import arviz_compat, names
from bridge.errors import DataFileError, NotAvailable, RequestError, ResultVersionError, suggest
from bridge.spec import ModelSpec
from bridge.whole_file import whole_file

FORMAT = 1
_ATTRIBUTE = "bridge"
#: The group of a file with the covariances of the group effects; not one of idata's.
_COVARIANCES = "effects_covariance"
_ML = ("ML", "REML")
#: Estimates without a likelihood, of Raudenbush & Bryk (1987).
TWO_STEP = "two-step"


@dataclass(frozen=True, eq=False)
class Result:
    """One fitted model.

    Attributes
    ----------
    spec : ModelSpec
        What was asked.
    engine : str
        Which engine answered.
    method : {"ML", "REML", "posterior", "two-step"}
        What the estimates are; the estimate of a posterior is its mean.
    estimates : pandas.DataFrame
        One row a parameter: parameter, component, scale, estimate, se, lower, upper (95%),
        for a posterior also ess_bulk, ess_tail, r_hat, mcse; and note. ``<NA>`` where an
        engine does not give a cell; ``note`` says why.
    group_effects : pandas.DataFrame
        u and v by group: group, effect, scale, estimate, se, lower, upper.
    idata : arviz.InferenceData or xarray.DataTree
        ``posterior`` and ``sample_stats`` (posteriors alone), ``observed_data``,
        ``constant_data``.
    effects : tuple of str
        Labels of the group effects, u before v.
    n_obs, n_groups, dropped_rows : int
        Rows used, groups, rows left out for missing values.
    settings : dict
        The engine's options with their values.
    versions : dict
        Of the engine and what it runs on.
    seed : int or None
        The sampler's seed.
    warnings : tuple of str
        What went wrong or may have; shown in the summary.
    messages : tuple of str
        What else the engine said; not shown in the summary.
    native : str
        The native call.
    seconds : dict
        Wall time by part.
    parameter_covariance : pandas.DataFrame or None
        Covariance of the estimates of an ML or two-step fit, canonical scales, flat names.
    ml : dict
        loglik and n_parameters of an ML fit, and the quadrature nodes it used, if any.
    effects_covariance : (J, q, q) array or None
        Covariances of the group effects of each group given the data (empirical Bayes), canonical
        scales, where the engine gives them; `effect_covariance` is that of one group.
    level2_terms : dict
        The terms of the level-2 functions: element -> list of {label, columns}, where label is
        that along ``kappa_term`` and columns are what the coefficient multiplies, each as
        {column, level, levels}; level and levels are None for a number.
    membership : pandas.DataFrame or None
        Of latent classes; `class_probabilities` returns it.
    states : dict or None
        What makes the same columns of new rows, by what is written in the formulas: levels of
        factors, constants of transforms, values of groups. None in a result saved without it.
    """

    spec: ModelSpec
    engine: str
    method: str
    estimates: pd.DataFrame
    group_effects: pd.DataFrame
    idata: Any
    effects: tuple[str, ...]
    n_obs: int
    n_groups: int
    dropped_rows: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seed: int | None
    warnings: tuple[str, ...]
    messages: tuple[str, ...]
    native: str
    seconds: Mapping[str, float]
    parameter_covariance: pd.DataFrame | None = None
    ml: Mapping[str, float] = field(default_factory=dict)
    level2_terms: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    effects_covariance: np.ndarray | None = None
    membership: pd.DataFrame | None = None
    states: Mapping[str, Mapping[str, Any]] | None = None

    # --- likelihood -----------------------------------------------------------------
    @property
    def loglik(self) -> float:
        """The maximised log-likelihood (with ``method="REML"`` the restricted one)."""
        return self._ml("loglik", "log-likelihood")

    @property
    def deviance(self) -> float:
        """Minus twice the maximised log-likelihood (with ``method="REML"`` the REML criterion)."""
        return -2.0 * self._ml("loglik", "deviance")

    @property
    def aic(self) -> float:
        """Deviance plus twice the number of parameters (fixed ones counted, also for REML)."""
        return -2.0 * self._ml("loglik", "AIC") + 2.0 * self._ml("n_parameters", "AIC")

    @property
    def bic(self) -> float:
        """Deviance plus the number of parameters times the log of the rows used."""
        penalty = np.log(self.n_obs) * self._ml("n_parameters", "BIC")
        return float(-2.0 * self._ml("loglik", "BIC") + penalty)

    def _ml(self, key: str, what: str) -> float:
        if key not in self.ml:
            raise NotAvailable(
                f"A {self.method} fit by {self.engine} has no {what}: that belongs to maximum "
                "likelihood. Fit with agq for it."
            )
        return float(self.ml[key])

    # --- pieces ------------------------------------------------------------------------
    def estimate(self, parameter: str) -> float:
        """Return the estimate of one parameter by its flat name, such as ``gamma[sector]``.

        Raises
        ------
        NotAvailable
            Where there is none of that name.
        """
        row = self.estimates.loc[self.estimates["parameter"] == parameter, "estimate"]
        if row.empty:
            known = list(self.estimates["parameter"])
            raise NotAvailable(f"There is no parameter '{parameter}'.{suggest(parameter, known)}")
        return float(row.iloc[0])

    def covariance(self) -> pd.DataFrame:
        """Return the estimated level-2 covariance matrix of (u, v); zero where the spec says so.

        Scales: u in outcome units, v on the log variance. For Student-t effects it is the
        scale matrix, for latent classes the weighted covariance of the mass points, of rank K - 1
        at most in each draw.

        Raises
        ------
        NotAvailable
            Where level-2 functions make it differ between groups; `level2` gives it.
        """
        if self.spec.level2 is not None:
            from bridge.level2_profile import columns_of

            profile = ", ".join(f"'{name}': …" for name in columns_of(self.level2_terms))
            raise NotAvailable(
                "With level-2 functions the covariance matrix differs between groups; "
                f"result.level2(at={{{profile}}}) gives it at values of their predictors."
            )
        matrix = pd.DataFrame(0.0, index=list(self.effects), columns=list(self.effects))
        found = dict(zip(self.estimates["parameter"], self.estimates["estimate"], strict=True))
        for later, second in enumerate(self.effects):
            for first in self.effects[: later + 1]:
                value = found.get(names.flat("tau", names.pair(first, second)), 0.0)
                matrix.loc[first, second] = matrix.loc[second, first] = float(value)
        return matrix

    def level2(self, at: Mapping[str, Any]) -> pd.DataFrame:
        """Return the estimated level-2 covariance matrix of (u, v) at a profile of predictors.

        A variance is exp(h'kappa) and a correlation tanh(h'kappa) where the spec gives it a
        function, with h the level-2 predictors at the profile; else it is the constant one.
        Partial correlations tanh(h'kappa) make the correlations of their set of effects. A
        covariance is its correlation times the two SDs. Of a posterior it is the mean over
        draws of the matrix.

        Parameters
        ----------
        at : mapping of str to number or str
            A value for every column that the level-2 functions use: a number, or the level of a
            factor; a transform under its written name, as ``{"log(size)": 7.2}``, and a factor
            made by ``C(w)`` also as ``w``. Empty where the spec has no level-2 functions.

        Returns
        -------
        pandas.DataFrame
            (q, q), effects u before v; u in outcome units, v on the log variance. For Student-t
            effects it is the scale matrix.

        Raises
        ------
        RequestError
            Where a column is missing or unknown, or a level is unknown.
        """
        from bridge.level2_profile import covariance_at

        return covariance_at(self, at)

    def effect_covariance(self, group: Any) -> pd.DataFrame:
        """Return the covariance matrix of the effects of one group given the data.

        Parameters
        ----------
        group : str or int
            The group's label, as in `group_effects`; a whole number also as 3.0.

        Returns
        -------
        pandas.DataFrame
            (q, q), effects u before v; u in outcome units, v on the log variance. The parameters
            count as known.

        Raises
        ------
        NotAvailable
            Where the model has no group effects, the engine gives no covariances, or there is
            no such group.
        """
        if not self.effects:
            raise NotAvailable(
                "The model has no group effects; add a random term, such as (1 | school), for them."
            )
        if self.effects_covariance is None:
            raise NotAvailable(
                f"{self.engine} gives no covariances of group effects; agq does, and a posterior "
                "has them in its draws (idata)."
            )
        labels = list(dict.fromkeys(self.group_effects["group"]))
        label = str(group)
        if label not in labels and isinstance(group, float) and float(group).is_integer():
            label = str(int(group))
        if label not in labels:
            raise NotAvailable(f"There is no group '{group}'.{suggest(str(group), labels)}")
        matrix = self.effects_covariance[labels.index(label)]
        return pd.DataFrame(matrix, list(self.effects), list(self.effects))

    @property
    def class_probabilities(self) -> pd.DataFrame:
        """The probability of each latent class for each group: group, latent_class, probability.

        The posterior mean of the probability given the parameters and the group's rows. Classes
        are "1" to "K", in the order of u:Intercept (of the first effect where there is none).

        Raises
        ------
        NotAvailable
            Where the effects are not latent classes.
        """
        if self.membership is None:
            raise NotAvailable(
                "There are no class probabilities: the group effects of this model are not latent "
                'classes; ask for them by random_effects="classes" and classes=K.'
            )
        return self.membership

    def asymptotic_draws(self, draws: int = 4000, seed: int = 0) -> pd.DataFrame:
        """Return normal draws around ML or two-step estimates; labelled, not a posterior.

        Parameters
        ----------
        draws : int
            How many, at least 1.
        seed : int
            At least 0; the same seed gives the same draws.

        Returns
        -------
        pandas.DataFrame
            One column a parameter with a known covariance, canonical scales. Variances are drawn
            as log SDs and correlations as atanh of canonical partial correlations (of two effects:
            of the correlation), with a covariance by the delta method, so that each draw has a
            covariance matrix of effects. What has no standard error, such as a correlation of
            one, is constant in it. With level-2 functions, where that matrix differs between
            groups, correlations are drawn on atanh one by one.

        Raises
        ------
        NotAvailable
            Where the result is a posterior, which has draws of its own.
        OptionError
            Where ``draws`` or ``seed`` is not a whole number in its range.
        """
        if self.method not in (*_ML, TWO_STEP) or self.parameter_covariance is None:
            raise NotAvailable(
                f"Asymptotic draws are for maximum-likelihood fits; {self.engine} has draws in "
                "idata."
            )
        from bridge.asymptotic import asymptotic_draws

        return asymptotic_draws(self, draws, seed)

    # --- to read -----------------------------------------------------------------------
    def summary(self) -> str:
        """Return as text what was fitted, how it went, and every estimate with its scale."""
        from bridge.summary import summary_text

        return summary_text(self)

    def __repr__(self) -> str:
        return (
            f"<Result of {self.engine} ({self.method}): {len(self.estimates)} parameters, "
            f"{self.n_obs} rows, {self.n_groups} groups; print(result.summary()) shows it>"
        )

    # --- to keep -----------------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the result to one netCDF file, whole or not at all.

        Raises
        ------
        OutputError
            Where it cannot be written.
        """
        target = Path(path)
        groups = arviz_compat.groups_of(self.idata)
        if self.effects_covariance is not None:
            groups[_COVARIANCES] = _as_dataset(self.effects_covariance)
        tree = arviz_compat.make_tree(groups, {_ATTRIBUTE: json.dumps(self._as_json())})
        with whole_file(target) as file:
            tree.to_netcdf(file, engine="h5netcdf")
        return target

    def _as_json(self) -> dict[str, Any]:
        from bridge import __version__

        covariance = self.parameter_covariance
        return {
            "format": FORMAT,
            "bridge": __version__,
            "spec": self.spec.to_dict(),
            "engine": self.engine,
            "method": self.method,
            "estimates": _frame_to_json(self.estimates),
            "group_effects": _frame_to_json(self.group_effects),
            "effects": list(self.effects),
            "n_obs": self.n_obs,
            "n_groups": self.n_groups,
            "dropped_rows": self.dropped_rows,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "seed": self.seed,
            "warnings": list(self.warnings),
            "messages": list(self.messages),
            "native": self.native,
            "seconds": dict(self.seconds),
            "parameter_covariance": None
            if covariance is None
            else {"labels": list(covariance.index), "values": covariance.to_numpy().tolist()},
            "ml": dict(self.ml),
            "level2_terms": dict(self.level2_terms),
            "membership": None if self.membership is None else _frame_to_json(self.membership),
            "states": self.states,
        }


def check_result(value: Any) -> None:
    """Make sure that a value is a result.

    Raises
    ------
    RequestError
        Where it is something else.
    """
    if not isinstance(value, Result):
        raise RequestError(
            f"This takes a result, not {type(value).__name__}; bridge.fit makes one and "
            "bridge.load reads a saved one."
        )


def load(path: str | Path) -> Result:
    """Read a result that `Result.save` wrote.

    Raises
    ------
    DataFileError
        Where there is no such file, or it is not a result.
    ResultVersionError
        Where a newer version of bridge wrote it.
    """
    import xarray as xr

    source = Path(path)
    if not source.is_file():
        raise DataFileError(
            f"There is no saved result at {source}; give the path of a file that save() wrote."
        )
    try:
        with xr.open_datatree(source, engine="h5netcdf") as tree:
            parts = json.loads(tree.attrs[_ATTRIBUTE])
            groups = {n: node.to_dataset(inherit=False).load() for n, node in tree.children.items()}
        newer = parts["format"] > FORMAT
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataFileError(f"{source} is not a result saved by bridge ({error}).") from None
    if newer:
        raise ResultVersionError(
            f"{source} was saved by bridge {parts['bridge']}, which writes a newer format "
            f"({parts['format']}) than this version reads ({FORMAT}); upgrade bridge to read it."
        )
    each = groups.pop(_COVARIANCES, None)
    covariance = parts["parameter_covariance"]
    labels = covariance["labels"] if covariance else []
    estimates = _frame_from_json(parts["estimates"])
    attributes = describe({**parts, "scales": scale_map(estimates)})
    return Result(
        spec=ModelSpec.from_dict(parts["spec"]),
        engine=parts["engine"],
        method=parts["method"],
        estimates=estimates,
        group_effects=_frame_from_json(parts["group_effects"]),
        idata=arviz_compat.make_idata(groups, attributes),
        effects=tuple(parts["effects"]),
        n_obs=parts["n_obs"],
        n_groups=parts["n_groups"],
        dropped_rows=parts["dropped_rows"],
        settings=parts["settings"],
        versions=parts["versions"],
        seed=parts["seed"],
        warnings=tuple(parts["warnings"]),
        messages=tuple(parts["messages"]),
        native=parts["native"],
        seconds=parts["seconds"],
        parameter_covariance=pd.DataFrame(
            np.array(covariance["values"]).reshape(len(labels), len(labels)), labels, labels
        )
        if covariance
        else None,
        ml=parts["ml"],
        effects_covariance=None if each is None else each[_COVARIANCES].to_numpy(),
        level2_terms=parts.get("level2_terms", {}),
        membership=_frame_from_json(parts["membership"]) if parts.get("membership") else None,
        states=parts.get("states"),
    )


def _as_dataset(covariance: np.ndarray) -> Any:
    import xarray as xr

    return xr.Dataset({_COVARIANCES: (("group", "effect", "other_effect"), covariance)})


def describe(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of idata: spec, versions, settings, scales … as JSON strings."""
    kept = ("spec", "versions", "settings", "seed", "engine", "method", "warnings", "scales")
    return {key: json.dumps(parts[key]) for key in kept}


def scale_map(estimates: pd.DataFrame) -> dict[str, str]:
    """Return parameter -> scale."""
    return dict(zip(estimates["parameter"], estimates["scale"], strict=True))


def _frame_to_json(frame: pd.DataFrame) -> dict[str, Any]:
    """Return a frame as plain values; every digit of a double survives."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        is_text = not pd.api.types.is_numeric_dtype(column.dtype)
        found[name] = {
            "text": is_text,
            "values": [None if pd.isna(v) else (str(v) if is_text else float(v)) for v in column],
        }
    return found


def _frame_from_json(columns: Mapping[str, Any]) -> pd.DataFrame:
    made = {}
    for name, column in columns.items():
        dtype = "object" if column["text"] else "Float64"
        made[name] = pd.Series(column["values"], dtype=dtype)
    return pd.DataFrame(made)
