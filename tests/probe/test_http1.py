"""Our HTTP/1.1 against servers that do what servers may, and what they must not."""

import asyncio
import gc
import socket
import ssl
import struct
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

from monitor.probe.http1 import Http1Transport, UnsentError, _Connection
from monitor.probe.wire import Failure, NoReply, Reply, Wire
from tests.probe.server import (
    Server,
    Writer,
    answering,
    certificate,
    reply,
    serving,
)

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SOON = timedelta(seconds=5)
OK = reply(b"{}")


async def twice(*pieces: bytes) -> tuple[list[Reply | NoReply], Server]:
    """Two calls over one wire, each answered by these bytes."""
    async with (
        serving(answering(*pieces)) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        found = [await wire.post(b"a=b", "x", 300_000) for _ in range(2)]
    return found, server


@pytest.mark.parametrize(
    ("pieces", "connections"),
    [
        pytest.param((OK,), 1, id="length"),
        pytest.param(
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"2\r\n{}\r\n0\r\n\r\n",
            ),
            1,
            id="chunks",
        ),
        pytest.param((b"HTTP/1.1 100 Continue\r\n\r\n", OK), 1, id="100 first"),
        pytest.param(
            (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3, OK),
            1,
            id="hints first",
        ),
        pytest.param(
            (reply(b"{}", 200, (("Connection", "close"),)),), 2, id="close after"
        ),
        pytest.param(
            (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",), 2, id="HTTP/1.0"
        ),
        pytest.param(tuple(bytes([byte]) for byte in OK), 1, id="a byte at a time"),
    ],
)
async def test_a_whole_reply_is_read_and_the_connection_kept_if_it_may_be(
    pieces: tuple[bytes, ...], connections: int
) -> None:
    found, server = await twice(*pieces)
    assert [each.body for each in found if isinstance(each, Reply)] == [b"{}"] * 2
    assert server.connections == connections


async def test_a_body_may_end_with_its_connection() -> None:
    async def script(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}")
        writer.close()

    async with (
        serving(script) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        found = [await wire.post(b"", "x", 100) for _ in range(2)]
    assert [each.body for each in found if isinstance(each, Reply)] == [b"{}"] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "evil",
    [
        pytest.param(OK + reply(b'{"evil":1}'), id="a second reply"),
        pytest.param(OK + b"HTTP/1.1 200 OK\r\n", id="the head of another"),
        pytest.param(OK + b"\x00" * 9, id="noise"),
    ],
)
async def test_what_nobody_asked_for_answers_no_question(evil: bytes) -> None:
    """Bytes beyond a reply must not be taken for the answer to the next call."""
    found, server = await twice(evil)
    for each in found:
        assert not isinstance(each, Reply) or each.body == b"{}"
    assert server.connections == 2


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, id="endless"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, id="one long line"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", id="a negative length"
        ),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="an upgrade"),
        pytest.param(b"HTTP/9.9 200 OK\r\n\r\n", id="another protocol"),
    ],
)
async def test_a_head_that_is_none_is_a_value_in_time(head: bytes) -> None:
    async with (
        serving(answering(head)) as server,
        Wire(server.url, timedelta(seconds=1), NO_TLS) as wire,
    ):
        found = await wire.post(b"", "x", 100)
    assert found in (NoReply(Failure.PROTOCOL), NoReply(Failure.TIMEOUT))


