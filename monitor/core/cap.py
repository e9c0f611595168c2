"""The cap: so many letters a day reach one address; what is more goes in the next one.

Nothing is dropped by it. What cannot wait until tomorrow goes beyond it, but not one
letter a matter: one every few hours, with everything else that waits.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from monitor.core.delivery import Item, can_wait, last_day_of
from monitor.core.incident import Reason

CAPPED_OVER: Final = timedelta(hours=24)
PRESSING_APART: Final = timedelta(hours=4)
"""Beyond the cap a letter leaves no sooner than so long after the one before."""
ASK_AGAIN: Final = timedelta(minutes=30)
"""Nobody knows when a letter leaves that is on its way, or whether it ever does."""
_NEWS: Final = frozenset({Reason.OPENED, Reason.WORSENED, Reason.CLOSER})


class Press(IntEnum):
    """How much a letter presses; beyond the cap go those that cannot wait."""

    LATE = 0
    """It waited for a day, perhaps because what presses more always went before it."""
    URGENT = 1
    """It is news that something has stopped, or will within a day."""
    NONE = 2


def press_of(item: Item, planned_at: datetime, now: datetime) -> Press:
    """How much it presses to tell this."""
    if planned_at <= now - CAPPED_OVER:
        return Press.LATE
    if item.reason in _NEWS and not can_wait(item, now):
        return Press.URGENT
    return Press.NONE


def presses_at(item: Item, planned_at: datetime) -> datetime:
    """From when on it presses to tell this, if it does not yet."""
    late = planned_at + CAPPED_OVER
    last_day = last_day_of(item) if item.reason in _NEWS else None
    return late if last_day is None else min(late, last_day)


def next_letter_at(
    left_at: Sequence[datetime | None],
    limit: int,
    now: datetime,
    *,
    presses: bool,
    from_then: datetime | None = None,
) -> datetime:
    """When another letter may leave for an address; `now`: at once.

    Args:
        left_at: When letters to it left; `None`: one is on its way, and counts.
        limit: The most in any 24 hours.
        now: The present instant.
        presses: Whether the letter goes beyond the cap too.
        from_then: From when on it does, if it does not yet.
    """
    left = sorted(now if at is None else at for at in left_at)
    recent = [at for at in left if at > now - CAPPED_OVER]
    if len(recent) < limit:
        return now
    free_at = recent[-limit] + CAPPED_OVER
    if presses or from_then is not None:
        beyond_at = max(recent[-1] + PRESSING_APART, from_then or now)
        free_at = min(free_at, beyond_at)
    if None in left_at:
        free_at = min(free_at, now + ASK_AGAIN)
    return max(free_at, now)


def mailbox_of(address: str) -> str:
    """What an address is counted by: nobody has a second one that differs in case.

    The domain has no case, and no provider we know of tells local parts by theirs.
    Source: RFC 5321, 2.4, which allows it and discourages it.

    >>> mailbox_of("Ann@Bakery.Example")
    'ann@bakery.example'
    """
    return address.lower()
