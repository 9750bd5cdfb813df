"""Replications of one task on many processes or machines: the same table however it is done."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pandas as pd

from bridge.errors import EngineFailed, EngineNotInstalled, OptionError, RequestError
from bridge.progress import shown
from bridge.replication_parts import Parts, as_table

if TYPE_CHECKING:
    from bridge.engines.base import Progress

Task = Callable[[np.random.SeedSequence, int], pd.DataFrame]

#: A part is written once this many seconds have passed: what a lost machine may cost.
_SECONDS = 2.0
#: Processes without work for so many seconds end.
_IDLE = 60
#: Replications are sent together up to so many seconds of work.
_BATCH = 0.5
#: How often a worker looks whether the process that leads is there, in seconds.
_WATCH = 1.0
#: How long a cluster may take to answer, in seconds.
_PATIENCE = 30.0
#: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h: bytes up to which memory is kept.
_KEPT_BYTES = {-1: 2**26, -3: 2**25}
#: One thread a process: more of them would only take turns, and sums would depend on their number.
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
    ),
    "1",
)  # fmt: skip


def replicate(
    task: Task,
    replications: int,
    seed: int,
    key: str | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    cluster: Any = None,
    progress: Progress | bool | None = None,
) -> pd.DataFrame:
    """Do a task many times, each with random numbers of its own, and return all its rows.

    Parameters
    ----------
    task : callable
        Of a `numpy.random.SeedSequence` and the replication's number (from 0); returns a frame of
        at least one row, with the same columns in all replications. Picklable; failures that are
        part of the study it catches and returns as rows.
    replications : int
        How many.
    seed : int
        Not negative. Replication k has ``SeedSequence(seed, spawn_key=(k,))``, whoever does it.
    key : str or mapping
        What makes the study this study, in values that JSON has.
    out : path, optional
        A folder: ``study.json`` and Parquet parts, written as they come. What is there is not done
        again, so that a stopped study goes on, and a finished one can be given more replications.
    workers : int, optional
        Processes on this machine; as many as cores where nothing is said.
    cluster : str or distributed.Client, optional
        A Dask scheduler's address, such as ``"tcp://10.0.0.1:8786"``, or a client, in the place of
        ``workers``. Its workers should have one thread each.
    progress : bool or callable, optional
        As in `bridge.fit`; the text says how many are done and the time left.

    Returns
    -------
    pandas.DataFrame
        ``replication`` and the task's columns; by replication, in the task's order.

    Raises
    ------
    RequestError
        Where an argument is wrong, the folder holds another study, or the cluster does not answer.
    EngineFailed
        Where a process was killed (for want of memory, most often); what is done stays.

    Notes
    -----
    Memory does not grow with the number of replications while they run, where ``out`` is given:
    a few tasks a worker are under way at a time. The table is read once all are done.
    """
    replications, seed = checked_numbers(replications, seed)
    _check(workers, cluster)
    parts = Parts(None if out is None else Path(out), key, seed)
    left = sorted(set(range(replications)) - parts.done())
    if left:
        with (
            shown(progress, "study") as report,
            _crew(workers, cluster, len(left)) as crew,
        ):
            _Run(task, seed, parts, crew, report, replications).all_of(left)
    return parts.table(replications)


@dataclass(frozen=True)
class _Crew:
    """Who does the work, and how many tasks shall be under way (asked anew: clusters grow)."""

    executor: Executor
    window: Callable[[], int]


class _Run:
    """One run over the replications that are left."""

    def __init__(
        self,
        task: Task,
        seed: int,
        parts: Parts,
        crew: _Crew,
        report: Callable[[float | None, str], None],
        replications: int,
    ) -> None:
        # pickled once: a task may hold all rows of a design
        self._packed, self._seed, self._parts = cloudpickle.dumps(task), seed, parts
        self._crew, self._report, self._replications = crew, report, replications
        self._tables: dict[int, Any] = {}
        self._each: float | None = None  # seconds of the crew for one replication

    def all_of(self, left: list[int]) -> None:
        """Do the replications; whatever ends the run, what is done is kept."""
        running = dict[Future[list[Any]], list[int]]()
        start = written = time.monotonic()
        window, done, submitted = self._crew.window(), 0, 0
        try:
            while done < len(left):
                while len(running) < window and submitted < len(left):
                    some = left[submitted : submitted + self._batch(left[submitted:], window)]
                    running[self._submit(some)] = some
                    submitted += len(some)
                finished, _ = wait(running, timeout=_SECONDS, return_when=FIRST_COMPLETED)
                for future in finished:
                    some = running.pop(future)
                    self._tables.update(zip(some, _result(future, some), strict=True))
                    done += len(some)
                now = time.monotonic()
                self._each = (now - start) / done if done else None
                self._say(done, len(left), now - start)
                if now - written > _SECONDS:
                    self._write()
                    written, window = now, self._crew.window()
        finally:
            for future in running:
                future.cancel()
            self._write()

    def _batch(self, left: list[int], window: int) -> int:
        """Return how many replications are sent at once: of quick ones several, fewer at the end.

        To send and fetch costs a cluster some milliseconds each time.
        """
        if not self._each:
            return 1
        workers = max(1, window // 2)
        quick = int(_BATCH / (self._each * workers))
        return max(1, min(quick, len(left) // (4 * window)))

    def _submit(self, some: list[int]) -> Future[list[Any]]:
        try:
            return self._crew.executor.submit(_several, self._packed, self._seed, some)
        except BrokenProcessPool as error:  # killed since the last result was taken
            raise _killed(some, error) from None

    def _write(self) -> None:
        self._parts.add(self._tables)
        self._tables = {}  # only now: an interrupt in between may keep some twice, but loses none

    def _say(self, done: int, of: int, seconds: float) -> None:
        before = self._replications - of
        text = f"{before + done:,} of {self._replications:,}"
        if 0 < done < of:
            text += f", {duration(seconds / done * (of - done))} left"
        self._report((before + done) / self._replications, text)


def _keep_memory() -> None:
    """Let the C library keep the memory of arrays for the next ones, where it is glibc.

    Workers of Dask give it back to the system at once, which takes a quarter of their time.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, size in _KEPT_BYTES.items():
            mallopt(parameter, size)


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Task:
    """Return the task, read once in each worker."""
    _keep_memory()
    task: Task = cloudpickle.loads(packed)
    return task


