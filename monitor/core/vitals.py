"""Vitals: which organ of the monitor does not do its work, and since when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from monitor.core.quota import coverage

STALLED_AFTER: Final = timedelta(minutes=15)
"""Without a finished pass or a recorded answer for so long, a job has stalled.

A hundred apps at a Graph that swallows every call take a pass of twelve minutes.
"""
DATABASE_GONE_AFTER: Final = timedelta(minutes=1)
"""A PostgreSQL that is started anew is back within half of it."""
BLIND_AFTER: Final = timedelta(hours=1)
"""An app that tells nothing for so long has more than a passing trouble: after twelve
tries at the shortest wait, or one at the longest."""
LATE_AFTER: Final = timedelta(minutes=15)
"""So long beyond its rule a token may go without a look; a quota may excuse more."""
SHUT_AFTER: Final = timedelta(minutes=15)
"""Three tries at a mail server, which are five minutes apart."""
UNSENT_AFTER: Final = timedelta(minutes=15)
"""Nothing leaves while something is due: many passes found nothing they could do."""
STUCK_AFTER: Final = timedelta(hours=1)
"""What is due for so long is stuck, whatever else leaves."""
TICKS_MISSED: Final = 3
"""With long ticks a bound is not shorter than so many of them."""
_HOUR: Final = timedelta(hours=1)


def late_after(
    tokens: int,
    needs: float,
    hourly: int | None,
    *,
    slowed: bool,
    trust_for: timedelta,
) -> timedelta:
    """How late the looks at an app's tokens may be, before it is the monitor's fault.

    A quota excuses what it costs to catch up; one that does not carry the policies,
    or that Meta says is spent, excuses everything up to `trust_for`.

    Args:
        tokens: The tokens of the app.
        needs: Looks an hour that its policies ask for.
        hourly: The calls the operator allows it; `None`: no quota is known.
        slowed: Whether Meta's own word slows it down.
        trust_for: For so long the last answer is believed.
    """
    covered = coverage(tokens, needs, hourly)
    if slowed or not covered.enough:
        return max(trust_for, LATE_AFTER)
    if covered.carries is None:
        return LATE_AFTER
    return LATE_AFTER + tokens / covered.carries * _HOUR


class Organ(StrEnum):
    """A part without which nobody may trust the monitor."""

    SCHEDULER = "scheduler"
    DATABASE = "database"
    GRAPH = "graph"
    SMTP = "smtp"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Ailment:
    """An organ that does not do its work."""

    organ: Organ
    what: str
    """What is seen, in plain words without secrets, for a page and a letter."""
    since: datetime | None = None
    told: bool = False
    """Whether the operator has a letter of its own about it, or cannot be reached by
    one; else it is told as a matter of `coverage`."""


@dataclass(frozen=True, slots=True)
class AppSigns:
    """How it stands with the tokens of one app."""

    name: str
    silent_since: datetime | None = None
    """Since when asking brought nothing conclusive; a spent quota does not count."""
    rejected_since: datetime | None = None
    """Since when Meta refuses our credentials."""
    late: int = 0
    """Tokens without a look for longer than their rule says."""
    late_since: datetime | None = None
    """When the first of them should have been looked at."""
    late_after: timedelta = LATE_AFTER
    """How late may be: a spent or a small quota excuses more."""


@dataclass(frozen=True, slots=True)
class PostSigns:
    """How it stands with letters. What waits for a named reason is not owed."""

    shut_since: datetime | None = None
    """Since when the way to the mail server fails."""
    reply: str = ""
    """What it answered last."""
    owed_since: datetime | None = None
    """When the oldest entry or letter fell due that should have left since."""
    sent_at: datetime | None = None
    """When a letter was last accepted; only told while something is owed."""
    deferred_since: datetime | None = None
    """Since when several readers' letters are put off and nobody's was accepted."""
    refused_since: datetime | None = None
    """Since when letters to an operator are refused."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is measured of the whole monitor, seen by one process."""

    began_at: datetime
    """Since when this process has been watching without a gap. What was neglected
    before, while nobody ran, is caught up on first."""
    tick: timedelta = timedelta()
    checked_at: datetime | None = None
    """When the checker last finished a pass, or recorded answers in one."""
    delivered_at: datetime | None = None
    """When the courier last finished a pass, or tried a letter in one."""
    stored_at: datetime | None = None
    """When the database last did what the caretaker told it."""
    failing_since: datetime | None = None
    """When the first try began that it has not answered, and none since."""
    doubted_since: datetime | None = None
    """Since when the clock is not believed."""
    apps: tuple[AppSigns, ...] = ()
    post: PostSigns = PostSigns()

    @property
    def alive(self) -> bool:
        """Whether every job has come through since this process began."""
        seen = (self.checked_at, self.delivered_at, self.stored_at)
        return all(at is not None for at in seen)


