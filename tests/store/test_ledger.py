"""The ledger: what an app may still ask, whoever asks for it."""

import asyncio
from datetime import timedelta
from itertools import groupby

import pytest

from monitor.core.schedule import Urgency
from monitor.store import Store
from monitor.store.ledger import Budget, share_of_risk
from tests.store.builders import (
    ALIVE,
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    a_row,
    execute,
    look,
    rows,
)

FULL = Budget("1", 100)


async def fleet(store: Store, count: int = 300) -> None:
    await store.inventory.import_rows((a_row(f"t-{n}") for n in range(count)), NOW)


async def spent(store: Store) -> int:
    found = await store.ledger.spent(NOW + timedelta(seconds=1))
    return found.get("1", 0)


async def test_claims_are_paid_for_and_stop_at_the_pace(store: Store) -> None:
    await fleet(store)
    taken = await store.claims.due(FULL, NOW, LEASE, 50)
    assert 0 < len(taken.claims) <= 5, "a burst of 5 % at most"
    assert taken.next_at is not None
    assert taken.next_at > NOW
    assert await spent(store) == len(taken.claims)
    again = await store.claims.due(FULL, NOW, LEASE, 50)
    assert (again.claims, again.next_at) == ([], taken.next_at)
    later = await store.claims.due(FULL, NOW + 10 * MINUTE, LEASE, 50)
    assert later.claims


async def test_by_hand_the_rest_of_the_hour_goes_at_once(store: Store) -> None:
    await fleet(store)
    taken = await store.claims.after(-1, FULL, NOW, LEASE, 1000)
    assert len(taken.claims) == 99, "a hundredth is kept for ourselves"
    assert taken.next_at is not None
    assert HOUR <= taken.next_at - NOW <= HOUR + MINUTE
    assert taken.last == taken.claims[-1].row_id
    nothing = await store.claims.after(-1, FULL, NOW, LEASE, 1000)
    assert (nothing.claims, nothing.last) == ([], None)
    assert await store.ledger.try_spend(FULL, NOW, 1)
    assert not await store.ledger.try_spend(FULL, NOW, 1), "the hour is spent"
    assert await spent(store) == 100


async def test_named_tokens_are_taken_as_far_as_the_quota_goes(store: Store) -> None:
    await fleet(store, 120)
    found = await store.claims.rows_of([f"t-{n}" for n in range(120)])
    by_app = await store.claims.by_app(found.values())
    taken = await store.claims.named(by_app["1"], FULL, NOW, LEASE)
    assert (len(taken.claims), taken.last) == (99, 99)
    assert taken.next_at is not None


async def test_claims_that_were_never_asked_are_paid_back(store: Store) -> None:
    await fleet(store)
    taken = await store.claims.after(-1, FULL, NOW, LEASE, 1000)
    await store.claims.release(taken.claims, NOW, NOW)
    assert await spent(store) == 0
    assert len((await store.claims.after(-1, FULL, NOW, LEASE, 1000)).claims) == 99


async def test_many_at_once_spend_no_more_than_there_is(store: Store) -> None:
    await fleet(store)

    async def worker() -> int:
        taken = await store.claims.after(-1, FULL, NOW, LEASE, 30)
        return len(taken.claims)

    async with asyncio.timeout(30):
        counts = await asyncio.gather(*(worker() for _ in range(8)))
    assert sum(counts) == 99
    assert await spent(store) == 99


async def test_an_app_that_rests_is_given_nothing_by_any_replica(store: Store) -> None:
    await fleet(store)
    until = NOW + 7 * MINUTE
    await store.apps.note("1", paused_until=until, pause_cause="throttled")
    taken = await store.claims.due(Budget("1"), NOW, LEASE, 50)
    assert (taken.claims, taken.next_at) == ([], until)
    assert len((await store.claims.due(Budget("1"), until, LEASE, 50)).claims) == 50
    other = await store.claims.due(Budget("2"), NOW, LEASE, 50)
    assert (other.claims, other.next_at) == ([], None), "another app is not touched"


