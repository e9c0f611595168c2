"""Witnesses: tokens looked at at once because another one is under suspicion.

Other users' tokens tell early whether a storm blows. The same user's share his fate,
for a password change ends all of them: seen together, they are told in one letter.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.hold import SUDDEN_NEWS, WITNESSES, Brake, enough_suspects
from monitor.core.schedule import Urgency
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, pack_ids
from monitor.store.judging import Judgement, Record
from monitor.store.tables import apps, health, introspections
from monitor.store.transactions import POSTGRESQL, AnyRow

_MOST: Final = 200
"""Witnesses for one transaction, however many suspects it brings."""
_JUST_NOW: Final = timedelta(minutes=1)
"""Who was looked at so lately has said what he can."""
_SPARE: Final = 4
"""Candidates read for each witness: many tokens may be one user's."""


def _summon(dialect: str) -> Update:
    rows = given(dialect, row=WHOLE)
    return (
        update(health)
        .where(health.c.token_row.in_(select(rows.c.row)))
        .values(next_check_at=bindparam("now"), urgency=int(Urgency.CONFIRM))
    )


_SUMMON: Final = ByDialect(_summon)


async def call_witnesses(
    connection: AsyncConnection,
    judged: Sequence[tuple[Record, Judgement]],
    brake: Brake,
    now: datetime,
    claimed_until: datetime,
) -> int:
    """Make other tokens of each user who came under suspicion due, and of others.

    So for each whose date was brought forward, which is news without a suspicion.

    Others are left alone while the app is held, and when there are suspects enough.

    Args:
        connection: The recording transaction.
        judged: What it judged.
        brake: What makes a wave.
        now: The present instant.
        claimed_until: When the last claim lapses; what may be claimed is left alone.

    Returns:
        How many tokens were made due.
    """
    suspects: dict[str, set[str]] = {}
    called = 0
    for record, judgement in judged:
        before = record.observation
        doubt = judgement.observation.suspicion
        doubted = doubt is not None and doubt.code in SUDDEN_NEWS
        brought = judgement.news_at is not None and before.known is not None
        if before.suspicion is None and (doubted or brought):
            known = before.known
            user = known.user_id if known is not None else record.expected.user_id
            suspects.setdefault(record.expected.app_id, set()).add(user or record.id)
    for app_id, users in suspects.items():
        kin = _theirs(app_id, users, now, claimed_until).limit(_MOST)
        called += await _summon_found(connection, kin, now)
        if await _wanted(connection, app_id, brake):
            called += await _call(connection, app_id, users, now, claimed_until)
    return called


async def _wanted(connection: AsyncConnection, app_id: str, brake: Brake) -> bool:
    held = exists().where(apps.c.id == app_id, apps.c.held_until.is_not(None))
    some = (
        select(health.c.token_row)
        .where(health.c.app_id == app_id, health.c.suspicion.is_not(None))
        .limit(enough_suspects(brake) + 1)
        .subquery()
    )
    row = (
        await connection.execute(
            select(held, select(func.count()).select_from(some).scalar_subquery())
        )
    ).one()
    return not row[0] and int(row[1]) <= enough_suspects(brake)


async def _call(
    connection: AsyncConnection,
    app_id: str,
    users: set[str],
    now: datetime,
    claimed_until: datetime,
) -> int:
    wanted = min(WITNESSES * len(users), _MOST)
    most = _SPARE * (wanted + len(users))
    rows: list[int] = []
    seen = set(users)
    for level, when in product(
        (Urgency.ROUTINE, Urgency.RISKY), (_overdue(now), _ahead(claimed_until))
    ):
        query = _candidates(app_id, now).where(health.c.urgency == int(level), when)
        found = await _found(connection, query.limit(most))
        rows += _others(found, seen, wanted - len(rows))
        if len(rows) >= wanted:
            break
    await _make_due(connection, rows, now)
    return len(rows)


async def _summon_found(
    connection: AsyncConnection, query: Select[Any], now: datetime
) -> int:
    rows = [row.token_row for row in await _found(connection, query)]
    await _make_due(connection, rows, now)
    return len(rows)


async def _found(connection: AsyncConnection, query: Select[Any]) -> Sequence[AnyRow]:
    if connection.dialect.name == POSTGRESQL:
        # What somebody writes at this moment is looked at anyway.
        query = query.with_for_update(skip_locked=True, of=health)
    found: Sequence[AnyRow] = (await connection.execute(query)).all()
    return found


async def _make_due(
    connection: AsyncConnection, rows: Sequence[int], now: datetime
) -> None:
    if rows:
        values = {ROWS: pack_ids(rows), "now": now}
        await connection.execute(_SUMMON.on(connection), values)


def _theirs(
    app_id: str, users: set[str], now: datetime, claimed_until: datetime
) -> Select[Any]:
    """The other tokens of these users."""
    return _candidates(app_id, now).where(
        introspections.c.user_id.in_(sorted(users)),
        health.c.suspicion.is_(None),
        or_(_overdue(now), _ahead(claimed_until)),
    )


def _ahead(claimed_until: datetime) -> ColumnElement[bool]:
    """Due later than any claim lasts; what lies between may be claimed by somebody."""
    return health.c.next_check_at > claimed_until


def _overdue(now: datetime) -> ColumnElement[bool]:
    """Due already, but behind others in a queue that the quota makes long."""
    return and_(health.c.next_check_at <= now, health.c.urgency > int(Urgency.CONFIRM))


def _candidates(app_id: str, now: datetime) -> Select[Any]:
    """Tokens of the app not looked at just now, those that are due soonest first."""
    return (
        select(health.c.token_row, introspections.c.user_id)
        .select_from(
            health.outerjoin(
                introspections, introspections.c.token_row == health.c.token_row
            )
        )
        .where(
            health.c.app_id == app_id,
            or_(
                health.c.last_checked_at.is_(None),
                health.c.last_checked_at < now - _JUST_NOW,
            ),
        )
        .order_by(health.c.next_check_at)
    )


def _others(found: Sequence[AnyRow], seen: set[str], most: int) -> list[int]:
    """One token of each user who was not seen yet; they are seen then."""
    rows: list[int] = []
    for token_row, user in found:
        who = user or f"token {token_row}"
        if who not in seen and len(rows) < most:
            seen.add(who)
            rows.append(token_row)
    return rows
