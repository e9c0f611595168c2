"""Letters that came back: found by what a report proves, and settled as refused."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import insert, select, update

from monitor.core.bounces import Finding, Report, judge, letters_named, status_of
from monitor.core.delivery import Role
from monitor.errors import ConfigurationError
from monitor.store.damage import readable
from monitor.store.entries import Entry, add_entries
from monitor.store.locks import lock_tokens
from monitor.store.seal import Keyring, SealBrokenError
from monitor.store.tables import audit, letters, outbox, vault
from monitor.store.transactions import AnyRow, Database, take_turns
from monitor.store.unreachable import Source, mark
from monitor.store.waiters import Waiter, select_waiters, waiter_of

_KEY: Final = "bounce-key"
_PLACE: Final = b"vault:" + _KEY.encode()

Instead: TypeAlias = Callable[[Sequence[Waiter]], Sequence[Entry]]
"""The waiters of a lost letter → the entries of those who are told instead."""


class Bounces:
    """The key that signs envelope senders, and what came back to them."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._opened: bytes | None = None

    async def key(self) -> bytes:
        """The key of all signatures: made once, kept sealed, never shown.

        Raises:
            ConfigurationError: None of the configured keys opens it.
        """
        if self._opened is None:
            self._opened = await self._read() or await self._made()
        return self._opened

    async def settle(
        self, report: Report, author: str, now: datetime, instead: Instead
    ) -> Finding:
        """Settle the letter a report is about as refused, if it proves that it is lost.

        Safe to repeat: the same report again changes nothing.
        """
        letter = await self._letter_of(report) if report.fates else None
        finding = judge(report, None if letter is None else letter.recipient)
        if letter is None or finding is not Finding.UNREACHABLE:
            return finding
        why = f"bounced: {status_of(report, letter.recipient)}"
        mine = outbox.c.letter_id == letter.id
        async with self._database.write() as connection:
            rows = await connection.scalars(select(outbox.c.token_row).where(mine))
            await lock_tokens(connection, rows)
            changed = await connection.execute(
                update(letters)
                .where(letters.c.id == letter.id, letters.c.state == "sent")
                .values(state="refused", last_reply=why)
            )
            if changed.rowcount == 0:
                return Finding.KNOWN
            told = (mine, outbox.c.state == "sent")
            found = await connection.execute(select_waiters().where(*told))
            waiters, _ = readable(found, waiter_of)
            await connection.execute(
                update(outbox).where(*told).values(state="refused", settled_at=now)
            )
            if letter.role != Role.OPERATOR:
                await mark(connection, letter.recipient, why, Source.BOUNCED, now)
                await add_entries(connection, instead(waiters), now)
            await connection.execute(
                insert(audit).values(
                    at=now,
                    author=author,
                    action="bounce",
                    subject=f"letter:{letter.id}",
                    reason=why,
                )
            )
        return finding

    async def _letter_of(self, report: Report) -> AnyRow | None:
        """The letter a report proves to be about; the signature before the name."""
        named = letters_named(report.addressed, await self.key())
        for column, values in (
            (letters.c.id, named),
            (letters.c.message_id, report.message_ids),
        ):
            query = (
                select(letters.c.id, letters.c.recipient, letters.c.role)
                .where(column.in_(list(values)))
                .order_by(letters.c.id)
                .limit(1)
            )
            async with self._database.read() as connection:
                row: AnyRow | None = (await connection.execute(query)).first()
            if row is not None:
                return row
        return None

    async def _read(self) -> bytes | None:
        query = select(vault.c.sealed).where(vault.c.name == _KEY)
        async with self._database.read() as connection:
            sealed = await connection.scalar(query)
        return None if sealed is None else self._open(sealed)

    async def _made(self) -> bytes:
        """Replicas may come together: one makes it, the others find it made."""
        query = select(vault.c.sealed).where(vault.c.name == _KEY)
        async with self._database.write() as connection:
            await take_turns(connection, _KEY)
            sealed = await connection.scalar(query)
            if sealed is not None:
                return self._open(sealed)
            key = secrets.token_bytes(32)
            await connection.execute(
                insert(vault).values(name=_KEY, sealed=self._keyring.seal(key, _PLACE))
            )
        return key

    def _open(self, sealed: bytes) -> bytes:
        try:
            return self._keyring.open(sealed, _PLACE)
        except SealBrokenError:
            raise ConfigurationError(
                "keys: none of the configured keys opens what signs bounce addresses; "
                "name the key it was made with"
            ) from None
