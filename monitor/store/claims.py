"""Claims: who looks at which tokens next, by moving their due time ahead by a lease.

The lease divides the work; correctness is the fence, which every later write must
match. A claim that is never recorded falls due again when its lease is over.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import bindparam, func, select, update

from monitor.core.schedule import Urgency
from monitor.store.tables import tokens
from monitor.store.transactions import Database


@dataclass(frozen=True, slots=True)
class Claim:
    """A token one worker may ask about until its lease ends."""

    row_id: int
    id: str
    app_id: str
    version: int
    fence: int
    sealed: bytes = field(repr=False)
    suspected_at: datetime | None = None
    """Since when sudden news about it waits to be settled."""


_RETURNING: Final = (
    tokens.c.row_id,
    tokens.c.id,
    tokens.c.app_id,
    tokens.c.version,
    tokens.c.fence,
    tokens.c.secret,
    tokens.c.suspected_at,
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

_NAMED = (
    update(tokens)
    .where(tokens.c.row_id.in_(bindparam("rows", expanding=True)))
    .values(next_check_at=bindparam("until"), fence=tokens.c.fence + 1)
    .returning(*_RETURNING)
)

_AFTER = (
    select(tokens.c.row_id)
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

        Claims of a running daemon are taken over; its late writes are refused.
        """
        async with self._database.write() as connection:
            values = {"after": row_id, "apps": list(app_ids), "most": most}
            found = await connection.scalars(_AFTER, values)
            rows = await connection.execute(
                _NAMED, {"rows": found.all(), "until": now + lease}
            )
            return sorted((Claim(*row) for row in rows), key=lambda claim: claim.row_id)

    async def named(
        self, row_ids: Sequence[int], now: datetime, lease: timedelta
    ) -> list[Claim]:
        """These tokens, due or not."""
        async with self._database.write() as connection:
            rows = await connection.execute(
                _NAMED, {"rows": list(row_ids), "until": now + lease}
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
