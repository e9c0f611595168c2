"""Digest: what the operator's report says, and that it is written once a period."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop
from monitor.core.incident import MOST_REMINDERS, Incident, Reason
from monitor.core.report import (
    MOST_LINES,
    Appointment,
    Digest,
    Line,
    Listed,
    is_due,
)
from monitor.core.tokens import Code
from monitor.core.verdict import Severity
from monitor.core.vitals import LATE_AFTER, Ailment
from monitor.store.codec import encode
from monitor.store.damage import incident_in
from monitor.store.dialect import insert_on
from monitor.store.entries import Entry, add_entries
from monitor.store.group import new_id
from monitor.store.reports import Reports
from monitor.store.tables import health, incidents, marks, outbox, tokens
from monitor.store.transactions import Database, take_turns

_MARK = "report"


class Digests:
    """Reads what a report tells, and plans it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last(self) -> Appointment | None:
        """The appointment whose report was written last; `None`: none ever was."""
        async with self._database.read() as connection:
            return await _last(connection)

    async def begin(self, appointment: Appointment) -> None:
        """Count reports from here: the first one is that of the next appointment."""
        async with self._database.write() as connection:
            note = insert_on(marks, connection).values(
                name=_MARK, at=appointment.at, value=appointment.period
            )
            await connection.execute(
                note.on_conflict_do_nothing(index_elements=["name"])
            )

    async def plan(
        self,
        appointment: Appointment,
        entries: Callable[[str], Sequence[Entry]],
        now: datetime,
    ) -> bool:
        """Plan the report of an appointment unless somebody has; one transaction.

        A report that still waits to leave is outlived by it.

        Args:
            appointment: What it is for.
            entries: The entries, given the id of what they belong to.
            now: The present instant.
        """
        async with self._database.write() as connection:
            await take_turns(connection, _MARK)
            last = await _last(connection)
            if last is None or not is_due(appointment, last.at, last.period, now):
                return False
            await connection.execute(
                update(marks)
                .where(marks.c.name == _MARK)
                .values(at=appointment.at, value=appointment.period)
            )
            await connection.execute(
                update(outbox)
                .where(outbox.c.state == "waiting", outbox.c.reason == Reason.REPORT)
                .values(state="dropped", dropped_for=Drop.SUPERSEDED, settled_at=now)
            )
            incident_id = new_id()
            closed = Incident(opened_at=now, notices=1, closed_at=now)
            await connection.execute(
                insert(incidents).values(
                    id=incident_id,
                    subject=f"report:{appointment.period}",
                    opened_at=now,
                    closed_at=now,
                    state=encode(closed),
                )
            )
            await add_entries(connection, entries(incident_id), now)
        return True

    async def read(
        self, now: datetime, since: datetime, ailing: Sequence[Ailment]
    ) -> Digest:
        """How it stands now.

        Args:
            now: The present instant.
            since: Letters refused before it were told of in an earlier report.
            ailing: What does not do its work.
        """
        reports = Reports(self._database)
        counts = await reports.counts(now)
        total, checked, unknown, never, _, oldest, *_ = counts["coverage"]
        overdue = await reports.overdue(now - LATE_AFTER, [])
        silences = await reports.silences(now)
        matters = await reports.open_matters()
        # A connection of our own only now: who holds one and waits for another may
        # wait for ever.
        async with self._database.read() as connection:
            return Digest(
                total=total,
                checked=checked,
                unknown=unknown,
                never=never,
                overdue=overdue,
                warning=counts["severity"].get(Severity.WARNING, 0),
                critical=counts["severity"].get(Severity.CRITICAL, 0),
                oldest_verified_at=oldest,
                ailing=_listed(
                    [Line(each.organ, each.what, each.since) for each in ailing]
                ),
                told_in_vain=await _told_in_vain(connection),
                silences=_listed(
                    [
                        Line(row["id"], row["silence_reason"], row["silenced_until"])
                        for row in silences
                    ]
                ),
                excess=await _with_code(connection, Code.SCOPES_EXCESS),
                short_lived=await _with_code(connection, Code.SHORT_LIVED),
                waiting=await _waiting(connection),
                refused=await _refused(connection, since),
                matters=_listed(
                    [Line(row["subject"], "", row["opened_at"]) for row in matters]
                ),
            )


async def _last(connection: AsyncConnection) -> Appointment | None:
    query = select(marks.c.at, marks.c.value).where(marks.c.name == _MARK)
    row = (await connection.execute(query)).first()
    return None if row is None else Appointment(row.at, row.value)


def _listed(lines: Sequence[Line]) -> Listed:
    return Listed(len(lines), tuple(lines[:MOST_LINES]))


async def _counted(
    connection: AsyncConnection, query: Select[Any], line: Callable[[Any], Line]
) -> Listed:
    """The first lines of a query, and how many rows it has."""
    total = await connection.scalar(select(func.count()).select_from(query.subquery()))
    rows = (await connection.execute(query.limit(MOST_LINES))).all()
    return Listed(int(total or 0), tuple(line(row) for row in rows))


async def _with_code(connection: AsyncConnection, code: Code) -> Listed:
    query = (
        select(tokens.c.id, tokens.c.name)
        .join(health, health.c.token_row == tokens.c.row_id)
        .where(health.c.codes != "", health.c.codes.contains(code))
        .order_by(tokens.c.id)
    )
    return await _counted(
        connection, query, lambda row: Line(row.id, row.name or "", None)
    )


async def _told_in_vain(connection: AsyncConnection) -> Listed:
    """Critical tokens whose last reminder has left."""
    query = (
        select(tokens.c.id, tokens.c.name, health.c.codes, incidents.c.state)
        .join(health, health.c.token_row == tokens.c.row_id)
        .join(incidents, incidents.c.token_row == tokens.c.row_id)
        .where(health.c.severity == Severity.CRITICAL, incidents.c.closed_at.is_(None))
        .order_by(incidents.c.opened_at, tokens.c.id)
    )
    total, lines = 0, list[Line]()
    async for row in await connection.stream(query):
        incident = incident_in(row)
        if incident is None:
            continue  # told of as a row that is damaged
        if incident.reminders < MOST_REMINDERS or incident.settled_at is None:
            continue
        total += 1
        if len(lines) < MOST_LINES:
            detail = ", ".join(filter(None, [row.name, *row.codes.split(",")]))
            lines.append(Line(row.id, detail, incident.opened_at))
    return Listed(total, tuple(lines))


async def _waiting(connection: AsyncConnection) -> Listed:
    query = (
        select(outbox.c.waits_for, func.count().label("many"))
        .where(outbox.c.state == "waiting", outbox.c.reason != Reason.REPORT)
        .group_by(outbox.c.waits_for)
        .order_by(outbox.c.waits_for)
    )
    rows = (await connection.execute(query)).all()
    lines = tuple(Line(row.waits_for or "", str(row.many)) for row in rows)
    return Listed(len(lines), lines)


async def _refused(connection: AsyncConnection, since: datetime) -> Listed:
    query = (
        select(outbox.c.id, outbox.c.subject, outbox.c.settled_at)
        .where(outbox.c.state == "refused", outbox.c.settled_at > since)
        .order_by(outbox.c.settled_at, outbox.c.id)
    )
    return await _counted(
        connection, query, lambda row: Line(row.id, row.subject, row.settled_at)
    )
