"""Batches: what one call asks about, and what is made of its answers."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import structlog

from monitor.core.tokens import Cause, Inconclusive
from monitor.probe.heard import Heard, told
from monitor.store.claims import Claim
from monitor.store.judging import Looks

JUDGED: Final = 8
"""A judgement takes the room of so many tokens that are only confirmed."""
_SEALED: Final = Inconclusive(Cause.SECRET)

log = structlog.stdlib.get_logger("monitor.checker")


def batches_of(claims: Sequence[Claim], size: int) -> Iterator[Sequence[Claim]]:
    """A chunk in batches of one app each.

    A chunk is claimed for one app, but an import may have moved a token meanwhile.
    """
    by_app: dict[str, list[Claim]] = {}
    for claim in claims:
        by_app.setdefault(claim.app_id, []).append(claim)
    for own in by_app.values():
        for start in range(0, len(own), size):
            yield own[start : start + size]


def readable(
    claims: Sequence[Claim], opened: Sequence[bytes | None], at: datetime
) -> tuple[Sequence[Claim], list[Looks]]:
    """The claims whose secret could be opened, and what is to be said of the others."""
    if None not in opened:
        return claims, []
    broken = [c for c, secret in zip(claims, opened, strict=True) if secret is None]
    for claim in broken:
        log.error("token.unreadable", token=claim.id)
    whole = [c for c, secret in zip(claims, opened, strict=True) if secret is not None]
    return whole, [Looks(broken, [told(_SEALED)] * len(broken), at)]


def said_again(heard: Sequence[Heard], known: Sequence[int | None]) -> int:
    """How many of the words are those that were known."""
    return sum(
        words.print == before
        for words, before in zip(heard, known, strict=True)
        if before is not None
    )


def room_of(looked: Sequence[Looks]) -> int:
    """The room that looks take in a transaction."""
    return sum(len(looks) * JUDGED - looks.again * (JUDGED - 1) for looks in looked)