def ailments(signs: Signs, now: datetime) -> tuple[Ailment, ...]:
    """What does not do its work; only what can be told.

    By a clock that is doubted no age is known; without the database what it says of
    the other organs is old.
    """
    if signs.doubted_since is not None:
        what = "the clock of this machine is not believed, so nothing is asked"
        # The guard writes to the operator, once anything speaks against the clock.
        return (Ailment(Organ.CLOCK, what, signs.doubted_since, told=True),)
    gone = _database(signs, now, "the database cannot be used")
    if gone:
        return gone
    at = _Moment(signs, now)
    return (*_scheduler(at), *_graph(at), *_smtp(at))


def database_was_gone(signs: Signs, now: datetime) -> tuple[Ailment, ...]:
    """What is told of a database that can be used again just now, after its bound."""
    if signs.doubted_since is not None:
        return ()
    return _database(signs, now, "the database could not be used, and works again")


def _database(signs: Signs, now: datetime, what: str) -> tuple[Ailment, ...]:
    if _Moment(signs, now).lasts(signs.failing_since, DATABASE_GONE_AFTER):
        return (Ailment(Organ.DATABASE, what, signs.failing_since),)
    return ()


@dataclass(frozen=True, slots=True)
class _Moment:
    signs: Signs
    now: datetime

    def lasts(self, since: datetime | None, bound: timedelta) -> bool:
        """Whether it is so for the bound, as far as this process has watched it."""
        if since is None:
            return False
        least = self.signs.tick * TICKS_MISSED
        return self.now - max(since, self.signs.began_at) >= max(bound, least)


def _scheduler(at: _Moment) -> Iterator[Ailment]:
    signs = at.signs
    for name, done_at in (
        ("checker", signs.checked_at),
        ("courier", signs.delivered_at),
        ("caretaker", signs.stored_at),
    ):
        since = done_at or signs.began_at
        if at.lasts(since, STALLED_AFTER):
            yield Ailment(Organ.SCHEDULER, f"the {name} gets nothing done", since)
    for app in signs.apps:
        if at.lasts(app.late_since, app.late_after):
            what = f"{app.late} tokens of {app.name} go without the looks they are due"
            yield Ailment(Organ.SCHEDULER, what, app.late_since, _explained(app))


def _explained(app: AppSigns) -> bool:
    """Whether another matter says why no token of the app is looked at."""
    return app.rejected_since is not None


def _graph(at: _Moment) -> Iterator[Ailment]:
    for app in at.signs.apps:
        if app.rejected_since is not None:
            what = f"Meta refuses the credentials of {app.name}"
            yield Ailment(Organ.GRAPH, what, app.rejected_since, told=True)
        elif at.lasts(app.silent_since, BLIND_AFTER):
            what = f"Meta says nothing conclusive about any token of {app.name}"
            yield Ailment(Organ.GRAPH, what, app.silent_since)


def _smtp(at: _Moment) -> Iterator[Ailment]:
    post = at.signs.post
    if post.refused_since is not None:
        what = "letters to the operator are refused"
        yield Ailment(Organ.SMTP, what, post.refused_since, told=True)
    if post.shut_since is not None:
        if at.lasts(post.shut_since, SHUT_AFTER):
            reply = f" ({post.reply})" if post.reply else ""
            what = f"the way to the mail server fails{reply}"
            yield Ailment(Organ.SMTP, what, post.shut_since)
        return  # why what is due does not leave
    unsent = post.sent_at is None or at.lasts(post.sent_at, UNSENT_AFTER)
    if at.lasts(post.owed_since, UNSENT_AFTER if unsent else STUCK_AFTER):
        what = "letters are due and do not leave"
        yield Ailment(Organ.SMTP, what, post.owed_since)
    if at.lasts(post.deferred_since, STUCK_AFTER):
        what = "the mail server puts off every letter"
        yield Ailment(Organ.SMTP, what, post.deferred_since)
