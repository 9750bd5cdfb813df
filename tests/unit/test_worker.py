"""The child process seen from its parent: replies, deaths, limits, and who is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge import errors
from bridge.engines.frame import frame_from_pandas
from bridge.engines.worker import Worker, shared

CHILD = """
import os, signal, subprocess, sys, threading, time
from bridge import errors
from bridge.engines.worker import serve

def echo(payload):
    print("one\\rtwo\\n\\nthree", end="")
    return payload

def say(payload):
    for i in range(payload["lines"]):
        print("line", i)
    print("to standard error", file=sys.stderr)
    return {"cwd": os.getcwd(), "tmp": os.environ["TMPDIR"]}

def threads(payload):
    return {"python": threading.active_count()}

def die(payload):
    print("my last word")
    os.kill(os.getpid(), payload["signal"])
    time.sleep(60)

def leave(payload):
    os._exit(7)

def hang(payload):
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, os.environ["TMPDIR"])
    time.sleep(600)

def refuse(payload):
    raise errors.EngineNotInstalled("There is no such engine here.")

serve({
    "echo": echo, "say": say, "threads": threads, "die": die, "leave": leave, "hang": hang,
    "refuse": refuse,
    "bug": lambda payload: {"a": 1 / 0}, "unpicklable": lambda payload: {"a": lambda: 1},
})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "worker_child.py").write_text(CHILD)
    old = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), old])))
    return tmp_path


@pytest.fixture
def worker(folder: Path) -> Iterator[Worker]:
    made = Worker("worker_child", "The engine")
    yield made
    made.close()


