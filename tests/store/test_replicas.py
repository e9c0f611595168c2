"""Two replicas in each other's way on PostgreSQL: nobody waits for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, text

from monitor.core.attempt import Attempt, Outcome, Phase
from monitor.core.hold import Brake
from monitor.core.policy import Rule
from monitor.errors import UnavailableError
from monitor.jobs.storm import storm_of
from monitor.store import Store, connect
from monitor.store.claims import Claim
from monitor.store.ledger import Budget
from monitor.store.seal import Keyring
from monitor.store.settlement import settle
from monitor.store.tables import apps, health
from tests.store.builders import (
    ALIVE,
    CALM,
    HOUR,
    LEASE,
    NOW,
    REVOKED,
    a_charter,
    a_court,
    a_row,
    claimed,
    column,
    dead,
    due,
    execute,
    heard,
    let_go,
    rows,
)


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


async def test_who_is_frozen_within_a_transaction_does_not_stop_the_others(
    database_url: str, keyring: Keyring
) -> None:
    """Its locks are waited for, but not for ever."""
    async with (
        connect(database_url, keyring) as frozen,
        connect(database_url, keyring) as other,
    ):
        await other.inventory.import_rows([a_row()], NOW)
        await other.apps.note("1", failures=0)
        async with frozen.database.write() as connection:
            await connection.execute(select(apps).with_for_update())
            async with asyncio.timeout(20):
                with pytest.raises(UnavailableError, match="lock timeout"):
                    await other.claims.due(Budget("1"), NOW, LEASE, 5)


async def test_a_transaction_that_idles_is_ended_and_that_is_no_bug(
    database_url: str, keyring: Keyring
) -> None:
    async with connect(database_url, keyring) as store:
        with pytest.raises(UnavailableError):  # noqa: PT012 - the whole transaction
            async with store.database.write() as connection:
                await connection.execute(
                    text("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
                )
                await asyncio.sleep(0.5)  # the server's clock, not ours
                await connection.execute(select(apps))


async def test_a_letter_in_another_hand_is_passed_over(
    database_url: str, keyring: Keyring
) -> None:
    async with (
        connect(database_url, keyring) as one,
        connect(database_url, keyring) as two,
    ):
        await one.inventory.import_rows(
            [a_row("a"), a_row("b", owner_email="bob@brewery.example")], NOW
        )
        at = await dead(one, "a", "b") + timedelta(minutes=3)
        await one.outbox.seal(let_go, at, storm=CALM, lease=LEASE, domain="x.example")
        taken = await asyncio.gather(
            *(store.outbox.take(let_go, at, LEASE) for store in (one, two, one))
        )
        ids = [sealed.id for sealed in taken if sealed is not None]
        assert len(ids) == len(set(ids)) == 2


async def test_thousands_of_entries_make_letters_that_can_be_taken(
    database_url: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reader of very many entries gets several letters, not one too large."""
    monkeypatch.setattr("monitor.store.sealing._MOST_ENTRIES", 20)
    async with connect(database_url, keyring) as store:
        ids = [f"t-{n}" for n in range(50)]
        await store.inventory.import_rows(map(a_row, ids), NOW)
        at = await dead(store, *ids) + timedelta(minutes=3)
        done = await store.outbox.seal(
            let_go, at, storm=CALM, lease=LEASE, domain="x.example"
        )
        assert done.sealed == 3
        sizes = []
        while sealed := await store.outbox.take(let_go, at, LEASE):
            sizes.append(len(sealed.waiters))
        assert sorted(sizes) == [10, 20, 20]


async def test_an_overdue_token_that_owes_a_look_comes_first(
    database_url: str, keyring: Keyring
) -> None:
    from monitor.core.delivery import Wait, Waiting  # noqa: PLC0415 - here only

    async with connect(database_url, keyring) as store:
        await store.inventory.import_rows([a_row()], NOW)
        at = await dead(store) + timedelta(minutes=3)
        await execute(store, "UPDATE health SET next_check_at = 1, urgency = 3")
        wait = Wait(Waiting.LOOK, at + timedelta(minutes=1))
        await store.outbox.seal(
            lambda waiter: (waiter.item, wait),
            at,
            storm=CALM,
            lease=LEASE,
            domain="x.example",
        )
        assert await column(store, "urgency") == 0
        assert await rows(store, "SELECT count(*) FROM letters") == [(0,)]


