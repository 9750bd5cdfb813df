"""The command line: doctor, translate, fit, compare, validate, report, simulate, demo.

Exit codes: 0 done, 1 a fit or a check failed, 2 the request was wrong. Errors go to standard
error in one block; ``--debug`` adds the traceback.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bridge.errors import BridgeError, EngineFailed, OptionError, RequestError

if TYPE_CHECKING:
    from bridge.result import Result


class _Commands(TyperGroup):
    """The commands; Typer itself ends an interrupted one without a word."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C ends it with a word on standard error and exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One specification of a multilevel model with modelled variances; every engine.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Spec = Annotated[Path, typer.Argument(help="A specification in TOML.", metavar="SPEC")]
Data = Annotated[str, typer.Option(help="A .csv, .tsv or .parquet file, or hsb, exam, reisby.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the sampler.")]
Chains = Annotated[int | None, typer.Option(help="Chains of a sampler.")]
Draws = Annotated[int | None, typer.Option(help="Draws kept of each chain.")]
Warmup = Annotated[int | None, typer.Option(help="Warm-up draws of each chain.")]
Cores = Annotated[int | None, typer.Option(help="Chains run side by side.")]
Method = Annotated[str | None, typer.Option(help="ML or REML, for lme4, nlme, ols and twostep.")]
Backend = Annotated[str | None, typer.Option(help="auto, cmdstan or pystan, for stan.")]
Starts = Annotated[str | None, typer.Option(help="near or dispersed, for stan and nuts.")]
Formulation = Annotated[
    str | None,
    typer.Option(
        help="How group effects are sampled: auto, informed or noncentred, for stan and nuts; "
        "centred, for stan."
    ),
]
DrawsTo = Annotated[str | None, typer.Option(help="A folder for the draws, for stan and nuts.")]
AdaptDelta = Annotated[float | None, typer.Option(help="Target acceptance rate of a sampler.")]
MaxTreedepth = Annotated[int | None, typer.Option(help="Longest trajectory, as a power of two.")]
Include = Annotated[
    list[str] | None,
    typer.Option(
        help="log_likelihood, marginal_log_likelihood, posterior_predictive or log_prior; several "
        "times."
    ),
]
Nodes = Annotated[int | None, typer.Option(help="Quadrature nodes in each dimension, for agq.")]
Intervals = Annotated[str | None, typer.Option(help="wald or profile, for agq.")]
Robust = Annotated[
    bool | None, typer.Option("--robust", help="Cluster-robust standard errors, for agq.")
]
Weights = Annotated[str | None, typer.Option(help="known or equal, for twostep.")]
Correction = Annotated[str | None, typer.Option(help="exact or approximate, for twostep.")]
Timeout = Annotated[float | None, typer.Option(help="The longest a fit may take, in seconds.")]
_DEBUG = False


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    global _DEBUG  # noqa: PLW0603 - read by main once the command has failed
    _DEBUG = debug


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say which engines can run here, and the one command that mends what is missing."""
    from bridge.doctor import check

    statuses = check()
    if as_json:
        _print_json([vars(status) for status in statuses])
        return
    width = max(len(status.engine) for status in statuses)
    for status in statuses:
        versions = ", ".join(f"{name} {number}" for name, number in status.versions.items())
        if status.ready:
            typer.echo(f"{status.engine:{width}} ready    {versions}")
        else:
            typer.echo(f"{status.engine:{width}} missing  {status.missing}")
            typer.echo(f"{'':{width}}          to mend: {status.mend}")


@app.command()
def translate(
    spec: Spec,
    data: Data,
    engine: Annotated[str, typer.Option(help="The engine.")] = "agq",
    nodes: Nodes = None,
    intervals: Intervals = None,
    robust: Robust = None,
    weights: Weights = None,
    correction: Correction = None,
    method: Method = None,
    chains: Chains = None,
    draws: Draws = None,
    warmup: Warmup = None,
    seed: Seed = None,
    cores: Cores = None,
    backend: Backend = None,
    starts: Starts = None,
    formulation: Formulation = None,
    draws_to: DrawsTo = None,
    adapt_delta: AdaptDelta = None,
    max_treedepth: MaxTreedepth = None,
    timeout: Timeout = None,
    include: Include = None,
    as_json: Json = False,
) -> None:
    """Print the native call of an engine; nothing runs."""
    from bridge.files import read_data
    from bridge.spec import ModelSpec

    given = _given(locals())
    model = ModelSpec.from_toml(spec)
    plan = model.translate(engine, read_data(data), **_options([engine], given)[engine])
    if as_json:
        _print_json({"engine": engine, "native": str(plan), "options": dict(plan.options)})
    else:
        typer.echo(str(plan))


@app.command()
def fit(
    spec: Spec,
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for the results.")],
    engine: Annotated[
        list[str] | None,
        typer.Option(help="An engine; may be given several times. Without it: agq."),
    ] = None,
    nodes: Nodes = None,
    intervals: Intervals = None,
    robust: Robust = None,
    weights: Weights = None,
    correction: Correction = None,
    method: Method = None,
    chains: Chains = None,
    draws: Draws = None,
    warmup: Warmup = None,
    seed: Seed = None,
    cores: Cores = None,
    backend: Backend = None,
    starts: Starts = None,
    formulation: Formulation = None,
    draws_to: DrawsTo = None,
    adapt_delta: AdaptDelta = None,
    max_treedepth: MaxTreedepth = None,
    timeout: Timeout = None,
    include: Include = None,
    as_json: Json = False,
) -> None:
    """Fit a model with one or more engines and save each result in a folder."""
    from bridge.files import output_folder, read_data
    from bridge.fit import fit as fit_model
    from bridge.fit import translate as translate_model
    from bridge.spec import ModelSpec

    given, engines = _given(locals()), engine or ["agq"]
    options = _options(engines, given)
    model, frame = ModelSpec.from_toml(spec), read_data(data)
    for name in engines:
        translate_model(model, frame, name, **options[name])
    folder = output_folder(out)
    failed: list[BridgeError] = []
    printed = []
    for name in engines:
        try:
            result = fit_model(model, frame, name, **options[name])
            _write(result, folder, name)
        except BridgeError as error:
            # the other engines still get their turn; the exit code says that one failed
            failed.append(error)
            _say_error(error, name)
            continue
        printed.append(_as_json(result))
        if not as_json:
            typer.echo(result.summary())
            typer.echo(f"\nSaved in {folder}: {name}.nc, {name}.csv, {name}.txt\n")
    if as_json:
        _print_json(printed)
    if failed:
        raise typer.Exit(1 if any(isinstance(e, EngineFailed) for e in failed) else 2)


@app.command()
def compare(
    results: Annotated[
        list[Path], typer.Argument(help="Folders of saved results, or result files.")
    ],
    published: Annotated[
        str | None, typer.Option(help="A published table, such as leckie2014/model1.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Lay saved results side by side and say whether they agree (exit 1 where they differ)."""
    from bridge.comparison import make_comparison
    from bridge.files import saved_results
    from bridge.result import load

    found = make_comparison([load(path) for path in saved_results(results)], published)
    if as_json:
        _print_json(
            {
                "table": _records(found.table),
                "verdicts": _records(found.verdicts),
                "logliks": _records(found.logliks),
                "notes": list(found.notes),
                "agree": found.agree,
            }
        )
    else:
        typer.echo(found.text())
    # where nothing could be judged, nothing was found to agree
    if found.agree is False or found.verdicts.empty:
        raise typer.Exit(1)


