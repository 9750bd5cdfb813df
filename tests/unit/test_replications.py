"""Replications give one table, whoever does them and however often they are stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.errors import DataFileError, EngineFailed, OptionError, RequestError
from bridge.replication_parts import Parts, as_table, study_of
from bridge.replications import duration, replicate


def task(seeds, number):
    """Return two rows, one of them with a text in the even replications alone."""
    value = np.random.default_rng(seeds).normal(size=2)
    why = ["failed" if number % 2 == 0 else None, None]
    return pd.DataFrame({"name": ["a", "b"], "value": value, "why": why})


def slow_task(seeds, number):
    time.sleep(0.02 * (number % 3))  # later ones overtake
    return task(seeds, number)


def run(replications=12, out=None, work=task, key="k", seed=3, **options):
    return replicate(work, replications, seed, key, out, **{"workers": 2, **options})


@pytest.fixture(scope="module")
def expected():
    frames = []
    for k in range(12):
        frame = task(np.random.SeedSequence(3, spawn_key=(k,)), k)
        frame.insert(0, "replication", k)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def same(found, expected):
    assert list(found.columns) == list(expected.columns)
    assert found["replication"].tolist() == expected["replication"].tolist()
    assert found["value"].tolist() == expected["value"].tolist()
    assert [w if isinstance(w, str) else None for w in found["why"]] == [
        w if isinstance(w, str) else None for w in expected["why"]
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_table_does_not_depend_on_workers_or_their_order(workers, expected):
    same(run(work=slow_task, workers=workers), expected)


def test_threads_are_one_in_workers():
    found = run(2, work=lambda s, k: pd.DataFrame({"n": [os.environ["OPENBLAS_NUM_THREADS"]]}))
    assert found["n"].tolist() == ["1", "1"]


def test_a_folder_gives_the_same_table_as_memory(tmp_path, expected):
    inside = run(out=tmp_path)
    same(inside, expected)
    pd.testing.assert_frame_equal(inside, run())
    study = json.loads((tmp_path / "study.json").read_text())
    assert study == {"key": "k", "seed": 3}


def test_a_stopped_study_resumes_to_the_identical_table(tmp_path):
    def stopping(seeds, number):
        if number == 7:
            raise ValueError("stopped")
        return task(seeds, number)

    with pytest.raises(ValueError, match="stopped") as error:
        run(out=tmp_path, work=stopping)
    assert "In replication 7." in error.value.__notes__
    done = Parts(tmp_path, "k", 3).done()
    assert 0 < len(done) < 12 and 7 not in done
    pd.testing.assert_frame_equal(run(out=tmp_path), run(out=tmp_path / "at once"))


def test_what_is_done_is_not_done_again_and_more_can_be_asked_for(tmp_path):
    def forbidden(seeds, number):
        if number < 6:
            raise AssertionError(number)
        return task(seeds, number)

    run(6, tmp_path)
    pd.testing.assert_frame_equal(run(12, tmp_path, work=forbidden), run(12))
    pd.testing.assert_frame_equal(run(4, tmp_path, work=forbidden), run(4))


def test_an_interrupt_keeps_what_is_done(tmp_path):
    def interrupted(share, text):
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path, progress=interrupted)
    assert len(Parts(tmp_path, "k", 3).done()) >= 3
    pd.testing.assert_frame_equal(run(out=tmp_path), run())


def test_a_replication_that_is_in_two_parts_counts_once(tmp_path):
    run(6, tmp_path)
    frame = task(np.random.SeedSequence(3, spawn_key=(2,)), 2)
    Parts(tmp_path, "k", 3).add({2: as_table(2, frame)})
    pd.testing.assert_frame_equal(run(6, tmp_path), run(6))


def test_another_key_or_seed_is_refused(tmp_path):
    run(2, tmp_path, key={"spec": "a", "truth": {"x": 1.0}})
    with pytest.raises(RequestError, match=r"holds another study \(another truth\)"):
        run(2, tmp_path, key={"spec": "a", "truth": {"x": 2.0}})
    with pytest.raises(RequestError, match="a study with seed 3, and this one has 4"):
        run(2, tmp_path, key={"spec": "a", "truth": {"x": 1.0}}, seed=4)


def test_numbers_of_numpy_are_numbers(tmp_path):
    run(np.int64(2), tmp_path, seed=np.int64(4))
    pd.testing.assert_frame_equal(run(2, tmp_path, seed=4), run(2, seed=4))


@pytest.mark.parametrize("seed", ['"a"', "true", "1.5"])
def test_a_folder_whose_seed_is_none_is_said(tmp_path, seed):
    (tmp_path / "study.json").write_text(f'{{"key": {{"truth": {{}}}}, "seed": {seed}}}')
    with pytest.raises(DataFileError, match="is not a study's: its seed is"):
        study_of(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"replications": 0}, "replications is a whole number, at least 1"),
        ({"seed": -1}, "seed is a whole number, at least 0"),
        ({"workers": 0}, "workers is a whole number"),
        ({"workers": 1.5}, "workers is a whole number"),
        ({"workers": 2, "cluster": "tcp://127.0.0.1:1"}, "not both"),
        ({"workers": None, "cluster": 3}, "cluster is an address"),
    ],
)
def test_bad_requests(change, words):
    with pytest.raises(OptionError, match=words):
        run(**change)


def test_tasks_without_rows_or_with_other_columns_are_refused():
    with pytest.raises(RequestError, match="returned no rows"):
        run(2, work=lambda s, k: pd.DataFrame({"a": []}))
    with pytest.raises(RequestError, match="the same in all replications"):
        run(2, work=lambda s, k: pd.DataFrame({f"a{k}": [1]}))


def test_workers_end_with_the_process_that_leads(tmp_path):
    script = tmp_path / "leads.py"
    script.write_text(
        "import os, time, pathlib\n"
        "from bridge.replications import replicate\n"
        "def waits(seeds, number):\n"
        f"    pathlib.Path({str(tmp_path)!r}, 'worker').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "replicate(waits, 1, 1, 'k', workers=1)\n"
    )
    leader = subprocess.Popen([sys.executable, script])
    said = tmp_path / "worker"
    wait_for(lambda: said.exists() and said.read_text(), 60)
    leader.kill()
    leader.wait()
    worker = Path(f"/proc/{said.read_text()}")
    wait_for(lambda: not worker.exists() or "(zombie)" in (worker / "status").read_text(), 10)


def wait_for(happens, seconds):
    for _ in range(10 * seconds):
        if happens():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} seconds")


def test_a_killed_process_ends_the_study_with_a_sentence(tmp_path):
    def killed(seeds, number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return task(seeds, number)

    with pytest.raises(EngineFailed, match="fewer workers"):
        run(out=tmp_path, work=killed)
    pd.testing.assert_frame_equal(run(out=tmp_path), run())


def test_progress_says_how_many_and_how_long():
    said = []
    run(5, progress=lambda share, text: said.append((share, text)))
    assert said[-1] == (1.0, "5 of 5")
    assert all(text.endswith(" left") for share, text in said[:-1] if share > 0)
    assert [duration(s) for s in (5, 300, 9000)] == ["5 s", "5 min", "2.5 h"]


def test_a_cluster_that_loses_a_worker_gives_the_identical_table(tmp_path):
    from distributed import Client, LocalCluster

    def with_a_pause(seeds, number):
        time.sleep(0.05)
        return task(seeds, number)

    with (
        LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        pids = list(client.run(os.getpid).values())
        killed = []

        def kill_one(share, text):
            if share > 0.2 and not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        found = run(30, tmp_path, with_a_pause, workers=None, cluster=client, progress=kill_one)
        assert killed
        again = run(4, work=with_a_pause, workers=None, cluster=cluster.scheduler_address)
    pd.testing.assert_frame_equal(found, run(30))
    pd.testing.assert_frame_equal(again, run(4))


def test_a_cluster_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setattr("bridge.replications._PATIENCE", 0.5)
    with pytest.raises(RequestError, match="No Dask scheduler answers at tcp"):
        run(workers=None, cluster="tcp://127.0.0.1:1")


def test_quick_replications_are_sent_together_and_each_is_named(tmp_path):
    def where(seeds, number):
        return pd.DataFrame(
            {"pid": [os.getpid()], "first": [np.random.default_rng(seeds).random()]}
        )

    found = run(400, tmp_path, where)
    assert found["replication"].tolist() == list(range(400))
    alone = [np.random.default_rng(np.random.SeedSequence(3, spawn_key=(k,))) for k in range(400)]
    assert found["first"].tolist() == [rng.random() for rng in alone]

    def stops(seeds, number):
        if number == 350:
            raise ZeroDivisionError("here")
        return where(seeds, number)

    with pytest.raises(ZeroDivisionError, match="here") as raised:
        run(400, work=stops)
    assert raised.value.__notes__ == ["In replication 350."]
