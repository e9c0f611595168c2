"""Claims: worst first, never two hands on one token, and no late word."""

import asyncio
import subprocess
import sys
from datetime import timedelta

from monitor.store import Store
from monitor.store.ledger import Budget
from tests.store.builders import (
    ALIVE,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    REVOKED,
    a_court,
    a_row,
    claimed,
    column,
    due,
    execute,
    heard,
    look,
)

_CLAIM = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from monitor.store import connect
from monitor.store.ledger import Budget
from monitor.store.seal import Key, Keyring
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
async def main():
    async with connect(sys.argv[1], Keyring([Key("k1", b"\\x01" * 32)])) as store:
        budget, lease = Budget("1"), timedelta(minutes=5)
        while claims := (await store.claims.due(budget, NOW, lease, 7)).claims:
            print(*(claim.id for claim in claims), flush=True)
asyncio.run(main())
"""


async def test_what_is_due_comes_by_urgency_and_then_by_date(store: Store) -> None:
    plan = {
        "routine-old": (3, -HOUR),
        "routine-new": (3, -MINUTE),
        "risky-new": (2, -MINUTE),
        "confirm-new": (1, -MINUTE),
        "confirm-old": (1, -2 * MINUTE),
        "look": (0, timedelta()),
        "not-yet": (0, MINUTE),
    }
    await store.inventory.import_rows(map(a_row, plan), NOW)
    for name, (level, ahead) in plan.items():
        await execute(
            store,
            "UPDATE health SET urgency = :u, next_check_at = :n "
            "WHERE token_row = (SELECT row_id FROM tokens WHERE id = :id)",
            u=level,
            n=int((NOW + ahead).timestamp() * 1_000_000),
            id=name,
        )
    assert await store.claims.apps_due(["1"], NOW)
    assert not await store.claims.apps_due(["2"], NOW)
    order = []
    while claims := await due(store, NOW, 1):
        order += [claim.id for claim in claims]
    assert order == [
        "look",
        "confirm-old",
        "confirm-new",
        "risky-new",
        "routine-old",
        "routine-new",
    ]
    assert not await store.claims.apps_due(["1"], NOW)


async def test_a_claim_that_is_never_recorded_falls_due_after_its_lease(
    store: Store,
) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    assert len(await due(store, NOW, 5)) == 1
    almost = NOW + LEASE - timedelta(microseconds=1)
    assert await due(store, almost, 5) == []
    assert len(await due(store, NOW + LEASE, 5)) == 1


async def test_claims_of_many_at_once_never_overlap(store: Store) -> None:
    await store.inventory.import_rows((a_row(f"t-{n}") for n in range(300)), NOW)

    async def worker() -> list[str]:
        mine: list[str] = []
        while claims := await due(store, NOW, 7):
            mine += [claim.id for claim in claims]
        return mine

    async with asyncio.timeout(30):
        hands = await asyncio.gather(*(worker() for _ in range(8)))
    everything = [token for hand in hands for token in hand]
    assert len(everything) == len(set(everything)) == 300


async def test_claims_of_two_processes_never_overlap(
    store: Store, database_url: str
) -> None:
    await store.inventory.import_rows((a_row(f"t-{n}") for n in range(300)), NOW)
    workers = [
        subprocess.Popen(  # noqa: ASYNC220 - both are to run by themselves
            [sys.executable, "-c", _CLAIM, database_url],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    hands = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(hands[0]) + len(hands[1]) == len({*hands[0], *hands[1]}) == 300


async def test_a_late_word_is_refused(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    (slow,) = await due(store, NOW, 5)
    later = NOW + LEASE
    (quick,) = await due(store, later, 5)
    court = a_court(later)
    first = await store.records.write(heard(ALIVE, later, quick), court, later)
    assert len(first.judged) == 1
    late = await store.records.write(heard(REVOKED, later, slow), court, later)
    assert (late.judged, late.superseded) == ([], ["north"])
    assert await column(store, "suspicion") is None


async def test_named_takes_over_whatever_is_in_hand(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    (old,) = await due(store, NOW, 5)
    (new,) = await claimed(store, "north")
    assert new.fence == old.fence + 1
    recorded = await store.records.write(heard(ALIVE, NOW, old), a_court(), NOW)
    assert recorded.superseded == ["north"]


async def test_after_goes_through_all_and_takes_over_what_is_near(
    store: Store,
) -> None:
    await store.inventory.import_rows((a_row(f"t-{n}") for n in range(20)), NOW)
    await look(store, ALIVE, *(f"t-{n}" for n in range(10)))
    seen, after = [], -1
    while claims := (
        await store.claims.after(after, Budget("1"), NOW, LEASE, 6)
    ).claims:
        assert [c.row_id for c in claims] == sorted(c.row_id for c in claims)
        after = claims[-1].row_id
        seen += claims
    assert len({claim.id for claim in seen}) == len(seen) == 20
    assert await due(store, NOW, 50) == [], "the near are claimed"
    court = a_court(NOW)
    recorded = await store.records.write(heard(ALIVE, NOW, *seen), court, NOW)
    assert recorded.superseded == []


async def test_released_claims_are_due_again_unless_taken_over(store: Store) -> None:
    await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
    claims = await due(store, NOW, 5)
    await claimed(store, "b", now=NOW)
    await store.claims.release(claims, NOW, NOW)
    assert [c.id for c in await due(store, NOW, 5)] == ["a"]
    await store.claims.release([], NOW, NOW)


async def test_rows_of_unknown_ids_are_absent(store: Store) -> None:
    await store.inventory.import_rows([a_row()], NOW)
    assert set(await store.claims.rows_of(["north", "nobody"])) == {"north"}
    assert await store.claims.count(["1", "2"]) == 1
    assert not await store.claims.apps_due(["1"], NOW - DAY)
