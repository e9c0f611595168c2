"""One SMTP dialogue of the mailbox, and the desk behind all of them."""

import asyncio
import hmac
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from monitor.sandbox.letters import Received
from monitor.sandbox.world import Clock

Stage = Literal[
    "CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "DOT", "RSET", "QUIT"
]
"""Where a dialogue can be made to fail; DOT is the end of the letter."""

_GUARDED: dict[str, Stage] = {
    "EHLO": "EHLO",
    "HELO": "EHLO",
    "AUTH": "AUTH",
    "MAIL": "MAIL",
    "RCPT": "RCPT",
    "DATA": "DATA",
    "RSET": "RSET",
    "QUIT": "QUIT",
}
_HOSTNAME = "mailbox.rehearsal.invalid"


@dataclass(slots=True)
class Trouble:
    """What a stage does instead of its work."""

    reply: str | None
    """`None`: no reply at all."""
    hang: bool = False
    """Whether the connection stays open in silence; otherwise it is closed."""
    left: int | None = None
    """How often it still happens; `None`: always."""


@dataclass(eq=False)
class Desk:
    """What all dialogues of one mailbox share."""

    clock: Clock
    login: tuple[str, str] | None = None
    received: list[Received] = field(default_factory=list)
    recipients: dict[str, str] = field(default_factory=dict)
    """Addresses that are answered with a reply of their own."""
    troubles: dict[Stage, Trouble] = field(default_factory=dict)
    open: set["Dialogue"] = field(default_factory=set)
    connections: int = 0
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def trouble(self, stage: Stage) -> Trouble | None:
        """The trouble of a stage, if there is one; counts it."""
        trouble = self.troubles.get(stage)
        if trouble is None or trouble.left is None:
            return trouble
        trouble.left -= 1
        if trouble.left <= 0:
            del self.troubles[stage]
        return trouble

    async def keep(self, letter: Received) -> None:
        """Take a letter in."""
        async with self.news:
            self.received.append(letter)
            self.news.notify_all()

    def admits(self, user: str, password: str) -> bool:
        """Whether this is the login."""
        expected, secret = self.login or ("", "")
        right = hmac.compare_digest(password.encode(), secret.encode())
        return right and user == expected and self.login is not None


class Dialogue(SMTP):
    """One connection. Also its own handler, in aiosmtpd's sense."""

    def __init__(
        self,
        desk: Desk,
        loop: asyncio.AbstractEventLoop,
        starttls: ssl.SSLContext | None,
        *,
        smtputf8: bool,
    ) -> None:
        self._desk = desk
        super().__init__(
            _Handler(desk),
            enable_SMTPUTF8=smtputf8,
            hostname=_HOSTNAME,
            ident="rehearsal",
            tls_context=starttls,
            require_starttls=starttls is not None,
            # Off, or aiosmtpd warns about logins without TLS; `_guard` asks instead.
            auth_required=False,
            auth_require_tls=starttls is not None or desk.login is None,
            authenticator=_authenticate(desk),
            loop=loop,
        )
        for command, stage in _GUARDED.items():
            method = self._smtp_methods[command]
            self._smtp_methods[command] = self._guard(stage, method)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it; after STARTTLS this is called once more."""
        if self not in self._desk.open:
            self._desk.connections += 1
            self._desk.open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget it."""
        self._desk.open.discard(self)
        super().connection_lost(error)

    @property
    def encrypted(self) -> bool:
        """Whether TLS is on."""
        transport = self.transport
        return transport is not None and bool(transport.get_extra_info("ssl_object"))

    def hang_up(self) -> "asyncio.Task[None] | None":
        """Close the connection at once; the task that is about to end."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        return self._handler_coroutine

    async def suffer(self, trouble: Trouble) -> str:
        """The reply a trouble gives; after a 421 the connection is closed.

        Does not come back from a silence or a closed connection: aiosmtpd cancels
        what runs when the connection is lost.
        """
        if trouble.reply is None:
            if not trouble.hang:
                self.hang_up()
            await asyncio.Event().wait()
        reply = trouble.reply or ""
        if reply.startswith("421") and self.transport is not None:
            await self.push(reply)
            self.transport.close()
            await asyncio.Event().wait()
        return reply

    async def _stumbles(self, stage: Stage) -> bool:
        trouble = self._desk.trouble(stage)
        if trouble is None:
            return False
        await self.push(await self.suffer(trouble))
        return True

    async def _handle_client(self) -> None:
        try:
            if await self._stumbles("CONNECT"):
                self.hang_up()
                return
            await super()._handle_client()
        except ConnectionError:
            return  # the client is gone; there is nobody to tell

    def _guard(
        self, stage: Stage, method: Callable[[str], Awaitable[None]]
    ) -> Callable[[str], Awaitable[None]]:
        async def guarded(argument: str) -> None:
            if await self._stumbles(stage):
                return
            stranger = self.session is None or not self.session.authenticated
            if stage == "MAIL" and self._desk.login and stranger:
                await self.push("530 5.7.0 Authentication required")
                return
            await method(argument)

        return guarded


class _Handler:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        reply = self.desk.recipients.get(address.lower())
        if reply is None:
            envelope.rcpt_tos.append(address)
            reply = "250 2.1.5 OK"
        return reply

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it so
        self, server: Dialogue, session: Session, envelope: Envelope
    ) -> str:
        login: object = session.auth_data
        letter = Received(
            envelope_from=envelope.mail_from or "",
            envelope_to=tuple(envelope.rcpt_tos),
            data=bytes(envelope.original_content or b""),
            at=self.desk.clock(),
            encrypted=server.encrypted,
            user=login.login.decode() if isinstance(login, LoginPassword) else None,
        )
        trouble = self.desk.trouble("DOT")
        if trouble is None or trouble.reply is None:
            await self.desk.keep(letter)
        if trouble is None:
            return "250 2.0.0 OK: kept"
        return await server.suffer(trouble)


def _authenticate(
    desk: Desk,
) -> Callable[[SMTP, Session, Envelope, str, object], AuthResult]:
    def authenticate(
        server: SMTP,
        session: Session,
        envelope: Envelope,
        mechanism: str,
        login: object,
    ) -> AuthResult:
        known = isinstance(login, LoginPassword) and desk.admits(
            login.login.decode("utf-8", "replace"),
            login.password.decode("utf-8", "replace"),
        )
        return AuthResult(success=known, handled=False, auth_data=login)

    return authenticate
