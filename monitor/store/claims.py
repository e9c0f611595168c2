"""Claims: who looks at which tokens next, by moving their due time ahead by a lease.

The lease divides the work; correctness is the fence, which every later write must
match. A claim that is never recorded falls due again when its lease is over.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Select,
    bindparam,
    func,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from monitor.core.schedule import Urgency
from monitor.store.dialect import ROWS, WHOLE, WORDS, ByDialect, given, pack, pack_ids
from monitor.store.instants import UtcDateTime, instant, microseconds
from monitor.store.ledger import Budget, ask_for, refund, share_of_risk, spend
from monitor.store.locks import lock_tokens
from monitor.store.tables import health, tokens
from monitor.store.transactions import POSTGRESQL, AnyRow, Database


class Claim(Struct, gc=False, eq=False):
    """A token one worker may ask about until its lease ends.

    A sweep makes as many as there are tokens, so they cost as little as may be.
    """

    row_id: int
    fence: int
    suspected: int | None
    """Since when sudden news waits to be settled, in microseconds since 1970."""
    heard: int | None
    """The print of what Meta said last, if the token is at rest."""
    severity: str
    id: str
    app_id: str
    version: int
    sealed: bytes
    due: int = 0
    """When it was due before it was claimed, if that was asked for."""

    def __repr__(self) -> str:
        """Never what is sealed."""
        return f"Claim({self.id!r}, fence={self.fence})"

    @property
    def suspected_at(self) -> datetime | None:
        """The same as an instant."""
        return None if self.suspected is None else instant(self.suspected)


# As numbers: a thousand rows of instants nobody reads cost more than the query.
_suspected: Final = type_coerce(health.c.suspected_at, BigInteger)
_due_at: Final = type_coerce(health.c.next_check_at, BigInteger)

_HELD: Final = (
    health.c.token_row,
    health.c.fence,
    _suspected,
    health.c.heard,
    health.c.severity,
)
_ASKED_WITH: Final = (tokens.c.id, tokens.c.app_id, tokens.c.version, tokens.c.secret)


def _due(dialect: str) -> ReturningUpdate[Any]:
    """Claim what is due of an app, of one urgency, the longest due first."""
    due = (
        select(health.c.token_row)
        .where(
            health.c.app_id == bindparam("app"),
            health.c.urgency == bindparam("level"),
            health.c.next_check_at <= bindparam("now"),
        )
        .order_by(health.c.next_check_at)
        .limit(bindparam("most"))
    )
    if dialect == POSTGRESQL:
        # A CTE: an IN over a query with a limit may be run more than once.
        found = due.with_for_update(skip_locked=True).cte("due")
        claim = update(health).where(health.c.token_row == found.c.token_row)
    else:
        claim = update(health).where(health.c.token_row.in_(due))
    return claim.values(
        next_check_at=bindparam("until"), fence=health.c.fence + 1
    ).returning(*_HELD)


def _named(dialect: str) -> ReturningUpdate[Any]:
    """Claim tokens by their rows, due or not; locked ones are waited for in order."""
    rows = given(dialect, row=WHOLE)
    if dialect == POSTGRESQL:
        found = (
            select(health.c.token_row)
            .where(health.c.token_row.in_(select(rows.c.row)))
            .order_by(health.c.token_row)
            .with_for_update()
            .cte("named")
        )
        claim = update(health).where(health.c.token_row == found.c.token_row)
    else:
        claim = update(health).where(health.c.token_row.in_(select(rows.c.row)))
    return claim.values(
        next_check_at=bindparam("until"), fence=health.c.fence + 1
    ).returning(*_HELD)


def _sealed(dialect: str) -> Select[Any]:
    rows = given(dialect, row=WHOLE)
    return select(tokens.c.row_id, *_ASKED_WITH).where(
        tokens.c.row_id.in_(select(rows.c.row))
    )


_AFTER: Final = (
    select(*_HELD, *_ASKED_WITH, _due_at)
    .select_from(tokens.join(health, health.c.token_row == tokens.c.row_id))
    .where(
        tokens.c.row_id > bindparam("after"),
        # Said twice: PostgreSQL would read `health` from its beginning each time.
        health.c.token_row > bindparam("after"),
        tokens.c.app_id == bindparam("app"),
    )
    .order_by(tokens.c.row_id)
    .limit(bindparam("most"))
)


def _release(dialect: str) -> Any:  # noqa: ANN401 - an update
    held = given(dialect, row=WHOLE, fence=WHOLE)
    return (
        update(health)
        .where(health.c.token_row == held.c.row, health.c.fence == held.c.fence)
        .values(next_check_at=bindparam("at"))
    )


def _renew(dialect: str) -> ReturningUpdate[Any]:
    """Claim anew what is still ours."""
    held = given(dialect, row=WHOLE, fence=WHOLE)
    return (
        update(health)
        .where(health.c.token_row == held.c.row, health.c.fence == held.c.fence)
        .values(next_check_at=bindparam("until"), fence=health.c.fence + 1)
        .returning(*_HELD)
    )


def _apps_due(dialect: str) -> Select[Any]:
    """A probe of the index for every app and urgency: the first that falls due."""
    wanted = given(dialect, app=WORDS)
    firsts = [
        select(func.min(_due_at))
        .where(health.c.app_id == wanted.c.app, health.c.urgency == int(level))
        .scalar_subquery()
        for level in Urgency
    ]
    now = bindparam("now", type_=UtcDateTime)
    return select(wanted.c.app).where(or_(*(first <= now for first in firsts)))


def _by_app(dialect: str) -> Select[Any]:
    rows = given(dialect, row=WHOLE)
    return select(health.c.token_row, health.c.app_id).where(
        health.c.token_row.in_(select(rows.c.row))
    )


_BY_APP: Final = ByDialect(_by_app)
_APPS_DUE: Final = ByDialect(_apps_due)
_RENEW: Final = ByDialect(_renew)
_DUE: Final = ByDialect(_due)
_NAMED: Final = ByDialect(_named)
_SEALED: Final = ByDialect(_sealed)
_RELEASE: Final = ByDialect(_release)


@dataclass(frozen=True, slots=True)
class Taken:
    """Claims, and when more may be taken."""

    claims: list[Claim]
    next_at: datetime | None = None
    """Set when the quota allowed fewer than were wanted: when it allows more."""
    last: int | None = None
    """Where to go on: the last row, or how many of the named ones were taken."""
    ended: bool = False
    """Whether there is nothing behind the last row."""


class Claims:
    """Takes tokens to look at; never the same one twice within a lease.

    A token costs its app one call, which the ledger allows in the same transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(
        self, budget: Budget, now: datetime, lease: timedelta, most: int
    ) -> Taken:
        """What is due of one app: last looks first, then confirmations, then the rest.

        Within one urgency the longest due comes first. When the quota is scarce,
        tokens at risk and others share it, so that nobody starves.
        """
        claims: list[Claim] = []
        async with self._database.write() as connection:
            grant = await ask_for(connection, budget, now, most)
            left = grant.calls

            async def take(level: Urgency, share: int) -> None:
                nonlocal left
                if share <= 0:
                    return
                values = {
                    "app": budget.app_id,
                    "level": int(level),
                    "now": now,
                    "until": now + lease,
                    "most": share,
                }
                held = (await connection.execute(_DUE.on(connection), values)).all()
                claims.extend(await _claims(connection, held))
                left -= len(held)

            await take(Urgency.LOOK_OWED, left)
            await take(Urgency.CONFIRM, left)
            await take(Urgency.RISKY, share_of_risk(left, most, now))
            await take(Urgency.ROUTINE, left)
            await take(Urgency.RISKY, left)
            await spend(connection, budget, now, len(claims))
        return Taken(claims, grant.next_at if left <= 0 else None)

    async def apps_due(self, app_ids: Collection[str], now: datetime) -> list[str]:
        """Which of these apps have a token due; costs no writing transaction."""
        if not app_ids:
            return []
        values = {ROWS: pack_ids(app_ids), "now": now}
        async with self._database.read() as connection:
            found = await connection.scalars(_APPS_DUE.on(connection), values)
            due = set(found.all())
        return [app_id for app_id in app_ids if app_id in due]

    async def after(
        self, row_id: int, budget: Budget, now: datetime, lease: timedelta, most: int
    ) -> Taken:
        """The next tokens of an app, due or not, in the order of their rows.

        Claims of a running daemon are taken over; its late writes are refused. What
        is not due before the lease is over needs no claim: nobody else asks for it
        meanwhile, and whoever does so later has a newer fence. The rest of the hour's
        quota may be used at once.
        """
        async with self._database.write() as connection:
            grant = await ask_for(connection, budget, now, most, at_once=True)
            if grant.calls <= 0:
                return Taken([], grant.next_at)
            values = {"after": row_id, "app": budget.app_id, "most": grant.calls}
            rows = (await connection.execute(_AFTER, values)).all()
            until = microseconds(now + lease)
            claims = [Claim(*row) for row in rows]
            near = [claim.row_id for claim in claims if claim.due < until]
            if near:
                claims = [claim for claim in claims if claim.due >= until]
                claims.extend(await _claim(connection, near, now + lease))
                claims.sort(key=attrgetter("row_id"))
            await spend(connection, budget, now, len(claims))
        last = rows[-1].token_row if rows else None
        if len(rows) < grant.calls:
            return Taken(claims, None, last, ended=True)
        return Taken(claims, grant.next_at if grant.calls < most else None, last)

    async def named(
        self, row_ids: Sequence[int], budget: Budget, now: datetime, lease: timedelta
    ) -> Taken:
        """These tokens of an app, due or not, as many as the hour's quota allows."""
        async with self._database.write() as connection:
            most = len(row_ids)
            grant = await ask_for(connection, budget, now, most, at_once=True)
            rows = row_ids[: grant.calls]
            claims = await _claim(connection, rows, now + lease) if rows else []
            await spend(connection, budget, now, len(claims))
        scarce = grant.calls < most
        return Taken(claims, grant.next_at if scarce else None, len(rows))

    async def renew(
        self, claims: Sequence[Claim], now: datetime, lease: timedelta
    ) -> list[Claim]:
        """Claim anew those that nobody took over meanwhile."""
        rows = pack([(claim.row_id, claim.fence) for claim in claims])
        values = {ROWS: rows, "until": now + lease}
        async with self._database.write() as connection:
            await lock_tokens(connection, (claim.row_id for claim in claims))
            held = await connection.execute(_RENEW.on(connection), values)
            return await _claims(connection, held.all())

    async def release(
        self, claims: Sequence[Claim], at: datetime, paid_at: datetime
    ) -> None:
        """Give back claims that were never asked.

        Args:
            claims: Of one app.
            at: When they are due again.
            paid_at: When they were claimed; their calls are paid back.
        """
        if not claims:
            return
        rows = pack([(claim.row_id, claim.fence) for claim in claims])
        async with self._database.write() as connection:
            await lock_tokens(connection, (claim.row_id for claim in claims))
            await connection.execute(_RELEASE.on(connection), {ROWS: rows, "at": at})
            await refund(connection, claims[0].app_id, paid_at, len(claims))

    async def count(self, app_ids: Collection[str]) -> int:
        """How many tokens these apps have."""
        query = select(func.count()).where(health.c.app_id.in_(list(app_ids)))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def count_after(self, app_id: str, row_id: int) -> int:
        """How many tokens of an app come after this row."""
        query = select(func.count()).where(
            health.c.app_id == app_id, health.c.token_row > row_id
        )
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """The rows of the tokens with these ids; unknown ids are absent."""
        query = select(tokens.c.id, tokens.c.row_id).where(tokens.c.id.in_(list(ids)))
        async with self._database.read() as connection:
            return {row.id: row.row_id for row in await connection.execute(query)}

    async def by_app(self, row_ids: Collection[int]) -> dict[str, list[int]]:
        """These rows by the apps their tokens belong to."""
        found: dict[str, list[int]] = {}
        values = {ROWS: pack_ids(row_ids)}
        async with self._database.read() as connection:
            for row_id, app_id in await connection.execute(
                _BY_APP.on(connection), values
            ):
                found.setdefault(app_id, []).append(row_id)
        return found


async def _claim(
    connection: AsyncConnection, row_ids: Sequence[int], until: datetime
) -> list[Claim]:
    values = {ROWS: pack_ids(row_ids), "until": until}
    held = await connection.execute(_NAMED.on(connection), values)
    return await _claims(connection, held.all())


async def _claims(connection: AsyncConnection, held: Sequence[AnyRow]) -> list[Claim]:
    """The claims held, with what is needed to ask."""
    if not held:
        return []
    rows = pack_ids(row[0] for row in held)
    found = await connection.execute(_SEALED.on(connection), {ROWS: rows})
    sealed = {row[0]: row[1:] for row in found}
    return [Claim(*row, *sealed[row[0]]) for row in held]
