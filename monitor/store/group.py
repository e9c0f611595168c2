"""A group: the statements of one recording transaction, each run once."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.incident import Reason
from monitor.core.observation import Look
from monitor.store.codec import (
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
from monitor.store.judging import Judgement, Owner, PlanNotice, Record
from monitor.store.rest import known_print
from monitor.store.tables import (
    UtcDateTime,
    checks,
    incidents,
    tokens,
)

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


class Group:
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