def is_running(pid: int) -> bool:
    """Whether a process lives; one that waits for its parent to collect it does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def gone(pid: int) -> bool:
    return wait_until(lambda: not is_running(pid))


def test_large_payloads_come_back_unchanged(worker: Worker) -> None:
    sent = {"x": np.arange(1_000_000.0), "text": "é\n", "n": None}
    got = worker.call("echo", sent)
    assert np.array_equal(got["x"], sent["x"])
    assert (got["text"], got["n"]) == ("é\n", None)


def test_output_arrives_line_by_line_and_before_the_reply(worker: Worker) -> None:
    heard: list[str] = []
    worker.call("echo", {}, on_output=heard.append)
    assert heard == ["one", "two", "three"]
    heard.clear()
    worker.call("say", {"lines": 50_000}, on_output=heard.append)
    assert [line for line in heard if line.startswith("line")] == [
        f"line {i}" for i in range(50_000)
    ]
    assert "to standard error" in heard


def test_output_of_one_call_does_not_reach_the_next(worker: Worker) -> None:
    heard: list[str] = []
    worker.call("say", {"lines": 3}, on_output=heard.append)
    before = list(heard)
    worker.call("say", {"lines": 3})
    assert heard == before


def test_a_broken_progress_bar_does_not_end_the_call(worker: Worker) -> None:
    def broken(line: str) -> None:
        raise RuntimeError("no terminal")

    with pytest.warns(UserWarning, match="progress was not shown: RuntimeError"):
        assert worker.call("echo", {"x": 1}, on_output=broken) == {"x": 1}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_is_told_and_the_next_call_starts_afresh(worker: Worker, number: int) -> None:
    worker.call("echo", {})
    first = worker.pid
    with pytest.raises(errors.EngineFailed) as caught:
        worker.call("die", {"signal": number})
    assert str(caught.value) == (
        f"The engine was ended by {signal.Signals(number).name} during 'die'; "
        "the next fit starts it afresh.\nIts last words:\nmy last word"
    )
    assert worker.pid is None
    assert worker.call("echo", {"x": 2}) == {"x": 2}
    assert worker.pid not in (None, first)


def test_a_death_between_calls_goes_unnoticed(worker: Worker) -> None:
    worker.call("echo", {})
    pid = worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # its threads may outlive it by a moment, and until then it cannot be collected
    assert wait_until(lambda: worker.pid is None)
    assert worker.call("echo", {"x": 3}) == {"x": 3}


def test_the_child_has_no_thread_that_a_fork_could_catch(worker: Worker) -> None:
    assert worker.call("threads", {}) == {"python": 1}


def test_an_exit_names_its_code(worker: Worker) -> None:
    with pytest.raises(errors.EngineFailed, match="ended with exit code 7 during 'leave'"):
        worker.call("leave", {})


def test_a_limit_kills_the_child_and_its_children(worker: Worker) -> None:
    heard: list[str] = []
    started = time.monotonic()
    with pytest.raises(errors.EngineTimeout, match=r"stopped after 1\.5 seconds"):
        worker.call("hang", {}, timeout=1.5, on_output=heard.append)
    assert 1.4 < time.monotonic() - started < 10
    assert gone(int(heard[0].split()[0]))
    assert worker.call("echo", {"x": 4}) == {"x": 4}


def test_a_limit_that_is_not_reached_does_nothing(worker: Worker) -> None:
    assert worker.call("echo", {"x": 5}, timeout=60) == {"x": 5}


def test_bridge_errors_keep_their_class(worker: Worker) -> None:
    with pytest.raises(errors.EngineNotInstalled) as e:
        worker.call("refuse", {})
    assert str(e.value) == "There is no such engine here."
    assert "worker_child.py" in e.value.__notes__[0]
    first = worker.pid
    assert worker.call("echo", {"x": 6}) == {"x": 6}
    assert worker.pid == first


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("bug", "ZeroDivisionError: division by zero"),
        ("unpicklable", "pickle"),
        ("nothing", "KeyError: 'nothing'"),
    ],
)
def test_other_errors_become_engine_failures(worker: Worker, verb: str, message: str) -> None:
    with pytest.raises(errors.EngineFailed, match=message) as caught:
        worker.call(verb, {})
    assert type(caught.value) is errors.EngineFailed


def test_threads_take_turns(worker: Worker) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(worker.call("echo", {"x": i})["x"]))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(8))


def test_close_ends_a_call_in_another_thread(worker: Worker) -> None:
    failures: list[BaseException] = []
    heard: list[str] = []

    def hang() -> None:
        try:
            worker.call("hang", {}, on_output=heard.append)
        except errors.EngineFailed as error:
            failures.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    while not heard:
        time.sleep(0.02)
    worker.close()
    thread.join(10)
    assert "SIGKILL" in str(failures[0])
    assert gone(int(heard[0].split()[0]))


def test_close_removes_the_child_and_its_folder(worker: Worker) -> None:
    where = Path(worker.call("say", {"lines": 0})["tmp"])
    pid = worker.pid
    assert where.is_dir()
    assert pid is not None
    worker.close()
    assert gone(pid)
    assert not where.exists()
    worker.close()
    assert worker.call("echo", {"x": 7}) == {"x": 7}


def test_shared_is_one_worker_for_a_module(folder: Path) -> None:
    one = shared("worker_child", "The engine")
    assert shared("worker_child", "The engine") is one
    assert shared("another_module", "Another") is not one
    one.call("echo", {})
    one.close()


def test_the_child_starts_in_any_folder_with_a_script_from_standard_input(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "random.py").write_text("raise SystemExit('a user file was imported')")
    script = (
        "from bridge.engines.worker import shared\n"
        "print(shared('worker_child', 'X').call('say', {'lines': 0})['cwd'])\n"
    )
    home = str(Path(errors.__file__).parents[1])
    paths = os.pathsep.join([str(folder), home])
    run = subprocess.run(
        [sys.executable, "-P", "-"],
        input=script,
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == f"{elsewhere}\n"


INTERRUPTED = """
import signal
# a shell that starts its children in the background has them ignore the interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)
from bridge.engines.worker import shared
try:
    shared("worker_child", "X").call("hang", {}, on_output=lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("interrupted", shared("worker_child", "X").pid)
"""


def _hanging_parent(folder: Path) -> tuple[subprocess.Popen[str], int, Path]:
    script = folder / "interrupted.py"
    script.write_text(INTERRUPTED)
    home = str(Path(errors.__file__).parents[1])
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), home])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid, temporary = parent.stdout.readline().split()
    return parent, int(pid), Path(temporary)


def test_an_interrupt_stops_everything_and_is_passed_on(folder: Path) -> None:
    parent, grandchild, temporary = _hanging_parent(folder)
    assert is_running(grandchild)
    parent.send_signal(signal.SIGINT)
    said, _ = parent.communicate(timeout=20)
    assert said == "interrupted None\n"
    assert gone(grandchild)
    assert not temporary.exists()


def test_nothing_outlives_a_killed_parent(folder: Path) -> None:
    parent, grandchild, temporary = _hanging_parent(folder)
    assert is_running(grandchild)
    parent.kill()
    parent.communicate(timeout=20)
    assert gone(grandchild)
    assert not temporary.exists()


def test_frame_kinds_levels_and_missing_values() -> None:
    frame = frame_from_pandas(
        pd.DataFrame(
            {
                "x": [1.5, np.nan],
                "big": [2**31, 1],
                "i": pd.array([7, None], dtype="Int64"),
                "b": [True, False],
                "nb": pd.array([None, True], dtype="boolean"),
                "s": ["b", "a"],
                "c": pd.Categorical(["y", None], categories=["z", "y", "x"]),
            }
        )
    )
    got = {c.name: (c.kind, c.values.tolist(), c.levels) for c in frame}
    assert np.isnan(got["x"][1][1])
    assert got["x"][0] == "double"
    assert got["big"] == ("double", [2.0**31, 1.0], ())
    assert got["i"] == ("integer", [7, 0], ())
    assert frame[2].missing is not None
    assert frame[2].missing.tolist() == [False, True]
    assert got["b"] == ("factor", [1, 0], ("False", "True"))
    assert got["nb"] == ("factor", [-1, 1], ("False", "True"))
    assert got["s"] == ("factor", [1, 0], ("a", "b"))
    assert got["c"] == ("factor", [1, -1], ("z", "y", "x"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pd.to_datetime(["2020-01-01"]), "dates or durations"),
        (pd.to_timedelta([1], unit="D"), "dates or durations"),
        (np.array([1j]), "complex"),
        (np.array([1, "a"], dtype=object), "mixed"),
        (np.array([None], dtype=object), "is empty"),
        (np.array([2**53 + 1]), "beyond 2\\*\\*53"),
        (pd.Categorical([1, "1"]), "the same as text"),
        (np.array(["a\0b"]), "null character"),
    ],
)
def test_columns_that_r_cannot_hold_are_refused_by_name(values: object, words: str) -> None:
    with pytest.raises(errors.ColumnTypeError, match=f"'when'.*{words}|{words}.*'when'"):
        frame_from_pandas(pd.DataFrame({"when": values}))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(errors.ColumnTypeError, match="Two columns are named 'a'"):
        frame_from_pandas(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_child_lives_without_a_path(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert worker.call("echo", {"x": 1}) == {"x": 1}
    time.sleep(0.3)
    assert worker.pid is not None
