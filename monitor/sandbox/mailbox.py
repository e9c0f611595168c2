"""A real SMTP server on loopback that keeps every letter and fails on command."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from monitor.errors import UnavailableError
from monitor.sandbox import letters
from monitor.sandbox.certificate import make_certificate
from monitor.sandbox.dialogue import Desk, Dialogue, Stage, Trouble
from monitor.sandbox.letters import Received
from monitor.sandbox.world import Clock

Tls = Literal["none", "starttls", "implicit"]

_LOOPBACK = "127.0.0.1"


class Mailbox:
    """An SMTP server that is up. Made by `open`."""

    def __init__(self, desk: Desk, port: int, ca_file: Path | None) -> None:
        self._desk = desk
        self.host = _LOOPBACK
        self.port = port
        self.ca_file = ca_file
        """The authority to trust, when TLS is on."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        clock: Clock,
        port: int = 0,
        tls: Tls = "none",
        username: str | None = None,
        password: str = "",
        smtputf8: bool = True,
    ) -> AsyncIterator["Mailbox"]:
        """Take letters on loopback until the block ends; port 0 takes a free one.

        With a `username` only who logs in may send. With `tls` the certificate is
        good for `127.0.0.1` and `localhost` and trusted by `ca_file`.

        Raises:
            UnavailableError: the port is taken.
        """
        # At INFO aiosmtpd logs every command, and with it the addresses.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        desk = Desk(clock, (username, password) if username is not None else None)
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="mailbox-") as directory:
            context, ca_file = None, None
            if tls != "none":
                context, ca_file = make_certificate(Path(directory))
            starttls = context if tls == "starttls" else None
            try:
                server = await loop.create_server(
                    lambda: Dialogue(desk, loop, starttls, smtputf8=smtputf8),
                    _LOOPBACK,
                    port,
                    ssl=context if tls == "implicit" else None,
                )
            except OSError as error:
                raise UnavailableError(
                    f"the mailbox cannot listen on {_LOOPBACK}:{port}: {error.strerror}"
                ) from error
            try:
                yield cls(desk, server.sockets[0].getsockname()[1], ca_file)
            finally:
                server.close()
                tasks = [dialogue.hang_up() for dialogue in list(desk.open)]
                ending = [task for task in tasks if task is not None]
                for task in ending:
                    # asyncio tells nobody of a connection lost in a TLS handshake.
                    task.cancel()
                await asyncio.gather(*ending, return_exceptions=True)
                await server.wait_closed()

    @property
    def received(self) -> list[Received]:
        """The letters taken, oldest first; those whose sender never heard so too."""
        return list(self._desk.received)

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return self._desk.connections

    @property
    def sessions(self) -> int:
        """How many connections are open now."""
        return len(self._desk.open)

    async def arrived(self, count: int) -> list[Received]:
        """Wait until so many letters are here; put a timeout around it."""
        async with self._desk.news:
            await self._desk.news.wait_for(lambda: len(self._desk.received) >= count)
        return self.received

    def save(self, directory: Path) -> list[Path]:
        """Write every letter as .eml, .txt and .html; the paths in order."""
        return letters.save(self._desk.received, directory)

    def refuse(self, address: str, reply: str = "550 5.1.1 No such mailbox") -> None:
        """Refuse a recipient from now on."""
        self._desk.recipients[address.lower()] = reply

    def defer(self, address: str, reply: str = "451 4.2.1 Try again later") -> None:
        """Put a recipient off from now on."""
        self.refuse(address, reply)

    def accept(self, address: str) -> None:
        """Take letters for a recipient again."""
        self._desk.recipients.pop(address.lower(), None)

    def fail_at(self, stage: Stage, reply: str, times: int | None = None) -> None:
        """Answer a stage with this reply; a 421 also closes the connection.

        At DOT the letter is thrown away.
        """
        self._desk.troubles[stage] = Trouble(reply, left=times)

    def drop_at(self, stage: Stage, times: int | None = None) -> None:
        """Close the connection at a stage without a word; at DOT the letter is kept."""
        self._desk.troubles[stage] = Trouble(None, left=times)

    def drop_after_dot(self, times: int = 1) -> None:
        """Take the next letters, but close the connection instead of saying so."""
        self.drop_at("DOT", times)

    def hang_at(self, stage: Stage, times: int | None = None) -> None:
        """Fall silent at a stage; at DOT the letter is kept."""
        self._desk.troubles[stage] = Trouble(None, hang=True, left=times)

    def mend(self) -> None:
        """End every trouble."""
        self._desk.troubles.clear()
        self._desk.recipients.clear()
