"""Tell: what a letter carries, what it waits for, and what a server's reply means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from monitor.core.incident import Reason
from monitor.core.tokens import Code
from monitor.core.verdict import Finding, Severity

SUDDEN_LOOK_AGE: Final = timedelta(minutes=5)
DATED_LOOK_AGE: Final = timedelta(minutes=15)
LOOK_PATIENCE: Final = timedelta(minutes=1)
"""How soon the courier comes back to see whether an owed look was taken."""
GIVE_UP_AFTER: Final = timedelta(days=4)
"""RFC 5321, section 4.5.4.1: the give-up time needs to be at least 4-5 days."""
CHANNEL_PAUSE: Final = timedelta(minutes=5)
_FIRST_RETRY: Final = timedelta(minutes=5)
_LONGEST_RETRY: Final = timedelta(hours=4)
_LAST_DAY: Final = timedelta(hours=24)


class Role(StrEnum):
    """Why somebody is written to."""

    OWNER = "owner"
    OPERATOR = "operator"
    ESCALATION = "escalation"


@dataclass(frozen=True, slots=True)
class Item:
    """One matter as a letter tells it: facts only, the words are the templates'."""

    subject: str
    """`token:ID`, `app:ID` or `letter:ID`."""
    incident: str
    """The incident's public id."""
    number: int
    """The number of the notice within the incident."""
    reason: Reason
    findings: tuple[Finding, ...]
    """What is wrong; for `resolved`, what was told."""
    app_id: str
    app_name: str
    opened_at: datetime
    verified_at: datetime | None = None
    """When Meta last said something conclusive."""
    token_id: str | None = None
    kind: str | None = None
    name: str | None = None
    """What the owner calls it."""
    used_for: str | None = None
    """What stops without it."""
    reauthorize_url: str | None = None
    reminder: int = 0
    """Which reminder this is, from 1; 0 if it is none."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What only the operator's letters need, such as Graph's code."""

    @property
    def severity(self) -> Severity:
        """The worst of the findings."""
        severities = {finding.meaning.severity for finding in self.findings}
        critical = Severity.CRITICAL in severities
        return Severity.CRITICAL if critical else Severity.WARNING

    @property
    def deadline(self) -> datetime | None:
        """The nearest date among the findings."""
        dates = [f.deadline for f in self.findings if f.deadline is not None]
        return min(dates, default=None)

    @property
    def dead(self) -> bool:
        """Whether something has stopped already."""
        return self.severity is Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class Letter:
    """Everything one person is told about one product at one time."""

    id: str
    message_id: str
    """With its angle brackets; the same on every attempt."""
    role: Role
    product: str
    """The product the reader knows, first in the subject."""
    to: str
    """One address."""
    items: tuple[Item, ...]
    """Worst first, at least one."""
    name: str | None = None
    cc: tuple[str, ...] = ()
    locale: str = "en"
    timezone: str = "UTC"
    references: tuple[str, ...] = ()
    """Message-IDs of the letters that first told this reader of these incidents."""


# --- the gate -------------------------------------------------------------------


class Waiting(StrEnum):
    """Why an entry is not sent yet."""

    GROUP = "group_wait"
    LOOK = "look"
    RECOVERING = "recovering"
    """A good look was seen; the next one closes the matter or lets the letter go."""
    SILENCE = "silence"
    HOURS = "hours"
    CHANNEL = "channel"
    RETRY = "retry"
    ATTEMPT = "attempt"
    """Some courier has it in hand."""
    DAMAGED = "damaged"
    """It cannot be read; tried again every hour."""


class Drop(StrEnum):
    """Why an entry is outlived."""

    SUPERSEDED = "superseded"
    """The same reader has a later notice of the incident."""
    CLOSED = "closed"
    """The matter closed before he was told."""
    NOT_RECIPIENT = "not_recipient"
    GONE = "gone"
    """The token was removed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A reason to wait, and when to ask the gate again."""

    why: Waiting
    until: datetime


