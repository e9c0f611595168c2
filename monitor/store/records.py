"""Recording: state, history, incident and outbox of many tokens in one transaction."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias

from sqlalchemy import Integer, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.incident import Incident, Reason, Step
from monitor.core.observation import Look, Observation, Suspicion
from monitor.core.policy import Rule
from monitor.core.schedule import Urgency
from monitor.core.tokens import Cause, Code, Expected
from monitor.core.verdict import Verdict
from monitor.store.claims import Claim
from monitor.store.codec import (
    decode_incident,
    decode_known,
    decode_labels,
    encode,
    encode_answer,
    join_codes,
)
from monitor.store.entries import (
    Entry,
    add_entries,
    close_entries,
    end_waiting,
    reached,
)
from monitor.store.rest import confirm, known_print
from monitor.store.tables import (
    UtcDateTime,
    checks,
    incidents,
    tokens,
)
from monitor.store.transactions import AnyRow, Database


@dataclass(frozen=True, slots=True)
class Record:
    """A token as it really stands inside the recording transaction."""

    row_id: int
    id: str
    expected: Expected
    labels: Mapping[str, str]
    observation: Observation
    severity: str
    codes: str
    cause: str | None
    next_check_at: datetime
    judge_at: datetime | None
    urgency: int
    incident_id: str | None
    incident: Incident | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided about a record."""

    rule: Rule
    observation: Observation
    verdict: Verdict
    step: Step
    next_check_at: datetime
    judge_at: datetime | None
    urgency: Urgency
    cause: Cause | None = None
    """Why the look could not tell; `None`: it could, or there was none."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a token's news concerns, as the inventory says."""

    row_id: int
    id: str
    app_id: str
    kind: str | None
    email: str
    name: str | None
    token_name: str | None
    used_for: str | None
    cc: str
    locale: str | None
    timezone: str | None


class Court(Protocol):
    """Who decides: the policies of one configuration, and the readers they name."""

    @property
    def print(self) -> str:
        """Tells whether two judgements were made under the same rules."""

    def judge(self, record: Record, look: Look | None) -> Judgement:
        """What becomes of a token after a look, or by time alone."""

    def spread(self) -> float:
        """From 0.9 to 1: what to stretch an interval by, for one token."""

    def plan(
        self,
        owner: Owner,
        judgement: Judgement,
        incident_id: str,
        reached: frozenset[str],
    ) -> Sequence[Entry]:
        """The entries of a notice; `reached`: readers an earlier letter reached."""


@dataclass(slots=True)
class Recorded:
    """What a transaction wrote."""

    confirmed: Counter[str] = field(default_factory=Counter)
    """By severity: tokens at rest that answered what they answered before."""

    judged: list[tuple[Record, Judgement]] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    """Ids whose claim was taken over, or whose secret was replaced, meanwhile."""


