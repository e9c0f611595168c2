"""Months in the life of a token: on which day is what said, and why."""

from datetime import datetime, timedelta

import pytest

from monitor.core.incident import Reason
from monitor.core.policy import Rule
from monitor.core.tokens import Answer, Cause, Code
from tests.builders import DAY, HOUR, MINUTE, a_rule, no_answer
from tests.core.lives import START, Life, alive_until, day, dead

OPENED, WORSENED, CLOSER = Reason.OPENED, Reason.WORSENED, Reason.CLOSER
REMINDER, ESCALATED, RESOLVED = Reason.REMINDER, Reason.ESCALATED, Reason.RESOLVED
EXPIRING, EXPIRED = Code.EXPIRING, Code.EXPIRED
TEN_MINUTES = 10 * MINUTE / DAY
NEVER_RENEWED = [
    (46, OPENED),
    (53, CLOSER),
    (57, CLOSER),
    (59, CLOSER),
    (60, WORSENED),
    (63, REMINDER),
    (66, REMINDER),
    (69, REMINDER),
]


def _expires_on_day_60(at: datetime) -> Answer:
    return alive_until(60) if at < day(60) else dead(EXPIRED, expires_at=day(60))


def test_nobody_renews_a_token():
    life = Life()
    assert life.live(120, _expires_on_day_60) == NEVER_RENEWED
    assert life.told == [(EXPIRING,)] * 4 + [(EXPIRED,)] * 4


def test_nobody_renews_a_token_and_meta_is_down_from_day_40_on():
    def says(at: datetime) -> Answer:
        return _expires_on_day_60(at) if at < day(40) else no_answer()

    life = Life(a_rule(retry_every=HOUR))
    assert life.live(120, says) == NEVER_RENEWED
    assert life.told == [(EXPIRING,)] * 4 + [(EXPIRED,)] * 4


def test_nobody_renews_a_token_and_somebody_is_named_to_escalate_to():
    life = Life(a_rule(escalate_to=("boss@acme.example",)))
    assert life.live(120, _expires_on_day_60) == [
        *NEVER_RENEWED[:5],
        (63, REMINDER),
        (66, REMINDER),
        (67, ESCALATED),
        (70, REMINDER),
    ]


def test_a_token_is_renewed_after_the_second_letter():
    def says(at: datetime) -> Answer:
        return alive_until(60) if at < day(54.1) else alive_until(114.1)

    life = Life()
    assert life.live(100, says) == [
        (46, OPENED),
        (53, CLOSER),
        (54.13, RESOLVED),
    ]


def test_data_access_runs_down_while_the_token_never_expires():
    answer = alive_until(0, expires_at=None, data_access_expires_at=day(90))
    life = Life()
    assert life.live(99, lambda _: answer) == [
        (76, OPENED),
        (83, CLOSER),
        (89, CLOSER),
        (90, WORSENED),
        (93, REMINDER),
        (96, REMINDER),
        (99, REMINDER),
    ]


def test_a_daemon_asleep_for_a_week_says_one_thing_on_waking():
    life = Life()
    life.look_on([45, 46], alive_until(60))
    life.look(52.5, alive_until(60))
    assert life.look_on([59.5, 59.6, 59.7], alive_until(60)) == [
        (46, OPENED),
        (59.5, CLOSER),
    ]


def test_a_daemon_asleep_past_the_end_says_one_thing_on_waking():
    life = Life()
    life.look(40, alive_until(60))
    life.judge(64)
    life.look(64, dead(EXPIRED, expires_at=day(60)))
    assert life.said == [(64, OPENED)]
    assert life.told == [(EXPIRED,)]


def test_first_seen_20_days_ahead_and_next_looked_at_2_days_ahead_is_one_notice():
    life = Life()
    life.look(40, alive_until(60))
    assert life.look_on([58, 58.1, 58.2], alive_until(60)) == [(58, OPENED)]


def test_a_changed_password_is_told_once_confirmed_and_healed_once_confirmed():
    life = Life()
    life.look(10, alive_until(60))
    life.look(11, dead())
    assert life.said == []
    life.look(11 + TEN_MINUTES, dead())
    assert life.said == [(11.01, OPENED)]
    life.look(12, alive_until(60))
    assert life.said == [(11.01, OPENED)]
    life.look(12 + TEN_MINUTES, alive_until(60))
    assert life.said == [(11.01, OPENED), (12.01, RESOLVED)]
    assert life.told == [(Code.PASSWORD_CHANGED,)] * 2


def test_one_false_alarm_of_meta_is_never_heard_of():
    life = Life()
    life.look(10, alive_until(60))
    life.look(11, dead(Code.REVOKED))
    assert life.look_on([11.1, 12], alive_until(60)) == []
    assert life.incident is None


def test_an_extension_by_some_days_resets_the_rung_in_silence():
    life = Life()
    life.look_on([57], alive_until(60))
    assert life.look_on([58, 58.5, 60.9], alive_until(64)) == [(57, OPENED)]
    assert life.look_on([61, 62.9], alive_until(64)) == [(57, OPENED), (61, CLOSER)]
    assert life.look_on([63], alive_until(64)) == [
        (57, OPENED),
        (61, CLOSER),
        (63, CLOSER),
    ]


def test_an_extension_by_exactly_a_day_resets_the_rung():
    life = Life()
    life.look(53, alive_until(60))
    life.look(53.5, alive_until(61))
    assert life.look_on([54], alive_until(61)) == [(53, OPENED), (54, CLOSER)]


def test_an_extension_by_less_than_a_day_resets_nothing():
    life = Life()
    life.look(53, alive_until(60))
    life.look(53.5, alive_until(60.9))
    assert life.look_on([54, 54.5], alive_until(60.9)) == [(53, OPENED)]