@dataclass(frozen=True, slots=True)
class Hours:
    """Office hours in which letters leave, in the reader's zone."""

    days: frozenset[int]
    """Weekdays, Monday is 0."""
    opens: time
    closes: time

    def next_open(self, now: datetime, timezone: str) -> datetime:
        """`now` if it is within hours, else the next opening, in UTC."""
        zone = ZoneInfo(timezone)
        local = now.astimezone(zone)
        for ahead in range(8):
            day = (local + timedelta(days=ahead)).date()
            if day.weekday() not in self.days:
                continue
            opens = datetime.combine(day, self.opens, zone).astimezone(UTC)
            closes = datetime.combine(day, self.closes, zone).astimezone(UTC)
            if now < closes:
                return max(now, opens)
        return now


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry before the gate, with the present state of what it speaks of."""

    item: Item
    role: Role
    planned_at: datetime
    looked_at: datetime | None
    """The look that planned it."""
    asked_look_at: datetime | None
    """When the courier asked for a last look, if it did."""
    newer_notice: bool = False
    closed: bool = False
    gone: bool = False
    recipient: bool = True
    """Whether the reader is still one who should be told."""
    recovering: bool = False
    """The incident has had its first good look."""
    true_now: bool = True
    """Whether something the entry tells is still found; for `resolved`, nothing is."""
    verified_at: datetime | None = None
    last_checked_at: datetime | None = None
    next_check_at: datetime | None = None
    app_paused: bool = False
    trust_for: timedelta = _LAST_DAY
    silenced_until: datetime | None = None
    timezone: str = "UTC"


Passage: TypeAlias = Wait | Drop | None
"""`None`: it may go."""


def gate(entry: Pending, hours: Hours | None, now: datetime) -> Passage:
    """Whether an entry may go, waits and until when, or is outlived.

    Asked when a letter is sealed and again just before `MAIL FROM`.
    """
    outlived = _outlived(entry)
    if outlived is not None:
        return outlived
    if entry.silenced_until is not None and entry.silenced_until > now:
        return Wait(Waiting.SILENCE, entry.silenced_until)
    if hours is not None and entry.role is not Role.OPERATOR and _can_wait(entry, now):
        opens = hours.next_open(now, entry.timezone)
        if opens > now:
            return Wait(Waiting.HOURS, min(opens, _last_day_of(entry) or opens))
    if entry.item.reason is Reason.RESOLVED or entry.item.token_id is None:
        return None
    return _look(entry, now)


def _outlived(entry: Pending) -> Drop | None:
    if entry.gone:
        return Drop.GONE
    if entry.newer_notice:
        return Drop.SUPERSEDED
    if entry.item.reason is Reason.RESOLVED:
        return None if entry.true_now else Drop.SUPERSEDED
    if entry.closed:
        return Drop.CLOSED
    return None if entry.recipient else Drop.NOT_RECIPIENT


def _can_wait(entry: Pending, now: datetime) -> bool:
    """Office hours are kept, except when less than a day is left."""
    if entry.item.reason is Reason.RESOLVED:
        return True
    last_day = _last_day_of(entry)
    return not entry.item.dead and (last_day is None or now < last_day)


def _last_day_of(entry: Pending) -> datetime | None:
    """The first instant with less than a day left; `None`: there is no such date."""
    deadline = entry.item.deadline
    if deadline is None or entry.item.reason is Reason.RESOLVED:
        return None
    return deadline - _LAST_DAY + timedelta.resolution


def _look(entry: Pending, now: datetime) -> Passage:
    """The last look: between deciding and saying, the world moves.

    Sudden news needs a conclusive look newer than the one that planned it and under
    five minutes old; dated news one under fifteen minutes old. If the look cannot
    tell, news of the token's own date goes all the same; sudden and data-access news
    waits for up to `trust_for`; a reminder waits.
    """
    if entry.recovering or not entry.true_now:
        again = entry.next_check_at or now + LOOK_PATIENCE
        return Wait(Waiting.RECOVERING, max(again, now + LOOK_PATIENCE))
    sudden = any(finding.sudden for finding in entry.item.findings)
    oldest = now - (SUDDEN_LOOK_AGE if sudden else DATED_LOOK_AGE)
    seen = entry.verified_at
    if seen is not None and seen > oldest:
        planned = entry.looked_at
        if not sudden or planned is None or seen > planned:
            return None
    if not _look_failed(entry):
        return Wait(Waiting.LOOK, now + LOOK_PATIENCE)
    if entry.item.reason is Reason.REMINDER:
        return Wait(Waiting.LOOK, now + LOOK_PATIENCE)
    own_date = not sudden and any(
        finding.code in {Code.EXPIRING, Code.EXPIRED} for finding in entry.item.findings
    )
    if own_date or now - entry.planned_at >= entry.trust_for:
        return None
    return Wait(Waiting.LOOK, now + LOOK_PATIENCE)


def _look_failed(entry: Pending) -> bool:
    """Whether the last look was owed, tried, and could not tell."""
    if entry.app_paused:
        return True
    asked, tried, seen = entry.asked_look_at, entry.last_checked_at, entry.verified_at
    if asked is None or tried is None or tried < asked:
        return False
    return seen is None or seen < tried


# --- the server's reply ---------------------------------------------------------


class Phase(StrEnum):
    """How far an SMTP conversation had come."""

    CONNECT = "connect"
    HELLO = "hello"
    """EHLO, STARTTLS and AUTH."""
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    """Up to and including the message, without its final dot."""
    DOT = "dot"
    """The final dot was written; its reply is awaited."""


class Outcome(StrEnum):
    """What became of one attempt."""

    SENT = "sent"
    DEFERRED = "deferred"
    """Not accepted now; the letter is tried again, ever later."""
    UNKNOWN = "unknown"
    """The dot was written and no reply came: perhaps sent, so the very same letter
    is tried again."""
    REFUSED = "refused"
    """Never to be accepted; nobody is tried again."""
    CHANNEL = "channel"
    """The way to the server is in trouble, no letter's fault and no letter's clock."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at handing a letter over."""

    outcome: Outcome
    phase: Phase
    code: int | None = None
    """The reply code; `None`: no reply came."""
    reply: str = ""
    """The first line of the reply, without addresses, for the operator."""


_SMTP_PERMANENT: Final = 500


def outcome_of(phase: Phase, code: int | None) -> Outcome:
    """What a failed attempt means, by how far it came.

    Up to the reply to `MAIL FROM` trouble is the channel's; from `RCPT` on it is the
    letter's: 5xx is final, everything else is tried again.
    """
    if phase in {Phase.CONNECT, Phase.HELLO, Phase.MAIL}:
        return Outcome.CHANNEL
    if code is None:
        return Outcome.UNKNOWN if phase is Phase.DOT else Outcome.DEFERRED
    return Outcome.REFUSED if code >= _SMTP_PERMANENT else Outcome.DEFERRED


def retry_at(attempts: int, now: datetime, jitter: float) -> datetime:
    """When a deferred letter is tried again: doubling waits, at most four hours.

    Args:
        attempts: How often it was tried so far, at least 1.
        now: The present instant.
        jitter: From 0 to 1; stretches the wait by up to a quarter.
    """
    wait: timedelta = min(_FIRST_RETRY * 2 ** min(attempts - 1, 12), _LONGEST_RETRY)
    return now + wait * (1 + jitter / 4)
