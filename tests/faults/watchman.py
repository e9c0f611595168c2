"""A watchman: a real HTTP server that notes when it was pinged, and may misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

PATH = "/ping/canary-5d2c91e7"
"""Whoever knows it may speak for the monitor: no log shall hold it."""


class Watchman:
    """Answers every ping with `reply`; `None` never answers."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.pings: list[datetime] = []
        self.asked: list[str] = []
        self.reply: bytes | None = b"200 OK"
        self.url = ""
        self._clock = clock

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        self.pings.append(self._clock())
        if self.reply is None:
            await reader.read()  # until the caller gives up
        else:
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % self.reply)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def watching(clock: Callable[[], datetime]) -> AsyncIterator[Watchman]:
    """A watchman on loopback until the block ends."""
    watchman = Watchman(clock)
    server = await asyncio.start_server(watchman.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    watchman.url = f"http://127.0.0.1:{port}{PATH}"
    try:
        yield watchman
    finally:
        server.close()
