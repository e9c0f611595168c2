"""Taking: a courier claims the next letter and reads what is in it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.locks import lock_tokens
from monitor.store.tables import letters, outbox
from monitor.store.transactions import AnyRow
from monitor.store.waiters import (
    Sealed,
    Waiter,
    select_waiters,
)

_CANDIDATES: Final = 8


async def claim_letter(
    connection: AsyncConnection, now: datetime, lease: timedelta, only: str | None
) -> AnyRow | None:
    """Claim the letter that is due for the longest time, if nobody else has it.

    Its tokens are locked before it, as everywhere.
    """
    due: tuple[ColumnElement[bool], ...] = (
        letters.c.state == "open",
        letters.c.due_at <= now,
        or_(letters.c.attempt_until.is_(None), letters.c.attempt_until <= now),
    )
    if only is not None:
        within = select(outbox.c.id).where(outbox.c.letter_id == letters.c.id)
        due += (~within.where(outbox.c.subject != only).exists(),)
    queue = (
        select(letters.c.id)
        .where(*due)
        .order_by(letters.c.due_at, letters.c.sealed_at)
        .limit(_CANDIDATES)
    )
    for letter_id in (await connection.scalars(queue)).all():
        # What is locked in vain is let go, or it would be locked out of order.
        turn = await connection.begin_nested()
        row = await _claim_one(connection, letter_id, due, now, lease)
        if row is not None:
            await turn.commit()
            return row
        await turn.rollback()
    return None


async def _claim_one(
    connection: AsyncConnection,
    letter_id: str,
    due: tuple[ColumnElement[bool], ...],
    now: datetime,
    lease: timedelta,
) -> AnyRow | None:
    rows = select(outbox.c.token_row).where(outbox.c.letter_id == letter_id)
    await lock_tokens(connection, await connection.scalars(rows))
    ours = (
        select(letters.c.attempt_until, letters.c.first_attempt_at)
        .where(letters.c.id == letter_id, *due)
        .with_for_update(skip_locked=True)
    )
    found = (await connection.execute(ours)).first()
    if found is None:
        return None
    values: dict[str, Any] = {
        "attempt_until": now + lease,
        "fence": letters.c.fence + 1,
    }
    if found.attempt_until is not None:
        await _note_lapse(connection, letter_id)
        values["attempts"] = letters.c.attempts + 1
        values["first_attempt_at"] = found.first_attempt_at or now
    claim = update(letters).where(letters.c.id == letter_id).values(**values)
    row: AnyRow = (await connection.execute(claim.returning(letters))).one()
    return row


async def _note_lapse(connection: AsyncConnection, letter_id: str) -> None:
    """Nobody settled this letter within its lease: perhaps it was sent (ADR 0020)."""
    await connection.execute(
        update(outbox)
        .where(outbox.c.letter_id == letter_id, outbox.c.state == "sealed")
        .values(perhaps_told=True)
    )


async def entries_of(connection: AsyncConnection, letter_id: str) -> Sequence[AnyRow]:
    """The rows of what is sealed in a letter."""
    found = await connection.execute(
        select_waiters()
        .where(outbox.c.letter_id == letter_id, outbox.c.state == "sealed")
        .order_by(outbox.c.planned_at, outbox.c.id)
    )
    rows: Sequence[AnyRow] = found.all()
    return rows


async def overtaken(connection: AsyncConnection, letter_id: str) -> frozenset[str]:
    """What a letter holds of which its reader was sent a later notice."""
    later = outbox.alias("later")
    found = await connection.scalars(
        select(outbox.c.id)
        .join(
            later,
            (later.c.incident_id == outbox.c.incident_id)
            & (later.c.recipient == outbox.c.recipient)
            & (later.c.number > outbox.c.number),
        )
        .where(
            outbox.c.letter_id == letter_id,
            outbox.c.state == "sealed",
            later.c.state == "sent",
        )
    )
    return frozenset(found)


async def load_letter(
    connection: AsyncConnection, row: AnyRow, waiters: Sequence[Waiter]
) -> Sealed:
    """The letter of a row, holding these."""
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


def with_waiters(sealed: Sealed, waiters: Sequence[Waiter]) -> Sealed:
    """The same letter, holding these alone."""
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
