"""Entries and letters: grouping, the gate, what a letter in doubt keeps, settlement."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from monitor.core.attempt import GIVE_UP_AFTER, Attempt, Outcome, Phase
from monitor.core.delivery import Drop, Item, Role, Wait, Waiting
from monitor.core.incident import Incident, Reason
from monitor.core.tokens import Code
from monitor.core.verdict import Finding
from monitor.store import Store
from monitor.store.codec import decode_incident, encode
from monitor.store.entries import Entry, add_entries, close_entries, reached
from monitor.store.outbox import FIRST, Outbox
from monitor.store.settlement import (
    channel_pause,
    put_back,
    settle,
)
from monitor.store.tables import unreachable
from monitor.store.unreachable import MATTER
from monitor.store.waiters import Pass, Sealed, Waiter, copies
from tests.store.builders import (
    ALIVE,
    ANN,
    BOB,
    CALM,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    OPS,
    a_row,
    column,
    dead,
    due,
    execute,
    let_go,
    look,
    rows,
    wait_for,
)

SENT = Attempt(Outcome.SENT, Phase.DOT, 250, "2.0.0 ok")
DEFERRED = Attempt(Outcome.DEFERRED, Phase.RCPT, 451, "later")
UNKNOWN = Attempt(Outcome.UNKNOWN, Phase.DOT, None, "")
REFUSED = Attempt(Outcome.REFUSED, Phase.RCPT, 550, "nobody here")
CHANNEL = Attempt(Outcome.CHANNEL, Phase.CONNECT, None, "no route")


async def an_incident(store: Store, name: str = "i1") -> str:
    await execute(
        store,
        "INSERT INTO incidents (id, subject, opened_at, state) "
        "VALUES (:id, :id, 0, :state)",
        id=name,
        state=encode(Incident(NOW, notices=1)),
    )
    return name


def an_entry(
    incident: str = "i1", to: str = ANN, number: int = 1, **facts: Any
) -> Entry:
    item = Item(
        subject=f"token:{incident}",
        incident=incident,
        number=number,
        reason=Reason.OPENED,
        findings=(Finding(Code.REVOKED, sudden=True),),
        app_id="1",
        app_name="Acme",
        opened_at=NOW,
    )
    facts = {"role": Role.OWNER, "product": "Acme", "app_id": "1", **facts}
    return Entry(incident, to, item=item, due_at=facts.pop("due_at", NOW), **facts)


async def plan(store: Store, *entries: Entry, now: datetime = NOW) -> None:
    async with store.database.write() as connection:
        await add_entries(connection, entries, now)


async def sealed_pass(store: Store, review: Any = let_go, now: datetime = NOW) -> Pass:
    return await store.outbox.seal(
        review, now, storm=CALM, lease=LEASE, domain="acme.example"
    )


async def taken(outbox: Outbox, now: datetime = NOW) -> Sealed:
    sealed = await outbox.take(let_go, now, LEASE)
    assert sealed is not None
    return sealed


async def settled(
    store: Store,
    sealed: Sealed,
    attempt: Attempt,
    now: datetime = NOW,
    instead: Sequence[Entry] = (),
) -> Outcome | None:
    return await settle(
        store.database, sealed, attempt, now, jitter=0.0, instead=instead
    )


async def states(store: Store) -> list[tuple[Any, ...]]:
    return await rows(
        store,
        "SELECT recipient, number, state, dropped_for FROM outbox ORDER BY 1, 2, 3",
    )


# --- planning


async def test_planning_twice_is_planning_once(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await plan(store, an_entry())
    await plan(store)
    assert await states(store) == [(ANN, 1, "waiting", None)]
    await sealed_pass(store)
    await plan(store, an_entry())
    assert await states(store) == [(ANN, 1, "sealed", None)]


async def test_a_later_notice_outlives_the_earlier_of_the_same_reader_only(
    store: Store,
) -> None:
    await an_incident(store)
    await an_incident(store, "i2")
    await plan(store, an_entry(), an_entry(to=BOB), an_entry("i2"))
    await plan(store, an_entry(number=2))
    assert await states(store) == [
        (ANN, 1, "dropped", "superseded"),
        (ANN, 1, "waiting", None),
        (ANN, 2, "waiting", None),
        (BOB, 1, "waiting", None),
    ]


async def test_a_matter_that_is_over_drops_what_waits(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    async with store.database.write() as connection:
        await close_entries(connection, [], NOW)
        await close_entries(connection, ["i1"], NOW)
    assert await states(store) == [(ANN, 1, "dropped", "closed")]


# --- sealing


async def test_one_letter_a_reader_product_role_and_copy(store: Store) -> None:
    letters: dict[str, dict[str, Any]] = {
        "a1": {},
        "a2": {},
        "b": {"product": "Acme Ads"},
        "c": {"role": Role.ESCALATION},
        "d": {"cc": "boss@bakery.example"},
        "e": {"to": BOB},
    }
    for name, facts in letters.items():
        await an_incident(store, name)
        await plan(store, an_entry(name, **facts))
    done = await sealed_pass(store)
    assert (done.sealed, done.dropped, done.owed) == (5, 0, ())
    groups = []
    while (sealed := await store.outbox.take(let_go, NOW, LEASE)) is not None:
        groups.append(sorted(waiter.incident_id for waiter in sealed.waiters))
        assert sealed.message_id.endswith("@acme.example>")
        if groups[-1] == ["d"]:
            assert copies(sealed.waiters) == ("boss@bakery.example",)
    assert sorted(groups) == [["a1", "a2"], ["b"], ["c"], ["d"], ["e"]]
    assert len({m for (m,) in await rows(store, "SELECT message_id FROM letters")}) == 5
    assert copies(()) == ()


async def test_group_wait_is_kept_and_what_waits_only_for_its_group_leaves_with_it(
    store: Store,
) -> None:
    for name, ahead in (("i1", 2 * MINUTE), ("i2", 4 * MINUTE)):
        await an_incident(store, name)
        await plan(store, an_entry(name, due_at=NOW + ahead))
    await an_incident(store, "i3")
    await plan(store, an_entry("i3", to=BOB, due_at=NOW + 4 * MINUTE))
    almost = NOW + 2 * MINUTE - timedelta(microseconds=1)
    assert (await sealed_pass(store, now=almost)).sealed == 0
    assert await store.outbox.next_due() == NOW + 2 * MINUTE
    assert (await sealed_pass(store, now=NOW + 2 * MINUTE)).sealed == 1
    assert len((await taken(store.outbox, NOW + 2 * MINUTE)).waiters) == 2
    hurried = await store.outbox.seal(
        let_go, NOW, storm=CALM, lease=LEASE, domain="acme.example", hurried=True
    )
    assert hurried.sealed == 1


async def test_readers_are_gone_through_in_chunks(store: Store) -> None:
    for n in range(7):
        await an_incident(store, f"i{n}")
        await plan(store, an_entry(f"i{n}", to=f"r{n}@acme.example"))
    after, sealed = FIRST, 0
    while True:
        done = await store.outbox.seal(
            let_go,
            NOW,
            storm=CALM,
            lease=LEASE,
            domain="x.example",
            after=after,
            most=3,
        )
        sealed += done.sealed
        if done.last is None:
            break
        after = done.last
    assert sealed == 7


async def test_what_the_gate_holds_names_its_reason_and_its_end(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    review = wait_for(Wait(Waiting.HOURS, NOW + HOUR))
    assert (await sealed_pass(store, review)).sealed == 0
    found = await rows(store, "SELECT state, waits_for FROM outbox")
    assert found == [("waiting", "hours")]
    assert await store.outbox.next_due() == NOW + HOUR
    assert (await sealed_pass(store)).sealed == 0, "not before its end"
    assert (await sealed_pass(store, now=NOW + HOUR)).sealed == 1


async def test_what_the_gate_drops_is_counted_and_named(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    done = await sealed_pass(store, lambda w: (w.item, Drop.NOT_RECIPIENT))
    assert done.dropped == 1
    assert await states(store) == [(ANN, 1, "dropped", "not_recipient")]


async def test_an_owed_look_makes_a_resting_token_due_first_of_all(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    at = await dead(store)
    review = wait_for(Wait(Waiting.LOOK, at + MINUTE))
    done = await sealed_pass(store, review, at + 2 * MINUTE)
    assert done.owed == (await column(store, "row_id"),)
    assert await column(store, "urgency") == 0
    (claim,) = await due(store, at + 2 * MINUTE, 9)
    assert claim.id == "north"
    # In hand it is not made due again.
    await sealed_pass(store, review, at + 4 * MINUTE)
    assert await due(store, at + 4 * MINUTE, 9) == []


# --- taking


async def test_a_letter_is_in_one_pair_of_hands(store: Store) -> None:
    for n in range(20):
        await an_incident(store, f"i{n}")
        await plan(store, an_entry(f"i{n}", to=f"r{n}@acme.example"))
    await sealed_pass(store)

    async def courier() -> list[str]:
        mine = []
        while (sealed := await store.outbox.take(let_go, NOW, LEASE)) is not None:
            mine.append(sealed.id)
        return mine

    async with asyncio.timeout(30):
        hands = await asyncio.gather(*(courier() for _ in range(5)))
    everything = [letter for hand in hands for letter in hand]
    assert len(everything) == len(set(everything)) == 20
    assert (await taken(store.outbox, NOW + LEASE)).id in everything


async def test_a_courier_past_its_lease_settles_nothing(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await sealed_pass(store)
    slow = await taken(store.outbox)
    quick = await taken(store.outbox, NOW + LEASE)
    assert quick.fence == slow.fence + 1
    assert not await store.outbox.still_right(slow, let_go)
    assert await store.outbox.still_right(quick, let_go)
    assert await settled(store, slow, REFUSED) is None
    await put_back(store.database, [slow])
    assert await store.outbox.take(let_go, NOW + LEASE, LEASE) is None
    assert await settled(store, quick, SENT) is Outcome.SENT
    assert await states(store) == [(ANN, 1, "sent", None)]
    assert not await store.outbox.still_right(quick, let_go)


async def test_a_letter_put_back_is_taken_again_as_if_never_tried(
    store: Store,
) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await sealed_pass(store)
    sealed = await taken(store.outbox)
    await put_back(store.database, [sealed])
    again = await taken(store.outbox)
    assert (again.id, again.attempts, again.message_id) == (
        sealed.id,
        0,
        sealed.message_id,
    )


async def two_matters(store: Store) -> None:
    for name in ("i1", "i2"):
        await an_incident(store, name)
        await plan(store, an_entry(name))
    await sealed_pass(store)


async def test_a_letter_may_lose_entries(store: Store) -> None:
    await two_matters(store)

    def review(waiter: Waiter) -> tuple[Item, Any]:
        return waiter.item, Drop.CLOSED if waiter.incident_id == "i1" else None

    sealed = await store.outbox.take(review, NOW, LEASE)
    assert sealed is not None
    assert [waiter.incident_id for waiter in sealed.waiters] == ["i2"]
    assert await store.outbox.still_right(sealed, review)


async def test_a_letter_left_empty_is_closed_and_the_next_one_is_taken(
    store: Store,
) -> None:
    await two_matters(store)
    await an_incident(store, "i3")
    await plan(store, an_entry("i3", to=BOB))
    await sealed_pass(store, now=NOW + MINUTE)

    def review(waiter: Waiter) -> tuple[Item, Any]:
        mine = waiter.recipient == ANN
        return waiter.item, Wait(Waiting.SILENCE, NOW + DAY) if mine else None

    sealed = await store.outbox.take(review, NOW + MINUTE, LEASE)
    assert sealed is not None
    assert sealed.waiters[0].recipient == BOB
    found = await rows(store, "SELECT state FROM letters ORDER BY state")
    assert found == [("empty",), ("open",)]
    found = await rows(
        store,
        "SELECT state, waits_for, letter_id FROM outbox WHERE incident_id != 'i3'",
    )
    assert found == [("waiting", "silence", None)] * 2


async def test_a_letter_once_tried_keeps_name_and_clock_while_it_owes_a_look(
    store: Store,
) -> None:
    await two_matters(store)
    first = await taken(store.outbox)
    await settled(store, first, DEFERRED)
    at = NOW + 6 * MINUTE
    review = wait_for(Wait(Waiting.LOOK, at + MINUTE))
    assert await store.outbox.owed(review, at) == ()
    assert await store.outbox.take(review, at, LEASE) is None
    found = await rows(store, "SELECT state, waits_for, attempts FROM letters")
    assert found == [("open", "look", 1)]
    again = await taken(store.outbox, at + MINUTE)
    assert (again.id, again.message_id) == (first.id, first.message_id)
    assert (again.attempts, again.first_attempt_at) == (1, NOW)
    assert len(again.waiters) == 2


async def test_an_entry_gone_wrong_before_mail_from_stops_the_letter(
    store: Store,
) -> None:
    await two_matters(store)
    sealed = await taken(store.outbox)
    no = wait_for(Wait(Waiting.SILENCE, NOW + DAY))
    assert not await store.outbox.still_right(sealed, no)
    await execute(store, "UPDATE outbox SET state = 'dropped' WHERE incident_id = 'i1'")
    assert not await store.outbox.still_right(sealed, let_go)


async def test_a_letter_in_doubt_goes_again_as_it_was_and_news_goes_apart(
    store: Store,
) -> None:
    await two_matters(store)
    first = await taken(store.outbox)
    assert await settled(store, first, UNKNOWN) is Outcome.UNKNOWN
    await plan(store, an_entry("i1", number=2))
    async with store.database.write() as connection:
        assert await reached(connection, "i1") == {ANN}
        await close_entries(connection, ["i2"], NOW)
    assert (await sealed_pass(store, now=NOW + 5 * MINUTE)).sealed == 1

    def never(waiter: Waiter) -> tuple[Item, Any]:
        return waiter.item, Drop.CLOSED

    again = await store.outbox.take(never, NOW + 5 * MINUTE, LEASE)
    assert again is not None
    assert again.in_doubt
    assert again.message_id == first.message_id
    assert [w.id for w in again.waiters] == [w.id for w in first.waiters]
    assert await store.outbox.still_right(again, never)
    news = await taken(store.outbox, NOW + 5 * MINUTE)
    assert news.message_id != first.message_id
    assert [w.item.number for w in news.waiters] == [2]


async def test_a_later_letter_refers_to_the_one_that_first_told(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry(), an_entry(to=BOB))
    await sealed_pass(store)
    names = {}
    for _ in range(2):
        sealed = await taken(store.outbox)
        names[sealed.waiters[0].recipient] = sealed.message_id
        assert sealed.references == ()
        await settled(store, sealed, SENT)
    for number in (2, 3):
        await plan(store, an_entry(number=number))
        await sealed_pass(store)
        sealed = await taken(store.outbox)
        assert sealed.references == (names[ANN],)
        await settled(store, sealed, SENT)


# --- settlement


@pytest.mark.parametrize(
    ("attempt", "outcome", "letter", "entry"),
    [
        (SENT, Outcome.SENT, ("sent", 1, 0, None), "sent"),
        (REFUSED, Outcome.REFUSED, ("refused", 1, 0, None), "refused"),
        (DEFERRED, Outcome.DEFERRED, ("open", 1, 0, "retry"), "sealed"),
        (UNKNOWN, Outcome.UNKNOWN, ("open", 1, 1, "retry"), "sealed"),
        (CHANNEL, Outcome.CHANNEL, ("open", 0, 0, "channel"), "sealed"),
    ],
    ids=lambda value: str(getattr(value, "outcome", "")),
)
async def test_what_an_attempt_does_to_letter_and_entry(
    store: Store,
    attempt: Attempt,
    outcome: Outcome,
    letter: tuple[Any, ...],
    entry: str,
) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await sealed_pass(store)
    assert await settled(store, await taken(store.outbox), attempt) is outcome
    query = "SELECT state, attempts, in_doubt, waits_for FROM letters"
    assert await rows(store, query) == [letter]
    assert await states(store) == [(ANN, 1, entry, None)]
    ((state,),) = await rows(store, "SELECT state FROM incidents")
    told = decode_incident(state).settled_at == NOW
    assert told is (outcome in {Outcome.SENT, Outcome.REFUSED})
    assert await rows(store, "SELECT attempt_until FROM letters") == [(None,)]


async def test_waits_double_up_to_four_hours(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await sealed_pass(store)
    now, waits = NOW, []
    for _ in range(8):
        await settled(store, await taken(store.outbox, now), DEFERRED, now)
        due = await store.outbox.next_due()
        assert due is not None
        waits.append((due - now) // MINUTE)
        now = due
    assert waits == [5, 10, 20, 40, 80, 160, 240, 240]


@pytest.mark.parametrize("attempt", [DEFERRED, UNKNOWN], ids=["deferred", "unknown"])
async def test_who_was_tried_for_four_days_is_given_up_and_others_are_told(
    store: Store, attempt: Attempt
) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await sealed_pass(store)
    await settled(store, await taken(store.outbox), attempt)
    end = NOW + GIVE_UP_AFTER
    instead = [an_entry(to=OPS, role=Role.ESCALATION)]
    almost = end - timedelta(microseconds=1)
    sealed = await taken(store.outbox, almost)
    assert await settled(store, sealed, attempt, almost) is attempt.outcome
    sealed = await taken(store.outbox, end + DAY)
    outcome = await settled(store, sealed, attempt, end, instead)
    assert outcome is Outcome.REFUSED
    assert [row[:3] for row in await states(store)] == [
        (ANN, 1, "refused"),
        (OPS, 1, "waiting"),
    ]
    (lost,) = await store.unreachable.everybody()
    assert (lost.address, lost.since, lost.told_at) == (ANN, end, None)


async def test_trouble_with_the_channel_runs_no_letters_clock(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await sealed_pass(store)
    for n in range(3):
        at = NOW + n * DAY
        await settled(store, await taken(store.outbox, at), CHANNEL, at)
        assert await channel_pause(store.database) == (
            at + 5 * MINUTE,
            "connect: no route",
        )
    query = "SELECT attempts, first_attempt_at FROM letters"
    assert await rows(store, query) == [(0, None)]
    await settled(store, await taken(store.outbox, NOW + 3 * DAY), DEFERRED)
    assert (await channel_pause(store.database))[0] is None


async def test_no_channel_was_ever_in_trouble_on_an_empty_store(store: Store) -> None:
    assert await channel_pause(store.database) == (None, None)
    assert await store.outbox.next_due() is None
    assert await store.outbox.take(let_go, NOW, LEASE) is None


async def test_a_healed_matter_is_told_only_to_whom_a_letter_reached(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b", owner_email=BOB)], NOW)
    at = await dead(store, "a", "b")
    await sealed_pass(store, now=at + 2 * MINUTE)
    for _ in range(2):
        sealed = await taken(store.outbox, at + 2 * MINUTE)
        mine = sealed.waiters[0].recipient == ANN
        await settled(store, sealed, SENT if mine else REFUSED)
    for n in (3, 14):
        await look(store, ALIVE, "a", "b", at=at + n * MINUTE)
    found = await rows(store, "SELECT recipient FROM outbox WHERE reason = 'resolved'")
    assert found == [(ANN,)]


async def test_a_whole_domain_may_be_unreachable(store: Store) -> None:
    """More addresses than PostgreSQL, and many a SQLite, takes parameters."""
    async with store.database.write() as connection:
        lost = [
            {"address": f"{n}@x.example", "since": NOW, "why": "", "source": "bounced"}
            for n in range(70_000)
        ]
        await connection.execute(insert(unreachable), lost)
    everybody = await store.unreachable.everybody()
    advance, plan = CALM.tell(MATTER, None, (Code.UNDELIVERABLE,), {})
    await store.unreachable.account(advance, plan, {}, everybody, NOW)
    told = "SELECT count(*) FROM unreachable WHERE told_at IS NOT NULL"
    assert await rows(store, told) == [(70_000,)]
    await store.unreachable.forget([each.address for each in everybody])
    assert await store.unreachable.everybody() == []
