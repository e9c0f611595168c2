"""HTTP/1.1 over one kept connection, behind httpx's transport interface.

httpx's own transport costs nine times the work of a bare connection and aiohttp's four
times, as ADR 0015 tells; and neither can be asked to write only if something
still holds at that very moment. Replies are parsed by httptools, which is uvicorn's.
"""

import asyncio
import ipaddress
import select
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Self

import httptools
import httpx

_LARGEST_HEAD: Final = 64 * 1024
_MOST_UNREAD: Final = 256 * 1024
"""Bytes of a body that wait to be read before the server has to wait."""
_ONE_READ: Final = 64 * 1024
"""Bytes taken from the socket at once, into the same room each time."""
_MOST_AROUND: Final = 8
"""Bytes of chunk sizes and the like for each of a body; around a chunk of one are 5."""
_FIRST: Final = 100
_FINAL: Final = 200
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_BODILESS: Final = frozenset({204, 304})
_EYEBALLS: Final = 0.25
"""Seconds until the next address is tried beside the first one. Source: RFC 8305."""

Still = Callable[[], bool]
"""Asked immediately before a call leaves us: whether it may."""


class UnsentError(httpx.TransportError):
    """The caller was asked at the last moment and said no; nothing was written."""


class Http1Transport(httpx.AsyncBaseTransport):
    """One connection, kept between calls and made anew when it is gone.

    Not for two calls at once. `request.extensions["still"]` is asked after the
    connection stands, with nothing but the write after it. No exception names an
    address, a header or a body.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._connection: _Connection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whole and read the head of its reply."""
        whole = _head_of(request) + await request.aread()
        connection = await self._connected(request.url)
        try:
            connection.send(whole, request.extensions.get("still"))
            status, headers = await connection.head()
        except UnsentError:
            raise
        except BaseException:
            self._drop()
            raise
        return httpx.Response(status, headers=headers, stream=_Body(connection))

    async def aclose(self) -> None:
        """Let go of the connection."""
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _connected(self, url: httpx.URL) -> "_Connection":
        connection = self._connection
        if connection is not None and connection.idle:
            return connection
        self._drop()
        secure = url.scheme == "https"
        host = url.raw_host.decode()
        try:
            _, self._connection = await asyncio.get_running_loop().create_connection(
                _Connection,
                host,
                url.port or (443 if secure else 80),
                ssl=self._tls if secure else None,
                server_hostname=host if secure else None,
                happy_eyeballs_delay=_eyeballs(host),
            )
        except OSError:  # of which ssl.SSLError is one; its text names the host
            raise httpx.ConnectError("no connection") from None
        if not secure and not self._connection.idle:  # TLS has things to say of its own
            self._drop()
            raise httpx.RemoteProtocolError("a reply nobody asked for")
        return self._connection


