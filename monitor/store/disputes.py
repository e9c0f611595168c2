"""Disputes: what other letters met, for one that was refused by policy."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.attempt import Outcome
from monitor.core.dispute import WINDOW, Others, settle_dispute
from monitor.store.tables import letters
from monitor.store.waiters import Sealed


async def decide(connection: AsyncConnection, sealed: Sealed, now: datetime) -> Outcome:
    """What the refusal of this letter by policy means, by what others met of late."""
    before = await connection.scalar(
        select(letters.c.disputed_at).where(letters.c.id == sealed.id)
    )
    theirs = letters.c.recipient != sealed.waiters[0].recipient
    since = now - WINDOW
    disputed_at = await connection.scalar(
        select(func.max(letters.c.disputed_at)).where(
            letters.c.state == "open", theirs, letters.c.disputed_at > since
        )
    )
    accepted_at = await connection.scalar(
        select(func.max(letters.c.settled_at)).where(
            letters.c.state == "sent", theirs, letters.c.settled_at > since
        )
    )
    others = Others(disputed_at, accepted_at)
    return settle_dispute(before, sealed.attempts + 1, others)
