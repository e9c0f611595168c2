"""A token changes hands: what its old owner was to be told is told to the new one."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.delivery import Waiting
from monitor.core.incident import Reason
from monitor.store.codec import decode_item, encode
from monitor.store.damage import readable
from monitor.store.dialect import insert_on
from monitor.store.entries import reached
from monitor.store.tables import incidents, letters, outbox
from monitor.store.transactions import AnyRow


async def follow_owner(
    connection: AsyncConnection, old: AnyRow, facts: Mapping[str, Any], now: datetime
) -> None:
    """Tell the new owner what the old one was to be told of an open incident.

    Of the same owner, what is still to leave is addressed as he is known now: who gets
    no copies any more gets none of it. A letter in doubt stays the very same.
    """
    email = facts["owner_email"]
    if old.owner_email == email:
        await _address_anew(connection, old, facts)
        return
    last = (
        select(outbox)
        .join(incidents, incidents.c.id == outbox.c.incident_id)
        .where(
            outbox.c.token_row == old.row_id,
            outbox.c.role == "owner",
            outbox.c.recipient == old.owner_email,
            incidents.c.closed_at.is_(None),
        )
        .order_by(outbox.c.number.desc())
        .limit(1)
    )
    row = (await connection.execute(last)).first()
    if row is None:
        return
    entry = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    entry |= {
        "id": secrets.token_hex(6),
        "recipient": email,
        "name": facts["owner_name"],
        "cc": facts["cc"],
        "locale": facts["locale"],
        "timezone": facts["timezone"],
        "planned_at": now,
        "state": "waiting",
        "waits_for": Waiting.GROUP,
        "due_at": now,
        "asked_look_at": None,
        "letter_id": None,
        "dropped_for": None,
        "settled_at": None,
        "perhaps_told": False,
        **await _as_news(connection, row, email),
    }
    plan = insert_on(outbox, connection).values(**entry)
    await connection.execute(
        plan.on_conflict_do_update(
            index_elements=["incident_id", "number", "recipient"],
            set_={name: entry[name] for name in entry if name != "id"},
            # He owned it before, and lost it before he was told.
            where=outbox.c.state == "dropped",
        )
    )


async def _as_news(
    connection: AsyncConnection, row: AnyRow, email: str
) -> dict[str, str]:
    """A notice as somebody gets it who was told nothing of the matter before.

    It reminds him of nothing, and is no news about an earlier letter.
    """
    if email in await reached(connection, row.incident_id):
        return {}
    items, _ = readable([row], lambda row: decode_item(row.item))
    if not items:
        return {}  # it is set apart until it can be read
    item = replace(items[0], reason=Reason.OPENED, reminder=0)
    return {"reason": item.reason, "item": encode(item)}


_ADDRESSED: Final = {
    "name": "owner_name",
    "cc": "cc",
    "locale": "locale",
    "timezone": "timezone",
}
"""What a letter is addressed by, and the fact of a token it is taken from."""


async def _address_anew(
    connection: AsyncConnection, old: AnyRow, facts: Mapping[str, Any]
) -> None:
    if all(getattr(old, fact) == facts[fact] for fact in _ADDRESSED.values()):
        return
    await connection.execute(
        update(outbox)
        .where(
            outbox.c.token_row == old.row_id,
            outbox.c.role == "owner",
            outbox.c.recipient == old.owner_email,
            outbox.c.state.in_(["waiting", "sealed"]),
            ~exists().where(letters.c.id == outbox.c.letter_id, letters.c.in_doubt),
        )
        .values({name: facts[fact] for name, fact in _ADDRESSED.items()})
    )
