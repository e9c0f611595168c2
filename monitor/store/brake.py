"""The storm brake at work: opens holds on waves of sudden news, and ends them.

Holds are opened inside the sealing transaction, so that no letter is sealed on a count
that another replica has overtaken; and ended in one before it, for what they free is
locked in another order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Role, Waiting
from monitor.core.hold import Brake, Wave, is_over, is_wave, may_be_wave
from monitor.core.tokens import Code
from monitor.store.apps import Advance, PlanMatter, advance_matter
from monitor.store.dialect import insert_on
from monitor.store.group import new_id
from monitor.store.locks import lock_tokens
from monitor.store.tables import apps, holds, outbox
from monitor.store.transactions import AnyRow
from monitor.store.waves import codes_of, count_users, counts, news_within, users_seen

Tell: TypeAlias = Callable[
    [str, str | None, Sequence[Code], Mapping[str, str]], tuple[Advance, PlanMatter]
]
"""Subject, app, codes, facts → how the operator's matter moves; no codes: it is over,
which needs no letter."""


@dataclass(frozen=True, slots=True)
class Storm:
    """The brake of one configuration, and how the operator hears of it."""

    brake: Brake
    tell: Tell
    sweep: timedelta
    """In so long every token is looked at once: what a release goes on to cover."""


@dataclass(frozen=True, slots=True)
class Held:
    """A hold that was opened."""

    id: str
    app_id: str
    until: datetime
    wave: Wave


@dataclass(frozen=True, slots=True)
class Ended:
    """A hold that ended by itself."""

    id: str
    app_id: str
    how: str
    """`deadline` or `recovered`."""


async def end_holds(
    connection: AsyncConnection, storm: Storm, now: datetime
) -> list[Ended]:
    """End the holds whose time is over, and those whose storm is.

    A few who are left are no storm: what is true of them goes after its last look, and
    what comes next is counted anew.
    """
    ended: list[Ended] = []
    ends: list[tuple[AnyRow, str, datetime | None]] = []
    rows = (
        await connection.execute(
            select(holds.c.id, holds.c.app_id, holds.c.until).where(
                holds.c.ended_at.is_(None)
            )
        )
    ).all()
    if not rows:
        return ended
    found = await count_users(connection, storm.brake, now)
    over = is_over(sum(each.users for each in found.values()), storm.brake)
    for row in rows:
        if row.until <= now:
            how, let_go_at = "deadline", row.until
        elif over:
            how, let_go_at = "recovered", None
        else:
            continue
        ends.append((row, how, let_go_at))
    await lock_held(connection, [row.app_id for row, _, _ in ends])
    for row, how, let_go_at in ends:
        await end_hold(connection, row.id, row.app_id, (how, None, None), now)
        await free(connection, row.app_id, let_go_at, now)
        advance, plan = storm.tell(f"hold:{row.id}", row.app_id, (), {})
        subject = (f"hold:{row.id}", row.app_id)
        await advance_matter(connection, subject, advance, plan, now)
        ended.append(Ended(row.id, row.app_id, how))
    return ended


async def end_hold(
    connection: AsyncConnection,
    hold_id: str,
    app_id: str,
    end: tuple[str, str | None, str | None],
    now: datetime,
) -> None:
    """Write down how, by whom and why a hold ended."""
    how, by, reason = end
    await connection.execute(
        update(holds)
        .where(holds.c.id == hold_id)
        .values(ended_at=now, ended_how=how, ended_by=by, reason=reason)
    )
    await connection.execute(
        update(apps).where(apps.c.id == app_id).values(held_until=None)
    )


async def free(
    connection: AsyncConnection,
    app_id: str,
    let_go_at: datetime | None,
    now: datetime,
) -> None:
    """Make due what was held; what was first seen by `let_go_at` goes unhindered."""
    if let_go_at is not None:
        await connection.execute(
            update(apps).where(apps.c.id == app_id).values(let_go_at=let_go_at)
        )
    await connection.execute(
        update(outbox).where(outbox.c.app_id == app_id, _STOPPED).values(due_at=now)
    )


_STOPPED: Final = and_(
    outbox.c.state == "waiting",
    outbox.c.waits_for.in_([Waiting.HOLD, Waiting.PACE]),
)


async def lock_held(connection: AsyncConnection, app_ids: Sequence[str]) -> None:
    """Lock apps, then the tokens their owners would be told of, before the rest."""
    if not app_ids:
        return
    ours = select(apps.c.id).where(apps.c.id.in_(list(app_ids))).order_by(apps.c.id)
    await connection.execute(ours.with_for_update())
    rows = select(outbox.c.token_row).where(
        outbox.c.app_id.in_(list(app_ids)),
        outbox.c.state == "waiting",
        outbox.c.role != Role.OPERATOR,
    )
    await lock_tokens(connection, await connection.scalars(rows))


# --- counting ---------------------------------------------------------------------


async def open_holds(
    connection: AsyncConnection, storm: Storm, now: datetime
) -> list[Held]:
    """Hold back an app's owner letters if what they would say is a wave.

    Counted for each app and over all of them. Nothing is counted while no sudden news
    waits to be told.
    """
    brake = storm.brake
    waiting = (await connection.scalars(_CANDIDATES)).all()
    if not waiting:
        return []
    found = await count_users(connection, brake, now)
    users = sum(row.users for row in found.values())
    if not may_be_wave(users, brake):
        return []
    tokens_of_all = sum(row.tokens for row in found.values())
    everywhere: Wave | None = None
    opened = []
    for app_id in waiting:
        own = found.get(app_id)
        if own is None:
            continue
        wave = Wave(own.users, own.tokens, own.users)
        if may_be_wave(own.users, brake):
            looked_at = await users_seen(connection, brake, now, own.users, app_id)
            wave = Wave(own.users, own.tokens, looked_at)
        if not is_wave(wave, brake):
            if everywhere is None:
                looked_at = await users_seen(connection, brake, now, users, None)
                everywhere = Wave(users, tokens_of_all, looked_at, len(found))
            wave = everywhere
        if is_wave(wave, brake):
            opened.append(await _open(connection, storm, app_id, wave, now))
    return opened


_CANDIDATES: Final = (
    select(outbox.c.app_id)
    .distinct()
    .select_from(outbox.outerjoin(apps, apps.c.id == outbox.c.app_id))
    .where(
        outbox.c.state == "waiting",
        outbox.c.role != Role.OPERATOR,
        counts(outbox.c.news_at),
        func.coalesce(outbox.c.waits_for, "") != Waiting.SILENCE,
        apps.c.held_until.is_(None),
    )
    .order_by(outbox.c.app_id)
)
"""Apps of which sudden news waits to be told, and nothing is held yet."""


async def _open(
    connection: AsyncConnection,
    storm: Storm,
    app_id: str,
    wave: Wave,
    now: datetime,
) -> Held:
    hold_id, until = new_id(), now + storm.brake.release_after
    news = news_within(storm.brake, now)
    rows = await connection.execute(
        select(news.c.codes, func.count())
        .where(news.c.app_id == app_id)
        .group_by(news.c.codes)
    )
    codes = codes_of((row[0], row[1]) for row in rows)
    await connection.execute(
        insert(holds).values(
            id=hold_id,
            app_id=app_id,
            opened_at=now,
            until=until,
            users=wave.users,
            tokens=wave.tokens,
            looked_at=wave.looked_at,
            apps=wave.apps,
            codes=codes,
        )
    )
    note = insert_on(apps, connection).values(id=app_id, held_until=until)
    await connection.execute(
        note.on_conflict_do_update(index_elements=["id"], set_={"held_until": until})
    )
    facts = {
        "users": str(wave.users),
        "tokens": str(wave.tokens),
        "looked_at": str(wave.looked_at),
        "codes": codes,
        "until": f"{until:%Y-%m-%d %H:%M} UTC",
    }
    if wave.apps > 1:
        facts["apps"] = str(wave.apps)
    advance, plan = storm.tell(f"hold:{hold_id}", app_id, (Code.HELD,), facts)
    subject = (f"hold:{hold_id}", app_id)
    await advance_matter(connection, subject, advance, plan, now)
    return Held(hold_id, app_id, until, wave)
