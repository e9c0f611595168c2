"""A group: the statements of one recording transaction, each run once."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Select,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.incident import Reason
from monitor.core.observation import Look
from monitor.core.verdict import Severity
from monitor.store.codec import (
    encode,
    encode_answer,
    join_codes,
)
from monitor.store.dialect import (
    ROWS,
    WHOLE,
    WORDS,
    ByDialect,
    given,
    insert_in,
    pack,
    pack_ids,
)
from monitor.store.entries import (
    Entry,
    add_entries,
    close_entries,
    end_waiting,
    reached,
)
from monitor.store.instants import microseconds
from monitor.store.judging import Judgement, Owner, PlanNotice, Record
from monitor.store.tables import (
    checks,
    health,
    incidents,
    introspections,
    tokens,
    unreachable,
)

_KEEP: Final = -1
"""No print is negative: what was heard last stays as it is."""


def _changed(dialect: str) -> Any:  # noqa: ANN401 - an update
    new = given(
        dialect,
        row=WHOLE,
        life=WHOLE,
        verified=WHOLE,
        doubt=WORDS,
        doubted=WHOLE,
        worst=WORDS,
        found=WORDS,
        next=WHOLE,
        judge=WHOLE,
        level=WHOLE,
        interval=WHOLE,
        why=WORDS,
        rule=WORDS,
        heard=WHOLE,
        checked=WHOLE,
        times=WHOLE,
    ).c
    return (
        update(health)
        .where(health.c.token_row == new.row)
        .values(
            life_seen_at=new.life,
            verified_at=new.verified,
            suspicion=new.doubt,
            suspected_at=new.doubted,
            severity=new.worst,
            codes=new.found,
            next_check_at=new.next,
            judge_at=new.judge,
            urgency=new.level,
            interval=new.interval,
            inconclusive_cause=new.why,
            policy=new.rule,
            heard=case((new.heard == _KEEP, health.c.heard), else_=new.heard),
            last_checked_at=func.coalesce(
                new.checked, type_coerce(health.c.last_checked_at, BigInteger)
            ),
            looks=health.c.looks + new.times,
        )
    )


def _learned(dialect: str) -> Any:  # noqa: ANN401 - an insert
    new = given(dialect, row=WHOLE, known=WORDS, user=WORDS).c
    learn = insert_in(introspections, dialect).from_select(
        ["token_row", "known", "user_id"],
        # SQLite takes ON for a join's unless a WHERE stands before it.
        select(new.row, new.known, new.user).where(true()),
    )
    return learn.on_conflict_do_update(
        index_elements=["token_row"],
        set_={"known": learn.excluded.known, "user_id": learn.excluded.user_id},
    )


def _history(dialect: str) -> Any:  # noqa: ANN401 - an insert
    new = given(
        dialect,
        row=WHOLE,
        version=WHOLE,
        at=WHOLE,
        answer=WORDS,
        severity=WORDS,
        codes=WORDS,
        doubt=WORDS,
    ).c
    return insert(checks).from_select(
        ["token_row", "version", "at", "answer", "severity", "codes", "suspicion"],
        select(
            new.row,
            new.version,
            new.at,
            new.answer,
            new.severity,
            new.codes,
            new.doubt,
        ),
    )


_CHANGED: Final = ByDialect(_changed)
_LEARNED: Final = ByDialect(_learned)
_HISTORY: Final = ByDialect(_history)


class Group:
    """The statements of one transaction, gathered so that each runs once."""

    def __init__(self, now: datetime, print_: int) -> None:
        self._now = now
        self._print = print_
        self._changed: list[tuple[Any, ...]] = []
        self._learned: list[tuple[int, str, str | None]] = []
        self._history: list[tuple[Any, ...]] = []
        self._opened: list[dict[str, Any]] = []
        self._moved: list[dict[str, Any]] = []
        self._awaited: list[int] = []
        """Looked at, with an open incident: letters may have waited for this look."""
        self._notices: list[tuple[Record, Judgement, str]] = []

    def add(
        self,
        record: Record,
        look: Look | None,
        judgement: Judgement,
        version: int,
        heard: int | None,
    ) -> None:
        """Note what a judgement changes about a record.

        `heard` is the print of the words behind the look, if they were all it said.
        """
        codes = join_codes(judgement.verdict.codes)
        if look is not None:
            self._note_history(record, look, judgement, version, codes)
        self._note_change(record, look, judgement, codes, heard)
        if look is not None and record.incident_id is not None:
            self._awaited.append(record.row_id)
        self._note_incident(record, judgement)

    def _note_history(
        self,
        record: Record,
        look: Look,
        judgement: Judgement,
        version: int,
        codes: str,
    ) -> None:
        """A row when the answer differs from the one before it."""
        before, after = record.observation, judgement.observation
        cause = judgement.cause
        known = None
        if after.known is not None and before.known != after.known:
            known = encode(after.known)
            self._learned.append((record.row_id, known, after.known.user_id))
        if (
            known is not None
            or before.suspicion != after.suspicion
            or before.life_seen_at != after.life_seen_at
            or (cause and cause != record.cause)
        ):
            # What was said is most often what is known from now on.
            said = known if look.answer is after.known else None
            self._history.append(
                (
                    record.row_id,
                    version,
                    microseconds(look.asked_at),
                    said or encode_answer(look.answer),
                    judgement.verdict.severity,
                    codes,
                    after.suspicion.code if after.suspicion else None,
                )
            )

    def _note_change(
        self,
        record: Record,
        look: Look | None,
        judgement: Judgement,
        codes: str,
        heard: int | None,
    ) -> None:
        after = judgement.observation
        doubt = after.suspicion
        self._changed.append(
            (
                record.row_id,
                _micro(after.life_seen_at),
                _micro(after.verified_at),
                doubt.code if doubt else None,
                microseconds(doubt.since) if doubt else None,
                judgement.verdict.severity,
                codes,
                microseconds(judgement.next_check_at),
                _micro(judgement.judge_at),
                judgement.urgency,
                judgement.interval // timedelta.resolution,
                judgement.cause if look is not None else record.cause,
                judgement.rule.name,
                self._heard(look, judgement, heard),
                microseconds(look.asked_at) if look is not None else None,
                1 if look is not None else 0,
            )
        )

    def _heard(
        self, look: Look | None, judgement: Judgement, heard: int | None
    ) -> int | None:
        """What the same words need no judgement under; `None`: something pends."""
        incident = judgement.step.incident
        pends = (
            judgement.cause is not None
            or judgement.observation.suspicion is not None
            or judgement.verdict.severity is Severity.UNKNOWN
            or (incident is not None and incident.closed_at is None)
        )
        if pends:
            return None
        if look is None:
            return _KEEP
        return None if heard is None else heard ^ self._print

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
        for by_dialect, rows in (
            (_CHANGED, self._changed),
            (_LEARNED, self._learned),
            (_HISTORY, self._history),
        ):
            if rows:
                await connection.execute(by_dialect.on(connection), {ROWS: pack(rows)})
        for statement, members in (
            (insert(incidents), self._opened),
            (MOVE_INCIDENT, self._moved),
        ):
            if members:
                await connection.execute(statement, members)
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


LONGEST_TEXT: Final = 500
"""No import keeps more of a name; a row made otherwise must not fill the outbox."""


def _owner_rows(dialect: str) -> Select[Any]:
    rows = given(dialect, row=WHOLE)
    return select(
        tokens.c.row_id,
        tokens.c.id,
        tokens.c.app_id,
        tokens.c.kind,
        tokens.c.owner_email,
        *(
            func.substr(tokens.c[name], 1, LONGEST_TEXT)
            for name in ("owner_name", "name", "used_for")
        ),
        tokens.c.cc,
        tokens.c.locale,
        tokens.c.timezone,
        exists().where(unreachable.c.address == tokens.c.owner_email),
    ).where(tokens.c.row_id.in_(select(rows.c.row)))


_OWNERS: Final = ByDialect(_owner_rows)


async def _owners(
    connection: AsyncConnection, row_ids: Sequence[int]
) -> dict[int, Owner]:
    values = {ROWS: pack_ids(row_ids)}
    rows = await connection.execute(_OWNERS.on(connection), values)
    return {row.row_id: Owner(*row) for row in rows}


def _micro(at: datetime | None) -> int | None:
    return None if at is None else microseconds(at)


def new_id() -> str:
    """A random public id; restores and deletes never make one again."""
    return secrets.token_hex(6)
