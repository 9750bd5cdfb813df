"""Draws are read from the lines of a chain, and from the files they are written into."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.engines import stan_stream
from bridge.engines.draws_folder import ChainFile, chain_file, prepare_folder
from bridge.engines.stan_stream import ChainReader, stacked
from bridge.errors import EngineFailed, OptionError, OutputError

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("lp__", "energy__", "a", "B.1.1", "B.2.1", "B.1.2", "B.2.2", "B.1.3", "B.2.3")
DIMS = ((), (0, 3), (2, 3))


def rows(draws: int = 5, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(draws, len(NAMES)))
    return values * 10.0 ** np.arange(-4, 5)


def line(values: np.ndarray) -> bytes:
    """One draw as httpstan writes it."""
    written = {"version": 1, "topic": "sample", "values": dict(zip(NAMES, values, strict=True))}
    return (json.dumps(written, separators=(",", ":")) + "\n").encode()


def read(values: np.ndarray, file: ChainFile | None = None) -> ChainReader:
    reader = ChainReader(len(values), file)
    reader.take(b'{"version":1,"topic":"initialization","values":[1.0]}\n')
    reader.take(b'{"version":1,"topic":"logger","values":["info:said"]}\n')
    reader.take(b'{"version":1,"topic":"sample","values":["Adaptation terminated"]}\n')
    for row in values:
        reader.take(line(row))
    return reader


def plain_csv(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """The columns and the numbers of a file, without bridge."""
    lines = [text for text in path.read_text().splitlines() if not text.startswith("#")]
    return tuple(lines[0].split(",")), np.array([text.split(",") for text in lines[1:]], float)


@pytest.mark.parametrize("with_simdjson", [True, False])
def test_draws_are_the_doubles_that_stan_wrote(
    with_simdjson: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_simdjson:
        monkeypatch.setitem(sys.modules, "simdjson", None)
    chains = [rows(seed=1), rows(seed=2)]
    chains[1][3, 4:7] = np.nan, np.inf, -np.inf
    readers = [read(values) for values in chains]
    assert readers[0].logged == ["info:said"]
    draws, sampler = stacked(readers, ("a", "none", "B"), DIMS, 5)
    whole = np.stack(chains)
    np.testing.assert_array_equal(sampler["energy__"], whole[..., 1])
    np.testing.assert_array_equal(draws["a"], whole[..., 2])
    assert "none" not in draws and draws["B"].shape == (2, 5, 2, 3)
    # Stan writes a matrix column by column
    for row in range(2):
        for column in range(3):
            np.testing.assert_array_equal(
                draws["B"][..., row, column], whole[..., 3 + row + 2 * column]
            )


def test_missing_draws_and_other_programs_are_not_passed_over() -> None:
    short = ChainReader(5)
    short.take(line(rows()[0]))
    with pytest.raises(EngineFailed, match="1 of 5 draws of chain 2"):
        stacked([read(rows()), short], ("a", "none", "B"), DIMS, 5)
    with pytest.raises(EngineFailed, match="7 numbers where the program has 1"):
        stacked([read(rows())], ("a",), ((),), 5)


def test_a_file_of_draws_reads_back_exactly(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path / "new" / "draws", "data {}")
    file = ChainFile(folder, 2, ["seed = 4"])
    reader = read(rows(), file)
    early = chain_file(folder, 2, complete=False)
    assert early.is_file() and not chain_file(folder, 2, complete=True).exists()
    file.end()
    whole = chain_file(folder, 2, complete=True)
    assert not early.parent.exists()
    assert whole.read_text().startswith("# chain = 2\n# seed = 4\nlp__,energy__,a,B.1.1")
    names, table = plain_csv(whole)
    assert names == NAMES
    np.testing.assert_array_equal(table, reader.table)
    frame = pd.read_csv(whole, comment="#")
    np.testing.assert_allclose(frame.to_numpy(), reader.table, rtol=1e-14)
    assert (folder / "model.stan").read_text().endswith("\ndata {}\n")


def test_a_folder_with_draws_is_refused(tmp_path: Path) -> None:
    file = ChainFile(prepare_folder(tmp_path, "a"), 1, [])
    prepare_folder(tmp_path, "a")  # nothing was drawn
    read(rows(), file)
    with pytest.raises(OptionError, match="a fit that did not end already; name another folder"):
        prepare_folder(tmp_path, "a")
    file.end()
    with pytest.raises(OptionError, match="holds the draws of a fit already"):
        prepare_folder(tmp_path, "a")
    with pytest.raises(OutputError, match="cannot be made"):
        prepare_folder(tmp_path / "chain_1.csv", "a")


def test_a_file_of_the_users_is_not_written_over(tmp_path: Path) -> None:
    own = tmp_path / "model.stan"
    own.write_text("parameters {}\n")
    with pytest.raises(
        OptionError, match=r"model\.stan is there already and would be written over"
    ):
        prepare_folder(tmp_path, "a")
    assert own.read_text() == "parameters {}\n"
    own.unlink()
    (tmp_path / "notes.txt").write_text("mine")  # what is not in the way may stay
    prepare_folder(tmp_path, "a")
    prepare_folder(tmp_path, "b")  # of a fit that ended before its first draw
    assert own.read_text().endswith("\nb\n")


def test_two_fits_do_not_write_into_one_file(tmp_path: Path) -> None:
    first = ChainFile(tmp_path, 1, [])
    read(rows(), first)
    first.close()
    with pytest.raises(OutputError, match=r"chain_1\.csv cannot be written: File exists"):
        read(rows(), ChainFile(tmp_path, 1, []))


KILLED = """
import os, sys, signal
sys.path.insert(0, {tests!r})
from test_stan_stream import ChainFile, read, rows
file = ChainFile({folder!r}, 1, [])
read(rows(), file)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_drawn_outlives_a_kill_and_is_labelled_incomplete(tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not chain_file(tmp_path, 1, complete=True).exists()
    _, table = plain_csv(chain_file(tmp_path, 1, complete=False))
    np.testing.assert_array_equal(table, rows())


def test_a_parser_is_always_found() -> None:
    assert stan_stream._parser()(line(rows()[0])) == tuple(rows()[0])
