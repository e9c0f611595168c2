"""When to look next, and when time alone changes what is said."""

from datetime import datetime, timedelta

import pytest

from monitor.core.incident import Healing, Incident
from monitor.core.observation import Observation, Suspicion
from monitor.core.policy import Rule
from monitor.core.schedule import (
    BACKOFF_CAP,
    Urgency,
    backoff,
    confirmation_at,
    judge_at,
    next_check_at,
    next_turn,
    urgency,
)
from monitor.core.tokens import Code
from tests.builders import (
    DAY,
    HOUR,
    INSTANT,
    MINUTE,
    NOW,
    SECOND,
    a_dead_introspection,
    a_live_introspection,
    a_rule,
    an_incident,
    an_observation,
)

BOSS = ("boss@acme.example",)


def _doubted(since: datetime = NOW) -> Observation:
    return an_observation(suspicion=Suspicion(Code.REVOKED, since))


def _healing(since: datetime = NOW, **said: object) -> Incident:
    return an_incident(healing=Healing(since, by_answer=True), **said)


def _ends_in(left: timedelta) -> Observation:
    return an_observation(a_live_introspection(expires_at=NOW + left))


def _next(
    seen: Observation | None = None,
    incident: Incident | None = None,
    rule: Rule | None = None,
    *,
    conclusive: bool = True,
    spread: float = 1.0,
) -> timedelta:
    seen = an_observation() if seen is None else seen
    rule = rule or a_rule()
    due_at = next_check_at(
        seen, incident, rule, NOW, conclusive=conclusive, spread=spread
    )
    return due_at - NOW


def test_a_token_that_is_well_is_looked_at_once_in_check_every():
    assert _next() == 6 * HOUR
    assert _next(spread=0.9) == 0.9 * 6 * HOUR
    assert _next(rule=a_rule(check_every=HOUR)) == HOUR


def test_a_look_that_could_not_tell_is_repeated_after_retry_every():
    assert _next(conclusive=False) == 5 * MINUTE
    assert _next(Observation(), conclusive=False) == 5 * MINUTE
    assert _next(conclusive=False, rule=a_rule(retry_every=9 * HOUR)) == 6 * HOUR


def test_during_a_suspicion_a_look_that_could_not_tell_is_repeated_as_soon():
    assert _next(_doubted(), conclusive=False) == 5 * MINUTE


@pytest.mark.parametrize(
    ("since", "wait"),
    [
        pytest.param(timedelta(), 10 * MINUTE, id="just seen"),
        pytest.param(-4 * MINUTE, 6 * MINUTE, id="four minutes ago"),
        pytest.param(-9 * MINUTE, 2.5 * MINUTE, id="nearly due: not at once"),
        pytest.param(-DAY, 2.5 * MINUTE, id="overdue: not at once"),
    ],
)
def test_a_suspicion_is_looked_into_after_confirm_after(
    since: timedelta, wait: timedelta
):
    assert _next(_doubted(NOW + since)) == wait
    assert _next(incident=_healing(NOW + since)) == wait


def test_a_suspicion_waits_no_longer_than_an_ordinary_look():
    rule = a_rule(confirm_after=DAY)
    assert _next(_doubted(), rule=rule) == 6 * HOUR


def test_with_no_wait_wished_the_second_look_is_still_ahead():
    rule = a_rule(confirm_after=timedelta())
    assert _next(_doubted(), rule=rule) == SECOND


@pytest.mark.parametrize(
    ("left", "wait"),
    [
        pytest.param(14 * DAY + 6 * HOUR + INSTANT, 6 * HOUR, id="a rung lies beyond"),
        pytest.param(14 * DAY + 6 * HOUR, 6 * HOUR, id="a rung lies just there"),
        pytest.param(14 * DAY + HOUR, HOUR, id="a rung comes first"),
        pytest.param(14 * DAY, 6 * HOUR, id="a rung is now"),
        pytest.param(HOUR, HOUR, id="the end comes first"),
        pytest.param(timedelta(), 6 * HOUR, id="the end is now"),
        pytest.param(-DAY, 6 * HOUR, id="the end is past"),
    ],
)
def test_a_look_falls_on_the_next_rung(left: timedelta, wait: timedelta):
    assert _next(_ends_in(left)) == wait


@pytest.mark.parametrize(
    ("incident", "at"),
    [
        pytest.param(None, None, id="no incident"),
        pytest.param(an_incident(), None, id="no good look yet"),
        pytest.param(_healing(), NOW + 10 * MINUTE, id="a first good look"),
        pytest.param(_healing(closed_at=NOW), None, id="it is closed"),
    ],
)
def test_a_first_good_look_waits_for_its_second(
    incident: Incident | None, at: datetime | None
):
    assert confirmation_at(an_observation(), incident, a_rule()) == at


def test_a_suspicion_comes_before_healing():
    doubted = _doubted(NOW + HOUR)
    at = NOW + HOUR + 10 * MINUTE
    assert confirmation_at(doubted, _healing(), a_rule()) == at


