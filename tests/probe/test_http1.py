"""Our HTTP/1.1 against servers that do what servers may, and what they must not."""

import asyncio
import ssl
from datetime import timedelta

import httpx
import pytest

from monitor.probe.http1 import Http1Transport, UnsentError
from monitor.probe.wire import Failure, NoReply, Reply, Wire
from tests.probe.server import Server, Writer, answering, reply, serving

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
        async for piece in response.aiter_raw():
            total += len(piece)
        assert total == len(body)
        await transport.aclose()


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
