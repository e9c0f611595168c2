"""Gauges: what a page of metrics counts, and whether the database can be written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, func, select

from monitor.store.dialect import insert_on
from monitor.store.reports import PULSE
from monitor.store.settlement import CHANNEL
from monitor.store.tables import (
    apps,
    calls,
    health,
    holds,
    incidents,
    letters,
    marks,
    outbox,
)
from monitor.store.transactions import Database

LATE: Final = timedelta(minutes=15)
"""A token due for longer than this, while its app may be asked, is overdue."""
_TOUCHED: Final = "touched"
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Alike:
    """Tokens that are alike: of one app, one severity and the same codes."""

    app_id: str
    severity: str
    codes: str
    """Joined by commas, as they lie in the database."""
    tokens: int
    checked: int
    never_checked: int
    suspected: int
    overdue: int
    due_at: datetime | None
    oldest_look_at: datetime | None


@dataclass(frozen=True, slots=True)
class AppRow:
    """How it stands with an app."""

    id: str
    rejected: bool = False
    resting: bool = False
    usage_percent: int | None = None
    spent: int = 0
    """Calls granted in the last hour, to all replicas."""
    held: bool = False
    """Whether a hold on its owner letters is open."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything counted, at one instant."""

    tokens: tuple[Alike, ...] = ()
    apps: tuple[AppRow, ...] = ()
    outbox: Mapping[str, int] = field(default_factory=dict)
    """Entries by state."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Entries that wait, by what for."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Entries that were dropped, by why."""
    due: int = 0
    """Entries and letters whose time has come."""
    due_since: datetime | None = None
    incidents: int = 0
    channel_paused: bool = False
    pulse_at: datetime | None = None


_OUTBOX: Final = select(outbox.c.state, func.count()).group_by(outbox.c.state)
_WAITING: Final = (
    select(outbox.c.waits_for, func.count())
    .where(outbox.c.state == "waiting")
    .group_by(outbox.c.waits_for)
)
_DROPPED: Final = (
    select(outbox.c.dropped_for, func.count())
    .where(outbox.c.state == "dropped")
    .group_by(outbox.c.dropped_for)
)
_INCIDENTS: Final = select(func.count()).where(incidents.c.closed_at.is_(None))
_PULSE: Final = select(func.max(marks.c.at)).where(marks.c.name.startswith(f"{PULSE}:"))
_PAUSE: Final = select(marks.c.until).where(marks.c.name == CHANNEL)
_HELD: Final = select(holds.c.app_id).where(holds.c.ended_at.is_(None))


def _tokens(now: datetime) -> Select[Any]:
    """One pass over all tokens, whatever is wanted of them."""
    alike = (health.c.app_id, health.c.severity, health.c.codes)
    return select(
        *alike,
        func.count(),
        func.count(health.c.verified_at),
        func.count().filter(health.c.last_checked_at.is_(None)),
        func.count(health.c.suspicion),
        func.count().filter(health.c.next_check_at < now - LATE),
        func.min(health.c.next_check_at),
        func.min(health.c.last_checked_at),
    ).group_by(*alike)


class Gauges:
    """Counts for metrics; nothing of it names a token or a person."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def touch(self, now: datetime) -> None:
        """Write something small: a disk that is full cannot be seen by reading.

        Raises:
            UnavailableError: The database cannot be written.
        """
        values = {"at": now}
        async with self._database.write() as connection:
            note = insert_on(marks, connection).values(name=_TOUCHED, **values)
            await connection.execute(
                note.on_conflict_do_update(index_elements=["name"], set_=values)
            )

    async def snapshot(self, now: datetime) -> Snapshot:
        """Count everything; a second or so for a million tokens.

        Raises:
            UnavailableError: The database cannot be read.
        """
        async with self._database.read() as connection:
            execute, scalar = connection.execute, connection.scalar
            tokens = tuple(Alike(*row) for row in await execute(_tokens(now)))
            held = set((await connection.scalars(_HELD)).all())
            since = now - _HOUR
            granted = await execute(
                select(calls.c.app_id, func.sum(calls.c.calls))
                .where(calls.c.slot > since)
                .group_by(calls.c.app_id)
            )
            spent = {row[0]: row[1] for row in granted}
            rows = {row.id: row for row in await execute(select(apps))}
            due = [
                (
                    await execute(
                        select(func.count(), func.min(table.c.due_at)).where(
                            table.c.state == state, table.c.due_at <= now
                        )
                    )
                ).one()
                for table, state in ((outbox, "waiting"), (letters, "open"))
            ]
            until = await scalar(_PAUSE)
            return Snapshot(
                tokens=tokens,
                apps=tuple(
                    AppRow(
                        app_id,
                        row is not None and row.rejected_at is not None,
                        row is not None
                        and row.paused_until is not None
                        and row.paused_until > now,
                        None if row is None else row.usage_percent,
                        int(spent.get(app_id, 0)),
                        app_id in held,
                    )
                    for app_id in sorted({*rows, *spent, *held})
                    for row in (rows.get(app_id),)
                ),
                outbox={row[0]: row[1] for row in await execute(_OUTBOX)},
                waiting={row[0]: row[1] for row in await execute(_WAITING) if row[0]},
                dropped={row[0]: row[1] for row in await execute(_DROPPED) if row[0]},
                due=sum(count for count, _ in due),
                due_since=min((at for _, at in due if at is not None), default=None),
                incidents=await scalar(_INCIDENTS) or 0,
                channel_paused=until is not None,
                pulse_at=await scalar(_PULSE),
            )
