"""The child's side of a worker: read a request, answer it, until the parent is done."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from bridge import errors

Handler = Callable[[dict[str, Any]], dict[str, Any]]

FDS = "BRIDGE_WORKER_FDS"  # the child reads its two pipe numbers here
END = "\x1ebridge-end"  # printed by the child when a request is done: all output is through


def serve(handlers: dict[str, Handler]) -> None:
    """Answer requests until the parent closes its end; the child's side.

    Parameters
    ----------
    handlers : dict of str to callable
        What answers each verb: takes the payload, returns a dict, may raise any bridge error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    read, write = (int(fd) for fd in os.environ.pop(FDS).split(","))
    os.set_inheritable(read, False)
    os.set_inheritable(write, False)
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    with open(read, "rb") as requests, open(write, "wb") as replies:
        while header := requests.read(8):
            reply = _answer(handlers, requests.read(int.from_bytes(header, "big")))
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(1, f"\n{END}\n".encode())
            replies.write(len(reply).to_bytes(8, "big") + reply)
            replies.flush()
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


def _leave_with_parent(parent: int) -> None:
    """End this process group when the parent is gone, even in the middle of a fit."""
    while os.getppid() == parent:
        time.sleep(1.0)
    _remove_folder()
    os.killpg(0, signal.SIGKILL)


def _remove_folder() -> None:
    """Remove the temporary folder: a parent that was killed cannot."""
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
