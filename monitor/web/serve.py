"""Serving: uvicorn's protocol in the loop that is running, for patient hosts only."""

import asyncio
import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from monitor.errors import UnavailableError

VISIT: Final = 10.0
"""Seconds a connection lasts, whatever is said over it."""
_VISITORS: Final = 128
"""Connections at once; one more sends away the one that has said nothing longest."""
_REQUEST: Final = 16_384
"""Bytes that a visitor may say."""
_MENDS: Final = {
    errno.EADDRINUSE: "; end the process that has the port, or choose another",
    errno.EADDRNOTAVAIL: "; no interface of this machine has this address",
    errno.EACCES: "; a port below 1024 needs rights, choose a higher one",
}

# What strangers send is not news for the log; what we fail at is.
_log = logging.getLogger("monitor.web.http")
_log.setLevel(logging.ERROR)


class Door:
    """A place where the pages are served; made by `Door.open`, shut by `close`."""

    def __init__(self, listener: socket.socket, visit: float) -> None:
        self._listener = listener
        self._visits: dict[_Visit, None] = {}
        self._server: asyncio.Server | None = None
        self.visit = visit
        self.port: int = listener.getsockname()[1]

    @classmethod
    async def open(
        cls, host: str, port: int, app: ASGIApp, visit: float = VISIT
    ) -> "Door":
        """Serve at this place until it is closed; port 0 takes a free one.

        Args:
            host: A name or an address of this machine.
            port: The port.
            app: Who answers.
            visit: Seconds after which a connection ends, whatever it is about.

        Raises:
            UnavailableError: The place is taken, or not of this machine.
        """
        door = cls(_listen(host, port), visit)
        config = Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        loop = asyncio.get_running_loop()
        door._server = await loop.create_server(
            lambda: _Visit(config, door), sock=door._listener, backlog=1024
        )
        return door

    async def close(self) -> None:
        """Take no more visitors, and send the others away."""
        if self._server is not None:
            self._server.close()
        for visit in list(self._visits):
            visit.transport.abort()
        self._listener.close()
        await asyncio.sleep(0)  # aborted transports go at the next turn

    def enter(self, visit: "_Visit") -> None:
        """A visitor comes; if it is crowded, one of those who say nothing goes."""
        if len(self._visits) >= _VISITORS:
            silent = (each for each in self._visits if not each.asked)
            gone = next(silent, next(iter(self._visits)))
            self.leave(gone)
            gone.transport.abort()
        self._visits[visit] = None

    def leave(self, visit: "_Visit") -> None:
        """A visitor is gone."""
        self._visits.pop(visit, None)


class _Visit(HttpToolsProtocol):
    """A connection that ends: uvicorn itself waits for a request without a bound."""

    def __init__(self, config: Config, door: Door) -> None:
        super().__init__(config, ServerState(), {})
        self.logger = _log
        self._door = door
        self._heard = 0
        self.asked = False
        """Whether a whole request was made."""
        self._ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().connection_made(transport)
        self._ends = self.loop.call_later(self._door.visit, transport.abort)
        self._door.enter(self)

    def on_headers_complete(self) -> None:
        self.asked = True
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        self._heard += len(data)
        if self._heard > _REQUEST:
            self.transport.abort()
        elif not self.transport.is_closing():
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ends is not None:
            self._ends.cancel()
        self._door.leave(self)
        super().connection_lost(exc)


def _listen(host: str, port: int) -> socket.socket:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with _told(place):
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
            listener.settimeout(0)
        except BaseException:
            listener.close()
            raise
    return listener


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"web.listen: cannot listen on {place}: {error.strerror}"
            f"{_MENDS.get(error.errno or 0, '')}"
        ) from None
