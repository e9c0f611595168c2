"""When to look next, and when time alone will change what we say."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from monitor.core.incident import MOST_REMINDERS, Incident, leads_of
from monitor.core.observation import Observation
from monitor.core.policy import Rule
from monitor.core.tokens import Code

_SHORTEST: Final = timedelta(seconds=1)
BACKOFF_CAP: Final = timedelta(hours=1)
"""However often an app fails, it is tried again after so long."""


class Urgency(IntEnum):
    """Which of the due tokens are looked at first; the smaller the sooner."""

    LOOK_OWED = 0
    """A letter waits for a last look."""
    CONFIRM = 1
    """A suspicion or a first good look waits for the second."""
    RISKY = 2
    """Near a date, in trouble already, or never told anything about."""
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

    Args:
        observation: What is known and suspected after the look.
        incident: The open incident, if any.
        rule: The policy of the token.
        asked_at: When it was asked last.
        conclusive: Whether that look could tell.
        spread: From 0.9 to 1, to keep a fleet from marching in step.
    """
    latest = asked_at + rule.check_every * spread
    if not conclusive:
        return asked_at + min(rule.retry_every, rule.check_every)
    pending = confirmation_at(observation, incident, rule)
    if pending is not None:
        wait = max(min(rule.confirm_after, rule.retry_every) / 2, _SHORTEST)
        return min(latest, max(pending, asked_at + wait))
    turn = next_turn(observation, rule, asked_at)
    return latest if turn is None else min(latest, turn)


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
    known = observation.known
    if known is None or not known.alive:
        return None
    turns = [
        turn
        for code, end in (
            (Code.EXPIRING, known.expires_at),
            (Code.DATA_ACCESS_EXPIRING, known.data_access_expires_at),
        )
        if end is not None and (turn := _first_turn(end, leads_of(code, rule), after))
    ]
    return min(turns, default=None)


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


def urgency(observation: Observation, incident: Incident | None, rule: Rule) -> Urgency:
    """How urgent the next look is."""
    if confirmation_at(observation, incident, rule) is not None:
        return Urgency.CONFIRM
    return Urgency.ROUTINE


def backoff(failures: int, first: timedelta) -> timedelta:
    """How long an app rests after so many failures in a row: doubling to an hour."""
    if failures < 1:
        return timedelta()
    doubled: timedelta = first * 2 ** min(failures - 1, 12)
    return min(doubled, max(BACKOFF_CAP, first))
