"""The storm brake: when so much happens at once that owners should not hear of it yet.

Meta once took every session for invalid for two hours, and then none (5 March 2024). A
monitor that believes such an hour writes to everybody. Sudden news of too many users at
once is held back until the operator, the clock or a better answer decides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import Final

from monitor.core.incident import Incident, Notice, Reason
from monitor.core.observation import Suspicion
from monitor.core.tokens import Code, Introspection
from monitor.core.verdict import MEANINGS, Audience, Finding

SUDDEN_NEWS: Final = frozenset(
    code
    for code, meaning in MEANINGS.items()
    if meaning.sudden and meaning.audience is Audience.OWNER
)
"""What a wave may consist of: every owner's matter that no date foretells."""

WITNESSES: Final = 5
"""So many other users are looked at for each one whose token is suspected."""
_MANY: Final = 1_000_000
"""More users are never counted."""
_ENOUGH: Final = 10
"""Times `at_least`."""
LOOK_AGAIN: Final = timedelta(minutes=30)
"""Held tokens are looked at again so often: what recovered shall be known soon."""
PACED_OVER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Brake:
    """When a wave is held, for how long, and how many letters may leave."""

    share: float = 0.05
    """Of the users looked at; more make a wave."""
    at_least: int = 5
    """More than so many users make a wave."""
    within: timedelta = timedelta(minutes=30)
    release_after: timedelta = timedelta(hours=4)
    owner_letters_per_hour: int | None = 200
    """`None`: as many as there are."""
    letters_per_day: int | None = 24
    """To one address, but for the operator's; `None`: as many as there are."""


@dataclass(frozen=True, slots=True)
class Wave:
    """Sudden news at one time, counted by the people it is about."""

    users: int
    tokens: int
    looked_at: int
    """Users looked at within the brake's time, those with news among them."""
    apps: int = 1
    """The apps it was counted over."""


def may_be_wave(users: int, brake: Brake) -> bool:
    """Whether so many users are worth counting the others."""
    return users > brake.at_least


def outvoted_by(users: int, brake: Brake) -> int:
    """How many users must have been looked at for this news to be no wave."""
    if users >= brake.share * _MANY:
        return _MANY  # a share of nothing is outvoted by nobody
    return floor(users / brake.share) + 1


def is_wave(wave: Wave, brake: Brake) -> bool:
    """Whether more people changed together than anything but a storm explains."""
    if not may_be_wave(wave.users, brake):
        return False
    return wave.users > brake.share * wave.looked_at


def is_over(users: int, brake: Brake) -> bool:
    """Whether so few have sudden news that a storm, if it was one, has passed.

    Half of what opens one, so that a hold does not come and go with a single user.
    """
    return users <= brake.at_least // 2


def enough_suspects(brake: Brake) -> int:
    """More suspects than these tell a storm without any witness."""
    return brake.at_least * _ENOUGH


def news_at(
    before: Incident | None,
    notice: Notice | None,
    findings: Sequence[Finding],
    suspicion: Suspicion | None,
    now: datetime,
    brought: Collection[Code] = (),
) -> datetime | None:
    """When the sudden news of a notice was first seen; `None`: it has none.

    A date that was brought forward needs no second look, but many of them are a wave
    like any other.

    Reminders repeat what was told, and so does a notice about a nearer date when what
    is sudden was told before it.

    Args:
        before: The incident before the notice.
        notice: What is said.
        findings: What is true of the token.
        suspicion: What was suspected of it until now.
        now: The present instant.
        brought: What comes sooner than it was known, by this very look.
    """
    if notice is None or notice.reason not in _NEWS:
        return None
    if any(finding.code in brought for finding in findings):
        return suspicion.since if suspicion is not None else now
    told: frozenset[Code] = frozenset()
    if before is not None and before.settled_at is not None:
        told = before.told
    news = (f for f in findings if f.sudden and f.code not in told)
    if not any(finding.code in SUDDEN_NEWS for finding in news):
        return None
    if suspicion is not None:
        return suspicion.since
    return (before.critical_since if before else None) or now


_NEWS: Final = frozenset({Reason.OPENED, Reason.WORSENED, Reason.CLOSER})


def brought_forward(
    old: Introspection | None, new: Introspection | None
) -> frozenset[Code]:
    """The codes whose date comes sooner than a living token was known to have it.

    The dates of a token stand still or move away when its user comes by; none was ever
    seen to come nearer. What one answer says is told all the same (design: dated news
    needs no second look).

    Args:
        old: What was known before the look.
        new: What is known after it.
    """
    if old is None or new is None or not old.alive:
        return frozenset()
    dates = (
        (_LIFE, old.expires_at, new.expires_at),
        (_ACCESS, old.data_access_expires_at, new.data_access_expires_at),
    )
    return frozenset(
        code
        for codes, was, is_now in dates
        if is_now is not None and (was is None or was - is_now > _SLACK)
        for code in codes
    )


_LIFE: Final = (Code.EXPIRING, Code.EXPIRED)
_ACCESS: Final = (Code.DATA_ACCESS_EXPIRING, Code.DATA_ACCESS_EXPIRED)
DATED_NEWS: Final = frozenset({*_LIFE, *_ACCESS})
"""What is news of a wave only if its date was brought forward."""
_SLACK: Final = timedelta(hours=1)
"""A date that moves by less is the same date, told a little differently."""


def is_free(seen_at: datetime, let_go_at: datetime | None) -> bool:
    """Whether news was released, or let go at a deadline: nothing holds it again."""
    return let_go_at is not None and seen_at <= let_go_at


def room(left_at: Sequence[datetime], limit: int, now: datetime) -> int:
    """How many more owner letters may leave now.

    Args:
        left_at: When letters left before.
        limit: The most in any hour.
        now: The present instant.
    """
    return max(limit - sum(at > now - PACED_OVER for at in left_at), 0)


def room_at(left_at: Sequence[datetime], limit: int, now: datetime) -> datetime:
    """When the next letter may leave after a full hour."""
    recent = sorted(at for at in left_at if at > now - PACED_OVER)
    if len(recent) < limit:
        return now
    return recent[len(recent) - limit] + PACED_OVER
