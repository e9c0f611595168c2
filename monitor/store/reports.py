"""Reading for people: lists, one token, the state of the whole."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Float, Select, cast, delete, func, or_, select

from monitor.core.delivery import Waiting
from monitor.core.incident import Incident
from monitor.core.observation import Observation, Suspicion
from monitor.core.tokens import Code, Expected
from monitor.store.codec import decode_incident, decode_known, decode_labels
from monitor.store.dialect import insert_on
from monitor.store.tables import (
    apps,
    checks,
    health,
    incidents,
    introspections,
    letters,
    marks,
    outbox,
    tokens,
)
from monitor.store.transactions import AnyRow, Database

PULSE = "daemon"
_HOUR = timedelta(hours=1) / timedelta.resolution
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token as it stands, for reading."""

    row_id: int
    id: str
    expected: Expected
    labels: dict[str, str]
    name: str | None
    owner_email: str
    used_for: str | None
    observation: Observation
    severity: str
    codes: tuple[str, ...]
    last_checked_at: datetime | None
    next_check_at: datetime
    inconclusive_cause: str | None
    looks: int
    version: int
    silenced_until: datetime | None
    silenced_by: str | None
    silence_reason: str | None
    incident_id: str | None
    incident: Incident | None
    damaged: tuple[str, ...] = ()
    """The columns that cannot be read, and are shown as if they were empty."""


@dataclass(frozen=True, slots=True)
class TokenFilter:
    """Which tokens to list; `None` means all."""

    severity: str | None = None
    app: str | None = None
    owner: str | None = None
    code: str | None = None
    ids: Sequence[str] | None = None


_VIEW = (
    select(
        tokens,
        *(column for column in health.c if column.name not in {"token_row", "app_id"}),
        introspections.c.known,
        incidents.c.id.label("incident_id"),
        incidents.c.state.label("incident_state"),
    )
    .select_from(
        tokens.join(health, health.c.token_row == tokens.c.row_id)
        .outerjoin(introspections, introspections.c.token_row == tokens.c.row_id)
        .outerjoin(
            incidents,
            (incidents.c.token_row == tokens.c.row_id)
            & incidents.c.closed_at.is_(None),
        )
    )
    .order_by(tokens.c.id)
)


def _has_code(code: str) -> Any:  # noqa: ANN401 - a clause
    return ("," + health.c.codes + ",").contains(f",{code},", autoescape=True)


def _filtered(query: Select[Any], wanted: TokenFilter) -> Select[Any]:
    if wanted.severity is not None:
        query = query.where(health.c.severity == wanted.severity)
    if wanted.app is not None:
        query = query.where(tokens.c.app_id == wanted.app)
    if wanted.owner is not None:
        query = query.where(tokens.c.owner_email == wanted.owner)
    if wanted.code is not None:
        query = query.where(_has_code(wanted.code))
    if wanted.ids is not None:
        query = query.where(tokens.c.id.in_(list(wanted.ids)))
    return query


def _view(row: AnyRow) -> TokenView:
    """A token to be shown, whatever lies in its row."""
    damaged: list[str] = []

    def read(column: str, decode: Callable[[Any], _Value]) -> _Value | None:
        stored = getattr(row, column)
        try:
            return None if stored is None else decode(stored)
        except Exception:  # noqa: BLE001 - whatever lies there; its name is shown
            damaged.append(column)
            return None

    code = read("suspicion", Code)
    known, labels = read("known", decode_known), read("labels", decode_labels)
    incident = read("incident_state", decode_incident)
    return TokenView(
        row_id=row.row_id,
        id=row.id,
        expected=Expected(row.app_id, row.kind, row.user_id, row.profile_id),
        labels=labels or {},
        name=row.name,
        owner_email=row.owner_email,
        used_for=row.used_for,
        observation=Observation(
            known,
            row.verified_at,
            row.life_seen_at,
            None if code is None else Suspicion(code, row.suspected_at),
        ),
        severity=row.severity,
        codes=tuple(row.codes.split(",")) if row.codes else (),
        last_checked_at=row.last_checked_at,
        next_check_at=row.next_check_at,
        inconclusive_cause=row.inconclusive_cause,
        looks=row.looks,
        version=row.version,
        silenced_until=row.silenced_until,
        silenced_by=row.silenced_by,
        silence_reason=row.silence_reason,
        incident_id=row.incident_id,
        incident=incident,
        damaged=tuple(damaged),
    )


