"""Holds as the operator sees them: what is held, released or discarded, and by whom."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop, Role, Waiting
from monitor.store.apps import advance_matter
from monitor.store.brake import Storm, end_hold, free, lock_held
from monitor.store.tables import apps, audit, holds, outbox
from monitor.store.transactions import Database, take_turns

_HELD: Final = (
    outbox.c.state == "waiting",
    outbox.c.waits_for == Waiting.HOLD,
    outbox.c.role != Role.OPERATOR,
)


@dataclass(frozen=True, slots=True)
class Freed:
    """What became of a hold by the operator's hand."""

    id: str
    entries: int
    """Outbox entries that go, or were dropped."""
    readers: int


class Holds:
    """Reads and ends holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> list[dict[str, Any]]:
        """The open holds, the oldest first, each with what it holds now."""
        waiting = (
            select(
                outbox.c.app_id,
                func.count().label("entries"),
                func.count(outbox.c.recipient.distinct()).label("readers"),
            )
            .where(*_HELD)
            .group_by(outbox.c.app_id)
            .subquery()
        )
        query = (
            select(
                holds,
                func.coalesce(waiting.c.entries, 0).label("entries"),
                func.coalesce(waiting.c.readers, 0).label("readers"),
            )
            .select_from(holds.outerjoin(waiting, waiting.c.app_id == holds.c.app_id))
            .where(holds.c.ended_at.is_(None))
            .order_by(holds.c.opened_at, holds.c.id)
        )
        return await self._rows(query)

    async def past(self, most: int = 20) -> list[dict[str, Any]]:
        """The holds that ended, the latest first."""
        query = (
            select(holds)
            .where(holds.c.ended_at.is_not(None))
            .order_by(holds.c.ended_at.desc())
            .limit(most)
        )
        return await self._rows(query)

    async def release(
        self, app_id: str, storm: Storm, author: str, reason: str | None, now: datetime
    ) -> Freed | None:
        """Let an app's held letters go, each after its last look; `None`: no hold.

        What the next sweep finds is the same storm, and is not held either.
        """
        async with self._database.write() as connection:
            hold = await _open_hold(connection, app_id)
            if hold is None:
                return None
            await lock_held(connection, [app_id])
            freed = await _count(connection, hold, app_id, and_(*_HELD))
            end = ("released", author, reason)
            await end_hold(connection, hold, app_id, end, now)
            await free(connection, app_id, now + storm.sweep, now)
            await _close(connection, storm, hold, app_id, now)
            await _note(connection, "release", app_id, author, reason, now)
        return freed

    async def discard(
        self, app_id: str, storm: Storm, author: str, reason: str | None, now: datetime
    ) -> Freed | None:
        """Drop an app's held letters; `None`: no hold.

        What is only suspected yet is judged as ever, and may open another hold.
        """
        async with self._database.write() as connection:
            hold = await _open_hold(connection, app_id)
            if hold is None:
                return None
            await lock_held(connection, [app_id])
            theirs = await _sudden(connection, app_id)
            freed = await _count(connection, hold, app_id, theirs)
            await connection.execute(
                update(outbox)
                .where(outbox.c.app_id == app_id, theirs)
                .values(state="dropped", dropped_for=Drop.DISCARDED, settled_at=now)
            )
            end = ("discarded", author, reason)
            await end_hold(connection, hold, app_id, end, now)
            await free(connection, app_id, None, now)
            await _close(connection, storm, hold, app_id, now)
            await _note(connection, "discard", app_id, author, reason, now)
        return freed

    async def _rows(self, query: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a select
        async with self._database.read() as connection:
            result = await connection.execute(query)
            return [dict(row) for row in result.mappings()]


async def _open_hold(connection: AsyncConnection, app_id: str) -> str | None:
    """The id of the open hold, which no pass of the gate ends meanwhile."""
    await take_turns(connection, "seal")
    found: str | None = await connection.scalar(
        select(holds.c.id).where(holds.c.app_id == app_id, holds.c.ended_at.is_(None))
    )
    return found


async def _sudden(connection: AsyncConnection, app_id: str) -> ColumnElement[bool]:
    """What is held, and what of the same storm would be at its next turn."""
    let_go_at = await connection.scalar(
        select(apps.c.let_go_at).where(apps.c.id == app_id)
    )
    news = outbox.c.news_at.is_not(None)
    if let_go_at is not None:
        news = outbox.c.news_at > let_go_at
    silenced = func.coalesce(outbox.c.waits_for, "") == Waiting.SILENCE
    return and_(
        outbox.c.state == "waiting",
        outbox.c.role != Role.OPERATOR,
        or_(outbox.c.waits_for == Waiting.HOLD, news & ~silenced),
    )


async def _count(
    connection: AsyncConnection,
    hold: str,
    app_id: str,
    which: ColumnElement[bool],
) -> Freed:
    row = (
        await connection.execute(
            select(func.count(), func.count(outbox.c.recipient.distinct())).where(
                outbox.c.app_id == app_id, which
            )
        )
    ).one()
    return Freed(hold, int(row[0]), int(row[1]))


async def _close(
    connection: AsyncConnection, storm: Storm, hold: str, app_id: str, now: datetime
) -> None:
    subject = f"hold:{hold}"
    advance, plan = storm.tell(subject, app_id, (), {})
    await advance_matter(connection, (subject, app_id), advance, plan, now)


async def _note(
    connection: AsyncConnection,
    action: str,
    app_id: str,
    author: str,
    reason: str | None,
    now: datetime,
) -> None:
    await connection.execute(
        insert(audit).values(
            at=now,
            author=author,
            action=action,
            subject=f"app:{app_id}",
            reason=reason,
        )
    )
