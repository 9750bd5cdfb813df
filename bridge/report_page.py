"""What a report on fits holds, put together and set as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bridge.comparison import make_comparison
from bridge.design_of import design_of
from bridge.equation_parts import from_fit
from bridge.equations import Equations
from bridge.errors import OptionError, RequestError, suggest
from bridge.files import saved_results
from bridge.information_criteria import CRITERIA
from bridge.page import environment, when_and_where
from bridge.report_pictures import pictures
from bridge.report_tables import (
    convergence_rows,
    criteria_rows,
    data_rows,
    estimate_rows,
    own_estimates,
    quantity_tables,
)
from bridge.result import Result, load
from bridge.same_model import check_same_data, model_of

Tell = Callable[[float | None, str], None]

_OF_ONE = "Standard errors of maximum likelihood or posterior SDs, 95% intervals."
_OF_SEVERAL = "In brackets: standard error or posterior SD, on the scale beside the name."

_LOGO = (
    "Leave-one-group-out (logo) is not on this page: it integrates group effects out at every "
    'draw, which can take minutes. bridge.report(…, criteria=["dic", "waic", "loo", "logo"]) '
    "adds it, as bridge report DIR --criteria logo does."
)


def asked_criteria(criteria: str | Sequence[str]) -> tuple[str, ...]:
    """Return the criteria that a page is to hold.

    Raises
    ------
    OptionError
        Where one is unknown.
    """
    asked = (criteria,) if isinstance(criteria, str) else tuple(criteria)
    for name in asked:
        if name not in CRITERIA:
            raise OptionError(
                f"criteria holds some of {', '.join(CRITERIA)}, not {name!r}."
                f"{suggest(str(name), CRITERIA)}"
            )
    return asked


def loaded(results: Sequence[Result | str | Path]) -> list[Result]:
    """Return results, those that are files or folders read.

    Raises
    ------
    RequestError
        Where there is none, or they are not of one model and the same rows.
    """
    found: list[Result] = []
    for result in results:
        if isinstance(result, Result):
            found.append(result)
        elif isinstance(result, str | Path):
            found += [load(path) for path in saved_results([Path(result)])]
        else:
            raise RequestError(
                f"bridge.report takes results, or files and folders of saved ones, not "
                f"{type(result).__name__}."
            )
    if not found:
        raise RequestError("There is nothing to report: give a result, or a folder of saved ones.")
    check_same_data(found)
    if any(model_of(result) != model_of(found[0]) for result in found):
        raise RequestError(
            "These fits are of different models, and a report is of one: make a report for each; "
            "bridge.compare lays different models side by side."
        )
    return found


def page(results: Sequence[Result], criteria: Sequence[str], tell: Tell) -> str:
    """Return the page on fits of one model.

    Parameters
    ----------
    results : sequence of Result
        The fits.
    criteria : sequence of str
        As for `bridge.report`.
    tell : callable
        Told the share done and a word.
    """
    when, machine = when_and_where()
    labels = _labels(results)
    # draws say most; of those the first
    shown = next((r for r in results if r.method == "posterior"), results[0])
    rows, notes = criteria_rows(results, labels, criteria, lambda text: tell(0.1, text))
    if criteria and _without_logo(results, criteria):
        notes.append(_LOGO)
    tell(0.5, "quantities")
    tables = quantity_tables(shown)
    tell(0.7, "pictures")
    images = pictures(results, shown)
    return environment().get_template("fit.html.j2").render(
        title=_title(results[0]),
        when=when,
        machine=machine,
        equations=_equations(results[0]),
        data=data_rows(results[0]),
        **_estimates(results),
        convergence=convergence_rows(results, labels),
        warnings=[
            f"{label}: {warning}"
            for result, label in zip(results, labels, strict=True)
            for warning in result.warnings
        ],
        criteria=rows,
        criteria_notes=notes,
        quantities_note=_quantities_note(shown, labels[list(results).index(shown)]),
        quantities=tables,
        pictures=images,
        engines=[_engine(*each) for each in zip(results, labels, strict=True)],
    )  # fmt: skip


def _labels(results: Sequence[Result]) -> list[str]:
    """Return a name for each fit: its engine, with a number where several are of one."""
    engines = [result.engine for result in results]
    return [
        name if engines.count(name) == 1 else f"{name} {engines[: i + 1].count(name)}"
        for i, name in enumerate(engines)
    ]


def _title(result: Result) -> str:
    return f"{result.spec.mean}; log variance {result.spec.variance}"


def _without_logo(results: Sequence[Result], criteria: Sequence[str]) -> bool:
    """Tell whether there is a posterior of group effects whose logo was not asked for."""
    able = any(result.method == "posterior" and result.effects for result in results)
    return able and "logo" not in criteria


def _equations(result: Result) -> str:
    """Return the equations, with what the fit's own data say of levels and factors."""
    return Equations(result.spec, parts=from_fit(design_of(result))).text()


def _estimates(results: Sequence[Result]) -> dict[str, Any]:
    if len(results) == 1:
        rows = own_estimates(results[0])
        return {"estimates": rows, "estimates_note": _OF_ONE, "sentences": []}
    found = make_comparison(results)
    columns = [str(c) for c in found.table.columns[2:] if not str(c).endswith(" se")]
    return {
        "estimates": estimate_rows(found.table, columns),
        "estimates_note": _OF_SEVERAL,
        "sentences": [*found.sentences(), *found.notes],
    }


def _quantities_note(shown: Result, label: str) -> str:
    how = (
        "posterior means, SDs and intervals over draws"
        if shown.method == "posterior"
        else "at the estimates, standard errors by the delta method"
    )
    return f"Of {label}: {how}; at the average of every column of the design."


def _engine(result: Result, label: str) -> dict[str, str]:
    return {
        "label": label,
        "versions": ", ".join(f"{name} {number}" for name, number in result.versions.items()),
        "seed": str(result.seed) if result.seed is not None else "none",
        "settings": ", ".join(f"{name} = {value}" for name, value in result.settings.items()),
        "native": result.native,
    }
