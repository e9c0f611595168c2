"""Recording: state, history, incident and outbox of many tokens in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeAlias

import structlog
from sqlalchemy import Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.observation import Observation, Suspicion
from monitor.core.tokens import Cause, Code, Expected
from monitor.store.claims import Claim
from monitor.store.codec import decode_incident, decode_known, decode_labels
from monitor.store.damage import readable
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, pack_ids
from monitor.store.group import Group
from monitor.store.judging import Court, Looks, Record, Recorded, Words
from monitor.store.locks import lock_tokens
from monitor.store.poison import set_tokens_apart
from monitor.store.rest import confirm
from monitor.store.tables import health, incidents, introspections, tokens
from monitor.store.transactions import AnyRow, Database
from monitor.store.witnesses import call_witnesses

_Held: TypeAlias = Mapping[int, tuple[Claim, Words, Looks]]

_SEVERITY: Final = attrgetter("severity")

log = structlog.stdlib.get_logger("monitor.store")


def _rows(dialect: str) -> Select[Any]:
    """Everything a judgement is made of, for tokens by their rows."""
    rows = given(dialect, row=WHOLE)
    return (
        select(
            health.c.token_row,
            tokens.c.id,
            tokens.c.app_id,
            tokens.c.kind,
            tokens.c.user_id,
            tokens.c.profile_id,
            tokens.c.labels,
            tokens.c.version,
            health.c.fence,
            health.c.last_checked_at,
            introspections.c.known,
            health.c.life_seen_at,
            health.c.verified_at,
            health.c.suspicion,
            health.c.suspected_at,
            health.c.severity,
            health.c.codes,
            health.c.inconclusive_cause,
            health.c.next_check_at,
            health.c.judge_at,
            health.c.urgency,
            incidents.c.id.label("incident_id"),
            incidents.c.state.label("incident_state"),
        )
        .select_from(
            health.join(tokens, tokens.c.row_id == health.c.token_row)
            .outerjoin(introspections, introspections.c.token_row == health.c.token_row)
            .outerjoin(
                incidents,
                (incidents.c.token_row == health.c.token_row)
                & incidents.c.closed_at.is_(None),
            )
        )
        .where(health.c.token_row.in_(select(rows.c.row)))
        .order_by(health.c.token_row)
    )


_ROWS: Final = ByDialect(_rows)
_ALL: Final = (
    select(health.c.token_row)
    .where(health.c.token_row > bindparam("after"))
    .order_by(health.c.token_row)
    .limit(bindparam("most"))
    .with_for_update()
)
_DUE: Final = (
    select(health.c.token_row)
    .where(health.c.app_id == bindparam("app"), health.c.judge_at <= bindparam("now"))
    .order_by(health.c.token_row)
    .limit(bindparam("most"))
    # What another replica judges at this moment needs no second judgement.
    .with_for_update(skip_locked=True)
)


class Records:
    """Writes what was decided, all of a group or none of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self, looked: Sequence[Looks], court: Court, now: datetime
    ) -> Recorded:
        """Judge and record a group of looks in one transaction.

        The decisions run on the state that is really there. A row whose fence no
        longer matches is superseded and left alone. A token at rest that hears what
        it heard before is confirmed, which costs far less than a judgement.
        """
        recorded = Recorded()
        async with self._database.write() as connection:
            # All at once and in order: who confirms some and judges others after
            # would lock in two turns, and meet who locks between.
            claims = (claim.row_id for looks in looked for claim in looks.claims)
            await lock_tokens(connection, claims)
            confirmed = await confirm(connection, looked, court.print, now)
            recorded.confirmed.update(map(_SEVERITY, confirmed))
            if len(confirmed) < sum(map(len, looked)):
                rested = {claim.row_id for claim in confirmed}
                unsettled = {
                    claim.row_id: (claim, words, looks)
                    for looks in looked
                    for claim, words in zip(looks.claims, looks.words, strict=True)
                    if claim.row_id not in rested
                }
                await _judge_looks(connection, unsettled, court, recorded, now)
        return recorded

    async def judge_due(
        self, app_id: str, court: Court, now: datetime, most: int = 500
    ) -> Recorded:
        """Judge, without a look, the tokens of an app that time alone has changed.

        It keeps known deadlines speaking while the app cannot be asked.
        """
        values = {"app": app_id, "now": now, "most": most}
        async with self._database.write() as connection:
            rows = (await connection.scalars(_DUE, values)).all()
            return await _judge_rows(connection, rows, court, now)

    async def judge_all(
        self, court: Court, now: datetime, chunk: int = 500
    ) -> Recorded:
        """Judge every token again without asking, after a change of policy."""
        total = Recorded()
        after = -1
        while True:
            async with self._database.write() as connection:
                values = {"after": after, "most": chunk}
                rows = (await connection.scalars(_ALL, values)).all()
                if not rows:
                    return total
                after = rows[-1]
                part = await _judge_rows(connection, rows, court, now)
            total.judged.extend(
                pair for pair in part.judged if pair[1].step.notice is not None
            )