def _several(packed: bytes, seed: int, numbers: list[int]) -> list[Any]:
    """Do some replications, in a worker; return the rows of each as they are kept."""
    if "numba" in sys.modules:  # a worker of a cluster has been started by somebody else
        import numba

        numba.set_num_threads(1)
    task, found = _unpacked(packed), []
    for number in numbers:
        try:
            rows = task(np.random.SeedSequence(seed, spawn_key=(number,)), number)
            found.append(as_table(number, rows))
        except Exception as error:
            error.add_note(f"In replication {number}.")
            raise
    return found


def _result(future: Future[list[Any]], numbers: list[int]) -> list[Any]:
    """Return the rows of some replications; say which these were where there are none."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise _killed(numbers, error) from None
    except Exception as error:
        if type(error).__name__ == "KilledWorker":
            raise EngineFailed(
                f"Replication {_listed(numbers)} has ended several of the cluster's workers: "
                f"{error}"
            ) from None
        raise


def _killed(numbers: list[int], error: BrokenProcessPool) -> EngineFailed:
    return EngineFailed(
        f"A process of the study was killed, at replication {_listed(numbers)} or near ({error}); "
        "where it was for want of memory, give fewer workers. What is done stays in the folder of "
        "the study, and the same call goes on from there."
    )


def _listed(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


def checked_numbers(replications: Any, seed: Any) -> tuple[int, int]:
    """Return how many replications there are and their seed; refuse what is no such number."""
    for name, value, least in (("replications", replications, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise OptionError(f"{name} is a whole number, at least {least}, not {value!r}.")
    return int(replications), int(seed)


def _check(workers: int | None, cluster: Any) -> None:
    if workers is not None and cluster is not None:
        raise OptionError("Give workers (of this machine) or a cluster, not both.")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
        raise OptionError(f"workers is a whole number, at least 1, not {workers!r}.")
    if workers is not None and workers < 1:
        raise OptionError(f"workers is a whole number, at least 1, not {workers}.")


@contextmanager
def _crew(workers: int | None, cluster: Any, tasks: int) -> Iterator[_Crew]:
    """Give who does the work; leave no process and no connection of ours behind."""
    if cluster is not None:
        with _client(cluster) as client, client.get_executor(pure=False) as executor:
            yield _Crew(executor, lambda: max(2, 2 * sum(client.ncores().values())))
        return
    from joblib.externals import loky

    count = min(workers or loky.cpu_count(), tasks)
    # processes are kept a while for the next call: to start one and compile takes seconds
    executor = loky.get_reusable_executor(
        count, timeout=_IDLE, env=_ONE_THREAD, initializer=_follow
    )
    good = False
    try:
        yield _Crew(executor, lambda: 2 * count)
        good = True
    finally:
        if not good:
            executor.shutdown(wait=True, kill_workers=True)


def _follow() -> None:
    """Leave Ctrl-C, which a terminal sends to every process, to the one that leads; end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(leader: int) -> None:
    """End this process once the one that leads, killed perhaps, is no longer its parent."""
    while os.getppid() == leader:
        time.sleep(_WATCH)
    os._exit(1)


@contextmanager
def _client(cluster: Any) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise EngineNotInstalled(
            "A cluster needs Dask's distributed: pip install 'mlm-bridge[cluster]'."
        ) from None

    own = isinstance(cluster, str)
    if not own and not isinstance(cluster, Client):
        raise OptionError(
            f'cluster is an address such as "tcp://10.0.0.1:8786" or a distributed.Client, not '
            f"{type(cluster).__name__}."
        )
    try:
        client = Client(cluster, timeout=_PATIENCE, set_as_default=False) if own else cluster
    except (OSError, ValueError) as error:
        raise RequestError(
            f"No Dask scheduler answers at {cluster} ({error}); start one with `dask scheduler`."
        ) from None
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
        yield client
    except TimeoutError:
        raise RequestError(
            "The Dask cluster has no workers; start some with `dask worker ADDRESS --nthreads 1`."
        ) from None
    finally:
        if own:
            client.close()


def duration(seconds: float) -> str:
    """Write a time that is left."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