async def test_a_connection_closed_while_idle_is_made_anew() -> None:
    async def script(writer: Writer) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with (
        serving(script) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        for _ in range(3):
            assert isinstance(await wire.post(b"", "x", 100), Reply)
            await asyncio.sleep(0)
            async with asyncio.timeout(5):
                while wire._transport._connection.idle:  # type: ignore[attr-defined]  # noqa: ASYNC110
                    await asyncio.sleep(0)
        assert server.connections == 3


async def test_a_large_body_waits_for_its_reader() -> None:
    """A server that sends faster than we read fills its own memory, not ours."""
    body = b"x" * 8_000_000
    async with serving(answering(reply(body))) as server:
        transport = Http1Transport(NO_TLS)
        request = httpx.Request("POST", server.url, content=b"")
        response = await transport.handle_async_request(request)
        for _ in range(50):
            await asyncio.sleep(0)
        connection = transport._connection
        assert connection is not None
        assert connection._unread <= 600_000
        total = 0
        async with asyncio.timeout(5):
            async for piece in response.aiter_raw():
                total += len(piece)
        assert total == len(body)
        await transport.aclose()


async def test_a_reply_may_drip_within_the_timeout() -> None:
    async def script(writer: Writer) -> None:
        for byte in reply(b"{}", 200, (("X-Slow", "y" * 20),)):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.005)

    async with (
        serving(script) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        assert isinstance(await wire.post(b"", "x", 100), Reply)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + end


@pytest.mark.parametrize(
    ("whole", "body"),
    [
        pytest.param(chunked(*[b"x"] * 30_000), b"x" * 30_000, id="tiny chunks"),
        pytest.param(
            chunked(b"{}", end=b"0\r\nX-Behind: canary\r\n\r\n"), b"{}", id="trailers"
        ),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: canary\r\n\r\n" + OK,
            b"{}",
            id="hints",
        ),
        pytest.param(
            reply(b"{}", 200, (("Connection", "Upgrade"), ("Upgrade", "h2c"))),
            b"{}",
            id="offers an upgrade",
        ),
        pytest.param(
            reply(b"{}", 200, (("X-Long", "y" * 60_000),)), b"{}", id="a long head"
        ),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}", id="bare"),
    ],
)
async def test_what_servers_may_do_is_read(whole: bytes, body: bytes) -> None:
    found, server = await twice(whole)
    assert [each.body for each in found if isinstance(each, Reply)] == [body] * 2
    assert "canary" not in str([e.headers for e in found if isinstance(e, Reply)])
    assert server.connections == 1


