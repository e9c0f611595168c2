"""The storm brake on both databases: who counts, who is called, who may end a hold."""

from datetime import datetime, timedelta

import pytest

from monitor.core.hold import Brake
from monitor.core.tokens import Code, Introspection
from monitor.jobs.storm import storm_of
from monitor.store import Store
from monitor.store.brake import Held
from monitor.store.instants import microseconds
from monitor.store.outbox import FIRST
from monitor.store.waiters import Pass
from tests.store.builders import (
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    a_charter,
    a_court,
    a_row,
    column,
    execute,
    let_go,
    look,
    rows,
)

BRAKE = Brake(at_least=2, share=0.25)
STORM = storm_of(a_charter(brake=BRAKE), lambda: NOW)
SEEN = NOW - 5 * MINUTE
TOLD_AT = NOW + 20 * MINUTE


def user(token_id: str, fault: Code | None = None) -> Introspection:
    """What Meta says of a token of the user its id begins with."""
    name = token_id.partition("-")[0]
    return Introspection(fault=fault, app_id="1", kind="user", user_id=name)


async def a_fleet(store: Store, *ids: str, app_id: str = "1") -> None:
    """Tokens of the users their ids begin with, looked at once and alive."""
    await store.inventory.import_rows(
        [a_row(e, owner_email=f"{e}@x.example", app_id=app_id) for e in ids], NOW - DAY
    )
    for each in ids:
        await look(store, user(each), each, at=SEEN)


async def suspect(store: Store, *ids: str, at: datetime = NOW) -> None:
    for each in ids:
        await look(store, user(each, Code.REVOKED), each, at=at)


async def fall(store: Store, *ids: str, at: datetime = NOW) -> None:
    """Two looks that confirm the end of these tokens."""
    await suspect(store, *ids, at=at)
    await suspect(store, *ids, at=at + 11 * MINUTE)


async def seal(store: Store, at: datetime = TOLD_AT) -> Pass:
    return await store.outbox.seal(
        let_go, at, storm=STORM, lease=LEASE, domain="x.example", after=FIRST
    )


EIGHT = [f"u{n}-a" for n in range(8)]


async def test_more_users_than_one_cause_explains_are_held(store: Store) -> None:
    await a_fleet(store, *EIGHT)
    await fall(store, *EIGHT[:3])
    done = await seal(store)
    assert [(each.app_id, each.wave.users) for each in done.held] == [("1", 3)]
    (hold,) = await store.holds.open()
    assert hold["until"] == TOLD_AT + BRAKE.release_after
    assert (hold["users"], hold["tokens"], hold["looked_at"]) == (3, 3, 8)
    assert hold["codes"] == "revoked 3"
    assert (await seal(store, TOLD_AT + MINUTE)).held == [], "one hold at a time"


async def test_one_users_tokens_are_one_user(store: Store) -> None:
    ids = [f"u0-{n}" for n in range(5)]
    await a_fleet(store, *ids, *EIGHT[1:])
    await fall(store, *ids)
    assert (await seal(store)).held == []


async def test_tokens_of_users_nobody_knows_count_each(store: Store) -> None:
    ids = ["x", "y", "z"]
    await store.inventory.import_rows([a_row(each) for each in ids], NOW - DAY)
    dead = Introspection(fault=Code.REVOKED, app_id="1")
    await look(store, dead, *ids, at=NOW)
    await look(store, dead, *ids, at=NOW + 11 * MINUTE)
    assert len((await seal(store)).held) == 1


async def test_suspicions_count_but_nothing_is_held_until_something_would_be_told(
    store: Store,
) -> None:
    await a_fleet(store, *EIGHT)
    await suspect(store, *EIGHT[:4])
    assert (await seal(store)).held == []
    await suspect(store, EIGHT[0], at=NOW + 11 * MINUTE)
    (held,) = (await seal(store)).held
    assert held.wave.users == 4


async def test_what_the_owner_is_not_told_for_silence_is_no_wave(store: Store) -> None:
    await a_fleet(store, *EIGHT)
    await fall(store, *EIGHT[:3])
    await execute(store, "UPDATE outbox SET waits_for = 'silence'")
    assert (await seal(store)).held == []


