"""The outbox: entries wait, pass the gate, are sealed into letters, and are settled."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop, Item, Passage, Wait, Waiting
from monitor.store.codec import (
    encode,
)
from monitor.store.poison import read_waiters, readable, review_all, reviewed
from monitor.store.tables import letters, outbox
from monitor.store.transactions import AnyRow, Database, take_turns
from monitor.store.waiters import (
    Pass,
    Review,
    Sealed,
    Waiter,
    lock_tokens,
    select_waiters,
    waiter_of,
)
from monitor.store.waits import drop, hold, owe_looks, wait_on

_SEAL: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("key"))
    .values(
        state="sealed",
        letter_id=bindparam("letter"),
        waits_for=None,
        item=bindparam("text"),
    )
)


class Outbox:
    """Seals entries into letters and hands letters to couriers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seal(  # noqa: PLR0913 - the gate, its clock, and the letters' domain
        self,
        review: Review,
        now: datetime,
        *,
        lease: timedelta,
        domain: str,
        hurried: bool = False,
        after: str = "",
        most: int = 200,
    ) -> Pass:
        """Put the due entries of up to `most` readers through the gate.

        Those that may go are sealed into one letter per reader, product and copy; the
        others name what they wait for. A token that owes a last look is made due.

        Args:
            review: The gate.
            now: The present instant.
            lease: How long a claim on a token may last; no claimed one is made due.
            domain: The right side of new Message-IDs.
            hurried: Count `group_wait` as over, and looks as taken.
            after: The last reader of the pass before; readers come in order.
            most: How many readers at most.
        """
        async with self._database.write() as connection:
            await take_turns(connection, "seal")
            waiters, last = await _due(connection, now, after, most, hurried=hurried)
            gated = await review_all(connection, waiters, review, now)
            ready: dict[tuple[str, str, str, str], list[tuple[Waiter, Item]]] = {}
            delayed = {
                waiter.group
                for waiter, _, passage in gated
                if _soon_looked_at(waiter, passage, now)
            }
            done = Pass(last_reader=last)
            waiting: list[tuple[Waiter, Wait]] = []
            dropped: list[tuple[Waiter, Drop]] = []
            for waiter, item, passage in gated:
                if isinstance(passage, Wait):
                    waiting.append((waiter, passage))
                elif isinstance(passage, Drop):
                    dropped.append((waiter, passage))
                elif waiter.group in delayed:
                    later = now + timedelta(seconds=10)
                    waiting.append((waiter, Wait(Waiting.GROUP, later)))
                else:
                    ready.setdefault(waiter.group, []).append((waiter, item))
            done.owed = await wait_on(connection, waiting, now, lease)
            done.dropped = await drop(connection, dropped, now)
            done.sealed = await _seal(connection, ready, now, domain)
        return done

    async def next_due(self) -> datetime | None:
        """When the next entry or letter falls due."""
        query = select(outbox.c.due_at).where(outbox.c.state == "waiting")
        open_letters = select(letters.c.due_at).where(letters.c.state == "open")
        async with self._database.read() as connection:
            firsts = [
                await connection.scalar(query.order_by(outbox.c.due_at).limit(1)),
                await connection.scalar(
                    open_letters.order_by(letters.c.due_at).limit(1)
                ),
            ]
        return min((first for first in firsts if first is not None), default=None)

    async def take(
        self, review: Review, now: datetime, lease: timedelta
    ) -> Sealed | None:
        """The next letter to try, with the gate asked once more; `None`: no more.

        A letter in doubt goes again as it was. From another one, entries that must
        wait or are outlived step out; a letter left empty is closed. One that was
        tried before keeps its name and its clock while it owes a look.
        """
        while True:
            async with self._database.write() as connection:
                row = await _take(connection, now, lease)
                if row is None:
                    return None
                rows = await _entries(connection, row.id)
                readers = await read_waiters(connection, rows, now)
                sealed = await _load(connection, row, readers)
                if sealed.in_doubt and sealed.waiters:
                    return sealed
                kept: list[Waiter] = []
                waiting: list[tuple[Waiter, Wait]] = []
                dropped: list[tuple[Waiter, Drop]] = []
                gated = await review_all(connection, sealed.waiters, review, now)
                for waiter, _, passage in gated:
                    if isinstance(passage, Wait):
                        waiting.append((waiter, passage))
                    elif isinstance(passage, Drop):
                        dropped.append((waiter, passage))
                    else:
                        kept.append(waiter)
                await drop(connection, dropped, now)
                if sealed.attempts and owe_looks(waiting):
                    await hold(connection, sealed.id, waiting, now, lease)
                    continue
                await wait_on(connection, waiting, now, lease)
                if kept:
                    return _with_waiters(sealed, kept)
                await connection.execute(
                    update(letters)
                    .where(letters.c.id == sealed.id)
                    .values(state="empty", settled_at=now, attempt_until=None)
                )

    async def owed(self, review: Review, now: datetime) -> tuple[int, ...]:
        """Rows of the tokens at which due letters must have a last look first."""
        due = select(letters.c.id).where(
            letters.c.state == "open", letters.c.due_at <= now, ~letters.c.in_doubt
        )
        query = select_waiters().where(
            outbox.c.letter_id.in_(due), outbox.c.state == "sealed"
        )
        async with self._database.read() as connection:
            waiters, _ = readable(await connection.execute(query), waiter_of)
        gated, _ = reviewed(waiters, review)
        return tuple(
            waiter.token_row
            for waiter, _, passage in gated
            if isinstance(passage, Wait)
            and passage.why is Waiting.LOOK
            and waiter.token_row is not None
        )

    async def still_right(self, sealed: Sealed, review: Review) -> bool:
        """Whether every entry of the letter may still go, asked before `MAIL FROM`."""
        if sealed.in_doubt:
            return True
        async with self._database.read() as connection:
            row = (
                await connection.execute(
                    select(letters).where(
                        letters.c.id == sealed.id,
                        letters.c.fence == sealed.fence,
                        letters.c.state == "open",
                    )
                )
            ).first()
            if row is None:
                return False
            waiters, _ = readable(await _entries(connection, sealed.id), waiter_of)
        gated, _ = reviewed(waiters, review)
        return len(gated) == len(sealed.waiters) and all(
            passage is None for _, _, passage in gated
        )


