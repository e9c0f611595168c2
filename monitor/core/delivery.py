"""Tell: what a letter carries, what it waits for, and what a server's reply means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from monitor.core.hold import LOOK_AGAIN, is_free
from monitor.core.incident import Reason
from monitor.core.tokens import Code
from monitor.core.verdict import Finding, Severity

SUDDEN_LOOK_AGE: Final = timedelta(minutes=5)
DATED_LOOK_AGE: Final = timedelta(minutes=15)
LOOK_PATIENCE: Final = timedelta(minutes=1)
"""How soon the courier comes back to see whether an owed look was taken."""
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
    """`token:ID`, `app:ID`, `unreachable` or another matter of the operator's."""
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


def rank(item: Item) -> int:
    """What leaves first when not everything may, the smallest first.

    What has stopped comes before what ends soon, good news last.
    """
    if item.reason is Reason.RESOLVED:
        return _GOOD_NEWS
    if item.dead or item.deadline is None:
        return 0
    return int(item.deadline.timestamp())


_GOOD_NEWS: Final = 2**62


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
    """Worst first; none: it is a test of the way letters take."""
    name: str | None = None
    cc: tuple[str, ...] = ()
    locale: str = "en"
    timezone: str = "UTC"
    references: tuple[str, ...] = ()
    """Message-IDs of the letters that first told this reader of these incidents."""
    mute_url: str | None = None
    """Where this reader stops reminders of these matters; `None`: nowhere."""


# --- the gate -------------------------------------------------------------------


class Waiting(StrEnum):
    """Why an entry is not sent yet."""

    GROUP = "group_wait"
    LOOK = "look"
    RECOVERING = "recovering"
    """A good look was seen; the next one closes the matter or lets the letter go."""
    HOLD = "hold"
    """Too many people's tokens changed at once; see `core/hold.py`."""
    PACE = "pace"
    """As many owner letters as an hour may see have left."""
    SILENCE = "silence"
    HOURS = "hours"
    CAP = "cap"
    """As many letters as a day may bring this reader have left; see `core/cap.py`."""
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
    DISCARDED = "discarded"
    """The operator discarded what was held."""
    MUTED = "muted"
    """The reader stopped reminders of the incident."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A reason to wait, and when to ask the gate again."""

    why: Waiting
    until: datetime
    look: bool = False
    """Whether the token is looked at meanwhile, though no letter depends on it."""


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
    news_at: datetime | None = None
    """When its sudden news was first seen."""
    held_until: datetime | None = None
    """Until when the app's owner letters are held."""
    let_go_at: datetime | None = None
    """What was first seen until then is not held any more."""
    muted: bool = False
    """Whether the reader stopped reminders, and was told all news there is."""
    final: bool = False
    """Whether this is the last notice before a date; see `core/mute.py`."""


Passage: TypeAlias = Wait | Drop | None
"""`None`: it may go."""


def gate(entry: Pending, hours: Hours | None, now: datetime) -> Passage:
    """Whether an entry may go, waits and until when, or is outlived.

    Asked when a letter is sealed and again just before `MAIL FROM`. At the seal the cap
    (`core/cap.py`) comes next, before any last look is taken, and the pace
    (`core/hold.py`) at the end.
    """
    outlived = _outlived(entry)
    if outlived is not None:
        return outlived
    if entry.silenced_until is not None and entry.silenced_until > now:
        return Wait(Waiting.SILENCE, entry.silenced_until)
    held = _held(entry, now)
    if held is not None:
        return held
    if (
        hours is not None
        and entry.role is not Role.OPERATOR
        and can_wait(entry.item, now)
    ):
        opens = hours.next_open(now, entry.timezone)
        if opens > now:
            last_day = _last_day_of(entry.item)
            return Wait(Waiting.HOURS, min(opens, last_day or opens))
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
    if entry.closed and entry.item.reason is not Reason.REPORT:
        return Drop.CLOSED
    if not entry.recipient:
        return Drop.NOT_RECIPIENT
    return Drop.MUTED if entry.muted and _repeats(entry) else None


def _repeats(entry: Pending) -> bool:
    """Whether it only says again, to a reader who may wish so, what he knows."""
    if entry.role is Role.OPERATOR:
        return False
    closer = entry.item.reason is Reason.CLOSER and not entry.final
    return closer or entry.item.reason is Reason.REMINDER


def _held(entry: Pending, now: datetime) -> Wait | None:
    """The storm brake: an app's owner letters wait, but none for its last day."""
    until = entry.held_until
    if entry.role is Role.OPERATOR or until is None or until <= now:
        return None
    if is_free(entry.news_at or entry.planned_at, entry.let_go_at):
        return None
    sudden = any(finding.sudden for finding in entry.item.findings)
    is_news = sudden or entry.news_at is not None
    last_day = _last_day_of(entry.item)
    if not is_news and last_day is not None and now >= last_day:
        return None
    seen = entry.last_checked_at
    stale = seen is None or now - seen >= LOOK_AGAIN
    return Wait(Waiting.HOLD, min(until, now + LOOK_AGAIN), look=is_news and stale)


def can_wait(item: Item, now: datetime) -> bool:
    """Whether nothing has stopped yet, and a day or more is left."""
    if item.reason is Reason.RESOLVED:
        return True
    last_day = _last_day_of(item)
    return not item.dead and (last_day is None or now < last_day)


def _last_day_of(item: Item) -> datetime | None:
    """The first instant with less than a day left; `None`: there is no such date."""
    deadline = item.deadline
    if deadline is None or item.reason is Reason.RESOLVED:
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
