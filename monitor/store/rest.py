"""Tokens at rest: nothing pends, so the same words again need no judgement.

A token is at rest when its last look could tell, nothing is suspected, no incident is
open and it is trusted: only then `health.heard` is set, and whatever changes that
clears it. If Meta then says word for word what it said last, and the instant has not
come at which time alone changes the verdict, everything but dates stays as it is: the
words need not even be read, and one statement moves the dates of a whole group. The
rules are part of the print, so under other rules nobody is at rest.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Select,
    bindparam,
    case,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.claims import Claim
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, pack, pack_ids
from monitor.store.instants import microseconds
from monitor.store.judging import Looks
from monitor.store.tables import health
from monitor.store.transactions import POSTGRESQL

_MILLION: Final = 1_000_000
"""An interval is stretched by 0.9 to 1, for each token its own part, so that a fleet
does not march in step; as in jobs/court.py."""


def _confirm() -> Any:  # noqa: ANN401 - an update
    told = given(POSTGRESQL, row=WHOLE, fence=WHOLE, heard=WHOLE, asked=WHOLE).c
    judge = type_coerce(health.c.judge_at, BigInteger)
    share = 900_000 + health.c.token_row % 100_001
    routine = told.asked + health.c.interval // _MILLION * share
    return (
        update(health)
        .where(
            health.c.token_row == told.row,
            health.c.fence == told.fence,
            health.c.heard == told.heard,
            type_coerce(health.c.last_checked_at, BigInteger) <= told.asked,
            or_(judge.is_(None), judge > bindparam("now", type_=BigInteger)),
        )
        .values(
            verified_at=told.asked,
            last_checked_at=told.asked,
            next_check_at=case((judge < routine, judge), else_=routine),
            looks=health.c.looks + 1,
        )
        .returning(health.c.token_row)
    )


_CONFIRM: Final = _confirm()
"""One statement with one parameter, whatever the size of the group."""
_CONFIRM_EACH: Final = """
UPDATE health SET
    verified_at = ?1, last_checked_at = ?1, looks = looks + 1,
    next_check_at = min(
        coalesce(judge_at, 9223372036854775807),
        ?1 + interval / 1000000 * (900000 + token_row % 100001)
    )
WHERE token_row = ?2 AND fence = ?3 AND heard = ?4 AND last_checked_at <= ?1
    AND (judge_at IS NULL OR judge_at > ?5)
"""
"""The same for a row: SQLite runs a thousand of them faster than one with JSON."""


def _stands(dialect: str) -> Select[Any]:
    rows = given(dialect, row=WHOLE)
    return select(health.c.token_row, health.c.fence, _checked).where(
        health.c.token_row.in_(select(rows.c.row))
    )


_checked: Final = type_coerce(health.c.last_checked_at, BigInteger)
_STANDS: Final = ByDialect(_stands)


async def confirm(
    connection: AsyncConnection,
    looked: Sequence[Looks],
    print_: int,
    now: datetime,
) -> list[Claim]:
    """Move the dates of those at rest that heard what they heard before.

    Returns:
        The claims on the tokens that were confirmed.
    """
    claims: list[Claim] = []
    rows: list[tuple[int | None, ...]] = []
    until = microseconds(now)
    for looks in looked:
        asked = microseconds(looks.asked_at)
        again = [
            claim
            for claim, words in zip(looks.claims, looks.words, strict=True)
            if (said := words.print) is not None and said ^ print_ == claim.heard
        ]
        claims += again
        rows += [(asked, c.row_id, c.fence, c.heard, until) for c in again]
    if not rows:
        return []
    if connection.dialect.name == POSTGRESQL:
        told = [(row, fence, heard, at) for at, row, fence, heard, _ in rows]
        values = {ROWS: pack(told), "now": until}
        found = set((await connection.scalars(_CONFIRM, values)).all())
        return [claim for claim in claims if claim.row_id in found]
    done = await connection.exec_driver_sql(_CONFIRM_EACH, rows)
    if done.rowcount == len(rows):
        return claims
    return await _confirmed(connection, claims, rows)


async def _confirmed(
    connection: AsyncConnection,
    claims: Sequence[Claim],
    rows: Sequence[tuple[int | None, ...]],
) -> list[Claim]:
    """Which of them were moved, if not all were."""
    ids = {ROWS: pack_ids(claim.row_id for claim in claims)}
    found = await connection.execute(_STANDS.on(connection), ids)
    stands = {row: (fence, checked) for row, fence, checked in found}
    return [
        claim
        for claim, row in zip(claims, rows, strict=True)
        if stands.get(claim.row_id) == (claim.fence, row[0])
    ]