@app.command()
def validate(
    cases: Annotated[
        list[str] | None,
        typer.Argument(help="Cases, such as leckie2014/model1, or sources; all without any."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="Only this engine; may be given several times."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only engines of maximum likelihood; a few minutes.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder for report.html, report.md and the results."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compute anew what is there already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute every printed number anew (exit 1 where one is neither reproduced nor argued)."""
    from bridge.validate import validate as validate_cases

    found = validate_cases(*(cases or ()), engines=engine or (), quick=quick, out=out, again=again)
    folder = found.write(out) if out is not None else None
    if as_json:
        _print_json(found.plain())
    else:
        typer.echo(found.text())
        if folder is not None:
            typer.echo(f"The report is in {folder}: report.html, report.md")
    if not found.good:
        raise typer.Exit(1)


@app.command()
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Folders of saved results, or result files, of one model.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page; by default report.html in the first folder."),
    ] = None,
    criteria: Annotated[
        list[str] | None,
        typer.Option(
            help="Of posteriors, beside dic, waic and loo: logo, leave-one-group-out, which can "
            "take minutes."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained page on saved fits of one model."""
    from bridge.report import report as make_report

    first = results[0] if results[0].is_dir() else results[0].parent
    target = out if out is not None else first / "report.html"
    wanted = dict.fromkeys(["dic", "waic", "loo", *(criteria or [])])
    make_report(*results, out=target, criteria=list(wanted))
    if as_json:
        _print_json({"report": str(target)})
    else:
        typer.echo(f"The report is in {target}")


@app.command()
def simulate(
    study: Annotated[Path, typer.Argument(help="A study in TOML.", metavar="STUDY")],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder for estimates, table and pictures; a stopped study goes on."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; as many as cores by default.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="A Dask scheduler, such as tcp://10.0.0.1:8786.")
    ] = None,
    replications: Annotated[
        int | None, typer.Option(help="How many, in the place of the file's number.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate data, fit models to them, and lay out bias, standard errors and coverage.

    Exit 1 where an engine could not fit a model in a single replication.
    """
    from bridge.study import simulation_study
    from bridge.study_file import read_study

    asked = read_study(study)
    if replications is not None:
        asked["replications"] = replications
    found = simulation_study(**asked, out=out, workers=workers, cluster=cluster)
    files = found.write(out) if out is not None else []
    fits = found.fits()
    if as_json:
        about = {"replications": found.replications, "seed": found.seed}
        _print_json(about | {"table": _records(found.table()), "fits": _records(fits)})
    else:
        typer.echo(found.text())
        if files:
            typer.echo(f"In {out}: {', '.join(file.name for file in files)}")
    if (fits["ok"] == 0).any():
        raise typer.Exit(1)


@app.command()
def demo(
    as_json: Json = False,
    seed: Annotated[int, typer.Option(help="Seed of the samplers.")] = 1,
) -> None:
    """Fit High School and Beyond with every engine here, beside the published table."""
    from bridge.demo import run_demo

    found = run_demo(seed=seed, say=lambda text: typer.echo(text, err=as_json))
    if as_json:
        _print_json(
            {
                "table": _records(found.comparison.table),
                "meaning": found.meaning,
                "failed": found.failed,
            }
        )
    if found.failed:
        raise typer.Exit(1)


# --- helpers ---------------------------------------------------------------------------
_OPTIONS = (
    "method", "chains", "draws", "warmup", "seed", "cores", "backend", "starts", "formulation",
    "draws_to", "adapt_delta", "max_treedepth", "timeout", "include", "nodes", "intervals",
    "robust", "weights", "correction",
)  # fmt: skip


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in _OPTIONS if values[name] is not None}


def _options(engines: list[str], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give each engine the options it knows; one that none of them knows is an error."""
    from bridge.engines import registry

    twice = sorted({name for name in engines if engines.count(name) > 1})
    if twice:
        raise OptionError(f"The engine {twice[0]} is given twice; give each engine once.")
    known = {name: registry.get(name).options for name in engines}
    for option in given:
        if not any(option in options for options in known.values()):
            raise OptionError(
                f"{' and '.join(engines)} ha{'s' if len(engines) == 1 else 've'} no option "
                f"--{option.replace('_', '-')}."
            )
    return {n: {o: v for o, v in given.items() if o in options} for n, options in known.items()}


def _write(result: Result, folder: Path, name: str) -> None:
    from bridge.files import write_text

    result.save(folder / f"{name}.nc")
    write_text(folder / f"{name}.csv", result.estimates.to_csv(index=False))
    write_text(folder / f"{name}.txt", f"{result.native}\n\n{result.summary()}\n")


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "engine": result.engine,
        "method": result.method,
        "versions": dict(result.versions),
        "seed": result.seed,
        "settings": dict(result.settings),
        "n_obs": result.n_obs,
        "n_groups": result.n_groups,
        "dropped_rows": result.dropped_rows,
        "ml": dict(result.ml),
        "warnings": list(result.warnings),
        "estimates": _records(result.estimates),
    }


def _records(frame: Any) -> list[dict[str, Any]]:
    """Return a frame as records; what is missing is null."""
    import pandas as pd

    return [
        {str(k): None if pd.isna(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=float))


def _say_error(error: BridgeError, where: str = "") -> None:
    head = f"Error ({where}): " if where else "Error: "
    typer.echo(head + str(error), err=True)
    if _DEBUG:
        traceback.print_exception(error)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except RequestError as error:
        _say_error(error)
        sys.exit(2)
    except BridgeError as error:
        _say_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
