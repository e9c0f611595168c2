"""The dialogue: one SMTP connection, and exactly how far a letter has come on it."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiosmtplib

from monitor.core.attempt import Phase
from monitor.notify.headers import UnwritableError, address
from monitor.notify.server import Server, Tls
from monitor.notify.trace import Exchange, Observer, Step, facts

_POSITIVE: Final = 2
"""RFC 5321, section 4.2.1: the first digit of a positive completion."""
_START_INPUT: Final = 354
_NOT_ALLOWED: Final = 553
"""RFC 5321, section 4.2.3: the mailbox name is not allowed."""
_LONGEST_CONNECT: Final = timedelta(seconds=30)
_COURTESY: Final = timedelta(seconds=5)
"""The wait for replies to RSET and QUIT, on which nothing depends."""


class FailedError(Exception):
    """The dialogue ended early; `code` is `None` if no reply came."""

    def __init__(self, phase: Phase, code: int | None, reply: str) -> None:
        super().__init__(reply)
        self.phase, self.code, self.reply = phase, code, reply


@dataclass(slots=True)
class Progress:
    """How far the letter in hand has come, and whether to stop before its dot."""

    phase: Phase = Phase.CONNECT
    stopped: bool = False
    observer: Observer | None = None
    """Hears of every step; nothing depends on it."""
    step: Step = Step.CONNECT
    began: float = 0
    """When the step in hand began, by the loop's clock."""

    def begin(self, step: Step) -> None:
        """Note the step in hand."""
        self.step, self.began = step, asyncio.get_running_loop().time()

    def end(
        self, code: int | None, reply: str, smtp: aiosmtplib.SMTP | None = None
    ) -> None:
        """Tell the observer how the step in hand ended; `smtp`: well."""
        if self.observer is not None:
            took = asyncio.get_running_loop().time() - self.began
            more = facts(self.step, smtp) if smtp is not None else {}
            told = Exchange(self.step, code, reply, timedelta(seconds=took), **more)
            self.observer(told)

    @asynccontextmanager
    async def during(self, phase: Phase, longest: timedelta) -> AsyncIterator[None]:
        """Note the phase, bound it, turn what the library raises into one error."""
        self.phase = phase
        try:
            async with asyncio.timeout(longest.total_seconds()):
                yield
        except aiosmtplib.SMTPResponseException as error:
            # A code of -1 stands for a reply that is no SMTP.
            code = error.code if error.code > 0 else None
            raise FailedError(phase, code, error.message) from None
        except TimeoutError:
            raise FailedError(phase, None, "no reply in time") from None
        except aiosmtplib.SMTPException as error:
            said = str(error) or type(error).__name__
            raise FailedError(phase, None, said) from None
        except OSError as error:  # also ssl.SSLError; the system's words, no others
            said = error.strerror or type(error).__name__
            raise FailedError(phase, None, said) from None
        except ValueError as error:  # its text quotes what was given
            raise FailedError(phase, None, type(error).__name__) from None