def _soon_looked_at(waiter: Waiter, passage: Passage, now: datetime) -> bool:
    """Whether a reader's other news waits a moment for this one's last look."""
    if not isinstance(passage, Wait) or passage.why is not Waiting.LOOK:
        return False
    asked = waiter.asked_look_at
    return asked is None or now - asked < timedelta(minutes=2)


async def _due(
    connection: AsyncConnection, now: datetime, after: str, most: int, *, hurried: bool
) -> tuple[list[Waiter], str | None]:
    """The entries of the next readers who have one due; and the last reader."""
    due = outbox.c.due_at <= now
    if hurried:
        due = or_(due, outbox.c.waits_for.in_([Waiting.GROUP, Waiting.LOOK]))
    readers = (
        await connection.scalars(
            select(outbox.c.recipient)
            .where(outbox.c.state == "waiting", due, outbox.c.recipient > after)
            .distinct()
            .order_by(outbox.c.recipient)
            .limit(most)
        )
    ).all()
    if not readers:
        return [], None
    # What waits only for its group leaves with the group.
    theirs = (
        outbox.c.state == "waiting",
        or_(due, outbox.c.waits_for == Waiting.GROUP),
        outbox.c.recipient.in_(readers),
    )
    rows_of = await connection.scalars(select(outbox.c.token_row).where(*theirs))
    await lock_tokens(connection, rows_of)
    rows = await connection.execute(
        select_waiters().where(*theirs).order_by(outbox.c.planned_at, outbox.c.id)
    )
    return await read_waiters(connection, rows, now), readers[-1]


_MOST_ENTRIES: Final = 5_000
"""More make another letter: nobody reads so many, and no statement takes them all."""