_LETTERS = select(
    outbox,
    letters.c.message_id,
    letters.c.attempts,
    letters.c.last_reply,
    letters.c.waits_for.label("letter_waits_for"),
    letters.c.due_at.label("letter_due_at"),
).select_from(outbox.outerjoin(letters, letters.c.id == outbox.c.letter_id))


class Reports:
    """Answers questions; writes the pulse, and forgets what is old enough."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tokens(self, wanted: TokenFilter) -> AsyncIterator[TokenView]:
        """The tokens that fit, in the order of their ids, as a stream."""
        async with self._database.read() as connection:
            result = await connection.stream(_filtered(_VIEW, wanted))
            async for row in result:
                yield _view(row)

    async def history(self, row_id: int, most: int = 20) -> list[dict[str, Any]]:
        """The latest different answers of a token, newest first."""
        query = (
            select(checks)
            .where(checks.c.token_row == row_id)
            .order_by(checks.c.at.desc(), checks.c.id.desc())
            .limit(most)
        )
        return await self._rows(query)

    async def entries(
        self,
        *,
        state: str | None = None,
        entry_id: str | None = None,
        token_row: int | None = None,
    ) -> list[dict[str, Any]]:
        """Outbox entries, oldest first; `entry_id` may also name a letter."""
        query = _LETTERS.order_by(outbox.c.planned_at, outbox.c.id)
        if state is not None:
            query = query.where(outbox.c.state == state)
        if entry_id is not None:
            query = query.where(
                or_(outbox.c.id == entry_id, outbox.c.letter_id == entry_id)
            )
        if token_row is not None:
            query = query.where(outbox.c.token_row == token_row)
        return await self._rows(query)

    async def silences(self, now: datetime) -> list[dict[str, Any]]:
        """The silences in force, the first to end first."""
        query = (
            select(
                tokens.c.id,
                tokens.c.silenced_until,
                tokens.c.silenced_by,
                tokens.c.silence_reason,
            )
            .where(tokens.c.silenced_until > now)
            .order_by(tokens.c.silenced_until, tokens.c.id)
        )
        return await self._rows(query)

    async def counts(self, now: datetime) -> dict[str, Any]:
        """How many tokens and entries are in which state."""
        async with self._database.read() as connection:
            severities = await connection.execute(
                select(health.c.severity, func.count()).group_by(health.c.severity)
            )
            codes = await connection.execute(
                select(health.c.codes, func.count())
                .where(health.c.codes != "")
                .group_by(health.c.codes)
            )
            states = await connection.execute(
                select(outbox.c.state, func.count()).group_by(outbox.c.state)
            )
            coverage = (
                await connection.execute(
                    select(
                        func.count(),
                        func.count(health.c.verified_at),
                        func.count().filter(health.c.severity == "unknown"),
                        func.count().filter(health.c.last_checked_at.is_(None)),
                        func.count().filter(health.c.suspicion.is_not(None)),
                        func.min(health.c.verified_at),
                        func.min(health.c.next_check_at),
                        func.count().filter(health.c.next_check_at < now),
                    )
                )
            ).one()
            held = await connection.scalar(
                select(func.count()).where(
                    outbox.c.state == "waiting", outbox.c.waits_for == Waiting.HOLD
                )
            )
            open_incidents = await connection.scalar(
                select(func.count()).where(incidents.c.closed_at.is_(None))
            )
            return {
                "severity": {row[0]: row[1] for row in severities},
                "codes": [(row[0], row[1]) for row in codes],
                "outbox": {row[0]: row[1] for row in states},
                "coverage": tuple(coverage),
                "incidents": open_incidents or 0,
                "held": held or 0,
            }

    async def overdue(self, before: datetime, resting: Sequence[str]) -> int:
        """How many tokens have been due since then; those of resting apps are not."""
        query = select(func.count()).where(
            health.c.next_check_at < before, health.c.app_id.not_in(list(resting))
        )
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def demand(self, unjudged: timedelta) -> dict[str, dict[str, Any]]:
        """By app: its tokens, the looks an hour they need, and the oldest look.

        A token that was never judged needs a look as often as `unjudged` says.
        """
        every = func.coalesce(health.c.interval, unjudged // timedelta.resolution)
        query = select(
            health.c.app_id,
            func.count().label("tokens"),
            func.sum(_HOUR / cast(every, Float)).label("needs"),
            func.min(health.c.last_checked_at).label("oldest_look_at"),
            func.count()
            .filter(health.c.last_checked_at.is_(None))
            .label("never_looked"),
        ).group_by(health.c.app_id)
        rows = await self._rows(query)
        return {row["app_id"]: row for row in rows}

    async def app_rows(self) -> list[dict[str, Any]]:
        """What is remembered of every app ever asked."""
        return await self._rows(select(apps).order_by(apps.c.id))

    async def open_matters(self) -> list[dict[str, Any]]:
        """The operator's open incidents that concern no token."""
        query = (
            select(incidents.c.subject, incidents.c.opened_at, incidents.c.state)
            .where(incidents.c.closed_at.is_(None), incidents.c.token_row.is_(None))
            .order_by(incidents.c.opened_at)
        )
        return await self._rows(query)

    async def beat(self, now: datetime, instance: str) -> None:
        """A daemon's pulse, for those who ask whether it lives."""
        name = f"{PULSE}:{instance}"
        values = {"at": now, "value": instance}
        async with self._database.write() as connection:
            note = insert_on(marks, connection).values(name=name, **values)
            await connection.execute(
                note.on_conflict_do_update(index_elements=["name"], set_=values)
            )

    async def pulses(self) -> list[tuple[datetime, str]]:
        """When each daemon last gave a sign of life, the latest first."""
        query = (
            select(marks.c.at, marks.c.value)
            .where(marks.c.name.startswith(f"{PULSE}:"))
            .order_by(marks.c.at.desc())
        )
        return [(row["at"], row["value"]) for row in await self._rows(query)]

    async def prune(
        self, checks_before: datetime, outbox_before: datetime, most: int = 1000
    ) -> int:
        """Forget old history, but never the newest answer of a token.

        What was told of a matter that is still open is kept: whoever was told shall
        hear of its end. What is old is found by reading, and deleted by its number
        in transactions of at most `most` rows, so that claims never wait.
        """
        gone = 0
        for table, query in (
            (checks, _old_checks(checks_before)),
            (outbox, _old_entries(outbox_before)),
            (letters, _old_letters(outbox_before)),
        ):
            while True:
                async with self._database.read() as connection:
                    ids = (await connection.scalars(query.limit(most))).all()
                if not ids:
                    break
                async with self._database.write() as connection:
                    await connection.execute(delete(table).where(table.c.id.in_(ids)))
                gone += len(ids)
        return gone

    async def forget_pulses(self, before: datetime) -> None:
        """Forget daemons that were last heard of before then."""
        old = marks.c.name.startswith(f"{PULSE}:") & (marks.c.at < before)
        async with self._database.write() as connection:
            await connection.execute(delete(marks).where(old))

    async def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        async with self._database.read() as connection:
            result = await connection.execute(query)
            return [dict(row._mapping) for row in result]  # noqa: SLF001 - public


def _old_checks(before: datetime) -> Select[Any]:
    newer = checks.alias("newer")
    return select(checks.c.id).where(
        checks.c.at < before,
        select(newer.c.id)
        .where(
            newer.c.token_row == checks.c.token_row,
            newer.c.at > checks.c.at,
            newer.c.at < before,
        )
        .exists(),
    )


def _old_entries(before: datetime) -> Select[Any]:
    return select(outbox.c.id).where(
        outbox.c.state.in_(["sent", "dropped"]),
        outbox.c.settled_at < before,
        ~select(incidents.c.id)
        .where(incidents.c.id == outbox.c.incident_id, incidents.c.closed_at.is_(None))
        .exists(),
    )


def _old_letters(before: datetime) -> Select[Any]:
    return select(letters.c.id).where(
        letters.c.settled_at < before,
        ~select(outbox.c.id).where(outbox.c.letter_id == letters.c.id).exists(),
    )
