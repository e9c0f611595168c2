"""Settlement: what an attempt did to a letter, its entries and their incidents."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.attempt import (
    CHANNEL_PAUSE,
    GIVE_UP_AFTER,
    Attempt,
    Outcome,
    retry_at,
)
from monitor.core.delivery import Role, Waiting
from monitor.core.incident import settled
from monitor.store.codec import encode
from monitor.store.damage import incident_in
from monitor.store.dialect import insert_on
from monitor.store.disputes import decide
from monitor.store.entries import Entry, add_entries
from monitor.store.locks import lock_tokens
from monitor.store.tables import health, incidents, letters, marks, outbox
from monitor.store.transactions import Database, take_turns
from monitor.store.unreachable import Source, accepted, mark
from monitor.store.waiters import Sealed, Waiter

CHANNEL = "channel"


async def settle(
    database: Database,
    sealed: Sealed,
    attempt: Attempt,
    now: datetime,
    *,
    jitter: float,
    instead: Sequence[Entry] = (),
) -> Outcome | None:
    """Write down what became of an attempt; `None` if another courier took over.

    Whoever was tried for four days is given up as refused.

    Args:
        database: Where.
        sealed: The letter as it was taken.
        attempt: What the server did.
        now: The present instant.
        jitter: From 0 to 1, for the next try of a deferred letter.
        instead: Who is told instead if the letter is given up.
    """
    outcome = attempt.outcome
    first = sealed.first_attempt_at or now
    late = now - first >= GIVE_UP_AFTER
    if late and outcome in {Outcome.DEFERRED, Outcome.UNKNOWN}:
        outcome = Outcome.REFUSED
    async with database.write() as connection:
        rows = await lock_tokens(connection, (w.token_row for w in sealed.waiters))
        if outcome is Outcome.DISPUTED:
            await take_turns(connection, CHANNEL)
            outcome = await decide(connection, sealed, now)
        values = _letter_after(sealed, attempt, outcome, now, jitter)
        changed = await connection.execute(
            update(letters)
            .where(letters.c.id == sealed.id, letters.c.fence == sealed.fence)
            .values(**values)
        )
        if changed.rowcount == 0:
            return None
        await _note_channel(connection, attempt, outcome, now)
        if outcome not in {Outcome.SENT, Outcome.REFUSED}:
            return outcome
        state = "sent" if outcome is Outcome.SENT else "refused"
        await connection.execute(
            update(outbox)
            .where(outbox.c.letter_id == sealed.id, outbox.c.state == "sealed")
            .values(state=state, settled_at=now)
        )
        await settle_notices(connection, sealed.waiters, rows, now)
        await _note_reader(connection, sealed, outcome, values["last_reply"], now)
        if outcome is Outcome.REFUSED:
            await add_entries(connection, instead, now)
    return outcome


def _letter_after(
    sealed: Sealed, attempt: Attempt, outcome: Outcome, now: datetime, jitter: float
) -> dict[str, Any]:
    reply = f"{attempt.phase}: {attempt.reply}" if attempt.reply else attempt.phase
    disputed = attempt.outcome is Outcome.DISPUTED
    mark = {"disputed_at": now} if disputed else {}
    if outcome is Outcome.CHANNEL:
        # No letter's fault: its clock does not run, it stays due. If it is disputed
        # whose fault it is, another letter tries the way next.
        return {
            "attempt_until": None,
            "waits_for": Waiting.CHANNEL,
            "last_reply": reply,
            **mark,
            **({"due_at": now + CHANNEL_PAUSE} if disputed else {}),
        }
    attempts = sealed.attempts + 1
    values: dict[str, Any] = {
        **mark,
        "attempts": attempts,
        "first_attempt_at": sealed.first_attempt_at or now,
        "attempt_until": None,
        "last_reply": reply,
        "waits_for": None,
    }
    if outcome in {Outcome.SENT, Outcome.REFUSED}:
        state = "sent" if outcome is Outcome.SENT else "refused"
        return {**values, "state": state, "settled_at": now}
    values["due_at"] = retry_at(attempts, now, jitter)
    values["waits_for"] = Waiting.RETRY
    if outcome is Outcome.UNKNOWN:
        values["in_doubt"] = True
    return values


async def settle_notices(
    connection: AsyncConnection,
    waiters: Iterable[Waiter],
    token_rows: Sequence[int],
    now: datetime,
) -> None:
    """Let the incidents know that these notices wait no more.

    Their tokens are locked by the caller.
    """
    numbers: dict[str, int] = {}
    for waiter in waiters:
        number = max(numbers.get(waiter.incident_id, 0), waiter.item.number)
        numbers[waiter.incident_id] = number
    rows = await connection.execute(
        select(incidents.c.id, incidents.c.state)
        .where(incidents.c.id.in_(list(numbers)))
        .order_by(incidents.c.id)
        .with_for_update()
    )
    values = [
        {
            "key": row.id,
            "text": encode(settled(incident, numbers[row.id], now)),
        }
        for row in rows
        # A letter that left is known to have left, whatever lies in an incident.
        if (incident := incident_in(row)) is not None
    ]
    if values:
        await connection.execute(
            update(incidents)
            .where(incidents.c.id == bindparam("key"))
            .values(state=bindparam("text")),
            values,
        )
    if token_rows:
        # Reminders count from here: let the next judgement plan them.
        await connection.execute(
            update(health)
            .where(health.c.token_row.in_(list(token_rows)))
            .values(judge_at=now)
        )


async def _note_reader(
    connection: AsyncConnection,
    sealed: Sealed,
    outcome: Outcome,
    reply: str,
    now: datetime,
) -> None:
    """Remember whether the reader can be reached.

    A refused letter to the operator opens nothing, or it would never end.
    """
    first = sealed.waiters[0]
    if first.role is Role.OPERATOR:
        return
    if outcome is Outcome.SENT:
        await accepted(connection, first.recipient)
    else:
        await mark(connection, first.recipient, reply, Source.REFUSED, now)


async def _note_channel(
    connection: AsyncConnection, attempt: Attempt, outcome: Outcome, now: datetime
) -> None:
    if outcome is Outcome.CHANNEL:
        reply = f"{attempt.phase}: {attempt.reply or 'no reply'}"
        values = {"until": now + CHANNEL_PAUSE, "value": reply}
        note = insert_on(marks, connection).values(name=CHANNEL, at=now, **values)
        # `at` says since when it fails: later failures leave it.
        since = case((marks.c.until.is_(None), note.excluded.at), else_=marks.c.at)
        await connection.execute(
            note.on_conflict_do_update(
                index_elements=["name"], set_={"at": since, **values}
            )
        )
    else:
        await connection.execute(
            update(marks)
            .where(marks.c.name == CHANNEL, marks.c.until.is_not(None))
            .values(until=None)
        )


async def put_back(database: Database, sealed: Sequence[Sealed]) -> None:
    """Let go of letters that were taken and not tried."""
    async with database.write() as connection:
        for letter in sealed:
            await connection.execute(
                update(letters)
                .where(letters.c.id == letter.id, letters.c.fence == letter.fence)
                .values(attempt_until=None)
            )


async def channel_pause(database: Database) -> tuple[datetime | None, str | None]:
    """Until when the way to the mail server rests, and what it last answered."""
    async with database.read() as connection:
        row = (
            await connection.execute(
                select(marks.c.until, marks.c.value).where(marks.c.name == CHANNEL)
            )
        ).first()
    return (None, None) if row is None else (row.until, row.value)