async def test_others_looked_at_outvote_a_few(store: Store) -> None:
    await a_fleet(store, *EIGHT, *(f"v{n}-a" for n in range(8)))
    await fall(store, *EIGHT[:4])
    assert (await seal(store)).held == [], "a quarter is not more than a quarter"
    await execute(store, "UPDATE outbox SET state = 'waiting', letter_id = NULL")
    await execute(store, "UPDATE health SET verified_at = 0 WHERE codes = ''")
    assert len((await seal(store)).held) == 1, "who was looked at long ago is no voter"


async def test_dated_news_is_no_wave(store: Store) -> None:
    await store.inventory.import_rows([a_row(each) for each in EIGHT], NOW - DAY)
    ending = Introspection(app_id="1", expires_at=NOW + 2 * DAY)
    await look(store, ending, *EIGHT, at=NOW)
    done = await seal(store)
    assert (done.held, done.sealed) == ([], 1)


async def opened(store: Store) -> Held:
    await a_fleet(store, *EIGHT)
    await fall(store, *EIGHT[:3])
    (held,) = (await seal(store)).held
    await execute(store, "UPDATE outbox SET state = 'waiting', letter_id = NULL")
    await execute(store, "UPDATE outbox SET waits_for = 'hold' WHERE role = 'owner'")
    return held


async def test_a_release_is_written_down_and_ends_the_count(store: Store) -> None:
    held = await opened(store)
    freed = await store.holds.release("1", STORM, "ann", "real", TOLD_AT)
    assert freed is not None
    assert (freed.id, freed.entries, freed.readers) == (held.id, 3, 3)
    assert await rows(store, "SELECT author, action, subject, reason FROM audit") == [
        ("ann", "release", "app:1", "real")
    ]
    assert await rows(
        store, "SELECT closed_at IS NOT NULL FROM incidents WHERE subject LIKE 'hold:%'"
    ) == [(True,)]
    assert (await seal(store, TOLD_AT + MINUTE)).held == [], "it counts no more"
    await suspect(store, *EIGHT[3:], at=TOLD_AT + MINUTE)
    assert (await seal(store, TOLD_AT + 2 * MINUTE)).held == [], "the same storm"
    assert await store.holds.release("1", STORM, "ann", None, TOLD_AT) is None


async def test_what_is_discarded_does_not_excuse_what_comes(store: Store) -> None:
    await opened(store)
    assert await store.holds.discard("1", STORM, "ann", None, TOLD_AT) is not None
    assert (
        await rows(
            store,
            "SELECT dropped_for FROM outbox WHERE role = 'owner' AND reason='opened'",
        )
        == [("discarded",)] * 3
    )
    await fall(store, *EIGHT[3:], at=TOLD_AT + HOUR)
    assert len((await seal(store, TOLD_AT + 2 * HOUR)).held) == 1


async def test_what_is_discarded_leaves_no_rest_of_the_storm_to_be_told(
    store: Store,
) -> None:
    """The few that were planned or suspected only then were told once."""
    await opened(store)
    await fall(store, EIGHT[3], at=TOLD_AT - 12 * MINUTE)
    await suspect(store, EIGHT[4], at=TOLD_AT - MINUTE)
    freed = await store.holds.discard("1", STORM, "ann", None, TOLD_AT)
    assert freed is not None
    assert freed.entries == 4
    await suspect(store, EIGHT[4], at=TOLD_AT + 11 * MINUTE)
    assert len((await seal(store, TOLD_AT + 15 * MINUTE)).held) == 1


async def test_a_hold_ends_at_its_deadline(store: Store) -> None:
    held = await opened(store)
    early = await seal(store, held.until - MINUTE)
    assert early.ended == []
    (ended,) = (await seal(store, held.until)).ended
    assert (ended.id, ended.how) == (held.id, "deadline")
    (past,) = await store.holds.past()
    assert past["ended_at"] == held.until
    assert await store.holds.open() == []


async def test_a_hold_that_holds_nothing_ends(store: Store) -> None:
    held = await opened(store)
    await execute(store, "UPDATE outbox SET state = 'dropped' WHERE role = 'owner'")
    await suspect(store, EIGHT[4], EIGHT[5], at=TOLD_AT)
    assert (await seal(store, TOLD_AT + MINUTE)).ended == [], "two are suspected"
    await look(store, user(EIGHT[5]), EIGHT[5], at=TOLD_AT + 2 * MINUTE)
    (ended,) = (await seal(store, TOLD_AT + 3 * MINUTE)).ended
    assert (ended.id, ended.how) == (held.id, "recovered")


