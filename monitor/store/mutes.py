"""Mutes: which readers stopped the reminders of which matters, by a letter's link."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Role
from monitor.core.mute import Scope, Wish, letter_behind
from monitor.store.dialect import insert_on
from monitor.store.seal import Keyring
from monitor.store.tables import audit, incidents, letters, mutes, outbox
from monitor.store.transactions import Database
from monitor.store.vault import OwnKey

AUTHOR: Final = "reader"
"""Who it was, for the audit: whoever had the letter."""
_ACTIONS: Final = {Wish.STOP: "mute", Wish.RESUME: "unmute"}


class Mutes:
    """The key that signs the links, and what readers did with them."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._key = OwnKey(database, keyring, "mute-key", "links that stop reminders")

    async def key(self) -> bytes:
        """The key of all links.

        Raises:
            ConfigurationError: None of the configured keys opens it.
        """
        return await self._key.get()

    async def scope(self, link: str) -> Scope | None:
        """What a link covers; `None`: it is none, or its letter is forgotten.

        The signature comes first: a forged link costs the same whatever it names.
        """
        letter_id = await self._behind(link)
        if letter_id is None:
            return None
        async with self._database.read() as connection:
            return await _scope(connection, letter_id)

    async def change(
        self, link: str, wish: Wish, now: datetime
    ) -> tuple[Scope | None, int]:
        """Stop or resume the reminders a link covers; the scope as it is then.

        Safe to repeat: the second time changes nothing, and is not noted.

        Returns:
            The scope, and of how many matters it changed.
        """
        letter_id = await self._behind(link)
        if letter_id is None:
            return None, 0
        # Who asks for what is so already keeps nobody from writing.
        async with self._database.read() as connection:
            scope = await _scope(connection, letter_id)
        if scope is None or not _concerned(scope, wish):
            return scope, 0
        async with self._database.write() as connection:
            scope = await _scope(connection, letter_id)
            if scope is None:
                return None, 0
            concerned = _concerned(scope, wish)
            if not concerned:
                return scope, 0
            if wish is Wish.STOP:
                await _stop(connection, scope.reader, concerned, now)
            else:
                await _resume(connection, scope.reader, concerned)
            note = {"author": AUTHOR, "action": _ACTIONS[wish]}
            await connection.execute(
                insert(audit).values(at=now, subject=f"letter:{letter_id}", **note)
            )
            return await _scope(connection, letter_id), len(concerned)

    async def of(self, incident_id: str) -> list[tuple[str, datetime]]:
        """Who stopped the reminders of an incident, and since when."""
        query = (
            select(mutes.c.reader, mutes.c.since)
            .where(mutes.c.incident_id == incident_id)
            .order_by(mutes.c.since, mutes.c.reader)
        )
        async with self._database.read() as connection:
            return [(row.reader, row.since) for row in await connection.execute(query)]

    async def prune(self) -> int:
        """Forget what concerns matters that are over; returns how many."""
        closed = select(incidents.c.id).where(incidents.c.closed_at.is_not(None))
        old = delete(mutes).where(mutes.c.incident_id.in_(closed))
        async with self._database.write() as connection:
            return (await connection.execute(old)).rowcount

    async def _behind(self, link: str) -> str | None:
        key = await self._key.known()
        return None if key is None else letter_behind(link, key)


def _concerned(scope: Scope, wish: Wish) -> Sequence[str]:
    """The matters a wish changes; in one order, or two would wait for each other."""
    muted = scope.open & scope.muted
    return sorted(scope.open - muted if wish is Wish.STOP else muted)


async def _stop(
    connection: AsyncConnection, reader: str, concerned: Sequence[str], now: datetime
) -> None:
    await connection.execute(
        insert_on(mutes, connection).on_conflict_do_nothing(),
        [{"incident_id": each, "reader": reader, "since": now} for each in concerned],
    )


async def _resume(
    connection: AsyncConnection, reader: str, concerned: Sequence[str]
) -> None:
    where = (mutes.c.reader == reader, mutes.c.incident_id.in_(concerned))
    await connection.execute(delete(mutes).where(*where))


async def _scope(connection: AsyncConnection, letter_id: str) -> Scope | None:
    """The matters a letter told of; what stepped out of it before is none of them."""
    query = (
        select(
            outbox.c.incident_id,
            outbox.c.locale,
            letters.c.recipient,
            letters.c.product,
            incidents.c.closed_at,
            mutes.c.since,
        )
        .select_from(
            letters.join(outbox, outbox.c.letter_id == letters.c.id)
            .join(incidents, incidents.c.id == outbox.c.incident_id)
            .outerjoin(
                mutes,
                (mutes.c.incident_id == outbox.c.incident_id)
                & (mutes.c.reader == letters.c.recipient),
            )
        )
        .where(
            letters.c.id == letter_id,
            letters.c.role != Role.OPERATOR,
            outbox.c.state.in_(["sealed", "sent", "refused"]),
        )
        .order_by(outbox.c.planned_at, outbox.c.id)
    )
    rows = (await connection.execute(query)).all()
    if not rows:
        return None
    first = rows[0]
    return Scope(
        letter_id,
        first.recipient,
        first.product,
        first.locale,
        tuple(dict.fromkeys(row.incident_id for row in rows)),
        frozenset(row.incident_id for row in rows if row.closed_at is None),
        frozenset(row.incident_id for row in rows if row.since is not None),
    )
