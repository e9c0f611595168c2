"""Locks on tokens: taken before all others, and in one order."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.dialect import ROWS, WHOLE, given, pack_ids
from monitor.store.tables import health
from monitor.store.transactions import POSTGRESQL


async def lock_tokens(
    connection: AsyncConnection, token_rows: Iterable[int | None]
) -> list[int]:
    """Lock tokens before their incidents and entries are changed; returns their rows.

    Looks are recorded under the same locks, so that neither overwrites the other.
    SQLite's writer is alone anyway.
    """
    rows = sorted({row for row in token_rows if row is not None})
    if rows and connection.dialect.name == POSTGRESQL:
        await connection.execute(_LOCK, {ROWS: pack_ids(rows)})
    return rows


def _lock() -> Select[Any]:
    rows = given(POSTGRESQL, row=WHOLE)
    locked = (
        select(health.c.token_row)
        .where(health.c.token_row.in_(select(rows.c.row)))
        .order_by(health.c.token_row)
        .with_for_update()
        .subquery("locked")
    )
    return select(func.count()).select_from(locked)


_LOCK: Final = _lock()
