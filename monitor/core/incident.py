"""Advance: when somebody hears of a matter, and why exactly now."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from monitor.core.policy import Rule
from monitor.core.tokens import Code
from monitor.core.verdict import (
    MEANINGS,
    Audience,
    Severity,
    Verdict,
    crossed,
    severity_of,
)

MOST_REMINDERS: Final = 3
"""After so many reminders only the operator's report goes on naming the matter."""

_ONE_DAY: Final = timedelta(days=1)
_AN_INSTANT: Final = timedelta.resolution


class Reason(StrEnum):
    """Why a notice is due."""

    OPENED = "opened"
    WORSENED = "worsened"
    """A code was found that was not yet told in this incident."""
    CLOSER = "closer"
    """A tighter lead time was crossed."""
    REMINDER = "reminder"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    REPORT = "report"
    """No incident of anybody: the operator's regular report is due."""


@dataclass(frozen=True, slots=True)
class Rung:
    """The lead time last spoken of on the way to a deadline."""

    deadline: datetime
    lead: timedelta


@dataclass(frozen=True, slots=True)
class Healing:
    """The first good look of an incident that is not closed yet."""

    since: datetime
    by_answer: bool
    """A new answer healed it, not a change of policy or inventory."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One matter of one subject, from the first notice to the last."""

    opened_at: datetime
    told: frozenset[Code] = frozenset()
    """The codes planned to be told; a notice tells everything true at its instant."""
    rungs: Mapping[Code, Rung] = field(default_factory=dict)
    notices: int = 0
    """The number of the last notice."""
    last_reason: Reason | None = None
    last_notice_at: datetime | None = None
    settled_at: datetime | None = None
    """When the last notice was sent or refused; `None` while it waits."""
    first_told_at: datetime | None = None
    """When the first notice was settled."""
    critical_since: datetime | None = None
    reminders: int = 0
    escalated: bool = False
    healing: Healing | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to say: why, about what, to whom."""

    number: int
    reason: Reason
    codes: tuple[Code, ...]
    """Everything true now, or for `resolved` everything that was told."""
    audiences: frozenset[Audience]
    """Whose matter the news is; empty for `escalated`, which has its own readers."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of an incident, and what is to be said, at most one thing."""

    incident: Incident | None = None
    notice: Notice | None = None


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is true, by which rule, when."""

    verdict: Verdict
    rule: Rule
    now: datetime

    @property
    def codes(self) -> tuple[Code, ...]:
        return tuple(finding.code for finding in self.verdict.matters)

    @property
    def critical(self) -> bool:
        return severity_of(self.codes) is Severity.CRITICAL


def advance(
    incident: Incident | None,
    verdict: Verdict,
    rule: Rule,
    now: datetime,
    *,
    healed_by_answer: bool = True,
) -> Step:
    """Move an incident by what is true now; speak at most once.

    Safe to call at any rhythm: a second call at the same instant says nothing, and
    after any silence one notice tells what is true, never one per step missed.

    Args:
        incident: The open incident of the subject, if there is one.
        verdict: What is thought of the subject now.
        rule: The policy it lives under.
        now: The present instant.
        healed_by_answer: If all is well now: whether Meta's answer made it so, or a
            change of policy or inventory did.
    """
    if verdict.severity is Severity.UNKNOWN:
        return Step(incident)
    at = _Moment(verdict, rule, now)
    if verdict.matters:
        return _bad(incident, at)
    if incident is None:
        return Step()
    return _good(incident, at, healed_by_answer=healed_by_answer)


def _bad(incident: Incident | None, at: _Moment) -> Step:
    codes = frozenset(at.codes)
    if incident is None:
        return _speak(Incident(opened_at=at.now), Reason.OPENED, codes, at)
    incident = replace(
        incident,
        rungs=_moved_rungs(incident, at),
        healing=None,
        critical_since=(incident.critical_since or at.now) if at.critical else None,
    )
    untold = codes - incident.told
    if untold:
        return _speak(incident, Reason.WORSENED, untold, at)
    closer = _tighter(incident, at)
    if closer:
        return _speak(incident, Reason.CLOSER, frozenset(closer), at)
    return _repeat(incident, at) if at.critical else Step(incident)


def _repeat(incident: Incident, at: _Moment) -> Step:
    """Reminders and escalation, counted from what has really been sent."""
    settled_at = incident.settled_at
    if settled_at is None:
        return Step(incident)
    if _escalation_due(incident, at):
        incident = replace(incident, escalated=True)
        return _speak(incident, Reason.ESCALATED, frozenset(), at)
    due = at.now - settled_at >= at.rule.remind_every
    if due and incident.reminders < MOST_REMINDERS:
        incident = replace(incident, reminders=incident.reminders + 1)
        return _speak(incident, Reason.REMINDER, frozenset(at.codes), at)
    return Step(incident)


def _escalation_due(incident: Incident, at: _Moment) -> bool:
    since, told = incident.critical_since, incident.first_told_at
    if incident.escalated or not at.rule.escalate_to or since is None or told is None:
        return False
    return at.now - max(since, told) >= at.rule.escalate_after


def _good(incident: Incident, at: _Moment, *, healed_by_answer: bool) -> Step:
    looked_at = at.verdict.verified_at or at.now
    healing = incident.healing
    if healing is None:
        if not healed_by_answer:
            return Step(replace(incident, closed_at=at.now))
        healing = Healing(looked_at, by_answer=True)
        return Step(replace(incident, healing=healing))
    if looked_at - healing.since < max(at.rule.confirm_after, _AN_INSTANT):
        return Step(incident)
    told = _in_order(incident.told)
    notice = Notice(
        incident.notices + 1,
        Reason.RESOLVED,
        told,
        frozenset(MEANINGS[code].audience for code in told),
    )
    closed = replace(
        incident,
        closed_at=at.now,
        notices=notice.number,
        last_reason=notice.reason,
        last_notice_at=at.now,
    )
    return Step(closed, notice)


def _speak(
    incident: Incident, reason: Reason, news: frozenset[Code], at: _Moment
) -> Step:
    notice = Notice(
        incident.notices + 1,
        reason,
        at.codes,
        frozenset(MEANINGS[code].audience for code in news),
    )
    spoken = replace(
        incident,
        told=incident.told | frozenset(at.codes),
        rungs={**incident.rungs, **_tighter(incident, at)},
        notices=notice.number,
        last_reason=reason,
        last_notice_at=at.now,
        settled_at=None,
        critical_since=(incident.critical_since or at.now) if at.critical else None,
    )
    return Step(spoken, notice)


def leads_of(code: Code, rule: Rule) -> tuple[timedelta, ...]:
    """The lead times at which a dated code is spoken of."""
    if code is Code.EXPIRING:
        return rule.warn_before
    if code is Code.DATA_ACCESS_EXPIRING:
        return rule.data_access_warn_before
    return ()


def _rungs_now(at: _Moment) -> dict[Code, Rung]:
    rungs = {}
    for finding in at.verdict.matters:
        if finding.deadline is None:
            continue
        lead = crossed(leads_of(finding.code, at.rule), finding.deadline, at.now)
        if lead is not None:
            rungs[finding.code] = Rung(finding.deadline, lead)
    return rungs


def _moved_rungs(incident: Incident, at: _Moment) -> dict[Code, Rung]:
    """The rungs told, following deadlines that moved later by a day, in silence.

    A deadline named after the old one has passed is no extension but a new ladder.
    """
    rungs = dict(incident.rungs)
    for code, rung in _rungs_now(at).items():
        told = rungs.get(code)
        if told is None or rung.deadline - told.deadline < _ONE_DAY:
            continue
        if at.now < told.deadline:
            rungs[code] = rung
        else:
            del rungs[code]
    return rungs


def _tighter(incident: Incident, at: _Moment) -> dict[Code, Rung]:
    """The rungs of this instant that were not told yet."""
    return {
        code: rung
        for code, rung in _rungs_now(at).items()
        if code not in incident.rungs or rung.lead < incident.rungs[code].lead
    }


def _in_order(codes: frozenset[Code]) -> tuple[Code, ...]:
    return tuple(code for code in MEANINGS if code in codes)


def settled(incident: Incident, number: int, now: datetime) -> Incident:
    """The incident after its notice `number` was sent or refused."""
    if number != incident.notices:
        return replace(incident, first_told_at=incident.first_told_at or now)
    return replace(
        incident,
        settled_at=incident.settled_at or now,
        first_told_at=incident.first_told_at or now,
    )
