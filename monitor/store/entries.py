"""Outbox entries as the recording transaction plans, outlives and closes them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Update, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop, Item, Role, Waiting, rank
from monitor.store.codec import encode, join_codes
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, insert_on, pack_ids
from monitor.store.tables import letters, outbox


@dataclass(frozen=True, slots=True)
class Entry:
    """One notice for one reader, before it is part of a letter."""

    incident_id: str
    recipient: str
    role: Role
    product: str
    app_id: str
    item: Item
    due_at: datetime
    """When `group_wait` is over."""
    looked_at: datetime | None = None
    """The look that planned it."""
    token_row: int | None = None
    name: str | None = None
    cc: str = ""
    locale: str | None = None
    timezone: str | None = None
    news_at: datetime | None = None
    """When its sudden news was first seen."""


def _end_waiting(dialect: str) -> Update:
    rows = given(dialect, row=WHOLE)
    return (
        update(outbox)
        .where(
            outbox.c.state == "waiting",
            outbox.c.waits_for.in_([Waiting.LOOK, Waiting.RECOVERING]),
            outbox.c.token_row.in_(select(rows.c.row)),
        )
        .values(due_at=bindparam("now"))
    )


_END_WAITING: Final = ByDialect(_end_waiting)


async def add_entries(
    connection: AsyncConnection, entries: Sequence[Entry], now: datetime
) -> None:
    """Plan notices; planning one twice is planning it once.

    Earlier entries of the same incident for the same reader that no letter in doubt
    holds are outlived; a letter in doubt that holds one is tried again by then. Who was
    no reader any more when he was to be told, and is one again, is told.
    """
    if not entries:
        return
    plan = insert_on(outbox, connection)
    anew = {name: plan.excluded[name] for name in _ANEW}
    blank = dict.fromkeys(["letter_id", "dropped_for", "settled_at", "asked_look_at"])
    await connection.execute(
        plan.on_conflict_do_update(
            index_elements=["incident_id", "number", "recipient"],
            set_={**anew, **blank},
            where=outbox.c.dropped_for == Drop.NOT_RECIPIENT,
        ),
        [
            {
                "id": secrets.token_hex(6),
                "incident_id": entry.incident_id,
                "number": entry.item.number,
                "recipient": entry.recipient,
                "role": entry.role,
                "product": entry.product,
                "subject": entry.item.subject,
                "app_id": entry.app_id,
                "token_row": entry.token_row,
                "name": entry.name,
                "cc": entry.cc,
                "locale": entry.locale,
                "timezone": entry.timezone,
                "reason": entry.item.reason,
                "codes": join_codes(tuple(f.code for f in entry.item.findings)),
                "item": encode(entry.item),
                "planned_at": now,
                "looked_at": entry.looked_at,
                "news_at": entry.news_at,
                "rank": rank(entry.item),
                "state": "waiting",
                "waits_for": Waiting.GROUP,
                "due_at": entry.due_at,
            }
            for entry in entries
        ],
    )
    outlive = (
        update(outbox)
        .where(
            outbox.c.incident_id == bindparam("incident"),
            outbox.c.recipient == bindparam("reader"),
            outbox.c.number < bindparam("newer"),
            outbox.c.state == "waiting",
        )
        .values(state="dropped", dropped_for=Drop.SUPERSEDED, settled_at=now)
    )
    newer = [
        {
            "incident": entry.incident_id,
            "reader": entry.recipient,
            "newer": entry.item.number,
            "due": entry.due_at,
        }
        # In one order, or two who plan would wait for each other's letters.
        for entry in sorted(entries, key=lambda entry: entry.recipient)
    ]
    await connection.execute(outlive, newer)
    await connection.execute(_HASTEN, newer)


_HASTEN: Final = (
    update(letters)
    .where(
        letters.c.state == "open",
        letters.c.in_doubt,
        letters.c.due_at > bindparam("due"),
        letters.c.id.in_(
            select(outbox.c.letter_id).where(
                outbox.c.incident_id == bindparam("incident"),
                outbox.c.recipient == bindparam("reader"),
                outbox.c.number < bindparam("newer"),
                outbox.c.state == "sealed",
            )
        ),
    )
    .values(due_at=bindparam("due"))
)
"""A letter in doubt goes again before the news, not after it. Nobody has it in hand,
for he would have its tokens locked, as we have."""
_ANEW: Final = (
    "role",
    "item",
    "codes",
    "planned_at",
    "looked_at",
    "news_at",
    "rank",
    "state",
    "waits_for",
    "due_at",
)


async def close_entries(
    connection: AsyncConnection, incident_ids: Sequence[str], now: datetime
) -> None:
    """Drop what was still to be said about matters that are over."""
    if not incident_ids:
        return
    await connection.execute(
        update(outbox)
        .where(
            outbox.c.incident_id.in_(list(incident_ids)), outbox.c.state == "waiting"
        )
        .values(state="dropped", dropped_for=Drop.CLOSED, settled_at=now)
    )


async def end_waiting(
    connection: AsyncConnection, token_rows: Sequence[int], now: datetime
) -> None:
    """Make due what waited for a look at these tokens: it was taken."""
    if not token_rows:
        return
    values = {ROWS: pack_ids(token_rows), "now": now}
    await connection.execute(_END_WAITING.on(connection), values)


async def reached(connection: AsyncConnection, incident_id: str) -> frozenset[str]:
    """The readers a letter about this incident has reached, or may have reached."""
    query = (
        select(outbox.c.recipient)
        .outerjoin(letters, letters.c.id == outbox.c.letter_id)
        .where(
            outbox.c.incident_id == incident_id,
            (outbox.c.state == "sent")
            | outbox.c.perhaps_told
            | (outbox.c.state.in_(["sealed", "refused"]) & letters.c.in_doubt)
            # In hand, or in the hands of a courier that is dead.
            | ((outbox.c.state == "sealed") & letters.c.attempt_until.is_not(None)),
        )
    )
    return frozenset((await connection.scalars(query)).all())
