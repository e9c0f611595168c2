"""What a letter waits for, what outlives it, and what a server's reply means."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from monitor.core.attempt import (
    CHANNEL_PAUSE,
    GIVE_UP_AFTER,
    Outcome,
    Phase,
    outcome_of,
    retry_at,
)
from monitor.core.delivery import (
    DATED_LOOK_AGE,
    SUDDEN_LOOK_AGE,
    Drop,
    Hours,
    Item,
    Passage,
    Pending,
    Role,
    Wait,
    Waiting,
    gate,
)
from monitor.core.incident import Reason
from monitor.core.tokens import Code
from monitor.core.verdict import Severity
from tests.builders import (
    DAY,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    SECOND,
    a_finding,
    a_pending,
    an_item,
)

OFFICE = Hours(frozenset(range(5)), time(9), time(17))
BERLIN = "Europe/Berlin"
SUDDEN = an_item(a_finding(Code.PASSWORD_CHANGED))
RESOLVED = an_item(reason=Reason.RESOLVED)
REMINDER = an_item(reason=Reason.REMINDER)
SUDDEN_REMINDER = an_item(a_finding(Code.PASSWORD_CHANGED), reason=Reason.REMINDER)
DATA_ACCESS = an_item(a_finding(Code.DATA_ACCESS_EXPIRING, deadline=NOW + 3 * DAY))
EXPIRED_ON_ITS_DATE = an_item(
    a_finding(Code.EXPIRED, deadline=NOW - HOUR, sudden=False)
)
EXPIRED_BEFORE_IT = an_item(a_finding(Code.EXPIRED))
MATTER = an_item(
    a_finding(Code.CALLER_REJECTED), subject=f"app:{NOW}", token_id=None, name=None
)
SOON = Wait(Waiting.LOOK, NOW + MINUTE)
PLANNED = NOW - 10 * MINUTE
TRIED = {"asked_look_at": NOW - 2 * MINUTE, "last_checked_at": NOW - MINUTE}
"""A last look was asked for, and taken."""


# --- what outlives an entry


@pytest.mark.parametrize(
    ("entry", "drop"),
    [
        pytest.param(a_pending(gone=True), Drop.GONE, id="the token is gone"),
        pytest.param(
            a_pending(newer_notice=True), Drop.SUPERSEDED, id="a later notice"
        ),
        pytest.param(a_pending(closed=True), Drop.CLOSED, id="the matter closed"),
        pytest.param(
            a_pending(recipient=False), Drop.NOT_RECIPIENT, id="another reader now"
        ),
        pytest.param(
            a_pending(gone=True, newer_notice=True, closed=True, recipient=False),
            Drop.GONE,
            id="all at once: gone comes first",
        ),
        pytest.param(
            a_pending(newer_notice=True, closed=True, recipient=False),
            Drop.SUPERSEDED,
            id="superseded comes second",
        ),
        pytest.param(
            a_pending(closed=True, recipient=False), Drop.CLOSED, id="closed third"
        ),
        pytest.param(
            a_pending(closed=True, silenced_until=NOW + DAY),
            Drop.CLOSED,
            id="even in silence",
        ),
        pytest.param(
            a_pending(RESOLVED, gone=True), Drop.GONE, id="resolved of a gone token"
        ),
        pytest.param(
            a_pending(RESOLVED, newer_notice=True),
            Drop.SUPERSEDED,
            id="resolved, and a later notice",
        ),
        pytest.param(
            a_pending(RESOLVED, closed=True, true_now=False),
            Drop.SUPERSEDED,
            id="resolved, and broken again",
        ),
        pytest.param(
            a_pending(MATTER, closed=True), Drop.CLOSED, id="a matter of the operator"
        ),
    ],
)
def test_an_entry_is_outlived(entry: Pending, drop: Drop):
    assert gate(entry, OFFICE, NOW) is drop


def test_good_news_of_a_closed_matter_goes_to_whoever_was_told():
    entry = a_pending(RESOLVED, closed=True, recipient=False, verified_at=None)
    assert gate(entry, None, NOW) is None


# --- silence


def test_silence_stops_a_letter_until_its_end():
    until = NOW + INSTANT
    entry = a_pending(SUDDEN, silenced_until=until)
    assert gate(entry, OFFICE, NOW) == Wait(Waiting.SILENCE, until)
    assert gate(a_pending(silenced_until=NOW), None, NOW) is None
    assert gate(a_pending(silenced_until=NOW - DAY), None, NOW) is None


def test_silence_stops_good_news_and_the_operators_letters_too():
    until = NOW + DAY
    for entry in (
        a_pending(RESOLVED, silenced_until=until),
        a_pending(role=Role.OPERATOR, silenced_until=until),
    ):
        assert gate(entry, None, NOW) == Wait(Waiting.SILENCE, until)


# --- office hours


def _at(text: str, zone: str = BERLIN) -> datetime:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        pytest.param("2026-11-23 08:59:59", "2026-11-23 09:00", id="before opening"),
        pytest.param("2026-11-23 09:00", "2026-11-23 09:00", id="on opening"),
        pytest.param("2026-11-23 12:34", "2026-11-23 12:34", id="within hours"),
        pytest.param(
            "2026-11-23 16:59:59", "2026-11-23 16:59:59", id="a second before closing"
        ),
        pytest.param("2026-11-23 17:00", "2026-11-24 09:00", id="on closing"),
        pytest.param("2026-11-23 23:59", "2026-11-24 09:00", id="late in the evening"),
        pytest.param("2026-11-27 17:00", "2026-11-30 09:00", id="Friday evening"),
        pytest.param("2026-11-28 12:00", "2026-11-30 09:00", id="Saturday noon"),
        pytest.param("2026-11-29 23:59", "2026-11-30 09:00", id="Sunday night"),
        pytest.param(
            "2026-10-23 17:30", "2026-10-26 09:00", id="a weekend an hour longer"
        ),
        pytest.param(
            "2026-10-25 02:30", "2026-10-26 09:00", id="the hour that comes twice"
        ),
        pytest.param(
            "2027-03-26 17:30", "2027-03-29 09:00", id="a weekend an hour shorter"
        ),
        pytest.param(
            "2027-03-28 03:00", "2027-03-29 09:00", id="the hour that never comes"
        ),
    ],
)
def test_office_hours_are_the_readers(now: str, opens: str):
    assert OFFICE.next_open(_at(now), BERLIN) == _at(opens)


ALWAYS = frozenset(range(7))


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        pytest.param(
            Hours(ALWAYS, time(2, 30), time(5)),
            "2027-03-28T00:00:00+00:00",
            "2027-03-28T01:30:00+00:00",
            id="an opening that the clocks skip is the hour after",
        ),
        pytest.param(
            Hours(ALWAYS, time(2, 30), time(5)),
            "2026-10-25T00:00:00+00:00",
            "2026-10-25T00:30:00+00:00",
            id="an opening that comes twice is the first",
        ),
        pytest.param(
            Hours(ALWAYS, time(9), time(17)),
            "2026-10-24T16:00:00+00:00",
            "2026-10-25T08:00:00+00:00",
            id="the morning after the clocks go back",
        ),
        pytest.param(
            Hours(ALWAYS, time(9), time(17)),
            "2027-03-27T17:00:00+00:00",
            "2027-03-28T07:00:00+00:00",
            id="the morning after the clocks go forward",
        ),
        pytest.param(
            Hours(frozenset({0}), time(9), time(17)),
            "2026-11-23T16:00:00+00:00",
            "2026-11-30T08:00:00+00:00",
            id="once a week, and just missed",
        ),
        pytest.param(
            Hours(frozenset(), time(9), time(17)),
            "2026-11-23T16:00:00+00:00",
            "2026-11-23T16:00:00+00:00",
            id="never open: nothing is kept back for ever",
        ),
    ],
)
def test_hours_through_the_nights_in_which_clocks_change(
    hours: Hours, now: str, opens: str
):
    found = hours.next_open(datetime.fromisoformat(now), BERLIN)
    assert found == datetime.fromisoformat(opens)


SATURDAY = datetime(2026, 11, 28, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 30, 9, tzinfo=UTC)


def _on_saturday(item: Item, role: Role = Role.OWNER) -> Passage:
    entry = a_pending(
        item,
        role=role,
        looked_at=SATURDAY - HOUR,
        verified_at=SATURDAY,
        planned_at=SATURDAY - HOUR,
    )
    return gate(entry, OFFICE, SATURDAY)


def _ending_in(left: timedelta) -> Item:
    return an_item(a_finding(deadline=SATURDAY + left))


@pytest.mark.parametrize(
    ("item", "passage"),
    [
        pytest.param(
            _ending_in(10 * DAY), Wait(Waiting.HOURS, MONDAY), id="ten days to go"
        ),
        pytest.param(
            _ending_in(DAY),
            Wait(Waiting.HOURS, SATURDAY + INSTANT),
            id="exactly a day to go",
        ),
        pytest.param(_ending_in(DAY - INSTANT), None, id="under a day to go"),
        pytest.param(
            _ending_in(2 * DAY),
            Wait(Waiting.HOURS, SATURDAY + DAY + INSTANT),
            id="under a day to go before Monday comes",
        ),
        pytest.param(SUDDEN, None, id="dead already"),
        pytest.param(
            an_item(a_finding(Code.SHORT_LIVED)),
            Wait(Waiting.HOURS, MONDAY),
            id="a warning without a date",
        ),
        pytest.param(
            an_item(a_finding(Code.PASSWORD_CHANGED), reason=Reason.RESOLVED),
            Wait(Waiting.HOURS, MONDAY),
            id="good news",
        ),
        pytest.param(
            an_item(
                a_finding(deadline=SATURDAY + DAY - INSTANT), reason=Reason.RESOLVED
            ),
            Wait(Waiting.HOURS, MONDAY),
            id="good news of a near date",
        ),
    ],
)
def test_what_can_wait_waits_for_office_hours(item: Item, passage: Passage):
    assert _on_saturday(item) == passage


def test_an_escalation_keeps_hours_and_the_operator_does_not():
    item = _ending_in(10 * DAY)
    assert _on_saturday(item, Role.ESCALATION) == Wait(Waiting.HOURS, MONDAY)
    assert _on_saturday(item, Role.OPERATOR) is None


def test_within_hours_a_letter_goes():
    assert gate(a_pending(), OFFICE, NOW) is None


# --- the last look


@pytest.mark.parametrize(
    ("entry", "passage"),
    [
        pytest.param(a_pending(), None, id="dated, looked at just now"),
        pytest.param(
            a_pending(verified_at=NOW - 15 * MINUTE + INSTANT),
            None,
            id="dated, looked at under 15 minutes ago",
        ),
        pytest.param(
            a_pending(verified_at=NOW - 15 * MINUTE),
            SOON,
            id="dated, looked at 15 minutes ago",
        ),
        pytest.param(
            a_pending(looked_at=NOW - MINUTE, verified_at=NOW - MINUTE),
            None,
            id="dated, and the look that planned it will do",
        ),
        pytest.param(a_pending(verified_at=None), SOON, id="dated, never looked at"),
        pytest.param(
            a_pending(SUDDEN, verified_at=NOW - 5 * MINUTE + INSTANT),
            None,
            id="sudden, looked at under five minutes ago",
        ),
        pytest.param(
            a_pending(SUDDEN, verified_at=NOW - 5 * MINUTE),
            SOON,
            id="sudden, looked at five minutes ago",
        ),
        pytest.param(
            a_pending(SUDDEN, looked_at=NOW - MINUTE, verified_at=NOW - MINUTE),
            SOON,
            id="sudden, and only the look that planned it",
        ),
        pytest.param(
            a_pending(
                SUDDEN, looked_at=NOW - MINUTE, verified_at=NOW - MINUTE + INSTANT
            ),
            None,
            id="sudden, and a look just newer than that",
        ),
        pytest.param(
            a_pending(SUDDEN, looked_at=None), None, id="sudden, planned by no look"
        ),
        pytest.param(
            a_pending(EXPIRED_BEFORE_IT, verified_at=NOW - 6 * MINUTE),
            SOON,
            id="463 before its date is sudden",
        ),
        pytest.param(
            a_pending(EXPIRED_ON_ITS_DATE, verified_at=NOW - 6 * MINUTE),
            None,
            id="463 after its date is dated",
        ),
        pytest.param(
            a_pending(
                an_item(a_finding(), a_finding(Code.SCOPES_MISSING)),
                verified_at=NOW - 6 * MINUTE,
            ),
            SOON,
            id="dated and sudden together are sudden",
        ),
        pytest.param(
            a_pending(RESOLVED, verified_at=None), None, id="good news needs no look"
        ),
        pytest.param(
            a_pending(MATTER, verified_at=None), None, id="nor a matter of no token"
        ),
    ],
)
def test_news_needs_a_last_look(entry: Pending, passage: Passage):
    assert gate(entry, None, NOW) == passage


@pytest.mark.parametrize(
    ("item", "planned", "passage"),
    [
        pytest.param(an_item(), PLANNED, None, id="the token's own date goes"),
        pytest.param(EXPIRED_ON_ITS_DATE, PLANNED, None, id="its own date past, too"),
        pytest.param(SUDDEN, PLANNED, SOON, id="sudden news waits"),
        pytest.param(EXPIRED_BEFORE_IT, PLANNED, SOON, id="463 before its date waits"),
        pytest.param(
            an_item(a_finding(), a_finding(Code.SCOPES_MISSING)),
            PLANNED,
            SOON,
            id="own date and sudden news together wait",
        ),
        pytest.param(DATA_ACCESS, PLANNED, SOON, id="data access waits"),
        pytest.param(
            SUDDEN, NOW - DAY + INSTANT, SOON, id="sudden news within trust_for"
        ),
        pytest.param(SUDDEN, NOW - DAY, None, id="sudden news waited for trust_for"),
        pytest.param(DATA_ACCESS, NOW - DAY, None, id="data access likewise"),
        pytest.param(REMINDER, NOW - 9 * DAY, SOON, id="a reminder waits"),
        pytest.param(SUDDEN_REMINDER, NOW - 9 * DAY, SOON, id="a sudden one, too"),
    ],
)
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(TRIED, id="the look could not tell"),
        pytest.param(
            {"asked_look_at": NOW - MINUTE, "last_checked_at": NOW - MINUTE},
            id="it could not tell at the very instant",
        ),
        pytest.param({"app_paused": True}, id="the app is paused"),
    ],
)
def test_when_the_last_look_cannot_tell(
    item: Item, planned: datetime, passage: Passage, trouble: dict[str, object]
):
    stale = NOW - 20 * MINUTE
    entry = a_pending(item, planned_at=planned, verified_at=stale, **trouble)
    assert gate(entry, None, NOW) == passage
    never = a_pending(item, planned_at=planned, verified_at=None, **trouble)
    assert gate(never, None, NOW) == passage


@pytest.mark.parametrize(
    "not_tried",
    [
        pytest.param({}, id="not asked for"),
        pytest.param(
            {"asked_look_at": NOW - MINUTE, "last_checked_at": None}, id="never taken"
        ),
        pytest.param(
            {
                "asked_look_at": NOW - MINUTE,
                "last_checked_at": NOW - MINUTE - INSTANT,
            },
            id="taken before it was asked for",
        ),
        pytest.param(
            {
                "asked_look_at": NOW - 4 * HOUR,
                "last_checked_at": NOW - 3 * HOUR,
                "verified_at": NOW - 3 * HOUR,
            },
            id="taken and told, but too long ago",
        ),
    ],
)
def test_a_look_not_taken_is_waited_for_however_long(not_tried: dict[str, object]):
    for item in (an_item(), SUDDEN):
        usual = {"planned_at": NOW - 9 * DAY, "verified_at": NOW - HOUR}
        assert gate(a_pending(item, **{**usual, **not_tried}), None, NOW) == SOON


def test_trust_is_as_long_as_the_rule_says():
    entry = a_pending(SUDDEN, verified_at=None, trust_for=9 * MINUTE, **TRIED)
    assert gate(entry, None, NOW) is None


@pytest.mark.parametrize(
    ("next_check", "until"),
    [
        pytest.param(NOW + 8 * MINUTE, NOW + 8 * MINUTE, id="until the next look"),
        pytest.param(NOW + SECOND, NOW + MINUTE, id="at least a minute"),
        pytest.param(NOW - DAY, NOW + MINUTE, id="a look overdue"),
        pytest.param(None, NOW + MINUTE, id="no look is planned"),
    ],
)
@pytest.mark.parametrize("state", [{"recovering": True}, {"true_now": False}])
def test_what_seems_to_recover_waits_for_the_look_that_settles_it(
    next_check: datetime | None, until: datetime, state: dict[str, bool]
):
    entry = a_pending(SUDDEN, next_check_at=next_check, **state)
    assert gate(entry, None, NOW) == Wait(Waiting.RECOVERING, until)


def test_the_ages_of_looks_are_the_designs():
    assert (SUDDEN_LOOK_AGE, DATED_LOOK_AGE) == (5 * MINUTE, 15 * MINUTE)


# --- what an item says


def test_an_item_is_as_bad_as_its_worst_finding():
    assert an_item().severity is Severity.WARNING
    assert not an_item().dead
    both = an_item(a_finding(), a_finding(Code.SCOPES_MISSING))
    assert both.severity is Severity.CRITICAL
    assert both.dead


def test_an_items_deadline_is_the_nearest_date():
    near = a_finding(deadline=NOW + DAY)
    far = a_finding(Code.DATA_ACCESS_EXPIRING, deadline=NOW + 2 * DAY)
    assert an_item(far, near, a_finding(Code.SCOPES_MISSING)).deadline == NOW + DAY
    assert SUDDEN.deadline is None


# --- the server's reply

CHANNEL, DEFERRED = Outcome.CHANNEL, Outcome.DEFERRED
REFUSED, UNKNOWN = Outcome.REFUSED, Outcome.UNKNOWN
BEFORE_RCPT = (CHANNEL, CHANNEL, CHANNEL, CHANNEL, CHANNEL, CHANNEL)
LETTERS_OWN = (DEFERRED, DEFERRED, DEFERRED, REFUSED, REFUSED)
CODES = (421, 450, 499, 500, 550, None)
MATRIX = {
    Phase.CONNECT: BEFORE_RCPT,
    Phase.HELLO: BEFORE_RCPT,
    Phase.MAIL: BEFORE_RCPT,
    Phase.RCPT: (*LETTERS_OWN, DEFERRED),
    Phase.DATA: (*LETTERS_OWN, DEFERRED),
    Phase.DOT: (*LETTERS_OWN, UNKNOWN),
}


@pytest.mark.parametrize("phase", Phase)
def test_a_failed_attempt_means_what_its_phase_and_code_say(phase: Phase):
    assert tuple(outcome_of(phase, code) for code in CODES) == MATRIX[phase]


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [
        pytest.param(1, 5 * MINUTE, id="first"),
        pytest.param(2, 10 * MINUTE, id="second"),
        pytest.param(6, 160 * MINUTE, id="sixth"),
        pytest.param(7, 4 * HOUR, id="seventh: four hours"),
        pytest.param(5000, 4 * HOUR, id="five thousandth"),
    ],
)
def test_a_deferred_letter_waits_ever_longer_up_to_four_hours(
    attempts: int, wait: timedelta
):
    assert retry_at(attempts, NOW, 0) == NOW + wait
    assert retry_at(attempts, NOW, 1) == NOW + wait * 1.25


def test_a_letter_is_given_up_after_four_days_and_the_channel_after_none():
    assert (GIVE_UP_AFTER, CHANNEL_PAUSE) == (4 * DAY, 5 * MINUTE)
