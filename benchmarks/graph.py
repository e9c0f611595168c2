"""A stand-in Graph, as fast as Python allows, so that nobody waits for it.

It speaks plain HTTP/1.1 with keep-alive and answers what `debug_token` answers of a
living token: alone, in batches, and of an app's own token. Nobody is refused, and
no proof is looked at. What it says of a token is the same during a run.

    python -m benchmarks.graph [--port 0] [--latency 120ms] [--core 1]
"""

import argparse
import asyncio
import json
import re
import time
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from benchmarks.fleet import APP, VERSION, cpu_seconds, pin

_BORN: Final = int(time.time())  # noqa: TID251 - a benchmark has a clock
_DAY: Final = 86_400
_SCOPES: Final = ("ads_read", "ads_management", "pages_show_list")
_PERSON: Final = "10000000"
_MARK: Final = "00000000"
"""Where the number of a token stands in an answer about it."""
_JSON: Final = "application/json; charset=UTF-8"
_USAGE: Final = '{"call_count":3,"total_cputime":1,"total_time":2}'
_ASKED: Final = re.compile(
    rb"input_token(?:=|%3D)(?:EAAG00N(\d{8})\w*|\w+?(?:%257C|%7C)\w*)"
)
"""The number of the token asked about; nothing, when it is an app's own."""
_REFUSED: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def _body() -> str:
    """The answer about a token, in the order Meta tells it."""
    data = {
        "app_id": APP,
        "type": "USER",
        "application": "Bench",
        "data_access_expires_at": _BORN + 80 * _DAY,
        "expires_at": _BORN + 50 * _DAY,
        "is_valid": True,
        "issued_at": _BORN - 10 * _DAY,
        "scopes": _SCOPES,
        "granular_scopes": [{"scope": scope} for scope in _SCOPES],
        "user_id": f"{_PERSON}{_MARK}",
    }
    return json.dumps({"data": data}, separators=(",", ":"))


def _own() -> str:
    """The answer about the app's own token."""
    data = {
        "app_id": APP,
        "type": "APP",
        "application": "Bench",
        "is_valid": True,
        "scopes": (),
    }
    return json.dumps({"data": data}, separators=(",", ":"))


def _item(body: str, *, headers: bool) -> bytes:
    """An answer as it stands in the reply to a batch."""
    shown = {
        "Access-Control-Allow-Origin": "*",
        "Vary": "Origin",
        "X-App-Usage": _USAGE,
        "Content-Type": _JSON,
        "Facebook-API-Version": VERSION,
        "Pragma": "no-cache",
        "Cache-Control": "private, no-cache, no-store, must-revalidate",
        "Expires": "Sat, 01 Jan 2000 00:00:00 GMT",
    }
    item: dict[str, object] = {"code": 200}
    if headers:
        item["headers"] = [{"name": n, "value": v} for n, v in shown.items()]
    return json.dumps({**item, "body": body}, separators=(",", ":")).encode()


class _Reply:
    """Replies to batches: the same words around every token's number."""

    def __init__(self, *, headers: bool) -> None:
        item = _item(_body(), headers=headers)
        before, _, after = item.partition(_MARK.encode())
        self._first, self._last = b"[" + before, after + b"]"
        self._before, self._after = before, after
        self._between = after + b"," + before
        self._own = _item(_own(), headers=headers)

    def of(self, numbers: list[bytes]) -> bytes:
        """The reply about tokens by their numbers; an empty one is the app's own."""
        if b"" not in numbers:
            return self._first + self._between.join(numbers) + self._last
        items = (
            self._before + number + self._after if number else self._own
            for number in numbers
        )
        return b"[%s]" % b",".join(items)


class _State:
    """What all connections share."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.tokens = 0
        self.calls = 0
        self.full = _Reply(headers=True)
        self.bare = _Reply(headers=False)
        self.single = _body().encode()
        self.own = _own().encode()
        self._head = b""
        self._head_for = 0

    def head(self) -> bytes:
        """The head of a reply up to its length, made once a second."""
        second = int(time.time())  # noqa: TID251 - a benchmark has a clock
        if second != self._head_for:
            self._head_for = second
            self._head = (
                f"HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nContent-Type: {_JSON}\r\n"
                f"facebook-api-version: {VERSION}\r\nx-app-usage: {_USAGE}\r\n"
                "Strict-Transport-Security: max-age=15552000; preload\r\n"
                "x-fb-request-id: Abench\r\nx-fb-trace-id: Abench\r\n"
                f"x-fb-rev: 1030000000\r\nDate: {formatdate(second, usegmt=True)}\r\n"
                "Connection: keep-alive\r\nContent-Length: "
            ).encode()
        return self._head

    def stats(self) -> bytes:
        """What it did so far."""
        told = {"tokens": self.tokens, "calls": self.calls, "cpu": cpu_seconds()}
        return json.dumps(told).encode()

    def answer(self, head: bytes, body: bytes) -> bytes:
        """The body of the reply to one request.

        Raises:
            ValueError: It asks in a way that is not understood here.
        """
        self.calls += 1
        numbers = _ASKED.findall(body or head)
        if not numbers or (body and body.count(b"relative_url") != len(numbers)):
            raise ValueError
        self.tokens += len(numbers)
        if body:
            reply = self.bare if b"include_headers=false" in body else self.full
            return reply.of(numbers)
        number = numbers[0]
        return self.single.replace(_MARK.encode(), number) if number else self.own


class _Connection(asyncio.Protocol):
    """One client; requests are answered in turn."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(buffer, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(buffer) < whole:
                return
            head, body = bytes(buffer[:end]), bytes(buffer[end + 4 : whole])
            del buffer[:whole]
            self._reply(head, body)

    def _reply(self, head: bytes, body: bytes) -> None:
        state, transport = self._state, self._transport
        if transport is None:
            return
        if head.startswith(b"GET /_stats "):
            answer, latency = state.stats(), 0.0
        else:
            latency = state.latency
            try:
                answer = state.answer(head, body)
            except ValueError:
                transport.write(
                    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
                )
                return
        reply = b"%s%d\r\n\r\n%s" % (state.head(), len(answer), answer)
        if latency:
            self._loop.call_later(latency, transport.write, reply)
        else:
            transport.write(reply)


async def _serve(port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    state = _State(latency)
    server = await loop.create_server(
        lambda: _Connection(state), "127.0.0.1", port, backlog=512
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def seconds(text: str) -> float:
    """A latency such as `120ms`, `0.12s` or `0`."""
    if text.endswith("ms"):
        return float(text[:-2]) / 1000
    return float(text.removesuffix("s"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=seconds, default=0.0)
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    pin(options.core)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.latency))


if __name__ == "__main__":
    main()
