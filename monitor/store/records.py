"""Recording: state, history, incident and outbox of many tokens in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.observation import Look, Observation, Suspicion
from monitor.core.tokens import Code, Expected
from monitor.store.claims import Claim
from monitor.store.codec import (
    decode_incident,
    decode_known,
    decode_labels,
)
from monitor.store.group import Group
from monitor.store.judging import Court, Record, Recorded
from monitor.store.rest import confirm
from monitor.store.tables import (
    incidents,
    tokens,
)
from monitor.store.transactions import AnyRow, Database

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
        group = Group(now, court.print)
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
    group = Group(now, court.print)
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
