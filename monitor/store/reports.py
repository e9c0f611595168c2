"""Reading for people: lists, one token, the state of the whole."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.dialects import sqlite

from monitor.core.incident import Incident
from monitor.core.observation import Observation, Suspicion
from monitor.core.tokens import Code, Expected
from monitor.store.codec import decode_incident, decode_known, decode_labels
from monitor.store.tables import (
    apps,
    checks,
    incidents,
    letters,
    marks,
    outbox,
    tokens,
)
from monitor.store.transactions import AnyRow, Database

PULSE = "daemon"


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
        incidents.c.id.label("incident_id"),
        incidents.c.state.label("incident_state"),
    )
    .select_from(
        tokens.outerjoin(
            incidents,
            (incidents.c.token_row == tokens.c.row_id)
            & incidents.c.closed_at.is_(None),
        )
    )
    .order_by(tokens.c.id)
)


def _has_code(code: str) -> Any:  # noqa: ANN401 - a clause
    return ("," + tokens.c.codes + ",").contains(f",{code},", autoescape=True)


def _filtered(query: Select[Any], wanted: TokenFilter) -> Select[Any]:
    if wanted.severity is not None:
        query = query.where(tokens.c.severity == wanted.severity)
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
    suspicion = None
    if row.suspicion is not None:
        suspicion = Suspicion(Code(row.suspicion), row.suspected_at)
    state = row.incident_state
    return TokenView(
        row_id=row.row_id,
        id=row.id,
        expected=Expected(row.app_id, row.kind, row.user_id, row.profile_id),
        labels=decode_labels(row.labels),
        name=row.name,
        owner_email=row.owner_email,
        used_for=row.used_for,
        observation=Observation(
            decode_known(row.known), row.verified_at, row.life_seen_at, suspicion
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
        incident=None if state is None else decode_incident(state),
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
                select(tokens.c.severity, func.count()).group_by(tokens.c.severity)
            )
            codes = await connection.execute(
                select(tokens.c.codes, func.count())
                .where(tokens.c.codes != "")
                .group_by(tokens.c.codes)
            )
            states = await connection.execute(
                select(outbox.c.state, func.count()).group_by(outbox.c.state)
            )
            coverage = (
                await connection.execute(
                    select(
                        func.count(),
                        func.count(tokens.c.verified_at),
                        func.count().filter(tokens.c.severity == "unknown"),
                        func.count().filter(tokens.c.last_checked_at.is_(None)),
                        func.count().filter(tokens.c.suspicion.is_not(None)),
                        func.min(tokens.c.verified_at),
                        func.min(tokens.c.next_check_at),
                        func.count().filter(tokens.c.next_check_at < now),
                    )
                )
            ).one()
            open_incidents = await connection.scalar(
                select(func.count()).where(incidents.c.closed_at.is_(None))
            )
            return {
                "severity": {row[0]: row[1] for row in severities},
                "codes": [(row[0], row[1]) for row in codes],
                "outbox": {row[0]: row[1] for row in states},
                "coverage": tuple(coverage),
                "incidents": open_incidents or 0,
            }

    async def overdue(self, before: datetime, resting: Sequence[str]) -> int:
        """How many tokens have been due since then; those of resting apps are not."""
        query = select(func.count()).where(
            tokens.c.next_check_at < before, tokens.c.app_id.not_in(list(resting))
        )
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

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

    async def beat(self, now: datetime, value: str) -> None:
        """The daemon's pulse, for those who ask whether it lives."""
        values = {"at": now, "value": value}
        statement = sqlite.insert(marks).values(name=PULSE, **values)
        async with self._database.write() as connection:
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_=values)
            )

    async def pulse(self) -> tuple[datetime | None, str | None]:
        """When the daemon last gave a sign of life, and which daemon it was."""
        rows = await self._rows(select(marks).where(marks.c.name == PULSE))
        return (rows[0]["at"], rows[0]["value"]) if rows else (None, None)

    async def prune(
        self, checks_before: datetime, outbox_before: datetime, most: int = 1000
    ) -> int:
        """Forget old history, but never the newest answer of a token.

        What was told of a matter that is still open is kept: whoever was told shall
        hear of its end. One call removes at most `most` rows of a kind, so that
        claims never wait.
        """
        newer = checks.alias("newer")
        old_checks = (
            select(checks.c.id)
            .where(
                checks.c.at < checks_before,
                select(newer.c.id)
                .where(
                    newer.c.token_row == checks.c.token_row,
                    newer.c.at > checks.c.at,
                    newer.c.at < checks_before,
                )
                .exists(),
            )
            .limit(most)
        )
        old_entries = (
            select(outbox.c.id)
            .where(
                outbox.c.state.in_(["sent", "dropped"]),
                outbox.c.settled_at < outbox_before,
                outbox.c.incident_id.not_in(
                    select(incidents.c.id).where(incidents.c.closed_at.is_(None))
                ),
            )
            .limit(most)
        )
        old_letters = (
            select(letters.c.id)
            .where(
                letters.c.settled_at < outbox_before,
                ~select(outbox.c.id).where(outbox.c.letter_id == letters.c.id).exists(),
            )
            .limit(most)
        )
        async with self._database.write() as connection:
            first = await connection.execute(
                delete(checks).where(checks.c.id.in_(old_checks))
            )
            second = await connection.execute(
                delete(outbox).where(outbox.c.id.in_(old_entries))
            )
            third = await connection.execute(
                delete(letters).where(letters.c.id.in_(old_letters))
            )
            return first.rowcount + second.rowcount + third.rowcount

    async def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        async with self._database.read() as connection:
            result = await connection.execute(query)
            return [dict(row._mapping) for row in result]  # noqa: SLF001 - public
