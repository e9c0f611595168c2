"""The cap at work: whose letters of a day have left, and what waits for the next."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.cap import (
    CAPPED_OVER,
    Press,
    mailbox_of,
    next_letter_at,
    press_of,
    presses_at,
)
from monitor.core.clockwork import APART
from monitor.core.delivery import Item, Passage, Role, Wait, Waiting, rank
from monitor.store.sealing import soon_looked_at
from monitor.store.tables import letters
from monitor.store.waiters import Waiter

Left: TypeAlias = dict[str, list[datetime | None]]
"""By mailbox, when letters of the last day left; `None`: one is on its way."""
Gated: TypeAlias = tuple[Waiter, Item, Passage]

_MAY_HAVE_LEFT: Final = or_(letters.c.state.in_(["open", "sent"]), letters.c.in_doubt)


async def left_lately(
    connection: AsyncConnection, readers: Collection[str], now: datetime
) -> Left:
    """The letters of the last day to these readers, but for the operator's.

    Asked under the turn of whoever seals, so that no two count on the same room.
    """
    left: Left = {mailbox_of(reader): [] for reader in readers}
    found = await connection.execute(
        select(letters.c.mailbox, letters.c.settled_at).where(
            letters.c.mailbox.in_(list(left)),
            letters.c.role != Role.OPERATOR,
            or_(
                letters.c.settled_at.is_(None),
                (letters.c.settled_at > now - CAPPED_OVER)
                # What a wrong clock dated ahead is not of this day.
                & (letters.c.settled_at <= now + APART),
            ),
            _MAY_HAVE_LEFT,
        )
    )
    for mailbox, settled_at in found:
        left[mailbox].append(settled_at)
    return left


def with_room(
    readers: Collection[str], left: Left, limit: int | None, now: datetime
) -> list[str]:
    """The readers to whom some letter may leave now: what waited for one joins it."""
    return [
        reader
        for reader in readers
        if limit is None
        or next_letter_at(left[mailbox_of(reader)], limit, now, presses=True) <= now
    ]


def capped(
    gated: Sequence[Gated], left: Left, limit: int | None, now: datetime
) -> list[Gated]:
    """What the gate says, once the cap has been asked too; what presses goes first.

    It binds whatever may leave, and spares what may not the last look.
    """
    if limit is None:
        return list(gated)
    groups: dict[tuple[str, str, str, str], list[Gated]] = {}
    for each in gated:
        if each[0].role is not Role.OPERATOR and _would_go(each[2]):
            groups.setdefault(each[0].group, []).append(each)
    until: dict[str, Wait] = {}
    for members in sorted(groups.values(), key=lambda group: _turn(group, now)):
        theirs = left[mailbox_of(members[0][0].recipient)]
        presses = _press(members, now) is not Press.NONE
        then = min(presses_at(item, waiter.planned_at) for waiter, item, _ in members)
        free_at = next_letter_at(
            theirs, limit, now, presses=presses, from_then=None if presses else then
        )
        if free_at > now:
            wait = Wait(Waiting.CAP, free_at)
            until |= {waiter.id: wait for waiter, _, _ in members}
        elif not any(
            soon_looked_at(waiter, passage, now) for waiter, _, passage in members
        ):
            theirs.append(None)
    return [(w, item, until.get(w.id, passage)) for w, item, passage in gated]


def _would_go(passage: Passage) -> bool:
    look = isinstance(passage, Wait) and passage.why is Waiting.LOOK
    return passage is None or look


def _press(members: Sequence[Gated], now: datetime) -> Press:
    return min(press_of(item, waiter.planned_at, now) for waiter, item, _ in members)


def _turn(members: Sequence[Gated], now: datetime) -> tuple[Press, int]:
    return _press(members, now), min(rank(item) for _, item, _ in members)
