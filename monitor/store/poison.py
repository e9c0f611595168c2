"""Poison: a row that cannot be read is set apart, so that the others go on.

Nothing is forgotten. A token waits an hour for its next look, an entry an hour for the
next pass, each saying that it is damaged; once the row can be read again, it goes on
by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Update, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Item, Passage, Waiting
from monitor.core.schedule import Urgency
from monitor.core.tokens import Cause
from monitor.store.damage import readable
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, pack_ids
from monitor.store.tables import health, outbox, tokens
from monitor.store.transactions import AnyRow, Database
from monitor.store.waiters import Review, Waiter, waiter_of

AGAIN_AFTER: Final = timedelta(hours=1)
_USELESS: Final = (Cause.SECRET, Cause.DAMAGED, Cause.INTERNAL)
_MOST_NAMED: Final = 10

_Gated = tuple[Waiter, Item, Passage]

log = structlog.stdlib.get_logger("monitor.store")


def reviewed(
    waiters: Iterable[Waiter], review: Review
) -> tuple[list[_Gated], list[Waiter]]:
    """Entries with what the gate says, and those it cannot judge."""
    gated: list[_Gated] = []
    failed: list[Waiter] = []
    for waiter in waiters:
        try:
            gated.append((waiter, *review(waiter)))
        except Exception:
            log.exception("entry.failed", entry=waiter.id)
            failed.append(waiter)
    return gated, failed


# --- entries of the outbox --------------------------------------------------------


async def read_waiters(
    connection: AsyncConnection, rows: Iterable[AnyRow], now: datetime
) -> list[Waiter]:
    """The entries in the rows; those that cannot be read are set apart."""
    waiters, damaged = readable(rows, waiter_of)
    await set_entries_apart(connection, [row.id for row in damaged], now)
    return waiters


async def review_all(
    connection: AsyncConnection,
    waiters: Sequence[Waiter],
    review: Review,
    now: datetime,
) -> list[_Gated]:
    """Put entries before the gate; those it cannot judge are set apart."""
    gated, failed = reviewed(waiters, review)
    await set_entries_apart(connection, [waiter.id for waiter in failed], now)
    return gated


async def set_entries_apart(
    connection: AsyncConnection, ids: Sequence[str], now: datetime
) -> None:
    """Let entries wait an hour, outside of any letter: the others of theirs go."""
    if ids:
        values = [{"key": each, "again": now + AGAIN_AFTER} for each in ids]
        await connection.execute(_ENTRY_APART, values)


_ENTRY_APART: Final = (
    update(outbox)
    .where(outbox.c.id == bindparam("key"))
    .values(
        state="waiting",
        letter_id=None,
        waits_for=Waiting.DAMAGED,
        due_at=bindparam("again"),
    )
)


# --- tokens -----------------------------------------------------------------------


def _tokens_apart(dialect: str) -> Update:
    rows = given(dialect, row=WHOLE)
    return (
        update(health)
        .where(health.c.token_row.in_(select(rows.c.row)))
        .values(
            severity="unknown",
            codes="",
            heard=None,
            inconclusive_cause=bindparam("why"),
            urgency=int(Urgency.ROUTINE),
            next_check_at=bindparam("again"),
            judge_at=bindparam("again"),
        )
    )


_TOKENS_APART: Final = ByDialect(_tokens_apart)


async def set_tokens_apart(
    connection: AsyncConnection,
    token_rows: Sequence[int],
    now: datetime,
    cause: Cause = Cause.DAMAGED,
) -> None:
    """Note of locked tokens that nothing can be said; they are tried in an hour."""
    if token_rows:
        rows = pack_ids(token_rows)
        values = {ROWS: rows, "again": now + AGAIN_AFTER, "why": cause}
        await connection.execute(_TOKENS_APART.on(connection), values)


# --- what the operator is told ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unusable:
    """How much of what is stored cannot be used now."""

    secrets: int = 0
    """Tokens whose secret no configured key opens."""
    damaged: int = 0
    """Tokens of which something else cannot be read."""
    failed: int = 0
    """Tokens we failed to judge ourselves."""
    entries: int = 0
    """Outbox entries that cannot be read or judged."""
    ids: tuple[str, ...] = ()
    """Some of the tokens."""

    @property
    def tokens(self) -> int:
        """How many tokens there are among them."""
        return self.secrets + self.damaged + self.failed


async def unusable(database: Database) -> Unusable:
    """What cannot be used now; an index holds what could not tell, so it is quick."""
    useless = health.c.inconclusive_cause.in_(_USELESS)
    counts = select(health.c.inconclusive_cause, func.count()).where(useless)
    named = (
        select(tokens.c.id)
        .join(health, health.c.token_row == tokens.c.row_id)
        .where(useless)
        .order_by(tokens.c.id)
        .limit(_MOST_NAMED)
    )
    apart = select(func.count()).where(
        outbox.c.state == "waiting", outbox.c.waits_for == Waiting.DAMAGED
    )
    async with database.read() as connection:
        rows = await connection.execute(counts.group_by(health.c.inconclusive_cause))
        by_cause: dict[Any, int] = {row[0]: row[1] for row in rows}
        ids = (await connection.scalars(named)).all() if by_cause else ()
        entries = await connection.scalar(apart)
    secrets, damaged, failed = (by_cause.get(cause, 0) for cause in _USELESS)
    return Unusable(secrets, damaged, failed, entries or 0, tuple(ids))
