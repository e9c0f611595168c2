"""The one seam around httpx: a bounded POST whose every outcome is a value."""

import asyncio
import ipaddress
import logging
import ssl
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, Self

import httpx

from monitor.probe.http1 import Http1Transport, Still, UnsentError
from monitor.probe.usage import Headers

for _name in ("httpx", "httpcore", "hpack"):
    # They log URLs at INFO, and headers at DEBUG. Source: httpx issue 2760.
    logging.getLogger(_name).setLevel(logging.WARNING)

_ENCODING: Final = "content-encoding"


class Failure(StrEnum):
    """Why there is no reply that could be read."""

    CONNECT = "connect"
    """No connection, or it was lost before the reply was whole."""
    TIMEOUT = "timeout"
    TLS = "tls"
    REDIRECT = "redirect"
    """Graph never redirects; somebody else answers."""
    TOO_LARGE = "too_large"
    UNSENT = "unsent"
    """We were not allowed any more at the last moment; nothing was written."""
    PROTOCOL = "protocol"
    """No HTTP, a cut body, or an encoding we did not ask for."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply, whatever its status."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoReply:
    """No reply, and why."""

    failure: Failure


class _TooLargeError(Exception):
    pass


class _BadEncodingError(Exception):
    pass


def tls_context() -> ssl.SSLContext:
    """The authorities we trust; costs tens of milliseconds, so it is made once."""
    return httpx.create_ssl_context(trust_env=False)


def check_base_url(base_url: str) -> str:
    """The address without its last slash, if secrets may be sent there at all.

    Raises:
        ValueError: it is neither https nor plain http on this machine, or it holds
            more than host, port and path. The text does not repeat it.
    """
    fault = "the Graph address must be https://host, or http:// on loopback"
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ValueError(fault) from None
    safe = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))
    if not safe or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError(fault)
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Wire:
    """One worker's connection; not for use by two calls at once.

    httpx's transport is used without its client: so there are no redirects to
    follow, no cookies to keep, no proxies taken from the environment and no log of
    URLs. Nothing is retried here, and only `asyncio.CancelledError` gets out.
    """

    def __init__(self, url: str, timeout: timedelta, tls: ssl.SSLContext) -> None:
        self._url = httpx.URL(url)
        self._total = timeout.total_seconds()
        self._transport: httpx.AsyncBaseTransport = Http1Transport(tls)
        self._host = (b"Host", self._url.netloc)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        await self._transport.aclose()

    async def post(
        self, form: bytes, bearer: str, largest: int, still: Still | None = None
    ) -> Reply | NoReply:
        """Post a form and read at most `largest` decoded bytes of the reply.

        `still` is asked when nothing but the write is left to do.

        The timeout bounds the whole exchange: a server that drips cannot stretch it.
        """
        request = httpx.Request(
            "POST",
            self._url,
            headers=[
                self._host,
                (b"Accept", b"application/json"),
                (b"Accept-Encoding", b"gzip"),
                (b"Authorization", b"Bearer " + bearer.encode(errors="surrogatepass")),
                (b"Content-Length", b"%d" % len(form)),
                (b"Content-Type", b"application/x-www-form-urlencoded"),
                (b"User-Agent", b"token-health-monitor"),
            ],
            stream=httpx.ByteStream(form),
            extensions={"still": still},
        )
        try:
            async with asyncio.timeout(self._total):
                return await self._exchange(request, largest)
        except UnsentError:
            return NoReply(Failure.UNSENT)
        except _TooLargeError:
            return NoReply(Failure.TOO_LARGE)
        except (TimeoutError, httpx.TimeoutException):
            return NoReply(Failure.TIMEOUT)
        except (httpx.NetworkError, OSError) as error:
            return NoReply(Failure.TLS if _is_tls(error) else Failure.CONNECT)
        except (httpx.HTTPError, httpx.StreamError, _BadEncodingError, ValueError):
            return NoReply(Failure.PROTOCOL)

    async def _exchange(self, request: httpx.Request, largest: int) -> Reply | NoReply:
        response = await self._transport.handle_async_request(request)
        try:
            if 300 <= response.status_code < 400:  # noqa: PLR2004 - RFC 9110, 15.4
                return NoReply(Failure.REDIRECT)
            headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in response.headers.raw
            )
            body = await _read(response, headers, largest)
        finally:
            await response.aclose()
        return Reply(response.status_code, headers, body)


async def _read(response: httpx.Response, headers: Headers, largest: int) -> bytes:
    """The decoded body, never more than `largest` bytes of it in memory.

    httpx decodes each piece as a whole, and 64 kB of gzip can hold 64 MB.
    """
    encodings = [value for name, value in headers if name.lower() == _ENCODING]
    inflate = _inflater(",".join(encodings))
    body: bytes | bytearray = b""
    async for piece in _pieces(response):
        room = largest + 1 - len(body)
        data = piece if inflate is None else _inflated(inflate, piece, room)
        # Most replies are one piece, which is not copied.
        body = _joined(body, data) if body else data
        if len(body) > largest:
            raise _TooLargeError
    if inflate is not None and not inflate.eof:
        raise _BadEncodingError
    return bytes(body)


def _joined(body: bytes | bytearray, more: bytes) -> bytearray:
    """In one place: a list of very many small pieces would be far larger."""
    if isinstance(body, bytes):
        body = bytearray(body)
    body += more
    return body


def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes; `aiter_raw` would cut and count it once more."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - ours
    return aiter(response.stream)


def _inflater(encoding: str) -> "zlib._Decompress | None":
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        case _:
            raise _BadEncodingError


def _inflated(inflate: "zlib._Decompress", piece: bytes, room: int) -> bytes:
    try:
        data = inflate.decompress(piece, room)
    except zlib.error:
        raise _BadEncodingError from None
    if inflate.unused_data:
        raise _BadEncodingError
    return data


def _is_tls(error: BaseException | None) -> bool:
    """Whether TLS failed: httpx reports it as a connection that failed."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
