"""A simulation study that is done: its estimates, its table, and how to write and read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridge import study_table
from bridge.errors import DataFileError
from bridge.files import output_folder, write_text
from bridge.replication_parts import REPLICATION, Parts, study_of


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """A simulation study that is done, or as much of it as there is.

    Attributes
    ----------
    estimates : pandas.DataFrame
        One row a replication, model, engine and parameter: replication (from 0), model, engine,
        parameter, component, scale, estimate, se, lower, upper (95%), status ("ok" or "failed"),
        why (of a failed fit, or the warnings of an ok one) and seconds of the fit. A fit that
        gave no estimates is one row without a parameter.
    truth : dict of str to float
        Every parameter of the model that generated the data, by flat name.
    replications : int
        How many.
    seed : int
        Replication k drew from ``SeedSequence(seed, spawn_key=(k,))``.
    key : dict
        spec, truth, design, models and engines in plain values.
    """

    estimates: pd.DataFrame
    truth: Mapping[str, float]
    replications: int
    seed: int
    key: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, out: str | Path) -> Study:
        """Read a study from its folder; of one that was stopped, what is done.

        Raises
        ------
        DataFileError
            Where the folder holds no study, or no replication of one.
        """
        folder = Path(out)
        about = study_of(folder)
        key, seed = about["key"], int(about["seed"])
        if not isinstance(key, dict) or "truth" not in key:
            raise DataFileError(f"The folder {folder} holds another kind of study.")
        parts = Parts(folder, key, seed)
        done = parts.done()
        if not done:
            raise DataFileError(f"The study in {folder} has no replication that is done yet.")
        rows = parts.table(max(done) + 1)
        # JSON has no NaN: a correlation with an effect that does not vary
        truth = {k: np.nan if v is None else float(v) for k, v in key["truth"].items()}
        return cls(rows, truth, len(done), seed, key)

    @property
    def models(self) -> list[str]:
        """The models' names in their order."""
        return list(dict.fromkeys(self.estimates["model"]))

    @property
    def engines(self) -> list[str]:
        """The engines' names in their order."""
        return list(dict.fromkeys(self.estimates["engine"]))

    @cached_property
    def _table(self) -> pd.DataFrame:
        return study_table.study_table(self.estimates, self.truth, self.replications)

    def table(self) -> pd.DataFrame:
        """Return bias, spread, standard errors and coverage, each with its Monte Carlo error.

        Returns
        -------
        pandas.DataFrame
            One row a model, engine and parameter; see `bridge.study_table.study_table`.
        """
        return self._table.copy()

    def fits(self) -> pd.DataFrame:
        """Return how many fits of each model by each engine are ok, failed, and have warnings."""
        return study_table.fits_table(self.estimates, self.replications)

    def failures(self) -> pd.DataFrame:
        """Return the fits that failed: replication, model, engine, why."""
        failed = self.estimates[self.estimates["status"] == study_table.FAILED]
        once = failed.drop_duplicates([REPLICATION, "model", "engine"])
        return once[[REPLICATION, "model", "engine", "why"]].reset_index(drop=True)

    def text(self) -> str:
        """Return the table by engine, models side by side, in the layout of Leckie et al. (2014).

        Table 1 of the paper: mean and SD of the estimates, mean standard error, and coverage.
        """
        lines = [self._head()]
        for engine, table, fits in self._by_engine():
            lines += ["", f"{engine}:", *study_table.as_text(table, self.models)]
            lines += ["", *study_table.notes(table, fits)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the same as Markdown."""
        lines = [f"# {self._head()}"]
        for engine, table, fits in self._by_engine():
            lines += ["", f"## {engine}", "", *study_table.as_markdown(table, self.models), ""]
            lines += [f"- {note}" for note in study_table.notes(table, fits)]
        return "\n".join(lines) + "\n"

    def write(self, out: str | Path) -> list[Path]:
        """Write table.csv, table.md and the pictures into a folder.

        Returns
        -------
        list of pathlib.Path
            The files.

        Raises
        ------
        OutputError
            Where the folder cannot be written to.
        """
        folder = output_folder(Path(out))
        write_text(folder / "table.csv", self._table.to_csv(index=False))
        write_text(folder / "table.md", self.markdown())
        return [folder / "table.csv", folder / "table.md", *self._pictures(folder)]

    def _pictures(self, folder: Path) -> list[Path]:
        from matplotlib import pyplot as plt

        from bridge.plots.study import study_bias, study_coverage, study_se_ratio

        found = []
        for draw in (study_coverage, study_se_ratio, study_bias):
            if self._table.empty or not self._table["true"].notna().any():
                continue
            figure = draw(self).figure
            name = draw.__name__.removeprefix("study_")
            found.append(folder / f"{name}.png")
            figure.savefig(found[-1], dpi=150)
            plt.close(figure)
        return found

    def _head(self) -> str:
        return f"Simulation study: {self.replications:,} replications, seed {self.seed}"

    def _by_engine(self) -> list[tuple[str, pd.DataFrame, pd.DataFrame]]:
        table, fits = self._table, self.fits()
        if table.empty:  # nothing but failures
            table = pd.DataFrame(columns=["engine", "parameter", "n", "n_interval"])
        return [
            (engine, table[table["engine"] == engine], fits[fits["engine"] == engine])
            for engine in self.engines
        ]

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_markdown_(self) -> str:
        return self.markdown()
