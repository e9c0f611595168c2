"""Vitals: what the signs of life mean, on each side of every bound."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from monitor.core.vitals import (
    BLIND_AFTER,
    DATABASE_GONE_AFTER,
    LATE_AFTER,
    SHUT_AFTER,
    STALLED_AFTER,
    STUCK_AFTER,
    UNSENT_AFTER,
    AppSigns,
    Organ,
    PostSigns,
    Signs,
    ailments,
    database_was_gone,
    late_after,
)

NOW: Final = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
AN_INSTANT: Final = timedelta.resolution


def signs(**changes: Any) -> Signs:
    """A monitor that is well, but for what the test says."""
    facts: dict[str, Any] = {
        "began_at": NOW - DAY,
        "tick": timedelta(seconds=10),
        "checked_at": NOW,
        "delivered_at": NOW,
        "stored_at": NOW,
    }
    return Signs(**facts | changes)


def app(**changes: Any) -> tuple[AppSigns, ...]:
    return (AppSigns("Acme", **changes),)


def organs(seen: Signs) -> list[Organ]:
    return [each.organ for each in ailments(seen, NOW)]


def test_a_monitor_that_is_well_has_no_ailment() -> None:
    assert ailments(signs(apps=app()), NOW) == ()
    assert signs().alive


@pytest.mark.parametrize("job", ["checked_at", "delivered_at", "stored_at"])
def test_it_is_not_called_alive_before_every_job_came_through(job: str) -> None:
    assert not signs(**{job: None}).alive


def _ago(field: str, **more: Any) -> Any:
    return lambda at: signs(**{field: at}, **more)


def _app(field: str, **more: Any) -> Any:
    return lambda at: signs(apps=app(**{field: at}, **more))


def _post(field: str, **more: Any) -> Any:
    return lambda at: signs(post=PostSigns(**{field: at}, **more))


@pytest.mark.parametrize(
    ("seen", "bound", "organ"),
    [
        (_ago("checked_at"), STALLED_AFTER, Organ.SCHEDULER),
        (_ago("delivered_at"), STALLED_AFTER, Organ.SCHEDULER),
        (_ago("stored_at"), STALLED_AFTER, Organ.SCHEDULER),
        (_ago("failing_since"), DATABASE_GONE_AFTER, Organ.DATABASE),
        (_app("silent_since"), BLIND_AFTER, Organ.GRAPH),
        (_app("late_since", late=3), LATE_AFTER, Organ.SCHEDULER),
        (_app("late_since", late=3, late_after=DAY / 2), DAY / 2, Organ.SCHEDULER),
        (_post("shut_since"), SHUT_AFTER, Organ.SMTP),
        (_post("owed_since"), UNSENT_AFTER, Organ.SMTP),
        (_post("owed_since", sent_at=NOW - MINUTE), STUCK_AFTER, Organ.SMTP),
        (_post("owed_since", sent_at=NOW - UNSENT_AFTER), UNSENT_AFTER, Organ.SMTP),
        (_post("deferred_since"), STUCK_AFTER, Organ.SMTP),
    ],
    ids=[
        "no pass of the checker",
        "no pass of the courier",
        "no tick of the caretaker",
        "the database refuses",
        "Meta tells nothing of an app",
        "tokens without their look",
        "tokens that a quota excuses",
        "the mail server is shut",
        "due, and nothing sent at all",
        "due, and others are sent",
        "due, and nothing sent lately",
        "every letter is put off",
    ],
)
def test_an_organ_fails_at_its_bound_and_not_before(
    seen: Any, bound: timedelta, organ: Organ
) -> None:
    assert organs(seen(NOW - bound)) == [organ]
    assert organs(seen(NOW - bound + AN_INSTANT)) == []
    (ailment,) = ailments(seen(NOW - bound), NOW)
    assert ailment.since == NOW - bound
    assert not ailment.told


def test_what_was_neglected_while_nobody_ran_is_no_failure_yet() -> None:
    fresh = signs(
        began_at=NOW - BLIND_AFTER + AN_INSTANT, apps=app(silent_since=NOW - DAY)
    )
    assert organs(fresh) == []
    seen = signs(began_at=NOW - BLIND_AFTER, apps=app(silent_since=NOW - DAY))
    (ailment,) = ailments(seen, NOW)
    assert ailment.since == NOW - DAY


def test_a_job_that_never_came_through_is_missed_from_the_beginning() -> None:
    seen = signs(began_at=NOW - STALLED_AFTER, checked_at=None)
    (ailment,) = ailments(seen, NOW)
    assert ailment.since == NOW - STALLED_AFTER


def test_long_ticks_stretch_the_bounds() -> None:
    seen = signs(tick=10 * MINUTE, checked_at=NOW - 29 * MINUTE)
    assert organs(seen) == []
    assert organs(signs(tick=10 * MINUTE, checked_at=NOW - 30 * MINUTE)) == [
        Organ.SCHEDULER
    ]


def test_a_doubted_clock_is_all_that_can_be_told() -> None:
    seen = signs(doubted_since=NOW, failing_since=NOW - DAY, apps=app(late=1))
    assert organs(seen) == [Organ.CLOCK]
    assert database_was_gone(seen, NOW) == ()


def test_without_the_database_nothing_is_said_of_the_others() -> None:
    seen = signs(
        failing_since=NOW - DAY,
        checked_at=NOW - DAY,
        post=PostSigns(shut_since=NOW - DAY),
    )
    assert organs(seen) == [Organ.DATABASE]


def test_a_database_that_was_gone_is_told_of_when_it_is_back() -> None:
    seen = signs(failing_since=NOW - DATABASE_GONE_AFTER)
    (ailment,) = database_was_gone(seen, NOW)
    assert ailment.organ is Organ.DATABASE
    assert "works again" in ailment.what
    assert database_was_gone(signs(), NOW) == ()


def test_refused_credentials_ail_at_once_and_have_a_letter_of_their_own() -> None:
    seen = signs(
        apps=app(
            rejected_since=NOW, silent_since=NOW - DAY, late=3, late_since=NOW - DAY
        )
    )
    assert [(each.organ, each.told) for each in ailments(seen, NOW)] == [
        (Organ.SCHEDULER, True),
        (Organ.GRAPH, True),
    ]


def test_a_refused_letter_to_the_operator_ails_and_is_told_to_nobody() -> None:
    (ailment,) = ailments(signs(post=PostSigns(refused_since=NOW)), NOW)
    assert (ailment.organ, ailment.told) == (Organ.SMTP, True)


def test_a_shut_mail_server_explains_what_does_not_leave() -> None:
    post = PostSigns(shut_since=NOW - MINUTE, owed_since=NOW - DAY, reply="421 no")
    assert organs(signs(post=post)) == []
    post = PostSigns(shut_since=NOW - DAY, owed_since=NOW - DAY, reply="421 no")
    (ailment,) = ailments(signs(post=post), NOW)
    assert ailment.what == "the way to the mail server fails (421 no)"


@pytest.mark.parametrize(
    ("hourly", "slowed", "expected"),
    [
        (None, False, LATE_AFTER),
        (None, True, DAY),
        (20_000, True, DAY),
        (100, False, DAY),  # needs twice as much
        (20_000, False, LATE_AFTER + 1200 / 19636 * timedelta(hours=1)),
    ],
)
def test_a_quota_excuses_what_it_cannot_carry(
    hourly: int | None, slowed: object, expected: timedelta
) -> None:
    found = late_after(1200, 200.0, hourly, slowed=bool(slowed), trust_for=DAY)
    assert abs(found - expected) < MINUTE / 60