async def test_tokens_in_another_hand_are_passed_over(
    database_url: str, keyring: Keyring
) -> None:
    async with connect(database_url, keyring) as store:
        await store.inventory.import_rows([a_row("a"), a_row("b")], NOW)
        found = await store.claims.rows_of(["a"])
        async with store.database.write() as connection:
            await connection.execute(
                select(health).where(health.c.token_row == found["a"]).with_for_update()
            )
            taken = await store.claims.due(Budget("1"), NOW, LEASE, 5)
            assert [claim.id for claim in taken.claims] == ["b"]


MANY = 400


class Busy:
    """A replica that does everything at once, a minute of its clock in a second."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.random = store, Random(seed)
        self.began = time.monotonic()
        brake = Brake(at_least=2, share=0.01, owner_letters_per_hour=None)
        eager = Rule(confirm_after=timedelta(seconds=30))
        self.wishes: dict[str, Any] = {"rule": eager, "brake": brake}
        self.storm = storm_of(a_charter(brake=brake), self.now)
        self.sent: list[str] = []

    def now(self) -> datetime:
        return NOW + timedelta(minutes=time.monotonic() - self.began)

    async def record(self, claims: list[Claim]) -> None:
        self.random.shuffle(claims)
        odd = [claim for claim in claims if claim.row_id % 2]
        even = [claim for claim in claims if not claim.row_id % 2]
        now = self.now()
        looks = heard(REVOKED, now, *odd) + heard(ALIVE, now, *even)
        await self.store.records.write(looks, a_court(now, **self.wishes), now)

    async def check_some(self) -> None:
        ids = (f"t-{n}" for n in self.random.sample(range(MANY), 40))
        await self.record(await claimed(self.store, *ids, now=self.now()))

    async def check_due(self) -> None:
        await self.record(await due(self.store, self.now(), 60))

    async def seal(self) -> None:
        later = self.now() + HOUR / 6
        await self.store.outbox.seal(
            let_go, later, storm=self.storm, lease=LEASE, domain="x.example"
        )

    async def deliver(self) -> None:
        later = self.now() + HOUR / 6
        letter = await self.store.outbox.take(let_go, later, LEASE)
        if letter is not None:
            sent = Attempt(Outcome.SENT, Phase.DATA, 250, "ok")
            await settle(self.store.database, letter, sent, later, jitter=0)
            self.sent.append(letter.id)

    async def end_hold(self) -> None:
        holds, at = self.store.holds, self.now()
        end = self.random.choice([holds.release, holds.discard])
        await end("1", self.storm, "ops", None, at - self.storm.sweep)

    async def take_in(self) -> None:
        fleet = [a_row(f"t-{n}", owner_email=f"{n}@x.example") for n in range(MANY)]
        for n in self.random.sample(range(MANY), 10):
            fleet[n] = replace(fleet[n], name=f"name {self.random.random()}")
        await self.store.inventory.import_rows(fleet, self.now())

    async def repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while time.monotonic() - self.began < 8:
            await work()
            await asyncio.sleep(0.05)

    def works(self) -> list[Callable[[], Awaitable[None]]]:
        checks = [self.check_some, self.check_due, self.take_in]
        return [*checks, self.seal, self.deliver, self.end_hold]


async def test_nobody_locks_out_of_order(database_url: str, keyring: Keyring) -> None:
    """All that writes at once, for some seconds: it met dozens of deadlocks once."""
    async with (
        connect(database_url, keyring) as one,
        connect(database_url, keyring) as other,
    ):
        replicas = [Busy(one, 3), Busy(other, 4)]
        await replicas[0].take_in()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for replica in replicas:
                for work in replica.works():
                    group.create_task(replica.repeat(work))
    told = replicas[0].sent + replicas[1].sent
    assert told, "a positive control: there was something to tell"
    assert len(told) == len(set(told))
