"""What entries and letters wait for, and the looks that they owe."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Update, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop, Wait, Waiting
from monitor.core.schedule import Urgency
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, pack_ids
from monitor.store.entries import add_entries
from monitor.store.settlement import settle_notices
from monitor.store.tables import health, letters, outbox
from monitor.store.waiters import Heirs, Waiter, nobody

_WAIT_ON: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("key"))
    .values(
        state="waiting",
        letter_id=None,
        waits_for=bindparam("why"),
        due_at=bindparam("until"),
        asked_look_at=bindparam("asked"),
    )
)


_ASK_LOOK: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("key"))
    .values(asked_look_at=bindparam("asked"))
)


_DROP: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("key"))
    .values(state="dropped", dropped_for=bindparam("why"), settled_at=bindparam("when"))
)


def _owe(dialect: str) -> Update:
    rows = given(dialect, row=WHOLE)
    return (
        update(health)
        .where(
            health.c.token_row.in_(select(rows.c.row)),
            # Anything between may be claimed at this moment.
            or_(
                health.c.next_check_at > bindparam("until"),
                health.c.next_check_at <= bindparam("now"),
            ),
        )
        .values(next_check_at=bindparam("now"), urgency=bindparam("level"))
    )


_OWE: Final = ByDialect(_owe)


async def wait_on(
    connection: AsyncConnection,
    waiting: Sequence[tuple[Waiter, Wait]],
    now: datetime,
    lease: timedelta,
) -> tuple[int, ...]:
    """Note what entries wait for; make due the tokens that owe a look."""
    if not waiting:
        return ()
    values = [
        {
            "key": waiter.id,
            "why": wait.why,
            "until": wait.until,
            "asked": _asked_look_at(waiter, wait, now),
        }
        for waiter, wait in waiting
    ]
    await connection.execute(_WAIT_ON, values)
    return await _make_due(connection, waiting, now, lease)


def owe_looks(waiting: Sequence[tuple[Waiter, Wait]]) -> bool:
    """Whether any of them waits for a last look."""
    return any(wait.why is Waiting.LOOK for _, wait in waiting)


def _asked_look_at(waiter: Waiter, wait: Wait, now: datetime) -> datetime | None:
    """When the look was asked for that is still to be taken; `now`: another one."""
    asked, tried = waiter.asked_look_at, waiter.last_checked_at
    if wait.why is not Waiting.LOOK or waiter.token_row is None:
        return asked
    taken = asked is not None and tried is not None and tried >= asked
    return now if asked is None or taken else asked


async def hold(
    connection: AsyncConnection,
    letter_id: str,
    waiting: Sequence[tuple[Waiter, Wait]],
    now: datetime,
    lease: timedelta,
) -> None:
    """Let a letter wait as a whole, as it is, first of all for the looks it owes."""
    until = min(wait.until for _, wait in waiting)
    why = Waiting.LOOK if owe_looks(waiting) else waiting[0][1].why
    await connection.execute(
        update(letters)
        .where(letters.c.id == letter_id)
        .values(attempt_until=None, due_at=until, waits_for=why)
    )
    await connection.execute(
        _ASK_LOOK,
        [
            {"key": waiter.id, "asked": _asked_look_at(waiter, wait, now)}
            for waiter, wait in waiting
        ],
    )
    await _make_due(connection, waiting, now, lease)


async def _make_due(
    connection: AsyncConnection,
    waiting: Sequence[tuple[Waiter, Wait]],
    now: datetime,
    lease: timedelta,
) -> tuple[int, ...]:
    """Make due the tokens that owe a look; returns the rows letters wait for."""
    looks = [
        (waiter.token_row, wait.why is Waiting.LOOK)
        for waiter, wait in waiting
        if waiter.token_row is not None and (wait.look or wait.why is Waiting.LOOK)
    ]
    owed = dict.fromkeys(row for row, _ in looks)
    if owed:
        await connection.execute(
            _OWE.on(connection),
            {
                ROWS: pack_ids(owed),
                "now": now,
                "until": now + lease,
                "level": int(Urgency.LOOK_OWED),
            },
        )
    return tuple(dict.fromkeys(row for row, letter_waits in looks if letter_waits))


async def drop(
    connection: AsyncConnection,
    dropped: Sequence[tuple[Waiter, Drop]],
    now: datetime,
    heirs: Heirs = nobody,
) -> int:
    """Drop what is outlived, for the reason it names; returns how many.

    What somebody is not told who is no reader any more, those are told who are.
    """
    if dropped:
        await connection.execute(
            _DROP,
            [{"key": waiter.id, "why": why, "when": now} for waiter, why in dropped],
        )
        instead = [
            entry
            for waiter, why in dropped
            if why is Drop.NOT_RECIPIENT
            for entry in heirs(waiter)
        ]
        await add_entries(connection, instead, now)
        await _settle_unheard(connection, dropped, now)
    return len(dropped)


async def _settle_unheard(
    connection: AsyncConnection,
    dropped: Sequence[tuple[Waiter, Drop]],
    now: datetime,
) -> None:
    """Settle notices that nobody is left to hear, or no reminder would follow them."""
    unwanted = {Drop.NOT_RECIPIENT, Drop.MUTED}
    left = [waiter for waiter, why in dropped if why in unwanted]
    for start in range(0, len(left), _MOST_AT_ONCE):
        some = left[start : start + _MOST_AT_ONCE]
        alive = select(outbox.c.incident_id, outbox.c.number).where(
            outbox.c.incident_id.in_({waiter.incident_id for waiter in some}),
            outbox.c.state != "dropped",
        )
        heard = {(row[0], row[1]) for row in await connection.execute(alive)}
        unheard = [w for w in some if (w.incident_id, w.item.number) not in heard]
        rows = sorted({w.token_row for w in unheard if w.token_row is not None})
        if unheard:
            await settle_notices(connection, unheard, rows, now)


_MOST_AT_ONCE: Final = 1_000
"""Incidents in one statement: a reader who is none any more may have had them all."""
