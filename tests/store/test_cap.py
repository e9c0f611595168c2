"""The cap at the seal: what counts, what goes along, how replicas share the room."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from monitor.core.cap import CAPPED_OVER, PRESSING_APART
from monitor.core.delivery import Passage, Role, Wait, Waiting
from monitor.core.hold import Brake
from monitor.core.tokens import Code
from monitor.core.verdict import Finding
from monitor.jobs.storm import storm_of
from monitor.store import Store, connect
from monitor.store.brake import Storm
from monitor.store.database import HEAD, _open, upgrade_database
from monitor.store.instants import microseconds
from monitor.store.seal import Keyring
from monitor.store.waiters import Pass, Waiter
from tests.builders import INSTANT
from tests.store.builders import (
    ANN,
    BOB,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    a_charter,
    a_row,
    let_go,
    look,
    rows,
)
from tests.store.test_brake import SEEN, fall, user
from tests.store.test_migrations import to
from tests.store.test_outbox import (
    CHANNEL,
    REFUSED,
    SENT,
    UNKNOWN,
    an_entry,
    an_incident,
    plan,
    settled,
    taken,
)

WARNING = (Finding(Code.EXPIRING, NOW + 9 * DAY),)


def storm(cap: int | None = 1, **brake: Any) -> Storm:
    brake = {"at_least": 1_000_000, "owner_letters_per_hour": None, **brake}
    return storm_of(a_charter(brake=Brake(letters_per_day=cap, **brake)), lambda: NOW)


async def seal(
    store: Store, now: datetime = NOW, cap: int | None = 1, review: Any = let_go
) -> Pass:
    return await store.outbox.seal(
        review, now, storm=storm(cap), lease=LEASE, domain="acme.example"
    )


async def news(
    store: Store,
    name: str,
    to: str = ANN,
    at: datetime = NOW,
    findings: tuple[Finding, ...] = WARNING,
    **facts: Any,
) -> None:
    """A notice that is due at once; nine days are to go."""
    await an_incident(store, name)
    entry = an_entry(name, to=to, due_at=at, **facts)
    await plan(
        store, replace(entry, item=replace(entry.item, findings=findings)), now=at
    )


async def told(
    store: Store, name: str = "first", at: datetime = NOW, **facts: Any
) -> None:
    """A letter that was sealed and sent."""
    await news(store, name, at=at, **facts)
    assert (await seal(store, at, None)).sealed == 1
    await settled(store, await taken(store.outbox, at), SENT, at)


async def waits(store: Store) -> dict[str, tuple[str | None, timedelta]]:
    """What each entry that waits waits for, and how long after now."""
    found = await rows(
        store,
        "SELECT incident_id, waits_for, due_at FROM outbox WHERE state = 'waiting'",
    )
    start = microseconds(NOW)
    return {name: (why, timedelta(microseconds=at - start)) for name, why, at in found}


async def test_what_is_more_waits_and_goes_in_one_next_letter(store: Store) -> None:
    await told(store)
    for number, name in enumerate(("b", "c", "d")):
        at = NOW + (number + 1) * MINUTE
        await news(store, name, at=at)
        assert (await seal(store, at)).sealed == 0
    assert await waits(store) == dict.fromkeys("bcd", ("cap", DAY))
    assert (await seal(store, NOW + DAY - MINUTE)).sealed == 0
    assert (await seal(store, NOW + DAY)).sealed == 1
    letter = await taken(store.outbox, NOW + DAY)
    assert {waiter.incident_id for waiter in letter.waiters} == set("bcd")


async def test_without_a_cap_letters_go_as_they_come(store: Store) -> None:
    for number in range(12):
        await told(store, f"i{number}", NOW + number * MINUTE)
    assert await rows(store, "SELECT count(*) FROM letters") == [(12,)]


@pytest.mark.parametrize(
    ("attempt", "sealed"),
    [
        pytest.param(None, 0, id="on its way"),
        pytest.param(SENT, 0, id="accepted"),
        pytest.param(UNKNOWN, 0, id="in doubt"),
        pytest.param(CHANNEL, 0, id="waiting for the server"),
        pytest.param(REFUSED, 1, id="refused"),
    ],
)
async def test_a_letter_counts_if_it_left_or_may_leave(
    store: Store, attempt: Any, sealed: int
) -> None:
    await news(store, "a")
    await seal(store)
    if attempt is not None:
        await settled(store, await taken(store.outbox), attempt)
    await news(store, "b")
    assert (await seal(store)).sealed == sealed


async def test_a_letter_that_was_left_empty_does_not_count(store: Store) -> None:
    await news(store, "a")
    await seal(store)

    def hold(waiter: Waiter) -> tuple[Any, Passage]:
        return waiter.item, Wait(Waiting.HOLD, NOW + HOUR)

    assert await store.outbox.take(hold, NOW, LEASE) is None
    await news(store, "b")
    assert (await seal(store)).sealed == 1


async def test_a_letter_counts_from_when_it_left(store: Store) -> None:
    """A server that was down for two days does not bring the days all at once."""
    await news(store, "a")
    await seal(store)
    later = NOW + 2 * DAY
    await news(store, "b", at=later)
    assert (await seal(store, later)).sealed == 0, "the first one is on its way yet"
    await settled(store, await taken(store.outbox, later), SENT, later)
    await news(store, "c", at=later + HOUR)
    assert (await seal(store, later + HOUR)).sealed == 0
    assert (await seal(store, later + DAY)).sealed == 1


async def test_the_operators_letters_neither_count_nor_wait(store: Store) -> None:
    await told(store, role=Role.OPERATOR, product="token-monitor")
    await news(store, "b")
    assert (await seal(store)).sealed == 1, "an operator who is an owner too"
    await news(store, "c", role=Role.OPERATOR, product="token-monitor")
    assert (await seal(store)).sealed == 1


async def test_an_address_has_one_cap_in_any_role_product_and_case(
    store: Store,
) -> None:
    await told(store)
    await news(store, "b", product="Ads")
    await news(store, "c", role=Role.ESCALATION)
    await news(store, "d", to=ANN.upper())
    await news(store, "e", to=BOB)
    assert (await seal(store)).sealed == 1
    assert set(await waits(store)) == {"b", "c", "d"}


async def test_of_two_letters_and_one_room_the_worse_goes(store: Store) -> None:
    await news(store, "a")
    stopped = (Finding(Code.REVOKED, sudden=True),)
    await news(store, "b", product="Ads", findings=stopped)
    assert (await seal(store)).sealed == 1
    assert set(await waits(store)) == {"a"}


async def test_what_presses_goes_beyond_the_cap_and_takes_the_others_along(
    store: Store,
) -> None:
    await told(store)
    at = NOW + HOUR
    await news(store, "b", at=at)
    await seal(store, at)
    await news(store, "c", at=at, findings=(Finding(Code.REVOKED, sudden=True),))
    assert (await seal(store, at)).sealed == 0
    assert await waits(store) == {"b": ("cap", DAY), "c": ("cap", PRESSING_APART)}
    at = NOW + PRESSING_APART
    assert (await seal(store, at)).sealed == 1
    letter = await taken(store.outbox, at)
    assert {waiter.incident_id for waiter in letter.waiters} == {"b", "c"}
    await settled(store, letter, SENT, at)
    await news(store, "d", at=at, findings=(Finding(Code.REVOKED, sudden=True),))
    assert (await seal(store, at + MINUTE)).sealed == 0
    assert (await waits(store))["d"] == ("cap", 2 * PRESSING_APART)


async def test_no_product_starves_another_one(store: Store) -> None:
    """News of one product that always presses; the other's has waited for a day."""
    await told(store)
    await news(store, "ads", product="Ads")
    stopped = (Finding(Code.REVOKED, sudden=True),)
    products = []
    for turn in range(1, 9):
        at = NOW + turn * PRESSING_APART
        await news(store, f"dead-{turn}", at=at, findings=stopped)
        assert (await seal(store, at)).sealed == 1
        letter = await taken(store.outbox, at)
        products.append(letter.waiters[0].product)
        await settled(store, letter, SENT, at)
    assert products == [*["Acme"] * 5, "Ads", "Acme", "Acme"]


