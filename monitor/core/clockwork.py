"""Clockwork: whether the wall clock may be believed, and why not."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from monitor.core.incident import Incident

MOVED_BY: Final = timedelta(minutes=2)
"""So much may the wall clock move against the steady one."""
APART: Final = timedelta(minutes=5)
"""So much may two clocks differ: ours, a replica's, Meta's."""


class Doubt(StrEnum):
    """Why the wall clock is not believed."""

    UNPROVEN = "unproven"
    """Nothing speaks against it, but nothing vouches for it yet."""
    MOVED = "moved"
    """It moved against the steady clock."""
    BEHIND = "behind"
    """It lies before an instant we have written down."""
    APART = "apart"
    """It differs from the `Date` of Meta's reply."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks, read at once."""

    wall: datetime
    """What everybody else goes by, and anybody may set."""
    steady: timedelta
    """Time since the machine started, sleep included; nobody can set it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What time it is at Meta, with our clocks around the call."""

    date: datetime
    sent: Reading
    received: Reading

    @property
    def apart(self) -> timedelta:
        """How far our clock is ahead of Meta's; negative: behind.

        The reply may have been written at any instant of the call, which may have
        taken long: a process can be stopped while it waits.
        """
        took = self.received.steady - self.sent.steady
        ahead = self.received.wall - self.date
        return ahead if ahead < timedelta() else max(timedelta(), ahead - took)


def moved(before: Reading, now: Reading) -> timedelta:
    """How far the wall clock moved against the steady one.

    Sleep moves both alike, and so does a process that was stopped. A virtual machine
    that was frozen from outside may show as a move: then Meta's `Date` agrees.
    """
    return (now.wall - before.wall) - (now.steady - before.steady)


def doubt(
    now: Reading,
    *,
    before: Reading | None = None,
    stored: datetime | None = None,
    heard: Heard | None = None,
) -> Doubt | None:
    """Whether the wall clock is to be distrusted, and why.

    Args:
        now: The clocks now.
        before: The clocks when the wall clock was last believed, by this process.
        stored: The newest instant that any daemon wrote down as its present.
        heard: What Meta said last, if it was asked since; it outweighs the others.
    """
    if heard is not None:
        return Doubt.APART if abs(heard.apart) > APART else None
    if before is not None and abs(moved(before, now)) > MOVED_BY:
        return Doubt.MOVED
    if stored is not None and stored - now.wall > APART:
        return Doubt.BEHIND
    return None


def vouches(stored: datetime | None, now: Reading) -> bool:
    """Whether an instant at which a daemon believed its clock speaks for ours."""
    return stored is not None and abs(stored - now.wall) <= APART


def back_from_the_future(
    incident: Incident, now: datetime, *, of_token: bool
) -> Incident:
    """The incident without instants that lie ahead, so that nothing waits for them.

    What was decided about a token at a time that has not come is not believed: its
    matter is closed, and the next judgement opens what is true now.
    """
    latest = now + APART
    if of_token and max(incident.opened_at, incident.last_notice_at or now) > latest:
        return replace(incident, closed_at=now)

    def past(at: datetime | None) -> datetime | None:
        return now if at is not None and at > latest else at

    healing = incident.healing
    return replace(
        incident,
        opened_at=now if incident.opened_at > latest else incident.opened_at,
        last_notice_at=past(incident.last_notice_at),
        settled_at=past(incident.settled_at),
        first_told_at=past(incident.first_told_at),
        critical_since=past(incident.critical_since),
        healing=None if healing is not None and healing.since > latest else healing,
    )
