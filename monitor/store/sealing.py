"""Sealing: which entries are due, and how those that may go become letters."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.cap import mailbox_of
from monitor.core.delivery import Item, Passage, Wait, Waiting
from monitor.store.codec import encode
from monitor.store.locks import lock_tokens
from monitor.store.pace import was_freed
from monitor.store.poison import read_waiters
from monitor.store.tables import letters, outbox
from monitor.store.waiters import Waiter, pooled, select_waiters

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


def soon_looked_at(waiter: Waiter, passage: Passage, now: datetime) -> bool:
    """Whether a reader's other news waits a moment for this one's last look."""
    if not isinstance(passage, Wait) or passage.why is not Waiting.LOOK:
        return False
    asked = waiter.asked_look_at
    return asked is None or now - asked < timedelta(minutes=2)


def due_now(now: datetime, *, hurried: bool) -> ColumnElement[bool]:
    """Which of the waiting entries the gate is asked about."""
    due = outbox.c.due_at <= now
    if hurried:
        due = or_(due, outbox.c.waits_for.in_([Waiting.GROUP, Waiting.LOOK]))
    return (outbox.c.state == "waiting") & due


async def due_readers(
    connection: AsyncConnection,
    due: ColumnElement[bool],
    after: tuple[int, str],
    most: int,
) -> tuple[list[str], tuple[int, str] | None]:
    """The next readers who have an entry due, worst first; and where they end."""
    worst, (rank, reader) = func.min(outbox.c.rank), after
    found = (
        await connection.execute(
            select(outbox.c.recipient, worst)
            .where(due)
            .group_by(outbox.c.recipient)
            .having(or_(worst > rank, (worst == rank) & (outbox.c.recipient > reader)))
            .order_by(worst, outbox.c.recipient)
            .limit(most)
        )
    ).all()
    if not found:
        return [], None
    return [row[0] for row in found], (found[-1][1], found[-1][0])


async def due_entries(
    connection: AsyncConnection,
    now: datetime,
    due: ColumnElement[bool],
    readers: Sequence[str],
    roomy: Sequence[str],
    among: ColumnElement[bool],
) -> list[Waiter]:
    """What is due of these readers, and what goes along with it.

    What waits only for its group leaves with the group; what waits for the next letter
    leaves with it, if the reader has room for one.
    """
    if not readers:
        return []
    capped = (outbox.c.waits_for == Waiting.CAP) & outbox.c.recipient.in_(roomy)
    theirs = (
        outbox.c.state == "waiting",
        or_(due, outbox.c.waits_for == Waiting.GROUP, capped),
        outbox.c.recipient.in_(readers),
        among,
    )
    rows_of = await connection.scalars(select(outbox.c.token_row).where(*theirs))
    await lock_tokens(connection, rows_of)
    rows = await connection.execute(
        select_waiters().where(*theirs).order_by(outbox.c.planned_at, outbox.c.id)
    )
    return pooled(await read_waiters(connection, rows, now))


_MOST_ENTRIES: Final = 5_000
"""More make another letter: nobody reads so many, and no statement takes them all."""


async def seal_letters(
    connection: AsyncConnection,
    ready: Mapping[tuple[str, str, str, str], Sequence[tuple[Waiter, Item]]],
    now: datetime,
    domain: str,
) -> int:
    """Seal what may go: one letter a reader, product and copy; returns how many."""
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
                "mailbox": mailbox_of(recipient),
                "role": role,
                "product": product,
                "sealed_at": now,
                "state": "open",
                "due_at": now,
                "freed": was_freed(waiter for waiter, _ in members),
            }
        )
        sealed.extend(
            {"key": waiter.id, "letter": letter_id, "text": encode(item)}
            for waiter, item in members
        )
    await connection.execute(insert(letters), new_letters)
    await connection.execute(_SEAL, sealed)
    return len(new_letters)
