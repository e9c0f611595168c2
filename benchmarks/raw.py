"""HTTP/1.1 by hand: a connection that is kept, and nothing else."""

import asyncio
import re
from typing import Final, Self
from urllib.parse import urlsplit

from benchmarks.fleet import VERSION, app_token

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """Asks one question at a time, over one connection."""

    def __init__(self, host: str) -> None:
        self._head = (
            f"POST /{VERSION}/ HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
            f"Authorization: Bearer {app_token()}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
        ).encode()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._pieces: list[bytes] = []
        self._missing = 0

    @classmethod
    async def to(cls, url: str) -> Self:
        """A connection to the stand-in."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: cls(parts.netloc), parts.hostname or "", parts.port or 80
        )
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server hung up"))

    def ask(self, form: bytes) -> asyncio.Future[bytes]:
        """The body of the reply to a form."""
        if self._transport is None:
            raise ConnectionError
        self._answer = self._loop.create_future()
        self._transport.write(b"%s%d\r\n\r\n%s" % (self._head, len(form), form))
        return self._answer

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            if self._pieces:  # a head in pieces
                data = self._pieces.pop() + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._pieces.append(data)
                return
            length = _LENGTH.search(data, 0, end)
            if length is None or data[9:12] != b"200":
                raise ConnectionError(data[:40])
            self._missing = int(length[1])
            data = data[end + 4 :]
        self._pieces.append(data)
        self._missing -= len(data)
        if not self._missing and self._answer is not None:
            self._answer.set_result(b"".join(self._pieces))
            self._pieces.clear()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