async def _judge_looks(
    connection: AsyncConnection,
    looked: _Held,
    court: Court,
    recorded: Recorded,
    now: datetime,
) -> None:
    """Judge those nobody took over, whose secret stands, and not looked at later.

    They are locked already: what is read here nobody else changes.
    """
    row_ids = sorted(looked)
    group = Group(now, court.print)
    left = dict(looked)
    for row in await _fetch(connection, row_ids):
        claim, words, looks = looked[row.token_row]
        checked = row.last_checked_at
        if row.fence != claim.fence or (checked and checked > looks.asked_at):
            continue
        del left[row.token_row]
        record = _readable(row, recorded)
        if record is None:
            continue
        look = looks.read(words)
        judgement = court.judge(record, look)
        group.add(record, look, judgement, row.version, words.print)
        recorded.judged.append((record, judgement))
    recorded.superseded = [claim.id for claim, _, _ in left.values()]
    await set_tokens_apart(connection, recorded.damaged, now)
    await group.flush(connection, court.plan)
    # Asked now: others may have claimed since, while we waited for our locks.
    claimed = court.claims_until()
    await call_witnesses(connection, recorded.judged, court.brake, now, claimed)


async def _fetch(
    connection: AsyncConnection, row_ids: Sequence[int]
) -> Sequence[AnyRow]:
    values = {ROWS: pack_ids(row_ids)}
    result = await connection.execute(_ROWS.on(connection), values)
    rows: Sequence[AnyRow] = result.all()
    return rows


async def _judge_rows(
    connection: AsyncConnection,
    row_ids: Sequence[int],
    court: Court,
    now: datetime,
) -> Recorded:
    recorded = Recorded()
    if not row_ids:
        return recorded
    group = Group(now, court.print)
    failed: list[int] = []
    for row in await _fetch(connection, row_ids):
        record = _readable(row, recorded)
        if record is None:
            continue
        try:
            judgement = court.judge(record, None)
        except Exception:
            log.exception("token.failed", token=row.id)
            failed.append(row.token_row)
            continue
        group.add(record, None, judgement, row.version, None)
        recorded.judged.append((record, judgement))
    await set_tokens_apart(connection, recorded.damaged, now)
    await set_tokens_apart(connection, failed, now, Cause.INTERNAL)
    recorded.damaged += failed
    await group.flush(connection, court.plan)
    return recorded


def _readable(row: AnyRow, recorded: Recorded) -> Record | None:
    """The record of a row; one that cannot be read is noted as damaged."""
    records, damaged = readable([row], _record)
    recorded.damaged += [each.token_row for each in damaged]
    return records[0] if records else None


def _record(row: AnyRow) -> Record:
    suspicion = None
    if row.suspicion is not None:
        suspicion = Suspicion(Code(row.suspicion), row.suspected_at)
    state = row.incident_state
    return Record(
        row.token_row,
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
