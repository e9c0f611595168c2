"""The clock guard: which clock is believed, and what a visit to another time leaves."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.clockwork import (
    Doubt,
    Heard,
    Reading,
    back_from_the_future,
    doubt,
    moved,
    vouches,
)
from monitor.core.incident import Healing, Incident, Reason
from monitor.core.tokens import Code

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
UP = 40 * DAY
BEFORE = Reading(NOON, UP)


def later(wall: timedelta, steady: timedelta | None = None) -> Reading:
    """A reading so much later by each clock; by default both agree."""
    return Reading(NOON + wall, UP + (wall if steady is None else steady))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(later(10 * SECOND), None, id="a tick later"),
        pytest.param(later(3 * DAY), None, id="a long sleep, or a stopped process"),
        pytest.param(later(10 * SECOND, 20 * MINUTE), Doubt.MOVED, id="set back"),
        pytest.param(later(2 * MINUTE, 0 * SECOND), None, id="by two minutes"),
        pytest.param(later(2 * MINUTE + SECOND, 0 * SECOND), Doubt.MOVED, id="by more"),
        pytest.param(later(-2 * MINUTE, 0 * SECOND), None, id="back by two minutes"),
        pytest.param(later(-2 * MINUTE - SECOND, 0 * SECOND), Doubt.MOVED, id="and so"),
    ],
)
def test_the_wall_clock_keeps_pace_with_the_steady_one(now, expected):
    assert doubt(now, before=BEFORE) is expected


def test_how_far_it_moved_has_a_sign():
    assert moved(BEFORE, later(-DAY, MINUTE)) == -DAY - MINUTE
    assert moved(BEFORE, later(DAY)) == timedelta()


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (-10 * DAY, None),
        (5 * MINUTE, None),
        (5 * MINUTE + SECOND, Doubt.BEHIND),
    ],
)
def test_nobody_has_written_down_what_is_still_to_come(ahead, expected):
    assert doubt(BEFORE, stored=NOON + ahead) is expected


@pytest.mark.parametrize(
    ("date", "took", "expected"),
    [
        pytest.param(timedelta(), SECOND, None, id="agrees"),
        pytest.param(5 * MINUTE, SECOND, None, id="Meta five minutes ahead"),
        pytest.param(5 * MINUTE + SECOND, SECOND, Doubt.APART, id="and more"),
        pytest.param(-5 * MINUTE - SECOND, SECOND, None, id="written when we asked"),
        pytest.param(-5 * MINUTE - 2 * SECOND, SECOND, Doubt.APART, id="Meta behind"),
        pytest.param(-3 * DAY, 3 * DAY, None, id="stopped while it waited"),
        pytest.param(-3650 * DAY, SECOND, Doubt.APART, id="we are in 2036"),
        pytest.param(20_000 * DAY, SECOND, Doubt.APART, id="we are in 1972"),
    ],
)
def test_meta_and_we_agree_on_the_time(date, took, expected):
    heard = Heard(NOON + date, Reading(NOON - took, UP - took), BEFORE)
    assert doubt(BEFORE, heard=heard) is expected


def test_a_date_that_agrees_outweighs_everything_else():
    heard = Heard(NOON, BEFORE, BEFORE)
    found = doubt(BEFORE, before=later(-DAY, MINUTE), stored=NOON + DAY, heard=heard)
    assert found is None


def test_nothing_against_it_is_no_doubt():
    assert doubt(BEFORE) is None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, False),
        (NOON, True),
        (NOON - 5 * MINUTE, True),
        (NOON - 6 * MINUTE, False),
        (NOON + 6 * MINUTE, False),
    ],
)
def test_only_a_fresh_mark_vouches(stored, expected):
    assert vouches(stored, BEFORE) is expected


def an_incident(**facts) -> Incident:
    return Incident(
        **{
            "opened_at": NOON - 9 * DAY,
            "told": frozenset({Code.REVOKED}),
            "notices": 1,
            "last_reason": Reason.OPENED,
            "last_notice_at": NOON - 9 * DAY,
            "settled_at": NOON - 9 * DAY,
            "first_told_at": NOON - 9 * DAY,
            "critical_since": NOON - 9 * DAY,
            **facts,
        }
    )


@pytest.mark.parametrize("of_token", [True, False])
def test_what_has_happened_stays_as_it_is(of_token):
    incident = an_incident(healing=Healing(NOON - DAY, by_answer=True))
    assert back_from_the_future(incident, NOON, of_token=of_token) == incident
    bare = Incident(NOON)
    assert back_from_the_future(bare, NOON, of_token=of_token) == bare


@pytest.mark.parametrize("name", ["opened_at", "last_notice_at"])
def test_a_tokens_matter_of_a_time_to_come_is_closed(name):
    incident = an_incident(**{name: NOON + 3650 * DAY})
    mended = back_from_the_future(incident, NOON, of_token=True)
    assert mended.closed_at == NOON


def test_nothing_waits_for_an_instant_that_lies_ahead():
    ahead = NOON + 3650 * DAY
    names = ("settled_at", "first_told_at", "critical_since")
    incident = an_incident(
        **dict.fromkeys(names, ahead), healing=Healing(ahead, by_answer=True)
    )
    assert back_from_the_future(incident, NOON, of_token=True) == an_incident(
        **dict.fromkeys(names, NOON)
    )
    matter = an_incident(opened_at=ahead, last_notice_at=ahead)
    assert back_from_the_future(matter, NOON, of_token=False) == an_incident(
        opened_at=NOON, last_notice_at=NOON
    )
