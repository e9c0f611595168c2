"""Letters that came back: found by what a report proves, and settled as refused."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import insert, select, update

from monitor.core.bounces import Finding, Report, judge, letters_named, status_of
from monitor.core.delivery import Role
from monitor.store.damage import readable
from monitor.store.entries import Entry, add_entries
from monitor.store.locks import lock_tokens
from monitor.store.seal import Keyring
from monitor.store.tables import audit, letters, outbox
from monitor.store.transactions import AnyRow, Database
from monitor.store.unreachable import Source, mark
from monitor.store.vault import OwnKey
from monitor.store.waiters import Waiter, select_waiters, waiter_of

Instead: TypeAlias = Callable[[Sequence[Waiter]], Sequence[Entry]]
"""The waiters of a lost letter → the entries of those who are told instead."""


class Bounces:
    """The key that signs envelope senders, and what came back to them."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._key = OwnKey(database, keyring, "bounce-key", "bounce addresses")

    async def key(self) -> bytes:
        """The key of all signatures.

        Raises:
            ConfigurationError: None of the configured keys opens it.
        """
        return await self._key.get()

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
