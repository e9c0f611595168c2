"""The storm brake: what is a wave, what is news, and how many letters an hour sees."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.delivery import Hours, Item, Pending, Role, Wait, Waiting, gate, rank
from monitor.core.hold import (
    LOOK_AGAIN,
    SUDDEN_NEWS,
    Brake,
    Wave,
    brought_forward,
    enough_suspects,
    is_free,
    is_over,
    is_wave,
    may_be_wave,
    news_at,
    outvoted_by,
    room,
    room_at,
)
from monitor.core.incident import Incident, Notice, Reason
from monitor.core.observation import Suspicion
from monitor.core.tokens import Code, Introspection
from monitor.core.verdict import Finding

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BRAKE = Brake()


@pytest.mark.parametrize(
    ("users", "looked_at", "wave"),
    [
        (5, 5, False),  # not more than at_least
        (6, 6, True),
        (6, 119, True),
        (6, 120, False),  # five per cent is not more than five per cent
        (50, 1000, False),
        (51, 1000, True),
        (0, 0, False),
    ],
)
def test_a_wave_is_more_users_and_a_larger_share(
    users: int, looked_at: int, *, wave: bool
) -> None:
    assert is_wave(Wave(users, users, looked_at), BRAKE) is wave


@pytest.mark.parametrize("users", [1, 6, 33, 51, 1000])
def test_counting_others_may_stop_when_they_outvote_the_news(users: int) -> None:
    enough = outvoted_by(users, BRAKE)
    assert not is_wave(Wave(users, users, users + enough), BRAKE)
    assert may_be_wave(users, BRAKE) is (users > 5)


@pytest.mark.parametrize("share", [0.0, 5e-324, 1e-12, 1.0])
def test_any_share_can_be_counted(share: float) -> None:
    brake = Brake(share=share)
    enough = outvoted_by(6, brake)
    assert 0 < enough <= 1_000_000
    assert is_wave(Wave(6, 6, 6 + enough), brake) is (share < 1e-6)


def test_a_storm_is_over_when_far_fewer_are_left_than_open_one() -> None:
    assert not is_over(3, BRAKE)
    assert is_over(2, BRAKE)
    assert is_over(0, Brake(at_least=1))


def test_more_suspects_than_a_wave_needs_are_enough() -> None:
    enough = enough_suspects(BRAKE)
    assert is_wave(Wave(enough, enough, enough), BRAKE)


def test_news_are_the_owners_matters_that_no_date_foretells() -> None:
    assert Code.REVOKED in SUDDEN_NEWS
    assert Code.SCOPES_MISSING in SUDDEN_NEWS
    assert Code.EXPIRED in SUDDEN_NEWS  # before its date
    assert Code.EXPIRING not in SUDDEN_NEWS
    assert Code.MALFORMED not in SUDDEN_NEWS


DEAD = (Finding(Code.REVOKED, sudden=True),)
LACKS = Finding(Code.SCOPES_MISSING, sudden=True)
ENDING = Finding(Code.EXPIRING, NOW + DAY)


def said(reason: Reason) -> Notice:
    return Notice(1, reason, (Code.REVOKED,), frozenset())


def test_news_is_as_old_as_its_first_sighting() -> None:
    seen = Suspicion(Code.REVOKED, NOW - 10 * MINUTE)
    assert news_at(None, said(Reason.OPENED), DEAD, seen, NOW) == seen.since
    assert news_at(None, said(Reason.OPENED), DEAD, None, NOW) == NOW
    waiting = Incident(NOW - HOUR, critical_since=NOW - HOUR)
    assert news_at(waiting, said(Reason.CLOSER), DEAD, None, NOW) == NOW - HOUR
    dated = Incident(NOW - HOUR)
    assert news_at(dated, said(Reason.WORSENED), DEAD, None, NOW) == NOW


def test_what_is_repeated_or_foretold_is_no_news() -> None:
    assert news_at(None, None, DEAD, None, NOW) is None
    for reason in (Reason.REMINDER, Reason.ESCALATED, Reason.RESOLVED):
        assert news_at(None, said(reason), DEAD, None, NOW) is None
    assert news_at(None, said(Reason.OPENED), (ENDING,), None, NOW) is None
    operators = (Finding(Code.MALFORMED, sudden=True),)
    assert news_at(None, said(Reason.OPENED), operators, None, NOW) is None
    told = Incident(
        NOW - DAY, told=frozenset({Code.SCOPES_MISSING}), settled_at=NOW - DAY
    )
    assert news_at(told, said(Reason.CLOSER), (LACKS, ENDING), None, NOW) is None
    untold = replace(told, settled_at=None)
    assert news_at(untold, said(Reason.CLOSER), (LACKS, ENDING), None, NOW) == NOW


def test_a_date_that_came_nearer_is_news_whatever_was_told() -> None:
    told = Incident(NOW - DAY, told=frozenset({Code.EXPIRING}), settled_at=NOW - DAY)
    brought = {Code.EXPIRING}
    for incident, reason in ((None, Reason.OPENED), (told, Reason.CLOSER)):
        news = news_at(incident, said(reason), (ENDING,), None, NOW, brought)
        assert news == NOW
    seen = Suspicion(Code.DATA_ACCESS_EXPIRED, NOW - 10 * MINUTE)
    news = news_at(None, said(Reason.OPENED), (ENDING,), seen, NOW, brought)
    assert news == seen.since
    assert news_at(None, said(Reason.REMINDER), (ENDING,), None, NOW, brought) is None
    other = {Code.DATA_ACCESS_EXPIRED}
    assert news_at(None, said(Reason.OPENED), (ENDING,), None, NOW, other) is None


LIFE = {Code.EXPIRING, Code.EXPIRED}
ACCESS = {Code.DATA_ACCESS_EXPIRING, Code.DATA_ACCESS_EXPIRED}


@pytest.mark.parametrize(
    ("was", "is_now", "brought"),
    [
        (NOW + 9 * DAY, NOW + DAY, True),
        (NOW + 9 * DAY, NOW - DAY, True),
        (None, NOW + DAY, True),
        (NOW + DAY + HOUR + MINUTE, NOW + DAY, True),
        (NOW + DAY + HOUR, NOW + DAY, False),
        (NOW + DAY, NOW + DAY, False),
        (NOW + DAY, NOW + 60 * DAY, False),
        (NOW + DAY, None, False),
        (None, None, False),
    ],
)
def test_dates_are_brought_forward_by_more_than_an_hour(
    was: datetime | None, is_now: datetime | None, *, brought: bool
) -> None:
    old, new = Introspection(expires_at=was), Introspection(expires_at=is_now)
    assert brought_forward(old, new) == (LIFE if brought else set())
    old = Introspection(data_access_expires_at=was)
    new = Introspection(data_access_expires_at=is_now)
    assert brought_forward(old, new) == (ACCESS if brought else set())


def test_only_of_a_living_token_that_was_known_are_dates_brought_forward() -> None:
    old = Introspection(expires_at=NOW + 9 * DAY)
    new = Introspection(expires_at=NOW + DAY)
    assert brought_forward(old, new) == LIFE
    assert brought_forward(None, new) == set()
    assert brought_forward(old, None) == set()
    assert brought_forward(replace(old, fault=Code.REVOKED), new) == set()
    dead = replace(new, fault=Code.DATA_ACCESS_EXPIRED)
    assert brought_forward(old, dead) == LIFE, "a date that death brings with it"


def test_what_was_let_go_is_free() -> None:
    assert not is_free(NOW, None)
    assert is_free(NOW, NOW)
    assert not is_free(NOW + MINUTE, NOW)


def test_an_hour_has_room_for_so_many_letters() -> None:
    left = [NOW - 61 * MINUTE, NOW - 50 * MINUTE, NOW - 10 * MINUTE]
    assert room(left, 3, NOW) == 1
    assert room(left, 2, NOW) == 0
    assert room(left, 1, NOW) == 0
    assert room_at(left, 3, NOW) == NOW
    assert room_at(left, 2, NOW) == NOW + 10 * MINUTE
    assert room_at(left, 1, NOW) == NOW + 50 * MINUTE


# --- the gate


def entry(*findings: Finding, **facts: object) -> Pending:
    item = Item(
        subject="token:north",
        incident="i1",
        number=1,
        reason=Reason.OPENED,
        findings=findings or DEAD,
        app_id="1",
        app_name="Acme",
        opened_at=NOW,
        verified_at=NOW,
        token_id="north",
    )
    pending = Pending(
        item, Role.OWNER, NOW, NOW - MINUTE, None, verified_at=NOW, last_checked_at=NOW
    )
    return replace(pending, **facts)  # type: ignore[arg-type] # any field


def test_a_held_letter_waits_and_is_looked_at_again() -> None:
    until = NOW + 4 * HOUR
    fresh = gate(entry(held_until=until), None, NOW)
    assert fresh == Wait(Waiting.HOLD, NOW + LOOK_AGAIN)
    stale = entry(held_until=until, last_checked_at=NOW - LOOK_AGAIN)
    assert gate(stale, None, NOW) == Wait(Waiting.HOLD, NOW + LOOK_AGAIN, look=True)
    never = entry(held_until=until, last_checked_at=None)
    assert gate(never, None, NOW) == Wait(Waiting.HOLD, NOW + LOOK_AGAIN, look=True)
    last = entry(held_until=NOW + MINUTE)
    assert gate(last, None, NOW) == Wait(Waiting.HOLD, NOW + MINUTE)


def test_what_is_not_held() -> None:
    until = NOW + 4 * HOUR
    assert gate(entry(held_until=NOW), None, NOW) is None, "its deadline"
    assert gate(entry(held_until=until, role=Role.OPERATOR), None, NOW) is None
    assert gate(entry(held_until=until, let_go_at=NOW), None, NOW) is None
    seen = {"news_at": NOW - MINUTE, "let_go_at": NOW - MINUTE}
    assert gate(entry(held_until=until, **seen), None, NOW) is None
    later = entry(held_until=until, let_go_at=NOW - MINUTE)
    assert isinstance(gate(later, None, NOW), Wait)


def test_a_date_less_than_a_day_away_is_told_also_under_a_hold() -> None:
    until = NOW + 4 * HOUR
    last_day = entry(Finding(Code.EXPIRING, NOW + DAY - MINUTE), held_until=until)
    assert gate(last_day, None, NOW) is None
    later = entry(Finding(Code.EXPIRING, NOW + DAY + MINUTE), held_until=until)
    assert gate(later, None, NOW) == Wait(Waiting.HOLD, NOW + LOOK_AGAIN)
    sudden = Finding(Code.REVOKED, sudden=True)
    both = entry(sudden, Finding(Code.EXPIRING, NOW + HOUR), held_until=until)
    assert isinstance(gate(both, None, NOW), Wait)


def test_a_date_that_came_nearer_is_held_to_its_last_day_and_looked_at() -> None:
    lapsed = Finding(Code.DATA_ACCESS_EXPIRED, NOW - MINUTE)
    held = {"held_until": NOW + 4 * HOUR, "last_checked_at": NOW - LOOK_AGAIN}
    assert not isinstance(gate(entry(lapsed, **held), None, NOW), Wait)
    news = entry(lapsed, news_at=NOW, **held)
    assert gate(news, None, NOW) == Wait(Waiting.HOLD, NOW + LOOK_AGAIN, look=True)


def test_a_hold_comes_before_office_hours() -> None:
    closed = Hours(frozenset({6}), datetime.min.time(), datetime.max.time())
    ends = Finding(Code.EXPIRING, NOW + 5 * DAY)
    held = gate(entry(ends, held_until=NOW + HOUR), closed, NOW)
    assert isinstance(held, Wait)
    assert held.why is Waiting.HOLD


def test_what_has_stopped_leaves_before_what_ends_and_good_news_last() -> None:
    dead, soon = entry(), entry(Finding(Code.EXPIRING, NOW + DAY))
    late = entry(Finding(Code.EXPIRING, NOW + 3 * DAY))
    good = replace(entry().item, reason=Reason.RESOLVED)
    ranks = [rank(dead.item), rank(soon.item), rank(late.item), rank(good)]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 4
    assert rank(entry(Finding(Code.SHORT_LIVED)).item) == 0
