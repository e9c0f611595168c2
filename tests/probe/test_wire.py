"""The seam around httpx, against real servers that behave badly on loopback."""

import asyncio
import gzip
import logging
import socket
import ssl
import time
import tracemalloc
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.probe.wire import (
    Failure,
    NoReply,
    Reply,
    Wire,
    check_base_url,
    tls_context,
)
from tests.probe.server import (
    Script,
    Writer,
    answering,
    certificate,
    reply,
    serving,
)

SHORT = timedelta(seconds=0.4)
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
BOMB = gzip.compress(b"\x00" * 300_000_000, 9)
GZIP = (("Content-Encoding", "gzip"),)


async def post(
    url: str, *, within: timedelta = timedelta(seconds=10), largest: int = 100_000
) -> Reply | NoReply:
    async with Wire(url, within, NO_TLS) as wire:
        return await wire.post(b"batch=x", "id|secret", largest)


async def outcome(
    script: Script, *, within: timedelta = timedelta(seconds=10)
) -> Reply | NoReply:
    async with serving(script) as server:
        return await post(server.url, within=within)


async def drip(writer: Writer) -> None:
    """Send a byte every twenty milliseconds, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_head(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Slow: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def hang(writer: Writer) -> None:
    await asyncio.Event().wait()


async def reset(writer: Writer) -> None:
    transport: Any = writer.transport
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    transport.abort()


async def cut(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
    writer.close()


async def close(writer: Writer) -> None:
    writer.close()


async def test_a_reply_is_a_value_whatever_its_status() -> None:
    for status in (200, 204, 400, 403, 429, 500, 503):
        body = b"" if status == 204 else b"hello"
        found = await outcome(answering(reply(body, status, (("X-A", "b"),))))
        assert isinstance(found, Reply)
        assert (found.status, found.body) == (status, body)
        assert ("x-a", "b") in [(name.lower(), value) for name, value in found.headers]


async def test_the_request_is_a_plain_form_with_a_bearer() -> None:
    async with serving(answering(reply(b"{}"))) as server:
        await post(f"{server.url}/v25.0/")
        seen = server.seen[0]
    assert seen.line == "POST /v25.0/ HTTP/1.1"
    assert seen.body == b"batch=x"
    assert seen.header("authorization") == "Bearer id|secret"
    assert seen.header("content-type") == "application/x-www-form-urlencoded"
    assert seen.header("accept-encoding") == "gzip"
    assert seen.header("cookie") is None


BAD: dict[str, tuple[Script, Failure]] = {
    "drips its body": (drip, Failure.TIMEOUT),
    "drips its headers": (drip_head, Failure.TIMEOUT),
    "hangs": (hang, Failure.TIMEOUT),
    "resets": (reset, Failure.CONNECT),
    "cuts its body": (cut, Failure.PROTOCOL),
    "hangs up": (close, Failure.CONNECT),
    "speaks no HTTP": (answering(b"220 smtp ready\r\n\r\n"), Failure.PROTOCOL),
    "states a bad length": (
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"),
        Failure.PROTOCOL,
    ),
    "sends endless headers": (
        answering(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 50_000),
        Failure.PROTOCOL,
    ),
    "sends too much": (answering(reply(b"x" * 100_001)), Failure.TOO_LARGE),
    "sends a bomb": (answering(reply(BOMB, 200, GZIP)), Failure.TOO_LARGE),
    "sends no gzip": (answering(reply(b"hello", 200, GZIP)), Failure.PROTOCOL),
    "sends a cut gzip": (
        answering(reply(gzip.compress(b"hello")[:-9], 200, GZIP)),
        Failure.PROTOCOL,
    ),
    "adds to a gzip": (
        answering(reply(gzip.compress(b"hello") + b"more", 200, GZIP)),
        Failure.PROTOCOL,
    ),
    "encodes unasked": (
        answering(
            reply(zlib.compress(b"hello"), 200, (("Content-Encoding", "deflate"),))
        ),
        Failure.PROTOCOL,
    ),
    "redirects": (
        answering(reply(b"", 302, (("Location", "http://127.0.0.1:1/steal"),))),
        Failure.REDIRECT,
    ),
    "redirects nowhere": (
        answering(reply(b"", 307, (("Location", "http://[::bad"),))),
        Failure.REDIRECT,
    ),
}


@pytest.mark.parametrize(("script", "failure"), BAD.values(), ids=BAD)
async def test_a_server_that_behaves_badly_is_a_value_in_time(
    script: Script, failure: Failure
) -> None:
    began = time.monotonic()
    within = SHORT if failure is Failure.TIMEOUT else timedelta(seconds=10)
    assert await outcome(script, within=within) == NoReply(failure)
    assert time.monotonic() - began < 3


async def test_a_bomb_does_not_fill_the_memory() -> None:
    async with serving(answering(reply(BOMB, 200, GZIP))) as server:
        tracemalloc.start()
        try:
            found = await post(server.url, largest=1_700_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert found == NoReply(Failure.TOO_LARGE)
    assert peak < 10_000_000


async def test_the_largest_body_is_read_and_no_byte_more() -> None:
    for size, fine in ((100_000, True), (100_001, False)):
        packed = reply(gzip.compress(b"x" * size), 200, GZIP)
        found = await outcome(answering(packed))
        assert isinstance(found, Reply) is fine
        if isinstance(found, Reply):
            assert found.body == b"x" * size


async def test_a_body_in_chunks_is_read() -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (b"ab", b"c" * 70_000))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = await outcome(answering(head, chunks, b"0\r\n\r\n"))
    assert isinstance(found, Reply)
    assert len(found.body) == 70_002


async def test_nobody_there_is_a_value() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        assert await post(url) == NoReply(Failure.CONNECT)


async def test_a_name_that_does_not_resolve_is_a_value() -> None:
    found = await post("http://no-such-host.invalid/", within=timedelta(seconds=3))
    assert found in (NoReply(Failure.CONNECT), NoReply(Failure.TIMEOUT))


async def test_a_certificate_that_is_not_trusted_is_a_value(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with Wire(url, timedelta(seconds=5), tls_context()) as wire:
            assert await wire.post(b"", "x", 100) == NoReply(Failure.TLS)


async def test_a_connection_is_kept_and_a_cookie_is_not() -> None:
    cookie = (("Set-Cookie", "session=1; Path=/"), ("Set-Cookie", "\xff=;;"))
    async with serving(answering(reply(b"{}", 200, cookie))) as server:
        async with Wire(server.url, timedelta(seconds=5), NO_TLS) as wire:
            for _ in range(3):
                assert isinstance(await wire.post(b"a=b", "x", 100), Reply)
        assert server.connections == 1
        assert [seen.header("cookie") for seen in server.seen] == [None] * 3


async def test_after_trouble_the_next_call_is_asked_anew() -> None:
    scripts = iter([cut, answering(reply(b"{}"))])

    async def script(writer: Writer) -> None:
        await next(scripts)(writer)

    async with (
        serving(script) as server,
        Wire(server.url, timedelta(seconds=5), NO_TLS) as wire,
    ):
        assert await wire.post(b"", "x", 100) == NoReply(Failure.PROTOCOL)
        assert isinstance(await wire.post(b"", "x", 100), Reply)


async def test_being_cancelled_passes_through() -> None:
    asked = asyncio.Event()

    async def script(writer: Writer) -> None:
        asked.set()
        await hang(writer)

    async with serving(script) as server:
        task = asyncio.create_task(post(server.url))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert isinstance(await outcome(answering(reply(b"{}"))), Reply)


@pytest.mark.parametrize("secret", ["line\r\nX-Evil: 1", "nul\x00", "\ud800", "é"])
async def test_a_secret_that_is_no_header_is_a_value(secret: str) -> None:
    """Whatever is stored, it cannot add a header or raise."""
    async with serving(answering(reply(b"{}"))) as server:
        async with Wire(server.url, timedelta(seconds=5), NO_TLS) as wire:
            found = await wire.post(b"", secret, 100)
        assert found == NoReply(Failure.PROTOCOL) or isinstance(found, Reply)
        assert all(seen.header("x-evil") is None for seen in server.seen)


def test_libraries_that_log_urls_are_quiet() -> None:
    for name in ("httpx", "httpcore", "httpcore.http11", "hpack"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    "url",
    [
        "https://graph.facebook.com",
        "https://graph.facebook.com/",
        "https://graph.example:8443/meta",
        "http://127.0.0.1:8080",
        "http://localhost:8080/",
        "http://[::1]:8080",
    ],
)
def test_an_address_that_keeps_secrets_is_taken(url: str) -> None:
    assert check_base_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://graph.facebook.com",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://graph.facebook.com",
        "graph.facebook.com",
        "https://",
        "https://user:canary@graph.facebook.com",
        "https://graph.facebook.com?access_token=canary",
        "https://graph.facebook.com/#canary",
        "http://[::bad",
        "",
    ],
)
def test_an_address_that_does_not_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must be https") as caught:
        check_base_url(url)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_reply_does_not_show_its_body() -> None:
    assert "canary" not in repr(Reply(200, (("a", "canary"),), b"canary"))
