"""Apps: whether each may be asked, and the operator's matters that concern one."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.incident import Incident, Reason, Step
from monitor.core.tokens import Code
from monitor.store.codec import encode
from monitor.store.damage import incident_in
from monitor.store.dialect import insert_on
from monitor.store.entries import Entry, add_entries, close_entries, reached
from monitor.store.group import new_id
from monitor.store.tables import apps, health, incidents
from monitor.store.transactions import Database, take_turns


@dataclass(frozen=True, slots=True)
class AppState:
    """How it stands with one app; replicas share it."""

    id: str
    proved_at: datetime | None = None
    """When Meta last vouched for our credentials."""
    rejected_at: datetime | None = None
    """Since when Meta refuses them."""
    silent_since: datetime | None = None
    """Since when asking brought nothing conclusive about any token."""
    paused_until: datetime | None = None
    pause_cause: str | None = None
    failures: int = 0
    """Failed calls in a row."""
    usage_percent: int | None = None
    usage_at: datetime | None = None
    """When the headers of Meta's replies said so."""
    api_version: str | None = None


@dataclass(frozen=True, slots=True)
class Kinship:
    """How many tokens of an app answer as its own, and how many as another's."""

    own: int
    foreign: int
    foreign_since: datetime | None


Advance: TypeAlias = Callable[[Incident | None], Step]
PlanMatter: TypeAlias = Callable[[Step, str, frozenset[str]], Sequence[Entry]]
"""Step, incident id, readers reached → entries."""


class Apps:
    """Remembers what concerns an app as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def states(self, ids: Collection[str]) -> dict[str, AppState]:
        """The state of these apps; an app never asked has an empty one."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(*(apps.c[each.name] for each in fields(AppState))).where(
                    apps.c.id.in_(list(ids))
                )
            )
            known = {row.id: AppState(*row) for row in rows}
        return {app_id: known.get(app_id) or AppState(app_id) for app_id in ids}

    async def note(self, app_id: str, **facts: Any) -> None:  # noqa: ANN401 - columns
        """Write these columns of an app, making its row if need be."""
        async with self._database.write() as connection:
            note = insert_on(apps, connection).values(id=app_id, **facts)
            await connection.execute(
                note.on_conflict_do_update(index_elements=["id"], set_=dict(facts))
            )

    async def kinship(self, app_id: str) -> Kinship:
        """What its tokens say of whose they are."""
        suspected = func.coalesce(health.c.suspicion, "") == Code.WRONG_APP
        foreign = suspected | health.c.codes.contains(Code.WRONG_APP)
        known = health.c.verified_at.is_not(None)
        query = select(
            func.count().filter(known & ~foreign),
            func.count().filter(foreign),
            func.min(health.c.suspected_at).filter(suspected),
        ).where(health.c.app_id == app_id, foreign | known)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one()
            return Kinship(int(row[0]), int(row[1]), row[2])

    async def call_witness(self, app_id: str, now: datetime, lease: timedelta) -> None:
        """Make due one token that was answered last time, if one is left.

        One token about which Meta tells nothing is no silence of Meta's.
        """
        answered = (
            select(health.c.token_row)
            .where(
                health.c.app_id == app_id,
                health.c.verified_at.is_not(None),
                health.c.inconclusive_cause.is_(None),
                health.c.next_check_at > now + lease,
            )
            .order_by(health.c.next_check_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        async with self._database.write() as connection:
            row = await connection.scalar(answered)
            if row is not None:
                ours = update(health).where(health.c.token_row == row)
                await connection.execute(ours.values(next_check_at=now))

    async def matter(
        self,
        subject: str,
        app_id: str | None,
        advance: Advance,
        plan: PlanMatter,
        now: datetime,
    ) -> Step:
        """Advance the operator's incident of this subject, in one transaction."""
        async with self._database.write() as connection:
            return await advance_matter(
                connection, (subject, app_id), advance, plan, now
            )

    async def open_matter(self, subject: str) -> bool:
        """Whether the subject has an open incident."""
        query = select(incidents.c.id).where(
            incidents.c.subject == subject, incidents.c.closed_at.is_(None)
        )
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def lasting_matter(self, subject: str) -> bool:
        """Whether the subject has an open incident that nothing good was seen of."""
        query = select(incidents.c.id, incidents.c.state).where(
            incidents.c.subject == subject, incidents.c.closed_at.is_(None)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        incident = None if row is None else incident_in(row)
        return incident is not None and incident.healing is None


async def advance_matter(
    connection: AsyncConnection,
    subject: tuple[str, str | None],
    advance: Advance,
    plan: PlanMatter,
    now: datetime,
) -> Step:
    """Advance an incident that is no token's, inside the caller's transaction."""
    name, app_id = subject
    await take_turns(connection, name)
    row = (
        await connection.execute(
            select(incidents.c.id, incidents.c.state)
            .where(incidents.c.subject == name, incidents.c.closed_at.is_(None))
            .with_for_update()
        )
    ).first()
    before = None if row is None else incident_in(row)
    if row is not None and before is None:
        # What was told of it cannot be read: it ends, and is told anew if it lasts.
        ended = update(incidents).where(incidents.c.id == row.id)
        await connection.execute(ended.values(closed_at=now))
        await close_entries(connection, [row.id], now)
        row = None
    step = advance(before)
    if step.incident is None or (step.incident == before and step.notice is None):
        return step
    incident_id = new_id() if row is None else row.id
    values = {"closed_at": step.incident.closed_at, "state": encode(step.incident)}
    if row is None:
        await connection.execute(
            insert(incidents).values(
                id=incident_id,
                subject=name,
                app_id=app_id,
                opened_at=step.incident.opened_at,
                **values,
            )
        )
    else:
        await connection.execute(
            update(incidents).where(incidents.c.id == incident_id).values(**values)
        )
    told: frozenset[str] = frozenset()
    if step.incident.closed_at is not None:
        told = await reached(connection, incident_id)
        await close_entries(connection, [incident_id], now)
    if step.notice is not None and (step.notice.reason is not Reason.RESOLVED or told):
        await add_entries(connection, plan(step, incident_id, told), now)
    return step
