"""The operator's hand: silences and retries, each with an author in the audit."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, or_, select, update

from monitor.store.locks import lock_tokens
from monitor.store.tables import (
    audit,
    incidents,
    letters,
    outbox,
    tokens,
)
from monitor.store.transactions import Database
from monitor.store.unreachable import unmark


class Hand:
    """Changes what the operator asks for, and writes down who asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def retry(self, entry_id: str, author: str, now: datetime) -> int:
        """Make entries due again: refused ones get a new letter, deferred ones go now.

        Returns how many entries were found; sent and dropped ones are left alone.
        """
        mine = or_(outbox.c.id == entry_id, outbox.c.letter_id == entry_id)
        async with self._database.write() as connection:
            refused = (
                await connection.execute(
                    select(outbox.c.letter_id, outbox.c.recipient).where(
                        mine, outbox.c.state == "refused"
                    )
                )
            ).all()
            await unmark(connection, {row.recipient for row in refused})
            hurried = await connection.execute(
                update(outbox)
                .where(mine, outbox.c.state == "waiting")
                .values(due_at=now)
            )
            reopened = await connection.execute(
                update(outbox)
                .where(mine, outbox.c.state == "refused")
                .values(
                    state="waiting",
                    waits_for=None,
                    letter_id=None,
                    due_at=now,
                    settled_at=None,
                )
            )
            sealed = select(outbox.c.letter_id).where(mine, outbox.c.state == "sealed")
            retried = await connection.execute(
                update(letters)
                .where(letters.c.id.in_(sealed), letters.c.state == "open")
                .values(due_at=now)
            )
            await connection.execute(
                update(incidents)
                .where(
                    incidents.c.subject.in_(
                        [f"letter:{row.letter_id}" for row in refused]
                    ),
                    incidents.c.closed_at.is_(None),
                )
                .values(closed_at=now)
            )
            found = reopened.rowcount + hurried.rowcount + retried.rowcount
            if found:
                await connection.execute(
                    insert(audit).values(
                        at=now,
                        author=author,
                        action="retry",
                        subject=f"outbox:{entry_id}",
                    )
                )
            return found

    async def silence(
        self,
        ids: Sequence[str],
        until: datetime | None,
        author: str,
        reason: str | None,
        now: datetime,
    ) -> None:
        """Stop the letters about these tokens until then; `None` ends the silence."""
        async with self._database.write() as connection:
            rows = (
                await connection.execute(
                    select(tokens.c.row_id, tokens.c.id).where(
                        tokens.c.id.in_(list(ids))
                    )
                )
            ).all()
            if not rows:
                return
            row_ids = [row.row_id for row in rows]
            await lock_tokens(connection, row_ids)
            await connection.execute(
                update(tokens)
                .where(tokens.c.row_id.in_(row_ids))
                .values(
                    silenced_until=until,
                    silenced_by=author if until else None,
                    silence_reason=reason if until else None,
                )
            )
            if until is None:
                # Ending a reason to wait makes what waits for it due.
                await connection.execute(
                    update(outbox)
                    .where(
                        outbox.c.token_row.in_(row_ids),
                        outbox.c.state == "waiting",
                        outbox.c.waits_for == "silence",
                    )
                    .values(due_at=now)
                )
            await connection.execute(
                insert(audit),
                [
                    {
                        "at": now,
                        "author": author,
                        "action": "silence" if until else "unsilence",
                        "subject": f"token:{row.id}",
                        "reason": reason,
                        "until": until,
                    }
                    for row in rows
                ],
            )
