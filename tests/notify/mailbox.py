"""A real SMTP server in the loop, which can be told to misbehave at any phase."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from monitor.core.attempt import Phase

DROP = "drop"
HANG = "hang"


@dataclass
class Mailbox:
    """What arrived, and how to misbehave: phase to a reply, `DROP` or `HANG`."""

    faults: dict[Phase, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Recipient to the reply he is refused with."""
    letters: list[Envelope] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """The commands heard, over all connections."""
    connections: int = 0
    reached: dict[Phase, asyncio.Event] = field(
        default_factory=lambda: {phase: asyncio.Event() for phase in Phase}
    )
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends every `HANG`."""
    port: int = 0
    open: set[asyncio.Transport] = field(default_factory=set)

    async def fault(self, phase: Phase, server: "_Server") -> str | None:
        """The reply to misbehave with, if any."""
        self.said.append(phase.value)
        self.reached[phase].set()
        fault = self.faults.get(phase)
        if fault == HANG:
            await self.go_on.wait()
            return None
        if fault == DROP:
            server.transport.abort()
            await asyncio.Event().wait()  # until the server is cancelled for it
        return fault

    def cut(self) -> None:
        """Drop every open connection, as a server does with idle ones."""
        for transport in self.open:
            transport.abort()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's signature, as is the rest
        self,
        server: "_Server",
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        options: list[str],  # noqa: ARG002
    ) -> str:
        """Take the recipient, unless he is to be refused, or to end it all."""
        reply = self.refused.get(address)
        if reply == HANG:
            await self.go_on.wait()
        elif reply == DROP:
            server.transport.abort()
            await asyncio.Event().wait()
        elif reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self,
        server: "_Server",
        session: Session,  # noqa: ARG002
        envelope: Envelope,
    ) -> str:
        """Keep the letter."""
        fault = await self.fault(Phase.DOT, server)
        if fault is None:
            self.letters.append(envelope)
        return fault or "250 2.0.0 taken"


class _Server(SMTP):
    """aiosmtpd, asking the mailbox before each answer."""

    transport: Any
    box: Mailbox

    async def _handle_client(self) -> None:
        fault = await self.box.fault(Phase.CONNECT, self)
        if fault is not None:
            await self.push(fault)
            self.transport.close()
            return
        await super()._handle_client()

    async def _answer(self, phase: Phase) -> bool:
        fault = await self.box.fault(phase, self)
        if fault is None:
            return False
        await self.push(fault)
        return True

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if not await self._answer(Phase.HELLO):
            await super().smtp_EHLO(hostname)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        if not await self._answer(Phase.MAIL):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        if not await self._answer(Phase.RCPT):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if not await self._answer(Phase.DATA):
            await super().smtp_DATA(arg)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.box.open.add(transport)
        super().connection_made(transport)


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    good = data.login == b"monitor" and data.password == b"correct horse"
    return AuthResult(success=good, handled=False)


@asynccontextmanager
async def a_mailbox(
    faults: Mapping[Phase, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    auth: bool = False,
) -> AsyncIterator[Mailbox]:
    """A server on a port of its own, gone with the block."""
    box = Mailbox(dict(faults or {}))
    loop = asyncio.get_running_loop()

    def connected() -> _Server:
        box.connections += 1
        server = _Server(
            box,
            hostname="mx.acme.example",
            loop=loop,
            tls_context=None if implicit else tls,
            authenticator=_authenticate if auth else None,
            auth_require_tls=False,
        )
        server.box = box
        return server

    server = await loop.create_server(
        connected, "127.0.0.1", 0, ssl=tls if implicit else None
    )
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        box.go_on.set()
        server.close()
        box.cut()
        await asyncio.gather(*[_closed() for _ in range(3)])


async def _closed() -> None:
    """One turn of the loop, in which transports report their end."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn
