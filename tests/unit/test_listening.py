"""What a chain of PyStan writes is read whole."""

from __future__ import annotations

import asyncio
import socket

import pytest

from bridge.engines.listening import listening
from bridge.errors import OutputError


def test_a_run_that_ends_before_anybody_looks_is_read_whole() -> None:
    async def run(path: str) -> int:
        # connects, writes and ends without ever letting the event loop turn
        for writer in range(4):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                connection.sendall(b'{"topic": "sample", "values": %d}\n' % writer * 3)
        return 7

    lines: list[bytes] = []
    assert asyncio.run(listening(run, lines.append)) == 7
    assert sorted(lines) == sorted(
        b'{"topic": "sample", "values": %d}\n' % writer for writer in range(4) for _ in range(3)
    )


def test_what_stan_logs_is_reported_while_it_runs() -> None:
    heard: list[bytes] = []

    async def run(path: str) -> int:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"topic": "logger", "values": ["info:Iteration: 1 / 2"]}\n')
        await writer.drain()
        while not heard:
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        return 0

    assert asyncio.run(asyncio.wait_for(listening(run, heard.append), 10)) == 0
    assert len(heard) == 1


def test_momenta_and_gradients_are_let_go() -> None:
    async def run(path: str) -> int:
        for topic, value in (("diagnostic", "a"), ("sample", "b")):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                line = f'{{"version":1,"topic":"{topic}","values":["{value}"]}}\n'
                connection.sendall(line.encode() * 1000)
        return 0

    lines: list[bytes] = []
    assert asyncio.run(asyncio.wait_for(listening(run, lines.append), 10)) == 0
    assert len(lines) == 1000 and all(b'"b"' in line for line in lines)


def test_a_line_that_cannot_be_taken_ends_the_run_with_the_reason() -> None:
    def take(line: bytes) -> None:
        raise OutputError("the disk is full")

    async def run(path: str) -> int:
        _, writer = await asyncio.open_unix_connection(path)
        while True:  # until nobody listens
            writer.write(b"x" * 2**16 + b"\n")
            await writer.drain()

    with pytest.raises(OutputError, match="the disk is full"):
        asyncio.run(asyncio.wait_for(listening(run, take), 10))
