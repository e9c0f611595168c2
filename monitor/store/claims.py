"""Claims: who looks at which tokens next, by moving their due time ahead by a lease.

The lease divides the work; correctness is the fence, which every later write must
match. A claim that is never recorded falls due again when its lease is over.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final

from msgspec import json
from sqlalchemy import BigInteger, bindparam, func, select, type_coerce, update

from monitor.core.schedule import Urgency
from monitor.store.tables import instant, microseconds, tokens
from monitor.store.transactions import Database


@dataclass(slots=True, eq=False)
class Claim:
    """A token one worker may ask about until its lease ends."""

    row_id: int
    id: str
    app_id: str
    version: int
    fence: int
    sealed: bytes = field(repr=False)
    suspected: int | None = None
    """Since when sudden news waits to be settled, in microseconds since 1970."""

    @property
    def suspected_at(self) -> datetime | None:
        """The same as an instant."""
        return None if self.suspected is None else instant(self.suspected)


_RETURNING: Final = (
    tokens.c.row_id,
    tokens.c.id,
    tokens.c.app_id,
    tokens.c.version,
    tokens.c.fence,
    tokens.c.secret,
    # As numbers: a thousand rows of instants nobody reads cost more than the query.
    type_coerce(tokens.c.suspected_at, BigInteger),
)

_DUE = (
    update(tokens)
    .where(
        tokens.c.row_id.in_(
            select(tokens.c.row_id)
            .where(
                tokens.c.app_id == bindparam("app"),
                tokens.c.urgency == bindparam("level"),
                tokens.c.next_check_at <= bindparam("now"),
            )
            .order_by(tokens.c.next_check_at)
            .limit(bindparam("most"))
        )
    )
    .values(next_check_at=bindparam("until"), fence=tokens.c.fence + 1)
    .returning(*_RETURNING)
)

# A list as one parameter: a thousand of their own cost more than the statement.
_given: Final = func.json_each(bindparam("rows")).table_valued("value", name="given")

_NAMED = (
    update(tokens)
    .where(tokens.c.row_id.in_(select(_given.c.value)))
    .values(next_check_at=bindparam("until"), fence=tokens.c.fence + 1)
    .returning(*_RETURNING)
)

_AFTER = (
    select(type_coerce(tokens.c.next_check_at, BigInteger), *_RETURNING)
    .where(
        tokens.c.row_id > bindparam("after"),
        tokens.c.app_id.in_(bindparam("apps", expanding=True)),
    )
    .order_by(tokens.c.row_id)
    .limit(bindparam("most"))
)


class Claims:
    """Takes tokens to look at; never the same one twice within a lease."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(
        self, app_id: str, now: datetime, lease: timedelta, most: int
    ) -> list[Claim]:
        """What is due of one app: last looks first, then confirmations, then the rest.

        Within one urgency the longest due comes first.
        """
        claims: list[Claim] = []
        async with self._database.write() as connection:
            for level in Urgency:
                values = {
                    "app": app_id,
                    "level": int(level),
                    "now": now,
                    "until": now + lease,
                    "most": most - len(claims),
                }
                rows = await connection.execute(_DUE, values)
                claims.extend(Claim(*row) for row in rows)
                if len(claims) >= most:
                    break
        return claims

    async def anything_due(self, app_ids: Collection[str], now: datetime) -> bool:
        """Whether any token of these apps is due; costs no writing transaction."""
        query = (
            select(tokens.c.row_id)
            .where(
                tokens.c.app_id == bindparam("app"),
                tokens.c.urgency == bindparam("level"),
                tokens.c.next_check_at <= now,
            )
            .limit(1)
        )
        async with self._database.read() as connection:
            for app_id in app_ids:
                for level in Urgency:
                    values = {"app": app_id, "level": int(level)}
                    if (await connection.execute(query, values)).first():
                        return True
        return False

    async def after(
        self,
        row_id: int,
        app_ids: Collection[str],
        now: datetime,
        lease: timedelta,
        most: int,
    ) -> list[Claim]:
        """The next tokens of these apps, due or not, in the order of their rows.

        Claims of a running daemon are taken over; its late writes are refused. What
        is not due before the lease is over needs no claim: nobody else asks for it
        meanwhile, and whoever does so later has a newer fence.
        """
        values = {"after": row_id, "apps": list(app_ids), "most": most}
        async with self._database.read() as connection:
            rows = (await connection.execute(_AFTER, values)).all()
        until = microseconds(now + lease)
        claims = [Claim(*row) for due, *row in rows if due >= until]
        near = [row[1] for row in rows if row[0] < until]
        if near:
            claims.extend(await self.named(near, now, lease))
            claims.sort(key=attrgetter("row_id"))
        return claims

    async def named(
        self, row_ids: Sequence[int], now: datetime, lease: timedelta
    ) -> list[Claim]:
        """These tokens, due or not."""
        rows_given = json.encode(list(row_ids)).decode()
        async with self._database.write() as connection:
            rows = await connection.execute(
                _NAMED, {"rows": rows_given, "until": now + lease}
            )
            return [Claim(*row) for row in rows]

    async def release(self, claims: Sequence[Claim], now: datetime) -> None:
        """Give back claims that were never asked: they are due again at once."""
        if not claims:
            return
        give_back = (
            update(tokens)
            .where(
                tokens.c.row_id == bindparam("row"),
                tokens.c.fence == bindparam("held"),
            )
            .values(next_check_at=now)
        )
        async with self._database.write() as connection:
            await connection.execute(
                give_back,
                [{"row": claim.row_id, "held": claim.fence} for claim in claims],
            )

    async def count(self, app_ids: Collection[str]) -> int:
        """How many tokens these apps have."""
        query = select(func.count()).where(tokens.c.app_id.in_(list(app_ids)))
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """The rows of the tokens with these ids; unknown ids are absent."""
        query = select(tokens.c.id, tokens.c.row_id).where(tokens.c.id.in_(list(ids)))
        async with self._database.read() as connection:
            return {row.id: row.row_id for row in await connection.execute(query)}