async def test_dated_and_silenced_news_keep_no_hold_open(store: Store) -> None:
    """They kept it open once: what a second outage brought went at its deadline."""
    held = await opened(store)
    await execute(store, "UPDATE outbox SET state = 'dropped' WHERE role = 'owner'")
    ending = Introspection(app_id="1", user_id="u6", expires_at=NOW + 2 * DAY)
    await look(store, ending, EIGHT[6], at=NOW)
    await fall(store, EIGHT[7])
    await execute(
        store,
        "UPDATE outbox SET waits_for = 'silence', due_at = due_at + 86400000000 "
        "WHERE state = 'waiting' AND role = 'owner' AND news_at IS NOT NULL",
    )
    (ended,) = (await seal(store, TOLD_AT + MINUTE)).ended
    assert (ended.id, ended.how) == (held.id, "recovered")


# --- witnesses and kin


async def due_now(store: Store, at: datetime = NOW) -> set[str]:
    found = await rows(
        store,
        "SELECT tokens.id FROM tokens JOIN health ON token_row = row_id "
        "WHERE urgency = 1 AND suspicion IS NULL",
    )
    return {row[0] for row in found}


async def test_a_suspicion_calls_five_others_and_the_users_own(store: Store) -> None:
    kin = ["u0-b", "u0-c"]
    await a_fleet(store, *EIGHT, *kin, "u7-b", "u7-c")
    await suspect(store, EIGHT[0])
    called = await due_now(store)
    assert set(kin) <= called
    witnesses = {each.partition("-")[0] for each in called} - {"u0"}
    assert len(witnesses) == 5, "five users, not five tokens"
    assert len(called) == 7


async def test_who_was_looked_at_just_now_is_no_witness(store: Store) -> None:
    await a_fleet(store, *EIGHT)
    for each in EIGHT:
        await look(store, user(each), each, at=NOW - MINUTE / 2)
    await suspect(store, EIGHT[0])
    assert await due_now(store) == set()


@pytest.mark.parametrize("why", ["held", "enough"])
async def test_witnesses_are_not_called_when_they_say_nothing_new(
    store: Store, why: str
) -> None:
    await a_fleet(store, *EIGHT)
    if why == "held":
        await execute(store, "UPDATE apps SET held_until = 1")
        court = a_court(NOW)
    else:
        court = a_court(NOW, brake=Brake(at_least=0))
    dead = user(EIGHT[0], Code.REVOKED)
    await look(store, dead, EIGHT[0], at=NOW, court=court)
    assert await due_now(store) == set()


async def test_what_is_claimed_now_is_left_alone(store: Store) -> None:
    await a_fleet(store, "u0-a", "u1-a")
    soon = microseconds(NOW + LEASE / 2)
    await execute(store, "UPDATE health SET next_check_at = :at", at=soon)
    await suspect(store, "u0-a")
    assert await column(store, "next_check_at", "u1-a") == soon


async def test_what_was_claimed_while_we_waited_for_locks_is_left_alone(
    store: Store,
) -> None:
    await a_fleet(store, "u0-a", "u1-a")
    claimed = microseconds(NOW + timedelta(seconds=4) + LEASE)
    await execute(store, "UPDATE health SET next_check_at = :at", at=claimed)
    late = a_court(NOW + timedelta(seconds=5))
    await look(store, user("u0-a", Code.REVOKED), "u0-a", at=NOW, court=late)
    assert await column(store, "next_check_at", "u1-a") == claimed


async def test_who_waits_in_a_long_queue_is_a_witness_too(store: Store) -> None:
    """A quota that is small leaves nobody else, and two looks would tell an owner."""
    await a_fleet(store, *EIGHT, "u0-b")
    overdue = microseconds(NOW - 2 * HOUR)
    await execute(store, "UPDATE health SET next_check_at = :at", at=overdue)
    owed = "UPDATE health SET urgency = 0 WHERE token_row = :row"
    (found,) = await rows(store, "SELECT row_id FROM tokens WHERE id = 'u1-a'")
    await execute(store, owed, row=found[0])
    await suspect(store, EIGHT[0])
    called = await due_now(store)
    assert len(called) == 6, "five others, and the user's own"
    assert "u0-b" in called
    assert "u1-a" not in called, "a last look comes before"