BOTH = b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"y" * 400_000


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            (b"HTTP/1.1 200 OK\r\n" + BOTH, b"2\r\n{}\r\n"), id="two framings"
        ),
        pytest.param((b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",), id="HTTP/2.0"),
        pytest.param((b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",), id="HTTP/0.9"),
        pytest.param(
            (reply(b"{}", 200, (("X-Long", "y" * 66_000),)),), id="a head too long"
        ),
        pytest.param(
            (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 9_000,),
            id="endless hints",
        ),
        pytest.param(
            (chunked(b"{}", end=b"0\r\n"), b"X-A: b\r\n" * 50_000),
            id="endless trailers",
        ),
        pytest.param((chunked(end=b"0\r\nX: " + ENDLESS),), id="an endless trailer"),
        pytest.param((chunked(end=b"2;x=" + ENDLESS),), id="an endless extension"),
        pytest.param(
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",),
            id="a length beyond reason",
        ),
        pytest.param((b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n",), id="no status"),
        pytest.param(
            (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",),
            id="upgrades unasked",
        ),
        pytest.param(
            (b"HTTP/1.1 200 OK\r\nX-Evil: a\x00b\r\nContent-Length: 0\r\n\r\n",),
            id="NUL in a header",
        ),
    ],
)
async def test_what_servers_must_not_do_is_refused_at_once(
    pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(3):
        found, server = await twice(*pieces)
    assert found == [NoReply(Failure.PROTOCOL)] * 2
    assert caplog.records == []  # nothing broke loose into the loop
    assert server.connections == 2


@pytest.mark.parametrize(
    ("piece", "failure"),
    [
        (chunked(b"{}", end=b""), Failure.PROTOCOL),
        (chunked(b"{}", end=b"5\r\n{"), Failure.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Failure.PROTOCOL),
        (b"", Failure.CONNECT),
    ],
)
async def test_a_reply_that_is_cut_is_none(piece: bytes, failure: Failure) -> None:
    async def script(writer: Writer) -> None:
        writer.write(piece)
        writer.close()

    async with (
        serving(script) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        assert await wire.post(b"", "x", 100) == NoReply(failure)


async def test_a_body_that_ends_in_a_reset_is_not_whole() -> None:
    """Only an orderly end says that all was said."""

    async def script(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}")
        await writer.drain()
        await asyncio.sleep(0.05)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        writer.transport.abort()

    async with (
        serving(script) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        assert await wire.post(b"", "x", 100) == NoReply(Failure.CONNECT)


def asking(asked: list[None]) -> Callable[[], bool]:
    """A fence that lets everybody through and remembers that it was asked."""

    def still() -> bool:
        asked.append(None)
        return True

    return still


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[socket.socket, str]]:
    """A socket that the test itself serves, step by step."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003 - its only argument
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}/"


async def accepted(listener: socket.socket) -> socket.socket:
    async with asyncio.timeout(3):
        taken, _ = await asyncio.get_running_loop().sock_accept(listener)
    return taken


async def answered(taken: socket.socket, whole: bytes = OK) -> bytes:
    loop = asyncio.get_running_loop()
    seen = await loop.sock_recv(taken, 100_000)
    await loop.sock_sendall(taken, whole)
    return seen


@pytest.mark.parametrize("unasked", [OK, b"\x00", None], ids=["reply", "NUL", "end"])
async def test_the_socket_is_asked_before_a_connection_is_used_again(
    unasked: bytes | None,
) -> None:
    """What came after the loop last looked makes it stale, and nothing was sent."""
    async with (
        listening() as (listener, url),
        Wire(url, SOON, NO_TLS) as wire,
    ):
        call = asyncio.create_task(wire.post(b"a=1", "x", 100))
        with await accepted(listener) as first:
            await answered(first)
            assert isinstance(await call, Reply)
            if unasked is None:
                first.shutdown(socket.SHUT_WR)
            else:
                first.send(unasked)
            call = asyncio.create_task(wire.post(b"a=2", "x", 100))
            with await accepted(listener) as second:
                assert (await answered(second)).endswith(b"a=2")
                assert isinstance(await call, Reply)
            with suppress(ConnectionResetError):  # for it had more to say
                assert first.recv(100) == b""


@pytest.mark.parametrize("unasked", [b"\r\n", b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\n"])
async def test_words_between_two_calls_end_the_connection(unasked: bytes) -> None:
    """Even if no call went before them, and even if they are hardly words."""
    async with (
        listening() as (listener, url),
        Wire(url, SOON, NO_TLS) as wire,
    ):
        unsent = await wire.post(b"", "x", 100, lambda: False)
        assert unsent == NoReply(Failure.UNSENT)
        with await accepted(listener) as first:
            first.send(unasked)
            await asyncio.sleep(0.01)
            call = asyncio.create_task(wire.post(b"a=2", "x", 100))
            with await accepted(listener) as second:
                await answered(second)
                found = await call
        assert isinstance(found, Reply)
        assert "x-evil" not in [name.lower() for name, _ in found.headers]


async def test_who_answers_before_being_asked_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The words that greet a new connection are no answer, whatever they say."""
    asked: list[None] = []
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    async with (
        listening() as (listener, url),
        Wire(url, SOON, NO_TLS) as wire,
    ):

        async def greeted(*args: Any, **options: Any) -> Any:
            made = await connect(*args, **options)
            greeter = await accepted(listener)
            greeter.setblocking(False)  # noqa: FBT003 - its only argument
            greeter.sendall(OK)
            taken.append(greeter)
            return made

        taken: list[socket.socket] = []
        monkeypatch.setattr(loop, "create_connection", greeted)
        found = await wire.post(b"", "x", 100, asking(asked))
        (greeter,) = taken
        with greeter, suppress(ConnectionResetError):
            assert await loop.sock_recv(greeter, 100) == b""
    assert found == NoReply(Failure.PROTOCOL)
    assert asked == []


async def test_a_reply_that_was_not_read_to_its_end_ends_its_connection() -> None:
    """Even if it is whole already, and even if the server was made to wait."""
    for size in (100, 200_000, 300_000):
        async with (
            serving(answering(reply(b"x" * size))) as server,
            Wire(server.url, SOON, NO_TLS) as wire,
        ):
            transport = wire._transport
            request = httpx.Request("POST", server.url, content=b"")
            response = await transport.handle_async_request(request)
            for _ in range(20):
                await asyncio.sleep(0.001)
            await response.aclose()
            assert isinstance(await wire.post(b"", "x", 300_000), Reply)
            assert server.connections == 2


async def test_an_answer_to_half_a_question_ends_its_connection() -> None:
    """A server may answer early; the rest of the request is nobody's question."""

    async with (
        listening() as (listener, url),
        Wire(url, SOON, NO_TLS) as wire,
    ):
        call = asyncio.create_task(wire.post(b"x" * 30_000_000, "x", 100))
        with await accepted(listener) as first:
            await answered(first)
            assert isinstance(await call, Reply)
            call = asyncio.create_task(wire.post(b"a=2", "x", 100))
            with await accepted(listener) as second:
                assert (await answered(second)).endswith(b"a=2")
                assert isinstance(await call, Reply)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nConte",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_who_is_cancelled_hangs_up(said: bytes) -> None:
    async with (
        listening() as (listener, url),
        Wire(url, SOON, NO_TLS) as wire,
    ):
        call = asyncio.create_task(wire.post(b"", "x", 100))
        with await accepted(listener) as first:
            await answered(first, said)
            for _ in range(5):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            loop = asyncio.get_running_loop()
            assert await loop.sock_recv(first, 100) == b""
            call = asyncio.create_task(wire.post(b"", "x", 100))
            with await accepted(listener) as second:
                await answered(second)
                assert isinstance(await call, Reply)


async def test_who_is_cancelled_while_connecting_leaves_nothing() -> None:
    async with (
        listening() as (listener, url),
        Wire(url, SOON, NO_TLS) as wire,
    ):
        for steps in range(6):
            call = asyncio.create_task(wire.post(b"", "x", 100))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        listener.close()
        await asyncio.sleep(0)
        gc.collect()  # a socket left open would warn, and warnings are errors


async def test_connections_that_are_gone_are_freed_at_once() -> None:
    """Each has a buffer, and none waits for the garbage collector with it."""
    closing = reply(b"{}", 200, (("Connection", "close"),))
    gc.collect()
    gc.disable()
    try:
        _, server = await twice(closing)
        assert server.connections == 2
        await asyncio.sleep(0)
        left = [each for each in gc.get_objects() if type(each) is _Connection]
        assert left == []
    finally:
        gc.enable()


BAD = {
    "nobody": None,
    "no HTTP": b"canary\r\n\r\n",
    "bad header": b"HTTP/1.1 200 OK\r\ncan ary: canary\r\n\r\n",
    "cut": b"",
}


@pytest.mark.parametrize("said", BAD.values(), ids=BAD)
async def test_no_exception_says_whom_we_asked_or_what(said: bytes | None) -> None:
    async def script(writer: Writer) -> None:
        writer.write(said or b"")
        writer.close()

    async with serving(script) as server:
        port = server.url.rpartition(":")[2]
        if said is None:
            with socket.create_server(("127.0.0.1", 0)) as unused:
                port = str(unused.getsockname()[1])
        url = f"http://127.0.0.1:{port}/canary"
        request = httpx.Request("POST", url, headers={"A": "canary"}, content=b"canary")
        transport = Http1Transport(NO_TLS)
        with pytest.raises(httpx.TransportError) as caught:
            await transport.handle_async_request(request)
        await transport.aclose()
    shown = repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert port not in shown
    for word in ("canary", "127.0.0.1"):
        assert word not in repr(caught.value) + str(caught.value)


# --- TLS


def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and that of a client who trusts it."""
    file = certificate(tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(file)
    return ours, ssl.create_default_context(cafile=str(file))


async def test_a_connection_under_tls_is_kept(tmp_path: Path) -> None:
    ours, theirs = contexts(tmp_path)
    may = iter([True, True, False, True])
    async with (
        serving(answering(OK), ours) as server,
        Wire(f"{server.url}/v25.0/", SOON, theirs) as wire,
    ):
        found = [await wire.post(b"a=b", "x", 9, lambda: next(may)) for _ in range(4)]
    assert found[2] == NoReply(Failure.UNSENT)
    assert sum(isinstance(each, Reply) for each in found) == 3
    assert (len(server.seen), server.connections) == (3, 1)
    assert server.seen[0].line == "POST /v25.0/ HTTP/1.1"


async def test_a_large_body_under_tls_is_read_and_may_be_too_large(
    tmp_path: Path,
) -> None:
    ours, theirs = contexts(tmp_path)
    body = b"x" * 3_000_000
    async with (
        serving(answering(reply(body)), ours) as server,
        Wire(server.url, SOON, theirs) as wire,
    ):
        found = await wire.post(b"", "x", len(body))
        assert isinstance(found, Reply)
        assert found.body == body
        assert await wire.post(b"", "x", 9) == NoReply(Failure.TOO_LARGE)
        assert isinstance(await wire.post(b"", "x", len(body)), Reply)
        assert server.connections == 2


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    """The name is checked, not only who signed; and nobody is asked for leave."""
    ours, theirs = contexts(tmp_path)
    asked: list[None] = []
    async with serving(answering(OK), ours) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        async with Wire(url, SOON, theirs) as wire:
            found = await wire.post(b"", "x", 9, asking(asked))
    assert found == NoReply(Failure.TLS)
    assert (server.seen, asked) == ([], [])


async def test_a_connection_under_tls_that_ended_while_idle_is_made_anew(
    tmp_path: Path,
) -> None:
    async def script(writer: Writer) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    ours, theirs = contexts(tmp_path)
    async with (
        serving(script, ours) as server,
        Wire(server.url, SOON, theirs) as wire,
    ):
        for _ in range(3):
            assert isinstance(await wire.post(b"", "x", 9), Reply)
            await asyncio.sleep(0.05)
        assert server.connections == 3


async def test_plain_words_where_tls_is_due_are_a_failure_of_tls() -> None:
    async with listening() as (listener, url):
        secure = url.replace("http:", "https:")
        async with Wire(secure, SOON, ssl.create_default_context()) as wire:
            call = asyncio.create_task(wire.post(b"", "x", 9))
            with await accepted(listener) as taken:
                await answered(taken)
                assert await call == NoReply(Failure.TLS)


# --- the fence


async def test_who_may_not_any_more_sends_nothing() -> None:
    may = iter([True, False, True])
    async with (
        serving(answering(OK)) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        found = [await wire.post(b"", "x", 100, lambda: next(may)) for _ in range(3)]
    assert found[1] == NoReply(Failure.UNSENT)
    assert isinstance(found[0], Reply)
    assert isinstance(found[2], Reply)
    assert (len(server.seen), server.connections) == (2, 1)


async def test_the_fence_is_asked_when_the_connection_stands() -> None:
    """Connecting may take long: what held before may not hold after."""
    connected: list[int] = []
    async with serving(answering(OK)) as server:
        transport = Http1Transport(NO_TLS)

        def still() -> bool:
            connected.append(1 if transport._connection else 0)
            return False

        request = httpx.Request("POST", server.url, extensions={"still": still})
        with pytest.raises(UnsentError):
            await transport.handle_async_request(request)
        await transport.aclose()
    assert connected == [1]
    assert server.seen == []


async def test_the_fence_is_asked_once_a_call_on_old_and_new_connections() -> None:
    closing = iter([OK, reply(b"{}", 200, (("Connection", "close"),)), OK])
    asked: list[None] = []

    async def script(writer: Writer) -> None:
        writer.write(next(closing))

    async with (
        serving(script) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        for calls in range(1, 4):
            assert isinstance(await wire.post(b"", "x", 9, asking(asked)), Reply)
            assert len(asked) == calls
        assert server.connections == 2


async def test_nothing_but_the_write_stands_behind_the_fence() -> None:
    """Whoever is frozen there wakes with at most one call left to make: the write."""
    transport = Http1Transport(NO_TLS)
    steps: list[str] = []

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event in {"call", "c_call"}:
            steps.append(getattr(function, "__name__", frame.f_code.co_name))

    def still() -> bool:
        sys.setprofile(note)
        return True

    async with serving(answering(OK)) as server:
        for _ in range(2):
            request = httpx.Request(
                "POST", server.url, content=b"a=b", extensions={"still": still}
            )
            try:
                response = await transport.handle_async_request(request)
            finally:
                sys.setprofile(None)
            assert await response.aread() == b"{}"
            assert steps[0] == "write"
            assert "send" in steps[1:8]
            steps.clear()
        await transport.aclose()
    assert [seen.body for seen in server.seen] == [b"a=b"] * 2


async def test_a_fence_that_breaks_sends_nothing() -> None:
    def broken() -> bool:
        raise LookupError

    async with (
        serving(answering(OK)) as server,
        Wire(server.url, SOON, NO_TLS) as wire,
    ):
        with pytest.raises(LookupError):
            await wire.post(b"", "x", 9, broken)
        assert isinstance(await wire.post(b"", "x", 9), Reply)
        assert len(server.seen) == 1
