"""The child's side of a worker: read a request, answer it, until the parent is done."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

from bridge import errors

Handler = Callable[[dict[str, Any]], dict[str, Any]]

FDS = "BRIDGE_WORKER_FDS"  # the child reads the numbers of its pipes here
END = "\x1ebridge-end"  # printed by the child when a request is done: all output is through


def serve(handlers: dict[str, Handler]) -> None:
    """Answer requests until the parent closes its end; the child's side.

    Parameters
    ----------
    handlers : dict of str to callable
        What answers each verb: takes the payload, returns a dict, may raise any bridge error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    read, write, life = (int(fd) for fd in os.environ.pop(FDS).split(","))
    os.set_inheritable(read, False)
    os.set_inheritable(write, False)
    watch = _leave_with_parent(life)
    with open(read, "rb") as requests, open(write, "wb") as replies:
        while header := requests.read(8):
            reply = _answer(handlers, requests.read(int.from_bytes(header, "big")))
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(1, f"\n{END}\n".encode())
            replies.write(len(reply).to_bytes(8, "big") + reply)
            replies.flush()
    watch.kill()
    watch.wait()
    _remove_folder()


def _answer(handlers: dict[str, Handler], request: bytes) -> bytes:
    try:
        verb, payload = pickle.loads(request)
        return pickle.dumps({"answer": handlers[verb](payload)}, protocol=5)
    except Exception as error:  # noqa: BLE001  whatever it was, the parent hears of it
        ours = isinstance(error, errors.BridgeError)
        name = type(error).__name__
        report = {
            "error": name if ours else "EngineFailed",
            "message": str(error) if ours else f"{name}: {error}",
            "traceback": traceback.format_exc(),
        }
        return pickle.dumps(report)


def _leave_with_parent(life: int) -> subprocess.Popen[bytes]:
    """Have this process group end when the parent is gone, even in the middle of a fit.

    A process of its own waits for the end of a pipe that the parent alone holds open. A thread
    could not: R and PyStan fork their chains, and a fork while the thread held Python's lock
    would leave a chain that waits for it for ever. The shell waits by itself, whatever PATH is.
    """
    wait_and_end = 'while read -r line; do :; done; /bin/rm -rf "$0"; kill -9 0'
    watch = subprocess.Popen(
        ["/bin/sh", "-c", wait_and_end, os.environ["TMPDIR"]],
        stdin=life,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(life)
    return watch


def _remove_folder() -> None:
    """Remove the temporary folder, which a parent that was killed cannot."""
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
