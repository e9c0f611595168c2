"""The pace: so many letters to owners leave in an hour, the others a little later."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Item, Role, Wait, Waiting, rank
from monitor.core.hold import PACED_OVER, Brake, is_free, room, room_at
from monitor.core.tokens import Code
from monitor.store.apps import advance_matter
from monitor.store.brake import Storm
from monitor.store.dialect import insert_on
from monitor.store.tables import incidents, letters, marks
from monitor.store.waiters import Waiter

Group: TypeAlias = tuple[str, str, str, str]
"""What entries of one letter have in common."""


async def pace(
    connection: AsyncConnection,
    ready: Mapping[Group, Sequence[tuple[Waiter, Item]]],
    brake: Brake,
    now: datetime,
) -> dict[Group, Wait]:
    """The letters among those ready that must leave later, the worst going first.

    Letters to the operator, and what was held and released, go at any pace.
    """
    limit = brake.owner_letters_per_hour
    paced = [
        group
        for group, members in ready.items()
        if members[0][0].role is not Role.OPERATOR
        and not was_freed(waiter for waiter, _ in members)
    ]
    if limit is None or not paced:
        return {}
    left_at = (
        await connection.scalars(
            select(letters.c.sealed_at)
            .where(
                letters.c.sealed_at > now - PACED_OVER,
                letters.c.role != Role.OPERATOR,
                letters.c.state != "empty",
                ~letters.c.freed,
            )
            .order_by(letters.c.sealed_at.desc())
            .limit(limit)
        )
    ).all()
    going = room(left_at, limit, now)
    if len(paced) <= going:
        return {}
    paced.sort(key=lambda group: min(rank(item) for _, item in ready[group]))
    left = [*left_at, *[now] * going]
    until = room_at(left, limit, now)
    return dict.fromkeys(paced[going:], Wait(Waiting.PACE, until))


def was_freed(waiters: Iterable[Waiter]) -> bool:
    """Whether something in a letter was held once, and released or let go."""
    return any(
        is_free(waiter.news_at or waiter.planned_at, waiter.let_go_at)
        for waiter in waiters
    )


async def tell_pace(
    connection: AsyncConnection, storm: Storm, paced: int, now: datetime
) -> None:
    """Let the operator hear once that letters leave later, until two hours see none.

    Args:
        connection: The sealing transaction.
        storm: Whose limit binds.
        paced: How many letters must leave later now.
        now: The present instant.
    """
    if paced:
        note = insert_on(marks, connection).values(name=_PACED, at=now)
        await connection.execute(
            note.on_conflict_do_update(index_elements=["name"], set_={"at": now})
        )
        limit = storm.brake.owner_letters_per_hour
        facts = {"limit": str(limit), "letters": str(paced)}
        advance, plan = storm.tell(_PACED, None, (Code.PACED,), facts)
    else:
        over = exists().where(
            marks.c.name == _PACED, marks.c.at <= now - 2 * PACED_OVER
        )
        is_open = exists().where(
            incidents.c.subject == _PACED, incidents.c.closed_at.is_(None)
        )
        if not await connection.scalar(select(is_open & over)):
            return
        advance, plan = storm.tell(_PACED, None, (), {})
    await advance_matter(connection, (_PACED, None), advance, plan, now)


_PACED: Final = "pace"