def test_what_waits_for_a_second_look_is_urgent():
    assert urgency(_doubted(), None, a_rule()) is Urgency.CONFIRM
    assert urgency(an_observation(), _healing(), a_rule()) is Urgency.CONFIRM
    assert urgency(an_observation(), an_incident(), a_rule()) is Urgency.ROUTINE
    assert urgency(an_observation(), None, a_rule()) is Urgency.ROUTINE


def test_last_looks_come_first_and_routine_last():
    assert sorted(Urgency) == [
        Urgency.LOOK_OWED,
        Urgency.CONFIRM,
        Urgency.ROUTINE,
    ]


# --- time alone


@pytest.mark.parametrize(
    ("seen", "turn"),
    [
        pytest.param(Observation(), None, id="nothing is known"),
        pytest.param(
            an_observation(a_dead_introspection()), None, id="the token is dead"
        ),
        pytest.param(
            an_observation(
                a_live_introspection(expires_at=None, data_access_expires_at=None)
            ),
            None,
            id="it never ends",
        ),
        pytest.param(an_observation(), NOW + 46 * DAY, id="the widest lead"),
        pytest.param(_ends_in(14 * DAY), NOW + 7 * DAY, id="on the widest: the next"),
        pytest.param(_ends_in(4 * DAY), NOW + DAY, id="the third"),
        pytest.param(_ends_in(DAY), NOW + DAY, id="on the tightest: the end"),
        pytest.param(_ends_in(INSTANT), NOW + INSTANT, id="the end itself"),
        pytest.param(_ends_in(timedelta()), NOW + 76 * DAY, id="the end is now"),
        pytest.param(
            an_observation(a_live_introspection(data_access_expires_at=NOW + 20 * DAY)),
            NOW + 6 * DAY,
            id="data access turns first",
        ),
    ],
)
def test_the_next_turn_is_the_next_lead_or_date(
    seen: Observation, turn: datetime | None
):
    assert next_turn(seen, a_rule(), NOW) == turn
    assert judge_at(seen, None, a_rule(), NOW) == turn


def _judged(
    incident: Incident, seen: Observation | None = None, **wishes: object
) -> datetime | None:
    seen = seen or an_observation(a_dead_introspection())
    return judge_at(seen, incident, a_rule(**wishes), NOW)


@pytest.mark.parametrize(
    ("incident", "turn"),
    [
        pytest.param(an_incident(), NOW + 2 * DAY, id="the next reminder"),
        pytest.param(an_incident(settled_at=None), None, id="the last notice waits"),
        pytest.param(an_incident(critical_since=None), None, id="a warning only"),
        pytest.param(an_incident(reminders=3), None, id="no reminder is left"),
        pytest.param(an_incident(reminders=2), NOW + 2 * DAY, id="one reminder left"),
        pytest.param(
            an_incident(settled_at=NOW - 3 * DAY), None, id="a reminder due just now"
        ),
        pytest.param(an_incident(closed_at=NOW), None, id="a closed matter"),
    ],
)
def test_a_reminder_falls_due_without_any_look(
    incident: Incident, turn: datetime | None
):
    assert _judged(incident) == turn


@pytest.mark.parametrize(
    ("incident", "turn"),
    [
        pytest.param(an_incident(reminders=3), NOW + 6 * DAY, id="told a day ago"),
        pytest.param(
            an_incident(reminders=3, critical_since=NOW),
            NOW + 7 * DAY,
            id="critical just now",
        ),
        pytest.param(
            an_incident(reminders=3, first_told_at=NOW),
            NOW + 7 * DAY,
            id="told just now",
        ),
        pytest.param(
            an_incident(reminders=3, first_told_at=None), None, id="nobody was told"
        ),
        pytest.param(
            an_incident(reminders=3, escalated=True), None, id="escalated already"
        ),
        pytest.param(an_incident(), NOW + 2 * DAY, id="a reminder comes first"),
    ],
)
def test_an_escalation_falls_due_without_any_look(
    incident: Incident, turn: datetime | None
):
    assert _judged(incident, escalate_to=BOSS) == turn


def test_the_nearest_of_rung_and_reminder_counts():
    incident = an_incident()
    assert _judged(incident, _ends_in(8 * DAY)) == NOW + DAY
    assert _judged(incident, _ends_in(20 * DAY)) == NOW + 2 * DAY
    assert _judged(an_incident(reminders=3), _ends_in(8 * DAY)) == NOW + DAY


# --- an app in trouble


@pytest.mark.parametrize(
    ("failures", "rest"),
    [
        pytest.param(0, timedelta(), id="no failure, no rest"),
        pytest.param(1, 5 * MINUTE, id="one"),
        pytest.param(2, 10 * MINUTE, id="two"),
        pytest.param(4, 40 * MINUTE, id="four"),
        pytest.param(5, HOUR, id="five: capped"),
        pytest.param(10_000, HOUR, id="ten thousand"),
    ],
)
def test_a_failing_app_rests_ever_longer_up_to_an_hour(failures: int, rest: timedelta):
    assert backoff(failures, 5 * MINUTE) == rest


def test_a_rest_wished_longer_than_the_cap_is_kept():
    assert backoff(1, 2 * HOUR) == 2 * HOUR
    assert backoff(9, 2 * HOUR) == 2 * HOUR
    assert BACKOFF_CAP == HOUR