_ROW: Final = (
    select(
        tokens.c.row_id,
        tokens.c.id,
        tokens.c.app_id,
        tokens.c.kind,
        tokens.c.user_id,
        tokens.c.profile_id,
        tokens.c.labels,
        tokens.c.fence,
        tokens.c.version,
        tokens.c.known,
        tokens.c.life_seen_at,
        tokens.c.verified_at,
        tokens.c.suspicion,
        tokens.c.suspected_at,
        tokens.c.severity,
        tokens.c.codes,
        tokens.c.inconclusive_cause,
        tokens.c.last_checked_at,
        tokens.c.next_check_at,
        tokens.c.judge_at,
        tokens.c.urgency,
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
    .order_by(tokens.c.row_id)
)

_ROWS = _ROW.where(tokens.c.row_id.in_(bindparam("rows", expanding=True)))

_CHANGED = (
    update(tokens)
    .where(tokens.c.row_id == bindparam("row"))
    .values(
        known=bindparam("known_text"),
        known_print=bindparam("known_digest"),
        check_every=bindparam("every"),
        life_seen_at=bindparam("life"),
        verified_at=bindparam("verified"),
        suspicion=bindparam("doubt"),
        suspected_at=bindparam("doubted"),
        severity=bindparam("worst"),
        codes=bindparam("found"),
        next_check_at=bindparam("next"),
        judge_at=bindparam("judge"),
        urgency=bindparam("level"),
        inconclusive_cause=bindparam("why"),
        policy=bindparam("rule"),
        judged_by=bindparam("print"),
        last_checked_at=func.coalesce(
            bindparam("checked", type_=UtcDateTime()), tokens.c.last_checked_at
        ),
        looks=tokens.c.looks + bindparam("times", type_=Integer),
    )
)


class Records:
    """Writes what was decided, all of a group or none of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self, looked: Sequence[tuple[Claim, Look]], court: Court, now: datetime
    ) -> Recorded:
        """Judge and record a group of looks in one transaction.

        The decisions run on the state that is really there. A row whose fence no
        longer matches is superseded and left alone. A token at rest that answers what
        it answered before is confirmed, which costs far less than a judgement.
        """
        recorded = Recorded()
        async with self._database.write() as connection:
            confirmed = await confirm(
                connection, looked, court.print, court.spread, now
            )
            recorded.confirmed.update(confirmed.values())
            unsettled = {
                claim.row_id: (claim, look)
                for claim, look in looked
                if claim.row_id not in confirmed
            }
            await self._judge_group(connection, unsettled, court, recorded, now)
        return recorded

    async def _judge_group(
        self,
        connection: AsyncConnection,
        looked: Mapping[int, tuple[Claim, Look]],
        court: Court,
        recorded: Recorded,
        now: datetime,
    ) -> None:
        if not looked:
            return
        rows = await connection.execute(_ROWS, {"rows": list(looked)})
        group = _Group(now, court.print)
        left = dict(looked)
        for row in rows:
            claim, look = looked[row.row_id]
            if not _stands(row, claim, look):
                continue
            del left[row.row_id]
            record = _record(row)
            judgement = court.judge(record, look)
            group.add(record, look, judgement, claim.version)
            recorded.judged.append((record, judgement))
        await group.flush(connection, court.plan)
        recorded.superseded = [claim.id for claim, _ in left.values()]

    async def judge_due(
        self, app_id: str, court: Court, now: datetime, most: int = 500
    ) -> Recorded:
        """Judge, without a look, the tokens of an app that time alone has changed.

        It keeps known deadlines speaking while the app cannot be asked.
        """
        query = _ROW.where(tokens.c.app_id == app_id, tokens.c.judge_at <= now).limit(
            most
        )
        async with self._database.write() as connection:
            rows = (await connection.execute(query)).all()
            return await _judge_rows(connection, rows, court, now)

    async def judge_all(
        self, court: Court, now: datetime, chunk: int = 500
    ) -> Recorded:
        """Judge every token again without asking, after a change of policy."""
        total = Recorded()
        after = -1
        query = _ROW.where(tokens.c.row_id > bindparam("after")).limit(chunk)
        while True:
            async with self._database.write() as connection:
                rows = (await connection.execute(query, {"after": after})).all()
                if not rows:
                    return total
                after = rows[-1].row_id
                part = await _judge_rows(connection, rows, court, now)
            total.judged.extend(
                pair for pair in part.judged if pair[1].step.notice is not None
            )


def _stands(row: AnyRow, claim: Claim, look: Look) -> bool:
    """Whether nobody took the claim over, replaced the secret, or looked later."""
    return (
        row.fence == claim.fence
        and row.version == claim.version
        and (row.last_checked_at is None or row.last_checked_at <= look.asked_at)
    )


async def _judge_rows(
    connection: AsyncConnection,
    rows: Sequence[AnyRow],
    court: Court,
    now: datetime,
) -> Recorded:
    group = _Group(now, court.print)
    recorded = Recorded()
    for row in rows:
        record = _record(row)
        judgement = court.judge(record, None)
        group.add(record, None, judgement, row.version)
        recorded.judged.append((record, judgement))
    await group.flush(connection, court.plan)
    return recorded


def _record(row: AnyRow) -> Record:
    suspicion = None
    if row.suspicion is not None:
        suspicion = Suspicion(Code(row.suspicion), row.suspected_at)
    state = row.incident_state
    return Record(
        row.row_id,
        row.id,
        Expected(row.app_id, row.kind, row.user_id, row.profile_id),
        decode_labels(row.labels),
        Observation(
            decode_known(row.known), row.verified_at, row.life_seen_at, suspicion
        ),
        row.severity,
        row.codes,
        row.inconclusive_cause,
        row.next_check_at,
        row.judge_at,
        row.urgency,
        row.incident_id,
        None if state is None else decode_incident(state),
    )


PlanNotice: TypeAlias = Callable[
    [Owner, Judgement, str, frozenset[str]], Sequence[Entry]
]


class _Group:
    """The statements of one transaction, gathered so that each runs once."""

    def __init__(self, now: datetime, print_: str) -> None:
        self._now = now
        self._print = print_
        self._changed: list[dict[str, Any]] = []
        self._history: list[dict[str, Any]] = []
        self._opened: list[dict[str, Any]] = []
        self._moved: list[dict[str, Any]] = []
        self._awaited: list[int] = []
        """Looked at, with an open incident: letters may have waited for this look."""
        self._notices: list[tuple[Record, Judgement, str]] = []

    def add(
        self, record: Record, look: Look | None, judgement: Judgement, version: int
    ) -> None:
        """Note what a judgement changes about a record."""
        before, after = record.observation, judgement.observation
        codes = join_codes(judgement.verdict.codes)
        cause = judgement.cause
        learned = (
            before.known != after.known
            or before.suspicion != after.suspicion
            or before.life_seen_at != after.life_seen_at
        )
        if look is not None and (learned or (cause and cause != record.cause)):
            self._history.append(
                {
                    "token_row": record.row_id,
                    "version": version,
                    "at": look.asked_at,
                    "answer": encode_answer(look.answer),
                    "severity": judgement.verdict.severity,
                    "codes": codes,
                    "suspicion": after.suspicion.code if after.suspicion else None,
                }
            )
        self._note_change(record, look, judgement, codes)
        if look is not None and record.incident_id is not None:
            self._awaited.append(record.row_id)
        self._note_incident(record, judgement)

    def _note_change(
        self, record: Record, look: Look | None, judgement: Judgement, codes: str
    ) -> None:
        after = judgement.observation
        known = after.known
        self._changed.append(
            {
                "row": record.row_id,
                "known_text": None if known is None else encode(known),
                "known_digest": None if known is None else known_print(known),
                "every": judgement.rule.check_every // timedelta.resolution,
                "life": after.life_seen_at,
                "verified": after.verified_at,
                "doubt": after.suspicion.code if after.suspicion else None,
                "doubted": after.suspicion.since if after.suspicion else None,
                "worst": judgement.verdict.severity,
                "found": codes,
                "next": judgement.next_check_at,
                "judge": judgement.judge_at,
                "level": int(judgement.urgency),
                "why": judgement.cause if look is not None else record.cause,
                "rule": judgement.rule.name,
                "print": self._print,
                "checked": look.asked_at if look is not None else None,
                "times": 1 if look is not None else 0,
            }
        )

    def _note_incident(self, record: Record, judgement: Judgement) -> None:
        step = judgement.step
        if step.incident is None or (
            step.incident == record.incident and step.notice is None
        ):
            return
        incident_id = record.incident_id or new_id()
        row = {
            "key": incident_id,
            "closed": step.incident.closed_at,
            "text": encode(step.incident),
        }
        if record.incident_id is None:
            self._opened.append(
                {
                    "id": incident_id,
                    "subject": f"token:{record.id}",
                    "token_row": record.row_id,
                    "app_id": record.expected.app_id,
                    "opened_at": step.incident.opened_at,
                    "closed_at": row["closed"],
                    "state": row["text"],
                }
            )
        else:
            self._moved.append(row)
        if step.notice is not None or step.incident.closed_at is not None:
            self._notices.append((record, judgement, incident_id))

    async def flush(self, connection: AsyncConnection, plan: PlanNotice) -> None:
        """Write everything noted, a statement a kind."""
        for statement, values in (
            (_CHANGED, self._changed),
            (insert(checks), self._history),
            (insert(incidents), self._opened),
            (MOVE_INCIDENT, self._moved),
        ):
            if values:
                await connection.execute(statement, values)
        if self._notices:
            await self._tell(connection, plan)
        await end_waiting(connection, self._awaited, self._now)

    async def _tell(self, connection: AsyncConnection, plan: PlanNotice) -> None:
        owners = await _owners(connection, [r.row_id for r, _, _ in self._notices])
        entries: list[Entry] = []
        closed: list[str] = []
        for record, judgement, incident_id in self._notices:
            step = judgement.step
            told: frozenset[str] = frozenset()
            if step.incident is not None and step.incident.closed_at is not None:
                closed.append(incident_id)
                told = await reached(connection, incident_id)
            if step.notice is None:
                continue
            if step.notice.reason is Reason.RESOLVED and not told:
                continue
            owner = owners[record.row_id]
            entries.extend(plan(owner, judgement, incident_id, told))
        await close_entries(connection, closed, self._now)
        await add_entries(connection, entries, self._now)


MOVE_INCIDENT = (
    update(incidents)
    .where(incidents.c.id == bindparam("key"))
    .values(closed_at=bindparam("closed"), state=bindparam("text"))
)


async def _owners(
    connection: AsyncConnection, row_ids: Sequence[int]
) -> dict[int, Owner]:
    query = select(
        tokens.c.row_id,
        tokens.c.id,
        tokens.c.app_id,
        tokens.c.kind,
        tokens.c.owner_email,
        tokens.c.owner_name,
        tokens.c.name,
        tokens.c.used_for,
        tokens.c.cc,
        tokens.c.locale,
        tokens.c.timezone,
    ).where(tokens.c.row_id.in_(bindparam("rows", expanding=True)))
    rows = await connection.execute(query, {"rows": list(row_ids)})
    return {row.row_id: Owner(*row) for row in rows}


def new_id() -> str:
    """A random public id; restores and deletes never make one again."""
    return secrets.token_hex(6)