async def test_nobody_looks_for_a_letter_that_may_not_leave(store: Store) -> None:
    await told(store)
    await news(store, "b")

    def needs_a_look(waiter: Waiter) -> tuple[Any, Passage]:
        return waiter.item, Wait(Waiting.LOOK, NOW + MINUTE)

    await seal(store, review=needs_a_look)
    assert (await waits(store))["b"] == ("cap", DAY)
    await seal(store, NOW + DAY, review=needs_a_look)
    assert (await waits(store))["b"] == ("look", MINUTE), "a positive control"


async def test_other_reasons_to_wait_are_named_before_the_cap(store: Store) -> None:
    await told(store)
    await news(store, "b")

    def closed(waiter: Waiter) -> tuple[Any, Passage]:
        return waiter.item, Wait(Waiting.HOURS, NOW + HOUR)

    await seal(store, review=closed)
    assert (await waits(store))["b"] == ("hours", HOUR)


async def test_a_letter_without_room_takes_none_of_the_hours(store: Store) -> None:
    await told(store)
    await news(store, "b", findings=(Finding(Code.REVOKED, sudden=True),))
    await news(store, "c", to=BOB)
    narrow = storm(1, owner_letters_per_hour=2)
    done = await store.outbox.seal(
        let_go, NOW + MINUTE, storm=narrow, lease=LEASE, domain="acme.example"
    )
    assert (done.sealed, done.paced) == (1, 0), "the worse of them waits for its cap"
    assert set(await waits(store)) == {"b"}


