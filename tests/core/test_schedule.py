"""When to look next, and when time alone changes what is said."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.incident import Healing, Incident
from monitor.core.observation import Observation, Suspicion
from monitor.core.policy import Rule
from monitor.core.schedule import (
    BACKOFF_CAP,
    Urgency,
    backoff,
    confirmation_at,
    judge_at,
    look_every,
    next_check_at,
    next_turn,
    urgency,
)
from monitor.core.tokens import SYSTEM_USER, Code
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
from tests.core.searching import searched

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
        pytest.param(14 * DAY, 3 * HOUR, id="a rung is now"),
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


def test_a_date_hastens_no_second_look():
    """It cannot settle anything before `confirm_after`."""
    near = a_live_introspection(expires_at=NOW + HOUR)
    doubted = an_observation(near, suspicion=Suspicion(Code.REVOKED, NOW))
    assert _next(doubted, rule=a_rule(confirm_after=4 * HOUR)) == 4 * HOUR


# --- risk


def _every(
    left: timedelta | None, data_left: timedelta | None = None, **wishes: object
) -> timedelta:
    known = a_live_introspection(
        expires_at=None if left is None else NOW + left,
        data_access_expires_at=None if data_left is None else NOW + data_left,
    )
    return look_every(an_observation(known), a_rule(**wishes), NOW)


@pytest.mark.parametrize(
    ("left", "every"),
    [
        pytest.param(14 * DAY + INSTANT, 6 * HOUR, id="before the widest lead"),
        pytest.param(14 * DAY, 3 * HOUR, id="at the widest lead"),
        pytest.param(DAY + INSTANT, 3 * HOUR, id="more than a day"),
        pytest.param(DAY, 1.5 * HOUR, id="its last day"),
        pytest.param(INSTANT, 1.5 * HOUR, id="its last instant"),
        pytest.param(timedelta(), 6 * HOUR, id="its end"),
        pytest.param(-DAY, 6 * HOUR, id="over"),
        pytest.param(None, 6 * HOUR, id="no date"),
    ],
)
def test_the_nearer_a_date_the_more_often_a_token_is_looked_at(
    left: timedelta | None, every: timedelta
):
    assert _every(left) == every
    assert _every(None, left) == every
    assert _every(90 * DAY, left) == every
    assert _every(left, -DAY) == every


def test_the_nearer_of_two_dates_counts():
    assert _every(10 * DAY, HOUR) == 1.5 * HOUR
    assert _every(HOUR, 10 * DAY) == 1.5 * HOUR


def test_each_date_has_its_own_lead_times():
    assert _every(9 * DAY, None, warn_before=(10 * DAY,)) == 3 * HOUR
    assert _every(None, 9 * DAY, warn_before=(10 * DAY,)) == 3 * HOUR
    assert _every(None, 9 * DAY, data_access_warn_before=(8 * DAY,)) == 6 * HOUR
    assert _every(9 * DAY, None, warn_before=(10 * DAY, HOUR)) == 3 * HOUR


def test_the_last_day_counts_without_any_lead_time():
    assert _every(2 * DAY, None, warn_before=()) == 6 * HOUR
    assert _every(DAY, None, warn_before=()) == 1.5 * HOUR
    assert _every(DAY, None, warn_before=(HOUR,)) == 1.5 * HOUR


@pytest.mark.parametrize(
    ("check_every", "retry_every", "every"),
    [
        pytest.param(20 * MINUTE, MINUTE, 5 * MINUTE, id="five minutes, just"),
        pytest.param(10 * MINUTE, MINUTE, 5 * MINUTE, id="five minutes at least"),
        pytest.param(4 * MINUTE, MINUTE, 4 * MINUTE, id="no longer than the rule"),
        pytest.param(HOUR, 20 * MINUTE, 20 * MINUTE, id="a retry at least"),
        pytest.param(HOUR, 2 * HOUR, HOUR, id="a retry longer than the rule"),
    ],
)
def test_nobody_is_looked_at_all_the_time(
    check_every: timedelta, retry_every: timedelta, every: timedelta
):
    wishes = {"check_every": check_every, "retry_every": retry_every}
    assert _every(HOUR, None, **wishes) == every


def test_what_is_dead_or_unknown_is_looked_at_as_the_rule_says():
    dead = a_dead_introspection(expires_at=NOW + HOUR)
    assert look_every(an_observation(dead), a_rule(), NOW) == 6 * HOUR
    assert look_every(Observation(), a_rule(), NOW) == 6 * HOUR


def test_the_spread_is_of_the_shorter_interval():
    assert _next(_ends_in(5 * DAY), spread=0.9) == 0.9 * 3 * HOUR


def test_a_system_user_without_any_date_waits_longest():
    forever = an_observation(
        a_live_introspection(
            kind=SYSTEM_USER, expires_at=None, data_access_expires_at=None
        )
    )
    assert _next(forever) == 6 * HOUR
    assert urgency(forever, None, a_rule()) is Urgency.ROUTINE


_lefts = st.timedeltas(-20 * DAY, 40 * DAY)
_leads = st.lists(st.timedeltas(timedelta(), 20 * DAY), max_size=3).map(tuple)
_waits = st.timedeltas(MINUTE, 3 * DAY)
_risky_rules = st.builds(
    Rule,
    check_every=_waits,
    retry_every=_waits,
    confirm_after=st.timedeltas(timedelta(), 2 * DAY),
    warn_before=_leads,
    data_access_warn_before=_leads,
)
_doubts = st.none() | st.builds(Suspicion, st.just(Code.REVOKED), st.just(NOW))


@searched
@given(
    left=st.none() | _lefts,
    data_left=st.none() | _lefts,
    doubt=_doubts,
    rule=_risky_rules,
    conclusive=st.booleans(),
    spread=st.floats(0.9, 1),
)
def test_the_next_look_is_always_ahead_and_within_check_every(
    left: timedelta | None,
    data_left: timedelta | None,
    doubt: Suspicion | None,
    rule: Rule,
    *,
    conclusive: bool,
    spread: float,
):
    known = a_live_introspection(
        expires_at=None if left is None else NOW + left,
        data_access_expires_at=None if data_left is None else NOW + data_left,
    )
    seen = an_observation(known, suspicion=doubt)
    wait = _next(seen, rule=rule, conclusive=conclusive, spread=spread)
    assert timedelta() < wait <= rule.check_every


@searched
@given(
    lefts=st.lists(
        st.timedeltas(INSTANT, 40 * DAY) | st.sampled_from([DAY, 14 * DAY]),
        min_size=2,
        max_size=9,
    ),
    data_left=st.none() | _lefts,
    rule=_risky_rules,
)
def test_a_nearer_date_never_makes_looks_rarer(
    lefts: list[timedelta], data_left: timedelta | None, rule: Rule
):
    def every(left: timedelta | None) -> timedelta:
        known = a_live_introspection(
            expires_at=None if left is None else NOW + left,
            data_access_expires_at=None if data_left is None else NOW + data_left,
        )
        return look_every(an_observation(known), rule, NOW)

    waits = [every(left) for left in sorted(lefts)]
    assert waits == sorted(waits)
    assert max(waits) <= every(None) <= rule.check_every
    assert min(waits) >= min(rule.check_every, max(rule.retry_every, 5 * MINUTE))


# --- urgency


def test_what_waits_for_a_second_look_is_urgent():
    assert urgency(_doubted(), None, a_rule()) is Urgency.CONFIRM
    assert urgency(an_observation(), _healing(), a_rule()) is Urgency.CONFIRM
    assert urgency(_doubted(), None, a_rule(), conclusive=False) is Urgency.CONFIRM


@pytest.mark.parametrize(
    ("seen", "incident", "level"),
    [
        pytest.param(an_observation(), None, Urgency.ROUTINE, id="all is well"),
        pytest.param(Observation(), None, Urgency.RISKY, id="never heard of"),
        pytest.param(
            an_observation(a_dead_introspection()), None, Urgency.RISKY, id="dead"
        ),
        pytest.param(
            an_observation(), an_incident(), Urgency.RISKY, id="alive, but bad"
        ),
        pytest.param(
            an_observation(),
            an_incident(closed_at=NOW),
            Urgency.ROUTINE,
            id="a closed matter",
        ),
        pytest.param(
            an_observation(verified_at=None), None, Urgency.ROUTINE, id="no instant"
        ),
    ],
)
def test_bad_and_unknown_tokens_are_looked_at_before_the_others(
    seen: Observation, incident: Incident | None, level: Urgency
):
    assert urgency(seen, incident, a_rule()) is level


def test_a_look_that_could_not_tell_makes_the_next_one_urgent():
    seen = an_observation()
    assert urgency(seen, None, a_rule(), conclusive=False) is Urgency.RISKY


@pytest.mark.parametrize(
    ("left", "level"),
    [
        pytest.param(14 * DAY + INSTANT, Urgency.ROUTINE, id="far"),
        pytest.param(14 * DAY, Urgency.RISKY, id="within the widest lead"),
        pytest.param(timedelta(), Urgency.RISKY, id="its end"),
        pytest.param(-DAY, Urgency.RISKY, id="over"),
    ],
)
def test_a_near_date_makes_a_look_urgent(left: timedelta, level: Urgency):
    """As of the instant it falls due, or else of the last answer."""
    assert urgency(_ends_in(left), None, a_rule()) is level
    due_at = NOW + 6 * HOUR
    assert urgency(_ends_in(left + 6 * HOUR), None, a_rule(), at=due_at) is level
    lapsing = an_observation(a_live_introspection(data_access_expires_at=NOW + left))
    assert urgency(lapsing, None, a_rule()) is level


def test_the_last_day_is_urgent_without_any_lead_time():
    rule = a_rule(warn_before=())
    assert urgency(_ends_in(DAY), None, rule) is Urgency.RISKY
    assert urgency(_ends_in(DAY + INSTANT), None, rule) is Urgency.ROUTINE


def test_last_looks_come_first_and_routine_last():
    """The numbers are in the database."""
    assert {level.name: int(level) for level in Urgency} == {
        "LOOK_OWED": 0,
        "CONFIRM": 1,
        "RISKY": 2,
        "ROUTINE": 3,
    }


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
