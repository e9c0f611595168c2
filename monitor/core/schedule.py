"""When to look next, and when time alone will change what we say."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from monitor.core.incident import MOST_REMINDERS, Incident
from monitor.core.observation import Observation
from monitor.core.policy import Rule

_SHORTEST: Final = timedelta(seconds=1)
_LAST_DAY: Final = timedelta(hours=24)
_OFTEN_ENOUGH: Final = timedelta(minutes=5)
"""A date that comes near makes nobody look more often than this."""
BACKOFF_CAP: Final = timedelta(hours=1)
"""However often an app fails, it is tried again after so long."""


class Urgency(IntEnum):
    """Which of the due tokens are looked at first; the smaller the sooner."""

    LOOK_OWED = 0
    """A letter waits for a last look."""
    CONFIRM = 1
    """A suspicion or a first good look waits for the second."""
    RISKY = 2
    """Near a date, bad already, or in the dark: the last look could not tell."""
    ROUTINE = 3


def next_check_at(
    observation: Observation,
    incident: Incident | None,
    rule: Rule,
    asked_at: datetime,
    *,
    conclusive: bool,
    spread: float = 1.0,
) -> datetime:
    """When to ask again: always after `asked_at`, never later than `check_every`.

    A token near its date is looked at more often, one without any date as seldom as
    the rule allows.

    Args:
        observation: What is known and suspected after the look.
        incident: The open incident, if any.
        rule: The policy of the token.
        asked_at: When it was asked last.
        conclusive: Whether that look could tell.
        spread: From 0.9 to 1, to keep a fleet from marching in step.
    """
    if not conclusive:
        return asked_at + min(rule.retry_every, rule.check_every)
    pending = confirmation_at(observation, incident, rule)
    if pending is not None:
        wait = max(min(rule.confirm_after, rule.retry_every) / 2, _SHORTEST)
        latest = asked_at + rule.check_every * spread
        return min(latest, max(pending, asked_at + wait))
    latest = asked_at + look_every(observation, rule, asked_at) * spread
    turn = next_turn(observation, rule, asked_at)
    return latest if turn is None else min(latest, turn)


def look_every(observation: Observation, rule: Rule, at: datetime) -> timedelta:
    """How long a token may go without a look: the nearer its date, the shorter.

    Half of `check_every` within the widest lead time of a date that lies ahead, a
    quarter within its last day; but never less than `retry_every` or five minutes,
    and never more than `check_every`.
    """
    parts = 1
    for end, leads in _dates(observation, rule):
        left = end - at
        if left <= timedelta():
            continue
        if left <= _LAST_DAY:
            parts = 4
        elif left <= _widest(leads):
            parts = max(parts, 2)
    least = max(rule.retry_every, _OFTEN_ENOUGH)
    return min(rule.check_every, max(rule.check_every / parts, least))


def confirmation_at(
    observation: Observation, incident: Incident | None, rule: Rule
) -> datetime | None:
    """When a second look can settle what a first one said; `None`: nothing pends."""
    if observation.suspicion is not None:
        return observation.suspicion.since + rule.confirm_after
    if incident is None or incident.healing is None or incident.closed_at is not None:
        return None
    return incident.healing.since + rule.confirm_after


def judge_at(
    observation: Observation, incident: Incident | None, rule: Rule, now: datetime
) -> datetime | None:
    """The next instant at which a verdict or a letter falls due without any look.

    It keeps the ladder of known dates going while an app cannot be asked.
    """
    turn = next_turn(observation, rule, now)
    if incident is None or incident.closed_at is not None:
        return turn
    turns = [each for each in _repeats(incident, rule) if each > now]
    return min(turns if turn is None else [turn, *turns], default=None)


def next_turn(observation: Observation, rule: Rule, after: datetime) -> datetime | None:
    """The next lead time or date of what is known, after this instant."""
    turns = [
        turn
        for end, leads in _dates(observation, rule)
        if (turn := _first_turn(end, leads, after))
    ]
    return min(turns, default=None)


def _dates(
    observation: Observation, rule: Rule
) -> tuple[tuple[datetime, tuple[timedelta, ...]], ...]:
    """The dates of a living token, past ones too, each with its lead times."""
    known = observation.known
    if known is None or not known.alive:
        return ()
    dates = (
        (known.expires_at, rule.warn_before),
        (known.data_access_expires_at, rule.data_access_warn_before),
    )
    return tuple([(end, leads) for end, leads in dates if end is not None])


def _widest(leads: tuple[timedelta, ...]) -> timedelta:
    """The first one: a rule keeps its lead times widest first."""
    return leads[0] if leads else timedelta()


def _first_turn(
    end: datetime, leads: tuple[timedelta, ...], after: datetime
) -> datetime | None:
    left = end - after
    for lead in leads:  # widest first
        if lead < left:
            return end - lead
    return end if left > timedelta() else None


def _repeats(incident: Incident, rule: Rule) -> Iterator[datetime]:
    if incident.settled_at is None or incident.critical_since is None:
        return
    if incident.reminders < MOST_REMINDERS:
        yield incident.settled_at + rule.remind_every
    if rule.escalate_to and not incident.escalated and incident.first_told_at:
        since = max(incident.first_told_at, incident.critical_since)
        yield since + rule.escalate_after


def urgency(
    observation: Observation,
    incident: Incident | None,
    rule: Rule,
    *,
    at: datetime | None = None,
    conclusive: bool = True,
) -> Urgency:
    """How urgent the next look is.

    Args:
        observation: What is known and suspected after the last look.
        incident: The open incident, if any.
        rule: The policy of the token.
        at: When the next look is due; `None`: the risk is that of the last answer.
        conclusive: Whether the last look could tell.
    """
    if confirmation_at(observation, incident, rule) is not None:
        return Urgency.CONFIRM
    known = observation.known
    if not conclusive or known is None or not known.alive:
        return Urgency.RISKY
    if incident is not None and incident.closed_at is None:
        return Urgency.RISKY
    at = at or observation.verified_at
    if at is not None:
        for end, leads in _dates(observation, rule):
            if end - at <= max(_widest(leads), _LAST_DAY):
                return Urgency.RISKY
    return Urgency.ROUTINE


def backoff(failures: int, first: timedelta) -> timedelta:
    """How long an app rests after so many failures in a row: doubling to an hour."""
    if failures < 1:
        return timedelta()
    doubled: timedelta = first * 2 ** min(failures - 1, 12)
    return min(doubled, max(BACKOFF_CAP, first))
