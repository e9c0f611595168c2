"""Signs: what the database knows of how the monitor itself does, in cheap queries."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Float, cast, func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.vitals import PostSigns
from monitor.store.instants import UtcDateTime, microseconds
from monitor.store.settlement import CHANNEL
from monitor.store.tables import health, incidents, letters, marks, outbox, tokens
from monitor.store.transactions import Database

_HOUR = timedelta(hours=1) / timedelta.resolution


@dataclass(frozen=True, slots=True)
class Coverage:
    """How the tokens of one app are looked after."""

    tokens: int
    needs: float
    """Looks an hour that its policies ask for."""
    late: int
    """Tokens without a look for longer than their rule says."""
    late_since: datetime | None
    """When the first of them should have been looked at."""


class Vitals:
    """Reads the signs of life."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def coverage(
        self, now: datetime, unjudged: timedelta
    ) -> Mapping[str, Coverage]:
        """The ledger of looks, by app; reads all of `health` once.

        Due times do not tell it: a claim that is never recorded moves them for ever.

        Args:
            now: The present instant.
            unjudged: How long a token that was never judged may wait for its look.
        """
        every = func.coalesce(health.c.interval, unjudged // timedelta.resolution)
        made = select(tokens.c.created_at).where(tokens.c.row_id == health.c.token_row)
        last = func.coalesce(health.c.last_checked_at, made.scalar_subquery())
        due = type_coerce(last, BigInteger) + every
        late = due < microseconds(now)
        query = select(
            health.c.app_id,
            func.count(),
            func.sum(_HOUR / cast(every, Float)),
            func.count().filter(late),
            func.min(type_coerce(due, UtcDateTime)).filter(late),
        ).group_by(health.c.app_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return {row[0]: Coverage(row[1], float(row[2]), row[3], row[4]) for row in rows}

    async def post(self, now: datetime, operators: Collection[str]) -> PostSigns:
        """How it stands with letters; what is expensive is asked in trouble only."""
        async with self._database.read() as connection:
            shut = (
                await connection.execute(
                    select(marks.c.at, marks.c.value).where(
                        marks.c.name == CHANNEL, marks.c.until.is_not(None)
                    )
                )
            ).first()
            owed_since = await _owed_since(connection, now)
            sent_at = None
            if owed_since is not None:
                sent_at = await connection.scalar(
                    select(func.max(letters.c.settled_at)).where(
                        letters.c.state == "sent"
                    )
                )
            return PostSigns(
                shut_since=None if shut is None else shut.at,
                reply="" if shut is None else shut.value or "",
                owed_since=owed_since,
                sent_at=sent_at,
                deferred_since=await _deferred_since(connection),
                refused_since=await _refused_since(connection, operators),
            )

    async def open_matters(self, subjects: Collection[str]) -> frozenset[str]:
        """Which of these subjects have an open incident."""
        query = select(incidents.c.subject).where(
            incidents.c.subject.in_(list(subjects)), incidents.c.closed_at.is_(None)
        )
        async with self._database.read() as connection:
            return frozenset((await connection.scalars(query)).all())


async def _owed_since(connection: AsyncConnection, now: datetime) -> datetime | None:
    """When the oldest entry or letter fell due that no courier has taken since.

    Whoever waits for a reason has a due time that lies ahead.
    """
    firsts = [
        await connection.scalar(
            select(func.min(outbox.c.due_at)).where(
                outbox.c.state == "waiting", outbox.c.due_at <= now
            )
        ),
        await connection.scalar(
            select(func.min(letters.c.due_at)).where(
                letters.c.state == "open", letters.c.due_at <= now
            )
        ),
    ]
    return min((first for first in firsts if first is not None), default=None)


async def _deferred_since(connection: AsyncConnection) -> datetime | None:
    """Since when several readers are put off; one alone may be his server's affair."""
    query = select(
        func.count(letters.c.recipient.distinct()), func.min(letters.c.first_attempt_at)
    ).where(letters.c.state == "open", letters.c.attempts > 0)
    readers, since = (await connection.execute(query)).one()
    if readers <= 1 or since is None:
        return None
    accepted = select(letters.c.id).where(
        letters.c.state == "sent", letters.c.settled_at >= since
    )
    if (await connection.execute(accepted.limit(1))).first() is not None:
        return None
    at: datetime = since
    return at


async def _refused_since(
    connection: AsyncConnection, operators: Collection[str]
) -> datetime | None:
    """Since when an operator's letters are refused, none having reached him later."""
    query = (
        select(outbox.c.recipient, func.max(outbox.c.settled_at))
        .where(
            outbox.c.state == "refused",
            outbox.c.role == "operator",
            outbox.c.recipient.in_(list(operators)),
        )
        .group_by(outbox.c.recipient)
    )
    found: list[datetime] = []
    for recipient, at in (await connection.execute(query)).all():
        later = select(outbox.c.id).where(
            outbox.c.state == "sent",
            outbox.c.recipient == recipient,
            outbox.c.settled_at > at,
        )
        if (await connection.execute(later.limit(1))).first() is None:
            found.append(at)
    return min(found, default=None)