def _eyeballs(host: str) -> float | None:
    """No race for an address: it is one, and asyncio may lose a socket in a race.

    Source: CPython 3.11, `asyncio.staggered`: cancelled in its last step, it forgets
    the socket that won, which then waits for the garbage collector.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _EYEBALLS
    return None


def _head_of(request: httpx.Request) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % (name, value) for name, value in request.headers.raw]
    head = b"\r\n".join(lines)
    ends = len(lines) - 1
    if head.count(b"\r") != ends or head.count(b"\n") != ends or b"\0" in head:
        raise httpx.LocalProtocolError("a header that is none")
    return head + b"\r\n\r\n"


class _Connection(asyncio.BufferedProtocol):
    """What arrives on one connection, one reply after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(_ONE_READ))
        self._parser = httptools.HttpResponseParser(self)
        self._socket = select.poll()
        self._waiter: asyncio.Future[None] | None = None
        self._asking = False
        """Whether a request was written whose reply is not whole yet."""
        self._error: tuple[type[httpx.TransportError], str] | None = None
        self._begin()

    def _begin(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._status = 0
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._arrived = 0
        self._arrived_body = 0
        self._paused = False
        self._whole = False
        self._ends_with_connection = False

    @property
    def idle(self) -> bool:
        """Whether another request may be written.

        The socket itself is asked, too: a server that has hung up, or said something
        unasked, may have done so after the loop last looked.
        """
        return (
            not self._asking
            and self._error is None
            and self._transport is not None
            and not self._transport.is_closing()
            and not self._socket.poll(0)
        )

    def send(self, request: bytes, still: Still | None) -> None:
        """Write a whole request, if it still may be written.

        Raises:
            UnsentError: it may not; the connection is as before.
        """
        transport = self._transport
        if self._error is not None or transport is None:
            raise self._failure()
        self._begin()
        if still is not None and not still():
            raise UnsentError("not sent")
        transport.write(request)
        self._asking = True

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """The status and the headers of the reply."""
        while not self._status:
            await self._news()
        return self._status, self._headers

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end."""
        while not self._pieces:
            if self._whole:
                return b""
            await self._news()
        piece = self._pieces.popleft()
        self._unread -= len(piece)
        if self._paused and self._unread <= _MOST_UNREAD and self._transport:
            self._paused = False
            self._transport.resume_reading()
        return piece

    def finish(self) -> None:
        """The reply is of no more interest.

        The connection is kept only if all of the reply was read and all of the
        request was sent: a server may answer early.
        """
        sent = self._transport and not self._transport.get_write_buffer_size()
        if not self._whole or self._pieces or not sent:
            self.close()

    def close(self) -> None:
        """Hang up."""
        self._fail(httpx.ReadError, "closed")
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        if self._error is not None:
            raise self._failure()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, kind: type[httpx.TransportError], text: str) -> None:
        if self._error is None:
            self._error = kind, text
        self._wake()

    def _failure(self) -> httpx.TransportError:
        kind, text = self._error or (httpx.ReadError, "closed")
        return kind(text)

    def _refuse(self, text: str) -> None:
        self._fail(httpx.RemoteProtocolError, text)
        self.close()

    # --- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            number = transport.get_extra_info("socket").fileno()
            self._socket.register(number, select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._asking:
            # Nobody asked: whatever this is, it answers no question of ours.
            self._refuse("a reply nobody asked for")
            return
        self._arrived += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse("not HTTP")
            return
        around = self._arrived - self._arrived_body
        if around > _LARGEST_HEAD + _MOST_AROUND * self._arrived_body:
            self._refuse("endless, but no body")
            return
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        del self._parser, self._buffer  # it refers to us: a cycle, with 64 kB in it
        if self._asking and exc is None and self._ends_with_connection:
            self._whole = True
            self._asking = False
        if exc is not None:
            self._fail(httpx.ReadError, "the connection was lost")
        elif self._arrived:
            self._fail(httpx.RemoteProtocolError, "the server hung up")
        else:
            self._fail(httpx.ReadError, "the server hung up without a word")

    # --- httptools' calls; what they raise is an HttpParserError to us

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("a reply nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > _LARGEST_HEAD:
            raise ValueError("an endless head")
        if not self._status:  # else it stands behind the body, where nobody looks
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._parser.get_http_version() not in _VERSIONS:
            raise ValueError("another protocol")
        if status < _FIRST:
            raise ValueError("no status")
        if status < _FINAL:
            self._headers.clear()
            return
        self._status = status
        names = {name.lower() for name, _ in self._headers}
        self._ends_with_connection = (
            status not in _BODILESS
            and b"content-length" not in names
            and b"transfer-encoding" not in names
        )

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._unread += len(piece)
        self._arrived_body += len(piece)
        if self._unread > _MOST_UNREAD and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if not self._status:
            return  # 100 Continue and its like
        self._whole = True
        self._asking = False
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()


class _Body(httpx.AsyncByteStream):
    """The body of the reply in hand."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._connection.read()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._connection.finish()