async def test_what_metas_headers_say_tightens_the_pace(store: Store) -> None:
    await fleet(store)
    free = Budget("1")
    assert len((await store.claims.due(free, NOW, LEASE, 50)).claims) == 50
    await store.apps.note("1", usage_percent=50, usage_at=NOW)
    assert (await store.claims.due(free, NOW, LEASE, 50)).claims == []
    later = NOW + 45 * MINUTE
    assert 0 < len((await store.claims.due(free, later, LEASE, 50)).claims) < 50


async def test_usage_that_we_caused_ourselves_is_no_news(store: Store) -> None:
    await fleet(store)
    await store.claims.after(-1, FULL, NOW, LEASE, 96)
    assert await store.ledger.explains(FULL, 96, NOW)
    assert not await store.ledger.explains(FULL, 98, NOW)
    assert not await store.ledger.explains(Budget("1"), 96, NOW)


async def test_when_the_quota_is_scarce_the_risky_come_first_and_nobody_starves(
    store: Store,
) -> None:
    await fleet(store, 200)
    await look(store, ALIVE, *(f"t-{n}" for n in range(100)), at=NOW)
    await execute(store, "UPDATE health SET next_check_at = 0")
    later = NOW + 2 * DAY
    taken = await store.claims.due(Budget("1", 400), later, LEASE, 1000)
    ids = {claim.id for claim in taken.claims}
    routine = {f"t-{n}" for n in range(100)} & ids
    assert len(ids) == 16, "a burst"
    assert len(routine) == 4, "a quarter"
    level = await rows(store, "SELECT DISTINCT urgency FROM health ORDER BY 1")
    assert level == [(Urgency.RISKY,), (Urgency.ROUTINE,)]


@pytest.mark.parametrize("pace", [2 * MINUTE, 6 * MINUTE, 20 * MINUTE])
def test_single_calls_at_an_even_pace_starve_nobody(pace: timedelta) -> None:
    """They fell on every fourth slot once, and the same class had all of them."""
    turns = [share_of_risk(1, 50, NOW + n * pace) for n in range(40)]
    assert 28 <= sum(turns) <= 32, "a quarter is routine"
    longest = max(len(list(run)) for _, run in groupby(turns))
    assert longest < 12
    assert share_of_risk(50, 50, NOW) == 50, "a positive control: there is enough"


async def test_a_clock_that_ran_ahead_closes_no_app_for_years(store: Store) -> None:
    await fleet(store)
    years = NOW + 3000 * DAY
    await store.claims.after(-1, FULL, years, LEASE, 1000)
    assert len((await store.claims.after(-1, FULL, NOW, LEASE, 1000)).claims) == 99


async def test_old_slots_are_forgotten(store: Store) -> None:
    await fleet(store)
    await store.claims.after(-1, FULL, NOW, LEASE, 10)
    await store.ledger.prune(NOW + HOUR)
    assert await rows(store, "SELECT count(*) FROM calls") == [(1,)]
    await store.ledger.prune(NOW + 3 * HOUR)
    assert await rows(store, "SELECT count(*) FROM calls") == [(0,)]


async def test_what_is_paid_back_is_paid_back_to_its_own_time(store: Store) -> None:
    """Calls that were made later must not be forgotten for it."""
    await fleet(store)
    early = await store.claims.after(-1, FULL, NOW, LEASE, 30)
    later = NOW + 20 * MINUTE
    await store.claims.after(-1, FULL, later, LEASE, 30)
    await store.claims.release(early.claims, later, NOW)
    found = await rows(store, "SELECT calls FROM calls ORDER BY slot")
    assert found == [(0,), (30,)]


async def test_only_apps_with_something_due_are_named(store: Store) -> None:
    await fleet(store, 3)
    assert await store.claims.apps_due(["9", "1"], NOW) == ["1"]
    assert await store.claims.apps_due(["1"], NOW - MINUTE) == []
    assert await store.claims.apps_due([], NOW) == []