async def _seal(
    connection: AsyncConnection,
    ready: Mapping[tuple[str, str, str, str], Sequence[tuple[Waiter, Item]]],
    now: datetime,
    domain: str,
) -> int:
    if not ready:
        return 0
    new_letters: list[dict[str, Any]] = []
    sealed: list[dict[str, Any]] = []
    parcels = (
        (group, members[start : start + _MOST_ENTRIES])
        for group, members in ready.items()
        for start in range(0, len(members), _MOST_ENTRIES)
    )
    for (recipient, product, role, _), members in parcels:
        letter_id = secrets.token_hex(6)
        new_letters.append(
            {
                "id": letter_id,
                "message_id": f"<{letter_id}.{secrets.token_hex(8)}@{domain}>",
                "recipient": recipient,
                "role": role,
                "product": product,
                "sealed_at": now,
                "state": "open",
                "due_at": now,
            }
        )
        sealed.extend(
            {"key": waiter.id, "letter": letter_id, "text": encode(item)}
            for waiter, item in members
        )
    await connection.execute(insert(letters), new_letters)
    await connection.execute(_SEAL, sealed)
    return len(new_letters)


_CANDIDATES: Final = 8


async def _take(
    connection: AsyncConnection, now: datetime, lease: timedelta
) -> AnyRow | None:
    """Claim the letter that is due for the longest time, if nobody else has it.

    Its tokens are locked before it, as everywhere.
    """
    due = (
        letters.c.state == "open",
        letters.c.due_at <= now,
        or_(letters.c.attempt_until.is_(None), letters.c.attempt_until <= now),
    )
    queue = (
        select(letters.c.id)
        .where(*due)
        .order_by(letters.c.due_at, letters.c.sealed_at)
        .limit(_CANDIDATES)
    )
    for letter_id in (await connection.scalars(queue)).all():
        rows = select(outbox.c.token_row).where(outbox.c.letter_id == letter_id)
        await lock_tokens(connection, await connection.scalars(rows))
        ours = (
            select(letters.c.id)
            .where(letters.c.id == letter_id, *due)
            .with_for_update(skip_locked=True)
        )
        if await connection.scalar(ours) is None:
            continue
        claim = (
            update(letters)
            .where(letters.c.id == letter_id)
            .values(attempt_until=now + lease, fence=letters.c.fence + 1)
            .returning(letters)
        )
        row: AnyRow = (await connection.execute(claim)).one()
        return row
    return None


async def _entries(connection: AsyncConnection, letter_id: str) -> Sequence[AnyRow]:
    found = await connection.execute(
        select_waiters()
        .where(outbox.c.letter_id == letter_id, outbox.c.state == "sealed")
        .order_by(outbox.c.planned_at, outbox.c.id)
    )
    rows: Sequence[AnyRow] = found.all()
    return rows


async def _load(
    connection: AsyncConnection, row: AnyRow, waiters: Sequence[Waiter]
) -> Sealed:
    return Sealed(
        row.id,
        row.message_id,
        row.fence,
        row.attempts,
        row.first_attempt_at,
        row.in_doubt,
        tuple(waiters),
        await _references(connection, row.recipient, waiters),
    )


def _with_waiters(sealed: Sealed, waiters: Sequence[Waiter]) -> Sealed:
    return Sealed(
        sealed.id,
        sealed.message_id,
        sealed.fence,
        sealed.attempts,
        sealed.first_attempt_at,
        sealed.in_doubt,
        tuple(waiters),
        sealed.references,
    )


_MOST_REFERENCES: Final = 10


async def _references(
    connection: AsyncConnection, recipient: str, waiters: Sequence[Waiter]
) -> tuple[str, ...]:
    """The letters that first told this reader of these incidents."""
    query = (
        select(outbox.c.incident_id, letters.c.message_id)
        .join(letters, letters.c.id == outbox.c.letter_id)
        .where(
            outbox.c.incident_id.in_({waiter.incident_id for waiter in waiters}),
            outbox.c.recipient == recipient,
            outbox.c.state == "sent",
        )
        .order_by(outbox.c.number)
    )
    firsts: dict[str, str] = {}
    for incident_id, message_id in await connection.execute(query):
        firsts.setdefault(incident_id, message_id)
    return tuple(dict.fromkeys(firsts.values()))[:_MOST_REFERENCES]
