"""A child process that runs an engine, seen from both of its ends.

The parent holds a `Worker`; the child is ``python -m <module>``, and that module calls `serve`.
Requests and replies are length-prefixed pickles on two pipes of their own, so nothing that an
engine prints can be mistaken for an answer. What the child and its own children print arrives
line by line at the caller's ``on_output``, and the last lines are kept for error messages.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge import errors
from bridge.engines.worker_output import Output, OutputSink
from bridge.engines.worker_serve import FDS, Handler, serve

__all__ = ["Handler", "OutputSink", "Worker", "serve", "shared"]

_POLL = 0.25  # seconds between looks at whether the child is alive


class Worker:
    """One child process, started at the first call and again after it has died.

    Parameters
    ----------
    module : str
        The module that the child runs; it must call `serve`.
    label : str
        What error messages call it, for example ``"R"``.
    """

    def __init__(self, module: str, label: str) -> None:
        self.module, self.label = module, label
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._requests = self._replies = self._life = -1
        self._folder = ""

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is no living child."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def call(
        self,
        verb: str,
        payload: dict[str, Any],
        timeout: float | None = None,
        on_output: OutputSink | None = None,
    ) -> dict[str, Any]:
        """Send one request and wait for its reply.

        Parameters
        ----------
        verb, payload : str, dict
            Which of the child's handlers answers, and what it is given (anything that pickles).
        timeout : float, optional
            Seconds after which the child and its own children are killed.
        on_output : callable, optional
            Is given each line that the child prints, from another thread.

        Returns
        -------
        dict
            The handler's answer.

        Raises
        ------
        EngineFailed, EngineTimeout
            The handler failed or the child died; the limit passed. The next call starts afresh.
        BridgeError
            Whatever class of bridge's own errors the handler raised.
        """
        with self._lock:
            if self.pid is None or self._owner != os.getpid():
                self._start()
            output = self._output
            output.ended.clear()
            output.lines.clear()
            output.sink, output.sink_error = on_output, None
            deadline = None if timeout is None else time.monotonic() + timeout
            try:
                reply = self._exchange(pickle.dumps((verb, payload), protocol=5), deadline)
                output.ended.wait(1.0)  # the last lines travel on another pipe than the reply
            except EOFError:
                raise self._died(verb) from None
            except TimeoutError:
                self._kill()
                raise errors.EngineTimeout(
                    f"{self.label} was stopped after {timeout:g} seconds, the limit that was set; "
                    "raise the limit or ask for less."
                ) from None
            except BaseException:  # Ctrl-C above all: nothing may go on computing behind it
                self._kill()
                raise
            finally:
                output.sink = None
            if output.sink_error is not None:
                warnings.warn(f"progress was not shown: {output.sink_error!r}", stacklevel=2)
            return _unpack(reply, output.last_words())

    def close(self) -> None:
        """End the child and everything it started."""
        process = self._process
        if process is None or self._owner != os.getpid():
            return
        if not self._lock.acquire(blocking=False):  # in use: its caller is told, and cleans up
            _kill_group(process)
            return
        try:
            self._requests = _closed(self._requests)  # the child's word to leave
            if self.pid is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1.0)
                _kill_group(process)
            self._clean_up()
        finally:
            self._lock.release()

    def _start(self) -> None:
        if os.name != "posix":
            raise errors.EngineNotInstalled(
                f"{self.label} runs in a child process that needs Linux, macOS or WSL; "
                "run bridge there."
            )
        self._clean_up()
        self._owner = os.getpid()
        self._folder = tempfile.mkdtemp(prefix="bridge-")
        theirs_in, self._requests = os.pipe()
        self._replies, theirs_out = os.pipe()
        # nothing is ever written here: its end tells the child that we are gone
        theirs_life, self._life = os.pipe()
        self._process = subprocess.Popen(
            # -P: a user's random.py in the current folder must not shadow anything
            [sys.executable, "-P", "-m", self.module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs_in, theirs_out, theirs_life),
            env=_environment((theirs_in, theirs_out, theirs_life), self._folder),
            start_new_session=True,
        )
        for fd in (theirs_in, theirs_out, theirs_life):
            os.close(fd)
        os.set_blocking(self._requests, False)
        os.set_blocking(self._replies, False)
        self._output = Output(self._process.stdout)

    def _exchange(self, request: bytes, deadline: float | None) -> bytes:
        """Write the request and read the reply; EOFError when the child is gone."""
        unsent = memoryview(len(request).to_bytes(8, "big") + request)
        for _ in self._ready(self._requests, selectors.EVENT_WRITE, deadline):
            try:
                unsent = unsent[os.write(self._requests, unsent) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise EOFError from None
            if not unsent:
                break
        size = int.from_bytes(self._read(8, deadline), "big")
        return self._read(size, deadline)

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts = bytearray()
        for _ in self._ready(self._replies, selectors.EVENT_READ, deadline):
            chunk = os.read(self._replies, min(size - len(parts), 1 << 20))
            if not chunk:
                raise EOFError
            parts += chunk
            if len(parts) == size:
                break
        return bytes(parts)

    def _ready(self, fd: int, event: int, deadline: float | None) -> Iterator[None]:
        """Yield each time the pipe is ready; EOFError when the child died with nothing to read."""
        with selectors.DefaultSelector() as selector:
            selector.register(fd, event)
            while True:
                left = _POLL if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                # a forked grandchild may hold the pipe open, so the end of file is not enough
                dead = self._process is None or self._process.poll() is not None
                if selector.select(0 if dead else min(left, _POLL)):
                    yield
                elif dead:
                    raise EOFError

    def _died(self, verb: str) -> errors.EngineFailed:
        process = self._process
        assert process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2.0)  # the pipe closes a moment before the exit code is there
        how = _ending(process.poll())
        self._kill()
        words = self._output.last_words() or " It said nothing."
        return errors.EngineFailed(
            f"{self.label} {how} during '{verb}'; the next fit starts it afresh.{words}"
        )

    def _kill(self) -> None:
        process = self._process
        if process is None or self._owner != os.getpid():
            return
        _kill_group(process)
        self._output.join(1.0)
        self._clean_up()

    def _clean_up(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._requests, self._replies = _closed(self._requests), _closed(self._replies)
            self._life = _closed(self._life)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # the whole group: rstan's parallel chains are processes of their own
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _closed(fd: int) -> int:
    if fd >= 0:
        os.close(fd)
    return -1


def _ending(code: int | None) -> str:
    if code is None:
        return "stopped answering"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _environment(pipes: tuple[int, ...], folder: str) -> dict[str, str]:
    """Make the child's environment: the pipes, a folder of its own, and where bridge is."""
    home = str(Path(__file__).resolve().parents[2])
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    # site-packages must not come to stand before the standard library
    if home != sysconfig.get_path("purelib"):
        paths.insert(0, home)
    ours = {
        FDS: ",".join(map(str, pipes)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }
    return os.environ | ours | {"TMPDIR": folder}  # a killed child cannot clean up; its parent can


def _unpack(reply: bytes, last_words: str) -> dict[str, Any]:
    answer: dict[str, Any] = pickle.loads(reply)
    if "answer" in answer:
        result: dict[str, Any] = answer["answer"]
        return result
    kind = getattr(errors, answer["error"], errors.EngineFailed)
    words = last_words if issubclass(kind, errors.EngineFailed) else ""
    error: Exception = kind(answer["message"] + words)
    error.add_note(f"In the child process:\n{answer['traceback']}")
    raise error


_shared: dict[tuple[int, str], Worker] = {}
_shared_lock = threading.Lock()


def shared(module: str, label: str) -> Worker:
    """Return this process's one worker for a module, made at the first request.

    Parameters
    ----------
    module, label : str
        As for `Worker`.

    Returns
    -------
    Worker
        It is closed when this process ends.
    """
    with _shared_lock:
        key = (os.getpid(), module)  # a forked process must not use its parent's pipes
        if key not in _shared:
            _shared[key] = Worker(module, label)
            atexit.register(_shared[key].close)
        return _shared[key]
