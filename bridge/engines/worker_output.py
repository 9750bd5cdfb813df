"""What a child process prints, drained in a thread and handed on line by line."""

from __future__ import annotations

import codecs
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from bridge.engines.worker_serve import END

OutputSink = Callable[[str], None]

KEPT = 40  # lines of output that are remembered


class Output:
    """Drains the child's output in a thread, so that a full pipe never blocks the child."""

    def __init__(self, stream: Any) -> None:
        self.lines: deque[str] = deque(maxlen=KEPT)
        self.sink: OutputSink | None = None
        self.sink_error: Exception | None = None
        self.ended = threading.Event()
        self._stream = stream
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        rest = ""
        with self._stream:
            while chunk := os.read(self._stream.fileno(), 65536):
                *whole, rest = re.split(r"[\r\n]", rest + decode(chunk))
                for line in whole:
                    self._take(line)
        if rest:
            self._take(rest)
        self.ended.set()

    def _take(self, line: str) -> None:
        if line == END:
            self.ended.set()
            return
        if not line.strip():
            return
        self.lines.append(line)
        sink = self.sink
        if sink is not None:
            try:
                sink(line)
            except Exception as error:  # noqa: BLE001  a broken progress bar must not end a fit
                self.sink, self.sink_error = None, error

    def last_words(self) -> str:
        """Return the last lines as the end of an error message, or nothing."""
        said = "\n".join(list(self.lines)[-10:])
        return f"\nIts last words:\n{said}" if said else ""

    def join(self, timeout: float) -> None:
        """Wait until everything that was printed has been taken."""
        self._thread.join(timeout)