class Line:
    """An open connection on which letters follow one another."""

    def __init__(self, smtp: aiosmtplib.SMTP, timeout: timedelta) -> None:
        protocol, transport = smtp.protocol, smtp.transport
        if protocol is None or not isinstance(transport, asyncio.Transport):
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        # The buffer counts as full at once, so that `drain()` means empty. Not 0: a
        # TLS transport would then pause an empty buffer and never resume it.
        transport.set_write_buffer_limits(high=1, low=0)
        loop = asyncio.get_running_loop()
        # Only to wait for that; kept, for it closes its transport when collected.
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
        self._smtp = smtp
        self._protocol = protocol
        self._timeout = timeout
        self._used_at = loop.time()
        self.letters = 0

    @classmethod
    async def open(
        cls, server: Server, tls: ssl.SSLContext | None, progress: Progress
    ) -> "Line":
        """Connect, greet, make private, log in.

        Raises:
            FailedError: One of these failed, or STARTTLS is asked for and not offered.
        """
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            # Bounded by `Progress.during`: with a timeout of its own the library uses
            # `asyncio.wait_for`, which may swallow a cancellation on Python 3.11.
            timeout=None,
            use_tls=server.tls is Tls.IMPLICIT,
            start_tls=False,  # never by chance: asked for below, and then needed
            tls_context=tls,
            local_hostname=server.local_hostname,
        )
        try:
            connecting = min(server.timeout, _LONGEST_CONNECT)
            progress.begin(Step.CONNECT)
            async with progress.during(Phase.CONNECT, connecting):
                response = await smtp.connect()
            progress.end(*response, smtp)
            async with progress.during(Phase.HELLO, server.timeout):
                progress.begin(Step.EHLO)
                progress.end(*await smtp.ehlo(), smtp)
                if server.tls is Tls.STARTTLS:
                    progress.begin(Step.STARTTLS)
                    progress.end(*await smtp.starttls(), smtp)
                    # RFC 3207, section 4.2: forget what was said before.
                    progress.begin(Step.EHLO)
                    progress.end(*await smtp.ehlo(), smtp)
                if server.username is not None:
                    progress.begin(Step.AUTH)
                    login = smtp.login(server.username, server.password or "")
                    progress.end(*await login, smtp)
                return cls(smtp, server.timeout)
        except BaseException:
            smtp.close()
            raise

    @property
    def idle(self) -> timedelta:
        """Since when nothing was sent."""
        now = asyncio.get_running_loop().time()
        return timedelta(seconds=now - self._used_at)

    async def still_there(self) -> bool:
        """Whether the server takes another letter; clears the one before."""
        try:
            async with asyncio.timeout(_COURTESY.total_seconds()):
                await self._smtp.rset()
        except (aiosmtplib.SMTPException, OSError):
            return False
        return self._smtp.is_connected

    async def mail(self, sender: str, progress: Progress) -> None:
        """Name the envelope sender.

        What follows a `+` in it also names the envelope, for reports that come to
        another address; they need not carry the letter back. Source: RFC 3461,
        sections 4.3 and 4.4, whose xtext needs no encoding here.
        """
        name = sender.partition("@")[0].partition("+")[2]
        options: list[str] = []
        if name.replace(".", "").isalnum() and self._smtp.supports_extension("dsn"):
            options = ["RET=HDRS", f"ENVID={name}"]
        progress.begin(Step.MAIL)
        async with progress.during(Phase.MAIL, self._timeout):
            response = await self._smtp.mail(sender, options=options)
        progress.end(*response)

    async def rcpt(self, recipient: str, progress: Progress) -> None:
        """Name the recipient on whom the letter depends."""
        progress.begin(Step.RCPT)
        async with progress.during(Phase.RCPT, self._timeout):
            # The library would take the first address it finds in any text.
            if not _is_written(recipient):
                words = "the address cannot be written in SMTP"
                raise FailedError(Phase.RCPT, _NOT_ALLOWED, words)
            response = await self._smtp.rcpt(recipient)
        progress.end(*response)

    async def copy(self, recipient: str, progress: Progress) -> str | None:
        """Name one who gets a copy; returns the reply that refused him, if any did.

        That is no reason to keep the letter back.

        Raises:
            FailedError: The connection went with it; without a code, which would be
                taken for the reader's.
        """
        try:
            await self.rcpt(recipient, progress)
        except FailedError as failed:
            reply = f"{failed.code or ''} {failed.reply}".strip()
            if failed.code is None or not self._smtp.is_connected:
                raise FailedError(failed.phase, None, reply) from None
            return reply
        return None

    async def data(
        self, raw: bytes, progress: Progress, before_dot: Callable[[], bool]
    ) -> aiosmtplib.SMTPResponse:
        """The message and its dot; returns the reply that makes the server liable.

        `SMTP.data()` does not say whether the dot was written when it fails, so the
        two steps of RFC 5321, section 4.1.1.4, are taken here. The dot is written when
        the message has left this process (with TLS: all of it but what the layer below
        buffers, which then counts as perhaps sent). A reply that comes before the dot,
        such as a 552 in mid-message, is read and not lost.
        """
        progress.begin(Step.DATA)
        async with progress.during(Phase.DATA, self._timeout):
            response = await self._smtp.execute_command(b"DATA")
            if response.code != _START_INPUT:
                raise FailedError(Phase.DATA, response.code, response.message)
        reply = asyncio.ensure_future(self._protocol.read_response())
        try:
            async with progress.during(Phase.DATA, self._timeout):
                await self._message(raw, reply)
                if progress.stopped:
                    raise FailedError(Phase.DATA, None, "stopped")
            if not before_dot():
                raise FailedError(Phase.DATA, None, "the lease is over")
            progress.end(*response)
            progress.begin(Step.DOT)
            async with progress.during(Phase.DOT, self._timeout):
                self._protocol.write(b".\r\n")
                response = await reply
        finally:
            reply.cancel()
            await asyncio.gather(reply, return_exceptions=True)
        if response.code // 100 != _POSITIVE:
            raise FailedError(Phase.DOT, response.code, response.message)
        progress.end(*response)
        self.letters += 1
        self._used_at = asyncio.get_running_loop().time()
        return response

    async def _message(
        self, raw: bytes, reply: "asyncio.Future[aiosmtplib.SMTPResponse]"
    ) -> None:
        """Write the message; return when it has left, fail if the server speaks."""
        self._protocol.write(_stuffed(raw))
        leaving = asyncio.ensure_future(self._writer.drain())
        both: set[asyncio.Future[Any]] = {leaving, reply}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if reply.done():
                early = reply.result()
                raise FailedError(Phase.DATA, early.code, early.message)
            leaving.result()
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    def hang_up(self) -> None:
        """Leave without a word."""
        self._smtp.close()

    async def part(self) -> None:
        """Say good-bye to the server, if it is still there."""
        try:
            async with asyncio.timeout(_COURTESY.total_seconds()):
                await self._smtp.quit()
        except (aiosmtplib.SMTPException, OSError):
            pass  # it was gone already
        finally:
            self._smtp.close()


def _is_written(recipient: str) -> bool:
    try:
        return address(recipient) == recipient
    except UnwritableError:
        return False


def _stuffed(raw: bytes) -> bytes:
    """The message as DATA carries it, without its dot: RFC 5321, section 4.5.2."""
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", raw)
