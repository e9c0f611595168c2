"""Waves: how much sudden news there is at one time, and of how many people."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Drop, Role, Waiting
from monitor.core.hold import DATED_NEWS, SUDDEN_NEWS, Brake, outvoted_by
from monitor.store.codec import split_codes
from monitor.store.tables import apps, health, introspections, outbox, tokens
from monitor.store.transactions import AnyRow


def counts(seen_at: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether news was not released, nor let go, before."""
    return seen_at.is_not(None) & or_(
        apps.c.let_go_at.is_(None), seen_at > apps.c.let_go_at
    )


async def count_users(
    connection: AsyncConnection, brake: Brake, now: datetime
) -> dict[str, AnyRow]:
    """By app how many users have sudden news, and with how many tokens."""
    news = news_within(brake, now)
    counted = await connection.execute(
        select(
            news.c.app_id,
            func.count(news.c.user.distinct()).label("users"),
            func.count(news.c.token_row.distinct()).label("tokens"),
        ).group_by(news.c.app_id)
    )
    return {row.app_id: row for row in counted}


def _user(token_row: ColumnElement[int]) -> ColumnElement[str]:
    """Who is behind a token: the Facebook user, else the token itself."""
    return func.coalesce(
        introspections.c.user_id,
        tokens.c.user_id,
        literal("token ") + cast(token_row, Text),
    )


def news_within(brake: Brake, now: datetime) -> CTE:
    """Sudden news by app and user: suspected, waiting to be told, or told lately."""
    since = now - brake.within
    suspected = (
        select(
            health.c.app_id,
            _user(health.c.token_row).label("user"),
            health.c.token_row,
            health.c.suspicion.label("codes"),
        )
        .select_from(
            health.join(tokens, tokens.c.row_id == health.c.token_row)
            .outerjoin(introspections, introspections.c.token_row == health.c.token_row)
            .outerjoin(apps, apps.c.id == health.c.app_id)
        )
        .where(
            health.c.suspicion.is_not(None),
            health.c.suspicion.in_(SUDDEN_NEWS),
            counts(health.c.suspected_at),
        )
    )
    told = (
        select(
            outbox.c.app_id,
            _user(outbox.c.token_row).label("user"),
            outbox.c.token_row,
            outbox.c.codes,
        )
        .select_from(
            outbox.join(tokens, tokens.c.row_id == outbox.c.token_row)
            .outerjoin(introspections, introspections.c.token_row == outbox.c.token_row)
            .outerjoin(apps, apps.c.id == outbox.c.app_id)
        )
        .where(
            outbox.c.role == Role.OWNER,
            counts(outbox.c.news_at),
        )
    )
    waits_for = func.coalesce(outbox.c.waits_for, "")
    # Who has heard enough today would make a wave of what comes one by one.
    capped = (outbox.c.state == "waiting") & (waits_for == Waiting.CAP)
    waiting = told.where(
        outbox.c.state == "waiting",
        waits_for.not_in([Waiting.SILENCE, Waiting.CAP]),
    )
    # Who calls it no news does not say that the storm is over: the others are held.
    discarded = outbox.c.dropped_for == Drop.DISCARDED
    lately = told.where(
        or_(
            (outbox.c.state.in_(["sealed", "sent"]) | capped)
            # What a wrong clock dated ahead is not of this time.
            & outbox.c.news_at.between(since, now),
            discarded & (outbox.c.settled_at >= since),
        )
    )
    return union_all(suspected, waiting, lately).cte("news")


async def users_seen(
    connection: AsyncConnection,
    brake: Brake,
    now: datetime,
    users: int,
    app_id: str | None,
) -> int:
    """How many users were looked at, but no more than it takes to outvote the news."""
    since = now - brake.within
    news = news_within(brake, now)
    theirs = select(news.c.user)
    user = func.coalesce(
        introspections.c.user_id, literal("token ") + cast(health.c.token_row, Text)
    )
    others: Select[Any] = (
        select(user.label("user"))
        .distinct()
        .select_from(
            health.join(
                introspections, introspections.c.token_row == health.c.token_row
            )
        )
        .where(health.c.verified_at >= since)
    )
    if app_id is not None:
        theirs = theirs.where(news.c.app_id == app_id)
        others = others.where(health.c.app_id == app_id)
    others = others.where(user.not_in(theirs)).limit(outvoted_by(users, brake))
    count = await connection.scalar(select(func.count()).select_from(others.subquery()))
    return users + int(count or 0)


def codes_of(found: Iterable[tuple[str, int]]) -> str:
    """`password_changed 12, revoked 3`, the most frequent first."""
    counts: Counter[str] = Counter()
    for joined, count in found:
        for code in split_codes(joined):
            if code in SUDDEN_NEWS | DATED_NEWS:
                counts[code] += count
    return ", ".join(f"{code} {count}" for code, count in counts.most_common())
