"""Entries whose reader is none any more, and letters in doubt that were overtaken."""

from collections.abc import Sequence
from typing import Any

from monitor.core.delivery import Drop, Item, Passage, Wait, Waiting
from monitor.store import Store
from monitor.store.codec import decode_incident
from monitor.store.entries import Entry
from monitor.store.instants import microseconds
from monitor.store.waiters import Waiter
from tests.store.builders import (
    ANN,
    BOB,
    CALM,
    DAY,
    HOUR,
    LEASE,
    NOW,
    rows,
    wait_for,
)
from tests.store.test_outbox import (
    SENT,
    UNKNOWN,
    an_entry,
    an_incident,
    plan,
    sealed_pass,
    settled,
    states,
    taken,
)


def only_bob(waiter: Waiter) -> tuple[Item, Passage]:
    return waiter.item, None if waiter.recipient == BOB else Drop.NOT_RECIPIENT


def bob_instead(waiter: Waiter) -> Sequence[Entry]:
    return [an_entry(waiter.incident_id, to=BOB)]


async def gate(store: Store, **wishes: Any) -> None:
    await store.outbox.seal(
        only_bob, NOW, storm=CALM, lease=LEASE, domain="acme.example", **wishes
    )


async def notice_settled(store: Store) -> bool:
    ((text,),) = await rows(store, "SELECT state FROM incidents")
    return decode_incident(text).settled_at is not None


async def test_an_heir_is_told_once_and_the_notice_waits_for_him(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await gate(store, heirs=bob_instead)
    await gate(store, heirs=bob_instead)
    assert await states(store) == [
        (ANN, 1, "dropped", "not_recipient"),
        (BOB, 1, "sealed", None),
    ]
    assert not await notice_settled(store)


async def test_an_heir_of_what_is_sealed_is_told(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    assert (await sealed_pass(store)).sealed == 1
    assert await store.outbox.take(only_bob, NOW, LEASE, None, bob_instead) is None
    assert (BOB, 1, "waiting", None) in await states(store)


async def test_who_is_a_reader_again_is_told(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await gate(store)
    assert await states(store) == [(ANN, 1, "dropped", "not_recipient")]
    await plan(store, an_entry())
    assert await states(store) == [(ANN, 1, "waiting", None)]


async def test_a_notice_without_readers_is_settled(store: Store) -> None:
    await an_incident(store)
    await plan(store, an_entry())
    await gate(store)
    assert await notice_settled(store)


async def test_hours_end_for_what_waits_for_them_alone(store: Store) -> None:
    later = NOW + DAY
    for name, to, why in (("i1", ANN, Waiting.HOURS), ("i2", BOB, Waiting.SILENCE)):
        await an_incident(store, name)
        await plan(store, an_entry(name, to=to))
        await sealed_pass(store, wait_for(Wait(why, later)))
    await store.outbox.ask_again(NOW)
    query = "SELECT recipient, waits_for, due_at FROM outbox ORDER BY due_at"
    assert await rows(store, query) == [
        (ANN, "hours", microseconds(NOW)),
        (BOB, "silence", microseconds(later)),
    ]


async def test_what_was_overtaken_steps_out_of_a_letter_in_doubt(store: Store) -> None:
    for name in ("i1", "i2"):
        await an_incident(store, name)
    await plan(store, an_entry("i1"), an_entry("i2"))
    await sealed_pass(store)
    first = await taken(store.outbox)
    await settled(store, first, UNKNOWN)
    await plan(store, an_entry("i1", number=2))
    await sealed_pass(store)
    again = await taken(store.outbox)
    assert again.message_id == first.message_id, "the very same goes before the news"
    assert len(again.waiters) == 2
    await settled(store, again, UNKNOWN)
    await settled(store, await taken(store.outbox), SENT)
    again = await taken(store.outbox, NOW + HOUR)
    assert again.message_id == first.message_id
    assert [waiter.incident_id for waiter in again.waiters] == ["i2"]
    assert (ANN, 1, "dropped", "superseded") in await states(store)
