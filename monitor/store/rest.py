"""Tokens at rest: nothing pends, so the same answer again needs no judgement.

A token is at rest when its last look could tell, nothing is suspected, no incident is
open, it is still trusted and was judged under the present rules, and the instant has
not come at which time alone changes the verdict. If it then answers exactly what is
known, everything but dates stays as it is, and one statement moves the dates of a whole
group.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, TypeAlias

from msgspec import json
from sqlalchemy import BigInteger, bindparam, exists, func, or_, type_coerce, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TypeCoerce

from monitor.core.observation import Look
from monitor.core.tokens import Introspection
from monitor.store.claims import Claim
from monitor.store.codec import encode
from monitor.store.tables import incidents, microseconds, tokens

Spread: TypeAlias = Callable[[], float]
"""From 0.9 to 1, to keep a fleet from marching in step."""

_MILLION: Final = 1_000_000

_given: Final = func.json_each(bindparam("rows")).table_valued("value", name="given")


def _part(place: int) -> TypeCoerce[int]:
    return type_coerce(func.json_extract(_given.c.value, f"$[{place}]"), BigInteger)


_ROW, _FENCE, _VERSION, _PRINT, _ASKED, _SPREAD = map(_part, range(6))
_last_checked: Final = type_coerce(tokens.c.last_checked_at, BigInteger)
_judge: Final = type_coerce(tokens.c.judge_at, BigInteger)
_next: Final = _ASKED + tokens.c.check_every // _MILLION * _SPREAD

_CONFIRM: Final = (
    update(tokens)
    .where(
        tokens.c.row_id == _ROW,
        tokens.c.fence == _FENCE,
        tokens.c.version == _VERSION,
        tokens.c.known_print == _PRINT,
        _last_checked <= _ASKED,
        tokens.c.judged_by == bindparam("print"),
        tokens.c.suspicion.is_(None),
        tokens.c.severity != "unknown",
        tokens.c.inconclusive_cause.is_(None),
        or_(tokens.c.judge_at.is_(None), tokens.c.judge_at > bindparam("now")),
        ~exists().where(
            incidents.c.token_row == tokens.c.row_id, incidents.c.closed_at.is_(None)
        ),
    )
    .values(
        verified_at=_ASKED,
        last_checked_at=_ASKED,
        next_check_at=func.min(func.coalesce(_judge, _next), _next),
        urgency=2,
        looks=tokens.c.looks + 1,
    )
    .returning(tokens.c.row_id, tokens.c.severity)
)
"""One statement with one parameter, whatever the size of the group."""


async def confirm(
    connection: AsyncConnection,
    looked: Sequence[tuple[Claim, Look]],
    print_: str,
    spread: Spread,
    now: datetime,
) -> dict[int, str]:
    """Move the dates of those at rest that answered what is known.

    Returns:
        Row and severity of each token that was confirmed.
    """
    rows = []
    asked_at, asked = now, microseconds(now)
    for claim, look in looked:
        if not isinstance(look.answer, Introspection):
            continue
        if look.asked_at is not asked_at:  # the same for all of a batch
            asked_at = look.asked_at
            asked = microseconds(asked_at)
        share = int(spread() * _MILLION)
        known = known_print(look.answer)
        rows.append((claim.row_id, claim.fence, claim.version, known, asked, share))
    if not rows:
        return {}
    values = {"rows": json.encode(rows).decode(), "print": print_, "now": now}
    found = await connection.execute(_CONFIRM, values)
    return {row[0]: row[1] for row in found}


def known_print(known: Introspection) -> int:
    """Tells whether two introspections are equal; 63 bits, so it fits a column."""
    digest = blake2b(encode(known).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
