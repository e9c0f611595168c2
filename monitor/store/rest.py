"""Tokens at rest: nothing pends, so the same words again need no judgement.

A token is at rest when its last look could tell, nothing is suspected, no incident is
open, it is still trusted and was judged under the present rules, and the instant has
not come at which time alone changes the verdict. If Meta then says word for word what
it said last, everything but dates stays as it is: the words need not even be read, and
one statement moves the dates of a whole group.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, bindparam, case, exists, or_, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.core.schedule import Urgency
from monitor.store.claims import Claim
from monitor.store.dialect import ROWS, WHOLE, ByDialect, given, pack
from monitor.store.judging import Looked, Unread
from monitor.store.tables import health, incidents, microseconds

Spread: TypeAlias = Callable[[], float]
"""From 0.9 to 1, to keep a fleet from marching in step."""

_MILLION: Final = 1_000_000


def _confirm(dialect: str) -> Any:  # noqa: ANN401 - an update
    told = given(
        dialect, row=WHOLE, fence=WHOLE, heard=WHOLE, asked=WHOLE, share=WHOLE
    ).c
    last_checked = type_coerce(health.c.last_checked_at, BigInteger)
    judge = type_coerce(health.c.judge_at, BigInteger)
    routine = told.asked + health.c.interval // _MILLION * told.share
    return (
        update(health)
        .where(
            health.c.token_row == told.row,
            health.c.fence == told.fence,
            health.c.heard == told.heard,
            last_checked <= told.asked,
            health.c.judged_by == bindparam("print"),
            health.c.suspicion.is_(None),
            health.c.severity != "unknown",
            health.c.inconclusive_cause.is_(None),
            or_(health.c.judge_at.is_(None), health.c.judge_at > bindparam("now")),
            ~exists().where(
                incidents.c.token_row == health.c.token_row,
                incidents.c.closed_at.is_(None),
            ),
        )
        .values(
            verified_at=told.asked,
            last_checked_at=told.asked,
            next_check_at=case((judge < routine, judge), else_=routine),
            looks=health.c.looks + 1,
            urgency=case(
                (health.c.urgency < int(Urgency.RISKY), int(Urgency.ROUTINE)),
                else_=health.c.urgency,
            ),
        )
        .returning(health.c.token_row, health.c.severity)
    )


_CONFIRM: Final = ByDialect(_confirm)
"""One statement with one parameter, whatever the size of the group."""


async def confirm(
    connection: AsyncConnection,
    looked: Sequence[tuple[Claim, Looked]],
    print_: str,
    spread: Spread,
    now: datetime,
) -> dict[int, str]:
    """Move the dates of those at rest that heard what they heard before.

    Returns:
        Row and severity of each token that was confirmed.
    """
    rows = []
    asked_at, asked = now, microseconds(now)
    for claim, look in looked:
        if not isinstance(look, Unread) or look.print != claim.heard:
            continue
        if look.asked_at is not asked_at:  # the same for all of a batch
            asked_at = look.asked_at
            asked = microseconds(asked_at)
        share = int(spread() * _MILLION)
        rows.append((claim.row_id, claim.fence, look.print, asked, share))
    if not rows:
        return {}
    values = {ROWS: pack(rows), "print": print_, "now": now}
    found = await connection.execute(_CONFIRM.on(connection), values)
    return {row[0]: row[1] for row in found}
