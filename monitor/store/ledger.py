"""The governor's ledger: what each app may still ask, shared by all replicas."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.quota import (
    SLOT,
    Allowance,
    Seen,
    Spent,
    allowance,
    may_spend,
    needs_ledger,
    shares,
    slot_of,
    unexplained,
)
from monitor.store.dialect import ByDialect, Insert, insert_in
from monitor.store.tables import apps, calls
from monitor.store.transactions import AnyRow, Database

_KEPT: Final = timedelta(hours=2)
"""For so long a slot is kept; the governor looks back one hour."""

_MIXED: Final = 0x9E3779B97F4A7C15
"""2**64 by the golden ratio: steps of any length fall on all quarters alike.

Source: Knuth, "The Art of Computer Programming", 6.4, Fibonacci hashing.
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """An app and the calls its operator allows it in any hour; `None`: any number."""

    app_id: str
    hourly: int | None = None


def _app_row(dialect: str) -> Insert:
    return insert_in(apps, dialect).on_conflict_do_nothing(index_elements=["id"])


def _add(dialect: str) -> Insert:
    add = insert_in(calls, dialect)
    return add.on_conflict_do_update(
        index_elements=["app_id", "slot"],
        set_={"calls": calls.c.calls + add.excluded.calls},
    )


_APP_ROW: Final = ByDialect(_app_row)
_ADD: Final = ByDialect(_add)
_APP: Final = select(apps.c.usage_percent, apps.c.usage_at, apps.c.paused_until).where(
    apps.c.id == bindparam("app")
)
_SPENT: Final = (
    select(calls.c.slot, calls.c.calls)
    .where(
        calls.c.app_id == bindparam("app"),
        calls.c.slot > bindparam("since"),
        # A clock that once ran years ahead must not close an app for years.
        calls.c.slot < bindparam("until"),
    )
    .order_by(calls.c.slot)
)
_LESS: Final = (
    update(calls)
    .where(
        calls.c.app_id == bindparam("app"),
        calls.c.slot == bindparam("paid"),
    )
    .values(
        calls=case(
            (calls.c.calls > bindparam("less"), calls.c.calls - bindparam("less")),
            else_=0,
        )
    )
)


async def ask_for(
    connection: AsyncConnection,
    budget: Budget,
    now: datetime,
    most: int,
    *,
    at_once: bool = False,
) -> Allowance:
    """How many of these calls the app may make now.

    On PostgreSQL the app's row is ours until the transaction is over, so that what is
    allowed here is spent before the next replica asks.
    """
    app = await _locked(connection, budget.app_id)
    if not at_once and app.paused_until is not None and app.paused_until > now:
        # Another replica has heard that the app must rest.
        return Allowance(0, app.paused_until)
    seen = None
    if app.usage_percent is not None and app.usage_at is not None:
        seen = Seen(app.usage_percent, app.usage_at)
    spent: list[Spent] = []
    if needs_ledger(budget.hourly, seen):
        spent = await _spent(connection, budget.app_id, now)
    allowed = allowance(budget.hourly, spent, seen, now, at_once=at_once)
    return Allowance(min(most, allowed.calls), allowed.next_at)


def share_of_risk(left: int, most: int, now: datetime) -> int:
    """How many tokens at risk may be claimed before routine ones get their share."""
    if left >= most:
        return left  # the quota is not what binds
    slot = int(slot_of(now).timestamp()) // int(SLOT.total_seconds())
    # Grants of a small quota come at even distances, often a multiple of four slots.
    turn = slot * _MIXED % 2**64 >> 62
    return shares(left, risky_due=True, routine_due=True, turn=turn).risky


async def spend(
    connection: AsyncConnection, budget: Budget, now: datetime, count: int
) -> None:
    """Write down calls that were allowed in this transaction."""
    if count > 0:
        values = {"app_id": budget.app_id, "slot": slot_of(now), "calls": count}
        await connection.execute(_ADD.on(connection), values)


async def refund(
    connection: AsyncConnection, app_id: str, paid_at: datetime, count: int
) -> None:
    """Take back calls that were allowed at that time, and never made."""
    values = {"app": app_id, "less": count, "paid": slot_of(paid_at)}
    await connection.execute(_LESS, values)


async def _locked(connection: AsyncConnection, app_id: str) -> AnyRow:
    query = _APP.with_for_update()
    row = (await connection.execute(query, {"app": app_id})).first()
    if row is None:
        await connection.execute(_APP_ROW.on(connection), {"id": app_id})
        row = (await connection.execute(query, {"app": app_id})).one()
    return row


async def _spent(
    connection: AsyncConnection, app_id: str, now: datetime
) -> list[Spent]:
    values = {"app": app_id, "since": now - _KEPT, "until": now + _KEPT}
    return [Spent(*row) for row in await connection.execute(_SPENT, values)]


class Ledger:
    """Calls that need no claim, and what `status` tells of the quota."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def try_spend(self, budget: Budget, now: datetime, count: int) -> bool:
        """Write down calls of our own, such as the look at ourselves, if they fit."""
        async with self._database.write() as connection:
            await _locked(connection, budget.app_id)
            spent = await _spent(connection, budget.app_id, now)
            if not may_spend(budget.hourly, spent, now, count):
                return False
            await spend(connection, budget, now, count)
        return True

    async def explains(self, budget: Budget, percent: float, now: datetime) -> bool:
        """Whether the app's own calls account for what Meta's headers say is used."""
        async with self._database.read() as connection:
            spent = await _spent(connection, budget.app_id, now)
        return unexplained(budget.hourly, spent, Seen(percent, now)) is None

    async def spent(self, now: datetime) -> dict[str, int]:
        """Calls of every app in the hour before now."""
        query = (
            select(calls.c.app_id, func.sum(calls.c.calls))
            .where(calls.c.slot > now - timedelta(hours=1))
            .group_by(calls.c.app_id)
        )
        async with self._database.read() as connection:
            return {row[0]: int(row[1]) for row in await connection.execute(query)}

    async def prune(self, now: datetime) -> None:
        """Forget slots that bind nobody any more."""
        async with self._database.write() as connection:
            old = or_(calls.c.slot < now - _KEPT, calls.c.slot > now + _KEPT)
            await connection.execute(delete(calls).where(old))
