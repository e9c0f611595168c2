"""The door, on loopback: whoever says nothing does not stay."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from monitor.core.mute import Sheet
from monitor.core.vitals import Ailment
from monitor.errors import UnavailableError
from monitor.web.pages import pages
from monitor.web.serve import VISIT, Door

LOOPBACK = "127.0.0.1"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[..., Awaitable[Line]]


async def well() -> list[Ailment]:
    return []


async def fails() -> bytes:
    raise RuntimeError("a bug of ours")


async def unknown(*_: object) -> tuple[Sheet, str]:
    return Sheet.UNKNOWN, "unknown"


PAGES = pages(well, fails, unknown)


@asynccontextmanager
async def door(visit: float = VISIT) -> AsyncIterator[Door]:
    opened = await Door.open(LOOPBACK, 0, PAGES, visit)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def line() -> AsyncIterator[Dial]:
    """Opens connections, and closes them when the test is over."""
    writers: list[asyncio.StreamWriter] = []

    async def dial(there: Door, text: str = "") -> Line:
        reader, writer = await asyncio.open_connection(LOOPBACK, there.port)
        writers.append(writer)
        writer.write(text.encode())
        await writer.drain()
        return reader, writer

    yield dial
    for writer in writers:
        writer.close()


async def ended(reader: asyncio.StreamReader, within: float) -> bool:
    """Whether the other side hung up."""
    try:
        async with asyncio.timeout(within):
            return await reader.read(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def get(there: Door, path: str = "/healthz") -> httpx.Response:
    async with httpx.AsyncClient(timeout=5) as client:
        return await client.get(f"http://{LOOPBACK}:{there.port}{path}")


async def test_a_visit_ends_whether_or_not_the_visitor_speaks(line: Dial) -> None:
    async with door(visit=0.3) as there:
        silent, _ = await line(there)
        slow, writer = await line(there, "GET /healthz HTTP/1.1\r\nX-A: b")

        async def drip() -> None:
            while not writer.is_closing():
                writer.write(b"b")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await ended(silent, 5)
        assert await ended(slow, 5)
        dripping.cancel()


async def test_without_a_bound_a_silent_visitor_would_stay(line: Dial) -> None:
    """The positive control: what the test above sees is our bound."""
    async with door(visit=60) as there:
        silent, _ = await line(there)
        assert not await ended(silent, 1)
    assert await ended(silent, 5), "closing the door sends him away"


async def test_two_hundred_silent_visitors_keep_nobody_out(line: Dial) -> None:
    async with door() as there:
        crowd = [
            await line(there, "GET /healthz HTTP/1.1\r\nX-A: ") for _ in range(200)
        ]
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert (await get(there)).text == "alive\n"
        assert asyncio.get_running_loop().time() - began < 5
        gone = [await ended(reader, 0.01) for reader, _ in crowd]
        assert gone[0], "the first who said nothing made room"
        assert not gone[-1], "and no more had to go than that"


async def test_a_request_without_end_is_cut_off(line: Dial) -> None:
    async with door() as there:
        reader, writer = await line(there, "GET /healthz HTTP/1.1\r\nX-A: ")
        writer.write(b"a" * 20_000)
        assert await ended(reader, 5)


async def test_one_question_a_visit(line: Dial) -> None:
    async with door() as there:
        asked = "GET /healthz HTTP/1.1\r\n\r\n"
        reader, _ = await line(there, asked * 2)
        reply = await asyncio.wait_for(reader.read(), 5)
        assert reply.count(b"alive") == 1
        assert b"connection: close" in reply


@pytest.mark.parametrize(
    "text",
    ["\x00\x16\x03\r\n\r\n", "GET * HTTP/1.1\r\n\r\n", "GET /\xff HTTP/9\r\n\r\n"],
)
async def test_nonsense_is_not_news(
    line: Dial, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with door() as there:
        reader, _ = await line(there, text)
        reply = await asyncio.wait_for(reader.read(), 5)
        assert reply.startswith(b"HTTP/1.1 4")
    assert caplog.records == []


async def test_a_bug_of_ours_is_a_guarded_500_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with door() as there:
        reply = await get(there, "/metrics")
    assert reply.status_code == 500
    assert reply.text == "Internal Server Error"
    assert reply.headers["cache-control"] == "no-store"
    assert [record.name for record in caplog.records] == ["monitor.web.http"]


async def test_a_place_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError) as caught:
            await Door.open(LOOPBACK, port, PAGES)
        assert str(caught.value) == (
            f"web.listen: cannot listen on {LOOPBACK}:{port}: Address already in use; "
            "end the process that has the port, or choose another"
        )
    with pytest.raises(UnavailableError, match="no interface of this machine has"):
        await Door.open("192.0.2.1", 1, PAGES)


async def test_who_hangs_up_amid_his_wish_is_not_news(
    line: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    async with door() as there:
        _, writer = await line(
            there, "POST /mute/x HTTP/1.1\r\nContent-Length: 9\r\n\r\nList"
        )
        writer.transport.abort()
        assert (await get(there)).text == "alive\n"
    assert caplog.records == []