def test_a_date_that_creeps_is_measured_from_the_one_that_was_told():
    life = Life()
    life.look(53, alive_until(60))
    life.look(53.2, alive_until(60.6))
    life.look(53.4, alive_until(61.2))
    assert life.look_on([54.2], alive_until(61.2)) == [(53, OPENED), (54.2, CLOSER)]


def test_a_date_that_creeps_past_its_rung_is_not_told_there_twice():
    rule = a_rule(required_scopes=("ads_read",))
    life = Life(rule)
    life.look(53.1, alive_until(60))
    lost = alive_until(60.9, scopes=())
    life.look(53.2, lost)
    life.look(53.3, lost)
    life.look(54, lost)
    assert life.said == [(53.1, OPENED), (53.3, WORSENED)]


def test_a_date_that_comes_nearer_is_told_at_its_tighter_rung():
    life = Life()
    life.look(46, alive_until(60))
    assert life.look_on([46.1, 46.2], alive_until(52)) == [
        (46, OPENED),
        (46.1, CLOSER),
    ]


RENEWED_YET_LACKING = a_rule(required_scopes=("ads_read",), remind_every=300 * DAY)


def test_a_renewed_token_that_still_lacks_a_scope_is_warned_of_its_new_end():
    life = Life(RENEWED_YET_LACKING)
    life.look_on([50], alive_until(60, scopes=()))
    life.look_on([51, 105], alive_until(120, scopes=()))
    assert life.look_on([106, 106.1, 113], alive_until(120, scopes=())) == [
        (50, OPENED),
        (106, CLOSER),
        (113, CLOSER),
    ]


def test_a_token_that_was_dead_for_a_day_is_not_told_at_the_same_rung_again():
    life = Life()
    life.look(57, alive_until(60))
    life.look_on([57.1, 57.2], dead())
    assert life.look_on([57.3], alive_until(60)) == [(57, OPENED), (57.2, WORSENED)]
    assert life.look_on([59], alive_until(60))[2:] == [(59, CLOSER)]


def test_a_flapping_token_is_one_matter_told_once():
    life = Life()
    life.look(10, alive_until(60))
    for on in range(11, 20):
        life.look(on, dead())
        life.look(on + 0.1, dead())
        life.look(on + 0.2, alive_until(60))
    assert life.said == [(11.1, OPENED), (14.1, REMINDER), (17.1, REMINDER)]


def test_a_flapping_token_heals_only_after_two_good_looks_in_a_row():
    life = Life()
    life.look_on([10, 10.1], dead())
    life.look(11, alive_until(60))
    life.look_on([11.1, 11.2], dead())
    life.look(11.3, alive_until(60))
    assert life.said == [(10.1, OPENED)]
    life.look(11.4, alive_until(60))
    assert life.said == [(10.1, OPENED), (11.4, RESOLVED)]


def test_a_second_death_after_healing_is_a_new_matter():
    life = Life()
    life.look_on([10, 10.1], dead())
    life.look_on([11, 11.1], alive_until(60))
    life.look_on([12, 12.1], dead())
    assert life.said == [(10.1, OPENED), (11.1, RESOLVED), (12.1, OPENED)]
    assert life.incident is not None
    assert life.incident.notices == 1


def test_a_dying_token_gets_worse_by_another_cause():
    life = Life()
    life.look(46, alive_until(60))
    life.look_on([47, 47.1], dead())
    life.look_on([48, 48.1], dead(Code.REVOKED))
    assert life.said == [(46, OPENED), (47.1, WORSENED), (48.1, WORSENED)]
    assert life.told[-1] == (Code.REVOKED,)


def test_what_worsens_and_comes_closer_is_told_at_once():
    rule = a_rule(required_scopes=("ads_read",), confirm_after=DAY)
    life = Life(rule)
    life.look(52, alive_until(60))
    life.look(52.5, alive_until(60, scopes=()))
    life.look(53.5, alive_until(60, scopes=()))
    assert life.said == [(52, OPENED), (53.5, WORSENED)]
    assert life.told[-1] == (EXPIRING, Code.SCOPES_MISSING)
    assert life.look_on([54], alive_until(60, scopes=()))[2:] == []


def test_unknown_leaves_all_as_it_was():
    life = Life()
    life.look_on([10, 10.1], dead())
    life.look(11, alive_until(60))
    incident = life.incident
    assert incident is not None
    for on in range(12, 20):
        life.look(on, no_answer(Cause.UNREACHABLE))
    assert life.incident == incident
    assert life.said == [(10.1, OPENED)]


def test_an_outage_opens_nothing_for_a_token_never_seen():
    life = Life()
    assert life.live(30, lambda _: no_answer()) == []
    assert life.incident is None


@pytest.mark.parametrize(
    "rule",
    [a_rule(required_scopes=("ads_read",)), a_rule(allowed_scopes=())],
    ids=["required", "allowed"],
)
def test_a_policy_taken_back_closes_its_matter_in_silence(rule: Rule):
    life = Life(rule)
    life.look(10, alive_until(60, scopes=("email",)))
    said = list(life.said)
    life.rule = a_rule()
    life.judge(10.5)
    assert life.said == said
    assert life.incident is None


def test_the_first_sighting_of_a_token_in_trouble_is_told_at_once():
    life = Life()
    life.look(59.5, alive_until(60))
    assert life.said == [(59.5, OPENED)]


def test_after_healing_the_next_look_is_an_ordinary_one():
    life = Life()
    life.look_on([10, 10.1], dead())
    life.look_on([11, 11.1], alive_until(60))
    assert life.due_at == day(11.1) + 6 * HOUR


def test_a_day_begins_at_the_start():
    assert day(1) - START == timedelta(days=1)
