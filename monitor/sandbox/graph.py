"""The simulated Graph: debug_token, single and in batches, as an ASGI application."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta

from monitor.sandbox import behaviour, control, wire
from monitor.sandbox.behaviour import Answer
from monitor.sandbox.caller import admit, app_of, own_app
from monitor.sandbox.faults import Fault
from monitor.sandbox.request import Ask, Request, body_of, read
from monitor.sandbox.scenario import AppPlan
from monitor.sandbox.wire import Header, Receive, Reply, Scope, Send
from monitor.sandbox.world import Call, Held, World

_DELAYS = frozenset({"slow", "hang", "reset"})


class Graph:
    """The ASGI application; the scope of a call also holds its `transport`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stopping = asyncio.Event()
        """Set when the sandbox goes down: calls that hang or wait are let go."""
        self._traces = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP call."""
        if scope["type"] != "http":
            return
        self.world.open += 1
        try:
            await self._serve(scope, receive, send)
        finally:
            self.world.open -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive) if scope["method"] != "GET" else b""
        now = self.world.clock()
        if scope["path"].startswith("/_sandbox/"):
            reply = control.answer(self.world, scope, now)
            await wire.send_reply(send, reply, self._head("", now))
            return
        request = read(scope, body, now)
        faults = self.world.faults(app_of(request.token), now)
        fault = next((each for each in faults if self._strikes(each)), None)
        if fault and fault.kind in _DELAYS:
            if not await self._delay(fault, scope, receive):
                self._log(request, self._names(request), fault.kind)
                return
            now = self.world.clock()
        of_items = [each for each in faults if each.of_items]
        reply = self._reply(request, now, fault, of_items)
        head = self._head(request.version, now, fault)
        await wire.send_reply(send, reply, head)

    def _strikes(self, fault: Fault) -> bool:
        return not fault.of_items and self.world.strikes(fault)

    async def _delay(self, fault: Fault, scope: Scope, receive: Receive) -> bool:
        """Let a call wait; whether there is somebody to answer afterwards."""
        transport = scope["transport"]
        if fault.kind == "reset":
            _reset(transport)
        slow = fault.kind == "slow"
        waits = {
            asyncio.ensure_future(self.stopping.wait()),
            asyncio.ensure_future(_gone(receive)),
        }
        done, left = await asyncio.wait(
            waits,
            timeout=fault.span.total_seconds() if slow else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in left:
            task.cancel()
        if not done:
            return True
        # Without a reply and without an end uvicorn would answer 500 by itself.
        transport.abort()
        await _gone(receive)
        return False

    def _reply(
        self,
        request: Request,
        now: datetime,
        fault: Fault | None,
        of_items: Sequence[Fault],
    ) -> Reply:
        items = len(request.asks) if request.is_batch else None
        broken = wire.instead(fault, items) if fault else None
        if fault and broken:
            self._log(request, self._names(request), fault.kind)
            return broken
        reply = self._answer(request, now, of_items)
        if fault and fault.kind == "cut_json":
            return Reply(reply.status, reply.body[: len(reply.body) // 2])
        return reply

    def _answer(
        self, request: Request, now: datetime, faults: Sequence[Fault]
    ) -> Reply:
        app = admit(self.world, request, now)
        if isinstance(app, Answer):
            self._log(request, self._names(request), "rejected")
            return wire.reply_of(app)
        if request.refused:
            self._log(request, (), "answered")
            return wire.reply_of(request.refused)
        quota = self.world.quotas.get(app.id)
        wanted = max(1, len(request.asks))
        granted = quota.take(wanted, now) if quota else wanted
        usage = wire.usage_headers(app, quota.percent(now) if quota else None)
        if not granted:
            self._log(request, self._names(request), "throttled")
            return wire.reply_of(wire.throttled(), usage)
        if request.is_batch:
            return self._batch(request, app, now, faults, granted, usage)
        name, answer, _ = self._one(request, request.asks[0], app, now, faults)
        self._log(request, (name,), "answered")
        return wire.reply_of(answer or wire.unavailable(), usage)

    def _batch(
        self,
        request: Request,
        app: AppPlan,
        now: datetime,
        faults: Sequence[Fault],
        granted: int,
        usage: tuple[Header, ...],
    ) -> Reply:
        headers: dict[int, bytes] = {}
        shown = ((b"Facebook-API-Version", self._version(request.version)), *usage)
        names, parts = [], []
        for turn, ask in enumerate(request.asks):
            name, answer, held = self._one(request, ask, app, now, faults)
            names.append(name)
            if turn >= granted:
                answer, held = wire.throttled(400), None
            if answer is None:
                parts.append(b"null")
                continue
            before, after = _cut(answer, held)
            between = b""
            if request.include_headers:
                between = headers.get(answer.status, b"")
                if not between:
                    between = wire.item_headers(shown, answer.status)
                    headers[answer.status] = between
            parts.append(before + between + after)
        self._log(request, tuple(names), "answered")
        return Reply(200, b"[%s]" % b",".join(parts))

    def _one(
        self,
        request: Request,
        ask: str | Ask | Answer,
        app: AppPlan,
        now: datetime,
        faults: Sequence[Fault],
    ) -> tuple[str, Answer | None, Held | None]:
        """One item: what it was about, its answer, and the token it came from."""
        if isinstance(ask, Answer):
            return "?", ask, None
        text = ask if isinstance(ask, str) else ask.text
        held = self.world.find(text)
        name = held.plan.id if held else self._name(text)
        struck = next((each.kind for each in faults if self.world.strikes(each)), "")
        if struck == "null_items":
            return name, None, None
        if struck in {"item_500", "item_960"}:
            wrong = wire.aborted() if struck == "item_960" else wire.unknown_error()
            return name, wrong, None
        own = own_app(self.world, request, ask, app, now)
        if isinstance(own, Answer):
            return name, own, None
        if held is None or held.plan.app != own.id:
            foreign = behaviour.did_not_match() if held else self._unknown(text, own)
            return name, foreign, None
        ended = struck == "all_460"
        answer = self.world.look(held, now, ended=ended)
        return name, answer, None if ended else held

    def _unknown(self, text: str, app: AppPlan) -> Answer:
        """The answer about an input that was never issued to a person."""
        app_id, bar, secret = text.partition("|")
        other = self.world.apps.get(app_id)
        if not bar:
            looks_real = text.startswith("EAA")
            unreadable = behaviour.could_not_be_decrypted
            return unreadable() if looks_real else behaviour.cannot_parse()
        if other is None:
            return behaviour.no_such_app()
        if secret != other.secret:
            return behaviour.bad_signature()
        return behaviour.app_token(app) if other is app else behaviour.did_not_match()

    def _names(self, request: Request) -> tuple[str, ...]:
        texts = [
            ask if isinstance(ask, str) else getattr(ask, "text", "")
            for ask in request.asks
        ]
        found = [(text, self.world.find(text)) for text in texts]
        return tuple(held.plan.id if held else self._name(text) for text, held in found)

    def _name(self, text: str) -> str:
        app_id = app_of(text)
        return f"app:{app_id}" if app_id in self.world.apps else "?"

    def _log(self, request: Request, names: tuple[str, ...], outcome: str) -> None:
        app_id = app_of(request.token)
        kind = "batch" if request.is_batch else "single"
        if request.refused:
            kind = "other"
        elif names and all(name.startswith("app:") for name in names):
            kind = "self_inspection"
        known = app_id if app_id in self.world.apps else ""
        self.world.calls.append(Call(request.came_at, known, kind, names, outcome))

    def _version(self, asked: str) -> bytes:
        # An ended version is served silently by the next usable one.
        # Source: Graph API, "Versioning", read 2026-11-23.
        scenario = self.world.scenario
        version = asked or scenario.version
        return max(version, scenario.oldest_version, key=_number).encode()

    def _head(
        self, version: str, now: datetime, fault: Fault | None = None
    ) -> list[Header]:
        self._traces += 1
        off = fault.span if fault and fault.kind == "skewed_date" else timedelta(0)
        return [
            (b"date", wire.http_date(now + off)),
            (b"facebook-api-version", self._version(version)),
            (b"x-fb-trace-id", b"Arehearsal%d" % self._traces),
        ]


def _cut(answer: Answer, held: Held | None) -> tuple[bytes, bytes]:
    if held is None:
        return wire.batch_item(answer)
    if not held.item[0]:
        held.item = wire.batch_item(answer)
    return held.item


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))


async def _gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _reset(transport: asyncio.Transport) -> None:
    """Close a connection so that the client sees a reset, not an end."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