async def test_another_cap_holds_at_once(store: Store) -> None:
    await told(store)
    await news(store, "b")
    await seal(store)
    await store.outbox.ask_again(NOW + MINUTE)
    assert (await seal(store, NOW + MINUTE, cap=2)).sealed == 1


async def test_news_that_waits_for_the_cap_makes_no_wave(store: Store) -> None:
    """Pages of one owner fall one by one, each through another user: no storm."""
    ids = [f"u{n}-a" for n in range(6)]
    await store.inventory.import_rows([a_row(each) for each in ids], NOW - DAY)
    for each in ids:
        await look(store, user(each), each, at=SEEN)
    brake = storm(1, at_least=2, share=0.05)
    held = []
    for number, each in enumerate(ids):
        at = NOW + number * 40 * MINUTE
        await fall(store, each, at=at)
        told_at = at + 15 * MINUTE
        done = await store.outbox.seal(
            let_go, told_at, storm=brake, lease=LEASE, domain="acme.example"
        )
        held += done.held
    assert held == []
    assert {why for why, _ in (await waits(store)).values()} == {"cap"}


async def test_replicas_that_seal_at_once_share_the_room(
    database_url: str, keyring: Keyring
) -> None:
    async with (
        connect(database_url, keyring) as one,
        connect(database_url, keyring) as other,
    ):
        for number in range(12):
            await news(one, f"i{number}", product=f"Product {number}")
        await asyncio.gather(*(seal(each, cap=3) for each in (one, other) * 4))
        assert await rows(one, "SELECT count(*) FROM letters") == [(3,)]
        assert len(await waits(one)) == 9


async def test_letters_of_the_older_schema_count(
    database_url: str, keyring: Keyring
) -> None:
    database = _open(database_url)
    async with database.write() as connection:
        await connection.run_sync(partial(to, revision="0004"))
        await connection.execute(
            text(
                "INSERT INTO letters (id, message_id, recipient, role, product, "
                "sealed_at, state, due_at, settled_at) VALUES ('l', '<l@x>', "
                "'Ann@Bakery.example', 'owner', 'Acme', :at, 'sent', :at, :at)"
            ),
            {"at": microseconds(NOW)},
        )
    await database.close()
    assert await upgrade_database(database_url) == ("0004", HEAD)
    async with connect(database_url, keyring) as store:
        await news(store, "b")
        assert (await seal(store)).sealed == 0
        assert (await seal(store, NOW + CAPPED_OVER)).sealed == 1


@pytest.mark.parametrize(
    ("left", "free"),
    [
        pytest.param(2 * HOUR, PRESSING_APART, id="soon, and four hours apart"),
        pytest.param(9 * HOUR, 9 * HOUR + INSTANT, id="later: as soon as it is"),
        pytest.param(30 * HOUR, DAY, id="after the cap"),
    ],
)
async def test_what_will_press_does_not_wait_until_the_cap_is_over(
    store: Store, left: timedelta, free: timedelta
) -> None:
    """More than a day is left when the cap binds, and less before it is over."""
    await told(store)
    await news(store, "b", findings=(Finding(Code.EXPIRING, NOW + DAY + left),))
    assert (await seal(store)).sealed == 0
    assert await waits(store) == {"b": ("cap", free)}
    assert (await seal(store, NOW + free - INSTANT)).sealed == 0
    assert (await seal(store, NOW + free)).sealed == 1


async def test_letters_dated_ahead_by_a_wrong_clock_do_not_count(store: Store) -> None:
    """It was a year ahead, and is put right: nobody waits for that year."""
    await told(store, at=NOW + 365 * DAY)
    await news(store, "b", findings=(Finding(Code.REVOKED, sudden=True),))
    assert (await seal(store)).sealed == 1
    (_, settled_ahead), *_ = await rows(
        store, "SELECT id, settled_at FROM letters WHERE settled_at IS NOT NULL"
    )
    assert settled_ahead > microseconds(NOW), "a positive control"
