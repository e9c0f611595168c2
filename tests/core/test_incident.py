"""When somebody hears of a matter, and why exactly then."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core.incident import (
    MOST_REMINDERS,
    Healing,
    Incident,
    Notice,
    Reason,
    Rung,
    Step,
    advance,
    leads_of,
    settled,
)
from monitor.core.tokens import Code
from monitor.core.verdict import Audience, Severity, Verdict
from tests.builders import (
    DAY,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    a_finding,
    a_rule,
    a_verdict,
    an_incident,
)

OWNER, OPERATOR = Audience.OWNER, Audience.OPERATOR
EXPIRING = a_finding()
CHANGED = a_finding(Code.PASSWORD_CHANGED)
SHORT = a_finding(Code.SHORT_LIVED)
EXCESS = a_finding(Code.SCOPES_EXCESS)
WELL = a_verdict()
UNKNOWN = Verdict(Severity.UNKNOWN, (), NOW - 2 * DAY)
BOSS = ("boss@acme.example",)
CONFIRM = a_rule().confirm_after


def test_a_token_that_is_well_has_no_incident():
    assert advance(None, WELL, a_rule(), NOW) == Step()


def test_excess_scopes_open_no_incident():
    assert advance(None, a_verdict(EXCESS), a_rule(), NOW) == Step()


def test_the_first_finding_opens_an_incident():
    step = advance(None, a_verdict(EXPIRING, EXCESS), a_rule(), NOW)
    assert step.notice == Notice(1, Reason.OPENED, (Code.EXPIRING,), frozenset({OWNER}))
    assert step.incident == Incident(
        opened_at=NOW,
        told=frozenset({Code.EXPIRING}),
        rungs={Code.EXPIRING: Rung(NOW + 3 * DAY, 3 * DAY)},
        notices=1,
        last_reason=Reason.OPENED,
        last_notice_at=NOW,
    )


def test_a_critical_finding_is_critical_since_its_opening():
    step = advance(None, a_verdict(CHANGED), a_rule(), NOW)
    assert step.incident is not None
    assert step.incident.critical_since == NOW
    assert step.incident.rungs == {}


def test_a_notice_names_everything_true_and_whose_matter_the_news_is():
    before = an_incident()
    step = advance(before, a_verdict(CHANGED, SHORT), a_rule(), NOW)
    assert step.notice == Notice(
        2,
        Reason.WORSENED,
        (Code.PASSWORD_CHANGED, Code.SHORT_LIVED),
        frozenset({OPERATOR}),
    )


def test_everything_true_counts_as_told():
    step = advance(an_incident(), a_verdict(CHANGED, SHORT), a_rule(), NOW)
    assert step.incident is not None
    assert step.incident.told == {Code.PASSWORD_CHANGED, Code.SHORT_LIVED}
    again = advance(step.incident, a_verdict(SHORT), a_rule(), NOW + HOUR)
    assert again.notice is None


def test_worsening_keeps_the_instant_since_which_it_is_critical():
    revoked = a_verdict(a_finding(Code.REVOKED))
    step = advance(an_incident(), revoked, a_rule(), NOW)
    assert step.incident is not None
    assert step.incident.critical_since == NOW - DAY
    assert step.incident.settled_at is None


def test_a_matter_no_longer_critical_forgets_since_when():
    before = an_incident(told=frozenset({Code.PASSWORD_CHANGED, Code.SHORT_LIVED}))
    step = advance(before, a_verdict(SHORT), a_rule(), NOW)
    assert step.incident is not None
    assert step.incident.critical_since is None
    again = advance(step.incident, a_verdict(CHANGED), a_rule(), NOW + HOUR)
    assert again.incident is not None
    assert again.incident.critical_since == NOW + HOUR


@pytest.mark.parametrize(
    ("incident", "verdict"),
    [
        pytest.param(None, WELL, id="nothing"),
        pytest.param(None, a_verdict(EXPIRING), id="opening"),
        pytest.param(an_incident(), a_verdict(SHORT), id="worsening"),
        pytest.param(an_incident(), a_verdict(CHANGED), id="nothing new"),
        pytest.param(
            an_incident(settled_at=NOW - 3 * DAY), a_verdict(CHANGED), id="a reminder"
        ),
        pytest.param(an_incident(), WELL, id="a first good look"),
        pytest.param(an_incident(), UNKNOWN, id="unknown"),
    ],
)
def test_a_second_step_at_the_same_instant_says_nothing(
    incident: Incident | None, verdict: Verdict
):
    first = advance(incident, verdict, a_rule(), NOW)
    second = advance(first.incident, verdict, a_rule(), NOW)
    assert second == Step(first.incident)


@pytest.mark.parametrize("incident", [None, an_incident()], ids=["closed", "open"])
def test_unknown_opens_moves_and_closes_nothing(incident: Incident | None):
    assert advance(incident, UNKNOWN, a_rule(), NOW + 99 * DAY) == Step(incident)


# --- the ladder


def _told(lead: timedelta, left: timedelta = 3 * DAY) -> Incident:
    return an_incident(
        told=frozenset({Code.EXPIRING}),
        rungs={Code.EXPIRING: Rung(NOW + left, lead)},
        critical_since=None,
    )


@pytest.mark.parametrize(
    ("told", "left", "reason"),
    [
        pytest.param(7 * DAY, 3 * DAY + INSTANT, None, id="before the rung"),
        pytest.param(7 * DAY, 3 * DAY, Reason.CLOSER, id="on the rung"),
        pytest.param(7 * DAY, 3 * DAY - INSTANT, Reason.CLOSER, id="past the rung"),
        pytest.param(3 * DAY, 3 * DAY, None, id="on the rung already told"),
        pytest.param(14 * DAY, 2 * HOUR, Reason.CLOSER, id="three rungs at once"),
        pytest.param(DAY, 2 * HOUR, None, id="no rung is left"),
    ],
)
def test_a_tighter_rung_is_told(
    told: timedelta, left: timedelta, reason: Reason | None
):
    verdict = a_verdict(a_finding(deadline=NOW + left))
    step = advance(_told(told, left), verdict, a_rule(), NOW)
    assert (step.notice and step.notice.reason) == reason


def test_a_rung_crossed_on_the_second_clock_is_told_for_it_alone():
    data = a_finding(Code.DATA_ACCESS_EXPIRING, deadline=NOW + DAY)
    before = an_incident(
        told=frozenset({Code.DATA_ACCESS_EXPIRING, Code.SHORT_LIVED}),
        rungs={Code.DATA_ACCESS_EXPIRING: Rung(NOW + DAY, 7 * DAY)},
    )
    step = advance(before, a_verdict(data, SHORT), a_rule(), NOW)
    assert step.notice == Notice(
        2,
        Reason.CLOSER,
        (Code.DATA_ACCESS_EXPIRING, Code.SHORT_LIVED),
        frozenset({OWNER}),
    )


@pytest.mark.parametrize(
    ("moved", "rung"),
    [
        pytest.param(DAY - INSTANT, Rung(NOW + 6 * DAY, 7 * DAY), id="under a day"),
        pytest.param(DAY, Rung(NOW + 7 * DAY, 7 * DAY), id="exactly a day"),
        pytest.param(2 * DAY, Rung(NOW + 8 * DAY, 14 * DAY), id="two days"),
        pytest.param(-DAY, Rung(NOW + 6 * DAY, 7 * DAY), id="sooner"),
    ],
)
def test_a_deadline_moved_later_by_a_day_moves_its_rung_in_silence(
    moved: timedelta, rung: Rung
):
    verdict = a_verdict(a_finding(deadline=NOW + 6 * DAY + moved))
    step = advance(_told(7 * DAY, 6 * DAY), verdict, a_rule(), NOW)
    assert step.notice is None
    assert step.incident is not None
    assert step.incident.rungs == {Code.EXPIRING: rung}


@pytest.mark.parametrize(
    ("ago", "reason"),
    [
        pytest.param(-INSTANT, None, id="an instant before the old date"),
        pytest.param(timedelta(), Reason.CLOSER, id="on the old date"),
        pytest.param(40 * DAY, Reason.CLOSER, id="long after the old date"),
    ],
)
def test_a_new_deadline_after_the_old_one_has_passed_is_a_new_ladder(
    ago: timedelta, reason: Reason | None
):
    verdict = a_verdict(a_finding(deadline=NOW + 14 * DAY))
    step = advance(_told(3 * DAY, -ago), verdict, a_rule(), NOW)
    assert (step.notice and step.notice.reason) == reason


def test_leads_belong_to_dated_warnings_only():
    rule = a_rule(warn_before=(DAY,), data_access_warn_before=(HOUR,))
    assert leads_of(Code.EXPIRING, rule) == (DAY,)
    assert leads_of(Code.DATA_ACCESS_EXPIRING, rule) == (HOUR,)
    assert leads_of(Code.EXPIRED, rule) == ()


# --- reminders and escalation


@pytest.mark.parametrize(
    ("ago", "reason"),
    [
        pytest.param(3 * DAY - INSTANT, None, id="before remind_every"),
        pytest.param(3 * DAY, Reason.REMINDER, id="on remind_every"),
        pytest.param(4 * DAY, Reason.REMINDER, id="after remind_every"),
        pytest.param(None, None, id="the last notice still waits"),
    ],
)
def test_a_reminder_is_counted_from_the_settlement_of_the_last_notice(
    ago: timedelta | None, reason: Reason | None
):
    settled_at = None if ago is None else NOW - ago
    before = an_incident(last_notice_at=NOW - 30 * DAY, settled_at=settled_at)
    step = advance(before, a_verdict(CHANGED), a_rule(), NOW)
    assert (step.notice and step.notice.reason) == reason


def test_three_reminders_and_no_more():
    incident, numbers = an_incident(), []
    for _ in range(9):
        at = (incident.settled_at or NOW) + 3 * DAY
        step = advance(incident, a_verdict(CHANGED), a_rule(), at)
        assert step.incident is not None
        incident = step.incident
        if step.notice is not None:
            numbers.append(step.notice.number)
            incident = settled(incident, step.notice.number, at)
    assert numbers == [2, 3, 4]
    assert incident.reminders == MOST_REMINDERS == 3


def test_a_warning_is_never_reminded_of():
    before = replace(_told(3 * DAY), settled_at=NOW - 30 * DAY)
    assert advance(before, a_verdict(EXPIRING), a_rule(), NOW).notice is None


def test_a_reminder_is_the_matter_of_everybody_concerned():
    before = an_incident(
        told=frozenset({Code.PASSWORD_CHANGED, Code.SHORT_LIVED}),
        settled_at=NOW - 3 * DAY,
    )
    step = advance(before, a_verdict(CHANGED, SHORT), a_rule(), NOW)
    assert step.notice is not None
    assert step.notice.audiences == {OWNER, OPERATOR}


@pytest.mark.parametrize(
    ("told", "critical", "reason"),
    [
        pytest.param(7 * DAY - INSTANT, 9 * DAY, None, id="told too lately"),
        pytest.param(7 * DAY, 9 * DAY, Reason.ESCALATED, id="told long enough"),
        pytest.param(9 * DAY, 7 * DAY - INSTANT, None, id="critical too lately"),
        pytest.param(9 * DAY, 7 * DAY, Reason.ESCALATED, id="critical long enough"),
        pytest.param(None, 9 * DAY, None, id="nobody was told yet"),
    ],
)
def test_a_matter_is_escalated_when_long_critical_and_long_told(
    told: timedelta | None, critical: timedelta, reason: Reason | None
):
    before = an_incident(
        first_told_at=None if told is None else NOW - told,
        critical_since=NOW - critical,
    )
    step = advance(before, a_verdict(CHANGED), a_rule(escalate_to=BOSS), NOW)
    assert (step.notice and step.notice.reason) == reason


def test_an_escalation_has_its_own_readers_and_happens_once():
    rule = a_rule(escalate_to=BOSS, remind_every=99 * DAY)
    before = an_incident(first_told_at=NOW - 8 * DAY, critical_since=NOW - 8 * DAY)
    step = advance(before, a_verdict(CHANGED), rule, NOW)
    assert step.notice == Notice(
        2, Reason.ESCALATED, (Code.PASSWORD_CHANGED,), frozenset()
    )
    assert step.incident is not None
    after = settled(step.incident, 2, NOW)
    assert advance(after, a_verdict(CHANGED), rule, NOW + 9 * DAY).notice is None


def test_an_escalation_waits_for_the_last_notice_to_be_settled():
    before = an_incident(
        first_told_at=NOW - 8 * DAY, critical_since=NOW - 8 * DAY, settled_at=None
    )
    step = advance(before, a_verdict(CHANGED), a_rule(escalate_to=BOSS), NOW)
    assert step == Step(before)


def test_without_anybody_to_escalate_to_there_is_no_escalation():
    before = an_incident(first_told_at=NOW - 99 * DAY, critical_since=NOW - 99 * DAY)
    assert advance(before, a_verdict(CHANGED), a_rule(), NOW) == Step(before)


# --- healing


def _looked(at: timedelta) -> Verdict:
    return a_verdict(verified_at=NOW + at)


def test_a_first_good_look_closes_nothing():
    step = advance(an_incident(), WELL, a_rule(), NOW)
    assert step.notice is None
    assert step.incident is not None
    assert step.incident.closed_at is None
    assert step.incident.healing == Healing(NOW, by_answer=True)


HEALING = an_incident(
    told=frozenset({Code.SHORT_LIVED, Code.PASSWORD_CHANGED}),
    notices=4,
    healing=Healing(NOW, by_answer=True),
)


@pytest.mark.parametrize(
    ("again", "closed"),
    [
        pytest.param(timedelta(), False, id="the same look"),
        pytest.param(CONFIRM - INSTANT, False, id="too early"),
        pytest.param(CONFIRM, True, id="exactly confirm_after later"),
        pytest.param(CONFIRM + INSTANT, True, id="later than that"),
    ],
)
def test_a_second_good_look_resolves(again: timedelta, *, closed: bool):
    step = advance(HEALING, _looked(again), a_rule(), NOW + DAY)
    assert (step.notice is not None) is closed
    assert step.incident is not None
    assert (step.incident.closed_at is not None) is closed


def test_time_alone_does_not_make_a_second_good_look():
    step = advance(HEALING, _looked(timedelta()), a_rule(), NOW + 9 * DAY)
    assert step == Step(HEALING)


def test_even_without_a_wait_a_second_look_is_needed():
    rule = a_rule(confirm_after=timedelta())
    assert advance(HEALING, _looked(timedelta()), rule, NOW + HOUR) == Step(HEALING)
    assert advance(HEALING, _looked(INSTANT), rule, NOW + HOUR).notice is not None


def test_resolved_tells_all_that_was_told_to_all_who_were_told():
    step = advance(HEALING, _looked(CONFIRM), a_rule(), NOW + CONFIRM)
    assert step.notice == Notice(
        5,
        Reason.RESOLVED,
        (Code.PASSWORD_CHANGED, Code.SHORT_LIVED),
        frozenset({OWNER, OPERATOR}),
    )
    assert step.incident is not None
    assert step.incident.closed_at == NOW + CONFIRM
    assert step.incident.notices == 5
    assert step.incident.last_reason is Reason.RESOLVED
    assert step.incident.last_notice_at == NOW + CONFIRM


def test_bad_news_between_two_good_looks_begins_the_healing_anew():
    step = advance(HEALING, a_verdict(CHANGED), a_rule(), NOW + MINUTE)
    assert step.incident is not None
    assert step.incident.healing is None


def test_a_matter_that_policy_made_and_unmade_closes_in_silence():
    step = advance(an_incident(), WELL, a_rule(), NOW, healed_by_answer=False)
    assert step == Step(an_incident(closed_at=NOW))


def test_a_matter_of_no_token_heals_by_the_clock():
    well = Verdict(Severity.OK)
    first = advance(an_incident(), well, a_rule(), NOW)
    early = advance(first.incident, well, a_rule(), NOW + CONFIRM - INSTANT)
    assert early.notice is None
    late = advance(first.incident, well, a_rule(), NOW + CONFIRM)
    assert late.notice is not None
    assert late.notice.reason is Reason.RESOLVED


# --- settlement


def test_the_last_notice_settled_starts_the_clock_of_reminders():
    before = an_incident(notices=2, settled_at=None, first_told_at=None)
    after = settled(before, 2, NOW)
    assert (after.settled_at, after.first_told_at) == (NOW, NOW)


def test_an_earlier_notice_settled_is_only_the_first_telling():
    before = an_incident(notices=2, settled_at=None, first_told_at=None)
    after = settled(before, 1, NOW)
    assert (after.settled_at, after.first_told_at) == (None, NOW)


def test_a_settlement_stands():
    before = an_incident(notices=2)
    assert settled(before, 2, NOW) == before
    assert settled(before, 1, NOW) == before
