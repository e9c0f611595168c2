"""A mail server by script: real bytes on loopback, wrong at exactly one place."""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_PACE: Final = 0.02
_FEW: Final = 64


class At(StrEnum):
    """Where a server can go wrong."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    """In the middle of the message, before its final dot."""
    DOT = "dot"


class How(StrEnum):
    """What it does instead of its work, when it does not reply."""

    DROP = "drop"
    """It closes the connection without a word."""
    HOLE = "hole"
    """It says nothing any more."""
    DRIP = "drip"
    """It says something without end, byte by byte."""


@dataclass(frozen=True)
class Taken:
    """A letter whose final dot the server read and which it kept."""

    to: tuple[str, ...]
    sender: str
    message_id: str
    data: bytes
    envelope: str = ""
    """What the command said of the envelope besides its sender."""


@dataclass
class Post:
    """What the server does wrong, and what it saw."""

    faults: dict[At, str] = field(default_factory=dict)
    """Where, and how: a reply, or one of `How`."""
    refused: dict[str, str] = field(default_factory=dict)
    """Recipients with a reply of their own."""
    silent: set[str] = field(default_factory=set)
    """Recipients at whom it falls silent."""
    offers: tuple[str, ...] = ("8BITMIME", "SMTPUTF8", "SIZE 10000000")
    tls: ssl.SSLContext | None = None
    asked: Callable[[At], Awaitable[object] | None] = lambda _: None
    """Told of every step before it is answered; an answer waits for what it returns."""
    taken: list[Taken] = field(default_factory=list)
    begun: Counter[str] = field(default_factory=Counter)
    """How often a letter to each recipient was begun."""
    seen: set[str] = field(default_factory=set)
    """Every Message-ID that came, kept or not."""
    connections: int = 0
    port: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def mend(self) -> None:
        """End every trouble, the silences in progress too."""
        self.faults.clear()
        self.refused.clear()
        self.silent.clear()
        self.over.set()

    def kept(self, to: str) -> list[Taken]:
        """The letters taken for a recipient."""
        return [letter for letter in self.taken if letter.to[0] == to]


class _HangUpError(Exception):
    """The conversation is over."""


@asynccontextmanager
async def a_post(post: Post) -> AsyncIterator[Post]:
    """The server, up until the block ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        post.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _Conversation(post, reader, writer).run()
        except (_HangUpError, OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        post.over.set()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class _Conversation:
    def __init__(
        self, post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._post = post
        self._reader = reader
        self._writer = writer
        self._sender = self._envelope = ""
        self._to: list[str] = []

    async def run(self) -> None:
        if not await self._stumbles(At.CONNECT):
            await self._say("220 mx.example ESMTP")
        while line := await self._reader.readline():
            word = line[:8].upper().split()[0:1]
            verb = word[0].decode() if word else ""
            await self._answer(verb, line.decode("utf-8", "replace"))

    async def _answer(self, verb: str, line: str) -> None:
        if verb == "EHLO":
            await self._ehlo()
        elif verb == "STARTTLS":
            await self._starttls()
        elif verb == "AUTH":
            if not await self._stumbles(At.AUTH):
                await self._say("235 2.7.0 welcome")
        elif verb == "MAIL":
            if not await self._stumbles(At.MAIL):
                self._sender, self._to = _path(line), []
                self._envelope = line.partition(">")[2].strip()
                await self._say("250 2.1.0 ok")
        elif verb == "RCPT":
            await self._rcpt(_path(line))
        elif verb == "DATA":
            await self._data()
        elif verb == "QUIT":
            await self._say("221 bye")
            raise _HangUpError
        else:
            await self._say("250 2.0.0 ok")

    async def _ehlo(self) -> None:
        if await self._stumbles(At.EHLO):
            return
        offers = ["mx.example", *self._post.offers]
        for offer in offers[:-1]:
            self._writer.write(f"250-{offer}\r\n".encode())
        await self._say(f"250 {offers[-1]}")

    async def _starttls(self) -> None:
        if await self._stumbles(At.STARTTLS):
            return
        assert self._post.tls is not None
        await self._say("220 go on")
        await self._writer.start_tls(self._post.tls)

    async def _rcpt(self, recipient: str) -> None:
        if not self._to:
            self._post.begun[recipient] += 1
        if await self._stumbles(At.RCPT):
            return
        if recipient in self._post.silent:
            await self._post.over.wait()
            raise _HangUpError
        reply = self._post.refused.get(recipient)
        if reply is None:
            self._to.append(recipient)
        await self._say(reply or "250 2.1.5 ok")

    async def _data(self) -> None:
        if await self._stumbles(At.DATA):
            return
        await self._say("354 go on")
        if At.BODY in self._post.faults:
            await self._reader.readexactly(_FEW)
            if await self._stumbles(At.BODY):
                await self._reader.readuntil(b"\r\n.\r\n")
                raise _HangUpError
        data = await self._reader.readuntil(b"\r\n.\r\n")
        found = re.search(rb"(?im)^Message-ID: *(<[^>]+>)", data)
        message_id = found[1].decode() if found else ""
        self._post.seen.add(message_id)
        fault = self._post.faults.get(At.DOT)
        if fault is None or fault in set(How):
            letter = Taken(
                tuple(self._to), self._sender, message_id, data, self._envelope
            )
            self._post.taken.append(letter)
        if not await self._stumbles(At.DOT):
            await self._say("250 2.0.0 taken")

    async def _stumbles(self, at: At) -> bool:
        meanwhile = self._post.asked(at)
        if meanwhile is not None:
            await meanwhile
        fault = self._post.faults.get(at)
        if fault is None:
            return False
        if fault == How.DROP:
            self._writer.transport.abort()
            raise _HangUpError
        if fault == How.HOLE:
            await self._post.over.wait()
            raise _HangUpError
        while fault == How.DRIP:
            self._writer.write(b"2")
            await self._writer.drain()
            await asyncio.sleep(_PACE)  # the fault itself, not a wait for something
        await self._say(fault)
        if fault.startswith("421") or at is At.CONNECT:
            raise _HangUpError
        return True

    async def _say(self, reply: str) -> None:
        self._writer.write(f"{reply}\r\n".encode())
        await self._writer.drain()


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
