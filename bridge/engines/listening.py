"""Everything that a run of Stan's services writes to its socket, line by line."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable

#: Momenta and gradients of every draw, one and a half times the size of the draws: not read.
_DIAGNOSTIC = b'{"version":1,"topic":"diagnostic"'
#: Bytes of one draw as text, and of what is read at once only to be let go.
_LONGEST_LINE, _UNREAD = 2**28, 2**20


async def listening(run: Callable[[str], Awaitable[int]], take: Callable[[bytes], None]) -> int:
    """Return what a run that writes to a socket returns, once every line it wrote is taken."""
    ends: list[asyncio.Task[None]] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = door.accept()
            except BlockingIOError:
                return
            ends.append(asyncio.create_task(_read(connection, take)))

    loop = asyncio.get_running_loop()
    with (
        tempfile.TemporaryDirectory(prefix="bridge-stan-") as folder,
        socket.socket(socket.AF_UNIX) as door,
    ):
        path = os.path.join(folder, "socket")
        door.bind(path)
        door.listen()
        door.setblocking(False)
        loop.add_reader(door, accept)
        try:
            code = await run(path)
        except Exception:
            for end in ends:
                if end.done():
                    end.result()  # what went wrong in reading came first
            raise
        finally:
            loop.remove_reader(door)
        accept()  # a short run can end before the loop has looked at the door
        await asyncio.gather(*ends)
    return code


async def _read(connection: socket.socket, take: Callable[[bytes], None]) -> None:
    """Read one of the writers to its end."""
    reader, writer = await asyncio.open_connection(sock=connection, limit=_LONGEST_LINE)
    try:
        while line := await reader.readline():
            if line.startswith(_DIAGNOSTIC):
                while await reader.read(_UNREAD):  # its writer writes nothing else
                    pass
                break
            take(line)
    finally:  # a chain that nobody reads would wait for ever
        writer.close()
        await writer.wait_closed()
